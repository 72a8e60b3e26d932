//! What the protocol needs from the machine: words, bodies, a clock, doorbells.
//!
//! Every shared access of the protocol is one call of [`World`]. So the same source runs on the
//! real memory of a pool, under a model checker of the memory model, and in a
//! simulator that may stop, delay or kill a process between any two accesses. Dispatch is static:
//! on real memory a call is the bare instruction.
//!
//! What a process does between two calls is its own; nothing else is shared.

pub use std::sync::atomic::Ordering;

use super::layout::{Doorbell, Layout, Span, Word};

/// The shared accesses of one process.
pub trait World {
    /// Where everything lies. Words and spans of any other layout are not for this world.
    fn layout(&self) -> &Layout;
    /// Reads a word.
    fn load(&self, at: Word, order: Ordering) -> u64;
    /// Writes a word.
    fn store(&self, at: Word, value: u64, order: Ordering);
    /// Writes `new` where `current` stands: `Ok` with what stood there, or `Err` with what stands
    /// there. A failure orders nothing.
    fn compare_exchange(
        &self,
        at: Word,
        current: u64,
        new: u64,
        order: Ordering,
    ) -> Result<u64, u64>;
    /// Writes a word and returns what stood there.
    fn swap(&self, at: Word, value: u64, order: Ordering) -> u64;
    /// Sets bits and returns what stood there.
    fn fetch_or(&self, at: Word, bits: u64, order: Ordering) -> u64;
    /// Keeps only these bits and returns what stood there.
    fn fetch_and(&self, at: Word, bits: u64, order: Ordering) -> u64;
    /// Adds and returns what stood there.
    fn fetch_add(&self, at: Word, value: u64, order: Ordering) -> u64;
    /// Orders what comes before against what comes after; whoever calls it says what it excludes.
    fn fence(&self, order: Ordering);
    /// Wakes whoever waits at this doorbell. Never blocks.
    fn ring(&self, doorbell: Doorbell);
    /// Nanoseconds of the monotonic clock, the same in all processes.
    fn now(&self) -> u64;
    /// A number that grows with time and is cheaper to read than the clock; `None` where there is
    /// none. It says that little time has passed, and nothing else.
    fn ticks(&self) -> Option<u64> {
        None
    }
    /// A word and the beginning of a span are needed soon. Touches nothing.
    fn expect(&self, _word: Word, _at: Span) {}
    /// Copies bytes to the beginning of a span, which must be long enough.
    fn copy_in(&self, at: Span, bytes: &[u8]);
    /// Copies the beginning of a span, which must be long enough, over `into`.
    fn copy_out(&self, at: Span, into: &mut [u8]);

    /// Which deliberate mistake the protocol makes here: for the proof that it would be found.
    #[cfg(test)]
    fn twin(&self) -> Twin {
        Twin::None
    }
}

/// Mistakes that were made before, or nearly.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Twin {
    /// The mark that a signal was sent comes before the signal.
    ClearThenSignal,
    /// The head is moved before the slot is won.
    HeadFirst,
    /// Of the dead only the last one of each place is remembered.
    LastDeathOnly,
    /// None.
    None,
}
