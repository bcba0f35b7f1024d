//! One core's loop and all it owns.
//!
//! ```text
//!  turn:  reap completions ─▶ mailbox ─▶ ready tasks ─▶ timers ─▶ dirty sessions ─▶ enter
//!                │                │                        │        (drain events,
//!                └── ingress,     └── requests             └──       pump egress)
//!                    egress,
//!                    handshakes
//! ```
//!
//! The shard owns no thread: a thread of the engine, the simulator or a foreign event loop steps
//! it with [`Shard::turn`]. Whatever changes a session's protocol object marks the session dirty;
//! before the turn ends each dirty session is drained once: events first, then transmits, then
//! its timer. No task of the application runs while a protocol object is borrowed.
//!
//! What it does lies in files beside this one, each an `impl Shard`: `requests` (what handles
//! ask), `accept`, `dial`, `handshake`, `attach` (connections to sessions), `ingress`, `egress`,
//! `session_events`, `receiving` (where arriving bytes go).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ringway_io::{Completion, Kernel, Lease, Op, OpId, TeardownReport, Wait};
use ringway_proto::{StreamId, Time};

use crate::accept::ListenerEntry;
use crate::caller_ops::{CallerOp, CallerOps};
use crate::config::Config;
use crate::connection::{Connection, ConnectionKey};
use crate::dial::Dial;
use crate::handshake::Handshake;
use crate::mailbox::Mailbox;
use crate::message::Message;
use crate::purpose::{ConnectionOp, Purpose, Purposes};
use crate::reply::Reply;
use crate::session::SessionKey;
use crate::session_directory::SessionDirectory;
use crate::session_entry::SessionEntry;
use crate::slab::Slab;
use crate::statistics::Statistics;
use crate::stream_entry::StreamEntry;
use crate::task::Tasks;
use crate::timers::{Timer, Timers};
use crate::wait_mode::Vigil;

/// Completions, messages and task polls handled in one turn, at most each: bounds how long a
/// session waits for the others.
const BATCH: usize = 256;

/// Looks between two turns of a spinning shard, which mind its clock: about a microsecond.
const LOOKS: u32 = 32;

/// One shard, generic over the kernel behind the seam.
pub struct Shard<K: Kernel> {
    pub(crate) kernel: K,
    pub(crate) mailbox: Mailbox,
    pub(crate) shared: Arc<SessionDirectory>,
    pub(crate) config: Config,
    pub(crate) tasks: Tasks,
    pub(crate) purposes: Purposes,
    pub(crate) timers: Timers,
    pub(crate) sleepers: Slab<Reply<()>>,
    pub(crate) sessions: Slab<SessionEntry>,
    pub(crate) connections: Slab<Connection>,
    pub(crate) handshakes: Slab<Handshake>,
    pub(crate) dials: Slab<Dial>,
    pub(crate) listeners: Slab<ListenerEntry>,
    pub(crate) dirty: VecDeque<SessionKey>,
    /// Streams that have outlived their protocol state.
    pub(crate) detached: BTreeMap<(SessionKey, StreamId), Box<StreamEntry>>,
    /// Connections whose receive was not armed for want of a buffer or a slot.
    pub(crate) starved: VecDeque<ConnectionKey>,
    /// Leases of reset connections, until what may sit in a device queue is gone.
    pub(crate) resting: BTreeMap<u64, Vec<Lease>>,
    /// Held once by each chunk that is read ahead, and once here.
    pub(crate) chunks_read: Arc<()>,
    pub(crate) caller_ops: CallerOps,
    pub(crate) statistics: Statistics,
    completions: Vec<Completion>,
    vigil: Vigil,
    /// Its thread is kept on a core.
    pub(crate) is_kept: bool,
    /// When it last looked: reading the clock for every message costs as much as parsing it.
    now: Time,
    shutdown: Option<(u64, Vec<Reply<TeardownReport>>)>,
    report: Option<TeardownReport>,
}

impl<K: Kernel> Shard<K> {
    pub(crate) fn new(
        kernel: K,
        mailbox: Mailbox,
        shared: Arc<SessionDirectory>,
        config: Config,
    ) -> Self {
        Self {
            caller_ops: CallerOps::new(kernel.limits().ops_max),
            now: Time::from_ns(kernel.now_ns()),
            kernel,
            tasks: Tasks::new(mailbox.clone()),
            mailbox,
            shared,
            vigil: Vigil::new(config.wait),
            is_kept: false,
            config,
            purposes: Purposes::default(),
            timers: Timers::default(),
            sleepers: Slab::default(),
            sessions: Slab::default(),
            connections: Slab::default(),
            handshakes: Slab::default(),
            dials: Slab::default(),
            listeners: Slab::default(),
            dirty: VecDeque::new(),
            detached: BTreeMap::new(),
            starved: VecDeque::new(),
            resting: BTreeMap::new(),
            chunks_read: Arc::default(),
            statistics: Statistics::default(),
            completions: Vec::with_capacity(BATCH),
            shutdown: None,
            report: None,
        }
    }

