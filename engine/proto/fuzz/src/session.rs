//! A whole session under any frames and any calls of its application, in any order.
//!
//! Frames are headers of any field values with the checksum right, so that kinds and flags that a
//! later version adds are tried without a change here. The peer may lose its session. It must not
//! panic us, make us hold more than the limits, or make us believe that more was acked than sent.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use ringway_proto::{
    BodyId, BodyKind, EndpointName, Epoch, Established, Event, Features, Incoming, Link, Next,
    Offer, PeerIdentity, Priority, Retention, Role, Session, SessionConfig, SessionId,
    SessionLimits, Side, Status, StreamId, StreamOptions, Time, Trailer, Transmit, Violation,
};

use super::frames::repair;

const STREAMS_MAX: u64 = 6;
const RETAINED_MAX: u64 = 10_000;
const SEND_MAX: u64 = 9_000;

/// Longer inputs only repeat themselves.
const STEPS_MAX: usize = 300;

/// Likely to be near what is expected, or at a border.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Number {
    Small(u8),
    Middle(u16),
    Large(u8),
    Any(u64),
}

impl Number {
    fn value(self) -> u64 {
        match self {
            Self::Small(value) => u64::from(value % 8),
            Self::Middle(value) => value.into(),
            Self::Large(less) => (1 << 62) - u64::from(less) / 4,
            Self::Any(value) => value,
        }
    }
}

#[derive(Arbitrary, Debug)]
struct RawFrame {
    kind: u8,
    flags: u8,
    stream: Number,
    offset: Number,
    record: Number,
    payload: Payload,
}

#[derive(Arbitrary, Debug)]
enum Payload {
    None,
    /// A body, of which no byte is ever touched.
    Body(u16),
    Status(u32),
    Numbers(Vec<Number>),
    /// Of a resume chunk: stream, received, records, consumed, credit, whether the end is known.
    Entries(Vec<([Number; 5], bool)>),
    Bytes(Vec<u8>),
    /// A length that nothing follows.
    Length(u32),
}

/// Which connection: the message connection, mostly, or one of two for bodies.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct On(u8);

