//! Listeners.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;

use nix::sys::stat::SFlag;

use super::engine::ringway_engine;
use super::keys::{keys_of, ringway_keys};
use super::pointer::{duplicate, given, options, put_text, text, text_if_any};
use crate::guard;
use crate::options::ringway_listen_options;

/// A handle of a listener; 0 is none.
pub type ringway_listener = u64;

/// Listens on `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`, on a literal address; port 0 takes a free
/// one. Each new session is told by `RINGWAY_EVENT_SESSION_ACCEPTED`. With `RINGWAY_LOOP_CALLER`
/// only on its thread; else on any.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_STRUCT_SIZE`, `RINGWAY_E_ARGUMENT`, `RINGWAY_E_LIMIT`,
/// `RINGWAY_E_THREAD`, `RINGWAY_E_REENTRANT`, `RINGWAY_E_ENGINE_STOPPED`; `RINGWAY_E_KERNEL` with
/// `EADDRINUSE`, or `EACCES` without keys where other machines can connect.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_listen(
    engine: Option<&ringway_engine>,
    address: *const c_char,
    settings: *const ringway_listen_options,
    listener: Option<&mut MaybeUninit<ringway_listener>>,
) -> c_int {
    guard::done(|| {
        let place = given(listener)?;
        let instance = &given(engine)?.instance;
        let listen = || {
            // SAFETY: P2.
            let address = unsafe { text("address", address) }?;
            // SAFETY: P1, P4.
            let given = unsafe { options(settings) }?;
            // SAFETY: P1.
            let keys = unsafe { keys_of(given.keys) };
            // SAFETY: P2.
            let control = unsafe { text_if_any("congestion_control", given.congestion_control) }?;
            instance.listen(address, given.settings(keys, control)?, given.user_data)
        };
        place.write(instance.noted(listen())?);
        Ok(())
    })
}

/// Where it listens, with the real port, written as `ringway_probe_json` does. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_listener_address(
    engine: Option<&ringway_engine>,
    listener: ringway_listener,
    buffer: *mut c_char,
    size: usize,
) -> i64 {
    guard::wide(|| {
        let address = given(engine)?.instance.at(listener, |slot| {
            Ok(slot.listener()?.listener.address().to_string())
        })?;
        // SAFETY: P1, P3.
        unsafe { put_text(buffer, size, &address) }
    })
}

/// Takes a connection that was accepted elsewhere (by a supervisor, by another process), as if it
/// had arrived here. The descriptor is duplicated; the caller's may be closed. With
/// `RINGWAY_LOOP_CALLER` only on its thread; else on any.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`, `RINGWAY_E_DESCRIPTOR`,
/// `RINGWAY_E_LIMIT`, `RINGWAY_E_THREAD`, `RINGWAY_E_REENTRANT`, `RINGWAY_E_LISTENER_CLOSED`,
/// `RINGWAY_E_ENGINE_STOPPED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_listener_adopt(
    engine: Option<&ringway_engine>,
    listener: ringway_listener,
    connection: c_int,
) -> c_int {
    guard::done(|| {
        let instance = &given(engine)?.instance;
        instance.at(listener, |slot| {
            let listener = slot.listener()?;
            // SAFETY: the caller's own descriptor.
            let socket = unsafe { duplicate(connection, &[SFlag::S_IFSOCK]) }?;
            instance.adopt_connection(listener, socket)
        })
    })
}

/// From the next handshake on these keys hold, for new sessions and for those that resume. What is
/// connected stays connected. Copied; may be freed after the call. docs/C.md says how a secret is
/// changed under live sessions. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`; `RINGWAY_E_STATE` when the
/// listener does without keys.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_listener_replace_keys(
    engine: Option<&ringway_engine>,
    listener: ringway_listener,
    keys: *const ringway_keys,
) -> c_int {
    guard::done(|| {
        let instance = &given(engine)?.instance;
        // SAFETY: P1.
        let keys = given(unsafe { keys_of(keys) })?;
        instance.at(listener, |slot| slot.listener()?.replace_keys(keys))
    })
}

/// Stops listening and frees the handle. Sessions live on; those that were not told yet are
/// closed. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_listener_close(
    engine: Option<&ringway_engine>,
    listener: ringway_listener,
) -> c_int {
    guard::done(|| {
        let instance = &given(engine)?.instance;
        instance.at(listener, |slot| slot.listener().map(drop))?;
        instance.free(listener)?.listener()?.listener.close();
        Ok(())
    })
}
