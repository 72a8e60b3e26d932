//! A pool under load in virtual time: shards with slots and queues, workers, impatient clients.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

const SETTINGS: Settings = Settings { queue_max: 128, queue_wait: QueueWait::Auto };

fn busy(waiting: u64, completed: u64) -> PoolState {
    PoolState { waiting, own_waiting: waiting, begun: completed, completed, alive: true }
}

/// An admission that knows of so many jobs a second.
fn informed(per_second: u64) -> (Admission<u32>, Duration) {
    let mut admission = Admission::new(SETTINGS);
    let mut now = Duration::ZERO;
    for look in 0..200 {
        now = look * 10 * MS;
        admission.handle_pool(busy(1, u64::from(look) * per_second / 100), now);
    }
    (admission, now)
}

#[test]
fn a_job_goes_into_a_free_slot_or_waits_behind_the_others() {
    let mut admission = Admission::new(SETTINGS);
    let start_by = SECOND + SECOND;
    assert_eq!(admission.admit(1, 9 * SECOND, true, SECOND), Ok(Admitted::Submit(1, start_by)));
    let second = admission.admit(2, 9 * SECOND, false, SECOND);
    assert!(matches!(second, Ok(Admitted::Queued(_))));
    let third = admission.admit(3, 9 * SECOND, true, SECOND);
    assert!(matches!(third, Ok(Admitted::Queued(_))), "nobody overtakes");
    assert_eq!(admission.poll_action(false, SECOND), None);
    assert_eq!(admission.poll_action(true, SECOND), Some(Action::Submit(2, start_by)));
    assert_eq!(admission.poll_action(true, SECOND), Some(Action::Submit(3, start_by)));
    assert_eq!(admission.poll_action(true, SECOND), None);
}

#[test]
fn a_full_queue_refuses() {
    let settings = Settings { queue_max: 1, ..SETTINGS };
    let mut admission = Admission::new(settings);
    assert!(admission.admit(1, SECOND, false, Duration::ZERO).is_ok());
    let refused = admission.admit(2, SECOND, false, Duration::ZERO);
    assert_eq!(refused, Err(Refused { job: 2, retry_after: 1 }));
}

#[test]
fn a_job_expires_at_its_deadline_or_when_it_has_waited_enough() {
    let mut admission = Admission::new(SETTINGS);
    admission.admit(1, 9 * SECOND, false, Duration::ZERO).unwrap();
    admission.admit(2, 500 * MS, false, Duration::ZERO).unwrap();
    assert_eq!(admission.poll_timeout(), Some(500 * MS));
    assert_eq!(admission.poll_action(false, 499 * MS), None);
    let refused = |job| Some(Action::Refuse(Refused { job, retry_after: 1 }));
    assert_eq!(admission.poll_action(true, 500 * MS), refused(2));
    assert_eq!(admission.poll_timeout(), Some(SECOND));
    assert_eq!(admission.poll_action(true, SECOND), refused(1));
    assert_eq!((admission.poll_action(true, SECOND), admission.poll_timeout()), (None, None));
}

#[test]
fn a_client_that_leaves_takes_its_job_along() {
    let mut admission = Admission::new(SETTINGS);
    let Ok(Admitted::Queued(ticket)) = admission.admit(1, SECOND, false, Duration::ZERO) else {
        panic!("there is no free slot");
    };
    assert_eq!(admission.queued(), 1);
    assert_eq!(admission.cancel(ticket), Some(1));
    assert_eq!(admission.cancel(ticket), None);
    assert_eq!(admission.poll_action(true, 2 * SECOND), None);
}

