//! Shards and workers as real processes that are killed and stopped at random, at full speed.
//!
//! Every shard keeps some jobs out and checks what comes of them, every worker checks what it is
//! given; what they count stands in memory of the parent, which kills, stops, buries and replaces
//! them without a pause. A job that is lost would hold its slot, and a shard does not leave before
//! all of its slots are free.

use std::collections::HashMap;
use std::fs;
use std::iter;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use corewise::offload::client::{Client, Ended, Terms, Ticket};
use corewise::offload::counters::ShardCounter;
use corewise::offload::death::Registry;
use corewise::offload::layout::{Doorbell, Shape};
use corewise::offload::region::{Mapped, Region};
use corewise::offload::server::{BLOCK_NS_MAX, Next, Server, SpinPolicy};
use corewise::offload::slot::{Outcome, Retry};
use corewise::offload::word::{ShardIndex, WorkerIndex};
use corewise::offload::world::World;
use corewise::sys::affinity;
use corewise::sys::clock::monotonic_ns;
use corewise::sys::descriptors::{doorbell, duplicate, take_count};
use corewise::sys::poll::wait_readable;
use corewise::sys::process::{self, Fork, Forked, Pid, PidFd, fork, reap, wait_for};
use rustix::process::Signal;

use crate::shared::{Random, Words, end, send};
use crate::talk::{Call, Task};
use crate::{Extent, setting};

/// `COREWISE_STORM_SECONDS` and `COREWISE_STORM_KILLS` say how long: until both are reached.
pub(crate) fn nothing_is_lost_in_a_storm(extent: Extent) {
    let seconds = if extent == Extent::Whole { 600 } else { 60 };
    let seconds = setting("COREWISE_STORM_SECONDS", seconds);
    let kills = setting("COREWISE_STORM_KILLS", KILLS_MIN);
    let descriptors = open_descriptors();
    let mut storm = Storm::new(setting("COREWISE_SEED", monotonic_ns()));
    let begin = Instant::now();
    let enough = Duration::from_secs(seconds);
    while begin.elapsed() < enough || storm.kills() < kills {
        assert!(begin.elapsed() < enough * 20, "{} kills in 20 times the time", storm.kills());
        storm.blow();
    }
    storm.calm_down();
    println!("{} s: {}", begin.elapsed().as_secs(), storm.summary());
    storm.check();
    drop(storm);
    assert_eq!(open_descriptors(), descriptors, "descriptors are left over");
}

/// The parent: the supervisor, and the weather.
struct Storm {
    region: Arc<Region>,
    registry: Registry<Mapped>,
    ledger: Ledger,
    random: Random,
    shards: Vec<Child>,
    workers: Vec<Child>,
    worker_kills: u64,
    shard_kills: u64,
    stops: u64,
    /// When something was seen to end last, and how much had ended by then, of each shard.
    progress: Vec<(u64, Instant)>,
    /// Readable never: to wait at.
    never: OwnedFd,
}

struct Child {
    pid: Pid,
    /// Until when it is stopped, if it is.
    stopped: Option<Instant>,
}

impl Storm {
    fn new(seed: u64) -> Self {
        println!("seed {seed}");
        let region = Arc::new(Region::create(SHAPE, SHAPE.workers).unwrap());
        let registry = Registry::of(&region);
        let mut storm = Self {
            registry,
            region,
            ledger: Ledger::new(),
            random: Random::new(seed),
            shards: Vec::new(),
            workers: Vec::new(),
            worker_kills: 0,
            shard_kills: 0,
            stops: 0,
            progress: vec![(0, Instant::now()); usize::from(SHAPE.shards)],
            never: doorbell().unwrap(),
        };
        for worker in storm.region.layout().workers() {
            storm.registry.enlist(worker);
            let child = storm.start_worker(worker);
            storm.workers.push(child);
        }
        for shard in storm.region.layout().shards() {
            let child = storm.start_shard(shard);
            storm.shards.push(child);
        }
        storm
    }

    fn kills(&self) -> u64 {
        self.worker_kills + self.shard_kills
    }

