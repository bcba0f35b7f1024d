//! What a call of this crate fails with: a bare code where that is all, and cheap; else the
//! detail.

use ringway::{CloseReason, ConnectError, Error, KeyFileError, StartError, Status};
use ringway_files::{ErrorClass, FilesError};

use crate::code::ringway_code::{self, *};
use crate::detail::Detail;

/// Why a call did nothing.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// Nothing more to say than the code.
    Code(ringway_code),
    /// With its detail.
    Detail(Box<Detail>),
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn code(&self) -> ringway_code {
        match self {
            Self::Code(code) => *code,
            Self::Detail(detail) => detail.code,
        }
    }

    pub(crate) fn detail(&self) -> Detail {
        match self {
            Self::Code(code) => Detail::new(*code, code.text()),
            Self::Detail(detail) => (**detail).clone(),
        }
    }

    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Detail::new(RINGWAY_E_ARGUMENT, message).into()
    }

    pub(crate) fn limit(what: &str, wanted: u64, allowed: u64) -> Self {
        let message = format!("{what}: {wanted} is above the limit of {allowed}");
        Detail::new(RINGWAY_E_LIMIT, message)
            .numbers(wanted, allowed)
            .into()
    }
}

impl From<ringway_code> for Failure {
    fn from(code: ringway_code) -> Self {
        Self::Code(code)
    }
}

impl From<Detail> for Failure {
    fn from(detail: Detail) -> Self {
        Self::Detail(Box::new(detail))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        of_engine(&error).into()
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        of_connect(&error).into()
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let text = error.to_string();
        match error {
            StartError::Unavailable(unavailable) => {
                Detail::new(RINGWAY_E_UNAVAILABLE, text).errno(unavailable.errno.0)
            }
            StartError::Thread(error) => {
                Detail::new(RINGWAY_E_KERNEL, text).errno(error.raw_os_error().unwrap_or(0))
            }
            StartError::Configuration { wanted, .. } => {
                Detail::new(RINGWAY_E_ARGUMENT, text).numbers(wanted, 0)
            }
            StartError::Cores { wanted, free, .. } => {
                Detail::new(RINGWAY_E_LIMIT, text).numbers(wanted as u64, free as u64)
            }
            StartError::Core { errno, .. } => Detail::new(RINGWAY_E_ARGUMENT, text).errno(errno.0),
            #[allow(unreachable_patterns, reason = "reasons may be added")]
            _ => Detail::new(RINGWAY_E_KERNEL, text),
        }
        .into()
    }
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        let errno = match &error {
            KeyFileError::Io { error, .. } => error.raw_os_error().unwrap_or(0),
            _ => 0,
        };
        Detail::new(RINGWAY_E_KEY_FILE, error.to_string())
            .errno(errno)
            .into()
    }
}

impl From<FilesError> for Failure {
    fn from(error: FilesError) -> Self {
        let code = match &error {
            FilesError::Connect(error) => return of_connect(error).into(),
            FilesError::Engine(error) => return of_engine(error).into(),
            FilesError::GaveUp { .. } => RINGWAY_E_GAVE_UP,
            FilesError::Incomplete { .. } => RINGWAY_E_INCOMPLETE,
            FilesError::Usage(_) => RINGWAY_E_ARGUMENT,
            FilesError::Limit {
                wanted, allowed, ..
            } => {
                return Detail::new(RINGWAY_E_LIMIT, error.to_string())
                    .numbers(*wanted, *allowed)
                    .into();
            }
            error => of_class(error.class()),
        };
        Detail::new(code, error.to_string()).into()
    }
}

fn of_class(class: ErrorClass) -> ringway_code {
    match class {
        ErrorClass::Usage => RINGWAY_E_ARGUMENT,
        ErrorClass::Connect => RINGWAY_E_UNREACHABLE,
        ErrorClass::Authentication => RINGWAY_E_AUTHENTICATION,
        ErrorClass::Protocol => RINGWAY_E_PROTOCOL,
        ErrorClass::File => RINGWAY_E_FILE,
        ErrorClass::Content => RINGWAY_E_CONTENT,
        ErrorClass::Kernel => RINGWAY_E_KERNEL,
        ErrorClass::Limit => RINGWAY_E_LIMIT,
    }
}

