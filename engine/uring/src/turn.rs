//! Entering the kernel and taking completions out.

use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::stat::SFlag;
use ringway_io::{Completion, Descriptor, Errno, OpId, Payload, Wait};

use crate::enter::{Verdict, judge};
use crate::request::{OpenPurpose, Request};
use crate::socket::{kind, set_non_blocking};
use crate::sys::held::Finished;
use crate::sys::ring::{Event, KernelWait, Posted};
use crate::uring::{Flight, Phase, Place, Ready, Uring};

/// The kernel's word for an expired timeout (errno(3)).
const ETIME: i32 = libc::ETIME;

/// Set in a notification when the bytes were copied after all (`IORING_NOTIF_USAGE_ZC_COPIED`).
const NOTIFICATION_COPIED: u32 = 1 << 31;

/// Pause when the kernel has no memory for requests.
const BACK_OFF: Duration = Duration::from_micros(100);

/// A cancel that did not find its op is repeated: an op between two states (poll fired, retry not
/// run) is in none of the kernel's tables. One that is never found, is not repeated for ever.
const CANCELS_MAX: u8 = 16;

impl Uring {
    pub(crate) fn enter_kernel(&mut self, wait: Wait) -> Result<(), Errno> {
        if self.phase == Phase::Ended {
            return Ok(());
        }
        self.run()?;
        self.clear_notification();
        if let Some(arena) = &mut self.arena {
            arena.take_back();
        }
        loop {
            let kernel_wait = self.kernel_wait(wait);
            if kernel_wait == KernelWait::No && self.has_nothing_to_enter_for() {
                return Ok(());
            }
            if self.enter_once(kernel_wait)? || self.kernel_wait(wait) == KernelWait::No {
                return Ok(());
            }
        }
    }

    /// How long the kernel may wait now: not at all when something waits for the caller, or the
    /// time is over.
    fn kernel_wait(&mut self, wait: Wait) -> KernelWait {
        if wait == Wait::No || self.has_results() {
            return KernelWait::No;
        }
        let Wait::Until(deadline) = wait else {
            return KernelWait::Forever;
        };
        match deadline.saturating_sub(Self::clock_ns()) {
            0 => KernelWait::No,
            left => KernelWait::Ns(left),
        }
    }

    /// Buffers that came back are no reason: the kernel sees them without a call.
    fn has_nothing_to_enter_for(&mut self) -> bool {
        if let Some(provided) = &mut self.provided {
            provided.publish();
        }
        self.ring.queued() == 0 && !self.ring.needs_enter()
    }

    /// One call of io_uring_enter(2); whether the caller must have a turn now.
    fn enter_once(&mut self, wait: KernelWait) -> Result<bool, Errno> {
        if let Some(provided) = &mut self.provided {
            provided.publish();
        }
        match judge(self.ring.enter(wait)) {
            // Not all was taken: something went wrong with one entry, the rest goes next time.
            Verdict::Done => Ok(self.ring.has_completions()),
            Verdict::TimedOut | Verdict::MakeRoom => Ok(true),
            Verdict::Again => Ok(false),
            Verdict::BackOff => {
                std::thread::sleep(BACK_OFF);
                Ok(self.ring.has_completions())
            }
            Verdict::Fatal(errno) => {
                self.phase = Phase::Failed(errno);
                Err(errno)
            }
        }
    }

    /// The next result for the submitter; what nobody waits for is released on the way.
    pub(crate) fn next_completion(&mut self) -> Option<Completion> {
        loop {
            let completion = if let Some(ready) = self.ready.pop_front() {
                self.on_ready(ready)
            } else if let Some(answer) = self.helpers.next() {
                self.on_ready(Ready {
                    op: answer.op,
                    result: answer.result,
                    payload: answer.payload,
                })
            } else {
                match self.stash.pop_front().or_else(|| self.ring.next())? {
                    Posted::Event(event) => self.on_event(event),
                    Posted::NotCancelled { id, errno } => self.on_not_cancelled(OpId(id), errno),
                }
            };
            if completion.is_some() {
                return completion;
            }
        }
    }

    fn on_ready(&mut self, ready: Ready) -> Option<Completion> {
        let flight = self.slots.remove(ready.op)?;
        (!flight.is_orphan).then_some(Completion {
            token: flight.token,
            op: ready.op,
            result: ready.result,
            more: false,
            payload: ready.payload,
        })
    }

    fn on_not_cancelled(&mut self, id: OpId, errno: Errno) -> Option<Completion> {
        let waits = self.ring.waits(id.0);
        let flight = self.slots.get_mut(id)?;
        if errno == Errno::ENOENT && waits && flight.cancels < CANCELS_MAX {
            flight.cancels += 1;
            self.put_cancel(id);
            self.has_queued_in_reap = true;
        }
        None
    }

