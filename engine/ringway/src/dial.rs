//! Dialling: for a new session, and again whenever a session has lost its connection.
//!
//! ```text
//!  Waiting ──due──▶ Resolving ──▶ Connecting ──▶ Handshaking ──▶ attached
//!     ▲                 │              │              │
//!     └── back off ◀────┴── failed ────┴──────────────┘   (final: refusal, bad key, timeout)
//! ```

use std::collections::VecDeque;

use ringway_io::{
    Address, BlockingCall, Completion, Descriptor, Errno, Kernel, Op, OpId, Payload, SocketOption,
};
use ringway_proto::{CloseReason, Epoch, Intent, Refusal, SessionId, Status};

use crate::config::ConnectOptions;
use crate::error::ConnectError;
use crate::handshake::{HandshakeKey, Machine, Origin};
use crate::message::Message;
use crate::purpose::Purpose;
use crate::reply::Reply;
use crate::session::{Session, SessionKey};
use crate::session_entry::Redial;
use crate::shard::Shard;
use crate::target::Target;
use crate::timers::Timer;

/// Names a dial inside its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DialKey(pub(crate) u64);

/// What a dial is for.
#[derive(Debug)]
pub(crate) enum DialFor {
    /// A new session, for whoever waits.
    New(Option<Reply<Result<Session, ConnectError>>>),
    /// A session that has lost its connection, or wants another one.
    Resume(SessionKey),
    /// Another bulk connection of a session, beside its message connection.
    Attach(SessionKey),
    /// To tell the peer that a session was closed here while it had no connection.
    Farewell(Farewell),
}

/// What the peer of a session that is over does not know yet.
#[derive(Clone, Debug)]
pub(crate) struct Farewell {
    pub(crate) session: SessionKey,
    pub(crate) reason: Status,
}

#[derive(Debug)]
enum Phase {
    Waiting,
    Resolving(OpId),
    Connecting {
        op: OpId,
        socket: Descriptor,
    },
    /// The application's dialer is at work.
    Asking,
    Handshaking(HandshakeKey),
}

/// One series of attempts.
#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) redial: Redial,
    pub(crate) purpose: DialFor,
    pub(crate) session: SessionId,
    pub(crate) epoch: Epoch,
    phase: Phase,
    addresses: VecDeque<Address>,
    attempts: u32,
    /// The present attempt was asked for: who asks meanwhile shares it.
    is_asked: bool,
    step_ns: u64,
    /// All of it must be over then; a resume is bounded by the session's own window instead.
    deadline_ns: Option<u64>,
    timer_ns: u64,
    last_errno: Errno,
    /// What the peer said to the last attempt, if it answered at all.
    last_refusal: Option<Refusal>,
}

impl<K: Kernel> Shard<K> {
    /// Begins to dial for a new session.
    pub(crate) fn dial_new(
        &mut self,
        target: Target,
        options: ConnectOptions,
        reply: Reply<Result<Session, ConnectError>>,
    ) {
        let mut id = [0; 16];
        self.kernel.entropy(&mut id);
        let timeout_ns = nanoseconds(options.connect_timeout);
        let deadline_ns = Some(self.kernel.now_ns().saturating_add(timeout_ns));
        self.begin_dial(
            Redial { target, options },
            DialFor::New(Some(reply)),
            SessionId::from_bytes(id),
            Epoch(1),
            deadline_ns,
        );
    }

    /// Begins to dial for a session, unless somebody does already: concurrent requests share it.
    pub(crate) fn dial_again(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get(key.0) else {
            return;
        };
        let (Some(redial), None) = (session.redial.clone(), session.dial) else {
            return;
        };
        let epoch = Epoch(session.proto.epoch().0 + 1);
        let id = session.id;
        let dial = self.begin_dial(redial, DialFor::Resume(key), id, epoch, None);
        if let Some(session) = self.sessions.get_mut(key.0) {
            session.dial = Some(dial);
        }
    }

