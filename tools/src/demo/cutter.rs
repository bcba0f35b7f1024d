//! The third party: watches every connection of the sender from outside, and dissolves it.
//!
//! The sender's dialer passes a duplicate of each connected socket over a socket pair. What the
//! kernel says was acknowledged on it (`TCP_INFO`) tells how far the transfer is;
//! `connect(AF_UNSPEC)` ends the connection at once, with a reset for the peer (connect(2)).
//!
//! A session has several connections at a time. The one that is cut is the one that carries the
//! file at that moment; the engine then gives up the others too, and so does the cutter.

use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, connect_unspec, recvmsg,
};

use super::gaps::Gaps;
use crate::failure::Failure;

/// So many bytes acknowledged on a connection show that its session is attached and that body
/// flows: a handshake and all that is restated after it for one stream take far less.
const ATTACHED_BYTES: u64 = 16 << 10;

/// A cut that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Counted from 1.
    pub(super) number: usize,
    /// Bytes acknowledged on all connections together, headers included.
    pub(super) offset: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Cutter {
    control: UnixStream,
    planned: VecDeque<u64>,
    /// Those of which none was cut yet.
    connections: Vec<Connection>,
    /// Acknowledged on connections that are gone.
    bytes_before: u64,
    cut_at: Option<Instant>,
    /// Cuts that were made.
    pub(super) cuts: usize,
    /// Connections that were seen.
    pub(super) connections_seen: usize,
    /// From each cut to the next new body byte.
    pub(super) gaps: Gaps,
}

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    bytes_acked: u64,
    /// Of these, since the look before.
    bytes_new: u64,
    /// What the kernel says now: 0 when the connection is gone.
    bytes_told: u64,
}

impl Connection {
    fn measure(&mut self) {
        let statistics = ringway_uring::socket_statistics(&self.socket);
        self.bytes_told = statistics.map_or(0, |statistics| statistics.bytes_acked);
        self.bytes_new = self.bytes_told.saturating_sub(self.bytes_acked);
        self.bytes_acked = self.bytes_acked.max(self.bytes_told);
    }

    fn is_attached(&self) -> bool {
        self.bytes_told > ATTACHED_BYTES
    }
}

impl Cutter {
    /// Plans to cut at these offsets. Returns also the socket that the sender's dialer passes
    /// its connections over.
    pub(super) fn new(planned: Vec<u64>) -> Result<(Self, OwnedFd), Failure> {
        let fail = |error| Failure::io("make a socket pair", &error);
        let (control, theirs) = UnixStream::pair().map_err(fail)?;
        control.set_nonblocking(true).map_err(fail)?;
        let cutter = Self {
            control,
            planned: planned.into(),
            connections: Vec::new(),
            bytes_before: 0,
            cut_at: None,
            cuts: 0,
            connections_seen: 0,
            gaps: Gaps::default(),
        };
        Ok((cutter, theirs.into()))
    }

    /// Whether nothing is left to cut or to measure.
    pub(super) fn is_done(&self) -> bool {
        self.planned.is_empty() && self.cut_at.is_none()
    }

    /// Acknowledged on all connections together.
    pub(super) fn bytes_acked(&self) -> u64 {
        let now = self.connections.iter().map(|it| it.bytes_acked);
        self.bytes_before + now.sum::<u64>()
    }

    /// Waits for a connection, at most for `interval`; then looks how far the transfer is, and
    /// cuts if it is time.
    pub(super) fn look(&mut self, interval: Duration) -> Result<Option<Cut>, Failure> {
        self.wait(interval);
        self.catch_up()?;
        self.cut_if_due()
    }

    /// Takes over what has come and measures. Alone it is the last look, when the sender is done:
    /// the rest of a small file may have gone between two looks.
    pub(super) fn catch_up(&mut self) -> Result<(), Failure> {
        while let Some(socket) = self.receive()? {
            self.adopt(socket);
        }
        self.measure();
        Ok(())
    }

    fn wait(&self, interval: Duration) {
        let timeout = Timespec {
            tv_sec: interval.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: interval.subsec_nanos().into(),
        };
        let mut watched = [PollFd::new(&self.control, PollFlags::IN)];
        // An interruption or the sender's end only shortens the wait.
        if poll(&mut watched, Some(&timeout)).is_ok()
            && watched[0].revents().contains(PollFlags::HUP)
        {
            std::thread::sleep(interval);
        }
    }

    fn receive(&self) -> Result<Option<OwnedFd>, Failure> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut slices = [IoSliceMut::new(&mut byte)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        match recvmsg(&self.control, &mut slices, &mut ancillary, flags) {
            Ok(message) if message.flags.contains(ReturnFlags::CTRUNC) => {
                let error = std::io::Error::other("too many open files");
                return Err(Failure::io("take over a connection", &error));
            }
            Ok(_) => {}
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(None),
            Err(errno) => return Err(Failure::io("take over a connection", &errno.into())),
        }
        let descriptors = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        Ok(descriptors)
    }

