//! The messages of the handshake.
//!
//! ```text
//!   dialer                                    acceptor
//!     │ Hello: versions, features, intent,        │
//!     │        session, epoch, key id, nonce      │
//!     ├──────────────────────────────────────────▶│
//!     │            Challenge: version, features,  │
//!     │◀──────────── nonce, proof of the acceptor ┤
//!     │ Identity: name, incarnation, limits,      │
//!     ├──────────── proof of the dialer ─────────▶│  both proofs hold: only now is
//!     │            Verdict: accepted or refused,  │  anything decided, fenced, made
//!     │◀──────────── name, limits, proof of it ───┤  or revealed
//! ```
//!
//! Each message: prefix (magic, type, length), body, CRC-32C. Each proof is a MAC over everything
//! before it, so that nothing that was offered can be altered on the way.

use crate::body_checksum::BodyChecksum;
use crate::feature::Features;
use crate::handshake_error::HandshakeError;
use crate::id::{Epoch, SessionId};
use crate::limit::{
    ENDPOINT_NAME_BYTES_MAX, HANDSHAKE_BODY_BYTES_MAX, KEY_ID_BYTES_MAX, OFFSET_MAX,
    STATUS_TEXT_BYTES_MAX, SessionConfig, VERSION_MAX, VERSION_MIN,
};
use crate::name::{EndpointName, KeyId};
use crate::refusal::{Refusal, RefusalCode};
use crate::wire::{Reader, Write};

/// First bytes of every handshake message (W-1.1).
const MAGIC: [u8; 8] = *b"\x89RINGWAY";

/// Magic, type, zero, length (W-1.2).
pub(crate) const PREFIX_BYTES: usize = 12;

pub(crate) mod message {
    pub(crate) const HELLO: u8 = 1;
    pub(crate) const CHALLENGE: u8 = 2;
    pub(crate) const IDENTITY: u8 = 3;
    pub(crate) const VERDICT: u8 = 4;
}

/// What a connection is for (W-1.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Intent {
    /// A new session. A retry with the same id by the same peer is a resume.
    New = 1,
    /// An existing session whose connection is lost, or is to be replaced.
    Resume = 2,
    /// One more connection of a session (W-1.9).
    Attach = 3,
}

/// What travels on a connection (W-1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// Everything.
    Message = 1,
    /// Large bodies only.
    Bulk = 2,
}

/// What each end announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// First credit of each stream, bytes.
    pub stream_window_bytes: u64,
    /// First credit of the session, bytes.
    pub session_window_bytes: u64,
    /// Streams the peer may open at first.
    pub streams_max: u64,
    /// Silence after which a heartbeat is sent, ms.
    pub heartbeat_ms: u64,
}

