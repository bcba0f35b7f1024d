//! A peer that has the key and says anything: well-formed frames with any numbers, at any time.
//!
//! It may lose its session. It must not panic us, overflow a sum, make us hold more than the
//! limits, or make us believe that more was acked than sent.

use proptest::prelude::*;
use ringway_proto::testing::{Frame, ResumeEntry};
use ringway_proto::{
    BodyId, BodyKind, EndpointName, Epoch, Established, Event, Features, Incoming, Link, Next,
    PeerIdentity, Retention, Role, Session, SessionConfig, SessionId, SessionLimits, Side, Status,
    StreamId, StreamOptions, Time, Trailer, Transmit, Violation,
};

const OFFSET_MAX: u64 = 1 << 62;
const STREAMS_MAX: u64 = 6;
const RETAINED_MAX: u64 = 10_000;
const SEND_MAX: u64 = 9_000;

#[derive(Clone, Debug)]
enum Step {
    Receive(Frame),
    ReceiveBulk(Frame),
    AttachBulk,
    Open,
    OpenLossy,
    Send {
        stream: u64,
        length: u64,
        end_of_record: bool,
    },
    Finish(u64),
    Reset(u64),
    Stop(u64),
    Consume(u64, u64),
    FailSource(u64, u64),
    Transmit {
        body_max: u64,
        share: u8,
        is_bulk: bool,
    },
    Reattach {
        resumed: bool,
    },
    Wait(u64),
    Drain,
}

/// Likely to be near what is expected, or at a border.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..3_u64,
        4 => 0..20_000_u64,
        1 => prop::sample::select(vec![4096, OFFSET_MAX - 1, OFFSET_MAX]),
    ]
}

fn stream() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..6_u64, 1 => 0..20_u64, 1 => Just(u64::MAX)]
}

fn entry() -> impl Strategy<Value = ResumeEntry> {
    let fields = (
        stream(),
        number(),
        number(),
        number(),
        number(),
        any::<bool>(),
    );
    fields.prop_map(
        |(stream, received, records, consumed, credit, end_known)| ResumeEntry {
            stream: StreamId(stream),
            received,
            records,
            consumed,
            credit,
            end_known,
        },
    )
}

fn frame() -> impl Strategy<Value = Frame> {
    let status = || Status::new(1000, "x");
    let data = (
        stream(),
        number(),
        0..3_u64,
        0..9_000_u32,
        any::<[bool; 3]>(),
    );
    prop_oneof![
        6 => data.prop_map(|(stream, offset, record, length, flags)| Frame::Data {
            stream: StreamId(stream),
            offset,
            record,
            length,
            opens: flags[0],
            end_of_record: flags[1],
            finishes: flags[2],
            trailer: false,
        }),
        3 => entry().prop_map(|entry| Frame::Ack {
            stream: entry.stream,
            received: entry.received,
            records: entry.records,
            consumed: entry.consumed,
            credit: entry.credit,
            end_known: entry.end_known,
        }),
        1 => number().prop_map(Frame::SessionCredit),
        1 => number().prop_map(Frame::StreamCredit),
        1 => (stream(), number(), 0..3_u64, any::<bool>()).prop_map(move |(stream, offset, record, opens)| {
            Frame::Finish { stream: StreamId(stream), offset, record, opens, status: status() }
        }),
        1 => (stream(), number(), any::<bool>()).prop_map(move |(stream, offset, opens)| {
            Frame::Reset { stream: StreamId(stream), offset, opens, status: status() }
        }),
        1 => (stream(), any::<bool>()).prop_map(move |(stream, opens)| {
            Frame::Stop { stream: StreamId(stream), opens, status: status() }
        }),
        1 => number().prop_map(Frame::Ping),
        1 => number().prop_map(Frame::Pong),
        2 => (0..4_u64, 0..4_u64, any::<bool>(), prop::collection::vec(entry(), 0..4)).prop_map(
            |(opened, seen, is_last, entries)| Frame::Resume { opened, seen, is_last, entries }
        ),
        1 => Just(Frame::Drain),
        1 => (0..4_u64, 0..4_u64).prop_map(|(takes, wanted)| Frame::Bulk { takes, wanted }),
        2 => (stream(), number(), 0..3_u64, number(), 0..5_u64).prop_map(
            |(stream, offset, record, next_offset, next_record)| Frame::Gap {
                stream: StreamId(stream), offset, record, opens: true, next_offset, next_record,
            }
        ),
        2 => (0..6_u64).prop_map(|stream| Frame::Gap {
            stream: StreamId(stream), offset: 0, record: 0, opens: true, next_offset: 0, next_record: 0,
        }),
    ]
}

