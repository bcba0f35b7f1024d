//! `cargo bench -p ringway-benches --bench resume`: how long a cut connection keeps a full stream
//! from going on, and what is sent again because of it.
//!
//! ```text
//!  file ─▶ sending engine ══ loopback TCP, cut again and again ══▶ receiving engine ─▶ memory
//!                     └── the dialer keeps a duplicate of each socket, to reset it
//! ```
//!
//! For each cut: the time from the reset to the first byte that the receiving application had not
//! had, and that came over the new connection; and the bytes that were sent again, against those
//! that were unacked when the loss was seen. What it is compared with is measured in the same run:
//! dials of a plain socket, and round trips of 64 bytes on the idle session.
#![forbid(unsafe_code)]

mod cut;
mod load;
mod report;
mod sockets;

use std::process::ExitCode;

use clap::Parser;
use ringway_benches::Result;
use ringway_benches::environment::Environment;

use crate::report::Report;

/// Cuts under full load on loopback: the gap until new bytes arrive, and what is sent again
#[derive(Parser)]
struct Options {
    /// How many cuts
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    cuts: u32,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Exit with 1 when a target is missed
    #[arg(long)]
    check: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    measure(&options).unwrap_or_else(|error| {
        eprintln!("resume: {error}");
        ExitCode::from(2)
    })
}

fn measure(options: &Options) -> Result<ExitCode> {
    let environment = Environment::look();
    let run = load::Run::start()?;
    let dials = run.dials()?;
    let round_trips = run.round_trips()?;
    let cuts = run.cuts(options.cuts)?;
    run.end();
    let report = Report::of(environment, &dials, &round_trips, &cuts)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    let is_missed = !report.is_met();
    Ok(ExitCode::from(u8::from(options.check && is_missed)))
}
