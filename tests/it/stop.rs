//! Stops with clients that make them hard: slow readers, hanging handlers, full tables, impatience.

use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::client::{Client, End, PATIENCE};
use crate::harness::process as proc;
use crate::harness::response::{Asked, show};
use crate::harness::swarm::Swarm;
use crate::harness::{Launch, Server, heavy, pause, wait_for_exit, wait_until};

/// One chunk of 1 MiB, which the handler has handed over long before a slow client has read it.
const LARGE: &str = "GET /stream?chunks=1&bytes=1048576 HTTP/1.1\r\nHost: it\r\n\r\n";
/// Each 50 ms: 100 KB in a second, ten seconds for 1 MiB.
const SLOW_BYTES: usize = 5000;
/// For clients that take ten seconds of it on a machine with nothing else to do: one that is loaded
/// was seen to leave a shard which could run without its CPU for five seconds.
const GRACE: &str = "120s";
/// What a loaded machine may add to a promised time.
const MACHINE_SLACK: Duration = Duration::from_secs(4);

#[track_caller]
fn expect_port_free(address: SocketAddr) {
    wait_until("the port is free", || TcpListener::bind(address).is_ok());
}

/// A client to which the large answer is on its way, with `behind` requests sent after it.
fn download(server: &Server, behind: usize) -> Client {
    let mut client = Client::connect_narrow(server.address);
    client.send(LARGE.as_bytes()).unwrap();
    client.send(&b"GET /user/behind HTTP/1.1\r\nHost: it\r\n\r\n".repeat(behind)).unwrap();
    assert!(client.readable(PATIENCE), "the download has begun");
    client
}

fn read_slowly(mut client: Client) -> Result<Client, String> {
    let response = client.response_slowly(Asked::default(), SLOW_BYTES)?;
    match (response.status, response.body.len()) {
        (200, 1_048_576) => Ok(client),
        (status, bytes) => Err(format!("{status} with {bytes} bytes")),
    }
}

#[test]
fn term_waits_for_slow_readers_of_large_answers() {
    let mut server = Launch::demo().shards(1).set("shutdown.grace", GRACE).start();
    let plain = download(&server, 0);
    let pipelined = download(&server, 20);
    wait_until("all requests are read", || {
        proc::sockets(server.address.port()).iter().all(|socket| socket.receive_queue == 0)
    });
    server.signal(Signal::TERM);
    let plain = thread::spawn(|| read_slowly(plain));
    let pipelined = thread::spawn(|| read_slowly(pipelined));
    let mut plain = plain.join().unwrap().unwrap_or_else(|fault| panic!("plain: {fault}"));
    assert_eq!(plain.expect_close(), Ok(End::Fin));
    let pipelined = pipelined.join().unwrap();
    let mut pipelined = pipelined.unwrap_or_else(|fault| panic!("pipelined: {fault}"));
    // The head of the large answer was out before the stop and could not say that it is the last.
    // So what was pipelined behind it is either answered, up to an answer that says so, or not
    // begun; a reset in either case would destroy what the client has not read yet.
    let rest = pipelined.take_all().unwrap_or_else(|fault| panic!("behind: {fault}"));
    let mut answers = rest.windows(9).filter(|bytes| bytes.eq_ignore_ascii_case(b"HTTP/1.1 "));
    println!("{} of 20 pipelined requests were answered", answers.by_ref().count());
    assert!(rest.is_empty() || rest.ends_with(b"\r\n\r\nbehind"), "{}", show(&rest));
    assert_eq!(pipelined.expect_close(), Ok(End::Fin));
    server.wait().expect_code(0);
}

#[test]
fn requests_that_keep_coming_do_not_reset_an_answer_on_its_way() {
    let mut server = Launch::demo().shards(1).set("shutdown.grace", GRACE).start();
    let client = download(&server, 0);
    let mut writer = client.writer();
    server.signal(Signal::TERM);
    let reader = thread::spawn(|| read_slowly(client));
    while !reader.is_finished() {
        // Once the server has ended the connection this fails, as it should.
        drop(std::io::Write::write_all(&mut writer, b"GET /user/x HTTP/1.1\r\nHost: it\r\n\r\n"));
        pause(Duration::from_millis(100));
    }
    let client = reader.join().unwrap();
    client.unwrap_or_else(|fault| panic!("cut although it was being read: {fault}"));
    server.wait().expect_code(0);
}

#[test]
fn int_after_term_shortens_the_grace() {
    let launch = Launch::demo().shards(1).set("limits.handler-timeout", "600s");
    let mut server = launch.set("shutdown.grace", "600s").start();
    let mut client = server.client();
    client.send(b"GET /sleep/30000 HTTP/1.1\r\nHost: it\r\n\r\n").unwrap();
    wait_until("the request has been read", || {
        proc::sockets(server.address.port()).iter().all(|socket| socket.receive_queue == 0)
    });
    server.signal(Signal::TERM);
    client.expect_quiet(Duration::from_secs(1)).unwrap();
    let start = Instant::now();
    server.signal(Signal::INT);
    let outcome = server.wait();
    let took = start.elapsed();
    assert!(outcome.status.code().is_some(), "it ends by itself: {outcome:?}");
    // Grace of an interrupt and force, and what a process needs to be gone.
    let bound = Duration::from_secs(5 + 5 + 2) + MACHINE_SLACK;
    assert!(took > Duration::from_millis(4500), "after {took:?}: an interrupt gives 5 s");
    assert!(took < bound, "after {took:?}");
    for word in ["ABRT", "did not leave in time"] {
        assert!(!outcome.stderr.contains(word), "cancelled is enough: {}", outcome.stderr);
    }
}

#[test]
fn term_with_a_full_table_answers_all_who_were_accepted_or_wait() {
    let _alone = heavy();
    for round in 0..3 {
        let mut server = Launch::demo().shards(1).descriptors(128).start();
        let request = b"GET /user/x HTTP/1.1\r\nHost: it\r\n\r\n";
        let mut swarm = Swarm::connect(server.address, 300, request);
        server.signal(Signal::TERM);
        swarm.receive_until("all have ended", |bee| bee.ended);
        let lost = swarm.bees.iter().filter(|bee| {
            !(bee.received.starts_with(b"HTTP/1.1 200 ") && bee.received.ends_with(b"\r\n\r\nx"))
        });
        assert_eq!(lost.count(), 0, "of 300 got no answer in round {round}");
        server.wait().expect_code(0);
    }
}

#[test]
fn a_shard_that_hangs_ends_without_its_supervisor_too() {
    let _alone = heavy();
    let launch = Launch::demo().shards(1).set("shutdown.grace", "1s").set("shutdown.force", "1s");
    let mut server = launch.start();
    assert_eq!(server.client().get("/spin/1").unwrap().status, 200);
    let shard = server.shards()[0].clone();
    let mut client = server.client();
    client.send(b"GET /spin/30000 HTTP/1.1\r\nHost: it\r\n\r\n").unwrap();
    wait_until("the request has been read", || {
        proc::sockets(server.address.port()).iter().all(|socket| socket.receive_queue == 0)
    });
    let start = Instant::now();
    server.signal(Signal::KILL);
    let bound = Duration::from_secs(1 + 1 + 2) + MACHINE_SLACK;
    assert!(wait_for_exit(shard.pid, bound), "still there {:?} later", start.elapsed());
    expect_port_free(server.address);
    drop(server.wait());
}
