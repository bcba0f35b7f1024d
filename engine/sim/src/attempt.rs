//! What an op on a socket or pipe does when it is tried.

use bytes::Bytes;
use ringway_io::{
    BufferMut, BufferRef, Capability, Descriptor, Errno, Lease, Op, OpId, Payload, Readiness, Route,
};

use crate::KernelId;
use crate::connection::Pinned;
use crate::events::Event;
use crate::fault::FaultKind;
use crate::object::{Object, number};
use crate::op::{Outcome, partial, take_buffer};
use crate::queue::{ByteQueue, Chunk, Source};
use crate::ring::{Answer, Stage};
use crate::state::State;

/// How long a send that was cut short pauses before it goes on, at most, ns.
const PAUSE_NS_MAX: u64 = 20_000;

/// Buffers that one send takes.
const VECTORS_MAX: usize = 16;

impl State {
    /// Tries an op once.
    pub(crate) fn try_op(&mut self, kernel: KernelId, id: OpId, op: &mut Op) -> Outcome {
        match op {
            Op::Accept { listener } => self.try_accept(kernel, listener),
            Op::Receive { .. } => self.try_receive(kernel, id, op),
            Op::ReceiveMultishot { socket } => self.try_receive_multishot(kernel, socket),
            Op::Send { socket, buffer, .. } => {
                let slices = std::slice::from_ref(&*buffer);
                self.try_send(kernel, id, socket, slices)
            }
            Op::SendVectored { buffers, .. } if buffers.len() > VECTORS_MAX => {
                Outcome::Done(Answer::plain(Err(Errno::EINVAL)))
            }
            Op::SendVectored {
                socket, buffers, ..
            } => self.try_send(kernel, id, socket, buffers),
            Op::SendZeroCopy { socket, lease, .. } => {
                self.try_send_zero_copy(kernel, id, socket, lease)
            }
            Op::Poll {
                descriptor,
                readiness,
            } => self.try_poll(descriptor, *readiness),
            _ => Outcome::Done(Answer::plain(Err(Errno::EINVAL))),
        }
    }

    fn try_accept(&mut self, kernel: KernelId, listener: &Descriptor) -> Outcome {
        let accepted = match self.accept(kernel, listener) {
            Ok(accepted) => accepted,
            Err(Errno::EAGAIN) => return Outcome::Wait,
            Err(errno) => return Outcome::Done(Answer::plain(Err(errno))),
        };
        let answer = Answer::new(Ok(0), Payload::Descriptor(accepted));
        let goes_on = self.has(kernel, Capability::AcceptMultishot);
        if goes_on
            && !self.fault(
                FaultKind::MultishotEnd,
                self.config.faults.multishot_end_per_mille,
            )
        {
            Outcome::More(answer)
        } else {
            Outcome::Done(answer)
        }
    }

    fn try_receive(&mut self, kernel: KernelId, id: OpId, op: &mut Op) -> Outcome {
        let Op::Receive {
            socket,
            buffer,
            exact,
        } = op
        else {
            return Outcome::Wait;
        };
        let done = self.in_flight(kernel, id).map_or(0, |flight| flight.done);
        let socket = socket.clone();
        match self.receive_into(&socket, buffer, done) {
            Err(Errno::EAGAIN) => Outcome::Wait,
            Err(errno) => {
                let result = partial(done, errno);
                if done > 0 {
                    self.put_error_back(&socket, errno);
                }
                Outcome::Done(Answer::new(result, take_buffer(op)))
            }
            Ok(count) => {
                let done = done + count;
                let is_whole = done >= buffer.len() || count == 0;
                if *exact
                    && !is_whole
                    && !self.fault(
                        FaultKind::ExactShort,
                        self.config.faults.exact_short_per_mille,
                    )
                {
                    self.set_done(kernel, id, done);
                    return self.try_receive(kernel, id, op);
                }
                Outcome::Done(Answer::new(Ok(done as u32), take_buffer(op)))
            }
        }
    }

