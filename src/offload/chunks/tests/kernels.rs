//! Under all that the memory model allows: the sleeps at a full window and at an empty one, and
//! what a window publishes. Each kernel has twins in which one order is weaker; they must fail.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::loom::sync::atomic::{self, AtomicU64};
use ::loom::sync::{Arc, Notify};
use ::loom::{model, thread};

use super::wait::{Pause, Waiting, wake_worker};
use crate::offload::chunks::*;
use crate::offload::layout::{Doorbell, Layout, Span};
use crate::offload::tests::memory::{SHAPE, SHARD, SLOT, WORKER};
use crate::offload::wake::call_shard;

const GENERATION: Generation = Generation::new(5);
const CANCEL: u64 = 11;

/// What is weaker than it must be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Twin {
    None,
    /// All orders but those of fences are Relaxed.
    Orders,
    /// There are no fences.
    Fences,
}

/// The few words that a kernel uses, one byte of a block, and the doorbells.
struct Modelled {
    layout: Layout,
    words: BTreeMap<usize, AtomicU64>,
    byte: AtomicU64,
    doorbells: [Notify; 2],
    twin: Twin,
}

impl Modelled {
    fn new(twin: Twin) -> Arc<Self> {
        let layout = Layout::new(SHAPE).unwrap();
        let slot = layout.slot(SHARD, SLOT);
        let words = [
            slot.worker_window(),
            slot.request_extents(0),
            slot.response_extents(RING_PAIR),
            slot.cancel(),
            layout.worker_sleep(WORKER),
            layout.shard_sleep(SHARD),
            layout.attention(SHARD, 0),
        ];
        let words = words.iter().map(|word| (word.index(), AtomicU64::new(0))).collect();
        let doorbells = [Notify::new(), Notify::new()];
        Arc::new(Self { layout, words, byte: AtomicU64::new(0), doorbells, twin })
    }

    fn slot(&self) -> SlotWords {
        self.layout.slot(SHARD, SLOT)
    }

    fn order(&self, order: Ordering) -> Ordering {
        if self.twin == Twin::Orders { Ordering::Relaxed } else { order }
    }

    fn shard(&self) -> Link {
        Link::of_shard(self, self.slot(), GENERATION, (Side::Worker(WORKER), 0))
    }

    /// What stands for the place of an access among all that are SeqCst: the checker takes such an
    /// access for one that is AcqRel.
    fn fence_for(&self, order: Ordering) {
        if order == Ordering::SeqCst && self.twin != Twin::Fences {
            atomic::fence(order);
        }
    }

    fn worker(&self) -> Link {
        Link::of_worker(self, self.slot(), GENERATION, Side::Shard(SHARD))
    }
}

impl World for Modelled {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn load(&self, at: Word, order: Ordering) -> u64 {
        self.fence_for(order);
        let order = if order == Ordering::SeqCst { Ordering::Relaxed } else { order };
        self.words[&at.index()].load(self.order(order))
    }

    fn store(&self, at: Word, value: u64, order: Ordering) {
        self.words[&at.index()].store(value, self.order(order));
    }

    fn compare_exchange(
        &self,
        at: Word,
        current: u64,
        new: u64,
        order: Ordering,
    ) -> Result<u64, u64> {
        let word = &self.words[&at.index()];
        word.compare_exchange(current, new, self.order(order), Ordering::Relaxed)
    }

    fn swap(&self, at: Word, value: u64, order: Ordering) -> u64 {
        self.words[&at.index()].swap(value, self.order(order))
    }

    fn fetch_or(&self, at: Word, bits: u64, order: Ordering) -> u64 {
        let before = self.words[&at.index()].fetch_or(bits, self.order(order));
        self.fence_for(order);
        before
    }

    fn fetch_and(&self, at: Word, bits: u64, order: Ordering) -> u64 {
        self.words[&at.index()].fetch_and(bits, self.order(order))
    }

    fn fetch_add(&self, at: Word, value: u64, order: Ordering) -> u64 {
        self.words[&at.index()].fetch_add(value, self.order(order))
    }

    fn fence(&self, order: Ordering) {
        if self.twin != Twin::Fences {
            atomic::fence(order);
        }
    }

    fn ring(&self, doorbell: Doorbell) {
        match doorbell {
            Doorbell::Shard(_) => self.doorbells[0].notify(),
            Doorbell::Worker(_) => self.doorbells[1].notify(),
        }
    }

    fn now(&self) -> u64 {
        0
    }

    fn copy_in(&self, _: Span, bytes: &[u8]) {
        self.byte.store(bytes[0].into(), Ordering::Relaxed);
    }

