//! Getting: the client's run, the mirror image of `put`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringway::{Engine, Errno};

use crate::batch::Committer;
use crate::boot::boot_id;
use crate::destination::{self, Destination, Existing, Named, Placement};
use crate::error::{Side, UsageError};
use crate::failure::{At, Failure, Fault, Halt, is_errno};
use crate::get_file::GetFile;
use crate::limits::{PLAN_ENTRIES_MAX, SMALL_MEMORY_KIB_MAX};
use crate::link::Link;
use crate::list::{Entry, EntryKind, ListOptions};
use crate::observer::{Observer, SkipReason};
use crate::partial::MODE_KEPT;
use crate::plan::{Plan, PlannedDirectory, PlannedFile};
use crate::put::look;
use crate::remote_task::run_on;
use crate::report::TransferReport;
use crate::root::Root;
use crate::run::{Run, under};
use crate::signal::Permits;
use crate::{FilesError, Overwrite, PageCache, RemotePath, list_run};

/// How to get; as [`crate::PutOptions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetOptions {
    /// Directories too, with all that is in them. Without it a directory is a usage error.
    pub recursive: bool,
    /// What to do with targets that exist.
    pub overwrite: Overwrite,
    /// Discard a partial file that is there instead of resuming it, whatever its source.
    pub restart: bool,
    /// Have the server read the source again, read the finished file back, and compare digests.
    pub verify: bool,
    /// Whether large files here pass the page cache.
    pub cache: PageCache,
    /// Small files under way at once.
    pub small_files_in_flight: usize,
    /// Large files (1 MiB or more) under way at once.
    pub large_files_in_flight: usize,
}

impl Default for GetOptions {
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

/// One call of [`crate::Client::get`].
#[derive(Clone)]
pub(crate) struct GetRun {
    run: Run,
    options: GetOptions,
}

/// A source as it was named, and what is there.
struct Looked {
    path: RemotePath,
    entry: Entry,
}

/// Where a run writes: a local directory, and how the sources are placed in it.
struct Local {
    root: Root,
    /// The name of the only source, if it gets a new one.
    name: Option<RemotePath>,
}

impl GetRun {
    pub(crate) fn new(
        engine: &Engine,
        link: &Arc<Link>,
        options: GetOptions,
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
        sources: Vec<OsString>,
        destination: PathBuf,
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
        sources: Vec<OsString>,
        destination: PathBuf,
    ) -> Result<TransferReport, FilesError> {
        let began = self.run.engine.now().await?;
        let sources = self.look_at_sources(&sources).await?;
        let local = self.local(&sources, &destination).await?;
        let plan = self.plan(&sources, &local).await?;
        let mut report = TransferReport::default();
        self.run.announce(&plan, &mut report);
        let directories = plan.directories.iter().map(|planned| &planned.target);
        let made = local.root.make_directories(directories).await;
        made.map_err(of_local)?;
        let get_file = GetFile {
            run: &self.run,
            options: &self.options,
            root: &local.root,
            boot: boot_id(&self.run.engine).await,
            committer: Committer::default(),
            memory: Permits::new(SMALL_MEMORY_KIB_MAX),
        };
        self.run.transfer(&plan, &mut report, &get_file).await?;
        set_directories(&local.root, &plan)
            .await
            .map_err(of_local)?;
        report.seconds = (self.run.engine.now().await? - began).as_secs_f64();
        self.run.conclude(&plan, report)
    }

    async fn look_at_sources(&self, sources: &[OsString]) -> Result<Vec<Looked>, FilesError> {
        let mut looked = Vec::with_capacity(sources.len());
        for source in sources {
            let path = RemotePath::parse(source).map_err(UsageError::Path)?;
            let found = look(&self.run.link, &self.run.observer, &path).await?;
            let Some(entry) = found else {
                let failure = Failure::new(Fault::NotFound, path.as_path());
                return Err(FilesError::File {
                    side: Side::Remote,
                    failure,
                });
            };
            if entry.kind == EntryKind::Directory && !self.options.recursive {
                return Err(UsageError::DirectoryNeedsRecursive(path.to_path_buf()).into());
            }
            looked.push(Looked { path, entry });
        }
        Ok(looked)
    }

