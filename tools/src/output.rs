//! What goes to stdout: text for people, one document, or lines of JSON.
//!
//! Exactly one final document is printed, whether the command succeeded or failed. A reader that
//! has gone (`ringway list … | head`) is no error: writes to it are dropped.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::Global;
use crate::failure::Failure;

/// For whom stdout is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// People.
    Text,
    /// Programs that want the outcome.
    Json,
    /// Programs that want to follow.
    JsonStream,
}

/// Stdout of this process.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    quiet: bool,
    finished: AtomicBool,
}

impl Output {
    /// As the command line asks.
    pub(crate) fn new(global: &Global) -> Self {
        let format = match (global.json, global.json_stream) {
            (true, _) => Format::Json,
            (_, true) => Format::JsonStream,
            _ => Format::Text,
        };
        Self {
            format,
            quiet: global.quiet,
            finished: AtomicBool::new(false),
        }
    }

    /// As far as can be told from arguments that could not be parsed.
    pub(crate) fn guessed(arguments: &[std::ffi::OsString]) -> Self {
        let given = |name| arguments.iter().any(|each| each == name);
        let format = match (given("--json"), given("--json-stream")) {
            (true, _) => Format::Json,
            (_, true) => Format::JsonStream,
            _ => Format::Text,
        };
        Self {
            format,
            quiet: false,
            finished: AtomicBool::new(false),
        }
    }

    /// Whether people read it.
    pub(crate) fn is_text(&self) -> bool {
        self.format == Format::Text
    }

    /// Whether programs follow the events.
    pub(crate) fn is_stream(&self) -> bool {
        self.format == Format::JsonStream
    }

    /// Whether progress may be drawn, if stderr is a terminal.
    pub(crate) fn may_draw(&self) -> bool {
        self.is_text() && !self.quiet
    }

    /// Something that happened, for `--json-stream` only. `fields` is an object.
    pub(crate) fn event(&self, name: &str, fields: Value) {
        if self.format == Format::JsonStream {
            print_line(&named(name, fields).to_string());
        }
    }

    /// A line for people.
    pub(crate) fn line(&self, text: &str) {
        if self.is_text() {
            print_line(text);
        }
    }

    /// A line for people who did not ask for quiet.
    pub(crate) fn remark(&self, text: &str) {
        if !self.quiet {
            self.line(text);
        }
    }

    /// The outcome: the document for programs. People have been told by lines.
    pub(crate) fn finish(&self, document: &impl Serialize) {
        if self.finished.swap(true, Ordering::Relaxed) || self.is_text() {
            return;
        }
        let document = serde_json::to_value(document).unwrap_or(Value::Null);
        match self.format {
            Format::Json => print_line(&format!("{document:#}")),
            _ => print_line(&document.to_string()),
        }
    }

    /// The outcome when it is a failure: one line on stderr; for programs the document besides.
    /// After a final document (which says itself what failed) only the line.
    pub(crate) fn fail(&self, failure: &Failure) {
        let _ = writeln!(std::io::stderr(), "ringway: {}", failure.message);
        self.finish(&failure.document());
    }
}

fn named(name: &str, fields: Value) -> Value {
    let mut event = json!({ "event": name });
    if let (Some(event), Value::Object(fields)) = (event.as_object_mut(), fields) {
        event.extend(fields);
    }
    event
}

fn print_line(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_object_with_its_name() {
        let event = named("progress", json!({ "bytes": 7 }));
        assert_eq!(event, json!({ "event": "progress", "bytes": 7 }));
    }

    #[test]
    fn the_format_is_found_even_where_the_command_line_is_wrong() {
        let arguments = ["ringway", "put", "--json"].map(std::ffi::OsString::from);
        assert_eq!(Output::guessed(&arguments).format, Format::Json);
        assert_eq!(Output::guessed(&arguments[..2]).format, Format::Text);
    }
}
