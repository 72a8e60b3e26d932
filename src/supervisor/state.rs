//! The supervisor's decisions: events in, actions out. No I/O, no clock.
//!
//! A place is where one shard belongs; a child is one process in it. A child boots, serves,
//! drains and is gone; each of these has a deadline, or a watch, and what is too late is ended
//! in two steps: ABRT, then KILL. The whole goes through phases: running, settling (new clients
//! are dropped, those on their way in arrive), draining, ending, left.
//!
//! | child \ event | `Ready` | `Retiring` | `AcceptClosed` | exit | deadline |
//! |---|---|---|---|---|---|
//! | booting | serving | retiring, successor | - | back-off, or give up | ABRT |
//! | serving | - | retiring, successor | - | replaced at once | stall: ABRT |
//! | retiring | - | - | - | gone | ABRT |
//! | draining | - | - | listeners closed | gone; replaced if its queue was not emptied | ABRT |
//! | ending | - | - | - | as before it ended | KILL |

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use super::restart::RestartPolicy;
use crate::exit::Exit;
use crate::sys::channel::{FromChild, ToChild};
use crate::sys::process::Ended;
use crate::sys::signal::Signal;

/// One process, told apart from its predecessors.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ChildId {
    /// The shard whose place it fills.
    pub shard: u16,
    /// Which process of that place, from 1.
    pub incarnation: u32,
}

impl fmt::Display for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard/{}", self.shard)
    }
}

/// Every span of time that decides something.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Longest boot.
    pub boot: Duration,
    /// From the filter to the drain: clients on their way in arrive.
    pub settle: Duration,
    /// Time to finish what was accepted.
    pub grace: Duration,
    /// The same after an interrupt.
    pub interrupt_grace: Duration,
    /// From the end of grace to ABRT.
    pub force: Duration,
    /// From ABRT to KILL, and from Stop to KILL.
    pub kill: Duration,
    /// Longest turn.
    pub stall: Duration,
}

/// What the loop shall do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// All shards are ready for the first time.
    AnnounceReady,
    /// Close the supervisor's copies of this shard's listeners.
    CloseListeners {
        /// The shard.
        shard: u16,
    },
    /// Drop new clients on all listeners.
    FilterListeners,
    /// Everybody is gone: end with this.
    Leave(Exit),
    /// Tell people.
    Report(Report),
    /// Send a message to a child.
    Send {
        /// To whom.
        child: ChildId,
        /// What.
        message: ToChild,
    },
    /// Send a signal to a child.
    Signal {
        /// To whom.
        child: ChildId,
        /// ABRT or KILL.
        signal: Signal,
    },
    /// Start a process.
    Spawn(ChildId),
}

/// What people are told, one line each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Report {
    /// A child did not become ready in time.
    BootTimeout(ChildId),
    /// A stop does not wait any longer for what these many shards still do.
    CutOff {
        /// How many.
        shards: usize,
    },
    /// A child died though nobody had asked it to leave.
    Died {
        /// Which.
        child: ChildId,
        /// How.
        ended: Ended,
        /// How long until its place is filled again; `None` if it is not.
        restart_in: Option<Duration>,
    },
    /// What is still there is ended now.
    ForceEnded(ChildId),
    /// A child that had been asked to leave has left.
    Gone {
        /// Which.
        child: ChildId,
        /// How.
        ended: Ended,
    },
    /// A child said why it cannot go on.
    Failed {
        /// Which.
        child: ChildId,
        /// Why.
        text: String,
    },
    /// This place does not become ready: the start is given up.
    GivingUp(ChildId),
    /// A signal that a later version obeys.
    NotSupported(Signal),
    /// A child serves.
    Ready(ChildId),
    /// A child was told by a signal to leave.
    Retiring(ChildId),
    /// A turn lasted too long.
    Stalled(ChildId),
    /// A stop began, or was made faster.
    Stopping {
        /// By which signal.
        signal: Signal,
        /// How long what runs may take.
        grace: Duration,
    },
    /// The supervisor itself stood still.
    Suspended(Duration),
}

/// All state.
#[derive(Debug)]
pub struct State {
    phase: Phase,
    places: Vec<Place>,
    timings: Timings,
    /// True once all have been ready: from then on nothing is given up.
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

/// Where one shard belongs.
#[derive(Debug)]
struct Place {
    shard: u16,
    /// The process that serves, or will.
    current: Option<Child>,
    /// Processes that finish what they had while a successor serves.
    retired: Vec<Child>,
    /// The number of the last process.
    incarnation: u32,
    restarts: RestartPolicy,
    /// When to start the next process.
    start_at: Option<Instant>,
    listeners: Listeners,
}

/// What is known of a shard's accept queues.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Listeners {
    /// They may hold clients.
    Open,
    /// A child has emptied them for good.
    Emptied,
}

