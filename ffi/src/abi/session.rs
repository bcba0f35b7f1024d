//! Sessions.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};
use std::io;
use std::mem::MaybeUninit;

use nix::sys::stat::SFlag;
use ringway::{SessionState, Status};

use super::engine::ringway_engine;
use super::keys::keys_of;
use super::pointer::{
    check_result, duplicate, given, options, put_result, put_text, text, text_if_any,
};
use crate::code::ringway_code::RINGWAY_E_STATE;
use crate::failure::{Result, of_close};
use crate::options::ringway_connect_options;
use crate::session::SessionSlot;
use crate::settings::Dialling;
use crate::{guard, metrics};

/// A handle of a session; 0 is none.
pub type ringway_session = u64;

/// Where a session stands.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ringway_session_state {
    /// The first connection is being made.
    RINGWAY_SESSION_CONNECTING = 0,
    /// A connection is attached.
    RINGWAY_SESSION_CONNECTED = 1,
    /// No connection; it is being made again, within the resume window.
    RINGWAY_SESSION_DISCONNECTED = 2,
    /// Over, for good.
    RINGWAY_SESSION_ENDED = 3,
}

use ringway_session_state as state;

/// What is known about a session. Set `struct_size` before it is filled.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_session_info {
    /// `sizeof(ringway_session_info)`, set by the caller.
    pub struct_size: usize,
    /// A `ringway_session_state`.
    pub state: u32,
    /// Once it has ended: a `ringway_code`, why.
    pub code: i32,
    /// The session's id, the same at both ends.
    pub id: [u8; 16],
    /// Counts its connections, from 1; 0 while there is none.
    pub epoch: u64,
    /// Attempts to connect again since the connection was lost.
    pub attempts: u64,
    /// New at each start of the peer's process.
    pub peer_incarnation: u64,
    /// Which shard owns it, counted from 1.
    pub shard_number: u32,
    /// 0.
    pub reserved: u32,
}

/// Connects to `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`. Returns at once with the handle;
/// `RINGWAY_EVENT_SESSION_CONNECTED` tells the outcome. A failed one is to be freed like any
/// other. Streams can be opened after that event. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_STRUCT_SIZE`, `RINGWAY_E_ARGUMENT`,
/// `RINGWAY_E_DESCRIPTOR`, `RINGWAY_E_LIMIT`, `RINGWAY_E_ENGINE_STOPPED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_connect(
    engine: Option<&ringway_engine>,
    address: *const c_char,
    settings: *const ringway_connect_options,
    session: Option<&mut MaybeUninit<ringway_session>>,
) -> c_int {
    guard::done(|| {
        let place = given(session)?;
        let instance = &given(engine)?.instance;
        let connect = || {
            // SAFETY: P2.
            let address = unsafe { text("address", address) }?;
            // SAFETY: P1, P4.
            let given = unsafe { options(settings) }?;
            // SAFETY: P1.
            let keys = unsafe { keys_of(given.keys) };
            // SAFETY: P2.
            let control = unsafe { text_if_any("congestion_control", given.congestion_control) }?;
            let connect_options = given.settings(keys.as_ref(), control)?;
            let mut dialling = Dialling {
                descriptor: None,
                asks_application: given.own_dialer != 0,
            };
            if given.has_descriptor != 0 {
                // SAFETY: the caller's own descriptor.
                let first = unsafe { duplicate(given.descriptor, &[SFlag::S_IFSOCK]) }?;
                dialling.descriptor = Some(first);
            }
            instance.connect(address, connect_options, dialling, given.user_data)
        };
        place.write(instance.noted(connect())?);
        Ok(())
    })
}

/// Answers `RINGWAY_EVENT_DIAL`: with a connected stream socket, which is duplicated, or with a
/// negative errno if none could be made; then the engine asks again later. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`, `RINGWAY_E_DESCRIPTOR`;
/// `RINGWAY_E_STATE` when nothing was asked, or was answered already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_session_dialled(
    engine: Option<&ringway_engine>,
    session: ringway_session,
    descriptor: c_int,
) -> c_int {
    guard::done(|| {
        given(engine)?.instance.at(session, |slot| {
            let desk = slot.session()?.desk.as_ref().ok_or(RINGWAY_E_STATE)?;
            let answer = match descriptor {
                errno if errno < 0 => Err(io::Error::from_raw_os_error(errno.saturating_neg())),
                // SAFETY: the caller's own descriptor.
                number => Ok(unsafe { duplicate(number, &[SFlag::S_IFSOCK]) }?),
            };
            desk.answer(answer)
        })
    })
}

/// Where a session stands, at once. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_STRUCT_SIZE`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_session_query(
    engine: Option<&ringway_engine>,
    session: ringway_session,
    info: *mut ringway_session_info,
) -> c_int {
    guard::done(|| {
        // SAFETY: P1, P4, P5.
        unsafe { check_result(info) }?;
        let known = given(engine)?
            .instance
            .at(session, |slot| Ok(known(slot.session()?)))?;
        // SAFETY: P1, P4, P5; checked above.
        unsafe { put_result(info, &known) };
        Ok(())
    })
}