impl SessionLimits {
    /// What a configuration announces.
    #[must_use]
    pub fn of(config: &SessionConfig) -> Self {
        Self {
            stream_window_bytes: config.stream_window_bytes.min(OFFSET_MAX),
            session_window_bytes: config.session_window_bytes.min(OFFSET_MAX),
            streams_max: config.streams_max.min(OFFSET_MAX),
            heartbeat_ms: u64::try_from(config.heartbeat.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Who we are.
#[derive(Clone, Debug)]
pub struct LocalEndpoint {
    /// Told to the peer after it has proven itself.
    pub name: EndpointName,
    /// New at each start of the process.
    pub incarnation: u64,
    /// What we can do.
    pub features: Features,
    /// What we announce.
    pub limits: SessionLimits,
}

impl LocalEndpoint {
    /// An endpoint by name; a name that is not one becomes `ringway`.
    #[must_use]
    pub fn new(name: &str, incarnation: u64, config: &SessionConfig) -> Self {
        let fallback = || EndpointName::new("ringway").expect("a valid name");
        Self {
            name: EndpointName::new(name).unwrap_or_else(|_| fallback()),
            incarnation,
            features: offered(config),
            limits: SessionLimits::of(config),
        }
    }
}

/// What a configuration offers.
fn offered(config: &SessionConfig) -> Features {
    let checksum = match config.body_checksum {
        BodyChecksum::Off => Features::NONE,
        BodyChecksum::Auto | BodyChecksum::Always => Features::BODY_CHECKSUM,
    };
    let bulk = match config.bulk_connections {
        0 => Features::NONE,
        _ => Features::BULK_CONNECTIONS,
    };
    checksum.union(bulk)
}

/// Who the peer is, as far as it has proven it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Its endpoint's name.
    pub name: EndpointName,
    /// New at each start of its process.
    pub incarnation: u64,
    /// The key it has proven; `None` in insecure mode.
    pub key_id: Option<KeyId>,
}

/// What both ends agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Established {
    /// Which session.
    pub session: SessionId,
    /// Of this connection.
    pub epoch: Epoch,
    /// What travels on it.
    pub role: Role,
    /// Protocol version.
    pub version: u16,
    /// What both can do.
    pub features: Features,
    /// Who is at the other end.
    pub peer: PeerIdentity,
    /// What it announces.
    pub peer_limits: SessionLimits,
    /// The session existed at the acceptor: stream states are exchanged.
    pub resumed: bool,
}

/// Wraps a body into a message: prefix, body, checksum.
pub(crate) fn emit_message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(PREFIX_BYTES + body.len() + 4);
    out.put(&MAGIC);
    out.put_u8(kind);
    out.put_u8(0);
    out.put_u16(u16::try_from(body.len() + 4).unwrap_or(u16::MAX));
    out.put(body);
    let checksum = crc32c::crc32c(&out);
    out.put_u32(checksum);
    out
}

/// Checks a prefix; returns how many bytes follow.
pub(crate) fn parse_prefix(bytes: &[u8], expected: u8) -> Result<usize, HandshakeError> {
    let mut reader = Reader::new(bytes);
    if reader.array() != Some(MAGIC) {
        return Err(HandshakeError::Magic);
    }
    let malformed = HandshakeError::Malformed("prefix");
    let (Some(got), Some(0), Some(length)) = (reader.u8(), reader.u8(), reader.u16()) else {
        return Err(malformed);
    };
    let is_refusal = got == message::VERDICT && expected == message::CHALLENGE;
    if got != expected && !is_refusal {
        return Err(HandshakeError::Message { got, expected });
    }
    let (length, max) = (usize::from(length), HANDSHAKE_BODY_BYTES_MAX);
    if length > max {
        return Err(HandshakeError::TooLong { length, max });
    }
    if length < 4 {
        return Err(malformed);
    }
    Ok(length)
}

/// Checks the checksum of a whole message; returns its body.
pub(crate) fn parse_body(message: &[u8]) -> Result<&[u8], HandshakeError> {
    let end = message.len().saturating_sub(4).max(PREFIX_BYTES);
    let (covered, checksum) = message.split_at(end.min(message.len()));
    let got = Reader::new(checksum).u32().unwrap_or(0);
    let computed = crc32c::crc32c(covered);
    if got != computed {
        return Err(HandshakeError::Checksum { got, computed });
    }
    Ok(&covered[PREFIX_BYTES.min(covered.len())..])
}

/// A field, or the error that names it.
macro_rules! field {
    ($value:expr, $name:literal) => {
        $value.ok_or(HandshakeError::Malformed($name))
    };
}

fn finished(reader: &Reader<'_>) -> Result<(), HandshakeError> {
    field!((reader.rest() == 0).then_some(()), "length")
}

/// First message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) version_min: u16,
    pub(crate) version_max: u16,
    pub(crate) features: Features,
    pub(crate) intent: Intent,
    pub(crate) role: Role,
    pub(crate) session: SessionId,
    pub(crate) epoch: Epoch,
    pub(crate) nonce: [u8; 32],
    pub(crate) key_id: Option<KeyId>,
}

