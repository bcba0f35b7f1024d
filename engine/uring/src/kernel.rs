//! The face towards the shard.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use ringway_io::{
    Address, Capabilities, Capability, Completion, Descriptor, Doorbell, Errno, Kernel, Lease,
    LeaseMut, Limits, ListenOptions, Op, OpId, PeerCredentials, Pipe, ProvidedBuffer, Residency,
    Route, ShutdownHow, SocketOption, SocketStatistics, TeardownReport, Token, Wait,
};

use crate::residency::Question;
use crate::socket::os;
use crate::uring::Uring;
use crate::{listen, residency, route, socket, splice};

impl Kernel for Uring {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn submit(&mut self, token: Token, op: Op) -> OpId {
        self.submit_op(token, op)
    }

    fn cancel(&mut self, op: OpId) {
        self.cancel_op(op);
    }

    fn cancel_all_on(&mut self, descriptor: &Descriptor) {
        let number = descriptor.os_number().unwrap_or(-1);
        let ops: Vec<_> = self.naming.ops_on(number).collect();
        for op in ops {
            self.cancel_op(op);
        }
    }

    fn orphan(&mut self, op: OpId) {
        if let Some(flight) = self.slots.get_mut(op) {
            flight.is_orphan = true;
            self.cancel_op(op);
        }
    }

    fn reap(&mut self, out: &mut Vec<Completion>, completions_max: usize) -> usize {
        self.reap_into(out, completions_max)
    }

    fn enter(&mut self, wait: Wait) -> Result<(), Errno> {
        self.enter_kernel(wait)
    }

    fn has_news(&mut self) -> Option<bool> {
        Some(self.has_results() || self.ring.queued() > 0 || self.ring.needs_enter())
    }

    fn in_flight(&self) -> usize {
        self.in_flight_count()
    }

    fn lease(&mut self, bytes: usize) -> Option<LeaseMut> {
        self.arena.as_mut()?.lend(bytes)
    }

    fn provided(&self, buffer: &ProvidedBuffer) -> &[u8] {
        let provided = self.provided.as_ref();
        provided.expect("it lent the buffer").bytes(buffer)
    }

    fn recycle(&mut self, buffer: ProvidedBuffer) {
        let provided = self.provided.as_mut();
        provided.expect("it lent the buffer").recycle(&buffer);
    }

    fn provided_available(&self) -> (u32, u32) {
        let provided = self.provided.as_ref();
        provided.map_or((0, 0), |each| (each.available(), each.count()))
    }

    fn acquire_pipe(&mut self) -> Option<Pipe> {
        if !self.capabilities.has(Capability::Splice) {
            return None;
        }
        let pipe = self.pipes.acquire()?;
        self.note_pipes();
        Some(pipe)
    }

    fn release_pipe(&mut self, pipe: Pipe, is_empty: bool) {
        let is_named = [&pipe.read, &pipe.write].into_iter().any(|end| {
            let number = end.os_number().unwrap_or(-1);
            self.naming.ops_on(number).next().is_some()
        });
        self.pipes.release(pipe, is_empty && !is_named);
    }

    fn now_ns(&self) -> u64 {
        Self::clock_ns()
    }

    fn entropy(&mut self, out: &mut [u8]) {
        crate::sys::process::random(out);
    }

    fn doorbell(&self) -> Arc<dyn Doorbell> {
        Arc::clone(&self.bell) as Arc<dyn Doorbell>
    }

    fn send_now(
        &mut self,
        socket: &Descriptor,
        bytes: &[u8],
        more_follows: bool,
    ) -> Result<usize, Errno> {
        socket::send_now(os(socket)?, bytes, more_follows)
    }

    fn splice_from_file(
        &mut self,
        file: &Descriptor,
        offset: u64,
        pipe: &Pipe,
        length: u32,
    ) -> Result<u32, Errno> {
        self.need(Capability::Splice)?;
        splice::from_file(os(file)?, offset, os(&pipe.write)?, length)
    }

