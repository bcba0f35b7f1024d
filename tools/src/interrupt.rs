//! SIGINT and SIGTERM as a future.
//!
//! The first signal asks the command to end cleanly: resume points are kept, temporary files are
//! removed. A second one ends the process at once.

use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::exit::Exit;
use crate::failure::Failure;

/// Whether an end was asked for; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    requested: bool,
    wakers: Vec<Waker>,
    to_remove: Vec<PathBuf>,
}

impl Interrupt {
    /// Takes over the signals of this process.
    pub(crate) fn install() -> Result<Self, Failure> {
        let fail = |error| Failure::io("watch for signals", &error);
        // Its default ends the process; handled, the write fails with EFBIG, and only the one
        // transfer that is too large ends (setrlimit(2), `RLIMIT_FSIZE`).
        signal_hook::flag::register(SIGXFSZ, Arc::default()).map_err(fail)?;
        let interrupt = Self::default();
        let shared = interrupt.clone();
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(fail)?;
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for _ in &mut signals {
                    if !shared.request() {
                        shared.end_at_once();
                    }
                }
            })
            .map_err(|error| Failure::io("start a thread for signals", &error))?;
        Ok(interrupt)
    }

    /// Asks for the end; `false` if it was asked for before.
    pub(crate) fn request(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = !std::mem::replace(&mut state.requested, true);
        state.wakers.drain(..).for_each(Waker::wake);
        first
    }

    /// Names a directory that is removed even if the process has to end at once.
    pub(crate) fn remove_at_end(&self, directory: PathBuf) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.to_remove.push(directory);
    }

    fn end_at_once(&self) -> ! {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for directory in state.to_remove.drain(..) {
            // Most likely the first signal is just having it removed.
            let _ = std::fs::remove_dir_all(directory);
        }
        std::process::exit(i32::from(Exit::Interrupted.number()));
    }

    /// Whether the end was asked for.
    pub(crate) fn is_requested(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .requested
    }

    /// Fails if the end was asked for: between two steps of blocking work.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.is_requested() {
            true => Err(Failure::interrupted()),
            false => Ok(()),
        }
    }

    /// Resolves when the end is asked for.
    pub(crate) async fn requested(&self) {
        poll_fn(|context| {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.requested {
                return Poll::Ready(());
            }
            if !state
                .wakers
                .iter()
                .any(|each| each.will_wake(context.waker()))
            {
                state.wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Runs `work` until it is done or the end is asked for; then it is dropped.
    pub(crate) async fn unless_requested<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut work = pin!(work);
        let mut requested = pin!(self.requested());
        poll_fn(|context| {
            if let Poll::Ready(result) = work.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            let interrupted = requested.as_mut().poll(context);
            interrupted.map(|()| Err(Failure::interrupted()))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_work_that_would_never_end() {
        let interrupt = Interrupt::default();
        let other = interrupt.clone();
        let thread = thread::spawn(move || other.request());
        let never = std::future::pending::<Result<(), Failure>>();
        let ended = ringway::block_on(interrupt.unless_requested(never));
        assert_eq!(ended.expect_err("interrupted").exit, Exit::Interrupted);
        assert!(thread.join().expect("no panic"), "it was the first request");
        assert!(!interrupt.request(), "the second is told apart");
        assert!(interrupt.check().is_err());
    }

    #[test]
    fn work_that_is_done_wins() {
        let interrupt = Interrupt::default();
        interrupt.request();
        let done = ringway::block_on(interrupt.unless_requested(async { Ok(1) }));
        assert_eq!(done.ok(), Some(1));
    }
}
