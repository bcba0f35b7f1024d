//! Shards that run on the application's threads: each in the thread's own storage, so that no
//! other thread can reach it.

use std::cell::RefCell;

use ringway::SteppedShard;

use crate::code::ringway_code::{RINGWAY_E_ENGINE_STOPPED, RINGWAY_E_REENTRANT};
use crate::failure::Result;

struct Entry {
    key: u64,
    /// `None` while it works.
    shard: Option<SteppedShard>,
}

thread_local! {
    static SHARDS: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };
}

/// Keeps a shard on this thread.
pub(crate) fn keep(key: u64, shard: SteppedShard) {
    let shard = Some(shard);
    SHARDS.with(|shards| shards.borrow_mut().push(Entry { key, shard }));
}

/// Puts the shard back, whatever happens meanwhile.
struct Borrowed {
    key: u64,
    shard: Option<SteppedShard>,
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let shard = self.shard.take();
        let _ = SHARDS.try_with(|shards| {
            let mut shards = shards.borrow_mut();
            if let Some(entry) = shards.iter_mut().find(|entry| entry.key == self.key) {
                entry.shard = shard;
            }
        });
    }
}

/// Works with a shard of this thread.
///
/// # Errors
/// `RINGWAY_E_ENGINE_STOPPED` when it is gone, `RINGWAY_E_REENTRANT` when it is at work.
pub(crate) fn with<T>(key: u64, work: impl FnOnce(&mut SteppedShard) -> T) -> Result<T> {
    let taken = SHARDS.with(|shards| {
        let mut shards = shards.borrow_mut();
        let entry = shards.iter_mut().find(|entry| entry.key == key);
        let entry = entry.ok_or(RINGWAY_E_ENGINE_STOPPED)?;
        entry.shard.take().ok_or(RINGWAY_E_REENTRANT)
    });
    let mut borrowed = Borrowed {
        key,
        shard: Some(taken?),
    };
    let shard = borrowed.shard.as_mut().ok_or(RINGWAY_E_REENTRANT)?;
    Ok(work(shard))
}

/// Drops a shard of this thread; it ends at once.
pub(crate) fn forget(key: u64) {
    let removed = SHARDS.try_with(|shards| {
        let mut shards = shards.borrow_mut();
        let at = shards.iter().position(|entry| entry.key == key)?;
        Some(shards.swap_remove(at))
    });
    drop(removed);
}
