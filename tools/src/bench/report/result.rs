//! What a page needs of a result, read strictly where it matters and leniently elsewhere.

use serde_json::Value;

use super::super::document::SCHEMA;

/// One result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TestResult {
    /// Its title, else its file's name.
    pub(super) name: String,
    pub(super) document: Value,
}

impl TestResult {
    /// From a document, or from lines of which the last one is the document.
    pub(super) fn parse(text: &str, name: &str) -> Result<Self, String> {
        let whole = serde_json::from_str(text);
        let document: Value = whole.or_else(|_| last_line(text))?;
        if let Some(message) = document.pointer("/error/message").and_then(Value::as_str) {
            return Err(format!("it is a failure: {message}"));
        }
        let schema = document.pointer("/bench/schema").and_then(Value::as_u64);
        match schema {
            Some(schema) if schema == u64::from(SCHEMA) => {}
            Some(other) => {
                return Err(format!(
                    "its schema is {other}, this version reads {SCHEMA}"
                ));
            }
            None => return Err("it has no bench.schema".into()),
        }
        let title = document.pointer("/bench/title").and_then(Value::as_str);
        Ok(Self {
            name: title.unwrap_or(name).to_owned(),
            document,
        })
    }

    /// A number of it.
    pub(super) fn number(&self, pointer: &str) -> Option<f64> {
        self.document.pointer(pointer)?.as_f64()
    }

    /// A text of it; empty if there is none.
    pub(super) fn text(&self, pointer: &str) -> &str {
        let text = self.document.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default()
    }

    /// Throughput by time: middle of each interval, s; GB/s.
    pub(super) fn throughput(&self) -> Vec<(f64, f64)> {
        if self.document["bulk"].is_null() {
            return Vec::new();
        }
        let intervals = self.document["intervals"].as_array();
        let point = |interval: &Value| {
            let middle = interval["start_s"].as_f64()? + interval["seconds"].as_f64()? / 2.0;
            Some((middle, interval["gb_per_s"].as_f64()?))
        };
        intervals.into_iter().flatten().filter_map(point).collect()
    }

    /// Latency by percentile, µs.
    pub(super) fn percentiles(&self) -> Vec<(f64, f64)> {
        let percentiles = self.document["latency"]["percentiles"].as_array();
        let point = |each: &Value| Some((each["percentile"].as_f64()?, each["us"].as_f64()?));
        percentiles
            .into_iter()
            .flatten()
            .filter_map(point)
            .collect()
    }

    /// Gaps after cuts, ms.
    pub(super) fn gaps(&self) -> Vec<f64> {
        let gaps = self.document["resume"]["gap_ms"].as_array();
        gaps.into_iter()
            .flatten()
            .filter_map(Value::as_f64)
            .collect()
    }
}

fn last_line(text: &str) -> Result<Value, String> {
    let last = text.lines().rfind(|line| !line.trim().is_empty());
    let last = last.ok_or("it is empty")?;
    serde_json::from_str(last).map_err(|error| format!("it is no JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_read_from_a_document_and_from_the_last_of_many_lines() {
        let document = r#"{"bench":{"schema":1,"title":null},"bulk":{},"intervals":[
            {"start_s":1.0,"seconds":1.0,"gb_per_s":2.0}]}"#;
        let result = TestResult::parse(document, "file").expect("a result");
        assert_eq!(
            (result.name.as_str(), result.throughput()),
            ("file", vec![(1.5, 2.0)])
        );
        let lines = "{\"event\":\"x\"}\n{\"bench\":{\"schema\":1,\"title\":\"T\"}}\n\n";
        assert_eq!(
            TestResult::parse(lines, "file").expect("a result").name,
            "T"
        );
    }

    #[test]
    fn what_is_no_result_is_refused_with_the_reason() {
        for (text, part) in [
            ("", "empty"),
            ("{", "JSON"),
            ("{}", "bench.schema"),
            ("{\"bench\":{\"schema\":2}}", "schema is 2"),
            ("{\"error\":{\"message\":\"full\"}}", "full"),
        ] {
            let why = TestResult::parse(text, "x").expect_err(text);
            assert!(why.contains(part), "{why}");
        }
    }
}
