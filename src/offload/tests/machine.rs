//! A machine with memory, a clock and doorbells, whose processes are coroutines: between any two
//! shared accesses the scheduler may go on with another one, stop one for a while, or kill it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::offload::layout::{Area, Doorbell, Layout, Shape, Span, Word};
use crate::offload::word::{ShardIndex, WorkerIndex};
use crate::offload::world::{Ordering, Twin, World};

/// A process by what it is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Role {
    Shard(ShardIndex),
    Supervisor,
    Worker(WorkerIndex),
}

/// Why a process lets go of the machine.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pause {
    /// It is about to touch what is shared.
    Access,
    /// It waits for its doorbell, or until a time.
    Block { until: u64 },
}

/// All that outlives a process.
pub(super) struct Machine {
    layout: Layout,
    words: Vec<Cell<u64>>,
    control: RefCell<Vec<u8>>,
    requests: RefCell<Vec<u8>>,
    /// Counters are nobody's business: to switch there would find nothing.
    quiet: Vec<bool>,
    bells: Vec<Cell<bool>>,
    clock: Cell<u64>,
    random: Cell<u64>,
    /// Who is dead, as the kernel tells the supervisor.
    pub(super) dead: RefCell<VecDeque<Role>>,
    /// Whom the supervisor wants started.
    pub(super) births: RefCell<VecDeque<Role>>,
    twin: Twin,
    /// Whether the supervisor rings for everybody after a death.
    kicks: bool,
}

impl Machine {
    pub(super) fn new(shape: Shape, seed: u64, twin: Twin, kicks: bool) -> Rc<Self> {
        let layout = Layout::new(shape).unwrap();
        let control = usize::try_from(layout.control_bytes()).unwrap();
        let requests = usize::try_from(layout.request_bytes()).unwrap();
        let mut quiet = vec![false; control / 8];
        for index in 0..crate::offload::layout::COUNTER_WORDS {
            for worker in layout.workers() {
                quiet[layout.worker_counter(worker, index).index()] = true;
            }
            for shard in layout.shards() {
                quiet[layout.shard_counter(shard, index).index()] = true;
            }
        }
        let processes = usize::from(shape.shards) + usize::from(shape.workers) + 1;
        Rc::new(Self {
            layout,
            words: vec![Cell::new(0); control / 8],
            control: RefCell::new(vec![0; control]),
            requests: RefCell::new(vec![0; requests]),
            quiet,
            bells: vec![Cell::new(false); processes],
            clock: Cell::new(1_000_000),
            random: Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            dead: RefCell::default(),
            births: RefCell::default(),
            twin,
            kicks,
        })
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(super) fn clock(&self) -> u64 {
        self.clock.get()
    }

    /// A look that disturbs nobody.
    pub(super) fn peek(&self, at: Word) -> u64 {
        self.words[at.index()].get()
    }

    /// A number below `bound`.
    pub(super) fn random(&self, bound: u64) -> u64 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    pub(super) fn chance(&self, one_in: u64) -> bool {
        self.random(one_in) == 0
    }

    /// Has everybody look.
    pub(super) fn ring_all(&self) {
        self.bells.iter().for_each(|bell| bell.set(true));
    }

    fn bell(&self, role: Role) -> &Cell<bool> {
        let shards = usize::from(self.layout.shape().shards);
        let index = match role {
            Role::Shard(shard) => usize::from(shard.0),
            Role::Worker(worker) => shards + usize::from(worker.0),
            Role::Supervisor => self.bells.len() - 1,
        };
        &self.bells[index]
    }
}

/// What a process sees of the machine.
pub(super) struct Process<'y> {
    pub(super) machine: Rc<Machine>,
    role: Role,
    yielder: &'y Yielder<(), Pause>,
}

impl Process<'_> {
    /// Waits for the doorbell, at most until a time, and takes its count.
    pub(super) fn block(&self, until: u64) {
        self.yielder.suspend(Pause::Block { until });
        self.machine.bell(self.role).set(false);
    }

    /// Lets others go on.
    pub(super) fn step(&self) {
        self.yielder.suspend(Pause::Access);
    }

    fn word(&self, at: Word) -> &Cell<u64> {
        if !self.machine.quiet[at.index()] {
            self.step();
        }
        &self.machine.words[at.index()]
    }

    fn bytes(&self, at: Span) -> &RefCell<Vec<u8>> {
        self.step();
        match at.area() {
            Area::Control => &self.machine.control,
            Area::Requests => &self.machine.requests,
        }
    }
}