#[test]
fn what_would_wait_too_long_is_refused_with_the_time_to_come_back() {
    let (mut admission, now) = informed(100);
    admission.handle_pool(busy(70, 200), now);
    assert!(admission.admit(1, 99 * SECOND, true, now).is_ok());
    // A quarter of the second is spare.
    admission.handle_pool(busy(80, 200), now);
    assert!(admission.admit(1, 99 * SECOND, true, now).is_err());
    admission.handle_pool(busy(250, 200), now);
    assert_eq!(admission.retry_after(), 3);
    let refused = admission.admit(2, 99 * SECOND, true, now);
    assert_eq!(refused, Err(Refused { job: 2, retry_after: 3 }));
    // A request that has little time left is refused earlier.
    admission.handle_pool(busy(60, 200), now);
    assert!(admission.admit(3, now + 500 * MS, true, now).is_err());
    assert!(admission.admit(4, now + 900 * MS, true, now).is_ok());
}

#[test]
fn jobs_taken_since_the_last_look_count() {
    let (mut admission, now) = informed(100);
    admission.handle_pool(busy(0, 200), now);
    let taken = (0..1000).filter(|&job| admission.admit(job, 99 * SECOND, true, now).is_ok());
    let taken = taken.count();
    assert!((70..=82).contains(&taken), "{taken}");
}

#[test]
fn without_a_living_worker_only_room_and_time_bound() {
    let (mut admission, now) = informed(10);
    admission.handle_pool(PoolState { alive: false, ..busy(50, 20) }, now);
    assert_eq!(admission.estimate(), None);
    assert!(admission.admit(1, 99 * SECOND, false, now).is_ok());
    assert_eq!(admission.retry_after(), 1);
}

#[test]
fn the_wait_follows_the_service_time() {
    let mut admission = Admission::<u32>::new(SETTINGS);
    assert_eq!(admission.queue_wait(), SECOND);
    (0..100).for_each(|_| admission.handle_service(2 * SECOND));
    assert_eq!(admission.queue_wait(), 8 * SECOND);
    let fixed = Settings { queue_wait: QueueWait::Fixed(3 * MS), ..SETTINGS };
    let mut admission = Admission::<u32>::new(fixed);
    (0..100).for_each(|_| admission.handle_service(2 * SECOND));
    assert_eq!(admission.queue_wait(), 3 * MS);
    assert_eq!(admission.queue_wait(), 3 * MS);
    let mut admission = Admission::<u32>::new(SETTINGS);
    admission.handle_service(Duration::MAX);
    assert_eq!(admission.queue_wait(), Duration::MAX);
    assert!(admission.admit(1, 9 * SECOND, true, SECOND).is_ok());
}

/// How long jobs take.
#[derive(Clone, Copy, Debug)]
enum Service {
    Always(Duration),
    /// Exponentially distributed.
    Random(Duration),
    /// Nine in ten are so short, one so long.
    Mixed(Duration, Duration),
}

impl Service {
    fn mean(self) -> Duration {
        match self {
            Self::Always(time) | Self::Random(time) => time,
            Self::Mixed(short, long) => (short * 9 + long) / 10,
        }
    }

    fn draw(self, dice: &mut Dice) -> Duration {
        match self {
            Self::Always(time) => time,
            Self::Random(mean) => dice.exponential(mean),
            Self::Mixed(_, long) if dice.one_in(10) => long,
            Self::Mixed(short, _) => short,
        }
    }
}

/// A small generator of repeatable numbers (xorshift64*).
struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn one_in(&mut self, faces: u32) -> bool {
        self.unit() * f64::from(faces) < 1.0
    }

    fn exponential(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.unit()).ln())
    }
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Event {
    Arrive,
    /// The client of this job has had enough.
    Leave(usize),
    Complete {
        worker: usize,
    },
    Tick,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Refused { at: Duration },
    Queued { ticket: Ticket },
    InSlot { start_by: Duration },
    Expired { at: Duration },
    Started { at: Duration },
    Left,
}

struct Job {
    arrived: Duration,
    shard: usize,
    fate: Fate,
}