impl On {
    fn index(self) -> usize {
        match self.0 % 8 {
            6 => 1,
            7 => 2,
            _ => 0,
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Step {
    Receive(On, RawFrame),
    /// Bytes as they come, or rather not.
    ReceiveBytes(On, Vec<u8>),
    Body(On, u16),
    Trailer(On, u32, u32),
    AttachBulk,
    Open(bool),
    Send(u8, u16, bool, bool),
    Finish(u8),
    Reset(u8),
    Stop(u8),
    Consume(u8, Number),
    FailSource(u8, u8),
    Transmit(On, u16, u8),
    Commit(On, u8),
    Reattach(bool),
    Detach,
    Wait(u16),
    Drain,
    Close,
    Prioritize(u8, u8),
}

#[derive(Arbitrary, Debug)]
struct Input {
    is_dialer: bool,
    has_checksums: bool,
    steps: Vec<Step>,
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let mut victim = Victim::new(&input);
    victim.attach(false);
    for step in input.steps.into_iter().take(STEPS_MAX) {
        victim.apply(step);
        victim.check();
    }
    for report in victim.session.take_remains() {
        for kept in report.retained {
            assert!(kept.start + kept.length >= report.progress.acked);
        }
    }
}

impl RawFrame {
    fn bytes(&self) -> Vec<u8> {
        let (length, payload) = self.payload.bytes();
        let mut out = vec![self.kind % 20, self.flags, 0, 0];
        out.extend(length.to_le_bytes());
        for field in [self.stream, self.offset, self.record] {
            out.extend(field.value().to_le_bytes());
        }
        out.extend([0; 8]);
        repair(&mut out);
        out.extend(payload);
        out
    }
}

impl Payload {
    fn bytes(&self) -> (u32, Vec<u8>) {
        let bytes = match self {
            Self::None => Vec::new(),
            Self::Body(length) => return ((*length).into(), Vec::new()),
            Self::Length(length) => return (*length, Vec::new()),
            Self::Status(code) => {
                let mut bytes = code.to_le_bytes().to_vec();
                bytes.extend([1, 0, b'x']);
                bytes
            }
            Self::Numbers(numbers) => {
                let numbers = numbers.iter().take(6);
                numbers
                    .flat_map(|number| number.value().to_le_bytes())
                    .collect()
            }
            Self::Entries(entries) => {
                let entry = |(fields, end): &([Number; 5], bool)| {
                    let fields = fields.iter().map(|number| number.value());
                    let fields = fields.chain([u64::from(*end)]);
                    fields.flat_map(u64::to_le_bytes).collect::<Vec<_>>()
                };
                entries.iter().take(20).flat_map(entry).collect()
            }
            Self::Bytes(bytes) => bytes.clone(),
        };
        (bytes.len() as u32, bytes)
    }
}

/// What the caller knows of one connection.
#[derive(Default)]
struct Wire {
    /// Of the body on its way: what is missing.
    missing: u64,
    is_trailer_due: bool,
    /// A body waits there; nothing behind it is looked at.
    is_waiting: bool,
    offer: Option<Offer>,
}

impl Wire {
    fn is_free(&self) -> bool {
        self.missing == 0 && !self.is_trailer_due && !self.is_waiting
    }
}

/// A session under attack, and what its application has seen of it.
struct Victim {
    session: Session,
    now: Time,
    epoch: u64,
    bodies: u64,
    has_checksums: bool,
    wires: [Wire; 3],
    is_over: bool,
}

fn link(index: usize) -> Link {
    Link::new(index as u8)
}

impl Victim {
    fn new(input: &Input) -> Self {
        let config = SessionConfig {
            stream_window_bytes: 8_000,
            session_window_bytes: 20_000,
            streams_max: STREAMS_MAX,
            retained_bytes_max: RETAINED_MAX,
            unacked_bytes_max: 12_000,
            bulk_connections: 2,
            bulk_body_bytes_min: 4_000,
            ..SessionConfig::default()
        };
        let side = match input.is_dialer {
            true => Side::Dialer,
            false => Side::Acceptor,
        };
        let now = Time::from_ns(1);
        Self {
            session: Session::new(side, SessionId::from_bytes([7; 16]), config, now),
            now,
            epoch: 0,
            bodies: 0,
            has_checksums: input.has_checksums,
            wires: Default::default(),
            is_over: false,
        }
    }

    fn attach(&mut self, resumed: bool) {
        self.epoch += 1;
        self.wires = Default::default();
        let established = self.established(Role::Message, resumed);
        let _ = self.session.attach(self.now, &established);
    }

    fn attach_bulk(&mut self) {
        let held = self.session.bulk_links();
        let established = self.established(Role::Bulk, true);
        let attached = self.session.attach_bulk(self.now, &established);
        let now = self.session.bulk_links();
        assert_eq!(now, held + usize::from(attached.is_ok()));
        assert!(now <= 2);
    }

    fn established(&self, role: Role, resumed: bool) -> Established {
        let features = match self.has_checksums {
            true => Features::BULK_CONNECTIONS.union(Features::BODY_CHECKSUM),
            false => Features::BULK_CONNECTIONS,
        };
        Established {
            session: SessionId::from_bytes([7; 16]),
            epoch: Epoch(self.epoch),
            role,
            version: 1,
            features,
            peer: PeerIdentity {
                name: EndpointName::new("mallory").expect("valid"),
                incarnation: 1,
                key_id: None,
            },
            peer_limits: SessionLimits {
                stream_window_bytes: 5_000,
                session_window_bytes: 9_000,
                streams_max: 5,
                heartbeat_ms: 1,
            },
            resumed,
        }
    }

    /// Whether this connection is there.
    fn has(&self, index: usize) -> bool {
        self.session.is_attached() && index <= self.session.bulk_links()
    }

    /// Gives bytes as the engine does: nothing behind a body before all of it is reported.
    fn receive(&mut self, index: usize, bytes: &[u8]) {
        if !self.has(index) || !self.wires[index].is_free() {
            return;
        }
        let parsed = self.session.handle_bytes(self.now, link(index), bytes);
        let next = parsed.map(|parsed| {
            assert!(parsed.consumed <= bytes.len());
            parsed.next
        });
        match next {
            Ok(Next::Body(incoming)) => self.begin_body(index, incoming),
            Ok(Next::Wait) => {
                assert!(index > 0, "messages never wait");
                self.wires[index].is_waiting = true;
            }
            Ok(Next::More(missing)) => assert!(missing > 0),
            Err(violation) => self.blame(Err(violation)),
        }
    }

    fn begin_body(&mut self, index: usize, incoming: Incoming) {
        assert!(incoming.skip <= incoming.length);
        let wire = &mut self.wires[index];
        wire.missing = incoming.length;
        wire.is_trailer_due = incoming.trailer;
        wire.is_waiting = false;
        if incoming.length == 0 {
            let taken = self.session.handle_body(self.now, link(index), 0);
            self.blame(taken);
        }
    }

    fn body(&mut self, index: usize, bytes: u64) {
        let bytes = bytes.min(self.wires[index].missing);
        if self.has(index) && bytes > 0 {
            self.wires[index].missing -= bytes;
            let taken = self.session.handle_body(self.now, link(index), bytes);
            self.blame(taken);
        }
    }

    fn trailer(&mut self, index: usize, got: u32, computed: u32) {
        let wire = &mut self.wires[index];
        let is_due = wire.missing == 0 && wire.is_trailer_due;
        if is_due && self.has(index) {
            self.wires[index].is_trailer_due = false;
            let told = self
                .session
                .handle_trailer(self.now, link(index), got, computed);
            self.blame(told);
        }
    }

    fn blame(&mut self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            assert!(violation.to_string().contains("W-"));
            self.session.violated(self.now, violation);
        }
    }

    fn transmit(&mut self, index: usize, body_max: u64) {
        let mut out = Vec::new();
        let sent = self
            .session
            .poll_transmit(self.now, link(index), &mut out, body_max);
        assert!(out.len() < 80_000, "control is bounded: {}", out.len());
        if let Some(Transmit::Body(offer)) = sent {
            assert!((1..=body_max).contains(&offer.length));
            self.wires[index].offer = Some(offer);
        }
    }

    /// Commits or withdraws what was offered, be it void by now.
    fn commit(&mut self, index: usize, share: u8) {
        let Some(offer) = self.wires[index].offer.take() else {
            return;
        };
        if share < 32 {
            return self.session.withdraw(offer);
        }
        let length = (offer.length * u64::from(share) / 255).max(1);
        let mut out = Vec::new();
        let _ = self
            .session
            .commit(self.now, offer, length, Trailer::None, &mut out);
    }

    fn apply(&mut self, step: Step) {
        let now = self.now;
        let id = |stream: u8| StreamId(u64::from(stream % 12));
        let status = Status::new(1001, "y");
        let session = &mut self.session;
        match step {
            Step::Receive(on, frame) => self.receive(on.index(), &frame.bytes()),
            Step::ReceiveBytes(on, bytes) => self.receive(on.index(), &bytes),
            Step::Body(on, bytes) => self.body(on.index(), bytes.into()),
            Step::Trailer(on, got, computed) => self.trailer(on.index(), got, computed),
            Step::AttachBulk => self.attach_bulk(),
            Step::Open(is_lossy) => {
                let retention = match is_lossy {
                    true => Retention::Newest,
                    false => Retention::All,
                };
                let options = StreamOptions {
                    retention,
                    ..StreamOptions::default()
                };
                drop(session.open(now, options));
            }
            Step::Send(stream, length, is_file, ends_record) => {
                self.bodies += 1;
                let kind = match is_file {
                    true => BodyKind::Range,
                    false => BodyKind::Memory,
                };
                let (body, length) = (BodyId(self.bodies), u64::from(length) % (SEND_MAX + 1));
                let _ = session.send(now, id(stream), body, length, kind, ends_record);
            }
            Step::Finish(stream) => drop(session.finish(now, id(stream), status)),
            Step::Reset(stream) => session.reset(now, id(stream), status),
            Step::Stop(stream) => session.stop(now, id(stream), status),
            Step::Consume(stream, bytes) => session.consume(now, id(stream), bytes.value()),
            Step::FailSource(stream, body) => {
                session.fail_source(now, id(stream), BodyId(body.into()), status);
            }
            Step::Transmit(on, body_max, share) => {
                self.transmit(on.index(), u64::from(body_max).max(1));
                if share >= 16 {
                    self.commit(on.index(), share);
                }
            }
            Step::Commit(on, share) => self.commit(on.index(), share),
            Step::Reattach(resumed) => {
                session.detach(now);
                self.attach(resumed);
            }
            Step::Detach => session.detach(now),
            Step::Wait(ms) => {
                self.now = now + Duration::from_millis(ms.into());
                self.session.handle_timeout(self.now);
            }
            Step::Drain => session.drain(now),
            Step::Close => session.close(now, status),
            Step::Prioritize(stream, level) => {
                let level = Priority::new(level % 8).expect("a level");
                session.set_priority(id(stream), level);
            }
        }
    }

    /// Takes what the session tells, and the bodies that waited.
    fn drain(&mut self) {
        loop {
            while let Some(event) = self.session.poll_event() {
                assert!(!self.is_over, "nothing after the end: {event:?}");
                self.is_over = matches!(event, Event::Closed(_));
            }
            let Some((link, arrival)) = self.session.poll_arrival(self.now) else {
                return;
            };
            match arrival {
                Ok(incoming) => self.begin_body(usize::from(link.number()), incoming),
                Err(violation) => self.blame(Err(violation)),
            }
        }
    }

    fn check(&mut self) {
        self.drain();
        for stream in (0..12).map(StreamId) {
            let Some(progress) = self.session.progress(stream) else {
                continue;
            };
            assert!(progress.acked <= progress.sent, "{progress:?}");
            assert!(progress.consumed <= progress.sent, "{progress:?}");
            assert!(progress.sent <= progress.accepted, "{progress:?}");
            // A gap may lead beyond credit: it holds no byte.
            let allowed = progress.credit.saturating_add(progress.dropped_bytes);
            assert!(progress.sent <= allowed, "{progress:?}");
        }
        let statistics = self.session.statistics();
        assert!(statistics.retained_bytes <= RETAINED_MAX + SEND_MAX);
        assert!(self.session.live_streams() as u64 <= 12 + 2 * STREAMS_MAX);
    }
}
