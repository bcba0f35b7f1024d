//! `ringway completions`: what a shell needs to complete this command.

use clap::CommandFactory;

use crate::cli::{Cli, Completions};
use crate::failure::Failure;

/// Prints them on stdout.
pub(super) fn run(options: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "ringway", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script)
        .map_err(|error| Failure::io("write to stdout", &error))
}