    /// Receives into `buffer` behind its first `done` bytes.
    fn receive_into(
        &mut self,
        socket: &Descriptor,
        buffer: &mut BufferMut,
        done: usize,
    ) -> Result<usize, Errno> {
        let (connection, end) = self.socket_of(socket)?;
        let queue = self.take_bytes(connection, end, buffer.len() - done)?;
        let bytes = self.resolve(queue);
        buffer.as_mut_slice()[done..done + bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn set_done(&mut self, kernel: KernelId, id: OpId, done: usize) {
        if let Some(flight) = self.in_flight(kernel, id) {
            flight.done = done;
        }
    }

    fn try_receive_multishot(&mut self, kernel: KernelId, socket: &Descriptor) -> Outcome {
        if self.rings[kernel.0].provided.free.is_empty() {
            self.tally.add(FaultKind::NoBuffers, 1);
            return Outcome::Done(Answer::plain(Err(Errno::ENOBUFS)));
        }
        let bytes_max = self.config.kernel.provided_bytes as usize;
        let received = self
            .socket_of(socket)
            .and_then(|(connection, end)| self.take_bytes(connection, end, bytes_max));
        match received {
            Err(Errno::EAGAIN) => Outcome::Wait,
            Err(errno) => Outcome::Done(Answer::plain(Err(errno))),
            Ok(queue) if queue.is_empty() => Outcome::Done(Answer::plain(Ok(0))),
            Ok(queue) => {
                let bytes = self.resolve(queue);
                // As the real one: piece by piece where the kernel cannot do better, and on Unix
                // sockets, whose multishot may lose the end.
                let goes_on = self.has(kernel, Capability::ReceiveMultishot)
                    && self.route(socket) != Route::Unix;
                self.provide(kernel, bytes, goes_on)
            }
        }
    }

    /// Puts received bytes into a provided buffer.
    fn provide(&mut self, kernel: KernelId, bytes: Bytes, goes_on: bool) -> Outcome {
        let length = bytes.len();
        let Some((buffer, was_last)) = self.rings[kernel.0].take_provided(length) else {
            return Outcome::Done(Answer::plain(Err(Errno::ENOBUFS)));
        };
        let answer = Answer {
            result: Ok(length as u32),
            payload: Payload::Provided(buffer),
            bytes,
        };
        let faults = self.config.faults;
        let ends = !goes_on
            || (was_last && self.fault(FaultKind::SilentEnd, faults.silent_end_per_mille))
            || self.fault(FaultKind::MultishotEnd, faults.multishot_end_per_mille);
        if ends {
            Outcome::Done(answer)
        } else {
            Outcome::More(answer)
        }
    }

    fn try_send(
        &mut self,
        kernel: KernelId,
        id: OpId,
        socket: &Descriptor,
        buffers: &[BufferRef],
    ) -> Outcome {
        let total: usize = buffers.iter().map(BufferRef::len).sum();
        let done = self.in_flight(kernel, id).map_or(0, |flight| flight.done);
        let result = self.socket_of(socket).and_then(|(connection, end)| {
            let room = self.room(connection, end)?;
            let mut source = copied(buffers, done, room);
            self.put_bytes(connection, end, &mut source)
        });
        self.after_piece(kernel, id, socket, result, done, total, |_, result| {
            Outcome::Done(Answer::plain(result))
        })
    }

    /// Goes on, pauses or ends after a piece of a send was taken or refused.
    #[expect(
        clippy::too_many_arguments,
        reason = "the state of one send, used twice"
    )]
    fn after_piece(
        &mut self,
        kernel: KernelId,
        id: OpId,
        socket: &Descriptor,
        piece: Result<usize, Errno>,
        done: usize,
        total: usize,
        end: impl FnOnce(&mut Self, Result<u32, Errno>) -> Outcome,
    ) -> Outcome {
        match piece {
            Err(Errno::EAGAIN) => Outcome::Wait,
            Err(errno) => end(self, partial(done, errno)),
            Ok(count) if done + count >= total => {
                self.set_done(kernel, id, total);
                end(self, Ok(total as u32))
            }
            Ok(count) => {
                self.set_done(kernel, id, done + count);
                self.nudge_later(socket);
                Outcome::Wait
            }
        }
    }

    /// Tries what waits on a socket again after a drawn pause.
    fn nudge_later(&mut self, socket: &Descriptor) {
        if let Ok(object) = number(socket) {
            let at_ns = self.now_ns + self.random.faults.below(PAUSE_NS_MAX);
            self.events.schedule(at_ns, Event::Nudge { object });
        }
    }

    fn try_send_zero_copy(
        &mut self,
        kernel: KernelId,
        id: OpId,
        socket: &Descriptor,
        lease: &Lease,
    ) -> Outcome {
        let done = self.in_flight(kernel, id).map_or(0, |flight| flight.done);
        let result = self.zero_copy_way(kernel, socket).and_then(|way| {
            let room = self.room(way.0, way.1)?;
            let part = lease.slice(done..lease.len().min(done + room));
            let mut source = ByteQueue::of(reference(&part, true));
            self.put_bytes(way.0, way.1, &mut source)
        });
        let total = lease.len();
        self.after_piece(kernel, id, socket, result, done, total, |state, result| {
            state.settle_zero_copy(kernel, id, result)
        })
    }

    /// The socket of a zero-copy send, if it can do such.
    fn zero_copy_way(&self, kernel: KernelId, socket: &Descriptor) -> Result<(u64, usize), Errno> {
        let (connection, end) = self.socket_of(socket)?;
        let is_capable = self.has(kernel, Capability::SendZeroCopy);
        if !is_capable || self.route_of(connection) == Route::Unix {
            return Err(Errno::EOPNOTSUPP);
        }
        Ok((connection, end))
    }

