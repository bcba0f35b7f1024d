//! Why the command failed: an exit code, a word for programs, a line for people.

use std::fmt;
use std::io;
use std::path::Path;

use ringway::{ConnectError, Errno, Error, KeyFileError, StartError};
use ringway_files::{ErrorClass, Fault, FilesError};
use ringway_uring::{UnavailableReason, UringUnavailable};
use serde_json::{Value, json};

use crate::exit::Exit;

/// A failure of the command. Its message says what and, where something can be done, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How the process ends.
    pub(crate) exit: Exit,
    /// For programs; stable.
    pub(crate) code: String,
    /// For people; one line.
    pub(crate) message: String,
}

impl Failure {
    /// With the code that the exit has for itself.
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self::coded(exit, exit.name(), message)
    }

    /// With a more precise code.
    pub(crate) fn coded(exit: Exit, code: impl Into<String>, message: impl fmt::Display) -> Self {
        let message = message.to_string();
        Self {
            exit,
            code: code.into(),
            message: message.lines().collect::<Vec<_>>().join(" "),
        }
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A signal came.
    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted")
    }

    /// Something of our own process does not work.
    pub(crate) fn io(what: &str, error: &io::Error) -> Self {
        Self::new(Exit::Kernel, format_args!("cannot {what}: {error}"))
    }

    /// A local file or directory.
    pub(crate) fn file(what: &str, path: &Path, error: &io::Error) -> Self {
        let path = path.display();
        let remedy = remedy_of(Errno::of(error));
        let message = format_args!("cannot {what} {path}: {error}{remedy}");
        Self::coded(Exit::File, code_of(Errno::of(error)), message)
    }

    /// Puts what was attempted before the message.
    pub(crate) fn during(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The final document.
    pub(crate) fn document(&self) -> Value {
        json!({
            "error": {
                "code": self.code,
                "exit_code": self.exit.number(),
                "message": self.message,
            }
        })
    }

    /// The failure that a child process put into its final document.
    pub(crate) fn from_document(document: &Value) -> Option<Self> {
        let error = document.get("error")?;
        Some(Self {
            exit: Exit::from_number(error.get("exit_code")?.as_u64()?)?,
            code: error.get("code")?.as_str()?.to_owned(),
            message: error.get("message")?.as_str()?.to_owned(),
        })
    }
}

/// What a file system's refusal is called in JSON.
fn code_of(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOENT => "not_found",
        Errno::EACCES | Errno::EPERM => "permission_denied",
        Errno::EEXIST => "exists",
        Errno::ENOSPC => "no_space",
        Errno::EISDIR => "is_a_directory",
        Errno::ENOTDIR => "not_a_directory",
        Errno::EXDEV | Errno::ELOOP => "outside_of_root",
        Errno::EADDRINUSE => "address_in_use",
        _ => "file",
    }
}

/// What the file service's refusal is called in JSON.
fn code_of_fault(fault: &Fault) -> &'static str {
    match fault {
        Fault::NotFound => "not_found",
        Fault::PermissionDenied => "permission_denied",
        Fault::IsDirectory => "is_a_directory",
        Fault::NotDirectory => "not_a_directory",
        Fault::NotRegular => "not_regular",
        Fault::Exists => "exists",
        Fault::NoSpace => "no_space",
        Fault::TooLarge => "too_large",
        Fault::ReadOnly => "read_only",
        Fault::RootGone => "root_gone",
        Fault::Path(_) => "path",
        Fault::Reserved => "reserved_name",
        Fault::Busy => "busy",
        Fault::Superseded => "superseded",
        Fault::OtherSource => "other_source",
        Fault::SidecarVersion { .. } => "sidecar_version",
        Fault::SourceChanged => "source_changed",
        Fault::Limit { .. } => "limit",
        Fault::BadRequest { .. } | Fault::Version { .. } => "protocol",
        Fault::Draining => "draining",
        _ => "file",
    }
}

/// What to do about it, where the message does not say it.
fn remedy_of(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOSPC => "; free some space and repeat the command",
        Errno::EMFILE => "; raise `ulimit -n`",
        Errno::EADDRINUSE => "; something listens there: choose another address with --listen",
        _ => "",
    }
}

fn exit_of(class: ErrorClass) -> Exit {
    match class {
        ErrorClass::Usage => Exit::Usage,
        ErrorClass::Connect => Exit::Connect,
        ErrorClass::Authentication => Exit::Authentication,
        ErrorClass::Protocol => Exit::Protocol,
        ErrorClass::File => Exit::File,
        ErrorClass::Content => Exit::Checksum,
        ErrorClass::Kernel => Exit::Kernel,
        ErrorClass::Limit => Exit::Limit,
    }
}

