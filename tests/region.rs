//! The memory of a pool between real processes.
//!
//! This forks, which takes a process with a single thread, so there is no test harness.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::fs;
use std::os::fd::AsFd;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corewise::offload::client::{Client, Terms};
use corewise::offload::death::Registry;
use corewise::offload::layout::{Doorbell, Shape};
use corewise::offload::region::Region;
use corewise::offload::server::{BLOCK_NS_MAX, Next, Server, SpinPolicy};
use corewise::offload::slot::{Outcome, Retry};
use corewise::offload::word::{ShardIndex, WorkerIndex};
use corewise::offload::world::World;
use corewise::sys::descriptors::{duplicate, take_count};
use corewise::sys::poll::wait_readable;
use corewise::sys::process::{Ended, Fork, Pid, fork, reap};
use rustix::mm::{MprotectFlags, mprotect};

type Story = fn();
const STORIES: [(&str, Story); 4] = [
    ("a_worker_in_another_process_answers", a_worker_answers),
    ("a_worker_cannot_make_requests_writable", requests_stay_read_only),
    ("children_of_a_worker_have_nothing_of_the_pool", children_have_nothing),
    ("a_region_is_attached_by_its_descriptors", a_region_is_attached),
];

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let mut failed = 0;
    for (name, story) in STORIES {
        if filter.as_ref().is_some_and(|part| !name.contains(part.as_str())) {
            continue;
        }
        let passed = catch_unwind(story).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
    }
    println!("\ntest result: {failed} failed of {}", STORIES.len());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn region() -> Region {
    let shape = Shape {
        shards: 1,
        workers: 2,
        slots: 8,
        slot_bytes: 4096,
        request_blocks: 1,
        response_blocks: 2,
    };
    let region = Region::create(shape, 1).unwrap();
    region.populate(WorkerIndex(1)).unwrap();
    region
}

/// Forks; the child ends with the code that `body` returns, 101 if it panics.
fn child(body: impl FnOnce() -> u8) -> Pid {
    match fork().unwrap() {
        Fork::Child(forked) => forked.exit_with(|_| body()),
        Fork::Parent(pid) => pid,
    }
}

#[track_caller]
fn assert_leaves_well(pid: Pid) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = reap().unwrap() {
            assert_eq!(found, (pid, Ended::Code(0)));
            return;
        }
        assert!(Instant::now() < deadline, "the child does not end");
        // Nothing here is ever readable: a pause without a sleep.
        let pause = corewise::sys::descriptors::doorbell().unwrap();
        wait_readable(&[pause.as_fd()], Some(Duration::from_millis(1))).unwrap();
    }
}

fn a_worker_answers() {
    let region = Arc::new(region());
    let registry = Registry::of(&region);
    registry.enlist(WORKER);
    // The child has a copy of its own and never touches the parent's again.
    let worker = child(|| {
        serve(&Arc::new(inherited(&region)));
        0
    });
    let mut client = Client::of(&region, SHARD);
    let bell = Doorbell::Shard(SHARD);
    for round in 0..300u32 {
        let body = vec![round as u8; (round as usize * 37) % 4097];
        let terms = Terms { start_by: u64::MAX, deadline: u64::MAX, retry: Retry::Unstarted };
        let ticket = client.submit(&body, terms).unwrap();
        client.wake();
        let ended = loop {
            client.collect();
            client.handle_timeout(client.world().now());
            if let Some(ended) = client.poll_outcome() {
                break ended;
            }
            if client.arm() {
                wait_readable(&[region.doorbell(bell)], Some(WAIT)).unwrap();
                take_count(region.doorbell(bell));
                client.disarm();
            }
        };
        assert_eq!(ended.ticket, ticket);
        let Outcome::Answered(response) = ended.outcome else { panic!("{ended:?}") };
        let mut answer = vec![0; response.bytes as usize];
        client.answer(ticket, response).read(client.world(), 0, &mut answer);
        assert!(answer.iter().all(|&byte| byte == (round as u8).wrapping_add(1)));
        assert_eq!(answer.len(), body.len());
        client.release(ticket);
    }
    registry.stop();
    assert_leaves_well(worker);
    registry.bury(WORKER);
    assert_eq!(client.free(), 8);
}

