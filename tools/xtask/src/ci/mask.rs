//! The tests again, once without each kernel feature that an older kernel lacks.
//!
//! The engine reads [`VARIABLE`] at its start and behaves as if the kernel had not offered that
//! capability. So every fall-back runs on a kernel where it would never be taken.

use super::test_programs::TestPrograms;
use super::test_run::TestRun;
use crate::failure::Result;
use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// The variable that hides a capability from the engine.
const VARIABLE: &str = "RINGWAY_MASK";

/// The capabilities to hide: all of `ringway_io::Capability`, by their names. This crate depends on
/// none of the engine's, so that it can check them while they do not build; a test compares.
const CAPABILITIES: [&str; 12] = [
    "no_sqarray",
    "min_timeout",
    "registered_buffers",
    "send_zc",
    "zc_report_usage",
    "recv_multishot",
    "accept_multishot",
    "cachestat",
    "splice",
    "arena_splice",
    "huge_pages",
    "no_iowait",
];

/// The crates whose behaviour depends on what the kernel can do.
const PACKAGES: [&str; 3] = ["ringway", "ringway-uring", "ringway-files"];

/// Runs the tests once for each capability.
pub fn run(workspace: &Workspace) -> Result<()> {
    let programs = TestPrograms::build(workspace, &PACKAGES)?;
    let run_without = |capability| run_without(capability, &programs);
    CAPABILITIES.into_iter().try_for_each(run_without)
}

fn run_without(capability: &'static str, programs: &TestPrograms) -> Result<()> {
    println!("--- without {capability}");
    let start = Invocation::new("env").args([format!("{VARIABLE}={capability}")]);
    TestRun::of(programs.commands(&start))
        .excusing(capability)
        .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A capability that is never hidden has a fall-back that never ran.
    #[test]
    fn every_capability_of_the_engine_is_hidden_once() {
        let table = include_str!("../../../../engine/io/src/capability.rs");
        // Its rows look like `SendZeroCopy = "send_zc",`.
        let names: Vec<_> = table
            .lines()
            .filter_map(|line| line.strip_suffix("\",")?.split_once(" = \""))
            .map(|(_, name)| name)
            .collect();
        assert_eq!(names, CAPABILITIES);
    }
}
