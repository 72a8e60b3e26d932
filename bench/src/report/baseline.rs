//! This run beside an earlier one: the gate for a change.
//!
//! Figures of two runs cannot be compared, because the machine was another one, if only warmer.
//! Ratios to the limit can, as far as the noise of both runs allows.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::{figure, finding};
use crate::result::{FORMAT, Quantity, Role, Run, Subject, Window};
use crate::statistics::{Measure, Statistics};

/// What became of each figure of corewise.
#[derive(Debug)]
pub(crate) struct Verdicts {
    fail_over: f64,
    changes: Vec<Change>,
    /// What makes the two runs less alike than they should be.
    remarks: Vec<String>,
}

/// One subject's ratio to the limit in one column, then and now.
#[derive(Debug)]
struct Change {
    place: String,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// Both runs have it.
    Compared { then: f64, now: f64, noise: f64, verdict: Verdict },
    /// It gave up in a round of this run, whatever it measured before.
    Failed,
    /// This run did not look at it.
    NotMeasured,
    /// The earlier run has nothing to compare with.
    New,
    /// The earlier run has it, and this one tried and has no figure.
    Lost,
    /// There are figures, and nothing to divide them by.
    NoLimit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    /// Better by this part, and more than the noise.
    Better(f64),
    /// Within the noise of either run.
    NoDifference,
    /// Worse by this part, which is more than is allowed.
    Regressed(f64),
    /// Worse by this part, which is allowed.
    Worse(f64),
}

/// Reads a `data.json`; the error names the file and what is wrong with it.
pub(crate) fn read(path: &Path) -> io::Result<Run> {
    let text = fs::read(path).map_err(|error| context(path, "cannot be read", &error))?;
    let Format { format } = serde_json::from_slice(&text)
        .map_err(|error| context(path, "is no data of a run", &error))?;
    if format != FORMAT {
        return Err(io::Error::other(format!(
            "{}: format {format} is unknown, this is for format {FORMAT}; measure again with this \
             version, or report with the version that wrote it",
            path.display()
        )));
    }
    serde_json::from_slice(&text).map_err(|error| context(path, "is no data of a run", &error))
}

/// The part of a file that every format has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

fn context(path: &Path, what: &str, error: &dyn fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {what}: {error}", path.display()))
}

/// Holds `now` against `base`. A ratio to the limit that is worse by more than `fail_over` (0.05
/// is 5 %) is a regression, unless the noise of one of the runs explains it.
pub(crate) fn compare(now: &Run, base: &Run, fail_over: f64) -> Verdicts {
    let runs = Runs { now, base, is: Statistics::of(now), was: Statistics::of(base) };
    let mut changes = Vec::new();
    for column in &now.columns {
        let Some(&quantity) = column.quantities.first() else { continue };
        let measure = Measure { column: &column.name, quantity };
        for subject in now.subjects.iter().filter(|subject| subject.role == Role::Ours) {
            changes.extend(runs.change(measure, &subject.name, fail_over));
        }
    }
    changes.extend(runs.columns_left_out());
    let mut remarks = runs.remarks();
    remarks.extend(changes.iter().filter_map(|change| change.blind_spot(fail_over)));
    Verdicts { fail_over, changes, remarks }
}

struct Runs<'a> {
    now: &'a Run,
    base: &'a Run,
    is: Statistics<'a>,
    was: Statistics<'a>,
}

impl Runs<'_> {
    /// `None` where the subject has no figure in either run.
    fn change(&self, measure: Measure<'_>, name: &str, fail_over: f64) -> Option<Change> {
        let now = self.is.to_limit(measure, name).ok().map(|ratio| ratio.median);
        let then = self.was.to_limit(measure, name).ok().map(|ratio| ratio.median);
        let outcome = match (then, now) {
            _ if gave_up(self.now, measure.column, name) => Outcome::Failed,
            (None, None) => {
                self.is.summary(measure, name).or_else(|| self.was.summary(measure, name))?;
                Outcome::NoLimit
            }
            (None, Some(_)) => Outcome::New,
            (Some(_), None) => Outcome::Lost,
            (Some(then), Some(now)) => {
                let noise = [&self.is, &self.was].map(|run| run.spread(measure).unwrap_or(0.0));
                let noise = noise[0].max(noise[1]);
                let growth = growth(measure.quantity, then, now);
                Outcome::Compared { then, now, noise, verdict: judge(growth, noise, fail_over) }
            }
        };
        let place = format!("{}, {name}, {}", measure.column, measure.quantity.title());
        Some(Change { place, outcome })
    }

    /// What the earlier run measured and this one did not look at.
    fn columns_left_out(&self) -> Vec<Change> {
        let known = |name: &str| self.now.columns.iter().any(|column| column.name == name);
        let left_out = self.base.columns.iter().filter(|column| !known(&column.name));
        left_out
            .map(|column| Change { place: column.name.clone(), outcome: Outcome::NotMeasured })
            .collect()
    }

    fn remarks(&self) -> Vec<String> {
        let (now, base) = (&self.now.machine, &self.base.machine);
        let cores = [base.cores, now.cores].map(|cores| cores.to_string());
        let [cores_then, cores_now] = &cores;
        let facts = [
            ("processor", &base.processor, &now.processor),
            ("number of CPUs", cores_then, cores_now),
            ("kernel", &base.kernel, &now.kernel),
            ("compiler", &base.compiler, &now.compiler),
        ];
        let differs = facts.into_iter().filter(|(_, then, now)| then != now);
        let differs =
            differs.map(|(what, then, now)| format!("another {what}: {then} then, {now} now"));
        differs.chain(self.other_loads()).chain(self.errors()).collect()
    }

    /// Columns of one name that are not the same load.
    fn other_loads(&self) -> impl Iterator<Item = String> {
        self.now.columns.iter().filter_map(|column| {
            let then = self.base.columns.iter().find(|then| then.name == column.name)?;
            (then.command != column.command).then(|| {
                format!(
                    "another load, {}: {} then, {} now",
                    column.name, then.command, column.command
                )
            })
        })
    }

    /// A server that answers wrongly may well be fast.
    fn errors(&self) -> impl Iterator<Item = String> {
        let ours = |name: &str| {
            let is = |subject: &Subject| subject.name == name && subject.role == Role::Ours;
            self.now.subjects.iter().any(is)
        };
        let wrong = |window: &&Window| window.counts && !window.errors.is_empty();
        let windows = self.now.windows.iter().filter(wrong);
        windows.filter(move |window| ours(&window.subject)).map(|window| {
            format!("errors in {}: {}", finding::place(window), finding::errors(window))
        })
    }
}

