//! Streams that are over for the protocol, and not yet for the application.
//!
//! What has arrived stays receivable after both directions, or the whole session, have ended: a
//! receive into a buffer or file is served from the inbox as before. And a file whose last byte
//! was acked is still being compared with what it was. Such a stream has no protocol state any
//! more; it is kept here until nothing is under way for it.

use std::sync::Arc;

use ringway_io::Kernel;
use ringway_proto::StreamId;

use crate::Error;
use crate::inbox::End;
use crate::session::SessionKey;
use crate::shard::Shard;
use crate::stream::StreamShared;
use crate::stream_entry::StreamEntry;

impl<K: Kernel> Shard<K> {
    /// A stream of a session, or one that has outlived its protocol state.
    pub(crate) fn stream_mut(
        &mut self,
        key: SessionKey,
        stream: StreamId,
    ) -> Option<&mut StreamEntry> {
        if !self.detached.is_empty() && self.detached.contains_key(&(key, stream)) {
            let detached = self.detached.get_mut(&(key, stream));
            return detached.map(Box::as_mut);
        }
        let session = self.sessions.get_mut(key.0)?;
        session.streams.get_mut(&stream).map(Box::as_mut)
    }

    /// The protocol has forgotten the stream: nothing more will be sent, acked or received.
    pub(crate) fn detach_stream(
        &mut self,
        key: SessionKey,
        stream: StreamId,
        mut entry: Box<StreamEntry>,
        error: &Error,
    ) {
        entry.end_receiving(End::Failed(error.clone()));
        entry.fail_pending(error);
        entry.over = Some(Box::new(error.clone()));
        self.detached.insert((key, stream), entry);
        self.serve_requests(key, stream);
        self.forget_detached(key, stream);
    }

    /// A receive for a stream that is already gone here.
    pub(crate) fn revive_stream(
        &mut self,
        key: SessionKey,
        stream: StreamId,
        shared: Arc<StreamShared>,
    ) {
        let error = Error::StreamEnded;
        let mut entry = Box::new(StreamEntry::new(shared));
        entry.end_receiving(End::Failed(error.clone()));
        entry.over = Some(Box::new(error));
        self.detached.insert((key, stream), entry);
    }

    /// Forgets a detached stream once nothing is under way for it.
    pub(crate) fn forget_detached(&mut self, key: SessionKey, stream: StreamId) {
        let Some(entry) = self.detached.get_mut(&(key, stream)) else {
            return;
        };
        if entry.checks == 0
            && let Some(error) = entry.over.take()
        {
            entry.fail_sending(&error);
            entry.over = Some(error);
        }
        if !entry.is_at_work() {
            self.detached.remove(&(key, stream));
        }
    }

    /// The shard ends: whoever still waits is told so.
    pub(crate) fn drop_detached(&mut self) {
        for (_, mut entry) in std::mem::take(&mut self.detached) {
            entry.fail_sending(&Error::EngineStopped);
        }
    }
}
