//! A session behind a handle.

use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};

use ringway::{
    ConnectError, ConnectOptions, Error, Session, SessionState, Status, Stream, StreamRemains,
    Target,
};

use crate::code::ringway_code::{RINGWAY_E_AGAIN, RINGWAY_E_STATE, RINGWAY_OK};
use crate::connect::Desk;
use crate::event::{Sink, ringway_event, ringway_event_kind as kind};
use crate::events::Told;
use crate::failure::{Failure, Result, of_close};
use crate::handle::Kind;
use crate::instance::Instance;
use crate::ready::{Kept, Purpose, Ready, Ringer};
use crate::settings::Dialling;
use crate::slot::{Object, Slot, lock};
use crate::stream::StreamSlot;

/// See the module.
pub(crate) struct SessionSlot {
    session: OnceLock<Session>,
    connecting: Mutex<Option<Kept<std::result::Result<Session, ConnectError>>>>,
    seen: Mutex<SessionState>,
    drain: Mutex<Option<Kept<std::result::Result<(), Error>>>>,
    remains: OnceLock<Vec<StreamRemains>>,
    pub(crate) desk: Option<Arc<Desk>>,
    outcome: Ringer,
    state: Ringer,
    accept: Ringer,
    drained: Ringer,
}

impl Instance {
    /// Begins to connect; answers with the handle.
    pub(crate) fn connect(
        &self,
        target: &str,
        options: ConnectOptions,
        dialling: Dialling,
        user_data: u64,
    ) -> Result<u64> {
        self.check_running()?;
        self.check_route(target, options.shard)?;
        let (engine, target) = (self.engine.clone(), target.to_owned());
        let slot = self.table.insert(Kind::Session, user_data, |number| {
            let mut options = options;
            let bell = Ringer::new(&self.ready, number, Purpose::Dial);
            let desk = dialling
                .has_desk()
                .then(|| Desk::new(bell, dialling.descriptor, dialling.asks_application));
            options.connector = desk.as_ref().map(Desk::connector);
            let mut slot = SessionSlot::new(&self.ready, number);
            slot.desk = desk;
            let connecting = async move { engine.connect(&target, options).await };
            slot.connecting = Mutex::new(Some(slot.outcome.begin(connecting)));
            Object::Session(Box::new(slot))
        })?;
        Ok(slot.number)
    }

    /// What cannot be so is refused at once, not told later.
    pub(crate) fn check_route(&self, target: &str, shard: Option<usize>) -> Result<()> {
        if let Err(error) = target.parse::<Target>() {
            return Err(ConnectError::from(error).into());
        }
        let last = self.engine.shards() as u64;
        match shard {
            Some(index) if index as u64 >= last => {
                Err(Failure::limit("shard_number", index as u64 + 1, last))
            }
            _ => Ok(()),
        }
    }
}

impl SessionSlot {
    fn new(ready: &Arc<Ready>, number: u64) -> Self {
        let ringer = |purpose| Ringer::new(ready, number, purpose);
        Self {
            session: OnceLock::new(),
            connecting: Mutex::new(None),
            seen: Mutex::new(SessionState::Disconnected { attempts: 0 }),
            drain: Mutex::new(None),
            remains: OnceLock::new(),
            desk: None,
            outcome: ringer(Purpose::Outcome),
            state: ringer(Purpose::State),
            accept: ringer(Purpose::Accept),
            drained: ringer(Purpose::Drain),
        }
    }

    /// One that a listener has.
    pub(crate) fn accepted(ready: &Arc<Ready>, number: u64, session: Session) -> Self {
        let slot = Self::new(ready, number);
        slot.take_up(session);
        slot
    }

    fn take_up(&self, session: Session) {
        *lock(&self.seen) = SessionState::Connected {
            epoch: ringway::Epoch(1),
        };
        if self.session.set(session).is_ok() {
            self.state.ring();
            self.accept.ring();
        }
    }

    /// The session, once it is connected.
    ///
    /// # Errors
    /// `RINGWAY_E_STATE` before that.
    pub(crate) fn session(&self) -> Result<&Session> {
        self.session.get().ok_or_else(|| RINGWAY_E_STATE.into())
    }

    /// What it had not delivered when it ended.
    ///
    /// # Errors
    /// `RINGWAY_E_STATE` before it is connected, `RINGWAY_E_AGAIN` before its end.
    pub(crate) fn remains(&self) -> Result<&[StreamRemains]> {
        let session = self.session()?;
        if !matches!(session.state(), SessionState::Ended(_)) {
            return Err(RINGWAY_E_AGAIN.into());
        }
        // The first to ask gets them from the engine, and keeps them for the others.
        let taken = self.remains.get_or_init(|| {
            let mut context = Context::from_waker(Waker::noop());
            match std::pin::pin!(session.ended_with()).poll(&mut context) {
                Poll::Ready(end) => end.streams,
                Poll::Pending => Vec::new(),
            }
        });
        Ok(taken)
    }

    /// Gives up an attempt to connect that is under way.
    pub(crate) fn give_up(&self) {
        *lock(&self.connecting) = None;
    }

