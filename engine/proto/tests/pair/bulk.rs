//! Several connections: what overtakes what, what waits for what, and what is lost with one.

use std::collections::BTreeSet;

use proptest::prelude::*;
use ringway_proto::testing::Frame;
use ringway_proto::{
    BodyKind, Epoch, Event, Link, RefusalCode, Rule, SessionConfig, SessionError, Side, Status,
    StreamId,
};

use crate::harness::{Pair, tight};

const A: Side = Side::Dialer;
const B: Side = Side::Acceptor;

/// From here on a payload is large.
const LARGE: usize = 2000;

fn with_bulk(connections: u8) -> SessionConfig {
    SessionConfig {
        stream_window_bytes: 100_000,
        session_window_bytes: 400_000,
        retained_bytes_max: 1_000_000,
        unacked_bytes_max: 400_000,
        bulk_connections: connections,
        bulk_body_bytes_min: LARGE as u64,
        ..tight()
    }
}

/// Attached, with all its bulk connections.
fn ready(connections: u8) -> Pair {
    let mut pair = Pair::attached(with_bulk(connections));
    let id = pair.open(A);
    pair.send(A, id, LARGE);
    pair.finish(A, id);
    pair.run();
    pair.finish(B, id);
    pair.run();
    assert_eq!(pair.bulk.len(), usize::from(connections));
    pair
}

fn pump_bulk(pair: &mut Pair, side: Side, which: usize) {
    pair.pump_bulk_with(side, which, (1 << 20, 1 << 20), Some);
}

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (frame, size) = Frame::parse(&bytes[at..]).expect("whole frames");
        at += size;
        if let Frame::Data { length, .. } = frame {
            at += length as usize;
        }
        frames.push(frame);
    }
    frames
}

fn hear_bulk(
    pair: &mut Pair,
    which: usize,
    frames: &[Frame],
) -> Result<(), ringway_proto::Violation> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.emit(&mut bytes);
        if let Frame::Data { length, .. } = frame {
            bytes.extend(vec![7; *length as usize]);
        }
    }
    pair.end(B).is_fed_by_hand = true;
    pair.bulk[which].wires[0] = bytes;
    pair.try_deliver_bulk(A, which, usize::MAX)
}

fn data(stream: StreamId, offset: u64, length: u32) -> Frame {
    Frame::Data {
        stream,
        offset,
        record: 0,
        length,
        opens: false,
        end_of_record: false,
        finishes: false,
        trailer: false,
    }
}

#[test]
fn a_large_body_takes_a_bulk_connection_and_what_is_small_does_not() {
    let mut pair = ready(1);
    let (bulk, small) = (pair.open(A), pair.open(A));
    pair.send(A, bulk, 3 * LARGE);
    pair.record(A, small, 64);
    pair.pump(A);
    let carried = |frames: Vec<Frame>| -> BTreeSet<StreamId> {
        let stream = |frame| match frame {
            Frame::Data { stream, length, .. } if length > 0 => Some(stream),
            _ => None,
        };
        frames.into_iter().filter_map(stream).collect()
    };
    assert_eq!(
        carried(frames(&pair.bulk[0].wires[0])),
        BTreeSet::from([bulk])
    );
    assert_eq!(carried(frames(&pair.wires[0])), BTreeSet::from([small]));
    pair.run();
    assert_eq!(pair.received(B, bulk).len(), 3 * LARGE);
}

/// The accepting side cannot dial: it asks.
#[test]
fn an_acceptor_with_a_large_body_asks_for_a_bulk_connection() {
    let mut pair = Pair::attached(with_bulk(2));
    let id = pair.open(B);
    assert_eq!(pair.see(A).session.bulk_missing(), 0);
    pair.send(B, id, LARGE);
    pair.pump(B);
    pair.deliver(B, usize::MAX);
    assert_eq!(pair.see(A).session.bulk_missing(), 2);
    assert_eq!(pair.see(B).session.bulk_missing(), 0);
    pair.run();
    assert_eq!(pair.received(A, id).len(), LARGE);
}

