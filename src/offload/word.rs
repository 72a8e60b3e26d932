//! What stands in the words of the protocol, packed and unpacked. Pure.
//!
//! ```text
//! slot state   generation:40 | incarnation:12 | worker:8 | state:4
//! hint cell    generation:40 | lap:8 | slot:16
//! life         incarnation:63 | alive:1
//! sleep        sequence; odd is asleep or about to sleep
//! ```
//!
//! **What wraps, and why it may.** A generation is compared for equality only; to be mistaken for
//! its successor 2^40 submissions later, one process would have to stand still between a load and
//! its compare-exchange for all of them. A lap is compared for equality only: a cell was written
//! for the position that the ring asks for or for the one a ring's length before it, never for an
//! older one. An incarnation in a slot has 12 bits: the supervisor gives no incarnation to a
//! process while a slot still names the same 12 bits (`death`). Positions and sleep sequences
//! have 64 bits and do not wrap in the life of a machine.

use std::fmt;

/// A shard, by its place.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ShardIndex(pub u16);

/// A worker of the pool, by its place.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WorkerIndex(pub u8);

/// A slot of one shard.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SlotIndex(pub u16);

impl fmt::Display for ShardIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard/{}", self.0)
    }
}

/// Counts the submissions of a slot, in 40 bits.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Generation(u64);

impl Generation {
    /// The lowest 40 bits of `number`.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number & Self::MASK)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// That of the next submission; after the last one comes 0.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::new(self.0 + 1)
    }

    const BITS: u32 = 40;
    const MASK: u64 = (1 << Self::BITS) - 1;
}

/// The process that has a job: a worker's place and which of its lives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Owner {
    /// The place.
    pub worker: WorkerIndex,
    /// The lowest 12 bits of the life's number.
    pub incarnation: u16,
}

/// Who may do something with a slot, and what happened to it last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SlotState {
    /// The shard's. If the shard dies: its successor's.
    Free,
    /// Anybody's: a worker claims it, its shard cancels it, both by compare-exchange. If the
    /// shard dies: its successor cancels it.
    Ready,
    /// The owner's, which has not begun. If the owner dies: the shard's.
    Claimed(Owner),
    /// The owner's; user code runs. If the owner dies: the shard's.
    Running(Owner),
    /// The shard's; the response is complete, and stays so when the owner dies.
    Done(Owner),
    /// The shard's, until the hint to it is gone.
    Cancelled,
}

impl SlotState {
    /// Whom it names.
    #[must_use]
    pub const fn owner(self) -> Option<Owner> {
        match self {
            Self::Claimed(owner) | Self::Running(owner) | Self::Done(owner) => Some(owner),
            Self::Free | Self::Ready | Self::Cancelled => None,
        }
    }
}

/// The state word of a slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StateWord {
    /// State and owner.
    pub state: SlotState,
    /// Of the submission that it belongs to.
    pub generation: Generation,
}

impl StateWord {
    /// Puts both together.
    #[must_use]
    pub const fn new(state: SlotState, generation: Generation) -> Self {
        Self { state, generation }
    }

    /// As it stands in memory.
    #[inline]
    #[must_use]
    pub const fn pack(self) -> u64 {
        let (tag, owner) = match self.state {
            SlotState::Free => (FREE, 0),
            SlotState::Ready => (READY, 0),
            SlotState::Claimed(owner) => (CLAIMED, owner.pack()),
            SlotState::Running(owner) => (RUNNING, owner.pack()),
            SlotState::Done(owner) => (DONE, owner.pack()),
            SlotState::Cancelled => (CANCELLED, 0),
        };
        tag | owner << STATE_BITS | self.generation.get() << (STATE_BITS + OWNER_BITS)
    }

    /// Whether a word is DONE in a generation, whoever was the owner.
    #[inline]
    #[must_use]
    pub const fn is_done(word: u64, generation: Generation) -> bool {
        word & ((1 << STATE_BITS) - 1) == DONE
            && word >> (STATE_BITS + OWNER_BITS) == generation.get()
    }

