//! Streams: bodies that are larger than the blocks of a slot, of unknown length, or in motion.
//!
//! In each direction there is a ring of eight items in the slot and a window of as many: a sender
//! whose eight items are not taken waits. The other side takes an item when it has taken its bytes
//! over, so a slow client stops the worker after eight, and that is all the back-pressure there is.
//! The ring lies in the second half of the line that lists extents; the first half still lists
//! those of the head, so a request that continues as a stream has seven of them, a response eight.
//!
//! A worker that has no block for a stream sends its next piece in the slot's own area, once the
//! shard has taken all that was sent before, the head in that area included. So every stream goes
//! on whoever holds the blocks.
//!
//! | word | writer | readers | ordering | pairs with |
//! |---|---|---|---|---|
//! | `worker_window` | the owner | shard, successors | Release, Acquire | `publish`, `look` |
//! | `request_extents(0)` | shard | the owner | Release, Acquire | `publish`, `look` |
//! | items in `response_extents` | the owner | shard, successors | Relaxed | under the window |
//! | items in `request_extents` | shard | the owner | Relaxed | under the window |
//!
//! The window of a worker names the submission, so what another job left in the slot says nothing.
//! That of a shard has no room for this: it is 0 whenever no stream is open (`Link::close`).
//!
//! What one side reads may have been written by a broken process: every number is copied once,
//! checked, and only then used.

mod item;
#[cfg(test)]
mod tests;

use super::blocks::{BlockIndex, Extents};
use super::layout::{REQUEST_EXTENTS_MAX, RESPONSE_EXTENTS_MAX, SlotWords, Span, Word};
use super::payload::Side;
use super::slot::Response;
use super::word::Generation;
use super::world::{Ordering, World};
use item::Window;
pub use item::{Broken, IN_SLOT, Item, PIECE_BYTES_MAX, Piece, TRAILER_PIECE_BYTES_MAX};

/// One side's end of the streams of one job, in both directions.
///
/// Whoever sends, takes or refuses something calls the other side afterwards (`wake`); once for
/// many is enough.
#[derive(Clone, Debug)]
pub struct Link {
    slot: SlotWords,
    end: End,
    /// How many blocks the other side has.
    their_blocks: u16,
    /// How much of a piece the slot's own area holds.
    slot_bytes: u32,
    /// What this side says.
    own: Window,
    sent: Sent,
    received: Received,
}

/// Whose end it is, and what its window word holds besides.
#[derive(Clone, Copy, Debug)]
enum End {
    Shard { generation: Generation, first_extent: u32 },
    Worker { generation: Generation },
}

/// What this side has sent.
#[derive(Clone, Debug, Default)]
struct Sent {
    /// The ring, as this side wrote it.
    ring: [u32; WINDOW],
    /// Where the items lie that were not taken, [`IN_SLOT`] included; by their place in the ring.
    blocks: [Option<BlockIndex>; WINDOW],
    /// Items that the other side has taken.
    acked: u8,
    /// The last item was sent.
    ended: bool,
    /// The other side takes nothing more.
    unwanted: bool,
}

/// What the other side has sent.
#[derive(Clone, Debug, Default)]
struct Received {
    /// Items that its window admitted to when it was looked at.
    seq: u8,
    /// Items that were given out.
    given: u8,
    /// Where the items lie that were given out and not taken, [`IN_SLOT`] included; by their place
    /// in the ring.
    blocks: [Option<BlockIndex>; WINDOW],
    /// The opening was given out: the first item of a worker, and of no shard.
    opened: bool,
    /// The last item was given out.
    ended: bool,
}

/// What was received of a stream, and where its bytes lie until it is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StreamItem {
    /// Bytes of the body.
    Bytes(Span),
    /// The body is complete, with these trailer fields if there are any.
    End(Option<Span>),
    /// The body broke off.
    Failed,
    /// The head of the answer: so many bytes, which lie where the answer of the job lies.
    Opening(Response),
}

