//! What the tasks of one test share, at either end.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ringway::Stream;

use super::latency::Recorder;
use super::plan::Plan;
use crate::failure::Failure;

/// One test.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) plan: Plan,
    /// Taken by our application, bytes.
    pub(super) received: AtomicU64,
    /// Answered calls, or sessions made.
    pub(super) recorder: Recorder,
    is_over: AtomicBool,
    live: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Streams we send on, with what their openings take: the peer's application tells how far
    /// it is.
    sending: Vec<(Stream, u64)>,
    finished_at: Option<Instant>,
    failure: Option<Failure>,
}

/// A task of a test. When the last one is dropped, the test has finished by itself.
#[derive(Debug)]
pub(super) struct Task(pub(super) Arc<Test>);

impl Test {
    pub(super) fn new(plan: Plan) -> Arc<Self> {
        Arc::new(Self {
            plan,
            received: AtomicU64::new(0),
            recorder: Recorder::default(),
            is_over: AtomicBool::new(false),
            live: AtomicUsize::new(0),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task begins.
    pub(super) fn task(self: &Arc<Self>) -> Task {
        self.live.fetch_add(1, Ordering::Relaxed);
        Task(Arc::clone(self))
    }

    /// Tasks cease at their next step; what fails from now on is no failure.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// When the last task was done, if so.
    pub(super) fn finished_at(&self) -> Option<Instant> {
        self.state().finished_at
    }

    /// The first failure counts: the others follow from it.
    pub(super) fn fail(&self, failure: Failure) {
        if !self.is_over() {
            self.state().failure.get_or_insert(failure);
        }
    }

    /// What went wrong, if anything did.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match &self.state().failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }

    /// Bodies go out on a stream, behind an opening of so many bytes.
    pub(super) fn add_sending(&self, stream: Stream, opening_bytes: u64) {
        self.state().sending.push((stream, opening_bytes));
    }

    /// Taken by the peer's application, bytes.
    pub(super) fn sent(&self) -> u64 {
        let state = self.state();
        let taken = state.sending.iter();
        taken
            .map(|(stream, opening)| stream.consumed_now().saturating_sub(*opening))
            .sum()
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Lets go of every stream.
    pub(super) fn clear(&self) {
        let streams = std::mem::take(&mut self.state().sending);
        drop(streams);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.0.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.state().finished_at = Some(Instant::now());
        }
    }
}
