//! Why a session does not do what its application wants.

use crate::close_reason::CloseReason;
use crate::id::SessionId;
use crate::status::Status;

/// Why a stream cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No credit for streams now: wait for [`crate::Event::OpenUnblocked`].
    #[error("no credit for another stream now")]
    Blocked,
    /// The session is over or drains.
    #[error("{0}")]
    Closed(CloseReason),
}

/// Why something cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// At the retention cap: nothing was taken; wait for [`crate::Event::SendUnblocked`].
    #[error("{retained} bytes are unacked, {allowed} may be")]
    Blocked {
        /// Kept now.
        retained: u64,
        /// Cap.
        allowed: u64,
    },
    /// The stream does not exist (any more).
    #[error("the stream has ended")]
    UnknownStream,
    /// Our direction has ended.
    #[error("this direction is already finished")]
    Finished,
    /// The peer does not want more.
    #[error("the peer does not want more: {0}")]
    Stopped(Status),
    /// A stream has at most 2^62 bytes.
    #[error("the stream would be longer than {max} bytes")]
    TooLong {
        /// The bound.
        max: u64,
    },
    /// The session is over.
    #[error("{0}")]
    Closed(CloseReason),
}

/// Why a connection cannot be attached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// It belongs to another session.
    #[error("the connection is of session {got}, this is {expected}")]
    OtherSession {
        /// Of the connection.
        got: SessionId,
        /// This one.
        expected: SessionId,
    },
    /// A bulk connection of another epoch than the message connection's.
    #[error("epoch {got} is not the present one, {current}")]
    OtherEpoch {
        /// Of the connection.
        got: u64,
        /// Ours.
        current: u64,
    },
    /// A bulk connection more than agreed, or no bulk connection.
    #[error("{held} bulk connections of {allowed} allowed")]
    TooManyConnections {
        /// Attached now.
        held: u64,
        /// Both sides agreed to.
        allowed: u64,
    },
    /// A newer one was attached before.
    #[error("epoch {got} is not newer than {current}")]
    StaleEpoch {
        /// Of the connection.
        got: u64,
        /// Ours.
        current: u64,
    },
    /// The session is over.
    #[error("{0}")]
    Closed(CloseReason),
}
