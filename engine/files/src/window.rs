//! Several futures under way at once inside one task, and the small ways to wait for two.
//!
//! Structured on purpose: dropping a [`Window`] drops what it holds, so that a cancelled run
//! leaves nothing behind.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

#[derive(Default)]
struct Ready {
    queue: VecDeque<usize>,
    waker: Option<Waker>,
}

struct SlotWaker {
    index: usize,
    ready: Arc<Mutex<Ready>>,
}

fn lock(ready: &Mutex<Ready>) -> MutexGuard<'_, Ready> {
    ready.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut ready = lock(&self.ready);
        if !ready.queue.contains(&self.index) {
            ready.queue.push_back(self.index);
        }
        let waker = ready.waker.clone();
        drop(ready);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Futures under way at once; only those that were woken are polled.
pub(crate) struct Window<'a, T> {
    slots: Vec<Option<Boxed<'a, T>>>,
    wakers: Vec<Waker>,
    vacant: Vec<usize>,
    ready: Arc<Mutex<Ready>>,
}

impl<'a, T> Window<'a, T> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            wakers: Vec::new(),
            vacant: Vec::new(),
            ready: Arc::default(),
        }
    }

    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    pub(crate) fn push(&mut self, future: impl Future<Output = T> + 'a) {
        let index = self.vacant.pop().unwrap_or_else(|| self.add_slot());
        self.slots[index] = Some(Box::pin(future));
        lock(&self.ready).queue.push_back(index);
    }

    fn add_slot(&mut self) -> usize {
        let index = self.slots.len();
        let ready = Arc::clone(&self.ready);
        self.slots.push(None);
        self.wakers
            .push(Waker::from(Arc::new(SlotWaker { index, ready })));
        index
    }

    /// The next one that ends; `None` when none is under way.
    pub(crate) async fn next(&mut self) -> Option<T> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        if self.len() == 0 {
            return Poll::Ready(None);
        }
        lock(&self.ready).waker = Some(context.waker().clone());
        loop {
            let next = lock(&self.ready).queue.pop_front();
            let Some(index) = next else {
                return Poll::Pending;
            };
            let Some(future) = self.slots[index].as_mut() else {
                continue;
            };
            let mut own = Context::from_waker(&self.wakers[index]);
            if let Poll::Ready(value) = future.as_mut().poll(&mut own) {
                self.slots[index] = None;
                self.vacant.push(index);
                return Poll::Ready(Some(value));
            }
        }
    }
}

/// Which of two ended first.
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}

/// Waits for the first of two; the other is dropped. When both are ready, the first counts.
pub(crate) async fn race<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|context| {
        if let Poll::Ready(value) = a.as_mut().poll(context) {
            return Poll::Ready(Either::First(value));
        }
        b.as_mut().poll(context).map(Either::Second)
    })
    .await
}

/// Waits for two.
pub(crate) async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|context| {
        if first.is_none() {
            first = ready(a.as_mut().poll(context));
        }
        if second.is_none() {
            second = ready(b.as_mut().poll(context));
        }
        match (first.take(), second.take()) {
            (Some(one), Some(two)) => Poll::Ready((one, two)),
            (one, two) => {
                (first, second) = (one, two);
                Poll::Pending
            }
        }
    })
    .await
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Signal;

    #[test]
    fn a_window_gives_what_ends_first_and_polls_only_what_was_woken() {
        let gates: Vec<Signal> = (0..3).map(|_| Signal::default()).collect();
        let mut window = Window::new();
        for (index, gate) in gates.iter().enumerate() {
            window.push(async move {
                gate.wait().await;
                index
            });
        }
        gates[1].set();
        assert_eq!(ringway::block_on(window.next()), Some(1));
        assert_eq!(window.len(), 2);
        gates[2].set();
        gates[0].set();
        let rest = [
            ringway::block_on(window.next()),
            ringway::block_on(window.next()),
        ];
        assert!(rest.contains(&Some(0)) && rest.contains(&Some(2)));
        assert_eq!(ringway::block_on(window.next()), None);
    }

    #[test]
    fn dropping_a_window_drops_what_it_holds() {
        let (held, signal) = (Arc::new(()), Signal::default());
        let mut window = Window::new();
        let inside = Arc::clone(&held);
        window.push(async {
            signal.wait().await;
            drop(inside);
        });
        drop(window);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn both_waits_for_both_and_race_for_one() {
        let (set, never) = (Signal::default(), Signal::default());
        set.set();
        assert_eq!(ringway::block_on(both(async { 1 }, async { 2 })), (1, 2));
        let raced = ringway::block_on(race(never.wait(), set.wait()));
        assert!(matches!(raced, Either::Second(())));
    }
}