struct Shard {
    admission: Admission<usize>,
    /// Jobs in slots that no worker has begun.
    ready: VecDeque<usize>,
    slots: usize,
    slots_in_use: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Worker {
    Dead,
    Idle,
    Runs { job: usize, took: Duration },
}

/// The whole pool.
struct Simulation {
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    scheduled: u64,
    dice: Dice,
    service: Service,
    arrivals_per_second: f64,
    patience: Duration,
    shards: Vec<Shard>,
    workers: Vec<Worker>,
    jobs: Vec<Job>,
    completed: u64,
    /// Time of workers that was spent on jobs, as they began.
    spent: Vec<(Duration, Duration)>,
}

impl Simulation {
    fn new(seed: u64, shards: usize, workers: usize, service: Service) -> Self {
        let shard = || Shard {
            admission: Admission::new(SETTINGS),
            ready: VecDeque::new(),
            slots: 256,
            slots_in_use: 0,
        };
        let mut simulation = Self {
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            scheduled: 0,
            dice: Dice(seed.wrapping_mul(2) + 1),
            service,
            arrivals_per_second: 0.0,
            patience: 5 * SECOND,
            shards: (0..shards).map(|_| shard()).collect(),
            workers: vec![Worker::Idle; workers],
            jobs: Vec::new(),
            completed: 0,
            spent: Vec::new(),
        };
        simulation.schedule(Duration::ZERO, Event::Tick);
        simulation
    }

    /// What all workers can do, in jobs a second.
    fn capacity(&self) -> f64 {
        self.workers.len() as f64 / self.service.mean().as_secs_f64()
    }

    /// Runs for `time` under so many times the capacity.
    fn run(&mut self, load: f64, time: Duration) {
        let end = self.now + time;
        let idle = self.arrivals_per_second == 0.0;
        self.arrivals_per_second = load * self.capacity();
        if idle && load > 0.0 {
            self.schedule(self.now, Event::Arrive);
        }
        while let Some(&Reverse((at, _, event))) = self.events.peek()
            && at <= end
        {
            self.events.pop();
            self.now = at;
            self.handle(event);
        }
        self.now = end;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrive if self.arrivals_per_second == 0.0 => {}
            Event::Arrive => self.arrive(),
            Event::Leave(job) => self.leave(job),
            Event::Complete { worker } => self.complete(worker),
            Event::Tick => {
                (0..self.shards.len()).for_each(|shard| self.turn(shard));
                self.schedule(self.now + 50 * MS, Event::Tick);
            }
        }
        self.work();
    }

    fn arrive(&mut self) {
        let mean = Duration::from_secs_f64(1.0 / self.arrivals_per_second);
        let next = self.now + self.dice.exponential(mean);
        self.schedule(next, Event::Arrive);
        // One shard has most of the load.
        let shard = if self.dice.one_in(4) { self.jobs.len() % self.shards.len() } else { 0 };
        self.look(shard);
        let (now, job) = (self.now, self.jobs.len());
        let Shard { admission, ready, slots, slots_in_use } = &mut self.shards[shard];
        let deadline = now + 30 * SECOND;
        let fate = match admission.admit(job, deadline, slots_in_use < slots, now) {
            Ok(Admitted::Submit(_, start_by)) => {
                ready.push_back(job);
                *slots_in_use += 1;
                Fate::InSlot { start_by }
            }
            Ok(Admitted::Queued(ticket)) => Fate::Queued { ticket },
            Err(_) => Fate::Refused { at: now },
        };
        self.jobs.push(Job { arrived: now, shard, fate });
        self.schedule(now + self.patience, Event::Leave(job));
    }

    fn leave(&mut self, job: usize) {
        let Job { shard, fate, .. } = self.jobs[job];
        match fate {
            Fate::Queued { ticket } => {
                assert_eq!(self.shards[shard].admission.cancel(ticket), Some(job));
                self.jobs[job].fate = Fate::Left;
            }
            // The worker that comes to its slot skips it.
            Fate::InSlot { .. } => self.jobs[job].fate = Fate::Left,
            _ => {}
        }
    }

