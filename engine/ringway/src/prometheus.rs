//! Statistics as text that Prometheus scrapes (its text exposition format, version 0.0.4).
//!
//! Names are built by rule from the one list beside the numbers: `ringway_` in front, `_total`
//! behind a counter, and `_ns` becomes `_seconds`, because Prometheus wants base units. A label
//! `shard` tells the shards apart. There is no registry and no second copy of the counters: a
//! scrape is a snapshot written down.

use std::fmt::Write;

use crate::histogram::Histogram;
use crate::metric::{Metric, MetricKind, MetricValue};
use crate::statistics::Statistics;

/// The content type of the text.
pub const PROMETHEUS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The numbers of each shard, as Prometheus reads them.
#[must_use]
pub fn prometheus_text(shards: &[Statistics]) -> String {
    let mut text = String::new();
    let version = env!("CARGO_PKG_VERSION");
    put(
        &mut text,
        "# HELP ringway_build_info The version, as a label.",
    );
    put(&mut text, "# TYPE ringway_build_info gauge");
    put(
        &mut text,
        &format!("ringway_build_info{{version=\"{version}\"}} 1"),
    );
    let columns: Vec<Vec<MetricValue>> = shards
        .iter()
        .map(|shard| shard.metrics().map(|(_, value)| value).collect())
        .collect();
    for (row, metric) in Statistics::METRICS.iter().enumerate() {
        let name = name_of(metric);
        let kind = type_of(metric.kind);
        let meaning = metric.meaning.trim();
        put(&mut text, &format!("# HELP {name} {meaning}"));
        put(&mut text, &format!("# TYPE {name} {kind}"));
        for (shard, values) in columns.iter().enumerate() {
            put_value(&mut text, metric, &name, shard, &values[row]);
        }
    }
    text
}

fn put(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn is_time(metric: &Metric) -> bool {
    metric.name.ends_with("_ns")
}

fn name_of(metric: &Metric) -> String {
    let (base, unit) = match metric.name.strip_suffix("_ns") {
        Some(base) => (base, "_seconds"),
        None => (metric.name, ""),
    };
    let total = match metric.kind {
        MetricKind::Counter => "_total",
        MetricKind::Gauge | MetricKind::Longest | MetricKind::Histogram => "",
    };
    format!("ringway_{base}{unit}{total}")
}

fn type_of(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge | MetricKind::Longest => "gauge",
        MetricKind::Histogram => "histogram",
    }
}

fn put_value(text: &mut String, metric: &Metric, name: &str, shard: usize, value: &MetricValue) {
    let amount = |number: u64| match is_time(metric) {
        true => seconds(number),
        false => number.to_string(),
    };
    // Writing to a String cannot fail.
    let _ = match value {
        MetricValue::Number(number) => {
            writeln!(text, "{name}{{shard=\"{shard}\"}} {}", amount(*number))
        }
        MetricValue::Parts(parts) => {
            let label = metric.label.unwrap_or("part");
            parts.iter().try_for_each(|(part, number)| {
                let amount = amount(*number);
                writeln!(
                    text,
                    "{name}{{shard=\"{shard}\",{label}=\"{part}\"}} {amount}"
                )
            })
        }
        MetricValue::Times(histogram) => put_times(text, name, shard, histogram),
    };
}

fn put_times(
    text: &mut String,
    name: &str,
    shard: usize,
    histogram: &Histogram,
) -> std::fmt::Result {
    let mut below = 0;
    for (bound_ns, count) in histogram.buckets() {
        below += count;
        let bound = seconds(bound_ns);
        writeln!(
            text,
            "{name}_bucket{{shard=\"{shard}\",le=\"{bound}\"}} {below}"
        )?;
    }
    let (count, sum) = (histogram.count(), seconds(histogram.sum_ns()));
    writeln!(
        text,
        "{name}_bucket{{shard=\"{shard}\",le=\"+Inf\"}} {count}"
    )?;
    writeln!(text, "{name}_sum{{shard=\"{shard}\"}} {sum}")?;
    writeln!(text, "{name}_count{{shard=\"{shard}\"}} {count}")
}

/// Nanoseconds as decimal seconds, exactly.
fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::BodyPath;
    use std::collections::BTreeSet;

    fn two_shards() -> String {
        let mut first = Statistics {
            resumes: 3,
            inline_splice_longest_ns: 1_500_000,
            ..Statistics::default()
        };
        first.path_bytes.add(BodyPath::SpliceFile, 7);
        first.resume_gaps_ns.record(2_000_000);
        first.resume_gaps_ns.record(u64::MAX / 2);
        prometheus_text(&[first, Statistics::default()])
    }

    #[test]
    fn numbers_stand_under_their_shard_in_base_units() {
        let text = two_shards();
        for line in [
            "# TYPE ringway_resumes_total counter",
            "ringway_resumes_total{shard=\"0\"} 3",
            "ringway_resumes_total{shard=\"1\"} 0",
            "ringway_inline_splice_longest_seconds{shard=\"0\"} 0.001500000",
            "ringway_path_bytes_total{shard=\"0\",path=\"splice_file\"} 7",
            "ringway_send_waits_seconds_total{shard=\"1\",for=\"credit\"} 0.000000000",
            "ringway_resume_gaps_seconds_bucket{shard=\"0\",le=\"0.001048576\"} 0",
            "ringway_resume_gaps_seconds_bucket{shard=\"0\",le=\"0.002097152\"} 1",
            "ringway_resume_gaps_seconds_bucket{shard=\"0\",le=\"+Inf\"} 2",
            "ringway_resume_gaps_seconds_count{shard=\"0\"} 2",
        ] {
            assert!(text.lines().any(|each| each == line), "{line}\n{text}");
        }
    }

    /// The grammar of the format, read by a naive reader.
    #[test]
    fn every_line_is_help_type_or_a_sample_of_the_family_above_it() {
        let text = two_shards();
        let (mut families, mut samples) = (BTreeSet::new(), BTreeSet::new());
        let mut family = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a name and a text");
                assert!(families.insert(name.to_owned()), "{name} comes twice");
                assert!(!help.is_empty() && !help.contains('\\'), "{line}");
                family = name.to_owned();
                continue;
            }
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                assert_eq!(name, family);
                assert!(["counter", "gauge", "histogram"].contains(&kind));
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(samples.insert(series.to_owned()), "{series} comes twice");
            let (name, labels) = series.split_once('{').expect("labels");
            let base = ["_bucket", "_sum", "_count"]
                .into_iter()
                .find_map(|suffix| name.strip_suffix(suffix).filter(|base| *base == family));
            assert_eq!(base.unwrap_or(name), family);
            assert!(labels.ends_with("\"}"), "{line}");
        }
        assert_eq!(families.len(), Statistics::METRICS.len() + 1);
        assert!(text.ends_with('\n'));
    }
}
