//! What a put or get did, as a document and as lines for people.

use ringway::{Faults, Statistics};
use ringway_files::{FileReport, FilesError, TransferReport};
use serde_json::{Value, json};

use crate::counters;
use crate::failure::Failure;
use crate::output::Output;
use crate::size::Size;

/// Which way the bodies went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// We sent them.
    Put,
    /// We received them.
    Get,
}

/// Prints the outcome of a run; several runs (to several servers) are given as one.
pub(crate) fn tell(
    direction: Direction,
    outcome: Result<TransferReport, FilesError>,
    statistics: &Statistics,
    faults: Option<&Faults>,
    output: &Output,
) -> Result<(), Failure> {
    let (report, failure) = match outcome {
        Ok(report) => (report, None),
        Err(error) => {
            let failure = Failure::from(error.clone());
            match error {
                FilesError::Incomplete { report } => (*report, Some(failure)),
                _ => return Err(failure),
            }
        }
    };
    output.remark(&(summary(&report) + &resumes(statistics)));
    let mut document = document(direction, &report, statistics);
    if let Some(faults) = faults {
        document["faults_injected"] = counters::faults(faults);
    }
    if let Some(failure) = &failure {
        document["error"] = failure.document()["error"].take();
    }
    output.finish(&document);
    failure.map_or(Ok(()), Err)
}

fn document(direction: Direction, report: &TransferReport, statistics: &Statistics) -> Value {
    let paths = match direction {
        Direction::Put => counters::paths_sent(&statistics.path_bytes),
        Direction::Get => counters::paths_received(statistics),
    };
    let files: Vec<_> = report.files.iter().map(file).collect();
    let skipped = report.skipped.iter();
    let skipped = skipped
        .map(|each| json!({ "path": each.path.to_string_lossy(), "reason": each.reason.name() }));
    let failed = report.failed.iter().map(|each| {
        let mut failed = Failure::from(each.error.clone()).document();
        failed["path"] = json!(each.path.to_string_lossy());
        failed
    });
    json!({
        "files": files,
        "directories": report.directories,
        "bytes": report.bytes,
        "seconds": report.seconds,
        "gb_per_s": gb_per_s(report.body_bytes_sent, report.seconds),
        "resumed_from_bytes": report.resumed_from_bytes,
        "body_bytes_sent": report.body_bytes_sent,
        "replayed_bytes": statistics.replayed_bytes,
        "paths": paths,
        "sessions": report.sessions,
        "resumes": statistics.resumes,
        "skipped": skipped.collect::<Vec<_>>(),
        "failed": failed.collect::<Vec<_>>(),
    })
}

fn file(file: &FileReport) -> Value {
    json!({
        "source": file.source.to_string_lossy(),
        "target": file.target.to_string_lossy(),
        "bytes": file.bytes,
        "resumed_from_bytes": file.resumed_from_bytes,
        "digest": file.digest.map(|digest| format!("xxh3-128:{digest:032x}")),
    })
}

/// What it cost to get there, if anything.
fn resumes(statistics: &Statistics) -> String {
    match statistics.resumes {
        0 => String::new(),
        1 => ", resumed once".to_owned(),
        count => format!(", resumed {count} times"),
    }
}

fn summary(report: &TransferReport) -> String {
    let files = match report.files.len() {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    let mut text = format!("{files}, {} in {:.2} s", Size(report.bytes), report.seconds);
    if report.body_bytes_sent > 0 {
        let speed = gb_per_s(report.body_bytes_sent, report.seconds);
        text += &format!(" ({speed:.2} GB/s)");
    }
    if report.resumed_from_bytes > 0 {
        text += &format!(", {} of it from before", Size(report.resumed_from_bytes));
    }
    if !report.skipped.is_empty() {
        text += &format!(", {} skipped", report.skipped.len());
    }
    text
}

/// 10⁹ bytes per second.
pub(crate) fn gb_per_s(bytes: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        bytes as f64 / seconds / 1e9
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_files::{FailedFile, SkipReason, SkippedFile, UsageError};

    fn report() -> TransferReport {
        TransferReport {
            files: vec![FileReport {
                source: "a".into(),
                target: "dir/a".into(),
                bytes: 2_000_000_000,
                resumed_from_bytes: 1_000_000_000,
                digest: Some(255),
            }],
            bytes: 2_000_000_000,
            resumed_from_bytes: 1_000_000_000,
            body_bytes_sent: 1_000_000_000,
            skipped: vec![SkippedFile {
                path: "fifo".into(),
                reason: SkipReason::Special,
            }],
            seconds: 0.5,
            sessions: 1,
            ..TransferReport::default()
        }
    }

    #[test]
    fn the_document_carries_what_scripts_read() {
        let document = document(Direction::Put, &report(), &Statistics::default());
        assert_eq!(document["bytes"], 2_000_000_000_u64);
        assert_eq!(document["gb_per_s"], 2.0);
        assert_eq!(document["resumed_from_bytes"], 1_000_000_000);
        assert_eq!(document["body_bytes_sent"], 1_000_000_000);
        assert_eq!(document["paths"]["splice_file"], 0);
        assert_eq!(document["skipped"][0]["reason"], "special");
        let digest = document["files"][0]["digest"].as_str().expect("text");
        assert_eq!(digest, "xxh3-128:000000000000000000000000000000ff");
    }

    #[test]
    fn a_run_that_failed_in_part_tells_both_parts() {
        let mut report = report();
        report.failed.push(FailedFile {
            path: "b".into(),
            error: UsageError::NoSource.into(),
        });
        let error = FilesError::Incomplete {
            report: Box::new(report.clone()),
        };
        let output = Output::guessed(&[]);
        let failure = tell(
            Direction::Put,
            Err(error),
            &Statistics::default(),
            None,
            &output,
        );
        assert_eq!(
            failure.expect_err("incomplete").exit,
            crate::exit::Exit::Usage
        );
        let document = document(Direction::Get, &report, &Statistics::default());
        assert_eq!(document["failed"][0]["path"], "b");
        assert_eq!(document["failed"][0]["error"]["exit_code"], 2);
    }

    #[test]
    fn people_read_one_line() {
        let text = summary(&report());
        assert_eq!(
            text,
            "1 file, 1.9 GiB in 0.50 s (2.00 GB/s), 953.7 MiB of it from before, 1 skipped"
        );
    }
}