    /// One pass, with a wait in the kernel at its end if nothing is to be done. False when the
    /// shard is over: do not call it again.
    pub fn turn(&mut self) -> bool {
        let before = self.work_done();
        if !self.step() {
            return false;
        }
        if self.work_done() != before {
            self.vigil.end_wait(self.now.as_ns());
        }
        let wait = self.wait();
        if wait == Wait::No && self.is_idle() {
            self.look_out();
        }
        self.statistics.sleeps += u64::from(wait != Wait::No);
        let entered = self.kernel.enter(wait);
        self.mailbox.awake();
        if let Err(errno) = entered {
            tracing::error!(%errno, "the ring is lost; the shard ends");
            self.end(0);
            return false;
        }
        true
    }

    /// One pass without a wait; false when the shard is over.
    fn step(&mut self) -> bool {
        self.statistics.turns += 1;
        self.reap();
        self.take_messages();
        self.run_tasks();
        self.fire_timers();
        self.feed_starved();
        self.settle();
        self.continue_shutdown()
    }

    fn reap(&mut self) -> usize {
        self.look_at_clock();
        let mut completions = std::mem::take(&mut self.completions);
        let count = self.kernel.reap(&mut completions, BATCH);
        self.statistics.completions += count as u64;
        for completion in completions.drain(..) {
            self.on_completion(completion);
        }
        self.completions = completions;
        count
    }

    fn take_messages(&mut self) {
        for _ in 0..BATCH {
            let Some(message) = self.mailbox.take() else {
                break;
            };
            self.statistics.messages += 1;
            self.on_message(message);
        }
    }

    /// Runs ready tasks, and what they ask for at once: a receive that a task asks for is there
    /// before the next completion is looked at. Bounded, so that others have their turn.
    fn run_tasks(&mut self) {
        for _ in 0..4 {
            let polls = self.tasks.run(BATCH);
            self.statistics.task_polls += polls as u64;
            if polls == 0 {
                return;
            }
            self.take_messages();
        }
    }

    fn look_at_clock(&mut self) -> u64 {
        let now_ns = self.kernel.now_ns();
        self.now = Time::from_ns(now_ns);
        now_ns
    }

    fn fire_timers(&mut self) {
        let now_ns = self.look_at_clock();
        while let Some(timer) = self.timers.pop_due(now_ns) {
            self.on_timer(timer);
        }
        while let Some(entry) = self.resting.first_entry()
            && *entry.key() <= now_ns
        {
            entry.remove();
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Sleep(key) => {
                if let Some(reply) = self.sleepers.remove(key) {
                    let _ = reply.send(());
                }
            }
            Timer::Session(key) => self.on_session_timer(key),
            Timer::Dial(key) => self.on_dial_timer(key),
            Timer::Handshake(key) => self.on_handshake_timer(key),
            Timer::Linger(key) => self.end_linger(key),
            Timer::Accept(key) => self.arm_accept(key),
        }
    }

    /// Drains every session whose protocol object has changed.
    fn settle(&mut self) {
        // Each once: a session that becomes dirty again meanwhile (its socket takes everything at
        // once) has its next turn after the completions that have come, or a body would keep small
        // messages waiting for as long as its socket has room.
        for _ in 0..self.dirty.len().min(4 * BATCH) {
            let Some(key) = self.dirty.pop_front() else {
                break;
            };
            if let Some(session) = self.sessions.get_mut(key.0) {
                session.is_dirty = false;
                self.drain_session(key);
            }
        }
    }

    /// Grows with whatever was there to be done. Timers count where they lead to something.
    fn work_done(&self) -> u64 {
        let statistics = &self.statistics;
        statistics.completions + statistics.messages + statistics.task_polls
    }

    fn wait(&mut self) -> Wait {
        if self.is_idle() {
            let can_peek = self.kernel.has_news().is_some();
            if self.vigil.looks_again(self.now.as_ns(), can_peek) {
                self.statistics.peeks += 1;
                return Wait::No;
            }
        }
        if !self.announce_sleep(|| false) {
            return Wait::No;
        }
        self.deadline_ns().map_or(Wait::Forever, Wait::Until)
    }

