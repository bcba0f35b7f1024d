//! The sending direction of a stream.
//!
//! ```text
//!   send ── order (offsets are given here) ──▶ opening? ──▶ start ──▶ the shard's mailbox
//!                                                             │
//!                                     pending: not accepted yet, bounded by queue_bytes_max
//! ```
//!
//! Locks are taken in this order: order, opening (in `stream`), pending.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use ringway::{Error, Payload, Priority, Status, Stream};

use crate::code::ringway_code::{RINGWAY_E_AGAIN, RINGWAY_E_FINISHED};
use crate::event::{Sink, ringway_event_kind as kind};
use crate::events::Told;
use crate::failure::{Failure, Result};
use crate::ready::{Kept, Purpose, Ready, Ringer};
use crate::session::about;
use crate::slot::{Slot, lock};
use crate::stream::Shared;

/// What a stream may have asked of the shard without an answer: about what one turn takes.
const QUEUE_BYTES_DEFAULT: u64 = 1 << 20;
/// And how many sends, so that empty ones have a bound too.
const QUEUE_SENDS_MAX: usize = 1024;
/// Offsets an application may wait for at once on one stream.
const WATCHES_MAX: usize = 64;

/// What can be asked of a stream in order.
pub(crate) enum Work {
    Send {
        payload: Payload,
        end_of_record: bool,
    },
    Finish(Status),
    Reset(Status),
    Stop(Status),
    Prioritize(Priority),
}

/// What an application waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    Acked,
    Consumed,
    FinishAcked,
}

#[derive(Clone, Copy, Debug)]
struct Watch {
    goal: Goal,
    offset: u64,
    token: u64,
}

/// What is decided one caller at a time.
#[derive(Default)]
struct Order {
    /// Behind all that was taken, bytes.
    offset: u64,
    /// Finished or reset by us.
    is_over: bool,
    /// Finished by us: what was taken is to arrive, whoever still holds the handle.
    is_finished: bool,
}

pub(crate) struct Pending {
    pub(crate) answer: Kept<std::result::Result<u64, Error>>,
    cost_bytes: u64,
}

/// See the module.
pub(crate) struct Sending {
    order: Mutex<Order>,
    pending: Mutex<VecDeque<Pending>>,
    /// Memory of what is not accepted yet, what waits for the stream to open included.
    queued_bytes: AtomicU64,
    queued_sends: AtomicU64,
    queue_bytes_max: u64,
    wants_room: AtomicBool,
    failure: Mutex<Option<Failure>>,
    is_failure_told: AtomicBool,
    watches: Mutex<Vec<Watch>>,
    sends: Ringer,
    watching: Ringer,
}

impl Sending {
    pub(crate) fn new(ready: &Arc<Ready>, number: u64, queue_bytes_max: u64) -> Self {
        Self {
            order: Mutex::default(),
            pending: Mutex::default(),
            queued_bytes: AtomicU64::new(0),
            queued_sends: AtomicU64::new(0),
            queue_bytes_max: match queue_bytes_max {
                0 => QUEUE_BYTES_DEFAULT,
                bytes => bytes,
            },
            wants_room: AtomicBool::new(false),
            failure: Mutex::default(),
            is_failure_told: AtomicBool::new(false),
            watches: Mutex::default(),
            sends: Ringer::new(ready, number, Purpose::Sends),
            watching: Ringer::new(ready, number, Purpose::Watches),
        }
    }

    /// The stream is open: watch it.
    pub(crate) fn ring(&self) {
        self.watching.ring();
        self.sends.ring();
    }

    /// Nothing more is taken.
    pub(crate) fn close(&self) {
        lock(&self.order).is_over = true;
    }

    /// Takes bytes, whole or not at all; answers with the offset behind them. With `finish`,
    /// they are the last ones.
    ///
    /// # Errors
    /// `RINGWAY_E_AGAIN` when too much waits: an event follows.
    pub(crate) fn send(
        &self,
        shared: &Shared,
        payload: Payload,
        end_of_record: bool,
        finish: Option<Status>,
    ) -> Result<u64> {
        let mut order = lock(&self.order);
        self.check(&order, shared)?;
        let bytes = payload.len();
        let cost_bytes = cost_of(&payload);
        self.reserve(cost_bytes)?;
        let end = order.offset.checked_add(bytes);
        let end = end.ok_or_else(|| Failure::limit("stream length", u64::MAX, 1 << 62))?;
        shared.ask(Work::Send {
            payload,
            end_of_record,
        })?;
        order.offset = end;
        if let Some(status) = finish {
            order.is_over = true;
            order.is_finished = true;
            shared.ask(Work::Finish(status))?;
        }
        Ok(end)
    }

