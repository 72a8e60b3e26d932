//! Blocks of 64 KiB for what does not fit into a slot: who has which, and what may be believed
//! about a list of them.
//!
//! A block has no state of its own in shared memory: it is in use as long as the slot that lists
//! it is in the very state word in which it listed it. So the owner of the blocks (a shard for
//! requests, a worker for responses) keeps a private list of the free ones, and one of those that
//! slots still list ([`Lent`]). When a worker dies, its successor makes both anew by reading the
//! slots. Pure: reads no shared memory itself.

use std::collections::VecDeque;
use std::fmt;

use super::layout::{BLOCK_BYTES, RESPONSE_EXTENTS_MAX};

/// A block, counted within the blocks of its owner.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BlockIndex(pub u16);

/// The private list of the free blocks of one owner.
///
/// A few blocks go round first in, first out: one that was just given back is still in the cache
/// of the other side's core (last in, first out was measured to be slower), and blocks that are
/// never needed stay out of all caches. What a burst needs beyond them comes from the rest.
#[derive(Clone, Debug)]
pub struct Blocks {
    /// Go round.
    warm: VecDeque<BlockIndex>,
    /// The rest.
    cold: Vec<BlockIndex>,
    /// How many hold the block, by its index: 0 is free. More than one only if a broken process
    /// listed it twice.
    holders: Vec<u32>,
}

impl Blocks {
    /// All of `count` blocks are free.
    #[must_use]
    pub fn new(count: u16) -> Self {
        let mut blocks = Self {
            warm: VecDeque::with_capacity(WARM_MAX),
            cold: Vec::with_capacity(count.into()),
            holders: vec![0; count.into()],
        };
        // The lowest are warm, and the lowest of the rest is taken first.
        let warm = count.min(WARM_MAX as u16);
        blocks.warm.extend((0..warm).map(BlockIndex));
        blocks.cold.extend((warm..count).rev().map(BlockIndex));
        blocks
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.holders.len() as u16
    }

    /// How many are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.warm.len() + self.cold.len()
    }

    /// How many of the free ones are for those alone who cannot go on without: the last quarter,
    /// at least one. Others would hold them while they wait for somebody who waits for a block.
    #[must_use]
    pub fn reserved(&self) -> usize {
        (self.holders.len() / 4).max(1).min(self.holders.len())
    }

    /// Takes a free block; `None` when all are in use.
    #[must_use]
    pub fn take(&mut self) -> Option<BlockIndex> {
        let block = self.warm.pop_front().or_else(|| self.cold.pop())?;
        self.holders[usize::from(block.0)] = 1;
        Some(block)
    }

    /// Takes as many as `bytes` need; `None`, and nothing is taken, when there are not so many or
    /// a slot cannot list them.
    #[must_use]
    pub fn take_for(&mut self, bytes: u64, extents_max: usize) -> Option<Extents> {
        let count = usize::try_from(bytes.div_ceil(BLOCK_BYTES)).ok()?;
        if count > extents_max.min(EXTENTS_MAX) || count > self.free() {
            return None;
        }
        let mut extents = Extents::default();
        while extents.len() < count {
            extents.push(self.take()?);
        }
        Some(extents)
    }

    /// Gives a block back.
    ///
    /// # Panics
    /// Panics if it was free: two would write into it from now on.
    pub fn give_back(&mut self, block: BlockIndex) {
        let holders = &mut self.holders[usize::from(block.0)];
        *holders = holders.checked_sub(1).expect("a block is given back once");
        if *holders > 0 {
            return;
        }
        if self.warm.len() < WARM_MAX {
            self.warm.push_back(block);
        } else {
            self.cold.push(block);
        }
    }

    /// Gives all of a list back.
    ///
    /// # Panics
    /// As [`Blocks::give_back`].
    pub fn give_all_back(&mut self, extents: &Extents) {
        extents.iter().for_each(|block| self.give_back(block));
    }

    /// Gives the last ones of a list back that a message of `needed` blocks does without.
    ///
    /// # Panics
    /// Panics if it needs more than there are.
    pub fn trim(&mut self, extents: &mut Extents, needed: u64) {
        assert!(needed <= extents.len() as u64, "a message fits its blocks");
        while extents.len() as u64 > needed {
            extents.pop().into_iter().for_each(|block| self.give_back(block));
        }
    }

    /// Keeps a block from being taken: a slot that a dead process left behind still lists it.
    pub(super) fn reserve(&mut self, block: BlockIndex) {
        let holders = &mut self.holders[usize::from(block.0)];
        *holders += 1;
        if *holders == 1 {
            self.warm.retain(|free| *free != block);
            self.cold.retain(|free| *free != block);
        }
    }
}

