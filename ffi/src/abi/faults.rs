//! Faults to rehearse with: experimental, so the header hides it behind `RINGWAY_EXPERIMENTAL`.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;

use super::engine::{checked_error, give, ringway_engine, start, told};
use super::pointer::{given, put_text, text};
use crate::detail::ringway_error;
use crate::options::ringway_config;
use crate::{faults, guard};

/// EXPERIMENTAL: may change or go. As `ringway_engine_start`, of an engine that makes its own
/// network and disk fail as `plan` says (docs/FAULTS.md has the words; empty: not yet), with what
/// is drawn drawn from `seed`.
///
/// Errors: as `ringway_engine_start`; `RINGWAY_E_ARGUMENT` when the plan cannot be understood.
#[cfg(feature = "experimental")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_engine_start_with_faults(
    config: *const ringway_config,
    seed: u64,
    plan: *const c_char,
    engine: Option<&mut MaybeUninit<*mut ringway_engine>>,
    error: *mut ringway_error,
) -> c_int {
    guard::done(|| {
        let place = given(engine)?;
        // SAFETY: P1, P4, P5.
        unsafe { checked_error(error) }?;
        let begin = || {
            // SAFETY: P2.
            let plan = faults::plan(unsafe { text("plan", plan) }?)?;
            // SAFETY: P1, P2, P4.
            unsafe { start(config, Some(ringway::Faults::new(seed, plan))) }
        };
        // SAFETY: P1, P4, P5; checked above.
        give(place, unsafe { told(begin(), error) }?);
        Ok(())
    })
}

/// EXPERIMENTAL: may change or go. Another plan from now on. Any thread.
///
/// Errors: `RINGWAY_E_NULL`; `RINGWAY_E_ARGUMENT` when it cannot be understood; `RINGWAY_E_STATE`
/// when the engine was started without faults.
#[cfg(feature = "experimental")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_faults_set(
    engine: Option<&ringway_engine>,
    plan: *const c_char,
) -> c_int {
    guard::done(|| {
        let instance = &given(engine)?.instance;
        // SAFETY: P2.
        let plan = unsafe { text("plan", plan) }.and_then(faults::plan);
        let plan = instance.noted(plan)?;
        faults::of(instance)?.set(plan);
        Ok(())
    })
}

/// EXPERIMENTAL: may change or go. How many faults of each kind were injected, as JSON, written as
/// `ringway_probe_json` does. Any thread.
///
/// Errors: `RINGWAY_E_NULL`; `RINGWAY_E_STATE` when the engine was started without faults.
#[cfg(feature = "experimental")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_faults_json(
    engine: Option<&ringway_engine>,
    buffer: *mut c_char,
    size: usize,
) -> i64 {
    guard::wide(|| {
        let text = faults::json(faults::of(&given(engine)?.instance)?);
        // SAFETY: P1, P3.
        unsafe { put_text(buffer, size, &text) }
    })
}
