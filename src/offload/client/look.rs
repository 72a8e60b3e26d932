//! What became of jobs: a look at a slot, and what follows from it.

use super::bodies::Callee;
use super::{Client, Record, TICK_NS, index};
use crate::offload::chunks;
use crate::offload::counters::ShardCounter;
use crate::offload::death::{self, Fault};
use crate::offload::slot::{self, Action, Lease, Outcome, Recall, Sight};
use crate::offload::wake;
use crate::offload::word::{SlotIndex, SlotState, StateWord, WorkerIndex};
use crate::offload::world::{Ordering, World};

impl<W: World> Client<W> {
    /// Looks at one slot and does what follows. True when its job still waits for a worker.
    pub(super) fn look(&mut self, slot: SlotIndex) -> bool {
        let Record { lease, generation, .. } = &self.records[index(slot)];
        if !matches!(lease, Lease::Open(_) | Lease::Overtaken) {
            return false;
        }
        // Pairs with the stores of `Server`: who sees DONE sees the response.
        let mut word = self.world.load(self.words(slot).state(), Ordering::Acquire);
        if slot::is_answer(lease, *generation, word) {
            self.records[index(slot)].lease = Lease::Held;
            self.take(slot, word);
            return false;
        }
        let lease = *lease;
        let mut sight = self.judge(slot, word);
        if matches!(sight, Sight::Orphan { .. }) {
            // The worker may have begun, or ended, between the two looks and died after that.
            // What the dead have written last is what counts, and from now on it stays.
            // Pairs with the stores of `Server`, as above.
            word = self.world.load(self.words(slot).state(), Ordering::Acquire);
            sight = self.judge(slot, word);
            // What the dead one lent is its successor's as soon as the slot says something else.
            let worker = self.owner_of(word);
            self.calls.extend(worker.map(Callee::Lender));
        }
        let (lease, action) = slot::look(lease, sight);
        self.records[index(slot)].lease = lease;
        if lease == Lease::Spoiled {
            self.leased -= 1;
            // What is spoiled is not used again, whoever was to blame: before nothing is left, all
            // of it is made anew.
            let is_spent = 2 * self.spoiled() > self.records.len();
            self.accuse(if is_spent { Fault::Memory } else { self.suspect(word) });
        }
        if let Some(action) = action {
            self.act(slot, action, word);
        } else if sight == Sight::Lives && matches!(lease, Lease::Open(_)) {
            self.notice(slot, word);
        }
        sight == Sight::Ready
    }

    fn judge(&self, slot: SlotIndex, word: u64) -> Sight {
        let layout = self.world.layout();
        Sight::judge(word, self.records[index(slot)].generation, |owner| {
            let worker = layout.worker(owner.worker.0.into())?;
            let life = death::life_of(&self.world, worker);
            #[cfg(test)]
            if self.world.twin() == crate::offload::world::Twin::LastDeathOnly {
                return Some(crate::offload::tests::as_if_only_the_last_had_died(life, owner));
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
            Action::Free => {
                // What the worker listed here is its own again.
                let worker = self.owner_of(word);
                self.calls.extend(worker.map(Callee::Lender));
                chunks::clear(&self.world, self.words(slot));
                self.unlease(slot);
            }
            Action::Resubmit => self.resubmit(slot, word),
            Action::Take => self.take(slot, word),
        }
    }

    /// Reads the response word once and believes only what can be.
    fn take(&mut self, slot: SlotIndex, word: u64) {
        let response = self.world.load(self.words(slot).response(), Ordering::Relaxed);
        match slot::take(response, self.row.slot_bytes()) {
            Action::End(Outcome::Answered(response))
                if !self.lies_outside(slot, response) || self.take_over(slot, response, word) =>
            {
                self.leased -= 1;
                self.end(slot, Outcome::Answered(response));
            }
            Action::End(_) | Action::EndAndFree(Outcome::Broken) => {
                self.accuse(self.suspect(word));
                self.act(slot, Action::EndAndFree(Outcome::Broken), word);
            }
            other => self.act(slot, other, word),
        }
    }

    /// Without room in the queue the slot stays as it is, and the next look tries again.
    fn resubmit(&mut self, slot: SlotIndex, word: u64) {
        let Lease::Open(job) = self.records[index(slot)].lease else { return };
        if self.holds_last_blocks(slot) {
            // It got them because a worker waited for it. Now it would wait for a worker, which
            // might wait for another job's stream, which would wait for these blocks.
            let state = StateWord::unpack(word).map(|word| word.state);
            let started = matches!(state, Some(SlotState::Running(_)));
            return self.act(slot, Action::EndAndFree(Outcome::Died { started }), word);
        }
        match self.queue.room(&self.world) {
            Ok(0) => {}
            Ok(_) => {
                self.forget_worker(slot, job.request.form);
                self.publish(slot, job);
                self.count(ShardCounter::Retried, 1);
            }
            Err(error) => {
                self.handle_broken(error.into());
            }
        }
    }

    /// Takes an open job back from the queue, or tells its worker; or finds that it is done.
    pub(super) fn recall(&mut self, slot: SlotIndex, why: Recall) {
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
                    // No worker reads any of it.
                    self.clear_bodies(slot);
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
        if let Some(outcome) = why.claimed() {
            self.abandon(slot, word, outcome);
        }
    }

    /// Gives out the outcome of a job that a worker still has, and tells the worker.
    pub(super) fn abandon(&mut self, slot: SlotIndex, word: u64, outcome: Outcome) {
        let generation = self.records[index(slot)].generation;
        if let Some(owner) = self.owner_of(word) {
            let rung = death::take_back(&self.world, self.shard, slot, generation, owner);
            self.count(ShardCounter::SignalsSent, u64::from(rung));
        }
        self.records[index(slot)].lease = Lease::Overtaken;
        self.end(slot, outcome);
    }

    pub(super) fn look_at_all(&mut self, now: u64) {
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
    pub(super) fn pass_withdrawn(&mut self) {
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

    /// Whom a state word names, if there is such a worker.
    pub(super) fn owner_of(&self, word: u64) -> Option<WorkerIndex> {
        let owner = StateWord::unpack(word)?.state.owner()?;
        self.world.layout().worker(owner.worker.0.into())
    }

    /// Notes who is to blame. That the memory is broken is said once, and everybody is replaced
    /// then: whatever is found beside it does not push it aside.
    pub(super) fn accuse(&mut self, fault: Fault) {
        if self.fault != Some(Fault::Memory) {
            self.fault = Some(fault);
        }
    }

    /// Who wrote what cannot be, as far as the state word of the slot tells.
    pub(super) fn suspect(&self, word: u64) -> Fault {
        let owner = StateWord::unpack(word).and_then(|word| word.state.owner());
        owner.filter(|_| self.owner_of(word).is_some()).map_or(Fault::Memory, Fault::Worker)
    }
}