/// The blocks that a slot lists, in the order of the bytes in them.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct Extents {
    blocks: [u16; EXTENTS_MAX],
    count: u8,
}

impl Extents {
    /// Believes a list that another process wrote as far as it can be believed: as many blocks as
    /// `bytes` need, all of them among the `blocks` of their owner, none of them twice. `listed` is
    /// the whole list of the slot, copied once.
    ///
    /// # Errors
    /// [`BadExtents`]: the writer is broken.
    pub fn check(listed: &[u32], bytes: u64, blocks: u16) -> Result<Self, BadExtents> {
        let count = usize::try_from(bytes.div_ceil(BLOCK_BYTES)).unwrap_or(usize::MAX);
        let needed = listed.get(..count).filter(|needed| needed.len() <= EXTENTS_MAX);
        let mut extents = Self::default();
        for &word in needed.ok_or(BadExtents::Count { bytes })? {
            let block = u16::try_from(word).ok().filter(|index| *index < blocks);
            let block = BlockIndex(block.ok_or(BadExtents::Range { listed: word, blocks })?);
            if extents.contains(block) {
                return Err(BadExtents::Twice { block });
            }
            extents.push(block);
        }
        Ok(extents)
    }

    /// Appends a block.
    ///
    /// # Panics
    /// Panics when the list is full.
    pub fn push(&mut self, block: BlockIndex) {
        self.blocks[usize::from(self.count)] = block.0;
        self.count += 1;
    }

    /// Takes the last block off.
    pub fn pop(&mut self) -> Option<BlockIndex> {
        self.count = self.count.checked_sub(1)?;
        Some(BlockIndex(self.blocks[usize::from(self.count)]))
    }

    /// The first block.
    #[must_use]
    pub fn first(&self) -> Option<BlockIndex> {
        self.iter().next()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The blocks in their order.
    pub fn iter(&self) -> impl Iterator<Item = BlockIndex> {
        self.blocks[..self.len()].iter().map(|&block| BlockIndex(block))
    }

    fn contains(&self, block: BlockIndex) -> bool {
        self.iter().any(|known| known == block)
    }
}

impl fmt::Debug for Extents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl FromIterator<BlockIndex> for Extents {
    /// # Panics
    /// Panics when there are more than a slot lists.
    fn from_iter<I: IntoIterator<Item = BlockIndex>>(blocks: I) -> Self {
        let mut extents = Self::default();
        blocks.into_iter().for_each(|block| extents.push(block));
        extents
    }
}

/// Why a list of blocks cannot be believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BadExtents {
    /// More bytes than a slot lists blocks for.
    Count {
        /// How many bytes.
        bytes: u64,
    },
    /// A block that its owner does not have.
    Range {
        /// What is listed.
        listed: u32,
        /// How many the owner has.
        blocks: u16,
    },
    /// The same block twice.
    Twice {
        /// Which one.
        block: BlockIndex,
    },
}

impl fmt::Display for BadExtents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { bytes } => {
                write!(f, "{bytes} bytes need more blocks than a slot lists")
            }
            Self::Range { listed, blocks } => {
                write!(f, "block {listed} is listed where there are {blocks}")
            }
            Self::Twice { block } => write!(f, "block {} is listed twice", block.0),
        }
    }
}

