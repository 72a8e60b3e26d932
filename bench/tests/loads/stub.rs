//! The stub does what it is asked for, and the generator counts exactly that.

use crate::harness::{Stub, load, until};

#[test]
fn requests_cost_what_they_are_told_to() {
    let stub = Stub::start("--burn-us 2000");
    let cpu_us = || stub.ask("/cpu").parse::<u64>().unwrap() / 1_000;
    let before = cpu_us();
    let outcome = load(&stub, "--rate 100 --seconds 1");
    // One request more than the load: the one that shows what a right answer is.
    let requests = outcome.fate("right") + 1;
    let each = (cpu_us() - before) as f64 / requests as f64;
    assert_eq!(requests, 101);
    assert!((2_000.0..2_600.0).contains(&each), "{each} us of CPU for each request");
}

#[test]
fn children_pay_where_they_are_told_to() {
    let stub = Stub::start("--burn-us 2000 --child-every 2");
    let ended_ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", stub.process())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        // cutime and cstime, in hundredths of a second.
        fields[13].parse::<u64>().unwrap() + fields[14].parse::<u64>().unwrap()
    };
    load(&stub, "--rate 50 --seconds 1");
    // 25 children of 2 ms each; a tick is 10 ms.
    assert!(ended_ticks() >= 3, "{} ticks", ended_ticks());
}

#[test]
fn faults_are_counted_exactly() {
    let faults = "--close-every 17 --cut-every 11 --wrong-content-every 13 --wrong-status-every 7";
    let stub = Stub::start(faults);
    let options = "--rate 500 --seconds 1 --connections 8 --ledger";
    let outcome = load(&stub, options);
    // The first was asked before the load.
    let numbers = || 2..=501_u64;
    let hit = |number: u64, every: u64| number.is_multiple_of(every);
    let closed = numbers().filter(|n| hit(*n, 17)).count();
    let cut = numbers().filter(|n| hit(*n, 11) && !hit(*n, 17)).count();
    let content = numbers().filter(|n| hit(*n, 13) && !hit(*n, 17) && !hit(*n, 11)).count();
    let status =
        numbers().filter(|n| hit(*n, 7) && ![17, 11, 13].iter().any(|e| hit(*n, *e))).count();
    let expected = [closed, cut, content, status].map(|count| count as u64);
    let found = ["lost_before", "cut", "wrong_content", "wrong_status"];
    assert_eq!(found.map(|fate| outcome.fate(fate)), expected);
    let wrong: u64 = expected.iter().sum();
    assert_eq!((outcome.fate("right"), outcome.ended()), (500 - wrong, 500));
    assert_eq!(stub.counts()["wrong"].as_u64(), Some(wrong));
    // Each connection that was closed was opened again for a later request.
    let lost = expected[0] + expected[1];
    assert!((8..=8 + lost).contains(&outcome.count("light.connections_opened")));
}

#[test]
fn a_killed_child_is_replaced() {
    let stub = Stub::start("--children 1");
    let children = || {
        let process = stub.process();
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let lists =
            tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("children")));
        let words: Vec<String> = lists.map(Result::unwrap_or_default).collect();
        words.join(" ").split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    until("the child", || children().len() == 1);
    assert_eq!(stub.ask("/plaintext"), "Hello, World!");
    let first = children();
    let killed = std::process::Command::new("kill").args(["-9", &first[0]]).status().unwrap();
    assert!(killed.success());
    until("another child", || children().len() == 1 && children() != first);
    assert_eq!(stub.ask("/plaintext"), "Hello, World!");
}
