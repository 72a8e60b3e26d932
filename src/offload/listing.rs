//! The lists of blocks in the header of a slot, written and read.
//!
//! | word | writer | readers | ordering | pairs with |
//! |---|---|---|---|---|
//! | `request_extents` | the shard | the owner, the shard's successor | Relaxed | under `state` |
//! | `response_extents` | the owner | the shard, the owner's successor | Relaxed | under `state` |
//!
//! A list says nothing of its length: how long the message is says how many blocks it needs. The
//! list of a message that continues as a stream is shorter, for its line holds the items too.
//!
//! Whoever reads a list may read what a broken process wrote.

use super::blocks::{BadExtents, BlockIndex, Extents, Loan};
use super::chunks::{self, REQUEST_OPENING_EXTENTS_MAX, RESPONSE_OPENING_EXTENTS_MAX};
use super::layout::{BLOCK_BYTES, Layout, REQUEST_EXTENTS_MAX, RESPONSE_EXTENTS_MAX};
use super::layout::{SlotWords, Word};
use super::payload::{self, Side};
use super::slot::{Form, Request, Response};
use super::word::{Generation, ShardIndex, SlotIndex, SlotState, StateWord, WorkerIndex};
use super::world::{Ordering, World};

/// How many blocks a message of so many bytes needs.
pub(super) fn blocks_for(layout: &Layout, message_bytes: u64) -> u64 {
    payload::block_bytes(layout, message_bytes).div_ceil(BLOCK_BYTES)
}

/// Lists the blocks of a request. The window of the shard, which shares a word with the first of
/// them, is 0 after this.
pub(super) fn write_request(world: &impl World, slot: SlotWords, extents: &Extents) {
    write(world, |pair| slot.request_extents(pair), REQUEST_SHIFT, extents);
}

/// Lists the blocks of a response.
pub(super) fn write_response(world: &impl World, slot: SlotWords, extents: &Extents) {
    write(world, |pair| slot.response_extents(pair), 0, extents);
}

/// The blocks of a request; of a stream, of its head.
pub(super) fn read_request(
    world: &impl World,
    slot: SlotWords,
    from: ShardIndex,
    request: Request,
) -> Result<Extents, BadExtents> {
    let most = match request.form {
        Form::Inline => return Ok(Extents::default()),
        Form::Extents => REQUEST_EXTENTS_MAX,
        Form::Chunks => REQUEST_OPENING_EXTENTS_MAX,
    };
    let word = |pair| slot.request_extents(pair);
    read(world, word, Message { side: Side::Shard(from), bytes: request.bytes, most })
}

/// The blocks of a response; of a stream, of its head.
pub(super) fn read_response(
    world: &impl World,
    slot: SlotWords,
    from: WorkerIndex,
    response: Response,
) -> Result<Extents, BadExtents> {
    let most = match response.form {
        Form::Inline => return Ok(Extents::default()),
        Form::Extents => RESPONSE_EXTENTS_MAX,
        Form::Chunks => RESPONSE_OPENING_EXTENTS_MAX,
    };
    let word = |pair| slot.response_extents(pair);
    read(world, word, Message { side: Side::Worker(from), bytes: response.bytes, most })
}

/// What a dead shard has lent to a living worker that runs its job. A list that cannot be is none:
/// then that worker reads nothing either.
pub(super) fn left_by_shard(
    world: &impl World,
    (shard, slot): (ShardIndex, SlotIndex),
    generation: Generation,
) -> Extents {
    let words = world.layout().slot(shard, slot);
    let request = Request::unpack(world.load(words.request(), Ordering::Relaxed));
    let Some(request) = request else { return Extents::default() };
    let head = read_request(world, words, shard, request).unwrap_or_default();
    if request.form != Form::Chunks {
        return head;
    }
    joined(&head, &chunks::unacknowledged(world, words, generation, Side::Shard(shard)))
}