#[test]
fn the_smaller_number_of_both_sides_holds() {
    for (ours, theirs, agreed) in [(3, 1, 1), (1, 3, 1), (0, 3, 0), (3, 0, 0), (200, 200, 8)] {
        let mut pair = Pair::with_configs(with_bulk(ours), with_bulk(theirs));
        pair.attach();
        let id = pair.open(A);
        pair.send(A, id, LARGE);
        pair.run();
        assert_eq!(pair.bulk.len(), agreed, "{ours} and {theirs}");
        assert_eq!(pair.received(B, id).len(), LARGE);
    }
}

#[test]
fn a_body_ahead_of_the_frame_that_opens_its_stream_waits_unread() {
    let mut pair = ready(1);
    let id = pair.open(A);
    pair.send(A, id, LARGE);
    pair.finish(A, id);
    pair.pump(A);
    let opening = frames(&pair.wires[0]);
    assert!(matches!(
        opening[..],
        [Frame::Data {
            length: 0,
            opens: true,
            ..
        }]
    ));
    pair.deliver_bulk(A, 0, usize::MAX);
    assert!(!pair.see(B).opened.contains(&id));
    pair.deliver(A, usize::MAX);
    assert_eq!(pair.received(B, id).len(), LARGE);
    pair.finish(B, id);
    pair.run();
    pair.check_nothing_left();
}

#[test]
fn a_body_ahead_of_what_its_stream_sent_before_waits_for_that() {
    let mut pair = ready(1);
    let id = pair.open(A);
    pair.record(A, id, 500);
    pair.record(A, id, 0);
    pair.pump(A);
    pair.record(A, id, LARGE);
    pair.record(A, id, 300);
    pair.pump(A);
    pair.deliver_bulk(A, 0, usize::MAX);
    assert!(pair.received(B, id).is_empty());
    // All but the empty record, then that too.
    let (all, empty) = (pair.wires[0].len(), 40);
    pair.deliver(A, all - empty);
    assert_eq!(pair.received(B, id).len(), 500);
    pair.deliver(A, empty);
    assert_eq!(pair.received(B, id).len(), 500 + LARGE + 300);
    assert_eq!(pair.see(B).received[&id].records.len(), 4);
}

/// A stream goes back to the message connection only once everything it sent elsewhere is acked:
/// there a gap would be a broken rule.
#[test]
fn a_small_record_behind_a_large_one_stays_behind_it() {
    let mut pair = ready(1);
    let id = pair.open(A);
    pair.record(A, id, LARGE);
    pair.pump(A);
    pair.record(A, id, 10);
    pair.pump(A);
    let on_bulk = frames(&pair.bulk[0].wires[0]);
    assert_eq!(on_bulk.len(), 2, "{on_bulk:?}");
    pair.run();
    pair.record(A, id, 10);
    pair.pump(A);
    assert!(pair.bulk[0].wires[0].is_empty());
    pair.run();
    assert_eq!(pair.received(B, id).len(), LARGE + 20);
}

/// As above, where nothing but an empty record is unacked.
#[test]
fn an_unacked_empty_record_keeps_its_stream_where_it_is() {
    let mut pair = ready(1);
    let id = pair.open(A);
    pair.record(A, id, LARGE);
    pair.record(A, id, 0);
    pair.pump(A);
    let body = pair.bulk[0].wires[0].len() - 40;
    pair.deliver_bulk(A, 0, body);
    pair.deliver(A, usize::MAX);
    pair.pump(B);
    pair.deliver(B, usize::MAX);
    assert_eq!(pair.see(A).acked[&id], LARGE as u64);
    pair.record(A, id, 10);
    pair.pump(A);
    assert!(
        pair.wires[0].is_empty(),
        "it would overtake the empty record"
    );
    pair.run();
    assert_eq!(pair.see(B).received[&id].records.len(), 3);
}

