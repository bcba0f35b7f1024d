//! One run of one side: which processes, with which options.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ringway_benches::comparison::sample::Sample;
use ringway_benches::comparison::table::{Side, Work};
use ringway_benches::files::Files;
use ringway_benches::run::{Account, Processes};
use ringway_benches::{Result, cores};

use crate::external;
use crate::small_files::SmallFiles;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub pairs: u32,
    pub run_bytes: u64,
    pub small_files: u32,
    /// Of a run of messages.
    pub seconds: f64,
    pub calm: Duration,
}

/// What all runs need.
pub struct Ground<'a> {
    pub plan: Plan,
    pub files: &'a Files,
    pub small: Option<&'a SmallFiles>,
    /// Where small files arrive, and others put what they need.
    pub directory: &'a Path,
    /// Of the sending and of the receiving side, where there are two.
    pub cores: Option<(usize, usize)>,
}

/// Two cores, if there are.
pub fn two_cores() -> Result<Option<(usize, usize)>> {
    Ok(match cores::allowed()?[..] {
        [first, second, ..] => Some((first, second)),
        _ => None,
    })
}

/// A pair of subcommands of this program.
struct Pair {
    send: &'static str,
    receive: &'static str,
}

impl Ground<'_> {
    /// Runs it once.
    pub fn once(&self, work: Work, side: Side) -> Result<Sample> {
        match (work, side) {
            (_, Side::Nginx) => external::nginx(self),
            (_, Side::IperfFile) => external::iperf(self, Some(&self.files.source_path())),
            (_, Side::Iperf) => external::iperf(self, None),
            (Work::SmallFiles, side) => self.small_files(side),
            (Work::PingPong | Work::SpinPingPong | Work::Echoes, side) => self.messages(work, side),
            (work, side) => self.bulk(work, side),
        }
    }

    fn bulk(&self, work: Work, side: Side) -> Result<Sample> {
        let (send, receive) = match (work, side) {
            (Work::LeaseDiscard, Side::Ours) => ("lease-send", "engine-receive"),
            (_, Side::Ours) => ("engine-send", "engine-receive"),
            (_, Side::Send) => ("memory-send", "plain-receive"),
            (_, Side::ReadWrite) => ("loop-send", "loop-receive"),
            (_, Side::Buffered) => ("loop-send", "disk-receive"),
            (_, Side::SpliceLoop) => ("plain-send", "splice-receive"),
            (_, Side::Tokio) => ("tokio-send", "tokio-receive"),
            (_, Side::TokioUring) => ("uring-send", "uring-receive"),
            (_, Side::Sendfile | Side::RecvPwrite) => ("plain-send", "plain-receive"),
            (_, side) => return Err(format!("{side:?} does not do {work:?}").into()),
        };
        let into_file = matches!(work, Work::HotFile | Work::ColdFile);
        if into_file {
            self.files.blot()?;
        }
        if work == Work::ColdFile {
            self.files.cool()?;
        }
        let pair = Pair { send, receive };
        let sample = self.run(&pair, |command, is_sender| {
            command
                .arg("--file-bytes")
                .arg(self.files.bytes().to_string());
            command.args(["--laps", "1"]);
            if (work, side) == (Work::ColdFile, Side::Ours) {
                command.arg("--direct");
            }
            if is_sender {
                command.arg("--source").arg(self.files.source_path());
            } else if into_file {
                command.arg("--sink").arg(self.files.sink_path());
            }
        })?;
        if into_file {
            self.files.check()?;
        }
        Ok(sample)
    }

    fn messages(&self, work: Work, side: Side) -> Result<Sample> {
        let (send, receive) = match (work, side) {
            (Work::PingPong | Work::SpinPingPong, Side::Ours) => ("stream-call", "stream-serve"),
            (_, Side::BlockingPingPong) => ("ping-call", "ping-serve"),
            (_, Side::SpinningPingPong) => ("spin-call", "spin-serve"),
            (_, Side::Ours) => ("record-call", "record-serve"),
            _ => ("frame-call", "frame-serve"),
        };
        let in_flight = if work == Work::Echoes { "64" } else { "1" };
        let seconds = self.plan.seconds.to_string();
        self.run(&Pair { send, receive }, |command, is_sender| {
            if is_sender {
                command.args(["--seconds", &seconds, "--in-flight", in_flight]);
            }
            if (work, side) == (Work::SpinPingPong, Side::Ours) {
                command.arg("--spin");
            }
        })
    }

    fn small_files(&self, side: Side) -> Result<Sample> {
        let small = self.small.ok_or("the small files were not made")?;
        let (send, receive) = match side {
            Side::Ours => ("files-put", "files-serve"),
            _ => ("tar-send", "tar-receive"),
        };
        let place = tempfile::tempdir_in(self.directory)?;
        let into: PathBuf = place.path().to_owned();
        let sample = self.run(&Pair { send, receive }, |command, is_sender| {
            let directory = if is_sender { small.path() } else { &into };
            command.arg("--directory").arg(directory);
            command.arg("--bytes").arg(small.bytes().to_string());
        })?;
        small.check(&into)?;
        Ok(sample)
    }

    fn run(&self, pair: &Pair, more: impl Fn(&mut Command, bool)) -> Result<Sample> {
        let program = std::env::current_exe()?;
        let role = |name: &str, core: Option<usize>, is_sender: bool| {
            let mut command = Command::new(&program);
            command.arg(name);
            if let Some(core) = core {
                command.arg("--core").arg(core.to_string());
            }
            more(&mut command, is_sender);
            command
        };
        let account = Account::open()?;
        let receiver = role(pair.receive, self.cores.map(|cores| cores.1), false);
        let processes = Processes::start(receiver, |address| {
            let mut sender = role(pair.send, self.cores.map(|cores| cores.0), true);
            sender.arg("--address").arg(address);
            Ok(sender)
        })?;
        let (sent, received) = processes.finish(self.patience())?;
        let (cpu_s, others_cores) = account.close()?;
        if sent.bytes != received.bytes {
            return Err(format!("{} bytes sent, {} received", sent.bytes, received.bytes).into());
        }
        Ok(Sample::of(&sent, cpu_s, others_cores))
    }

    /// A run that takes longer has stalled: 20 MB/s, and a start.
    pub fn patience(&self) -> Duration {
        let bytes_s = Duration::from_secs(60 + self.plan.run_bytes / 20_000_000);
        bytes_s + Duration::from_secs_f64(self.plan.seconds)
    }
}
