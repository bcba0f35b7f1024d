//! One run: two processes, one transfer.

use std::process::Command;
use std::time::Duration;

use ringway_benches::files::Files;
use ringway_benches::run::{Account, Measurement, Processes};
use ringway_benches::{Result, cores};

use crate::row::{Row, Side};

/// How much is measured.
pub struct Plan {
    pub pairs: u32,
    pub run_bytes: u64,
    /// How long to wait before a pair for a quiet machine.
    pub calm: Duration,
}

/// A run that takes longer has stalled: 20 MB/s, and a start.
fn patience(plan: &Plan) -> Duration {
    Duration::from_secs(30 + plan.run_bytes / 20_000_000)
}

/// Runs it.
pub fn once(row: Row, side: Side, plan: &Plan, files: &Files) -> Result<Measurement> {
    if row == Row::File {
        files.blot()?;
    }
    let account = Account::open()?;
    let processes = start(row, side, plan, files)?;
    let (sent, received) = processes.finish(patience(plan))?;
    let measurement = Measurement::of(sent, received, account)?;
    if row == Row::File {
        files.check()?;
    }
    Ok(measurement)
}

fn start(row: Row, side: Side, plan: &Plan, files: &Files) -> Result<Processes> {
    let (send, receive) = match side {
        Side::Ours => ("engine-send", "engine-receive"),
        Side::Theirs => ("plain-send", "plain-receive"),
    };
    let cores = cores::allowed()?;
    let core = |index: usize| cores.get(index).filter(|_| cores.len() > 1).copied();
    let mut receiver = role(receive, core(1), plan, files)?;
    if row == Row::File {
        receiver.arg("--sink").arg(files.sink_path());
    }
    Processes::start(receiver, |address| {
        let mut sender = role(send, core(0), plan, files)?;
        sender.arg("--source").arg(files.source_path());
        sender.arg("--address").arg(address);
        Ok(sender)
    })
}

fn role(name: &str, core: Option<usize>, plan: &Plan, files: &Files) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(name);
    command.arg("--file-bytes").arg(files.bytes().to_string());
    let laps = plan.run_bytes / files.bytes();
    command.arg("--laps").arg(laps.to_string());
    if let Some(core) = core {
        command.arg("--core").arg(core.to_string());
    }
    Ok(command)
}
