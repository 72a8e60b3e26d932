//! What is done about the memory of pools: who is buried when, workers that do not come back from a
//! job, and memory that holds what cannot be. `World` sees to it that nobody is ordered into the
//! place of somebody who was not buried, and that there is a seat for every shard.

use super::pools::{FAILS, pool, template, worker};
use super::*;
use crate::supervisor::state::JobNote;

fn job() -> JobNote {
    JobNote { route: "GET /hang".to_owned(), ran: SECOND }
}

impl World {
    pub(super) fn late(&mut self, id: ChildId) {
        self.state.handle_overdue(id, job(), self.now);
        self.obey();
    }

    pub(super) fn accuse(&mut self, from: ChildId, worker: ChildId) {
        self.state.handle_worker_broken(from, worker);
        self.obey();
    }

    /// The next worker of a place is there and ready.
    fn come_back(&mut self, id: ChildId) {
        self.show_up(id);
        self.say(id, FromChild::Ready);
    }

    fn signals_to(&self, id: ChildId) -> Vec<Signal> {
        self.signalled.iter().filter(|(to, _)| *to == id).map(|(_, signal)| *signal).collect()
    }
}

#[test]
fn every_way_to_be_gone_is_told_to_the_memory() {
    let mut world = World::working(2);
    let serving: Vec<ChildId> = world.enlisted.iter().copied().collect();
    assert_eq!(serving, [id(0, 1), worker(0, 1), worker(1, 1)]);
    world.die(worker(0, 1), KILLED);
    // Dead before it was ready, twice; then one that never shows up.
    for incarnation in 2..4 {
        assert!(world.enlisted.contains(&worker(0, incarnation)));
        world.show_up(worker(0, incarnation));
        world.die(worker(0, incarnation), FAILS);
        world.pass(SECOND);
    }
    world.never_show_up(worker(0, 4));
    world.pass(SECOND);
    world.come_back(worker(0, 5));
    world.die(id(0, 1), KILLED);
    let serving: Vec<ChildId> = world.enlisted.iter().copied().collect();
    assert_eq!(serving, [id(0, 2), worker(0, 5), worker(1, 1)]);
}

#[test]
fn a_worker_killed_as_often_as_it_comes_back_is_buried_each_time() {
    let mut world = World::working(1);
    for incarnation in 1..=20 {
        world.die(worker(0, incarnation), KILLED);
        world.pass(SECOND);
        world.come_back(worker(0, incarnation + 1));
    }
    assert_eq!(world.spawned, 3 + 20);
}

#[test]
fn one_who_does_not_come_back_from_a_job_is_ended_in_two_steps() {
    let mut world = World::working(2);
    world.late(worker(0, 1));
    assert!(world.has(&Report::Overdue { child: worker(0, 1), job: job() }));
    world.late(worker(0, 1));
    assert_eq!(world.signalled, [(worker(0, 1), Signal::Abort)], "it is told once");
    world.pass(KILL_AFTER);
    assert_eq!(world.signals_to(worker(0, 1)), [Signal::Abort, Signal::Kill]);
    world.die(worker(0, 1), KILLED);
    assert!(world.lives(worker(0, 2)) && world.lives(worker(1, 1)));
    world.late(worker(0, 1));
    assert_eq!(world.signals_to(worker(0, 2)), [], "its successor is somebody else");
}

#[test]
fn a_job_that_hangs_in_a_stop_does_not_last_until_its_end() {
    let mut world = World::working(1);
    world.signal(Signal::Terminate);
    world.pass(2 * MS);
    world.say(id(0, 1), FromChild::AcceptClosed);
    world.die(id(0, 1), LEFT);
    assert!(world.stopped);
    world.late(worker(0, 1));
    assert_eq!(world.signals_to(worker(0, 1)), [Signal::Abort]);
}

#[test]
fn who_writes_what_cannot_be_is_killed_at_once() {
    let mut world = World::working(2);
    world.accuse(worker(0, 1), worker(1, 1));
    assert!(world.signalled.is_empty(), "shards alone say so");
    world.accuse(id(0, 1), worker(9, 1));
    assert!(world.signalled.is_empty(), "there is no such worker");
    world.accuse(id(0, 1), worker(1, 1));
    world.accuse(id(0, 1), worker(1, 1));
    assert_eq!(world.signalled, [(worker(1, 1), Signal::Kill)]);
    assert!(world.has(&Report::WorkerBroken(worker(1, 1))));
    world.die(worker(1, 1), KILLED);
    world.come_back(worker(1, 2));
    world.accuse(id(0, 1), worker(1, 1));
    assert_eq!(world.signals_to(worker(1, 2)), [], "it is somebody else");
}