/// Mostly what a bulk connection may carry.
fn bulk_frame() -> impl Strategy<Value = Frame> {
    let near = (
        stream(),
        number(),
        0..3_u64,
        0..9_000_u32,
        any::<[bool; 2]>(),
    );
    prop_oneof![
        9 => near.prop_map(|(stream, offset, record, length, flags)| Frame::Data {
            stream: StreamId(stream),
            offset,
            record,
            length,
            opens: false,
            end_of_record: flags[0],
            finishes: flags[1],
            trailer: false,
        }),
        2 => (0..20_u64).prop_map(Frame::Pong),
        1 => frame(),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => frame().prop_map(Step::Receive),
        8 => bulk_frame().prop_map(Step::ReceiveBulk),
        1 => Just(Step::AttachBulk),
        2 => Just(Step::Open),
        1 => Just(Step::OpenLossy),
        4 => (0..6_u64, 0..=SEND_MAX, any::<bool>())
            .prop_map(|(stream, length, end_of_record)| Step::Send { stream, length, end_of_record }),
        1 => (0..6_u64).prop_map(Step::Finish),
        1 => (0..6_u64).prop_map(Step::Reset),
        1 => (0..6_u64).prop_map(Step::Stop),
        2 => (0..6_u64, number()).prop_map(|(stream, bytes)| Step::Consume(stream, bytes)),
        1 => (0..6_u64, 0..20_u64).prop_map(|(stream, body)| Step::FailSource(stream, body)),
        8 => (1..9_000_u64, any::<u8>(), any::<bool>())
            .prop_map(|(body_max, share, is_bulk)| Step::Transmit { body_max, share, is_bulk }),
        1 => any::<bool>().prop_map(|resumed| Step::Reattach { resumed }),
        1 => (0..9_000_u64).prop_map(Step::Wait),
        1 => prop_oneof![30 => Just(Step::Wait(1)), 1 => Just(Step::Drain)],
    ]
}

/// A session under attack, and what its application has seen of it.
struct Victim {
    session: Session,
    now: Time,
    epoch: u64,
    bodies: u64,
    is_over: bool,
    /// What is arriving on the bulk connection, bytes; `None` while a body waits there.
    taking: Option<u64>,
}

impl Victim {
    fn new(side: Side) -> Self {
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
        let now = Time::from_ns(1);
        let id = SessionId::from_bytes([7; 16]);
        let session = Session::new(side, id, config, now);
        let (epoch, bodies, is_over) = (0, 0, false);
        Self {
            session,
            now,
            epoch,
            bodies,
            is_over,
            taking: Some(0),
        }
    }

    fn attach(&mut self, resumed: bool) {
        self.epoch += 1;
        self.taking = Some(0);
        let established = self.established(Role::Message, resumed);
        let _ = self.session.attach(self.now, &established);
    }

    fn attach_bulk(&mut self) {
        let established = self.established(Role::Bulk, true);
        let held = self.session.bulk_links();
        let attached = self.session.attach_bulk(self.now, &established);
        assert_eq!(
            self.session.bulk_links(),
            held + usize::from(attached.is_ok())
        );
        assert!(self.session.bulk_links() <= 2);
    }

