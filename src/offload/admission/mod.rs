//! Which jobs may wait for a worker, where, and for how long. Pure: time is an argument.
//!
//! Admission is by time. A server whose queue is bounded by nothing, or by a count alone, serves
//! under overload only clients that have left already. Here a job is taken only if a worker will
//! begin it within `queue-wait`, also when the next jobs take somewhat longer than the last;
//! otherwise it is refused at once, with the time after which it is worth another try. What was
//! taken waits in a slot, or in a bounded queue behind the slots; if it was not begun in time all
//! the same, it never is.
//!
//! Workers serve the shards in turn. So two paces count: that of the pool, under which all that
//! wait are served, and that at which this shard's own jobs are taken while some wait. A shard with
//! most of the load has fewer turns than it has jobs, and only the second one says so.
//!
//! Each shard has one of these for each pool, and looks at the pool's counters for the rest.
//! Times are durations since the start of the monotonic clock.

mod estimate;
mod queue;
#[cfg(test)]
mod tests;

use std::time::Duration;

use estimate::{CompletionRate, Look, MeanService};
use queue::Queue;
pub use queue::Ticket;

/// How long a job may wait before a worker begins it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum QueueWait {
    /// Four times what jobs took recently, and at least a second.
    Auto,
    /// So long.
    Fixed(Duration),
}

/// What a pool's configuration says about waiting.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most jobs behind the slots of one shard.
    pub queue_max: u32,
    /// Longest wait, in a slot or behind them.
    pub queue_wait: QueueWait,
}

/// What the counters of a pool say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PoolState {
    /// Jobs of all shards that no worker has begun, in slots and behind them; this shard's too.
    pub waiting: u64,
    /// Those of them that are this shard's.
    pub own_waiting: u64,
    /// Jobs that workers have begun, since the pool exists.
    pub begun: u64,
    /// Jobs that workers have ended, since the pool exists.
    pub completed: u64,
    /// Whether there is a living worker.
    pub alive: bool,
}

/// The admission of one shard to one pool.
#[derive(Debug)]
pub struct Admission<Job> {
    settings: Settings,
    service: MeanService,
    /// Of the pool.
    rate: CompletionRate,
    /// Of what this shard gets of it.
    own_rate: CompletionRate,
    /// Jobs of this shard that were answered.
    own_completed: u64,
    pool: PoolState,
    /// Jobs taken since the counters were looked at.
    taken: u64,
    queue: Queue<Job>,
}

/// What happens with a job that was taken.
#[derive(Debug, Eq, PartialEq)]
pub enum Admitted<Job> {
    /// It waits behind the slots.
    Queued(Ticket),
    /// It goes into the free slot. A worker must begin it by then.
    Submit(Job, Duration),
}

/// A job that was not taken, or not begun in time: 503.
#[derive(Debug, Eq, PartialEq)]
pub struct Refused<Job> {
    /// The job.
    pub job: Job,
    /// Whole seconds after which it is worth another try.
    pub retry_after: u32,
}

/// What is to be done with a job that waited behind the slots.
#[derive(Debug, Eq, PartialEq)]
pub enum Action<Job> {
    /// It was not begun in time.
    Refuse(Refused<Job>),
    /// It goes into the free slot. A worker must begin it by then.
    Submit(Job, Duration),
}

