//! Frames: a fixed header, and for control frames a small payload.
//!
//! ```text
//!  0      1      2        4               8                       16
//!  ┌──────┬──────┬────────┬───────────────┬───────────────────────┐
//!  │ type │flags │ zero   │ length (u32)  │ stream (u64)          │
//!  ├──────┴──────┴────────┴───────────────┼───────────────────────┤ 16
//!  │ offset (u64)                         │ record (u64)          │
//!  ├───────────────┬──────────────────────┴───────────────────────┘ 32
//!  │ zero (u32)    │ CRC-32C of bytes 0..36 │  length bytes follow  40
//!  └───────────────┴────────────────────────┘
//! ```
//!
//! A frame is parsed once; what comes out has been checked against every limit (W-2.1 to W-2.6).

use crate::id::StreamId;
use crate::limit::{
    BODY_BYTES_MAX, CONTROL_BYTES_MAX, OFFSET_MAX, RESUME_ENTRIES_MAX, STATUS_TEXT_BYTES_MAX,
};
use crate::status::Status;
use crate::violation::{Rule, Violation};
use crate::wire::{Reader, Write};

/// Bytes of every header (W-2.1).
pub const HEADER_BYTES: usize = 40;

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
}

/// What one stream's receiver states on resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeEntry {
    /// Which stream.
    pub stream: StreamId,
    /// Received in order, bytes.
    pub received: u64,
    /// Received in order, records.
    pub records: u64,
    /// Taken by the application, bytes.
    pub consumed: u64,
    /// The sender may send up to this offset.
    pub credit: u64,
    /// The end of the direction is known to its receiver.
    pub end_known: bool,
}

const RESUME_ENTRY_BYTES: usize = 48;

/// A parsed frame. Bodies are not in it: they follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of a stream follow.
    Data {
        /// Which stream.
        stream: StreamId,
        /// Of the first byte.
        offset: u64,
        /// Complete records before it.
        record: u64,
        /// Body bytes behind the header.
        length: u32,
        /// Opens the stream.
        opens: bool,
        /// The last byte ends a record.
        end_of_record: bool,
        /// The direction is finished, OK.
        finishes: bool,
    },
    /// What a receiver has, absolute.
    Ack {
        /// Which stream.
        stream: StreamId,
        /// Received in order, bytes.
        received: u64,
        /// Received in order, records.
        records: u64,
        /// Taken by the application, bytes.
        consumed: u64,
        /// The sender may send up to this offset.
        credit: u64,
        /// The end of the direction is known.
        end_known: bool,
    },
    /// Bytes that may be sent on all streams together, absolute.
    SessionCredit(u64),
    /// Streams the peer may open, absolute.
    StreamCredit(u64),
    /// The direction ends here.
    Finish {
        /// Which stream.
        stream: StreamId,
        /// Its length, bytes.
        offset: u64,
        /// Its length, records.
        record: u64,
        /// Opens the stream.
        opens: bool,
        /// How it ended.
        status: Status,
    },
    /// The direction is aborted.
    Reset {
        /// Which stream.
        stream: StreamId,
        /// What was sent at most, bytes.
        offset: u64,
        /// Opens the stream.
        opens: bool,
        /// Why.
        status: Status,
    },
    /// Do not send more.
    Stop {
        /// Which stream.
        stream: StreamId,
        /// Why.
        status: Status,
    },
    /// Answer this.
    Ping(u64),
    /// The answer.
    Pong(u64),
    /// State of streams, after an attach.
    Resume {
        /// Streams that the sender of this frame has opened.
        opened: u64,
        /// Streams of the other side that it has seen opened.
        seen: u64,
        /// No further chunk follows.
        is_last: bool,
        /// Streams that live at the sender of this frame.
        entries: Vec<ResumeEntry>,
    },
    /// No new streams, please.
    Drain,
    /// The session is over.
    Close(Status),
}

/// Why bytes are not a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// So many more bytes are needed, at least.
    Incomplete(usize),
    /// The peer broke a rule.
    Violation(Violation),
}

struct Header {
    kind: u8,
    flags: u8,
    length: u32,
    stream: StreamId,
    offset: u64,
    record: u64,
}

impl Header {
    fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Violation> {
        let kind = bytes[0];
        let fail = |rule, got, expected| Violation::new(rule, kind, got, expected);
        let computed = crc32c::crc32c(&bytes[..36]);
        let mut reader = Reader::new(bytes);
        let fields = (|| {
            let (_, flags, reserved) = (reader.u8()?, reader.u8()?, reader.u16()?);
            let (length, stream) = (reader.u32()?, StreamId(reader.u64()?));
            let (offset, record) = (reader.u64()?, reader.u64()?);
            let (zero, checksum) = (reader.u32()?, reader.u32()?);
            let header = Self {
                kind,
                flags,
                length,
                stream,
                offset,
                record,
            };
            Some((header, u32::from(reserved) | zero, checksum))
        })();
        let (header, reserved, checksum) =
            fields.ok_or_else(|| fail(Rule::PayloadLength, 0, HEADER_BYTES as u64))?;
        if checksum != computed {
            return Err(fail(Rule::HeaderChecksum, checksum.into(), computed.into()));
        }
        if reserved != 0 {
            return Err(fail(Rule::Reserved, reserved.into(), 0));
        }
        if header.offset > OFFSET_MAX || header.record > OFFSET_MAX {
            return Err(fail(
                Rule::Payload,
                header.offset.max(header.record),
                OFFSET_MAX,
            ));
        }
        Ok(header)
    }

