//! A stream behind a handle: opening it, and what both directions share.
//!
//! A stream of ours is usable before the shard has opened it: what is asked meanwhile waits here
//! in order, and a task on the shard hands it over, with no thread of the application in between.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};

use ringway::{Engine, Session, Status, Stream, StreamOptions};

use crate::event::{Sink, ringway_event_kind as kind};
use crate::events::Told;
use crate::failure::{Failure, Result};
use crate::handle::Kind;
use crate::instance::Instance;
use crate::ready::{Purpose, Ringer};
use crate::receiving::Receiving;
use crate::sending::{Sending, Work};
use crate::session::about;
use crate::slot::{Object, Slot, lock};

/// What is asked before the stream is open.
enum Opening {
    /// In order.
    Waiting(VecDeque<Work>),
    Open,
    Failed(Failure),
}

/// What the handle and the task that opens share.
pub(crate) struct Shared {
    engine: Engine,
    opening: Mutex<Opening>,
    stream: OnceLock<Stream>,
    pub(crate) sending: Sending,
    pub(crate) receiving: Receiving,
    outcome: Ringer,
}

/// See the module.
pub(crate) struct StreamSlot {
    /// The session's handle.
    pub(crate) session: u64,
    pub(crate) shared: Arc<Shared>,
}

impl Instance {
    /// Opens a stream; answers with the handle.
    pub(crate) fn open_stream(
        &self,
        session: &Session,
        session_number: u64,
        options: StreamOptions,
        queue_bytes_max: u64,
        user_data: u64,
    ) -> Result<u64> {
        self.check_running()?;
        let mut shared = None;
        let slot = self.table.insert(Kind::Stream, user_data, |number| {
            let made = Arc::new(Shared::new(self, number, queue_bytes_max));
            shared = Some(Arc::clone(&made));
            Object::Stream(StreamSlot {
                session: session_number,
                shared: made,
            })
        })?;
        if let Some(shared) = shared {
            let session = session.clone();
            let task = move || open(session, options, shared);
            self.engine.spawn_on(slot_shard(&slot, self)?, task)?;
        }
        Ok(slot.number)
    }
}

/// The shard that owns the stream's session.
fn slot_shard(slot: &Slot, instance: &Instance) -> Result<usize> {
    let session = instance.table.find(slot.stream()?.session)?;
    Ok(session.session()?.session()?.shard())
}

async fn open(session: Session, options: StreamOptions, shared: Arc<Shared>) {
    match session.open(options).await {
        Ok(stream) => shared.opened(stream),
        Err(error) => shared.failed(error.into()),
    }
}

impl Shared {
    fn new(instance: &Instance, number: u64, queue_bytes_max: u64) -> Self {
        let ready = &instance.ready;
        Self {
            engine: instance.engine.clone(),
            opening: Mutex::new(Opening::Waiting(VecDeque::new())),
            stream: OnceLock::new(),
            sending: Sending::new(ready, number, queue_bytes_max),
            receiving: Receiving::new(ready, number),
            outcome: Ringer::new(ready, number, Purpose::Outcome),
        }
    }

    fn opened(&self, stream: Stream) {
        let mut opening = lock(&self.opening);
        let waiting = std::mem::replace(&mut *opening, Opening::Open);
        if let Opening::Waiting(waiting) = waiting {
            // Under the lock: what is asked from now on comes behind it.
            for work in waiting {
                self.sending.start(&stream, work);
            }
        }
        let _ = self.stream.set(stream);
        drop(opening);
        self.receiving.ring();
        self.sending.ring();
    }

    fn failed(&self, failure: Failure) {
        *lock(&self.opening) = Opening::Failed(failure);
        self.outcome.ring();
    }

    /// The stream, once it is open.
    pub(crate) fn stream(&self) -> Option<&Stream> {
        self.stream.get()
    }

    /// Does something in the order of asking.
    ///
    /// # Errors
    /// Why the stream could not be opened.
    pub(crate) fn ask(&self, work: Work) -> Result<()> {
        if let Some(stream) = self.stream.get() {
            self.sending.start(stream, work);
            return Ok(());
        }
        match &mut *lock(&self.opening) {
            Opening::Waiting(waiting) => {
                waiting.push_back(work);
                Ok(())
            }
            Opening::Failed(failure) => Err(failure.clone()),
            Opening::Open => {
                // It was opened between the two looks.
                if let Some(stream) = self.stream.get() {
                    self.sending.start(stream, work);
                }
                Ok(())
            }
        }
    }

    /// Why it could not be opened, if so.
    pub(crate) fn opening_failure(&self) -> Option<Failure> {
        match &*lock(&self.opening) {
            Opening::Failed(failure) => Some(failure.clone()),
            _ => None,
        }
    }
}

/// The handle was freed: a finished direction arrives all the same, so what the shard has not
/// accepted yet goes on there.
impl Drop for Shared {
    fn drop(&mut self) {
        let unaccepted = self.sending.take_unaccepted();
        let Some(stream) = self.stream.get().filter(|_| !unaccepted.is_empty()) else {
            return;
        };
        let finish = move || async move {
            for each in unaccepted {
                // Why it was not accepted, nobody wants to know any more.
                let _ = each.answer.await;
            }
        };
        // It fails only where there is no such shard: it is the stream's own.
        let _ = self.engine.spawn_on(stream.session().shard(), finish);
    }
}

impl StreamSlot {
    /// One that the peer opened.
    pub(crate) fn accepted(instance: &Instance, number: u64, session: u64, stream: Stream) -> Self {
        let shared = Shared::new(instance, number, 0);
        shared.opened(stream);
        Self {
            session,
            shared: Arc::new(shared),
        }
    }

    /// Aborts our direction.
    pub(crate) fn reset(&self, status: Status) -> Result<()> {
        self.shared.sending.close();
        self.shared.ask(Work::Reset(status))
    }

    /// Asks the peer to cease.
    pub(crate) fn stop(&self, status: Status) -> Result<()> {
        self.shared.ask(Work::Stop(status))
    }

    pub(crate) fn tell(&self, slot: &Slot, purpose: Purpose, sink: &mut Sink<'_>) -> Told {
        let Some(stream) = self.shared.stream() else {
            if purpose == Purpose::Outcome
                && let Some(failure) = self.shared.opening_failure()
            {
                sink.push(about(
                    slot,
                    kind::RINGWAY_EVENT_STREAM_FAILED,
                    Some(failure),
                ));
            }
            return Told::All;
        };
        match purpose {
            Purpose::Readable => self.shared.receiving.tell_readable(stream, slot, sink),
            Purpose::Receives => self.shared.receiving.tell_files(slot, sink),
            Purpose::Sends => self.shared.sending.tell_sends(slot, sink),
            Purpose::Watches => self.shared.sending.tell_watches(stream, slot, sink),
            _ => Told::All,
        }
    }
}
