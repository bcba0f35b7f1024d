//! Both roles of a handshake: on any bytes, and between two honest ends with somebody in between
//! who alters messages.
//!
//! With a key on both sides, whoever alters anything must end with a dialer that is not
//! established, and with an acceptor that is only if all it heard was genuine.

use arbitrary::{Arbitrary, Unstructured};
use ringway_proto::{
    Accept, Authentication, Decision, Dial, Epoch, Intent, Key, KeyGrant, KeyId, LocalEndpoint,
    Need, Refusal, SessionConfig, SessionId,
};

/// Bytes in front of every message (W-1.2) and behind it (W-1.4).
const PREFIX_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;

#[derive(Arbitrary, Debug)]
enum Input {
    ToAcceptor(Bytes),
    ToDialer(Bytes),
    Between(Vec<Edit>, Verdict),
}

/// What a stranger sends, in parts as large as are wanted or as they come.
#[derive(Arbitrary, Debug)]
struct Bytes {
    is_keyed: bool,
    is_known: bool,
    /// Checksums are made right where a message is complete.
    is_repaired: bool,
    bytes: Vec<u8>,
}

/// What somebody in between does to one message.
#[derive(Arbitrary, Debug)]
struct Edit {
    message: u8,
    at: u16,
    change: Change,
}