#[test]
fn a_body_that_is_stuck_delays_no_message_and_no_ack() {
    let mut pair = ready(1);
    let (bulk, small) = (pair.open(A), pair.open(A));
    pair.send(A, bulk, 50_000);
    pair.pump(A);
    pair.deliver_bulk(A, 0, 1000);
    pair.record(A, small, 64);
    pair.pump_with(A, 1 << 20, 1 << 20, Some);
    pair.deliver(A, usize::MAX);
    assert_eq!(pair.received(B, small).len(), 64);
    pair.pump_with(B, 1 << 20, 1 << 20, Some);
    pair.deliver(B, usize::MAX);
    assert_eq!(pair.see(A).acked[&small], 64);
}

/// A part of the cap on unacked bytes is the message connection's own.
#[test]
fn bodies_cannot_use_up_what_may_be_unacked() {
    let mut pair = ready(1);
    let ids = [pair.open(A), pair.open(A), pair.open(A), pair.open(A)];
    for _ in 0..5 {
        for id in ids {
            pair.send(A, id, 20_000);
        }
    }
    pair.pump(A);
    let unacked = pair.see(A).session.statistics().unacked_bytes;
    assert!((300_000..=350_000).contains(&unacked), "{unacked}");
    let small = pair.open(A);
    pair.record(A, small, 1000);
    pair.pump(A);
    pair.deliver(A, usize::MAX);
    assert_eq!(pair.received(B, small).len(), 1000);
    pair.run();
}

/// Each is offered what is left, not what there is: committed both, they would break the peer's
/// rule.
#[test]
fn bodies_offered_on_two_connections_share_the_credit_and_the_cap() {
    let bounds = (1 << 20, 1 << 20);
    for (credit, unacked) in [(9000, 400_000), (400_000, 9000)] {
        let config = SessionConfig {
            session_window_bytes: credit,
            unacked_bytes_max: unacked,
            ..with_bulk(2)
        };
        let mut pair = Pair::attached(config);
        let ids = [pair.open(A), pair.open(A), pair.open(A)];
        for id in ids {
            pair.record(A, id, 1);
        }
        pair.send(A, ids[0], LARGE);
        pair.run();
        let [sent, allowed, ..] = ringway_proto::testing::session_ledger(&pair.see(A).session);
        pair.send(A, ids[0], 1900);
        pair.send(A, ids[1], 20_000);
        pair.send(A, ids[2], 20_000);
        pair.pump_with(A, bounds.0, bounds.1, |_| None);
        for which in 0..2 {
            pair.pump_bulk_with(A, which, bounds, |_| None);
        }
        for which in 0..2 {
            pair.pump_bulk_with(A, which, bounds, Some);
        }
        pair.pump(A);
        let [used, ..] = ringway_proto::testing::session_ledger(&pair.see(A).session);
        assert!(used > sent && used <= allowed, "{used} of {allowed}");
        assert!(pair.see(A).session.statistics().unacked_bytes <= unacked);
        pair.run();
        assert_eq!(pair.received(B, ids[2]).len(), 20_001);
    }
}

#[test]
fn a_finish_that_overtakes_its_body_is_told_after_every_byte() {
    let mut pair = ready(1);
    let id = pair.open(A);
    pair.send(A, id, 3 * LARGE);
    pair.pump(A);
    let now = pair.now;
    pair.end(A).finish(now, id, Status::new(1007, "midway"));
    pair.pump(A);
    pair.deliver(A, usize::MAX);
    assert!(pair.see(B).received[&id].finished.is_none());
    pair.deliver_bulk(A, 0, LARGE);
    assert!(pair.see(B).received[&id].finished.is_none());
    pair.deliver_bulk(A, 0, usize::MAX);
    assert!(pair.see(B).received[&id].finished.is_some());
    pair.finish(B, id);
    pair.run();
    pair.check_nothing_left();
}

