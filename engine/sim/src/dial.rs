//! Listening, dialling and accepting.

use std::collections::VecDeque;
use std::net::SocketAddr;

use ringway_io::{Address, Descriptor, Errno, ListenOptions, Op, OpId, SocketOption};

use crate::connection::{Connection, End};
use crate::events::Event;
use crate::fault::FaultKind;
use crate::object::{Listener, Object, number};
use crate::ring::{Answer, Stage};
use crate::state::State;
use crate::{HostId, KernelId};

/// A dial that is not answered is sent again after this, ns (tcp(7), the first `SYN` repeat).
const DIAL_REPEAT_NS: u64 = 1_000_000_000;
/// A connection that was gone before it was accepted (accept(2)).
const ECONNABORTED: Errno = Errno(103);
/// The network below is down (accept(2): to be taken as would-block).
const ENETDOWN: Errno = Errno(100);
/// Already connected (errno(3)).
const EISCONN: Errno = Errno(106);
/// No way to that host (errno(3)).
const EHOSTUNREACH: Errno = Errno(113);
/// The address is not one of ours (errno(3)).
const EADDRNOTAVAIL: Errno = Errno(99);

impl State {
    pub(crate) fn listen(
        &mut self,
        kernel: KernelId,
        address: &Address,
        options: ListenOptions,
    ) -> Result<Descriptor, Errno> {
        let host = self.rings[kernel.0].host;
        let address = self.bindable(host, address, options)?;
        let listener = Object::Listener(Listener {
            host,
            address: address.clone(),
            backlog: options.backlog.max(1) as usize,
            reuse_port: options.reuse_port,
            pending: VecDeque::new(),
            options: Vec::new(),
        });
        let descriptor = self.open_object(kernel, listener)?;
        let object = number(&descriptor)?;
        let host = &mut self.hosts[host.0];
        match address {
            Address::Tcp(address) => host.tcp.entry(address).or_default().push(object),
            Address::Unix(path) => {
                host.stale.remove(&path);
                host.unix.insert(path, object);
            }
        }
        Ok(descriptor)
    }

    /// The address with its port filled in, if it can be listened on.
    fn bindable(
        &mut self,
        host: HostId,
        address: &Address,
        options: ListenOptions,
    ) -> Result<Address, Errno> {
        let wanted = match address {
            Address::Unix(path) => {
                let taken = self.hosts[host.0].unix.contains_key(path);
                return if taken {
                    Err(Errno::EADDRINUSE)
                } else {
                    Ok(address.clone())
                };
            }
            Address::Tcp(wanted) => *wanted,
        };
        let here = &mut self.hosts[host.0];
        let ip = wanted.ip();
        if !ip.is_unspecified() && !ip.is_loopback() && !here.addresses.contains(&ip) {
            return Err(EADDRNOTAVAIL);
        }
        if wanted.port() == 0 {
            return Ok(Address::Tcp(SocketAddr::new(ip, here.free_port())));
        }
        let listeners = here.tcp.get(&wanted).cloned().unwrap_or_default();
        let shared = |&object: &u64| matches!(self.object(object), Ok(Object::Listener(listener)) if listener.reuse_port);
        if listeners.is_empty() || (options.reuse_port && listeners.iter().all(shared)) {
            Ok(Address::Tcp(wanted))
        } else {
            Err(Errno::EADDRINUSE)
        }
    }

