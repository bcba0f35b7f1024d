//! What the lines of a test run say: how many passed, and which did not run.

/// Counts kept while a test run prints.
#[derive(Debug, Default)]
pub struct Tally {
    passed: u64,
    ignored: u64,
    /// Names of ignored tests, and `SKIP` lines that were printed.
    not_run: Vec<String>,
}

impl Tally {
    /// Takes one line of a test harness's standard output.
    pub fn take(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += count_before(result, "passed");
            self.ignored += count_before(result, "ignored");
        } else if is_ignored(line) || line.starts_with("SKIP") {
            self.not_run.push(line.to_owned());
        }
    }

    /// How many tests passed.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// One line for each test that did not run.
    pub fn into_not_run(self) -> Vec<String> {
        let mut not_run = self.not_run;
        let named = not_run.iter().filter(|line| is_ignored(line)).count() as u64;
        if named < self.ignored {
            // A harness with other output (`--format terse`) counts without naming.
            not_run.push(format!("{} ignored without a name", self.ignored - named));
        }
        not_run
    }
}

/// `test name ... ignored`, with or without a reason.
fn is_ignored(line: &str) -> bool {
    let outcome = line
        .strip_prefix("test ")
        .and_then(|rest| rest.rsplit_once(" ... "));
    outcome.is_some_and(|(_, outcome)| outcome.starts_with("ignored"))
}

/// The number in front of `word` in `ok. 3 passed; 0 failed; 1 ignored; …`.
fn count_before(result: &str, word: &str) -> u64 {
    let mut previous = "";
    for part in result.split([' ', ';']).filter(|part| !part.is_empty()) {
        if part == word {
            return previous.parse().unwrap_or(0);
        }
        previous = part;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.take(line));
        tally
    }

    #[test]
    fn passed_tests_are_added_over_all_binaries() {
        let tally = tally(
            "running 2 tests\ntest a ... ok\ntest b ... ok\n\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
             test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n",
        );
        assert_eq!(tally.passed(), 42);
        assert_eq!(tally.into_not_run(), [""; 0]);
    }

    #[test]
    fn an_ignored_test_is_named() {
        let tally = tally(
            "test slow ... ignored, takes an hour\ntest src/lib.rs - f (line 3) ... ignored\n\
             test result: ok. 0 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!(
            tally.into_not_run(),
            [
                "test slow ... ignored, takes an hour",
                "test src/lib.rs - f (line 3) ... ignored"
            ]
        );
    }

    #[test]
    fn an_ignored_test_without_a_name_counts() {
        let tally = tally("i.\ntest result: ok. 1 passed; 0 failed; 1 ignored; 0 measured;\n");
        assert_eq!(tally.into_not_run(), ["1 ignored without a name"]);
    }

    #[test]
    fn a_printed_skip_counts() {
        let tally = tally("SKIP reset_test: no /proc\n");
        assert_eq!(tally.into_not_run(), ["SKIP reset_test: no /proc"]);
    }
}
