//! What both ends do: the command line, checked and without its defaults left open.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits::{
    BULK_BYTES, CALL_BYTES, CALL_BYTES_MAX, IN_FLIGHT_AT_RATE, LEASE_BYTES_MAX, MEMORY_BYTES_MAX,
    RANGE_BYTES_MAX, TIME,
};
use super::options::{Checksum, Load, Mode, Own};
use super::source::{Sink, Source};
use crate::failure::Failure;

/// Who sends bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Direction {
    /// The client.
    Up,
    /// The server.
    Down,
    /// Both.
    Both,
}

/// What bodies are made of, as the ends tell each other; never a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SourceKind {
    Memory,
    Lease,
    File,
}

/// Where bodies go, as the ends tell each other; never a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SinkKind {
    Discard,
    File,
}

/// See the module. Travels to the server, which checks it against its limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) mode: Mode,
    pub(super) direction: Direction,
    /// Of the measured part; with `bytes` none.
    pub(super) seconds: Option<f64>,
    /// Over all streams of a direction.
    pub(super) bytes: Option<u64>,
    pub(super) omit_seconds: f64,
    /// Streams or callers.
    pub(super) parallel: u32,
    pub(super) lanes: u32,
    /// Of one bulk payload; 0 where there are none.
    pub(super) bulk_bytes: u64,
    /// Of one call; 0 where there are none.
    pub(super) call_bytes: u64,
    /// Calls under way on a stream; 0 where there are none.
    pub(super) in_flight: u32,
    /// Of calls or sessions, per second in all; none: a closed loop.
    pub(super) rate: Option<f64>,
    /// Cuts of every lane, per second; 0 for none.
    pub(super) cuts: f64,
    pub(super) source: SourceKind,
    pub(super) sink: SinkKind,
    pub(super) checksum: Checksum,
}

impl Mode {
    pub(super) fn has_bulk(self) -> bool {
        matches!(self, Self::Bulk | Self::Mixed | Self::Resume)
    }

    pub(super) fn has_calls(self) -> bool {
        matches!(self, Self::Call | Self::Mixed)
    }

    /// Whether latencies are taken.
    pub(super) fn has_latency(self) -> bool {
        !matches!(self, Self::Bulk | Self::Resume)
    }
}

impl Direction {
    pub(super) fn is_up(self) -> bool {
        self != Self::Down
    }

    pub(super) fn is_down(self) -> bool {
        self != Self::Up
    }
}

impl Plan {
    /// Checks what was asked for.
    pub(super) fn of(load: &Load, own: &Own) -> Result<Self, Failure> {
        let mode = load.mode;
        check_mode(load)?;
        let direction = match (load.reverse, load.bidir) {
            (true, _) => Direction::Down,
            (_, true) => Direction::Both,
            _ => Direction::Up,
        };
        check_places(load, direction)?;
        let parallel = load.parallel.unwrap_or(load.lanes);
        let given = load.length.map(|size| size.0);
        let plan = Self {
            mode,
            direction,
            seconds: match load.bytes {
                Some(_) => None,
                None => Some(load.time.unwrap_or(TIME).as_secs_f64()),
            },
            bytes: load.bytes.map(|size| size.0),
            omit_seconds: load.omit.as_secs_f64(),
            parallel,
            lanes: load.lanes,
            bulk_bytes: match mode.has_bulk() {
                true => given.unwrap_or(BULK_BYTES),
                false => 0,
            },
            call_bytes: match mode {
                Mode::Call => given.unwrap_or(CALL_BYTES),
                Mode::Mixed => CALL_BYTES,
                _ => 0,
            },
            in_flight: match (mode.has_calls(), load.rate) {
                (false, _) => 0,
                (true, None) => load.in_flight.unwrap_or(1),
                (true, Some(_)) => load.in_flight.unwrap_or(IN_FLIGHT_AT_RATE),
            },
            rate: load.rate,
            cuts: match mode {
                Mode::Resume => load.cuts.unwrap_or(1.0),
                _ => 0.0,
            },
            source: match load.source {
                Source::Memory => SourceKind::Memory,
                Source::Lease => SourceKind::Lease,
                Source::File(_) => SourceKind::File,
            },
            sink: match load.sink {
                Sink::Discard => SinkKind::Discard,
                Sink::File(_) => SinkKind::File,
            },
            checksum: own.checksum,
        };
        plan.check()?;
        Ok(plan)
    }

