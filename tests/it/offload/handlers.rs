//! Handlers that do the worst: their request gets an answer, their worker is replaced where it
//! must be, the log says what happened, and nobody else notices.

use std::time::Duration;

use super::ask::Ask;
use super::clients::ask_all;
use super::ledger::Fate;
use super::{CLIENTS, Pool, demo, mixed};
use crate::harness::{heavy, wait_until};

/// What becomes of the worker.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Worker {
    Dies,
    Lives,
}

/// Asks for it, and looks at everything that must follow.
#[track_caller]
fn check(pool: &Pool, target: &str, statuses: &[u16], fate: Worker, log: &[&str]) {
    let before = pool.workers();
    let said = pool.server.stderr().len();
    let ledger = ask_all(pool.server.address, 1, vec![Ask::get("worst", target, "")]);
    ledger.expect(
        target,
        |entry| matches!(entry.fate, Fate::Answered(status) if statuses.contains(&status)),
    );
    if fate == Worker::Dies {
        wait_until(&format!("a worker is replaced after {target}"), || {
            let now = pool.workers();
            now.len() == before.len() && before.iter().any(|worker| !now.contains(worker))
        });
    }
    let with = |line: &str| log.iter().all(|word| line.contains(word));
    wait_until(&format!("the log says {log:?}"), || pool.server.stderr()[said..].lines().any(with));
    // Everybody else, and whoever comes next.
    let others = ask_all(pool.server.address, CLIENTS, (0..50).map(mixed).collect());
    others.expect_all_right(&format!("after {target}"));
    let now = pool.workers();
    let kept = before.iter().filter(|worker| now.contains(worker)).count();
    let lost = usize::from(fate == Worker::Dies);
    assert_eq!(before.len() - kept, lost, "workers that {target} cost: {before:?}, now {now:?}");
}

#[test]
fn every_way_in_which_a_handler_can_fail_costs_its_own_request_alone() {
    let _alone = heavy();
    let pool = Pool::start(demo());
    let panic = ["\"panic\"", "GET /crash/panic (route GET /crash/{how})"];
    check(&pool, "/crash/panic", &[500], Worker::Lives, &panic);
    let job = |rest: [&'static str; 2]| ["a job died", "cpu/", "ran_ms", rest[0], rest[1]];
    check(&pool, "/exit", &[502], Worker::Dies, &job(["GET /exit", "exit code 0"]));
    check(&pool, "/crash", &[502], Worker::Dies, &job(["GET /crash", "ABRT"]));
    let crash = |signal| job(["GET /crash/{how}", signal]);
    check(&pool, "/crash/segv", &[502], Worker::Dies, &crash("SEGV"));
    check(&pool, "/crash/stack", &[502], Worker::Dies, &crash("signal"));
    check(&pool, "/crash/memory", &[502], Worker::Dies, &crash("ABRT"));
    // Its answer may be on its way before it falls over the first descriptor that is missing.
    let closed = ["worker died", "cpu/"];
    check(&pool, "/crash/descriptors", &[200, 502], Worker::Dies, &closed);
    pool.expect_as_before("everything that a handler can do wrong");
    pool.server.stop();
}

#[test]
fn an_endless_loop_is_answered_at_its_deadline_and_costs_one_worker() {
    let _alone = heavy();
    let demo = demo().deadline(Duration::from_secs(2)).set("pool.cpu.request.force", "300ms");
    let pool = Pool::start(demo);
    let log = ["does not come back", "cpu/", "ran_ms", "GET /hang"];
    check(&pool, "/hang", &[504], Worker::Dies, &log);
    pool.expect_as_before("an endless loop");
    pool.server.stop();
}
