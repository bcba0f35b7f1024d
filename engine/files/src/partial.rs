//! A file on its way: written beside its target, renamed onto it when complete and synced.
//!
//! ```text
//! hold ──> Held ──begin(source)──> Partial ──finish──> the target
//!   lock: the last write of           │ ├──keep────> resumed later
//!   any earlier writer is over        │ └──discard─> gone
//!                                     └─ killed here: resumed by its size (F-51)
//! ```
//!
//! The lock is flock(2)'s. It belongs to the open file, which an operation in flight keeps open:
//! getting the lock proves that no write of an earlier writer, in this process or in one that was
//! killed, can still land in the file (F-53). Nothing is cut or stated before that.

use std::time::Duration;

use ringway::{Errno, File, OpenHow};

use crate::failure::{At, Fault, Halt, is_errno};
use crate::identity::{SourceIdentity, Timestamp};
use crate::limits::FENCE_WAIT;
use crate::message::Resume;
use crate::names;
use crate::root::Target;
use crate::sidecar::{self, BootId, Sidecar, SidecarError};

/// What a complete file gets besides its content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) modified: Timestamp,
}

/// Permission bits that are kept; set-id and sticky bits are not (F-33).
pub(crate) const MODE_KEPT: u32 = 0o777;

const FRESH: OpenHow = OpenHow {
    exclusive: true,
    no_follow: true,
    ..OpenHow::READ_WRITE_CREATE
};

const EXISTING: OpenHow = OpenHow {
    create_mode: None,
    no_follow: true,
    ..OpenHow::READ_WRITE_CREATE
};

const REWRITTEN: OpenHow = OpenHow {
    truncate: true,
    no_follow: true,
    ..OpenHow::READ_WRITE_CREATE
};

/// What was found beside a target, locked if it is there.
pub(crate) struct Held {
    target: Target,
    boot: BootId,
    /// The partial file and its size.
    existing: Option<(File, u64)>,
    sidecar: Option<Result<Sidecar, SidecarError>>,
}

impl Held {
    /// Looks beside the target and locks what is there, waiting for the last write of an earlier
    /// writer.
    pub(crate) async fn hold(target: Target, boot: BootId) -> Result<Self, Halt> {
        let existing = lock_existing(&target).await?;
        let sidecar = read_sidecar(&target).await?;
        Ok(Self {
            target,
            boot,
            existing,
            sidecar,
        })
    }

    /// What is there of which source, if it can be resumed.
    pub(crate) fn resume(&self) -> Option<Resume> {
        let (_, size) = self.existing.as_ref()?;
        let sidecar = self.sidecar?.ok()?;
        let offset = sidecar.trusted(*size, self.boot);
        let source = sidecar.source;
        (offset > 0).then_some(Resume { source, offset })
    }

    /// Where `source` goes on; `None` to begin anew.
    fn offset_for(&self, source: SourceIdentity, restart: bool) -> Result<Option<u64>, Halt> {
        if restart || self.existing.is_none() {
            return Ok(None);
        }
        if let Some(Err(SidecarError::Version(found))) = self.sidecar {
            let known = sidecar::VERSION;
            return Err(self.target.fail(Fault::SidecarVersion { found, known }));
        }
        match self.resume() {
            None => Ok(None),
            Some(there) if there.source == source => Ok(Some(there.offset)),
            Some(_) => Err(self.target.fail(Fault::OtherSource)),
        }
    }

    /// Makes the partial file ready to take `source` from its resume offset on.
    pub(crate) async fn begin(
        mut self,
        source: SourceIdentity,
        restart: bool,
    ) -> Result<Partial, Halt> {
        let offset = self.offset_for(source, restart)?;
        let partial = match (self.existing.take(), offset) {
            (Some((file, _)), Some(offset)) => self.resumed(file, source, offset).await?,
            (existing, _) => self.fresh(existing.is_some(), source).await?,
        };
        partial.reserve().await?;
        Ok(partial)
    }