fn known(slot: &SessionSlot) -> ringway_session_info {
    let mut info = ringway_session_info {
        struct_size: size_of::<ringway_session_info>(),
        state: state::RINGWAY_SESSION_CONNECTING as u32,
        code: 0,
        id: [0; 16],
        epoch: 0,
        attempts: 0,
        peer_incarnation: 0,
        shard_number: 0,
        reserved: 0,
    };
    let Ok(session) = slot.session() else {
        return info;
    };
    info.id = session.id().to_bytes();
    info.peer_incarnation = session.peer().incarnation;
    info.shard_number = session.shard() as u32 + 1;
    match session.state() {
        SessionState::Connected { epoch } => {
            info.state = state::RINGWAY_SESSION_CONNECTED as u32;
            info.epoch = epoch.0;
        }
        SessionState::Disconnected { attempts } => {
            info.state = state::RINGWAY_SESSION_DISCONNECTED as u32;
            info.attempts = attempts.into();
        }
        SessionState::Ended(reason) => {
            info.state = state::RINGWAY_SESSION_ENDED as u32;
            info.code = of_close(&reason).code.number();
        }
    }
    info
}

/// The endpoint name of the peer, as proven in the first handshake, written as
/// `ringway_probe_json` does. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`; `RINGWAY_E_STATE` before it is
/// connected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_session_peer_name(
    engine: Option<&ringway_engine>,
    session: ringway_session,
    buffer: *mut c_char,
    size: usize,
) -> i64 {
    guard::wide(|| {
        let name = given(engine)?.instance.at(session, |slot| {
            Ok(slot.session()?.session()?.peer().name.to_string())
        })?;
        // SAFETY: P1, P3.
        unsafe { put_text(buffer, size, &name) }
    })
}

/// The id of the key that the peer has proven, empty without keys; as
/// `ringway_session_peer_name`.
///
/// Errors: as `ringway_session_peer_name`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_session_peer_key_id(
    engine: Option<&ringway_engine>,
    session: ringway_session,
    buffer: *mut c_char,
    size: usize,
) -> i64 {
    guard::wide(|| {
        let id = given(engine)?.instance.at(session, |slot| {
            let key_id = slot.session()?.session()?.peer().key_id.as_ref();
            Ok(key_id.map_or_else(String::new, ToString::to_string))
        })?;
        // SAFETY: P1, P3.
        unsafe { put_text(buffer, size, &id) }
    })
}

/// What one session counts and holds (docs/METRICS.md) as JSON, written as `ringway_probe_json`
/// does. With `RINGWAY_LOOP_CALLER` only on its thread; else on any.
///
/// Errors: as `ringway_session_peer_name`; `RINGWAY_E_THREAD`, `RINGWAY_E_REENTRANT`,
/// `RINGWAY_E_ENGINE_STOPPED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_session_statistics_json(
    engine: Option<&ringway_engine>,
    session: ringway_session,
    buffer: *mut c_char,
    size: usize,
) -> i64 {
    guard::wide(|| {
        let instance = &given(engine)?.instance;
        let asked = instance.at(session, |slot| Ok(slot.session()?.session()?.clone()))?;
        let counted = instance.run_now(asked.statistics())??;
        // SAFETY: P1, P3.
        unsafe { put_text(buffer, size, &metrics::document(counted.metrics())) }
    })
}

/// Gives up the present connection and makes a new one at once; on the side that did not dial,
/// nothing happens. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`, `RINGWAY_E_STATE` before it is
/// connected.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_session_reconnect(
    engine: Option<&ringway_engine>,
    session: ringway_session,
) -> c_int {
    guard::done(|| {
        given(engine)?.instance.at(session, |slot| {
            slot.session()?.session()?.reconnect_now();
            Ok(())
        })
    })
}

/// Refuses new streams, lets those that were accepted end, then closes; at the latest after
/// `drain_timeout_ns`. `RINGWAY_EVENT_SESSION_DRAINED` tells. Any thread.
///
/// Errors: as `ringway_session_reconnect`.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_session_drain(
    engine: Option<&ringway_engine>,
    session: ringway_session,
) -> c_int {
    guard::done(|| {
        given(engine)?
            .instance
            .at(session, |slot| slot.session()?.begin_drain())
    })
}

/// Ends a session now, telling the peer `status` (0: all is well; below 1,000 they are
/// Ringway's) and `reason`, which may be NULL. Returns at once; the handle stays, and
/// `RINGWAY_EVENT_SESSION_ENDED` tells when it is over. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_ARGUMENT`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_session_close(
    engine: Option<&ringway_engine>,
    session: ringway_session,
    status: u32,
    reason: *const c_char,
) -> c_int {
    guard::done(|| {
        given(engine)?.instance.at(session, |slot| {
            // SAFETY: P2.
            let status = unsafe { status_of(status, reason) }?;
            slot.session()?.close(status);
            Ok(())
        })
    })
}

/// A status as C gives it.
///
/// # Safety
/// P2.
pub(super) unsafe fn status_of(code: u32, text: *const c_char) -> Result<Status> {
    // SAFETY: P2.
    let text = unsafe { text_if_any("text", text) }?;
    Ok(Status::new(code, text.unwrap_or_default()))
}

/// Ends a session now, without waiting for anything, and frees the handle. Its streams end with
/// it; their handles stay until they are freed. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_session_abort(
    engine: Option<&ringway_engine>,
    session: ringway_session,
) -> c_int {
    guard::done(|| {
        let instance = &given(engine)?.instance;
        instance.at(session, |slot| slot.session().map(drop))?;
        instance.free(session)?.session()?.close(Status::dropped());
        Ok(())
    })
}

/// Frees the handle. A session that is still up drains and closes by itself once its streams are
/// freed too. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_CLOSED`, `RINGWAY_E_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_session_free(
    engine: Option<&ringway_engine>,
    session: ringway_session,
) -> c_int {
    guard::done(|| {
        let instance = &given(engine)?.instance;
        instance.at(session, |slot| slot.session().map(drop))?;
        instance.free(session)?.session()?.give_up();
        Ok(())
    })
}
