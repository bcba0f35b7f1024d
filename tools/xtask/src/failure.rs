//! Why a job failed, in words that name the next step.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use crate::layers::Finding;

/// What every job returns.
pub type Result<T> = std::result::Result<T, Failure>;

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A program could not be started at all.
    #[error("cannot start `{line}`: {source}")]
    Start { line: String, source: io::Error },
    /// A program ran and reported failure.
    #[error("`{line}` failed: {status}")]
    Command { line: String, status: ExitStatus },
    /// The operating system refused a file.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// Cargo could not describe the workspace.
    #[error("{0}")]
    Metadata(#[from] cargo_metadata::Error),
    /// A build succeeded without the executable that was asked for.
    #[error("`{line}` built no executable named `{name}`")]
    NoExecutable { line: String, name: String },
    /// The house rules are broken.
    #[error("{} against the rules of the house (docs/ARCHITECTURE.md):{}", count(.0.len(), "finding"), list(.0))]
    Layers(Vec<Finding>),
    /// Tests did not run where all of them must.
    #[error("{} skipped or ignored; on this machine none may be:{}", count(.0.len(), "test"), list(.0))]
    Skipped(Vec<String>),
    /// A row of the table of what runs leave out fits nothing.
    #[error("nothing is left out by this row of tools/xtask/src/ci/left_out.rs: {line}")]
    NothingLeftOut { line: String },
    /// The ordinary user can reach the tests in no way.
    #[error("uid {uid} can read neither {} nor what was built there, not even with CAP_DAC_READ_SEARCH", path.display())]
    Unreachable { uid: u32, path: PathBuf },
    /// The header could not be made.
    #[error("the header cannot be made: {text}")]
    Header { text: String },
    /// A committed file is not what would be made now.
    #[error("{} is not what `cargo xtask header` makes now: run it and commit the result", path.display())]
    Stale { path: PathBuf },
    /// The shared library offers other functions than the header declares.
    #[error("the shared library and the header differ in: {names}")]
    Symbols { names: String },
    /// Planted bugs that the simulator overlooks.
    #[error("{} not found within the stated number of seeds (tools/xtask/src/mutants/table.rs):{}", count(.0.len(), "mutant"), list(.0))]
    Missed(Vec<String>),
    /// What finds planted bugs finds something without any.
    #[error("without a planted bug the same seeds violate something: {text}")]
    Unmutated { text: String },
    /// A step of `ci` failed.
    #[error(
        "step `{step}`: {source}\n\nrepeat the command:  {repeat}\nrepeat the step:     cargo xtask ci --only {step}"
    )]
    Step {
        step: String,
        repeat: String,
        source: Box<Failure>,
    },
    /// No package source of this machine has the kernel.
    #[error(
        "no linux-image-{series}.*-cloud-amd64 package is known here, not even after `apt-get update`. {hint}"
    )]
    NoKernel {
        series: &'static str,
        hint: &'static str,
    },
    /// The package of a kernel holds no kernel.
    #[error("{package} holds no boot/vmlinuz-*")]
    NoImage { package: String },
    /// The guest neither finished nor gave up in time.
    #[error("the guest was stopped after {seconds} s (--timeout); see its console above")]
    GuestTimeout { seconds: u64 },
    /// The guest switched itself off before it had told the status of a command.
    #[error(
        "the guest ended without a status for `{line}`: it panicked or was killed, see its console above"
    )]
    GuestSilent { line: String },
    /// A command inside the guest failed.
    #[error("in the guest, `{line}` ended with status {status}")]
    Guest { line: String, status: u8 },
    /// A command of the guest did not prove that the bytes arrived intact.
    #[error(
        "in the guest, `{line}` printed no JSON document with \"digest_ok\": true, but: {output}"
    )]
    Digest { line: String, output: String },
    /// What is to be drawn is no comparison.
    #[error("this is no document of `cargo xtask compare --json`: {what}")]
    NoComparison { what: String },
    /// A test program of the guest ran another number of tests than one.
    #[error("in the guest, `{line}` did not run one test that passed, but printed: {output}")]
    NoTest { line: String, output: String },
}

impl Failure {
    /// For `map_err` on calls about one file.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }

    /// What `cargo xtask` exits with: the guest's own status where there is one, so that the
    /// command's fixed exit codes survive the virtual machine around it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Guest { status, .. } => *status,
            Self::Step { source, .. } => source.exit_code(),
            _ => 1,
        }
    }

    /// The command line that shows this failure again, if one command does.
    pub fn command_line(&self) -> Option<&str> {
        match self {
            Self::Start { line, .. } | Self::Command { line, .. } => Some(line),
            _ => None,
        }
    }
}

fn count(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn list<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("\n  {item}")).collect()
}
