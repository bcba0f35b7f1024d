//! Why a session is over.

use crate::refusal::{Refusal, RefusalCode};
use crate::status::Status;
use crate::violation::Violation;

/// Why, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// We closed it.
    #[error("closed here: {0}")]
    Local(Status),
    /// The peer closed it.
    #[error("closed by the peer: {0}")]
    Peer(Status),
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Violation(Violation),
    /// No connection for longer than the resume window.
    #[error("no connection for longer than the resume window of {window_ms} ms")]
    ResumeWindow {
        /// The window.
        window_ms: u64,
    },
    /// The peer does not know the session: it has restarted, or given it up.
    #[error("the peer does not know the session any more: {0}")]
    UnknownSession(String),
    /// The peer asks for bytes that it had acked and that are gone.
    #[error("the peer is at offset {wanted} of a stream, bytes before {kept} are gone")]
    ReplayLost {
        /// Where the peer is.
        wanted: u64,
        /// First offset still kept.
        kept: u64,
    },
    /// The peer refused a new connection.
    #[error("the peer refused to resume: {0}")]
    Refused(String),
    /// It cannot be reached any more.
    #[error("{0}")]
    Unreachable(String),
    /// It had no connection, and made room for a new session.
    #[error("ended to make room for a new session: {held} were held of {allowed} allowed")]
    Evicted {
        /// Sessions (or streams) held.
        held: u64,
        /// Bound.
        allowed: u64,
    },
    /// The engine has stopped.
    #[error("the engine has stopped")]
    EngineStopped,
}

impl CloseReason {
    /// From a refusal of a resume.
    #[must_use]
    pub fn refused(refusal: Refusal) -> Self {
        match refusal.code {
            RefusalCode::UnknownSession => Self::UnknownSession(refusal.text),
            _ => Self::Refused(refusal.text),
        }
    }

    /// The dialer gave up.
    #[must_use]
    pub fn unreachable(cause: &str) -> Self {
        Self::Unreachable(cause.into())
    }

    /// The engine has stopped.
    #[must_use]
    pub fn engine_stopped() -> Self {
        Self::EngineStopped
    }
}
