//! One result of an op.

use std::net::SocketAddr;

use crate::{BufferMut, Descriptor, DirectoryEntry, Errno, FileStat, ProvidedBuffer};

/// What the submitter wants to be told back: its own number, opaque to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Names a submitted op until its last completion; never reused for another op while a
/// completion could still be mistaken for it (slot and generation).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpId(pub u64);

/// One result of an op.
#[derive(Debug)]
#[must_use = "a completion may carry a buffer, a descriptor or a claim on a provided buffer"]
pub struct Completion {
    /// The submitter's number.
    pub token: Token,
    /// Which op.
    pub op: OpId,
    /// What the op says its result is; its unit depends on the op.
    pub result: Result<u32, Errno>,
    /// Further completions of this op follow. Everything the op owns stays with it until one
    /// without `more` comes, whatever `result` says.
    pub more: bool,
    /// What comes with it.
    pub payload: Payload,
}

/// What a completion carries besides its result.
#[derive(Debug, Default)]
pub enum Payload {
    /// Nothing.
    #[default]
    None,
    /// The buffer of a receive or read, also after failure.
    Buffer(BufferMut),
    /// A filled buffer of the provided ring; recycle it within the turn.
    Provided(ProvidedBuffer),
    /// A new connection or an opened file.
    Descriptor(Descriptor),
    /// What statx told.
    Stat(FileStat),
    /// A directory's entries.
    Entries(Vec<DirectoryEntry>),
    /// Resolved addresses, in the resolver's order; never empty.
    Addresses(Vec<SocketAddr>),
    /// The memory of a zero-copy send is free.
    Notification {
        /// The kernel says it copied after all; `None` where it cannot say (before 6.2).
        copied: Option<bool>,
    },
}
