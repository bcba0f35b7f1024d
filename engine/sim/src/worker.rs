//! Bounded pools: what the real kernel runs on its workers, and what our helper threads run.
//!
//! An op in here blocks others when all places are taken, as io-wq does.

use std::collections::VecDeque;

use ringway_io::{Op, OpId};

use crate::connection::transfer_ns;
use crate::events::Event;
use crate::fault::FaultKind;
use crate::object::OpenFile;
use crate::ring::Stage;
use crate::state::State;
use crate::{KernelId, Violation};

/// Places for ops that run at a time.
#[derive(Debug)]
pub(crate) struct Pool {
    places: usize,
    running: usize,
    waiting: VecDeque<OpId>,
}

impl Pool {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places,
            running: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Takes a place now, or queues for one.
    fn enter(&mut self, op: OpId) -> bool {
        let free = self.running < self.places;
        if free {
            self.running += 1;
        } else {
            self.waiting.push_back(op);
        }
        free
    }

    /// Gives a place up; the next in the queue takes it.
    fn leave(&mut self) -> Option<OpId> {
        let next = self.waiting.pop_front();
        if next.is_none() {
            self.running -= 1;
        }
        next
    }

    /// Removes an op that queues.
    fn forget(&mut self, op: OpId) {
        self.waiting.retain(|&waiting| waiting != op);
    }
}

/// Which places an op needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// None: the disk itself is asynchronous.
    Disk,
    Worker,
    Helper,
}

/// Where an op on files runs.
pub(crate) fn place_of(op: &Op) -> Place {
    match op {
        Op::Read { .. } | Op::Write { .. } => Place::Disk,
        Op::Blocking(_) => Place::Helper,
        _ => Place::Worker,
    }
}

impl State {
    fn pool(&mut self, kernel: KernelId, place: Place) -> Option<&mut Pool> {
        let ring = &mut self.rings[kernel.0];
        match place {
            Place::Disk => None,
            Place::Worker => Some(&mut ring.workers),
            Place::Helper => Some(&mut ring.helpers),
        }
    }

    /// Hands an op on files over.
    pub(crate) fn start_on_disk(&mut self, kernel: KernelId, id: OpId, place: Place) {
        self.note_two_writers(kernel, id);
        let has_place = self.pool(kernel, place).is_none_or(|pool| pool.enter(id));
        if has_place {
            self.run_on_disk(kernel, id);
        } else {
            self.tally.add(FaultKind::WorkersBusy, 1);
            self.set_stage(kernel, id, Stage::Pooled);
        }
    }

    /// Records a second write that is under way to a place in a file.
    fn note_two_writers(&mut self, kernel: KernelId, id: OpId) {
        let place = self.op(kernel, id).and_then(|op| self.written_by(op));
        let Some((file, from, to)) = place else {
            return;
        };
        let is_running = |stage| matches!(stage, Stage::Pooled | Stage::Running);
        let flights = self.rings.iter().flat_map(|ring| ring.ops.values());
        let running = flights.filter(|flight| is_running(flight.stage));
        let places = running.filter_map(|flight| self.written_by(flight.op.as_ref()?));
        let mut shared = places
            .filter(|(other, ..)| (other.host, other.node) == (file.host, file.node))
            .map(|(_, start, end)| (from.max(start), to.min(end)));
        if let Some((from, to)) = shared.find(|(from, to)| from < to) {
            let violation = Violation::TwoWriters { kernel, from, to };
            self.violations.push(violation);
        }
    }

    /// Which part of a file an op writes.
    fn written_by(&self, op: &Op) -> Option<(OpenFile, u64, u64)> {
        let (file, offset) = match op {
            Op::Write { file, offset, .. } | Op::SpliceToFile { file, offset, .. } => {
                (file, *offset)
            }
            _ => return None,
        };
        let file = self.file_of(file).ok()?;
        Some((file, offset, offset.saturating_add(disk_bytes(op))))
    }

    /// Starts the clock of an op that has its place.
    fn run_on_disk(&mut self, kernel: KernelId, id: OpId) {
        self.set_stage(kernel, id, Stage::Running);
        let Some(op) = self.op(kernel, id) else {
            return;
        };
        let bytes = disk_bytes(op);
        if self.hangs(kernel, id) {
            return;
        }
        let disk = &self.config.disk;
        let latency = self
            .random
            .disk
            .between(*disk.latency_ns.start(), *disk.latency_ns.end());
        let at_ns = self.now_ns + latency + transfer_ns(bytes, disk.bandwidth_bytes_per_second);
        let at_ns = at_ns + self.draw_stall_ns();
        self.events
            .schedule(at_ns, Event::DiskDone { kernel, op: id });
    }

    /// How much longer a disk op takes than it should.
    fn draw_stall_ns(&mut self) -> u64 {
        let stall_ns_max = self.config.faults.disk_stall_ns_max;
        if stall_ns_max > 0 && self.fault(FaultKind::DiskSlow, 10) {
            return self.random.faults.below(stall_ns_max);
        }
        0
    }

    /// An op has run, or will not: its place is free.
    pub(crate) fn leave_place(&mut self, kernel: KernelId, id: OpId, place: Place) {
        let was_waiting = self.stage(kernel, id) == Some(Stage::Pooled);
        let Some(pool) = self.pool(kernel, place) else {
            return;
        };
        if was_waiting {
            pool.forget(id);
        } else if let Some(next) = pool.leave() {
            self.run_on_disk(kernel, next);
        }
    }
}

/// Bytes an op moves over the disk.
fn disk_bytes(op: &Op) -> u64 {
    match op {
        Op::Read { buffer, .. } => buffer.len() as u64,
        Op::Write { buffer, .. } => buffer.len() as u64,
        Op::SpliceFromFile { length, .. } | Op::SpliceToFile { length, .. } => u64::from(*length),
        _ => 0,
    }
}
