//! Engines.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::Duration;

use ringway::Faults;

use super::pointer::{check_result, given, options, put_result, put_text, text, text_if_any};
use crate::code::ringway_code::RINGWAY_E_ARGUMENT;
use crate::detail::{Detail, ringway_error};
use crate::failure::{Failure, Result};
use crate::instance::Instance;
use crate::options::ringway_config;
use crate::{guard, metrics};

/// An engine: its shards, and all handles that were made with it.
pub struct ringway_engine {
    pub(super) instance: Arc<Instance>,
}

/// Starts an engine. `config` may be NULL for all defaults. On success `*engine` is to be given
/// to `ringway_engine_free` once. `error` may be NULL; else its `struct_size` is set by the
/// caller, and the detail of a failure is written there.
///
/// With `RINGWAY_LOOP_CALLER` the engine belongs to the calling thread: only there its loop may
/// be polled, and it ends with that thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_STRUCT_SIZE`, `RINGWAY_E_ARGUMENT`, `RINGWAY_E_LIMIT`,
/// `RINGWAY_E_UNAVAILABLE`, `RINGWAY_E_KERNEL`. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_engine_start(
    config: *const ringway_config,
    engine: Option<&mut MaybeUninit<*mut ringway_engine>>,
    error: *mut ringway_error,
) -> c_int {
    guard::done(|| {
        let place = given(engine)?;
        // SAFETY: P1, P4, P5.
        unsafe { checked_error(error) }?;
        // SAFETY: P1, P2, P4.
        let started = unsafe { start(config, None) };
        // SAFETY: P1, P4, P5; checked above.
        give(place, unsafe { told(started, error) }?);
        Ok(())
    })
}

pub(super) fn give(place: &mut MaybeUninit<*mut ringway_engine>, instance: Arc<Instance>) {
    place.write(Box::into_raw(Box::new(ringway_engine { instance })));
}

/// # Safety
/// P1, P2, P4.
pub(super) unsafe fn start(
    config: *const ringway_config,
    faults: Option<Faults>,
) -> Result<Arc<Instance>> {
    // SAFETY: P1, P4.
    let given = unsafe { options(config) }?;
    // SAFETY: P2.
    let name = unsafe { text_if_any("name", given.name) }?;
    // SAFETY: P2.
    let masked = unsafe { text_if_any("masked", given.masked) }?;
    // SAFETY: P2.
    let cores = unsafe { text_if_any("cores", given.cores) }?;
    let mut settings = given.settings(name, masked, cores)?;
    settings.faults = faults;
    match given.is_callers()? {
        true => Instance::start_here(&settings, given.handles()?),
        false => Instance::start(settings, given.handles()?),
    }
}

/// Where the detail of a failure goes that has no handle yet.
///
/// # Safety
/// P1, P4, P5.
pub(super) unsafe fn checked_error(error: *mut ringway_error) -> Result<()> {
    match error.is_null() {
        true => Ok(()),
        // SAFETY: handed on.
        false => unsafe { check_result(error) },
    }
}

/// Writes it there.
///
/// # Safety
/// P1, P4, P5; [`checked_error`] has succeeded.
pub(super) unsafe fn told<T>(outcome: Result<T>, error: *mut ringway_error) -> Result<T> {
    if let Err(failure) = &outcome
        && !error.is_null()
    {
        let detail = Detail::for_c(Some(&failure.detail()));
        // SAFETY: handed on.
        unsafe { put_result(error, &detail) };
    }
    outcome
}

/// Ends an engine: its sessions are closed, its operations cancelled and reaped, at the latest
/// after `within_ns`. All its handles stay valid and answer `RINGWAY_E_ENGINE_STOPPED` or what
/// they know; events that were not polled yet still are there. With `RINGWAY_LOOP_CALLER` only on
/// its thread; never from a callback.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_THREAD`, `RINGWAY_E_REENTRANT`,
/// `RINGWAY_E_ENGINE_STOPPED` when it was stopped before.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_engine_stop(engine: Option<&ringway_engine>, within_ns: u64) -> c_int {
    guard::done(|| {
        given(engine)?
            .instance
            .stop(Duration::from_nanos(within_ns))
    })
}

