//! What stands in the words of a stream, packed and unpacked. Pure.
//!
//! ```text
//! window of the worker   generation:40 | 0:7 | unwanted:1 | ack:8 | seq:8
//! window of the shard    first request extent:32 | 0:16 | ack:8 | seq:8
//! item, 32 bits          0:1 | block:15 | bytes - 1:16
//!                        1:1 | block:15 | kind:2 | bytes:14
//! ```
//!
//! The last block that fifteen bits can name is none: it stands for the slot's own area.
//!
//! A window says how many items its writer has put into its own direction and how many it has
//! taken out of the other one, both modulo 256: no more than eight are ever between the two.

use std::fmt;

use crate::offload::blocks::{BadExtents, BlockIndex};
use crate::offload::word::Generation;

/// One piece of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Item {
    /// Bytes of the body.
    Bytes(Piece),
    /// The body is complete, with these trailer fields if there are any.
    End(Option<Piece>),
    /// The body broke off.
    Failed,
    /// The head of the response lies in the slot, and what the response word says is true. The
    /// first item of every stream of a worker, and of no other.
    Opening,
}

/// Bytes at the beginning of a block, or of the slot's own area.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Piece {
    /// The block, or [`IN_SLOT`].
    pub block: BlockIndex,
    /// How many, at least one.
    pub bytes: u32,
}

impl Item {
    /// The block that it lies in.
    #[must_use]
    pub fn block(self) -> Option<BlockIndex> {
        self.place().filter(|place| *place != IN_SLOT)
    }

    /// The block that it lies in, or [`IN_SLOT`].
    pub(super) const fn place(self) -> Option<BlockIndex> {
        match self {
            Self::Bytes(piece) | Self::End(Some(piece)) => Some(piece.block),
            Self::End(None) | Self::Failed | Self::Opening => None,
        }
    }

    /// Whether nothing follows it.
    #[must_use]
    pub const fn is_last(self) -> bool {
        matches!(self, Self::End(_) | Self::Failed)
    }

    /// As it stands in memory.
    ///
    /// # Panics
    /// Panics if there are no bytes in a piece, or more than it may have.
    pub(super) fn pack(self) -> u32 {
        match self {
            Self::Bytes(Piece { block, bytes }) => {
                assert!((1..=PIECE_BYTES_MAX).contains(&bytes), "a piece fits its block");
                u32::from(block.0) << 16 | (bytes - 1)
            }
            Self::End(Some(Piece { block, bytes })) => {
                assert!((1..=TRAILER_PIECE_BYTES_MAX).contains(&bytes), "trailers fit a piece");
                MARK | u32::from(block.0) << 16 | END << 14 | bytes
            }
            Self::End(None) => MARK | END << 14,
            Self::Failed => MARK | FAILED << 14,
            Self::Opening => MARK | OPENING << 14,
        }
    }

    /// Reads it; `blocks` is how many blocks its writer has.
    pub(super) fn unpack(word: u32, blocks: u16) -> Result<Self, Broken> {
        let block = BlockIndex((word >> 16) as u16 & 0x7fff);
        let bytes = if word & MARK == 0 { (word & 0xffff) + 1 } else { word & 0x3fff };
        let piece = Piece { block, bytes };
        let exists = block.0 < blocks || block == IN_SLOT;
        match (word & MARK != 0, (word >> 14) & 3) {
            (false, _) if exists => Ok(Self::Bytes(piece)),
            (true, END) if bytes > 0 && exists => Ok(Self::End(Some(piece))),
            (true, END) if word & !MARK == END << 14 => Ok(Self::End(None)),
            (true, FAILED) if word & !MARK == FAILED << 14 => Ok(Self::Failed),
            (true, OPENING) if word & !MARK == OPENING << 14 => Ok(Self::Opening),
            _ => Err(Broken::Item { word }),
        }
    }
}

/// What cannot be: the writer of the other window is broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Broken {
    /// It has taken what was never sent.
    Ack {
        /// What it says.
        ack: u8,
    },
    /// Two items that are not taken yet lie in one block.
    Block {
        /// Which one.
        block: BlockIndex,
    },
    /// Blocks are listed that cannot be.
    Extents(BadExtents),
    /// An item that is none, or where it cannot be.
    Item {
        /// What stands there.
        word: u32,
    },
    /// The head of a response is described by what no worker writes.
    Response {
        /// What stands there.
        word: u64,
    },
    /// It has sent more than fits into the window, or less than before, or something behind the
    /// last item.
    Sequence {
        /// What it says.
        seq: u8,
    },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the other side of a stream is broken: ")?;
        match self {
            Self::Ack { ack } => write!(f, "it has taken item {ack}, which was never sent"),
            Self::Block { block } => write!(f, "block {} is in use twice", block.0),
            Self::Extents(error) => error.fmt(f),
            Self::Item { word } => write!(f, "{word:08x} is no item"),
            Self::Response { word } => write!(f, "{word:016x} is no response"),
            Self::Sequence { seq } => write!(f, "item {seq} cannot be the last one"),
        }
    }
}

