//! A shard and a worker that stream to each other in one slot, one shared access at a time, in an
//! order drawn from a seed. Either may be killed between any two accesses.
//!
//! A failure prints its seed. Memory is sequentially consistent here; what the fences are for is
//! the model checker's.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::wait::{Pause, Waiting, wake_worker};
use crate::offload::blocks::{Blocks, Lent, Loan};
use crate::offload::chunks::*;
use crate::offload::layout::{Doorbell, Layout, Span};
use crate::offload::tests::memory::{Memory, SHAPE, SHARD, SLOT, WORKER};
use crate::offload::wake::call_shard;
use crate::offload::word::{Owner, SlotState, StateWord};

/// Which of the two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Actor {
    Shard,
    Worker,
}

impl Actor {
    const BOTH: [Self; 2] = [Self::Shard, Self::Worker];
}

/// A small generator of repeatable numbers (xorshift64*).
struct Dice(Cell<u64>);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    fn below(&self, bound: u64) -> u64 {
        let mut state = self.0.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.0.set(state);
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn one_in(&self, faces: u64) -> bool {
        self.below(faces) == 0
    }
}

/// What an actor says when it stops for a moment.
#[derive(Clone, Copy, PartialEq)]
enum Stop {
    /// Between two accesses.
    Access,
    /// Until its doorbell rings.
    Block,
}

/// The world of one actor.
struct Simulated<'a> {
    memory: Rc<Memory>,
    yielder: &'a Yielder<(), Stop>,
}

impl Simulated<'_> {
    /// The memory, after everybody else may have used it.
    fn memory(&self) -> &Memory {
        self.yielder.suspend(Stop::Access);
        &self.memory
    }

    fn block(&self) {
        self.yielder.suspend(Stop::Block);
    }
}

impl World for Simulated<'_> {
    fn layout(&self) -> &Layout {
        self.memory.layout()
    }

    fn load(&self, at: Word, order: Ordering) -> u64 {
        self.memory().load(at, order)
    }

    fn store(&self, at: Word, value: u64, order: Ordering) {
        self.memory().store(at, value, order);
    }

    fn compare_exchange(
        &self,
        at: Word,
        current: u64,
        new: u64,
        order: Ordering,
    ) -> Result<u64, u64> {
        self.memory().compare_exchange(at, current, new, order)
    }

    fn swap(&self, at: Word, value: u64, order: Ordering) -> u64 {
        self.memory().swap(at, value, order)
    }

    fn fetch_or(&self, at: Word, bits: u64, order: Ordering) -> u64 {
        self.memory().fetch_or(at, bits, order)
    }

    fn fetch_and(&self, at: Word, bits: u64, order: Ordering) -> u64 {
        self.memory().fetch_and(at, bits, order)
    }

    fn fetch_add(&self, at: Word, value: u64, order: Ordering) -> u64 {
        self.memory().fetch_add(at, value, order)
    }

    fn fence(&self, _: Ordering) {}

    fn ring(&self, doorbell: Doorbell) {
        self.memory().ring(doorbell);
    }

    fn now(&self) -> u64 {
        0
    }

    fn copy_in(&self, at: Span, bytes: &[u8]) {
        self.memory().copy_in(at, bytes);
    }

    fn copy_out(&self, at: Span, into: &mut [u8]) {
        self.memory().copy_out(at, into);
    }
}

/// What happens in one run.
#[derive(Clone, Copy, Debug)]
struct Plan {
    seed: u64,
    /// The request, in pieces of up to so many bytes.
    pieces: u64,
    piece_bytes_max: u64,
    /// The client leaves in one of so many turns; 0 is never.
    cancel_in: u64,
    /// The handler stops reading after so many pieces.
    read_max: u64,
    /// Who dies before which of its accesses.
    kill: Option<(Actor, u64)>,
    /// The worker blocks without its last look: this must be found.
    looks_once: bool,
}

/// What came of a run.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    /// Bytes of the response, the last item.
    response: Vec<u8>,
    ended: Option<Item>,
    cancelled: bool,
    worker_died: bool,
    shard_died: bool,
}

/// One run: everything that both actors look at which is not shared memory.
struct Stage {
    plan: Plan,
    memory: Rc<Memory>,
    dice: Dice,
    generation: Generation,
    worker_dead: Cell<bool>,
    outcome: RefCell<Outcome>,
    request_blocks: RefCell<Blocks>,
    response_blocks: RefCell<Blocks>,
    /// What the worker left to be given back when the slot is free.
    lent: RefCell<Lent<()>>,
}

fn cancel_word(generation: Generation) -> u64 {
    generation.get() << 1 | 1
}