    fn poll_connect(&self) -> Option<std::result::Result<(), Failure>> {
        let mut connecting = lock(&self.connecting);
        let Poll::Ready(connected) = self.outcome.poll(connecting.as_mut()?) else {
            return None;
        };
        *connecting = None;
        Some(
            connected
                .map(|session| self.take_up(session))
                .map_err(Failure::from),
        )
    }

    /// Refuses new streams, lets accepted ones end, then closes.
    pub(crate) fn begin_drain(&self) -> Result<()> {
        let session = self.session()?.clone();
        let mut drain = lock(&self.drain);
        if drain.is_none() {
            *drain = Some(self.drained.begin(async move { session.drain().await }));
        }
        Ok(())
    }

    fn poll_drain(&self) -> Option<std::result::Result<(), Error>> {
        let mut drain = lock(&self.drain);
        let Poll::Ready(drained) = self.drained.poll(drain.as_mut()?) else {
            return None;
        };
        *drain = None;
        Some(drained)
    }

    pub(crate) fn close(&self, status: Status) {
        self.give_up();
        if let Some(session) = self.session.get() {
            session.close(status);
        }
    }

    pub(crate) fn tell(
        &self,
        instance: &Arc<Instance>,
        slot: &Slot,
        purpose: Purpose,
        sink: &mut Sink<'_>,
    ) -> Told {
        match purpose {
            Purpose::Outcome => {
                if let Some(outcome) = self.poll_connect() {
                    let event = about(slot, kind::RINGWAY_EVENT_SESSION_CONNECTED, outcome.err());
                    sink.push(event);
                }
                Told::All
            }
            Purpose::Drain => {
                if let Some(drained) = self.poll_drain() {
                    let failure = drained.err().map(Failure::from);
                    sink.push(about(slot, kind::RINGWAY_EVENT_SESSION_DRAINED, failure));
                }
                Told::All
            }
            Purpose::Dial => {
                if self.desk.as_ref().is_some_and(|desk| desk.take_untold()) {
                    sink.push(about(slot, kind::RINGWAY_EVENT_DIAL, None));
                }
                Told::All
            }
            Purpose::State => self.tell_state(slot, sink),
            Purpose::Accept => self.tell_streams(instance, slot, sink),
            _ => Told::All,
        }
    }

    fn tell_state(&self, slot: &Slot, sink: &mut Sink<'_>) -> Told {
        let Some(session) = self.session.get() else {
            return Told::All;
        };
        let mut seen = lock(&self.seen);
        while sink.has_room() {
            if matches!(*seen, SessionState::Ended(_)) {
                return Told::All;
            }
            let Poll::Ready(state) = self.state.poll_once(session.state_changed(&seen)) else {
                return Told::All;
            };
            sink.push(state_event(slot, &state));
            *seen = state;
        }
        Told::Part
    }

    fn tell_streams(&self, instance: &Arc<Instance>, slot: &Slot, sink: &mut Sink<'_>) -> Told {
        let Some(session) = self.session.get() else {
            return Told::All;
        };
        while sink.has_room() {
            if !instance.table.has_room() {
                return Told::Starved;
            }
            match self.accept.poll_once(session.accept()) {
                Poll::Pending => return Told::All,
                Poll::Ready(Ok(stream)) => tell_stream(instance, slot, stream, sink),
                // The end is told as the session's state.
                Poll::Ready(Err(_)) => return Told::All,
            }
        }
        Told::Part
    }
}

fn tell_stream(instance: &Arc<Instance>, slot: &Slot, stream: Stream, sink: &mut Sink<'_>) {
    let made = instance
        .table
        .insert(Kind::Stream, slot.user_data(), |number| {
            Object::Stream(StreamSlot::accepted(instance, number, slot.number, stream))
        });
    // As for a session that a listener has: without a handle it is reset, which tells its peer.
    if let Ok(made) = made {
        let mut event = about(slot, kind::RINGWAY_EVENT_STREAM_ACCEPTED, None);
        event.related = made.number;
        sink.push(event);
    }
}

/// An event of a handle, with the code of what failed, whose detail is kept there.
pub(crate) fn about(
    slot: &Slot,
    kind: crate::event::ringway_event_kind,
    failure: Option<Failure>,
) -> ringway_event {
    let mut event = ringway_event::new(kind);
    event.handle = slot.number;
    event.user_data = slot.user_data();
    let code = failure.map_or(RINGWAY_OK, |failure| slot.note(failure).code());
    event.code = code.number();
    event
}

fn state_event(slot: &Slot, state: &SessionState) -> ringway_event {
    match state {
        SessionState::Connected { epoch } => {
            let mut event = about(slot, kind::RINGWAY_EVENT_SESSION_RESUMED, None);
            event.offset = epoch.0;
            event
        }
        SessionState::Disconnected { attempts } => {
            let mut event = about(slot, kind::RINGWAY_EVENT_SESSION_DISCONNECTED, None);
            event.length = u64::from(*attempts);
            event
        }
        SessionState::Ended(reason) => {
            let failure = Failure::from(of_close(reason));
            about(slot, kind::RINGWAY_EVENT_SESSION_ENDED, Some(failure))
        }
    }
}
