//! A dialer and an acceptor of one session, and the connections between them.

use ringway_proto::testing::session_ledger;
use ringway_proto::{
    Accept, Authentication, BodyKind, Decision, Dial, Epoch, Established, Event, Intent, Key,
    KeyGrant, KeyId, Link, LocalEndpoint, Need, Retention, SessionConfig, SessionId, Side, Status,
    StreamId, StreamOptions, Time, Violation,
};

use crate::end::End;

const ID: SessionId = SessionId::from_bytes([7; 16]);
const BOTH: [Side; 2] = [Side::Dialer, Side::Acceptor];

pub struct Pair {
    pub now: Time,
    pub config: SessionConfig,
    acceptor_config: SessionConfig,
    dialer: End,
    acceptor: End,
    /// Bytes on their way to the acceptor, and to the dialer.
    pub wires: [Vec<u8>; 2],
    /// The same of each bulk connection.
    pub bulk: Vec<Bulk>,
    pub epoch: u64,
}

/// A bulk connection: how each end names it (the dialer first), and bytes on their way to the
/// acceptor, and to the dialer.
#[derive(Debug)]
pub struct Bulk {
    pub links: [Option<Link>; 2],
    pub wires: [Vec<u8>; 2],
}

/// Of the wire on which `side` sends.
fn index(side: Side) -> usize {
    usize::from(side == Side::Acceptor)
}

impl Pair {
    pub fn new(config: SessionConfig) -> Self {
        Self::with_configs(config.clone(), config)
    }

    /// Of the dialer, and of the acceptor.
    pub fn with_configs(config: SessionConfig, acceptor_config: SessionConfig) -> Self {
        let now = Time::from_ns(1_000_000_000);
        Self {
            now,
            dialer: End::new(Side::Dialer, ID, &config, now),
            acceptor: End::new(Side::Acceptor, ID, &acceptor_config, now),
            config,
            acceptor_config,
            wires: [Vec::new(), Vec::new()],
            bulk: Vec::new(),
            epoch: 0,
        }
    }

    /// Attached, and the first grants said.
    pub fn attached(config: SessionConfig) -> Self {
        let mut pair = Self::new(config);
        pair.attach();
        pair.run();
        pair
    }

