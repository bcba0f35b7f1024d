//! The receiving direction of a stream: one chunk lent to the application at a time.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::Bytes;
use ringway::{Chunk, Error, File, Lent, Status, Stream};

use crate::code::ringway_code::{RINGWAY_E_AGAIN, RINGWAY_E_EOF, RINGWAY_E_GAP, RINGWAY_E_STATE};
use crate::event::{Sink, ringway_event_kind as kind};
use crate::events::Told;
use crate::failure::{Failure, Result};
use crate::ready::{Kept, Purpose, Ready, Ringer};
use crate::session::about;
use crate::slot::{Slot, lock};

/// Consumption inside of one chunk is reported in steps of this size, bytes.
const REPORT_BYTES: u64 = 256 << 10;
/// Receives into files that may wait on one stream.
const FILES_MAX: usize = 64;

/// The chunk that is lent.
struct Held {
    chunk: Chunk,
    /// Still to be reported, bytes.
    owed_bytes: u64,
}

struct IntoFile {
    work: Kept<std::result::Result<u64, Error>>,
    token: u64,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// The application has it; else it was only looked at, to tell that something is there.
    is_lent: bool,
    /// A gap that was found while looking: it is told once, by the next receive.
    gap: Option<Failure>,
    unreported_bytes: u64,
    /// The application was told to wait for an event.
    is_waited_for: bool,
    files: VecDeque<IntoFile>,
}

/// See the module.
pub(crate) struct Receiving {
    state: Mutex<State>,
    readable: Ringer,
    files: Ringer,
}

/// Bytes lent to the application until it consumes them.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    pub(crate) offset: u64,
    pub(crate) end_of_record: bool,
}

impl Receiving {
    pub(crate) fn new(ready: &Arc<Ready>, number: u64) -> Self {
        Self {
            state: Mutex::default(),
            readable: Ringer::new(ready, number, Purpose::Readable),
            files: Ringer::new(ready, number, Purpose::Receives),
        }
    }

    /// The stream is open: who waits may try.
    pub(crate) fn ring(&self) {
        self.readable.ring();
    }

    /// Lends what is there; the same again until it is consumed.
    ///
    /// # Errors
    /// `RINGWAY_E_AGAIN`: an event follows. `RINGWAY_E_EOF` at the end.
    pub(crate) fn lend(&self, stream: Option<&Stream>) -> Result<Piece> {
        let mut state = lock(&self.state);
        self.fill(&mut state, stream)?;
        let held = state.held.as_ref().ok_or(RINGWAY_E_AGAIN)?;
        let piece = Piece {
            bytes: held.chunk.bytes.clone(),
            offset: held.chunk.offset,
            end_of_record: held.chunk.end_of_record,
        };
        state.is_lent = true;
        Ok(piece)
    }

    fn fill(&self, state: &mut State, stream: Option<&Stream>) -> Result<()> {
        if state.held.is_some() {
            return Ok(());
        }
        if !state.files.is_empty() {
            // What comes belongs to the files.
            return Err(RINGWAY_E_STATE.into());
        }
        if let Some(gap) = state.gap.take() {
            return Err(gap);
        }
        state.is_waited_for = true;
        let Some(stream) = stream else {
            return Err(RINGWAY_E_AGAIN.into());
        };
        let lent = match self.readable.poll_once(stream.receive_lent()) {
            Poll::Pending => return Err(RINGWAY_E_AGAIN.into()),
            Poll::Ready(lent) => lent,
        };
        state.is_waited_for = false;
        match lent? {
            Some(Lent { chunk, owed_bytes }) => {
                state.is_lent = false;
                state.held = Some(Held { chunk, owed_bytes });
                Ok(())
            }
            None => Err(RINGWAY_E_EOF.into()),
        }
    }

    /// The application has used `count` bytes of what it was lent.
    ///
    /// # Errors
    /// `RINGWAY_E_STATE` when nothing is lent; `RINGWAY_E_ARGUMENT` beyond it.
    pub(crate) fn consume(&self, stream: &Stream, count: u64) -> Result<()> {
        let mut state = lock(&self.state);
        let held = state.held.as_ref().ok_or(RINGWAY_E_STATE)?;
        let lent = held.chunk.bytes.len() as u64;
        if count > lent {
            let text = format!("{count} bytes consumed of {lent} that are lent");
            return Err(Failure::argument(text));
        }
        state.advance(stream, count as usize);
        Ok(())
    }

    /// Gives what is there for good.
    pub(crate) fn take(&self, stream: Option<&Stream>) -> Result<Piece> {
        let piece = self.lend(stream)?;
        if let Some(stream) = stream {
            lock(&self.state).advance(stream, piece.bytes.len());
        }
        Ok(piece)
    }

