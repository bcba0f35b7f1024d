//! The serving and the sending process, as their parent sees them.
//!
//! They run the same binary. Each prints events as lines of JSON, the last one its final document
//! (or error). The parent ends them through their stdin: the server ends when it is closed, the
//! sender when its socket is. In a process group of their own, because Ctrl-C at the terminal is
//! for the parent to handle.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use ringway::PathChoice;
use serde_json::Value;

use super::stage::{ARRIVAL, Stage};
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::resources::children_cpu;

/// One of the two.
#[derive(Debug)]
pub(super) struct Child {
    name: &'static str,
    process: std::process::Child,
    lines: Receiver<Value>,
    last: Option<Value>,
}

/// One that has ended well.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its final document.
    pub(super) document: Value,
    /// Its CPU time, kernel workers included.
    pub(super) cpu: Duration,
}

/// How often the parent looks for a signal while it waits for a line.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(20);

impl Child {
    /// Starts the server.
    pub(super) fn serve(
        stage: &Stage,
        core: Option<usize>,
        global: &Global,
    ) -> Result<Self, Failure> {
        let mut command = command("demo-serve", core, global)?;
        option(&mut command, "--root", &stage.root());
        option(&mut command, "--key-file", &stage.key_file());
        Self::start("the serving process", command, Stdio::piped())
    }

    /// Starts the sender, which passes its connections over `control`.
    pub(super) fn send(
        stage: &Stage,
        address: &str,
        control: OwnedFd,
        core: Option<usize>,
        choice: PathChoice,
        global: &Global,
    ) -> Result<Self, Failure> {
        let mut command = command("demo-send", core, global)?;
        option(&mut command, "--file", &stage.source);
        option(&mut command, "--key-file", &stage.key_file());
        command.arg("--to").arg(format!("{address}/{ARRIVAL}"));
        command.arg("--path").arg(choice.name());
        Self::start("the sending process", command, control.into())
    }

    fn start(name: &'static str, mut command: Command, stdin: Stdio) -> Result<Self, Failure> {
        command.stdin(stdin).stdout(Stdio::piped()).process_group(0);
        let fail = |error| Failure::io(&format!("start {name}"), &error);
        let mut process = command.spawn().map_err(fail)?;
        let stdout = process.stdout.take();
        let (sender, lines) = mpsc::channel();
        thread::Builder::new()
            .name("lines".into())
            .spawn(move || {
                let lines = stdout
                    .map(BufReader::new)
                    .into_iter()
                    .flat_map(BufRead::lines);
                for line in lines.map_while(Result::ok) {
                    let value = serde_json::from_str(&line).unwrap_or(Value::Null);
                    if sender.send(value).is_err() {
                        return;
                    }
                }
            })
            .map_err(fail)?;
        Ok(Self {
            name,
            process,
            lines,
            last: None,
        })
    }

    /// Waits until the server listens, and says where.
    pub(super) fn wait_for_address(&mut self, interrupt: &Interrupt) -> Result<String, Failure> {
        loop {
            interrupt.check()?;
            match self.lines.recv_timeout(SIGNAL_INTERVAL) {
                Ok(line) => {
                    if let Some(address) = line.get("address").and_then(Value::as_str) {
                        return Ok(address.to_owned());
                    }
                    self.take_note(line)?;
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(self.died()),
            }
        }
    }

    /// Whether it has closed its stdout, after its final document.
    pub(super) fn has_ended(&mut self) -> Result<bool, Failure> {
        loop {
            match self.lines.try_recv() {
                Ok(line) => self.take_note(line)?,
                Err(TryRecvError::Empty) => return Ok(false),
                Err(TryRecvError::Disconnected) => return Ok(true),
            }
        }
    }

    /// Fails if it has ended though it should not.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        match self.has_ended()? {
            true => Err(self.died()),
            false => Ok(()),
        }
    }

    /// Lets it end, and takes its document and its account.
    pub(super) fn end(mut self) -> Result<Ended, Failure> {
        drop(self.process.stdin.take());
        while let Ok(line) = self.lines.recv() {
            self.take_note(line)?;
        }
        let before = children_cpu();
        let status = self.process.wait();
        let cpu = children_cpu().saturating_sub(before);
        match (self.last.take(), status) {
            (Some(document), Ok(status)) if status.success() => Ok(Ended { document, cpu }),
            (_, status) => Err(ended_badly(self.name, status.ok())),
        }
    }

    /// Keeps a line that is no event as the final document; an error becomes ours.
    fn take_note(&mut self, line: Value) -> Result<(), Failure> {
        if let Some(failure) = Failure::from_document(&line) {
            return Err(failure.during(self.name));
        }
        if line.is_object() && line.get("event").is_none() {
            self.last = Some(line);
        }
        Ok(())
    }

    fn died(&mut self) -> Failure {
        ended_badly(self.name, self.process.wait().ok())
    }
}

impl Drop for Child {
    /// Whatever made us give up: nothing of ours is left running.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn ended_badly(name: &str, status: Option<ExitStatus>) -> Failure {
    let how = status.map_or_else(
        || "in an unknown way".to_owned(),
        |status| status.to_string(),
    );
    let message = format_args!("{name} ended unexpectedly ({how}); -v tells more");
    Failure::coded(Exit::Protocol, "child_ended", message)
}

fn command(name: &str, core: Option<usize>, global: &Global) -> Result<Command, Failure> {
    let binary = std::env::current_exe().map_err(|error| Failure::io("find myself", &error))?;
    let mut command = Command::new(binary);
    command.arg(name).arg("--json-stream");
    if let Some(core) = core {
        command.arg("--core").arg(core.to_string());
    }
    if let Some(level) = &global.log_level {
        command.arg("--log-level").arg(level);
    }
    command.args((0..global.verbose).map(|_| "-v"));
    Ok(command)
}

fn option(command: &mut Command, name: &str, path: &Path) {
    command.arg(name).arg(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Child::start("the child", command, Stdio::piped()).expect("starts")
    }

    #[test]
    fn a_child_tells_its_address_and_its_document() {
        let script = r#"echo '{"event":"listening","address":"a:1"}'; cat; echo '{"bytes":7}'"#;
        let mut child = child(script);
        let address = child.wait_for_address(&Interrupt::default()).expect("told");
        assert_eq!(address, "a:1");
        assert!(!child.has_ended().expect("no error"));
        let ended = child.end().expect("ends when its stdin does");
        assert_eq!(ended.document["bytes"], 7);
    }

    #[test]
    fn a_childs_error_becomes_the_parents() {
        let script = r#"echo '{"error":{"code":"no_space","exit_code":6,"message":"full"}}'"#;
        let failure = child(script).end().expect_err("failed");
        assert_eq!(
            (failure.exit, failure.code.as_str()),
            (Exit::File, "no_space")
        );
        assert_eq!(failure.message, "the child: full");
    }

    #[test]
    fn a_child_that_dies_is_noticed() {
        let failure = child("kill -9 $$").wait_for_address(&Interrupt::default());
        assert!(failure.expect_err("died").message.contains("SIGKILL"));
        let failure = child("exit 3").end().expect_err("no document");
        assert_eq!(failure.code, "child_ended");
    }
}
