//! The client's session, made again when it ends (F-61).
//!
//! A session survives its connections by itself. What it does not survive is the server's restart:
//! then the next one that needs a session makes a new one, the others wait for it, and each
//! transfer asks the server where its partial file stands. A server that was out of reach for the
//! whole resume window has been tried for long enough.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ringway::{CloseReason, ConnectError, ConnectOptions, Engine, Error, Session, Status};

use crate::FilesError;
use crate::client::ClientOptions;
use crate::error::Side;
use crate::failure::{Fault, Halt};
use crate::limits::FRUITLESS_SESSIONS_MAX;
use crate::observer::Observer;

#[derive(Default)]
struct State {
    session: Option<Session>,
    /// Which session this is, counted from 1.
    generation: u32,
    is_connecting: bool,
    /// Sessions that ended in a row without anything achieved.
    fruitless: u32,
    /// How long the server was out of reach when that ended the last one.
    unreachable_for: Option<Duration>,
    /// Why the last one ended.
    cause: String,
    /// The shard of the first session; later ones stay there.
    shard: Option<usize>,
    wakers: Vec<Waker>,
}

/// Where to connect, and the session there, if any.
pub(crate) struct Link {
    engine: Engine,
    target: String,
    connect: ConnectOptions,
    options: ClientOptions,
    state: Mutex<State>,
}

/// A session, and which one it is.
#[derive(Clone, Debug)]
pub(crate) struct Attached {
    pub(crate) session: Session,
    pub(crate) generation: u32,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.target)
    }
}

/// Whose turn it is to connect; gives it up when dropped.
struct Connecting<'a>(&'a Link);

impl Link {
    pub(crate) fn new(
        engine: Engine,
        target: String,
        connect: ConnectOptions,
        options: ClientOptions,
    ) -> Self {
        let state = Mutex::default();
        Self {
            engine,
            target,
            connect,
            options,
            state,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many sessions there have been.
    pub(crate) fn sessions(&self) -> u32 {
        self.lock().generation
    }

    /// The session; a new one if there is none.
    pub(crate) async fn session(
        &self,
        observer: &Arc<dyn Observer>,
    ) -> Result<Attached, FilesError> {
        let connecting = match poll_fn(|context| self.poll_session(context)).await {
            Ok(attached) => return Ok(attached),
            Err(connecting) => connecting,
        };
        let attached = self.connect(observer).await;
        drop(connecting);
        attached
    }

    fn poll_session<'a>(
        &'a self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Attached, Connecting<'a>>> {
        let mut state = self.lock();
        if let Some(session) = state.session.clone() {
            let generation = state.generation;
            return Poll::Ready(Ok(Attached {
                session,
                generation,
            }));
        }
        if !std::mem::replace(&mut state.is_connecting, true) {
            return Poll::Ready(Err(Connecting(self)));
        }
        if !state
            .wakers
            .iter()
            .any(|known| known.will_wake(context.waker()))
        {
            state.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }

    async fn connect(&self, observer: &Arc<dyn Observer>) -> Result<Attached, FilesError> {
        let (generation, fruitless, unreachable_for) = {
            let mut state = self.lock();
            // Taken: a later call of the application may try again.
            (
                state.generation,
                state.fruitless,
                state.unreachable_for.take(),
            )
        };
        if let Some(within) = unreachable_for {
            let cause = self.lock().cause.clone();
            return Err(FilesError::GaveUp { within, cause });
        }
        let within = self.options.give_up_after;
        let mut options = self.connect.clone();
        if generation > 0 {
            if fruitless > FRUITLESS_SESSIONS_MAX {
                return Err(self.gave_up(None));
            }
            observer.reconnecting(&self.lock().cause, within);
            options.connect_timeout = within;
            options.shard = self.lock().shard;
            let pause = Duration::from_millis(20) * (1 << fruitless.min(6));
            self.engine.sleep(pause).await?;
        }
        let session = match self.engine.connect(&self.target, options).await {
            Err(error @ ConnectError::Unreachable { .. }) if generation > 0 => {
                return Err(self.gave_up(Some(&error)));
            }
            connected => connected?,
        };
        if generation > 0 {
            observer.reconnected();
        }
        let mut state = self.lock();
        state.generation += 1;
        state.shard = Some(session.shard());
        state.session = Some(session.clone());
        let generation = state.generation;
        tracing::debug!(target = self.target, generation, "a session stands");
        Ok(Attached {
            session,
            generation,
        })
    }

    fn gave_up(&self, error: Option<&ConnectError>) -> FilesError {
        let cause = error.map_or_else(|| self.lock().cause.clone(), ToString::to_string);
        let within = self.options.give_up_after;
        FilesError::GaveUp { within, cause }
    }

    /// Something was achieved: the present session is worth its while.
    pub(crate) fn progressed(&self) {
        self.lock().fruitless = 0;
    }

    /// A session is of no more use; the next one that needs one connects.
    fn lost(&self, attached: &Attached, loss: Loss) {
        let Loss {
            cause,
            unreachable_for,
        } = loss;
        let mut state = self.lock();
        if state.generation == attached.generation && state.session.take().is_some() {
            tracing::info!(target = self.target, cause, "the session ended");
            state.fruitless += 1;
            state.unreachable_for = unreachable_for;
            state.cause = cause;
        }
    }

    /// Does something that needs a session, again with a new one whenever the session ends.
    /// `attempt` gets the session.
    pub(crate) async fn persist<T>(
        &self,
        observer: &Arc<dyn Observer>,
        side: Side,
        attempt: impl AsyncFn(Session) -> Result<T, Halt>,
    ) -> Result<T, FilesError> {
        loop {
            let attached = self.session(observer).await?;
            match attempt(attached.session.clone()).await {
                Ok(value) => {
                    self.progressed();
                    return Ok(value);
                }
                Err(halt) => match Loss::of(&halt) {
                    Some(loss) => self.lost(&attached, loss),
                    None => return Err(FilesError::of_halt(halt, side)),
                },
            }
        }
    }

    /// Ends the session after what is under way.
    pub(crate) async fn close(&self) {
        let session = self.lock().session.take();
        if let Some(session) = session {
            // Its end is all that is wanted; that it ended otherwise is fine too.
            let _ = session.drain().await;
            session.close(Status::ok());
        }
    }
}

/// What made a session useless.
struct Loss {
    cause: String,
    unreachable_for: Option<Duration>,
}

impl Loss {
    /// If that is what ended the work.
    fn of(halt: &Halt) -> Option<Self> {
        let (cause, unreachable_for) = match halt {
            Halt::Session(Error::SessionEnded(
                reason @ CloseReason::ResumeWindow { window_ms },
            )) => (reason.to_string(), Some(Duration::from_millis(*window_ms))),
            Halt::Session(
                error @ (Error::SessionEnded(_) | Error::StreamReset { .. } | Error::StreamEnded),
            ) => (error.to_string(), None),
            Halt::Peer(failure) if failure.fault == Fault::Draining => {
                (failure.fault.to_string(), None)
            }
            _ => return None,
        };
        Some(Self {
            cause,
            unreachable_for,
        })
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_connecting = false;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}