    async fn local(&self, sources: &[Looked], path: &Path) -> Result<Local, FilesError> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let engine = &self.run.engine;
        let existing = existing(engine, path).await.map_err(of_local)?;
        let named: Vec<Named> = sources
            .iter()
            .map(|source| Named {
                name: source.path.file_name().map(OsStr::to_owned),
                is_directory: source.entry.kind == EntryKind::Directory,
            })
            .collect();
        let has_trailing_slash = path.as_os_str().as_bytes().ends_with(b"/");
        let to = Destination {
            path,
            existing,
            has_trailing_slash,
        };
        if destination::place(&named, to)? == Placement::Into {
            let root = Root::open(engine, path, path).await.map_err(of_local)?;
            return Ok(Local { root, name: None });
        }
        let Some(name) = path.file_name() else {
            return Err(UsageError::SlashNeedsDirectory(path.to_owned()).into());
        };
        let parent = path.parent().unwrap_or_else(|| Path::new(""));
        let root = Root::open(engine, parent, parent).await.map_err(of_local)?;
        let name = RemotePath::root().join(name).map_err(UsageError::Path)?;
        Ok(Local {
            root,
            name: Some(name),
        })
    }

    async fn plan(&self, sources: &[Looked], local: &Local) -> Result<Plan, FilesError> {
        let mut plan = Plan::default();
        for source in sources {
            let target = match &local.name {
                Some(name) => name.clone(),
                None => under(&RemotePath::root(), source.path.file_name())?,
            };
            add(
                &mut plan,
                source.path.to_path_buf(),
                target.clone(),
                &source.entry,
            )?;
            if source.entry.kind != EntryKind::Directory {
                continue;
            }
            let options = ListOptions {
                recursive: true,
                entries_max: PLAN_ENTRIES_MAX,
            };
            let Run { link, observer, .. } = &self.run;
            for entry in list_run::entries(link, observer, &source.path, options).await? {
                let below = entry.path.as_path().as_os_str();
                let path = source.path.join(below).map_err(UsageError::Path)?;
                let target = target.join(below).map_err(UsageError::Path)?;
                add(&mut plan, path.to_path_buf(), target, &entry)?;
            }
        }
        Ok(plan)
    }
}

fn of_local(halt: Halt) -> FilesError {
    FilesError::of_halt(halt, Side::Local)
}

fn add(
    plan: &mut Plan,
    source: PathBuf,
    target: RemotePath,
    entry: &Entry,
) -> Result<(), FilesError> {
    let (size, modified) = (entry.size, entry.modified());
    match entry.kind {
        EntryKind::File => plan.add_file(PlannedFile {
            source,
            target,
            size,
            modified,
        }),
        EntryKind::Directory if target.is_root() => Ok(()),
        EntryKind::Directory => {
            let mode = entry.mode;
            plan.add_directory(PlannedDirectory {
                target,
                mode,
                modified,
            })
        }
        EntryKind::Symlink => {
            plan.skip(source, SkipReason::Symlink);
            Ok(())
        }
        EntryKind::Special => {
            plan.skip(source, SkipReason::Special);
            Ok(())
        }
    }
}

async fn existing(engine: &Engine, path: &Path) -> Result<Existing, Halt> {
    match engine.ambient().open_directory(path).await {
        Ok(_) => Ok(Existing::Directory),
        Err(error) if is_errno(&error, Errno::ENOENT) => Ok(Existing::Missing),
        Err(error) if is_errno(&error, Errno::ENOTDIR) => Ok(Existing::Other),
        Err(error) => Err(error).at(path),
    }
}

/// Deepest first: a directory's time changes when something is made in it.
async fn set_directories(root: &Root, plan: &Plan) -> Result<(), Halt> {
    for planned in plan.directories.iter().rev() {
        let directory = root.enter(&planned.target).await?;
        let mode = planned.mode & MODE_KEPT;
        let set = directory
            .set_attributes(Some(mode), Some(planned.modified.as_ns()))
            .await;
        set.at(root.show(&planned.target))?;
    }
    Ok(())
}
