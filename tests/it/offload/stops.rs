//! Processes that stand still, and answers that come too late.

use std::time::Duration;

use rustix::process::Signal;

use super::ask::Ask;
use super::clients::ask_all;
use super::ledger::{Entry, Fate};
use super::{CLIENTS, Pool, WORKERS, demo, died_at_most, kill, stop, story, times};
use crate::harness::process::{self, Process};
use crate::harness::{heavy, pause, send_signal, wait_for_exit, wait_until};

/// Stops some workers for a while, again and again; they are still the same afterwards.
fn stop_for_a_while(pool: &Pool, count: usize) {
    let workers = pool.workers();
    for round in 0..times(4) {
        let stopped: Vec<&Process> = workers.iter().cycle().skip(round).take(count).collect();
        stopped.iter().for_each(|worker| stop(worker));
        pause(Duration::from_millis(300));
        stopped.iter().for_each(|worker| send_signal(worker.pid, Signal::CONT));
        pause(Duration::from_millis(50));
    }
    assert_eq!(pool.workers(), workers, "a stopped worker is not a dead one");
}

#[test]
fn a_worker_stopped_and_continued_loses_nothing() {
    story("stops of one", demo(), Entry::is_right, |pool| stop_for_a_while(pool, 1));
}

#[test]
fn all_workers_stopped_and_continued_lose_nothing() {
    story("stops of all", demo(), Entry::is_right, |pool| stop_for_a_while(pool, WORKERS));
}

/// What a deadline may do beside a death: 504 to who was in the worker, 503 to who still waited.
fn late_at_most(entry: &Entry) -> bool {
    died_at_most(entry) || matches!(entry.fate, Fate::Answered(503 | 504))
}

#[test]
fn a_worker_that_stays_stopped_is_ended_at_the_deadline_of_its_job() {
    let demo = demo().deadline(Duration::from_secs(1));
    let demo = demo.set("pool.cpu.request.force", "300ms").set("pool.cpu.request.idle", "1s");
    story("a worker that stays stopped", demo, late_at_most, |pool| {
        let worker = pool.worker(0).unwrap();
        // A stopped worker without a job harms nobody, and nobody ends it: stop one that works.
        for _ in 0..100 {
            stop(&worker);
            if wait_for_exit(worker.pid, Duration::from_secs(4)) {
                break;
            }
            send_signal(worker.pid, Signal::CONT);
            pause(Duration::from_millis(50));
        }
        pool.expect_replaced(&worker);
        let kept = pool.worker(1).unwrap();
        assert!(process::is_alive(kept.pid));
    });
}

#[test]
fn a_deadline_that_passes_before_a_late_return() {
    let _alone = heavy();
    let demo = demo().deadline(Duration::from_secs(1)).set("pool.cpu.request.force", "60s");
    let pool = Pool::start(demo);
    let workers = pool.workers();
    for round in 0..times(2) {
        let asks = vec![Ask::burn(20_000), Ask::burn(20_000), Ask::sleep(2000), Ask::sleep(2000)];
        let ledger = ask_all(pool.server.address, CLIENTS, asks);
        // Who still waits for a worker when his time is up never begins: 503. Somebody began.
        let late = |entry: &Entry| entry.fate == Fate::Answered(504);
        let waited = |entry: &Entry| entry.fate == Fate::Answered(503);
        ledger.expect("too late", |entry| late(entry) || waited(entry));
        assert!(ledger.count(late) > 0, "round {round}: nobody was late");
        wait_until("the pool takes jobs again", || {
            let asks = (0..20).map(|_| Ask::burn(2)).collect();
            ask_all(pool.server.address, CLIENTS, asks).count(Entry::is_right) == 20
        });
    }
    assert_eq!(pool.workers(), workers, "who returns in time for `force` lives on");
    pool.expect_as_before("late returns");
    pool.server.stop();
}

/// A worker dies while the supervisor stands still, and nobody can say so.
#[test]
fn a_supervisor_that_is_stopped() {
    // Ten seconds where there is time for them.
    let span = Duration::from_secs(times(2).min(10) as u64);
    story("a stopped supervisor", demo(), died_at_most, |pool| {
        let supervisor = pool.server.pid();
        let shards = pool.server.shards();
        pause(Duration::from_millis(200));
        send_signal(supervisor, Signal::STOP);
        wait_until("it is stopped", || process::is_stopped(supervisor));
        let (worker, kept) = (pool.worker(0).unwrap(), pool.worker(1).unwrap());
        pause(span / 2);
        kill(worker.pid);
        pause(span / 2);
        send_signal(supervisor, Signal::CONT);
        pool.expect_replaced(&worker);
        assert_eq!(pool.worker(1), Some(kept), "nobody else is to blame");
        assert_eq!(pool.server.shards(), shards);
    });
}
