//! Many rounds as a few numbers, and whether they are good enough.

use std::fmt;

use ringway_benches::Result;
use ringway_benches::environment::Environment;
use ringway_benches::quartiles::Quartiles;
use serde::Serialize;

use crate::round::{Plan, Round};

/// Round trips beside bulk, ours by theirs, at most.
const P99_RATIO_MAX: f64 = 1.5;

/// What the bulk keeps of its rate alone, at least.
const KEPT_MIN: f64 = 0.85;

/// The whole document.
#[derive(Serialize)]
pub struct Report {
    environment: Environment,
    congestion_control: &'static str,
    seconds: f64,
    /// As asked for; without, the engine's default.
    bulk_connections: Option<u8>,
    /// Ours by theirs, round by round.
    p99_ratio: Quartiles,
    p99_ratio_max: f64,
    p50_ratio: Quartiles,
    /// Ours beside messages by ours alone.
    bulk_kept: Quartiles,
    bulk_kept_min: f64,
    /// The same of the plain pair.
    plain_kept: Quartiles,
    ours_p99_us: Quartiles,
    plain_p99_us: Quartiles,
    ours_alone_gb_per_s: Quartiles,
    plain_alone_gb_per_s: Quartiles,
    /// Cores that everything else on this machine used during a run.
    others_cores: Quartiles,
    rounds: Vec<Round>,
}

impl Report {
    pub fn of(
        environment: Environment,
        congestion_control: &'static str,
        plan: &Plan,
        rounds: Vec<Round>,
    ) -> Result<Self> {
        let of = |value: fn(&Round) -> f64| {
            Quartiles::of(rounds.iter().map(value)).ok_or("no round was measured")
        };
        let runs = rounds.iter().flat_map(|it| {
            [
                &it.ours_alone,
                &it.ours_mixed,
                &it.plain_alone,
                &it.plain_mixed,
            ]
        });
        let others = Quartiles::of(runs.map(|run| run.others_cores));
        Ok(Self {
            environment,
            congestion_control,
            seconds: plan.seconds,
            bulk_connections: plan.bulk_connections,
            p99_ratio: of(Round::p99_ratio)?,
            p99_ratio_max: P99_RATIO_MAX,
            p50_ratio: of(Round::p50_ratio)?,
            bulk_kept: of(Round::ours_kept)?,
            bulk_kept_min: KEPT_MIN,
            plain_kept: of(Round::plain_kept)?,
            ours_p99_us: of(|it| it.ours_mixed.p99_us)?,
            plain_p99_us: of(|it| it.plain_mixed.p99_us)?,
            ours_alone_gb_per_s: of(|it| it.ours_alone.gb_per_s)?,
            plain_alone_gb_per_s: of(|it| it.plain_alone.gb_per_s)?,
            others_cores: others.ok_or("no round was measured")?,
            rounds,
        })
    }

    fn is_prompt(&self) -> bool {
        self.p99_ratio.median <= self.p99_ratio_max
    }

    fn is_fast(&self) -> bool {
        self.bulk_kept.median >= self.bulk_kept_min
    }

    /// Whether all targets are met.
    pub fn is_met(&self) -> bool {
        self.is_prompt() && self.is_fast()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = |is_met| if is_met { "met" } else { "MISSED" };
        let at = &self.environment;
        let (kernel, cpu, cores) = (&at.kernel, &at.cpu, at.cores);
        writeln!(
            f,
            "kernel {kernel}, {cpu}, {cores} cores, {}",
            self.congestion_control
        )?;
        writeln!(f, "capabilities {}", at.capabilities.join(" "))?;
        let (rounds, seconds) = (self.rounds.len(), self.seconds);
        writeln!(
            f,
            "median [quartiles] of {rounds} rounds of {seconds} s runs:"
        )?;
        writeln!(
            f,
            "  p99 of 64 B beside bulk, ours by theirs {}  at most {}: {}  (ours {} us, plain {} us)",
            self.p99_ratio,
            self.p99_ratio_max,
            verdict(self.is_prompt()),
            self.ours_p99_us,
            self.plain_p99_us
        )?;
        writeln!(f, "  p50, ours by theirs {}", self.p50_ratio)?;
        writeln!(
            f,
            "  bulk beside messages by bulk alone      {}  at least {}: {}  (plain {})",
            self.bulk_kept,
            self.bulk_kept_min,
            verdict(self.is_fast()),
            self.plain_kept
        )?;
        writeln!(
            f,
            "  bulk alone: ours {} GB/s, plain {} GB/s",
            self.ours_alone_gb_per_s, self.plain_alone_gb_per_s
        )?;
        writeln!(
            f,
            "  everything else on this machine used {} cores",
            self.others_cores
        )
    }
}
