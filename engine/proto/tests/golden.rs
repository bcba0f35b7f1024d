//! Bytes that must decode for ever: what is in `vectors/` is never changed, only added to.
//!
//! Each line of a vector file is a name and bytes in hexadecimal. The same frames and messages are
//! built here; both directions are compared, so that neither the writer nor the reader can drift.

use ringway_proto::testing::{Frame, ResumeEntry};
use ringway_proto::{
    Accept, Authentication, Decision, Dial, Epoch, Features, Intent, Key, KeyGrant, KeyId,
    LocalEndpoint, Need, Refusal, SessionId, SessionLimits, Status, StreamId,
};

/// Names and bytes of a vector file.
fn vectors(text: &str) -> Vec<(&str, Vec<u8>)> {
    let is_vector = |line: &&str| !line.is_empty() && !line.starts_with('#');
    text.lines()
        .filter(is_vector)
        .map(|line| {
            let (name, hex) = line.split_once(": ").expect("name: hex");
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
            (name, (0..hex.len()).step_by(2).map(byte).collect())
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn entry(stream: u64, end_known: bool) -> ResumeEntry {
    ResumeEntry {
        stream: StreamId(stream),
        received: 0x0102_0304_0506,
        records: 77,
        consumed: 0x0102_0304_0000,
        credit: 0x0102_0404_0000,
        end_known,
    }
}

fn data(length: u32, [opens, end_of_record, finishes]: [bool; 3]) -> Frame {
    Frame::Data {
        stream: StreamId(6),
        offset: 0x1122_3344_5566,
        record: 3,
        length,
        opens,
        end_of_record,
        finishes,
        trailer: false,
    }
}

fn with_trailer(frame: Frame) -> Frame {
    match frame {
        Frame::Data {
            stream,
            offset,
            record,
            length,
            opens,
            end_of_record,
            finishes,
            ..
        } => Frame::Data {
            stream,
            offset,
            record,
            length,
            opens,
            end_of_record,
            finishes,
            trailer: true,
        },
        other => other,
    }
}

fn frames() -> Vec<(&'static str, Frame)> {
    let stream = StreamId(9);
    let status = || Status::new(1000, "Platte voll: größer als erlaubt");
    vec![
        ("data", data(262_144, [false, false, false])),
        (
            "data that opens, ends a record and finishes",
            data(64, [true, true, true]),
        ),
        (
            "data of the largest body",
            data(1 << 20, [false, true, false]),
        ),
        (
            "data with a checksum behind it",
            with_trailer(data(4096, [false, true, false])),
        ),
        ("empty record", data(0, [false, true, false])),
        ("ack", ack(false)),
        ("ack of the end", ack(true)),
        ("session credit", Frame::SessionCredit(64 << 20)),
        ("stream credit", Frame::StreamCredit(4096)),
        ("finish", finish(false, Status::ok())),
        ("finish with a status, opening", finish(true, status())),
        ("reset", reset(status())),
        (
            "stop",
            Frame::Stop {
                stream,
                opens: false,
                status: status(),
            },
        ),
        (
            "stop that opens",
            Frame::Stop {
                stream,
                opens: true,
                status: Status::new(2, ""),
            },
        ),
        ("ping", Frame::Ping(123_456_789_012)),
        ("pong", Frame::Pong(123_456_789_012)),
        ("resume of nothing", resume(vec![], true)),
        (
            "resume chunk",
            resume(vec![entry(0, false), entry(7, true)], false),
        ),
        ("drain", Frame::Drain),
        ("close", Frame::Close(status())),
        (
            "bulk",
            Frame::Bulk {
                takes: 3,
                wanted: 0,
            },
        ),
        (
            "bulk, wanted",
            Frame::Bulk {
                takes: 3,
                wanted: 3,
            },
        ),
        ("gap of nothing, which declares", gap(true, (0, 0), (0, 0))),
        ("gap", gap(false, (1 << 40, 5), (1 << 41, 12))),
    ]
}

fn ack(end_known: bool) -> Frame {
    let ResumeEntry {
        received,
        records,
        consumed,
        credit,
        ..
    } = entry(0, false);
    let stream = StreamId(9);
    Frame::Ack {
        stream,
        received,
        records,
        consumed,
        credit,
        end_known,
    }
}

fn finish(opens: bool, status: Status) -> Frame {
    let stream = StreamId(9);
    Frame::Finish {
        stream,
        offset: 1 << 40,
        record: 5,
        opens,
        status,
    }
}

fn reset(status: Status) -> Frame {
    let stream = StreamId(9);
    Frame::Reset {
        stream,
        offset: 1 << 40,
        opens: false,
        status,
    }
}

fn gap(opens: bool, (offset, record): (u64, u64), next: (u64, u64)) -> Frame {
    Frame::Gap {
        stream: StreamId(9),
        offset,
        record,
        opens,
        next_offset: next.0,
        next_record: next.1,
    }
}

fn resume(entries: Vec<ResumeEntry>, is_last: bool) -> Frame {
    Frame::Resume {
        opened: 4,
        seen: 5,
        is_last,
        entries,
    }
}

#[test]
fn frames_look_as_they_always_did() {
    let recorded = vectors(include_str!("vectors/frames.txt"));
    let built = frames();
    for (name, frame) in &built {
        let mut bytes = Vec::new();
        frame.emit(&mut bytes);
        let found = recorded.iter().find(|(recorded, _)| recorded == name);
        let found = found.map(|(_, bytes)| hex(bytes)).unwrap_or_default();
        assert_eq!(found, hex(&bytes), "of `{name}`");
    }
    assert_eq!(recorded.len(), built.len());
}

#[test]
fn recorded_frames_decode_for_ever() {
    let built = frames();
    for (name, bytes) in vectors(include_str!("vectors/frames.txt")) {
        let expected = built.iter().find(|(built, _)| *built == name);
        let (_, expected) = expected.unwrap_or_else(|| panic!("`{name}` is not known here"));
        let parsed = Frame::parse(&bytes);
        assert_eq!(parsed, Ok((expected.clone(), bytes.len())), "`{name}`");
    }
}

const LIMITS: SessionLimits = SessionLimits {
    stream_window_bytes: 16 << 20,
    session_window_bytes: 64 << 20,
    streams_max: 4096,
    heartbeat_ms: 5000,
};

fn endpoint(name: &str, incarnation: u64, features: Features) -> LocalEndpoint {
    let config = ringway_proto::SessionConfig::default();
    let mut endpoint = LocalEndpoint::new(name, incarnation, &config);
    endpoint.limits = LIMITS;
    endpoint.features = features;
    endpoint
}

/// Runs a handshake whose every input is fixed; returns its messages.
fn handshake(key: Option<[u8; 32]>, decision: Decision) -> [Vec<u8>; 4] {
    let credentials = key.map(|key| (KeyId::new("alice").expect("valid"), Key::from_bytes(key)));
    let session = SessionId::from_bytes(std::array::from_fn(|at| at as u8));
    let (intent, features) = match decision {
        Decision::Attach { .. } => (Intent::Attach, Features::BULK_CONNECTIONS),
        _ => (Intent::Resume, Features::NONE),
    };
    let local = endpoint("node-a", 0x0a0a, features);
    let mut dial = Dial::new(&local, credentials, intent, session, Epoch(3), [0xd1; 32]);
    let authentication = match key {
        Some(_) => Authentication::Keyed,
        None => Authentication::Insecure,
    };
    let remote = endpoint("node-b", 0x0b0b, features);
    let mut accept = Accept::new(&remote, authentication, [0xac; 32]);
    let hello = dial.poll_transmit().expect("a hello");
    feed(&hello, |bytes| {
        accept.handle_bytes(bytes).expect("valid");
    });
    if let Some(Need::Key(_)) = accept.poll_need() {
        let key = Key::from_bytes(key.expect("keyed"));
        accept.provide_key(Some(KeyGrant::any_name(key)));
    }
    let challenge = accept.poll_transmit().expect("a challenge");
    feed(&challenge, |bytes| {
        dial.handle_bytes(bytes).expect("valid");
    });
    let identity = dial.poll_transmit().expect("an identity");
    feed(&identity, |bytes| {
        accept.handle_bytes(bytes).expect("valid");
    });
    assert!(matches!(accept.poll_need(), Some(Need::Session(_))));
    let is_refused = matches!(decision, Decision::Refuse(_));
    accept.decide(decision);
    let verdict = accept.poll_transmit().expect("a verdict");
    feed(&verdict, |bytes| {
        let is_prefix = bytes.len() == 12;
        let result = dial.handle_bytes(bytes);
        assert_eq!(result.is_err(), is_refused && !is_prefix);
    });
    assert_eq!(dial.poll_established().is_some(), !is_refused);
    [hello, challenge, identity, verdict]
}

/// A message in the two pieces in which it is wanted.
fn feed(message: &[u8], mut take: impl FnMut(&[u8])) {
    let (prefix, rest) = message.split_at(12);
    take(prefix);
    take(rest);
}

#[test]
fn handshakes_look_as_they_always_did() {
    let recorded = vectors(include_str!("vectors/handshake.txt"));
    let epoch = Epoch(3);
    let refusal = Refusal::unknown_session(SessionId::from_bytes([0; 16]));
    let runs = [
        (
            "keyed",
            handshake(Some([0x5a; 32]), Decision::Resume { epoch }),
        ),
        ("insecure", handshake(None, Decision::New { epoch })),
        (
            "refused",
            handshake(Some([0x5a; 32]), Decision::Refuse(refusal)),
        ),
        (
            "attach",
            handshake(Some([0x5a; 32]), Decision::Attach { epoch }),
        ),
    ];
    for (run, messages) in runs {
        let names = ["hello", "challenge", "identity", "verdict"];
        for (kind, bytes) in names.into_iter().zip(messages) {
            let name = format!("{run} {kind}");
            let found = recorded.iter().find(|(recorded, _)| *recorded == name);
            let found = found.map(|(_, bytes)| hex(bytes)).unwrap_or_default();
            assert_eq!(found, hex(&bytes), "of `{name}`");
        }
    }
    assert_eq!(recorded.len(), 16);
}
