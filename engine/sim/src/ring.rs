//! What the world keeps of one kernel: its ops, its results, its pools, its sleep.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use ringway_io::{
    Capabilities, Capability, Completion, Doorbell, Errno, Op, OpId, Payload, ProvidedBuffer,
    Token, Wait,
};

use crate::HostId;
use crate::arena::Arena;
use crate::config::{CapabilityChoice, KernelConfig};
use crate::pipe::PipePool;
use crate::random::Random;
use crate::state::State;
use crate::trace::digest;
use crate::worker::Pool;

/// Names a kernel of a world; never reused, also not by the next process on its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KernelId(pub(crate) usize);

/// One kernel, seen from the world.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) host: HostId,
    /// Its process has not been killed.
    pub(crate) is_alive: bool,
    pub(crate) capabilities: Capabilities,
    /// Submitted, not handed over yet.
    pub(crate) queued: Vec<OpId>,
    pub(crate) ops: BTreeMap<OpId, InFlight>,
    op_next: u64,
    /// Results by the time they become visible, then by order.
    pub(crate) completions: BTreeMap<(u64, u64), Delivery>,
    completion_next: u64,
    pub(crate) provided: Provided,
    pub(crate) pipes: PipePool,
    pub(crate) workers: Pool,
    pub(crate) helpers: Pool,
    pub(crate) arena: Arc<Arena>,
    pub(crate) bell: Arc<Bell>,
    /// When it wants to be stepped again.
    wake_at_ns: Option<u64>,
    /// It is due to be stepped.
    is_woken: bool,
    random: Random,
    pub(crate) entropy: Random,
}

/// An op and how far it is.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) token: Token,
    /// With everything it owns, until its last completion is reaped. `None` while it is tried.
    pub(crate) op: Option<Op>,
    pub(crate) stage: Stage,
    /// Bytes moved so far.
    pub(crate) done: usize,
    pub(crate) is_orphan: bool,
    /// Its next completion is not visible before this: completions of one op keep their order.
    ready_floor_ns: u64,
}

/// Where an op is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Submitted, not handed over.
    Queued,
    /// On an object, in its list of waiters.
    Waiting(u64),
    /// On the answer to a dial.
    Dialling,
    /// On a time.
    Timing,
    /// For a worker or helper.
    Pooled,
    /// On the disk or on a helper.
    Running,
    /// A zero-copy send that awaits its notification.
    Notifying,
    /// Its last completion is posted.
    Finished,
}

/// A completion, and the bytes that go into the kernel's provided buffer when it is reaped.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) completion: Completion,
    pub(crate) bytes: Bytes,
}

/// What an op says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) result: Result<u32, Errno>,
    pub(crate) payload: Payload,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn new(result: Result<u32, Errno>, payload: Payload) -> Self {
        Self {
            result,
            payload,
            bytes: Bytes::new(),
        }
    }

    pub(crate) fn plain(result: Result<u32, Errno>) -> Self {
        Self::new(result, Payload::None)
    }
}

/// The provided buffers of one kernel, by index; their memory is with the kernel itself.
#[derive(Debug)]
pub(crate) struct Provided {
    pub(crate) free: VecDeque<u16>,
    pub(crate) lent: BTreeSet<u16>,
}

/// What wakes a kernel.
#[derive(Debug, Default)]
pub(crate) struct Bell(AtomicBool);

