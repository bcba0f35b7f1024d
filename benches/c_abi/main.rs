//! `cargo bench -p ringway-benches --bench c_abi`: what going through `ringway.h` costs.
//!
//! ```text
//!  bulk     C beside Rust, one thread each side, and with threads of the engine   GB/s
//!  echo     64 B, C in its own epoll loop, beside epoll without Ringway           µs, p50
//!  node     1,000 sessions ask for blocks of 4 KiB: C beside Rust                 blocks/s
//!  instructions (--instructions)   of one thread, counted by single steps: time is too noisy
//! ```
//!
//! Either end of a run is a process of its own on a core of its own. Both sides take turns within a
//! round, and ratios are formed within a round.
#![forbid(unsafe_code)]

mod programs;
mod rust_side;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ringway_benches::quartiles::Quartiles;
use ringway_benches::{Result, cores};

use crate::programs::{Language, Programs, Server, number_of};

/// What going through the C interface costs
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    plan: Plan,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Args)]
struct Plan {
    /// Rounds, one more at the start that counts for nothing
    #[arg(long, default_value_t = 15)]
    rounds: u32,
    /// Of a run of bulk, MiB
    #[arg(long, default_value_t = 2048)]
    mib: u64,
    /// Of a run of messages
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Sessions of the storage node
    #[arg(long, default_value_t = 1000)]
    sessions: u32,
    /// 5 rounds of 1 GiB or 1 s
    #[arg(long)]
    quick: bool,
    /// Count instructions instead of taking times
    #[arg(long)]
    instructions: bool,
    /// Exit with 1 when a target is missed
    #[arg(long)]
    check: bool,
}

/// A process of a run.
#[derive(Subcommand)]
enum Role {
    #[command(hide = true)]
    Side {
        mode: Mode,
        #[command(subcommand)]
        work: Side,
    },
}

/// Who shares a thread with the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Nobody.
    Threads,
    /// The application.
    Caller,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Caller => "caller",
        }
    }
}

#[derive(Subcommand)]
enum Side {
    BulkReceive,
    BulkSend {
        address: String,
        mib: u64,
    },
    NodeServe,
    NodeLoad {
        address: String,
        sessions: u32,
        seconds: f64,
    },
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.role {
        Some(Role::Side { mode, work }) => play(mode, work).map(|()| true),
        None => measure(&options.plan),
    };
    match done {
        Ok(is_met) => ExitCode::from(u8::from(options.plan.check && !is_met)),
        Err(error) => {
            eprintln!("c_abi: {error}");
            ExitCode::from(2)
        }
    }
}

fn play(mode: Mode, work: Side) -> Result<()> {
    match work {
        Side::BulkReceive => rust_side::bulk_receive(mode),
        Side::NodeServe => rust_side::node_serve(),
        Side::BulkSend { address, mib } => {
            println!("{:.9}", rust_side::bulk_send(mode, address, mib)?);
            Ok(())
        }
        Side::NodeLoad {
            address,
            sessions,
            seconds,
        } => {
            let rate = rust_side::node_load(&address, sessions, seconds)?;
            println!("{rate:.3}");
            Ok(())
        }
    }
}

fn measure(plan: &Plan) -> Result<bool> {
    // The node has a descriptor for each session.
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?;
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, hard, hard)?;
    let bench = Bench {
        programs: Programs::build()?,
        cores: match cores::allowed()?[..] {
            [first, second, ..] => (Some(first), Some(second)),
            _ => (None, None),
        },
        rounds: if plan.quick { 5 } else { plan.rounds },
        mib: if plan.quick { 1024 } else { plan.mib },
        seconds: if plan.quick { 1.0 } else { plan.seconds },
        sessions: plan.sessions,
    };
    match plan.instructions {
        true => bench.instructions(),
        false => bench.times(),
    }
}

struct Bench {
    programs: Programs,
    cores: (Option<usize>, Option<usize>),
    rounds: u32,
    mib: u64,
    seconds: f64,
    sessions: u32,
}

