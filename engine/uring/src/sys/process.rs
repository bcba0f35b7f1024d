//! Process and thread calls without a safe wrapper.
//!
//! Invariants:
//! 1. Every pointer passed lies in a local value or a slice that outlives the call, with its size.
#![allow(unsafe_code)]

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use ringway_io::Errno;

/// Fills `out` from getrandom(2).
///
/// # Panics
/// If the kernel has no randomness: keys must never be made from anything else.
pub(crate) fn random(out: &mut [u8]) {
    let mut filled = 0;
    while filled < out.len() {
        let rest = &mut out[filled..];
        // SAFETY: pointer and length are of one slice (1).
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(got) {
            Ok(count) => filled += count,
            Err(_) => {
                let errno = Errno::of(&std::io::Error::last_os_error());
                assert!(errno == Errno::EINTR, "getrandom(2): {errno}");
            }
        }
    }
}

/// Keeps `SIGPIPE` from this thread while it lives.
///
/// splice(2) has no `MSG_NOSIGNAL`: towards a socket whose peer is gone it raises `SIGPIPE`
/// (tried on 6.18), which would kill a C program that never heard of it. Two signal mask calls
/// cost about 0.2 µs, a splice of 256 KiB about 50 µs.
pub(crate) struct PipeSignalBlocked {
    /// The mask before; `None` where the thread blocks it anyway.
    before: Option<SigSet>,
}

impl PipeSignalBlocked {
    /// Blocks it.
    pub(crate) fn new() -> Self {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGPIPE);
        let before = mask.thread_swap_mask(SigmaskHow::SIG_BLOCK).ok();
        Self {
            before: before.filter(|set| !set.contains(Signal::SIGPIPE)),
        }
    }

    /// Discards the signal that a broken pipe may just have raised.
    pub(crate) fn discard(&self) {
        if self.before.is_none() {
            return;
        }
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGPIPE);
        let at_once = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: set and time are locals; no information is asked for (1).
        let _ = unsafe {
            libc::sigtimedwait(
                std::ptr::from_ref(mask.as_ref()),
                std::ptr::null_mut(),
                &raw const at_once,
            )
        };
    }
}

impl Drop for PipeSignalBlocked {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = before.thread_set_mask();
        }
    }
}
