//! A page that one process writes and its supervisor reads.
//!
//! | field | writer | readers | ordering | pairs with |
//! |---|---|---|---|---|
//! | `turn` | the child that owns the page | supervisor | Relaxed both | nothing: no other data hangs on it |
//!
//! The word counts turns twice: it is odd while a turn runs and even between turns, when the
//! process may sleep. A supervisor that sees the same odd value for longer than a limit knows
//! that one turn has lasted that long; the writer pays one plain store for it and reads no clock.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

/// One page of shared memory, mapped before a fork: both processes then see the same words.
pub struct SharedPage {
    /// The mapping. It lives as long as the value, in each process on its own.
    map: MmapRaw,
}

impl SharedPage {
    /// Maps a fresh page, all zero.
    pub fn map() -> io::Result<Self> {
        let file = memfd_create("corewise-page", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, PAGE_BYTES as u64)?;
        let map = MmapOptions::new().len(PAGE_BYTES).map_raw(&file)?;
        Ok(Self { map })
    }

    /// The words in the page.
    #[must_use]
    pub fn words(&self) -> &PageWords {
        // SAFETY: the mapping is PAGE_BYTES long, readable, writable, page-aligned and shared; it
        // lives as long as `self`, and so does the reference. PageWords is made of atomics only,
        // has no invalid bit pattern, fits the page (asserted below) and is never accessed as
        // anything but atomics, in this process or the other.
        unsafe { &*self.map.as_ptr().cast::<PageWords>() }
    }

    /// Keeps the page out of every process that is forked from now on. Whoever has such a process
    /// must not use its copy of this value; `Forked` sees to it that nothing of the parent's is
    /// used there but what was handed over.
    pub fn keep_from_children(&self) -> io::Result<()> {
        self.map.advise(Advice::DontFork)
    }
}

impl fmt::Debug for SharedPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedPage").field("words", self.words()).finish()
    }
}

/// What a process tells its supervisor without a message.
#[derive(Debug)]
#[repr(C)]
pub struct PageWords {
    /// Odd while a turn runs.
    turn: AtomicU64,
}

impl PageWords {
    /// A turn begins. Only the process that owns the page calls this and `end_turn`.
    pub fn begin_turn(&self) {
        self.turn.store(self.turn.load(Ordering::Relaxed) | 1, Ordering::Relaxed);
    }

    /// The turn is over; the process may sleep now.
    pub fn end_turn(&self) {
        let turn = self.turn.load(Ordering::Relaxed) | 1;
        self.turn.store(turn.wrapping_add(1), Ordering::Relaxed);
    }

    /// The count as it stands, for the supervisor: odd means that a turn runs.
    #[must_use]
    pub fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }
}

const PAGE_BYTES: usize = 4096;
const _: () = assert!(size_of::<PageWords>() <= PAGE_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_odd_while_they_run() {
        let page = SharedPage::map().unwrap();
        let words = page.words();
        assert_eq!(words.turn(), 0);
        words.begin_turn();
        assert_eq!(words.turn(), 1);
        words.begin_turn();
        assert_eq!(words.turn(), 1, "beginning twice is one turn");
        words.end_turn();
        assert_eq!(words.turn(), 2);
        words.begin_turn();
        words.end_turn();
        assert_eq!(words.turn(), 4);
        page.keep_from_children().unwrap();
        assert_eq!(words.turn(), 4);
    }
}
