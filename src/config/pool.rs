//! The settings of one pool, resolved.

use std::time::Duration;

use super::file;
use super::options::Id;
use super::origin::Origin;
use super::settings::{PoolSettings, Values};

/// Whether a pool can be called so.
#[must_use]
pub fn is_pool_name(name: &str) -> bool {
    file::is_pool_name(name)
}

/// `[pool.NAME]`; where its processes run stands in the placement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PoolConfig {
    /// Its name.
    pub name: String,
    /// Where it is named first.
    pub origin: Origin,
    /// Whether the program has handlers for it.
    pub built_in: bool,
    /// What the workers run.
    pub kind: PoolKind,
    /// How they start.
    pub boot: BootConfig,
    /// How they are started again.
    pub restart: RestartConfig,
    /// Who loads what they run.
    pub preload: Preload,
    /// How much nicer than the supervisor they are.
    pub nice: i32,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Jobs of one shard in shared memory.
    pub slots: u32,
    /// Bytes of a slot.
    pub slot_bytes: u32,
    /// Jobs of one shard that wait behind the slots.
    pub queue: u32,
    /// Longest wait of a job before a worker starts it; `None` follows what jobs take.
    pub queue_wait: Option<Duration>,
    /// Jobs that one worker runs at a time; `None` is as many as its kind of handler can.
    pub concurrency: Option<usize>,
    /// Threads of each worker.
    pub threads: usize,
    /// How long a request may take.
    pub request: RequestConfig,
    /// Whether a job is cancelled when its client leaves.
    pub cancel_on_disconnect: bool,
    /// What a client means that closes its sending side.
    pub half_close: HalfClose,
}

/// `kind`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PoolKind {
    /// Handlers that are built in.
    Native,
    /// An application in Python.
    Python,
}

/// `boot`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BootConfig {
    /// Longest time to become ready.
    pub timeout: Duration,
    /// Most workers that start at the same time.
    pub parallel: usize,
    /// Time between two starts.
    pub stagger: Duration,
}

/// `restart`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RestartConfig {
    /// First pause after a death before ready.
    pub pause_first: Duration,
    /// Longest pause.
    pub pause_max: Duration,
    /// Such deaths within the window that are too many.
    pub tries: usize,
    /// The window.
    pub window: Duration,
}

/// `request`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestConfig {
    /// Longest time from the admission to the end of an answer, or to the head of a stream.
    pub timeout: Duration,
    /// Time after that before the worker is ended.
    pub force: Duration,
    /// Longest pause of a stream.
    pub idle: Duration,
}

/// `half-close`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HalfClose {
    /// It still wants its answer.
    Answer,
    /// It is gone.
    Cancel,
}

/// `preload`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Preload {
    /// Each worker.
    ByWorkers,
    /// The template, before it forks them.
    ByTemplate,
}

impl PoolConfig {
    pub(super) fn of(pool: &PoolSettings) -> Self {
        let values = pool.values();
        let (pause_first, pause_max) = values.time_range(Id::PoolRestartBackoff);
        let give_up = values.tries(Id::PoolRestartGiveUp);
        Self {
            name: pool.name.clone(),
            origin: pool.origin.clone(),
            built_in: pool.built_in,
            kind: pool.kind(),
            boot: BootConfig {
                timeout: values.time(Id::PoolBootTimeout),
                parallel: values.number(Id::PoolBootParallel),
                stagger: values.time(Id::PoolBootStagger),
            },
            restart: RestartConfig {
                pause_first,
                pause_max,
                tries: usize::try_from(give_up.count).unwrap_or(usize::MAX),
                window: give_up.within,
            },
            preload: preload(values),
            nice: values.integer(Id::PoolNice),
            env: values.variables(Id::PoolEnv).to_vec(),
            slots: values.number(Id::PoolSlots),
            slot_bytes: values.number(Id::PoolSlot),
            queue: values.number(Id::PoolQueue),
            queue_wait: values.time_or_auto(Id::PoolQueueWait),
            concurrency: values.number_or_auto(Id::PoolConcurrency),
            threads: values.number(Id::PoolThreads),
            request: RequestConfig {
                timeout: values.time(Id::PoolRequestTimeout),
                force: values.time(Id::PoolRequestForce),
                idle: values.time(Id::PoolRequestIdle),
            },
            cancel_on_disconnect: values.boolean(Id::PoolCancelOnDisconnect),
            half_close: match values.choice(Id::PoolHalfClose) {
                "answer" => HalfClose::Answer,
                _ => HalfClose::Cancel,
            },
        }
    }
}

/// A single worker has nothing to share; but for native pools loading once is never worse, because
/// a restart then does not load again.
fn preload(values: &Values) -> Preload {
    match values.choice(Id::PoolPreload) {
        "off" => Preload::ByWorkers,
        _ => Preload::ByTemplate,
    }
}