impl std::error::Error for BadExtents {}

/// Blocks that slots of the other side still list, as the owner remembers them or found them.
///
/// `Slot` names a slot. A loan ends when the slot's state word is not the one any more in which
/// it lists the blocks. The owner looks when it is short of blocks; whoever frees a slot that lists
/// some wakes it, should it sleep for want of one.
#[derive(Clone, Debug)]
pub struct Lent<Slot> {
    loans: VecDeque<Loan<Slot>>,
}

/// Blocks that one slot lists while it has one state word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Loan<Slot> {
    /// The slot.
    pub slot: Slot,
    /// Its whole state word, owner and generation included.
    pub state: u64,
    /// What it lists.
    pub extents: Extents,
}

impl<Slot: Copy> Lent<Slot> {
    /// Nothing is lent.
    #[must_use]
    pub fn new() -> Self {
        Self { loans: VecDeque::new() }
    }

    /// Whether nothing is lent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.loans.is_empty()
    }

    /// Remembers that a slot lists blocks which were taken. Without blocks there is no loan.
    pub fn lend(&mut self, loan: Loan<Slot>) {
        if !loan.extents.is_empty() {
            self.loans.push_back(loan);
        }
    }

    /// The free list and the loans of a worker whose predecessor left `found` behind: what slots
    /// list in DONE, or in RUNNING as chunks that nobody has acknowledged. The predecessor may
    /// have been broken, so that two slots list one block: it is free when neither does.
    #[must_use]
    pub fn inherit(count: u16, found: impl IntoIterator<Item = Loan<Slot>>) -> (Self, Blocks) {
        let (mut lent, mut blocks) = (Self::new(), Blocks::new(count));
        for loan in found {
            let known = loan.extents.iter().filter(|block| block.0 < count);
            let extents: Extents = known.collect();
            extents.iter().for_each(|block| blocks.reserve(block));
            lent.lend(Loan { extents, ..loan });
        }
        (lent, blocks)
    }

    /// Whether some loan has ended.
    #[must_use]
    pub fn has_news(&self, mut state_of: impl FnMut(Slot) -> u64) -> bool {
        self.loans.iter().any(|loan| state_of(loan.slot) != loan.state)
    }

    /// Gives back what slots do not list any more; `state_of` reads the state word of a slot, with
    /// an order that lets the next write into a block come after the other side's last read.
    pub fn collect(&mut self, blocks: &mut Blocks, mut state_of: impl FnMut(Slot) -> u64) {
        self.loans.retain(|loan| {
            let lasts = state_of(loan.slot) == loan.state;
            if !lasts {
                blocks.give_all_back(&loan.extents);
            }
            lasts
        });
    }
}

impl<Slot: Copy> Default for Lent<Slot> {
    fn default() -> Self {
        Self::new()
    }
}

