//! What is known of a pool's pace: how long jobs take, and at which rate they are done.

use std::time::Duration;

/// The mean service time of recent jobs: each of the last few counts about as much. Time in which
/// nothing ends changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MeanService {
    mean: Duration,
    /// Jobs seen, up to the number that counts.
    jobs: u32,
}

impl MeanService {
    /// A job took so long.
    pub(super) fn add(&mut self, took: Duration) {
        self.jobs = (self.jobs + 1).min(SERVICES);
        self.mean = if took >= self.mean {
            self.mean.saturating_add((took - self.mean) / self.jobs)
        } else {
            self.mean - (self.mean - took) / self.jobs
        };
    }

    /// The mean; zero before the first job.
    pub(super) fn mean(&self) -> Duration {
        self.mean
    }
}

/// What somebody saw who looked at the pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// When.
    pub(super) at: Duration,
    /// Jobs done since the pool exists.
    pub(super) completed: u64,
    /// Whether jobs waited and somebody could do them.
    pub(super) busy: bool,
}

/// The rate at which a pool does jobs when it has enough of them.
///
/// Only time counts in which jobs waited, so that a quiet hour changes nothing. Of that time it is
/// the last half second, or the time that the last 16 jobs took if that is longer: a pool of quick
/// jobs is known within half a second, and the rate of a slow one does not jump with each job.
/// The time since the last job counts too, so that a pool which stands still becomes slow at once.
///
/// Before enough jobs are done there is no rate, but there is a highest one: what runs now cannot
/// be done quicker than it is at this moment. It goes into a first guess, so that the queue of a
/// pool whose first jobs are long does not fill with jobs that nobody will begin in time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CompletionRate {
    /// Closed ones, a ring; each has a job and its share of the time, so that all of them together
    /// are never less than what counts.
    closed: [Stretch; STRETCHES],
    next: usize,
    /// Grows.
    open: Stretch,
    last: Option<Look>,
}

/// Some time in which jobs waited, and what was done in it.
#[derive(Clone, Copy, Debug, Default)]
struct Stretch {
    time: Duration,
    jobs: u64,
}

impl CompletionRate {
    /// Somebody looked.
    pub(super) fn handle_look(&mut self, look: Look) {
        let Some(last) = self.last.replace(look) else { return };
        let time = look.at.saturating_sub(last.at);
        // Who was away for longer than any tick does not know what happened meanwhile: jobs that
        // only he could have handed on did not reach a worker.
        if !(last.busy && look.busy) || time > LOOK_MAX {
            return;
        }
        self.open.time += time;
        self.open.jobs += look.completed.saturating_sub(last.completed);
        if self.open.time >= TIME / STRETCHES as u32 && self.open.jobs > 0 {
            self.closed[self.next] = std::mem::take(&mut self.open);
            self.next = (self.next + 1) % STRETCHES;
        }
    }

    /// How long the pool takes for so many jobs, while `running` others run: the first guess is
    /// that those are done now. `None` while nothing runs and too little is known.
    pub(super) fn time_for(&self, jobs: u64, running: u64) -> Option<Duration> {
        let (mut time, mut done) = (0.0, 0.0);
        for stretch in self.latest_first() {
            let (stretch_time, stretch_jobs) = (stretch.time.as_secs_f64(), stretch.jobs as f64);
            // Of the oldest one only the part that is needed.
            let missing_time = (TIME.as_secs_f64() - time).max(0.0);
            let missing_jobs = (JOBS - done).max(0.0);
            let part = (missing_time / stretch_time).max(missing_jobs / stretch_jobs).min(1.0);
            if part > 0.0 {
                time += stretch_time * part;
                done += stretch_jobs * part;
            }
        }
        if done < JOBS_MIN {
            done += running as f64;
            if running == 0 {
                return None;
            }
        }
        Duration::try_from_secs_f64(jobs as f64 * time / done).ok().or(Some(Duration::MAX))
    }

    fn latest_first(&self) -> impl Iterator<Item = &Stretch> {
        let (newer, older) = self.closed.split_at(self.next);
        // The open one counts whole: what is late must be seen.
        let closed = newer.iter().rev().chain(older.iter().rev());
        std::iter::once(&self.open).chain(closed).filter(|stretch| !stretch.time.is_zero())
    }
}

