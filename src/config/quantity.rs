//! Quantities as people write them: sizes, times, ranges of times, shares.

use std::fmt;
use std::time::Duration;

/// So many of what `noun` names: `1 shard`, `2 shards`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A number of bytes that is written with the largest unit that divides it.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = SIZE_UNITS.iter().filter(|(name, _)| name.ends_with("iB"));
        for (name, factor) in units.rev() {
            if self.0 != 0 && self.0.is_multiple_of(*factor) {
                return write!(f, "{}{name}", self.0 / factor);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// A span of time that is written with the largest unit that divides it.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        for (name, factor) in TIME_UNITS.iter().rev() {
            let count = milliseconds / u128::from(*factor);
            let exact = milliseconds.is_multiple_of(u128::from(*factor));
            // "60s" reads better than "1m".
            if exact && count > 0 && (count > 1 || *name != "m") {
                return write!(f, "{count}{name}");
            }
        }
        f.write_str("0s")
    }
}

/// A share between 0 and 1, in millionths so that it can be compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fraction(pub u32);

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{}.{:06}", self.0 / MILLION, self.0 % MILLION);
        let short = digits.trim_end_matches('0');
        write!(f, "{short}{}", if short.ends_with('.') { "0" } else { "" })
    }
}

/// So many times within a span of time: `5 in 60s`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tries {
    /// How often.
    pub count: u32,
    /// Within which time.
    pub within: Duration,
}

impl fmt::Display for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.count, Span(self.within))
    }
}

pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor = match unit {
        "" => 1,
        unit => SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    number.checked_mul(factor)
}

pub(super) fn parse_time(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    // A bare number could be seconds or milliseconds; only nothing is the same in both.
    let factor = match unit {
        "" if number == 0 => 1,
        unit => TIME_UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.checked_mul(factor).map(Duration::from_millis)
}

pub(super) fn parse_time_range(text: &str) -> Option<(Duration, Duration)> {
    let (first, last) = text.split_once("..")?;
    Some((parse_time(first.trim())?, parse_time(last.trim())?))
}

pub(super) fn parse_tries(text: &str) -> Option<Tries> {
    let (count, within) = text.split_once(" in ")?;
    Some(Tries { count: parse_digits(count.trim())?, within: parse_time(within.trim())? })
}

pub(super) fn parse_percent(text: &str) -> Option<u64> {
    parse_digits(text.strip_suffix('%')?.trim_end())
}

pub(super) fn parse_fraction(text: &str) -> Option<Fraction> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if decimals.is_empty() || decimals.len() > 6 {
        return None;
    }
    let whole: u32 = parse_digits(whole)?;
    let decimals: u32 = parse_digits(&format!("{decimals:0<6}"))?;
    whole.checked_mul(MILLION)?.checked_add(decimals).map(Fraction)
}

/// Digits and nothing else; the standard parser would also take a sign.
pub(super) fn parse_digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

const MILLION: u32 = 1_000_000;

const SIZE_UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

const TIME_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