impl World for &Process<'_> {
    fn layout(&self) -> &Layout {
        &self.machine.layout
    }

    fn load(&self, at: Word, _: Ordering) -> u64 {
        self.word(at).get()
    }

    fn store(&self, at: Word, value: u64, _: Ordering) {
        self.word(at).set(value);
    }

    fn compare_exchange(&self, at: Word, current: u64, new: u64, _: Ordering) -> Result<u64, u64> {
        let word = self.word(at);
        if word.get() == current { Ok(word.replace(new)) } else { Err(word.get()) }
    }

    fn swap(&self, at: Word, value: u64, _: Ordering) -> u64 {
        self.word(at).replace(value)
    }

    fn fetch_or(&self, at: Word, bits: u64, _: Ordering) -> u64 {
        let word = self.word(at);
        word.replace(word.get() | bits)
    }

    fn fetch_and(&self, at: Word, bits: u64, _: Ordering) -> u64 {
        let word = self.word(at);
        word.replace(word.get() & bits)
    }

    fn fetch_add(&self, at: Word, value: u64, _: Ordering) -> u64 {
        let word = self.word(at);
        word.replace(word.get().wrapping_add(value))
    }

    fn fence(&self, _: Ordering) {}

    fn ring(&self, doorbell: Doorbell) {
        if self.role == Role::Supervisor && !self.machine.kicks {
            return;
        }
        self.step();
        let role = match doorbell {
            Doorbell::Shard(shard) => Role::Shard(shard),
            Doorbell::Worker(worker) => Role::Worker(worker),
        };
        self.machine.bell(role).set(true);
    }

    fn now(&self) -> u64 {
        self.machine.clock.get()
    }

    fn copy_in(&self, at: Span, bytes: &[u8]) {
        assert!(bytes.len() <= at.bytes() as usize);
        let mut memory = self.bytes(at).borrow_mut();
        memory[at.offset()..][..bytes.len()].copy_from_slice(bytes);
    }

    fn copy_out(&self, at: Span, into: &mut [u8]) {
        assert!(into.len() <= at.bytes() as usize);
        let memory = self.bytes(at).borrow();
        into.copy_from_slice(&memory[at.offset()..][..into.len()]);
    }

    fn twin(&self) -> Twin {
        self.machine.twin
    }
}

type Body = Coroutine<(), Pause, (), DefaultStack>;

struct Running {
    role: Role,
    body: Body,
    /// Until when it blocks, if it does.
    blocked: Option<u64>,
    /// The step at which it goes on after a stop.
    stopped_until: u64,
}

/// What the scheduler does to processes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// Another process goes on after one access in so many.
    pub(super) switch_one_in: u64,
    /// Kills of workers, and of shards.
    pub(super) worker_kills: u32,
    pub(super) shard_kills: u32,
    /// One kill in about so many accesses, as long as there are some left.
    pub(super) kill_one_in: u64,
    /// One stop in about so many accesses; 0 is none.
    pub(super) stop_one_in: u64,
}

