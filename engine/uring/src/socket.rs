//! Immediate calls on sockets.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    self as calls, MsgFlags, Shutdown, SockFlag, SockType, setsockopt, sockopt,
};
use nix::sys::stat::{SFlag, fstat};
use ringway_io::{
    Address, Descriptor, Errno, PeerCredentials, ShutdownHow, SocketOption, SocketStatistics,
};

use crate::address;
use crate::request::SocketAddress;
use crate::sys::socket as raw;

/// This option is none of this protocol's (errno(3)).
const ENOPROTOOPT: Errno = Errno(libc::ENOPROTOOPT);

/// The open object, or `EBADF` for a simulated one.
pub(crate) fn os(descriptor: &Descriptor) -> Result<&OwnedFd, Errno> {
    descriptor.os().ok_or(Errno::EBADF)
}

/// A number of nix as one of the seam.
pub(crate) fn errno(error: nix::errno::Errno) -> Errno {
    Errno(error as i32)
}

/// An unconnected, non-blocking stream socket.
pub(crate) fn open(address: &Address) -> Result<OwnedFd, Errno> {
    let family = SocketAddress::of(address)?.family();
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    calls::socket(family, SockType::Stream, flags, None).map_err(errno)
}

/// Takes a descriptor from outside. Sockets and pipes become non-blocking: splice waits in the
/// kernel on any other, whatever its flags say. Files stay as they are: a ring read of a
/// non-blocking one may run inline on file systems that ignore the wish not to wait.
pub(crate) fn adopt(descriptor: OwnedFd) -> Result<Descriptor, Errno> {
    let kind = kind(&descriptor)?;
    if kind == SFlag::S_IFSOCK || kind == SFlag::S_IFIFO {
        set_non_blocking(&descriptor, true)?;
    }
    Ok(Descriptor::from_os(descriptor))
}

/// What kind of object it is.
pub(crate) fn kind(descriptor: &OwnedFd) -> Result<SFlag, Errno> {
    let stat = fstat(descriptor).map_err(errno)?;
    Ok(SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT)
}

/// Sets or clears `O_NONBLOCK`.
pub(crate) fn set_non_blocking(descriptor: &OwnedFd, on: bool) -> Result<(), Errno> {
    let flags = fcntl(descriptor, FcntlArg::F_GETFL).map_err(errno)?;
    let mut flags = OFlag::from_bits_retain(flags);
    if flags.contains(OFlag::O_NONBLOCK) != on {
        flags.set(OFlag::O_NONBLOCK, on);
        fcntl(descriptor, FcntlArg::F_SETFL(flags)).map_err(errno)?;
    }
    Ok(())
}

/// Sends what the socket takes now.
pub(crate) fn send_now(socket: &OwnedFd, bytes: &[u8], more_follows: bool) -> Result<usize, Errno> {
    let mut flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    // nix has no name for it.
    flags.set(MsgFlags::from_bits_retain(libc::MSG_MORE), more_follows);
    loop {
        match calls::send(socket.as_raw_fd(), bytes, flags) {
            Err(nix::errno::Errno::EINTR) => {}
            result => return result.map_err(errno),
        }
    }
}

/// Sets an option; one that this kind of socket does not have is no error.
pub(crate) fn set_option(socket: &OwnedFd, option: SocketOption) -> Result<(), Errno> {
    let result = match option {
        SocketOption::NoDelay(on) => setsockopt(socket, sockopt::TcpNoDelay, &on).map_err(errno),
        SocketOption::SendBufferBytes(bytes) => {
            setsockopt(socket, sockopt::SndBuf, &(bytes as usize)).map_err(errno)
        }
        SocketOption::ReceiveBufferBytes(bytes) => {
            setsockopt(socket, sockopt::RcvBuf, &(bytes as usize)).map_err(errno)
        }
        SocketOption::UserTimeoutMs(ms) => {
            setsockopt(socket, sockopt::TcpUserTimeout, &ms).map_err(errno)
        }
        SocketOption::ReceiveLowWatermarkBytes(bytes) => {
            set_integer(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT, bytes)
        }
        SocketOption::CongestionControl(name) => {
            setsockopt(socket, sockopt::TcpCongestion, &OsString::from(name)).map_err(errno)
        }
    };
    match result {
        Err(ENOPROTOOPT | Errno::EOPNOTSUPP) => Ok(()),
        other => other,
    }
}

fn set_integer(socket: &OwnedFd, level: i32, name: i32, value: u32) -> Result<(), Errno> {
    let value = i32::try_from(value).unwrap_or(i32::MAX);
    raw::set_integer(socket, level, name, value)
}

/// Who is at the other end of a Unix socket.
pub(crate) fn peer_credentials(socket: &OwnedFd) -> Result<PeerCredentials, Errno> {
    if !is_unix(socket) {
        return Err(Errno::EOPNOTSUPP);
    }
    let found = calls::getsockopt(socket, sockopt::PeerCredentials).map_err(errno)?;
    Ok(PeerCredentials {
        pid: found.pid(),
        uid: found.uid(),
        gid: found.gid(),
    })
}

/// Whether it is a Unix socket.
pub(crate) fn is_unix(socket: &OwnedFd) -> bool {
    raw::domain(socket) == Ok(libc::AF_UNIX)
}

/// What the kernel counted for a socket (tcp(7) `TCP_INFO`); only TCP counts. Needs no ring.
#[must_use]
pub fn statistics(socket: &OwnedFd) -> Option<SocketStatistics> {
    if is_unix(socket) {
        return None;
    }
    let info = raw::tcp_info(socket).ok()?;
    Some(SocketStatistics {
        retransmits: info.total_retransmits.into(),
        round_trip_ns: u64::from(info.rtt_us) * 1000,
        bytes_acked: info.bytes_acked,
        bytes_received: info.bytes_received,
        not_sent_bytes: info.notsent_bytes.into(),
    })
}

/// shutdown(2); a socket that is not connected has nothing to shut.
pub(crate) fn shutdown(socket: &OwnedFd, how: ShutdownHow) {
    let how = match how {
        ShutdownHow::Send => Shutdown::Write,
        ShutdownHow::Both => Shutdown::Both,
    };
    let _ = calls::shutdown(socket.as_raw_fd(), how);
}

/// Resets a TCP connection; shuts a Unix one.
pub(crate) fn reset(socket: &OwnedFd) {
    if is_unix(socket) || raw::disconnect(socket).is_err() {
        shutdown(socket, ShutdownHow::Both);
    }
}

/// Where a socket is bound.
pub(crate) fn local_address(socket: &OwnedFd) -> Result<Address, Errno> {
    address::local(socket)
}

/// Whom a socket is connected to.
pub(crate) fn peer_address(socket: &OwnedFd) -> Result<Address, Errno> {
    address::peer(socket)
}
