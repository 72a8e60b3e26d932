//! A pool in one process that plays all parts, with a clock that can be put forward.

use std::cell::Cell;
use std::iter;
use std::mem;
use std::rc::Rc;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use corewise::offload::client::{Client, Ended, Terms, Ticket};
use corewise::offload::death::Registry;
use corewise::offload::layout::{Doorbell, Layout, Shape, Span, Word};
use corewise::offload::region::{Mapped, Region};
use corewise::offload::server::{BLOCK_NS_MAX, Job, Next, Server, SpinPolicy};
use corewise::offload::slot::{Outcome, Retry};
use corewise::offload::word::{ShardIndex, SlotState, StateWord, WorkerIndex};
use corewise::offload::world::{Ordering, World};
use corewise::sys::descriptors::take_count;
use corewise::sys::memfd::{self, Mapping};
use corewise::sys::poll::wait_readable;

use crate::shared::Words;
use crate::talk::{Call, Kind, Task};

/// The real world, but for a clock that runs ahead of it: nobody here waits for a tick.
#[derive(Clone, Debug)]
pub(crate) struct Ahead {
    world: Mapped,
    ahead_ns: Rc<Cell<u64>>,
    /// For the proof that it would be found: nobody's ringing is heard.
    deaf: Rc<Cell<bool>>,
}

impl Ahead {
    pub(crate) fn of(region: &Arc<Region>) -> Self {
        // SAFETY: every word and span that these stories hand to it comes from its own layout.
        let world = unsafe { Mapped::new(Arc::clone(region)) };
        Self { world, ahead_ns: Rc::default(), deaf: Rc::default() }
    }

    /// Puts the clock forward to a time.
    fn advance_to(&self, time: u64) {
        self.ahead_ns.set(self.ahead_ns.get() + time.saturating_sub(self.now()));
    }
}

impl World for Ahead {
    fn layout(&self) -> &Layout {
        self.world.layout()
    }

    fn load(&self, at: Word, order: Ordering) -> u64 {
        self.world.load(at, order)
    }

    fn store(&self, at: Word, value: u64, order: Ordering) {
        self.world.store(at, value, order);
    }

    fn compare_exchange(
        &self,
        at: Word,
        current: u64,
        new: u64,
        order: Ordering,
    ) -> Result<u64, u64> {
        self.world.compare_exchange(at, current, new, order)
    }

    fn swap(&self, at: Word, value: u64, order: Ordering) -> u64 {
        self.world.swap(at, value, order)
    }

    fn fetch_or(&self, at: Word, bits: u64, order: Ordering) -> u64 {
        self.world.fetch_or(at, bits, order)
    }

    fn fetch_and(&self, at: Word, bits: u64, order: Ordering) -> u64 {
        self.world.fetch_and(at, bits, order)
    }

    fn fetch_add(&self, at: Word, value: u64, order: Ordering) -> u64 {
        self.world.fetch_add(at, value, order)
    }

    // Pairs with what the caller names.
    fn fence(&self, order: Ordering) {
        // Pairs with what the caller names.
        self.world.fence(order);
    }

    fn ring(&self, doorbell: Doorbell) {
        if !self.deaf.get() {
            self.world.ring(doorbell);
        }
    }

    fn now(&self) -> u64 {
        self.world.now() + self.ahead_ns.get()
    }

    fn copy_in(&self, at: Span, bytes: &[u8]) {
        self.world.copy_in(at, bytes);
    }

    fn copy_out(&self, at: Span, into: &mut [u8]) {
        self.world.copy_out(at, into);
    }
}

/// Who plays a part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    /// The only shard.
    Shard,
    /// One of the workers.
    Worker(WorkerIndex),
}

/// A job whose outcome is owed.
#[derive(Clone, Debug)]
struct Entry {
    call: Call,
    terms: Terms,
    cancelled: bool,
}

/// One worker.
#[derive(Debug)]
pub(crate) struct Hand {
    server: Server<Ahead>,
    worker: WorkerIndex,
    /// Jobs that it has begun.
    tasks: Vec<Task>,
    /// Until when it waits for its doorbell, if it does.
    waits: Option<u64>,
}

/// What the only shard has in this process.
#[derive(Debug)]
pub(crate) struct Desk {
    client: Client<Ahead>,
    /// The jobs of this life of the shard that have not ended.
    open: Vec<(Ticket, Entry)>,
    waits: Option<u64>,
}

