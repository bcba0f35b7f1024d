//! One answer from a shard to one waiting future.
//!
//! Dropping the [`Reply`] unanswered resolves the future with [`Error::EngineStopped`], so nobody
//! hangs on a shard that has gone.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::Error;

enum State<T> {
    Waiting(Option<Waker>),
    Answered(T),
    /// The shard let go without an answer.
    Abandoned,
    /// The future was dropped: an answer goes back to the shard.
    Forgotten,
    Taken,
}

struct Shared<T>(Mutex<State<T>>);

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shard's side: answers once.
pub(crate) struct Reply<T>(Option<Arc<Shared<T>>>);

/// The caller's side: a future of the answer.
pub(crate) struct Answer<T>(Arc<Shared<T>>);

/// Makes both sides.
pub(crate) fn reply<T>() -> (Reply<T>, Answer<T>) {
    let shared = Arc::new(Shared(Mutex::new(State::Waiting(None))));
    (Reply(Some(Arc::clone(&shared))), Answer(shared))
}

impl<T> Reply<T> {
    /// Answers; gives the value back when nobody waits any more.
    pub(crate) fn send(mut self, value: T) -> Result<(), T> {
        let Some(shared) = self.0.take() else {
            return Err(value);
        };
        let mut state = shared.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Waiting(waker) => {
                *state = State::Answered(value);
                drop(state);
                if let Some(waker) = waker {
                    waker.wake();
                }
                Ok(())
            }
            other => {
                *state = other;
                Err(value)
            }
        }
    }

    /// Whether the waiting future was dropped.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|shared| matches!(*shared.lock(), State::Forgotten))
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let mut state = shared.lock();
        if let State::Waiting(waker) = &mut *state {
            let waker = waker.take();
            *state = State::Abandoned;
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<T> std::fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reply")
    }
}

impl<T> Answer<T> {
    /// Takes an answer that came but was never polled; afterwards none can come.
    pub(crate) fn abandon(&self) -> Option<T> {
        match std::mem::replace(&mut *self.0.lock(), State::Forgotten) {
            State::Answered(value) => Some(value),
            _ => None,
        }
    }
}

impl<T> Future for Answer<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Answered(value) => Poll::Ready(Ok(value)),
            State::Waiting(_) => {
                *state = State::Waiting(Some(context.waker().clone()));
                Poll::Pending
            }
            State::Abandoned | State::Forgotten | State::Taken => {
                Poll::Ready(Err(Error::EngineStopped))
            }
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        drop(self.abandon());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_on;

    #[test]
    fn an_answer_arrives_and_a_dropped_reply_is_an_error() {
        let (sender, answer) = reply::<u32>();
        assert_eq!(sender.send(7), Ok(()));
        assert_eq!(block_on(answer).expect("answered"), 7);
        let (sender, answer) = reply::<u32>();
        drop(sender);
        assert!(matches!(block_on(answer), Err(Error::EngineStopped)));
    }

    #[test]
    fn an_answer_to_a_dropped_future_comes_back_to_the_sender() {
        let (sender, answer) = reply::<u32>();
        drop(answer);
        assert!(sender.is_forgotten());
        assert_eq!(sender.send(7), Err(7));
    }
}
