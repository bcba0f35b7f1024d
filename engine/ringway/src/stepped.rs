//! A shard on the caller's own thread, for programs that have an event loop already.
//!
//! ```text
//!   loop {
//!       work()            reap, messages, tasks, timers; submit; until nothing is left to do
//!       …                 the caller looks at its futures, and asks for more
//!       prepare_sleep()?  others ring from now on; false: something came, go on
//!       wait              on descriptor(), at most until deadline_ns()
//!   }
//! ```
//!
//! Between `work` and `prepare_sleep` nobody rings: what the caller asks for then costs no system
//! call. Everything here belongs to one thread, the one that called [`Engine::start_stepped`].

use std::fmt::Debug;
use std::os::fd::{BorrowedFd, OwnedFd};

use ringway_io::{Errno, Kernel, Wait};
use ringway_uring::Uring;

use crate::config::Config;
use crate::engine::Engine;
use crate::error::StartError;
use crate::fault_kernel::FaultKernel;
use crate::mailbox::Mailbox;
use crate::rings::uring_config;
use crate::shard::Shard;

/// Passes of one [`SteppedShard::work`]: bounds how long the caller's other descriptors wait.
const PASSES_MAX: usize = 16;

/// What a foreign loop does with a shard, with faults or without.
trait Steps: Debug {
    fn pass(&mut self) -> Option<bool>;
    fn announce_sleep(&mut self, has_work: &mut dyn FnMut() -> bool) -> bool;
    fn deadline_ns(&self) -> Option<u64>;
    fn now_ns(&self) -> u64;
    fn turn(&mut self) -> bool;
    fn ring(&mut self) -> &mut Uring;
}

impl Steps for Shard<Uring> {
    fn pass(&mut self) -> Option<bool> {
        Self::pass(self)
    }

    fn announce_sleep(&mut self, has_work: &mut dyn FnMut() -> bool) -> bool {
        Self::announce_sleep(self, has_work)
    }

    fn deadline_ns(&self) -> Option<u64> {
        Self::deadline_ns(self)
    }

    fn now_ns(&self) -> u64 {
        self.kernel.now_ns()
    }

    fn turn(&mut self) -> bool {
        Self::turn(self)
    }

    fn ring(&mut self) -> &mut Uring {
        &mut self.kernel
    }
}

impl Steps for Shard<FaultKernel<Uring>> {
    /// What the last look found may all be held back: there may be more behind it all the same.
    fn pass(&mut self) -> Option<bool> {
        let has_more = Self::pass(self)?;
        Some(has_more || self.kernel.has_reaped())
    }

    fn announce_sleep(&mut self, has_work: &mut dyn FnMut() -> bool) -> bool {
        Self::announce_sleep(self, has_work)
    }

    /// What is held back is due without the descriptor.
    fn deadline_ns(&self) -> Option<u64> {
        let due = [Self::deadline_ns(self), self.kernel.next_due_ns()];
        due.into_iter().flatten().min()
    }

    fn now_ns(&self) -> u64 {
        self.kernel.now_ns()
    }

    fn turn(&mut self) -> bool {
        Self::turn(self)
    }

    fn ring(&mut self) -> &mut Uring {
        self.kernel.inner_mut()
    }
}

/// The only shard of an engine that has no thread.
#[derive(Debug)]
pub struct SteppedShard {
    shard: Box<dyn Steps>,
    mailbox: Mailbox,
    descriptor: OwnedFd,
}

/// How a [`SteppedShard::work`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// Nothing is left to do now.
    Idle,
    /// There is more: work again before waiting.
    Busy,
    /// The engine was shut down, or its ring is lost. Do not call again.
    Over,
}

/// Ends the wait of a stepped shard's loop, from any thread.
#[derive(Clone, Debug)]
pub struct LoopBell(Mailbox);

impl LoopBell {
    /// Makes the loop's descriptor readable if the loop announced that it sleeps.
    pub fn ring(&self) {
        self.0.wake();
    }
}

