//! The protocol between threads of one process, where a checker of data races sees all of it.
//!
//! `make tsan` builds this with ThreadSanitizer, which must find nothing; and it must find a
//! worker that still writes to an answer after it gave the answer away.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use corewise::offload::client::{Client, Terms, Ticket};
use corewise::offload::death::Registry;
use corewise::offload::layout::{Doorbell, Shape};
use corewise::offload::region::{Mapped, Region};
use corewise::offload::server::{BLOCK_NS_MAX, Next, Server, SpinPolicy};
use corewise::offload::slot::{Outcome, Retry};
use corewise::offload::word::{ShardIndex, WorkerIndex};
use corewise::offload::world::World;
use corewise::sys::descriptors::take_count;
use corewise::sys::poll::wait_readable;

use crate::Extent;
use crate::talk::{Call, Task};

pub(crate) fn threads_answer(extent: Extent) {
    run(if extent == Extent::Whole { 20 * JOBS } else { JOBS }, Worker::Honest);
}

/// In a process of its own, because the checker ends it.
#[cfg(corewise_tsan)]
pub(crate) fn late_writes_are_reported(_: Extent) {
    let this = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(this);
    // At the first race: what comes after it are answers that are wrong, and shards that give up.
    command.arg(LATE_WRITES).env("TSAN_OPTIONS", "halt_on_error=1");
    let output = command.output().unwrap();
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "nothing was found: {report}");
    assert!(report.contains("data race") && report.contains("write_to_answer"), "{report}");
}

/// The process that must be ended.
pub(crate) fn write_late() {
    run(JOBS, Worker::Late);
}

/// How the workers are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Worker {
    Honest,
    /// They write to an answer that is not theirs any more.
    Late,
}

fn run(jobs: u64, behaviour: Worker) {
    let region = Arc::new(Region::create(SHAPE, SHAPE.workers).unwrap());
    let registry = Registry::of(&region);
    for worker in region.layout().workers() {
        registry.enlist(worker);
    }
    let region = &region;
    thread::scope(|scope| {
        let workers = region.layout().workers();
        let workers: Vec<_> =
            workers.map(|worker| scope.spawn(move || work(region, worker, behaviour))).collect();
        let shards = region.layout().shards();
        let shards: Vec<_> =
            shards.map(|shard| scope.spawn(move || submit(region, shard, jobs))).collect();
        shards.into_iter().for_each(|shard| shard.join().unwrap());
        registry.stop();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

fn submit(region: &Arc<Region>, shard: ShardIndex, jobs: u64) {
    let mut client = Client::of(region, shard);
    let terms = Terms { start_by: u64::MAX, deadline: u64::MAX, retry: Retry::Unstarted };
    let mut open: Vec<(Ticket, Call)> = Vec::new();
    let mut next = 0;
    while next < jobs || !open.is_empty() {
        while next < jobs && open.len() < OPEN_MAX {
            let Ok((ticket, mut call)) = Call::submit(&mut client, next, terms) else { break };
            call.pump(&mut client, ticket);
            open.push((ticket, call));
            next += 1;
        }
        client.collect();
        client.handle_timeout(client.world().now());
        while let Some(moved) = client.poll_moved() {
            let found = open.iter_mut().find(|(ticket, _)| *ticket == moved);
            found.expect("a job of ours").1.pump(&mut client, moved);
        }
        while let Some(ended) = client.poll_outcome() {
            let place = open.iter().position(|(ticket, _)| *ticket == ended.ticket);
            let (ticket, mut call) = open.swap_remove(place.expect("a job of ours"));
            let Outcome::Answered(response) = ended.outcome else { panic!("{ended:?}") };
            call.check(&mut client, ticket, response);
            client.release(ticket);
        }
        if client.arm() {
            wait(region, Doorbell::Shard(shard));
            client.disarm();
        }
    }
    assert_eq!(client.free(), SHAPE.slots as usize);
}

fn work(region: &Arc<Region>, worker: WorkerIndex, behaviour: Worker) {
    let spin = SpinPolicy { window_ns: 25_000, gap_ns: 25_000, beside_others: false };
    let mut server = Server::of(region, worker, 2, spin);
    let mut tasks: Vec<Task> = Vec::new();
    loop {
        match server.poll() {
            Next::Job(job) => {
                let place = (job.shard(), job.slot());
                let task = Task::begin(&server, job);
                let task = task.advance(&mut server);
                if task.is_none() && behaviour == Worker::Late {
                    write_to_answer(&server, place);
                }
                tasks.extend(task);
            }
            Next::Block => wait(region, Doorbell::Worker(worker)),
            Next::Leave => return server.detach(),
            Next::Moved(_) | Next::Spin => {}
            Next::Withdrawn(_) => panic!("nobody takes anything back here"),
        }
        tasks = tasks.into_iter().filter_map(|task| task.advance(&mut server)).collect();
    }
}

/// What must be found, under a name to be found by.
#[inline(never)]
fn write_to_answer(
    server: &Server<Mapped>,
    (shard, slot): (ShardIndex, corewise::offload::word::SlotIndex),
) {
    let world = server.world();
    world.copy_in(world.layout().inline_response(shard, slot), &[0xee; 8]);
}

fn wait(region: &Region, doorbell: Doorbell) {
    let bell = region.doorbell(doorbell);
    wait_readable(&[bell], Some(Duration::from_nanos(BLOCK_NS_MAX))).unwrap();
    take_count(bell);
}

const SHAPE: Shape = Shape {
    shards: 2,
    workers: 2,
    slots: 16,
    slot_bytes: 64,
    request_blocks: 12,
    response_blocks: 6,
};
const OPEN_MAX: usize = 12;
/// Of each shard.
const JOBS: u64 = 4_000;
pub(crate) const LATE_WRITES: &str = "write-late";
