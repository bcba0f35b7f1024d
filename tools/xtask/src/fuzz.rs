//! `cargo xtask fuzz`: libFuzzer on the protocol, for as long as it is told.
//!
//! The targets are in engine/proto/fuzz, outside of the workspace. cargo-fuzz wants flags of a
//! nightly compiler; the stable one takes them under `RUSTC_BOOTSTRAP=1`. What a run finds worth
//! keeping stays in the build directory; the committed corpus is only read, and grows by hand.

use std::fs;
use std::path::PathBuf;

use crate::failure::{Failure, Result};
use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// Where the targets are, from the root.
const FOLDER: &str = "engine/proto/fuzz";

/// No longer inputs are tried, in bytes.
const INPUT_BYTES_MAX: usize = 4096;

/// What is fuzzed.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// The decoder of frames
    Frames,
    /// Both roles of a handshake, alone and with somebody in between
    Handshake,
    /// A session under any frames and calls
    Session,
}

/// Feed the protocol what a fuzzer makes up, and stop at the first failure
///
/// Needs cargo-fuzz (`cargo install cargo-fuzz --locked`). A failure leaves the input in the build
/// directory and names it; give it a name in engine/proto/fuzz/corpus, and `cargo test` runs it.
#[derive(clap::Args)]
pub struct Options {
    /// How long each target runs
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u64,
    /// Only this target; may be given several times
    #[arg(long, value_enum, value_name = "TARGET")]
    target: Vec<Target>,
}

/// Runs the targets one after the other.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let is_wanted = |target: &Target| options.target.is_empty() || options.target.contains(target);
    let targets = [Target::Frames, Target::Handshake, Target::Session];
    for target in targets.into_iter().filter(is_wanted) {
        let command = command(workspace, target, options.seconds)?;
        println!("{command}");
        command.stream()?;
    }
    Ok(())
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Handshake => "handshake",
            Self::Session => "session",
        }
    }
}

fn command(workspace: &Workspace, target: Target, seconds: u64) -> Result<Invocation> {
    let folder = workspace.root().join(FOLDER);
    let found = made(workspace.cache_dir("fuzz/corpus").join(target.name()))?;
    let failed = made(workspace.cache_dir("fuzz/failed").join(target.name()))?;
    let committed = folder.join("corpus").join(target.name());
    let command = Invocation::cargo()
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", workspace.cache_dir("fuzz"))
        .args(["fuzz", "run", "--fuzz-dir"])
        .args([&folder])
        .args([target.name()])
        // New inputs go into the first folder.
        .args([found, committed])
        .args(["--".to_owned()])
        .args([
            format!("-max_total_time={seconds}"),
            format!("-max_len={INPUT_BYTES_MAX}"),
            // The name of an input is put behind it.
            format!("-artifact_prefix={}/", failed.display()),
            "-print_final_stats=1".to_owned(),
        ]);
    Ok(command)
}

fn made(path: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&path).map_err(Failure::file(&path))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A target that is never started finds nothing.
    #[test]
    fn every_target_of_the_folder_is_started() {
        let workspace = Workspace::load().expect("cargo describes the workspace");
        let folder = workspace.root().join(FOLDER).join("targets");
        let mut names: Vec<_> = fs::read_dir(folder)
            .expect("the targets")
            .map(|file| file.expect("readable").path())
            .map(|path| path.file_stem().expect("a name").to_owned())
            .collect();
        names.sort();
        let started = [Target::Frames, Target::Handshake, Target::Session];
        assert_eq!(names, started.map(Target::name));
    }
}