/// A pool with all that belongs to it.
#[derive(Debug)]
pub(crate) struct Stage {
    region: Arc<Region>,
    world: Ahead,
    registry: Registry<Ahead>,
    desk: Option<Desk>,
    hands: [Option<Hand>; 2],
    /// How often each job ran, in all processes.
    runs: Rc<Words>,
    /// The number of the next job.
    next: u64,
    /// How often a worker died.
    deaths: u32,
    /// Jobs that may run twice.
    repeatable: Vec<u64>,
    /// Of jobs that nobody waits for any more: how often they had run when they were given up.
    given_up: Vec<(u64, u64)>,
    ticks: u32,
    is_stopped: bool,
}

impl Stage {
    /// A pool without anybody. `runs` counts for one stage after the other.
    pub(crate) fn new(runs: &Rc<Words>) -> Self {
        let region = Arc::new(Region::create(SHAPE, SHAPE.workers).unwrap());
        let world = Ahead::of(&region);
        for number in 0..JOBS_MAX {
            runs.at(number).store(0, Ordering::Relaxed);
        }
        Self {
            registry: Registry::create(world.clone()),
            region,
            world,
            desk: None,
            hands: [None, None],
            runs: Rc::clone(runs),
            next: 1,
            deaths: 0,
            repeatable: Vec::new(),
            given_up: Vec::new(),
            ticks: 0,
            is_stopped: false,
        }
    }

    /// From now on no doorbell rings, here and in what is forked from here.
    pub(crate) fn lose_rings(&self) {
        self.world.deaf.set(true);
    }

    /// What others see of it now.
    pub(crate) fn sight(&self) -> Sight {
        let [control, requests] = [0, 1].map(|index| {
            let fd = self.region.descriptors()[index];
            Mapping::read_only(fd, memfd::size(fd).unwrap() as usize).unwrap()
        });
        // Blocks come last, and what is in one counts only when a word names it.
        let layout = self.world.layout();
        let words = layout.response_blocks_of(0).0 as usize;
        let inline = SHAPE.slots as usize * SHAPE.slot_bytes as usize;
        let maps = [(control, words), (requests, inline)];
        let mut sight = Sight { maps, memory: Vec::new(), spare: Vec::new(), rung: Vec::new() };
        sight.has_changed(self);
        sight
    }

    /// How often nothing but a tick got things going.
    pub(crate) fn ticks(&self) -> u32 {
        self.ticks
    }

    /// Gives a place to a worker that is to attach.
    pub(crate) fn enlist(&self, worker: WorkerIndex) {
        self.registry.enlist(worker);
    }

    /// Has the workers leave when nothing is left to do.
    pub(crate) fn stop(&mut self) {
        self.registry.stop();
        self.is_stopped = true;
    }

    pub(crate) fn attach_shard(&mut self) -> &mut Desk {
        let client = Client::attach(self.world.clone(), SHARD);
        self.desk.insert(Desk { client, open: Vec::new(), waits: None })
    }

    pub(crate) fn attach_worker(&mut self, worker: WorkerIndex, jobs_max: usize, spin: SpinPolicy) {
        let server = Server::attach(self.world.clone(), worker, jobs_max, spin);
        let hand = Hand { server, worker, tasks: Vec::new(), waits: None };
        self.hands[usize::from(worker.0)] = Some(hand);
    }

    /// Enlists a worker, attaches it and has it wait for work.
    pub(crate) fn employ(&mut self, worker: WorkerIndex, jobs_max: usize) {
        self.enlist(worker);
        self.attach_worker(worker, jobs_max, SpinPolicy::NEVER);
        self.work_until_blocked(worker);
    }

    /// Submits a job, which gets the next number of its kind, and begins to send.
    pub(crate) fn submit(&mut self, kind: Kind, terms: Terms) -> Ticket {
        let mut numbers = self.next..;
        let number = numbers.find(|&number| Kind::of(number) == kind).expect("every eighth");
        self.next = number + 1;
        assert!((number as usize) < JOBS_MAX);
        if terms.retry == Retry::Started {
            self.repeatable.push(number);
        }
        let desk = self.desk.as_mut().expect("a shard submits");
        desk.disarm();
        let (ticket, mut call) =
            Call::submit(&mut desk.client, number, terms).expect("there is room");
        call.pump(&mut desk.client, ticket);
        desk.open.push((ticket, Entry { call, terms, cancelled: false }));
        ticket
    }

