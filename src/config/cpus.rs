//! CPUs as people write them: lists, selections, counts.
//!
//! A list is `0-3,6`. A selection (`cores.use`) also names whole caches and nodes and takes CPUs
//! away: `node:0`, `l3:0,1`, `0-31,!4-7`. Nothing here knows which CPUs exist.

use std::fmt;
use std::ops::RangeInclusive;

use super::bad_value::BadValue;

/// How many or which CPUs somebody wants.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum CpuWish {
    /// As many as seems right.
    #[default]
    Auto,
    /// So many of them.
    Count(usize),
    /// Exactly these, ascending, none twice.
    List(Vec<usize>),
}

/// Which CPUs stay free of our processes (`cores.reserve`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Reserve {
    /// None on small machines, otherwise one physical core per node.
    #[default]
    Auto,
    /// So many physical cores per node.
    PerNode(usize),
    /// Exactly these CPUs, ascending, none twice.
    List(Vec<usize>),
}

/// Which CPUs may be used at all (`cores.use`). Shows itself as it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CpuSelect {
    written: String,
    /// Empty for all.
    terms: Vec<Term>,
}

/// One part of a selection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Term {
    /// True for what is taken away.
    pub(super) excluded: bool,
    pub(super) group: Group,
    pub(super) numbers: RangeInclusive<usize>,
}

/// What the numbers of a term count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Group {
    Cpu,
    L3,
    Node,
}

impl CpuWish {
    /// Reads `auto`, a number, or a list.
    pub fn parse(text: &str) -> Result<Self, BadValue> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        let count = parse_count(text).transpose().map_err(|message| bad(message, WISH_FORM))?;
        match count {
            Some(0) => Err(bad(format!("0 is out of bounds (1 to {CPUS_MAX})"), WISH_FORM)),
            Some(count) => Ok(Self::Count(count)),
            None => parse_list(text).map(Self::List).map_err(|message| bad(message, WISH_FORM)),
        }
    }
}

impl Reserve {
    /// Reads `auto`, a number per node, or a list.
    pub fn parse(text: &str) -> Result<Self, BadValue> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        let count = parse_count(text).transpose().map_err(|message| bad(message, WISH_FORM))?;
        match count {
            Some(count) => Ok(Self::PerNode(count)),
            None => parse_list(text).map(Self::List).map_err(|message| bad(message, WISH_FORM)),
        }
    }
}

impl CpuSelect {
    /// Reads a selection. Numbers behind `l3:` or `node:` belong to it until another word or a
    /// `!` begins a new part: `l3:0,1,!4` is two caches without CPU 4.
    pub fn parse(text: &str) -> Result<Self, BadValue> {
        let written = text.trim().to_owned();
        if written.eq_ignore_ascii_case("auto") {
            return Ok(Self { written, terms: Vec::new() });
        }
        let mut terms: Vec<Term> = Vec::new();
        for part in written.split(',').map(str::trim) {
            let before = terms.last().filter(|term| term.group != Group::Cpu);
            let term = parse_term(part, before).map_err(|message| bad(message, SELECT_FORM))?;
            terms.push(term);
        }
        Ok(Self { written, terms })
    }

    /// True when nothing is cut.
    #[must_use]
    pub fn is_auto(&self) -> bool {
        self.terms.is_empty()
    }

    /// Its parts, in order; empty for all CPUs.
    pub(super) fn terms(&self) -> &[Term] {
        &self.terms
    }
}

impl Default for CpuSelect {
    fn default() -> Self {
        Self { written: "auto".into(), terms: Vec::new() }
    }
}

impl fmt::Display for CpuSelect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl fmt::Display for CpuWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Count(count) => count.fmt(f),
            Self::List(cpus) => f.write_str(&written_list(cpus)),
        }
    }
}

impl fmt::Display for Reserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::PerNode(count) => count.fmt(f),
            Self::List(cpus) => f.write_str(&written_list(cpus)),
        }
    }
}

