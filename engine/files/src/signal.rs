//! A flag that can be waited for, and a count that can: how transfers are told to stop and how
//! their end is noticed.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

#[derive(Default, Debug)]
struct Flag {
    is_set: bool,
    wakers: Vec<Waker>,
}

/// Set once, seen by all clones.
#[derive(Clone, Default, Debug)]
pub(crate) struct Signal(Arc<Mutex<Flag>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn register(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|known| known.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}

impl Signal {
    pub(crate) fn set(&self) {
        let mut flag = lock(&self.0);
        flag.is_set = true;
        let wakers = std::mem::take(&mut flag.wakers);
        drop(flag);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_set(&self) -> bool {
        lock(&self.0).is_set
    }

    pub(crate) async fn wait(&self) {
        poll_fn(|context| {
            let mut flag = lock(&self.0);
            if flag.is_set {
                return Poll::Ready(());
            }
            register(&mut flag.wakers, context.waker());
            Poll::Pending
        })
        .await;
    }
}

#[derive(Default, Debug)]
struct Count {
    value: u64,
    wakers: Vec<Waker>,
}

/// How many of something there are; zero can be waited for.
#[derive(Clone, Default, Debug)]
pub(crate) struct Counter(Arc<Mutex<Count>>);

/// One of them, until dropped.
#[derive(Debug)]
pub(crate) struct Counted(Counter);

impl Counter {
    pub(crate) fn enter(&self) -> Counted {
        lock(&self.0).value += 1;
        Counted(self.clone())
    }

    pub(crate) fn value(&self) -> u64 {
        lock(&self.0).value
    }

    pub(crate) async fn zero(&self) {
        poll_fn(|context| {
            let mut count = lock(&self.0);
            if count.value == 0 {
                return Poll::Ready(());
            }
            register(&mut count.wakers, context.waker());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut count = lock(&self.0.0);
        count.value -= 1;
        let wakers = match count.value {
            0 => std::mem::take(&mut count.wakers),
            _ => Vec::new(),
        };
        drop(count);
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[derive(Default, Debug)]
struct Line {
    free: usize,
    next_ticket: u64,
    /// First come, first served.
    waiting: VecDeque<(u64, Waker)>,
}

impl Line {
    fn wake_first(&self) -> Option<Waker> {
        let first = self.waiting.front().filter(|_| self.free > 0);
        first.map(|(_, waker)| waker.clone())
    }
}

/// A bounded number of permits, given in the order they were asked for.
#[derive(Clone, Debug)]
pub(crate) struct Permits(Arc<Mutex<Line>>);

/// Some permits, until dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    permits: Permits,
    count: usize,
}

struct Waiting<'a> {
    permits: &'a Permits,
    count: usize,
    ticket: Option<u64>,
}

impl Permits {
    pub(crate) fn new(count: usize) -> Self {
        let free = count;
        Self(Arc::new(Mutex::new(Line {
            free,
            ..Line::default()
        })))
    }

    /// Waits for `count` permits, at most as many as there are in all.
    pub(crate) async fn acquire(&self, count: usize) -> Permit {
        let mut waiting = Waiting {
            permits: self,
            count,
            ticket: None,
        };
        poll_fn(|context| waiting.poll(context)).await;
        let permits = self.clone();
        Permit { permits, count }
    }
}

impl Waiting<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut line = lock(&self.permits.0);
        let is_first = match (self.ticket, line.waiting.front()) {
            (_, None) => true,
            (Some(own), Some((first, _))) => own == *first,
            (None, Some(_)) => false,
        };
        if is_first && line.free >= self.count {
            line.free -= self.count;
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        match self.ticket {
            None => {
                let ticket = line.next_ticket;
                line.next_ticket += 1;
                line.waiting.push_back((ticket, waker));
                self.ticket = Some(ticket);
            }
            Some(own) => {
                if let Some(place) = line.waiting.iter_mut().find(|(ticket, _)| *ticket == own) {
                    place.1 = waker;
                }
            }
        }
        Poll::Pending
    }
}

/// Leaves the line, served or not; whoever is first now may be served.
impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut line = lock(&self.permits.0);
        if let Some(own) = self.ticket {
            line.waiting.retain(|(ticket, _)| *ticket != own);
        }
        let next = line.wake_first();
        drop(line);
        next.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut line = lock(&self.permits.0);
        line.free += self.count;
        let next = line.wake_first();
        drop(line);
        next.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::{Either, race};
    use ringway::block_on;

    #[test]
    fn permits_are_bounded_and_a_waiter_that_leaves_does_not_block_the_line() {
        let permits = Permits::new(1);
        let held = block_on(permits.acquire(1));
        let set = Signal::default();
        set.set();
        let raced = block_on(race(permits.acquire(1), set.wait()));
        assert!(matches!(raced, Either::Second(())), "none was free");
        drop(held);
        drop(block_on(permits.acquire(1)));
        drop(block_on(permits.acquire(1)));
    }

    #[test]
    fn zero_is_reached_when_the_last_one_leaves() {
        let counter = Counter::default();
        let one = counter.enter();
        assert_eq!(counter.value(), 1);
        drop(one);
        block_on(counter.zero());
    }
}
