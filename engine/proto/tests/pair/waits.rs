//! What waits, for what, and for how long: told while it waits, exact when it is over.

use std::time::Duration;

use ringway_proto::{Event, SendWait, SessionConfig, Side};

use crate::harness::{Pair, tight};

const A: Side = Side::Dialer;
const B: Side = Side::Acceptor;
const SECOND_NS: u64 = 1_000_000_000;

#[test]
fn a_reader_that_does_not_read_shows_at_both_ends_and_for_how_long() {
    let mut pair = Pair::attached(SessionConfig {
        heartbeat: Duration::from_secs(60),
        ..tight()
    });
    let id = pair.open(A);
    pair.send(A, id, 7000);
    pair.run_with(false);
    pair.pass(SECOND_NS);
    let (near, far, now) = (&pair.see(A).session, &pair.see(B).session, pair.now);
    assert_eq!(near.send_wait(), SendWait::Credit);
    assert_eq!(near.waiting_streams(), (1, 0));
    assert_eq!(far.waiting_streams(), (0, 1));
    let sent = near.stream_statistics(now, id).expect("lives");
    let received = far.stream_statistics(now, id).expect("lives");
    assert_eq!((sent.sent_bytes, sent.send_credit_bytes), (6000, 0));
    assert_eq!(
        (received.received_bytes, received.consumed_bytes),
        (6000, 0)
    );
    assert!(sent.credit_wait_ns >= SECOND_NS && received.reader_wait_ns >= SECOND_NS);
    assert_eq!(far.reader_wait_ns(now), received.reader_wait_ns);
    pair.run();
    pair.pass(SECOND_NS);
    let (near, far, now) = (&pair.see(A).session, &pair.see(B).session, pair.now);
    assert_eq!(near.send_wait(), SendWait::Application);
    assert_eq!(near.waiting_streams(), (0, 0));
    assert_eq!(far.waiting_streams(), (0, 0));
    let waited = near
        .stream_statistics(now, id)
        .expect("lives")
        .credit_wait_ns;
    assert!((SECOND_NS..2 * SECOND_NS).contains(&waited), "{waited}");
    assert!((SECOND_NS..2 * SECOND_NS).contains(&far.reader_wait_ns(now)));
}

#[test]
fn a_stream_that_ends_while_it_waits_is_counted_no_longer() {
    let mut pair = Pair::attached(tight());
    let id = pair.open(A);
    pair.send(A, id, 7000);
    pair.run_with(false);
    let now = pair.now;
    pair.end(A).reset(now, id);
    pair.run();
    pair.finish(B, id);
    pair.run();
    pair.check_nothing_left();
    assert_eq!(pair.see(A).session.waiting_streams(), (0, 0));
    assert_eq!(pair.see(B).session.waiting_streams(), (0, 0));
}

fn gaps(pair: &mut Pair, side: Side) -> Vec<Duration> {
    let of = |event: &Event| match event {
        Event::Resumed { gap } => Some(*gap),
        _ => None,
    };
    pair.events(side).iter().filter_map(of).collect()
}

#[test]
fn the_gap_of_a_lost_connection_ends_with_the_first_new_byte_and_not_with_the_replay() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.send(A, id, 1000);
    pair.pump(A);
    pair.cut();
    pair.pass(SECOND_NS / 4);
    pair.attach();
    pair.run();
    assert_eq!(gaps(&mut pair, A), [], "all of it was a replay");
    pair.pass(SECOND_NS / 4);
    pair.send(A, id, 1000);
    pair.run();
    let told = gaps(&mut pair, A);
    assert_eq!(told.len(), 1);
    assert!(told[0] >= Duration::from_millis(500), "{told:?}");
    assert_eq!(gaps(&mut pair, B).len(), 1, "the receiver felt it too");
}

#[test]
fn a_session_with_nothing_to_send_tells_no_gap() {
    let mut pair = Pair::attached(SessionConfig::default());
    let id = pair.open(A);
    pair.send(A, id, 1000);
    pair.run();
    pair.cut_and_attach();
    for _ in 0..10 {
        pair.pass(SECOND_NS);
        pair.run();
    }
    pair.send(A, id, 1000);
    pair.run();
    assert_eq!((gaps(&mut pair, A), gaps(&mut pair, B)), (vec![], vec![]));
}