/// What its bytes lay in may be used again only when the peer has read past them: the ack of the
/// end says nothing about the other connection.
// S22
#[test]
fn the_memory_of_an_aborted_body_rests_until_its_own_connection_is_read_past_it() {
    let mut pair = ready(1);
    let id = pair.open(A);
    pair.send(A, id, 3 * LARGE);
    pair.pump(A);
    pair.deliver(A, usize::MAX);
    pair.deliver_bulk(A, 0, 1000);
    let now = pair.now;
    pair.end(A).reset(now, id);
    pair.pump(A);
    pair.deliver(A, usize::MAX);
    assert!(pair.see(B).received[&id].reset.is_some());
    pair.pump(B);
    pair.deliver(B, usize::MAX);
    let is_end_acked =
        |event: &Event| matches!(event, Event::FinishAcked { stream } if *stream == id);
    assert!(pair.events(A).iter().any(is_end_acked));
    pair.finish(B, id);
    pair.pump(B);
    pair.deliver(B, usize::MAX);
    assert!(
        !pair.see(A).fenced.contains(&id),
        "1000 of 6000 bytes were read"
    );
    assert!(!pair.see(A).ended.contains(&id));
    let rest = pair.bulk[0].wires[0].len() - 40;
    pair.deliver_bulk(A, 0, rest);
    pump_bulk(&mut pair, B, 0);
    assert!(pair.bulk[0].wires[1].is_empty(), "the ping has not arrived");
    pair.deliver_bulk(A, 0, 40);
    pump_bulk(&mut pair, B, 0);
    pair.deliver_bulk(B, 0, usize::MAX);
    assert!(pair.see(A).fenced.contains(&id));
    pair.pump(A);
    assert!(pair.see(A).ended.contains(&id));
    pair.run();
    pair.check_nothing_left();
}

/// With the connection everything on it is over: then the rest is the engine's.
#[test]
fn an_aborted_body_whose_connection_is_lost_waits_for_no_answer() {
    let mut pair = ready(1);
    let id = pair.open(A);
    pair.send(A, id, LARGE);
    pair.pump(A);
    let now = pair.now;
    pair.end(A).reset(now, id);
    pair.pump(A);
    pair.finish(B, id);
    pair.cut_and_attach();
    pair.run();
    assert!(pair.see(A).fenced.contains(&id));
    pair.finish(B, id);
    pair.run();
    pair.check_nothing_left();
}

/// Bytes that arrive behind the reset count for nothing, or credit would be returned twice.
#[test]
fn a_reset_in_the_middle_of_a_body_returns_its_credit_once() {
    for taken in [1, 40, 41, 1040, 2039, 2040] {
        let mut pair = ready(1);
        let id = pair.open(A);
        pair.send(A, id, LARGE);
        pair.pump(A);
        pair.deliver(A, usize::MAX);
        pair.deliver_bulk(A, 0, taken);
        let now = pair.now;
        pair.end(A).reset(now, id);
        pair.pump(A);
        pair.deliver(A, usize::MAX);
        pair.deliver_bulk(A, 0, usize::MAX);
        pair.finish(B, id);
        pair.run();
        pair.check_nothing_left();
    }
}

#[test]
fn a_stop_that_overtakes_a_body_ends_it() {
    let mut pair = ready(1);
    let id = pair.open(A);
    pair.send(A, id, 50_000);
    pair.pump(A);
    pair.deliver(A, usize::MAX);
    pair.deliver_bulk(A, 0, 1000);
    let now = pair.now;
    pair.end(B)
        .session
        .stop(now, id, Status::new(1002, "enough"));
    pair.finish(B, id);
    pair.run();
    pair.check_nothing_left();
}

/// Whichever connection breaks, at whichever byte: all are over, and everything arrives.
// S5
#[test]
fn a_cut_of_any_connection_at_every_byte_loses_and_doubles_nothing() {
    let total = {
        let mut pair = loaded();
        pair.pump(A);
        pair.bulk
            .iter()
            .map(|bulk| bulk.wires[0].len())
            .sum::<usize>()
            + pair.wires[0].len()
    };
    for at in (0..total).step_by(13) {
        let mut pair = loaded();
        pair.pump(A);
        let mut left = at;
        for which in 0..pair.bulk.len() {
            let count = left.min(pair.bulk[which].wires[0].len());
            pair.deliver_bulk(A, which, count);
            left -= count;
        }
        pair.deliver(A, left);
        pair.pump(B);
        pair.deliver(B, at % 200);
        pair.cut_and_attach();
        pair.run();
        for side in [A, B] {
            for id in pair.see(side).opened.clone() {
                pair.finish(side, id);
            }
        }
        pair.run();
        pair.check_nothing_left();
    }
}

