//! The handle a test holds: makes hosts and kernels, lets time pass, breaks things, asks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;

use crate::config::{FaultConfig, LinkConfig, WorldConfig};
use crate::cut::{ConnectionId, ConnectionView, CutAt, CutKind, CutTarget, Side};
use crate::fault::FaultKind;
use crate::host::Host;
use crate::ring::Ring;
use crate::state::State;
use crate::{DiskHandle, HostId, KernelId, Outstanding, SimKernel, Violation};

/// A simulated world. Clones are handles to the same one; for one thread.
///
/// ```
/// use ringway_io::{Kernel, Op, Token, Wait};
/// use ringway_sim::{Advance, World, WorldConfig};
///
/// let world = World::new(7, WorldConfig::default());
/// let host = world.add_host("node-a", &["10.0.0.1".parse().unwrap()]);
/// let mut kernel = world.kernel(host);
/// kernel.submit(Token(1), Op::Timeout { at_ns: 5_000_000 });
/// let mut completions = Vec::new();
/// loop {
///     // A shard's turn: reap, work, enter. It never blocks here.
///     kernel.reap(&mut completions, 64);
///     kernel.enter(Wait::Forever).unwrap();
///     if !world.has_work(kernel.id()) && world.advance() == Advance::Quiescent {
///         break;
///     }
/// }
/// assert_eq!(completions.len(), 1);
/// assert!(world.now_ns() >= 5_000_000 && world.outstanding().is_empty());
/// ```
#[derive(Clone)]
pub struct World(pub(crate) Rc<RefCell<State>>);

