//! What has arrived on a stream and was not taken yet.
//!
//! Shared by the shard, which fills it, and the stream's handles, which empty it: a future that
//! is dropped never held a byte, so none is lost. Bounded by the stream's credit: what the
//! application takes is what the peer may send again.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use ringway_proto::Status;

use crate::Error;
use crate::piece_run::{PieceRun, is_small};
use crate::wakers::Wakers;

/// A piece of a stream, in order and without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The bytes, possibly none (an empty record).
    pub bytes: Bytes,
    /// Offset of the first of them in the stream.
    pub offset: u64,
    /// The last byte is the end of a record.
    pub end_of_record: bool,
}

/// Records of a lossy stream that its sender dropped: they never come.
///
/// A receive gives it as [`Error::Gap`], once and in its place; the next one goes on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What was received before it ends here.
    pub offset: u64,
    /// Bytes left out: what follows begins at `offset + bytes`.
    pub bytes: u64,
    /// Records left out, one that had begun included.
    pub records: u64,
    /// The last record had begun to arrive: whoever has received a part of it gives that up.
    pub is_record_cut: bool,
}

/// A chunk that was received without being counted as taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lent {
    /// The piece.
    pub chunk: Chunk,
    /// How many of its bytes are still to be told to [`crate::Stream::consume`]: all, or none if
    /// an earlier receive had counted them.
    pub owed_bytes: u64,
}

/// How a receiving direction ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// With the sender's status, after all of its bytes.
    Finished(Status),
    /// By reset, by the end of the session or of the engine.
    Failed(Error),
}

/// What waits.
#[derive(Debug)]
enum Waiting {
    /// A chunk, and how many empty records follow it at the same place: they take no credit, so a
    /// run of them must take no memory either.
    Chunk { chunk: Chunk, empty_records: u64 },
    /// Small pieces, of which each would cost more than it carries.
    Run(Box<PieceRun>),
    /// A gap, and how many bytes are to be reported as consumed with it.
    Gap { gap: Gap, consumed: u64 },
}

#[derive(Debug, Default)]
struct State {
    /// Chunks a `receive_record` has already taken credit for, but not handed out.
    record: VecDeque<Chunk>,
    chunks: VecDeque<Waiting>,
    end: Option<Box<End>>,
    wakers: Wakers,
    /// Taken by the application and not yet told to the shard, bytes.
    unreported_bytes: u64,
}

/// The inbox of one stream.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Mutex<State>);

/// Consumption is reported in steps of this size, or when the inbox is empty.
const REPORT_BYTES: u64 = 64 << 10;

/// Chunks of a record are joined while they are smaller: beyond, a chunk's own cost is nothing.
const JOINED_BYTES_MAX: usize = 4 << 10;

/// What a poll of the inbox gives: the value, and how many bytes to report as consumed.
pub(crate) type Taken<T> = (T, u64);

