//! The command line: every option, its default and its help text.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;
use ringway::{Cores, FaultPlan, Faults, PathChoice};
use ringway_files::{Overwrite, PageCache};

use crate::remote::Remote;
use crate::size::Size;

const EXAMPLES: &str = "\
Examples:
  ringway demo                                  see a file survive three cut connections
  ringway serve --root /srv/data                offer a directory on 127.0.0.1:7400
  ringway put big.iso localhost:7400/images/    send a file; again after a failure: it resumes
  ringway get localhost:7400/images/big.iso .   fetch it
  ringway list -l localhost:7400/               see what is there
  ringway probe                                 what this kernel can do, and which path bodies take
  ringway bench local                           how fast it is here, and what that costs

Addresses:
  HOST:PORT/PATH, [IPV6]:PORT/PATH, unix:SOCKET//PATH; paths are relative to the served root.

Exit codes:
  0 done              4 authentication           8 the kernel cannot
  2 usage             5 protocol                 9 a limit was reached
  3 cannot connect    6 file                   130 interrupted (resume points are kept)
                      7 checksum or source changed

A connection is authenticated by a key that is made on first use; it is not encrypted: use
WireGuard or IPsec between machines.";

/// Moves files between Linux machines with as few copies as the kernel allows, and never loses
/// its place.
#[derive(Debug, Parser)]
#[command(name = "ringway", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_display_order = 900)]
pub(crate) struct Global {
    /// Say more on stderr: -v what happens, -vv details, -vvv everything
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// What to log on stderr: error, warn, info, debug, trace, or a filter such as ringway=debug
    #[arg(long, value_name = "LEVEL", global = true)]
    pub(crate) log_level: Option<String>,
    /// No progress and no summary: only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print exactly one JSON document on stdout, at the end
    #[arg(long, global = true, conflicts_with = "json_stream")]
    pub(crate) json: bool,
    /// Print events as lines of JSON; the last line is the document of --json
    #[arg(long, global = true)]
    pub(crate) json_stream: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(Demo),
    Serve(Serve),
    Put(Put),
    Get(Get),
    List(List),
    Key(Key),
    Probe(Probe),
    Bench(crate::bench::options::Bench),
    Completions(Completions),
    #[command(hide = true)]
    Man(Man),
    #[command(hide = true)]
    DemoServe(DemoServe),
    #[command(hide = true)]
    DemoSend(DemoSend),
}

const DEMO_EXAMPLES: &str = "\
Examples:
  ringway demo
  ringway demo --size 8GiB --cuts 10
  ringway demo --file big.iso --json | jq .gb_per_s

A serving and a sending process are started on loopback; a third one cuts their connection. The
file lies in TMPDIR meanwhile, needs twice its size there (once with --file), and is removed.";

/// Send a file over a connection that is cut several times, and verify what arrives
#[derive(Debug, Args)]
#[command(after_help = DEMO_EXAMPLES)]
pub(crate) struct Demo {
    /// Size of the generated file: incompressible bytes
    #[arg(long, default_value = "1GiB", conflicts_with = "file")]
    pub(crate) size: Size,
    /// Send this file instead of a generated one
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// How many times the connection is cut
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) cuts: u32,
    /// Decides the content and where the cuts fall; random if not given
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) body_path: BodyPathOption,
}

const SERVE_EXAMPLES: &str = "\
Examples:
  ringway serve --root /srv/data
  ringway serve --root . --listen 0.0.0.0:7400 --key-file node-b.key
  ringway serve --root . --listen unix:/run/user/1000/ringway.sock --read-only
  ringway serve --root /srv/data --metrics 127.0.0.1:9400

`listening on ADDRESS` is printed on stdout once clients can connect. SIGINT or SIGTERM end it
cleanly, a second one at once; transfers resume from where they were when it is started again.";

/// Offer a directory to put, get and list
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct Serve {
    /// The directory; nothing outside of it can be reached
    #[arg(long, value_name = "DIR")]
    pub(crate) root: PathBuf,
    /// Where to listen: HOST:PORT (port 0: any free one), [IPV6]:PORT or unix:SOCKET
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7400")]
    pub(crate) listen: String,
    /// Offer statistics to Prometheus at http://ADDRESS/metrics: IP:PORT, best on loopback, since
    /// whoever reaches it can read them; docs/METRICS.md explains each
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Refuse every put
    #[arg(long)]
    pub(crate) read_only: bool,
    #[command(flatten)]
    pub(crate) cache: CacheOption,
    /// Which cores its threads run on: any; own, one for each, of those that this process may use;
    /// or a list such as 2,4-7, a thread for each
    #[arg(long, value_name = "CORES", default_value = "any")]
    pub(crate) cores: Cores,
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    /// With --insecure: also on addresses that other machines can reach
    #[arg(long, requires = "insecure")]
    pub(crate) anywhere: bool,
    #[command(flatten)]
    pub(crate) faults: FaultOptions,
}

