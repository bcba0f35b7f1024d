//! `cargo xtask compare`: installs what the peers of a comparison need, builds the program that
//! compares, and runs it.
//!
//! The comparison itself is `benches/compare`: what is compared with what, and what is to be
//! reached, stands in `benches/src/comparison/table.rs`.

mod plot;

use std::fs;
use std::path::{Path, PathBuf};

use crate::apt;
use crate::artifact;
use crate::failure::{Failure, Result};
use crate::invocation::Invocation;

/// Programs of others that take part, and `taskset` and `ip`.
const PACKAGES: [&str; 6] = [
    "iperf3",
    "nginx-light",
    "curl",
    "tar",
    "util-linux",
    "iproute2",
];

/// Compare the engine with everybody else that moves bytes on this machine
///
/// Installs the Debian packages it needs (as root; without root they have to be there). Use a quiet
/// machine: docs/BENCHMARKS.md says what is measured and how far to trust it.
#[derive(clap::Args)]
pub struct Options {
    /// Less of everything: 5 rounds of 1 GiB or 1 s, a few minutes in all
    #[arg(long)]
    quick: bool,
    /// Only this work, again for more: hot-discard, lease-discard, hot-file, cold-file,
    /// small-files, ping-pong, spin-ping-pong, echoes
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
    /// Only against this peer, again for more: sendfile, nginx, tar, …
    #[arg(long, value_name = "PEER")]
    against: Vec<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Fail when a target is missed
    #[arg(long)]
    check: bool,
    /// Measure nothing: draw the document that `--json` gave
    #[arg(long, value_name = "JSON", requires = "plot", conflicts_with_all = ["quick", "only", "against", "json", "check"])]
    from: Option<PathBuf>,
    /// Where the picture of `--from` goes, SVG
    #[arg(long, value_name = "SVG", requires = "from")]
    plot: Option<PathBuf>,
    /// More options of the comparing program: --pairs, --mib, --seconds, --small-files, --calm,
    /// --directory
    #[arg(last = true, value_name = "OPTION")]
    more: Vec<String>,
}

/// Prepares and runs it.
pub fn run(options: &Options) -> Result<()> {
    if let (Some(from), Some(plot)) = (&options.from, &options.plot) {
        return draw(from, plot);
    }
    apt::ensure(&PACKAGES)?;
    let build = Invocation::cargo().args([
        "build",
        "--release",
        "-p",
        "ringway-benches",
        "--bench",
        "compare",
    ]);
    let program = artifact::bench_or_test(&build, "compare")?;
    Invocation::new(program).args(options.arguments()).stream()
}

fn draw(from: &Path, to: &Path) -> Result<()> {
    let text = fs::read(from).map_err(Failure::file(from))?;
    let document = serde_json::from_slice(&text);
    let document = document.map_err(|error| Failure::NoComparison {
        what: error.to_string(),
    })?;
    let picture = plot::svg(&document)?;
    fs::write(to, picture).map_err(Failure::file(to))
}

impl Options {
    fn arguments(&self) -> Vec<String> {
        let flags = [
            (self.quick, "--quick"),
            (self.json, "--json"),
            (self.check, "--check"),
        ];
        let flags = flags.into_iter().filter(|(is_given, _)| *is_given);
        let mut arguments: Vec<String> = flags.map(|(_, flag)| flag.to_owned()).collect();
        for (name, values) in [("--only", &self.only), ("--against", &self.against)] {
            for value in values {
                arguments.extend([name.to_owned(), value.clone()]);
            }
        }
        arguments.extend(self.more.iter().cloned());
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn options_reach_the_program_that_compares() {
        let line = "x --quick --only echoes --only hot-file --json -- --pairs 3";
        let cli = Cli::parse_from(line.split(' '));
        let expected = "--quick --json --only echoes --only hot-file --pairs 3";
        assert_eq!(cli.options.arguments().join(" "), expected);
    }
}
