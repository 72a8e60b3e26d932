//! The whole bench against servers of known cost and known errors, with a wrk of our own whose
//! requests can be counted.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A bench that can be run, in a folder of its own.
struct Bench {
    folder: TempDir,
    command: Command,
}

impl Bench {
    fn new(arguments: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        // Its path tells this test's processes from those of all others.
        symlink(PROGRAM, folder.path().join("stub")).unwrap();
        let mut command = Command::new(PROGRAM);
        let fake = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake");
        let path = format!("{fake}:{}", std::env::var("PATH").unwrap_or_default());
        command
            .args(arguments)
            .arg("--out")
            .arg(folder.path().join("report"))
            .env("PATH", path)
            // What a killed run leaves behind goes with the test.
            .env("TMPDIR", folder.path())
            .env("FAKE_WRK_LOG", folder.path().join("log"))
            .env("FAKE_WRK_WATCH", folder.path().join("stub"))
            .current_dir(folder.path())
            .stdin(Stdio::null());
        Self { folder, command }
    }

    /// Adds a stub with these arguments as a subject.
    fn stub(mut self, name: &str, arguments: &str) -> Self {
        let program = self.folder.path().join("stub");
        let subject = format!("{name}={} stub --port {{port}} {arguments}", program.display());
        self.command.args(["--subject", &subject]);
        self
    }

    fn run(&mut self) -> Output {
        self.command.output().unwrap()
    }

    /// Runs it to a good end and reads its data.
    #[track_caller]
    fn data(&mut self) -> Value {
        let output = self.run();
        assert!(output.status.success(), "{output:?}");
        read(&self.data_path())
    }

    fn data_path(&self) -> PathBuf {
        self.folder.path().join("report/data.json")
    }

    /// What the fake wrk saw, load by load.
    fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Processes of this test's stubs that are there now.
    fn left(&self) -> Vec<String> {
        let marker = self.folder.path().join("stub").display().to_string();
        let folders = fs::read_dir("/proc").unwrap().flatten();
        let lines = folders.filter_map(|one| fs::read_to_string(one.path().join("cmdline")).ok());
        lines.filter(|line| line.split('\0').next() == Some(&marker)).collect()
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn windows<'a>(data: &'a Value, subject: &str) -> Vec<&'a Value> {
    let all = data["windows"].as_array().unwrap().iter();
    all.filter(|window| window["subject"] == subject).collect()
}

fn subject<'a>(data: &'a Value, name: &str) -> &'a Value {
    data["subjects"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap()
}

fn figure(window: &Value, quantity: &str) -> f64 {
    window["figures"][quantity].as_f64().unwrap_or_else(|| panic!("no {quantity} in {window}"))
}

#[test]
fn cpu_time_is_attributed_to_who_burns_it() {
    // 40 requests of 10 ms each: 400 ms, in which 5 % are more than any error of reading.
    let arguments = ["--columns", "plaintext-8", "--rounds", "1", "--subjects", "bare"];
    let mut bench = Bench::new(&arguments).stub("burner", "--burn-us 10000");
    let data = bench.data();
    let own: Vec<f64> = bench
        .log()
        .iter()
        .filter_map(|seen| seen["cpu_ns"].as_f64())
        .filter(|ns| *ns > 0.0)
        .collect();
    // For each window one load is measured, and in the first try one counts system calls.
    let windows = windows(&data, "burner");
    for (window, expected_ns) in windows.iter().zip(own.chunks(2)) {
        let requests = window["requests"].as_f64().unwrap();
        assert!((requests - 40.0).abs() < 0.5, "{window}");
        let read_ns = figure(window, "cpu_per_request_us") * requests * 1e3;
        let ratio = read_ns / expected_ns[0];
        assert!((0.95..1.05).contains(&ratio), "{read_ns} of {}, {window}", expected_ns[0]);
        assert!(read_ns > 400e6, "{window}");
    }
    assert!(!windows.is_empty());
}

#[test]
fn children_that_end_are_in_the_account() {
    // Every second request burns 20 ms in a child that ends: 400 ms in 20 children.
    let arguments = ["--columns", "plaintext-8", "--rounds", "1", "--subjects", "bare"];
    let mut bench = Bench::new(&arguments).stub("parent", "--burn-us 20000 --child-every 2");
    let data = bench.data();
    for window in windows(&data, "parent") {
        let read_ms = figure(window, "cpu_per_request_us") * 40.0 / 1e3;
        // 20 children and 20 requests of its own; what a child needs to start comes on top.
        assert!((780.0..1100.0).contains(&read_ms), "{read_ms} ms, {window}");
    }
}

