//! What a process tree has used, as the kernel accounts it.
//!
//! CPU time is read from the clock of each process (`clock_getcpuclockid`): the run time that the
//! scheduler keeps in nanoseconds, of all threads, also of those that ended and of those that run
//! at the moment. What ended children used comes from their parent's account (`cutime` and
//! `cstime`), which is cut to hundredths of a second. Lost is what a process used whose parent did
//! not wait for it. Orphans are roots of their own, which the caller knows.
//!
//! A tree is read process by process, 10 us each, so a reading is wrong by at most what the tree
//! does meanwhile: 0.1 ms for ten processes, 0.01 % of a window of one second. Readings are taken
//! while the tree rests (`settle`), where even that is nothing. A child that ended within the
//! window adds an error of up to 20 ms, once for its parent. Switches of tasks that ended are lost.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

/// What a process tree has used until one moment.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Nanoseconds that its tasks have run.
    pub(crate) cpu_ns: u64,
    /// How often a task of it left a CPU, of its own will or not.
    pub(crate) switches: u64,
    /// Its processes: when they change in between, a difference means less.
    pub(crate) processes: BTreeSet<u32>,
}

/// Reads the trees below these processes, themselves included, as one. It is an error when the
/// first of them has ended.
pub(crate) fn tree(roots: &[u32]) -> io::Result<Tree> {
    let mut tree = Tree::default();
    if let Some(first) = roots.first() {
        process_cpu_ns(*first)?;
    }
    let mut waiting = roots.to_vec();
    while let Some(process) = waiting.pop() {
        // What ends while it is read counts as it did: in the account of its parent.
        let Ok(cpu_ns) = process_cpu_ns(process) else { continue };
        tree.cpu_ns += cpu_ns + ended_children_ns(process);
        tree.processes.insert(process);
        for task in tasks(process) {
            let folder = format!("/proc/{process}/task/{task}");
            tree.switches += switches(&text_of(&format!("{folder}/status")));
            let children = text_of(&format!("{folder}/children"));
            waiting.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        }
    }
    Ok(tree)
}

/// Memory of a tree in bytes, shared pages divided among those who share them.
pub(crate) fn proportional_bytes(tree: &Tree) -> io::Result<u64> {
    let mut sum = 0;
    for process in &tree.processes {
        let path = format!("/proc/{process}/smaps_rollup");
        let text = fs::read_to_string(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        sum += first_number(line.unwrap_or_default()) << 10;
    }
    Ok(sum)
}

/// Waits until the tree rests, so that what a load left behind (connections to close) is in the
/// account of that load. A tree that never rests is waited for no longer than `SETTLE_MAX`.
pub(crate) fn settle(roots: impl Fn() -> Vec<u32>) -> io::Result<Tree> {
    let deadline = Instant::now() + SETTLE_MAX;
    let mut before = tree(&roots())?;
    loop {
        std::thread::sleep(SETTLE_STEP);
        let now = tree(&roots())?;
        if now.cpu_ns.saturating_sub(before.cpu_ns) < REST_NS || Instant::now() > deadline {
            return Ok(now);
        }
        before = now;
    }
}

/// All threads of a process; empty when it has ended.
pub(crate) fn tasks(process: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{process}/task"));
    let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_string_lossy().parse().ok()).collect()
}

/// Run time of all threads that a process has or had.
pub(crate) fn process_cpu_ns(process: u32) -> io::Result<u64> {
    let mut clock = 0;
    // SAFETY: the call writes one clock id, to a variable of ours that outlives it.
    let error = unsafe { libc::clock_getcpuclockid(process.cast_signed(), &raw mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, to a variable of ours that outlives it.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
}

/// What children that ended and were waited for have used, with their own such children.
fn ended_children_ns(process: u32) -> u64 {
    children_ticks(&text_of(&format!("/proc/{process}/stat"))) * TICK_NS
}

fn children_ticks(stat: &str) -> u64 {
    // cutime and cstime, fields 16 and 17 of the whole line.
    fields(stat).into_iter().skip(13).take(2).filter_map(|word| word.parse::<u64>().ok()).sum()
}

/// The fields of a `stat` file from the third on: the name before may hold blanks and brackets.
pub(super) fn fields(stat: &str) -> Vec<&str> {
    stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect()
}

fn switches(status: &str) -> u64 {
    let counts = status.lines().filter_map(|line| {
        let line = line.strip_prefix("non").unwrap_or(line);
        line.strip_prefix("voluntary_ctxt_switches:")
    });
    counts.map(first_number).sum()
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// A file of /proc; empty when what it was about has ended.
pub(super) fn text_of(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The unit of /proc/PID/stat and /proc/stat; the same on every Linux of our targets.
pub(super) const TICK_NS: u64 = 10_000_000;
const SETTLE_STEP: Duration = Duration::from_millis(5);
const SETTLE_MAX: Duration = Duration::from_millis(200);
/// A server that looks at its clock now and then is at rest, too.
const REST_NS: u64 = 100_000;

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_running_process_has_used_something() {
        let mut spent = 1_u64;
        let before = tree(&[std::process::id()]).unwrap();
        for round in 0..20_000_000_u64 {
            spent = std::hint::black_box(spent.wrapping_mul(round | 1));
        }
        let after = tree(&[std::process::id()]).unwrap();
        assert!(after.cpu_ns > before.cpu_ns);
        assert!(proportional_bytes(&after).unwrap() > 100_000);
    }

    #[test]
    fn children_are_counted_while_they_live_and_when_they_ended() {
        // The shell burns in a child, and then says so and waits.
        let script = "(i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done); echo; read end";
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(shell.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let all = tree(&[shell.id()]).unwrap();
        let own = process_cpu_ns(shell.id()).unwrap();
        assert!(all.cpu_ns >= own + TICK_NS, "{} of {own}", all.cpu_ns);
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert!(tree(&[shell.id()]).is_err());
    }

    #[test]
    fn a_sleeping_tree_is_settled() {
        let mut sleeper = Command::new("sleep").arg("100").spawn().unwrap();
        assert_eq!(settle(|| vec![sleeper.id()]).unwrap().processes.len(), 1);
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }

    #[test]
    fn fields_behind_a_strange_name_are_found() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 9 9 9 9 11 12 13 14 20 0 1 0";
        assert_eq!(children_ticks(stat), 13 + 14);
    }

    #[test]
    fn both_kinds_of_switches_count() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t40\nnonvoluntary_ctxt_switches:\t2\n";
        assert_eq!(switches(status), 42);
    }
}
