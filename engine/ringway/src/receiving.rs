//! Where the bytes of a stream go once they are here: the inbox, the application's buffer, a file.

use bytes::Bytes;
use ringway_io::{BufferRef, Completion, Descriptor, Errno, Kernel, Op};
use ringway_proto::{Status, StreamId};

use std::sync::Arc;

use crate::Error;
use crate::connection::Connection;
use crate::file::OpenFile;
use crate::inbox::{Chunk, End};
use crate::purpose::Purpose;
use crate::session::SessionKey;
use crate::shard::Shard;
use crate::stream::StreamShared;
use crate::stream_entry::{Request, StreamEntry};

/// Where the next byte of a stream belongs.
#[derive(Debug)]
pub(crate) enum Destination {
    /// Nobody wants it.
    Nowhere,
    /// A file, once what waits in the inbox is written to it: better not received yet, so that
    /// it can go there directly. Bytes that are here already go to the inbox, in order.
    InboxThenFile,
    /// The inbox.
    Inbox,
    /// The application's buffer, which has so much room left.
    Buffer { room: u64 },
    /// A file, from this offset, at most so many bytes.
    File {
        file: Arc<OpenFile>,
        offset: u64,
        room: u64,
    },
}

impl<K: Kernel> Shard<K> {
    /// Where arriving bytes go now. Requests whose future is gone are dropped here.
    pub(crate) fn destination(&mut self, key: SessionKey, stream: StreamId) -> Destination {
        let Some(entry) = self.stream_mut(key, stream) else {
            return Destination::Nowhere;
        };
        // After an end nothing is owed; what a reset stream still had under way is not wanted.
        if entry.is_discarding || entry.has_receive_ended {
            return Destination::Nowhere;
        }
        entry.drop_forgotten();
        let has_inbox = !entry.shared.inbox.is_empty();
        match entry.requests.front() {
            Some(Request::File(request)) if request.is_writing_inbox || has_inbox => {
                Destination::InboxThenFile
            }
            _ if has_inbox => Destination::Inbox,
            None => Destination::Inbox,
            Some(Request::Buffer(request)) => Destination::Buffer {
                room: request.room() as u64,
            },
            Some(Request::File(request)) => Destination::File {
                file: Arc::clone(&request.file),
                offset: request.offset,
                room: request.room_to_take(),
            },
        }
    }

    /// A receive that names a destination; what waits in the inbox goes there first.
    pub(crate) fn request_receive(
        &mut self,
        key: SessionKey,
        stream: StreamId,
        shared: Arc<StreamShared>,
        request: Request,
    ) {
        if self.stream_mut(key, stream).is_none() {
            self.revive_stream(key, stream, shared);
        }
        if let Some(entry) = self.stream_mut(key, stream) {
            entry.requests.push_back(request);
        }
        self.serve_requests(key, stream);
        self.forget_detached(key, stream);
        self.resume_ingress(key);
    }

    /// A future that waited for a direct receive was dropped: its buffer or file is let go at
    /// once, unless the kernel is at work on it; then as soon as that has ended.
    pub(crate) fn forget_requests(&mut self, key: SessionKey, stream: StreamId) {
        self.serve_requests(key, stream);
        self.forget_detached(key, stream);
        self.resume_ingress(key);
    }

    /// Fills the oldest requests from the inbox, and ends those that can get no more.
    pub(crate) fn serve_requests(&mut self, key: SessionKey, stream: StreamId) {
        loop {
            let Some(entry) = self.stream_mut(key, stream) else {
                return;
            };
            entry.drop_forgotten();
            match entry.requests.front() {
                None => return,
                Some(Request::Buffer(_)) => {
                    if !self.fill_buffer_from_inbox(key, stream) {
                        return;
                    }
                }
                Some(Request::File(_)) => {
                    if !self.fill_file_from_inbox(key, stream) {
                        return;
                    }
                }
            }
        }
    }

