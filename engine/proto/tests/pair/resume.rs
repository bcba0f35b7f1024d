//! What each side states after an attach, and what follows when the statements do not fit.

use ringway_proto::testing::{Frame, ResumeEntry};
use ringway_proto::{
    CloseReason, Event, Rule, SendError, SessionConfig, SessionError, Side, Status, StreamId,
    Trailer,
};

use crate::harness::{Pair, tight};

const A: Side = Side::Dialer;
const B: Side = Side::Acceptor;

/// A session with one stream, `acked` bytes of `sent` acked; attached anew, so that what is put on
/// the wire next is taken for B's statement.
fn resuming(sent: usize, acked: usize) -> (Pair, StreamId) {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.send(A, id, sent);
    pair.pump(A);
    pair.deliver(A, 40 + acked);
    pair.pass(3_000_000);
    pair.pump(B);
    pair.deliver(B, usize::MAX);
    pair.cut_and_attach();
    (pair, id)
}

fn entry(stream: StreamId, received: u64) -> ResumeEntry {
    ResumeEntry {
        stream,
        received,
        records: 0,
        consumed: 0,
        credit: 1 << 20,
        end_known: false,
    }
}

fn state(seen: u64, entries: Vec<ResumeEntry>) -> Frame {
    Frame::Resume {
        opened: 0,
        seen,
        is_last: true,
        entries,
    }
}

fn claim(pair: &mut Pair, frame: &Frame) -> Result<(), ringway_proto::Violation> {
    let mut bytes = Vec::new();
    frame.emit(&mut bytes);
    pair.wires[1] = bytes;
    pair.try_deliver(B, usize::MAX)
}

// S3
#[test]
fn a_peer_that_claims_more_than_was_sent_gets_nothing_and_loses_the_session() {
    let (mut pair, id) = resuming(1000, 400);
    let violation = claim(&mut pair, &state(1, vec![entry(id, 1001)])).expect_err("too much");
    assert_eq!(violation.rule, Rule::AckBeyondSent);
    assert_eq!((violation.got, violation.expected), (1001, 1000));
    assert_eq!(violation.stream, Some(id));
    let now = pair.now;
    pair.end(A).session.violated(now, violation.clone());
    pair.end(A).drain(now);
    assert_eq!(
        pair.events(A).last(),
        Some(&Event::Closed(CloseReason::Violation(violation)))
    );
    pair.pump(A);
    let (frame, size) = Frame::parse(&pair.wires[0]).expect("a frame");
    assert!(matches!(frame, Frame::Close(status) if status.code == Status::PROTOCOL));
    assert_eq!(size, pair.wires[0].len(), "no body");
}

// S4
#[test]
fn a_peer_behind_its_own_ack_has_lost_its_window() {
    let (mut pair, id) = resuming(1000, 400);
    claim(&mut pair, &state(1, vec![entry(id, 399)])).expect("no violation, an end");
    let reason = CloseReason::ReplayLost {
        wanted: 399,
        kept: 400,
    };
    assert_eq!(pair.events(A).last(), Some(&Event::Closed(reason)));
    pair.pump(A);
    let (frame, _) = Frame::parse(&pair.wires[0]).expect("a frame");
    assert!(matches!(frame, Frame::Close(_)), "the peer is told");
}

// S4
#[test]
fn a_peer_that_never_heard_of_a_stream_it_acked_has_lost_its_window() {
    let (mut pair, _) = resuming(1000, 400);
    claim(&mut pair, &state(0, vec![])).expect("no violation, an end");
    let reason = CloseReason::ReplayLost {
        wanted: 0,
        kept: 400,
    };
    assert_eq!(pair.events(A).last(), Some(&Event::Closed(reason)));
}

#[test]
fn a_stream_that_is_missing_though_it_cannot_have_ended_is_a_violation() {
    let (mut pair, id) = resuming(1000, 400);
    let violation = claim(&mut pair, &state(1, vec![])).expect_err("it must be listed");
    assert_eq!(
        (violation.rule, violation.stream),
        (Rule::ResumeBehindAck, Some(id))
    );
}

#[test]
fn a_peer_that_has_seen_streams_nobody_opened_is_refused() {
    let (mut pair, _) = resuming(1000, 400);
    let violation = claim(&mut pair, &state(2, vec![])).expect_err("one was opened");
    assert_eq!(
        (violation.rule, violation.got, violation.expected),
        (Rule::StreamUnknown, 2, 1)
    );
    let (mut pair, _) = resuming(1000, 400);
    let never = StreamId::new(A, 5);
    let violation = claim(&mut pair, &state(1, vec![entry(never, 0)])).expect_err("never opened");
    assert_eq!(
        (violation.rule, violation.stream),
        (Rule::StreamUnknown, Some(never))
    );
}

#[test]
fn a_resume_at_another_time_is_a_violation() {
    let mut pair = Pair::attached(SessionConfig::default());
    let violation = claim(&mut pair, &state(0, vec![])).expect_err("the session is new");
    assert_eq!(violation.rule, Rule::ResumeUnexpected);
}