    /// Copies what is there into the caller's memory, up to the end of a record; answers with the
    /// offset of the first byte, how many, and whether they end a record.
    pub(crate) fn copy(
        &self,
        stream: Option<&Stream>,
        memory: &mut [MaybeUninit<u8>],
    ) -> Result<(u64, usize, bool)> {
        let mut state = lock(&self.state);
        let mut first = None;
        let mut filled = 0;
        loop {
            match self.fill(&mut state, stream) {
                Ok(()) => {}
                Err(failure) if first.is_some() => {
                    state.keep_gap(failure);
                    break;
                }
                Err(failure) => return Err(failure),
            }
            let (Some(held), Some(stream)) = (&state.held, stream) else {
                break;
            };
            first.get_or_insert(held.chunk.offset);
            let room = &mut memory[filled..];
            let count = held.chunk.bytes.len().min(room.len());
            for (to, from) in room.iter_mut().zip(&held.chunk.bytes[..count]) {
                to.write(*from);
            }
            let ends_record = held.chunk.end_of_record && count == held.chunk.bytes.len();
            filled += count;
            state.advance(stream, count);
            if ends_record {
                return Ok((first.unwrap_or_default(), filled, true));
            }
            if filled == memory.len() {
                break;
            }
        }
        state.is_waited_for = false;
        Ok((first.unwrap_or_default(), filled, false))
    }

    /// Begins to receive into a file; an event tells the end.
    pub(crate) fn begin_file(
        &self,
        stream: &Stream,
        file: File,
        offset: u64,
        bytes_max: u64,
        token: u64,
    ) -> Result<()> {
        let mut state = lock(&self.state);
        if state.is_lent && state.held.is_some() {
            return Err(RINGWAY_E_STATE.into());
        }
        if let Some(gap) = state.gap.take() {
            return Err(gap);
        }
        if state.files.len() >= FILES_MAX {
            let wanted = state.files.len() as u64 + 1;
            return Err(Failure::limit(
                "receives into files",
                wanted,
                FILES_MAX as u64,
            ));
        }
        state.put_back_looked_at(stream);
        let stream = stream.clone();
        let receive = async move { stream.receive_into_file(&file, offset, bytes_max).await };
        let work = self.files.begin(receive);
        state.files.push_back(IntoFile { work, token });
        Ok(())
    }

    /// What the peer finished with, if it has.
    pub(crate) fn peer_status(&self, stream: Option<&Stream>) -> Result<Status> {
        let stream = stream.ok_or(RINGWAY_E_AGAIN)?;
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(stream.peer_status()).poll(&mut context) {
            Poll::Pending => Err(RINGWAY_E_AGAIN.into()),
            Poll::Ready(status) => Ok(status?),
        }
    }

    /// Tells only what is so: the bell also rings when the stream opens.
    pub(crate) fn tell_readable(&self, stream: &Stream, slot: &Slot, sink: &mut Sink<'_>) -> Told {
        let mut state = lock(&self.state);
        if !state.is_waited_for {
            return Told::All;
        }
        if let Err(failure) = self.fill(&mut state, Some(stream)) {
            // While files wait, what comes is theirs; the last one rings.
            if matches!(failure.code(), RINGWAY_E_AGAIN | RINGWAY_E_STATE) {
                return Told::All;
            }
            state.keep_gap(failure);
        }
        state.is_waited_for = false;
        sink.push(about(slot, kind::RINGWAY_EVENT_STREAM_READABLE, None));
        Told::All
    }

    pub(crate) fn tell_files(&self, slot: &Slot, sink: &mut Sink<'_>) -> Told {
        let mut state = lock(&self.state);
        while let Some(oldest) = state.files.front_mut() {
            if !sink.has_room() {
                return Told::Part;
            }
            let Poll::Ready(written) = self.files.poll(&mut oldest.work) else {
                return Told::All;
            };
            let (bytes, failure) = match written {
                Ok(bytes) => (bytes, None),
                Err(error) => (0, Some(Failure::from(error))),
            };
            let kind = kind::RINGWAY_EVENT_STREAM_FILE_RECEIVED;
            let mut event = about(slot, kind, failure);
            event.token = oldest.token;
            event.length = bytes;
            sink.push(event);
            state.files.pop_front();
        }
        if state.is_waited_for {
            self.readable.ring();
        }
        Told::All
    }
}

impl State {
    /// Of what a receive may answer, only a gap is told once; the rest is found again.
    fn keep_gap(&mut self, failure: Failure) {
        if failure.code() == RINGWAY_E_GAP {
            self.gap = Some(failure);
        }
    }

    /// What was looked at and not lent belongs to whoever receives next. It goes back to the
    /// shard, which keeps the order of several files, and stops the stream when one fails.
    fn put_back_looked_at(&mut self, stream: &Stream) {
        if let Some(Held { chunk, owed_bytes }) = self.held.take() {
            stream.put_back(Lent { chunk, owed_bytes });
            stream.consume(std::mem::take(&mut self.unreported_bytes));
        }
    }

    /// `count` bytes of the held chunk are used.
    fn advance(&mut self, stream: &Stream, count: usize) {
        let Some(held) = &mut self.held else { return };
        let reported = held.owed_bytes.min(count as u64);
        held.owed_bytes -= reported;
        self.unreported_bytes += reported;
        let is_used_up = count == held.chunk.bytes.len();
        if is_used_up {
            self.held = None;
        } else {
            held.chunk.offset += count as u64;
            held.chunk.bytes = held.chunk.bytes.slice(count..);
        }
        if is_used_up || self.unreported_bytes >= REPORT_BYTES {
            stream.consume(std::mem::take(&mut self.unreported_bytes));
        }
    }
}