    /// Begins to dial for a bulk connection of the present epoch.
    pub(crate) fn dial_bulk(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get(key.0) else {
            return;
        };
        let Some(redial) = session.redial.clone() else {
            return;
        };
        let (id, epoch) = (session.id, session.proto.epoch());
        let dial = self.begin_dial(redial, DialFor::Attach(key), id, epoch, None);
        if let Some(session) = self.sessions.get_mut(key.0) {
            session.bulk_dial = Some(dial);
        }
    }

    /// Begins to dial for the last words of a session that has no connection: else its peer would
    /// keep it until the resume window is over. Nobody waits for it, and it tries no longer than
    /// a connect.
    pub(crate) fn dial_farewell(&mut self, key: SessionKey, reason: &CloseReason) {
        let session = self.sessions.get(key.0).filter(|_| !self.is_ending());
        let (Some(session), CloseReason::Local(reason)) = (session, reason) else {
            return;
        };
        let is_cut = session.connection.is_none();
        let Some(redial) = session.redial.clone().filter(|_| is_cut) else {
            return;
        };
        let dialled = session.dial.and_then(|dial| self.dials.get(dial.0));
        let dialled = dialled.map(|dial| dial.epoch);
        let pending = session.pending.as_ref().map(|it| it.established.epoch);
        let newest = dialled.max(pending).max(Some(session.proto.epoch()));
        let (id, epoch) = (session.id, Epoch(newest.map_or(0, |epoch| epoch.0) + 1));
        let timeout_ns = nanoseconds(redial.options.connect_timeout);
        let deadline_ns = Some(self.kernel.now_ns().saturating_add(timeout_ns));
        let farewell = Farewell {
            session: key,
            reason: reason.clone(),
        };
        self.begin_dial(redial, DialFor::Farewell(farewell), id, epoch, deadline_ns);
    }

    /// Whether it is for an attach whose connection has begun to prove itself.
    pub(crate) fn is_proving(&self, key: DialKey) -> bool {
        self.dials.get(key.0).is_some_and(|dial| {
            let is_attach = matches!(dial.purpose, DialFor::Attach(_));
            is_attach && matches!(dial.phase, Phase::Handshaking(_))
        })
    }

    fn begin_dial(
        &mut self,
        redial: Redial,
        purpose: DialFor,
        session: SessionId,
        epoch: Epoch,
        deadline_ns: Option<u64>,
    ) -> DialKey {
        let step_ns = nanoseconds(redial.options.backoff.first);
        let key = DialKey(self.dials.insert(Dial {
            redial,
            purpose,
            session,
            epoch,
            phase: Phase::Waiting,
            addresses: VecDeque::new(),
            attempts: 0,
            is_asked: false,
            step_ns,
            deadline_ns,
            timer_ns: 0,
            last_errno: Errno::ETIMEDOUT,
            last_refusal: None,
        }));
        self.attempt(key);
        key
    }

    fn set_dial_timer(&mut self, key: DialKey, at_ns: u64) {
        if let Some(dial) = self.dials.get_mut(key.0) {
            let at_ns = dial.deadline_ns.map_or(at_ns, |end_ns| at_ns.min(end_ns));
            self.timers.remove(dial.timer_ns, Timer::Dial(key));
            dial.timer_ns = at_ns;
            self.timers.add(at_ns, Timer::Dial(key));
        }
    }

    /// Starts one attempt: find an address, or ask the application's dialer.
    fn attempt(&mut self, key: DialKey) {
        let now_ns = self.kernel.now_ns();
        let Some(dial) = self.dials.get_mut(key.0) else {
            return;
        };
        dial.attempts += 1;
        dial.is_asked = false;
        dial.last_refusal = None;
        // An attempt whose verdict was lost may stand at the peer: the next one must be newer.
        if dial.attempts > 1 && !matches!(dial.purpose, DialFor::Attach(_)) {
            dial.epoch = Epoch(dial.epoch.0 + 1);
        }
        self.statistics.connections_dialled += 1;
        let timeout_ns = nanoseconds(dial.redial.options.attempt_timeout);
        if let Some(connector) = dial.redial.options.connector.clone() {
            dial.phase = Phase::Asking;
            let (attempt, mailbox) = (dial.attempts, self.mailbox.clone());
            let future = connector.dial();
            self.tasks.spawn(Box::pin(async move {
                let result = future.await;
                mailbox.send(Message::Dialled {
                    dial: key,
                    attempt,
                    result,
                });
            }));
        } else {
            self.find_address(key);
        }
        self.set_dial_timer(key, now_ns.saturating_add(timeout_ns));
    }