    pub fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Dialer => &mut self.dialer,
            Side::Acceptor => &mut self.acceptor,
        }
    }

    pub fn see(&self, side: Side) -> &End {
        match side {
            Side::Dialer => &self.dialer,
            Side::Acceptor => &self.acceptor,
        }
    }

    // --- connections ---------------------------------------------------------------------------

    /// A whole handshake; each end attaches what it led to.
    pub fn attach(&mut self) {
        let (dialer, acceptor) = self.handshake();
        self.attach_at(Side::Acceptor, &acceptor);
        self.attach_at(Side::Dialer, &dialer);
    }

    /// The verdict is lost: only the acceptor thinks that there is a new connection.
    pub fn attach_half(&mut self) {
        let (_, acceptor) = self.handshake();
        self.attach_at(Side::Acceptor, &acceptor);
    }

    /// What both ends agree on for the next connection.
    pub fn handshake(&mut self) -> (Established, Established) {
        self.epoch += 1;
        let intent = match self.dialer.session.epoch() == Epoch(0) {
            true => Intent::New,
            false => Intent::Resume,
        };
        self.shake_hands(intent)
    }

    fn shake_hands(&mut self, intent: Intent) -> (Established, Established) {
        let is_new = self.acceptor.session.epoch() == Epoch(0);
        let key_id = KeyId::new("alice").expect("valid");
        let key = Key::from_bytes([3; 32]);
        let ours = LocalEndpoint::new("dialer", 1, &self.config);
        let theirs = LocalEndpoint::new("acceptor", 2, &self.acceptor_config);
        let credentials = Some((key_id, key.clone()));
        let epoch = Epoch(self.epoch);
        let mut dial = Dial::new(&ours, credentials, intent, ID, epoch, [1; 32]);
        let mut accept = Accept::new(&theirs, Authentication::Keyed, [2; 32]);
        for _ in 0..2 {
            let message = dial.poll_transmit().expect("a message");
            feed(&message, |part| {
                accept
                    .handle_bytes(&part[..accept.bytes_wanted().min(part.len())])
                    .expect("valid");
                answer(&mut accept, &key, is_new);
            });
            let message = accept.poll_transmit().expect("an answer");
            feed(&message, |part| dial.handle_bytes(part).expect("valid"));
        }
        let dialer = dial.poll_established().expect("established");
        let acceptor = accept.poll_established().expect("established");
        (dialer, acceptor)
    }

    /// One more connection; both ends attach it.
    pub fn attach_bulk(&mut self) {
        let (dialer, acceptor) = self.handshake_bulk();
        let links = [
            Some(self.dialer.attach_bulk(self.now, &dialer)),
            Some(self.acceptor.attach_bulk(self.now, &acceptor)),
        ];
        let wires = [Vec::new(), Vec::new()];
        self.bulk.push(Bulk { links, wires });
    }

    pub fn handshake_bulk(&mut self) -> (Established, Established) {
        self.shake_hands(Intent::Attach)
    }

    /// Two of them, which come to the ends in different orders.
    pub fn attach_bulk_crossed(&mut self) {
        let (one, other) = (self.handshake_bulk(), self.handshake_bulk());
        let now = self.now;
        let first = self.dialer.attach_bulk(now, &one.0);
        let second = self.dialer.attach_bulk(now, &other.0);
        let of_second = self.acceptor.attach_bulk(now, &other.1);
        let of_first = self.acceptor.attach_bulk(now, &one.1);
        assert_ne!(first, of_first);
        for links in [[first, of_first], [second, of_second]] {
            let links = links.map(Some);
            let wires = [Vec::new(), Vec::new()];
            self.bulk.push(Bulk { links, wires });
        }
    }

    /// As many as the dialing end asks for, as long as there is a common connection.
    pub fn attach_missing(&mut self) {
        while self.is_connected() && self.dialer.session.bulk_missing() > 0 {
            let epoch = self.acceptor.session.epoch();
            self.acceptor
                .session
                .check_bulk(epoch)
                .expect("within the limit");
            self.attach_bulk();
        }
    }

    /// Everything of the older connections is fenced first, as the contract demands.
    pub fn attach_at(&mut self, side: Side, established: &Established) {
        let now = self.now;
        self.wires = [Vec::new(), Vec::new()];
        self.bulk.clear();
        let end = self.end(side);
        end.forget_connections();
        end.session
            .attach(now, established)
            .expect("a newer connection");
        self.settle_events();
    }

    /// The connection is gone; `side` notices.
    pub fn detach(&mut self, side: Side) {
        let now = self.now;
        let end = self.end(side);
        end.session.detach(now);
        end.forget_connections();
        self.wires = [Vec::new(), Vec::new()];
        self.bulk.clear();
        self.settle_events();
    }

    pub fn cut(&mut self) {
        BOTH.into_iter().for_each(|side| self.detach(side));
    }

    pub fn cut_and_attach(&mut self) {
        self.cut();
        self.attach();
    }

    // --- steps ---------------------------------------------------------------------------------

    /// What `side` wants to send goes onto its wire, bodies as held by `held`.
    pub fn pump_with(
        &mut self,
        side: Side,
        limit: usize,
        body_max: u64,
        held: impl FnMut(u64) -> Option<u64>,
    ) {
        let (now, at) = (self.now, index(side));
        let mut wire = std::mem::take(&mut self.wires[at]);
        let bounds = (limit, body_max);
        let end = self.end(side);
        end.pump(now, Link::MESSAGE, &mut wire, bounds, held);
        self.wires[at] = wire;
        self.settle_events();
    }

    /// The same on a bulk connection.
    pub fn pump_bulk_with(
        &mut self,
        side: Side,
        which: usize,
        bounds: (usize, u64),
        held: impl FnMut(u64) -> Option<u64>,
    ) {
        let (now, at) = (self.now, index(side));
        let Some(link) = self.bulk.get(which).and_then(|bulk| bulk.links[at]) else {
            return;
        };
        let mut wire = std::mem::take(&mut self.bulk[which].wires[at]);
        self.end(side).pump(now, link, &mut wire, bounds, held);
        self.bulk[which].wires[at] = wire;
        self.settle_events();
    }

    /// On all connections; the message connection once more, for what moved there.
    pub fn pump(&mut self, side: Side) {
        self.pump_with(side, 1 << 20, 1 << 20, Some);
        for which in 0..self.bulk.len() {
            self.pump_bulk_with(side, which, (1 << 20, 1 << 20), Some);
        }
        self.pump_with(side, 1 << 20, 1 << 20, Some);
    }

    /// Both ends are on the same connection; what is written to any other vanishes.
    fn is_connected(&self) -> bool {
        let (one, other) = (&self.dialer.session, &self.acceptor.session);
        one.epoch() == other.epoch() && one.is_attached() && other.is_attached()
    }

    /// Up to `count` bytes of `from`'s wire arrive.
    pub fn try_deliver(&mut self, from: Side, count: usize) -> Result<(), Violation> {
        let (now, at) = (self.now, index(from));
        let count = count.min(self.wires[at].len());
        let bytes: Vec<u8> = self.wires[at].drain(..count).collect();
        if !self.is_connected() {
            return Ok(());
        }
        let result = self.end(from.other()).take(now, Link::MESSAGE, &bytes);
        self.settle_events();
        result
    }

    pub fn try_deliver_bulk(
        &mut self,
        from: Side,
        which: usize,
        count: usize,
    ) -> Result<(), Violation> {
        let (now, at) = (self.now, index(from));
        let is_connected = self.is_connected();
        let Some(bulk) = self.bulk.get_mut(which) else {
            return Ok(());
        };
        let count = count.min(bulk.wires[at].len());
        let bytes: Vec<u8> = bulk.wires[at].drain(..count).collect();
        let Some(link) = bulk.links[1 - at].filter(|_| is_connected) else {
            return Ok(());
        };
        let result = self.end(from.other()).take(now, link, &bytes);
        self.settle_events();
        result
    }

    pub fn deliver_bulk(&mut self, from: Side, which: usize, count: usize) {
        self.try_deliver_bulk(from, which, count)
            .expect("no violation between honest ends");
    }

    pub fn deliver(&mut self, from: Side, count: usize) {
        self.try_deliver(from, count)
            .expect("no violation between honest ends");
    }

    pub fn pass(&mut self, ns: u64) {
        self.now = Time::from_ns(self.now.as_ns() + ns);
        let now = self.now;
        for side in BOTH {
            let session = &mut self.end(side).session;
            if session.poll_timeout().is_some_and(|at| at <= now) {
                session.handle_timeout(now);
            }
        }
        self.settle_events();
    }

    fn settle_events(&mut self) {
        let now = self.now;
        BOTH.into_iter().for_each(|side| self.end(side).drain(now));
        self.check();
    }

    /// Both sides send and receive, applications take everything, until nothing moves.
    pub fn run(&mut self) {
        self.run_with(true);
    }

    pub fn run_with(&mut self, consumes: bool) {
        for _ in 0..100_000 {
            let before = self.activity();
            for side in BOTH {
                self.attach_missing();
                self.pump(side);
                self.deliver_all(side);
                if consumes {
                    self.consume_all(side);
                }
            }
            if self.activity() == before && self.is_quiet() {
                // What may wait a moment (acks) is due now; heartbeats are not.
                self.pass(3_000_000);
                if self.activity() == before && !self.is_anything_owed() {
                    return;
                }
            }
        }
        panic!("it never settles");
    }

    fn is_anything_owed(&mut self) -> bool {
        BOTH.into_iter().any(|side| {
            self.pump(side);
            !self.is_quiet()
        })
    }

    /// Nothing is on its way.
    fn is_quiet(&self) -> bool {
        let bulk = self.bulk.iter().flat_map(|bulk| &bulk.wires);
        self.wires.iter().chain(bulk).all(Vec::is_empty)
    }

    fn deliver_all(&mut self, side: Side) {
        // The bulk connections first: what is ahead there has to wait.
        for which in 0..self.bulk.len() {
            self.deliver_bulk(side, which, usize::MAX);
        }
        self.deliver(side, usize::MAX);
    }

    fn activity(&self) -> Vec<u64> {
        let of = |end: &End| {
            let statistics = end.session.statistics();
            let live = end.session.live_streams() as u64;
            [
                statistics.frames_sent,
                statistics.frames_received,
                statistics.new_bytes,
                live,
            ]
        };
        [of(&self.dialer), of(&self.acceptor)].concat()
    }

    pub fn consume_all(&mut self, side: Side) {
        let now = self.now;
        let end = self.end(side);
        for id in end.received.keys().copied().collect::<Vec<_>>() {
            end.consume(now, id, u64::MAX);
        }
        self.settle_events();
    }

    // --- short forms ---------------------------------------------------------------------------

    pub fn open(&mut self, side: Side) -> StreamId {
        let now = self.now;
        self.end(side).open(now).expect("credit for a stream")
    }

    pub fn open_lossy(&mut self, side: Side) -> StreamId {
        let options = StreamOptions {
            retention: Retention::Newest,
            ..StreamOptions::default()
        };
        let now = self.now;
        let end = self.end(side);
        end.open_with(now, options).expect("credit for a stream")
    }

    pub fn send(&mut self, side: Side, id: StreamId, length: usize) {
        let now = self.now;
        let end = self.end(side);
        end.send(now, side, id, length, BodyKind::Memory, false)
            .expect("accepted");
    }

    pub fn record(&mut self, side: Side, id: StreamId, length: usize) {
        let now = self.now;
        let end = self.end(side);
        end.send(now, side, id, length, BodyKind::Memory, true)
            .expect("accepted");
    }

    pub fn finish(&mut self, side: Side, id: StreamId) {
        let now = self.now;
        self.end(side).finish(now, id, Status::ok());
    }

    pub fn events(&mut self, side: Side) -> Vec<Event> {
        std::mem::take(&mut self.end(side).events)
    }

    pub fn received(&self, side: Side, id: StreamId) -> Vec<u8> {
        self.see(side)
            .received
            .get(&id)
            .map_or_else(Vec::new, |it| it.bytes.clone())
    }

    // --- what must always hold -----------------------------------------------------------------

    /// Received is a prefix of sent; acked was received; ends are told as they were meant.
    pub fn check(&self) {
        for side in BOTH {
            let (from, to) = (self.see(side), self.see(side.other()));
            for (id, received) in &to.received {
                let Some(sent) = from.sent.get(id) else {
                    assert!(received.bytes.is_empty(), "{id} from nowhere");
                    continue;
                };
                // What came is compared as it comes.
                assert!(sent.bytes.len() >= received.bytes.len(), "{id} made up");
                if received.gaps.is_empty() {
                    assert!(sent.records.starts_with(&received.records), "{id}: records");
                }
                received.check_gaps(sent);
                let acked = from.acked.get(id).copied().unwrap_or(0);
                assert!(
                    acked <= received.bytes.len() as u64,
                    "{id} acked, not received"
                );
                if let Some((status, offset)) = &received.finished {
                    check_finish(sent, received.records_passed(), status, *offset);
                }
                if received.reset.is_some() {
                    assert!(
                        sent.is_reset || from.stopped.contains_key(id),
                        "{id} reset by none"
                    );
                }
            }
        }
    }

    /// Everything is over and nothing is left of it.
    pub fn check_nothing_left(&self) {
        for side in BOTH {
            let end = self.see(side);
            let statistics = end.session.statistics();
            assert_eq!(end.session.live_streams(), 0, "{side:?}: streams");
            assert_eq!(statistics.retained_bytes, 0, "{side:?}: retained");
            assert_eq!(statistics.unacked_bytes, 0, "{side:?}: unacked");
            assert!(end.retained().is_empty(), "{side:?}: payloads");
            assert_eq!(end.opened, end.ended, "{side:?}: told of each end");
            let [sent, allowed, ..] = session_ledger(&end.session);
            let [_, _, received, consumed, granted] =
                session_ledger(&self.see(side.other()).session);
            assert_eq!((sent, sent), (received, consumed), "{side:?}: credit used");
            assert_eq!(allowed, granted, "{side:?}: credit granted");
            let window = self.config.session_window_bytes;
            assert!(granted <= consumed + window && granted >= consumed + window - window / 4);
        }
    }
}