    /// What holds for every plan, wherever it comes from: the server checks it too.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let above_zero = |seconds: f64| seconds.is_finite() && seconds > 0.0 && seconds < 1e9;
        if let Some(seconds) = self.seconds
            && !above_zero(seconds)
        {
            return Err(refuse("-t: measure for longer than 0 seconds"));
        }
        if self.seconds.is_some() == self.bytes.is_some() || self.bytes == Some(0) {
            return Err(refuse(
                "measure a time (-t) or a number of bytes (-n) above 0",
            ));
        }
        if !(self.omit_seconds == 0.0 || above_zero(self.omit_seconds)) {
            return Err(refuse("-O: omit 0 seconds or more"));
        }
        let is_rate = |rate: f64| rate.is_finite() && rate > 0.0 && rate <= 1e9;
        if self.rate.is_some_and(|rate| !is_rate(rate)) || !(self.cuts == 0.0 || is_rate(self.cuts))
        {
            return Err(refuse("--rate and --cuts are above 0, and at most 1e9"));
        }
        if self.lanes == 0 || self.parallel < self.lanes {
            let (parallel, lanes) = (self.parallel, self.lanes);
            return Err(refuse(format_args!(
                "-P {parallel} with --lanes {lanes}: every lane carries at least one stream"
            )));
        }
        self.check_lengths()
    }

    fn check_lengths(&self) -> Result<(), Failure> {
        let longest = match self.source {
            SourceKind::Memory => MEMORY_BYTES_MAX,
            SourceKind::Lease => LEASE_BYTES_MAX,
            SourceKind::File => RANGE_BYTES_MAX,
        };
        let cases = [
            (self.mode.has_bulk(), self.bulk_bytes, longest),
            (self.mode.has_calls(), self.call_bytes, CALL_BYTES_MAX),
            (self.mode.has_calls(), self.in_flight.into(), 1 << 16),
        ];
        for (is_used, value, most) in cases {
            if is_used && !(1..=most).contains(&value) {
                return Err(refuse(format_args!(
                    "-l or --in-flight: {value} is not within 1 and {most}"
                )));
            }
        }
        Ok(())
    }

    /// The whole test, warming up included; a number of bytes takes what it takes.
    pub(super) fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.unwrap_or(0.0) + self.omit_seconds)
    }

    /// Memory for payloads at one end, bytes: what is made, and echoes that wait to be taken.
    pub(super) fn payload_bytes(&self) -> u64 {
        let calls = u64::from(self.in_flight) * u64::from(self.parallel);
        let bulk = match self.source {
            SourceKind::File => 0,
            _ => self.bulk_bytes * u64::from(self.parallel),
        };
        calls.saturating_mul(self.call_bytes).saturating_add(bulk)
    }

    /// Streams in all.
    pub(super) fn streams(&self) -> u32 {
        match (self.mode, self.direction) {
            (Mode::Connect, _) => 0,
            (Mode::Mixed, Direction::Both) => self.parallel.saturating_mul(2).saturating_add(1),
            (Mode::Mixed, _) => self.parallel.saturating_add(1),
            (_, Direction::Both) => self.parallel.saturating_mul(2),
            _ => self.parallel,
        }
    }

    /// What stream `index` carries of a number of bytes; the first one takes the rest too.
    pub(super) fn share(&self, index: u32) -> Option<u64> {
        let (bytes, count) = (self.bytes?, u64::from(self.parallel));
        let rest = if index == 0 { bytes % count } else { 0 };
        Some(bytes / count + rest)
    }
}

fn check_mode(load: &Load) -> Result<(), Failure> {
    let mode = load.mode;
    let name = mode.name();
    let is_turned = load.reverse || load.bidir;
    let is_special = load.source != Source::Memory || load.sink != Sink::Discard;
    let cases = [
        (is_turned && !mode.has_bulk(), "-R and --bidir"),
        (is_special && !mode.has_bulk(), "--source and --sink"),
        (
            load.bytes.is_some() && !matches!(mode, Mode::Bulk | Mode::Resume),
            "-n",
        ),
        (load.rate.is_some() && !mode.has_latency(), "--rate"),
        (load.in_flight.is_some() && !mode.has_calls(), "--in-flight"),
        (load.cuts.is_some() && mode != Mode::Resume, "--cuts"),
        (
            load.latency_log.is_some() && !mode.has_latency(),
            "--latency-log",
        ),
        (load.lanes > 1 && mode == Mode::Connect, "--lanes"),
        (load.length.is_some() && mode == Mode::Connect, "-l"),
    ];
    for (is_impossible, what) in cases {
        if is_impossible {
            return Err(refuse(format_args!("{what}: means nothing in mode {name}")));
        }
    }
    if load.bytes.is_some() && !load.omit.is_zero() {
        return Err(refuse(
            "-O with -n: a number of bytes is measured from its first one",
        ));
    }
    Ok(())
}