    /// True when the request is answered and the next one may be looked at.
    fn fill_buffer_from_inbox(&mut self, key: SessionKey, stream: StreamId) -> bool {
        let Some(entry) = self.stream_mut(key, stream) else {
            return false;
        };
        let Some(Request::Buffer(request)) = entry.requests.front_mut() else {
            return false;
        };
        // The kernel has the buffer: what it fills in comes first.
        let Some(buffer) = &mut request.buffer else {
            return false;
        };
        let Some((chunk, consumed)) = entry.shared.inbox.try_pop() else {
            return self.end_request(key, stream);
        };
        let count = chunk.bytes.len().min(request.length - request.filled);
        if request.filled == 0 {
            request.offset = chunk.offset;
        }
        buffer[request.filled..request.filled + count].copy_from_slice(&chunk.bytes[..count]);
        request.filled += count;
        let is_whole = count == chunk.bytes.len();
        let ends_record = is_whole && chunk.end_of_record;
        if !is_whole {
            entry.shared.inbox.put_back(Chunk {
                offset: chunk.offset + count as u64,
                bytes: chunk.bytes.slice(count..),
                end_of_record: chunk.end_of_record,
            });
        }
        let is_full = request.filled == request.length;
        self.consume(key, stream, consumed);
        if is_full || ends_record {
            self.answer_buffer(key, stream, ends_record, None);
            return true;
        }
        self.fill_buffer_from_inbox(key, stream)
    }

    /// Bytes were received directly into the front request's buffer, or copied there.
    pub(crate) fn buffer_filled(
        &mut self,
        key: SessionKey,
        stream: StreamId,
        at: u64,
        count: usize,
        ends_record: bool,
    ) {
        let Some(entry) = self.stream_mut(key, stream) else {
            return;
        };
        let Some(Request::Buffer(request)) = entry.requests.front_mut() else {
            return;
        };
        if request.filled == 0 {
            request.offset = at;
        }
        request.filled += count;
        let is_full = request.filled == request.length;
        // The end may have overtaken these bytes, and waits for the buffer.
        let has_ended = entry.has_receive_ended;
        self.consume(key, stream, count as u64);
        if is_full || ends_record {
            self.answer_buffer(key, stream, ends_record, None);
        }
        if is_full || ends_record || has_ended {
            self.serve_requests(key, stream);
            self.forget_detached(key, stream);
        }
    }

    fn answer_buffer(
        &mut self,
        key: SessionKey,
        stream: StreamId,
        ends_record: bool,
        end: Option<End>,
    ) {
        let Some(entry) = self.stream_mut(key, stream) else {
            return;
        };
        let shared = std::sync::Arc::clone(&entry.shared);
        if let Some(Request::Buffer(request)) = entry.requests.pop_front() {
            request.answer(ends_record, end, &shared);
        }
    }

    /// True when the request is answered and the next one may be looked at.
    fn fill_file_from_inbox(&mut self, key: SessionKey, stream: StreamId) -> bool {
        let Some(entry) = self.stream_mut(key, stream) else {
            return false;
        };
        let Some(Request::File(request)) = entry.requests.front_mut() else {
            return false;
        };
        // One write at a time, also after a request that was given up during its own.
        if request.is_writing_inbox || request.held > 0 || entry.inbox_write.is_some() {
            return false;
        }
        if request.room() == 0 {
            self.answer_file(key, stream, None);
            return true;
        }
        let Some((chunk, consumed)) = entry.shared.inbox.try_pop() else {
            return self.end_request(key, stream);
        };
        let room = usize::try_from(request.room()).unwrap_or(usize::MAX);
        let count = chunk.bytes.len().min(room);
        if count < chunk.bytes.len() {
            entry.shared.inbox.put_back(Chunk {
                offset: chunk.offset + count as u64,
                bytes: chunk.bytes.slice(count..),
                end_of_record: chunk.end_of_record,
            });
        }
        let (file, offset) = (request.file.descriptor.clone(), request.offset);
        request.is_writing_inbox = count > 0;
        self.consume(key, stream, consumed);
        if count == 0 {
            return self.fill_file_from_inbox(key, stream);
        }
        self.write_inbox(key, stream, file, offset, chunk.bytes.slice(..count));
        false
    }

