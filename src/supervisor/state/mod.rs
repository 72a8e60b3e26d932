//! The supervisor's decisions: events in, actions out. No I/O, no clock.
//!
//! A place is where one process belongs, a shard, a template or a worker; a child is one process
//! in it. A child boots, serves, drains and is gone; each of these has a deadline, or a watch, and
//! what is too late is ended in two steps: ABRT, then KILL. `starts` says who may start when. The
//! whole goes through phases: running, settling (new clients are dropped, those on their way in
//! arrive), draining (in the order of `stop`), ending, left.
//!
//! | child \ event | `Started` | `Ready` | `Retiring` | `AcceptClosed` | exit | deadline |
//! |---|---|---|---|---|---|---|
//! | ordered | booting | - | - | - | back-off, or give up | KILL; its template ABRT |
//! | booting | - | serving | retiring, successor | - | back-off, or give up | ABRT |
//! | serving | - | - | retiring, successor | - | replaced at once | stall: ABRT |
//! | retiring | - | - | - | - | gone | ABRT |
//! | draining | - | - | - | listeners closed | gone; replaced if somebody needs it | ABRT |
//! | ending | - | - | - | - | as before it ended | KILL |
//!
//! Only a worker is ordered; a shard and a template boot at once. Only a shard retires, closes
//! listeners and can stall.

mod action;
mod broken;
mod place;
mod starts;
mod stop;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use self::action::{Action, ChildId, JobNote, Plan, PoolPlan, Report, Role, Timings};
pub use self::broken::REBUILD_PAUSE;
use self::place::{Child, ChildState, Listeners, Place};
use self::starts::Pool;
use super::restart::RestartLimits;
use crate::exit::Exit;
use crate::sys::channel::{FromChild, ToChild};
use crate::sys::process::Ended;
use crate::sys::signal::Signal;

/// All state.
#[derive(Debug)]
pub struct State {
    phase: Phase,
    /// Shards, then for each pool its template and its workers: the order in which they start.
    places: Vec<Place>,
    pools: Vec<Pool>,
    timings: Timings,
    /// Most processes of shards at a time.
    seats: usize,
    /// How often memory of pools was made again.
    rebuilds: u32,
    /// The shard that was told to make room for one with newer memory, until it is gone.
    renewing: Option<ChildId>,
    /// True once the pools were told that all stop.
    pools_stopped: bool,
    /// True once all shards have served: from then on none of them is given up.
    shards_served: bool,
    /// True once everybody was told that all is ready.
    announced: bool,
    actions: VecDeque<Action>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Serving.
    Running,
    /// New clients are dropped; those on their way in arrive.
    Settling { until: Instant, grace: Duration, urgency: Urgency },
    /// The shards finish what they have.
    Draining { grace_at: Instant, urgency: Urgency },
    /// Everybody was told to leave at once, or is being ended.
    Ending { exit: Exit },
    /// Nobody is there any more.
    Left,
}

/// How far a person has pressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Urgency {
    Asked,
    Interrupted,
}

impl State {
    /// Starts what is planned.
    #[must_use]
    pub fn new(plan: Plan, now: Instant) -> Self {
        let mut state = Self {
            phase: Phase::Running,
            places: places(&plan, now),
            pools: plan.pools.into_iter().map(Pool::new).collect(),
            timings: plan.timings,
            seats: plan.seats,
            rebuilds: 0,
            renewing: None,
            pools_stopped: false,
            shards_served: false,
            announced: false,
            actions: VecDeque::new(),
        };
        state.start_due(now);
        state
    }

