//! Small pieces of a stream that wait one behind the other, in one block of memory.
//!
//! Credit is memory reserved, in bytes; a piece of its own costs about a hundred of them beside what
//! it carries. So a peer that sends records of one byte could make 16 MiB of credit cost
//! gigabytes. Here a piece costs its bytes, and a code of one or two:
//!
//! ```text
//!   bytes   a b c d e f g …        not taken yet
//!   codes   [3·end] [1] …          length and whether a record ends, of all but the last piece;
//!           [0] [n]                n empty records
//!   last    (3, end), n            still growing: what continues its record is joined to it
//! ```

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use crate::inbox::Chunk;

/// Pieces below this are gathered; it is what the bookkeeping of a piece of its own costs, twice.
const SMALL_BYTES: usize = 256;

/// A run has at most so many bytes: a piece of a block that is taken is copied out, and the block
/// is let go as a whole.
const RUN_BYTES_MAX: usize = 64 << 10;

/// The piece behind all codes, and the empty records that follow it.
#[derive(Debug)]
struct Last {
    bytes: u64,
    end_of_record: bool,
    empty_records: u64,
}

/// Small pieces in order and without gaps.
#[derive(Debug)]
pub(crate) struct PieceRun {
    /// Stream offset of the first byte.
    offset: u64,
    bytes: BytesMut,
    codes: VecDeque<u8>,
    last: Option<Last>,
    /// Empty records that come before everything else.
    empty_records: u64,
}

/// Whether a piece is worth gathering.
pub(crate) fn is_small(chunk: &Chunk) -> bool {
    (1..SMALL_BYTES).contains(&chunk.bytes.len())
}

impl PieceRun {
    /// Begins with a piece and the empty records behind it.
    pub(crate) fn new(first: &Chunk, empty_records: u64) -> Self {
        let last = Last {
            bytes: first.bytes.len() as u64,
            end_of_record: first.end_of_record,
            empty_records,
        };
        Self {
            offset: first.offset,
            bytes: BytesMut::from(&first.bytes[..]),
            codes: VecDeque::new(),
            last: Some(last),
            empty_records: 0,
        }
    }

    /// Whether a piece, small and the next of the stream, has its place here.
    pub(crate) fn has_room(&self, chunk: &Chunk) -> bool {
        self.bytes.len() + chunk.bytes.len() <= RUN_BYTES_MAX
    }

    pub(crate) fn push(&mut self, chunk: &Chunk) {
        self.bytes.extend_from_slice(&chunk.bytes);
        let bytes = chunk.bytes.len() as u64;
        match &mut self.last {
            Some(last) if !last.end_of_record && last.empty_records == 0 => {
                last.bytes += bytes;
                last.end_of_record = chunk.end_of_record;
            }
            _ => {
                let last = Last {
                    bytes,
                    end_of_record: chunk.end_of_record,
                    empty_records: 0,
                };
                if let Some(before) = self.last.replace(last) {
                    self.encode(&before);
                }
            }
        }
    }

    /// An empty record comes next.
    pub(crate) fn push_empty_record(&mut self) {
        match &mut self.last {
            Some(last) => last.empty_records += 1,
            None => self.empty_records += 1,
        }
    }

    /// The oldest piece, on its own: it pins nothing of the others.
    pub(crate) fn pop(&mut self) -> Option<Chunk> {
        if let Some(rest) = self.empty_records.checked_sub(1) {
            self.empty_records = rest;
            return Some(self.take(0, true));
        }
        if let Some(code) = self.decode() {
            if code == 0 {
                self.empty_records = self.decode().unwrap_or(0);
                return self.pop();
            }
            return Some(self.take(code >> 1, code & 1 == 1));
        }
        let last = self.last.take()?;
        self.empty_records = last.empty_records;
        Some(self.take(last.bytes, last.end_of_record))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_none() && self.empty_records == 0
    }

