//! How connections end: closed, reset, or cut by the test.

use ringway_io::{Address, Errno, ShutdownHow};

use crate::HostId;
use crate::connection::{Connection, Finish, Segment};
use crate::events::Event;
use crate::fault::FaultKind;
use crate::state::State;

/// Names a connection of a world; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub(crate) u64);

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The end that dialled.
    Dialer,
    /// The end that accepted.
    Acceptor,
}

impl Side {
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Dialer => 0,
            Self::Acceptor => 1,
        }
    }
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutKind {
    /// Both ends see a reset now; what has arrived stays readable.
    Reset,
    /// One end sees a reset, the other sees nothing: half-open.
    ResetAt(Side),
    /// Nothing passes any more and nobody is told.
    BlackHole,
    /// What one end sends from now on comes so much later, ns, and after half of that time this end
    /// sees a timeout while nothing is taken back: its next connection may overtake what it sent.
    Late(Side, u64),
}

/// Which connection a cut waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutTarget {
    /// This one.
    Connection(ConnectionId),
    /// The next that is established; several such wait for several connections.
    Next,
}

/// A cut that waits for its byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CutAt {
    pub(crate) from: Side,
    pub(crate) offset: u64,
    pub(crate) kind: CutKind,
}

/// A connection as a test sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionView {
    /// Its name.
    pub id: ConnectionId,
    /// Host of the dialer, host of the acceptor.
    pub hosts: [HostId; 2],
    /// Address of the dialer, address of the acceptor.
    pub addresses: [Address; 2],
    /// Bytes that arrived from the dialer, from the acceptor.
    pub arrived: [u64; 2],
    /// Bytes that were read of those from the dialer, from the acceptor.
    pub read: [u64; 2],
    /// Both ends believe that it stands.
    pub is_established: bool,
}

impl ConnectionView {
    pub(crate) fn new(id: u64, connection: &Connection) -> Self {
        let ends = &connection.ends;
        let directions = &connection.directions;
        Self {
            id: ConnectionId(id),
            hosts: [ends[0].host, ends[1].host],
            addresses: [ends[0].address.clone(), ends[1].address.clone()],
            arrived: [directions[0].arrived, directions[1].arrived],
            read: [directions[0].read, directions[1].read],
            is_established: ends.iter().all(|end| !end.is_dead && !end.is_closed),
        }
    }
}

impl State {
    /// Cuts a connection now.
    pub(crate) fn cut(&mut self, connection: u64, kind: CutKind) {
        if !self.network.connections.contains_key(&connection) {
            return;
        }
        let counted = match kind {
            CutKind::Reset => FaultKind::CutReset,
            CutKind::ResetAt(_) => FaultKind::CutHalfOpen,
            CutKind::BlackHole => FaultKind::CutBlackHole,
            CutKind::Late(..) => FaultKind::ConnectionLate,
        };
        self.tally.add(counted, 1);
        if let CutKind::Late(from, delay_ns) = kind {
            return self.outdate(connection, from.index(), delay_ns);
        }
        self.sever(connection, kind);
    }

    /// Delays what `end` sends from now on, and gives it up there while it is on its way.
    fn outdate(&mut self, connection: u64, end: usize, delay_ns: u64) {
        let Some(way) = self.network.direction(connection, end) else {
            return;
        };
        // Segments keep their order: those behind a late one are late too.
        way.last_arrival_ns = way.last_arrival_ns.max(self.now_ns + delay_ns);
        let given_up_ns = self.now_ns + delay_ns / 2;
        self.trace
            .record(self.now_ns, format_args!("c{connection}.{end} late"));
        self.events
            .schedule(given_up_ns, Event::GiveUp { connection, end });
    }

    /// Breaks a connection at both ends.
    pub(crate) fn kill_both(&mut self, connection: u64) {
        self.sever(connection, CutKind::Reset);
    }

    fn sever(&mut self, connection: u64, kind: CutKind) {
        let Some(it) = self.network.connections.get_mut(&connection) else {
            return;
        };
        for direction in &mut it.directions {
            direction.purge_flight();
            direction.cut = None;
        }
        it.is_black_hole = kind != CutKind::Reset;
        let told: &[usize] = match kind {
            CutKind::Reset => &[0, 1],
            CutKind::ResetAt(Side::Dialer) => &[0],
            CutKind::ResetAt(Side::Acceptor) => &[1],
            CutKind::BlackHole | CutKind::Late(..) => &[],
        };
        self.trace
            .record(self.now_ns, format_args!("c{connection} cut {kind:?}"));
        for &end in told {
            self.kill_end(connection, end, Errno::ECONNRESET);
        }
        self.forget_if_closed(connection);
    }