fn loaded() -> Pair {
    let mut pair = ready(2);
    for length in [LARGE, 10, LARGE + 700] {
        let id = pair.open(A);
        pair.record(A, id, 5);
        pair.record(A, id, length);
        pair.record(A, id, 0);
    }
    pair
}

#[test]
fn only_bodies_and_signs_of_life_travel_on_a_bulk_connection() {
    let id = StreamId::new(A, 0);
    let status = || Status::new(1, "x");
    let opens = match data(id, 0, 0) {
        Frame::Data { stream, .. } => Frame::Data {
            opens: true,
            offset: 0,
            record: 0,
            length: 0,
            end_of_record: false,
            finishes: false,
            trailer: false,
            stream,
        },
        other => other,
    };
    for frame in [
        opens,
        Frame::SessionCredit(1 << 40),
        Frame::StreamCredit(9),
        Frame::Stop {
            stream: id,
            opens: false,
            status: status(),
        },
        Frame::Reset {
            stream: id,
            offset: 0,
            opens: false,
            status: status(),
        },
        Frame::Finish {
            stream: id,
            offset: 0,
            record: 0,
            opens: false,
            status: status(),
        },
        Frame::Drain,
        Frame::Close(status()),
        Frame::Bulk {
            takes: 1,
            wanted: 1,
        },
        Frame::Resume {
            opened: 1,
            seen: 0,
            is_last: true,
            entries: vec![],
        },
    ] {
        let mut pair = ready(1);
        let violation =
            hear_bulk(&mut pair, 0, std::slice::from_ref(&frame)).expect_err("misplaced");
        assert_eq!(
            (violation.rule, violation.frame),
            (Rule::Misplaced, frame.kind())
        );
    }
}

/// Two writers of one place.
#[test]
fn a_body_of_a_stream_on_two_connections_at_once_is_refused_or_waits() {
    let mut pair = ready(2);
    let id = pair.open(A);
    pair.record(A, id, 0);
    pair.run();
    let half_a_body = |pair: &mut Pair, which: usize| {
        let mut bytes = Vec::new();
        let frame = match data(id, 0, 1000) {
            Frame::Data {
                stream,
                offset,
                length,
                ..
            } => Frame::Data {
                stream,
                offset,
                length,
                record: 1,
                opens: false,
                end_of_record: false,
                finishes: false,
                trailer: false,
            },
            other => other,
        };
        frame.emit(&mut bytes);
        bytes.extend(vec![7; 500]);
        pair.end(B).is_fed_by_hand = true;
        pair.bulk[which].wires[0] = bytes.clone();
        bytes
    };
    let _ = half_a_body(&mut pair, 0);
    pair.end(A).sent.entry(id).or_default().bytes = vec![7; 2000];
    pair.deliver_bulk(A, 0, usize::MAX);
    assert_eq!(pair.received(B, id).len(), 500);
    let bytes = half_a_body(&mut pair, 1);
    pair.deliver_bulk(A, 1, usize::MAX);
    assert_eq!(pair.received(B, id).len(), 500, "it waits");
    pair.wires[0] = bytes;
    let violation = pair.try_deliver(A, usize::MAX).expect_err("two writers");
    assert_eq!(violation.rule, Rule::OffsetGap);
}