// S16: an acceptor that began anew must not be fed from the middle, nor from zero.
#[test]
fn a_session_that_is_new_at_the_other_end_ends_here() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.send(A, id, 100);
    pair.run();
    pair.cut();
    let (mut dialer, _) = pair.handshake();
    dialer.resumed = false;
    let now = pair.now;
    let result = pair.end(A).session.attach(now, &dialer);
    assert!(matches!(
        result,
        Err(SessionError::Closed(CloseReason::UnknownSession(_)))
    ));
    pair.end(A).drain(now);
    assert!(pair.see(A).session.is_closed());
}

// S15
#[test]
fn a_newer_connection_takes_over_from_a_half_open_one() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.send(A, id, 5000);
    pair.pump(A);
    pair.deliver(A, 2000);
    // The dialer has noticed the loss, the acceptor has not.
    pair.detach(A);
    assert!(pair.see(B).session.is_attached());
    pair.attach();
    pair.run();
    assert_eq!(pair.received(B, id).len(), 5000);
    // An older one that comes late is refused with both numbers.
    pair.epoch = 0;
    let (_, stale) = pair.handshake();
    let now = pair.now;
    let result = pair.end(B).session.attach(now, &stale);
    assert_eq!(result, Err(SessionError::StaleEpoch { got: 1, current: 2 }));
    assert!(pair.see(B).session.is_attached(), "the live one stays");
}

/// The offer was made for a connection that is gone: its bytes must not go onto the next.
#[test]
fn an_offer_of_an_older_connection_is_void() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.send(A, id, 5000);
    pair.pump_with(A, 1 << 20, 1 << 20, |_| None);
    let offer = pair.see(A).offer().expect("an offer");
    pair.cut_and_attach();
    let now = pair.now;
    let mut out = Vec::new();
    assert!(
        !pair
            .end(A)
            .session
            .commit(now, offer, 5000, Trailer::None, &mut out)
    );
    assert!(out.is_empty());
    assert!(pair.end(A).take_offer().is_some());
    pair.run();
    assert_eq!(pair.received(B, id).len(), 5000);
}

/// The acceptor states a thousand streams in chunks; between two of them the dialer opens one
/// more, with a frame that does not wait. It is in no chunk, and must not look as if it had ended.
#[test]
fn a_stream_opened_between_two_chunks_has_not_ended() {
    let mut pair = Pair::attached(SessionConfig::default());
    for _ in 0..1000 {
        let id = pair.open(A);
        pair.send(A, id, 1);
    }
    pair.run();
    pair.cut_and_attach();
    let now = pair.now;
    let late = pair.open(A);
    pair.pump(A);
    pair.end(A)
        .session
        .stop(now, late, Status::new(1000, "not wanted"));
    pair.end(A).reset(now, late);
    // B has said a part; then it hears of the new stream; then it says the rest.
    pair.pump_with(B, 1, 1, Some);
    assert!(pair.wires[1].len() < 1000 * 48, "a part");
    pair.pump(A);
    pair.deliver(A, usize::MAX);
    assert!(pair.see(B).opened.contains(&late));
    pair.run();
    assert!(pair.see(B).stopped.contains_key(&late));
    finish(&mut pair);
}

fn finish(pair: &mut Pair) {
    for side in [A, B] {
        let now = pair.now;
        for id in pair.see(side).opened.clone() {
            pair.end(side).finish(now, id, Status::ok());
        }
    }
    pair.run();
    pair.check_nothing_left();
}

// S27
#[test]
fn a_lost_grant_is_restated() {
    let mut pair = Pair::attached(tight());
    let id = pair.open(A);
    pair.send(A, id, 9000);
    pair.run_with(false);
    assert_eq!(pair.received(B, id).len(), 6000, "the stream's window");
    pair.consume_all(B);
    pair.pump(B);
    pair.cut_and_attach();
    pair.run();
    assert_eq!(pair.received(B, id).len(), 9000);
}

// S27
#[test]
fn a_lost_grant_of_the_session_is_restated() {
    let config = SessionConfig {
        session_window_bytes: 1000,
        ..tight()
    };
    let mut pair = Pair::attached(config);
    let id = pair.open(A);
    pair.send(A, id, 6000);
    pair.run_with(false);
    assert_eq!(pair.received(B, id).len(), 4096 + 1000);
    pair.consume_all(B);
    pair.pump(B);
    pair.cut_and_attach();
    pair.run_with(false);
    assert_eq!(pair.received(B, id).len(), 6000);
}

// S27
#[test]
fn a_lost_finish_is_restated() {
    let mut pair = Pair::attached(tight());
    let id = pair.open(A);
    pair.send(A, id, 10);
    pair.run();
    let now = pair.now;
    pair.end(A)
        .finish(now, id, Status::new(1000, "with a reason"));
    pair.pump(A);
    pair.cut_and_attach();
    pair.run();
    let (status, offset) = pair.see(B).received[&id]
        .finished
        .clone()
        .expect("finished");
    assert_eq!((status.code, offset), (1000, 10));
    finish(&mut pair);
}

