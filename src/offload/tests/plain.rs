//! The memory of a pool without anything around it: for one story at a time.

use std::cell::{Cell, RefCell};

use crate::offload::layout::{Area, Doorbell, Layout, Shape, Span, Word};
use crate::offload::world::{Ordering, World};

/// Memory of one process, which counts how often it is touched.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) layout: Layout,
    pub(super) words: Vec<Cell<u64>>,
    /// Control, then requests.
    bodies: RefCell<[Vec<u8>; 2]>,
    pub(super) accesses: Cell<u64>,
    pub(super) clock: Cell<u64>,
    pub(super) ticks: Cell<Option<u64>>,
    rung: Cell<[bool; 2]>,
}

impl Plain {
    pub(super) fn new() -> Self {
        Self::with(Shape {
            shards: 1,
            workers: 2,
            slots: 5,
            slot_bytes: 64,
            request_blocks: 1,
            response_blocks: 1,
        })
    }

    pub(super) fn with(shape: Shape) -> Self {
        let layout = Layout::new(shape).unwrap();
        let control = layout.control_bytes() as usize;
        let bodies = RefCell::new([vec![0; control], vec![0; layout.request_bytes() as usize]]);
        let words = vec![Cell::new(0); control / 8];
        let (accesses, clock, rung) = (Cell::new(0), Cell::new(1), Cell::default());
        let ticks = Cell::new(None);
        Self { layout, words, bodies, accesses, clock, ticks, rung }
    }

    /// Whether the doorbells of the shards, or of the workers, have rung since the last question.
    pub(super) fn has_rung(&self, kind: usize) -> bool {
        let mut rung = self.rung.get();
        let answer = std::mem::take(&mut rung[kind]);
        self.rung.set(rung);
        answer
    }

    fn word(&self, at: Word) -> &Cell<u64> {
        self.accesses.set(self.accesses.get() + 1);
        &self.words[at.index()]
    }
}

impl World for &Plain {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn load(&self, at: Word, _: Ordering) -> u64 {
        self.word(at).get()
    }

    fn store(&self, at: Word, value: u64, _: Ordering) {
        self.word(at).set(value);
    }

    fn compare_exchange(&self, at: Word, current: u64, new: u64, _: Ordering) -> Result<u64, u64> {
        let word = self.word(at);
        if word.get() == current { Ok(word.replace(new)) } else { Err(word.get()) }
    }

    fn swap(&self, at: Word, value: u64, _: Ordering) -> u64 {
        self.word(at).replace(value)
    }

    fn fetch_or(&self, at: Word, bits: u64, _: Ordering) -> u64 {
        let word = self.word(at);
        word.replace(word.get() | bits)
    }

    fn fetch_and(&self, at: Word, bits: u64, _: Ordering) -> u64 {
        let word = self.word(at);
        word.replace(word.get() & bits)
    }

    fn fetch_add(&self, at: Word, value: u64, _: Ordering) -> u64 {
        let word = self.word(at);
        word.replace(word.get().wrapping_add(value))
    }

    fn fence(&self, _: Ordering) {}

    fn ring(&self, doorbell: Doorbell) {
        let exists = match doorbell {
            Doorbell::Shard(shard) => shard.0 < self.layout.shape().shards,
            Doorbell::Worker(worker) => worker.0 < self.layout.shape().workers,
        };
        assert!(exists, "{doorbell:?}");
        let mut rung = self.rung.get();
        rung[usize::from(matches!(doorbell, Doorbell::Worker(_)))] = true;
        self.rung.set(rung);
    }

    fn now(&self) -> u64 {
        self.clock.get()
    }

    fn ticks(&self) -> Option<u64> {
        self.ticks.get()
    }

    fn copy_in(&self, at: Span, bytes: &[u8]) {
        let memory = &mut self.bodies.borrow_mut()[usize::from(at.area() == Area::Requests)];
        memory[at.offset()..][..bytes.len()].copy_from_slice(bytes);
    }

    fn copy_out(&self, at: Span, into: &mut [u8]) {
        let memory = &self.bodies.borrow()[usize::from(at.area() == Area::Requests)];
        into.copy_from_slice(&memory[at.offset()..][..into.len()]);
    }
}
