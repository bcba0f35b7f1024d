//! What the shard counts of one session, beside what its protocol object counts.

use ringway_proto::{Time, WaitClock};

use crate::histogram::Histogram;
use crate::loss::LossCounters;
use crate::send_waits::WaitBook;
use crate::statistics::{BodyPath, PathCounters};

/// Counters of a session, and the clocks that run.
#[derive(Debug)]
pub(crate) struct SessionBooks {
    pub(crate) waits: WaitBook,
    /// Runs while some send waits at the retention cap.
    pub(crate) cap_wait: WaitClock,
    pub(crate) resumes: u64,
    pub(crate) body_bytes_sent: u64,
    pub(crate) path_bytes: PathCounters,
    pub(crate) path_pieces: PathCounters,
    pub(crate) zero_copy_attempted: u64,
    pub(crate) zero_copy_copied: u64,
    pub(crate) losses: LossCounters,
    pub(crate) resume_gaps_ns: Histogram,
}

impl SessionBooks {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            waits: WaitBook::new(now.as_ns()),
            cap_wait: WaitClock::default(),
            resumes: 0,
            body_bytes_sent: 0,
            path_bytes: PathCounters::default(),
            path_pieces: PathCounters::default(),
            zero_copy_attempted: 0,
            zero_copy_copied: 0,
            losses: LossCounters::default(),
            resume_gaps_ns: Histogram::default(),
        }
    }

    pub(crate) fn count_piece(&mut self, path: BodyPath, bytes: u64) {
        self.body_bytes_sent += bytes;
        self.path_bytes.add(path, bytes);
        self.path_pieces.add(path, 1);
    }
}
