//! Handshakes: a connection proves itself before anything else happens on it.
//!
//! Exactly the bytes that the protocol asks for are received, so that nothing of the session's
//! first frames is swallowed: the plain descriptor can then move to another shard.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringway_io::{
    BufferMemory, BufferMut, BufferRef, Completion, Descriptor, Errno, Kernel, Op, OpId, Payload,
    SocketOption,
};
use ringway_proto::{
    Accept, Claim, Dial, Established, HandshakeError, Intent, KeyGrant, KeyId, LocalEndpoint, Need,
    Refusal, RefusalCode,
};

use crate::dial::{DialFor, DialKey, nanoseconds};
use crate::error::ConnectError;
use crate::listener::ListenerShared;
use crate::message::Handover;
use crate::purpose::Purpose;
use crate::shard::Shard;
use crate::timers::Timer;

/// Receive window of a connection, bytes: half of a stream's credit.
const WINDOW_BYTES: u32 = 8 << 20;

/// Names a handshake inside its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct HandshakeKey(pub(crate) u64);

/// The protocol's side of it.
#[derive(Debug)]
pub(crate) enum Machine {
    Dial(Dial),
    Accept(Accept),
}

/// Where the connection came from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    Dial(DialKey),
    Listener(Arc<ListenerShared>),
}

/// One connection that has not proven itself.
#[derive(Debug)]
pub(crate) struct Handshake {
    socket: Descriptor,
    machine: Machine,
    origin: Origin,
    receiving: Option<OpId>,
    sending: Option<OpId>,
    deadline_ns: u64,
    /// Over, once what is being sent (a refusal) has left.
    failure: Option<HandshakeError>,
    /// The claim the owner of the session decided on.
    claim: Option<Claim>,
}

impl Machine {
    fn bytes_wanted(&self) -> usize {
        match self {
            Self::Dial(dial) => dial.bytes_wanted(),
            Self::Accept(accept) => accept.bytes_wanted(),
        }
    }

    fn handle_bytes(&mut self, bytes: &[u8]) -> Result<(), HandshakeError> {
        match self {
            Self::Dial(dial) => dial.handle_bytes(bytes),
            Self::Accept(accept) => accept.handle_bytes(bytes),
        }
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Dial(dial) => dial.poll_transmit(),
            Self::Accept(accept) => accept.poll_transmit(),
        }
    }

    fn poll_established(&mut self) -> Option<Established> {
        match self {
            Self::Dial(dial) => dial.poll_established(),
            Self::Accept(accept) => accept.poll_established(),
        }
    }

    fn poll_need(&mut self) -> Option<Need> {
        match self {
            Self::Dial(_) => None,
            Self::Accept(accept) => accept.poll_need(),
        }
    }
}

impl<K: Kernel> Shard<K> {
    pub(crate) fn local_endpoint(&self) -> LocalEndpoint {
        LocalEndpoint::new(
            &self.config.name,
            self.shared.incarnation,
            &self.config.session,
        )
    }

    pub(crate) fn begin_handshake(
        &mut self,
        socket: Descriptor,
        machine: Machine,
        origin: Origin,
    ) -> HandshakeKey {
        let timeout_ns = nanoseconds(self.config.handshake_timeout);
        let deadline_ns = self.kernel.now_ns().saturating_add(timeout_ns);
        let is_accepting = matches!(machine, Machine::Accept(_));
        self.widen_window(&socket);
        self.bound_unacked(&socket, self.config.handshake_timeout);
        let key = HandshakeKey(self.handshakes.insert(Handshake {
            socket,
            machine,
            origin,
            receiving: None,
            sending: None,
            deadline_ns,
            failure: None,
            claim: None,
        }));
        self.timers.add(deadline_ns, Timer::Handshake(key));
        if is_accepting {
            self.drive_handshake(key);
        }
        key
    }

