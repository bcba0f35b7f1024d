//! Who writes which target now: one table for the whole server (F-53).
//!
//! A new writer of the same source fences the older one: the older is told to stop, and the new
//! one waits until it has let go. A live writer of another source is left alone, and the new one
//! is refused.

use std::collections::HashMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringway::{Session, SessionState};

use crate::failure::{At, Fault, Halt};
use crate::identity::SourceIdentity;
use crate::limits::FENCE_WAIT;
use crate::root::Target;
use crate::signal::Signal;
use crate::window::{Either, race};

/// A target by what it is, whatever path leads there: device and inode of its directory, name.
type Key = (u64, u64, OsString);

#[derive(Clone, Debug)]
struct Writer {
    source: SourceIdentity,
    session: Session,
    /// Set to make it stop.
    fenced: Signal,
    /// Set when it has let go.
    gone: Signal,
}

/// The table; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writers(Arc<Mutex<HashMap<Key, Writer>>>);

/// The right to write one target, until dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    writers: Writers,
    key: Key,
    /// Set when a newer writer wants this target.
    pub(crate) fenced: Signal,
    gone: Signal,
}

impl Writers {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Writer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims a target for one source, fencing an older writer of it.
    pub(crate) async fn claim(
        &self,
        target: &Target,
        source: SourceIdentity,
        session: &Session,
    ) -> Result<Claim, Halt> {
        let stat = target.directory.stat("").await.at(&target.shown)?;
        let key = (stat.device, stat.inode, target.name.clone());
        loop {
            let older = match self.try_claim(&key, source, session) {
                Ok(claim) => return Ok(claim),
                Err(older) => older,
            };
            // Whose session has no connection is not live, whatever its source.
            let is_live = matches!(older.session.state(), SessionState::Connected { .. });
            if is_live && older.source != source {
                return Err(target.fail(Fault::Busy));
            }
            older.fenced.set();
            let timeout = ringway::sleep(FENCE_WAIT);
            if let Either::Second(slept) = race(older.gone.wait(), timeout).await {
                slept?;
                return Err(target.fail(Fault::Busy));
            }
        }
    }

    fn try_claim(
        &self,
        key: &Key,
        source: SourceIdentity,
        session: &Session,
    ) -> Result<Claim, Writer> {
        let mut table = self.lock();
        if let Some(older) = table.get(key) {
            return Err(older.clone());
        }
        let (fenced, gone) = (Signal::default(), Signal::default());
        let writer = Writer {
            source,
            session: session.clone(),
            fenced: fenced.clone(),
            gone: gone.clone(),
        };
        table.insert(key.clone(), writer);
        Ok(Claim {
            writers: self.clone(),
            key: key.clone(),
            fenced,
            gone,
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.writers.lock().remove(&self.key);
        self.gone.set();
    }
}
