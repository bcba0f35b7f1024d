//! Frames: a header, and for control frames a small payload.
//!
//! A frame is parsed once; what comes out has been checked against every limit (W-2.1 to W-2.7),
//! and nothing behind it can panic or overflow. A body is no part of its frame: it follows, and
//! never passes through here. What the fields of the header mean for each type stands in
//! `Frame::fields`, and how they come back in `Frame::control`.

use crate::header::{Header, flag};
use crate::id::StreamId;
use crate::limit::{CONTROL_BYTES_MAX, OFFSET_MAX, STATUS_TEXT_BYTES_MAX};
use crate::status::Status;
use crate::violation::{Rule, Violation};
use crate::wire::{Reader, Write};

pub use crate::header::HEADER_BYTES;
use crate::header::RESUME_ENTRY_BYTES;
pub(crate) use crate::header::kind;

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
        /// The body's checksum follows it.
        trailer: bool,
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
        /// Opens the stream.
        opens: bool,
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
    /// How many bulk connections the accepting side takes, and wants now.
    Bulk {
        /// At most.
        takes: u64,
        /// 0, or as many as it takes.
        wanted: u64,
    },
    /// Records of a lossy stream that never come (W-3.13).
    Gap {
        /// Which stream.
        stream: StreamId,
        /// Where the first of them begins.
        offset: u64,
        /// Complete records before it.
        record: u64,
        /// Opens the stream.
        opens: bool,
        /// What comes next begins here.
        next_offset: u64,
        /// Records before that, counting those of the gap.
        next_record: u64,
    },
}

/// Why bytes are not a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// So many more bytes are needed, at least.
    Incomplete(usize),
    /// The peer broke a rule.
    Violation(Violation),
}

impl Frame {
    /// What only opens a stream: its first body comes on another connection.
    pub(crate) fn opening(stream: StreamId) -> Self {
        Self::Data {
            stream,
            offset: 0,
            record: 0,
            length: 0,
            opens: true,
            end_of_record: false,
            finishes: false,
            trailer: false,
        }
    }

    /// An ack of this position.
    pub(crate) fn ack(entry: &ResumeEntry) -> Self {
        Self::Ack {
            stream: entry.stream,
            received: entry.received,
            records: entry.records,
            consumed: entry.consumed,
            credit: entry.credit,
            end_known: entry.end_known,
        }
    }

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
            trailer: header.has(flag::TRAILER),
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
                consumed: position(&mut reader)?,
                credit: position(&mut reader)?,
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
                opens,
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
            kind::BULK => Self::Bulk {
                takes: offset,
                wanted: record,
            },
            kind::GAP => Self::Gap {
                stream,
                offset,
                record,
                opens,
                next_offset: position(&mut reader)?,
                next_record: position(&mut reader)?,
            },
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
            Self::Bulk { .. } => kind::BULK,
            Self::Gap { .. } => kind::GAP,
        }
    }

    /// Appends it; a body is for the caller to send behind.
    pub fn emit(&self, out: &mut Vec<u8>) {
        // The header's place is kept, and filled once the payload behind it is known: an ack costs
        // no memory of its own.
        let start = out.len();
        out.resize(start + HEADER_BYTES, 0);
        let (flags, stream, offset, record) = self.fields(out);
        let payload = out.len() - start - HEADER_BYTES;
        let length = match self {
            Self::Data { length, .. } => *length,
            _ => u32::try_from(payload).unwrap_or(u32::MAX),
        };
        let header = Header {
            kind: self.kind(),
            flags,
            length,
            stream,
            offset,
            record,
        };
        header.emit(&mut out[start..start + HEADER_BYTES]);
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
                trailer,
                ..
            } => {
                let flags = bit(*opens, flag::OPEN)
                    | bit(*end_of_record, flag::END_OF_RECORD)
                    | bit(*finishes, flag::FINISH)
                    | bit(*trailer, flag::TRAILER);
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
            Self::Stop {
                stream,
                opens,
                status,
            } => {
                emit_status(status, payload);
                (bit(*opens, flag::OPEN), *stream, 0, 0)
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
            Self::Bulk { takes, wanted } => (0, none, *takes, *wanted),
            Self::Drain => (0, none, 0, 0),
            Self::Close(status) => {
                emit_status(status, payload);
                (0, none, 0, 0)
            }
            Self::Gap {
                stream,
                offset,
                record,
                opens,
                next_offset,
                next_record,
            } => {
                payload.put_u64(*next_offset);
                payload.put_u64(*next_record);
                (bit(*opens, flag::OPEN), *stream, *offset, *record)
            }
        }
    }
}

/// An offset or a count of records: bounded, so that sums of them cannot overflow (W-2.7).
fn position(reader: &mut Reader<'_>) -> Option<u64> {
    reader.u64().filter(|&value| value <= OFFSET_MAX)
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
    Some(ResumeEntry {
        stream: StreamId(reader.u64()?),
        received: position(reader)?,
        records: position(reader)?,
        consumed: position(reader)?,
        credit: position(reader)?,
        end_known: match reader.u64()? {
            0 => false,
            1 => true,
            _ => return None,
        },
    })
}

fn emit_entry(entry: &ResumeEntry, out: &mut Vec<u8>) {
    out.put_u64(entry.stream.0);
    out.put_u64(entry.received);
    out.put_u64(entry.records);
    out.put_u64(entry.consumed);
    out.put_u64(entry.credit);
    out.put_u64(entry.end_known.into());
}