/// What letting time pass came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// It is now this time, ns.
    To(u64),
    /// Nothing can ever happen again, unless a kernel does something: all is done, or deadlock.
    Quiescent,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is in it would fill pages: the trace tells more.
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    /// A world without hosts, at time 0.
    #[must_use]
    pub fn new(seed: u64, config: WorldConfig) -> Self {
        Self(Rc::new(RefCell::new(State::new(seed, config))))
    }

    // --- what is in it --------------------------------------------------------------------

    /// Adds a machine. Its name resolves to its addresses, in this order.
    #[must_use]
    pub fn add_host(&self, name: &str, addresses: &[IpAddr]) -> HostId {
        let mut state = self.0.borrow_mut();
        let id = HostId(state.hosts.len());
        let host = Host::new(id, name, addresses, &state.config.disk);
        state.hosts.push(host);
        id
    }

    /// Makes a kernel for one shard of the process on `host`.
    #[must_use]
    pub fn kernel(&self, host: HostId) -> SimKernel {
        let id = {
            let mut state = self.0.borrow_mut();
            let id = KernelId(state.rings.len());
            let ring = Ring::new(id, host, &state.config.kernel, state.seed);
            let lacks = ring.capabilities != ringway_io::Capabilities::all();
            let counted = FaultKind::CapabilitiesMissing;
            state.tally.add(counted, u64::from(lacks));
            state.rings.push(ring);
            id
        };
        SimKernel::new(self.clone(), id)
    }

    /// The disk of a host, to plant, inspect and break.
    #[must_use]
    pub fn disk(&self, host: HostId) -> DiskHandle {
        DiskHandle::new(self.clone(), host)
    }

    // --- time -------------------------------------------------------------------------------

    /// Whether a kernel's shard is due for a turn: a completion is visible, its doorbell was
    /// rung, or the time it waited for has come.
    #[must_use]
    pub fn has_work(&self, kernel: KernelId) -> bool {
        let mut state = self.0.borrow_mut();
        state.settle();
        state.rings[kernel.0].has_work(state.now_ns)
    }

    /// Moves time to the next moment at which anything changes. Call it when no shard has work.
    pub fn advance(&self) -> Advance {
        let mut state = self.0.borrow_mut();
        state.settle();
        match state.next_at_ns() {
            None => Advance::Quiescent,
            Some(at_ns) => {
                state.move_to(at_ns);
                Advance::To(state.now_ns)
            }
        }
    }

    /// Virtual time, ns.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.0.borrow().now_ns
    }

    // --- what happened ----------------------------------------------------------------------

    /// A hash over every completion delivered and everything that happened on the network. Two
    /// runs with one seed agree in it.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.0.borrow().trace.hash()
    }

    /// The trace as text; empty unless [`WorldConfig::trace_text`] is set.
    #[must_use]
    pub fn trace_text(&self) -> String {
        self.0.borrow().trace.text().to_owned()
    }

    /// Faults that happened so far, by kind ([`crate::FaultKind::name`]).
    #[must_use]
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.0.borrow().tally.by_name()
    }

    /// Bytes that arrived over the network, or were read from or written to a disk.
    #[must_use]
    pub fn bytes_moved(&self) -> u64 {
        self.0.borrow().tally.bytes_moved
    }

    /// How many contracts were broken so far.
    #[must_use]
    pub fn violation_count(&self) -> usize {
        self.0.borrow().violations.len()
    }

    /// Contracts that were broken so far.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.0.borrow().violations.clone()
    }

    /// What was lent and has not come back.
    #[must_use]
    pub fn outstanding(&self) -> Outstanding {
        let mut state = self.0.borrow_mut();
        state.settle();
        state.outstanding()
    }

    // --- the network ------------------------------------------------------------------------

    /// All connections of which somebody holds an end, oldest first.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionView> {
        let mut state = self.0.borrow_mut();
        state.settle();
        let connections = state.network.connections.iter();
        connections
            .map(|(&id, connection)| ConnectionView::new(id, connection))
            .collect()
    }

    /// Cuts a connection now.
    pub fn cut(&self, connection: ConnectionId, kind: CutKind) {
        let mut state = self.0.borrow_mut();
        state.settle();
        state.cut(connection.0, kind);
        state.settle();
    }

    /// Cuts a connection at the moment when exactly `offset` bytes from one side have arrived at
    /// the other. One cut waits per side.
    pub fn cut_at(&self, target: CutTarget, from: Side, offset: u64, kind: CutKind) {
        let mut state = self.0.borrow_mut();
        let cut = CutAt { from, offset, kind };
        match target {
            CutTarget::Connection(connection) => state.cut_at(connection.0, cut),
            CutTarget::Next => state.next_cuts.push_back(cut),
        }
        state.settle();
    }

    /// Changes the link between two hosts, both ways, from now on.
    pub fn set_link(&self, one: HostId, other: HostId, config: LinkConfig) {
        let mut state = self.0.borrow_mut();
        state.change_link(one, other, |link| link.config = config);
    }

    /// From now on other things go wrong, or nothing any more ([`FaultConfig::NONE`]).
    pub fn set_faults(&self, faults: FaultConfig) {
        self.0.borrow_mut().config.faults = faults;
    }

    /// Nothing goes wrong from now on: no faults are drawn, cuts that wait are forgotten, links and
    /// disks are whole. What is broken stays broken.
    pub fn calm(&self) {
        let mut state = self.0.borrow_mut();
        state.settle();
        state.calm();
    }

    /// Lets nothing pass between two hosts; senders keep what they have, dials are repeated.
    pub fn partition(&self, one: HostId, other: HostId) {
        let mut state = self.0.borrow_mut();
        state.tally.add(FaultKind::Partition, 1);
        state.change_link(one, other, |link| link.is_down = true);
    }

    /// Ends a partition: what was kept goes on.
    pub fn heal(&self, one: HostId, other: HostId) {
        let mut state = self.0.borrow_mut();
        state.change_link(one, other, |link| link.is_down = false);
    }

    // --- processes and machines --------------------------------------------------------------

    /// Ends the process on a host, as `SIGKILL` does: its kernels are dead, its sockets closed,
    /// its files keep what was written. Make new kernels for the next process.
    pub fn kill_process(&self, host: HostId) {
        let mut state = self.0.borrow_mut();
        state.settle();
        state.kill_process(host);
    }

    /// Cuts the power of a machine: as above, but nobody is told, and files lose what was not
    /// synced. The machine is up again at once.
    pub fn crash_machine(&self, host: HostId) {
        let mut state = self.0.borrow_mut();
        state.settle();
        state.crash_machine(host);
    }
}
