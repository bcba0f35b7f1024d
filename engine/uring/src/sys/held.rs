//! What a submitted entry points to, and the entry built from it.
//!
//! Building an entry is safe: it only writes down addresses. `ring` is what hands them to the
//! kernel, under the promise made here.
//!
//! Invariants:
//! 1. Every address in an entry of [`Held::entry`] points into heap memory, an arena piece or a
//!    `Stable` owned by the same `Held`, never into the `Held` itself: it may be moved.
//! 2. Lengths in the entry never exceed the memory behind the address: both come from one slice.
//! 3. After `entry`, nothing in the `Held` is touched until it is finished: its fields are private
//!    and only `finish` takes it apart.
#![allow(unsafe_code)]

use std::os::fd::RawFd;

use io_uring::{opcode, squeue, types};
use nix::sys::socket::SockaddrLike;
use ringway_io::{BufferRef, Descriptor, Directory, FileStat, Readiness};

use super::stable::Stable;
use crate::provided::GROUP;
use crate::request::{Memory, OpenFlags, Request, SocketAddress};
use crate::stat::file_stat;

/// The one registered buffer: a prefix of the arena.
pub(crate) const ARENA_BUFFER_INDEX: u16 = 0;

/// `IORING_SEND_ZC_REPORT_USAGE` (io_uring_prep_send_zc(3), 6.2).
const SEND_ZC_REPORT_USAGE: u16 = 1 << 3;

/// A read or write moves at most this much (`MAX_RW_COUNT`, read(2)).
const TRANSFER_BYTES_MAX: usize = 0x7fff_f000;

/// Buffers of one vectored send.
pub(crate) const VECTORS_MAX: usize = 16;

/// A request in flight.
pub(crate) struct Held {
    request: Request,
    scratch: Scratch,
}

/// Arguments and answers that the kernel reads and writes by address.
enum Scratch {
    None,
    Address(Stable<SocketAddress>),
    Time(Stable<types::Timespec>),
    OpenHow(Stable<types::OpenHow>),
    Stat(Stable<libc::statx>),
    Message(Stable<Message>),
}

struct Message {
    header: libc::msghdr,
    vectors: [libc::iovec; VECTORS_MAX],
}

// SAFETY: the addresses inside point into buffers of the same `Held` (1), which travel with it.
unsafe impl Send for Message {}

/// A request that the kernel is done with.
pub(crate) struct Finished {
    /// What was asked, with what it owned.
    pub request: Request,
    /// What a stat told.
    pub stat: Option<FileStat>,
}

impl Held {
    /// Prepares the memory an entry needs besides the request's own.
    pub(crate) fn new(request: Request) -> Self {
        let scratch = match &request {
            Request::Connect { address, .. } => Scratch::Address(Stable::new(*address)),
            Request::Timeout { after_ns } => Scratch::Time(Stable::new(timespec(*after_ns))),
            Request::Open { how, .. } => Scratch::OpenHow(Stable::new(open_how(*how))),
            Request::Stat { .. } => Scratch::Stat(Stable::new(empty_stat())),
            Request::SendVectored { buffers, .. } => {
                Scratch::Message(Stable::new(Message::new(buffers)))
            }
            _ => Scratch::None,
        };
        if let Scratch::Message(message) = &scratch {
            Message::link(message);
        }
        Self { request, scratch }
    }

    /// Takes it apart after its last completion.
    pub(crate) fn finish(self) -> Finished {
        let stat = match &self.scratch {
            Scratch::Stat(stat) => Some(file_stat(&stat.get())),
            _ => None,
        };
        Finished {
            request: self.request,
            stat,
        }
    }

    /// The request, for reading while in flight.
    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// The entry that asks the kernel for it.
    pub(crate) fn entry(&mut self) -> squeue::Entry {
        match &mut self.request {
            Request::Accept { .. }
            | Request::Connect { .. }
            | Request::Poll { .. }
            | Request::Timeout { .. } => self.waiting_entry(),
            Request::Receive { .. } | Request::ReceiveProvided { .. } => self.receiving_entry(),
            Request::Send { .. } | Request::SendZeroCopy { .. } | Request::SendVectored { .. } => {
                self.sending_entry()
            }
            Request::Read { .. }
            | Request::Write { .. }
            | Request::Splice { .. }
            | Request::Sync { .. } => self.file_entry(),
            Request::Open { .. }
            | Request::Stat { .. }
            | Request::Rename { .. }
            | Request::Remove { .. }
            | Request::MakeDirectory { .. } => self.path_entry(),
        }
    }