impl<Job> Admission<Job> {
    /// Nothing waits, and nothing is known of the pool.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            service: MeanService::default(),
            rate: CompletionRate::default(),
            own_rate: CompletionRate::default(),
            own_completed: 0,
            pool: PoolState::default(),
            taken: 0,
            queue: Queue::new(settings.queue_max),
        }
    }

    /// The counters were looked at. The more often while jobs wait, the better the estimate; at
    /// least every 250 ms.
    pub fn handle_pool(&mut self, pool: PoolState, now: Duration) {
        // The time in which nobody could work says nothing about how fast work is done.
        let busy = pool.waiting > 0 && pool.alive;
        self.rate.handle_look(Look { at: now, completed: pool.completed, busy });
        let busy = pool.own_waiting > 0 && pool.alive;
        self.own_rate.handle_look(Look { at: now, completed: self.own_completed, busy });
        self.pool = pool;
        self.taken = 0;
    }

    /// A job has ended that ran for so long.
    pub fn handle_service(&mut self, took: Duration) {
        self.service.add(took);
        self.own_completed += 1;
    }

    /// Takes a job, or refuses it. `deadline` is that of its request; `slot_free` says whether it
    /// could go into a slot now.
    ///
    /// # Errors
    /// [`Refused`] if it would wait for too long, or if there is no room for it.
    pub fn admit(
        &mut self,
        job: Job,
        deadline: Duration,
        slot_free: bool,
        now: Duration,
    ) -> Result<Admitted<Job>, Refused<Job>> {
        let start_by = now.saturating_add(self.queue_wait()).min(deadline);
        let patience = start_by.saturating_sub(now);
        if self.estimate().is_some_and(|wait| wait > patience - patience / SPARE_PART) {
            return Err(self.refuse(job));
        }
        // Nobody overtakes those who wait behind the slots.
        if slot_free && self.queue.is_empty() {
            self.taken += 1;
            return Ok(Admitted::Submit(job, start_by));
        }
        match self.queue.push(job, start_by) {
            Ok(ticket) => {
                self.taken += 1;
                Ok(Admitted::Queued(ticket))
            }
            Err(job) => Err(self.refuse(job)),
        }
    }

    /// The client of a job behind the slots has gone: it is not waited for any more. `None` if it
    /// does not wait behind them.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<Job> {
        self.queue.remove(ticket)
    }

    /// The next thing to do with a job behind the slots; call it until `None`. `slot_free` says
    /// whether one could go into a slot now.
    pub fn poll_action(&mut self, slot_free: bool, now: Duration) -> Option<Action<Job>> {
        if let Some(job) = self.queue.pop_expired(now) {
            return Some(Action::Refuse(self.refuse(job)));
        }
        if !slot_free {
            return None;
        }
        let (job, start_by) = self.queue.pop()?;
        Some(Action::Submit(job, start_by))
    }

    /// When [`Admission::poll_action`] has something to do at the latest.
    pub fn poll_timeout(&mut self) -> Option<Duration> {
        self.queue.next_expiry()
    }

    /// How many jobs wait behind the slots.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.queue.len()
    }

    /// How long a job may wait at present.
    #[must_use]
    pub fn queue_wait(&self) -> Duration {
        match self.settings.queue_wait {
            QueueWait::Fixed(wait) => wait,
            QueueWait::Auto => {
                QUEUE_WAIT_MIN.max(self.service.mean().saturating_mul(QUEUE_WAIT_SERVICES))
            }
        }
    }

    /// How long a job would probably wait; `None` without a living worker, or while nothing runs
    /// and nothing is known of the rate at which jobs are done.
    #[must_use]
    pub fn estimate(&self) -> Option<Duration> {
        let PoolState { waiting, own_waiting, begun, completed, alive } = self.pool;
        if !alive {
            return None;
        }
        let running = begun.saturating_sub(completed);
        let in_pool = self.rate.time_for(waiting.saturating_add(self.taken), running)?;
        let own = self.own_rate.time_for(own_waiting.saturating_add(self.taken), 0);
        Some(own.map_or(in_pool, |own| own.max(in_pool)))
    }

    /// Whole seconds after which a job that is refused now is worth another try.
    #[must_use]
    pub fn retry_after(&self) -> u32 {
        let estimate = self.estimate().unwrap_or_default();
        let seconds = estimate.as_secs() + u64::from(estimate.subsec_nanos() > 0);
        u32::try_from(seconds).unwrap_or(u32::MAX).clamp(1, RETRY_AFTER_MAX)
    }

    fn refuse(&self, job: Job) -> Refused<Job> {
        Refused { job, retry_after: self.retry_after() }
    }
}

/// The least `queue-wait` of its own accord.
const QUEUE_WAIT_MIN: Duration = Duration::from_secs(1);
/// As many jobs may be done one after the other while one waits.
const QUEUE_WAIT_SERVICES: u32 = 4;
/// This part of a job's patience is spare: an estimate is made of the jobs that were, and a job
/// that is taken and refused late has waited for nothing. Without a spare part about half of them
/// are; the queue is still far longer with it than full workers need.
const SPARE_PART: u32 = 4;
/// Nobody is told to stay away for longer; the next estimate may be another one.
const RETRY_AFTER_MAX: u32 = 3600;
