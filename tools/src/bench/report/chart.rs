//! Pictures: lines and bars, as SVG that takes its colours from the page.

use std::fmt::Write;

use super::page::escaped;
use super::scale::{Scale, short};

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 36.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 48.0;

/// Distinct colours; more lines than that repeat them with dashes.
pub(super) const COLOURS: usize = 8;

/// One line of a picture.
pub(super) struct Line {
    /// Which result: its colour.
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// What stands at an axis, and how it is spread.
pub(super) struct Axis {
    pub(super) title: &'static str,
    pub(super) scale: Scale,
}

/// Bars that belong together.
pub(super) struct Group {
    /// Which result.
    pub(super) index: usize,
    pub(super) name: String,
    /// Each with what it stands for.
    pub(super) bars: Vec<(&'static str, f64)>,
}

fn x_of(axis: &Axis, value: f64) -> f64 {
    LEFT + axis.scale.place(value) * (WIDTH - LEFT - RIGHT)
}

fn y_of(axis: &Axis, value: f64) -> f64 {
    HEIGHT - BOTTOM - axis.scale.place(value) * (HEIGHT - TOP - BOTTOM)
}

/// Lines over two axes. Writing into a string does not fail, here and below.
pub(super) fn lines(title: &str, x: &Axis, y: &Axis, lines: &[Line]) -> String {
    let mut svg = open(title, HEIGHT);
    for (value, text) in x.scale.ticks() {
        let at = x_of(x, value);
        let (top, low) = (TOP, HEIGHT - BOTTOM);
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{at:.1}" y1="{top}" x2="{at:.1}" y2="{low}"/>
<text class="tick" x="{at:.1}" y="{:.1}" text-anchor="middle">{text}</text>"#,
            low + 16.0
        );
    }
    for (value, text) in y.scale.ticks() {
        let at = y_of(y, value);
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{LEFT}" y1="{at:.1}" x2="{}" y2="{at:.1}"/>
<text class="tick" x="{}" y="{:.1}" text-anchor="end">{text}</text>"#,
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0
        );
    }
    axis_titles(&mut svg, x.title, y.title);
    for line in lines {
        draw_line(&mut svg, x, y, line);
    }
    svg + "</svg>"
}

fn axis_titles(svg: &mut String, x: &str, y: &str) {
    let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
    let centre = TOP + (HEIGHT - TOP - BOTTOM) / 2.0;
    let _ = write!(
        svg,
        r#"<text class="axis" x="{middle:.1}" y="{:.1}" text-anchor="middle">{x}</text>
<text class="axis" transform="translate(16 {centre:.1}) rotate(-90)" text-anchor="middle">{y}</text>"#,
        HEIGHT - 10.0
    );
}

fn draw_line(svg: &mut String, x: &Axis, y: &Axis, line: &Line) {
    let places: Vec<_> = line
        .points
        .iter()
        .map(|(a, b)| (x_of(x, *a), y_of(y, *b), *a, *b))
        .collect();
    let path: Vec<_> = places
        .iter()
        .map(|(a, b, ..)| format!("{a:.1},{b:.1}"))
        .collect();
    let class = class_of(line.index);
    let _ = write!(
        svg,
        r#"<polyline class="line {class}" points="{}"/>"#,
        path.join(" ")
    );
    let name = escaped(&line.name);
    // Dots tell their values when they are pointed at; a thousand of them would only hide the line.
    if places.len() <= 120 {
        for (a, b, value_x, value_y) in places {
            let (value_x, value_y) = (short(value_x), short(value_y));
            let _ = write!(
                svg,
                r#"<circle class="dot {class}" cx="{a:.1}" cy="{b:.1}" r="3"><title>{name}: {value_x}, {value_y}</title></circle>"#
            );
        }
    }
}

/// Horizontal bars, one row each, grouped by result.
pub(super) fn bars(title: &str, unit: &str, groups: &[Group]) -> String {
    const ROW: f64 = 22.0;
    const NAMES: f64 = 300.0;
    const VALUES: f64 = 90.0;
    let most = groups
        .iter()
        .flat_map(|group| &group.bars)
        .fold(0.0_f64, |most, bar| most.max(bar.1));
    let scale = if most > 0.0 { most } else { 1.0 };
    let rows: usize = groups.iter().map(|group| group.bars.len()).sum();
    let height = TOP + rows as f64 * ROW + groups.len() as f64 * 10.0 + 8.0;
    let mut svg = open(title, height);
    let mut at = TOP;
    for group in groups {
        let class = class_of(group.index);
        for (place, (what, value)) in group.bars.iter().enumerate() {
            let width = value / scale * (WIDTH - NAMES - VALUES);
            let middle = at + ROW / 2.0 + 4.0;
            let name = if place == 0 {
                shortened(&group.name)
            } else {
                String::new()
            };
            let (name, end) = (escaped(&name), NAMES + width + 6.0);
            let fade = if place % 2 == 1 { " faded" } else { "" };
            let _ = write!(
                svg,
                r#"<text class="name" x="0" y="{middle:.1}">{name}</text>
<text class="tick" x="{}" y="{middle:.1}" text-anchor="end">{what}</text>
<rect class="bar {class}{fade}" x="{NAMES}" y="{:.1}" width="{width:.1}" height="{}"/>
<text class="value" x="{end:.1}" y="{middle:.1}">{} {unit}</text>"#,
                NAMES - 8.0,
                at + 3.0,
                ROW - 6.0,
                short(*value)
            );
            at += ROW;
        }
        at += 10.0;
    }
    svg + "</svg>"
}

fn open(title: &str, height: f64) -> String {
    let title = escaped(title);
    format!(
        r#"<svg viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{title}"><title>{title}</title>"#
    )
}

/// Colour, and dashes for those that repeat one.
pub(super) fn class_of(index: usize) -> String {
    let dashes = if index / COLOURS % 2 == 1 {
        " dashed"
    } else {
        ""
    };
    format!("c{}{dashes}", index % COLOURS)
}

/// As much of a name as fits beside a bar.
fn shortened(name: &str) -> String {
    const CHARACTERS: usize = 28;
    if name.chars().count() <= CHARACTERS {
        return name.to_owned();
    }
    let kept: String = name.chars().take(CHARACTERS - 1).collect();
    kept + "…"
}
