//! Thousands of machines in seconds: each has a seed, and a failure says which.

use std::any::Any;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use super::actors::{Ledger, Plan, act};
use super::machine::{Machine, Role, Scheduler, Weather};
use crate::offload::client::TICK_NS;
use crate::offload::layout::Shape;
use crate::offload::server::SpinPolicy;
use crate::offload::word::{SlotState, StateWord};
use crate::offload::world::Twin;

/// What kind of machines are tried.
#[derive(Clone, Copy, Debug)]
struct Story {
    twin: Twin,
    worker_kills: u32,
    shard_kills: u32,
    stops: bool,
    cancels: bool,
    deadlines: bool,
    /// Whether messages may be longer than a slot, and come in pieces.
    long: bool,
    /// Whether the supervisor rings after a death and workers look by themselves. Without, all
    /// hangs on the ticks of the shards.
    nets: bool,
}

impl Story {
    /// True when every job must be answered.
    fn is_calm(&self) -> bool {
        self.worker_kills + self.shard_kills == 0 && !self.cancels && !self.deadlines
    }
}

const CALM: Story = Story {
    twin: Twin::None,
    worker_kills: 0,
    shard_kills: 0,
    stops: false,
    cancels: false,
    deadlines: false,
    long: false,
    nets: true,
};
const LONG: Story = Story { long: true, ..CALM };

#[test]
fn jobs_are_answered() {
    run_seeds(CALM, 600);
}

#[test]
fn jobs_survive_workers() {
    run_seeds(Story { worker_kills: 6, ..CALM }, 1000);
}

#[test]
fn jobs_survive_workers_with_the_ticks_alone() {
    run_seeds(Story { worker_kills: 4, nets: false, ..CALM }, 600);
}

#[test]
fn shards_are_succeeded() {
    run_seeds(Story { worker_kills: 3, shard_kills: 3, ..CALM }, 1000);
}

#[test]
fn cancels_and_deadlines_have_one_outcome() {
    run_seeds(Story { worker_kills: 2, cancels: true, deadlines: true, ..CALM }, 1000);
}

#[test]
fn stopped_processes_hold_up_nobody() {
    run_seeds(Story { stops: true, ..CALM }, 400);
}

#[test]
fn everything_at_once() {
    let story = Story {
        worker_kills: 5,
        shard_kills: 2,
        stops: true,
        cancels: true,
        deadlines: true,
        ..CALM
    };
    run_seeds(story, 1500);
}

#[test]
fn messages_of_any_size_are_answered() {
    run_seeds(LONG, 500);
}

#[test]
fn messages_of_any_size_survive_workers() {
    run_seeds(Story { worker_kills: 6, ..LONG }, 1000);
}

#[test]
fn messages_of_any_size_survive_with_the_ticks_alone() {
    run_seeds(Story { worker_kills: 4, nets: false, ..LONG }, 500);
}

#[test]
fn messages_of_any_size_and_everything_at_once() {
    let story = Story {
        worker_kills: 5,
        shard_kills: 3,
        stops: true,
        cancels: true,
        deadlines: true,
        ..LONG
    };
    run_seeds(story, 2000);
}

#[test]
fn a_head_that_moves_before_the_slot_is_won_is_found() {
    must_fail(Story { twin: Twin::HeadFirst, worker_kills: 6, ..CALM });
}

#[test]
fn remembering_only_the_last_death_is_found() {
    must_fail(Story { twin: Twin::LastDeathOnly, worker_kills: 12, stops: true, ..CALM });
}

#[test]
fn a_mark_before_its_signal_is_found() {
    must_fail(Story { twin: Twin::ClearThenSignal, shard_kills: 6, nets: false, ..CALM });
}

/// Runs machine after machine. `COREWISE_SEED` runs that one alone.
fn run_seeds(story: Story, seeds: u64) {
    if let Ok(seed) = env::var("COREWISE_SEED") {
        return run(story, seed.parse().expect("COREWISE_SEED is a number"));
    }
    for seed in 0..seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(story, seed))) {
            eprintln!("seed {seed} of {story:?}: COREWISE_SEED={seed} runs it alone");
            resume_unwind(panic);
        }
    }
}

/// A deliberate mistake must be found within some thousand seeds.
fn must_fail(story: Story) {
    let found =
        (0..TWIN_SEEDS).find(|&seed| catch_unwind(AssertUnwindSafe(|| run(story, seed))).is_err());
    assert!(found.is_some(), "{:?} was not found in {TWIN_SEEDS} seeds", story.twin);
}

