//! Latencies: recorded by the tasks, taken interval by interval, exported as HdrHistogram's log.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use serde_json::{Value, json};

use super::limits::LATENCY_NS_MAX;

/// Three digits: 0.1 % of each value.
const DIGITS: u8 = 3;

/// The percentiles that every result shows.
const PERCENTILES: [f64; 16] = [
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 99.995, 99.999,
    100.0,
];

/// A histogram of ns.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS)
        .expect("1 is below the bound and 3 digits are allowed")
}

/// Where tasks record, and the client takes an interval's worth at a time.
#[derive(Debug)]
pub(super) struct Recorder(Mutex<Histogram<u64>>);

impl Default for Recorder {
    fn default() -> Self {
        Self(Mutex::new(histogram()))
    }
}

impl Recorder {
    pub(super) fn record(&self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let mut histogram = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        histogram.saturating_record(ns);
    }

    /// Everything since the last time.
    pub(super) fn take(&self) -> Histogram<u64> {
        let fresh = histogram();
        let mut histogram = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut histogram, fresh)
    }
}

/// The latencies of one interval.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    /// Since the measured part began.
    pub(super) start: Duration,
    pub(super) length: Duration,
    pub(super) histogram: Histogram<u64>,
}

/// All intervals as one.
pub(super) fn sum(slices: &[Slice]) -> Histogram<u64> {
    let mut all = histogram();
    for slice in slices {
        // Same bounds: nothing does not fit.
        let _ = all.add(&slice.histogram);
    }
    all
}

/// Count, mean and percentiles, µs.
pub(super) fn summary(histogram: &Histogram<u64>) -> Value {
    let percentiles = PERCENTILES.map(|percentile| {
        json!({
            "percentile": percentile,
            "us": us(histogram.value_at_percentile(percentile)),
        })
    });
    json!({
        "count": histogram.len(),
        "mean_us": histogram.mean() / 1e3,
        "stdev_us": histogram.stdev() / 1e3,
        "p50_us": us(histogram.value_at_percentile(50.0)),
        "p99_us": us(histogram.value_at_percentile(99.0)),
        "p999_us": us(histogram.value_at_percentile(99.9)),
        "max_us": us(histogram.max()),
        "percentiles": percentiles,
    })
}

/// ns as µs.
pub(super) fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

/// Interval by interval as HdrHistogram's log, V2 compressed: what its tools read and plot. Values
/// are ns; times are seconds since `begun`, when the measured part did.
///
/// # Errors
/// What the histogram's serialization says.
pub(super) fn log(slices: &[Slice], tag: &str, begun: SystemTime) -> io::Result<String> {
    let mut text = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment("ringway bench; values in ns, the column of maxima in us")
        .with_base_time(begun)
        .with_max_value_divisor(1e3)
        .begin_log_with(&mut text, &mut serializer)?;
    for slice in slices {
        writer
            .write_histogram(&slice.histogram, slice.start, slice.length, Tag::new(tag))
            .map_err(|error| io::Error::other(error.to_string()))?;
    }
    String::from_utf8(text).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    /// An independent reader gets the same values back.
    #[test]
    fn the_log_is_read_back_by_histogram_tools() {
        let recorder = Recorder::default();
        for us in 1..=1000 {
            recorder.record(Duration::from_micros(us));
        }
        let slice = |start, histogram| Slice {
            start: Duration::from_secs(start),
            length: Duration::from_secs(1),
            histogram,
        };
        let slices = [slice(0, recorder.take()), slice(1, recorder.take())];
        let text = log(&slices, "call", SystemTime::now()).expect("written");
        assert!(
            text.lines()
                .any(|line| line.starts_with("Tag=call,0.000,1.000,")),
            "{text}"
        );
        let entries = IntervalLogIterator::new(text.as_bytes());
        let encoded = entries.filter_map(|entry| match entry.expect("readable") {
            LogEntry::Interval(interval) => Some(interval.encoded_histogram().to_owned()),
            _ => None,
        });
        let counts: Vec<_> = encoded.map(|encoded| decode(&encoded).len()).collect();
        assert_eq!(counts, [1000, 0]);
        assert_eq!(sum(&slices).len(), 1000);
    }

    fn decode(encoded: &str) -> Histogram<u64> {
        let mut bytes = Vec::new();
        let (mut bits, mut count) = (0_u32, 0);
        for each in encoded.bytes().filter(|each| *each != b'=') {
            let value = match each {
                b'A'..=b'Z' => each - b'A',
                b'a'..=b'z' => each - b'a' + 26,
                b'0'..=b'9' => each - b'0' + 52,
                b'+' => 62,
                _ => 63,
            };
            bits = bits << 6 | u32::from(value);
            count += 6;
            if count >= 8 {
                count -= 8;
                bytes.push((bits >> count & 0xff) as u8);
            }
        }
        Deserializer::new()
            .deserialize(&mut &bytes[..])
            .expect("a histogram")
    }

    #[test]
    fn percentiles_are_in_the_summary() {
        let mut histogram = histogram();
        for us in 1..=1000_u64 {
            histogram.record(us * 1000).expect("in bounds");
        }
        let summary = summary(&histogram);
        assert_eq!(summary["count"], 1000);
        let p50 = summary["p50_us"].as_f64().expect("a number");
        assert!((499.0..=501.0).contains(&p50), "{p50}");
        assert!(summary["max_us"].as_f64() >= Some(1000.0));
    }
}
