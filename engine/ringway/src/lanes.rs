//! Several sessions to one peer behind one handle: each on a shard of its own while there are
//! enough, so that more than one core works for them.
//!
//! A stream lives on one lane and is ordered there; between lanes nothing is. A lane resumes by
//! itself, and the others go on meanwhile.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use ringway_proto::{CloseReason, Status};

use crate::Error;
use crate::config::{ConnectOptions, StreamOptions};
use crate::engine::Engine;
use crate::error::ConnectError;
use crate::session::{Session, SessionState};
use crate::stream::Stream;

/// As many lanes as anybody has cores for one peer.
const LANES_MAX: usize = 64;

/// Several sessions to one peer, made by [`Engine::connect_lanes`].
///
/// Cheap to clone. At the peer each lane is accepted as a session of its own;
/// [`Session::peer`] says that they come from the same endpoint.
#[derive(Clone, Debug)]
pub struct Lanes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// At least one.
    sessions: Vec<Session>,
    /// Whose turn it is, wrapping.
    next: AtomicUsize,
}

impl Engine {
    /// Connects `count` sessions to one peer, one after the other. They lie on the engine's shards
    /// in turn, from [`ConnectOptions::shard`] or else the first on.
    ///
    /// ```no_run
    /// # async fn example(engine: ringway::Engine, key: ringway::NamedKey) -> Result<(), Box<dyn std::error::Error>> {
    /// use ringway::{ConnectOptions, Status, StreamOptions};
    ///
    /// let options = ConnectOptions::keyed(key);
    /// let lanes = engine.connect_lanes("node-b:7400", options, engine.shards()).await?;
    /// let stream = lanes.open(StreamOptions::default()).await?; // on the next lane in turn
    /// stream.send(&b"hello"[..]).await?;
    /// lanes.close(&Status::ok());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Limit`] for no lane at all or more than 64; else that of the first lane that cannot
    /// be had: those before it are closed again.
    pub async fn connect_lanes(
        &self,
        target: &str,
        options: ConnectOptions,
        count: usize,
    ) -> Result<Lanes, ConnectError> {
        if !(1..=LANES_MAX).contains(&count) {
            return Err(ConnectError::Local(Error::Limit {
                what: "lanes (at least one)",
                wanted: count as u64,
                allowed: LANES_MAX as u64,
            }));
        }
        let first = options.shard.unwrap_or(0);
        let mut sessions = Vec::with_capacity(count);
        for index in 0..count {
            let options = ConnectOptions {
                // A wrong number is refused by the first lane.
                shard: Some(match index {
                    0 => first,
                    index => (first + index) % self.shards(),
                }),
                ..options.clone()
            };
            sessions.push(self.connect(target, options).await?);
        }
        Ok(Lanes(Arc::new(Shared {
            sessions,
            next: AtomicUsize::new(0),
        })))
    }
}

impl Lanes {
    /// The lanes themselves, in the order in which they were connected; at least one.
    #[must_use]
    pub fn sessions(&self) -> &[Session] {
        &self.0.sessions
    }

    /// Opens a stream on the next lane in turn that has a connection. If none has one, on the next
    /// that has not ended: what is sent waits there for its resume.
    ///
    /// # Errors
    /// As [`Session::open`]; [`Error::SessionEnded`] when every lane has ended.
    pub async fn open(&self, options: StreamOptions) -> Result<Stream, Error> {
        self.next_lane().open(options).await
    }

    fn next_lane(&self) -> &Session {
        let turn = self.0.next.fetch_add(1, Ordering::Relaxed);
        let sessions = self.sessions();
        let in_turn = || {
            (0..sessions.len()).map(|step| &sessions[(turn.wrapping_add(step)) % sessions.len()])
        };
        let connected = in_turn().find(|it| matches!(it.state(), SessionState::Connected { .. }));
        let living = || in_turn().find(|it| !matches!(it.state(), SessionState::Ended(_)));
        connected.or_else(living).unwrap_or(&sessions[0])
    }

    /// The next stream that the peer has opened, on whichever lane.
    ///
    /// # Errors
    /// [`Error::SessionEnded`] after the last one of the last lane; [`Error::EngineStopped`].
    pub async fn accept(&self) -> Result<Stream, Error> {
        let accepts = self
            .sessions()
            .iter()
            .map(|session| Some(Box::pin(session.accept())));
        let mut accepts: Vec<_> = accepts.collect();
        // Who is asked first changes, so that a busy lane does not hide the others.
        let turn = self.0.next.load(Ordering::Relaxed) % accepts.len();
        accepts.rotate_left(turn);
        let mut last = Error::StreamEnded;
        poll_fn(move |context| {
            for slot in &mut accepts {
                let Some(accept) = slot else { continue };
                match accept.as_mut().poll(context) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok(stream)),
                    Poll::Ready(Err(error)) => {
                        *slot = None;
                        last = error;
                    }
                    Poll::Pending => {}
                }
            }
            match accepts.iter().all(Option::is_none) {
                true => Poll::Ready(Err(last.clone())),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// As [`Session::drain`], all lanes at the same time.
    ///
    /// # Errors
    /// [`Error::EngineStopped`].
    pub async fn drain(&self) -> Result<(), Error> {
        let drains = self.sessions().iter().map(Session::drain);
        let mut drains: Vec<_> = drains.map(|drain| Some(Box::pin(drain))).collect();
        let mut result = Ok(());
        poll_fn(move |context| {
            for slot in &mut drains {
                let Some(drain) = slot else { continue };
                if let Poll::Ready(drained) = drain.as_mut().poll(context) {
                    *slot = None;
                    result = std::mem::replace(&mut result, Ok(())).and(drained);
                }
            }
            match drains.iter().all(Option::is_none) {
                true => Poll::Ready(result.clone()),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// Closes every lane at once: see [`Session::close`].
    pub fn close(&self, reason: &Status) {
        for session in self.sessions() {
            session.close(reason.clone());
        }
    }

    /// Waits until every lane has ended, and says why each did, in their order.
    pub async fn ended(&self) -> Vec<CloseReason> {
        let mut reasons = Vec::with_capacity(self.sessions().len());
        for session in self.sessions() {
            reasons.push(session.ended().await);
        }
        reasons
    }
}
