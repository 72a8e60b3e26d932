//! Times by the thousand, in three significant digits.

use super::outcome::Latency;

/// From a nanosecond to a minute; what is longer counts as a minute.
pub(super) struct Histogram(hdrhistogram::Histogram<u64>);

impl Histogram {
    pub(super) fn new() -> Self {
        let made = hdrhistogram::Histogram::new_with_bounds(1, LONGEST_NS, DIGITS);
        Self(made.expect("the bounds are constants that it takes"))
    }

    pub(super) fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    pub(super) fn latency(&self) -> Latency {
        let count = self.0.len();
        if count == 0 {
            return Latency::default();
        }
        let above = |percentile: f64| count as f64 * (100.0 - percentile) / 100.0;
        // A little less than one sample, because 99.9 is not exact in binary.
        let known = PERCENTILES.iter().filter(|percentile| above(**percentile) > 0.999);
        Latency {
            count,
            mean_us: self.0.mean() / 1e3,
            percentiles: known.map(|at| (*at, self.at(*at))).collect(),
            max_us: self.0.max() as f64 / 1e3,
        }
    }

    /// 99.9 is not exact in binary, and 99.9 % of a thousand samples would be those and one more:
    /// the library is asked for the middle of the rank, which it cannot miss.
    fn at(&self, percentile: f64) -> f64 {
        let count = self.0.len() as f64;
        let rank = (percentile * count / 100.0 - 1e-6).ceil().max(1.0);
        self.0.value_at_quantile((rank - 0.5) / count) as f64 / 1e3
    }
}

const LONGEST_NS: u64 = 60_000_000_000;
const DIGITS: u8 = 3;
/// Dense enough for a curve on a logarithmic axis.
const PERCENTILES: &[f64] = &[
    1.0, 5.0, 10.0, 25.0, 50.0, 60.0, 70.0, 75.0, 80.0, 85.0, 90.0, 92.5, 95.0, 97.5, 98.0, 99.0,
    99.25, 99.5, 99.75, 99.8, 99.9, 99.925, 99.95, 99.975, 99.98, 99.99,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(samples: &[u64]) -> Latency {
        let mut histogram = Histogram::new();
        for sample in samples {
            histogram.record(*sample);
        }
        histogram.latency()
    }

    /// The smallest sample that at least so many hundredths of the samples do not exceed.
    fn reference(sorted: &[u64], percentile: f64) -> f64 {
        let thousandths = (percentile * 1e3).round() as usize;
        let rank = (thousandths * sorted.len()).div_ceil(100_000);
        sorted[rank - 1] as f64 / 1e3
    }

    #[track_caller]
    fn check_close(found: f64, expected: f64) {
        let off = (found - expected).abs();
        assert!(off <= expected * 1e-3 + 1e-3, "{found} us instead of {expected} us");
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_sorted_samples(
            // Small and large ones alike: half of them below a microsecond would prove little.
            samples in prop::collection::vec((1_u64..60, 0_u32..30), 1..3_000)
        ) {
            let mut samples: Vec<u64> = samples.iter().map(|(base, shift)| base << shift).collect();
            let latency = of(&samples);
            samples.sort_unstable();
            prop_assert_eq!(latency.count, samples.len() as u64);
            for (percentile, us) in &latency.percentiles {
                check_close(*us, reference(&samples, *percentile));
            }
            check_close(latency.max_us, *samples.last().unwrap() as f64 / 1e3);
            let sum: u64 = samples.iter().sum();
            check_close(latency.mean_us, sum as f64 / samples.len() as f64 / 1e3);
        }
    }

    #[test]
    fn nothing_is_said_of_percentiles_without_samples_above() {
        let hundred: Vec<u64> = (1..=100).map(|ms| ms * 1_000_000).collect();
        check_close(of(&hundred).at(99.0).unwrap(), 99_000.0);
        assert_eq!(of(&hundred).at(99.9), None);
        assert_eq!(of(&[]), Latency::default());
        assert!(of(&[7]).percentiles.is_empty());
        check_close(of(&vec![5_000; 10_000]).at(99.99).unwrap(), 5.0);
    }

    #[test]
    fn what_is_too_long_counts_as_the_longest() {
        assert!(of(&[u64::MAX]).max_us >= 60e6);
    }
}
