//! What putting and getting have in common: many files under way at once, and one report.

use std::cell::Cell;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use ringway::Engine;

use crate::FilesError;
use crate::limits::SMALL_FILE_BYTES_MAX;
use crate::link::Link;
use crate::observer::{Observer, SkipReason};
use crate::path::RemotePath;
use crate::plan::{Plan, PlannedFile};
use crate::report::{FailedFile, FileReport, SkippedFile, TransferReport};
use crate::window::Window;

/// What every part of a run needs.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) engine: Engine,
    pub(crate) link: Arc<Link>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) small_in_flight: usize,
    pub(crate) large_in_flight: usize,
}

/// How far one file has got, over all attempts of this run.
pub(crate) struct Progress<'a> {
    run: &'a Run,
    file: &'a PlannedFile,
    /// Where the first attempt began, bytes.
    resumed_from: Cell<Option<u64>>,
    /// Where the present attempt is.
    position: Cell<u64>,
    /// The furthest that any attempt was: what the observer has been told.
    reach: Cell<u64>,
    travelled: Cell<u64>,
}

impl<'a> Progress<'a> {
    fn new(run: &'a Run, file: &'a PlannedFile) -> Self {
        Self {
            run,
            file,
            resumed_from: Cell::new(None),
            position: Cell::new(0),
            reach: Cell::new(0),
            travelled: Cell::new(0),
        }
    }

    /// Whether no attempt has begun yet.
    pub(crate) fn is_first_attempt(&self) -> bool {
        self.resumed_from.get().is_none()
    }

    /// An attempt begins at `offset`, as the receiving side says. What it has beyond our last
    /// position did arrive, though the acks were lost.
    pub(crate) fn begin(&self, offset: u64) {
        if self.is_first_attempt() {
            self.resumed_from.set(Some(offset));
            self.reach.set(offset);
            if offset > 0 {
                self.run.observer.resumed_from(&self.file.source, offset);
            }
        } else {
            self.advance(offset.saturating_sub(self.position.get()));
        }
        self.position.set(offset);
    }

    /// So many more bytes have arrived.
    pub(crate) fn advance(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        self.run.link.progressed();
        self.travelled.set(self.travelled.get() + bytes);
        let position = self.position.get() + bytes;
        self.position.set(position);
        if position > self.reach.get() {
            self.run.observer.progress(position - self.reach.get());
            self.reach.set(position);
        }
    }

    /// The file has arrived.
    pub(crate) fn report(&self, bytes: u64, target: PathBuf, digest: Option<u128>) -> FileReport {
        self.run.observer.finished(&self.file.source);
        FileReport {
            source: self.file.source.clone(),
            target,
            bytes,
            resumed_from_bytes: self.resumed_from.get().unwrap_or(0),
            digest,
        }
    }
}

/// What became of one file that did not fail.
pub(crate) enum Arrival {
    Placed(FileReport),
    /// The target exists and the policy keeps it.
    Kept,
}

/// How one file is transferred.
pub(crate) trait FileJob {
    /// Transfers a file, over as many sessions as it takes.
    async fn transfer(
        &self,
        file: &PlannedFile,
        progress: &Progress<'_>,
    ) -> Result<Arrival, FilesError>;
}

impl Run {
    /// Transfers all files of a plan, several at once. Fails with the first error that concerns
    /// all of them; others are collected in the report.
    pub(crate) async fn transfer(
        &self,
        plan: &Plan,
        report: &mut TransferReport,
        job: &impl FileJob,
    ) -> Result<(), FilesError> {
        let is_small = |index: &usize| plan.files[*index].size < SMALL_FILE_BYTES_MAX;
        let all = 0..plan.files.len();
        let (small, large): (VecDeque<_>, VecDeque<_>) = all.partition(is_small);
        let (mut waiting, bounds) = ([small, large], [self.small_in_flight, self.large_in_flight]);
        let (mut under_way, mut window) = ([0, 0], Window::new());
        let mut outcomes: Vec<Option<FileReport>> = Vec::new();
        outcomes.resize_with(plan.files.len(), || None);
        loop {
            for (kind, waiting) in waiting.iter_mut().enumerate() {
                while under_way[kind] < bounds[kind].max(1) {
                    let Some(index) = waiting.pop_front() else {
                        break;
                    };
                    under_way[kind] += 1;
                    let file = &plan.files[index];
                    window.push(async move {
                        self.observer.started(&file.source, file.size);
                        let progress = Progress::new(self, file);
                        let outcome = job.transfer(file, &progress).await;
                        (kind, index, progress.travelled.get(), outcome)
                    });
                }
            }
            let Some((kind, index, travelled, outcome)) = window.next().await else {
                break;
            };
            under_way[kind] -= 1;
            report.body_bytes_sent += travelled;
            outcomes[index] = self.note(&plan.files[index], outcome, report)?;
        }
        report.files.extend(outcomes.into_iter().flatten());
        Ok(())
    }

    fn note(
        &self,
        file: &PlannedFile,
        outcome: Result<Arrival, FilesError>,
        report: &mut TransferReport,
    ) -> Result<Option<FileReport>, FilesError> {
        let path = file.source.clone();
        match outcome {
            Ok(Arrival::Placed(arrived)) => return Ok(Some(arrived)),
            Ok(Arrival::Kept) => {
                let reason = SkipReason::Exists;
                self.observer.skipped(&path, reason);
                report.skipped.push(SkippedFile { path, reason });
            }
            Err(error) => {
                self.observer.failed(&path, &error);
                if error.concerns_all() {
                    return Err(error);
                }
                report.failed.push(FailedFile { path, error });
            }
        }
        Ok(None)
    }

    /// Announces a plan.
    pub(crate) fn announce(&self, plan: &Plan, report: &mut TransferReport) {
        self.observer.planned(plan.files.len() as u64, plan.bytes);
        for skipped in &plan.skipped {
            self.observer.skipped(&skipped.path, skipped.reason);
        }
        report.skipped.clone_from(&plan.skipped);
        report.directories = plan.directories.len() as u64;
    }

    /// Sums a report up. A single file that failed is simply that failure.
    pub(crate) fn conclude(
        &self,
        plan: &Plan,
        mut report: TransferReport,
    ) -> Result<TransferReport, FilesError> {
        for file in &report.files {
            report.bytes += file.bytes;
            report.resumed_from_bytes += file.resumed_from_bytes;
        }
        report.sessions = self.link.sessions();
        if plan.files.len() == 1
            && let Some(only) = report.failed.pop()
        {
            return Err(only.error);
        }
        match report.failed.is_empty() {
            true => Ok(report),
            false => Err(FilesError::Incomplete {
                report: Box::new(report),
            }),
        }
    }
}

/// Where a source goes: the base, its own name if it has one, or the destination's.
pub(crate) fn under(
    base: &RemotePath,
    name: Option<&std::ffi::OsStr>,
) -> Result<RemotePath, FilesError> {
    match name {
        None => Ok(base.clone()),
        Some(name) => Ok(base.join(name).map_err(crate::UsageError::Path)?),
    }
}
