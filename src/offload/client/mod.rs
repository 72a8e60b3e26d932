//! The shard's side: submit jobs, wake workers, collect what came of the jobs.
//!
//! | word | writer | readers | ordering | pairs with |
//! |---|---|---|---|---|
//! | `slot.state` | this shard, and whoever claims | both | Release, AcqRel / Acquire | `Server` |
//! | `slot.request`, `submitted`, `deadline` | this shard | the owner | Relaxed | under `state` |
//! | `slot.cancel` | this shard | the owner | Release | `Server::is_withdrawn` |
//! | `attention` | workers set bits, this shard swaps 0 | this shard | Acquire | `Server::finish` |
//! | `epoch` | this shard, once | workers | Relaxed | nothing: a late look is a late skip |
//! | `queued` | this shard | the other shards | Relaxed | nothing: it goes into an estimate |
//!
//! Everything that a worker can write is input here. What the shard acts on are its own records;
//! a word counts where it fits the record, is read once, and is checked before it is used.
//!
//! Each turn: `collect`, `handle_timeout`, `poll_outcome` and `poll_moved` until `None`, any number
//! of `submit`, `send`, `taken`, `release` and `cancel`, then `wake` once, and `arm` before the
//! shard sleeps.

mod bodies;
mod look;
mod streams;

use std::collections::VecDeque;

use super::admission::PoolState;
use super::blocks::{Blocks, Extents};
use super::chunks;
use super::counters::{ShardCounter, WorkerCounter};
use super::death::{self, Fault};
use super::layout::{ShardRow, SlotWords};
use super::queue::Queue;
use super::slot::{Form, Job, Lease, Outcome, Recall, Request, Retry};
use super::wake::{self, Woken};
use super::word::{Generation, Life, ShardIndex, SlotIndex, SlotState, StateWord};
use super::world::{Ordering, World};
use bodies::{Bodies, Callee};

/// A job that was submitted and whose outcome is owed, or whose answer is not released yet.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Ticket {
    slot: SlotIndex,
    /// Counts the submissions of this client.
    number: u64,
}

impl Ticket {
    /// The slot that the job is in.
    #[must_use]
    pub const fn slot(self) -> SlotIndex {
        self.slot
    }
}

/// How long a job may wait and run, and whether it may run twice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Terms {
    /// When it must have begun, on the monotonic clock in nanoseconds.
    pub start_by: u64,
    /// When it must be done.
    pub deadline: u64,
    /// Whether it may run a second time.
    pub retry: Retry,
}

/// Why a job was not submitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    /// The memory cannot be trusted any more: the pool needs new one.
    Broken,
    /// No slot is free.
    Full,
    /// Not so many blocks are free at the moment.
    NoBlocks,
    /// The message is longer than slot and blocks hold together: it must be a stream.
    TooLong,
}

/// A slot that was taken for a job whose body is written where it is to lie.
#[derive(Debug)]
#[must_use = "a slot that is not submitted must be given back by `discard`"]
pub struct Draft {
    slot: SlotIndex,
    /// The blocks that were taken for it.
    extents: Extents,
    /// A stream follows.
    opening: bool,
}

impl Draft {
    /// The slot.
    #[must_use]
    pub const fn slot(&self) -> SlotIndex {
        self.slot
    }
}

/// A job with what it came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ended {
    /// Which one.
    pub ticket: Ticket,
    /// An answer is to be released after it was read; every other outcome is all there is.
    pub outcome: Outcome,
}

/// What this shard knows of a slot.
#[derive(Clone, Copy, Debug)]
struct Record {
    lease: Lease,
    /// Of the last submission; what a worker must have written for its words to count.
    generation: Generation,
    /// Of the ticket.
    number: u64,
}

