//! Faults on purpose: to rehearse what a network and a disk may do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fault_plan::FaultPlan;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Cut,
    Delay,
    DropInbound,
    DropOutbound,
    Corrupt,
    Refuse,
    SlowDisk,
}

const NAMES: [&str; 7] = [
    "cut",
    "delay",
    "drop-inbound",
    "drop-outbound",
    "corrupt",
    "refuse",
    "slow-disk",
];

/// Faults to be injected into an engine, changeable while it runs; cheap to clone.
///
/// Given to [`Config::faults`](crate::Config::faults), each shard's kernel is wrapped in one that
/// injects them ([`FaultKernel`](crate::FaultKernel)). Without, nothing of it runs. What is drawn
/// is drawn from the seed.
#[derive(Clone, Debug)]
pub struct Faults(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    seed: u64,
    plan: Mutex<FaultPlan>,
    /// Of the plan; shards look at it once a turn.
    version: AtomicU64,
    injected: [AtomicU64; 7],
}

impl Faults {
    /// With a plan to begin with.
    #[must_use]
    pub fn new(seed: u64, plan: FaultPlan) -> Self {
        Self(Arc::new(Shared {
            seed,
            plan: Mutex::new(plan),
            version: AtomicU64::new(1),
            injected: Default::default(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, FaultPlan> {
        self.0.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another plan from now on; each shard takes it over with its next turn. Connections that are
    /// already deaf or mute stay so until they are given up.
    pub fn set(&self, plan: FaultPlan) {
        *self.lock() = plan;
        self.0.version.fetch_add(1, Ordering::Release);
    }

    /// How many were injected, by kind.
    #[must_use]
    pub fn injected(&self) -> Vec<(&'static str, u64)> {
        let counts = self.0.injected.iter();
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        NAMES.into_iter().zip(counts).collect()
    }

    pub(crate) fn count(&self, fault: Fault) {
        self.0.injected[fault as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn seed(&self) -> u64 {
        self.0.seed
    }

    /// The plan, if it is another one than that of version `seen`.
    pub(crate) fn news(&self, seen: &mut u64) -> Option<FaultPlan> {
        let version = self.0.version.load(Ordering::Acquire);
        if version == *seen {
            return None;
        }
        *seen = version;
        Some(self.lock().clone())
    }
}
