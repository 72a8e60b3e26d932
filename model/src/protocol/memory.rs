//! The words that shards, workers and the supervisor share, and the accesses to them.
//!
//! Counters without a bound are kept as what can be asked of them. A sleep sequence is its parity,
//! with a note of who has read the value that it still has; the death counter is whether it moved
//! since the shard looked. That is exact: nobody ever does anything else with those numbers.

use crate::packing::{Codec, choices};
use crate::search::Violation;

pub(crate) const WORKERS: usize = 2;
pub(crate) const SLOTS: usize = 2;
pub(crate) const CELLS: usize = 2 * SLOTS;
/// The index of the shard among those who sleep and wake; the workers come first.
pub(crate) const SHARD: usize = WORKERS;

choices! {
    /// The states of a slot.
    enum Tag { Free, Ready, Claimed, Running, Done, Cancelled }
}

/// A slot: its state word, and the words beside it.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) tag: Tag,
    /// Of the state word; meaningful in Claimed, Running and Done.
    pub(crate) owner: Owner,
    pub(crate) generation: u8,
    /// The word beside it names this very generation; any older one means nothing.
    pub(crate) cancel: bool,
    /// The shard that submitted it still lives: its epoch is the one beside the job.
    pub(crate) current: bool,
    /// Not in the real memory: user code has seen this job.
    pub(crate) started: bool,
}

/// Who took a slot: a worker index, and which of its incarnations.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) worker: u8,
    pub(crate) incarnation: u8,
}

/// A cell of the hint ring. Zeroed memory must not look published: positions start at lap 1.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) lap: u8,
    pub(crate) slot: u8,
    pub(crate) generation: u8,
}

/// The life word of a worker index.
#[derive(Clone, Copy)]
pub(crate) struct Life {
    pub(crate) incarnation: u8,
    pub(crate) alive: bool,
}

/// One who can be asleep: a worker, or the shard.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sleeper {
    /// The parity of the sleep sequence.
    pub(crate) asleep: bool,
    /// Its eventfd is readable.
    pub(crate) rung: bool,
    /// Who has read the sequence at the odd value that it has now, a bit for each. A waker's
    /// compare-exchange succeeds iff its bit is still set.
    pub(crate) witnesses: u8,
}

#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) slots: [Slot; SLOTS],
    pub(crate) cells: [Cell; CELLS],
    pub(crate) head: u8,
    /// The tail's mirror, for the shard's successor.
    pub(crate) mirror: u8,
    /// Workers that wait, a bit for each.
    pub(crate) idle: u8,
    /// Workers that spin.
    pub(crate) spinning: u8,
    /// Slots that are done.
    pub(crate) attention: u8,
    pub(crate) sleepers: [Sleeper; WORKERS + 1],
    pub(crate) lives: [Life; WORKERS],
    /// The death counter is not what the shard saw last.
    pub(crate) deaths_moved: bool,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let owner = Owner::default();
        let slot = Slot {
            tag: Tag::Free,
            owner,
            generation: 0,
            cancel: false,
            current: false,
            started: false,
        };
        Self {
            slots: [slot; SLOTS],
            cells: [Cell::default(); CELLS],
            head: CELLS as u8,
            mirror: CELLS as u8,
            idle: 0,
            spinning: 0,
            attention: 0,
            sleepers: [Sleeper::default(); WORKERS + 1],
            lives: [Life { incarnation: 0, alive: true }; WORKERS],
            deaths_moved: false,
        }
    }

    pub(crate) fn visit(&mut self, codec: &mut impl Codec) {
        for slot in &mut self.slots {
            codec.choice(&mut slot.tag);
            codec.bits(&mut slot.owner.worker, 1);
            codec.bits(&mut slot.owner.incarnation, 2);
            codec.bits(&mut slot.generation, 3);
            codec.flag(&mut slot.cancel);
            codec.flag(&mut slot.current);
            codec.flag(&mut slot.started);
        }
        for cell in &mut self.cells {
            codec.bits(&mut cell.lap, 2);
            codec.bits(&mut cell.slot, 1);
            codec.bits(&mut cell.generation, 3);
        }
        codec.bits(&mut self.head, POSITION_BITS);
        codec.bits(&mut self.mirror, POSITION_BITS);
        codec.bits(&mut self.idle, WORKERS as u32);
        codec.bits(&mut self.spinning, WORKERS as u32);
        codec.bits(&mut self.attention, SLOTS as u32);
        for sleeper in &mut self.sleepers {
            codec.flag(&mut sleeper.asleep);
            codec.flag(&mut sleeper.rung);
            codec.bits(&mut sleeper.witnesses, WORKERS as u32 + 1);
        }
        for life in &mut self.lives {
            codec.bits(&mut life.incarnation, 2);
            codec.flag(&mut life.alive);
        }
        codec.flag(&mut self.deaths_moved);
    }
}

/// The hint ring.
impl Memory {
    /// What the cell says to one who looks for this position.
    pub(crate) fn hint(&self, position: u8, laps_count: bool) -> Option<Cell> {
        let cell = self.cells[usize::from(position) % CELLS];
        (cell.lap == lap(position) || !laps_count).then_some(cell)
    }

    pub(crate) fn store_hint(&mut self, position: u8, slot: usize) -> Result<(), Violation> {
        if self.head > position {
            return Err("the head went past the tail");
        }
        if usize::from(position - self.head) >= CELLS {
            return Err("a hint was written over one that the head has not passed");
        }
        let generation = self.slots[slot].generation;
        self.cells[usize::from(position) % CELLS] =
            Cell { lap: lap(position), slot: slot as u8, generation };
        Ok(())
    }

    /// CAS of the head over one position.
    pub(crate) fn pass_head(&mut self, position: u8) -> bool {
        let passed = self.head == position;
        self.head += u8::from(passed);
        passed
    }
}

