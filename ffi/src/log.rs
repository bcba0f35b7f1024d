//! The engine's log, line by line, to a function of the application.
//!
//! One per process, because the log of a process is one: the first setting stays.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::callback::{Kind, Running};
use crate::code::ringway_code::RINGWAY_E_STATE;
use crate::failure::{Failure, Result};

/// How much is told.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ringway_log_level {
    /// What has failed.
    RINGWAY_LOG_ERROR = 1,
    /// What the operator may want to look at.
    RINGWAY_LOG_WARN = 2,
    /// What happens now and then.
    RINGWAY_LOG_INFO = 3,
    /// What helps to find a mistake.
    RINGWAY_LOG_DEBUG = 4,
    /// Everything.
    RINGWAY_LOG_TRACE = 5,
}

const LEVELS: [Level; 5] = [
    Level::ERROR,
    Level::WARN,
    Level::INFO,
    Level::DEBUG,
    Level::TRACE,
];

/// Where lines go: level, part of the engine, text.
pub(crate) type LineFn = Box<dyn Fn(u32, &str, &str) + Send + Sync>;

/// Sends the lines of `level` and graver ones to `line`.
///
/// # Errors
/// `RINGWAY_E_STATE` when the process has a log already; `RINGWAY_E_ARGUMENT` for a level that
/// does not exist.
pub(crate) fn set(level: u32, line: LineFn) -> Result<()> {
    let chosen = (level as usize)
        .checked_sub(1)
        .and_then(|index| LEVELS.get(index));
    let unknown = || Failure::argument(format!("log level {level} is not within 1 to 5"));
    let level = *chosen.ok_or_else(unknown)?;
    let lines = Lines {
        level,
        line,
        spans: AtomicU64::new(1),
    };
    tracing::subscriber::set_global_default(lines).map_err(|_| RINGWAY_E_STATE.into())
}

struct Lines {
    level: Level,
    line: LineFn,
    spans: AtomicU64,
}

/// The message first, then the fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= &self.level
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        let at = LEVELS.iter().position(|level| level == metadata.level());
        let level = at.map_or(1, |index| index as u32 + 1);
        let _running = Running::begin(Kind::Inner);
        (self.line)(level, metadata.target(), &(text.message + &text.fields));
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}
