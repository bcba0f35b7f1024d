//! What one entry of the ring asks for, with everything it owns.
//!
//! Close to the kernel's own vocabulary: the choice between multishot and single, registered and
//! plain memory is already made (see `lower`). The pointers are derived in `sys::held`, once the
//! request lies where it stays until its last completion.

use std::ffi::CString;

use nix::sys::socket::{SockaddrIn, SockaddrIn6, UnixAddr};
use ringway_io::{BufferMut, BufferRef, Descriptor, Directory, Lease, Readiness};

/// One kernel operation of the ring.
#[derive(Debug)]
pub(crate) enum Request {
    Accept {
        listener: Descriptor,
        multishot: bool,
    },
    Connect {
        socket: Descriptor,
        address: SocketAddress,
    },
    Receive {
        socket: Descriptor,
        buffer: BufferMut,
        exact: bool,
    },
    /// Into a buffer of the provided ring.
    ReceiveProvided {
        socket: Descriptor,
        multishot: bool,
    },
    Send {
        socket: Descriptor,
        buffer: BufferRef,
        more_follows: bool,
    },
    SendZeroCopy {
        socket: Descriptor,
        lease: Lease,
        more_follows: bool,
        memory: Memory,
        report_usage: bool,
    },
    SendVectored {
        socket: Descriptor,
        buffers: Vec<BufferRef>,
        more_follows: bool,
    },
    Splice {
        from: Descriptor,
        from_offset: Option<u64>,
        to: Descriptor,
        to_offset: Option<u64>,
        length: u32,
    },
    Read {
        file: Descriptor,
        offset: u64,
        buffer: BufferMut,
        memory: Memory,
    },
    Write {
        file: Descriptor,
        offset: u64,
        buffer: BufferRef,
        memory: Memory,
    },
    Sync {
        file: Descriptor,
        data_only: bool,
    },
    Open {
        directory: Directory,
        path: CString,
        how: OpenFlags,
        purpose: OpenPurpose,
    },
    Stat {
        /// `None`: the working directory.
        directory: Option<Descriptor>,
        /// Empty: the directory itself.
        path: CString,
    },
    Rename {
        from_directory: Directory,
        from: CString,
        to_directory: Directory,
        to: CString,
        no_replace: bool,
    },
    Remove {
        directory: Directory,
        path: CString,
        is_directory: bool,
    },
    MakeDirectory {
        directory: Directory,
        path: CString,
        mode: u32,
    },
    Poll {
        descriptor: Descriptor,
        readiness: Readiness,
    },
    /// After this many ns from submission.
    Timeout {
        after_ns: u64,
    },
}

/// Which form of a memory operand the entry uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Pinned for each op.
    Plain,
    /// Inside of the registered part of the arena.
    Registered,
}

/// A socket address in the kernel's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketAddress {
    V4(SockaddrIn),
    V6(SockaddrIn6),
    Unix(UnixAddr),
}

/// Arguments of openat2(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenFlags {
    pub flags: u64,
    pub mode: u64,
    pub resolve: u64,
}

/// What the descriptor of an [`Request::Open`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenPurpose {
    /// The submitter gets it.
    Hand,
    /// Only to be told about: the first half of a stat strictly beneath a directory.
    Stat,
}

impl Request {
    /// Whether success is a new descriptor.
    pub(crate) fn makes_descriptor(&self) -> bool {
        matches!(self, Self::Accept { .. } | Self::Open { .. })
    }

    /// Whether the kernel waits for a peer or a clock, rather than for a worker or a disk: such an
    /// op can always be cancelled, though not in each moment.
    pub(crate) fn waits(&self) -> bool {
        match self {
            Self::Accept { .. }
            | Self::Connect { .. }
            | Self::Receive { .. }
            | Self::ReceiveProvided { .. }
            | Self::Send { .. }
            | Self::SendZeroCopy { .. }
            | Self::SendVectored { .. }
            | Self::Poll { .. }
            | Self::Timeout { .. } => true,
            Self::Splice { .. }
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Sync { .. }
            | Self::Open { .. }
            | Self::Stat { .. }
            | Self::Rename { .. }
            | Self::Remove { .. }
            | Self::MakeDirectory { .. } => false,
        }
    }

    /// Objects it names, for cancelling by object.
    pub(crate) fn descriptors(&self) -> [Option<&Descriptor>; 2] {
        match self {
            Self::Accept { listener: one, .. }
            | Self::Connect { socket: one, .. }
            | Self::Receive { socket: one, .. }
            | Self::ReceiveProvided { socket: one, .. }
            | Self::Send { socket: one, .. }
            | Self::SendZeroCopy { socket: one, .. }
            | Self::SendVectored { socket: one, .. }
            | Self::Read { file: one, .. }
            | Self::Write { file: one, .. }
            | Self::Sync { file: one, .. }
            | Self::Poll {
                descriptor: one, ..
            } => [Some(one), None],
            Self::Splice { from, to, .. } => [Some(from), Some(to)],
            Self::Stat { directory, .. } => [directory.as_ref(), None],
            Self::Open { directory, .. }
            | Self::Remove { directory, .. }
            | Self::MakeDirectory { directory, .. } => [beneath(directory), None],
            Self::Rename {
                from_directory,
                to_directory,
                ..
            } => [beneath(from_directory), beneath(to_directory)],
            Self::Timeout { .. } => [None, None],
        }
    }
}

fn beneath(directory: &Directory) -> Option<&Descriptor> {
    match directory {
        Directory::Ambient => None,
        Directory::Beneath(descriptor) => Some(descriptor),
    }
}
