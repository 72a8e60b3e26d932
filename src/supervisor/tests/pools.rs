//! Pools in virtual time: templates, their workers, and what they have to do with shards.

use super::*;

const BOOT: Duration = Duration::from_secs(120);
const STAGGER: Duration = Duration::from_millis(200);
pub(super) const FAILS: Ended = Ended::Code(3);

pub(super) fn pool(workers: u16) -> PoolPlan {
    PoolPlan {
        workers,
        boot: BOOT,
        parallel: 2,
        stagger: Duration::ZERO,
        restarts: RestartLimits::OF_SHARDS,
    }
}

/// A small pool of any shape.
pub(super) fn random(dice: &mut Dice) -> PoolPlan {
    PoolPlan {
        workers: 1 + u16::try_from(dice.roll(4)).unwrap(),
        boot: Duration::from_secs(1 + dice.roll(20)),
        parallel: 1 + usize::try_from(dice.roll(3)).unwrap(),
        stagger: Duration::from_millis(dice.roll(500)),
        restarts: RestartLimits::OF_SHARDS,
    }
}

pub(super) fn template(incarnation: u32) -> ChildId {
    ChildId { role: Role::Template { pool: 0 }, incarnation }
}

pub(super) fn worker(index: u16, incarnation: u32) -> ChildId {
    ChildId { role: Role::Worker { pool: 0, index }, incarnation }
}

impl World {
    /// One shard serves, and the pool has loaded.
    fn loaded(plan: PoolPlan) -> Self {
        let mut world = Self::with_pools(1, vec![plan]);
        world.say(id(0, 1), FromChild::Ready);
        world.say(template(1), FromChild::Ready);
        world
    }

    /// Everybody is ready.
    pub(super) fn working(workers: u16) -> Self {
        let mut world = Self::loaded(pool(workers));
        for index in 0..workers {
            world.show_up(worker(index, 1));
            world.say(worker(index, 1), FromChild::Ready);
        }
        assert_eq!(world.announced, 1);
        world
    }

    pub(super) fn show_up(&mut self, id: ChildId) {
        self.say(id, FromChild::Started { pid: 7 });
    }

    pub(super) fn lives(&self, id: ChildId) -> bool {
        self.living.contains_key(&id)
    }

    /// A worker that was ordered will never show up.
    pub(super) fn never_show_up(&mut self, id: ChildId) {
        assert!(self.living.remove(&id).is_some());
        self.state.handle_spawn_failed(id, self.now);
        self.obey();
    }
}

#[test]
fn shards_then_templates_then_workers() {
    let mut world = World::with_pools(2, vec![pool(1), pool(1)]);
    assert_eq!(world.ids(), [id(0, 1), id(1, 1)]);
    world.say(id(0, 1), FromChild::Ready);
    assert_eq!(world.spawned, 2, "a template would take time from the other shard");
    world.say(id(1, 1), FromChild::Ready);
    assert_eq!((world.spawned, world.announced), (4, 0));
    let other = ChildId { role: Role::Template { pool: 1 }, incarnation: 1 };
    world.say(other, FromChild::Ready);
    assert_eq!(world.spawned, 5, "a pool waits for no other pool");
    let other = ChildId { role: Role::Worker { pool: 1, index: 0 }, incarnation: 1 };
    world.show_up(other);
    world.say(other, FromChild::Ready);
    assert_eq!(world.announced, 0, "one pool has nobody");
    world.say(template(1), FromChild::Ready);
    world.show_up(worker(0, 1));
    world.say(worker(0, 1), FromChild::Ready);
    assert_eq!((world.spawned, world.announced), (6, 1));
}

#[test]
fn to_be_ready_is_told_once() {
    let mut world = World::working(1);
    let told = |world: &World| {
        world.reports.iter().filter(|report| **report == Report::Ready(worker(0, 1))).count()
    };
    world.say(worker(0, 1), FromChild::Ready);
    assert_eq!(told(&world), 1);
}

#[test]
fn one_worker_of_each_pool_is_enough() {
    let mut world = World::loaded(pool(3));
    world.show_up(worker(0, 1));
    world.say(worker(0, 1), FromChild::Ready);
    assert_eq!(world.announced, 1);
}

