//! File calls without a safe wrapper.
//!
//! Invariants:
//! 1. Every pointer passed lies in a local value that outlives the call, with its exact size.
//! 2. The structs are plain numbers, valid for every bit pattern.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, OwnedFd};

use ringway_io::Errno;

/// Number of cachestat(2), the same on every architecture (6.5).
const SYS_CACHESTAT: libc::c_long = 451;

/// `struct cachestat_range`.
#[repr(C)]
struct CacheRange {
    offset: u64,
    length: u64,
}

/// `struct cachestat`: pages of a range of a file.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheStat {
    /// In the page cache.
    pub cached: u64,
    _dirty: u64,
    _writeback: u64,
    /// Were there once; for tmpfs: lie in swap.
    pub evicted: u64,
    _recently_evicted: u64,
}

/// cachestat(2).
pub(crate) fn cachestat(file: &OwnedFd, offset: u64, length: u64) -> Result<CacheStat, Errno> {
    let range = CacheRange { offset, length };
    let mut answer = CacheStat::default();
    let fd = file.as_raw_fd();
    // SAFETY: both structs are locals in the call's own layout (1, 2).
    let result =
        unsafe { libc::syscall(SYS_CACHESTAT, fd, &raw const range, &raw mut answer, 0_u32) };
    match result {
        0 => Ok(answer),
        _ => Err(last()),
    }
}

/// Bytes that wait in a pipe (`FIONREAD`).
pub(crate) fn bytes_waiting(pipe: &OwnedFd) -> Result<u32, Errno> {
    let mut waiting = 0_i32;
    // SAFETY: FIONREAD writes one int, a local (1).
    let result = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut waiting) };
    match result {
        -1 => Err(last()),
        _ => Ok(waiting.cast_unsigned()),
    }
}

fn last() -> Errno {
    Errno::of(&std::io::Error::last_os_error())
}
