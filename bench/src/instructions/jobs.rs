//! What the two ends of a pool do for a job, counted apart: submit to collect, claim to complete.
//!
//! Both ends live in this process and take turns, each with the same number of jobs of 64 bytes,
//! which is how they meet under load. Neither ever sleeps, so that no system call is among it. The
//! clock stands still: valgrind hides the page in which the kernel keeps it, so that reading it
//! would be something else here than it is in a server.

use std::hint::black_box;
use std::sync::Arc;

use corewise::offload::client::{Client, Ended, Terms};
use corewise::offload::death::Registry;
use corewise::offload::layout::{Doorbell, Layout, Shape, Span, Word};
use corewise::offload::region::{Mapped, Region};
use corewise::offload::server::{Next, Server, SpinPolicy};
use corewise::offload::slot::{Outcome, Retry};
use corewise::offload::word::{ShardIndex, WorkerIndex};
use corewise::offload::world::{Ordering, World};

use super::subjects::Subject;

/// Both ends of a pool.
pub(super) struct Jobs {
    client: Client<Timeless>,
    server: Server<Timeless>,
    message: [u8; MESSAGE_BYTES],
}

impl Jobs {
    pub(super) fn new() -> Self {
        let shape = Shape {
            shards: 1,
            workers: 1,
            slots: 256,
            slot_bytes: 4096,
            request_blocks: 1,
            response_blocks: 1,
        };
        let region = Region::create(shape, 1).expect("the machine has a few MiB");
        let region = Arc::new(region);
        Registry::of(&region).enlist(WorkerIndex(0));
        let client = Client::attach(Timeless::of(&region), ShardIndex(0));
        let server = Server::attach(Timeless::of(&region), WorkerIndex(0), 1, SpinPolicy::NEVER);
        let mut jobs = Self { client, server, message: [7; MESSAGE_BYTES] };
        (0..JOBS).for_each(|_| jobs.submit());
        jobs
    }

    fn submit(&mut self) {
        let draft = self.client.draft(MESSAGE_BYTES as u64).expect("a slot is free");
        self.client.submit_message(draft, black_box(&self.message), TERMS);
    }

    /// A turn of the shard: takes what is done and submits as much again.
    fn collect_and_submit(&mut self) {
        self.client.collect();
        while let Some(Ended { ticket, outcome }) = self.client.poll_outcome() {
            let Outcome::Answered(response) = outcome else { panic!("{outcome:?} of a job") };
            let mut answer = [0; MESSAGE_BYTES];
            self.client.answer(ticket, response).read(self.client.world(), 0, &mut answer);
            black_box(&answer);
            self.client.release(ticket);
            self.submit();
        }
        self.client.wake();
    }

    /// The worker runs all that is there.
    fn serve(&mut self) {
        for _ in 0..JOBS {
            let Next::Job(job) = self.server.poll() else { panic!("a job is there") };
            let mut request = [0; MESSAGE_BYTES];
            let payload = self.server.request(&job).expect("it is one of ours");
            payload.read(self.server.world(), 0, &mut request);
            let draft = self.server.draft(MESSAGE_BYTES as u64).expect("it fits");
            self.server.complete_message(job, draft, 200, black_box(&request));
        }
    }
}

/// The memory of a pool, and a clock that stands still.
#[derive(Debug)]
struct Timeless(Mapped);

impl Timeless {
    fn of(region: &Arc<Region>) -> Self {
        // SAFETY: it is handed to `Client` and `Server` alone, which make every word and span from
        // `World::layout` of this very world.
        Self(unsafe { Mapped::new(Arc::clone(region)) })
    }
}

impl World for Timeless {
    #[inline]
    fn layout(&self) -> &Layout {
        self.0.layout()
    }

    #[inline]
    fn load(&self, at: Word, order: Ordering) -> u64 {
        self.0.load(at, order)
    }

    #[inline]
    fn store(&self, at: Word, value: u64, order: Ordering) {
        self.0.store(at, value, order);
    }

    #[inline]
    fn compare_exchange(
        &self,
        at: Word,
        current: u64,
        new: u64,
        order: Ordering,
    ) -> Result<u64, u64> {
        self.0.compare_exchange(at, current, new, order)
    }

    #[inline]
    fn swap(&self, at: Word, value: u64, order: Ordering) -> u64 {
        self.0.swap(at, value, order)
    }

    #[inline]
    fn fetch_or(&self, at: Word, bits: u64, order: Ordering) -> u64 {
        self.0.fetch_or(at, bits, order)
    }

    #[inline]
    fn fetch_and(&self, at: Word, bits: u64, order: Ordering) -> u64 {
        self.0.fetch_and(at, bits, order)
    }

    #[inline]
    fn fetch_add(&self, at: Word, value: u64, order: Ordering) -> u64 {
        self.0.fetch_add(at, value, order)
    }

    // Pairs with what the caller names.
    #[inline]
    fn fence(&self, order: Ordering) {
        // Pairs with what the caller names.
        self.0.fence(order);
    }

    fn ring(&self, doorbell: Doorbell) {
        self.0.ring(doorbell);
    }

    fn now(&self) -> u64 {
        NOW_NS
    }

    fn ticks(&self) -> Option<u64> {
        Some(NOW_TICKS)
    }

    #[inline]
    fn expect(&self, word: Word, at: Span) {
        self.0.expect(word, at);
    }

    #[inline]
    fn copy_in(&self, at: Span, bytes: &[u8]) {
        self.0.copy_in(at, bytes);
    }

    #[inline]
    fn copy_out(&self, at: Span, into: &mut [u8]) {
        self.0.copy_out(at, into);
    }
}

/// What a shard does.
pub(super) struct Shard(pub(super) Jobs);

impl Subject for Shard {
    fn prepare(&mut self) {
        self.0.serve();
    }

    fn work(&mut self) {
        self.0.collect_and_submit();
    }
}

/// What a worker does.
pub(super) struct Worker(pub(super) Jobs);

impl Subject for Worker {
    fn prepare(&mut self) {
        self.0.collect_and_submit();
    }

    fn work(&mut self) {
        self.0.serve();
    }
}

/// Jobs in one call.
pub(super) const JOBS: u64 = 64;
const MESSAGE_BYTES: usize = 64;
/// Some moment.
const NOW_NS: u64 = 1_000_000_000_000;
const NOW_TICKS: u64 = 1_000_000_000_000;
const TERMS: Terms =
    Terms { start_by: u64::MAX / 2, deadline: u64::MAX / 2, retry: Retry::Unstarted };