fn gave_up(run: &Run, column: &str, subject: &str) -> bool {
    let of = |window: &&Window| window.column == column && window.subject == subject;
    run.windows.iter().filter(of).any(|window| finding::failure(window).is_some())
}

/// By which part it is worse; below zero where it is better.
fn growth(quantity: Quantity, then: f64, now: f64) -> f64 {
    let growth = if quantity.less_is_better() { now / then } else { then / now } - 1.0;
    // Nothing of something: as bad as it gets, or as good.
    if growth.is_nan() { 0.0 } else { growth }
}

fn judge(growth: f64, noise: f64, fail_over: f64) -> Verdict {
    // The same distance either way, as in the spread itself.
    let apart = if growth < 0.0 { 1.0 / (1.0 + growth) - 1.0 } else { growth };
    match growth {
        _ if apart <= noise => Verdict::NoDifference,
        better if better < 0.0 => Verdict::Better(-better),
        worse if worse > fail_over => Verdict::Regressed(worse),
        worse => Verdict::Worse(worse),
    }
}

impl Verdicts {
    /// Whether nothing regressed, which is what the exit code says. A comparison of nothing is no
    /// success.
    pub(crate) fn passed(&self) -> bool {
        let compared = |change: &Change| matches!(change.outcome, Outcome::Compared { .. });
        self.changes.iter().any(compared) && !self.changes.iter().any(Change::fails)
    }
}

impl Change {
    /// What to say where the noise hides what the gate is there for.
    fn blind_spot(&self, fail_over: f64) -> Option<String> {
        match self.outcome {
            Outcome::Compared { noise, .. } if noise > fail_over => Some(format!(
                "{}: the noise is {}, so no smaller loss is seen; measure again on a quiet machine",
                self.place,
                figure::percent(noise)
            )),
            _ => None,
        }
    }

    fn fails(&self) -> bool {
        let regressed = Outcome::is_regression;
        regressed(self.outcome) || matches!(self.outcome, Outcome::Failed | Outcome::Lost)
    }
}

impl Outcome {
    fn is_regression(self) -> bool {
        matches!(self, Self::Compared { verdict: Verdict::Regressed(_), .. })
    }
}

impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = figure::percent(self.fail_over);
        writeln!(f, "Ratios to the limit beside the baseline, {allowed} allowed")?;
        for change in &self.changes {
            writeln!(f, "  {change}")?;
        }
        for remark in &self.remarks {
            writeln!(f, "  note: {remark}")?;
        }
        if !self.changes.iter().any(|change| matches!(change.outcome, Outcome::Compared { .. })) {
            writeln!(f, "  nothing could be compared; measure columns that the baseline has")?;
        }
        let verdict = if self.passed() { "no regression" } else { "failed" };
        write!(f, "{verdict}")
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        match self.outcome {
            Outcome::Compared { then, now, noise, verdict } => {
                let noise = figure::percent(noise);
                write!(f, "{then:.3} then, {now:.3} now, noise {noise}: {verdict}")
            }
            Outcome::Failed => write!(f, "it failed in this run"),
            Outcome::NoLimit => write!(f, "the limit does not do this"),
            Outcome::NotMeasured => write!(f, "not measured in this run"),
            Outcome::New => write!(f, "not in the baseline"),
            Outcome::Lost => write!(f, "the baseline has a figure, and this run has none"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Better(part) => write!(f, "better by {}", figure::percent(*part)),
            Self::NoDifference => write!(f, "no difference"),
            Self::Regressed(f64::INFINITY) => write!(f, "REGRESSED from zero"),
            Self::Regressed(part) => write!(f, "REGRESSED by {}", figure::percent(*part)),
            Self::Worse(part) => write!(f, "worse by {}, allowed", figure::percent(*part)),
        }
    }
}
