//! A session: the pairing of two endpoints, which survives connections.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::Poll;

use ringway_proto::{CloseReason, Epoch, PeerIdentity, SessionId, Status, StreamId};

use crate::Error;
use crate::config::StreamOptions;
use crate::mailbox::Mailbox;
use crate::message::Message;
use crate::queue::Queue;
use crate::reply::{Answer, reply};
use crate::session_end::{SessionEnd, StreamRemains};
use crate::session_statistics::SessionStatistics;
use crate::stream::{Stream, StreamShared};
use crate::wakers::Wakers;

/// Names a session inside its shard; a stale one names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SessionKey(pub(crate) u64);

/// Where a session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// A connection is attached.
    Connected {
        /// Counts the connections of this session.
        epoch: Epoch,
    },
    /// No connection; the dialing side is trying, the other waits, within the resume window.
    Disconnected {
        /// Attempts since the connection was lost.
        attempts: u32,
    },
    /// Over, for good.
    Ended(CloseReason),
}

#[derive(Debug)]
struct Watched {
    state: SessionState,
    wakers: Wakers,
    /// What was left at the end, until somebody takes it.
    remains: Vec<StreamRemains>,
}

/// What the shard and the handles of one session share.
#[derive(Debug)]
pub(crate) struct SessionShared {
    pub(crate) key: SessionKey,
    pub(crate) id: SessionId,
    pub(crate) peer: PeerIdentity,
    pub(crate) mailbox: Mailbox,
    /// Opened by the peer and not accepted yet; without a handle of the session, which would
    /// keep itself alive.
    pub(crate) streams: Queue<(StreamId, Arc<StreamShared>), Error>,
    watched: Mutex<Watched>,
    /// Of a session that has ended.
    last_statistics: OnceLock<Box<SessionStatistics>>,
}

impl SessionShared {
    pub(crate) fn new(
        key: SessionKey,
        id: SessionId,
        peer: PeerIdentity,
        mailbox: Mailbox,
        state: SessionState,
    ) -> Self {
        let wakers = Wakers::default();
        Self {
            key,
            id,
            peer,
            mailbox,
            streams: Queue::default(),
            watched: Mutex::new(Watched {
                state,
                wakers,
                remains: Vec::new(),
            }),
            last_statistics: OnceLock::new(),
        }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard announces a change; an end is final.
    pub(crate) fn set_state(&self, state: SessionState) {
        let mut watched = self.watched();
        if !matches!(watched.state, SessionState::Ended(_)) {
            watched.state = state;
            watched.wakers.wake_all();
        }
    }

    pub(crate) fn state(&self) -> SessionState {
        self.watched().state.clone()
    }

    pub(crate) fn leave(&self, remains: Vec<StreamRemains>) {
        let mut watched = self.watched();
        if !matches!(watched.state, SessionState::Ended(_)) {
            watched.remains = remains;
        }
    }

    /// The shard leaves what was counted, at the end of the session; the first time counts.
    pub(crate) fn set_last_statistics(&self, statistics: SessionStatistics) {
        let _ = self.last_statistics.set(Box::new(statistics));
    }

    fn last_statistics(&self) -> Option<SessionStatistics> {
        self.last_statistics.get().map(|last| **last)
    }
}

/// A session with one peer; cheap to clone, usable from any thread.
///
/// It lives until it is closed, its peer closes it, the resume window passes without a
/// connection, or its last handle (streams included) is dropped.
#[derive(Clone)]
pub struct Session(Arc<Handle>);

struct Handle(Arc<SessionShared>);

/// What the shard keeps of the handles: whether there are any.
#[derive(Clone)]
pub(crate) struct WeakSession(Weak<Handle>);

impl WeakSession {
    pub(crate) fn upgrade(&self) -> Option<Session> {
        self.0.upgrade().map(Session)
    }
}

impl Session {
    pub(crate) fn new(shared: Arc<SessionShared>) -> Self {
        Self(Arc::new(Handle(shared)))
    }

    pub(crate) fn shared(&self) -> &Arc<SessionShared> {
        &self.0.0
    }

    /// Its id, the same at both ends.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.shared().id
    }

    /// Who is at the other end, as proven in the first handshake.
    #[must_use]
    pub fn peer(&self) -> &PeerIdentity {
        &self.shared().peer
    }

    /// Which shard of the engine owns it.
    #[must_use]
    pub fn shard(&self) -> usize {
        self.shared().mailbox.index()
    }

    /// Where it stands, at once.
    #[must_use]
    pub fn state(&self) -> SessionState {
        self.shared().state()
    }

    /// Waits until the state is another one than `seen`.
    pub async fn state_changed(&self, seen: &SessionState) -> SessionState {
        poll_fn(|context| {
            let mut watched = self.shared().watched();
            if watched.state != *seen {
                return Poll::Ready(watched.state.clone());
            }
            watched.wakers.register(context.waker());
            Poll::Pending
        })
        .await
    }

