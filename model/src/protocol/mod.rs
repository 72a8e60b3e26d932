//! The slot protocol between a shard and its workers, as steps over shared words.
//!
//! Each actor is a table of steps, and each step does one access to what is shared. Local work is
//! part of the step before it. Bodies, clocks and the network are left out: their owner is whoever
//! owns the slot. There is one shard here, as shards share nothing but the workers.

mod adoption;
mod memory;
mod settings;
mod shard;
mod supervisor;
mod unnoticed;
mod wake;
mod worker;

use std::fmt::Write as _;

use self::memory::{Memory, POSITION_BITS, SHARD, SLOTS, Tag, WORKERS};
use self::shard::{Shard, ShardStep};
use self::supervisor::{Supervisor, SupervisorStep};
use self::worker::{Worker, WorkerStep};
use crate::packing::{Codec, Packed, Reader, Writer};
use crate::search::{Kind, Protocol, Step};

pub(crate) use self::settings::{Flaw, Settings};

/// The protocol in one configuration.
pub(crate) struct Offload {
    pub(crate) settings: Settings,
    /// Steps that nobody can notice are not interleaved with others.
    pub(crate) reduced: bool,
}

/// Everything: shared words, actors, and what may still go wrong.
#[derive(Clone, Copy)]
pub(crate) struct State {
    memory: Memory,
    workers: [Worker; WORKERS],
    shard: Shard,
    supervisor: Supervisor,
    /// Jobs that no client has brought yet.
    jobs: u8,
    crashes: u8,
    shard_crashes: u8,
    leavers: u8,
    /// Workers that were stopped for good.
    stopped: u8,
}

impl State {
    fn visit(&mut self, codec: &mut impl Codec) {
        self.memory.visit(codec);
        for worker in &mut self.workers {
            worker.visit(codec);
        }
        self.shard.visit(codec);
        self.supervisor.visit(codec);
        codec.bits(&mut self.jobs, 2);
        codec.bits(&mut self.crashes, 2);
        codec.bits(&mut self.shard_crashes, 2);
        codec.bits(&mut self.leavers, 2);
        codec.bits(&mut self.stopped, WORKERS as u32);
    }
}

impl Protocol for Offload {
    type State = State;

    fn initial(&self) -> State {
        let settings = &self.settings;
        let mut workers = [Worker::dead(); WORKERS];
        workers[..settings.workers].fill(Worker::attached());
        State {
            memory: Memory::new(),
            workers,
            shard: Shard::new(),
            supervisor: Supervisor::new(),
            jobs: settings.jobs,
            crashes: settings.crashes,
            shard_crashes: settings.shard_crashes,
            leavers: settings.leavers,
            stopped: 0,
        }
    }

    fn pack(&self, state: &State) -> Packed {
        let mut writer = Writer::default();
        { *state }.visit(&mut writer);
        writer.packed()
    }

    fn unpack(&self, packed: Packed) -> State {
        let mut state = self.initial();
        state.visit(&mut Reader::of(packed));
        state
    }

    fn steps(&self, state: &State, steps: &mut Vec<Step<State>>) {
        let settings = &self.settings;
        let runs = |worker: &usize| state.stopped >> worker & 1 == 0;
        for worker in (0..settings.workers).filter(runs) {
            if self.reduced && unnoticed::by_worker(state, worker, settings) {
                return self.worker(state, worker, steps);
            }
        }
        if self.reduced && unnoticed::by_shard(state, settings) {
            return self.shard(state, steps);
        }
        if self.reduced && unnoticed::by_supervisor(state, settings) {
            return self.supervisor(state, steps);
        }
        for worker in (0..settings.workers).filter(runs) {
            self.worker(state, worker, steps);
        }
        self.shard(state, steps);
        self.supervisor(state, steps);
        self.faults(state, steps);
    }

    fn finished(&self, state: &State) -> bool {
        let asleep = |worker: usize| {
            state.workers[worker].step == WorkerStep::Block && !state.memory.sleepers[worker].rung
        };
        let stopped = |worker: usize| state.stopped >> worker & 1 == 1;
        let resting = (0..self.settings.workers).all(|worker| stopped(worker) || asleep(worker));
        let shard = state.shard.is_quiet() && !state.memory.sleepers[SHARD].rung;
        state.supervisor.step == SupervisorStep::Wait
            && resting
            && if state.stopped == 0 { shard && state.is_empty() } else { state.is_held() }
    }

    fn explain(&self, before: &State, step: &Step<State>) -> String {
        let doing = match step.actor {
            "worker 0" => format!("{:?}", before.workers[0].step),
            "worker 1" => format!("{:?}", before.workers[1].step),
            "shard" => format!("{:?}", before.shard.step),
            "supervisor" => format!("{:?}", before.supervisor.step),
            _ => String::new(),
        };
        let mut text = format!("{:<10}  {doing:<16}", step.actor);
        match &step.after {
            Ok(after) => write_changes(&mut text, before, after),
            Err(rule) => text.push_str(rule),
        }
        text.trim_end().to_owned()
    }
}

