//! Moves bytes from one end of a connection to the other through virtual time.

use std::collections::BTreeMap;

use ringway_io::{Errno, OpId, Readiness, Route};

use crate::config::LinkConfig;
use crate::connection::{Connection, Direction, End, Finish, Link, Segment};
use crate::events::Event;
use crate::fault::FaultKind;
use crate::queue::{ByteQueue, Chunk, Source};
use crate::state::State;
use crate::{HostId, KernelId};

/// All connections and links of a world.
#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) connections: BTreeMap<u64, Connection>,
    pub(crate) connection_next: u64,
    /// By sending and receiving host; made when first needed.
    pub(crate) links: BTreeMap<(HostId, HostId), Link>,
}

impl Network {
    pub(crate) fn end(&self, connection: u64, end: usize) -> Option<&End> {
        self.connections.get(&connection).map(|it| &it.ends[end])
    }

    pub(crate) fn end_mut(&mut self, connection: u64, end: usize) -> Option<&mut End> {
        self.connections
            .get_mut(&connection)
            .map(|it| &mut it.ends[end])
    }

    pub(crate) fn direction(&mut self, connection: u64, from: usize) -> Option<&mut Direction> {
        self.connections
            .get_mut(&connection)
            .map(|it| &mut it.directions[from])
    }

    pub(crate) fn readiness(&self, connection: u64, end: usize, readiness: Readiness) -> u32 {
        self.connections
            .get(&connection)
            .map_or(0, |it| it.readiness(end, readiness))
    }
}

impl State {
    /// The link between two hosts, one way.
    pub(crate) fn link(&mut self, from: HostId, to: HostId) -> &mut Link {
        let config = if from == to {
            self.config.loopback
        } else {
            self.config.link
        };
        let links = &mut self.network.links;
        links.entry((from, to)).or_insert_with(|| Link::new(config))
    }

    /// How the link of a direction is configured.
    pub(crate) fn link_config(&self, connection: u64, direction: usize) -> LinkConfig {
        let Some(it) = self.network.connections.get(&connection) else {
            return self.config.link;
        };
        if it.is_unix {
            return LinkConfig::UNIX;
        }
        let (from, to) = (it.ends[direction].host, it.ends[1 - direction].host);
        let link = self.network.links.get(&(from, to));
        match link {
            Some(link) => link.config,
            None if from == to => self.config.loopback,
            None => self.config.link,
        }
    }

    /// What kind of way a connection takes.
    pub(crate) fn route_of(&self, connection: u64) -> Route {
        self.link_config(connection, 0).route
    }

    /// Marks what waits on an end's descriptor.
    pub(crate) fn touch_end(&mut self, connection: u64, end: usize) {
        if let Some(object) = self.network.end(connection, end).and_then(|it| it.object) {
            self.dirty.insert(object);
        }
    }

    /// Transmits what window, link and cuts allow.
    pub(crate) fn pump(&mut self, connection: u64, direction: usize) {
        if self.is_blocked(connection, direction) {
            return;
        }
        let segment_bytes_max = self.link_config(connection, direction).segment_bytes_max;
        loop {
            let Some(way) = self.network.direction(connection, direction) else {
                return;
            };
            let count = way.transmittable(segment_bytes_max);
            if count == 0 {
                break;
            }
            let bytes = way.send_queue.take(count);
            way.transmitted += count as u64;
            way.unacked += count;
            way.flight_bytes += count;
            self.transmit(connection, direction, Segment::Bytes(bytes));
        }
        let way = self.network.direction(connection, direction);
        if let Some(way) = way.filter(|way| way.may_finish()) {
            way.finish = Finish::Sent;
            self.transmit(connection, direction, Segment::Finish);
        }
    }

    /// Whether nothing can be transmitted now. A black hole swallows what it is given.
    fn is_blocked(&mut self, connection: u64, direction: usize) -> bool {
        let Some(it) = self.network.connections.get_mut(&connection) else {
            return true;
        };
        if it.is_black_hole {
            let way = &mut it.directions[direction];
            let lost = way.send_queue.len();
            way.send_queue.clear();
            way.transmitted += lost as u64;
            way.unacked += lost;
            return true;
        }
        if it.is_unix {
            return false;
        }
        let (from, to) = (it.ends[direction].host, it.ends[1 - direction].host);
        self.link(from, to).is_down
    }