    /// Waits until a connection is attached; resolves at once if one is.
    ///
    /// # Errors
    /// [`Error::SessionEnded`].
    pub async fn connected(&self) -> Result<Epoch, Error> {
        let mut state = self.state();
        loop {
            state = match state {
                SessionState::Connected { epoch } => return Ok(epoch),
                SessionState::Ended(reason) => return Err(Error::SessionEnded(reason)),
                SessionState::Disconnected { .. } => self.state_changed(&state).await,
            };
        }
    }

    /// Waits for the end and says why.
    pub async fn ended(&self) -> CloseReason {
        poll_fn(|context| {
            let mut watched = self.shared().watched();
            if let SessionState::Ended(reason) = &watched.state {
                return Poll::Ready(reason.clone());
            }
            watched.wakers.register(context.waker());
            Poll::Pending
        })
        .await
    }

    /// Waits for the end, and gives back what the session had not delivered: of each stream that
    /// had not ended how far it was, and everything accepted that the peer has not acked.
    ///
    /// The first caller gets the streams, later ones none. Until then they are kept (at most what
    /// a session may retain), or until the last handle of the session and of its streams is
    /// dropped.
    pub async fn ended_with(&self) -> SessionEnd {
        let cause = self.ended().await;
        let streams = std::mem::take(&mut self.shared().watched().remains);
        SessionEnd { cause, streams }
    }

    /// What it counts and holds: its shard answers within a turn, whether or not there is a
    /// connection. After its end, the last numbers.
    ///
    /// # Errors
    /// [`Error::EngineStopped`].
    pub async fn statistics(&self) -> Result<SessionStatistics, Error> {
        if let Some(last) = self.shared().last_statistics() {
            return Ok(last);
        }
        let (reply, answer) = reply();
        let key = self.shared().key;
        self.shared()
            .mailbox
            .send(Message::SessionStatistics(key, reply));
        let present = answer.await.unwrap_or(None);
        let known = present.or_else(|| self.shared().last_statistics());
        known.ok_or(Error::EngineStopped)
    }

    /// Opens a stream. Costs no round trip; waits only for credit on the number of streams.
    ///
    /// # Errors
    /// [`Error::SessionEnded`], [`Error::EngineStopped`].
    pub async fn open(&self, options: StreamOptions) -> Result<Stream, Error> {
        let (reply, answer) = reply();
        let session = self.shared().key;
        self.shared().mailbox.send(Message::OpenStream {
            session,
            options,
            reply,
        });
        answer.await?.map_err(|error| self.cause_of(error))
    }

    /// The next stream that the peer opened.
    ///
    /// # Errors
    /// [`Error::SessionEnded`] after the last one; [`Error::EngineStopped`].
    pub async fn accept(&self) -> Result<Stream, Error> {
        let (id, shared) = poll_fn(|context| self.shared().streams.poll_pop(context)).await?;
        Ok(Stream::new(id, self.clone(), shared))
    }

    pub(crate) fn downgrade(&self) -> WeakSession {
        WeakSession(Arc::downgrade(&self.0))
    }

    /// Asks for a new connection at once, also while one lives: when it has proven itself it takes
    /// over, and the older one is given up. Only the side that dialled can; elsewhere nothing
    /// happens. [`reconnect`](Self::reconnect) waits for it.
    pub fn reconnect_now(&self) {
        drop(self.ask_to_reconnect());
    }

    /// As [`reconnect_now`](Self::reconnect_now); resolves with the epoch of the connection that
    /// came of it. Concurrent calls share one attempt and its result. While nobody answers it goes
    /// on trying, as after a lost connection, within the resume window.
    ///
    /// # Errors
    /// [`Error::NotDialer`] where the peer dials; [`Error::SessionEnded`],
    /// [`Error::EngineStopped`].
    pub async fn reconnect(&self) -> Result<Epoch, Error> {
        let answer = self.ask_to_reconnect().await?;
        answer.map_err(|error| self.cause_of(error))
    }

    /// Why the session is over, where the shard only knows that it is.
    fn cause_of(&self, error: Error) -> Error {
        match (error, self.state()) {
            (Error::StreamEnded, SessionState::Ended(reason)) => Error::SessionEnded(reason),
            (error, _) => error,
        }
    }

    fn ask_to_reconnect(&self) -> Answer<Result<Epoch, Error>> {
        let (reply, answer) = reply();
        let session = self.shared().key;
        self.shared()
            .mailbox
            .send(Message::Reconnect { session, reply });
        answer
    }

    /// Refuses new streams, lets accepted ones end, then closes. Bounded by the drain timeout.
    ///
    /// # Errors
    /// [`Error::EngineStopped`].
    pub async fn drain(&self) -> Result<(), Error> {
        let (reply, answer) = reply();
        let session = self.shared().key;
        self.shared()
            .mailbox
            .send(Message::Drain { session, reply });
        answer.await
    }

    /// Ends the session now, telling the peer why if a connection is there. Always returns at
    /// once; [`ended`](Self::ended) resolves when it is over.
    pub fn close(&self, reason: Status) {
        let session = self.shared().key;
        self.shared()
            .mailbox
            .send(Message::Close { session, reason });
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.id())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.mailbox.send(Message::SessionDropped(self.0.key));
    }
}
