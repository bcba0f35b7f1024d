//! The engine's counters as JSON.

use ringway::{BodyPath, Faults, PathCounters, Statistics};
use serde_json::{Map, Value, json};

/// Body bytes sent, by path; all paths, so that a zero is visible.
pub(crate) fn paths_sent(paths: &PathCounters) -> Value {
    let entries = BodyPath::ALL.map(|path| (path.name().to_owned(), json!(paths.bytes(path))));
    Value::Object(Map::from_iter(entries))
}

/// Body bytes received, by path.
pub(crate) fn paths_received(statistics: &Statistics) -> Value {
    json!({
        "copy": statistics.received_by_copy_bytes,
        "direct": statistics.received_direct_bytes,
        "splice": statistics.received_by_splice_bytes,
    })
}

/// Every counter, the paths under `paths`.
pub(crate) fn all(statistics: &Statistics) -> Value {
    let counters = statistics.counters();
    let counters = counters
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)));
    let mut document = Map::from_iter(counters);
    document.insert("paths".into(), paths_sent(&statistics.path_bytes));
    Value::Object(document)
}

/// How many faults of each kind were injected; all kinds, so that a zero is visible.
pub(crate) fn faults(faults: &Faults) -> Value {
    let injected = faults.injected().into_iter();
    Value::Object(
        injected
            .map(|(kind, count)| (kind.to_owned(), json!(count)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_and_every_counter_is_in_the_document() {
        let mut statistics = Statistics {
            resumes: 3,
            ..Statistics::default()
        };
        statistics.path_bytes.add(BodyPath::SpliceFile, 7);
        let document = all(&statistics);
        assert_eq!(document["resumes"], 3);
        assert_eq!(document["paths"]["splice_file"], 7);
        assert_eq!(document["paths"]["copy"], 0);
        let paths = document["paths"].as_object().expect("an object");
        assert_eq!(paths.len(), BodyPath::ALL.len());
    }
}
