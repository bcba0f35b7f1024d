//! Polling the loop: the shard's work where the caller's thread is the shard, then whatever the
//! rung bells have to tell.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::{TimeSpec, TimeValLike};
use ringway::{Stepped, SteppedShard};

use crate::code::ringway_code::RINGWAY_E_ENGINE_STOPPED;
use crate::event::{Sink, ringway_event, ringway_event_kind as kind};
use crate::failure::Result;
use crate::foreign_loop;
use crate::instance::{Instance, Mode, kernel};
use crate::ready::{Bell, Notifier};
use crate::slot::{Object, Slot, lock};

/// How often a poll that found nothing to tell looks again because something came meanwhile.
const LOOKS_MAX: usize = 8;

/// Whether a bell has told all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It rings again when there is more.
    All,
    /// There was no room for the rest.
    Part,
    /// It waits for a handle to be freed.
    Starved,
}

impl Instance {
    /// Fills `sink`; nothing is lost that does not fit.
    ///
    /// # Errors
    /// `RINGWAY_E_ENGINE_STOPPED` when the engine is over and everything is told.
    pub(crate) fn poll(self: &Arc<Self>, sink: &mut Sink<'_>) -> Result<()> {
        self.check_loop_thread()?;
        if !self.is_stopped() {
            match &self.mode {
                Mode::Threads => {
                    let _one = lock(&self.polling);
                    self.ready.clear();
                    self.collect(sink);
                    if !self.ready.is_empty() {
                        self.ready.notify();
                    }
                    return Ok(());
                }
                Mode::Caller { key, .. } => {
                    let worked = foreign_loop::with(*key, |shard| self.work(shard, sink))?;
                    if worked != Stepped::Over {
                        return Ok(());
                    }
                    self.mark_over(*key);
                }
            }
        }
        self.tell_stop(sink)
    }

    fn tell_stop(self: &Arc<Self>, sink: &mut Sink<'_>) -> Result<()> {
        self.collect(sink);
        if sink.has_room() && !self.is_stop_told.swap(true, Ordering::AcqRel) {
            sink.push(ringway_event::new(kind::RINGWAY_EVENT_ENGINE_STOPPED));
        }
        match sink.count() {
            0 => Err(RINGWAY_E_ENGINE_STOPPED.into()),
            _ => Ok(()),
        }
    }

    fn work(self: &Arc<Self>, shard: &mut SteppedShard, sink: &mut Sink<'_>) -> Stepped {
        self.tell_lateness(shard, sink);
        for _ in 0..LOOKS_MAX {
            let worked = shard.work_until(|| !self.ready.is_empty());
            self.collect(sink);
            let is_over = worked == Stepped::Over;
            if is_over || sink.count() > 0 {
                return worked;
            }
            if worked == Stepped::Idle && shard.prepare_sleep(|| !self.ready.is_empty()) {
                return worked;
            }
        }
        shard.remind();
        Stepped::Busy
    }

    /// A peer takes a side that is silent for two heartbeats for dead.
    fn tell_lateness(&self, shard: &SteppedShard, sink: &mut Sink<'_>) {
        let now_ns = shard.now_ns();
        let before_ns = self.polled_ns.swap(now_ns, Ordering::Relaxed);
        let silence_ns = now_ns.saturating_sub(before_ns);
        let allowed_ns = u64::try_from(self.heartbeat.as_nanos() * 2).unwrap_or(u64::MAX);
        // A loop that slept because there was nothing to do was not late: its timer, the
        // heartbeat, had it polled earlier. Without sessions there are no timers and no peers.
        let has_peers = shard.deadline_ns().is_some_and(|due_ns| due_ns < now_ns);
        if before_ns > 0 && silence_ns > allowed_ns && has_peers && sink.has_room() {
            tracing::warn!(silence_ns, "the loop was not polled for two heartbeats");
            let mut event = ringway_event::new(kind::RINGWAY_EVENT_LOOP_LATE);
            event.length = silence_ns;
            sink.push(event);
        }
    }

    /// Asks the handles whose bells rang, each at most once.
    fn collect(self: &Arc<Self>, sink: &mut Sink<'_>) {
        for _ in 0..self.ready.len() {
            if !sink.has_room() {
                return;
            }
            let Some(bell) = self.ready.take() else {
                return;
            };
            // Freed meanwhile: nobody is interested.
            let Ok(slot) = self.table.find(bell.handle) else {
                continue;
            };
            match self.tell(&slot, &bell, sink) {
                Told::All => {}
                Told::Part => bell.ring(),
                Told::Starved => self.starve(&bell),
            }
        }
    }

    fn tell(self: &Arc<Self>, slot: &Arc<Slot>, bell: &Arc<Bell>, sink: &mut Sink<'_>) -> Told {
        match slot.object() {
            Object::Listener(listener) => listener.tell(self, slot, sink),
            Object::Session(session) => session.tell(self, slot, bell.purpose, sink),
            Object::Stream(stream) => stream.tell(slot, bell.purpose, sink),
            Object::Transfer(transfer) => transfer.tell(slot, bell.purpose, sink),
            Object::Client(_) => Told::All,
        }
    }

    /// How long a foreign loop may wait, ns; `None`: for ever.
    pub(crate) fn timeout_ns(&self) -> Result<Option<u64>> {
        self.check_loop_thread()?;
        self.check_running()?;
        if !self.ready.is_empty() {
            return Ok(Some(0));
        }
        let Mode::Caller { key, .. } = &self.mode else {
            return Ok(None);
        };
        foreign_loop::with(*key, |shard| {
            if !shard.prepare_sleep(|| !self.ready.is_empty()) {
                return Some(0);
            }
            let due_ns = shard.deadline_ns()?;
            Some(due_ns.saturating_sub(shard.now_ns()))
        })
    }

    /// As [`poll`](Self::poll), but waits for the first event.
    pub(crate) fn wait(
        self: &Arc<Self>,
        sink: &mut Sink<'_>,
        within_ns: Option<u64>,
    ) -> Result<()> {
        let clock = std::time::Instant::now();
        loop {
            self.poll(sink)?;
            let spent_ns = u64::try_from(clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let left_ns = within_ns.map(|within_ns| within_ns.saturating_sub(spent_ns));
            if sink.count() > 0 || left_ns == Some(0) {
                return Ok(());
            }
            let due_ns = self.timeout_ns()?;
            let wait_ns = [left_ns, due_ns].into_iter().flatten().min();
            self.sleep(wait_ns)?;
        }
    }

    fn sleep(&self, wait_ns: Option<u64>) -> Result<()> {
        use std::os::fd::AsFd;
        let descriptor: BorrowedFd<'_> = match (&self.mode, self.ready.notifier()) {
            (Mode::Caller { descriptor, .. }, _) => descriptor.as_fd(),
            (Mode::Threads, Some(Notifier::Descriptor(eventfd, _))) => eventfd.as_fd(),
            (Mode::Threads, _) => return Ok(()),
        };
        let mut watched = [PollFd::new(descriptor, PollFlags::POLLIN)];
        let timeout =
            wait_ns.map(|ns| TimeSpec::nanoseconds(i64::try_from(ns).unwrap_or(i64::MAX)));
        match ppoll(&mut watched, timeout, None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(kernel("ppoll", errno as i32)),
        }
    }
}
