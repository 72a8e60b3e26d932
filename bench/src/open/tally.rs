//! What became of the requests of one path. No I/O.

use std::collections::BTreeMap;

use super::histogram::Histogram;
use super::judge::Judged;
use super::ledger::Ledger;
use super::outcome::{Account, Fate, Stream};

/// Counts and times; times are nanoseconds from the beginning of the load.
pub(super) struct Tally {
    fates: BTreeMap<Fate, u64>,
    statuses: BTreeMap<u16, u64>,
    retry_after: u64,
    answer_bytes: u64,
    latency: Histogram,
    service: Histogram,
    refusal: Histogram,
    /// Of every right answer, if they are to be told apart.
    right_at: Option<Vec<u64>>,
    /// Right answers before the last moment of the schedule.
    right_in_time: u64,
    end_ns: u64,
    pub(super) waited: u64,
    pub(super) connections_opened: u64,
    ledger: Option<Ledger>,
}

/// A request, as far as its end is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) number: usize,
    pub(super) intended_ns: u64,
    pub(super) sent_ns: u64,
}

impl Tally {
    /// `end_ns` is the end of the schedule; `ledger` has a place for each request.
    pub(super) fn new(end_ns: u64, ledger: Option<Ledger>) -> Self {
        Self {
            fates: BTreeMap::new(),
            statuses: BTreeMap::new(),
            retry_after: 0,
            answer_bytes: 0,
            latency: Histogram::new(),
            service: Histogram::new(),
            refusal: Histogram::new(),
            right_at: None,
            right_in_time: 0,
            end_ns,
            waited: 0,
            connections_opened: 0,
            ledger,
        }
    }

    /// Remembers when each right answer came.
    pub(super) fn with_moments(self) -> Self {
        Self { right_at: Some(Vec::new()), ..self }
    }

    /// A whole answer has come.
    pub(super) fn answer(&mut self, asked: Asked, judged: &Judged, now_ns: u64) {
        if judged.status > 0 {
            *self.statuses.entry(judged.status).or_default() += 1;
        }
        self.retry_after += u64::from(judged.retry_after);
        if judged.fate == Fate::Right {
            self.answer_bytes = judged.bytes;
        }
        self.settle(asked, judged.fate, now_ns);
    }

    /// A request is over, with or without an answer.
    pub(super) fn settle(&mut self, asked: Asked, fate: Fate, now_ns: u64) {
        *self.fates.entry(fate).or_default() += 1;
        let waited = now_ns.saturating_sub(asked.intended_ns);
        match fate {
            Fate::Right => {
                self.latency.record(waited);
                self.service.record(now_ns.saturating_sub(asked.sent_ns));
                if let Some(moments) = &mut self.right_at {
                    moments.push(now_ns / 1000);
                }
                self.right_in_time += u64::from(now_ns <= self.end_ns);
            }
            Fate::Left | Fate::TimedOut | Fate::Unanswered => self.latency.record(waited),
            Fate::Allowed => self.refusal.record(waited),
            _ => {}
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.settle(asked.number, fate, now_ns);
        }
    }

    pub(super) fn finish(self) -> (Stream, Option<Account>) {
        let stream = Stream {
            intended: self.fates.values().sum(),
            waited: self.waited,
            fates: self.fates,
            statuses: self.statuses,
            retry_after: self.retry_after,
            right_per_second: self.right_in_time as f64 / (self.end_ns as f64 / 1e9),
            answer_bytes: self.answer_bytes,
            latency: self.latency.latency(),
            service: self.service.latency(),
            refusal: self.refusal.latency(),
            right_at_us: self.right_at.unwrap_or_default(),
            connections_opened: self.connections_opened,
        };
        (stream, self.ledger.map(|ledger| ledger.account(self.end_ns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(number: usize, intended_us: u64, sent_us: u64) -> Asked {
        Asked { number, intended_ns: intended_us * 1000, sent_ns: sent_us * 1000 }
    }

    fn judged(fate: Fate, status: u16) -> Judged {
        Judged { fate, status, retry_after: status == 503, keep_alive: true, bytes: 99 }
    }

    #[test]
    fn every_request_is_counted_once_and_in_its_place() {
        let mut tally = Tally::new(1_000_000_000, Some(Ledger::new(5)));
        tally.answer(asked(0, 0, 0), &judged(Fate::Right, 200), 1_000_000);
        tally.answer(asked(1, 0, 500), &judged(Fate::Right, 200), 1_500_000_000);
        tally.answer(asked(2, 0, 0), &judged(Fate::Allowed, 503), 2_000_000);
        tally.answer(asked(3, 0, 0), &judged(Fate::WrongStatus, 500), 2_000_000);
        tally.settle(asked(4, 10, 0), Fate::TimedOut, 5_010_000);
        let (stream, account) = tally.finish();
        assert_eq!((stream.intended, stream.right(), stream.failed()), (5, 2, 2));
        assert_eq!(stream.statuses, [(200, 2), (500, 1), (503, 1)].into());
        assert_eq!((stream.retry_after, stream.answer_bytes), (1, 99));
        assert!((stream.right_per_second - 1.0).abs() < 1e-9);
        // A request that timed out has waited, and has not been served.
        assert_eq!((stream.latency.count, stream.service.count), (3, 2));
        assert!((stream.latency.max_us - 1.5e6).abs() < 1.5e3);
        assert_eq!(account.map(|account| account.requests), Some(5));
    }

    #[test]
    fn a_late_answer_counts_from_its_intended_moment() {
        let mut tally = Tally::new(1_000_000_000, None);
        tally.answer(asked(0, 1_000, 201_000), &judged(Fate::Right, 200), 202_000_000);
        let (stream, _) = tally.finish();
        assert!((stream.latency.max_us - 201_000.0).abs() < 201.0, "{:?}", stream.latency);
        assert!((stream.service.max_us - 1_000.0).abs() < 1.0, "{:?}", stream.service);
    }
}
