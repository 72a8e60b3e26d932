//! What is checked: how many of each, which faults, and which defect, if any.

/// A configuration of the model.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) workers: usize,
    /// Jobs that clients may bring, at any time.
    pub(crate) jobs: u8,
    /// Workers that may crash, one crash each time, before any access.
    pub(crate) crashes: u8,
    /// The same for the shard.
    pub(crate) shard_crashes: u8,
    /// Clients that may leave, or whose deadline may pass.
    pub(crate) leavers: u8,
    /// Workers that may be stopped for good, at any access, without dying.
    pub(crate) stops: u8,
    /// Workers may spin before they sleep.
    pub(crate) spin: bool,
    /// After a death the supervisor rings all doorbells.
    pub(crate) kicks: bool,
    /// The shard wakes up from time to time while it has jobs open.
    pub(crate) tick: bool,
    /// A job that was started may be tried once more.
    pub(crate) repeatable: bool,
    pub(crate) flaw: Option<Flaw>,
}

/// Defects that the model has to find: each is a step of the protocol done the obvious way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The shard leaves it to workers to pass the hints of cancelled slots.
    CancelledHintsStay,
    /// The sleep sequence is set first, the eventfd is written after it.
    ClearThenSignal,
    /// A worker takes the hint first and the slot after it.
    HeadFirst,
    /// Only the incarnation that died last counts as dead.
    LastDeathOnly,
    /// Cells carry no lap, so that old ones and zeroed ones look published.
    NoLap,
    /// The nudge of the tick is left out while somebody spins.
    NudgeHeedsSpinners,
    /// A new incarnation of the shard leaves the sleep sequence as its predecessor had it.
    SleepOfTheDeadStays,
    /// The sleep sequence is a flag: asleep or not.
    SleepFlag,
    /// What the shard read of a slot before it read that the owner is dead counts.
    StateBeforeLife,
}

impl Settings {
    pub(crate) const fn has(&self, flaw: Flaw) -> bool {
        matches!(self.flaw, Some(found) if found as u8 == flaw as u8)
    }
}
