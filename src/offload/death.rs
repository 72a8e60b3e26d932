//! Who lives, and what becomes of what the dead had.
//!
//! | word | writer | readers | ordering | pairs with |
//! |---|---|---|---|---|
//! | `life` | the supervisor | all | Release / Acquire | `bury` with `life_of` |
//! | `deaths` | the supervisor | shards | Release / Acquire | `bury` with `Client::arm` |
//! | `epoch` | its shard; after its death the supervisor | workers | Relaxed | nothing: a hint |
//! | `stop` | the supervisor | workers | Relaxed | the doorbell that follows |
//!
//! Nobody is dead because he is silent. `bury` is called after the kernel has said that the
//! process is gone, and from then on nothing of it can write. The order in `bury` matters: when a
//! shard learns of the death, the life already says so and nobody rings for the dead any more.

use super::layout::{Doorbell, SlotWords};
use super::queue::BrokenQueue;
use super::slot::{Lease, cancel_word};
use super::wake;
use super::word::{
    Generation, Life, Owner, ShardIndex, SlotIndex, SlotState, StateWord, WorkerIndex,
};
use super::world::{Ordering, World};

/// The life of a worker's place.
pub(super) fn life_of(world: &impl World, worker: WorkerIndex) -> Life {
    // Pairs with the stores in `Registry`: who sees a life ended sees all that it wrote.
    Life::unpack(world.load(world.layout().life(worker), Ordering::Acquire))
}

/// The supervisor's side.
#[derive(Debug)]
pub struct Registry<W> {
    world: W,
}

/// A job whose worker does not come back from it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Overdue {
    /// Who has it.
    pub worker: WorkerIndex,
    /// Who waits for it.
    pub shard: ShardIndex,
    /// Where it is.
    pub slot: SlotIndex,
    /// When it should have been done.
    pub deadline: u64,
    /// When it began.
    pub started: u64,
}

impl<W: World> Registry<W> {
    /// Writes the header and the beginning of every queue into memory that is all zero.
    pub fn create(world: W) -> Self {
        let layout = world.layout();
        for (word, value) in layout.header() {
            world.store(word, value, Ordering::Relaxed);
        }
        for shard in layout.shards() {
            // The second lap is the first one, so that a fresh cell belongs to no position.
            world.store(layout.head(shard), layout.cells(), Ordering::Relaxed);
            world.store(layout.tail(shard), layout.cells(), Ordering::Relaxed);
        }
        Self { world }
    }

    /// Goes on with memory that another image of this program made.
    pub fn attach(world: W) -> Self {
        let epoch = world.layout().supervisor_epoch();
        world.fetch_add(epoch, 1, Ordering::Relaxed);
        Self { world }
    }

    /// Gives a place to a worker that is about to start. Whoever was there before is buried; that
    /// the word says so is not asked for, because any worker can write it.
    pub fn enlist(&self, worker: WorkerIndex) -> Life {
        let last = life_of(&self.world, worker);
        let mut life = Life { incarnation: last.incarnation.wrapping_add(1), alive: true };
        // A slot names an incarnation by 12 bits. One that a slot still names from long ago is
        // left out, or that slot would count as living again. Only garbage names them all.
        for _ in 0..INCARNATIONS {
            if !self.is_named(worker, life.short()) {
                break;
            }
            life.incarnation = life.incarnation.wrapping_add(1);
        }
        let word = self.world.layout().life(worker);
        // Pairs with the load in `life_of`.
        self.world.store(word, life.pack(), Ordering::Release);
        life
    }

    /// A worker is gone, and the kernel said so.
    pub fn bury(&self, worker: WorkerIndex) {
        let layout = self.world.layout();
        let dead = Life { alive: false, ..life_of(&self.world, worker) };
        // Pairs with the load in `life_of`.
        self.world.store(layout.life(worker), dead.pack(), Ordering::Release);
        wake::clear_idle(&self.world, worker);
        wake::clear_spinning(&self.world, worker);
        // Pairs with the loads in `Client`: who sees the count sees the life ended.
        self.world.fetch_add(layout.deaths(), 1, Ordering::Release);
        self.kick_all();
    }

