//! Steps that nobody can notice, and that nothing can change: they are taken at once.
//!
//! Whether the others move before or after such a step makes no difference to anybody, and neither
//! does a crash of its actor just before it: a read fills what a crash wipes out, a write says
//! nothing that is looked at. So the search leaves out the orders that differ in nothing else.
//! What is unnoticed depends on the faults that may still come: once no shard can crash, nobody
//! will ever look at the tail's mirror.

use super::State;
use super::memory::{SHARD, Tag};
use super::settings::{Flaw, Settings};
use super::shard::ShardStep;
use super::supervisor::SupervisorStep;
use super::worker::{Worker, WorkerStep};

pub(super) fn by_worker(state: &State, worker: usize, settings: &Settings) -> bool {
    let memory = &state.memory;
    match state.workers[worker].step {
        // Only the worker itself sets its bit, and makes its sequence odd.
        WorkerStep::ClearIdle => memory.idle >> worker & 1 == 0,
        WorkerStep::MakeEven => !memory.sleepers[worker].asleep,
        // Nobody cancels any more.
        WorkerStep::ReadCancel => state.leavers == 0 && nobody_cancels(state),
        WorkerStep::ReadEpoch => nobody_cancels(state),
        // Claimed and running are told apart only after a death.
        WorkerStep::StoreRunning => state.crashes == 0 || settings.repeatable,
        _ => false,
    }
}

pub(super) fn by_shard(state: &State, settings: &Settings) -> bool {
    let memory = &state.memory;
    let last = state.shard_crashes == 0;
    let slot = || memory.slots[state.shard.slot()];
    match state.shard.step {
        ShardStep::MakeEven | ShardStep::AdoptEven => !memory.sleepers[SHARD].asleep,
        // Only the shard moves such a slot on.
        ShardStep::Collect | ShardStep::Scan => slot().tag == Tag::Done,
        ShardStep::ScanAgain => true,
        ShardStep::ScanLife => memory.is_dead(slot().owner) && !settings.has(Flaw::LastDeathOnly),
        // Workers look at a slot because of a hint of the same generation, which is gone or not
        // yet written; the mirror is for a successor.
        ShardStep::CollectFree | ShardStep::ScanFree | ShardStep::FreeCancelled => last,
        ShardStep::SubmitReady | ShardStep::AgainReady => last,
        ShardStep::SubmitMirror | ShardStep::AgainMirror | ShardStep::AdoptStore => last,
        ShardStep::AdoptFree => last,
        ShardStep::AdoptMirror => true,
        // Nobody dies any more.
        ShardStep::ReadDeaths | ShardStep::LookAtDeaths => {
            let dead = |worker: &Worker| worker.step == WorkerStep::Dead;
            state.crashes == 0
                && state.supervisor.step == SupervisorStep::Wait
                && !state.workers[..settings.workers].iter().any(dead)
        }
        _ => false,
    }
}

pub(super) fn by_supervisor(state: &State, settings: &Settings) -> bool {
    let whom = state.supervisor.whom();
    match state.supervisor.step {
        // The dead set nothing.
        SupervisorStep::ClearIdle => state.memory.idle >> whom & 1 == 0,
        SupervisorStep::ClearSpinning => state.memory.spinning >> whom & 1 == 0,
        // Its owner is dead in one incarnation as in the other, and a bell that it cannot hear
        // yet is heard later.
        SupervisorStep::Respawn => !settings.has(Flaw::LastDeathOnly),
        SupervisorStep::Ring => state.supervisor.rings_the_dead(),
        _ => false,
    }
}

/// No client is being cancelled, and no shard will be adopted.
fn nobody_cancels(state: &State) -> bool {
    let step = state.shard.step;
    let adoption = step == ShardStep::Dead || step.is_adoption();
    state.shard_crashes == 0 && !adoption && step != ShardStep::CancelStore
}