    /// One gust.
    fn blow(&mut self) {
        match self.random.below(64) {
            0..40 => {
                let worker = self.pick(self.workers.len());
                self.kill_worker(worker);
            }
            // The same one as soon as it is back, and before any shard has looked.
            40..44 => {
                let worker = self.pick(self.workers.len());
                (0..4).for_each(|_| self.kill_worker(worker));
            }
            44 => (0..self.workers.len()).for_each(|worker| self.kill_worker(worker)),
            45..47 => {
                let shard = self.pick(self.shards.len());
                self.kill_shard(shard);
            }
            47..54 => self.stop(),
            _ => {}
        }
        self.pause();
        self.resume(false);
        self.check_progress();
    }

    /// Lets everybody finish and leave.
    fn calm_down(&mut self) {
        self.resume(true);
        self.ledger.word(Note::Stop).store(1, Ordering::Relaxed);
        for shard in std::mem::take(&mut self.shards) {
            self.assert_leaves_well(&shard, "shard");
        }
        self.registry.stop();
        for worker in std::mem::take(&mut self.workers) {
            self.assert_leaves_well(&worker, "worker");
        }
    }

    fn assert_leaves_well(&self, child: &Child, role: &str) {
        let pidfd = PidFd::open_child(child.pid).unwrap();
        let left = wait_readable(&[pidfd.as_fd()], Some(PATIENCE)).unwrap();
        assert_eq!(left, [true], "wedged: a {role} stays; {}", self.ledger.describe());
        assert_eq!(wait_for(child.pid).unwrap(), process::Ended::Code(0), "a {role}");
    }

    fn check(&self) {
        for shard in self.region.layout().shards() {
            let of = |note| self.ledger.of(shard, note).load(Ordering::Relaxed);
            let ended: u64 = OUTCOMES.into_iter().map(of).sum();
            let (submitted, abandoned) = (of(Note::Submitted), of(Note::Abandoned));
            let unclear = of(Note::Unclear);
            let known = ended + abandoned;
            assert!(
                known <= submitted && submitted <= known + unclear,
                "{shard}: {submitted} submitted, {ended} ended, {abandoned} abandoned, of \
                 {unclear} it is not known"
            );
        }
    }

    fn summary(&self) -> String {
        let sum = |note| self.ledger.sum(note);
        let world = Ledger::retried(&self.region);
        format!(
            "{} worker kills, {} shard kills, {} stops; {} jobs: {} answered, {} died begun (502), \
             {} died twice, {} cancelled, {} expired, {} timed out, {} abandoned with their \
             shard; {} retried; longest {} ms; 0 lost, wrong, wedged or leaked",
            self.worker_kills,
            self.shard_kills,
            self.stops,
            sum(Note::Submitted),
            sum(Note::Answered),
            sum(Note::DiedStarted),
            sum(Note::DiedUnstarted),
            sum(Note::Cancelled),
            sum(Note::Expired),
            sum(Note::TimedOut),
            sum(Note::Abandoned),
            world,
            sum(Note::LongestNs) / 1_000_000,
        )
    }

    fn pick(&mut self, count: usize) -> usize {
        self.random.below(count as u64) as usize
    }

    fn kill_worker(&mut self, index: usize) {
        end(self.workers[index].pid);
        let worker = WorkerIndex(index as u8);
        self.registry.bury(worker);
        self.registry.enlist(worker);
        self.workers[index] = self.start_worker(worker);
        self.worker_kills += 1;
    }

    fn kill_shard(&mut self, index: usize) {
        end(self.shards[index].pid);
        let shard = ShardIndex(index as u16);
        self.registry.bury_shard(shard);
        self.ledger.abandon(shard);
        self.shards[index] = self.start_shard(shard);
        self.shard_kills += 1;
    }

    /// Somebody stands still for a while, wherever he is.
    fn stop(&mut self) {
        let index = self.pick(self.workers.len() + self.shards.len());
        let until = Instant::now() + Duration::from_micros(self.random.below(20_000));
        let workers = self.workers.len();
        let child = match index.checked_sub(workers) {
            None => &mut self.workers[index],
            Some(index) => &mut self.shards[index],
        };
        send(child.pid, Signal::STOP);
        child.stopped = Some(until);
        self.stops += 1;
    }

