//! The worker's side: find a job, claim it, finish it, and wait well.
//!
//! | word | writer | readers | ordering | pairs with |
//! |---|---|---|---|---|
//! | `slot.state` | shard, whoever claims | both | AcqRel, Release | `Client::publish`, `look` |
//! | `slot.response`, `started` | the owner | shard, supervisor | Relaxed | under `state` |
//! | `slot.cancel` | shard | the owner | Acquire | `Client::overtake` |
//! | `attention` bit | workers | shard (swaps 0) | SeqCst | `Client::collect` |
//! | `hard_limit`, `current_*` | the worker | supervisor | Relaxed | nothing: it looks again |
//!
//! Windows are `chunks`', lists of blocks `listing`'s, what wakes whom `wake`'s.
//!
//! [`Server::poll`] says what to do next and never blocks. Whoever calls it runs the job, spins a
//! little, or blocks on the worker's doorbell for at most [`BLOCK_NS_MAX`]; the bound is a second
//! net under the doorbell.

mod bodies;
mod gaps;
mod streams;

use super::blocks::{Blocks, Extents, Lent};
use super::counters::{Current, Histogram, WorkerCounter};
use super::layout::{ShardRow, SlotWords, WorkerRow};
use super::listing;
use super::queue::{self, Hint};
use super::slot::{Ending, Form, Request, Response, cancel_word};
use super::wake::{self, Wants};
use super::word::{
    Generation, Life, Owner, ShardIndex, SlotIndex, SlotState, StateWord, WorkerIndex,
};
use super::world::{Ordering, World};
pub use bodies::Draft;
use gaps::Gaps;
use streams::Stream;

/// How long a worker looks before it sleeps; data, so that the placement decides it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SpinPolicy {
    /// How long; 0 where another process of ours uses the CPU.
    pub window_ns: u64,
    /// Only while the pauses between jobs are shorter than this on average.
    pub gap_ns: u64,
    /// Whether another worker may spin at the same time.
    pub beside_others: bool,
}

impl SpinPolicy {
    /// Sleep at once.
    pub const NEVER: Self = Self { window_ns: 0, gap_ns: 0, beside_others: false };
}

/// What a worker does next.
#[derive(Debug)]
pub enum Next {
    /// Block on the doorbell, for at most [`BLOCK_NS_MAX`], then ask again.
    Block,
    /// Run this job and complete it.
    Job(Job),
    /// The pool stops, and this worker has nothing left to do.
    Leave,
    /// Ask again at once.
    Spin,
    /// Nobody wants the answer of this running job any more. It is said once; the job is
    /// completed all the same, sooner if it can be stopped.
    Withdrawn(JobId),
    /// The stream of this running job has what it waits for (`wait_for`).
    Moved(JobId),
}

/// A job that this worker runs. It is finished by `complete` and in no other way.
#[derive(Debug)]
#[must_use = "a job that is dropped is never answered"]
pub struct Job {
    place: JobId,
    words: SlotWords,
    request: Request,
    submitted: u64,
    started: u64,
    deadline: u64,
}

/// Which submission of which slot.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct JobId {
    shard: ShardIndex,
    slot: SlotIndex,
    generation: Generation,
}

impl Job {
    /// Its name while it runs.
    #[must_use]
    pub const fn id(&self) -> JobId {
        self.place
    }

    /// Whose job it is.
    #[must_use]
    pub const fn shard(&self) -> ShardIndex {
        self.place.shard
    }

    /// Where it lies.
    #[must_use]
    pub const fn slot(&self) -> SlotIndex {
        self.place.slot
    }

    /// How its request lies in memory; the length of an inline one is checked.
    #[must_use]
    pub const fn request(&self) -> Request {
        self.request
    }

    /// When it is too late, on the monotonic clock in nanoseconds.
    #[must_use]
    pub const fn deadline(&self) -> u64 {
        self.deadline
    }

    /// When it was submitted.
    #[must_use]
    pub const fn submitted(&self) -> u64 {
        self.submitted
    }
}

/// What a worker remembers of a job that runs.
#[derive(Debug)]
struct Running {
    place: JobId,
    words: SlotWords,
    epoch: u16,
    deadline: u64,
    /// That it was withdrawn has been said already.
    told: bool,
    /// Made when it is needed.
    stream: Option<Box<Stream>>,
}

/// A response body that does not fit where it is to lie.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooLong {
    /// What would fit.
    pub bytes_max: u32,
}

