use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::result::{Group, State};

const MEASURE: Measure<'_> = Measure { column: "load", quantity: Quantity::CpuPerRequestUs };
const OURS: Pair<'_> = Pair { subject: "ours", against: "peer" };

/// Subjects with their roles, and windows with one figure.
struct Seen {
    subjects: Vec<Subject>,
    windows: Vec<Window>,
}

impl Seen {
    fn new() -> Self {
        let roles = [
            ("bare", Role::Limit),
            ("bare2", Role::LimitAgain),
            ("ours", Role::Ours),
            ("peer", Role::Peer),
            ("hyper", Role::Peer),
        ];
        let subjects = roles.map(|(name, role)| Subject {
            name: name.to_owned(),
            title: String::new(),
            role,
            version: None,
            commands: Vec::new(),
            state: State::Measured,
            declined: BTreeMap::new(),
            note: None,
        });
        Self { subjects: subjects.to_vec(), windows: Vec::new() }
    }

    /// The subject's figures of the rounds from 0.
    fn with(self, subject: &str, figures: &[f64]) -> Self {
        self.with_quantity(subject, MEASURE.quantity, figures)
    }

    fn with_quantity(mut self, subject: &str, quantity: Quantity, figures: &[f64]) -> Self {
        let windows = figures.iter().zip(0..).map(|(&figure, round)| Window {
            column: MEASURE.column.to_owned(),
            subject: subject.to_owned(),
            round,
            attempt: 0,
            counts: true,
            figures: BTreeMap::from([(quantity, figure)]),
            requests: 1,
            answer_bytes: 1,
            errors: BTreeMap::new(),
            disturbances: Vec::new(),
            percentiles: Vec::new(),
        });
        self.windows.extend(windows);
        self
    }

    fn statistics(&self) -> Statistics<'_> {
        Statistics::of_windows(&self.subjects, &self.windows)
    }

    fn outcome(&self, bar: Bar) -> Outcome {
        let quantity = MEASURE.quantity;
        let column = Column {
            name: MEASURE.column.to_owned(),
            title: String::new(),
            group: Group::KeepAlive,
            connections: None,
            command: String::new(),
            quantities: vec![quantity],
            promises: Vec::new(),
        };
        self.statistics().outcome(&column, Promise { quantity, bar })
    }
}

#[track_caller]
fn check_verdict(aa: &[f64], ours: &[f64], peer: &[f64], expected: Verdict) {
    let bare = vec![1.0; aa.len()];
    let seen = Seen::new().with("bare", &bare).with("bare2", aa);
    let seen = seen.with("ours", ours).with("peer", peer);
    let verdict = seen.statistics().verdict(MEASURE, OURS);
    match (verdict, expected) {
        (Verdict::Ahead(part), Verdict::Ahead(expected))
        | (Verdict::Behind(part), Verdict::Behind(expected)) => {
            assert!((part - expected).abs() < 1e-9, "{verdict:?}, expected {expected}");
        }
        _ => assert_eq!(verdict, expected),
    }
}

#[test]
fn the_median_of_the_rounds_is_between_the_extremes() {
    assert_eq!(Summary::of([]), None);
    assert_eq!(Summary::of([f64::NAN]), None);
    let summary = |median, min, max, count| Some(Summary { median, min, max, count });
    assert_eq!(Summary::of([3.0]), summary(3.0, 3.0, 3.0, 1));
    assert_eq!(Summary::of([3.0, 1.0, 2.0]), summary(2.0, 1.0, 3.0, 3));
    assert_eq!(Summary::of([4.0, 1.0, f64::NAN]), summary(2.5, 1.0, 4.0, 2));
}

#[test]
fn only_windows_that_count_are_looked_at() {
    let mut seen = Seen::new().with("ours", &[1.0, 2.0, 900.0]);
    seen.windows[2].counts = false;
    assert_eq!(seen.statistics().summary(MEASURE, "ours").unwrap().max, 2.0);
    seen.windows.iter_mut().for_each(|window| window.counts = false);
    assert_eq!(seen.statistics().summary(MEASURE, "ours"), None);
    assert_eq!(seen.statistics().ratio(MEASURE, OURS), Err(NoRatio::NoFigure));
}