    /// The first completion of a zero-copy send, and what becomes of its memory.
    pub(crate) fn settle_zero_copy(
        &mut self,
        kernel: KernelId,
        id: OpId,
        result: Result<u32, Errno>,
    ) -> Outcome {
        let answer = Answer::plain(result);
        if result.is_err() {
            if !self.fault(
                FaultKind::FailedSendNotified,
                self.config.faults.failed_send_notifies_per_mille,
            ) {
                return Outcome::Done(answer);
            }
            self.notify_later(kernel, id, self.now_ns);
            return Outcome::Taken(answer);
        }
        self.pin(kernel, id);
        Outcome::Taken(answer)
    }

    /// Remembers that what was taken last refers to the memory of an op.
    fn pin(&mut self, kernel: KernelId, id: OpId) {
        let socket = match self.stage(kernel, id) {
            Some(Stage::Waiting(object)) => self.socket_at(object),
            _ => Err(Errno::EBADF),
        };
        let held = self.fault(
            FaultKind::NotificationHeld,
            self.config.faults.notification_held_per_mille,
        );
        let Ok((connection, end)) = socket else {
            return self.notify_later(kernel, id, self.now_ns);
        };
        let is_dead = self
            .network
            .end(connection, end)
            .is_none_or(|end| end.is_dead);
        let Some(direction) = self.network.direction(connection, end) else {
            return self.notify_later(kernel, id, self.now_ns);
        };
        if is_dead || direction.acked >= direction.taken {
            return self.notify_later(kernel, id, self.now_ns);
        }
        let end_offset = direction.taken;
        direction.pinned.push_back(Pinned {
            end_offset,
            kernel,
            op: id,
            held,
        });
    }

    /// Whether the kernel copied a zero-copy send after all, as it would report it.
    pub(crate) fn draw_copied(&mut self, kernel: KernelId, id: OpId) -> Option<bool> {
        let reports = self.has(kernel, Capability::ZeroCopyReport);
        let Some(Op::SendZeroCopy { socket, .. }) = self.op(kernel, id) else {
            return None;
        };
        let route = self
            .socket_of(socket)
            .map(|(connection, _)| self.route_of(connection));
        let copied = match route {
            Ok(Route::Device) => self.fault(
                FaultKind::DeviceCopied,
                self.config.faults.device_copies_per_mille,
            ),
            _ => true,
        };
        reports.then_some(copied)
    }

    fn try_poll(&mut self, descriptor: &Descriptor, readiness: Readiness) -> Outcome {
        let mask = number(descriptor).and_then(|object| self.poll_mask(object, readiness));
        match mask {
            Ok(0)
                if self.fault(
                    FaultKind::SpuriousPoll,
                    self.config.faults.spurious_poll_per_mille,
                ) =>
            {
                Outcome::Done(Answer::plain(Ok(0)))
            }
            Ok(0) => Outcome::Wait,
            mask => Outcome::Done(Answer::plain(mask)),
        }
    }

    fn poll_mask(&self, object: u64, readiness: Readiness) -> Result<u32, Errno> {
        const POLLIN: u32 = 1;
        const POLLOUT: u32 = 4;
        let pipe = |pipe: &u64| self.pipes.get(pipe);
        Ok(match self.object(object)? {
            Object::Socket { connection, end } => {
                self.network.readiness(*connection, *end, readiness)
            }
            Object::Listener(listener) if !listener.pending.is_empty() => POLLIN,
            Object::PipeRead(id) if pipe(id).is_some_and(|pipe| !pipe.is_empty()) => POLLIN,
            Object::PipeWrite(id) if pipe(id).is_some_and(|pipe| !pipe.is_full()) => POLLOUT,
            Object::File(_) => POLLIN | POLLOUT,
            _ => 0,
        })
    }
}

/// A copy of the bytes of `buffers` from `skip` on, at most `bytes_max`.
fn copied(buffers: &[BufferRef], mut skip: usize, mut bytes_max: usize) -> ByteQueue {
    let mut queue = ByteQueue::default();
    for buffer in buffers {
        let start = skip.min(buffer.len());
        skip -= start;
        let end = buffer.len().min(start.saturating_add(bytes_max));
        bytes_max -= end - start;
        let bytes = match buffer {
            BufferRef::Bytes(bytes) => bytes.slice(start..end),
            BufferRef::Lease(lease) => Bytes::copy_from_slice(&lease[start..end]),
        };
        queue.push(Chunk::copied(bytes));
    }
    queue
}

/// A reference to a lease, with what it holds now.
pub(crate) fn reference(lease: &Lease, copied_on_arrival: bool) -> Chunk {
    Chunk {
        bytes: Bytes::copy_from_slice(lease),
        source: Source::Lease {
            location: lease.location(),
            copied_on_arrival,
        },
    }
}
