//! The queues: memory goes in with an entry and comes out with its last completion.
//!
//! ```text
//!   submit(id, Request) ─▶ held[index of id] ─▶ entry ─▶ kernel
//!                               │                           │
//!   Event{request: Some} ◀──────┴─────── completion without F_MORE
//! ```
//!
//! Invariants:
//! 1. An entry is pushed only after the `Held` that it points into was put into `held`; the `Held`
//!    leaves `held` only in `next`, when a completion of its id without `F_MORE` was taken from
//!    the queue. The kernel posts nothing for that id afterwards and has let go of its memory
//!    (io_uring_enter(2); for zero-copy sends the notification is that completion).
//! 2. One index, one entry: `submit` refuses an index that is held, so two entries never share
//!    a `Held` and a completion is never taken for another op's.
//! 3. The queues are touched through `&mut self` only, so by one thread at a time.
//! 4. Memory registered with the ring outlives it: whoever registers hands over an owner, which
//!    is dropped after the ring, or leaked with it.
//! 5. A completion leaves the queue once; what it brings (a descriptor) is taken from it once.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use ringway_io::Errno;

use super::arena::ArenaMemory;
use super::held::{Finished, Held};
use super::provided::ProvidedMemory;
use crate::ladder::SetupFlags;
use crate::request::Request;

/// Marks the answer of a cancel request; ids of ops have this bit clear.
const CANCEL_MARK: u64 = 1 << 63;

/// The answer of cancelling everything. Its index is never a slot's.
const CANCEL_EVERYTHING_ID: u64 = u64::MAX;

/// Flags of io_uring_enter(2).
const ENTER_GETEVENTS: u32 = 1 << 0;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_NO_IOWAIT: u32 = 1 << 7;

/// How long to wait inside of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KernelWait {
    No,
    Forever,
    Ns(u64),
}

/// What the kernel posted.
#[expect(
    clippy::large_enum_variant,
    reason = "moved once, and nearly always the large one"
)]
pub(crate) enum Posted {
    /// A completion of an op.
    Event(Event),
    /// The cancelling of this op failed.
    NotCancelled {
        /// Which op.
        id: u64,
        /// Why: `ENOENT` where the kernel did not find it, `EALREADY` where it runs.
        errno: Errno,
    },
}

/// One completion.
pub(crate) struct Event {
    /// Which submission.
    pub id: u64,
    /// What the kernel says: a count, or a negated error number.
    pub result: i32,
    /// The provided buffer that was filled.
    pub buffer: Option<u16>,
    /// It is the notification of a zero-copy send.
    pub is_notification: bool,
    /// The new connection or the opened file.
    pub descriptor: Option<OwnedFd>,
    /// With the last completion: the request and all it owned.
    pub finished: Option<Finished>,
}

/// One io_uring instance and everything the kernel may touch through it.
pub(crate) struct Ring {
    // Order matters: the ring goes first, then what was registered with it (4).
    io: ManuallyDrop<IoUring>,
    held: ManuallyDrop<Vec<Option<Held>>>,
    held_count: usize,
    arena: ManuallyDrop<Option<Arc<ArenaMemory>>>,
    provided: ManuallyDrop<Option<Arc<ProvidedMemory>>>,
    flags: SetupFlags,
    no_iowait: bool,
}

impl Ring {
    /// io_uring_setup(2).
    pub(crate) fn new(flags: SetupFlags, sq: u32, cq: u32) -> Result<Self, Errno> {
        let mut builder = IoUring::builder();
        builder
            .dontfork()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(cq);
        if flags.disabled {
            builder.setup_r_disabled();
        }
        if flags.no_sqarray {
            builder.setup_no_sqarray();
        }
        let io = builder.build(sq).map_err(|error| Errno::of(&error))?;
        Ok(Self {
            io: ManuallyDrop::new(io),
            held: ManuallyDrop::new(Vec::new()),
            held_count: 0,
            arena: ManuallyDrop::new(None),
            provided: ManuallyDrop::new(None),
            flags,
            no_iowait: false,
        })
    }

    /// Parameters and features as the kernel answered.
    pub(crate) fn parameters(&self) -> &io_uring::Parameters {
        self.io.params()
    }

    /// The flags it was set up with.
    pub(crate) fn flags(&self) -> SetupFlags {
        self.flags
    }

    /// Whether the kernel lists the opcode of zero-copy sends.
    pub(crate) fn knows_zero_copy_send(&self) -> bool {
        let mut probe = io_uring::Probe::new();
        let asked = self.io.submitter().register_probe(&mut probe);
        asked.is_ok() && probe.is_supported(opcode::SendZc::CODE)
    }

    /// Do not account waits as I/O wait (6.15).
    pub(crate) fn set_no_iowait(&mut self, on: bool) {
        self.no_iowait = on;
    }

    /// Makes the calling thread the ring's only issuer.
    pub(crate) fn enable(&self) -> Result<(), Errno> {
        let result = self.io.submitter().register_enable_rings();
        result.map_err(|error| Errno::of(&error))
    }

