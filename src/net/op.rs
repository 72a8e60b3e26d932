//! Who a completion belongs to: the 64-bit `user_data` of every submission.
//!
//! ```text
//! 63      56 55                32 31                 0
//! +---------+--------------------+--------------------+
//! |  kind   |     generation     |       index        |
//! +---------+--------------------+--------------------+
//! ```
//! The generation makes completions of an earlier owner of a slab entry recognisable.

use std::fmt;

/// A connection: an entry of the shard's slab and which of its owners is meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnId {
    /// Entry in the slab.
    pub index: u32,
    /// Owner of the entry, modulo 2^24.
    pub generation: u32,
}

impl ConnId {
    /// The bits of a generation that a token carries.
    pub const GENERATION_MASK: u32 = 0x00FF_FFFF;
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conn {self}")
    }
}

/// What was asked of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Poll of a listener; the index is the listener's.
    Accept = 1,
    /// The ring's one timeout.
    Alarm = 2,
    /// A cancellation or a close: nobody waits for its result.
    Forget = 3,
    /// Multishot poll; the index is the caller's tag.
    Poll = 4,
    /// Receive; index and generation are the connection's.
    Receive = 5,
    /// Send; the index is the flight's.
    Send = 6,
}

/// A `user_data` value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(pub(super) u64);

impl Token {
    pub(super) const fn new(kind: Kind, index: u32, generation: u32) -> Self {
        let generation = (generation & ConnId::GENERATION_MASK) as u64;
        Self((kind as u64) << 56 | generation << 32 | index as u64)
    }

    pub(super) const fn kind(self) -> Option<Kind> {
        match (self.0 >> 56) as u8 {
            1 => Some(Kind::Accept),
            2 => Some(Kind::Alarm),
            3 => Some(Kind::Forget),
            4 => Some(Kind::Poll),
            5 => Some(Kind::Receive),
            6 => Some(Kind::Send),
            _ => None,
        }
    }

    pub(super) const fn index(self) -> u32 {
        self.0 as u32
    }

    pub(super) const fn conn(self) -> ConnId {
        let generation = (self.0 >> 32) as u32 & ConnId::GENERATION_MASK;
        ConnId { index: self.0 as u32, generation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_back_what_it_was_made_of() {
        let kinds =
            [Kind::Accept, Kind::Alarm, Kind::Forget, Kind::Poll, Kind::Receive, Kind::Send];
        for kind in kinds {
            let token = Token::new(kind, u32::MAX - 1, 0xABCD_EF12);
            assert_eq!(token.kind(), Some(kind));
            assert_eq!(token.index(), u32::MAX - 1);
            assert_eq!(token.conn().generation, 0x00CD_EF12);
        }
        assert_eq!(Token(0).kind(), None);
    }
}
