//! What each role promises, one story after the other.

use super::plain::Plain;
use crate::offload::client::{Client, Terms, Ticket};
use crate::offload::counters::{Current, Histogram, ShardCounter, WorkerCounter};
use crate::offload::death::{Overdue, Registry};
use crate::offload::server::{Job, Next, Server, SpinPolicy};
use crate::offload::slot::{Outcome, Retry};
use crate::offload::word::Generation;
use crate::offload::word::{Life, Owner, ShardIndex, SlotState, StateWord, WorkerIndex};
use crate::offload::world::{Ordering, World};

struct Pool<'a> {
    plain: &'a Plain,
    registry: Registry<&'a Plain>,
    client: Client<&'a Plain>,
    server: Server<&'a Plain>,
}

impl<'a> Pool<'a> {
    fn new(plain: &'a Plain) -> Self {
        let registry = Registry::create(plain);
        registry.enlist(WORKER);
        let client = Client::attach(plain, SHARD);
        let server = Server::attach(plain, WORKER, 2, SpinPolicy::NEVER);
        Self { plain, registry, client, server }
    }

    fn submit(&mut self, deadline: u64) -> Ticket {
        let terms = Terms { start_by: deadline, deadline, retry: Retry::Unstarted };
        let ticket = self.client.submit(b"abc", terms).unwrap();
        self.client.wake();
        ticket
    }

    #[track_caller]
    fn job(&mut self) -> Job {
        for _ in 0..3 {
            if let Next::Job(job) = self.server.poll() {
                return job;
            }
        }
        panic!("there is no job");
    }

    fn at(&mut self, now: u64) -> Option<Outcome> {
        self.plain.clock.set(now);
        self.client.collect();
        self.client.handle_timeout(now);
        self.client.poll_outcome().map(|ended| ended.outcome)
    }

    fn count(&self, counter: ShardCounter) -> u64 {
        self.plain.words[counter.word(&self.plain, SHARD).index()].get()
    }

    fn hard_limit(&self) -> u64 {
        self.plain.words[self.plain.layout.hard_limit(WORKER).index()].get()
    }
}

#[test]
fn a_late_return_finds_its_answer_given() {
    let plain = Plain::new();
    let mut pool = Pool::new(&plain);
    pool.submit(1_000);
    let job = pool.job();
    assert_eq!(pool.at(999), None);
    assert_eq!(pool.client.poll_timeout(), Some(1_000));
    assert_eq!(pool.at(1_000), Some(Outcome::TimedOut));
    assert!(pool.server.is_cancelled(&job));
    assert!(matches!(pool.server.poll(), Next::Withdrawn(id) if id == job.id()));
    assert!(matches!(pool.server.poll(), Next::Spin | Next::Block), "it is said once");
    assert_eq!(pool.client.free(), 4, "the worker still has the slot");
    pool.server.complete(job, 200, b"late").unwrap();
    assert_eq!(pool.at(1_001), None);
    assert_eq!(pool.client.free(), 5);
    assert_eq!(pool.client.poll_timeout(), None);
    assert_eq!(pool.count(ShardCounter::TimedOut), 1);
}

#[test]
fn what_waited_too_long_never_begins() {
    let plain = Plain::new();
    let mut pool = Pool::new(&plain);
    pool.submit(1_000);
    assert_eq!(pool.at(1_000), Some(Outcome::Expired));
    assert!(matches!(pool.server.poll(), Next::Block));
    assert_eq!(pool.client.free(), 5, "its hint was passed by the shard");
}

#[test]
fn a_worker_skips_what_nobody_wants() {
    let plain = Plain::new();
    let mut pool = Pool::new(&plain);
    let ticket = pool.submit(1_000);
    plain.clock.set(2_000);
    assert!(matches!(pool.server.poll(), Next::Spin | Next::Block));
    assert_eq!(pool.at(2_000), Some(Outcome::Expired));
    assert!(!pool.client.cancel(ticket), "it has come to its end");
    let skipped = WorkerCounter::SkippedExpired.word(&pool.plain, WORKER);
    assert_eq!(plain.words[skipped.index()].get(), 1);
}

#[test]
fn a_stuck_job_is_named_to_the_supervisor() {
    let plain = Plain::new();
    let mut pool = Pool::new(&plain);
    pool.submit(1_000);
    let job = pool.job();
    assert!(pool.registry.overdue(1_499, 500).is_empty());
    let overdue = pool.registry.overdue(1_500, 500);
    let expected = Overdue {
        worker: WORKER,
        shard: SHARD,
        slot: job.slot(),
        deadline: 1_000,
        started: plain.clock.get(),
    };
    assert_eq!(overdue, [expected]);
    let current = (&plain).load(plain.layout.current_job(WORKER), Ordering::Relaxed);
    assert_eq!(Current::unpack(current), Some(Current { shard: SHARD, slot: job.slot() }));
    pool.server.complete(job, 200, b"").unwrap();
    assert!(pool.registry.overdue(9_000, 500).is_empty());
    let services = (0..48).map(|at| Histogram::Service.count(&pool.plain, WORKER, at));
    assert_eq!(services.sum::<u64>(), 1);
}

