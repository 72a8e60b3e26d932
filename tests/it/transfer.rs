//! What is large or slow and within the limits: answers that take their time, heads in pieces, and
//! deadlines on a shard that never sleeps.

use std::time::Duration;

use crate::harness::client::{Client, End, PATIENCE};
use crate::harness::response::{Asked, Response};
use crate::harness::{Launch, heavy, pause};

const MEBIBYTE: &[u8] = b"GET /stream?chunks=1&bytes=1048576 HTTP/1.1\r\nHost: it\r\n\r\n";

// ---- answers ----

#[test]
fn keep_alive_does_not_count_while_an_answer_is_read_slowly() {
    let server = Launch::demo().shards(1).set("limits.keep-alive", "1s").start();
    let mut client = Client::connect_narrow(server.address);
    client.send(MEBIBYTE).unwrap();
    // 18 KB every 50 ms: three seconds.
    let response = client.response_slowly(Asked::default(), 18_000).unwrap();
    assert_eq!(response.body.len(), 1 << 20);
    // It counts again once all is handed to the kernel, which is before the client has it all.
    assert_eq!(client.expect_close(), Ok(End::Fin));
    server.stop();
}

#[test]
fn keep_alive_does_not_count_while_an_answer_stands_still() {
    let server = Launch::demo().shards(1).set("limits.keep-alive", "1s").start();
    let mut client = Client::connect_narrow(server.address);
    client.send(MEBIBYTE).unwrap();
    pause(Duration::from_secs(3));
    let response = client.response(Asked::default()).unwrap();
    assert_eq!(response.body.len(), 1 << 20);
    server.stop();
}

// ---- heads ----

/// A head with a request line and a header section of so many bytes, line ends included.
fn head(line_bytes: usize, section_bytes: usize) -> Vec<u8> {
    let (start, end) = ("GET /user/x?", " HTTP/1.1\r\n");
    let padding = "q".repeat(line_bytes - start.len() - end.len());
    let mut head = format!("{start}{padding}{end}");
    let before = head.len();
    head += "Host: it\r\n";
    while head.len() - before < section_bytes - 2 {
        let left = section_bytes - 2 - (head.len() - before);
        // The last field takes what is left, if that is enough for its name and line end.
        let field = if left < 4200 { left } else { 4096 };
        head += &format!("X-Pad: {}\r\n", "p".repeat(field - "X-Pad: \r\n".len()));
    }
    head += "\r\n";
    assert_eq!(head.len(), line_bytes + section_bytes);
    head.into_bytes()
}

/// Sends pieces of 1 KB, with a pause that is longer than a turn, until an answer comes.
fn send_in_pieces(client: &mut Client, head: &[u8]) -> Result<Response, String> {
    for piece in head.chunks(1000) {
        if client.readable(Duration::ZERO) {
            break;
        }
        client.send(piece)?;
        pause(Duration::from_millis(2));
    }
    client.response(Asked::default())
}

#[test]
fn a_head_near_the_limits_may_come_in_pieces() {
    let server = Launch::demo().shards(1).start();
    let mut client = server.client();
    for _ in 0..3 {
        let response = send_in_pieces(&mut client, &head(4096, 16_280)).unwrap();
        assert_eq!((response.status, &*response.text()), (200, "x"));
    }
    assert_eq!(client.get("/user/after").unwrap().text(), "after");
    server.stop();
}

#[test]
fn a_head_above_the_limits_in_pieces_is_431() {
    let server = Launch::demo().shards(1).start();
    let mut client = server.client();
    let response = send_in_pieces(&mut client, &head(4096, 21 << 10)).unwrap();
    assert_eq!(response.status, 431);
    assert!(response.connection("close"), "{response:?}");
    server.stop();
}

#[test]
fn a_head_of_200_kib_is_served_where_the_limit_allows_it() {
    let server = Launch::demo().shards(1).set("limits.header-bytes", "256KiB").start();
    for whole in [false, true] {
        let mut client = server.client();
        let head = head(4096, 200 << 10);
        let response =
            if whole { client.exchange(&head) } else { send_in_pieces(&mut client, &head) };
        assert_eq!(response.unwrap().text(), "x");
        assert_eq!(client.get("/user/after").unwrap().text(), "after");
    }
    server.stop();
}

// ---- a shard that never sleeps ----

#[test]
fn a_shard_that_spins_when_idle_serves_and_keeps_its_deadlines() {
    let _alone = heavy();
    let launch = Launch::demo().shards(1).set("cores.idle", "spin");
    let launch = launch.set("limits.keep-alive", "1s").set("limits.header-timeout", "1s");
    let server = launch.start();
    let mut client = server.client();
    for target in ["/user/a", "/sleep/20", "/stream?chunks=3&bytes=1000&gap_ms=20", "/block/20"] {
        assert_eq!(client.get(target).unwrap().status, 200, "{target}");
    }
    assert_eq!(client.expect_close(), Ok(End::Fin), "keep-alive is over");
    let mut slow = server.client();
    slow.send(b"GET /user/a HTTP/1.1\r\nHo").unwrap();
    assert!(slow.readable(PATIENCE), "header-timeout is over");
    assert_eq!(slow.response(Asked::default()).unwrap().status, 408);
    let before = server.cpu_time();
    pause(Duration::from_millis(500));
    let spent = server.cpu_time() - before;
    // Half of it, since other tests may want the same processor.
    assert!(spent > Duration::from_millis(100), "{spent:?} of CPU: it does not spin");
    server.stop();
}