    fn adopt(&mut self, socket: OwnedFd) {
        self.connections_seen += 1;
        self.connections.push(Connection {
            socket,
            bytes_acked: 0,
            bytes_new: 0,
            bytes_told: 0,
        });
    }

    fn measure(&mut self) {
        for connection in &mut self.connections {
            connection.measure();
        }
        if self.connections.iter().any(Connection::is_attached)
            && let Some(cut_at) = self.cut_at.take()
        {
            self.gaps.add(cut_at.elapsed());
        }
    }

    fn cut_if_due(&mut self) -> Result<Option<Cut>, Failure> {
        let offset = self.bytes_acked();
        let planned = self.planned.front();
        if planned.is_none_or(|planned| *planned > offset) {
            return Ok(None);
        }
        let attached = self.connections.iter().filter(|it| it.is_attached());
        let Some(connection) = attached.max_by_key(|it| (it.bytes_new, it.bytes_acked)) else {
            return Ok(None);
        };
        connect_unspec(&connection.socket)
            .map_err(|errno| Failure::io("cut the connection", &errno.into()))?;
        self.cut_at = Some(Instant::now());
        self.bytes_before = offset;
        self.connections.clear();
        self.planned.pop_front();
        self.cuts += 1;
        Ok(Some(Cut {
            number: self.cuts,
            offset,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::super::send::pass;

    /// Long enough for a loaded machine: what is awaited comes as soon as it can.
    const AT_MOST: Duration = Duration::from_secs(20);

    fn look_until<T>(mut condition: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = condition() {
                return found;
            }
            assert!(begun.elapsed() < AT_MOST, "it does not come");
        }
    }

    fn connected(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let address = listener.local_addr().expect("bound");
        let ours = TcpStream::connect(address).expect("connected");
        (ours, listener.accept().expect("accepted").0)
    }

    #[test]
    fn a_connection_is_cut_for_both_ends_at_its_offset_and_the_gap_is_measured() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let (mut cutter, control) = Cutter::new(vec![100 << 10]).expect("made");
        let (mut ours, mut theirs) = connected(&listener);
        pass(&control, &ours).expect("passed");
        ours.write_all(&[1; 64 << 10]).expect("written");
        theirs.read_exact(&mut [0; 64 << 10]).expect("read");
        let none = look_until(|| {
            let cut = cutter.look(LOOK).expect("looks");
            (cutter.bytes_acked() >= 64 << 10).then_some(cut)
        });
        assert_eq!((none, cutter.connections_seen), (None, 1), "not yet");

        ours.write_all(&[1; 64 << 10]).expect("written");
        theirs.read_exact(&mut [0; 64 << 10]).expect("read");
        let cut = look_until(|| cutter.look(LOOK).expect("looks"));
        assert_eq!(cut.number, 1);
        assert!(cut.offset >= 100 << 10 && !cutter.is_done());
        assert!(theirs.read(&mut [0; 1]).is_err(), "the peer sees a reset");
        assert!(ours.write(&[0]).is_err(), "and so do we");

        let (mut ours, _theirs) = connected(&listener);
        pass(&control, &ours).expect("passed");
        ours.write_all(&[1; 32 << 10]).expect("written");
        look_until(|| {
            let cut = cutter.look(LOOK).expect("looks");
            assert_eq!(cut, None, "no more was planned");
            cutter.is_done().then_some(())
        });
        assert_eq!(
            (cutter.gaps.milliseconds().len(), cutter.connections_seen),
            (1, 2)
        );
    }

    #[test]
    fn of_several_connections_the_one_that_carries_the_file_is_cut_and_all_are_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let (mut cutter, control) = Cutter::new(vec![200 << 10]).expect("made");
        let mut first = connected(&listener);
        let mut second = connected(&listener);
        for (ours, _) in [&first, &second] {
            pass(&control, ours).expect("passed");
        }
        // The first carried most so far; it is the second that goes on.
        for ((ours, theirs), kib) in [(&mut first, 120), (&mut second, 60)] {
            ours.write_all(&vec![1; kib << 10]).expect("written");
            theirs.read_exact(&mut vec![0; kib << 10]).expect("read");
        }
        look_until(|| {
            assert_eq!(cutter.look(LOOK).expect("looks"), None);
            (cutter.bytes_acked() >= 180 << 10).then_some(())
        });
        second.0.write_all(&[1; 40 << 10]).expect("written");
        second.1.read_exact(&mut [0; 40 << 10]).expect("read");
        look_until(|| cutter.look(LOOK).expect("looks"));
        assert!(second.0.write(&[0]).is_err(), "this one was cut");
        assert_eq!(first.0.write(&[0]).expect("the other one was not"), 1);
        assert_eq!((cutter.cuts, cutter.connections_seen), (1, 2));
        assert!(!cutter.is_done(), "bytes of the old ones end no gap");
        cutter.catch_up().expect("looks");
        assert!(!cutter.is_done());
    }

    const LOOK: Duration = Duration::from_millis(1);
}
