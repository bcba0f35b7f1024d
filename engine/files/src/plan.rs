//! What a run is going to do: found out before anything is transferred, so that progress has a
//! total and directories stand before their files.

use std::path::PathBuf;

use crate::error::FilesError;
use crate::identity::Timestamp;
use crate::limits::PLAN_ENTRIES_MAX;
use crate::observer::SkipReason;
use crate::path::RemotePath;
use crate::report::SkippedFile;

/// A file to be transferred.
#[derive(Debug)]
pub(crate) struct PlannedFile {
    /// The source's path: local for a put, below the server's root for a get.
    pub(crate) source: PathBuf,
    /// Below the root of the receiving side.
    pub(crate) target: RemotePath,
    /// When it was looked at, bytes.
    pub(crate) size: u64,
    pub(crate) modified: Timestamp,
}

/// A directory to be made.
#[derive(Debug)]
pub(crate) struct PlannedDirectory {
    /// Below the root of the receiving side.
    pub(crate) target: RemotePath,
    pub(crate) mode: u32,
    pub(crate) modified: Timestamp,
}

/// All of it, in the order of the source tree: a directory before what it holds.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) directories: Vec<PlannedDirectory>,
    pub(crate) files: Vec<PlannedFile>,
    pub(crate) skipped: Vec<SkippedFile>,
    pub(crate) bytes: u64,
}

impl Plan {
    fn check_room(&self) -> Result<(), FilesError> {
        let wanted = self.files.len() + self.directories.len() + 1;
        if wanted <= PLAN_ENTRIES_MAX {
            return Ok(());
        }
        Err(FilesError::Limit {
            what: "files and directories in one run",
            wanted: wanted as u64,
            allowed: PLAN_ENTRIES_MAX as u64,
        })
    }

    pub(crate) fn add_file(&mut self, file: PlannedFile) -> Result<(), FilesError> {
        self.check_room()?;
        self.bytes += file.size;
        self.files.push(file);
        Ok(())
    }

    pub(crate) fn add_directory(&mut self, directory: PlannedDirectory) -> Result<(), FilesError> {
        self.check_room()?;
        self.directories.push(directory);
        Ok(())
    }

    pub(crate) fn skip(&mut self, path: PathBuf, reason: SkipReason) {
        self.skipped.push(SkippedFile { path, reason });
    }
}
