//! The JSON document that `simulate --report` writes: sums, faults by kind, violations.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// Where the program writes its sums.
pub struct Report {
    path: PathBuf,
    /// Removed when it is dropped.
    _scratch: tempfile::TempDir,
}

impl Report {
    /// A place for one.
    pub fn new() -> Result<Self> {
        let scratch = tempfile::tempdir().map_err(Failure::file(&std::env::temp_dir()))?;
        Ok(Self {
            path: scratch.path().join("report.json"),
            _scratch: scratch,
        })
    }

    /// Where the program is to write it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it has written.
    pub fn read(&self) -> Result<serde_json::Value> {
        let text = fs::read_to_string(self.path()).map_err(Failure::file(self.path()))?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::file(self.path())(std::io::Error::other(error)))
    }
}
