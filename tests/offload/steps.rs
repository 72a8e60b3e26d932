//! Kill at every instruction: whoever dies wherever, nothing is wedged, lost, doubled or leaked.
//!
//! A child plays a part of the protocol (`scenes`) and is led by single steps (`trace`). After so
//! many instructions it is killed and buried, its place is taken anew, and everybody else goes on
//! (`pool`) until all is settled. Then once more, one instruction later, until it comes to the
//! end of its part.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::Ordering;

use corewise::sys::affinity;
use corewise::sys::clock::monotonic_ns;
use corewise::sys::process::{Ended, Fork, Pid, fork, wait_for};

use crate::pool::{JOBS_MAX, Stage};
use crate::scenes::{SCENES, Scene};
use crate::shared::Words;
use crate::trace::{Path, Point, Tracee};
use crate::{Extent, setting};

/// `COREWISE_PART` chooses the part of a sample, which the clock does otherwise; `COREWISE_SCENE`
/// the scenes whose name contains it.
pub(crate) fn kill_at_every_instruction(extent: Extent) {
    let parts = if extent == Extent::Sample { PARTS } else { 1 };
    let part = setting("COREWISE_PART", monotonic_ns() / 1_000_000) % parts;
    println!("part {part} of {parts}: COREWISE_PART={part} kills at the same instructions again");
    let cpus = affinity::allowed().unwrap();
    let tallies = Words::new(Tally::COUNT);
    let share = |index: usize| Share { index: index as u64, of: cpus.len() as u64, part, parts };
    let drivers: Vec<Pid> = cpus
        .iter()
        .enumerate()
        .map(|(index, &cpu)| child(|| drive(cpu, share(index), &tallies)))
        .collect();
    for pid in drivers {
        assert_eq!(wait_for(pid).unwrap(), Ended::Code(0));
    }
    let tally = |tally: Tally| tallies.at(tally as usize).load(Ordering::Relaxed);
    println!(
        "{} kills, among them after each of the {} instructions of {} that change what others \
         see; {} missed their point; ticks needed at most {}",
        tally(Tally::Kills),
        tally(Tally::Changes),
        tally(Tally::Instructions),
        tally(Tally::Misses),
        tally(Tally::Ticks)
    );
    assert!(tally(Tally::Kills) > tally(Tally::Changes), "a part of nothing");
    assert!(tally(Tally::Misses) * 8 < tally(Tally::Kills), "the way is another one each time");
}

/// The same proof of a protocol whose doorbells do not ring must fail.
pub(crate) fn lost_rings_are_found(_: Extent) {
    let pid = child(|| {
        // What is expected here needs no report.
        std::panic::set_hook(Box::new(|_| {}));
        let runs = Rc::new(Words::new(JOBS_MAX));
        let scene = SCENES.iter().find(|scene| scene.name.contains("that sleeps")).unwrap();
        let moments = rehearse(scene, &runs);
        let lead = |tracee: &Tracee| tracee.go_to(moments[0].point);
        let with = |prepare: fn(&Stage)| {
            let strike = || strike_after(scene, &runs, prepare, lead);
            catch_unwind(AssertUnwindSafe(strike)).is_ok()
        };
        assert!(with(|_| {}), "it is found because nothing works");
        assert!(!with(Stage::lose_rings), "it is not found");
    });
    assert_eq!(wait_for(pid).unwrap(), Ended::Code(0));
}

/// Which instructions one of several drivers kills at.
#[derive(Clone, Copy, Debug)]
struct Share {
    index: u64,
    of: u64,
    part: u64,
    parts: u64,
}

impl Share {
    /// Each instruction belongs to one driver, and each block of successive ones to one part; one
    /// after which others see something new belongs to all parts.
    fn has(self, instruction: usize, moment: &Moment) -> bool {
        let instruction = instruction as u64;
        let is_chosen = moment.changed || instruction / BLOCK % self.parts == self.part;
        is_chosen && instruction % self.of == self.index
    }
}

/// What the drivers count together.
#[derive(Clone, Copy, Debug)]
enum Tally {
    Changes,
    Instructions,
    Kills,
    /// Kills at the end of a part, because the point was not on its way this time.
    Misses,
    Ticks,
}

impl Tally {
    const COUNT: usize = 5;
}