    fn find_address(&mut self, key: DialKey) {
        let Some(dial) = self.dials.get_mut(key.0) else {
            return;
        };
        match &dial.redial.target {
            Target::Host { host, port } if dial.redial.target.literal().is_none() => {
                let (host, port) = (host.clone(), *port);
                let op = Op::Blocking(BlockingCall::Resolve { host, port });
                let op = self.submit(Purpose::Resolve(key), op);
                if let Some(dial) = self.dials.get_mut(key.0) {
                    dial.phase = Phase::Resolving(op);
                }
            }
            target => {
                dial.addresses = target.literal().into_iter().collect();
                self.connect_next(key);
            }
        }
    }

    pub(crate) fn on_resolved(&mut self, key: DialKey, completion: Completion) {
        let Some(dial) = self.dials.get_mut(key.0) else {
            return self.discard(completion);
        };
        if !matches!(dial.phase, Phase::Resolving(op) if op == completion.op) {
            return self.discard(completion);
        }
        match (completion.result, completion.payload) {
            (Ok(_), Payload::Addresses(addresses)) => {
                dial.addresses = addresses.into_iter().map(Address::Tcp).collect();
                self.connect_next(key);
            }
            (result, _) => self.attempt_failed(key, result.err().unwrap_or(Errno::ENOENT)),
        }
    }

    fn connect_next(&mut self, key: DialKey) {
        let Some(dial) = self.dials.get_mut(key.0) else {
            return;
        };
        let Some(address) = dial.addresses.pop_front() else {
            let errno = dial.last_errno;
            return self.attempt_failed(key, errno);
        };
        let socket = match self.kernel.socket(&address) {
            Ok(socket) => socket,
            Err(errno) => return self.attempt_failed(key, errno),
        };
        if let Some(name) = dial.redial.options.congestion_control {
            // Best effort: a Unix socket has none, and the kernel may lack the algorithm.
            let _ = self
                .kernel
                .set_option(&socket, SocketOption::CongestionControl(name));
        }
        let timeout = dial.redial.options.attempt_timeout;
        self.bound_unacked(&socket, timeout);
        let op = Op::Connect {
            socket: socket.clone(),
            address,
        };
        let op = self.submit(Purpose::Connect(key), op);
        if let Some(dial) = self.dials.get_mut(key.0) {
            dial.phase = Phase::Connecting { op, socket };
        }
    }

    pub(crate) fn on_connected(&mut self, key: DialKey, completion: &Completion) {
        let Some(dial) = self.dials.get_mut(key.0) else {
            return;
        };
        let Phase::Connecting { op, socket } = &dial.phase else {
            return;
        };
        if *op != completion.op {
            return;
        }
        match completion.result {
            Ok(_) => {
                let socket = socket.clone();
                self.shake_hands(key, socket);
            }
            Err(errno) => {
                dial.last_errno = errno;
                self.connect_next(key);
            }
        }
    }

    pub(crate) fn on_dialled(
        &mut self,
        key: DialKey,
        attempt: u32,
        result: std::io::Result<std::os::fd::OwnedFd>,
    ) {
        let Some(dial) = self.dials.get(key.0) else {
            return;
        };
        if !matches!(dial.phase, Phase::Asking) || dial.attempts != attempt {
            return;
        }
        let adopted = result
            .map_err(|error| Errno::of(&error))
            .and_then(|descriptor| self.kernel.adopt(descriptor));
        match adopted {
            Ok(socket) => self.shake_hands(key, socket),
            Err(errno) => self.attempt_failed(key, errno),
        }
    }

