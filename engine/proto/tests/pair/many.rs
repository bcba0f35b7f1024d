//! Sessions with 100,000 live streams.

use std::collections::BTreeMap;

use ringway_proto::testing::Frame;
use ringway_proto::{
    BodyId, BodyKind, Event, Link, Next, Rule, Session, SessionConfig, Side, Status, StreamId,
    StreamOptions, Time, Trailer, Transmit,
};

use crate::harness::Pair;

const A: Side = Side::Dialer;
const B: Side = Side::Acceptor;
const STREAMS: usize = 100_000;
/// Streams that one input may settle, at most.
const STEP: usize = 1024;
/// What one output may append, at most: a batch of control, and the frame that fills it.
const BATCH_BYTES: usize = (32 << 10) + 40 + 256 * 48;

/// Both ends of a session, as thin as can be: the checks of `harness` look at every stream after
/// every step. What a body says is not carried, only that it comes in its place.
struct Many {
    pair: Pair,
    wires: [Vec<u8>; 2],
    received: [BTreeMap<StreamId, u64>; 2],
    bodies: u64,
    events_most: usize,
}

fn at(side: Side) -> usize {
    usize::from(side == B)
}

impl Many {
    fn new() -> Self {
        let config = SessionConfig {
            streams_max: 2 * STREAMS as u64,
            ..SessionConfig::default()
        };
        Self {
            pair: Pair::attached(config),
            wires: Default::default(),
            received: Default::default(),
            bodies: 0,
            events_most: 0,
        }
    }

    fn session(&mut self, side: Side) -> &mut Session {
        &mut self.pair.end(side).session
    }

    fn now(&self) -> Time {
        self.pair.now
    }

    fn open_all(&mut self) -> Vec<StreamId> {
        let now = self.now();
        let options = StreamOptions::default();
        let open = |_| self.session(A).open(now, options).expect("credit");
        (0..STREAMS).map(open).collect()
    }

    fn record(&mut self, id: StreamId, length: u64) {
        let (now, body) = (self.now(), BodyId(self.bodies));
        self.bodies += 1;
        let session = self.session(A);
        let sent = session.send(now, id, body, length, BodyKind::Memory, true);
        sent.expect("accepted");
    }

    fn finish(&mut self, side: Side, id: StreamId) {
        let now = self.now();
        let finished = self.session(side).finish(now, id, Status::ok());
        finished.expect("open");
    }

    /// The events that one input has caused.
    fn drain(&mut self, side: Side) {
        let mut count = 0;
        while let Some(event) = self.session(side).poll_event() {
            assert!(!matches!(
                event,
                Event::Closed(_) | Event::PeerSilent { .. }
            ));
            count += 1;
        }
        self.events_most = self.events_most.max(count);
    }

    /// One output; false when there was none.
    fn transmit(&mut self, side: Side) -> bool {
        let (now, link) = (self.now(), Link::MESSAGE);
        let mut wire = std::mem::take(&mut self.wires[at(side)]);
        let before = wire.len();
        let session = self.session(side);
        let transmit = session.poll_transmit(now, link, &mut wire, 1 << 20);
        if let Some(Transmit::Body(offer)) = transmit {
            let length = offer.length;
            assert!(session.commit(now, offer, length, Trailer::None, &mut wire));
            wire.resize(wire.len() + length as usize, 0);
        }
        let added = wire.len() - before;
        assert!(added <= BATCH_BYTES, "{added} bytes at once");
        self.wires[at(side)] = wire;
        self.drain(side);
        transmit.is_some()
    }

    /// What is on the wire of `from` arrives, but for what is not whole.
    fn deliver(&mut self, from: Side) {
        let wire = std::mem::take(&mut self.wires[at(from)]);
        let (now, side) = (self.now(), from.other());
        let mut rest = &wire[..];
        loop {
            let parsed = self.session(side).handle_bytes(now, Link::MESSAGE, rest);
            let parsed = parsed.expect("no violation between honest ends");
            self.drain(side);
            rest = &rest[parsed.consumed..];
            let Next::Body(body) = parsed.next else {
                break;
            };
            let Some(behind) = rest.get(body.length as usize..) else {
                break;
            };
            rest = behind;
            let received = self.received[at(side)].entry(body.stream).or_default();
            if body.skip < body.length {
                assert_eq!(body.offset + body.skip, *received, "a gap or a double");
                *received += body.length - body.skip;
            }
            let session = self.session(side);
            let taken = session.handle_body(now, Link::MESSAGE, body.length);
            taken.expect("no violation between honest ends");
            session.consume(now, body.stream, body.length);
            self.drain(side);
        }
    }

