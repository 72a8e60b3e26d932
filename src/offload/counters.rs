//! What a pool counts, in words of its own memory: one writer each, read by whoever likes.
//!
//! | word | writer | readers | ordering | pairs with |
//! |---|---|---|---|---|
//! | each counter | the process that it belongs to | status, supervisor | Relaxed | nothing |
//!
//! A successor counts on from where its predecessor stopped. Counting is a load and a store, no
//! locked instruction; reading costs the writers nothing while nobody looks.

use super::layout::{COUNTER_WORDS, ShardRow, Word, WorkerRow};
use super::word::{ShardIndex, SlotIndex, WorkerIndex};
use super::world::{Ordering, World};

/// What a shard counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ShardCounter {
    /// Jobs that were submitted, repetitions not counted.
    Submitted,
    /// Jobs that were answered.
    Ok,
    /// Jobs whose worker wrote what cannot be.
    Broken,
    /// Jobs that were taken back.
    Cancelled,
    /// Jobs that died with their worker.
    Died,
    /// Jobs that never began in time.
    Expired,
    /// Jobs that began and were not done in time.
    TimedOut,
    /// Jobs that were refused because nothing was free.
    Rejected,
    /// Submissions that repeat one whose worker died.
    Retried,
    /// Doorbells of workers that were rung.
    SignalsSent,
    /// Jobs for which none had to be rung.
    SignalsSuppressed,
    /// Times that the shard went to sleep.
    Sleeps,
}

/// What a worker counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WorkerCounter {
    /// Jobs that it won.
    Claimed,
    /// Jobs that it finished.
    Ok,
    /// Jobs that it skipped, because nobody wanted them any more.
    SkippedCancelled,
    /// Jobs that it skipped, because they were late.
    SkippedExpired,
    /// Doorbells that it rang.
    SignalsSent,
    /// Completions and hints for which none had to be rung.
    SignalsSuppressed,
    /// Times that it found a job while spinning.
    SpinHits,
    /// Times that it spun for nothing.
    SpinMisses,
    /// Times that it went to sleep.
    Sleeps,
    /// Times that a stream had to wait for its reader.
    WindowStalls,
}

/// What a worker measures, in nanoseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Histogram {
    /// From the submission to the beginning.
    QueueWait,
    /// From the beginning to the end.
    Service,
}

impl ShardCounter {
    /// Where it is counted.
    #[must_use]
    pub fn word(self, world: &impl World, shard: ShardIndex) -> Word {
        world.layout().shard_counter(shard, self as u32)
    }

    /// Adds to it, in the row of the calling shard.
    #[inline]
    pub(super) fn add(self, world: &impl World, own: &ShardRow, number: u64) {
        add(world, own.counter(self as u32), number);
    }
}

impl WorkerCounter {
    /// Where it is counted.
    #[must_use]
    pub fn word(self, world: &impl World, worker: WorkerIndex) -> Word {
        world.layout().worker_counter(worker, self as u32)
    }

    /// Adds to it, in the row of the calling worker.
    #[inline]
    pub(super) fn add(self, world: &impl World, own: &WorkerRow, number: u64) {
        add(world, own.counter(self as u32), number);
    }
}

impl Histogram {
    /// Counts a value, in the row of the calling worker: bucket `b` is for what is below 2^b and
    /// not below half of that.
    #[inline]
    pub(super) fn measure(self, world: &impl World, own: &WorkerRow, value_ns: u64) {
        let bucket = (u64::BITS - value_ns.leading_zeros()).min(BUCKETS - 1);
        add(world, own.counter(HISTOGRAMS + self as u32 * BUCKETS + bucket), 1);
    }

    /// How many values were below 2^`bucket` and not below half of that.
    ///
    /// # Panics
    /// Panics when there are not so many buckets.
    #[must_use]
    pub fn count(self, world: &impl World, worker: WorkerIndex, bucket: u32) -> u64 {
        assert!(bucket < BUCKETS);
        let index = HISTOGRAMS + self as u32 * BUCKETS + bucket;
        world.load(world.layout().worker_counter(worker, index), Ordering::Relaxed)
    }
}

/// Adds to a counter of the calling process.
#[inline]
pub fn add(world: &impl World, counter: Word, number: u64) {
    if number > 0 {
        let sum = world.load(counter, Ordering::Relaxed).wrapping_add(number);
        world.store(counter, sum, Ordering::Relaxed);
    }
}

/// The job that a worker runs, as it says itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Current {
    /// Of whom.
    pub shard: ShardIndex,
    /// In which slot.
    pub slot: SlotIndex,
}

impl Current {
    /// As it stands in memory; never 0, which is none.
    #[must_use]
    pub const fn pack(self) -> u64 {
        1 << 32 | (self.shard.0 as u64) << 16 | self.slot.0 as u64
    }

    /// Reads it.
    #[must_use]
    pub const fn unpack(word: u64) -> Option<Self> {
        if word >> 32 != 1 {
            return None;
        }
        Some(Self { shard: ShardIndex((word >> 16) as u16), slot: SlotIndex(word as u16) })
    }
}

/// Buckets of a histogram; the last one has everything from 2^46 ns (20 hours) on.
pub const BUCKETS: u32 = 48;
const HISTOGRAMS: u32 = 16;

const _: () = assert!(HISTOGRAMS + 2 * BUCKETS <= COUNTER_WORDS);
const _: () = assert!((WorkerCounter::WindowStalls as u32) < HISTOGRAMS);
const _: () = assert!((ShardCounter::Sleeps as u32) < COUNTER_WORDS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_comes_back_and_none_is_none() {
        let job = Current { shard: ShardIndex(1023), slot: SlotIndex(65_535) };
        assert_eq!(Current::unpack(job.pack()), Some(job));
        let first = Current { shard: ShardIndex(0), slot: SlotIndex(0) };
        assert_eq!(Current::unpack(first.pack()), Some(first));
        assert_eq!(Current::unpack(0), None);
        assert_eq!(Current::unpack(u64::MAX), None);
    }
}