/// What a ratio is to be.
enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Bench {
    fn times(&self) -> Result<bool> {
        let mut is_met = true;
        for mode in [Mode::Caller, Mode::Threads] {
            let name = format!("bulk, {} (GB/s, C : Rust)", mode.name());
            is_met &= self.row(&name, &Target::AtLeast(0.97), |language| {
                self.bulk(language.unwrap_or(Language::Rust), mode)
            })?;
        }
        let name = "echo of 64 B, caller (µs, C : bare epoll)";
        is_met &= self.row(name, &Target::AtMost(1.35), |language| {
            self.echo(language.unwrap_or(Language::Bare))
        })?;
        let name = format!("node with {} sessions (blocks/s, C : Rust)", self.sessions);
        is_met &= self.row(&name, &Target::AtLeast(0.9), |language| {
            self.node(language.unwrap_or(Language::Rust))
        })?;
        Ok(is_met)
    }

    /// Both sides by turns, C and what it is compared with (`None`).
    fn row(
        &self,
        name: &str,
        target: &Target,
        once: impl Fn(Option<Language>) -> Result<f64>,
    ) -> Result<bool> {
        let mut pairs = Vec::new();
        for round in 0..=self.rounds {
            // Who goes first has the colder machine.
            let pair = match round % 2 {
                0 => {
                    let ours = once(Some(Language::C))?;
                    (ours, once(None)?)
                }
                _ => {
                    let other = once(None)?;
                    (once(Some(Language::C))?, other)
                }
            };
            if round > 0 {
                pairs.push(pair);
            }
        }
        let of = |pick: fn(&(f64, f64)) -> f64| Quartiles::of(pairs.iter().map(pick));
        let ratio = of(|pair| pair.0 / pair.1).ok_or("no rounds")?;
        let (ours, other) = (of(|pair| pair.0), of(|pair| pair.1));
        let (ours, other) = (ours.ok_or("no rounds")?, other.ok_or("no rounds")?);
        let (is_met, wanted) = match target {
            Target::AtLeast(least) => (ratio.median >= *least, format!(">= {least}")),
            Target::AtMost(most) => (ratio.median <= *most, format!("<= {most}")),
        };
        let verdict = if is_met { "met" } else { "MISSED" };
        println!("{name}\n    {ours} : {other}   ratio {ratio}   {wanted} {verdict}");
        Ok(is_met)
    }

    fn bulk(&self, language: Language, mode: Mode) -> Result<f64> {
        let mib = self.mib.to_string();
        let serve = (self.programs).command(language, self.cores.1, &[mode.name(), "bulk-receive"]);
        let server = Server::start(serve)?;
        let words = [mode.name(), "bulk-send", &server.address, &mib];
        let seconds = number_of(&mut self.programs.command(language, self.cores.0, &words))?;
        server.finish()?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        Ok((self.mib << 20) as f64 / 1e9 / seconds)
    }

    fn echo(&self, language: Language) -> Result<f64> {
        let seconds = self.seconds.to_string();
        let (serve, call): (&[&str], &[&str]) = match language {
            Language::Bare => (&["serve"], &["call"]),
            _ => (&["caller", "echo-serve"], &["caller", "echo-call"]),
        };
        let server = Server::start(self.programs.command(language, self.cores.1, serve))?;
        let mut words = call.to_vec();
        words.extend([server.address.as_str(), &seconds]);
        let p50 = number_of(&mut self.programs.command(language, self.cores.0, &words))?;
        server.finish()?;
        Ok(p50)
    }

    fn node(&self, language: Language) -> Result<f64> {
        let serve = (self.programs).command(language, self.cores.1, &["caller", "node-serve"]);
        let server = Server::start(serve)?;
        let (sessions, seconds) = (self.sessions.to_string(), self.seconds.to_string());
        let words = ["caller", "node-load", &server.address, &sessions, &seconds];
        number_of(&mut self.programs.command(Language::Rust, self.cores.0, &words))
    }

    fn instructions(&self) -> Result<bool> {
        let mut is_met = true;
        for side in ["send", "receive"] {
            let name = format!("bulk {side}, one thread (instructions/MiB, C : Rust)");
            is_met &= self.row(&name, &Target::AtMost(1.05), |language| {
                self.bulk_instructions(language.unwrap_or(Language::Rust), side)
            })?;
        }
        for call in ["version", "offsets", "receive", "send", "poll"] {
            let each = self.call_instructions(call)?;
            println!("call {call}: {each:.0} instructions");
        }
        Ok(is_met)
    }

    /// Of the side's one thread, its engine included.
    fn bulk_instructions(&self, language: Language, side: &str) -> Result<f64> {
        const MIB: f64 = 4.0;
        let receive = ["caller", "bulk-receive"];
        let is_receiver = side == "receive";
        let (serve, count) = match is_receiver {
            true => self.programs.counted(language, self.cores.1, &receive),
            false => {
                let plain = (self.programs).command(language, self.cores.1, &receive);
                (plain, std::path::PathBuf::new())
            }
        };
        let server = Server::start(serve)?;
        let words = ["caller", "bulk-send", &server.address, "4"];
        let (mut send, count) = match is_receiver {
            true => (self.programs.command(language, self.cores.0, &words), count),
            false => self.programs.counted(language, self.cores.0, &words),
        };
        number_of(&mut send)?;
        server.finish()?;
        Ok(std::fs::read_to_string(count)?.trim().parse::<f64>()? / MIB)
    }

    /// Of one call: many, less the loop around them.
    fn call_instructions(&self, call: &str) -> Result<f64> {
        const CALLS: f64 = 500.0;
        let of = |kind: &str| -> Result<f64> {
            let words = ["caller", "calls", kind, "500"];
            let (mut command, count) = self.programs.counted(Language::C, self.cores.0, &words);
            if !command.status()?.success() {
                return Err(format!("{command:?} failed").into());
            }
            Ok(std::fs::read_to_string(count)?.trim().parse()?)
        };
        Ok((of(call)? - of("none")?) / CALLS)
    }
}