    fn complete(&mut self, worker: usize) {
        let Worker::Runs { job, took } = self.workers[worker] else { return };
        self.workers[worker] = Worker::Idle;
        self.completed += 1;
        let shard = self.jobs[job].shard;
        self.shards[shard].slots_in_use -= 1;
        self.shards[shard].admission.handle_service(took);
        self.turn(shard);
    }

    /// A shard looks at the counters and at its queue.
    fn turn(&mut self, shard: usize) {
        self.look(shard);
        let now = self.now;
        let Shard { admission, ready, slots, slots_in_use } = &mut self.shards[shard];
        while let Some(action) = admission.poll_action(slots_in_use < slots, now) {
            match action {
                Action::Refuse(refused) => {
                    self.jobs[refused.job].fate = Fate::Expired { at: now };
                }
                Action::Submit(job, start_by) => {
                    ready.push_back(job);
                    *slots_in_use += 1;
                    self.jobs[job].fate = Fate::InSlot { start_by };
                }
            }
        }
        for &job in ready.iter() {
            if let Fate::InSlot { start_by } = self.jobs[job].fate
                && start_by <= now
            {
                self.jobs[job].fate = Fate::Expired { at: now };
            }
        }
    }

    fn look(&mut self, shard: usize) {
        let waits = |job: &&usize| matches!(self.jobs[**job].fate, Fate::InSlot { .. });
        let jobs = |shard: &Shard| {
            shard.ready.iter().filter(waits).count() as u64 + u64::from(shard.admission.queued())
        };
        let runs = |worker: &&Worker| matches!(worker, Worker::Runs { .. });
        let running = self.workers.iter().filter(runs).count() as u64;
        let pool = PoolState {
            waiting: self.shards.iter().map(jobs).sum(),
            own_waiting: jobs(&self.shards[shard]),
            begun: self.completed + running,
            completed: self.completed,
            alive: self.workers.iter().any(|worker| *worker != Worker::Dead),
        };
        self.shards[shard].admission.handle_pool(pool, self.now);
    }

    /// Idle workers take jobs, from one shard after the other.
    fn work(&mut self) {
        for worker in 0..self.workers.len() {
            let mut from = worker;
            let mut looked = 0;
            while self.workers[worker] == Worker::Idle && looked < self.shards.len() {
                from = (from + 1) % self.shards.len();
                match self.shards[from].ready.pop_front() {
                    Some(job) => {
                        looked = 0;
                        self.claim(worker, job);
                    }
                    None => looked += 1,
                }
            }
        }
    }

    fn claim(&mut self, worker: usize, job: usize) {
        let shard = self.jobs[job].shard;
        match self.jobs[job].fate {
            Fate::InSlot { start_by } if start_by > self.now => {
                let took = self.service.draw(&mut self.dice);
                self.spent.push((self.now, took));
                self.workers[worker] = Worker::Runs { job, took };
                self.jobs[job].fate = Fate::Started { at: self.now };
                self.schedule(self.now + took, Event::Complete { worker });
                return;
            }
            Fate::InSlot { .. } => self.jobs[job].fate = Fate::Expired { at: self.now },
            _ => {}
        }
        self.shards[shard].slots_in_use -= 1;
    }

    fn schedule(&mut self, at: Duration, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((at, self.scheduled, event)));
    }

    /// Of the jobs that arrived between two moments.
    fn arrived(&self, from: Duration, to: Duration) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(move |job| (from..to).contains(&job.arrived))
    }

    /// The share of the workers' time between two moments in which they did jobs.
    fn utilisation(&self, from: Duration, to: Duration) -> f64 {
        let overlap = |&(start, took): &(Duration, Duration)| {
            (start + took).min(to).saturating_sub(start.max(from)).as_secs_f64()
        };
        let busy: f64 = self.spent.iter().map(overlap).sum();
        busy / ((to - from).as_secs_f64() * self.workers.len() as f64)
    }
}

