//! The gate of the instruction counts bites, and is deaf to everything but the code.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs the gate against a file of its own: the counts of this profile are not those committed.
fn gate(counts: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_corewise-bench"))
        .args(["instructions", "--counts"])
        .arg(counts)
        .args(arguments)
        .output()
        .expect("the program was built for this test");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text.into_owned())
}

#[test]
fn five_percent_more_work_fails_and_one_percent_passes() {
    let counts = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("counts.toml");
    let (written, text) = gate(&counts, &["--update"]);
    assert!(written, "{text}");
    let (passed, text) = gate(&counts, &[]);
    assert!(passed && text.contains(" 0 failed"), "the same again: {text}");
    // One call in a hundred is made twice, then one in twenty.
    let (passed, text) = gate(&counts, &["--inject", "100"]);
    assert!(passed, "one percent more: {text}");
    let (passed, text) = gate(&counts, &["--inject", "20"]);
    assert!(!passed && text.contains(" 0 passed"), "five percent more: {text}");
}