#[test]
fn a_stream_that_nobody_may_open_does_not_keep_a_connection_waiting() {
    let mut pair = ready(1);
    let beyond = StreamId::new(A, 1000);
    let violation = hear_bulk(&mut pair, 0, &[data(beyond, 0, 10)]).expect_err("no credit for it");
    assert_eq!(violation.rule, Rule::StreamUnknown);
    let mut pair = ready(1);
    let ours = StreamId::new(B, 3);
    let violation = hear_bulk(&mut pair, 0, &[data(ours, 0, 10)]).expect_err("never opened");
    assert_eq!(violation.rule, Rule::StreamUnknown);
}

#[test]
fn an_acceptor_takes_no_advice_on_bulk_connections() {
    let mut pair = ready(1);
    let mut bytes = Vec::new();
    Frame::Bulk {
        takes: 1,
        wanted: 1,
    }
    .emit(&mut bytes);
    pair.wires[0] = bytes.clone();
    let violation = pair.try_deliver(A, usize::MAX).expect_err("not its to say");
    assert_eq!(violation.rule, Rule::Misplaced);
    let mut pair = Pair::attached(with_bulk(0));
    pair.wires[1] = bytes;
    let violation = pair.try_deliver(B, usize::MAX).expect_err("not agreed");
    assert_eq!(violation.rule, Rule::Misplaced);
}

#[test]
fn an_attach_of_another_epoch_or_beyond_the_limit_is_refused_with_both_numbers() {
    let mut pair = ready(1);
    let (now, session) = (pair.now, &pair.see(B).session);
    let current = session.epoch();
    let stale = session
        .check_bulk(Epoch(current.0 + 1))
        .expect_err("not this epoch");
    assert_eq!(stale.code, RefusalCode::StaleEpoch);
    assert!(
        stale.text.contains("epoch 2") && stale.text.contains('1'),
        "{stale}"
    );
    let full = session.check_bulk(current).expect_err("full");
    assert_eq!(full.code, RefusalCode::Overloaded);
    assert!(full.text.contains("1 bulk connections of 1"), "{full}");
    let (_, mut acceptor) = pair.handshake_bulk();
    let session = &mut pair.end(B).session;
    let error = session.attach_bulk(now, &acceptor).expect_err("full");
    assert_eq!(
        error,
        SessionError::TooManyConnections {
            held: 1,
            allowed: 1
        }
    );
    acceptor.epoch = Epoch(7);
    let error = session
        .attach_bulk(now, &acceptor)
        .expect_err("another epoch");
    assert_eq!(error, SessionError::OtherEpoch { got: 7, current: 1 });
    assert!(session.is_attached(), "nothing is fenced by it");
    pair.cut();
    let refusal = pair
        .see(B)
        .session
        .check_bulk(current)
        .expect_err("no message connection");
    assert_eq!(refusal.code, RefusalCode::StaleEpoch);
}

/// A bulk connection is never the first: a session is made and resumed by its message connection.
#[test]
fn a_bulk_connection_does_not_resume_a_session() {
    let mut pair = ready(1);
    let (_, mut acceptor) = pair.handshake_bulk();
    acceptor.epoch = Epoch(9);
    let now = pair.now;
    let session = &mut pair.end(B).session;
    assert!(session.attach(now, &acceptor).is_err());
    assert_eq!((session.epoch(), session.bulk_links()), (Epoch(1), 1));
}

// B4
#[test]
fn a_bulk_connection_that_falls_silent_is_told_and_one_that_waits_is_not() {
    let heartbeat_ns = 5_000_000_000;
    let is_silent = |event: &Event| matches!(event, Event::PeerSilent { link } if link.is_bulk());
    let mut pair = ready(1);
    let mut told = Vec::new();
    for heartbeats in 1..10 {
        pair.pass(heartbeat_ns);
        for side in [A, B] {
            pair.pump(side);
            pair.deliver(side, usize::MAX);
        }
        pair.bulk[0].wires = [Vec::new(), Vec::new()];
        if pair.events(A).iter().any(is_silent) {
            let now = pair.now;
            let session = &pair.end(A).session;
            told.push((heartbeats, session.is_heard_beside(now, Link::new(1))));
        }
    }
    // Not lost after two: its signs of life may stand behind the other's bytes in a queue on the
    // way.
    assert_eq!(told, [(2, true), (4, false)]);

    let mut pair = ready(1);
    let id = pair.open(A);
    pair.send(A, id, LARGE);
    pump_bulk(&mut pair, A, 0);
    pair.deliver_bulk(A, 0, usize::MAX);
    for _ in 0..5 {
        pair.pass(heartbeat_ns);
        for side in [A, B] {
            // The frame that opens the stream is late; both are alive.
            pump_bulk(&mut pair, side, 0);
            pair.deliver_bulk(side, 0, usize::MAX);
            let now = pair.now;
            pair.end(side).session.heard(now, Link::MESSAGE);
        }
    }
    assert!(!pair.events(B).iter().any(is_silent));
}

