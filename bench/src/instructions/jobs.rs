//! What the two ends of a pool do for a job, counted apart: submit to collect, claim to complete.
//!
//! Both ends live in this process and take turns, each with the same number of jobs of 64 bytes,
//! which is how they meet under load. Neither ever sleeps, so that no system call is among it.

use std::hint::black_box;
use std::sync::Arc;

use corewise::offload::client::{Client, Ended, Terms};
use corewise::offload::death::Registry;
use corewise::offload::layout::Shape;
use corewise::offload::region::{Mapped, Region};
use corewise::offload::server::{Next, Server, SpinPolicy};
use corewise::offload::slot::{Outcome, Retry};
use corewise::offload::word::{ShardIndex, WorkerIndex};

use super::subjects::Subject;

/// Both ends of a pool.
pub(super) struct Jobs {
    client: Client<Mapped>,
    server: Server<Mapped>,
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
        let client = Client::of(&region, ShardIndex(0));
        let server = Server::of(&region, WorkerIndex(0), 1, SpinPolicy::NEVER);
        let mut jobs = Self { client, server, message: [7; MESSAGE_BYTES] };
        (0..JOBS).for_each(|_| jobs.submit());
        jobs
    }

    fn submit(&mut self) {
        let draft = self.client.draft(MESSAGE_BYTES as u64).expect("a slot is free");
        self.client.payload(&draft).write(self.client.world(), 0, black_box(&self.message));
        self.client.submit_draft(draft, MESSAGE_BYTES as u32, TERMS);
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
            let payload = self.server.payload(&job, &draft);
            payload.write(self.server.world(), 0, black_box(&request));
            self.server.complete_draft(job, draft, 200, MESSAGE_BYTES as u32);
        }
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
const TERMS: Terms =
    Terms { start_by: u64::MAX / 2, deadline: u64::MAX / 2, retry: Retry::Unstarted };