#[test]
fn known_errors_are_counted_exactly() {
    let arguments = ["--columns", "plaintext-8", "--rounds", "1", "--subjects", "bare"];
    let mut bench = Bench::new(&arguments)
        .stub("refuser", "--wrong-status-every 10")
        .stub("cutter", "--cut-every 10");
    let data = bench.data();
    // One request to start and one to check, so of the requests 3 to 42 four are multiples of 10.
    let refuser = windows(&data, "refuser")[0];
    assert_eq!(refuser["errors"], serde_json::json!({"status": 4}), "{refuser}");
    assert_eq!(refuser["requests"], 36);
    let cutter = windows(&data, "cutter")[0];
    assert_eq!(cutter["errors"], serde_json::json!({"read": 4}), "{cutter}");
    assert_eq!(cutter["requests"], 36);
}

#[test]
fn who_is_missing_or_fails_is_reported_and_the_run_goes_on() {
    let arguments =
        ["--columns", "plaintext-8,plaintext-32", "--rounds", "1", "--subjects", "bare"];
    let mut bench = Bench::new(&arguments)
        .stub("liar", "--wrong-content-every 1")
        .stub("forgetful", "--wrong-content-every 2")
        .stub("broken", "--no-such-option");
    bench.command.args(["--subject", "absent=/nonexistent/server {port}"]);
    let data = bench.data();
    let fails = |name: &str, why: &str| {
        let state = &subject(&data, name)["state"]["failed"]["why"];
        assert!(state.as_str().is_some_and(|text| text.contains(why)), "{name}: {state}");
        assert!(windows(&data, name).iter().all(|window| window["counts"] == false));
    };
    fails("liar", "wrong content");
    // It starts, and is found out before its first window.
    fails("forgetful", "wrong content");
    fails("broken", "no-such-option");
    let missing = &subject(&data, "absent")["state"]["missing"];
    assert!(missing["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{missing}");
    assert_eq!(subject(&data, "bare")["state"], "measured");
    assert!(windows(&data, "bare").iter().filter(|window| window["counts"] == true).count() == 2);
    let page = fs::read_to_string(bench.folder.path().join("report/report.html")).unwrap();
    assert!(page.contains("absent") && page.contains("broken"));
}

#[test]
fn rounds_are_interleaved_and_whoever_waits_is_stopped() {
    let arguments = ["--columns", "plaintext-8", "--rounds", "3", "--subjects", "bare"];
    let mut bench =
        Bench::new(&arguments).stub("one", "").stub("two", "--children 2").stub("three", "");
    let data = bench.data();
    let names: Vec<&str> = data["windows"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|window| window["attempt"] == 0)
        .map(|window| window["subject"].as_str().unwrap())
        .collect();
    let rounds = [
        ["bare", "one", "two", "three"],
        ["one", "bare", "three", "two"],
        ["two", "three", "bare", "one"],
    ];
    assert_eq!(names, rounds.concat());
    let log = bench.log();
    assert!(log.len() >= 12, "{log:?}");
    for seen in &log {
        let others = seen["others"].as_array().unwrap();
        // Two or three other stubs, one of them with two children.
        assert!(others.len() >= 2 && others.iter().all(|state| state == "T"), "{seen}");
    }
    assert_eq!(bench.left(), [""; 0]);
}

#[test]
fn a_promise_without_figures_is_not_kept() {
    let arguments =
        ["--columns", "plaintext-32", "--rounds", "1", "--subjects", "bare", "--strict"];
    let output = Bench::new(&arguments).run();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("could not be judged"));
}

#[test]
fn a_disturbed_window_is_repeated_and_kept() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let _strangers: Vec<Ended> = (0..cores).map(|_| Ended(busy_loop())).collect();
    let arguments = ["--columns", "plaintext-8", "--rounds", "2", "--subjects", "bare,bare2"];
    let data = Bench::new(&arguments).data();
    let windows = data["windows"].as_array().unwrap();
    let again: Vec<usize> =
        (0..windows.len()).filter(|index| windows[*index]["attempt"] != 0).collect();
    assert!(!again.is_empty(), "{windows:?}");
    for index in again {
        let before = &windows[index - 1];
        assert_eq!(before["counts"], false, "{before}");
        assert!(!before["disturbances"].as_array().unwrap().is_empty(), "{before}");
        assert!(windows[index]["attempt"].as_u64() <= Some(2));
    }
    // Every round has exactly one window that counts, disturbed or not.
    let counted = windows.iter().filter(|window| window["counts"] == true).count();
    assert_eq!(counted, 4, "{windows:#?}");
}

