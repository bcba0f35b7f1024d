//! The table of risks in docs/TESTING.md against the tests that it names.
//!
//! A row that names a test which was renamed or never written claims a safety that is not there.
//! What is checked, in part 4 only: each word in backticks that looks like a test (`file::test`, or
//! a name of several words) is a function in a test source whose path has the parts in front of
//! `::`; what has a slash and no `::` is a test file or folder; every number from 1 to the last
//! scenario has its row; and no row of the finished tables says *not yet*, but for a list here.

use std::fs;
use std::path::{Path, PathBuf};

/// Tables in which every scenario has its test, with the number of their last one.
const FINISHED: [(&str, usize); 2] = [("S", 33), ("B", 12)];

/// Words that are names of things in the code, not of tests.
const NO_TESTS: [&str; 1] = ["mode"];

/// Everything that is wrong with the document.
fn findings(document: &str, sources: &Sources) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, last) in FINISHED {
        let rows = rows(document, name);
        for number in 1..=last {
            let id = format!("{name}{number}");
            match rows.iter().find(|row| row.id == id) {
                None => findings.push(format!("{id} has no row")),
                Some(row) => findings.extend(row.findings(sources)),
            }
        }
    }
    findings
}

/// One line of a table.
struct Row<'a> {
    id: &'a str,
    tests: &'a str,
}

fn rows<'a>(document: &'a str, name: &str) -> Vec<Row<'a>> {
    let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let table = document.split(&begin).nth(1).unwrap_or("");
    let table = table.split(&end).next().unwrap_or("");
    let row = |line: &'a str| {
        let mut cells = line.trim_matches('|').split(" | ");
        let (id, _, tests) = (cells.next()?, cells.next()?, cells.next()?);
        Some(Row {
            id: id.trim(),
            tests,
        })
    };
    table.lines().filter_map(row).collect()
}

impl Row<'_> {
    fn findings(&self, sources: &Sources) -> Vec<String> {
        let mut findings = Vec::new();
        if self.tests.contains("not yet") {
            findings.push(format!("{} says *not yet*", self.id));
        }
        let mut names = 0;
        for word in self.tests.split('`').skip(1).step_by(2) {
            match Claim::of(word) {
                Claim::Test(_, _) | Claim::Place(_) => names += 1,
                Claim::Other => {}
            }
            if !Claim::of(word).holds(sources) {
                findings.push(format!("{} names `{word}`: there is no such test", self.id));
            }
        }
        if names == 0 {
            findings.push(format!("{} names no test", self.id));
        }
        findings
    }
}

/// What a word in backticks says.
enum Claim<'a> {
    /// This function is in a source whose path has these parts, in this order.
    Test(Vec<&'a str>, &'a str),
    /// There is a source or a folder of sources with these parts.
    Place(Vec<&'a str>),
    Other,
}

impl<'a> Claim<'a> {
    fn of(word: &'a str) -> Self {
        let is_name = |word: &str| {
            let mut chars = word.chars();
            !word.is_empty()
                && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        if NO_TESTS.contains(&word) {
            return Self::Other;
        }
        match word.rsplit_once("::") {
            Some((place, name)) if is_name(name) => Self::Test(place.split('/').collect(), name),
            Some(_) => Self::Other,
            None if word.contains('/') => Self::Place(word.split('/').collect()),
            None if is_name(word) && word.matches('_').count() >= 2 => Self::Test(vec![], word),
            None if is_name(word) => Self::Place(vec![word]),
            None => Self::Other,
        }
    }

    fn holds(&self, sources: &Sources) -> bool {
        match self {
            Self::Test(place, name) => sources.have_test(place, name),
            Self::Place(place) => sources.have_place(place),
            Self::Other => true,
        }
    }
}

/// The sources that tests stand in: paths from the root, without their ends, and texts.
struct Sources(Vec<(Vec<String>, String)>);

impl Sources {
    fn read(root: &Path) -> std::io::Result<Self> {
        let mut sources = Vec::new();
        for top in ["engine", "tools", "benches"] {
            collect(root, &root.join(top), &mut sources)?;
        }
        Ok(Self(sources))
    }

