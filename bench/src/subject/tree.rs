//! The processes of a subject, and holding them still while others are measured.

use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

/// The tree below `root`, itself included; parents come before their children.
pub(crate) fn processes(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(process) = found.get(next) {
        found.extend(children(*process));
        next += 1;
    }
    found
}

/// Whom the threads of a process have started, or adopted.
pub(super) fn children(process: u32) -> Vec<u32> {
    let lists = tasks(process).into_iter().map(|task| {
        let path = format!("/proc/{process}/task/{task}/children");
        numbers(&fs::read_to_string(path).unwrap_or_default())
    });
    lists.flatten().collect()
}

/// Everybody below a process: its children come first, each before its own.
pub(super) fn below(process: u32) -> Vec<u32> {
    processes(process).split_off(1)
}

/// Stops every task below the guard, and returns once none runs.
pub(super) fn hold(guard: u32) -> io::Result<()> {
    let mut before = Vec::new();
    // Whoever was seen running may have forked since then: only two walks alike are trusted.
    until("stop", || {
        let all = below(guard);
        let mut held = all == before;
        // Parents first: who stands still starts nobody.
        for process in &all {
            if !states(*process).all(is_still) {
                signal(*process, Signal::STOP)?;
                held = false;
            }
        }
        before = all;
        Ok(held)
    })
}

/// Lets every task below the guard run again, children first.
pub(super) fn release(guard: u32) -> io::Result<()> {
    until("go on", || {
        let mut released = true;
        for process in below(guard).iter().rev() {
            if states(*process).any(|state| state == 'T') {
                signal(*process, Signal::CONT)?;
                released = false;
            }
        }
        Ok(released)
    })
}

/// Ends one process without a word.
pub(crate) fn kill(process: u32) -> io::Result<()> {
    signal(process, Signal::KILL)
}

pub(super) fn signal(process: u32, signal: Signal) -> io::Result<()> {
    let process = Pid::from_raw(process.cast_signed()).ok_or(Errno::SRCH)?;
    match kill_process(process, signal) {
        // It has ended since it was seen.
        Err(Errno::SRCH) => Ok(()),
        other => Ok(other?),
    }
}

/// The letter that /proc has for each task of a process.
pub(super) fn states(process: u32) -> impl Iterator<Item = char> {
    tasks(process).into_iter().filter_map(move |task| {
        let stat = fs::read_to_string(format!("/proc/{process}/task/{task}/stat")).ok()?;
        // The name may hold blanks and brackets, so the letter is looked for behind it.
        stat.rsplit_once(") ")?.1.chars().next()
    })
}

/// Stopped, or ended and not yet waited for.
fn is_still(state: char) -> bool {
    matches!(state, 'T' | 'X' | 'Z')
}

fn tasks(process: u32) -> Vec<u32> {
    let Ok(folder) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    folder.flatten().filter_map(|task| task.file_name().to_string_lossy().parse().ok()).collect()
}

fn numbers(text: &str) -> Vec<u32> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Asks again and again, because the kernel tells nobody when a task has stopped.
fn until(what: &str, mut done: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !done()? {
        if Instant::now() > deadline {
            let message = format!("a process of the subject did not {what} within {PATIENCE:?}");
            return Err(io::Error::other(message));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(10);
