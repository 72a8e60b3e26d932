//! One test per fixed issue, named after it: `issue_12_a_head_split_behind_its_cr_was_refused`.
//!
//! The rule: a fix comes with its test in the same commit; the test fails without the fix, goes
//! through the interface that the report used, and says in its first line what was seen and what
//! is right. Nothing is removed from here when the code around it is rewritten.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::harness::process as proc;
use crate::harness::{Launch, Server, heavy, pause, wait_until};

/// So much CPU time in a second is more than any waiting costs.
const SPIN: Duration = Duration::from_millis(300);

/// Lets the only shard open descriptors up to `count`.
fn allow_descriptors(server: &Server, count: u64) {
    let pid = i32::try_from(server.shards()[0].pid).ok().and_then(Pid::from_raw);
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(count), maximum: Some(4096) }).unwrap();
}

fn descriptors_of_shard(server: &Server) -> u64 {
    proc::descriptors(server.shards()[0].pid) as u64
}

#[track_caller]
fn expect_rest(server: &Server, what: &str) {
    let before = server.cpu_time();
    pause(Duration::from_secs(1));
    let spent = server.cpu_time() - before;
    assert!(spent < SPIN, "{spent:?} of CPU in a second {what}");
}

/// Seen: descriptors ran out in an attempt to accept for which nobody waited, then there was room
/// again, and the end of the pause, long gone, woke the shard without end. Right: it rests.
#[test]
fn a_shard_span_after_descriptors_had_run_out() {
    let _alone = heavy();
    let server = Launch::demo().shards(1).descriptors(4096).start();
    // So many single ones lead to an attempt to take two at a time.
    let mut clients: Vec<_> = (0..33).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/user/a").unwrap().status, 200);
    }
    for round in 0..3 {
        let mut more: Vec<_> = (0..33).map(|_| server.client()).collect();
        for client in &mut more {
            assert_eq!(client.get("/user/a").unwrap().status, 200);
        }
        allow_descriptors(&server, descriptors_of_shard(&server) + 1);
        let mut last = server.client();
        assert_eq!(last.get("/user/a").unwrap().status, 200);
        expect_rest(&server, &format!("without a free descriptor, round {round}"));
        allow_descriptors(&server, 4096);
        pause(Duration::from_millis(300));
        expect_rest(&server, &format!("with room again, round {round}"));
        assert_eq!(server.client().get("/user/a").unwrap().status, 200);
        clients.extend(more);
        clients.push(last);
    }
    drop(clients);
    server.stop();
}

/// Seen: a shard that left while descriptors were lacking was woken without end by the end of a
/// pause after which it accepts nobody any more. Right: it rests until its requests are done.
#[test]
fn a_shard_that_left_without_descriptors_span() {
    let _alone = heavy();
    let mut server = Launch::demo().shards(1).descriptors(4096).start();
    let mut slow = server.client();
    slow.send(b"GET /sleep/3000 HTTP/1.1\r\nHost: it\r\n\r\n").unwrap();
    wait_until("the request has been read", || {
        proc::sockets(server.address.port()).iter().all(|socket| socket.receive_queue == 0)
    });
    pause(Duration::from_millis(100));
    allow_descriptors(&server, descriptors_of_shard(&server));
    let mut waiting = server.client();
    waiting.send(b"GET /user/a HTTP/1.1\r\nHost: it\r\n\r\n").unwrap();
    wait_until("the shard tells of it", || server.stderr().contains("accepting pauses"));
    server.signal(rustix::process::Signal::TERM);
    pause(Duration::from_millis(200));
    allow_descriptors(&server, 4096);
    pause(Duration::from_millis(200));
    expect_rest(&server, "while it leaves");
    for client in [&mut slow, &mut waiting] {
        let asked = crate::harness::response::Asked { head: false, http10: false };
        assert_eq!(client.final_response(asked).unwrap().status, 200);
    }
    server.wait().expect_code(0);
}
