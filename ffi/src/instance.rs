//! An engine as C holds it.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};
use ringway::{Config, Engine, Faults, Stepped};

use crate::callback::{self, Kind as CallbackKind};
use crate::code::ringway_code::{
    RINGWAY_E_AGAIN, RINGWAY_E_ENGINE_STOPPED, RINGWAY_E_KERNEL, RINGWAY_E_REENTRANT,
    RINGWAY_E_THREAD,
};
use crate::detail::Detail;
use crate::failure::{Failure, Result};
use crate::foreign_loop;
use crate::handle::ENGINES;
use crate::ready::{Bell, Notifier, Ready};
use crate::slot::{Slot, lock};
use crate::table::Table;

/// Tells engines apart, so that a handle of one is refused by another. The only state of the
/// process, besides the log: a count.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// How often a shard on the caller's thread works before an answer that does not come is given
/// up: an answer takes one pass.
const PASSES_FOR_ANSWER: usize = 64;

/// Whose thread is the shard.
#[derive(Debug)]
pub(crate) enum Mode {
    /// The engine's own.
    Threads,
    /// The one that started it.
    Caller {
        /// Which.
        thread: ThreadId,
        /// Names the shard in that thread's storage.
        key: u64,
        /// Readable when there is work.
        descriptor: OwnedFd,
    },
}

/// Everything behind a `ringway_engine`.
pub(crate) struct Instance {
    pub(crate) engine: Engine,
    pub(crate) table: Table,
    pub(crate) ready: Arc<Ready>,
    pub(crate) mode: Mode,
    pub(crate) heartbeat: Duration,
    /// What it rehearses with, if it does.
    pub(crate) faults: Option<Faults>,
    /// Accepts that wait for room in the table.
    starved: Mutex<Vec<Arc<Bell>>>,
    last_error: Mutex<Option<Detail>>,
    pub(crate) polling: Mutex<()>,
    is_stopped: AtomicBool,
    pub(crate) is_stop_told: AtomicBool,
    /// When the loop was polled last, on the engine's clock; 0: not yet.
    pub(crate) polled_ns: AtomicU64,
}

impl Instance {
    /// Starts an engine with threads of its own.
    pub(crate) fn start(config: Config, handles_max: usize) -> Result<Arc<Self>> {
        let eventfd = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let eventfd = eventfd.map_err(|errno| kernel("eventfd", errno as i32))?;
        let heartbeat = config.session.heartbeat;
        let faults = config.faults.clone();
        let engine = Engine::start(config)?;
        let notifier = Notifier::Descriptor(eventfd, AtomicBool::new(false));
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let mode = Mode::Threads;
        let mut instance = Self::new(engine, mode, number, handles_max, heartbeat, notifier);
        instance.faults = faults;
        Ok(Arc::new(instance))
    }

    /// Starts an engine on this thread.
    pub(crate) fn start_here(config: &Config, handles_max: usize) -> Result<Arc<Self>> {
        let (engine, shard) = Engine::start_stepped(config)?;
        let copy = shard.descriptor().try_clone_to_owned();
        let descriptor = copy.map_err(|error| kernel("dup", error.raw_os_error().unwrap_or(0)))?;
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let mode = Mode::Caller {
            thread: thread::current().id(),
            key: number,
            descriptor,
        };
        let notifier = Notifier::Loop(shard.bell());
        foreign_loop::keep(number, shard);
        let heartbeat = config.session.heartbeat;
        let mut instance = Self::new(engine, mode, number, handles_max, heartbeat, notifier);
        instance.faults.clone_from(&config.faults);
        Ok(Arc::new(instance))
    }

    fn new(
        engine: Engine,
        mode: Mode,
        number: u64,
        handles_max: usize,
        heartbeat: Duration,
        notifier: Notifier,
    ) -> Self {
        let ready = Ready::new();
        ready.set_notifier(notifier);
        let tag = (number % u64::from(ENGINES)) as u16;
        Self {
            engine,
            table: Table::new(tag, handles_max),
            ready,
            mode,
            heartbeat,
            faults: None,
            starved: Mutex::default(),
            last_error: Mutex::default(),
            polling: Mutex::default(),
            is_stopped: AtomicBool::new(false),
            is_stop_told: AtomicBool::new(false),
            polled_ns: AtomicU64::new(0),
        }
    }

    /// The descriptor for a foreign loop.
    pub(crate) fn descriptor(&self) -> RawFd {
        match (&self.mode, self.ready.notifier()) {
            (Mode::Caller { descriptor, .. }, _) => descriptor.as_raw_fd(),
            (Mode::Threads, Some(Notifier::Descriptor(eventfd, _))) => eventfd_number(eventfd),
            (Mode::Threads, _) => -1,
        }
    }