    /// Bounds the kernel's workers: for regular files, for everything else.
    pub(crate) fn bound_workers(&self, bounded: u32, unbounded: u32) -> Result<(), Errno> {
        let mut counts = [bounded, unbounded];
        let result = self.io.submitter().register_iowq_max_workers(&mut counts);
        result.map_err(|error| Errno::of(&error))
    }

    /// Keeps the kernel's workers on one core, wherever the issuer's thread was when they were made.
    pub(crate) fn keep_workers_on(&self, core: usize) -> Result<(), Errno> {
        let mut set = cpu_set();
        if core >= 8 * std::mem::size_of_val(&set) {
            return Err(Errno::EINVAL);
        }
        // SAFETY: `core` is one of the set's bits, by the comparison above.
        unsafe { libc::CPU_SET(core, &mut set) };
        let result = self.io.submitter().register_iowq_aff(&set);
        result.map_err(|error| Errno::of(&error))
    }

    /// Signals `eventfd` whenever the ring has work for its owner.
    pub(crate) fn notify_through(&self, eventfd: BorrowedFd<'_>) -> Result<(), Errno> {
        let result = self.io.submitter().register_eventfd(eventfd.as_raw_fd());
        result.map_err(|error| Errno::of(&error))
    }

    /// Stops signalling the eventfd (`IORING_CQ_EVENTFD_DISABLED`).
    pub(crate) fn mute_eventfd(&mut self) {
        self.io.completion().disable_eventfd();
    }

    /// Signals it again. What came meanwhile is not signalled: look for it afterwards.
    pub(crate) fn unmute_eventfd(&mut self) {
        self.io.completion().enable_eventfd();
        // The look must not come first.
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    }

    /// Registers the first `length` bytes of an arena as fixed buffer.
    pub(crate) fn register_arena(
        &mut self,
        arena: &Arc<ArenaMemory>,
        length: usize,
    ) -> Result<(), Errno> {
        let mapping = arena.mapping();
        let vector = libc::iovec {
            iov_base: mapping.base().as_ptr().cast(),
            iov_len: length.min(mapping.len()),
        };
        // SAFETY: the mapping lives as long as `arena`, of which this ring keeps a share (4).
        let result = unsafe { self.io.submitter().register_buffers(&[vector]) };
        result.map_err(|error| Errno::of(&error))?;
        *self.arena = Some(Arc::clone(arena));
        Ok(())
    }

    /// Registers a ring of provided buffers as group `group`.
    pub(crate) fn register_provided(
        &mut self,
        memory: &Arc<ProvidedMemory>,
        group: u16,
    ) -> Result<(), Errno> {
        if self.provided.is_some() {
            return Err(Errno::EEXIST);
        }
        let (address, entries) = (memory.ring_address(), memory.entries());
        let submitter = self.io.submitter();
        // SAFETY: the entries live as long as `memory`, of which this ring keeps a share (4).
        let result = unsafe { submitter.register_buf_ring_with_flags(address, entries, group, 0) };
        result.map_err(|error| Errno::of(&error))?;
        *self.provided = Some(Arc::clone(memory));
        Ok(())
    }

    /// Whether the submission queue has no room: enter first.
    pub(crate) fn is_full(&mut self) -> bool {
        self.io.submission().is_full()
    }

    /// Queues one operation; what it points to stays here until its last completion.
    ///
    /// # Panics
    /// If the index of `id` is in use (2), or the queue is full.
    pub(crate) fn submit(&mut self, id: u64, request: Request) {
        let index = index_of(id);
        if self.held.len() <= index {
            self.held.resize_with(index + 1, || None);
        }
        assert!(self.held[index].is_none(), "slot {index} is in flight");
        let held = self.held[index].insert(Held::new(request));
        let entry = held.entry().user_data(id);
        self.held_count += 1;
        self.push(&entry);
    }

    /// Queues the cancelling of one operation; only its failure is posted.
    ///
    /// # Panics
    /// If the queue is full.
    pub(crate) fn cancel(&mut self, id: u64) {
        let entry = opcode::AsyncCancel::new(id).build();
        self.push_cancel(entry, id | CANCEL_MARK);
    }

    /// Queues the cancelling of every operation.
    ///
    /// # Panics
    /// If the queue is full.
    pub(crate) fn cancel_everything(&mut self) {
        let everything = types::CancelBuilder::any().all();
        let entry = opcode::AsyncCancel2::new(everything).build();
        self.push_cancel(entry, CANCEL_EVERYTHING_ID);
    }

    fn push_cancel(&mut self, entry: squeue::Entry, id: u64) {
        let entry = entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(id);
        self.push(&entry);
    }

    fn push(&mut self, entry: &squeue::Entry) {
        let mut queue = self.io.submission();
        // SAFETY: everything the entry points to is held until its last completion (1), or it
        // points to nothing (cancel).
        let pushed = unsafe { queue.push(entry) };
        assert!(pushed.is_ok(), "the submission queue is full");
    }

