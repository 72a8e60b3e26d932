//! The run as a terminal shows it: progress and figures while it goes on, the table at its end.

use std::env;
use std::io::{self, IsTerminal as _, Write};
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;

use super::figure::{self, PLAIN_BLANKS};
use super::finding::{self, Findings};
use crate::result::{Column, Quantity, Role, Run, State, Subject, Window};
use crate::statistics::{Measure, Statistics, Verdict};

/// Shows a run while it is measured.
pub(crate) struct Progress {
    out: Box<dyn Write>,
    screen: Screen,
    started: Instant,
    /// Windows that there will be and that there were, repeated ones not counted.
    planned: usize,
    done: usize,
    column: Option<Present>,
    /// Lines on the screen that will be written over.
    drawn: usize,
    doing: String,
}

/// The column that is being measured.
struct Present {
    column: Column,
    subjects: Vec<Subject>,
    windows: Vec<Window>,
}

/// What the other end can show.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Screen {
    pub(crate) width: usize,
    pub(crate) colours: bool,
    /// Whether lines can be written over.
    pub(crate) lively: bool,
}

impl Screen {
    /// Of standard error, where progress goes.
    pub(crate) fn of_errors() -> Self {
        let width = tcgetwinsize(io::stderr()).map(|size| size.ws_col);
        Self::decide(io::stderr().is_terminal(), width.ok(), |name| env::var(name).ok())
    }

    /// Of standard output, where the table goes.
    pub(crate) fn of_output() -> Self {
        let width = tcgetwinsize(io::stdout()).map(|size| size.ws_col);
        Self::decide(io::stdout().is_terminal(), width.ok(), |name| env::var(name).ok())
    }

    /// A pipe has no width of its own and gets the common one.
    fn decide(
        is_terminal: bool,
        width: Option<u16>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let dumb = variable("TERM").is_some_and(|term| term == "dumb");
        let silent = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
        let width = width.filter(|width| *width > 0 && is_terminal).map_or(WIDTH, usize::from);
        Self {
            width: width.max(WIDTH_MIN),
            colours: is_terminal && !dumb && !silent,
            lively: is_terminal && !dumb,
        }
    }

    fn paint(self, code: &str, text: &str) -> String {
        paint(self.colours, code, text)
    }
}

impl Progress {
    /// `windows` is how many there will be, repeated ones not counted.
    pub(crate) fn new(out: Box<dyn Write>, screen: Screen, windows: usize) -> Self {
        Self {
            out,
            screen,
            started: Instant::now(),
            planned: windows,
            done: 0,
            column: None,
            drawn: 0,
            doing: String::new(),
        }
    }

    /// A column begins with these subjects. The one before it is finished.
    pub(crate) fn column(&mut self, column: &Column, subjects: &[Subject]) {
        self.close_column();
        self.column = Some(Present {
            column: column.clone(),
            subjects: subjects.to_vec(),
            windows: Vec::new(),
        });
        self.draw();
    }

    /// What is being done now, such as `round 2 of 5, corewise`.
    pub(crate) fn doing(&mut self, what: &str) {
        what.clone_into(&mut self.doing);
        self.draw();
    }

    /// A window of the present column is measured.
    pub(crate) fn window(&mut self, window: &Window) {
        if window.attempt == 0 {
            self.done += 1;
        }
        if let Some(present) = &mut self.column {
            present.windows.push(window.clone());
        }
        self.draw();
    }

    /// A line that stays: a missing peer, a server that failed.
    pub(crate) fn note(&mut self, line: &str) {
        let erase = self.erase();
        self.put(&format!("{erase}{}\n", printable(line)));
        self.draw();
    }

    /// Nothing follows.
    pub(crate) fn finish(mut self) {
        self.close_column();
    }

    /// What was drawn over and over stays as it is now.
    fn close_column(&mut self) {
        let Some(present) = self.column.take() else { return };
        let erase = self.erase();
        let text =
            if self.screen.lively { present.block(self.screen) } else { present.line() + "\n" };
        self.put(&format!("{erase}{text}"));
    }

