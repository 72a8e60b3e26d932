//! Charts of SVG that grow with the page while their letters keep their size.
//!
//! No drawing has a fixed width: what lies along an axis is placed in percent, and lines stand in
//! an inner drawing that is stretched without its strokes. So one chart is right on a telephone
//! and on a wide screen. Colours are classes, and the style sheet gives them for light and dark;
//! no meaning rests on colour alone.

use super::{figure, put};
use crate::result::Role;

/// Where a value lies on an axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    kind: Kind,
    low: f64,
    high: f64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Linear,
    Log,
}

/// One subject's place on an axis.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) role: Role,
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    /// The same figure under the lighter load, shown hollow.
    pub(super) before: Option<f64>,
}

/// A point of a line, with its extremes.
#[derive(Clone, Copy)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) range: Option<(f64, f64)>,
}

/// The axes that all panels of a chart share.
pub(super) struct Axes {
    pub(super) x: Scale,
    pub(super) y: Scale,
    /// Where the horizontal axis is labelled, and how.
    pub(super) x_ticks: Vec<(f64, String)>,
    pub(super) y_unit: fn(f64) -> String,
}

impl Scale {
    /// From zero, or logarithmic where a chart from zero would press most of its values into one
    /// corner.
    pub(super) fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let positive = values.clone().filter(|value| *value > 0.0);
        let low = positive.clone().fold(f64::INFINITY, f64::min);
        let high = positive.fold(0.0, f64::max);
        if high / low > LINEAR_REACH { Self::log(values) } else { Self::linear(values) }
    }

    pub(super) fn linear(values: impl Iterator<Item = f64>) -> Self {
        let high = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        Self { kind: Kind::Linear, low: 0.0, high: if high > 0.0 { high } else { 1.0 } }
    }

    /// Zeros lie on the lower end.
    pub(super) fn log(values: impl Iterator<Item = f64>) -> Self {
        let positive: Vec<f64> = values.filter(|value| value.is_finite() && *value > 0.0).collect();
        let low = positive.iter().copied().fold(f64::INFINITY, f64::min);
        let high = positive.iter().copied().fold(0.0, f64::max);
        if positive.is_empty() {
            return Self { kind: Kind::Log, low: 1.0, high: 10.0 };
        }
        Self { kind: Kind::Log, low: low / 1.3, high: high.max(low * 1.3) }
    }

    pub(super) fn is_log(self) -> bool {
        self.kind == Kind::Log
    }

    /// From 0 at the lower end to 1 at the upper.
    pub(super) fn at(self, value: f64) -> f64 {
        let part = match self.kind {
            Kind::Linear => (value - self.low) / (self.high - self.low),
            Kind::Log if value <= 0.0 => 0.0,
            Kind::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        // `clamp` keeps what is no number, and a drawing must not.
        if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Round numbers along it, few enough to be labelled.
    pub(super) fn ticks(self, most: usize) -> Vec<f64> {
        match self.kind {
            Kind::Linear => self.linear_ticks(most),
            Kind::Log => self.log_ticks(most),
        }
    }

    fn linear_ticks(self, most: usize) -> Vec<f64> {
        let magnitude = 10_f64.powf(self.high.log10().floor());
        let steps = [0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5].map(|step| step * magnitude);
        let fits = |step: &&f64| self.high / **step < most as f64;
        let step = steps.iter().find(fits).copied().unwrap_or(self.high);
        let count = (self.high / step).floor() as usize;
        (0..=count).map(|at| at as f64 * step).collect()
    }

    fn log_ticks(self, most: usize) -> Vec<f64> {
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        let inside = |tick: &f64| (self.low..=self.high).contains(tick);
        let of = |steps: &[f64]| -> Vec<f64> {
            let decades = (first..=last).map(|power| 10_f64.powi(power));
            let all = decades.flat_map(|decade| steps.iter().map(move |step| step * decade));
            all.filter(inside).collect()
        };
        let dense = of(&[1.0, 2.0, 5.0]);
        if dense.len() <= most {
            return dense;
        }
        let decades = of(&[1.0]);
        let every = decades.len().div_ceil(most).max(1);
        decades.into_iter().step_by(every).collect()
    }
}

/// The line of one subject in a table: its mark between its extremes, over the grid and the limit.
pub(super) fn strip(mark: Mark, scale: Scale, limit: Option<f64>) -> String {
    let x = |value: f64| inset(scale.at(value));
    let mut svg = String::from("<svg class=\"strip\" aria-hidden=\"true\">");
    for tick in scale.ticks(STRIP_TICKS) {
        let at = x(tick);
        put(&mut svg, format_args!("<line class=\"grid\" x1=\"{at}\" x2=\"{at}\" y2=\"100%\"/>"));
    }
    if let Some(limit) = limit {
        let at = x(limit);
        put(&mut svg, format_args!("<line class=\"limit\" x1=\"{at}\" x2=\"{at}\" y2=\"100%\"/>"));
    }
    let class = class_of(mark.role);
    put(&mut svg, format_args!("<svg y=\"50%\" class=\"{class}\">"));
    let (min, max, median) = (x(mark.min), x(mark.max), x(mark.median));
    put(&mut svg, format_args!("<line class=\"range\" x1=\"{min}\" x2=\"{max}\"/>"));
    for end in [&min, &max] {
        put(
            &mut svg,
            format_args!("<line class=\"range\" x1=\"{end}\" x2=\"{end}\" y1=\"-5\" y2=\"5\"/>"),
        );
    }
    if let Some(before) = mark.before {
        let from = x(before);
        put(&mut svg, format_args!("<line class=\"way\" x1=\"{from}\" x2=\"{median}\"/>"));
        put(&mut svg, format_args!("<circle class=\"before\" cx=\"{from}\" r=\"4\"/>"));
    }
    put(&mut svg, format_args!("<svg x=\"{median}\">{}</svg></svg></svg>", shape(mark.role)));
    svg
}

/// The axis below strips. It has room on both sides, so every label stands under its line.
pub(super) fn strip_axis(scale: Scale, label: impl Fn(f64) -> String) -> String {
    let mut svg = String::from("<svg class=\"axis\" aria-hidden=\"true\">");
    let ticks = scale.ticks(STRIP_TICKS).into_iter().map(|tick| (tick, label(tick)));
    let ticks = thin(scale, ticks.collect(), STRIP_DISTANCE);
    let everywhere = thin(scale, ticks.clone().into_iter().rev().collect(), NARROW_DISTANCE);
    for label in &ticks {
        let class = if everywhere.contains(label) { "middle" } else { "middle wide" };
        let (x, text) = (inset(scale.at(label.0)), &label.1);
        put(&mut svg, format_args!("<text class=\"{class}\" x=\"{x}\" y=\"13\">{text}</text>"));
    }
    svg + "</svg>"
}

/// The labels that are at least `distance` of the axis apart. Counted from the right, because the
/// last is the one that a panel's figure belongs to.
pub(super) fn thin(scale: Scale, labels: Vec<(f64, String)>, distance: f64) -> Vec<(f64, String)> {
    let mut kept: Vec<(f64, String)> = Vec::new();
    for label in labels.into_iter().rev() {
        let far = |last: &(f64, String)| scale.at(last.0) - scale.at(label.0) >= distance;
        if kept.last().is_none_or(far) {
            kept.push(label);
        }
    }
    kept
}

/// All lines of a chart once, for the background of its panels.
pub(super) fn background(id: &str, axes: &Axes, lines: &[(Role, Vec<Point>)]) -> String {
    let mut svg = format!(
        "<svg class=\"store\" aria-hidden=\"true\"><symbol id=\"{id}\" viewBox=\"0 0 100 100\" \
         preserveAspectRatio=\"none\">"
    );
    let (limit, others): (Vec<_>, Vec<_>) =
        lines.iter().partition(|(role, _)| *role == Role::Limit);
    for (_, points) in others {
        svg += &polyline("all", axes, points);
    }
    // Last, so that nobody's line hides it.
    for (_, points) in limit {
        svg += &polyline("limit", axes, points);
    }
    svg + "</symbol></svg>"
}

/// One subject's line in front of everybody's.
pub(super) fn panel(id: &str, axes: &Axes, role: Role, points: &[Point], label: &str) -> String {
    let mut svg = String::from("<div class=\"beside\"><svg class=\"labels\" aria-hidden=\"true\">");
    for tick in axes.y.ticks(PANEL_TICKS) {
        let (y, text) = (height(axes.y.at(tick)) + 4.0, (axes.y_unit)(tick));
        put(&mut svg, format_args!("<text class=\"end\" x=\"100%\" y=\"{y}\">{text}</text>"));
    }
    let class = class_of(role);
    put(
        &mut svg,
        format_args!("</svg><svg class=\"panel {class}\" role=\"img\" aria-label=\"{label}\">"),
    );
    for tick in axes.y.ticks(PANEL_TICKS) {
        let y = height(axes.y.at(tick));
        put(&mut svg, format_args!("<line class=\"grid\" x2=\"100%\" y1=\"{y}\" y2=\"{y}\"/>"));
    }
    for (tick, text) in &axes.x_ticks {
        let part = axes.x.at(*tick);
        let (class, x, y) = (anchor(part), inset(part), PANEL_BOTTOM + 16.0);
        put(&mut svg, format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>"));
    }
    let high = PANEL_BOTTOM - PANEL_TOP;
    put(
        &mut svg,
        format_args!(
            "<svg y=\"{PANEL_TOP}\" width=\"100%\" height=\"{high}\"><use href=\"#{id}\" \
         width=\"100%\" height=\"{high}\"/></svg><svg y=\"{PANEL_TOP}\" width=\"100%\" \
         height=\"{high}\" viewBox=\"0 0 100 100\" preserveAspectRatio=\"none\">{}</svg>",
            polyline("own", axes, points)
        ),
    );
    for point in points {
        let (x, y) = (inset(axes.x.at(point.x)), height(axes.y.at(point.y)));
        if let Some((min, max)) = point.range {
            let (low, high) = (height(axes.y.at(min)), height(axes.y.at(max)));
            put(
                &mut svg,
                format_args!(
                    "<line class=\"range\" x1=\"{x}\" x2=\"{x}\" y1=\"{low}\" y2=\"{high}\"/>"
                ),
            );
        }
        put(&mut svg, format_args!("<circle cx=\"{x}\" cy=\"{y}\" r=\"2.5\"/>"));
    }
    svg + "</svg></div>"
}

fn polyline(class: &str, axes: &Axes, points: &[Point]) -> String {
    let places = points.iter().map(|point| {
        let x = INSET + axes.x.at(point.x) * (100.0 - 2.0 * INSET);
        format!("{x:.1},{:.1}", 100.0 - axes.y.at(point.y) * 100.0)
    });
    let places = places.collect::<Vec<_>>().join(" ");
    format!("<polyline class=\"{class}\" points=\"{places}\"/>")
}

/// What a role looks like, besides its colour.
fn shape(role: Role) -> &'static str {
    match role {
        Role::Limit | Role::LimitAgain => "<path d=\"M0-6 6 0 0 6-6 0z\"/>",
        Role::Ours => "<circle r=\"6\"/>",
        Role::Peer => "<circle r=\"4.5\"/>",
        Role::Reference => "<circle class=\"hollow\" r=\"4\"/>",
        Role::Relay => "<path d=\"M-4.5-4.5h9v9h-9z\"/>",
    }
}

pub(super) fn class_of(role: Role) -> &'static str {
    match role {
        Role::Limit | Role::LimitAgain => "bare",
        Role::Ours => "ours",
        Role::Peer => "peer",
        Role::Reference | Role::Relay => "aside",
    }
}

