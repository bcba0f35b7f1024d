//! Which callback of C's runs on this thread, so that calls from inside of it are refused where
//! they could not work.

use std::cell::Cell;

thread_local! {
    /// A callback that the engine's own work depends on: a release, a line of the log.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// `ringway_loop_dispatch` is handing out events.
    static DISPATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Locks may be held around it: nothing of the library may be called.
    Inner,
    /// All may be called but what polls or ends the loop.
    Dispatch,
}

/// As long as it lives, the callback runs.
pub(crate) struct Running(Kind, bool);

impl Running {
    pub(crate) fn begin(kind: Kind) -> Self {
        Self(kind, flag(kind, true))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        flag(self.0, self.1);
    }
}

fn flag(kind: Kind, value: bool) -> bool {
    // A thread that ends has no flags any more, and calls nothing.
    let set = |cell: &Cell<bool>| cell.replace(value);
    match kind {
        Kind::Inner => INSIDE.try_with(set).unwrap_or(false),
        Kind::Dispatch => DISPATCHING.try_with(set).unwrap_or(false),
    }
}

/// Whether such a callback runs on this thread.
pub(crate) fn is_inside(kind: Kind) -> bool {
    match kind {
        Kind::Inner => INSIDE.try_with(Cell::get).unwrap_or(false),
        Kind::Dispatch => DISPATCHING.try_with(Cell::get).unwrap_or(false),
    }
}
