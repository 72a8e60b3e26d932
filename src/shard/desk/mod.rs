//! The desks of a shard: one for each pool, where its connections leave requests for workers and
//! find the answers.
//!
//! A request becomes a job. It waits behind the slots, or lies in one, until a worker has answered
//! it, died in it, or missed its time; what came of it is left for the connection, which is then
//! told. Nothing here blocks, and nothing enters the kernel but to ring for a worker that sleeps.
//!
//! Once per turn: [`Desks::collect`] at its beginning, [`Desks::finish`] at its end, and
//! [`Desks::arm`] before the shard sleeps. While no connection waits for anything, each of them is
//! one comparison.

mod answer;
mod jobs;
mod lead;
mod pool;
mod spill;
mod stream;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::jobs::JobBody;
pub(crate) use self::lead::{Lead, Lent, Reply};
use self::pool::Desk;
use self::spill::Spill;
use super::ready::ConnNotify;
use crate::handler::{Handler, Job, Request, Response};
use crate::http::Time;
use crate::limits::SPILL_BYTES_MAX;
use crate::offload::admission::{QueueWait, Settings};
use crate::offload::death::Fault;
use crate::offload::message::RouteId;
use crate::offload::region::Region;
use crate::offload::word::ShardIndex;

/// A pool that a shard gives requests to.
pub struct PoolSetup {
    /// The name that routes know it by.
    pub name: String,
    /// Its memory.
    pub region: Arc<Region>,
    /// How its requests are treated.
    pub settings: PoolSettings,
}

/// How a shard treats the requests of a pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    /// Most jobs of this shard behind its slots.
    pub queue: u32,
    /// Longest wait before a worker begins a job.
    pub queue_wait: QueueWait,
    /// From the admission to the end of an answer, or to the head of a stream.
    pub timeout: Duration,
    /// Longest silence of a stream.
    pub idle: Duration,
    /// Whether a job ends when its client leaves.
    pub cancel_on_disconnect: bool,
    /// Whether a client that has sent its FIN counts as one that left.
    pub cancel_on_half_close: bool,
    /// Longest time to look for answers before the shard sleeps.
    pub spin: Duration,
}

impl PoolSettings {
    const fn admission(&self) -> Settings {
        Settings { queue_max: self.queue, queue_wait: self.queue_wait }
    }
}

/// A request for a pool.
pub(crate) struct Offer<'a> {
    /// Its handler.
    pub(crate) job: &'a Job,
    /// The place of the handler in the table.
    pub(crate) handler: usize,
    /// Its head. It is taken away if the request has to wait.
    pub(crate) request: &'a mut Request,
    /// Its body.
    pub(crate) body: JobBody,
    /// Who is told when there is an answer.
    pub(crate) notify: &'a Rc<ConnNotify>,
    pub(crate) now: Time,
}

/// All desks of a shard.
pub(crate) struct Desks {
    desks: Vec<Desk>,
    /// Which desk each handler goes to; none for those that run here.
    of_handlers: Vec<Option<usize>>,
    /// Whether some desk has anything to do or to keep.
    busy: bool,
    /// Longest time to look for answers.
    spin: Duration,
}

impl Desks {
    pub(crate) fn new(pools: Vec<PoolSetup>, seat: ShardIndex, handlers: &[Handler]) -> Self {
        let pool_of = |handler: &Handler| match handler {
            Handler::Job(job) => pools.iter().position(|pool| pool.name == job.pool),
            Handler::Early(_) | Handler::Inline(_) | Handler::Task(_) => None,
        };
        let of_handlers = handlers.iter().map(pool_of).collect();
        let spin = pools.iter().map(|pool| pool.settings.spin).max().unwrap_or_default();
        let spill = Spill::new(SPILL_BYTES_MAX);
        let desks = pools.into_iter().map(|pool| Desk::new(pool, seat, &spill)).collect();
        // What a predecessor has left in the slots is looked after, too.
        Self { desks, of_handlers, busy: true, spin }
    }

    /// Takes a request.
    ///
    /// # Errors
    /// The answer, if it is not taken.
    pub(crate) fn offer(&mut self, offer: Offer<'_>) -> Result<Lead, Response> {
        let route = u16::try_from(offer.handler).map(RouteId);
        let (Some(desk), Ok(route)) = (self.of_handlers[offer.handler], route) else {
            return Err(answer::busy(1));
        };
        self.busy = true;
        self.desks[desk].offer(offer, route)
    }

    /// Takes over what workers have done, at the beginning of a turn.
    #[inline]
    pub(crate) fn collect(&mut self, now: Time) {
        if self.busy {
            self.desks.iter_mut().for_each(|desk| desk.collect(now));
        }
    }

    /// Does what connections have left here, and wakes workers, at the end of a turn.
    #[inline]
    pub(crate) fn finish(&mut self, now: Time) {
        if self.busy {
            self.desks.iter_mut().for_each(|desk| desk.finish(now));
            self.busy = self.desks.iter().any(|desk| !desk.is_idle());
        }
    }

    /// How long it is worth looking for answers; zero while none is expected.
    pub(crate) fn spin(&self) -> Duration {
        if self.busy && self.desks.iter().any(Desk::expects) { self.spin } else { Duration::ZERO }
    }

    /// Whether a worker has something to say.
    pub(crate) fn is_work_waiting(&self) -> bool {
        self.busy && self.desks.iter().any(Desk::is_work_waiting)
    }

    /// When [`Desks::collect`] is due.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        if !self.busy {
            return None;
        }
        self.desks.iter().filter_map(Desk::poll_timeout).min()
    }

    /// Gets ready for a sleep; false when something has come up, so that nobody sleeps.
    pub(crate) fn arm(&mut self) -> bool {
        if !self.busy || self.desks.iter_mut().all(Desk::arm) {
            return true;
        }
        self.disarm();
        false
    }

    /// Awake again.
    pub(crate) fn disarm(&mut self) {
        if self.busy {
            self.desks.iter_mut().for_each(Desk::disarm);
        }
    }

    /// What the workers of each pool ring at.
    pub(crate) fn doorbells(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.desks.iter().map(Desk::doorbell)
    }

    /// Second descriptors of the doorbells that a busy desk has and nobody listens to directly yet.
    /// Each is given out once.
    pub(crate) fn take_unheard(&mut self) -> impl Iterator<Item = io::Result<OwnedFd>> {
        let busy = self.busy;
        self.desks.iter_mut().filter(move |_| busy).filter_map(Desk::take_unheard)
    }

    /// What workers of which pool have written that cannot be.
    pub(crate) fn pop_fault(&mut self) -> Option<(u16, Fault)> {
        if !self.busy {
            return None;
        }
        let pools = self.desks.iter_mut().zip(0u16..);
        pools.into_iter().find_map(|(desk, pool)| Some((pool, desk.pop_fault()?)))
    }

    /// Whether no job is out that somebody is owed, or that is to end although nobody is.
    pub(crate) fn is_done(&self) -> bool {
        !self.busy || self.desks.iter().all(Desk::is_done)
    }

    /// Nobody waits for anything any more.
    pub(crate) fn cancel_all(&mut self) {
        self.desks.iter_mut().for_each(Desk::cancel_all);
    }

    /// Leaves all pools for good.
    pub(crate) fn close(&mut self, now: Time) {
        self.desks.drain(..).for_each(|desk| desk.close(now));
    }
}
