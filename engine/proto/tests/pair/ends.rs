//! How directions and streams end.

use ringway_proto::{Event, SendError, SessionConfig, Side, Status};

use crate::harness::{Pair, tight};

const A: Side = Side::Dialer;
const B: Side = Side::Acceptor;

// S17, C15
#[test]
fn the_end_is_told_after_every_byte_and_once() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    for _ in 0..5 {
        pair.record(A, id, 1000);
    }
    pair.finish(A, id);
    pair.pump(A);
    let count = pair.wires[0].len();
    for _ in 0..count - 1 {
        pair.deliver(A, 1);
        let received = pair.see(B).received.get(&id);
        assert!(received.is_none_or(|received| received.finished.is_none()));
    }
    pair.deliver(A, 1);
    assert_eq!(
        pair.see(B).received[&id].finished,
        Some((Status::ok(), 5000))
    );
    assert!(pair.see(B).session.is_attached());
    pair.run();
    let ends = pair.events(B);
    let is_finish = |event: &&Event| matches!(event, Event::Finished { .. });
    assert_eq!(ends.iter().filter(is_finish).count(), 1);
}

/// Open, data and finish of a small message are one frame, and opening costs no round trip.
#[test]
fn a_small_message_is_one_frame() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.record(A, id, 64);
    pair.finish(A, id);
    pair.pump(A);
    assert_eq!(pair.wires[0].len(), 40 + 64);
    pair.deliver(A, usize::MAX);
    assert_eq!(pair.see(B).received[&id].finished, Some((Status::ok(), 64)));
}

// C16
#[test]
fn an_empty_record_and_no_record_differ() {
    let mut pair = Pair::attached(SessionConfig::default());
    let (with, without) = (pair.open(A), pair.open(A));
    pair.record(A, with, 0);
    pair.finish(A, with);
    pair.finish(A, without);
    pair.run();
    let end = pair.see(B);
    assert_eq!(
        (
            end.received[&with].records.len(),
            end.received[&without].records.len()
        ),
        (1, 0)
    );
    assert_eq!(end.received[&without].finished, Some((Status::ok(), 0)));
}

#[test]
fn a_direction_ends_once() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.finish(A, id);
    let now = pair.now;
    let session = &mut pair.end(A).session;
    assert_eq!(
        session.finish(now, id, Status::ok()),
        Err(SendError::Finished)
    );
    pair.run();
    pair.finish(B, id);
    pair.run();
    let session = &mut pair.end(A).session;
    assert_eq!(
        session.finish(now, id, Status::ok()),
        Err(SendError::UnknownStream)
    );
    session.reset(now, id, Status::dropped());
    session.stop(now, id, Status::dropped());
    session.consume(now, id, 10);
    pair.check_nothing_left();
}

#[test]
fn a_stop_crosses_a_finish() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.send(A, id, 100);
    pair.finish(A, id);
    pair.pump(A);
    let now = pair.now;
    // B has not seen the finish yet: it stops what it knows.
    pair.deliver(A, 50);
    pair.end(B)
        .session
        .stop(now, id, Status::new(1000, "enough"));
    pair.pump(B);
    pair.deliver(A, usize::MAX);
    pair.deliver(B, usize::MAX);
    pair.run();
    assert!(pair.see(B).received[&id].finished.is_some());
    pair.finish(B, id);
    pair.run();
    pair.check_nothing_left();
}

#[test]
fn opening_a_stream_opens_those_before_it() {
    let mut pair = Pair::attached(tight());
    let (idle, used) = (pair.open(A), pair.open(A));
    pair.record(A, used, 1);
    pair.run();
    assert!(pair.see(B).opened.contains(&idle));
    // The other side may speak first.
    pair.record(B, idle, 5);
    pair.run();
    assert_eq!(pair.received(A, idle).len(), 5);
}

// C22
#[test]
fn thousands_of_calls_opened_and_cancelled_leave_nothing() {
    let mut pair = Pair::attached(tight());
    let now = pair.now;
    for turn in 0..3000 {
        let id = pair.open(A);
        pair.send(A, id, turn % 50);
        if turn % 3 == 0 {
            pair.pump(A);
            pair.deliver(A, usize::MAX);
        }
        pair.end(A).reset(now, id);
        pair.end(A).session.stop(now, id, Status::dropped());
        if turn % 5 == 4 {
            pair.run();
        }
    }
    pair.run();
    pair.check_nothing_left();
}
