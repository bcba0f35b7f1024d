//! Everything a world consists of, and how its events are worked off.
//!
//! Whatever enters the world ends with [`State::settle`]: descriptors that were dropped are
//! closed, due events happen, and ops whose object changed are tried, until nothing moves at
//! this moment of virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ringway_io::{Descriptor, Errno, OpId, Pipe};

use crate::config::{FaultConfig, WorldConfig};
use crate::connection::Link;
use crate::cut::CutAt;
use crate::events::{Event, Events};
use crate::fault::{FaultKind, Tally};
use crate::host::Host;
use crate::network::Network;
use crate::object::{Closer, Entry, Object, number};
use crate::pipe::PipeState;
use crate::random::Random;
use crate::ring::Ring;
use crate::trace::Trace;
use crate::{HostId, KernelId, Violation};

/// A world from inside.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) seed: u64,
    pub(crate) config: WorldConfig,
    pub(crate) now_ns: u64,
    pub(crate) events: Events,
    pub(crate) trace: Trace,
    pub(crate) tally: Tally,
    pub(crate) random: Streams,
    pub(crate) hosts: Vec<Host>,
    /// By [`KernelId`]; those of killed processes stay, dead.
    pub(crate) rings: Vec<Ring>,
    pub(crate) objects: BTreeMap<u64, Entry>,
    pub(crate) object_next: u64,
    pub(crate) closer: Arc<Closer>,
    pub(crate) network: Network,
    pub(crate) next_cuts: VecDeque<CutAt>,
    pub(crate) pipes: BTreeMap<u64, PipeState>,
    /// Ops that wait on an object, oldest first.
    pub(crate) waiters: BTreeMap<u64, Vec<(KernelId, OpId)>>,
    /// Objects that changed and whose waiters were not tried yet.
    pub(crate) dirty: BTreeSet<u64>,
    pub(crate) violations: Vec<Violation>,
}

/// One stream of chance for each part, so that one does not disturb the other.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) network: Random,
    pub(crate) disk: Random,
    pub(crate) faults: Random,
}

impl State {
    pub(crate) fn new(seed: u64, config: WorldConfig) -> Self {
        Self {
            seed,
            now_ns: 0,
            events: Events::default(),
            trace: Trace::new(config.trace_text),
            tally: Tally::default(),
            random: Streams {
                network: Random::new(seed, 1),
                disk: Random::new(seed, 2),
                faults: Random::new(seed, 3),
            },
            config,
            hosts: Vec::new(),
            rings: Vec::new(),
            objects: BTreeMap::new(),
            object_next: 1,
            closer: Arc::default(),
            network: Network::default(),
            next_cuts: VecDeque::new(),
            pipes: BTreeMap::new(),
            waiters: BTreeMap::new(),
            dirty: BTreeSet::new(),
            violations: Vec::new(),
        }
    }

