//! A command that can show itself the way a person would type it.
//!
//! Everything this crate starts goes through [`Invocation`], so that a failure always names a line
//! that can be pasted into a shell. Standard input is closed: a job never waits for a person.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::failure::{Failure, Result};

/// A program, its arguments and its surroundings.
#[derive(Clone, Debug)]
pub struct Invocation {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    scratch_env: Vec<(String, OsString)>,
    dir: Option<PathBuf>,
}

impl Invocation {
    /// `program` without arguments, in the current directory.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            scratch_env: Vec::new(),
            dir: None,
        }
    }

    /// Cargo, as the person would call it: rustup's proxy picks the toolchain that runs us too.
    pub fn cargo() -> Self {
        Self::new("cargo")
    }

    /// Adds arguments.
    pub fn args<I>(mut self, args: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable that is part of the command and is shown with it.
    pub fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Sets a variable that points at something of this run only (a scratch directory): it would
    /// be wrong in a repeated command, so it is not shown.
    pub fn scratch_env(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.scratch_env.push((name.into(), value.into()));
        self
    }

    /// Sets the working directory.
    pub fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// Runs it with our standard output and error.
    pub fn stream(&self) -> Result<()> {
        let child = self.start(Stdio::inherit())?;
        self.finish(child)
    }

    /// Runs it, shows its standard output line by line, and hands each line to `on_line`.
    pub fn stream_lines(&self, mut on_line: impl FnMut(&str)) -> Result<()> {
        self.each_line(|line| {
            println!("{line}");
            on_line(line);
        })
    }

    /// Runs it and returns its standard output; its standard error is shown.
    pub fn capture(&self) -> Result<String> {
        let mut output = String::new();
        self.each_line(|line| {
            output.push_str(line);
            output.push('\n');
        })?;
        Ok(output)
    }

    /// Runs it silently; whether it succeeded.
    pub fn succeeds(&self) -> Result<bool> {
        let status = self
            .command()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(|source| self.broken(source))?;
        Ok(status.success())
    }

    /// Runs it with `input` as its standard input.
    pub fn feed(&self, input: &str) -> Result<()> {
        let mut child = self
            .command()
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|source| self.broken(source))?;
        if let Some(mut pipe) = child.stdin.take() {
            // A program that stops reading early reports why by its status.
            let _ = pipe.write_all(input.as_bytes());
        }
        self.finish(child)
    }

    /// Starts it with the given standard output and leaves it to the caller.
    pub fn start(&self, stdout: Stdio) -> Result<Child> {
        self.command()
            .stdout(stdout)
            .spawn()
            .map_err(|source| self.broken(source))
    }

    fn each_line(&self, mut on_line: impl FnMut(&str)) -> Result<()> {
        let mut child = self.start(Stdio::piped())?;
        if let Some(pipe) = child.stdout.take() {
            read_lines(BufReader::new(pipe), &mut on_line).map_err(|source| self.broken(source))?;
        }
        self.finish(child)
    }

    /// Waits for what [`start`](Self::start) started.
    pub fn finish(&self, mut child: Child) -> Result<()> {
        let status = child.wait().map_err(|source| self.broken(source))?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::Command {
            line: self.to_string(),
            status,
        })
    }

    /// The failure of talking to the program at all.
    pub fn broken(&self, source: io::Error) -> Failure {
        Failure::Start {
            line: self.to_string(),
            source,
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.envs(self.scratch_env.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(dir) = &self.dir {
            write!(f, "cd {} && ", quoted(dir.as_os_str()))?;
        }
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quoted(value))?;
        }
        write!(f, "{}", quoted(&self.program))?;
        self.args
            .iter()
            .try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

/// `word` as one word of a POSIX shell.
pub fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Hands `input` on line by line, without line ends. Bytes that are no text are replaced: a test
/// may print anything.
pub fn read_lines(mut input: impl BufRead, mut on_line: impl FnMut(&str)) -> io::Result<()> {
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        on_line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']));
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_pasted() {
        let shown = Invocation::new("cargo")
            .args(["doc", "--config", "it's one word"])
            .env("RUSTDOCFLAGS", "-D warnings")
            .scratch_env("TMPDIR", "/gone/tomorrow")
            .dir(Path::new("a dir"))
            .to_string();
        assert_eq!(
            shown,
            r"cd 'a dir' && RUSTDOCFLAGS='-D warnings' cargo doc --config 'it'\''s one word'"
        );
    }

    #[test]
    fn a_failing_command_names_its_line() {
        let failure = Invocation::new("sh")
            .args(["-c", "exit 3"])
            .stream()
            .expect_err("exit 3 is a failure");
        assert_eq!(failure.command_line(), Some("sh -c 'exit 3'"));
    }

    #[test]
    fn lines_survive_carriage_returns_and_foreign_bytes() {
        let mut lines = Vec::new();
        read_lines(&b"one\r\n\xfftwo\nthree"[..], |line| {
            lines.push(line.to_owned());
        })
        .expect("memory is readable");
        assert_eq!(lines, ["one", "\u{fffd}two", "three"]);
    }
}
