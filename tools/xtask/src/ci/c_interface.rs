//! The step `c`: what a C programmer does with a clone.
//!
//! Installs below `target/`, builds the examples with both compilers, runs them, under the sanitizers
//! of addresses and of undefined behaviour, against each other and against the `ringway` command,
//! and compares the header with those that were released. The C tests under the sanitizers are cargo
//! tests of ringway-ffi: the step `test` runs them.
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

/// A folder of its own for each way to build, the compiler, its flags, and what is made.
const BUILDS: [(&str, &str, &str, &[&str]); 3] = [
    ("clang", "clang", "-O2 -g", &["all"]),
    ("gcc", "gcc", "-O2 -g", &["all"]),
    (
        "sanitized",
        "gcc",
        "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all",
        &["all", "check"],
    ),
];

/// Runs it.
pub fn run(workspace: &Workspace) -> Result<()> {
    apt::ensure(&PACKAGES)?;
    let prefix = workspace.cache_dir("c-prefix");
    install::run(workspace, &install::Options::unoptimised(&prefix))?;
    let build = Invocation::cargo().args(["build", "-p", "ringway-tools", "--bin", "ringway"]);
    let command = artifact::program(&build, "ringway")?;
    for (folder, compiler, flags, goals) in BUILDS {
        let make = Invocation::new("make")
            .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
            .env("RINGWAY", &command)
            .args(["-C"])
            .args([workspace.root().join("ffi/examples")])
            .args([format!("CC={compiler}"), format!("CFLAGS={flags}")])
            .args([format!(
                "BUILD={}",
                workspace.cache_dir("examples-c").join(folder).display()
            )])
            .args(goals);
        println!("{make}");
        make.stream()?;
    }
    abi::run(workspace, &abi::Options {})
}