impl Hello {
    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_u16(self.version_min);
        body.put_u16(self.version_max);
        body.put_u64(self.features.bits());
        body.put_u8(self.intent as u8);
        body.put_u8(self.role as u8);
        body.put_u16(0);
        body.put(&self.session.to_bytes());
        body.put_u64(self.epoch.0);
        body.put(&self.nonce);
        body.put_text(self.key_id.as_ref().map_or("", KeyId::as_str));
        emit_message(message::HELLO, &body)
    }

    pub(crate) fn parse(message: &[u8]) -> Result<Self, HandshakeError> {
        let mut reader = Reader::new(parse_body(message)?);
        let version_min = field!(reader.u16(), "version")?;
        let version_max = field!(reader.u16(), "version")?;
        // First of all: what follows may look different in a version that we do not speak.
        common_version(version_min, version_max)?;
        let features = Features::from_bits(field!(reader.u64(), "features")?);
        let intent = match field!(reader.u8(), "intent")? {
            1 => Intent::New,
            2 => Intent::Resume,
            3 => Intent::Attach,
            _ => return Err(HandshakeError::Malformed("intent")),
        };
        let role = match field!(reader.u8(), "role")? {
            1 => Role::Message,
            2 => Role::Bulk,
            _ => return Err(HandshakeError::Malformed("role")),
        };
        if field!(reader.u16(), "reserved")? != 0 {
            return Err(HandshakeError::Malformed("reserved"));
        }
        let session = SessionId::from_bytes(field!(reader.array(), "session")?);
        let epoch = Epoch(field!(reader.u64(), "epoch")?);
        let nonce = field!(reader.array(), "nonce")?;
        let key_id = match field!(reader.text(KEY_ID_BYTES_MAX), "key id")? {
            "" => None,
            text => Some(field!(KeyId::new(text).ok(), "key id")?),
        };
        finished(&reader)?;
        if epoch.0 == 0 || epoch.0 > OFFSET_MAX {
            return Err(HandshakeError::Malformed("epoch"));
        }
        Ok(Self {
            version_min,
            version_max,
            features,
            intent,
            role,
            session,
            epoch,
            nonce,
            key_id,
        })
    }

    /// The newest version both speak.
    pub(crate) fn version(&self) -> Result<u16, HandshakeError> {
        common_version(self.version_min, self.version_max)
    }
}

/// The newest version in a peer's range and ours.
pub(crate) fn common_version(theirs_min: u16, theirs_max: u16) -> Result<u16, HandshakeError> {
    let version = theirs_max.min(VERSION_MAX);
    if version < theirs_min || version < VERSION_MIN {
        return Err(HandshakeError::Version {
            theirs_min,
            theirs_max,
            ours_min: VERSION_MIN,
            ours_max: VERSION_MAX,
        });
    }
    Ok(version)
}

/// Second message: body without the proof, then the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    pub(crate) version: u16,
    pub(crate) features: Features,
    pub(crate) nonce: [u8; 32],
    pub(crate) proof: [u8; 32],
}

impl Challenge {
    /// What the acceptor's proof covers besides the hello.
    pub(crate) fn covered(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_u16(self.version);
        body.put_u64(self.features.bits());
        body.put(&self.nonce);
        body
    }

    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut body = self.covered();
        body.put(&self.proof);
        emit_message(message::CHALLENGE, &body)
    }

    pub(crate) fn parse(message: &[u8]) -> Result<Self, HandshakeError> {
        let mut reader = Reader::new(parse_body(message)?);
        let challenge = Self {
            version: {
                let version = field!(reader.u16(), "version")?;
                common_version(version, version)?
            },
            features: Features::from_bits(field!(reader.u64(), "features")?),
            nonce: field!(reader.array(), "nonce")?,
            proof: field!(reader.array(), "proof")?,
        };
        finished(&reader)?;
        Ok(challenge)
    }
}

fn emit_limits(limits: &SessionLimits, out: &mut Vec<u8>) {
    out.put_u64(limits.stream_window_bytes);
    out.put_u64(limits.session_window_bytes);
    out.put_u64(limits.streams_max);
    out.put_u64(limits.heartbeat_ms);
}

fn parse_limits(reader: &mut Reader<'_>) -> Result<SessionLimits, HandshakeError> {
    let limits = SessionLimits {
        stream_window_bytes: field!(reader.u64(), "limits")?,
        session_window_bytes: field!(reader.u64(), "limits")?,
        streams_max: field!(reader.u64(), "limits")?,
        heartbeat_ms: field!(reader.u64(), "limits")?,
    };
    let largest = limits
        .stream_window_bytes
        .max(limits.session_window_bytes)
        .max(limits.streams_max);
    field!((largest <= OFFSET_MAX).then_some(limits), "limits")
}

