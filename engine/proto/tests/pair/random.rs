//! Anything an application, a network and a scheduler may do, in any order.

use proptest::prelude::*;
use ringway_proto::{
    BodyChecksum, BodyKind, Priority, Retention, SessionConfig, Side, Status, StreamId,
    StreamOptions,
};

use crate::harness::{Pair, tight};

#[derive(Clone, Debug)]
enum Act {
    Open(Side),
    OpenLossy(Side),
    Send(Side, usize, usize, bool, bool),
    Finish(Side, usize, u32),
    Reset(Side, usize),
    Stop(Side, usize),
    Prioritize(Side, usize, u8),
    Fail(Side, usize),
    Consume(Side, usize, u64),
    Pump(Side, usize, u64, u64),
    Deliver(Side, usize),
    AttachBulk,
    PumpBulk(Side, usize, usize, u64, u64),
    DeliverBulk(Side, usize, usize),
    Notice(Side),
    Cut,
    Attach,
    HalfAttach,
    Pass(u64),
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Dialer), Just(Side::Acceptor)]
}

fn act() -> impl Strategy<Value = Act> {
    let length = prop_oneof![3 => Just(0_usize), 3 => 1..200_usize, 2 => 200..9000_usize];
    let bytes = prop_oneof![3 => 1..100_usize, 2 => 100..9000_usize, 1 => Just(usize::MAX)];
    prop_oneof![
        4 => side().prop_map(Act::Open),
        2 => side().prop_map(Act::OpenLossy),
        12 => (side(), 0..8_usize, length, any::<bool>(), any::<bool>())
            .prop_map(|(side, at, length, record, range)| Act::Send(side, at, length, record, range)),
        4 => (side(), 0..8_usize, 0..2_u32).prop_map(|(s, at, code)| Act::Finish(s, at, code * 1000)),
        1 => (side(), 0..8_usize).prop_map(|(side, at)| Act::Reset(side, at)),
        1 => (side(), 0..8_usize).prop_map(|(side, at)| Act::Stop(side, at)),
        1 => (side(), 0..8_usize).prop_map(|(side, at)| Act::Fail(side, at)),
        2 => (side(), 0..8_usize, 0..8_u8).prop_map(|(s, at, level)| Act::Prioritize(s, at, level)),
        6 => (side(), 0..8_usize, 1..9000_u64).prop_map(|(s, at, bytes)| Act::Consume(s, at, bytes)),
        16 => (side(), 1..9000_usize, 1..4000_u64, 0..8_u64)
            .prop_map(|(side, limit, body_max, held)| Act::Pump(side, limit, body_max, held)),
        16 => (side(), bytes.clone()).prop_map(|(side, count)| Act::Deliver(side, count)),
        4 => Just(Act::AttachBulk),
        10 => (side(), 0..3_usize, 1..9000_usize, 1..4000_u64, 0..8_u64)
            .prop_map(|(side, which, limit, body_max, held)| Act::PumpBulk(side, which, limit, body_max, held)),
        10 => (side(), 0..3_usize, bytes)
            .prop_map(|(side, which, count)| Act::DeliverBulk(side, which, count)),
        1 => side().prop_map(Act::Notice),
        2 => Just(Act::Cut),
        4 => Just(Act::Attach),
        1 => Just(Act::HalfAttach),
        3 => (1..3_000_000_u64).prop_map(Act::Pass),
    ]
}

fn pick(pair: &Pair, side: Side, at: usize) -> Option<StreamId> {
    let end = pair.see(side);
    let live: Vec<_> = end.opened.difference(&end.ended).copied().collect();
    (!live.is_empty()).then(|| live[at % live.len()])
}