    /// Whether this thread may do what the loop does.
    pub(crate) fn check_loop_thread(&self) -> Result<()> {
        if callback::is_inside(CallbackKind::Dispatch) {
            return Err(RINGWAY_E_REENTRANT.into());
        }
        match &self.mode {
            Mode::Caller { thread, .. } if *thread != thread::current().id() => {
                Err(RINGWAY_E_THREAD.into())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn check_running(&self) -> Result<()> {
        match self.is_stopped.load(Ordering::Acquire) {
            true => Err(RINGWAY_E_ENGINE_STOPPED.into()),
            false => Ok(()),
        }
    }

    /// Finds what a handle names, and keeps the detail of a failure there.
    pub(crate) fn at<T>(
        &self,
        handle: u64,
        work: impl FnOnce(&Arc<Slot>) -> Result<T>,
    ) -> Result<T> {
        let slot = self.table.find(handle)?;
        work(&slot).map_err(|failure| slot.note(failure))
    }

    /// Keeps the detail of a failure that concerns no handle.
    pub(crate) fn noted<T>(&self, outcome: Result<T>) -> Result<T> {
        if let Err(Failure::Detail(detail)) = &outcome {
            *lock(&self.last_error) = Some((**detail).clone());
        }
        outcome
    }

    pub(crate) fn last_error(&self) -> Option<Detail> {
        lock(&self.last_error).clone()
    }

    /// Waits for an answer that the shard gives at once.
    ///
    /// # Errors
    /// `RINGWAY_E_THREAD` where this thread cannot make the shard answer.
    pub(crate) fn run_now<F: Future>(&self, future: F) -> Result<F::Output> {
        self.check_running()?;
        let Mode::Caller { thread, key, .. } = &self.mode else {
            return Ok(ringway::block_on(future));
        };
        if *thread != thread::current().id() {
            return Err(RINGWAY_E_THREAD.into());
        }
        foreign_loop::with(*key, |shard| {
            let mut future = std::pin::pin!(future);
            let mut context = Context::from_waker(Waker::noop());
            let mut answer = None;
            for _ in 0..PASSES_FOR_ANSWER {
                if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                    answer = Some(value);
                    break;
                }
                if shard.work() == Stepped::Over {
                    return Err(RINGWAY_E_ENGINE_STOPPED.into());
                }
            }
            // What came meanwhile is for the next poll of the loop, which must not sleep over it.
            if !shard.prepare_sleep(|| !self.ready.is_empty()) {
                shard.remind();
            }
            answer.ok_or_else(|| RINGWAY_E_AGAIN.into())
        })?
    }

    /// An accept has nowhere to put what came: it goes on when a handle is freed.
    pub(crate) fn starve(&self, bell: &Arc<Bell>) {
        lock(&self.starved).push(Arc::clone(bell));
    }

    /// Takes a handle out of use.
    pub(crate) fn free(&self, handle: u64) -> Result<Arc<Slot>> {
        let slot = self.table.remove(handle)?;
        let starved = std::mem::take(&mut *lock(&self.starved));
        starved.iter().for_each(Bell::ring);
        Ok(slot)
    }

    /// Ends the engine. Several may call it; each returns when it is over.
    pub(crate) fn stop(&self, within: Duration) -> Result<()> {
        self.check_loop_thread()?;
        if self.is_stopped.swap(true, Ordering::AcqRel) {
            return Err(RINGWAY_E_ENGINE_STOPPED.into());
        }
        match &self.mode {
            Mode::Threads => drop(ringway::block_on(self.engine.shutdown(within))),
            Mode::Caller { key, .. } => {
                let mut shutdown = Box::pin(self.engine.shutdown(within));
                let mut context = Context::from_waker(Waker::noop());
                // Asks; the answer comes when the last turn is done.
                let _ = shutdown.as_mut().poll(&mut context);
                let turned = foreign_loop::with(*key, |shard| while shard.turn() {});
                foreign_loop::forget(*key);
                turned?;
            }
        }
        self.ready.notify();
        Ok(())
    }

    /// The shard on the caller's thread has ended by itself: its ring is lost.
    pub(crate) fn mark_over(&self, key: u64) {
        self.is_stopped.store(true, Ordering::Release);
        foreign_loop::forget(key);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }
}

fn eventfd_number(eventfd: &EventFd) -> RawFd {
    use std::os::fd::AsFd;
    eventfd.as_fd().as_raw_fd()
}

/// The kernel refused one of our own calls.
pub(crate) fn kernel(operation: &str, errno: i32) -> Failure {
    let text = std::io::Error::from_raw_os_error(errno);
    Detail::new(RINGWAY_E_KERNEL, format!("{operation}: {text}"))
        .errno(errno)
        .into()
}

impl Drop for Instance {
    fn drop(&mut self) {
        // The last one lets go: what C did not end, ends now.
        if !self.is_stopped() {
            match &self.mode {
                Mode::Threads => {
                    let _ = ringway::block_on(self.engine.shutdown(Duration::from_millis(200)));
                }
                Mode::Caller { key, .. } => foreign_loop::forget(*key),
            }
        }
    }
}