    /// Until the peer has proven itself, bytes that it does not ack kill the connection, also after
    /// we have closed it. Zero ends that: on an attached connection only heartbeats decide, for a
    /// live peer may keep its window closed. Best effort: a Unix socket has no such option.
    pub(crate) fn bound_unacked(&mut self, socket: &Descriptor, timeout: Duration) {
        let ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let option = SocketOption::UserTimeoutMs(ms);
        let _ = self.kernel.set_option(socket, option);
    }

    /// Lets the receive window open at once. Since Linux 6.16 the receive buffer grows only as fast
    /// as it is drained within a round trip, on loopback too slowly for a core to be busy
    /// (measured: 4.8 MB instead of 33 MB); asking for a low watermark grows it, and asking for 1
    /// takes the watermark back. Best effort.
    fn widen_window(&mut self, socket: &Descriptor) {
        for bytes in [WINDOW_BYTES, 1] {
            let option = SocketOption::ReceiveLowWatermarkBytes(bytes);
            let _ = self.kernel.set_option(socket, option);
        }
    }

    /// Goes on with a handshake that another shard began.
    pub(crate) fn take_over(&mut self, handover: Handover) {
        let origin = Origin::Listener(handover.listener);
        let key = HandshakeKey(self.handshakes.insert(Handshake {
            socket: handover.socket,
            machine: Machine::Accept(handover.accept),
            origin,
            receiving: None,
            sending: None,
            deadline_ns: 0,
            failure: None,
            claim: None,
        }));
        let timeout_ns = nanoseconds(self.config.handshake_timeout);
        let deadline_ns = self.kernel.now_ns().saturating_add(timeout_ns);
        if let Some(handshake) = self.handshakes.get_mut(key.0) {
            handshake.deadline_ns = deadline_ns;
        }
        self.timers.add(deadline_ns, Timer::Handshake(key));
        self.decide(key, handover.claim);
        self.drive_handshake(key);
    }

    /// Moves a handshake on as far as it goes: answers its questions, sends, receives, finishes.
    pub(crate) fn drive_handshake(&mut self, key: HandshakeKey) {
        while let Some(handshake) = self.handshakes.get_mut(key.0)
            && let Some(need) = handshake.machine.poll_need()
        {
            match need {
                Need::Key(id) => self.provide_key(key, &id),
                Need::Session(claim) => {
                    let shard = self.shard_of(&claim);
                    if shard != self.mailbox.index() {
                        return self.hand_over(key, claim, shard);
                    }
                    self.decide(key, claim);
                }
            }
        }
        let Some(handshake) = self.handshakes.get_mut(key.0) else {
            return;
        };
        if handshake.sending.is_some() {
            return;
        }
        if let Some(bytes) = handshake.machine.poll_transmit() {
            return self.send_handshake(key, bytes);
        }
        if let Some(failure) = handshake.failure.take() {
            return self.handshake_failed(key, failure);
        }
        if let Some(established) = handshake.machine.poll_established() {
            return self.handshake_done(key, established);
        }
        self.receive_handshake(key);
    }

    fn send_handshake(&mut self, key: HandshakeKey, bytes: Vec<u8>) {
        let Some(handshake) = self.handshakes.get(key.0) else {
            return;
        };
        let op = Op::Send {
            socket: handshake.socket.clone(),
            buffer: BufferRef::Bytes(Bytes::from(bytes)),
            more_follows: false,
        };
        let op = self.submit(Purpose::HandshakeSend(key), op);
        if let Some(handshake) = self.handshakes.get_mut(key.0) {
            handshake.sending = Some(op);
        }
    }

    fn receive_handshake(&mut self, key: HandshakeKey) {
        let Some(handshake) = self.handshakes.get(key.0) else {
            return;
        };
        let wanted = handshake.machine.bytes_wanted();
        if handshake.receiving.is_some() || wanted == 0 {
            return;
        }
        let op = Op::Receive {
            socket: handshake.socket.clone(),
            buffer: BufferMut::heap(vec![0; wanted]),
            exact: true,
        };
        let op = self.submit(Purpose::HandshakeReceive(key), op);
        if let Some(handshake) = self.handshakes.get_mut(key.0) {
            handshake.receiving = Some(op);
        }
    }

