//! Putting: the client's run from the sources to the report.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringway::{Engine, FileKind, FileStat};

use crate::destination::{self, Destination, Existing, Named, Placement};
use crate::error::{Side, UsageError};
use crate::failure::{At, Halt};
use crate::limits::PAGE_BYTES;
use crate::limits::SMALL_MEMORY_KIB_MAX;
use crate::link::Link;
use crate::list::{Entry, EntryKind};
use crate::message::{DirectoryAttributes, Reply, Request, ask, receive_reply, unexpected};
use crate::observer::Observer;
use crate::plan::{Plan, PlannedDirectory};
use crate::put_file::PutFile;
use crate::remote_task::run_on;
use crate::report::TransferReport;
use crate::run::{Run, under};
use crate::signal::Permits;
use crate::{FilesError, Overwrite, PageCache, RemotePath, tree};

/// How to put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutOptions {
    /// Directories too, with all that is in them. Without it a directory is a usage error.
    pub recursive: bool,
    /// What to do with targets that exist.
    pub overwrite: Overwrite,
    /// Discard a partial file that is there instead of resuming it, whatever its source.
    pub restart: bool,
    /// Have the server read each finished file back, read the source again, and compare digests.
    /// Costs a read pass at both ends; without it the transport's own checks stand alone.
    pub verify: bool,
    /// Whether large files here pass the page cache.
    pub cache: PageCache,
    /// Small files under way at once.
    pub small_files_in_flight: usize,
    /// Large files (1 MiB or more) under way at once.
    pub large_files_in_flight: usize,
}

impl Default for PutOptions {
    fn default() -> Self {
        Self {
            recursive: false,
            overwrite: Overwrite::Replace,
            restart: false,
            verify: false,
            cache: PageCache::Used,
            small_files_in_flight: 256,
            large_files_in_flight: 2,
        }
    }
}

/// One call of [`crate::Client::put`].
#[derive(Clone)]
pub(crate) struct PutRun {
    run: Run,
    options: PutOptions,
}

impl PutRun {
    pub(crate) fn new(
        engine: &Engine,
        link: &Arc<Link>,
        options: PutOptions,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let run = Run {
            engine: engine.clone(),
            link: Arc::clone(link),
            observer,
            small_in_flight: options.small_files_in_flight,
            large_in_flight: options.large_files_in_flight,
        };
        Self { run, options }
    }

    /// Runs on the shard that owns the session.
    pub(crate) async fn run(
        self,
        sources: Vec<PathBuf>,
        destination: OsString,
    ) -> Result<TransferReport, FilesError> {
        let shard = self
            .run
            .link
            .session(&self.run.observer)
            .await?
            .session
            .shard();
        let engine = self.run.engine.clone();
        run_on(&engine, shard, move || self.work(sources, destination)).await?
    }

    async fn work(
        self,
        sources: Vec<PathBuf>,
        destination: OsString,
    ) -> Result<TransferReport, FilesError> {
        let began = self.run.engine.now().await?;
        let plan = self.plan(&sources, &destination).await?;
        let mut report = TransferReport::default();
        self.run.announce(&plan, &mut report);
        self.make_directories(&plan).await?;
        let put_file = PutFile {
            run: &self.run,
            options: &self.options,
            memory: Permits::new(SMALL_MEMORY_KIB_MAX),
        };
        self.run.transfer(&plan, &mut report, &put_file).await?;
        self.set_directories(&plan).await?;
        report.seconds = (self.run.engine.now().await? - began).as_secs_f64();
        self.run.conclude(&plan, report)
    }

    async fn plan(&self, sources: &[PathBuf], destination: &OsStr) -> Result<Plan, FilesError> {
        let base = RemotePath::parse(destination).map_err(UsageError::Path)?;
        let looked = self.look_at_sources(sources).await?;
        let there = self.look(&base).await?;
        let named: Vec<Named> = looked
            .iter()
            .map(|(source, stat)| Named {
                name: source.file_name().map(OsStr::to_owned),
                is_directory: stat.kind == FileKind::Directory,
            })
            .collect();
        let to = Destination {
            path: base.as_path(),
            existing: existing(there.as_ref()),
            has_trailing_slash: destination.as_bytes().ends_with(b"/"),
        };
        let placement = destination::place(&named, to)?;
        let mut plan = Plan::default();
        for ((source, stat), named) in looked.iter().zip(&named) {
            let target = match placement {
                Placement::As => base.clone(),
                Placement::Into => under(&base, named.name.as_deref())?,
            };
            tree::add(&self.run.engine, source, stat, &target, &mut plan).await?;
        }
        Ok(plan)
    }

