//! What the fault kernel knows of sockets and ops, and when the next fault is due.

use std::collections::{BTreeMap, BTreeSet};

use ringway_io::{Completion, Descriptor, Op, OpId, Readiness};

use crate::fault_plan::{FaultPlan, FaultTrigger};
use crate::faults::{Fault, Faults};

/// A fault that comes after so many bytes.
#[derive(Debug, Default)]
struct Fuse {
    trigger: Option<FaultTrigger>,
    /// At so many bytes moved in all.
    at: Option<u64>,
}

impl Fuse {
    fn set(&mut self, trigger: Option<FaultTrigger>, moved: u64) {
        if trigger != self.trigger {
            self.trigger = trigger;
            self.at = trigger.map(|trigger| moved.saturating_add(trigger.bytes()));
        }
    }

    /// Whether it is due; only once, or it is set anew.
    fn take(&mut self, moved: u64) -> bool {
        let is_due = self.at.is_some_and(|at| moved >= at);
        if is_due {
            self.at = match self.trigger {
                Some(FaultTrigger::Every(bytes)) => Some(moved.saturating_add(bytes)),
                _ => None,
            };
        }
        is_due
    }
}

/// What is wrong with one socket.
#[derive(Debug, Default)]
pub(crate) struct SocketFaults {
    pub(crate) is_to_cut: bool,
    pub(crate) is_to_corrupt: bool,
    /// Brings nothing any more.
    pub(crate) is_deaf: bool,
    /// What it sends goes nowhere.
    pub(crate) is_mute: bool,
    /// It was reset: what is still said of it passes.
    pub(crate) is_over: bool,
    /// The last inline send was taken in part: the next one does not begin with a header.
    pub(crate) is_inside: bool,
    /// When the last delayed completion is seen: they stay in order.
    last_due_ns: u64,
}

/// What an op is, as far as faults are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    /// Bytes for that socket.
    Receive(u64),
    /// Word of bytes for that socket.
    Readable(u64),
    /// Bytes from that socket.
    Send(u64),
    /// New connections.
    Accept,
    /// Stands for a dial that is refused.
    Refused,
    /// Stands for a send of so many bytes that go nowhere.
    Swallowed(u32),
    /// Works on a file.
    Disk,
}

/// A completion that is not seen yet.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) socket: Option<u64>,
    pub(crate) completion: Completion,
}

/// Never: until its socket is given up.
const NEVER_NS: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Injector {
    faults: Faults,
    seen: u64,
    pub(crate) plan: FaultPlan,
    draws: u64,
    moved: u64,
    cut: Fuse,
    drop_inbound: Fuse,
    drop_outbound: Fuse,
    corrupt: Fuse,
    sockets: BTreeMap<u64, SocketFaults>,
    pub(crate) ops: BTreeMap<OpId, Watched>,
    /// By when they are seen, then in order.
    pub(crate) held: BTreeMap<(u64, u64), Held>,
    next_held: u64,
    /// Pipes whose bytes were said to be gone.
    pub(crate) spoiled: BTreeSet<u64>,
}

/// What a descriptor is known by while it is open.
pub(crate) fn number(descriptor: &Descriptor) -> u64 {
    let os = descriptor
        .os_number()
        .map(|number| number.unsigned_abs().into());
    os.or(descriptor.simulated_number()).unwrap_or(u64::MAX)
}

impl Injector {
    pub(crate) fn new(faults: Faults) -> Self {
        Self {
            draws: faults.seed(),
            faults,
            seen: 0,
            plan: FaultPlan::default(),
            moved: 0,
            cut: Fuse::default(),
            drop_inbound: Fuse::default(),
            drop_outbound: Fuse::default(),
            corrupt: Fuse::default(),
            sockets: BTreeMap::new(),
            ops: BTreeMap::new(),
            held: BTreeMap::new(),
            next_held: 0,
            spoiled: BTreeSet::new(),
        }
    }

    /// Takes over a changed plan.
    pub(crate) fn refresh(&mut self) {
        if let Some(plan) = self.faults.news(&mut self.seen) {
            self.cut.set(plan.cut, self.moved);
            self.drop_inbound.set(plan.drop_inbound, self.moved);
            self.drop_outbound.set(plan.drop_outbound, self.moved);
            self.corrupt.set(plan.corrupt, self.moved);
            self.plan = plan;
        }
    }

    pub(crate) fn count(&self, fault: Fault) {
        self.faults.count(fault);
    }

    /// A number below `bound`: splitmix64 over the seed.
    pub(crate) fn draw(&mut self, bound: u64) -> u64 {
        self.draws = self.draws.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.draws;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (word ^ (word >> 31)) % bound.max(1)
    }

    pub(crate) fn is_refused(&mut self) -> bool {
        // Whoever sets a plan and dials then, means it: the turn may have begun before.
        self.refresh();
        let percent = self.plan.refuse_percent;
        let is_refused = percent > 0 && self.draw(100) < percent.into();
        if is_refused {
            self.count(Fault::Refuse);
        }
        is_refused
    }