    pub(crate) fn on_handshake_sent(&mut self, key: HandshakeKey, completion: &Completion) {
        let Some(handshake) = self.handshakes.get_mut(key.0) else {
            return;
        };
        handshake.sending = None;
        match completion.result {
            Ok(_) => self.drive_handshake(key),
            Err(errno) => self.handshake_broken(key, errno),
        }
    }

    pub(crate) fn on_handshake_received(&mut self, key: HandshakeKey, completion: Completion) {
        let Some(handshake) = self.handshakes.get_mut(key.0) else {
            return;
        };
        handshake.receiving = None;
        let Payload::Buffer(BufferMut {
            memory: BufferMemory::Heap(bytes),
            ..
        }) = completion.payload
        else {
            return self.handshake_broken(key, Errno::EIO);
        };
        match completion.result {
            Ok(0) => self.handshake_broken(key, Errno::ECONNRESET),
            // Also in part: an exact receive may end short, by a signal for one.
            Ok(count) => {
                if let Err(failure) = handshake.machine.handle_bytes(&bytes[..count as usize]) {
                    handshake.failure = Some(failure);
                }
                self.drive_handshake(key);
            }
            Err(errno) => self.handshake_broken(key, errno),
        }
    }

    fn provide_key(&mut self, key: HandshakeKey, id: &KeyId) {
        let Some(handshake) = self.handshakes.get_mut(key.0) else {
            return;
        };
        let (Machine::Accept(accept), Origin::Listener(listener)) =
            (&mut handshake.machine, &handshake.origin)
        else {
            return;
        };
        let keys = listener.keys();
        let named = keys.as_ref().and_then(|keys| keys.find(id));
        accept.provide_key(named.map(|named| KeyGrant::any_name(named.key.clone())));
    }

    fn hand_over(&mut self, key: HandshakeKey, claim: Claim, shard: usize) {
        let mailbox = self.shared.shard(shard);
        let (Some(mailbox), Some(handshake)) = (mailbox, self.forget_handshake(key)) else {
            return;
        };
        if let (Machine::Accept(accept), Origin::Listener(listener)) =
            (handshake.machine, handshake.origin)
        {
            mailbox.send(crate::message::Message::Handover(Box::new(Handover {
                socket: handshake.socket,
                accept,
                claim,
                listener,
            })));
        }
    }

    fn decide(&mut self, key: HandshakeKey, claim: Claim) {
        let Some(handshake) = self.handshakes.get(key.0) else {
            return;
        };
        let Origin::Listener(listener) = handshake.origin.clone() else {
            return;
        };
        let decision = self.decision(&claim, &listener);
        let owner = self.shared.find(claim.session);
        let entry = owner.and_then(|owner| self.sessions.get(owner.key.0));
        let streams_max = entry.map_or(u64::MAX, |entry| entry.proto.streams_max());
        if let Some(handshake) = self.handshakes.get_mut(key.0) {
            handshake.claim = Some(claim);
            if let Machine::Accept(accept) = &mut handshake.machine {
                accept.limit_streams(streams_max);
                accept.decide(decision);
            }
        }
    }

    fn handshake_done(&mut self, key: HandshakeKey, established: Established) {
        let Some(handshake) = self.forget_handshake(key) else {
            return;
        };
        self.bound_unacked(&handshake.socket, Duration::ZERO);
        match handshake.origin {
            Origin::Dial(dial) => self.on_dial_established(dial, handshake.socket, established),
            Origin::Listener(listener) => {
                self.on_accept_established(&listener, handshake.socket, established);
            }
        }
        for listener in self.listeners.keys() {
            self.arm_accept(listener);
        }
    }

    /// The connection broke before anything was decided.
    fn handshake_broken(&mut self, key: HandshakeKey, errno: Errno) {
        let Some(handshake) = self.forget_handshake(key) else {
            return;
        };
        self.statistics.handshakes_failed += 1;
        self.kernel.reset(&handshake.socket);
        if let Origin::Dial(dial) = handshake.origin {
            self.attempt_failed(dial, errno);
        }
    }