#[derive(Clone, Debug)]
struct Child {
    id: ChildId,
    was_ready: bool,
    state: ChildState,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ChildState {
    /// Not ready yet.
    Booting { until: Instant },
    /// Serving; the turn that was last seen, and since when.
    Serving { turn: u64, since: Option<Instant> },
    /// Finishing beside its successor.
    Retiring { until: Instant },
    /// Finishing because all stop.
    Draining,
    /// Told to end; KILL comes then.
    Ending { kill_at: Instant },
    /// KILL was sent; nothing is left to do but to reap it.
    Killed,
}

impl State {
    /// Plans the start of so many shards.
    #[must_use]
    pub fn new(shards: u16, timings: Timings, now: Instant) -> Self {
        let mut state = Self {
            phase: Phase::Running,
            places: (0..shards).map(Place::new).collect(),
            timings,
            announced: false,
            actions: VecDeque::new(),
        };
        for index in 0..state.places.len() {
            state.spawn(index, now);
        }
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
        let starts = self.places.iter().filter_map(|place| place.start_at);
        let children = self.children().filter_map(Child::deadline);
        starts.chain(children).chain(phase).min()
    }

    /// True while a child serves: its turns want to be looked at.
    #[must_use]
    pub fn is_watching(&self) -> bool {
        self.children().any(|child| matches!(child.state, ChildState::Serving { .. }))
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
        let Some(place) = self.places.get_mut(usize::from(id.shard)) else { return };
        if let Some(index) = place.retired.iter().position(|child| child.id == id) {
            place.retired.remove(index);
            self.report(Report::Gone { child: id, ended });
        } else if let Some(child) = place.current.take_if(|child| child.id == id) {
            self.handle_loss(&child, ended, now);
        }
        self.leave_if_alone();
    }

