//! Jobs in worker processes as their clients see them: whatever happens to workers, shards, the
//! supervisor or other clients, every request has exactly one end, and only one that is allowed;
//! inline routes answer throughout; and afterwards everything is as it was before.
//!
//! `clients` asks and keeps the `ledger`; the other files are the stories. Each story has a server
//! of its own, and holds the lock of the tests that load the machine.

mod ask;
mod bodies;
mod clients;
mod deaths;
mod handlers;
mod ledger;
mod overload;
mod peers;
mod reader;
mod selfcheck;
mod stops;

use std::time::{Duration, Instant};

use rustix::process::Signal;

use ask::{Ask, scatter};
use clients::{Load, ask_all};
use ledger::{Entry, Fate, Ledger};

use crate::harness::process::{self, Process};
use crate::harness::traffic::{Style, Traffic};
use crate::harness::{Launch, Server, pause, send_signal, wait_until};

/// The demo with one shard and a pool whose slots are so few that a test can fill all of them.
#[derive(Clone, Debug)]
struct Demo {
    launch: Launch,
    workers: usize,
    slots: usize,
}

/// Two workers, 32 slots. The allocator gives back at once what nobody uses, so that whatever it
/// has is in use.
fn demo() -> Demo {
    let launch = Launch::demo().shards(1).environment("MIMALLOC_PURGE_DELAY", "0");
    Demo { launch, workers: WORKERS, slots: 32 }
        .set("pool.cpu.queue", &QUEUE.to_string())
        .set("pool.cpu.queue-wait", "20s")
        .set("pool.cpu.restart.backoff", "10ms..100ms")
}

impl Demo {
    fn set(self, key: &str, value: &str) -> Demo {
        Demo { launch: self.launch.set(key, value), ..self }
    }

    fn workers(self, workers: usize) -> Demo {
        Demo { workers, ..self }
    }

    fn slots(self, slots: usize) -> Demo {
        Demo { slots, ..self }
    }

    /// A request may take so long, and wait for almost all of that.
    fn deadline(self, span: Duration) -> Demo {
        let (most, ms) = (span.mul_f64(0.9).as_millis(), span.as_millis());
        let demo = self.set("pool.cpu.request.timeout", &format!("{ms}ms"));
        demo.set("pool.cpu.queue-wait", &format!("{most}ms"))
    }

    fn launch(&self) -> Launch {
        let launch = self.launch.clone().set("pool.cpu.workers", &self.workers.to_string());
        launch.set("pool.cpu.slots", &self.slots.to_string())
    }
}

/// A server with its pool.
#[derive(Debug)]
struct Pool {
    server: Server,
    demo: Demo,
    /// When nobody wanted anything.
    rest: Vec<Holding>,
    /// Of what a small job took then.
    median: Duration,
}

impl Pool {
    /// Starts it, and lets everybody do everything once.
    fn start(demo: Demo) -> Pool {
        let server = demo.launch().start();
        server.expect_workers(demo.workers);
        warm_up(&server);
        let median = median(&server);
        let mut pool = Pool { rest: vec![], median, demo, server };
        pool.expect_all_slots_free();
        pool.rest = pool.at_rest();
        pool
    }

    /// What everybody holds once no client is there.
    #[track_caller]
    fn at_rest(&self) -> Vec<Holding> {
        wait_until("all connections are closed", || {
            let sockets = process::sockets(self.server.address.port());
            sockets.iter().all(|socket| socket.listening)
        });
        self.server.tree().into_iter().map(Holding::of).collect()
    }

    /// The living workers in the order of their index.
    fn workers(&self) -> Vec<Process> {
        self.server.workers(POOL)
    }

    fn worker(&self, index: usize) -> Option<Process> {
        self.workers().into_iter().find(|worker| worker.worker(POOL) == Some(index))
    }

    /// Kills a worker, if it lives.
    fn kill(&self, index: usize) -> bool {
        let worker = self.worker(index);
        worker.is_some_and(|worker| kill(worker.pid))
    }

    /// Waits until another process has the place of this one.
    #[track_caller]
    fn expect_replaced(&self, old: &Process) {
        wait_until(&format!("{} is replaced", old.comm), || {
            let index = old.worker(POOL).expect("a worker");
            self.worker(index).is_some_and(|worker| worker.pid != old.pid)
        });
    }

    /// Every slot and every place of the queue takes a job, at the same time.
    #[track_caller]
    fn expect_all_slots_free(&self) {
        let all = self.demo.slots + QUEUE;
        wait_until("all slots are free", || {
            let asks = (0..all).map(|_| Ask::sleep(200)).collect();
            let ledger = ask_all(self.server.address, all, asks);
            let right = ledger.count(Entry::is_right);
            if right < all {
                println!("not all slots are free yet: {}", ledger.summary());
            }
            right == all
        });
    }