    /// A shard is gone, and the kernel said so. Its successor cleans up.
    pub fn bury_shard(&self, shard: ShardIndex) {
        let word = self.world.layout().epoch(shard);
        let life = Life::unpack(self.world.load(word, Ordering::Relaxed));
        let dead = Life { alive: false, ..life }.pack();
        self.world.store(word, dead, Ordering::Relaxed);
        self.kick_workers();
    }

    /// Has every worker leave as soon as it has nothing to do.
    pub fn stop(&self) {
        self.world.store(self.world.layout().stop(), 1, Ordering::Relaxed);
        self.kick_workers();
    }

    /// The jobs that are `force_ns` past their deadline: whoever has one does not come back from
    /// it. Slots are looked at only for workers that say of themselves that it could be so.
    #[must_use]
    pub fn overdue(&self, now: u64, force_ns: u64) -> Vec<Overdue> {
        let layout = self.world.layout();
        let is_late = |limit: u64| limit != 0 && limit.saturating_add(force_ns) <= now;
        let mut late = Vec::new();
        for worker in layout.workers() {
            let limit = self.world.load(layout.hard_limit(worker), Ordering::Relaxed);
            let life = life_of(&self.world, worker);
            if life.alive && is_late(limit) {
                let jobs = self.jobs_of(worker, life.short());
                late.extend(jobs.into_iter().filter(|job| is_late(job.deadline)));
            }
        }
        late
    }

    /// What a worker is running, as its place says; also of one that is dead and not buried yet.
    #[must_use]
    pub fn running(&self, worker: WorkerIndex) -> Vec<Overdue> {
        let life = life_of(&self.world, worker);
        let owner = Owner { worker, incarnation: life.short() };
        let mut jobs = self.jobs_of(worker, life.short());
        jobs.retain(|job| {
            let word = self.world.layout().slot(job.shard, job.slot).state();
            // Pairs with the store in `Server::begin`: who sees the job running sees its start.
            let state = StateWord::unpack(self.world.load(word, Ordering::Acquire));
            state.is_some_and(|word| word.state == SlotState::Running(owner))
        });
        jobs
    }

    /// When the first of its jobs should be done, as a worker says itself; `None` without one.
    #[must_use]
    pub fn hard_limit(&self, worker: WorkerIndex) -> Option<u64> {
        let limit = self.world.load(self.world.layout().hard_limit(worker), Ordering::Relaxed);
        (limit != 0).then_some(limit)
    }

    /// The world that it works in.
    pub const fn world(&self) -> &W {
        &self.world
    }

    /// What a worker has.
    fn jobs_of(&self, worker: WorkerIndex, incarnation: u16) -> Vec<Overdue> {
        let owner = Owner { worker, incarnation };
        let mut jobs = Vec::new();
        self.for_each_slot(|shard, slot, state| {
            if matches!(state, SlotState::Claimed(by) | SlotState::Running(by) if by == owner) {
                let words = self.world.layout().slot(shard, slot);
                let deadline = self.world.load(words.deadline(), Ordering::Relaxed);
                let started = self.world.load(words.started(), Ordering::Relaxed);
                jobs.push(Overdue { worker, shard, slot, deadline, started });
            }
        });
        jobs
    }

    fn is_named(&self, worker: WorkerIndex, incarnation: u16) -> bool {
        let owner = Owner { worker, incarnation };
        let mut named = false;
        self.for_each_slot(|_, _, state| named |= state.owner() == Some(owner));
        named
    }

    fn for_each_slot(&self, mut look: impl FnMut(ShardIndex, SlotIndex, SlotState)) {
        let layout = self.world.layout();
        for shard in layout.shards() {
            for slot in layout.slots() {
                let word = layout.slot(shard, slot).state();
                // Pairs with the stores in `Server`.
                let seen = self.world.load(word, Ordering::Acquire);
                if let Some(word) = StateWord::unpack(seen) {
                    look(shard, slot, word.state);
                }
            }
        }
    }

