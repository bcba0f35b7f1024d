//! The loop: the same calls whether the engine has threads or is the caller's.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

use super::engine::ringway_engine;
use super::pointer::{given, room};
use crate::callback::{Kind, Running};
use crate::code::ringway_code::RINGWAY_E_ARGUMENT;
use crate::event::{Sink, ringway_event};
use crate::failure::Result;
use crate::guard;

/// Events that `ringway_loop_dispatch` takes at a time.
const BATCH: usize = 64;

/// Gets one event. Everything may be called from inside but what polls or ends the loop.
pub type ringway_event_fn =
    Option<unsafe extern "C" fn(context: *mut c_void, event: *const ringway_event)>;

/// A descriptor that is readable when `ringway_loop_poll` has something to do, for poll(2),
/// epoll(7) and the like, level-triggered. It belongs to the engine: do not read, write or close
/// it. Any thread.
///
/// Before you wait for it, poll until 0 events come, or ask `ringway_loop_timeout_ns`: what you
/// asked for since may not have been handed to the kernel otherwise.
///
/// Errors: `RINGWAY_E_NULL`.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_loop_fd(engine: Option<&ringway_engine>) -> c_int {
    guard::int(|| Ok(given(engine)?.instance.descriptor()))
}

/// How long you may wait before `ringway_loop_poll` is to be called again though the descriptor
/// is not readable, ns; -1: for ever, 0: do not wait. With `RINGWAY_LOOP_CALLER` this is when the
/// next timer is due, and only its thread may ask. A loop that is not polled in time loses its
/// heartbeats: after two of them its peers take it for dead, and their sessions resume later.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_THREAD`, `RINGWAY_E_REENTRANT`,
/// `RINGWAY_E_ENGINE_STOPPED`.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_loop_timeout_ns(
    engine: Option<&ringway_engine>,
    timeout_ns: Option<&mut MaybeUninit<i64>>,
) -> c_int {
    guard::done(|| {
        let place = given(timeout_ns)?;
        let timeout = given(engine)?.instance.timeout_ns()?;
        place.write(timeout.map_or(-1, |ns| i64::try_from(ns).unwrap_or(i64::MAX)));
        Ok(())
    })
}

/// Does what is to be done without waiting, and writes up to `capacity` events; what does not fit
/// comes next time. Returns how many. With `RINGWAY_LOOP_CALLER` this is where the engine works,
/// on its thread only; else any thread, one at a time, others wait.
///
/// `capacity` may not be 0.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_ARGUMENT`, `RINGWAY_E_THREAD`, `RINGWAY_E_REENTRANT`;
/// `RINGWAY_E_ENGINE_STOPPED` after `RINGWAY_EVENT_ENGINE_STOPPED` was told.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_loop_poll(
    engine: Option<&ringway_engine>,
    events: *mut ringway_event,
    capacity: usize,
) -> c_int {
    guard::int(|| {
        // SAFETY: P1, P3.
        let places = unsafe { room(events, capacity) }?;
        let mut sink = sink(places)?;
        given(engine)?.instance.poll(&mut sink)?;
        Ok(count(&sink))
    })
}

/// As `ringway_loop_poll`, but waits up to `timeout_ns` for the first event; negative: for ever.
/// May return 0 events when the time is over.
///
/// Errors: as `ringway_loop_poll`; `RINGWAY_E_KERNEL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_loop_wait(
    engine: Option<&ringway_engine>,
    events: *mut ringway_event,
    capacity: usize,
    timeout_ns: i64,
) -> c_int {
    guard::int(|| {
        // SAFETY: P1, P3.
        let places = unsafe { room(events, capacity) }?;
        let mut sink = sink(places)?;
        let within_ns = u64::try_from(timeout_ns).ok();
        given(engine)?.instance.wait(&mut sink, within_ns)?;
        Ok(count(&sink))
    })
}

/// As `ringway_loop_poll`, but hands each event to `function`. Returns how many.
///
/// Errors: as `ringway_loop_poll`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_loop_dispatch(
    engine: Option<&ringway_engine>,
    function: ringway_event_fn,
    context: *mut c_void,
) -> c_int {
    guard::int(|| {
        let (engine, function) = (given(engine)?, given(function)?);
        let mut events = [MaybeUninit::new(ringway_event::none()); BATCH];
        let mut sink = Sink::new(&mut events);
        engine.instance.poll(&mut sink)?;
        let told = sink.count();
        let _running = Running::begin(Kind::Dispatch);
        for event in &events[..told] {
            // SAFETY: P6; all of them were initialised.
            unsafe { function(context, event.as_ptr()) };
        }
        Ok(told as c_int)
    })
}

/// Makes the loop's descriptor readable, so that a wait ends. Any thread.
///
/// Errors: `RINGWAY_E_NULL`.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_loop_wake(engine: Option<&ringway_engine>) -> c_int {
    guard::done(|| {
        given(engine)?.instance.ready.notify();
        Ok(())
    })
}

fn sink(places: &mut [MaybeUninit<ringway_event>]) -> Result<Sink<'_>> {
    match places.is_empty() {
        true => Err(RINGWAY_E_ARGUMENT.into()),
        false => Ok(Sink::new(places)),
    }
}

fn count(sink: &Sink<'_>) -> c_int {
    c_int::try_from(sink.count()).unwrap_or(c_int::MAX)
}
