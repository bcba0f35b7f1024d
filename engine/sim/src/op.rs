//! How an op lives: submitted, started, tried whenever its object changes, finished, reaped.
//!
//! ```text
//!   Queued ─enter─▶ Waiting (socket, pipe)  ─object changes─▶ tried again ─┐
//!                   Dialling, Timing        ─event─────────────────────────┼─▶ Finished ─reap─▶ gone
//!                   Pooled ─place─▶ Running ─event─────────────────────────┘
//!                   Waiting ─all taken─▶ Notifying (zero-copy) ─event─────────▶ Finished
//! ```
//!
//! `attempt` says what an op on a socket does when tried; `file` what one on the disk does.

use ringway_io::{Descriptor, Directory, Errno, Op, OpId, Payload};

use crate::events::Event;
use crate::fault::FaultKind;
use crate::object::number;
use crate::ring::{Answer, InFlight, Stage};
use crate::state::State;
use crate::worker::{Place, place_of};
use crate::{KernelId, Violation};

/// What came of trying an op.
pub(crate) enum Outcome {
    /// Nothing yet.
    Wait,
    /// A result; further ones follow, try again at once.
    More(Answer),
    /// The last result.
    Done(Answer),
    /// A zero-copy send was taken: its notification follows.
    Taken(Answer),
}

/// What an op waits for first.
enum Way {
    Object(u64),
    Dial,
    Time(u64),
    Disk(Place),
}

/// Finds the way of an op.
fn way_of(op: &Op) -> Result<Way, Errno> {
    Ok(match op {
        Op::Accept { listener: object }
        | Op::Receive { socket: object, .. }
        | Op::ReceiveMultishot { socket: object }
        | Op::Send { socket: object, .. }
        | Op::SendZeroCopy { socket: object, .. }
        | Op::SendVectored { socket: object, .. }
        | Op::Poll {
            descriptor: object, ..
        } => Way::Object(number(object)?),
        Op::Connect { .. } => Way::Dial,
        Op::Timeout { at_ns } => Way::Time(*at_ns),
        _ => Way::Disk(place_of(op)),
    })
}

/// Whether an op receives (`Some(false)`) or sends (`Some(true)`).
fn sends(op: &Op) -> Option<bool> {
    match op {
        Op::Receive { .. } | Op::ReceiveMultishot { .. } => Some(false),
        Op::Send { .. } | Op::SendZeroCopy { .. } | Op::SendVectored { .. } => Some(true),
        _ => None,
    }
}

/// Whether an op names a descriptor.
pub(crate) fn names(op: &Op, descriptor: u64) -> bool {
    let is = |other: &Descriptor| other.simulated_number() == Some(descriptor);
    let beneath = |directory: &Directory| match directory {
        Directory::Ambient => false,
        Directory::Beneath(other) => is(other),
    };
    match op {
        Op::Accept { listener: one }
        | Op::Connect { socket: one, .. }
        | Op::Receive { socket: one, .. }
        | Op::ReceiveMultishot { socket: one }
        | Op::Send { socket: one, .. }
        | Op::SendZeroCopy { socket: one, .. }
        | Op::SendVectored { socket: one, .. }
        | Op::Read { file: one, .. }
        | Op::Write { file: one, .. }
        | Op::Sync { file: one, .. }
        | Op::StatDescriptor { file: one }
        | Op::Poll {
            descriptor: one, ..
        } => is(one),
        Op::SpliceFromFile { file, pipe, .. } | Op::SpliceToFile { file, pipe, .. } => {
            is(file) || is(pipe)
        }
        Op::Open { directory, .. }
        | Op::Stat { directory, .. }
        | Op::Remove { directory, .. }
        | Op::MakeDirectory { directory, .. } => beneath(directory),
        Op::Rename {
            from_directory,
            to_directory,
            ..
        } => beneath(from_directory) || beneath(to_directory),
        Op::Timeout { .. } => false,
        Op::Blocking(call) => crate::file::named_by(call).is_some_and(is),
    }
}

impl State {
    pub(crate) fn in_flight(&mut self, kernel: KernelId, id: OpId) -> Option<&mut InFlight> {
        self.rings[kernel.0].ops.get_mut(&id)
    }

    pub(crate) fn op(&self, kernel: KernelId, id: OpId) -> Option<&Op> {
        self.rings[kernel.0].ops.get(&id)?.op.as_ref()
    }

    pub(crate) fn stage(&self, kernel: KernelId, id: OpId) -> Option<Stage> {
        self.rings[kernel.0].ops.get(&id).map(|op| op.stage)
    }

