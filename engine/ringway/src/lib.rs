//! Zero-copy transport on io_uring, with streams that survive connection loss.
//!
//! An [`Engine`] runs one shard per core. A [`Session`] pairs two endpoints and outlives any
//! socket; inside it are [`Stream`]s of bytes, sequenced by offset, which are replayed exactly
//! from where the peer stopped when a connection dies. Large bodies are described ([`FileRange`],
//! [`Lease`]), not carried: the kernel moves them.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use ringway::{Config, ConnectOptions, Engine, Keys, Status, StreamOptions};
//!
//! let engine = Engine::start(Config::default())?;
//! let options = ConnectOptions::keyed(Keys::of_user()?.own());
//! let session = engine.connect("node-b:7400", options).await?;
//! let stream = session.open(StreamOptions::default()).await?;
//! let offset = stream.send(&b"hello"[..]).await?;
//! stream.acked(offset).await?;
//! stream.finish(Status::ok()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The futures belong to no runtime: await them under any, with [`block_on`], or inside a task
//! on a shard ([`Engine::spawn_on`]), where no thread hop is paid.
//!
//! Features, off by default: `tokio` (streams as its readers and writers, `StreamIo`) and
//! `tokio-uring` (the engine's memory as its buffers, `UringBuffer`).
//!
//! Inside: the handles (`engine`, `listener`, `session`, `stream`, `file`) send messages through
//! `mailbox` to a `shard`, whose `turn` is the only code that touches the kernel and the protocol.
#![deny(unsafe_code)]

mod accept;
mod adapters;
mod admission;
mod arriving;
mod atomics;
mod attach;
mod block_on;
mod bulk;
mod caller_ops;
mod checked;
mod config;
mod connection;
mod cores;
mod detached;
mod dial;
mod egress;
mod engine;
mod error;
mod fault_kernel;
mod fault_plan;
mod faults;
mod file;
mod frames;
mod handshake;
mod histogram;
mod inbox;
mod ingress;
mod injector;
mod inspection;
mod key_file;
mod key_limits;
mod lanes;
mod linger;
mod listener;
mod loss;
mod mailbox;
mod message;
mod metric;
mod outbox;
mod path_table;
mod payload;
mod piece_run;
mod prometheus;
mod purpose;
mod queue;
mod read_ahead;
mod receiving;
mod records;
mod reply;
mod requests;
mod rings;
mod send_waits;
mod sending;
mod session;
mod session_books;
mod session_directory;
mod session_end;
mod session_entry;
mod session_events;
mod session_statistics;
mod shard;
mod sink;
mod slab;
mod sleep;
mod snapshot;
mod source;
mod statistics;
mod stepped;
mod stream;
mod stream_entry;
mod stream_statistics;
mod target;
mod task;
mod timers;
mod wait_mode;
mod wakefulness;
mod wakers;

#[cfg(feature = "tokio")]
pub use adapters::StreamIo;
#[cfg(feature = "tokio-uring")]
pub use adapters::UringBuffer;
pub use block_on::block_on;
pub use config::{
    AuthenticationMode, Backoff, Config, ConnectOptions, Connector, ListenOptions, PathChoice,
    StreamOptions, WhenFull,
};
pub use cores::Cores;
pub use engine::Engine;
pub use error::{ConnectError, Error, StartError};
pub use fault_kernel::FaultKernel;
pub use fault_plan::{FaultPlan, FaultSyntaxError, FaultTrigger};
pub use faults::Faults;
pub use file::{Directory, File};
pub use histogram::Histogram;
pub use inbox::{Chunk, Gap, Lent};
#[doc(hidden)]
pub use inspection::{SessionInspection, StreamInspection};
pub use key_file::{KeyFileError, Keys, NamedKey};
pub use key_limits::KeyLimits;
pub use lanes::Lanes;
pub use listener::Listener;
pub use loss::LossCounters;
pub use metric::{Metric, MetricKind, MetricValue};
pub use path_table::{BodySource, PathAnswer, PathQuestion, explain_path};
pub use payload::{FileRange, Payload};
pub use prometheus::{PROMETHEUS_CONTENT_TYPE, prometheus_text};
pub use ringway_io::{
    Address, Capabilities, Capability, DirectoryEntry, Errno, FileKind, FileStat, Lease, LeaseMut,
    Limits, OpenHow, PeerCredentials, Reduction, Route, TeardownReport,
};
pub use ringway_proto::{
    BodyChecksum, CloseReason, EndpointName, Epoch, HandshakeError, Key, KeyId, PeerIdentity,
    Priority, Refusal, RefusalCode, SessionConfig, SessionId, Status, StreamId,
};
pub use ringway_uring::UringUnavailable;
pub use send_waits::SendWaits;

/// What this machine can do, for who shows it to people.
pub mod probe {
    pub use crate::cores::free_cores;
    pub use ringway_uring::{
        Core, Finding, ProbeReport, RingReport, UringConfig, allowed_cores, probe,
    };
}

pub use session::{Session, SessionState};
pub use session_end::{RetainedPayload, SessionEnd, StreamRemains};
pub use session_statistics::SessionStatistics;
pub use shard::Shard;
pub use sleep::sleep;
pub use statistics::{BodyPath, PathCounters, Statistics};
pub use stepped::{LoopBell, Stepped, SteppedShard};
pub use stream::{Stream, StreamProgress};
pub use stream_statistics::StreamStatistics;
pub use target::{Target, TargetError};
pub use task::spawn_local;
pub use wait_mode::WaitMode;