fn check_finish(sent: &crate::end::Sent, records: u64, status: &Status, offset: u64) {
    if sent.failure.as_ref() == Some(status) {
        assert!(offset <= sent.bytes.len() as u64);
    } else {
        assert_eq!(sent.finish.as_ref(), Some(status));
        assert_eq!(
            offset,
            sent.bytes.len() as u64,
            "an orderly end is a complete one"
        );
        assert_eq!(records, sent.records.len() as u64);
    }
}

/// Gives a message as its reader wants it: the prefix, then the rest.
fn feed(message: &[u8], mut take: impl FnMut(&[u8])) {
    let (prefix, rest) = message.split_at(12);
    take(prefix);
    take(rest);
}

fn answer(accept: &mut Accept, key: &Key, is_new: bool) {
    while let Some(need) = accept.poll_need() {
        match need {
            Need::Key(_) => accept.provide_key(Some(KeyGrant::any_name(key.clone()))),
            Need::Session(claim) => accept.decide(match is_new {
                _ if claim.intent == Intent::Attach => Decision::Attach { epoch: claim.epoch },
                true => Decision::New { epoch: claim.epoch },
                false => Decision::Resume { epoch: claim.epoch },
            }),
        }
    }
}

/// Small windows, so that every bound is met.
pub fn tight() -> SessionConfig {
    SessionConfig {
        stream_window_bytes: 6000,
        session_window_bytes: 9000,
        streams_max: 8,
        retained_bytes_max: 20_000,
        unacked_bytes_max: 5000,
        ..SessionConfig::default()
    }
}
