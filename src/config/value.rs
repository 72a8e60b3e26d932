//! The types of values: how each is written, its bounds, and what is said when it is wrong.

use std::fmt;
use std::time::Duration;

use super::address::{Address, parse_addresses};
use super::bad_value::BadValue;
use super::cpus::{CpuSelect, CpuWish, Reserve, parse_list};
use super::quantity::{
    parse_digits, parse_fraction, parse_percent, parse_size, parse_time, parse_time_range,
    parse_tries,
};

pub use super::quantity::{Bytes, Fraction, Span, Tries, counted};

/// What an option takes, with its bounds (inclusive).
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// One or several addresses to listen on.
    Addresses,
    /// `auto`, or what the inner kind takes.
    Auto(&'static Kind),
    /// `true` or `false`.
    Bool,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A whole number.
    Count {
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// `auto` or a list of CPUs.
    CpuList,
    /// Which CPUs may be used at all.
    CpuSelect,
    /// `auto`, a number, or a list of CPUs.
    Cpus,
    /// A number from 0 to 1.
    Fraction,
    /// A whole number that may be negative.
    Integer {
        /// Least.
        min: i64,
        /// Most.
        max: i64,
    },
    /// A share of 100.
    Percent {
        /// Most.
        max: u64,
    },
    /// Bytes per second.
    Rate {
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// `auto`, a number of cores of each node, or a list of CPUs.
    Reserve,
    /// Bytes.
    Size {
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// Text of a certain form.
    Text {
        /// What it is, in a few words with their article.
        noun: &'static str,
        /// How it is written, with an example.
        form: &'static str,
        /// Whether a text has that form.
        accepts: fn(&str) -> bool,
    },
    /// A list of such texts, which may be empty.
    Texts {
        /// What each of them is, in a few words with their article.
        noun: &'static str,
        /// How each is written, with an example.
        form: &'static str,
        /// Whether a text has that form.
        accepts: fn(&str) -> bool,
    },
    /// A span of time.
    Time {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// A shortest and a longest span of time: `100ms..30s`.
    TimeRange {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// So many times within a span of time: `5 in 60s`.
    Tries,
    /// Environment variables with their values.
    Variables,
}

/// A value of one of those kinds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Value {
    /// See `Kind::Addresses`.
    Addresses(Vec<Address>),
    /// See `Kind::Auto`.
    Auto,
    /// See `Kind::Bool`.
    Bool(bool),
    /// See `Kind::Choice`; always one of its words.
    Choice(&'static str),
    /// See `Kind::Count`.
    Count(u64),
    /// See `Kind::CpuSelect`.
    CpuSelect(CpuSelect),
    /// See `Kind::Cpus` and `Kind::CpuList`.
    Cpus(CpuWish),
    /// See `Kind::Fraction`.
    Fraction(Fraction),
    /// See `Kind::Integer`.
    Integer(i64),
    /// See `Kind::Percent`.
    Percent(u64),
    /// See `Kind::Rate`.
    Rate(u64),
    /// See `Kind::Reserve`.
    Reserve(Reserve),
    /// See `Kind::Size`.
    Size(u64),
    /// See `Kind::Text`.
    Text(String),
    /// See `Kind::Texts`.
    Texts(Vec<String>),
    /// See `Kind::Time`.
    Time(Duration),
    /// See `Kind::TimeRange`.
    TimeRange(Duration, Duration),
    /// See `Kind::Tries`.
    Tries(Tries),
    /// See `Kind::Variables`; in the order of their names.
    Variables(Vec<(String, String)>),
}

impl Kind {
    /// Reads a value as a flag, the environment or a TOML string has it.
    pub fn parse(&self, text: &str) -> Result<Value, BadValue> {
        let text = text.trim();
        match *self {
            Self::Addresses => parse_addresses(text).map(Value::Addresses),
            Self::Auto(_) if text.eq_ignore_ascii_case("auto") => Ok(Value::Auto),
            Self::Auto(kind) => {
                kind.parse(text).map_err(|error| BadValue { fix: self.example(), ..error })
            }
            Self::Bool => match text {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(self.not_this(text)),
            },
            Self::Choice(words) => {
                let found = words.iter().find(|word| word.eq_ignore_ascii_case(text));
                found.map(|word| Value::Choice(word)).ok_or_else(|| self.not_this(text))
            }
            Self::Count { min, max } => {
                let number = parse_digits(text).ok_or_else(|| self.not_this(text))?;
                self.bounded(number, min, max, u64::to_string).map(Value::Count)
            }
            Self::CpuList => self.cpu_list(text).map(Value::Cpus),
            Self::CpuSelect => CpuSelect::parse(text).map(Value::CpuSelect),
            Self::Cpus => CpuWish::parse(text).map(Value::Cpus),
            Self::Fraction => match parse_fraction(text) {
                Some(fraction) if fraction.0 <= 1_000_000 => Ok(Value::Fraction(fraction)),
                _ => Err(self.not_this(text)),
            },
            Self::Integer { min, max } => {
                let number = text.parse().map_err(|_| self.not_this(text))?;
                self.bounded(number, min, max, i64::to_string).map(Value::Integer)
            }
            Self::Percent { max } => {
                let number = parse_percent(text).ok_or_else(|| self.not_this(text))?;
                self.bounded(number, 0, max, |share| format!("{share}%")).map(Value::Percent)
            }
            Self::Rate { min, max } => {
                let size = text.strip_suffix("/s").map_or("", str::trim_end);
                let rate = parse_size(size).ok_or_else(|| self.not_this(text))?;
                self.bounded(rate, min, max, |&rate| format!("{}/s", Bytes(rate))).map(Value::Rate)
            }
            Self::Reserve => Reserve::parse(text).map(Value::Reserve),
            Self::Size { min, max } => {
                let size = parse_size(text).ok_or_else(|| self.not_this(text))?;
                self.bounded(size, min, max, |&size| Bytes(size).to_string()).map(Value::Size)
            }
            Self::Text { accepts, .. } => self.text(text, accepts).map(Value::Text),
            Self::Texts { accepts, .. } => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                let texts: Result<_, _> = parts.map(|part| self.text(part, accepts)).collect();
                texts.map(Value::Texts)
            }
            Self::Time { min, max } => {
                let time = parse_time(text).ok_or_else(|| self.not_this(text))?;
                self.bounded(time, min, max, show_time).map(Value::Time)
            }
            Self::TimeRange { min, max } => self.time_range(text, min, max),
            Self::Tries => {
                let tries = parse_tries(text).ok_or_else(|| self.not_this(text))?;
                self.bounded(tries.count, 1, TRIES_MAX, u32::to_string)?;
                self.bounded(tries.within, SECOND, DAY, show_time)?;
                Ok(Value::Tries(tries))
            }
            Self::Variables => parse_variables(text, self),
        }
    }

    /// How a value looks, for a message.
    #[must_use]
    pub fn example(&self) -> String {
        format!("write {}", self.form())
    }

    /// What a value is, in two or three words with their article.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Addresses => "an address",
            Self::Auto(kind) => kind.noun(),
            Self::Bool => "true or false",
            Self::Choice(_) => "one of its values",
            Self::Count { .. } | Self::Integer { .. } => "a whole number",
            Self::CpuList => "a list of CPUs",
            Self::CpuSelect => "a choice of CPUs",
            Self::Cpus | Self::Reserve => "a number or a list of CPUs",
            Self::Fraction => "a number from 0 to 1",
            Self::Percent { .. } => "a percentage",
            Self::Rate { .. } => "a rate",
            Self::Size { .. } => "a size",
            Self::Text { noun, .. } | Self::Texts { noun, .. } => noun,
            Self::Time { .. } => "a span of time",
            Self::TimeRange { .. } => "a range of times",
            Self::Tries => "a number of times within a time",
            Self::Variables => "a name with a value",
        }
    }

    /// The same without the verb.
    #[must_use]
    pub fn form(&self) -> String {
        match *self {
            Self::Addresses => "\"127.0.0.1:8000\", or \"0.0.0.0:8000\" for all addresses".into(),
            Self::Auto(kind) => format!("\"auto\", or {}", kind.form()),
            Self::Bool => "true or false".into(),
            Self::Choice(words) => format!("one of: {}", words.join(", ")),
            Self::Count { min, max } => format!("a whole number from {min} to {max}"),
            Self::CpuList => "\"auto\", or a list like \"0-3,6\"".into(),
            Self::CpuSelect => "\"auto\", a list like \"0-15,!4\", \"node:0\" or \"l3:0,1\"".into(),
            Self::Cpus | Self::Reserve => {
                "\"auto\", a number like 2, or a list like \"0-3,6\" (one CPU alone: \"3-3\")"
                    .into()
            }
            Self::Fraction => "a number from 0.0 to 1.0, with at most 6 decimals".into(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Percent { max } => format!("a percentage like \"10%\", from 0% to {max}%"),
            Self::Rate { min, max } => {
                let (min, max) = (Bytes(min), Bytes(max));
                format!("a rate like \"240B/s\" or \"1KiB/s\", from {min}/s to {max}/s")
            }
            Self::Size { min, max } => {
                let (min, max) = (Bytes(min), Bytes(max));
                format!("a size like \"64KiB\" or \"16MiB\", from {min} to {max}")
            }
            Self::Text { form, .. } => form.into(),
            Self::Texts { form, .. } => format!("a list; each entry is {form}"),
            Self::Time { min, max } => {
                let (min, max) = (Span(min), Span(max));
                format!("a time like \"500ms\", \"30s\" or \"2m\", from {min} to {max}")
            }
            Self::TimeRange { min, max } => {
                let (min, max) = (Span(min), Span(max));
                format!("a range like \"100ms..30s\", both from {min} to {max}")
            }
            Self::Tries => {
                format!("\"5 in 60s\": from 1 to {TRIES_MAX}, within 1s to 24h")
            }
            Self::Variables => "{ NAME = \"value\" }".into(),
        }
    }

    /// One entry of a list of texts.
    pub(super) fn text_entry(&self, text: &str) -> Result<String, BadValue> {
        let Self::Texts { accepts, .. } = *self else { return Err(self.not_this(text)) };
        self.text(text.trim(), accepts)
    }

    fn time_range(&self, text: &str, min: Duration, max: Duration) -> Result<Value, BadValue> {
        let (first, last) = parse_time_range(text).ok_or_else(|| self.not_this(text))?;
        self.bounded(first, min, max, show_time)?;
        self.bounded(last, min, max, show_time)?;
        if first > last {
            return Err(self.bad(format!("{} is longer than {}", Span(first), Span(last))));
        }
        Ok(Value::TimeRange(first, last))
    }

    fn cpu_list(&self, text: &str) -> Result<CpuWish, BadValue> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(CpuWish::Auto);
        }
        parse_list(text).map(CpuWish::List).map_err(|message| self.bad(message))
    }

    fn text(&self, text: &str, accepts: fn(&str) -> bool) -> Result<String, BadValue> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(self.bad(format!("it has more than {TEXT_BYTES_MAX} bytes")));
        }
        if text.contains(char::is_control) {
            return Err(self.bad("it has control characters".into()));
        }
        if text.contains(char::REPLACEMENT_CHARACTER) {
            return Err(self.bad("it is not UTF-8".into()));
        }
        if accepts(text) { Ok(text.to_owned()) } else { Err(self.not_this(text)) }
    }

    fn bounded<T: Copy + PartialOrd>(
        &self,
        value: T,
        min: T,
        max: T,
        show: impl Fn(&T) -> String,
    ) -> Result<T, BadValue> {
        if value < min || value > max {
            let (value, min, max) = (show(&value), show(&min), show(&max));
            return Err(self.bad(format!("{value} is out of bounds ({min} to {max})")));
        }
        Ok(value)
    }

    fn not_this(&self, text: &str) -> BadValue {
        let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        if shown.len() < text.len() {
            shown += "...";
        }
        self.bad(format!("`{}` is not {}", shown.escape_debug(), self.noun()))
    }

    fn bad(&self, message: String) -> BadValue {
        BadValue { message, fix: self.example(), not_yet: false }
    }
}

