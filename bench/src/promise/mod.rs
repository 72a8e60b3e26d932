//! `corewise-bench promise`: what heavy requests do to light ones, to each other, and to a server
//! that gets more of them than it can do.
//!
//! Each scenario is played with each server in turn, round by round, on two CPUs that server and
//! load share: the load sleeps between its requests and runs at once when one is due. A heavy
//! request burns 10 ms of CPU. What a server did for nobody is read off its CPU time, so that no
//! server has to be believed.

mod burner;
mod picture;
mod rows;
mod scenario;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fs, io};

use self::rows::ROWS;
use self::scenario::{Scenario, Stage};
use crate::arguments::Arguments;
use crate::interrupt;
use crate::result::State;
use crate::runner::{Cores, Folder, look};
use crate::subject::{Description, Ready};
use crate::table::{Contestant, FORMAT, Table, Window};

pub(crate) use self::burner::{COMMAND as BURNER, run as run_burner};

/// What a run was asked for.
struct Settings {
    scenarios: Vec<Scenario>,
    subjects: Vec<Description>,
    rounds: u32,
    cores: Cores,
    command: String,
}

/// Plays the scenarios, or shows what was found before; false when a bar is missed and that was to
/// count.
pub(crate) fn run(mut arguments: Arguments) -> Result<bool, Box<dyn Error>> {
    let command = format!("corewise-bench {NAME} {}", arguments.rest().join(" "));
    let from: Option<PathBuf> = arguments.value("--from")?;
    let out: Option<PathBuf> = arguments.value("--out")?;
    let strict = arguments.flag("--strict");
    let table = match from {
        Some(file) => {
            arguments.finish()?;
            Table::read(&file)?
        }
        None => {
            let settings = Settings::read(arguments, command.trim())?;
            interrupt::watch()?;
            settings.measure()?
        }
    };
    print!("{}", table.text());
    if let Some(folder) = &out {
        write(&table, folder)?;
    }
    Ok(!strict || table.missed() == 0)
}

/// Writes the table, and its picture if there is something to be seen.
fn write(table: &Table, folder: &Path) -> io::Result<()> {
    table.write(folder, NAME)?;
    match picture::svg(table) {
        Some(drawing) => fs::write(folder.join(format!("{NAME}.svg")), drawing),
        None => Ok(()),
    }
}

impl Settings {
    fn read(mut given: Arguments, command: &str) -> Result<Self, String> {
        let words = given.list("--scenarios")?;
        let scenarios: Result<Vec<Scenario>, _> =
            words.iter().map(|word| Scenario::named(word)).collect();
        let scenarios = scenarios?;
        let settings = Self {
            scenarios: if scenarios.is_empty() { Scenario::ALL.to_vec() } else { scenarios },
            subjects: subjects(&given.list("--subjects")?)?,
            rounds: given.value("--rounds")?.unwrap_or(ROUNDS),
            cores: Cores {
                server: given.value("--server-cpu")?.unwrap_or(0),
                client: given.value("--client-cpu")?.unwrap_or(1),
            },
            command: command.to_owned(),
        };
        given.finish().map(|()| settings)
    }

    fn measure(&self) -> Result<Table, Box<dyn Error>> {
        let found: Vec<(&Description, Result<Ready, State>)> =
            self.subjects.iter().map(|subject| (subject, subject.find())).collect();
        let folder = Folder::new()?;
        let stage = Stage { cores: self.cores, folder: folder.path() };
        let mut table = self.empty(&found);
        for round in 0..self.rounds {
            for scenario in &self.scenarios {
                for (subject, ready) in &found {
                    let Ok(ready) = ready else { continue };
                    if !scenario.is_for(&subject.name) {
                        continue;
                    }
                    eprintln!(
                        "{}: {} {}/{}",
                        scenario.name(),
                        subject.name,
                        round + 1,
                        self.rounds
                    );
                    let played = scenario.play(&stage, ready);
                    interrupt::check()?;
                    push(&mut table.windows, *scenario, &subject.name, round, played);
                }
            }
            if self.scenarios.contains(&Scenario::Own) {
                let figure = burner::measure(self.cores.client)?;
                let (row, contestant) = (rows::OWN_HEAVY.to_owned(), BARE.to_owned());
                let figure = Some(figure);
                table.windows.push(Window { row, contestant, round, figure, remark: None });
            }
        }
        Ok(table)
    }

