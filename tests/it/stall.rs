//! Shards that die or stand still, and what their clients see of it.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::client::{Client, PATIENCE};
use crate::harness::response::Asked;
use crate::harness::{Launch, Server, heavy, send_signal, wait_for_exit, wait_until};

/// How long a handler spins: longer than any shard may stall, and than a loaded machine takes to
/// see it.
const SPIN_MS: u64 = 8000;

#[test]
fn a_handler_that_computes_for_too_long_costs_its_shard() {
    expect_replaced("spin");
}

#[test]
fn an_async_handler_that_computes_for_too_long_costs_its_shard() {
    expect_replaced("spin-later");
}

#[track_caller]
fn expect_replaced(route: &str) {
    let _alone = heavy();
    let server = Launch::demo().shards(1).set("server.shard-stall", "1s").start();
    let victim = server.shards()[0].clone();
    // What stays below the limit costs nothing.
    assert_eq!(server.client().get(&format!("/{route}/300")).unwrap().status, 200);
    assert_eq!(server.shards(), std::slice::from_ref(&victim));
    let start = Instant::now();
    let mut inside = server.client();
    let request = format!("GET /{route}/{SPIN_MS} HTTP/1.1\r\nHost: it\r\n\r\n");
    inside.send(request.as_bytes()).unwrap();
    assert!(wait_for_exit(victim.pid, PATIENCE), "the shard stays");
    let took = start.elapsed();
    assert!(took < Duration::from_millis(SPIN_MS), "ended after {took:?}, with its handler");
    assert!(took >= Duration::from_secs(1), "ended after {took:?}, before it was due");
    expect_alive(&server);
    assert!(inside.response(Asked::default()).is_err(), "the request inside is lost");
    wait_until("the log says why and how", || {
        let said = server.stderr();
        said.contains("stalled") && said.contains("ABRT")
    });
    assert_ne!(server.shards(), [victim]);
    server.stop();
}

#[track_caller]
fn expect_alive(server: &Server) {
    let response = server.client().get("/user/alive").unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!((response.status, &*response.text()), (200, "alive"));
}

#[test]
fn who_connects_while_a_killed_shard_is_replaced_is_answered() {
    let _alone = heavy();
    let count = std::thread::available_parallelism().map_or(1, |count| count.get().min(2));
    for shards in 1..=count {
        let server = Launch::demo().shards(shards).start();
        for round in 0..10 {
            let before = server.shards();
            let victim = before[round % shards].clone();
            send_signal(victim.pid, Signal::KILL);
            // Without waiting for its end: the connections arrive while it dies.
            let mut clients: Vec<Client> = (0..40).map(|_| ask(&server, round)).collect();
            for (index, client) in clients.iter_mut().enumerate() {
                let answer = client.response(Asked::default());
                let answer = answer
                    .unwrap_or_else(|fault| panic!("{shards}: {round}.{index} lost: {fault}"));
                assert_eq!(answer.text(), round.to_string());
            }
            wait_until("the shard is replaced", || {
                let now = server.shards();
                now.len() == shards && now.iter().all(|shard| shard.pid != victim.pid)
            });
        }
        server.stop();
    }
}

#[track_caller]
fn ask(server: &Server, round: usize) -> Client {
    let mut client = Client::try_connect(server.address)
        .unwrap_or_else(|error| panic!("refused in round {round}: {error}"));
    client.send(format!("GET /user/{round} HTTP/1.1\r\nHost: it\r\n\r\n").as_bytes()).unwrap();
    client
}