    async fn look_at_sources<'a>(
        &self,
        sources: &'a [PathBuf],
    ) -> Result<Vec<(&'a Path, FileStat)>, FilesError> {
        let mut looked = Vec::with_capacity(sources.len());
        for source in sources {
            let stat = self.run.engine.ambient().stat(source).await.at(source);
            let stat = stat.map_err(|halt| FilesError::of_halt(halt, Side::Local))?;
            if stat.kind == FileKind::Directory && !self.options.recursive {
                return Err(UsageError::DirectoryNeedsRecursive(source.clone()).into());
            }
            looked.push((source.as_path(), stat));
        }
        Ok(looked)
    }

    async fn look(&self, path: &RemotePath) -> Result<Option<Entry>, FilesError> {
        look(&self.run.link, &self.run.observer, path).await
    }

    async fn make_directories(&self, plan: &Plan) -> Result<(), FilesError> {
        for batch in batches(&plan.directories) {
            let paths: Vec<_> = batch
                .iter()
                .map(|directory| directory.target.clone())
                .collect();
            self.request_done(|| Request::MakeDirectories {
                paths: paths.clone(),
            })
            .await?;
        }
        Ok(())
    }

    /// Deepest first: a directory's time changes when something is made in it.
    async fn set_directories(&self, plan: &Plan) -> Result<(), FilesError> {
        for batch in batches(&plan.directories).iter().rev() {
            let attributes = |directory: &PlannedDirectory| DirectoryAttributes {
                path: directory.target.clone(),
                mode: directory.mode,
                modified: directory.modified,
            };
            let directories: Vec<_> = batch.iter().rev().map(attributes).collect();
            let request = || Request::SetDirectories {
                directories: directories.clone(),
            };
            self.request_done(request).await?;
        }
        Ok(())
    }

    async fn request_done(&self, request: impl Fn() -> Request) -> Result<(), FilesError> {
        let Run { link, observer, .. } = &self.run;
        link.persist(observer, Side::Local, async |session| {
            let stream = session.open(ringway::StreamOptions::default()).await?;
            ask(&stream, request()).await?;
            stream.finish(ringway::Status::ok()).await?;
            match receive_reply(&stream).await? {
                Reply::Done => Ok(()),
                other => Err(unexpected(&other)),
            }
        })
        .await
    }
}

/// What is at a path below the server's root.
pub(crate) async fn look(
    link: &Link,
    observer: &Arc<dyn Observer>,
    path: &RemotePath,
) -> Result<Option<Entry>, FilesError> {
    link.persist(observer, Side::Local, async |session| {
        let stream = session.open(ringway::StreamOptions::default()).await?;
        ask(&stream, Request::Look { path: path.clone() }).await?;
        stream.finish(ringway::Status::ok()).await?;
        match receive_reply(&stream).await? {
            Reply::Looked { entry } => Ok::<_, Halt>(entry),
            other => Err(unexpected(&other)),
        }
    })
    .await
}

fn existing(there: Option<&Entry>) -> Existing {
    match there.map(|entry| entry.kind) {
        None => Existing::Missing,
        Some(EntryKind::Directory) => Existing::Directory,
        Some(_) => Existing::Other,
    }
}

/// Cuts directories into requests of bounded size.
fn batches(directories: &[PlannedDirectory]) -> Vec<&[PlannedDirectory]> {
    let (mut batches, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, directory) in directories.iter().enumerate() {
        let more = directory.target.as_path().as_os_str().len() + 64;
        if bytes + more > PAGE_BYTES && index > start {
            batches.push(&directories[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += more;
    }
    if start < directories.len() {
        batches.push(&directories[start..]);
    }
    batches
}
