//! A listening endpoint, and the sessions that arrive at it.

use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringway_io::Address;

use crate::Error;
use crate::config::{AuthenticationMode, ListenOptions};
use crate::key_file::Keys;
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
    /// Those of the options, or what took their place.
    keys: Mutex<Option<Arc<Keys>>>,
    pub(crate) sessions: Queue<Session, Error>,
    pub(crate) mailbox: Mailbox,
}

impl ListenerShared {
    pub(crate) fn new(address: Address, options: ListenOptions, mailbox: Mailbox) -> Self {
        let keys = match &options.authentication {
            AuthenticationMode::Keyed(keys) => Some(Arc::new(keys.clone())),
            AuthenticationMode::Insecure { .. } => None,
        };
        Self {
            address,
            options,
            keys: Mutex::new(keys),
            sessions: Queue::default(),
            mailbox,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Keys>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What handshakes are proven with; none without authentication.
    pub(crate) fn keys(&self) -> Option<Arc<Keys>> {
        self.lock().clone()
    }
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

    /// From the next handshake on these keys hold, for new sessions and for those that resume.
    /// What is connected stays connected: nothing is proven again on a live connection. A
    /// listener without authentication stays without.
    ///
    /// How a secret is changed under live sessions: docs/decisions/key-rotation.md.
    pub fn replace_keys(&self, keys: Keys) {
        if let Some(held) = &mut *self.0.0.lock() {
            *held = Arc::new(keys);
        }
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
