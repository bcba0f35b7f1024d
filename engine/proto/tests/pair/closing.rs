//! Drain and close.

use ringway_proto::{CloseReason, Event, OpenError, SessionConfig, Side, Status};

use crate::harness::Pair;

const A: Side = Side::Dialer;
const B: Side = Side::Acceptor;

#[test]
fn a_drain_ends_when_the_last_stream_has() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.send(A, id, 1000);
    pair.run();
    let now = pair.now;
    pair.end(B).session.drain(now);
    pair.run();
    assert!(pair.events(A).contains(&Event::PeerDraining));
    let refused = pair
        .end(A)
        .session
        .open(now, ringway_proto::StreamOptions::default());
    assert!(matches!(refused, Err(OpenError::Closed(_))));
    // What was accepted goes on.
    pair.send(A, id, 1000);
    pair.finish(A, id);
    pair.finish(B, id);
    pair.run();
    assert_eq!(pair.received(B, id).len(), 2000);
    let events = pair.events(B);
    let tail = &events[events.len() - 2..];
    assert_eq!(tail[0], Event::Drained);
    assert_eq!(tail[1], Event::Closed(CloseReason::Local(Status::ok())));
    let closed = Event::Closed(CloseReason::Peer(Status::ok()));
    assert_eq!(pair.events(A).last(), Some(&closed));
}

// B7
#[test]
fn a_drain_is_bounded_in_time() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.send(A, id, 1000);
    pair.run();
    let now = pair.now;
    pair.end(A).session.drain(now);
    pair.run();
    pair.pass(pair.config.drain_timeout.as_nanos() as u64);
    let events = pair.events(A);
    assert!(events.contains(&Event::Drained));
    assert!(matches!(
        events.last(),
        Some(Event::Closed(CloseReason::Local(status))) if status.code == Status::DRAIN_TIMEOUT
    ));
}

/// The drain is restated, whatever the link does.
#[test]
fn a_lost_drain_is_restated() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.send(A, id, 10);
    pair.run();
    let now = pair.now;
    pair.end(B).session.drain(now);
    pair.pump(B);
    pair.cut_and_attach();
    pair.run();
    assert!(pair.events(A).contains(&Event::PeerDraining));
}

#[test]
fn a_close_needs_no_connection_and_is_told_where_there_is_one() {
    let mut pair = Pair::attached(SessionConfig::default());
    let now = pair.now;
    let reason = Status::new(1000, "done");
    pair.end(A).session.close(now, reason.clone());
    pair.pump(A);
    pair.deliver(A, usize::MAX);
    assert_eq!(
        pair.events(B).last(),
        Some(&Event::Closed(CloseReason::Peer(reason.clone())))
    );
    let mut pair = Pair::attached(SessionConfig::default());
    pair.cut();
    pair.end(A).session.close(now, reason.clone());
    pair.pump(A);
    assert!(pair.wires[0].is_empty());
    assert_eq!(
        pair.events(A).last(),
        Some(&Event::Closed(CloseReason::Local(reason)))
    );
}

#[test]
fn a_session_without_a_connection_ends_with_its_window() {
    let mut pair = Pair::attached(SessionConfig::default());
    pair.cut();
    let window = pair.config.resume_window;
    pair.pass(window.as_nanos() as u64 - 1);
    assert!(!pair.see(A).session.is_closed());
    pair.pass(1);
    let window_ms = window.as_millis() as u64;
    let closed = Event::Closed(CloseReason::ResumeWindow { window_ms });
    assert_eq!(pair.events(A).last(), Some(&closed));
    assert_eq!(pair.see(A).session.poll_timeout(), None);
}
