//! Where log lines go: stderr, as much as was asked for.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::Global;
use crate::failure::Failure;

/// Starts logging. `--log-level` wins over `-v`, which wins over nothing but warnings.
pub(crate) fn start(global: &Global) -> Result<(), Failure> {
    let filter = filter(global)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}

fn filter(global: &Global) -> Result<EnvFilter, Failure> {
    let level = match (&global.log_level, global.quiet, global.verbose) {
        (Some(level), _, _) => level,
        (None, true, _) => "error",
        (None, false, 0) => "warn",
        (None, false, 1) => "info",
        (None, false, 2) => "debug",
        (None, false, _) => "trace",
    };
    EnvFilter::builder().parse(level).map_err(|error| {
        Failure::usage(format!(
            "--log-level {level}: {error}; write error, warn, info, debug, trace or a filter such \
             as ringway=debug"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global(verbose: u8, log_level: Option<&str>, quiet: bool) -> Global {
        Global {
            verbose,
            log_level: log_level.map(Into::into),
            quiet,
            json: false,
            json_stream: false,
        }
    }

    #[test]
    fn the_level_follows_the_options() {
        for (options, level) in [
            (global(0, None, false), "warn"),
            (global(0, None, true), "error"),
            (global(2, None, false), "debug"),
            (global(9, None, false), "trace"),
            (global(1, Some("ringway=debug"), false), "ringway=debug"),
        ] {
            assert_eq!(filter(&options).expect("valid").to_string(), level);
        }
        let wrong = filter(&global(0, Some("ringway=loud"), false));
        assert_eq!(wrong.expect_err("no level").exit, crate::exit::Exit::Usage);
    }
}