fn content(seed: u64, piece: u64, plan: &Plan) -> Vec<u8> {
    let dice = Dice::new(seed.wrapping_add(piece * 77));
    let length = 1 + dice.below(plan.piece_bytes_max);
    (0..length).map(|at| (at.wrapping_mul(31) + dice.0.get()) as u8).collect()
}

impl Stage {
    fn new(plan: Plan) -> Rc<Self> {
        let memory = Memory::new();
        let generation = Generation::new(plan.seed);
        let slot = memory.layout().slot(SHARD, SLOT);
        let state = SlotState::Running(Owner { worker: WORKER, incarnation: 1 });
        memory.store(slot.state(), StateWord::new(state, generation).pack(), Ordering::Relaxed);
        // Another job was here before and left this behind.
        memory.store(slot.worker_window(), plan.seed << 24 ^ 0x1ff_0507, Ordering::Relaxed);
        Rc::new(Self {
            plan,
            memory: Rc::new(memory),
            dice: Dice::new(plan.seed),
            generation,
            worker_dead: Cell::new(false),
            outcome: RefCell::default(),
            request_blocks: RefCell::new(Blocks::new(SHAPE.request_blocks)),
            response_blocks: RefCell::new(Blocks::new(SHAPE.response_blocks)),
            lent: RefCell::new(Lent::new()),
        })
    }

    fn slot(&self) -> SlotWords {
        self.memory.layout().slot(SHARD, SLOT)
    }

    fn state(&self) -> u64 {
        self.memory.load(self.slot().state(), Ordering::Relaxed)
    }

    /// What the words say while nobody goes on.
    fn asleep(&self) -> String {
        let (layout, slot) = (self.memory.layout(), self.slot());
        let words = [
            layout.shard_sleep(SHARD),
            layout.attention(SHARD, 0),
            slot.request_extents(0),
            layout.worker_sleep(WORKER),
            slot.worker_window(),
            slot.state(),
        ];
        let words = words.map(|word| self.memory.load(word, Ordering::Relaxed));
        format!("both sleep {words:x?}, shard and worker")
    }

    /// Every byte of every piece that is read comes back plus one.
    fn expected(&self) -> Vec<u8> {
        let read = self.plan.pieces.min(self.plan.read_max);
        let pieces = (0..read).flat_map(|piece| content(self.plan.seed, piece, &self.plan));
        pieces.map(|byte| byte.wrapping_add(1)).collect()
    }
}

/// The worker: an echo that blocks while it can go no further.
fn worker(stage: &Stage, world: &Simulated<'_>) {
    let slot = stage.slot();
    let mut link = Link::of_worker(world, slot, stage.generation, Side::Shard(SHARD));
    let wanted = echo(stage, world, &mut link);
    // What nobody has taken yet is listed by the slot in the state that follows.
    let done = SlotState::Done(Owner { worker: WORKER, incarnation: 1 });
    let done = StateWord::new(done, stage.generation).pack();
    let extents = link.close(world);
    stage.lent.borrow_mut().lend(Loan { slot: (), state: done, extents });
    world.store(slot.state(), done, Ordering::Release);
    call_shard(world, (SHARD, &world.layout().shard_row(SHARD)), SLOT);
    stage.outcome.borrow_mut().cancelled = wanted.is_none();
}

/// `None`: the shard has taken the job back.
fn echo(stage: &Stage, world: &Simulated<'_>, link: &mut Link) -> Option<()> {
    send(stage, world, link, Item::Opening)?;
    let mut read = 0;
    loop {
        if read == stage.plan.read_max {
            link.refuse(world);
            call_shard(world, (SHARD, &world.layout().shard_row(SHARD)), SLOT);
            break;
        }
        let Some(item) = link.receive(world).unwrap() else {
            wait(stage, world, link, Interest::Item)?;
            continue;
        };
        let Item::Bytes(piece) = item else {
            link.take(world, 1);
            call_shard(world, (SHARD, &world.layout().shard_row(SHARD)), SLOT);
            assert_eq!(item, Item::End(None));
            break;
        };
        let mut bytes = vec![0; piece.bytes as usize];
        let from = Side::Shard(SHARD).block(world.layout(), piece.block).unwrap();
        world.copy_out(from, &mut bytes);
        link.take(world, 1);
        call_shard(world, (SHARD, &world.layout().shard_row(SHARD)), SLOT);
        bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
        let block = take_block(stage, world, link)?;
        world.copy_in(Side::Worker(WORKER).block(world.layout(), block).unwrap(), &bytes);
        send(stage, world, link, Item::Bytes(Piece { block, bytes: piece.bytes }))?;
        read += 1;
    }
    send(stage, world, link, Item::End(None))
}

