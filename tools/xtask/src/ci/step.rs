//! The steps of `ci` and which of them a run takes.

use std::fmt;

use clap::ValueEnum;

/// One step. The order here is the order of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Step {
    /// The sources are formatted
    Fmt,
    /// No lint has anything to say
    Clippy,
    /// All tests pass, and none is skipped
    Test,
    /// The rules of the house hold
    Layers,
    /// The C header is the one that the exported functions make
    Header,
    /// What a C programmer builds installs, links and runs, and older programs keep running
    C,
    /// The API documentation builds without warnings
    Doc,
    /// Seeds that nobody has run before leave no violation on the simulated kernel
    Simulate,
    /// The simulator finds every planted bug
    Mutants,
    /// The tests pass without each kernel feature that an older kernel lacks
    Mask,
    /// The tests pass for a user without any privilege and with little locked memory
    User,
    /// The demonstration passes on the oldest supported kernel
    Floor,
}

/// Which steps to take.
#[derive(clap::Args, Debug)]
pub struct Choice {
    /// Take only this step (repeatable)
    #[arg(long, value_name = "STEP", value_enum)]
    only: Vec<Step>,
    /// Leave this step out (repeatable)
    #[arg(long, value_name = "STEP", value_enum)]
    skip: Vec<Step>,
}

impl Choice {
    /// The steps to take, in order.
    pub fn steps(&self) -> impl Iterator<Item = Step> {
        all().filter(|&step| self.takes(step))
    }

    /// The steps not to take.
    pub fn left_out(&self) -> impl Iterator<Item = Step> {
        all().filter(|&step| !self.takes(step))
    }

    fn takes(&self, step: Step) -> bool {
        let is_asked_for = self.only.is_empty() || self.only.contains(&step);
        is_asked_for && !self.skip.contains(&step)
    }
}

fn all() -> impl Iterator<Item = Step> {
    Step::value_variants().iter().copied()
}

impl Step {
    /// The command that repeats the step where no single command inside it failed.
    pub fn command(self) -> &'static str {
        match self {
            Self::Fmt => "cargo fmt --all --check",
            Self::Clippy => "cargo clippy --workspace --all-targets -- -D warnings",
            Self::Test => "cargo test --workspace",
            Self::Layers => "cargo xtask layers",
            Self::Header => "cargo xtask header --check",
            Self::C => "cargo xtask ci --only c",
            Self::Doc => "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --workspace",
            Self::Simulate => "cargo xtask ci --only simulate",
            Self::Mutants => "cargo xtask mutants",
            Self::Mask => "cargo xtask ci --only mask",
            Self::User => "cargo xtask ci --only user",
            Self::Floor => "cargo xtask floor",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("?", |value| value.get_name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(only: &[Step], skip: &[Step]) -> Vec<Step> {
        let choice = Choice {
            only: only.to_vec(),
            skip: skip.to_vec(),
        };
        choice.steps().collect()
    }

    #[test]
    fn every_step_runs_unless_told_otherwise() {
        assert_eq!(steps(&[], &[]), Step::value_variants());
    }

    #[test]
    fn only_keeps_the_order_of_the_run() {
        assert_eq!(
            steps(&[Step::Test, Step::Fmt], &[]),
            [Step::Fmt, Step::Test]
        );
    }

    #[test]
    fn skip_wins_over_only() {
        assert_eq!(steps(&[Step::Test, Step::Fmt], &[Step::Test]), [Step::Fmt]);
    }
}
