//! A worker: claims jobs, runs them, says that they are done, sleeps.

use super::memory::{Memory, SHARD, Tag};
use super::settings::{Flaw, Settings};
use super::wake::{Call, Pair, Progress, call};
use super::{POSITION_BITS, State, lowest};
use crate::packing::{Codec, choices};
use crate::search::Violation;

choices! {
    /// The next access of a worker.
    enum WorkerStep {
        // Awake: attached, or woken.
        ClearIdle, MakeEven,
        // Claim.
        ReadHead, ReadCell, ReadHeadAgain, ClaimSlot, PassHead,
        // Claimed after spinning or sleeping: hand the baton on if there is more.
        LeaveSpinning, ReadSpinning, LookAtHead, LookAtCell, ReadIdle, Baton,
        // Run.
        ReadCancel, ReadEpoch, StoreRunning, StoreDone,
        // Complete.
        SetAttention, WakeShard,
        // Nothing found: spin on, or sleep.
        Rest, SetIdle, StopSpinning, LastHead, LastCell, Block,
        Dead,
    }

    /// What a worker did before it looked for a job.
    enum Mood { Busy, Spinning, Woken }
}

#[derive(Clone, Copy)]
pub(crate) struct Worker {
    pub(crate) step: WorkerStep,
    mood: Mood,
    /// The head was read once more because the cell had another lap.
    again: bool,
    /// The claim succeeded.
    won: bool,
    /// The head that was read.
    position: u8,
    /// The job: of the hint, then its own.
    slot: u8,
    generation: u8,
    /// Whom the baton may still go to.
    idle: u8,
    call: Call,
}

impl Worker {
    /// A new incarnation comes in like one that was woken.
    pub(crate) const fn attached() -> Self {
        Self::at(WorkerStep::ClearIdle, Mood::Busy)
    }

    pub(crate) const fn dead() -> Self {
        Self::at(WorkerStep::Dead, Mood::Busy)
    }

    /// Everything that this step does not need is forgotten, so that equal states look equal.
    const fn at(step: WorkerStep, mood: Mood) -> Self {
        let call = Call::Read;
        let (again, won, position, slot, generation, idle) = (false, false, 0, 0, 0, 0);
        Self { step, mood, again, won, position, slot, generation, idle, call }
    }

    /// The same with a job in hand.
    fn with_job(self, step: WorkerStep) -> Self {
        Self { slot: self.slot, generation: self.generation, ..Self::at(step, Mood::Busy) }
    }

    pub(crate) fn visit(&mut self, codec: &mut impl Codec) {
        codec.choice(&mut self.step);
        codec.choice(&mut self.mood);
        codec.flag(&mut self.again);
        codec.flag(&mut self.won);
        codec.bits(&mut self.position, POSITION_BITS);
        codec.bits(&mut self.slot, 1);
        codec.bits(&mut self.generation, 3);
        codec.bits(&mut self.idle, 2);
        codec.choice(&mut self.call);
    }
}

/// All that the worker may do next.
pub(crate) fn steps(
    state: &State,
    worker: usize,
    settings: &Settings,
    mut found: impl FnMut(Result<State, Violation>),
) {
    match state.workers[worker].step {
        WorkerStep::Dead => {}
        WorkerStep::Block if !state.memory.sleepers[worker].rung => {}
        WorkerStep::Rest => {
            if settings.spin {
                found(Ok(spin(*state, worker)));
            }
            found(Ok(arm(*state, worker, settings)));
        }
        _ => found(advance(*state, worker, settings)),
    }
}

/// Sets its bit in P, unless it has one, and looks again; a spin of its own accord has no end.
fn spin(mut state: State, worker: usize) -> State {
    let me = &mut state.workers[worker];
    if me.mood == Mood::Spinning {
        *me = Worker { position: state.memory.head, ..Worker::at(WorkerStep::ReadCell, me.mood) };
    } else {
        state.memory.spinning |= 1 << worker;
        *me = Worker::at(WorkerStep::ReadHead, Mood::Spinning);
    }
    state
}

