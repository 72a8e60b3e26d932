//! Sleeping and waking: who waits, who looks, and whom to ring for.
//!
//! | word | writer | readers | ordering | pairs with |
//! |---|---|---|---|---|
//! | `sleep` | its owner (odd), wakers (even) | wakers | Relaxed | `wake`'s fence with `arm`'s |
//! | `idle` bit | its worker; the supervisor | wakers | Relaxed | the same |
//! | `spinning` bit | its worker; the supervisor | wakers | Relaxed | the same |
//! | `wants` | its worker | shards | Relaxed | the same |
//! | `attention` bit | workers | shard (swaps 0) | SeqCst | `Client::collect`, `Client::arm` |
//!
//! Both sides publish, fence, and look: a waker publishes work and looks who is asleep, a sleeper
//! publishes that it sleeps and looks for work. Whichever fence comes second, its side sees the
//! other. A wake is a signal first and only then the mark that it was sent: a waker that dies
//! between the two has woken somebody for nothing, where the other order would have lost the wake.

use super::layout::{BITMAP_WORDS, Doorbell, ShardRow, Word};
use super::word::{ShardIndex, SlotIndex, WorkerIndex, is_asleep};
use super::world::{Ordering, World};

/// Wakes the owner of a sleep word if it sleeps; true when it did. What it is to see must have
/// been written, and a fence must stand between that and this call, unless `order` and the write
/// before it make up for one.
#[inline]
pub(super) fn signal(world: &impl World, sleep: Word, doorbell: Doorbell, order: Ordering) -> bool {
    let seen = world.load(sleep, order);
    is_asleep(seen) && rouse(world, sleep, seen, doorbell)
}

/// Wakes the owner of a sleep word, who was seen asleep.
#[cold]
fn rouse(world: &impl World, sleep: Word, seen: u64, doorbell: Doorbell) -> bool {
    #[cfg(test)]
    if world.twin() == super::world::Twin::ClearThenSignal {
        let woken = world.compare_exchange(sleep, seen, seen + 1, Ordering::Relaxed).is_ok();
        if woken {
            world.ring(doorbell);
        }
        return woken;
    }
    world.ring(doorbell);
    // Relaxed: the sequence carries no data; to lose here is to have rung for one who is awake.
    world.compare_exchange(sleep, seen, seen.wrapping_add(1), Ordering::Relaxed).is_ok()
}

/// Says that the caller, whose word this is, is about to sleep. A fence follows, then the look.
pub(super) fn fall_asleep(world: &impl World, sleep: Word) {
    world.fetch_or(sleep, 1, Ordering::Relaxed);
}

/// Says that the caller is awake.
pub(super) fn awake(world: &impl World, sleep: Word) {
    let seen = world.load(sleep, Ordering::Relaxed);
    if is_asleep(seen) {
        // To lose here means that a waker has just written the same number.
        let _ = world.compare_exchange(sleep, seen, seen.wrapping_add(1), Ordering::Relaxed);
    }
}

/// A worker calls a shard to a slot: its job is done, or something was sent, taken or refused.
/// True when the shard was woken by it.
#[inline]
pub(super) fn call_shard(
    world: &impl World,
    (shard, row): (ShardIndex, &ShardRow),
    slot: SlotIndex,
) -> bool {
    let (index, bit) = (u32::from(slot.0 / 64), 1 << (slot.0 % 64));
    // This and the load of the mark exclude that we see the shard awake while it sees nothing to
    // do: it marks itself asleep, fences, and looks at these bits (`Client::arm`).
    world.fetch_or(row.attention(index), bit, Ordering::SeqCst);
    // Pairs with the fence in `Client::arm`, as above.
    signal(world, row.sleep(), Doorbell::Shard(shard), Ordering::SeqCst)
}

/// What a worker that sleeps in the middle of jobs would be woken for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Wants(u64);

impl Wants {
    /// An item of a request.
    pub(super) const ITEM: Self = Self(1);
    /// Room in a window, or a free block.
    pub(super) const ROOM: Self = Self(2);

    /// Both together.
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Says it; a fence follows, then the look.
    pub(super) fn publish(self, world: &impl World, worker: WorkerIndex) {
        world.store(world.layout().worker_wants(worker), self.0, Ordering::Relaxed);
    }
}

/// Wakes a worker if it sleeps for want of this. What it is to see must have been written, and a
/// fence must stand between that and this call.
pub(super) fn call_worker(world: &impl World, worker: WorkerIndex, news: Wants) -> bool {
    let wants = world.load(world.layout().worker_wants(worker), Ordering::Relaxed);
    let sleep = world.layout().worker_sleep(worker);
    wants & news.0 != 0 && signal(world, sleep, Doorbell::Worker(worker), Ordering::Relaxed)
}

/// A bit per worker, as it was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Bitmap([u64; BITMAP_WORDS]);

impl Bitmap {
    fn idle(world: &impl World) -> Self {
        Self(std::array::from_fn(|index| word_of(world, index, world.layout().idle(index))))
    }

