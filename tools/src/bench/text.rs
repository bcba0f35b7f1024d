//! The result of a test for people.

use serde_json::Value;

use crate::output::Output;

/// Prints it.
pub(super) fn tell(document: &Value, output: &Output) {
    for line in lines(document) {
        output.line(&line);
    }
}

fn lines(document: &Value) -> Vec<String> {
    let number = |path: &str| document.pointer(path).and_then(Value::as_f64);
    let seconds = number("/seconds").unwrap_or(0.0);
    let mut lines = Vec::new();
    if let Some(rate) = number("/bulk/gb_per_s") {
        let up = number("/bulk/gb_per_s_up").unwrap_or(0.0);
        let down = number("/bulk/gb_per_s_down").unwrap_or(0.0);
        lines.push(format!(
            "bulk     {rate:.3} GB/s over {seconds:.2} s (up {up:.3}, down {down:.3})"
        ));
    }
    if let Some(rate) = number("/latency/per_second") {
        let us = |name: &str| number(&format!("/latency/{name}")).unwrap_or(0.0);
        let what = match document["bench"]["mode"].as_str() {
            Some("connect") => "sessions",
            _ => "calls   ",
        };
        lines.push(format!(
            "{what} {rate:.0} /s; p50 {:.1} µs, p99 {:.1} µs, p99.9 {:.1} µs, max {:.1} µs",
            us("p50_us"),
            us("p99_us"),
            us("p999_us"),
            us("max_us"),
        ));
    }
    if let Some(cuts) = number("/resume/cuts") {
        let ms = |name: &str| number(&format!("/resume/{name}")).unwrap_or(0.0);
        lines.push(format!(
            "resume   {cuts} cuts; gap {:.2} ms median, {:.2} ms longest; {:.1} MB sent again",
            ms("gap_median_ms"),
            ms("gap_max_ms"),
            ms("replayed_bytes") / 1e6,
        ));
    }
    for side in ["client", "server"] {
        lines.extend(side_line(document, side));
    }
    if let Some(segments) = number("/retransmits/segments")
        && segments > 0.0
    {
        lines.push(format!(
            "resent   {segments} TCP segments in this network namespace"
        ));
    }
    lines
}

fn side_line(document: &Value, side: &str) -> Option<String> {
    let of = &document[side];
    let mut line = format!("{side:<8} {:.2} s of CPU", of["cpu_s"].as_f64()?);
    if let Some(cpu) = of["cpu_s_per_gb"].as_f64() {
        line += &format!(", {cpu:.3} s/GB");
    }
    if let Some(cpu) = of["cpu_us_per_call"].as_f64() {
        line += &format!(", {cpu:.2} µs per call");
    }
    if has_sent(of) {
        let shares = of["path_shares"].as_object().into_iter().flatten();
        for (name, share) in shares {
            let percent = 100.0 * share.as_f64().unwrap_or(0.0);
            if percent >= 0.05 {
                line += &format!(", {percent:.1} % {name}");
            }
        }
    }
    let copied = of["zero_copy"]["copied"].as_u64().unwrap_or(0);
    if copied > 0 {
        let attempted = of["zero_copy"]["attempted"].as_u64().unwrap_or(0);
        line += &format!(", {copied} of {attempted} zero-copy sends were copied");
    }
    Some(line)
}

/// Whether it sent more than a hundredth of what it received: the way of the few bytes that steer
/// a test is not what anybody asks for.
fn has_sent(side: &Value) -> bool {
    let bytes = |name: &str| side["counters"][name].as_u64().unwrap_or(0);
    bytes("body_bytes_sent") > bytes("body_bytes_received") / 100
}
