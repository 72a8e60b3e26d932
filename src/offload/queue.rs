//! The hint ring of a shard: which slots became ready, in order. Anybody may move its head.
//!
//! | word | writer | readers | ordering | pairs with |
//! |---|---|---|---|---|
//! | `cell(p)` | the shard | workers, the shard | Release / Acquire | `publish` with `first_hint` |
//! | `head` | all, by compare-exchange p -> p + 1 | all | Release / Acquire | `pass` with `room` |
//! | `tail` | the shard | its successor | Relaxed | nothing: read after the writer's death |
//!
//! A hint is no job. Whoever reads one must still win the slot, and only then, or having lost it,
//! moves the head on: a worker that stops in between hides nothing. A position counts from the
//! length of the ring, so that the cells of fresh memory belong to no position.
//!
//! Workers can write the head and the cells, so to the shard both are input.

use super::layout::ShardRow;
use super::word::{Cell, Generation, ShardIndex, SlotIndex, SlotState, StateWord};
use super::world::{Ordering, World};

/// A hint that was found at the head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Hint {
    /// Its position.
    pub(super) position: u64,
    /// What it says.
    pub(super) slot: SlotIndex,
    /// What it says.
    pub(super) generation: Generation,
}

/// The ring says what nobody who keeps to the protocol wrote: the pool needs new memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BrokenQueue;

/// The first hint of a shard; `None` when there is none.
#[inline]
pub(super) fn first_hint(world: &impl World, shard: &ShardRow) -> Option<Hint> {
    // A head that was read before others moved it may point to a cell that was written anew since.
    // Whoever reads such a cell reads the head at least as new as its writer did.
    hint_at_head(world, shard).or_else(|| hint_at_head(world, shard))
}

#[inline]
fn hint_at_head(world: &impl World, shard: &ShardRow) -> Option<Hint> {
    let position = world.load(shard.head(), Ordering::Relaxed);
    // Pairs with the store in `publish`: who sees the hint sees the slot as it was made ready.
    let cell = Cell::unpack(world.load(shard.cell(position), Ordering::Acquire));
    let published = cell.lap == Cell::lap_of(position, shard.cells());
    published.then_some(Hint { position, slot: cell.slot, generation: cell.generation })
}

/// Moves the head past a hint whose slot is not ready any more in that generation. To lose here
/// means that somebody else has done it.
#[inline]
pub(super) fn pass(world: &impl World, shard: &ShardRow, hint: Hint) {
    let next = hint.position.wrapping_add(1);
    // Pairs with the load in `room`: who sees the head moved sees that the slot was taken.
    let _ = world.compare_exchange(shard.head(), hint.position, next, Ordering::Release);
}

/// True when the hint's slot still waits for a worker.
pub(super) fn is_ready(world: &impl World, shard: &ShardRow, hint: Hint) -> bool {
    let Some(slot) = shard.slot_index(hint.slot.0.into()) else { return false };
    let ready = StateWord::new(SlotState::Ready, hint.generation).pack();
    world.load(shard.slot(slot).state(), Ordering::Relaxed) == ready
}

/// The shard's end.
#[derive(Debug)]
pub(super) struct Queue {
    row: ShardRow,
    /// The position of the next hint. The copy in memory is for the successor.
    tail: u64,
    /// The head as it was seen last; it never goes back.
    head: u64,
}

impl Queue {
    /// Takes the ring over from whoever had it before: behind the last hint that was published,
    /// whether or not the mirror of the tail says so.
    pub(super) fn attach(world: &impl World, shard: ShardIndex) -> Self {
        let row = world.layout().shard_row(shard);
        let head = world.load(row.head(), Ordering::Relaxed);
        let mut tail = world.load(row.tail(), Ordering::Relaxed).max(head);
        for _ in 0..row.cells() {
            let cell = Cell::unpack(world.load(row.cell(tail), Ordering::Relaxed));
            if cell.lap != Cell::lap_of(tail, row.cells()) {
                break;
            }
            tail = tail.wrapping_add(1);
        }
        world.store(row.tail(), tail, Ordering::Relaxed);
        Self { row, tail, head }
    }

    /// The position that the next hint gets.
    pub(super) fn tail(&self) -> u64 {
        self.tail
    }

    /// How many hints fit.
    pub(super) fn room(&mut self, world: &impl World) -> Result<u64, BrokenQueue> {
        // Pairs with the compare-exchange in `pass`.
        let head = world.load(self.row.head(), Ordering::Acquire);
        let waiting = self.tail.wrapping_sub(head);
        if head < self.head || head > self.tail || waiting > self.row.cells() {
            return Err(BrokenQueue);
        }
        self.head = head;
        Ok(self.row.cells() - waiting)
    }

    /// How many hints fit at least: as many as when the head was seen last. That spares a look at a
    /// line which all workers write.
    #[inline]
    pub(super) fn known_room(&self) -> u64 {
        self.row.cells().saturating_sub(self.tail.wrapping_sub(self.head))
    }

    /// True when the head, as it was seen last, has passed everything before `until`.
    pub(super) fn has_passed(&self, until: u64) -> bool {
        self.head >= until
    }

    /// Publishes a hint; there must be room. Returns the position behind it.
    #[inline]
    pub(super) fn publish(
        &mut self,
        world: &impl World,
        slot: SlotIndex,
        generation: Generation,
    ) -> u64 {
        let lap = Cell::lap_of(self.tail, self.row.cells());
        let cell = Cell { slot, lap, generation };
        // Pairs with the load in `hint_at_head`: whoever sees the hint sees the slot ready.
        world.store(self.row.cell(self.tail), cell.pack(), Ordering::Release);
        self.tail = self.tail.wrapping_add(1);
        world.store(self.row.tail(), self.tail, Ordering::Relaxed);
        self.tail
    }

    /// Passes the hints at the head whose slots are not ready any more. So what the shard
    /// withdrew is gone soon, whether or not any worker is awake.
    pub(super) fn pass_stale(&mut self, world: &impl World) -> Result<(), BrokenQueue> {
        self.room(world)?;
        while self.head < self.tail {
            let Some(hint) = self.own_hint(world, self.head)? else { return Ok(()) };
            if is_ready(world, &self.row, hint) {
                return Ok(());
            }
            pass(world, &self.row, hint);
            self.room(world)?;
        }
        Ok(())
    }

    /// The hint at a position below the tail, where nobody but this shard writes; `None` when the
    /// head has moved meanwhile.
    fn own_hint(&self, world: &impl World, position: u64) -> Result<Option<Hint>, BrokenQueue> {
        let cell = Cell::unpack(world.load(self.row.cell(position), Ordering::Relaxed));
        let published = cell.lap == Cell::lap_of(position, self.row.cells());
        let Some(slot) = self.row.slot_index(cell.slot.0.into()).filter(|_| published) else {
            return Err(BrokenQueue);
        };
        Ok(Some(Hint { position, slot, generation: cell.generation }))
    }
}