/// One shard's end of a pool.
#[derive(Debug)]
pub struct Client<W> {
    world: W,
    shard: ShardIndex,
    /// Where its words lie.
    row: ShardRow,
    /// The lowest bits of which life of the shard this is.
    epoch: u16,
    queue: Queue,
    records: Vec<Record>,
    /// What the job of each slot has outside of the slot.
    bodies: Vec<Bodies>,
    /// The blocks for requests.
    blocks: Blocks,
    free: Vec<SlotIndex>,
    /// Outcomes that were not polled yet; with a poll each turn at most one for each slot.
    ended: VecDeque<Ended>,
    /// Slots whose streams have moved since they were polled.
    moved: VecDeque<SlotIndex>,
    /// Slots whose streams could not go on for want of a block.
    starved: VecDeque<SlotIndex>,
    /// Workers that are to hear of something at the next `wake`.
    calls: Vec<Callee>,
    /// Jobs that were published since the last `wake`.
    unannounced: u64,
    /// The count of deaths that was acted on.
    deaths: u64,
    /// Slots that are neither free nor held nor spoiled.
    leased: usize,
    /// Those of them that wait for their hint to be passed.
    withdrawn: usize,
    /// When to look at all of them again.
    look_at: u64,
    /// The time of this turn, once it was needed: the clock costs as much as half a job.
    turn: Option<u64>,
    submissions: u64,
    fault: Option<Fault>,
    /// The queue cannot be trusted any more.
    broken: bool,
}

impl<W: World> Client<W> {
    /// Takes the place of a shard. What its predecessor left is cleaned up: nothing of it is run
    /// that has not begun, and what runs keeps its slot until it ends.
    pub fn attach(world: W, shard: ShardIndex) -> Self {
        let layout = world.layout().clone();
        let epoch = Life::unpack(world.load(layout.epoch(shard), Ordering::Relaxed));
        let life = Life { incarnation: epoch.incarnation.wrapping_add(1), alive: true };
        world.store(layout.epoch(shard), life.pack(), Ordering::Relaxed);
        wake::awake(&world, layout.shard_sleep(shard));
        let queue = Queue::attach(&world, shard);
        let slots = layout.shape().slots as usize;
        let mut client = Self {
            deaths: world.load(layout.deaths(), Ordering::Relaxed),
            world,
            shard,
            row: layout.shard_row(shard),
            epoch: life.incarnation as u16,
            queue,
            records: Vec::with_capacity(slots),
            bodies: Vec::with_capacity(slots),
            blocks: Blocks::new(layout.shape().request_blocks),
            free: Vec::with_capacity(slots),
            ended: VecDeque::with_capacity(slots),
            moved: VecDeque::new(),
            starved: VecDeque::new(),
            calls: Vec::new(),
            unannounced: 0,
            leased: 0,
            withdrawn: 0,
            look_at: 0,
            turn: None,
            submissions: 0,
            fault: None,
            broken: false,
        };
        client.adopt();
        client
    }

    /// Says that this shard is gone for good; what its jobs come to is not collected any more.
    pub fn detach(self) {
        let word = self.world.layout().epoch(self.shard);
        let life = Life::unpack(self.world.load(word, Ordering::Relaxed));
        self.world.store(word, Life { alive: false, ..life }.pack(), Ordering::Relaxed);
        wake::awake(&self.world, self.world.layout().shard_sleep(self.shard));
    }

    /// The world that it works in.
    pub const fn world(&self) -> &W {
        &self.world
    }

    /// Submits a job whose body fits a slot.
    ///
    /// # Errors
    /// Refuses when there is no slot, or the body is too long for one.
    pub fn submit(&mut self, body: &[u8], terms: Terms) -> Result<Ticket, Refused> {
        let fits = u32::try_from(body.len()).ok().filter(|&bytes| bytes <= self.row.slot_bytes());
        let bytes = fits.ok_or(Refused::TooLong)?;
        let slot = self.take_slot()?;
        self.world.copy_in(self.row.inline_request(slot), body);
        Ok(self.submit_in_place(slot, Form::Inline, bytes, terms))
    }

    #[inline]
    fn take_slot(&mut self) -> Result<SlotIndex, Refused> {
        if self.queue.known_room() > 0
            && !self.broken
            && let Some(slot) = self.free.pop()
        {
            return Ok(slot);
        }
        self.search_slot()
    }

    /// Looks harder for a free one.
    #[cold]
    fn search_slot(&mut self) -> Result<SlotIndex, Refused> {
        if self.broken {
            return Err(Refused::Broken);
        }
        let mut room = self.queue.known_room();
        if room == 0 {
            let known = self.queue.room(&self.world);
            room = known.map_err(|error| self.handle_broken(error.into()))?;
        }
        if self.free.is_empty() {
            self.pass_withdrawn();
        }
        match self.free.pop() {
            Some(slot) if room > 0 => Ok(slot),
            slot => {
                self.free.extend(slot);
                self.count(ShardCounter::Rejected, 1);
                Err(Refused::Full)
            }
        }
    }