    fn shake_hands(&mut self, key: DialKey, socket: Descriptor) {
        let local = self.local_endpoint();
        let mut nonce = [0; 32];
        self.kernel.entropy(&mut nonce);
        let Some(dial) = self.dials.get_mut(key.0) else {
            return;
        };
        let credentials = dial.redial.options.key.clone();
        let intent = match dial.purpose {
            DialFor::New(_) => Intent::New,
            DialFor::Resume(_) | DialFor::Farewell(_) => Intent::Resume,
            DialFor::Attach(_) => Intent::Attach,
        };
        let machine = ringway_proto::Dial::new(
            &local,
            credentials.map(|named| (named.id, named.key)),
            intent,
            dial.session,
            dial.epoch,
            nonce,
        )
        .with_previous(dial.redial.options.previous_key.clone());
        // Best effort: a Unix socket has no such option.
        let _ = self.kernel.set_option(&socket, SocketOption::NoDelay(true));
        let handshake = self.begin_handshake(socket, Machine::Dial(machine), Origin::Dial(key));
        if let Some(dial) = self.dials.get_mut(key.0) {
            dial.phase = Phase::Handshaking(handshake);
        }
        self.drive_handshake(handshake);
    }

    /// The attempt came to nothing, but another one may not.
    pub(crate) fn attempt_failed(&mut self, key: DialKey, errno: Errno) {
        self.statistics.dials_failed += 1;
        self.abandon_attempt(key);
        if self.is_out_of_date(key) {
            return self.cancel_dial(key);
        }
        let now_ns = self.kernel.now_ns();
        let mut draw = [0; 8];
        self.kernel.entropy(&mut draw);
        let Some(dial) = self.dials.get_mut(key.0) else {
            return;
        };
        dial.last_errno = errno;
        if dial.deadline_ns.is_some_and(|end_ns| now_ns >= end_ns) {
            let error = dial.unreachable();
            return self.fail_dial(key, error);
        }
        tracing::debug!(target = %dial.redial.target, %errno, attempts = dial.attempts, "dial failed");
        let half_ns = dial.step_ns / 2;
        let delay_ns = half_ns + u64::from_le_bytes(draw) % (half_ns + 1);
        let longest_ns = nanoseconds(dial.redial.options.backoff.longest);
        dial.step_ns = dial.step_ns.saturating_mul(2).min(longest_ns);
        dial.phase = Phase::Waiting;
        let (attempts, purpose) = (dial.attempts, &dial.purpose);
        if let DialFor::Resume(session) = purpose {
            let session = *session;
            self.announce_disconnected(session, attempts);
        }
        self.set_dial_timer(key, now_ns.saturating_add(delay_ns));
    }

    /// Somebody asks for a connection now: waiting is over, and an attempt that began by itself
    /// (and may hang where the way has come back meanwhile) begins again.
    pub(crate) fn hurry_dial(&mut self, key: DialKey) {
        let Some(dial) = self.dials.get(key.0) else {
            return;
        };
        if dial.is_asked && !matches!(dial.phase, Phase::Waiting) {
            return;
        }
        let step_ns = nanoseconds(dial.redial.options.backoff.first);
        self.abandon_attempt(key);
        self.attempt(key);
        if let Some(dial) = self.dials.get_mut(key.0) {
            dial.step_ns = step_ns;
        }
        self.mark_asked(key);
    }

    /// The attempt that has just begun was asked for.
    pub(crate) fn mark_asked(&mut self, key: DialKey) {
        if let Some(dial) = self.dials.get_mut(key.0) {
            dial.is_asked = true;
        }
    }

    /// The peer has answered, and may have us later.
    pub(crate) fn note_refusal(&mut self, key: DialKey, refusal: Option<Refusal>) {
        if let Some(dial) = self.dials.get_mut(key.0) {
            dial.last_refusal = refusal;
        }
    }

