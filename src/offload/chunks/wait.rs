//! How a worker waits for its shard in the middle of a job, and how each side wakes the other.
//!
//! | word | writer | readers | ordering | pairs with |
//! |---|---|---|---|---|
//! | `worker_sleep` | its worker (odd), wakers (even) | wakers | fences | `wake_worker`, `poll` |
//! | `shard_sleep` | its shard (odd), wakers (even) | wakers | fences | `call_shard`, the shard |
//! | `attention` bit | workers | shard (swaps 0) | Release | the shard's swap |
//!
//! Each side publishes, fences and looks: the waker whether somebody sleeps, the sleeper whether
//! there is something to wake up for. Whichever fence comes second, its side sees the other. The
//! signal comes first, then the mark that it was sent: if the waker dies between the two, somebody
//! was woken for nothing; the other way round the wake would be lost.

use crate::offload::layout::{Doorbell, Word};
use crate::offload::word::{ShardIndex, SlotIndex, WorkerIndex, is_asleep};
use crate::offload::world::{Ordering, World};

/// What a worker does next that can go no further without its shard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pause {
    /// Block on the own doorbell, for at most the tick of 250 ms, then ask again.
    Block,
    /// What was waited for has come, or the job was taken back.
    Over,
    /// Ask again at once.
    Spin,
}

/// One wait of a worker whose thread has nothing else to do.
///
/// A worker that runs several jobs at a time does not block for one of them. It looks for news of
/// each where it decides whether to sleep, behind its own fence.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    worker: WorkerIndex,
    spins_left: u32,
    /// The worker has said that it sleeps.
    asleep: bool,
}

impl Waiting {
    /// Begins to wait; looks `spins` times before it sleeps.
    #[must_use]
    pub const fn new(worker: WorkerIndex, spins: u32) -> Self {
        Self { worker, spins_left: spins, asleep: false }
    }

    /// What to do next. `is_over` reads what is waited for, and whether the job was taken back
    /// (`Link::has_news`, `Link::is_cancelled`, `Lent::has_news`): whoever changes one of them
    /// calls [`wake_worker`] afterwards. It is called until it is over: before, the worker looks
    /// asleep to others.
    pub fn poll(&mut self, world: &impl World, is_over: impl Fn() -> bool) -> Pause {
        let sleep = world.layout().worker_sleep(self.worker);
        if std::mem::take(&mut self.asleep) {
            // Each sleep has a number of its own. A waker that has rung and not yet marked it would
            // otherwise mark the next one, for which nobody rings then.
            awake(world, sleep);
        }
        if is_over() {
            return Pause::Over;
        }
        if self.spins_left > 0 {
            self.spins_left -= 1;
            return Pause::Spin;
        }
        // Relaxed: the fence below orders it.
        world.fetch_or(sleep, 1, Ordering::Relaxed);
        // Excludes that we see no news while the shard sees us awake: it writes its window or the
        // cancel word, fences and looks at our word (`wake_worker`).
        world.fence(Ordering::SeqCst);
        if is_over() {
            awake(world, sleep);
            return Pause::Over;
        }
        self.asleep = true;
        Pause::Block
    }
}

/// A worker calls its shard to a slot: something was sent, or taken, or is not wanted.
pub fn call_shard(world: &impl World, shard: ShardIndex, slot: SlotIndex) {
    let (index, bit) = (u32::from(slot.0) / u64::BITS, 1 << (u32::from(slot.0) % u64::BITS));
    let sleep = world.layout().shard_sleep(shard);
    // Release: pairs with the Acquire of the swap by which the shard takes its bits.
    world.fetch_or(world.layout().attention(shard, index), bit, Ordering::Release);
    // Excludes that the shard finds no bit and sleeps while we find it awake: it marks itself,
    // fences and looks at its bits; we have set ours, fence here and look at its mark.
    world.fence(Ordering::SeqCst);
    signal(world, sleep, world.load(sleep, Ordering::Relaxed), Doorbell::Shard(shard));
}

/// A shard wakes the worker of a job if it sleeps: something was sent, or taken, or the job is not
/// wanted any more.
pub fn wake_worker(world: &impl World, worker: WorkerIndex) {
    let sleep = world.layout().worker_sleep(worker);
    // Excludes that we find the worker awake while it finds no news: it marks itself, fences and
    // looks (`Waiting::poll`); we have written the news, fence here and look at its mark.
    world.fence(Ordering::SeqCst);
    signal(world, sleep, world.load(sleep, Ordering::Relaxed), Doorbell::Worker(worker));
}

fn signal(world: &impl World, sleep: Word, seen: u64, doorbell: Doorbell) {
    if is_asleep(seen) {
        world.ring(doorbell);
        // Relaxed: the number carries no data, and to lose means that somebody else has woken it.
        let _ = world.compare_exchange(sleep, seen, seen.wrapping_add(1), Ordering::Relaxed);
    }
}

/// The owner of the word is awake.
fn awake(world: &impl World, sleep: Word) {
    let seen = world.load(sleep, Ordering::Relaxed);
    if is_asleep(seen) {
        // Relaxed, and to lose means that a waker has just written the same number.
        let _ = world.compare_exchange(sleep, seen, seen.wrapping_add(1), Ordering::Relaxed);
    }
}
