//! How far what was sent on a stream has got: shared by the shard and the stream's handles.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::Error;
use crate::wakers::Wakers;

#[derive(Debug, Default)]
struct State {
    acked: u64,
    consumed: u64,
    finish_acked: bool,
    failure: Option<Error>,
    wakers: Wakers,
}

/// Progress of one stream's sending direction.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<State>);

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.wakers.wake_all();
    }

    pub(crate) fn set_acked(&self, offset: u64) {
        self.update(|state| state.acked = state.acked.max(offset));
    }

    pub(crate) fn set_consumed(&self, offset: u64) {
        self.update(|state| state.consumed = state.consumed.max(offset));
    }

    pub(crate) fn set_finish_acked(&self) {
        self.update(|state| state.finish_acked = true);
    }

    /// Nothing more will be acked. The first failure stays.
    pub(crate) fn fail(&self, error: Error) {
        self.update(|state| {
            state.failure.get_or_insert(error);
        });
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        self.lock().failure.clone()
    }

    pub(crate) fn acked(&self) -> u64 {
        self.lock().acked
    }

    pub(crate) fn consumed(&self) -> u64 {
        self.lock().consumed
    }

    fn poll(
        &self,
        context: &mut Context<'_>,
        is_reached: impl Fn(&State) -> bool,
    ) -> Poll<Result<(), Error>> {
        let mut state = self.lock();
        if is_reached(&state) {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = &state.failure {
            return Poll::Ready(Err(error.clone()));
        }
        state.wakers.register(context.waker());
        Poll::Pending
    }

    pub(crate) fn poll_acked(
        &self,
        offset: u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        self.poll(context, |state| state.acked >= offset)
    }

    pub(crate) fn poll_consumed(
        &self,
        offset: u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        self.poll(context, |state| state.consumed >= offset)
    }

    pub(crate) fn poll_finish_acked(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll(context, |state| state.finish_acked)
    }
}
