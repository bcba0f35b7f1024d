//! The page: a comparison of all results, the plots they have something for, and each by itself.

use std::fmt::Write;

use super::chart::{Axis, Group, Line, bars, class_of, lines};
use super::result::TestResult;
use super::scale::{Scale, nines, short};

/// Colours that are told apart on either ground, also by most who see fewer of them.
const STYLE: &str = "
:root { color-scheme: light dark; --ground: #ffffff; --ink: #1c2430; --soft: #5b6676; --rule: #d9dee6;
  --c0: #0b6bcb; --c1: #d1480f; --c2: #1a7f4b; --c3: #8a3ffc; --c4: #b0801a; --c5: #00838f; --c6: #c2185b; --c7: #5d6b7a; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12161c; --ink: #e6eaf0; --soft: #9aa6b6; --rule: #2c3440;
    --c0: #63aeff; --c1: #ff8a5c; --c2: #5fd39a; --c3: #bb9bff; --c4: #e8bb55; --c5: #4fd0dd; --c6: #ff7fb0; --c7: #a9b5c4; } }
body { background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 960px; padding: 24px; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 8px; }
p.about { color: var(--soft); margin: 0 0 8px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { border-bottom: 1px solid var(--rule); padding: 5px 8px; text-align: right; vertical-align: top; }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 600; }
th.text, td.text { text-align: left; } td.what { white-space: nowrap; }
.scroll { overflow-x: auto; }
.key { border-radius: 3px; display: inline-block; height: 11px; margin-right: 7px; width: 11px; }
.legend span.item { margin-right: 18px; white-space: nowrap; }
svg { display: block; height: auto; margin: 8px 0; width: 100%; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .tick { fill: var(--soft); } svg .axis { fill: var(--soft); } svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .line { fill: none; stroke-width: 2; } svg .dashed { stroke-dasharray: 6 4; } svg .faded { opacity: .55; }
";

/// Makes it.
pub(super) fn page(results: &[TestResult]) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>ringway bench</title>\
         <style>{STYLE}{}</style></head><body>\n<h1>ringway bench</h1>\n",
        colours()
    );
    page += &ground(results);
    page += &comparison(results);
    for plot in [throughput, speed, latency, cpu, gaps] {
        page += &plot(results);
    }
    for (index, result) in results.iter().enumerate() {
        page += &details(index, result);
    }
    page + "</body></html>\n"
}

fn colours() -> String {
    let mut style = String::new();
    for index in 0..super::chart::COLOURS {
        let _ = writeln!(
            style,
            ".line.c{index} {{ stroke: var(--c{index}) }} .dot.c{index}, .bar.c{index} {{ fill: \
             var(--c{index}) }} .key.c{index} {{ background: var(--c{index}) }}"
        );
    }
    style
}

/// Text as text, wherever it came from.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for each in text.chars() {
        match each {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            each => out.push(each),
        }
    }
    out
}

/// Where they were measured.
fn ground(results: &[TestResult]) -> String {
    let mut grounds: Vec<String> = Vec::new();
    for result in results {
        let of = |name: &str| result.text(&format!("/environment/client/{name}"));
        let cpus = result.number("/environment/client/cpus").unwrap_or(0.0);
        let nic = match result.text("/environment/nic/name") {
            "" => "no network device",
            name => name,
        };
        let ground = format!(
            "kernel {}, {}, {cpus} cores, {nic}",
            of("kernel"),
            of("cpu")
        );
        if !grounds.contains(&ground) {
            grounds.push(ground);
        }
    }
    let lines = grounds
        .iter()
        .map(|ground| format!("<p class=\"about\">{}</p>\n", escaped(ground)));
    lines.collect()
}

fn key(index: usize, name: &str) -> String {
    format!(
        "<span class=\"key {}\"></span>{}",
        class_of(index),
        escaped(name)
    )
}

fn cell(value: Option<f64>, unit: &str) -> String {
    match value {
        Some(value) => format!("<td>{} {unit}</td>", short(value)),
        None => "<td>–</td>".to_owned(),
    }
}

fn comparison(results: &[TestResult]) -> String {
    let mut rows = String::new();
    for (index, result) in results.iter().enumerate() {
        let cpu = |side: &str| result.number(&format!("/{side}/cpu_s_per_gb"));
        let both = cpu("client").zip(cpu("server")).map(|(a, b)| a + b);
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td class=\"text\">{}</td>{}{}{}{}{}{}</tr>",
            key(index, &result.name),
            escaped(result.text("/bench/mode")),
            cell(result.number("/bulk/gb_per_s"), "GB/s"),
            cell(both, "s/GB"),
            cell(result.number("/latency/per_second"), "/s"),
            cell(result.number("/latency/p50_us"), "µs"),
            cell(result.number("/latency/p99_us"), "µs"),
            cell(result.number("/resume/gap_median_ms"), "ms"),
        );
    }
    format!(
        "<h2>Comparison</h2><div class=\"scroll\"><table><tr><th>result</th><th class=\"text\">mode</th>\
         <th>throughput</th><th>CPU, both sides</th><th>calls</th><th>p50</th><th>p99</th>\
         <th>gap after a cut</th></tr>\n{rows}</table></div>\n"
    )
}

