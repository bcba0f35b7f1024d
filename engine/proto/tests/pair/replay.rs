//! What was sent and not acked is sent again, exactly, and only then new bytes.

use ringway_proto::{BodyKind, Event, SessionConfig, Side, Status};

use crate::harness::{Pair, tight};

const A: Side = Side::Dialer;
const B: Side = Side::Acceptor;

// S1
#[test]
fn bytes_written_before_the_first_connection_wait_and_flow_once() {
    let mut pair = Pair::new(tight());
    let now = pair.now;
    // Without a connection nothing is known of the peer's credit: opening waits for it.
    assert!(pair.end(A).open(now).is_none());
    pair.attach();
    assert!(pair.events(A).contains(&Event::OpenUnblocked));
    let id = pair.open(A);
    pair.cut();
    // Before the second one, a stream is there and buffers.
    pair.send(A, id, 3000);
    pair.record(A, id, 10);
    pair.attach();
    pair.finish(A, id);
    pair.run();
    assert_eq!(pair.received(B, id).len(), 3010);
    assert_eq!(pair.see(B).session.statistics().duplicate_bytes, 0);
}

// S2
#[test]
fn a_peer_that_has_a_part_gets_exactly_the_rest() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.send(A, id, 10_000);
    pair.pump(A);
    pair.deliver(A, 40 + 3_333);
    assert_eq!(pair.received(B, id).len(), 3_333);
    pair.cut_and_attach();
    pair.send(A, id, 500);
    pair.run();
    assert_eq!(pair.received(B, id).len(), 10_500);
    let sender = pair.see(A).session.statistics();
    assert_eq!((sender.replayed_bytes, sender.new_bytes), (6_667, 10_500));
    assert_eq!(pair.see(B).session.statistics().duplicate_bytes, 0);
}

// S5
#[test]
fn a_cut_at_every_byte_loses_and_doubles_nothing() {
    let count = {
        let mut pair = story();
        pair.pump(A);
        pair.wires[0].len() + pair.wires[1].len()
    };
    for cut in 0..count {
        let mut pair = story();
        pair.pump(A);
        pair.deliver(A, cut);
        // What it answers may be lost or not.
        pair.pump(B);
        pair.deliver(B, cut * 7 % 200);
        pair.cut_and_attach();
        pair.run();
        finish_all(&mut pair);
    }
}

/// Records, an empty one, a small stream whole in a frame, both directions.
fn story() -> Pair {
    let mut pair = Pair::attached(SessionConfig::default());
    let (one, two) = (pair.open(A), pair.open(A));
    pair.record(A, one, 50);
    pair.record(A, one, 0);
    pair.record(A, one, 0);
    pair.send(A, one, 20);
    pair.record(A, two, 5);
    pair.finish(A, two);
    pair
}

fn finish_all(pair: &mut Pair) {
    for side in [A, B] {
        let now = pair.now;
        for id in pair.see(side).opened.clone() {
            pair.end(side).finish(now, id, Status::ok());
        }
    }
    pair.run();
    pair.check_nothing_left();
    for side in [A, B] {
        for (id, received) in &pair.see(side).received {
            let sent = &pair.see(side.other()).sent[id];
            assert_eq!(
                (&received.bytes, &received.records),
                (&sent.bytes, &sent.records)
            );
        }
    }
}

// S26
#[test]
fn two_empty_records_around_a_cut_arrive_once_each() {
    for cut in [0, 20, 40, 60, 80] {
        let mut pair = Pair::attached(SessionConfig::default());
        let id = pair.open(A);
        pair.record(A, id, 0);
        pair.record(A, id, 0);
        pair.pump(A);
        pair.deliver(A, cut);
        pair.cut_and_attach();
        pair.run();
        assert_eq!(
            pair.see(B).received[&id].records,
            vec![0, 0],
            "cut at {cut}"
        );
        finish_all(&mut pair);
    }
}

