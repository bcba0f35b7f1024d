//! Streams.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::fs::File;
use std::mem::MaybeUninit;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use nix::sys::stat::SFlag;
use ringway::{Payload, Status};

use super::buffer::give;
use super::engine::ringway_engine;
use super::pointer::{
    check_result, duplicate, given, items, memory, options, put_result, put_text, room,
};
use super::session::{ringway_session, status_of};
use crate::buffer::ringway_buffer;
use crate::code::ringway_code::{RINGWAY_E_AGAIN, RINGWAY_E_ARGUMENT, RINGWAY_E_STREAM_ENDED};
use crate::failure::{Failure, Result};
use crate::options::ringway_stream_options;
use crate::receiving::Piece;
use crate::sending::{Goal, Work};
use crate::slot::Slot;
use crate::stream::Shared;
use crate::{guard, metrics};

/// A handle of a stream; 0 is none.
pub type ringway_stream = u64;

/// Send flag: these bytes end a record. An empty record is one too.
pub const RINGWAY_SEND_RECORD: u32 = 1;
/// Send flag: these bytes are the last; the direction is finished with status 0.
pub const RINGWAY_SEND_FINISH: u32 = 2;
/// Chunk flag: its last byte is the end of a record.
pub const RINGWAY_CHUNK_RECORD: u32 = 1;

/// Pieces of one `ringway_stream_sendv`.
const SLICES_MAX: usize = 1024;

/// Bytes to be sent.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_slice {
    /// Where.
    pub data: *const c_void,
    /// How many.
    pub length: usize,
}

/// Bytes that arrived.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_chunk {
    /// Where they lie.
    pub data: *const c_void,
    /// How many; 0 for an empty record.
    pub length: usize,
    /// Offset of the first in the stream.
    pub offset: u64,
    /// `RINGWAY_CHUNK_RECORD` or 0.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

/// How far a stream has got, bytes from 0. Set `struct_size` before it is filled.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_offsets {
    /// `sizeof(ringway_offsets)`, set by the caller.
    pub struct_size: usize,
    /// Taken from the application for sending.
    pub sent: u64,
    /// Copied by the peer's engine.
    pub acked: u64,
    /// Taken by the peer's application.
    pub consumed: u64,
}

/// What `ringway_stream_notify` waits for.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ringway_goal {
    /// The peer's engine has copied everything before the offset.
    RINGWAY_GOAL_ACKED = 0,
    /// The peer's application has taken everything before the offset.
    RINGWAY_GOAL_CONSUMED = 1,
    /// The peer's engine knows that our direction is finished, and has everything.
    RINGWAY_GOAL_FINISH_ACKED = 2,
}

/// Opens a stream. Returns at once with the handle, which can be used at once; costs no round
/// trip. `settings` may be NULL. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_STRUCT_SIZE`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`,
/// `RINGWAY_E_LIMIT`, `RINGWAY_E_ENGINE_STOPPED`; `RINGWAY_E_STATE` before the session is
/// connected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_stream_open(
    engine: Option<&ringway_engine>,
    session: ringway_session,
    settings: *const ringway_stream_options,
    stream: Option<&mut MaybeUninit<ringway_stream>>,
) -> c_int {
    guard::done(|| {
        let place = given(stream)?;
        let instance = &given(engine)?.instance;
        let opened = instance.at(session, |slot| {
            // SAFETY: P1, P4.
            let given = unsafe { options(settings) }?;
            let session = slot.session()?.session()?;
            let options = given.settings()?;
            let queue_bytes_max = given.queue_bytes_max;
            instance.open_stream(
                session,
                slot.number,
                options,
                queue_bytes_max,
                given.user_data,
            )
        })?;
        place.write(opened);
        Ok(())
    })
}

/// The session of a stream: the handle that it was opened with, or that told it. It may be freed
/// already. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_stream_session(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    session: Option<&mut MaybeUninit<ringway_session>>,
) -> c_int {
    guard::done(|| {
        let place = given(session)?;
        let found = given(engine)?
            .instance
            .at(stream, |slot| Ok(slot.stream()?.session))?;
        place.write(found);
        Ok(())
    })
}