/// Jobs that count in the mean service time.
const SERVICES: u32 = 16;
/// The rate is that of the last half second in which jobs waited,
const TIME: Duration = Duration::from_millis(500);
/// or that of the last so many jobs.
const JOBS: f64 = 16.0;
/// As many as jobs, so that as many stretches with a job each hold them.
const STRETCHES: usize = 16;
/// With fewer jobs nothing is known.
const JOBS_MIN: f64 = 4.0;
/// Looks that are farther apart say nothing about the time between them.
const LOOK_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_mean_follows_within_a_few_jobs() {
        let mut service = MeanService::default();
        assert_eq!(service.mean(), Duration::ZERO);
        service.add(10 * MS);
        assert_eq!(service.mean(), 10 * MS);
        service.add(20 * MS);
        assert_eq!(service.mean(), 15 * MS);
        (0..50).for_each(|_| service.add(1000 * MS));
        assert!(service.mean() > 950 * MS, "{:?}", service.mean());
        (0..100).for_each(|_| service.add(MS));
        assert!(service.mean() < 5 * MS, "{:?}", service.mean());
        service.add(Duration::MAX);
        (0..100).for_each(|_| service.add(Duration::MAX));
        service.add(Duration::ZERO);
    }

    /// A pool that is looked at, and what is known of it.
    struct Watched {
        rate: CompletionRate,
        at: Duration,
        completed: f64,
    }

    impl Watched {
        fn new() -> Self {
            Self { rate: CompletionRate::default(), at: Duration::ZERO, completed: 0.0 }
        }

        /// Works for `time` at so many jobs a second, looked at every `interval`.
        fn work(&mut self, per_second: f64, time: Duration, interval: Duration, busy: bool) {
            let end = self.at + time;
            while self.at < end {
                self.at += interval;
                self.completed += per_second * interval.as_secs_f64();
                let completed = self.completed as u64;
                self.rate.handle_look(Look { at: self.at, completed, busy });
            }
        }

        fn per_second(&self) -> f64 {
            self.rate.time_for(1000, 0).map_or(0.0, |time| 1000.0 / time.as_secs_f64())
        }

        #[track_caller]
        fn check(&self, expected: f64) {
            let found = self.per_second();
            assert!((found / expected - 1.0).abs() < 0.15, "{found} in place of {expected}");
        }
    }

    #[test]
    fn nothing_is_known_before_a_few_jobs_are_done() {
        let mut watched = Watched::new();
        assert_eq!(watched.rate.time_for(1, 0), None);
        watched.work(3.0, Duration::from_secs(1), 10 * MS, true);
        assert_eq!(watched.rate.time_for(1, 0), None);
        watched.work(3.0, Duration::from_secs(4), 10 * MS, true);
        watched.check(3.0);
    }

    #[test]
    fn the_first_guess_is_that_what_runs_is_done_now() {
        let mut watched = Watched::new();
        watched.work(0.0, 500 * MS, 10 * MS, true);
        assert_eq!(watched.rate.time_for(9, 0), None);
        // The first look only begins to measure.
        assert_eq!(watched.rate.time_for(8, 2), Some(4 * 490 * MS));
        watched.work(2.0, 1000 * MS, 10 * MS, true);
        assert_eq!(watched.rate.time_for(8, 2), Some(2 * 1490 * MS));
        watched.work(10.0, 2000 * MS, 10 * MS, true);
        assert_eq!(watched.rate.time_for(8, 2), watched.rate.time_for(8, 0), "now it is known");
    }

    #[test]
    fn the_rate_is_found_at_any_pace_however_often_somebody_looks() {
        for per_second in [0.2, 1.0, 7.0, 100.0, 5_000.0, 1e6] {
            for interval in [MS / 10, 3 * MS, 50 * MS, 250 * MS] {
                let mut watched = Watched::new();
                let jobs = Duration::from_secs_f64(60.0 / per_second);
                watched.work(per_second, jobs.max(3000 * MS), interval, true);
                watched.check(per_second);
            }
        }
    }

    #[test]
    fn quiet_time_changes_nothing() {
        let mut watched = Watched::new();
        watched.work(200.0, 2000 * MS, 10 * MS, true);
        watched.work(3.0, Duration::from_secs(3600), 250 * MS, false);
        watched.check(200.0);
        // Nor does the time in which the one who looks was stopped.
        watched.work(0.0, Duration::from_secs(10), Duration::from_secs(10), true);
        watched.check(200.0);
        watched.work(200.0, 100 * MS, 10 * MS, true);
        watched.check(200.0);
    }

    #[test]
    fn a_slower_pace_is_known_after_sixteen_jobs_a_quicker_one_within_a_second() {
        let mut watched = Watched::new();
        watched.work(1000.0, 5000 * MS, 10 * MS, true);
        watched.work(1.0, 4000 * MS, 10 * MS, true);
        assert!(watched.per_second() < 5.0, "{}", watched.per_second());
        watched.work(1.0, 12_500 * MS, 10 * MS, true);
        watched.check(1.0);
        watched.work(1000.0, 600 * MS, 10 * MS, true);
        watched.check(1000.0);
    }

    #[test]
    fn a_pool_that_stands_still_becomes_slow_at_once_and_recovers_as_soon() {
        let mut watched = Watched::new();
        watched.work(400.0, 5000 * MS, 10 * MS, true);
        watched.work(0.0, 5000 * MS, 10 * MS, true);
        assert!(watched.per_second() < 4.0, "{}", watched.per_second());
        watched.work(400.0, 600 * MS, 10 * MS, true);
        watched.check(400.0);
    }

    #[test]
    fn counters_that_go_back_are_no_jobs() {
        let mut rate = CompletionRate::default();
        for (ms, completed) in [(0, 100), (10, 0), (20, u64::MAX), (30, 0)] {
            rate.handle_look(Look { at: ms * MS, completed, busy: true });
        }
        assert!(rate.time_for(u64::MAX, 0).is_some());
    }
}