#[derive(Arbitrary, Debug)]
enum Change {
    Flip(u8),
    Truncate,
    Insert(u8),
    Replace(Vec<u8>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Verdict {
    New,
    Resume,
    Refuse,
}

pub fn run(data: &[u8]) {
    let Ok(input) = Input::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    match input {
        Input::ToAcceptor(bytes) => to_acceptor(&bytes),
        Input::ToDialer(bytes) => to_dialer(&bytes),
        Input::Between(edits, verdict) => between(&edits, verdict),
    }
}

fn key_id() -> KeyId {
    KeyId::new("alice").expect("valid")
}

fn key() -> Key {
    Key::from_bytes([0x11; 32])
}

fn endpoint(name: &str) -> LocalEndpoint {
    LocalEndpoint::new(name, 7, &SessionConfig::default())
}

fn dial(is_keyed: bool) -> Dial {
    let credentials = is_keyed.then(|| (key_id(), key()));
    let session = SessionId::from_bytes([5; 16]);
    let intent = Intent::New;
    let local = endpoint("node-a");
    Dial::new(&local, credentials, intent, session, Epoch(1), [1; 32])
}

fn accept(is_keyed: bool) -> Accept {
    let authentication = match is_keyed {
        true => Authentication::Keyed,
        false => Authentication::Insecure,
    };
    Accept::new(&endpoint("node-b"), authentication, [2; 32])
}

fn answer(accept: &mut Accept, is_known: bool, verdict: Verdict) {
    while let Some(need) = accept.poll_need() {
        match need {
            Need::Key(_) => accept.provide_key(is_known.then(|| KeyGrant::any_name(key()))),
            Need::Session(claim) => accept.decide(match verdict {
                Verdict::New => Decision::New { epoch: claim.epoch },
                Verdict::Resume => Decision::Resume { epoch: claim.epoch },
                Verdict::Refuse => Decision::Refuse(Refusal::unknown_session(claim.session)),
            }),
        }
    }
}

/// The first message in `bytes` with its checksum made right, and how long it is.
fn repaired(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(length) = bytes.get(at + 10..at + PREFIX_BYTES) {
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        let end = at + PREFIX_BYTES + length;
        if length < CHECKSUM_BYTES || end > bytes.len() {
            break;
        }
        let checksum = crc32c::crc32c(&bytes[at..end - CHECKSUM_BYTES]);
        bytes[end - CHECKSUM_BYTES..end].copy_from_slice(&checksum.to_le_bytes());
        at = end;
    }
    bytes
}

fn to_acceptor(input: &Bytes) {
    let mut accept = accept(input.is_keyed);
    let bytes = if input.is_repaired {
        repaired(&input.bytes)
    } else {
        input.bytes.clone()
    };
    let mut rest = &bytes[..];
    while !rest.is_empty() && accept.bytes_wanted() > 0 {
        assert!(accept.bytes_wanted() <= PREFIX_BYTES + 2048);
        let (now, later) = rest.split_at(accept.bytes_wanted().min(rest.len()));
        if accept.handle_bytes(now).is_err() {
            break;
        }
        answer(&mut accept, input.is_known, Verdict::New);
        while accept.poll_transmit().is_some() {}
        rest = later;
    }
    // Without the key nobody gets in, whatever is said.
    assert!(!input.is_keyed || accept.poll_established().is_none());
}

fn to_dialer(input: &Bytes) {
    let mut dial = dial(input.is_keyed);
    while dial.poll_transmit().is_some() {}
    let bytes = if input.is_repaired {
        repaired(&input.bytes)
    } else {
        input.bytes.clone()
    };
    let mut rest = &bytes[..];
    while !rest.is_empty() && dial.bytes_wanted() > 0 {
        assert!(dial.bytes_wanted() <= PREFIX_BYTES + 2048);
        let (now, later) = rest.split_at(dial.bytes_wanted().min(rest.len()));
        if dial.handle_bytes(now).is_err() {
            break;
        }
        while dial.poll_transmit().is_some() {}
        rest = later;
    }
    assert!(!input.is_keyed || dial.poll_established().is_none());
}

fn between(edits: &[Edit], verdict: Verdict) {
    let (mut dial, mut accept) = (dial(true), accept(true));
    // Altered messages in each direction: to the acceptor, to the dialer. Bytes behind a whole
    // message are no part of it: they are taken for the next one.
    let mut altered = [0, 0];
    let mut has_more = false;
    for number in 0..4_u8 {
        let is_to_acceptor = number % 2 == 0;
        let sent = match is_to_acceptor {
            true => dial.poll_transmit(),
            false => accept.poll_transmit(),
        };
        let Some(sent) = sent else { break };
        let heard = alter(&sent, number, edits);
        altered[usize::from(!is_to_acceptor)] += usize::from(!heard.starts_with(&sent));
        has_more |= heard.len() > sent.len();
        let fed = match is_to_acceptor {
            true => feed_accept(&mut accept, &heard, verdict),
            false => feed_dial(&mut dial, &heard),
        };
        if fed.is_err() {
            break;
        }
    }
    let (dialed, accepted) = (dial.poll_established(), accept.poll_established());
    if altered != [0, 0] {
        assert!(
            dialed.is_none(),
            "an altered handshake established the dialer"
        );
    }
    if altered[0] > 0 {
        assert!(
            accepted.is_none(),
            "altered messages established the acceptor"
        );
    }
    if altered == [0, 0] && !has_more {
        let is_accepted = !matches!(verdict, Verdict::Refuse);
        assert_eq!(
            (dialed.is_some(), accepted.is_some()),
            (is_accepted, is_accepted)
        );
    }
}

fn alter(message: &[u8], number: u8, edits: &[Edit]) -> Vec<u8> {
    let mut bytes = message.to_vec();
    for edit in edits.iter().filter(|edit| edit.message % 4 == number) {
        let at = usize::from(edit.at) % bytes.len().max(1);
        match &edit.change {
            Change::Flip(bits) => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bits;
                }
            }
            Change::Truncate => bytes.truncate(at),
            Change::Insert(byte) => bytes.insert(at.min(bytes.len()), *byte),
            Change::Replace(with) => {
                let end = (at + with.len()).min(bytes.len());
                bytes.splice(at..end, with.iter().copied());
            }
        }
    }
    if bytes == message {
        bytes
    } else {
        repaired(&bytes)
    }
}

fn feed_accept(accept: &mut Accept, mut bytes: &[u8], verdict: Verdict) -> Result<(), ()> {
    while !bytes.is_empty() && accept.bytes_wanted() > 0 {
        let (now, rest) = bytes.split_at(accept.bytes_wanted().min(bytes.len()));
        accept.handle_bytes(now).map_err(drop)?;
        answer(accept, true, verdict);
        bytes = rest;
    }
    Ok(())
}

fn feed_dial(dial: &mut Dial, mut bytes: &[u8]) -> Result<(), ()> {
    while !bytes.is_empty() && dial.bytes_wanted() > 0 {
        let (now, rest) = bytes.split_at(dial.bytes_wanted().min(bytes.len()));
        dial.handle_bytes(now).map_err(drop)?;
        bytes = rest;
    }
    Ok(())
}