    /// Those whose time is over go on, or all.
    fn resume(&mut self, all: bool) {
        let now = Instant::now();
        for child in self.workers.iter_mut().chain(&mut self.shards) {
            if child.stopped.is_some_and(|until| all || until <= now) {
                send(child.pid, Signal::CONT);
                child.stopped = None;
            }
        }
    }

    fn pause(&mut self) {
        let microseconds = self.random.below(PAUSE_US_MAX);
        self.wait(Duration::from_micros(microseconds));
    }

    fn wait(&self, time: Duration) {
        wait_readable(&[self.never.as_fd()], Some(time)).unwrap();
    }

    /// Nobody ends by himself, and every shard gets on.
    fn check_progress(&mut self) {
        if let Some((pid, ended)) = reap().unwrap() {
            panic!("{pid} ended by itself with {ended}");
        }
        for shard in self.region.layout().shards() {
            let ended = self.ledger.ended(shard);
            let (seen, since) = &mut self.progress[usize::from(shard.0)];
            if *seen != ended {
                (*seen, *since) = (ended, Instant::now());
            }
            assert!(since.elapsed() < PATIENCE, "{shard} is wedged: {}", self.ledger.describe());
        }
    }

    fn start_worker(&self, worker: WorkerIndex) -> Child {
        self.start(usize::from(worker.0), || work(&self.region, worker, &self.ledger))
    }

    fn start_shard(&self, shard: ShardIndex) -> Child {
        let seed = monotonic_ns();
        self.start(usize::from(shard.0), || {
            ShardProcess::attach(&self.region, shard, &self.ledger, seed).run();
        })
    }

    fn start(&self, cpu: usize, body: impl FnOnce()) -> Child {
        let pid = match fork().unwrap() {
            Fork::Child(forked) => forked.exit_with(|forked| play(forked, cpu, body)),
            Fork::Parent(pid) => pid,
        };
        Child { pid, stopped: None }
    }
}

impl Drop for Storm {
    /// After a failure; otherwise nobody is left.
    fn drop(&mut self) {
        for child in self.workers.iter().chain(&self.shards) {
            let _ = process::end_child(child.pid);
        }
    }
}

fn play(forked: &Forked, cpu: usize, body: impl FnOnce()) -> u8 {
    if !forked.follow_parent().unwrap() {
        return 1;
    }
    let cpus = affinity::allowed().unwrap();
    affinity::pin(cpus[cpu % cpus.len()]).unwrap();
    body();
    0
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A shard in its process.
struct ShardProcess<'a> {
    region: &'a Arc<Region>,
    shard: ShardIndex,
    client: Client<Mapped>,
    ledger: &'a Ledger,
    random: Random,
    open: HashMap<Ticket, Entry>,
}

#[derive(Debug)]
struct Entry {
    call: Call,
    submitted: u64,
    terms: Terms,
    cancelled: bool,
}

impl<'a> ShardProcess<'a> {
    fn attach(region: &'a Arc<Region>, shard: ShardIndex, ledger: &'a Ledger, seed: u64) -> Self {
        let client = Client::of(region, shard);
        Self { region, shard, client, ledger, random: Random::new(seed), open: HashMap::new() }
    }

    /// Turns until the storm is over and everything has come back.
    fn run(mut self) {
        loop {
            self.client.collect();
            self.client.handle_timeout(self.client.world().now());
            while let Some(ended) = self.client.poll_outcome() {
                self.settle(ended);
            }
            while let Some(moved) = self.client.poll_moved() {
                let entry = self.open.get_mut(&moved).expect("a stream of a job of ours");
                entry.call.pump(&mut self.client, moved);
            }
            assert_eq!(self.client.poll_fault(), None, "nobody writes garbage here");
            if self.ledger.word(Note::Stop).load(Ordering::Relaxed) == 0 {
                self.submit_some();
                self.cancel_some();
            } else if self.open.is_empty() && self.client.free() == SHAPE.slots as usize {
                self.assert_no_block_is_out();
                return self.client.detach();
            }
            self.client.wake();
            if self.client.arm() {
                self.sleep();
            }
        }
    }

