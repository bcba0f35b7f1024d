//! Many cuts as a few numbers, and whether they are good enough.

use std::fmt;
use std::time::Duration;

use ringway_benches::Result;
use ringway_benches::environment::Environment;
use ringway_benches::quartiles::Quartiles;
use serde::Serialize;

use crate::cut::Cut;

/// What a resume may take beside a dial and two round trips.
const ALLOWANCE_MS: f64 = 10.0;

/// The whole document.
#[derive(Serialize)]
pub struct Report {
    environment: Environment,
    cuts: usize,
    /// From the reset to the first new byte at the receiving application, ms.
    gap_ms: Quartiles,
    gap_longest_ms: f64,
    /// Of a plain socket on loopback, ms.
    dial_ms: Quartiles,
    /// Of 64 bytes on the idle session, ms.
    round_trip_ms: Quartiles,
    /// Dial, two round trips and 10 ms: what the median gap may be.
    bound_ms: f64,
    /// Bytes that the receiving application had before it when its connections were cut, MiB.
    untaken_mib: Quartiles,
    /// Bytes unacked when the loss was seen, MiB.
    unacked_mib: Quartiles,
    /// Bytes sent again, MiB.
    resent_mib: Quartiles,
    /// Cuts after which more was sent again than had been unacked.
    resent_too_much: usize,
    /// Cuts whose session was back before it could be asked what was unacked.
    unacked_unknown: usize,
}

impl Report {
    pub fn of(
        environment: Environment,
        dials: &[Duration],
        round_trips: &[Duration],
        cuts: &[Cut],
    ) -> Result<Self> {
        let known = |cut: &Cut| cut.unacked_bytes.map(|unacked| (unacked, cut.resent_bytes));
        let known: Vec<_> = cuts.iter().filter_map(known).collect();
        let dial_ms = quartiles(dials.iter().map(ms))?;
        let round_trip_ms = quartiles(round_trips.iter().map(ms))?;
        let longest = cuts.iter().map(|cut| cut.gap).max().unwrap_or_default();
        Ok(Self {
            environment,
            cuts: cuts.len(),
            gap_ms: quartiles(cuts.iter().map(|cut| ms(&cut.gap)))?,
            gap_longest_ms: ms(&longest),
            bound_ms: dial_ms.median + 2.0 * round_trip_ms.median + ALLOWANCE_MS,
            dial_ms,
            round_trip_ms,
            untaken_mib: quartiles(cuts.iter().map(|cut| mib(cut.untaken_bytes)))?,
            unacked_mib: quartiles(known.iter().map(|(unacked, _)| mib(*unacked)))?,
            resent_mib: quartiles(cuts.iter().map(|cut| mib(cut.resent_bytes)))?,
            resent_too_much: known
                .iter()
                .filter(|(unacked, resent)| resent > unacked)
                .count(),
            unacked_unknown: cuts.len() - known.len(),
        })
    }

    /// Whether the targets are met.
    pub fn is_met(&self) -> bool {
        self.gap_ms.median <= self.bound_ms && self.resent_too_much == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = &self.environment;
        writeln!(f, "resume {}", at.arguments.join(" "))?;
        writeln!(f, "kernel {}, {}, {} cores", at.kernel, at.cpu, at.cores)?;
        writeln!(f, "{} cuts under full load: median [quartiles]", self.cuts)?;
        writeln!(
            f,
            "  gap         {} ms, longest {:.3}",
            self.gap_ms, self.gap_longest_ms
        )?;
        writeln!(
            f,
            "  bound       {:.3} ms = dial + 2 round trips + 10 ms",
            self.bound_ms
        )?;
        writeln!(f, "  dial        {} ms", self.dial_ms)?;
        writeln!(f, "  round trip  {} ms", self.round_trip_ms)?;
        writeln!(f, "  not taken   {} MiB", self.untaken_mib)?;
        writeln!(f, "  unacked     {} MiB", self.unacked_mib)?;
        writeln!(f, "  sent again  {} MiB", self.resent_mib)?;
        writeln!(
            f,
            "  more sent again than unacked: {} of {} cuts (of {} it is not known)",
            self.resent_too_much, self.cuts, self.unacked_unknown
        )?;
        writeln!(f, "{}", if self.is_met() { "met" } else { "MISSED" })
    }
}

fn quartiles(values: impl Iterator<Item = f64>) -> Result<Quartiles> {
    Quartiles::of(values).ok_or_else(|| "nothing was measured".into())
}

fn ms(duration: &Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "a number for people")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
