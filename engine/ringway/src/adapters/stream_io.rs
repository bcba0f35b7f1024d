//! A stream as tokio's reader and writer.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::reply::Answer;
use crate::{Error, Status, Stream};

/// Taken from one write at most, bytes.
const WRITE_BYTES_MAX: usize = 256 << 10;

/// A [`Stream`] as [`AsyncRead`] and [`AsyncWrite`]: whatever speaks over a socket under tokio
/// speaks over it, and does not notice when the connection below is lost and comes back.
///
/// Bytes are copied once on their way in and once on their way out: for large bodies
/// [`Stream::send`] and the receives into memory or files are the better way
/// ([`get_ref`](Self::get_ref)). Record ends are not shown.
///
/// - A **write** returns when the bytes are copied; the next one, and `flush`, wait until they are
///   accepted, that is kept for replay. What was not accepted when it is dropped may be lost.
/// - **Shutdown** finishes our direction with [`Status::ok`].
/// - The **end** is the end only if the peer finished with a status of 0. With any other it is an
///   error of kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) that names it: what was cut
///   short is never taken for complete.
///
/// Other errors carry an [`Error`]: a reset is [`ConnectionReset`](io::ErrorKind::ConnectionReset),
/// a stop [`BrokenPipe`](io::ErrorKind::BrokenPipe), the end of the session
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted).
pub struct StreamIo {
    stream: Stream,
    /// Received and not read yet.
    unread: Bytes,
    sending: Option<Answer<Result<u64, Error>>>,
    finishing: Option<Answer<Result<(), Error>>>,
    is_finished: bool,
}

impl StreamIo {
    /// Reads and writes on `stream`.
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            unread: Bytes::new(),
            sending: None,
            finishing: None,
            is_finished: false,
        }
    }

    /// The stream; what it receives by itself is not read here.
    #[must_use]
    pub fn get_ref(&self) -> &Stream {
        &self.stream
    }

    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(answer) = &mut self.sending else {
            return Poll::Ready(Ok(()));
        };
        let sent = ready!(Pin::new(answer).poll(context));
        self.sending = None;
        let sent = sent.and_then(|sent| sent.map_err(|error| self.stream.cause_of(error)));
        Poll::Ready(sent.map(|_| ()).map_err(io_error))
    }

    /// The peer's direction is over; whether that is a clean end.
    fn poll_end(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let status = ready!(self.stream.poll_peer_status(context)).map_err(io_error)?;
        if status.code == 0 {
            return Poll::Ready(Ok(()));
        }
        let text = format!(
            "the peer ended with status {}: {}",
            status.code, status.text
        );
        Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, text)))
    }
}

impl fmt::Debug for StreamIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamIo({:?})", self.stream.id())
    }
}

impl AsyncRead for StreamIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        while self.unread.is_empty() {
            match ready!(self.stream.poll_receive(context)).map_err(io_error)? {
                // An empty record has no bytes.
                Some(chunk) => self.unread = chunk.bytes,
                None => return self.poll_end(context),
            }
        }
        let count = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread[..count]);
        self.unread.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StreamIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_sent(context))?;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let count = bytes.len().min(WRITE_BYTES_MAX);
        let payload = Bytes::copy_from_slice(&bytes[..count]);
        self.sending = Some(self.stream.post_send(payload.into(), false));
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_sent(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(context))?;
        if self.is_finished {
            return Poll::Ready(Ok(()));
        }
        if self.finishing.is_none() {
            self.finishing = Some(self.stream.post_finish(Status::ok()));
        }
        let Some(answer) = &mut self.finishing else {
            return Poll::Ready(Ok(()));
        };
        let finished = ready!(Pin::new(answer).poll(context));
        self.finishing = None;
        self.is_finished = true;
        let finished = finished.and_then(|finished| self.stream.finished(finished));
        Poll::Ready(finished.map_err(io_error))
    }
}

fn io_error(error: Error) -> io::Error {
    let kind = match error {
        Error::StreamReset { .. } => io::ErrorKind::ConnectionReset,
        Error::Stopped(_) => io::ErrorKind::BrokenPipe,
        Error::SessionEnded(_) | Error::EngineStopped => io::ErrorKind::ConnectionAborted,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
