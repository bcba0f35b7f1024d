//! The file into which tests write that they could not run.
//!
//! Printing alone would not do: the harness swallows what a passing test prints. A test that cannot
//! run appends one line, `SKIP <test>: <reason>`, to the file that [`VARIABLE`] names.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// The variable that names the file.
pub const VARIABLE: &str = "RINGWAY_TEST_SKIP_FILE";

/// An empty file for one run of tests.
pub struct SkipFile {
    path: PathBuf,
}

impl SkipFile {
    /// Creates the file in `dir`; any user may append to it.
    pub fn create(dir: &Path) -> Result<Self> {
        let path = dir.join("skipped");
        fs::write(&path, "").map_err(Failure::file(&path))?;
        let everyone = Permissions::from_mode(0o666);
        fs::set_permissions(&path, everyone).map_err(Failure::file(&path))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was written.
    pub fn lines(&self) -> Result<Vec<String>> {
        let text = fs::read(&self.path).map_err(Failure::file(&self.path))?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().map(str::to_owned).collect())
    }
}