    fn waiting_entry(&self) -> squeue::Entry {
        let accept_flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        match &self.request {
            Request::Accept {
                listener,
                multishot: true,
            } => opcode::AcceptMulti::new(fd(listener))
                .flags(accept_flags)
                .build(),
            Request::Accept { listener, .. } => {
                opcode::Accept::new(fd(listener), std::ptr::null_mut(), std::ptr::null_mut())
                    .flags(accept_flags)
                    .build()
            }
            Request::Connect { socket, address } => {
                opcode::Connect::new(fd(socket), self.scratch.address(), address.length()).build()
            }
            Request::Poll {
                descriptor,
                readiness,
            } => opcode::PollAdd::new(fd(descriptor), poll_mask(*readiness)).build(),
            _ => opcode::Timeout::new(self.scratch.time()).build(),
        }
    }

    fn receiving_entry(&mut self) -> squeue::Entry {
        match &mut self.request {
            Request::Receive {
                socket,
                buffer,
                exact,
            } => {
                let slice = buffer.as_mut_slice();
                let flags = if *exact { libc::MSG_WAITALL } else { 0 };
                opcode::Recv::new(fd(socket), slice.as_mut_ptr(), length(slice))
                    .flags(flags)
                    .build()
            }
            Request::ReceiveProvided {
                socket,
                multishot: true,
            } => opcode::RecvMulti::new(fd(socket), GROUP).build(),
            other => {
                let socket = other.descriptors()[0].map_or(types::Fd(-1), fd);
                opcode::Recv::new(socket, std::ptr::null_mut(), 0)
                    .buf_group(GROUP)
                    .build()
                    .flags(squeue::Flags::BUFFER_SELECT)
            }
        }
    }

    fn sending_entry(&self) -> squeue::Entry {
        match &self.request {
            Request::SendZeroCopy {
                socket,
                lease,
                more_follows,
                memory,
                report_usage,
            } => {
                let index = (*memory == Memory::Registered).then_some(ARENA_BUFFER_INDEX);
                opcode::SendZc::new(fd(socket), lease.as_ptr(), length(lease))
                    .buf_index(index)
                    .flags(send_flags(*more_follows))
                    .zc_flags(if *report_usage {
                        SEND_ZC_REPORT_USAGE
                    } else {
                        0
                    })
                    .build()
            }
            Request::Send {
                socket,
                buffer,
                more_follows,
            } => {
                let slice = buffer.as_slice();
                opcode::Send::new(fd(socket), slice.as_ptr(), length(slice))
                    .flags(send_flags(*more_follows))
                    .build()
            }
            other => {
                let more_follows = matches!(
                    other,
                    Request::SendVectored {
                        more_follows: true,
                        ..
                    }
                );
                let socket = other.descriptors()[0].map_or(types::Fd(-1), fd);
                opcode::SendMsg::new(socket, self.scratch.message())
                    .flags(send_flags(more_follows).cast_unsigned())
                    .build()
            }
        }
    }

    fn file_entry(&mut self) -> squeue::Entry {
        match &mut self.request {
            Request::Read {
                file,
                offset,
                buffer,
                memory,
            } => {
                let slice = buffer.as_mut_slice();
                let (pointer, length) = (slice.as_mut_ptr(), length(slice));
                match memory {
                    Memory::Plain => opcode::Read::new(fd(file), pointer, length)
                        .offset(*offset)
                        .build(),
                    Memory::Registered => {
                        opcode::ReadFixed::new(fd(file), pointer, length, ARENA_BUFFER_INDEX)
                            .offset(*offset)
                            .build()
                    }
                }
            }
            Request::Write {
                file,
                offset,
                buffer,
                memory,
            } => {
                let slice = buffer.as_slice();
                let (pointer, length) = (slice.as_ptr(), length(slice));
                match memory {
                    Memory::Plain => opcode::Write::new(fd(file), pointer, length)
                        .offset(*offset)
                        .build(),
                    Memory::Registered => {
                        opcode::WriteFixed::new(fd(file), pointer, length, ARENA_BUFFER_INDEX)
                            .offset(*offset)
                            .build()
                    }
                }
            }
            Request::Splice {
                from,
                from_offset,
                to,
                to_offset,
                length,
            } => opcode::Splice::new(
                fd(from),
                splice_offset(*from_offset),
                fd(to),
                splice_offset(*to_offset),
                *length,
            )
            .build(),
            other => {
                let data_only = matches!(
                    other,
                    Request::Sync {
                        data_only: true,
                        ..
                    }
                );
                let file = other.descriptors()[0].map_or(types::Fd(-1), fd);
                let flags = if data_only {
                    types::FsyncFlags::DATASYNC
                } else {
                    types::FsyncFlags::empty()
                };
                opcode::Fsync::new(file).flags(flags).build()
            }
        }
    }

