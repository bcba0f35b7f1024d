//! A stream: ordered bytes inside a session, in two directions.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use ringway_proto::{Priority, Status, StreamId};

use crate::inbox::{Chunk, End, Inbox, Lent, PieceTaken};
use crate::message::Message;
use crate::outbox::Outbox;
use crate::payload::Payload;
use crate::reply::{Answer, reply};
use crate::session::Session;
use crate::stream_statistics::StreamStatistics;
use crate::{Error, File};

/// What the shard and the handles of one stream share.
#[derive(Debug, Default)]
pub(crate) struct StreamShared {
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    is_lossy: AtomicBool,
}

impl StreamShared {
    pub(crate) fn set_lossy(&self, is_lossy: bool) {
        self.is_lossy.store(is_lossy, Ordering::Relaxed);
    }
}

/// What a direct receive brought.
#[derive(Debug)]
pub(crate) struct Landed {
    pub(crate) buffer: Vec<u8>,
    /// Filled from its start, bytes.
    pub(crate) filled: usize,
    /// Stream offset of the first byte.
    pub(crate) offset: u64,
    pub(crate) end_of_record: bool,
    /// Set when nothing was received because the direction had ended.
    pub(crate) end: Option<End>,
}

/// What a receive into a file brought.
#[derive(Debug)]
pub(crate) struct Written {
    /// Written in order from the given file offset, bytes.
    pub(crate) bytes: u64,
    /// Why it stopped before `bytes_max`.
    pub(crate) end: Option<Result<Status, Error>>,
}

/// How far a stream has got; offsets count bytes from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamProgress {
    /// Accepted from the application for sending.
    pub accepted: u64,
    /// Given to a connection at least once.
    pub sent: u64,
    /// Copied by the peer's engine.
    pub acked: u64,
    /// Taken by the peer's application.
    pub consumed: u64,
    /// Received by our engine, gaps included.
    pub received: u64,
    /// Dropped to make room (lossy streams), bytes.
    pub dropped_bytes: u64,
    /// Dropped to make room (lossy streams), records.
    pub dropped_records: u64,
}

impl From<ringway_proto::StreamProgress> for StreamProgress {
    fn from(progress: ringway_proto::StreamProgress) -> Self {
        Self {
            accepted: progress.accepted,
            sent: progress.sent,
            acked: progress.acked,
            consumed: progress.consumed,
            received: progress.received,
            dropped_bytes: progress.dropped_bytes,
            dropped_records: progress.dropped_records,
        }
    }
}

/// One stream; cheap to clone, usable from any thread and from several at once.
///
/// Dropping the last clone before it was finished resets our direction and stops the peer's.
#[derive(Clone)]
pub struct Stream(Arc<Handle>);

struct Handle {
    id: StreamId,
    session: Session,
    shared: Arc<StreamShared>,
}

impl Stream {
    pub(crate) fn new(id: StreamId, session: Session, shared: Arc<StreamShared>) -> Self {
        Self(Arc::new(Handle {
            id,
            session,
            shared,
        }))
    }

