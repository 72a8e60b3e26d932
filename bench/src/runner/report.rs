//! The table that people read and the file that is kept.

use std::fmt::Write;
use std::fs;
use std::io;

use serde::Serialize;

use super::columns::{Bar, Column, Figure, Quantity};
use super::machine::Machine;
use super::{Sample, Settings, load, results_folder};

/// A finished run.
#[derive(Serialize)]
pub(super) struct Report {
    machine: Machine,
    rounds: u32,
    seconds: u32,
    commands: Vec<String>,
    rows: Vec<Row>,
    samples: Vec<Sample>,
}

/// One subject in one row of the table.
#[derive(Serialize)]
struct Row {
    title: &'static str,
    quantity: Quantity,
    subject: String,
    median: f64,
    min: f64,
    max: f64,
    /// Median over the rounds of this subject's figure divided by the bare loop's.
    ratio: Option<f64>,
    verdict: Verdict,
    /// Rounds with an error of wrk, and rounds in which somebody else used the cores.
    failed: usize,
    disturbed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// Corewise is over its bar.
    Above(f64),
    /// The bare loop is no limit here: it is not far enough under hyper.
    LimitInvalid,
    LimitValid,
    /// Corewise is within its bar.
    Ok(f64),
    /// Nothing is promised for this subject.
    Plain,
}

impl Report {
    pub(super) fn new(machine: Machine, settings: &Settings, samples: Vec<Sample>) -> Self {
        let mut rows = Vec::new();
        for column in &settings.columns {
            for figure in column.figures {
                for subject in &settings.subjects {
                    rows.extend(Row::new(column, *figure, &subject.name, &samples));
                }
            }
        }
        Self {
            machine,
            rounds: settings.rounds,
            seconds: settings.seconds,
            commands: commands(settings),
            rows,
            samples,
        }
    }

    pub(super) fn bars_are_met(&self) -> bool {
        !self.rows.iter().any(|row| matches!(row.verdict, Verdict::Above(_)))
    }

    /// Writes the run to the folder of results and returns the path.
    pub(super) fn save(&self) -> io::Result<String> {
        let day = self.machine.date.replace(':', "");
        let name = format!("{day}-{}.json", self.machine.commit);
        let path = results_folder()?.join(name);
        fs::write(&path, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(path.display().to_string())
    }

    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        let machine = &self.machine;
        let _infallible = writeln!(
            text,
            "{}, {} cores, {}, {}\ncommit {}, {}, {} rounds of {} s\n",
            machine.processor,
            machine.cores,
            machine.kernel,
            machine.compiler,
            machine.commit,
            machine.date,
            self.rounds,
            self.seconds
        );
        let mut heading = String::new();
        for row in &self.rows {
            let title = format!("{}, {}", row.title, row.quantity.unit());
            if title != heading {
                let _infallible = writeln!(text, "{title}");
                heading = title;
            }
            text.push_str(&row.line());
        }
        text.push_str(&self.notes());
        text
    }

    /// What a reader must know before believing the table.
    fn notes(&self) -> String {
        let mut text = String::new();
        for sample in &self.samples {
            for error in &sample.errors {
                let _infallible = writeln!(text, "error: {}: {error}", sample.place());
            }
        }
        let disturbed = self.samples.iter().filter(|sample| !sample.disturbances.is_empty());
        if let Some(first) = disturbed.clone().next() {
            let _infallible = writeln!(
                text,
                "disturbed: {} of {} windows, such as {}: {}; measure again on a machine at rest",
                disturbed.count(),
                self.samples.len(),
                first.place(),
                first.disturbances.join(", ")
            );
        }
        let lengths = |name: &str| {
            let of = |sample: &&Sample| sample.subject == name && sample.column.contains("plain");
            self.samples.iter().find(of).map(|sample| sample.answer_bytes)
        };
        if let (Some(bare), Some(own)) = (lengths("bare"), lengths("corewise"))
            && bare != own
        {
            let _infallible =
                writeln!(text, "note: /plaintext is {own} bytes, the bare loop's answer {bare}");
        }
        if text.is_empty() { text } else { format!("\n{text}") }
    }
}

impl Row {
    fn new(column: &Column, figure: Figure, subject: &str, samples: &[Sample]) -> Option<Self> {
        let of = |name: &str| -> Vec<&Sample> {
            let wanted = |sample: &&Sample| sample.column == column.name && sample.subject == name;
            samples.iter().filter(wanted).collect()
        };
        let own = of(subject);
        let value = |sample: &Sample| sample.figures.get(&figure.quantity).copied();
        let values: Vec<f64> = own.iter().filter_map(|sample| value(sample)).collect();
        let pairs: Vec<f64> = own
            .iter()
            .filter_map(|sample| {
                let bare = of("bare").into_iter().find(|bare| bare.round == sample.round)?;
                Some(value(sample)? / value(bare)?)
            })
            .collect();
        let median_value = median(&values)?;
        let ratio = median(&pairs).filter(|ratio| ratio.is_finite());
        Some(Self {
            title: column.title,
            quantity: figure.quantity,
            subject: subject.to_owned(),
            median: median_value,
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(0.0, f64::max),
            ratio,
            verdict: verdict(subject, figure, median_value, ratio),
            failed: own.iter().filter(|sample| !sample.errors.is_empty()).count(),
            disturbed: own.iter().filter(|sample| !sample.disturbances.is_empty()).count(),
        })
    }

