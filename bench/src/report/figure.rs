//! How figures are written: three significant digits, groups of thousands, a unit, human words.

use crate::result::Quantity;
use crate::statistics::{NoRatio, NoVerdict, Side, Summary, Verdict};

impl Quantity {
    /// What it is, as a heading has it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::ContextSwitchesPerRequest => "context switches per request",
            Self::CpuPerRequestUs => "CPU per request",
            Self::FailedRequests => "failed requests",
            Self::HeavyPerSecond => "heavy requests per second",
            Self::IdleBytes => "memory per idle connection",
            Self::IdleCpuPercent => "CPU while all connections are idle",
            Self::LatencyMaxUs => "longest latency",
            Self::LatencyP50Us => "median latency",
            Self::LatencyP90Us => "latency, 90th percentile",
            Self::LatencyP99Us => "latency, 99th percentile",
            Self::LatencyP999Us => "latency, 99.9th percentile",
            Self::LatencyP9999Us => "latency, 99.99th percentile",
            Self::LongestGapMs => "longest time without an answer",
            Self::MemoryBytes => "memory",
            Self::RequestsPerSecond => "requests per second",
            Self::StartMs => "start to first answer",
            Self::SystemCallsPerRequest => "system calls per request",
        }
    }

    /// Empty for plain counts.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::CpuPerRequestUs
            | Self::LatencyMaxUs
            | Self::LatencyP50Us
            | Self::LatencyP90Us
            | Self::LatencyP99Us
            | Self::LatencyP999Us
            | Self::LatencyP9999Us => "µs",
            Self::FailedRequests
            | Self::SystemCallsPerRequest
            | Self::ContextSwitchesPerRequest => "",
            Self::HeavyPerSecond | Self::RequestsPerSecond => "/s",
            Self::IdleBytes => "bytes",
            Self::IdleCpuPercent => "% of a core",
            Self::LongestGapMs | Self::StartMs => "ms",
            Self::MemoryBytes => "MiB",
        }
    }

    /// `title` with the unit, for the head of a table.
    pub(super) fn heading(self) -> String {
        match self.unit() {
            "" | "/s" => self.title().to_owned(),
            unit => format!("{}, {unit}", self.title()),
        }
    }

    /// The figure as it is written, in its unit.
    pub(super) fn shown(self, value: f64) -> String {
        match self {
            Self::FailedRequests if value.fract() == 0.0 => group(&format!("{value:.0}")),
            _ => three_digits(self.scaled(value)),
        }
    }

    /// The figure in the unit that it is shown in, for an axis.
    pub(super) fn scaled(self, value: f64) -> f64 {
        if self == Self::MemoryBytes { value / MEBIBYTE } else { value }
    }

    /// The figure and its unit.
    pub(super) fn with_unit(self, value: f64) -> String {
        let figure = self.shown(value);
        match self.unit() {
            "" => figure,
            unit if unit.starts_with('/') => format!("{figure}{unit}"),
            unit => format!("{figure} {unit}"),
        }
    }
}

/// Three significant digits without an exponent, thousands in groups: `3.21`, `0.0457`, `98,700`.
pub(super) fn three_digits(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    if value == 0.0 || value.abs() < SMALLEST {
        return "0".to_owned();
    }
    // 9.996 becomes 10.0 only once it is rounded, so the rounded value counts the digits.
    let rounded: f64 = format!("{value:.2e}").parse().expect("what was formatted is a number");
    let magnitude = rounded.abs().log10().floor();
    let decimals = (2.0 - magnitude).clamp(0.0, 9.0) as usize;
    group(&format!("{rounded:.decimals$}"))
}

/// Puts commas between groups of three digits.
pub(super) fn group(number: &str) -> String {
    let (sign, rest) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (whole, fraction) = rest.find('.').map_or((rest, ""), |at| rest.split_at(at));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{fraction}")
}

/// `1.06`, `0.972`, `31.4`; a dash where there is none.
pub(super) fn ratio(ratio: Result<Summary, NoRatio>) -> String {
    ratio.map_or_else(|_| "-".to_owned(), |ratio| multiple(ratio.median))
}

/// A ratio near 1 needs its second decimal and no third.
pub(super) fn multiple(ratio: f64) -> String {
    if (0.1..10.0).contains(&ratio) { format!("{ratio:.2}") } else { three_digits(ratio) }
}

/// A part as a percentage: `4.2 %`, `37 %`.
pub(super) fn percent(part: f64) -> String {
    let percent = part * 100.0;
    if percent.abs() < 9.95 {
        format!("{percent:.1} %")
    } else {
        format!("{} %", group(&format!("{percent:.0}")))
    }
}

/// How corewise stands to another, as one cell of a table.
pub(super) fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Ahead(part) => format!("ahead {}", distance(part)),
        Verdict::Behind(part) => format!("behind {}", distance(part)),
        Verdict::NoDifference => "no difference".to_owned(),
        Verdict::OfZero(Side::Better) => "ahead".to_owned(),
        Verdict::OfZero(Side::Worse) => "behind".to_owned(),
        Verdict::Open(NoVerdict::NoiseUnknown) => "too few rounds to tell".to_owned(),
        Verdict::Open(NoVerdict::NoRatio(_)) => "-".to_owned(),
    }
}