    fn empty(&self, found: &[(&Description, Result<Ready, State>)]) -> Table {
        let contestant = |(subject, ready): &(&Description, Result<Ready, State>)| {
            let missing = match ready {
                Err(State::Missing { why, fix }) => Some(format!("{why}; {fix}")),
                _ => None,
            };
            Contestant { name: subject.name.clone(), title: subject.title.clone(), missing }
        };
        let bare = Contestant {
            name: BARE.to_owned(),
            title: "the same burn and nothing else on that CPU (the limit)".to_owned(),
            missing: None,
        };
        let wanted = |row: &&rows::Spec| self.scenarios.contains(&row.scenario);
        Table {
            format: FORMAT,
            title: "What heavy requests do to light ones".to_owned(),
            machine: look("not used".to_owned(), self.cores),
            command: self.command.clone(),
            rounds: self.rounds,
            contestants: std::iter::once(bare).chain(found.iter().map(contestant)).collect(),
            rows: ROWS.iter().filter(wanted).map(rows::Spec::described).collect(),
            windows: Vec::new(),
        }
    }
}

/// What a scenario has left behind; a failure stands in its first row.
fn push(
    windows: &mut Vec<Window>,
    scenario: Scenario,
    contestant: &str,
    round: u32,
    played: Result<Vec<(&'static str, f64)>, Box<dyn Error>>,
) {
    let window = |row: &str, figure, remark| Window {
        row: row.to_owned(),
        contestant: contestant.to_owned(),
        round,
        figure,
        remark,
    };
    match played {
        Ok(figures) => {
            windows.extend(figures.iter().map(|(row, figure)| window(row, Some(*figure), None)));
        }
        Err(fault) => {
            let first = ROWS.iter().find(|row| row.scenario == scenario);
            let first = first.expect("every scenario has a row");
            windows.push(window(first.name, None, Some(fault.to_string())));
        }
    }
}

/// The servers of these names; all where none is named.
fn subjects(names: &[String]) -> Result<Vec<Description>, String> {
    let parse = |(name, text): &(&str, &str)| Description::parse(name, text);
    let all: Vec<Description> = SUBJECTS.iter().map(parse).collect::<Result<_, _>>()?;
    if let Some(name) = names.iter().find(|name| !all.iter().any(|one| one.name == **name)) {
        let known: Vec<&str> = SUBJECTS.iter().map(|(name, _)| *name).collect();
        return Err(format!("no subject {name:?}; there are {}", known.join(", ")));
    }
    let wanted = |one: &Description| names.is_empty() || names.contains(&one.name);
    Ok(all.into_iter().filter(wanted).collect())
}

/// The command, and the name of the files that it writes.
const NAME: &str = "promise";
const ROUNDS: u32 = 3;
/// Who does nothing but burn.
const BARE: &str = "bare-burn";
/// The files of `bench/promise`, in the order of the report.
const SUBJECTS: &[(&str, &str)] = &[
    ("corewise", include_str!("../../promise/corewise.toml")),
    (rows::OWN, include_str!("../../promise/corewise-own.toml")),
    ("actix", include_str!("../../promise/actix.toml")),
    ("axum-rayon", include_str!("../../promise/axum-rayon.toml")),
    ("go", include_str!("../../promise/go.toml")),
    ("go-semaphore", include_str!("../../promise/go-semaphore.toml")),
    ("nginx-gunicorn", include_str!("../../promise/nginx-gunicorn.toml")),
    ("uvicorn-pool", include_str!("../../promise/uvicorn-pool.toml")),
];

/// A table of all rows without a figure.
#[cfg(test)]
fn example() -> Table {
    let arguments = Arguments::of_words(Vec::new());
    let settings = Settings::read(arguments, "corewise-bench promise").expect("nothing is wrong");
    let missing = || Err(State::Missing { why: "not built".to_owned(), fix: "make".to_owned() });
    let found: Vec<_> = settings.subjects.iter().map(|subject| (subject, missing())).collect();
    settings.empty(&found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_embedded_and_can_be_read() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/promise");
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<String> = files
            .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let mut known: Vec<String> =
            subjects(&[]).unwrap().into_iter().map(|subject| subject.name).collect();
        files.sort();
        known.sort();
        assert_eq!(files, known);
        assert!(subjects(&["apache".to_owned()]).unwrap_err().contains("nginx-gunicorn"));
    }

    #[test]
    fn a_failure_stands_in_the_first_row_of_its_scenario() {
        let mut windows = Vec::new();
        push(&mut windows, Scenario::Kill, "a", 2, Err("it is gone".into()));
        assert_eq!(
            windows[0].row,
            ROWS.iter().find(|r| r.scenario == Scenario::Kill).unwrap().name
        );
        assert_eq!(windows[0].remark.as_deref(), Some("it is gone"));
        push(&mut windows, Scenario::Own, "a", 2, Ok(vec![("x", 1.0), ("y", 2.0)]));
        assert_eq!((windows.len(), windows[2].figure), (3, Some(2.0)));
    }
}
