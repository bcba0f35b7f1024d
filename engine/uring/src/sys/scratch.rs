//! Arguments and answers that the kernel reads and writes by address.
//!
//! Invariants:
//! 1. The addresses inside of a `Message` point into buffers of the request beside it in the same
//!    `Held`, and into itself; they travel with both.
//! 2. Each value lies in a `Stable`: its address holds until the `Held` is taken apart.
#![allow(unsafe_code)]

use io_uring::types;
use nix::sys::socket::SockaddrLike;
use ringway_io::{BufferRef, FileStat};

use super::held::VECTORS_MAX;
use super::stable::Stable;
use crate::request::{OpenFlags, Request, SocketAddress};
use crate::stat::file_stat;

/// Arguments and answers that the kernel reads and writes by address.
pub(super) enum Scratch {
    None,
    Address(Stable<SocketAddress>),
    Time(Stable<types::Timespec>),
    OpenHow(Stable<types::OpenHow>),
    Stat(Stable<libc::statx>),
    Message(Stable<Message>),
}

pub(super) struct Message {
    header: libc::msghdr,
    vectors: [libc::iovec; VECTORS_MAX],
}

// SAFETY: the addresses inside point into buffers of the same `Held` (1), which travel with it.
unsafe impl Send for Message {}

impl Scratch {
    /// Prepares what `request` needs besides its own memory.
    pub(super) fn of(request: &Request) -> Self {
        match request {
            Request::Connect { address, .. } => Self::Address(Stable::new(*address)),
            Request::Timeout { after_ns } => Self::Time(Stable::new(timespec(*after_ns))),
            Request::Open { how, .. } => Self::OpenHow(Stable::new(open_how(*how))),
            Request::Stat { .. } => Self::Stat(Stable::new(empty_stat())),
            Request::SendVectored { buffers, .. } => {
                let message = Stable::new(Message::new(buffers));
                Message::link(&message);
                Self::Message(message)
            }
            _ => Self::None,
        }
    }

    /// What a stat told. Call it when the kernel is done.
    pub(super) fn told(&self) -> Option<FileStat> {
        match self {
            Self::Stat(stat) => Some(file_stat(&stat.get())),
            _ => None,
        }
    }

    /// Where a socket address lies.
    pub(super) fn address(&self) -> *const libc::sockaddr {
        match self {
            Self::Address(address) => SocketAddress::pointer(address),
            _ => std::ptr::null(),
        }
    }

    /// Where a time lies.
    pub(super) fn time(&self) -> *const types::Timespec {
        match self {
            Self::Time(time) => time.as_ptr(),
            _ => std::ptr::null(),
        }
    }

    /// Where the arguments of openat2(2) lie.
    pub(super) fn open_how(&self) -> *const types::OpenHow {
        match self {
            Self::OpenHow(how) => how.as_ptr(),
            _ => std::ptr::null(),
        }
    }

    /// Where a stat is to be written.
    pub(super) fn stat(&self) -> *mut types::statx {
        match self {
            Self::Stat(stat) => stat.as_ptr().cast(),
            _ => std::ptr::null_mut(),
        }
    }

    /// Where the header of a vectored send lies.
    pub(super) fn message(&self) -> *const libc::msghdr {
        match self {
            // The header is the first field of a `repr(Rust)` struct only by chance: ask for it.
            Self::Message(message) => Message::header(message),
            _ => std::ptr::null(),
        }
    }
}

impl Message {
    fn new(buffers: &[BufferRef]) -> Self {
        let nothing = libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        let mut vectors = [nothing; VECTORS_MAX];
        for (vector, buffer) in vectors.iter_mut().zip(buffers) {
            let slice = buffer.as_slice();
            vector.iov_base = slice.as_ptr().cast_mut().cast();
            vector.iov_len = slice.len();
        }
        // SAFETY: `msghdr` is plain numbers and pointers, for which all zeroes is a value.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iovlen = buffers.len().min(VECTORS_MAX) as _;
        Self { header, vectors }
    }

    /// Lets the header point to the vectors beside it, now that both lie where they stay.
    fn link(message: &Stable<Self>) {
        let base = message.as_ptr();
        // SAFETY: `base` is alive and nobody else has seen it yet (`Stable`, 1).
        let vectors = unsafe { &raw mut (*base).vectors };
        // SAFETY: as above.
        unsafe { (*base).header.msg_iov = vectors.cast() };
    }

    fn header(message: &Stable<Self>) -> *const libc::msghdr {
        let base = message.as_ptr();
        // SAFETY: `base` is alive (`Stable`, 1); only an address is taken.
        unsafe { &raw const (*base).header }
    }
}

impl SocketAddress {
    /// Size in the kernel's form.
    pub(crate) fn length(&self) -> libc::socklen_t {
        match self {
            Self::V4(address) => address.len(),
            Self::V6(address) => address.len(),
            Self::Unix(address) => address.len(),
        }
    }

    fn pointer(stable: &Stable<Self>) -> *const libc::sockaddr {
        // SAFETY: the value is alive and only read, by us and by the kernel (`Stable`, 1).
        let address = unsafe { &*stable.as_ptr() };
        match address {
            Self::V4(address) => address.as_ptr(),
            Self::V6(address) => address.as_ptr(),
            Self::Unix(address) => address.as_ptr().cast(),
        }
    }
}

fn timespec(after_ns: u64) -> types::Timespec {
    types::Timespec::from(std::time::Duration::from_nanos(after_ns))
}

fn open_how(how: OpenFlags) -> types::OpenHow {
    types::OpenHow::new()
        .flags(how.flags)
        .mode(how.mode)
        .resolve(how.resolve)
}

fn empty_stat() -> libc::statx {
    // SAFETY: `statx` is plain numbers, for which all zeroes is a value.
    unsafe { std::mem::zeroed() }
}