    fn pending(&mut self, listener: u64) -> Result<&mut VecDeque<u64>, Errno> {
        let entry = self.objects.get_mut(&listener).ok_or(Errno::EBADF)?;
        match &mut entry.object {
            Object::Listener(listener) => Ok(&mut listener.pending),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Takes the next connection that waits; `EAGAIN` when none does.
    pub(crate) fn accept(
        &mut self,
        kernel: KernelId,
        listener: &Descriptor,
    ) -> Result<Descriptor, Errno> {
        let listener = number(listener)?;
        let connection = self.pending(listener)?.front().copied();
        let connection = connection.ok_or(Errno::EAGAIN)?;
        let per_mille = self.config.faults.accept_fails_per_mille;
        if self.fault(FaultKind::AcceptFailed, per_mille) {
            // Each leaves the connection where it is, and each is of a moment (accept(2)).
            let errnos = [ECONNABORTED, Errno::EMFILE, ENETDOWN];
            return Err(errnos[self.random.faults.below(3) as usize]);
        }
        // Without a free number the connection stays where it is: accept(2) takes that first.
        let descriptor = self.open_object(kernel, Object::Socket { connection, end: 1 })?;
        self.pending(listener)?.pop_front();
        let object = number(&descriptor)?;
        let (pid, uid) = (kernel.0 as i32 + 1, self.config.kernel.uid);
        if let Some(end) = self.network.end_mut(connection, 1) {
            end.object = Some(object);
            (end.pid, end.uid) = (pid, uid);
        }
        Ok(descriptor)
    }

    /// Starts a connect op.
    pub(crate) fn start_dial(&mut self, kernel: KernelId, id: OpId) {
        self.set_stage(kernel, id, Stage::Dialling);
        if let Err(errno) = self.try_dial(kernel, id) {
            self.fail(kernel, id, errno);
        }
    }

    fn try_dial(&mut self, kernel: KernelId, id: OpId) -> Result<(), Errno> {
        let Some(Op::Connect { socket, address }) = self.op(kernel, id) else {
            return Err(Errno::EINVAL);
        };
        let address = address.clone();
        let timeout_ms = match self.object(number(socket)?)? {
            Object::Unconnected { is_unix, options }
                if *is_unix == matches!(address, Address::Unix(_)) =>
            {
                user_timeout_ms(options)
            }
            Object::Unconnected { .. } => return Err(Errno::EINVAL),
            Object::Socket { .. } => return Err(EISCONN),
            _ => return Err(Errno::EBADF),
        };
        if timeout_ms > 0 {
            let at_ns = self.now_ns + u64::from(timeout_ms) * 1_000_000;
            let result = Err(Errno::ETIMEDOUT);
            let op = id;
            self.events
                .schedule(at_ns, Event::Dialled { kernel, op, result });
        }
        let delay_ns = match &address {
            Address::Unix(_) => 0,
            Address::Tcp(target) => {
                let from = self.rings[kernel.0].host;
                let to = self.host_at(from, *target).ok_or(EHOSTUNREACH)?;
                self.link(from, to).config.delay_ns
            }
        };
        self.events.schedule(
            self.now_ns + delay_ns,
            Event::Dial {
                kernel,
                op: id,
                attempt: 1,
            },
        );
        Ok(())
    }

    /// The host that an address means, seen from `from`.
    fn host_at(&self, from: HostId, target: SocketAddr) -> Option<HostId> {
        if target.ip().is_loopback() || target.ip().is_unspecified() {
            return Some(from);
        }
        let has = |host: &crate::host::Host| host.addresses.contains(&target.ip());
        self.hosts.iter().position(has).map(HostId)
    }

    /// A dial reaches the host it is for.
    pub(crate) fn on_dial(&mut self, kernel: KernelId, id: OpId, attempt: u32) {
        if self.stage(kernel, id) != Some(Stage::Dialling) {
            return;
        }
        let Some(Op::Connect { address, .. }) = self.op(kernel, id) else {
            return;
        };
        let address = address.clone();
        let from = self.rings[kernel.0].host;
        let (to, delay_ns, is_down) = match &address {
            Address::Unix(_) => (from, 0, false),
            Address::Tcp(target) => {
                let to = self.host_at(from, *target).unwrap_or(from);
                let link = self.link(from, to);
                (to, link.config.delay_ns, link.is_down)
            }
        };
        let is_tcp = matches!(address, Address::Tcp(_));
        let per_mille = self.config.faults.dial_hangs_per_mille;
        let answer = if is_down || (is_tcp && self.fault(FaultKind::DialHung, per_mille)) {
            Err(Errno::EAGAIN)
        } else {
            self.establish(kernel, from, to, &address)
        };
        let is_lost = answer == Err(Errno::EAGAIN) && matches!(address, Address::Tcp(_));
        if is_lost {
            return self.repeat_dial(kernel, id, attempt);
        }
        let at_ns = self.now_ns + delay_ns;
        let result = answer;
        self.events.schedule(
            at_ns,
            Event::Dialled {
                kernel,
                op: id,
                result,
            },
        );
    }

    /// A dial that got no answer.
    fn repeat_dial(&mut self, kernel: KernelId, op: OpId, attempt: u32) {
        let at_ns = self.now_ns + DIAL_REPEAT_NS;
        let event = if attempt < self.config.socket.dial_attempts {
            Event::Dial {
                kernel,
                op,
                attempt: attempt + 1,
            }
        } else {
            Event::Dialled {
                kernel,
                op,
                result: Err(Errno::ETIMEDOUT),
            }
        };
        self.events.schedule(at_ns, event);
    }

    /// Makes the connection and puts it into the listener's queue.
    fn establish(
        &mut self,
        kernel: KernelId,
        from: HostId,
        to: HostId,
        address: &Address,
    ) -> Result<u64, Errno> {
        let refused = self.config.faults.dial_refused_per_mille;
        if self.fault(FaultKind::DialRefused, refused) {
            return Err(Errno::ECONNREFUSED);
        }
        let object = self.pick_listener(to, address)?;
        let source = match address {
            Address::Tcp(target) => Address::Tcp(self.hosts[from.0].source_address(target.ip())),
            Address::Unix(_) => Address::Unix(std::path::PathBuf::new()),
        };
        let mut dialer = End::new(from, source, None);
        (dialer.pid, dialer.uid) = (kernel.0 as i32 + 1, self.config.kernel.uid);
        let ends = [dialer, End::new(to, address.clone(), None)];
        let is_unix = matches!(address, Address::Unix(_));
        let connection = self.network.connection_next;
        self.network.connection_next += 1;
        self.network.connections.insert(
            connection,
            Connection::new(ends, self.config.socket, is_unix),
        );
        self.trace_network(connection, 0, "established", 0);
        let options = self.enqueue(object, connection);
        self.apply_options(connection, 1, &options);
        if let Some(cut) = self.next_cuts.pop_front() {
            self.cut_at(connection, cut);
        }
        Ok(connection)
    }

    /// Puts a connection into a listener's queue; returns the options it inherits.
    fn enqueue(&mut self, object: u64, connection: u64) -> Vec<SocketOption> {
        self.dirty.insert(object);
        match self.objects.get_mut(&object).map(|entry| &mut entry.object) {
            Some(Object::Listener(listener)) => {
                listener.pending.push_back(connection);
                listener.options.clone()
            }
            _ => Vec::new(),
        }
    }

    /// A listener with room; `EAGAIN` when its backlog is full.
    fn pick_listener(&mut self, host: HostId, address: &Address) -> Result<u64, Errno> {
        let object = match address {
            Address::Unix(path) => self.hosts[host.0].unix_listener(path)?,
            Address::Tcp(target) => {
                let listeners = self.hosts[host.0].tcp_listeners(*target);
                if listeners.is_empty() {
                    return Err(Errno::ECONNREFUSED);
                }
                let picked = self.random.network.below(listeners.len() as u64);
                listeners[picked as usize]
            }
        };
        match self.object(object)? {
            Object::Listener(listener) if listener.pending.len() < listener.backlog => Ok(object),
            _ => Err(Errno::EAGAIN),
        }
    }

    /// A dial's answer is back.
    pub(crate) fn on_dialled(&mut self, kernel: KernelId, id: OpId, result: Result<u64, Errno>) {
        let is_wanted = self.stage(kernel, id) == Some(Stage::Dialling);
        match result {
            Ok(connection) if is_wanted => {
                let attached = self.attach(kernel, id, connection);
                let result = attached.map(|()| 0);
                self.finish(kernel, id, Answer::plain(result));
            }
            // Cancelled meanwhile: nobody holds this end.
            Ok(connection) => self.abort_end(connection, 0),
            Err(errno) if is_wanted => self.fail(kernel, id, errno),
            Err(_) => {}
        }
    }

    /// Makes an op's socket the first end of a connection.
    fn attach(&mut self, kernel: KernelId, id: OpId, connection: u64) -> Result<(), Errno> {
        let Some(Op::Connect { socket, .. }) = self.op(kernel, id) else {
            return Err(Errno::EBADF);
        };
        let object = number(socket)?;
        let entry = self.objects.get_mut(&object).ok_or(Errno::EBADF)?;
        let connected = Object::Socket { connection, end: 0 };
        let before = std::mem::replace(&mut entry.object, connected);
        if let Some(end) = self.network.end_mut(connection, 0) {
            end.object = Some(object);
        }
        if let Object::Unconnected { options, .. } = before {
            self.apply_options(connection, 0, &options);
        }
        Ok(())
    }
}

/// How long a dial may take, as its socket was told; 0 for the default.
fn user_timeout_ms(options: &[SocketOption]) -> u32 {
    let timeout = |option: &SocketOption| match option {
        SocketOption::UserTimeoutMs(ms) => Some(*ms),
        _ => None,
    };
    options.iter().rev().find_map(timeout).unwrap_or(0)
}