#[test]
fn a_pool_whose_worker_died_again_is_not_announced() {
    let mut world = World::with_pools(1, vec![pool(1), pool(1)]);
    world.say(id(0, 1), FromChild::Ready);
    world.say(template(1), FromChild::Ready);
    world.show_up(worker(0, 1));
    world.say(worker(0, 1), FromChild::Ready);
    world.die(worker(0, 1), KILLED);
    let (other, its_worker) = (Role::Template { pool: 1 }, Role::Worker { pool: 1, index: 0 });
    world.say(ChildId { role: other, incarnation: 1 }, FromChild::Ready);
    let its_worker = ChildId { role: its_worker, incarnation: 1 };
    world.show_up(its_worker);
    world.say(its_worker, FromChild::Ready);
    assert_eq!(world.announced, 0);
    world.show_up(worker(0, 2));
    world.say(worker(0, 2), FromChild::Ready);
    assert_eq!(world.announced, 1);
}

#[test]
fn workers_start_some_at_a_time_and_one_after_the_other() {
    let mut world = World::loaded(PoolPlan { stagger: STAGGER, ..pool(4) });
    assert!(world.lives(worker(0, 1)) && !world.lives(worker(1, 1)));
    world.pass(STAGGER);
    assert!(world.lives(worker(1, 1)));
    world.pass(10 * STAGGER);
    assert!(!world.lives(worker(2, 1)), "two at a time");
    world.show_up(worker(1, 1));
    world.pass(10 * STAGGER);
    assert!(!world.lives(worker(2, 1)), "to be there is not to be ready");
    world.say(worker(1, 1), FromChild::Ready);
    assert!(world.lives(worker(2, 1)) && !world.lives(worker(3, 1)));
    world.show_up(worker(0, 1));
    world.say(worker(0, 1), FromChild::Ready);
    assert!(!world.lives(worker(3, 1)), "one after the other");
    world.pass(STAGGER);
    assert!(world.lives(worker(3, 1)));
}

#[test]
fn who_had_been_ready_is_replaced_at_once_whoever_starts_beside_it() {
    let mut world = World::loaded(PoolPlan { stagger: STAGGER, parallel: 1, ..pool(3) });
    for index in 0..3 {
        world.pass(STAGGER);
        world.show_up(worker(index, 1));
        world.say(worker(index, 1), FromChild::Ready);
    }
    for index in 0..3 {
        world.die(worker(index, 1), KILLED);
        assert!(world.lives(worker(index, 2)), "neither spread nor one at a time");
    }
    world.die(worker(0, 2), FAILS);
    world.pass(SECOND);
    assert!(!world.lives(worker(0, 3)), "one that was not ready waits for those who boot");
    for index in 1..3 {
        world.show_up(worker(index, 2));
        world.say(worker(index, 2), FromChild::Ready);
    }
    assert!(world.lives(worker(0, 3)), "replacements have delayed no start");
}

#[test]
fn what_is_held_up_sets_no_timer() {
    let mut world = World::with_pools(1, vec![pool(3)]);
    assert_eq!(world.state.poll_timeout(), Some(world.start + BOOT_MAX), "the boot of the shard");
    world.say(id(0, 1), FromChild::Ready);
    assert_eq!(world.state.poll_timeout(), Some(world.start + BOOT), "that of the template");
    world.say(template(1), FromChild::Ready);
    assert_eq!(world.state.poll_timeout(), Some(world.start + BOOT), "those of two workers");
}

#[test]
fn a_load_error_at_the_start_is_final_and_4() {
    let mut world = World::with_pools(1, vec![pool(2)]);
    world.say(id(0, 1), FromChild::Ready);
    let text = "on_load failed: no tables".to_owned();
    world.say(template(1), FromChild::Failed { code: 4, text: text.clone() });
    assert!(world.has(&Report::Failed { child: template(1), text }));
    world.die(template(1), Ended::Code(4));
    assert_eq!(world.told(id(0, 1)), Some(ToChild::Stop));
    world.die(id(0, 1), LEFT);
    assert_eq!((world.exit, world.spawned), (Some(Exit::AppLoad), 2));
}

