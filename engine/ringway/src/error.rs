//! Errors, sorted by whose fault they are.

use ringway_io::Errno;
use ringway_proto::{CloseReason, Refusal, Status};

use crate::inbox::Gap;
use crate::target::TargetError;

/// Why an operation on an engine, session, stream or file did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The session ended; its reason says why and by whom.
    #[error("the session ended: {0}")]
    SessionEnded(CloseReason),
    /// The peer reset the stream: what it had sent after our position is lost.
    #[error("the peer reset the stream at offset {final_offset}: {status}")]
    StreamReset {
        /// Why.
        status: Status,
        /// How far the peer had sent, bytes.
        final_offset: u64,
    },
    /// The peer asked us to cease sending.
    #[error("the peer does not want more of this stream: {0}")]
    Stopped(Status),
    /// The stream's sending direction is finished or reset by us.
    #[error("this direction of the stream is already finished")]
    AlreadyFinished,
    /// The stream has ended in both directions, or never existed.
    #[error("the stream has ended")]
    StreamEnded,
    /// The memory kept for unacked bytes is at its cap, and the stream was told to fail then.
    #[error("{retained} bytes are unacked, the session may keep {allowed}")]
    RetentionFull {
        /// Kept now, bytes.
        retained: u64,
        /// Cap, bytes.
        allowed: u64,
    },
    /// Records of a lossy stream were dropped by its sender. Not an end: the next receive goes on
    /// behind the gap.
    #[error("{} records of {} bytes at offset {} were dropped by their sender", .0.records, .0.bytes, .0.offset)]
    Gap(Gap),
    /// A record is larger than the caller allows.
    #[error("a record has more than the {allowed} bytes allowed ({received} so far)")]
    RecordTooLarge {
        /// Received so far, bytes.
        received: u64,
        /// The caller's limit, bytes.
        allowed: u64,
    },
    /// A number is outside of what is allowed.
    #[error("{what}: {wanted} is above the limit of {allowed}")]
    Limit {
        /// Which number.
        what: &'static str,
        /// Asked for.
        wanted: u64,
        /// Allowed.
        allowed: u64,
    },
    /// The source file is not what it was when it was given to us.
    #[error("the source changed while it was sent: {what} was {before}, is {now}")]
    SourceChanged {
        /// `size`, `modification time` or `change time`.
        what: &'static str,
        /// Bytes or ns since 1970.
        before: i128,
        /// Bytes or ns since 1970.
        now: i128,
    },
    /// The kernel refused an operation.
    #[error("{operation}: {errno}")]
    Kernel {
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        errno: Errno,
    },
    /// Only the side that dialled a session can connect it again.
    #[error("only the side that dialled the session can connect it again")]
    NotDialer,
    /// The engine was shut down, or its shard has died.
    #[error("the engine has stopped")]
    EngineStopped,
    /// The listener was closed.
    #[error("the listener is closed")]
    ListenerClosed,
}

/// Why a session could not be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The address is not one.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// No connection could be made within the time allowed; the last failure.
    #[error("cannot connect to {target}: {errno}")]
    Unreachable {
        /// Where to.
        target: String,
        /// The last failure.
        errno: Errno,
    },
    /// The peer did not answer the handshake as the protocol says.
    #[error("{target} is not a Ringway peer, or is broken: {reason}")]
    Handshake {
        /// Who.
        target: String,
        /// The rule that was broken.
        reason: ringway_proto::HandshakeError,
    },
    /// The peer could not prove that it has our key, or refused ours.
    #[error("{target} does not share our key: {reason}")]
    Authentication {
        /// Who.
        target: String,
        /// What failed.
        reason: ringway_proto::HandshakeError,
    },
    /// The peer refused, and says why.
    #[error("{target} refused: {refusal}")]
    Refused {
        /// Who.
        target: String,
        /// Its reason.
        refusal: Refusal,
    },
    /// Something on our side.
    #[error(transparent)]
    Local(#[from] Error),
}

/// Why an engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// This machine's kernel cannot, or may not; the text says what to do.
    #[error("{0}")]
    Unavailable(ringway_uring::UringUnavailable),
    /// A shard's thread could not be made.
    #[error("cannot start a thread for a shard: {0}")]
    Thread(std::io::Error),
    /// A number in the configuration is out of range.
    #[error("{what}: {wanted} is not within {allowed}")]
    Configuration {
        /// Which.
        what: &'static str,
        /// Given.
        wanted: u64,
        /// Range, in words.
        allowed: &'static str,
    },
    /// There are not as many cores of their own as shards ([`Cores::Own`](crate::Cores::Own)).
    #[error(
        "{wanted} shards on cores of their own: {free} of {allowed} cores of this thread are free; \
         ask for fewer shards, free some, or let shards share (cores `any`, or a list)"
    )]
    Cores {
        /// Shards asked for; 1 where their number was left to the engine.
        wanted: usize,
        /// Cores that nobody in this process has taken.
        free: usize,
        /// Cores in the calling thread's mask.
        allowed: usize,
    },
    /// This thread may not use a core, or which ones it may use is not known.
    #[error(
        "{}: {errno}; see taskset(1) and the cpuset of the cgroup",
        core.map_or("which cores may be used".to_owned(), |core| format!("core {core} may not be used"))
    )]
    Core {
        /// Which, unless it is all of them.
        core: Option<usize>,
        /// What the kernel says.
        errno: ringway_io::Errno,
    },
}

impl From<ringway_proto::SendError> for Error {
    fn from(error: ringway_proto::SendError) -> Self {
        use ringway_proto::SendError;
        match error {
            SendError::Blocked { retained, allowed } => Self::RetentionFull { retained, allowed },
            SendError::UnknownStream => Self::StreamEnded,
            SendError::Finished => Self::AlreadyFinished,
            SendError::Stopped(status) => Self::Stopped(status),
            SendError::TooLong { max } => Self::Limit {
                what: "stream length",
                wanted: max.saturating_add(1),
                allowed: max,
            },
            SendError::Closed(reason) => Self::SessionEnded(reason),
        }
    }
}