/// Sends a copy of `length` bytes; returns the stream offset behind them. They are sent whole or
/// not at all, and kept until the peer's engine has acked them, whatever becomes of the
/// connection. `flags`: `RINGWAY_SEND_RECORD`, `RINGWAY_SEND_FINISH`. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_ARGUMENT`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`,
/// `RINGWAY_E_LIMIT`; `RINGWAY_E_AGAIN` until `RINGWAY_EVENT_STREAM_WRITABLE`;
/// `RINGWAY_E_FINISHED`, `RINGWAY_E_STOPPED`, `RINGWAY_E_SESSION_ENDED`,
/// `RINGWAY_E_STREAM_ENDED`, `RINGWAY_E_ENGINE_STOPPED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_stream_send(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    data: *const c_void,
    length: usize,
    flags: u32,
) -> i64 {
    guard::wide(|| {
        send(engine, stream, flags, || {
            // SAFETY: P1, P3.
            let bytes = unsafe { memory(data, length) }?;
            Ok(Bytes::copy_from_slice(bytes).into())
        })
    })
}

/// As `ringway_stream_send`, of up to 1,024 pieces, which are sent as one.
///
/// Errors: as `ringway_stream_send`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_stream_sendv(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    slices: *const ringway_slice,
    count: usize,
    flags: u32,
) -> i64 {
    guard::wide(|| {
        send(engine, stream, flags, || {
            if count > SLICES_MAX {
                return Err(Failure::limit("slices", count as u64, SLICES_MAX as u64));
            }
            // SAFETY: P1, P3.
            let slices = unsafe { items(slices, count) }?;
            let lengths = slices.iter().map(|slice| slice.length);
            let total = lengths.fold(0_usize, usize::saturating_add);
            if isize::try_from(total).is_err() {
                return Err(Failure::limit("bytes", total as u64, isize::MAX as u64));
            }
            let mut joined = BytesMut::with_capacity(total);
            for slice in slices {
                // SAFETY: P1, P3.
                let bytes = unsafe { memory(slice.data, slice.length) }?;
                joined.extend_from_slice(bytes);
            }
            Ok(joined.freeze().into())
        })
    })
}

/// As `ringway_stream_send`, of a part of a buffer, without a copy. The buffer must not be written
/// any more. The engine keeps its own reference.
///
/// Errors: as `ringway_stream_send`; `RINGWAY_E_ARGUMENT` for a part outside of the buffer.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_stream_send_buffer(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    buffer: Option<&ringway_buffer>,
    offset: usize,
    length: usize,
    flags: u32,
) -> i64 {
    guard::wide(|| {
        send(engine, stream, flags, || {
            given(buffer)?.part(offset, length)
        })
    })
}

/// As `ringway_stream_send`, of a part of a regular file, moved by the kernel: it is neither read
/// now nor kept in memory, however long it is. The descriptor is duplicated. The file must not
/// change until it is acked: if it does, `RINGWAY_EVENT_STREAM_SEND_FAILED` tells
/// `RINGWAY_E_SOURCE_CHANGED`, and the peer's direction ends with that status.
///
/// Errors: as `ringway_stream_send`; `RINGWAY_E_DESCRIPTOR`. A part beyond the end of the file is
/// told by `RINGWAY_EVENT_STREAM_SEND_FAILED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_stream_send_file(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    descriptor: c_int,
    offset: u64,
    length: u64,
    flags: u32,
) -> i64 {
    guard::wide(|| {
        let instance = &given(engine)?.instance;
        send(engine, stream, flags, || {
            check_within_file(offset, length)?;
            // SAFETY: the caller's own descriptor.
            let owned = unsafe { duplicate(descriptor, &[SFlag::S_IFREG]) }?;
            let file = instance.engine.regular_file(File::from(owned));
            Ok(file.range(offset, length).into())
        })
    })
}

/// No file reaches further: offsets are signed to the kernel.
fn check_within_file(offset: u64, length: u64) -> Result<()> {
    let (end, last) = (offset.saturating_add(length), i64::MAX.cast_unsigned());
    match end <= last {
        true => Ok(()),
        false => Err(Failure::limit("the end of the part", end, last)),
    }
}

fn send(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    flags: u32,
    payload: impl FnOnce() -> Result<Payload>,
) -> Result<u64> {
    if flags & !(RINGWAY_SEND_RECORD | RINGWAY_SEND_FINISH) != 0 {
        return Err(RINGWAY_E_ARGUMENT.into());
    }
    given(engine)?.instance.at(stream, |slot| {
        let shared = &slot.stream()?.shared;
        let ends_record = flags & RINGWAY_SEND_RECORD != 0;
        let finish = (flags & RINGWAY_SEND_FINISH != 0).then(Status::ok);
        shared.sending.send(shared, payload()?, ends_record, finish)
    })
}

