//! Which shard owns which session: shared by the shards of one engine.
//!
//! Written before the reply that creates a session leaves, so that a resume which arrives on any
//! shard finds the owner. Ownership never moves.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use ringway_proto::{EndpointName, KeyId, PeerIdentity, SessionId};

use crate::key_limits::{KeyLimits, RetainedShare};
use crate::mailbox::Mailbox;
use crate::session::SessionKey;

/// Who owns a session, and to whom it belongs.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) shard: usize,
    pub(crate) key: SessionKey,
    name: EndpointName,
    key_id: Option<KeyId>,
    /// Streams promised to the peer of an accepted session; 0 for one that was dialled.
    streams: u64,
    /// Without a connection since; `None` with one.
    since_ns: Option<u64>,
}

/// What the sessions of one key take together.
#[derive(Debug, Default)]
struct KeyUse {
    sessions: u64,
    streams: u64,
    retained_bytes: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Book {
    sessions: HashMap<SessionId, Owner>,
    /// Of accepted sessions.
    keys: HashMap<KeyId, KeyUse>,
}

/// What came of asking for room for a new session.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It is in the directory.
    Admitted {
        /// Streams to promise its peer.
        streams: u64,
        /// Its part of the memory its key may take, if that is bounded.
        retained: Option<RetainedShare>,
    },
    /// There is a session with this id.
    Taken,
    /// There is no room.
    Full {
        what: &'static str,
        held: u64,
        allowed: u64,
    },
}

impl Owner {
    pub(crate) fn new(shard: usize, key: SessionKey, peer: &PeerIdentity) -> Self {
        Self {
            shard,
            key,
            name: peer.name.clone(),
            key_id: peer.key_id.clone(),
            streams: 0,
            since_ns: None,
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
    book: Mutex<Book>,
    shards: RwLock<Vec<Mailbox>>,
    /// New sessions go to the shards in turn, whichever shard accepted the connection.
    next: AtomicUsize,
    /// Tells one start of this process from another.
    pub(crate) incarnation: u64,
}

impl SessionDirectory {
    pub(crate) fn new(shards: usize, incarnation: u64) -> Self {
        Self {
            book: Mutex::default(),
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

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.book().sessions.get(&id).cloned()
    }

    /// Adds a session; false when its id is taken.
    pub(crate) fn insert(&self, id: SessionId, owner: Owner) -> bool {
        use std::collections::hash_map::Entry;
        match self.book().sessions.entry(id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(owner);
                true
            }
        }
    }

    /// Adds an accepted session if its key may have one more; where needed, the oldest ones of
    /// that key without a connection make room: into `evicted`, their shards are to end them.
    /// `streams`: how many its peer would be promised.
    pub(crate) fn admit(
        &self,
        id: SessionId,
        mut owner: Owner,
        (limits, streams): (KeyLimits, u64),
        evicted: &mut Vec<Owner>,
    ) -> Admission {
        let mut book = self.book();
        if book.sessions.contains_key(&id) {
            return Admission::Taken;
        }
        owner.streams = streams;
        let Some(key_id) = owner.key_id.clone() else {
            book.add(id, owner);
            let retained = None;
            return Admission::Admitted { streams, retained };
        };
        while let Some((what, held, allowed)) = book.lack(&key_id, limits) {
            let Some(victim) = book.evict(&key_id) else {
                return Admission::Full {
                    what,
                    held,
                    allowed,
                };
            };
            evicted.push(victim);
        }
        let used = book.keys.entry(key_id).or_default();
        let left = limits.streams.unwrap_or(u64::MAX) - used.streams;
        owner.streams = streams.min(left);
        let (streams, total) = (owner.streams, Arc::clone(&used.retained_bytes));
        book.add(id, owner);
        Admission::Admitted {
            streams,
            retained: limits
                .retained_bytes
                .map(|allowed| RetainedShare::new(total, allowed)),
        }
    }

    /// A session has lost its connection, or has one again.
    pub(crate) fn set_disconnected(&self, id: SessionId, since_ns: Option<u64>) {
        if let Some(owner) = self.book().sessions.get_mut(&id) {
            owner.since_ns = since_ns;
        }
    }

    /// Forgets a session of this shard, unless it was evicted before.
    pub(crate) fn remove(&self, id: SessionId, key: SessionKey, shard: usize) {
        let mut book = self.book();
        let is_it = |owner: &Owner| (owner.key, owner.shard) == (key, shard);
        if book.sessions.get(&id).is_some_and(is_it) {
            book.take(id);
        }
    }
}

impl Book {
    fn add(&mut self, id: SessionId, owner: Owner) {
        if let Some(key_id) = owner.key_id.clone().filter(|_| owner.streams > 0) {
            let used = self.keys.entry(key_id).or_default();
            used.sessions += 1;
            used.streams += owner.streams;
        }
        self.sessions.insert(id, owner);
    }

    fn take(&mut self, id: SessionId) -> Option<Owner> {
        let owner = self.sessions.remove(&id)?;
        if let Some(key_id) = owner.key_id.as_ref().filter(|_| owner.streams > 0)
            && let Some(used) = self.keys.get_mut(key_id)
        {
            used.sessions -= 1;
            used.streams -= owner.streams;
            // Who still counts memory of ended sessions holds the counter.
            if used.sessions == 0 && Arc::strong_count(&used.retained_bytes) == 1 {
                self.keys.remove(key_id);
            }
        }
        Some(owner)
    }

    /// Of what a key has nothing left for one more session, with both numbers.
    fn lack(&self, key_id: &KeyId, limits: KeyLimits) -> Option<(&'static str, u64, u64)> {
        let used = self.keys.get(key_id)?;
        let of = |what, held, allowed: Option<u64>| {
            let allowed = allowed.filter(|&allowed| held >= allowed)?;
            Some((what, held, allowed))
        };
        let sessions = of("sessions", used.sessions, limits.sessions);
        sessions.or_else(|| of("streams", used.streams, limits.streams))
    }

    /// Takes out the accepted session of a key that has been longest without a connection.
    fn evict(&mut self, key_id: &KeyId) -> Option<Owner> {
        let of_key = self
            .sessions
            .iter()
            .filter(|(_, owner)| owner.streams > 0 && owner.key_id.as_ref() == Some(key_id));
        let oldest = of_key
            .filter_map(|(&id, owner)| Some((owner.since_ns?, id)))
            .min();
        self.take(oldest?.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, key_id: &str) -> PeerIdentity {
        PeerIdentity {
            name: ringway_proto::EndpointName::new(name).expect("valid"),
            incarnation: 1,
            key_id: Some(KeyId::new(key_id).expect("valid")),
        }
    }

    /// W-1.13: names agree easily, since a key may claim any.
    #[test]
    fn another_key_id_that_claims_the_name_does_not_take_a_session_over() {
        let owner = Owner::new(0, SessionKey(0), &peer("node-a", "alice"));
        assert!(owner.belongs_to(&peer("node-a", "alice")));
        assert!(!owner.belongs_to(&peer("node-a", "bob")));
        assert!(!owner.belongs_to(&peer("node-b", "alice")));
    }
}
