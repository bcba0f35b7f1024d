//! A kernel that injects faults into another one.
//!
//! It stands at the seam, so that everything above meets a fault as it would meet the real thing,
//! on the real kernel and on the simulated one. An engine without faults does not contain it: that
//! is what makes it free when off (docs/decisions/fault-kernel.md).

use std::os::fd::OwnedFd;
use std::sync::Arc;

use ringway_io::{
    Address, Capabilities, Completion, Descriptor, Doorbell, Errno, Kernel, Lease, LeaseMut,
    Limits, ListenOptions, Op, OpId, Payload, PeerCredentials, Pipe, ProvidedBuffer, Residency,
    Route, ShutdownHow, SocketOption, SocketStatistics, TeardownReport, Token, Wait,
};

use crate::faults::{Fault, Faults};
use crate::injector::{Held, Injector, Watched, number, watched};

/// A flipped bit lies in the first bytes of a frame: its header has 40.
const HEADER_BYTES: u64 = 40;

/// A kernel, and what goes wrong with it.
#[derive(Debug)]
pub struct FaultKernel<K: Kernel> {
    kernel: K,
    injector: Injector,
    scratch: Vec<Completion>,
    /// The last reap took something, though it may have kept all of it.
    has_reaped: bool,
}

impl<K: Kernel> FaultKernel<K> {
    /// Wraps a kernel.
    pub fn new(kernel: K, faults: Faults) -> Self {
        Self {
            kernel,
            injector: Injector::new(faults),
            scratch: Vec::new(),
            has_reaped: false,
        }
    }

    /// The kernel inside.
    pub fn inner(&self) -> &K {
        &self.kernel
    }

    /// The kernel inside, for what belongs to no seam.
    pub(crate) fn inner_mut(&mut self) -> &mut K {
        &mut self.kernel
    }

    /// When what it holds back is to be reaped.
    pub(crate) fn next_due_ns(&self) -> Option<u64> {
        self.injector.next_due_ns()
    }

    /// Whether the kernel inside had something for the last reap.
    pub(crate) fn has_reaped(&self) -> bool {
        self.has_reaped
    }

    /// Resets the socket if it is to be.
    fn cut_if_due(&mut self, socket: &Descriptor) {
        let of = self.injector.socket(number(socket));
        if std::mem::take(&mut of.is_to_cut) && !of.is_over {
            self.injector.count(Fault::Cut);
            self.reset(socket);
        }
    }

    /// A completion of the kernel: changed, held, or seen.
    fn take(&mut self, completion: Completion) {
        let watched = match completion.more {
            true => self.injector.ops.get(&completion.op).copied(),
            false => self.injector.ops.remove(&completion.op),
        };
        let now_ns = self.kernel.now_ns();
        match watched {
            Some(Watched::Refused) => {
                let result = Err(Errno::ECONNREFUSED);
                self.injector.hold(
                    0,
                    None,
                    Completion {
                        result,
                        ..completion
                    },
                );
            }
            Some(Watched::Swallowed(bytes)) => {
                let result = Ok(bytes);
                self.injector.hold(
                    0,
                    None,
                    Completion {
                        result,
                        ..completion
                    },
                );
            }
            Some(Watched::Accept) => self.take_accepted(completion),
            Some(Watched::Receive(socket)) => {
                let bytes = completion.result.unwrap_or(0);
                self.injector.moved(socket, bytes.into());
                self.take_from_socket(socket, completion, now_ns);
            }
            Some(Watched::Readable(socket)) => self.take_from_socket(socket, completion, now_ns),
            Some(Watched::Send(socket)) => {
                let bytes = completion.result.unwrap_or(0);
                self.injector.moved(socket, bytes.into());
                self.injector.hold(0, None, completion);
            }
            Some(Watched::Disk) => {
                let delay = self.injector.plan.slow_disk;
                let due_ns = delay.map_or(0, |delay| {
                    self.injector.count(Fault::SlowDisk);
                    now_ns.saturating_add(delay.as_nanos() as u64)
                });
                self.injector.hold(due_ns, None, completion);
            }
            None => self.injector.hold(0, None, completion),
        }
    }

    /// Failures pass at once, in order: nothing of a connection that broke is worth a delay.
    fn take_from_socket(&mut self, socket: u64, completion: Completion, now_ns: u64) {
        let due_ns = match completion.result {
            Ok(_) => self.injector.due_ns(socket, now_ns),
            Err(_) => self.injector.socket_due_ns(socket),
        };
        self.injector.hold(due_ns, Some(socket), completion);
    }

    /// A refused connection is closed before anybody has seen it.
    fn take_accepted(&mut self, mut completion: Completion) {
        if let Payload::Descriptor(socket) = &completion.payload {
            self.injector.opened(number(socket));
            if self.injector.is_refused() {
                completion.payload = Payload::None;
            }
        }
        self.injector.hold(0, None, completion);
    }

