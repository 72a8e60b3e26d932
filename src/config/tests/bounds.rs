//! The bounds of every option, generated from the table: what stands on a bound is taken, what
//! stands behind it is refused, and what belongs to another type is refused with an example.

use crate::config::options::{self, OptionDef};
use crate::config::value::{Bytes, Kind, Span, Value};

#[test]
fn every_option_keeps_its_bounds() {
    for def in options::all() {
        let (good, bad) = edges(&def.kind);
        for text in &good {
            let value = def.kind.parse(text).unwrap_or_else(|bad| panic!("{}: {bad:?}", def.key()));
            // What is shown can be written again.
            assert_eq!(def.kind.parse(&value.to_string()), Ok(value), "{}", def.key());
        }
        for text in &bad {
            let error = def.kind.parse(text).expect_err(&format!("{}: {text}", def.key()));
            assert!(!error.message.is_empty(), "{}", def.key());
            assert!(error.fix.starts_with("write ") && error.fix.len() > 10, "{}", error.fix);
            assert!(!error.not_yet, "{}", def.key());
        }
        assert!(!bad.is_empty() || takes_anything(def), "{} has no bounds", def.key());
    }
}

/// Texts on the bounds of a kind, and texts behind them.
fn edges(kind: &Kind) -> (Vec<String>, Vec<String>) {
    let (good, bad): (Vec<String>, Vec<String>) = match *kind {
        Kind::Auto(inner) => {
            let (mut good, bad) = edges(inner);
            good.extend(["auto".to_owned(), "AUTO".to_owned()]);
            return (good, bad);
        }
        Kind::Count { min, max } => {
            number_edges(min.into(), max.into(), |number| number.to_string())
        }
        Kind::Integer { min, max } => {
            number_edges(min.into(), max.into(), |number| number.to_string())
        }
        Kind::Percent { max } => number_edges(0, max.into(), |number| format!("{number}%")),
        Kind::Size { min, max } => {
            number_edges(min.into(), max.into(), |number| number.to_string())
        }
        Kind::Rate { min, max } => {
            number_edges(min.into(), max.into(), |number| format!("{number}B/s"))
        }
        Kind::Time { min, max } => {
            let ms = |time: std::time::Duration| i128::try_from(time.as_millis()).unwrap();
            number_edges(ms(min), ms(max), |number| format!("{number}ms"))
        }
        Kind::TimeRange { min, max } => {
            let (min, max) = (Span(min), Span(max));
            (
                vec![format!("{min}..{max}"), format!("{min}..{min}")],
                vec![
                    format!("{max}..{min}"),
                    format!("0ms..{max}"),
                    format!("{min}..25h"),
                    min.to_string(),
                ],
            )
        }
        Kind::Addresses => texts(&["127.0.0.1:0", "[::1]:65535"], &["", "a:1", "1:65536"]),
        Kind::Bool => texts(&["true", "false"], &["", "yes", "1", "True"]),
        Kind::Choice(words) => texts(words, &["", "no such word"]),
        Kind::CpuList => texts(&["auto", "0", "1023", "0-3,9"], &["", "1024", "3-1", "1,1", "-1"]),
        Kind::CpuSelect => texts(&["auto", "0-3,!2", "l3:0,1", "node:0"], &["", "l4:0", "3-1"]),
        Kind::Cpus => texts(&["auto", "1", "1024", "0-1023"], &["", "0", "1025", "1024-1024"]),
        Kind::Fraction => {
            texts(&["0", "0.0", "1.0", "0.000001"], &["", "1.000001", "-0.1", ".", "1e0"])
        }
        Kind::Reserve => texts(&["auto", "0", "2", "0-1"], &["", "1025", "3-1"]),
        Kind::Text { .. } => texts(&[], &["a\u{7}b", "a\u{fffd}b"]),
        Kind::Texts { .. } => texts(&[""], &["a\u{7}b"]),
        Kind::Tries => texts(
            &["1 in 1s", "1000 in 24h"],
            &["", "0 in 1s", "1001 in 1s", "1 in 0s", "1 in 25h", "1"],
        ),
        Kind::Variables => texts(&["", "A=1", "A=1,_b2=x"], &["A", "=1", "1A=1", "A-B=1"]),
    };
    (good, bad)
}

fn number_edges(min: i128, max: i128, show: fn(i128) -> String) -> (Vec<String>, Vec<String>) {
    let mut bad: Vec<String> =
        ["", "x", "1.5", "99999999999999999999999"].map(str::to_owned).into();
    bad.extend([show(min - 1), show(max + 1)]);
    (vec![show(min), show(max)], bad)
}

fn texts(good: &[&str], bad: &[&str]) -> (Vec<String>, Vec<String>) {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    (owned(good), owned(bad))
}

fn takes_anything(def: &OptionDef) -> bool {
    matches!(def.kind, Kind::Text { .. })
}

#[test]
fn every_default_is_the_same_in_toml() {
    for def in options::all() {
        let value = def.kind.parse(def.default).unwrap();
        let text = format!("value = {}", value.to_toml());
        let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        let is_bare = matches!(value, Value::Bool(_) | Value::Count(_) | Value::Integer(_));
        assert_eq!(
            table["value"].is_str(),
            !is_bare && !text.contains(['[', '{']) && !text.contains("1.0"),
            "{text}"
        );
    }
    assert_eq!(Bytes(4096).to_string(), "4KiB");
}