/// What a worker does between two jobs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Awake,
    /// The doorbell has rung, or the wait was over: the next job may be one of several.
    Roused,
    Spinning {
        until: u64,
        /// Looks since the clock was read.
        looks: u32,
        /// For a job: others rely on it. Otherwise for a stream alone.
        counted: bool,
    },
    Waiting,
}

/// One worker of a pool.
#[derive(Debug)]
pub struct Server<W> {
    world: W,
    worker: WorkerIndex,
    /// Where its own words lie.
    row: WorkerRow,
    /// Where those of the shards lie.
    shards: Vec<ShardRow>,
    /// How slots name this process.
    owner: Owner,
    phase: Phase,
    /// The shard to look at first: the one after that which was served last.
    next_shard: u16,
    /// Jobs that run at a time.
    jobs_max: usize,
    /// The jobs that run.
    running: Vec<Running>,
    /// The one of them to look at first for news.
    news_from: usize,
    /// Whether the next look is for a new job first, so that neither keeps the other away.
    jobs_first: bool,
    /// The blocks for answers.
    blocks: Blocks,
    /// Those of them that shards still read.
    lent: Lent<(ShardIndex, SlotIndex)>,
    /// Jobs whose shards are to hear of their streams.
    calls: Vec<JobId>,
    /// What shards know that this worker waits for.
    wants: Wants,
    spin: SpinPolicy,
    gaps: Gaps,
    /// Of the streams of running jobs.
    waits: Gaps,
    /// A time that was read just now.
    moment: Option<u64>,
    /// When the clock was read, in ticks, and what it said.
    glance: Option<(u64, u64)>,
    /// Claims nothing any more.
    draining: bool,
}

impl<W: World> Server<W> {
    /// Takes the place of a worker, in the life that the supervisor gave it.
    ///
    /// # Panics
    /// Panics when a worker is to run no job at all.
    pub fn attach(world: W, worker: WorkerIndex, jobs_max: usize, spin: SpinPolicy) -> Self {
        assert!(jobs_max > 0, "a worker runs at least one job");
        let life = Life::unpack(world.load(world.layout().life(worker), Ordering::Relaxed));
        let owner = Owner { worker, incarnation: life.short() };
        let layout = world.layout();
        let row = layout.worker_row(worker);
        let shards = layout.shards().map(|shard| layout.shard_row(shard)).collect();
        wake::awake(&world, row.sleep());
        Wants::default().publish(&world, worker);
        let found = listing::left_by_worker(&world, worker);
        let (lent, blocks) = Lent::inherit(world.layout().shape().response_blocks, found);
        let running = Vec::with_capacity(jobs_max);
        let (phase, gaps) = (Phase::Awake, Gaps::new());
        let server = Self {
            world,
            worker,
            row,
            shards,
            owner,
            phase,
            next_shard: 0,
            jobs_max,
            running,
            news_from: 0,
            jobs_first: false,
            blocks,
            lent,
            calls: Vec::new(),
            wants: Wants::default(),
            spin,
            gaps,
            waits: Gaps::short(),
            moment: None,
            glance: None,
            draining: false,
        };
        server.publish_limit();
        server
    }

    /// The world that it works in.
    pub const fn world(&self) -> &W {
        &self.world
    }

    /// Claims nothing more; what runs is finished.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// How many jobs run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// What to do next. Never blocks; a job is handed out one at a time, so that a worker which
    /// can run several leaves the rest to those who have none.
    pub fn poll(&mut self) -> Next {
        if self.phase == Phase::Waiting {
            self.rouse();
        }
        if !self.calls.is_empty() {
            self.calls();
        }
        let next = if std::mem::take(&mut self.jobs_first) {
            self.take_job().or_else(|| self.take_news())
        } else {
            self.take_news().or_else(|| self.take_job())
        };
        next.unwrap_or_else(|| self.poll_without_job())
    }

    /// True when the shard does not want the answer any more: the client has gone, the time is
    /// over, or the shard itself has been replaced.
    #[must_use]
    pub fn is_cancelled(&self, job: &Job) -> bool {
        self.is_withdrawn(job.place, job.words, job.request.epoch)
    }

    /// Copies an inline request over `into`, which must have its length.
    ///
    /// # Panics
    /// Panics when the request is not inline or `into` is longer than a slot.
    pub fn read_request(&self, job: &Job, into: &mut [u8]) {
        assert_eq!(job.request.form, Form::Inline);
        let span = self.shard(job.place.shard).inline_request(job.place.slot);
        self.world.copy_out(span, into);
    }