fn run(story: Story, seed: u64) {
    let pick = |shift: u32, bound: u64| (seed.wrapping_mul(0x9e37_79b9) >> shift) % bound;
    let shape = Shape {
        shards: 1 + pick(3, 2) as u16,
        workers: 1 + pick(5, 3) as u8,
        slots: 1 + pick(7, 4) as u32,
        slot_bytes: 64,
        request_blocks: if story.long { 1 + pick(23, 6) as u16 } else { 0 },
        response_blocks: if story.long { 1 + pick(27, 6) as u16 } else { 0 },
    };
    let window_ns = [0, 2_000, 10_000][pick(11, 3) as usize];
    let spin = SpinPolicy { window_ns, gap_ns: u64::MAX, beside_others: pick(15, 2) == 0 };
    let plan = Plan {
        jobs: 12,
        cancel_one_in: if story.cancels { 4 } else { 0 },
        deadline_one_in: if story.deadlines { 3 } else { 0 },
        jobs_max: 1 + pick(13, 2) as usize,
        spin,
        bounded_wait: story.nets,
        deaths: story.worker_kills > 0,
        long: story.long,
    };
    let weather = Weather {
        switch_one_in: [1, 2, 8, 40][pick(17, 4) as usize],
        worker_kills: story.worker_kills,
        shard_kills: story.shard_kills,
        kill_one_in: [60, 300][pick(19, 2) as usize],
        stop_one_in: if story.stops { 400 } else { 0 },
    };
    let machine = Machine::new(shape, seed, story.twin, story.nets);
    let ledger = Ledger::new(plan, shape.shards);
    let context: Rc<dyn Any> = Rc::<Ledger>::clone(&ledger);
    let mut scheduler = Scheduler::new(&machine, weather, context, act);
    scheduler.spawn(Role::Supervisor);
    let (mut progress, mut since) = (0, machine.clock());
    while !(ledger.is_done() && scheduler.is_quiet() && all_free(&machine)) {
        scheduler.step();
        if scheduler.is_quiet() {
            if story.nets {
                assert_nothing_waits(&machine);
            }
            let seen = *ledger.ended.borrow();
            if progress != seen {
                (progress, since) = (seen, machine.clock());
            }
            assert!(machine.clock() - since < IDLE_NS_MAX, "nothing happens any more: wedged");
        }
        assert!(scheduler.steps() < STEPS_MAX, "too many steps: wedged");
    }
    for shard in machine.layout().shards() {
        assert!(scheduler.has(Role::Shard(shard)));
    }
    // Who sleeps has not seen what came back since.
    machine.ring_all();
    while !scheduler.is_quiet() {
        scheduler.step();
    }
    for (&role, &free) in ledger.free_blocks.borrow().iter() {
        let all = match role {
            Role::Shard(_) => shape.request_blocks,
            Role::Worker(_) => shape.response_blocks,
            Role::Supervisor => 0,
        };
        assert_eq!(free, usize::from(all), "blocks of {role:?} are lost");
    }
    if story.is_calm() {
        assert_eq!(*ledger.answered.borrow(), u64::from(plan.jobs) * u64::from(shape.shards));
    }
}

/// When everybody sleeps, no job may wait for a worker and no answer for its shard: not even
/// until the next tick.
fn assert_nothing_waits(machine: &Machine) {
    for (word, place) in states(machine) {
        let waits = match word.state {
            SlotState::Free | SlotState::Cancelled => false,
            SlotState::Ready
            | SlotState::Claimed(_)
            | SlotState::Running(_)
            | SlotState::Done(_) => true,
        };
        assert!(!waits, "all sleep while slot {place} is {:?}", word.state);
    }
}

fn all_free(machine: &Machine) -> bool {
    states(machine).all(|(word, _)| word.state == SlotState::Free)
}

fn states(machine: &Machine) -> impl Iterator<Item = (StateWord, String)> + '_ {
    let layout = machine.layout();
    layout.shards().flat_map(move |shard| {
        layout.slots().map(move |slot| {
            let word = machine.peek(layout.slot(shard, slot).state());
            (StateWord::unpack(word).expect("a state"), format!("{} of {shard}", slot.0))
        })
    })
}

const TWIN_SEEDS: u64 = 5000;
const STEPS_MAX: u64 = 400_000;
/// So long without the end of a job, where every tick should end one.
const IDLE_NS_MAX: u64 = 80 * TICK_NS;