    fn write_inbox(
        &mut self,
        key: SessionKey,
        stream: StreamId,
        file: Descriptor,
        offset: u64,
        bytes: Bytes,
    ) {
        let op = Op::Write {
            file,
            offset,
            buffer: BufferRef::Bytes(bytes.clone()),
        };
        if let Some(entry) = self.stream_mut(key, stream) {
            entry.inbox_write = Some(Box::new(bytes));
        }
        self.submit(Purpose::InboxWrite(key, stream), op);
    }

    pub(crate) fn on_inbox_written(
        &mut self,
        key: SessionKey,
        stream: StreamId,
        completion: &Completion,
    ) {
        let Some(entry) = self.stream_mut(key, stream) else {
            return;
        };
        let bytes = entry
            .inbox_write
            .take()
            .map_or_else(Bytes::new, |bytes| *bytes);
        let result = match completion.result {
            Ok(0) => Err(Errno::EIO),
            Ok(count) => Ok(count as usize),
            Err(errno) => Err(errno),
        };
        match (entry.requests.front_mut(), result) {
            (Some(Request::File(request)), Ok(count)) if request.is_writing_inbox => {
                request.offset += count as u64;
                request.written += count as u64;
                let (file, offset) = (request.file.descriptor.clone(), request.offset);
                if count < bytes.len() {
                    return self.write_inbox(key, stream, file, offset, bytes.slice(count..));
                }
                request.is_writing_inbox = false;
            }
            (Some(Request::File(request)), Err(errno)) if request.is_writing_inbox => {
                self.sink_failed(key, stream, errno);
            }
            // Its request was given up meanwhile.
            _ => {}
        }
        self.serve_requests(key, stream);
        self.forget_detached(key, stream);
        self.resume_ingress(key);
    }

    /// Bytes were written to the front request's file.
    pub(crate) fn file_filled(&mut self, key: SessionKey, stream: StreamId, count: u64) {
        let Some(entry) = self.stream_mut(key, stream) else {
            return;
        };
        let Some(Request::File(request)) = entry.requests.front_mut() else {
            return;
        };
        request.offset += count;
        request.written += count;
        request.held = request.held.saturating_sub(count);
        let is_full = request.room() == 0;
        self.consume(key, stream, count);
        if is_full {
            self.answer_file(key, stream, None);
        }
        self.serve_requests(key, stream);
        self.forget_detached(key, stream);
    }

    /// Bytes were taken from a connection that are to be written to the front request's file.
    pub(crate) fn file_holds(&mut self, key: SessionKey, stream: StreamId, count: u64) {
        let entry = self.stream_mut(key, stream);
        if let Some(Request::File(request)) = entry.and_then(|entry| entry.requests.front_mut()) {
            request.held += count;
        }
    }

    /// A connection is gone, and with it what it held for a file: that comes again.
    pub(crate) fn let_go_of_request(&mut self, connection: &Connection) {
        let Some(body) = &connection.ingress.body else {
            return;
        };
        self.file_lets_go(connection.session, body.incoming.stream);
    }

    /// Nothing is on its way into the front request's file any more.
    pub(crate) fn file_lets_go(&mut self, key: SessionKey, stream: StreamId) {
        let entry = self.stream_mut(key, stream);
        if let Some(Request::File(request)) = entry.and_then(|entry| entry.requests.front_mut()) {
            request.held = 0;
        }
        self.serve_requests(key, stream);
        self.forget_detached(key, stream);
    }

    fn answer_file(
        &mut self,
        key: SessionKey,
        stream: StreamId,
        end: Option<Result<Status, Error>>,
    ) {
        if let Some(entry) = self.stream_mut(key, stream)
            && let Some(Request::File(request)) = entry.requests.pop_front()
        {
            request.answer(end, &Arc::clone(&entry.shared));
        }
    }

