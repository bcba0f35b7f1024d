//! What a run did.

use std::path::PathBuf;

use crate::{FilesError, SkipReason};

/// One file that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// The source's path: local for a put, below the server's root for a get.
    pub source: PathBuf,
    /// Where it is now: below the server's root for a put, local for a get.
    pub target: PathBuf,
    /// Size, bytes.
    pub bytes: u64,
    /// Where this run found the partial file of an earlier one, bytes; 0 if there was none.
    pub resumed_from_bytes: u64,
    /// XXH3-128 of the content, equal at both ends; only when verification was asked for.
    pub digest: Option<u128>,
}

/// Something that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedFile {
    /// The source's path.
    pub path: PathBuf,
    /// Why.
    pub reason: SkipReason,
}

/// A file that did not arrive, in a run that went on without it.
#[derive(Clone, Debug)]
pub struct FailedFile {
    /// The source's path.
    pub path: PathBuf,
    /// Why.
    pub error: FilesError,
}

/// What a put or get did.
#[derive(Clone, Debug, Default)]
pub struct TransferReport {
    /// Files that arrived, in the order of the source tree.
    pub files: Vec<FileReport>,
    /// Directories made or found at the target.
    pub directories: u64,
    /// Sum of the sizes of `files`.
    pub bytes: u64,
    /// Sum of where earlier runs had stopped: bytes that did not have to travel.
    pub resumed_from_bytes: u64,
    /// Body bytes that travelled in this run: known to have reached the other side, without
    /// headers and without what the session layer replayed. With an uninterrupted run it is
    /// `bytes - resumed_from_bytes`.
    pub body_bytes_sent: u64,
    /// What was left out.
    pub skipped: Vec<SkippedFile>,
    /// What failed. Not empty only inside [`FilesError::Incomplete`].
    pub failed: Vec<FailedFile>,
    /// How long the run took.
    pub seconds: f64,
    /// Sessions used: 1 unless the server was restarted or a resume window passed.
    pub sessions: u32,
}
