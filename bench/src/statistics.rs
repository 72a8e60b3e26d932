//! Medians, ratios and verdicts: what the figures of a run allow to say.
//!
//! Only windows that count are looked at. A ratio is always made within a round, because the
//! machine of one round is not the machine of the next; what is reported is the median of the
//! ratios, never the ratio of the medians. This module is pure, and whatever is missing, zero or
//! no number has an answer of its own type.

use std::collections::BTreeMap;

use crate::result::{Bar, Column, Promise, Quantity, Role, Run, Subject, Window};

/// The counted figures of a run, by what they are about.
pub(crate) struct Statistics<'a> {
    subjects: &'a [Subject],
    /// By column, subject and quantity.
    figures: BTreeMap<&'a str, BTreeMap<&'a str, BTreeMap<Quantity, Rounds>>>,
}

/// Figures by their round.
type Rounds = BTreeMap<u32, f64>;

/// A quantity under a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure<'a> {
    pub(crate) column: &'a str,
    pub(crate) quantity: Quantity,
}

/// Middle and extremes of figures, or of the ratios of the rounds. There is at least one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// Figures that it is made of.
    pub(crate) count: usize,
}

/// Whose figure is divided by whose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    pub(crate) subject: &'a str,
    pub(crate) against: &'a str,
}

/// Why there is no ratio.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoRatio {
    /// Both have figures, but never in the same round.
    NoCommonRound,
    /// The first subject has no figure that counts.
    NoFigure,
    /// The subject to compare with has none.
    NothingToCompareWith,
    /// The subject to compare with measured zero, and this one did not.
    OfZero,
}

/// How one subject stands to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Better by this part of the other's figure.
    Ahead(f64),
    /// Worse by this part of the other's figure.
    Behind(f64),
    /// Within what two runs of one program differ.
    NoDifference,
    /// Better or worse than a zero, which is more than any part.
    OfZero(Side),
    /// The figures do not carry a verdict.
    Open(NoVerdict),
}

/// Which way a difference goes that has no size.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Better,
    Worse,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoVerdict {
    NoRatio(NoRatio),
    /// Neither an A/A pair nor enough rounds say what is noise here.
    NoiseUnknown,
}

/// What became of a promise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The figure, or the ratio, that keeps it.
    Kept(f64),
    /// The figure, or the ratio, and by which part of the bar it is over, unless that is zero.
    Missed { value: f64, over: Option<f64> },
    /// Nothing to hold it against.
    Open(NoRatio),
}

/// Whether the bare loop may be called the limit of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    /// It costs this part of hyper's CPU, which is at most `LIMIT_OF_HYPER`.
    Valid(f64),
    /// It costs this part of hyper's CPU, which is too near for a limit.
    Invalid(f64),
    /// The two were not measured together.
    Unknown,
}

impl<'a> Statistics<'a> {
    pub(crate) fn of(run: &'a Run) -> Self {
        Self::of_windows(&run.subjects, &run.windows)
    }

    /// Of a run that is still going on.
    pub(crate) fn of_windows(subjects: &'a [Subject], windows: &'a [Window]) -> Self {
        let mut figures: BTreeMap<&str, BTreeMap<&str, BTreeMap<Quantity, Rounds>>> =
            BTreeMap::new();
        for window in windows.iter().filter(|window| window.counts) {
            let subjects = figures.entry(&window.column).or_default();
            let quantities = subjects.entry(&window.subject).or_default();
            for (&quantity, &figure) in &window.figures {
                if figure.is_finite() && figure >= 0.0 {
                    // The last attempt stands, should two of a round count.
                    quantities.entry(quantity).or_default().insert(window.round, figure);
                }
            }
        }
        Self { subjects, figures }
    }