    pub(crate) fn wake(&mut self) {
        self.desk.as_mut().unwrap().client.wake();
    }

    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        let desk = self.desk.as_mut().unwrap();
        desk.disarm();
        for (_, entry) in desk.open.iter_mut().filter(|(open, _)| *open == ticket) {
            entry.cancelled = true;
        }
        assert!(desk.client.cancel(ticket), "its outcome is owed");
    }

    /// Takes back what would have time for ever.
    pub(crate) fn cancel_endless(&mut self) {
        let open = self.desk.as_ref().unwrap().open.clone();
        for (ticket, _) in open.iter().filter(|(_, entry)| entry.terms.deadline == u64::MAX) {
            self.cancel(*ticket);
        }
    }

    /// Terms without an end.
    pub(crate) fn terms(&self) -> Terms {
        Terms { start_by: u64::MAX, deadline: u64::MAX, retry: Retry::Unstarted }
    }

    pub(crate) fn now(&self) -> u64 {
        self.world.now()
    }

    /// So many nanoseconds later.
    pub(crate) fn pass(&self, nanoseconds: u64) {
        self.world.advance_to(self.now() + nanoseconds);
    }

    /// A shard's turn, to its end or to where it would wait. False while it waits.
    pub(crate) fn turn_shard(&mut self) -> bool {
        let Some(mut desk) = self.desk.take() else { return false };
        let moved = desk.turn(self);
        self.desk = Some(desk);
        moved
    }

    /// The shard sleeps until somebody rings.
    pub(crate) fn sleep_shard(&mut self) {
        while self.turn_shard() {}
    }

    pub(crate) fn detach_shard(&mut self) {
        self.desk.take().unwrap().client.detach();
    }

    /// Has a worker begin a job and keep it.
    pub(crate) fn begin(&mut self, worker: WorkerIndex) {
        let hand = self.hands[usize::from(worker.0)].as_mut().unwrap();
        hand.waits = None;
        loop {
            match hand.server.poll() {
                Next::Job(job) => return hand.begin(job, &self.runs),
                Next::Spin => {}
                other => panic!("there is a job for {worker:?}, not {other:?}"),
            }
        }
    }

    /// Has a worker go on with what it has begun, as far as it goes.
    pub(crate) fn advance(&mut self, worker: WorkerIndex) {
        self.hands[usize::from(worker.0)].as_mut().unwrap().advance();
    }

    /// Has a worker look once; for one that is to spin.
    pub(crate) fn look(&mut self, worker: WorkerIndex) -> Next {
        self.hands[usize::from(worker.0)].as_mut().unwrap().server.poll()
    }

    /// Does all that there is to do for a worker.
    pub(crate) fn work_until_blocked(&mut self, worker: WorkerIndex) {
        let at = usize::from(worker.0);
        let Some(mut hand) = self.hands[at].take() else { return };
        hand.waits = None;
        while hand.waits.is_none() {
            if hand.turn(self) == Turn::Leave {
                return hand.server.detach();
            }
        }
        self.hands[at] = Some(hand);
    }

    /// Whoever plays this part does so in another process: nothing of it is used here any more.
    pub(crate) fn give_away(&mut self, role: Role) {
        match role {
            Role::Shard => self.desk = None,
            Role::Worker(worker) => self.hands[usize::from(worker.0)] = None,
        }
    }

    /// The process is gone, and the kernel said so.
    pub(crate) fn bury(&mut self, role: Role) {
        match role {
            Role::Shard => {
                self.registry.bury_shard(SHARD);
                self.desk = None;
            }
            Role::Worker(worker) => {
                self.registry.bury(worker);
                self.hands[usize::from(worker.0)] = None;
                self.deaths += 1;
            }
        }
    }

    /// A new process takes the place of one that is gone.
    pub(crate) fn succeed(&mut self, role: Role) {
        match role {
            Role::Shard => {
                self.attach_shard();
                let runs = |number| self.runs_of(number);
                self.given_up = (1..JOBS_OF_A_LIFE).map(|number| (number, runs(number))).collect();
                self.next = JOBS_OF_A_LIFE;
            }
            Role::Worker(worker) => {
                self.enlist(worker);
                self.attach_worker(worker, 1, SpinPolicy::NEVER);
            }
        }
    }

    /// Everybody who is here goes on until every job has ended and every slot is free.
    pub(crate) fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            let mut moved = self.turn_shard();
            for at in 0..self.hands.len() {
                moved |= self.turn_worker(at);
            }
            if self.is_settled() {
                self.check();
                return self.check_blocks();
            }
            if !moved {
                self.tick();
            }
        }
        panic!("wedged: {:?}", self.states());
    }

    /// A pool that was shaken still answers at once.
    pub(crate) fn prove_alive(&mut self) {
        if self.is_stopped {
            return;
        }
        let before = self.ticks;
        for kind in [Kind::Inline, Kind::Blocks, Kind::Echo] {
            self.submit(kind, self.terms());
        }
        self.settle();
        assert_eq!(self.ticks, before, "a wake was lost");
    }

    fn turn_worker(&mut self, at: usize) -> bool {
        let Some(mut hand) = self.hands[at].take() else { return false };
        let turn = hand.turn(self);
        if turn == Turn::Leave {
            hand.server.detach();
        } else {
            self.hands[at] = Some(hand);
        }
        turn != Turn::Waits
    }

    fn is_settled(&self) -> bool {
        let desk = self.desk.as_ref().expect("there is a shard at the end");
        let idle = |hand: &Hand| hand.tasks.is_empty();
        desk.open.is_empty()
            && desk.client.free() == SHAPE.slots as usize
            && self.hands.iter().flatten().all(idle)
    }

    /// Puts the clock forward to when the first of them looks by himself.
    fn tick(&mut self) {
        self.ticks += 1;
        assert!(self.ticks <= TICKS_MAX, "wedged: {:?}", self.states());
        let desk = self.desk.iter().filter_map(|desk| desk.waits);
        let hands = self.hands.iter().flatten().filter_map(|hand| hand.waits);
        let first = desk.chain(hands).min().expect("somebody waits");
        self.world.advance_to(first);
    }

    fn check(&self) {
        for (number, word) in self.states() {
            assert_eq!(word.map(|word| word.state), Some(SlotState::Free), "slot {number}");
        }
        for number in 1..self.next {
            let most = 1 + u64::from(self.repeatable.contains(&number));
            assert!(self.runs_of(number) <= most, "job {number} ran {} times", most + 1);
        }
        for &(number, runs) in &self.given_up {
            assert_eq!(self.runs_of(number), runs, "job {number} began after its shard had died");
        }
    }

    /// Every block is free.
    fn check_blocks(&mut self) {
        let client = &mut self.desk.as_mut().expect("there is a shard").client;
        assert_eq!(client.free_blocks(), usize::from(SHAPE.request_blocks), "blocks of the shard");
        for hand in self.hands.iter_mut().flatten() {
            let free = hand.server.free_blocks();
            assert_eq!(free, usize::from(SHAPE.response_blocks), "of {:?}", hand.worker);
        }
    }

    fn states(&self) -> Vec<(u16, Option<StateWord>)> {
        let layout = self.world.layout();
        let state = |slot| self.world.load(layout.slot(SHARD, slot).state(), Ordering::Relaxed);
        layout.slots().map(|slot| (slot.0, StateWord::unpack(state(slot)))).collect()
    }

    fn runs_of(&self, number: u64) -> u64 {
        self.runs.at(number as usize).load(Ordering::Relaxed)
    }

    fn has_rung(&self, doorbell: Doorbell) -> bool {
        take_count(self.region.doorbell(doorbell))
    }

    /// True when one who waits until `until` goes on.
    fn is_over(&self, until: u64, doorbell: Doorbell) -> bool {
        self.has_rung(doorbell) || self.now() >= until
    }
}