    fn emit(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_u8(self.kind);
        out.put_u8(self.flags);
        out.put_u16(0);
        out.put_u32(self.length);
        out.put_u64(self.stream.0);
        out.put_u64(self.offset);
        out.put_u64(self.record);
        out.put_u32(0);
        let checksum = crc32c::crc32c(&out[start..]);
        out.put_u32(checksum);
    }

    /// Flags and payload length that this type may have.
    fn check(&self) -> Result<(), Violation> {
        use flag::{END_KNOWN, END_OF_RECORD, FINISH, LAST, OPEN};
        let status_max = 4 + 2 + STATUS_TEXT_BYTES_MAX as u64;
        let (flags, least, most) = match self.kind {
            kind::DATA => (OPEN | END_OF_RECORD | FINISH, 0, BODY_BYTES_MAX),
            kind::ACK => (END_KNOWN, 16, 16),
            kind::SESSION_CREDIT | kind::STREAM_CREDIT => (0, 0, 0),
            kind::PING | kind::PONG | kind::DRAIN => (0, 0, 0),
            kind::FINISH | kind::RESET => (OPEN, 6, status_max),
            kind::STOP | kind::CLOSE => (0, 6, status_max),
            kind::RESUME => (LAST, 0, (RESUME_ENTRIES_MAX * RESUME_ENTRY_BYTES) as u64),
            other => return Err(Violation::new(Rule::FrameType, other, other.into(), 12)),
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
        Ok(())
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

impl Frame {
    /// Parses a frame from the front of `bytes`; also returns how many bytes it has, a body
    /// excluded.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), FrameError> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(FrameError::Incomplete(HEADER_BYTES - bytes.len()));
        };
        let header = Header::parse(header).map_err(FrameError::Violation)?;
        header.check().map_err(FrameError::Violation)?;
        if header.kind == kind::DATA {
            return Ok((Self::data(&header), HEADER_BYTES));
        }
        let size = HEADER_BYTES + header.length as usize;
        debug_assert!(size <= HEADER_BYTES + CONTROL_BYTES_MAX);
        let Some(payload) = bytes.get(HEADER_BYTES..size) else {
            return Err(FrameError::Incomplete(size - bytes.len()));
        };
        let (got, expected) = (header.length.into(), 0);
        let frame = Self::control(&header, payload).ok_or(FrameError::Violation(
            Violation::new(Rule::Payload, header.kind, got, expected),
        ))?;
        Ok((frame, size))
    }

    fn data(header: &Header) -> Self {
        Self::Data {
            stream: header.stream,
            offset: header.offset,
            record: header.record,
            length: header.length,
            opens: header.has(flag::OPEN),
            end_of_record: header.has(flag::END_OF_RECORD),
            finishes: header.has(flag::FINISH),
        }
    }

    fn control(header: &Header, payload: &[u8]) -> Option<Self> {
        let (stream, offset, record) = (header.stream, header.offset, header.record);
        let opens = header.has(flag::OPEN);
        let mut reader = Reader::new(payload);
        let frame = match header.kind {
            kind::ACK => Self::Ack {
                stream,
                received: offset,
                records: record,
                consumed: reader.u64()?,
                credit: reader.u64()?,
                end_known: header.has(flag::END_KNOWN),
            },
            kind::SESSION_CREDIT => Self::SessionCredit(offset),
            kind::STREAM_CREDIT => Self::StreamCredit(offset),
            kind::FINISH => Self::Finish {
                stream,
                offset,
                record,
                opens,
                status: parse_status(&mut reader)?,
            },
            kind::RESET => Self::Reset {
                stream,
                offset,
                opens,
                status: parse_status(&mut reader)?,
            },
            kind::STOP => Self::Stop {
                stream,
                status: parse_status(&mut reader)?,
            },
            kind::PING => Self::Ping(offset),
            kind::PONG => Self::Pong(offset),
            kind::RESUME => Self::Resume {
                opened: offset,
                seen: record,
                is_last: header.has(flag::LAST),
                entries: parse_entries(&mut reader)?,
            },
            kind::DRAIN => Self::Drain,
            kind::CLOSE => Self::Close(parse_status(&mut reader)?),
            _ => return None,
        };
        (reader.rest() == 0).then_some(frame)
    }

    /// The number of its type.
    #[must_use]
    pub fn kind(&self) -> u8 {
        match self {
            Self::Data { .. } => kind::DATA,
            Self::Ack { .. } => kind::ACK,
            Self::SessionCredit(_) => kind::SESSION_CREDIT,
            Self::StreamCredit(_) => kind::STREAM_CREDIT,
            Self::Finish { .. } => kind::FINISH,
            Self::Reset { .. } => kind::RESET,
            Self::Stop { .. } => kind::STOP,
            Self::Ping(_) => kind::PING,
            Self::Pong(_) => kind::PONG,
            Self::Resume { .. } => kind::RESUME,
            Self::Drain => kind::DRAIN,
            Self::Close(_) => kind::CLOSE,
        }
    }

    /// Appends it; a body is for the caller to send behind.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        let (flags, stream, offset, record) = self.fields(&mut payload);
        let length = match self {
            Self::Data { length, .. } => *length,
            _ => u32::try_from(payload.len()).unwrap_or(u32::MAX),
        };
        let header = Header {
            kind: self.kind(),
            flags,
            length,
            stream,
            offset,
            record,
        };
        header.emit(out);
        out.extend_from_slice(&payload);
    }

