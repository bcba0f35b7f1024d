//! What this library is, and what its codes mean.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};

use super::pointer::{put_text, text};
use crate::code::{entry, ringway_class};
use crate::{guard, probe};

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
const UNKNOWN_NAME: &str = "RINGWAY_E_?\0";
const UNKNOWN_TEXT: &str = "a code that this library does not know\0";

const BUILD: &str = if cfg!(debug_assertions) {
    concat!("ringway ", env!("CARGO_PKG_VERSION"), ", debug\0")
} else {
    concat!("ringway ", env!("CARGO_PKG_VERSION"), ", release\0")
};

/// The version as text, `major.minor.patch`. Static; never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_version() -> *const c_char {
    VERSION.as_ptr().cast()
}

/// The version as a number: major * 1,000,000 + minor * 1,000 + patch. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_version_number() -> u32 {
    let part = |text: &str| text.parse::<u32>().unwrap_or(0);
    let [major, minor, patch] = [
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    ];
    part(major) * 1_000_000 + part(minor) * 1_000 + part(patch)
}

/// How the library was built, for bug reports. Static; never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_build_info() -> *const c_char {
    BUILD.as_ptr().cast()
}

/// What a code means, in a sentence. Static; never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_strerror(code: c_int) -> *const c_char {
    let text = entry(code).map_or(UNKNOWN_TEXT, |entry| entry.text);
    text.as_ptr().cast()
}

/// The name of a code, as in this header. Static; never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_error_name(code: c_int) -> *const c_char {
    let name = entry(code).map_or(UNKNOWN_NAME, |entry| entry.name);
    name.as_ptr().cast()
}

/// Whose fault a code is: a `ringway_class`. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn ringway_error_class(code: c_int) -> c_int {
    let class = entry(code).map_or(ringway_class::RINGWAY_CLASS_INTERNAL, |entry| entry.class);
    class as c_int
}

/// Whether this machine's kernel has a feature, by its name in `ringway_probe_json`: 1 or 0. Tries
/// them as that does. Any thread.
///
/// Errors: `RINGWAY_E_NULL`; `RINGWAY_E_ARGUMENT` when there is no such feature.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_capability(name: *const c_char) -> c_int {
    guard::int(|| {
        // SAFETY: P2.
        let name = unsafe { text("name", name) }?;
        Ok(i32::from(probe::has(name)?))
    })
}

/// Tries what this machine's kernel can do, and writes it as JSON into `buffer` of `size` bytes,
/// cut to what fits, with its NUL. Takes some milliseconds; makes a ring and closes it. Any
/// thread.
///
/// Returns the length of the whole text, as snprintf(3) does; `RINGWAY_E_NULL` when `buffer` is
/// NULL and `size` is not 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_probe_json(buffer: *mut c_char, size: usize) -> i64 {
    guard::wide(|| {
        let text = probe::json_text();
        // SAFETY: P1, P3.
        unsafe { put_text(buffer, size, &text) }
    })
}