    fn on_event(&mut self, mut event: Event) -> Option<Completion> {
        let op = OpId(event.id);
        if self.bell_op == Some(op) {
            self.on_bell(op);
            return None;
        }
        let finished = event.finished.take();
        let is_cancelled = self.slots.get(op).is_some_and(|flight| flight.cancels > 0);
        let more = finished.is_none();
        let mut result = result_of(&event, finished.as_ref(), is_cancelled);
        if let Some(finished) = &finished
            && is_stat_half(&finished.request)
        {
            self.naming.remove(op);
            match self.second_half(op, result, event.descriptor.take(), is_cancelled) {
                Ok(()) => return None,
                Err(errno) => result = Err(errno),
            }
        }
        let payload = self.payload_of(&mut event, finished);
        let (token, is_orphan) = match more {
            true => self.slots.get(op).map(Flight::addressee)?,
            false => {
                self.naming.remove(op);
                self.slots.remove(op).as_ref().map(Flight::addressee)?
            }
        };
        if is_orphan {
            self.release(&payload);
            return None;
        }
        Some(Completion {
            token,
            op,
            result,
            more,
            payload,
        })
    }

    fn on_bell(&mut self, op: OpId) {
        self.naming.remove(op);
        self.slots.remove(op);
        self.bell_op = None;
        if !self.is_ending {
            self.bell.clear();
            self.arm_bell();
            self.has_queued_in_reap = true;
        }
    }

    /// A stat strictly beneath a directory: the object is open (`O_PATH`), now ask about it.
    fn second_half(
        &mut self,
        op: OpId,
        result: Result<u32, Errno>,
        descriptor: Option<OwnedFd>,
        is_cancelled: bool,
    ) -> Result<(), Errno> {
        result?;
        if is_cancelled || self.is_ending {
            return Err(Errno::ECANCELED);
        }
        let directory = Some(Descriptor::from_os(descriptor.ok_or(Errno::EBADF)?));
        let path = std::ffi::CString::default();
        self.put(op, Request::Stat { directory, path });
        self.has_queued_in_reap = true;
        Ok(())
    }

    /// What a completion carries besides its number.
    fn payload_of(&mut self, event: &mut Event, finished: Option<Finished>) -> Payload {
        if event.is_notification {
            return notification(event, finished.as_ref());
        }
        if let (Some(index), Some(provided)) = (event.buffer, &mut self.provided) {
            let length = u32::try_from(event.result).unwrap_or(0);
            let buffer = provided.claim(index, length);
            if length > 0 {
                return Payload::Provided(buffer);
            }
            // A buffer that was taken for nothing.
            provided.recycle(&buffer);
            return Payload::None;
        }
        if let Some(descriptor) = event.descriptor.take() {
            return Payload::Descriptor(opened(descriptor, finished.as_ref()));
        }
        match finished.map(|finished| (finished.request, finished.stat)) {
            Some((Request::Receive { buffer, .. } | Request::Read { buffer, .. }, _)) => {
                Payload::Buffer(buffer)
            }
            Some((_, Some(stat))) if event.result >= 0 => Payload::Stat(stat),
            _ => Payload::None,
        }
    }

    fn release(&mut self, payload: &Payload) {
        if let (Payload::Provided(buffer), Some(provided)) = (payload, &mut self.provided) {
            provided.recycle(buffer);
        }
    }
}

impl Flight {
    fn addressee(&self) -> (ringway_io::Token, bool) {
        let is_ours = matches!(self.place, Place::Bell);
        (self.token, self.is_orphan || is_ours)
    }
}

fn is_stat_half(request: &Request) -> bool {
    matches!(
        request,
        Request::Open {
            purpose: OpenPurpose::Stat,
            ..
        }
    )
}

fn result_of(event: &Event, finished: Option<&Finished>, is_cancelled: bool) -> Result<u32, Errno> {
    if event.is_notification || event.descriptor.is_some() {
        return Ok(0);
    }
    let request = finished.map(|finished| &finished.request);
    match u32::try_from(event.result) {
        Ok(count) => Ok(count),
        Err(_) => match (-event.result, request) {
            (ETIME, Some(Request::Timeout { .. })) => Err(Errno::ETIMEDOUT),
            // A worker that was told to stop says that it was interrupted.
            (libc::EINTR, _) if is_cancelled => Err(Errno::ECANCELED),
            (errno, _) => Err(Errno(errno)),
        },
    }
}

fn notification(event: &Event, finished: Option<&Finished>) -> Payload {
    let reports = matches!(
        finished.map(|finished| &finished.request),
        Some(Request::SendZeroCopy {
            report_usage: true,
            ..
        })
    );
    let copied = event.result.cast_unsigned() & NOTIFICATION_COPIED != 0;
    Payload::Notification {
        copied: reports.then_some(copied),
    }
}

/// `O_NONBLOCK` was for opening only: a regular file or directory goes without it, because a ring
/// read of a non-blocking file may run inline where the file system knows no waiting-free read.
fn opened(descriptor: OwnedFd, finished: Option<&Finished>) -> Descriptor {
    let was_asked = match finished.map(|finished| &finished.request) {
        Some(Request::Open { how, .. }) => how.flags & libc::O_NONBLOCK.cast_unsigned() as u64 != 0,
        _ => false,
    };
    if was_asked && let Ok(SFlag::S_IFREG | SFlag::S_IFDIR) = kind(&descriptor) {
        let _ = set_non_blocking(&descriptor, false);
    }
    Descriptor::from_os(descriptor)
}