/// A chunk or record, or why there is none, each with how many bytes to report as consumed.
pub(crate) type PieceTaken<T> = Result<Taken<Option<T>>, (Error, u64)>;

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard adds what arrived.
    pub(crate) fn push(&self, chunk: Chunk) {
        let mut state = self.lock();
        state.push(chunk);
        state.wakers.wake_all();
    }

    /// The shard adds a gap.
    pub(crate) fn push_gap(&self, gap: Gap) {
        let mut state = self.lock();
        match state.chunks.back_mut() {
            // Gaps that touch are one: a run of them takes no memory.
            Some(Waiting::Gap {
                gap: last,
                consumed,
            }) => {
                last.bytes += gap.bytes;
                last.records += gap.records;
                *consumed += gap.bytes;
            }
            _ => {
                let consumed = gap.bytes;
                state.chunks.push_back(Waiting::Gap { gap, consumed });
            }
        }
        state.wakers.wake_all();
    }

    /// Puts back a gap that was told to a future that is gone.
    pub(crate) fn put_back_gap(&self, gap: Gap) {
        let mut state = self.lock();
        state.chunks.push_front(Waiting::Gap { gap, consumed: 0 });
        state.wakers.wake_all();
    }

    /// Whether a gap comes next.
    pub(crate) fn is_at_gap(&self) -> bool {
        self.lock().next_gap().is_some()
    }

    /// Takes the gap that comes next.
    pub(crate) fn try_pop_gap(&self) -> Option<Taken<Gap>> {
        self.lock().take_gap()
    }

    /// Puts back what was received for a future that is gone; already consumed, and older than
    /// all that waits in `chunks`. By offset, because several futures may go in any order.
    pub(crate) fn put_back(&self, chunk: Chunk) {
        let mut state = self.lock();
        let at = state
            .record
            .partition_point(|held| held.offset <= chunk.offset);
        state.record.insert(at, chunk);
        state.wakers.wake_all();
    }

    /// No byte follows. The first end stays.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.lock();
        state.end.get_or_insert_with(|| Box::new(end));
        state.wakers.wake_all();
    }

    /// Bytes that were taken out for the application are lost to it: whatever the sender said,
    /// nobody may see a clean end.
    pub(crate) fn fail(&self, error: Error) {
        let mut state = self.lock();
        if !matches!(state.end.as_deref(), Some(End::Failed(_))) {
            state.end = Some(Box::new(End::Failed(error)));
        }
        state.wakers.wake_all();
    }

    /// Whether nothing waits: bytes may go past the inbox, directly to where they belong.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.chunks.is_empty() && state.record.is_empty()
    }

    /// Takes a chunk without waiting, for a direct receiver that was queued behind it.
    pub(crate) fn try_pop(&self) -> Option<Taken<Chunk>> {
        self.lock().pop()
    }

    /// How the direction ended, once all bytes are taken.
    pub(crate) fn finished(&self) -> Option<End> {
        let state = self.lock();
        if state.chunks.is_empty() && state.record.is_empty() {
            return state.end.as_deref().cloned();
        }
        None
    }

    /// The next chunk; `None` at the end with status OK.
    pub(crate) fn poll_chunk(&self, context: &mut Context<'_>) -> Poll<PieceTaken<Chunk>> {
        let mut state = self.lock();
        if let Some((gap, consumed)) = state.take_gap() {
            return Poll::Ready(Err((Error::Gap(gap), consumed)));
        }
        if let Some((chunk, consumed)) = state.pop() {
            return Poll::Ready(Ok((Some(chunk), consumed)));
        }
        let end = state.poll_end(context);
        end.map_ok(|()| (None, 0)).map_err(|error| (error, 0))
    }

    /// The next chunk, not counted as taken; `None` at the end with status OK.
    pub(crate) fn poll_lent(&self, context: &mut Context<'_>) -> Poll<PieceTaken<Lent>> {
        let mut state = self.lock();
        if let Some((gap, consumed)) = state.take_gap() {
            return Poll::Ready(Err((Error::Gap(gap), consumed)));
        }
        if let Some(lent) = state.pop_lent() {
            return Poll::Ready(Ok((Some(lent), 0)));
        }
        let end = state.poll_end(context);
        end.map_ok(|()| (None, 0)).map_err(|error| (error, 0))
    }

    /// The next whole record of at most `bytes_max` bytes.
    pub(crate) fn poll_record(
        &self,
        bytes_max: u64,
        context: &mut Context<'_>,
    ) -> Poll<PieceTaken<Bytes>> {
        let mut state = self.lock();
        match state.next_record(bytes_max) {
            Ok((None, _)) => state.poll_last_record(context),
            found => Poll::Ready(found),
        }
    }

    /// Whole records of at most `bytes_max` bytes each, added to `into` until `count_max` are.
    /// How many; none at the end.
    pub(crate) fn poll_records(
        &self,
        into: &mut Vec<Bytes>,
        count_max: usize,
        bytes_max: u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<Taken<usize>, (Error, u64)>> {
        let mut state = self.lock();
        let (mut count, mut consumed) = (0, 0);
        while count < count_max.max(1) {
            match state.next_record(bytes_max) {
                Ok((Some(record), taken)) => {
                    into.push(record);
                    count += 1;
                    consumed += taken;
                }
                Ok((None, _)) if count == 0 => {
                    let last = state.poll_last_record(context);
                    return last.map_ok(|(record, taken)| {
                        let count = usize::from(record.is_some());
                        into.extend(record);
                        (count, taken)
                    });
                }
                Err(refused) if count == 0 => return Poll::Ready(Err(refused)),
                // Not there yet, or not to be had: that is for the next one.
                Ok((None, _)) => break,
                Err((error, taken)) => {
                    consumed += taken;
                    if let Error::Gap(gap) = error {
                        let gap = Waiting::Gap { gap, consumed: 0 };
                        state.chunks.push_front(gap);
                    }
                    break;
                }
            }
        }
        consumed += std::mem::take(&mut state.unreported_bytes);
        Poll::Ready(Ok((count, consumed)))
    }

    /// Waits for the sender's status. It arrives behind all bytes, which may still wait here.
    pub(crate) fn poll_finished(&self, context: &mut Context<'_>) -> Poll<Result<Status, Error>> {
        let mut state = self.lock();
        match state.end.as_deref() {
            Some(End::Finished(status)) => Poll::Ready(Ok(status.clone())),
            Some(End::Failed(error)) => Poll::Ready(Err(error.clone())),
            None => {
                state.wakers.register(context.waker());
                Poll::Pending
            }
        }
    }

    /// Bytes taken and not yet reported; resets the count.
    pub(crate) fn take_unreported(&self) -> u64 {
        std::mem::take(&mut self.lock().unreported_bytes)
    }
}

