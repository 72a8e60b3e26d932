//! Rows of the layout: where the words of one process lie, for who asks with every job.
//!
//! A row is made by its [`Layout`](super::Layout) alone, so what it gives out lies inside of the
//! memory which that describes.

use super::{
    ATTENTION, Area, COUNTER_WORDS, CURRENT_JOB, CURRENT_START, EPOCH, HARD_LIMIT, HEAD, LIFE,
    QUEUED, SHARD_SLEEP, SLOT_WORDS, SlotWords, Span, TAIL, WORKER_SLEEP, WORKER_WANTS, Word,
};
use crate::offload::word::SlotIndex;

/// Where the words of one shard lie, and its slots: computed once for who asks with every job.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ShardRow {
    pub(super) table: Word,
    pub(super) counters: Word,
    pub(super) ring: Word,
    pub(super) slots: Word,
    /// Offset of the first inline request in the request memory.
    pub(super) requests: usize,
    /// Offset of the first inline response in the control memory.
    pub(super) responses: usize,
    pub(super) cells: u64,
    pub(super) attention_words: u32,
    pub(super) slot_count: u32,
    pub(super) slot_bytes: u32,
}

impl ShardRow {
    /// Which life of the shard it is.
    #[must_use]
    pub const fn epoch(&self) -> Word {
        self.table.after(EPOCH)
    }

    /// The position of the next hint, for the shard's successor.
    #[must_use]
    pub const fn tail(&self) -> Word {
        self.table.after(TAIL)
    }

    /// How many jobs wait behind the slots of the shard.
    #[must_use]
    pub const fn queued(&self) -> Word {
        self.table.after(QUEUED)
    }

    /// The position of the first hint that was not passed yet.
    #[must_use]
    pub const fn head(&self) -> Word {
        self.table.after(HEAD)
    }

    /// The shard's sleep sequence.
    #[must_use]
    pub const fn sleep(&self) -> Word {
        self.table.after(SHARD_SLEEP)
    }

    /// Words of its attention bits.
    #[must_use]
    pub const fn attention_words(&self) -> u32 {
        self.attention_words
    }

    /// Bit per slot: look at it. `index` counts words of 64 slots.
    ///
    /// # Panics
    /// Panics when there are not so many.
    #[must_use]
    pub const fn attention(&self, index: u32) -> Word {
        assert!(index < self.attention_words);
        self.table.after(ATTENTION + index)
    }

    /// A counter of the shard.
    ///
    /// # Panics
    /// Panics when there are not so many.
    #[must_use]
    pub const fn counter(&self, index: u32) -> Word {
        assert!(index < COUNTER_WORDS);
        self.counters.after(index)
    }

    /// Cells of its hint ring, a power of two.
    #[must_use]
    pub const fn cells(&self) -> u64 {
        self.cells
    }

    /// The hint for a position.
    #[must_use]
    pub const fn cell(&self, position: u64) -> Word {
        self.ring.after((position & (self.cells - 1)) as u32)
    }

    /// A slot by a number that somebody else wrote.
    #[must_use]
    pub const fn slot_index(&self, index: usize) -> Option<SlotIndex> {
        if index < self.slot_count as usize { Some(SlotIndex(index as u16)) } else { None }
    }

    /// The words of a slot.
    ///
    /// # Panics
    /// Panics when there are not so many slots.
    #[must_use]
    pub const fn slot(&self, slot: SlotIndex) -> SlotWords {
        SlotWords(self.slots.after(self.checked(slot) * SLOT_WORDS))
    }

    /// Most bytes of a small request or response.
    #[must_use]
    pub const fn slot_bytes(&self) -> u32 {
        self.slot_bytes
    }

    /// Where a small request lies.
    ///
    /// # Panics
    /// Panics when there are not so many slots.
    #[must_use]
    pub const fn inline_request(&self, slot: SlotIndex) -> Span {
        self.inline(Area::Requests, self.requests, slot)
    }

    /// Where a small response lies.
    ///
    /// # Panics
    /// Panics when there are not so many slots.
    #[must_use]
    pub const fn inline_response(&self, slot: SlotIndex) -> Span {
        self.inline(Area::Control, self.responses, slot)
    }

    const fn inline(&self, area: Area, base: usize, slot: SlotIndex) -> Span {
        let bytes = self.slot_bytes;
        Span { area, offset: base + self.checked(slot) as usize * bytes as usize, bytes }
    }

    const fn checked(&self, slot: SlotIndex) -> u32 {
        assert!((slot.0 as u32) < self.slot_count);
        slot.0 as u32
    }
}

/// Where the words of one worker lie: computed once for who asks with every job.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WorkerRow {
    pub(super) table: Word,
    pub(super) counters: Word,
}

impl WorkerRow {
    /// Which life of this place it is.
    #[must_use]
    pub const fn life(&self) -> Word {
        self.table.after(LIFE)
    }

    /// The worker's sleep sequence.
    #[must_use]
    pub const fn sleep(&self) -> Word {
        self.table.after(WORKER_SLEEP)
    }

    /// What the worker would be woken for while it sleeps in the middle of jobs; see `wake`.
    #[must_use]
    pub const fn wants(&self) -> Word {
        self.table.after(WORKER_WANTS)
    }

    /// The earliest deadline of the jobs that the worker runs; 0 is none.
    #[must_use]
    pub const fn hard_limit(&self) -> Word {
        self.table.after(HARD_LIMIT)
    }

    /// The job that the worker began last; see `counters`.
    #[must_use]
    pub const fn current_job(&self) -> Word {
        self.table.after(CURRENT_JOB)
    }

    /// When it began.
    #[must_use]
    pub const fn current_start(&self) -> Word {
        self.table.after(CURRENT_START)
    }

    /// A counter of the worker.
    ///
    /// # Panics
    /// Panics when there are not so many.
    #[must_use]
    pub const fn counter(&self, index: u32) -> Word {
        assert!(index < COUNTER_WORDS);
        self.counters.after(index)
    }
}
