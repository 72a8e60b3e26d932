//! What the open-loop generator found, as it prints it and as the runner reads it.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use crate::reading::Reading;
use crate::result::Quantity;

/// A finished load.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Outcome {
    /// From the first intended moment to the last, and the wait for what was still missing then.
    pub(crate) took_seconds: f64,
    /// The requests of the first path.
    pub(crate) light: Stream,
    /// The requests of the second path, if there was one.
    pub(crate) heavy: Option<Stream>,
    pub(crate) generator: Generator,
    /// Of the light requests; only with `--ledger`.
    pub(crate) ledger: Option<Account>,
}

/// All requests of one path. `intended` is the sum of all `fates`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Stream {
    /// Requests that were due.
    pub(crate) intended: u64,
    /// Those that found all connections busy and waited for one; their latency ran on.
    pub(crate) waited: u64,
    pub(crate) fates: BTreeMap<Fate, u64>,
    /// Answers by status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Answers that named a time after which to come again.
    pub(crate) retry_after: u64,
    /// Right answers for each second of the load.
    pub(crate) right_per_second: f64,
    /// Length of a right answer on the wire, head and body.
    pub(crate) answer_bytes: u64,
    /// From the intended moment to the last byte of a right answer. A request that was given up
    /// (timed out, left, unanswered) counts with the time it had waited in vain: less than the
    /// truth, but not left out.
    pub(crate) latency: Latency,
    /// The same from the moment it was really sent, right answers only: what a closed loop would
    /// have reported.
    pub(crate) service: Latency,
    /// From the intended moment to an answer that was allowed beside the right one.
    pub(crate) refusal: Latency,
    /// When the right answers came, in microseconds from the beginning; of heavy requests only.
    pub(crate) right_at_us: Vec<u64>,
    /// Connections opened, the first ones included.
    pub(crate) connections_opened: u64,
}

/// How a request ended; each has exactly one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    /// The expected status, length and content.
    Right,
    /// A status that was allowed beside the right one (`--expect 200,503`).
    Allowed,
    /// No connection could be made.
    Refused,
    /// The connection ended while the request was being written.
    WriteFailed,
    /// The connection ended before the first byte of the answer.
    LostBefore,
    /// The connection was reset behind the first byte.
    ResetAfter,
    /// The connection was closed in the middle of the answer.
    Cut,
    /// A status that was not expected.
    WrongStatus,
    /// Another length, another content, or bytes that are no answer.
    WrongContent,
    /// No whole answer within `--timeout` of the intended moment.
    TimedOut,
    /// The client was told to give up (`--leave-after`).
    Left,
    /// The load was over first.
    Unanswered,
}

/// A distribution of times; all zero and empty when `count` is zero.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) mean_us: f64,
    /// Percentile (0 to 100) and microseconds, rising. A percentile above which there is not one
    /// sample is left out.
    pub(crate) percentiles: Vec<(f64, f64)>,
    pub(crate) max_us: f64,
}

/// What the generator itself did to the figures.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Generator {
    /// How long after its moment a request was sent although a connection was free.
    pub(crate) lateness: Latency,
    /// At most this much at the 99.9th percentile, or the run is marked.
    pub(crate) lateness_max_us: f64,
    /// The mark: these figures show the generator as much as the server.
    pub(crate) late: bool,
    /// Whether it never slept.
    pub(crate) spin: bool,
    /// Beginning of the schedule on the clock that all processes of a machine share.
    pub(crate) began_monotonic_ns: u64,
}

/// Every light request, accounted for once and in time.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Account {
    pub(crate) requests: u64,
    /// Longest time without a right answer, the beginning and the end of the load included.
    pub(crate) longest_gap_ms: f64,
    /// When it began, from the first intended moment.
    pub(crate) longest_gap_at_ms: f64,
    /// Right answers in each 10 ms.
    pub(crate) right_by_bucket: Vec<u32>,
}

impl Outcome {
    /// The part of a window that follows from the light requests.
    pub(crate) fn reading(&self) -> Reading {
        let light = &self.light;
        let latency = &light.latency;
        let known = QUANTITIES.iter().filter_map(|(at, name)| Some((*name, latency.at(*at)?)));
        let mut figures: BTreeMap<Quantity, f64> = known.collect();
        figures.insert(Quantity::LatencyMaxUs, latency.max_us);
        figures.insert(Quantity::RequestsPerSecond, light.right_per_second);
        let late = self.generator.late.then(|| "the generator was late itself".to_owned());
        Reading {
            figures,
            requests: light.right(),
            answer_bytes: light.answer_bytes,
            errors: light.errors(),
            disturbances: late.into_iter().collect(),
            percentiles: latency.percentiles.clone(),
        }
    }
}

impl Stream {
    pub(crate) fn count(&self, fate: Fate) -> u64 {
        self.fates.get(&fate).copied().unwrap_or(0)
    }