    fn line(&self) -> String {
        let ratio = self.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
        let verdict = match self.verdict {
            Verdict::Above(bar) => format!("above {bar:.2}"),
            Verdict::LimitInvalid => "bare is no limit here".to_owned(),
            Verdict::LimitValid => "bare is a limit".to_owned(),
            Verdict::Ok(bar) => format!("ok ({bar:.2})"),
            Verdict::Plain => String::new(),
        };
        let mut marks = String::new();
        if self.failed > 0 {
            let _infallible = write!(marks, "  {} failed", self.failed);
        }
        if self.disturbed > 0 {
            let _infallible = write!(marks, "  {} disturbed", self.disturbed);
        }
        let (median, min, max) = (self.median, self.min, self.max);
        let line = format!(
            "  {:<24}{median:>10.2}{min:>10.2}{max:>10.2}{ratio:>9}  {verdict}{marks}",
            self.subject
        );
        format!("{}\n", line.trim_end())
    }
}

fn verdict(subject: &str, figure: Figure, median: f64, ratio: Option<f64>) -> Verdict {
    match (subject, figure.bar, ratio) {
        ("corewise", Bar::Absolute(bar), _) if median <= bar => Verdict::Ok(bar),
        ("corewise", Bar::Absolute(bar), _) => Verdict::Above(bar),
        ("corewise", Bar::RelativeToBare(bar), Some(ratio)) if ratio <= bar => Verdict::Ok(bar),
        ("corewise", Bar::RelativeToBare(bar), Some(_)) => Verdict::Above(bar),
        ("hyper", _, Some(ratio)) if figure.quantity == Quantity::CpuPerRequestUs => {
            if 1.0 / ratio <= LIMIT_OF_HYPER { Verdict::LimitValid } else { Verdict::LimitInvalid }
        }
        _ => Verdict::Plain,
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// Every command of the run, as a person would type it.
fn commands(settings: &Settings) -> Vec<String> {
    let servers = settings.subjects.iter().map(super::Subject::command_line);
    let loads = settings.columns.iter().filter_map(|column| match column.load {
        super::columns::Load::Idle => None,
        super::columns::Load::Wrk { connections, route, style } => {
            let load = load::Load { connections, route, style, seconds: settings.seconds };
            let url = format!("http://127.0.0.1:PORT{}", route.path());
            let command = format!("taskset {}", load::arguments(load, &url).join(" "));
            // Scripts as they are found from the root of any checkout.
            Some(command.replace(concat!(env!("CARGO_MANIFEST_DIR"), "/"), "bench/"))
        }
    });
    servers.chain(loads).collect()
}

/// The bare loop may be called a limit while it costs at most this much of hyper's CPU.
const LIMIT_OF_HYPER: f64 = 0.92;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn sample(subject: &str, round: u32, cpu: f64) -> Sample {
        Sample {
            column: "plaintext-32",
            subject: subject.to_owned(),
            round,
            figures: BTreeMap::from([(Quantity::CpuPerRequestUs, cpu)]),
            requests_per_second: 1.0,
            answer_bytes: 1,
            errors: Vec::new(),
            disturbances: Vec::new(),
        }
    }

    #[track_caller]
    fn check(subject: &str, cpu: [f64; 3], expected: Verdict) {
        // The machine slows down by half between the rounds; the ratio does not notice.
        let mut samples = Vec::new();
        for (round, (own, bare)) in cpu.into_iter().zip([10.0, 12.0, 15.0]).enumerate() {
            samples.push(sample("bare", round as u32, bare));
            samples.push(sample(subject, round as u32, own * bare));
        }
        let column = &super::super::COLUMNS[0];
        let row = Row::new(column, column.figures[0], subject, &samples).unwrap();
        assert_eq!(row.verdict, expected, "ratio {:?}", row.ratio);
    }

    #[test]
    fn verdicts_follow_the_bars() {
        check("corewise", [1.05, 1.04, 1.20], Verdict::Ok(1.06));
        check("corewise", [1.05, 1.07, 1.20], Verdict::Above(1.06));
        check("hyper", [1.10, 1.10, 1.10], Verdict::LimitValid);
        check("hyper", [1.05, 1.05, 1.05], Verdict::LimitInvalid);
        check("bare2", [1.50, 1.50, 1.50], Verdict::Plain);
    }

    #[test]
    fn the_median_needs_a_value() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
    }
}
