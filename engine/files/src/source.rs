//! A file that is read to be sent, at either end, and noticed when it changes (F-21).

use std::path::{Path, PathBuf};

use bytes::Bytes;
use ringway::{Directory, Errno, Error, File, FileKind, FileStat, OpenHow};

use crate::failure::{At, Failure, Fault, Halt, is_errno};
use crate::identity::SourceIdentity;

/// An open source file and the version of it that is being sent.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) file: File,
    pub(crate) identity: SourceIdentity,
    pub(crate) mode: u32,
    shown: PathBuf,
}

/// Neither follows a link nor waits for the other side of a FIFO.
const HOW: OpenHow = OpenHow {
    no_follow: true,
    non_blocking: true,
    ..OpenHow::READ
};

impl Source {
    /// Opens a regular file; anything else is a failure.
    pub(crate) async fn open(
        directory: &Directory,
        path: impl AsRef<Path>,
        shown: &Path,
    ) -> Result<Self, Halt> {
        let fail = |fault| Err(Failure::new(fault, shown).into());
        let file = match directory.open(path, HOW).await {
            Err(error) if is_errno(&error, Errno::EISDIR) => return fail(Fault::IsDirectory),
            other => other.at(shown)?,
        };
        let stat = file.stat().await.at(shown)?;
        match stat.kind {
            FileKind::Regular => Ok(Self::opened(file, &stat, shown)),
            FileKind::Directory => fail(Fault::IsDirectory),
            FileKind::Symlink | FileKind::Special => fail(Fault::NotRegular),
        }
    }

    fn opened(file: File, stat: &FileStat, shown: &Path) -> Self {
        Self {
            file,
            identity: SourceIdentity::of(stat),
            mode: stat.mode,
            shown: shown.to_owned(),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.identity.size
    }

    /// Fails with [`Fault::SourceChanged`] if the file is not what it was when it was opened.
    pub(crate) async fn check(&self) -> Result<(), Halt> {
        let now = SourceIdentity::of(&self.file.stat().await.at(&self.shown)?);
        match now == self.identity {
            true => Ok(()),
            false => Err(Failure::new(Fault::SourceChanged, &self.shown).into()),
        }
    }

    /// Reads all of a small file, as one version of it.
    pub(crate) async fn content(&self) -> Result<Bytes, Halt> {
        let buffer = vec![0; usize::try_from(self.size()).unwrap_or(0)];
        if buffer.is_empty() {
            self.check().await?;
            return Ok(Bytes::new());
        }
        let (mut buffer, filled) = self.file.read_at(0, buffer).await.at(&self.shown)?;
        self.check().await?;
        if (filled as u64) < self.size() {
            return Err(Failure::new(Fault::SourceChanged, &self.shown).into());
        }
        buffer.truncate(filled);
        Ok(buffer.into())
    }

    /// Says what an error of the stream that this file is sent on means.
    pub(crate) fn at<T>(&self, result: Result<T, Error>) -> Result<T, Halt> {
        result.at(&self.shown)
    }
}