fn of_connect(error: &ConnectError) -> Detail {
    let text = error.to_string();
    match error {
        ConnectError::Target(_) => Detail::new(RINGWAY_E_ARGUMENT, text),
        ConnectError::Unreachable { errno, .. } => {
            Detail::new(RINGWAY_E_UNREACHABLE, text).errno(errno.0)
        }
        ConnectError::Handshake { .. } => Detail::new(RINGWAY_E_PROTOCOL, text),
        ConnectError::Authentication { .. } => Detail::new(RINGWAY_E_AUTHENTICATION, text),
        ConnectError::Refused { refusal, .. } => {
            Detail::new(RINGWAY_E_REFUSED, text).status(refusal.code as u32)
        }
        ConnectError::Local(error) => of_engine(error),
    }
}

pub(crate) fn of_engine(error: &Error) -> Detail {
    let text = error.to_string();
    match error {
        Error::SessionEnded(reason) => of_close(reason),
        Error::StreamReset {
            status,
            final_offset,
        } => Detail::new(RINGWAY_E_RESET, text)
            .status(status.code)
            .at(*final_offset),
        Error::Stopped(status) => Detail::new(RINGWAY_E_STOPPED, text).status(status.code),
        Error::AlreadyFinished => Detail::new(RINGWAY_E_FINISHED, text),
        Error::StreamEnded => Detail::new(RINGWAY_E_STREAM_ENDED, text),
        Error::RetentionFull { retained, allowed } => {
            Detail::new(RINGWAY_E_RETENTION_FULL, text).numbers(*retained, *allowed)
        }
        Error::Gap(gap) => Detail::new(RINGWAY_E_GAP, text)
            .at(gap.offset)
            .numbers(gap.records, gap.bytes),
        Error::RecordTooLarge { received, allowed } => {
            Detail::new(RINGWAY_E_RECORD_TOO_LARGE, text).numbers(*received, *allowed)
        }
        Error::Limit {
            wanted, allowed, ..
        } => Detail::new(RINGWAY_E_LIMIT, text).numbers(*wanted, *allowed),
        Error::SourceChanged { .. } => Detail::new(RINGWAY_E_SOURCE_CHANGED, text),
        Error::Kernel { errno, .. } => Detail::new(RINGWAY_E_KERNEL, text).errno(errno.0),
        Error::EngineStopped => Detail::new(RINGWAY_E_ENGINE_STOPPED, text),
        Error::ListenerClosed => Detail::new(RINGWAY_E_LISTENER_CLOSED, text),
        #[allow(unreachable_patterns, reason = "reasons may be added")]
        _ => Detail::new(RINGWAY_E_PROTOCOL, text),
    }
}

/// Why a session is over.
pub(crate) fn of_close(reason: &CloseReason) -> Detail {
    let text = reason.to_string();
    match reason {
        CloseReason::Local(status) | CloseReason::Peer(status) => ended(text, status),
        CloseReason::Violation(_) => Detail::new(RINGWAY_E_PROTOCOL, text),
        CloseReason::ReplayLost { wanted, kept } => {
            Detail::new(RINGWAY_E_SESSION_ENDED, text).numbers(*wanted, *kept)
        }
        CloseReason::EngineStopped => Detail::new(RINGWAY_E_ENGINE_STOPPED, text),
        CloseReason::Refused(_) => Detail::new(RINGWAY_E_REFUSED, text),
        _ => Detail::new(RINGWAY_E_SESSION_ENDED, text),
    }
}

fn ended(text: String, status: &Status) -> Detail {
    Detail::new(RINGWAY_E_SESSION_ENDED, text).status(status.code)
}
