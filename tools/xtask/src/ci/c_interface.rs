//! The step `c`: what a C programmer does with a clone.
//!
//! Installs below `target/`, builds the examples with both compilers, runs them against each other
//! and against the `ringway` command, and compares the header with those that were released. The C
//! tests under the sanitizers are cargo tests of ringway-ffi: the step `test` runs them.
//!
//! Everything is built without optimisation, as the step `test` has built it already.

use crate::abi;
use crate::apt;
use crate::artifact;
use crate::failure::Result;
use crate::install;
use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// Compilers, what the Makefile asks, and what check.sh starts.
const PACKAGES: [&str; 5] = ["gcc", "clang", "make", "pkg-config", "python3"];

/// Runs it.
pub fn run(workspace: &Workspace) -> Result<()> {
    apt::ensure(&PACKAGES)?;
    let prefix = workspace.cache_dir("c-prefix");
    install::run(workspace, &install::Options::unoptimised(&prefix))?;
    let build = Invocation::cargo().args(["build", "-p", "ringway-tools", "--bin", "ringway"]);
    let command = artifact::program(&build, "ringway")?;
    for (compiler, goals) in [("clang", &["all"][..]), ("gcc", &["all", "check"])] {
        let make = Invocation::new("make")
            .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
            .env("RINGWAY", &command)
            .args(["-C"])
            .args([workspace.root().join("ffi/examples")])
            .args([format!("CC={compiler}")])
            .args([format!(
                "BUILD={}",
                workspace.cache_dir("examples-c").join(compiler).display()
            )])
            .args(goals);
        println!("{make}");
        make.stream()?;
    }
    abi::run(workspace, &abi::Options {})
}
