//! Where the bytes of one message lie: first in the slot's own area, then in blocks.
//!
//! The length alone tells how many blocks a message needs, for both sides alike: none while the
//! slot's area holds it, else as many as the rest fills, the last one partly.

use super::blocks::{BadExtents, BlockIndex, Extents};
use super::layout::{BLOCK_BYTES, Layout, ShardRow, Span};
use super::word::{ShardIndex, SlotIndex, WorkerIndex};
use super::world::World;

/// Whose blocks, and therefore which direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// A request: a shard's blocks.
    Shard(ShardIndex),
    /// A response: a worker's blocks.
    Worker(WorkerIndex),
}

impl Side {
    /// How many blocks it has.
    #[must_use]
    pub const fn blocks(self, layout: &Layout) -> u16 {
        match self {
            Self::Shard(_) => layout.shape().request_blocks,
            Self::Worker(_) => layout.shape().response_blocks,
        }
    }

    /// The memory of a block; `None` when it has no such block.
    #[must_use]
    pub fn block(self, layout: &Layout, block: BlockIndex) -> Option<Span> {
        match self {
            Self::Shard(shard) => layout.request_block(shard, block.0),
            Self::Worker(worker) => layout.response_block(worker, block.0),
        }
    }
}

/// The memory of one message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Payload {
    side: Side,
    inline: Span,
    extents: Extents,
}

impl Payload {
    /// The memory of a request in a slot of its shard.
    #[must_use]
    pub fn of_request(layout: &Layout, from: ShardIndex, slot: SlotIndex, blocks: Extents) -> Self {
        Self::request_at(&layout.shard_row(from), from, slot, blocks)
    }

    #[inline]
    pub(super) const fn request_at(
        row: &ShardRow,
        from: ShardIndex,
        slot: SlotIndex,
        blocks: Extents,
    ) -> Self {
        Self { side: Side::Shard(from), inline: row.inline_request(slot), extents: blocks }
    }

    /// The memory of a response by `from` in a slot of `to`.
    #[must_use]
    pub fn of_response(
        layout: &Layout,
        from: WorkerIndex,
        (to, slot): (ShardIndex, SlotIndex),
        blocks: Extents,
    ) -> Self {
        Self::response_at(&layout.shard_row(to), from, slot, blocks)
    }

    #[inline]
    pub(super) const fn response_at(
        row: &ShardRow,
        from: WorkerIndex,
        slot: SlotIndex,
        blocks: Extents,
    ) -> Self {
        Self { side: Side::Worker(from), inline: row.inline_response(slot), extents: blocks }
    }

    /// The blocks that it lies in.
    #[must_use]
    pub const fn extents(&self) -> &Extents {
        &self.extents
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.inline.bytes() as usize + self.extents.len() * BLOCK_BYTES as usize
    }

    /// Copies `bytes` to where byte `at` of the message lies.
    ///
    /// # Panics
    /// Panics if it does not hold so many.
    #[inline]
    pub fn write(&self, world: &impl World, at: usize, bytes: &[u8]) {
        if let Some(span) = self.inline_part(at, bytes.len()) {
            return world.copy_in(span, bytes);
        }
        self.write_spans(world, at, bytes);
    }

    fn write_spans(&self, world: &impl World, at: usize, bytes: &[u8]) {
        let mut rest = bytes;
        for span in self.spans(world.layout(), at, bytes.len()) {
            let (now, later) = rest.split_at(span.bytes() as usize);
            world.copy_in(span, now);
            rest = later;
        }
    }

    /// Copies the message from its byte `at` on over `into`.
    ///
    /// # Panics
    /// Panics if it does not hold so many.
    #[inline]
    pub fn read(&self, world: &impl World, at: usize, into: &mut [u8]) {
        if let Some(span) = self.inline_part(at, into.len()) {
            return world.copy_out(span, into);
        }
        self.read_spans(world, at, into);
    }

    fn read_spans(&self, world: &impl World, at: usize, into: &mut [u8]) {
        let mut rest = into;
        for span in self.spans(world.layout(), at, rest.len()) {
            let (now, later) = rest.split_at_mut(span.bytes() as usize);
            world.copy_out(span, now);
            rest = later;
        }
    }

    /// The memory of so many bytes from byte `at` on if all of them lie in the slot.
    #[inline]
    fn inline_part(&self, at: usize, bytes: usize) -> Option<Span> {
        let end = at.checked_add(bytes).filter(|&end| end <= self.inline.bytes() as usize);
        end.and_then(|_| self.inline.behind(at as u32)?.first(bytes as u32))
    }

    /// The memory of so many bytes from byte `at` on, in order: whoever sends from it needs it.
    ///
    /// # Panics
    /// Panics if it does not hold so many.
    pub fn spans(&self, layout: &Layout, at: usize, bytes: usize) -> impl Iterator<Item = Span> {
        let holds = at.checked_add(bytes).is_some_and(|end| end <= self.capacity());
        assert!(holds, "bytes lie within their message");
        let blocks = self
            .extents
            .iter()
            .map(|block| self.side.block(layout, block).expect("extents name blocks that exist"));
        let (mut skip, mut left) = (at, bytes);
        std::iter::once(self.inline).chain(blocks).filter_map(move |span| {
            let skipped = skip.min(span.bytes() as usize);
            skip -= skipped;
            let rest = span.behind(skipped as u32)?;
            let wanted = left.min(rest.bytes() as usize);
            left -= wanted;
            rest.first(wanted as u32).filter(|span| span.bytes() > 0)
        })
    }
}

