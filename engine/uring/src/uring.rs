//! The real kernel behind the seam: one ring and everything one shard owns with it.
//!
//! ```text
//!   submit ─▶ lower ─▶ ring / helpers / refused at once
//!                        │        │         │
//!   reap  ◀─ completion ◀┴────────┴─────────┘
//! ```
//!
//! This file holds the struct and the way of an op into the ring; `turn` enters and reaps,
//! `teardown` ends it, `kernel` is the face towards the shard.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::time::{ClockId, clock_gettime};
use ringway_io::{
    BlockingCall, Capabilities, Completion, Descriptor, Errno, Limits, Op, OpId, Payload, Token,
};

use crate::arena::Arena;
use crate::config::UringConfig;
use crate::doorbell::{Bell, wait_for_ring};
use crate::enter::{Verdict, judge};
use crate::foreign_loop::Signals;
use crate::helpers::Helpers;
use crate::lower::{Means, Plan, Refused, lower};
use crate::naming::Naming;
use crate::pipes::Pipes;
use crate::probe::Finding;
use crate::provided::Provided;
use crate::request::Request;
use crate::slots::Slots;
use crate::sys::ring::{KernelWait, Posted, Ring};

/// How often a full queue is tried to be flushed before the op is refused.
const FLUSHES_MAX: u32 = 64;

/// io_uring as a [`ringway_io::Kernel`].
///
/// It may be started on one thread and handed to another: the first thread that enters becomes the
/// ring's only issuer (`SINGLE_ISSUER`), and from then on every call, teardown and drop included,
/// belongs there. On any other thread the kernel answers `EEXIST`, which ends the ring; a drop
/// there cannot cancel anything and leaks what is in flight.
///
/// A process that forks without exec must not use it in the child: ring and arena are not
/// inherited.
///
/// ```no_run
/// use ringway_io::{Kernel, Op, Token, Wait};
/// use ringway_uring::{Uring, UringConfig};
///
/// let mut kernel = Uring::start(UringConfig::default())?;
/// let at_ns = kernel.now_ns() + 1_000_000;
/// kernel.submit(Token(7), Op::Timeout { at_ns });
/// kernel.enter(Wait::Forever)?;
/// let mut completions = Vec::new();
/// kernel.reap(&mut completions, 64);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Uring {
    pub(crate) ring: Ring,
    pub(crate) phase: Phase,
    pub(crate) slots: Slots<Flight>,
    pub(crate) naming: Naming,
    /// Ops that were answered without the ring.
    pub(crate) ready: VecDeque<Ready>,
    /// Completions taken out early to make room.
    pub(crate) stash: VecDeque<Posted>,
    pub(crate) arena: Option<Arena>,
    pub(crate) provided: Option<Provided>,
    pub(crate) pipes: Pipes,
    pub(crate) bell: Arc<Bell>,
    pub(crate) bell_descriptor: Descriptor,
    pub(crate) bell_op: Option<OpId>,
    /// Of the eventfd that a foreign loop waits for.
    pub(crate) signals: Signals,
    pub(crate) helpers: Helpers,
    pub(crate) capabilities: Capabilities,
    pub(crate) findings: Vec<Finding>,
    pub(crate) limits: Limits,
    pub(crate) config: UringConfig,
    /// Teardown has begun: nothing is armed again.
    pub(crate) is_ending: bool,
    /// Reaping has queued entries of its own.
    pub(crate) has_queued_in_reap: bool,
}

/// Where in its life the ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not entered yet; no thread is its issuer.
    Started,
    /// In use.
    Running,
    /// Over, by this error.
    Failed(Errno),
    /// Torn down.
    Ended,
}

/// An op between submission and its last completion.
pub(crate) struct Flight {
    pub token: Token,
    pub place: Place,
    pub is_orphan: bool,
    pub cancels: u8,
}

/// Who works on an op.
pub(crate) enum Place {
    /// The kernel.
    Ring,
    /// A helper thread; the flag cancels it while it waits for its turn.
    Helper(Option<Arc<AtomicBool>>),
    /// Nobody any more: its answer waits to be reaped.
    Ready,
    /// Ours: the read on the doorbell.
    Bell,
}

