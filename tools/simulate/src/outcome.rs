//! What came of one seed.

use std::collections::BTreeMap;

/// What one seed did, and whether anything went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Which seed.
    pub seed: u64,
    /// Which work it drew: `streams`, `lossy` or `files`.
    pub workload: &'static str,
    /// The hash over everything that happened; the same seed gives the same.
    pub trace_hash: u64,
    /// Faults that really happened, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Bytes that arrived over simulated networks or were written to simulated disks.
    pub bytes_moved: u64,
    /// Virtual time it took, ns.
    pub virtual_ns: u64,
    /// What was violated, if anything.
    pub violation: Option<String>,
    /// The trace as text, if it was asked for.
    pub trace: String,
}
