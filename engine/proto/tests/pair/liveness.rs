//! Heartbeats: a dead peer is noticed, a slow one is not taken for dead, clocks are not compared.

use ringway_proto::{Event, Link, SessionConfig, Side, Time};

use crate::harness::Pair;

const A: Side = Side::Dialer;
const B: Side = Side::Acceptor;

const SILENT: Event = Event::PeerSilent {
    link: Link::MESSAGE,
};

fn heartbeat(pair: &Pair) -> u64 {
    pair.config.heartbeat.as_nanos() as u64
}

// C11, C20
#[test]
fn a_black_hole_is_noticed_within_two_intervals_and_told_once() {
    let mut pair = Pair::attached(SessionConfig::default());
    let interval = heartbeat(&pair);
    pair.pass(2 * interval - 4_000_000);
    pair.pump(A);
    assert!(!pair.events(A).contains(&SILENT));
    pair.pass(4_000_000);
    assert!(pair.see(A).events.contains(&SILENT));
    for _ in 0..5 {
        pair.pass(interval);
        pair.pump(A);
    }
    let silent = |event: &&Event| **event == SILENT;
    assert_eq!(pair.events(A).iter().filter(silent).count(), 1);
}

// B4
/// Pings of the one with less patience stand behind the body that it sends.
#[test]
fn the_side_with_less_patience_sets_the_pace_of_both() {
    let hasty = SessionConfig::default();
    let patient = SessionConfig {
        heartbeat: hasty.heartbeat * 100,
        ..SessionConfig::default()
    };
    let mut pair = Pair::with_configs(hasty, patient);
    pair.attach();
    pair.run();
    let interval = heartbeat(&pair);
    for _ in 0..20 {
        pair.pass(interval);
        pair.pump(B);
        pair.deliver(B, usize::MAX);
    }
    assert!(!pair.events(A).contains(&SILENT));
}

// B4, B5
#[test]
fn a_slow_or_idle_peer_is_not_taken_for_dead() {
    let mut pair = Pair::attached(SessionConfig::default());
    let interval = heartbeat(&pair);
    let id = pair.open(A);
    pair.send(A, id, 1000);
    pair.pump(A);
    // A byte of the body per half an interval; pings go behind it.
    for _ in 0..60 {
        pair.deliver(A, 1);
        pair.pump(B);
        pair.deliver(B, usize::MAX);
        pair.pass(interval / 2);
        pair.pump(A);
    }
    for _ in 0..120 {
        for side in [A, B] {
            pair.pump(side);
            pair.deliver(side, usize::MAX);
        }
        pair.pass(interval / 4);
    }
    for side in [A, B] {
        assert!(!pair.events(side).contains(&SILENT), "{side:?}");
    }
}

#[test]
fn heartbeats_are_sent_only_when_idle() {
    let mut pair = Pair::attached(SessionConfig::default());
    let interval = heartbeat(&pair);
    let id = pair.open(A);
    let before = pair.see(A).session.statistics().frames_sent;
    for _ in 0..20 {
        pair.send(A, id, 1);
        pair.pump(A);
        pair.deliver(A, usize::MAX);
        pair.pump(B);
        pair.deliver(B, usize::MAX);
        pair.pass(interval / 2);
    }
    assert_eq!(pair.see(A).session.statistics().frames_sent - before, 20);
}

// C18
#[test]
fn clocks_that_differ_make_no_difference() {
    let run = |skew_s: u64| {
        let mut pair = Pair::new(SessionConfig::default());
        pair.now = Time::from_ns(1_000_000_000 + skew_s * 1_000_000_000);
        pair.attach();
        let id = pair.open(A);
        pair.send(A, id, 3000);
        pair.finish(A, id);
        pair.pump(A);
        let wire = pair.wires[0].clone();
        pair.run();
        (wire, pair.received(B, id))
    };
    assert_eq!(run(0), run(600));
}