    fn exchange(&mut self, from: Side) {
        loop {
            let is_more = self.transmit(from);
            self.deliver(from);
            if !is_more {
                return;
            }
        }
    }

    /// Until nothing moves, and nothing is due.
    fn run(&mut self) {
        for _ in 0..10_000 {
            self.exchange(A);
            self.exchange(B);
            self.pass(3_000_000);
            while self.is_due(A) || self.is_due(B) {
                self.pass(0);
            }
            if !self.transmit(A) && !self.transmit(B) {
                return;
            }
        }
        panic!("it never settles");
    }

    fn is_due(&mut self, side: Side) -> bool {
        let now = self.now();
        let due = self.session(side).poll_timeout();
        due.is_some_and(|due| due <= now)
    }

    fn pass(&mut self, ns: u64) {
        let now = Time::from_ns(self.pair.now.as_ns() + ns);
        self.pair.now = now;
        for side in [A, B] {
            let session = self.session(side);
            if session.poll_timeout().is_some_and(|due| due <= now) {
                session.handle_timeout(now);
                self.drain(side);
            }
        }
    }

    fn cut(&mut self) {
        self.wires = Default::default();
        let now = self.now();
        for side in [A, B] {
            self.session(side).detach(now);
        }
    }

    fn attach(&mut self) {
        let now = self.now();
        let (dialer, acceptor) = self.pair.handshake();
        self.session(B).attach(now, &acceptor).expect("newer");
        self.session(A).attach(now, &dialer).expect("newer");
        assert_eq!(
            self.session(A).poll_event(),
            None,
            "an attach walks nowhere"
        );
    }

    fn live(&mut self, side: Side) -> usize {
        self.session(side).live_streams()
    }

    fn check_received(&self, side: Side, ids: &[StreamId], bytes: impl Fn(usize) -> u64) {
        for (index, id) in ids.iter().enumerate() {
            assert_eq!(self.received[at(side)][id], bytes(index), "stream {id}");
        }
    }

    /// Ends every stream; nothing is left.
    fn end(&mut self, ids: &[StreamId]) {
        for &id in ids {
            self.finish(A, id);
            self.finish(B, id);
        }
        self.run();
        for side in [A, B] {
            assert_eq!(self.live(side), 0);
            let statistics = self.session(side).statistics();
            assert_eq!(
                (statistics.retained_bytes, statistics.unacked_bytes),
                (0, 0)
            );
        }
    }
}

fn frames(mut wire: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Ok((frame, size)) = Frame::parse(wire) {
        frames.push(frame);
        wire = &wire[size..];
    }
    frames
}

// S28
#[test]
fn a_hundred_thousand_streams_are_stated_in_bounded_pieces_with_signs_of_life_between_them() {
    let mut many = Many::new();
    let ids = many.open_all();
    for &id in &ids {
        many.record(id, 1);
    }
    many.run();
    for &id in &ids {
        many.record(id, 10);
    }
    // Some arrive, some are lost, some were never sent.
    for round in 0..60_000 {
        many.transmit(A);
        if round < 30_000 {
            many.deliver(A);
        }
    }
    many.cut();
    many.attach();
    let (mut chunks, mut answered) = ([0, 0], 0);
    while chunks != [STREAMS.div_ceil(256); 2] {
        // A heartbeat's time after the last word: each side owes a ping.
        many.pass(5_000_000_000);
        for side in [A, B] {
            assert!(many.transmit(side));
            let frames = frames(&many.wires[at(side)]);
            let is_chunk = |frame: &&Frame| matches!(frame, Frame::Resume { .. });
            let stated = frames.iter().filter(is_chunk).count();
            assert!(stated * 256 <= STEP, "{stated} chunks at once");
            chunks[at(side)] += stated;
            let is_pong = |frame: &&Frame| matches!(frame, Frame::Pong(_));
            answered += frames.iter().filter(is_pong).count();
            many.deliver(side);
        }
    }
    assert!(answered > 100, "{answered} pongs");
    many.run();
    many.check_received(B, &ids, |_| 11);
    assert!(many.events_most <= 4 * STEP, "{} events", many.events_most);
    many.end(&ids);
}