    /// Reads it; `None` for what nobody who keeps to the protocol ever writes.
    #[must_use]
    pub const fn unpack(word: u64) -> Option<Self> {
        let bits = (word >> STATE_BITS) & ((1 << OWNER_BITS) - 1);
        let owner = Owner::unpack(bits);
        let state = match word & ((1 << STATE_BITS) - 1) {
            FREE if bits == 0 => SlotState::Free,
            READY if bits == 0 => SlotState::Ready,
            CLAIMED => SlotState::Claimed(owner),
            RUNNING => SlotState::Running(owner),
            DONE => SlotState::Done(owner),
            CANCELLED if bits == 0 => SlotState::Cancelled,
            _ => return None,
        };
        Some(Self { state, generation: Generation::new(word >> (STATE_BITS + OWNER_BITS)) })
    }
}

impl Owner {
    const fn pack(self) -> u64 {
        self.worker.0 as u64 | ((self.incarnation & INCARNATION_MASK) as u64) << WORKER_BITS
    }

    const fn unpack(bits: u64) -> Self {
        Self {
            worker: WorkerIndex((bits & 0xff) as u8),
            incarnation: (bits >> WORKER_BITS) as u16 & INCARNATION_MASK,
        }
    }
}

/// A hint: the slot at this position of the queue was ready in this generation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cell {
    /// Where to look.
    pub slot: SlotIndex,
    /// The lowest 8 bits of how often the ring was filled before; see `Cell::lap_of`.
    pub lap: u8,
    /// Of the submission.
    pub generation: Generation,
}

impl Cell {
    /// What the cell of position `position` says once it is published, in a ring of `cells`, which
    /// is a power of two.
    #[must_use]
    pub const fn lap_of(position: u64, cells: u64) -> u8 {
        ((position >> cells.trailing_zeros()) & 0xff) as u8
    }

    /// As it stands in memory.
    #[must_use]
    pub const fn pack(self) -> u64 {
        self.slot.0 as u64 | (self.lap as u64) << SLOT_BITS | self.generation.get() << 24
    }

    /// Reads it; every word is a cell.
    #[must_use]
    pub const fn unpack(word: u64) -> Self {
        Self {
            slot: SlotIndex((word & 0xffff) as u16),
            lap: ((word >> SLOT_BITS) & 0xff) as u8,
            generation: Generation::new(word >> 24),
        }
    }
}

/// Which life of a place this is, and whether it lasts. The word of a worker is written by the
/// supervisor alone, and says dead only after the kernel said so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Life {
    /// Counts the processes that had this place.
    pub incarnation: u64,
    /// False before the first one, and between the end of one and the start of the next.
    pub alive: bool,
}

impl Life {
    /// As it stands in memory.
    #[must_use]
    pub const fn pack(self) -> u64 {
        self.incarnation << 1 | self.alive as u64
    }

    /// Reads it; every word is a life.
    #[must_use]
    pub const fn unpack(word: u64) -> Self {
        Self { incarnation: word >> 1, alive: word & 1 == 1 }
    }

    /// True when a slot of `owner`, whose place this is, belongs to a process that is gone.
    ///
    /// Remembering which incarnation died last would not do: a place can die twice between two
    /// looks, and a slot of the first death would stay taken for ever.
    #[must_use]
    pub const fn outlived(self, owner: Owner) -> bool {
        !self.alive || self.short() != owner.incarnation
    }

    /// The incarnation as a slot names it.
    #[must_use]
    pub const fn short(self) -> u16 {
        (self.incarnation & INCARNATION_MASK as u64) as u16
    }
}

/// True when the owner of this sleep word sleeps, or is about to.
#[must_use]
pub const fn is_asleep(sleep: u64) -> bool {
    sleep & 1 == 1
}

const FREE: u64 = 0;
const READY: u64 = 1;
const CLAIMED: u64 = 2;
const RUNNING: u64 = 3;
const DONE: u64 = 4;
const CANCELLED: u64 = 5;

const STATE_BITS: u32 = 4;
const WORKER_BITS: u32 = 8;
const INCARNATION_BITS: u32 = 12;
const OWNER_BITS: u32 = WORKER_BITS + INCARNATION_BITS;
const INCARNATION_MASK: u16 = (1 << INCARNATION_BITS) - 1;
const SLOT_BITS: u32 = 16;

