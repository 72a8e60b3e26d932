//! Instruction counts of the pure cores, gated in CI.
//!
//! Time is noise on a shared machine; instructions are not. callgrind runs this program with a
//! hidden command, counts inside one marked function only, and the count of one call is the
//! difference of a long and a short run divided by the calls between them: what happens once
//! (detection of the processor, first growth of a buffer) cancels out. The count depends on the
//! compiler and on the vector units of the processor, so the compiler is noted beside it.

mod jobs;
mod subjects;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use self::jobs::JOBS;
use self::subjects::{OFFLOAD_SHARD, OFFLOAD_WORKER, SUBJECTS, Subject};
use crate::arguments::Arguments;

/// The committed counts.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
struct Counts {
    /// What the counts were taken with.
    compiler: String,
    /// Instructions of one call.
    instructions: BTreeMap<String, u64>,
}

/// Compares with the committed counts, or writes them; false when one of them was missed.
pub(crate) fn run(mut arguments: Arguments) -> Result<bool, Box<dyn Error>> {
    let update = arguments.flag("--update");
    let file: Option<PathBuf> = arguments.value("--counts")?;
    let file = file.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE));
    let inject: u32 = arguments.value("--inject")?.unwrap_or(0);
    arguments.finish()?;
    let mut counts = Counts { compiler: compiler()?, ..Counts::default() };
    for (name, _) in SUBJECTS {
        counts.instructions.insert((*name).to_owned(), count(name, inject)?);
    }
    if update {
        fs::write(&file, counts.text())?;
        println!("wrote {}", file.display());
        return Ok(true);
    }
    let text = fs::read_to_string(&file)
        .map_err(|error| format!("{}: {error}; write it with --update", file.display()))?;
    let committed: Counts = toml::from_str(&text)?;
    Ok(report(&committed, &counts))
}

/// The hidden command that callgrind runs: one subject, a number of times.
pub(crate) fn run_subject(mut arguments: Arguments) -> Result<bool, Box<dyn Error>> {
    let name: String = arguments.value("--name")?.ok_or("--name is missing")?;
    let calls: u32 = arguments.value("--calls")?.ok_or("--calls is missing")?;
    let inject: u32 = arguments.value("--inject")?.unwrap_or(0);
    arguments.finish()?;
    let entry = SUBJECTS.iter().find(|(known, _)| *known == name);
    let mut subject = entry.ok_or("no such subject")?.1();
    for call in 1..=calls {
        subject.prepare();
        measured(subject.as_mut());
        // Work that nobody asked for, to show that the gate notices.
        if inject > 0 && call % inject == 0 {
            subject.prepare();
            measured(subject.as_mut());
        }
    }
    Ok(true)
}

/// The function that callgrind counts in; its name is in `TOGGLE`.
#[inline(never)]
fn measured(subject: &mut dyn Subject) {
    subject.work();
}

/// Instructions of one call in the steady state.
fn count(name: &str, inject: u32) -> Result<u64, Box<dyn Error>> {
    let few = collected(name, CALLS_FEW, inject)?;
    let many = collected(name, CALLS_MANY, inject)?;
    if few == 0 || many <= few {
        return Err(format!("callgrind counted nothing in {TOGGLE}").into());
    }
    Ok((many - few) / u64::from(CALLS_MANY - CALLS_FEW))
}

fn collected(name: &str, calls: u32, inject: u32) -> Result<u64, Box<dyn Error>> {
    let own = std::env::current_exe()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={TOGGLE}"))
        .arg(own)
        .args(["instructions-subject", "--name", name])
        .args(["--calls", &calls.to_string(), "--inject", &inject.to_string()])
        // Neither the environment nor the folder has a say in what is counted.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir("/")
        .output()
        .map_err(|error| format!("valgrind: {error}; install it: apt-get install valgrind"))?;
    let report = String::from_utf8_lossy(&output.stderr);
    let counted = report.lines().find_map(|line| line.split_once("Collected : "));
    match counted.and_then(|(_, number)| number.trim().parse().ok()) {
        Some(number) if output.status.success() => Ok(number),
        _ => Err(format!("callgrind of {name}: {}", report.trim()).into()),
    }
}

