//! Moves references through pipes, and resolves them where bytes are copied.

use bytes::Bytes;
use ringway_io::{Capability, Descriptor, Errno, Lease, LeaseLocation, Pipe};

use crate::attempt::reference;
use crate::disk::DiskCall;
use crate::object::number;
use crate::pipe::PipeState;
use crate::queue::{ByteQueue, Chunk, Source};
use crate::state::State;
use crate::{HostId, KernelId, POISON, Violation};

impl State {
    /// The bytes of a queue, as whoever copies them now sees them.
    pub(crate) fn resolve(&mut self, queue: ByteQueue) -> Bytes {
        queue.resolve(|chunk| self.resolve_chunk(chunk))
    }

    pub(crate) fn resolve_chunk(&mut self, chunk: Chunk) -> Bytes {
        match chunk.source {
            Source::Copied => chunk.bytes,
            Source::Lease { location, .. } => self.resolve_lease(location, chunk.bytes),
            Source::File { host, node, offset } => {
                self.resolve_file(host, node, offset, &chunk.bytes)
            }
        }
    }

    /// The bytes of a lease, or poison when it is nobody's any more.
    fn resolve_lease(&mut self, location: LeaseLocation, bytes: Bytes) -> Bytes {
        let arena = self
            .rings
            .get(location.arena as usize)
            .map(|ring| &ring.arena);
        if arena.is_some_and(|arena| arena.is_held(location)) {
            return bytes;
        }
        self.violations.push(Violation::Poisoned {
            at_ns: self.now_ns,
            location,
            bytes: bytes.len(),
        });
        Bytes::from(vec![POISON; bytes.len()])
    }

    /// What a file holds now. Pages that were cut off meanwhile keep what they held.
    fn resolve_file(&self, host: HostId, node: u64, offset: u64, before: &Bytes) -> Bytes {
        let mut now = before.to_vec();
        self.hosts[host.0].disk.peek(node, offset, &mut now);
        Bytes::from(now)
    }

    /// A reference to a range of a file.
    pub(crate) fn file_reference(
        &self,
        host: HostId,
        node: u64,
        offset: u64,
        length: usize,
    ) -> Chunk {
        let mut bytes = vec![0; length];
        let count = self.hosts[host.0].disk.peek(node, offset, &mut bytes);
        bytes.truncate(count);
        Chunk {
            bytes: Bytes::from(bytes),
            source: Source::File { host, node, offset },
        }
    }

    pub(crate) fn pipe_state(&mut self, pipe: &Descriptor) -> Result<&mut PipeState, Errno> {
        let id = self.pipe_of(pipe)?;
        self.pipes.get_mut(&id).ok_or(Errno::EBADF)
    }

    /// Marks what waits on either end of a pipe.
    pub(crate) fn touch_pipe(&mut self, pipe: &Descriptor) {
        if let Ok(state) = self.pipe_state(pipe) {
            let ends = state.ends;
            self.dirty.extend(ends.into_iter().flatten());
        }
    }

    /// Puts what fits into a pipe; `EAGAIN` when nothing does.
    pub(crate) fn fill_pipe(
        &mut self,
        pipe: &Descriptor,
        source: &mut ByteQueue,
        length: usize,
    ) -> Result<u32, Errno> {
        let state = self.pipe_state(pipe)?;
        if state.is_full() {
            return Err(Errno::EAGAIN);
        }
        let count = state.fill_from(source, length);
        self.touch_pipe(pipe);
        Ok(count as u32)
    }

    pub(crate) fn has(&self, kernel: KernelId, capability: Capability) -> bool {
        self.rings[kernel.0].capabilities.has(capability)
    }

    /// `EOPNOTSUPP` without a capability.
    pub(crate) fn require(&self, kernel: KernelId, capability: Capability) -> Result<(), Errno> {
        if self.has(kernel, capability) {
            Ok(())
        } else {
            Err(Errno::EOPNOTSUPP)
        }
    }

