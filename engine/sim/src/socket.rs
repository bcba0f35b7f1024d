//! What can be done with a socket at once: put bytes in, take bytes out, ask and set.

use ringway_io::{
    Address, Descriptor, Errno, PeerCredentials, Route, ShutdownHow, SocketOption, SocketStatistics,
};

use crate::KernelId;
use crate::config::ShortIo;
use crate::events::Event;
use crate::fault::FaultKind;
use crate::object::{Object, number};
use crate::queue::ByteQueue;
use crate::state::State;

impl State {
    /// What a socket takes now.
    ///
    /// # Errors
    /// The pending error, `EPIPE` when it is shut, `EAGAIN` when it takes nothing.
    pub(crate) fn room(&mut self, connection: u64, end: usize) -> Result<usize, Errno> {
        let it = self.network.connections.get_mut(&connection);
        let it = it.ok_or(Errno::EBADF)?;
        if let Some(error) = it.ends[end].error.take() {
            return Err(error);
        }
        if it.ends[end].write_shut {
            return Err(Errno::EPIPE);
        }
        match it.directions[end].space() {
            0 => Err(Errno::EAGAIN),
            space => Ok(space),
        }
    }

    /// Puts bytes into a socket; returns how many it took.
    pub(crate) fn put_bytes(
        &mut self,
        connection: u64,
        end: usize,
        source: &mut ByteQueue,
    ) -> Result<usize, Errno> {
        self.break_by_chance(connection);
        let room = self.room(connection, end)?;
        let Some(way) = self.network.direction(connection, end) else {
            return Err(Errno::EBADF);
        };
        let offset = way.taken;
        let count = self.shorten(offset, room.min(source.len()));
        if let Some(way) = self.network.direction(connection, end) {
            way.taken += count as u64;
            way.send_queue.append(source.take(count));
        }
        self.pump(connection, end);
        self.arm_user_timeout(connection, end);
        Ok(count)
    }

    /// Takes at most `bytes_max` bytes out of a socket; none at the peer's end.
    pub(crate) fn take_bytes(
        &mut self,
        connection: u64,
        end: usize,
        bytes_max: usize,
    ) -> Result<ByteQueue, Errno> {
        let it = self.network.connections.get_mut(&connection);
        let it = it.ok_or(Errno::EBADF)?;
        let waiting = it.incoming(end).received.len();
        if waiting == 0 {
            return match it.ends[end].error.take() {
                Some(error) => Err(error),
                None if it.is_at_end(end) || bytes_max == 0 => Ok(ByteQueue::default()),
                None => Err(Errno::EAGAIN),
            };
        }
        self.break_by_chance(connection);
        let Some(way) = self.network.direction(connection, 1 - end) else {
            return Err(Errno::EBADF);
        };
        let offset = way.read;
        let count = self.shorten(offset, waiting.min(bytes_max));
        Ok(self.read_out(connection, end, count))
    }

    /// Resets a connection that was fine, as drawn.
    fn break_by_chance(&mut self, connection: u64) {
        let per_mille = self.config.faults.broken_per_mille;
        if self.fault(FaultKind::Broken, per_mille) {
            self.kill_both(connection);
        }
    }

    fn read_out(&mut self, connection: u64, end: usize, count: usize) -> ByteQueue {
        let direction = 1 - end;
        let delay_ns = self.link_config(connection, end).delay_ns;
        let Some(way) = self.network.direction(connection, direction) else {
            return ByteQueue::default();
        };
        way.read += count as u64;
        way.unannounced += count;
        let taken = way.received.take(count);
        self.events.schedule(
            self.now_ns + delay_ns,
            Event::WindowOpen {
                connection,
                direction,
                bytes: count,
            },
        );
        taken
    }

    /// Where an I/O of `count` bytes at `offset` of its direction ends.
    fn shorten(&mut self, offset: u64, count: usize) -> usize {
        match self.config.faults.short_io {
            ShortIo::Never => count,
            ShortIo::At(split) => {
                let before = usize::try_from(split.saturating_sub(offset)).unwrap_or(usize::MAX);
                if before == 0 {
                    count
                } else {
                    let is_short = before < count;
                    self.tally.add(FaultKind::ShortIo, u64::from(is_short));
                    count.min(before)
                }
            }
            ShortIo::Seeded(per_mille) => {
                if count > 1 && self.fault(FaultKind::ShortIo, per_mille) {
                    self.random.faults.between(1, count as u64 - 1) as usize
                } else {
                    count
                }
            }
        }
    }

    /// Leaves an error for the next call, after a result that counted more.
    pub(crate) fn put_error_back(&mut self, socket: &Descriptor, error: Errno) {
        if let Ok((connection, end)) = self.socket_of(socket)
            && let Some(it) = self.network.end_mut(connection, end)
        {
            it.error = Some(error);
        }
    }

    pub(crate) fn send_now(
        &mut self,
        kernel: KernelId,
        socket: &Descriptor,
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        let (connection, end) = self.socket_of(socket)?;
        self.note_overlap(kernel, number(socket)?, true);
        let room = self.room(connection, end)?;
        let part = &bytes[..room.min(bytes.len())];
        let part = bytes::Bytes::copy_from_slice(part);
        let mut source = ByteQueue::of(crate::queue::Chunk::copied(part));
        self.put_bytes(connection, end, &mut source)
    }