    /// Ends what the present attempt has under way.
    fn abandon_attempt(&mut self, key: DialKey) {
        let Some(dial) = self.dials.get_mut(key.0) else {
            return;
        };
        dial.addresses.clear();
        match std::mem::replace(&mut dial.phase, Phase::Waiting) {
            Phase::Resolving(op) => self.kernel.cancel(op),
            Phase::Connecting { op, socket } => {
                self.kernel.reset(&socket);
                self.kernel.cancel(op);
            }
            Phase::Handshaking(handshake) => self.drop_handshake(handshake),
            Phase::Waiting | Phase::Asking => {}
        }
    }

    pub(crate) fn on_dial_timer(&mut self, key: DialKey) {
        let now_ns = self.kernel.now_ns();
        let Some(dial) = self.dials.get(key.0) else {
            return;
        };
        if now_ns < dial.timer_ns {
            return;
        }
        let is_waiting = matches!(dial.phase, Phase::Waiting);
        let is_over = dial.deadline_ns.is_some_and(|end_ns| now_ns >= end_ns);
        if is_over {
            let error = dial.unreachable();
            self.fail_dial(key, error);
        } else if is_waiting {
            self.attempt(key);
        } else {
            self.attempt_failed(key, Errno::ETIMEDOUT);
        }
    }

    /// No further attempt: the waiting caller, or the session, is told.
    pub(crate) fn fail_dial(&mut self, key: DialKey, error: ConnectError) {
        self.abandon_attempt(key);
        let Some(dial) = self.dials.remove(key.0) else {
            return;
        };
        self.timers.remove(dial.timer_ns, Timer::Dial(key));
        match dial.purpose {
            DialFor::New(Some(reply)) => drop(reply.send(Err(error))),
            DialFor::New(None) | DialFor::Farewell(_) => {}
            DialFor::Resume(session) => self.resume_failed(session, &error),
            DialFor::Attach(session) => self.bulk_dial_failed(session, &error),
        }
    }

    /// The dial has what it was for; whoever attaches takes over.
    pub(crate) fn finish_dial(&mut self, key: DialKey) -> Option<Dial> {
        let dial = self.dials.remove(key.0)?;
        self.timers.remove(dial.timer_ns, Timer::Dial(key));
        match dial.purpose {
            DialFor::Resume(session) => {
                if let Some(session) = self.sessions.get_mut(session.0) {
                    session.dial = None;
                }
            }
            DialFor::Attach(session) => {
                if let Some(session) = self.sessions.get_mut(session.0) {
                    session.bulk_dial = None;
                }
            }
            DialFor::New(_) | DialFor::Farewell(_) => {}
        }
        Some(dial)
    }

    /// Nobody needs the dial any more.
    pub(crate) fn cancel_dial(&mut self, key: DialKey) {
        self.abandon_attempt(key);
        drop(self.finish_dial(key));
    }

    /// A bulk connection is of no use any more once its message connection is gone.
    fn is_out_of_date(&self, key: DialKey) -> bool {
        let Some(dial) = self.dials.get(key.0) else {
            return false;
        };
        let DialFor::Attach(session) = dial.purpose else {
            return false;
        };
        let session = self.sessions.get(session.0);
        !session.is_some_and(|session| {
            session.proto.is_attached() && session.proto.epoch() == dial.epoch
        })
    }

    /// The caller of `connect` has gone: nobody would hold the session.
    pub(crate) fn is_unwanted(&self, key: DialKey) -> bool {
        self.dials.get(key.0).is_some_and(
            |dial| matches!(&dial.purpose, DialFor::New(Some(reply)) if reply.is_forgotten()),
        )
    }
}

impl Dial {
    /// Why it came to nothing: what the peer said last, or else the kernel.
    fn unreachable(&self) -> ConnectError {
        let target = self.redial.target.to_string();
        let errno = self.last_errno;
        match self.last_refusal.clone() {
            Some(refusal) => ConnectError::Refused { target, refusal },
            None => ConnectError::Unreachable { target, errno },
        }
    }
}

pub(crate) fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