// B4
#[test]
fn a_peer_that_is_silent_on_every_connection_is_told_after_two_heartbeats() {
    let heartbeat_ns = 5_000_000_000;
    let last = Link::new(1);
    let is_silent = |event: &Event| *event == Event::PeerSilent { link: last };
    let mut pair = ready(2);
    // It was heard last on a bulk connection, a moment after the others.
    pair.pass(heartbeat_ns / 10);
    let now = pair.now;
    pair.end(A).session.heard(now, last);
    pair.pass(2 * heartbeat_ns - 1);
    assert!(!pair.events(A).iter().any(is_silent));
    pair.pass(1);
    assert!(pair.events(A).iter().any(is_silent));
    let now = pair.now;
    assert!(!pair.end(A).session.is_heard_beside(now, last), "nowhere");
}

/// Each end names connections as they come to it.
#[test]
fn the_ends_may_number_their_connections_differently() {
    let mut pair = Pair::attached(with_bulk(2));
    pair.attach_bulk_crossed();
    for length in [LARGE, 2 * LARGE, 9000] {
        for side in [A, B] {
            let id = pair.open(side);
            pair.send(side, id, length);
        }
    }
    pair.run();
    for side in [A, B] {
        for id in pair.see(side).opened.clone() {
            pair.finish(side, id);
        }
    }
    pair.run();
    pair.check_nothing_left();
}

#[test]
fn several_large_bodies_spread_over_the_bulk_connections() {
    let mut pair = ready(3);
    let ids: Vec<_> = (0..3).map(|_| pair.open(A)).collect();
    for &id in &ids {
        pair.send(A, id, 10_000);
    }
    pair.pump(A);
    assert!(pair.bulk.iter().all(|bulk| bulk.wires[0].len() > 10_000));
    pair.run();
}

proptest! {
    /// Links wait for each other in no circle: whatever order the connections are read in, as
    /// long as each is read at last, everything arrives.
    #[test]
    fn no_order_of_reading_leaves_connections_waiting_for_each_other(
        lengths in prop::collection::vec((0..4_usize, prop_oneof![0..50_usize, LARGE..9000]), 1..40),
        reads in prop::collection::vec((0..4_usize, 1..9000_usize), 0..120),
    ) {
        let mut pair = ready(3);
        let ids: Vec<_> = (0..4).map(|_| pair.open(A)).collect();
        let mut reads = reads.into_iter();
        for (at, length) in lengths {
            let now = pair.now;
            drop(pair.end(A).send(now, A, ids[at], length, BodyKind::Range, true));
            pair.pump_with(A, 3000, 2500, Some);
            for which in 0..3 {
                pair.pump_bulk_with(A, which, (3000, 2500), Some);
            }
            for (link, count) in reads.by_ref().take(3) {
                match link {
                    0 => pair.deliver(A, count),
                    link => pair.deliver_bulk(A, link - 1, count),
                }
                pair.pump(B);
                pair.deliver(B, usize::MAX);
            }
        }
        for &id in &ids {
            pair.finish(A, id);
        }
        pair.run();
        for &id in &ids {
            pair.finish(B, id);
        }
        pair.run();
        pair.check_nothing_left();
    }
}