    /// Whether the op in flight under `id` waits for a peer or a clock. (The request itself is
    /// not shown: the kernel writes to its memory.)
    pub(crate) fn waits(&self, id: u64) -> bool {
        let held = self.held.get(index_of(id)).and_then(Option::as_ref);
        held.is_some_and(|held| held.request().waits())
    }

    /// Operations whose last completion was not taken yet.
    pub(crate) fn held_count(&self) -> usize {
        self.held_count
    }

    /// Entries queued and not yet given to the kernel.
    pub(crate) fn queued(&mut self) -> usize {
        self.io.submission().len()
    }

    /// Whether completions wait.
    pub(crate) fn has_completions(&mut self) -> bool {
        !self.io.completion().is_empty()
    }

    /// Whether the kernel keeps work that only an enter brings forward: deferred task work, or
    /// completions that found the queue full.
    pub(crate) fn needs_enter(&mut self) -> bool {
        let queue = self.io.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Gives the queue to the kernel, runs deferred work, and waits for one completion.
    pub(crate) fn enter(&mut self, wait: KernelWait) -> Result<u32, Errno> {
        let queued = u32::try_from(self.queued()).unwrap_or(u32::MAX);
        let want = u32::from(wait != KernelWait::No);
        let mut flags = ENTER_GETEVENTS | ENTER_EXT_ARG;
        if self.no_iowait && want > 0 {
            flags |= ENTER_NO_IOWAIT;
        }
        let time = match wait {
            KernelWait::Ns(ns) => types::Timespec::from(std::time::Duration::from_nanos(ns)),
            _ => types::Timespec::new(),
        };
        let mut arguments = types::SubmitArgs::new();
        if let KernelWait::Ns(_) = wait {
            arguments = arguments.timespec(&time);
        }
        let submitter = self.io.submitter();
        // SAFETY: `arguments` is what EXT_ARG announces and outlives the call; the entries'
        // memory is held (1).
        let result = unsafe { submitter.enter(queued, want, flags, Some(&arguments)) };
        result
            .map(|count| u32::try_from(count).unwrap_or(u32::MAX))
            .map_err(|error| Errno::of(&error))
    }

    /// Takes one completion.
    pub(crate) fn next(&mut self) -> Option<Posted> {
        loop {
            let entry = self.io.completion().next()?;
            match entry.user_data() {
                CANCEL_EVERYTHING_ID => {}
                id if id & CANCEL_MARK != 0 => {
                    return Some(Posted::NotCancelled {
                        id: id & !CANCEL_MARK,
                        errno: Errno(-entry.result()),
                    });
                }
                _ => return Some(Posted::Event(self.event(&entry))),
            }
        }
    }

    fn event(&mut self, entry: &cqueue::Entry) -> Event {
        let (id, flags) = (entry.user_data(), entry.flags());
        let mut slot = self.held.get_mut(index_of(id));
        let held = slot.as_ref().and_then(|slot| slot.as_ref());
        let makes_descriptor = held.is_some_and(|held| held.request().makes_descriptor());
        let descriptor = (makes_descriptor && entry.result() >= 0).then(|| {
            // SAFETY: an accept or open that succeeded has put a new descriptor into our table;
            // each completion is taken once, so it is owned once (5).
            unsafe { OwnedFd::from_raw_fd(entry.result()) }
        });
        let mut finished = None;
        if !cqueue::more(flags) {
            let held = slot.as_mut().and_then(|slot| slot.take());
            self.held_count -= usize::from(held.is_some());
            finished = held.map(Held::finish);
        }
        let buffer = cqueue::buffer_select(flags);
        if let (Some(index), Some(provided)) = (buffer, self.provided.as_ref()) {
            provided.mark_filled(index);
        }
        Event {
            id,
            result: entry.result(),
            buffer,
            is_notification: cqueue::notif(flags),
            descriptor,
            finished,
        }
    }
}

/// No core.
fn cpu_set() -> libc::cpu_set_t {
    // SAFETY: a set is an array of integers, and zeros are one.
    unsafe { std::mem::zeroed() }
}

fn index_of(id: u64) -> usize {
    (id & 0xffff_ffff) as usize
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: taken once, here. Closing does not wait for the kernel.
        unsafe { ManuallyDrop::drop(&mut self.io) };
        if self.held_count > 0 {
            // The kernel may still write to what is held, and read what was registered: leak all
            // of it rather than give it back to the allocator (1, 4).
            return;
        }
        // SAFETY: taken once, here; nothing is in flight (1).
        unsafe { ManuallyDrop::drop(&mut self.held) };
        // SAFETY: taken once, here, after the ring (4).
        unsafe { ManuallyDrop::drop(&mut self.arena) };
        // SAFETY: taken once, here, after the ring (4).
        unsafe { ManuallyDrop::drop(&mut self.provided) };
    }
}