    /// Answers a job with a body that lies in the slot.
    ///
    /// # Errors
    /// Gives the job back when the body is longer than a slot.
    pub fn complete(&mut self, job: Job, status: u16, body: &[u8]) -> Result<(), (Job, TooLong)> {
        let span = self.shard(job.place.shard).inline_response(job.place.slot);
        let Some(bytes) = u32::try_from(body.len()).ok().filter(|&bytes| bytes <= span.bytes())
        else {
            return Err((job, TooLong { bytes_max: span.bytes() }));
        };
        self.world.copy_in(span, body);
        self.complete_in_place(job, status, Form::Inline, (bytes, Extents::default()));
        Ok(())
    }

    /// Ends a job; its answer lies in `extents` as far as it does not lie in the slot.
    fn complete_in_place(
        &mut self,
        job: Job,
        status: u16,
        form: Form,
        (bytes, extents): (u32, Extents),
    ) {
        let response = Response { bytes, status, form, ending: Ending::Answered };
        let stream = self.retire(job.place).map(|stream| self.close_stream(*stream));
        self.finish(job.place, job.words, response);
        if !extents.is_empty() {
            self.lend(job.place, extents);
        }
        if let Some(listed) = stream {
            self.lend(job.place, listed);
        }
        self.publish_limit();
        let now = self.time();
        self.moment = Some(now);
        self.gaps.handle_end(now);
        self.count(WorkerCounter::Ok, 1);
        self.measure(Histogram::Service, now.saturating_sub(job.started));
    }

    /// The time, at most a moment ago: jobs that take less do not each pay for the clock.
    fn time(&mut self) -> u64 {
        let ticks = self.world.ticks();
        if let (Some(ticks), Some((then, now))) = (ticks, self.glance)
            && ticks.wrapping_sub(then) < MOMENT_TICKS
        {
            return now;
        }
        let now = self.world.now();
        self.glance = ticks.map(|ticks| (ticks, now));
        now
    }

    /// A job does not run any more; its stream, if it had one.
    fn retire(&mut self, place: JobId) -> Option<Box<Stream>> {
        let found = self.running.iter().position(|running| running.place == place)?;
        if !self.calls.is_empty() {
            // The end of the job calls the shard anyhow.
            self.calls.retain(|called| *called != place);
        }
        self.running.swap_remove(found).stream
    }

    /// The shard has moved the deadline of a job whose answer is on its way: from now on the new
    /// one counts, here and for the supervisor.
    pub fn renew(&mut self, job: &mut Job) {
        job.deadline = self.follow_deadline(job.place);
    }

    /// What the shard says now of the deadline of a job that runs.
    fn follow_deadline(&mut self, place: JobId) -> u64 {
        let deadline = self.world.load(self.words(place).deadline(), Ordering::Relaxed);
        let running = self.running.iter_mut().find(|running| running.place == place);
        if let Some(running) = running.filter(|running| running.deadline != deadline) {
            running.deadline = deadline;
            self.publish_limit();
        }
        deadline
    }

    /// Leaves the place in good order: nobody waits, nobody spins.
    pub fn detach(self) {
        wake::clear_spinning(&self.world, self.worker);
        wake::clear_idle(&self.world, self.worker);
        wake::awake(&self.world, self.row.sleep());
    }

    /// True when some shard lives that may still submit or collect.
    #[must_use]
    pub fn sees_a_shard(&self) -> bool {
        let life = |row: &ShardRow| Life::unpack(self.world.load(row.epoch(), Ordering::Relaxed));
        self.shards.iter().any(|row| life(row).alive)
    }

    /// What there is to say of a job that runs.
    #[inline]
    fn take_news(&mut self) -> Option<Next> {
        if self.running.is_empty() { None } else { self.search_news() }
    }

    fn search_news(&mut self) -> Option<Next> {
        let count = self.running.len();
        for step in 0..count {
            let at = (self.news_from + step) % count;
            let next = if self.is_news(&self.running[at]) {
                self.running[at].told = true;
                Next::Withdrawn(self.running[at].place)
            } else if self.has_moved(&self.running[at]) {
                self.running[at].stream.iter_mut().for_each(|stream| stream.forget_interests());
                self.handle_moved();
                Next::Moved(self.running[at].place)
            } else {
                continue;
            };
            self.news_from = at + 1;
            self.jobs_first = true;
            return Some(next);
        }
        None
    }

