//! `cargo xtask asan`: the tests of the real kernel under AddressSanitizer.
//!
//! The kernel writes into memory that we lent it: what is freed too early is overwritten later, by
//! nobody that a debugger would see. The sanitizer sees the frees, and what our own code does with
//! memory afterwards. It is a flag of a nightly compiler; the stable one takes it under
//! `RUSTC_BOOTSTRAP=1`. Everything is built again, in a directory of its own.

use crate::failure::Result;
use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// Naming the target keeps build scripts and macros, which run in the compiler, out of it.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Run the tests of the real kernel under AddressSanitizer
///
/// Those of ringway-uring and ringway, examples in the documentation apart. The first run builds
/// everything again and takes minutes.
#[derive(clap::Args)]
pub struct Options {
    /// What is passed on to the tests, behind `--`: names of tests, for example
    #[arg(last = true)]
    tests: Vec<String>,
}

/// Builds and runs them.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let command = Invocation::cargo()
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=address")
        // What an op that never completes may still write to is leaked on purpose; and the search
        // for leaks was seen to hang at the end of a program with rings.
        .env("ASAN_OPTIONS", "detect_leaks=0")
        .env("CARGO_TARGET_DIR", workspace.cache_dir("asan"))
        .args(["test", "-p", "ringway-uring", "-p", "ringway", "--tests"])
        .args(["--target", TARGET, "--"])
        .args(&options.tests);
    println!("{command}");
    command.stream()
}