    /// The peer broke the rules, could not prove its key, or refused us: final for a dial.
    fn handshake_failed(&mut self, key: HandshakeKey, failure: HandshakeError) {
        let Some(handshake) = self.forget_handshake(key) else {
            return;
        };
        self.statistics.handshakes_failed += 1;
        match handshake.origin {
            Origin::Listener(_) => {
                tracing::warn!(%failure, "handshake failed");
                // What we said in refusal is in the socket: an orderly end, not a reset.
                self.kernel
                    .shutdown(&handshake.socket, ringway_io::ShutdownHow::Both);
            }
            Origin::Dial(dial) => {
                self.kernel.reset(&handshake.socket);
                self.dial_refused(dial, failure);
            }
        }
    }

    fn dial_refused(&mut self, key: DialKey, failure: HandshakeError) {
        let Some(dial) = self.dials.get(key.0) else {
            return;
        };
        if !is_final(&dial.purpose, &failure) {
            self.note_refusal(key, failure.refusal().cloned());
            return self.attempt_failed(key, Errno::ECONNREFUSED);
        }
        let target = dial.redial.target.to_string();
        let error = match failure {
            reason if reason.is_authentication() => ConnectError::Authentication { target, reason },
            HandshakeError::Refused(refusal) => ConnectError::Refused { target, refusal },
            reason => ConnectError::Handshake { target, reason },
        };
        self.fail_dial(key, error);
    }

    pub(crate) fn on_handshake_timer(&mut self, key: HandshakeKey) {
        let now_ns = self.kernel.now_ns();
        let is_due = |handshake: &Handshake| handshake.deadline_ns <= now_ns;
        if self.handshakes.get(key.0).is_some_and(is_due) {
            tracing::debug!("a handshake took too long");
            self.handshake_broken(key, Errno::ETIMEDOUT);
        }
    }

    /// Whether it is for a bulk connection, and the peer may take it for attached already.
    pub(crate) fn is_attaching(&self, key: HandshakeKey) -> bool {
        let Some(handshake) = self.handshakes.get(key.0) else {
            return false;
        };
        match (&handshake.origin, &handshake.claim) {
            (Origin::Dial(dial), _) => self.is_proving(*dial),
            (Origin::Listener(_), Some(claim)) => claim.intent == Intent::Attach,
            (Origin::Listener(_), None) => false,
        }
    }

    /// Gives a handshake up without telling anybody.
    pub(crate) fn drop_handshake(&mut self, key: HandshakeKey) {
        if let Some(handshake) = self.forget_handshake(key) {
            self.kernel.reset(&handshake.socket);
        }
    }

    /// Takes a handshake out of the table; what it has in flight is orphaned.
    fn forget_handshake(&mut self, key: HandshakeKey) -> Option<Handshake> {
        let handshake = self.handshakes.remove(key.0)?;
        self.timers
            .remove(handshake.deadline_ns, Timer::Handshake(key));
        for op in [handshake.receiving, handshake.sending]
            .into_iter()
            .flatten()
        {
            self.kernel.cancel(op);
        }
        Some(handshake)
    }
}

/// Whether trying again is of no use. A session that exists is given up only on the word of a
/// peer that has proven the key: anybody may sit on the port while the real one restarts.
fn is_final(purpose: &DialFor, failure: &HandshakeError) -> bool {
    let refusal = failure.refusal();
    if refusal.is_some_and(Refusal::is_transient) {
        return false;
    }
    match purpose {
        DialFor::New(_) => true,
        DialFor::Resume(_) | DialFor::Farewell(_) => {
            refusal.is_some_and(|refusal| refusal.code == RefusalCode::UnknownSession)
        }
        // The session goes on without; its message connection tells what has become of it.
        DialFor::Attach(_) => refusal.is_some_and(|refusal| {
            matches!(
                refusal.code,
                RefusalCode::UnknownSession | RefusalCode::Unsupported
            )
        }),
    }
}