const _: () = assert!(STATE_BITS + OWNER_BITS + Generation::BITS == u64::BITS);
const _: () = assert!(SLOT_BITS + u8::BITS + Generation::BITS == u64::BITS);
// Fresh memory is all zero: every slot is free, nobody lives, nobody sleeps.
const _: () = assert!(StateWord::new(SlotState::Free, Generation::new(0)).pack() == 0);
const _: () = assert!(Life { incarnation: 0, alive: false }.pack() == 0);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owners() -> impl Iterator<Item = Owner> {
        (0..=255).flat_map(|worker| {
            (0..1 << INCARNATION_BITS)
                .map(move |incarnation| Owner { worker: WorkerIndex(worker), incarnation })
        })
    }

    #[track_caller]
    fn check(state: SlotState, generation: u64) {
        let word = StateWord::new(state, Generation::new(generation));
        assert_eq!(StateWord::unpack(word.pack()), Some(word));
    }

    #[test]
    fn every_state_and_owner_comes_back() {
        for generation in [0, 1, Generation::MASK] {
            for state in [SlotState::Free, SlotState::Ready, SlotState::Cancelled] {
                check(state, generation);
            }
            for owner in owners() {
                check(SlotState::Claimed(owner), generation);
                check(SlotState::Running(owner), generation);
                check(SlotState::Done(owner), generation);
                let done = StateWord::new(SlotState::Done(owner), Generation::new(generation));
                assert!(StateWord::is_done(done.pack(), done.generation));
                assert!(!StateWord::is_done(done.pack(), done.generation.next()));
                let running = StateWord { state: SlotState::Running(owner), ..done };
                assert!(!StateWord::is_done(running.pack(), done.generation));
            }
        }
    }

    #[test]
    fn what_nobody_writes_is_nothing() {
        for tag in 6..16 {
            assert_eq!(StateWord::unpack(tag), None, "{tag}");
        }
        for tag in [FREE, READY, CANCELLED] {
            assert_eq!(StateWord::unpack(tag | 1 << STATE_BITS), None, "an owner of {tag}");
            assert_eq!(StateWord::unpack(tag | 1 << 23), None, "an incarnation of {tag}");
        }
    }

    #[test]
    fn generations_and_laps_wrap() {
        assert_eq!(Generation::new(Generation::MASK).next(), Generation::new(0));
        assert_eq!(Generation::new(1 << 40), Generation::new(0));
        assert_eq!(Cell::lap_of(511, 512), 0);
        assert_eq!(Cell::lap_of(512, 512), 1);
        assert_eq!(Cell::lap_of(512 * 256 - 1, 512), 255);
        assert_eq!(Cell::lap_of(512 * 256, 512), 0);
        assert_eq!(Cell::lap_of(u64::MAX, 512), 255);
    }

    #[test]
    fn a_lap_differs_from_the_one_before_at_every_position() {
        for position in (512..512 * 600).step_by(64) {
            assert_ne!(Cell::lap_of(position, 512), Cell::lap_of(position - 512, 512));
        }
    }

    #[test]
    fn an_owner_is_gone_iff_it_is_not_the_living_one() {
        let owner = |incarnation| Owner { worker: WorkerIndex(0), incarnation };
        let living = Life { incarnation: 4096 + 7, alive: true };
        assert!(!living.outlived(owner(7)));
        assert!(living.outlived(owner(6)), "the last one");
        assert!(living.outlived(owner(5)), "the one before");
        assert!(living.outlived(owner(8)), "one that never was");
        assert!(Life { alive: false, ..living }.outlived(owner(7)));
    }

    proptest! {
        #[test]
        fn every_word_that_is_read_is_written_back_alike(word: u64) {
            if let Some(state) = StateWord::unpack(word) {
                prop_assert_eq!(state.pack(), word);
            }
            prop_assert_eq!(Cell::unpack(word).pack(), word);
            prop_assert_eq!(Life::unpack(word).pack(), word);
        }

        #[test]
        fn fields_do_not_touch_each_other(
            slot: u16, lap: u8, worker: u8, incarnation in 0..4096u16, number: u64,
        ) {
            let generation = Generation::new(number);
            let cell = Cell { slot: SlotIndex(slot), lap, generation };
            prop_assert_eq!(Cell::unpack(cell.pack()), cell);
            let owner = Owner { worker: WorkerIndex(worker), incarnation };
            let word = StateWord::new(SlotState::Done(owner), generation);
            prop_assert_eq!(StateWord::unpack(word.pack()), Some(word));
        }
    }
}
