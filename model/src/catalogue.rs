//! What is checked: the protocol in small configurations, which has to hold, and the same with one
//! defect each, which has to be found.

use crate::protocol::{Flaw, Offload, Settings};
use crate::search::{Report, Verdict, search};

/// One configuration, and what the search has to say about it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) expected: Expected,
    pub(crate) settings: Settings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// No rule is broken, nothing is lost, and everything can finish.
    Holds,
    /// Something waits for ever.
    Wedged,
    /// A rule is broken.
    Broken,
}

impl Case {
    pub(crate) fn search(&self) -> Report {
        search(&Offload { settings: self.settings, reduced: true }, STATES_MAX)
    }
}

impl Expected {
    pub(crate) fn is_met_by(self, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Holds => self == Self::Holds,
            Verdict::Broken { .. } => self == Self::Broken,
            Verdict::Wedged { .. } => self == Self::Wedged,
            Verdict::TooLarge => false,
        }
    }
}

/// Every case is an entry of the table and a test.
macro_rules! cases {
    ($($expected:ident $name:ident: $settings:expr;)+) => {
        pub(crate) const CASES: &[Case] = &[$(
            Case { name: stringify!($name), expected: Expected::$expected, settings: $settings }
        ),+];

        #[cfg(test)]
        mod tests {
            $(#[test]
            fn $name() {
                super::check(stringify!($name));
            })+
        }
    };
}

cases! {
    // Two workers: batons, spinning, who wakes whom.
    Holds two_workers: Settings { workers: 2, jobs: 2, ..BASE };
    Holds two_workers_crash: Settings { workers: 2, jobs: 1, crashes: 1, ..BASE };
    Holds two_workers_two_jobs_crash:
        Settings { workers: 2, jobs: 2, crashes: 1, spin: false, ..BASE };
    Holds two_workers_two_crashes:
        Settings { workers: 2, jobs: 1, crashes: 2, spin: false, ..BASE };
    Holds two_workers_three_jobs: Settings { workers: 2, jobs: 3, spin: false, ..BASE };
    Holds two_workers_tick_only: Settings { workers: 2, jobs: 1, crashes: 1, ..TICK };
    Holds two_workers_cancel: Settings { workers: 2, jobs: 1, leavers: 1, ..BASE };
    Holds two_workers_stop: Settings { workers: 2, jobs: 2, stops: 1, spin: false, ..TICK };

    // One worker: more jobs than slots, cells used twice, every death.
    Holds two_crashes: Settings { jobs: 3, crashes: 2, ..BASE };
    Holds two_crashes_tick_only: Settings { jobs: 3, crashes: 2, ..TICK };
    Holds two_crashes_repeatable: Settings { jobs: 2, crashes: 2, repeatable: true, ..BASE };
    Holds crash_and_cancel: Settings { jobs: 3, crashes: 1, leavers: 1, ..BASE };
    Holds crash_and_cancels: Settings { jobs: 2, crashes: 1, leavers: 2, ..BASE };
    Holds crash_and_cancel_tick_only: Settings { jobs: 2, crashes: 1, leavers: 1, ..TICK };
    Holds shard_and_worker_crash: Settings { jobs: 2, crashes: 1, shard_crashes: 1, ..BASE };
    Holds shard_and_worker_crash_tick_only:
        Settings { jobs: 2, crashes: 1, shard_crashes: 1, ..TICK };
    Holds two_shard_crashes: Settings { jobs: 2, shard_crashes: 2, ..BASE };
    Holds shard_crash_and_cancel: Settings { jobs: 2, leavers: 1, shard_crashes: 1, ..BASE };

    // The same with one defect each.
    Wedged neither_kick_nor_tick: Settings { jobs: 2, crashes: 1, kicks: false, ..BASE };
    Wedged head_first: Settings { jobs: 2, crashes: 1, ..flawed(Flaw::HeadFirst) };
    Wedged last_death_only: Settings { jobs: 2, crashes: 2, ..flawed(Flaw::LastDeathOnly) };
    Wedged clear_then_signal:
        Settings { jobs: 2, shard_crashes: 1, kicks: false, ..flawed(Flaw::ClearThenSignal) };
    Wedged sleep_flag: Settings { jobs: 2, ..flawed(Flaw::SleepFlag) };
    Wedged sleep_of_the_dead_stays: Settings {
        jobs: 2, shard_crashes: 1, tick: false, ..flawed(Flaw::SleepOfTheDeadStays)
    };
    Wedged cancelled_hints_stay:
        Settings { jobs: 1, leavers: 1, tick: false, ..flawed(Flaw::CancelledHintsStay) };
    Wedged nudge_heeds_spinners:
        Settings { workers: 2, jobs: 1, stops: 1, ..flawed(Flaw::NudgeHeedsSpinners) };
    Broken no_lap: Settings { jobs: 1, ..flawed(Flaw::NoLap) };
    Broken state_before_life: Settings { jobs: 1, crashes: 2, ..flawed(Flaw::StateBeforeLife) };
}

/// Nothing goes wrong: one worker that may spin, and a supervisor that rings.
const BASE: Settings = Settings {
    workers: 1,
    jobs: 0,
    crashes: 0,
    shard_crashes: 0,
    leavers: 0,
    stops: 0,
    spin: true,
    kicks: true,
    tick: false,
    repeatable: false,
    flaw: None,
};

/// The shard's own tick has to do without the supervisor's ring.
const TICK: Settings = Settings { kicks: false, tick: true, ..BASE };

/// A defect must be found although both nets are there; a case takes one away only where that net
/// is what mends it, late.
const fn flawed(flaw: Flaw) -> Settings {
    Settings { tick: true, flaw: Some(flaw), ..BASE }
}

/// A bound on memory: a search of this size takes 1.3 GB.
const STATES_MAX: usize = 28_000_000;

#[cfg(test)]
#[track_caller]
fn check(name: &str) {
    let case = CASES.iter().find(|case| case.name == name).expect("the table has its own names");
    let verdict = case.search().verdict;
    assert!(case.expected.is_met_by(&verdict), "{:?} was expected: {verdict:#?}", case.expected);
}

/// Leaving out the orders of unnoticed steps must not change what is found.
#[test]
fn the_reduction_changes_no_verdict() {
    let small = CASES.iter().filter(|case| case.settings.workers == 1);
    for case in small.filter(|case| case.settings.jobs < 3 && case.expected != Expected::Holds) {
        let settings = case.settings;
        let full = search(&Offload { settings, reduced: false }, STATES_MAX).verdict;
        assert!(case.expected.is_met_by(&full), "{}: {full:#?}", case.name);
    }
    for settings in [
        Settings { jobs: 2, crashes: 1, ..BASE },
        Settings { jobs: 1, crashes: 1, shard_crashes: 1, leavers: 1, ..TICK },
        Settings { jobs: 2, leavers: 2, ..BASE },
    ] {
        let full = search(&Offload { settings, reduced: false }, STATES_MAX).verdict;
        let reduced = search(&Offload { settings, reduced: true }, STATES_MAX).verdict;
        assert!(Expected::Holds.is_met_by(&full) && Expected::Holds.is_met_by(&reduced));
    }
}
