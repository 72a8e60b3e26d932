//! The clocks.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds on CLOCK_MONOTONIC: the same base in every process of this machine, and it stands
/// still while the machine sleeps.
#[must_use]
pub fn monotonic_ns() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// Whole seconds since 1970, for dates.
#[must_use]
pub fn unix_seconds() -> u64 {
    nanoseconds(ClockId::Realtime) / NANOS_PER_SECOND
}

/// Seconds since 1970 and how far into the next one.
#[must_use]
pub fn unix_time() -> (u64, Duration) {
    let nanoseconds = nanoseconds(ClockId::Realtime);
    let into = Duration::from_nanos(nanoseconds % NANOS_PER_SECOND);
    (nanoseconds / NANOS_PER_SECOND, into)
}

/// Milliseconds since 1970, for log lines.
#[must_use]
pub fn unix_milliseconds() -> u64 {
    nanoseconds(ClockId::Realtime) / 1_000_000
}

/// CPU time that the calling thread has used: it stands still while others have the CPU.
#[must_use]
pub fn thread_cpu_time() -> Duration {
    Duration::from_nanos(nanoseconds(ClockId::ThreadCPUTime))
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // A clock set to before 1970 counts as 1970.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(NANOS_PER_SECOND).saturating_add(nanoseconds)
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_move_forward() {
        let first = monotonic_ns();
        assert!(first > 0);
        assert!(monotonic_ns() >= first);
        assert!(unix_seconds() > 1_700_000_000);
        assert!(unix_milliseconds() / 1000 >= unix_seconds() - 1);
    }

    #[test]
    fn cpu_time_counts_what_is_used() {
        let begin = thread_cpu_time();
        while thread_cpu_time() - begin < Duration::from_millis(1) {
            std::hint::spin_loop();
        }
    }
}
