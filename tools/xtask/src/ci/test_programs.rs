//! The test programs that `cargo test --workspace` built, to be started in other surroundings.
//!
//! They are started directly, not by `cargo test -p …`: another choice of packages would resolve
//! other features and build everything again, and examples in the documentation would be compiled
//! anew for each run although they behave alike in all of them.

use std::ffi::OsStr;
use std::path::Path;

use super::left_out;
use crate::artifact::{self, Executable};
use crate::failure::Result;
use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// The test programs of some crates, and the other programs, which their tests start.
pub struct TestPrograms {
    tests: Vec<Executable>,
    programs: Vec<Executable>,
}

impl TestPrograms {
    /// Builds all tests, and keeps those of these packages.
    pub fn build(workspace: &Workspace, packages: &[&str]) -> Result<Self> {
        let build = Invocation::cargo().args(["test", "--workspace", "--no-run"]);
        println!("{build}");
        let built = artifact::executables(&build)?.into_iter();
        let (tests, programs): (Vec<_>, Vec<_>) = built.partition(|each| each.is_test);
        let dirs = workspace.dirs_of(packages);
        let is_kept = |test: &Executable| dirs.contains(&test.package_dir.as_path());
        Ok(Self {
            tests: tests.into_iter().filter(is_kept).collect(),
            programs,
        })
    }

    /// Every file a run needs to read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let all = self.tests.iter().chain(&self.programs);
        all.map(|executable| executable.path.as_path())
    }

    /// One command for each test program that [`left_out`] leaves something of: `start`, with the
    /// program as its last argument, and with what cargo tells a test.
    ///
    /// # Errors
    /// As [`left_out::choose`].
    pub fn commands(&self, start: &Invocation) -> Result<Vec<Invocation>> {
        let chosen = left_out::choose(&self.tests)?.into_iter();
        let command = |(test, words)| self.command(start.clone(), test).args::<Vec<String>>(words);
        Ok(chosen.map(command).collect())
    }

    fn command(&self, start: Invocation, test: &Executable) -> Invocation {
        let command = start
            .args([&test.path])
            .dir(&test.package_dir)
            .scratch_env("CARGO_MANIFEST_DIR", &test.package_dir);
        self.programs.iter().fold(command, |command, program| {
            let variable = format!("CARGO_BIN_EXE_{}", program.name);
            command.scratch_env(variable, AsRef::<OsStr>::as_ref(&program.path))
        })
    }
}
