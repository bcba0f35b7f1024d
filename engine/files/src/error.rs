//! Errors, sorted by whose fault they are, and their exit codes.

use std::path::PathBuf;
use std::time::Duration;

use ringway::{ConnectError, Error, StartError};

use crate::failure::{Failure, Fault, Halt};
use crate::path::PathError;
use crate::report::TransferReport;

/// Which end something happened at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Here.
    Local,
    /// At the server.
    Remote,
}

/// A call that makes no sense whatever the files are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// Nothing to transfer was named.
    #[error("no source was named")]
    NoSource,
    /// A directory, without `recursive`.
    #[error("{path} is a directory: use --recursive", path = .0.display())]
    DirectoryNeedsRecursive(PathBuf),
    /// Several sources need a directory to go into.
    #[error("{path} is not a directory: several sources need one to go into", path = .0.display())]
    SeveralNeedDirectory(PathBuf),
    /// The destination ends with a slash and is no directory.
    #[error("{path} is not a directory, though it ends with a slash", path = .0.display())]
    SlashNeedsDirectory(PathBuf),
    /// A directory cannot go onto a file.
    #[error("{path} is not a directory: a directory cannot replace it", path = .0.display())]
    DirectoryOntoFile(PathBuf),
    /// Two sources would get the same name at the destination.
    #[error("two sources would both become {path}", path = .0.display())]
    SameTarget(PathBuf),
    /// A remote path is not one.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// Why a put, get or list did not happen, or a server stopped.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// Something about one file or directory, here or at the server.
    #[error("{}{failure}", if *.side == Side::Remote { "server: " } else { "" })]
    File {
        /// At which end.
        side: Side,
        /// What.
        failure: Failure,
    },
    /// The call makes no sense.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// No session could be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The session ended, and no new one could be made or kept in time. What has arrived is
    /// kept: the same run again goes on from there.
    #[error(
        "the connection was lost and could not be made again within {} s ({cause}); what has \
         arrived is kept, run the same again to go on", within.as_secs()
    )]
    GaveUp {
        /// How long it was tried.
        within: Duration,
        /// The last failure.
        cause: String,
    },
    /// The engine or a session failed in a way that no new session heals.
    #[error(transparent)]
    Engine(#[from] Error),
    /// The peer's messages break the rules of `docs/FILES.md`.
    #[error("the peer broke the file protocol ({rule}): {what}")]
    Protocol {
        /// Number of the rule.
        rule: &'static str,
        /// What it did.
        what: String,
    },
    /// A number is above a limit of ours.
    #[error("{what}: {wanted} is above the limit of {allowed}")]
    Limit {
        /// Which.
        what: &'static str,
        /// Asked for.
        wanted: u64,
        /// Allowed.
        allowed: u64,
    },
    /// Both ends read the file back and found different content.
    #[error(
        "{path}: the target's digest {target:032x} is not the source's {source_digest:032x}: \
         the target is not a copy", path = path.display()
    )]
    Digest {
        /// The source's path.
        path: PathBuf,
        /// XXH3-128 of the source.
        source_digest: u128,
        /// XXH3-128 of the target.
        target: u128,
    },
    /// Some files failed while others arrived. The class is that of the first failure.
    #[error(
        "{} of {} files failed, the first: {}", report.failed.len(),
        report.failed.len() + report.files.len(), first_failure(report)
    )]
    Incomplete {
        /// What was done all the same; `failed` is not empty.
        report: Box<TransferReport>,
    },
}

fn first_failure(report: &TransferReport) -> String {
    report
        .failed
        .first()
        .map_or_else(String::new, |failed| failed.error.to_string())
}

/// What kind of error it is, as the command line's exit codes tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The call was wrong.
    Usage,
    /// No connection, or it was lost for good.
    Connect,
    /// The peers do not share a key.
    Authentication,
    /// A peer broke the protocol, or the versions do not fit.
    Protocol,
    /// A file or directory could not be read or written.
    File,
    /// A digest differs, or the source changed.
    Content,
    /// This machine's kernel cannot.
    Kernel,
    /// A limit was reached.
    Limit,
}

