//! Our own way: jobs in slots, by the two ends that shards and workers have.

use std::error::Error;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use corewise::offload::client::{Client, Ended, Terms};
use corewise::offload::counters::{ShardCounter, WorkerCounter};
use corewise::offload::death::Registry;
use corewise::offload::layout::{Doorbell, Shape};
use corewise::offload::region::{Mapped, Region};
use corewise::offload::server::{BLOCK_NS_MAX, Next, Server, SpinPolicy};
use corewise::offload::slot::{Outcome, Retry};
use corewise::offload::word::{ShardIndex, WorkerIndex};
use corewise::offload::world::{Ordering, World as _};
use rustix::event::{Timespec, epoll};

use super::partner::Partner;
use super::way::{self, Ask, Fault, Setup, Wait, Way};

/// A shard's end of a pool with one worker, in the process that measures.
pub(super) struct Shard {
    client: Client<Mapped>,
    sleeper: Sleeper,
    partner: Partner,
    wait: Wait,
    looks: u32,
}

pub(super) fn open(way: Way, setup: Setup) -> Result<Box<dyn Ask>, Fault> {
    Ok(Box::new(Shard::start(way, setup)?))
}

impl Shard {
    pub(super) fn start(way: Way, setup: Setup) -> Result<Self, Fault> {
        let shape = Shape {
            shards: 1,
            workers: 1,
            slots: SLOTS,
            slot_bytes: SLOT_BYTES,
            request_blocks: REQUEST_BLOCKS,
            response_blocks: RESPONSE_BLOCKS,
        };
        let region = Arc::new(Region::create(shape, 1)?);
        Registry::of(&region).enlist(WORKER);
        let client = Client::of(&region, SHARD);
        let partner = Partner::start(way, setup, &region.descriptors())?;
        let sleeper = Sleeper::at(region.doorbell(Doorbell::Shard(SHARD)))?;
        Ok(Self { client, sleeper, partner, wait: setup.wait, looks: 0 })
    }

    pub(super) fn process(&self) -> u32 {
        self.partner.process()
    }

    /// Submits a job; who waits for it has long terms.
    fn submit(&mut self, request: &[u8]) -> Result<(), Fault> {
        match self.client.submit(request, TERMS) {
            Ok(_) => Ok(()),
            Err(refused) => Err(format!("a job was refused: {refused:?}").into()),
        }
    }

    /// Waits for the outcome of some job.
    fn outcome(&mut self) -> Result<Ended, Fault> {
        loop {
            self.client.collect();
            if let Some(ended) = self.client.poll_outcome() {
                return Ok(ended);
            }
            match self.wait {
                Wait::Asleep if self.client.arm() => {
                    self.sleeper.wait(PATIENCE_NS)?;
                    self.client.disarm();
                }
                Wait::Asleep => {}
                Wait::Awake => std::hint::spin_loop(),
            }
            self.check()?;
        }
    }

    /// Now and then, whether the partner lives.
    fn check(&mut self) -> Result<(), Fault> {
        self.looks = self.looks.wrapping_add(1);
        if self.looks.is_multiple_of(LOOKS) { self.partner.check() } else { Ok(()) }
    }

    fn read(&mut self, ended: Ended, answer: &mut [u8]) -> Result<(), Fault> {
        let Outcome::Answered(response) = ended.outcome else {
            return Err(format!("a job came to {:?}", ended.outcome).into());
        };
        let span = self.client.answer(ended.ticket, response).ok_or("the answer is elsewhere")?;
        if span.bytes() as usize != answer.len() {
            return Err(format!("{} bytes of {}", span.bytes(), answer.len()).into());
        }
        self.client.world().copy_out(span, answer);
        self.client.release(ended.ticket);
        Ok(())
    }

    /// Keeps so many jobs in the pool for so long.
    pub(super) fn keep_busy(
        &mut self,
        jobs: u64,
        bytes: usize,
        time: Duration,
    ) -> Result<Busy, Fault> {
        let (request, mut answer) = (vec![7; bytes], vec![0; bytes]);
        for _ in 0..jobs {
            self.submit(&request)?;
        }
        self.client.wake();
        let (began, signals) = (Instant::now(), self.signals());
        let mut done = 0_u64;
        let took = loop {
            self.client.collect();
            while let Some(ended) = self.client.poll_outcome() {
                self.read(ended, &mut answer)?;
                self.submit(&request)?;
                done += 1;
            }
            self.client.wake();
            self.check()?;
            if began.elapsed() >= time {
                break began.elapsed();
            }
        };
        let signals = self.signals() - signals;
        for _ in 0..jobs {
            let ended = self.outcome()?;
            self.read(ended, &mut answer)?;
        }
        if done == 0 {
            return Err("no job was done".into());
        }
        let per_job = |sum: f64| sum / done as f64;
        Ok(Busy { ns: per_job(took.as_nanos() as f64), signals: per_job(signals as f64) })
    }

