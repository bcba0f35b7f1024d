//! A put, get or list behind a handle. It runs as a task on a shard.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use ringway_files::{
    Client, Entry, FilesError, GetOptions, ListOptions, Observer, PutOptions, TransferReport,
};

use crate::code::ringway_code::{RINGWAY_E_AGAIN, RINGWAY_E_ARGUMENT, RINGWAY_E_CANCELLED};
use crate::event::{Sink, ringway_event_kind as kind};
use crate::events::Told;
use crate::failure::{Failure, Result};
use crate::handle::Kind;
use crate::instance::Instance;
use crate::ready::{Purpose, Ringer};
use crate::session::about;
use crate::slot::{Object, Slot, lock};

/// What is to be done.
pub(crate) enum Job {
    Put {
        sources: Vec<PathBuf>,
        destination: OsString,
        options: PutOptions,
    },
    Get {
        sources: Vec<OsString>,
        destination: PathBuf,
        options: GetOptions,
    },
    List {
        path: OsString,
        options: ListOptions,
    },
}

/// What came of it.
enum Outcome {
    Moved(TransferReport),
    Listed(Vec<Entry>),
}

#[derive(Default)]
struct End {
    outcome: Option<std::result::Result<Outcome, Failure>>,
    is_cancelled: bool,
    /// Of the task, which looks whether it is cancelled.
    waker: Option<Waker>,
}

/// What the handle and the task share.
struct Shared {
    end: Mutex<End>,
    files: AtomicU64,
    bytes: AtomicU64,
    files_done: AtomicU64,
    bytes_done: AtomicU64,
    is_moved: AtomicBool,
    outcome: Ringer,
    state: Ringer,
}

/// See the module.
pub(crate) struct TransferSlot {
    shared: Arc<Shared>,
}

/// Numbers of a transfer, while it runs and after it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) files: u64,
    pub(crate) files_done: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_done: u64,
    pub(crate) resumed_bytes: u64,
    pub(crate) body_bytes_sent: u64,
    pub(crate) skipped: u64,
    pub(crate) failed: u64,
    pub(crate) sessions: u64,
    pub(crate) is_done: bool,
}

impl Instance {
    /// Begins; answers with the handle.
    pub(crate) fn begin_transfer(&self, client: &Client, job: Job, user_data: u64) -> Result<u64> {
        self.check_running()?;
        let mut made = None;
        let slot = self.table.insert(Kind::Transfer, user_data, |number| {
            let shared = Arc::new(Shared {
                end: Mutex::default(),
                files: AtomicU64::new(0),
                bytes: AtomicU64::new(0),
                files_done: AtomicU64::new(0),
                bytes_done: AtomicU64::new(0),
                is_moved: AtomicBool::new(false),
                outcome: Ringer::new(&self.ready, number, Purpose::Outcome),
                state: Ringer::new(&self.ready, number, Purpose::State),
            });
            made = Some(Arc::clone(&shared));
            Object::Transfer(TransferSlot { shared })
        })?;
        if let Some(shared) = made {
            let client = client.clone();
            self.engine.spawn_on(0, move || run(client, job, shared))?;
        }
        Ok(slot.number)
    }
}

async fn run(client: Client, job: Job, shared: Arc<Shared>) {
    let outcome = {
        let mut work = std::pin::pin!(work(&client, job, &shared));
        std::future::poll_fn(|context| {
            if shared.is_cancelled(context.waker()) {
                // Dropping the work ends it, with its resume points written.
                return Poll::Ready(Err(Failure::Code(RINGWAY_E_CANCELLED)));
            }
            work.as_mut().poll(context).map_err(Failure::from)
        })
        .await
    };
    lock(&shared.end).outcome = Some(outcome);
    shared.outcome.ring();
}

async fn work(
    client: &Client,
    job: Job,
    shared: &Arc<Shared>,
) -> std::result::Result<Outcome, FilesError> {
    let observer: Arc<dyn Observer> = Arc::<Shared>::clone(shared);
    match job {
        Job::Put {
            sources,
            destination,
            options,
        } => {
            let report = client.put(&sources, destination, options, observer).await?;
            Ok(Outcome::Moved(report))
        }
        Job::Get {
            sources,
            destination,
            options,
        } => {
            let report = client.get(&sources, destination, options, observer).await?;
            Ok(Outcome::Moved(report))
        }
        Job::List { path, options } => {
            let listing = client.list(path, options).await?;
            Ok(Outcome::Listed(match listing.entries.is_empty() {
                true if listing.object.kind != ringway_files::EntryKind::Directory => {
                    vec![listing.object]
                }
                _ => listing.entries,
            }))
        }
    }
}

