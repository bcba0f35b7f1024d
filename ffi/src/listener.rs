//! A listener behind a handle.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use ringway::{AuthenticationMode, Keys, ListenOptions, Listener, Session};

use crate::code::ringway_code::RINGWAY_E_STATE;
use crate::event::{Sink, ringway_event, ringway_event_kind as kind};
use crate::events::Told;
use crate::failure::Result;
use crate::handle::Kind;
use crate::instance::Instance;
use crate::ready::{Purpose, Ringer};
use crate::session::SessionSlot;
use crate::slot::{Object, Slot};

/// See the module.
pub(crate) struct ListenerSlot {
    pub(crate) listener: Listener,
    has_keys: bool,
    accept: Ringer,
    has_ended: AtomicBool,
}

impl Instance {
    /// Listens; answers with the handle.
    pub(crate) fn listen(
        &self,
        target: &str,
        options: ListenOptions,
        user_data: u64,
    ) -> Result<u64> {
        let has_keys = matches!(options.authentication, AuthenticationMode::Keyed(_));
        let listener = self.run_now(self.engine.listen(target, options))??;
        let slot = self.table.insert(Kind::Listener, user_data, |number| {
            let accept = Ringer::new(&self.ready, number, Purpose::Accept);
            accept.ring();
            Object::Listener(ListenerSlot {
                listener,
                has_keys,
                accept,
                has_ended: AtomicBool::new(false),
            })
        })?;
        Ok(slot.number)
    }

    /// Gives a connection that was accepted elsewhere to a listener.
    pub(crate) fn adopt_connection(&self, listener: &ListenerSlot, socket: OwnedFd) -> Result<()> {
        Ok(self.run_now(listener.listener.adopt(socket))??)
    }
}

impl ListenerSlot {
    /// # Errors
    /// `RINGWAY_E_STATE`: it does without keys, which stays so.
    pub(crate) fn replace_keys(&self, keys: Keys) -> Result<()> {
        match self.has_keys {
            true => {
                self.listener.replace_keys(keys);
                Ok(())
            }
            false => Err(RINGWAY_E_STATE.into()),
        }
    }

    pub(crate) fn tell(&self, instance: &Arc<Instance>, slot: &Slot, sink: &mut Sink<'_>) -> Told {
        while sink.has_room() {
            if !instance.table.has_room() {
                return Told::Starved;
            }
            match self.accept.poll_once(self.listener.accept()) {
                Poll::Pending => return Told::All,
                Poll::Ready(Ok(session)) => tell_session(instance, slot, session, sink),
                Poll::Ready(Err(error)) => {
                    if !self.has_ended.swap(true, Ordering::AcqRel) {
                        let failure = slot.note(error.into());
                        let mut event = ringway_event::new(kind::RINGWAY_EVENT_LISTENER_CLOSED);
                        event.code = failure.code().number();
                        event.handle = slot.number;
                        event.user_data = slot.user_data();
                        sink.push(event);
                    }
                    return Told::All;
                }
            }
        }
        Told::Part
    }
}

fn tell_session(instance: &Arc<Instance>, slot: &Slot, session: Session, sink: &mut Sink<'_>) {
    let made = instance
        .table
        .insert(Kind::Session, slot.user_data(), |number| {
            let accepted = SessionSlot::accepted(&instance.ready, number, session);
            Object::Session(Box::new(accepted))
        });
    // The table had room a moment ago; if another thread took it, the session is let go of, which
    // tells its peer.
    if let Ok(made) = made {
        let mut event = ringway_event::new(kind::RINGWAY_EVENT_SESSION_ACCEPTED);
        event.handle = slot.number;
        event.user_data = slot.user_data();
        event.related = made.number;
        sink.push(event);
    }
}