    fn assert_no_block_is_out(&self) {
        let free = self.client.free_blocks();
        assert_eq!(free, usize::from(SHAPE.request_blocks), "blocks of {}", self.shard);
    }

    fn sleep(&mut self) {
        let now = self.client.world().now();
        let until = self.client.poll_timeout().unwrap_or(u64::MAX).min(now + BLOCK_NS_MAX);
        let bell = self.region.doorbell(Doorbell::Shard(self.shard));
        let time = Duration::from_nanos(until.saturating_sub(now));
        wait_readable(&[bell], Some(time)).unwrap();
        take_count(bell);
        self.client.disarm();
    }

    fn submit_some(&mut self) {
        for _ in self.open.len()..OPEN_MAX {
            let terms = self.terms();
            let number = self.ledger.enter(self.shard);
            let submitted = self.client.world().now();
            let Ok((ticket, mut call)) = Call::submit(&mut self.client, number, terms) else {
                return self.ledger.take_back(self.shard, number);
            };
            call.pump(&mut self.client, ticket);
            self.open.insert(ticket, Entry { call, submitted, terms, cancelled: false });
        }
    }

    fn terms(&mut self) -> Terms {
        let number = self.ledger.next(self.shard);
        let retry = if may_repeat(number) { Retry::Started } else { Retry::Unstarted };
        if !self.random.one_in(16) {
            return Terms { start_by: u64::MAX, deadline: u64::MAX, retry };
        }
        let start_by = self.client.world().now() + self.random.below(300_000);
        Terms { start_by, deadline: start_by + self.random.below(300_000), retry }
    }

    fn cancel_some(&mut self) {
        if self.random.one_in(16)
            && let Some((&ticket, entry)) = self.open.iter_mut().next()
        {
            entry.cancelled = true;
            assert!(self.client.cancel(ticket), "it was open");
        }
    }

    /// Checks an outcome against what may be.
    fn settle(&mut self, ended: Ended) {
        let entry = self.open.remove(&ended.ticket);
        let mut entry = entry.expect("an outcome of a job of ours, once");
        let number = entry.call.number();
        let now = self.client.world().now();
        let note = match ended.outcome {
            Outcome::Answered(response) => {
                entry.call.check(&mut self.client, ended.ticket, response);
                self.client.release(ended.ticket);
                let took = self.ledger.of(self.shard, Note::LongestNs);
                took.fetch_max(now - entry.submitted, Ordering::Relaxed);
                Note::Answered
            }
            Outcome::Broken => panic!("job {number} is broken, and nobody broke it"),
            Outcome::Cancelled => {
                assert!(entry.cancelled, "nobody took job {number} back");
                Note::Cancelled
            }
            Outcome::Died { started: true } => Note::DiedStarted,
            Outcome::Died { started: false } => Note::DiedUnstarted,
            Outcome::Expired => {
                assert!(now >= entry.terms.start_by, "job {number} had time");
                Note::Expired
            }
            Outcome::TimedOut => {
                assert!(now >= entry.terms.deadline, "job {number} had time");
                Note::TimedOut
            }
        };
        self.ledger.settle(self.shard, number, note);
    }
}