// S10: through pipes of 64 KiB, the wire never holds more.
#[test]
fn large_replays_in_both_directions_at_once_complete() {
    let config = SessionConfig {
        stream_window_bytes: 64 << 20,
        ..SessionConfig::default()
    };
    let mut pair = Pair::attached(config);
    let id = pair.open(A);
    pair.send(A, id, 0);
    for side in [A, B] {
        let now = pair.now;
        if side == A {
            pair.record(A, id, 1);
            pair.run();
        }
        for _ in 0..8 {
            let kind = BodyKind::Memory;
            pair.end(side)
                .send(now, side, id, 1 << 20, kind, false)
                .expect("accepted");
        }
        pair.pump_with(side, 64 << 20, 1 << 20, Some);
    }
    pair.cut_and_attach();
    for _ in 0..10_000 {
        for side in [A, B] {
            pair.pump_with(side, 64 << 10, 64 << 10, Some);
            pair.deliver(side, 30 << 10);
        }
        pair.pass(100_000);
        if pair.received(A, id).len() == 8 << 20 && pair.received(B, id).len() > 8 << 20 {
            let replayed = |side| pair.see(side).session.statistics().replayed_bytes;
            assert_eq!((replayed(A), replayed(B)), (8 << 20, 8 << 20));
            return;
        }
    }
    panic!("the replays wait for each other");
}

// S11
#[test]
fn a_link_that_always_dies_at_half_of_a_replay_still_makes_progress() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.send(A, id, 1 << 20);
    let mut before = 0;
    for _ in 0..30 {
        pair.pump_with(B, 1 << 20, 1 << 20, Some);
        pair.deliver(B, usize::MAX);
        pair.pump_with(A, 64 << 10, 16 << 10, Some);
        let half = pair.wires[0].len() / 2;
        pair.deliver(A, half);
        let after = pair.received(B, id).len();
        assert!(after > before, "no progress at {before}");
        before = after;
        pair.cut_and_attach();
    }
    let statistics = *pair.see(A).session.statistics();
    assert!(
        statistics.replayed_bytes <= 30 * (64 << 10),
        "only what was in flight"
    );
    finish_all(&mut pair);
}

// S25
#[test]
fn a_completed_stream_whose_acks_are_lost_is_not_replayed() {
    let mut pair = Pair::attached(SessionConfig::default());
    let call = pair.open(A);
    pair.record(A, call, 100);
    pair.finish(A, call);
    pair.pump(A);
    pair.deliver(A, usize::MAX);
    // The answer, and the ack of the request.
    pair.record(B, call, 100);
    pair.finish(B, call);
    pair.consume_all(B);
    pair.pump(B);
    pair.deliver(B, usize::MAX);
    pair.consume_all(A);
    // The ack of the answer: the call is over at A, and its last word is lost.
    pair.pump(A);
    assert_eq!(pair.see(A).session.live_streams(), 0);
    assert_eq!(pair.see(B).session.live_streams(), 1);
    pair.cut_and_attach();
    pair.run();
    assert_eq!(pair.see(A).session.statistics().replayed_bytes, 0);
    assert_eq!(pair.see(B).session.statistics().replayed_bytes, 0);
    let opened = |event: &&Event| matches!(event, Event::Opened(_));
    assert_eq!(
        pair.events(B).iter().filter(opened).count(),
        1,
        "it ran once"
    );
    assert!(pair.events(B).is_empty());
    pair.check_nothing_left();
}

/// The request is over, its acks are lost, the answer is still to come.
#[test]
fn a_call_whose_ack_is_lost_goes_on_where_it_was() {
    let mut pair = Pair::attached(SessionConfig::default());
    let call = pair.open(A);
    pair.record(A, call, 100);
    pair.finish(A, call);
    pair.pump(A);
    pair.deliver(A, usize::MAX);
    pair.cut_and_attach();
    pair.run();
    assert_eq!(pair.see(A).session.statistics().replayed_bytes, 0);
    assert!(
        pair.events(A)
            .contains(&Event::FinishAcked { stream: call })
    );
    finish_all(&mut pair);
}
