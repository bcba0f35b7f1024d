//! The table, for people and as one document.

use std::fmt::Write;

use ringway_benches::environment::Environment;
use ringway_benches::quartiles::Quartiles;
use serde::Serialize;

use crate::sample::Sample;
use crate::table::{Goal, Metric, Side, Target, Work};

/// The whole document.
#[derive(Serialize)]
pub struct Report {
    pub environment: Environment,
    pub congestion_control: String,
    pub run_bytes: u64,
    pub seconds: f64,
    pub small_files: u32,
    pub rows: Vec<Row>,
    /// Every run, in the order they were made.
    pub runs: Vec<Run>,
    /// What kept numbers from being what they should.
    pub remarks: Vec<String>,
}

/// One comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub work: Work,
    pub title: &'static str,
    pub against: Side,
    pub against_title: &'static str,
    pub metric: Metric,
    /// Median over the runs; null where it could not be measured.
    pub ours: Option<f64>,
    pub theirs: Option<f64>,
    /// Ours by theirs, round by round.
    pub ratio: Option<Quartiles>,
    pub pairs: usize,
    pub target: Option<f64>,
    /// Which ratio is the better one.
    pub better: Option<&'static str>,
    /// Null where nothing was promised.
    pub met: Option<bool>,
    /// Cores that everything else used, median over the runs of both.
    pub others_cores: Option<f64>,
    /// Why there is nothing to see.
    pub not_available: Option<String>,
}

/// One run of one side.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    pub work: Work,
    pub side: Side,
    pub round: u32,
    pub sample: Sample,
}

impl Row {
    /// Of rounds in which both sides ran.
    pub fn of(work: Work, goal: Goal, runs: &[Run]) -> Self {
        let (against, metric, target) = goal;
        let of = |side: Side| {
            runs.iter()
                .filter(move |run| run.work == work && run.side == side)
        };
        let values = |side| of(side).filter_map(|run| run.sample.value(metric));
        let median = |side| Quartiles::of(values(side)).map(|it| it.median);
        let ratios: Vec<f64> = of(Side::Ours)
            .filter_map(|ours| {
                let theirs = of(against).find(|theirs| theirs.round == ours.round)?;
                Some(ours.sample.value(metric)? / theirs.sample.value(metric)?)
            })
            .collect();
        let both = of(Side::Ours).chain(of(against));
        let others = Quartiles::of(both.map(|run| run.sample.others_cores));
        let ratio = Quartiles::of(ratios.iter().copied());
        let met = match (&ratio, target) {
            (Some(ratio), target) => target.is_met(ratio.median),
            // What was promised and not measured is missed.
            (None, target) => target.number().map(|_| false),
        };
        Self {
            work,
            title: work.title(),
            against,
            against_title: against.title(),
            metric,
            ours: median(Side::Ours),
            theirs: median(against),
            ratio,
            pairs: ratios.len(),
            target: target.number(),
            better: match target {
                Target::AtLeast(_) => Some("higher"),
                Target::AtMost(_) => Some("lower"),
                Target::None => None,
            },
            met,
            others_cores: others.map(|it| it.median),
            not_available: None,
        }
    }

    /// Of a work that ours cannot do, or a side that failed; with what was measured all the same.
    pub fn not_available(work: Work, goal: Goal, runs: &[Run], why: impl Into<String>) -> Self {
        Self {
            not_available: Some(why.into()),
            // Rounds before a failure prove nothing, and what was promised is missed.
            ratio: None,
            pairs: 0,
            met: goal.2.number().map(|_| false),
            ..Self::of(work, goal, runs)
        }
    }

    fn text(&self) -> String {
        let against = format!("{}, {}", self.against_title, self.metric.title());
        let mut text = format!("  {against:<62} ");
        match (&self.not_available, self.ratio) {
            (None, Some(ratio)) => {
                let numbers = format!(
                    "{} : {}",
                    short(self.ours.unwrap_or(0.0)),
                    short(self.theirs.unwrap_or(0.0))
                );
                let _ = write!(text, "{ratio:<22} {numbers:<18} {} pairs", self.pairs);
            }
            (Some(why), _) => {
                let theirs = self.theirs.map(short).unwrap_or_default();
                let _ = write!(text, "not available: {why}; theirs: {theirs}");
            }
            (None, None) => text += "no pair was measured",
        }
        text + &self.verdict()
    }

    fn verdict(&self) -> String {
        let sign = match self.better {
            Some("lower") => "<=",
            _ => ">=",
        };
        match (self.target, self.met) {
            (Some(target), Some(true)) => format!("  {sign} {target}: met"),
            (Some(target), _) => format!("  {sign} {target}: NOT MET"),
            (None, _) => String::new(),
        }
    }
}

impl Report {
    /// What stands above the table.
    pub fn heading(&self) -> String {
        let at = &self.environment;
        let mut text = String::new();
        let _ = writeln!(
            text,
            "kernel {}, {}, {} cores, {} MiB, {}",
            at.kernel,
            at.cpu,
            at.cores,
            at.memory_bytes >> 20,
            self.congestion_control
        );
        let _ = writeln!(text, "tcp_rmem {}, tcp_wmem {}", at.tcp_rmem, at.tcp_wmem);
        let _ = writeln!(text, "capabilities {}", at.capabilities.join(" "));
        let mib = self.run_bytes >> 20;
        let (seconds, files) = (self.seconds, self.small_files);
        let _ = writeln!(
            text,
            "runs of {mib} MiB, {seconds} s of messages, {files} small files"
        );
        for reduction in &at.reductions {
            let _ = writeln!(text, "reduced: {reduction}");
        }
        text
    }

    /// All rows.
    pub fn table(&self) -> String {
        let mut text = String::from("\nours by theirs: median [quartiles], then ours : theirs\n");
        let mut last = None;
        for row in &self.rows {
            if last != Some(row.work) {
                let _ = writeln!(text, "\n{}", row.title);
                last = Some(row.work);
            }
            let _ = writeln!(text, "{}", row.text());
        }
        let promised = self.rows.iter().filter(|row| row.target.is_some()).count();
        let met = self.rows.iter().filter(|row| row.met == Some(true)).count();
        let _ = writeln!(text, "\n{met} of {promised} targets met");
        let others = self.runs.iter().map(|run| run.sample.others_cores);
        if let Some(others) = Quartiles::of(others) {
            let _ = writeln!(text, "everything else on this machine used {others} cores");
        }
        for remark in &self.remarks {
            let _ = writeln!(text, "note: {remark}");
        }
        text
    }

    /// Whether every target was met.
    pub fn is_met(&self) -> bool {
        self.rows.iter().all(|row| row.met != Some(false))
    }
}

/// Three significant digits.
fn short(value: f64) -> String {
    match value {
        it if it >= 1000.0 => format!("{it:.0}"),
        it if it >= 100.0 => format!("{it:.1}"),
        it if it >= 1.0 => format!("{it:.2}"),
        it => format!("{it:.3}"),
    }
}
