//! The slot protocol between real processes that are killed, stopped, or write garbage.
//!
//! This forks, which takes a process with a single thread, so there is no test harness. Without
//! arguments all stories are told in the length that a build can wait for; `--ignored` tells the
//! whole ones, and a word those whose name contains it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[cfg(not(corewise_tsan))]
mod golden;
#[cfg(not(corewise_tsan))]
mod hostile;
// These four know the registers of one architecture.
#[cfg(all(target_arch = "x86_64", not(corewise_tsan)))]
mod pool;
#[cfg(all(target_arch = "x86_64", not(corewise_tsan)))]
mod scenes;
#[cfg(not(corewise_tsan))]
mod shared;
#[cfg(all(target_arch = "x86_64", not(corewise_tsan)))]
mod steps;
#[cfg(not(corewise_tsan))]
mod storm;
mod talk;
mod threads;
#[cfg(all(target_arch = "x86_64", not(corewise_tsan)))]
mod trace;

use std::env;
use std::panic::catch_unwind;
use std::process::ExitCode;

/// How much of a story is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Extent {
    /// A part that is another one each time.
    Sample,
    /// All of it.
    Whole,
}

type Story = fn(Extent);
/// What a checker of data races can follow: it knows threads alone.
#[cfg(corewise_tsan)]
const STORIES: &[(&str, Story)] = &[
    ("threads_answer", threads::threads_answer),
    ("late_writes_are_reported", threads::late_writes_are_reported),
];
#[cfg(not(corewise_tsan))]
const STORIES: &[(&str, Story)] = &[
    ("python_reads_the_layout", golden::python_reads_the_layout),
    ("threads_answer", threads::threads_answer),
    #[cfg(target_arch = "x86_64")]
    ("kill_at_every_instruction", steps::kill_at_every_instruction),
    #[cfg(target_arch = "x86_64")]
    ("lost_rings_are_found", steps::lost_rings_are_found),
    ("a_shard_lives_beside_a_hostile_worker", hostile::a_shard_lives_beside_a_hostile_worker),
    ("nothing_is_lost_in_a_storm", storm::nothing_is_lost_in_a_storm),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == threads::LATE_WRITES) {
        threads::write_late();
        return ExitCode::SUCCESS;
    }
    let whole = arguments.iter().any(|argument| argument == "--ignored");
    let extent = if whole { Extent::Whole } else { Extent::Sample };
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let chosen =
        STORIES.iter().filter(|(name, _)| filter.is_none_or(|part| name.contains(part.as_str())));
    let (mut told, mut failed) = (0, 0);
    for (name, story) in chosen {
        let passed = catch_unwind(|| story(extent)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        told += 1;
        failed += usize::from(!passed);
    }
    println!("\ntest result: {failed} failed of {told}");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A number from the environment; what `otherwise` says without one.
#[cfg(not(corewise_tsan))]
fn setting(name: &str, otherwise: u64) -> u64 {
    let given = env::var(name).ok();
    given.map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}?")))
}
