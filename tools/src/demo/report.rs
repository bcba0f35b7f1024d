//! What happened, for programs and for people.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Transfer;
use super::child::Ended;
use super::stage::Stage;
use crate::environment::Environment;
use crate::output::Output;
use crate::size::Size;
use crate::transfer_report::gb_per_s;

/// The final document.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    bytes: u64,
    seconds: f64,
    gb_per_s: f64,
    cuts: usize,
    resumes: u64,
    connections: usize,
    /// From each cut to the next new body byte.
    resume_gap_ms: Vec<f64>,
    replayed_bytes: u64,
    body_bytes_sent: u64,
    digest_ok: bool,
    digest: String,
    seed: u64,
    /// Body bytes by the way they took to the socket.
    paths: Value,
    /// Body bytes by the way they took from the socket.
    receive_paths: Value,
    zero_copy: ZeroCopy,
    /// Of all body bytes: spliced, or sent by zero-copy sends that were not copied.
    zero_copy_share: f64,
    cpu_s_per_gb: Sides<f64>,
    peak_rss_bytes: Sides<u64>,
    environment: Environment,
    #[serde(skip)]
    gap_summary: Option<(f64, f64)>,
}

/// Zero-copy sends.
#[derive(Clone, Copy, Debug, Serialize)]
struct ZeroCopy {
    attempted: u64,
    copied: u64,
}

/// A number for each process.
#[derive(Clone, Copy, Debug, Serialize)]
struct Sides<T> {
    send: T,
    receive: T,
}

impl Report {
    /// Puts together what the three processes saw.
    pub(super) fn new(
        stage: &Stage,
        transfer: &Transfer,
        digest_ok: bool,
        environment: Environment,
    ) -> Self {
        let (sender, receiver) = (&transfer.sender.document, &transfer.receiver.document);
        let statistics = &sender["statistics"];
        let counter = |name: &str| statistics[name].as_u64().unwrap_or(0);
        let seconds = sender["seconds"].as_f64().unwrap_or(0.0);
        let zero_copy = ZeroCopy {
            attempted: counter("zero_copy_attempted"),
            copied: counter("zero_copy_copied"),
        };
        Self {
            bytes: stage.bytes,
            seconds,
            gb_per_s: gb_per_s(stage.bytes, seconds),
            cuts: transfer.cutter.cuts,
            resumes: counter("resumes"),
            connections: transfer.cutter.connections_seen,
            resume_gap_ms: transfer.cutter.gaps.milliseconds(),
            replayed_bytes: counter("replayed_bytes"),
            body_bytes_sent: counter("body_bytes_sent"),
            digest_ok,
            digest: stage.digest_text(),
            seed: stage.seed,
            paths: sender["paths"].clone(),
            receive_paths: receiver["paths"].clone(),
            zero_copy,
            zero_copy_share: zero_copy_share(&sender["paths"], counter("zero_copy_copied_bytes")),
            cpu_s_per_gb: Sides {
                send: per_gb(transfer.sender.cpu, stage.bytes),
                receive: per_gb(transfer.receiver.cpu, stage.bytes),
            },
            peak_rss_bytes: Sides {
                send: peak(&transfer.sender),
                receive: peak(&transfer.receiver),
            },
            environment,
            gap_summary: transfer.cutter.gaps.summary(),
        }
    }

    /// Prints it.
    pub(super) fn tell(&self, output: &Output) {
        for line in self.lines() {
            output.line(&line);
        }
        output.finish(self);
    }

