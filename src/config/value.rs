//! The types of values: how each is written, its bounds, and what is said when it is wrong.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::cpus::{CpuWish, WISH_FORM};

/// What an option takes, with its bounds (inclusive).
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// One or several `host:port`.
    Addresses,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A whole number.
    Count {
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// `auto`, a number, or a list of CPUs.
    Cpus,
    /// Bytes per second.
    Rate {
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// Bytes.
    Size {
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// A span of time.
    Time {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
}

/// A value of one of those kinds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Value {
    /// See `Kind::Addresses`.
    Addresses(Vec<SocketAddr>),
    /// See `Kind::Choice`; always one of its words.
    Choice(&'static str),
    /// See `Kind::Count`.
    Count(u64),
    /// See `Kind::Cpus`.
    Cpus(CpuWish),
    /// See `Kind::Rate`.
    Rate(u64),
    /// See `Kind::Size`.
    Size(u64),
    /// See `Kind::Time`.
    Time(Duration),
}

/// Why a value cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BadValue {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub fix: String,
    /// True for something that a later version will take.
    pub not_yet: bool,
}

impl Kind {
    /// Reads a value as a flag, the environment or a TOML string has it.
    pub fn parse(&self, text: &str) -> Result<Value, BadValue> {
        let text = text.trim();
        match *self {
            Self::Addresses => parse_addresses(text).map(Value::Addresses),
            Self::Choice(words) => parse_choice(text, words).map(Value::Choice),
            Self::Count { min, max } => {
                let number = text
                    .parse()
                    .map_err(|_| bad(format!("`{text}` is not a whole number"), self))?;
                bounded(number, min, max, self, u64::to_string).map(Value::Count)
            }
            Self::Cpus => CpuWish::parse(text).map(Value::Cpus),
            Self::Rate { min, max } => {
                let size = text.strip_suffix("/s").map_or("", str::trim_end);
                let rate =
                    parse_size(size).ok_or_else(|| bad(format!("`{text}` is not a rate"), self))?;
                bounded(rate, min, max, self, |&rate| format!("{}/s", Bytes(rate))).map(Value::Rate)
            }
            Self::Size { min, max } => {
                let size =
                    parse_size(text).ok_or_else(|| bad(format!("`{text}` is not a size"), self))?;
                bounded(size, min, max, self, |&size| Bytes(size).to_string()).map(Value::Size)
            }
            Self::Time { min, max } => {
                let time = parse_time(text)
                    .ok_or_else(|| bad(format!("`{text}` is not a span of time"), self))?;
                bounded(time, min, max, self, |&time| Span(time).to_string()).map(Value::Time)
            }
        }
    }

    /// How a value looks, for a message.
    #[must_use]
    pub fn example(&self) -> String {
        match *self {
            Self::Addresses => {
                "write \"127.0.0.1:8000\", or \"0.0.0.0:8000\" for all addresses".into()
            }
            Self::Choice(words) => format!("write one of: {}", words.join(", ")),
            Self::Count { min, max } => format!("write a whole number from {min} to {max}"),
            Self::Cpus => WISH_FORM.into(),
            Self::Rate { min, max } => format!(
                "write a rate like \"240B/s\" or \"1KiB/s\", from {}/s to {}/s",
                Bytes(min),
                Bytes(max)
            ),
            Self::Size { min, max } => {
                format!(
                    "write a size like \"64KiB\" or \"16MiB\", from {} to {}",
                    Bytes(min),
                    Bytes(max)
                )
            }
            Self::Time { min, max } => {
                format!(
                    "write a time like \"500ms\", \"30s\" or \"2m\", from {} to {}",
                    Span(min),
                    Span(max)
                )
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses(addresses) => {
                let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
                f.write_str(&texts.join(","))
            }
            Self::Choice(word) => f.write_str(word),
            Self::Count(number) => number.fmt(f),
            Self::Cpus(wish) => wish.fmt(f),
            Self::Rate(rate) => write!(f, "{}/s", Bytes(*rate)),
            Self::Size(size) => Bytes(*size).fmt(f),
            Self::Time(time) => Span(*time).fmt(f),
        }
    }
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
            if exact && (count >= 2 || *factor <= 1000) && count > 0 {
                return write!(f, "{count}{name}");
            }
        }
        f.write_str("0s")
    }
}

fn parse_addresses(text: &str) -> Result<Vec<SocketAddr>, BadValue> {
    text.split(',').map(|part| parse_address(part.trim())).collect()
}

fn parse_address(text: &str) -> Result<SocketAddr, BadValue> {
    for scheme in ["unix:", "fd:", "systemd:"] {
        if text.starts_with(scheme) {
            return Err(BadValue {
                message: format!(
                    "`{text}`: {scheme} addresses are not available in this version yet"
                ),
                fix: Kind::Addresses.example(),
                not_yet: true,
            });
        }
    }
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    // The one name that needs no resolver, and that everybody writes.
    if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let message = match text.rsplit_once(':') {
        None => format!("`{text}` has no port"),
        Some(("", _)) => format!("`{text}` has no host"),
        Some((_, port)) if port.parse::<u16>().is_err() => {
            format!("`{text}`: `{port}` is not a port (0 to 65535)")
        }
        Some((host, _)) if host.contains(':') => {
            format!("`{text}`: an IPv6 address needs brackets, as in [::1]:8000")
        }
        Some((host, _)) => {
            format!("`{text}`: `{host}` is not an IP address; names are not resolved")
        }
    };
    Err(bad(message, &Kind::Addresses))
}

fn parse_choice(text: &str, words: &[&'static str]) -> Result<&'static str, BadValue> {
    let found = words.iter().find(|word| word.eq_ignore_ascii_case(text));
    found.copied().ok_or_else(|| {
        bad(format!("`{text}` is not one of its values"), &Kind::Choice(&[])).with_words(words)
    })
}

impl BadValue {
    fn with_words(mut self, words: &[&'static str]) -> Self {
        self.fix = format!("write one of: {}", words.join(", "));
        self
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor = match unit {
        "" => 1,
        unit => SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    number.checked_mul(factor)
}

fn parse_time(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    // A bare number could be seconds or milliseconds; only nothing is the same in both.
    let factor = match unit {
        "" if number == 0 => 1,
        unit => TIME_UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.checked_mul(factor).map(Duration::from_millis)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

fn bounded<T: Copy + PartialOrd>(
    value: T,
    min: T,
    max: T,
    kind: &Kind,
    show: impl Fn(&T) -> String,
) -> Result<T, BadValue> {
    if value < min || value > max {
        let (value, min, max) = (show(&value), show(&min), show(&max));
        return Err(bad(format!("{value} is out of bounds ({min} to {max})"), kind));
    }
    Ok(value)
}

fn bad(message: String, kind: &Kind) -> BadValue {
    BadValue { message, fix: kind.example(), not_yet: false }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Kind = Kind::Size { min: 0, max: 1 << 40 };
    const TIME: Kind = Kind::Time { min: Duration::ZERO, max: Duration::from_secs(86_400) };
    const RATE: Kind = Kind::Rate { min: 1, max: 1 << 30 };

    #[track_caller]
    fn check(kind: Kind, text: &str, expected: Value) {
        assert_eq!(kind.parse(text), Ok(expected.clone()), "{text}");
        // What is shown can be written again.
        assert_eq!(kind.parse(&expected.to_string()), Ok(expected));
    }

    #[track_caller]
    fn check_bad(kind: Kind, text: &str, part: &str) {
        let error = kind.parse(text).expect_err(text);
        assert!(error.message.contains(part), "{:?} lacks {part:?}", error.message);
        assert!(!error.fix.is_empty());
    }

    #[test]
    fn sizes() {
        check(SIZE, "16MiB", Value::Size(16 << 20));
        check(SIZE, "16 mib", Value::Size(16 << 20));
        check(SIZE, "8KiB", Value::Size(8192));
        check(SIZE, "1KB", Value::Size(1000));
        check(SIZE, "2MB", Value::Size(2_000_000));
        check(SIZE, "1GB", Value::Size(1_000_000_000));
        check(SIZE, "1GiB", Value::Size(1 << 30));
        check(SIZE, "7", Value::Size(7));
        check(SIZE, "7B", Value::Size(7));
        check(SIZE, "0", Value::Size(0));
        for text in ["", "MiB", "1.5MiB", "-1", "1XB", "99999999999999999999", "9999999999TiB"] {
            check_bad(SIZE, text, "is not a size");
        }
        check_bad(Kind::Size { min: 1, max: 10 }, "11", "out of bounds (1B to 10B)");
        check_bad(Kind::Size { min: 1, max: 10 }, "0", "out of bounds");
    }

    #[test]
    fn times() {
        check(TIME, "30s", Value::Time(Duration::from_secs(30)));
        check(TIME, "500ms", Value::Time(Duration::from_millis(500)));
        check(TIME, "2m", Value::Time(Duration::from_secs(120)));
        check(TIME, "1h", Value::Time(Duration::from_secs(3600)));
        check(TIME, "1 h", Value::Time(Duration::from_secs(3600)));
        check(TIME, "1500ms", Value::Time(Duration::from_millis(1500)));
        check(TIME, "0", Value::Time(Duration::ZERO));
        for text in ["30", "s", "", "1d", "-1s", "1.5s", "99999999999999999999s"] {
            check_bad(TIME, text, "is not a span of time");
        }
        check_bad(TIME, "25h", "25h is out of bounds (0s to 24h)");
    }

    #[test]
    fn rates() {
        check(RATE, "240B/s", Value::Rate(240));
        check(RATE, "1KiB/s", Value::Rate(1024));
        check(RATE, "10 KiB /s", Value::Rate(10_240));
        check_bad(RATE, "240", "is not a rate");
        check_bad(RATE, "240B", "is not a rate");
        check_bad(RATE, "0B/s", "out of bounds");
    }

    #[test]
    fn cpus() {
        check(Kind::Cpus, "auto", Value::Cpus(CpuWish::Auto));
        check(Kind::Cpus, "4", Value::Cpus(CpuWish::Count(4)));
        check(Kind::Cpus, "0-3", Value::Cpus(CpuWish::List(vec![0, 1, 2, 3])));
        check_bad(Kind::Cpus, "0", "out of bounds");
        check_bad(Kind::Cpus, "3-1", "runs backwards");
    }

    #[test]
    fn addresses() {
        let one = |text: &str| Value::Addresses(vec![text.parse().unwrap()]);
        check(Kind::Addresses, "127.0.0.1:8000", one("127.0.0.1:8000"));
        check(Kind::Addresses, "[::]:80", one("[::]:80"));
        check(Kind::Addresses, "localhost:0", one("127.0.0.1:0"));
        let two = Value::Addresses(vec!["0.0.0.0:1".parse().unwrap(), "[::1]:2".parse().unwrap()]);
        check(Kind::Addresses, "0.0.0.0:1, [::1]:2", two);
        check_bad(Kind::Addresses, "127.0.0.1", "has no port");
        check_bad(Kind::Addresses, "", "has no port");
        check_bad(Kind::Addresses, ":8000", "has no host");
        check_bad(Kind::Addresses, "127.0.0.1:http", "`http` is not a port");
        check_bad(Kind::Addresses, "127.0.0.1:65536", "`65536` is not a port");
        check_bad(Kind::Addresses, "::1:8000", "needs brackets");
        check_bad(Kind::Addresses, "example.org:80", "names are not resolved");
        check_bad(Kind::Addresses, "unix:/run/a.sock", "not available in this version yet");
    }

    #[test]
    fn counts_and_choices() {
        let count = Kind::Count { min: 1, max: 256 };
        check(count, "100", Value::Count(100));
        check_bad(count, "0", "out of bounds (1 to 256)");
        check_bad(count, "257", "out of bounds");
        check_bad(count, "ten", "is not a whole number");
        check_bad(count, "-1", "is not a whole number");
        let choice = Kind::Choice(&["off", "on"]);
        check(choice, "ON", Value::Choice("on"));
        check_bad(choice, "maybe", "is not one of its values");
        assert_eq!(choice.parse("maybe").unwrap_err().fix, "write one of: off, on");
    }
}