#[test]
fn a_load_error_of_a_worker_is_4_too() {
    let mut world = World::loaded(pool(1));
    world.show_up(worker(0, 1));
    world.die(worker(0, 1), Ended::Code(4));
    for id in world.ids() {
        assert_eq!(world.told(id), Some(ToChild::Stop));
        world.die(id, LEFT);
    }
    assert_eq!(world.exit, Some(Exit::AppLoad));
}

/// Lets whoever `dies` do so again and again; what it leads to.
fn fail_again_and_again(world: &mut World, dies: impl Fn(&ChildId) -> bool) {
    while world.told(id(0, 1)).is_none() {
        match world.ids().into_iter().find(&dies) {
            Some(dying) => world.die(dying, FAILS),
            None => world.pass(MS),
        }
        assert!(world.now - world.start < 60 * SECOND, "it goes on for ever");
    }
    for id in world.ids() {
        world.die(id, LEFT);
    }
}

#[test]
fn workers_that_never_become_ready_are_3() {
    let mut world = World::loaded(pool(1));
    fail_again_and_again(&mut world, |id| id.role.is_worker());
    assert_eq!((world.exit, world.spawned), (Some(Exit::NoWorker), 2 + 5));
}

#[test]
fn a_template_that_dies_without_a_word_is_3() {
    let mut world = World::with_pools(1, vec![pool(1)]);
    world.say(id(0, 1), FromChild::Ready);
    fail_again_and_again(&mut world, |id| id.role.is_template());
    assert_eq!((world.exit, world.spawned), (Some(Exit::NoWorker), 1 + 5));
}

#[test]
fn workers_that_hang_are_3_however_long_a_boot_may_take() {
    let mut world = World::loaded(pool(1));
    let mut hung = 0;
    while world.told(id(0, 1)).is_none() {
        let booting = world.ids().into_iter().find(|id| id.role.is_worker());
        if let Some(id) = booting {
            world.show_up(id);
        }
        world.pass(SECOND);
        assert!(world.now - world.start < 6 * BOOT, "it goes on for ever");
        if let Some((id, _)) = world.signalled.pop() {
            world.die(id, KILLED);
            hung += 1;
        }
    }
    for id in world.ids() {
        world.die(id, LEFT);
    }
    assert_eq!((hung, world.exit), (5, Some(Exit::NoWorker)));
}

#[test]
fn a_boot_that_hangs_is_ended_in_two_steps() {
    let mut world = World::loaded(pool(1));
    world.show_up(worker(0, 1));
    world.pass(BOOT);
    assert_eq!(world.signalled, [(worker(0, 1), Signal::Abort)]);
    assert!(world.has(&Report::BootTimeout(worker(0, 1))));
    world.pass(KILL_AFTER);
    assert_eq!(world.signalled.last(), Some(&(worker(0, 1), Signal::Kill)));
    world.die(worker(0, 1), KILLED);
    world.pass(SECOND);
    assert!(world.lives(worker(0, 2)) && world.lives(template(1)));
}

#[test]
fn a_template_that_does_not_fork_is_replaced() {
    let mut world = World::loaded(pool(1));
    world.pass(BOOT);
    let expected = [(template(1), Signal::Abort), (worker(0, 1), Signal::Kill)];
    assert_eq!(world.signalled, expected);
    assert!(world.has(&Report::TemplateStuck(template(1))));
    world.never_show_up(worker(0, 1));
    world.pass(SECOND);
    assert!(!world.lives(worker(0, 2)), "nobody can fork it");
    world.die(template(1), Ended::Signal(6));
    assert!(world.lives(template(2)));
    world.say(template(2), FromChild::Ready);
    assert!(world.lives(worker(0, 2)));
}

#[test]
fn workers_go_on_while_their_template_is_replaced() {
    let mut world = World::working(2);
    world.die(template(1), KILLED);
    assert!(world.lives(template(2)) && world.lives(worker(0, 1)) && world.lives(worker(1, 1)));
    world.die(worker(0, 1), KILLED);
    world.pass(SECOND);
    assert!(!world.lives(worker(0, 2)), "nobody can fork it yet");
    world.say(template(2), FromChild::Ready);
    assert!(world.lives(worker(0, 2)));
    assert_eq!(world.exit, None);
}