/// How long a job waited before something happened to it.
fn wait(job: &Job) -> Option<Duration> {
    match job.fate {
        Fate::Refused { at } | Fate::Expired { at } | Fate::Started { at } => {
            Some(at - job.arrived)
        }
        Fate::Queued { .. } | Fate::InSlot { .. } | Fate::Left => None,
    }
}

fn is_refused(job: &Job) -> bool {
    matches!(job.fate, Fate::Refused { .. } | Fate::Expired { .. })
}

/// Overload of three times the capacity for 20 s, then half of it.
#[track_caller]
fn check_overload(seed: u64, shards: usize, workers: usize, service: Service) {
    let name = format!("seed {seed}, {shards} shards, {workers} workers, {service:?}");
    let mut simulation = Simulation::new(seed, shards, workers, service);
    simulation.run(3.0, 20 * SECOND);
    let queue_wait = simulation.shards[0].admission.queue_wait();
    simulation.run(0.5, 20 * SECOND);

    // Full goodput: a worker never runs out of jobs, and none that it does is for nobody.
    let busy = simulation.utilisation(2 * SECOND, 20 * SECOND);
    assert!(busy > 0.97, "{name}: {busy}");
    let for_nobody = simulation.jobs.iter().filter(
        |job| matches!(job.fate, Fate::Started { at } if at >= job.arrived + simulation.patience),
    );
    assert_eq!(for_nobody.count(), 0, "{name}");
    // Nobody waits for longer than he may, and most who are refused are so at once.
    let longest = simulation.jobs.iter().filter_map(wait).max().unwrap();
    let mean_wait_max = queue_wait.max(SECOND) * 3 / 2 + 50 * MS;
    assert!(longest <= mean_wait_max, "{name}: {longest:?}");
    let refused = simulation.arrived(5 * SECOND, 20 * SECOND).filter(|job| is_refused(job));
    let (at_once, late): (Vec<_>, Vec<_>) =
        refused.partition(|job| matches!(job.fate, Fate::Refused { .. }));
    // What one shard gets of the workers' time depends on what the others happen to want: there a
    // guess is worth less.
    let most = if shards == 1 { at_once.len() / 99 } else { at_once.len() / 10 };
    assert!(late.len() <= most, "{name}: {} {}", at_once.len(), late.len());
    let arrived = simulation.arrived(5 * SECOND, 20 * SECOND).count();
    let share = (at_once.len() + late.len()) as f64 / arrived as f64;
    assert!((0.60..0.72).contains(&share), "{name}: {share} of all jobs are refused");
    // Soon after it is as if nothing had been.
    let normal = 20 * SECOND + queue_wait + SECOND / 2;
    let after: Vec<&Job> = simulation.arrived(normal, 38 * SECOND).collect();
    let refused = after.iter().filter(|job| is_refused(job)).count();
    assert_eq!(refused, 0, "{name}");
    let waited: Duration = after.iter().filter_map(|job| wait(job)).sum();
    let mean = waited / after.len() as u32;
    assert!(mean < 3 * service.mean() + 50 * MS, "{name}: {mean:?}");
}

#[test]
fn under_three_times_the_load_everybody_works_and_nobody_waits_long() {
    for seed in 1..4 {
        check_overload(seed, 1, 1, Service::Always(10 * MS));
        check_overload(seed, 2, 4, Service::Always(10 * MS));
        check_overload(seed, 4, 2, Service::Random(10 * MS));
        check_overload(seed, 2, 4, Service::Random(40 * MS));
        check_overload(seed, 2, 8, Service::Mixed(MS, 100 * MS));
    }
}