/// An answer that did not come from the ring.
pub(crate) struct Ready {
    pub op: OpId,
    pub result: Result<u32, Errno>,
    pub payload: Payload,
}

impl Uring {
    /// CLOCK_MONOTONIC, ns.
    pub(crate) fn clock_ns() -> u64 {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC);
        let now = now.expect("every Linux has a monotonic clock");
        let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
        seconds * 1_000_000_000 + u64::try_from(now.tv_nsec()).unwrap_or(0)
    }

    /// What was found at start about each capability, and how.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    pub(crate) fn submit_op(&mut self, token: Token, op: Op) -> OpId {
        let id = self.slots.insert(Flight {
            token,
            place: Place::Ring,
            is_orphan: false,
            cancels: 0,
        });
        let over = match self.phase {
            Phase::Started | Phase::Running => None,
            Phase::Failed(errno) => Some(errno),
            Phase::Ended => Some(Errno::ECANCELED),
        };
        if let Some(errno) = over {
            self.refuse(id, refused_op(op, errno));
            return id;
        }
        let means = Means {
            capabilities: self.capabilities,
            arena: self.arena.as_ref(),
            has_provided: self.provided.is_some(),
            // Nothing else is counted from now.
            now_ns: match op {
                Op::Timeout { .. } => Self::clock_ns(),
                _ => 0,
            },
        };
        match lower(op, &means) {
            Ok(Plan::Ring(request)) => self.start_request(id, request),
            Ok(Plan::Helper(call)) => self.start_call(id, call),
            Err(refused) => self.refuse(id, refused),
        }
        id
    }

    fn start_call(&mut self, id: OpId, call: BlockingCall) {
        match self.helpers.submit(id, call) {
            Ok(cancel) => self.set_place(id, Place::Helper(cancel)),
            Err(errno) => self.refuse(id, errno.into()),
        }
    }

    fn start_request(&mut self, id: OpId, request: Request) {
        // One more than `ops_max`: the doorbell's.
        if self.ring.held_count() > self.limits.ops_max as usize {
            self.refuse(id, refused(request, Errno::ENOBUFS));
            return;
        }
        self.put(id, request);
    }

    /// Queues a request under an id that has a slot.
    pub(crate) fn put(&mut self, id: OpId, request: Request) {
        let number = |descriptor: &Descriptor| descriptor.os_number().unwrap_or(-1);
        let names = request.descriptors().map(|each| each.map_or(-1, number));
        if let Err(errno) = self.make_queue_room() {
            self.refuse(id, refused(request, errno));
            return;
        }
        self.ring.submit(id.0, request);
        self.naming.add(id, names);
    }

    /// Flushes the submission queue until one more entry fits.
    pub(crate) fn make_queue_room(&mut self) -> Result<(), Errno> {
        for _ in 0..FLUSHES_MAX {
            if !self.ring.is_full() {
                return Ok(());
            }
            self.flush()?;
        }
        Err(Errno::EAGAIN)
    }

    fn refuse(&mut self, id: OpId, refused: Refused) {
        self.set_place(id, Place::Ready);
        self.ready.push_back(Ready {
            op: id,
            result: Err(refused.errno),
            payload: refused.payload,
        });
    }

    fn set_place(&mut self, id: OpId, place: Place) {
        if let Some(flight) = self.slots.get_mut(id) {
            flight.place = place;
        }
    }

    /// Waits for the doorbell, from the first enter on.
    pub(crate) fn arm_bell(&mut self) {
        let id = self.slots.insert(Flight {
            token: Token(0),
            place: Place::Bell,
            is_orphan: true,
            cancels: 0,
        });
        self.bell_op = Some(id);
        self.put(id, wait_for_ring(&self.bell_descriptor));
    }

    pub(crate) fn cancel_op(&mut self, id: OpId) {
        let Some(flight) = self.slots.get_mut(id) else {
            return;
        };
        if flight.cancels > 0 {
            return;
        }
        flight.cancels = 1;
        match &flight.place {
            Place::Ring => self.put_cancel(id),
            Place::Helper(Some(cancel)) => cancel.store(true, Ordering::Relaxed),
            Place::Helper(None) | Place::Ready | Place::Bell => {}
        }
    }

    pub(crate) fn put_cancel(&mut self, id: OpId) {
        if self.make_queue_room().is_ok() {
            self.ring.cancel(id.0);
        }
    }

    /// Gives a full queue to the kernel without waiting.
    pub(crate) fn flush(&mut self) -> Result<(), Errno> {
        self.run()?;
        if let Some(provided) = &mut self.provided {
            provided.publish();
        }
        match judge(self.ring.enter(KernelWait::No)) {
            Verdict::Done | Verdict::TimedOut | Verdict::Again => Ok(()),
            Verdict::MakeRoom => {
                self.make_room();
                Ok(())
            }
            Verdict::BackOff => {
                self.make_room();
                std::thread::yield_now();
                Ok(())
            }
            Verdict::Fatal(errno) => {
                self.phase = Phase::Failed(errno);
                Err(errno)
            }
        }
    }

    /// Takes completions out of the kernel's queue into ours.
    pub(crate) fn make_room(&mut self) {
        while let Some(posted) = self.ring.next() {
            self.stash.push_back(posted);
        }
    }

    /// Makes this thread the issuer, once.
    pub(crate) fn run(&mut self) -> Result<(), Errno> {
        match self.phase {
            Phase::Running => return Ok(()),
            Phase::Failed(errno) => return Err(errno),
            Phase::Ended => return Err(Errno::ECANCELED),
            Phase::Started => {}
        }
        if let Err(errno) = self.ring.enable() {
            self.phase = Phase::Failed(errno);
            return Err(errno);
        }
        self.phase = Phase::Running;
        let (bounded, unbounded) = self.config.io_workers_max;
        if let Err(errno) = self.ring.bound_workers(bounded, unbounded) {
            tracing::debug!(%errno, "the kernel does not bound its workers");
        }
        if let Some(core) = self.config.worker_core
            && let Err(errno) = self.ring.keep_workers_on(core)
        {
            tracing::warn!(core, %errno, "kernel workers are not kept on the shard's core");
        }
        Ok(())
    }

    /// Whether something can be reaped without asking the kernel.
    pub(crate) fn has_results(&mut self) -> bool {
        !self.ready.is_empty()
            || !self.stash.is_empty()
            || self.helpers.has_answers()
            || self.ring.has_completions()
    }

    /// Ops in flight, the doorbell's own left out.
    pub(crate) fn in_flight_count(&self) -> usize {
        let bell = usize::from(self.bell_op.is_some());
        self.slots.len() - bell
    }

    pub(crate) fn reap_into(&mut self, out: &mut Vec<Completion>, completions_max: usize) -> usize {
        let before = out.len();
        while out.len() - before < completions_max {
            match self.next_completion() {
                Some(completion) => out.push(completion),
                None => break,
            }
        }
        // What reaping has queued (the bell's next read, the second half of a stat) goes out with
        // the next enter; a foreign loop may sleep before that.
        if self.has_queued_in_reap && self.bell.notification().is_some() {
            let _ = self.flush();
        }
        self.has_queued_in_reap = false;
        out.len() - before
    }
}

fn refused_op(op: Op, errno: Errno) -> Refused {
    let payload = match op {
        Op::Receive { buffer, .. } | Op::Read { buffer, .. } => Payload::Buffer(buffer),
        _ => Payload::None,
    };
    Refused { errno, payload }
}

/// An op's buffer goes back to its submitter, whatever happened.
fn refused(request: Request, errno: Errno) -> Refused {
    let payload = match request {
        Request::Receive { buffer, .. } | Request::Read { buffer, .. } => Payload::Buffer(buffer),
        _ => Payload::None,
    };
    Refused { errno, payload }
}