impl Offload {
    fn worker(&self, state: &State, worker: usize, steps: &mut Vec<Step<State>>) {
        let actor = ["worker 0", "worker 1"][worker];
        worker::steps(state, worker, &self.settings, |after| {
            steps.push(Step { actor, kind: Kind::Sure, after });
        });
    }

    fn shard(&self, state: &State, steps: &mut Vec<Step<State>>) {
        shard::steps(state, &self.settings, |kind, after| {
            steps.push(Step { actor: "shard", kind, after });
        });
    }

    fn supervisor(&self, state: &State, steps: &mut Vec<Step<State>>) {
        supervisor::steps(state, &self.settings, |after| {
            steps.push(Step { actor: "supervisor", kind: Kind::Sure, after: Ok(after) });
        });
    }

    /// What may go wrong, before any access.
    fn faults(&self, state: &State, steps: &mut Vec<Step<State>>) {
        let mut fault = |actor, after| {
            steps.push(Step { actor, kind: Kind::Chance, after: Ok(after) });
        };
        for worker in 0..self.settings.workers {
            let alive = state.workers[worker].step != WorkerStep::Dead;
            let running = state.stopped >> worker & 1 == 0;
            if alive && running && state.crashes > 0 {
                let mut after = State { crashes: state.crashes - 1, ..*state };
                supervisor::kill(&mut after, worker);
                fault(["worker 0 dies", "worker 1 dies"][worker], after);
            }
            if alive && state.stopped.count_ones() < u32::from(self.settings.stops) {
                let after = State { stopped: state.stopped | 1 << worker, ..*state };
                fault(["worker 0 stops", "worker 1 stops"][worker], after);
            }
        }
        if state.shard_crashes > 0 && state.shard.step != ShardStep::Dead {
            let mut after = State { shard_crashes: state.shard_crashes - 1, ..*state };
            supervisor::kill(&mut after, SHARD);
            fault("shard dies", after);
        }
    }
}

impl State {
    /// No slot is taken and no hint left.
    fn is_empty(&self) -> bool {
        let memory = &self.memory;
        memory.slots.iter().all(|slot| slot.tag == Tag::Free) && memory.head == self.shard.tail
    }

    /// Nothing is left but what a stopped worker has in hand.
    fn is_held(&self) -> bool {
        (0..SLOTS).all(|slot| match self.memory.slots[slot].tag {
            Tag::Free => true,
            Tag::Ready | Tag::Cancelled => false,
            Tag::Claimed | Tag::Running | Tag::Done => {
                self.stopped >> self.memory.slots[slot].owner.worker & 1 == 1
            }
        })
    }
}

/// The shared words that a step changed.
fn write_changes(text: &mut String, before: &State, after: &State) {
    for ((name, old), (_, new)) in words(before).into_iter().zip(words(after)) {
        if old != new {
            write!(text, "  {name}: {old} -> {new}").expect("a string takes all");
        }
    }
}

/// The shared words in the notation of a trace.
fn words(state: &State) -> Vec<(String, String)> {
    let memory = &state.memory;
    let mut words = Vec::new();
    for (index, slot) in memory.slots.iter().enumerate() {
        let owner = format!("{}.{}", slot.owner.worker, slot.owner.incarnation);
        let word = match slot.tag {
            Tag::Claimed | Tag::Running | Tag::Done => {
                format!("{:?}({owner}, g{})", slot.tag, slot.generation)
            }
            _ => format!("{:?}(g{})", slot.tag, slot.generation),
        };
        words.push((format!("slot {index}"), word));
        words.push((format!("cancel {index}"), slot.cancel.to_string()));
    }
    for (index, cell) in memory.cells.iter().enumerate() {
        let word = format!("lap {} slot {} g{}", cell.lap, cell.slot, cell.generation);
        words.push((format!("cell {index}"), word));
    }
    for (index, sleeper) in memory.sleepers.iter().enumerate() {
        let of = if index == SHARD { "shard".to_owned() } else { format!("worker {index}") };
        let asleep = if sleeper.asleep { "odd" } else { "even" };
        words.push((format!("Z of {of}"), asleep.to_owned()));
        words.push((format!("eventfd of {of}"), u8::from(sleeper.rung).to_string()));
    }
    for (index, life) in memory.lives.iter().enumerate() {
        let alive = if life.alive { "alive" } else { "dead" };
        words.push((format!("L{index}"), format!("{}, {alive}", life.incarnation)));
    }
    words.extend([
        ("H".to_owned(), memory.head.to_string()),
        ("tail mirror".to_owned(), memory.mirror.to_string()),
        ("I".to_owned(), format!("{:02b}", memory.idle)),
        ("P".to_owned(), format!("{:02b}", memory.spinning)),
        ("A".to_owned(), format!("{:02b}", memory.attention)),
    ]);
    words
}

/// The lowest bit of a set that is not empty.
fn lowest(set: u8) -> usize {
    set.trailing_zeros() as usize
}