impl std::error::Error for Broken {}

impl From<BadExtents> for Broken {
    fn from(error: BadExtents) -> Self {
        Self::Extents(error)
    }
}

/// What one side says of both directions.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Window {
    /// Items sent.
    pub(super) seq: u8,
    /// Items of the other side that it needs no more.
    pub(super) ack: u8,
    /// It takes nothing more. Only a worker says so: a shard takes the whole job back.
    pub(super) unwanted: bool,
}

impl Window {
    /// As a worker writes it.
    pub(super) const fn pack_worker(self, generation: Generation) -> u64 {
        self.bits() as u64 | generation.get() << 24
    }

    /// Reads that of a worker. That of another submission says nothing about this one.
    pub(super) fn unpack_worker(word: u64, generation: Generation) -> Self {
        if Self::is_of(word, generation) { Self::from_bits(word as u32) } else { Self::default() }
    }

    /// Whether a worker's window belongs to this submission.
    pub(super) fn is_of(word: u64, generation: Generation) -> bool {
        Generation::new(word >> 24) == generation
    }

    /// As a shard writes it, beside the first extent of its request.
    pub(super) const fn pack_shard(self, first_extent: u32) -> u64 {
        self.bits() as u64 | (first_extent as u64) << 32
    }

    /// Reads that of a shard.
    pub(super) const fn unpack_shard(word: u64) -> Self {
        Self::from_bits(word as u32)
    }

    const fn bits(self) -> u32 {
        self.seq as u32 | (self.ack as u32) << 8 | (self.unwanted as u32) << 16
    }

    const fn from_bits(bits: u32) -> Self {
        Self { seq: bits as u8, ack: (bits >> 8) as u8, unwanted: bits >> 16 & 1 == 1 }
    }
}

/// In place of a block: the slot's own area. Only workers use it, for one piece at a time.
pub const IN_SLOT: BlockIndex = BlockIndex(0x7fff);
/// Most bytes of one piece.
pub const PIECE_BYTES_MAX: u32 = 64 << 10;
/// Most bytes of trailer fields.
pub const TRAILER_PIECE_BYTES_MAX: u32 = (1 << 14) - 1;
const MARK: u32 = 1 << 31;
const END: u32 = 0;
const FAILED: u32 = 1;
const OPENING: u32 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(bytes_max: u32) -> impl Strategy<Value = Piece> {
        (0..=IN_SLOT.0, 1..=bytes_max)
            .prop_map(|(block, bytes)| Piece { block: BlockIndex(block), bytes })
    }

    proptest! {
        #[test]
        fn items_survive(item in prop_oneof![
            pieces(PIECE_BYTES_MAX).prop_map(Item::Bytes),
            prop::option::of(pieces(TRAILER_PIECE_BYTES_MAX)).prop_map(Item::End),
            Just(Item::Failed),
            Just(Item::Opening),
        ]) {
            prop_assert_eq!(Item::unpack(item.pack(), IN_SLOT.0), Ok(item));
        }

        #[test]
        fn what_is_read_is_what_would_be_written(word: u32, blocks in 0..=IN_SLOT.0) {
            if let Ok(item) = Item::unpack(word, blocks) {
                prop_assert_eq!(item.pack(), word);
                prop_assert!(item.block().is_none_or(|block| block.0 < blocks));
            }
        }

        #[test]
        fn windows_survive(seq: u8, ack: u8, unwanted: bool, number: u64, extent: u32) {
            let window = Window { seq, ack, unwanted };
            let generation = Generation::new(number);
            let word = window.pack_worker(generation);
            prop_assert_eq!(Window::unpack_worker(word, generation), window);
            prop_assert_eq!(Window::unpack_worker(word, generation.next()), Window::default());
            let word = window.pack_shard(extent);
            prop_assert_eq!(Window::unpack_shard(word), window);
            prop_assert_eq!((word >> 32) as u32, extent);
        }
    }

    #[test]
    #[should_panic(expected = "a piece fits its block")]
    fn no_piece_is_larger_than_its_block() {
        Item::Bytes(Piece { block: BlockIndex(0), bytes: PIECE_BYTES_MAX + 1 }).pack();
    }
}
