//! Who watches a transfer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why something was not transferred, though nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SkipReason {
    /// A symbolic link: links are neither followed nor made.
    Symlink,
    /// A FIFO, socket or device.
    Special,
    /// The target exists and the [`crate::Overwrite`] policy keeps it.
    Exists,
    /// The name is one of our own partial or sidecar files.
    Reserved,
}

impl SkipReason {
    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Symlink => "symlink",
            Self::Special => "special",
            Self::Exists => "exists",
            Self::Reserved => "reserved",
        }
    }
}

/// Is told what a run does. Called from a shard's thread: return at once, and never block.
///
/// Paths are the source's: local ones for a put, those below the server's root for a get.
pub trait Observer: Send + Sync {
    /// The run's size is known. Comes once, before the first file.
    fn planned(&self, files: u64, bytes: u64) {
        let _ = (files, bytes);
    }

    /// A file of that many bytes begins.
    fn started(&self, path: &Path, bytes: u64) {
        let _ = (path, bytes);
    }

    /// A file goes on from where an earlier attempt or run stopped. These bytes count as done.
    fn resumed_from(&self, path: &Path, offset: u64) {
        let _ = (path, offset);
    }

    /// So many more body bytes are at their destination (acked by, or received from, the peer).
    fn progress(&self, bytes: u64) {
        let _ = bytes;
    }

    /// A file is complete, synced and has its name.
    fn finished(&self, path: &Path) {
        let _ = path;
    }

    /// Something was left out.
    fn skipped(&self, path: &Path, reason: SkipReason) {
        let _ = (path, reason);
    }

    /// A file failed; the run goes on with the others where that makes sense.
    fn failed(&self, path: &Path, error: &crate::FilesError) {
        let _ = (path, error);
    }

    /// The session ended and a new one is being made; no later than `within` from now the run
    /// gives up. (A session that merely lost its connection resumes unseen.)
    fn reconnecting(&self, cause: &str, within: Duration) {
        let _ = (cause, within);
    }

    /// A new session stands; unfinished files go on.
    fn reconnected(&self) {}
}

/// An observer that does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Silent {
    /// One, ready to be given to a run.
    #[must_use]
    pub fn observer() -> Arc<dyn Observer> {
        Arc::new(Self)
    }
}

impl Observer for Silent {}
