//! Counters as text: JSON, and what Prometheus scrapes.

use std::fmt::Write;

use ringway::{BodyPath, Statistics};
use serde_json::{Map, Value, json};

/// Every counter, body bytes by path in an object of their own.
pub(crate) fn json(statistics: &Statistics) -> String {
    let mut document = Map::new();
    for (name, value) in statistics.counters() {
        document.insert(name.to_owned(), json!(value));
    }
    let paths = BodyPath::ALL.iter().map(|&path| {
        let bytes = statistics.paths.bytes(path);
        (path.name().to_owned(), json!(bytes))
    });
    document.insert(
        "body_bytes_sent_by_path".to_owned(),
        Value::Object(paths.collect()),
    );
    Value::Object(document).to_string()
}

/// The same in Prometheus' text format. The longest duration is no sum, hence a gauge.
pub(crate) fn prometheus(statistics: &Statistics) -> String {
    let mut text = String::new();
    for (name, value) in statistics.counters() {
        let is_gauge = name.ends_with("_longest_ns");
        let (kind, suffix) = match is_gauge {
            true => ("gauge", ""),
            false => ("counter", "_total"),
        };
        let _ = writeln!(text, "# TYPE ringway_{name}{suffix} {kind}");
        let _ = writeln!(text, "ringway_{name}{suffix} {value}");
    }
    let _ = writeln!(text, "# TYPE ringway_path_bytes_total counter");
    for path in BodyPath::ALL {
        let (name, bytes) = (path.name(), statistics.paths.bytes(path));
        let _ = writeln!(text, "ringway_path_bytes_total{{path=\"{name}\"}} {bytes}");
    }
    text
}

/// One counter by name; paths as `path_bytes.<path>`.
pub(crate) fn one(statistics: &Statistics, name: &str) -> Option<u64> {
    if let Some(path) = name.strip_prefix("path_bytes.") {
        let path = BodyPath::ALL.into_iter().find(|each| each.name() == path)?;
        return Some(statistics.paths.bytes(path));
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
        statistics.paths.add(BodyPath::SpliceFile, 7);
        let document: Value = serde_json::from_str(&json(&statistics)).expect("it is JSON");
        assert_eq!(document["resumes"], 3);
        assert_eq!(document["body_bytes_sent_by_path"]["splice_file"], 7);
        let text = prometheus(&statistics);
        assert!(text.contains("ringway_resumes_total 3\n"));
        assert!(text.contains("ringway_path_bytes_total{path=\"splice_file\"} 7\n"));
        assert_eq!(one(&statistics, "path_bytes.splice_file"), Some(7));
        assert_eq!(one(&statistics, "no such"), None);
    }
}
