//! The result of a test: one document, docs/bench.schema.json.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::cutter::Cuts;
use super::latency::{self, Slice};
use super::message::Facts;
use super::network::Nic;
use super::options::{Congestion, Load, Mode};
use super::plan::Plan;
use super::progress::Interval;
use super::snapshot::Account;
use super::text;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::output::Output;

/// Of the document; a change that a reader must know of adds one.
pub(super) const SCHEMA: u32 = 1;

/// Everything that a test came to.
pub(super) struct Outcome {
    pub(super) title: Option<String>,
    pub(super) address: String,
    pub(super) plan: Plan,
    pub(super) path: &'static str,
    pub(super) congestion: Option<Congestion>,
    pub(super) shards: usize,
    pub(super) spin: bool,
    pub(super) cores: Vec<usize>,
    pub(super) nic: Option<Nic>,
    pub(super) environment: Environment,
    pub(super) server: Facts,
    pub(super) begun_at: SystemTime,
    pub(super) seconds: f64,
    pub(super) intervals: Vec<Interval>,
    pub(super) client_account: Account,
    pub(super) server_account: Account,
    pub(super) retransmitted_segments: Option<u64>,
    pub(super) cuts: Cuts,
}

impl Outcome {
    /// To people and programs, and into the latency log.
    pub(super) fn tell(&self, load: &Load, output: &Output) -> Result<(), Failure> {
        let slices: Vec<Slice> = self.intervals.iter().map(|it| it.slice.clone()).collect();
        let log = self.latency_log(&slices)?;
        if let (Some(path), Some(log)) = (&load.latency_log, &log) {
            let written = std::fs::write(path, log);
            written.map_err(|error| Failure::file("write", path, &error))?;
        }
        let document = self.document(&slices, log.as_deref());
        text::tell(&document, output);
        output.finish(&document);
        Ok(())
    }

    fn latency_log(&self, slices: &[Slice]) -> Result<Option<String>, Failure> {
        if !self.plan.mode.has_latency() {
            return Ok(None);
        }
        let tag = match self.plan.mode {
            Mode::Connect => "connect",
            _ => "call",
        };
        let log = latency::log(slices, tag, self.begun_at);
        log.map(Some)
            .map_err(|error| Failure::io("write the latency log", &error))
    }

    fn document(&self, slices: &[Slice], log: Option<&str>) -> Value {
        let unix = self.begun_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let intervals: Vec<_> = self.intervals.iter().map(Interval::document).collect();
        json!({
            "bench": {
                "schema": SCHEMA,
                "version": env!("CARGO_PKG_VERSION"),
                "title": self.title,
                "mode": self.plan.mode,
                "address": self.address,
                "begun_unix_s": unix.as_secs_f64(),
            },
            "options": self.options(),
            "environment": {
                "client": self.environment,
                "server": self.server.environment,
                "nic": self.nic,
            },
            "seconds": self.seconds,
            "bulk": self.bulk(),
            "latency": self.latency(slices, log),
            "resume": self.resume(),
            "client": self.side(&self.client_account),
            "server": self.side(&self.server_account),
            "retransmits": {
                "segments": self.retransmitted_segments,
                "source": "/proc/net/snmp of the client: everything in its network namespace",
            },
            "intervals": intervals,
        })
    }

    fn options(&self) -> Value {
        let mut options = serde_json::to_value(&self.plan).unwrap_or_default();
        if let Some(options) = options.as_object_mut() {
            options.insert("path".into(), self.path.into());
            options.insert("congestion_control".into(), json!(self.congestion));
            options.insert("shards".into(), self.shards.into());
            options.insert("spin".into(), self.spin.into());
            options.insert("cores".into(), json!(self.cores));
            options.insert(
                "server".into(),
                json!({
                    "path": self.server.path,
                    "congestion_control": self.server.congestion,
                    "shards": self.server.shards,
                    "spin": self.server.spin,
                    "cores": self.server.cores,
                }),
            );
        }
        options
    }

    fn bulk(&self) -> Option<Value> {
        if !self.plan.mode.has_bulk() {
            return None;
        }
        let sum = |bytes: fn(&Interval) -> u64| self.intervals.iter().map(bytes).sum::<u64>();
        let (up, down) = (sum(|it| it.bytes_up), sum(|it| it.bytes_down));
        let rate = |bytes: u64| bytes as f64 / 1e9 / self.seconds.max(1e-9);
        Some(json!({
            "bytes_up": up,
            "bytes_down": down,
            "gb_per_s_up": rate(up),
            "gb_per_s_down": rate(down),
            "gb_per_s": rate(up + down),
            "gbit_per_s": 8.0 * rate(up + down),
        }))
    }

    fn latency(&self, slices: &[Slice], log: Option<&str>) -> Option<Value> {
        if !self.plan.mode.has_latency() {
            return None;
        }
        let all = latency::sum(slices);
        let mut summary = latency::summary(&all);
        let from = match self.plan.rate {
            Some(_) => "when it was due",
            None => "when it was sent",
        };
        if let Some(summary) = summary.as_object_mut() {
            let per_second = all.len() as f64 / self.seconds.max(1e-9);
            summary.insert("per_second".into(), per_second.into());
            summary.insert("counted_from".into(), from.into());
            summary.insert("log".into(), json!(log));
        }
        Some(summary)
    }

    fn resume(&self) -> Option<Value> {
        if self.plan.mode != Mode::Resume {
            return None;
        }
        let mut gaps_ms: Vec<f64> = self
            .cuts
            .gaps
            .iter()
            .map(|gap| gap.as_secs_f64() * 1e3)
            .collect();
        let in_order = gaps_ms.clone();
        gaps_ms.sort_by(f64::total_cmp);
        let replayed = self.client_account.counter("replayed_bytes")
            + self.server_account.counter("replayed_bytes");
        Some(json!({
            "cuts": self.cuts.count,
            "resumes": self.client_account.counter("resumes"),
            "gap_ms": in_order,
            "gap_median_ms": gaps_ms.get(gaps_ms.len() / 2),
            "gap_max_ms": gaps_ms.last(),
            "replayed_bytes": replayed,
        }))
    }

    fn side(&self, account: &Account) -> Value {
        let gb = account.body_bytes() as f64 / 1e9;
        let calls = self.intervals.iter().map(|it| it.slice.histogram.len());
        let calls = calls.sum::<u64>() as f64;
        let has_bulk = self.plan.mode.has_bulk();
        let per_gb = (has_bulk && gb > 0.0).then(|| account.cpu_s / gb);
        let per_call = (!has_bulk && calls > 0.0).then(|| account.cpu_s * 1e6 / calls);
        let sent: u64 = account.paths_sent.values().sum();
        let share = |bytes: u64| match sent {
            0 => 0.0,
            sent => bytes as f64 / sent as f64,
        };
        let shares = account.paths_sent.iter();
        let shares: std::collections::BTreeMap<_, _> =
            shares.map(|(name, bytes)| (name, share(*bytes))).collect();
        json!({
            "seconds": account.seconds,
            "cpu_s": account.cpu_s,
            "cpu_s_per_gb": per_gb,
            "cpu_us_per_call": per_call,
            "peak_rss_bytes": account.peak_rss_bytes,
            "paths_sent": account.paths_sent,
            "path_shares": shares,
            "paths_received": account.paths_received,
            "zero_copy": {
                "attempted": account.counter("zero_copy_attempted"),
                "copied": account.counter("zero_copy_copied"),
                "copied_bytes": account.counter("zero_copy_copied_bytes"),
            },
            "counters": account.counters,
        })
    }
}
