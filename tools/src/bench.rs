//! `ringway bench`: what this engine does between two machines, or on one.
//!
//! ```text
//!   bench run (client)                                     bench server
//!     run ── plan ──▶ control stream: begin, measure, end ──▶ visit ── test
//!      │                                                        │
//!      └ load: pump, drain, calls, connects ◀── data streams ──▶ └ pump, drain, echo
//!      │
//!      └ document, text, latency log ──▶ report (HTML)
//! ```
//!
//! The client decides what is done; the server bounds it ([`limits`]) and does its half. Both ends
//! use the public API as an application would: tasks on the shard that owns the session. All times
//! are taken at the client, all CPU times by each end for its own process.
//!
//! Start reading at [`run`] (the client) and [`server`].

mod bulk;
mod calls;
mod connects;
mod control;
mod cutter;
mod document;
mod echo;
mod endpoint;
mod failures;
mod latency;
mod limits;
mod local;
mod message;
mod network;
pub(crate) mod options;
mod plan;
mod progress;
mod report;
mod run;
mod server;
mod snapshot;
mod source;
mod test;
mod text;
mod visit;
mod within;

use self::options::{Bench, BenchCommand};
use crate::cli::Global;
use crate::failure::Failure;
use crate::output::Output;

/// Does what was asked for.
pub(crate) fn run(options: &Bench, global: &Global, output: &Output) -> Result<(), Failure> {
    match &options.command {
        BenchCommand::Server(options) => server::run(options, output),
        BenchCommand::Run(options) => run::run(options, output),
        BenchCommand::Local(options) => local::run(options, global, output),
        BenchCommand::Report(options) => report::run(options, output),
    }
}