    /// Ends our direction.
    pub(crate) fn finish(&self, shared: &Shared, status: Status) -> Result<u64> {
        let mut order = lock(&self.order);
        self.check(&order, shared)?;
        order.is_over = true;
        order.is_finished = true;
        shared.ask(Work::Finish(status))?;
        Ok(order.offset)
    }

    /// Bytes taken so far.
    pub(crate) fn offset(&self) -> u64 {
        lock(&self.order).offset
    }

    fn check(&self, order: &Order, shared: &Shared) -> Result<()> {
        self.settle(Waker::noop());
        if let Some(failure) = &*lock(&self.failure) {
            return Err(failure.clone());
        }
        if order.is_over {
            return Err(RINGWAY_E_FINISHED.into());
        }
        match shared.stream().and_then(Stream::send_failure) {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Whether there is room; if not, an event comes when there is.
    fn reserve(&self, cost_bytes: u64) -> Result<()> {
        let queued = self.queued_bytes.load(Ordering::Relaxed);
        let sends = self.queued_sends.load(Ordering::Relaxed) as usize;
        // One that is larger than the bound goes alone.
        let is_full = queued > 0 && queued.saturating_add(cost_bytes) > self.queue_bytes_max;
        if is_full || sends >= QUEUE_SENDS_MAX {
            self.wants_room.store(true, Ordering::SeqCst);
            // The oldest may have been accepted just now: then the bell rings at once.
            self.settle_armed();
            if self.queued_sends.load(Ordering::Relaxed) == 0 {
                self.sends.ring();
            }
            return Err(RINGWAY_E_AGAIN.into());
        }
        self.queued_bytes.fetch_add(cost_bytes, Ordering::Relaxed);
        self.queued_sends.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Hands over to the shard, in the order of calls.
    pub(crate) fn start(&self, stream: &Stream, work: Work) {
        let stream = stream.clone();
        match work {
            Work::Send {
                payload,
                end_of_record,
            } => {
                // A file may be refused long after the call; memory only together with the
                // stream, which is watched anyway.
                let is_watched = matches!(payload, Payload::File(_));
                let cost_bytes = cost_of(&payload);
                let answer = async move {
                    match end_of_record {
                        true => stream.send_record(payload).await,
                        false => stream.send(payload).await,
                    }
                };
                self.keep(Box::pin(answer), cost_bytes, is_watched);
            }
            Work::Finish(status) => {
                let answer = async move { stream.finish(status).await.map(|()| 0) };
                self.queued_sends.fetch_add(1, Ordering::Relaxed);
                self.keep(Box::pin(answer), 0, false);
            }
            Work::Reset(status) => stream.reset(status),
            Work::Stop(status) => stream.stop(status),
            Work::Prioritize(priority) => stream.set_priority(priority),
        }
    }

    fn keep(
        &self,
        mut answer: Kept<std::result::Result<u64, Error>>,
        cost_bytes: u64,
        is_watched: bool,
    ) {
        let mut pending = lock(&self.pending);
        let polled = match is_watched {
            true => self.sends.poll(&mut answer),
            false => poll_quietly(&mut answer, Waker::noop()),
        };
        match polled {
            Poll::Pending => pending.push_back(Pending { answer, cost_bytes }),
            Poll::Ready(accepted) => self.on_accepted(cost_bytes, accepted),
        }
    }

    fn on_accepted(&self, cost_bytes: u64, accepted: std::result::Result<u64, Error>) {
        self.queued_bytes.fetch_sub(cost_bytes, Ordering::Relaxed);
        self.queued_sends.fetch_sub(1, Ordering::Relaxed);
        if let Err(error) = accepted {
            lock(&self.failure).get_or_insert(error.into());
            self.sends.ring();
        }
    }

    /// What the shard has not accepted yet of a finished direction. Dropping an answer takes back
    /// what it belongs to, which the finish behind it would not tell.
    pub(crate) fn take_unaccepted(&self) -> VecDeque<Pending> {
        if !lock(&self.order).is_finished {
            return VecDeque::new();
        }
        self.settle(Waker::noop());
        std::mem::take(&mut *lock(&self.pending))
    }

    /// Takes away what the shard has accepted. `waker` is told when the oldest of the rest is.
    fn settle(&self, waker: &Waker) {
        let mut pending = lock(&self.pending);
        while let Some(oldest) = pending.front_mut() {
            let Poll::Ready(accepted) = poll_quietly(&mut oldest.answer, waker) else {
                return;
            };
            let cost_bytes = oldest.cost_bytes;
            pending.pop_front();
            self.on_accepted(cost_bytes, accepted);
        }
    }

    fn settle_armed(&self) {
        let waker = Waker::from(Arc::clone(self.sends.bell()));
        self.settle(&waker);
    }

    /// Wants to be told when an offset is reached.
    pub(crate) fn watch(&self, goal: Goal, offset: u64, token: u64) -> Result<()> {
        let mut watches = lock(&self.watches);
        if watches.len() >= WATCHES_MAX {
            let (wanted, allowed) = (watches.len() as u64 + 1, WATCHES_MAX as u64);
            return Err(Failure::limit("offsets waited for", wanted, allowed));
        }
        watches.push(Watch {
            goal,
            offset,
            token,
        });
        self.watching.ring();
        Ok(())
    }

    pub(crate) fn tell_sends(&self, slot: &Slot, sink: &mut Sink<'_>) -> Told {
        if self.wants_room.load(Ordering::SeqCst) {
            self.settle_armed();
            let is_half_empty =
                self.queued_bytes.load(Ordering::Relaxed) <= self.queue_bytes_max / 2;
            let has_places =
                self.queued_sends.load(Ordering::Relaxed) as usize <= QUEUE_SENDS_MAX / 2;
            if is_half_empty && has_places && self.wants_room.swap(false, Ordering::SeqCst) {
                sink.push(about(slot, kind::RINGWAY_EVENT_STREAM_WRITABLE, None));
            }
        } else {
            self.settle(Waker::noop());
        }
        self.tell_failure(slot, sink)
    }

    fn tell_failure(&self, slot: &Slot, sink: &mut Sink<'_>) -> Told {
        let failure = lock(&self.failure).clone();
        let Some(failure) = failure else {
            return Told::All;
        };
        if !sink.has_room() {
            return Told::Part;
        }
        if !self.is_failure_told.swap(true, Ordering::SeqCst) {
            let kind = kind::RINGWAY_EVENT_STREAM_SEND_FAILED;
            sink.push(about(slot, kind, Some(failure)));
        }
        Told::All
    }

    pub(crate) fn tell_watches(&self, stream: &Stream, slot: &Slot, sink: &mut Sink<'_>) -> Told {
        // Also wakes when the direction fails for another reason than a send that was refused.
        if let Poll::Ready(Err(error)) = self.watching.poll_once(stream.finish_acked())
            && error != Error::AlreadyFinished
        {
            lock(&self.failure).get_or_insert(error.into());
        }
        let mut watches = lock(&self.watches);
        let mut at = 0;
        while at < watches.len() {
            if !sink.has_room() {
                return Told::Part;
            }
            let watch = watches[at];
            match self.poll_goal(stream, watch) {
                Poll::Pending => at += 1,
                Poll::Ready(reached) => {
                    watches.remove(at);
                    sink.push(watch_event(slot, watch, reached));
                }
            }
        }
        drop(watches);
        self.tell_failure(slot, sink)
    }

    fn poll_goal(&self, stream: &Stream, watch: Watch) -> Poll<std::result::Result<(), Error>> {
        match watch.goal {
            Goal::Acked => self.watching.poll_once(stream.acked(watch.offset)),
            Goal::Consumed => self.watching.poll_once(stream.consumed(watch.offset)),
            Goal::FinishAcked => self.watching.poll_once(stream.finish_acked()),
        }
    }
}

fn watch_event(
    slot: &Slot,
    watch: Watch,
    reached: std::result::Result<(), Error>,
) -> crate::event::ringway_event {
    let kind = match watch.goal {
        Goal::Acked => kind::RINGWAY_EVENT_STREAM_ACKED,
        Goal::Consumed => kind::RINGWAY_EVENT_STREAM_CONSUMED,
        Goal::FinishAcked => kind::RINGWAY_EVENT_STREAM_FINISH_ACKED,
    };
    let mut event = about(slot, kind, reached.err().map(Failure::from));
    event.offset = watch.offset;
    event.token = watch.token;
    event
}

/// Memory that a payload keeps; a file keeps none.
fn cost_of(payload: &Payload) -> u64 {
    match payload {
        Payload::File(_) => 0,
        memory => memory.len(),
    }
}

fn poll_quietly<T>(answer: &mut Kept<T>, waker: &Waker) -> Poll<T> {
    answer.as_mut().poll(&mut Context::from_waker(waker))
}