    #[inline]
    fn take_job(&mut self) -> Option<Next> {
        if !self.has_capacity() {
            return None;
        }
        let job = self.take()?;
        self.handle_found(&job);
        Some(Next::Job(job))
    }

    fn has_capacity(&self) -> bool {
        !self.draining && self.running.len() < self.jobs_max
    }

    /// Nothing was found: spin on, begin to, or go to sleep.
    fn poll_without_job(&mut self) -> Next {
        if let Phase::Spinning { until, looks, .. } = &mut self.phase {
            *looks += 1;
            if *looks < LOOKS_PER_TIME {
                return Next::Spin;
            }
            *looks = 0;
            let until = *until;
            let now = self.world.now();
            self.moment = Some(now);
            if now < until {
                return Next::Spin;
            }
            self.count(WorkerCounter::SpinMisses, 1);
        } else if self.begin_to_spin() {
            return Next::Spin;
        }
        if self.is_over() {
            self.stop_spinning();
            return Next::Leave;
        }
        if self.arm() { Next::Block } else { Next::Spin }
    }

    /// Spins for the next job, or while a stream waits, if that is worth it.
    fn begin_to_spin(&mut self) -> bool {
        if self.spin.window_ns == 0 {
            return false;
        }
        let waits = self.has_interests();
        let counted = self.running.is_empty() && self.may_spin();
        let now = *self.moment.get_or_insert_with(|| self.world.now());
        if waits {
            self.waits.handle_end(now);
        }
        // Whoever wakes a stream's worker is another process, and that takes a while.
        let spins = counted || (waits && self.waits.are_below(self.spin.gap_ns.saturating_mul(4)));
        if spins {
            if counted {
                wake::set_spinning(&self.world, self.worker);
            }
            let until = now.saturating_add(self.spin.window_ns);
            self.phase = Phase::Spinning { until, looks: 0, counted };
        }
        spins
    }

    /// A job was found; if others could have been kept from being woken by us, one more is.
    fn handle_found(&mut self, job: &Job) {
        let phase = std::mem::replace(&mut self.phase, Phase::Awake);
        self.gaps.handle_submission(job.submitted);
        match phase {
            Phase::Spinning { counted: true, .. } => {
                self.count(WorkerCounter::SpinHits, 1);
                wake::clear_spinning(&self.world, self.worker);
                self.hand_on();
            }
            Phase::Roused => self.hand_on(),
            Phase::Awake | Phase::Spinning { .. } | Phase::Waiting => {}
        }
    }

    /// The stream of a job has what it waited for.
    fn handle_moved(&mut self) {
        if self.spin.window_ns > 0 {
            self.waits.handle_submission(self.world.now());
        }
        if let Phase::Spinning { counted: false, .. } = self.phase {
            self.count(WorkerCounter::SpinHits, 1);
            self.phase = Phase::Awake;
        }
    }

    fn may_spin(&self) -> bool {
        self.has_capacity()
            && self.gaps.are_below(self.spin.gap_ns)
            && (self.spin.beside_others || !wake::somebody_spins(&self.world))
    }

    fn is_over(&self) -> bool {
        let stopped = || self.world.load(self.world.layout().stop(), Ordering::Relaxed) != 0;
        self.running.is_empty() && (self.draining || stopped())
    }

    /// Gets ready to block; false when something has come up.
    fn arm(&mut self) -> bool {
        wake::fall_asleep(&self.world, self.row.sleep());
        if self.has_capacity() {
            wake::set_idle(&self.world, self.worker);
        }
        self.publish_wants();
        self.stop_spinning();
        self.phase = Phase::Waiting;
        // Excludes that we see no job while its shard sees nobody waiting, that we see a job
        // wanted while its cancel sees us awake, and that we see nothing new of a stream while
        // its shard does: all publish, fence, and read our marks (`wake`, `Client::abandon`,
        // `Client::call_workers`); we have set them, fence here, and look once more.
        self.world.fence(Ordering::SeqCst);
        let news = self.running.iter().any(|job| self.is_news(job) || self.has_moved(job));
        if news || (self.has_capacity() && self.sees_work()) || self.is_over() {
            self.rouse();
            return false;
        }
        self.count(WorkerCounter::Sleeps, 1);
        true
    }

