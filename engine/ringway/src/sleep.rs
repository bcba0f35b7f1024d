//! Waiting for time to pass, on the shard's clock (virtual in simulation).

use std::time::Duration;

use crate::message::Message;
use crate::reply::reply;
use crate::{Engine, Error, task};

/// Resolves after `duration`, measured by the clock of the shard this task runs on.
///
/// # Errors
/// [`Error::EngineStopped`] when the shard has gone or this is no task of a shard: use
/// [`Engine::sleep`] there.
pub async fn sleep(duration: Duration) -> Result<(), Error> {
    let mailbox = task::current_mailbox().ok_or(Error::EngineStopped)?;
    let (reply, answer) = reply();
    mailbox.send(Message::Sleep { duration, reply });
    answer.await
}

impl Engine {
    /// The engine's clock: monotonic, from an arbitrary start; virtual in simulation.
    ///
    /// # Errors
    /// [`Error::EngineStopped`] when the engine has stopped.
    pub async fn now(&self) -> Result<Duration, Error> {
        let (reply, answer) = reply();
        self.mailbox().send(Message::Now(reply));
        answer.await
    }

    /// Resolves after `duration`, measured by the engine's clock.
    ///
    /// # Errors
    /// [`Error::EngineStopped`] when the engine has stopped.
    pub async fn sleep(&self, duration: Duration) -> Result<(), Error> {
        let (reply, answer) = reply();
        self.mailbox().send(Message::Sleep { duration, reply });
        answer.await
    }
}