impl State {
    fn push(&mut self, chunk: Chunk) {
        if chunk.bytes.is_empty() && chunk.end_of_record {
            match self.chunks.back_mut() {
                Some(Waiting::Chunk { empty_records, .. }) => return *empty_records += 1,
                Some(Waiting::Run(run)) => return run.push_empty_record(),
                Some(Waiting::Gap { .. }) | None => {}
            }
        }
        if is_small(&chunk) && self.gather(&chunk) {
            return;
        }
        self.chunks.push_back(Waiting::Chunk {
            chunk,
            empty_records: 0,
        });
    }

    /// Puts a small piece to small ones that wait. False: what waits last is none.
    fn gather(&mut self, chunk: &Chunk) -> bool {
        let Some(last) = self.chunks.back_mut() else {
            return false;
        };
        match last {
            Waiting::Run(run) if run.has_room(chunk) => run.push(chunk),
            Waiting::Chunk {
                chunk: before,
                empty_records,
            } if is_small(before) => {
                let mut run = PieceRun::new(before, *empty_records);
                run.push(chunk);
                *last = Waiting::Run(Box::new(run));
            }
            _ => return false,
        }
        true
    }

    /// Adds a chunk to the record that is being gathered. Small ones are joined as their sizes
    /// meet, so that a record in pieces of a byte costs little more than its bytes.
    fn push_to_record(&mut self, chunk: Chunk) {
        self.record.push_back(chunk);
        while let Some((before, last)) = self.last_two_of_record()
            && last.bytes.len() >= before.bytes.len()
            && last.bytes.len() < JOINED_BYTES_MAX
        {
            let joined = Chunk {
                bytes: [&before.bytes[..], &last.bytes[..]].concat().into(),
                offset: before.offset,
                end_of_record: last.end_of_record,
            };
            self.record.truncate(self.record.len() - 2);
            self.record.push_back(joined);
        }
    }

