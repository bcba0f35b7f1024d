//! Small files: written beside their targets, synced together, then renamed and acknowledged
//! (F-60).
//!
//! ```text
//! stage  a b c d e f g h i j …      each: partial file, content, attributes
//! commit [a][b c d e f][g h i j …]  while one batch is synced, the next gathers
//! ```
//!
//! Group commit without a timer: the first file is synced at once and alone, whatever arrives
//! meanwhile shares the next sync. A lone file never waits; a flood is bounded by two limits.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use ringway::{Errno, File, OpenHow};

use crate::failure::{At, Halt, is_errno};
use crate::identity::SourceIdentity;
use crate::limits::{BATCH_BYTES_MAX, BATCH_FILES_MAX, BATCH_SYNC_SINGLY_MAX};
use crate::names;
use crate::partial::{Attributes, Held, set_attributes};
use crate::root::Target;
use crate::sidecar::BootId;
use crate::signal::Signal;
use crate::window::Window;

/// A small file, whole.
pub(crate) struct SmallFile {
    pub(crate) target: Target,
    pub(crate) source: SourceIdentity,
    pub(crate) attributes: Attributes,
    pub(crate) content: Bytes,
    pub(crate) restart: bool,
    /// An existing target stays, and the failure is [`Fault::Exists`].
    pub(crate) no_replace: bool,
}

/// Written, not yet synced.
struct Staged {
    target: Target,
    file: File,
    bytes: u64,
    no_replace: bool,
    outcome: Rc<RefCell<Option<Result<(), Halt>>>>,
    is_over: Signal,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Staged>,
    is_running: bool,
}

/// Where small files of one shard meet. Clones are the same; only for tasks on that shard.
#[derive(Clone, Default)]
pub(crate) struct Committer(Rc<RefCell<State>>);

impl Committer {
    /// Writes a small file and puts it in its place, durably. Resolves when it is there.
    pub(crate) async fn place(&self, small: SmallFile, boot: BootId) -> Result<(), Halt> {
        let Some(file) = open_fresh(&small).await? else {
            return place_over_leftover(small, boot).await;
        };
        if let Err(halt) = write(&file, &small).await {
            // Small files do not resume: leave nothing behind.
            let _ = small
                .target
                .directory
                .remove_file(names::partial(&small.target.name))
                .await;
            return Err(halt);
        }
        let (outcome, is_over) = (Rc::default(), Signal::default());
        let staged = Staged {
            bytes: small.content.len() as u64,
            no_replace: small.no_replace,
            target: small.target,
            file,
            outcome: Rc::clone(&outcome),
            is_over: is_over.clone(),
        };
        self.commit(staged);
        is_over.wait().await;
        outcome
            .take()
            .unwrap_or(Err(Halt::Session(ringway::Error::EngineStopped)))
    }

    fn commit(&self, staged: Staged) {
        let mut state = self.0.borrow_mut();
        state.waiting.push_back(staged);
        if !std::mem::replace(&mut state.is_running, true) {
            // A task of its own, so that nobody's cancellation stops the batch of others.
            ringway::spawn_local(self.clone().run());
        }
    }

    async fn run(self) {
        loop {
            let batch = self.take_batch();
            if batch.is_empty() {
                return;
            }
            commit_batch(batch).await;
        }
    }

    fn take_batch(&self) -> Vec<Staged> {
        let mut state = self.0.borrow_mut();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(staged) = state.waiting.front() {
            let is_full = batch.len() == BATCH_FILES_MAX || bytes + staged.bytes > BATCH_BYTES_MAX;
            if is_full && !batch.is_empty() {
                break;
            }
            bytes += staged.bytes;
            batch.extend(state.waiting.pop_front());
        }
        state.is_running = !batch.is_empty();
        batch
    }
}

/// A new partial file, if there was none and no sidecar of a larger one either, not even one that a
/// crash has left without its partial file (seed 8000000404).
async fn open_fresh(small: &SmallFile) -> Result<Option<File>, Halt> {
    let how = OpenHow {
        exclusive: true,
        no_follow: true,
        ..OpenHow::READ_WRITE_CREATE
    };
    let Target {
        directory,
        name,
        shown,
    } = &small.target;
    for sidecar in [names::sidecar(name), names::sidecar_new(name)] {
        if let Ok(_there) = directory.stat(sidecar).await {
            return Ok(None);
        }
    }
    match directory.open(names::partial(name), how).await {
        Err(error) if is_errno(&error, Errno::EEXIST) => Ok(None),
        other => other.at(shown).map(Some),
    }
}