    /// Works off everything that can happen at this moment.
    pub(crate) fn settle(&mut self) {
        loop {
            let closed = self.closer.take();
            let has_closed = !closed.is_empty();
            for object in closed {
                self.close_object(object);
            }
            if let Some(event) = self.events.pop_due(self.now_ns) {
                self.on_event(event);
            } else if let Some(object) = self.dirty.pop_first() {
                self.wake_waiters(object);
            } else if !has_closed {
                return;
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Arrive {
                connection,
                direction,
            } => self.on_arrive(connection, direction),
            Event::Acked {
                connection,
                direction,
                bytes,
            } => self.on_acked(connection, direction, bytes),
            Event::WindowOpen {
                connection,
                direction,
                bytes,
            } => self.on_window_open(connection, direction, bytes),
            Event::Dial {
                kernel,
                op,
                attempt,
            } => self.on_dial(kernel, op, attempt),
            Event::Dialled { kernel, op, result } => self.on_dialled(kernel, op, result),
            Event::DiskDone { kernel, op } => self.on_disk_done(kernel, op),
            Event::Deadline { kernel, op } => self.on_deadline(kernel, op),
            Event::Notify { kernel, op } => self.on_notify(kernel, op),
            Event::Nudge { object } => {
                self.dirty.insert(object);
            }
            Event::UserTimeout {
                connection,
                end,
                acked,
            } => self.on_user_timeout(connection, end, acked),
            Event::GiveUp { connection, end } => {
                self.kill_end(connection, end, Errno::ETIMEDOUT);
                self.forget_if_closed(connection);
            }
        }
    }

    /// The next moment at which anything changes.
    pub(crate) fn next_at_ns(&self) -> Option<u64> {
        let rings = self.rings.iter().filter(|ring| ring.is_alive);
        let rings = rings.filter_map(|ring| ring.next_at_ns(self.now_ns));
        rings.chain(self.events.next_at_ns()).min()
    }

    /// Moves to a moment and works it off.
    pub(crate) fn move_to(&mut self, at_ns: u64) {
        self.now_ns = self.now_ns.max(at_ns);
        for ring in &mut self.rings {
            ring.wake(self.now_ns);
        }
        self.settle();
    }

    /// Makes a pipe.
    pub(crate) fn open_pipe(&mut self, kernel: KernelId) -> Result<Pipe, Errno> {
        let capacity = self.config.kernel.pipe_bytes;
        let id = self.object_next;
        let mut state = PipeState::new(capacity as usize);
        let read = self.open_object(kernel, Object::PipeRead(id))?;
        let write = self.open_object(kernel, Object::PipeWrite(id))?;
        state.ends = [Some(number(&read)?), Some(number(&write)?)];
        self.pipes.insert(id, state);
        Ok(Pipe {
            read,
            write,
            capacity,
        })
    }

    /// Takes a pipe back from a shard.
    pub(crate) fn release_pipe(&mut self, kernel: KernelId, pipe: Pipe, is_empty: bool) {
        let bytes = self.pipe_state(&pipe.read).map_or(0, |state| state.len());
        if is_empty && bytes > 0 {
            self.violations
                .push(Violation::PipeNotEmpty { kernel, bytes });
        }
        let is_named = self.is_named_by_ops(&[&pipe.read, &pipe.write]);
        if is_empty && is_named {
            self.violations.push(Violation::PipeInUse { kernel });
        }
        let pool = &mut self.rings[kernel.0].pipes;
        pool.lent = pool.lent.saturating_sub(1);
        if is_empty && bytes == 0 && !is_named {
            pool.idle.push(pipe);
        }
    }

    /// Whether any unfinished op names one of these descriptors.
    fn is_named_by_ops(&self, descriptors: &[&Descriptor]) -> bool {
        let numbers: Vec<_> = descriptors
            .iter()
            .filter_map(|descriptor| descriptor.simulated_number())
            .collect();
        let rings = self.rings.iter().flat_map(|ring| ring.ops.values());
        rings
            .filter(|flight| flight.stage != crate::ring::Stage::Finished)
            .filter_map(|flight| flight.op.as_ref())
            .any(|op| numbers.iter().any(|&number| crate::op::names(op, number)))
    }

    // --- processes and machines -----------------------------------------------------------

    /// All kernels of a host end; what they had open is closed as the kernel does it.
    pub(crate) fn kill_process(&mut self, host: HostId) {
        self.tally.add(FaultKind::ProcessKilled, 1);
        for object in self.end_kernels(host) {
            self.close_object(object);
        }
        self.settle();
    }

    /// The machine loses power: nobody is told, and what was not synced is gone.
    pub(crate) fn crash_machine(&mut self, host: HostId) {
        for object in self.end_kernels(host) {
            self.vanish_object(object);
        }
        let (lost, torn) = self.hosts[host.0].disk.crash(&mut self.random.disk);
        self.tally.add(FaultKind::MachineCrashed, 1);
        self.tally.add(FaultKind::PageLost, lost);
        self.tally.add(FaultKind::PageTorn, torn);
        self.hosts[host.0].stale.clear();
        self.settle();
    }

    /// Ends all kernels of a host; returns what they had open.
    fn end_kernels(&mut self, host: HostId) -> Vec<u64> {
        let is_there = |state: &Self, kernel: KernelId| state.rings[kernel.0].host == host;
        let owned = self.objects.iter();
        let owned = owned.filter(|(_, entry)| is_there(self, entry.owner));
        let owned: Vec<u64> = owned.map(|(&number, _)| number).collect();
        for object in &owned {
            self.waiters.remove(object);
        }
        for ring in self.rings.iter_mut().filter(|ring| ring.host == host) {
            ring.die();
        }
        self.trace
            .record(self.now_ns, format_args!("h{} ends", host.0));
        owned
    }

    fn vanish_object(&mut self, number: u64) {
        let Some(entry) = self.objects.remove(&number) else {
            return;
        };
        match entry.object {
            Object::Socket { connection, end } => self.vanish_end(connection, end),
            Object::Listener(listener) => {
                self.hosts[listener.host.0].unlisten(&listener.address, number);
                for connection in listener.pending {
                    self.vanish_end(connection, 1);
                }
            }
            Object::PipeRead(pipe) | Object::PipeWrite(pipe) => {
                self.pipes.remove(&pipe);
            }
            Object::File(_) | Object::Unconnected { .. } => {}
        }
    }

    // --- calm -------------------------------------------------------------------------------

    /// Nothing goes wrong any more.
    pub(crate) fn calm(&mut self) {
        self.config.faults = FaultConfig::NONE;
        self.next_cuts.clear();
        for connection in self.network.connections.values_mut() {
            for direction in &mut connection.directions {
                direction.cut = None;
            }
        }
        for host in &mut self.hosts {
            host.disk.faults.clear();
        }
        let links: Vec<_> = self.network.links.keys().copied().collect();
        for (one, other) in links {
            self.change_link(one, other, |link| link.is_down = false);
        }
    }

    // --- links ------------------------------------------------------------------------------

    /// Changes the link between two hosts, both ways; then what waited on it goes on.
    pub(crate) fn change_link(&mut self, one: HostId, other: HostId, change: impl Fn(&mut Link)) {
        change(self.link(one, other));
        change(self.link(other, one));
        let connections: Vec<u64> = self.network.connections.keys().copied().collect();
        for connection in connections {
            self.pump(connection, 0);
            self.pump(connection, 1);
        }
        self.settle();
    }
}