    fn splice_from_lease(&mut self, lease: &Lease, pipe: &Pipe) -> Result<u32, Errno> {
        self.need(Capability::Splice)?;
        self.need(Capability::ArenaSplice)?;
        // A lease of another shard's arena has no place in this memfd.
        let arena = self.arena.as_ref().ok_or(Errno::EOPNOTSUPP)?;
        let memory = arena.memory();
        let offset = memory.offset_of(lease).ok_or(Errno::EOPNOTSUPP)?;
        let length = u32::try_from(lease.len()).unwrap_or(u32::MAX);
        splice::from_file(memory.memfd(), offset as u64, os(&pipe.write)?, length)
    }

    fn splice_to_socket(
        &mut self,
        pipe: &Pipe,
        socket: &Descriptor,
        length: u32,
        more_follows: bool,
    ) -> Result<u32, Errno> {
        self.need(Capability::Splice)?;
        splice::to_socket(os(&pipe.read)?, os(socket)?, length, more_follows)
    }

    fn splice_from_socket(
        &mut self,
        socket: &Descriptor,
        pipe: &Pipe,
        length: u32,
    ) -> Result<u32, Errno> {
        self.need(Capability::Splice)?;
        splice::from_socket(os(socket)?, os(&pipe.write)?, length)
    }

    fn residency(&mut self, file: &Descriptor, offset: u64, length: u32) -> Residency {
        let question = match self.capabilities.has(Capability::CacheStat) {
            true => Question::CacheStat,
            false => Question::Mincore,
        };
        os(file).map_or(Residency::Unknown, |file| {
            residency::residency(file, offset, length, question)
        })
    }

    fn socket(&mut self, address: &Address) -> Result<Descriptor, Errno> {
        socket::open(address).map(Descriptor::from_os)
    }

    fn listen(&mut self, address: &Address, options: ListenOptions) -> Result<Descriptor, Errno> {
        listen::listen(address, options).map(Descriptor::from_os)
    }

    fn adopt(&mut self, descriptor: OwnedFd) -> Result<Descriptor, Errno> {
        socket::adopt(descriptor)
    }

    fn set_option(&mut self, socket: &Descriptor, option: SocketOption) -> Result<(), Errno> {
        socket::set_option(os(socket)?, option)
    }

    fn local_address(&self, socket: &Descriptor) -> Result<Address, Errno> {
        socket::local_address(os(socket)?)
    }

    fn peer_address(&self, socket: &Descriptor) -> Result<Address, Errno> {
        socket::peer_address(os(socket)?)
    }

    fn peer_credentials(&self, socket: &Descriptor) -> Result<PeerCredentials, Errno> {
        socket::peer_credentials(os(socket)?)
    }

    fn route(&self, socket: &Descriptor) -> Route {
        os(socket).map_or(Route::Virtual, route::route)
    }

    fn socket_statistics(&self, socket: &Descriptor) -> Option<SocketStatistics> {
        socket::statistics(os(socket).ok()?)
    }

    fn shutdown(&mut self, socket: &Descriptor, how: ShutdownHow) {
        if let Ok(socket) = os(socket) {
            socket::shutdown(socket, how);
        }
    }

    fn reset(&mut self, socket: &Descriptor) {
        if let Ok(socket) = os(socket) {
            socket::reset(socket);
        }
    }

    fn teardown(&mut self, deadline_ns: u64) -> TeardownReport {
        self.tear_down(deadline_ns)
    }
}

impl Uring {
    fn need(&self, capability: Capability) -> Result<(), Errno> {
        match self.capabilities.has(capability) {
            true => Ok(()),
            false => Err(Errno::EOPNOTSUPP),
        }
    }

    /// Tells in the limits when pipes turn out smaller than configured.
    pub(crate) fn note_pipes(&mut self) {
        self.limits.pipe_bytes = self.pipes.smallest_bytes();
        let Some(reduction) = self.pipes.reduction() else {
            return;
        };
        let reductions = &mut self.limits.reductions;
        reductions.retain(|each| each.what != reduction.what);
        reductions.push(reduction);
    }
}
