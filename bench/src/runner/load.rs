//! The load: wrk on its own core, and what its report says.

use std::io;
use std::net::SocketAddr;
use std::process::Command;

use super::columns::{Route, Style};

/// What wrk is asked to do.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) connections: u32,
    pub(super) route: Route,
    pub(super) style: Style,
    pub(super) seconds: u32,
}

/// What wrk reports.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) requests: u64,
    pub(super) requests_per_second: f64,
    pub(super) latency_p50_us: f64,
    /// Socket errors and refused requests, in wrk's words.
    pub(super) errors: Vec<String>,
}

/// The arguments of `taskset`, as they are run and as they are reported.
pub(super) fn arguments(load: Load, url: &str) -> Vec<String> {
    let mut words = vec!["-c".to_owned(), WRK_CPU.to_string(), "wrk".to_owned()];
    words.push("-t1".to_owned());
    words.push(format!("-c{}", load.connections));
    words.push(format!("-d{}s", load.seconds));
    words.push("--latency".to_owned());
    match load.style {
        Style::Close => words.extend(["-H".to_owned(), "Connection: close".to_owned()]),
        Style::KeepAlive => {}
        Style::Pipelined => words.extend(["-s".to_owned(), PIPELINE.to_owned()]),
    }
    words.push(url.to_owned());
    words
}

/// Runs wrk and reads its report.
pub(super) fn run(load: Load, address: SocketAddr) -> io::Result<Outcome> {
    let url = format!("http://{address}{}", load.route.path());
    let output = Command::new("taskset").args(arguments(load, &url)).output()?;
    let report = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("wrk: {}{}", report.trim(), reason.trim())));
    }
    parse(&report).ok_or_else(|| io::Error::other(format!("wrk reports {report:?}")))
}

fn parse(report: &str) -> Option<Outcome> {
    let mut outcome = Outcome::default();
    for line in report.lines().map(str::trim) {
        if let Some((count, _)) = line.split_once(" requests in ") {
            outcome.requests = count.parse().ok()?;
        } else if let Some(rate) = line.strip_prefix("Requests/sec:") {
            outcome.requests_per_second = rate.trim().parse().ok()?;
        } else if let Some(latency) = line.strip_prefix("50% ") {
            outcome.latency_p50_us = microseconds(latency.trim())?;
        } else if line.starts_with("Socket errors:") || line.starts_with("Non-2xx") {
            outcome.errors.push(line.to_owned());
        }
    }
    (outcome.requests > 0).then_some(outcome)
}

fn microseconds(text: &str) -> Option<f64> {
    for (unit, factor) in [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 6e7)] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<f64>().ok().map(|value| value * factor);
        }
    }
    None
}

/// The core that wrk is pinned to.
pub(super) const WRK_CPU: usize = 1;
/// Usable by hand too: `wrk -s bench/wrk/pipeline.lua URL`.
const PIPELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/wrk/pipeline.lua");

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
        assert_eq!(outcome.requests, 301_341);
        assert!((outcome.requests_per_second - 100_427.08).abs() < 0.001);
        assert!((outcome.latency_p50_us - 325.0).abs() < 0.001);
        assert!(outcome.errors.is_empty());
    }

    #[test]
    fn errors_are_kept_and_nothing_is_no_outcome() {
        let errors = "  Socket errors: connect 0, read 3, write 0, timeout 0\n";
        let outcome = parse(&format!("{REPORT}{errors}  Non-2xx or 3xx responses: 7\n")).unwrap();
        assert_eq!(outcome.errors.len(), 2);
        assert!(parse("").is_none());
        assert!(parse("  0 requests in 3.00s, 0.00B read\n").is_none());
    }

    #[test]
    fn times_have_units() {
        assert_eq!(microseconds("1.50ms"), Some(1500.0));
        assert_eq!(microseconds("2s"), Some(2e6));
        assert_eq!(microseconds("7"), None);
    }
}
