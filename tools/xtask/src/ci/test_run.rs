//! A run of tests that is green only if every test ran.

use tempfile::TempDir;

use super::skip_file::{self, SkipFile};
use super::tally::Tally;
use crate::failure::{Failure, Result};
use crate::invocation::Invocation;

/// Commands that run tests, judged together.
pub struct TestRun {
    commands: Vec<Invocation>,
    excuses: &'static [&'static str],
}

impl TestRun {
    /// The test command of the README.
    pub fn of_workspace() -> Self {
        Self::of(vec![Invocation::cargo().args(["test", "--workspace"])])
    }

    /// A run of these commands, none of which may skip a test.
    pub fn of(commands: Vec<Invocation>) -> Self {
        Self {
            commands,
            excuses: &[],
        }
    }

    /// Accepts a skipped test if its reason contains one of these words. Only for runs that take
    /// something away which the plain run has.
    pub fn excusing(mut self, words: &'static [&'static str]) -> Self {
        self.excuses = words;
        self
    }

    /// Runs the commands and judges them.
    ///
    /// # Errors
    /// The first command that fails; else every test that did not run and is not excused.
    pub fn run(&self) -> Result<()> {
        let scratch = scratch_dir()?;
        let skip_file = SkipFile::create(scratch.path())?;
        let mut tally = Tally::default();
        for command in &self.commands {
            println!("{command}");
            command
                .clone()
                .scratch_env(skip_file::VARIABLE, skip_file.path())
                .stream_lines(|line| tally.take(line))?;
        }
        self.judge(tally, skip_file.lines()?)
    }

    fn judge(&self, tally: Tally, skipped: Vec<String>) -> Result<()> {
        let passed = tally.passed();
        let mut not_run = tally.into_not_run();
        not_run.extend(skipped);
        let (excused, missing): (Vec<_>, Vec<_>) =
            not_run.into_iter().partition(|line| self.excuses(line));
        println!(
            "passed: {passed}, skipped with a good reason: {}",
            excused.len()
        );
        excused.iter().for_each(|line| println!("  {line}"));
        if missing.is_empty() {
            return Ok(());
        }
        Err(Failure::Skipped(missing))
    }

    /// Whether the reason in `SKIP <test>: <reason>` has one of the words.
    fn excuses(&self, line: &str) -> bool {
        let reason = line
            .strip_prefix("SKIP ")
            .and_then(|rest| rest.split_once(": "));
        let Some((_, reason)) = reason else {
            return false;
        };
        let mut words = reason.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.any(|found| self.excuses.contains(&found))
    }
}

/// A directory of this run that every user may enter.
pub fn scratch_dir() -> Result<TempDir> {
    use std::os::unix::fs::PermissionsExt;
    tempfile::Builder::new()
        .prefix("ringway-ci-")
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .map_err(Failure::file(&std::env::temp_dir()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> TestRun {
        TestRun::of(vec![Invocation::new("sh").args(["-c", script])])
    }

    #[test]
    fn a_run_without_skips_is_green() {
        shell("echo test result: ok. 3 passed")
            .run()
            .expect("nothing was skipped");
    }

    #[test]
    fn a_line_in_the_skip_file_fails_the_run() {
        let script = format!("echo 'SKIP a: no splice' >> ${}", skip_file::VARIABLE);
        let failure = shell(&script).run().expect_err("a test was skipped");
        assert!(
            failure.to_string().contains("SKIP a: no splice"),
            "{failure}"
        );
    }

    #[test]
    fn an_ignored_test_fails_the_run() {
        let failure = shell("echo 'test slow ... ignored'").run();
        assert!(matches!(failure, Err(Failure::Skipped(_))));
    }

    #[test]
    fn a_failing_command_fails_the_run() {
        let failure = shell("echo 'SKIP a: no splice'; exit 1").run();
        assert!(matches!(failure, Err(Failure::Command { .. })));
    }

    #[test]
    fn only_the_reason_excuses_and_only_as_a_whole_word() {
        let run = shell("").excusing(&["splice", "send_zc"]);
        assert!(run.excuses("SKIP zero_copy: needs send_zc, masked"));
        for line in [
            "SKIP send_zc: needs luck",
            "SKIP zero_copy: needs sendmsg_zc",
            "SKIP zero_copy: needs send_zc_fixed",
            "test send_zc ... ignored, send_zc",
        ] {
            assert!(!run.excuses(line), "{line}");
        }
    }
}
