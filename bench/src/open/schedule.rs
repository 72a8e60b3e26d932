//! When each request is due. Computed before the load, so that nothing the server does moves it.

/// Nanoseconds from the beginning of the load, rising.
pub(super) fn moments(rate: f64, seconds: f64, poisson: Option<u64>) -> Vec<u64> {
    match poisson {
        None => equal(rate, seconds),
        Some(seed) => exponential(rate, seconds, Random::new(seed)),
    }
}

fn equal(rate: f64, seconds: f64) -> Vec<u64> {
    let count = (rate * seconds).round().max(1.0) as u64;
    // Multiplied anew for each, so that no rounding adds up.
    (0..count).map(|index| (index as f64 * NS / rate) as u64).collect()
}

/// Gaps as between independent clients: many short ones, few long ones.
fn exponential(rate: f64, seconds: f64, mut random: Random) -> Vec<u64> {
    let mut moments = Vec::with_capacity((rate * seconds) as usize + 16);
    let mut at = 0.0;
    while at < seconds {
        moments.push((at * NS) as u64);
        // 1 - u is above zero, so the logarithm is finite.
        at -= (1.0 - random.unit()).ln() / rate;
    }
    moments
}

/// SplitMix64: all seeds are good ones.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// From 0 to just below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

const NS: f64 = 1e9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_spacing_does_not_drift() {
        let moments = moments(30_000.0, 10.0, None);
        assert_eq!(moments.len(), 300_000);
        assert_eq!(moments[30_000], 1_000_000_000);
        assert_eq!(moments[299_999], 9_999_966_666);
    }

    #[test]
    fn there_is_always_one_request() {
        assert_eq!(moments(1.0, 0.1, None), [0]);
        assert!(!moments(1.0, 0.1, Some(1)).is_empty());
    }

    #[test]
    fn poisson_has_its_rate_and_its_spread_and_is_repeatable() {
        let first = moments(10_000.0, 10.0, Some(7));
        assert_eq!(first, moments(10_000.0, 10.0, Some(7)));
        assert_ne!(first, moments(10_000.0, 10.0, Some(8)));
        assert!(first.is_sorted());
        // The count has a deviation of 316; the mean gap equals the deviation of the gaps.
        assert!((98_000..102_000).contains(&first.len()), "{}", first.len());
        let gaps: Vec<f64> = first.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "{mean} {variance}");
    }
}
