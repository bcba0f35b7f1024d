//! File ranges as bodies: brought into a pipe or into memory, and compared with what they were.
//!
//! A file is compared before its first byte, before each replay, and after its last ack; bytes of
//! another content never leave under an old header.

use crate::Error;
use crate::config::PathChoice;
use crate::connection::{ConnectionKey, Loading};
use crate::egress::{SHARED_PIECE_BYTES, Take};
use crate::payload::FileRange;
use crate::purpose::{ConnectionOp, Purpose};
use crate::session::SessionKey;
use crate::shard::Shard;
use crate::statistics::BodyPath;
use ringway_io::{
    BufferMemory, BufferMut, BufferRef, Completion, Errno, FileStat, Kernel, Op,
    Payload as OpPayload, Pipe, Residency,
};
use ringway_proto::{BodyId, Offer, Status, StreamId};

/// At most so much of a file is spliced inline at a time: 0.03 ms when it is in the page cache.
pub(crate) const INLINE_SPLICE_BYTES: u32 = 256 << 10;

impl<K: Kernel> Shard<K> {
    pub(crate) fn take_file(
        &mut self,
        key: ConnectionKey,
        offer: Offer,
        range: &FileRange,
        path: BodyPath,
        out: &mut Vec<u8>,
    ) -> Take {
        if path != BodyPath::SpliceFile {
            return self.read_file(key, offer, range);
        }
        let Some(pipe) = self.acquire_pipe() else {
            return self.read_file(key, offer, range);
        };
        let offset = range.offset + offer.body_offset;
        let length = offer.length.min(u64::from(pipe.capacity));
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let held = self.splice_hot(range, offset, &pipe, length);
        if held > 0 {
            self.statistics.file_pieces_hot += 1;
            self.queue_pipe(key, offer, pipe, held, None, BodyPath::SpliceFile, out);
            return Take::Taken;
        }
        self.statistics.file_pieces_cold += 1;
        let op = Op::SpliceFromFile {
            file: range.file.descriptor().clone(),
            offset,
            pipe: pipe.write.clone(),
            length,
        };
        self.load(key, offer, Some(pipe), ConnectionOp::LoadSplice, op)
    }

    /// Whether this part of a file is to be read past the page cache: only of files that were made
    /// ready for it, and unless that is forced, not what the cache has.
    pub(crate) fn is_for_disk(
        &mut self,
        owner: SessionKey,
        offer: &Offer,
        range: &FileRange,
        choice: PathChoice,
    ) -> bool {
        if !range.file.is_direct() {
            return false;
        }
        match choice {
            PathChoice::Direct => true,
            PathChoice::Auto if self.is_reading(owner, offer.body) => true,
            PathChoice::Auto => {
                let step = u32::try_from(offer.length).unwrap_or(u32::MAX);
                let step = step.min(INLINE_SPLICE_BYTES);
                let (file, at) = (range.file.descriptor(), range.offset + offer.body_offset);
                self.kernel.residency(file, at, step) != Residency::Resident
            }
            PathChoice::Copy | PathChoice::Splice | PathChoice::ZeroCopy => false,
        }
    }

    /// Splices as much as is in the page cache, in bounded steps; 0 when the first is not.
    pub(crate) fn splice_hot(
        &mut self,
        range: &FileRange,
        offset: u64,
        pipe: &Pipe,
        length: u32,
    ) -> u32 {
        let file = range.file.descriptor();
        let mut held = 0;
        while held < length {
            let step = INLINE_SPLICE_BYTES.min(length - held);
            let at = offset + u64::from(held);
            if self.kernel.residency(file, at, step) != Residency::Resident {
                break;
            }
            let before_ns = self.kernel.now_ns();
            let spliced = self.kernel.splice_from_file(file, at, pipe, step);
            let taken_ns = self.kernel.now_ns() - before_ns;
            let longest_ns = &mut self.statistics.inline_splice_longest_ns;
            *longest_ns = taken_ns.max(*longest_ns);
            match spliced {
                Ok(count) if count > 0 => held += count,
                _ => break,
            }
        }
        held
    }

