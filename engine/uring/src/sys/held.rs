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

use std::os::fd::RawFd;

use io_uring::{opcode, squeue, types};
use ringway_io::{Descriptor, Directory, FileStat, Readiness};

use super::scratch::Scratch;
use crate::provided::GROUP;
use crate::request::{Memory, Request};

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
        Self {
            scratch: Scratch::of(&request),
            request,
        }
    }

    /// Takes it apart after its last completion.
    pub(crate) fn finish(self) -> Finished {
        let stat = self.scratch.told();
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
            Request::Read { .. } | Request::Write { .. } => self.memory_entry(),
            Request::Splice { .. } | Request::Sync { .. } => self.file_entry(),
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

    fn memory_entry(&mut self) -> squeue::Entry {
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
            other => unreachable!("{other:?} is neither read nor write"),
        }
    }

    fn file_entry(&self) -> squeue::Entry {
        match &self.request {
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
