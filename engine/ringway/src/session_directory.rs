//! Which shard owns which session: shared by the shards of one engine.
//!
//! Written before the reply that creates a session leaves, so that a resume which arrives on any
//! shard finds the owner. Ownership never moves.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use ringway_proto::{EndpointName, KeyId, PeerIdentity, SessionId};

use crate::mailbox::Mailbox;
use crate::session::SessionKey;

/// Who owns a session, and to whom it belongs.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) shard: usize,
    pub(crate) key: SessionKey,
    name: EndpointName,
    key_id: Option<KeyId>,
}

impl Owner {
    pub(crate) fn new(shard: usize, key: SessionKey, peer: &PeerIdentity) -> Self {
        Self {
            shard,
            key,
            name: peer.name.clone(),
            key_id: peer.key_id.clone(),
        }
    }

    /// A session belongs to the name that made it, and to the key that name was proven with:
    /// another key's holder could claim the name as well.
    pub(crate) fn belongs_to(&self, peer: &PeerIdentity) -> bool {
        self.name == peer.name && self.key_id == peer.key_id
    }
}

/// The directory, and what else the shards of one engine share.
#[derive(Debug)]
pub(crate) struct SessionDirectory {
    sessions: Mutex<HashMap<SessionId, Owner>>,
    shards: RwLock<Vec<Mailbox>>,
    /// New sessions go to the shards in turn, whichever shard accepted the connection.
    next: AtomicUsize,
    /// Tells one start of this process from another.
    pub(crate) incarnation: u64,
}

impl SessionDirectory {
    pub(crate) fn new(shards: usize, incarnation: u64) -> Self {
        Self {
            sessions: Mutex::default(),
            shards: RwLock::new(Vec::with_capacity(shards)),
            next: AtomicUsize::new(0),
            incarnation,
        }
    }

    pub(crate) fn add_shard(&self, mailbox: Mailbox) {
        let mut shards = self.shards.write().unwrap_or_else(PoisonError::into_inner);
        shards.push(mailbox);
    }

    pub(crate) fn shard(&self, index: usize) -> Option<Mailbox> {
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
        shards.get(index).cloned()
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Owner>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard that the next new session is to live on.
    pub(crate) fn place(&self) -> usize {
        let count = self
            .shards
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len();
        self.next.fetch_add(1, Ordering::Relaxed) % count.max(1)
    }

    pub(crate) fn find(&self, id: SessionId) -> Option<Owner> {
        self.sessions().get(&id).cloned()
    }

    /// Adds a session; false when its id is taken.
    pub(crate) fn insert(&self, id: SessionId, owner: Owner) -> bool {
        use std::collections::hash_map::Entry;
        match self.sessions().entry(id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(owner);
                true
            }
        }
    }

    pub(crate) fn remove(&self, id: SessionId) {
        self.sessions().remove(&id);
    }
}
