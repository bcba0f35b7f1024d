//! What stands behind the seam.

use std::fmt;
use std::os::fd::OwnedFd;

use crate::{
    Address, Capabilities, Completion, Descriptor, Errno, Lease, LeaseMut, ListenOptions, Op, OpId,
    PeerCredentials, Pipe, ProvidedBuffer, Route, ShutdownHow, SocketOption, SocketStatistics,
    Token,
};

/// A kernel, real or simulated, as one shard sees it.
///
/// Two kinds of members:
/// - **ops**: [`submit`](Self::submit) queues one, [`enter`](Self::enter) hands the queue over and
///   waits, [`reap`](Self::reap) takes results. Ops own what they work on.
/// - **immediate calls** answer at once and never wait for a peer or a disk.
///
/// One thread at a time; only [`Doorbell`]s and dropped leases reach it from others.
pub trait Kernel {
    // --- what it is -----------------------------------------------------------------------

    /// Features found at start, less those masked.
    fn capabilities(&self) -> Capabilities;

    /// What this kernel gave us, in bytes and counts.
    fn limits(&self) -> &Limits;

    // --- ops ------------------------------------------------------------------------------

    /// Queues an op. Its completions carry `token`. Never blocks; a full queue is flushed to the
    /// kernel first.
    fn submit(&mut self, token: Token, op: Op) -> OpId;

    /// Asks the kernel to end an op early. It still completes: with `ECANCELED`, or with whatever
    /// it had done. Unknown or finished ids are ignored.
    fn cancel(&mut self, op: OpId);

    /// Cancels every op that names this object.
    fn cancel_all_on(&mut self, descriptor: &Descriptor);

    /// Nobody waits for this op any more: cancels it and swallows its completions; what they
    /// carry (buffers, descriptors, provided buffers) is released properly.
    fn orphan(&mut self, op: OpId);

    /// Moves up to `completions_max` results into `out`; returns how many.
    fn reap(&mut self, out: &mut Vec<Completion>, completions_max: usize) -> usize;

    /// Submits what is queued, then waits as told. Returns early at a completion or a doorbell.
    ///
    /// # Errors
    /// Only what ends the ring for good (EBADR, EEXIST): every other error is handled inside.
    fn enter(&mut self, wait: Wait) -> Result<(), Errno>;

    /// Whether entering or reaping might bring something, in a few loads: what a shard asks again
    /// and again before it sleeps. `None`: this kernel cannot tell.
    fn has_news(&mut self) -> Option<bool> {
        None
    }

    /// Ops whose last completion was not reaped yet, orphans included.
    fn in_flight(&self) -> usize;

    // --- memory ---------------------------------------------------------------------------

    /// Lends a piece of the arena of at least `bytes`; `None` when none is free now or none is
    /// that large. Sizes: see [`Limits::lease_sizes`].
    fn lease(&mut self, bytes: usize) -> Option<LeaseMut>;

    /// The filled part of a provided buffer.
    fn provided(&self, buffer: &ProvidedBuffer) -> &[u8];

    /// Gives a provided buffer back to its ring.
    fn recycle(&mut self, buffer: ProvidedBuffer);

    /// How many provided buffers are with the kernel, of how many. Arming a multishot receive
    /// while the first is 0 fails at once.
    fn provided_available(&self) -> (u32, u32);

    /// Lends a pipe; `None` at the pool's bound.
    fn acquire_pipe(&mut self) -> Option<Pipe>;

    /// Takes a pipe back. Only one known to be empty is pooled; any other is closed.
    fn release_pipe(&mut self, pipe: Pipe, is_empty: bool);

    // --- immediate calls: time, randomness, waking ---------------------------------------------

    /// Monotonic clock, ns.
    fn now_ns(&self) -> u64;

    /// Fills `out` with random bytes fit for keys.
    fn entropy(&mut self, out: &mut [u8]);

    /// What other threads ring to end a wait.
    fn doorbell(&self) -> std::sync::Arc<dyn Doorbell>;

    // --- immediate calls: data ------------------------------------------------------------------

    /// Sends what the socket takes now, without waiting (`MSG_DONTWAIT`). For frame headers and
    /// small frames.
    ///
    /// # Errors
    /// `EAGAIN` when it takes nothing; else the connection is broken.
    fn send_now(
        &mut self,
        socket: &Descriptor,
        bytes: &[u8],
        more_follows: bool,
    ) -> Result<usize, Errno>;

    /// Moves bytes of a file into a pipe. Call only for ranges that are [`Residency::Resident`]:
    /// the disk is not covered by non-blocking splice.
    ///
    /// # Errors
    /// `EAGAIN` when the pipe is full; else what splice(2) says. `Ok(0)` at the end of the file.
    fn splice_from_file(
        &mut self,
        file: &Descriptor,
        offset: u64,
        pipe: &Pipe,
        length: u32,
    ) -> Result<u32, Errno>;

    /// Puts a lease into a pipe by reference. The caller holds a clone of the lease until the
    /// pipe is empty again or closed.
    ///
    /// # Errors
    /// `EAGAIN` when the pipe is full; `EOPNOTSUPP` without [`crate::Capability::ArenaSplice`].
    fn splice_from_lease(&mut self, lease: &Lease, pipe: &Pipe) -> Result<u32, Errno>;

