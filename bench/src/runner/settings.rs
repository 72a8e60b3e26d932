//! What a run was asked for, from the command line to what is to be measured.

use std::path::PathBuf;

use clap::ArgMatches;
use corewise::cli::bench as flag;
use rustix::thread::sched_getaffinity;

use super::columns::{self, Column};
use super::machine;
use super::noise::Cores;
use crate::subject::Description;

/// A run that can begin.
#[derive(Debug)]
pub(crate) struct Settings {
    /// As a person would type it.
    pub(super) command: String,
    /// A first look: shorter warm-up, and system calls are not counted.
    pub(super) quick: bool,
    pub(super) rounds: u32,
    pub(super) seconds: u32,
    /// Requests per second of the columns at a fixed rate.
    pub(super) rate: u32,
    pub(super) columns: Vec<&'static Column>,
    pub(super) subjects: Vec<Description>,
    pub(super) cores: Cores,
    /// Where the report goes, if that was said.
    pub(super) out: Option<PathBuf>,
    pub(super) save: bool,
    pub(super) strict: bool,
    pub(super) gate: Option<Gate>,
}

/// An earlier run to hold this one against.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(crate) baseline: PathBuf,
    /// 0.05 is 5 %.
    pub(crate) fail_over: f64,
}

impl Settings {
    /// Reads the flags; the error says what is wrong with which of them.
    pub(crate) fn read(matches: &ArgMatches, words: &[String]) -> Result<Self, String> {
        let quick = matches.get_flag(flag::QUICK);
        let number = |name, default| matches.get_one::<u32>(name).copied().unwrap_or(default);
        let mut names = list(matches, flag::COLUMNS);
        if quick && names.is_empty() {
            names = columns::QUICK.map(str::to_owned).to_vec();
        }
        Ok(Self {
            command: command_line(words),
            quick,
            rounds: number(flag::ROUNDS, if quick { QUICK_ROUNDS } else { ROUNDS }),
            seconds: number(flag::SECONDS, SECONDS),
            rate: number(flag::RATE, RATE),
            columns: columns::chosen(&names)?,
            subjects: subjects(matches)?,
            cores: cores(number(flag::SERVER_CPU, 0), number(flag::CLIENT_CPU, 1))?,
            out: matches.get_one::<PathBuf>(flag::OUT).cloned(),
            save: matches.get_flag(flag::SAVE),
            strict: matches.get_flag(flag::STRICT),
            gate: Gate::read(matches),
        })
    }
}

impl Gate {
    pub(crate) fn read(matches: &ArgMatches) -> Option<Self> {
        let baseline = matches.get_one::<PathBuf>(flag::BASELINE)?.clone();
        let fail_over = matches.get_one::<f64>(flag::FAIL_OVER).copied().unwrap_or(FAIL_OVER);
        Some(Self { baseline, fail_over })
    }
}

/// The named subjects, or all that stand by themselves; those of `--subject` come last.
pub(super) fn subjects(matches: &ArgMatches) -> Result<Vec<Description>, String> {
    let names = list(matches, flag::SUBJECTS);
    let mut subjects: Vec<Description> = if names.is_empty() {
        Description::embedded().into_iter().filter(|one| !one.needs_upstream()).collect()
    } else {
        names.iter().map(|name| Description::named(name)).collect::<Result<_, _>>()?
    };
    for text in matches.get_many::<String>(flag::SUBJECT).into_iter().flatten() {
        subjects.push(Description::from_command(text)?);
    }
    for (index, subject) in subjects.iter().enumerate() {
        if subjects[..index].iter().any(|other| other.name == subject.name) {
            return Err(format!("subject {:?} is named twice", subject.name));
        }
    }
    Ok(subjects)
}

fn list(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches.get_many::<String>(name).into_iter().flatten().cloned().collect()
}

/// Two CPUs that this process may use.
fn cores(server: u32, client: u32) -> Result<Cores, String> {
    if machine::online() < 2 {
        return Err("this machine has one CPU, and two are needed: one for the server and one \
                    for the load; what is measured on a shared one is the load"
            .to_owned());
    }
    if server == client {
        return Err(format!(
            "--server-cpu and --client-cpu are both {server}: the load would be measured, too"
        ));
    }
    let cores = Cores { server: server as usize, client: client as usize };
    let allowed = sched_getaffinity(None).map_err(|error| format!("own affinity: {error}"))?;
    let names = [(flag::SERVER_CPU, cores.server), (flag::CLIENT_CPU, cores.client)];
    for (name, cpu) in names {
        if cpu >= rustix::thread::CpuSet::MAX_CPU || !allowed.is_set(cpu) {
            return Err(format!(
                "--{name} {cpu}: this process may not use that CPU; `corewise cores` shows which"
            ));
        }
    }
    Ok(cores)
}

fn command_line(words: &[String]) -> String {
    let mut line = "corewise bench".to_owned();
    for word in words {
        line.push(' ');
        let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./,:+=%".contains(c));
        match is_plain {
            true => line.push_str(word),
            false => line.push_str(&format!("'{}'", word.replace('\'', r"'\''"))),
        }
    }
    line
}

const ROUNDS: u32 = 5;
const QUICK_ROUNDS: u32 = 2;
/// Many short windows beat few long ones: what disturbs comes in seconds.
const SECONDS: u32 = 1;
/// A server that needs 50 us for a request, twice what the slowest of the known ones needs, still
/// holds it with half of its core: everybody is asked the same, and nobody is asked too much.
const RATE: u32 = 10_000;
const FAIL_OVER: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Settings, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let matches = flag::command().try_get_matches_from(&words).unwrap();
        Settings::read(&matches, &words[1..])
    }

    #[test]
    fn flags_change_what_is_measured() {
        let quick = read("bench --quick --subjects bare,corewise").unwrap();
        assert_eq!((quick.rounds, quick.columns.len()), (2, columns::QUICK.len()));
        assert_eq!(quick.command, "corewise bench --quick --subjects bare,corewise");
        let names: Vec<&str> = quick.subjects.iter().map(|subject| &*subject.name).collect();
        assert_eq!(names, ["bare", "corewise"]);
        let all = read("bench --rounds 9 --columns idle --baseline x").unwrap();
        assert_eq!((all.rounds, all.columns.len()), (9, 1));
        assert!(all.subjects.iter().any(|subject| subject.name == "bare2"));
        assert!((all.gate.unwrap().fail_over - 0.05).abs() < 1e-12);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(read("bench --subjects apache").unwrap_err().contains("apache"));
        assert!(read("bench --subjects bare,bare").unwrap_err().contains("twice"));
        assert!(read("bench --columns x").unwrap_err().contains("plaintext-1"));
        assert!(read("bench --client-cpu 0").unwrap_err().contains("--server-cpu"));
        assert!(read("bench --client-cpu 900000").unwrap_err().contains("may not use"));
    }

    #[test]
    fn a_command_can_be_typed_again() {
        let words = ["--subject".to_owned(), "x=it's {port}".to_owned()];
        let line = r"corewise bench --subject 'x=it'\''s {port}'";
        assert_eq!(command_line(&words), line);
    }
}