impl Value {
    /// The value as a TOML file has it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        match self {
            Self::Bool(_)
            | Self::Count(_)
            | Self::Cpus(CpuWish::Count(_))
            | Self::Reserve(Reserve::PerNode(_))
            | Self::Fraction(_)
            | Self::Integer(_) => self.to_string(),
            Self::Addresses(addresses) => quoted_list(addresses.iter().map(Address::to_string)),
            Self::Texts(texts) => quoted_list(texts.iter().cloned()),
            Self::Variables(variables) if variables.is_empty() => "{}".to_owned(),
            Self::Variables(variables) => {
                let entries: Vec<String> = variables
                    .iter()
                    .map(|(name, value)| format!("{name} = {}", quoted(value)))
                    .collect();
                format!("{{ {} }}", entries.join(", "))
            }
            _ => quoted(&self.to_string()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses(addresses) => {
                let texts: Vec<String> = addresses.iter().map(Address::to_string).collect();
                f.write_str(&texts.join(","))
            }
            Self::Auto => f.write_str("auto"),
            Self::Bool(is) => is.fmt(f),
            Self::Choice(word) => f.write_str(word),
            Self::Count(number) => number.fmt(f),
            Self::CpuSelect(select) => select.fmt(f),
            Self::Cpus(wish) => wish.fmt(f),
            Self::Fraction(fraction) => fraction.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Percent(share) => write!(f, "{share}%"),
            Self::Reserve(reserve) => reserve.fmt(f),
            Self::Rate(rate) => write!(f, "{}/s", Bytes(*rate)),
            Self::Size(size) => Bytes(*size).fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Texts(texts) => f.write_str(&texts.join(",")),
            Self::Time(time) => Span(*time).fmt(f),
            Self::TimeRange(first, last) => write!(f, "{}..{}", Span(*first), Span(*last)),
            Self::Tries(tries) => tries.fmt(f),
            Self::Variables(variables) => {
                let texts: Vec<String> =
                    variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
                f.write_str(&texts.join(","))
            }
        }
    }
}