    /// Stands at the window until something comes, for a while: a turn in vain costs more than a
    /// look, and the longer it takes the later it sees what has come meanwhile.
    fn look_out(&mut self) {
        for _ in 0..LOOKS {
            let is_asked = self.mailbox.has_messages() || self.tasks.has_ready();
            if is_asked || self.kernel.has_news() != Some(false) {
                return;
            }
            std::hint::spin_loop();
        }
    }

    fn is_idle(&self) -> bool {
        self.dirty.is_empty() && !self.tasks.has_ready()
    }

    /// Tells others to ring from now on; false: there is something to do, here or (asked after
    /// the announcement) with the caller.
    pub(crate) fn announce_sleep(&mut self, has_work: impl FnOnce() -> bool) -> bool {
        let is_idle = self.is_idle();
        let tasks = &self.tasks;
        is_idle && (self.mailbox).prepare_sleep(|| tasks.has_ready() || has_work())
    }

    /// When the next timer is due.
    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        let resting_ns = self.resting.first_key_value().map(|(&ns, _)| ns);
        let shutdown_ns = self.shutdown.as_ref().map(|(ns, _)| *ns);
        let all = [self.timers.next_ns(), resting_ns, shutdown_ns];
        all.into_iter().flatten().min()
    }

    /// One pass without a wait, for a foreign loop: whether there is more to do; `None` when the
    /// shard is over. It ends with a look at the completions: a foreign loop's descriptor tells
    /// only of those that come after an empty-handed one.
    pub(crate) fn pass(&mut self) -> Option<bool> {
        if !self.step() {
            return None;
        }
        if let Err(errno) = self.kernel.enter(Wait::No) {
            tracing::error!(%errno, "the ring is lost; the shard ends");
            self.end(0);
            return None;
        }
        let has_completions = self.reap() > 0;
        let has_work = !self.dirty.is_empty() || self.tasks.has_ready();
        Some(has_completions || has_work || self.mailbox.has_messages())
    }

    // --- what the other files use --------------------------------------------------------------

    /// The time of this part of the turn.
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    pub(crate) fn mark_dirty(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(key.0)
            && !session.is_dirty
        {
            session.is_dirty = true;
            self.dirty.push_back(key);
        }
    }

    pub(crate) fn submit(&mut self, purpose: Purpose, op: Op) -> OpId {
        let token = self.purposes.add(purpose);
        self.kernel.submit(token, op)
    }

    pub(crate) fn submit_for_caller(&mut self, op: Option<CallerOp>) {
        if let Some((op, reply)) = op {
            self.submit(Purpose::Caller(reply), op);
        }
    }

    /// Whether one more op would be refused for want of a slot.
    pub(crate) fn is_short_of_slots(&self) -> bool {
        self.kernel.in_flight() >= self.kernel.limits().ops_max as usize
    }

    /// Submits an op that a connection must outlive.
    pub(crate) fn submit_on(&mut self, key: ConnectionKey, kind: ConnectionOp, op: Op) -> OpId {
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.ops += 1;
        }
        self.submit(Purpose::Connection(key, kind), op)
    }

    /// What it counts and holds now.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.snapshot()
    }

    /// The kernel it runs on, for whoever steps it.
    pub fn kernel_mut(&mut self) -> &mut K {
        &mut self.kernel
    }

    /// What is left: sessions (and streams that outlived theirs), connections, handshakes, dials,
    /// tasks, ops. All zero after a clean end.
    #[must_use]
    pub fn outstanding(&self) -> [usize; 6] {
        [
            self.sessions.len() + self.detached.len(),
            self.connections.len(),
            self.handshakes.len(),
            self.dials.len(),
            self.tasks.count(),
            self.purposes.len() + self.caller_ops.waiting(),
        ]
    }

    fn on_completion(&mut self, completion: Completion) {
        if completion.more {
            match self.purposes.get_mut(completion.token) {
                Some(Purpose::Accept(listener)) => {
                    let listener = *listener;
                    self.on_accepted(listener, completion);
                }
                Some(Purpose::Connection(key, kind)) => {
                    let (key, kind) = (*key, *kind);
                    self.on_connection_op(key, kind, completion);
                }
                _ => self.discard(completion),
            }
            return;
        }
        match self.purposes.take(completion.token) {
            Some(purpose) => self.on_last_completion(purpose, completion),
            None => self.discard(completion),
        }
    }

    fn on_last_completion(&mut self, purpose: Purpose, completion: Completion) {
        match purpose {
            Purpose::Caller(reply) => {
                if let Err(unwanted) = reply.send(completion) {
                    self.discard(unwanted);
                }
                let next = self.caller_ops.complete_one();
                self.submit_for_caller(next);
            }
            Purpose::Accept(listener) => self.on_accepted(listener, completion),
            Purpose::Resolve(dial) => self.on_resolved(dial, completion),
            Purpose::Connect(dial) => self.on_connected(dial, &completion),
            Purpose::HandshakeReceive(key) => self.on_handshake_received(key, completion),
            Purpose::HandshakeSend(key) => self.on_handshake_sent(key, &completion),
            Purpose::Connection(key, kind) => self.on_connection_op(key, kind, completion),
            Purpose::SourceStat(session, stream) => {
                self.on_source_stat(session, stream, completion);
            }
            Purpose::SourceCheck(session, stream, identity) => {
                self.on_source_check(session, stream, &identity, &completion);
            }
            Purpose::InboxWrite(session, stream) => {
                self.on_inbox_written(session, stream, &completion);
            }
            Purpose::ReadAhead(session, body, start) => {
                self.on_read_ahead(session, body, start, completion);
            }
        }
    }

    /// A completion that nobody wants: what it carries is given back.
    pub(crate) fn discard(&mut self, completion: Completion) {
        self.statistics.completions_orphaned += 1;
        if let ringway_io::Payload::Provided(buffer) = completion.payload {
            self.kernel.recycle(buffer);
        }
    }

    /// No new work: it ends.
    pub(crate) fn is_ending(&self) -> bool {
        self.shutdown.is_some()
    }

    // --- the end ---------------------------------------------------------------------------------

    pub(crate) fn begin_shutdown(&mut self, within: Duration, reply: Reply<TeardownReport>) {
        let within_ns = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
        let deadline_ns = self.kernel.now_ns().saturating_add(within_ns);
        match &mut self.shutdown {
            Some((earlier_ns, replies)) => {
                *earlier_ns = deadline_ns.min(*earlier_ns);
                replies.push(reply);
            }
            None => {
                self.shutdown = Some((deadline_ns, vec![reply]));
                self.close_everything();
            }
        }
    }

    /// True while the shard goes on.
    fn continue_shutdown(&mut self) -> bool {
        let Some((deadline_ns, _)) = self.shutdown else {
            return true;
        };
        let has_sessions = self.sessions.len() > 0 || !self.detached.is_empty();
        let is_quiet = !has_sessions && self.connections.len() == 0;
        if !is_quiet && self.kernel.now_ns() < deadline_ns {
            return true;
        }
        self.end(deadline_ns);
        false
    }

    fn end(&mut self, deadline_ns: u64) {
        self.tasks.clear();
        for key in self.dials.keys() {
            self.cancel_dial(crate::dial::DialKey(key));
        }
        for key in self.handshakes.keys() {
            self.drop_handshake(crate::handshake::HandshakeKey(key));
        }
        self.mailbox.close();
        self.caller_ops.clear();
        self.fail_all_sessions();
        self.drop_detached();
        // A tenth of a second on top: the cancellations themselves need a moment.
        let deadline_ns = deadline_ns.max(self.kernel.now_ns() + 100_000_000);
        let report = self.kernel.teardown(deadline_ns);
        self.report = Some(report);
        if let Some((_, replies)) = self.shutdown.take() {
            for reply in replies {
                let _ = reply.send(report);
            }
        }
    }
}

impl<K: Kernel> Drop for Shard<K> {
    fn drop(&mut self) {
        if self.report.is_none() {
            self.end(0);
        }
    }
}

impl<K: Kernel> std::fmt::Debug for Shard<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shard({})", self.mailbox.index())
    }
}

/// Kept apart from [`Message`]: what the shard does on shutdown of one kind of thing.
impl<K: Kernel> Shard<K> {
    fn close_everything(&mut self) {
        for key in self.listeners.keys() {
            self.close_listener(key);
        }
        // Bulk connections that prove themselves go on: see `cease_bulk_dial`.
        for key in self.handshakes.keys() {
            let key = crate::handshake::HandshakeKey(key);
            if !self.is_attaching(key) {
                self.drop_handshake(key);
            }
        }
        for key in self.dials.keys() {
            let key = crate::dial::DialKey(key);
            if !self.is_proving(key) {
                self.fail_dial(key, crate::Error::EngineStopped.into());
            }
        }
        for key in self.sessions.keys() {
            let reason = ringway_proto::Status::shutting_down();
            self.on_message(Message::Close {
                session: SessionKey(key),
                reason,
            });
        }
    }
}