#[test]
fn a_worker_that_was_ready_is_replaced_at_once_and_alone() {
    let mut world = World::working(3);
    for incarnation in 1..100 {
        world.die(worker(1, incarnation), KILLED);
        let next = worker(1, incarnation + 1);
        assert!(world.lives(next));
        world.show_up(next);
        world.say(next, FromChild::Ready);
        world.pass(101 * MS);
    }
    assert!(world.lives(worker(0, 1)) && world.lives(worker(2, 1)) && world.lives(id(0, 1)));
    assert_eq!((world.exit, world.announced), (None, 1));
}

#[test]
fn a_pool_that_was_ready_is_never_given_up() {
    let mut world = World::working(1);
    world.die(template(1), KILLED);
    world.die(worker(0, 1), KILLED);
    for _ in 0..50 {
        while !world.ids().iter().any(|id| id.role.is_template()) {
            world.pass(100 * MS);
        }
        let template = world.ids().into_iter().find(|id| id.role.is_template()).unwrap();
        world.die(template, Ended::Code(4));
    }
    assert_eq!(world.exit, None, "the rest still serves");
}

#[test]
fn a_pool_gives_up_for_itself_even_if_another_is_ready() {
    let mut world = World::with_pools(1, vec![pool(1), pool(1)]);
    world.say(id(0, 1), FromChild::Ready);
    world.say(template(1), FromChild::Ready);
    world.show_up(worker(0, 1));
    world.say(worker(0, 1), FromChild::Ready);
    fail_again_and_again(&mut world, |id| id.role == Role::Template { pool: 1 });
    assert_eq!(world.exit, Some(Exit::NoWorker));
}

#[test]
fn shards_are_not_given_up_while_a_pool_still_loads() {
    let mut world = World::with_pools(1, vec![pool(1)]);
    world.say(id(0, 1), FromChild::Ready);
    for incarnation in 1..20 {
        world.die(id(0, incarnation), Ended::Code(71));
        world.pass(30 * SECOND);
        assert!(world.lives(id(0, incarnation + 1)));
        world.signalled.clear();
        if !world.lives(template(1)) {
            break;
        }
    }
    assert_eq!(world.exit, None);
}

#[test]
fn a_stop_goes_from_shards_to_workers_to_templates() {
    let mut world = World::working(2);
    world.signal(Signal::Terminate);
    world.pass(2 * MS);
    assert_eq!(world.told(id(0, 1)), drain(30));
    world.pass(10 * SECOND);
    assert_eq!((world.told(worker(0, 1)), world.told(template(1))), (None, None));
    world.say(id(0, 1), FromChild::AcceptClosed);
    world.die(id(0, 1), LEFT);
    assert_eq!(world.told(worker(0, 1)), drain(20), "what is left of the grace");
    assert_eq!(world.told(worker(1, 1)), drain(20));
    world.die(worker(0, 1), LEFT);
    assert_eq!(world.told(template(1)), None);
    world.die(worker(1, 1), LEFT);
    assert_eq!(world.told(template(1)), Some(ToChild::Stop));
    world.die(template(1), LEFT);
    assert_eq!((world.exit, world.spawned), (Some(Exit::Clean), 4));
    assert!(world.signalled.is_empty());
}

#[test]
fn an_interrupt_cuts_the_grace_of_workers_too() {
    let mut world = World::working(1);
    world.signal(Signal::Terminate);
    world.pass(2 * MS);
    world.say(id(0, 1), FromChild::AcceptClosed);
    world.die(id(0, 1), LEFT);
    assert_eq!(world.told(worker(0, 1)), drain(30));
    world.signal(Signal::Interrupt);
    assert_eq!(world.told(worker(0, 1)), drain(5));
}

#[test]
fn shards_that_finish_get_their_workers_back() {
    let mut world = World::working(1);
    world.signal(Signal::Terminate);
    world.pass(SECOND);
    world.die(worker(0, 1), KILLED);
    assert!(world.lives(worker(0, 2)), "a shard may have a job for it");
    world.show_up(worker(0, 2));
    world.say(worker(0, 2), FromChild::Ready);
    world.die(template(1), KILLED);
    world.pass(SECOND);
    assert!(!world.lives(template(2)), "loading again is not worth it");
    world.say(id(0, 1), FromChild::AcceptClosed);
    world.die(id(0, 1), LEFT);
    assert!(world.told(worker(0, 2)).is_some());
    world.die(worker(0, 2), KILLED);
    assert_eq!(world.exit, Some(Exit::Clean));
}

