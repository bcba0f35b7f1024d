//! Why an op was submitted: what a completion's token leads back to.

use ringway_io::{Completion, FileStat, Token};

use crate::connection::ConnectionKey;
use crate::dial::DialKey;
use crate::handshake::HandshakeKey;
use crate::reply::Reply;
use crate::session::SessionKey;
use crate::slab::Slab;
use ringway_proto::{BodyId, StreamId};

/// Who waits for an op's completions.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A handle: the completion goes to it as it is.
    Caller(Reply<Completion>),
    /// Connections arriving at a listener, by its key.
    Accept(u64),
    /// A name being resolved for a dial.
    Resolve(DialKey),
    /// A socket being connected for a dial.
    Connect(DialKey),
    /// Bytes of a handshake.
    HandshakeReceive(HandshakeKey),
    /// Bytes of a handshake on their way.
    HandshakeSend(HandshakeKey),
    /// Something on a session's connection.
    Connection(ConnectionKey, ConnectionOp),
    /// A file is looked at before its range is accepted for sending.
    SourceStat(SessionKey, StreamId),
    /// A file is looked at after the last byte of its range was acked.
    SourceCheck(SessionKey, StreamId, Box<FileStat>),
    /// Bytes that had arrived in memory are written to the file they were then wanted in.
    InboxWrite(SessionKey, StreamId),
    /// A part of a file's range, from this offset in the file, read before it is offered.
    ReadAhead(SessionKey, BodyId, u64),
}

/// What an op on a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionOp {
    /// Multishot receive of frames.
    Frames,
    /// Exact receive of a header.
    Header,
    /// Receive of a body into the place it belongs.
    Body,
    /// Waiting for bytes to splice.
    Readable,
    /// Worker splice from the pipe into the file.
    SinkSplice,
    /// Write of copied bytes into the file.
    SinkWrite,
    /// Waiting for room in the socket.
    Writable,
    /// Send of a body from memory.
    Send,
    /// Zero-copy send of so many bytes of a lease.
    SendZeroCopy(u32),
    /// The file behind an offered body is compared with what it was.
    Verify(BodyId),
    /// Worker splice of an offered body into a pipe.
    LoadSplice,
    /// Read of an offered body into memory.
    LoadRead,
}

/// The table of purposes.
#[derive(Debug, Default)]
pub(crate) struct Purposes(Slab<Purpose>);

impl Purposes {
    pub(crate) fn add(&mut self, purpose: Purpose) -> Token {
        Token(self.0.insert(purpose))
    }

    /// The purpose of a completion that more will follow.
    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut Purpose> {
        self.0.get_mut(token.0)
    }

    /// The purpose of a last completion.
    pub(crate) fn take(&mut self, token: Token) -> Option<Purpose> {
        self.0.remove(token.0)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