    fn kick_workers(&self) {
        for worker in self.world.layout().workers() {
            self.world.ring(Doorbell::Worker(worker));
        }
    }

    fn kick_all(&self) {
        for shard in self.world.layout().shards() {
            self.world.ring(Doorbell::Shard(shard));
        }
        self.kick_workers();
    }
}

/// What a shard finds in a slot of its predecessor: the lease that it begins with, and the
/// generation that it goes on from. `until` is behind every hint of the predecessor.
pub(super) fn adopt(
    world: &impl World,
    shard: ShardIndex,
    slot: SlotIndex,
    until: u64,
) -> (Lease, Generation) {
    let words = world.layout().slot(shard, slot);
    // A job that is won by a worker meanwhile is seen a second time, and no job a third time.
    for _ in 0..2 {
        // Pairs with the stores in `Server`.
        let seen = world.load(words.state(), Ordering::Acquire);
        let Some(word) = StateWord::unpack(seen) else {
            return (Lease::Spoiled, Generation::default());
        };
        let lease = match word.state {
            SlotState::Free => Lease::Free,
            SlotState::Cancelled => Lease::Withdrawn { until },
            SlotState::Ready => {
                let cancelled = StateWord::new(SlotState::Cancelled, word.generation).pack();
                // Pairs with the compare-exchange in `Server::claim`: one of the two has it.
                let order = Ordering::AcqRel;
                if world.compare_exchange(words.state(), seen, cancelled, order).is_err() {
                    continue;
                }
                Lease::Withdrawn { until }
            }
            SlotState::Done(_) => free(world, words, word.generation),
            SlotState::Claimed(owner) | SlotState::Running(owner) => {
                match world.layout().worker(owner.worker.0.into()) {
                    None => Lease::Spoiled,
                    Some(worker) if life_of(world, worker).outlived(owner) => {
                        free(world, words, word.generation)
                    }
                    Some(worker) => {
                        take_back(world, shard, slot, word.generation, worker);
                        Lease::Overtaken
                    }
                }
            }
        };
        return (lease, word.generation);
    }
    (Lease::Spoiled, Generation::default())
}

/// Makes a slot free that is the shard's.
#[inline]
pub(super) fn free(world: &impl World, slot: SlotWords, generation: Generation) -> Lease {
    let word = StateWord::new(SlotState::Free, generation).pack();
    // Pairs with the load in `adopt`: the successor finds the slot as we left it.
    world.store(slot.state(), word, Ordering::Release);
    Lease::Free
}

/// Tells the owner of a job that nobody wants it any more.
pub(super) fn take_back(
    world: &impl World,
    shard: ShardIndex,
    slot: SlotIndex,
    generation: Generation,
    owner: WorkerIndex,
) -> bool {
    let layout = world.layout();
    let cancel = layout.slot(shard, slot).cancel();
    // Pairs with the load in `Server::is_withdrawn`.
    world.store(cancel, cancel_word(generation), Ordering::Release);
    // Excludes that we see the worker awake while it sees its job wanted: it marks itself asleep,
    // fences (`Server::arm`) and reads the word again.
    world.fence(Ordering::SeqCst);
    wake::signal(world, layout.worker_sleep(owner), Doorbell::Worker(owner), Ordering::Relaxed)
}

/// How many incarnations a slot can tell apart.
const INCARNATIONS: u32 = 1 << 12;

/// Something in the memory that only a broken worker writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// This worker wrote it, or was named by who did: it is to be killed if it still lives.
    Worker(Owner),
    /// Nobody knows who: the pool needs new memory.
    Memory,
}

impl From<BrokenQueue> for Fault {
    fn from(_: BrokenQueue) -> Self {
        Self::Memory
    }
}
