//! The header of every frame: 40 bytes at fixed places.
//!
//! ```text
//!  0      1      2        4               8                       16
//!  ┌──────┬──────┬────────┬───────────────┬───────────────────────┐
//!  │ type │flags │ zero   │ length (u32)  │ stream (u64)          │
//!  ├──────┴──────┴────────┴───────────────┼───────────────────────┤ 32
//!  │ offset (u64)                         │ record (u64)          │
//!  ├───────────────┬──────────────────────┴───────────────────────┘
//!  │ zero (u32)    │ CRC-32C of 0..36     │ length bytes follow
//!  └───────────────┴──────────────────────┘ 40
//! ```

use std::ops::Range;

use crate::id::StreamId;
use crate::limit::{BODY_BYTES_MAX, OFFSET_MAX, RESUME_ENTRIES_MAX, STATUS_TEXT_BYTES_MAX};
use crate::violation::{Rule, Violation};

/// Bytes of every header (W-2.1).
pub const HEADER_BYTES: usize = 40;
/// Bytes of one stream's state in a resume chunk (W-5.2).
pub(crate) const RESUME_ENTRY_BYTES: usize = 48;

pub(crate) mod kind {
    pub(crate) const DATA: u8 = 1;
    pub(crate) const ACK: u8 = 2;
    pub(crate) const SESSION_CREDIT: u8 = 3;
    pub(crate) const STREAM_CREDIT: u8 = 4;
    pub(crate) const FINISH: u8 = 5;
    pub(crate) const RESET: u8 = 6;
    pub(crate) const STOP: u8 = 7;
    pub(crate) const PING: u8 = 8;
    pub(crate) const PONG: u8 = 9;
    pub(crate) const RESUME: u8 = 10;
    pub(crate) const DRAIN: u8 = 11;
    pub(crate) const CLOSE: u8 = 12;
    pub(crate) const BULK: u8 = 13;
    pub(crate) const GAP: u8 = 14;
    /// The largest of them.
    pub(crate) const LAST: u8 = GAP;
}

/// Where the fields of a header stand (W-2.1).
mod field {
    use std::ops::Range;

    pub(super) const KIND: usize = 0;
    pub(super) const FLAGS: usize = 1;
    pub(super) const ZERO_1: Range<usize> = 2..4;
    pub(super) const LENGTH: Range<usize> = 4..8;
    pub(super) const STREAM: Range<usize> = 8..16;
    pub(super) const OFFSET: Range<usize> = 16..24;
    pub(super) const RECORD: Range<usize> = 24..32;
    pub(super) const ZERO_2: Range<usize> = 32..36;
    pub(super) const CHECKSUM: Range<usize> = 36..40;
}

/// Bits of the flags field.
pub(crate) mod flag {
    /// The stream is opened by this frame, if it is not open yet.
    pub(crate) const OPEN: u8 = 1;
    /// The body ends a record.
    pub(crate) const END_OF_RECORD: u8 = 2;
    /// The direction is finished with status OK behind this body.
    pub(crate) const FINISH: u8 = 4;
    /// The end of the receiving direction (finish or reset) is known.
    pub(crate) const END_KNOWN: u8 = 8;
    /// The last chunk of a resume.
    pub(crate) const LAST: u8 = 16;
    /// The checksum of the body follows it (W-3.6).
    pub(crate) const TRAILER: u8 = 32;
}

/// A header whose fields have been checked (W-2.2 to W-2.6).
pub(crate) struct Header {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) length: u32,
    pub(crate) stream: StreamId,
    pub(crate) offset: u64,
    pub(crate) record: u64,
}

impl Header {
    /// Takes a header apart.
    pub(crate) fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Violation> {
        let kind = bytes[field::KIND];
        let fail = |rule, got, expected| Err(Violation::new(rule, kind, got, expected));
        let checksum = u32_at(bytes, field::CHECKSUM);
        let computed = crc32c::crc32c(&bytes[..field::CHECKSUM.start]);
        if checksum != computed {
            return fail(Rule::HeaderChecksum, checksum.into(), computed.into());
        }
        let zero = [field::ZERO_1, field::ZERO_2].map(|range| &bytes[range]);
        if let Some(&byte) = zero.into_iter().flatten().find(|&&byte| byte != 0) {
            return fail(Rule::Reserved, byte.into(), 0);
        }
        let header = Self {
            kind,
            flags: bytes[field::FLAGS],
            length: u32_at(bytes, field::LENGTH),
            stream: StreamId(u64_at(bytes, field::STREAM)),
            offset: u64_at(bytes, field::OFFSET),
            record: u64_at(bytes, field::RECORD),
        };
        let largest = header.offset.max(header.record);
        if largest > OFFSET_MAX {
            return fail(Rule::Payload, largest, OFFSET_MAX);
        }
        header.check()?;
        Ok(header)
    }

