//! Clients that leave at the wrong moment, read slowly, or write slowly, beside others.

use std::time::Duration;

use super::ask::{Ask, Leave, scatter};
use super::clients::{Load, ask_all};
use super::ledger::{Entry, Fate};
use super::{BLOCK_BYTES, CLIENTS, Pool, WORKERS, beside, demo, story, times};
use crate::harness::{heavy, need_descriptors, pause, process, wait_until};

/// Somebody who leaves: before the request is complete, while it waits or runs, while the answer
/// comes, or when all of it is here.
fn leaver(id: u64) -> Ask {
    let dice = scatter(id);
    let pick = dice >> 32;
    let soon = Leave::After(Duration::from_millis(pick % 30));
    let ask = match dice % 8 {
        0 => Ask::burn(50 + pick % 100).leaving(soon),
        1 => Ask::sleep(1000).leaving(soon),
        2 => Ask::echo(200_000).leaving(Leave::Sent(pick % 200_000)),
        3 => Ask::echo_in_chunks(5000).leaving(Leave::Sent(pick % 5000)),
        4 => Ask::echo(3 << 20).leaving(Leave::Received(1 + pick % (1 << 20))),
        5 => Ask::stream(100, BLOCK_BYTES).leaving(Leave::Received(1 + pick % (4 << 20))),
        6 => Ask::echo(2 << 20).leaving(soon),
        _ => Ask::echo(100).leaving(Leave::Received(1)),
    };
    ask.called("leaver")
}

#[test]
fn clients_that_leave_before_while_and_after() {
    story("clients that leave", demo(), Entry::is_right, |pool| {
        let asks = (0..times(400) as u64).map(leaver).collect();
        let ledger = ask_all(pool.server.address, 16, asks);
        ledger.expect("leavers", |entry| entry.is_right() || entry.fate == Fate::Left);
        let left = ledger.count(|entry| entry.fate == Fate::Left);
        assert!(left > 100, "only {left} left");
    });
}

#[test]
fn jobs_whose_clients_are_gone_never_begin() {
    let _alone = heavy();
    let pool = Pool::start(demo());
    let time = || pool.workers().iter().map(|worker| process::cpu_time(worker.pid)).sum();
    let before: Duration = time();
    let busy = Load::once(pool.server.address, WORKERS, vec![Ask::burn(15_000); WORKERS]);
    wait_until("both workers are busy", || time() > before + Duration::from_millis(200));
    let gone = Ask::burn(10_000).leaving(Leave::After(Duration::from_millis(100)));
    let ledger = ask_all(pool.server.address, 40, vec![gone; 40]);
    ledger.expect("clients that are gone", |entry| entry.fate == Fate::Left);
    busy.wait().expect_all_right("those that stayed");
    ask_all(pool.server.address, 2, vec![Ask::burn(2); 20]).expect_all_right("behind them");
    // Two jobs of 1.5 s were wanted, forty of 1 s were not.
    let spent = time() - before;
    assert!(spent < Duration::from_secs(8), "{spent:?} of CPU: jobs for nobody were run");
    pool.expect_as_before("clients that are gone");
    pool.server.stop();
}

const CROWD: usize = 100;

/// Whether this one of the crowd stays until its end: every fifth does.
fn stays(index: usize) -> bool {
    index.is_multiple_of(5)
}

#[test]
fn a_hundred_slow_readers_of_ten_megabytes() {
    need_descriptors(1000);
    let _alone = heavy();
    let mut pool = Pool::start(demo().slots(256));
    // The shard keeps some buffers of a crowd; another crowd needs no more than those.
    slow_readers(&pool);
    pool.rest = pool.at_rest();
    beside(&pool, "slow readers", Entry::is_right, slow_readers);
    pool.expect_as_before("slow readers");
    pool.server.stop();
}

fn slow_readers(pool: &Pool) {
    let span = Duration::from_millis(1500);
    let before = pool.server.memory_bytes();
    let asks = (0..CROWD).map(|index| {
        let ask = match index % 2 {
            0 => Ask::stream(160, BLOCK_BYTES),
            _ => Ask::echo(10 << 20),
        };
        let ask = ask.reading(8 << 10).called("slow");
        if stays(index) { ask.hurrying_after(span) } else { ask.leaving(Leave::After(span)) }
    });
    let slow = Load::once(pool.server.address, CROWD, asks.collect());
    let mut most = 0;
    while !slow.has_ended() {
        most = most.max(pool.server.memory_bytes());
        pause(Duration::from_millis(50));
    }
    let slow = slow.wait();
    slow.expect("slow", |entry| entry.is_right() || entry.fate == Fate::Left);
    assert_eq!(slow.count(Entry::is_right), CROWD / 5, "who stays gets all of it");
    // Unbounded it would be ten megabytes each. What is bounded: its part of what a shard copies
    // for slow readers (16 MiB in all), and on its way in, in the worker and on its way out a
    // channel of 64 KiB each, in buffers that an allocator rounds up.
    let each = most.saturating_sub(before) / CROWD as u64;
    println!("{each} bytes of the server for each slow reader");
    assert!(each <= 1 << 20, "{each} bytes of the server for a client that reads slowly");
}

#[test]
fn a_hundred_slow_writers() {
    need_descriptors(1000);
    story("slow writers", demo().slots(256), Entry::is_right, |pool| {
        let asks = (0..CROWD).map(|index| {
            let ask = if index % 2 == 0 { Ask::echo(12_000) } else { Ask::echo_in_chunks(12_000) };
            let ask = ask.writing(400).called("slow");
            if stays(index) { ask } else { ask.leaving(Leave::Sent(6000 + 20 * index as u64)) }
        });
        let slow = ask_all(pool.server.address, CROWD, asks.collect());
        slow.expect("slow", |entry| entry.is_right() || entry.fate == Fate::Left);
        assert_eq!(slow.count(Entry::is_right), CROWD / 5, "who stays is answered");
    });
}

#[test]
fn slow_bodies_hold_no_worker() {
    let _alone = heavy();
    let pool = Pool::start(demo().workers(1));
    let asks = vec![Ask::echo(2000).writing(100).called("slow"); 20];
    let slow = Load::once(pool.server.address, 20, asks);
    let mut answered = 0;
    while !slow.has_ended() {
        let ledger = ask_all(pool.server.address, CLIENTS, vec![Ask::burn(2); 20]);
        ledger.expect_all_right("beside slow bodies");
        answered += 20;
    }
    slow.wait().expect_all_right("slow bodies");
    assert!(answered >= 40, "others waited for slow bodies: {answered} were answered");
    pool.expect_as_before("slow bodies");
    pool.server.stop();
}
