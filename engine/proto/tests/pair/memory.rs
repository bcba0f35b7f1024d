//! What is kept, and when it is let go.

use ringway_proto::{
    BodyId, BodyKind, Event, RetainedBody, SendError, SessionConfig, Side, Status,
};

use crate::harness::{Pair, tight};

const A: Side = Side::Dialer;
const B: Side = Side::Acceptor;

// S20
#[test]
fn memory_below_an_ack_is_free_at_once() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    for _ in 0..10 {
        pair.send(A, id, 1000);
    }
    pair.pump(A);
    assert_eq!(pair.see(A).session.statistics().retained_bytes, 10_000);
    assert_eq!(pair.see(A).session.statistics().unacked_bytes, 10_000);
    // Seven and a half bodies arrive.
    pair.deliver(A, 7 * 1040 + 40 + 500);
    pair.pump(B);
    pair.deliver(B, usize::MAX);
    let statistics = *pair.see(A).session.statistics();
    assert_eq!(
        (statistics.retained_bytes, statistics.unacked_bytes),
        (3000, 2500)
    );
    assert_eq!(pair.see(A).retained().len(), 3);
    pair.run();
    assert_eq!(pair.see(A).session.statistics().retained_bytes, 0);
}

// S21
#[test]
fn an_unacked_file_range_of_any_length_costs_next_to_nothing() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    let now = pair.now;
    let session = &mut pair.end(A).session;
    let end = session.send(now, id, BodyId(0), 10 << 30, BodyKind::Range, false);
    assert_eq!(end, Ok(10 << 30));
    assert!(session.statistics().retained_bytes < 1 << 20);
}

// S12
#[test]
fn a_producer_faster_than_its_link_is_held_at_the_cap_and_control_passes() {
    let mut pair = Pair::attached(tight());
    let id = pair.open(A);
    let now = pair.now;
    let mut accepted = 0;
    for turn in 0..2000 {
        let end = pair.end(A);
        while end.send(now, A, id, 700, BodyKind::Memory, false).is_ok() {
            accepted += 700;
        }
        assert!(pair.see(A).session.statistics().retained_bytes <= 20_000);
        // The link takes a little, the other direction is as quick as ever.
        pair.pump_with(A, 300, 200, Some);
        pair.deliver(A, 60);
        pair.consume_all(B);
        if turn % 100 == 99 {
            let token = pair.see(B).session.statistics().frames_received;
            let due = now + pair.config.heartbeat;
            pair.end(A).session.handle_timeout(due);
            pair.pump_with(A, 400, 1, |_| Some(0));
            pair.deliver(A, usize::MAX);
            assert!(pair.see(B).session.statistics().frames_received > token);
        }
        pair.pump(B);
        pair.deliver(B, usize::MAX);
    }
    assert!(accepted > 100_000);
    pair.run();
    assert_eq!(pair.received(B, id).len(), accepted);
}

// S13 (block)
#[test]
fn at_the_cap_while_disconnected_a_sender_is_blocked_and_nothing_is_lost() {
    let mut pair = Pair::attached(tight());
    let id = pair.open(A);
    pair.cut();
    pair.send(A, id, 15_000);
    let now = pair.now;
    let blocked = pair.end(A).send(now, A, id, 6000, BodyKind::Memory, false);
    let numbers = SendError::Blocked {
        retained: 15_000,
        allowed: 20_000,
    };
    assert_eq!(blocked, Err(numbers));
    pair.events(A);
    pair.attach();
    pair.run();
    assert!(pair.events(A).contains(&Event::SendUnblocked));
    pair.send(A, id, 6000);
    pair.run();
    assert_eq!(pair.received(B, id).len(), 21_000);
}

#[test]
fn empty_records_and_ranges_are_bounded_by_the_cap_too() {
    let mut pair = Pair::attached(tight());
    let id = pair.open(A);
    pair.cut();
    let now = pair.now;
    let end = pair.end(A);
    let mut count = 0;
    while end.send(now, A, id, 0, BodyKind::Memory, true).is_ok() {
        count += 1;
    }
    assert_eq!(count, 20_000 / 64);
    pair.attach();
    pair.run();
    assert_eq!(pair.see(B).received[&id].records.len(), count);
}

/// Found by review: what had been in flight of a stream that was reset stayed counted, or was
/// taken from others.
#[test]
fn a_reset_takes_its_own_bytes_from_those_in_flight() {
    let mut pair = Pair::attached(SessionConfig::default());
    let (one, two) = (pair.open(A), pair.open(A));
    pair.send(A, one, 3000);
    pair.send(A, two, 2000);
    pair.pump(A);
    pair.cut_and_attach();
    for side in [B, A] {
        pair.pump_with(side, 1, 1, Some);
        pair.deliver(side, usize::MAX);
    }
    // Half of the first and all of the second are sent again.
    pair.pump_with(A, 3600, 1 << 20, |length| Some(length.min(1500)));
    let before = pair.see(A).session.statistics().unacked_bytes;
    let now = pair.now;
    pair.end(A).reset(now, one);
    let in_flight = pair.see(A).session.statistics().unacked_bytes;
    assert!(
        before > in_flight && in_flight >= 500,
        "{before} {in_flight}"
    );
    pair.run();
    let statistics = pair.see(A).session.statistics();
    assert_eq!(
        (statistics.unacked_bytes, statistics.retained_bytes),
        (0, 0)
    );
}

#[test]
fn what_is_left_at_the_end_is_given_back() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.send(A, id, 100);
    pair.record(A, id, 200);
    pair.finish(A, id);
    pair.pump(A);
    pair.deliver(A, 40 + 100 + 40 + 50);
    pair.consume_all(B);
    pair.pump(B);
    pair.deliver(B, usize::MAX);
    let now = pair.now;
    pair.end(A).session.close(now, Status::ok());
    let reports = pair.end(A).session.take_remains();
    assert_eq!(reports.len(), 1);
    assert_eq!(
        (reports[0].progress.acked, reports[0].progress.consumed),
        (150, 150)
    );
    let kept = RetainedBody {
        body: BodyId(1),
        start: 100,
        length: 200,
        end_of_record: true,
    };
    assert_eq!(reports[0].retained, vec![kept]);
    assert_eq!(reports[0].finish, Some(Status::ok()));
}
