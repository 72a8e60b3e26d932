//! A table of figures with bars: who was measured in which row, and what somebody promises there.
//!
//! Whoever measures fills it. What is written to disk is what was seen; medians, ratios and
//! verdicts are made from it by `judge`, and `print` shows them. A ratio is made within a round,
//! because the machine of one round is not the machine of the next.

mod judge;
mod print;

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::arguments::Arguments;
use crate::result::Machine;

/// A finished run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Table {
    /// `FORMAT`; a reader refuses what it does not know.
    pub(crate) format: u32,
    pub(crate) title: String,
    pub(crate) machine: Machine,
    /// As a person would type it.
    pub(crate) command: String,
    pub(crate) rounds: u32,
    /// In the order of the report.
    pub(crate) contestants: Vec<Contestant>,
    /// In the order of the report.
    pub(crate) rows: Vec<Row>,
    /// In the order in which they were measured.
    pub(crate) windows: Vec<Window>,
}

/// Somebody who is measured.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Contestant {
    /// One word, by which windows and bars refer to it.
    pub(crate) name: String,
    /// For people.
    pub(crate) title: String,
    /// Why it was not measured, and what changes that.
    pub(crate) missing: Option<String>,
}

/// One thing that is measured of everybody.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Row {
    /// What `--rows` takes.
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) unit: Unit,
    /// What a reader must know to compare fairly.
    pub(crate) note: Option<String>,
    pub(crate) bars: Vec<Bar>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Count,
    MebiBytes,
    Milliseconds,
    Nanoseconds,
    PerSecond,
    Percent,
    /// A part of 1.
    Share,
    Microseconds,
}

/// What somebody promises.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Bar {
    /// Whose figure of this row it is about.
    pub(crate) contestant: String,
    pub(crate) demand: Demand,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Demand {
    AtLeast(f64),
    AtMost(f64),
    /// At most so much more than another figure.
    Over(f64, Cell),
    /// At least so many times another figure.
    TimesAtLeast(f64, Cell),
    /// At most so many times another figure.
    TimesAtMost(f64, Cell),
}

/// A figure of the table.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Cell {
    pub(crate) row: String,
    pub(crate) contestant: String,
}

/// One contestant in one row and one round.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Window {
    pub(crate) row: String,
    pub(crate) contestant: String,
    /// From 0.
    pub(crate) round: u32,
    /// None when it failed.
    pub(crate) figure: Option<f64>,
    /// Why it failed, or what coloured it.
    pub(crate) remark: Option<String>,
}

/// `corewise-bench table`: shows a table that was written before.
pub(crate) fn run(mut arguments: Arguments) -> Result<bool, Box<dyn Error>> {
    let file: PathBuf = arguments.value("--file")?.ok_or("--file is needed: a table as JSON")?;
    let strict = arguments.flag("--strict");
    arguments.finish()?;
    let table = Table::read(&file)?;
    print!("{}", table.text());
    Ok(!strict || table.missed() == 0)
}

impl Cell {
    pub(crate) fn new(row: &str, contestant: &str) -> Self {
        Self { row: row.to_owned(), contestant: contestant.to_owned() }
    }
}

impl Table {
    /// Writes `NAME.json` and `NAME.md` into a folder, which is made if need be.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let json = serde_json::to_string_pretty(self)?;
        fs::write(folder.join(format!("{name}.json")), json + "\n")?;
        fs::write(folder.join(format!("{name}.md")), print::markdown(self))
    }

    /// A table that was written before.
    pub(crate) fn read(file: &Path) -> io::Result<Self> {
        let fault = |why: String| io::Error::other(format!("{}: {why}", file.display()));
        let text = fs::read_to_string(file).map_err(|error| fault(error.to_string()))?;
        let table: Self = serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?;
        if table.format != FORMAT {
            return Err(fault(format!("form {}, and this program reads {FORMAT}", table.format)));
        }
        Ok(table)
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        print::text(self)
    }

    /// Promises that were missed.
    pub(crate) fn missed(&self) -> usize {
        let bars = self.rows.iter().flat_map(|row| row.bars.iter().map(move |bar| (row, bar)));
        bars.filter(|(row, bar)| self.outcome(row, bar).is_missed()).count()
    }
}

/// Version of the file's form.
pub(crate) const FORMAT: u32 = 1;

#[cfg(test)]
mod tests;