/// Third message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: EndpointName,
    pub(crate) incarnation: u64,
    pub(crate) limits: SessionLimits,
    pub(crate) proof: [u8; 32],
}

impl Identity {
    pub(crate) fn covered(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.put_u64(self.incarnation);
        emit_limits(&self.limits, &mut body);
        body.put_text(self.name.as_str());
        body
    }

    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut body = self.covered();
        body.put(&self.proof);
        emit_message(message::IDENTITY, &body)
    }

    pub(crate) fn parse(message: &[u8]) -> Result<Self, HandshakeError> {
        let mut reader = Reader::new(parse_body(message)?);
        let incarnation = field!(reader.u64(), "incarnation")?;
        let limits = parse_limits(&mut reader)?;
        let name = field!(reader.text(ENDPOINT_NAME_BYTES_MAX), "name")?;
        let name = field!(EndpointName::new(name).ok(), "name")?;
        let proof = field!(reader.array(), "proof")?;
        finished(&reader)?;
        Ok(Self {
            name,
            incarnation,
            limits,
            proof,
        })
    }
}

/// Last message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted {
        epoch: Epoch,
        resumed: bool,
        name: EndpointName,
        incarnation: u64,
        limits: SessionLimits,
        proof: [u8; 32],
    },
    Refused {
        refusal: Refusal,
        /// Zero before both proofs hold: then only a harmless code is believed (W-1.10).
        proof: [u8; 32],
    },
}

impl Verdict {
    pub(crate) fn covered(&self) -> Vec<u8> {
        let mut body = Vec::new();
        match self {
            Self::Accepted {
                epoch,
                resumed,
                name,
                incarnation,
                limits,
                ..
            } => {
                body.put_u16(0);
                body.put_u64(epoch.0);
                body.put_u8((*resumed).into());
                body.put_u64(*incarnation);
                emit_limits(limits, &mut body);
                body.put_text(name.as_str());
            }
            Self::Refused { refusal, .. } => {
                body.put_u16(refusal.code as u16);
                body.put_text(&refusal.text);
            }
        }
        body
    }

    pub(crate) fn emit(&self) -> Vec<u8> {
        let mut body = self.covered();
        let (Self::Accepted { proof, .. } | Self::Refused { proof, .. }) = self;
        body.put(proof);
        emit_message(message::VERDICT, &body)
    }

    pub(crate) fn parse(message: &[u8]) -> Result<Self, HandshakeError> {
        let mut reader = Reader::new(parse_body(message)?);
        let code = field!(reader.u16(), "code")?;
        let verdict = if code == 0 {
            Self::parse_accepted(&mut reader)?
        } else {
            let code = field!(RefusalCode::from_wire(code), "code")?;
            let text = field!(reader.text(STATUS_TEXT_BYTES_MAX), "text")?;
            Self::Refused {
                refusal: Refusal::new(code, text),
                proof: field!(reader.array(), "proof")?,
            }
        };
        finished(&reader)?;
        Ok(verdict)
    }

    fn parse_accepted(reader: &mut Reader<'_>) -> Result<Self, HandshakeError> {
        let epoch = Epoch(field!(reader.u64(), "epoch")?);
        let resumed = match field!(reader.u8(), "resumed")? {
            0 => false,
            1 => true,
            _ => return Err(HandshakeError::Malformed("resumed")),
        };
        let incarnation = field!(reader.u64(), "incarnation")?;
        let limits = parse_limits(reader)?;
        let name = field!(reader.text(ENDPOINT_NAME_BYTES_MAX), "name")?;
        let name = field!(EndpointName::new(name).ok(), "name")?;
        let proof = field!(reader.array(), "proof")?;
        Ok(Self::Accepted {
            epoch,
            resumed,
            name,
            incarnation,
            limits,
            proof,
        })
    }
}
