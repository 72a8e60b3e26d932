//! The table in one look: what light requests feel while heavy ones take all that a server has.
//!
//! A drawing of its own: no script, no font, nothing from elsewhere. Its style sheet knows a dark
//! and a light page, and nothing is said by colour alone.

use std::fmt::Write as _;

use super::rows;
use crate::report::escape;
use crate::table::{Table, Unit};

/// A line of the drawing. Times are medians in milliseconds.
struct Line<'a> {
    title: &'a str,
    ours: bool,
    alone: f64,
    beside: f64,
    heavy: f64,
}

/// An axis of decades.
struct Axis {
    /// Exponents of ten.
    first: i32,
    last: i32,
}

/// The drawing; none where nobody's light requests were measured beside heavy ones.
pub(super) fn svg(table: &Table) -> Option<String> {
    let lines = lines(table);
    let axis = Axis::of(lines.iter().flat_map(|line| [line.alone, line.beside]))?;
    let bottom = TOP + ROW * lines.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" \
         aria-label=\"{TITLE}\">\n<style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"100%\" height=\"100%\" rx=\"6\"/>\n",
        bottom + FOOT
    );
    text(&mut svg, (MARGIN, 28.0), "title", TITLE);
    text(&mut svg, (MARGIN, 48.0), "soft", SUBTITLE);
    text(&mut svg, (TIME, TOP - 10.0), "soft end", "99 % within");
    text(&mut svg, (HEAVY, TOP - 10.0), "soft end", "heavy a second");
    axis.draw(&mut svg, bottom);
    for (line, at) in lines.iter().zip(0_u32..) {
        line.draw(&mut svg, &axis, TOP + ROW * f64::from(at));
    }
    let machine = &table.machine;
    let (rounds, kernel) = (table.rounds, &machine.kernel);
    let about = format!(
        "Median of {rounds} rounds on {} cores of {}, {kernel}, commit {}",
        machine.cores, machine.processor, machine.commit
    );
    text(&mut svg, (MARGIN, bottom + FOOT - 12.0), "soft", &about);
    Some(svg + "</svg>\n")
}

/// Ours first, then the others by what their light requests feel.
fn lines(table: &Table) -> Vec<Line<'_>> {
    let of = |contestant: &str, [alone, beside, heavy]: [&str; 3]| {
        let median = |row| table.summary(row, contestant).map(|summary| summary.median);
        Some((median(alone)?, median(beside)?, median(heavy)?))
    };
    let mut lines: Vec<Line<'_>> = table
        .contestants
        .iter()
        .filter_map(|contestant| {
            let (name, title) = (contestant.name.as_str(), contestant.title.as_str());
            let rows = if name == rows::OWN { OWN_ROWS } else { ROWS };
            let (alone, beside, heavy) = of(name, rows)?;
            let ours = [rows::OURS, rows::OWN].contains(&name);
            Some(Line { title, ours, alone, beside, heavy })
        })
        .collect();
    lines.sort_by(|a, b| b.ours.cmp(&a.ours).then(a.beside.total_cmp(&b.beside)));
    lines
}

impl Line<'_> {
    fn draw(&self, svg: &mut String, axis: &Axis, top: f64) {
        let class = if self.ours { "ours" } else { "peer" };
        let (middle, letters) = (top + ROW / 2.0, top + ROW / 2.0 + 4.5);
        let (from, to) = (axis.at(self.alone), axis.at(self.beside));
        put(svg, format_args!("<g class=\"{class}\">"));
        text(svg, (MARGIN, letters), "name", self.title);
        put(
            svg,
            format_args!(
                "<line class=\"way\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle}\" \
                 y2=\"{middle}\"/>\
                 <circle class=\"alone\" cx=\"{from:.1}\" cy=\"{middle}\" r=\"4\"/>\
                 <circle class=\"beside\" cx=\"{to:.1}\" cy=\"{middle}\" r=\"6\"/>"
            ),
        );
        let time = format!("{} ms", Unit::Milliseconds.show(self.beside));
        text(svg, (TIME, letters), "end", &time);
        text(svg, (HEAVY, letters), "end", &format!("{:.0}", self.heavy));
        svg.push_str("</g>\n");
    }
}

impl Axis {
    /// Whole decades around these values.
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let usable = values.filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) = usable
            .fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let first = (low <= high).then(|| low.log10().floor() as i32)?;
        Some(Self { first, last: (high.log10().ceil() as i32).max(first + 1) })
    }

    fn at(&self, value: f64) -> f64 {
        let part = (value.log10() - f64::from(self.first)) / f64::from(self.last - self.first);
        // Nothing at all has no logarithm, and stands at the left end.
        PLOT + PLOT_WIDTH * if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 }
    }

    fn draw(&self, svg: &mut String, bottom: f64) {
        for power in self.first..=self.last {
            let value = 10_f64.powi(power);
            let x = self.at(value);
            let (from, to) = (TOP - 4.0, bottom + 2.0);
            put(
                svg,
                format_args!(
                    "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from}\" y2=\"{to}\"/>"
                ),
            );
            let label = if value >= 1.0 { format!("{value:.0} ms") } else { format!("{value} ms") };
            text(svg, (x, bottom + 18.0), "soft middle", &label);
        }
        svg.push('\n');
    }
}

