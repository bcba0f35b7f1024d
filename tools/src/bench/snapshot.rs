//! What an end has used and counted, at one moment and between two.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use ringway::{BodyPath, Engine, Error, Statistics};
use serde::{Deserialize, Serialize};

use super::message::Counters;
use crate::resources::peak_resident_bytes;

/// One moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    at: Instant,
    cpu: Duration,
    statistics: Statistics,
}

/// Between two moments, of one end; travels from the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) seconds: f64,
    /// User and system time of the whole process, kernel workers included.
    pub(super) cpu_s: f64,
    /// Of the process, ever.
    pub(super) peak_rss_bytes: u64,
    /// Body bytes by the way they took to the socket.
    pub(super) paths_sent: Counters,
    /// Body bytes by the way they took out of it.
    pub(super) paths_received: Counters,
    /// The engine's counters.
    pub(super) counters: Counters,
}

impl Snapshot {
    /// Now.
    pub(super) async fn take(engine: &Engine) -> Result<Self, Error> {
        let statistics = engine.statistics().await?;
        Ok(Self {
            at: Instant::now(),
            cpu: cpu_of_this_process(),
            statistics,
        })
    }

    /// What was added since.
    pub(super) fn since(&self, earlier: &Self) -> Account {
        let (now, then) = (&self.statistics, &earlier.statistics);
        let before: Counters = named(then.counters());
        let counters = named(now.counters()).into_iter().map(|(name, value)| {
            let added = match name.ends_with("_longest_ns") {
                // A maximum: nothing is left of it by subtracting.
                true => value,
                false => value.saturating_sub(before.get(&name).copied().unwrap_or(0)),
            };
            (name, added)
        });
        let path = |path: BodyPath| {
            let bytes = now.path_bytes.bytes(path) - then.path_bytes.bytes(path);
            (path.name().to_owned(), bytes)
        };
        let received = [
            (
                "copy",
                now.received_by_copy_bytes - then.received_by_copy_bytes,
            ),
            (
                "direct",
                now.received_direct_bytes - then.received_direct_bytes,
            ),
            (
                "splice",
                now.received_by_splice_bytes - then.received_by_splice_bytes,
            ),
        ];
        Account {
            seconds: (self.at - earlier.at).as_secs_f64(),
            cpu_s: self.cpu.saturating_sub(earlier.cpu).as_secs_f64(),
            peak_rss_bytes: peak_resident_bytes(),
            paths_sent: BodyPath::ALL.into_iter().map(path).collect(),
            paths_received: named(received),
            counters: counters.collect(),
        }
    }
}

impl Account {
    /// A counter by name; 0 for one that this engine does not have.
    pub(super) fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// Body bytes in both directions.
    pub(super) fn body_bytes(&self) -> u64 {
        self.counter("body_bytes_sent") + self.counter("body_bytes_received")
    }
}

fn named<'a>(counters: impl IntoIterator<Item = (&'a str, u64)>) -> Counters {
    let counters = counters.into_iter();
    counters
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn cpu_of_this_process() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return Duration::ZERO;
    };
    let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(us.unsigned_abs())
}
