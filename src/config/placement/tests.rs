//! Placements on the machines of `tests/machines`, and on any machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;
use crate::config::cpus::parse_list;
use crate::config::drawing;
use crate::config::machine::{Cpu, Cpuset, Quota};
use crate::sys::topology::CAPACITY_MAX;

fn machines() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines")
}

/// Writes the files that `NAME.files` lists, and reads the machine from them.
///
/// A line is `path = content`; lines of the same path follow each other in the file. A part of
/// the path like `cpu[0-3]` stands for each of these CPUs, and the content `*` for that list.
fn machine(name: &str) -> Machine {
    let root = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(machines().join(format!("{name}.files"))).unwrap();
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (path, content) = line.split_once(" = ").unwrap();
        for (path, content) in expand(path, content) {
            let file = files.entry(path).or_default();
            file.push_str(&content);
            file.push('\n');
        }
    }
    for (path, content) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    Machine::read_below(root.path())
}

fn expand(path: &str, content: &str) -> Vec<(String, String)> {
    let Some((before, rest)) = path.split_once('[') else {
        return vec![(path.to_owned(), content.to_owned())];
    };
    let (list, after) = rest.split_once(']').unwrap();
    let content = if content == "*" { list } else { content };
    let cpus = parse_list(list).unwrap();
    cpus.iter().map(|cpu| (format!("{before}{cpu}{after}"), content.to_owned())).collect()
}

fn pool(name: &str, workers: Workers) -> PoolWish {
    PoolWish { name: name.into(), workers, ..PoolWish::default() }
}

fn pools<const N: usize>(pools: [PoolWish; N]) -> Wishes {
    Wishes { pools: pools.into(), ..Wishes::default() }
}

fn list(text: &str) -> Vec<usize> {
    parse_list(text).unwrap()
}

/// The plans that are drawn for every machine.
fn plans() -> Vec<(&'static str, Wishes)> {
    let apart = PoolWish { share: Share::Off, ..pool("ml", Workers::Auto) };
    let both = pools([pool("ml", Workers::Count(4)), pool("pdf", Workers::Auto)]);
    vec![
        ("no pools", Wishes::default()),
        ("pool.ml", pools([pool("ml", Workers::Auto)])),
        ("pool.ml share = false", pools([apart])),
        ("pool.ml workers = 4, pool.pdf", both.clone()),
        ("the same, policy = latency", Wishes { policy: Policy::Latency, ..both.clone() }),
        ("the same, smt = both", Wishes { smt: Smt::Both, ..both }),
    ]
}

#[test]
fn drawings() {
    let update = std::env::var_os("COREWISE_UPDATE_DRAWINGS").is_some();
    let mut names: Vec<String> = fs::read_dir(machines())
        .unwrap()
        .filter_map(|entry| {
            Some(entry.unwrap().file_name().to_str()?.strip_suffix(".files")?.into())
        })
        .collect();
    names.sort();
    assert!(names.len() >= 15, "{names:?}");
    for name in names {
        let machine = machine(&name);
        let mut text = format!("== cores\n{}", drawing::machine(&machine));
        for (title, wishes) in plans() {
            let placement = place(&machine, &wishes).unwrap();
            check_sane(&machine, &wishes, &placement);
            text += &format!("\n== {title}\n{}", drawing::placement(&machine, &placement));
        }
        assert!(text.is_ascii());
        for line in text.lines() {
            assert!(line.len() <= 80, "{name}: {line}");
            assert_eq!(line, line.trim_end(), "{name}");
        }
        let path = machines().join(format!("{name}.drawing"));
        if update {
            fs::write(path, text).unwrap();
        } else {
            let golden = fs::read_to_string(path).unwrap_or_default();
            assert_eq!(text, golden, "{name}; COREWISE_UPDATE_DRAWINGS=1 writes it again");
        }
    }
}

/// What must hold whatever was wished for.
#[track_caller]
fn check_sane(machine: &Machine, wishes: &Wishes, placement: &Placement) {
    assert!(!placement.shards.is_empty());
    assert_eq!(placement.pools.len(), wishes.pools.len());
    let mut load: BTreeMap<usize, usize> = BTreeMap::new();
    let shards = placement.shards.iter().map(|shard| shard.cpu);
    let workers = placement.pools.iter().flat_map(|pool| &pool.workers);
    for cpu in shards.chain(workers.clone().map(|worker| worker.cpu)) {
        assert_eq!(cpu.is_none(), placement.floating.is_some());
        let Some(cpu) = cpu else { continue };
        assert!(placement.usable.contains(&cpu), "CPU {cpu} is not usable");
        assert!(!placement.reserved.contains(&cpu), "CPU {cpu} is reserved");
        assert_eq!(machine.why_unusable(cpu), None);
        *load.entry(cpu).or_default() += 1;
    }
    let mut seen: Vec<usize> = placement.shards.iter().filter_map(|shard| shard.cpu).collect();
    seen.sort_unstable();
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "no CPU has two shards");
    for shard in &placement.shards {
        assert_eq!(shard.dedicated, shard.cpu.is_some_and(|cpu| load[&cpu] == 1));
    }
    for worker in workers.clone() {
        assert_eq!(worker.shared, worker.cpu.is_none_or(|cpu| load[&cpu] > 1));
        assert!(!(worker.spins && (worker.shared || worker.background)));
    }
    for (wish, pool) in wishes.pools.iter().zip(&placement.pools) {
        let lasting = pool.workers.iter().filter(|worker| !worker.on_demand).count();
        assert!(lasting >= 1, "{}", pool.name);
        if let Workers::Count(count) = wish.workers {
            assert_eq!(lasting, count);
        }
        assert_eq!(pool.workers.len(), lasting.max(wish.max_workers));
    }
    if placement.floating.is_none() {
        let sets = [&placement.reserved, &placement.idle_siblings, &placement.unused];
        let mut all: Vec<usize> = sets.into_iter().flatten().copied().collect();
        all.extend(load.keys());
        all.sort_unstable();
        assert_eq!(all, placement.usable, "every CPU is accounted for, once");
        let crowded = load.values().any(|&count| count > 1);
        let noted = placement.notes.iter().any(|note| note.message.contains("processes"));
        let limited = placement.notes.iter().any(|note| note.message.contains("allowed"));
        assert!(!crowded || noted || limited, "sharing is told");
    }
    let explicit = wishes.shards != CpuWish::Auto
        || wishes.pools.iter().any(|pool| pool.cores.is_some() || pool.workers != Workers::Auto);
    if !explicit {
        let own = workers.filter(|worker| !worker.on_demand && !on_shard(placement, worker));
        let most = placement.budget.max(1 + wishes.pools.len());
        assert!(placement.shards.len() + own.count() <= most, "more than the budget");
    }
}

fn on_shard(placement: &Placement, worker: &WorkerPlace) -> bool {
    worker.cpu.is_some() && placement.shards.iter().any(|shard| shard.cpu == worker.cpu)
}