/// Along the width, a little inside so that marks on the ends are whole.
fn inset(part: f64) -> String {
    format!("{:.2}%", INSET + part * (100.0 - 2.0 * INSET))
}

fn height(part: f64) -> f64 {
    let y = PANEL_BOTTOM - part * (PANEL_BOTTOM - PANEL_TOP);
    (y * 10.0).round() / 10.0
}

/// Letters at the ends of an axis must not leave it.
fn anchor(part: f64) -> &'static str {
    match part {
        part if part < 0.04 => "start",
        part if part > 0.96 => "end",
        _ => "middle",
    }
}

/// A number in little room: `500`, `20k`, `1.5M`.
pub(super) fn short_label(value: f64) -> String {
    match value {
        value if value < 1e3 => figure::plain(value),
        value if value < 1e6 => format!("{}k", figure::plain(value / 1e3)),
        value => format!("{}M", figure::plain(value / 1e6)),
    }
}

/// A label with its unit as an axis has it.
pub(super) fn time_label(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { figure::time(value) }
}

/// A chart from zero shows values that are this far apart; beyond, the small ones are one dot.
const LINEAR_REACH: f64 = 12.0;
/// Labels that fit below a strip on a telephone.
const STRIP_TICKS: usize = 6;
/// Between labels below a strip, as a part of its width.
const STRIP_DISTANCE: f64 = 0.1;
/// The same on a telephone, where the others are hidden.
const NARROW_DISTANCE: f64 = 0.24;
/// Labels that fit one above the other in a panel.
const PANEL_TICKS: usize = 4;
/// Per cent of the width on either side.
const INSET: f64 = 3.0;
/// Of a panel's lines, in pixels from its top.
const PANEL_TOP: f64 = 14.0;
const PANEL_BOTTOM: f64 = 104.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(values: &[f64], expected: &[f64]) {
        let scale = Scale::of(values.iter().copied());
        let ticks = scale.ticks(STRIP_TICKS);
        assert_eq!(ticks.len(), expected.len(), "{scale:?} {ticks:?}");
        for (tick, expected) in ticks.iter().zip(expected) {
            assert!((tick - expected).abs() <= expected * 1e-9, "{scale:?} {ticks:?}");
        }
    }

    #[test]
    fn ticks_are_round_and_few() {
        check(&[3.0, 4.1], &[0.0, 1.0, 2.0, 3.0, 4.0]);
        check(&[3.0, 9.7], &[0.0, 2.0, 4.0, 6.0, 8.0]);
        check(&[3.0, 300.0], &[5.0, 10.0, 20.0, 50.0, 100.0, 200.0]);
        check(&[3.0, 3_000.0], &[10.0, 100.0, 1_000.0]);
        check(&[3.0, 40.0], &[5.0, 10.0, 20.0]);
    }

    #[test]
    fn nothing_leaves_the_axis() {
        for values in [&[][..], &[0.0], &[0.0, 0.0, 5.0], &[1e-9, 1e12], &[f64::NAN, 2.0]] {
            let scale = Scale::of(values.iter().copied());
            let odd = [f64::NAN, f64::INFINITY, -1.0, 0.0];
            for value in values.iter().copied().chain(odd) {
                assert!((0.0..=1.0).contains(&scale.at(value)), "{scale:?} {value}");
            }
            assert!(scale.ticks(STRIP_TICKS).len() <= STRIP_TICKS + 1, "{scale:?}");
        }
    }
}