/// Ends our direction with a status that arrives after every byte sent before it: 0 for all is
/// well, else a code (the application's begin at 1,000; a smaller one may be passed on) and a
/// text, which may be NULL and is cut to 1,024 bytes. Returns the offset of the end. Any thread.
///
/// Errors: as `ringway_stream_send`, but never `RINGWAY_E_AGAIN`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_stream_finish(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    status: u32,
    reason: *const c_char,
) -> i64 {
    guard::wide(|| {
        given(engine)?.instance.at(stream, |slot| {
            // SAFETY: P2.
            let status = unsafe { status_of(status, reason) }?;
            let shared = &slot.stream()?.shared;
            shared.sending.finish(shared, status)
        })
    })
}

/// Aborts our direction now: what was not acked is not sent again. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_ARGUMENT`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`; why the
/// stream could not be opened.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_stream_reset(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    status: u32,
    reason: *const c_char,
) -> c_int {
    guard::done(|| {
        given(engine)?.instance.at(stream, |slot| {
            // SAFETY: P2.
            let status = unsafe { status_of(status, reason) }?;
            slot.stream()?.reset(status)
        })
    })
}

/// Asks the peer to cease sending. Any thread.
///
/// Errors: as `ringway_stream_reset`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_stream_stop(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    status: u32,
    reason: *const c_char,
) -> c_int {
    guard::done(|| {
        given(engine)?.instance.at(stream, |slot| {
            // SAFETY: P2.
            let status = unsafe { status_of(status, reason) }?;
            slot.stream()?.stop(status)
        })
    })
}

/// How urgent what is sent is among the streams of the session, from now on: 1 (lowest) to 8. Any
/// thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_ARGUMENT`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`; why the
/// stream could not be opened.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_stream_set_priority(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    priority: u32,
) -> c_int {
    guard::done(|| {
        let priority = crate::settings::priority(priority)?;
        given(engine)?.instance.at(stream, |slot| {
            slot.stream()?.shared.ask(Work::Prioritize(priority))
        })
    })
}

/// Asks for an event when `goal` is reached: `RINGWAY_EVENT_STREAM_ACKED`, `…_CONSUMED` or
/// `…_FINISH_ACKED`, with `offset` and `token`. At most 64 at a time per stream. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_ARGUMENT`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`,
/// `RINGWAY_E_LIMIT`.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_stream_notify(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    goal: u32,
    offset: u64,
    token: u64,
) -> c_int {
    guard::done(|| {
        let goals = [Goal::Acked, Goal::Consumed, Goal::FinishAcked];
        let goal = goals
            .get(goal as usize)
            .copied()
            .ok_or(RINGWAY_E_ARGUMENT)?;
        given(engine)?.instance.at(stream, |slot| {
            slot.stream()?.shared.sending.watch(goal, offset, token)
        })
    })
}

/// How far our direction has got, at once. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_STRUCT_SIZE`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_stream_offsets(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    offsets: *mut ringway_offsets,
) -> c_int {
    guard::done(|| {
        // SAFETY: P1, P4, P5.
        unsafe { check_result(offsets) }?;
        let found = given(engine)?.instance.at(stream, |slot| {
            let shared = &slot.stream()?.shared;
            let stream = shared.stream();
            Ok(ringway_offsets {
                struct_size: size_of::<ringway_offsets>(),
                sent: shared.sending.offset(),
                acked: stream.map_or(0, ringway::Stream::acked_now),
                consumed: stream.map_or(0, ringway::Stream::consumed_now),
            })
        })?;
        // SAFETY: P1, P4, P5; checked above.
        unsafe { put_result(offsets, &found) };
        Ok(())
    })
}

/// The stream's number in its session, the same at both ends and in the log. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`; `RINGWAY_E_AGAIN` while it is
/// being opened; why it could not be.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_stream_id(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    id: Option<&mut MaybeUninit<u64>>,
) -> c_int {
    guard::done(|| {
        let place = given(id)?;
        let found = given(engine)?
            .instance
            .at(stream, |slot| Ok(open_one(slot)?.id().0))?;
        place.write(found);
        Ok(())
    })
}