    /// Its id, the same at both ends.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.0.id
    }

    /// The session it belongs to.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.0.session
    }

    /// Whether its senders may drop records at their memory caps ([`crate::WhenFull::DropOldest`]).
    /// An accepted stream may say so a moment after it was accepted; before its first byte.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        self.0.shared.is_lossy.load(Ordering::Relaxed)
    }

    pub(crate) fn inbox(&self) -> &Inbox {
        &self.0.shared.inbox
    }

    pub(crate) fn post(&self, message: Message) {
        self.0.session.shared().mailbox.send(message);
    }

    pub(crate) fn key(&self) -> crate::session::SessionKey {
        self.0.session.shared().key
    }

    /// Sends bytes. Resolves when they are accepted, that is kept for replay: with the stream
    /// offset behind them. Waits at the retention cap and dropping the future then takes them
    /// back; the bytes are sent whole or not at all.
    ///
    /// # Errors
    /// [`Error::AlreadyFinished`], [`Error::Stopped`], [`Error::SessionEnded`],
    /// [`Error::StreamEnded`], [`Error::EngineStopped`]; [`Error::Kernel`] when a file cannot be
    /// looked at.
    pub async fn send(&self, payload: impl Into<Payload>) -> Result<u64, Error> {
        self.send_part(payload.into(), false).await
    }

    /// Sends bytes that end a record. An empty record is one too.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_record(&self, payload: impl Into<Payload>) -> Result<u64, Error> {
        self.send_part(payload.into(), true).await
    }

    async fn send_part(&self, payload: Payload, end_of_record: bool) -> Result<u64, Error> {
        let sent = self.post_send(payload, end_of_record).await?;
        sent.map_err(|error| self.cause_of(error))
    }

    pub(crate) fn post_send(
        &self,
        payload: Payload,
        end_of_record: bool,
    ) -> Answer<Result<u64, Error>> {
        let (reply, answer) = reply();
        self.post(Message::Send {
            session: self.key(),
            stream: self.id(),
            payload,
            end_of_record,
            reply,
        });
        answer
    }

    /// What ended the sending direction, where the shard only knows that it is gone.
    pub(crate) fn cause_of(&self, error: Error) -> Error {
        match error {
            Error::StreamEnded => self.send_failure().unwrap_or(error),
            error => error,
        }
    }

    /// Waits until the peer's engine has copied everything before `offset`.
    ///
    /// # Errors
    /// [`Error::SessionEnded`], [`Error::Stopped`], [`Error::SourceChanged`], [`Error::AlreadyFinished`]
    /// after a reset: it will not be acked any more.
    pub async fn acked(&self, offset: u64) -> Result<(), Error> {
        poll_fn(|context| self.0.shared.outbox.poll_acked(offset, context)).await
    }

    /// Waits until the peer's application has taken everything before `offset`.
    ///
    /// # Errors
    /// As [`acked`](Self::acked).
    pub async fn consumed(&self, offset: u64) -> Result<(), Error> {
        poll_fn(|context| self.0.shared.outbox.poll_consumed(offset, context)).await
    }

    /// Waits until the peer's engine knows that this direction is finished, and has everything.
    ///
    /// # Errors
    /// As [`acked`](Self::acked).
    pub async fn finish_acked(&self) -> Result<(), Error> {
        poll_fn(|context| self.0.shared.outbox.poll_finish_acked(context)).await
    }

    /// Ends our direction with a status that arrives after every byte sent before it. Nothing
    /// happens if the peer has stopped the direction already.
    ///
    /// # Errors
    /// As [`send`](Self::send); the status text is cut at its limit.
    pub async fn finish(&self, status: Status) -> Result<(), Error> {
        self.finished(self.post_finish(status).await?)
    }

    pub(crate) fn post_finish(&self, status: Status) -> Answer<Result<(), Error>> {
        let (reply, answer) = reply();
        self.post(Message::Finish {
            session: self.key(),
            stream: self.id(),
            status,
            reply,
        });
        answer
    }

    pub(crate) fn finished(&self, finished: Result<(), Error>) -> Result<(), Error> {
        match finished {
            // The peer did not want what we had not sent: there is nothing left to end.
            Err(_) if matches!(self.send_failure(), Some(Error::Stopped(_))) => Ok(()),
            finished => finished,
        }
    }

    /// Aborts our direction now: what was not acked is not sent again.
    pub fn reset(&self, status: Status) {
        let (session, stream) = (self.key(), self.id());
        self.post(Message::Reset {
            session,
            stream,
            status,
        });
    }

    /// How urgent what we send is among the streams of the session, from its next turn on.
    pub fn set_priority(&self, priority: Priority) {
        let (session, stream) = (self.key(), self.id());
        self.post(Message::Prioritize {
            session,
            stream,
            priority,
        });
    }

    /// Asks the peer to cease sending.
    pub fn stop(&self, status: Status) {
        let (session, stream) = (self.key(), self.id());
        self.post(Message::Stop {
            session,
            stream,
            status,
        });
    }

    /// The next piece, `None` after the peer finished with any status (see
    /// [`peer_status`](Self::peer_status)). Its size is whatever arrived.
    ///
    /// # Errors
    /// [`Error::StreamReset`], [`Error::SessionEnded`], [`Error::EngineStopped`]; on a lossy stream
    /// [`Error::Gap`], after which receiving goes on.
    pub async fn receive(&self) -> Result<Option<Chunk>, Error> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    pub(crate) fn poll_receive(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Chunk>, Error>> {
        let polled = self.0.shared.inbox.poll_chunk(context);
        polled.map(|taken| self.report_either(taken))
    }

    /// As [`receive`](Self::receive), but what it gives does not yet count as taken: the peer may
    /// not send more in its place before [`consume`](Self::consume) says so. For who lends the
    /// bytes on.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub async fn receive_lent(&self) -> Result<Option<Lent>, Error> {
        let polled = poll_fn(|context| self.0.shared.inbox.poll_lent(context));
        self.report_either(polled.await)
    }

    /// Gives back what [`receive_lent`](Self::receive_lent) lent, or the rest of it: whatever is
    /// received next gets it again, also by a direct receive. From now on it counts as taken.
    pub fn put_back(&self, lent: Lent) {
        self.0.shared.inbox.put_back(lent.chunk);
        self.consume(lent.owed_bytes);
    }

    /// The next whole record of at most `bytes_max` bytes; `None` after the end. A finish in the
    /// middle of a record ends that record.
    ///
    /// # Errors
    /// [`Error::RecordTooLarge`] with both numbers, nothing lost: [`receive`](Self::receive) still
    /// gives the bytes. Else as [`receive`](Self::receive).
    pub async fn receive_record(&self, bytes_max: u64) -> Result<Option<Bytes>, Error> {
        let polled = poll_fn(|context| {
            let polled = self.0.shared.inbox.poll_record(bytes_max, context);
            if polled.is_pending() {
                self.consume(self.0.shared.inbox.take_unreported());
            }
            polled
        });
        self.report_either(polled.await)
    }

    /// Fills `buffer` from its start, without an intermediate copy where the body is large:
    /// resolves when it is full, at the end of a record, or at the end of the stream. Returns the
    /// buffer, how many bytes of it were filled, and whether they end a record; 0 bytes without
    /// a record's end mean the end of the stream. Several may be pending; they are filled in
    /// order. Dropping the future loses nothing: what had arrived is received again. Before a gap
    /// (lossy streams) it resolves with what there is; the next one is told.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub async fn receive_into(&self, buffer: Vec<u8>) -> Result<(Vec<u8>, usize, bool), Error> {
        let (reply, answer) = reply();
        self.post(Message::ReceiveInto {
            session: self.key(),
            stream: self.id(),
            shared: Arc::clone(&self.0.shared),
            buffer,
            reply,
        });
        let landed = Landing {
            stream: self,
            answer: Some(answer),
        };
        let landed = landed.await?;
        match landed.end {
            Some(End::Failed(error)) if landed.filled == 0 => Err(error),
            _ => Ok((landed.buffer, landed.filled, landed.end_of_record)),
        }
    }

    /// Receives up to `bytes_max` bytes into `file` from `offset` on, by splice where the body is
    /// large. Resolves when that many are written or the peer has finished; returns how many were
    /// written. They are in the file (not necessarily on the disk) and acked to the peer.
    /// Dropping the future stops at the next piece; [`progress`](Self::progress) says where. Before
    /// a gap (lossy streams) it resolves with what is written; the next one is told.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the file cannot take them (`ENOSPC`, …): the direction is over then,
    /// the peer is asked to stop. Else as [`receive`](Self::receive).
    pub async fn receive_into_file(
        &self,
        file: &File,
        offset: u64,
        bytes_max: u64,
    ) -> Result<u64, Error> {
        let (reply, answer) = reply();
        self.post(Message::ReceiveIntoFile {
            session: self.key(),
            stream: self.id(),
            shared: Arc::clone(&self.0.shared),
            file: Arc::clone(file.opened()),
            offset,
            bytes_max,
            reply,
        });
        let landing = Landing {
            stream: self,
            answer: Some(answer),
        };
        let written = landing.await?;
        match written.end {
            Some(Err(error)) => Err(error),
            Some(Ok(_)) | None => Ok(written.bytes),
        }
    }

    /// The status the peer finished its direction with; waits for it.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub async fn peer_status(&self) -> Result<Status, Error> {
        poll_fn(|context| self.poll_peer_status(context)).await
    }

    pub(crate) fn poll_peer_status(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Status, Error>> {
        self.0.shared.inbox.poll_finished(context)
    }

    /// How far both directions have got.
    ///
    /// # Errors
    /// [`Error::StreamEnded`] once both directions are over; [`Error::EngineStopped`].
    pub async fn progress(&self) -> Result<StreamProgress, Error> {
        let (reply, answer) = reply();
        self.post(Message::Progress {
            session: self.key(),
            stream: self.id(),
            reply,
        });
        answer.await?
    }

    /// What it counts and holds.
    ///
    /// # Errors
    /// As [`progress`](Self::progress).
    pub async fn statistics(&self) -> Result<StreamStatistics, Error> {
        let (reply, answer) = reply();
        self.post(Message::StreamStatistics {
            session: self.key(),
            stream: self.id(),
            reply,
        });
        answer.await?
    }

    /// Acked by the peer's engine so far, bytes; at once.
    #[must_use]
    pub fn acked_now(&self) -> u64 {
        self.0.shared.outbox.acked()
    }

    /// Taken by the peer's application so far, bytes; at once.
    #[must_use]
    pub fn consumed_now(&self) -> u64 {
        self.0.shared.outbox.consumed()
    }

    /// Why nothing more will be acked, if so.
    #[must_use]
    pub fn send_failure(&self) -> Option<Error> {
        self.0.shared.outbox.failure()
    }

    fn report_either<T>(&self, taken: PieceTaken<T>) -> Result<Option<T>, Error> {
        let (result, consumed) = match taken {
            Ok((value, consumed)) => (Ok(value), consumed),
            Err((error, consumed)) => (Err(error), consumed),
        };
        self.consume(consumed);
        result
    }

    /// Counts bytes of [`receive_lent`](Self::receive_lent) as taken; never more than were owed.
    pub fn consume(&self, bytes: u64) {
        if bytes > 0 {
            let (session, stream) = (self.key(), self.id());
            self.post(Message::Consume {
                session,
                stream,
                bytes,
            });
        }
    }
}

