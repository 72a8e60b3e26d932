//! Both ends of a stream on one thread; the same in all orders of accesses (`simulation`), and
//! under all that the memory model allows (`kernels`).

mod kernels;
mod simulation;
mod wait;

use proptest::prelude::*;

use super::*;
use crate::offload::tests::memory::{Memory, SHAPE, SHARD, SLOT, WORKER};

const GENERATION: Generation = Generation::new(77);

/// Both ends of one job.
fn ends(memory: &Memory) -> (Link, Link) {
    let slot = memory.layout().slot(SHARD, SLOT);
    let shard = Link::of_shard(memory, slot, GENERATION, (Side::Worker(WORKER), 0xfeed));
    let worker = Link::of_worker(memory, slot, GENERATION, Side::Shard(SHARD));
    (shard, worker)
}

fn bytes(block: u16, bytes: u32) -> Item {
    Item::Bytes(Piece { block: BlockIndex(block), bytes })
}

fn blocks(extents: &Extents) -> Vec<u16> {
    extents.iter().map(|block| block.0).collect()
}

#[test]
fn eight_items_are_between_the_two_and_no_more() {
    let memory = Memory::new();
    let (mut shard, mut worker) = ends(&memory);
    for block in 0..8 {
        shard.send(&memory, bytes(block, 5)).unwrap();
    }
    assert_eq!(shard.send(&memory, Item::Failed), Err(Unsent::Full));
    assert_eq!(worker.receive(&memory), Ok(Some(bytes(0, 5))));
    assert_eq!(worker.receive(&memory), Ok(Some(bytes(1, 5))));
    assert!(shard.collect(&memory).unwrap().is_empty(), "given out is not taken");
    worker.take(&memory, 2);
    assert!(shard.has_news(&memory, Interest::Room));
    assert_eq!(blocks(&shard.collect(&memory).unwrap()), [0, 1]);
    assert!(!shard.has_news(&memory, Interest::Room));
    shard.send(&memory, Item::End(None)).unwrap();
    assert_eq!(shard.send(&memory, Item::Failed), Err(Unsent::Over));
    let rest: Vec<Item> = std::iter::from_fn(|| worker.receive(&memory).unwrap()).collect();
    assert_eq!((rest.len(), rest[6]), (7, Item::End(None)));
    assert!(worker.has_ended() && !worker.has_news(&memory, Interest::Item));
    assert_eq!(blocks(&shard.close(&memory)), [2, 3, 4, 5, 6, 7]);
}

#[test]
fn both_directions_pass_thousands_of_items_through_the_wrap_of_their_numbers() {
    let memory = Memory::new();
    let (mut shard, mut worker) = ends(&memory);
    worker.send(&memory, Item::Opening).unwrap();
    assert_eq!(shard.receive(&memory), Ok(Some(Item::Opening)));
    shard.take(&memory, 1);
    for number in 1..3000 {
        pass_on(&memory, &mut shard, &mut worker, bytes(3, number));
        pass_on(&memory, &mut worker, &mut shard, bytes(4, number));
    }
}

fn pass_on(memory: &Memory, from: &mut Link, to: &mut Link, item: Item) {
    from.collect(memory).unwrap();
    from.send(memory, item).unwrap();
    assert!(to.has_news(memory, Interest::Item));
    assert_eq!(to.receive(memory), Ok(Some(item)));
    assert_eq!(to.receive(memory), Ok(None));
    to.take(memory, 1);
}

#[test]
fn the_first_extent_of_the_request_survives_beside_the_window() {
    let memory = Memory::new();
    let (mut shard, mut worker) = ends(&memory);
    shard.send(&memory, bytes(0, 1)).unwrap();
    worker.send(&memory, Item::Opening).unwrap();
    shard.receive(&memory).unwrap();
    shard.take(&memory, 1);
    let word = memory.load(shard.own_window(), Ordering::Relaxed);
    assert_eq!(word, 0x0000_feed_0000_0101);
    let slot = shard.slot;
    shard.close(&memory);
    assert_eq!(memory.load(slot.request_extents(0), Ordering::Relaxed), 0);
}

