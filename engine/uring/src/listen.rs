//! Listening sockets.
//!
//! A Unix socket's path gets its permission bits from the socket's own inode when it is bound, so
//! `fchmod` before `bind` leaves no moment in which it is too open (tried on 6.18: mode 0600 set
//! before, 0600 seen after). Nobody can connect before `listen` anyway.
//!
//! A path that exists is replaced only if nobody listens there. It is moved aside first and asked
//! again, so that a listener that came up in between is put back rather than unlinked.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::socket::{
    self as calls, AddressFamily, Backlog, SockFlag, SockType, UnixAddr, setsockopt, sockopt,
};
use nix::sys::stat::{Mode, fchmod};
use ringway_io::{Address, Errno, ListenOptions};

use crate::request::SocketAddress;
use crate::socket::{errno, open};

/// Makes a listening socket.
pub(crate) fn listen(address: &Address, options: ListenOptions) -> Result<OwnedFd, Errno> {
    let socket = open(address)?;
    let kernel_address = SocketAddress::of(address)?;
    match address {
        Address::Tcp(_) => {
            setsockopt(&socket, sockopt::ReuseAddr, &true).map_err(errno)?;
            if options.reuse_port {
                setsockopt(&socket, sockopt::ReusePort, &true).map_err(errno)?;
            }
            bind(&socket, &kernel_address)?;
        }
        Address::Unix(path) => bind_path(&socket, &kernel_address, path, options.unix_mode)?,
    }
    let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
    let backlog = Backlog::new(backlog).unwrap_or(Backlog::MAXCONN);
    calls::listen(&socket, backlog).map_err(errno)?;
    Ok(socket)
}

fn bind(socket: &OwnedFd, address: &SocketAddress) -> Result<(), Errno> {
    calls::bind(socket.as_raw_fd(), address.as_like()).map_err(errno)
}

fn bind_path(
    socket: &OwnedFd,
    address: &SocketAddress,
    path: &Path,
    mode: u32,
) -> Result<(), Errno> {
    let is_abstract = path.as_os_str().as_bytes().first() == Some(&0);
    let bits = Mode::from_bits_truncate(mode);
    fchmod(socket, bits).map_err(errno)?;
    match bind(socket, address) {
        Err(Errno::EADDRINUSE) if !is_abstract => {
            clear_stale(path)?;
            bind(socket, address)?;
        }
        result => result?,
    }
    if is_abstract {
        return Ok(());
    }
    // The umask may have taken bits away; it never adds any.
    let now = fs::symlink_metadata(path).map_err(|error| Errno::of(&error))?;
    if now.permissions().mode() & 0o7777 != bits.bits() {
        let wanted = fs::Permissions::from_mode(bits.bits());
        fs::set_permissions(path, wanted).map_err(|error| Errno::of(&error))?;
    }
    Ok(())
}

/// Makes room at `path` if a socket lies there that nobody listens on.
fn clear_stale(path: &Path) -> Result<(), Errno> {
    let kind = fs::symlink_metadata(path).map_err(|error| Errno::of(&error))?;
    if !kind.file_type().is_socket() || !is_stale(path) {
        return Err(Errno::EADDRINUSE);
    }
    let aside = aside(path);
    move_to(path, &aside)?;
    if is_stale(&aside) {
        let _ = fs::remove_file(&aside);
        return Ok(());
    }
    let _ = move_to(&aside, path);
    Err(Errno::EADDRINUSE)
}

/// Refused means that the socket file has no listener; anything else might have one.
fn is_stale(path: &Path) -> bool {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let Ok(socket) = calls::socket(AddressFamily::Unix, SockType::Stream, flags, None) else {
        return false;
    };
    let Ok(address) = UnixAddr::new(path) else {
        return false;
    };
    let result = calls::connect(socket.as_raw_fd(), &address);
    result == Err(nix::errno::Errno::ECONNREFUSED)
}

/// A name beside `path` that is no longer than it, so that it fits into a socket address too.
fn aside(path: &Path) -> PathBuf {
    let mut random = [0; 4];
    crate::sys::process::random(&mut random);
    let name = path.file_name().map_or(0, |name| name.len());
    let mut aside = OsString::from(".");
    for byte in random {
        aside.push(format!("{byte:02x}"));
    }
    let bytes = aside.as_bytes();
    let short = &bytes[..bytes.len().min(name.max(2))];
    path.with_file_name(std::ffi::OsStr::from_bytes(short))
}

fn move_to(from: &Path, to: &Path) -> Result<(), Errno> {
    renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE).map_err(errno)
}