    fn spinning(world: &impl World) -> Self {
        Self(std::array::from_fn(|index| word_of(world, index, world.layout().spinning(index))))
    }

    fn is_empty(self) -> bool {
        self.0 == [0; BITMAP_WORDS]
    }

    /// Takes the first bit from `start` on, around the end; `None` when no bit is set.
    fn take_from(&mut self, start: usize) -> Option<usize> {
        let (first, bit) = (start / 64 % BITMAP_WORDS, start % 64);
        let above = self.0[first] & (u64::MAX << bit);
        let rest = (1..=BITMAP_WORDS).map(|step| (first + step) % BITMAP_WORDS);
        let candidates = rest.map(|index| (index, self.0[index]));
        let (index, word) =
            std::iter::once((first, above)).chain(candidates).find(|(_, word)| *word != 0)?;
        let bit = word.trailing_zeros() as usize;
        self.0[index] &= !(1 << bit);
        Some(index * 64 + bit)
    }
}

/// Words behind the last worker are not read: they are empty.
fn word_of(world: &impl World, index: usize, at: Word) -> u64 {
    let in_use = index * 64 < usize::from(world.layout().shape().workers);
    if in_use { world.load(at, Ordering::Relaxed) } else { 0 }
}

/// What a call for workers came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Woken {
    /// Signals that were sent.
    pub(super) sent: u64,
    /// Jobs for which nobody was signalled, because somebody looks anyway or all are busy.
    pub(super) suppressed: u64,
}

/// Wakes as many waiting workers as there are new jobs, unless somebody spins who will find them
/// and hand on what is left. The jobs must be published. `start` spreads the callers.
pub(super) fn wake(world: &impl World, jobs: u64, start: usize) -> Woken {
    // Excludes that we see nobody waiting while a worker sees no job: it marks itself, fences and
    // looks at the rings (`Server::arm`); we have published, fence here and look at the marks.
    world.fence(Ordering::SeqCst);
    if !Bitmap::spinning(world).is_empty() {
        return Woken { sent: 0, suppressed: jobs };
    }
    wake_waiting(world, jobs, start)
}

/// The same, whoever spins: for one who has waited for too long to believe in a spinner, which
/// may have been stopped.
pub(super) fn wake_waiting(world: &impl World, jobs: u64, start: usize) -> Woken {
    let mut waiting = Bitmap::idle(world);
    let mut sent = 0;
    while sent < jobs {
        let Some(index) = waiting.take_from(start) else { break };
        // A bit without a worker is none of ours: any worker can write these words.
        let Some(worker) = world.layout().worker(index) else { continue };
        let sleep = world.layout().worker_sleep(worker);
        let doorbell = Doorbell::Worker(worker);
        sent += u64::from(signal(world, sleep, doorbell, Ordering::Relaxed));
    }
    Woken { sent, suppressed: jobs - sent }
}

/// True when some worker spins.
pub(super) fn somebody_spins(world: &impl World) -> bool {
    !Bitmap::spinning(world).is_empty()
}

/// Says that a worker has capacity and waits.
pub(super) fn set_idle(world: &impl World, worker: WorkerIndex) {
    let (index, bit) = place(worker);
    world.fetch_or(world.layout().idle(index), bit, Ordering::Relaxed);
}

/// Takes that back.
pub(super) fn clear_idle(world: &impl World, worker: WorkerIndex) {
    let (index, bit) = place(worker);
    world.fetch_and(world.layout().idle(index), !bit, Ordering::Relaxed);
}

/// Says that a worker looks at the rings all the time.
pub(super) fn set_spinning(world: &impl World, worker: WorkerIndex) {
    let (index, bit) = place(worker);
    world.fetch_or(world.layout().spinning(index), bit, Ordering::Relaxed);
}

/// Takes that back. What it may have kept others from is to be looked at afterwards.
pub(super) fn clear_spinning(world: &impl World, worker: WorkerIndex) {
    let (index, bit) = place(worker);
    world.fetch_and(world.layout().spinning(index), !bit, Ordering::Relaxed);
}

fn place(worker: WorkerIndex) -> (usize, u64) {
    (usize::from(worker.0) / 64, 1 << (worker.0 % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bits: &[usize], start: usize, expected: &[usize]) {
        let mut map = Bitmap([0; BITMAP_WORDS]);
        for bit in bits {
            map.0[bit / 64] |= 1 << (bit % 64);
        }
        let taken: Vec<usize> = std::iter::from_fn(|| map.take_from(start)).collect();
        assert_eq!(taken, expected);
        assert!(map.is_empty());
    }

    #[test]
    fn bits_are_taken_from_the_start_and_around() {
        check(&[], 0, &[]);
        check(&[0, 1, 2], 1, &[1, 2, 0]);
        check(&[3, 63, 64, 200, 255], 64, &[64, 200, 255, 3, 63]);
        check(&[5], 6, &[5]);
        check(&[5, 250], 255, &[5, 250]);
    }
}