/// Most blocks that a slot lists, in either direction.
pub const EXTENTS_MAX: usize = RESPONSE_EXTENTS_MAX;
/// Blocks that go round.
const WARM_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_few_blocks_go_round_first_in_first_out() {
        let mut blocks = Blocks::new(32);
        let mut taken = Vec::new();
        for _ in 0..2 * WARM_MAX {
            let block = blocks.take().unwrap();
            taken.push(block.0 as usize);
            blocks.give_back(block);
        }
        let round: Vec<usize> = (0..WARM_MAX).chain(0..WARM_MAX).collect();
        assert_eq!(taken, round);
    }

    #[test]
    fn after_a_burst_a_few_go_round_again() {
        let mut blocks = Blocks::new(32);
        let all: Vec<BlockIndex> = std::iter::from_fn(|| blocks.take()).collect();
        assert_eq!((all.len(), blocks.free()), (32, 0));
        all.iter().for_each(|block| blocks.give_back(*block));
        let mut seen = HashSet::new();
        for _ in 0..100 {
            let block = blocks.take().unwrap();
            seen.insert(block);
            blocks.give_back(block);
        }
        assert_eq!(seen.len(), WARM_MAX);
    }

    #[test]
    fn a_message_gets_all_its_blocks_or_none() {
        let mut blocks = Blocks::new(3);
        assert_eq!(blocks.take_for(0, 15).unwrap().len(), 0);
        assert_eq!(blocks.take_for(BLOCK_BYTES, 15).unwrap().len(), 1);
        assert_eq!(blocks.take_for(2 * BLOCK_BYTES + 1, 15), None);
        assert_eq!(blocks.free(), 2);
        assert_eq!(blocks.take_for(2 * BLOCK_BYTES, 1), None);
        assert_eq!(blocks.take_for(BLOCK_BYTES + 1, 15).unwrap().len(), 2);
        assert_eq!((blocks.free(), blocks.take()), (0, None));
    }

    #[test]
    #[should_panic(expected = "given back once")]
    fn a_block_is_not_given_back_twice() {
        let mut blocks = Blocks::new(2);
        let block = blocks.take().unwrap();
        blocks.give_back(block);
        blocks.give_back(block);
    }

    #[track_caller]
    fn check(listed: &[u32], bytes: u64, expected: Result<usize, BadExtents>) {
        let checked = Extents::check(listed, bytes, 32);
        assert_eq!(checked.map(|extents| extents.len()), expected);
    }

    #[test]
    fn lists_of_others_are_checked() {
        const BLOCK: u64 = BLOCK_BYTES;
        check(&[], 0, Ok(0));
        check(&[99], 0, Ok(0));
        check(&[3, 1, 31, 99], 3 * BLOCK, Ok(3));
        check(&[3, 1, 31, 99], 2 * BLOCK + 1, Ok(3));
        check(&[3, 1], 2 * BLOCK + 1, Err(BadExtents::Count { bytes: 2 * BLOCK + 1 }));
        check(&[3], u64::MAX, Err(BadExtents::Count { bytes: u64::MAX }));
        check(&[0; 17], 17 * BLOCK, Err(BadExtents::Count { bytes: 17 * BLOCK }));
        check(&[32], 1, Err(BadExtents::Range { listed: 32, blocks: 32 }));
        check(&[1 << 16], 1, Err(BadExtents::Range { listed: 1 << 16, blocks: 32 }));
        check(&[4, 5, 4], 3 * BLOCK, Err(BadExtents::Twice { block: BlockIndex(4) }));
    }

    fn loan(slot: u32, state: u64, blocks: &[u16]) -> Loan<u32> {
        Loan { slot, state, extents: blocks.iter().map(|&block| BlockIndex(block)).collect() }
    }

    #[test]
    fn a_successor_keeps_what_slots_list_until_their_word_changes() {
        let mut words = HashMap::from([(1, 10), (2, 20)]);
        let found = [loan(1, 10, &[0, 5]), loan(2, 20, &[7])];
        let (mut lent, mut blocks) = Lent::inherit(8, found);
        assert_eq!(blocks.free(), 5);
        lent.collect(&mut blocks, |slot| words[&slot]);
        assert_eq!(blocks.free(), 5);
        assert!(!lent.has_news(|slot| words[&slot]));
        words.insert(1, 11);
        assert!(lent.has_news(|slot| words[&slot]));
        lent.collect(&mut blocks, |slot| words[&slot]);
        assert_eq!(blocks.free(), 7);
        words.insert(2, 10);
        lent.collect(&mut blocks, |slot| words[&slot]);
        assert_eq!((blocks.free(), lent.is_empty()), (8, true));
    }

    #[test]
    fn a_broken_predecessor_harms_nobody() {
        let mut words = HashMap::from([(1, 1), (2, 2)]);
        let found = [loan(1, 1, &[3, 3, 900]), loan(2, 2, &[3])];
        let (mut lent, mut blocks) = Lent::inherit(8, found);
        assert_eq!(blocks.free(), 7);
        words.insert(1, 0);
        lent.collect(&mut blocks, |slot| words[&slot]);
        assert_eq!(blocks.free(), 7, "the other slot still lists it");
        words.insert(2, 0);
        lent.collect(&mut blocks, |slot| words[&slot]);
        assert_eq!(blocks.free(), 8);
    }

    /// What a worker's life is made of.
    #[derive(Clone, Debug)]
    enum Step {
        /// A job is answered with so many blocks in this slot, if the slot is free.
        Answer { slot: u32, blocks: usize },
        /// The shard takes the answer over.
        Free { slot: u32 },
        /// The worker looks what came back.
        Collect,
        /// The worker dies with blocks in its hands; its successor reads the slots.
        Die { in_hand: usize },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..6u32, 0..5usize).prop_map(|(slot, blocks)| Step::Answer { slot, blocks }),
            3 => (0..6u32).prop_map(|slot| Step::Free { slot }),
            2 => Just(Step::Collect),
            1 => (0..4usize).prop_map(|in_hand| Step::Die { in_hand }),
        ];
        prop::collection::vec(step, 0..120)
    }

    proptest! {
        /// The reference: shared memory itself, from which the blocks in use can be told.
        #[test]
        fn no_block_is_lost_or_in_two_places(count in 1..14u16, steps in steps()) {
            let mut memory: HashMap<u32, (u64, Extents)> = HashMap::new();
            let mut next_word = 1;
            let (mut lent, mut blocks) = (Lent::new(), Blocks::new(count));
            for step in steps {
                match step {
                    Step::Answer { slot, blocks: wanted } => {
                        let is_free = memory.get(&slot).is_none_or(|(word, _)| *word == 0);
                        let extents = blocks.take_for(wanted as u64 * BLOCK_BYTES, 15);
                        let Some(extents) = extents else { continue };
                        if !is_free {
                            blocks.give_all_back(&extents);
                            continue;
                        }
                        let listed = memory.values().filter(|(word, _)| *word != 0);
                        for (_, others) in listed {
                            prop_assert!(extents.iter().all(|block| !others.contains(block)));
                        }
                        memory.insert(slot, (next_word, extents));
                        lent.lend(Loan { slot, state: next_word, extents });
                        next_word += 1;
                    }
                    Step::Free { slot } => {
                        memory.entry(slot).and_modify(|(word, _)| *word = 0);
                    }
                    Step::Collect => lent.collect(&mut blocks, |slot| memory[&slot].0),
                    Step::Die { in_hand } => {
                        let _lost: Vec<_> = (0..in_hand).map_while(|_| blocks.take()).collect();
                        let listed = memory.iter().filter(|(_, (word, _))| *word != 0);
                        let found = listed
                            .map(|(&slot, &(state, extents))| Loan { slot, state, extents });
                        (lent, blocks) = Lent::inherit(count, found.collect::<Vec<_>>());
                    }
                }
                let mut exact = (lent.clone(), blocks.clone());
                exact.0.collect(&mut exact.1, |slot| memory[&slot].0);
                let in_use: usize = memory
                    .values()
                    .filter(|(word, _)| *word != 0)
                    .map(|(_, extents)| extents.len())
                    .sum();
                prop_assert_eq!(exact.1.free() + in_use, usize::from(count));
            }
        }

        #[test]
        fn no_list_is_believed_that_is_wrong(
            listed in prop::collection::vec(prop_oneof![0..40u32, any::<u32>()], 0..20),
            bytes in prop_oneof![0..(20 * BLOCK_BYTES), any::<u64>()],
            blocks in 0..40u16,
        ) {
            if let Ok(extents) = Extents::check(&listed, bytes, blocks) {
                let distinct: HashSet<BlockIndex> = extents.iter().collect();
                prop_assert_eq!(distinct.len(), extents.len());
                prop_assert!(extents.iter().all(|block| block.0 < blocks));
                let room = extents.len() as u64 * BLOCK_BYTES;
                prop_assert!(room >= bytes && room - bytes < BLOCK_BYTES);
            }
        }
    }
}
