//! The supervisor: it alone says who is dead, and only after the kernel has said so.

use super::State;
use super::memory::{Memory, SHARD, WORKERS};
use super::settings::Settings;
use super::shard::{Shard, ShardStep};
use super::worker::{Worker, WorkerStep};
use crate::packing::{Codec, choices};

choices! {
    /// The next access of the supervisor.
    enum SupervisorStep { Wait, MarkDead, ClearIdle, ClearSpinning, CountDeath, Ring, Respawn }
}

#[derive(Clone, Copy)]
pub(crate) struct Supervisor {
    pub(crate) step: SupervisorStep,
    /// Whose death this is about.
    whom: u8,
    /// The doorbell that is next.
    bell: u8,
}

impl Supervisor {
    pub(crate) const fn new() -> Self {
        Self { step: SupervisorStep::Wait, whom: 0, bell: 0 }
    }

    pub(crate) fn whom(&self) -> usize {
        usize::from(self.whom)
    }

    pub(crate) fn rings_the_dead(&self) -> bool {
        self.bell == self.whom
    }

    pub(crate) fn visit(&mut self, codec: &mut impl Codec) {
        codec.choice(&mut self.step);
        codec.bits(&mut self.whom, 2);
        codec.bits(&mut self.bell, 2);
    }
}

/// All that the supervisor may do next.
pub(crate) fn steps(state: &State, settings: &Settings, mut found: impl FnMut(State)) {
    if state.supervisor.step != SupervisorStep::Wait {
        return found(advance(*state, settings));
    }
    let dead = |whom: usize| match whom {
        SHARD => state.shard.step == ShardStep::Dead,
        _ => state.workers[whom].step == WorkerStep::Dead,
    };
    let all = (0..settings.workers).chain([SHARD]);
    for whom in all.filter(|&whom| dead(whom)) {
        let step = if whom < WORKERS { SupervisorStep::MarkDead } else { after_count(settings) };
        let mut next = *state;
        next.supervisor = Supervisor { step, whom: whom as u8, bell: 0 };
        found(advance(next, settings));
    }
}

fn advance(mut state: State, settings: &Settings) -> State {
    let me = state.supervisor;
    let whom = me.whom();
    let memory = &mut state.memory;
    let step = match me.step {
        // waitid has returned.
        SupervisorStep::MarkDead => {
            memory.lives[whom].alive = false;
            SupervisorStep::ClearIdle
        }
        SupervisorStep::ClearIdle => {
            memory.idle &= !(1 << whom);
            SupervisorStep::ClearSpinning
        }
        SupervisorStep::ClearSpinning => {
            memory.spinning &= !(1 << whom);
            SupervisorStep::CountDeath
        }
        SupervisorStep::CountDeath => {
            memory.deaths_moved = true;
            after_count(settings)
        }
        SupervisorStep::Ring => return ring(state, settings),
        SupervisorStep::Respawn => {
            respawn(&mut state, whom);
            SupervisorStep::Wait
        }
        SupervisorStep::Wait => unreachable!("the caller has chosen a death"),
    };
    state.supervisor = match step {
        SupervisorStep::Wait => Supervisor::new(),
        _ => Supervisor { step, ..me },
    };
    state
}

fn after_count(settings: &Settings) -> SupervisorStep {
    if settings.kicks { SupervisorStep::Ring } else { SupervisorStep::Respawn }
}

/// All doorbells, one after the other.
fn ring(mut state: State, settings: &Settings) -> State {
    let me = &mut state.supervisor;
    state.memory.ring(usize::from(me.bell));
    me.bell += 1;
    if usize::from(me.bell) == settings.workers {
        me.bell = SHARD as u8;
    }
    // A dead shard's own bell is not rung: its successor looks at everything anyway.
    let end = if me.whom() == SHARD { SHARD } else { WORKERS + 1 };
    if usize::from(me.bell) >= end {
        *me = Supervisor { step: SupervisorStep::Respawn, bell: 0, ..*me };
    }
    state
}

/// The life word is stored before the fork.
fn respawn(state: &mut State, whom: usize) {
    if whom == SHARD {
        state.shard = Shard::attached();
        return;
    }
    let life = &mut state.memory.lives[whom];
    (life.incarnation, life.alive) = (life.incarnation + 1, true);
    state.workers[whom] = Worker::attached();
}

/// The kernel ends a process: its private memory is gone, what it shared stays as it is.
pub(crate) fn kill(state: &mut State, whom: usize) {
    let memory: &mut Memory = &mut state.memory;
    memory.forget(whom);
    if whom == SHARD {
        state.shard = Shard::dead();
    } else {
        state.workers[whom] = Worker::dead();
    }
}
