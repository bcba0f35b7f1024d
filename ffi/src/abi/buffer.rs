//! Buffers.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::Arc;

use bytes::Bytes;

use super::engine::ringway_engine;
use super::pointer::{given, memory};
use crate::buffer::ringway_buffer;
use crate::callback::{Kind, Running};
use crate::code::ringway_code::{RINGWAY_E_AGAIN, RINGWAY_E_NULL};
use crate::guard;

/// Is told that nothing of the library refers to lent memory any more. Called once, from any
/// thread, with locks of the library held: call nothing of the library from inside.
pub type ringway_release_fn =
    Option<unsafe extern "C" fn(context: *mut c_void, data: *mut c_void, length: usize)>;

/// Memory of the application, until it is released.
struct Lent {
    data: *const u8,
    length: usize,
    release: ringway_release_fn,
    context: *mut c_void,
}

// SAFETY: P6: the release function and its context may be used from any thread; P3: the memory is
// only read from now on.
unsafe impl Send for Lent {}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: P3, until the release; not NULL, checked by `ringway_buffer_wrap`.
        unsafe { std::slice::from_raw_parts(self.data, self.length) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            let _running = Running::begin(Kind::Inner);
            // SAFETY: P6; called once, nothing refers to the memory any more.
            unsafe { release(self.context, self.data.cast_mut().cast(), self.length) };
        }
    }
}

pub(super) fn give(place: &mut MaybeUninit<*mut ringway_buffer>, buffer: ringway_buffer) {
    place.write(Arc::into_raw(Arc::new(buffer)).cast_mut());
}

/// Borrows at least `length` bytes of the engine's registered memory: what is written there
/// leaves without a copy where the route allows. `*buffer` has one reference, to be given to
/// `ringway_buffer_release`. Write it before it is sent for the first time, not later. With
/// `RINGWAY_LOOP_CALLER` only on its thread; else on any.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_THREAD`, `RINGWAY_E_REENTRANT`,
/// `RINGWAY_E_ENGINE_STOPPED`; `RINGWAY_E_AGAIN` when none is free now, or none is so large.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_buffer_allocate(
    engine: Option<&ringway_engine>,
    length: usize,
    buffer: Option<&mut MaybeUninit<*mut ringway_buffer>>,
) -> c_int {
    guard::done(|| {
        let place = given(buffer)?;
        let instance = &given(engine)?.instance;
        let lease = instance.run_now(instance.engine.lease(length.max(1)))??;
        give(
            place,
            ringway_buffer::of_lease(lease.ok_or(RINGWAY_E_AGAIN)?),
        );
        Ok(())
    })
}

/// Lends `length` bytes of the application's memory. They must stay as they are until `release`
/// is called, which may be long after the last `ringway_buffer_release`: what was sent is kept
/// until the peer's engine has acked it. `release` may be NULL for memory that stays for ever.
/// Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_LIMIT`; `release` is not called then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_buffer_wrap(
    data: *mut c_void,
    length: usize,
    release: ringway_release_fn,
    context: *mut c_void,
    buffer: Option<&mut MaybeUninit<*mut ringway_buffer>>,
) -> c_int {
    guard::done(|| {
        let place = given(buffer)?;
        if data.is_null() {
            return Err(RINGWAY_E_NULL.into());
        }
        // SAFETY: P1, P3: only its length is checked.
        unsafe { memory(data, length) }?;
        let lent = Lent {
            data: data.cast(),
            length,
            release,
            context,
        };
        give(place, ringway_buffer::of_bytes(Bytes::from_owner(lent)));
        Ok(())
    })
}

/// Where the memory lies. Writable before it is sent for the first time, if it was allocated.
/// NULL only for a NULL buffer. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_buffer_data(buffer: Option<&ringway_buffer>) -> *mut c_void {
    buffer.map_or(std::ptr::null_mut(), |buffer| buffer.data().cast())
}

/// Its size, bytes; 0 for a NULL buffer. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_buffer_length(buffer: Option<&ringway_buffer>) -> usize {
    buffer.map_or(0, ringway_buffer::length)
}

/// Adds a reference. Any thread.
///
/// Errors: `RINGWAY_E_NULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_buffer_retain(buffer: *const ringway_buffer) -> c_int {
    guard::done(|| {
        if buffer.is_null() {
            return Err(RINGWAY_E_NULL.into());
        }
        // SAFETY: P1: it came from `Arc::into_raw` and has a reference still.
        unsafe { Arc::increment_strong_count(buffer) };
        Ok(())
    })
}

/// Drops a reference; with the last one the pointer means nothing any more. What was sent of it
/// is kept by the engine all the same. NULL is fine. Any thread.
///
/// Errors: none but from inside of a callback: `RINGWAY_E_REENTRANT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_buffer_release(buffer: *const ringway_buffer) -> c_int {
    guard::done(|| {
        if !buffer.is_null() {
            // SAFETY: P1: it came from `Arc::into_raw`, and this reference is given up.
            drop(unsafe { Arc::from_raw(buffer) });
        }
        Ok(())
    })
}