    #[inline]
    fn submit_in_place(&mut self, slot: SlotIndex, form: Form, bytes: u32, terms: Terms) -> Ticket {
        let now = *self.turn.get_or_insert_with(|| self.world.now());
        let request = Request { bytes, form, epoch: self.epoch };
        let job = Job {
            submitted: now,
            start_by: terms.start_by,
            deadline: terms.deadline,
            request,
            retry: terms.retry,
            attempts: 0,
            streamed: false,
            hint_end: 0,
        };
        self.submissions += 1;
        self.records[index(slot)].number = self.submissions;
        self.leased += 1;
        self.publish(slot, job);
        let look_at = job.next_recall(now).min(now.saturating_add(TICK_NS));
        self.look_at = if self.leased == 1 { look_at } else { self.look_at.min(look_at) };
        self.count(ShardCounter::Submitted, 1);
        Ticket { slot, number: self.submissions }
    }

    /// Wakes workers for everything that was submitted, sent, taken and released since the last
    /// call: once per turn.
    pub fn wake(&mut self) {
        self.turn = None;
        if !self.calls.is_empty() {
            self.call_workers();
        }
        let jobs = std::mem::take(&mut self.unannounced);
        if jobs > 0 {
            let woken = wake::wake(&self.world, jobs, self.first_worker());
            self.count_signals(woken);
        }
    }

    /// Takes over what workers have finished.
    pub fn collect(&mut self) {
        for word in 0..self.row.attention_words() {
            let at = self.row.attention(word);
            let seen = self.world.load(at, Ordering::Relaxed);
            if seen == 0 {
                continue;
            }
            self.expect_answer(word * u64::BITS + seen.trailing_zeros());
            // Pairs with the fetch_or in `Server::finish`: who sees the bit sees DONE.
            let mut bits = self.world.swap(at, 0, Ordering::Acquire);
            while bits != 0 {
                let number = word * u64::BITS + bits.trailing_zeros();
                bits &= bits - 1;
                // Bits behind the last slot are nobody's.
                if let Some(slot) = self.row.slot_index(number as usize) {
                    self.look(slot);
                }
            }
        }
    }

    /// What the first of them has written comes nearer while its bit is taken.
    fn expect_answer(&self, number: u32) {
        if let Some(slot) = self.row.slot_index(number as usize) {
            self.world.expect(self.words(slot).state(), self.row.inline_response(slot));
        }
    }

    /// The next job that has come to its end.
    pub fn poll_outcome(&mut self) -> Option<Ended> {
        self.ended.pop_front()
    }

    /// Something that only a broken worker writes was found, and this is to be done about it.
    pub fn poll_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    /// The answer was read, or nobody wants it; its slot is free.
    ///
    /// # Panics
    /// Panics when the job has not been answered or was released before.
    pub fn release(&mut self, ticket: Ticket) {
        assert!(matches!(self.lease(ticket), Some(Lease::Held)), "the answer is not held");
        if let Some(worker) = self.bodies[index(ticket.slot)].lender() {
            self.calls.push(Callee::Lender(worker));
        }
        self.free_slot(ticket.slot);
    }

    /// Takes a job back. Its outcome comes all the same: an answer, if it came first. False when
    /// it has come already.
    pub fn cancel(&mut self, ticket: Ticket) -> bool {
        let open = matches!(self.lease(ticket), Some(Lease::Open(_)));
        if open {
            self.recall(ticket.slot, Recall::Cancel);
        }
        open
    }

    /// A part of the answer has been passed on: from now on the job cannot run again, and must
    /// be done by `deadline`. False when it has come to its end already.
    pub fn mark_streamed(&mut self, ticket: Ticket, deadline: u64) -> bool {
        match self.lease(ticket) {
            Some(Lease::Open(job)) => {
                let job = Job { streamed: true, start_by: deadline, deadline, ..*job };
                self.records[index(ticket.slot)].lease = Lease::Open(job);
                let words = self.words(ticket.slot);
                self.world.store(words.deadline(), deadline, Ordering::Relaxed);
                self.look_at = self.look_at.min(deadline);
                true
            }
            _ => false,
        }
    }

    /// The job must be done by `deadline` instead, which is not before the one it had.
    pub fn postpone(&mut self, ticket: Ticket, deadline: u64) {
        if let Some(Lease::Open(job)) = self.lease(ticket) {
            self.records[index(ticket.slot)].lease = Lease::Open(Job { deadline, ..*job });
            // Relaxed: who reads it too early looks again when the old one has passed.
            self.world.store(self.words(ticket.slot).deadline(), deadline, Ordering::Relaxed);
        }
    }