    fn path_entry(&self) -> squeue::Entry {
        match &self.request {
            Request::Open {
                directory, path, ..
            } => opcode::OpenAt2::new(
                types::Fd(start(directory)),
                path.as_ptr(),
                self.scratch.open_how(),
            )
            .build(),
            Request::Rename {
                from_directory,
                from,
                to_directory,
                to,
                no_replace,
            } => opcode::RenameAt::new(
                types::Fd(start(from_directory)),
                from.as_ptr(),
                types::Fd(start(to_directory)),
                to.as_ptr(),
            )
            .flags(if *no_replace {
                libc::RENAME_NOREPLACE
            } else {
                0
            })
            .build(),
            Request::Remove {
                directory,
                path,
                is_directory,
            } => opcode::UnlinkAt::new(types::Fd(start(directory)), path.as_ptr())
                .flags(if *is_directory { libc::AT_REMOVEDIR } else { 0 })
                .build(),
            Request::MakeDirectory {
                directory,
                path,
                mode,
            } => opcode::MkDirAt::new(types::Fd(start(directory)), path.as_ptr())
                .mode(*mode)
                .build(),
            other => self.stat_entry(other),
        }
    }

    fn stat_entry(&self, request: &Request) -> squeue::Entry {
        let (directory, path) = match request {
            Request::Stat { directory, path } => (
                directory.as_ref().map_or(libc::AT_FDCWD, raw),
                path.as_ref(),
            ),
            _ => (-1, c""),
        };
        let mut flags = libc::AT_SYMLINK_NOFOLLOW;
        if path.is_empty() {
            flags |= libc::AT_EMPTY_PATH;
        }
        opcode::Statx::new(types::Fd(directory), path.as_ptr(), self.scratch.stat())
            .flags(flags)
            .mask(libc::STATX_BASIC_STATS)
            .build()
    }
}

impl Scratch {
    fn address(&self) -> *const libc::sockaddr {
        match self {
            Self::Address(address) => SocketAddress::pointer(address),
            _ => std::ptr::null(),
        }
    }

    fn time(&self) -> *const types::Timespec {
        match self {
            Self::Time(time) => time.as_ptr(),
            _ => std::ptr::null(),
        }
    }

    fn open_how(&self) -> *const types::OpenHow {
        match self {
            Self::OpenHow(how) => how.as_ptr(),
            _ => std::ptr::null(),
        }
    }

    fn stat(&self) -> *mut types::statx {
        match self {
            Self::Stat(stat) => stat.as_ptr().cast(),
            _ => std::ptr::null_mut(),
        }
    }

    fn message(&self) -> *const libc::msghdr {
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

fn raw(descriptor: &Descriptor) -> RawFd {
    // A simulated object has no number; -1 makes the kernel say EBADF.
    descriptor.os_number().unwrap_or(-1)
}

fn fd(descriptor: &Descriptor) -> types::Fd {
    types::Fd(raw(descriptor))
}

fn start(directory: &Directory) -> RawFd {
    match directory {
        Directory::Ambient => libc::AT_FDCWD,
        Directory::Beneath(descriptor) => raw(descriptor),
    }
}

fn length(slice: &[u8]) -> u32 {
    u32::try_from(slice.len().min(TRANSFER_BYTES_MAX)).unwrap_or(u32::MAX)
}

fn send_flags(more_follows: bool) -> i32 {
    let more = if more_follows { libc::MSG_MORE } else { 0 };
    libc::MSG_WAITALL | libc::MSG_NOSIGNAL | more
}

fn splice_offset(offset: Option<u64>) -> i64 {
    // -1 stands for "this side is a pipe"; an offset beyond i64 is refused before (`lower`).
    offset.map_or(-1, |offset| i64::try_from(offset).unwrap_or(i64::MAX))
}

fn poll_mask(readiness: Readiness) -> u32 {
    let mask = match readiness {
        Readiness::Readable => libc::POLLIN | libc::POLLRDHUP,
        Readiness::Writable => libc::POLLOUT,
    };
    u32::from(mask.cast_unsigned())
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
