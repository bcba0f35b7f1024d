//! Bodies out of a source, and into a sink; both ends use both.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use ringway::{Engine, Error, File, Lease, PathChoice, Payload, Status, Stream};

use super::failures::{self, Role};
use super::limits::SINK_BYTES;
use super::plan::{Plan, SinkKind, SourceKind};
use super::test::Test;
use crate::failure::Failure;

/// What one stream's bodies are made of.
pub(super) enum Supply {
    Memory(Bytes),
    Lease(Lease),
    /// From `at` on, and from the start again after the end.
    File {
        file: File,
        bytes: u64,
        at: u64,
    },
}

/// Where one stream's bodies go.
pub(super) enum Drain {
    Discard,
    /// A share of a file, filled again and again.
    File {
        file: File,
        start: u64,
    },
}

impl Supply {
    /// Made or opened on the shard of the current task. `file` is what a file source reads.
    pub(super) async fn make(
        engine: &Engine,
        plan: &Plan,
        file: Option<std::fs::File>,
        path: PathChoice,
    ) -> Result<Self, Failure> {
        let length = usize::try_from(plan.bulk_bytes).unwrap_or(usize::MAX);
        match plan.source {
            SourceKind::Memory => Ok(Self::Memory(pattern(length).into())),
            SourceKind::Lease => lease(engine, length).await,
            SourceKind::File => {
                let file = file.ok_or_else(|| failures::no_file("source"))?;
                let bytes = file
                    .metadata()
                    .map_err(|error| Failure::io("look at the source", &error))?
                    .len();
                if bytes == 0 {
                    return Err(failures::empty_source());
                }
                let file = opened(engine, file, path).await?;
                Ok(Self::File { file, bytes, at: 0 })
            }
        }
    }

    /// At most `most` bytes of it.
    fn next(&mut self, length: u64, most: u64) -> Payload {
        let whole = length.min(most);
        let part = usize::try_from(whole).unwrap_or(usize::MAX);
        match self {
            Self::Memory(bytes) => bytes.slice(..part.min(bytes.len())).into(),
            Self::Lease(lease) => lease.slice(0..part.min(lease.len())).into(),
            Self::File { file, bytes, at } => {
                let start = *at;
                let length = whole.min(*bytes - start);
                *at = (start + length) % *bytes;
                file.range(start, length).into()
            }
        }
    }
}

/// The file as this end uses it: past the page cache if that was asked for.
async fn opened(engine: &Engine, file: std::fs::File, path: PathChoice) -> Result<File, Failure> {
    let file = engine.adopt_file(file).await?;
    match path {
        PathChoice::Direct => Ok(file.direct().await?),
        _ => Ok(file),
    }
}

async fn lease(engine: &Engine, length: usize) -> Result<Supply, Failure> {
    let Some(mut lease) = engine.lease(length).await? else {
        return Err(failures::no_lease(length));
    };
    lease[..length].copy_from_slice(&pattern(length));
    Ok(Supply::Lease(lease.freeze(length)))
}

/// Bytes that no layer could make smaller (xorshift64).
pub(super) fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Sends `bytes`, or until the test is over; then waits until the peer has taken a number of bytes
/// that was asked for.
pub(super) async fn pump(
    test: &Test,
    stream: &Stream,
    supply: &mut Supply,
    bytes: Option<u64>,
    role: Role,
) {
    let outcome = send_all(test, stream, supply, bytes).await;
    if let Err(error) = outcome
        && !test.is_over()
    {
        // What the peer says about its sink arrives as its reason to stop us.
        let failure = match (error, &*supply) {
            // A range that ended within the file when the test began.
            (
                Error::Limit {
                    wanted, allowed, ..
                },
                Supply::File { .. },
            ) => failures::source_shrank(wanted, allowed),
            (error, _) => failures::of_stream(error, role),
        };
        stream.reset(failures::status_of(&failure));
        test.fail(failure);
    }
}

async fn send_all(
    test: &Test,
    stream: &Stream,
    supply: &mut Supply,
    bytes: Option<u64>,
) -> Result<(), Error> {
    let mut rest = bytes.unwrap_or(u64::MAX);
    while rest > 0 && !test.is_over() {
        let payload = supply.next(test.plan.bulk_bytes, rest);
        rest -= payload.len();
        stream.send(payload).await?;
    }
    if test.is_over() {
        stream.reset(Status::ok());
        return Ok(());
    }
    stream.finish(Status::ok()).await?;
    let status = stream.peer_status().await?;
    match status.is_ok() {
        true => Ok(()),
        false => Err(Error::Stopped(status)),
    }
}

impl Drain {
    /// Opened on the shard of the current task. `index` and the plan say which share of the file.
    pub(super) async fn make(
        engine: &Engine,
        plan: &Plan,
        file: Option<std::fs::File>,
        (index, path): (u32, PathChoice),
    ) -> Result<Self, Failure> {
        match plan.sink {
            SinkKind::Discard => Ok(Self::Discard),
            SinkKind::File => {
                let file = file.ok_or_else(|| failures::no_file("sink"))?;
                let file = opened(engine, file, path).await?;
                let start = u64::from(index) * SINK_BYTES;
                Ok(Self::File { file, start })
            }
        }
    }
}

/// Takes everything until the peer finishes, then says so.
pub(super) async fn drain(test: &Test, stream: &Stream, drain: &Drain, role: Role) {
    let outcome = match drain {
        Drain::Discard => discard(test, stream).await,
        Drain::File { file, start } => write(test, stream, file, *start).await,
    };
    let finished = match outcome {
        Ok(()) => stream.peer_status().await,
        Err(error) => Err(error),
    };
    match finished {
        Ok(status) if status.is_ok() => {
            // The peer waits for it; when it is gone, nobody does.
            let _ = stream.finish(Status::ok()).await;
        }
        Ok(status) => test.fail(failures::of_status(&status, role)),
        // How the sender ends a time that is over.
        Err(Error::StreamReset { status, .. }) if status.is_ok() => {}
        Err(error) => {
            let failure = failures::of_stream(error, role);
            // The sender may be done and wait for our word: it comes with the cause.
            stream.reset(failures::sink_status_of(&failure));
            test.fail(failure);
        }
    }
}

async fn discard(test: &Test, stream: &Stream) -> Result<(), Error> {
    while let Some(piece) = stream.receive().await? {
        let bytes = piece.bytes.len() as u64;
        test.received.fetch_add(bytes, Ordering::Relaxed);
    }
    Ok(())
}

/// In steps, so that the count moves while a long share is being filled.
const WRITE_STEP_BYTES: u64 = 16 << 20;

async fn write(test: &Test, stream: &Stream, file: &File, start: u64) -> Result<(), Error> {
    let mut at = 0;
    loop {
        let room = WRITE_STEP_BYTES.min(SINK_BYTES - at);
        let written = stream.receive_into_file(file, start + at, room).await?;
        test.received.fetch_add(written, Ordering::Relaxed);
        if written < room {
            return Ok(());
        }
        at = (at + written) % SINK_BYTES;
    }
}
