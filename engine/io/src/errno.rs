//! An error number as the kernel gave it.

use std::fmt;

/// A Linux error number, always positive (errno(3)).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(pub i32);

impl Errno {
    /// The caller may not do this.
    pub const EPERM: Self = Self(1);
    /// No such file or directory.
    pub const ENOENT: Self = Self(2);
    /// Interrupted.
    pub const EINTR: Self = Self(4);
    /// The device failed.
    pub const EIO: Self = Self(5);
    /// Not an open descriptor.
    pub const EBADF: Self = Self(9);
    /// Would block; as a value, never as an error above the seam.
    pub const EAGAIN: Self = Self(11);
    /// Out of memory, or over the locked-memory limit.
    pub const ENOMEM: Self = Self(12);
    /// Permission denied.
    pub const EACCES: Self = Self(13);
    /// Already there.
    pub const EEXIST: Self = Self(17);
    /// Across file systems or outside of the root.
    pub const EXDEV: Self = Self(18);
    /// Not a directory.
    pub const ENOTDIR: Self = Self(20);
    /// Is a directory.
    pub const EISDIR: Self = Self(21);
    /// Not a valid argument.
    pub const EINVAL: Self = Self(22);
    /// Too many open files in this process.
    pub const EMFILE: Self = Self(24);
    /// No space left on the device.
    pub const ENOSPC: Self = Self(28);
    /// Nobody reads at the other end.
    pub const EPIPE: Self = Self(32);
    /// The kernel does not know this call.
    pub const ENOSYS: Self = Self(38);
    /// Too many symbolic links, or one where none is allowed.
    pub const ELOOP: Self = Self(40);
    /// Not supported on this object.
    pub const EOPNOTSUPP: Self = Self(95);
    /// The address is taken.
    pub const EADDRINUSE: Self = Self(98);
    /// Connection reset by the peer.
    pub const ECONNRESET: Self = Self(104);
    /// No buffer space; for a receive: the provided buffers ran out.
    pub const ENOBUFS: Self = Self(105);
    /// Not connected.
    pub const ENOTCONN: Self = Self(107);
    /// Timed out.
    pub const ETIMEDOUT: Self = Self(110);
    /// Nobody listens there.
    pub const ECONNREFUSED: Self = Self(111);
    /// The op was cancelled.
    pub const ECANCELED: Self = Self(125);

    /// The error number of a standard I/O error, `EIO` if it carries none.
    #[must_use]
    pub fn of(error: &std::io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(Self::EIO.0))
    }

    /// Whether the call merely found nothing to do.
    #[must_use]
    pub fn is_would_block(self) -> bool {
        self == Self::EAGAIN
    }
}

impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({}: {self})", self.0)
    }
}

impl std::error::Error for Errno {}
