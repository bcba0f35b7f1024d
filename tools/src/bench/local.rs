//! `ringway bench local`: both ends here, each a process on a core of its own.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use ringway::{ConnectOptions, Cores, KeyId, Keys};
use serde_json::Value;
use tempfile::TempDir;

use super::options::{Load, Local, Own};
use super::plan::Plan;
use super::run::measure;
use super::source::{Sink, Source};
use crate::cli::Global;
use crate::cores;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::Output;

/// Measures with a server of its own.
pub(super) fn run(options: &Local, global: &Global, output: &Output) -> Result<(), Failure> {
    let (ours, theirs) = cores_of(&options.own)?;
    let mut own = options.own.clone();
    own.affinity = ours.into_iter().collect();
    let (load, files) = server_files(&options.load);
    let plan = Plan::of(&load, &own)?;
    let interrupt = Interrupt::install()?;
    let keys = TemporaryKey::make(&interrupt)?;
    let command = command(options, &own, theirs, &files, &keys, &plan, global)?;
    let mut server = Server::start(command)?;
    let connect = ConnectOptions::keyed(Keys::load(&keys.path())?.own());
    let address = server.address.clone();
    let measured = measure(&address, plan, &load, &own, connect, &interrupt, output);
    server.end();
    measured
}

/// Ours and theirs: as asked for, else two cores where there are two.
fn cores_of(own: &Own) -> Result<(Option<usize>, Option<usize>), Failure> {
    if own.cores != Cores::Any {
        let message = "--cores: here each end is kept on one core; -A says on which, as in -A 0,1";
        return Err(Failure::coded(Exit::Usage, "impossible", message));
    }
    match own.affinity[..] {
        [] => Ok(cores::pair().map_or((None, None), |(a, b)| (Some(a), Some(b)))),
        [ours, theirs] => Ok((Some(ours), Some(theirs))),
        _ => {
            let message = "-A: two cores, ours and the server's, as in -A 0,1";
            Err(Failure::coded(Exit::Usage, "impossible", message))
        }
    }
}

/// Files that the server needs, as its options.
#[derive(Debug, Default)]
struct ServerFiles(Vec<OsString>);

impl ServerFiles {
    fn add(&mut self, option: &str, path: &Path) {
        self.0.extend([option.into(), path.into()]);
    }
}

/// Here every path is ours to name: those of the server's end become its options.
fn server_files(load: &Load) -> (Load, ServerFiles) {
    let (mut load, mut files) = (load.clone(), ServerFiles::default());
    if load.bidir {
        return (load, files);
    }
    if load.reverse {
        if let Source::File(Some(path)) = &load.source {
            files.add("--source-file", path);
            load.source = Source::File(None);
        }
    } else if let Sink::File(Some(path)) = &load.sink {
        files.add("--sink-file", path);
        load.sink = Sink::File(None);
    }
    (load, files)
}

/// A key for this test alone.
struct TemporaryKey(TempDir);

impl TemporaryKey {
    fn make(interrupt: &Interrupt) -> Result<Self, Failure> {
        let place = std::env::temp_dir();
        let directory = tempfile::Builder::new()
            .prefix("ringway-bench-")
            .tempdir()
            .map_err(|error| Failure::file("make a directory in", &place, &error))?;
        interrupt.remove_at_end(directory.path().to_owned());
        let key = Self(directory);
        let id = KeyId::new("bench").map_err(Failure::usage)?;
        Keys::create(&key.path(), &Keys::generate(id))?;
        Ok(key)
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("key")
    }
}

fn command(
    options: &Local,
    own: &Own,
    core: Option<usize>,
    files: &ServerFiles,
    key: &TemporaryKey,
    plan: &Plan,
    global: &Global,
) -> Result<Command, Failure> {
    let binary = std::env::current_exe().map_err(|error| Failure::io("find myself", &error))?;
    let mut command = Command::new(binary);
    command.args([
        "bench",
        "server",
        "--json-stream",
        "--one-off",
        "--end-with-stdin",
    ]);
    command.arg("--listen").arg(&options.listen);
    command.arg("--key-file").arg(key.path());
    command.arg("--path").arg(own.body_path.choice.name());
    command.args(&files.0);
    // Its bounds are for strangers.
    let (sessions, streams) = (plan.lanes.max(plan.parallel), plan.streams().max(1));
    command.arg("--max-sessions").arg(sessions.to_string());
    command.arg("--max-streams").arg(streams.to_string());
    command
        .arg("--max-memory")
        .arg(plan.payload_bytes().to_string());
    command.arg("--max-time").arg("1e9");
    if let Some(core) = core {
        command.arg("--affinity").arg(core.to_string());
    }
    if let Some(congestion) = own.congestion {
        command.arg("--congestion").arg(congestion.name());
    }
    let checksum = serde_json::to_value(own.checksum).unwrap_or_default();
    command
        .arg("--checksum")
        .arg(checksum.as_str().unwrap_or("off"));
    // As many as this end: each session has a shard of its own there too.
    if let Some(shards) = own.shards {
        command.arg("--shards").arg(shards.to_string());
    }
    if own.spin {
        command.arg("--spin");
    }
    if let Some(level) = &global.log_level {
        command.arg("--log-level").arg(level);
    }
    command.args((0..global.verbose).map(|_| "-v"));
    Ok(command)
}

/// The serving process; ended with this value.
struct Server {
    process: Child,
    lines: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    fn start(mut command: Command) -> Result<Self, Failure> {
        use std::os::unix::process::CommandExt;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C at the terminal is for the parent to handle.
        command.process_group(0);
        let fail = |error| Failure::io("start the server", &error);
        let mut process = command.spawn().map_err(fail)?;
        let Some(stdout) = process.stdout.take() else {
            return Err(fail(std::io::Error::other("it has no output")));
        };
        let mut server = Self {
            process,
            lines: BufReader::new(stdout),
            address: String::new(),
        };
        let mut line = String::new();
        server.lines.read_line(&mut line).map_err(fail)?;
        let document: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(failure) = Failure::from_document(&document) {
            return Err(failure.during("the server"));
        }
        let Some(address) = document["address"].as_str() else {
            let message = "the server ended without a word; -v tells more";
            return Err(Failure::coded(Exit::Protocol, "child_ended", message));
        };
        server.address = address.to_owned();
        Ok(server)
    }

    /// It ends when its standard input does.
    fn end(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    /// Whatever made us give up: nothing of ours is left running.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