    pub(crate) fn set_stage(&mut self, kernel: KernelId, id: OpId, stage: Stage) {
        if let Some(op) = self.in_flight(kernel, id) {
            op.stage = stage;
        }
    }

    /// Hands over what a kernel queued.
    pub(crate) fn flush(&mut self, kernel: KernelId) {
        for id in std::mem::take(&mut self.rings[kernel.0].queued) {
            // Cancelled before it was handed over?
            if self.stage(kernel, id) == Some(Stage::Queued) {
                self.start(kernel, id);
            }
        }
    }

    fn start(&mut self, kernel: KernelId, id: OpId) {
        let Some(op) = self.op(kernel, id) else {
            return;
        };
        let way = way_of(op);
        let needs_memory = !matches!(op, Op::Timeout { .. });
        let per_mille = self.config.faults.no_memory_per_mille;
        if needs_memory && self.fault(FaultKind::NoMemory, per_mille) {
            return self.fail(kernel, id, Errno::ENOMEM);
        }
        match way {
            Err(errno) => self.fail(kernel, id, errno),
            Ok(Way::Object(object)) => self.start_on_object(kernel, id, object),
            Ok(Way::Dial) => self.start_dial(kernel, id),
            Ok(Way::Disk(place)) => self.start_on_disk(kernel, id, place),
            Ok(Way::Time(at_ns)) => {
                self.set_stage(kernel, id, Stage::Timing);
                self.events
                    .schedule(at_ns, Event::Deadline { kernel, op: id });
            }
        }
    }

    fn start_on_object(&mut self, kernel: KernelId, id: OpId, object: u64) {
        if let Some(sends) = self.op(kernel, id).and_then(sends) {
            self.note_overlap(kernel, object, sends);
        }
        self.set_stage(kernel, id, Stage::Waiting(object));
        self.waiters.entry(object).or_default().push((kernel, id));
        self.attempt(kernel, id);
    }

    /// Records a second send or receive on a socket that already has one in flight.
    pub(crate) fn note_overlap(&mut self, kernel: KernelId, descriptor: u64, sending: bool) {
        let waiting = self.waiters.get(&descriptor).into_iter().flatten();
        let overlaps = waiting
            .filter_map(|&(kernel, id)| self.op(kernel, id))
            .any(|op| sends(op) == Some(sending));
        if overlaps {
            self.violations.push(Violation::Overlap {
                kernel,
                descriptor,
                sends: sending,
            });
        }
    }

    /// An object changed: all that wait on it are tried.
    pub(crate) fn wake_waiters(&mut self, object: u64) {
        for (kernel, id) in self.waiters.get(&object).cloned().unwrap_or_default() {
            self.attempt(kernel, id);
        }
    }

    /// Tries an op that waits on an object, until it has nothing more to say.
    fn attempt(&mut self, kernel: KernelId, id: OpId) {
        let Some(mut op) = self
            .in_flight(kernel, id)
            .and_then(|flight| flight.op.take())
        else {
            return;
        };
        loop {
            match self.try_op(kernel, id, &mut op) {
                Outcome::Wait => break,
                Outcome::More(answer) => self.post(kernel, id, answer, true),
                Outcome::Done(answer) => {
                    self.finish(kernel, id, answer);
                    break;
                }
                Outcome::Taken(answer) => {
                    self.post(kernel, id, answer, true);
                    self.stop_waiting(kernel, id, Stage::Notifying);
                    break;
                }
            }
        }
        if let Some(flight) = self.in_flight(kernel, id) {
            flight.op = Some(op);
        }
    }

    pub(crate) fn post(&mut self, kernel: KernelId, id: OpId, answer: Answer, more: bool) {
        let delay_ns_max = self.config.kernel.completion_delay_ns_max;
        let is_late = self.rings[kernel.0].post(self.now_ns, delay_ns_max, id, answer, more);
        self.tally
            .add(FaultKind::LateCompletion, u64::from(is_late));
    }

    /// Posts the last completion of an op.
    pub(crate) fn finish(&mut self, kernel: KernelId, id: OpId, answer: Answer) {
        self.stop_waiting(kernel, id, Stage::Finished);
        self.post(kernel, id, answer, false);
    }

    pub(crate) fn fail(&mut self, kernel: KernelId, id: OpId, errno: Errno) {
        let payload = self.take_buffer(kernel, id);
        self.finish(kernel, id, Answer::new(Err(errno), payload));
    }

    /// The buffer that an op gives back with its last completion.
    fn take_buffer(&mut self, kernel: KernelId, id: OpId) -> Payload {
        let op = self
            .in_flight(kernel, id)
            .and_then(|flight| flight.op.as_mut());
        op.map_or(Payload::None, take_buffer)
    }

