//! Where and of what the figures were taken.

use std::fs;
use std::process::Command;

use serde::Serialize;

/// What a reader needs to judge a figure.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    pub(super) date: String,
    pub(super) commit: String,
    pub(super) processor: String,
    pub(super) cores: usize,
    pub(super) kernel: String,
    pub(super) compiler: String,
}

impl Machine {
    pub(super) fn look() -> Self {
        Self {
            date: said("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
            commit: said("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: said("uname", &["-sr"]),
            compiler: said("rustc", &["--version"]),
        }
    }
}

/// What a command prints; `unknown` where it does not exist.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or_else(|| "unknown".to_owned(), |rest| rest.trim_matches([':', '\t', ' ']).to_owned())
}