    /// The last two chunks, if they lie in one record and touch.
    fn last_two_of_record(&self) -> Option<(&Chunk, &Chunk)> {
        let last = self.record.back()?;
        let before = self.record.get(self.record.len().checked_sub(2)?)?;
        let is_joint = before.offset + before.bytes.len() as u64 == last.offset;
        (is_joint && !before.end_of_record).then_some((before, last))
    }

    /// The gap that comes next. One that was put back may come before chunks that were, too.
    fn next_gap(&self) -> Option<&Gap> {
        let Some(Waiting::Gap { gap, .. }) = self.chunks.front() else {
            return None;
        };
        let is_behind = |chunk: &Chunk| chunk.offset >= gap.offset + gap.bytes;
        self.record.front().is_none_or(is_behind).then_some(gap)
    }

    fn take_gap(&mut self) -> Option<Taken<Gap>> {
        self.next_gap()?;
        match self.chunks.pop_front() {
            Some(Waiting::Gap { gap, consumed }) => {
                let before = std::mem::take(&mut self.unreported_bytes);
                Some((gap, before + consumed))
            }
            _ => None,
        }
    }

    /// The gap that comes before the next record is whole: what there is of that is given up.
    fn take_gap_before_record(&mut self) -> Option<Taken<Gap>> {
        if let Some(Waiting::Gap { gap, .. }) = self.chunks.front()
            && !self.has_whole_record()
        {
            let offset = gap.offset;
            self.record.retain(|chunk| chunk.offset > offset);
        }
        self.take_gap()
    }

    /// The oldest chunk that no record has taken; none if a gap comes before it.
    fn take_chunk(&mut self) -> Option<Chunk> {
        if let Some(Waiting::Run(run)) = self.chunks.front_mut() {
            let chunk = run.pop();
            if run.is_empty() {
                self.forget_first();
            }
            return chunk;
        }
        let Some(Waiting::Chunk {
            chunk,
            empty_records,
        }) = self.chunks.front_mut()
        else {
            return None;
        };
        if let Some(rest) = empty_records.checked_sub(1) {
            *empty_records = rest;
            let empty = Chunk {
                bytes: Bytes::new(),
                offset: chunk.offset + chunk.bytes.len() as u64,
                end_of_record: true,
            };
            return Some(std::mem::replace(chunk, empty));
        }
        match self.forget_first() {
            Some(Waiting::Chunk { chunk, .. }) => Some(chunk),
            _ => None,
        }
    }

    fn forget_first(&mut self) -> Option<Waiting> {
        let first = self.chunks.pop_front();
        if self.chunks.is_empty() {
            // Most streams are idle most of the time: theirs need no room.
            self.chunks = VecDeque::new();
        }
        first
    }

    fn pop(&mut self) -> Option<Taken<Chunk>> {
        if self.next_gap().is_some() {
            return None;
        }
        if let Some(chunk) = self.record.pop_front() {
            return Some((chunk, 0));
        }
        let chunk = self.take_chunk()?;
        self.unreported_bytes += chunk.bytes.len() as u64;
        if self.unreported_bytes < REPORT_BYTES && !self.chunks.is_empty() {
            return Some((chunk, 0));
        }
        let report = std::mem::take(&mut self.unreported_bytes);
        Some((chunk, report))
    }

    fn pop_lent(&mut self) -> Option<Lent> {
        if let Some(chunk) = self.record.pop_front() {
            let owed_bytes = 0;
            return Some(Lent { chunk, owed_bytes });
        }
        let chunk = self.take_chunk()?;
        let owed_bytes = chunk.bytes.len() as u64;
        Some(Lent { chunk, owed_bytes })
    }

    /// Chunks of the first record that are here: what was put back may hold several.
    fn record_chunks(&self) -> usize {
        let end = self.record.iter().position(|chunk| chunk.end_of_record);
        end.map_or(self.record.len(), |last| last + 1)
    }

    fn has_whole_record(&self) -> bool {
        self.record.iter().any(|chunk| chunk.end_of_record)
    }