/// What an end of a stream waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Interest {
    /// That an item can be received.
    Item,
    /// That something was taken, so that there is room in the window, or a free block.
    Room,
}

/// All that a job waits for in its streams: it goes on as soon as one of them has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Interests {
    /// An item of the request.
    pub item: bool,
    /// Room for an item of the answer.
    pub room: bool,
}

/// Why nothing can be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unsent {
    /// The window is full: wait until something was taken.
    Full,
    /// No block is free: wait until something was taken, here or elsewhere.
    NoBlocks,
    /// The other side takes nothing more, or the last item was sent.
    Over,
}

impl Link {
    /// The shard's end of a job. `first_extent` is what the slot lists first of its request; it
    /// shares a word with the window.
    #[must_use]
    pub fn of_shard(
        world: &impl World,
        slot: SlotWords,
        generation: Generation,
        (worker, first_extent): (Side, u32),
    ) -> Self {
        Self::new(world, slot, worker, End::Shard { generation, first_extent })
    }

    /// The worker's end of a job that it runs for `shard`.
    #[must_use]
    pub fn of_worker(
        world: &impl World,
        slot: SlotWords,
        generation: Generation,
        shard: Side,
    ) -> Self {
        Self::new(world, slot, shard, End::Worker { generation })
    }

    fn new(world: &impl World, slot: SlotWords, them: Side, end: End) -> Self {
        Self {
            slot,
            end,
            their_blocks: them.blocks(world.layout()),
            slot_bytes: world.layout().shape().slot_bytes,
            own: Window::default(),
            sent: Sent::default(),
            received: Received::default(),
        }
    }

    /// Makes what a shard has sent so far that of another submission, whose worker has taken
    /// nothing of it yet; what the last worker sent is void.
    ///
    /// # Panics
    /// Panics if something was taken or refused: it cannot be sent again.
    pub fn renew(&mut self, world: &impl World, submission: Generation) {
        assert!(self.sent.acked == 0 && !self.sent.unwanted, "all that was sent is still there");
        if let End::Shard { generation, .. } = &mut self.end {
            *generation = submission;
        }
        self.received = Received::default();
        self.own.ack = 0;
        self.publish(world);
    }

    /// Whether something can be sent now.
    ///
    /// # Errors
    /// [`Unsent`] if not.
    pub fn room(&self) -> Result<(), Unsent> {
        if self.sent.ended || self.sent.unwanted {
            return Err(Unsent::Over);
        }
        if usize::from(self.own.seq.wrapping_sub(self.sent.acked)) == WINDOW {
            return Err(Unsent::Full);
        }
        Ok(())
    }

    /// Sends an item. Its block stays in use until [`Link::collect`] gives it back.
    ///
    /// # Errors
    /// [`Unsent`] if it cannot be sent now, or ever.
    pub fn send(&mut self, world: &impl World, item: Item) -> Result<(), Unsent> {
        self.room()?;
        let place = place(self.own.seq);
        self.sent.ring[place] = item.pack();
        self.sent.blocks[place] = item.place();
        self.sent.ended = item.is_last();
        let pair = place / 2;
        let [low, high] = [self.sent.ring[2 * pair], self.sent.ring[2 * pair + 1]];
        let word = u64::from(low) | u64::from(high) << 32;
        // Relaxed: the window that is written next publishes it.
        world.store(self.own_ring(pair), word, Ordering::Relaxed);
        self.own.seq = self.own.seq.wrapping_add(1);
        self.publish(world);
        Ok(())
    }