fn take_block(stage: &Stage, world: &Simulated<'_>, link: &mut Link) -> Option<BlockIndex> {
    loop {
        let freed = link.collect(world).unwrap();
        stage.response_blocks.borrow_mut().give_all_back(&freed);
        if let Some(block) = stage.response_blocks.borrow_mut().take() {
            return Some(block);
        }
        wait(stage, world, link, Interest::Room)?;
    }
}

fn send(stage: &Stage, world: &Simulated<'_>, link: &mut Link, item: Item) -> Option<()> {
    while let Err(unsent) = link.send(world, item) {
        assert_eq!(unsent, Unsent::Full, "a shard takes back the whole job");
        let freed = link.collect(world).unwrap();
        stage.response_blocks.borrow_mut().give_all_back(&freed);
        if link.room().is_err() {
            wait(stage, world, link, Interest::Room)?;
        }
    }
    call_shard(world, (SHARD, &world.layout().shard_row(SHARD)), SLOT);
    Some(())
}

fn wait(stage: &Stage, world: &Simulated<'_>, link: &Link, interest: Interest) -> Option<()> {
    let cancel = cancel_word(stage.generation);
    if stage.plan.looks_once {
        world.fetch_or(world.layout().worker_sleep(WORKER), 1, Ordering::Relaxed);
        world.block();
    }
    let is_over = || link.has_news(world, interest) || link.is_cancelled(world, cancel);
    let mut waiting = Waiting::new(WORKER, stage.dice.below(3) as u32);
    loop {
        match waiting.poll(world, is_over) {
            Pause::Block => world.block(),
            Pause::Over => break,
            Pause::Spin => {}
        }
    }
    (!link.is_cancelled(world, cancel)).then_some(())
}

/// The shard: sends the request, passes the response on to a client with moods.
fn shard(stage: &Stage, world: &Simulated<'_>) {
    let (slot, dice) = (stage.slot(), &stage.dice);
    let mut link =
        Link::of_shard(world, slot, stage.generation, (Side::Worker(WORKER), 0xabcd_0123));
    let mut held = VecDeque::new();
    let mut sent = 0;
    loop {
        world.swap(world.layout().attention(SHARD, 0), 0, Ordering::SeqCst);
        if stage.worker_dead.get() {
            return bury(stage, world, link, held);
        }
        if stage.plan.cancel_in > 0 && dice.one_in(stage.plan.cancel_in) {
            world.store(slot.cancel(), cancel_word(stage.generation), Ordering::Release);
            wake_worker(world, WORKER);
        }
        let done = is_done(stage, world);
        let moved = upload(stage, world, &mut link, &mut sent)
            | download(stage, world, &mut link, &mut held);
        if moved {
            wake_worker(world, WORKER);
        } else if done && held.is_empty() {
            return finish(stage, world, link);
        }
        if !moved && held.is_empty() && !can_send(stage, &link, sent) {
            sleep(stage, world);
        }
    }
}

fn is_done(stage: &Stage, world: &Simulated<'_>) -> bool {
    let state = StateWord::unpack(world.load(stage.slot().state(), Ordering::Acquire)).unwrap();
    matches!(state.state, SlotState::Done(_))
}

/// Whether there is more of the request, and room for it.
fn can_send(stage: &Stage, link: &Link, sent: u64) -> bool {
    let has_block = sent == stage.plan.pieces || stage.request_blocks.borrow().free() > 0;
    sent <= stage.plan.pieces && link.room().is_ok() && has_block
}

/// Sends what has come of the request; true if the worker is to hear of it.
fn upload(stage: &Stage, world: &Simulated<'_>, link: &mut Link, sent: &mut u64) -> bool {
    let freed = link.collect(world).unwrap();
    let mut blocks = stage.request_blocks.borrow_mut();
    blocks.give_all_back(&freed);
    let before = *sent;
    // The client is slow.
    while *sent <= stage.plan.pieces && link.room().is_ok() && !stage.dice.one_in(3) {
        let item = if *sent == stage.plan.pieces {
            Item::End(None)
        } else {
            let Some(block) = blocks.take() else { break };
            let bytes = content(stage.plan.seed, *sent, &stage.plan);
            world.copy_in(Side::Shard(SHARD).block(world.layout(), block).unwrap(), &bytes);
            Item::Bytes(Piece { block, bytes: bytes.len() as u32 })
        };
        link.send(world, item).unwrap();
        *sent += 1;
    }
    *sent > before
}