/// The first access of going to sleep: Z |= 1.
fn arm(mut state: State, worker: usize, settings: &Settings) -> State {
    state.memory.set_asleep(worker, true, settings.has(Flaw::SleepFlag));
    state.workers[worker] = Worker::at(WorkerStep::SetIdle, state.workers[worker].mood);
    state
}

fn advance(mut state: State, worker: usize, settings: &Settings) -> Result<State, Violation> {
    let me = state.workers[worker];
    let memory = &mut state.memory;
    let next = match me.step {
        WorkerStep::ClearIdle => {
            memory.idle &= !(1 << worker);
            Worker::at(WorkerStep::MakeEven, Mood::Busy)
        }
        WorkerStep::MakeEven => {
            memory.set_asleep(worker, false, settings.has(Flaw::SleepFlag));
            Worker::at(WorkerStep::ReadHead, Mood::Woken)
        }
        WorkerStep::SetIdle => {
            memory.idle |= 1 << worker;
            let spinning = me.mood == Mood::Spinning;
            let step = if spinning { WorkerStep::StopSpinning } else { WorkerStep::LastHead };
            Worker::at(step, Mood::Busy)
        }
        WorkerStep::StopSpinning => {
            memory.spinning &= !(1 << worker);
            Worker::at(WorkerStep::LastHead, Mood::Busy)
        }
        WorkerStep::LastHead => {
            Worker { position: memory.head, ..Worker::at(WorkerStep::LastCell, Mood::Busy) }
        }
        WorkerStep::LastCell => {
            let visible = memory.hint(me.position, laps_count(settings)).is_some();
            let step = if visible { WorkerStep::ClearIdle } else { WorkerStep::Block };
            Worker::at(step, Mood::Busy)
        }
        WorkerStep::Block => {
            assert!(memory.hear(worker), "a worker goes on only when it was rung");
            Worker::at(WorkerStep::ClearIdle, Mood::Busy)
        }
        WorkerStep::Rest | WorkerStep::Dead => unreachable!("the caller knows what these may do"),
        _ if is_claim(me.step) => claim(memory, me, worker, settings),
        _ if is_baton(me.step) => hand_on(memory, me, worker, settings),
        _ => work(memory, me, worker, settings)?,
    };
    state.workers[worker] = next;
    Ok(state)
}

fn is_claim(step: WorkerStep) -> bool {
    use WorkerStep::{ClaimSlot, PassHead, ReadCell, ReadHead, ReadHeadAgain};
    matches!(step, ReadHead | ReadCell | ReadHeadAgain | ClaimSlot | PassHead)
}

/// The slot first, then the head, whether or not the claim won: a worker that stops in between
/// hides no job from the others.
fn claim(memory: &mut Memory, me: Worker, worker: usize, settings: &Settings) -> Worker {
    let head_first = settings.has(Flaw::HeadFirst);
    match me.step {
        WorkerStep::ReadHead => {
            Worker { position: memory.head, ..Worker::at(WorkerStep::ReadCell, me.mood) }
        }
        WorkerStep::ReadCell => match memory.hint(me.position, laps_count(settings)) {
            Some(hint) => {
                let step = if head_first { WorkerStep::PassHead } else { WorkerStep::ClaimSlot };
                Worker { step, again: false, slot: hint.slot, generation: hint.generation, ..me }
            }
            None if me.again => Worker::at(WorkerStep::Rest, me.mood),
            None => Worker { step: WorkerStep::ReadHeadAgain, ..me },
        },
        WorkerStep::ReadHeadAgain if memory.head == me.position => {
            Worker::at(WorkerStep::Rest, me.mood)
        }
        WorkerStep::ReadHeadAgain => {
            Worker { step: WorkerStep::ReadCell, again: true, position: memory.head, ..me }
        }
        WorkerStep::ClaimSlot => {
            let won = memory.claim(usize::from(me.slot), me.generation, worker);
            match won {
                _ if !head_first => Worker { step: WorkerStep::PassHead, won, ..me },
                true => claimed(me),
                false => Worker::at(WorkerStep::ReadHead, me.mood),
            }
        }
        _ => {
            let passed = memory.pass_head(me.position);
            match me.won {
                _ if head_first && passed => Worker { step: WorkerStep::ClaimSlot, ..me },
                true => claimed(me),
                false => Worker::at(WorkerStep::ReadHead, me.mood),
            }
        }
    }
}

