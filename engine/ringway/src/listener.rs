//! A listening endpoint, and the sessions that arrive at it.

use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ringway_io::Address;

use crate::Error;
use crate::config::ListenOptions;
use crate::mailbox::Mailbox;
use crate::message::Message;
use crate::queue::Queue;
use crate::reply::reply;
use crate::session::Session;

/// What the shards and the handles of one listener share.
#[derive(Debug)]
pub(crate) struct ListenerShared {
    pub(crate) address: Address,
    pub(crate) options: ListenOptions,
    pub(crate) sessions: Queue<Session, Error>,
    pub(crate) mailbox: Mailbox,
}

/// A listening endpoint. Dropping the last clone stops listening; sessions live on.
#[derive(Clone, Debug)]
pub struct Listener(Arc<Handle>);

#[derive(Debug)]
struct Handle(Arc<ListenerShared>);

impl Listener {
    pub(crate) fn new(shared: Arc<ListenerShared>) -> Self {
        Self(Arc::new(Handle(shared)))
    }

    /// Where it listens; the port is the real one when 0 was asked for.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.0.0.address
    }

    /// The next new session. Sessions that resume never show up here again.
    ///
    /// # Errors
    /// [`Error::ListenerClosed`], [`Error::EngineStopped`].
    pub async fn accept(&self) -> Result<Session, Error> {
        poll_fn(|context| self.0.0.sessions.poll_pop(context)).await
    }

    /// Takes a connection that was accepted elsewhere (by a supervisor, another listener), as if
    /// it had arrived here: its handshake begins, and a new session shows up in
    /// [`accept`](Self::accept).
    ///
    /// # Errors
    /// [`Error::ListenerClosed`], [`Error::EngineStopped`]; [`Error::Kernel`] when it is no socket
    /// that can be used.
    pub async fn adopt(&self, connection: OwnedFd) -> Result<(), Error> {
        let (reply, answer) = reply();
        self.0.0.mailbox.send(Message::AdoptConnection {
            listener: Arc::clone(&self.0.0),
            connection,
            reply,
        });
        answer.await?
    }

    /// Stops listening now.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Handle {
    fn close(&self) {
        self.0.sessions.end(Error::ListenerClosed);
        self.0
            .mailbox
            .send(Message::StopListening(Arc::clone(&self.0)));
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}