impl ErrorClass {
    /// The exit code of the command line.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Connect => 3,
            Self::Authentication => 4,
            Self::Protocol => 5,
            Self::File => 6,
            Self::Content => 7,
            Self::Kernel => 8,
            Self::Limit => 9,
        }
    }

    /// Of an engine that could not start.
    #[must_use]
    pub fn of_start(error: &StartError) -> Self {
        match error {
            StartError::Configuration { .. } | StartError::Core { core: Some(_), .. } => {
                Self::Usage
            }
            StartError::Cores { .. } => Self::Limit,
            StartError::Unavailable(_) | StartError::Thread(_) | StartError::Core { .. } => {
                Self::Kernel
            }
        }
    }

    /// Of a session that could not be made.
    #[must_use]
    pub fn of_connect(error: &ConnectError) -> Self {
        match error {
            ConnectError::Target(_) => Self::Usage,
            ConnectError::Unreachable { .. } | ConnectError::Refused { .. } => Self::Connect,
            ConnectError::Handshake { .. } => Self::Protocol,
            ConnectError::Authentication { .. } => Self::Authentication,
            ConnectError::Local(error) => Self::of_engine(error),
        }
    }

    fn of_engine(error: &Error) -> Self {
        match error {
            Error::SessionEnded(_)
            | Error::EngineStopped
            | Error::ListenerClosed
            | Error::Stopped(_)
            | Error::StreamReset { .. } => Self::Connect,
            Error::AlreadyFinished | Error::StreamEnded | Error::Gap(_) | Error::NotDialer => {
                Self::Protocol
            }
            Error::RetentionFull { .. } | Error::RecordTooLarge { .. } | Error::Limit { .. } => {
                Self::Limit
            }
            Error::SourceChanged { .. } => Self::Content,
            Error::Kernel { .. } => Self::File,
        }
    }

    fn of_fault(fault: &Fault) -> Self {
        match fault {
            Fault::SourceChanged => Self::Content,
            Fault::Path(_) | Fault::Reserved => Self::Usage,
            Fault::Limit { .. } => Self::Limit,
            Fault::BadRequest { .. } | Fault::Version { .. } => Self::Protocol,
            Fault::Draining => Self::Connect,
            _ => Self::File,
        }
    }
}

impl FilesError {
    /// What the early end of some work means to the caller, `side` being where the work was.
    pub(crate) fn of_halt(halt: Halt, side: Side) -> Self {
        match halt {
            Halt::Failed(failure) => Self::File { side, failure },
            Halt::Peer(failure) => Self::File {
                side: Side::Remote,
                failure,
            },
            Halt::Broken { rule, what } => Self::Protocol { rule, what },
            Halt::Session(error) => Self::Engine(error),
        }
    }

    /// Whether the other files of a run would fail alike.
    pub(crate) fn concerns_all(&self) -> bool {
        match self {
            Self::File { failure, .. } => failure.concerns_all(),
            Self::Digest { .. } => false,
            _ => true,
        }
    }

    /// What kind of error it is.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::File { failure, .. } => ErrorClass::of_fault(&failure.fault),
            Self::Usage(_) => ErrorClass::Usage,
            Self::Connect(error) => ErrorClass::of_connect(error),
            Self::GaveUp { .. } => ErrorClass::Connect,
            Self::Engine(error) => ErrorClass::of_engine(error),
            Self::Protocol { .. } => ErrorClass::Protocol,
            Self::Limit { .. } => ErrorClass::Limit,
            Self::Digest { .. } => ErrorClass::Content,
            Self::Incomplete { report } => {
                let first = report.failed.first();
                first.map_or(ErrorClass::File, |failed| failed.error.class())
            }
        }
    }

    /// What went wrong with a file, if that is what it is.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::File { failure, .. } => Some(&failure.fault),
            Self::Incomplete { report } => report.failed.first()?.error.fault(),
            _ => None,
        }
    }
}
