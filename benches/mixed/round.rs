//! Four runs, one after the other.

use std::fmt;
use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;
use ringway_benches::files::Files;
use ringway_benches::run::{Account, Processes};
use ringway_benches::usage::Usage;
use ringway_benches::{Result, cores};
use serde::Serialize;

/// How much is measured.
pub struct Plan {
    pub rounds: u32,
    pub seconds: f64,
    pub bulk_connections: Option<u8>,
}

/// Whose run, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The engine, bulk alone
    OursAlone,
    /// The engine, bulk and messages
    OursMixed,
    /// The plain pair
    PlainAlone,
    /// The plain pair, and a plain ping-pong
    PlainMixed,
}

/// What one came to.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    pub gb_per_s: f64,
    pub pings: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub sender: Usage,
    pub receiver: Usage,
    /// Cores that everything else on this machine used meanwhile.
    pub others_cores: f64,
    /// Of the sending engine.
    pub counters: Vec<(String, u64)>,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} GB/s", self.gb_per_s)?;
        if self.pings > 0 {
            let (p50, p99) = (self.p50_us, self.p99_us);
            write!(f, ", p50 {p50:.0} us, p99 {p99:.0} us of {}", self.pings)?;
        }
        Ok(())
    }
}

/// See the module.
#[derive(Serialize)]
pub struct Round {
    pub ours_alone: Run,
    pub ours_mixed: Run,
    pub plain_alone: Run,
    pub plain_mixed: Run,
}

impl Round {
    pub fn run(plan: &Plan, files: &Files) -> Result<Self> {
        Ok(Self {
            ours_alone: once(Kind::OursAlone, plan, files)?,
            ours_mixed: once(Kind::OursMixed, plan, files)?,
            plain_alone: once(Kind::PlainAlone, plan, files)?,
            plain_mixed: once(Kind::PlainMixed, plan, files)?,
        })
    }

    /// Ours by theirs.
    pub fn p99_ratio(&self) -> f64 {
        self.ours_mixed.p99_us / self.plain_mixed.p99_us
    }

    /// Ours by theirs.
    pub fn p50_ratio(&self) -> f64 {
        self.ours_mixed.p50_us / self.plain_mixed.p50_us
    }

    /// Of its rate alone.
    pub fn ours_kept(&self) -> f64 {
        self.ours_mixed.gb_per_s / self.ours_alone.gb_per_s
    }

    /// Of its rate alone.
    pub fn plain_kept(&self) -> f64 {
        self.plain_mixed.gb_per_s / self.plain_alone.gb_per_s
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ours {} (alone {}) | plain {} (alone {}) | p99 {:.2}, bulk keeps {:.2}, plain {:.2}",
            self.ours_mixed,
            self.ours_alone,
            self.plain_mixed,
            self.plain_alone,
            self.p99_ratio(),
            self.ours_kept(),
            self.plain_kept()
        )
    }
}

/// One run: two processes.
pub fn once(kind: Kind, plan: &Plan, files: &Files) -> Result<Run> {
    let account = Account::open()?;
    let patience = Duration::from_secs_f64(60.0 + 2.0 * plan.seconds);
    let (sent, received) = start(kind, plan, files)?.finish(patience)?;
    let (_, others_cores) = account.close()?;
    if sent.bytes != received.bytes {
        return Err(format!("{} bytes sent, {} received", sent.bytes, received.bytes).into());
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let gb = sent.bytes as f64 / 1e9;
    Ok(Run {
        gb_per_s: gb / sent.seconds,
        pings: sent.messages,
        p50_us: sent.p50_us,
        p99_us: sent.p99_us,
        sender: sent.usage,
        receiver: received.usage,
        others_cores,
        counters: sent.counters,
    })
}

fn start(kind: Kind, plan: &Plan, files: &Files) -> Result<Processes> {
    let (send, receive) = match kind {
        Kind::OursAlone | Kind::OursMixed => ("engine-send", "engine-receive"),
        Kind::PlainAlone | Kind::PlainMixed => ("plain-send", "plain-receive"),
    };
    let cores = cores::allowed()?;
    let core = |index: usize| cores.get(index).filter(|_| cores.len() > 1).copied();
    let receiver = role(receive, kind, core(1), plan)?;
    Processes::start(receiver, |address| {
        let mut sender = role(send, kind, core(0), plan)?;
        sender.arg("--source").arg(files.source_path());
        sender.arg("--file-bytes").arg(files.bytes().to_string());
        sender.arg("--seconds").arg(plan.seconds.to_string());
        sender.arg("--address").arg(address);
        Ok(sender)
    })
}

fn role(name: &str, kind: Kind, core: Option<usize>, plan: &Plan) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(name);
    if matches!(kind, Kind::OursMixed | Kind::PlainMixed) {
        command.arg("--pings");
    }
    if let Some(core) = core {
        command.arg("--core").arg(core.to_string());
    }
    if let Some(count) = plan.bulk_connections {
        command.arg("--bulk-connections").arg(count.to_string());
    }
    Ok(command)
}
