//! Where each process runs: from what the machine offers and what was wished for, every process
//! gets its CPU, or the reason why it has none.
//!
//! Pure: no system call, no clock. What nobody asked for explicitly never fails; wishes that
//! cannot all be met are clashes, each with its reason. The steps: `claims` finds the CPUs that
//! may be used and checks what is named explicitly, `budget` sizes, `room` takes the reserve
//! away, `fill` splits what is left and gives every process its CPU.

mod budget;
mod claims;
mod fill;
mod room;
#[cfg(test)]
mod tests;

use serde::Serialize;

use self::budget::Budget;
use self::room::Room;
use super::cpus::{CpuSelect, CpuWish, Reserve};
use super::machine::Machine;

pub(super) use self::budget::Thousandths;
pub(super) use self::room::FAST_PERCENT;

/// Everything that somebody may wish, `[cores]` and the pools.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wishes {
    /// `cores.use`.
    pub use_cpus: CpuSelect,
    /// `cores.shards`.
    pub shards: CpuWish,
    /// `cores.reserve`.
    pub reserve: Reserve,
    /// `cores.smt`.
    pub smt: Smt,
    /// `cores.policy`.
    pub policy: Policy,
    /// `cores.pin`.
    pub pin: Pin,
    /// `cores.quota`.
    pub quota: QuotaRule,
    /// The pools, in the order of the file.
    pub pools: Vec<PoolWish>,
}

/// What one pool wishes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PoolWish {
    /// Its name.
    pub name: String,
    /// `workers`.
    pub workers: Workers,
    /// `max-workers`; 0 is the same as `workers`.
    pub max_workers: usize,
    /// `cores`: exactly these CPUs, ascending, none twice; `None` for "auto".
    pub cores: Option<Vec<usize>>,
    /// `share`.
    pub share: Share,
    /// `priority`.
    pub priority: Priority,
}

/// `cores.smt`: what becomes of the second thread of a core.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Smt {
    /// The sibling of a shard stays idle, workers use both.
    #[default]
    Auto,
    /// Nobody uses siblings.
    One,
    /// Shards and workers use both.
    Both,
}

/// `cores.policy`: how cores are split when nobody says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Policy {
    /// A quarter for shards.
    #[default]
    Balanced,
    /// Half for shards.
    Latency,
}

/// `cores.pin`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Pin {
    /// Unless the CPU time is limited on CPUs that others use too.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// Never.
    Never,
}

/// `cores.quota`: whether the limit of CPU time counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum QuotaRule {
    /// It does not.
    Ignore,
    /// It does.
    #[default]
    Respect,
}

/// How many workers a pool has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Workers {
    /// One for each CPU it gets, and one on each shard core that it shares.
    #[default]
    Auto,
    /// So many; never 0.
    Count(usize),
}

/// Whether a pool's workers run on shard cores too.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Share {
    /// On machines of up to four cores.
    #[default]
    Auto,
    /// They do not.
    Off,
    /// They do.
    On,
}

/// How workers are scheduled.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Priority {
    /// In the background on shard cores, otherwise normally.
    #[default]
    Auto,
    /// In the background everywhere.
    Background,
    /// Like every process.
    Normal,
}

/// Every process with its place.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Placement {
    /// In the order of their index; at least one.
    pub shards: Vec<ShardPlace>,
    /// In the order of the wishes.
    pub pools: Vec<PoolPlace>,
    /// CPUs that stay free of our processes, ascending.
    pub reserved: Vec<usize>,
    /// Second threads of cores whose first one is used, ascending.
    pub idle_siblings: Vec<usize>,
    /// Usable CPUs that nobody needs, ascending.
    pub unused: Vec<usize>,
    /// CPUs that may be used, ascending: online, allowed, not cut. Floating processes run on
    /// those of them that are not reserved.
    pub usable: Vec<usize>,
    /// Why nobody is pinned; `None` when everybody is.
    pub floating: Option<String>,
    /// How many CPUs' worth of processes there may be.
    pub budget: usize,
    /// What a person should know about it.
    pub notes: Vec<Note>,
}