#[test]
fn the_clock_is_read_once_a_moment() {
    let plain = Plain::new();
    let mut pool = Pool::new(&plain);
    let next = |pool: &mut Pool<'_>| {
        let job = pool.job();
        let started = plain.layout.slot(SHARD, job.slot()).started();
        (job, plain.words[started.index()].get())
    };
    let pass = |clock, ticks| {
        plain.clock.set(clock);
        plain.ticks.set(Some(ticks));
    };
    pass(10, 10_000);
    for _ in 0..3 {
        pool.submit(1_000);
    }
    let (job, started) = next(&mut pool);
    assert_eq!(started, 10);
    pass(20, 10_100);
    pool.server.complete(job, 200, b"").unwrap();
    let (job, started) = next(&mut pool);
    assert_eq!(started, 10, "that was a moment ago");
    pass(30, 20_000);
    pool.server.complete(job, 200, b"").unwrap();
    let (job, started) = next(&mut pool);
    assert_eq!(started, 30, "more than a moment has passed");
    // A processor that counts anew.
    pass(40, 500);
    pool.server.complete(job, 200, b"").unwrap();
    plain.clock.set(50);
    pool.submit(1_000);
    let (job, started) = next(&mut pool);
    assert_eq!(started, 50, "no job begins before it was submitted");
    pool.server.complete(job, 200, b"").unwrap();
}

#[test]
fn a_stream_has_its_deadline_moved() {
    let plain = Plain::new();
    let mut pool = Pool::new(&plain);
    let ticket = pool.submit(1_000);
    let mut job = pool.job();
    assert!(pool.client.mark_streamed(ticket, 5_000));
    pool.server.renew(&mut job);
    assert_eq!((job.deadline(), pool.hard_limit()), (5_000, 5_000));
    assert_eq!(pool.at(4_999), None);
    // Whose worker dies in a stream has no second chance.
    pool.registry.bury(WORKER);
    assert_eq!(pool.at(4_999), Some(Outcome::Died { started: true }));
    assert!(!pool.client.mark_streamed(ticket, 9_000));
    assert_eq!(pool.client.free(), 5);
}

#[test]
fn a_claimed_job_of_a_dead_worker_runs_elsewhere() {
    let plain = Plain::new();
    let mut pool = Pool::new(&plain);
    pool.submit(1_000_000);
    // It died between the claim and the beginning.
    let slot = plain.layout.slot(SHARD, plain.layout.slot_index(4).unwrap());
    let claimed = SlotState::Claimed(Owner { worker: WORKER, incarnation: 1 });
    let word = StateWord::new(claimed, Generation::new(1)).pack();
    let before = plain.words[slot.state().index()].replace(word);
    assert_eq!(StateWord::unpack(before).unwrap().state, SlotState::Ready);
    pool.registry.bury(WORKER);
    assert_eq!(pool.at(5), None);
    assert_eq!(pool.count(ShardCounter::Retried), 1);
    pool.registry.enlist(WORKER);
    pool.server = Server::attach(&plain, WORKER, 1, SpinPolicy::NEVER);
    let job = pool.job();
    assert_eq!(job.slot(), plain.layout.slot_index(4).unwrap());
}

#[test]
fn an_incarnation_that_a_slot_names_is_left_out() {
    let plain = Plain::new();
    let pool = Pool::new(&plain);
    let named = SlotState::Running(Owner { worker: WORKER, incarnation: 2 });
    let slot = plain.layout.slot(SHARD, plain.layout.slot_index(0).unwrap());
    plain.words[slot.state().index()].set(StateWord::new(named, Generation::new(9)).pack());
    pool.registry.bury(WORKER);
    assert_eq!(pool.registry.enlist(WORKER), Life { incarnation: 3, alive: true });
}

#[test]
fn a_drained_worker_finishes_and_leaves() {
    let plain = Plain::new();
    let mut pool = Pool::new(&plain);
    pool.submit(1_000_000);
    let job = pool.job();
    pool.submit(1_000_000);
    pool.server.drain();
    assert!(matches!(pool.server.poll(), Next::Block));
    pool.server.complete(job, 200, b"done").unwrap();
    assert!(matches!(pool.server.poll(), Next::Leave));
}

#[test]
fn workers_see_whether_a_shard_is_there() {
    let plain = Plain::new();
    let mut pool = Pool::new(&plain);
    assert!(pool.server.sees_a_shard());
    pool.registry.bury_shard(SHARD);
    assert!(!pool.server.sees_a_shard());
    pool.client = Client::attach(&plain, SHARD);
    assert!(pool.server.sees_a_shard());
    let Pool { client, server, registry, .. } = pool;
    client.detach();
    assert!(!server.sees_a_shard());
    registry.stop();
    server.detach();
}

#[test]
fn a_body_that_is_too_long_is_refused_on_both_sides() {
    let plain = Plain::new();
    let mut pool = Pool::new(&plain);
    let terms = Terms { start_by: 9, deadline: 9, retry: Retry::Unstarted };
    assert!(pool.client.submit(&[0; 65], terms).is_err());
    pool.submit(1_000);
    let job = pool.job();
    let (job, too_long) = pool.server.complete(job, 200, &[0; 65]).unwrap_err();
    assert_eq!(too_long.bytes_max, 64);
    pool.server.complete(job, 500, b"too long").unwrap();
    assert!(matches!(pool.at(5), Some(Outcome::Answered(response)) if response.status == 500));
}

const SHARD: ShardIndex = ShardIndex(0);
const WORKER: WorkerIndex = WorkerIndex(0);