    /// Puts one segment on the link.
    pub(crate) fn transmit(&mut self, connection: u64, direction: usize, segment: Segment) {
        let now_ns = self.now_ns;
        let config = self.link_config(connection, direction);
        let jitter = self
            .random
            .network
            .below(config.jitter_ns_max.saturating_add(1));
        let Some(it) = self.network.connections.get(&connection) else {
            return;
        };
        if it.is_black_hole {
            return;
        }
        let bytes = match &segment {
            Segment::Bytes(bytes) => bytes.len(),
            Segment::Finish | Segment::Reset => 0,
        };
        let left_ns = if it.is_unix {
            now_ns
        } else {
            let (from, to) = (it.ends[direction].host, it.ends[1 - direction].host);
            self.link(from, to).occupy(now_ns, bytes)
        };
        let Some(way) = self.network.direction(connection, direction) else {
            return;
        };
        let at_ns = (left_ns + config.delay_ns + jitter).max(way.last_arrival_ns);
        way.last_arrival_ns = at_ns;
        way.flight.push_back(segment);
        self.events.schedule(
            at_ns,
            Event::Arrive {
                connection,
                direction,
            },
        );
    }

    /// The oldest segment of a direction reaches its receiver.
    pub(crate) fn on_arrive(&mut self, connection: u64, direction: usize) {
        let Some(it) = self.network.connections.get_mut(&connection) else {
            return;
        };
        let Some(segment) = it.directions[direction].flight.pop_front() else {
            return;
        };
        let receiver = &it.ends[1 - direction];
        let (is_dead, is_closed) = (receiver.is_dead, receiver.is_closed);
        match segment {
            Segment::Bytes(bytes) => {
                it.directions[direction].flight_bytes -= bytes.len();
                if is_dead {
                    return;
                }
                if is_closed {
                    return self.refuse_bytes(connection, direction);
                }
                self.on_bytes(connection, direction, bytes);
            }
            Segment::Finish if !is_dead => {
                it.directions[direction].finish = Finish::Arrived;
                self.trace_network(connection, direction, "finish", 0);
                self.touch_end(connection, 1 - direction);
            }
            Segment::Reset if !is_dead => self.on_reset(connection, direction),
            Segment::Finish | Segment::Reset => {}
        }
    }

    /// Bytes for an end that is closed: the sender is told with a reset.
    fn refuse_bytes(&mut self, connection: u64, direction: usize) {
        if let Some(receiver) = self.network.end_mut(connection, 1 - direction) {
            receiver.is_dead = true;
        }
        self.transmit(connection, 1 - direction, Segment::Reset);
    }

    fn on_bytes(&mut self, connection: u64, direction: usize, bytes: ByteQueue) {
        let count = bytes.len();
        let config = self.link_config(connection, direction);
        let bytes = self.copy_on_arrival(bytes, config.route == Route::Device);
        let Some(way) = self.network.direction(connection, direction) else {
            return;
        };
        way.arrived += count as u64;
        way.received.append(bytes);
        self.tally.bytes_moved += count as u64;
        self.trace_network(connection, direction, "bytes", count);
        self.events.schedule(
            self.now_ns + config.delay_ns,
            Event::Acked {
                connection,
                direction,
                bytes: count,
            },
        );
        self.touch_end(connection, 1 - direction);
        self.cut_when_reached(connection, direction);
    }

    /// Copies the references that do not outlive their arrival.
    fn copy_on_arrival(&mut self, bytes: ByteQueue, all: bool) -> ByteQueue {
        bytes.map(|chunk| {
            let copies = match chunk.source {
                Source::Copied => false,
                Source::Lease {
                    copied_on_arrival, ..
                } => all || copied_on_arrival,
                Source::File { .. } => all,
            };
            if copies {
                Chunk::copied(self.resolve_chunk(chunk))
            } else {
                chunk
            }
        })
    }

    fn on_reset(&mut self, connection: u64, direction: usize) {
        self.trace_network(connection, direction, "reset", 0);
        let end = 1 - direction;
        if let Some(it) = self.network.connections.get_mut(&connection) {
            // What had arrived stays readable: tried on the real kernel.
            it.ends[end].kill(Errno::ECONNRESET);
            it.directions[end].purge_unsent();
        }
        self.release_pinned(connection, end);
        self.touch_end(connection, end);
        self.forget_if_closed(connection);
    }

