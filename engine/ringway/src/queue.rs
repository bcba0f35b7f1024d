//! A queue that a shard fills and futures empty: accepted sessions, accepted streams.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::wakers::Wakers;

/// Items on their way from a shard to whoever accepts them. Its bound is the filler's: the limit
/// on sessions, the credit on streams.
#[derive(Debug)]
pub(crate) struct Queue<T, E>(Mutex<State<T, E>>);

#[derive(Debug)]
struct State<T, E> {
    items: VecDeque<T>,
    end: Option<E>,
    wakers: Wakers,
}

impl<T, E> Default for Queue<T, E> {
    fn default() -> Self {
        Self(Mutex::new(State {
            items: VecDeque::new(),
            end: None,
            wakers: Wakers::default(),
        }))
    }
}

impl<T, E: Clone> Queue<T, E> {
    fn lock(&self) -> MutexGuard<'_, State<T, E>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item; gives it back after the end.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.end.is_some() {
            return Err(item);
        }
        state.items.push_back(item);
        state.wakers.wake_all();
        Ok(())
    }

    /// Nothing more will come; items already queued are still handed out. The first end stays.
    pub(crate) fn end(&self, end: E) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        state.wakers.wake_all();
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Takes everything that waits; used when nobody will.
    pub(crate) fn take_all(&self) -> VecDeque<T> {
        std::mem::take(&mut self.lock().items)
    }

    pub(crate) fn poll_pop(&self, context: &mut Context<'_>) -> Poll<Result<T, E>> {
        let mut state = self.lock();
        if let Some(item) = state.items.pop_front() {
            return Poll::Ready(Ok(item));
        }
        if let Some(end) = &state.end {
            return Poll::Ready(Err(end.clone()));
        }
        state.wakers.register(context.waker());
        Poll::Pending
    }
}
