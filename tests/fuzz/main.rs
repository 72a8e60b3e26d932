//! Fuzzing without a special toolchain: a seeded mutator in this process, over a committed corpus.
//!
//! `cargo test --test fuzz` replays the corpus and runs a bounded number of executions.
//! `COREWISE_FUZZ_EXECUTIONS` and `COREWISE_FUZZ_SEED` make it run longer or elsewhere. A failure
//! prints its seed and its input and leaves the input in the corpus, where it is replayed from
//! then on.

mod config;
mod h1;
mod message;
mod mutate;
mod reader;
mod rng;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use h1::Case;
use mutate::Mutator;
use rng::Rng;

#[test]
fn corpus_is_replayed() {
    let mut before = Vec::new();
    for (path, input) in corpus("h1") {
        for case in Case::all(&input, &before) {
            if let Err(error) = attempt(|| h1::check(&case)) {
                panic!("{}: {error}\n{case:?}", path.display());
            }
        }
        before = input;
    }
}

#[test]
fn mutants_are_harmless() {
    let executions = setting("COREWISE_FUZZ_EXECUTIONS", 200_000);
    let seed = setting("COREWISE_FUZZ_SEED", 1);
    let mut mutator = Mutator::new(inputs("h1"), h1::DICTIONARY);
    for execution in 0..executions {
        // A seed of its own for each execution: a failure is repeated without those before it.
        let execution_seed = seed.wrapping_add(execution);
        let mut rng = Rng::new(execution_seed);
        let input = mutator.draw(&mut rng);
        // Now and then the same with another mutation, so that header sections come again.
        let before = match rng.below(2) {
            0 => mutator.bend(&input, &mut rng),
            _ => mutator.draw(&mut rng),
        };
        let case = Case::draw(input, before, &mut rng);
        if let Err(error) = attempt(|| h1::check(&case)) {
            let path = keep("h1", &case.input);
            panic!(
                "COREWISE_FUZZ_SEED={execution_seed} COREWISE_FUZZ_EXECUTIONS=1 fails, \
                 input kept in {}\n{error}\n{case:?}",
                path.display()
            );
        }
    }
}

#[test]
fn settings_are_replayed() {
    let target = config::Target::new();
    for (path, input) in corpus("config") {
        if let Err(error) = attempt(|| target.check(&input)) {
            panic!("{}: {error}", path.display());
        }
    }
}

#[test]
fn settings_resolve_or_have_faults() {
    let executions = setting("COREWISE_FUZZ_EXECUTIONS", 5_000);
    let seed = setting("COREWISE_FUZZ_SEED", 1);
    let target = config::Target::new();
    let mut mutator = Mutator::new(inputs("config"), config::DICTIONARY);
    for execution in 0..executions {
        let execution_seed = seed.wrapping_add(execution);
        let input = mutator.draw(&mut Rng::new(execution_seed));
        if let Err(error) = attempt(|| target.check(&input)) {
            let path = keep("config", &input);
            panic!(
                "COREWISE_FUZZ_SEED={execution_seed} COREWISE_FUZZ_EXECUTIONS=1 fails, \
                 input kept in {}\n{error}",
                path.display()
            );
        }
    }
}

#[test]
fn messages_are_replayed() {
    for (path, input) in corpus("message") {
        if let Err(error) = attempt(|| message::check(&input)) {
            panic!("{}: {error}", path.display());
        }
    }
}

#[test]
fn messages_are_read_or_refused() {
    let executions = setting("COREWISE_FUZZ_EXECUTIONS", 100_000);
    let seed = setting("COREWISE_FUZZ_SEED", 1);
    let mut mutator = Mutator::new(inputs("message"), message::DICTIONARY);
    for execution in 0..executions {
        let execution_seed = seed.wrapping_add(execution);
        let mut rng = Rng::new(execution_seed);
        let mut input = mutator.draw(&mut rng);
        // A head that knows its length gets further.
        if input.len() >= 8 && rng.below(4) > 0 {
            let length = (input.len() as u32).to_le_bytes();
            input[4..8].copy_from_slice(&length);
        }
        if let Err(error) = attempt(|| message::check(&input)) {
            let path = keep("message", &input);
            panic!(
                "COREWISE_FUZZ_SEED={execution_seed} COREWISE_FUZZ_EXECUTIONS=1 fails, \
                 input kept in {}\n{error}",
                path.display()
            );
        }
    }
}

fn attempt(check: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("no message")))
    })
}

fn inputs(target: &str) -> Vec<Vec<u8>> {
    corpus(target).into_iter().map(|(_, input)| input).collect()
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = folder(target);
    let entries = fs::read_dir(&folder).expect("the corpus is committed beside this file");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("the corpus can be listed").path())
        .map(|path| {
            let input = fs::read(&path).expect("the corpus can be read");
            (path, input)
        })
        .collect();
    files.sort();
    assert!(files.len() >= 10, "the corpus is incomplete");
    files
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target)
}

fn keep(target: &str, input: &[u8]) -> PathBuf {
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let path = folder(target).join(format!("found_{hash:016x}"));
    fs::write(&path, input).expect("a failing input can be kept");
    path
}

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a number")),
        Err(_) => default,
    }
}