    /// When `handle_timeout` is due; `None` while no job is out.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        (self.leased > 0).then_some(self.look_at)
    }

    /// Looks who has died, and, when it is due, at every job: what is over, what was missed, and
    /// whether somebody should be woken for what has waited too long. Cheap when nothing is due.
    pub fn handle_timeout(&mut self, now: u64) {
        self.turn = Some(now);
        // Pairs with the addition in `Registry::bury`: who sees it sees the life ended.
        let deaths = self.world.load(self.world.layout().deaths(), Ordering::Acquire);
        if deaths != self.deaths || (self.leased > 0 && now >= self.look_at) {
            self.deaths = deaths;
            self.look_at_all(now);
        }
    }

    /// Gets ready to sleep; false when something has come up.
    pub fn arm(&mut self) -> bool {
        self.wake();
        if !self.ended.is_empty() || self.has_moved() {
            return false;
        }
        let layout = self.world.layout();
        wake::fall_asleep(&self.world, layout.shard_sleep(self.shard));
        // Excludes that we see nothing finished while a worker sees us awake: it sets a bit and
        // reads our mark (`Server::finish`); we have set it, fence here, and read the bits.
        self.world.fence(Ordering::SeqCst);
        let deaths = self.world.load(layout.deaths(), Ordering::Relaxed);
        if self.is_work_waiting() || deaths != self.deaths {
            self.disarm();
            return false;
        }
        self.count(ShardCounter::Sleeps, 1);
        true
    }

    /// Awake again.
    pub fn disarm(&mut self) {
        wake::awake(&self.world, self.world.layout().shard_sleep(self.shard));
    }

    /// Slots that cannot be used because a worker wrote into them what cannot be.
    #[must_use]
    pub fn spoiled(&self) -> usize {
        self.records.iter().filter(|record| record.lease == Lease::Spoiled).count()
    }

    /// True when nothing is out: there is nothing to collect, and no reason to arm.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.leased == 0 && self.ended.is_empty() && !self.has_moved()
    }

    /// True when some worker has done something that `collect` would find.
    #[must_use]
    pub fn is_work_waiting(&self) -> bool {
        (0..self.row.attention_words())
            .any(|word| self.world.load(self.row.attention(word), Ordering::Relaxed) != 0)
    }

    /// Says how many jobs wait behind the slots of this shard, for the estimates of the others.
    pub fn set_queued(&self, jobs: u32) {
        self.world.store(self.row.queued(), jobs.into(), Ordering::Relaxed);
    }

    /// What the counters of the whole pool say, some of which are on their way.
    #[must_use]
    pub fn pool_state(&self) -> PoolState {
        let layout = self.world.layout();
        let read = |word| self.world.load(word, Ordering::Relaxed);
        let waiting = |shard| {
            // The head first: the tail is never behind it.
            let head = read(layout.head(shard));
            let hints = read(layout.tail(shard)).wrapping_sub(head).min(layout.cells());
            hints + read(layout.queued(shard)).min(u32::MAX.into())
        };
        let sum = |counter: WorkerCounter| {
            let counts = layout.workers().map(|worker| read(counter.word(&self.world, worker)));
            counts.fold(0, u64::wrapping_add)
        };
        let skipped =
            sum(WorkerCounter::SkippedCancelled).wrapping_add(sum(WorkerCounter::SkippedExpired));
        PoolState {
            waiting: layout.shards().map(waiting).sum(),
            own_waiting: waiting(self.shard),
            begun: sum(WorkerCounter::Claimed).wrapping_sub(skipped),
            completed: sum(WorkerCounter::Ok),
            alive: layout.workers().any(|worker| Life::unpack(read(layout.life(worker))).alive),
        }
    }

    /// Blocks that are free.
    #[must_use]
    pub fn free_blocks(&self) -> usize {
        self.blocks.free()
    }

    /// Slots that are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Cleans up after the predecessor.
    fn adopt(&mut self) {
        let layout = self.world.layout().clone();
        for word in 0..layout.attention_words() {
            // Before the slots are read, so that no later bit is lost. Pairs with the fetch_or in
            // `Server::finish`.
            self.world.swap(layout.attention(self.shard, word), 0, Ordering::Acquire);
        }
        let until = self.queue.tail();
        for slot in layout.slots() {
            let (lease, generation) = death::adopt(&self.world, self.shard, slot, until);
            self.records.push(Record { lease, generation, number: 0 });
            self.bodies.push(Bodies::default());
            match lease {
                Lease::Free => self.free.push(slot),
                Lease::Overtaken => self.keep_lent(slot),
                Lease::Spoiled => self.accuse(Fault::Memory),
                Lease::Withdrawn { .. } => self.withdrawn += 1,
                Lease::Held | Lease::Open(_) => {}
            }
            if matches!(lease, Lease::Free | Lease::Withdrawn { .. }) {
                chunks::clear(&self.world, self.words(slot));
            }
            self.leased += usize::from(matches!(lease, Lease::Overtaken | Lease::Withdrawn { .. }));
        }
        self.set_queued(0);
        // Answers that nobody waits for any more have become free, and their blocks with them.
        self.calls.extend(layout.workers().map(Callee::Lender));
        self.call_workers();
        self.pass_withdrawn();
    }

    /// Writes the descriptor and makes the slot ready, once more or for the first time. There
    /// must be room in the queue.
    #[inline]
    fn publish(&mut self, slot: SlotIndex, job: Job) {
        let words = self.words(slot);
        let generation = self.records[index(slot)].generation.next();
        self.records[index(slot)].generation = generation;
        self.world.store(words.submitted(), job.submitted, Ordering::Relaxed);
        self.world.store(words.deadline(), job.deadline, Ordering::Relaxed);
        self.world.store(words.request(), job.request.pack(), Ordering::Relaxed);
        self.world.store(words.cancel(), 0, Ordering::Relaxed);
        if job.request.form != Form::Inline {
            self.list_request(slot, job.request.form);
        }
        let ready = StateWord::new(SlotState::Ready, generation).pack();
        // Pairs with the compare-exchange in `Server::claim`: who wins sees body and descriptor.
        self.world.store(words.state(), ready, Ordering::Release);
        let hint_end = self.queue.publish(&self.world, slot, generation);
        let job = Job { attempts: job.attempts + 1, hint_end, ..job };
        self.records[index(slot)].lease = Lease::Open(job);
        self.unannounced += 1;
    }

    fn handle_broken(&mut self, fault: Fault) -> Refused {
        self.broken = true;
        self.accuse(fault);
        Refused::Broken
    }

    fn unlease(&mut self, slot: SlotIndex) {
        self.leased -= 1;
        self.free_slot(slot);
    }

    #[inline]
    fn free_slot(&mut self, slot: SlotIndex) {
        if !self.bodies[index(slot)].is_empty() {
            self.clear_bodies(slot);
        }
        let words = self.words(slot);
        let record = &mut self.records[index(slot)];
        record.lease = death::free(&self.world, words, record.generation);
        self.free.push(slot);
    }

    #[inline]
    fn end(&mut self, slot: SlotIndex, outcome: Outcome) {
        let ticket = Ticket { slot, number: self.records[index(slot)].number };
        self.ended.push_back(Ended { ticket, outcome });
        let counter = match outcome {
            Outcome::Answered(_) => ShardCounter::Ok,
            Outcome::Broken => ShardCounter::Broken,
            Outcome::Cancelled => ShardCounter::Cancelled,
            Outcome::Died { .. } => ShardCounter::Died,
            Outcome::Expired => ShardCounter::Expired,
            Outcome::TimedOut => ShardCounter::TimedOut,
        };
        self.count(counter, 1);
    }

    #[inline]
    fn lease(&self, ticket: Ticket) -> Option<&Lease> {
        let record = &self.records[index(ticket.slot)];
        (record.number == ticket.number).then_some(&record.lease)
    }

    /// Shards begin at different workers, so that they do not all wake the same ones.
    fn first_worker(&self) -> usize {
        let shape = self.world.layout().shape();
        usize::from(self.shard.0) * usize::from(shape.workers) / usize::from(shape.shards)
    }

    fn words(&self, slot: SlotIndex) -> SlotWords {
        self.row.slot(slot)
    }

    fn count_signals(&self, woken: Woken) {
        self.count(ShardCounter::SignalsSent, woken.sent);
        self.count(ShardCounter::SignalsSuppressed, woken.suppressed);
    }

    fn count(&self, counter: ShardCounter, number: u64) {
        counter.add(&self.world, &self.row, number);
    }
}

const fn index(slot: SlotIndex) -> usize {
    slot.0 as usize
}

/// While jobs are out, all of them are looked at this often: nothing hangs on anybody else.
pub const TICK_NS: u64 = 250_000_000;