impl Shared {
    fn is_cancelled(&self, waker: &Waker) -> bool {
        let mut end = lock(&self.end);
        end.waker = Some(waker.clone());
        end.is_cancelled
    }

    fn moved(&self) {
        self.is_moved.store(true, Ordering::Relaxed);
        self.state.ring();
    }
}

impl Observer for Shared {
    fn planned(&self, files: u64, bytes: u64) {
        self.files.store(files, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        self.moved();
    }

    fn resumed_from(&self, _path: &Path, offset: u64) {
        self.bytes_done.fetch_add(offset, Ordering::Relaxed);
        self.moved();
    }

    fn progress(&self, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
        self.moved();
    }

    fn finished(&self, _path: &Path) {
        self.files_done.fetch_add(1, Ordering::Relaxed);
        self.moved();
    }
}

impl TransferSlot {
    /// Ends it early; its outcome is told as an event all the same.
    pub(crate) fn cancel(&self) {
        let mut end = lock(&self.shared.end);
        end.is_cancelled = true;
        let waker = end.waker.take();
        drop(end);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn numbers(&self) -> Numbers {
        let shared = &self.shared;
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut numbers = Numbers {
            files: load(&shared.files),
            files_done: load(&shared.files_done),
            bytes: load(&shared.bytes),
            bytes_done: load(&shared.bytes_done),
            ..Numbers::default()
        };
        let end = lock(&shared.end);
        numbers.is_done = end.outcome.is_some();
        if let Some(Ok(Outcome::Moved(report))) = &end.outcome {
            numbers.resumed_bytes = report.resumed_from_bytes;
            numbers.body_bytes_sent = report.body_bytes_sent;
            numbers.skipped = report.skipped.len() as u64;
            numbers.failed = report.failed.len() as u64;
            numbers.sessions = u64::from(report.sessions);
            numbers.bytes_done = report.bytes;
            numbers.files_done = report.files.len() as u64;
        }
        numbers
    }

    /// One entry of a listing.
    ///
    /// # Errors
    /// `RINGWAY_E_AGAIN` while it runs, its failure, `RINGWAY_E_ARGUMENT` beyond the last.
    pub(crate) fn entry(&self, index: u64) -> Result<Entry> {
        let end = lock(&self.shared.end);
        let outcome = end.outcome.as_ref().ok_or(RINGWAY_E_AGAIN)?;
        let entries = match outcome {
            Ok(Outcome::Listed(entries)) => entries,
            Ok(Outcome::Moved(_)) => return Err(RINGWAY_E_ARGUMENT.into()),
            Err(failure) => return Err(failure.clone()),
        };
        let entry = usize::try_from(index)
            .ok()
            .and_then(|index| entries.get(index));
        let beyond = || Failure::limit("entry", index, entries.len() as u64);
        entry.cloned().ok_or_else(beyond)
    }

    pub(crate) fn tell(&self, slot: &Slot, purpose: Purpose, sink: &mut Sink<'_>) -> Told {
        match purpose {
            Purpose::State if self.shared.is_moved.swap(false, Ordering::Relaxed) => {
                let numbers = self.numbers();
                if !numbers.is_done {
                    let mut event = about(slot, kind::RINGWAY_EVENT_TRANSFER_PROGRESS, None);
                    event.offset = numbers.bytes_done;
                    event.length = numbers.bytes;
                    sink.push(event);
                }
            }
            Purpose::Outcome => {
                let (failure, length) = match &lock(&self.shared.end).outcome {
                    None => return Told::All,
                    Some(Ok(Outcome::Moved(report))) => (None, report.bytes),
                    Some(Ok(Outcome::Listed(entries))) => (None, entries.len() as u64),
                    Some(Err(failure)) => (Some(failure.clone()), 0),
                };
                let mut event = about(slot, kind::RINGWAY_EVENT_TRANSFER_DONE, failure);
                event.length = length;
                sink.push(event);
            }
            _ => {}
        }
        Told::All
    }
}
