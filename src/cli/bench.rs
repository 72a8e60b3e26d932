//! `corewise bench`: its flags, and the way to the program that measures.
//!
//! That program is a package of its own, so that a server does not carry a load generator along.
//! It reads its command line with the definition below, which is why there is one.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process;

use clap::builder::ValueHint;
use clap::{Arg, ArgAction, Command, value_parser};

use super::output::complain;
use crate::exit::Exit;

/// The command line of a bench, as data. Whoever builds on it reads values by the names below.
#[must_use]
pub fn command() -> Command {
    Command::new("bench")
        .about("Measure this server beside others, and write a report")
        .after_help(AFTER_HELP)
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
        .args([
            flag(QUICK, "a first look in under five minutes: few columns, two rounds"),
            number(ROUNDS, "N", "how often each server is measured in a column [default: 5]"),
            number(SECONDS, "S", "length of one window [default: 1]"),
            list(COLUMNS, "columns or groups of columns, as --list shows them [default: all]"),
            list(SUBJECTS, "servers, as --list shows them [default: all that are here]"),
            subject(),
            number(RATE, "N", "requests per second of the column at a fixed rate [default: 10000]"),
            path(OUT, "DIR", ValueHint::DirPath, "where to [default: bench-report-DATE]"),
            flag(SAVE, "also keep the report in bench/results of the checkout"),
            path(BASELINE, "FILE", ValueHint::FilePath, "a data.json to hold this run against"),
            fail_over(),
            flag(STRICT, "exit 1 unless corewise keeps every promise of the columns measured"),
            number(SERVER_CPU, "N", "CPU of the servers [default: 0]"),
            number(CLIENT_CPU, "N", "CPU of the load [default: 1]"),
            flag(LIST, "show servers and columns, and measure nothing"),
        ])
        .subcommands([report(), Command::new(LIST).about("Show servers and columns, as --list")])
}

/// Becomes the program that measures, or says how to build it.
pub(super) fn run(words: &[OsString]) -> Exit {
    let program = env::current_exe().map(|own| own.with_file_name(PROGRAM));
    let program = program.unwrap_or_else(|_| PathBuf::from(PROGRAM));
    let error = process::Command::new(&program).args(words).exec();
    complain(&format!(
        "error: cannot start {}: {error}\n  = help: it is a program of its own; in a checkout of \
         corewise, {BUILD} puts it beside this one",
        program.display()
    ));
    Exit::Found
}

fn report() -> Command {
    let file = Arg::new(FILE)
        .value_name("FILE")
        .required(true)
        .value_hint(ValueHint::FilePath)
        .value_parser(value_parser!(PathBuf))
        .help("the data.json of a run");
    let out = path(OUT, "DIR", ValueHint::DirPath, "where to [default: beside the file]");
    Command::new(REPORT).about("Write the pages of an earlier run again").args([
        file,
        out,
        path(BASELINE, "FILE", ValueHint::FilePath, BASELINE_HELP),
        fail_over(),
    ])
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn number(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    let least = i64::from(!matches!(name, SERVER_CPU | CLIENT_CPU));
    let parser = value_parser!(u32).range(least..=NUMBER_MAX);
    Arg::new(name).long(name).value_name(value).value_parser(parser).help(help)
}

fn list(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("A,B").value_delimiter(',').help(help)
}

fn path(name: &'static str, value: &'static str, hint: ValueHint, help: &'static str) -> Arg {
    let parser = value_parser!(PathBuf);
    Arg::new(name).long(name).value_name(value).value_hint(hint).value_parser(parser).help(help)
}

fn subject() -> Arg {
    Arg::new(SUBJECT)
        .long(SUBJECT)
        .value_name("NAME=COMMAND")
        .action(ArgAction::Append)
        .help("one more server; in its command {port}, {root} and {cpu} are filled in")
}

fn fail_over() -> Arg {
    Arg::new(FAIL_OVER)
        .long(FAIL_OVER)
        .value_name("PERCENT")
        .requires(BASELINE)
        .value_parser(parse_percent)
        .help("exit 1 when corewise lost more than this against the baseline [default: 5%]")
}

/// `5%` is 0.05. The sign is demanded, because 0.05 could mean either.
fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|text| text.trim().parse::<f64>().ok());
    match number {
        Some(percent) if (0.0..=1000.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("a percentage like 5% is needed".to_owned()),
    }
}

/// `--baseline FILE`.
pub const BASELINE: &str = "baseline";
/// `--client-cpu N`.
pub const CLIENT_CPU: &str = "client-cpu";
/// `--columns A,B`.
pub const COLUMNS: &str = "columns";
/// `--fail-over PERCENT`, as a share.
pub const FAIL_OVER: &str = "fail-over";
/// The file of `report`.
pub const FILE: &str = "file";
/// `--list`, and the command.
pub const LIST: &str = "list";
/// `--out DIR`.
pub const OUT: &str = "out";
/// `--quick`.
pub const QUICK: &str = "quick";
/// `--rate N`.
pub const RATE: &str = "rate";
/// The command that writes pages again.
pub const REPORT: &str = "report";
/// `--rounds N`.
pub const ROUNDS: &str = "rounds";
/// `--save`.
pub const SAVE: &str = "save";
/// `--seconds S`.
pub const SECONDS: &str = "seconds";
/// `--server-cpu N`.
pub const SERVER_CPU: &str = "server-cpu";
/// `--strict`.
pub const STRICT: &str = "strict";
/// `--subject NAME=COMMAND`.
pub const SUBJECT: &str = "subject";
/// `--subjects A,B`.
pub const SUBJECTS: &str = "subjects";

const PROGRAM: &str = "corewise-bench";
const BUILD: &str = "`cargo build --release --workspace`";
const BASELINE_HELP: &str = "a data.json to hold it against";
/// A million, so that a mistyped number is an error and no endless run.
const NUMBER_MAX: i64 = 1_000_000;
const AFTER_HELP: &str = "\
Servers run on one core and the load on another, in interleaved rounds; what runs beside them
disturbs. The load comes from wrk, which has to be installed, and from a generator of our own.
Servers to compare with: `make peers` in a checkout. How it is measured and how to read the
report: docs/bench.md.

Exit codes: 0 measured; 1 not, or a promise or the baseline missed; 2 the command line cannot be
understood; 130 interrupted, with what was measured so far in the report.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_shares() {
        for (text, expected) in [("5%", 0.05), ("0%", 0.0), ("2.5 %", 0.025)] {
            let share = parse_percent(text).unwrap();
            assert!((share - expected).abs() < 1e-12, "{text}: {share}");
        }
        for text in ["", "%", "five%", "-1%", "nan%", "5", "0.05"] {
            assert!(parse_percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_gate_needs_something_to_hold_against() {
        let parse = |words: &str| command().try_get_matches_from(words.split(' '));
        assert!(parse("bench --fail-over 5%").is_err());
        assert!(parse("bench --rounds 0").is_err());
        let matches = parse("bench --fail-over 5% --baseline b --columns a,b --server-cpu 0");
        let matches = matches.unwrap();
        let columns: Vec<&String> = matches.get_many(COLUMNS).unwrap().collect();
        assert_eq!(columns, ["a", "b"]);
        assert_eq!(matches.get_one::<u32>(SERVER_CPU), Some(&0));
        assert!(parse("bench report data.json --out x").is_ok());
        assert!(parse("bench report").is_err());
    }
}