/// Who was busy before runs the job at once; who spun or slept sees to it that others wake up too.
fn claimed(me: Worker) -> Worker {
    me.with_job(match me.mood {
        Mood::Busy => WorkerStep::ReadCancel,
        Mood::Spinning => WorkerStep::LeaveSpinning,
        Mood::Woken => WorkerStep::ReadSpinning,
    })
}

fn is_baton(step: WorkerStep) -> bool {
    use WorkerStep::{Baton, LeaveSpinning, LookAtCell, LookAtHead, ReadIdle, ReadSpinning};
    matches!(step, LeaveSpinning | ReadSpinning | LookAtHead | LookAtCell | ReadIdle | Baton)
}

/// More work visible and nobody spins: one more is woken, before the own job runs.
fn hand_on(memory: &mut Memory, me: Worker, worker: usize, settings: &Settings) -> Worker {
    let run = me.with_job(WorkerStep::ReadCancel);
    let look = me.with_job(WorkerStep::LookAtHead);
    match me.step {
        WorkerStep::LeaveSpinning => {
            memory.spinning &= !(1 << worker);
            if memory.spinning == 0 { look } else { run }
        }
        WorkerStep::ReadSpinning if memory.spinning == 0 => look,
        WorkerStep::ReadSpinning => run,
        WorkerStep::LookAtHead => {
            Worker { position: memory.head, ..me.with_job(WorkerStep::LookAtCell) }
        }
        WorkerStep::LookAtCell if memory.hint(me.position, laps_count(settings)).is_some() => {
            me.with_job(WorkerStep::ReadIdle)
        }
        WorkerStep::LookAtCell => run,
        WorkerStep::ReadIdle => match memory.idle {
            0 => run,
            idle => Worker { idle, ..me.with_job(WorkerStep::Baton) },
        },
        _ => {
            let pair = Pair { waker: worker, sleeper: lowest(me.idle) };
            match call(memory, pair, me.call, settings) {
                Progress::Next(call) => Worker { call, ..me },
                Progress::Awake if me.idle & (me.idle - 1) != 0 => {
                    Worker { idle: me.idle & (me.idle - 1), ..me }
                }
                Progress::Awake | Progress::Rung => run,
            }
        }
    }
}

/// From the last look before user code to the next look for a job.
fn work(
    memory: &mut Memory,
    me: Worker,
    worker: usize,
    settings: &Settings,
) -> Result<Worker, Violation> {
    let (slot, generation) = (usize::from(me.slot), me.generation);
    Ok(match me.step {
        WorkerStep::ReadCancel if memory.slots[slot].cancel => me.with_job(WorkerStep::StoreDone),
        // The epoch differs only after a crash of the shard.
        WorkerStep::ReadCancel if settings.shard_crashes > 0 => me.with_job(WorkerStep::ReadEpoch),
        WorkerStep::ReadCancel => me.with_job(WorkerStep::StoreRunning),
        WorkerStep::ReadEpoch if !memory.slots[slot].current => me.with_job(WorkerStep::StoreDone),
        WorkerStep::ReadEpoch => me.with_job(WorkerStep::StoreRunning),
        WorkerStep::StoreRunning => {
            memory.store_owned(slot, generation, worker, Tag::Running)?;
            memory.start(slot, settings.repeatable)?;
            me.with_job(WorkerStep::StoreDone)
        }
        WorkerStep::StoreDone => {
            memory.store_owned(slot, generation, worker, Tag::Done)?;
            Worker { slot: me.slot, ..Worker::at(WorkerStep::SetAttention, Mood::Busy) }
        }
        WorkerStep::SetAttention => {
            memory.attention |= 1 << slot;
            Worker::at(WorkerStep::WakeShard, Mood::Busy)
        }
        _ => match call(memory, Pair { waker: worker, sleeper: SHARD }, me.call, settings) {
            Progress::Next(call) => Worker { call, ..me },
            Progress::Awake | Progress::Rung => Worker::at(WorkerStep::ReadHead, Mood::Busy),
        },
    })
}

fn laps_count(settings: &Settings) -> bool {
    !settings.has(Flaw::NoLap)
}