    /// The subject that corewise is: the first of its role.
    pub(crate) fn ours(&self) -> Option<&'a Subject> {
        self.first(Role::Ours)
    }

    /// What this kernel allows: the bare loop.
    pub(crate) fn limit(&self) -> Option<&'a Subject> {
        self.first(Role::Limit)
    }

    fn first(&self, role: Role) -> Option<&'a Subject> {
        self.subjects.iter().find(|subject| subject.role == role)
    }

    pub(crate) fn summary(&self, measure: Measure<'_>, subject: &str) -> Option<Summary> {
        Summary::of(self.rounds(measure, subject)?.values().copied())
    }

    /// The ratios of the rounds in which both were measured.
    pub(crate) fn ratio(&self, measure: Measure<'_>, pair: Pair<'_>) -> Result<Summary, NoRatio> {
        Summary::of(self.ratios(measure, pair)?).ok_or(NoRatio::NoCommonRound)
    }

    fn ratios(&self, measure: Measure<'_>, pair: Pair<'_>) -> Result<Vec<f64>, NoRatio> {
        let own = self.rounds(measure, pair.subject).ok_or(NoRatio::NoFigure)?;
        let other = self.rounds(measure, pair.against).ok_or(NoRatio::NothingToCompareWith)?;
        let common = own.iter().filter_map(|(round, own)| Some((*own, *other.get(round)?)));
        common.map(|(own, other)| divide(own, other)).collect()
    }

    fn rounds(&self, measure: Measure<'_>, subject: &str) -> Option<&Rounds> {
        self.figures.get(measure.column)?.get(subject)?.get(&measure.quantity)
    }

    /// By how much one program differs from itself here: the A/A spread, as a part.
    ///
    /// The bare loop runs twice in each round. How far the two are apart in the worst round is
    /// what pure chance does, and no smaller difference between two programs means anything. Which
    /// of the pair is divided by which is arbitrary, so a ratio and its inverse count alike: the
    /// band reaches from 1 / (1 + spread) to 1 + spread.
    pub(crate) fn spread(&self, measure: Measure<'_>) -> Option<f64> {
        let subject = &self.first(Role::LimitAgain)?.name;
        let against = &self.limit()?.name;
        let ratios = self.ratios(measure, Pair { subject, against }).ok()?;
        let widest = ratios.into_iter().map(apart).reduce(f64::max)?;
        widest.is_finite().then_some(widest)
    }

    /// How the subject stands to the other. A difference is believed when it is larger than the
    /// A/A spread and nearly every round shows it; a time has to be measured more than once. Where
    /// no A/A pair ran, every one of at least `ROUNDS_FOR_A_SIGN` rounds has to show it.
    pub(crate) fn verdict(&self, measure: Measure<'_>, pair: Pair<'_>) -> Verdict {
        let ratios = match self.ratios(measure, pair) {
            Ok(ratios) => ratios,
            Err(NoRatio::OfZero) => return self.verdict_by_median(measure, pair),
            Err(reason) => return Verdict::Open(NoVerdict::NoRatio(reason)),
        };
        let Some(Summary { median, min, max, count }) = Summary::of(ratios.iter().copied()) else {
            return Verdict::Open(NoVerdict::NoRatio(NoRatio::NoCommonRound));
        };
        let otherwise = |ratio: &&f64| (**ratio - 1.0) * (median - 1.0) <= 0.0;
        let dissent = ratios.iter().filter(otherwise).count();
        let noise = match self.spread(measure) {
            _ if min == 1.0 && max == 1.0 => true,
            Some(_) if count < measure.quantity.rounds_for_a_verdict() => {
                return Verdict::Open(NoVerdict::NoiseUnknown);
            }
            Some(spread) => apart(median) <= spread || dissent > count / ROUNDS_FOR_A_DISSENT,
            None if count < ROUNDS_FOR_A_SIGN => return Verdict::Open(NoVerdict::NoiseUnknown),
            None => min <= 1.0 && max >= 1.0,
        };
        if noise {
            Verdict::NoDifference
        } else if (median < 1.0) == measure.quantity.less_is_better() {
            Verdict::Ahead((median - 1.0).abs())
        } else {
            Verdict::Behind((median - 1.0).abs())
        }
    }

    /// Where a ratio would divide by zero, only the direction can be told.
    fn verdict_by_median(&self, measure: Measure<'_>, pair: Pair<'_>) -> Verdict {
        let median = |name| self.summary(measure, name).map(|summary| summary.median);
        match (median(pair.subject), median(pair.against)) {
            (Some(own), Some(other)) if own == other => Verdict::NoDifference,
            (Some(own), Some(other)) if (own < other) == measure.quantity.less_is_better() => {
                Verdict::OfZero(Side::Better)
            }
            _ => Verdict::OfZero(Side::Worse),
        }
    }

    /// What became of a promise of a column.
    pub(crate) fn outcome(&self, column: &Column, promise: Promise) -> Outcome {
        let measure = Measure { column: &column.name, quantity: promise.quantity };
        let Some(ours) = self.ours() else { return Outcome::Open(NoRatio::NoFigure) };
        let (value, bar) = match promise.bar {
            Bar::Absolute(bar) => {
                let summary = self.summary(measure, &ours.name).ok_or(NoRatio::NoFigure);
                (summary, bar)
            }
            Bar::RelativeToLimit(bar) => (self.to_limit(measure, &ours.name), bar),
        };
        match value {
            Ok(Summary { median, .. }) if median <= bar => Outcome::Kept(median),
            Ok(Summary { median, .. }) => {
                Outcome::Missed { value: median, over: divide(median - bar, bar).ok() }
            }
            Err(reason) => Outcome::Open(reason),
        }
    }

    /// The subject's ratio to the bare loop.
    pub(crate) fn to_limit(&self, measure: Measure<'_>, subject: &str) -> Result<Summary, NoRatio> {
        let against = &self.limit().ok_or(NoRatio::NothingToCompareWith)?.name;
        self.ratio(measure, Pair { subject, against })
    }

    /// Whether the bare loop is far enough under hyper, which does the same the usual way.
    pub(crate) fn limit_holds(&self, column: &str) -> Limit {
        let measure = Measure { column, quantity: Quantity::CpuPerRequestUs };
        let Some(limit) = self.limit() else { return Limit::Unknown };
        match self.ratio(measure, Pair { subject: &limit.name, against: HYPER }) {
            Ok(ratio) if ratio.median <= LIMIT_OF_HYPER => Limit::Valid(ratio.median),
            Ok(ratio) => Limit::Invalid(ratio.median),
            Err(_) => Limit::Unknown,
        }
    }
}

