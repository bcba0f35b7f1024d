//! How far what was sent on a stream has got: shared by the shard and the stream's handles.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::Error;

/// What a future waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Acked(u64),
    Consumed(u64),
    FinishAcked,
}

#[derive(Debug, Default)]
struct State {
    acked: u64,
    consumed: u64,
    finish_acked: bool,
    failure: Option<Box<Error>>,
    /// Each is woken once its goal is reached, not at every ack: a bulk transfer has thousands.
    waiting: Vec<(Goal, Waker)>,
}

impl State {
    fn is_reached(&self, goal: Goal) -> bool {
        match goal {
            Goal::Acked(offset) => self.acked >= offset,
            Goal::Consumed(offset) => self.consumed >= offset,
            Goal::FinishAcked => self.finish_acked,
        }
    }

    fn register(&mut self, goal: Goal, waker: &Waker) {
        let is_known = |known: &&mut (Goal, Waker)| known.0 == goal && known.1.will_wake(waker);
        if self.waiting.iter_mut().find(is_known).is_none() {
            self.waiting.push((goal, waker.clone()));
        }
    }

    fn take_reached(&mut self) -> Vec<Waker> {
        let is_over = self.failure.is_some();
        // Most acks reach nothing that is waited for: then nothing is allocated.
        let (mut reached, mut at) = (Vec::new(), 0);
        while let Some(&(goal, _)) = self.waiting.get(at) {
            if is_over || self.is_reached(goal) {
                reached.push(self.waiting.remove(at).1);
            } else {
                at += 1;
            }
        }
        reached
    }
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
        if state.waiting.is_empty() {
            return;
        }
        let reached = state.take_reached();
        drop(state);
        reached.into_iter().for_each(Waker::wake);
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
            state.failure.get_or_insert_with(|| Box::new(error));
        });
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        self.lock().failure.as_deref().cloned()
    }

    pub(crate) fn acked(&self) -> u64 {
        self.lock().acked
    }

    pub(crate) fn consumed(&self) -> u64 {
        self.lock().consumed
    }

    fn poll(&self, goal: Goal, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut state = self.lock();
        if state.is_reached(goal) {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = &state.failure {
            return Poll::Ready(Err(Error::clone(error)));
        }
        state.register(goal, context.waker());
        Poll::Pending
    }

    pub(crate) fn poll_acked(
        &self,
        offset: u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        self.poll(Goal::Acked(offset), context)
    }

    pub(crate) fn poll_consumed(
        &self,
        offset: u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        self.poll(Goal::Consumed(offset), context)
    }

    pub(crate) fn poll_finish_acked(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll(Goal::FinishAcked, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_future_is_woken_when_its_offset_is_acked_and_not_before() {
        let (outbox, count) = (Outbox::default(), Arc::new(Count(AtomicUsize::new(0))));
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        assert!(outbox.poll_acked(100, &mut context).is_pending());
        outbox.set_acked(99);
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        outbox.set_acked(100);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(outbox.poll_acked(100, &mut context).is_ready());
    }

    #[test]
    fn a_failure_wakes_everybody() {
        let (outbox, count) = (Outbox::default(), Arc::new(Count(AtomicUsize::new(0))));
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        assert!(outbox.poll_consumed(1, &mut context).is_pending());
        assert!(outbox.poll_finish_acked(&mut context).is_pending());
        outbox.fail(Error::StreamEnded);
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
        assert!(matches!(
            outbox.poll_finish_acked(&mut context),
            Poll::Ready(Err(Error::StreamEnded))
        ));
    }
}
