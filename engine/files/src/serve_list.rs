//! Answering a list: pages, so that a large tree costs the memory of one directory per level.

use ringway::{Directory, FileKind, Status, Stream};

use crate::RemotePath;
use crate::failure::{Failure, Fault, Halt};
use crate::folder::{self, Folder};
use crate::limits::PAGE_BYTES;
use crate::list::Entry;
use crate::message::{Reply, encode};
use crate::names;
use crate::service::Service;

/// A directory that is being listed: what is left of it.
struct Level {
    path: RemotePath,
    directory: Directory,
    rest: std::vec::IntoIter<(std::ffi::OsString, ringway::FileStat)>,
}

/// Entries on their way out.
struct Pages<'a> {
    stream: &'a Stream,
    entries: Vec<Entry>,
    bytes: usize,
}

impl Pages<'_> {
    async fn add(&mut self, entry: Entry) -> Result<(), Halt> {
        // The names of the fields and the numbers take less than this.
        self.bytes += entry.path.as_path().as_os_str().len() + 128;
        self.entries.push(entry);
        match self.bytes < PAGE_BYTES {
            true => Ok(()),
            false => self.flush().await,
        }
    }

    async fn flush(&mut self) -> Result<(), Halt> {
        self.bytes = 0;
        let entries = std::mem::take(&mut self.entries);
        self.stream
            .send_record(encode(&Reply::Page { entries }))
            .await?;
        Ok(())
    }
}

impl Service {
    pub(crate) async fn list(
        &self,
        stream: &Stream,
        path: &RemotePath,
        recursive: bool,
    ) -> Result<(), Halt> {
        self.root.check().await?;
        let directory = self.root.enter(path).await?;
        let mut pages = Pages {
            stream,
            entries: Vec::new(),
            bytes: 0,
        };
        let mut levels = vec![self.level(path, RemotePath::root(), directory).await?];
        while let Some(level) = levels.last_mut() {
            let Some((name, stat)) = level.rest.next() else {
                levels.pop();
                continue;
            };
            let below = level
                .path
                .join(&name)
                .map_err(|error| Failure::new(Fault::Path(error), self.root.show(path)))?;
            pages.add(Entry::new(below.clone(), &stat)).await?;
            if recursive && stat.kind == FileKind::Directory {
                let directory = level.directory.clone();
                levels.extend(self.descend(path, below, &directory, &name).await?);
            }
        }
        pages.flush().await?;
        Ok(stream.finish(Status::ok()).await?)
    }

    /// The next level; none if the directory vanished meanwhile.
    async fn descend(
        &self,
        path: &RemotePath,
        below: RemotePath,
        directory: &Directory,
        name: &std::ffi::OsStr,
    ) -> Result<Option<Level>, Halt> {
        use crate::failure::At;
        let shown = self.root.show(path).join(below.as_path());
        match directory.open_directory(name).await.at(&shown) {
            Err(halt) if halt.fault() == Some(&Fault::NotFound) => Ok(None),
            opened => Ok(Some(self.level(path, below, opened?).await?)),
        }
    }

    async fn level(
        &self,
        path: &RemotePath,
        below: RemotePath,
        directory: Directory,
    ) -> Result<Level, Halt> {
        let shown = self.root.show(path).join(below.as_path());
        let entries_max = self.shared.options.entries_per_directory_max;
        let mut entries: Folder = folder::read(&directory, entries_max, &shown).await?;
        entries.retain(|(name, _)| !names::is_reserved(name));
        let rest = entries.into_iter();
        Ok(Level {
            path: below,
            directory,
            rest,
        })
    }
}