    /// A new socket: whatever had its number before is gone.
    pub(crate) fn opened(&mut self, socket: u64) {
        self.sockets.insert(socket, SocketFaults::default());
    }

    pub(crate) fn socket(&mut self, socket: u64) -> &mut SocketFaults {
        self.sockets.entry(socket).or_default()
    }

    pub(crate) fn is_deaf(&self, socket: u64) -> bool {
        let of = self.sockets.get(&socket);
        of.is_some_and(|of| of.is_deaf && !of.is_over)
    }

    pub(crate) fn is_mute(&self, socket: u64) -> bool {
        let of = self.sockets.get(&socket);
        of.is_some_and(|of| of.is_mute && !of.is_over)
    }

    /// Bytes went over a socket, either way: what is due befalls it.
    pub(crate) fn moved(&mut self, socket: u64, bytes: u64) {
        self.moved = self.moved.saturating_add(bytes);
        let moved = self.moved;
        let is_to_cut = self.cut.take(moved);
        let is_deaf = self.drop_inbound.take(moved);
        let is_mute = self.drop_outbound.take(moved);
        let is_to_corrupt = self.corrupt.take(moved);
        for (is_due, fault) in [
            (is_deaf, Fault::DropInbound),
            (is_mute, Fault::DropOutbound),
        ] {
            if is_due {
                self.count(fault);
            }
        }
        let of = self.socket(socket);
        of.is_to_cut |= is_to_cut;
        of.is_deaf |= is_deaf;
        of.is_mute |= is_mute;
        of.is_to_corrupt |= is_to_corrupt;
    }

    /// When a completion for a socket is seen: now, later, or never.
    pub(crate) fn due_ns(&mut self, socket: u64, now_ns: u64) -> u64 {
        if self.is_deaf(socket) {
            return NEVER_NS;
        }
        let Some((least, most)) = self.plan.delay else {
            // Behind those that are held already.
            return self.socket(socket).last_due_ns;
        };
        let span_ns = (most - least).as_nanos() as u64;
        let delay_ns = least.as_nanos() as u64 + self.draw(span_ns + 1);
        self.count(Fault::Delay);
        let of = self.socket(socket);
        of.last_due_ns = of.last_due_ns.max(now_ns.saturating_add(delay_ns));
        of.last_due_ns
    }

    /// Behind what is held of the socket.
    pub(crate) fn socket_due_ns(&mut self, socket: u64) -> u64 {
        self.socket(socket).last_due_ns
    }

    pub(crate) fn deaf_sockets(&self) -> Vec<u64> {
        let deaf = self.sockets.keys().copied();
        deaf.filter(|socket| self.is_deaf(*socket)).collect()
    }

    pub(crate) fn hold(&mut self, due_ns: u64, socket: Option<u64>, completion: Completion) {
        let order = self.next_held;
        self.next_held += 1;
        self.held
            .insert((due_ns, order), Held { socket, completion });
    }

    /// The next completion that may be seen.
    pub(crate) fn pop_due(&mut self, now_ns: u64) -> Option<Completion> {
        let first = self.held.first_entry()?;
        (first.key().0 <= now_ns).then(|| first.remove().completion)
    }

    /// When the next one may be.
    pub(crate) fn next_due_ns(&self) -> Option<u64> {
        let first = self.held.first_key_value().map(|(key, _)| key.0);
        first.filter(|due_ns| *due_ns != NEVER_NS)
    }

    /// Takes out what is held and matches.
    pub(crate) fn take_held(&mut self, wanted: impl Fn(&Held) -> bool) -> Vec<Held> {
        let keys: Vec<_> = self
            .held
            .iter()
            .filter(|(_, held)| wanted(held))
            .map(|(key, _)| *key)
            .collect();
        keys.into_iter()
            .filter_map(|key| self.held.remove(&key))
            .collect()
    }
}

/// What faults may befall an op.
pub(crate) fn watched(op: &Op) -> Option<Watched> {
    match op {
        Op::Receive { socket, .. } | Op::ReceiveMultishot { socket } => {
            Some(Watched::Receive(number(socket)))
        }
        Op::Poll {
            descriptor,
            readiness: Readiness::Readable,
        } => Some(Watched::Readable(number(descriptor))),
        Op::Send { socket, .. }
        | Op::SendZeroCopy { socket, .. }
        | Op::SendVectored { socket, .. } => Some(Watched::Send(number(socket))),
        Op::Accept { .. } => Some(Watched::Accept),
        Op::SpliceFromFile { .. }
        | Op::SpliceToFile { .. }
        | Op::Read { .. }
        | Op::Write { .. }
        | Op::Sync { .. }
        | Op::Open { .. }
        | Op::Stat { .. }
        | Op::StatDescriptor { .. }
        | Op::Rename { .. }
        | Op::Remove { .. }
        | Op::MakeDirectory { .. } => Some(Watched::Disk),
        Op::Connect { .. } | Op::Poll { .. } | Op::Timeout { .. } | Op::Blocking(_) => None,
    }
}
