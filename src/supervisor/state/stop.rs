//! How everything stops: new clients are dropped, the shards finish, then the workers that they
//! may have needed, then the templates. Who takes too long is ended.

use std::time::{Duration, Instant};

use super::action::{Action, ChildId, Report};
use super::place::{ChildState, Listeners, Place};
use super::{Phase, State, Urgency, drain};
use crate::exit::Exit;
use crate::sys::channel::ToChild;
use crate::sys::signal::Signal;

impl State {
    pub(super) fn ask_to_stop(&mut self, now: Instant) {
        if self.phase == Phase::Running {
            self.begin_settling(Signal::Terminate, self.timings.grace, Urgency::Asked, now);
        }
    }

    pub(super) fn interrupt(&mut self, now: Instant) {
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

    pub(super) fn quit(&mut self, now: Instant) {
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
            // Where one try after the other fails, nobody will serve the queue; and pools that are
            // still filling up do not get any larger now.
            place.start_at.take_if(|_| !place.role.is_shard() || place.restarts.is_failing());
        }
        self.leave_if_alone();
    }

    /// Asks the shards to finish. Also when the time is cut: the second message counts.
    pub(super) fn begin_draining(&mut self, grace_at: Instant, urgency: Urgency, now: Instant) {
        self.phase = Phase::Draining { grace_at, urgency };
        for place in self.places.iter_mut().filter(|place| place.role.is_shard()) {
            ask_to_drain(place, grace_at, now, |action| self.actions.push_back(action));
        }
        for place in self.places.iter_mut().filter(|place| place.role.is_worker()) {
            // Those that are asked already learn the new time; the others have theirs to come.
            if place.current.as_ref().is_some_and(|child| child.state == ChildState::Draining) {
                ask_to_drain(place, grace_at, now, |action| self.actions.push_back(action));
            }
        }
        self.go_on_draining(now);
        self.leave_if_alone();
    }

    /// Asks whoever is next: workers once no shard needs them, templates once no worker is left.
    pub(super) fn go_on_draining(&mut self, now: Instant) {
        let Phase::Draining { grace_at, .. } = self.phase else { return };
        if !self.places.iter().filter(|place| place.role.is_shard()).all(Place::is_empty) {
            return;
        }
        if !std::mem::replace(&mut self.pools_stopped, true) && !self.pools.is_empty() {
            self.actions.push_back(Action::StopPools);
        }
        for place in self.places.iter_mut().filter(|place| place.role.is_worker()) {
            place.start_at = None;
            if place.current.as_ref().is_some_and(|child| child.state != ChildState::Draining) {
                ask_to_drain(place, grace_at, now, |action| self.actions.push_back(action));
            }
        }
        if self.places.iter().filter(|place| place.role.is_worker()).all(Place::is_empty) {
            self.stop_those(|place| place.role.is_template(), now);
        }
    }

    /// The time is over: who was asked to finish and is still there is ended; the others never
    /// had anything to do but to wait for them.
    pub(super) fn force_end(&mut self, now: Instant) {
        self.phase = Phase::Ending { exit: Exit::Clean };
        let kill_at = now + self.timings.kill;
        let mut ended = Vec::new();
        for place in &mut self.places {
            place.start_at = None;
            for child in place.children_mut().filter(|child| is_at_work(child.id, child.state)) {
                child.state = ChildState::Ending { kill_at };
                ended.push(child.id);
            }
        }
        // The stop stays a clean one for whoever waits for the exit code: none of the others says
        // what happened, and a service manager would take one for a failure.
        if !ended.is_empty() {
            let shards = ended.iter().filter(|id| id.role.is_shard()).count();
            self.report(Report::CutOff { shards, workers: ended.len() - shards });
        }
        for id in ended {
            self.report(Report::ForceEnded(id));
            self.signal(id, Signal::Abort);
        }
        self.stop_those(|place| !place.role.is_shard(), now);
        self.leave_if_alone();
    }

    /// Tells everybody to leave at once.
    pub(super) fn end(&mut self, exit: Exit, now: Instant) {
        self.phase = Phase::Ending { exit };
        self.stop_those(|_| true, now);
        self.leave_if_alone();
    }

    /// Tells those who can still be told to leave at once.
    fn stop_those(&mut self, chosen: impl Fn(&Place) -> bool, now: Instant) {
        let kill_at = now + self.timings.kill;
        for place in self.places.iter_mut().filter(|place| chosen(place)) {
            place.start_at = None;
            for child in place.children_mut().filter(|child| child.can_be_asked()) {
                child.state = ChildState::Ending { kill_at };
                let message = ToChild::Stop;
                self.actions.push_back(Action::Send { child: child.id, message });
            }
        }
    }

    fn kill_all(&mut self) {
        for place in &mut self.places {
            place.start_at = None;
            for child in place.children_mut() {
                child.state = ChildState::Killed;
                let signal = Signal::Kill;
                self.actions.push_back(Action::Signal { child: child.id, signal });
            }
        }
        self.leave_if_alone();
    }

    pub(super) fn leave_if_alone(&mut self) {
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

    /// When the grace of a stop ends that is under way.
    pub(super) fn end_of_grace(&self) -> Option<Instant> {
        match self.phase {
            Phase::Draining { grace_at, .. } => Some(grace_at),
            Phase::Settling { until, grace, .. } => Some(until + grace),
            Phase::Running | Phase::Ending { .. } | Phase::Left => None,
        }
    }

    /// Whether a place still has something to do in a stop: accept queues that nobody has
    /// emptied hold clients who were promised an answer, and what those ask for may need workers.
    pub(super) fn is_needed_in_a_stop(&self, place: &Place) -> bool {
        let is_open = |place: &Place| place.listeners == Listeners::Open;
        let shards_left = || {
            let mut shards = self.places.iter().filter(|place| place.role.is_shard());
            shards.any(|place| !place.is_empty())
        };
        self.end_of_grace().is_some()
            && (is_open(place) || (place.role.is_worker() && shards_left()))
    }
}

/// Whether a child is there because of what it still has to finish.
fn is_at_work(id: ChildId, state: ChildState) -> bool {
    match state {
        ChildState::Draining => true,
        ChildState::Ending { .. } | ChildState::Killed => false,
        ChildState::Ordered { .. }
        | ChildState::Booting { .. }
        | ChildState::Serving { .. }
        | ChildState::Retiring { .. } => id.role.is_shard(),
    }
}

fn ask_to_drain(place: &mut Place, grace_at: Instant, now: Instant, mut act: impl FnMut(Action)) {
    for child in place.children_mut().filter(|child| child.can_be_asked()) {
        child.state = ChildState::Draining;
        act(drain(child.id, grace_at, now));
    }
}