#[test]
fn a_stop_during_the_start_starts_nobody_else() {
    let mut world = World::loaded(PoolPlan { parallel: 1, ..pool(3) });
    world.signal(Signal::Terminate);
    world.pass(2 * MS);
    world.show_up(worker(0, 1));
    world.say(worker(0, 1), FromChild::Ready);
    assert!(!world.lives(worker(1, 1)));
    world.say(id(0, 1), FromChild::AcceptClosed);
    world.die(id(0, 1), LEFT);
    world.die(worker(0, 1), LEFT);
    world.die(template(1), LEFT);
    assert_eq!((world.exit, world.announced), (Some(Exit::Clean), 0));
}

#[test]
fn force_ends_those_at_work_and_stops_those_that_waited() {
    let mut world = World::working(1);
    world.signal(Signal::Terminate);
    world.pass(2 * MS + 35 * SECOND);
    assert_eq!(world.signalled, [(id(0, 1), Signal::Abort)], "the shard alone had work");
    assert!(world.has(&Report::CutOff { shards: 1, workers: 0 }));
    assert_eq!(world.told(worker(0, 1)), Some(ToChild::Stop));
    assert_eq!(world.told(template(1)), Some(ToChild::Stop));
    for id in world.ids() {
        world.die(id, KILLED);
    }
    assert_eq!(world.exit, Some(Exit::Clean));
}

#[test]
fn a_worker_that_does_not_leave_is_ended() {
    let mut world = World::working(1);
    world.signal(Signal::Terminate);
    world.pass(2 * MS);
    world.say(id(0, 1), FromChild::AcceptClosed);
    world.die(id(0, 1), LEFT);
    world.pass(35 * SECOND);
    assert_eq!(world.signalled, [(worker(0, 1), Signal::Abort)]);
    assert!(world.has(&Report::CutOff { shards: 0, workers: 1 }));
    world.pass(SECOND);
    for id in [worker(0, 1), template(1)] {
        assert!(world.signalled.contains(&(id, Signal::Kill)), "{id:?}");
    }
}

#[test]
fn quit_and_two_interrupts_reach_everybody() {
    let mut world = World::working(1);
    world.signal(Signal::Quit);
    for id in world.ids() {
        assert_eq!(world.told(id), Some(ToChild::Stop));
    }
    let mut world = World::working(1);
    world.signal(Signal::Interrupt);
    world.signal(Signal::Interrupt);
    let killed: Vec<ChildId> = world.signalled.iter().map(|(id, _)| *id).collect();
    assert_eq!(killed, world.ids());
}

#[test]
fn a_suspension_gives_workers_their_time_back() {
    let mut world = World::loaded(PoolPlan { stagger: STAGGER, ..pool(2) });
    world.show_up(worker(0, 1));
    world.now += 3600 * SECOND;
    world.state.handle_suspension(3600 * SECOND);
    world.pass(Duration::ZERO);
    assert!(world.signalled.is_empty());
    assert!(!world.lives(worker(1, 1)));
    world.pass(STAGGER);
    assert!(world.lives(worker(1, 1)));
}

#[test]
fn a_storm_of_a_thousand_deaths_neither_starts_twice_nor_too_often() {
    let mut world = World::working(4);
    let mut starts: BTreeMap<Role, Vec<Instant>> = BTreeMap::new();
    let mut deaths = 0;
    while deaths < 1000 {
        for id in world.ids().into_iter().filter(|id| id.role.is_worker()) {
            world.show_up(id);
            world.say(id, FromChild::Ready);
            starts.entry(id.role).or_default().push(world.now);
            world.die(id, KILLED);
            deaths += 1;
        }
        world.pass(MS);
    }
    // `World::bear` has seen to it that no place was ever filled twice.
    for starts in starts.values() {
        for window in starts.windows(12) {
            assert!(window[11] - window[0] >= SECOND, "more than ten a second");
        }
    }
    assert!(world.now - world.start < 30 * SECOND, "it keeps trying at the full rate");
    assert_eq!(world.exit, None);
    assert!(world.lives(id(0, 1)) && world.lives(template(1)), "the others were left alone");
}
