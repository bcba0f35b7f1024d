//! What this machine can do, found by trying it.

use ringway::Capability;
use ringway::probe::{RingReport, UringConfig, probe};
use serde_json::{Value, json};

use crate::failure::{Failure, Result};

/// As JSON, the keys of `ringway probe --json` without the table of paths.
pub(crate) fn json_text() -> String {
    let report = probe(UringConfig::default());
    let memlock = Some(report.memlock_limit_bytes).filter(|limit| *limit != u64::MAX);
    let mut document = json!({
        "kernel": report.kernel_release,
        "io_uring": report.ring.is_ok(),
        "memlock_limit_bytes": memlock,
        "pipe_max_bytes": report.pipe_max_bytes,
        "pipe_user_pages_soft": report.pipe_user_pages_soft,
    });
    match &report.ring {
        Ok(ring) => document["capabilities"] = capabilities(ring),
        Err(unavailable) => {
            document["error"] = json!({
                "errno": unavailable.errno.0,
                "message": unavailable.to_string(),
                "hint": unavailable.hint,
            });
        }
    }
    document.to_string()
}

/// Whether it has one feature.
///
/// # Errors
/// `RINGWAY_E_ARGUMENT` when there is no such feature; the text names those there are.
pub(crate) fn has(name: &str) -> Result<bool> {
    let wanted: Capability = name.parse().map_err(Failure::argument)?;
    let report = probe(UringConfig::default());
    let findings = report.ring.map(|ring| ring.findings).unwrap_or_default();
    let found = findings.iter().find(|each| each.capability == wanted);
    Ok(found.is_some_and(|each| each.is_present))
}

fn capabilities(ring: &RingReport) -> Value {
    let each = ring.findings.iter().map(|finding| {
        json!({
            "name": finding.capability.name(),
            "present": finding.is_present,
            "how": finding.how,
        })
    });
    each.collect()
}
