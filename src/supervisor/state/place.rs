//! A place and the process in it.

use std::time::{Duration, Instant};

use super::action::{ChildId, Role};
use crate::supervisor::restart::{RestartLimits, RestartPolicy};

/// Where one process belongs.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) role: Role,
    /// The process that serves, or will.
    pub(super) current: Option<Child>,
    /// Shards that finish what they had while a successor serves.
    pub(super) retired: Vec<Child>,
    /// The number of the last process.
    pub(super) incarnation: u32,
    pub(super) restarts: RestartPolicy,
    /// When to start the next process, if nothing else holds it up.
    pub(super) start_at: Option<Instant>,
    pub(super) listeners: Listeners,
    /// Longest boot.
    pub(super) boot: Duration,
}

/// What is known of the accept queues of a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Listeners {
    /// It has none.
    None,
    /// They may hold clients.
    Open,
    /// A child has emptied them for good.
    Emptied,
}

#[derive(Clone, Debug)]
pub(super) struct Child {
    pub(super) id: ChildId,
    pub(super) was_ready: bool,
    pub(super) state: ChildState,
    /// How often memory of pools had been made again when it was started.
    pub(super) rebuilds: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ChildState {
    /// Ordered from a template; it has not shown up.
    Ordered { until: Instant },
    /// There, not ready yet.
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

impl Place {
    pub(super) fn new(role: Role, boot: Duration, restarts: RestartLimits, now: Instant) -> Self {
        Self {
            role,
            current: None,
            retired: Vec::new(),
            incarnation: 0,
            restarts: RestartPolicy::new(restarts),
            start_at: Some(now),
            listeners: if role.is_shard() { Listeners::Open } else { Listeners::None },
            boot,
        }
    }

    /// Fills the place: the process whose start is due.
    pub(super) fn next_child(&mut self, rebuilds: u32, now: Instant) -> ChildId {
        self.start_at = None;
        self.incarnation += 1;
        let id = ChildId { role: self.role, incarnation: self.incarnation };
        let until = now + self.boot;
        let state = match self.role {
            Role::Worker { .. } => ChildState::Ordered { until },
            Role::Shard(_) | Role::Template { .. } => ChildState::Booting { until },
        };
        self.current = Some(Child { id, was_ready: false, state, rebuilds });
        id
    }

    pub(super) fn serves(&self) -> bool {
        let state = self.current.as_ref().map(|child| child.state);
        matches!(state, Some(ChildState::Serving { .. }))
    }

    /// Whether the process before the next one had been ready.
    pub(super) fn is_missed(&self) -> bool {
        self.incarnation > 0 && !self.restarts.is_failing()
    }

    pub(super) fn boots(&self) -> bool {
        let state = self.current.as_ref().map(|child| child.state);
        matches!(state, Some(ChildState::Ordered { .. } | ChildState::Booting { .. }))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.current.is_none() && self.retired.is_empty() && self.start_at.is_none()
    }

    /// Its processes, the one that serves first.
    pub(super) fn children_mut(&mut self) -> impl Iterator<Item = &mut Child> {
        self.current.iter_mut().chain(&mut self.retired)
    }
}

impl Child {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            ChildState::Ordered { until }
            | ChildState::Booting { until }
            | ChildState::Retiring { until } => Some(until),
            ChildState::Ending { kill_at } => Some(kill_at),
            ChildState::Serving { .. } | ChildState::Draining | ChildState::Killed => None,
        }
    }

    /// True while it can still be asked to do something.
    pub(super) fn can_be_asked(&self) -> bool {
        !matches!(self.state, ChildState::Ending { .. } | ChildState::Killed)
    }

    pub(super) fn shift(&mut self, gap: Duration) {
        match &mut self.state {
            ChildState::Ordered { until }
            | ChildState::Booting { until }
            | ChildState::Retiring { until } => *until += gap,
            ChildState::Ending { kill_at } => *kill_at += gap,
            // A turn that runs may have begun before the pause; it gets its full time again.
            ChildState::Serving { since, .. } => *since = None,
            ChildState::Draining | ChildState::Killed => {}
        }
    }
}
