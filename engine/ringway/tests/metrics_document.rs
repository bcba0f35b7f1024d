//! docs/METRICS.md and the code say the same: every number, what it is, and how it behaves.

use ringway::{LossCounters, Metric, SendWaits, SessionStatistics, Statistics, StreamStatistics};

const DOCUMENT: &str = include_str!("../../../docs/METRICS.md");

fn unit(metric: &Metric) -> &'static str {
    match metric.name {
        name if name.ends_with("_bytes") => "bytes",
        name if name.contains("body_bytes_") => "bytes",
        name if name.ends_with("_ns") => "ns",
        _ => "",
    }
}

fn row(metric: &Metric) -> String {
    let label = metric
        .label
        .map_or(String::new(), |label| format!("`{label}`"));
    let (name, kind, unit) = (metric.name, metric.kind.name(), unit(metric));
    let meaning = metric.meaning.trim();
    format!("| `{name}` | {kind} | {unit} | {label} | {meaning} |")
}

/// The rows of the table with that mark.
fn written(mark: &str) -> Vec<&'static str> {
    let start = DOCUMENT.find(&format!("<!-- {mark} -->")).expect(mark);
    let end = DOCUMENT.find(&format!("<!-- /{mark} -->")).expect(mark);
    DOCUMENT[start..end].lines().skip(3).collect()
}

#[test]
fn the_tables_of_numbers_are_those_of_the_code() {
    for (mark, metrics) in [
        ("engine", Statistics::METRICS),
        ("session", SessionStatistics::METRICS),
        ("stream", StreamStatistics::METRICS),
    ] {
        let built: Vec<_> = metrics.iter().map(row).collect();
        assert_eq!(written(mark), built, "{mark}:\n{}", built.join("\n"));
    }
}

#[test]
fn every_value_of_a_label_is_explained() {
    let labels = [
        (
            "waits",
            SendWaits::default()
                .iter()
                .map(|(name, _)| name)
                .collect::<Vec<_>>(),
        ),
        (
            "losses",
            LossCounters::default()
                .iter()
                .map(|(name, _)| name)
                .collect(),
        ),
        (
            "paths",
            ringway::BodyPath::ALL
                .iter()
                .map(|path| path.name())
                .collect(),
        ),
    ];
    for (mark, names) in labels {
        let rows = written(mark);
        let explained: Vec<_> = rows
            .iter()
            .filter_map(|row| row.split('`').nth(1))
            .collect();
        assert_eq!(explained, names, "{mark}");
    }
}
