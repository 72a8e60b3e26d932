//! Whether to watch the ring for a moment before sleeping.
//!
//! The kernel raises a flag in shared memory when completions wait, so watching costs no system
//! call. It halves the latency of a single busy connection, because sleeping and being woken
//! takes longer than such a client's pause, and costs about the same CPU. With many connections
//! it only cuts batches small (+1.1 us per request at 32 connections). Hence: only while recent
//! waits were short, only while few connections are busy, never on a shared CPU.

use std::time::Duration;

use crate::config::Idle;
use crate::http::Time;

/// The decision and what it rests on.
pub(crate) struct Watch {
    idle: Idle,
    /// Short waits in a row, at most `SCORE_MAX`.
    score: u8,
    /// Grows with every byte from a connection that was not among the last few.
    crowd: u8,
    /// The last connections served.
    recent: [u32; 2],
    /// When the current wait began.
    began: Option<Time>,
}

/// Longest time to watch.
pub(crate) const WINDOW: Duration = Duration::from_micros(50);
/// A wait up to this long was short: the window, and what being woken added.
const SHORT: Duration = Duration::from_micros(90);
const SCORE_MAX: u8 = 8;
/// Short waits in a row before watching begins.
const SCORE_ENOUGH: u8 = 4;
const CROWD_MAX: u8 = 64;
/// From here on the shard counts as crowded.
const CROWD_TOO_MUCH: u8 = 8;

impl Watch {
    /// `dedicated`: no other process of ours uses the CPU.
    pub(crate) fn new(idle: Idle, dedicated: bool) -> Self {
        let idle = if dedicated { idle } else { Idle::Sleep };
        Self { idle, score: 0, crowd: 0, recent: [u32::MAX; 2], began: None }
    }

    /// Connection `index` was served.
    #[inline]
    pub(crate) fn note(&mut self, index: u32) {
        if self.recent.contains(&index) {
            self.crowd = self.crowd.saturating_sub(1);
        } else {
            self.recent = [index, self.recent[0]];
            self.crowd = (self.crowd + 2).min(CROWD_MAX);
        }
    }

    /// How long to watch now. `spin` is how long answers of workers are worth it, zero while none
    /// is expected: a crowd does not delay them, so it does not matter to them.
    pub(crate) fn window(&self, spin: Duration) -> Duration {
        match self.idle {
            Idle::Adaptive if self.score < SCORE_ENOUGH => Duration::ZERO,
            Idle::Adaptive if self.is_crowded() => spin,
            Idle::Adaptive => WINDOW.max(spin),
            Idle::Sleep => Duration::ZERO,
            Idle::Spin => Duration::MAX,
        }
    }

    /// Whether the length of waits matters at all now.
    pub(crate) fn is_curious(&self, spin: Duration) -> bool {
        match self.idle {
            Idle::Adaptive => !self.is_crowded() || !spin.is_zero(),
            Idle::Sleep => false,
            Idle::Spin => true,
        }
    }

    /// A wait begins.
    pub(crate) fn begin(&mut self, now: Time) {
        self.began = Some(now);
    }

    /// The wait is over.
    pub(crate) fn end(&mut self, now: Time) {
        if let Some(began) = self.began.take() {
            let short = now.since(began) <= SHORT;
            self.score = if short { (self.score + 1).min(SCORE_MAX) } else { 0 };
        }
    }

    fn is_crowded(&self) -> bool {
        self.crowd >= CROWD_TOO_MUCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(watch: &mut Watch, micros: u64) {
        watch.begin(Time::from_nanos(0));
        watch.end(Time::from_nanos(micros * 1000));
    }

    #[test]
    fn short_waits_of_one_connection_make_it_watch() {
        let mut watch = Watch::new(Idle::Adaptive, true);
        assert_eq!(watch.window(Duration::ZERO), Duration::ZERO);
        for _ in 0..20 {
            watch.note(7);
            wait(&mut watch, 20);
        }
        assert_eq!(watch.window(Duration::ZERO), WINDOW);
        wait(&mut watch, 1_000);
        assert_eq!(watch.window(Duration::ZERO), Duration::ZERO, "one long wait ends it");
    }

    #[test]
    fn a_crowd_is_not_watched() {
        let mut watch = Watch::new(Idle::Adaptive, true);
        for index in 0..500 {
            watch.note(index % 32);
            wait(&mut watch, 20);
        }
        assert_eq!(watch.window(Duration::ZERO), Duration::ZERO);
        assert!(!watch.is_curious(Duration::ZERO));
        let spin = Duration::from_micros(25);
        assert_eq!(watch.window(spin), spin, "unless an answer is expected");
        assert!(watch.is_curious(spin));
        for _ in 0..100 {
            watch.note(1);
            wait(&mut watch, 20);
        }
        assert_eq!(watch.window(Duration::ZERO), WINDOW, "until the crowd has gone");
    }

    #[test]
    fn the_setting_overrules() {
        let mut sleep = Watch::new(Idle::Sleep, true);
        for _ in 0..20 {
            sleep.note(1);
            wait(&mut sleep, 1);
        }
        assert_eq!(sleep.window(Duration::ZERO), Duration::ZERO);
        assert_eq!(Watch::new(Idle::Spin, true).window(Duration::ZERO), Duration::MAX);
        assert_eq!(
            Watch::new(Idle::Spin, false).window(Duration::ZERO),
            Duration::ZERO,
            "but not neighbours"
        );
    }
}