fn open_one(slot: &Slot) -> Result<ringway::Stream> {
    let shared = shared(slot)?;
    match (shared.stream(), shared.opening_failure()) {
        (Some(stream), _) => Ok(stream.clone()),
        (None, Some(failure)) => Err(failure),
        (None, None) => Err(RINGWAY_E_AGAIN.into()),
    }
}

/// What one stream counts and holds (docs/METRICS.md) as JSON, written as `ringway_probe_json`
/// does. With `RINGWAY_LOOP_CALLER` only on its thread; else on any.
///
/// Errors: as `ringway_stream_id`; `RINGWAY_E_STREAM_ENDED` once both directions are over;
/// `RINGWAY_E_THREAD`, `RINGWAY_E_REENTRANT`, `RINGWAY_E_ENGINE_STOPPED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_stream_statistics_json(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    buffer: *mut c_char,
    size: usize,
) -> i64 {
    guard::wide(|| {
        let instance = &given(engine)?.instance;
        let asked = instance.at(stream, |slot| open_one(slot))?;
        let counted = instance.run_now(asked.statistics())??;
        // SAFETY: P1, P3.
        unsafe { put_text(buffer, size, &metrics::document(counted.metrics())) }
    })
}

/// Borrows what has arrived: fills `*chunk` and returns the offset of its first byte. The bytes
/// stay where they are until `ringway_stream_consume` has taken all of them, or the stream is
/// freed; until then the same is borrowed again, less what was consumed. Any thread, one at a
/// time per stream.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`; `RINGWAY_E_AGAIN` until
/// `RINGWAY_EVENT_STREAM_READABLE`; `RINGWAY_E_EOF` after the peer has finished
/// (`ringway_stream_peer_status` says with what); `RINGWAY_E_RESET`, `RINGWAY_E_SESSION_ENDED`;
/// `RINGWAY_E_GAP` once where a lossy stream has lost records;
/// `RINGWAY_E_STATE` while a receive into a file is under way.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_stream_receive(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    chunk: Option<&mut MaybeUninit<ringway_chunk>>,
) -> i64 {
    guard::wide(|| {
        let place = given(chunk)?;
        given(engine)?.instance.at(stream, |slot| {
            let shared = shared(slot)?;
            let piece = shared.receiving.lend(shared.stream())?;
            place.write(chunk_of(&piece));
            Ok(piece.offset)
        })
    })
}

/// The stream, unless it could not be opened.
fn shared(slot: &Slot) -> Result<&Arc<Shared>> {
    let shared = &slot.stream()?.shared;
    match shared.stream() {
        Some(_) => Ok(shared),
        None => shared.opening_failure().map_or(Ok(shared), Err),
    }
}

fn chunk_of(piece: &Piece) -> ringway_chunk {
    ringway_chunk {
        data: piece.bytes.as_ptr().cast(),
        length: piece.bytes.len(),
        offset: piece.offset,
        flags: u32::from(piece.end_of_record) * RINGWAY_CHUNK_RECORD,
        reserved: 0,
    }
}

/// Takes `length` of the borrowed bytes for used: the peer may send as many more. An empty record
/// is taken by 0. Any thread, one at a time per stream.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`; `RINGWAY_E_STATE` when
/// nothing is borrowed; `RINGWAY_E_ARGUMENT` beyond what is.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_stream_consume(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    length: usize,
) -> c_int {
    guard::done(|| {
        given(engine)?.instance.at(stream, |slot| {
            let shared = shared(slot)?;
            let stream = shared.stream().ok_or(RINGWAY_E_STREAM_ENDED)?;
            shared.receiving.consume(stream, length as u64)
        })
    })
}

/// Takes what has arrived for good, without a copy: `*buffer` has one reference, to be given to
/// `ringway_buffer_release`, and may be kept as long as wanted, or sent on. `*chunk` describes
/// it. Returns the offset of its first byte. Any thread, one at a time per stream.
///
/// Errors: as `ringway_stream_receive`.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_stream_take(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    buffer: Option<&mut MaybeUninit<*mut ringway_buffer>>,
    chunk: Option<&mut MaybeUninit<ringway_chunk>>,
) -> i64 {
    guard::wide(|| {
        let (buffer, chunk) = (given(buffer)?, given(chunk)?);
        given(engine)?.instance.at(stream, |slot| {
            let shared = shared(slot)?;
            let piece = shared.receiving.take(shared.stream())?;
            chunk.write(chunk_of(&piece));
            let offset = piece.offset;
            give(buffer, ringway_buffer::of_bytes(piece.bytes));
            Ok(offset)
        })
    })
}

