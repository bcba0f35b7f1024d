//! Bodies: sources that fail, pieces that are not held, turns between streams.

use ringway_proto::{
    BodyId, BodyKind, Event, Link, Offer, SessionConfig, Side, Status, Trailer, Transmit,
};

use crate::harness::Pair;

const A: Side = Side::Dialer;
const B: Side = Side::Acceptor;

// B1
#[test]
fn a_source_that_fails_midway_is_reported_at_its_offset_and_the_session_goes_on() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    let now = pair.now;
    let size = 16 << 20;
    pair.end(A)
        .send(now, A, id, size, BodyKind::Range, true)
        .expect("accepted");
    pair.finish(A, id);
    for _ in 0..10 {
        pair.pump_with(A, 1 << 20, 1 << 20, Some);
        pair.deliver(A, usize::MAX);
        pair.consume_all(B);
        pair.pump(B);
        pair.deliver(B, usize::MAX);
    }
    let text = "Fehler beim Lesen: Gerät nicht bereit – 読み取れません ".repeat(10);
    let status = Status::source_failed(&text);
    let body = pair.see(A).retained()[0];
    pair.end(A).fail_source(now, id, body, status.clone());
    pair.run();
    let received = &pair.see(B).received[&id];
    assert_eq!(received.finished, Some((status, 10 << 20)));
    assert!(received.records.is_empty(), "the record was not whole");
    // The session is as good as before.
    let next = pair.open(A);
    pair.record(A, next, 10);
    pair.run();
    assert_eq!(pair.received(B, next).len(), 10);
}

// B10
#[test]
fn truncated_and_complete_differ() {
    let mut pair = Pair::attached(SessionConfig::default());
    let (whole, cut) = (pair.open(A), pair.open(A));
    for id in [whole, cut] {
        pair.send(A, id, 1000);
    }
    pair.run();
    pair.finish(A, whole);
    let now = pair.now;
    pair.end(A).reset(now, cut);
    pair.run();
    let end = pair.see(B);
    assert_eq!(end.received[&whole].finished, Some((Status::ok(), 1000)));
    assert_eq!(end.received[&cut].finished, None);
    assert!(end.received[&cut].reset.is_some());
}

/// Found by review: the finish lay below what the peer had, which ended the session.
#[test]
fn a_source_that_fails_after_all_of_it_was_sent_ends_the_stream_behind_what_is_on_its_way() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.send(A, id, 100);
    pair.send(A, id, 300);
    pair.send(A, id, 500);
    let now = pair.now;
    let first = pair.see(A).retained()[0];
    // The first is sent, the second half.
    pair.pump_with(A, 300, 1 << 20, |length| Some(length.min(150)));
    let status = Status::new(Status::SOURCE_CHANGED, "changed");
    pair.end(A).fail_source(now, id, first, status.clone());
    pair.run();
    assert_eq!(pair.see(B).received[&id].finished, Some((status, 250)));
    assert_eq!(pair.see(A).session.statistics().retained_bytes, 0);
}

/// A replay needs the source again.
#[test]
fn a_source_that_fails_during_a_replay_ends_the_stream_where_the_replay_is() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.send(A, id, 10_000);
    pair.finish(A, id);
    pair.pump(A);
    pair.deliver(A, 40 + 1000);
    pair.cut_and_attach();
    for side in [B, A] {
        pair.pump_with(side, 1, 1, Some);
        pair.deliver(side, usize::MAX);
    }
    pair.pump_with(A, 1, 2000, Some);
    let (now, body) = (pair.now, pair.see(A).retained()[0]);
    let status = Status::source_failed("EIO");
    pair.end(A).fail_source(now, id, body, status.clone());
    pair.run();
    assert_eq!(pair.see(B).received[&id].finished, Some((status, 3000)));
}

fn offer(pair: &mut Pair) -> Option<Offer> {
    let now = pair.now;
    let mut out = Vec::new();
    match pair
        .end(A)
        .session
        .poll_transmit(now, Link::MESSAGE, &mut out, 1 << 20)
    {
        Some(Transmit::Body(offer)) => Some(offer),
        Some(Transmit::Control) => panic!("nothing is owed"),
        None => None,
    }
}

#[test]
fn a_cold_file_does_not_hold_up_other_streams() {
    let mut pair = Pair::attached(SessionConfig::default());
    let (cold, hot) = (pair.open(A), pair.open(A));
    pair.send(A, cold, 1 << 20);
    pair.send(A, hot, 64);
    let first = offer(&mut pair).expect("an offer");
    assert_eq!(first.stream, cold);
    assert!(offer(&mut pair).is_none(), "one at a time");
    pair.end(A).session.withdraw(first);
    assert_eq!(offer(&mut pair).expect("an offer").stream, hot);
}

#[test]
fn streams_take_turns() {
    let mut pair = Pair::attached(SessionConfig::default());
    let streams = [pair.open(A), pair.open(A), pair.open(A)];
    for id in streams {
        pair.send(A, id, 3 << 20);
    }
    let now = pair.now;
    let mut turns = Vec::new();
    for _ in 0..9 {
        let offer = offer(&mut pair).expect("an offer");
        turns.push(offer.stream);
        let mut out = Vec::new();
        assert!(
            pair.end(A)
                .session
                .commit(now, offer, offer.length, Trailer::None, &mut out)
        );
    }
    for round in turns.chunks(3) {
        let mut round = round.to_vec();
        round.sort();
        assert_eq!(round, streams);
    }
}

#[test]
fn a_reset_voids_the_offer_and_releases_everything() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.send(A, id, 5000);
    let held = offer(&mut pair).expect("an offer");
    let now = pair.now;
    pair.end(A).reset(now, id);
    let mut out = Vec::new();
    assert!(
        !pair
            .end(A)
            .session
            .commit(now, held, 5000, Trailer::None, &mut out)
    );
    pair.run();
    assert!(pair.see(A).retained().is_empty());
    assert_eq!(
        pair.see(B).received[&id]
            .reset
            .as_ref()
            .map(|reset| reset.1),
        Some(0)
    );
}

#[test]
fn a_body_that_is_not_taken_is_given_back_at_once() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    let now = pair.now;
    pair.events(A);
    let session = &mut pair.end(A).session;
    let end = session.send(now, id, BodyId(900), 0, BodyKind::Memory, false);
    assert_eq!(end, Ok(0));
    assert_eq!(session.poll_event(), Some(Event::Released(BodyId(900))));
}