    /// Looks at what the other side has taken, and gives back the blocks of it.
    ///
    /// # Errors
    /// [`Broken`] if it cannot have taken that.
    pub fn collect(&mut self, world: &impl World) -> Result<Extents, Broken> {
        if self.sent.unwanted {
            return Ok(Extents::default());
        }
        let theirs = self.look(world);
        let taken = theirs.ack.wrapping_sub(self.sent.acked);
        if taken > self.own.seq.wrapping_sub(self.sent.acked) {
            return Err(Broken::Ack { ack: theirs.ack });
        }
        let mut blocks = self.take_blocks(taken);
        if theirs.unwanted {
            // It has promised not to look at the others either.
            self.settle().iter().for_each(|block| blocks.push(block));
        }
        Ok(blocks)
    }

    /// The next item that the other side sent; its bytes may be read until it is taken. `None`
    /// when there is none yet, or none any more.
    ///
    /// # Errors
    /// [`Broken`] if it cannot have sent that.
    pub fn receive(&mut self, world: &impl World) -> Result<Option<Item>, Broken> {
        let Received { seq, given, .. } = self.received;
        if seq == given {
            self.check_seq(self.look(world).seq)?;
        }
        if self.received.seq == given {
            return Ok(None);
        }
        let place = place(given);
        // Relaxed: the window that admitted to it was read with Acquire.
        let word = world.load(self.their_ring(place / 2), Ordering::Relaxed);
        let item = self.check_item((word >> (32 * (place % 2))) as u32)?;
        self.received.blocks[place] = item.place();
        self.received.given = given.wrapping_add(1);
        self.received.opened |= item == Item::Opening;
        self.received.ended = item.is_last();
        Ok(Some(item))
    }

    /// The oldest `items` that were given out are not needed any more: what lay in them was taken
    /// over. Only this lets the other side go on.
    ///
    /// # Panics
    /// Panics if not so many were given out.
    pub fn take(&mut self, world: &impl World, items: u8) {
        assert!(items <= self.untaken(), "only what was received can be taken");
        for _ in 0..items {
            self.received.blocks[place(self.own.ack)] = None;
            self.own.ack = self.own.ack.wrapping_add(1);
        }
        self.publish(world);
    }

    /// How many items were given out and not taken.
    #[must_use]
    pub const fn untaken(&self) -> u8 {
        self.received.given.wrapping_sub(self.own.ack)
    }