    fn copy_out(&self, _: Span, into: &mut [u8]) {
        into[0] = self.byte.load(Ordering::Relaxed) as u8;
    }
}

/// A worker that can go no further until its shard takes something or takes the job back.
fn wait_for_room(world: &Modelled, link: &Link) {
    let is_over = || link.has_news(world, Interest::Room) || link.is_cancelled(world, CANCEL);
    let mut waiting = Waiting::new(WORKER, 0);
    while waiting.poll(world, is_over) != Pause::Over {
        world.doorbells[1].wait();
    }
}

/// The worker's item is taken while it falls asleep; then it writes into the same block.
fn full_window(twin: Twin) {
    let world = Modelled::new(twin);
    let mut worker = world.worker();
    let piece = Piece { block: BlockIndex(2), bytes: 1 };
    let block = world.layout.response_block(WORKER, 2).unwrap();
    worker.send(&*world, Item::Opening).unwrap();
    worker.send(&*world, Item::Bytes(piece)).unwrap();
    world.copy_in(block, &[1]);
    let theirs = Arc::clone(&world);
    let shard = thread::spawn(move || {
        let (world, mut link) = (&*theirs, theirs.shard());
        // A call that brings nothing the worker waits for must not cost it the next one.
        wake_worker(world, WORKER);
        while link.receive(world).unwrap().is_some() {}
        let mut byte = [0];
        world.copy_out(block, &mut byte);
        assert_eq!(byte, [1], "it was written again before it was taken");
        link.take(world, 2);
        wake_worker(world, WORKER);
    });
    wait_for_room(&world, &worker);
    assert_eq!(worker.collect(&*world).unwrap().len(), 1);
    world.copy_in(block, &[2]);
    shard.join().unwrap();
}

/// The job is taken back while the worker falls asleep.
fn cancel(twin: Twin) {
    let world = Modelled::new(twin);
    let mut worker = world.worker();
    worker.send(&*world, Item::Opening).unwrap();
    let theirs = Arc::clone(&world);
    let shard = thread::spawn(move || {
        theirs.store(theirs.slot().cancel(), CANCEL, Ordering::Release);
        wake_worker(&*theirs, WORKER);
    });
    wait_for_room(&world, &worker);
    shard.join().unwrap();
}

/// The worker sends while the shard falls asleep; the shard must find item and bytes.
fn empty_window(twin: Twin) {
    let world = Modelled::new(twin);
    let theirs = Arc::clone(&world);
    let worker = thread::spawn(move || {
        let (world, mut link) = (&*theirs, theirs.worker());
        link.send(world, Item::Opening).unwrap();
        let block = world.layout.response_block(WORKER, 2).unwrap();
        world.copy_in(block, &[1]);
        link.send(world, Item::Bytes(Piece { block: BlockIndex(2), bytes: 1 })).unwrap();
        call_shard(world, (SHARD, &world.layout().shard_row(SHARD)), SLOT);
    });
    let mut link = world.shard();
    let attention = world.layout.attention(SHARD, 0);
    world.fetch_or(world.layout.shard_sleep(SHARD), 1, Ordering::Relaxed);
    world.fence(Ordering::SeqCst);
    while world.swap(attention, 0, Ordering::Acquire) == 0 {
        world.doorbells[0].wait();
        world.fence(Ordering::SeqCst);
    }
    assert_eq!(link.receive(&*world), Ok(Some(Item::Opening)));
    assert!(matches!(link.receive(&*world), Ok(Some(Item::Bytes(_)))));
    let mut byte = [0];
    world.copy_out(world.layout.response_block(WORKER, 2).unwrap(), &mut byte);
    assert_eq!(byte, [1]);
    worker.join().unwrap();
}

fn check(kernel: fn(Twin), twin: Twin) {
    let mut builder = model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || kernel(twin));
}

/// The kernel holds, and its twins do not.
#[track_caller]
fn check_with_twins(kernel: fn(Twin), twins: &[Twin]) {
    check(kernel, Twin::None);
    for &twin in twins {
        let failed = catch_unwind(AssertUnwindSafe(|| check(kernel, twin))).is_err();
        assert!(failed, "{twin:?} is as good");
    }
}

#[test]
fn a_full_window_loses_no_wake_and_no_byte() {
    // The model does not let a read see what is written later, as weaker orders would.
    check_with_twins(full_window, &[Twin::Fences]);
}

#[test]
fn a_cancel_wakes_the_worker() {
    check_with_twins(cancel, &[Twin::Fences]);
}

#[test]
fn an_empty_window_loses_no_wake_and_no_byte() {
    check_with_twins(empty_window, &[Twin::Fences, Twin::Orders]);
}