/// The processes of a machine, and who goes on.
pub(super) struct Scheduler {
    machine: Rc<Machine>,
    running: Vec<Running>,
    start: fn(&Process<'_>, Role, &Rc<dyn std::any::Any>),
    context: Rc<dyn std::any::Any>,
    weather: Weather,
    steps: u64,
    current: usize,
}

impl Scheduler {
    pub(super) fn new(
        machine: &Rc<Machine>,
        weather: Weather,
        context: Rc<dyn std::any::Any>,
        start: fn(&Process<'_>, Role, &Rc<dyn std::any::Any>),
    ) -> Self {
        let machine = Rc::clone(machine);
        Self { machine, running: Vec::new(), start, context, weather, steps: 0, current: 0 }
    }

    pub(super) fn spawn(&mut self, role: Role) {
        let (machine, context, start) =
            (Rc::clone(&self.machine), Rc::clone(&self.context), self.start);
        let stack = DefaultStack::new(128 << 10).unwrap();
        let body = Coroutine::with_stack(stack, move |yielder: &Yielder<(), Pause>, ()| {
            start(&Process { machine, role, yielder }, role, &context);
        });
        self.running.push(Running { role, body, blocked: None, stopped_until: 0 });
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// True when nobody can go on before the clock does, nobody is stopped, and every death has
    /// been dealt with.
    pub(super) fn is_quiet(&self) -> bool {
        let resting = |process: &Running| {
            process.stopped_until <= self.steps
                && process.blocked.is_some_and(|until| until > self.machine.clock())
                && !self.machine.bell(process.role).get()
        };
        self.machine.dead.borrow().is_empty()
            && self.machine.births.borrow().is_empty()
            && self.running.iter().all(resting)
    }

    pub(super) fn has(&self, role: Role) -> bool {
        self.running.iter().any(|process| process.role == role)
    }

    /// One access of one process, or a jump of the clock when all wait.
    pub(super) fn step(&mut self) {
        self.steps += 1;
        self.machine.clock.set(self.machine.clock() + NS_PER_STEP);
        while let Some(role) = self.take_birth() {
            self.spawn(role);
        }
        self.do_harm();
        let ready: Vec<usize> =
            (0..self.running.len()).filter(|&index| self.can_go_on(index)).collect();
        if ready.is_empty() {
            return self.wait();
        }
        let stay =
            ready.contains(&self.current) && !self.machine.chance(self.weather.switch_one_in);
        if !stay {
            self.current = ready[self.machine.random(ready.len() as u64) as usize];
        }
        let process = &mut self.running[self.current];
        match process.body.resume(()) {
            CoroutineResult::Yield(Pause::Access) => process.blocked = None,
            CoroutineResult::Yield(Pause::Block { until }) => process.blocked = Some(until),
            CoroutineResult::Return(()) => {
                let process = self.running.remove(self.current);
                self.announce_end(process.role);
            }
        }
    }

    fn take_birth(&self) -> Option<Role> {
        self.machine.births.borrow_mut().pop_front()
    }

    fn can_go_on(&self, index: usize) -> bool {
        let process = &self.running[index];
        let awake = process.blocked.is_none_or(|until| {
            until <= self.machine.clock() || self.machine.bell(process.role).get()
        });
        awake && process.stopped_until <= self.steps
    }

    /// Nobody can go on: the time passes until somebody can.
    fn wait(&mut self) {
        let stops = self.running.iter().map(|process| process.stopped_until);
        if let Some(step) = stops.filter(|&until| until > self.steps).min() {
            self.steps = step;
            return;
        }
        let until = self.running.iter().filter_map(|process| process.blocked).min();
        let until = until.expect("somebody runs, or waits for a time");
        self.machine.clock.set(until.max(self.machine.clock()));
    }

    fn do_harm(&mut self) {
        let weather = self.weather;
        let kills_left = weather.worker_kills + weather.shard_kills > 0;
        if kills_left && self.machine.chance(weather.kill_one_in) {
            self.kill_somebody();
        }
        if weather.stop_one_in > 0 && self.machine.chance(weather.stop_one_in) {
            let index = self.machine.random(self.running.len() as u64) as usize;
            self.running[index].stopped_until = self.steps + self.machine.random(2000);
        }
    }

    fn kill_somebody(&mut self) {
        let index = self.machine.random(self.running.len() as u64) as usize;
        let left = match self.running[index].role {
            Role::Shard(_) => &mut self.weather.shard_kills,
            Role::Worker(_) => &mut self.weather.worker_kills,
            Role::Supervisor => return,
        };
        if *left > 0 {
            *left -= 1;
            // Dropping the coroutine ends it where it stands, before its next access.
            let process = self.running.remove(index);
            self.announce_end(process.role);
        }
    }

    fn announce_end(&self, role: Role) {
        self.machine.dead.borrow_mut().push_back(role);
        self.machine.bell(Role::Supervisor).set(true);
    }
}

/// What an access takes.
const NS_PER_STEP: u64 = 100;
