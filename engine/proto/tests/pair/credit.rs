//! Credit: what is granted is kept to, and never runs dry for good.

use ringway_proto::testing::{Frame, session_ledger};
use ringway_proto::{Link, Rule, SessionConfig, Side, Status, StreamId, Trailer, Transmit};

use crate::harness::{Pair, tight};

const A: Side = Side::Dialer;
const B: Side = Side::Acceptor;

// C6: readers that are stuck hold the session's whole window; small calls go on.
#[test]
fn stuck_readers_do_not_stop_small_calls() {
    let config = SessionConfig {
        streams_max: 200,
        retained_bytes_max: 1 << 20,
        ..tight()
    };
    let mut pair = Pair::attached(config);
    for _ in 0..8 {
        let stuck = pair.open(A);
        pair.send(A, stuck, 6000);
        pair.run_with(false);
    }
    let [sent, allowed, ..] = session_ledger(&pair.see(A).session);
    assert_eq!(sent, allowed, "the session's credit is used up");
    for _ in 0..100 {
        let call = pair.open(A);
        pair.record(A, call, 64);
        pair.run_with(false);
        assert_eq!(pair.received(B, call).len(), 64);
    }
    pair.run();
    for id in 0..8 {
        assert_eq!(pair.received(B, StreamId::new(A, id)).len(), 6000);
    }
}

// C12
#[test]
fn two_ends_blocked_on_credit_for_long_stay_alive() {
    let mut pair = Pair::attached(tight());
    let id = pair.open(A);
    pair.send(A, id, 10_000);
    pair.run_with(false);
    pair.send(B, id, 10_000);
    pair.run_with(false);
    let heartbeat = pair.config.heartbeat.as_nanos() as u64;
    for _ in 0..40 {
        pair.pass(heartbeat / 4);
        for side in [A, B] {
            pair.pump(side);
            pair.deliver(side, usize::MAX);
        }
    }
    let silent = |side| {
        pair.see(side)
            .events
            .iter()
            .any(|event| matches!(event, ringway_proto::Event::PeerSilent { .. }))
    };
    assert!(!silent(A) && !silent(B));
    assert_eq!(pair.received(B, id).len(), 6000);
    pair.run();
    assert_eq!(
        (pair.received(A, id).len(), pair.received(B, id).len()),
        (10_000, 10_000)
    );
}

#[test]
fn lost_bytes_of_a_reset_return_their_credit() {
    let mut pair = Pair::attached(tight());
    for _ in 0..20 {
        let id = pair.open(A);
        pair.send(A, id, 6000);
        pair.pump(A);
        pair.deliver(A, 500);
        let now = pair.now;
        pair.end(A).reset(now, id);
        pair.cut_and_attach();
        pair.run();
        pair.finish(B, id);
        pair.run();
    }
    pair.check_nothing_left();
}

/// An application that does not read cannot be made to hold more than was granted.
#[test]
fn unread_streams_that_have_ended_keep_their_credit() {
    let mut pair = Pair::attached(tight());
    let mut opened = 0;
    for _ in 0..40 {
        let now = pair.now;
        let Some(id) = pair.end(A).open(now) else {
            break;
        };
        opened += 1;
        pair.record(A, id, 2000);
        pair.finish(A, id);
        pair.run_with(false);
        pair.finish(B, id);
        pair.run_with(false);
    }
    assert_eq!(opened, 8, "the streams granted");
    let held: usize = pair.see(B).received.values().map(|it| it.bytes.len()).sum();
    assert!(held <= 8 * 4096 + 9000);
    pair.run();
    pair.check_nothing_left();
    pair.open(A);
}

fn data(stream: StreamId, offset: u64, length: u32) -> Frame {
    Frame::Data {
        stream,
        offset,
        record: 0,
        length,
        opens: true,
        end_of_record: false,
        finishes: false,
        trailer: false,
    }
}

fn hear(pair: &mut Pair, frame: &Frame) -> Result<(), ringway_proto::Violation> {
    let mut bytes = Vec::new();
    frame.emit(&mut bytes);
    if let Frame::Data { length, .. } = frame {
        bytes.resize(bytes.len() + *length as usize, 0);
    }
    let now = pair.now;
    pair.end(B).is_fed_by_hand = true;
    let result = pair.end(B).take(now, Link::MESSAGE, &bytes);
    while pair.end(B).session.poll_event().is_some() {}
    result
}

#[test]
fn more_than_the_streams_credit_is_a_violation_with_both_numbers() {
    let mut pair = Pair::attached(tight());
    let violation = hear(&mut pair, &data(StreamId(0), 0, 6001)).expect_err("beyond");
    assert_eq!(violation.rule, Rule::Credit);
    assert_eq!((violation.got, violation.expected), (6001, 6000));
}

#[test]
fn more_than_the_sessions_credit_is_a_violation_with_both_numbers() {
    let config = SessionConfig {
        session_window_bytes: 3000,
        ..tight()
    };
    let mut pair = Pair::attached(config);
    hear(&mut pair, &data(StreamId(0), 0, 6000)).expect("1904 of 3000");
    let violation = hear(&mut pair, &data(StreamId(2), 0, 6000)).expect_err("beyond");
    assert_eq!(violation.rule, Rule::SessionCredit);
    assert_eq!((violation.got, violation.expected), (3808, 3000));
}

#[test]
fn more_streams_than_granted_is_a_violation_with_both_numbers() {
    let mut pair = Pair::attached(tight());
    let violation = hear(&mut pair, &data(StreamId::new(A, 8), 0, 1)).expect_err("the ninth");
    assert_eq!(violation.rule, Rule::StreamCredit);
    assert_eq!((violation.got, violation.expected), (9, 8));
}

#[test]
fn a_reset_beyond_the_credit_is_a_violation() {
    let mut pair = Pair::attached(tight());
    let reset = Frame::Reset {
        stream: StreamId(0),
        offset: 6001,
        opens: true,
        status: Status::dropped(),
    };
    assert_eq!(
        hear(&mut pair, &reset).expect_err("beyond").rule,
        Rule::Credit
    );
}

/// Counts what a poll looks at by what it costs: with nothing to be sent, streams that wait for
/// credit must not be asked one by one.
#[test]
fn a_session_without_credit_does_not_ask_its_streams() {
    let config = SessionConfig {
        streams_max: 100_000,
        session_window_bytes: 1,
        retained_bytes_max: 1 << 40,
        unacked_bytes_max: 1 << 40,
        ..tight()
    };
    let mut pair = Pair::attached(config);
    let now = pair.now;
    for _ in 0..100_000 {
        let id = pair.end(A).open(now).expect("credit");
        let body = ringway_proto::BodyId(id.0);
        let kind = ringway_proto::BodyKind::Range;
        pair.end(A)
            .session
            .send(now, id, body, 5000, kind, false)
            .expect("accepted");
    }
    let session = &mut pair.end(A).session;
    let mut out = Vec::new();
    let mut bodies = 0;
    while let Some(transmit) = session.poll_transmit(now, Link::MESSAGE, &mut out, 1 << 20) {
        if let Transmit::Body(offer) = transmit {
            assert!(session.commit(now, offer, offer.length, Trailer::None, &mut out));
            bodies += 1;
        }
        out.clear();
    }
    assert_eq!(bodies, 100_000, "the free bytes of each");
    // 10 million visits would take a minute; none take no time.
    for _ in 0..100_000 {
        assert!(
            session
                .poll_transmit(now, Link::MESSAGE, &mut out, 1 << 20)
                .is_none()
        );
    }
}
