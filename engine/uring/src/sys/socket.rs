//! Socket calls without a safe wrapper.
//!
//! Invariants:
//! 1. Every pointer passed lies in a local value that outlives the call, with its exact size.
//! 2. The structs are plain numbers, valid for every bit pattern.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, OwnedFd};

use ringway_io::Errno;

/// The beginning of `struct tcp_info` (linux/tcp.h), as far as it is used; the kernel fills as
/// much of it as it knows.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct TcpInfo {
    _state_to_flags: [u8; 8],
    _rto_to_advmss: [u32; 15],
    /// Smoothed round trip, µs.
    pub rtt_us: u32,
    _rttvar_to_rcv_space: [u32; 7],
    /// Segments sent again, ever.
    pub total_retransmits: u32,
    _pacing: [u64; 2],
    /// Bytes the peer acknowledged.
    pub bytes_acked: u64,
    /// Bytes received in order.
    pub bytes_received: u64,
    _segs: [u32; 2],
    /// Bytes given to the kernel and not yet sent.
    pub notsent_bytes: u32,
}

const _: () = assert!(
    std::mem::offset_of!(TcpInfo, rtt_us) == 68
        && std::mem::offset_of!(TcpInfo, total_retransmits) == 100
        && std::mem::offset_of!(TcpInfo, bytes_acked) == 120
        && std::mem::offset_of!(TcpInfo, bytes_received) == 128
        && std::mem::offset_of!(TcpInfo, notsent_bytes) == 144
);

/// Sets an integer option.
pub(crate) fn set_integer(
    socket: &OwnedFd,
    level: i32,
    name: i32,
    value: i32,
) -> Result<(), Errno> {
    let size = size_of::<i32>() as libc::socklen_t;
    let pointer = (&raw const value).cast();
    // SAFETY: `value` is a local of `size` bytes (1).
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, pointer, size) };
    done(result)
}

/// Reads `TCP_INFO`.
pub(crate) fn tcp_info(socket: &OwnedFd) -> Result<TcpInfo, Errno> {
    let mut info = TcpInfo::default();
    let mut size = size_of::<TcpInfo>() as libc::socklen_t;
    let pointer = (&raw mut info).cast();
    let fd = socket.as_raw_fd();
    // SAFETY: `info` is a local of `size` bytes (1), valid whatever is written (2).
    let result = unsafe {
        libc::getsockopt(
            fd,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            pointer,
            &raw mut size,
        )
    };
    done(result).map(|()| info)
}

/// Address family of a socket (`SO_DOMAIN`).
pub(crate) fn domain(socket: &OwnedFd) -> Result<i32, Errno> {
    let mut domain = 0_i32;
    let mut size = size_of::<i32>() as libc::socklen_t;
    let pointer = (&raw mut domain).cast();
    let fd = socket.as_raw_fd();
    // SAFETY: `domain` is a local of `size` bytes (1).
    let result = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_DOMAIN,
            pointer,
            &raw mut size,
        )
    };
    done(result).map(|()| domain)
}

/// Dissolves a connection: `connect` to `AF_UNSPEC` (connect(2)), which resets a TCP peer.
pub(crate) fn disconnect(socket: &OwnedFd) -> Result<(), Errno> {
    let nobody = libc::sockaddr {
        sa_family: libc::AF_UNSPEC as libc::sa_family_t,
        sa_data: [0; 14],
    };
    let size = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: `nobody` is a local of `size` bytes (1).
    let result = unsafe { libc::connect(socket.as_raw_fd(), &raw const nobody, size) };
    done(result)
}

fn done(result: i32) -> Result<(), Errno> {
    match result {
        -1 => Err(Errno::of(&std::io::Error::last_os_error())),
        _ => Ok(()),
    }
}
