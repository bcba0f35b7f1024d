//! Walking a local tree to plan a put: no link is followed, nothing is opened but directories.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use ringway::{Directory, Engine, FileKind, FileStat};

use crate::FilesError;
use crate::error::{Side, UsageError};
use crate::failure::{At, Fault, Halt};
use crate::folder;
use crate::identity::Timestamp;
use crate::limits::PLAN_ENTRIES_MAX;
use crate::names;
use crate::observer::SkipReason;
use crate::path::RemotePath;
use crate::plan::{Plan, PlannedDirectory, PlannedFile};

/// A directory still to be read.
struct Pending {
    source: PathBuf,
    target: RemotePath,
}

/// Adds one source, a file or a whole tree, to a plan.
pub(crate) async fn add(
    engine: &Engine,
    source: &Path,
    stat: &FileStat,
    target: &RemotePath,
    plan: &mut Plan,
) -> Result<(), FilesError> {
    let name = source.file_name().unwrap_or_default();
    let mut pending = Vec::new();
    pending.extend(note(source.to_owned(), name, stat, target.clone(), plan)?);
    while let Some(Pending { source, target }) = pending.pop() {
        let folder = read(engine, &source).await;
        let folder = folder.map_err(|halt| FilesError::of_halt(halt, Side::Local))?;
        let mut below = Vec::new();
        for (name, stat) in folder {
            let target = target.join(&name).map_err(UsageError::Path)?;
            below.extend(note(source.join(&name), &name, &stat, target, plan)?);
        }
        // The stack gives the last one first.
        pending.extend(below.into_iter().rev());
    }
    Ok(())
}

async fn read(engine: &Engine, source: &Path) -> Result<folder::Folder, Halt> {
    let directory: Directory = match engine.ambient().open_directory(source).await.at(source) {
        Err(halt) if halt.fault() == Some(&Fault::NotFound) => return Ok(Vec::new()),
        opened => opened?,
    };
    folder::read(&directory, PLAN_ENTRIES_MAX, source).await
}

fn note(
    source: PathBuf,
    name: &OsStr,
    stat: &FileStat,
    target: RemotePath,
    plan: &mut Plan,
) -> Result<Option<Pending>, FilesError> {
    let modified = Timestamp::from_ns(stat.modified_ns);
    match stat.kind {
        _ if names::is_reserved(name) => plan.skip(source, SkipReason::Reserved),
        FileKind::Symlink => plan.skip(source, SkipReason::Symlink),
        FileKind::Special => plan.skip(source, SkipReason::Special),
        FileKind::Regular => {
            let size = stat.size;
            plan.add_file(PlannedFile {
                source,
                target,
                size,
                modified,
            })?;
        }
        FileKind::Directory => {
            // What has no name, `.` or `/`, gives its content to a directory that is there.
            if !name.is_empty() {
                let (mode, target) = (stat.mode, target.clone());
                plan.add_directory(PlannedDirectory {
                    target,
                    mode,
                    modified,
                })?;
            }
            return Ok(Some(Pending { source, target }));
        }
    }
    Ok(None)
}