    /// The sender learns that bytes arrived.
    pub(crate) fn on_acked(&mut self, connection: u64, direction: usize, bytes: usize) {
        let Some(it) = self.network.connections.get_mut(&connection) else {
            return;
        };
        if it.is_black_hole || it.ends[direction].is_dead {
            return;
        }
        let way = &mut it.directions[direction];
        way.unacked = way.unacked.saturating_sub(bytes);
        way.acked += bytes as u64;
        self.notify_acked(connection, direction);
        self.touch_end(connection, direction);
    }

    /// Notifications of zero-copy sends that are acknowledged now.
    fn notify_acked(&mut self, connection: u64, direction: usize) {
        let Some(way) = self.network.direction(connection, direction) else {
            return;
        };
        let acked = way.acked;
        let is_due =
            |pinned: &crate::connection::Pinned| !pinned.held && pinned.end_offset <= acked;
        let (due, kept): (Vec<_>, Vec<_>) = way.pinned.drain(..).partition(is_due);
        way.pinned = kept.into();
        for pinned in due {
            self.notify_later(pinned.kernel, pinned.op, self.now_ns);
        }
    }

    /// The connection is over: nothing refers to the memory of its zero-copy sends for long.
    pub(crate) fn release_pinned(&mut self, connection: u64, direction: usize) {
        let Some(way) = self.network.direction(connection, direction) else {
            return;
        };
        let from_ns = way.last_arrival_ns.max(self.now_ns);
        for pinned in std::mem::take(&mut way.pinned) {
            self.notify_later(pinned.kernel, pinned.op, from_ns);
        }
    }

    pub(crate) fn notify_later(&mut self, kernel: KernelId, op: OpId, from_ns: u64) {
        let delay_ns_max = self.config.faults.notification_delay_ns_max;
        let delay_ns = self.random.faults.below(delay_ns_max.saturating_add(1));
        self.tally
            .add(FaultKind::NotificationLate, u64::from(delay_ns > 0));
        self.events
            .schedule(from_ns + delay_ns, Event::Notify { kernel, op });
    }

    /// The sender learns that the receiver made room.
    pub(crate) fn on_window_open(&mut self, connection: u64, direction: usize, bytes: usize) {
        if let Some(way) = self.network.direction(connection, direction) {
            way.unannounced = way.unannounced.saturating_sub(bytes);
            self.pump(connection, direction);
            self.touch_end(connection, direction);
        }
    }

    /// Unacknowledged bytes that did not move for the user timeout kill the connection.
    pub(crate) fn on_user_timeout(&mut self, connection: u64, end: usize, acked: u64) {
        let Some(it) = self.network.connections.get_mut(&connection) else {
            return;
        };
        it.ends[end].user_timer_armed = false;
        let way = &mut it.directions[end];
        let is_idle = way.unacked + way.send_queue.len() == 0;
        // The option may have been taken back meanwhile.
        let is_off = it.ends[end].user_timeout_ms == 0;
        if is_idle || is_off || it.ends[end].is_dead {
            return;
        }
        if way.acked != acked {
            return self.arm_user_timeout(connection, end);
        }
        it.ends[end].kill(Errno::ETIMEDOUT);
        way.purge_unsent();
        self.release_pinned(connection, end);
        self.touch_end(connection, end);
    }

    pub(crate) fn arm_user_timeout(&mut self, connection: u64, end: usize) {
        let Some(it) = self.network.connections.get_mut(&connection) else {
            return;
        };
        let acked = it.directions[end].acked;
        let this = &mut it.ends[end];
        if this.user_timeout_ms == 0 || this.user_timer_armed {
            return;
        }
        this.user_timer_armed = true;
        let at_ns = self.now_ns + u64::from(this.user_timeout_ms) * 1_000_000;
        self.events.schedule(
            at_ns,
            Event::UserTimeout {
                connection,
                end,
                acked,
            },
        );
    }

    pub(crate) fn trace_network(
        &mut self,
        connection: u64,
        direction: usize,
        what: &str,
        count: usize,
    ) {
        self.trace.record(
            self.now_ns,
            format_args!("c{connection}.{direction} {what} {count}"),
        );
    }
}
