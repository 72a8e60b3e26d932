//! A process that writes garbage into the memory of a pool at full speed, beside a shard.
//!
//! Every word that a worker can write is hit, all at random or a few again and again, with numbers
//! that mean nothing and with such as the protocol writes at other times. The shard must neither
//! die nor stand still. In a build with debug assertions an access outside of the memory is the
//! end of it, elsewhere it is likely to be.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use corewise::offload::chunks::StreamItem;
use corewise::offload::client::{Client, Refused, Terms, Ticket};
use corewise::offload::death::Registry;
use corewise::offload::layout::{Doorbell, Shape, Span};
use corewise::offload::region::{Mapped, Region};
use corewise::offload::server::{BLOCK_NS_MAX, Job, Next, Server, SpinPolicy};
use corewise::offload::slot::{Form, Outcome, Response, Retry};
use corewise::offload::word::{ShardIndex, WorkerIndex};
use corewise::offload::world::World;
use corewise::sys::clock::monotonic_ns;
use corewise::sys::descriptors::take_count;
use corewise::sys::memfd::{self, Mapping};
use corewise::sys::poll::wait_readable;
use corewise::sys::process::{Ended, Fork, Pid, PidFd, fork, wait_for};

use crate::shared::{Random, Words, end};
use crate::{Extent, setting};

/// `COREWISE_SEED` chooses the garbage.
pub(crate) fn a_shard_lives_beside_a_hostile_worker(extent: Extent) {
    let rounds = if extent == Extent::Whole { 30 * ROUNDS } else { ROUNDS };
    let seed = setting("COREWISE_SEED", monotonic_ns());
    println!("seed {seed}");
    let region = Arc::new(Region::create(SHAPE, SHAPE.workers).unwrap());
    let registry = Registry::of(&region);
    let notes = Words::new(Note::COUNT);
    for worker in region.layout().workers() {
        registry.enlist(worker);
    }
    let hostile = child(|| Garbage::new(&region, seed).write());
    let honest = child(|| work(&region));
    let shard = child(|| Shard::new(&region, &notes, seed).run(rounds));
    let left = watch(shard, &registry, &notes);
    [hostile, honest].into_iter().for_each(end);
    assert!(left, "the shard stands still in round {}", note(&notes, Note::Rounds));
    assert_eq!(wait_for(shard).unwrap(), Ended::Code(0), "the shard");
    println!(
        "{} rounds beside a hostile worker: {} answers, {} faults found, {} pools given up; \
         longest round {} us",
        note(&notes, Note::Rounds),
        note(&notes, Note::Answers),
        note(&notes, Note::Faults),
        note(&notes, Note::Rebuilt),
        note(&notes, Note::LongestNs) / 1_000
    );
    for what in [Note::Answers, Note::Faults, Note::Rebuilt] {
        assert!(note(&notes, what) > 100, "too little happened: {what:?}");
    }
}

