//! What stands behind a handle.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::client::ClientSlot;
use crate::code::ringway_code::RINGWAY_E_HANDLE;
use crate::detail::Detail;
use crate::failure::{Failure, Result};
use crate::listener::ListenerSlot;
use crate::session::SessionSlot;
use crate::stream::StreamSlot;
use crate::transfer::TransferSlot;

/// One thing with a handle.
pub(crate) struct Slot {
    pub(crate) number: u64,
    user_data: AtomicU64,
    last_error: Mutex<Option<Detail>>,
    object: Object,
}

/// The kinds of things.
pub(crate) enum Object {
    Listener(ListenerSlot),
    Session(Box<SessionSlot>),
    Stream(StreamSlot),
    Client(ClientSlot),
    Transfer(TransferSlot),
}

macro_rules! accessors {
    ($($name:ident: $variant:ident($kind:ty),)*) => {
        $(
            /// Itself, if that is its kind.
            pub(crate) fn $name(&self) -> Result<&$kind> {
                match &self.object {
                    Object::$variant(it) => Ok(it),
                    _ => Err(RINGWAY_E_HANDLE.into()),
                }
            }
        )*
    };
}

impl Slot {
    pub(crate) fn new(number: u64, user_data: u64, object: Object) -> Self {
        Self {
            number,
            user_data: AtomicU64::new(user_data),
            last_error: Mutex::new(None),
            object,
        }
    }

    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    pub(crate) fn user_data(&self) -> u64 {
        self.user_data.load(Ordering::Relaxed)
    }

    pub(crate) fn set_user_data(&self, user_data: u64) {
        self.user_data.store(user_data, Ordering::Relaxed);
    }

    /// Keeps the detail of a failure for whoever asks, and hands the failure on.
    pub(crate) fn note(&self, failure: Failure) -> Failure {
        if let Failure::Detail(detail) = &failure {
            *lock(&self.last_error) = Some((**detail).clone());
        }
        failure
    }

    /// The detail of the last failure that had one.
    pub(crate) fn last_error(&self) -> Option<Detail> {
        lock(&self.last_error).clone()
    }

    /// Itself, if it is a session.
    pub(crate) fn session(&self) -> Result<&SessionSlot> {
        match &self.object {
            Object::Session(it) => Ok(it.as_ref()),
            _ => Err(RINGWAY_E_HANDLE.into()),
        }
    }

    accessors! {
        listener: Listener(ListenerSlot),
        stream: Stream(StreamSlot),
        client: Client(ClientSlot),
        transfer: Transfer(TransferSlot),
    }
}

/// Locks; a call that panicked must not take the handle's other calls with it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