impl Desk {
    fn turn(&mut self, stage: &Stage) -> bool {
        if let Some(until) = self.waits {
            if !stage.is_over(until, Doorbell::Shard(SHARD)) {
                return false;
            }
            self.disarm();
        }
        self.client.collect();
        self.client.handle_timeout(stage.now());
        while let Some(ended) = self.client.poll_outcome() {
            self.settle(ended, stage);
        }
        while let Some(moved) = self.client.poll_moved() {
            let open = self.open.iter_mut().find(|(ticket, _)| *ticket == moved);
            let (ticket, entry) = open.expect("a stream of a job of ours");
            entry.call.pump(&mut self.client, *ticket);
        }
        assert_eq!(self.client.poll_fault(), None, "nobody writes garbage here");
        if self.client.arm() {
            self.waits = Some(self.client.poll_timeout().unwrap_or(u64::MAX));
        }
        true
    }

    fn disarm(&mut self) {
        if self.waits.take().is_some() {
            self.client.disarm();
        }
    }

    /// Checks an outcome against what may be.
    fn settle(&mut self, ended: Ended, stage: &Stage) {
        let place = self.open.iter().position(|(ticket, _)| *ticket == ended.ticket);
        let (_, mut entry) = self.open.remove(place.expect("an outcome of a job of ours, once"));
        let number = entry.call.number();
        let runs = stage.runs_of(number);
        match ended.outcome {
            Outcome::Answered(response) => {
                entry.call.check(&mut self.client, ended.ticket, response);
                assert!(runs > 0, "job {number} was answered and never ran");
                self.client.release(ended.ticket);
            }
            Outcome::Broken => panic!("job {number} is broken, and nobody broke it"),
            Outcome::Cancelled => assert!(entry.cancelled, "nobody took job {number} back"),
            Outcome::Died { started } => {
                assert!(stage.deaths > 0, "nobody died");
                assert!(started || stage.deaths > 1, "job {number} had not begun");
                assert!(!started || entry.terms.retry == Retry::Unstarted || stage.deaths > 1);
            }
            Outcome::Expired => {
                assert!(stage.now() >= entry.terms.start_by, "job {number} had time");
            }
            Outcome::TimedOut => {
                assert!(stage.now() >= entry.terms.deadline, "job {number} had time");
            }
        }
    }
}

