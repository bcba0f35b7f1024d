//! Counters as text: JSON, and what Prometheus scrapes.

use ringway::{BodyPath, Histogram, Metric, MetricValue, Reduction, Statistics};
use serde_json::{Map, Value, json};

/// Every counter, body bytes by path in an object of their own.
pub(crate) fn json(statistics: &Statistics) -> String {
    let mut document = Map::new();
    for (name, value) in statistics.counters() {
        document.insert(name.to_owned(), json!(value));
    }
    let paths = BodyPath::ALL.iter().map(|&path| {
        let bytes = statistics.path_bytes.bytes(path);
        (path.name().to_owned(), json!(bytes))
    });
    document.insert(
        "body_bytes_sent_by_path".to_owned(),
        Value::Object(paths.collect()),
    );
    Value::Object(document).to_string()
}

/// What a session or a stream counts, by name: parts as an object, times with their buckets.
pub(crate) fn document(metrics: impl Iterator<Item = (&'static Metric, MetricValue)>) -> String {
    let values = metrics.map(|(metric, value)| (metric.name.to_owned(), of(&value)));
    Value::Object(values.collect()).to_string()
}

fn of(value: &MetricValue) -> Value {
    match value {
        MetricValue::Number(number) => json!(number),
        MetricValue::Parts(parts) => {
            let parts = parts
                .iter()
                .map(|(name, number)| ((*name).to_owned(), json!(number)));
            Value::Object(parts.collect())
        }
        MetricValue::Times(histogram) => times(histogram),
    }
}

fn times(histogram: &Histogram) -> Value {
    let filled = histogram.buckets().filter(|&(_, count)| count > 0);
    let buckets: Vec<Value> = filled
        .map(|(longest_ns, count)| json!({"longest_ns": longest_ns, "count": count}))
        .collect();
    json!({"count": histogram.count(), "sum_ns": histogram.sum_ns(), "buckets": buckets})
}

/// What runs smaller than configured.
pub(crate) fn reductions(reductions: &[Reduction]) -> String {
    let each = reductions.iter().map(|reduction| {
        json!({
            "what": reduction.what,
            "wanted": reduction.wanted,
            "got": reduction.got,
            "reason": reduction.reason,
        })
    });
    Value::Array(each.collect()).to_string()
}

/// The same as Prometheus scrapes it: all shards as one.
pub(crate) fn prometheus(statistics: &Statistics) -> String {
    ringway::prometheus_text(std::slice::from_ref(statistics))
}

/// One counter by name; paths as `path_bytes.<path>`.
pub(crate) fn one(statistics: &Statistics, name: &str) -> Option<u64> {
    if let Some(path) = name.strip_prefix("path_bytes.") {
        let path = BodyPath::ALL.into_iter().find(|each| each.name() == path)?;
        return Some(statistics.path_bytes.bytes(path));
    }
    let counters = statistics.counters();
    counters
        .iter()
        .find(|(each, _)| *each == name)
        .map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_in_both_texts() {
        let mut statistics = Statistics {
            resumes: 3,
            ..Statistics::default()
        };
        statistics.path_bytes.add(BodyPath::SpliceFile, 7);
        let document: Value = serde_json::from_str(&json(&statistics)).expect("it is JSON");
        assert_eq!(document["resumes"], 3);
        assert_eq!(document["body_bytes_sent_by_path"]["splice_file"], 7);
        let text = prometheus(&statistics);
        assert!(text.contains("ringway_resumes_total{shard=\"0\"} 3\n"));
        assert!(text.contains("path=\"splice_file\"} 7\n"));
        assert_eq!(one(&statistics, "path_bytes.splice_file"), Some(7));
        assert_eq!(one(&statistics, "no such"), None);
    }
}
