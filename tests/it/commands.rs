//! The commands that only answer: exit codes, JSON that parses, and files that they write.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{Launch, Outcome};

fn run(arguments: &[&str]) -> Outcome {
    Launch::bare(arguments).run()
}

#[track_caller]
fn expect(arguments: &[&str], code: i32, parts: &[&str]) -> Outcome {
    let outcome = run(arguments);
    outcome.expect_code(code);
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    for part in parts {
        assert!(said.contains(part), "{arguments:?}: {part:?} is not in {said}");
    }
    outcome
}

#[track_caller]
fn json(arguments: &[&str]) -> Value {
    let outcome = run(arguments);
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome:?}"))
}

fn written(folder: &Path, text: &str) -> String {
    let path = folder.join("corewise.toml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn unknown_words_get_suggestions() {
    expect(&["chekc"], 2, &["unrecognized subcommand 'chekc'", "'check'"]);
    expect(&["run", "--shard", "1"], 2, &["'--shard'", "'--shards'"]);
    expect(&["explain", "E01O3"], 2, &["unknown code `E01O3`", "E0103"]);
    expect(&["man", "chek"], 2, &["unknown command `chek`", "check"]);
    expect(&["completions", "bas"], 2, &["bash"]);
}

#[test]
fn what_comes_later_is_known_by_name() {
    expect(&["run", "main:app"], 2, &["`main:app` is a Python application", "not available"]);
    expect(&["run", "./public"], 2, &["`./public` is a folder", "not available"]);
    expect(&["run", "--reload"], 2, &["`--reload` is not available in this version yet"]);
    expect(&["run", "--uds", "/a"], 2, &["`--uds` is not available"]);
}

#[test]
fn codes_are_explained() {
    expect(&["explain", "E0103"], 0, &["E0103: unknown key", "Example", "What to do"]);
    expect(&["explain"], 0, &["E0100  ", "E0408  "]);
    let codes = json(&["explain", "--json"]);
    assert!(codes["codes"].as_array().unwrap().len() > 15);
}

#[test]
fn completions_and_man_pages_go_to_standard_output() {
    for shell in ["bash", "zsh", "fish"] {
        let outcome = expect(&["completions", shell], 0, &["corewise"]);
        assert_eq!(outcome.stderr, "");
    }
    let outcome = expect(&["man"], 0, &[".TH corewise 1"]);
    assert_eq!(outcome.stderr, "");
    expect(&["man", "check"], 0, &["corewise check"]);
}

#[test]
fn the_port_of_somebody_else_is_found_by_check() {
    let server = Launch::demo().shards(1).start();
    let bind = ["--bind", &server.address.to_string()];
    let pid = format!("pid {}", server.pid());
    let outcome = expect(&["check", bind[0], bind[1]], 0, &["warning[E0401]", "taken by", &pid]);
    assert!(outcome.stderr.contains("if that is the server"), "{outcome:?}");
    let findings = json(&["check", "--json", bind[0], bind[1]]);
    assert_eq!(findings["findings"][0]["code"], "E0401");
    server.stop();

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let pid = format!("pid {}", std::process::id());
    expect(&["check", "--bind", &address], 71, &["error[E0401]", "taken by", &pid]);
    expect(&["demo", "--check", "--bind", &address], 71, &["error[E0401]"]);
}

#[test]
fn forbidden_io_uring_is_found_by_check_and_doctor() {
    let check = Launch::bare(&["check", "--bind", "127.0.0.1:0"]).without_io_uring().run();
    check.expect_code(69);
    assert!(check.stderr.contains("error[E0405]"), "{check:?}");
    let doctor = Launch::bare(&["doctor"]).without_io_uring().run();
    doctor.expect_code(1);
    assert!(doctor.stdout.contains("bad      io_uring"), "{doctor:?}");
}

#[test]
fn a_small_limit_is_a_warning() {
    let outcome = Launch::bare(&["check", "--bind", "127.0.0.1:0"]).descriptors(256).run();
    outcome.expect_code(0);
    assert!(outcome.stderr.contains("warning[E0406]"), "{outcome:?}");
    // The doctor has a row for it, which is enough.
    for arguments in [&["doctor"][..], &["doctor", "--json"]] {
        let doctor = Launch::bare(arguments).descriptors(256).run();
        assert!(doctor.stdout.contains("256 for 65536 connections per shard"), "{doctor:?}");
        assert_eq!(doctor.stderr, "");
    }
}

#[test]
fn everything_wrong_is_shown_in_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "[limits]\nkeepalive = \"1s\"\nheaders = 0\n[limit]\n");
    let parts = ["error[E0103]", "error[E0105]", "error[E0102]"];
    expect(&["check", "--config", &file], 78, &parts);
    expect(&["check", "--limits-body", "x"], 2, &["error[E0105]"]);
}

