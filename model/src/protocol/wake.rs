//! Waking somebody: the same three accesses for all.

use super::memory::Memory;
use super::settings::{Flaw, Settings};
use crate::packing::choices;

choices! {
    /// The next access of one who wakes another.
    enum Call { Read, Ring, Cas }
}

/// What an access of a waker led to.
pub(crate) enum Progress {
    /// The sequence is even: somebody else has rung already, or nobody sleeps there.
    Awake,
    Next(Call),
    Rung,
}

/// Who wakes whom.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) waker: usize,
    pub(crate) sleeper: usize,
}

/// Signal first, then compare-exchange: a waker that dies in between has rung. The other way round
/// it leaves a sleeper whom everybody takes for awake.
pub(crate) fn call(memory: &mut Memory, pair: Pair, access: Call, settings: &Settings) -> Progress {
    let cas_first = settings.has(Flaw::ClearThenSignal);
    match access {
        Call::Read if !memory.read_asleep(pair.sleeper, pair.waker) => Progress::Awake,
        Call::Read if cas_first => Progress::Next(Call::Cas),
        Call::Read => Progress::Next(Call::Ring),
        Call::Ring => {
            memory.ring(pair.sleeper);
            if cas_first { Progress::Rung } else { Progress::Next(Call::Cas) }
        }
        Call::Cas => {
            let narrow = settings.has(Flaw::SleepFlag);
            let won = memory.cas_awake(pair.sleeper, pair.waker, narrow);
            if cas_first && won { Progress::Next(Call::Ring) } else { Progress::Rung }
        }
    }
}