// S27
#[test]
fn a_lost_reset_is_restated() {
    let mut pair = Pair::attached(tight());
    let id = pair.open(A);
    pair.send(A, id, 3000);
    pair.pump(A);
    pair.deliver(A, 1000);
    let now = pair.now;
    pair.end(A).reset(now, id);
    pair.pump(A);
    pair.cut_and_attach();
    pair.run();
    let (_, last) = pair.see(B).received[&id].reset.clone().expect("reset");
    assert_eq!((last, pair.received(B, id).len()), (3000, 960));
    finish(&mut pair);
}

// S27
#[test]
fn a_lost_stop_is_restated() {
    let mut pair = Pair::attached(tight());
    let id = pair.open(A);
    pair.send(A, id, 9000);
    pair.run_with(false);
    let now = pair.now;
    pair.end(B)
        .session
        .stop(now, id, Status::sink_failed("disk full"));
    pair.pump(B);
    pair.cut_and_attach();
    pair.run();
    assert_eq!(pair.see(A).stopped[&id].code, Status::SINK_FAILED);
    let again = pair.end(A).session.finish(now, id, Status::ok());
    assert!(
        matches!(again, Err(SendError::Stopped(_))),
        "the sender learns why"
    );
    finish(&mut pair);
}

/// Nothing was sent on it, or all of it is lost: the stop itself has to open the stream.
#[test]
fn a_stop_of_a_stream_the_peer_never_heard_of_is_not_lost() {
    let mut pair = Pair::attached(tight());
    let id = pair.open(A);
    let now = pair.now;
    pair.end(A)
        .session
        .stop(now, id, Status::new(1000, "send nothing"));
    pair.run();
    assert!(pair.see(B).stopped.contains_key(&id));
    finish(&mut pair);
}

/// The answer overtakes the ack of the request: it shows just as well that the stream is known.
#[test]
fn an_answer_is_acked_though_the_request_was_not() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    // Large: its ack may wait.
    pair.send(A, id, 100_000);
    pair.pump(A);
    pair.deliver(A, usize::MAX);
    pair.record(B, id, 10);
    pair.pump(B);
    pair.deliver(B, usize::MAX);
    pair.pump(A);
    pair.deliver(A, usize::MAX);
    assert_eq!(pair.see(B).acked.get(&id), Some(&10));
}

/// The verdict of the first connection is lost; the second attempt finds the session.
#[test]
fn a_first_connection_that_only_the_acceptor_has_seen_is_resumed() {
    let mut pair = Pair::new(tight());
    pair.attach_half();
    let theirs = pair.open(B);
    pair.send(B, theirs, 100);
    pair.pump(B);
    pair.attach();
    pair.run();
    assert_eq!(pair.received(A, theirs).len(), 100);
    finish(&mut pair);
}

/// What is unread keeps its stream here although the peer has forgotten it.
#[test]
fn unread_bytes_of_a_stream_the_peer_has_ended_survive_a_resume() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.record(A, id, 100);
    pair.finish(A, id);
    pair.pump(A);
    pair.deliver(A, usize::MAX);
    pair.finish(B, id);
    pair.run_with(false);
    assert_eq!(pair.see(A).session.live_streams(), 0);
    assert_eq!(pair.see(B).session.live_streams(), 1, "unread");
    pair.cut_and_attach();
    pair.run_with(false);
    assert_eq!(pair.see(B).session.live_streams(), 1, "still unread");
    pair.run();
    pair.check_nothing_left();
}

/// The acknowledged positions are the only truth about the older connection.
#[test]
fn a_source_that_fails_before_the_peer_has_stated_its_position_waits_for_it() {
    let (mut pair, id) = resuming(1000, 400);
    let body = pair.see(A).retained()[0];
    // B has 700, A knows of 400 only.
    pair.cut();
    pair.attach();
    pair.run();
    let now = pair.now;
    pair.send(A, id, 1000);
    pair.pump(A);
    pair.deliver(A, 40 + 300);
    pair.cut();
    let failed = *pair.see(A).retained().last().expect("retained");
    assert_ne!(failed, body);
    let status = Status::source_failed("EIO");
    pair.end(A).fail_source(now, id, failed, status.clone());
    assert_eq!(
        pair.end(A).session.finish(now, id, Status::ok()),
        Err(SendError::Finished)
    );
    pair.attach();
    pair.run();
    assert_eq!(pair.see(B).received[&id].finished, Some((status, 1300)));
    finish(&mut pair);
}

#[test]
fn what_a_connection_did_not_touch_is_not_subtracted_from_what_is_unacked() {
    let mut pair = Pair::attached(tight());
    let id = pair.open(A);
    pair.send(A, id, 100);
    pair.pump(A);
    pair.cut_and_attach();
    pair.cut();
    let now = pair.now;
    pair.end(A).reset(now, id);
    let unacked = pair.see(A).session.statistics().unacked_bytes;
    assert_eq!(unacked, 0, "below zero it keeps everything from being sent");
    pair.attach();
    pair.run();
}
