//! Builds something with cargo and finds out where the executables are.

use std::io::BufReader;
use std::path::PathBuf;
use std::process::Stdio;

use cargo_metadata::{Artifact, Message};

use crate::failure::{Failure, Result};
use crate::invocation::Invocation;

/// An executable that cargo built.
#[derive(Debug)]
pub struct Executable {
    /// The target's name: of a program, a library's unit tests or an integration test.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The directory of its package, where cargo runs tests.
    pub package_dir: PathBuf,
    /// Whether it is a test harness; otherwise it is a program.
    pub is_test: bool,
}

/// Runs a building `cargo` command and returns the executables it made, or found up to date.
pub fn executables(build: &Invocation) -> Result<Vec<Executable>> {
    let build = build
        .clone()
        .args(["--message-format=json-render-diagnostics"]);
    let mut child = build.start(Stdio::piped())?;
    let mut found = Vec::new();
    if let Some(messages) = child.stdout.take() {
        for message in Message::parse_stream(BufReader::new(messages)) {
            if let Message::CompilerArtifact(artifact) = message.map_err(|e| build.broken(e))? {
                found.extend(executable(artifact));
            }
        }
    }
    build.finish(child)?;
    Ok(found)
}

/// Builds one program and returns its path.
pub fn program(build: &Invocation, name: &str) -> Result<PathBuf> {
    find(build, |it| it.name == name && !it.is_test, name)
}

/// Builds one benchmark or test program and returns its path. To cargo a benchmark is a test,
/// whether or not it has a harness.
pub fn bench_or_test(build: &Invocation, name: &str) -> Result<PathBuf> {
    find(build, |it| it.name == name, name)
}

fn find(build: &Invocation, is_it: impl Fn(&Executable) -> bool, name: &str) -> Result<PathBuf> {
    let found = executables(build)?.into_iter().find(is_it);
    found
        .map(|executable| executable.path)
        .ok_or_else(|| Failure::NoExecutable {
            line: build.to_string(),
            name: name.to_owned(),
        })
}

fn executable(artifact: Artifact) -> Option<Executable> {
    let manifest = artifact.manifest_path.as_std_path();
    let package_dir = manifest.parent().unwrap_or(manifest).to_owned();
    Some(Executable {
        name: artifact.target.name,
        path: artifact.executable?.into_std_path_buf(),
        package_dir,
        is_test: artifact.profile.test,
    })
}
