//! What has something to tell.
//!
//! A [`Bell`] belongs to one handle and one purpose. It is a waker: a future that waits for the
//! shard rings it from whatever thread. A rung bell stands in the queue once, however often it is
//! rung, until a poll of the loop takes it: so the queue never holds more than a few entries per
//! handle.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, Wake, Waker};

use crossbeam::queue::SegQueue;
use nix::sys::eventfd::EventFd;
use ringway::LoopBell;

/// What a bell of a handle is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A connection is made, a stream opened, a transfer done.
    Outcome,
    /// A session's state, a transfer's progress.
    State,
    /// Something arrived: a session, a stream.
    Accept,
    /// The application's own dialer is asked.
    Dial,
    /// A drain has ended.
    Drain,
    /// Bytes, or their end.
    Readable,
    /// Sends were accepted.
    Sends,
    /// Sends were acked or consumed.
    Watches,
    /// A receive into a file has ended.
    Receives,
}

/// How a waiting loop is told.
pub(crate) enum Notifier {
    /// Its own descriptor; the flag spares system calls.
    Descriptor(EventFd, AtomicBool),
    /// The caller's thread is the shard.
    Loop(LoopBell),
}

/// The queue of one engine.
pub(crate) struct Ready {
    rung: SegQueue<Arc<Bell>>,
    notifier: OnceLock<Notifier>,
}

/// One handle's bell for one purpose.
pub(crate) struct Bell {
    pub(crate) handle: u64,
    pub(crate) purpose: Purpose,
    is_rung: AtomicBool,
    /// Weak, because the queue holds bells: those that nobody polls any more must go with it.
    ready: Weak<Ready>,
}

/// A bell with the waker made of it.
pub(crate) struct Ringer {
    bell: Arc<Bell>,
    waker: Waker,
}

impl Ready {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            rung: SegQueue::new(),
            notifier: OnceLock::new(),
        })
    }

    pub(crate) fn set_notifier(&self, notifier: Notifier) {
        let _ = self.notifier.set(notifier);
    }

    pub(crate) fn notifier(&self) -> Option<&Notifier> {
        self.notifier.get()
    }

    /// Ends the wait of a loop.
    pub(crate) fn notify(&self) {
        match self.notifier.get() {
            Some(Notifier::Descriptor(eventfd, is_signalled))
                if !is_signalled.swap(true, Ordering::SeqCst) =>
            {
                // Fails only when the counter is full, and then it is readable.
                let _ = eventfd.write(1);
            }
            Some(Notifier::Loop(bell)) => bell.ring(),
            Some(Notifier::Descriptor(..)) | None => {}
        }
    }

    /// The descriptor is about to be looked behind.
    pub(crate) fn clear(&self) {
        // In this order: who rings in between does not write, but stands in the queue, which is
        // looked at next. The other way round its write would be read away while the flag stays.
        // Where there is nothing to read yet, somebody is about to write: the flag is theirs.
        if let Some(Notifier::Descriptor(eventfd, is_signalled)) = self.notifier.get()
            && is_signalled.load(Ordering::SeqCst)
            && eventfd.read().is_ok()
        {
            is_signalled.store(false, Ordering::SeqCst);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rung.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.rung.len()
    }

    /// Takes a rung bell; it may be rung again from now on.
    pub(crate) fn take(&self) -> Option<Arc<Bell>> {
        let bell = self.rung.pop()?;
        bell.is_rung.store(false, Ordering::SeqCst);
        Some(bell)
    }
}

impl Bell {
    pub(crate) fn ring(self: &Arc<Self>) {
        if !self.is_rung.swap(true, Ordering::SeqCst)
            && let Some(ready) = self.ready.upgrade()
        {
            ready.rung.push(Arc::clone(self));
            ready.notify();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

impl Ringer {
    pub(crate) fn new(ready: &Arc<Ready>, handle: u64, purpose: Purpose) -> Self {
        let bell = Arc::new(Bell {
            handle,
            purpose,
            is_rung: AtomicBool::new(false),
            ready: Arc::downgrade(ready),
        });
        let waker = Waker::from(Arc::clone(&bell));
        Self { bell, waker }
    }

    pub(crate) fn ring(&self) {
        self.bell.ring();
    }

    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// Polls a future once; if it is not ready, the bell rings when it may be. Only for futures
    /// whose drop loses nothing.
    pub(crate) fn poll_once<F: Future>(&self, future: F) -> Poll<F::Output> {
        let mut context = Context::from_waker(&self.waker);
        std::pin::pin!(future).poll(&mut context)
    }

    /// Begins what asks the shard when it is polled first. Whatever it answers is told by a later
    /// poll of what this returns, for which the bell rings, also if it answers at once.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Kept<T> {
        let mut work: Kept<T> = Box::pin(work);
        match self.poll(&mut work) {
            Poll::Pending => work,
            Poll::Ready(answer) => {
                self.ring();
                Box::pin(std::future::ready(answer))
            }
        }
    }

    /// Polls a future that is kept.
    pub(crate) fn poll<T>(&self, future: &mut Kept<T>) -> Poll<T> {
        let mut context = Context::from_waker(&self.waker);
        future.as_mut().poll(&mut context)
    }
}

/// A future that is polled again until it is ready.
pub(crate) type Kept<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_answered_at_once_is_told_all_the_same() {
        let ready = Ready::new();
        let ringer = Ringer::new(&ready, 7, Purpose::Outcome);
        let mut begun = ringer.begin(async { 5 });
        assert_eq!(ready.take().expect("it rang").handle, 7);
        assert_eq!(ringer.poll(&mut begun), Poll::Ready(5));
    }

    #[test]
    fn a_bell_stands_in_the_queue_once_however_often_it_is_rung() {
        let ready = Ready::new();
        let ringer = Ringer::new(&ready, 7, Purpose::State);
        ringer.ring();
        ringer.ring();
        let taken = ready.take().expect("it was rung");
        assert!(ready.take().is_none());
        taken.ring();
        assert_eq!(ready.take().expect("again").handle, 7);
    }
}
