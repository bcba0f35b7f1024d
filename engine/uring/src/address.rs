//! Addresses between the seam's form and the kernel's.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, UnixAddr};
use ringway_io::{Address, Errno};

use crate::request::SocketAddress;

impl SocketAddress {
    /// The kernel's form.
    ///
    /// # Errors
    /// `EINVAL` or `ENAMETOOLONG` for a Unix path that does not fit.
    pub(crate) fn of(address: &Address) -> Result<Self, Errno> {
        match address {
            Address::Tcp(SocketAddr::V4(address)) => Ok(Self::V4((*address).into())),
            Address::Tcp(SocketAddr::V6(address)) => Ok(Self::V6((*address).into())),
            Address::Unix(path) => {
                let bytes = path.as_os_str().as_bytes();
                let made = match bytes.split_first() {
                    Some((0, name)) => UnixAddr::new_abstract(name),
                    Some(_) => UnixAddr::new(bytes),
                    None => Err(nix::errno::Errno::EINVAL),
                };
                made.map(Self::Unix).map_err(|error| Errno(error as i32))
            }
        }
    }

    /// Its family.
    pub(crate) fn family(&self) -> AddressFamily {
        match self {
            Self::V4(_) => AddressFamily::Inet,
            Self::V6(_) => AddressFamily::Inet6,
            Self::Unix(_) => AddressFamily::Unix,
        }
    }

    /// For calls that take any address.
    pub(crate) fn as_like(&self) -> &dyn SockaddrLike {
        match self {
            Self::V4(address) => address,
            Self::V6(address) => address,
            Self::Unix(address) => address,
        }
    }
}

/// getsockname(2).
pub(crate) fn local(socket: &OwnedFd) -> Result<Address, Errno> {
    let storage = nix::sys::socket::getsockname::<SockaddrStorage>(socket.as_raw_fd());
    convert(&storage.map_err(|error| Errno(error as i32))?)
}

/// getpeername(2).
pub(crate) fn peer(socket: &OwnedFd) -> Result<Address, Errno> {
    let storage = nix::sys::socket::getpeername::<SockaddrStorage>(socket.as_raw_fd());
    convert(&storage.map_err(|error| Errno(error as i32))?)
}

fn convert(storage: &SockaddrStorage) -> Result<Address, Errno> {
    if let Some(address) = storage.as_sockaddr_in() {
        return Ok(Address::Tcp(SocketAddr::V4((*address).into())));
    }
    if let Some(address) = storage.as_sockaddr_in6() {
        return Ok(Address::Tcp(SocketAddr::V6((*address).into())));
    }
    let unix = storage.as_unix_addr().ok_or(Errno::EOPNOTSUPP)?;
    Ok(Address::Unix(unix_path(unix)))
}

/// Empty for an unnamed socket; a leading NUL marks an abstract name.
fn unix_path(address: &UnixAddr) -> PathBuf {
    if let Some(name) = address.as_abstract() {
        let mut bytes = vec![0];
        bytes.extend_from_slice(name);
        return PathBuf::from(OsStr::from_bytes(&bytes));
    }
    address.path().map(PathBuf::from).unwrap_or_default()
}