    /// What was held back of a socket that is given up never comes; its ops end.
    fn let_go(&mut self, wanted: impl Fn(&Held) -> bool) {
        for held in self.injector.take_held(wanted) {
            let mut completion = held.completion;
            completion.payload = match completion.payload {
                Payload::Provided(buffer) => {
                    self.kernel.recycle(buffer);
                    Payload::None
                }
                payload => payload,
            };
            if completion.more {
                continue;
            }
            completion.result = Err(Errno::ECANCELED);
            self.injector.hold(0, held.socket, completion);
        }
    }
}

impl<K: Kernel> Kernel for FaultKernel<K> {
    fn capabilities(&self) -> Capabilities {
        self.kernel.capabilities()
    }

    fn limits(&self) -> &Limits {
        self.kernel.limits()
    }

    fn submit(&mut self, token: Token, op: Op) -> OpId {
        let mut watch = watched(&op);
        let mut op = op;
        if matches!(op, Op::Connect { .. }) && self.injector.is_refused() {
            watch = Some(Watched::Refused);
        }
        if let Some(Watched::Send(socket)) = watch
            && self.injector.is_mute(socket)
        {
            watch = Some(Watched::Swallowed(sent_bytes(&op)));
        }
        if matches!(watch, Some(Watched::Refused | Watched::Swallowed(_))) {
            // Completes at once, whatever it says.
            let at_ns = self.kernel.now_ns();
            op = Op::Timeout { at_ns };
        }
        let op = self.kernel.submit(token, op);
        if let Some(watch) = watch {
            self.injector.ops.insert(op, watch);
        }
        op
    }

    fn cancel(&mut self, op: OpId) {
        self.kernel.cancel(op);
        let is_deaf: Vec<u64> = self.injector.deaf_sockets();
        self.let_go(|held| {
            held.completion.op == op && held.socket.is_some_and(|socket| is_deaf.contains(&socket))
        });
    }

    fn cancel_all_on(&mut self, descriptor: &Descriptor) {
        self.kernel.cancel_all_on(descriptor);
        let socket = number(descriptor);
        if self.injector.is_deaf(socket) {
            self.let_go(|held| held.socket == Some(socket));
        }
    }

    fn orphan(&mut self, op: OpId) {
        for held in self.injector.take_held(|held| held.completion.op == op) {
            if let Payload::Provided(buffer) = held.completion.payload {
                self.kernel.recycle(buffer);
            }
        }
        self.injector.ops.remove(&op);
        self.kernel.orphan(op);
    }

    fn reap(&mut self, out: &mut Vec<Completion>, completions_max: usize) -> usize {
        self.injector.refresh();
        let mut scratch = std::mem::take(&mut self.scratch);
        self.has_reaped = self.kernel.reap(&mut scratch, completions_max) > 0;
        for completion in scratch.drain(..) {
            self.take(completion);
        }
        self.scratch = scratch;
        let now_ns = self.kernel.now_ns();
        let mut count = 0;
        while count < completions_max
            && let Some(completion) = self.injector.pop_due(now_ns)
        {
            out.push(completion);
            count += 1;
        }
        count
    }

    fn enter(&mut self, wait: Wait) -> Result<(), Errno> {
        let due_ns = self.injector.next_due_ns();
        let wait = match (wait, due_ns) {
            (Wait::Forever, Some(due_ns)) => Wait::Until(due_ns),
            (Wait::Until(at_ns), Some(due_ns)) => Wait::Until(at_ns.min(due_ns)),
            (wait, _) => wait,
        };
        self.kernel.enter(wait)
    }

    fn in_flight(&self) -> usize {
        let held = self.injector.held.values();
        let ended = held.filter(|held| !held.completion.more).count();
        self.kernel.in_flight() + ended
    }

    fn lease(&mut self, bytes: usize) -> Option<LeaseMut> {
        self.kernel.lease(bytes)
    }

    fn provided(&self, buffer: &ProvidedBuffer) -> &[u8] {
        self.kernel.provided(buffer)
    }

    fn recycle(&mut self, buffer: ProvidedBuffer) {
        self.kernel.recycle(buffer);
    }

    fn provided_available(&self) -> (u32, u32) {
        self.kernel.provided_available()
    }

    fn acquire_pipe(&mut self) -> Option<Pipe> {
        self.kernel.acquire_pipe()
    }

    fn release_pipe(&mut self, pipe: Pipe, is_empty: bool) {
        let is_spoiled = self.injector.spoiled.remove(&number(&pipe.read));
        self.kernel.release_pipe(pipe, is_empty && !is_spoiled);
    }

    fn now_ns(&self) -> u64 {
        self.kernel.now_ns()
    }

    fn entropy(&mut self, out: &mut [u8]) {
        self.kernel.entropy(out);
    }

    fn doorbell(&self) -> Arc<dyn Doorbell> {
        self.kernel.doorbell()
    }

