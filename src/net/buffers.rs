//! The buffer ring: memory that the kernel fills when bytes arrive, leased to us until we have
//! read them.
//!
//! A connection owns no receive buffer. The kernel takes the next buffer of the ring when a
//! socket has data, and names it in the completion; a [`Lease`] is the right to read it, and
//! gives it back when dropped.
//!
//! | field | writer | reader | ordering | pairs with |
//! |---|---|---|---|---|
//! | tail | this process | kernel | Release | the kernel's acquire load of the tail |
//! | entries | this process | kernel | plain, before the tail | the same |
//! | buffers | kernel | this process | plain, after the CQE | the CQ tail's acquire in `ring` |

use std::cell::Cell;
use std::io;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use memmap2::MmapMut;

/// Entries of the ring; a power of two. 256 ran out with 256 busy connections, which costs a
/// re-arm each (+0.9 us per request measured).
const COUNT: u16 = 512;
/// Bytes of one buffer.
const BYTES: usize = 2048;
/// The only buffer group of a ring.
pub(super) const GROUP: u16 = 0;

/// The memory behind a buffer ring.
pub(super) struct Buffers {
    /// `COUNT` entries that tell the kernel which buffers are free.
    entries: MmapMut,
    /// `COUNT` buffers of `BYTES` bytes.
    memory: MmapMut,
    /// Our copy of the tail: how many buffers were ever handed to the kernel, modulo 2^16.
    tail: Cell<u16>,
}

impl Buffers {
    /// Map the memory and hand every buffer to the kernel-to-be.
    ///
    /// # Errors
    /// When the mapping is refused (out of memory).
    pub(super) fn map() -> io::Result<Rc<Self>> {
        let entries = MmapMut::map_anon(usize::from(COUNT) * size_of::<BufRingEntry>())?;
        let memory = MmapMut::map_anon(usize::from(COUNT) * BYTES)?;
        let buffers = Rc::new(Self { entries, memory, tail: Cell::new(0) });
        for index in 0..COUNT {
            buffers.give(index);
        }
        Ok(buffers)
    }

    /// Where the kernel finds the entries.
    pub(super) fn address(&self) -> u64 {
        self.entries.as_ptr() as u64
    }

    /// How many there are.
    pub(super) fn count(&self) -> u16 {
        COUNT
    }

    /// The right to read `len` bytes of buffer `index`, which a completion has just named.
    pub(super) fn lease(self: &Rc<Self>, index: u16, len: usize) -> Lease {
        assert!(index < COUNT && len <= BYTES, "the kernel named a buffer that is not there");
        Lease { buffers: Rc::clone(self), index, len }
    }

    /// Hand buffer `index` to the kernel.
    fn give(&self, index: u16) {
        let tail = self.tail.get();
        let slot = usize::from(tail & (COUNT - 1));
        let address = self.memory.as_ptr().wrapping_add(usize::from(index) * BYTES) as u64;
        let base = self.entries.as_ptr().cast::<BufRingEntry>().cast_mut();
        // SAFETY: `slot` < COUNT and the mapping holds COUNT entries. The kernel reads only
        // entries before the published tail; this one lies at the tail and is ours until then.
        // No reference to the entries exists elsewhere: all access goes through this function.
        // The field writes leave bytes 14..16 of entry 0 alone, where the tail itself lives.
        let entry = unsafe { &mut *base.add(slot) };
        entry.set_addr(address);
        entry.set_len(BYTES as u32);
        entry.set_bid(index);
        let tail = tail.wrapping_add(1);
        self.tail.set(tail);
        // SAFETY: `base` is the page-aligned start of a ring of initialised (zeroed) entries, as
        // `BufRingEntry::tail` demands, and lives as long as `self`.
        let shared = unsafe { BufRingEntry::tail(base) };
        // SAFETY: the tail is a naturally aligned u16 in a mapping that outlives this borrow;
        // both sides treat it as atomic.
        let shared = unsafe { AtomicU16::from_ptr(shared.cast_mut()) };
        // Release: the kernel's acquire load of the tail sees the entry filled above.
        shared.store(tail, Ordering::Release);
    }
}

/// Received bytes, readable until dropped; then the kernel may fill the buffer anew.
pub struct Lease {
    buffers: Rc<Buffers>,
    index: u16,
    len: usize,
}

impl Deref for Lease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let start = usize::from(self.index) * BYTES;
        &self.buffers.memory[start..start + self.len]
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.buffers.give(self.index);
    }
}

const _: () = {
    assert!(COUNT.is_power_of_two());
    assert!(size_of::<BufRingEntry>() == 16);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_lease_goes_back_to_the_kernel() {
        let buffers = Buffers::map().unwrap();
        assert_eq!(buffers.tail.get(), COUNT);
        let lease = buffers.lease(7, 5);
        assert_eq!(lease.len(), 5);
        assert_eq!(buffers.tail.get(), COUNT);
        drop(lease);
        assert_eq!(buffers.tail.get(), COUNT + 1);
    }

    #[test]
    #[should_panic(expected = "a buffer that is not there")]
    fn a_buffer_beyond_the_ring_is_refused() {
        let buffers = Buffers::map().unwrap();
        drop(buffers.lease(COUNT, 1));
    }

    #[test]
    fn the_tail_wraps() {
        let buffers = Buffers::map().unwrap();
        for round in 0..200_000u32 {
            drop(buffers.lease((round % u32::from(COUNT)) as u16, 0));
        }
        assert_eq!(buffers.tail.get(), COUNT.wrapping_add(200_000u32 as u16));
    }
}