/// How many bytes of a message lie in blocks.
#[must_use]
pub const fn block_bytes(layout: &Layout, message_bytes: u64) -> u64 {
    message_bytes.saturating_sub(layout.shape().slot_bytes as u64)
}

/// Believes the list of blocks of a message of so many bytes as far as it can be believed.
/// `listed` is the whole list of the slot, copied once.
///
/// # Errors
/// [`BadExtents`]: the writer is broken.
pub fn check_extents(
    layout: &Layout,
    side: Side,
    listed: &[u32],
    message_bytes: u64,
) -> Result<Extents, BadExtents> {
    Extents::check(listed, block_bytes(layout, message_bytes), side.blocks(layout))
}

/// Writes a message from its beginning on.
#[derive(Debug)]
pub struct Writer<'w, W> {
    world: &'w W,
    payload: Payload,
    written: usize,
}

impl<'w, W: World> Writer<'w, W> {
    /// Begins.
    pub const fn new(world: &'w W, payload: Payload) -> Self {
        Self { world, payload, written: 0 }
    }

    /// How many bytes were written.
    pub const fn written(&self) -> usize {
        self.written
    }

    /// Appends `bytes`.
    ///
    /// # Panics
    /// Panics if the message's memory does not hold them.
    pub fn put(&mut self, bytes: &[u8]) {
        self.payload.write(self.world, self.written, bytes);
        self.written += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::offload::blocks::Blocks;
    use crate::offload::layout::REQUEST_EXTENTS_MAX;
    use crate::offload::tests::memory::{Memory, SHAPE, SHARD, SLOT, WORKER};

    const SLOT_BYTES: usize = SHAPE.slot_bytes as usize;
    const BLOCK: usize = BLOCK_BYTES as usize;

    /// The memory of a request of so many bytes.
    fn request(memory: &Memory, bytes: usize) -> Payload {
        let mut blocks = Blocks::new(SHAPE.request_blocks);
        // So that the blocks do not follow each other.
        let spare = blocks.take().unwrap();
        let second = blocks.take().unwrap();
        blocks.give_back(spare);
        blocks.give_back(second);
        let in_blocks = block_bytes(memory.layout(), bytes as u64);
        let extents = blocks.take_for(in_blocks, REQUEST_EXTENTS_MAX).unwrap();
        Payload::of_request(memory.layout(), SHARD, SLOT, extents)
    }

    fn content(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at * 7 + at / 251) as u8).collect()
    }

    #[test]
    fn messages_of_all_borders_survive() {
        let memory = Memory::new();
        for border in [0, SLOT_BYTES, SLOT_BYTES + BLOCK, SLOT_BYTES + 4 * BLOCK] {
            for bytes in [border.saturating_sub(1), border, border + 1] {
                let payload = request(&memory, bytes);
                assert!(payload.capacity() >= bytes && payload.capacity() < bytes + BLOCK + 64);
                payload.write(&memory, 0, &content(bytes));
                let mut read = vec![0; bytes];
                payload.read(&memory, 0, &mut read);
                assert!(read == content(bytes), "{bytes}");
            }
        }
    }

    #[test]
    fn both_directions_and_both_ends_lie_apart() {
        let memory = Memory::new();
        let layout = memory.layout();
        let extents = |block| [BlockIndex(block)].into_iter().collect();
        let there = Payload::of_request(layout, SHARD, SLOT, extents(1));
        let back = Payload::of_response(layout, WORKER, (SHARD, SLOT), extents(1));
        there.write(&memory, 0, &[1; 100]);
        back.write(&memory, 0, &[2; 100]);
        let mut read = [0; 100];
        there.read(&memory, 0, &mut read);
        assert_eq!(read, [1; 100]);
        let spans: Vec<u32> = back.spans(layout, 60, 30).map(Span::bytes).collect();
        assert_eq!(spans, [4, 26]);
    }

    #[test]
    #[should_panic(expected = "bytes lie within their message")]
    fn nothing_is_written_behind_the_end() {
        let memory = Memory::new();
        request(&memory, 10).write(&memory, SLOT_BYTES - 3, &[0; 4]);
    }

    #[test]
    fn lists_are_checked_against_the_length_of_the_message() {
        let memory = Memory::new();
        let check = |bytes| {
            check_extents(memory.layout(), Side::Worker(WORKER), &[4, 2, 9], bytes as u64)
                .map(|extents| extents.len())
        };
        assert_eq!(check(SLOT_BYTES), Ok(0));
        assert_eq!(check(SLOT_BYTES + 1), Ok(1));
        assert_eq!(check(SLOT_BYTES + 2 * BLOCK), Ok(2));
        let out_of_range = BadExtents::Range { listed: 9, blocks: SHAPE.response_blocks };
        assert_eq!(check(SLOT_BYTES + 2 * BLOCK + 1), Err(out_of_range));
        assert!(matches!(check(usize::MAX), Err(BadExtents::Count { .. })));
    }

    proptest! {
        #[test]
        fn pieces_written_one_by_one_are_read_as_one(
            lengths in prop::collection::vec(0..40_000usize, 0..8),
            start: prop::sample::Index,
        ) {
            let memory = Memory::new();
            let bytes: usize = lengths.iter().sum();
            let payload = request(&memory, bytes);
            let content = content(bytes);
            let mut writer = Writer::new(&memory, payload);
            for length in lengths {
                let from = writer.written();
                writer.put(&content[from..from + length]);
            }
            prop_assert_eq!(writer.written(), bytes);
            let from = start.index(bytes + 1);
            let mut read = vec![0; bytes - from];
            payload.read(&memory, from, &mut read);
            prop_assert!(read == content[from..]);
        }
    }
}
