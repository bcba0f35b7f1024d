//! What can go wrong with one file or directory, at either end; also as it travels (F-70).

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bytes::Bytes;
use ringway::{Errno, Error, Status};
use serde::{Deserialize, Serialize};

use crate::message::status;
use crate::path::PathError;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Fault {
    /// There is no such file or directory.
    #[error("no such file or directory")]
    NotFound,
    /// The process at that end may not do this.
    #[error("permission denied")]
    PermissionDenied,
    /// A directory stands where a file was wanted.
    #[error("is a directory")]
    IsDirectory,
    /// Something else stands where a directory was wanted.
    #[error("is not a directory")]
    NotDirectory,
    /// A symbolic link, FIFO, socket or device stands there: never followed, opened or replaced.
    #[error("is a symbolic link or special file; remove it first")]
    NotRegular,
    /// There is something of that name, though there must not be.
    #[error("already exists")]
    Exists,
    /// No space, or no quota, is left. The partial file is kept: make room and repeat.
    #[error("no space left; what has arrived is kept, make room and run the same again")]
    NoSpace,
    /// The file is larger than that file system, or the process's limit, allows.
    #[error("larger than the file system or the process's file size limit allows")]
    TooLarge,
    /// The server serves read-only.
    #[error("the server serves this directory read-only")]
    ReadOnly,
    /// The served directory was removed or replaced while it was served.
    #[error("the served directory is gone: start the server again")]
    RootGone,
    /// The kernel said something else.
    #[error("the kernel refused")]
    Kernel,
    /// The path is not acceptable.
    #[error("{0}")]
    Path(PathError),
    /// The name is one of our own partial or sidecar files.
    #[error("names like `.NAME.ringway-partial` belong to unfinished transfers: choose another")]
    Reserved,
    /// Another live transfer, of another source, is writing this target.
    #[error("another transfer is writing it: wait for that one, or end it")]
    Busy,
    /// A newer transfer of the same source took over.
    #[error("a newer transfer of the same file took over")]
    Superseded,
    /// The partial file there belongs to another source, or to another version of it.
    #[error(
        "a partial file of another source, or of an earlier version of this one, is there: \
         use --restart to discard it"
    )]
    OtherSource,
    /// The partial file's sidecar was written by a newer version of this program.
    #[error(
        "the partial file there was made by a newer version (sidecar version {found}, known is \
         {known}): use --restart to discard it"
    )]
    SidecarVersion {
        /// In the file.
        found: u32,
        /// Newest that this program reads.
        known: u32,
    },
    /// The source changed, shrank or was replaced while it was read; nothing was put in place.
    #[error("the source changed while it was being transferred: run the same again")]
    SourceChanged,
    /// The other end could not read its source to the end. What has arrived is kept.
    #[error("the source could not be read to its end: {what}")]
    SourceFailed {
        /// What the other end said.
        what: String,
    },
    /// A number is above a limit of the server's.
    #[error("{what}: {wanted} is above the limit of {allowed}")]
    Limit {
        /// Which.
        what: String,
        /// Asked for.
        wanted: u64,
        /// Allowed.
        allowed: u64,
    },
    /// The request cannot be understood; the peers' versions differ, or one is broken.
    #[error("the request is not understood ({what})")]
    BadRequest {
        /// What about it.
        what: String,
    },
    /// The peer speaks no version of the file protocol that we speak.
    #[error("file protocol version {wanted} is not spoken here, versions {oldest} to {newest} are")]
    Version {
        /// Asked for.
        wanted: u32,
        /// Oldest spoken.
        oldest: u32,
        /// Newest spoken.
        newest: u32,
    },
    /// The server is being stopped. What has arrived is kept.
    #[error("the server is being stopped; what has arrived is kept")]
    Draining,
}

/// A [`Fault`], where it happened, and what the kernel said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    pub fault: Fault,
    /// The file or directory, as bytes of its path; empty for the served directory itself.
    path: Bytes,
    /// What was being done, and the kernel's error number, where it was the kernel that refused.
    kernel: Option<(String, i32)>,
}

impl Failure {
    pub(crate) fn new(fault: Fault, path: impl AsRef<Path>) -> Self {
        let path = Bytes::copy_from_slice(path.as_ref().as_os_str().as_bytes());
        let kernel = None;
        Self {
            fault,
            path,
            kernel,
        }
    }

    /// What the kernel said about a path.
    pub(crate) fn kernel(operation: &str, errno: Errno, path: impl AsRef<Path>) -> Self {
        Self {
            kernel: Some((operation.to_owned(), errno.0)),
            ..Self::new(fault_of(errno), path)
        }
    }

    /// Which file or directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }

