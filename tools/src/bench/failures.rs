//! What goes wrong in a test, as the command says it.

use ringway::{CloseReason, ConnectError, Error, Status};

use super::message::{
    Refusal, RefusalCode, STATUS_LIMIT, STATUS_NO_BENCH, STATUS_NO_TEST, VERSION,
};
use crate::exit::Exit;
use crate::failure::Failure;

/// Which end we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

impl Role {
    fn peer(self) -> &'static str {
        match self {
            Self::Client => "the server",
            Self::Server => "the client",
        }
    }
}

/// No session could be made.
pub(super) fn of_connect(error: ConnectError) -> Failure {
    match &error {
        ConnectError::Unreachable { .. } => {
            let message = format_args!("{error}; is `ringway bench server` running there?");
            Failure::coded(Exit::Connect, "unreachable", message)
        }
        _ => error.into(),
    }
}

/// Whoever answers there is something else.
pub(super) fn no_bench(address: &str) -> Failure {
    let message = format_args!(
        "{address} is a Ringway endpoint, but no bench server that this version understands \
         (bench exchange {VERSION}): start `ringway bench server` of the same version there"
    );
    Failure::coded(Exit::Protocol, "no_bench_server", message)
}

/// The server does not answer.
pub(super) fn no_answer(seconds: u64) -> Failure {
    let message = format_args!("the bench server did not answer within {seconds} s");
    Failure::coded(Exit::Connect, "no_answer", message)
}

/// The server does not do it.
pub(super) fn of_refusal(refusal: &Refusal) -> Failure {
    let (exit, code) = match refusal.code {
        RefusalCode::Busy => (Exit::Limit, "busy"),
        RefusalCode::Limit => (Exit::Limit, "limit"),
        RefusalCode::Version => (Exit::Protocol, "version"),
        RefusalCode::Option | RefusalCode::Plan => (Exit::Usage, "impossible"),
        RefusalCode::File => (Exit::File, "file"),
        RefusalCode::Other => (Exit::Protocol, "refused"),
    };
    let message = format_args!("the bench server refused: {}", refusal.message);
    Failure::coded(exit, code, message)
}

/// A stream of bodies or calls ended too early.
pub(super) fn of_stream(error: Error, role: Role) -> Failure {
    match error {
        Error::Stopped(status) | Error::StreamReset { status, .. } => of_status(&status, role),
        Error::SessionEnded(CloseReason::Peer(status)) => of_status(&status, role),
        error => error.into(),
    }
}

/// The peer says why it ends a stream.
pub(super) fn of_status(status: &Status, role: Role) -> Failure {
    let (exit, code) = match status.code {
        Status::SINK_FAILED | Status::SOURCE_FAILED => (Exit::File, "file"),
        Status::SOURCE_CHANGED => (Exit::Checksum, "source_changed"),
        STATUS_LIMIT => (Exit::Limit, "limit"),
        STATUS_NO_BENCH | STATUS_NO_TEST => (Exit::Protocol, "no_test"),
        _ => (Exit::Protocol, "peer_ended"),
    };
    Failure::coded(exit, code, format_args!("{}: {status}", role.peer()))
}

/// A file that the plan needs was not given.
pub(super) fn no_file(what: &str) -> Failure {
    Failure::coded(
        Exit::Usage,
        "impossible",
        format_args!("no {what} file was named"),
    )
}

/// A range that was inside of it is not any more.
pub(super) fn source_shrank(end: u64, bytes: u64) -> Failure {
    let message = format_args!(
        "the source became shorter while it was sent: bytes up to {end} were to come, it has {bytes}"
    );
    Failure::coded(Exit::Checksum, "source_changed", message)
}

/// Nothing can be sent of it.
pub(super) fn empty_source() -> Failure {
    Failure::coded(
        Exit::File,
        "empty",
        "the source file is empty: name a larger one",
    )
}

/// The arena has no piece of this size.
pub(super) fn no_lease(bytes: usize) -> Failure {
    let message = format_args!(
        "no piece of {bytes} bytes of registered memory is free: fewer streams (-P), or shorter \
         payloads (-l)"
    );
    Failure::coded(Exit::Limit, "no_lease", message)
}

/// How the peer is told, where we took its bytes.
pub(super) fn sink_status_of(failure: &Failure) -> Status {
    match failure.exit {
        Exit::File => Status::sink_failed(&failure.message),
        _ => status_of(failure),
    }
}

/// How the peer is told.
pub(super) fn status_of(failure: &Failure) -> Status {
    let code = match failure.exit {
        Exit::File => Status::SOURCE_FAILED,
        Exit::Checksum => Status::SOURCE_CHANGED,
        Exit::Limit => STATUS_LIMIT,
        _ => Status::DROPPED,
    };
    Status::new(code, &failure.message)
}
