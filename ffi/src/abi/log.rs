//! The log.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_void};

use super::pointer::given;
use crate::{guard, log};

/// Gets one line: a `ringway_log_level`, the part of the engine that writes, and the text, both
/// valid during the call. Called from any thread, with locks of the library held: call nothing of
/// the library from inside.
pub type ringway_log_fn = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        level: u32,
        part: *const c_char,
        text: *const c_char,
    ),
>;

struct Target {
    function: unsafe extern "C" fn(*mut c_void, u32, *const c_char, *const c_char),
    context: *mut c_void,
}

// SAFETY: P6: to be used from any thread.
unsafe impl Send for Target {}

// SAFETY: P6: to be used from several threads at once.
unsafe impl Sync for Target {}

impl Target {
    fn line(&self, level: u32, part: &str, text: &str) {
        // A NUL inside of a text would cut it: it becomes a blank.
        let of = |text: &str| CString::new(text.replace('\0', " ")).unwrap_or_default();
        let (part, text) = (of(part), of(text));
        // SAFETY: P6; both texts live during the call.
        unsafe { (self.function)(self.context, level, part.as_ptr(), text.as_ptr()) };
    }
}

/// Sends the log of the whole process to `function`: lines of `level` (a `ringway_log_level`) and
/// graver ones. Can be set once; `function` and `context` must stay valid until the process ends.
/// Without it nothing is logged. Any thread.
///
/// Errors: `RINGWAY_E_NULL`, `RINGWAY_E_ARGUMENT`; `RINGWAY_E_STATE` when it was set before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_log_set(
    level: u32,
    function: ringway_log_fn,
    context: *mut c_void,
) -> c_int {
    guard::done(|| {
        let function = given(function)?;
        let target = Target { function, context };
        log::set(
            level,
            Box::new(move |level, part, text| target.line(level, part, text)),
        )
    })
}
