//! Listing: what a client asks and gets.

use ringway::{FileKind, FileStat};
use serde::{Deserialize, Serialize};

use crate::RemotePath;
use crate::identity::Timestamp;

/// How to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListOptions {
    /// Also what is in the directories below.
    pub recursive: bool,
    /// Fail with [`crate::FilesError::Limit`] above so many entries, rather than fill the memory.
    pub entries_max: usize,
}

impl Default for ListOptions {
    fn default() -> Self {
        Self {
            recursive: false,
            entries_max: 1_000_000,
        }
    }
}

/// What kind of thing an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, never followed.
    Symlink,
    /// A FIFO, socket or device.
    Special,
}

/// One file or directory below the server's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Relative to what was listed; the root path for the listed object itself.
    pub path: RemotePath,
    /// Kind.
    pub kind: EntryKind,
    /// Bytes; of a directory what its file system says.
    pub size: u64,
    /// Permission bits, set-id bits included.
    pub mode: u32,
    /// Modification time: whole seconds since 1970, negative before.
    pub modified_seconds: i64,
    /// And the nanoseconds to add, below 1,000,000,000.
    pub modified_nanoseconds: u32,
}

impl Entry {
    pub(crate) fn new(path: RemotePath, stat: &FileStat) -> Self {
        let modified = Timestamp::from_ns(stat.modified_ns);
        let kind = match stat.kind {
            FileKind::Regular => EntryKind::File,
            FileKind::Directory => EntryKind::Directory,
            FileKind::Symlink => EntryKind::Symlink,
            FileKind::Special => EntryKind::Special,
        };
        Self {
            path,
            kind,
            size: stat.size,
            mode: stat.mode,
            modified_seconds: modified.seconds,
            modified_nanoseconds: modified.nanoseconds,
        }
    }

    pub(crate) fn modified(&self) -> Timestamp {
        Timestamp {
            seconds: self.modified_seconds,
            nanoseconds: self.modified_nanoseconds,
        }
    }
}

/// The answer to a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// What was listed, itself.
    pub object: Entry,
    /// If that is a directory, what is in it: each directory before what it holds, sorted by
    /// name. Our own partial and sidecar files are left out.
    pub entries: Vec<Entry>,
}