impl Doorbell for Bell {
    fn ring(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Ring {
    pub(crate) fn new(id: KernelId, host: HostId, config: &KernelConfig, seed: u64) -> Self {
        let stream = 1000 + 2 * id.0 as u64;
        let mut random = Random::new(seed, stream);
        Self {
            host,
            is_alive: true,
            capabilities: choose(config.capabilities, &mut random),
            queued: Vec::new(),
            ops: BTreeMap::new(),
            op_next: 1,
            completions: BTreeMap::new(),
            completion_next: 0,
            provided: Provided {
                free: (0..config.provided_count).collect(),
                lent: BTreeSet::new(),
            },
            pipes: PipePool::default(),
            workers: Pool::new(config.workers_max),
            helpers: Pool::new(config.helpers_max),
            arena: Arena::new(id.0 as u64, config.arena_bytes),
            bell: Arc::default(),
            wake_at_ns: None,
            is_woken: true,
            random,
            entropy: Random::new(seed, stream + 1),
        }
    }

    /// Queues an op.
    pub(crate) fn submit(&mut self, token: Token, op: Op) -> OpId {
        let id = OpId(self.op_next);
        self.op_next += 1;
        if !self.is_alive {
            return id;
        }
        self.ops.insert(
            id,
            InFlight {
                token,
                op: Some(op),
                stage: Stage::Queued,
                done: 0,
                is_orphan: false,
                ready_floor_ns: 0,
            },
        );
        self.queued.push(id);
        id
    }

    /// Makes a result visible, soon; says whether that is later than now.
    pub(crate) fn post(
        &mut self,
        now_ns: u64,
        delay_ns_max: u64,
        id: OpId,
        answer: Answer,
        more: bool,
    ) -> bool {
        let Some(op) = self.ops.get_mut(&id) else {
            return false;
        };
        let delay = self.random.below(delay_ns_max.saturating_add(1));
        let ready = (now_ns + delay).max(op.ready_floor_ns);
        op.ready_floor_ns = ready;
        let completion = Completion {
            token: op.token,
            op: id,
            result: answer.result,
            more,
            payload: answer.payload,
        };
        let delivery = Delivery {
            completion,
            bytes: answer.bytes,
        };
        self.completions
            .insert((ready, self.completion_next), delivery);
        self.completion_next += 1;
        ready > now_ns
    }

    /// The next visible result.
    fn pop_ready(&mut self, now_ns: u64) -> Option<Delivery> {
        let entry = self.completions.first_entry()?;
        (entry.key().0 <= now_ns).then(|| entry.remove())
    }

    /// Takes a provided buffer; says whether it was the last.
    pub(crate) fn take_provided(&mut self, length: usize) -> Option<(ProvidedBuffer, bool)> {
        let index = self.provided.free.pop_front()?;
        self.provided.lent.insert(index);
        let buffer = ProvidedBuffer {
            group: 0,
            index,
            length: length as u32,
        };
        Some((buffer, self.provided.free.is_empty()))
    }

    /// Gives a provided buffer back; says whether it was lent.
    pub(crate) fn recycle(&mut self, buffer: &ProvidedBuffer) -> bool {
        let was_lent = self.provided.lent.remove(&buffer.index);
        if was_lent {
            self.provided.free.push_back(buffer.index);
        }
        was_lent
    }

    /// Notes how long the shard would sleep.
    pub(crate) fn sleep(&mut self, wait: Wait, now_ns: u64, turn_ns: u64) {
        self.is_woken = self.bell.0.swap(false, Ordering::SeqCst);
        self.wake_at_ns = match wait {
            Wait::No => Some(now_ns + turn_ns.max(1)),
            Wait::Forever => None,
            Wait::Until(at_ns) => Some(at_ns),
        };
        self.wake(now_ns);
    }

    /// Marks it due if its time has come.
    pub(crate) fn wake(&mut self, now_ns: u64) {
        if self.wake_at_ns.is_some_and(|at_ns| at_ns <= now_ns) {
            self.wake_at_ns = None;
            self.is_woken = true;
        }
    }

    pub(crate) fn has_work(&self, now_ns: u64) -> bool {
        let ready = self.completions.first_key_value();
        self.is_alive
            && (self.is_woken
                || self.bell.0.load(Ordering::SeqCst)
                || ready.is_some_and(|(&(at_ns, _), _)| at_ns <= now_ns))
    }

    /// When something changes for it without an event.
    pub(crate) fn next_at_ns(&self, now_ns: u64) -> Option<u64> {
        let ready = self.completions.range((now_ns + 1, 0)..).next();
        let ready = ready.map(|(&(at_ns, _), _)| at_ns);
        [ready, self.wake_at_ns].into_iter().flatten().min()
    }

    /// Its shard was dropped: it is not stepped again, but what it left in flight is kept, to be
    /// seen as a leak.
    pub(crate) fn retire(&mut self) {
        self.wake_at_ns = None;
        self.is_woken = false;
        self.pipes.idle.clear();
    }

    /// The process is gone: nothing of it will be stepped or told again.
    pub(crate) fn die(&mut self) {
        self.is_alive = false;
        self.wake_at_ns = None;
        self.arena.close();
        self.queued.clear();
        self.ops.clear();
        self.completions.clear();
        self.pipes = PipePool::default();
    }
}

fn choose(choice: CapabilityChoice, random: &mut Random) -> Capabilities {
    match choice {
        CapabilityChoice::All => Capabilities::all(),
        CapabilityChoice::Without(masked) => Capabilities::all().without(masked),
        CapabilityChoice::Seeded => {
            let all = Capability::ALL.iter().copied();
            all.filter(|_| random.chance(750)).collect()
        }
    }
}

impl State {
    /// The next result for a kernel, orphans' swallowed.
    pub(crate) fn reap_one(&mut self, kernel: KernelId) -> Option<Delivery> {
        loop {
            let now_ns = self.now_ns;
            let ring = &mut self.rings[kernel.0];
            let delivery = ring.pop_ready(now_ns)?;
            let id = delivery.completion.op;
            let is_orphan = ring.ops.get(&id).is_some_and(|op| op.is_orphan);
            self.trace_completion(kernel, &delivery, is_orphan);
            let ring = &mut self.rings[kernel.0];
            if !delivery.completion.more {
                ring.ops.remove(&id);
            }
            if !is_orphan {
                return Some(delivery);
            }
            if let Payload::Provided(buffer) = delivery.completion.payload {
                ring.recycle(&buffer);
            }
        }
    }

    fn trace_completion(&mut self, kernel: KernelId, delivery: &Delivery, is_orphan: bool) {
        let completion = &delivery.completion;
        let result = completion
            .result
            .map_or_else(|errno| -i64::from(errno.0), i64::from);
        let content = match &completion.payload {
            Payload::Buffer(buffer) => {
                let filled = completion.result.map_or(0, |count| count as usize);
                digest(&buffer.as_slice()[..filled.min(buffer.len())])
            }
            _ => digest(&delivery.bytes),
        };
        self.trace.record(
            self.now_ns,
            format_args!(
                "k{} op{} t{} = {result}{}{} {content:016x}",
                kernel.0,
                completion.op.0,
                completion.token.0,
                if completion.more { " more" } else { "" },
                if is_orphan { " orphan" } else { "" },
            ),
        );
    }
}
