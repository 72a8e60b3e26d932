//! A server that goes away under load: every request is accounted for.

use std::time::Duration;

use crate::harness::{Load, Stub};

const LEDGERED: &str = "--rate 500 --seconds 3 --connections 16 --ledger";

#[test]
fn a_killed_server_is_missed_until_it_is_back() {
    let stub = Stub::start("");
    let load = Load::start(stub.address, LEDGERED);
    stub.await_requests(200);
    let port = stub.address.port();
    drop(stub);
    // Time for requests to be refused in; the load goes on meanwhile.
    std::thread::sleep(Duration::from_millis(300));
    let back = Stub::start(&format!("--port {port}"));
    let outcome = load.finish();
    assert_eq!((outcome.ended(), outcome.count("ledger.requests")), (1_500, 1_500));
    assert!(outcome.fate("refused") > 0);
    assert!(outcome.fate("right") > 200);
    assert!(outcome.number("ledger.longest_gap_ms") >= 300.0);
    assert_eq!(outcome.right_by_bucket().iter().sum::<u64>(), outcome.fate("right"));
    assert!(back.counts()["requests"].as_u64().unwrap() > 0);
}

#[test]
fn one_of_several_processes_is_killed() {
    let stub = Stub::start("--children 2");
    let load = Load::start(stub.address, LEDGERED);
    stub.await_requests(100);
    let children = format!("/proc/{}/task", stub.process());
    let child = std::fs::read_dir(children).unwrap().find_map(|task| {
        let list = std::fs::read_to_string(task.unwrap().path().join("children")).unwrap();
        list.split_whitespace().next().map(str::to_owned)
    });
    let child = child.expect("the stub has children");
    assert!(std::process::Command::new("kill").args(["-9", &child]).status().unwrap().success());
    let outcome = load.finish();
    assert_eq!(outcome.ended(), 1_500);
    let broken = ["lost_before", "reset_after", "cut", "write_failed"].map(|f| outcome.fate(f));
    // Nobody was refused: the listener lives in the parent.
    assert_eq!(outcome.fate("right") + broken.iter().sum::<u64>(), 1_500);
    assert!(broken.iter().sum::<u64>() <= 16, "{broken:?}");
}