/// Waits for a direct receive. When dropped before that, the shard is told, and what had landed
/// is put back.
struct Landing<'a, T: PutBack> {
    stream: &'a Stream,
    answer: Option<Answer<T>>,
}

/// What a dropped receive leaves behind.
trait PutBack {
    fn put_back(self, inbox: &Inbox);
}

impl PutBack for Landed {
    fn put_back(self, inbox: &Inbox) {
        Landed::put_back(self, inbox);
    }
}

impl PutBack for Written {
    fn put_back(self, inbox: &Inbox) {
        Written::put_back(&self, inbox);
    }
}

impl<T: PutBack> Future for Landing<'_, T> {
    type Output = Result<T, Error>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let Some(answer) = &mut self.answer else {
            return std::task::Poll::Ready(Err(Error::EngineStopped));
        };
        let polled = std::pin::Pin::new(answer).poll(context);
        if polled.is_ready() {
            self.answer = None;
        }
        polled
    }
}

impl<T: PutBack> Drop for Landing<'_, T> {
    fn drop(&mut self) {
        let Some(answer) = self.answer.take() else {
            return;
        };
        if let Some(landed) = answer.abandon() {
            landed.put_back(&self.stream.0.shared.inbox);
        }
        // Also then: a request behind this one may be waiting for what was put back.
        self.stream.post(Message::ForgetRequests {
            session: self.stream.key(),
            stream: self.stream.id(),
        });
    }
}

impl Landed {
    /// Makes what had landed receivable again; it is the oldest in the inbox.
    pub(crate) fn put_back(mut self, inbox: &Inbox) {
        if self.filled > 0 || self.end_of_record {
            self.buffer.truncate(self.filled);
            inbox.put_back(Chunk {
                bytes: self.buffer.into(),
                offset: self.offset,
                end_of_record: self.end_of_record,
            });
        }
        if let Some(End::Failed(Error::Gap(gap))) = self.end {
            inbox.put_back_gap(gap);
        }
    }
}

impl Written {
    /// The bytes are in the file; a gap is told to the next one.
    pub(crate) fn put_back(&self, inbox: &Inbox) {
        if let Some(Err(Error::Gap(gap))) = self.end {
            inbox.put_back_gap(gap);
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({})", self.0.id)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let shared = self.session.shared();
        shared.mailbox.send(Message::StreamDropped {
            session: shared.key,
            stream: self.id,
        });
    }
}
