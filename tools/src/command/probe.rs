//! `ringway probe`: what this machine can do, and what that means for bodies.

use ringway::{
    BodySource, Capabilities, PathAnswer, PathChoice, PathQuestion, Route, explain_path,
};
use ringway_uring::{Finding, ProbeReport, RingReport, UringConfig, probe};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Output;
use crate::size::Size;

/// A kind of body that users meet.
struct Body {
    name: &'static str,
    source: BodySource,
    length: u64,
    choice: PathChoice,
    /// What the table does not decide, because it is decided piece by piece.
    remark: &'static str,
}

const BODIES: [Body; 6] = [
    Body {
        name: "small bytes",
        source: BodySource::Bytes,
        length: 1 << 10,
        choice: PathChoice::Auto,
        remark: "",
    },
    Body {
        name: "large bytes",
        source: BodySource::Bytes,
        length: 1 << 20,
        choice: PathChoice::Auto,
        remark: "",
    },
    Body {
        name: "lease",
        source: BodySource::Lease,
        length: 1 << 20,
        choice: PathChoice::Auto,
        remark: "",
    },
    Body {
        name: "hot file",
        source: BodySource::File,
        length: 1 << 20,
        choice: PathChoice::Auto,
        remark: "; pieces in the page cache are taken at once",
    },
    Body {
        name: "cold file",
        source: BodySource::File,
        length: 1 << 20,
        choice: PathChoice::Auto,
        remark: "; pieces on the disk are fetched by a kernel worker",
    },
    Body {
        name: "cold file, direct",
        source: BodySource::File,
        length: 1 << 20,
        choice: PathChoice::Direct,
        remark: "; of a file opened for it (File::direct, put --path direct)",
    },
];

const ROUTES: [(&str, Route); 4] = [
    ("loopback", Route::Loopback),
    ("unix", Route::Unix),
    ("virtual", Route::Virtual),
    ("device", Route::Device),
];

/// Tries everything and prints it.
pub(super) fn run(output: &Output) -> Result<(), Failure> {
    let config = UringConfig::from_environment_mask()
        .map_err(|error| Failure::usage(format_args!("RINGWAY_MASK: {error}")))?;
    let report = probe(config);
    let ring = match &report.ring {
        Ok(ring) => ring,
        Err(unavailable) => {
            let failure = Failure::from(unavailable.clone());
            output.line(&format!("kernel     {}", report.kernel_release));
            let mut document = facts(&report);
            document["error"] = failure.document()["error"].take();
            document["error"]["errno"] = json!(unavailable.errno.0);
            document["error"]["hint"] = json!(unavailable.hint);
            output.finish(&document);
            return Err(failure);
        }
    };
    let paths = paths(capabilities(ring));
    for line in lines(&report, ring, &paths) {
        output.line(&line);
    }
    output.finish(&document(&report, ring, &paths));
    Ok(())
}

/// One row of the path table.
struct Row {
    body: &'static Body,
    route: &'static str,
    answer: PathAnswer,
}

fn capabilities(ring: &RingReport) -> Capabilities {
    let usable = ring
        .findings
        .iter()
        .filter(|each| each.is_present && !each.is_masked);
    usable.map(|each| each.capability).collect()
}

fn paths(capabilities: Capabilities) -> Vec<Row> {
    let ask = |body: &Body, route| {
        explain_path(&PathQuestion {
            source: body.source,
            length: body.length,
            route,
            choice: body.choice,
            capabilities,
            copied_in_a_row: 0,
            avoided: 0,
        })
    };
    let rows = BODIES.iter().flat_map(|body| {
        ROUTES.iter().map(move |(name, route)| Row {
            body,
            route: name,
            answer: ask(body, *route),
        })
    });
    rows.collect()
}

fn facts(report: &ProbeReport) -> Value {
    let memlock = Some(report.memlock_limit_bytes).filter(|limit| *limit != u64::MAX);
    json!({
        "kernel": report.kernel_release,
        "io_uring": report.ring.is_ok(),
        "memlock_limit_bytes": memlock,
        "pipe_max_bytes": report.pipe_max_bytes,
        "pipe_user_pages_soft": report.pipe_user_pages_soft,
    })
}

