//! Many seeds, on several threads: each seed is a world of its own on one of them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::outcome::Outcome;
use crate::run::{RunOptions, run_seed};

/// One seed of so many is run a second time, to see that it leaves the same trace.
const SEEDS_PER_REPEAT: u64 = 50;

/// Which seeds to run.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// Threads; each runs one seed at a time.
    pub jobs: usize,
    /// After so many violations the rest is not run. Every seed below one that was run is.
    pub violations_max: u64,
    /// How to run each.
    pub options: RunOptions,
}

/// What came of a campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Seeds that were run.
    pub seeds: u64,
    /// Seeds by the work they did.
    pub workloads: BTreeMap<&'static str, u64>,
    /// Faults that happened, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Bytes moved over simulated networks and disks.
    pub bytes_moved: u64,
    /// Virtual time, ns.
    pub virtual_ns: u64,
    /// Over the traces of all seeds, in their order.
    pub trace_hash: u64,
    /// What was violated, by seed.
    pub violations: BTreeMap<u64, String>,
}

impl Campaign {
    /// Runs all seeds; `on_outcome` is told of each as it ends, in any order.
    pub fn run(&self, on_outcome: impl Fn(&Outcome) + Sync) -> Summary {
        let next = AtomicU64::new(self.from);
        let end = self.from.saturating_add(self.seeds);
        let outcomes = Mutex::new(BTreeMap::new());
        let violations = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    while violations.load(Ordering::SeqCst) < self.violations_max {
                        let seed = next.fetch_add(1, Ordering::SeqCst);
                        if seed >= end {
                            return;
                        }
                        let outcome = self.run_one(seed);
                        let failed = u64::from(outcome.violation.is_some());
                        violations.fetch_add(failed, Ordering::SeqCst);
                        on_outcome(&outcome);
                        let mut outcomes = outcomes.lock().expect("no thread panics");
                        outcomes.insert(seed, outcome);
                    }
                });
            }
        });
        let mut summary = Summary::default();
        for outcome in outcomes
            .into_inner()
            .expect("no thread panics")
            .into_values()
        {
            summary.add(outcome);
        }
        summary
    }

    fn run_one(&self, seed: u64) -> Outcome {
        let mut outcome = run_seed(seed, self.options);
        outcome.trace = String::new();
        if outcome.violation.is_none() && seed.is_multiple_of(SEEDS_PER_REPEAT) {
            outcome.violation = compare(&outcome, &run_seed(seed, self.options));
        }
        outcome
    }
}

/// A violation if two runs of one seed differ.
#[must_use]
pub fn compare(one: &Outcome, other: &Outcome) -> Option<String> {
    let is_same = one.trace_hash == other.trace_hash && one.faults == other.faults;
    (!is_same).then(|| {
        format!(
            "two runs of one seed differ: traces {:016x} and {:016x}",
            one.trace_hash, other.trace_hash
        )
    })
}

impl Summary {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        *self.workloads.entry(outcome.workload).or_default() += 1;
        for (kind, count) in outcome.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        self.bytes_moved += outcome.bytes_moved;
        self.virtual_ns += outcome.virtual_ns;
        let mixed = self.trace_hash.rotate_left(7) ^ outcome.trace_hash;
        self.trace_hash = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if let Some(violation) = outcome.violation {
            self.violations.insert(outcome.seed, violation);
        }
    }
}