/// A worker in its process.
fn work(inherited: &Region, worker: WorkerIndex, ledger: &Ledger) {
    let region = Arc::new(attached(inherited));
    let spin = SpinPolicy { window_ns: 25_000, gap_ns: 25_000, beside_others: false };
    let jobs_max = 1 + usize::from(worker.0 % 2);
    let mut server = Server::of(&region, worker, jobs_max, spin);
    let bell = region.doorbell(Doorbell::Worker(worker));
    let mut tasks: Vec<Task> = Vec::new();
    loop {
        match server.poll() {
            Next::Job(job) => {
                let task = Task::begin(&server, job);
                ledger.count_run(task.number());
                burn(task.number() % 16);
                tasks.push(task);
                // A worker of several jobs begins what there is before it ends anything.
                if tasks.len() < jobs_max {
                    continue;
                }
            }
            Next::Block => {
                wait_readable(&[bell], Some(Duration::from_nanos(BLOCK_NS_MAX))).unwrap();
                take_count(bell);
            }
            Next::Leave => return leave(server),
            Next::Moved(_) | Next::Spin => {}
            Next::Withdrawn(id) => {
                let task = tasks.iter_mut().find(|task| task.id() == id);
                task.expect("a job of ours").withdrawn = true;
            }
        }
        tasks = tasks.into_iter().filter_map(|task| task.advance(&mut server)).collect();
    }
}

/// Every block has come back when the last job has ended.
fn leave(mut server: Server<Mapped>) {
    let bytes = u64::from(SHAPE.slot_bytes) + 1;
    let drafts: Vec<_> = iter::from_fn(|| server.draft(bytes)).collect();
    assert_eq!(drafts.len(), usize::from(SHAPE.response_blocks), "blocks of a worker");
    drafts.into_iter().for_each(|draft| server.discard(draft));
    server.detach();
}

/// What a worker has of the memory that it was forked with: requests for reading alone.
fn attached(region: &Region) -> Region {
    let mut fds = region.descriptors().into_iter().map(|fd| duplicate(fd).unwrap());
    let (control, requests) = (fds.next().unwrap(), fds.next().unwrap());
    Region::attach(control, requests, fds.collect()).unwrap()
}

/// User code of about so many microseconds.
fn burn(microseconds: u64) {
    let begin = monotonic_ns();
    while monotonic_ns() < begin + microseconds * 1_000 {
        std::hint::spin_loop();
    }
}

/// Whether a job may run a second time when its worker has died in it.
fn may_repeat(number: u64) -> bool {
    number.is_multiple_of(5)
}

/// What is noted of each shard; `Stop` is of all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Note {
    Abandoned,
    Answered,
    Cancelled,
    DiedStarted,
    DiedUnstarted,
    Expired,
    LongestNs,
    Stop,
    Submitted,
    TimedOut,
    /// Jobs whose shard died while it wrote their outcome down: noted, or not yet.
    Unclear,
}

const OUTCOMES: [Note; 6] = [
    Note::Answered,
    Note::Cancelled,
    Note::DiedStarted,
    Note::DiedUnstarted,
    Note::Expired,
    Note::TimedOut,
];

/// The memory of the parent in which everybody writes down what happened.
#[derive(Debug)]
struct Ledger {
    words: Words,
}

impl Ledger {
    fn new() -> Self {
        Self { words: Words::new(RUNS + RUNS_COUNT) }
    }

    fn word(&self, note: Note) -> &AtomicU64 {
        self.words.at(note as usize)
    }

    fn of(&self, shard: ShardIndex, note: Note) -> &AtomicU64 {
        self.words.at(usize::from(shard.0) * NOTES + note as usize)
    }

    fn sum(&self, note: Note) -> u64 {
        let of = |shard| self.of(ShardIndex(shard), note).load(Ordering::Relaxed);
        let all = (0..SHAPE.shards).map(of);
        if note == Note::LongestNs { all.max().unwrap_or(0) } else { all.sum() }
    }

    fn ended(&self, shard: ShardIndex) -> u64 {
        OUTCOMES.into_iter().map(|note| self.of(shard, note).load(Ordering::Relaxed)).sum()
    }

    /// The number of the next job: no two jobs have the same one.
    fn next(&self, shard: ShardIndex) -> u64 {
        let count = self.of(shard, Note::Submitted).load(Ordering::Relaxed) + 1;
        count * u64::from(SHAPE.shards) + u64::from(shard.0)
    }

