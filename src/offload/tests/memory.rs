//! The memory of a small pool for one thread: a world for tests.

use std::cell::{Cell, RefCell};

use crate::offload::layout::{Area, Doorbell, Layout, Shape, Span, Word};
use crate::offload::word::{ShardIndex, SlotIndex, WorkerIndex};
use crate::offload::world::{Ordering, World};

pub(crate) const SHARD: ShardIndex = ShardIndex(0);
pub(crate) const WORKER: WorkerIndex = WorkerIndex(0);
pub(crate) const SLOT: SlotIndex = SlotIndex(0);
pub(crate) const SHAPE: Shape = Shape {
    shards: 1,
    workers: 1,
    slots: 1,
    slot_bytes: 64,
    request_blocks: 9,
    response_blocks: 5,
};

/// The memory of a pool, and its doorbells, for one thread.
pub(crate) struct Memory {
    layout: Layout,
    words: Vec<Cell<u64>>,
    control: RefCell<Vec<u8>>,
    requests: RefCell<Vec<u8>>,
    /// Which doorbells have rung.
    rung: [Cell<bool>; 2],
}

impl Memory {
    pub(crate) fn new() -> Self {
        let layout = Layout::new(SHAPE).unwrap();
        Self {
            words: vec![Cell::new(0); layout.control_bytes() as usize / 8],
            control: RefCell::new(vec![0; layout.control_bytes() as usize]),
            requests: RefCell::new(vec![0; layout.request_bytes() as usize]),
            layout,
            rung: Default::default(),
        }
    }

    /// What the doorbells have heard: the shard's, the worker's.
    pub(crate) fn rung(&self) -> &[Cell<bool>; 2] {
        &self.rung
    }

    fn change(&self, at: Word, change: impl FnOnce(u64) -> u64) -> u64 {
        let word = &self.words[at.index()];
        word.replace(change(word.get()))
    }

    fn area(&self, span: Span) -> &RefCell<Vec<u8>> {
        match span.area() {
            Area::Control => &self.control,
            Area::Requests => &self.requests,
        }
    }
}

impl World for Memory {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn load(&self, at: Word, _: Ordering) -> u64 {
        self.words[at.index()].get()
    }

    fn store(&self, at: Word, value: u64, _: Ordering) {
        self.words[at.index()].set(value);
    }

    fn compare_exchange(&self, at: Word, current: u64, new: u64, _: Ordering) -> Result<u64, u64> {
        let seen = self.words[at.index()].get();
        if seen != current {
            return Err(seen);
        }
        self.words[at.index()].set(new);
        Ok(seen)
    }

    fn swap(&self, at: Word, value: u64, _: Ordering) -> u64 {
        self.change(at, |_| value)
    }

    fn fetch_or(&self, at: Word, bits: u64, _: Ordering) -> u64 {
        self.change(at, |word| word | bits)
    }

    fn fetch_and(&self, at: Word, bits: u64, _: Ordering) -> u64 {
        self.change(at, |word| word & bits)
    }

    fn fetch_add(&self, at: Word, value: u64, _: Ordering) -> u64 {
        self.change(at, |word| word.wrapping_add(value))
    }

    fn fence(&self, _: Ordering) {}

    fn ring(&self, doorbell: Doorbell) {
        match doorbell {
            Doorbell::Shard(_) => self.rung[0].set(true),
            Doorbell::Worker(_) => self.rung[1].set(true),
        }
    }

    fn now(&self) -> u64 {
        0
    }

    fn copy_in(&self, at: Span, bytes: &[u8]) {
        assert!(bytes.len() <= at.bytes() as usize);
        self.area(at).borrow_mut()[at.offset()..][..bytes.len()].copy_from_slice(bytes);
    }

    fn copy_out(&self, at: Span, into: &mut [u8]) {
        assert!(into.len() <= at.bytes() as usize);
        into.copy_from_slice(&self.area(at).borrow()[at.offset()..][..into.len()]);
    }
}
