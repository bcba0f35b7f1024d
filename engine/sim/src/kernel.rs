//! The seam itself: one shard's view of the world.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use ringway_io::{
    Address, Capabilities, Capability, Completion, Descriptor, Doorbell, Errno, Kernel, Lease,
    LeaseMut, Limits, ListenOptions, Op, OpId, Payload, PeerCredentials, Pipe, ProvidedBuffer,
    Residency, Route, ShutdownHow, SocketOption, SocketStatistics, TeardownReport, Token, Wait,
};

use crate::arena::Arena;
use crate::config::KernelConfig;
use crate::state::State;
use crate::{KernelId, Violation, World};

/// Ops a kernel says it takes; it takes any number.
const OPS_MAX: u32 = 1 << 20;

/// A simulated kernel for one shard; made by [`World::kernel`].
///
/// [`Kernel::enter`] never blocks: it hands over what is queued, notes until when the shard
/// would sleep, and returns. [`World::advance`] lets time pass.
#[derive(Debug)]
pub struct SimKernel {
    world: World,
    id: KernelId,
    limits: Limits,
    /// Memory of the provided buffers, filled when a completion is reaped.
    provided: Vec<Vec<u8>>,
    arena: Arc<Arena>,
}

impl SimKernel {
    pub(crate) fn new(world: World, id: KernelId) -> Self {
        let state = world.0.borrow();
        let arena = Arc::clone(&state.rings[id.0].arena);
        let limits = limits(&state.config.kernel, &arena);
        drop(state);
        let provided = vec![Vec::new(); limits.provided_count as usize];
        Self {
            world,
            id,
            limits,
            provided,
            arena,
        }
    }

    /// Its name in the world.
    #[must_use]
    pub fn id(&self) -> KernelId {
        self.id
    }

    /// Does something in the world, and lets the world come to rest.
    fn with<R>(&self, act: impl FnOnce(&mut State, KernelId) -> R) -> R {
        let mut state = self.world.0.borrow_mut();
        state.settle();
        let result = act(&mut state, self.id);
        state.settle();
        result
    }

    /// The same for a call on something that a dead process cannot do.
    fn alive<R>(
        &self,
        act: impl FnOnce(&mut State, KernelId) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        self.with(|state, id| {
            if state.rings[id.0].is_alive {
                act(state, id)
            } else {
                Err(Errno::EBADF)
            }
        })
    }
}

fn limits(config: &KernelConfig, arena: &Arena) -> Limits {
    Limits {
        submission_entries: config.submission_entries,
        completion_entries: OPS_MAX,
        ops_max: OPS_MAX,
        arena_bytes: arena.bytes() as u64,
        lease_sizes: Arena::sizes(),
        provided_count: u32::from(config.provided_count),
        provided_bytes: config.provided_bytes,
        pipes_max: config.pipes_max,
        pipe_bytes: config.pipe_bytes,
        reductions: Vec::new(),
    }
}