    /// Leaves the list of waiters.
    fn stop_waiting(&mut self, kernel: KernelId, id: OpId, stage: Stage) {
        if let Some(Stage::Waiting(object)) = self.stage(kernel, id)
            && let Some(waiting) = self.waiters.get_mut(&object)
        {
            waiting.retain(|&waiter| waiter != (kernel, id));
            if waiting.is_empty() {
                self.waiters.remove(&object);
            }
        }
        self.set_stage(kernel, id, stage);
    }

    /// Ends an op early, or lets it run to its end when it is too late.
    pub(crate) fn cancel(&mut self, kernel: KernelId, id: OpId) {
        let Some(stage) = self.stage(kernel, id) else {
            return;
        };
        let is_too_late = match stage {
            Stage::Finished | Stage::Notifying => true,
            Stage::Running if self.hangs(kernel, id) => false,
            Stage::Running | Stage::Dialling => {
                let per_mille = self.config.faults.cancel_late_per_mille;
                self.fault(FaultKind::CancelLate, per_mille)
            }
            Stage::Queued | Stage::Waiting(_) | Stage::Timing | Stage::Pooled => false,
        };
        if !is_too_late {
            self.cancel_now(kernel, id, stage);
        }
    }

    fn cancel_now(&mut self, kernel: KernelId, id: OpId, stage: Stage) {
        if matches!(stage, Stage::Pooled | Stage::Running)
            && let Some(place) = self.op(kernel, id).map(place_of)
        {
            self.leave_place(kernel, id, place);
        }
        if matches!(self.op(kernel, id), Some(Op::SendZeroCopy { .. })) {
            return self.cancel_zero_copy(kernel, id);
        }
        let done = self.in_flight(kernel, id).map_or(0, |flight| flight.done);
        let payload = self.take_buffer(kernel, id);
        let result = partial(done, Errno::ECANCELED);
        self.finish(kernel, id, Answer::new(result, payload));
    }

    /// A cancelled zero-copy send: what it had sent is still referred to.
    fn cancel_zero_copy(&mut self, kernel: KernelId, id: OpId) {
        let done = self.in_flight(kernel, id).map_or(0, |flight| flight.done);
        let result = partial(done, Errno::ECANCELED);
        match self.settle_zero_copy(kernel, id, result) {
            Outcome::Taken(answer) => {
                self.post(kernel, id, answer, true);
                self.stop_waiting(kernel, id, Stage::Notifying);
            }
            Outcome::Done(answer) | Outcome::More(answer) => self.finish(kernel, id, answer),
            Outcome::Wait => {}
        }
    }

    pub(crate) fn cancel_all_on(&mut self, kernel: KernelId, descriptor: u64) {
        let named = |flight: &InFlight| flight.op.as_ref().is_some_and(|op| names(op, descriptor));
        let ops = self.rings[kernel.0].ops.iter();
        let ids: Vec<_> = ops.filter(|(_, op)| named(op)).map(|(&id, _)| id).collect();
        for id in ids {
            self.cancel(kernel, id);
        }
    }

    /// Cancels an op whose completions nobody wants.
    pub(crate) fn orphan(&mut self, kernel: KernelId, id: OpId) {
        if let Some(flight) = self.in_flight(kernel, id) {
            flight.is_orphan = true;
            self.cancel(kernel, id);
        }
    }

    /// The time of a timeout op.
    pub(crate) fn on_deadline(&mut self, kernel: KernelId, id: OpId) {
        if self.stage(kernel, id) == Some(Stage::Timing) {
            self.finish(kernel, id, Answer::plain(Err(Errno::ETIMEDOUT)));
        }
    }

    /// The memory of a zero-copy send is free.
    pub(crate) fn on_notify(&mut self, kernel: KernelId, id: OpId) {
        if self.stage(kernel, id) == Some(Stage::Notifying) {
            let copied = self.draw_copied(kernel, id);
            let payload = Payload::Notification { copied };
            self.finish(kernel, id, Answer::new(Ok(0), payload));
        }
    }
}

/// The result of an op that ended after `done` bytes: what it did counts more than why it ended.
pub(crate) fn partial(done: usize, errno: Errno) -> Result<u32, Errno> {
    if done == 0 {
        Err(errno)
    } else {
        Ok(done as u32)
    }
}

/// The buffer that an op gives back with its last completion.
pub(crate) fn take_buffer(op: &mut Op) -> Payload {
    match op {
        Op::Receive { buffer, .. } | Op::Read { buffer, .. } => {
            let empty = ringway_io::BufferMut::heap(Vec::new());
            Payload::Buffer(std::mem::replace(buffer, empty))
        }
        _ => Payload::None,
    }
}
