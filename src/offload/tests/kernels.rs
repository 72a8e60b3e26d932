//! The four places where two processes must not miss each other, under every order that the
//! memory model allows (up to three preemptions). Each is also run with the weaker side of each
//! pair made too weak, and must then fail: so the check is known to bite.
//!
//! The library's own source runs here, on words of the model checker. The checker knows fences
//! but takes an access that is SeqCst for one that is AcqRel, so this world adds the fence that
//! such an access is worth against a fence on the other side.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, fence};
use loom::thread;

use crate::offload::chunks::{Interests, StreamItem};
use crate::offload::client::{Client, Terms, Ticket};
use crate::offload::death::Registry;
use crate::offload::layout::{Doorbell, Layout, Shape, Span, Word};
use crate::offload::server::{Next, Server, SpinPolicy};
use crate::offload::slot::{Outcome, Retry};
use crate::offload::word::{ShardIndex, WorkerIndex};
use crate::offload::world::{Ordering, World};

/// The memory of the smallest pool, as far as the protocol orders it; what is not in it (counters,
/// the header) reads as 0.
#[derive(Debug)]
struct Memory {
    layout: Layout,
    words: HashMap<Word, AtomicU64>,
    /// Of the shard and of the worker.
    bells: [AtomicU64; 2],
    /// One word for each body.
    bodies: [AtomicU64; 2],
}

/// One process's view of it.
#[derive(Clone, Debug)]
struct Modelled {
    memory: Arc<Memory>,
    /// What orders everything is left out.
    weak: bool,
}

impl Memory {
    fn new() -> Arc<Self> {
        let layout = Layout::new(Shape {
            shards: 1,
            workers: 1,
            slots: 1,
            slot_bytes: 64,
            request_blocks: 5,
            response_blocks: 0,
        })
        .unwrap();
        let slot = layout.slot(SHARD, layout.slot_index(0).unwrap());
        let mut used = vec![layout.idle(0), layout.spinning(0), layout.deaths(), layout.stop()];
        used.extend([layout.life(WORKER), layout.worker_sleep(WORKER)]);
        used.extend([layout.epoch(SHARD), layout.tail(SHARD), layout.head(SHARD)]);
        used.extend([layout.shard_sleep(SHARD), layout.attention(SHARD, 0)]);
        used.extend((0..layout.cells()).map(|position| layout.cell(SHARD, position)));
        used.extend([slot.state(), slot.deadline(), slot.request(), slot.cancel()]);
        used.extend([slot.response(), slot.worker_window(), layout.worker_wants(WORKER)]);
        used.extend([slot.request_extents(0), slot.request_extents(4)]);
        let words = used.into_iter().map(|word| (word, AtomicU64::new(0))).collect();
        let bells = [AtomicU64::new(0), AtomicU64::new(0)];
        let bodies = [AtomicU64::new(0), AtomicU64::new(0)];
        Arc::new(Self { layout, words, bells, bodies })
    }

    fn has_rung(&self, bell: usize) -> bool {
        self.bells[bell].load(Ordering::Acquire) != 0
    }
}

impl Modelled {
    fn order(&self, order: Ordering) -> Ordering {
        if order == Ordering::SeqCst && self.weak { Ordering::Relaxed } else { order }
    }

    /// What stands for the place of an access among all that are SeqCst.
    fn fence_for(&self, order: Ordering) {
        if order == Ordering::SeqCst && !self.weak {
            fence(Ordering::SeqCst);
        }
    }

    fn body(&self, at: Span) -> &AtomicU64 {
        &self.memory.bodies[usize::from(at.area() == crate::offload::layout::Area::Control)]
    }
}

impl World for Modelled {
    fn layout(&self) -> &Layout {
        &self.memory.layout
    }

    fn load(&self, at: Word, order: Ordering) -> u64 {
        self.fence_for(order);
        let order = if order == Ordering::SeqCst { Ordering::Relaxed } else { order };
        self.memory.words.get(&at).map_or(0, |word| word.load(order))
    }

    fn store(&self, at: Word, value: u64, order: Ordering) {
        if let Some(word) = self.memory.words.get(&at) {
            word.store(value, order);
        }
    }