    /// Whether the last item was given out.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.received.ended
    }

    /// Whether the head of a response was given out.
    #[must_use]
    pub const fn has_opened(&self) -> bool {
        self.received.opened
    }

    /// Whether the last item was sent.
    #[must_use]
    pub const fn has_said_all(&self) -> bool {
        self.sent.ended
    }

    /// The other side is gone or broken: nothing of it is to be received any more.
    pub fn break_off(&mut self) {
        self.received.ended = true;
    }

    /// Takes nothing more, and does not look at what was sent. A worker says so when nobody reads
    /// the rest of a request.
    ///
    /// # Panics
    /// Panics if a shard says so: it takes the whole job back.
    pub fn refuse(&mut self, world: &impl World) {
        assert!(matches!(self.end, End::Worker { .. }), "a shard takes the job back");
        self.own.unwanted = true;
        self.received.ended = true;
        self.publish(world);
    }

    /// Whether blocks were sent that the other side has not taken, as far as is known.
    #[must_use]
    pub fn holds_blocks(&self) -> bool {
        self.sent.blocks.iter().any(Option::is_some)
    }

    /// Whether the other side has taken all that was sent, as far as is known.
    #[must_use]
    pub const fn is_taken(&self) -> bool {
        self.own.seq == self.sent.acked
    }

    /// Whether what is waited for has come.
    #[must_use]
    pub fn has_news(&self, world: &impl World, interest: Interest) -> bool {
        let theirs = self.look(world);
        match interest {
            Interest::Item => theirs.seq != self.received.given && !self.received.ended,
            Interest::Room => {
                !self.sent.unwanted && (theirs.unwanted || theirs.ack != self.sent.acked)
            }
        }
    }

    /// Whether the shard has taken the job back; `cancel` is the word by which it does.
    #[must_use]
    pub fn is_cancelled(&self, world: &impl World, cancel: u64) -> bool {
        // Acquire: pairs with the Release of the shard, which has given up the job before.
        world.load(self.slot.cancel(), Ordering::Acquire) == cancel
    }

    /// The other side reads nothing more: the blocks of all that it has not taken.
    pub fn settle(&mut self) -> Extents {
        self.sent.unwanted = true;
        self.take_blocks(self.own.seq.wrapping_sub(self.sent.acked))
    }

    /// Ends this end. The blocks of what the other side has not taken: the shard's own are free
    /// now, for the job is over; a worker's are listed by the slot until its state word changes.
    pub fn close(mut self, world: &impl World) -> Extents {
        let blocks = self.settle();
        if matches!(self.end, End::Shard { .. }) {
            clear(world, self.slot);
        }
        blocks
    }

    /// Forgets the oldest `items` that were sent; their blocks.
    fn take_blocks(&mut self, items: u8) -> Extents {
        let mut blocks = Extents::default();
        for _ in 0..items {
            let block = self.sent.blocks[place(self.sent.acked)].take();
            block
                .filter(|block| *block != IN_SLOT)
                .into_iter()
                .for_each(|block| blocks.push(block));
            self.sent.acked = self.sent.acked.wrapping_add(1);
        }
        blocks
    }

    /// Believes how much the other side says it has sent as far as that can be.
    fn check_seq(&mut self, seq: u8) -> Result<(), Broken> {
        let Received { given, ended, .. } = self.received;
        let new = seq.wrapping_sub(given);
        if self.own.unwanted {
            return Ok(());
        }
        let fits = usize::from(self.untaken()) + usize::from(new) <= WINDOW;
        if !fits || (ended && new > 0) {
            return Err(Broken::Sequence { seq });
        }
        self.received.seq = seq;
        Ok(())
    }

    /// Believes an item as far as it can be believed.
    fn check_item(&self, word: u32) -> Result<Item, Broken> {
        let item = Item::unpack(word, self.their_blocks)?;
        let opens = matches!(self.end, End::Shard { .. }) && !self.received.opened;
        if self.received.ended || opens != (item == Item::Opening) {
            return Err(Broken::Item { word });
        }
        match item.place() {
            Some(block) if self.received.blocks.contains(&Some(block)) => {
                Err(Broken::Block { block })
            }
            Some(IN_SLOT) if !self.fits_slot(item) => Err(Broken::Item { word }),
            _ => Ok(item),
        }
    }

    /// Whether an item can lie in the slot's own area: that of a request keeps its head.
    const fn fits_slot(&self, item: Item) -> bool {
        match (self.end, item) {
            (End::Shard { .. }, Item::Bytes(piece) | Item::End(Some(piece))) => {
                piece.bytes <= self.slot_bytes
            }
            _ => false,
        }
    }

    /// What the other side says at present.
    fn look(&self, world: &impl World) -> Window {
        // Acquire: pairs with the Release of `publish` at the other end. Its items and their bytes
        // are there, and it has read what it says it has taken.
        let word = world.load(self.their_window(), Ordering::Acquire);
        match self.end {
            End::Shard { generation, .. } => Window::unpack_worker(word, generation),
            End::Worker { .. } => Window::unpack_shard(word),
        }
    }

    fn publish(&self, world: &impl World) {
        let word = match self.end {
            End::Shard { first_extent, .. } => self.own.pack_shard(first_extent),
            End::Worker { generation } => self.own.pack_worker(generation),
        };
        // Release: pairs with the Acquire of `look` at the other end, and of `unacknowledged`.
        world.store(self.own_window(), word, Ordering::Release);
    }

    fn own_window(&self) -> Word {
        match self.end {
            End::Shard { .. } => self.slot.request_extents(0),
            End::Worker { .. } => self.slot.worker_window(),
        }
    }

    fn their_window(&self) -> Word {
        match self.end {
            End::Shard { .. } => self.slot.worker_window(),
            End::Worker { .. } => self.slot.request_extents(0),
        }
    }

    fn own_ring(&self, pair: usize) -> Word {
        match self.end {
            End::Shard { .. } => self.slot.request_extents(RING_PAIR + pair as u32),
            End::Worker { .. } => self.slot.response_extents(RING_PAIR + pair as u32),
        }
    }

    fn their_ring(&self, pair: usize) -> Word {
        match self.end {
            End::Shard { .. } => self.slot.response_extents(RING_PAIR + pair as u32),
            End::Worker { .. } => self.slot.request_extents(RING_PAIR + pair as u32),
        }
    }
}