/// The shard's epoch: nobody asks more of it than whether it is still the one of a job.
impl Memory {
    pub(crate) fn next_epoch(&mut self) {
        for slot in &mut self.slots {
            slot.current = false;
        }
    }
}

/// The slots, with the rules that each access has to keep.
impl Memory {
    /// The owner that a worker index has now.
    pub(crate) fn owner(&self, worker: usize) -> Owner {
        Owner { worker: worker as u8, incarnation: self.lives[worker].incarnation }
    }

    /// CAS READY -> CLAIMED.
    pub(crate) fn claim(&mut self, slot: usize, generation: u8, worker: usize) -> bool {
        let owner = self.owner(worker);
        let slot = &mut self.slots[slot];
        let won = slot.tag == Tag::Ready && slot.generation == generation;
        if won {
            (slot.tag, slot.owner) = (Tag::Claimed, owner);
        }
        won
    }

    /// A store of the owner: RUNNING or DONE.
    pub(crate) fn store_owned(
        &mut self,
        slot: usize,
        generation: u8,
        worker: usize,
        tag: Tag,
    ) -> Result<(), Violation> {
        let owner = self.owner(worker);
        let slot = &mut self.slots[slot];
        let owned = matches!(slot.tag, Tag::Claimed | Tag::Running) && slot.owner == owner;
        if !owned || slot.generation != generation {
            return Err("a worker stored to a slot that is not its own");
        }
        slot.tag = tag;
        Ok(())
    }

    /// A job for which user code may run once only, and starts now.
    pub(crate) fn start(&mut self, slot: usize, repeatable: bool) -> Result<(), Violation> {
        if self.slots[slot].started && !repeatable {
            return Err("user code saw a job twice");
        }
        self.slots[slot].started = true;
        Ok(())
    }

    /// The store of READY, for a new job or once more for the old one.
    pub(crate) fn store_ready(
        &mut self,
        slot: usize,
        generation: u8,
        again: bool,
    ) -> Result<(), Violation> {
        self.check_ours(slot)?;
        if !again && self.slots[slot].tag != Tag::Free {
            return Err("a job was put into a slot that is taken");
        }
        let started = again && self.slots[slot].started;
        let (tag, owner, cancel, current) = (Tag::Ready, Owner::default(), false, true);
        self.slots[slot] = Slot { tag, owner, generation, cancel, current, started };
        Ok(())
    }

    /// The store of FREE.
    pub(crate) fn store_free(&mut self, slot: usize) -> Result<(), Violation> {
        self.check_ours(slot)?;
        let slot = &mut self.slots[slot];
        let (tag, owner, generation) = (Tag::Free, Owner::default(), slot.generation);
        *slot = Slot { tag, owner, generation, cancel: false, current: false, started: false };
        Ok(())
    }

    /// CAS READY -> CANCELLED.
    pub(crate) fn cancel(&mut self, slot: usize, generation: u8) -> bool {
        let slot = &mut self.slots[slot];
        let won = slot.tag == Tag::Ready && slot.generation == generation;
        if won {
            slot.tag = Tag::Cancelled;
        }
        won
    }

    /// The shard may store to what is free, done or cancelled, and to what the dead left behind.
    fn check_ours(&self, slot: usize) -> Result<(), Violation> {
        let slot = &self.slots[slot];
        let ours = match slot.tag {
            Tag::Free | Tag::Done | Tag::Cancelled => true,
            Tag::Ready => false,
            Tag::Claimed | Tag::Running => self.is_dead(slot.owner),
        };
        if ours { Ok(()) } else { Err("the shard stored to a slot that others may still move on") }
    }

    /// An owner is dead iff its incarnation is not the living one of that worker index.
    pub(crate) fn is_dead(&self, owner: Owner) -> bool {
        let life = self.lives[usize::from(owner.worker)];
        !life.alive || life.incarnation != owner.incarnation
    }
}

/// Sleeping and waking.
impl Memory {
    /// `sequence |= 1`, or making it even; whoever read another value will find that it moved.
    pub(crate) fn set_asleep(&mut self, who: usize, asleep: bool, narrow: bool) {
        let sleeper = &mut self.sleepers[who];
        if sleeper.asleep != asleep && !narrow {
            sleeper.witnesses = 0;
        }
        sleeper.asleep = asleep;
    }

    /// Reads somebody's sleep sequence: odd?
    pub(crate) fn read_asleep(&mut self, who: usize, by: usize) -> bool {
        if self.sleepers[who].asleep {
            self.sleepers[who].witnesses |= 1 << by;
        }
        self.sleepers[who].asleep
    }

    /// CAS of somebody's sleep sequence from the odd value read before to the even one after it.
    pub(crate) fn cas_awake(&mut self, who: usize, by: usize, narrow: bool) -> bool {
        let sleeper = &mut self.sleepers[who];
        let won = sleeper.asleep && sleeper.witnesses >> by & 1 == 1;
        sleeper.witnesses &= !(1 << by);
        if won {
            self.set_asleep(who, false, narrow);
        }
        won
    }

    pub(crate) fn ring(&mut self, who: usize) {
        self.sleepers[who].rung = true;
    }

    /// The read of an eventfd that lets its owner go on, if it was rung.
    pub(crate) fn hear(&mut self, who: usize) -> bool {
        std::mem::take(&mut self.sleepers[who].rung)
    }

    /// Who is dead has read nothing.
    pub(crate) fn forget(&mut self, by: usize) {
        for sleeper in &mut self.sleepers {
            sleeper.witnesses &= !(1 << by);
        }
    }
}

fn lap(position: u8) -> u8 {
    position / CELLS as u8
}

pub(crate) const POSITION_BITS: u32 = 4;