    fn compare_exchange(
        &self,
        at: Word,
        current: u64,
        new: u64,
        order: Ordering,
    ) -> Result<u64, u64> {
        self.memory.words[&at].compare_exchange(current, new, order, Ordering::Relaxed)
    }

    fn swap(&self, at: Word, value: u64, order: Ordering) -> u64 {
        self.memory.words[&at].swap(value, order)
    }

    fn fetch_or(&self, at: Word, bits: u64, order: Ordering) -> u64 {
        let before = self.memory.words[&at].fetch_or(bits, self.order(order));
        self.fence_for(order);
        before
    }

    fn fetch_and(&self, at: Word, bits: u64, order: Ordering) -> u64 {
        self.memory.words[&at].fetch_and(bits, order)
    }

    fn fetch_add(&self, at: Word, value: u64, order: Ordering) -> u64 {
        self.memory.words[&at].fetch_add(value, order)
    }

    fn fence(&self, order: Ordering) {
        if !self.weak {
            fence(order);
        }
    }

    fn ring(&self, doorbell: Doorbell) {
        let bell = usize::from(matches!(doorbell, Doorbell::Worker(_)));
        self.memory.bells[bell].store(1, Ordering::Release);
    }

    fn now(&self) -> u64 {
        0
    }

    fn copy_in(&self, at: Span, bytes: &[u8]) {
        let word = u64::from_le_bytes(bytes.try_into().expect("bodies of one word"));
        self.body(at).store(word, Ordering::Relaxed);
    }

    fn copy_out(&self, at: Span, into: &mut [u8]) {
        into.copy_from_slice(&self.body(at).load(Ordering::Relaxed).to_le_bytes());
    }
}

/// Which side is made too weak.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Weak {
    Nobody,
    Shard,
    Worker,
}

/// A pool of one shard and one worker, ready to begin.
fn pool(weak: Weak) -> (Arc<Memory>, Client<Modelled>, Server<Modelled>) {
    let memory = Memory::new();
    let world = |is_weak| Modelled { memory: Arc::clone(&memory), weak: is_weak };
    let registry = Registry::create(world(false));
    registry.enlist(WORKER);
    let client = Client::attach(world(weak == Weak::Shard), SHARD);
    let server = Server::attach(world(weak == Weak::Worker), WORKER, 2, SpinPolicy::NEVER);
    (memory, client, server)
}

fn submit(client: &mut Client<Modelled>) -> Ticket {
    let terms = Terms { start_by: u64::MAX, deadline: u64::MAX, retry: Retry::Unstarted };
    client.submit(&REQUEST.to_le_bytes(), terms).unwrap()
}

/// Asks until something is to be done that takes time.
fn poll(server: &mut Server<Modelled>) -> Next {
    loop {
        match server.poll() {
            Next::Spin => {}
            next => return next,
        }
    }
}

/// A worker that goes to sleep while a job comes either finds it or is woken.
fn wake(weak: Weak) {
    let (memory, mut client, mut server) = pool(weak);
    let shard = thread::spawn(move || {
        submit(&mut client);
        client.wake();
    });
    let next = poll(&mut server);
    shard.join().unwrap();
    match next {
        Next::Block => assert!(memory.has_rung(1), "the worker sleeps over a job"),
        Next::Job(job) => {
            let mut body = [0; 8];
            server.read_request(&job, &mut body);
            assert_eq!(u64::from_le_bytes(body), REQUEST);
        }
        other => panic!("{other:?}"),
    }
}

/// A job that is taken back either never begins, or its worker learns of it.
fn cancel(weak: Weak) {
    let (memory, mut client, mut server) = pool(weak);
    let ticket = submit(&mut client);
    let shard = thread::spawn(move || {
        assert!(client.cancel(ticket));
        let ended = client.poll_outcome().unwrap();
        assert!(client.poll_outcome().is_none(), "one outcome");
        ended.outcome
    });
    let job = match poll(&mut server) {
        Next::Job(job) => Some(job),
        _ => None,
    };
    let asleep = job.is_some() && matches!(poll(&mut server), Next::Block);
    assert_eq!(shard.join().unwrap(), Outcome::Cancelled);
    if let Some(job) = &job {
        assert!(server.is_cancelled(job), "by now it can be seen");
        assert!(!asleep || memory.has_rung(1), "the worker sleeps over a cancel");
    }
}

