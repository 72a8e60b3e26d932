//! Whether it is worth to spin: for the next job, or for what a stream waits for.

/// How long this worker has been without work between two jobs lately, or how long streams waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gaps {
    /// Moving average in nanoseconds over about eight gaps.
    average: u64,
    /// When the last job ended.
    ended: u64,
}

impl Gaps {
    /// Begins long: spinning is to be earned.
    pub(super) const fn new() -> Self {
        Self { average: GAP_NS_MAX, ended: 0 }
    }

    /// Begins short: spinning is to be lost.
    pub(super) const fn short() -> Self {
        Self { average: 0, ended: 0 }
    }

    pub(super) fn handle_end(&mut self, now: u64) {
        self.ended = now;
    }

    pub(super) fn handle_submission(&mut self, submitted: u64) {
        let gap = submitted.saturating_sub(self.ended).min(GAP_NS_MAX);
        self.average = self.average - self.average / 8 + gap / 8;
    }

    pub(super) const fn are_below(self, gap_ns: u64) -> bool {
        self.average < gap_ns
    }
}

/// A longer gap counts as this one, so that a pause is forgotten after some jobs.
const GAP_NS_MAX: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spinning_is_earned_and_lost() {
        let mut gaps = Gaps::new();
        assert!(!gaps.are_below(25_000), "the first job is not spun for");
        let mut now = 0;
        let mut pass = |gaps: &mut Gaps, gap: u64| {
            gaps.handle_submission(now + gap);
            now += gap + 1_000;
            gaps.handle_end(now);
        };
        for _ in 0..40 {
            pass(&mut gaps, 5_000);
        }
        assert!(gaps.are_below(25_000));
        assert!(!gaps.are_below(0), "nothing is shorter than nothing");
        pass(&mut gaps, 3_600_000_000_000);
        assert!(!gaps.are_below(25_000), "one long pause ends it");
        for _ in 0..40 {
            pass(&mut gaps, 0);
        }
        assert!(gaps.are_below(25_000), "and it is forgotten again");
    }
}