#[test]
fn a_worker_that_reads_no_more_gets_no_more() {
    let memory = Memory::new();
    let (mut shard, mut worker) = ends(&memory);
    shard.send(&memory, bytes(2, 1)).unwrap();
    shard.send(&memory, bytes(5, 1)).unwrap();
    worker.refuse(&memory);
    assert!(shard.has_news(&memory, Interest::Room));
    assert_eq!(blocks(&shard.collect(&memory).unwrap()), [2, 5]);
    assert_eq!(shard.send(&memory, Item::End(None)), Err(Unsent::Over));
    assert!(shard.collect(&memory).unwrap().is_empty());
    assert!(!shard.has_news(&memory, Interest::Room));
    assert_eq!(worker.receive(&memory), Ok(None));
    assert!(shard.close(&memory).is_empty());
}

#[test]
fn the_window_of_another_submission_says_nothing() {
    let memory = Memory::new();
    let (mut shard, mut worker) = ends(&memory);
    let slot = shard.slot;
    worker.send(&memory, Item::Opening).unwrap();
    worker.send(&memory, bytes(1, 1)).unwrap();
    let mut next = Link::of_shard(&memory, slot, GENERATION.next(), (Side::Worker(WORKER), 0));
    assert_eq!(next.receive(&memory), Ok(None));
    assert!(next.collect(&memory).unwrap().is_empty());
    assert_eq!(shard.receive(&memory), Ok(Some(Item::Opening)));
}

#[test]
fn what_nobody_took_of_a_dead_worker_can_be_told() {
    let memory = Memory::new();
    let (mut shard, mut worker) = ends(&memory);
    let slot = shard.slot;
    let left =
        |generation| blocks(&unacknowledged(&memory, slot, generation, Side::Worker(WORKER)));
    worker.send(&memory, Item::Opening).unwrap();
    (0..4).for_each(|block| worker.send(&memory, bytes(block, 1)).unwrap());
    assert_eq!(left(GENERATION), [0, 1, 2, 3]);
    assert!(left(GENERATION.next()).is_empty());
    for _ in 0..4 {
        assert!(shard.receive(&memory).unwrap().is_some());
    }
    shard.take(&memory, 3);
    assert_eq!(left(GENERATION), [2, 3]);
    // A broken window does not make it more than the ring holds, or panic.
    memory.store(slot.worker_window(), GENERATION.get() << 24 | 0xffff, Ordering::Relaxed);
    assert!(left(GENERATION).len() <= WINDOW);
}

#[test]
#[should_panic(expected = "only what was received can be taken")]
fn nothing_is_taken_that_was_not_received() {
    let memory = Memory::new();
    let (mut shard, mut worker) = ends(&memory);
    shard.send(&memory, bytes(0, 1)).unwrap();
    worker.take(&memory, 1);
}

/// What a shard makes of what a worker wrote.
#[track_caller]
fn check(write: impl FnOnce(&Memory, &mut Link), expected: Broken) {
    let memory = Memory::new();
    let (mut shard, mut worker) = ends(&memory);
    write(&memory, &mut worker);
    let broken = loop {
        match shard.collect(&memory).and_then(|_| shard.receive(&memory)) {
            Ok(item) => assert!(item.is_some(), "nothing was noticed"),
            Err(broken) => break broken,
        }
    };
    assert_eq!(broken, expected);
}

fn window(memory: &Memory, link: &Link, bits: u64) {
    memory.store(link.slot.worker_window(), GENERATION.get() << 24 | bits, Ordering::Relaxed);
}

