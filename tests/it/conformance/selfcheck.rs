//! The tables judged before they judge: on a stand-in that answers by the model they must pass, and
//! on one with a known fault they must fail. This needs no server.

use std::collections::HashSet;

use super::case::{Case, End, Step, failures};
use super::model::{Judged, judge};
use super::rfc9112_mutants;
use super::standin::{Flaw, start};
use super::{TABLES, all_cases};

/// Routes that the stand-in has not, and limits of the server that the model does not know.
fn standin_can(case: &Case) -> bool {
    let has = |step: &Step, words: &[&str]| match step {
        Step::Send(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            words.iter().any(|word| text.contains(word))
        }
        _ => false,
    };
    let foreign = ["/sleep/60", "/stream?"];
    let early = ["HTTP/9.9\r\n", "G\0T"];
    let typed = ["GET / ", "GET /json", "GET http://it"];
    !case.steps.iter().any(|step| {
        has(step, &foreign)
            || has(step, &early)
            || (has(step, &typed) && case.section == "9110 9.3.1")
    })
}

#[test]
fn there_are_at_least_350_cases_and_no_two_are_the_same() {
    let cases = all_cases();
    let mut names = HashSet::new();
    for case in &cases {
        let name = format!("{} {}", case.section, case.says);
        assert!(names.insert(name.clone()), "two cases are called {name:?}");
    }
    assert!(cases.len() >= 350, "{} cases", cases.len());
    for (name, table) in TABLES {
        println!("{name}: {}", table().len());
    }
    println!("{} cases", cases.len());
}

#[test]
fn tables_and_model_agree() {
    let mut faults = vec![];
    for case in all_cases() {
        let Some((bytes, answers)) = case.simple() else { continue };
        let first = answers[0];
        let verdict = judge(bytes);
        let agrees = match &verdict {
            Judged::Bad(statuses) => {
                case.end != End::Open && statuses.iter().any(|code| first.statuses.contains(code))
            }
            Judged::Request(..) => first.statuses.iter().any(|code| {
                super::model::route_of(&verdict).is_some_and(|routed| routed.contains(code))
            }),
            // The server may judge a prefix that the model still waits for.
            Judged::Short | Judged::ShortBody(_) => case.end != End::Open,
        };
        if !agrees {
            faults.push(format!("[{}] {}: {verdict:?}", case.section, case.says));
        }
    }
    assert!(faults.is_empty(), "{} disagree:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn tables_pass_on_the_stand_in() {
    let cases: Vec<Case> = all_cases().into_iter().filter(standin_can).collect();
    let faults = failures(start(Flaw::None), &cases);
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

#[test]
fn mutants_pass_on_the_stand_in() {
    let mutants: Vec<_> = rfc9112_mutants::mutants().into_iter().step_by(7).collect();
    let faults = rfc9112_mutants::failures(start(Flaw::None), &mutants);
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), mutants.len(), faults.join("\n"));
}

#[test]
fn tables_find_each_known_fault() {
    let find = |flaw: Flaw, word: &str| {
        let cases: Vec<Case> = all_cases()
            .into_iter()
            .filter(|case| case.says.contains(word) && standin_can(case) && case.simple().is_some())
            .collect();
        let faults = failures(start(flaw), &cases);
        assert!(!faults.is_empty(), "{flaw:?} is not found by the cases about {word:?}");
    };
    find(Flaw::Forgets, "two at once");
    find(Flaw::GoesOn, "no version");
    find(Flaw::LengthWins, "length and coding together");
    find(Flaw::LineFeed, "bare LFs throughout");
    find(Flaw::TalksOnHead, "HEAD of a path with a parameter");
}
