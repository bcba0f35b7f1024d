//! A kernel object that stays open for as long as somebody holds it.

use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// A socket, file, directory or pipe end.
///
/// Clones share the object; it is closed when the last clone is dropped. An [`crate::Op`] holds a
/// clone until its last completion, so a number is never reused while the kernel may still act on
/// it, and a late completion can never be taken for another object's.
#[derive(Clone)]
pub struct Descriptor(Arc<Inner>);

enum Inner {
    Os(OwnedFd),
    Simulated {
        number: u64,
        on_close: Arc<dyn CloseSimulated>,
    },
}

/// Told when the last holder of a simulated descriptor lets go.
pub trait CloseSimulated: Send + Sync {
    /// The descriptor `number` has no holder any more.
    fn close(&self, number: u64);
}

impl Descriptor {
    /// Takes ownership of an operating-system descriptor.
    #[must_use]
    pub fn from_os(fd: OwnedFd) -> Self {
        Self(Arc::new(Inner::Os(fd)))
    }

    /// Makes the descriptor of a simulated object.
    #[must_use]
    pub fn simulated(number: u64, on_close: Arc<dyn CloseSimulated>) -> Self {
        Self(Arc::new(Inner::Simulated { number, on_close }))
    }

    /// The operating-system number; `None` for a simulated object.
    #[must_use]
    pub fn os_number(&self) -> Option<RawFd> {
        match &*self.0 {
            Inner::Os(fd) => Some(fd.as_raw_fd()),
            Inner::Simulated { .. } => None,
        }
    }

    /// The owned operating-system descriptor, for calls of the standard library and nix.
    #[must_use]
    pub fn os(&self) -> Option<&OwnedFd> {
        match &*self.0 {
            Inner::Os(fd) => Some(fd),
            Inner::Simulated { .. } => None,
        }
    }

    /// The simulated number; `None` for a real object.
    #[must_use]
    pub fn simulated_number(&self) -> Option<u64> {
        match &*self.0 {
            Inner::Os(_) => None,
            Inner::Simulated { number, .. } => Some(*number),
        }
    }

    /// Whether both name the same open object.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Gives the operating-system descriptor back if nobody else holds it.
    ///
    /// # Errors
    /// The descriptor itself, when it is shared or simulated.
    pub fn into_os(self) -> Result<OwnedFd, Self> {
        match Arc::try_unwrap(self.0) {
            Ok(inner) => inner.into_os(),
            Err(shared) => Err(Self(shared)),
        }
    }
}

impl Inner {
    fn into_os(self) -> Result<OwnedFd, Descriptor> {
        match &self {
            Self::Simulated { .. } => Err(Descriptor(Arc::new(self))),
            // A duplicate, because `Drop` forbids moving the descriptor out; `self` closes its own.
            Self::Os(fd) => fd
                .try_clone()
                .map_err(|_| ())
                .or(Err(Descriptor(Arc::new(self)))),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Self::Simulated { number, on_close } = self {
            on_close.close(*number);
        }
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Inner::Os(fd) => write!(f, "Descriptor({})", fd.as_raw_fd()),
            Inner::Simulated { number, .. } => write!(f, "Descriptor(sim {number})"),
        }
    }
}
