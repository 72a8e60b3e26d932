//! The shard's side: submit jobs, wake workers, collect what came of the jobs.
//!
//! | word | writer | readers | ordering | pairs with |
//! |---|---|---|---|---|
//! | `slot.state` | this shard, and whoever claims | both | Release, AcqRel / Acquire | `Server` |
//! | `slot.request`, `submitted`, `deadline` | this shard | the owner | Relaxed | under `state` |
//! | `slot.cancel` | this shard | the owner | Release | `Server::is_withdrawn` |
//! | `attention` | workers set bits, this shard swaps 0 | this shard | Acquire | `Server::finish` |
//! | `epoch` | this shard, once | workers | Relaxed | nothing: a late look is a late skip |
//!
//! Everything that a worker can write is input here. What the shard acts on are its own records;
//! a word counts where it fits the record, is read once, and is checked before it is used.
//!
//! Each turn: `collect`, `handle_timeout`, any number of `submit` and `cancel`, `poll_outcome`
//! until `None`, then `wake` once, and `arm` before the shard sleeps.

mod streams;

use std::collections::VecDeque;

use super::admission::PoolState;
use super::blocks::Extents;
use super::counters::{self, ShardCounter};
use super::death::{self, Fault};
use super::layout::SlotWords;
use super::payload::Payload;
use super::queue::Queue;
use super::slot::{
    self, Action, Form, Job, Lease, Outcome, Recall, Request, Response, Retry, Sight,
};
use super::wake::{self, Woken};
use super::word::{Generation, Life, ShardIndex, SlotIndex, SlotState, StateWord};
use super::world::{Ordering, World};

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
    /// The lowest bits of which life of the shard this is.
    epoch: u16,
    queue: Queue,
    records: Vec<Record>,
    free: Vec<SlotIndex>,
    /// Outcomes that were not polled yet; with a poll each turn at most one for each slot.
    ended: VecDeque<Ended>,
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
            epoch: life.incarnation as u16,
            queue,
            records: Vec::with_capacity(slots),
            free: Vec::with_capacity(slots),
            ended: VecDeque::with_capacity(slots),
            unannounced: 0,
            leased: 0,
            withdrawn: 0,
            look_at: 0,
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
        let slot_bytes = self.world.layout().shape().slot_bytes;
        let fits = u32::try_from(body.len()).ok().filter(|&bytes| bytes <= slot_bytes);
        let bytes = fits.ok_or(Refused::TooLong)?;
        let draft = self.draft(bytes.into())?;
        let span = self.world.layout().inline_request(self.shard, draft.slot);
        self.world.copy_in(span, body);
        Ok(self.submit_in_place(draft, Form::Inline, bytes, terms))
    }

    /// Takes a slot, and blocks, for a job whose whole message has so many bytes.
    ///
    /// # Errors
    /// Refuses when there are none, or the message is too long for any.
    pub fn draft(&mut self, bytes: u64) -> Result<Draft, Refused> {
        let _ = bytes;
        if self.broken {
            return Err(Refused::Broken);
        }
        let room =
            self.queue.room(&self.world).map_err(|error| self.handle_broken(error.into()))?;
        if self.free.is_empty() {
            self.pass_withdrawn();
        }
        match self.free.pop() {
            Some(slot) if room > 0 => {
                Ok(Draft { slot, extents: Extents::default(), opening: false })
            }
            slot => {
                self.free.extend(slot);
                self.count(ShardCounter::Rejected, 1);
                Err(Refused::Full)
            }
        }
    }

    /// Takes a slot, and blocks, for the head of a job whose body follows as a stream.
    ///
    /// # Errors
    /// Refuses when there are none, or the head is too long for any.
    pub fn draft_opening(&mut self, head_bytes: u64) -> Result<Draft, Refused> {
        let _ = head_bytes;
        unimplemented!()
    }

    /// Where the message of a draft is to be written.
    #[must_use]
    pub fn payload(&self, draft: &Draft) -> Payload {
        let _ = draft;
        unimplemented!()
    }

    /// Submits a job whose message was written: so many bytes.
    pub fn submit_draft(&mut self, draft: Draft, bytes: u32, terms: Terms) -> Ticket {
        let _ = (draft, bytes, terms);
        unimplemented!()
    }

    /// Gives a slot back that is not needed after all.
    pub fn discard(&mut self, draft: Draft) {
        self.free.push(draft.slot);
    }

    /// Submits a job whose body lies where `form` says.
    pub fn submit_in_place(
        &mut self,
        draft: Draft,
        form: Form,
        bytes: u32,
        terms: Terms,
    ) -> Ticket {
        let now = self.world.now();
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
        self.records[index(draft.slot)].number = self.submissions;
        self.leased += 1;
        self.publish(draft.slot, job);
        let look_at = job.next_recall(now).min(now.saturating_add(TICK_NS));
        self.look_at = if self.leased == 1 { look_at } else { self.look_at.min(look_at) };
        self.count(ShardCounter::Submitted, 1);
        Ticket { slot: draft.slot, number: self.submissions }
    }

    /// Wakes workers for everything that was submitted since the last call: once per turn.
    pub fn wake(&mut self) {
        let jobs = std::mem::take(&mut self.unannounced);
        if jobs > 0 {
            let woken = wake::wake(&self.world, jobs, self.first_worker());
            self.count_signals(woken);
        }
    }

    /// Takes over what workers have finished.
    pub fn collect(&mut self) {
        for word in 0..self.world.layout().attention_words() {
            let at = self.world.layout().attention(self.shard, word);
            if self.world.load(at, Ordering::Relaxed) == 0 {
                continue;
            }
            // Pairs with the fetch_or in `Server::finish`: who sees the bit sees DONE.
            let mut bits = self.world.swap(at, 0, Ordering::Acquire);
            while bits != 0 {
                let number = word * u64::BITS + bits.trailing_zeros();
                bits &= bits - 1;
                // Bits behind the last slot are nobody's.
                if let Some(slot) = self.world.layout().slot_index(number as usize) {
                    self.look(slot);
                }
            }
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

    /// Where the answer of a job lies until it is released; of a stream, its head.
    ///
    /// # Panics
    /// Panics when the job has neither been answered nor sent the head of its answer, or was
    /// released.
    #[must_use]
    pub fn answer(&self, ticket: Ticket, response: Response) -> Payload {
        let _ = (ticket, response);
        unimplemented!()
    }

    /// The answer was read; its slot is free.
    ///
    /// # Panics
    /// Panics when the job has not been answered or was released before.
    pub fn release(&mut self, ticket: Ticket) {
        assert_eq!(self.lease(ticket), Some(Lease::Held), "the answer is not held");
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
                let job = Job { streamed: true, start_by: deadline, deadline, ..job };
                self.records[index(ticket.slot)].lease = Lease::Open(job);
                let words = self.words(ticket.slot);
                self.world.store(words.deadline(), deadline, Ordering::Relaxed);
                self.look_at = self.look_at.min(deadline);
                true
            }
            _ => false,
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
        if !self.ended.is_empty() {
            return false;
        }
        let layout = self.world.layout();
        wake::fall_asleep(&self.world, layout.shard_sleep(self.shard));
        // Excludes that we see nothing finished while a worker sees us awake: it sets a bit and
        // reads our mark (`Server::finish`); we have set it, fence here, and read the bits.
        self.world.fence(Ordering::SeqCst);
        let attention = (0..layout.attention_words()).any(|word| {
            self.world.load(layout.attention(self.shard, word), Ordering::Relaxed) != 0
        });
        let deaths = self.world.load(layout.deaths(), Ordering::Relaxed);
        if attention || deaths != self.deaths {
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
        unimplemented!()
    }

    /// True when some worker has done something that `collect` would find.
    #[must_use]
    pub fn is_work_waiting(&self) -> bool {
        unimplemented!()
    }

    /// Says how many jobs wait behind the slots of this shard, for the estimates of the others.
    pub fn set_queued(&self, jobs: u32) {
        let _ = jobs;
        unimplemented!()
    }

    /// What the counters of the whole pool say.
    #[must_use]
    pub fn pool_state(&self) -> PoolState {
        unimplemented!()
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
            match lease {
                Lease::Free => self.free.push(slot),
                Lease::Spoiled => self.fault = Some(Fault::Memory),
                _ => self.leased += 1,
            }
            if matches!(lease, Lease::Withdrawn { .. }) {
                self.withdrawn += 1;
            }
        }
        self.pass_withdrawn();
    }

    /// Writes the descriptor and makes the slot ready, once more or for the first time. There
    /// must be room in the queue.
    fn publish(&mut self, slot: SlotIndex, job: Job) {
        let words = self.words(slot);
        let record = &mut self.records[index(slot)];
        record.generation = record.generation.next();
        let generation = record.generation;
        self.world.store(words.submitted(), job.submitted, Ordering::Relaxed);
        self.world.store(words.deadline(), job.deadline, Ordering::Relaxed);
        self.world.store(words.request(), job.request.pack(), Ordering::Relaxed);
        self.world.store(words.cancel(), 0, Ordering::Relaxed);
        let ready = StateWord::new(SlotState::Ready, generation).pack();
        // Pairs with the compare-exchange in `Server::claim`: who wins sees body and descriptor.
        self.world.store(words.state(), ready, Ordering::Release);
        let hint_end = self.queue.publish(&self.world, slot, generation);
        let job = Job { attempts: job.attempts + 1, hint_end, ..job };
        self.records[index(slot)].lease = Lease::Open(job);
        self.unannounced += 1;
    }

    /// Looks at one slot and does what follows. True when its job still waits for a worker.
    fn look(&mut self, slot: SlotIndex) -> bool {
        let lease = self.records[index(slot)].lease;
        if !matches!(lease, Lease::Open(_) | Lease::Overtaken) {
            return false;
        }
        // Pairs with the stores of `Server`: who sees DONE sees the response.
        let mut word = self.world.load(self.words(slot).state(), Ordering::Acquire);
        let mut sight = self.judge(slot, word);
        if matches!(sight, Sight::Orphan { .. }) {
            // The worker may have begun, or ended, between the two looks and died after that.
            // What the dead have written last is what counts, and from now on it stays.
            // Pairs with the stores of `Server`, as above.
            word = self.world.load(self.words(slot).state(), Ordering::Acquire);
            sight = self.judge(slot, word);
        }
        let (lease, action) = slot::look(lease, sight);
        if lease == Lease::Spoiled {
            self.leased -= 1;
            self.fault = Some(self.suspect(word));
        }
        self.records[index(slot)].lease = lease;
        if let Some(action) = action {
            self.act(slot, action, word);
        }
        sight == Sight::Ready
    }

    fn judge(&self, slot: SlotIndex, word: u64) -> Sight {
        let layout = self.world.layout();
        Sight::judge(word, self.records[index(slot)].generation, |owner| {
            let worker = layout.worker(owner.worker.0.into())?;
            let life = death::life_of(&self.world, worker);
            #[cfg(test)]
            if self.world.twin() == super::world::Twin::LastDeathOnly {
                return Some(super::tests::as_if_only_the_last_had_died(life, owner));
            }
            Some(life)
        })
    }

    fn act(&mut self, slot: SlotIndex, action: Action, word: u64) {
        match action {
            Action::End(outcome) => self.end(slot, outcome),
            Action::EndAndFree(outcome) => {
                self.end(slot, outcome);
                self.unlease(slot);
            }
            Action::Free => self.unlease(slot),
            Action::Resubmit => self.resubmit(slot),
            Action::Take => self.take(slot, word),
        }
    }

    /// Reads the response word once and believes only what can be.
    fn take(&mut self, slot: SlotIndex, word: u64) {
        let slot_bytes = self.world.layout().shape().slot_bytes;
        let response = self.world.load(self.words(slot).response(), Ordering::Relaxed);
        let action = slot::take(response, slot_bytes);
        if action == Action::EndAndFree(Outcome::Broken) {
            self.fault = Some(self.suspect(word));
        }
        match action {
            Action::End(outcome) => {
                self.leased -= 1;
                self.end(slot, outcome);
            }
            other => self.act(slot, other, word),
        }
    }

    /// Without room in the queue the slot stays as it is, and the next look tries again.
    fn resubmit(&mut self, slot: SlotIndex) {
        let Lease::Open(job) = self.records[index(slot)].lease else { return };
        match self.queue.room(&self.world) {
            Ok(0) => {}
            Ok(_) => {
                self.publish(slot, job);
                self.count(ShardCounter::Retried, 1);
            }
            Err(error) => {
                self.handle_broken(error.into());
            }
        }
    }

    /// Takes an open job back from the queue, or tells its worker; or finds that it is done.
    fn recall(&mut self, slot: SlotIndex, why: Recall) {
        // More often than a job can be submitted again its state cannot change in between.
        for _ in 0..=slot::ATTEMPTS_MAX {
            let record = self.records[index(slot)];
            let Lease::Open(job) = record.lease else { return };
            let ready = StateWord::new(SlotState::Ready, record.generation).pack();
            let cancelled = StateWord::new(SlotState::Cancelled, record.generation).pack();
            let state = self.words(slot).state();
            // Pairs with the compare-exchange in `Server::claim`: one of the two has the job.
            let order = Ordering::AcqRel;
            match self.world.compare_exchange(state, ready, cancelled, order) {
                Ok(_) => {
                    self.records[index(slot)].lease = Lease::Withdrawn { until: job.hint_end };
                    self.withdrawn += 1;
                    return self.end(slot, why.unclaimed());
                }
                Err(_) => {
                    self.look(slot);
                }
            }
            let record = self.records[index(slot)];
            let word = self.world.load(state, Ordering::Relaxed);
            if matches!(record.lease, Lease::Open(_)) && self.judge(slot, word) == Sight::Lives {
                return self.overtake(slot, word, why);
            }
        }
    }

    /// A worker has the job, which may end without us.
    fn overtake(&mut self, slot: SlotIndex, word: u64, why: Recall) {
        let Some(outcome) = why.claimed() else { return };
        let generation = self.records[index(slot)].generation;
        if let Fault::Worker(owner) = self.suspect(word) {
            let rung = death::take_back(&self.world, self.shard, slot, generation, owner);
            self.count(ShardCounter::SignalsSent, u64::from(rung));
        }
        self.records[index(slot)].lease = Lease::Overtaken;
        self.end(slot, outcome);
    }

    fn look_at_all(&mut self, now: u64) {
        self.look_at = now.saturating_add(TICK_NS);
        let mut waited = 0;
        for slot in self.world.layout().slots() {
            let waits = self.look(slot);
            let Lease::Open(job) = self.records[index(slot)].lease else { continue };
            // What has begun is not asked for its beginning again.
            let due = job.recall_at(now).filter(|&why| waits || why == Recall::Deadline);
            if let Some(why) = due {
                self.recall(slot, why);
            }
            let Lease::Open(job) = self.records[index(slot)].lease else { continue };
            self.look_at = self.look_at.min(job.next_recall(now));
            waited += u64::from(waits && now.saturating_sub(job.submitted) >= TICK_NS);
        }
        self.pass_withdrawn();
        self.nudge(waited);
    }

    /// Somebody who was expected to find these jobs has not: others are woken, whoever spins.
    fn nudge(&mut self, jobs: u64) {
        if jobs > 0 {
            let woken = wake::wake_waiting(&self.world, jobs, self.first_worker());
            self.count(ShardCounter::SignalsSent, woken.sent);
        }
    }

    /// Makes slots free whose hints have been passed, after passing what can be passed.
    fn pass_withdrawn(&mut self) {
        if self.broken {
            return;
        }
        if let Err(error) = self.queue.pass_stale(&self.world) {
            self.handle_broken(error.into());
            return;
        }
        if self.withdrawn == 0 {
            return;
        }
        for slot in self.world.layout().slots() {
            if let Lease::Withdrawn { until } = self.records[index(slot)].lease
                && self.queue.has_passed(until)
            {
                self.withdrawn -= 1;
                self.unlease(slot);
            }
        }
    }

    fn handle_broken(&mut self, fault: Fault) -> Refused {
        self.broken = true;
        self.fault = Some(fault);
        Refused::Broken
    }

    /// Whom a state word names, if there is such a worker.
    fn suspect(&self, word: u64) -> Fault {
        let owner = StateWord::unpack(word).and_then(|word| match word.state {
            SlotState::Claimed(owner) | SlotState::Running(owner) | SlotState::Done(owner) => {
                self.world.layout().worker(owner.worker.0.into())
            }
            SlotState::Free | SlotState::Ready | SlotState::Cancelled => None,
        });
        owner.map_or(Fault::Memory, Fault::Worker)
    }

    fn unlease(&mut self, slot: SlotIndex) {
        self.leased -= 1;
        self.free_slot(slot);
    }

    fn free_slot(&mut self, slot: SlotIndex) {
        let generation = self.records[index(slot)].generation;
        self.records[index(slot)].lease = death::free(&self.world, self.shard, slot, generation);
        self.free.push(slot);
    }

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

    fn lease(&self, ticket: Ticket) -> Option<Lease> {
        let record = self.records[index(ticket.slot)];
        (record.number == ticket.number).then_some(record.lease)
    }

    /// Shards begin at different workers, so that they do not all wake the same ones.
    fn first_worker(&self) -> usize {
        let shape = self.world.layout().shape();
        usize::from(self.shard.0) * usize::from(shape.workers) / usize::from(shape.shards)
    }

    fn words(&self, slot: SlotIndex) -> SlotWords {
        self.world.layout().slot(self.shard, slot)
    }

    fn count_signals(&self, woken: Woken) {
        self.count(ShardCounter::SignalsSent, woken.sent);
        self.count(ShardCounter::SignalsSuppressed, woken.suppressed);
    }

    fn count(&self, counter: ShardCounter, number: u64) {
        counters::add(&self.world, counter.word(&self.world, self.shard), number);
    }
}

const fn index(slot: SlotIndex) -> usize {
    slot.0 as usize
}

/// While jobs are out, all of them are looked at this often: nothing hangs on anybody else.
pub const TICK_NS: u64 = 250_000_000;