    fn have_test(&self, place: &[&str], name: &str) -> bool {
        let is_defined = |text: &str| {
            let defined = |(at, found): (usize, &str)| {
                let behind = text[at + found.len()..].chars().next();
                matches!(behind, Some('(' | '<'))
            };
            text.match_indices(&format!("fn {name}")).any(defined)
        };
        let mut sources = self.0.iter();
        sources.any(|(path, text)| leads_to(path, place, path.len()) && is_defined(text))
    }

    fn have_place(&self, place: &[&str]) -> bool {
        let paths = self.0.iter().map(|(path, _)| path);
        let mut ends = paths.flat_map(|path| (1..=path.len()).map(move |end| (path, end)));
        ends.any(|(path, end)| {
            path[..end].contains(&"tests".to_owned()) && leads_to(path, place, end)
        })
    }
}

/// Whether `place` names the first `end` parts of the path: its last part is the last of them, the
/// others stand before it in this order.
fn leads_to(path: &[String], place: &[&str], end: usize) -> bool {
    let Some((last, before)) = place.split_last() else {
        return true;
    };
    let mut parts = path[..end - 1].iter();
    path[end - 1] == *last && before.iter().all(|part| parts.any(|found| found == part))
}

fn collect(
    root: &Path,
    dir: &Path,
    sources: &mut Vec<(Vec<String>, String)>,
) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(root, &path, sources)?;
            }
        } else if path.extension().is_some_and(|end| end == "rs") {
            sources.push((parts(root, &path), fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

fn parts(root: &Path, path: &Path) -> Vec<String> {
    let short: PathBuf = path.strip_prefix(root).unwrap_or(path).with_extension("");
    let parts = short.components();
    parts
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::workspace::Workspace;

    fn sources() -> Sources {
        let source = |path: &str, text: &str| {
            (
                path.split('/').map(str::to_owned).collect(),
                text.to_owned(),
            )
        };
        Sources(vec![
            source(
                "engine/proto/tests/pair/replay",
                "fn bytes_wait_and_flow() {}",
            ),
            source(
                "engine/ringway/tests/cuts",
                "async fn a_cut_is_survived(stage: Stage) {}",
            ),
        ])
    }

    fn findings_of(tests: &str) -> Vec<String> {
        let row = Row { id: "S1", tests };
        row.findings(&sources())
    }

    #[test]
    fn tests_that_exist_are_found_by_file_and_name() {
        for tests in [
            "`proto/pair/replay::bytes_wait_and_flow`, `a_cut_is_survived`",
            "`ringway/cuts::a_cut_is_survived` and `proto/pair`",
            "simulated `cuts`",
        ] {
            assert_eq!(findings_of(tests), Vec::<String>::new(), "{tests}");
        }
    }

    #[test]
    fn a_test_that_was_renamed_or_never_written_is_a_finding() {
        for tests in [
            "`proto/pair/replay::bytes_wait`",
            "`ringway/replay::bytes_wait_and_flow`",
            "`proto/pair/resume`, `a_cut_is_survived`",
            "`a_cut_is_not_survived`",
            "not yet, but `cuts`",
            "somebody will see to it",
        ] {
            assert_eq!(findings_of(tests).len(), 1, "{tests}");
        }
    }

    #[test]
    fn a_scenario_without_a_row_is_a_finding() {
        let document = "<!-- S -->\n| S1 | what | `a_cut_is_survived` |\n<!-- /S -->";
        let missing = findings(document, &sources());
        assert_eq!(missing.len(), 32 + 12, "{missing:?}");
    }

    /// Every scenario has tests, and they exist.
    #[test]
    fn the_table_of_risks_names_tests_that_exist() {
        let workspace = Workspace::load().expect("cargo describes the workspace");
        let path = workspace.root().join("docs/TESTING.md");
        let document = fs::read_to_string(path).expect("the document");
        let sources = Sources::read(workspace.root()).expect("readable");
        let findings = findings(&document, &sources);
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}