/// Takes over what the client takes; true if the worker is to hear of it.
fn download(
    stage: &Stage,
    world: &Simulated<'_>,
    link: &mut Link,
    held: &mut VecDeque<Item>,
) -> bool {
    while let Some(item) = link.receive(world).unwrap() {
        held.push_back(item);
    }
    // The client is slow.
    let taken = stage.dice.below(held.len() as u64 + 1) as u8;
    for item in held.drain(..usize::from(taken)) {
        let Item::Bytes(piece) = item else {
            stage.outcome.borrow_mut().ended = Some(item);
            continue;
        };
        let mut bytes = vec![0; piece.bytes as usize];
        let from = Side::Worker(WORKER).block(world.layout(), piece.block).unwrap();
        world.copy_out(from, &mut bytes);
        stage.outcome.borrow_mut().response.extend(bytes);
    }
    if taken > 0 {
        link.take(world, taken);
    }
    taken > 0
}

fn sleep(stage: &Stage, world: &Simulated<'_>) {
    let sleep = world.layout().shard_sleep(SHARD);
    world.fetch_or(sleep, 1, Ordering::Relaxed);
    world.fence(Ordering::SeqCst);
    let attention = world.load(world.layout().attention(SHARD, 0), Ordering::SeqCst);
    if attention == 0 && !stage.worker_dead.get() {
        world.block();
    }
    let seen = world.load(sleep, Ordering::Relaxed);
    if seen & 1 == 1 {
        let _ = world.compare_exchange(sleep, seen, seen + 1, Ordering::Relaxed);
    }
}

/// The answer is complete and taken over.
fn finish(stage: &Stage, world: &Simulated<'_>, link: Link) {
    let left = link.close(world);
    stage.request_blocks.borrow_mut().give_all_back(&left);
    free(stage, world);
}

/// The worker is dead, and its successor has read the slots.
fn bury(stage: &Stage, world: &Simulated<'_>, link: Link, held: VecDeque<Item>) {
    let listed = unacknowledged(world, stage.slot(), stage.generation, Side::Worker(WORKER));
    for block in held.iter().filter_map(|item| item.block()) {
        assert!(listed.iter().any(|known| known == block), "{block:?} is still read");
    }
    let loan = Loan { slot: (), state: stage.state(), extents: listed };
    let (lent, blocks) = Lent::inherit(SHAPE.response_blocks, [loan]);
    stage.lent.replace(lent);
    stage.response_blocks.replace(blocks);
    finish(stage, world, link);
}

fn free(stage: &Stage, world: &Simulated<'_>) {
    let state = StateWord::new(SlotState::Free, stage.generation).pack();
    world.store(stage.slot().state(), state, Ordering::Release);
}

/// What happens when an actor has died, as the supervisor and a successor see to it.
fn handle_death(stage: &Stage, actor: Actor, world: &Simulated<'_>) {
    match actor {
        Actor::Worker => {
            stage.outcome.borrow_mut().worker_died = true;
            stage.worker_dead.set(true);
            world.ring(Doorbell::Shard(SHARD));
        }
        Actor::Shard => {
            stage.outcome.borrow_mut().shard_died = true;
            world.store(stage.slot().cancel(), cancel_word(stage.generation), Ordering::Release);
            wake_worker(world, WORKER);
        }
    }
}

/// Runs both to their end. An error says what is wrong with what they leave behind.
fn run(plan: Plan) -> Result<Outcome, String> {
    let stage = Stage::new(plan);
    let act = |actor: Actor| {
        let stage = Rc::clone(&stage);
        Coroutine::<(), Stop, ()>::new(move |yielder, ()| {
            let world = Simulated { memory: Rc::clone(&stage.memory), yielder };
            match actor {
                Actor::Shard => shard(&stage, &world),
                Actor::Worker => worker(&stage, &world),
            }
        })
    };
    let mut actors = Actor::BOTH.map(|actor| Some(act(actor)));
    let (mut blocked, mut accesses) = ([false; 2], [0; 2]);
    for _ in 0..STEPS_MAX {
        for (blocked, rung) in blocked.iter_mut().zip(stage.memory.rung()) {
            *blocked = *blocked && !rung.replace(false);
        }
        let ready: Vec<usize> =
            (0..2).filter(|&index| actors[index].is_some() && !blocked[index]).collect();
        if ready.is_empty() {
            let stuck = actors.iter().any(Option::is_some);
            return if stuck { Err(stage.asleep()) } else { check(&stage) };
        }
        let index = ready[stage.dice.below(ready.len() as u64) as usize];
        accesses[index] += 1;
        let actor = Actor::BOTH[index];
        if plan.kill == Some((actor, accesses[index])) {
            let stage = Rc::clone(&stage);
            let heir = Coroutine::new(move |yielder, ()| {
                let world = Simulated { memory: Rc::clone(&stage.memory), yielder };
                handle_death(&stage, actor, &world);
            });
            actors[index] = Some(heir);
        }
        let Some(coroutine) = &mut actors[index] else { continue };
        match coroutine.resume(()) {
            CoroutineResult::Return(()) => actors[index] = None,
            CoroutineResult::Yield(Stop::Access) => {}
            // A doorbell that has rung before lets its owner through at the next look.
            CoroutineResult::Yield(Stop::Block) => blocked[index] = true,
        }
    }
    Err("no end".to_owned())
}