impl Kernel for SimKernel {
    fn capabilities(&self) -> Capabilities {
        self.world.0.borrow().rings[self.id.0].capabilities
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn submit(&mut self, token: Token, op: Op) -> OpId {
        let entries = self.limits.submission_entries as usize;
        self.with(|state, kernel| {
            if state.rings[kernel.0].queued.len() >= entries {
                state.flush(kernel);
            }
            state.rings[kernel.0].submit(token, op)
        })
    }

    fn cancel(&mut self, op: OpId) {
        self.with(|state, kernel| state.cancel(kernel, op));
    }

    fn cancel_all_on(&mut self, descriptor: &Descriptor) {
        if let Some(number) = descriptor.simulated_number() {
            self.with(|state, kernel| state.cancel_all_on(kernel, number));
        }
    }

    fn orphan(&mut self, op: OpId) {
        self.with(|state, kernel| state.orphan(kernel, op));
    }

    fn reap(&mut self, out: &mut Vec<Completion>, completions_max: usize) -> usize {
        let mut count = 0;
        while count < completions_max {
            let Some(delivery) = self.with(State::reap_one) else {
                break;
            };
            if let Payload::Provided(buffer) = &delivery.completion.payload {
                let memory = &mut self.provided[usize::from(buffer.index)];
                memory.clear();
                memory.extend_from_slice(&delivery.bytes);
            }
            out.push(delivery.completion);
            count += 1;
        }
        count
    }

    fn enter(&mut self, wait: Wait) -> Result<(), Errno> {
        self.with(|state, kernel| {
            state.flush(kernel);
            let (now_ns, turn_ns) = (state.now_ns, state.config.turn_ns);
            state.rings[kernel.0].sleep(wait, now_ns, turn_ns);
        });
        Ok(())
    }

    fn in_flight(&self) -> usize {
        self.world.0.borrow().rings[self.id.0].ops.len()
    }

    fn lease(&mut self, bytes: usize) -> Option<LeaseMut> {
        self.arena.lend(bytes)
    }

    fn provided(&self, buffer: &ProvidedBuffer) -> &[u8] {
        &self.provided[usize::from(buffer.index)][..buffer.length as usize]
    }

    fn recycle(&mut self, buffer: ProvidedBuffer) {
        if let Some(memory) = self.provided.get_mut(usize::from(buffer.index)) {
            // Whoever reads it after this sees that it is not theirs any more.
            memory.fill(crate::POISON);
        }
        self.with(|state, kernel| {
            if !state.rings[kernel.0].recycle(&buffer) {
                let index = buffer.index;
                state
                    .violations
                    .push(Violation::StrayProvided { kernel, index });
            }
        });
    }

    fn provided_available(&self) -> (u32, u32) {
        let state = self.world.0.borrow();
        let free = state.rings[self.id.0].provided.free.len() as u32;
        (free, self.limits.provided_count)
    }

    fn acquire_pipe(&mut self) -> Option<Pipe> {
        let pipes_max = self.limits.pipes_max;
        self.alive(|state, kernel| {
            state.require(kernel, Capability::Splice)?;
            let pool = &mut state.rings[kernel.0].pipes;
            if pool.lent >= pipes_max {
                return Err(Errno::EMFILE);
            }
            pool.lent += 1;
            match pool.idle.pop() {
                Some(pipe) => Ok(pipe),
                None => state.open_pipe(kernel),
            }
        })
        .ok()
    }

    fn release_pipe(&mut self, pipe: Pipe, is_empty: bool) {
        self.with(|state, kernel| state.release_pipe(kernel, pipe, is_empty));
    }

    fn now_ns(&self) -> u64 {
        self.world.now_ns()
    }

    fn entropy(&mut self, out: &mut [u8]) {
        self.with(|state, kernel| state.rings[kernel.0].entropy.fill(out));
    }

    fn doorbell(&self) -> Arc<dyn Doorbell> {
        Arc::clone(&self.world.0.borrow().rings[self.id.0].bell) as Arc<dyn Doorbell>
    }

    fn send_now(
        &mut self,
        socket: &Descriptor,
        bytes: &[u8],
        _more_follows: bool,
    ) -> Result<usize, Errno> {
        self.alive(|state, kernel| state.send_now(kernel, socket, bytes))
    }

    fn splice_from_file(
        &mut self,
        file: &Descriptor,
        offset: u64,
        pipe: &Pipe,
        length: u32,
    ) -> Result<u32, Errno> {
        self.alive(|state, kernel| state.splice_from_file(kernel, file, offset, pipe, length))
    }

    fn splice_from_lease(&mut self, lease: &Lease, pipe: &Pipe) -> Result<u32, Errno> {
        self.alive(|state, kernel| state.splice_from_lease(kernel, lease, pipe))
    }

    fn splice_to_socket(
        &mut self,
        pipe: &Pipe,
        socket: &Descriptor,
        length: u32,
        _more_follows: bool,
    ) -> Result<u32, Errno> {
        self.alive(|state, kernel| state.splice_to_socket(kernel, pipe, socket, length))
    }

    fn splice_from_socket(
        &mut self,
        socket: &Descriptor,
        pipe: &Pipe,
        length: u32,
    ) -> Result<u32, Errno> {
        self.alive(|state, kernel| state.splice_from_socket(kernel, socket, pipe, length))
    }

    fn residency(&mut self, file: &Descriptor, offset: u64, length: u32) -> Residency {
        self.with(|state, kernel| state.residency(kernel, file, offset, length))
    }

    fn socket(&mut self, address: &Address) -> Result<Descriptor, Errno> {
        self.alive(|state, kernel| state.new_socket(kernel, address))
    }

    fn listen(&mut self, address: &Address, options: ListenOptions) -> Result<Descriptor, Errno> {
        self.alive(|state, kernel| state.listen(kernel, address, options))
    }

    fn adopt(&mut self, _descriptor: OwnedFd) -> Result<Descriptor, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn set_option(&mut self, socket: &Descriptor, option: SocketOption) -> Result<(), Errno> {
        self.alive(|state, _| state.set_option(socket, option))
    }

    fn local_address(&self, socket: &Descriptor) -> Result<Address, Errno> {
        self.alive(|state, _| state.local_address(socket))
    }

    fn peer_address(&self, socket: &Descriptor) -> Result<Address, Errno> {
        self.alive(|state, _| state.peer_address(socket))
    }

    fn peer_credentials(&self, socket: &Descriptor) -> Result<PeerCredentials, Errno> {
        self.alive(|state, _| state.peer_credentials(socket))
    }

    fn route(&self, socket: &Descriptor) -> Route {
        self.with(|state, _| state.route(socket))
    }

    fn socket_statistics(&self, socket: &Descriptor) -> Option<SocketStatistics> {
        self.with(|state, _| state.statistics(socket))
    }

    fn shutdown(&mut self, socket: &Descriptor, how: ShutdownHow) {
        self.with(|state, _| state.shutdown(socket, how));
    }

    fn reset(&mut self, socket: &Descriptor) {
        self.with(|state, _| state.reset(socket));
    }

    /// Lets virtual time pass for the whole world while it reaps; the other shards are not
    /// stepped meanwhile.
    fn teardown(&mut self, deadline_ns: u64) -> TeardownReport {
        let before = self.in_flight();
        self.with(|state, kernel| {
            let ops: Vec<OpId> = state.rings[kernel.0].ops.keys().copied().collect();
            for op in ops {
                state.orphan(kernel, op);
            }
            loop {
                // Orphans are swallowed: nothing comes out of here.
                while state.reap_one(kernel).is_some() {}
                let next = state.next_at_ns().filter(|&at_ns| at_ns <= deadline_ns);
                match next {
                    Some(at_ns) if !state.rings[kernel.0].ops.is_empty() => state.move_to(at_ns),
                    _ => break,
                }
            }
        });
        let leaked = self.in_flight();
        TeardownReport {
            reaped: before - leaked,
            leaked,
        }
    }
}

impl Drop for SimKernel {
    fn drop(&mut self) {
        // A dropped shard is never stepped again: the world must not wait for its wake-up. While
        // the world itself is being worked on (a panic), there is nobody left to mind.
        if let Ok(mut state) = self.world.0.try_borrow_mut() {
            state.rings[self.id.0].retire();
        }
    }
}
