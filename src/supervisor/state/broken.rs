//! What is done about workers that do not come back from a job, and about memory that somebody has
//! written nonsense into.
//!
//! A worker that is late with a job, or was seen to write what cannot be, is ended and replaced.
//! Where it cannot be told who wrote, the pool gets new memory: its template and its workers are
//! replaced at once, and the shards one after the other, each beside a successor that has the new
//! memory. Until then a shard goes on with what it has; nobody works there any more.

use std::time::{Duration, Instant};

use super::action::{Action, ChildId, JobNote, Report, Role};
use super::place::ChildState;
use super::{Phase, State};
use crate::sys::channel::ToChild;
use crate::sys::signal::Signal;

impl State {
    /// A worker does not come back from a job. Its time was over a while ago.
    pub fn handle_overdue(&mut self, id: ChildId, job: JobNote, now: Instant) {
        let kill_at = now + self.timings.kill;
        let Some(child) = self.child_mut(id) else { return };
        if child.can_be_asked() {
            child.state = ChildState::Ending { kill_at };
            self.report(Report::Overdue { child: id, job });
            self.signal(id, Signal::Abort);
        }
    }

    /// A shard has seen that this worker writes what cannot be.
    pub fn handle_worker_broken(&mut self, from: ChildId, id: ChildId) {
        let Some(child) = self.child_mut(id).filter(|_| from.role.is_shard()) else { return };
        if child.can_be_asked() {
            child.state = ChildState::Killed;
            self.report(Report::WorkerBroken(id));
            self.signal(id, Signal::Kill);
        }
    }

    /// A shard has seen that the memory of a pool holds what cannot be.
    pub(super) fn handle_memory_broken(&mut self, from: ChildId, pool: u16, now: Instant) {
        let Some(known) = self.pools.get(usize::from(pool)) else { return };
        // Who was started before the memory was made speaks of what it has replaced.
        let is_news = known.rebuild_at.is_none()
            && self.child_mut(from).is_some_and(|child| child.id.role.is_shard())
            && self.started_at(from) >= self.pools[usize::from(pool)].memory;
        if is_news && self.phase == Phase::Running {
            self.rebuild(pool, now);
        }
    }

    /// Tries again where it has failed.
    pub(super) fn rebuild_due(&mut self, now: Instant) {
        for pool in 0..u16::try_from(self.pools.len()).expect("pools are counted in 16 bits") {
            let at = &mut self.pools[usize::from(pool)].rebuild_at;
            if at.take_if(|at| now >= *at).is_some() && self.phase == Phase::Running {
                self.rebuild(pool, now);
            }
        }
    }

    /// Has new memory made. Nobody is replaced before it is there: where it cannot be made, those
    /// who have the old one are all there is.
    fn rebuild(&mut self, pool: u16, now: Instant) {
        self.report(Report::MemoryBroken { pool });
        self.pools[usize::from(pool)].rebuild_at = Some(now + REBUILD_PAUSE);
        self.actions.push_back(Action::Rebuild { pool });
    }

    /// New memory was made, and who starts from now on has it.
    pub fn handle_rebuilt(&mut self, pool: u16, now: Instant) {
        let Some(known) = self.pools.get_mut(usize::from(pool)) else { return };
        self.rebuilds += 1;
        known.memory = self.rebuilds;
        known.rebuild_at = None;
        if self.phase == Phase::Running {
            self.replace_users(pool, now);
        }
    }

    fn replace_users(&mut self, pool: u16, now: Instant) {
        let kill_at = now + self.timings.kill;
        let of_pool = |role: Role| role.pool() == Some(pool);
        for place in self.places.iter_mut().filter(|place| of_pool(place.role)) {
            for child in place.children_mut().filter(|child| child.can_be_asked()) {
                let id = child.id;
                if id.role.is_template() {
                    child.state = ChildState::Ending { kill_at };
                    let message = ToChild::Stop;
                    self.actions.push_back(Action::Send { child: id, message });
                } else {
                    child.state = ChildState::Killed;
                    self.actions.push_back(Action::Signal { child: id, signal: Signal::Kill });
                }
            }
        }
        self.go_on_renewing();
    }

    /// Tells the next shard to leave whose memory is not the newest, once all serve and the last
    /// one is gone.
    pub(super) fn go_on_renewing(&mut self) {
        let is_there = |id: ChildId| self.children().any(|child| child.id == id);
        let newest = self.pools.iter().map(|pool| pool.memory).max().unwrap_or(0);
        if self.phase != Phase::Running || newest == 0 || self.renewing.is_some_and(is_there) {
            return;
        }
        let shards = || self.places.iter().filter(|place| place.role.is_shard());
        if !shards().all(|place| place.serves() && place.retired.is_empty()) {
            return;
        }
        let children = shards().filter_map(|place| place.current.as_ref());
        let outdated = children.filter(|child| child.rebuilds < newest).map(|child| child.id);
        self.renewing = outdated.min();
        if let Some(id) = self.renewing {
            self.signal(id, Signal::Terminate);
        }
    }

    fn started_at(&self, id: ChildId) -> u32 {
        let child = self.children().find(|child| child.id == id);
        child.map_or(0, |child| child.rebuilds)
    }
}

/// What keeps memory from being made does not pass in a moment.
pub const REBUILD_PAUSE: Duration = Duration::from_secs(10);
