//! One kernel operation, with everything it owns.

use std::path::PathBuf;

use crate::{Address, BufferMut, BufferRef, Descriptor, Directory, Lease, OpenHow, Readiness};

/// An operation that is submitted now and completes later.
///
/// It owns its buffers and descriptors until the completion without `more`; a zero-copy send
/// until its notification. A cancelled op still completes.
#[derive(Debug)]
pub enum Op {
    /// Multishot: one completion with [`crate::Payload::Descriptor`] per accepted connection.
    /// Ends (no `more`) on error or when the kernel chose to end it: arm again.
    Accept {
        /// The listening socket.
        listener: Descriptor,
    },
    /// Completes when the connection stands.
    Connect {
        /// An unconnected socket of the address's family.
        socket: Descriptor,
        /// Where to.
        address: Address,
    },
    /// Receives into the op's own buffer. Result: bytes received, 0 at the peer's end.
    Receive {
        /// Connected socket.
        socket: Descriptor,
        /// Filled from the start of its range; comes back in [`crate::Payload::Buffer`].
        buffer: BufferMut,
        /// Wait until the whole range is full (recv(2) `MSG_WAITALL`). May still end short on
        /// error, end, cancel or signal.
        exact: bool,
    },
    /// Multishot receive into the kernel's provided buffers: one completion with
    /// [`crate::Payload::Provided`] per piece. Ends without `more` on error, end of stream
    /// (result 0), `ENOBUFS`, or silently with the last buffer: look only at `more`.
    ReceiveMultishot {
        /// Connected socket.
        socket: Descriptor,
    },
    /// Sends all of `buffer` unless the connection fails (`MSG_WAITALL | MSG_NOSIGNAL`).
    /// Result: bytes taken by the kernel.
    Send {
        /// Connected socket.
        socket: Descriptor,
        /// What to send.
        buffer: BufferRef,
        /// More follows soon: do not push a short segment (`MSG_MORE`).
        more_follows: bool,
    },
    /// Sends a registered piece without copying it, where the route allows. Two completions:
    /// the first (with `more`) frees the stream, the notification
    /// ([`crate::Payload::Notification`]) the memory. A failed one may come with or without a
    /// notification: look only at `more`.
    SendZeroCopy {
        /// Connected socket.
        socket: Descriptor,
        /// What to send.
        lease: Lease,
        /// More follows soon.
        more_follows: bool,
    },
    /// Sends several buffers in order (sendmsg(2)). Result: bytes taken.
    SendVectored {
        /// Connected socket.
        socket: Descriptor,
        /// At most 16 of them.
        buffers: Vec<BufferRef>,
        /// More follows soon.
        more_follows: bool,
    },
    /// Moves bytes of a file into a pipe, on a kernel worker. Result: bytes moved, 0 at the end
    /// of the file. The socket leg has no op on purpose: see [`crate::Kernel::splice_to_socket`].
    SpliceFromFile {
        /// Source.
        file: Descriptor,
        /// Byte offset in the file.
        offset: u64,
        /// The pipe's write end.
        pipe: Descriptor,
        /// At most this many bytes.
        length: u32,
    },
    /// Moves bytes of a pipe into a file, on a kernel worker. Result: bytes moved.
    SpliceToFile {
        /// The pipe's read end.
        pipe: Descriptor,
        /// Destination.
        file: Descriptor,
        /// Byte offset in the file.
        offset: u64,
        /// At most this many bytes.
        length: u32,
    },
    /// Reads at an offset; registered memory uses the fixed-buffer form.
    Read {
        /// Source.
        file: Descriptor,
        /// Byte offset in the file.
        offset: u64,
        /// Filled from the start of its range.
        buffer: BufferMut,
    },
    /// Writes at an offset; registered memory uses the fixed-buffer form.
    Write {
        /// Destination.
        file: Descriptor,
        /// Byte offset in the file.
        offset: u64,
        /// What to write.
        buffer: BufferRef,
    },
    /// Flushes a file to its device.
    Sync {
        /// Which.
        file: Descriptor,
        /// Only what is needed to read the data back (`fdatasync`).
        data_only: bool,
    },
    /// Opens a file: [`crate::Payload::Descriptor`].
    Open {
        /// Where the path starts.
        directory: Directory,
        /// Path.
        path: PathBuf,
        /// Flags.
        how: OpenHow,
    },
    /// Tells about a path without following a final symbolic link: [`crate::Payload::Stat`].
    /// An empty path means the directory itself.
    Stat {
        /// Where the path starts.
        directory: Directory,
        /// Path.
        path: PathBuf,
    },
    /// Tells about an open object: [`crate::Payload::Stat`].
    StatDescriptor {
        /// Which.
        file: Descriptor,
    },
    /// Renames within one file system. Both names are single components where the directory is
    /// [`Directory::Beneath`]: open the parent first.
    Rename {
        /// Where `from` starts.
        from_directory: Directory,
        /// Old name.
        from: PathBuf,
        /// Where `to` starts.
        to_directory: Directory,
        /// New name.
        to: PathBuf,
        /// Fail with `EEXIST` instead of replacing (renameat2(2) `RENAME_NOREPLACE`).
        no_replace: bool,
    },
    /// Removes a name. A single component where the directory is [`Directory::Beneath`].
    Remove {
        /// Where the path starts.
        directory: Directory,
        /// Path.
        path: PathBuf,
        /// It is an empty directory.
        is_directory: bool,
    },
    /// Makes a directory. A single component where the directory is [`Directory::Beneath`].
    MakeDirectory {
        /// Where the path starts.
        directory: Directory,
        /// Path.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// Completes once at a readiness change of a descriptor.
    Poll {
        /// Which.
        descriptor: Descriptor,
        /// What for.
        readiness: Readiness,
    },
    /// Completes with `ETIMEDOUT` (the kernel's `ETIME`, mapped) at a time of [`crate::Kernel::now_ns`].
    Timeout {
        /// When.
        at_ns: u64,
    },
    /// What has no ring op and may block: runs on the kernel's bounded helper pool.
    Blocking(BlockingCall),
}

/// A call without a ring op.
#[derive(Debug)]
pub enum BlockingCall {
    /// Resolves a host name: [`crate::Payload::Addresses`].
    Resolve {
        /// Name or literal address.
        host: String,
        /// Port to put into the answers.
        port: u16,
    },
    /// Reads a directory, unsorted, without `.` and `..`: [`crate::Payload::Entries`]. Refused
    /// with `EOVERFLOW` (75) above `entries_max`.
    ReadDirectory {
        /// Open directory.
        directory: Descriptor,
        /// Bound on the answer.
        entries_max: usize,
    },
    /// Sets permission bits and modification time.
    SetAttributes {
        /// Open file or directory.
        file: Descriptor,
        /// New permission bits.
        mode: Option<u32>,
        /// New modification time, ns since 1970.
        modified_ns: Option<i128>,
    },
    /// Sets the length.
    Truncate {
        /// Open file.
        file: Descriptor,
        /// New length, bytes.
        length: u64,
    },
    /// Reserves space without changing the length (fallocate(2) `FALLOC_FL_KEEP_SIZE`).
    Allocate {
        /// Open file.
        file: Descriptor,
        /// Up to this offset, bytes.
        length: u64,
    },
    /// Opens the same file once more, past the page cache (`O_DIRECT`), for what it is open for:
    /// [`crate::Payload::Descriptor`]. `EINVAL` where the file system has no such I/O.
    OpenDirect {
        /// Open regular file.
        file: Descriptor,
    },
    /// Flushes a whole file system (syncfs(2)).
    SyncFileSystem {
        /// Any open object on it.
        file: Descriptor,
    },
    /// Takes an advisory lock without waiting (flock(2), exclusive): `EAGAIN` when another holds it.
    Lock {
        /// Open file; the lock lives as long as this open file description.
        file: Descriptor,
    },
}
