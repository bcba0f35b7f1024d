//! An inode: a file, a directory, a link or something special.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use ringway_io::{FileKind, FileStat};

use crate::content::Content;
use crate::random::mix;

/// Residency is kept by blocks of this size.
pub(crate) const BLOCK_BYTES: u64 = 256 << 10;

/// One inode.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) body: Body,
    pub(crate) mode: u32,
    pub(crate) modified_ns: i128,
    pub(crate) changed_ns: i128,
    /// Names it has now, and on the device.
    pub(crate) names_now: u32,
    pub(crate) names_durable: u32,
    /// Open descriptors.
    pub(crate) opens: u32,
    /// Whose descriptor holds the lock.
    pub(crate) lock: Option<u64>,
    /// Blocks that were read or written.
    pub(crate) resident: BTreeSet<u64>,
    /// Space reserved, up to this offset, bytes.
    pub(crate) reserved: u64,
    /// What it counts against the capacity, bytes.
    pub(crate) charged: u64,
}

/// What it is.
#[derive(Debug)]
pub(crate) enum Body {
    Regular(Content),
    Directory(Names),
    Symlink(PathBuf),
    /// A FIFO, as the kind that can hang an open.
    Special,
}

/// A directory's entries, now and on the device.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) now: BTreeMap<OsString, u64>,
    pub(crate) durable: BTreeMap<OsString, u64>,
}

impl Node {
    pub(crate) fn new(body: Body, mode: u32, now_ns: i128) -> Self {
        Self {
            body,
            mode,
            modified_ns: now_ns,
            changed_ns: now_ns,
            names_now: 0,
            names_durable: 0,
            opens: 0,
            lock: None,
            resident: BTreeSet::new(),
            reserved: 0,
            charged: 0,
        }
    }

    pub(crate) fn kind(&self) -> FileKind {
        match self.body {
            Body::Regular(_) => FileKind::Regular,
            Body::Directory(_) => FileKind::Directory,
            Body::Symlink(_) => FileKind::Symlink,
            Body::Special => FileKind::Special,
        }
    }

    pub(crate) fn content(&self) -> Option<&Content> {
        match &self.body {
            Body::Regular(content) => Some(content),
            _ => None,
        }
    }

    pub(crate) fn content_mut(&mut self) -> Option<&mut Content> {
        match &mut self.body {
            Body::Regular(content) => Some(content),
            _ => None,
        }
    }

    pub(crate) fn names(&self) -> Option<&Names> {
        match &self.body {
            Body::Directory(names) => Some(names),
            _ => None,
        }
    }

    pub(crate) fn names_mut(&mut self) -> Option<&mut Names> {
        match &mut self.body {
            Body::Directory(names) => Some(names),
            _ => None,
        }
    }

    /// Its content changed.
    pub(crate) fn touch(&mut self, now_ns: i128) {
        self.modified_ns = now_ns;
        self.changed_ns = now_ns;
    }

    pub(crate) fn stat(&self, inode: u64, device: u64) -> FileStat {
        FileStat {
            kind: self.kind(),
            mode: self.mode,
            size: self.content().map_or(0, Content::len),
            modified_ns: self.modified_ns,
            changed_ns: self.changed_ns,
            inode,
            device,
        }
    }

    /// Whether a block is in the page cache: touched, or drawn to be there from the start.
    pub(crate) fn is_resident(&self, inode: u64, block: u64, per_mille: u32) -> bool {
        let drawn = mix(inode ^ mix(block)) % 1000;
        self.resident.contains(&block) || drawn < u64::from(per_mille)
    }
}