#[test]
fn each_fault_of_a_worker_has_its_name() {
    check(|memory, link| window(memory, link, 0x0100), Broken::Ack { ack: 1 });
    check(|memory, link| window(memory, link, 0xff00), Broken::Ack { ack: 255 });
    check(|memory, link| window(memory, link, 9), Broken::Sequence { seq: 9 });
    check(|memory, link| window(memory, link, 255), Broken::Sequence { seq: 255 });
    check(|memory, link| window(memory, link, 1), Broken::Item { word: 0 });
    let opening = Item::Opening.pack();
    check(
        |memory, link| {
            link.send(memory, Item::Opening).unwrap();
            link.send(memory, Item::Opening).unwrap();
        },
        Broken::Item { word: opening },
    );
    check(
        |memory, link| {
            link.send(memory, Item::Opening).unwrap();
            link.send(memory, bytes(SHAPE.response_blocks, 1)).unwrap();
        },
        Broken::Item { word: u32::from(SHAPE.response_blocks) << 16 },
    );
    check(
        |memory, link| {
            link.send(memory, Item::Opening).unwrap();
            link.send(memory, bytes(1, 1)).unwrap();
            link.send(memory, bytes(1, 2)).unwrap();
        },
        Broken::Block { block: BlockIndex(1) },
    );
    check(
        |memory, link| {
            link.send(memory, Item::Opening).unwrap();
            link.send(memory, Item::Failed).unwrap();
            link.sent.ended = false;
            link.send(memory, Item::Failed).unwrap();
        },
        Broken::Item { word: Item::Failed.pack() },
    );
}

#[test]
fn what_comes_behind_the_last_item_is_a_fault() {
    let memory = Memory::new();
    let (mut shard, mut worker) = ends(&memory);
    worker.send(&memory, Item::Opening).unwrap();
    worker.send(&memory, Item::End(None)).unwrap();
    while shard.receive(&memory).unwrap().is_some() {}
    worker.sent.ended = false;
    worker.send(&memory, bytes(0, 1)).unwrap();
    assert_eq!(shard.receive(&memory), Err(Broken::Sequence { seq: 3 }));
}

#[test]
fn a_shard_opens_nothing() {
    let memory = Memory::new();
    let (mut shard, mut worker) = ends(&memory);
    shard.send(&memory, Item::Opening).unwrap();
    assert_eq!(worker.receive(&memory), Err(Broken::Item { word: Item::Opening.pack() }));
}

proptest! {
    /// Whatever a worker writes, a shard gives out no block twice or beyond the last, never more
    /// than eight items at a time, and does not panic.
    #[test]
    fn random_words_are_harmless(
        words in prop::collection::vec((0..12usize, prop_oneof![
            any::<u64>(),
            (0..16u64, 0..3u64).prop_map(|(seq, ack)| GENERATION.get() << 24 | ack << 8 | seq),
            (0..8u64, 0..8u64).prop_map(|(a, b)| a << 16 | b << 48),
            Just(u64::from(Item::Opening.pack())),
        ]), 1..40),
        sends in 0..9u16,
    ) {
        let memory = Memory::new();
        let (mut shard, _) = ends(&memory);
        let slot = shard.slot;
        for block in 0..sends {
            let sent = shard.send(&memory, bytes(block, 1));
            prop_assert_eq!(sent.is_err(), block == 8);
        }
        for (at, word) in words {
            let at = match at {
                0..8 => slot.response_extents(at as u32),
                _ => slot.worker_window(),
            };
            memory.store(at, word, Ordering::Relaxed);
            if shard.collect(&memory).is_err() {
                break;
            }
            while let Ok(Some(item)) = shard.receive(&memory) {
                prop_assert!(usize::from(shard.untaken()) <= WINDOW);
                let exists = |block: BlockIndex| block.0 < SHAPE.response_blocks;
                prop_assert!(item.block().is_none_or(exists));
            }
            let listed = unacknowledged(&memory, slot, GENERATION, Side::Worker(WORKER));
            prop_assert!(listed.len() <= WINDOW);
            if at == slot.worker_window() && shard.untaken() > 0 {
                shard.take(&memory, 1);
            }
        }
    }
}