    /// Writes a job down that is about to be submitted.
    fn enter(&self, shard: ShardIndex) -> u64 {
        let number = self.next(shard);
        // Counted first: a job that is out and not counted could not be told from a wrong one.
        self.of(shard, Note::Submitted).fetch_add(1, Ordering::Relaxed);
        let free = self.entries(shard).find(|entry| entry.load(Ordering::Relaxed) == 0);
        free.expect("as many entries as jobs").store(number << 1, Ordering::Relaxed);
        number
    }

    /// It was not submitted after all.
    fn take_back(&self, shard: ShardIndex, number: u64) {
        self.entry_of(shard, number).store(0, Ordering::Relaxed);
        self.of(shard, Note::Submitted).fetch_sub(1, Ordering::Relaxed);
    }

    fn settle(&self, shard: ShardIndex, number: u64, note: Note) {
        let entry = self.entry_of(shard, number);
        entry.store(number << 1 | 1, Ordering::Relaxed);
        self.of(shard, note).fetch_add(1, Ordering::Relaxed);
        entry.store(0, Ordering::Relaxed);
    }

    /// What a dead shard had out has no outcome: its clients are gone with it.
    fn abandon(&self, shard: ShardIndex) {
        for entry in self.entries(shard) {
            let seen = entry.swap(0, Ordering::Relaxed);
            let note = if seen & 1 == 1 { Note::Unclear } else { Note::Abandoned };
            self.of(shard, note).fetch_add(u64::from(seen != 0), Ordering::Relaxed);
        }
        // A job that was counted and not yet entered.
        self.of(shard, Note::Unclear).fetch_add(1, Ordering::Relaxed);
    }

    fn entries(&self, shard: ShardIndex) -> impl Iterator<Item = &AtomicU64> {
        let first = ENTRIES + usize::from(shard.0) * OPEN_MAX;
        (first..first + OPEN_MAX).map(|index| self.words.at(index))
    }

    fn entry_of(&self, shard: ShardIndex, number: u64) -> &AtomicU64 {
        let mut entries = self.entries(shard);
        let found = entries.find(|entry| entry.load(Ordering::Relaxed) >> 1 == number);
        found.expect("a job that was entered")
    }

    /// A job begins: once, or twice if it may.
    fn count_run(&self, number: u64) {
        let word = self.words.at(RUNS + number as usize % RUNS_COUNT);
        let seen = word.load(Ordering::Relaxed);
        let before = if seen >> 8 == number { seen & 0xff } else { 0 };
        let most = 1 + u64::from(may_repeat(number));
        assert!(before < most, "job {number} runs for the {}. time", before + 1);
        word.store(number << 8 | (before + 1), Ordering::Relaxed);
    }

    fn retried(region: &Arc<Region>) -> u64 {
        // SAFETY: the words come from the layout of this region.
        let world = unsafe { Mapped::new(Arc::clone(region)) };
        let of = |shard| world.load(ShardCounter::Retried.word(&world, shard), Ordering::Relaxed);
        region.layout().shards().map(of).sum()
    }

    /// The jobs that are out, for a failure.
    fn describe(&self) -> String {
        let of = |shard: u16| {
            let entries = self.entries(ShardIndex(shard));
            let out = entries.map(|entry| entry.load(Ordering::Relaxed)).filter(|&word| word != 0);
            let out: Vec<u64> = out.map(|word| word >> 1).collect();
            format!("shard/{shard} has jobs {out:?} out")
        };
        (0..SHAPE.shards).map(of).collect::<Vec<String>>().join(", ")
    }
}

const SHAPE: Shape = Shape {
    shards: 2,
    workers: 4,
    slots: 16,
    slot_bytes: 64,
    request_blocks: 12,
    response_blocks: 6,
};
/// Jobs that a shard has out.
const OPEN_MAX: usize = 12;
const NOTES: usize = 16;
const ENTRIES: usize = NOTES * 8;
const RUNS: usize = 4096;
/// Many more than jobs can be out.
const RUNS_COUNT: usize = 1 << 16;
const PAUSE_US_MAX: u64 = 3_000;
const KILLS_MIN: u64 = 20_000;
/// Twenty times what anything here takes.
const PATIENCE: Duration = Duration::from_secs(40);
