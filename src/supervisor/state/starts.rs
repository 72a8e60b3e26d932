//! Who may start, and when: shards at once, templates once all shards have served, workers once
//! their template has loaded, some at a time and one after the other; but who takes the place of a
//! worker that had been ready starts at once.

use std::time::{Duration, Instant};

use super::action::{Action, ChildId, PoolPlan, Report, Role};
use super::place::{ChildState, Place};
use super::{Phase, State, drain};

/// One pool.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) plan: PoolPlan,
    /// True once one of its workers was ready: from then on it is not given up.
    pub(super) was_ready: bool,
    /// No worker starts before this.
    next_start: Option<Instant>,
    /// The count of `State::rebuilds` at which its memory was made.
    pub(super) memory: u32,
    /// When to try again to make its memory anew, unless that succeeds before.
    pub(super) rebuild_at: Option<Instant>,
}

impl Pool {
    pub(super) fn new(plan: PoolPlan) -> Self {
        Self { plan, was_ready: false, next_start: None, memory: 0, rebuild_at: None }
    }

    pub(super) fn shift(&mut self, gap: Duration) {
        for at in [&mut self.next_start, &mut self.rebuild_at].into_iter().flatten() {
            *at += gap;
        }
    }
}

impl State {
    /// When a place may be filled; `None` while nobody wants it filled, or while something else
    /// has to happen first.
    pub(super) fn start_time(&self, place: &Place) -> Option<Instant> {
        let start_at = place.start_at?;
        match place.role {
            Role::Shard(_) => (self.shard_processes() < self.seats).then_some(start_at),
            Role::Template { .. } => self.shards_served.then_some(start_at),
            Role::Worker { pool, .. } => {
                self.template(pool)?;
                // Starts are spread so that loading does not take everything from those who serve;
                // whoever has served is missed there.
                if place.is_missed() {
                    return Some(start_at);
                }
                let known = &self.pools[usize::from(pool)];
                let booting = self.workers(pool).filter(|worker| worker.boots()).count();
                let room = booting < known.plan.parallel;
                room.then(|| known.next_start.map_or(start_at, |next| next.max(start_at)))
            }
        }
    }

    /// Starts everybody who is due and held up by nothing.
    pub(super) fn start_due(&mut self, now: Instant) {
        for index in 0..self.places.len() {
            if self.start_time(&self.places[index]).is_some_and(|at| now >= at) {
                self.start(index, now);
            }
        }
    }

    fn start(&mut self, index: usize, now: Instant) {
        let place = &mut self.places[index];
        let is_missed = place.is_missed();
        let id = place.next_child(self.rebuilds, now);
        match id.role {
            Role::Shard(_) | Role::Template { .. } => self.actions.push_back(Action::Spawn(id)),
            Role::Worker { pool, .. } => {
                let template = self.template(pool).expect("without one, no worker is due");
                self.actions.push_back(Action::Order { worker: id, template });
                let pool = &mut self.pools[usize::from(pool)];
                if !is_missed {
                    pool.next_start = Some(now + pool.plan.stagger);
                }
            }
        }
        // A shard that is only there to empty a queue drains from the beginning. Workers drain
        // when the shards are gone.
        if let Phase::Draining { grace_at, .. } = self.phase
            && id.role.is_shard()
            && let Some(child) = &mut self.places[index].current
        {
            child.state = ChildState::Draining;
            self.actions.push_back(drain(id, grace_at, now));
        }
    }

    /// A worker that was ordered has shown up.
    pub(super) fn handle_started(&mut self, id: ChildId) {
        if let Some(child) = self.child_mut(id)
            && let ChildState::Ordered { until } = child.state
        {
            child.state = ChildState::Booting { until };
        }
    }

    pub(super) fn handle_ready(&mut self, id: ChildId, now: Instant) {
        // Code of the application in a worker can say it as often as it likes.
        let Some(child) = self.child_mut(id).filter(|child| !child.was_ready) else { return };
        child.was_ready = true;
        if matches!(child.state, ChildState::Ordered { .. } | ChildState::Booting { .. }) {
            child.state = ChildState::Serving { turn: 0, since: None };
        }
        if let Some(place) = self.place_mut(id.role) {
            place.restarts.handle_ready();
        }
        if let Role::Worker { pool, .. } = id.role {
            self.pools[usize::from(pool)].was_ready = true;
        }
        self.report(Report::Ready(id));
        if self.phase == Phase::Running {
            self.note_progress();
            self.start_due(now);
            self.go_on_renewing();
        }
    }

    /// How far the start has come.
    fn note_progress(&mut self) {
        let serve = |place: &Place| place.serves();
        let shards_serve = self.places.iter().filter(|place| place.role.is_shard()).all(serve);
        self.shards_served |= shards_serve;
        let mut pools = 0..u16::try_from(self.pools.len()).expect("pools are counted in 16 bits");
        let all_serve = shards_serve && pools.all(|pool| self.workers(pool).any(serve));
        if all_serve && !self.announced {
            self.announced = true;
            self.actions.push_back(Action::AnnounceReady);
        }
    }

    /// The template that can fork for a pool now.
    pub(super) fn template(&self, pool: u16) -> Option<ChildId> {
        let role = Role::Template { pool };
        let place = self.places.iter().find(|place| place.role == role)?;
        place.current.as_ref().filter(|_| place.serves()).map(|child| child.id)
    }

    fn shard_processes(&self) -> usize {
        self.children().filter(|child| child.id.role.is_shard()).count()
    }

    fn workers(&self, pool: u16) -> impl Iterator<Item = &Place> {
        self.places
            .iter()
            .filter(move |place| place.role.is_worker() && place.role.pool() == Some(pool))
    }
}