    /// Workers, slots, blocks, descriptors, memory and latency.
    #[track_caller]
    fn expect_as_before(&self, what: &str) {
        wait_until("the pool is whole", || self.workers().len() == self.demo.workers);
        expect_everything(&self.server, &format!("after {what}"));
        self.expect_all_slots_free();
        let median = median(&self.server);
        println!("{what}: median of a small job {:?} before, {median:?} after", self.median);
        // Far above what any job takes that waits for nothing, far below any timeout.
        let bound = (20 * self.median).max(Duration::from_millis(150));
        assert!(median <= bound, "a small job took {:?} before and takes {median:?}", self.median);
        let mut now = self.at_rest();
        // The kernel closes and the allocators give back a little later.
        for _ in 0..40 {
            if Holding::is_no_more(&now, &self.rest, self.demo.workers) {
                return;
            }
            pause(Duration::from_millis(100));
            now = self.at_rest();
        }
        panic!("{what} left something behind: before {:#?}, now {now:#?}", self.rest);
    }
}

/// What a process holds that can leak.
#[derive(Debug)]
#[expect(dead_code, reason = "who it is stands there for people")]
struct Holding {
    title: String,
    descriptors: Vec<String>,
    bytes: u64,
}

impl Holding {
    fn of(pid: u32) -> Holding {
        let mut descriptors = process::descriptors_open(pid);
        descriptors.sort();
        Holding { title: process::title(pid), descriptors, bytes: process::anonymous_bytes(pid) }
    }

    /// All of them together: a worker that has come back may have more than its predecessor, as
    /// another one has less.
    fn is_no_more(now: &[Holding], before: &[Holding], workers: usize) -> bool {
        let count = |all: &[Holding], of_polls: bool| {
            let all = all.iter().flat_map(|held| &held.descriptors);
            all.filter(|what| what.contains("[eventpoll]") == of_polls).count()
        };
        let bytes = |all: &[Holding]| all.iter().map(|held| held.bytes).sum::<u64>();
        println!("{} bytes after {}", bytes(now), bytes(before));
        count(now, false) <= count(before, false)
            && count(now, true) <= count(before, true) + POLLS * workers
            && bytes(now) <= bytes(before) + MEMORY_SLACK
    }
}

/// Does something to a pool while eight clients ask for everything and one for inline routes, all
/// of whose requests must be answered.
#[track_caller]
fn beside(
    pool: &Pool,
    what: &str,
    allowed: impl Fn(&Entry) -> bool,
    harm: impl FnOnce(&Pool),
) -> Ledger {
    let inline = Traffic::start(pool.server.address, 1, Style::KeepAlive);
    let load = Load::endless(pool.server.address, CLIENTS, mixed);
    harm(pool);
    let ledger = load.finish();
    let inline = inline.finish();
    println!("{what}: {} inline requests, p99 {:?}", inline.answered, inline.p99());
    inline.expect_all_answered();
    ledger.expect(what, allowed);
    ledger
}

/// The same with a pool of its own, which must be as before.
#[track_caller]
fn story(
    what: &str,
    demo: Demo,
    allowed: impl Fn(&Entry) -> bool,
    harm: impl FnOnce(&Pool),
) -> Ledger {
    let _alone = crate::harness::heavy();
    let pool = Pool::start(demo);
    let ledger = beside(&pool, what, allowed, harm);
    pool.expect_as_before(what);
    pool.server.stop();
    ledger
}

/// What a death of a worker may do: a job that had begun gets 502, and an answer that had begun is
/// cut where it was streamed.
fn died_at_most(entry: &Entry) -> bool {
    match entry.fate {
        Fate::Answered(200 | 502) => true,
        Fate::Cut => is_streamed(entry),
        _ => false,
    }
}

/// Whether an answer leaves the worker in pieces.
fn is_streamed(entry: &Entry) -> bool {
    matches!(entry.kind, "large echo" | "stream")
}