    /// Moves bytes of a pipe into a non-blocking socket.
    ///
    /// # Errors
    /// `EAGAIN` when the socket takes nothing: wait with [`Op::Poll`].
    fn splice_to_socket(
        &mut self,
        pipe: &Pipe,
        socket: &Descriptor,
        length: u32,
        more_follows: bool,
    ) -> Result<u32, Errno>;

    /// Moves bytes of a non-blocking socket into a pipe.
    ///
    /// # Errors
    /// `EAGAIN` when nothing waits or the pipe is full; `Ok(0)` at the peer's end.
    fn splice_from_socket(
        &mut self,
        socket: &Descriptor,
        pipe: &Pipe,
        length: u32,
    ) -> Result<u32, Errno>;

    /// Whether reading this range would touch the disk.
    fn residency(&mut self, file: &Descriptor, offset: u64, length: u32) -> Residency;

    // --- immediate calls: sockets ---------------------------------------------------------------

    /// Makes an unconnected, non-blocking stream socket for the address's family.
    ///
    /// # Errors
    /// What socket(2) says (`EMFILE`, …).
    fn socket(&mut self, address: &Address) -> Result<Descriptor, Errno>;

    /// Makes a listening socket. A stale Unix socket path that nobody listens on is replaced.
    ///
    /// # Errors
    /// What bind(2) and listen(2) say.
    fn listen(&mut self, address: &Address, options: ListenOptions) -> Result<Descriptor, Errno>;

    /// Takes a connected socket or an open file from outside; a socket is made non-blocking.
    ///
    /// # Errors
    /// `EOPNOTSUPP` on a simulated kernel; else what fcntl(2) says.
    fn adopt(&mut self, descriptor: OwnedFd) -> Result<Descriptor, Errno>;

    /// Sets an option. Best effort where the socket's kind has none such.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    fn set_option(&mut self, socket: &Descriptor, option: SocketOption) -> Result<(), Errno>;

    /// Our own address.
    ///
    /// # Errors
    /// What getsockname(2) says.
    fn local_address(&self, socket: &Descriptor) -> Result<Address, Errno>;

    /// The peer's address.
    ///
    /// # Errors
    /// What getpeername(2) says.
    fn peer_address(&self, socket: &Descriptor) -> Result<Address, Errno>;

    /// Who is at the other end of a Unix socket.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for other sockets.
    fn peer_credentials(&self, socket: &Descriptor) -> Result<PeerCredentials, Errno>;

    /// What kind of way the bytes of this connection take.
    fn route(&self, socket: &Descriptor) -> Route;

    /// What the kernel counted; `None` where it counts nothing.
    fn socket_statistics(&self, socket: &Descriptor) -> Option<SocketStatistics>;

    /// Shuts a direction (shutdown(2), directly: the ring's own op goes to a worker).
    fn shutdown(&mut self, socket: &Descriptor, how: ShutdownHow);

    /// Resets a connection now: the peer sees a reset, pending sends are dropped, ops on it end
    /// (`connect(AF_UNSPEC)` for TCP, shutdown for Unix sockets). Cancel, reap and drop after it.
    fn reset(&mut self, socket: &Descriptor);

    // --- the end --------------------------------------------------------------------------------

    /// Cancels everything and reaps to zero or until `deadline_ns`. What is still in flight then
    /// is leaked together with the memory it owns, and counted in the report.
    fn teardown(&mut self, deadline_ns: u64) -> TeardownReport;
}

/// How long [`Kernel::enter`] waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// Until a completion or a doorbell.
    Forever,
    /// Until a completion, a doorbell, or this time of [`Kernel::now_ns`].
    Until(u64),
}

/// Ends another thread's wait.
pub trait Doorbell: Send + Sync {
    /// Wakes the shard. One ring per sleep is enough; more are harmless. After the shard is gone
    /// it does nothing.
    fn ring(&self);
}

/// Whether a file range is in the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residency {
    /// All of it.
    Resident,
    /// Not all of it: use the worker op.
    Absent,
    /// Cannot be told here: use the worker op.
    Unknown,
}

/// What a kernel gave at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Submission queue entries.
    pub submission_entries: u32,
    /// Completion queue entries; all results that can be outstanding fit in.
    pub completion_entries: u32,
    /// Ops that may be in flight.
    pub ops_max: u32,
    /// Arena, bytes.
    pub arena_bytes: u64,
    /// Sizes of pieces the arena lends, ascending, bytes.
    pub lease_sizes: Vec<u32>,
    /// Provided buffers for multishot receive.
    pub provided_count: u32,
    /// Size of each, bytes.
    pub provided_bytes: u32,
    /// Pipes the pool may hold.
    pub pipes_max: u32,
    /// Capacity of the pipes, bytes.
    pub pipe_bytes: u32,
    /// What runs smaller than configured, and why.
    pub reductions: Vec<Reduction>,
}

/// Something that runs smaller than configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduction {
    /// What: `arena`, `pipes`, `provided buffers`, ….
    pub what: &'static str,
    /// Configured, in bytes or counts.
    pub wanted: u64,
    /// Got.
    pub got: u64,
    /// Why, and the remedy.
    pub reason: String,
}

impl fmt::Display for Reduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            wanted,
            got,
            reason,
        } = self;
        write!(f, "{what}: {got} instead of {wanted}: {reason}")
    }
}

/// How a teardown went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TeardownReport {
    /// Ops that were cancelled and reaped.
    pub reaped: usize,
    /// Ops that did not end in time; their memory is leaked on purpose.
    pub leaked: usize,
}
