//! Why a job failed, in words that name the next step.

use std::io;
use std::path::{Path, PathBuf};

use crate::layers::Finding;

/// What every job returns.
pub type Result<T> = std::result::Result<T, Failure>;

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The operating system refused a file.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// Cargo could not describe the workspace.
    #[error("{0}")]
    Metadata(#[from] cargo_metadata::Error),
    /// The house rules are broken.
    #[error("{} against the rules of the house (docs/ARCHITECTURE.md):{}", count(.0.len(), "finding"), list(.0))]
    Layers(Vec<Finding>),
}

impl Failure {
    /// For `map_err` on calls about one file.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }
}

fn count(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn list<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("\n  {item}")).collect()
}
