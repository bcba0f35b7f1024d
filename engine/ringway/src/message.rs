//! What a shard can be asked to do.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringway_io::{Completion, Descriptor, Op};
use ringway_proto::{Accept, Claim, Priority, Status, StreamId};

use crate::config::{ConnectOptions, ListenOptions, StreamOptions};
use crate::dial::DialKey;
use crate::error::{ConnectError, Error};
use crate::file::OpenFile;
use crate::listener::ListenerShared;
use crate::payload::Payload;
use crate::reply::Reply;
use crate::session::{Session, SessionKey};
use crate::session_entry::Reconnected;
use crate::session_statistics::SessionStatistics;
use crate::statistics::Statistics;
use crate::stream::{Landed, Stream, StreamProgress, StreamShared, Written};
use crate::stream_statistics::StreamStatistics;
use crate::target::Target;

/// A future that need not be `Send`, made on the shard it will run on.
pub(crate) type TaskMaker = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// A request to a shard. What carries a [`Reply`] is answered, if only by being dropped.
pub(crate) enum Message {
    Spawn(TaskMaker),
    /// What time it is.
    Now(Reply<Duration>),
    Sleep {
        duration: Duration,
        reply: Reply<()>,
    },
    /// A kernel op on behalf of a handle: files, directories, name resolution.
    Op {
        op: Box<Op>,
        reply: Reply<Completion>,
    },
    /// Borrow a piece of the arena.
    Lease {
        bytes: usize,
        reply: Reply<Option<ringway_io::LeaseMut>>,
    },
    Adopt {
        descriptor: std::os::fd::OwnedFd,
        reply: Reply<Result<Descriptor, Error>>,
    },
    Statistics(Reply<Statistics>),
    SessionStatistics(SessionKey, Reply<Option<SessionStatistics>>),
    StreamStatistics {
        session: SessionKey,
        stream: StreamId,
        reply: Reply<Result<StreamStatistics, Error>>,
    },
    Listen {
        target: Target,
        options: Box<ListenOptions>,
        reply: Reply<Result<Arc<ListenerShared>, Error>>,
    },
    AdoptConnection {
        listener: Arc<ListenerShared>,
        connection: std::os::fd::OwnedFd,
        reply: Reply<Result<(), Error>>,
    },
    StopListening(Arc<ListenerShared>),
    Connect {
        target: Target,
        options: Box<ConnectOptions>,
        reply: Reply<Result<Session, ConnectError>>,
    },
    /// A connection whose handshake proved itself on another shard, for a session that is ours.
    Handover(Box<Handover>),
    /// The application's own dialer has a result for this attempt.
    Dialled {
        dial: DialKey,
        attempt: u32,
        result: std::io::Result<std::os::fd::OwnedFd>,
    },
    Reconnect {
        session: SessionKey,
        reply: Reconnected,
    },
    Drain {
        session: SessionKey,
        reply: Reply<()>,
    },
    Close {
        session: SessionKey,
        reason: Status,
    },
    /// The session has no connection and makes room for another one of its key.
    Evict {
        session: SessionKey,
        allowed: u64,
    },
    /// The last handle of the session was dropped.
    SessionDropped(SessionKey),
    OpenStream {
        session: SessionKey,
        options: StreamOptions,
        reply: Reply<Result<Stream, Error>>,
    },
    Send {
        session: SessionKey,
        stream: StreamId,
        payload: Payload,
        end_of_record: bool,
        reply: Reply<Result<u64, Error>>,
    },
    /// Records from memory, all of them or up to the first that is refused.
    SendRecords {
        session: SessionKey,
        stream: StreamId,
        records: VecDeque<Bytes>,
        reply: Reply<Result<u64, Error>>,
    },
    Finish {
        session: SessionKey,
        stream: StreamId,
        status: Status,
        reply: Reply<Result<(), Error>>,
    },
    Reset {
        session: SessionKey,
        stream: StreamId,
        status: Status,
    },
    Stop {
        session: SessionKey,
        stream: StreamId,
        status: Status,
    },
    Consume {
        session: SessionKey,
        stream: StreamId,
        bytes: u64,
    },
    /// Receive directly into the caller's buffer.
    ReceiveInto {
        session: SessionKey,
        stream: StreamId,
        /// What has arrived stays receivable when the shard has forgotten the stream.
        shared: Arc<StreamShared>,
        buffer: Vec<u8>,
        reply: Reply<Landed>,
    },
    /// Receive directly into a file.
    ReceiveIntoFile {
        session: SessionKey,
        stream: StreamId,
        shared: Arc<StreamShared>,
        file: Arc<OpenFile>,
        offset: u64,
        bytes_max: u64,
        reply: Reply<Written>,
    },
    /// A future that waited for a direct receive was dropped.
    ForgetRequests {
        session: SessionKey,
        stream: StreamId,
    },
    Prioritize {
        session: SessionKey,
        stream: StreamId,
        priority: Priority,
    },
    Progress {
        session: SessionKey,
        stream: StreamId,
        reply: Reply<Result<StreamProgress, Error>>,
    },
    /// The last handle of the stream was dropped.
    StreamDropped {
        session: SessionKey,
        stream: StreamId,
    },
    /// End the shard: close sessions, tear the kernel down, answer.
    Shutdown {
        within: Duration,
        reply: Reply<ringway_io::TeardownReport>,
    },
}

/// A proven connection on its way to the shard that owns its session.
pub(crate) struct Handover {
    pub(crate) socket: Descriptor,
    pub(crate) accept: Accept,
    pub(crate) claim: Claim,
    pub(crate) listener: Arc<ListenerShared>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every send goes through the mailbox: a rare message that is large makes all of them slow.
    #[test]
    fn a_message_is_small() {
        assert!(size_of::<Message>() <= 88, "{}", size_of::<Message>());
    }
}
