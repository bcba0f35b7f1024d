//! Why a handshake came to nothing.

use crate::refusal::{Refusal, RefusalCode};

/// What the other side did, or what does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Not our protocol.
    #[error("the first bytes are not Ringway's (W-1.1)")]
    Magic,
    /// Not the message that comes now.
    #[error("message type {got} where {expected} was due (W-1.2)")]
    Message {
        /// What came.
        got: u8,
        /// What was due.
        expected: u8,
    },
    /// Longer than allowed.
    #[error("a handshake message of {length} bytes; at most {max} are allowed (W-1.3)")]
    TooLong {
        /// Announced.
        length: usize,
        /// Allowed.
        max: usize,
    },
    /// The checksum does not match.
    #[error("handshake checksum {got:#010x}, computed {computed:#010x} (W-1.4)")]
    Checksum {
        /// On the wire.
        got: u32,
        /// Ours.
        computed: u32,
    },
    /// A field that is cut short or has a value it cannot have.
    #[error("the field `{0}` of a handshake message is malformed (W-1.5)")]
    Malformed(&'static str),
    /// No common version.
    #[error(
        "the peer speaks versions {theirs_min} to {theirs_max}, we {ours_min} to {ours_max} (W-1.6)"
    )]
    Version {
        /// Theirs.
        theirs_min: u16,
        /// Theirs.
        theirs_max: u16,
        /// Ours.
        ours_min: u16,
        /// Ours.
        ours_max: u16,
    },
    /// The peer did not prove that it has the key.
    #[error("the peer did not prove that it has the key (W-1.7)")]
    Proof,
    /// The peer wants no key, or wants one that we do not have.
    #[error("one side uses a key and the other does not (W-1.7)")]
    KeyExpected,
    /// The peer refused us.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// We refused the peer.
    #[error("we refused: {0}")]
    WeRefused(Refusal),
}

impl HandshakeError {
    /// The peer's refusal, if it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Whether it is about keys.
    #[must_use]
    pub fn is_authentication(&self) -> bool {
        match self {
            Self::Proof | Self::KeyExpected => true,
            Self::Refused(refusal) => refusal.code == RefusalCode::Authentication,
            _ => false,
        }
    }
}