fn text(svg: &mut String, (x, y): (f64, f64), class: &str, words: &str) {
    let words = escape(words);
    put(svg, format_args!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>"));
}

/// Writing into a String does not fail.
fn put(svg: &mut String, what: std::fmt::Arguments<'_>) {
    svg.write_fmt(what).expect("a String takes everything");
}

const TITLE: &str = "Light requests while heavy ones take all that the server has";
const SUBTITLE: &str = "2,000 requests a second for a fixed answer: alone (hollow), and beside 16 \
                        requests of 10 ms CPU each (filled); two CPUs";
const ROWS: [&str; 3] = [rows::LIGHT_ALONE, rows::LIGHT, rows::HEAVY];
const OWN_ROWS: [&str; 3] = [rows::OWN_ALONE, rows::OWN_LIGHT, rows::OWN_HEAVY];
/// In units of the drawing, which are pixels where it has its natural width.
const WIDTH: f64 = 860.0;
const MARGIN: f64 = 20.0;
const TOP: f64 = 86.0;
const ROW: f64 = 30.0;
const FOOT: f64 = 56.0;
const PLOT: f64 = 345.0;
const PLOT_WIDTH: f64 = 300.0;
/// Right ends of the figures.
const TIME: f64 = 732.0;
const HEAVY: f64 = 840.0;
const STYLE: &str = "
svg { --page: #fdfdfb; --ink: #1d1f21; --soft: #5b6166; --rule: #d9dad6; --ours: #0a58a8; }
@media (prefers-color-scheme: dark) {
  svg { --page: #15171a; --ink: #e7e7e3; --soft: #a3a9af; --rule: #34383d; --ours: #79b8ff; }
}
.page { fill: var(--page); }
text { fill: var(--ink); font: 13.5px system-ui, 'Segoe UI', 'Noto Sans', sans-serif; }
.title { font-size: 18px; font-weight: 600; }
.soft { fill: var(--soft); font-size: 12.5px; }
.end { text-anchor: end; font-variant-numeric: tabular-nums; }
.middle { text-anchor: middle; }
.ours text { font-weight: 600; fill: var(--ours); }
.grid { stroke: var(--rule); }
.way { stroke: var(--soft); stroke-width: 2; }
.alone { fill: var(--page); stroke: var(--soft); stroke-width: 2; }
.beside { fill: var(--soft); }
.ours .way, .ours .alone { stroke: var(--ours); }
.ours .beside { fill: var(--ours); }
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Window;

    fn table(figures: &[(&str, &str, f64)]) -> Table {
        let mut table = super::super::example();
        table.windows = figures
            .iter()
            .map(|(row, contestant, figure)| Window {
                row: (*row).to_owned(),
                contestant: (*contestant).to_owned(),
                round: 0,
                figure: Some(*figure),
                remark: None,
            })
            .collect();
        table
    }

    fn of(contestant: &'static str, times: [f64; 3]) -> [(&'static str, &'static str, f64); 3] {
        let rows = if contestant == rows::OWN { OWN_ROWS } else { ROWS };
        [0, 1, 2].map(|at| (rows[at], contestant, times[at]))
    }

    #[test]
    fn ours_comes_first_and_who_was_not_measured_has_no_line() {
        let figures = [
            of("go", [0.2, 152.0, 175.0]),
            of(rows::OWN, [0.2, 0.25, 98.0]),
            of("actix", [0.15, 13.0, 178.0]),
            of(rows::OURS, [0.2, 0.3, 179.0]),
        ];
        let table = table(figures.as_flattened());
        let titles: Vec<&str> = lines(&table).iter().map(|line| line.title).collect();
        let expected = [
            "corewise, its worker on a CPU of its own",
            "corewise",
            "actix-web with web::block",
            "Go",
        ];
        assert_eq!(titles, expected);
        let drawing = svg(&table).unwrap();
        assert_eq!(drawing.matches("class=\"beside\"").count(), 4);
        for word in ["152 ms", "0.25 ms", ">98<", ">0.1 ms<", ">1000 ms<"] {
            assert!(drawing.contains(word), "{word}: {drawing}");
        }
        for foreign in ["NaN", "inf", "http://www.w3.org/1999", "url("] {
            assert!(!drawing.contains(foreign), "{foreign}: {drawing}");
        }
    }

    #[test]
    fn without_figures_there_is_no_drawing() {
        assert_eq!(svg(&table(&[])), None);
        assert_eq!(svg(&table(&of("go", [0.0, 0.0, 0.0]))), None);
        assert!(svg(&table(&of("go", [0.0, 1.0, 0.0]))).is_some());
    }
}
