//! The `ringway` command.
//!
//! ```text
//!   main ── cli (options) ──▶ command::* ──▶ engine/ringway, engine/files
//!                                 │
//!              output (stdout), progress and logging (stderr), interrupt (signals)
//! ```
//!
//! Each command is a file under `command`; `demo` has a folder of its own, because it is three
//! processes. A command returns `Result<(), Failure>`: [`failure`] decides the exit code and the
//! one line that people see, [`output`] the document that programs see.
#![forbid(unsafe_code)]

mod bench;
mod cli;
mod command;
mod cores;
mod counters;
mod credentials;
mod demo;
mod engine_start;
mod environment;
mod exit;
mod failure;
mod interrupt;
mod logging;
mod metrics_listener;
mod output;
mod progress;
mod remote;
mod resources;
mod size;
mod transfer_report;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return explain(&error, &Output::guessed(&arguments)),
    };
    let output = Output::new(&cli.global);
    match logging::start(&cli.global).and_then(|()| command::run(&cli, &output)) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            output.fail(&failure);
            failure.exit.into()
        }
    }
}

/// Prints help, the version, or what is wrong with the command line.
fn explain(error: &clap::Error, output: &Output) -> ExitCode {
    let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if is_help || !error.use_stderr() {
        let _ = error.print();
        return if is_help {
            Exit::Usage.into()
        } else {
            Exit::Done.into()
        };
    }
    let failure = Failure::usage(format_args!(
        "{}; try --help",
        first_part(&error.to_string())
    ));
    output.fail(&failure);
    Exit::Usage.into()
}

/// What is wrong, without the usage that clap prints below it; in one line.
fn first_part(text: &str) -> String {
    let text = text.trim_start_matches("error: ");
    let lines = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:"));
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    let text = lines.join(" ");
    text.trim_end_matches("For more information, try '--help'.")
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_line_is_told_in_one_line() {
        for (arguments, part) in [
            (&["ringway", "put"][..], "<FILE>... <ADDRESS/PATH>"),
            (&["ringway", "demo", "--size", "much"], "64KiB"),
            (&["ringway", "list", "here"], "HOST:PORT/PATH"),
            (
                &["ringway", "put", "a", "b:1", "--path", "warp"],
                "zerocopy",
            ),
        ] {
            let error = Cli::try_parse_from(arguments)
                .expect_err("wrong")
                .to_string();
            let text = first_part(&error);
            assert!(text.contains(part) && !text.contains('\n'), "{text}");
            assert!(
                !text.contains("Usage") && !text.contains("--help"),
                "{text}"
            );
        }
    }
}