    fn lines(&self) -> Vec<String> {
        let (bytes, speed) = (Size(self.bytes), self.gb_per_s);
        let mut lines = vec![
            format!(
                "sent      {bytes} in {:.2} s: {speed:.2} GB/s, file to file over TCP",
                self.seconds
            ),
            self.cut_line(),
            format!("sent by   {}", shares(&self.paths)),
            format!("taken by  {}", shares(&self.receive_paths)),
        ];
        let (cpu, memory) = (self.cpu_s_per_gb, self.peak_rss_bytes);
        lines.push(format!(
            "cost      {:.2} s of CPU per GB sending, {:.2} receiving; {} and {} of memory at most",
            cpu.send,
            cpu.receive,
            Size(memory.send),
            Size(memory.receive)
        ));
        lines.push(match self.digest_ok {
            true => format!("result    identical ({})", self.digest),
            false => format!("result    DIFFERENT from what was sent ({})", self.digest),
        });
        lines
    }

    fn cut_line(&self) -> String {
        let gaps = match self.gap_summary {
            Some((median, longest)) => {
                format!("; back to new bytes after {median:.1} ms (longest {longest:.1} ms)")
            }
            None => String::new(),
        };
        let replayed = Size(self.replayed_bytes);
        let (cuts, resumes) = (self.cuts, self.resumes);
        format!("cut       {cuts} times, resumed {resumes} times, {replayed} sent again{gaps}")
    }
}

/// Share of all body bytes that no CPU copied on the way to the socket.
fn zero_copy_share(paths: &Value, copied_all_the_same: u64) -> f64 {
    let bytes = |name: &str| paths[name].as_u64().unwrap_or(0);
    let all: u64 = paths
        .as_object()
        .map_or(0, |paths| paths.values().filter_map(Value::as_u64).sum());
    let sent = bytes("zero_copy").saturating_sub(copied_all_the_same);
    let without_copy = bytes("splice_file") + bytes("splice_arena") + sent;
    if all == 0 {
        0.0
    } else {
        without_copy as f64 / all as f64
    }
}

fn per_gb(cpu: Duration, bytes: u64) -> f64 {
    if bytes == 0 {
        0.0
    } else {
        cpu.as_secs_f64() / (bytes as f64 / 1e9)
    }
}

fn peak(ended: &Ended) -> u64 {
    ended.document["peak_rss_bytes"].as_u64().unwrap_or(0)
}

/// `splice_file 1 GiB (99.9 %), copy 12 KiB (0.1 %)`, largest first, without zeros.
fn shares(paths: &Value) -> String {
    let empty = Map::new();
    let paths = paths.as_object().unwrap_or(&empty);
    let mut entries: Vec<(&str, u64)> = paths
        .iter()
        .filter_map(|(name, bytes)| Some((name.as_str(), bytes.as_u64().filter(|&n| n > 0)?)))
        .collect();
    entries.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let all: u64 = entries.iter().map(|(_, bytes)| bytes).sum();
    let texts: Vec<_> = entries
        .iter()
        .map(|(name, bytes)| {
            let percent = *bytes as f64 * 100.0 / all as f64;
            format!("{name} {} ({percent:.1} %)", Size(*bytes))
        })
        .collect();
    if texts.is_empty() {
        "nothing".into()
    } else {
        texts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_copied_all_the_same_is_no_zero_copy() {
        let paths = json!({ "splice_file": 700, "zero_copy": 200, "copy": 100 });
        assert!((zero_copy_share(&paths, 0) - 0.9).abs() < 1e-9);
        assert!((zero_copy_share(&paths, 150) - 0.75).abs() < 1e-9);
        assert!(zero_copy_share(&json!({}), 0).abs() < 1e-9);
    }

    #[test]
    fn paths_are_shown_largest_first_and_without_zeros() {
        let paths = json!({ "copy": 1024, "zero_copy": 0, "splice_file": 3072 });
        assert_eq!(
            shares(&paths),
            "splice_file 3 KiB (75.0 %), copy 1 KiB (25.0 %)"
        );
        assert_eq!(shares(&json!({})), "nothing");
    }

    #[test]
    fn cpu_is_given_per_decimal_gigabyte() {
        assert!((per_gb(Duration::from_secs(1), 2_000_000_000) - 0.5).abs() < 1e-9);
        assert!(per_gb(Duration::from_secs(1), 0).abs() < 1e-9);
    }
}
