//! Placement: what the start says is what the kernel says, for every thread of every process.

use std::collections::BTreeSet;

use crate::harness::process::{self as proc, Process};
use crate::harness::{Launch, Server, wait_until};

/// CPUs that the test may use, ascending.
fn allowed() -> Vec<usize> {
    let own = std::process::id();
    list(&proc::task_status(own, own, "Cpus_allowed_list").unwrap())
}

/// With the start screen of people, which names the CPUs.
fn demo() -> Launch {
    Launch::demo().set("log.format", "pretty")
}

/// `0-3,8`.
fn list(text: &str) -> Vec<usize> {
    let ranges = text.split(',').map(|part| part.split_once('-').unwrap_or((part, part)));
    ranges.flat_map(|(first, last)| first.parse().unwrap()..=last.parse().unwrap()).collect()
}

/// The CPUs behind `shards` on the start screen.
fn announced(server: &Server) -> Vec<usize> {
    let screen = server.stderr();
    let line = screen.lines().find(|line| line.trim_start().starts_with("shards")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| word.starts_with("CPU")).unwrap();
    list(words[at + 1])
}

/// Has the shards start the threads that they start late: one for blocking calls, and those of
/// the kernel for files.
fn busy(server: &Server) {
    for _ in 0..8 {
        let mut client = server.client();
        for path in ["/block/1", "/file", "/block/1"] {
            client.get(path).unwrap_or_else(|fault| panic!("{path}: {fault}"));
        }
    }
}

/// Every thread of a process may run on exactly these CPUs, runs there, and is scheduled like
/// every other process.
#[track_caller]
fn expect_tasks(pid: u32, who: &str, cpus: &[usize]) {
    let tasks = proc::tasks(pid);
    assert!(!tasks.is_empty(), "{who} has threads");
    for tid in tasks {
        // A helper thread of the kernel may end meanwhile.
        let Some(mask) = proc::task_status(pid, tid, "Cpus_allowed_list") else { continue };
        let name = proc::task_status(pid, tid, "Name");
        assert_eq!(list(&mask), cpus, "{who}, thread {tid} {name:?}");
        let Some((cpu, policy)) = proc::task_scheduled(pid, tid) else { continue };
        assert!(cpus.contains(&cpu), "{who}, thread {tid} {name:?} ran on CPU {cpu}");
        assert_eq!(policy, 0, "{who}, thread {tid} {name:?} has the usual scheduler");
    }
}

/// Returns the CPUs of the shards, in the order of their index.
#[track_caller]
fn expect_as_announced(server: &Server, usable: &[usize]) -> Vec<usize> {
    busy(server);
    let announced = announced(server);
    wait_until("every shard is there", || server.shards().len() == announced.len());
    for (shard, cpu) in server.shards().iter().zip(&announced) {
        expect_tasks(shard.pid, &shard.comm, &[*cpu]);
        assert!(proc::tasks(shard.pid).len() > 1, "the executor has a second thread");
    }
    assert!(announced.iter().all(|cpu| usable.contains(cpu)));
    let distinct: BTreeSet<_> = announced.iter().collect();
    assert_eq!(distinct.len(), announced.len(), "no CPU has two shards");
    // The supervisor is on the reserve, or else anywhere.
    let pid = server.pid();
    let mask = list(&proc::task_status(pid, pid, "Cpus_allowed_list").unwrap());
    expect_tasks(pid, "supervisor", &mask);
    assert!(mask == usable || mask.iter().all(|cpu| !announced.contains(cpu)), "{mask:?}");
    announced
}

#[test]
fn one_shard_on_each_core() {
    let server = demo().start();
    expect_as_announced(&server, &allowed());
    server.stop();
}

#[test]
fn one_shard() {
    let server = demo().shards(1).start();
    assert_eq!(expect_as_announced(&server, &allowed()).len(), 1);
    server.stop();
}

#[test]
fn a_shard_on_a_cpu_by_number() {
    let last = *allowed().last().unwrap();
    let server = demo().set("cores.shards", &format!("{last}-{last}")).start();
    assert_eq!(expect_as_announced(&server, &allowed()), [last]);
    server.stop();
}

#[test]
fn a_reduced_mask_is_obeyed() {
    let last = *allowed().last().unwrap();
    let server = demo().on_cpus(&[last]).start();
    assert_eq!(expect_as_announced(&server, &[last]), [last]);
    let first = allowed()[0];
    if first != last {
        let wished = format!("{first}-{first}");
        let refused = demo().on_cpus(&[last]).set("cores.shards", &wished).run();
        refused.expect_code(78);
        let reason = format!("CPU {first} cannot be used: outside of the affinity mask");
        assert!(refused.stderr.contains(&reason), "{}", refused.stderr);
    }
    server.stop();
}

#[test]
fn a_replaced_shard_is_where_the_first_one_was() {
    let server = demo().shards(1).start();
    let cpus = expect_as_announced(&server, &allowed());
    let before = server.shards();
    crate::harness::send_signal(before[0].pid, rustix::process::Signal::KILL);
    let replaced = |shards: &[Process]| shards.first().is_some_and(|shard| *shard != before[0]);
    wait_until("the shard is replaced", || replaced(&server.shards()));
    assert_eq!(expect_as_announced(&server, &allowed()), cpus);
    server.stop();
}
