//! File ranges read past the page cache, ahead of their turn.
//!
//! ```text
//!    taken     ┌─────────┬─────────┬─────────┬─────────┐
//!   ─ ─ ─ ─ ─▶ │  read   │ reading │ reading │ reading │ ─ ─ ▶ range
//!              └─────────┴─────────┴─────────┴─────────┘
//!              ▲ offers take slices of the first        next read: when one is used up
//! ```
//!
//! Several reads are with the disk at a time, into registered memory (`O_DIRECT`, `READ_FIXED`): the
//! device writes it, nothing is copied, and nothing stays in the cache. An offer whose chunk is not
//! there yet is withdrawn, so that other streams go on.

use std::collections::VecDeque;
use std::sync::Arc;

use ringway_io::{
    BufferMemory, BufferMut, BufferRef, Completion, Descriptor, Errno, Kernel, Lease, Op,
    Payload as OpPayload,
};
use ringway_proto::{BodyId, Offer, Trailer};

use crate::config::PathChoice;
use crate::connection::ConnectionKey;
use crate::egress::Take;
use crate::path_table::{BodySource, explain_path};
use crate::payload::FileRange;
use crate::purpose::Purpose;
use crate::session::SessionKey;
use crate::shard::Shard;
use crate::statistics::BodyPath;

/// Offsets, lengths and addresses of direct I/O are multiples of this, bytes: enough for devices
/// with blocks of 512 bytes and of 4096 (open(2), `O_DIRECT`).
pub(crate) const DIRECT_UNIT: u64 = 4096;

/// One read. As long as the longest piece that is sent.
const CHUNK_BYTES: u64 = 1 << 20;

/// Chunks of one range that are read or wait for their turn (measured on a virtio disk: one at a
/// time 1.16 GB/s, two 1.27, four 1.36).
const CHUNKS_MAX: usize = 4;

/// What was read of a range, and what is being read.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    chunks: VecDeque<Chunk>,
    /// File offset of the next read.
    next: u64,
    /// The file cannot be read so.
    is_refused: bool,
}

/// A part of the range, aligned.
#[derive(Debug)]
struct Chunk {
    /// File offset.
    start: u64,
    /// As asked for, bytes.
    length: u64,
    state: ChunkState,
    /// One for each that exists on the shard.
    _count: Arc<()>,
}

#[derive(Debug)]
enum ChunkState {
    Reading,
    /// Up to the end of the file, so perhaps less than asked for.
    Read(Lease),
    Failed(Errno),
}

/// What there is at an offset.
enum Found {
    /// These bytes.
    Bytes(Lease),
    /// Not yet.
    Awaited,
    /// Never: the file ends before it, or the disk failed.
    Failed(Option<Errno>),
    /// Nobody has asked for it.
    Nothing,
}

impl ReadAhead {
    /// Up to `length` bytes from a file offset. What lies before it is let go: a range is sent
    /// from its start to its end, unless it is begun again.
    fn take(&mut self, at: u64, length: u64, range_end: u64) -> Found {
        while self.chunks.front().is_some_and(|chunk| chunk.end() <= at) {
            self.chunks.pop_front();
        }
        let Some(chunk) = self.chunks.front().filter(|chunk| chunk.start <= at) else {
            return Found::Nothing;
        };
        match &chunk.state {
            ChunkState::Reading => Found::Awaited,
            ChunkState::Failed(errno) => Found::Failed(Some(*errno)),
            ChunkState::Read(lease) => {
                let skip = at - chunk.start;
                let held = lease.len() as u64;
                if skip >= held {
                    return Found::Failed(None);
                }
                let count = length.min(held - skip);
                // Both are within a lease.
                let bytes = lease.slice(skip as usize..(skip + count) as usize);
                if at + count >= chunk.end().min(range_end) {
                    self.chunks.pop_front();
                }
                Found::Bytes(bytes)
            }
        }
    }

    /// Begins again at a file offset: what is being read for another one is forgotten.
    fn restart(&mut self, at: u64) {
        self.chunks.clear();
        self.next = at - at % DIRECT_UNIT;
    }

    /// The part to read next, up to the end of the range.
    fn wanted(&self, range_end: u64) -> Option<(u64, u64)> {
        let end = range_end.next_multiple_of(DIRECT_UNIT);
        let length = end.saturating_sub(self.next).min(CHUNK_BYTES);
        (self.chunks.len() < CHUNKS_MAX && length > 0).then_some((self.next, length))
    }

    fn chunk_mut(&mut self, start: u64) -> Option<&mut Chunk> {
        self.chunks
            .iter_mut()
            .find(|chunk| chunk.start == start && matches!(chunk.state, ChunkState::Reading))
    }
}

impl Chunk {
    /// File offset behind it. A short read ends earlier: the rest is read by another chunk, if there
    /// is a rest.
    fn end(&self) -> u64 {
        match &self.state {
            ChunkState::Read(lease) if !lease.is_empty() => self.start + lease.len() as u64,
            _ => self.start + self.length,
        }
    }
}