/// Frees an engine, after stopping it if that was not done, within 1 s: that long it waits for peers
/// that have not taken its last words yet (`ringway_engine_stop` with another time before). Its pointer and its handles mean
/// nothing afterwards; no other thread may be using them. NULL is fine. Memory that was lent with
/// `ringway_buffer_wrap` is released before this returns, unless the kernel holds on to it.
///
/// Errors: `RINGWAY_E_THREAD`, `RINGWAY_E_REENTRANT`: then nothing was freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_engine_free(engine: *mut ringway_engine) -> c_int {
    guard::done(|| {
        if engine.is_null() {
            return Ok(());
        }
        // SAFETY: P1; not NULL.
        let borrowed = unsafe { &*engine };
        borrowed.instance.check_loop_thread()?;
        if !borrowed.instance.is_stopped() {
            borrowed.instance.stop(Duration::from_secs(1))?;
        }
        drop(borrowed.instance.table.clear());
        // SAFETY: P1: made by `ringway_engine_start`, freed once.
        drop(unsafe { Box::from_raw(engine) });
        Ok(())
    })
}

/// The detail of the last failure that concerned `handle`, or of the last one without a handle
/// where `handle` is 0. Its `code` is 0 when there was none. Set `error->struct_size` before.
/// A failure whose code says everything (`RINGWAY_E_AGAIN`, `RINGWAY_E_CLOSED`, …) leaves no
/// detail. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_STRUCT_SIZE`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_last_error(
    engine: Option<&ringway_engine>,
    handle: u64,
    error: *mut ringway_error,
) -> c_int {
    guard::done(|| {
        let instance = &given(engine)?.instance;
        // SAFETY: P1, P4, P5.
        unsafe { check_result(error) }?;
        let detail = match handle {
            0 => instance.last_error(),
            handle => instance.table.find(handle)?.last_error(),
        };
        // SAFETY: P1, P4, P5; checked above.
        unsafe { put_result(error, &Detail::for_c(detail.as_ref())) };
        Ok(())
    })
}

/// Sets what comes with each event of a handle. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_set_user_data(
    engine: Option<&ringway_engine>,
    handle: u64,
    user_data: u64,
) -> c_int {
    guard::done(|| {
        let slot = given(engine)?.instance.table.find(handle)?;
        slot.set_user_data(user_data);
        Ok(())
    })
}

/// What comes with each event of a handle. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_user_data(
    engine: Option<&ringway_engine>,
    handle: u64,
    user_data: Option<&mut MaybeUninit<u64>>,
) -> c_int {
    guard::done(|| {
        let place = given(user_data)?;
        let slot = given(engine)?.instance.table.find(handle)?;
        place.write(slot.user_data());
        Ok(())
    })
}

/// All counters of the engine as JSON, written as `ringway_probe_json` does. With
/// `RINGWAY_LOOP_CALLER` only on its thread; else on any.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_THREAD`, `RINGWAY_E_REENTRANT`,
/// `RINGWAY_E_ENGINE_STOPPED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_statistics_json(
    engine: Option<&ringway_engine>,
    buffer: *mut c_char,
    size: usize,
) -> i64 {
    guard::wide(|| {
        let text = metrics::json(&statistics(engine)?);
        // SAFETY: P1, P3.
        unsafe { put_text(buffer, size, &text) }
    })
}

/// All counters of the engine in Prometheus' text format, as `ringway_statistics_json`.
///
/// Errors: as `ringway_statistics_json`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_metrics(
    engine: Option<&ringway_engine>,
    buffer: *mut c_char,
    size: usize,
) -> i64 {
    guard::wide(|| {
        let text = metrics::prometheus(&statistics(engine)?);
        // SAFETY: P1, P3.
        unsafe { put_text(buffer, size, &text) }
    })
}

/// One counter by its name in the JSON; bytes by path as `path_bytes.splice_file` and so on.
///
/// Errors: as `ringway_statistics_json`; `RINGWAY_E_ARGUMENT` when there is no such counter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_statistic(
    engine: Option<&ringway_engine>,
    name: *const c_char,
    value: Option<&mut MaybeUninit<u64>>,
) -> c_int {
    guard::done(|| {
        let place = given(value)?;
        // SAFETY: P2.
        let name = unsafe { text("name", name) }?;
        let found = metrics::one(&statistics(engine)?, name);
        place.write(found.ok_or(Failure::Code(RINGWAY_E_ARGUMENT))?);
        Ok(())
    })
}

/// What runs smaller than configured because this machine gives less, as a JSON array of
/// `{"what", "wanted", "got", "reason"}`; `[]` where nothing does. Written as
/// `ringway_probe_json` does. Any thread.
///
/// Errors: `RINGWAY_E_NULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_reductions_json(
    engine: Option<&ringway_engine>,
    buffer: *mut c_char,
    size: usize,
) -> i64 {
    guard::wide(|| {
        let text = metrics::reductions(given(engine)?.instance.engine.reductions());
        // SAFETY: P1, P3.
        unsafe { put_text(buffer, size, &text) }
    })
}

fn statistics(engine: Option<&ringway_engine>) -> Result<ringway::Statistics> {
    let instance = &given(engine)?.instance;
    Ok(instance.run_now(instance.engine.statistics())??)
}