impl Summary {
    /// Of finite values; `None` when there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        };
        Some(Self { median, min, max, count: sorted.len() })
    }
}

impl Quantity {
    pub(crate) fn less_is_better(self) -> bool {
        !matches!(self, Self::RequestsPerSecond | Self::HeavyPerSecond)
    }

    /// Sizes and counts of calls come out the same again; of times, one round says nothing.
    fn rounds_for_a_verdict(self) -> usize {
        match self {
            Self::IdleBytes | Self::MemoryBytes | Self::SystemCallsPerRequest => 1,
            _ => 2,
        }
    }
}

/// Two zeros are the same; nothing is a multiple of zero.
fn divide(own: f64, other: f64) -> Result<f64, NoRatio> {
    match (own, other) {
        (0.0, 0.0) => Ok(1.0),
        (_, 0.0) => Err(NoRatio::OfZero),
        _ => Ok(own / other).and_then(|ratio: f64| {
            // Subnormal divisors overflow, and are zeros for every purpose here.
            if ratio.is_finite() { Ok(ratio) } else { Err(NoRatio::OfZero) }
        }),
    }
}

/// How far a ratio is from 1, whichever of the two is on top.
fn apart(ratio: f64) -> f64 {
    ratio.max(1.0 / ratio) - 1.0
}

/// The bare loop may be called a limit while it costs at most this much of hyper's CPU.
pub(crate) const LIMIT_OF_HYPER: f64 = 0.92;
/// The subject that the bare loop has to undercut for that.
const HYPER: &str = "hyper";
/// So many rounds that agree are hardly chance: of five coins all fall alike one time in sixteen.
const ROUNDS_FOR_A_SIGN: usize = 5;
/// Beside a spread, one round of so many may show no difference or the opposite one.
const ROUNDS_FOR_A_DISSENT: usize = 6;

#[cfg(test)]
mod tests;