#[test]
fn a_ratio_is_made_within_its_round() {
    // The machine slows down to a third; no ratio notices.
    let seen = Seen::new().with("ours", &[1.1, 2.2, 3.3]).with("peer", &[1.0, 2.0, 3.0]);
    let ratio = seen.statistics().ratio(MEASURE, OURS).unwrap();
    assert!((ratio.median - 1.1).abs() < 1e-9 && ratio.count == 3);
    let alone = Seen::new().with("ours", &[1.0]);
    let nothing = Err(NoRatio::NothingToCompareWith);
    assert_eq!(alone.statistics().ratio(MEASURE, OURS), nothing);
    let mut apart = Seen::new().with("ours", &[1.0]).with("peer", &[1.0]);
    apart.windows[1].round = 7;
    assert_eq!(apart.statistics().ratio(MEASURE, OURS), Err(NoRatio::NoCommonRound));
    let zero = Seen::new().with("ours", &[0.0, 1.0]).with("peer", &[0.0, 0.0]);
    assert_eq!(zero.statistics().ratio(MEASURE, OURS), Err(NoRatio::OfZero));
}

#[test]
fn verdicts_respect_the_noise() {
    let aa = [1.01, 0.98, 1.0];
    check_verdict(&aa, &[0.8; 3], &[1.0; 3], Verdict::Ahead(0.2));
    check_verdict(&aa, &[1.2; 3], &[1.0; 3], Verdict::Behind(0.2));
    check_verdict(&aa, &[1.02; 3], &[1.0; 3], Verdict::NoDifference);
    check_verdict(&aa, &[0.0; 3], &[0.0; 3], Verdict::NoDifference);
    check_verdict(&aa, &[0.0; 3], &[1.0; 3], Verdict::Ahead(1.0));
    check_verdict(&aa, &[1.0; 3], &[0.0; 3], Verdict::OfZero(Side::Worse));
    let reason = NoVerdict::NoRatio(NoRatio::NothingToCompareWith);
    check_verdict(&aa, &[1.0; 3], &[], Verdict::Open(reason));
}

#[test]
fn beside_the_noise_nearly_all_rounds_have_to_agree() {
    // A median of 0.85 outside of the noise, and a round in which the two were level.
    check_verdict(&[1.02, 0.99], &[0.7, 1.0], &[1.0; 2], Verdict::NoDifference);
    check_verdict(&[1.02, 0.99], &[1.4, 0.9], &[1.0; 2], Verdict::NoDifference);
    check_verdict(&[1.02, 0.99], &[0.7, 0.9], &[1.0; 2], Verdict::Ahead(0.2));
    let one_otherwise = [0.8, 0.8, 0.8, 1.3, 0.8, 0.8];
    check_verdict(&[1.0; 6], &one_otherwise, &[1.0; 6], Verdict::Ahead(0.2));
    check_verdict(&[1.0; 5], &one_otherwise[..5], &[1.0; 5], Verdict::NoDifference);
}

#[test]
fn one_round_says_something_of_sizes_only() {
    let unknown = Verdict::Open(NoVerdict::NoiseUnknown);
    check_verdict(&[1.0], &[0.5], &[1.0], unknown);
    let quantity = Quantity::IdleBytes;
    let mut seen = Seen::new();
    for (name, figure) in [("bare", 700.0), ("bare2", 705.0), ("ours", 100.0), ("peer", 200.0)] {
        seen = seen.with_quantity(name, quantity, &[figure]);
    }
    let verdict = seen.statistics().verdict(Measure { quantity, ..MEASURE }, OURS);
    assert_eq!(verdict, Verdict::Ahead(0.5));
}

#[test]
fn without_a_pair_all_rounds_have_to_agree() {
    check_verdict(&[], &[0.9; 5], &[1.0; 5], Verdict::Ahead(0.1));
    check_verdict(&[], &[0.9, 0.9, 0.9, 0.9, 1.1], &[1.0; 5], Verdict::NoDifference);
    check_verdict(&[], &[0.9; 4], &[1.0; 4], Verdict::Open(NoVerdict::NoiseUnknown));
    check_verdict(&[], &[0.0], &[0.0], Verdict::NoDifference);
}

#[test]
fn more_requests_are_better() {
    let quantity = Quantity::RequestsPerSecond;
    let measure = Measure { quantity, ..MEASURE };
    let seen = Seen::new().with_quantity("ours", quantity, &[120.0; 5]).with_quantity(
        "peer",
        quantity,
        &[100.0; 5],
    );
    assert!(matches!(seen.statistics().verdict(measure, OURS), Verdict::Ahead(_)));
}