    /// The file cannot take the bytes. They are lost to it, so the direction is over: the caller
    /// learns why, the peer is asked to stop, and what still arrives is discarded.
    pub(crate) fn sink_failed(&mut self, key: SessionKey, stream: StreamId, errno: Errno) {
        let error = Error::Kernel {
            operation: "write to the file",
            errno,
        };
        self.answer_file(key, stream, Some(Err(error.clone())));
        if let Some(entry) = self.stream_mut(key, stream) {
            entry.shared.inbox.fail(error.clone());
        }
        self.discard_arrivals(key, stream);
        self.fail_requests(key, stream, &error);
        self.stop_stream(key, stream, Status::sink_failed(&errno.to_string()));
    }

    /// Nothing of this stream is wanted any more; credit flows on, so that the session does.
    pub(crate) fn discard_arrivals(&mut self, key: SessionKey, stream: StreamId) {
        let Some(entry) = self.stream_mut(key, stream) else {
            return;
        };
        entry.is_discarding = true;
        let inbox = &entry.shared.inbox;
        let mut consumed = inbox.take_unreported();
        let take = || {
            let chunk = inbox.try_pop().map(|(_, report)| report);
            chunk.or_else(|| inbox.try_pop_gap().map(|(_, report)| report))
        };
        while let Some(report) = take() {
            consumed += report;
        }
        self.consume(key, stream, consumed);
    }

    fn fail_requests(&mut self, key: SessionKey, stream: StreamId, error: &Error) {
        let Some(entry) = self.stream_mut(key, stream) else {
            return;
        };
        entry.end_receiving(End::Failed(error.clone()));
        let shared = Arc::clone(&entry.shared);
        for request in entry.requests.drain(..) {
            match request {
                Request::Buffer(request) => {
                    request.answer(false, Some(End::Failed(error.clone())), &shared);
                }
                Request::File(request) => request.answer(Some(Err(error.clone())), &shared),
            }
        }
    }

    /// A gap comes next: the front request ends with what it has, or else is told of it.
    fn tell_gap(&mut self, key: SessionKey, stream: StreamId) -> bool {
        let Some(entry) = self.stream_mut(key, stream) else {
            return false;
        };
        let (is_buffer, has_some) = match entry.requests.front() {
            Some(Request::Buffer(request)) if request.buffer.is_none() => return false,
            Some(Request::Buffer(request)) => (true, request.filled > 0),
            Some(Request::File(request)) => (false, request.written > 0),
            None => return false,
        };
        let inbox = &entry.shared.inbox;
        let told = (!has_some).then(|| inbox.try_pop_gap()).flatten();
        let error = told.map(|(gap, _)| Error::Gap(gap));
        self.consume(key, stream, told.map_or(0, |(_, consumed)| consumed));
        match is_buffer {
            true => self.answer_buffer(key, stream, false, error.map(End::Failed)),
            false => self.answer_file(key, stream, error.map(Err)),
        }
        true
    }

    /// Answers the front request if the direction has ended; true when it was answered.
    fn end_request(&mut self, key: SessionKey, stream: StreamId) -> bool {
        let Some(entry) = self.stream_mut(key, stream) else {
            return false;
        };
        if entry.shared.inbox.is_at_gap() {
            return self.tell_gap(key, stream);
        }
        let Some(end) = entry.shared.inbox.finished() else {
            return false;
        };
        match entry.requests.front() {
            Some(Request::Buffer(request)) if request.buffer.is_some() => {
                self.answer_buffer(key, stream, false, Some(end));
                true
            }
            Some(Request::File(_)) => {
                let end = match end {
                    End::Finished(status) => Ok(status),
                    End::Failed(error) => Err(error),
                };
                self.answer_file(key, stream, Some(end));
                true
            }
            _ => false,
        }
    }
}

impl StreamEntry {
    /// Requests whose future is gone, up to one that is being written to.
    pub(crate) fn drop_forgotten(&mut self) {
        while let Some(request) = self.requests.front()
            && request.is_forgotten()
            && !request.is_in_use()
        {
            if let Some(Request::Buffer(request)) = self.requests.pop_front() {
                request.answer(false, None, &self.shared);
            }
        }
    }
}