#[test]
fn the_first_jobs_of_a_slow_pool_do_not_fill_its_queue() {
    for seed in 1..4 {
        let mut simulation = Simulation::new(seed, 1, 2, Service::Always(20 * SECOND));
        simulation.patience = 60 * SECOND;
        // Nothing is done before all have come, so that there is no rate to go by.
        simulation.arrivals_per_second = 50.0;
        simulation.schedule(Duration::ZERO, Event::Arrive);
        while let Some(&Reverse((at, _, event))) = simulation.events.peek()
            && at < 10 * SECOND
        {
            simulation.events.pop();
            simulation.now = at;
            simulation.handle(event);
        }
        let late = simulation.jobs.iter().filter(|job| matches!(job.fate, Fate::Expired { .. }));
        let late = late.count();
        let at_once = simulation.jobs.iter().filter(|job| matches!(job.fate, Fate::Refused { .. }));
        let at_once = at_once.count();
        // What came in the first part of a second, and one now and then that found nobody waiting.
        assert!(at_once > 4 * late, "seed {seed}: {at_once} at once, {late} late");
    }
}

#[test]
fn without_overload_nobody_is_refused() {
    for seed in 1..4 {
        for service in [Service::Always(10 * MS), Service::Random(10 * MS)] {
            let mut simulation = Simulation::new(seed, 2, 4, service);
            simulation.run(0.8, 20 * SECOND);
            assert_eq!(simulation.jobs.iter().filter(|job| is_refused(job)).count(), 0);
        }
    }
}

#[test]
fn a_pause_leaves_no_wrong_idea_behind() {
    let mut simulation = Simulation::new(7, 2, 4, Service::Random(10 * MS));
    simulation.run(3.0, 5 * SECOND);
    simulation.run(0.0, 60 * SECOND);
    let again = simulation.now;
    simulation.run(3.0, 10 * SECOND);
    let busy = simulation.utilisation(again + 100 * MS, again + 10 * SECOND);
    assert!(busy > 0.97, "{busy}");
    simulation.run(0.0, 60 * SECOND);
    let light = simulation.now;
    simulation.run(0.5, 5 * SECOND);
    assert_eq!(simulation.arrived(light, simulation.now).filter(|job| is_refused(job)).count(), 0);
}

#[test]
fn jobs_that_become_ten_times_longer_or_shorter_are_noticed() {
    let mut simulation = Simulation::new(9, 2, 4, Service::Random(20 * MS));
    simulation.run(3.0, 10 * SECOND);
    for mean in [200 * MS, 5 * MS, 50 * MS] {
        simulation.service = Service::Random(mean);
        simulation.run(3.0, 20 * SECOND);
        let (from, to) = (simulation.now - 15 * SECOND, simulation.now);
        let busy = simulation.utilisation(from, to);
        assert!(busy > 0.97, "{mean:?}: {busy}");
        let refused: Vec<&Job> =
            simulation.arrived(from, to - 2 * SECOND).filter(|job| is_refused(job)).collect();
        let late = refused.iter().filter(|job| matches!(job.fate, Fate::Expired { .. })).count();
        assert!(refused.len() > 5 * late, "{mean:?}: {late} of {} were late", refused.len());
    }
}

#[test]
fn a_short_restart_of_all_workers_is_invisible() {
    let mut simulation = Simulation::new(5, 2, 4, Service::Always(10 * MS));
    simulation.run(0.5, 5 * SECOND);
    let dead: Vec<Worker> = vec![Worker::Dead; 4];
    let running = std::mem::replace(&mut simulation.workers, dead);
    for worker in running {
        // What ran is answered with an error, and its slot is free.
        if let Worker::Runs { job, .. } = worker {
            let shard = simulation.jobs[job].shard;
            simulation.shards[shard].slots_in_use -= 1;
        }
    }
    simulation.run(0.5, 500 * MS);
    simulation.workers = vec![Worker::Idle; 4];
    simulation.run(0.5, 5 * SECOND);
    assert_eq!(simulation.jobs.iter().filter(|job| is_refused(job)).count(), 0);
    let waited = simulation.jobs.iter().filter_map(wait).max().unwrap();
    assert!(waited < SECOND, "{waited:?}");
}
