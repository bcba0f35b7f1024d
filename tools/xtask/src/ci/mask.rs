//! The tests again, without the kernel features that an older kernel lacks, some at a time.
//!
//! The engine reads [`VARIABLE`] at its start and behaves as if the kernel had not offered these
//! capabilities. So every fall-back runs on a kernel where it would never be taken.

use super::test_programs::TestPrograms;
use super::test_run::TestRun;
use crate::failure::Result;
use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// The variable that hides a capability from the engine.
const VARIABLE: &str = "RINGWAY_MASK";

/// The capabilities to hide: all of `ringway_io::Capability`, by their names, those of a row at
/// once. This crate depends on none of the engine's, so that it can check them while they do not
/// build; a test compares.
///
/// In a row stand only those that no code asks for together, so that each fall-back runs as if it
/// were alone: the first row has what a ring is set up with and waits by, how connections are
/// accepted, how residency is asked for, and the pages of an arena; none is about how bytes move.
/// In the second, one is of receiving, one of zero-copy sends that go on. The others bear on one
/// choice, the path of a body, and are hidden one by one.
const ROWS: [&[&str]; 6] = [
    &[
        "no_sqarray",
        "min_timeout",
        "accept_multishot",
        "cachestat",
        "huge_pages",
        "no_iowait",
    ],
    &["zc_report_usage", "recv_multishot"],
    &["registered_buffers"],
    &["send_zc"],
    &["splice"],
    &["arena_splice"],
];

/// The crates whose behaviour depends on what the kernel can do.
const PACKAGES: [&str; 3] = ["ringway", "ringway-uring", "ringway-files"];

/// Runs the tests once for each row.
pub fn run(workspace: &Workspace) -> Result<()> {
    let programs = TestPrograms::build(workspace, &PACKAGES)?;
    ROWS.into_iter()
        .try_for_each(|row| run_without(row, &programs))
}

fn run_without(row: &'static [&'static str], programs: &TestPrograms) -> Result<()> {
    let mask = row.join(",");
    println!("--- without {mask}");
    let start = Invocation::new("env").args([format!("{VARIABLE}={mask}")]);
    TestRun::of(programs.commands(&start)?).excusing(row).run()
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
        let mut hidden = ROWS.concat();
        hidden.sort_by_key(|name| names.iter().position(|it| it == name));
        assert_eq!(hidden, names);
    }
}