#[test]
fn faults_are_objects_where_json_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "[limits]\nkeepalive = \"1s\"\n");
    for command in ["check", "plan"] {
        let outcome = run(&[command, "--json", "--config", &file, "--shards", "x"]);
        outcome.expect_code(78);
        assert_eq!(outcome.stderr, "");
        let object: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let faults = object["faults"].as_array().unwrap();
        assert_eq!(faults.len(), 2, "{object}");
        assert_eq!(faults[0]["code"], "E0103");
        let place = serde_json::json!({ "file": file, "line": 2, "column": 1 });
        assert_eq!(faults[0]["place"], place);
        assert_eq!(faults[1]["place"], serde_json::json!({ "flag": "--shards" }));
        run(&[command, "--json", "--shards", "x"]).expect_code(2);
    }
    let outcome = run(&["doctor", "--json", "--config", &file]);
    outcome.expect_code(1);
    assert_eq!(outcome.stderr, "");
    let object: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(object["faults"][0]["code"], "E0103");
    assert_eq!(object["checks"][0]["state"], "bad");
    assert_eq!(json(&["check", "--json", "--bind", "127.0.0.1:0"])["faults"], Value::Array(vec![]));
}

#[test]
fn init_writes_what_check_accepts_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("corewise.toml");
    let file = path.display().to_string();
    expect(&["init", &file], 0, &["wrote"]);
    let first = fs::read_to_string(&path).unwrap();
    for line in run(&["cores"]).stdout.lines() {
        assert!(first.contains(format!("\n# {line}").trim_end()), "{line:?} heads the file");
    }
    let parts = ["nothing is wrong", file.as_str()];
    let outcome = expect(&["check", "--config", &file, "--bind", "127.0.0.1:0"], 0, &parts);
    // Small limits of the machine that tests it are not about the file.
    assert!(!outcome.stderr.contains("error"), "{outcome:?}");
    fs::write(&path, "mine").unwrap();
    expect(&["init", &file], 1, &["exists", "--force"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    expect(&["init", &file, "--force"], 0, &["wrote"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), first);
    for arguments in [["init", "--print"], ["init", "-"]] {
        assert_eq!(run(&arguments).stdout, first);
    }
    expect(&["init", "/proc/nowhere/corewise.toml"], 71, &["cannot write"]);
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_corewise"))
        .args(["init", "--print"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn colours_can_be_demanded() {
    let plain = run(&["explain", "E0103"]);
    assert!(!plain.stdout.contains('\u{1b}'), "{plain:?}");
    let colourful = Launch::bare(&["explain", "E0103"]).environment("CLICOLOR_FORCE", "1").run();
    assert!(colourful.stdout.contains('\u{1b}'), "{colourful:?}");
}

#[test]
fn a_plan_is_quick() {
    // Processor time, which another load of the machine changes little, as the shell counts it.
    let script = "for i in 1 2 3 4 5; do \"$0\" plan > /dev/null || exit 1; done; times";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_corewise")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let children = text.lines().nth(1).unwrap();
    let seconds = |word: &str| {
        let (minutes, seconds) = word.trim_end_matches('s').split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
    };
    let used: f64 = children.split_whitespace().map(seconds).sum();
    assert!(used < 5.0 * 0.050, "five plans took {used} s");
}

#[test]
fn a_plan_and_the_cores_are_one_object_each() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[pool.ml]\nworkers = 1\n[[route]]\npath = \"/*\"\nrespond = { body = \"hi\" }\n";
    let file = written(folder.path(), text);
    let plan = json(&["plan", "--json", "--config", &file]);
    for key in ["version", "files", "machine", "placement", "settings", "notices", "findings"] {
        assert!(!plan[key].is_null(), "{key}: {plan}");
    }
    assert_eq!(plan["files"][0], file);
    assert_eq!(plan["routes"].as_array().unwrap().len(), 1);
    assert!(json(&["cores", "--json"])["machine"]["cpus"][0]["number"].is_u64());
    let outcome = expect(&["plan", "--config", &file], 0, &["shard/0", "ml/0", "[pool.ml]"]);
    assert!(outcome.stderr.contains("only checks and plans pools"), "{outcome:?}");
    expect(&["cores"], 0, &["usable"]);
}

#[test]
fn workers_without_a_pool_are_told_of_shards() {
    let parts = ["error[E0108]", "--shards", "[pool.app]"];
    expect(&["run", "-w", "4"], 2, &parts);
}

#[test]
fn only_routes_are_something_to_serve() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "");
    expect(&["run", "--check", "--config", &file], 78, &["error[E0300]"]);
    expect(&["check", "--config", &file, "--bind", "127.0.0.1:0"], 0, &["0 routes"]);
}

#[test]
fn the_bench_is_the_program_beside_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("corewise");
    fs::copy(env!("CARGO_BIN_EXE_corewise"), &own).unwrap();
    let bench = |arguments: &[&str]| Command::new(&own).args(arguments).output().unwrap();
    let alone = bench(&["bench", "--quick"]);
    let said = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert_eq!(alone.status.code(), Some(1), "{said}");
    assert!(said.contains("cargo build --release --workspace"), "{said}");
    let beside = folder.path().join("corewise-bench");
    fs::write(&beside, "#!/bin/sh\necho \"$@\"\nexit 7\n").unwrap();
    fs::set_permissions(&beside, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let passed_on = bench(&["bench", "--rounds", "2", "--subject", "a=b {port} --c"]);
    assert_eq!(passed_on.status.code(), Some(7), "{passed_on:?}");
    assert_eq!(passed_on.stdout, b"--rounds 2 --subject a=b {port} --c\n");
    // What cannot be understood is refused before anything is started.
    assert_eq!(bench(&["bench", "--rounds", "none"]).status.code(), Some(2));
    assert_eq!(bench(&["bench", "--help"]).status.code(), Some(0));
}
