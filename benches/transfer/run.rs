//! One run: two processes, one transfer.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ringway_benches::cores;
use ringway_benches::usage::{Usage, children_cpu_s, machine_cpu_s};
use serde::Serialize;

use crate::Result;
use crate::files::Files;
use crate::job::Outcome;
use crate::row::{Row, Side};

/// How much is measured.
pub struct Plan {
    pub pairs: u32,
    pub run_bytes: u64,
    /// How long to wait before a pair for a quiet machine.
    pub calm: Duration,
}

/// With less of the machine than this used by others, cores, it counts as calm.
const CALM_CORES: f64 = 0.15;

/// Waits for half a second in which nothing else works here, not longer than `patience`.
pub fn wait_for_calm(patience: Duration) {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        let before = (machine_cpu_s(), Instant::now());
        thread::sleep(Duration::from_millis(500));
        let used_s = machine_cpu_s().zip(before.0).map(|(now, then)| now - then);
        if used_s.unwrap_or(0.0) < CALM_CORES * before.1.elapsed().as_secs_f64() {
            return;
        }
    }
}

/// What a run took.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// From the first byte to the word that the last was taken.
    pub seconds: f64,
    /// Bytes moved.
    pub bytes: u64,
    /// Both processes, from their start to their end.
    pub cpu_s: f64,
    /// Cores that everything else on this machine used meanwhile: how far to trust this run.
    pub others_cores: f64,
    /// The sender until it told its outcome.
    pub sender: Usage,
    /// The receiver until it told its outcome.
    pub receiver: Usage,
    /// Counters of the sending engine.
    pub sender_counters: Vec<(String, u64)>,
    /// Counters of the receiving engine.
    pub receiver_counters: Vec<(String, u64)>,
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
    let before = (children_cpu_s()?, machine_cpu_s(), Instant::now());
    let (sent, received) = Processes::start(row, side, plan, files)?.finish(patience(plan))?;
    let cpu_s = children_cpu_s()? - before.0;
    let machine_s = machine_cpu_s().zip(before.1).map(|(now, then)| now - then);
    let others_s = (machine_s.unwrap_or(0.0) - cpu_s).max(0.0);
    let others_cores = others_s / before.2.elapsed().as_secs_f64();
    if row == Row::File {
        files.check()?;
    }
    if sent.bytes != received.bytes {
        return Err(format!("{} bytes sent, {} received", sent.bytes, received.bytes).into());
    }
    Ok(Measurement {
        seconds: sent.seconds,
        bytes: sent.bytes,
        cpu_s,
        others_cores,
        sender: sent.usage,
        receiver: received.usage,
        sender_counters: sent.counters,
        receiver_counters: received.counters,
    })
}

impl Measurement {
    /// GB/s.
    pub fn gb_per_s(&self) -> f64 {
        self.gb() / self.seconds
    }

    /// Of both processes, seconds per GB.
    pub fn cpu_s_per_gb(&self) -> f64 {
        self.cpu_s / self.gb()
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn gb(&self) -> f64 {
        self.bytes as f64 / 1e9
    }

    /// The larger of the two, bytes.
    pub fn peak_rss_bytes(&self) -> u64 {
        self.sender.peak_rss_bytes.max(self.receiver.peak_rss_bytes)
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gb = self.gb();
        write!(
            f,
            "{:.2} GB/s {:.3} s/GB (send {:.3}, receive {:.3}; others {:.1})",
            self.gb_per_s(),
            self.cpu_s_per_gb(),
            self.sender.cpu_s / gb,
            self.receiver.cpu_s / gb,
            self.others_cores
        )
    }
}

/// The two processes of a run; killed when dropped.
struct Processes {
    receiver: Child,
    receiver_out: BufReader<ChildStdout>,
    sender: Child,
}

impl Processes {
    fn start(row: Row, side: Side, plan: &Plan, files: &Files) -> Result<Self> {
        let (send, receive) = match side {
            Side::Ours => ("engine-send", "engine-receive"),
            Side::Theirs => ("plain-send", "plain-receive"),
        };
        let cores = cores::allowed()?;
        let core = |index: usize| cores.get(index).filter(|_| cores.len() > 1).copied();
        let mut command = role(receive, core(1), plan, files)?;
        if row == Row::File {
            command.arg("--sink").arg(files.sink_path());
        }
        let mut receiver = Killed(Some(command.spawn()?));
        let mut receiver_out = BufReader::new(receiver.stdout()?);
        let mut line = String::new();
        receiver_out.read_line(&mut line)?;
        let address = line
            .strip_prefix("ready ")
            .ok_or("the receiver did not start")?;
        let mut command = role(send, core(0), plan, files)?;
        command.arg("--source").arg(files.source_path());
        command.arg("--address").arg(address.trim());
        let sender = command.spawn()?;
        Ok(Self {
            receiver: receiver.keep()?,
            receiver_out,
            sender,
        })
    }

    /// Waits for both and reads what they tell.
    fn finish(mut self, patience: Duration) -> Result<(Outcome, Outcome)> {
        let deadline = Instant::now() + patience;
        // Their lines fit a pipe, so that they never wait for being read.
        while !(has_ended(&mut self.sender)? && has_ended(&mut self.receiver)?) {
            if Instant::now() > deadline {
                return Err(format!("not done after {} s", patience.as_secs()).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        let mut sent = String::new();
        let sender_out = self.sender.stdout.as_mut().ok_or("no pipe")?;
        sender_out.read_to_string(&mut sent)?;
        let mut received = String::new();
        self.receiver_out.read_to_string(&mut received)?;
        Ok((
            serde_json::from_str(&sent)?,
            serde_json::from_str(&received)?,
        ))
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in [&mut self.sender, &mut self.receiver] {
            kill(child);
        }
    }
}

/// A process that is killed unless it is kept.
struct Killed(Option<Child>);

impl Killed {
    fn stdout(&mut self) -> Result<ChildStdout> {
        let child = self.0.as_mut().ok_or("no process")?;
        Ok(child.stdout.take().ok_or("no pipe")?)
    }

    fn keep(mut self) -> Result<Child> {
        Ok(self.0.take().ok_or("no process")?)
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            kill(child);
        }
    }
}

/// Of a process that has ended already, both calls do nothing.
fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Whether it has ended, and well.
fn has_ended(child: &mut Child) -> Result<bool> {
    match child.try_wait()? {
        None => Ok(false),
        Some(status) if status.success() => Ok(true),
        Some(status) => Err(format!("a process of the run failed: {status}").into()),
    }
}

fn role(name: &str, core: Option<usize>, plan: &Plan, files: &Files) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(name).stdout(Stdio::piped());
    command.arg("--file-bytes").arg(files.bytes().to_string());
    let laps = plan.run_bytes / files.bytes();
    command.arg("--laps").arg(laps.to_string());
    if let Some(core) = core {
        command.arg("--core").arg(core.to_string());
    }
    Ok(command)
}
