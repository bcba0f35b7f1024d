//! The commands, one file each.

mod completions;
mod get;
mod key;
mod list;
mod man;
mod probe;
mod put;
mod serve;

use crate::bench;
use crate::cli::{Cli, Command};
use crate::demo;
use crate::failure::Failure;
use crate::output::Output;

/// Runs what was asked for, and says what came of it.
pub(crate) fn run(cli: &Cli, output: &Output) -> Result<(), Failure> {
    match &cli.command {
        Command::Demo(options) => demo::run(options, &cli.global, output),
        Command::Serve(options) => serve::run(options, output),
        Command::Put(options) => put::run(options, output),
        Command::Get(options) => get::run(options, output),
        Command::List(options) => list::run(options, output),
        Command::Key(options) => key::run(options, output),
        Command::Probe(_) => probe::run(output),
        Command::Bench(options) => bench::run(options, &cli.global, output),
        Command::Completions(options) => completions::run(options),
        Command::Man(options) => man::run(options, output),
        Command::DemoServe(options) => demo::serve::run(options, output),
        Command::DemoSend(options) => demo::send::run(options, output),
    }
}