    async fn resumed(
        self,
        file: File,
        source: SourceIdentity,
        offset: u64,
    ) -> Result<Partial, Halt> {
        let synced = self
            .sidecar
            .and_then(Result::ok)
            .map_or(0, |sidecar| sidecar.synced);
        file.truncate(offset).await.at(&self.target.shown)?;
        let partial = Partial {
            target: self.target,
            boot: self.boot,
            file,
            source,
            offset,
        };
        partial.write_sidecar(offset, synced.min(offset)).await?;
        Ok(partial)
    }

    /// What is there belongs to nobody who will come back. It goes, durably, before bytes of this
    /// source are written under its name: else a crash could show the old sidecar beside them.
    async fn fresh(self, is_partial_there: bool, source: SourceIdentity) -> Result<Partial, Halt> {
        let Target {
            directory,
            name,
            shown,
        } = &self.target;
        if self.sidecar.is_some() {
            directory
                .remove_file(names::sidecar(name))
                .await
                .at(shown)?;
        }
        if is_partial_there {
            directory
                .remove_file(names::partial(name))
                .await
                .at(shown)?;
        }
        if self.sidecar.is_some() || is_partial_there {
            directory.sync().await.at(shown)?;
        }
        let file = directory
            .open(names::partial(name), FRESH)
            .await
            .at(shown)?;
        match file.lock().await {
            Err(error) if is_errno(&error, Errno::EAGAIN) => {
                return Err(self.target.fail(Fault::Busy));
            }
            other => other.at(shown)?,
        }
        let partial = Partial {
            target: self.target,
            boot: self.boot,
            file,
            source,
            offset: 0,
        };
        partial.write_sidecar(0, 0).await?;
        Ok(partial)
    }
}

async fn lock_existing(target: &Target) -> Result<Option<(File, u64)>, Halt> {
    let step = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    loop {
        let name = names::partial(&target.name);
        let file = match target.directory.open(&name, EXISTING).await {
            Err(error) if is_errno(&error, Errno::ENOENT) => return Ok(None),
            other => other.at(&target.shown)?,
        };
        match file.lock().await {
            Ok(()) => {
                if let Some(size) = is_still_named(target, &file).await? {
                    return Ok(Some((file, size)));
                }
            }
            Err(error) if !is_errno(&error, Errno::EAGAIN) => return Err(error).at(&target.shown),
            Err(_) if waited >= FENCE_WAIT => return Err(target.fail(Fault::Busy)),
            Err(_) => {}
        }
        drop(file);
        ringway::sleep(step).await?;
        waited += step;
    }
}

/// The size, if the name still stands for this file: it may have been renamed onto the target, or
/// removed, while we waited for the lock.
async fn is_still_named(target: &Target, file: &File) -> Result<Option<u64>, Halt> {
    let held = file.stat().await.at(&target.shown)?;
    match target.directory.stat(names::partial(&target.name)).await {
        Err(error) if is_errno(&error, Errno::ENOENT) => Ok(None),
        other => {
            let named = other.at(&target.shown)?;
            let is_same = (named.device, named.inode) == (held.device, held.inode);
            Ok(is_same.then_some(held.size))
        }
    }
}

async fn read_sidecar(target: &Target) -> Result<Option<Result<Sidecar, SidecarError>>, Halt> {
    let how = OpenHow {
        no_follow: true,
        ..OpenHow::READ
    };
    let file = match target
        .directory
        .open(names::sidecar(&target.name), how)
        .await
    {
        Err(error) if is_errno(&error, Errno::ENOENT) => return Ok(None),
        other => other.at(&target.shown)?,
    };
    let buffer = vec![0; sidecar::LENGTH * 16];
    let (buffer, filled) = file.read_at(0, buffer).await.at(&target.shown)?;
    let parsed = Sidecar::parse(&buffer[..filled]);
    if parsed.is_err() {
        tracing::warn!(target = %target.shown.display(), "a sidecar cannot be read");
    }
    Ok(Some(parsed))
}