const BROKEN: FromChild = FromChild::MemoryBroken { pool: 0 };

/// The shard that was told to make room does so.
fn retire(world: &mut World, shard: u16, incarnation: u32) {
    assert_eq!(world.signals_to(id(shard, incarnation)), [Signal::Terminate]);
    world.say(id(shard, incarnation), FromChild::Retiring);
    assert!(world.lives(id(shard, incarnation + 1)));
}

#[test]
fn broken_memory_is_replaced_with_all_who_have_it() {
    let mut world = World::with_pools(3, vec![pool(2)]);
    for shard in 0..3 {
        world.say(id(shard, 1), FromChild::Ready);
    }
    world.say(template(1), FromChild::Ready);
    for index in 0..2 {
        world.come_back(worker(index, 1));
    }
    world.say(worker(0, 1), BROKEN);
    assert!(world.rebuilt.is_empty(), "shards alone say so");
    world.say(id(1, 1), BROKEN);
    world.say(id(2, 1), BROKEN);
    assert_eq!(world.rebuilt, [0], "once for the same memory");
    assert!(world.has(&Report::MemoryBroken { pool: 0 }));
    assert_eq!(world.told(template(1)), Some(ToChild::Stop));
    for index in 0..2 {
        assert_eq!(world.signals_to(worker(index, 1)), [Signal::Kill]);
        world.die(worker(index, 1), KILLED);
    }
    world.pass(MS);
    assert!(!world.lives(worker(0, 2)), "nobody forks into the old memory");
    world.die(template(1), LEFT);
    world.say(template(2), FromChild::Ready);
    for index in 0..2 {
        world.come_back(worker(index, 2));
    }
    for shard in 0..3 {
        retire(&mut world, shard, 1);
        world.say(id(shard, 2), FromChild::Ready);
        if shard < 2 {
            assert_eq!(world.signals_to(id(shard + 1, 1)), [], "one after the other");
        }
        world.die(id(shard, 1), LEFT);
    }
    world.pass(SECOND);
    let told = world.signalled.iter().filter(|(_, signal)| *signal == Signal::Terminate);
    assert_eq!(told.count(), 3, "those with the new memory stay");
    world.say(id(0, 2), BROKEN);
    assert_eq!(world.rebuilt, [0, 0], "the new memory can break too");
}

#[test]
fn memory_that_cannot_be_made_is_tried_again() {
    let mut world = World::working(1);
    world.has_memory = false;
    world.say(id(0, 1), BROKEN);
    world.say(id(0, 1), BROKEN);
    world.pass(9 * SECOND);
    assert_eq!(world.rebuilt, [0]);
    world.pass(SECOND);
    assert_eq!(world.rebuilt, [0, 0]);
    assert_eq!(world.signalled, [], "whoever has the old memory is all there is");
    assert_eq!(world.told(template(1)), None);
    world.has_memory = true;
    world.pass(10 * SECOND);
    assert_eq!(world.rebuilt, [0, 0, 0]);
    assert_eq!(world.signals_to(worker(0, 1)), [Signal::Kill]);
    world.say(id(0, 1), BROKEN);
    assert_eq!(world.rebuilt, [0, 0, 0], "it means what has been replaced");
}

#[test]
fn a_stop_repairs_nothing() {
    let mut world = World::working(1);
    world.signal(Signal::Terminate);
    world.say(id(0, 1), BROKEN);
    assert!(world.rebuilt.is_empty());
}

#[test]
fn a_shard_waits_for_a_seat() {
    let mut world = World::with_pools(2, vec![pool(1)]);
    for shard in 0..2 {
        world.say(id(shard, 1), FromChild::Ready);
    }
    world.say(id(0, 1), FromChild::Retiring);
    assert!(world.lives(id(0, 2)));
    world.say(id(1, 1), FromChild::Retiring);
    world.pass(SECOND);
    assert!(!world.lives(id(1, 2)), "two leave, and one seat is spare");
    world.die(id(0, 1), LEFT);
    assert!(world.lives(id(1, 2)));
}