fn perform(pair: &mut Pair, act: &Act) {
    let now = pair.now;
    match *act {
        Act::Open(side) => drop(pair.end(side).open(now)),
        Act::OpenLossy(side) => {
            let options = StreamOptions {
                retention: Retention::Newest,
                ..StreamOptions::default()
            };
            let _ = pair.end(side).open_with(now, options);
        }
        Act::Send(side, at, length, is_record, is_range) => {
            let kind = if is_range {
                BodyKind::Range
            } else {
                BodyKind::Memory
            };
            if let Some(id) = pick(pair, side, at) {
                drop(pair.end(side).send(now, side, id, length, kind, is_record));
            }
        }
        Act::Finish(side, at, code) => {
            if let Some(id) = pick(pair, side, at) {
                pair.end(side).finish(
                    now,
                    id,
                    Status {
                        code,
                        text: String::new(),
                    },
                );
            }
        }
        Act::Reset(side, at) => {
            if let Some(id) = pick(pair, side, at) {
                pair.end(side).reset(now, id);
            }
        }
        Act::Stop(side, at) => {
            if let Some(id) = pick(pair, side, at) {
                pair.end(side)
                    .session
                    .stop(now, id, Status::new(1002, "stop"));
            }
        }
        Act::Prioritize(side, at, level) => {
            if let (Some(id), Some(priority)) = (pick(pair, side, at), Priority::new(level)) {
                pair.end(side).session.set_priority(id, priority);
            }
        }
        Act::Fail(side, at) => fail(pair, side, at),
        Act::Consume(side, at, bytes) => {
            if let Some(id) = pick(pair, side, at) {
                pair.end(side).consume(now, id, bytes);
            }
        }
        Act::Pump(side, limit, body_max, held) => {
            pair.pump_with(side, limit, body_max, |length| part(held, length));
        }
        Act::PumpBulk(side, which, limit, body_max, held) => {
            let bounds = (limit, body_max);
            pair.pump_bulk_with(side, which, bounds, |length| part(held, length));
        }
        Act::DeliverBulk(side, which, count) => pair.deliver_bulk(side, which, count),
        Act::AttachBulk => pair.attach_missing(),
        Act::Deliver(side, count) => pair.deliver(side, count),
        Act::Notice(side) => pair.detach(side),
        Act::Cut => pair.cut(),
        Act::Attach => pair.attach(),
        Act::HalfAttach => pair.attach_half(),
        Act::Pass(ns) => pair.pass(ns),
    }
    pair.pass(0);
}

/// How much of an offered body its sender holds.
fn part(held: u64, length: u64) -> Option<u64> {
    match held {
        0 => None,
        1 => Some(0),
        2 => Some(length.div_ceil(2)),
        3 => Some(1),
        _ => Some(length),
    }
}

/// Some payload that is still retained fails, the one under the offer first.
fn fail(pair: &mut Pair, side: Side, at: usize) {
    let now = pair.now;
    let status = Status::new(Status::SOURCE_FAILED, "gone");
    let end = pair.end(side);
    if let Some(offer) = end.offer().filter(|_| at.is_multiple_of(2)) {
        end.fail_source(now, offer.stream, offer.body, status);
    } else if let (Some(id), retained) = (pick(pair, side, at), pair.see(side).retained())
        && !retained.is_empty()
    {
        let body = retained[at % retained.len()];
        let owner = pair.see(side).owner(body);
        let id = owner.unwrap_or(id);
        pair.end(side).fail_source(now, id, body, status);
    }
}

/// After the last cut everything ends, and nothing is left.
fn settle(pair: &mut Pair) {
    pair.cut_and_attach();
    for _ in 0..100 {
        for side in [Side::Dialer, Side::Acceptor] {
            let now = pair.now;
            let end = pair.end(side);
            for id in end
                .opened
                .difference(&end.ended)
                .copied()
                .collect::<Vec<_>>()
            {
                end.finish(now, id, Status::ok());
            }
        }
        pair.run();
        let is_over = |side| pair.see(side).session.live_streams() == 0;
        if is_over(Side::Dialer) && is_over(Side::Acceptor) {
            break;
        }
    }
    pair.check_nothing_left();
    check_ends(pair);
}

/// What was finished has arrived whole, unless somebody aborted it or its source failed.
fn check_ends(pair: &Pair) {
    for side in [Side::Dialer, Side::Acceptor] {
        let (from, to) = (pair.see(side), pair.see(side.other()));
        assert_eq!(from.opened, to.opened);
        for (id, sent) in &from.sent {
            let received = &to.received[id];
            let is_aborted = sent.is_reset || from.stopped.contains_key(id);
            if !is_aborted {
                let (status, _) = received.finished.as_ref().expect("an orderly end");
                let expected = sent.failure.as_ref().or(sent.finish.as_ref());
                // A failure after everything had arrived comes too late to matter.
                assert!(Some(status) == expected || Some(status) == sent.finish.as_ref());
            }
        }
    }
}

fn config() -> impl Strategy<Value = SessionConfig> {
    let windows = (1..9000_u64, 1..12_000_u64);
    let caps = (1..30_000_u64, 1..9000_u64);
    let bulk = (0..4_u8, 1..3000_u64);
    (windows, caps, 1..9_u64, any::<bool>(), bulk).prop_map(
        |(windows, caps, streams_max, is_checked, bulk)| SessionConfig {
            bulk_connections: bulk.0,
            bulk_body_bytes_min: bulk.1,
            stream_window_bytes: windows.0,
            session_window_bytes: windows.1,
            retained_bytes_max: caps.0,
            unacked_bytes_max: caps.1,
            streams_max,
            body_checksum: match is_checked {
                true => BodyChecksum::Always,
                false => BodyChecksum::Off,
            },
            ..tight()
        },
    )
}

proptest! {
    #[test]
    fn whatever_happens_every_stream_arrives_once_and_nothing_is_left(
        config in config(),
        acts in prop::collection::vec(act(), 1..250),
    ) {
        let mut pair = Pair::new(config);
        for act in &acts {
            perform(&mut pair, act);
        }
        settle(&mut pair);
    }
}