impl From<FilesError> for Failure {
    fn from(error: FilesError) -> Self {
        let exit = exit_of(error.class());
        if let Some(fault) = error.fault() {
            return Self::coded(exit, code_of_fault(fault), &error);
        }
        match error {
            FilesError::Connect(error) => error.into(),
            FilesError::Engine(error) => error.into(),
            FilesError::GaveUp { .. } => Self::coded(exit, "gave_up", &error),
            FilesError::Digest { .. } => Self::coded(exit, "digest", &error),
            error => Self::new(exit, &error),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = exit_of(FilesError::from(error.clone()).class());
        match &error {
            Error::SourceChanged { .. } => {
                let message = format_args!("{error}; repeat the command when it is at rest");
                Self::coded(exit, "source_changed", message)
            }
            Error::Kernel { errno, .. } => {
                let message = format_args!("{error}{}", remedy_of(*errno));
                Self::coded(exit, code_of(*errno), message)
            }
            _ => Self::new(exit, &error),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let exit = exit_of(ErrorClass::of_connect(&error));
        match error {
            ConnectError::Unreachable { .. } => {
                let message = format_args!("{error}; is `ringway serve` running there?");
                Self::coded(exit, "unreachable", message)
            }
            ConnectError::Authentication { .. } => {
                let message = format_args!(
                    "{error}; copy the key file of that side (`ringway key show` names it) and \
                     pass it with --key-file"
                );
                Self::new(exit, message)
            }
            ConnectError::Refused { .. } => Self::coded(exit, "refused", &error),
            ConnectError::Local(error) => error.into(),
            error => Self::new(exit, &error),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let exit = exit_of(ErrorClass::of_start(&error));
        match &error {
            StartError::Unavailable(unavailable) => unavailable.clone().into(),
            _ => Self::new(exit, &error),
        }
    }
}

impl From<UringUnavailable> for Failure {
    fn from(unavailable: UringUnavailable) -> Self {
        let code = match unavailable.reason {
            UnavailableReason::DisabledBySysctl { .. } => "io_uring_disabled",
            UnavailableReason::BlockedBySeccomp => "io_uring_blocked",
            UnavailableReason::KernelTooOld { .. } => "kernel_too_old",
            UnavailableReason::MemlockTooLow { .. } => "memlock_too_low",
            _ => "io_uring_unavailable",
        };
        Self::coded(Exit::Kernel, code, &unavailable)
    }
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        match &error {
            KeyFileError::Io { error: why, .. } => {
                Self::coded(Exit::File, code_of(Errno::of(why)), &error)
            }
            KeyFileError::Exposed { .. } => {
                Self::coded(Exit::Authentication, "key_exposed", &error)
            }
            KeyFileError::Foreign { .. } => {
                Self::coded(Exit::Authentication, "key_foreign", &error)
            }
            KeyFileError::Malformed { .. } => {
                Self::coded(Exit::Authentication, "key_malformed", &error)
            }
            KeyFileError::NoHome => Self::usage(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_of_a_failure_is_read_back_by_a_parent_process() {
        let failure = Failure::coded(Exit::File, "no_space", "two\nlines");
        assert_eq!(failure.message, "two lines");
        let document = failure.document();
        let expected = json!({
            "error": { "code": "no_space", "exit_code": 6, "message": "two lines" }
        });
        assert_eq!(document, expected);
        assert_eq!(Failure::from_document(&document), Some(failure));
        assert_eq!(Failure::from_document(&json!({ "bytes": 1 })), None);
    }

    #[test]
    fn errors_get_the_exit_code_of_whose_fault_they_are() {
        let kernel = |errno| Error::Kernel {
            operation: "open",
            errno,
        };
        let changed = Error::SourceChanged {
            what: "size",
            before: 1,
            now: 2,
        };
        let limit = Error::Limit {
            what: "shard",
            wanted: 2,
            allowed: 1,
        };
        let unreachable = ConnectError::Unreachable {
            target: "node:1".into(),
            errno: Errno::ECONNREFUSED,
        };
        let cases: [(Failure, Exit, &str); 6] = [
            (kernel(Errno::ENOENT).into(), Exit::File, "not_found"),
            (kernel(Errno::ENOSPC).into(), Exit::File, "no_space"),
            (changed.into(), Exit::Checksum, "source_changed"),
            (limit.into(), Exit::Limit, "limit"),
            (unreachable.into(), Exit::Connect, "unreachable"),
            (KeyFileError::NoHome.into(), Exit::Usage, "usage"),
        ];
        for (failure, exit, code) in cases {
            assert_eq!((failure.exit, failure.code.as_str()), (exit, code));
        }
    }

    #[test]
    fn a_missing_ring_is_exit_8_with_reason_and_remedy() {
        let unavailable = UringUnavailable {
            reason: UnavailableReason::BlockedBySeccomp,
            errno: Errno::EPERM,
            hint: "Allow io_uring_setup in the seccomp profile.".into(),
        };
        let failure = Failure::from(StartError::Unavailable(unavailable));
        assert_eq!(
            (failure.exit, failure.code.as_str()),
            (Exit::Kernel, "io_uring_blocked")
        );
        assert!(failure.message.contains("seccomp filter blocks it"));
        assert!(failure.message.contains("Allow io_uring_setup"));
    }
}