    /// A child said something.
    pub fn handle_message(&mut self, id: ChildId, message: FromChild, now: Instant) {
        match message {
            FromChild::AcceptClosed => self.handle_accept_closed(id),
            FromChild::Failed { text, .. } => self.report(Report::Failed { child: id, text }),
            FromChild::Ready => self.handle_ready(id),
            FromChild::Retiring => self.handle_retiring(id, now),
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
            for child in place.current.iter_mut().chain(&mut place.retired) {
                child.shift(gap);
            }
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
        for index in 0..self.places.len() {
            if self.places[index].start_at.is_some_and(|start_at| now >= start_at) {
                self.spawn(index, now);
            }
        }
        let late: Vec<ChildId> = self
            .children()
            .filter(|child| child.deadline().is_some_and(|deadline| now >= deadline))
            .map(|child| child.id)
            .collect();
        for id in late {
            self.handle_deadline(id, now);
        }
    }

    fn handle_ready(&mut self, id: ChildId) {
        let Some(child) = self.child_mut(id) else { return };
        child.was_ready = true;
        if matches!(child.state, ChildState::Booting { .. }) {
            child.state = ChildState::Serving { turn: 0, since: None };
        }
        self.places[usize::from(id.shard)].restarts.handle_ready();
        self.report(Report::Ready(id));
        if !self.announced && self.phase == Phase::Running && self.places.iter().all(Place::serves)
        {
            self.announced = true;
            self.actions.push_back(Action::AnnounceReady);
        }
    }

    fn handle_retiring(&mut self, id: ChildId, now: Instant) {
        if matches!(self.phase, Phase::Ending { .. } | Phase::Left) {
            return;
        }
        let until = now + self.timings.grace + self.timings.force;
        let place = &mut self.places[usize::from(id.shard)];
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
        let place = &mut self.places[usize::from(id.shard)];
        let is_current = place.current.as_ref().is_some_and(|child| child.id == id);
        if stopping && is_current && place.listeners == Listeners::Open {
            place.listeners = Listeners::Emptied;
            self.actions.push_back(Action::CloseListeners { shard: id.shard });
        }
    }

    /// The process of a place is gone: the place may need another one.
    fn handle_loss(&mut self, child: &Child, ended: Ended, now: Instant) {
        let place = &mut self.places[usize::from(child.id.shard)];
        match self.phase {
            Phase::Running => self.fill_again(child, ended, now),
            Phase::Settling { .. } | Phase::Draining { .. }
                if place.listeners == Listeners::Open =>
            {
                self.fill_for_queue(child, ended, now);
            }
            _ => self.report(Report::Gone { child: child.id, ended }),
        }
    }

    fn fill_again(&mut self, child: &Child, ended: Ended, now: Instant) {
        if let Some(exit) = self.final_exit(child, ended) {
            self.report(Report::Died { child: child.id, ended, restart_in: None });
            return self.end(exit, now);
        }
        let place = &mut self.places[usize::from(child.id.shard)];
        let restart = place.restarts.handle_death(child.was_ready, now);
        if restart.hopeless && !self.announced {
            self.report(Report::Died { child: child.id, ended, restart_in: None });
            self.report(Report::GivingUp(child.id));
            return self.end(Exit::CrashLoop, now);
        }
        place.start_at = Some(restart.at);
        let restart_in = Some(restart.at.saturating_duration_since(now));
        self.report(Report::Died { child: child.id, ended, restart_in });
        self.handle_timeout(now);
    }

    /// A stop is under way, but nobody has emptied this accept queue: clients in it were promised
    /// an answer, so a successor takes them if there is time.
    fn fill_for_queue(&mut self, child: &Child, ended: Ended, now: Instant) {
        let grace_at = match self.phase {
            Phase::Draining { grace_at, .. } => grace_at,
            Phase::Settling { until, grace, .. } => until + grace,
            Phase::Running | Phase::Ending { .. } | Phase::Left => now,
        };
        let place = &mut self.places[usize::from(child.id.shard)];
        let restart = place.restarts.handle_death(child.was_ready, now);
        // A place that never served has no clients who saw it work.
        let worth_it = child.was_ready && restart.at < grace_at;
        place.start_at = worth_it.then_some(restart.at);
        let restart_in = place.start_at.map(|at| at.saturating_duration_since(now));
        self.report(Report::Died { child: child.id, ended, restart_in });
        self.handle_timeout(now);
    }

    /// An exit that says that trying again cannot help, before all have worked.
    fn final_exit(&self, child: &Child, ended: Ended) -> Option<Exit> {
        let Ended::Code(code) = ended else { return None };
        let exit = Exit::from_code(code).filter(|exit| exit.is_final());
        exit.filter(|_| !child.was_ready && !self.announced)
    }

    fn handle_deadline(&mut self, id: ChildId, now: Instant) {
        let kill_at = now + self.timings.kill;
        let Some(child) = self.child_mut(id) else { return };
        match child.state {
            ChildState::Booting { .. } => {
                child.state = ChildState::Ending { kill_at };
                self.report(Report::BootTimeout(id));
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

    fn ask_to_stop(&mut self, now: Instant) {
        if self.phase == Phase::Running {
            self.begin_settling(Signal::Terminate, self.timings.grace, Urgency::Asked, now);
        }
    }

    fn interrupt(&mut self, now: Instant) {
        let short = self.timings.grace.min(self.timings.interrupt_grace);
        match &mut self.phase {
            Phase::Running => {
                self.begin_settling(Signal::Interrupt, short, Urgency::Interrupted, now);
            }
            Phase::Settling { urgency: Urgency::Interrupted, .. }
            | Phase::Draining { urgency: Urgency::Interrupted, .. } => {
                self.phase = Phase::Ending { exit: Exit::Interrupted };
                self.kill_all();
            }
            Phase::Settling { grace, urgency, .. } => {
                *grace = short.min(*grace);
                *urgency = Urgency::Interrupted;
                self.report(Report::Stopping { signal: Signal::Interrupt, grace: short });
            }
            Phase::Draining { grace_at, .. } => {
                let grace_at = (*grace_at).min(now + short);
                self.report(Report::Stopping { signal: Signal::Interrupt, grace: short });
                self.begin_draining(grace_at, Urgency::Interrupted, now);
            }
            Phase::Ending { .. } => self.kill_all(),
            Phase::Left => {}
        }
    }

    fn quit(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Ending { .. } | Phase::Left) {
            self.report(Report::Stopping { signal: Signal::Quit, grace: Duration::ZERO });
            self.end(Exit::Clean, now);
        }
    }

    fn begin_settling(&mut self, signal: Signal, grace: Duration, urgency: Urgency, now: Instant) {
        self.report(Report::Stopping { signal, grace });
        self.actions.push_back(Action::FilterListeners);
        self.phase = Phase::Settling { until: now + self.timings.settle, grace, urgency };
        for place in &mut self.places {
            // Where one try after the other fails, nobody will serve the queue.
            place.start_at.take_if(|_| place.restarts.is_failing());
        }
        self.leave_if_alone();
    }

    /// Asks everybody to finish. Also when the time is cut: the second message counts.
    fn begin_draining(&mut self, grace_at: Instant, urgency: Urgency, now: Instant) {
        self.phase = Phase::Draining { grace_at, urgency };
        for place in &mut self.places {
            for child in place.current.iter_mut().chain(&mut place.retired) {
                if child.can_be_asked() {
                    child.state = ChildState::Draining;
                    self.actions.push_back(drain(child.id, grace_at, now));
                }
            }
        }
        self.leave_if_alone();
    }

    /// The time is over: what is still there is ended.
    fn force_end(&mut self, now: Instant) {
        self.phase = Phase::Ending { exit: Exit::Clean };
        let kill_at = now + self.timings.kill;
        let mut ended = Vec::new();
        for place in &mut self.places {
            place.start_at = None;
            for child in place.current.iter_mut().chain(&mut place.retired) {
                if child.can_be_asked() {
                    child.state = ChildState::Ending { kill_at };
                    ended.push(child.id);
                }
            }
        }
        // The stop stays a clean one for whoever waits for the exit code: none of the others says
        // what happened, and a service manager would take one for a failure.
        if !ended.is_empty() {
            self.report(Report::CutOff { shards: ended.len() });
        }
        for id in ended {
            self.report(Report::ForceEnded(id));
            self.signal(id, Signal::Abort);
        }
        self.leave_if_alone();
    }

    /// Tells everybody to leave at once.
    fn end(&mut self, exit: Exit, now: Instant) {
        self.phase = Phase::Ending { exit };
        let kill_at = now + self.timings.kill;
        for place in &mut self.places {
            place.start_at = None;
            for child in place.current.iter_mut().chain(&mut place.retired) {
                if child.can_be_asked() {
                    child.state = ChildState::Ending { kill_at };
                    let message = ToChild::Stop;
                    self.actions.push_back(Action::Send { child: child.id, message });
                }
            }
        }
        self.leave_if_alone();
    }

    fn kill_all(&mut self) {
        for place in &mut self.places {
            place.start_at = None;
            for child in place.current.iter_mut().chain(&mut place.retired) {
                child.state = ChildState::Killed;
                let signal = Signal::Kill;
                self.actions.push_back(Action::Signal { child: child.id, signal });
            }
        }
        self.leave_if_alone();
    }

    fn leave_if_alone(&mut self) {
        let exit = match self.phase {
            Phase::Settling { .. } | Phase::Draining { .. } => Exit::Clean,
            Phase::Ending { exit } => exit,
            Phase::Running | Phase::Left => return,
        };
        if self.places.iter().all(Place::is_empty) {
            self.phase = Phase::Left;
            self.actions.push_back(Action::Leave(exit));
        }
    }

    fn spawn(&mut self, index: usize, now: Instant) {
        let place = &mut self.places[index];
        place.start_at = None;
        place.incarnation += 1;
        let id = ChildId { shard: place.shard, incarnation: place.incarnation };
        let mut child = Child::boot(id, now + self.timings.boot);
        self.actions.push_back(Action::Spawn(id));
        if let Phase::Draining { grace_at, .. } = self.phase {
            child.state = ChildState::Draining;
            self.actions.push_back(drain(id, grace_at, now));
        }
        place.current = Some(child);
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
        let place = self.places.get_mut(usize::from(id.shard))?;
        place.current.iter_mut().chain(&mut place.retired).find(|child| child.id == id)
    }
}

impl Place {
    fn new(shard: u16) -> Self {
        Self {
            shard,
            current: None,
            retired: Vec::new(),
            incarnation: 0,
            restarts: RestartPolicy::default(),
            start_at: None,
            listeners: Listeners::Open,
        }
    }

    fn serves(&self) -> bool {
        let state = self.current.as_ref().map(|child| child.state);
        matches!(state, Some(ChildState::Serving { .. }))
    }

    fn is_empty(&self) -> bool {
        self.current.is_none() && self.retired.is_empty() && self.start_at.is_none()
    }
}

impl Child {
    fn boot(id: ChildId, until: Instant) -> Self {
        Self { id, was_ready: false, state: ChildState::Booting { until } }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.state {
            ChildState::Booting { until } | ChildState::Retiring { until } => Some(until),
            ChildState::Ending { kill_at } => Some(kill_at),
            ChildState::Serving { .. } | ChildState::Draining | ChildState::Killed => None,
        }
    }

    /// True while it can still be asked to do something.
    fn can_be_asked(&self) -> bool {
        !matches!(self.state, ChildState::Ending { .. } | ChildState::Killed)
    }

    fn shift(&mut self, gap: Duration) {
        match &mut self.state {
            ChildState::Booting { until } | ChildState::Retiring { until } => *until += gap,
            ChildState::Ending { kill_at } => *kill_at += gap,
            // A turn that runs may have begun before the pause; it gets its full time again.
            ChildState::Serving { since, .. } => *since = None,
            ChildState::Draining | ChildState::Killed => {}
        }
    }
}

fn drain(child: ChildId, grace_at: Instant, now: Instant) -> Action {
    let grace = grace_at.saturating_duration_since(now);
    Action::Send { child, message: ToChild::Drain { grace } }
}
