//! Listeners: connections arrive, and each gets a handshake of its own off the accept path.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use ringway_io::{
    Address, Completion, Descriptor, Errno, Kernel, ListenOptions as SocketListenOptions, Op, OpId,
    Payload, SocketOption,
};
use ringway_proto::{Accept, Authentication};

use crate::Error;
use crate::config::{AuthenticationMode, ListenOptions};
use crate::handshake::{Machine, Origin};
use crate::listener::ListenerShared;
use crate::purpose::Purpose;
use crate::shard::Shard;
use crate::target::Target;
use crate::timers::Timer;

/// After a failed accept (`EMFILE`, …) the next one waits so long, ns: the connections stay in
/// the backlog meanwhile.
const RETRY_NS: u64 = 100_000_000;

/// One listening socket.
#[derive(Debug)]
pub(crate) struct ListenerEntry {
    pub(crate) shared: Arc<ListenerShared>,
    socket: Descriptor,
    accepting: Option<OpId>,
    is_closed: bool,
}

impl<K: Kernel> Shard<K> {
    pub(crate) fn listen(
        &mut self,
        target: &Target,
        options: ListenOptions,
    ) -> Result<Arc<ListenerShared>, Error> {
        let fail = |errno| Error::Kernel {
            operation: "listen",
            errno,
        };
        // A listener's name is not looked up: it would block, and listening on whatever a name
        // resolves to today is rarely meant. `localhost` is what it always is.
        let address = listen_address(target).ok_or_else(|| fail(Errno(99)))?;
        check_exposure(&address, &options.authentication)?;
        let socket_options = SocketListenOptions {
            backlog: options.backlog,
            reuse_port: false,
            unix_mode: options.unix_mode,
        };
        let socket = self.kernel.listen(&address, socket_options).map_err(fail)?;
        let address = match self.kernel.local_address(&socket) {
            Ok(tcp @ Address::Tcp(_)) => tcp,
            _ => address,
        };
        let shared = ListenerShared::new(address, options, self.mailbox.clone());
        let shared = Arc::new(shared);
        let key = self.listeners.insert(ListenerEntry {
            shared: Arc::clone(&shared),
            socket,
            accepting: None,
            is_closed: false,
        });
        self.arm_accept(key);
        Ok(shared)
    }

    pub(crate) fn stop_listening(&mut self, shared: &Arc<ListenerShared>) {
        for key in self.listeners.keys() {
            let entry = self.listeners.get(key);
            if entry.is_some_and(|entry| Arc::ptr_eq(&entry.shared, shared)) {
                self.close_listener(key);
            }
        }
    }

    pub(crate) fn close_listener(&mut self, key: u64) {
        let Some(entry) = self.listeners.get_mut(key) else {
            return;
        };
        entry.is_closed = true;
        entry.shared.sessions.end(Error::ListenerClosed);
        // Sessions nobody accepted have no other handle: dropping them closes them.
        drop(entry.shared.sessions.take_all());
        match entry.accepting {
            Some(op) => self.kernel.cancel(op),
            None => drop(self.listeners.remove(key)),
        }
    }

    /// As configured, but no more than a quarter of the slots for ops: each holds one.
    fn handshakes_max(&self) -> usize {
        let slots = self.kernel.limits().ops_max as usize;
        self.config.handshakes_max.min((slots / 4).max(1))
    }

    /// Arms the multishot accept, unless too many handshakes are under way.
    pub(crate) fn arm_accept(&mut self, key: u64) {
        let is_full = self.handshakes.len() >= self.handshakes_max();
        let Some(entry) = self.listeners.get(key) else {
            return;
        };
        if entry.accepting.is_some() || entry.is_closed {
            return;
        }
        if is_full {
            let at_ns = self.kernel.now_ns() + RETRY_NS;
            self.timers.add(at_ns, Timer::Accept(key));
            return;
        }
        let listener = entry.socket.clone();
        let op = self.submit(Purpose::Accept(key), Op::Accept { listener });
        if let Some(entry) = self.listeners.get_mut(key) {
            entry.accepting = Some(op);
        }
    }

