//! The gate, both ways.

use std::fs;

use super::example;
use crate::report::baseline::{compare, read};
use crate::result::{Quantity, Run, Window};

/// The run with corewise's CPU of one column multiplied.
fn changed(column: &str, factor: f64) -> Run {
    let mut run = example::full();
    for window in &mut run.windows {
        if window.column == column && window.subject == "corewise" {
            for figure in window.figures.values_mut() {
                *figure *= factor;
            }
        }
    }
    run
}

#[track_caller]
fn check(now: &Run, base: &Run, passed: bool, said: &str) {
    let verdicts = compare(now, base, 0.05);
    let text = verdicts.to_string();
    assert_eq!(verdicts.passed(), passed, "{text}");
    assert!(text.contains(said), "{text}");
}

#[test]
fn what_got_worse_fails_and_what_got_better_does_not() {
    let base = example::full();
    check(&base, &base, true, "no regression");
    let place = "plaintext-32, corewise, CPU per request: ";
    check(&changed("plaintext-32", 1.2), &base, false, "REGRESSED by 20 %");
    check(&changed("plaintext-32", 1.2), &base, false, place);
    check(&changed("plaintext-32", 0.8), &base, true, "better by 20 %");
    check(&changed("plaintext-32", 1.045), &base, true, "worse by 4.5 %, allowed");
    check(&changed("plaintext-32", 1.01), &base, true, "no difference");
}

#[test]
fn what_the_noise_explains_is_no_regression() {
    let mut base = example::full();
    let of = |window: &&mut Window| {
        window.subject == "bare2" && window.column == "plaintext-32" && window.round == 0
    };
    for window in base.windows.iter_mut().filter(of) {
        window.figures.values_mut().for_each(|figure| *figure *= 1.4);
    }
    check(&changed("plaintext-32", 1.2), &base, true, "no regression");
}

#[test]
fn a_gate_that_sees_little_says_so() {
    let base = example::full();
    let mut now = example::full();
    let of = |window: &&mut Window| window.subject == "bare2" && window.column == "plaintext-32";
    for window in now.windows.iter_mut().filter(of) {
        window.figures.values_mut().for_each(|figure| *figure *= 1.4);
    }
    check(&now, &base, true, "so no smaller loss is seen; measure again on a quiet machine");
    now.columns[0].command += " --other";
    check(&now, &base, true, "note: another load, ");
}

#[test]
fn whoever_fails_in_a_round_does_not_pass_with_those_before() {
    let base = example::full();
    let mut now = example::full();
    let of = |window: &&mut Window| window.subject == "corewise" && window.column == "close";
    let last = now.windows.iter_mut().rfind(of).unwrap();
    last.counts = false;
    last.figures.clear();
    last.disturbances = vec!["failed: it left".to_owned()];
    check(&now, &base, false, "close, corewise, CPU per request: it failed in this run");
    let mut wrong = example::full();
    let first = wrong.windows.iter_mut().find(|window| window.subject == "corewise").unwrap();
    first.errors.insert("status".to_owned(), 7);
    check(&wrong, &base, true, "status 7");
}

#[test]
fn missing_columns_are_named() {
    let base = example::full();
    let mut now = example::full();
    now.columns.retain(|column| column.name != "close");
    now.windows.retain(|window| window.column != "close");
    check(&now, &base, true, "close: not measured in this run");
    check(&base, &now, true, "close, corewise, CPU per request: not in the baseline");
    let mut lost = example::full();
    lost.windows.retain(|window| window.subject != "corewise" || window.column != "close");
    check(&lost, &base, false, "the baseline has a figure, and this run has none");
    check(&example::empty(), &base, false, "nothing could be compared");
}

#[test]
fn what_has_no_limit_is_said() {
    let base = example::full();
    check(&base, &base, true, "kill, corewise, failed requests: the limit does not do this");
}

#[test]
fn something_of_nothing_is_a_regression() {
    let mut now = example::full();
    let of = |window: &&mut Window| window.subject == "corewise" && window.column == "reload";
    for window in now.windows.iter_mut().filter(of) {
        window.figures.insert(Quantity::FailedRequests, 3.0);
    }
    check(&now, &example::full(), false, "REGRESSED from zero");
    check(&example::full(), &now, true, "better by 100 %");
}

#[test]
fn another_machine_is_said() {
    let base = example::full();
    let mut now = example::full();
    now.machine.kernel = "Linux 7.0".to_owned();
    check(&now, &base, true, "note: another kernel: Linux 6.12.0 then, Linux 7.0 now");
}

#[test]
fn a_file_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.json");
    let fault = || read(&path).unwrap_err().to_string();
    assert!(fault().contains("data.json: cannot be read"), "{}", fault());
    for (text, said) in [
        ("{", "is no data of a run"),
        ("{\"format\": 2}", "missing field"),
        ("{\"format\": 1}", "format 1 is unknown"),
    ] {
        fs::write(&path, text).unwrap();
        assert!(fault().contains(said) && fault().contains("data.json"), "{}", fault());
    }
}

#[test]
fn figures_that_are_no_numbers_are_told_and_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = example::tiny();
    run.windows[0].figures.insert(Quantity::CpuPerRequestUs, f64::NAN);
    let written = super::write(&run, folder.path()).unwrap();
    let read = read(&written.data).unwrap();
    assert_eq!(read.windows[0].disturbances, ["CPU per request was no number: NaN"]);
    assert!(!read.windows[0].figures.contains_key(&Quantity::CpuPerRequestUs));
}