impl Engine {
    /// Starts an engine with one shard, which runs wherever the caller calls
    /// [`SteppedShard::work`], and on no thread of ours. [`Config::shards`] is ignored;
    /// [`Config::helper_threads`] may be 0: then what would block a helper blocks `work` instead.
    ///
    /// # Errors
    /// [`StartError`]: what this machine lacks, and the remedy.
    pub fn start_stepped(config: &Config) -> Result<(Self, SteppedShard), StartError> {
        config.wait.check()?;
        let mut kernel = Uring::start(uring_config(config, 1)).map_err(StartError::Unavailable)?;
        let descriptor = notification(&mut kernel).map_err(StartError::Thread)?;
        let (engine, shard): (_, Box<dyn Steps>) = match config.faults.clone() {
            None => {
                let (engine, mut shards) = Self::assemble(config, vec![kernel]);
                (engine, Box::new(shards.remove(0)))
            }
            Some(faults) => {
                let kernel = FaultKernel::new(kernel, faults);
                let (engine, mut shards) = Self::assemble(config, vec![kernel]);
                (engine, Box::new(shards.remove(0)))
            }
        };
        let mailbox = engine.only_mailbox();
        let stepped = SteppedShard {
            shard,
            mailbox,
            descriptor,
        };
        Ok((engine, stepped))
    }
}

/// The ring is entered once: this thread is its issuer from now on.
fn notification(kernel: &mut Uring) -> std::io::Result<OwnedFd> {
    let of = |errno: Errno| std::io::Error::from_raw_os_error(errno.0);
    kernel.enter(Wait::No).map_err(of)?;
    let descriptor = kernel.notification_fd().map_err(of)?;
    descriptor.try_clone_to_owned()
}

impl SteppedShard {
    /// Readable when there is work. Level-triggered; `work` clears it.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.descriptor)
    }

    /// Makes the descriptor readable until the next `work`, for a caller that has something left
    /// to do itself.
    pub fn remind(&mut self) {
        self.shard.ring().remind();
    }

    /// What other threads ring when they have made something ready for this loop.
    #[must_use]
    pub fn bell(&self) -> LoopBell {
        LoopBell(self.mailbox.clone())
    }

    /// Does all that can be done without waiting.
    pub fn work(&mut self) -> Stepped {
        self.work_until(|| false)
    }

    /// As [`work`](Self::work), but ends after a pass that left `has_news` for the caller. What
    /// arrived is acked with the next pass then: together with what the caller answers, by one
    /// send instead of two, as it is for a task on the shard.
    pub fn work_until(&mut self, mut has_news: impl FnMut() -> bool) -> Stepped {
        self.mailbox.awake();
        self.shard.ring().begin_work();
        let worked = self.passes(&mut has_news);
        match worked {
            Stepped::Idle => self.shard.ring().end_work(),
            Stepped::Busy | Stepped::Over => self.shard.ring().end_work_early(),
        }
        worked
    }

    fn passes(&mut self, has_news: &mut dyn FnMut() -> bool) -> Stepped {
        for _ in 0..PASSES_MAX {
            match self.shard.pass() {
                None => return Stepped::Over,
                Some(false) => return Stepped::Idle,
                Some(true) if has_news() => return Stepped::Busy,
                Some(true) => {}
            }
        }
        Stepped::Busy
    }

    /// Announces that the caller will wait on the descriptor; false: there is something to do, do
    /// not. `has_work` is asked after the announcement, for what the caller itself keeps.
    pub fn prepare_sleep(&mut self, mut has_work: impl FnMut() -> bool) -> bool {
        if !self.shard.announce_sleep(&mut has_work) {
            return false;
        }
        let may_wait = self.shard.ring().prepare_wait();
        if !may_wait {
            self.mailbox.awake();
        }
        may_wait
    }

    /// When `work` is to be called at the latest, on the clock of [`now_ns`](Self::now_ns);
    /// `None`: there is no timer.
    #[must_use]
    pub fn deadline_ns(&self) -> Option<u64> {
        self.shard.deadline_ns()
    }

    /// CLOCK_MONOTONIC, ns.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.shard.now_ns()
    }

    /// One turn with a wait in the kernel, as a thread of ours would do it; false when over.
    pub fn turn(&mut self) -> bool {
        self.shard.turn()
    }
}
