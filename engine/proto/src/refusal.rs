//! What an acceptor answers to a peer that it will not have.

use std::fmt;

use crate::id::{Epoch, SessionId};
use crate::status::Status;

/// Why, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum RefusalCode {
    /// No common version.
    Version = 1,
    /// Not a key we know, or not a name it may claim: the same answer for both.
    Authentication = 2,
    /// The session does not exist here, or not for this peer.
    UnknownSession = 3,
    /// A connection of this session with the same or a newer epoch exists; or, of a bulk
    /// connection, its epoch is not the present one.
    StaleEpoch = 4,
    /// Too many sessions, or connections of one.
    Overloaded = 5,
    /// An intent or role that the features do not allow.
    Unsupported = 6,
    /// The message cannot be understood.
    Malformed = 7,
    /// The endpoint drains.
    Draining = 8,
}

impl RefusalCode {
    pub(crate) fn from_wire(code: u16) -> Option<Self> {
        use RefusalCode::{
            Authentication, Draining, Malformed, Overloaded, StaleEpoch, UnknownSession,
            Unsupported, Version,
        };
        [
            Version,
            Authentication,
            UnknownSession,
            StaleEpoch,
            Overloaded,
            Unsupported,
            Malformed,
            Draining,
        ]
        .into_iter()
        .find(|&each| each as u16 == code)
    }
}

impl RefusalCode {
    /// Whether a refusal with this code may be believed without proof: it says that this dialer
    /// and this acceptor do not fit, nothing about a session (W-1.10).
    pub(crate) fn is_harmless(self) -> bool {
        matches!(
            self,
            Self::Version | Self::Authentication | Self::Unsupported | Self::Malformed
        )
    }
}

/// A refusal with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people.
    pub text: String,
}

impl Refusal {
    /// Any code with a text, cut at the limit of a status text.
    #[must_use]
    pub fn new(code: RefusalCode, text: &str) -> Self {
        let text = Status::new(1, text).text;
        Self { code, text }
    }

    /// The session does not exist here.
    #[must_use]
    pub fn unknown_session(id: SessionId) -> Self {
        let text = format!("session {id} is not known here; its endpoint may have restarted");
        Self::new(RefusalCode::UnknownSession, &text)
    }

    /// There is a newer connection.
    #[must_use]
    pub fn stale_epoch(claimed: Epoch, current: Epoch) -> Self {
        let text = format!("epoch {} is not newer than {}", claimed.0, current.0);
        Self::new(RefusalCode::StaleEpoch, &text)
    }

    /// Too many sessions.
    #[must_use]
    pub fn overloaded(held: u64, allowed: u64) -> Self {
        let text = format!("{held} sessions of {allowed} allowed");
        Self::new(RefusalCode::Overloaded, &text)
    }

    /// A bulk connection of an epoch that is not the present one.
    #[must_use]
    pub fn other_epoch(claimed: Epoch, current: Epoch) -> Self {
        let text = format!("epoch {} is not the present one, {}", claimed.0, current.0);
        Self::new(RefusalCode::StaleEpoch, &text)
    }

    /// Too many bulk connections of one session.
    #[must_use]
    pub fn too_many_connections(held: u64, allowed: u64) -> Self {
        let text = format!("{held} bulk connections of {allowed} allowed");
        Self::new(RefusalCode::Overloaded, &text)
    }

    /// Whether trying again later may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.code, RefusalCode::Overloaded | RefusalCode::StaleEpoch)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.text, self.code)
    }
}