    fn record_bytes(&self) -> u64 {
        let chunks = self.record.iter().take(self.record_chunks());
        chunks.map(|chunk| chunk.bytes.len() as u64).sum()
    }

    /// The next whole record, and how many bytes are to be reported with it. What was taken of one
    /// that is not whole stays to be reported.
    fn next_record(&mut self, bytes_max: u64) -> PieceTaken<Bytes> {
        // With what was taken as chunks before: the inbox may be empty after this, and then
        // nothing else would report it.
        let mut consumed = std::mem::take(&mut self.unreported_bytes);
        while !self.has_whole_record()
            && let Some(chunk) = self.take_chunk()
        {
            let bytes = chunk.bytes.len() as u64;
            consumed += bytes;
            if self.record.is_empty() && chunk.end_of_record && bytes <= bytes_max {
                return Ok((Some(chunk.bytes), consumed));
            }
            self.push_to_record(chunk);
        }
        if let Some((gap, skipped)) = self.take_gap_before_record() {
            return Err((Error::Gap(gap), consumed + skipped));
        }
        let received: u64 = self.record_bytes();
        if received > bytes_max {
            let error = Error::RecordTooLarge {
                received,
                allowed: bytes_max,
            };
            return Err((error, consumed));
        }
        let record = self.take_record();
        if record.is_none() {
            // The caller reports it, or a record larger than the window never ends.
            self.unreported_bytes += std::mem::take(&mut consumed);
        }
        Ok((record, consumed))
    }

    /// No record is whole: waits, or gives what there is at the end.
    fn poll_last_record(&mut self, context: &mut Context<'_>) -> Poll<PieceTaken<Bytes>> {
        let end = self.poll_end(context);
        if end.is_pending() {
            return Poll::Pending;
        }
        let consumed = std::mem::take(&mut self.unreported_bytes);
        end.map(|ended| match ended {
            Ok(()) if self.record.is_empty() => Ok((None, consumed)),
            // A finish in the middle of a record: what is there is the last one.
            Ok(()) => Ok((Some(self.join_record()), consumed)),
            Err(error) => Err((error, consumed)),
        })
    }

    fn take_record(&mut self) -> Option<Bytes> {
        self.has_whole_record().then(|| self.join_record())
    }

