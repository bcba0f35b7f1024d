//! docs/WIRE.md and the code say the same: limits, codes, and every rule that is cited.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ringway_proto::testing::limit_table;
use ringway_proto::{RefusalCode, Status};

const WIRE: &str = include_str!("../../../docs/WIRE.md");

/// The cells of a table row.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn the_table_of_limits_is_that_of_the_code() {
    let start = WIRE.find("<!-- limits -->").expect("the table's mark");
    let end = WIRE.find("<!-- /limits -->").expect("the table's end");
    let rows: Vec<Vec<&str>> = WIRE[start..end].lines().skip(3).map(cells).collect();
    let written: Vec<String> = rows.iter().map(|row| row[..3].join(" | ")).collect();
    let built: Vec<String> = limit_table()
        .into_iter()
        .map(|(name, value, unit)| format!("{name} | {value} | {unit}"))
        .collect();
    assert_eq!(written, built);
    let unreasoned = rows.iter().skip(1).find(|row| row[3].is_empty());
    assert_eq!(unreasoned, None, "each has its reason");
}

/// `W-1.2` in a text.
fn rules(text: &str) -> BTreeSet<String> {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    text.match_indices("W-")
        .filter_map(|(at, _)| {
            let rest = &text.as_bytes()[at + 2..];
            let part = rest.iter().take_while(|byte| is_digit(byte)).count();
            let dot = (rest.get(part) == Some(&b'.')).then_some(part + 1)?;
            let rule = rest[dot..].iter().take_while(|byte| is_digit(byte)).count();
            let is_rule = part > 0 && rule > 0;
            is_rule.then(|| text[at..at + 2 + dot + rule].to_owned())
        })
        .collect()
}

fn defined() -> BTreeSet<String> {
    let lines = WIRE.lines().filter_map(|line| line.strip_prefix("- **"));
    lines
        .filter_map(|line| line.split("**").next())
        .map(str::to_owned)
        .collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_rule_that_is_cited_exists() {
    let defined = defined();
    assert!(defined.len() > 40, "{} rules", defined.len());
    let mut files = Vec::new();
    sources(Path::new(env!("CARGO_MANIFEST_DIR")), &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source");
        let unknown: Vec<_> = rules(&text).difference(&defined).cloned().collect();
        assert!(unknown.is_empty(), "{} cites {unknown:?}", file.display());
    }
    let unknown: Vec<_> = rules(WIRE).difference(&defined).cloned().collect();
    assert!(unknown.is_empty(), "WIRE.md itself cites {unknown:?}");
}

#[test]
fn the_tables_of_codes_are_those_of_the_code() {
    for (code, name) in [
        (RefusalCode::Version, "version"),
        (RefusalCode::Authentication, "authentication"),
        (RefusalCode::UnknownSession, "unknown session"),
        (RefusalCode::StaleEpoch, "stale epoch"),
        (RefusalCode::Overloaded, "overloaded"),
        (RefusalCode::Unsupported, "unsupported"),
        (RefusalCode::Malformed, "malformed"),
        (RefusalCode::Draining, "draining"),
    ] {
        let row = format!("\n| {} | {name} |", code as u16);
        assert!(WIRE.contains(&row), "{row}");
    }
    for (code, name) in [
        (0, "OK"),
        (Status::SHUTTING_DOWN, "shutting down"),
        (Status::DROPPED, "dropped"),
        (Status::SINK_FAILED, "sink failed"),
        (Status::SOURCE_FAILED, "source failed"),
        (Status::SOURCE_CHANGED, "source changed"),
        (Status::DRAIN_TIMEOUT, "drain timeout"),
        (Status::PROTOCOL, "protocol"),
    ] {
        let row = format!("\n| {code} | {name}");
        assert!(WIRE.contains(&row), "{row}");
    }
}
