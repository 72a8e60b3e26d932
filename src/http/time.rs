//! Time as the pure cores see it: a number that the owner hands in.

use std::ops::Add;
use std::time::Duration;

/// Nanoseconds on the monotonic clock, read by whoever owns the core.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Time(u64);

impl Time {
    /// The moment `nanos` nanoseconds after the clock's own start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's own start.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time that has passed since `earlier`; zero when `earlier` is in fact later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// Saturates, so that an absurd timeout from a configuration means "never".
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

/// A point in time that may be unset, in eight bytes: the farthest future stands for "never".
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Deadline(u64);

impl Deadline {
    /// Never passes.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// `duration` after `now`.
    pub(crate) fn after(now: Time, duration: Duration) -> Self {
        Self((now + duration).0)
    }

    /// Whether the deadline has been reached.
    pub(crate) const fn passed(self, now: Time) -> bool {
        self.0 != u64::MAX && self.0 <= now.0
    }

    /// The deadline as a time; none when it never passes.
    pub(crate) const fn time(self) -> Option<Time> {
        if self.0 == u64::MAX { None } else { Some(Time(self.0)) }
    }
}

/// A duration in whole nanoseconds, saturating.
pub(crate) const fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_saturates_into_never() {
        let late = Time::from_nanos(u64::MAX - 1) + Duration::from_secs(1);
        assert_eq!(late.as_nanos(), u64::MAX);
        assert!(!Deadline::after(late, Duration::ZERO).passed(Time::from_nanos(u64::MAX)));
        assert_eq!(Deadline::after(Time::default(), Duration::MAX), Deadline::NEVER);
    }

    #[test]
    fn a_deadline_passes_at_its_moment() {
        let deadline = Deadline::after(Time::from_nanos(5), Duration::from_nanos(10));
        assert!(!deadline.passed(Time::from_nanos(14)));
        assert!(deadline.passed(Time::from_nanos(15)));
        assert_eq!(Deadline::NEVER.time(), None);
    }

    #[test]
    fn since_never_goes_below_zero() {
        assert_eq!(Time::from_nanos(1).since(Time::from_nanos(9)), Duration::ZERO);
        assert_eq!(Time::from_nanos(9).since(Time::from_nanos(1)), Duration::from_nanos(8));
    }
}
