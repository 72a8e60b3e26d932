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

/// `[pool.NAME]`, as far as it is about processes; where they run stands in the placement.
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