#[test]
fn promises_are_kept_or_missed_by_how_much() {
    let seen = Seen::new().with("bare", &[10.0, 20.0]).with("ours", &[10.5, 21.0]);
    assert_eq!(seen.outcome(Bar::RelativeToLimit(1.06)), Outcome::Kept(1.05));
    let Outcome::Missed { value, over } = seen.outcome(Bar::RelativeToLimit(1.0)) else {
        panic!("1.05 keeps no promise of 1.0")
    };
    assert!((value - 1.05).abs() < 1e-9 && (over.unwrap() - 0.05).abs() < 1e-9);
    assert_eq!(seen.outcome(Bar::Absolute(15.75)), Outcome::Kept(15.75));
    let missed = Outcome::Missed { value: 15.75, over: None };
    assert_eq!(seen.outcome(Bar::Absolute(0.0)), missed);
    let alone = Seen::new().with("ours", &[1.0]);
    let open = Outcome::Open(NoRatio::NothingToCompareWith);
    assert_eq!(alone.outcome(Bar::RelativeToLimit(1.06)), open);
    assert_eq!(Seen::new().outcome(Bar::Absolute(1.0)), Outcome::Open(NoRatio::NoFigure));
}

#[test]
fn the_limit_has_to_undercut_hyper() {
    let limit = |hyper: f64| {
        let seen = Seen::new().with("bare", &[9.0; 3]).with("hyper", &[hyper; 3]);
        seen.statistics().limit_holds(MEASURE.column)
    };
    assert_eq!(limit(10.0), Limit::Valid(0.9));
    assert!(matches!(limit(9.7), Limit::Invalid(_)));
    assert_eq!(limit(0.0), Limit::Unknown);
    assert_eq!(Seen::new().statistics().limit_holds(MEASURE.column), Limit::Unknown);
}

/// What a broken measurement might deliver.
fn figure() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => 0.001..1e6,
        1 => Just(0.0),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, -1.0, f64::MIN_POSITIVE, 1e308]),
    ]
}

proptest! {
    #[test]
    fn no_figures_lead_to_a_panic(figures in vec(vec(figure(), 0..7), 5)) {
        let mut seen = Seen::new();
        for (name, figures) in ["bare", "bare2", "ours", "peer", "hyper"].iter().zip(&figures) {
            seen = seen.with(name, figures);
        }
        let statistics = seen.statistics();
        for subject in ["bare", "ours", "peer", "nobody"] {
            if let Some(summary) = statistics.summary(MEASURE, subject) {
                prop_assert!(summary.min <= summary.median && summary.median <= summary.max);
            }
            for against in ["bare", "ours", "peer", "nobody"] {
                let pair = Pair { subject, against };
                if let Ok(ratio) = statistics.ratio(MEASURE, pair) {
                    prop_assert!(ratio.median.is_finite());
                }
                if let Verdict::Ahead(part) | Verdict::Behind(part) =
                    statistics.verdict(MEASURE, pair)
                {
                    prop_assert!(part.is_finite() && part >= 0.0);
                }
            }
        }
        seen.outcome(Bar::RelativeToLimit(1.06));
        statistics.limit_holds(MEASURE.column);
    }

    #[test]
    fn the_spread_does_not_care_who_is_first(a in vec(0.1..10.0, 1..6), b in vec(0.1..10.0, 1..6)) {
        let spread = |a: &[f64], b: &[f64]| {
            Seen::new().with("bare", a).with("bare2", b).statistics().spread(MEASURE).unwrap()
        };
        prop_assert!((spread(&a, &b) - spread(&b, &a)).abs() < 1e-9);
    }

    #[test]
    fn who_is_ahead_of_another_has_the_other_behind(
        aa in vec(0.95..1.05, 3), ours in vec(0.5..2.0, 3), peer in vec(0.5..2.0, 3),
    ) {
        let seen = Seen::new().with("bare", &[1.0; 3]).with("bare2", &aa);
        let seen = seen.with("ours", &ours).with("peer", &peer);
        let there = seen.statistics().verdict(MEASURE, OURS);
        let back = Pair { subject: OURS.against, against: OURS.subject };
        let back = seen.statistics().verdict(MEASURE, back);
        let mirrored = matches!(
            (there, back),
            (Verdict::Ahead(_), Verdict::Behind(_))
                | (Verdict::Behind(_), Verdict::Ahead(_))
                | (Verdict::NoDifference, Verdict::NoDifference)
        );
        prop_assert!(mirrored, "{there:?} {back:?}");
    }
}