fn legend(lines: &[Line]) -> String {
    let items = lines.iter();
    let items = items.map(|line| {
        format!(
            "<span class=\"item\">{}</span>",
            key(line.index, &line.name)
        )
    });
    format!("<p class=\"legend\">{}</p>", items.collect::<String>())
}

fn lines_of(results: &[TestResult], points: impl Fn(&TestResult) -> Vec<(f64, f64)>) -> Vec<Line> {
    let all = results.iter().enumerate();
    let lines = all.map(|(index, result)| Line {
        index,
        name: result.name.clone(),
        points: points(result),
    });
    lines.filter(|line| !line.points.is_empty()).collect()
}

fn throughput(results: &[TestResult]) -> String {
    let all = lines_of(results, TestResult::throughput);
    if all.is_empty() {
        return String::new();
    }
    let points = all.iter().flat_map(|line| &line.points);
    let (far, high) = points.fold((0.0_f64, 0.0_f64), |(far, high), point| {
        (far.max(point.0), high.max(point.1))
    });
    let x = Axis {
        title: "s",
        scale: Scale::linear(far),
    };
    let y = Axis {
        title: "GB/s",
        scale: Scale::linear(high),
    };
    let title = "Throughput over time";
    format!(
        "<h2>{title}</h2>{}{}\n",
        legend(&all),
        lines(title, &x, &y, &all)
    )
}

fn latency(results: &[TestResult]) -> String {
    let all = lines_of(results, TestResult::percentiles);
    if all.is_empty() {
        return String::new();
    }
    // A percentile beyond one in so many calls is the slowest call again.
    let most = results
        .iter()
        .filter_map(|result| result.number("/latency/count"));
    let shown = most.fold(1.0_f64, f64::max).log10().ceil().clamp(2.0, 5.0);
    let within = |line: Line| Line {
        points: line
            .points
            .into_iter()
            .filter(|point| nines(point.0) <= shown + 1e-9)
            .collect(),
        ..line
    };
    let all: Vec<_> = all.into_iter().map(within).collect();
    let values = all
        .iter()
        .flat_map(|line| line.points.iter().map(|point| point.1));
    let y = Axis {
        title: "µs",
        scale: Scale::logarithmic(values),
    };
    let x = Axis {
        title: "percentile of calls",
        scale: Scale::Nines(shown),
    };
    let title = "Latency by percentile";
    format!(
        "<h2>{title}</h2>{}{}\n",
        legend(&all),
        lines(title, &x, &y, &all)
    )
}