    pub(crate) fn splice_from_file(
        &mut self,
        kernel: KernelId,
        file: &Descriptor,
        offset: u64,
        pipe: &Pipe,
        length: u32,
    ) -> Result<u32, Errno> {
        self.require(kernel, Capability::Splice)?;
        let open = self.file_of(file)?;
        let disk = &self.hosts[open.host.0].disk;
        if !disk.is_resident(open.node, offset, u64::from(length)) {
            self.violations.push(Violation::BlockingSplice {
                kernel,
                descriptor: number(file)?,
                offset,
            });
        }
        self.splice_file_range(file, offset, &pipe.write, length)
    }

    /// Puts a range of a file into a pipe.
    pub(crate) fn splice_file_range(
        &mut self,
        file: &Descriptor,
        offset: u64,
        pipe: &Descriptor,
        length: u32,
    ) -> Result<u32, Errno> {
        let open = self.file_of(file)?;
        if !open.read {
            return Err(Errno::EBADF);
        }
        let disk = &self.hosts[open.host.0].disk;
        disk.check(open.node, DiskCall::Read)?;
        let capacity = self.pipe_state(pipe)?.capacity();
        let length = capacity.min(length as usize);
        let chunk = self.file_reference(open.host, open.node, offset, length);
        if chunk.bytes.is_empty() {
            return Ok(0);
        }
        let moved = self.fill_pipe(pipe, &mut ByteQueue::of(chunk), length)?;
        let disk = &mut self.hosts[open.host.0].disk;
        disk.make_resident(open.node, offset, u64::from(moved));
        Ok(moved)
    }

    pub(crate) fn splice_from_lease(
        &mut self,
        kernel: KernelId,
        lease: &Lease,
        pipe: &Pipe,
    ) -> Result<u32, Errno> {
        self.require(kernel, Capability::Splice)?;
        self.require(kernel, Capability::ArenaSplice)?;
        if lease.location().arena != kernel.0 as u64 {
            // Another shard's memory has no place in this one's.
            return Err(Errno::EOPNOTSUPP);
        }
        let mut source = ByteQueue::of(reference(lease, false));
        self.fill_pipe(&pipe.write, &mut source, lease.len())
    }

    pub(crate) fn splice_to_socket(
        &mut self,
        kernel: KernelId,
        pipe: &Pipe,
        socket: &Descriptor,
        length: u32,
    ) -> Result<u32, Errno> {
        self.require(kernel, Capability::Splice)?;
        let (connection, end) = self.socket_of(socket)?;
        self.note_overlap(kernel, number(socket)?, true);
        let room = self.room(connection, end)?;
        let state = self.pipe_state(&pipe.read)?;
        if state.is_empty() {
            return Err(Errno::EAGAIN);
        }
        let mut source = state.take(room.min(length as usize));
        let result = self.put_bytes(connection, end, &mut source);
        // A short one leaves the rest where it was.
        self.pipe_state(&pipe.read)?.put_back(source);
        self.touch_pipe(&pipe.read);
        result.map(|count| count as u32)
    }

    pub(crate) fn splice_from_socket(
        &mut self,
        kernel: KernelId,
        socket: &Descriptor,
        pipe: &Pipe,
        length: u32,
    ) -> Result<u32, Errno> {
        self.require(kernel, Capability::Splice)?;
        let (connection, end) = self.socket_of(socket)?;
        self.note_overlap(kernel, number(socket)?, false);
        let pipe_id = self.pipe_of(&pipe.write)?;
        let state = self.pipes.get(&pipe_id).ok_or(Errno::EBADF)?;
        if state.is_full() {
            return Err(Errno::EAGAIN);
        }
        let received = self.network.direction(connection, 1 - end);
        let fits = received.map_or(0, |way| state.fits(&way.received, length as usize));
        // With nothing there, `take_bytes` tells an error or an end from nothing yet.
        let mut source = self.take_bytes(connection, end, fits.max(1))?;
        if source.is_empty() {
            return Ok(0);
        }
        self.fill_pipe(&pipe.write, &mut source, usize::MAX)
    }
}
