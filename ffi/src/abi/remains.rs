//! What a session that has ended had not delivered.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::mem::MaybeUninit;

use ringway::{Payload, RetainedPayload, StreamRemains};

use super::buffer::give;
use super::engine::ringway_engine;
use super::pointer::{check_result, given, put_result};
use super::session::ringway_session;
use super::stream::RINGWAY_CHUNK_RECORD;
use crate::buffer::ringway_buffer;
use crate::failure::{Failure, Result};
use crate::guard;

/// What is left of one stream of a session that has ended. Set `struct_size` before it is filled.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_remains {
    /// `sizeof(ringway_remains)`, set by the caller.
    pub struct_size: usize,
    /// Which stream: what `ringway_stream_id` gives.
    pub stream_id: u64,
    /// Taken from the application for sending, bytes.
    pub accepted: u64,
    /// Given to a connection at least once, bytes.
    pub sent: u64,
    /// Copied by the peer's engine, bytes. What is between this and `sent` may have arrived, too.
    pub acked: u64,
    /// Taken by the peer's application, bytes.
    pub consumed: u64,
    /// Received by our engine, gaps included, bytes.
    pub received: u64,
    /// Dropped to make room (lossy streams), bytes.
    pub dropped_bytes: u64,
    /// Dropped to make room (lossy streams), records.
    pub dropped_records: u64,
    /// Pieces that were accepted and not acked: see `ringway_session_retained`.
    pub retained_count: u64,
    /// Not 0: our direction was finished, with `finish_status`, and the peer may not know.
    pub is_finished: u32,
    /// See `is_finished`.
    pub finish_status: u32,
}

/// Bytes that were accepted and not acked. Set `struct_size` before it is filled.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_retained {
    /// `sizeof(ringway_retained)`, set by the caller.
    pub struct_size: usize,
    /// Stream offset of the first.
    pub offset: u64,
    /// How many.
    pub length: u64,
    /// Not 0: they are part of a file that was sent, from `file_offset` on, and in no buffer.
    pub is_file: u32,
    /// `RINGWAY_CHUNK_RECORD` when the last one ends a record.
    pub flags: u32,
    /// See `is_file`.
    pub file_offset: u64,
}

/// How many streams of a session that has ended had not ended in both directions themselves.
/// What is left of them is kept until the session's handle is freed. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`; `RINGWAY_E_STATE` before it is
/// connected; `RINGWAY_E_AGAIN` until `RINGWAY_EVENT_SESSION_ENDED`.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_session_remains_count(
    engine: Option<&ringway_engine>,
    session: ringway_session,
) -> i64 {
    guard::wide(|| {
        given(engine)?
            .instance
            .at(session, |slot| Ok(slot.session()?.remains()?.len() as u64))
    })
}

/// What is left of one of them, from 0, in the order of their ids. Any thread.
///
/// Errors: as `ringway_session_remains_count`; `RINGWAY_E_STRUCT_SIZE`; `RINGWAY_E_LIMIT` beyond
/// the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_session_remains(
    engine: Option<&ringway_engine>,
    session: ringway_session,
    index: u64,
    remains: *mut ringway_remains,
) -> c_int {
    guard::done(|| {
        // SAFETY: P1, P4, P5.
        unsafe { check_result(remains) }?;
        let told = given(engine)?.instance.at(session, |slot| {
            Ok(told(nth(slot.session()?.remains()?, index, "streams")?))
        })?;
        // SAFETY: P1, P4, P5; checked above.
        unsafe { put_result(remains, &told) };
        Ok(())
    })
}

/// One piece of what a stream had accepted and its peer not acked, from 0, in order. `*buffer` has
/// the bytes and one reference, to be given to `ringway_buffer_release`, so that they can be sent
/// on another session; it is NULL where `is_file` is set. `buffer` may be NULL. Any thread.
///
/// Errors: as `ringway_session_remains`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_session_retained(
    engine: Option<&ringway_engine>,
    session: ringway_session,
    index: u64,
    piece: u64,
    retained: *mut ringway_retained,
    buffer: Option<&mut MaybeUninit<*mut ringway_buffer>>,
) -> c_int {
    guard::done(|| {
        // SAFETY: P1, P4, P5.
        unsafe { check_result(retained) }?;
        let kept = given(engine)?.instance.at(session, |slot| {
            let stream = nth(slot.session()?.remains()?, index, "streams")?;
            nth(&stream.retained, piece, "pieces").cloned()
        })?;
        // SAFETY: P1, P4, P5; checked above.
        unsafe { put_result(retained, &described(&kept)) };
        if let Some(place) = buffer {
            match kept.payload {
                Payload::Bytes(bytes) => give(place, ringway_buffer::of_bytes(bytes)),
                Payload::Lease(lease) => give(place, ringway_buffer::of_sent_lease(lease)),
                Payload::File(_) => drop(place.write(std::ptr::null_mut())),
            }
        }
        Ok(())
    })
}

fn nth<'a, T>(items: &'a [T], index: u64, what: &str) -> Result<&'a T> {
    let found = usize::try_from(index).ok().and_then(|at| items.get(at));
    found.ok_or_else(|| Failure::limit(what, index.saturating_add(1), items.len() as u64))
}

fn told(left: &StreamRemains) -> ringway_remains {
    let finish = left.finish.as_ref();
    ringway_remains {
        struct_size: size_of::<ringway_remains>(),
        stream_id: left.id.0,
        accepted: left.progress.accepted,
        sent: left.progress.sent,
        acked: left.progress.acked,
        consumed: left.progress.consumed,
        received: left.progress.received,
        dropped_bytes: left.progress.dropped_bytes,
        dropped_records: left.progress.dropped_records,
        retained_count: left.retained.len() as u64,
        is_finished: u32::from(finish.is_some()),
        finish_status: finish.map_or(0, |status| status.code),
    }
}

fn described(kept: &RetainedPayload) -> ringway_retained {
    let file_offset = match &kept.payload {
        Payload::File(range) => Some(range.offset),
        Payload::Bytes(_) | Payload::Lease(_) => None,
    };
    ringway_retained {
        struct_size: size_of::<ringway_retained>(),
        offset: kept.offset,
        length: kept.payload.len(),
        is_file: u32::from(file_offset.is_some()),
        flags: u32::from(kept.end_of_record) * RINGWAY_CHUNK_RECORD,
        file_offset: file_offset.unwrap_or(0),
    }
}
