//! The application's own dialer: the engine asks, an event tells the application, and it answers
//! with a connected descriptor.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use ringway::Connector;

use crate::code::ringway_code::RINGWAY_E_STATE;
use crate::failure::Result;
use crate::ready::Ringer;
use crate::slot::lock;

/// errno(3) `ENOTCONN`: there is nobody to ask.
const ENOTCONN: i32 = 107;

#[derive(Default)]
struct State {
    /// Counts what the engine asked; an answer belongs to the newest.
    asked: u64,
    answer: Option<io::Result<OwnedFd>>,
    is_waiting: bool,
    /// Not told to the application yet.
    is_untold: bool,
    waker: Option<Waker>,
}

/// Where the question and the answer lie.
pub(crate) struct Desk {
    state: Mutex<State>,
    bell: Ringer,
    /// Whether there is an application that answers, or only the first descriptor.
    asks_application: bool,
}

impl Desk {
    /// With the descriptor of the first connection, if the application has one already.
    pub(crate) fn new(bell: Ringer, first: Option<OwnedFd>, asks_application: bool) -> Arc<Self> {
        let state = State {
            answer: first.map(Ok),
            ..State::default()
        };
        Arc::new(Self {
            state: Mutex::new(state),
            bell,
            asks_application,
        })
    }

    /// As the engine wants it.
    pub(crate) fn connector(self: &Arc<Self>) -> Connector {
        let desk = Arc::clone(self);
        Connector::new(move || Arc::clone(&desk).ask())
    }

    fn ask(self: Arc<Self>) -> impl Future<Output = io::Result<OwnedFd>> + Send {
        let number = self.begin();
        std::future::poll_fn(move |context| self.poll_answer(number, context.waker()))
    }

    fn begin(&self) -> u64 {
        let mut state = lock(&self.state);
        state.asked += 1;
        state.is_waiting = state.answer.is_none();
        state.is_untold = state.is_waiting && self.asks_application;
        let number = state.asked;
        let rings = state.is_untold;
        if state.is_waiting && !self.asks_application {
            state.answer = Some(Err(io::Error::from_raw_os_error(ENOTCONN)));
            state.is_waiting = false;
        }
        drop(state);
        if rings {
            self.bell.ring();
        }
        number
    }

    fn poll_answer(&self, number: u64, waker: &Waker) -> Poll<io::Result<OwnedFd>> {
        let mut state = lock(&self.state);
        if number != state.asked {
            // A newer question has replaced this one.
            return Poll::Ready(Err(io::Error::from_raw_os_error(ENOTCONN)));
        }
        match state.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                state.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }

    /// Whether the application is to be told of a question now.
    pub(crate) fn take_untold(&self) -> bool {
        std::mem::take(&mut lock(&self.state).is_untold)
    }

    /// The application's answer.
    ///
    /// # Errors
    /// `RINGWAY_E_STATE` when nothing was asked.
    pub(crate) fn answer(&self, answer: io::Result<OwnedFd>) -> Result<()> {
        let mut state = lock(&self.state);
        if !std::mem::take(&mut state.is_waiting) {
            return Err(RINGWAY_E_STATE.into());
        }
        state.is_untold = false;
        state.answer = Some(answer);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }
}