/// Writes ascending CPUs the short way: `0-3,6`.
#[must_use]
pub fn cpu_list(cpus: &[usize]) -> String {
    let runs = cpus.chunk_by(|one, next| one + 1 == *next);
    let texts: Vec<String> = runs
        .map(|run| match run {
            [cpu] => cpu.to_string(),
            run => format!("{}-{}", run[0], run[run.len() - 1]),
        })
        .collect();
    texts.join(",")
}

/// Reads a list of CPUs: ascending, none twice. The error is what is wrong, for a message.
pub fn parse_list(text: &str) -> Result<Vec<usize>, String> {
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut cpus = Vec::new();
    for part in text.split(',').map(str::trim) {
        for cpu in parse_range(part)? {
            if cpus.contains(&cpu) {
                return Err(format!("CPU {cpu} is named twice"));
            }
            cpus.push(cpu);
        }
    }
    cpus.sort_unstable();
    Ok(cpus)
}

/// A list in a place where one bare number would be a count.
fn written_list(cpus: &[usize]) -> String {
    match cpus {
        [cpu] => format!("{cpu}-{cpu}"),
        cpus => cpu_list(cpus),
    }
}

/// A text that is one whole number; `None` when it has another form.
fn parse_count(text: &str) -> Option<Result<usize, String>> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| {
        let count = text.parse().ok().filter(|&count| count <= CPUS_MAX);
        count.ok_or_else(|| format!("{text} is out of bounds (at most {CPUS_MAX})"))
    })
}

/// `before`: the part to the left, if its numbers may go on here.
fn parse_term(part: &str, before: Option<&Term>) -> Result<Term, String> {
    let (excluded, rest) = match part.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, part),
    };
    if let Some((word, numbers)) = rest.split_once(':') {
        let group = match word.trim_end().to_ascii_lowercase().as_str() {
            "cpu" => Group::Cpu,
            "l3" => Group::L3,
            "node" => Group::Node,
            _ => return Err(format!("`{word}:` is neither l3:, node: nor cpu:")),
        };
        return Ok(Term { excluded, group, numbers: parse_range(numbers.trim())? });
    }
    let numbers = parse_range(rest)?;
    match before {
        Some(before) if !excluded => Ok(Term { numbers, ..before.clone() }),
        _ => Ok(Term { excluded, group: Group::Cpu, numbers }),
    }
}

fn parse_range(part: &str) -> Result<RangeInclusive<usize>, String> {
    if part.is_empty() {
        return Err("a comma has no number on one side".into());
    }
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (parse_number(first.trim(), part)?, parse_number(last.trim(), part)?);
    if first > last {
        return Err(format!("the range {part} runs backwards"));
    }
    Ok(first..=last)
}