fn document(report: &ProbeReport, ring: &RingReport, paths: &[Row]) -> Value {
    let mut document = facts(report);
    let capabilities = ring.findings.iter().map(|each| {
        json!({
            "name": each.capability.name(),
            "present": each.is_present,
            "masked": each.is_masked,
            "how": each.how,
        })
    });
    let limits = limits(ring)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)));
    let reductions = ring.reductions().iter().map(|each| {
        json!({ "what": each.what, "wanted": each.wanted, "got": each.got, "reason": each.reason })
    });
    let paths = paths.iter().map(|row| {
        json!({
            "body": row.body.name,
            "bytes": row.body.length,
            "route": row.route,
            "path": row.answer.path.name(),
            "why": format!("{}{}", row.answer.why, row.body.remark),
        })
    });
    document["capabilities"] = capabilities.collect();
    document["limits"] = Value::Object(limits.collect());
    document["limits"]["lease_sizes"] = json!(ring.limits.lease_sizes);
    document["reductions"] = reductions.collect();
    document["paths"] = paths.collect();
    document
}

fn limits(ring: &RingReport) -> [(&'static str, u64); 8] {
    let limits = &ring.limits;
    [
        ("submission_entries", limits.submission_entries.into()),
        ("completion_entries", limits.completion_entries.into()),
        ("ops_max", limits.ops_max.into()),
        ("arena_bytes", limits.arena_bytes),
        ("provided_count", limits.provided_count.into()),
        ("provided_bytes", limits.provided_bytes.into()),
        ("pipes_max", limits.pipes_max.into()),
        ("pipe_bytes", limits.pipe_bytes.into()),
    ]
}

fn lines(report: &ProbeReport, ring: &RingReport, paths: &[Row]) -> Vec<String> {
    let memlock = match report.memlock_limit_bytes {
        u64::MAX => "unlimited".to_owned(),
        bytes => Size(bytes).to_string(),
    };
    let mut lines = vec![
        format!("kernel     {}", report.kernel_release),
        format!("memlock    {memlock}"),
        String::new(),
        "capabilities".to_owned(),
    ];
    lines.extend(ring.findings.iter().map(capability_line));
    lines.extend([String::new(), "limits of one ring".to_owned()]);
    lines.extend(
        limits(ring)
            .iter()
            .map(|(name, value)| limit_line(name, *value)),
    );
    if !ring.reductions().is_empty() {
        lines.extend([String::new(), "smaller than configured".to_owned()]);
    }
    let reductions = ring.reductions().iter();
    lines.extend(reductions.map(|each| format!("  {each}")));
    lines.extend([String::new(), "paths of bodies".to_owned()]);
    lines.extend(path_lines(paths));
    lines
}

fn capability_line(finding: &Finding) -> String {
    let state = match (finding.is_present, finding.is_masked) {
        (_, true) => "masked",
        (true, false) => "yes",
        (false, false) => "no",
    };
    format!(
        "  {:<19} {state:<7} {}",
        finding.capability.name(),
        finding.how
    )
}

fn limit_line(name: &str, value: u64) -> String {
    if name.ends_with("_bytes") {
        return format!("  {name:<19} {}", Size(value));
    }
    format!("  {name:<19} {value}")
}

/// One line where all routes have the same answer, else one for each run of routes.
fn path_lines(paths: &[Row]) -> Vec<String> {
    let same = |a: &Row, b: &Row| a.body.name == b.body.name && a.answer == b.answer;
    let groups = paths.chunk_by(same).map(|rows| {
        let routes: Vec<_> = rows.iter().map(|row| row.route).collect();
        let routes = match routes.len() {
            length if length == ROUTES.len() => "any route".to_owned(),
            _ => routes.join(", "),
        };
        let Row { body, answer, .. } = &rows[0];
        let (name, path) = (body.name, answer.path.name());
        format!(
            "  {name:<12} {routes:<23} {path:<15} {}{}",
            answer.why, body.remark
        )
    });
    groups.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_body_has_a_path_on_every_route() {
        for capabilities in [Capabilities::all(), Capabilities::NONE] {
            let rows = paths(capabilities);
            assert_eq!(rows.len(), BODIES.len() * ROUTES.len());
            assert!(rows.iter().all(|row| !row.answer.why.is_empty()));
            let lines = path_lines(&rows);
            assert!(lines.iter().any(|line| line.contains("any route")));
        }
    }

    #[test]
    fn a_lease_leaves_by_another_path_on_a_device() {
        let rows = paths(Capabilities::all());
        let path = |route: &str| {
            let row = rows
                .iter()
                .find(|row| row.body.name == "lease" && row.route == route);
            row.expect("asked").answer.path.name()
        };
        assert_eq!(
            (path("loopback"), path("device")),
            ("splice_arena", "zero_copy")
        );
    }
}
