//! The closed loop: what wrk is asked to do, and what its report says.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::client;

/// What wrk is asked to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) connections: u32,
    pub(super) style: Style,
    pub(super) seconds: u32,
}

/// How requests follow each other on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Close,
    KeepAlive,
    /// Sixteen requests in one write.
    Pipelined,
}

/// What wrk reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// Answers of every status.
    pub(super) answers: u64,
    pub(super) answers_per_second: f64,
    pub(super) latency_p50_us: f64,
    /// By kind, as a window names them.
    pub(super) errors: BTreeMap<String, u64>,
}

/// wrk on its core, with its script beside the run's other files.
#[derive(Debug)]
pub(super) struct Wrk {
    cpu: usize,
    pipeline: PathBuf,
}

impl Wrk {
    /// Writes the script to `folder`, so that a program without its sources has it, too.
    pub(super) fn new(cpu: usize, folder: &Path) -> io::Result<Self> {
        let pipeline = folder.join("pipeline.lua");
        fs::write(&pipeline, PIPELINE)?;
        Ok(Self { cpu, pipeline })
    }

    pub(super) fn run(&self, load: Load, url: &str) -> io::Result<Outcome> {
        let report = client::run(&mut self.command(load, url), self.cpu)?;
        parse(&report).ok_or_else(|| io::Error::other(format!("wrk reports {report:?}")))
    }

    /// The same load for a moment, of which nothing is read.
    pub(super) fn warm(&self, load: Load, url: &str, time: Duration) -> io::Result<()> {
        let load = Load { seconds: 60, ..load };
        client::run_for(&mut self.command(load, url), self.cpu, time)
    }

    fn command(&self, load: Load, url: &str) -> Command {
        let script = self.pipeline.to_string_lossy();
        let mut command = Command::new(PROGRAM);
        command.args(arguments(load, &script, url));
        command
    }
}

/// First line of `wrk -v`; the error says how to get wrk.
pub(super) fn version() -> Result<String, String> {
    let output = Command::new(PROGRAM).arg("-v").output().map_err(|error| {
        format!(
            "wrk cannot be started: {error}; install it: apt-get install wrk (Debian, Ubuntu), \
             dnf install wrk (Fedora), pacman -S wrk (Arch), brew install wrk, or build \
             https://github.com/wg/wrk; or measure what does without it: --columns latency"
        )
    })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next().unwrap_or_default();
    Ok(line.split(" Copyright").next().unwrap_or_default().trim().to_owned())
}

/// The load as a person would type it from the root of a checkout.
pub(super) fn command_line(load: Load, path: &str, cpu: usize) -> String {
    let url = format!("http://127.0.0.1:PORT{path}");
    let mut words = arguments(load, "bench/wrk/pipeline.lua", &url);
    for word in &mut words {
        if word.contains(' ') {
            *word = format!("'{word}'");
        }
    }
    format!("taskset -c {cpu} wrk {}", words.join(" "))
}

fn arguments(load: Load, script: &str, url: &str) -> Vec<String> {
    let mut words = vec!["-t1".to_owned()];
    words.push(format!("-c{}", load.connections));
    words.push(format!("-d{}s", load.seconds));
    words.push("--latency".to_owned());
    match load.style {
        Style::Close => words.extend(["-H".to_owned(), "Connection: close".to_owned()]),
        Style::KeepAlive => {}
        Style::Pipelined => words.extend(["-s".to_owned(), script.to_owned()]),
    }
    words.push(url.to_owned());
    words
}