    fn established(&self, role: Role, resumed: bool) -> Established {
        Established {
            session: SessionId::from_bytes([7; 16]),
            epoch: Epoch(self.epoch),
            role,
            version: 1,
            features: Features::BULK_CONNECTIONS,
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

    /// Parses a frame as the engine does; a body's bytes are counted, there are none.
    fn receive(&mut self, frame: &Frame) {
        let mut bytes = Vec::new();
        frame.emit(&mut bytes);
        let result = match self.session.handle_bytes(self.now, Link::MESSAGE, &bytes) {
            Ok(parsed) => match parsed.next {
                Next::Body(incoming) => {
                    assert!(incoming.skip <= incoming.length);
                    let half = incoming.length / 2;
                    let result = self.session.handle_body(self.now, Link::MESSAGE, half);
                    result.and_then(|()| {
                        self.session
                            .handle_body(self.now, Link::MESSAGE, incoming.length - half)
                    })
                }
                Next::Wait => panic!("messages never wait"),
                Next::More(missing) => {
                    assert_eq!((parsed.consumed, missing > 0), (bytes.len(), true));
                    Ok(())
                }
            },
            Err(violation) => Err(violation),
        };
        self.blame(result);
    }

    /// On the first bulk connection a body is taken in two steps, with others in between.
    fn receive_bulk(&mut self, frame: &Frame) {
        let link = Link::new(1);
        let mut bytes = Vec::new();
        frame.emit(&mut bytes);
        let result = match self.taking {
            None => {
                let parsed = self.session.handle_bytes(self.now, link, &bytes);
                let parsed = parsed.expect("nothing is looked at");
                assert!(self.session.is_closed() || parsed.next == Next::Wait);
                return;
            }
            Some(0) => self.session.handle_bytes(self.now, link, &bytes),
            Some(rest) => {
                self.taking = Some(0);
                let taken = self.session.handle_body(self.now, link, rest);
                return self.blame(taken);
            }
        };
        match result.map(|parsed| parsed.next) {
            Ok(Next::Wait) => self.taking = None,
            Ok(Next::Body(incoming)) => self.begin_bulk_body(incoming),
            Ok(Next::More(_)) => {}
            Err(violation) => self.blame(Err(violation)),
        }
    }

    fn begin_bulk_body(&mut self, incoming: Incoming) {
        assert!(incoming.skip <= incoming.length);
        let half = incoming.length / 2;
        self.taking = Some(incoming.length - half);
        let taken = self.session.handle_body(self.now, Link::new(1), half);
        self.blame(taken);
    }

    fn blame(&mut self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            assert!(violation.to_string().contains("W-"));
            self.session.violated(self.now, violation);
        }
    }

    fn transmit(&mut self, link: Link, body_max: u64, share: u8) {
        let mut out = Vec::new();
        let Some(Transmit::Body(offer)) = self
            .session
            .poll_transmit(self.now, link, &mut out, body_max)
        else {
            assert!(out.len() < 80_000, "control is bounded: {}", out.len());
            return;
        };
        assert!((1..=body_max).contains(&offer.length));
        match share {
            0..32 => self.session.withdraw(offer),
            _ => {
                let length = (offer.length * u64::from(share) / 255).max(1);
                let _ = self
                    .session
                    .commit(self.now, offer, length, Trailer::None, &mut out);
            }
        }
    }

    fn apply(&mut self, step: Step) {
        let now = self.now;
        let status = Status::new(1001, "y");
        let session = &mut self.session;
        match step {
            Step::Receive(frame) => {
                if session.is_attached() {
                    self.receive(&frame);
                }
            }
            Step::Open => drop(session.open(now, StreamOptions::default())),
            Step::OpenLossy => {
                let options = StreamOptions {
                    retention: Retention::Newest,
                    ..StreamOptions::default()
                };
                drop(session.open(now, options));
            }
            Step::Send {
                stream,
                length,
                end_of_record,
            } => {
                self.bodies += 1;
                let (body, kind) = (BodyId(self.bodies), BodyKind::Memory);
                let _ = session.send(now, StreamId(stream), body, length, kind, end_of_record);
            }
            Step::Finish(stream) => drop(session.finish(now, StreamId(stream), status)),
            Step::Reset(stream) => session.reset(now, StreamId(stream), status),
            Step::Stop(stream) => session.stop(now, StreamId(stream), status),
            Step::Consume(stream, bytes) => session.consume(now, StreamId(stream), bytes),
            Step::FailSource(stream, body) => {
                session.fail_source(now, StreamId(stream), BodyId(body), status);
            }
            Step::ReceiveBulk(frame) => self.receive_bulk(&frame),
            Step::AttachBulk => self.attach_bulk(),
            Step::Transmit {
                body_max,
                share,
                is_bulk,
            } => self.transmit(Link::new(is_bulk.into()), body_max, share),
            Step::Reattach { resumed } => {
                session.detach(now);
                self.attach(resumed);
            }
            Step::Wait(ms) => {
                self.now = now + std::time::Duration::from_millis(ms);
                self.session.handle_timeout(self.now);
            }
            Step::Drain => session.drain(now),
        }
        self.check();
    }

    fn drain(&mut self) {
        loop {
            while let Some(event) = self.session.poll_event() {
                assert!(!self.is_over, "nothing after the end: {event:?}");
                self.is_over = matches!(event, Event::Closed(_));
            }
            match self.session.poll_arrival(self.now) {
                None => return,
                Some((_, Ok(incoming))) => self.begin_bulk_body(incoming),
                Some((_, Err(violation))) => self.blame(Err(violation)),
            }
        }
    }

    fn check(&mut self) {
        self.drain();
        for stream in (0..20).map(StreamId) {
            let Some(progress) = self.session.progress(stream) else {
                continue;
            };
            assert!(progress.acked <= progress.sent, "{progress:?}");
            assert!(progress.consumed <= progress.sent, "{progress:?}");
            assert!(progress.sent <= progress.accepted, "{progress:?}");
            // A gap leads beyond credit: it holds no byte.
            let is_lossy = self.session.is_lossy(stream);
            assert!(is_lossy || progress.sent <= progress.credit, "{progress:?}");
        }
        let statistics = self.session.statistics();
        assert!(statistics.retained_bytes <= RETAINED_MAX + SEND_MAX);
        assert!(self.session.live_streams() as u64 <= 20 + 2 * STREAMS_MAX);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        // A failure is printed with its steps; it becomes a test with a name, not a seed.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_frames_break_more_than_their_session(
        is_dialer in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let side = if is_dialer { Side::Dialer } else { Side::Acceptor };
        let mut victim = Victim::new(side);
        victim.attach(false);
        for step in steps {
            victim.apply(step);
        }
        for report in victim.session.take_remains() {
            for kept in report.retained {
                prop_assert!(kept.start + kept.length >= report.progress.acked);
            }
        }
    }
}