/// A locked partial file that takes one source.
#[derive(Debug)]
pub(crate) struct Partial {
    target: Target,
    boot: BootId,
    file: File,
    source: SourceIdentity,
    offset: u64,
}

impl Partial {
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Where it goes on, bytes.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Size of the whole, bytes.
    pub(crate) fn size(&self) -> u64 {
        self.source.size
    }

    /// Takes the space now where the file system can, so that a full disk is known before the
    /// first byte travels.
    async fn reserve(&self) -> Result<(), Halt> {
        if self.source.size == self.offset {
            return Ok(());
        }
        let reserved = self
            .file
            .allocate(self.source.size)
            .await
            .at(&self.target.shown);
        match &reserved {
            Err(Halt::Failed(failure))
                if matches!(failure.fault, Fault::NoSpace | Fault::TooLarge) =>
            {
                // Give back what the attempt took.
                self.file
                    .truncate(self.offset)
                    .await
                    .at(&self.target.shown)?;
                reserved
            }
            _ => Ok(()),
        }
    }

    /// Flushes what was written up to `offset`, then says so in the sidecar.
    pub(crate) async fn sync(&self, offset: u64) -> Result<(), Halt> {
        self.file.sync(true).await.at(&self.target.shown)?;
        self.write_sidecar(offset, offset).await
    }

    async fn write_sidecar(&self, contiguous: u64, synced: u64) -> Result<(), Halt> {
        let Target {
            directory,
            name,
            shown,
        } = &self.target;
        let sidecar = Sidecar {
            source: self.source,
            contiguous,
            synced,
            boot: self.boot,
        };
        let new = names::sidecar_new(name);
        let file = directory.open(&new, REWRITTEN).await.at(shown)?;
        file.write_at(0, sidecar.emit()).await.at(shown)?;
        file.sync(true).await.at(shown)?;
        directory
            .rename(&new, directory, names::sidecar(name), false)
            .await
            .at(shown)
    }

    /// Puts the complete file in its place, durably. With `no_replace` an existing target stays,
    /// and the failure is [`Fault::Exists`].
    pub(crate) async fn finish(self, attributes: Attributes, no_replace: bool) -> Result<(), Halt> {
        let Target {
            directory,
            name,
            shown,
        } = &self.target;
        let size = self.file.stat().await.at(shown)?.size;
        if size != self.source.size {
            let what = format_args!("{size} bytes arrived of {}", self.source.size);
            return Err(Halt::broken("F-41", what));
        }
        set_attributes(&self.file, attributes).await.at(shown)?;
        self.file.sync(false).await.at(shown)?;
        let partial = names::partial(name);
        directory
            .rename(&partial, directory, name, no_replace)
            .await
            .at(shown)?;
        directory
            .remove_file(names::sidecar(name))
            .await
            .at(shown)?;
        directory.sync().await.at(shown)
    }

    /// Keeps what has arrived for a later attempt. Best effort: were it to fail, the size of the
    /// file still tells, unless the machine crashes.
    pub(crate) async fn keep(self) {
        let kept = async {
            // A write may still be in flight: what is stated is only what is there already, and
            // nothing is cut.
            let size = self.file.stat().await.at(&self.target.shown)?.size;
            self.sync(size).await
        };
        if let Err(halt) = kept.await {
            tracing::warn!(target = %self.target.shown.display(), ?halt, "resume point not synced");
        }
    }

    /// Removes what has arrived: its source is not what it was.
    pub(crate) async fn discard(self) -> Result<(), Halt> {
        let Target {
            directory,
            name,
            shown,
        } = &self.target;
        directory
            .remove_file(names::sidecar(name))
            .await
            .at(shown)?;
        directory
            .remove_file(names::partial(name))
            .await
            .at(shown)?;
        directory.sync().await.at(shown)
    }
}

pub(crate) async fn set_attributes(
    file: &File,
    attributes: Attributes,
) -> Result<(), ringway::Error> {
    let mode = attributes.mode & MODE_KEPT;
    file.set_attributes(Some(mode), Some(attributes.modified.as_ns()))
        .await
}
