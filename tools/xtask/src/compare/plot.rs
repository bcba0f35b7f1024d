//! The picture of a comparison: one line per ratio, on a logarithmic axis around 1.
//!
//! ```text
//!   hot file -> discard, one session      1/4    1/2     1      2      4
//!     plain sendfile -> recv, throughput                 ├●┤               1.02  >= 0.95
//! ```
//!
//! A point is the median, the line through it the quartiles, the tick the target. What could not
//! be measured stands there with its reason: a row that is missing would look like one that was
//! never promised.

use std::fmt::Write;

use serde_json::Value;

use crate::failure::{Failure, Result};

const WIDTH: f64 = 1120.0;
const LINE: f64 = 22.0;
const LEFT: f64 = 480.0;
const RIGHT: f64 = 860.0;
/// The axis goes from one of this to this; beyond, a point stands at the edge, as an arrow.
const MOST: f64 = 4.0;

const MET: &str = "#1a7f37";
const MISSED: &str = "#c62828";
const NO_TARGET: &str = "#57606a";

/// Where a text is anchored, its colour, its weight.
#[derive(Clone, Copy)]
struct Style<'a>(&'a str, &'a str, &'a str);

/// Draws the document of `compare --json` as SVG.
pub fn svg(document: &Value) -> Result<String> {
    let rows = document["rows"].as_array();
    let rows = rows.filter(|rows| !rows.is_empty());
    let rows = rows.ok_or_else(|| wrong("it has no `rows`"))?;
    let mut body = String::new();
    let (mut y, mut work) = (48.0, "");
    for row in rows {
        let title = text(row, "title")?;
        if title != work {
            y += LINE * 1.4;
            label(
                &mut body,
                (12.0, y),
                Style("start", "#1f2328", "bold"),
                title,
            );
            work = title;
        }
        y += LINE;
        line(&mut body, y, row)?;
    }
    let height = y + LINE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    axis(&mut svg, height);
    svg += &body;
    svg += "</svg>\n";
    Ok(svg)
}

fn wrong(what: &str) -> Failure {
    Failure::NoComparison {
        what: what.to_owned(),
    }
}

fn text<'a>(row: &'a Value, name: &str) -> Result<&'a str> {
    let found = row[name].as_str();
    found.ok_or_else(|| wrong(&format!("a row has no `{name}`")))
}

fn x(ratio: f64) -> f64 {
    let share = (ratio.clamp(1.0 / MOST, MOST).log2() / MOST.log2() + 1.0) / 2.0;
    LEFT + (RIGHT - LEFT) * share
}

fn axis(svg: &mut String, height: f64) {
    label(
        svg,
        (12.0, 28.0),
        Style("start", "#1f2328", "bold"),
        "ringway by theirs, of the same round",
    );
    for (ratio, name) in [
        (0.25, "1/4"),
        (0.5, "1/2"),
        (1.0, "1"),
        (2.0, "2"),
        (4.0, "4"),
    ] {
        let (x, width) = (x(ratio), if ratio == 1.0 { 2 } else { 1 });
        label(svg, (x, 28.0), Style("middle", NO_TARGET, "normal"), name);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"36\" y2=\"{height}\" stroke=\"#d0d7de\" \
             stroke-width=\"{width}\"/>"
        );
    }
}

fn line(svg: &mut String, y: f64, row: &Value) -> Result<()> {
    let metric = text(row, "metric")?.replace('_', " ");
    let name = format!("{}, {metric}", text(row, "against_title")?);
    label(svg, (28.0, y), Style("start", "#1f2328", "normal"), &name);
    let Some(median) = row["ratio"]["median"].as_f64() else {
        let why = row["not_available"].as_str().unwrap_or("not measured");
        label(svg, (LEFT, y), Style("start", MISSED, "normal"), why);
        return Ok(());
    };
    let colour = match row["met"].as_bool() {
        Some(true) => MET,
        Some(false) => MISSED,
        None => NO_TARGET,
    };
    let quartile = |name: &str| row["ratio"][name].as_f64().unwrap_or(median);
    let (q1, q3, middle) = (quartile("q1"), quartile("q3"), y - 4.0);
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"{colour}\" \
         stroke-width=\"3\"/>",
        x(q1),
        x(q3)
    );
    if !(1.0 / MOST..=MOST).contains(&median) {
        let arrow = if median > MOST {
            "\u{25b6}"
        } else {
            "\u{25c0}"
        };
        label(
            svg,
            (x(median), y),
            Style("middle", colour, "normal"),
            arrow,
        );
    } else {
        let _ = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{middle}\" r=\"5\" fill=\"{colour}\"/>",
            x(median)
        );
    }
    let mut said = format!("{median:.2} [{q1:.2}, {q3:.2}]");
    if let Some(target) = row["target"].as_f64() {
        let sign = match row["better"].as_str() {
            Some("lower") => '\u{2264}',
            _ => '\u{2265}',
        };
        let _ = write!(said, "  {sign} {target}");
        let _ = writeln!(
            svg,
            "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{1}\" y2=\"{2}\" stroke=\"#1f2328\" \
             stroke-width=\"2\"/>",
            x(target),
            middle - 8.0,
            middle + 8.0
        );
    }
    label(
        svg,
        (RIGHT + 16.0, y),
        Style("start", colour, "normal"),
        &said,
    );
    Ok(())
}

fn label(svg: &mut String, (x, y): (f64, f64), style: Style<'_>, text: &str) {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let Style(anchor, colour, weight) = style;
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\" \
         font-weight=\"{weight}\">{text}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(median: Option<f64>, met: Option<bool>) -> Value {
        json!({
            "title": "hot file -> discard",
            "against_title": "R&D",
            "metric": "sender_cpu",
            "ratio": median.map(|it| json!({ "median": it, "q1": it * 0.9, "q3": it * 1.1 })),
            "target": 0.5,
            "better": "lower",
            "met": met,
            "not_available": median.is_none().then_some("it failed"),
        })
    }

    #[test]
    fn what_was_missed_or_not_measured_is_seen() {
        let rows = [
            row(Some(0.4), Some(true)),
            row(Some(0.8), Some(false)),
            row(None, Some(false)),
        ];
        let picture = svg(&json!({ "rows": rows })).expect("drawn");
        assert_eq!(picture.matches("<circle").count(), 2);
        assert!(picture.contains(MET) && picture.contains(MISSED));
        assert!(picture.contains("it failed"));
        assert!(picture.contains("0.40 [0.36, 0.44]  \u{2264} 0.5"));
        assert!(picture.contains("R&amp;D, sender cpu") && picture.contains("-&gt; discard"));
    }

    #[test]
    fn what_is_off_the_axis_points_out_of_it() {
        let picture = svg(&json!({ "rows": [row(Some(7.0), None)] })).expect("drawn");
        assert!(picture.contains('\u{25b6}') && picture.contains("7.00"));
        assert!(!picture.contains("<circle"));
    }

    #[test]
    fn another_document_is_refused() {
        for document in [json!({}), json!({ "rows": [] }), json!({ "rows": [{}] })] {
            let refused = svg(&document).expect_err("it is none");
            assert!(refused.to_string().contains("compare --json"), "{refused}");
        }
    }
}