fn parse_number(text: &str, part: &str) -> Result<usize, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{part}` is not a number or a range like 0-3"));
    }
    let number = text.parse().ok().filter(|&number| number < CPUS_MAX);
    number.ok_or_else(|| format!("{text} is out of bounds (at most {})", CPUS_MAX - 1))
}

fn bad(message: String, fix: &str) -> BadValue {
    BadValue { message, fix: fix.into(), not_yet: false }
}

/// More CPUs than this do not fit the kernel's affinity sets as we use them.
pub const CPUS_MAX: usize = 1024;

/// How a wish is written, for a message.
pub(super) const WISH_FORM: &str =
    "write \"auto\", a number like 2, or a list like \"0-3,6\" (one CPU alone: \"3-3\")";
const SELECT_FORM: &str =
    "write \"auto\", or CPUs to use like \"0-15\", \"node:0\", \"l3:0,1\" or \"0-31,!4-7\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_wish(text: &str, expected: CpuWish) {
        assert_eq!(CpuWish::parse(text), Ok(expected.clone()), "{text}");
        // What is shown can be written again.
        assert_eq!(CpuWish::parse(&expected.to_string()), Ok(expected));
    }

    #[track_caller]
    fn check_bad_wish(text: &str, part: &str) {
        let bad = CpuWish::parse(text).expect_err(text);
        assert!(bad.message.contains(part), "{:?} lacks {part:?}", bad.message);
        assert_eq!(Reserve::parse(text).is_err(), text != "0", "{text}");
    }

    #[test]
    fn wishes() {
        check_wish("auto", CpuWish::Auto);
        check_wish("AUTO", CpuWish::Auto);
        check_wish("4", CpuWish::Count(4));
        check_wish("0-3", CpuWish::List(vec![0, 1, 2, 3]));
        check_wish("6, 0 - 1", CpuWish::List(vec![0, 1, 6]));
        check_wish("1-1,3", CpuWish::List(vec![1, 3]));
        check_wish("5-5", CpuWish::List(vec![5]));
        assert_eq!(Reserve::parse("0"), Ok(Reserve::PerNode(0)));
        assert_eq!(Reserve::parse("auto"), Ok(Reserve::Auto));
        assert_eq!(Reserve::parse("0,8").unwrap().to_string(), "0,8");
        assert_eq!(cpu_list(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(cpu_list(&[]), "");
    }

    #[test]
    fn hostile_wishes() {
        check_bad_wish("0", "0 is out of bounds");
        check_bad_wish("1025", "1025 is out of bounds (at most 1024)");
        check_bad_wish("99999999999999999999999", "is out of bounds");
        check_bad_wish("0-99999999999999999999999", "is out of bounds (at most 1023)");
        check_bad_wish("0-1024", "1024 is out of bounds");
        check_bad_wish("0,0-1", "CPU 0 is named twice");
        check_bad_wish("3-1", "the range 3-1 runs backwards");
        check_bad_wish("a", "`a` is not a number or a range");
        check_bad_wish("1-2-3", "`1-2-3` is not a number or a range");
        check_bad_wish("-1", "`-1` is not a number or a range");
        check_bad_wish("+1", "`+1` is not a number or a range");
        check_bad_wish("1,", "a comma has no number");
        check_bad_wish("1,,2", "a comma has no number");
        check_bad_wish("", "it is empty");
        check_bad_wish("\u{661}", "is not a number");
    }

    fn term(excluded: bool, group: Group, numbers: RangeInclusive<usize>) -> Term {
        Term { excluded, group, numbers }
    }

    #[track_caller]
    fn check_select(text: &str, expected: &[Term]) {
        let select = CpuSelect::parse(text).unwrap();
        assert_eq!(select.terms(), expected, "{text}");
        assert_eq!(select.to_string(), text.trim());
    }

    #[test]
    fn selections() {
        use Group::{Cpu, L3, Node};
        check_select("auto", &[]);
        check_select("0-15", &[term(false, Cpu, 0..=15)]);
        check_select("node:0", &[term(false, Node, 0..=0)]);
        check_select("l3:0,1", &[term(false, L3, 0..=0), term(false, L3, 1..=1)]);
        check_select(" L3: 0-3 ", &[term(false, L3, 0..=3)]);
        check_select("0-31,!4-7", &[term(false, Cpu, 0..=31), term(true, Cpu, 4..=7)]);
        check_select("!l3:0,1", &[term(true, L3, 0..=0), term(true, L3, 1..=1)]);
        let without = [term(false, L3, 0..=0), term(true, Cpu, 4..=4), term(false, Cpu, 9..=9)];
        check_select("l3:0,!4,9", &without);
        check_select(
            "node:1,cpu:3,4",
            &[term(false, Node, 1..=1), term(false, Cpu, 3..=3), term(false, Cpu, 4..=4)],
        );
        assert!(CpuSelect::default().is_auto());
        assert_eq!(CpuSelect::parse("auto"), Ok(CpuSelect::default()));
    }

    #[test]
    fn hostile_selections() {
        for (text, part) in [
            ("", "a comma has no number"),
            ("l3:", "a comma has no number"),
            ("!", "a comma has no number"),
            ("l3:0,", "a comma has no number"),
            ("l4:0", "`l4:` is neither"),
            ("!!3", "`!3` is not a number"),
            ("7-4", "runs backwards"),
            ("node:0-18446744073709551616", "out of bounds"),
            ("auto,3", "`auto` is not a number"),
        ] {
            let bad = CpuSelect::parse(text).expect_err(text);
            assert!(bad.message.contains(part), "{:?} lacks {part:?}", bad.message);
            assert!(bad.fix.contains("node:0"));
        }
    }
}
