//! `docs/campaigns.md`: which seeds were run, when, of which commit, and what came of it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::failure::{Failure, Result};

/// The ledger, from the root of the checkout.
const PATH: &str = "docs/campaigns.md";

/// The text of the ledger.
pub struct Ledger {
    path: PathBuf,
    text: String,
}

/// One campaign, as a row of the table.
pub struct Row(String);

impl Ledger {
    /// Reads it.
    pub fn load(root: &Path) -> Result<Self> {
        let path = root.join(PATH);
        let text = fs::read_to_string(&path).map_err(Failure::file(&path))?;
        Ok(Self { path, text })
    }

    /// The seed behind all that were run.
    pub fn next_seed(&self) -> u64 {
        next_seed(&self.text)
    }

    /// Adds a row at the end.
    pub fn append(self, row: &Row) -> Result<()> {
        let text = format!("{}\n{}\n", self.text.trim_end(), row.0);
        fs::write(&self.path, text).map_err(Failure::file(&self.path))
    }
}

impl Row {
    /// From the document that `simulate --report` writes.
    pub fn new(document: &Value, date: &str, commit: &str) -> Self {
        let number = |name: &str| document[name].as_u64().unwrap_or(0);
        let (from, seeds) = (number("from"), number("seeds"));
        let faults = document["faults"].as_object();
        let kinds: Vec<String> = faults
            .into_iter()
            .flatten()
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        let violations = document["violations"].as_array().map_or(0, Vec::len);
        Self(format!(
            "| {date} | {commit} | {from} | {} | {:.0} | {:.1} | {violations} | {} |",
            (from + seeds).saturating_sub(1),
            document["seconds"].as_f64().unwrap_or(0.0),
            number("bytes_moved") as f64 / 1e9,
            kinds.join(", "),
        ))
    }
}

/// Behind the largest last seed of all rows.
fn next_seed(text: &str) -> u64 {
    let last = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        cells.get(4)?.parse::<u64>().ok()
    };
    let last = text.lines().filter_map(last).max();
    last.map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_goes_on_behind_the_last_one() {
        let document = serde_json::json!({
            "from": 100, "seeds": 50, "seconds": 1.5, "bytes_moved": 2_000_000_000_u64,
            "faults": {"short_io": 3, "broken": 1}, "violations": [{"seed": 7, "text": "a byte is lost"}],
        });
        let row = Row::new(&document, "2026-01-02", "abc").0;
        assert_eq!(
            row,
            "| 2026-01-02 | abc | 100 | 149 | 2 | 2.0 | 1 | broken 1, short_io 3 |"
        );
        assert_eq!(
            next_seed(&format!("| date | commit | first | last |\n{row}\n")),
            150
        );
        assert_eq!(next_seed("no table yet"), 0);
    }
}