    pub(crate) fn right(&self) -> u64 {
        self.count(Fate::Right)
    }

    /// Requests that got neither a right nor an allowed answer. Who left did not wait for one.
    pub(crate) fn failed(&self) -> u64 {
        self.errors().values().sum()
    }

    /// What went wrong in the words of a window, which has no finer ones.
    pub(crate) fn errors(&self) -> BTreeMap<String, u64> {
        let mut errors = BTreeMap::new();
        for (fate, count) in &self.fates {
            if let Some(kind) = fate.error_kind() {
                *errors.entry(kind.to_owned()).or_default() += count;
            }
        }
        errors
    }
}

impl Fate {
    fn error_kind(self) -> Option<&'static str> {
        match self {
            Self::Allowed | Self::Left | Self::Right => None,
            Self::Refused => Some("connect"),
            Self::Cut | Self::LostBefore | Self::ResetAfter => Some("read"),
            Self::WriteFailed => Some("write"),
            Self::TimedOut | Self::Unanswered => Some("timeout"),
            Self::WrongStatus => Some("status"),
            Self::WrongContent => Some("content"),
        }
    }
}

impl Latency {
    /// Microseconds at a percentile that was asked for when it was made.
    pub(crate) fn at(&self, percentile: f64) -> Option<f64> {
        let found = self.percentiles.iter().find(|(at, _)| (at - percentile).abs() < 1e-9);
        found.map(|(_, us)| *us)
    }
}

/// For a person at a terminal.
impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "light\n{}", self.light)?;
        if let Some(heavy) = &self.heavy {
            write!(f, "heavy\n{heavy}")?;
        }
        if let Some(account) = &self.ledger {
            let Account { longest_gap_ms, longest_gap_at_ms, .. } = account;
            writeln!(f, "longest gap  {longest_gap_ms:.1} ms, at {longest_gap_at_ms:.0} ms")?;
        }
        writeln!(f, "lateness     {}", self.generator.lateness)?;
        if self.generator.late {
            let most = self.generator.lateness_max_us;
            writeln!(f, "late: the generator was over {most} us late, so the tail is its own")?;
        }
        Ok(())
    }
}

impl Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (right, rate) = (self.right(), self.right_per_second);
        writeln!(f, "  requests   {} due, {right} answered right, {rate:.0}/s", self.intended)?;
        for (fate, count) in self.fates.iter().filter(|(fate, _)| **fate != Fate::Right) {
            writeln!(f, "  {count} {fate:?}")?;
        }
        writeln!(f, "  latency    {}", self.latency)?;
        writeln!(f, "  service    {}", self.service)
    }
}

impl Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for percentile in [50.0, 99.0, 99.9, 99.99] {
            if let Some(us) = self.at(percentile) {
                write!(f, "p{percentile} {us:.0} us  ")?;
            }
        }
        write!(f, "max {:.0} us", self.max_us)
    }
}

/// Width of a bucket of `Account::right_by_bucket`.
pub(crate) const BUCKET_MS: u64 = 10;

const QUANTITIES: [(f64, Quantity); 5] = [
    (50.0, Quantity::LatencyP50Us),
    (90.0, Quantity::LatencyP90Us),
    (99.0, Quantity::LatencyP99Us),
    (99.9, Quantity::LatencyP999Us),
    (99.99, Quantity::LatencyP9999Us),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_in_the_words_of_a_window() {
        let fates = [
            (Fate::Right, 90),
            (Fate::Allowed, 3),
            (Fate::Left, 1),
            (Fate::LostBefore, 2),
            (Fate::Cut, 4),
            (Fate::WrongStatus, 5),
        ];
        let stream = Stream { fates: fates.into(), ..Stream::default() };
        let expected = [("read".to_owned(), 6), ("status".to_owned(), 5)];
        assert_eq!(stream.errors(), expected.into());
        assert_eq!((stream.right(), stream.failed()), (90, 11));
    }

    #[test]
    fn it_survives_being_written_and_read() {
        let latency = Latency { count: 2, percentiles: vec![(50.0, 1.5)], ..Latency::default() };
        let light = Stream {
            fates: [(Fate::TimedOut, 1)].into(),
            statuses: [(200, 3)].into(),
            latency: latency.clone(),
            ..Stream::default()
        };
        let generator = Generator {
            lateness: latency,
            lateness_max_us: 1.0,
            late: false,
            spin: true,
            began_monotonic_ns: 7,
        };
        let outcome = Outcome { took_seconds: 1.0, light, heavy: None, generator, ledger: None };
        let text = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
    }

    #[test]
    fn percentiles_are_found_by_their_number() {
        let latency = Latency { percentiles: vec![(50.0, 1.0), (99.9, 7.0)], ..Latency::default() };
        assert_eq!((latency.at(99.9), latency.at(99.99)), (Some(7.0), None));
    }
}
