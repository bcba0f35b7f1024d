//! Cuts connections under a test: at a rate, while bodies flow.
//!
//! The sessions dial through [`Cutter::connector`], which keeps a duplicate of every connected
//! socket. `connect(AF_UNSPEC)` on it ends the connection at once, with a reset for the peer
//! (connect(2)); the session layer knows nothing of it. What the kernel acknowledged or received on
//! the next connection (`TCP_INFO`) tells when bodies flow again.

use std::ffi::OsString;
use std::future::poll_fn;
use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::socket::{SetSockOpt, sockopt};
use ringway::{Connector, Target};
use rustix::net::connect_unspec;

use super::network::resolve;
use crate::failure::Failure;

/// So many bytes show that bodies flow: a handshake and what is restated after it take less.
const FLOWING_BYTES: u64 = 16 << 10;
/// How often to look while a gap is being measured: its resolution.
const LOOK_INTERVAL: Duration = Duration::from_micros(200);
/// And else.
const IDLE_INTERVAL: Duration = Duration::from_millis(5);
/// For one attempt to connect; the session's own attempt ends it earlier.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// What a dialling thread tells: the socket, once there is one, and who waits for it.
type Dialled = (Option<io::Result<OwnedFd>>, Option<Waker>);

/// See the module. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Cutter(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    lanes: Vec<Lane>,
    cuts: u64,
    gaps: Vec<Duration>,
}

#[derive(Debug, Default)]
struct Lane {
    sockets: Vec<OwnedFd>,
    cut_at: Option<Instant>,
}

/// What was done to the connections.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cuts {
    pub(super) count: u64,
    /// From each cut to bodies that flow again, in the order they ended.
    pub(super) gaps: Vec<Duration>,
}

/// A thread that cuts, until it is stopped.
pub(super) struct Cutting {
    cutter: Cutter,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Lane {
    fn is_flowing(&self) -> bool {
        self.sockets.iter().any(|socket| {
            let flowed = ringway_uring::socket_statistics(socket)
                .map_or(0, |counts| counts.bytes_acked.max(counts.bytes_received));
            flowed > FLOWING_BYTES
        })
    }

    fn cut(&mut self) {
        for socket in self.sockets.drain(..) {
            // One that is gone already is as good as cut.
            let _ = connect_unspec(&socket);
        }
        self.cut_at = Some(Instant::now());
    }
}

impl Cutter {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The dialer of one more lane.
    pub(super) fn connector(&self, target: &Target, congestion: Option<&'static str>) -> Connector {
        let mut state = self.state();
        let lane = state.lanes.len();
        state.lanes.push(Lane::default());
        drop(state);
        let (cutter, target) = (self.clone(), target.clone());
        Connector::new(move || cutter.clone().dial(lane, target.clone(), congestion))
    }

    /// Connects on a thread of its own: resolving and connecting may wait, the shard must not.
    async fn dial(
        self,
        lane: usize,
        target: Target,
        congestion: Option<&'static str>,
    ) -> io::Result<OwnedFd> {
        let answer: Arc<Mutex<Dialled>> = Arc::default();
        let told = Arc::clone(&answer);
        thread::Builder::new().name("dial".into()).spawn(move || {
            let dialled = self.connect(lane, &target, congestion);
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            told.0 = Some(dialled);
            if let Some(waker) = told.1.take() {
                waker.wake();
            }
        })?;
        poll_fn(|context| {
            let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(dialled) = answer.0.take() {
                return Poll::Ready(dialled);
            }
            answer.1 = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn connect(
        &self,
        lane: usize,
        target: &Target,
        congestion: Option<&'static str>,
    ) -> io::Result<OwnedFd> {
        let address = resolve(target)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
        let socket = TcpStream::connect_timeout(&address, DIAL_TIMEOUT)?;
        if let Some(congestion) = congestion {
            sockopt::TcpCongestion.set(&socket, &OsString::from(congestion))?;
        }
        let duplicate = socket.try_clone()?;
        self.state().lanes[lane].sockets.push(duplicate.into());
        Ok(socket.into())
    }

    /// Begins to cut every lane, so often a second.
    pub(super) fn start(&self, per_second: f64) -> Result<Cutting, Failure> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (cutter, over) = (self.clone(), Arc::clone(&is_over));
        let distance = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(Duration::MAX / 4);
        let thread = thread::Builder::new()
            .name("cutter".into())
            .spawn(move || cutter.run(distance, &over))
            .map_err(|error| Failure::io("start a thread", &error))?;
        Ok(Cutting {
            cutter: self.clone(),
            is_over,
            thread: Some(thread),
        })
    }

    fn run(&self, distance: Duration, is_over: &AtomicBool) {
        let mut due = Instant::now() + distance;
        while !is_over.load(Ordering::Acquire) {
            let is_waiting = self.measure();
            if !is_waiting && Instant::now() >= due && self.cut() {
                // What was missed while a gap lasted is not made up for.
                due = Instant::now() + distance;
                continue;
            }
            let rest = due.saturating_duration_since(Instant::now());
            let pause = match is_waiting {
                true => LOOK_INTERVAL,
                false => rest.clamp(LOOK_INTERVAL, IDLE_INTERVAL),
            };
            thread::sleep(pause);
        }
    }

    /// Ends gaps; whether some go on.
    fn measure(&self) -> bool {
        let state = &mut *self.state();
        let mut is_waiting = false;
        for lane in &mut state.lanes {
            if let Some(cut_at) = lane.cut_at {
                if lane.is_flowing() {
                    state.gaps.push(cut_at.elapsed());
                    lane.cut_at = None;
                } else {
                    is_waiting = true;
                }
            }
        }
        is_waiting
    }

    /// Cuts every lane, if bodies flow on all of them.
    fn cut(&self) -> bool {
        let state = &mut *self.state();
        let is_flowing = state.lanes.iter().all(Lane::is_flowing);
        if is_flowing {
            for lane in &mut state.lanes {
                lane.cut();
                state.cuts += 1;
            }
        }
        is_flowing
    }
}

impl Cutting {
    /// Ceases, and tells. A gap that has not ended is not counted.
    pub(super) fn stop(mut self) -> Cuts {
        self.end();
        let state = self.cutter.state();
        Cuts {
            count: state.cuts,
            gaps: state.gaps.clone(),
        }
    }

    fn end(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // It has no reason to panic; if it did, the numbers so far stand.
            let _ = thread.join();
        }
    }
}

impl Drop for Cutting {
    fn drop(&mut self) {
        self.end();
    }
}