/// Copies what has arrived into `data`, up to `capacity` bytes and to the end of a record, and
/// takes it for used. `*length` is how many; `*flags` is `RINGWAY_CHUNK_RECORD` when they end a
/// record (`flags` may be NULL). Returns the offset of the first. Any thread, one at a time per
/// stream.
///
/// Errors: as `ringway_stream_receive`; `RINGWAY_E_ARGUMENT` when `capacity` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_stream_receive_into(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    data: *mut c_void,
    capacity: usize,
    length: Option<&mut MaybeUninit<usize>>,
    flags: Option<&mut MaybeUninit<u32>>,
) -> i64 {
    guard::wide(|| {
        let place = given(length)?;
        // SAFETY: P1, P3.
        let room = unsafe { room(data.cast::<u8>(), capacity) }?;
        if room.is_empty() {
            return Err(RINGWAY_E_ARGUMENT.into());
        }
        given(engine)?.instance.at(stream, |slot| {
            let shared = shared(slot)?;
            let (offset, count, ends_record) = shared.receiving.copy(shared.stream(), room)?;
            place.write(count);
            if let Some(flags) = flags {
                flags.write(u32::from(ends_record) * RINGWAY_CHUNK_RECORD);
            }
            Ok(offset)
        })
    })
}

/// Receives up to `length_max` bytes into a regular file from `offset` on, moved by the kernel
/// where the pieces are large. The descriptor is duplicated. `RINGWAY_EVENT_STREAM_FILE_RECEIVED`
/// with `token` tells the end: that many were written, the peer has finished, or the file could
/// not take them. Up to 64 may wait, which are filled in order. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`, `RINGWAY_E_DESCRIPTOR`,
/// `RINGWAY_E_LIMIT`; `RINGWAY_E_STATE` while something is borrowed, or before the stream is open;
/// `RINGWAY_E_GAP` as `ringway_stream_receive`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_stream_receive_file(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    descriptor: c_int,
    offset: u64,
    length_max: u64,
    token: u64,
) -> c_int {
    guard::done(|| {
        let instance = &given(engine)?.instance;
        instance.at(stream, |slot| {
            let shared = shared(slot)?;
            let stream = shared.stream();
            let stream = stream.ok_or(crate::code::ringway_code::RINGWAY_E_STATE)?;
            check_within_file(offset, 0)?;
            // SAFETY: the caller's own descriptor.
            let owned = unsafe { duplicate(descriptor, &[SFlag::S_IFREG]) }?;
            let file = instance.engine.regular_file(File::from(owned));
            shared
                .receiving
                .begin_file(stream, file, offset, length_max, token)
        })
    })
}

/// The status that the peer has finished its direction with: `*status` is its code, the text is
/// written as `ringway_probe_json` does. It may come before all bytes are taken. Returns the
/// length of the text. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`; `RINGWAY_E_AGAIN` while it has
/// not finished; `RINGWAY_E_RESET`, `RINGWAY_E_SESSION_ENDED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_stream_peer_status(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
    status: Option<&mut MaybeUninit<u32>>,
    buffer: *mut c_char,
    size: usize,
) -> i64 {
    guard::wide(|| {
        let place = given(status)?;
        let found = given(engine)?.instance.at(stream, |slot| {
            let shared = shared(slot)?;
            shared.receiving.peer_status(shared.stream())
        })?;
        // SAFETY: P1, P3.
        let length = unsafe { put_text(buffer, size, &found.text) }?;
        place.write(found.code);
        Ok(length)
    })
}

/// Frees the handle. What was not finished is reset, what still arrives is not wanted. Borrowed
/// bytes are gone. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_stream_free(
    engine: Option<&ringway_engine>,
    stream: ringway_stream,
) -> c_int {
    guard::done(|| {
        let instance = &given(engine)?.instance;
        instance.at(stream, |slot| slot.stream().map(drop))?;
        instance.free(stream).map(drop)
    })
}