    /// The kernel's error number, where it was the kernel that refused.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        self.kernel.as_ref().map(|(_, errno)| Errno(*errno))
    }

    /// Whether the other files of a run would fail alike.
    pub(crate) fn concerns_all(&self) -> bool {
        matches!(
            self.fault,
            Fault::NoSpace
                | Fault::ReadOnly
                | Fault::RootGone
                | Fault::Draining
                | Fault::Version { .. }
                | Fault::BadRequest { .. }
        )
    }
}

fn fault_of(errno: Errno) -> Fault {
    match errno {
        Errno::ENOENT => Fault::NotFound,
        Errno::EACCES | Errno::EPERM | EROFS => Fault::PermissionDenied,
        Errno::EISDIR => Fault::IsDirectory,
        Errno::ENOTDIR => Fault::NotDirectory,
        Errno::ELOOP | Errno::EXDEV | ENXIO => Fault::NotRegular,
        Errno::EEXIST => Fault::Exists,
        Errno::ENOSPC | EDQUOT => Fault::NoSpace,
        EFBIG => Fault::TooLarge,
        _ => Fault::Kernel,
    }
}

const ENXIO: Errno = Errno(6);
const EFBIG: Errno = Errno(27);
const EROFS: Errno = Errno(30);
const EDQUOT: Errno = Errno(122);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.is_empty() {
            true => f.write_str("the served directory")?,
            false => self.path().display().fmt(f)?,
        }
        write!(f, ": {}", self.fault)?;
        match &self.kernel {
            Some((operation, errno)) => write!(f, " ({operation}: {})", Errno(*errno)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// Why a piece of work ended early, before it is known what that means for the whole.
#[derive(Clone, Debug)]
pub(crate) enum Halt {
    /// Something about a file at this end.
    Failed(Failure),
    /// The peer says that something failed at its end.
    Peer(Failure),
    /// The peer broke a rule of `docs/FILES.md`.
    Broken { rule: &'static str, what: String },
    /// The stream, the session or the engine ended.
    Session(Error),
}

impl Halt {
    pub(crate) fn broken(rule: &'static str, what: impl fmt::Display) -> Self {
        let what = what.to_string();
        Self::Broken { rule, what }
    }

    pub(crate) fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Failed(failure) | Self::Peer(failure) => Some(&failure.fault),
            Self::Broken { .. } | Self::Session(_) => None,
        }
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Session(error)
    }
}

/// Says which path an error of the engine is about.
pub(crate) trait At<T> {
    /// The kernel's refusals become failures of `path`; the end of a session stays what it is.
    fn at(self, path: impl AsRef<Path>) -> Result<T, Halt>;
}

impl<T> At<T> for Result<T, Error> {
    fn at(self, path: impl AsRef<Path>) -> Result<T, Halt> {
        self.map_err(|error| match error {
            Error::Kernel { operation, errno } => Failure::kernel(operation, errno, path).into(),
            Error::SourceChanged { .. } => Failure::new(Fault::SourceChanged, path).into(),
            Error::StreamReset { ref status, .. } => match ended_early(status, path.as_ref()) {
                Some(failure) => Halt::Peer(failure),
                None => Halt::Session(error),
            },
            other => Halt::Session(other),
        })
    }
}

/// What the other end's status says about the source of a body that is not complete.
pub(crate) fn ended_early(status: &Status, path: &Path) -> Option<Failure> {
    let fault = match status.code {
        Status::SOURCE_CHANGED => Fault::SourceChanged,
        status::DRAINING => Fault::Draining,
        status::REFUSED | Status::SOURCE_FAILED => Fault::SourceFailed {
            what: status.text.clone(),
        },
        _ => return None,
    };
    Some(Failure::new(fault, path))
}

/// Whether an error is the kernel saying `errno`.
pub(crate) fn is_errno(error: &Error, errno: Errno) -> bool {
    matches!(error, Error::Kernel { errno: said, .. } if *said == errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_path_what_to_do_and_what_the_kernel_said() {
        let text = Failure::kernel("write", Errno::ENOSPC, "a/b").to_string();
        assert!(text.starts_with("a/b: no space left"), "{text}");
        assert!(
            text.contains("run the same again") && text.contains("write"),
            "{text}"
        );
        let other = Failure::new(Fault::OtherSource, "a").to_string();
        assert!(other.contains("--restart"), "{other}");
    }

    #[test]
    fn a_failure_crosses_the_wire_with_all_it_knows() {
        let path = Path::new(OsStr::from_bytes(b"a/\xff"));
        let failure = Failure::kernel("open", Errno::EACCES, path);
        let bytes = rmp_serde::to_vec_named(&failure).expect("encodes");
        let again: Failure = rmp_serde::from_slice(&bytes).expect("decodes");
        assert_eq!(again, failure);
        assert_eq!(again.errno(), Some(Errno::EACCES));
        assert_eq!(again.path(), path);
    }
}