impl<K: Kernel> Shard<K> {
    /// Takes an offered part of a file past the page cache. `None`: it has to go another way, for
    /// the file has no such I/O, or there is no memory for it.
    pub(crate) fn take_direct(
        &mut self,
        key: ConnectionKey,
        offer: Offer,
        range: &FileRange,
        out: &mut Vec<u8>,
    ) -> Option<Take> {
        let owner = self.connections.get(key.0)?.session;
        let direct = range.file.opened().direct.clone()?;
        let at = range.offset + offer.body_offset;
        let ahead = self.read_ahead_mut(owner, offer.body)?;
        if ahead.is_refused {
            return None;
        }
        let mut found = ahead.take(at, offer.length, range.offset + range.length);
        if matches!(found, Found::Nothing) {
            ahead.restart(at);
            found = Found::Awaited;
        }
        self.read_further(owner, offer.body, range, &direct);
        match found {
            Found::Bytes(lease) => Some(self.send_read(key, offer, lease, out)),
            Found::Awaited if self.is_reading(owner, offer.body) => {
                self.withdraw(owner, offer);
                Some(Take::Awaited)
            }
            Found::Failed(Some(Errno::EINVAL)) => {
                tracing::debug!("a file cannot be read past the page cache; it is read through it");
                let ahead = self.read_ahead_mut(owner, offer.body)?;
                *ahead = ReadAhead::default();
                ahead.is_refused = true;
                None
            }
            Found::Failed(errno) => {
                self.load_failed(key, offer, errno);
                Some(Take::Later)
            }
            _ => None,
        }
    }

    /// Whether parts of this body are read ahead already: they are in no cache.
    pub(crate) fn is_reading(&mut self, owner: SessionKey, body: BodyId) -> bool {
        let ahead = self.read_ahead_mut(owner, body);
        ahead.is_some_and(|ahead| !ahead.chunks.is_empty())
    }

    fn read_ahead_mut(&mut self, owner: SessionKey, body: BodyId) -> Option<&mut ReadAhead> {
        let session = self.sessions.get_mut(owner.0)?;
        let retained = session.bodies.get_mut(&body)?;
        Some(retained.ahead.get_or_insert_default())
    }

    /// Sends bytes that were read, as any of ours: the device gathers them, or the socket copies.
    fn send_read(
        &mut self,
        key: ConnectionKey,
        offer: Offer,
        lease: Lease,
        out: &mut Vec<u8>,
    ) -> Take {
        let length = lease.len() as u64;
        let trailer = self.trailer_for(key, BodyPath::DirectRead);
        let path = match trailer {
            Trailer::None => self.way_of_read(key, length),
            _ => BodyPath::DirectRead,
        };
        if !self.commit(key, offer, length, BodyPath::DirectRead, trailer, out) {
            return Take::Later;
        }
        self.queue_memory(key, BufferRef::Lease(lease), path, trailer, out);
        Take::Taken
    }

    /// Splicing from the arena is no choice: what travels by reference would have to be kept until
    /// the peer has acked it, and would hold up the reads.
    fn way_of_read(&self, key: ConnectionKey, length: u64) -> BodyPath {
        let Some(connection) = self.connections.get(key.0) else {
            return BodyPath::DirectRead;
        };
        let question = self.question(connection, PathChoice::Auto, BodySource::Lease, length);
        match explain_path(&question).path {
            BodyPath::ZeroCopy => BodyPath::ZeroCopy,
            _ => BodyPath::DirectRead,
        }
    }

    /// Hands reads to the disk: at most so many for a range, and for all of the shard at most half
    /// of the arena.
    fn read_further(
        &mut self,
        owner: SessionKey,
        body: BodyId,
        range: &FileRange,
        direct: &Descriptor,
    ) {
        let chunks_max = self.kernel.limits().arena_bytes / 2 / CHUNK_BYTES;
        let end = range.offset + range.length;
        loop {
            // The shard holds one of them.
            let chunks = Arc::strong_count(&self.chunks_read) as u64 - 1;
            let ahead = self.read_ahead_mut(owner, body);
            let wanted = ahead.and_then(|ahead| ahead.wanted(end));
            let Some((start, length)) = wanted.filter(|_| chunks < chunks_max) else {
                return;
            };
            // At most a chunk.
            let Some(lease) = self.kernel.lease(length as usize) else {
                self.statistics.leases_exhausted += 1;
                return;
            };
            let op = Op::Read {
                file: direct.clone(),
                offset: start,
                buffer: BufferMut::lease(lease, length as usize),
            };
            let chunk = Chunk {
                start,
                length,
                state: ChunkState::Reading,
                _count: Arc::clone(&self.chunks_read),
            };
            if let Some(ahead) = self.read_ahead_mut(owner, body) {
                ahead.chunks.push_back(chunk);
                ahead.next = start + length;
            }
            self.statistics.direct_reads += 1;
            self.submit(Purpose::ReadAhead(owner, body, start), op);
        }
    }

    /// A read has ended. Its range may be over, or have begun again elsewhere: then nobody wants it.
    pub(crate) fn on_read_ahead(
        &mut self,
        owner: SessionKey,
        body: BodyId,
        start: u64,
        completion: Completion,
    ) {
        let session = self.sessions.get_mut(owner.0);
        let retained = session.and_then(|session| session.bodies.get_mut(&body));
        let ahead = retained.and_then(|retained| retained.ahead.as_mut());
        let Some(chunk) = ahead.and_then(|ahead| ahead.chunk_mut(start)) else {
            return;
        };
        chunk.state = match (completion.result, completion.payload) {
            (
                Ok(count),
                OpPayload::Buffer(BufferMut {
                    memory: BufferMemory::Lease(lease),
                    ..
                }),
            ) => ChunkState::Read(lease.freeze(count as usize)),
            (Err(errno), _) => ChunkState::Failed(errno),
            _ => ChunkState::Failed(Errno::EIO),
        };
        self.mark_dirty(owner);
    }
}