fn groups(results: &[TestResult], bars: &[(&'static str, &str)]) -> Vec<Group> {
    let all = results.iter().enumerate();
    let groups = all.map(|(index, result)| Group {
        index,
        name: result.name.clone(),
        bars: bars
            .iter()
            .filter_map(|(what, pointer)| Some((*what, result.number(pointer)?)))
            .collect(),
    });
    groups.filter(|group| !group.bars.is_empty()).collect()
}

fn bar_plot(title: &str, unit: &str, groups: &[Group]) -> String {
    if groups.is_empty() {
        return String::new();
    }
    format!("<h2>{title}</h2>{}\n", bars(title, unit, groups))
}

fn speed(results: &[TestResult]) -> String {
    let all = groups(results, &[("both ways", "/bulk/gb_per_s")]);
    bar_plot("Throughput", "GB/s", &all)
}

fn cpu(results: &[TestResult]) -> String {
    let bulk = groups(
        results,
        &[
            ("client", "/client/cpu_s_per_gb"),
            ("server", "/server/cpu_s_per_gb"),
        ],
    );
    let calls = groups(
        results,
        &[
            ("client", "/client/cpu_us_per_call"),
            ("server", "/server/cpu_us_per_call"),
        ],
    );
    bar_plot("CPU per GB", "s/GB", &bulk) + &bar_plot("CPU per call", "µs", &calls)
}

fn gaps(results: &[TestResult]) -> String {
    let all = lines_of(results, |result| {
        let gaps = result.gaps();
        gaps.into_iter()
            .enumerate()
            .map(|(index, gap)| (index as f64 + 1.0, gap))
            .collect()
    });
    if all.is_empty() {
        return String::new();
    }
    let points = all.iter().flat_map(|line| &line.points);
    let (far, high) = points.fold((1.0_f64, 0.0_f64), |(far, high), point| {
        (far.max(point.0), high.max(point.1))
    });
    let x = Axis {
        title: "cut",
        scale: Scale::linear(far),
    };
    let y = Axis {
        title: "ms",
        scale: Scale::linear(high),
    };
    let title = "From a cut to bodies that flow again";
    format!(
        "<h2>{title}</h2>{}{}\n",
        legend(&all),
        lines(title, &x, &y, &all)
    )
}

/// One result: what was asked for, and where its bytes went.
fn details(index: usize, result: &TestResult) -> String {
    let mut rows = String::new();
    let mut row = |name: &str, text: String| {
        let text = escaped(&text);
        let _ = writeln!(
            rows,
            "<tr><td class=\"what\">{name}</td><td class=\"text\">{text}</td></tr>"
        );
    };
    row("address", result.text("/bench/address").to_owned());
    row("version", result.text("/bench/version").to_owned());
    row("options", options(result));
    for side in ["client", "server"] {
        let number = |name: &str| result.number(&format!("/{side}/{name}")).unwrap_or(0.0);
        let mut text = format!(
            "{} s of CPU in {} s, {} MB at most resident",
            short(number("cpu_s")),
            short(number("seconds")),
            short(number("peak_rss_bytes") / 1e6)
        );
        let attempted = number("zero_copy/attempted");
        if attempted > 0.0 {
            let copied = number("zero_copy/copied");
            let _ = write!(text, "; {copied} of {attempted} zero-copy sends copied");
        }
        row(side, text);
        row(&format!("{side}: bytes sent by path"), shares(result, side));
    }
    if let Some(segments) = result.number("/retransmits/segments") {
        row(
            "segments sent again",
            format!("{segments}, in the client's network namespace"),
        );
    }
    row(
        "capabilities",
        list(result, "/environment/client/capabilities"),
    );
    format!(
        "<h2>{}</h2><div class=\"scroll\"><table>{rows}</table></div>\n",
        key(index, &result.name)
    )
}

fn options(result: &TestResult) -> String {
    let options = result.document["options"].as_object();
    let shown = options
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| match value {
            serde_json::Value::Null | serde_json::Value::Object(_) => None,
            serde_json::Value::String(text) => Some(format!("{name} {text}")),
            value => Some(format!("{name} {value}")),
        });
    shown.collect::<Vec<_>>().join(", ")
}

fn shares(result: &TestResult, side: &str) -> String {
    let shares = result.document[side]["path_shares"].as_object();
    let shares = shares.into_iter().flatten().filter_map(|(name, share)| {
        let percent = 100.0 * share.as_f64()?;
        (percent >= 0.05).then(|| format!("{percent:.1} % {name}"))
    });
    let shares: Vec<_> = shares.collect();
    match shares.is_empty() {
        true => "none".to_owned(),
        false => shares.join(", "),
    }
}

fn list(result: &TestResult, pointer: &str) -> String {
    let values = result
        .document
        .pointer(pointer)
        .and_then(|it| it.as_array());
    let names = values.into_iter().flatten().filter_map(|it| it.as_str());
    names.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(title: &str) -> TestResult {
        let text = format!(
            r#"{{"bench":{{"schema":1,"title":"{title}","mode":"mixed"}},"bulk":{{"gb_per_s":2.5}},
            "intervals":[{{"start_s":0,"seconds":1,"gb_per_s":2.0}},{{"start_s":1,"seconds":1,"gb_per_s":3.0}}],
            "latency":{{"count":1000,"per_second":10.0,"p50_us":20.0,"p99_us":90.0,
              "percentiles":[{{"percentile":0,"us":10}},{{"percentile":50,"us":20}},{{"percentile":100,"us":99}}]}},
            "resume":{{"gap_ms":[1.0,2.0],"gap_median_ms":1.5}},
            "client":{{"cpu_s_per_gb":0.2,"cpu_us_per_call":3.0}},"server":{{"cpu_s_per_gb":0.1}},
            "options":{{"lanes":2,"rate":null}},"environment":{{"client":{{"kernel":"6.18","cpu":"X","cpus":2}}}}}}"#
        );
        TestResult::parse(&text, "file").expect("a result")
    }

    #[test]
    fn the_page_is_whole_and_asks_the_network_for_nothing() {
        let page = page(&[result("one"), result("two")]);
        for part in [
            "Comparison",
            "Throughput over time",
            "Latency by percentile",
            "CPU per GB",
            "From a cut",
            "kernel 6.18, X, 2 cores",
            "lanes 2",
        ] {
            assert!(page.contains(part), "{part}");
        }
        for forbidden in [
            "http:", "https:", "src=", "@import", "url(", "<script", "NaN", "inf",
        ] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    }

    #[test]
    fn a_title_cannot_break_out_of_the_page() {
        let page = page(&[result("<script>alert('&')</script>")]);
        assert!(!page.contains("<script"));
        assert!(page.contains("&lt;script&gt;alert(&#39;&amp;&#39;)"));
    }

    #[test]
    fn a_result_without_latencies_leaves_that_plot_out() {
        let mut bulk = result("bulk");
        bulk.document["latency"] = serde_json::Value::Null;
        let page = page(&[bulk]);
        assert!(!page.contains("Latency by percentile"));
        assert!(page.contains("Throughput over time"));
    }
}