    /// Ends one end with an error; the other is not told.
    pub(crate) fn kill_end(&mut self, connection: u64, end: usize, error: Errno) {
        let Some(it) = self.network.connections.get_mut(&connection) else {
            return;
        };
        if it.ends[end].is_dead {
            return;
        }
        it.ends[end].kill(error);
        it.directions[end].purge_unsent();
        self.release_pinned(connection, end);
        self.touch_end(connection, end);
    }

    /// Cuts a connection when a direction has delivered so many bytes.
    pub(crate) fn cut_at(&mut self, connection: u64, cut: CutAt) {
        let direction = cut.from.index();
        if let Some(way) = self.network.direction(connection, direction) {
            way.cut = Some((cut.offset, cut.kind));
            self.cut_when_reached(connection, direction);
        }
    }

    /// Cuts if the byte that a cut waits for has arrived.
    pub(crate) fn cut_when_reached(&mut self, connection: u64, direction: usize) {
        let Some(way) = self.network.direction(connection, direction) else {
            return;
        };
        let arrived = way.arrived;
        if let Some((_, kind)) = way.cut.take_if(|(offset, _)| *offset <= arrived) {
            self.cut(connection, kind);
        }
    }

    /// Resets a connection from one end: what it sent and what it has not read is dropped.
    pub(crate) fn reset_end(&mut self, connection: u64, end: usize) {
        let Some(it) = self.network.connections.get_mut(&connection) else {
            return;
        };
        if it.is_unix {
            return self.shut_unix(connection, end);
        }
        if it.ends[end].is_dead {
            return;
        }
        it.incoming(end).received.clear();
        self.kill_end(connection, end, Errno::ECONNRESET);
        self.transmit(connection, end, Segment::Reset);
    }

    /// A Unix socket knows no reset: both directions are shut.
    fn shut_unix(&mut self, connection: u64, end: usize) {
        self.shutdown_end(connection, end, ShutdownHow::Both);
        if let Some(it) = self.network.connections.get_mut(&connection) {
            it.ends[1 - end].write_shut = true;
            self.touch_end(connection, 1 - end);
        }
    }

    /// Shuts a direction, or both.
    pub(crate) fn shutdown_end(&mut self, connection: u64, end: usize, how: ShutdownHow) {
        let Some(it) = self.network.connections.get_mut(&connection) else {
            return;
        };
        it.ends[end].write_shut = true;
        it.ends[end].read_shut |= how == ShutdownHow::Both;
        if it.directions[end].finish == Finish::Open && !it.ends[end].is_dead {
            it.directions[end].finish = Finish::Queued;
        }
        self.pump(connection, end);
        self.touch_end(connection, end);
    }

    /// The last descriptor of an end is closed. Unread bytes make it a reset, as in tcp(7) and
    /// unix(7); else what was taken is still sent, and then its end.
    pub(crate) fn close_end(&mut self, connection: u64, end: usize) {
        let Some(it) = self.network.connections.get_mut(&connection) else {
            return;
        };
        it.ends[end].object = None;
        it.ends[end].is_closed = true;
        // unix(7): nobody can write to a closed peer, at once.
        it.ends[1 - end].write_shut |= it.is_unix;
        let is_silent = it.ends[end].is_dead || it.is_black_hole;
        if is_silent {
            self.release_pinned(connection, end);
        } else if it.incoming(end).received.is_empty() {
            self.shutdown_end(connection, end, ShutdownHow::Send);
        } else {
            self.abort_end(connection, end);
        }
        self.forget_if_closed(connection);
    }

    /// Closes an end and tells the other with a reset.
    pub(crate) fn abort_end(&mut self, connection: u64, end: usize) {
        let Some(it) = self.network.connections.get_mut(&connection) else {
            return;
        };
        it.ends[end].object = None;
        it.ends[end].is_closed = true;
        it.incoming(end).received.clear();
        self.kill_end(connection, end, Errno::ECONNRESET);
        self.transmit(connection, end, Segment::Reset);
        self.forget_if_closed(connection);
    }

    /// The machine of an end is gone: nobody is told, later segments are answered by a reset.
    pub(crate) fn vanish_end(&mut self, connection: u64, end: usize) {
        if let Some(it) = self.network.connections.get_mut(&connection) {
            it.ends[end].object = None;
            it.ends[end].is_closed = true;
            it.directions[end].purge_unsent();
            it.directions[end].purge_flight();
            it.incoming(end).received.clear();
        }
        self.release_pinned(connection, end);
        self.forget_if_closed(connection);
    }

    /// Forgets a connection that nobody holds any more.
    pub(crate) fn forget_if_closed(&mut self, connection: u64) {
        let Some(it) = self.network.connections.get(&connection) else {
            return;
        };
        if it.ends.iter().all(|end| end.is_closed) {
            self.release_pinned(connection, 0);
            self.release_pinned(connection, 1);
            self.network.connections.remove(&connection);
        }
    }
}