/// What others see of a pool: its memory, and which doorbells have rung.
#[derive(Debug)]
pub(crate) struct Sight {
    /// Each with the length of what counts.
    maps: [(Mapping, usize); 2],
    memory: Vec<u8>,
    /// For the next look.
    spare: Vec<u8>,
    rung: Vec<bool>,
}

impl Sight {
    /// Looks; whether it is another one than at the last look.
    pub(crate) fn has_changed(&mut self, stage: &Stage) -> bool {
        self.spare.clear();
        for (map, bytes) in &self.maps {
            assert!(*bytes <= map.bytes());
            // SAFETY: that many bytes are mapped, for as long as `map`; whoever may write there
            // stands still while this process looks.
            self.spare.extend(unsafe { slice::from_raw_parts(map.as_ptr(), *bytes) });
        }
        let workers = stage.world.layout().workers().map(Doorbell::Worker);
        let bells = iter::once(Doorbell::Shard(SHARD)).chain(workers);
        let bells: Vec<_> = bells.map(|bell| stage.region.doorbell(bell)).collect();
        let rung = wait_readable(&bells, Some(Duration::ZERO)).unwrap();
        let changed = rung != self.rung || self.spare != self.memory;
        mem::swap(&mut self.spare, &mut self.memory);
        self.rung = rung;
        changed
    }
}

/// What came of a worker's turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Turn {
    Goes,
    Leave,
    Waits,
}

impl Hand {
    fn turn(&mut self, stage: &Stage) -> Turn {
        if let Some(until) = self.waits {
            if !stage.is_over(until, Doorbell::Worker(self.worker)) {
                return Turn::Waits;
            }
            self.waits = None;
        }
        self.advance();
        match self.server.poll() {
            Next::Block => self.waits = Some(stage.now() + BLOCK_NS_MAX),
            Next::Job(job) => self.begin(job, &stage.runs),
            Next::Leave => return Turn::Leave,
            Next::Moved(_) | Next::Spin => {}
            Next::Withdrawn(id) => {
                let task = self.tasks.iter_mut().find(|task| task.id() == id);
                task.expect("a job of ours").withdrawn = true;
            }
        }
        Turn::Goes
    }

    fn begin(&mut self, job: Job, runs: &Words) {
        let task = Task::begin(&self.server, job);
        runs.at(task.number() as usize).fetch_add(1, Ordering::Relaxed);
        self.tasks.push(task);
    }

    fn advance(&mut self) {
        let tasks = mem::take(&mut self.tasks);
        self.tasks = tasks.into_iter().filter_map(|task| task.advance(&mut self.server)).collect();
    }
}

/// As small as it can be, so that every slot and cell is used again and again.
const SHAPE: Shape = Shape {
    shards: 1,
    workers: 2,
    slots: 6,
    slot_bytes: 64,
    request_blocks: 4,
    response_blocks: 4,
};
pub(crate) const SHARD: ShardIndex = ShardIndex(0);
/// Jobs that are counted; those from `JOBS_OF_A_LIFE` on are of a second shard.
pub(crate) const JOBS_MAX: usize = 512;
const JOBS_OF_A_LIFE: u64 = 128;
/// More turns than any sequence needs by far.
const TURNS_MAX: u32 = 200;
const TICKS_MAX: u32 = 2;