fn parse_variables(text: &str, kind: &Kind) -> Result<Value, BadValue> {
    let mut variables = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or_else(|| kind.not_this(part))?;
        variables.push(variable(name, value, kind)?);
    }
    variables.sort();
    Ok(Value::Variables(variables))
}

/// A variable with its value, if a process can have it.
pub(super) fn variable(name: &str, value: &str, kind: &Kind) -> Result<(String, String), BadValue> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_name) || name.as_bytes()[0].is_ascii_digit() {
        return Err(kind.bad(format!("`{}` is not the name of a variable", name.escape_debug())));
    }
    Ok((name.to_owned(), kind.text(value, |_| true)?))
}

fn quoted(text: &str) -> String {
    // A string of JSON is one of TOML; control characters were refused before.
    serde_json::Value::from(text).to_string()
}

fn quoted_list(texts: impl Iterator<Item = String>) -> String {
    let texts: Vec<String> = texts.map(|text| quoted(&text)).collect();
    format!("[{}]", texts.join(", "))
}

fn show_time(time: &Duration) -> String {
    Span(*time).to_string()
}

const TRIES_MAX: u32 = 1000;
const TEXT_BYTES_MAX: usize = 4096;
/// What is shown of a value that is wrong.
const SHOWN_CHARS_MAX: usize = 60;
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

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
    fn addresses() {
        let tcp = |text: &str| Address::Tcp(text.parse().unwrap());
        let one = |text: &str| Value::Addresses(vec![tcp(text)]);
        check(Kind::Addresses, "127.0.0.1:8000", one("127.0.0.1:8000"));
        check(Kind::Addresses, "[::]:80", one("[::]:80"));
        check(Kind::Addresses, "localhost:0", one("127.0.0.1:0"));
        let two = Value::Addresses(vec![tcp("0.0.0.0:1"), tcp("[::1]:2")]);
        check(Kind::Addresses, "0.0.0.0:1, [::1]:2", two);
        check_bad(Kind::Addresses, "127.0.0.1", "has no port");
        check_bad(Kind::Addresses, "", "has no port");
        check_bad(Kind::Addresses, ":8000", "has no host");
        check_bad(Kind::Addresses, "127.0.0.1:http", "`http` is not a port");
        check_bad(Kind::Addresses, "127.0.0.1:65536", "`65536` is not a port");
        check_bad(Kind::Addresses, "::1:8000", "needs brackets");
        check_bad(Kind::Addresses, "example.org:80", "names are not resolved");
        check_bad(Kind::Addresses, "unix:", "has no path");
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
