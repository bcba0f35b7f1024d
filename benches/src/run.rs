//! The two processes of a run: started, waited for, accounted.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Result;
use crate::job::Outcome;
use crate::usage::{Usage, children_cpu_s, machine_cpu_s};

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

/// Starts an account of everything that runs until it is closed.
pub struct Account {
    children_s: f64,
    machine_s: Option<f64>,
    begun: Instant,
}

impl Account {
    /// Now.
    ///
    /// # Errors
    /// What getrusage(2) says.
    pub fn open() -> Result<Self> {
        Ok(Self {
            children_s: children_cpu_s()?,
            machine_s: machine_cpu_s(),
            begun: Instant::now(),
        })
    }

    /// CPU seconds of all processes of ours that ended since, and how many cores everything else
    /// on this machine used meanwhile.
    ///
    /// # Errors
    /// What getrusage(2) says.
    pub fn close(self) -> Result<(f64, f64)> {
        let cpu_s = children_cpu_s()? - self.children_s;
        let machine_s = machine_cpu_s().zip(self.machine_s);
        let machine_s = machine_s.map_or(0.0, |(now, then)| now - then);
        let others_s = (machine_s - cpu_s).max(0.0);
        Ok((cpu_s, others_s / self.begun.elapsed().as_secs_f64()))
    }
}

impl Measurement {
    /// GB/s.
    #[must_use]
    pub fn gb_per_s(&self) -> f64 {
        self.gb() / self.seconds
    }

    /// Of both processes, seconds per GB.
    #[must_use]
    pub fn cpu_s_per_gb(&self) -> f64 {
        self.cpu_s / self.gb()
    }

    /// GB moved.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn gb(&self) -> f64 {
        self.bytes as f64 / 1e9
    }

    /// The larger of the two, bytes.
    #[must_use]
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

impl Measurement {
    /// From what the two processes told, and the account around them.
    ///
    /// # Errors
    /// They moved different numbers of bytes.
    pub fn of(sent: Outcome, received: Outcome, account: Account) -> Result<Self> {
        let (cpu_s, others_cores) = account.close()?;
        if sent.bytes != received.bytes {
            return Err(format!("{} bytes sent, {} received", sent.bytes, received.bytes).into());
        }
        Ok(Self {
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
}

/// The two processes of a run; killed when dropped.
pub struct Processes {
    receiver: Child,
    receiver_out: BufReader<ChildStdout>,
    sender: Child,
}

impl Processes {
    /// Starts the receiver, waits until it listens, and starts the sender that goes there.
    /// Receivers that have nothing to count end when their standard input does.
    ///
    /// # Errors
    /// A process cannot be started, or the receiver ends at once.
    pub fn start(
        mut receiver: Command,
        sender: impl FnOnce(&str) -> Result<Command>,
    ) -> Result<Self> {
        receiver.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut receiver = Killed(Some(receiver.spawn()?));
        let mut receiver_out = BufReader::new(receiver.stdout()?);
        let mut line = String::new();
        receiver_out.read_line(&mut line)?;
        let address = line
            .strip_prefix("ready ")
            .ok_or("the receiver did not start")?;
        let mut sender = sender(address.trim())?;
        let sender = sender.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        Ok(Self {
            receiver: receiver.keep()?,
            receiver_out,
            sender,
        })
    }

    /// Waits for both and reads what they tell: the sender, the receiver.
    ///
    /// # Errors
    /// One of them failed, or they take longer than `patience`.
    pub fn finish(mut self, patience: Duration) -> Result<(Outcome, Outcome)> {
        let deadline = Instant::now() + patience;
        // Their lines fit a pipe, so that they never wait for being read.
        while !self.have_ended()? {
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

impl Processes {
    fn have_ended(&mut self) -> Result<bool> {
        if !has_ended(&mut self.sender)? {
            return Ok(false);
        }
        drop(self.receiver.stdin.take());
        has_ended(&mut self.receiver)
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