    /// Fills `place`, which the caller has reserved in front of the payload.
    pub(crate) fn emit(&self, place: &mut [u8]) {
        let mut fields = [0; HEADER_BYTES];
        fields[field::KIND] = self.kind;
        fields[field::FLAGS] = self.flags;
        fields[field::LENGTH].copy_from_slice(&self.length.to_le_bytes());
        fields[field::STREAM].copy_from_slice(&self.stream.0.to_le_bytes());
        fields[field::OFFSET].copy_from_slice(&self.offset.to_le_bytes());
        fields[field::RECORD].copy_from_slice(&self.record.to_le_bytes());
        let checksum = crc32c::crc32c(&fields[..field::CHECKSUM.start]);
        fields[field::CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
        place.copy_from_slice(&fields);
    }

    /// Flags and payload length that this type may have.
    fn check(&self) -> Result<(), Violation> {
        use flag::{END_KNOWN, END_OF_RECORD, FINISH, LAST, OPEN, TRAILER};
        let status_max = 4 + 2 + STATUS_TEXT_BYTES_MAX as u64;
        let (flags, least, most) = match self.kind {
            kind::DATA => {
                let flags = OPEN | END_OF_RECORD | FINISH | TRAILER;
                (flags, u64::from(self.has(TRAILER)), BODY_BYTES_MAX)
            }
            kind::ACK => (END_KNOWN, 16, 16),
            kind::SESSION_CREDIT | kind::STREAM_CREDIT => (0, 0, 0),
            kind::PING | kind::PONG | kind::DRAIN | kind::BULK => (0, 0, 0),
            kind::FINISH | kind::RESET | kind::STOP => (OPEN, 6, status_max),
            kind::CLOSE => (0, 6, status_max),
            kind::GAP => (OPEN, 16, 16),
            kind::RESUME => (LAST, 0, (RESUME_ENTRIES_MAX * RESUME_ENTRY_BYTES) as u64),
            other => {
                let (got, largest) = (other.into(), kind::LAST.into());
                return Err(Violation::new(Rule::FrameType, other, got, largest));
            }
        };
        if self.flags & !flags != 0 {
            let (got, expected) = (self.flags.into(), flags.into());
            return Err(Violation::new(Rule::Reserved, self.kind, got, expected));
        }
        let length = u64::from(self.length);
        if length < least || length > most {
            let bound = if length < least { least } else { most };
            return Err(Violation::new(
                Rule::PayloadLength,
                self.kind,
                length,
                bound,
            ));
        }
        self.check_unused()
    }

    /// Fields that this type has no use for are zero, so that a later version may use them (W-2.4).
    fn check_unused(&self) -> Result<(), Violation> {
        let (has_stream, has_offset, has_record) = match self.kind {
            kind::DATA | kind::ACK | kind::FINISH | kind::GAP => (true, true, true),
            kind::RESET => (true, true, false),
            kind::STOP => (true, false, false),
            kind::RESUME | kind::BULK => (false, true, true),
            kind::SESSION_CREDIT | kind::STREAM_CREDIT | kind::PING | kind::PONG => {
                (false, true, false)
            }
            _ => (false, false, false),
        };
        let unused = [
            (has_stream, self.stream.0),
            (has_offset, self.offset),
            (has_record, self.record),
        ];
        match unused
            .iter()
            .find(|(is_used, value)| !is_used && *value != 0)
        {
            Some(&(_, value)) => Err(Violation::new(Rule::Reserved, self.kind, value, 0)),
            None => Ok(()),
        }
    }

    /// Whether a flag is set.
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

fn u32_at(bytes: &[u8; HEADER_BYTES], range: Range<usize>) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[range]);
    u32::from_le_bytes(value)
}

fn u64_at(bytes: &[u8; HEADER_BYTES], range: Range<usize>) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[range]);
    u64::from_le_bytes(value)
}