    pub(crate) fn on_accepted(&mut self, key: u64, completion: Completion) {
        let is_last = !completion.more;
        let result = completion.result;
        if let Payload::Descriptor(socket) = completion.payload {
            self.statistics.connections_accepted += 1;
            self.greet(key, socket);
        }
        if !is_last {
            self.pause_accept_when_full(key);
            return;
        }
        let Some(entry) = self.listeners.get_mut(key) else {
            return;
        };
        entry.accepting = None;
        if entry.is_closed {
            drop(self.listeners.remove(key));
        } else if result.is_err_and(|errno| errno != Errno::ECANCELED) {
            tracing::warn!(?result, "accept failed; trying again");
            self.timers
                .add(self.kernel.now_ns() + RETRY_NS, Timer::Accept(key));
        } else {
            self.arm_accept(key);
        }
    }

    /// Too many handshakes: what else arrives waits in the kernel's backlog.
    fn pause_accept_when_full(&mut self, key: u64) {
        if self.handshakes.len() < self.handshakes_max() {
            return;
        }
        if let Some(op) = self.listeners.get(key).and_then(|entry| entry.accepting) {
            self.kernel.cancel(op);
        }
    }

    /// A connection that was accepted elsewhere.
    pub(crate) fn adopt_connection(
        &mut self,
        shared: &Arc<ListenerShared>,
        connection: OwnedFd,
    ) -> Result<(), Error> {
        let is_it = |entry: &ListenerEntry| Arc::ptr_eq(&entry.shared, shared) && !entry.is_closed;
        let mut keys = self.listeners.keys().into_iter();
        let found = keys.find(|&key| self.listeners.get(key).is_some_and(is_it));
        let key = found.ok_or(Error::ListenerClosed)?;
        if self.handshakes.len() >= self.config.handshakes_max {
            return Err(Error::Limit {
                what: "handshakes",
                wanted: self.handshakes.len() as u64 + 1,
                allowed: self.config.handshakes_max as u64,
            });
        }
        let adopted = self.kernel.adopt(connection);
        let socket = adopted.map_err(|errno| Error::Kernel {
            operation: "adopt a connection",
            errno,
        })?;
        self.statistics.connections_accepted += 1;
        self.greet(key, socket);
        Ok(())
    }

    fn greet(&mut self, key: u64, socket: Descriptor) {
        let Some(entry) = self.listeners.get(key) else {
            return;
        };
        let listener = Arc::clone(&entry.shared);
        if !self.is_same_user(key, &socket) {
            tracing::warn!("a Unix socket peer of another user is refused");
            self.statistics.handshakes_failed += 1;
            return;
        }
        if let Some(name) = listener.options.congestion_control {
            let _ = (self.kernel).set_option(&socket, SocketOption::CongestionControl(name));
        }
        let authentication = match &listener.options.authentication {
            AuthenticationMode::Keyed(_) => Authentication::Keyed,
            AuthenticationMode::Insecure { .. } => Authentication::Insecure,
        };
        let mut nonce = [0; 32];
        self.kernel.entropy(&mut nonce);
        // Best effort: a Unix socket has no such option.
        let _ = self.kernel.set_option(&socket, SocketOption::NoDelay(true));
        let accept = Accept::new(&self.local_endpoint(), authentication, nonce);
        self.begin_handshake(socket, Machine::Accept(accept), Origin::Listener(listener));
    }

    /// On a Unix socket the peer must be the user who listens, or root.
    fn is_same_user(&self, key: u64, socket: &Descriptor) -> bool {
        let Some(entry) = self.listeners.get(key) else {
            return false;
        };
        let Address::Unix(_) = entry.shared.address else {
            return true;
        };
        let own = self.kernel.peer_credentials(&entry.socket);
        match (own, self.kernel.peer_credentials(socket)) {
            (Ok(own), Ok(peer)) => peer.uid == own.uid || peer.uid == 0,
            _ => false,
        }
    }
}

fn listen_address(target: &Target) -> Option<Address> {
    match target {
        Target::Host { host, port } if host == "localhost" => {
            Some(Address::Tcp(([127, 0, 0, 1], *port).into()))
        }
        target => target.literal(),
    }
}

fn check_exposure(address: &Address, mode: &AuthenticationMode) -> Result<(), Error> {
    match mode {
        AuthenticationMode::Insecure { anywhere: false } if !address.is_local() => {
            Err(Error::Kernel {
                operation: "listen without keys where other machines can connect",
                errno: Errno::EACCES,
            })
        }
        _ => Ok(()),
    }
}
