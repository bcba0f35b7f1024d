//! The server: one directory, offered to the sessions that arrive.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ringway::{Engine, Error, Listener};

use crate::boot::boot_id;
use crate::error::Side;
use crate::root::Root;
use crate::service::Service;
use crate::sidecar::BootId;
use crate::signal::{Counter, Signal};
use crate::window::{Either, race};
use crate::writers::Writers;
use crate::{FilesError, PageCache};

/// What is served, and within which limits (F-80).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// The directory. Nothing outside of it is ever reached.
    pub root: PathBuf,
    /// Refuse everything that would change it.
    pub read_only: bool,
    /// Whether large files pass the page cache, both ways.
    pub cache: PageCache,
    /// Files one session may have open for writing or reading at once; further requests wait.
    pub transfers_per_session_max: usize,
    /// Requests one session may have waiting or under way; further ones are refused.
    pub requests_per_session_max: usize,
    /// Entries of one directory that are listed; larger ones are refused with both numbers.
    pub entries_per_directory_max: usize,
}

impl ServeOptions {
    /// Serves `root` for reading and writing, with default limits.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            read_only: false,
            cache: PageCache::Used,
            transfers_per_session_max: 512,
            requests_per_session_max: 4096,
            entries_per_directory_max: 1_000_000,
        }
    }
}

/// What a drain left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Requests that ended by themselves in time.
    pub completed: u64,
    /// Requests that were ended, with the resume points of transfers kept.
    pub interrupted: u64,
}

/// What all sessions of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) options: ServeOptions,
    pub(crate) root: Root,
    pub(crate) boot: BootId,
    pub(crate) writers: Writers,
    /// Requests under way.
    pub(crate) requests: Counter,
    /// Sessions that are served.
    pub(crate) sessions: Counter,
    /// No new request is taken.
    pub(crate) draining: Signal,
    /// Transfers under way stop, keeping their resume points.
    pub(crate) interrupted: Signal,
    /// Sessions close.
    pub(crate) closing: Signal,
}

/// Serves one directory; cheap to clone. All clones share one table of writers.
#[derive(Clone, Debug)]
pub struct Server(Arc<Shared>);

/// How long what was interrupted may take to write its resume point.
const INTERRUPT_WAIT: Duration = Duration::from_secs(10);

impl Server {
    /// Opens the directory.
    ///
    /// # Errors
    /// [`FilesError::File`] when it is not there, no directory, or may not be read;
    /// [`FilesError::Engine`] when the engine has stopped.
    pub async fn new(engine: &Engine, options: ServeOptions) -> Result<Self, FilesError> {
        let opened = Root::open(engine, &options.root, Path::new("")).await;
        let root = opened.map_err(|halt| FilesError::of_halt(halt, Side::Local))?;
        Ok(Self(Arc::new(Shared {
            engine: engine.clone(),
            root,
            boot: boot_id(engine).await,
            options,
            writers: Writers::default(),
            requests: Counter::default(),
            sessions: Counter::default(),
            draining: Signal::default(),
            interrupted: Signal::default(),
            closing: Signal::default(),
        })))
    }

    /// Serves the sessions that arrive until the listener is closed. May run for several
    /// listeners at once. Sessions outlive it: end them with [`drain`](Self::drain).
    ///
    /// # Errors
    /// [`FilesError::Engine`] when the engine stopped.
    pub async fn serve(&self, listener: &Listener) -> Result<(), FilesError> {
        tracing::info!(root = %self.0.options.root.display(), "serving files");
        loop {
            let session = match listener.accept().await {
                Ok(session) => session,
                Err(Error::ListenerClosed) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let shared = Arc::clone(&self.0);
            let shard = session.shard();
            self.0
                .engine
                .spawn_on(shard, move || Service::run(shared, session))?;
        }
    }

    /// Refuses new requests, lets those under way end, and after `within` ends the rest with
    /// their resume points written. Then closes the sessions. Clients that are told so reconnect.
    pub async fn drain(&self, within: Duration) -> DrainReport {
        let Shared {
            engine,
            requests,
            sessions,
            ..
        } = &*self.0;
        let under_way = requests.value();
        self.0.draining.set();
        let _ = race(requests.zero(), engine.sleep(within)).await;
        let interrupted = requests.value();
        self.0.interrupted.set();
        if let Either::Second(_) = race(requests.zero(), engine.sleep(INTERRUPT_WAIT)).await {
            tracing::warn!(left = requests.value(), "transfers did not stop in time");
        }
        self.0.closing.set();
        let _ = race(sessions.zero(), engine.sleep(INTERRUPT_WAIT)).await;
        tracing::info!(under_way, interrupted, "drained");
        DrainReport {
            completed: under_way.saturating_sub(interrupted),
            interrupted,
        }
    }
}
