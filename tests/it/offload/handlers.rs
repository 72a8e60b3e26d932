//! Handlers that do the worst: their request gets an answer, their worker is replaced where it
//! must be, the log says what happened, and nobody else notices.

use super::ask::Ask;
use super::clients::ask_all;
use super::ledger::Fate;
use super::{CLIENTS, Pool, demo, mixed};
use crate::harness::process::Process;
use crate::harness::{heavy, wait_until};

/// What becomes of the worker.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Worker {
    Dies,
    Lives,
}

#[track_caller]
fn check(target: &str, statuses: &[u16], worker: Worker, log: &[&str]) {
    check_in(&Pool::start(demo()), target, statuses, worker, log);
}

/// Asks for it, and looks at everything that must follow.
#[track_caller]
fn check_in(pool: &Pool, target: &str, statuses: &[u16], fate: Worker, log: &[&str]) {
    let _alone = heavy();
    let before = pool.workers();
    let said = pool.server.stderr().len();
    let ledger = ask_all(pool.server.address, 1, vec![Ask::get("worst", target, "")]);
    ledger.expect(
        target,
        |entry| matches!(entry.fate, Fate::Answered(status) if statuses.contains(&status)),
    );
    if fate == Worker::Dies {
        let lost: Vec<Process> = before.iter().filter(|worker| is_gone(worker)).cloned().collect();
        wait_until("a worker is replaced", || {
            let now = pool.workers();
            now.len() == before.len() && before.iter().any(|worker| !now.contains(worker))
        });
        assert!(lost.len() <= 1, "{target} cost more than one worker: {lost:?}");
    } else {
        assert_eq!(pool.workers(), before, "{target} costs no worker");
    }
    let with = |line: &str| log.iter().all(|word| line.contains(word));
    wait_until(&format!("the log says {log:?}"), || pool.server.stderr()[said..].lines().any(with));
    // Everybody else, and whoever comes next.
    let others = ask_all(pool.server.address, CLIENTS, (0..100).map(mixed).collect());
    others.expect_all_right(&format!("after {target}"));
    pool.expect_as_before(target);
}

fn is_gone(worker: &Process) -> bool {
    !crate::harness::process::is_alive(worker.pid)
}

#[test]
fn a_panic_costs_its_request_alone() {
    check("/crash/panic", &[500], Worker::Lives, &["panic", "/crash/{how}"]);
}

#[test]
fn an_exit_costs_one_worker() {
    check("/exit", &[502], Worker::Dies, &["cpu/", "/exit", "ran_ms"]);
}

#[test]
fn an_abort_costs_one_worker() {
    check("/crash", &[502], Worker::Dies, &["cpu/", "/crash", "ABRT", "ran_ms"]);
}

#[test]
fn a_segmentation_fault_costs_one_worker() {
    check("/crash/segv", &[502], Worker::Dies, &["cpu/", "/crash/{how}", "SEGV", "ran_ms"]);
}

#[test]
fn a_stack_overflow_costs_one_worker() {
    check("/crash/stack", &[502], Worker::Dies, &["cpu/", "/crash/{how}", "signal ", "ran_ms"]);
}

#[test]
fn no_memory_costs_one_worker() {
    check("/crash/memory", &[502], Worker::Dies, &["cpu/", "/crash/{how}", "signal ", "ran_ms"]);
}

#[test]
fn closed_descriptors_cost_one_worker_at_most() {
    let pool = Pool::start(demo());
    let before = pool.workers();
    let asks = vec![Ask::get("worst", "/crash/descriptors", "")];
    let ledger = ask_all(pool.server.address, 1, asks);
    ledger.expect("closed descriptors", |entry| {
        matches!(entry.fate, Fate::Answered(200 | 500 | 502 | 504))
    });
    wait_until("a worker that cannot be woken is replaced", || {
        let now = pool.workers();
        now.len() == before.len() && before.iter().any(|worker| !now.contains(worker))
    });
    pool.expect_as_before("closed descriptors");
}

#[test]
fn an_endless_loop_costs_one_worker() {
    let demo = demo().set("pool.cpu.request.timeout", "1s").set("pool.cpu.request.force", "300ms");
    let log = ["cpu/", "/hang", "ABRT", "ran_ms"];
    check_in(&Pool::start(demo), "/hang", &[504], Worker::Dies, &log);
}
