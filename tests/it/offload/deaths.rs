//! Workers and shards that are killed with jobs in hand.

use std::time::Duration;

use rustix::process::Signal;

use super::ask::scatter;
use super::clients::Load;
use super::ledger::{Entry, Fate};
use super::{CLIENTS, Pool, WORKERS, beside, demo, died_at_most, kill, mixed, story, times};
use crate::harness::process;
use crate::harness::{heavy, pause, send_signal, wait_until};

/// Workers die at random, some of them before they are ready.
fn kill_at_random(pool: &Pool, kills: usize) {
    let mut killed = 0;
    for round in 0.. {
        if killed == kills {
            return;
        }
        pause(Duration::from_millis(200));
        killed += usize::from(pool.kill(scatter(round) as usize % WORKERS));
    }
}

/// A plain handler runs alone in its worker, so that no death costs more than one of them.
#[track_caller]
fn expect_one_burn_a_death(ledger: &super::Ledger, kills: usize) {
    let lost = ledger.count(|entry| entry.kind == "burn" && !entry.is_right());
    assert!(lost <= kills, "{lost} burns were lost in {kills} deaths");
}

#[test]
fn workers_killed_at_random() {
    let kills = times(12);
    let ledger = story("random deaths", demo(), died_at_most, |pool| kill_at_random(pool, kills));
    expect_one_burn_a_death(&ledger, kills);
}

#[test]
fn all_workers_killed_at_once() {
    let rounds = times(5);
    let ledger = story("deaths of all", demo(), died_at_most, |pool| {
        for _ in 0..rounds {
            let workers = pool.workers();
            for worker in &workers {
                kill(worker.pid);
            }
            workers.iter().for_each(|worker| pool.expect_replaced(worker));
            pause(Duration::from_millis(100));
        }
    });
    expect_one_burn_a_death(&ledger, rounds * WORKERS);
}

#[test]
fn the_same_worker_killed_twenty_times_as_it_comes_back() {
    let deaths = times(20);
    let ledger = story("twenty deaths of one", demo(), died_at_most, |pool| {
        let mut last = 0;
        for _ in 0..deaths {
            wait_until("it is back", || {
                let worker = pool.worker(0).filter(|worker| worker.pid != last);
                last = worker.as_ref().map_or(last, |worker| worker.pid);
                worker.is_some()
            });
            kill(last);
        }
    });
    expect_one_burn_a_death(&ledger, deaths);
}

#[test]
fn a_worker_that_dies_twice_between_two_looks_of_the_shard() {
    let rounds = times(3);
    let demo = demo().set("server.shard-stall", "120s");
    let ledger = story("two deaths between two looks", demo, died_at_most, |pool| {
        let shard = pool.server.shards()[0].pid;
        for _ in 0..rounds {
            pause(Duration::from_millis(100));
            send_signal(shard, Signal::STOP);
            wait_until("the shard is stopped", || process::is_stopped(shard));
            for _ in 0..2 {
                let worker = pool.worker(0).expect("the worker lives");
                kill(worker.pid);
                pool.expect_replaced(&worker);
            }
            send_signal(shard, Signal::CONT);
        }
        assert_eq!(pool.server.shards()[0].pid, shard, "a stopped shard is not a dead one");
    });
    expect_one_burn_a_death(&ledger, rounds * WORKERS);
}

/// Whose shard dies loses the connection, and nothing else happens.
fn shard_died_at_most(entry: &Entry) -> bool {
    entry.is_right() || matches!(entry.fate, Fate::Cut | Fate::Lost)
}

#[test]
fn a_shard_killed_with_jobs_in_flight() {
    let _alone = heavy();
    let pool = Pool::start(demo());
    let workers = pool.workers();
    let load = Load::endless(pool.server.address, CLIENTS, mixed);
    let deaths = times(6);
    for _ in 0..deaths {
        pause(Duration::from_millis(250));
        let shard = pool.server.shards()[0].pid;
        send_signal(shard, Signal::KILL);
        wait_until("the shard is replaced", || {
            pool.server.shards().first().is_some_and(|now| now.pid != shard)
        });
    }
    let ledger = load.finish();
    ledger.expect("deaths of the shard", shard_died_at_most);
    let lost = ledger.count(|entry| !entry.is_right());
    assert!(lost <= deaths * CLIENTS, "{lost} were lost in {deaths} deaths");
    assert_eq!(pool.workers(), workers, "no worker dies with a shard");
    pool.expect_as_before("deaths of the shard");
    pool.server.stop();
}

#[test]
fn shard_and_worker_killed_together() {
    let _alone = heavy();
    let pool = Pool::start(demo());
    let load = Load::endless(pool.server.address, CLIENTS, mixed);
    for round in 0..times(6) {
        pause(Duration::from_millis(200));
        let shard = pool.server.shards()[0].pid;
        if round % 2 == 0 {
            pool.kill(round % WORKERS);
        }
        send_signal(shard, Signal::KILL);
        pool.kill((round + 1) % WORKERS);
        wait_until("the shard is replaced", || {
            pool.server.shards().first().is_some_and(|now| now.pid != shard)
        });
    }
    let allowed = |entry: &Entry| shard_died_at_most(entry) || died_at_most(entry);
    load.finish().expect("deaths of shard and worker", allowed);
    pool.expect_as_before("deaths of shard and worker");
    pool.server.stop();
}

#[test]
fn everything_killed_and_stopped_at_random() {
    let _alone = heavy();
    let demo = demo().set("server.shard-stall", "120s");
    let pool = Pool::start(demo);
    let allowed = |entry: &Entry| shard_died_at_most(entry) || died_at_most(entry);
    let load = Load::endless(pool.server.address, CLIENTS, mixed);
    for round in 0..times(30) as u64 {
        pause(Duration::from_millis(100));
        let dice = scatter(round);
        let targets = [pool.worker(0), pool.worker(1), pool.server.shards().into_iter().next()];
        let Some(target) = &targets[(dice >> 8) as usize % targets.len()] else { continue };
        if dice.is_multiple_of(3) && process::is_alive(target.pid) {
            send_signal(target.pid, Signal::STOP);
            pause(Duration::from_millis(dice >> 16 & 0xff));
            send_signal(target.pid, Signal::CONT);
        } else {
            kill(target.pid);
        }
    }
    load.finish().expect("many faults", allowed);
    pool.expect_as_before("many faults");
    beside(&pool, "after many faults", Entry::is_right, |_| pause(Duration::from_secs(1)));
    pool.server.stop();
}
