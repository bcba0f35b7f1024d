//! What one run of one side came to.

use crate::job::Outcome;
use serde::Serialize;

use super::table::Metric;

/// Everything is of the whole run, both processes, from their start to their end.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Sample {
    /// From the first byte, or the first message that counts, to the last.
    pub seconds: f64,
    /// Moved.
    pub bytes: u64,
    /// Answered.
    pub messages: u64,
    /// Median round trip, µs.
    pub p50_us: f64,
    /// User and system time of all processes of the run.
    pub cpu_s: f64,
    /// Of the sending process, until it told its outcome.
    pub sender_cpu_s: f64,
    /// Cores that everything else on this machine used meanwhile.
    pub others_cores: f64,
}

impl Sample {
    /// From what the sending or calling process told.
    #[must_use]
    pub fn of(outcome: &Outcome, cpu_s: f64, others_cores: f64) -> Self {
        Self {
            seconds: outcome.seconds,
            bytes: outcome.bytes,
            messages: outcome.messages,
            p50_us: outcome.p50_us,
            cpu_s,
            sender_cpu_s: outcome.usage.cpu_s,
            others_cores,
        }
    }

    /// In one respect; `None` where it does not apply.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn value(&self, metric: Metric) -> Option<f64> {
        let (gb, messages) = (self.bytes as f64 / 1e9, self.messages as f64);
        let value = match metric {
            Metric::Throughput => gb / self.seconds,
            Metric::Cpu => self.cpu_s / gb,
            Metric::SenderCpu => self.sender_cpu_s / gb,
            Metric::P50 => self.p50_us,
            Metric::Rate => messages / self.seconds,
            // Warming up is a tenth of the time, and its messages are not counted.
            Metric::CpuPerMessage => 1e6 * self.cpu_s / (1.1 * messages),
        };
        (value.is_finite() && value > 0.0).then_some(value)
    }
}