async fn write(file: &File, small: &SmallFile) -> Result<(), Halt> {
    let shown = &small.target.shown;
    file.write_at(0, small.content.clone()).await.at(shown)?;
    set_attributes(file, small.attributes).await.at(shown)
}

/// Something of an earlier transfer is there: the rules for large files decide what becomes of it.
async fn place_over_leftover(small: SmallFile, boot: BootId) -> Result<(), Halt> {
    let shown = small.target.shown.clone();
    let held = Held::hold(small.target, boot).await?;
    let partial = held.begin(small.source, small.restart).await?;
    partial.file().truncate(0).await.at(&shown)?;
    partial.file().write_at(0, small.content).await.at(&shown)?;
    partial.finish(small.attributes, small.no_replace).await
}

async fn commit_batch(batch: Vec<Staged>) {
    let failed = sync_batch(&batch).await;
    let mut renames = Window::new();
    for (staged, failed) in batch.into_iter().zip(failed) {
        renames.push(async move {
            let outcome = match failed {
                Some(halt) => Err(halt),
                None => rename(&staged).await,
            };
            (staged, outcome)
        });
    }
    let mut renamed = Vec::new();
    while let Some(one) = renames.next().await {
        renamed.push(one);
    }
    drop(renames);
    sync_directories(&mut renamed).await;
    for (staged, outcome) in renamed {
        *staged.outcome.borrow_mut() = Some(outcome);
        staged.is_over.set();
    }
}

/// Flushes every file; says which failed.
async fn sync_batch(batch: &[Staged]) -> Vec<Option<Halt>> {
    let mut failed: Vec<Option<Halt>> = batch.iter().map(|_| None).collect();
    let mut syncs = Window::new();
    let groups = match batch.len() < BATCH_SYNC_SINGLY_MAX {
        true => (0..batch.len()).map(|index| vec![index]).collect(),
        false => by_file_system(batch).await,
    };
    for group in groups {
        syncs.push(async move {
            let Staged { target, file, .. } = &batch[group[0]];
            let synced = match group.len() {
                1 => file.sync(false).await,
                _ => target.directory.sync_file_system().await,
            };
            (group, synced)
        });
    }
    while let Some((group, synced)) = syncs.next().await {
        for index in group {
            failed[index] = synced.clone().at(&batch[index].target.shown).err();
        }
    }
    failed
}

async fn by_file_system(batch: &[Staged]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    let mut stats = Window::new();
    for (index, staged) in batch.iter().enumerate() {
        stats.push(async move { (index, staged.file.stat().await) });
    }
    let mut alone = Vec::new();
    while let Some((index, stat)) = stats.next().await {
        match stat {
            Ok(stat) => groups.entry(stat.device).or_default().push(index),
            Err(_) => alone.push(vec![index]),
        }
    }
    groups.into_values().chain(alone).collect()
}

async fn rename(staged: &Staged) -> Result<(), Halt> {
    let Target {
        directory,
        name,
        shown,
    } = &staged.target;
    let partial = names::partial(name);
    let renamed = directory
        .rename(&partial, directory, name, staged.no_replace)
        .await;
    if renamed.is_err() {
        let _ = directory.remove_file(&partial).await;
    }
    renamed.at(shown)
}

/// Makes the renames durable, each directory once.
async fn sync_directories(renamed: &mut [(Staged, Result<(), Halt>)]) {
    let mut by_directory: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
    for (index, (staged, outcome)) in renamed.iter_mut().enumerate() {
        if outcome.is_err() {
            continue;
        }
        match staged
            .target
            .directory
            .stat("")
            .await
            .at(&staged.target.shown)
        {
            Ok(stat) => by_directory
                .entry((stat.device, stat.inode))
                .or_default()
                .push(index),
            Err(halt) => *outcome = Err(halt),
        }
    }
    let mut syncs = Window::new();
    for members in by_directory.into_values() {
        let directory = renamed[members[0]].0.target.directory.clone();
        syncs.push(async move { (directory.sync().await, members) });
    }
    while let Some((synced, members)) = syncs.next().await {
        for index in members {
            let shown = renamed[index].0.target.shown.clone();
            renamed[index].1 = synced.clone().at(shown);
        }
    }
}