    fn draw(&mut self) {
        if !self.screen.lively {
            return;
        }
        let erase = self.erase();
        let block = self.column.as_ref().map_or_else(String::new, |one| one.block(self.screen));
        let status = self.screen.paint(DIM, &cut(&self.status(), self.screen.width - 1));
        self.put(&format!("{erase}{block}{status}"));
        self.drawn = block.lines().count();
    }

    /// How far it is, and how long it will take.
    fn status(&self) -> String {
        let left = time_left(self.started.elapsed(), self.done, self.planned);
        let left = left.map_or_else(String::new, |left| {
            format!(", {} left", figure::duration(left.as_secs()))
        });
        let percent = (self.done.min(self.planned) * 100).checked_div(self.planned).unwrap_or(100);
        format!("{percent} %{left}  {}", printable(&self.doing))
    }

    /// Back to where the block began, and everything below it gone.
    fn erase(&mut self) -> String {
        if !self.screen.lively {
            return String::new();
        }
        match std::mem::take(&mut self.drawn) {
            0 => "\r\u{1b}[J".to_owned(),
            lines => format!("\r\u{1b}[{lines}A\u{1b}[J"),
        }
    }

    /// A reader that has left must not end the measuring.
    fn put(&mut self, text: &str) {
        let _unheard = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

impl Present {
    fn measure(&self) -> Option<Measure<'_>> {
        let &quantity = self.column.quantities.first()?;
        Some(Measure { column: &self.column.name, quantity })
    }

    /// The column as a small table, with the figures that there are.
    fn block(&self, screen: Screen) -> String {
        let Some(measure) = self.measure() else { return String::new() };
        let statistics = Statistics::of_windows(&self.subjects, &self.windows);
        let rows: Vec<Line> = self
            .subjects
            .iter()
            .filter(|one| is_here(one))
            .map(|subject| {
                let summary = statistics.summary(measure, &subject.name);
                let attempts = self.windows.iter().filter(|w| w.subject == subject.name).count();
                let state = match summary {
                    Some(_) => String::new(),
                    None => self.absence(subject, attempts),
                };
                Line {
                    name: subject.name.clone(),
                    role: subject.role,
                    figures: summary.map(|summary| {
                        let quantity = measure.quantity;
                        [summary.median, summary.min, summary.max].map(|one| quantity.shown(one))
                    }),
                    ratio: figure::ratio(statistics.to_limit(measure, &subject.name)),
                    verdict: state,
                }
            })
            .collect();
        let title = format!("{}, {}", self.column.title, measure.quantity.heading());
        lines(&title, rows, screen.width, screen.colours)
    }

    fn absence(&self, subject: &Subject, attempts: usize) -> String {
        match (subject.declined.get(&self.column.name), &subject.state) {
            (Some(why), _) => format!("not done: {why}"),
            (None, State::Failed { why }) => format!("failed: {why}"),
            _ if attempts == 0 => "waits".to_owned(),
            _ => {
                let of = |window: &&Window| window.subject == subject.name;
                let last = self.windows.iter().rfind(of).expect("an attempt is a window");
                if last.errors.is_empty() {
                    format!("no window counts: {}", last.disturbances.join(", "))
                } else {
                    format!("failed: {}", finding::errors(last))
                }
            }
        }
    }

    /// The column as one line, where nothing can be written over.
    fn line(&self) -> String {
        let Some(measure) = self.measure() else { return self.column.name.clone() };
        let statistics = Statistics::of_windows(&self.subjects, &self.windows);
        let figures =
            self.subjects.iter().filter(|one| is_here(one)).map(|subject| {
                match statistics.summary(measure, &subject.name) {
                    Some(summary) => {
                        format!("{} {}", subject.name, measure.quantity.shown(summary.median))
                    }
                    None => format!("{} -", subject.name),
                }
            });
        let figures: Vec<_> = figures.collect();
        let heading = measure.quantity.heading();
        printable(&format!("{}: {heading}: {}", self.column.name, figures.join(", ")))
    }
}

/// The run as one table, its first sentence on top.
pub(crate) fn table(run: &Run, width: usize, colours: bool) -> String {
    let findings = Findings::of(run);
    let mut text = String::new();
    for line in wrap(&findings.sentence(), width) {
        text += &format!("{}\n", paint(colours, BOLD, &line));
    }
    for line in wrap(&(figure::capital(&findings.remarks().join("; ")) + "."), width) {
        text += &format!("{line}\n");
    }
    for column in &run.columns {
        for quantity in shown_quantities(column) {
            let measure = Measure { column: &column.name, quantity };
            text.push('\n');
            text += &measure_table(&findings, column, measure, width, colours);
        }
    }
    text += &promises(&findings, width, colours);
    text + &absent(run, width)
}

/// The first quantity, and what else is promised; the page has the others.
fn shown_quantities(column: &Column) -> Vec<Quantity> {
    let mut quantities: Vec<_> = column.quantities.first().copied().into_iter().collect();
    for promise in &column.promises {
        if !quantities.contains(&promise.quantity) {
            quantities.push(promise.quantity);
        }
    }
    quantities
}

fn measure_table(
    findings: &Findings<'_>,
    column: &Column,
    measure: Measure<'_>,
    width: usize,
    colours: bool,
) -> String {
    let quantity = measure.quantity;
    let rows = findings.rows(measure).into_iter().map(|row| {
        let figures = row.summary.as_ref().ok().map(|summary| {
            [summary.median, summary.min, summary.max].map(|figure| quantity.shown(figure))
        });
        let mut verdict = match (&row.summary, row.verdict) {
            (Err(why), _) => why.clone(),
            (Ok(_), Some(Verdict::Open(_)) | None) => String::new(),
            (Ok(_), Some(verdict)) => figure::verdict(verdict),
        };
        let errors: u64 = row.errors.values().sum();
        if errors > 0 {
            verdict = format!("{verdict} ({errors} errors)").trim_start().to_owned();
        }
        Line {
            name: row.subject.name.clone(),
            role: row.subject.role,
            figures,
            ratio: figure::ratio(row.to_limit),
            verdict,
        }
    });
    let title = format!("{}, {}", column.title, quantity.heading());
    lines(&title, rows.collect(), width, colours)
}

fn promises(findings: &Findings<'_>, width: usize, colours: bool) -> String {
    let mut text = String::new();
    for kept in findings.promises() {
        let verdict = kept.verdict();
        let line = format!(
            "{}, {}: {}, {}; {verdict}",
            kept.column.name,
            kept.promise.quantity.title(),
            kept.value(),
            kept.bar()
        );
        let code = if verdict.starts_with("missed") { BAD } else { "" };
        for line in wrap_hanging(&line, width) {
            text += &format!("{}\n", paint(colours, code, &line));
        }
    }
    if text.is_empty() { text } else { format!("\nPromises of corewise\n{text}") }
}

fn absent(run: &Run, width: usize) -> String {
    let mut text = String::new();
    for subject in &run.subjects {
        let line = match &subject.state {
            State::Measured => continue,
            State::Missing { why, fix } => {
                format!("{} is missing: {why}; to get it: {fix}", subject.name)
            }
            State::Failed { why } => format!("{} failed: {why}", subject.name),
        };
        for line in wrap_hanging(&line, width) {
            text += &format!("{line}\n");
        }
    }
    if text.is_empty() { text } else { format!("\nNot measured\n{text}") }
}

/// One row of a table: three figures, a ratio and a word.
struct Line {
    name: String,
    role: Role,
    figures: Option<[String; 3]>,
    ratio: String,
    verdict: String,
}

/// Rows in columns that fit the width; what is too long is cut, never broken.
fn lines(title: &str, mut rows: Vec<Line>, width: usize, colours: bool) -> String {
    let longest = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    // Everything but the name and the verdict has a fixed width.
    let name_width = longest.clamp(8, width.saturating_sub(FIXED + VERDICT_MIN).max(8));
    align_figures(&mut rows);
    let head = format!(
        "  {:name_width$}{:>FIGURE$}{:>FIGURE$}{:>FIGURE$}{:>RATIO$}  corewise is",
        "", "median", "least", "most", "of limit"
    );
    let mut text = format!(
        "{}\n{}\n",
        paint(colours, BOLD, &cut(&printable(title), width)),
        paint(colours, DIM, &cut(&head, width))
    );
    for row in rows {
        let name = cut(&printable(&row.name), name_width);
        let line = match &row.figures {
            Some([median, min, max]) => format!(
                "  {name:name_width$}{median:>FIGURE$}{min:>FIGURE$}{max:>FIGURE$}{:>RATIO$}  {}",
                row.ratio, row.verdict
            ),
            None => format!("  {name:name_width$}  {}", row.verdict),
        };
        let line = cut(&printable(line.trim_end()), width);
        let code = if row.role == Role::Ours { BOLD } else { "" };
        text += &format!("{}\n", paint(colours, code, &line));
    }
    text
}

fn align_figures(rows: &mut [Line]) {
    for at in 0..3 {
        let figures = rows.iter().filter_map(|row| Some(row.figures.as_ref()?[at].clone()));
        let mut figures: Vec<_> = figures.collect();
        figure::align(&mut figures, PLAIN_BLANKS);
        let with_figures = rows.iter_mut().filter_map(|row| row.figures.as_mut());
        for (row, figure) in with_figures.zip(figures) {
            row[at] = figure;
        }
    }
}

fn is_here(subject: &Subject) -> bool {
    !matches!(subject.state, State::Missing { .. })
}

/// What the windows so far say about the rest; nothing before the first.
fn time_left(elapsed: Duration, done: usize, planned: usize) -> Option<Duration> {
    let left = planned.checked_sub(done)?;
    (done > 0).then(|| elapsed.div_f64(done as f64).mul_f64(left as f64))
}

/// At most `width` characters; the last tells that there was more.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// One line without anything that a terminal would act on.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in printable(text).split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// An item of a list: what does not fit in its first line stands further in.
fn wrap_hanging(text: &str, width: usize) -> Vec<String> {
    let lines = wrap(text, width.saturating_sub(4)).into_iter().enumerate();
    lines.map(|(at, line)| format!("{}{line}", if at == 0 { "  " } else { "    " })).collect()
}

fn paint(colours: bool, code: &str, text: &str) -> String {
    if !colours || code.is_empty() || text.is_empty() {
        return text.to_owned();
    }
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

const BAD: &str = "1;31";
const BOLD: &str = "1";
const DIM: &str = "2";
/// The columns that every terminal has.
const WIDTH: usize = 80;
/// Narrower terminals break the lines by themselves.
const WIDTH_MIN: usize = 60;
const FIGURE: usize = 10;
const RATIO: usize = 10;
/// Margin, three figures, the ratio and what stands before the verdict.
const FIXED: usize = 2 + 3 * FIGURE + RATIO + 2;
const VERDICT_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(is_terminal: bool, width: Option<u16>, variables: &[(&str, &str)], expected: Screen) {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        assert_eq!(Screen::decide(is_terminal, width, variable), expected, "{variables:?}");
    }

    #[test]
    fn the_screen_is_what_the_terminal_and_its_owner_say() {
        let screen = |width, colours, lively| Screen { width, colours, lively };
        check(true, Some(132), &[], screen(132, true, true));
        check(true, Some(132), &[("NO_COLOR", "1")], screen(132, false, true));
        check(true, Some(132), &[("NO_COLOR", "")], screen(132, true, true));
        check(true, Some(132), &[("TERM", "dumb")], screen(132, false, false));
        check(true, Some(20), &[], screen(60, true, true));
        check(true, Some(0), &[], screen(80, true, true));
        check(false, Some(132), &[], screen(80, false, false));
        check(false, None, &[], screen(80, false, false));
    }

    #[test]
    fn the_time_left_follows_what_was_done() {
        let minute = Duration::from_secs(60);
        assert_eq!(time_left(minute, 0, 10), None);
        assert_eq!(time_left(minute, 4, 10), Some(Duration::from_secs(90)));
        assert_eq!(time_left(minute, 10, 10), Some(Duration::ZERO));
        assert_eq!(time_left(minute, 11, 10), None);
    }

    #[test]
    fn long_lines_are_cut_or_broken() {
        assert_eq!(cut("corewise", 8), "corewise");
        assert_eq!(cut("corewise", 5), "core…");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap_hanging("one two three", 12), ["  one two", "    three"]);
        assert_eq!(printable("a\u{1b}[1m\n"), "a [1m ");
    }
}