    fn join_record(&mut self) -> Bytes {
        let count = self.record_chunks();
        if count == 1 {
            return self
                .record
                .pop_front()
                .map(|chunk| chunk.bytes)
                .unwrap_or_default();
        }
        let bytes = usize::try_from(self.record_bytes()).unwrap_or(0);
        let mut joined = BytesMut::with_capacity(bytes);
        for chunk in self.record.drain(..count) {
            joined.extend_from_slice(&chunk.bytes);
        }
        joined.freeze()
    }

    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.end.as_deref() {
            Some(End::Finished(_)) => Poll::Ready(Ok(())),
            Some(End::Failed(error)) => Poll::Ready(Err(error.clone())),
            None => {
                self.wakers.register(context.waker());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn chunk(bytes: &'static [u8], offset: u64, end_of_record: bool) -> Chunk {
        Chunk {
            bytes: Bytes::from_static(bytes),
            offset,
            end_of_record,
        }
    }

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    /// Else a sender at the end of its credit waits for ever.
    #[test]
    fn what_was_taken_as_chunks_is_reported_with_the_record_that_empties_the_inbox() {
        let inbox = Inbox::default();
        inbox.push(chunk(b"abc", 0, true));
        inbox.push(chunk(b"de", 3, true));
        assert_eq!(inbox.try_pop().expect("a chunk").1, 0);
        let polled = inbox.poll_record(10, &mut context());
        let Poll::Ready(Ok((Some(record), consumed))) = polled else {
            panic!("{polled:?}");
        };
        assert_eq!((&record[..], consumed), (&b"de"[..], 5));
    }

    #[test]
    fn a_record_in_pieces_is_joined_and_an_empty_one_is_kept() {
        let inbox = Inbox::default();
        inbox.push(chunk(b"ab", 0, false));
        assert!(inbox.poll_record(8, &mut context()).is_pending());
        assert_eq!(inbox.take_unreported(), 2);
        inbox.push(chunk(b"c", 2, true));
        inbox.push(chunk(b"", 3, true));
        let Poll::Ready(Ok((Some(record), 1))) = inbox.poll_record(8, &mut context()) else {
            panic!("a whole record was there")
        };
        assert_eq!(record, "abc");
        let Poll::Ready(Ok((Some(empty), 0))) = inbox.poll_record(8, &mut context()) else {
            panic!("the empty record was there")
        };
        assert!(empty.is_empty());
    }

    fn records(inbox: &Inbox, count_max: usize) -> (Vec<Bytes>, u64) {
        let mut records = Vec::new();
        let polled = inbox.poll_records(&mut records, count_max, 4, &mut context());
        let Poll::Ready(Ok((count, consumed))) = polled else {
            panic!("{polled:?}");
        };
        assert_eq!(count, records.len());
        (records, consumed)
    }

    /// Else a batch hides a gap, a record that is too large, or half a record.
    #[test]
    fn a_batch_ends_before_what_cannot_be_taken_and_the_next_one_tells() {
        let inbox = Inbox::default();
        inbox.push(chunk(b"ab", 0, true));
        inbox.push(chunk(b"", 2, true));
        let gap = Gap {
            offset: 2,
            bytes: 3,
            records: 1,
            is_record_cut: false,
        };
        inbox.push_gap(gap);
        inbox.push(chunk(b"c", 5, true));
        inbox.push(chunk(b"larger", 6, true));
        assert_eq!(records(&inbox, 9), (vec!["ab".into(), "".into()], 5));
        let mut none = Vec::new();
        let told = inbox.poll_records(&mut none, 9, 4, &mut context());
        assert!(matches!(told, Poll::Ready(Err((Error::Gap(it), 0))) if it == gap));
        assert_eq!(records(&inbox, 9), (vec!["c".into()], 7));
        let refused = inbox.poll_records(&mut none, 9, 4, &mut context());
        let Poll::Ready(Err((Error::RecordTooLarge { received: 6, .. }, 0))) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(inbox.try_pop().expect("nothing is lost").0.bytes, "larger");
        assert!(none.is_empty());
    }

    #[test]
    fn a_batch_waits_for_a_whole_record_and_the_last_one_may_be_cut() {
        let inbox = Inbox::default();
        let mut none = Vec::new();
        inbox.push(chunk(b"ab", 0, false));
        assert!(
            inbox
                .poll_records(&mut none, 9, 4, &mut context())
                .is_pending()
        );
        assert_eq!(inbox.take_unreported(), 2);
        for offset in 2..5 {
            inbox.push(chunk(b"c", offset, true));
        }
        inbox.push(chunk(b"d", 5, false));
        assert_eq!(records(&inbox, 2), (vec!["abc".into(), "c".into()], 2));
        assert_eq!(records(&inbox, 9), (vec!["c".into()], 2));
        inbox.end(End::Finished(Status::ok()));
        assert_eq!(records(&inbox, 9), (vec!["d".into()], 0));
        assert_eq!(records(&inbox, 9), (vec![], 0));
    }

    #[test]
    fn a_lent_chunk_is_owed_once_even_between_counted_ones() {
        let inbox = Inbox::default();
        inbox.push(chunk(b"ab", 0, true));
        inbox.push(chunk(b"cde", 2, true));
        inbox.push(chunk(b"f", 5, true));
        let Poll::Ready(Ok((Some(_), 0))) = inbox.poll_chunk(&mut context()) else {
            panic!("a small report waits for more")
        };
        let Poll::Ready(Ok((Some(lent), 0))) = inbox.poll_lent(&mut context()) else {
            panic!("it was there")
        };
        assert_eq!((&lent.chunk.bytes[..], lent.owed_bytes), (&b"cde"[..], 3));
        let Poll::Ready(Ok((Some(_), reported))) = inbox.poll_chunk(&mut context()) else {
            panic!("it was there")
        };
        assert_eq!(reported, 3, "the first and the last, not the lent one");
    }

    #[test]
    fn a_record_above_the_limit_is_an_error_with_both_numbers_and_loses_nothing() {
        let inbox = Inbox::default();
        inbox.push(chunk(b"abcdef", 0, true));
        let Poll::Ready(Err((error, 6))) = inbox.poll_record(5, &mut context()) else {
            panic!("too large")
        };
        assert_eq!(
            error,
            Error::RecordTooLarge {
                received: 6,
                allowed: 5
            }
        );
        assert_eq!(inbox.try_pop().expect("still there").0.bytes, "abcdef");
    }

    #[test]
    fn a_record_that_was_too_large_is_not_joined_with_the_next() {
        let inbox = Inbox::default();
        inbox.push(chunk(b"abcdef", 0, true));
        inbox.push(chunk(b"gh", 6, true));
        assert!(matches!(
            inbox.poll_record(5, &mut context()),
            Poll::Ready(Err(_))
        ));
        for expected in ["abcdef", "gh"] {
            let Poll::Ready(Ok((Some(record), _))) = inbox.poll_record(8, &mut context()) else {
                panic!("a whole record was there")
            };
            assert_eq!(record, expected);
        }
    }

    #[test]
    fn a_flood_of_empty_records_takes_no_memory_and_none_is_lost() {
        let inbox = Inbox::default();
        inbox.push(chunk(b"x", 0, false));
        for _ in 0..1000 {
            inbox.push(chunk(b"", 1, true));
        }
        inbox.push(chunk(b"y", 1, true));
        assert!(inbox.lock().chunks.len() <= 2);
        assert_eq!(inbox.try_pop().expect("there").0, chunk(b"x", 0, false));
        for _ in 0..1000 {
            assert_eq!(inbox.try_pop().expect("there").0, chunk(b"", 1, true));
        }
        assert_eq!(inbox.try_pop().expect("there").0, chunk(b"y", 1, true));
        assert!(inbox.is_empty());
    }

    /// Credit is counted in bytes: a peer must not make it cost a hundred times as much.
    #[test]
    fn a_flood_of_records_of_one_byte_is_kept_in_a_few_blocks_and_none_is_lost() {
        const COUNT: u64 = 300_000;
        let inbox = Inbox::default();
        for offset in 0..COUNT {
            inbox.push(chunk(b"x", offset, true));
        }
        assert_eq!(inbox.lock().chunks.len() as u64, COUNT.div_ceil(64 << 10));
        for offset in 0..COUNT {
            let (taken, _) = inbox.try_pop().expect("there");
            assert_eq!(taken, chunk(b"x", offset, true));
        }
        assert!(inbox.is_empty());
    }

    #[test]
    fn a_record_in_pieces_of_one_byte_is_gathered_in_a_few_chunks() {
        const COUNT: u64 = 100_000;
        let inbox = Inbox::default();
        for offset in 0..COUNT {
            inbox.push(chunk(b"x", offset, offset + 1 == COUNT));
            if offset + 1 < COUNT {
                assert!(inbox.poll_record(COUNT, &mut context()).is_pending());
            }
        }
        let held = inbox.lock().record.len() as u64;
        assert!(held <= COUNT / 4096 + 16, "{held} chunks");
        let Poll::Ready(Ok((Some(record), _))) = inbox.poll_record(COUNT, &mut context()) else {
            panic!("a whole record was there")
        };
        assert_eq!(record.len() as u64, COUNT);
    }

    #[test]
    fn the_end_comes_after_all_bytes() {
        let inbox = Inbox::default();
        inbox.push(chunk(b"x", 0, false));
        inbox.end(End::Finished(Status::ok()));
        assert!(inbox.finished().is_none());
        assert!(matches!(
            inbox.poll_chunk(&mut context()),
            Poll::Ready(Ok((Some(_), 1)))
        ));
        assert!(matches!(
            inbox.poll_chunk(&mut context()),
            Poll::Ready(Ok((None, 0)))
        ));
    }

    /// The sender finished, and then the disk refused what had arrived.
    #[test]
    fn lost_bytes_are_no_clean_end_even_after_the_finish() {
        let inbox = Inbox::default();
        inbox.push(chunk(b"x", 0, false));
        inbox.end(End::Finished(Status::ok()));
        inbox.try_pop().expect("it was there");
        inbox.fail(Error::EngineStopped);
        let Poll::Ready(Err((error, 0))) = inbox.poll_chunk(&mut context()) else {
            panic!("a clean end")
        };
        assert_eq!(error, Error::EngineStopped);
        let Poll::Ready(finished) = inbox.poll_finished(&mut context()) else {
            panic!("no end")
        };
        assert_eq!(finished, Err(Error::EngineStopped));
    }

    fn gap(offset: u64, bytes: u64, is_record_cut: bool) -> Gap {
        Gap {
            offset,
            bytes,
            records: 1,
            is_record_cut,
        }
    }

    // S23
    #[test]
    fn a_gap_is_told_once_in_its_place_and_its_bytes_are_consumed_with_it() {
        let inbox = Inbox::default();
        inbox.push(chunk(b"ab", 0, true));
        inbox.push_gap(gap(2, 4, false));
        inbox.push_gap(gap(6, 6, false));
        inbox.push(chunk(b"", 12, true));
        inbox.push(chunk(b"c", 12, true));
        assert_eq!(inbox.try_pop(), Some((chunk(b"ab", 0, true), 0)));
        assert_eq!((inbox.try_pop(), inbox.is_at_gap()), (None, true));
        assert!(matches!(
            inbox.poll_chunk(&mut context()),
            Poll::Ready(Err((
                Error::Gap(Gap {
                    offset: 2,
                    bytes: 10,
                    records: 2,
                    ..
                }),
                12
            )))
        ));
        assert_eq!(inbox.try_pop().expect("there").0, chunk(b"", 12, true));
        assert_eq!(inbox.try_pop(), Some((chunk(b"c", 12, true), 1)));
    }

    // S23
    #[test]
    fn a_record_that_a_gap_cuts_is_given_up_and_not_joined_with_the_next() {
        let inbox = Inbox::default();
        inbox.push(chunk(b"half", 0, false));
        assert!(inbox.poll_record(8, &mut context()).is_pending());
        inbox.push_gap(gap(4, 4, true));
        inbox.push(chunk(b"next", 8, true));
        assert!(matches!(
            inbox.poll_record(8, &mut context()),
            Poll::Ready(Err((Error::Gap(_), 8)))
        ));
        let Poll::Ready(Ok((Some(record), 4))) = inbox.poll_record(8, &mut context()) else {
            panic!("a whole record was there")
        };
        assert_eq!(record, "next");
    }

    #[test]
    fn a_gap_and_a_chunk_that_are_put_back_come_in_their_order() {
        let inbox = Inbox::default();
        inbox.push(chunk(b"z", 12, true));
        inbox.put_back(chunk(b"y", 11, true));
        inbox.put_back_gap(gap(1, 10, false));
        inbox.put_back(chunk(b"x", 0, true));
        assert_eq!(inbox.try_pop(), Some((chunk(b"x", 0, true), 0)));
        assert_eq!(
            (inbox.try_pop(), inbox.try_pop_gap()),
            (None, Some((gap(1, 10, false), 0)))
        );
        assert_eq!(inbox.try_pop(), Some((chunk(b"y", 11, true), 0)));
        assert_eq!(inbox.try_pop(), Some((chunk(b"z", 12, true), 1)));
    }
}