fn add(tallies: &Words, tally: Tally, number: u64) {
    tallies.at(tally as usize).fetch_add(number, Ordering::Relaxed);
}

/// One CPU's share of all scenes: a tracee and its tracer change places fastest on one.
fn drive(cpu: usize, share: Share, tallies: &Words) {
    affinity::pin(cpu).unwrap();
    let runs = Rc::new(Words::new(JOBS_MAX));
    let filter = std::env::var("COREWISE_SCENE").unwrap_or_default();
    for scene in SCENES.iter().filter(|scene| scene.name.contains(&filter)) {
        let moments = rehearse(scene, &runs);
        if share.index == 0 {
            let changes = moments.iter().filter(|moment| moment.changed).count();
            add(tallies, Tally::Changes, changes as u64);
            add(tallies, Tally::Instructions, moments.len() as u64);
        }
        for (at, moment) in moments.iter().enumerate().filter(|(at, moment)| share.has(*at, moment))
        {
            let struck = catch_unwind(AssertUnwindSafe(|| strike(scene, moment, &runs)));
            let (hit, ticks) = struck.unwrap_or_else(|panic| {
                eprintln!("'{}', killed at instruction {at} of {}", scene.name, moments.len());
                resume_unwind(panic)
            });
            add(tallies, Tally::Kills, 1);
            add(tallies, Tally::Misses, u64::from(!hit));
            tallies.at(Tally::Ticks as usize).fetch_max(ticks.into(), Ordering::Relaxed);
        }
    }
}

/// An instruction of a part.
#[derive(Clone, Copy, Debug)]
struct Moment {
    point: Point,
    /// How many steps led to it.
    steps: u64,
    /// Before it memory or doorbells are not as they were before the one before it. Between two
    /// such moments a process touches only what is its own: to be killed at one or at the other
    /// instruction there is the same to everybody else.
    changed: bool,
}

/// All instructions of a scene as it goes when nobody is killed.
fn rehearse(scene: &Scene, runs: &Rc<Words>) -> Vec<Moment> {
    let mut stage = Stage::new(runs);
    (scene.prepare)(&mut stage);
    let tracee = Tracee::start(|| (scene.play)(&mut stage));
    let (mut sight, mut path) = (stage.sight(), Path::default());
    let mut moments = Vec::new();
    let (mut steps, mut changed) = (0, true);
    while tracee.step() {
        steps += 1;
        changed |= sight.has_changed(&stage);
        if let Some(point) = path.point_of(&tracee) {
            moments.push(Moment { point, steps, changed });
            changed = false;
        }
    }
    tracee.kill();
    moments
}

/// Kills at a moment. Whether that was found, and how often nothing but a tick helped.
fn strike(scene: &Scene, moment: &Moment, runs: &Rc<Words>) -> (bool, u32) {
    let (hit, ticks) = strike_after(scene, runs, |_| {}, |tracee| tracee.go_to(moment.point));
    if hit || !moment.changed {
        return (hit, ticks);
    }
    // Slow, but the way there is the same in all that matters.
    strike_after(scene, runs, |_| {}, |tracee| (0..moment.steps).all(|_| tracee.step()))
}

/// Plays a scene, with what `spoil` did to it, up to where `lead` leads, kills there, and sees what
/// becomes of it all.
fn strike_after(
    scene: &Scene,
    runs: &Rc<Words>,
    spoil: fn(&Stage),
    lead: impl FnOnce(&Tracee) -> bool,
) -> (bool, u32) {
    let mut stage = Stage::new(runs);
    (scene.prepare)(&mut stage);
    spoil(&stage);
    let tracee = Tracee::start(|| (scene.play)(&mut stage));
    stage.give_away(scene.role);
    let hit = lead(&tracee);
    tracee.kill();
    stage.bury(scene.role);
    stage.succeed(scene.role);
    stage.settle();
    stage.prove_alive();
    (hit, stage.ticks())
}

fn child(body: impl FnOnce()) -> Pid {
    match fork().unwrap() {
        Fork::Child(forked) => forked.exit_with(|_| {
            body();
            0
        }),
        Fork::Parent(pid) => pid,
    }
}

/// A sample is one part of so many.
const PARTS: u64 = 12;
/// Successive instructions that belong to the same part.
const BLOCK: u64 = 16;
