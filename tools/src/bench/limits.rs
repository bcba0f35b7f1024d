//! Every number that bounds a test, with its reason.

use std::time::Duration;

/// As long as iperf3's.
pub(super) const TIME: Duration = Duration::from_secs(10);
/// One frame body: larger payloads are cut into such pieces anyway.
pub(super) const BULK_BYTES: u64 = 1 << 20;
/// As small as the ping-pong that everybody compares with.
pub(super) const CALL_BYTES: u64 = 64;
/// Half of what a session retains: a payload is kept whole until it is acked.
pub(super) const MEMORY_BYTES_MAX: u64 = 32 << 20;
/// The largest piece of an arena.
pub(super) const LEASE_BYTES_MAX: u64 = 1 << 20;
/// Half of a stream's window: the echo travels while the next request does.
pub(super) const CALL_BYTES_MAX: u64 = 8 << 20;
/// Of a file range; the sender pays nothing for its length.
pub(super) const RANGE_BYTES_MAX: u64 = 1 << 40;
/// A stream's share of a sink file; beyond, it starts again at the share's beginning.
pub(super) const SINK_BYTES: u64 = 1 << 30;
/// Calls under way per stream at a constant rate, unless told otherwise: 50 ms at 20,000 a second.
pub(super) const IN_FLIGHT_AT_RATE: u32 = 1024;
/// A record of the control stream: a plan or an account, several times over.
pub(super) const RECORD_BYTES_MAX: u64 = 64 << 10;
/// An answer on the control stream waits behind bodies in flight, not longer.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// A new stream says within this what it is for.
pub(super) const OPENING_WITHIN: Duration = Duration::from_secs(10);
/// What a test may take beyond its time: connecting, the account at its end, and cuts in between.
pub(super) const GRACE: Duration = Duration::from_secs(30);
/// Sessions beyond those of the test: of clients that are refused, and of mode connect, whose
/// sessions may linger.
pub(super) const SESSIONS_BESIDE: u32 = 64;
/// Latencies are told apart up to here, ns; longer ones count as this long.
pub(super) const LATENCY_NS_MAX: u64 = 600_000_000_000;