    /// Doorbells that both ends have rung: the only system calls of the protocol.
    fn signals(&self) -> u64 {
        let world = self.client.world();
        let words = [
            ShardCounter::SignalsSent.word(world, SHARD),
            WorkerCounter::SignalsSent.word(world, WORKER),
        ];
        words.into_iter().map(|word| world.load(word, Ordering::Relaxed)).sum()
    }

    /// Sleeps like a shard that has nothing to do, for so long.
    pub(super) fn rest(&mut self, time: Duration) -> Result<(), Fault> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.partner.check()?;
            if self.client.arm() {
                let left = end.saturating_duration_since(Instant::now());
                self.sleeper.wait(left.as_nanos() as u64)?;
            }
            self.client.disarm();
            self.client.collect();
        }
        Ok(())
    }
}

/// What a job costs while others are in the pool.
pub(super) struct Busy {
    pub(super) ns: f64,
    pub(super) signals: f64,
}

impl Ask for Shard {
    fn ask(&mut self, request: &[u8], answer: &mut [u8]) -> Result<(), Fault> {
        self.submit(request)?;
        self.client.wake();
        let ended = self.outcome()?;
        self.read(ended, answer)
    }
}

/// A worker that answers each request.
pub(super) fn serve(way: Way, setup: Setup, inherited: Vec<OwnedFd>) -> Result<(), Box<dyn Error>> {
    let mut inherited = inherited.into_iter();
    let (control, requests) =
        inherited.next().zip(inherited.next()).ok_or("the memory of a pool is to be inherited")?;
    let region = Arc::new(Region::attach(control, requests, inherited.collect())?);
    let mut server = Server::of(&region, WORKER, 1, policy(way, setup));
    let sleeper = Sleeper::at(region.doorbell(Doorbell::Worker(WORKER)))?;
    let (mut request, mut answer) = (vec![0; setup.bytes], vec![0; setup.bytes]);
    loop {
        match server.poll() {
            Next::Block => sleeper.wait(BLOCK_NS_MAX)?,
            Next::Job(job) => {
                server.read_request(&job, &mut request);
                way::reply(&request, &mut answer);
                let done = server.complete(job, 200, &answer);
                done.map_err(|(_, limit)| format!("an answer has at most {}", limit.bytes_max))?;
            }
            Next::Leave => return Ok(()),
            Next::Spin => std::hint::spin_loop(),
            Next::Withdrawn(..) => {}
        }
    }
}

fn policy(way: Way, setup: Setup) -> SpinPolicy {
    match (way, setup.wait) {
        (Way::SlotsByDefault, _) => by_default(setup.shared),
        (_, Wait::Asleep) => SpinPolicy::NEVER,
        (_, Wait::Awake) => {
            SpinPolicy { window_ns: u64::MAX, gap_ns: u64::MAX, beside_others: true }
        }
    }
}

/// What a worker does with its time where nobody has said anything: it looks for a moment before
/// it sleeps, if the CPU is its own and work comes quickly.
fn by_default(shared: bool) -> SpinPolicy {
    if shared {
        return SpinPolicy::NEVER;
    }
    SpinPolicy { window_ns: SPIN_NS, gap_ns: SPIN_NS, beside_others: false }
}

/// Waits at a doorbell that nobody ever reads: each ring is one event.
struct Sleeper {
    events: OwnedFd,
}

impl Sleeper {
    fn at(doorbell: BorrowedFd<'_>) -> Result<Self, Fault> {
        let events = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&events, doorbell, epoll::EventData::new_u64(0), flags)?;
        Ok(Self { events })
    }

    fn wait(&self, patience_ns: u64) -> Result<(), Fault> {
        let patience = Timespec {
            tv_sec: (patience_ns / 1_000_000_000).cast_signed(),
            tv_nsec: (patience_ns % 1_000_000_000).cast_signed(),
        };
        let mut event = [const { std::mem::MaybeUninit::uninit() }; 1];
        match epoll::wait(&self.events, &mut event, Some(&patience)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

const SHARD: ShardIndex = ShardIndex(0);
const WORKER: WorkerIndex = WorkerIndex(0);
/// As the settings have it by default.
const SLOTS: u32 = 256;
const SLOT_BYTES: u32 = 4096;
const REQUEST_BLOCKS: u16 = 64;
const RESPONSE_BLOCKS: u16 = 32;
/// Nothing is ever late here.
const TERMS: Terms =
    Terms { start_by: u64::MAX / 2, deadline: u64::MAX / 2, retry: Retry::Unstarted };
const SPIN_NS: u64 = 25_000;
const PATIENCE_NS: u64 = 250_000_000;
/// About 10 ms of looking.
const LOOKS: u32 = 1 << 18;
