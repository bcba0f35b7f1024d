//! Looks on while a test runs, interval by interval, and notices its end.

use std::time::{Duration, Instant};

use serde_json::json;

use super::latency::{Slice, us};
use super::test::Test;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;

/// How often signals, failures and the end are looked for.
const TICK: Duration = Duration::from_millis(5);

/// See the module.
pub(super) struct Watch<'a> {
    pub(super) test: &'a Test,
    /// 0 for one interval over all.
    pub(super) interval: Duration,
    pub(super) interrupt: &'a Interrupt,
    pub(super) output: &'a Output,
}

/// What happened within an interval.
#[derive(Clone, Debug)]
pub(super) struct Interval {
    pub(super) slice: Slice,
    /// Taken by the server's application.
    pub(super) bytes_up: u64,
    /// Taken by ours.
    pub(super) bytes_down: u64,
}

/// The intervals so far.
pub(super) struct Counting {
    begun: Instant,
    at: Instant,
    up: u64,
    down: u64,
    pub(super) intervals: Vec<Interval>,
}

impl Watch<'_> {
    /// Lets the load warm up.
    pub(super) fn omit(&self, time: Duration) -> Result<(), Failure> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.pause(begun + time)?;
        }
        Ok(())
    }

    fn pause(&self, until: Instant) -> Result<(), Failure> {
        let rest = until.saturating_duration_since(Instant::now());
        std::thread::sleep(rest.min(TICK));
        self.interrupt.check()?;
        self.test.check()
    }

    /// Counting begins.
    pub(super) fn begin(&self, begun: Instant) -> Counting {
        self.test.recorder.take();
        Counting {
            begun,
            at: begun,
            up: self.test.sent(),
            down: self.test.received(),
            intervals: Vec::new(),
        }
    }

    /// Counts for `time`, or until the load ends by itself; returns how long it was, s.
    pub(super) fn watch(
        &self,
        counting: &mut Counting,
        time: Option<Duration>,
    ) -> Result<f64, Failure> {
        let end = time.map(|time| counting.begun + time);
        loop {
            let finished = self.test.finished_at();
            let is_due = end.is_some_and(|end| Instant::now() >= end);
            if is_due || finished.is_some() {
                self.test.check()?;
                let at = finished.unwrap_or_else(Instant::now);
                self.count(counting, at);
                return Ok(at.saturating_duration_since(counting.begun).as_secs_f64());
            }
            let next = counting.at + self.interval;
            if !self.interval.is_zero() && Instant::now() >= next {
                self.count(counting, Instant::now());
            }
            let until = match (end, self.interval.is_zero()) {
                (Some(end), true) => end,
                (Some(end), false) => end.min(next),
                (None, _) => Instant::now() + TICK,
            };
            self.pause(until)?;
        }
    }

    fn count(&self, counting: &mut Counting, at: Instant) {
        let (up, down) = (self.test.sent(), self.test.received());
        let interval = Interval {
            slice: Slice {
                start: counting.at.saturating_duration_since(counting.begun),
                length: at.saturating_duration_since(counting.at),
                histogram: self.test.recorder.take(),
            },
            bytes_up: up.saturating_sub(counting.up),
            bytes_down: down.saturating_sub(counting.down),
        };
        (counting.at, counting.up, counting.down) = (at, up, down);
        self.tell(&interval);
        counting.intervals.push(interval);
    }

    fn tell(&self, interval: &Interval) {
        self.output.event("interval", interval.document());
        if self.interval.is_zero() {
            return;
        }
        let mut line = interval.span();
        if self.test.plan.mode.has_bulk() {
            line += &format!("  {:7.3} GB/s", interval.gb_per_s());
        }
        if self.test.plan.mode.has_latency() {
            let histogram = &interval.slice.histogram;
            let per_second = histogram.len() as f64 / interval.slice.length.as_secs_f64();
            line += &format!(
                "  {per_second:9.0} /s  p50 {:.1} µs  p99 {:.1} µs  max {:.1} µs",
                us(histogram.value_at_percentile(50.0)),
                us(histogram.value_at_percentile(99.0)),
                us(histogram.max())
            );
        }
        self.output.remark(&line);
    }
}

impl Interval {
    fn span(&self) -> String {
        let start = self.slice.start.as_secs_f64();
        format!(
            "{start:7.2} - {:7.2} s",
            start + self.slice.length.as_secs_f64()
        )
    }

    fn gb_per_s(&self) -> f64 {
        let gb = (self.bytes_up + self.bytes_down) as f64 / 1e9;
        gb / self.slice.length.as_secs_f64().max(1e-9)
    }

    /// As the result shows it.
    pub(super) fn document(&self) -> serde_json::Value {
        let histogram = &self.slice.histogram;
        let calls = (!histogram.is_empty()).then(|| {
            json!({
                "count": histogram.len(),
                "p50_us": us(histogram.value_at_percentile(50.0)),
                "p99_us": us(histogram.value_at_percentile(99.0)),
                "max_us": us(histogram.max()),
            })
        });
        json!({
            "start_s": self.slice.start.as_secs_f64(),
            "seconds": self.slice.length.as_secs_f64(),
            "bytes_up": self.bytes_up,
            "bytes_down": self.bytes_down,
            "gb_per_s": self.gb_per_s(),
            "latency": calls,
        })
    }
}
