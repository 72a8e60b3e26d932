//! Each request accounted for exactly once, and when the right answers came.

use super::outcome::{Account, BUCKET_MS, Fate};

/// The requests of a load by number. Times are nanoseconds from its beginning.
pub(super) struct Ledger {
    fates: Vec<Option<Fate>>,
    right_by_bucket: Vec<u32>,
    last_right_ns: u64,
    longest_gap: Gap,
}

#[derive(Clone, Copy, Default)]
struct Gap {
    begin_ns: u64,
    length_ns: u64,
}

impl Ledger {
    pub(super) fn new(requests: usize) -> Self {
        Self {
            fates: vec![None; requests],
            right_by_bucket: Vec::new(),
            last_right_ns: 0,
            longest_gap: Gap::default(),
        }
    }

    /// The end of a request. A second end is our own fault: the figures would be worth nothing.
    pub(super) fn settle(&mut self, request: usize, fate: Fate, now_ns: u64) {
        let earlier = self.fates[request].replace(fate);
        assert!(earlier.is_none(), "request {request} ended as {earlier:?} and then as {fate:?}");
        if fate == Fate::Right {
            self.right(now_ns);
        }
    }

    /// What is known once every request has been settled.
    pub(super) fn account(mut self, end_ns: u64) -> Account {
        let open = self.fates.iter().filter(|fate| fate.is_none()).count();
        assert_eq!(open, 0, "{open} requests have no end");
        self.gap_until(end_ns);
        Account {
            requests: self.fates.len() as u64,
            longest_gap_ms: self.longest_gap.length_ns as f64 / 1e6,
            longest_gap_at_ms: self.longest_gap.begin_ns as f64 / 1e6,
            right_by_bucket: self.right_by_bucket,
        }
    }

    fn right(&mut self, now_ns: u64) {
        let bucket = (now_ns / (BUCKET_MS * 1_000_000)) as usize;
        if bucket >= self.right_by_bucket.len() {
            self.right_by_bucket.resize(bucket + 1, 0);
        }
        self.right_by_bucket[bucket] += 1;
        self.gap_until(now_ns);
        self.last_right_ns = now_ns;
    }

    fn gap_until(&mut self, now_ns: u64) {
        let length_ns = now_ns.saturating_sub(self.last_right_ns);
        if length_ns > self.longest_gap.length_ns {
            self.longest_gap = Gap { begin_ns: self.last_right_ns, length_ns };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn account(ends: &[(Fate, u64)], end_ms: u64) -> Account {
        let mut ledger = Ledger::new(ends.len());
        for (request, (fate, ms)) in ends.iter().enumerate() {
            ledger.settle(request, *fate, ms * MS);
        }
        ledger.account(end_ms * MS)
    }

    #[track_caller]
    fn check_gap(ends: &[(Fate, u64)], end_ms: u64, expected: (f64, f64)) {
        let account = account(ends, end_ms);
        assert_eq!((account.longest_gap_at_ms, account.longest_gap_ms), expected);
    }

    #[test]
    fn the_longest_gap_is_found_wherever_it_lies() {
        let right = |ms| (Fate::Right, ms);
        check_gap(&[right(1), right(2), right(30), right(31)], 32, (2.0, 28.0));
        check_gap(&[right(20), right(21)], 25, (0.0, 20.0));
        check_gap(&[right(1), right(2)], 25, (2.0, 23.0));
        check_gap(&[], 25, (0.0, 25.0));
        // A wrong answer ends no gap; an answer behind the end makes none longer.
        check_gap(&[right(1), (Fate::WrongStatus, 5), right(9), right(12)], 10, (1.0, 8.0));
    }

    #[test]
    fn right_answers_lie_in_their_buckets() {
        let ends = [(Fate::Right, 0), (Fate::Right, 9), (Fate::Right, 31), (Fate::Cut, 31)];
        let account = account(&ends, 40);
        assert_eq!((account.right_by_bucket, account.requests), (vec![2, 0, 0, 1], 4));
    }

    #[test]
    #[should_panic(expected = "ended as Some(Right) and then as Cut")]
    fn nothing_ends_twice() {
        let mut ledger = Ledger::new(1);
        ledger.settle(0, Fate::Right, 1);
        ledger.settle(0, Fate::Cut, 2);
    }

    #[test]
    #[should_panic(expected = "1 requests have no end")]
    fn nothing_is_forgotten() {
        Ledger::new(1).account(1);
    }
}