    /// Header fields; what does not fit there goes to `payload`.
    fn fields(&self, payload: &mut Vec<u8>) -> (u8, StreamId, u64, u64) {
        let bit = |condition: bool, flag: u8| if condition { flag } else { 0 };
        let none = StreamId(0);
        match self {
            Self::Data {
                stream,
                offset,
                record,
                opens,
                end_of_record,
                finishes,
                ..
            } => {
                let flags = bit(*opens, flag::OPEN)
                    | bit(*end_of_record, flag::END_OF_RECORD)
                    | bit(*finishes, flag::FINISH);
                (flags, *stream, *offset, *record)
            }
            Self::Ack {
                stream,
                received,
                records,
                consumed,
                credit,
                end_known,
            } => {
                payload.put_u64(*consumed);
                payload.put_u64(*credit);
                (
                    bit(*end_known, flag::END_KNOWN),
                    *stream,
                    *received,
                    *records,
                )
            }
            Self::Finish {
                stream,
                offset,
                record,
                opens,
                status,
            } => {
                emit_status(status, payload);
                (bit(*opens, flag::OPEN), *stream, *offset, *record)
            }
            Self::Reset {
                stream,
                offset,
                opens,
                status,
            } => {
                emit_status(status, payload);
                (bit(*opens, flag::OPEN), *stream, *offset, 0)
            }
            Self::Stop { stream, status } => {
                emit_status(status, payload);
                (0, *stream, 0, 0)
            }
            Self::SessionCredit(value)
            | Self::StreamCredit(value)
            | Self::Ping(value)
            | Self::Pong(value) => (0, none, *value, 0),
            Self::Resume {
                opened,
                seen,
                is_last,
                entries,
            } => {
                entries.iter().for_each(|entry| emit_entry(entry, payload));
                (bit(*is_last, flag::LAST), none, *opened, *seen)
            }
            Self::Drain => (0, none, 0, 0),
            Self::Close(status) => {
                emit_status(status, payload);
                (0, none, 0, 0)
            }
        }
    }
}

fn parse_status(reader: &mut Reader<'_>) -> Option<Status> {
    let code = reader.u32()?;
    let text = reader.text(STATUS_TEXT_BYTES_MAX)?;
    Some(Status::new(code, text))
}

fn emit_status(status: &Status, out: &mut Vec<u8>) {
    out.put_u32(status.code);
    // The fields are public: a text that somebody made longer is cut here.
    out.put_text(&Status::new(status.code, &status.text).text);
}

fn parse_entries(reader: &mut Reader<'_>) -> Option<Vec<ResumeEntry>> {
    let count = reader.rest() / RESUME_ENTRY_BYTES;
    if !reader.rest().is_multiple_of(RESUME_ENTRY_BYTES) {
        return None;
    }
    (0..count).map(|_| parse_entry(reader)).collect()
}

fn parse_entry(reader: &mut Reader<'_>) -> Option<ResumeEntry> {
    let entry = ResumeEntry {
        stream: StreamId(reader.u64()?),
        received: reader.u64()?,
        records: reader.u64()?,
        consumed: reader.u64()?,
        credit: reader.u64()?,
        end_known: match reader.u64()? {
            0 => false,
            1 => true,
            _ => return None,
        },
    };
    let largest = entry.received.max(entry.credit).max(entry.records);
    (largest <= OFFSET_MAX).then_some(entry)
}

fn emit_entry(entry: &ResumeEntry, out: &mut Vec<u8>) {
    out.put_u64(entry.stream.0);
    out.put_u64(entry.received);
    out.put_u64(entry.records);
    out.put_u64(entry.consumed);
    out.put_u64(entry.credit);
    out.put_u64(entry.end_known.into());
}
