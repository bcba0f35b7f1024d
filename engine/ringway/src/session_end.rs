//! What an application gets back when a session ends for good.

use bytes::Bytes;
use ringway_io::Kernel;
use ringway_proto::{CloseReason, Status, StreamId, StreamReport};

use crate::payload::Payload;
use crate::session::SessionKey;
use crate::session_entry::SessionEntry;
use crate::shard::Shard;
use crate::stream::StreamProgress;

/// How a session ended, and what it had not delivered.
#[derive(Clone, Debug)]
pub struct SessionEnd {
    /// Why, and by whom.
    pub cause: CloseReason,
    /// Streams that had not ended in both directions, by id.
    pub streams: Vec<StreamRemains>,
}

/// What is left of a stream whose session has ended.
#[derive(Clone, Debug)]
pub struct StreamRemains {
    /// Which stream.
    pub id: StreamId,
    /// How far it had got: what lies before `acked` the peer's engine has, what lies before
    /// `consumed` its application. What is between `acked` and `sent` may have arrived, too.
    pub progress: StreamProgress,
    /// How our direction was finished, if it was, and the peer may not know.
    pub finish: Option<Status>,
    /// Everything accepted and not acked, in order.
    pub retained: Vec<RetainedPayload>,
}

/// Bytes that were accepted and not acked.
#[derive(Clone, Debug)]
pub struct RetainedPayload {
    /// Stream offset of their first byte.
    pub offset: u64,
    /// The bytes: of a payload that was acked in part, the rest.
    pub payload: Payload,
    /// The last byte ends a record.
    pub end_of_record: bool,
}

impl<K: Kernel> Shard<K> {
    /// Puts what is left of a session where its handles find it: before they are told of the end.
    pub(crate) fn leave_remains(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(key.0) {
            let reports = session.proto.take_remains();
            let remains = reports.into_iter().map(|report| remains(session, report));
            let remains = remains.collect();
            session.shared.leave(remains);
        }
    }
}

fn remains(session: &SessionEntry, report: StreamReport) -> StreamRemains {
    let acked = report.progress.acked;
    let kept = report.retained.iter().filter_map(|kept| {
        let skip = acked.saturating_sub(kept.start).min(kept.length);
        let payload = match session.bodies.get(&kept.body) {
            Some(whole) => whole.payload.part(skip, kept.length - skip),
            // Of an empty record only the protocol knows.
            None if kept.length == 0 => Payload::Bytes(Bytes::new()),
            None => return None,
        };
        Some(RetainedPayload {
            offset: kept.start + skip,
            payload,
            end_of_record: kept.end_of_record,
        })
    });
    StreamRemains {
        id: report.stream,
        retained: kept.collect(),
        progress: report.progress.into(),
        finish: report.finish,
    }
}