/// A file lies at the end that reads or writes it.
fn check_places(load: &Load, direction: Direction) -> Result<(), Failure> {
    let is_special = load.source != Source::Memory || load.sink != Sink::Discard;
    match (direction, &load.source, &load.sink) {
        (Direction::Both, _, _) if is_special => Err(refuse(
            "--bidir goes with memory and discard only: measure the directions one by one",
        )),
        (Direction::Up, Source::File(None), _) => {
            Err(refuse("the source is here: name it, --source file:PATH"))
        }
        (Direction::Down, Source::File(Some(_)), _) => Err(refuse(
            "with -R the source is the server's: start it with --source-file PATH, and say \
             --source file",
        )),
        (Direction::Up, _, Sink::File(Some(_))) => Err(refuse(
            "the sink is the server's: start it with --sink-file PATH, and say --sink file",
        )),
        (Direction::Down, _, Sink::File(None)) => Err(refuse(
            "with -R the sink is here: name it, --sink file:PATH",
        )),
        _ => Ok(()),
    }
}

impl Own {
    /// The core of a command that is one end.
    pub(super) fn core(&self) -> Result<Option<usize>, Failure> {
        match self.affinity[..] {
            [] => Ok(None),
            [core] => Ok(Some(core)),
            _ => Err(refuse(
                "-A: one core; the other end is kept on its own with `bench server -A`",
            )),
        }
    }
}

fn refuse(why: impl std::fmt::Display) -> Failure {
    Failure::coded(crate::exit::Exit::Usage, "impossible", why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::options::BenchCommand;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn plan(arguments: &str) -> Result<Plan, Failure> {
        let all = format!("ringway bench run a:1 {arguments}");
        let cli = Cli::try_parse_from(all.split_whitespace()).expect("parsed");
        match cli.command {
            Command::Bench(bench) => match bench.command {
                BenchCommand::Run(run) => Plan::of(&run.load, &run.own),
                _ => unreachable!("a run was parsed"),
            },
            _ => unreachable!("a bench was parsed"),
        }
    }

    #[test]
    fn impossible_combinations_are_refused_with_the_option_at_fault() {
        for (arguments, part) in [
            ("--mode call -R", "-R"),
            ("--mode call --source lease", "--source"),
            ("--mode connect -l 1M", "-l"),
            ("--mode connect --lanes 2", "--lanes"),
            ("--mode mixed -n 1G", "-n"),
            ("--rate 5", "--rate"),
            ("--in-flight 5", "--in-flight"),
            ("--cuts 5", "--cuts"),
            ("--latency-log x", "--latency-log"),
            ("-n 1G -O 1", "-O with -n"),
            ("-t 0", "-t"),
            ("-n 0", "-n"),
            ("-P 2 --lanes 3", "--lanes 3"),
            ("-l 0", "-l"),
            ("--source lease -l 2M", "1048576"),
            ("--source memory -l 1G", "33554432"),
            ("--mode call -l 9M", "8388608"),
            ("--bidir --sink file", "--bidir"),
            ("--source file", "file:PATH"),
            ("-R --source file:x", "--source-file"),
            ("--sink file:x", "--sink-file"),
            ("-R --sink file", "file:PATH"),
        ] {
            let failure = plan(arguments).expect_err(arguments);
            assert_eq!(failure.exit, crate::exit::Exit::Usage, "{arguments}");
            assert!(failure.message.contains(part), "{arguments}: {failure:?}");
        }
    }

    #[test]
    fn what_is_left_open_is_decided() {
        let bulk = plan("-P 4 --lanes 2").expect("possible");
        assert_eq!((bulk.seconds, bulk.bulk_bytes), (Some(10.0), 1 << 20));
        assert_eq!((bulk.streams(), bulk.call_bytes), (4, 0));
        let calls = plan("--mode call --rate 10").expect("possible");
        assert_eq!((calls.call_bytes, calls.in_flight), (64, 1024));
        assert_eq!(calls.bulk_bytes, 0);
        let mixed = plan("--mode mixed --bidir").expect("possible");
        assert_eq!((mixed.streams(), mixed.in_flight), (3, 1));
    }

    #[test]
    fn shares_of_a_number_of_bytes_add_up() {
        let plan = plan("-n 1000003 -P 7").expect("possible");
        let shares = (0..7).filter_map(|index| plan.share(index));
        assert_eq!(shares.sum::<u64>(), 1_000_003);
    }
}
