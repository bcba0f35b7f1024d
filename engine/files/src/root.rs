//! The directory that paths start at, at either end, and how to get from it to a target (F-11).
//!
//! A path is walked name by name, each beneath the directory opened before it, and no symbolic
//! link is followed: there is no text that leads outside, and no race that does.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use ringway::{Directory, Engine, Errno, FileKind, FileStat};

use crate::failure::{At, Failure, Fault, Halt, is_errno};
use crate::limits::BATCH_SYNC_SINGLY_MAX;
use crate::names;
use crate::path::RemotePath;

/// Where a file is, or is to be: an open directory and a name in it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) directory: Directory,
    pub(crate) name: OsString,
    /// The path to name in messages.
    pub(crate) shown: PathBuf,
}

impl Target {
    /// What is there, `None` if nothing is.
    pub(crate) async fn look(&self) -> Result<Option<FileStat>, Halt> {
        look(&self.directory, &self.name, &self.shown).await
    }

    pub(crate) fn fail(&self, fault: Fault) -> Halt {
        Failure::new(fault, &self.shown).into()
    }
}

async fn look(directory: &Directory, name: &OsStr, shown: &Path) -> Result<Option<FileStat>, Halt> {
    match directory.stat(name).await {
        Err(error) if is_errno(&error, Errno::ENOENT) => Ok(None),
        other => other.at(shown).map(Some),
    }
}

/// An open directory that everything happens beneath.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    engine: Engine,
    directory: Directory,
    path: PathBuf,
    /// Device and inode, to notice that it was replaced.
    identity: (u64, u64),
    /// Put before paths in messages: nothing at the server, whose clients know only what is
    /// below.
    shown: PathBuf,
}

impl Root {
    /// Opens a local directory; symbolic links in `path` are the local user's own and followed.
    pub(crate) async fn open(engine: &Engine, path: &Path, shown: &Path) -> Result<Self, Halt> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let directory = engine.ambient().open_directory(path).await.at(path)?;
        let stat = directory.stat("").await.at(path)?;
        Ok(Self {
            engine: engine.clone(),
            directory,
            path: path.to_owned(),
            identity: (stat.device, stat.inode),
            shown: shown.to_owned(),
        })
    }

    /// The same directory, opened by the task that asks, so that its operations stay on that
    /// task's shard.
    pub(crate) async fn reopen(&self) -> Result<Self, Halt> {
        let again = Self::open(&self.engine, &self.path, &self.shown).await;
        match again {
            Ok(again) if again.identity == self.identity => Ok(again),
            Ok(_) => Err(self.gone()),
            Err(Halt::Failed(failure)) if failure.fault == Fault::NotFound => Err(self.gone()),
            Err(other) => Err(other),
        }
    }

    fn gone(&self) -> Halt {
        Failure::new(Fault::RootGone, &self.shown).into()
    }

    /// Fails if the directory was removed or replaced since it was opened.
    pub(crate) async fn check(&self) -> Result<(), Halt> {
        self.reopen().await.map(drop)
    }

    /// A path as messages name it.
    pub(crate) fn show(&self, path: &RemotePath) -> PathBuf {
        match path.is_root() {
            true => self.shown.clone(),
            false => self.shown.join(path.as_path()),
        }
    }

    /// Opens a directory below; the root itself for the root path.
    pub(crate) async fn enter(&self, path: &RemotePath) -> Result<Directory, Halt> {
        let mut directory = self.directory.clone();
        for name in path.names() {
            // Beneath an open directory no symbolic link is followed: ELOOP, F-11.
            directory = match directory.open_directory(name).await.at(self.show(path)) {
                Err(halt) if halt.fault() == Some(&Fault::NotFound) => {
                    self.check().await?;
                    return Err(halt);
                }
                opened => opened?,
            };
        }
        Ok(directory)
    }

    /// Finds the place of a file: its directory must exist, it need not.
    pub(crate) async fn target(&self, path: &RemotePath) -> Result<Target, Halt> {
        let shown = self.show(path);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Failure::new(Fault::IsDirectory, shown).into());
        };
        if path.names().any(names::is_reserved) {
            return Err(Failure::new(Fault::Reserved, shown).into());
        }
        let name = name.to_owned();
        let directory = self.enter(&parent).await?;
        Ok(Target {
            directory,
            name,
            shown,
        })
    }

    /// What is at a path, `None` if nothing is; symbolic links are not followed.
    pub(crate) async fn look(&self, path: &RemotePath) -> Result<Option<FileStat>, Halt> {
        let found = match path.is_root() {
            true => self.directory.stat("").await.at(&self.shown).map(Some),
            false => match self.target(path).await {
                Ok(target) => target.look().await,
                Err(halt) => Err(halt),
            },
        };
        match found {
            Ok(Some(stat)) if !path.is_root() => Ok(Some(stat)),
            Err(Halt::Failed(failure)) if failure.fault == Fault::NotFound => Ok(None),
            Ok(found) => self.check().await.map(|()| found),
            Err(other) => Err(other),
        }
    }

    /// Makes directories, parents first, durably: else a crash takes the files in them away that
    /// were said to be in place. Those that are there are fine, and made durable too: who made
    /// them may have been killed before that.
    pub(crate) async fn make_directories(
        &self,
        paths: impl Iterator<Item = &RemotePath>,
    ) -> Result<(), Halt> {
        let mut parents = BTreeSet::new();
        for path in paths {
            self.make_directory(path).await?;
            parents.extend(path.parent());
        }
        let is_singly = parents.len() < BATCH_SYNC_SINGLY_MAX;
        let mut flushed = BTreeSet::new();
        for parent in parents {
            let (directory, shown) = (self.enter(&parent).await?, self.show(&parent));
            if is_singly {
                directory.sync().await.at(&shown)?;
            } else if flushed.insert(directory.stat("").await.at(&shown)?.device) {
                directory.sync_file_system().await.at(&shown)?;
            }
        }
        Ok(())
    }

    /// Makes a directory whose parent exists; fine if it is there.
    async fn make_directory(&self, path: &RemotePath) -> Result<(), Halt> {
        let target = self.target(path).await?;
        // Its final mode comes after its content: until then its owner must be able to write.
        let made = target.directory.make_directory(&target.name, 0o700).await;
        match made {
            Err(error) if is_errno(&error, Errno::EEXIST) => {}
            other => return other.at(&target.shown),
        }
        match target.look().await?.map(|stat| stat.kind) {
            Some(FileKind::Directory) => Ok(()),
            Some(FileKind::Regular) => Err(target.fail(Fault::NotDirectory)),
            _ => Err(target.fail(Fault::NotRegular)),
        }
    }
}
