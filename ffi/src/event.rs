//! What the loop tells the application.

use std::mem::MaybeUninit;

/// Kinds of events. New ones may come: ignore those you do not know.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ringway_event_kind {
    /// Never sent.
    RINGWAY_EVENT_NONE = 0,
    /// A listener (`handle`) has a new session (`related`), connected.
    RINGWAY_EVENT_SESSION_ACCEPTED = 1,
    /// A listener takes no more sessions; `code` says why.
    RINGWAY_EVENT_LISTENER_CLOSED = 2,
    /// `ringway_connect` is done: `code` is 0, or why there is no session.
    RINGWAY_EVENT_SESSION_CONNECTED = 3,
    /// A session has lost its connection; it is kept for the resume window. `length` counts the
    /// attempts to connect again.
    RINGWAY_EVENT_SESSION_DISCONNECTED = 4,
    /// A session has another connection and goes on; `offset` counts its connections.
    RINGWAY_EVENT_SESSION_RESUMED = 5,
    /// A session is over, for good; `code` says why.
    RINGWAY_EVENT_SESSION_ENDED = 6,
    /// `ringway_session_drain` is done.
    RINGWAY_EVENT_SESSION_DRAINED = 7,
    /// A session that was told to use the application's dialer needs a connected descriptor:
    /// answer with `ringway_session_dialled`.
    RINGWAY_EVENT_DIAL = 8,
    /// A session (`handle`) has a new stream (`related`) that the peer opened.
    RINGWAY_EVENT_STREAM_ACCEPTED = 16,
    /// A stream of ours could not be opened; `code` says why. (That it could is not told: use it
    /// at once.)
    RINGWAY_EVENT_STREAM_FAILED = 17,
    /// After `RINGWAY_E_AGAIN` from a receive: bytes, or their end, are there.
    RINGWAY_EVENT_STREAM_READABLE = 18,
    /// After `RINGWAY_E_AGAIN` from a send: there is room.
    RINGWAY_EVENT_STREAM_WRITABLE = 19,
    /// Our direction takes nothing more; `code` says why (the peer stopped it, a source failed).
    RINGWAY_EVENT_STREAM_SEND_FAILED = 20,
    /// The peer's engine has copied everything before `offset` (`ringway_stream_notify`); `code`
    /// is not 0 when it never will.
    RINGWAY_EVENT_STREAM_ACKED = 21,
    /// The peer's application has taken everything before `offset`.
    RINGWAY_EVENT_STREAM_CONSUMED = 22,
    /// The peer's engine knows that our direction is finished, and has everything.
    RINGWAY_EVENT_STREAM_FINISH_ACKED = 23,
    /// A receive into a file has ended; `length` bytes were written, `code` is 0 or why not all.
    RINGWAY_EVENT_STREAM_FILE_RECEIVED = 24,
    /// A put or get goes on: `offset` bytes of `length` are at their destination.
    RINGWAY_EVENT_TRANSFER_PROGRESS = 32,
    /// A put, get or list is done; `code` says how. `length` is the bytes, or the entries.
    RINGWAY_EVENT_TRANSFER_DONE = 33,
    /// The loop was not polled for `length` ns, more than two heartbeats: peers may have taken
    /// this side for dead. Their sessions resume by themselves.
    RINGWAY_EVENT_LOOP_LATE = 48,
    /// The engine was stopped.
    RINGWAY_EVENT_ENGINE_STOPPED = 49,
}

/// One event, 64 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ringway_event {
    /// A `ringway_event_kind`.
    pub kind: u32,
    /// 0, or a negative `ringway_code`; `ringway_last_error` of the handle has the detail.
    pub code: i32,
    /// What it is about; 0 for the engine.
    pub handle: u64,
    /// The user data of that handle.
    pub user_data: u64,
    /// The new handle, where one comes with the event.
    pub related: u64,
    /// What the caller of the operation gave as its token.
    pub token: u64,
    /// As the kind says.
    pub offset: u64,
    /// As the kind says.
    pub length: u64,
    /// 0.
    pub reserved: u64,
}

use ringway_event_kind as kind;

impl ringway_event {
    pub(crate) fn new(kind: ringway_event_kind) -> Self {
        Self {
            kind: kind as u32,
            code: 0,
            handle: 0,
            user_data: 0,
            related: 0,
            token: 0,
            offset: 0,
            length: 0,
            reserved: 0,
        }
    }

    pub(crate) fn none() -> Self {
        Self::new(kind::RINGWAY_EVENT_NONE)
    }
}

/// The caller's array, being filled.
pub(crate) struct Sink<'a> {
    places: &'a mut [MaybeUninit<ringway_event>],
    count: usize,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(places: &'a mut [MaybeUninit<ringway_event>]) -> Self {
        Self { places, count: 0 }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.count < self.places.len()
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Adds an event. Only where there is room: asked before, so that nothing is lost.
    pub(crate) fn push(&mut self, event: ringway_event) {
        debug_assert!(self.has_room(), "an event without a place");
        if let Some(place) = self.places.get_mut(self.count) {
            place.write(event);
            self.count += 1;
        }
    }
}