    /// Awake again: takes the marks back. Only then may it look for jobs.
    fn rouse(&mut self) {
        wake::clear_idle(&self.world, self.worker);
        wake::awake(&self.world, self.row.sleep());
        self.phase = Phase::Roused;
        self.moment = None;
        // Ticks may stand still while nobody runs.
        self.glance = None;
    }

    fn stop_spinning(&mut self) {
        if let Phase::Spinning { counted, .. } = self.phase {
            if counted {
                wake::clear_spinning(&self.world, self.worker);
            }
            self.phase = Phase::Awake;
        }
    }

    /// Wakes one more when there is work left that nobody else is about to find.
    fn hand_on(&self) {
        // Excludes that a shard saw us spinning and woke nobody while we see no job of its: it
        // published, fenced (`wake`) and read our bit, which we have cleared before this fence.
        self.world.fence(Ordering::SeqCst);
        if wake::somebody_spins(&self.world) || !self.sees_work() {
            return;
        }
        let woken = wake::wake_waiting(&self.world, 1, usize::from(self.worker.0) + 1);
        self.count(WorkerCounter::SignalsSent, woken.sent);
        self.count(WorkerCounter::SignalsSuppressed, woken.suppressed);
    }

    /// Any hint counts, even if its slot is taken: whoever took it may have stopped before it
    /// moved the head, and a job may wait behind it.
    fn sees_work(&self) -> bool {
        self.shards.iter().any(|row| queue::first_hint(&self.world, row).is_some())
    }

    /// Claims the next job that is still wanted and begins it.
    #[inline]
    fn take(&mut self) -> Option<Job> {
        let mut shard = self.next_shard;
        for _ in 0..self.shards.len() {
            let next = if usize::from(shard) + 1 < self.shards.len() { shard + 1 } else { 0 };
            if let Some(job) = self.take_from(ShardIndex(shard)) {
                self.next_shard = next;
                return Some(job);
            }
            shard = next;
        }
        None
    }

    /// Bounded by the length of the ring, whatever stands in it.
    #[inline]
    fn take_from(&mut self, shard: ShardIndex) -> Option<Job> {
        for _ in 0..self.shard(shard).cells() {
            let row = self.shard(shard);
            let hint = queue::first_hint(&self.world, row)?;
            #[cfg(test)]
            if self.world.twin() == super::world::Twin::HeadFirst {
                queue::pass(&self.world, row, hint);
            }
            let claimed = self.claim(shard, row, hint);
            queue::pass(&self.world, row, hint);
            if let Some(job) = claimed.and_then(|(place, words)| self.begin(place, words)) {
                return Some(job);
            }
        }
        None
    }

    #[inline]
    fn claim(&self, shard: ShardIndex, row: &ShardRow, hint: Hint) -> Option<(JobId, SlotWords)> {
        let slot = row.slot_index(hint.slot.0.into())?;
        let words = row.slot(slot);
        // The request comes nearer while its slot is won.
        self.world.expect(words.request(), row.inline_request(slot));
        let ready = StateWord::new(SlotState::Ready, hint.generation);
        let claimed = StateWord::new(SlotState::Claimed(self.owner), hint.generation);
        // Pairs with the stores of READY in `Client`: who wins sees body and descriptor; and with
        // its loads of the state, which tell it who owns the slot now.
        let order = Ordering::AcqRel;
        self.world.compare_exchange(words.state(), ready.pack(), claimed.pack(), order).ok()?;
        self.count(WorkerCounter::Claimed, 1);
        Some((JobId { shard, slot, generation: hint.generation }, words))
    }

    /// The last moment at which a job that nobody wants costs nothing.
    #[inline]
    fn begin(&mut self, place: JobId, words: SlotWords) -> Option<Job> {
        let deadline = self.world.load(words.deadline(), Ordering::Relaxed);
        let submitted = self.world.load(words.submitted(), Ordering::Relaxed);
        let request = Request::unpack(self.world.load(words.request(), Ordering::Relaxed));
        // A job that follows the last one at once begins when that ended.
        let now = match self.moment.take() {
            Some(moment) if self.running.is_empty() => moment,
            _ => self.time(),
        };
        // That was a moment ago, and it cannot begin before it was submitted.
        let now = now.max(submitted);
        let slot_bytes = self.shard(place.shard).slot_bytes();
        let request = match request {
            Some(request) if request.form != Form::Inline || request.bytes <= slot_bytes => request,
            _ => {
                self.skip(place, words, Ending::Cancelled);
                return None;
            }
        };
        if self.is_withdrawn(place, words, request.epoch) {
            self.skip(place, words, Ending::Cancelled);
            return None;
        }
        if now >= deadline {
            self.skip(place, words, Ending::Expired);
            return None;
        }
        self.world.store(words.started(), now, Ordering::Relaxed);
        self.publish_current(place, now);
        let epoch = request.epoch;
        self.running.push(Running { place, words, epoch, deadline, told: false, stream: None });
        self.publish_limit();
        let running = StateWord::new(SlotState::Running(self.owner), place.generation);
        // Pairs with the load in `Client::look`: from here on the job has begun.
        self.world.store(words.state(), running.pack(), Ordering::Release);
        self.measure(Histogram::QueueWait, now.saturating_sub(submitted));
        Some(Job { place, words, request, submitted, started: now, deadline })
    }