    fn take(&mut self, bytes: u64, end_of_record: bool) -> Chunk {
        let count = usize::try_from(bytes).unwrap_or(0).min(self.bytes.len());
        let chunk = Chunk {
            bytes: Bytes::copy_from_slice(&self.bytes[..count]),
            offset: self.offset,
            end_of_record,
        };
        self.bytes.advance(count);
        self.offset += count as u64;
        chunk
    }

    fn encode(&mut self, piece: &Last) {
        self.put(piece.bytes << 1 | u64::from(piece.end_of_record));
        if piece.empty_records > 0 {
            self.put(0);
            self.put(piece.empty_records);
        }
    }

    /// Seven bits a byte, the lowest first.
    fn put(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.codes.push_back((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.codes.push_back(number as u8);
    }

    fn decode(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.codes.pop_front()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
            shift += 7;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(offset: u64, bytes: Vec<u8>, end_of_record: bool) -> Chunk {
        Chunk {
            bytes: bytes.into(),
            offset,
            end_of_record,
        }
    }

    /// Bytes and record ends, however they are cut.
    fn flat(chunks: &[Chunk]) -> (Vec<u8>, Vec<u64>) {
        let bytes = chunks.iter().flat_map(|chunk| chunk.bytes.to_vec());
        let ends = chunks.iter().filter(|chunk| chunk.end_of_record);
        let ends = ends.map(|chunk| chunk.offset + chunk.bytes.len() as u64);
        (bytes.collect(), ends.collect())
    }

    // B9: 16 MiB of credit must not cost gigabytes.
    #[test]
    fn records_of_one_byte_cost_a_few_bytes_each() {
        let mut run = PieceRun::new(&chunk(0, vec![7], true), 1);
        let mut count = 1;
        while run.has_room(&chunk(count, vec![7], true)) {
            run.push(&chunk(count, vec![7], true));
            run.push_empty_record();
            count += 1;
        }
        assert_eq!(count, RUN_BYTES_MAX as u64);
        let held = run.bytes.capacity() + run.codes.capacity();
        assert!(held as u64 <= 8 * count, "{held} bytes for {count}");
    }

    #[test]
    fn what_continues_a_record_is_joined_to_it() {
        let mut run = PieceRun::new(&chunk(5, vec![1, 2], false), 0);
        run.push(&chunk(7, vec![3], true));
        run.push(&chunk(8, vec![4], false));
        run.push_empty_record();
        run.push(&chunk(9, vec![5], true));
        let expected = [
            chunk(5, vec![1, 2, 3], true),
            chunk(8, vec![4], false),
            chunk(9, vec![], true),
            chunk(9, vec![5], true),
        ];
        for piece in expected {
            assert!(!run.is_empty());
            assert_eq!(run.pop(), Some(piece));
        }
        assert!(run.is_empty() && run.pop().is_none());
    }

    #[test]
    fn whatever_is_put_in_comes_out_in_order_with_its_records() {
        let mut state = 1_u64;
        let mut draw = |bound: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % bound
        };
        for _ in 0..200 {
            let (mut offset, mut put, mut got) = (0, Vec::new(), Vec::new());
            let first = chunk(0, vec![0], draw(2) == 0);
            let mut run = PieceRun::new(&first, 0);
            offset += first.bytes.len() as u64;
            put.push(first);
            for _ in 0..draw(300) {
                match draw(4) {
                    0 => {
                        run.push_empty_record();
                        put.push(chunk(offset, vec![], true));
                    }
                    1 => got.extend(run.pop()),
                    _ => {
                        let length = 1 + draw(255);
                        let bytes = (0..length).map(|at| (offset + at) as u8).collect();
                        let piece = chunk(offset, bytes, draw(2) == 0);
                        if run.has_room(&piece) {
                            run.push(&piece);
                            offset += length;
                            put.push(piece);
                        }
                    }
                }
            }
            got.extend(std::iter::from_fn(|| run.pop()));
            assert_eq!(flat(&got), flat(&put));
        }
    }
}