    fn send_now(
        &mut self,
        socket: &Descriptor,
        bytes: &[u8],
        more_follows: bool,
    ) -> Result<usize, Errno> {
        self.cut_if_due(socket);
        let name = number(socket);
        if self.injector.is_mute(name) {
            return Ok(bytes.len());
        }
        let of = self.injector.socket(name);
        let is_corrupted = of.is_to_corrupt && !of.is_inside;
        let sent = if is_corrupted {
            let at = self.injector.draw(HEADER_BYTES.min(bytes.len() as u64)) as usize;
            let mut altered = bytes.to_vec();
            altered[at] ^= 1 << self.injector.draw(8);
            let sent = self.kernel.send_now(socket, &altered, more_follows);
            if sent.is_ok_and(|sent| sent > at) {
                self.injector.socket(name).is_to_corrupt = false;
                self.injector.count(Fault::Corrupt);
            }
            sent
        } else {
            self.kernel.send_now(socket, bytes, more_follows)
        };
        if let Ok(count) = sent {
            self.injector.socket(name).is_inside = count < bytes.len();
            self.injector.moved(name, count as u64);
        }
        sent
    }

    fn splice_from_file(
        &mut self,
        file: &Descriptor,
        offset: u64,
        pipe: &Pipe,
        length: u32,
    ) -> Result<u32, Errno> {
        self.kernel.splice_from_file(file, offset, pipe, length)
    }

    fn splice_from_lease(&mut self, lease: &Lease, pipe: &Pipe) -> Result<u32, Errno> {
        self.kernel.splice_from_lease(lease, pipe)
    }

    fn splice_to_socket(
        &mut self,
        pipe: &Pipe,
        socket: &Descriptor,
        length: u32,
        more_follows: bool,
    ) -> Result<u32, Errno> {
        self.cut_if_due(socket);
        let name = number(socket);
        if self.injector.is_mute(name) {
            self.injector.spoiled.insert(number(&pipe.read));
            return Ok(length);
        }
        let sent = self
            .kernel
            .splice_to_socket(pipe, socket, length, more_follows);
        if let Ok(count) = sent {
            self.injector.moved(name, count.into());
        }
        sent
    }

    fn splice_from_socket(
        &mut self,
        socket: &Descriptor,
        pipe: &Pipe,
        length: u32,
    ) -> Result<u32, Errno> {
        self.cut_if_due(socket);
        let name = number(socket);
        if self.injector.is_deaf(name) {
            return Err(Errno::EAGAIN);
        }
        let received = self.kernel.splice_from_socket(socket, pipe, length);
        if let Ok(count) = received {
            self.injector.moved(name, count.into());
        }
        received
    }

    /// Nothing is in the page cache of a slow disk.
    fn residency(&mut self, file: &Descriptor, offset: u64, length: u32) -> Residency {
        match self.injector.plan.slow_disk {
            Some(_) => Residency::Absent,
            None => self.kernel.residency(file, offset, length),
        }
    }

    fn socket(&mut self, address: &Address) -> Result<Descriptor, Errno> {
        let socket = self.kernel.socket(address)?;
        self.injector.opened(number(&socket));
        Ok(socket)
    }

    fn listen(&mut self, address: &Address, options: ListenOptions) -> Result<Descriptor, Errno> {
        self.kernel.listen(address, options)
    }

    fn adopt(&mut self, descriptor: OwnedFd) -> Result<Descriptor, Errno> {
        let descriptor = self.kernel.adopt(descriptor)?;
        self.injector.opened(number(&descriptor));
        Ok(descriptor)
    }

    fn set_option(&mut self, socket: &Descriptor, option: SocketOption) -> Result<(), Errno> {
        self.kernel.set_option(socket, option)
    }

    fn local_address(&self, socket: &Descriptor) -> Result<Address, Errno> {
        self.kernel.local_address(socket)
    }

    fn peer_address(&self, socket: &Descriptor) -> Result<Address, Errno> {
        self.kernel.peer_address(socket)
    }

    fn peer_credentials(&self, socket: &Descriptor) -> Result<PeerCredentials, Errno> {
        self.kernel.peer_credentials(socket)
    }

    fn route(&self, socket: &Descriptor) -> Route {
        self.kernel.route(socket)
    }

    fn socket_statistics(&self, socket: &Descriptor) -> Option<SocketStatistics> {
        self.kernel.socket_statistics(socket)
    }

    fn shutdown(&mut self, socket: &Descriptor, how: ShutdownHow) {
        self.kernel.shutdown(socket, how);
    }

    fn reset(&mut self, socket: &Descriptor) {
        self.kernel.reset(socket);
        let name = number(socket);
        if self.injector.is_deaf(name) {
            self.let_go(|held| held.socket == Some(name));
        }
        self.injector.socket(name).is_over = true;
    }

    fn teardown(&mut self, deadline_ns: u64) -> TeardownReport {
        for held in self.injector.take_held(|_| true) {
            if let Payload::Provided(buffer) = held.completion.payload {
                self.kernel.recycle(buffer);
            }
        }
        self.kernel.teardown(deadline_ns)
    }
}

fn sent_bytes(op: &Op) -> u32 {
    let bytes = match op {
        Op::Send { buffer, .. } => buffer.len(),
        Op::SendZeroCopy { lease, .. } => lease.len(),
        Op::SendVectored { buffers, .. } => buffers.iter().map(|buffer| buffer.len()).sum(),
        _ => 0,
    };
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