fn parse(report: &str) -> Option<Outcome> {
    let mut outcome = Outcome::default();
    let mut ended = false;
    for line in report.lines().map(str::trim) {
        if let Some((count, _)) = line.split_once(" requests in ") {
            outcome.answers = count.parse().ok()?;
        } else if let Some(rate) = line.strip_prefix("Requests/sec:") {
            outcome.answers_per_second = rate.trim().parse().ok()?;
            ended = true;
        } else if let Some(latency) = line.strip_prefix("50% ") {
            outcome.latency_p50_us = microseconds(latency.trim())?;
        } else if let Some(kinds) = line.strip_prefix("Socket errors:") {
            for kind in kinds.split(',') {
                let (name, count) = kind.trim().split_once(' ')?;
                outcome.add_error(name, count)?;
            }
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses:") {
            outcome.add_error("status", count)?;
        }
    }
    ended.then_some(outcome)
}

impl Outcome {
    /// Answers that were right as far as wrk can tell.
    pub(super) fn right(&self) -> u64 {
        self.answers - self.errors.get("status").copied().unwrap_or(0).min(self.answers)
    }

    /// A refusal is quickly said: only right answers make a rate.
    pub(super) fn right_per_second(&self) -> f64 {
        self.answers_per_second * self.right() as f64 / self.answers.max(1) as f64
    }

    fn add_error(&mut self, kind: &str, count: &str) -> Option<()> {
        let count: u64 = count.trim().parse().ok()?;
        if count > 0 {
            self.errors.insert(kind.to_owned(), count);
        }
        Some(())
    }
}

fn microseconds(text: &str) -> Option<f64> {
    for (unit, factor) in [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 6e7)] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<f64>().ok().map(|value| value * factor);
        }
    }
    None
}

const PROGRAM: &str = "wrk";
/// Usable by hand too: `wrk -s bench/wrk/pipeline.lua URL`.
const PIPELINE: &str = include_str!("../../wrk/pipeline.lua");

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
Running 3s test @ http://127.0.0.1:1/plaintext
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   336.50us   92.31us   3.05ms   93.42%
  Latency Distribution
     50%  325.00us
     75%  1.37ms
  301341 requests in 3.10s, 42.53MB read
Requests/sec: 100427.08
";

    #[test]
    fn a_report_is_read() {
        let outcome = parse(REPORT).unwrap();
        assert_eq!((outcome.answers, outcome.right()), (301_341, 301_341));
        assert!((outcome.answers_per_second - 100_427.08).abs() < 0.001);
        assert!((outcome.latency_p50_us - 325.0).abs() < 0.001);
        assert!(outcome.errors.is_empty());
    }

    #[test]
    fn errors_are_kept_by_kind() {
        let errors = "  Socket errors: connect 0, read 3, write 0, timeout 2\n";
        let outcome = parse(&format!("{REPORT}{errors}  Non-2xx or 3xx responses: 7\n")).unwrap();
        let expected = [("read", 3), ("status", 7), ("timeout", 2)];
        let expected = expected.map(|(kind, count)| (kind.to_owned(), count));
        assert_eq!(outcome.errors, BTreeMap::from(expected));
        assert_eq!(outcome.right(), 301_334);
        assert!((outcome.right_per_second() - 100_427.08 * 301_334.0 / 301_341.0).abs() < 0.001);
        assert!(Outcome::default().right_per_second().abs() < 0.001);
    }

    #[test]
    fn a_report_without_its_end_is_none() {
        assert!(parse("").is_none());
        assert!(parse("  0 requests in 3.00s, 0.00B read\n").is_none());
        assert_eq!(parse("0 requests in 1s, 0.00B read\nRequests/sec: 0.00").unwrap().answers, 0);
    }

    #[test]
    fn times_have_units() {
        assert_eq!(microseconds("1.50ms"), Some(1500.0));
        assert_eq!(microseconds("2s"), Some(2e6));
        assert_eq!(microseconds("7"), None);
    }

    #[test]
    fn a_command_can_be_typed() {
        let load = Load { connections: 8, style: Style::Close, seconds: 1 };
        let line = "taskset -c 1 wrk -t1 -c8 -d1s --latency -H 'Connection: close' \
                    http://127.0.0.1:PORT/x";
        assert_eq!(command_line(load, "/x", 1), line);
    }
}