/// What a process has of a region that it was forked with, made a worker's.
fn inherited(region: &Region) -> Region {
    let mut fds = region.descriptors().into_iter().map(|fd| duplicate(fd).unwrap());
    let (control, requests) = (fds.next().unwrap(), fds.next().unwrap());
    let region = Region::attach(control, requests, fds.collect()).unwrap();
    region.keep_private().unwrap();
    region
}

fn serve(region: &Arc<Region>) {
    let mut server = Server::of(region, WORKER, 1, SpinPolicy::NEVER);
    let bell = region.doorbell(Doorbell::Worker(WORKER));
    loop {
        match server.poll() {
            Next::Job(job) => {
                let mut body = vec![0; job.request().bytes as usize];
                server.read_request(&job, &mut body);
                for byte in &mut body {
                    *byte = byte.wrapping_add(1);
                }
                server.complete(job, 200, &body).unwrap();
            }
            Next::Block => {
                wait_readable(&[bell], Some(WAIT)).unwrap();
                take_count(bell);
            }
            Next::Moved(_) | Next::Spin | Next::Withdrawn(_) => {}
            Next::Leave => return server.detach(),
        }
    }
}

fn requests_stay_read_only() {
    let region = region();
    let worker = child(move || {
        let before = mappings("memfd:corewise-requests");
        assert_eq!(before.len(), 1);
        let region = region.into_reader().unwrap();
        let after = mappings("memfd:corewise-requests");
        assert_eq!(after.len(), 1, "what was inherited is gone");
        assert_eq!(after[0].2, "r--s");
        let (from, to) = (after[0].0, after[0].1);
        let flags = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: the range is the mapping of the request memory, which lives as long as `region`;
        // nothing refers to its bytes.
        let changed = unsafe { mprotect(from as *mut _, to - from, flags) };
        assert_eq!(changed, Err(rustix::io::Errno::ACCESS));
        std::mem::forget(region);
        0
    });
    assert_leaves_well(worker);
}

fn children_have_nothing() {
    let region = region();
    let worker = child(move || {
        let region = region.into_reader().unwrap();
        region.keep_private().unwrap();
        assert_eq!(mappings("memfd:corewise-").len(), 2);
        let grandchild = child(|| u8::from(!mappings("memfd:corewise-").is_empty()));
        assert_leaves_well(grandchild);
        std::mem::forget(region);
        0
    });
    assert_leaves_well(worker);
}

fn a_region_is_attached() {
    let made = Arc::new(region());
    let fds = || made.descriptors().into_iter().map(|fd| duplicate(fd).unwrap());
    let error = Region::attach(fds().next().unwrap(), fds().nth(1).unwrap(), Vec::new());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("it begins with 0000000000000000"), "{error}");
    let _registry = Registry::of(&made);
    let error = Region::attach(fds().next().unwrap(), fds().nth(1).unwrap(), Vec::new());
    assert_eq!(error.unwrap_err().to_string(), "0 doorbells in place of 3");
    let error = Region::attach(fds().next().unwrap(), fds().next().unwrap(), Vec::new());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("request memory has"), "{error}");
    let region =
        Region::attach(fds().next().unwrap(), fds().nth(1).unwrap(), fds().skip(2).collect());
    assert_eq!(region.unwrap().layout(), made.layout());
}

/// From, to and permissions of the mappings whose file is called so.
fn mappings(name: &str) -> Vec<(usize, usize, String)> {
    let text = fs::read_to_string("/proc/self/maps").unwrap();
    let lines = text.lines().filter(|line| line.contains(name));
    lines
        .map(|line| {
            let mut fields = line.split(' ');
            let (from, to) = fields.next().unwrap().split_once('-').unwrap();
            let number = |hex| usize::from_str_radix(hex, 16).unwrap();
            (number(from), number(to), fields.next().unwrap().to_owned())
        })
        .collect()
}

const SHARD: ShardIndex = ShardIndex(0);
const WORKER: WorkerIndex = WorkerIndex(0);
const WAIT: Duration = Duration::from_nanos(BLOCK_NS_MAX);
