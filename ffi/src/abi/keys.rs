//! Keys.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;
use std::path::Path;

use ringway::Keys;

use super::engine::{checked_error, told};
use super::pointer::{given, options, path, put_text, text};
use crate::detail::ringway_error;
use crate::failure::Result;
use crate::options::ringway_key_limits;
use crate::{guard, keys};

/// Pre-shared keys: what a listener accepts, or what a dialer proves. Never changes; may be used
/// by several threads and engines at once. Wiped when freed.
pub struct ringway_keys {
    keys: Keys,
}

/// The keys behind a pointer in options.
///
/// # Safety
/// P1; it lives during the call.
pub(super) unsafe fn keys_of(pointer: *const ringway_keys) -> Option<Keys> {
    // SAFETY: P1.
    let keys = unsafe { pointer.as_ref() };
    keys.map(|keys| keys.keys.clone())
}

/// # Safety
/// P1, P4, P5.
unsafe fn give(
    place: Option<&mut MaybeUninit<*mut ringway_keys>>,
    error: *mut ringway_error,
    make: impl FnOnce() -> Result<Keys>,
) -> c_int {
    guard::done(|| {
        let place = given(place)?;
        // SAFETY: P1, P4, P5.
        unsafe { checked_error(error) }?;
        // SAFETY: P1, P4, P5; checked above.
        let keys = unsafe { told(make(), error) }?;
        place.write(Box::into_raw(Box::new(ringway_keys { keys })));
        Ok(())
    })
}

/// The user's own keys (`~/.config/ringway/key`), which the `ringway` command uses too; made on
/// first use. `*keys` is to be given to `ringway_keys_free`. `error` may be NULL. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_STRUCT_SIZE`, `RINGWAY_E_KEY_FILE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_keys_of_user(
    keys: Option<&mut MaybeUninit<*mut ringway_keys>>,
    error: *mut ringway_error,
) -> c_int {
    // SAFETY: P1, P4, P5.
    unsafe { give(keys, error, keys::of_user) }
}

/// Reads a key file; a file that others can read is refused. With `create` not 0, makes one with
/// a new key if there is none. Any thread.
///
/// Errors: as `ringway_keys_of_user`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_keys_load(
    file: *const c_char,
    create: c_int,
    keys: Option<&mut MaybeUninit<*mut ringway_keys>>,
    error: *mut ringway_error,
) -> c_int {
    let make = || {
        // SAFETY: P2.
        let file = unsafe { path(file) }?;
        keys::load(Path::new(file), create != 0)
    };
    // SAFETY: P1, P4, P5.
    unsafe { give(keys, error, make) }
}

/// One key that the application keeps by its own means: `id` names it, `hex` is 64 hexadecimal
/// digits, which the caller should wipe. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_STRUCT_SIZE`, `RINGWAY_E_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_keys_from_hex(
    id: *const c_char,
    hex: *const c_char,
    keys: Option<&mut MaybeUninit<*mut ringway_keys>>,
    error: *mut ringway_error,
) -> c_int {
    let make = || {
        // SAFETY: P2.
        let id = unsafe { text("id", id) }?;
        // SAFETY: P2.
        let hex = unsafe { text("hex", hex) }?;
        keys::from_hex(id, hex)
    };
    // SAFETY: P1, P4, P5.
    unsafe { give(keys, error, make) }
}

/// A new random key with this id. Any thread.
///
/// Errors: as `ringway_keys_from_hex`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_keys_generate(
    id: *const c_char,
    keys: Option<&mut MaybeUninit<*mut ringway_keys>>,
    error: *mut ringway_error,
) -> c_int {
    let make = || {
        // SAFETY: P2.
        let id = unsafe { text("id", id) }?;
        keys::generate(id)
    };
    // SAFETY: P1, P4, P5.
    unsafe { give(keys, error, make) }
}

/// All of `keys` and of `more`, in a new set: for a listener that several may connect to. The
/// first of `keys` stays the first. A key of `more` with the same id as that is what it was
/// before: who connects proves the one that the listener has, a listener accepts the present one.
/// Both sets stay as they are, and are yours to free. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_STRUCT_SIZE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_keys_join(
    keys: Option<&ringway_keys>,
    more: Option<&ringway_keys>,
    joined: Option<&mut MaybeUninit<*mut ringway_keys>>,
    error: *mut ringway_error,
) -> c_int {
    let make = || {
        let (keys, more) = (given(keys)?, given(more)?);
        Ok(keys.keys.clone().join(&more.keys))
    };
    // SAFETY: P1, P4, P5.
    unsafe { give(joined, error, make) }
}

/// The same keys in a new set, with what the holder of the one called `id` may take of an engine
/// that listens with them. `limits` may be NULL: none. `keys` stays as it is, and is yours to
/// free. (In a key file limits stand behind the key.) Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_STRUCT_SIZE`, `RINGWAY_E_ARGUMENT` when there is no such
/// key among them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_keys_limit(
    keys: Option<&ringway_keys>,
    id: *const c_char,
    limits: *const ringway_key_limits,
    limited: Option<&mut MaybeUninit<*mut ringway_keys>>,
    error: *mut ringway_error,
) -> c_int {
    let make = || {
        let keys = given(keys)?.keys.clone();
        // SAFETY: P2.
        let id = unsafe { text("id", id) }?;
        // SAFETY: P1, P4.
        let limits = unsafe { options(limits) }?;
        keys::limit(keys, id, limits.settings())
    };
    // SAFETY: P1, P4, P5.
    unsafe { give(limited, error, make) }
}

/// Writes the first of `keys` into a new key file of mode 0600, whole or not at all. An existing
/// file is not replaced. `error` may be NULL. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_STRUCT_SIZE`, `RINGWAY_E_KEY_FILE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_keys_save(
    keys: Option<&ringway_keys>,
    file: *const c_char,
    error: *mut ringway_error,
) -> c_int {
    guard::done(|| {
        let keys = given(keys)?;
        // SAFETY: P2.
        let file = unsafe { path(file) }?;
        // SAFETY: P1, P4, P5.
        unsafe { checked_error(error) }?;
        let saved = Keys::create(Path::new(file), &keys.keys.own()).map_err(Into::into);
        // SAFETY: P1, P4, P5; checked above.
        unsafe { told(saved, error) }
    })
}

/// The id of the first key, written as `ringway_probe_json` does. Any thread.
///
/// Errors: `RINGWAY_E_NULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_keys_id(
    keys: Option<&ringway_keys>,
    buffer: *mut c_char,
    size: usize,
) -> i64 {
    guard::wide(|| {
        let id = given(keys)?.keys.own().id;
        // SAFETY: P1, P3.
        unsafe { put_text(buffer, size, id.as_str()) }
    })
}

/// Frees keys. Sessions and listeners that were made with them go on. NULL is fine. Any thread.
///
/// Errors: none but from inside of a callback: `RINGWAY_E_REENTRANT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_keys_free(keys: *mut ringway_keys) -> c_int {
    guard::done(|| {
        if keys.is_null() {
            return Ok(());
        }
        // SAFETY: P1: made by a function of this file, freed once.
        drop(unsafe { Box::from_raw(keys) });
        Ok(())
    })
}
