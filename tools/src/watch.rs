//! Watches a transfer and shows how it goes: a bar, lines on stderr, events.
//!
//! The engine's shard calls the observer and must not wait, so the observer only counts and
//! queues; a thread of its own draws and prints.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use ringway_files::{FilesError, Observer, SkipReason};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Output;
use crate::progress::{EVENT_INTERVAL, Progress};

/// Something that the observer saw.
#[derive(Clone, Debug, PartialEq)]
struct News {
    /// Name of the event in JSON.
    event: &'static str,
    fields: Value,
    /// What people are told.
    remark: Option<String>,
}

#[derive(Debug, Default)]
struct Counters {
    bytes: AtomicU64,
    bytes_planned: AtomicU64,
    is_over: AtomicBool,
}

/// The observer of one run.
#[derive(Debug)]
struct Watcher {
    counters: Arc<Counters>,
    news: Sender<News>,
}

/// Runs `work` with an observer whose reports are shown as `what` meanwhile.
pub(crate) fn watched<T>(
    output: &Output,
    what: &str,
    work: impl FnOnce(Arc<dyn Observer>) -> T,
) -> T {
    let (news, received) = mpsc::channel();
    let counters = Arc::new(Counters::default());
    let watcher = Watcher {
        counters: Arc::clone(&counters),
        news,
    };
    thread::scope(|scope| {
        let shown = Arc::clone(&counters);
        let thread = scope.spawn(move || show(output, what, &shown, &received));
        let done = work(Arc::new(watcher));
        // Not by the observer's end: tasks of the engine may hold it for longer than the run.
        counters.is_over.store(true, Ordering::Release);
        thread.thread().unpark();
        done
    })
}

fn show(output: &Output, what: &str, counters: &Counters, news: &Receiver<News>) {
    let progress = Progress::bytes(output, None, what);
    let mut told = 0;
    loop {
        let is_over = counters.is_over.load(Ordering::Acquire);
        for each in news.try_iter() {
            output.event(each.event, each.fields);
            if let Some(remark) = each.remark {
                remark_on(output, &progress, &remark);
            }
        }
        let bytes = counters.bytes.load(Ordering::Relaxed);
        let planned = counters.bytes_planned.load(Ordering::Relaxed);
        progress.set_total(planned);
        progress.set(bytes);
        if bytes != told {
            told = bytes;
            output.event(
                "progress",
                json!({ "bytes": bytes, "bytes_total": planned }),
            );
        }
        if is_over {
            return progress.clear();
        }
        thread::park_timeout(EVENT_INTERVAL);
    }
}

/// Tells people on stderr, above the bar if there is one.
fn remark_on(output: &Output, progress: &Progress, text: &str) {
    if output.may_draw() {
        progress.suspend(|| eprintln!("ringway: {text}"));
    }
}

impl Watcher {
    fn tell(&self, event: &'static str, fields: Value, remark: Option<String>) {
        // Nobody listens any more once the command is over.
        let _ = self.news.send(News {
            event,
            fields,
            remark,
        });
    }
}

impl Observer for Watcher {
    fn planned(&self, files: u64, bytes: u64) {
        self.counters.bytes_planned.store(bytes, Ordering::Relaxed);
        self.tell("planned", json!({ "files": files, "bytes": bytes }), None);
    }

    fn started(&self, path: &Path, bytes: u64) {
        let fields = json!({ "path": path.to_string_lossy(), "bytes": bytes });
        self.tell("file_started", fields, None);
    }

    fn resumed_from(&self, path: &Path, offset: u64) {
        self.counters.bytes.fetch_add(offset, Ordering::Relaxed);
        let path = path.to_string_lossy();
        let remark = (offset > 0).then(|| format!("{path}: goes on from byte {offset}"));
        self.tell(
            "file_resumed",
            json!({ "path": path, "offset": offset }),
            remark,
        );
    }

    fn progress(&self, bytes: u64) {
        self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn finished(&self, path: &Path) {
        self.tell(
            "file_finished",
            json!({ "path": path.to_string_lossy() }),
            None,
        );
    }

    fn skipped(&self, path: &Path, reason: SkipReason) {
        let (path, reason) = (path.to_string_lossy(), reason.name());
        let remark = Some(format!("{path}: skipped ({reason})"));
        self.tell(
            "file_skipped",
            json!({ "path": path, "reason": reason }),
            remark,
        );
    }

    fn failed(&self, path: &Path, error: &FilesError) {
        let failure = Failure::from(error.clone());
        let path = path.to_string_lossy();
        let mut fields = failure.document();
        fields["path"] = json!(path);
        let remark = Some(format!("{path}: {}", failure.message));
        self.tell("file_failed", fields, remark);
    }

    fn reconnecting(&self, cause: &str, within: Duration) {
        let seconds = within.as_secs_f64();
        let remark = Some(format!(
            "the session ended ({cause}); trying again for {seconds:.0} s"
        ));
        let fields = json!({ "cause": cause, "within_seconds": seconds });
        self.tell("reconnecting", fields, remark);
    }

    fn reconnected(&self) {
        self.tell(
            "reconnected",
            json!({}),
            Some("reconnected, going on".into()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_counted_and_told() {
        let (news, received) = mpsc::channel();
        let counters = Arc::new(Counters::default());
        let watcher = Watcher {
            counters: Arc::clone(&counters),
            news,
        };
        watcher.planned(1, 100);
        watcher.resumed_from(Path::new("a"), 40);
        watcher.progress(60);
        watcher.skipped(Path::new("fifo"), SkipReason::Special);
        assert_eq!(counters.bytes.load(Ordering::Relaxed), 100);
        let events: Vec<_> = received.try_iter().map(|each| each.event).collect();
        assert_eq!(events, ["planned", "file_resumed", "file_skipped"]);
    }

    #[test]
    fn the_thread_that_shows_ends_though_somebody_keeps_the_observer() {
        let output = Output::guessed(&[]);
        let kept = watched(&output, "test", |observer| {
            observer.progress(1);
            observer
        });
        kept.progress(1);
    }
}