/// Everything that a worker can do, small things more often than large ones.
fn mixed(id: u64) -> Ask {
    let dice = scatter(id);
    let pick = (dice >> 32) as usize;
    match dice % 200 {
        0 => Ask::echo(10 << 20),
        1..=4 => Ask::echo(BORDERS[pick % BORDERS.len()]),
        5..=6 => Ask::echo_whole(BORDERS[pick % BORDERS.len()]),
        7..=8 => Ask::echo_in_chunks(BORDERS[pick % BORDERS.len()]),
        9..=30 => Ask::echo(pick as u64 % (6 << 10)),
        31..=40 => Ask::echo_whole(pick as u64 % (6 << 10)),
        41..=50 => Ask::echo_in_chunks(pick as u64 % (6 << 10)),
        51..=70 => Ask::stream(1 + pick as u64 % 20, 1 + pick as u64 % 5000),
        71..=80 => Ask::sleep(pick as u64 % 10),
        81..=99 => Ask::fib(pick as u32 % 20),
        _ => Ask::burn(2),
    }
}

/// Has each worker do everything while the others stand still: what is opened or reserved late is
/// there by then, whoever does the work later.
fn warm_up(server: &Server) {
    let workers = server.workers(POOL);
    for worker in &workers {
        let others = || workers.iter().filter(|other| *other != worker);
        others().for_each(stop);
        expect_everything(server, &format!("by {} alone", worker.comm));
        others().for_each(|other| send_signal(other.pid, Signal::CONT));
    }
}

/// Waits until everything that is asked at once is answered. After too much work it takes some
/// jobs until the pool knows its pace, and where a deadline is short a busy machine may miss it:
/// then it is refused, and nothing else.
#[track_caller]
fn expect_everything(server: &Server, what: &str) {
    let refused = |entry: &Entry| matches!(entry.fate, Fate::Answered(503 | 504));
    wait_until(&format!("everything is answered {what}"), || {
        let ledger = ask_all(server.address, CLIENTS, first_of_each());
        ledger.expect(what, |entry| entry.is_right() || refused(entry));
        ledger.count(refused) == 0
    });
}

/// One of each but the largest, and some more.
fn first_of_each() -> Vec<Ask> {
    let large = BORDERS.iter().filter(|&&bytes| bytes <= 1 << 20);
    large.flat_map(|&bytes| echoes(bytes)).chain((0..200).map(mixed)).collect()
}

/// A body by every way that it can take.
fn echoes(bytes: u64) -> [Ask; 3] {
    [Ask::echo(bytes), Ask::echo_in_chunks(bytes), Ask::echo_whole(bytes)]
}

/// The time that a small job takes, as seen by a single client.
fn median(server: &Server) -> Duration {
    let mut client = server.client();
    let mut times: Vec<Duration> = (0..40)
        .map(|_| {
            let began = Instant::now();
            assert_eq!(client.get("/offload/plaintext").unwrap().status, 200);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Has a process stand still.
fn stop(process: &Process) {
    send_signal(process.pid, Signal::STOP);
    wait_until("it is stopped", || process::is_stopped(process.pid));
}

/// How often a story does its harm: in a build as often as it says, in `make soak` many times.
fn times(count: usize) -> usize {
    let times = std::env::var("COREWISE_STORY_TIMES").ok();
    count * times.map_or(1, |text| text.parse().expect("COREWISE_STORY_TIMES is a number"))
}

/// Sends KILL to a process that may be gone already.
fn kill(pid: u32) -> bool {
    let alive = process::is_alive(pid);
    if alive {
        send_signal(pid, Signal::KILL);
    }
    alive
}

/// What the allocators of all processes may differ by between two quiet moments, with some of the
/// buffers that a shard keeps for so many clients as it once had: however often harm is done.
const MEMORY_SLACK: u64 = 8 << 20;
/// Who sleeps beside tasks may go on listening when they are gone, until somebody rings.
const POLLS: usize = 2;
const POOL: &str = "cpu";
const WORKERS: usize = 2;
const QUEUE: usize = 32;
const CLIENTS: usize = 8;
const BLOCK_BYTES: u64 = 64 << 10;
/// Blocks that one message can have, there and back.
const BLOCKS: [u64; 2] = [15, 16];
/// Where the way of a body changes, as far as its own length says.
const BORDERS: [u64; 15] = [
    0,
    1,
    ask::SLOT_BYTES - 1,
    ask::SLOT_BYTES,
    ask::SLOT_BYTES + 1,
    BLOCK_BYTES - 1,
    BLOCK_BYTES,
    BLOCK_BYTES + 1,
    BLOCKS[0] * BLOCK_BYTES - 1,
    BLOCKS[0] * BLOCK_BYTES,
    BLOCKS[0] * BLOCK_BYTES + 1,
    BLOCKS[1] * BLOCK_BYTES - 1,
    BLOCKS[1] * BLOCK_BYTES,
    BLOCKS[1] * BLOCK_BYTES + 1,
    10 << 20,
];
