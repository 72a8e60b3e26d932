//! Our own way: jobs in slots, by the two ends that shards and workers have.

use std::error::Error;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use corewise::offload::chunks::{Interests, StreamItem, Unsent};
use corewise::offload::client::{Client, Ended, Refused, Terms};
use corewise::offload::counters::{ShardCounter, WorkerCounter};
use corewise::offload::death::Registry;
use corewise::offload::layout::{Doorbell, Shape};
use corewise::offload::region::{Mapped, Region};
use corewise::offload::server::{BLOCK_NS_MAX, Job, Next, Server, SpinPolicy};
use corewise::offload::slot::{Form, Outcome, Retry};
use corewise::offload::word::{ShardIndex, WorkerIndex};
use corewise::offload::world::{Ordering, World as _};
use rustix::event::{Timespec, epoll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

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

    /// Submits a job, whole if it can be: else its beginning, and then the rest as a stream.
    fn submit(&mut self, request: &[u8]) -> Result<(), Fault> {
        let drafted = match self.client.draft(request.len() as u64) {
            Err(Refused::TooLong) => return self.stream(request),
            other => other,
        };
        let draft = drafted.map_err(|refused| format!("a job was refused: {refused:?}"))?;
        self.client.submit_message(draft, request, TERMS);
        Ok(())
    }

    fn stream(&mut self, request: &[u8]) -> Result<(), Fault> {
        let (head, mut rest) = request.split_at(HEAD_BYTES);
        let drafted = self.client.draft_opening(HEAD_BYTES as u64);
        let draft = drafted.map_err(|refused| format!("a stream was refused: {refused:?}"))?;
        self.client.payload(&draft).write(self.client.world(), 0, head);
        let ticket = self.client.submit_draft(draft, HEAD_BYTES as u32, TERMS);
        while !rest.is_empty() {
            match self.client.send(ticket, rest) {
                Ok(bytes) => rest = &rest[bytes..],
                Err(Unsent::Full | Unsent::NoBlocks) => self.await_movement()?,
                Err(Unsent::Over) => return Err("the worker reads no more".into()),
            }
        }
        while let Err(unsent) = self.client.send_end(ticket, &[]) {
            match unsent {
                Unsent::Full | Unsent::NoBlocks => self.await_movement()?,
                Unsent::Over => return Err("the worker reads no more".into()),
            }
        }
        Ok(())
    }

    /// Waits until the worker has taken something of the stream.
    fn await_movement(&mut self) -> Result<(), Fault> {
        self.client.wake();
        loop {
            self.client.collect();
            if self.client.poll_moved().is_some() {
                return Ok(());
            }
            self.pause()?;
        }
    }

    /// Between two looks.
    fn pause(&mut self) -> Result<(), Fault> {
        match self.wait {
            Wait::Asleep if self.client.arm() => {
                self.sleeper.wait()?;
                self.client.disarm();
            }
            Wait::Asleep => {}
            Wait::Awake => std::hint::spin_loop(),
        }
        self.check()
    }

    /// Waits for the outcome of some job.
    fn outcome(&mut self) -> Result<Ended, Fault> {
        loop {
            self.client.collect();
            if let Some(ended) = self.client.poll_outcome() {
                return Ok(ended);
            }
            // What was taken of a stream is no news to who has sent all of it.
            while self.client.poll_moved().is_some() {}
            self.pause()?;
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
        if response.bytes as usize != answer.len() {
            return Err(format!("{} bytes of {}", response.bytes, answer.len()).into());
        }
        self.client.answer(ended.ticket, response).read(self.client.world(), 0, answer);
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
            // The partner may only just have started.
            if done > 0 && began.elapsed() >= time {
                break began.elapsed();
            }
        };
        let signals = self.signals() - signals;
        for _ in 0..jobs {
            let ended = self.outcome()?;
            self.read(ended, &mut answer)?;
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
                self.sleeper.wait()?;
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
struct Worker {
    server: Server<Mapped>,
    request: Vec<u8>,
    answer: Vec<u8>,
    /// The job whose request still comes, and how much of it is here.
    coming: Option<(Job, usize)>,
}

pub(super) fn serve(way: Way, setup: Setup, inherited: Vec<OwnedFd>) -> Result<(), Box<dyn Error>> {
    let mut inherited = inherited.into_iter();
    let (control, requests) =
        inherited.next().zip(inherited.next()).ok_or("the memory of a pool is to be inherited")?;
    let region = Arc::new(Region::attach(control, requests, inherited.collect())?);
    let mut worker = Worker {
        server: Server::of(&region, WORKER, 1, policy(way, setup)),
        request: vec![0; setup.bytes],
        answer: vec![0; setup.bytes],
        coming: None,
    };
    let sleeper = Sleeper::at(region.doorbell(Doorbell::Worker(WORKER)))?;
    loop {
        match worker.server.poll() {
            Next::Block => sleeper.wait()?,
            Next::Job(job) => worker.begin(job)?,
            Next::Leave => return Ok(()),
            Next::Moved(_) => worker.receive()?,
            Next::Spin => std::hint::spin_loop(),
            Next::Withdrawn(_) => {}
        }
    }
}

impl Worker {
    fn begin(&mut self, job: Job) -> Result<(), Fault> {
        let bytes = job.request().bytes as usize;
        let payload = self.server.request(&job).map_err(|_| "the request is broken")?;
        payload.read(self.server.world(), 0, &mut self.request[..bytes]);
        if job.request().form == Form::Chunks {
            self.coming = Some((job, bytes));
            self.receive()
        } else {
            self.complete(job)
        }
    }

    /// Takes what has come of a stream.
    fn receive(&mut self) -> Result<(), Fault> {
        let Some((job, mut read)) = self.coming.take() else { return Ok(()) };
        loop {
            match self.server.receive(&job).map_err(|_| "the stream is broken")? {
                Some(StreamItem::Bytes(span)) => {
                    let end = read + span.bytes() as usize;
                    self.server.world().copy_out(span, &mut self.request[read..end]);
                    read = end;
                    self.server.taken(&job);
                }
                Some(StreamItem::End(_)) => return self.complete(job),
                Some(_) => return Err("the request broke off".into()),
                None => {
                    self.server.wait_for(&job, Interests { item: true, room: false });
                    self.coming = Some((job, read));
                    return Ok(());
                }
            }
        }
    }

    fn complete(&mut self, job: Job) -> Result<(), Fault> {
        way::reply(&self.request, &mut self.answer);
        let bytes = self.answer.len();
        let draft = self.server.draft(bytes as u64).ok_or("the answer is too long")?;
        self.server.complete_message(job, draft, 200, &self.answer);
        Ok(())
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
    SpinPolicy { window_ns: SPIN_NS, gap_ns: SPIN_NS, beside_others: true }
}

/// Waits at a doorbell that nobody ever reads: each ring is one event. The second net under it is
/// a timer that repeats itself, because a limit to each wait would have to be set each time, which
/// costs as much as a job does.
struct Sleeper {
    events: OwnedFd,
    /// It goes on when it is read.
    timer: OwnedFd,
}

impl Sleeper {
    fn at(doorbell: BorrowedFd<'_>) -> Result<Self, Fault> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
        let every = Timespec { tv_sec: 0, tv_nsec: BLOCK_NS_MAX.cast_signed() };
        let setting = Itimerspec { it_interval: every, it_value: every };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting)?;
        let events = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&events, doorbell, epoll::EventData::new_u64(0), flags)?;
        epoll::add(&events, &timer, epoll::EventData::new_u64(TIMER), flags)?;
        Ok(Self { events, timer })
    }

    fn wait(&self) -> Result<(), Fault> {
        let mut space = [const { MaybeUninit::uninit() }; 1];
        match epoll::wait(&self.events, &mut space, None) {
            Ok((events, _)) => {
                if events.iter().any(|event| event.data.u64() == TIMER) {
                    rustix::io::read(&self.timer, &mut [0; 8])?;
                }
                Ok(())
            }
            Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What of a stream goes with the job itself: the first word.
const HEAD_BYTES: usize = 8;
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
/// How the timer is known among the events.
const TIMER: u64 = 1;
/// About 10 ms of looking.
const LOOKS: u32 = 1 << 18;
