//! What goes in and comes out: who a process is, the plan of a start, the actions, and what
//! people are told.

use std::time::Duration;

use crate::exit::Exit;
use crate::supervisor::restart::RestartLimits;
use crate::sys::channel::ToChild;
use crate::sys::process::Ended;
use crate::sys::signal::Signal;

/// What a process is there for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// Serves on one core.
    Shard(u16),
    /// Has loaded what a pool runs, and forks its workers.
    Template {
        /// The pool.
        pool: u16,
    },
    /// Runs what its pool runs.
    Worker {
        /// The pool.
        pool: u16,
        /// Which of its workers.
        index: u16,
    },
}

impl Role {
    /// The pool that it belongs to.
    #[must_use]
    pub fn pool(self) -> Option<u16> {
        match self {
            Self::Shard(_) => None,
            Self::Template { pool } | Self::Worker { pool, .. } => Some(pool),
        }
    }

    /// True for shards.
    #[must_use]
    pub fn is_shard(self) -> bool {
        matches!(self, Self::Shard(_))
    }

    /// True for templates.
    #[must_use]
    pub fn is_template(self) -> bool {
        matches!(self, Self::Template { .. })
    }

    /// True for workers.
    #[must_use]
    pub fn is_worker(self) -> bool {
        matches!(self, Self::Worker { .. })
    }
}

/// One process, told apart from its predecessors.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ChildId {
    /// The place that it fills.
    pub role: Role,
    /// Which process of that place, from 1.
    pub incarnation: u32,
}

/// What is to be started, and when it is late.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many shards.
    pub shards: u16,
    /// The pools, in their order.
    pub pools: Vec<PoolPlan>,
    /// Most processes of shards at a time: those that leave beside their successors count too.
    pub seats: usize,
    /// Spans of time that hold for everybody.
    pub timings: Timings,
}

/// What is to be started of one pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolPlan {
    /// How many workers.
    pub workers: u16,
    /// Longest boot, of the template and of each worker.
    pub boot: Duration,
    /// Most workers that boot at the same time; at least one.
    pub parallel: usize,
    /// Least time between the starts of two workers.
    pub stagger: Duration,
    /// When those that die are tried again.
    pub restarts: RestartLimits,
}

/// Every span of time that decides something.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Longest boot of a shard.
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
    /// All shards serve and every pool has a worker, for the first time.
    AnnounceReady,
    /// A shard or a worker is gone: end its life in the memory of the pools.
    Bury(ChildId),
    /// Close the supervisor's copies of this shard's listeners.
    CloseListeners {
        /// The shard.
        shard: u16,
    },
    /// Drop new clients on all listeners.
    FilterListeners,
    /// Everybody is gone: end with this.
    Leave(Exit),
    /// Give a worker its place in the memory of its pool, and have a template fork it.
    Order {
        /// Whom to start.
        worker: ChildId,
        /// Who forks it.
        template: ChildId,
    },
    /// Make new memory for this pool.
    Rebuild {
        /// The pool.
        pool: u16,
    },
    /// Tell people.
    Report(Report),
    /// Send a message to a child.
    Send {
        /// To whom.
        child: ChildId,
        /// What.
        message: ToChild,
    },
    /// Send a signal to a child. A worker that was ordered and has not shown up is given up with
    /// KILL: whoever comes late finds its channel closed.
    Signal {
        /// To whom.
        child: ChildId,
        /// ABRT or KILL; to a shard also TERM, after which it leaves beside a successor.
        signal: Signal,
    },
    /// Fork a shard or a template.
    Spawn(ChildId),
    /// Have the workers of all pools leave once they have nothing to do.
    StopPools,
}

/// A job that a worker has, or had.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JobNote {
    /// The route that led to it.
    pub route: String,
    /// How long it has run.
    pub ran: Duration,
}

/// What people are told, one line each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Report {
    /// A child did not become ready in time.
    BootTimeout(ChildId),
    /// A stop does not wait any longer for what these many processes still do.
    CutOff {
        /// How many shards.
        shards: usize,
        /// How many workers.
        workers: usize,
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
    /// The memory of a pool holds what cannot be: it gets new memory and new workers, and the
    /// shards are replaced one after the other.
    MemoryBroken {
        /// The pool.
        pool: u16,
    },
    /// A signal that a later version obeys.
    NotSupported(Signal),
    /// A worker does not come back from a job, and is ended.
    Overdue {
        /// Which.
        child: ChildId,
        /// What it runs.
        job: JobNote,
    },
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
    /// A template does not fork what was ordered, and is ended.
    TemplateStuck(ChildId),
    /// A worker has written what cannot be, and is ended.
    WorkerBroken(ChildId),
}