#[test]
fn the_gate_closes_on_a_regression_and_only_then() {
    let arguments = ["--columns", "plaintext-8", "--rounds", "2", "--subjects", "bare,bare2"];
    let mut bench = Bench::new(&arguments).stub("ours", "");
    let mut data = bench.data();
    let folder = bench.folder.path();
    for one in data["subjects"].as_array_mut().unwrap() {
        if one["name"] == "ours" {
            one["role"] = "ours".into();
        }
    }
    // A bare loop without noise, so that the gate is tested and not this machine.
    for window in data["windows"].as_array_mut().unwrap() {
        let us = if window["subject"] == "ours" { 20.0 } else { 10.0 };
        window["figures"]["cpu_per_request_us"] = us.into();
    }
    let usual = folder.join("usual.json");
    fs::write(&usual, data.to_string()).unwrap();
    for window in data["windows"].as_array_mut().unwrap() {
        if window["subject"] == "ours" {
            window["figures"]["cpu_per_request_us"] = 22.0.into();
        }
    }
    let slower = folder.join("slower.json");
    fs::write(&slower, data.to_string()).unwrap();
    let gate = |now: &Path, base: &Path, fail_over: &str| {
        let output = Command::new(PROGRAM)
            .arg("report")
            .arg(now)
            .args(["--fail-over", fail_over, "--baseline"])
            .arg(base)
            .arg("--out")
            .arg(folder.join("again"))
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = gate(&slower, &usual, "5%");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("plaintext-8"), "{text}");
    assert_eq!(gate(&slower, &usual, "15%").0, Some(0));
    assert_eq!(gate(&usual, &slower, "5%").0, Some(0));
    assert_eq!(gate(&usual, &usual, "0%").0, Some(0));
    let (code, _) = gate(&usual, &folder.join("log"), "5%");
    assert_eq!(code, Some(1), "a log is no baseline");
}

#[test]
fn an_interrupted_run_reports_and_leaves_nothing() {
    let arguments = ["--columns", "plaintext-8", "--rounds", "1", "--subjects", "bare"];
    let mut bench = Bench::new(&arguments).stub("one", "--children 2").stub("two", "");
    bench.command.env("FAKE_WRK_HANG", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Ended(bench.command.spawn().unwrap());
    wait_for("the load", || !bench.log().is_empty());
    signal(&child.0, "INT");
    let mut said = String::new();
    child.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert!(read(&bench.data_path())["windows"].is_array());
    wait_for("the end of the servers", || bench.left().is_empty());
}

#[test]
fn a_killed_run_leaves_nothing_either() {
    let arguments = ["--columns", "plaintext-8", "--rounds", "1", "--subjects", "bare"];
    let mut bench = Bench::new(&arguments).stub("one", "--children 2").stub("two", "");
    bench.command.env("FAKE_WRK_HANG", "1").stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = Ended(bench.command.spawn().unwrap());
    wait_for("the load", || !bench.log().is_empty());
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    wait_for("the end of the servers", || bench.left().is_empty());
}

#[test]
fn without_wrk_the_answer_is_how_to_get_it() {
    let mut bench = Bench::new(&["--columns", "close", "--subjects", "bare"]);
    let output = bench.command.env("PATH", "/nonexistent").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("apt-get install wrk"), "{error}");
}

#[test]
fn what_cannot_be_understood_is_a_usage_error() {
    for arguments in [["--columns", "x"], ["--subjects", "x"], ["--rounds", "0"]] {
        let output = Command::new(PROGRAM).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
    let mut list = Command::new(PROGRAM).arg("--list").stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(list.stdout.take().unwrap()).lines();
    let text: Vec<String> = lines.map(|line| line.unwrap()).collect();
    list.wait().unwrap();
    assert!(text.iter().any(|line| line.trim_start().starts_with("nginx")), "{text:?}");
    assert!(text.iter().any(|line| line.trim_start().starts_with("plaintext-32")), "{text:?}");
}

/// A process that is ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn busy_loop() -> Child {
    Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "still waiting for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_corewise-bench");