// S25, S28
#[test]
fn streams_that_ended_at_the_peer_are_settled_in_steps_and_sending_waits_for_them() {
    let mut many = Many::new();
    let ids = many.open_all();
    for &id in &ids {
        many.record(id, 1);
    }
    many.run();
    ids.iter().for_each(|&id| many.finish(B, id));
    many.run();
    ids.iter().for_each(|&id| many.finish(A, id));
    many.exchange(A);
    // B has everything and has said so; that is lost.
    while many.transmit(B) {
        many.wires[at(B)].clear();
    }
    assert_eq!((many.live(A), many.live(B)), (STREAMS, 0));
    many.cut();
    many.attach();
    let now = many.now();
    let late = many.session(A).open(now, StreamOptions::default());
    let late = late.expect("credit");
    many.record(late, 10);
    while many.transmit(B) {}
    many.deliver(B);
    let (mut steps, mut live) = (1, many.live(A));
    assert_eq!(live, STREAMS + 1 - STEP);
    while live > 1 {
        while many.transmit(A) {}
        let is_body = |frame: &Frame| matches!(frame, Frame::Data { .. });
        let frames = frames(&many.wires[at(A)]);
        assert!(!frames.iter().any(is_body), "the peer's state first");
        many.deliver(A);
        let due = many.session(A).poll_timeout().expect("more is left");
        assert!(due <= many.now(), "at once");
        many.pass(0);
        let left = many.live(A);
        assert!(
            left < live && live - left <= STEP,
            "{} at once",
            live - left
        );
        live = left;
        steps += 1;
    }
    assert_eq!(steps, STREAMS.div_ceil(STEP));
    assert!(many.events_most <= 4 * STEP, "{} events", many.events_most);
    many.run();
    many.check_received(B, &[late], |_| 10);
    many.end(&[late]);
}

// S11, S28
#[test]
fn a_link_that_dies_while_streams_are_stated_and_settled_loses_and_doubles_nothing() {
    let mut many = Many::new();
    let ids = many.open_all();
    for &id in &ids {
        many.record(id, 11);
    }
    for round in 0..6 {
        many.cut();
        // Between two connections the application goes on.
        many.record(ids[round * 7000], 5);
        many.attach();
        for _ in 0..round * 40 {
            for side in [A, B] {
                many.transmit(side);
                many.deliver(side);
            }
        }
        many.record(ids[STREAMS - 1 - round], 5);
    }
    many.run();
    let is_longer =
        |index: usize| (index.is_multiple_of(7000) && index < 42_000) || index >= STREAMS - 6;
    many.check_received(B, &ids, |index| if is_longer(index) { 16 } else { 11 });
    many.end(&ids);
}

/// The order of the entries is what lets a receiver keep none of them.
#[test]
fn entries_out_of_order_are_a_violation_with_both_numbers() {
    let mut pair = Pair::attached(SessionConfig::default());
    let ids: Vec<_> = (0..2).map(|_| pair.open(A)).collect();
    for &id in &ids {
        pair.record(A, id, 1);
    }
    pair.run();
    pair.cut_and_attach();
    pair.pump(B);
    let Some(Frame::Resume {
        opened,
        seen,
        is_last,
        mut entries,
    }) = frames(&pair.wires[1]).into_iter().next()
    else {
        panic!("a resume comes first");
    };
    entries.reverse();
    let mut wire = Vec::new();
    let frame = Frame::Resume {
        opened,
        seen,
        is_last,
        entries,
    };
    frame.emit(&mut wire);
    pair.wires[1] = wire;
    let violation = pair.try_deliver(B, usize::MAX).expect_err("out of order");
    let expected = (Rule::ResumeOrder, ids[0].0, ids[1].0 + 1);
    assert_eq!(
        (violation.rule, violation.got, violation.expected),
        expected
    );
}
