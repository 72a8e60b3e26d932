//! When a place is filled again after its process died. Pure: time is an argument.
//!
//! A process that had been ready is replaced at once, but not more than ten times a second. One
//! that died before it was ready is tried again with growing pauses; some such deaths within a
//! while make the place hopeless, which ends the start unless its kind has been ready once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// When a place is hopeless, and how fast it is tried again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RestartLimits {
    /// The first pause; each one after it is twice as long.
    pub pause_first: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// Deaths before ready within the window that make a place hopeless.
    pub tries: usize,
    /// How long such a death is remembered. Boots that hung do not count: they are not quick.
    pub window: Duration,
}

impl RestartLimits {
    /// Those of shards; those of pools are settings, with these as their defaults.
    pub const OF_SHARDS: Self = Self {
        pause_first: Duration::from_millis(100),
        pause_max: Duration::from_secs(30),
        tries: 5,
        window: Duration::from_secs(60),
    };
}

/// The memory of one place.
#[derive(Clone, Debug)]
pub struct RestartPolicy {
    limits: RestartLimits,
    /// Deaths before ready, since the last process that was ready or the last calm minute.
    failures: VecDeque<Instant>,
    /// How many in a row, for the pause.
    in_a_row: u32,
    /// Starts within the last second, planned ones included.
    starts: VecDeque<Instant>,
}

/// What to do after a death.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Restart {
    /// When to start the next process.
    pub at: Instant,
    /// True when too many in a row have died before they were ready.
    pub hopeless: bool,
}

impl RestartPolicy {
    /// A place that nothing has happened to.
    #[must_use]
    pub fn new(limits: RestartLimits) -> Self {
        Self { limits, failures: VecDeque::new(), in_a_row: 0, starts: VecDeque::new() }
    }

    /// The process of this place was given so much time to become ready and did not: that time
    /// makes no death before it any older.
    pub fn handle_hang(&mut self, time: Duration) {
        for failure in &mut self.failures {
            *failure += time;
        }
    }

    /// The process of this place is ready: whatever went wrong before is over.
    pub fn handle_ready(&mut self) {
        self.failures.clear();
        self.in_a_row = 0;
    }

    /// True while the last process of this place died before it was ready.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.in_a_row > 0
    }

    /// The process of this place has died.
    pub fn handle_death(&mut self, was_ready: bool, now: Instant) -> Restart {
        while self.starts.front().is_some_and(|&start| start + STARTS_WINDOW <= now) {
            self.starts.pop_front();
        }
        let restart = if was_ready {
            Restart { at: self.earliest_start(now), hopeless: false }
        } else {
            self.after_failure(now)
        };
        self.starts.push_back(restart.at);
        restart
    }

    fn after_failure(&mut self, now: Instant) -> Restart {
        self.failures.push_back(now);
        let RestartLimits { pause_first, pause_max, tries, window } = self.limits;
        while self.failures.front().is_some_and(|&first| now.duration_since(first) > window) {
            self.failures.pop_front();
        }
        let pause = pause_first.saturating_mul(1 << self.in_a_row.min(16)).min(pause_max);
        self.in_a_row = self.in_a_row.saturating_add(1);
        Restart { at: now + pause, hopeless: self.failures.len() >= tries }
    }

    /// Now, or as soon as fewer than ten starts lie within one second.
    fn earliest_start(&self, now: Instant) -> Instant {
        match self.starts.len().checked_sub(STARTS_MAX) {
            Some(index) => now.max(self.starts[index] + STARTS_WINDOW),
            None => now,
        }
    }
}

const STARTS_MAX: usize = 10;
const STARTS_WINDOW: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RestartLimits = RestartLimits::OF_SHARDS;

    #[test]
    fn a_ready_one_is_replaced_at_once_ten_times_a_second() {
        let mut policy = RestartPolicy::new(LIMITS);
        let start = Instant::now();
        for death in 0..10 {
            let now = start + Duration::from_millis(death);
            assert_eq!(policy.handle_death(true, now), Restart { at: now, hopeless: false });
        }
        let now = start + Duration::from_millis(10);
        assert_eq!(policy.handle_death(true, now).at, start + STARTS_WINDOW);
        let later = start + Duration::from_millis(3000);
        assert_eq!(policy.handle_death(true, later).at, later);
    }

    #[test]
    fn a_storm_never_starts_more_than_ten_in_any_second() {
        let mut policy = RestartPolicy::new(LIMITS);
        let begin = Instant::now();
        let (mut now, mut starts) = (begin, Vec::new());
        for _ in 0..200 {
            now = policy.handle_death(true, now).at;
            starts.push(now);
            now += Duration::from_micros(300);
        }
        for window in starts.windows(11) {
            assert!(window[10] - window[0] >= STARTS_WINDOW);
        }
        assert!(now - begin < Duration::from_secs(21), "it keeps trying at the full rate");
    }

    #[test]
    fn failures_pause_longer_each_time_and_become_hopeless() {
        let mut policy = RestartPolicy::new(LIMITS);
        let mut now = Instant::now();
        for (failure, pause) in [100, 200, 400, 800, 1600, 3200].into_iter().enumerate() {
            let restart = policy.handle_death(false, now);
            assert_eq!(restart.at - now, Duration::from_millis(pause));
            assert_eq!(restart.hopeless, failure + 1 >= LIMITS.tries);
            now = restart.at;
        }
        for _ in 0..40 {
            now = policy.handle_death(false, now).at;
        }
        let restart = policy.handle_death(false, now);
        assert_eq!(restart.at - now, LIMITS.pause_max);
        assert!(!restart.hopeless, "with 30 s between them five do not fit a minute");
        policy.handle_ready();
        assert_eq!(policy.handle_death(false, now).at - now, LIMITS.pause_first);
    }

    #[test]
    fn slow_failures_are_not_hopeless() {
        let mut policy = RestartPolicy::new(LIMITS);
        let mut now = Instant::now();
        for _ in 0..20 {
            now += Duration::from_secs(16);
            assert!(!policy.handle_death(false, now).hopeless);
        }
        assert!(policy.starts.len() <= 2, "what is long past is not remembered");
    }

    #[test]
    fn boots_that_hang_are_hopeless_however_long_they_take() {
        let mut policy = RestartPolicy::new(LIMITS);
        let (mut now, boot) = (Instant::now(), Duration::from_secs(120));
        for hang in 1..=LIMITS.tries {
            now += boot;
            policy.handle_hang(boot);
            assert_eq!(policy.handle_death(false, now).hopeless, hang == LIMITS.tries);
        }
        now += LIMITS.window * 2;
        assert!(!policy.handle_death(false, now).hopeless, "calm minutes still count");
    }
}
