//! Streams of bytes that an honest end did not send.

use proptest::prelude::*;
use ringway_proto::testing::Frame;
use ringway_proto::{Link, Rule, SessionConfig, Side, Status, StreamId, Violation};

use crate::harness::{Pair, tight};

const A: Side = Side::Dialer;
const B: Side = Side::Acceptor;

fn hear(pair: &mut Pair, frames: &[Frame]) -> Result<(), Violation> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.emit(&mut bytes);
        if let Frame::Data { length, .. } = frame {
            bytes.resize(bytes.len() + *length as usize, 7);
        }
    }
    let now = pair.now;
    pair.end(B).is_fed_by_hand = true;
    let result = pair.end(B).take(now, Link::MESSAGE, &bytes);
    while pair.end(B).session.poll_event().is_some() {}
    result
}

fn data(offset: u64, record: u64, length: u32, end_of_record: bool) -> Frame {
    Frame::Data {
        stream: StreamId(0),
        offset,
        record,
        length,
        opens: true,
        end_of_record,
        finishes: false,
        trailer: false,
    }
}

fn finish(offset: u64, record: u64) -> Frame {
    Frame::Finish {
        stream: StreamId(0),
        offset,
        record,
        opens: true,
        status: Status::ok(),
    }
}

/// The rule, what came, what was expected.
type Broken = (Rule, u64, u64);

fn broken(frames: &[Frame]) -> Broken {
    let mut pair = Pair::attached(SessionConfig::default());
    let violation = hear(&mut pair, frames).expect_err("against the rules");
    (violation.rule, violation.got, violation.expected)
}

#[test]
fn gaps_and_changed_ends_are_named_with_both_numbers() {
    let some = data(0, 0, 10, true);
    let cases: [(&[Frame], Broken); 8] = [
        (&[data(1, 0, 10, false)], (Rule::OffsetGap, 1, 0)),
        (
            &[some.clone(), data(11, 1, 1, false)],
            (Rule::OffsetGap, 11, 10),
        ),
        (
            &[some.clone(), data(10, 2, 1, false)],
            (Rule::RecordGap, 2, 1),
        ),
        (
            &[some.clone(), data(10, 0, 1, false)],
            (Rule::RecordGap, 0, 1),
        ),
        (&[some.clone(), finish(9, 1)], (Rule::EndChanged, 9, 10)),
        (&[some.clone(), finish(10, 0)], (Rule::EndChanged, 0, 1)),
        (
            &[some.clone(), finish(10, 1), finish(11, 1)],
            (Rule::EndChanged, 11, 10),
        ),
        (
            &[some, finish(10, 1), data(10, 1, 1, false)],
            (Rule::BeyondEnd, 11, 10),
        ),
    ];
    for (frames, expected) in cases {
        assert_eq!(broken(frames), expected, "{frames:?}");
    }
}

#[test]
fn frames_of_streams_that_nobody_opened_are_violations() {
    let stranger = StreamId::new(B, 3);
    let ack = Frame::Ack {
        stream: stranger,
        received: 0,
        records: 0,
        consumed: 0,
        credit: 0,
        end_known: false,
    };
    let stop = Frame::Stop {
        stream: stranger,
        opens: true,
        status: Status::ok(),
    };
    let unopened = Frame::Data {
        stream: StreamId(0),
        offset: 0,
        record: 0,
        length: 0,
        opens: false,
        end_of_record: true,
        finishes: false,
        trailer: false,
    };
    assert_eq!(broken(&[ack]), (Rule::StreamUnknown, 3, 0));
    assert_eq!(broken(&[stop]), (Rule::StreamUnknown, 3, 0));
    assert_eq!(broken(&[unopened]), (Rule::StreamUnknown, 0, 0));
}

/// Bytes that were received before are discarded, the rest is taken.
#[test]
fn an_overlap_is_discarded() {
    let mut pair = Pair::attached(SessionConfig::default());
    let frames = [
        data(0, 0, 10, false),
        data(4, 0, 10, true),
        data(4, 0, 10, true),
    ];
    hear(&mut pair, &frames).expect("allowed");
    assert_eq!(pair.received(B, StreamId(0)).len(), 14);
    assert_eq!(pair.see(B).received[&StreamId(0)].records, vec![14]);
    assert_eq!(pair.see(B).session.statistics().duplicate_bytes, 6 + 10);
}

/// An ack of what was accepted but never left is as false as one of what nobody wrote.
#[test]
fn acks_of_what_was_not_sent_are_violations() {
    let ack = |received, records, consumed, end_known| Frame::Ack {
        stream: StreamId::new(B, 0),
        received,
        records,
        consumed,
        credit: 100,
        end_known,
    };
    let cases = [
        (ack(11, 0, 0, false), (Rule::AckBeyondSent, 11, 10)),
        (ack(10, 2, 0, false), (Rule::AckBeyondSent, 2, 1)),
        (ack(10, 1, 11, false), (Rule::AckBeyondSent, 11, 10)),
        (ack(10, 1, 0, true), (Rule::AckBeyondSent, 1, 0)),
        (ack(3, 0, 0, false), (Rule::AckBackwards, 3, 5)),
    ];
    for (frame, expected) in cases {
        let mut pair = Pair::attached(SessionConfig::default());
        let id = pair.open(B);
        pair.record(B, id, 10);
        pair.pump(B);
        pair.record(B, id, 0);
        hear(&mut pair, &[ack(5, 0, 0, false)]).expect("honest");
        let violation = hear(&mut pair, std::slice::from_ref(&frame)).expect_err("a lie");
        assert_eq!(
            (violation.rule, violation.got, violation.expected),
            expected
        );
    }
}

/// A good story of bytes from A to B.
fn story() -> Vec<u8> {
    let mut pair = Pair::new(tight());
    pair.attach();
    for turn in 0..4 {
        let id = pair.open(A);
        pair.record(A, id, turn * 300);
        pair.record(A, id, 0);
        let now = pair.now;
        match turn {
            0 => pair.finish(A, id),
            1 => pair.end(A).reset(now, id),
            2 => pair.end(A).session.stop(now, id, Status::dropped()),
            _ => pair.end(A).session.drain(now),
        }
    }
    pair.pump(A);
    pair.wires[0].clone()
}

proptest! {
    /// Bytes altered on the way: a violation, or harmless; never a panic, never more held than
    /// the limits allow.
    #[test]
    fn a_good_stream_with_bytes_replaced_never_panics(
        at in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 1..60),
        splits in prop::collection::vec(1..300_usize, 1..20),
    ) {
        let mut bytes = story();
        let at = at.index(bytes.len());
        for (byte, new) in bytes[at..].iter_mut().zip(&with) {
            *byte = *new;
        }
        feed(&bytes, &splits);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        splits in prop::collection::vec(1..300_usize, 1..20),
    ) {
        feed(&bytes, &splits);
    }
}

fn feed(bytes: &[u8], splits: &[usize]) {
    let mut pair = Pair::attached(tight());
    let now = pair.now;
    pair.end(B).is_fed_by_hand = true;
    let mut rest = bytes;
    for &split in splits.iter().cycle() {
        let (part, behind) = rest.split_at(split.min(rest.len()));
        if part.is_empty() {
            break;
        }
        if let Err(violation) = pair.end(B).take(now, Link::MESSAGE, part) {
            pair.end(B).session.violated(now, violation);
            break;
        }
        rest = behind;
    }
    while pair.end(B).session.poll_event().is_some() {}
    assert!(pair.see(B).session.live_streams() <= 8);
}