/// Prints a line per subject and the sums; true when none is over its count.
fn report(committed: &Counts, counts: &Counts) -> bool {
    if committed.compiler != counts.compiler {
        println!("note: counted with {}, committed with {}", counts.compiler, committed.compiler);
    }
    let mut failed = 0;
    for (name, count) in &counts.instructions {
        let (passed, words) = judge(committed.instructions.get(name).copied(), *count);
        failed += usize::from(!passed);
        println!(
            "{} {name:<12} {count:>6} instructions  {words}",
            if passed { "ok  " } else { "FAIL" }
        );
    }
    for name in committed.instructions.keys().filter(|n| !counts.instructions.contains_key(*n)) {
        failed += 1;
        println!("FAIL {name:<12} is committed but not counted");
    }
    // Checked code does more; what is promised is what is shipped. The promise is shown, and what
    // was reached is what the gate holds.
    if let Some(job) = counts.job().filter(|_| !cfg!(debug_assertions)) {
        let word = if job > JOB_MAX { "MISSED" } else { "kept" };
        println!("     a job of both ends: {job} instructions, promised at most {JOB_MAX}: {word}");
    }
    let passed = counts.instructions.len() - failed.min(counts.instructions.len());
    println!("instruction counts: {passed} passed, {failed} failed");
    failed == 0
}

fn judge(committed: Option<u64>, count: u64) -> (bool, String) {
    let Some(committed) = committed else {
        return (false, "not committed; write it with --update".to_owned());
    };
    let percent = (count as f64 / committed as f64 - 1.0) * 100.0;
    // In whole numbers: exactly the tolerance still passes.
    let passed = count * 100 <= committed * (100 + TOLERANCE_PERCENT);
    let advice = match passed {
        false => "; too much",
        true if percent < -(TOLERANCE_PERCENT as f64) => "; keep the gain with --update",
        true => "",
    };
    (passed, format!("{percent:+.1} % of {committed}{advice}"))
}

impl Counts {
    /// Instructions of one offloaded job, of both ends together.
    fn job(&self) -> Option<u64> {
        let of = |name: &str| self.instructions.get(name);
        Some((of(OFFLOAD_SHARD)? + of(OFFLOAD_WORKER)?) / JOBS)
    }

    fn text(&self) -> String {
        let mut text = "# Instructions of one call, counted by callgrind; written by\n\
                        # `corewise-bench instructions --update`. CI fails above + 2 %.\n"
            .to_owned();
        let _infallible = writeln!(text, "compiler = {:?}\n\n[instructions]", self.compiler);
        for (name, count) in &self.instructions {
            let _infallible = writeln!(text, "{name} = {count}");
        }
        text
    }
}

fn compiler() -> Result<String, Box<dyn Error>> {
    let output = Command::new("rustc").arg("--version").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

const FILE: &str = "instructions.toml";
const TOGGLE: &str = "corewise_bench::instructions::measured";
/// What a job is to cost both ends together.
const JOB_MAX: u64 = 500;
const TOLERANCE_PERCENT: u64 = 2;
const CALLS_FEW: u32 = 100;
const CALLS_MANY: u32 = 1_100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_percent_more_is_too_much() {
        assert!(judge(Some(1000), 1000).0);
        assert!(judge(Some(1000), 1020).0);
        assert!(!judge(Some(1000), 1021).0);
        assert!(judge(Some(1000), 500).0);
        assert!(!judge(None, 1).0);
    }

    #[test]
    fn every_subject_must_be_committed_and_every_committed_one_counted() {
        let counts = |names: &[&str]| Counts {
            compiler: String::new(),
            instructions: names.iter().map(|name| ((*name).to_owned(), 7)).collect(),
        };
        assert!(report(&counts(&["a", "b"]), &counts(&["a", "b"])));
        assert!(!report(&counts(&["a"]), &counts(&["a", "b"])));
        assert!(!report(&counts(&["a", "b"]), &counts(&["a"])));
    }

    #[test]
    fn the_file_reads_back() {
        let counts = Counts {
            compiler: "rustc 1".to_owned(),
            instructions: BTreeMap::from([("parse-small".to_owned(), 9)]),
        };
        assert_eq!(toml::from_str::<Counts>(&counts.text()).unwrap(), counts);
    }
}