/// Who we are.
#[derive(Clone, Debug, Args)]
pub(crate) struct Credentials {
    /// The key file, instead of the user's own; made if there is none
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) key_file: Option<PathBuf>,
    /// No keys: anybody who can connect is believed. The other side has to say so too
    #[arg(long)]
    pub(crate) insecure: bool,
}

/// What is to go wrong, to rehearse it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Rehearsing failures")]
pub(crate) struct FaultOptions {
    /// Inject faults, separated by commas: cut:every=SIZE or cut:after=SIZE (also for the next
    /// three), drop-inbound, drop-outbound, corrupt; delay:TIME..TIME, refuse:SHARE%,
    /// slow-disk:TIME. SIZE as 64MiB, TIME as 5ms; docs/FAULTS.md explains each
    #[arg(long, value_name = "FAULTS")]
    pub(crate) fault: Option<FaultPlan>,
    /// Decides what is drawn for --fault
    #[arg(long, value_name = "SEED", default_value_t = 0, requires = "fault")]
    pub(crate) fault_seed: u64,
}

impl FaultOptions {
    /// For the engine's configuration.
    pub(crate) fn faults(&self) -> Option<Faults> {
        let plan = self.fault.clone()?;
        Some(Faults::new(self.fault_seed, plan))
    }
}

/// How to reach a server.
#[derive(Clone, Debug, Args)]
pub(crate) struct Reach {
    #[command(flatten)]
    pub(crate) credentials: Credentials,
    /// How long the first connection may take, retries included
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) connect_timeout: Duration,
    /// How long to try to reach a server again that was there and has gone
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) give_up_after: Duration,
    #[command(flatten)]
    pub(crate) faults: FaultOptions,
}

/// A time in seconds, decimals allowed.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let number: Result<f64, _> = text.parse();
    number
        .ok()
        .and_then(|number| Duration::try_from_secs_f64(number).ok())
        .ok_or_else(|| format!("`{text}` is no number of seconds"))
}

/// Which way bodies take.
#[derive(Clone, Debug, Args)]
pub(crate) struct BodyPathOption {
    /// Force the way bodies take to the socket, for measurement
    #[arg(long = "path", value_name = "PATH", default_value = "auto",
        value_parser = PossibleValuesParser::new(PathChoice::ALL.map(PathChoice::name))
            .try_map(|name| name.parse::<PathChoice>()))]
    pub(crate) choice: PathChoice,
}

/// Whether large files are to be left in the page cache.
#[derive(Clone, Debug, Args)]
pub(crate) struct CacheOption {
    /// Read and write large files past the page cache (O_DIRECT), here at this end: for what is
    /// moved once and should push nothing else out of memory
    #[arg(long = "direct")]
    is_passed: bool,
}

impl CacheOption {
    /// As the file service takes it; a forced path asks for it too.
    pub(crate) fn cache(&self, forced: PathChoice) -> PageCache {
        match self.is_passed || forced == PathChoice::Direct {
            true => PageCache::Passed,
            false => PageCache::Used,
        }
    }
}

/// How files are transferred, both ways.
#[derive(Clone, Debug, Args)]
pub(crate) struct TransferOptions {
    /// Directories with everything in them
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Begin anew: drop the partial file of an earlier attempt, or of another source
    #[arg(long)]
    pub(crate) restart: bool,
    /// What to do with a file that is there already
    #[arg(long, value_name = "WHEN", default_value = "replace",
        value_parser = PossibleValuesParser::new(["replace", "never", "if-newer", "if-different"])
            .try_map(|name| name.parse::<Overwrite>()))]
    pub(crate) overwrite: Overwrite,
    /// Read both files again at the end and compare their digests; costs a read at each end
    #[arg(long)]
    pub(crate) verify: bool,
}

const PUT_EXAMPLES: &str = "\
Examples:
  ringway put big.iso node-b:7400/images/
  ringway put a.bin b.bin node-b:7400/data/
  ringway put -r photos unix:/run/ringway.sock//backup/

When it is interrupted, by a signal, by SIGKILL or by a dead server, repeat it: it goes on from
the bytes that have arrived.";

