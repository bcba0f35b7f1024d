//! What a shard keeps of a stream.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use ringway_io::{FileStat, Lease};
use ringway_proto::{Status, WaitClock};

use crate::Error;
use crate::config::WhenFull;
use crate::file::OpenFile;
use crate::inbox::End;
use crate::payload::Payload;
use crate::reply::Reply;
use crate::stream::{Landed, StreamShared, Written};

/// Something the application wants sent, in its order.
#[derive(Debug)]
pub(crate) enum PendingSend {
    /// Bytes.
    Body {
        payload: Payload,
        end_of_record: bool,
        source: Source,
        reply: Reply<Result<u64, Error>>,
    },
    /// Records from memory: what of them is not accepted yet.
    Records {
        records: VecDeque<Bytes>,
        reply: Reply<Result<u64, Error>>,
    },
    /// The end.
    Finish {
        status: Status,
        reply: Reply<Result<(), Error>>,
    },
}

/// What is known of the file behind a pending send.
#[derive(Debug)]
pub(crate) enum Source {
    /// There is no file.
    Memory,
    /// Nobody has looked yet.
    Unknown,
    /// Somebody is looking.
    Asked,
    /// What it is.
    Known(Box<FileStat>),
    /// It cannot be looked at.
    Failed(Box<Error>),
}

/// A receive that puts bytes where the application wants them.
#[derive(Debug)]
pub(crate) enum Request {
    /// Into a buffer.
    Buffer(BufferRequest),
    /// Into a file.
    File(FileRequest),
}

/// A receive into the application's buffer.
#[derive(Debug)]
pub(crate) struct BufferRequest {
    /// `None` while the kernel receives into it.
    pub(crate) buffer: Option<Vec<u8>>,
    pub(crate) length: usize,
    pub(crate) filled: usize,
    /// Stream offset of the first byte, once one has come.
    pub(crate) offset: u64,
    pub(crate) reply: Reply<Landed>,
}

/// A receive into a file.
#[derive(Debug)]
pub(crate) struct FileRequest {
    pub(crate) file: Arc<OpenFile>,
    /// Where the next byte goes.
    pub(crate) offset: u64,
    pub(crate) written: u64,
    pub(crate) bytes_max: u64,
    /// A write of bytes from the inbox is under way.
    pub(crate) is_writing_inbox: bool,
    /// Taken from a connection for it and not written yet, bytes.
    pub(crate) held: u64,
    pub(crate) reply: Reply<Written>,
}

/// One stream.
#[derive(Debug)]
pub(crate) struct StreamEntry {
    pub(crate) shared: Arc<StreamShared>,
    pub(crate) sends: VecDeque<PendingSend>,
    pub(crate) requests: VecDeque<Request>,
    /// Bytes from the inbox that are being written to the front request's file.
    pub(crate) inbox_write: Option<Box<Bytes>>,
    pub(crate) when_full: WhenFull,
    /// Runs while the oldest send waits at the retention cap.
    pub(crate) cap_wait: WaitClock,
    /// The application asked for the end, or got one.
    pub(crate) is_finishing: bool,
    /// Our direction was aborted: what was sent of it may still travel by reference.
    pub(crate) is_reset: bool,
    /// Leases of an aborted direction, until the peer has read past them.
    pub(crate) unfenced: Vec<Lease>,
    /// Arriving bytes are of no use any more: nobody holds the stream, or its sink failed.
    pub(crate) is_discarding: bool,
    pub(crate) has_receive_ended: bool,
    /// Files that are being compared after their last ack.
    pub(crate) checks: u32,
    /// Acked by the peer, told to the application once `checks` is 0.
    pub(crate) acked: u64,
    pub(crate) finish_acked: bool,
    /// The protocol has forgotten the stream; why its sending direction is over.
    pub(crate) over: Option<Box<Error>>,
}

impl StreamEntry {
    pub(crate) fn new(shared: Arc<StreamShared>) -> Self {
        Self {
            shared,
            sends: VecDeque::new(),
            requests: VecDeque::new(),
            inbox_write: None,
            when_full: WhenFull::Wait,
            cap_wait: WaitClock::default(),
            is_finishing: false,
            is_reset: false,
            unfenced: Vec::new(),
            is_discarding: false,
            has_receive_ended: false,
            checks: 0,
            acked: 0,
            finish_acked: false,
            over: None,
        }
    }

    /// Tells the application what is acked, unless a file is still being compared.
    pub(crate) fn publish_acked(&self) {
        if self.checks == 0 {
            self.shared.outbox.set_acked(self.acked);
            if self.finish_acked {
                self.shared.outbox.set_finish_acked();
            }
        }
    }

    /// The sending direction is over, unsuccessfully.
    pub(crate) fn fail_sending(&mut self, error: &Error) {
        self.shared.outbox.fail(error.clone());
        self.fail_pending(error);
    }

    /// What was not accepted yet never will be.
    pub(crate) fn fail_pending(&mut self, error: &Error) {
        for pending in self.sends.drain(..) {
            match pending {
                PendingSend::Body { reply, .. } | PendingSend::Records { reply, .. } => {
                    drop(reply.send(Err(error.clone())));
                }
                PendingSend::Finish { reply, .. } => drop(reply.send(Err(error.clone()))),
            }
        }
    }

    /// The receiving direction is over; bytes in the inbox stay receivable.
    pub(crate) fn end_receiving(&mut self, end: End) {
        self.has_receive_ended = true;
        self.shared.inbox.end(end);
    }

    /// Something is under way that names it.
    pub(crate) fn is_at_work(&self) -> bool {
        !self.requests.is_empty() || self.inbox_write.is_some() || self.checks > 0
    }
}

impl Request {
    /// Whether the future that asked was dropped.
    pub(crate) fn is_forgotten(&self) -> bool {
        match self {
            Self::Buffer(request) => request.reply.is_forgotten(),
            Self::File(request) => request.reply.is_forgotten(),
        }
    }
}

impl Request {
    /// The kernel is at work on its buffer, or bytes are on their way into its file.
    pub(crate) fn is_in_use(&self) -> bool {
        match self {
            Self::Buffer(request) => request.buffer.is_none(),
            Self::File(request) => request.is_writing_inbox || request.held > 0,
        }
    }
}

impl BufferRequest {
    pub(crate) fn room(&self) -> usize {
        self.length - self.filled
    }

    /// Answers with what there is; gives the bytes back to the inbox if nobody waits.
    pub(crate) fn answer(self, end_of_record: bool, end: Option<End>, shared: &StreamShared) {
        let landed = Landed {
            buffer: self.buffer.unwrap_or_default(),
            filled: self.filled,
            offset: self.offset,
            end_of_record,
            end,
        };
        if let Err(landed) = self.reply.send(landed) {
            landed.put_back(&shared.inbox);
        }
    }
}

impl FileRequest {
    pub(crate) fn room(&self) -> u64 {
        self.bytes_max - self.written
    }

    /// What may still be taken from a connection for it: nothing for a future that was dropped.
    pub(crate) fn room_to_take(&self) -> u64 {
        if self.reply.is_forgotten() {
            return 0;
        }
        self.room() - self.held
    }

    pub(crate) fn answer(self, end: Option<Result<Status, Error>>, shared: &StreamShared) {
        let bytes = self.written;
        // Nobody waits: the bytes are in the file all the same, and the stream's position says so.
        if let Err(written) = self.reply.send(Written { bytes, end }) {
            written.put_back(&shared.inbox);
        }
    }
}