/// What the dead predecessors of a worker have lent: blocks that slots list in DONE, and those of
/// streams that broke off with them.
pub(super) fn left_by_worker(
    world: &impl World,
    worker: WorkerIndex,
) -> Vec<Loan<(ShardIndex, SlotIndex)>> {
    let layout = world.layout();
    let mut loans = Vec::new();
    // Without blocks there are no loans.
    for shard in layout.shards().filter(|_| layout.shape().response_blocks > 0) {
        for slot in layout.slots() {
            // Pairs with the stores in `Server`: who sees the state sees the lists.
            let state = world.load(layout.slot(shard, slot).state(), Ordering::Acquire);
            let extents = left_in_slot(world, worker, layout.slot(shard, slot), state);
            if !extents.is_empty() {
                loans.push(Loan { slot: (shard, slot), state, extents });
            }
        }
    }
    loans
}

fn left_in_slot(world: &impl World, worker: WorkerIndex, slot: SlotWords, state: u64) -> Extents {
    let Some(StateWord { state, generation }) = StateWord::unpack(state) else {
        return Extents::default();
    };
    let is_done = match state {
        SlotState::Done(owner) if owner.worker == worker => true,
        SlotState::Running(owner) if owner.worker == worker => false,
        _ => return Extents::default(),
    };
    let response = Response::unpack(world.load(slot.response(), Ordering::Relaxed));
    // The word of a job that runs may still be that of another one: too much is kept then.
    let response = response.filter(|response| is_done || response.form == Form::Chunks);
    let head = response.and_then(|response| read_response(world, slot, worker, response).ok());
    let head = head.unwrap_or_default();
    if response.is_none_or(|response| response.form != Form::Chunks) {
        return head;
    }
    joined(&head, &chunks::unacknowledged(world, slot, generation, Side::Worker(worker)))
}

/// Both lists as one: a head's and the items'.
pub(super) fn joined(head: &Extents, items: &Extents) -> Extents {
    head.iter().chain(items.iter()).collect()
}

/// The words of a list hold two blocks each; `shift` halves come before the first one.
fn write(world: &impl World, word: impl Fn(u32) -> Word, shift: usize, extents: &Extents) {
    let mut halves = [0u32; HALVES];
    for (half, BlockIndex(block)) in halves[shift..].iter_mut().zip(extents.iter()) {
        *half = block.into();
    }
    let pairs = (shift + extents.len()).div_ceil(2);
    for (pair, halves) in (0..).zip(halves.chunks_exact(2).take(pairs)) {
        let value = u64::from(halves[0]) | u64::from(halves[1]) << 32;
        // Relaxed: what is written next to the state, or to a window, publishes it.
        world.store(word(pair), value, Ordering::Relaxed);
    }
}

/// A message by what its reader knows.
#[derive(Clone, Copy)]
struct Message {
    side: Side,
    bytes: u32,
    /// Most blocks that its slot lists.
    most: usize,
}

fn read(
    world: &impl World,
    word: impl Fn(u32) -> Word,
    message: Message,
) -> Result<Extents, BadExtents> {
    let Message { side, bytes, most } = message;
    let shift = if matches!(side, Side::Shard(_)) { REQUEST_SHIFT } else { 0 };
    let needed = blocks_for(world.layout(), bytes.into()).min(most as u64) as usize;
    let mut halves = [0u32; HALVES];
    if needed > 0 {
        let pairs = (shift + needed).div_ceil(2);
        for (pair, halves) in (0..).zip(halves.chunks_exact_mut(2).take(pairs)) {
            // Relaxed: the state, or the window, that admits to it was read with Acquire.
            let value = world.load(word(pair), Ordering::Relaxed);
            halves.copy_from_slice(&[value as u32, (value >> 32) as u32]);
        }
    }
    payload::check_extents(world.layout(), side, &halves[shift..shift + most], bytes.into())
}

/// The half word before the first block of a request is the window's.
const REQUEST_SHIFT: usize = 1;
const HALVES: usize = 16;

const _: () = assert!(REQUEST_SHIFT + REQUEST_EXTENTS_MAX == HALVES);
const _: () = assert!(RESPONSE_EXTENTS_MAX == HALVES);
