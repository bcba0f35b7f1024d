//! A progress bar on stderr, if stderr is a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

/// How far something is. Draws nothing unless people watch.
#[derive(Clone, Debug)]
pub(crate) struct Progress(ProgressBar);

/// Often enough to look alive, too seldom to cost.
const REDRAWS_PER_SECOND: u8 = 10;

impl Progress {
    /// Of a number of bytes, known or not yet.
    pub(crate) fn bytes(output: &Output, total: Option<u64>, what: &str) -> Self {
        let bar = ProgressBar::with_draw_target(total, target(output));
        bar.set_style(style());
        bar.set_message(what.to_owned());
        Self(bar)
    }

    /// Moves it.
    pub(crate) fn set(&self, bytes: u64) {
        self.0.set_position(bytes);
    }

    /// The total, once it is known.
    pub(crate) fn set_total(&self, bytes: u64) {
        self.0.set_length(bytes);
    }

    /// What is being worked on.
    pub(crate) fn set_message(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    /// Prints something without the bar in between.
    pub(crate) fn suspend(&self, print: impl FnOnce()) {
        self.0.suspend(print);
    }

    /// Wipes it away.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

fn target(output: &Output) -> ProgressDrawTarget {
    if output.may_draw() && std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND)
    } else {
        ProgressDrawTarget::hidden()
    }
}

fn style() -> ProgressStyle {
    let template = "{msg:24} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}";
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// How often progress is told as an event of `--json-stream`.
pub(crate) const EVENT_INTERVAL: Duration = Duration::from_millis(200);