/// Send files
#[derive(Debug, Args)]
#[command(after_help = PUT_EXAMPLES)]
pub(crate) struct Put {
    /// Files, or directories with -r
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Where to; a trailing slash says: into this directory
    #[arg(value_name = "ADDRESS/PATH", required = true)]
    pub(crate) destination: Remote,
    #[command(flatten)]
    pub(crate) transfer: TransferOptions,
    #[command(flatten)]
    pub(crate) cache: CacheOption,
    #[command(flatten)]
    pub(crate) body_path: BodyPathOption,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

const GET_EXAMPLES: &str = "\
Examples:
  ringway get node-b:7400/images/big.iso
  ringway get node-b:7400/a.bin node-b:7400/b.bin downloads/
  ringway get -r node-b:7400/photos .";

/// Fetch files
#[derive(Debug, Args)]
#[command(after_help = GET_EXAMPLES, override_usage = "ringway get [OPTIONS] <ADDRESS/PATH>... [DEST]")]
pub(crate) struct Get {
    /// What, and last where to; the working directory if the last is an address too
    #[arg(value_name = "ADDRESS/PATH", required = true)]
    pub(crate) places: Vec<String>,
    #[command(flatten)]
    pub(crate) transfer: TransferOptions,
    #[command(flatten)]
    pub(crate) cache: CacheOption,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// Show what is in a served directory
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Which directory or file
    #[arg(value_name = "ADDRESS/PATH")]
    pub(crate) place: Remote,
    /// Everything below it too
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// With kind, mode, size and time of modification
    #[arg(short, long)]
    pub(crate) long: bool,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// Make or show the key that connections are authenticated with
#[derive(Debug, Args)]
#[command(after_help = "\
Commands of one user find the same key by themselves. For another machine or user, copy the key
file there over a channel you trust; whoever has it may connect.")]
pub(crate) struct Key {
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a new key
    New(KeyNew),
    /// Show the id and the fingerprint
    Show(KeyShow),
}

#[derive(Debug, Args)]
pub(crate) struct KeyNew {
    /// The file to make, instead of the user's own
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The name that the key is known by: letters, digits, - and _
    #[arg(long, value_name = "NAME")]
    pub(crate) id: Option<String>,
    /// Replace the key that is there: what only knows the old one is refused from then on
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeyShow {
    /// The file, instead of the user's own
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Show the secret too
    #[arg(long)]
    pub(crate) secret: bool,
}

/// Tell what this kernel can do, and which path bodies of each kind would take, and why
#[derive(Debug, Args)]
pub(crate) struct Probe {}

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ringway completions bash > ~/.local/share/bash-completion/completions/ringway
  ringway completions zsh > ~/.zfunc/_ringway
  ringway completions fish > ~/.config/fish/completions/ringway.fish")]
pub(crate) struct Completions {
    /// Which shell
    pub(crate) shell: Shell,
}

/// Write the man pages into a directory
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The directory, which must exist
    pub(crate) directory: PathBuf,
}

/// The receiving process of `demo`; ends when its stdin does
#[derive(Debug, Args)]
pub(crate) struct DemoServe {
    #[arg(long)]
    pub(crate) root: PathBuf,
    #[arg(long)]
    pub(crate) key_file: PathBuf,
    #[arg(long)]
    pub(crate) core: Option<usize>,
}

/// The sending process of `demo`; its stdin is a socket that takes its connections
#[derive(Debug, Args)]
pub(crate) struct DemoSend {
    #[arg(long)]
    pub(crate) file: PathBuf,
    #[arg(long)]
    pub(crate) to: Remote,
    #[arg(long)]
    pub(crate) key_file: PathBuf,
    #[arg(long)]
    pub(crate) core: Option<usize>,
    #[command(flatten)]
    pub(crate) body_path: BodyPathOption,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn put_takes_several_files_and_one_destination() {
        let cli = Cli::try_parse_from(["ringway", "put", "a", "b", "node:7400/x", "-r"]);
        let Command::Put(put) = cli.expect("valid").command else {
            panic!("not a put");
        };
        assert_eq!(put.files.len(), 2);
        assert_eq!(put.destination.path, "x");
        assert!(put.transfer.recursive);
    }

    #[test]
    fn the_help_lists_every_exit_code() {
        let help = Cli::command().render_long_help().to_string();
        for exit in crate::exit::Exit::ALL {
            assert!(
                help.contains(&format!(" {} ", exit.number())),
                "{}",
                exit.name()
            );
        }
    }
}
