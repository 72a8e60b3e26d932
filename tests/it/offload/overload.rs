//! More work than there are workers for.

use std::time::{Duration, Instant};

use super::ask::Ask;
use super::clients::{Load, ask_all};
use super::ledger::{Entry, Fate};
use super::{Pool, demo};
use crate::harness::traffic::{Style, Traffic};
use crate::harness::{heavy, process};

/// CPU time of a job.
const BURN: Duration = Duration::from_millis(10);
/// Three in the time that one of them takes.
const EVERY: Duration = Duration::from_micros(3333);
const COUNT: u32 = 900;

#[test]
fn three_times_as_much_as_one_worker_can_do() {
    let _alone = heavy();
    let pool = Pool::start(demo().workers(1).set("pool.cpu.queue-wait", "400ms"));
    let worker = pool.worker(0).unwrap();
    let inline = Traffic::start(pool.server.address, 1, Style::KeepAlive);
    let (began, before) = (Instant::now(), process::cpu_time(worker.pid));
    let load = Load::open(pool.server.address, 300, EVERY, COUNT, |_| Ask::burn(100));
    let ledger = load.wait();
    let (took, spent) = (began.elapsed(), process::cpu_time(worker.pid) - before);
    inline.finish().expect_all_answered();
    // Each 503 has its Retry-After, or it would count as wrong.
    let refused = |entry: &Entry| entry.fate == Fate::Answered(503);
    ledger.expect("overload", |entry| entry.is_right() || refused(entry));
    let right = ledger.count(Entry::is_right);
    assert!(ledger.count(refused) > 0, "three times too much, and nobody was refused");
    println!("{right} right in {took:?}, for which the worker computed {spent:?}");
    let useful = BURN * u32::try_from(right).unwrap();
    assert!(useful >= spent.mul_f64(0.9), "{useful:?} of work was wanted, {spent:?} was done");
    // Refusing is not for lack of trying: the queue was never empty.
    let waited = ledger.count(|entry| entry.is_right() && entry.took > 3 * BURN);
    assert!(waited * 2 > right, "only {waited} of {right} had to wait");
    pool.expect_as_before("overload");
    pool.server.stop();
}

#[test]
fn more_at_once_than_slots_and_queue_take() {
    let _alone = heavy();
    let pool = Pool::start(demo());
    let room = pool.demo.slots + super::QUEUE;
    // All of them at the same time: what finds no room is told so at once.
    let asks = vec![Ask::sleep(1500); 2 * room];
    let ledger = ask_all(pool.server.address, 2 * room, asks);
    ledger.expect("too many", |entry| entry.is_right() || entry.fate == Fate::Answered(503));
    let right = ledger.count(Entry::is_right);
    assert!(right >= room, "{right} of {room} that had room were served");
    assert!(right < 2 * room, "all of {} were served, with room for {room}", 2 * room);
    pool.expect_as_before("too many");
    pool.server.stop();
}
