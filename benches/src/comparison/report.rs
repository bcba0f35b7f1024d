//! The table, for people and as one document.

use std::fmt::Write;

use serde::Serialize;

use super::sample::Sample;
use super::table::{Goal, Metric, Side, Target, Work};
use crate::environment::Environment;
use crate::quartiles::Quartiles;

/// The whole document.
#[derive(Serialize)]
pub struct Report {
    /// Where.
    pub environment: Environment,
    /// Of sockets that do not choose.
    pub congestion_control: String,
    /// Of each run that moves bytes.
    pub run_bytes: u64,
    /// Of each run of messages.
    pub seconds: f64,
    /// In the directory that is sent.
    pub small_files: u32,
    /// One for each comparison.
    pub rows: Vec<Row>,
    /// Every run, in the order they were made.
    pub runs: Vec<Run>,
    /// What kept numbers from being what they should.
    pub remarks: Vec<String>,
}

/// One comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What is done.
    pub work: Work,
    /// The same for people.
    pub title: &'static str,
    /// Who else does it.
    pub against: Side,
    /// The same for people.
    pub against_title: &'static str,
    /// What is compared.
    pub metric: Metric,
    /// Median over the runs; null where it could not be measured.
    pub ours: Option<f64>,
    /// The same of the peer.
    pub theirs: Option<f64>,
    /// Ours by theirs, round by round.
    pub ratio: Option<Quartiles>,
    /// Rounds in which both were measured.
    pub pairs: usize,
    /// Of the median ratio; null where nothing was promised.
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
    /// Of what.
    pub work: Work,
    /// By whom.
    pub side: Side,
    /// Counted from 1.
    pub round: u32,
    /// What it came to.
    pub sample: Sample,
}

impl Row {
    /// Of rounds in which both sides ran.
    #[must_use]
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
    #[must_use]
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
    #[must_use]
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
    #[must_use]
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

#[cfg(test)]
mod tests {
    use super::*;

    fn run(side: Side, round: u32, seconds: f64, cpu_s: f64) -> Run {
        let sample = Sample {
            seconds,
            bytes: 1_000_000_000,
            cpu_s,
            ..Sample::default()
        };
        Run {
            work: Work::HotDiscard,
            side,
            round,
            sample,
        }
    }

    const THROUGHPUT: Goal = (Side::Sendfile, Metric::Throughput, Target::AtLeast(0.95));
    const CPU: Goal = (Side::Sendfile, Metric::Cpu, Target::AtMost(1.1));

    /// The machine is twice as slow in the second round: within a round nothing of it is seen.
    #[test]
    fn ratios_are_formed_within_a_round() {
        let runs = [
            run(Side::Ours, 1, 1.0, 1.0),
            run(Side::Sendfile, 1, 1.0, 1.0),
            run(Side::Ours, 2, 2.0, 2.0),
            run(Side::Sendfile, 2, 2.0, 2.0),
            run(Side::Ours, 3, 1.0, 1.0),
        ];
        let row = Row::of(Work::HotDiscard, THROUGHPUT, &runs);
        let ratio = row.ratio.expect("measured");
        assert_eq!(
            (ratio.q1, ratio.median, ratio.q3, row.pairs),
            (1.0, 1.0, 1.0, 2)
        );
        assert_eq!(row.met, Some(true));
    }

    #[test]
    fn a_target_is_a_floor_for_throughput_and_a_ceiling_for_cost() {
        let runs = [
            run(Side::Ours, 1, 1.1, 1.2),
            run(Side::Sendfile, 1, 1.0, 1.0),
        ];
        let throughput = Row::of(Work::HotDiscard, THROUGHPUT, &runs);
        let cpu = Row::of(Work::HotDiscard, CPU, &runs);
        assert_eq!((throughput.met, cpu.met), (Some(false), Some(false)));
        assert_eq!(
            (throughput.better, cpu.better),
            (Some("higher"), Some("lower"))
        );
        let open = (Side::Sendfile, Metric::Cpu, Target::None);
        assert_eq!(Row::of(Work::HotDiscard, open, &runs).met, None);
    }

    #[test]
    fn what_was_promised_and_not_measured_is_missed_even_after_good_rounds() {
        let good = [
            run(Side::Ours, 1, 1.0, 1.0),
            run(Side::Sendfile, 1, 1.0, 1.0),
        ];
        let row = Row::not_available(Work::HotDiscard, THROUGHPUT, &good, "it broke");
        assert_eq!((row.ratio, row.pairs, row.met), (None, 0, Some(false)));
        assert_eq!(row.theirs, Some(1.0));
        assert!(row.text().contains("it broke") && row.text().contains("NOT MET"));
        assert_eq!(Row::of(Work::HotDiscard, CPU, &[]).met, Some(false));
    }

    #[test]
    fn a_row_of_the_document_has_what_readers_look_for() {
        let row = Row::of(Work::HotDiscard, CPU, &[run(Side::Ours, 1, 1.0, 1.0)]);
        let row = serde_json::to_value(row).expect("JSON");
        for name in [
            "work", "against", "metric", "ours", "theirs", "ratio", "pairs", "target", "met",
        ] {
            assert!(row.get(name).is_some(), "{name}");
        }
        assert_eq!(
            (&row["work"], &row["metric"]),
            (&"hot-discard".into(), &"cpu".into())
        );
    }

    #[test]
    fn every_work_has_a_target_and_ours_comes_first() {
        for work in Work::ALL {
            assert!(
                work.goals().iter().any(|goal| goal.2.number().is_some()),
                "{work:?}"
            );
            assert_eq!(work.sides()[0], Side::Ours);
        }
    }
}
