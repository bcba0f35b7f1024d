//! Immediate splices: between a pipe and a file, a lease or a socket, never waiting.
//!
//! `SPLICE_F_NONBLOCK` covers the pipe and a non-blocking socket. It does not cover the disk: a
//! cold MiB takes 1.5–3 ms where a hot one takes 0.1 ms (6.18), so the caller asks for residency
//! first.

use std::os::fd::OwnedFd;

use nix::fcntl::{SpliceFFlags, splice};
use ringway_io::Errno;

use crate::socket::errno;
use crate::sys::process::PipeSignalBlocked;

/// File or memfd → pipe.
pub(crate) fn from_file(
    file: &OwnedFd,
    offset: u64,
    pipe: &OwnedFd,
    length: u32,
) -> Result<u32, Errno> {
    let mut offset = i64::try_from(offset).map_err(|_| Errno::EINVAL)?;
    retry(|| {
        splice(
            file,
            Some(&mut offset),
            pipe,
            None,
            length as usize,
            SpliceFFlags::SPLICE_F_NONBLOCK,
        )
    })
}

/// Pipe → socket. A broken connection is an error, never a signal.
pub(crate) fn to_socket(
    pipe: &OwnedFd,
    socket: &OwnedFd,
    length: u32,
    more_follows: bool,
) -> Result<u32, Errno> {
    let mut flags = SpliceFFlags::SPLICE_F_NONBLOCK;
    flags.set(SpliceFFlags::SPLICE_F_MORE, more_follows);
    let signal = PipeSignalBlocked::new();
    let result = retry(|| splice(pipe, None, socket, None, length as usize, flags));
    // Also with a part: what breaks behind that is told by the signal alone.
    if result != Ok(length) {
        signal.discard();
    }
    result
}

/// Socket → pipe.
pub(crate) fn from_socket(socket: &OwnedFd, pipe: &OwnedFd, length: u32) -> Result<u32, Errno> {
    let flags = SpliceFFlags::SPLICE_F_NONBLOCK;
    retry(|| splice(socket, None, pipe, None, length as usize, flags))
}

fn retry(mut call: impl FnMut() -> nix::Result<usize>) -> Result<u32, Errno> {
    loop {
        match call() {
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(errno(error)),
            Ok(moved) => return Ok(u32::try_from(moved).unwrap_or(u32::MAX)),
        }
    }
}