/// By how much; past the double a percentage is hard to picture.
fn distance(part: f64) -> String {
    if part < 1.0 {
        format!("by {}", percent(part))
    } else {
        format!("{} times", three_digits(1.0 + part))
    }
}

/// Why there is no ratio, after "not judged: ".
pub(super) fn no_ratio(reason: NoRatio) -> &'static str {
    match reason {
        NoRatio::NoCommonRound => "the two were never measured in the same round",
        NoRatio::NoFigure => "corewise has no figure that counts",
        NoRatio::NothingToCompareWith => "the bare loop has no figure that counts",
        NoRatio::OfZero => "the bare loop measured zero",
    }
}

/// `3.10 to 3.40`, or nothing to add where there was one round.
pub(super) fn range(quantity: Quantity, summary: Summary) -> String {
    if summary.count < 2 {
        return "one round".to_owned();
    }
    format!("{} to {}", quantity.shown(summary.min), quantity.shown(summary.max))
}

/// Seconds as `48 s`, `4 min 05 s`, `1 h 02 min`.
pub(super) fn duration(seconds: u64) -> String {
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=3599 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A time on an axis: `50 µs`, `2 ms`, `1 s`.
pub(super) fn time(microseconds: f64) -> String {
    match microseconds {
        us if us < 1e3 => format!("{} µs", plain(us)),
        us if us < 1e6 => format!("{} ms", plain(us / 1e3)),
        us => format!("{} s", plain(us / 1e6)),
    }
}

/// A round number as an axis has it, without noughts that say nothing: `0.5`, `20,000`.
pub(super) fn plain(value: f64) -> String {
    let text = three_digits(value);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// The first letter as a sentence has it.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// `1 window`, `3 windows`.
pub(super) fn count(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", group(&count.to_string()))
}

/// Gives all numbers of a table's column the same digits behind the point by filling them up with
/// `blank`, so that right-aligned points stand below each other.
pub(super) fn align(numbers: &mut [String], blank: [char; 2]) {
    let decimals = |text: &str| text.find('.').map_or(0, |at| text.len() - at);
    let widest = numbers.iter().map(|text| decimals(text)).max().unwrap_or(0);
    for text in numbers {
        let have = decimals(text);
        let [point, digit] = blank;
        if have == 0 && widest > 0 {
            text.push(point);
        }
        text.extend(std::iter::repeat_n(digit, widest.saturating_sub(have.max(1))));
    }
}

const MEBIBYTE: f64 = 1_048_576.0;
/// What is less is shown as nothing.
const SMALLEST: f64 = 1e-6;
/// Blanks as wide as a point and as a digit, on a page.
pub(super) const FIGURE_BLANKS: [char; 2] = ['\u{2008}', '\u{2007}'];
/// The same where every character has one width.
pub(super) const PLAIN_BLANKS: [char; 2] = [' ', ' '];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: f64, expected: &str) {
        assert_eq!(three_digits(value), expected);
    }

    #[test]
    fn three_digits_are_kept() {
        check(3.2149, "3.21");
        check(9.996, "10.0");
        check(99.96, "100");
        check(0.04567, "0.0457");
        check(98_743.2, "98,700");
        check(1_234_567.0, "1,230,000");
        check(0.0, "0");
        check(1e-12, "0");
        check(-2.5, "-2.50");
        check(f64::NAN, "-");
        check(f64::INFINITY, "-");
        check(1e300, &group(&format!("{:.0}", 1e300)));
    }

    #[test]
    fn units_are_those_of_people() {
        assert_eq!(Quantity::MemoryBytes.with_unit(4_194_304.0), "4.00 MiB");
        assert_eq!(Quantity::RequestsPerSecond.with_unit(98_743.0), "98,700/s");
        assert_eq!(Quantity::FailedRequests.with_unit(12_345.0), "12,345");
        assert_eq!(time(20.0), "20 µs");
        assert_eq!(time(500_000.0), "500 ms");
        assert_eq!(time(2e6), "2 s");
        assert_eq!(duration(48), "48 s");
        assert_eq!(duration(245), "4 min 05 s");
        assert_eq!(duration(3_720), "1 h 02 min");
        assert_eq!(percent(0.042), "4.2 %");
        assert_eq!(percent(12.5), "1,250 %");
        assert_eq!(count(1, "window"), "1 window");
        assert_eq!(count(1_200, "window"), "1,200 windows");
    }

    #[test]
    fn points_stand_below_each_other() {
        let mut numbers = ["3.21", "101", "0", "12.4"].map(str::to_owned);
        align(&mut numbers, PLAIN_BLANKS);
        assert_eq!(numbers, ["3.21", "101   ", "0   ", "12.4 "]);
        let mut whole = ["7", "12"].map(str::to_owned);
        align(&mut whole, PLAIN_BLANKS);
        assert_eq!(whole, ["7", "12"]);
    }
}