    fn is_news(&self, job: &Running) -> bool {
        !job.told && self.is_withdrawn(job.place, job.words, job.epoch)
    }

    #[inline]
    fn is_withdrawn(&self, place: JobId, words: SlotWords, epoch: u16) -> bool {
        // Pairs with the store in `Client::overtake`.
        if self.world.load(words.cancel(), Ordering::Acquire) == cancel_word(place.generation) {
            return true;
        }
        let life = self.world.load(self.shard(place.shard).epoch(), Ordering::Relaxed);
        Life::unpack(life).incarnation as u16 != epoch
    }

    #[cold]
    fn skip(&self, place: JobId, words: SlotWords, ending: Ending) {
        self.finish(place, words, Response { bytes: 0, status: 0, form: Form::Inline, ending });
        self.count(
            match ending {
                Ending::Expired => WorkerCounter::SkippedExpired,
                Ending::Answered | Ending::Cancelled => WorkerCounter::SkippedCancelled,
            },
            1,
        );
    }

    /// Makes the response the shard's and sees to it that the shard looks.
    #[inline]
    fn finish(&self, place: JobId, words: SlotWords, response: Response) {
        self.world.store(words.response(), response.pack(), Ordering::Relaxed);
        let done = StateWord::new(SlotState::Done(self.owner), place.generation);
        // Pairs with the load in `Client::look`: who sees DONE sees the response.
        self.world.store(words.state(), done.pack(), Ordering::Release);
        self.call(place);
    }

    /// Has the shard look at the slot.
    #[inline]
    fn call(&self, place: JobId) {
        let shard = (place.shard, self.shard(place.shard));
        let sent = wake::call_shard(&self.world, shard, place.slot);
        self.count(
            match sent {
                true => WorkerCounter::SignalsSent,
                false => WorkerCounter::SignalsSuppressed,
            },
            1,
        );
    }

    fn publish_current(&self, place: JobId, now: u64) {
        let current = Current { shard: place.shard, slot: place.slot }.pack();
        self.world.store(self.row.current_start(), now, Ordering::Relaxed);
        self.world.store(self.row.current_job(), current, Ordering::Relaxed);
    }

    /// Tells the supervisor when to look at what runs here; 0 is never.
    #[inline]
    fn publish_limit(&self) {
        let earliest = match &self.running[..] {
            [] => 0,
            [only] => only.deadline,
            all => all.iter().map(|job| job.deadline).min().unwrap_or(0),
        };
        self.world.store(self.row.hard_limit(), earliest, Ordering::Relaxed);
        if self.running.is_empty() {
            self.world.store(self.row.current_job(), 0, Ordering::Relaxed);
        }
    }

    #[inline]
    fn shard(&self, shard: ShardIndex) -> &ShardRow {
        &self.shards[usize::from(shard.0)]
    }

    fn words(&self, place: JobId) -> SlotWords {
        self.shard(place.shard).slot(place.slot)
    }

    fn count(&self, counter: WorkerCounter, number: u64) {
        counter.add(&self.world, &self.row, number);
    }

    fn measure(&self, histogram: Histogram, value_ns: u64) {
        histogram.measure(&self.world, &self.row, value_ns);
    }
}

/// So many looks take less than a microsecond or two, and the clock as much as some of them.
const LOOKS_PER_TIME: u32 = 32;
/// So many ticks of a processor are a microsecond or two.
const MOMENT_TICKS: u64 = 4_096;
/// Longest time that a worker blocks without looking.
pub const BLOCK_NS_MAX: u64 = 250_000_000;
