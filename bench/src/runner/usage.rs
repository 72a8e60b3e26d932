//! What a process tree has used, as /proc tells it.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use serde::Serialize;

/// CPU time of a process tree at one moment.
pub(super) struct Tree {
    /// Nanoseconds that its tasks have run.
    pub(super) cpu_ns: u64,
    /// Its processes: when they change in between, a difference means little.
    pub(super) processes: BTreeSet<u32>,
}

/// What the cores did in a window, in hundredths of a second since the boot.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct CoreTime {
    /// Running anything at all.
    pub(super) busy: u64,
    /// Wanted to run, but the host ran something else.
    pub(super) stolen: u64,
}

/// Reads the tree below `root`, itself included.
pub(super) fn tree(root: u32) -> io::Result<Tree> {
    let mut processes = BTreeSet::new();
    let mut cpu_ns = 0;
    let mut waiting = vec![root];
    while let Some(process) = waiting.pop() {
        processes.insert(process);
        for task in tasks(process)? {
            let folder = format!("/proc/{process}/task/{task}");
            // A task that ends while it is read counts as it did: not at all.
            let Ok(schedule) = fs::read_to_string(format!("{folder}/schedstat")) else { continue };
            cpu_ns += first_number(&schedule);
            let children = fs::read_to_string(format!("{folder}/children")).unwrap_or_default();
            waiting.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        }
    }
    Ok(Tree { cpu_ns, processes })
}

fn tasks(process: u32) -> io::Result<Vec<u32>> {
    let mut tasks = Vec::new();
    for entry in fs::read_dir(format!("/proc/{process}/task"))? {
        tasks.extend(entry?.file_name().to_string_lossy().parse::<u32>());
    }
    Ok(tasks)
}

/// Memory of a tree in bytes, shared pages divided among those who share them.
pub(super) fn proportional_bytes(tree: &Tree) -> io::Result<u64> {
    let mut sum = 0;
    for process in &tree.processes {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        sum += first_number(line.unwrap_or_default()) << 10;
    }
    Ok(sum)
}

/// What one core has done so far.
pub(super) fn core(cpu: usize) -> io::Result<CoreTime> {
    let text = fs::read_to_string("/proc/stat")?;
    Ok(core_time(&text, cpu))
}

fn core_time(stat: &str, cpu: usize) -> CoreTime {
    let name = format!("cpu{cpu} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_default();
    let fields: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let field = |index: usize| fields.get(index).copied().unwrap_or(0);
    // user, nice, system, idle, iowait, irq, softirq, steal
    let busy = [0, 1, 2, 5, 6].into_iter().map(field).sum();
    CoreTime { busy, stolen: field(7) }
}

/// CPU time of our own children that have ended and been waited for, in the ticks of /proc/stat.
pub(super) fn ended_children_ticks() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/self/stat")?;
    Ok(children_ticks(&text))
}

fn children_ticks(stat: &str) -> u64 {
    // The name may hold blanks and brackets, so the fields are counted from behind it.
    let behind = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = behind.split_whitespace().collect();
    // cutime and cstime, fields 16 and 17 of the whole line.
    fields.iter().skip(13).take(2).filter_map(|word| word.parse::<u64>().ok()).sum()
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_has_used_something() {
        let mut spent = 1_u64;
        let before = tree(std::process::id()).unwrap();
        for round in 0..20_000_000_u64 {
            spent = std::hint::black_box(spent.wrapping_mul(round | 1));
        }
        let after = tree(std::process::id()).unwrap();
        assert!(after.cpu_ns > before.cpu_ns);
        assert!(proportional_bytes(&after).unwrap() > 100_000);
    }

    #[test]
    fn ended_children_are_counted() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 9 9 9 9 11 12 13 14 20 0 1 0";
        assert_eq!(children_ticks(stat), 13 + 14);
    }

    #[test]
    fn cores_are_told_apart() {
        let stat = "cpu  9 9 9 9 9 9 9 9\ncpu0 1 2 3 4 5 6 7 8 0 0\ncpu1 10 0 0 0 0 0 0 1 0 0\n";
        let zero = core_time(stat, 0);
        assert_eq!((zero.busy, zero.stolen), (19, 8));
        let one = core_time(stat, 1);
        assert_eq!((one.busy, one.stolen), (10, 1));
    }
}