    pub(crate) fn read_file(
        &mut self,
        key: ConnectionKey,
        offer: Offer,
        range: &FileRange,
    ) -> Take {
        let length = offer.length.min(SHARED_PIECE_BYTES);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let buffer = match self.kernel.lease(length) {
            Some(lease) => BufferMut::lease(lease, length),
            None => {
                self.statistics.leases_exhausted += 1;
                BufferMut::heap(vec![0; length])
            }
        };
        let op = Op::Read {
            file: range.file.descriptor().clone(),
            offset: range.offset + offer.body_offset,
            buffer,
        };
        self.load(key, offer, None, ConnectionOp::LoadRead, op)
    }

    pub(crate) fn verify(
        &mut self,
        key: ConnectionKey,
        offer: Offer,
        file: ringway_io::Descriptor,
    ) -> Take {
        let kind = ConnectionOp::Verify(offer.body);
        self.load(key, offer, None, kind, Op::StatDescriptor { file })
    }

    pub(crate) fn load(
        &mut self,
        key: ConnectionKey,
        offer: Offer,
        pipe: Option<Pipe>,
        kind: ConnectionOp,
        op: Op,
    ) -> Take {
        let op = self.submit_on(key, kind, op);
        if let Some(connection) = self.connections.get_mut(key.0) {
            connection.egress.loading = Some(Loading { offer, pipe });
            connection.loader = Some(op);
        }
        Take::Loading
    }

    pub(crate) fn on_loaded(
        &mut self,
        key: ConnectionKey,
        kind: ConnectionOp,
        completion: Completion,
    ) {
        let Some(connection) = self.connections.get_mut(key.0) else {
            return;
        };
        connection.loader = None;
        let Some(loading) = connection.egress.loading.take() else {
            return;
        };
        let owner = connection.session;
        match kind {
            ConnectionOp::Verify(body) => {
                let now = source_now(&completion);
                self.withdraw(owner, loading.offer);
                self.verified(owner, body, now);
            }
            ConnectionOp::LoadSplice => self.on_load_spliced(key, loading, completion.result),
            _ => self.on_load_read(key, loading.offer, completion),
        }
        self.mark_dirty(owner);
    }

    pub(crate) fn on_load_spliced(
        &mut self,
        key: ConnectionKey,
        loading: Loading,
        result: Result<u32, Errno>,
    ) {
        let Some(pipe) = loading.pipe else { return };
        match result {
            Ok(held) if held > 0 => {
                let mut out = Vec::new();
                let path = BodyPath::SpliceFile;
                self.queue_pipe(key, loading.offer, pipe, held, None, path, &mut out);
            }
            failed => {
                self.kernel.release_pipe(pipe, true);
                self.load_failed(key, loading.offer, failed.err());
            }
        }
    }

    pub(crate) fn on_load_read(
        &mut self,
        key: ConnectionKey,
        offer: Offer,
        completion: Completion,
    ) {
        let count = match completion.result {
            Ok(count) if count > 0 => count as usize,
            failed => return self.load_failed(key, offer, failed.err()),
        };
        let OpPayload::Buffer(buffer) = completion.payload else {
            return self.load_failed(key, offer, Some(Errno::EIO));
        };
        let buffer = match buffer.memory {
            BufferMemory::Lease(lease) => BufferRef::Lease(lease.freeze(count)),
            BufferMemory::Heap(mut memory) => {
                memory.truncate(count);
                BufferRef::Bytes(memory.into())
            }
        };
        let mut out = Vec::new();
        let path = BodyPath::ReadThenSend;
        let trailer = self.trailer_for(key, path);
        if !self.commit(key, offer, count as u64, path, trailer, &mut out) {
            return;
        }
        self.queue_memory(key, buffer, path, trailer, &mut out);
    }

    /// A file gave nothing: it ended early, or the disk failed. What was sent before stands; the
    /// stream ends there with the cause.
    pub(crate) fn load_failed(&mut self, key: ConnectionKey, offer: Offer, errno: Option<Errno>) {
        let Some(owner) = self
            .connections
            .get(key.0)
            .map(|connection| connection.session)
        else {
            return;
        };
        let body = offer.body;
        self.withdraw(owner, offer);
        if errno == Some(Errno::ECANCELED) {
            return;
        }
        let (status, error) = match errno {
            Some(errno) => (
                Status::source_failed(&errno.to_string()),
                Error::Kernel {
                    operation: "read the source file",
                    errno,
                },
            ),
            None => self.shrunk(owner, body),
        };
        self.fail_source(owner, body, status, &error);
    }