    /// The next thing to do; call until `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call `handle_timeout`; calling it early is safe.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Settling { until, .. } => Some(until),
            Phase::Draining { grace_at, .. } => Some(grace_at + self.timings.force),
            Phase::Running | Phase::Ending { .. } | Phase::Left => None,
        };
        let starts = self.places.iter().filter_map(|place| self.start_time(place));
        let children = self.children().filter_map(Child::deadline);
        let rebuilds = self.pools.iter().filter_map(|pool| pool.rebuild_at);
        starts.chain(children).chain(phase).chain(rebuilds).min()
    }

    /// True while a shard serves: its turns want to be looked at.
    #[must_use]
    pub fn is_watching(&self) -> bool {
        let serves = |child: &Child| matches!(child.state, ChildState::Serving { .. });
        self.children().any(|child| child.id.role.is_shard() && serves(child))
    }

    /// A signal came.
    pub fn handle_signal(&mut self, signal: Signal, now: Instant) {
        match signal {
            Signal::Terminate => self.ask_to_stop(now),
            Signal::Interrupt => self.interrupt(now),
            Signal::Quit => self.quit(now),
            Signal::Hangup
            | Signal::TtyIn
            | Signal::TtyOut
            | Signal::User1
            | Signal::User2
            | Signal::Window => self.report(Report::NotSupported(signal)),
            Signal::Abort | Signal::Alarm | Signal::Child | Signal::Kill => {}
        }
    }

    /// A process could not be started.
    pub fn handle_spawn_failed(&mut self, id: ChildId, now: Instant) {
        self.handle_exit(id, Ended::Code(Exit::CrashLoop.code()), now);
    }

    /// A child is dead and reaped.
    pub fn handle_exit(&mut self, id: ChildId, ended: Ended, now: Instant) {
        let Some(place) = self.place_mut(id.role) else { return };
        if let Some(index) = place.retired.iter().position(|child| child.id == id) {
            place.retired.remove(index);
            self.actions.push_back(Action::Bury(id));
            self.report(Report::Gone { child: id, ended });
        } else if let Some(child) = place.current.take_if(|child| child.id == id) {
            if !id.role.is_template() {
                self.actions.push_back(Action::Bury(id));
            }
            self.handle_loss(&child, ended, now);
        }
        // It may have been its seat that a shard was waiting for.
        self.start_due(now);
        self.go_on_renewing();
        self.go_on_draining(now);
        self.leave_if_alone();
    }

    /// A child said something.
    pub fn handle_message(&mut self, id: ChildId, message: FromChild, now: Instant) {
        match message {
            FromChild::AcceptClosed => self.handle_accept_closed(id),
            FromChild::Failed { text, .. } => self.report(Report::Failed { child: id, text }),
            FromChild::MemoryBroken { pool } => self.handle_memory_broken(id, pool, now),
            FromChild::Ready => self.handle_ready(id, now),
            FromChild::Retiring => self.handle_retiring(id, now),
            FromChild::Started { .. } => self.handle_started(id),
            // Who that is, whoever holds the memory knows: `handle_worker_broken`.
            FromChild::WorkerBroken { .. } => {}
        }
    }

    /// A look at a child's page: `turn` is odd while a turn runs.
    pub fn handle_turn(&mut self, id: ChildId, turn: u64, now: Instant) {
        let (stall, kill) = (self.timings.stall, self.timings.kill);
        let Some(child) = self.child_mut(id) else { return };
        let ChildState::Serving { turn: seen, since } = child.state else { return };
        let since = match since {
            _ if turn.is_multiple_of(2) => None,
            Some(since) if turn == seen => Some(since),
            _ => Some(now),
        };
        child.state = ChildState::Serving { turn, since };
        if since.is_some_and(|since| now - since >= stall) {
            child.state = ChildState::Ending { kill_at: now + kill };
            self.report(Report::Stalled(id));
            self.signal(id, Signal::Abort);
        }
    }

    /// How many shards serve; and for each pool, how many of its workers do and how many shall.
    #[must_use]
    pub fn serving(&self) -> (usize, Vec<(usize, usize)>) {
        let serve = |chosen: &dyn Fn(Role) -> bool| {
            self.places.iter().filter(|place| chosen(place.role) && place.serves()).count()
        };
        let pools = (0..).zip(&self.pools).map(|(index, pool)| {
            let ready = serve(&|role| matches!(role, Role::Worker { pool, .. } if pool == index));
            (ready, usize::from(pool.plan.workers))
        });
        (serve(&Role::is_shard), pools.collect())
    }

    /// Whether a shard is still in a turn in which it was at that time.
    #[must_use]
    pub fn is_a_shard_stuck_since(&self, then: Instant) -> bool {
        let mut shards = self.children().filter(|child| child.id.role.is_shard());
        shards.any(|child| match child.state {
            ChildState::Serving { since: Some(since), .. } => since <= then,
            _ => false,
        })
    }

    /// The supervisor itself stood still for so long: nobody else was late.
    pub fn handle_suspension(&mut self, gap: Duration) {
        match &mut self.phase {
            Phase::Settling { until, .. } => *until += gap,
            Phase::Draining { grace_at, .. } => *grace_at += gap,
            Phase::Running | Phase::Ending { .. } | Phase::Left => {}
        }
        for place in &mut self.places {
            if let Some(start_at) = &mut place.start_at {
                *start_at += gap;
            }
            for child in place.children_mut() {
                child.shift(gap);
            }
        }
        for pool in &mut self.pools {
            pool.shift(gap);
        }
        self.report(Report::Suspended(gap));
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Settling { until, grace, urgency } if now >= until => {
                self.begin_draining(now + grace, urgency, now);
            }
            Phase::Draining { grace_at, .. } if now >= grace_at + self.timings.force => {
                self.force_end(now);
            }
            _ => {}
        }
        self.rebuild_due(now);
        self.start_due(now);
        let late: Vec<ChildId> = self
            .children()
            .filter(|child| child.deadline().is_some_and(|deadline| now >= deadline))
            .map(|child| child.id)
            .collect();
        for id in late {
            self.handle_deadline(id, now);
        }
    }

    fn handle_retiring(&mut self, id: ChildId, now: Instant) {
        if matches!(self.phase, Phase::Ending { .. } | Phase::Left) || !id.role.is_shard() {
            return;
        }
        let until = now + self.timings.grace + self.timings.force;
        let Some(place) = self.place_mut(id.role) else { return };
        let Some(mut child) = place.current.take_if(|child| child.id == id) else { return };
        child.state = ChildState::Retiring { until };
        // While all stop, a successor is needed only for a queue that nobody has emptied. A
        // service manager that signals every process at once makes that the common case.
        if place.listeners == Listeners::Open {
            place.start_at = Some(place.restarts.handle_death(child.was_ready, now).at);
        }
        place.retired.push(child);
        self.report(Report::Retiring(id));
        self.handle_timeout(now);
    }

    fn handle_accept_closed(&mut self, id: ChildId) {
        let stopping = matches!(self.phase, Phase::Draining { .. });
        let Some(place) = self.place_mut(id.role) else { return };
        let is_current = place.current.as_ref().is_some_and(|child| child.id == id);
        if let Role::Shard(shard) = id.role
            && stopping
            && is_current
            && place.listeners == Listeners::Open
        {
            place.listeners = Listeners::Emptied;
            self.actions.push_back(Action::CloseListeners { shard });
        }
    }

    /// The process of a place is gone: the place may need another one.
    fn handle_loss(&mut self, child: &Child, ended: Ended, now: Instant) {
        let place = self.places.iter().find(|place| place.role == child.id.role);
        let needed = place.is_some_and(|place| self.is_needed_in_a_stop(place));
        match self.phase {
            Phase::Running => self.fill_again(child, ended, now),
            _ if needed => self.fill_in_a_stop(child, ended, now),
            _ => self.report(Report::Gone { child: child.id, ended }),
        }
    }

    fn fill_again(&mut self, child: &Child, ended: Ended, now: Instant) {
        if let Some(exit) = self.final_exit(child, ended) {
            self.report(Report::Died { child: child.id, ended, restart_in: None });
            return self.end(exit, now);
        }
        let may_give_up = !self.has_been_ready(child.id.role);
        let Some(place) = self.place_mut(child.id.role) else { return };
        let restart = place.restarts.handle_death(child.was_ready, now);
        if restart.hopeless && may_give_up {
            self.report(Report::Died { child: child.id, ended, restart_in: None });
            self.report(Report::GivingUp(child.id));
            let is_shard = child.id.role.is_shard();
            return self.end(if is_shard { Exit::CrashLoop } else { Exit::NoWorker }, now);
        }
        place.start_at = Some(restart.at);
        let restart_in = Some(restart.at.saturating_duration_since(now));
        self.report(Report::Died { child: child.id, ended, restart_in });
        self.handle_timeout(now);
    }

    /// A stop is under way, but somebody still needs what this one did, so a successor does it if
    /// there is time.
    fn fill_in_a_stop(&mut self, child: &Child, ended: Ended, now: Instant) {
        let grace_at = self.end_of_grace().unwrap_or(now);
        let Some(place) = self.place_mut(child.id.role) else { return };
        let restart = place.restarts.handle_death(child.was_ready, now);
        // A place that never served has nobody who saw it work.
        let worth_it = child.was_ready && restart.at < grace_at;
        place.start_at = worth_it.then_some(restart.at);
        let restart_in = place.start_at.map(|at| at.saturating_duration_since(now));
        self.report(Report::Died { child: child.id, ended, restart_in });
        self.handle_timeout(now);
    }

    /// An exit that says that trying again cannot help, before anything has worked.
    fn final_exit(&self, child: &Child, ended: Ended) -> Option<Exit> {
        let Ended::Code(code) = ended else { return None };
        let exit = Exit::from_code(code).filter(|exit| exit.is_final());
        exit.filter(|_| !child.was_ready && !self.has_been_ready(child.id.role))
    }

    /// Whether the shards, or the pool of this role, have ever served: from then on they are not
    /// given up.
    fn has_been_ready(&self, role: Role) -> bool {
        match role.pool() {
            None => self.shards_served,
            Some(pool) => self.pools[usize::from(pool)].was_ready,
        }
    }

    fn handle_deadline(&mut self, id: ChildId, now: Instant) {
        let kill_at = now + self.timings.kill;
        let Some(child) = self.child_mut(id) else { return };
        match child.state {
            ChildState::Ordered { .. } => {
                child.state = ChildState::Killed;
                self.note_hang(id);
                self.end_stuck_template(id, kill_at);
                self.signal(id, Signal::Kill);
            }
            ChildState::Booting { .. } => {
                child.state = ChildState::Ending { kill_at };
                self.note_hang(id);
                self.signal(id, Signal::Abort);
            }
            ChildState::Retiring { .. } => {
                child.state = ChildState::Ending { kill_at };
                self.report(Report::ForceEnded(id));
                self.signal(id, Signal::Abort);
            }
            ChildState::Ending { .. } => {
                child.state = ChildState::Killed;
                self.signal(id, Signal::Kill);
            }
            ChildState::Serving { .. } | ChildState::Draining | ChildState::Killed => {}
        }
    }

    fn note_hang(&mut self, id: ChildId) {
        self.report(Report::BootTimeout(id));
        if let Some(place) = self.place_mut(id.role) {
            let boot = place.boot;
            place.restarts.handle_hang(boot);
        }
    }

    /// A template that has not forked a worker for as long as that may take to boot never will.
    fn end_stuck_template(&mut self, worker: ChildId, kill_at: Instant) {
        let template = worker.role.pool().and_then(|pool| self.template(pool));
        let Some(child) = template.and_then(|id| self.child_mut(id)) else { return };
        child.state = ChildState::Ending { kill_at };
        let id = child.id;
        self.report(Report::TemplateStuck(id));
        self.signal(id, Signal::Abort);
    }

    fn report(&mut self, report: Report) {
        self.actions.push_back(Action::Report(report));
    }

    fn signal(&mut self, child: ChildId, signal: Signal) {
        self.actions.push_back(Action::Signal { child, signal });
    }

    fn children(&self) -> impl Iterator<Item = &Child> {
        self.places.iter().flat_map(|place| place.current.iter().chain(&place.retired))
    }

    fn child_mut(&mut self, id: ChildId) -> Option<&mut Child> {
        self.place_mut(id.role)?.children_mut().find(|child| child.id == id)
    }

    fn place_mut(&mut self, role: Role) -> Option<&mut Place> {
        self.places.iter_mut().find(|place| place.role == role)
    }
}

/// Every place of a plan, in the order of their starts.
fn places(plan: &Plan, now: Instant) -> Vec<Place> {
    let limits = RestartLimits::OF_SHARDS;
    let shards = (0..plan.shards)
        .map(|shard| Place::new(Role::Shard(shard), plan.timings.boot, limits, now));
    let of_pools = (0..).zip(&plan.pools).flat_map(|(pool, plan)| {
        let workers = (0..plan.workers).map(move |index| Role::Worker { pool, index });
        let roles = [Role::Template { pool }].into_iter().chain(workers);
        roles.map(|role| Place::new(role, plan.boot, plan.restarts, now))
    });
    shards.chain(of_pools).collect()
}

fn drain(child: ChildId, grace_at: Instant, now: Instant) -> Action {
    let grace = grace_at.saturating_duration_since(now);
    Action::Send { child, message: ToChild::Drain { grace } }
}