    pub(crate) fn new_socket(
        &mut self,
        kernel: KernelId,
        address: &Address,
    ) -> Result<Descriptor, Errno> {
        let socket = Object::Unconnected {
            is_unix: matches!(address, Address::Unix(_)),
            options: Vec::new(),
        };
        self.open_object(kernel, socket)
    }

    pub(crate) fn set_option(
        &mut self,
        socket: &Descriptor,
        option: SocketOption,
    ) -> Result<(), Errno> {
        let entry = self.objects.get_mut(&number(socket)?);
        match &mut entry.ok_or(Errno::EBADF)?.object {
            Object::Unconnected { options, .. } => options.push(option),
            Object::Listener(listener) => listener.options.push(option),
            Object::Socket { connection, end } => {
                let (connection, end) = (*connection, *end);
                self.apply_options(connection, end, &[option]);
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    pub(crate) fn apply_options(&mut self, connection: u64, end: usize, options: &[SocketOption]) {
        let Some(it) = self.network.connections.get_mut(&connection) else {
            return;
        };
        for &option in options {
            match option {
                SocketOption::SendBufferBytes(bytes) => {
                    it.directions[end].send_bound = bytes as usize;
                }
                SocketOption::ReceiveBufferBytes(bytes) => {
                    it.incoming(end).receive_bound = bytes as usize;
                }
                SocketOption::UserTimeoutMs(ms) => it.ends[end].user_timeout_ms = ms,
                SocketOption::ReceiveLowWatermarkBytes(bytes) => {
                    it.ends[end].receive_low = bytes as usize;
                }
                SocketOption::NoDelay(_) | SocketOption::CongestionControl(_) => {}
            }
        }
        // A larger window or a lower mark may let something go on.
        self.pump(connection, 1 - end);
        self.touch_end(connection, end);
    }

    pub(crate) fn local_address(&self, socket: &Descriptor) -> Result<Address, Errno> {
        if let Object::Listener(listener) = self.object(number(socket)?)? {
            return Ok(listener.address.clone());
        }
        let (connection, end) = self.socket_of(socket)?;
        self.address_of(connection, end)
    }

    pub(crate) fn peer_address(&self, socket: &Descriptor) -> Result<Address, Errno> {
        let (connection, end) = self.socket_of(socket)?;
        self.address_of(connection, 1 - end)
    }

    fn address_of(&self, connection: u64, end: usize) -> Result<Address, Errno> {
        let it = self.network.end(connection, end).ok_or(Errno::ENOTCONN)?;
        Ok(it.address.clone())
    }

    pub(crate) fn peer_credentials(&self, socket: &Descriptor) -> Result<PeerCredentials, Errno> {
        let object = number(socket)?;
        if let Object::Listener(listener) = self.object(object)?
            && matches!(listener.address, Address::Unix(_))
        {
            // Of whoever listens: tried on the real kernel (unix(7), SO_PEERCRED).
            let owner = self.objects.get(&object).ok_or(Errno::EBADF)?.owner;
            return Ok(PeerCredentials {
                pid: owner.0 as i32 + 1,
                uid: self.config.kernel.uid,
                gid: self.config.kernel.uid,
            });
        }
        let (connection, end) = self.socket_of(socket)?;
        if self.route_of(connection) != Route::Unix {
            return Err(Errno::EOPNOTSUPP);
        }
        let peer = self.network.end(connection, 1 - end);
        let peer = peer.ok_or(Errno::ENOTCONN)?;
        Ok(PeerCredentials {
            pid: peer.pid,
            uid: peer.uid,
            gid: peer.uid,
        })
    }

    pub(crate) fn route(&self, socket: &Descriptor) -> Route {
        self.socket_of(socket)
            .map_or(Route::Device, |(connection, _)| self.route_of(connection))
    }

    pub(crate) fn statistics(&self, socket: &Descriptor) -> Option<SocketStatistics> {
        let (connection, end) = self.socket_of(socket).ok()?;
        let it = self.network.connections.get(&connection)?;
        if it.is_unix {
            return None;
        }
        let way = &it.directions[end];
        // The dialer's SYN counts as a byte: tried on the real kernel.
        let handshake = u64::from(end == 0);
        Some(SocketStatistics {
            retransmits: 0,
            round_trip_ns: 2 * self.link_config(connection, end).delay_ns,
            bytes_acked: way.acked + handshake,
            bytes_received: it.directions[1 - end].acked,
            not_sent_bytes: way.send_queue.len() as u64,
        })
    }

    pub(crate) fn shutdown(&mut self, socket: &Descriptor, how: ShutdownHow) {
        if let Ok((connection, end)) = self.socket_of(socket) {
            self.shutdown_end(connection, end, how);
        }
    }

    pub(crate) fn reset(&mut self, socket: &Descriptor) {
        if let Ok((connection, end)) = self.socket_of(socket) {
            self.reset_end(connection, end);
        }
    }
}