/// Waits until the shard has left, and looks at the pool as a supervisor does; false when the
/// shard stands still.
fn watch(shard: Pid, registry: &Registry<Mapped>, notes: &Words) -> bool {
    let pidfd = PidFd::open_child(shard).unwrap();
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        let left = wait_readable(&[pidfd.as_fd()], Some(Duration::from_millis(1))).unwrap();
        if left == [true] {
            return true;
        }
        let _ = registry.overdue(monotonic_ns(), 0);
        registry.bury(SPARE);
        registry.enlist(SPARE);
        let rounds = note(notes, Note::Rounds);
        if rounds != seen {
            (seen, since) = (rounds, Instant::now());
        }
        if since.elapsed() > PATIENCE {
            end(shard);
            return false;
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Note {
    Answers,
    Faults,
    LongestNs,
    Rebuilt,
    Rounds,
}

impl Note {
    const COUNT: usize = 5;
}

fn note(notes: &Words, note: Note) -> u64 {
    notes.at(note as usize).load(Ordering::Relaxed)
}

/// The shard.
struct Shard<'a> {
    region: &'a Arc<Region>,
    memory: Control,
    notes: &'a Words,
    random: Random,
    client: Client<Mapped>,
    open: Vec<Ticket>,
}

impl<'a> Shard<'a> {
    fn new(region: &'a Arc<Region>, notes: &'a Words, seed: u64) -> Self {
        let (memory, random) = (Control::of(region), Random::new(seed ^ 1));
        let client = Client::of(region, SHARD);
        Self { region, memory, notes, random, client, open: Vec::new() }
    }

    fn run(mut self, rounds: u64) {
        for _ in 0..rounds {
            let begin = monotonic_ns();
            self.turn();
            let took = monotonic_ns() - begin;
            self.notes.at(Note::LongestNs as usize).fetch_max(took, Ordering::Relaxed);
            self.add(Note::Rounds, 1);
            if self.client.arm() {
                let bell = self.region.doorbell(Doorbell::Shard(SHARD));
                wait_readable(&[bell], Some(Duration::from_micros(200))).unwrap();
                take_count(bell);
            }
            self.client.disarm();
        }
    }

    fn turn(&mut self) {
        self.submit_some();
        self.client.collect();
        let late = self.random.below(2) * self.random.below(600_000_000);
        self.client.handle_timeout(self.client.world().now() + late);
        let mut moved = 0;
        while let Some(ticket) = self.client.poll_moved().filter(|_| moved < ITEMS_MAX) {
            moved += 1;
            let _ = self.client.send(ticket, &[7; 100]);
            self.receive(ticket);
        }
        if self.random.one_in(3)
            && let Some(ticket) = self.open.pop()
        {
            self.client.cancel(ticket);
        }
        while let Some(ended) = self.client.poll_outcome() {
            self.open.retain(|open| *open != ended.ticket);
            if let Outcome::Answered(response) = ended.outcome {
                self.read(ended.ticket, response);
                self.client.release(ended.ticket);
                self.add(Note::Answers, 1);
            }
        }
        self.client.wake();
        let _ = self.client.pool_state();
        let faults = u64::from(self.client.poll_fault().is_some());
        self.add(Note::Faults, faults);
        self.give_up_now_and_then();
    }

    fn submit_some(&mut self) {
        for _ in 0..4 {
            let terms = Terms {
                start_by: self.client.world().now() + self.random.below(2_000_000),
                deadline: self.client.world().now() + self.random.below(4_000_000),
                retry: Retry::Started,
            };
            let ticket = match self.random.below(3) {
                0 => self.client.submit(&[7; 64], terms).ok(),
                1 => self.client.draft(300).ok().map(|draft| {
                    self.client.payload(&draft).write(self.client.world(), 0, &[7; 300]);
                    self.client.submit_draft(draft, 300, terms)
                }),
                _ => self.client.draft_opening(8).ok().map(|draft| {
                    self.client.payload(&draft).write(self.client.world(), 0, &[7; 8]);
                    self.client.submit_draft(draft, 8, terms)
                }),
            };
            self.open.extend(ticket);
        }
    }

    fn receive(&mut self, ticket: Ticket) {
        for _ in 0..ITEMS_MAX {
            match self.client.receive(ticket) {
                Ok(Some(StreamItem::Bytes(span) | StreamItem::End(Some(span)))) => {
                    self.copy(span);
                }
                Ok(Some(StreamItem::Opening(response))) => self.read(ticket, response),
                Ok(Some(StreamItem::End(None) | StreamItem::Failed)) => {}
                Ok(None) | Err(_) => return,
            }
            self.client.taken(ticket);
        }
        panic!("a stream of {ITEMS_MAX} items in one turn has no window");
    }

    fn read(&self, ticket: Ticket, response: Response) {
        if response.form == Form::Chunks {
            return;
        }
        let mut bytes = vec![0; response.bytes as usize];
        self.client.answer(ticket, response).read(self.client.world(), 0, &mut bytes);
    }

    fn copy(&self, span: Span) {
        self.client.world().copy_out(span, &mut vec![0; span.bytes() as usize]);
    }

    /// A pool that cannot be trusted is made anew, and now and then a shard is replaced.
    fn give_up_now_and_then(&mut self) {
        let broken = match self.client.draft(1) {
            Ok(draft) => {
                self.client.discard(draft);
                false
            }
            Err(refused) => refused == Refused::Broken,
        };
        if broken || self.client.spoiled() > 2 {
            self.memory.clear();
            Registry::of(self.region).enlist(WORKER);
            self.add(Note::Rebuilt, 1);
        } else if !self.random.one_in(20) {
            return;
        }
        self.open.clear();
        self.client = Client::of(self.region, SHARD);
    }

    fn add(&self, note: Note, number: u64) {
        self.notes.at(note as usize).fetch_add(number, Ordering::Relaxed);
    }
}

/// A worker as it should be. What it reads and answers may be anything.
fn work(region: &Arc<Region>) {
    let mut server = Server::of(region, WORKER, 2, SpinPolicy::NEVER);
    let bell = region.doorbell(Doorbell::Worker(WORKER));
    loop {
        match server.poll() {
            Next::Job(job) => answer(&mut server, job),
            Next::Block => {
                let bound = Duration::from_nanos(BLOCK_NS_MAX / 100);
                wait_readable(&[bell], Some(bound)).unwrap();
                take_count(bell);
            }
            // Somebody writes that the pool stops.
            Next::Leave | Next::Moved(_) | Next::Spin | Next::Withdrawn(_) => {}
        }
    }
}

fn answer(server: &mut Server<Mapped>, job: Job) {
    match job.request().form {
        Form::Inline => {
            let mut request = vec![0; job.request().bytes as usize];
            server.read_request(&job, &mut request);
            server.complete(job, 200, &request).expect("it fits");
        }
        Form::Extents => match server.draft(1_000) {
            Some(draft) => server.complete_draft(job, draft, 200, 1_000),
            None => server.complete(job, 503, &[]).expect("it fits"),
        },
        Form::Chunks => {
            let draft = server.draft_opening(8).expect("it fits into the slot");
            server.open(&job, draft, 200, 8);
            while let Ok(Some(_)) = server.receive(&job) {
                server.taken(&job);
            }
            let _ = server.send(&job, &[1; 500]);
            let _ = server.send_end(&job, &[]);
            server.finish_stream(job);
        }
    }
}

/// Who writes garbage.
struct Garbage {
    memory: Control,
    random: Random,
}

impl Garbage {
    fn new(region: &Arc<Region>, seed: u64) -> Self {
        Self { memory: Control::of(region), random: Random::new(seed) }
    }

    fn write(mut self) {
        loop {
            let until = monotonic_ns() + self.random.below(400_000);
            match self.random.below(4) {
                0 => self.write_to(until, self.memory.count),
                1 | 2 => {
                    let few = 1 + self.random.below(64) as usize;
                    self.write_to(until, few);
                }
                // The shard gets on, to where only garbage of that moment leads.
                _ => while monotonic_ns() < until {},
            }
        }
    }

    /// Writes to any of so many words behind each other.
    fn write_to(&mut self, until: u64, words: usize) {
        let first = self.random.below((self.memory.count - words + 1) as u64) as usize;
        while monotonic_ns() < until {
            for _ in 0..64 {
                let at = first + self.random.below(words as u64) as usize;
                let garbage = self.garbage(at);
                self.memory.at(at).store(garbage, Ordering::Relaxed);
            }
        }
    }

    /// Something, more often than not near to what stands there or elsewhere.
    fn garbage(&mut self, at: usize) -> u64 {
        let seen = self.memory.word(at);
        match self.random.below(10) {
            0 => self.random.next(),
            1 => u64::MAX,
            2 => 0,
            3 => self.random.below(64),
            4 => seen.wrapping_add(1),
            5 => seen.wrapping_sub(self.random.below(9)),
            6 => seen ^ self.random.below(16),
            7 => self.memory.word(self.random.below(self.memory.count as u64) as usize),
            _ => seen ^ 1 << self.random.below(64),
        }
    }
}

/// The words of a pool as bare memory: all that lies before the blocks.
struct Control {
    map: Mapping,
    count: usize,
}

impl Control {
    fn of(region: &Region) -> Self {
        let fd = region.descriptors()[0];
        let map = Mapping::writable(fd, memfd::size(fd).unwrap() as usize).unwrap();
        let (blocks, _) = region.layout().response_blocks_of(0);
        Self { map, count: blocks as usize / size_of::<u64>() }
    }

    fn word(&self, index: usize) -> u64 {
        self.at(index).load(Ordering::Relaxed)
    }

    fn clear(&self) {
        (0..self.count).for_each(|index| self.at(index).store(0, Ordering::Relaxed));
    }

    fn at(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.count);
        // SAFETY: the word lies inside of the mapping, which begins on a page and lives as long as
        // `self`.
        let place = unsafe { self.map.as_ptr().cast::<u64>().add(index) };
        // SAFETY: `place` is aligned and valid for as long as `self`; here it is accessed as an
        // atomic alone. That inline answers are also copied as bytes elsewhere is what this test
        // is for.
        unsafe { AtomicU64::from_ptr(place) }
    }
}

fn child(body: impl FnOnce()) -> Pid {
    match fork().unwrap() {
        Fork::Child(forked) => forked.exit_with(|forked| {
            if forked.follow_parent().unwrap() {
                body();
            }
            0
        }),
        Fork::Parent(pid) => pid,
    }
}

const SHAPE: Shape = Shape {
    shards: 1,
    workers: 3,
    slots: 8,
    slot_bytes: 64,
    request_blocks: 6,
    response_blocks: 6,
};
const SHARD: ShardIndex = ShardIndex(0);
const WORKER: WorkerIndex = WorkerIndex(0);
/// A place whose worker dies all the time.
const SPARE: WorkerIndex = WorkerIndex(2);
const ROUNDS: u64 = 10_000;
/// More than one turn can bring of any stream, or of all.
const ITEMS_MAX: u32 = 64;
const PATIENCE: Duration = Duration::from_secs(40);
