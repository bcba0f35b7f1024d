//! Two ends of a handshake and the wire between them.

use ringway_proto::{
    Accept, AllowedNames, Authentication, Claim, Decision, Dial, EndpointName, Epoch, Established,
    HandshakeError, Intent, Key, KeyGrant, KeyId, LocalEndpoint, Need, SessionConfig, SessionId,
};

/// Bytes in front of every message (W-1.2) and behind it (W-1.4).
pub(crate) const PREFIX: usize = 12;
pub(crate) const CHECKSUM: usize = 4;
/// Where the type stands (W-1.2).
pub(crate) const TYPE_AT: usize = 8;

pub(crate) fn session() -> SessionId {
    SessionId::from_bytes(*b"session-sixteen!")
}

pub(crate) fn key_id() -> KeyId {
    KeyId::new("alice").expect("valid")
}

pub(crate) fn key() -> Key {
    Key::from_bytes([0x11; 32])
}

pub(crate) fn grant() -> Option<KeyGrant> {
    Some(KeyGrant::any_name(key()))
}

pub(crate) fn grant_for(name: &str) -> Option<KeyGrant> {
    let names = AllowedNames::Only(vec![EndpointName::new(name).expect("valid")]);
    Some(KeyGrant { key: key(), names })
}

pub(crate) fn endpoint(name: &str, incarnation: u64) -> LocalEndpoint {
    let config = SessionConfig {
        bulk_connections: 1,
        ..SessionConfig::default()
    };
    LocalEndpoint::new(name, incarnation, &config)
}

pub(crate) fn dial(credentials: Option<(KeyId, Key)>) -> Dial {
    let local = endpoint("node-a", 7);
    Dial::new(
        &local,
        credentials,
        Intent::New,
        session(),
        Epoch(1),
        [0xd1; 32],
    )
}

pub(crate) fn keyed_dial() -> Dial {
    dial(Some((key_id(), key())))
}

pub(crate) fn accept(authentication: Authentication) -> Accept {
    Accept::new(&endpoint("node-b", 9), authentication, [0xac; 32])
}

/// What the acceptor's caller knows and answers, and what it was asked.
pub(crate) struct Keeper {
    pub(crate) grant: Option<KeyGrant>,
    pub(crate) decision: fn(&Claim) -> Decision,
    pub(crate) claims: Vec<Claim>,
}

impl Keeper {
    pub(crate) fn new(grant: Option<KeyGrant>) -> Self {
        Self {
            grant,
            decision: |claim| Decision::New { epoch: claim.epoch },
            claims: Vec::new(),
        }
    }

    pub(crate) fn answer(&mut self, accept: &mut Accept) {
        while let Some(need) = accept.poll_need() {
            match need {
                Need::Key(_) => accept.provide_key(self.grant.clone()),
                Need::Session(claim) => {
                    accept.decide((self.decision)(&claim));
                    self.claims.push(claim);
                }
            }
        }
    }
}

/// How a handshake went.
pub(crate) struct Outcome {
    pub(crate) dialer: Result<Option<Established>, HandshakeError>,
    pub(crate) acceptor: Result<Option<Established>, HandshakeError>,
    pub(crate) claims: Vec<Claim>,
    /// Every message in order, as it was sent: the dialer's and the acceptor's in turn.
    pub(crate) messages: Vec<Vec<u8>>,
}

impl Outcome {
    /// Everything the acceptor said, in one piece.
    pub(crate) fn revealed(&self) -> Vec<u8> {
        self.messages
            .iter()
            .skip(1)
            .step_by(2)
            .flatten()
            .copied()
            .collect()
    }
}

/// Runs a handshake to its end. `alter` sees each message on its way, numbered from 0.
pub(crate) fn run(
    mut dial: Dial,
    mut accept: Accept,
    mut keeper: Keeper,
    mut alter: impl FnMut(usize, &mut Vec<u8>),
) -> Outcome {
    let (mut dialer, mut acceptor) = (Ok(()), Ok(()));
    let mut messages = Vec::new();
    while messages.len() < 8 {
        let Some(mut message) = dial.poll_transmit() else {
            break;
        };
        messages.push(message.clone());
        alter(messages.len() - 1, &mut message);
        acceptor = feed_accept(&mut accept, &mut keeper, &message);
        let Some(mut message) = accept.poll_transmit() else {
            break;
        };
        messages.push(message.clone());
        alter(messages.len() - 1, &mut message);
        dialer = feed_dial(&mut dial, &message);
        if acceptor.is_err() || dialer.is_err() {
            break;
        }
    }
    Outcome {
        dialer: dialer.map(|()| dial.poll_established()),
        acceptor: acceptor.map(|()| accept.poll_established()),
        claims: keeper.claims,
        messages,
    }
}

/// Gives bytes as a caller does: exactly as many as are wanted at a time.
pub(crate) fn feed_dial(dial: &mut Dial, mut bytes: &[u8]) -> Result<(), HandshakeError> {
    while !bytes.is_empty() && dial.bytes_wanted() > 0 {
        let (now, rest) = bytes.split_at(dial.bytes_wanted().min(bytes.len()));
        dial.handle_bytes(now)?;
        bytes = rest;
    }
    Ok(())
}

/// The same for the acceptor, whose questions are answered in between.
pub(crate) fn feed_accept(
    accept: &mut Accept,
    keeper: &mut Keeper,
    mut bytes: &[u8],
) -> Result<(), HandshakeError> {
    while !bytes.is_empty() && accept.bytes_wanted() > 0 {
        let (now, rest) = bytes.split_at(accept.bytes_wanted().min(bytes.len()));
        accept.handle_bytes(now)?;
        keeper.answer(accept);
        bytes = rest;
    }
    Ok(())
}

/// Makes the checksum of an altered message right again (W-1.4).
pub(crate) fn repair(message: &mut [u8]) {
    let end = message.len() - CHECKSUM;
    let checksum = crc32c::crc32c(&message[..end]);
    message[end..].copy_from_slice(&checksum.to_le_bytes());
}

/// A message around a body.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = b"\x89RINGWAY".to_vec();
    out.extend([kind, 0]);
    let length = u16::try_from(body.len() + CHECKSUM).expect("short");
    out.extend(length.to_le_bytes());
    out.extend(body);
    out.extend([0; CHECKSUM]);
    repair(&mut out);
    out
}

pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}
