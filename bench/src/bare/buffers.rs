//! The provided-buffer ring: where the kernel puts what it receives, without asking first.
//!
//! The kernel takes buffers from the head of a ring of descriptors and tells with each completion
//! which one it used; giving one back is a write into that ring and a moved tail. The tail is
//! published once per turn, so that a busy turn costs one release store, not one per read.

use std::io;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// Identifies the buffers of this ring in a receive operation.
pub(super) const GROUP: u16 = 0;

/// Buffers that the kernel fills, each `BUFFER_BYTES` long.
pub(super) struct Buffers {
    /// The descriptors; the first one's spare field is the tail, as the kernel wants it.
    entries: NonNull<BufRingEntry>,
    /// `COUNT * BUFFER_BYTES` bytes, one buffer behind the other.
    data: NonNull<u8>,
    /// What the published tail will be: returned buffers that the kernel has not been told of.
    tail: u16,
}

impl Buffers {
    /// Maps the memory. It lives as long as the process: the bare loop ends with it.
    pub(super) fn map() -> io::Result<Self> {
        let entries = map(usize::from(COUNT) * size_of::<BufRingEntry>())?.cast();
        let data = map(usize::from(COUNT) * BUFFER_BYTES)?;
        Ok(Self { entries, data, tail: 0 })
    }

    /// Makes the ring known to the kernel with all buffers in it.
    pub(super) fn register(&mut self, submitter: &Submitter<'_>) -> io::Result<()> {
        // SAFETY: `entries` is page-aligned, holds COUNT descriptors, and is never unmapped.
        unsafe {
            submitter.register_buf_ring_with_flags(
                self.entries.as_ptr() as u64,
                COUNT,
                GROUP,
                0,
            )?;
        }
        for id in 0..COUNT {
            self.give_back(id);
        }
        self.publish();
        Ok(())
    }

    /// What the kernel received into buffer `id`.
    pub(super) fn bytes(&self, id: u16, length: usize) -> &[u8] {
        assert!(
            id < COUNT && length <= BUFFER_BYTES,
            "the kernel names a buffer that it was given"
        );
        // SAFETY: the range lies within `data` (asserted), which is never unmapped. The kernel
        // wrote it before it posted the completion and does not touch it until `give_back`, which
        // takes `&mut self` and so cannot happen while this borrow lives.
        unsafe {
            slice::from_raw_parts(self.data.as_ptr().add(usize::from(id) * BUFFER_BYTES), length)
        }
    }

    /// Returns a buffer; the kernel sees it after `publish`.
    pub(super) fn give_back(&mut self, id: u16) {
        let slot = usize::from(self.tail & (COUNT - 1));
        let address = self.data.as_ptr() as u64 + u64::from(id) * BUFFER_BYTES as u64;
        // SAFETY: `slot` < COUNT, so the descriptor lies within the mapping. The kernel reads only
        // what is in front of the published tail, and at most COUNT buffers exist, so it does not
        // read this descriptor now. The setters leave the tail, which shares the first, alone.
        let entry = unsafe { &mut *self.entries.as_ptr().add(slot) };
        entry.set_addr(address);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel all returned buffers.
    pub(super) fn publish(&self) {
        // SAFETY: `entries` is the first descriptor of a mapped ring; its tail field is aligned for
        // a u16, and everyone (the kernel too) writes or reads it as one atomic word.
        let tail =
            unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries.as_ptr()).cast_mut()) };
        // Pairs with the kernel's acquire load of the tail when it picks a buffer.
        tail.store(self.tail, Ordering::Release);
    }
}

fn map(bytes: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: a fresh anonymous mapping at an address of the kernel's choice aliases nothing.
    let pointer = unsafe {
        mmap_anonymous(
            std::ptr::null_mut(),
            bytes,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE,
        )?
    };
    Ok(NonNull::new(pointer.cast()).expect("mmap never returns address zero unless asked to"))
}

/// Enough for 256 busy connections; half as many run dry (ENOBUFS) and cost re-arming.
const COUNT: u16 = 512;
/// One read of a request head; a longer one takes several.
const BUFFER_BYTES: usize = 2048;

const _: () = assert!(COUNT.is_power_of_two());
