//! What `ringway probe` tells: everything found out at start, as plain data.

use ringway_io::{Capability, Limits, Reduction};

use crate::config::UringConfig;
use crate::surroundings::{
    kernel_release, memlock_limit_bytes, pipe_max_bytes, pipe_user_pages_soft,
};
use crate::unavailable::UringUnavailable;
use crate::uring::Uring;

/// What was found about one capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub capability: Capability,
    /// Whether it works here.
    pub is_present: bool,
    /// Whether the configuration does without it.
    pub is_masked: bool,
    /// How that was found: what was tried, or what the kernel answered.
    pub how: String,
}

impl Finding {
    pub(crate) fn new(capability: Capability, answer: Result<String, String>) -> Self {
        let is_present = answer.is_ok();
        Self {
            capability,
            is_present,
            is_masked: false,
            how: answer.unwrap_or_else(|why| why),
        }
    }
}

/// What this machine gives a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    /// Release as uname(2) gives it.
    pub kernel_release: String,
    /// `RLIMIT_MEMLOCK`, bytes; `u64::MAX` for unlimited.
    pub memlock_limit_bytes: u64,
    /// Largest pipe of an ordinary user, bytes.
    pub pipe_max_bytes: Option<u64>,
    /// Pages of pipes that an ordinary user may have.
    pub pipe_user_pages_soft: Option<u64>,
    /// What a ring with this configuration got.
    pub ring: Result<RingReport, UringUnavailable>,
}

/// What one ring got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingReport {
    /// Each capability, in the order of [`Capability::ALL`].
    pub findings: Vec<Finding>,
    /// Sizes and counts; what is smaller than configured stands in
    /// [`reductions`](Limits::reductions).
    pub limits: Limits,
}

impl RingReport {
    /// What runs smaller than configured, and why.
    #[must_use]
    pub fn reductions(&self) -> &[Reduction] {
        &self.limits.reductions
    }
}

/// Starts a ring as configured, looks at what it got, and ends it.
#[must_use]
pub fn probe(config: UringConfig) -> ProbeReport {
    let ring = Uring::start(config).map(|ring| RingReport {
        findings: ring.findings.clone(),
        limits: ring.limits.clone(),
    });
    ProbeReport {
        kernel_release: kernel_release(),
        memlock_limit_bytes: memlock_limit_bytes(),
        pipe_max_bytes: pipe_max_bytes(),
        pipe_user_pages_soft: pipe_user_pages_soft(),
        ring,
    }
}