/// A shard that goes to sleep while a job ends either finds the answer or is woken.
fn completion(weak: Weak) {
    let (memory, mut client, mut server) = pool(weak);
    let ticket = submit(&mut client);
    let Next::Job(job) = poll(&mut server) else { panic!("the job is there") };
    let worker = thread::spawn(move || {
        server.complete(job, 200, &ANSWER.to_le_bytes()).unwrap();
    });
    client.collect();
    let mut ended = client.poll_outcome();
    let asleep = ended.is_none() && client.arm();
    if ended.is_none() && !asleep {
        client.collect();
        ended = client.poll_outcome();
        assert!(ended.is_some(), "what was seen can be collected");
    }
    if let Some(ended) = ended {
        let Outcome::Answered(response) = ended.outcome else { panic!("{ended:?}") };
        let mut body = [0; 8];
        client.answer(ticket, response).read(client.world(), 0, &mut body);
        assert_eq!(u64::from_le_bytes(body), ANSWER);
    }
    worker.join().unwrap();
    assert!(!asleep || memory.has_rung(0), "the shard sleeps over an answer");
}

/// A worker that waits for an item of a request either finds it or is woken, even if it has just
/// claimed the job.
fn item(weak: Weak) {
    let (memory, mut client, mut server) = pool(weak);
    let draft = client.draft_opening(8).unwrap();
    let terms = Terms { start_by: u64::MAX, deadline: u64::MAX, retry: Retry::Unstarted };
    let ticket = client.submit_draft(draft, 8, terms);
    let shard = thread::spawn(move || {
        assert_eq!(client.send(ticket, &REQUEST.to_le_bytes()), Ok(8));
        client.wake();
    });
    let Next::Job(job) = poll(&mut server) else { panic!("the job is there") };
    server.wait_for(&job, Interests { item: true, room: false });
    let next = poll(&mut server);
    shard.join().unwrap();
    assert!(matches!(next, Next::Moved(_)) || memory.has_rung(1), "it sleeps over an item");
    let Some(StreamItem::Bytes(span)) = server.receive(&job).unwrap() else { panic!("nothing") };
    let mut body = [0; 8];
    server.world().copy_out(span, &mut body);
    assert_eq!(u64::from_le_bytes(body), REQUEST);
}

fn model(kernel: fn(Weak), weak: Weak) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 10_000;
    builder.check(move || kernel(weak));
}

#[track_caller]
fn must_fail(kernel: fn(Weak), weak: Weak) {
    let found = catch_unwind(AssertUnwindSafe(|| model(kernel, weak))).is_err();
    assert!(found, "nothing fails although the order of {weak:?} is not kept");
}

#[test]
fn a_worker_does_not_sleep_over_a_job() {
    model(wake, Weak::Nobody);
}

#[test]
fn without_the_wakers_fence_it_would() {
    must_fail(wake, Weak::Shard);
}

#[test]
fn without_the_sleepers_fence_it_would() {
    must_fail(wake, Weak::Worker);
}

#[test]
fn a_worker_does_not_sleep_over_a_cancel() {
    model(cancel, Weak::Nobody);
}

#[test]
fn without_the_fence_after_a_cancel_it_would() {
    must_fail(cancel, Weak::Shard);
}

#[test]
fn without_the_fence_before_the_look_it_would() {
    must_fail(cancel, Weak::Worker);
}

#[test]
fn a_shard_does_not_sleep_over_an_answer() {
    model(completion, Weak::Nobody);
}

#[test]
fn without_the_shards_fence_it_would() {
    must_fail(completion, Weak::Shard);
}

#[test]
fn without_the_order_of_the_workers_two_accesses_it_would() {
    must_fail(completion, Weak::Worker);
}

#[test]
fn a_worker_does_not_sleep_over_an_item() {
    model(item, Weak::Nobody);
}

#[test]
fn without_the_fence_after_an_item_it_would() {
    must_fail(item, Weak::Shard);
}

#[test]
fn without_the_fence_before_the_look_at_items_it_would() {
    must_fail(item, Weak::Worker);
}

const SHARD: ShardIndex = ShardIndex(0);
const WORKER: WorkerIndex = WorkerIndex(0);
const REQUEST: u64 = 0x0123_4567_89ab_cdef;
const ANSWER: u64 = 0xfedc_ba98_7654_3210;
