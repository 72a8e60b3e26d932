//! corewise-model: the slot protocol, tried in every order.
//!
//! Shards and workers share a few words and no lock, and any of them may die between any two
//! accesses. Here their steps are small tables (`protocol`), one access to what is shared each,
//! and a search walks through all interleavings of them, with a crash before every access. It
//! looks for broken rules (two outcomes, a store to a slot of somebody else, user code that sees a
//! job twice) and for states from which the work can no longer finish, and shows the shortest way
//! there. It uses nothing of the library: what the code does is one thing, what it ought to do
//! another. `cargo test` runs every case; this binary shows them, and how the defects fail.

#![forbid(unsafe_code)]

mod catalogue;
mod packing;
mod protocol;
mod search;
mod store;

use std::process::ExitCode;
use std::time::Instant;

use crate::catalogue::{CASES, Case};
use crate::search::{Report, Verdict};

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| CASES.iter().all(|case| case.name != **name)) {
        eprintln!("error: there is no case {unknown}; without a name all of them are run");
        return ExitCode::from(2);
    }
    let is_wanted = |case: &&Case| wanted.is_empty() || wanted.iter().any(|name| name == case.name);
    let failures = CASES.iter().filter(is_wanted).filter(|case| !show(case)).count();
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a case and prints what came out; false if it is not what was expected.
fn show(case: &Case) -> bool {
    let start = Instant::now();
    let report = case.search();
    let met = case.expected.is_met_by(&report.verdict);
    println!("{:<32} {}", case.name, line(&report, start.elapsed().as_secs_f64()));
    match &report.verdict {
        Verdict::Wedged { trace } => show_trace("it waits for ever", trace),
        Verdict::Broken { rule, trace } => show_trace(rule, trace),
        Verdict::Holds | Verdict::TooLarge => {}
    }
    if !met {
        println!("    NOT AS EXPECTED: {:?}", case.expected);
    }
    met
}

fn line(report: &Report, seconds: f64) -> String {
    let verdict = match report.verdict {
        Verdict::Holds => "holds",
        Verdict::Broken { .. } => "broken",
        Verdict::Wedged { .. } => "wedged",
        Verdict::TooLarge => "too large",
    };
    let (states, steps, mebibytes) = (report.states, report.steps, report.bytes >> 20);
    format!("{verdict:<9} {states:>9} states {steps:>9} steps {mebibytes:>4} MiB {seconds:>5.1} s")
}

fn show_trace(what: &str, trace: &[String]) {
    for (number, step) in trace.iter().enumerate() {
        println!("    {:>3}  {step}", number + 1);
    }
    println!("    {what}");
}
