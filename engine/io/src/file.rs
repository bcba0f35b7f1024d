//! Files as the seam sees them.

use std::ffi::OsString;

use crate::Descriptor;

/// Where a relative path starts.
#[derive(Clone, Debug)]
pub enum Directory {
    /// The process's working directory, or the root for an absolute path. For paths the local
    /// user typed, never for a peer's.
    Ambient,
    /// An open directory; paths resolve strictly beneath it: no `..` out of it, no absolute
    /// path, no symbolic link anywhere, no magic link (openat2(2) `RESOLVE_BENEATH`,
    /// `RESOLVE_NO_SYMLINKS`).
    Beneath(Descriptor),
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are flags of openat2(2)"
)]
pub struct OpenHow {
    /// Bytes can be read.
    pub read: bool,
    /// Bytes can be written.
    pub write: bool,
    /// Made if missing, with these permission bits.
    pub create_mode: Option<u32>,
    /// With `create_mode`: fail if it exists.
    pub exclusive: bool,
    /// Emptied.
    pub truncate: bool,
    /// Bypass the page cache (`O_DIRECT`).
    pub direct: bool,
    /// Must be a directory (`O_DIRECTORY`).
    pub directory: bool,
    /// Do not wait for the other side of a FIFO (`O_NONBLOCK`): a FIFO must never hang us.
    pub non_blocking: bool,
    /// Refuse a symbolic link as the last component (`O_NOFOLLOW`).
    pub no_follow: bool,
}

impl OpenHow {
    /// Reading only, never hanging on a FIFO.
    pub const READ: Self = Self {
        read: true,
        write: false,
        create_mode: None,
        exclusive: false,
        truncate: false,
        direct: false,
        directory: false,
        non_blocking: true,
        no_follow: false,
    };

    /// Reading and writing, made with mode 0600 if missing.
    pub const READ_WRITE_CREATE: Self = Self {
        write: true,
        create_mode: Some(0o600),
        ..Self::READ
    };

    /// A directory.
    pub const DIRECTORY: Self = Self {
        directory: true,
        ..Self::READ
    };
}

/// What kind of object a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A FIFO, socket or device.
    Special,
}

/// What statx(2) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// Kind.
    pub kind: FileKind,
    /// Permission bits, set-id bits included.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Last change of the content, ns since 1970 (negative before).
    pub modified_ns: i128,
    /// Last change of the inode, ns since 1970.
    pub changed_ns: i128,
    /// Inode number.
    pub inode: u64,
    /// Device number.
    pub device: u64,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Its name, without a path.
    pub name: OsString,
    /// Its kind as the directory says; `Special` where it does not say.
    pub kind: FileKind,
}