impl Placement {
    /// Where processes run that are not pinned, ascending: all usable CPUs but the reserve.
    #[must_use]
    pub fn floating_cpus(&self) -> Vec<usize> {
        self.usable.iter().copied().filter(|cpu| !self.reserved.contains(cpu)).collect()
    }

    /// Where the supervisor runs, ascending: on the reserve, so that it disturbs nobody; without
    /// one, wherever the kernel sees room. It sleeps nearly always and has a single thread.
    #[must_use]
    pub fn supervisor_cpus(&self) -> &[usize] {
        if self.reserved.is_empty() { &self.usable } else { &self.reserved }
    }
}

/// Where a shard runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct ShardPlace {
    /// The CPU it is pinned to; `None` when it floats.
    pub cpu: Option<usize>,
    /// The cache of that CPU.
    pub l3: Option<usize>,
    /// The node of that CPU.
    pub node: Option<usize>,
    /// True when no other process of ours uses that CPU, so that watching it idle hurts nobody.
    pub dedicated: bool,
}

/// Where the workers of a pool run.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct PoolPlace {
    /// Its name.
    pub name: String,
    /// In the order of their index; at least one.
    pub workers: Vec<WorkerPlace>,
}

/// Where a worker runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct WorkerPlace {
    /// The CPU it is pinned to; `None` when it floats.
    pub cpu: Option<usize>,
    /// The cache of that CPU.
    pub l3: Option<usize>,
    /// The node of that CPU.
    pub node: Option<usize>,
    /// True when it runs only while nobody else wants the CPU.
    pub background: bool,
    /// True when another process of ours uses that CPU too.
    pub shared: bool,
    /// True when it may watch for work before it sleeps.
    pub spins: bool,
    /// True for one that is started only while the queue waits (`max-workers`).
    pub on_demand: bool,
}

/// Something that is not as one might expect, and what to do about it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Note {
    /// What it is: lower case, no full stop.
    pub message: String,
    /// What would change it; empty when nothing needs to be done.
    pub fix: String,
}

/// A setting that somebody wrote.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wish {
    /// `cores.pin`.
    Pin,
    /// `cores` of the pool with this index.
    PoolCores(usize),
    /// `cores.reserve`.
    Reserve,
    /// `cores.shards`.
    Shards,
    /// `cores.use`.
    Use,
}

/// A wish that cannot be met.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Clash {
    /// The code of the fault.
    pub code: &'static str,
    /// Which wish.
    pub wish: Wish,
    /// The first CPU it is about, so that its place in a list can be shown.
    pub cpu: Option<usize>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What the place of the first wish is marked with: "claimed a second time here".
    pub label: String,
    /// The other wish, if two clash, and what its place is marked with.
    pub other: Option<(Wish, String)>,
    /// Why it matters; may be empty.
    pub note: String,
    /// What to write instead.
    pub fix: String,
}

/// Gives every process its place.
///
/// # Errors
/// All wishes that cannot be met.
pub fn place(machine: &Machine, wishes: &Wishes) -> Result<Placement, Vec<Clash>> {
    let mut clashes = Vec::new();
    let usable = claims::usable(machine, wishes, &mut clashes);
    if clashes.is_empty() {
        claims::check(machine, wishes, &usable, &mut clashes);
    }
    let budget = Budget::new(machine, wishes, usable.len());
    let room = Room::new(machine, wishes, usable, &budget, &mut clashes);
    if clashes.is_empty() { Ok(fill::fill(room, wishes, budget)) } else { Err(clashes) }
}

/// How many workers fit into the memory, given what all our processes use once the first worker
/// is ready and what of it is that worker's own: the rest may fill four fifths of what is left.
#[must_use]
pub fn workers_that_fit(limit: u64, used: u64, private: u64) -> usize {
    let left = u128::from(limit.saturating_sub(used)) * 4 / 5;
    let more = left / u128::from(private.max(1));
    usize::try_from(more).unwrap_or(usize::MAX).saturating_add(1)
}
