//! Around every exported function: no panic crosses into C, `errno` stays, and what may not be
//! called from a callback is not.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;

use crate::callback::{self, Kind};
use crate::code::ringway_code::{RINGWAY_E_PANIC, RINGWAY_E_REENTRANT};
use crate::failure::{Failure, Result};

/// Runs `work`; its value or the code of its failure.
pub(crate) fn int(work: impl FnOnce() -> Result<i32>) -> i32 {
    guarded(work).unwrap_or_else(|failure| failure.code().number())
}

/// As [`int`], for offsets and lengths.
pub(crate) fn wide(work: impl FnOnce() -> Result<u64>) -> i64 {
    match guarded(work) {
        Ok(value) => i64::try_from(value).unwrap_or(i64::MAX),
        Err(failure) => failure.code().number().into(),
    }
}

/// As [`int`], for what has no value.
pub(crate) fn done(work: impl FnOnce() -> Result<()>) -> i32 {
    int(|| work().map(|()| 0))
}

/// Runs `work`.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    if callback::is_inside(Kind::Inner) {
        return Err(RINGWAY_E_REENTRANT.into());
    }
    let errno = Errno::last_raw();
    let outcome = catch_unwind(AssertUnwindSafe(work));
    let outcome = outcome.unwrap_or(Err(Failure::Code(RINGWAY_E_PANIC)));
    Errno::set_raw(errno);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_code_and_errno_stays() {
        std::panic::set_hook(Box::new(|_| {}));
        Errno::set_raw(4242);
        let answer = done(|| {
            Errno::set_raw(1);
            panic!("a bug")
        });
        let wide_answer = wide(|| panic!("another"));
        drop(std::panic::take_hook());
        assert_eq!(answer, RINGWAY_E_PANIC.number());
        assert_eq!(wide_answer, i64::from(RINGWAY_E_PANIC.number()));
        assert_eq!(Errno::last_raw(), 4242);
    }
}