/// What must be true once both are through.
fn check(stage: &Stage) -> Result<Outcome, String> {
    let outcome = stage.outcome.take();
    let expected = stage.expected();
    if !expected.starts_with(&outcome.response) {
        return Err("the response is wrong".to_owned());
    }
    let undisturbed = !(outcome.cancelled || outcome.worker_died || outcome.shard_died);
    if undisturbed && outcome.ended != Some(Item::End(None)) {
        return Err("the response has no end".to_owned());
    }
    if outcome.ended == Some(Item::End(None)) && outcome.response != expected {
        return Err("the response is short".to_owned());
    }
    if outcome.shard_died {
        return Ok(outcome);
    }
    if stage.request_blocks.borrow().free() != usize::from(SHAPE.request_blocks) {
        return Err("a request block is lost".to_owned());
    }
    let mut blocks = stage.response_blocks.borrow_mut();
    stage.lent.borrow_mut().collect(&mut blocks, |()| stage.state());
    if blocks.free() != usize::from(SHAPE.response_blocks) {
        return Err("a response block is lost".to_owned());
    }
    let window = stage.memory.load(stage.slot().request_extents(0), Ordering::Relaxed);
    if window == 0 { Ok(outcome) } else { Err("a window was left open".to_owned()) }
}

fn plan(seed: u64) -> Plan {
    let dice = Dice::new(seed ^ 0x5eed);
    Plan {
        seed,
        pieces: dice.below(30),
        piece_bytes_max: if dice.one_in(20) { 1 << 16 } else { 40 },
        cancel_in: 0,
        read_max: u64::MAX,
        kill: None,
        looks_once: false,
    }
}

/// Runs many plans; what came of them.
#[track_caller]
fn check_all(plans: impl Iterator<Item = Plan>) -> Vec<Outcome> {
    let attempt = |plan: Plan| {
        let result = catch_unwind(AssertUnwindSafe(|| run(plan)));
        match result {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => panic!("{error}: {plan:?}"),
            Err(_) => panic!("panicked: {plan:?}"),
        }
    };
    plans.map(attempt).collect()
}

#[test]
fn streams_arrive_complete_and_leave_nothing_behind() {
    let outcomes = check_all((1..400).map(plan));
    assert!(outcomes.iter().all(|outcome| outcome.ended == Some(Item::End(None))));
}

#[test]
fn clients_may_leave_and_handlers_may_stop_reading() {
    let plans = (1..400).map(|seed| {
        let dice = Dice::new(seed ^ 0xca11);
        let read_max = if dice.one_in(2) { dice.below(12) } else { u64::MAX };
        let cancel_in = if dice.one_in(2) { 1 + dice.below(40) } else { 0 };
        Plan { read_max, cancel_in, ..plan(seed) }
    });
    let outcomes = check_all(plans);
    assert!(outcomes.iter().any(|outcome| outcome.cancelled));
    assert!(outcomes.iter().any(|outcome| !outcome.cancelled));
}

#[test]
fn either_may_be_killed_before_any_access() {
    let mut died = [0, 0];
    for seed in 1..5 {
        let short = Plan { pieces: 12, piece_bytes_max: 9, ..plan(seed) };
        for actor in Actor::BOTH {
            let plans = (1..700).map(|access| Plan { kill: Some((actor, access)), ..short });
            let outcomes = check_all(plans);
            died[0] += outcomes.iter().filter(|outcome| outcome.shard_died).count();
            died[1] += outcomes.iter().filter(|outcome| outcome.worker_died).count();
        }
    }
    assert!(died.iter().all(|&count| count > 500), "{died:?}");
}

#[test]
fn a_worker_that_sleeps_without_a_last_look_is_found() {
    let twins = (1..400).map(|seed| Plan { looks_once: true, pieces: seed % 3, ..plan(seed) });
    let stuck = twins.map(run).filter(Result::is_err);
    assert!(stuck.count() > 0);
}

/// More than any run takes.
const STEPS_MAX: usize = 200_000;