    pub(crate) fn shrunk(&self, owner: SessionKey, body: BodyId) -> (Status, Error) {
        let retained = self
            .sessions
            .get(owner.0)
            .and_then(|session| session.bodies.get(&body));
        let before = retained
            .and_then(|retained| retained.identity.as_deref())
            .map_or(0, |stat| i128::from(stat.size));
        let error = Error::SourceChanged {
            what: "size",
            before,
            now: -1,
        };
        (
            Status::source_changed("the file is shorter than it was"),
            error,
        )
    }

    /// Compares a file with what it was; bytes of another content are never sent.
    pub(crate) fn verified(
        &mut self,
        owner: SessionKey,
        body: BodyId,
        now: Result<FileStat, Errno>,
    ) {
        let Some(session) = self.sessions.get_mut(owner.0) else {
            return;
        };
        let epoch = session.proto.epoch().0;
        let Some(retained) = session.bodies.get_mut(&body) else {
            return;
        };
        let before = retained.identity.as_deref();
        let error = match (before, now) {
            (Some(before), Ok(now)) => difference(before, &now),
            (_, Err(errno)) if errno != Errno::ECANCELED => Some(Error::Kernel {
                operation: "stat the source file",
                errno,
            }),
            _ => None,
        };
        match error {
            None => retained.verified_epoch = epoch,
            Some(error) => {
                let status = Status::source_changed(&error.to_string());
                self.fail_source(owner, body, status, &error);
            }
        }
    }

    pub(crate) fn fail_source(
        &mut self,
        owner: SessionKey,
        body: BodyId,
        status: Status,
        error: &Error,
    ) {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(owner.0) else {
            return;
        };
        let Some(retained) = session.bodies.get(&body) else {
            return;
        };
        let stream: StreamId = retained.stream;
        session.proto.fail_source(now, stream, body, status);
        if let Some(entry) = session.streams.get_mut(&stream) {
            entry.is_finishing = true;
            entry.fail_sending(error);
        }
        self.mark_dirty(owner);
    }

    /// After the last ack of a file range: was it the same file all the time?
    pub(crate) fn on_source_check(
        &mut self,
        owner: SessionKey,
        stream: StreamId,
        before: &FileStat,
        completion: &Completion,
    ) {
        let Some(entry) = self.stream_mut(owner, stream) else {
            return;
        };
        entry.checks = entry.checks.saturating_sub(1);
        if let Ok(now) = source_now(completion)
            && let Some(error) = difference(before, &now)
        {
            entry.fail_sending(&error);
        }
        if entry.shared.outbox.failure().is_none() {
            entry.publish_acked();
        }
        self.forget_detached(owner, stream);
    }

    pub(crate) fn check_source(
        &mut self,
        owner: SessionKey,
        stream: StreamId,
        range: &FileRange,
        identity: Box<FileStat>,
    ) {
        if let Some(entry) = self.stream_mut(owner, stream) {
            entry.checks += 1;
        }
        let file = range.file.descriptor().clone();
        self.submit(
            Purpose::SourceCheck(owner, stream, identity),
            Op::StatDescriptor { file },
        );
    }
}

pub(crate) fn source_now(completion: &Completion) -> Result<FileStat, Errno> {
    match (&completion.result, &completion.payload) {
        (Ok(_), OpPayload::Stat(stat)) => Ok(*stat),
        (Err(errno), _) => Err(*errno),
        (Ok(_), _) => Err(Errno::EIO),
    }
}

/// What of a file's identity has changed, if anything.
pub(crate) fn difference(before: &FileStat, now: &FileStat) -> Option<Error> {
    let changed = |what, before: i128, now: i128| Error::SourceChanged { what, before, now };
    if before.size != now.size {
        return Some(changed("size", before.size.into(), now.size.into()));
    }
    if before.modified_ns != now.modified_ns {
        return Some(changed(
            "modification time",
            before.modified_ns,
            now.modified_ns,
        ));
    }
    if before.changed_ns != now.changed_ns {
        return Some(changed("change time", before.changed_ns, now.changed_ns));
    }
    None
}
