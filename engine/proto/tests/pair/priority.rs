//! Which stream goes first.

use ringway_proto::{Event, Priority, SessionConfig, Side, StreamId, StreamOptions};

use crate::harness::Pair;

const A: Side = Side::Dialer;
const B: Side = Side::Acceptor;

fn open(pair: &mut Pair, priority: Priority) -> StreamId {
    let options = StreamOptions {
        priority,
        ..StreamOptions::default()
    };
    let now = pair.now;
    pair.end(A).open_with(now, options).expect("opens")
}

/// Streams in the order in which what was sent arrives whole.
fn finished(pair: &mut Pair) -> Vec<StreamId> {
    let stream = |event| match event {
        Event::Finished { stream, .. } => Some(stream),
        _ => None,
    };
    pair.events(B).into_iter().filter_map(stream).collect()
}

#[test]
fn a_message_of_a_higher_priority_overtakes_what_waits_and_the_rest_is_not_starved() {
    let mut pair = Pair::attached(SessionConfig::default());
    let bulk = open(&mut pair, Priority::LOWEST);
    pair.send(A, bulk, 300_000);
    let eager = open(&mut pair, Priority::HIGHEST);
    pair.send(A, eager, 600_000);
    pair.finish(A, eager);
    let urgent = open(&mut pair, Priority::HIGHEST);
    pair.send(A, urgent, 100);
    pair.finish(A, urgent);
    // 200 bodies of at most 1000 bytes.
    for _ in 0..200 {
        pair.pump_with(A, 1, 1000, Some);
        pair.deliver(A, usize::MAX);
    }
    assert_eq!(finished(&mut pair), [urgent]);
    let received = pair.received(B, bulk).len();
    assert!((10_000..=13_000).contains(&received), "{received}");
    pair.run();
    assert_eq!(finished(&mut pair), [eager]);
}

#[test]
fn a_priority_that_is_changed_while_bodies_wait_counts_from_the_next_turn() {
    let mut pair = Pair::attached(SessionConfig::default());
    let [first, second] = [Priority::HIGHEST, Priority::LOWEST].map(|at| open(&mut pair, at));
    for id in [first, second] {
        pair.send(A, id, 100_000);
        pair.finish(A, id);
    }
    for id in [first, second] {
        let priority = match id == first {
            true => Priority::LOWEST,
            false => Priority::HIGHEST,
        };
        pair.end(A).session.set_priority(id, priority);
    }
    while pair.received(B, second).len() < 100_000 {
        pair.pump_with(A, 1, 1000, Some);
        pair.deliver(A, usize::MAX);
        pair.pump(B);
        pair.deliver(B, usize::MAX);
    }
    assert!(pair.received(B, first).len() < 20_000);
    pair.run();
    assert_eq!(finished(&mut pair), [second, first]);
}

#[test]
fn a_level_is_one_of_eight() {
    assert_eq!(Priority::new(7), Some(Priority::HIGHEST));
    assert_eq!((Priority::new(8), Priority::NORMAL.level()), (None, 4));
}