/// No stream is open in this slot. The shard says so when it ends one, and its successor of every
/// slot that it takes over for itself.
pub fn clear(world: &impl World, slot: SlotWords) {
    // Relaxed: the next submission publishes it.
    world.store(slot.request_extents(0), 0, Ordering::Relaxed);
}

/// Whether the worker of this submission has done anything to a stream.
#[must_use]
pub fn is_touched(world: &impl World, slot: SlotWords, generation: Generation) -> bool {
    // Relaxed: it is read again before anything follows from it.
    Window::is_of(world.load(slot.worker_window(), Ordering::Relaxed), generation)
}

/// The blocks that a process which died in a job has sent and the other side has not taken: they
/// stay in use until the state word of the slot changes. `from` is whose blocks they are.
#[must_use]
pub fn unacknowledged(
    world: &impl World,
    slot: SlotWords,
    generation: Generation,
    from: Side,
) -> Extents {
    // Pairs with the Release of `publish`, at both ends: what the dead process sent is there, and
    // what the other one took it has read.
    let worker = world.load(slot.worker_window(), Ordering::Acquire);
    let worker = Window::unpack_worker(worker, generation);
    // Pairs with the Release of `publish`, as above.
    let shard = Window::unpack_shard(world.load(slot.request_extents(0), Ordering::Acquire));
    let (sent, taken) = match from {
        Side::Shard(_) => (shard.seq, worker.ack),
        Side::Worker(_) => (worker.seq, shard.ack),
    };
    // A broken window lists all that it can.
    let count = sent.wrapping_sub(taken).min(WINDOW as u8);
    let mut blocks = Extents::default();
    for item in 0..count {
        let place = place(taken.wrapping_add(item));
        let pair = RING_PAIR + place as u32 / 2;
        let pair = match from {
            Side::Shard(_) => slot.request_extents(pair),
            Side::Worker(_) => slot.response_extents(pair),
        };
        // Relaxed: the window that admitted to it was read with Acquire.
        let word = world.load(pair, Ordering::Relaxed);
        let word = (word >> (32 * (place % 2))) as u32;
        let item = Item::unpack(word, from.blocks(world.layout())).ok();
        item.and_then(Item::block).into_iter().for_each(|block| blocks.push(block));
    }
    blocks
}

/// The place of an item in the ring.
const fn place(seq: u8) -> usize {
    seq as usize % WINDOW
}

/// Most items that were sent and not taken.
pub const WINDOW: usize = 8;
/// Most blocks that a slot lists for the head of a request which continues as a stream.
pub const REQUEST_OPENING_EXTENTS_MAX: usize = REQUEST_EXTENTS_MAX - WINDOW;
/// Most blocks that a slot lists for the head of a response which continues as a stream.
pub const RESPONSE_OPENING_EXTENTS_MAX: usize = RESPONSE_EXTENTS_MAX - WINDOW;
/// The first pair of items in the line of extents.
const RING_PAIR: u32 = 4;

const _: () = assert!(256 % WINDOW == 0, "the ring turns with the numbers of the items");
const _: () = assert!(RESPONSE_OPENING_EXTENTS_MAX == 2 * RING_PAIR as usize);
const _: () = assert!(REQUEST_OPENING_EXTENTS_MAX == 2 * RING_PAIR as usize - 1);
