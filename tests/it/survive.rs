//! What must survive: every kind of peer that hurts, beside peers that behave.
//!
//! Each test holds a lock, because it loads the machine, and has a server of its own, so that
//! memory and descriptors can be read before and after. Limits are shortened by settings.
//! Outcomes are asserted, not speed; where the promise is about other traffic, its requests must
//! all be answered, and its p99 is bounded with room for a loaded machine.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::client::{Client, PATIENCE};
use crate::harness::process as proc;
use crate::harness::response::Asked;
use crate::harness::rest::Rest;
use crate::harness::swarm::Swarm;
use crate::harness::traffic::{Fault, Report, Style, Traffic};
use crate::harness::{
    Launch, Server, heavy, need_descriptors, pause, send_signal, wait_for_exit, wait_until,
};

/// Rounds of the same harm. A leak grows with each; a pool or a region of the allocator's that
/// happens to be taken does not come again. (Of 24 rounds of 1,500 async requests, 23 left the same
/// memory behind and one 2 MiB more.)
const ROUNDS_MAX: u32 = 4;

/// Does the same harm twice: the first time pools may grow to their size, the second time nothing
/// may stay. Where memory does, the harm goes on for a few rounds: in one of them nothing may.
/// Light traffic runs beside all of it and must be answered.
#[track_caller]
fn survives(server: &Server, what: &str, mut harm: impl FnMut(&Server)) {
    warm_up(server);
    let descriptors = server.descriptors();
    let shards = server.shards();
    let quiet = light(server, |_| pause(Duration::from_millis(300)));
    light(server, &mut harm);
    let port = server.address.port();
    wait_until("the first harm is over", || {
        proc::sockets(port).iter().all(|socket| socket.listening)
            && server.descriptors() <= descriptors
    });
    let mut rest = Rest { descriptors, ..Rest::of(server) };
    let harmed = light(server, &mut harm);
    for _ in 2..ROUNDS_MAX {
        rest.expect_released(server, what);
        if rest.is_memory_back_soon(server) {
            break;
        }
        rest = Rest { descriptors, ..Rest::of(server) };
        light(server, &mut harm);
    }
    rest.expect_again(server, what);
    assert_eq!(server.shards(), shards, "a shard was restarted by {what}");
    // The promise is 2 x; the floor keeps a loaded machine from failing what is not at fault.
    let (before, during) = (quiet.p99(), harmed.p99());
    let bound = (2 * before).max(Duration::from_millis(150));
    println!("{what}: p99 of other traffic {before:?} before, {during:?} during");
    assert!(during <= bound, "p99 of other traffic went from {before:?} to {during:?}");
}

/// Runs something beside well-behaved clients, all of whose requests must be answered.
#[track_caller]
fn light(server: &Server, mut beside: impl FnMut(&Server)) -> Report {
    let traffic = Traffic::start(server.address, 2, Style::KeepAlive);
    beside(server);
    let report = traffic.finish();
    report.expect_all_answered();
    report
}

/// Everybody is there, and has done something.
#[track_caller]
fn warm_up(server: &Server) {
    server.expect_everybody();
    let mut client = server.client();
    for target in ["/user/a", "/json", "/sleep/1", "/stream?chunks=2&bytes=10&gap_ms=0", "/fib/1"] {
        assert_eq!(client.get(target).unwrap().status, 200);
    }
}

// ---- slow peers ----

#[test]
fn two_thousand_slow_heads() {
    let _alone = heavy();
    need_descriptors(6000);
    let launch = Launch::demo().shards(1);
    let server = launch.set("limits.header-timeout", "2s").start();
    survives(&server, "slow heads", |server| {
        let first = b"GET /user/x HTTP/1.1\r\nHost: it\r\nA: ";
        let mut swarm = Swarm::connect(server.address, 2000, first);
        drip_until_dropped(&mut swarm);
        for bee in &swarm.bees {
            let start = String::from_utf8_lossy(&bee.received);
            assert!(start.starts_with("HTTP/1.1 408 "), "dropped with {start:?}");
        }
    });
    server.stop();
}

#[test]
fn two_thousand_slow_bodies() {
    let _alone = heavy();
    need_descriptors(6000);
    let launch = Launch::demo().shards(1).set("limits.body-timeout", "2s");
    let server = launch.start();
    survives(&server, "slow bodies", |server| {
        let first = b"POST /echo HTTP/1.1\r\nHost: it\r\nContent-Length: 100000\r\n\r\n";
        let mut swarm = Swarm::connect(server.address, 2000, first);
        drip_until_dropped(&mut swarm);
        for bee in &swarm.bees {
            assert!(bee.received_bytes < 2000, "a whole answer to a body that never came");
        }
    });
    server.stop();
}

/// A byte every 0.4 s, as long as anybody is still connected.
#[track_caller]
fn drip_until_dropped(swarm: &mut Swarm) {
    let deadline = Instant::now() + 3 * PATIENCE;
    while swarm.alive() > 0 {
        assert!(Instant::now() < deadline, "{} are still connected", swarm.alive());
        swarm.receive_for(Duration::from_millis(400));
        swarm.send(b"a");
    }
}

#[test]
fn three_hundred_clients_that_never_read_16_mib() {
    let _alone = heavy();
    need_descriptors(2000);
    let server = Launch::demo().shards(1).set("limits.write-timeout", "2s").start();
    let port = server.address.port();
    warm_up(&server);
    let before = server.memory_bytes();
    survives(&server, "clients that never read", |server| {
        let first = b"GET /stream?chunks=256&bytes=65536 HTTP/1.1\r\nHost: it\r\n\r\n";
        let swarm = Swarm::connect_narrow(server.address, 300, first);
        let mut held = 0;
        let mut most = 0;
        wait_until("all of them are dropped", || {
            let sockets = proc::sockets(port);
            held = held.max(sockets.iter().map(|socket| socket.send_queue).max().unwrap_or(0));
            most = most.max(server.memory_bytes());
            // Whoever is dropped must be gone from the kernel too, with all that was queued.
            held > 0 && sockets.iter().all(|socket| socket.send_queue < 4096)
        });
        assert!(held <= 512 << 10, "{held} bytes in the kernel for one client that reads nothing");
        let each = most.saturating_sub(before) / 300;
        assert!(each <= 192 << 10, "{each} bytes of the server for one client that reads nothing");
        drop(swarm);
    });
    server.stop();
}

// ---- storms ----

#[track_caller]
fn storm(what: &str, harm: impl Fn(&Server)) {
    let _alone = heavy();
    need_descriptors(4000);
    let server = Launch::demo().shards(1).start();
    survives(&server, what, harm);
    server.stop();
}

#[test]
fn connect_and_close() {
    storm("connect-and-close", |server| (0..3000).for_each(|_| drop(server.client())));
}

#[test]
fn connect_and_reset() {
    storm("connect-and-reset", |server| (0..3000).for_each(|_| server.client().reset()));
}

#[test]
fn many_connect_and_reset_together() {
    storm("many resets together", |server| {
        for _ in 0..5 {
            Swarm::connect(server.address, 500, b"").reset();
        }
    });
}

#[test]
fn half_a_request_and_reset() {
    storm("half a request and reset", |server| {
        for _ in 0..5 {
            Swarm::connect(server.address, 500, b"GET /user/x HTTP/1.1\r\nHo").reset();
        }
    });
}

#[test]
fn half_a_body_and_reset() {
    storm("half a body and reset", |server| {
        let half = b"POST /echo HTTP/1.1\r\nHost: it\r\nContent-Length: 100\r\n\r\nhalf";
        for _ in 0..5 {
            Swarm::connect(server.address, 500, half).reset();
        }
    });
}

#[test]
fn fifty_pipelined_and_reset() {
    storm("50 pipelined and reset", |server| {
        let requests = b"GET /user/x HTTP/1.1\r\nHost: it\r\n\r\n".repeat(50);
        for _ in 0..5 {
            Swarm::connect(server.address, 300, &requests).reset();
        }
    });
}

#[test]
fn async_requests_and_reset() {
    storm("async requests and reset", |server| {
        let request = b"GET /sleep/50 HTTP/1.1\r\nHost: it\r\n\r\n".repeat(3);
        for _ in 0..5 {
            Swarm::connect(server.address, 300, &request).reset();
        }
    });
}

#[test]
fn streams_and_reset() {
    storm("streams and reset", |server| {
        let request = b"GET /stream?chunks=50&bytes=20000&gap_ms=1 HTTP/1.1\r\nHost: it\r\n\r\n";
        for _ in 0..5 {
            let mut swarm = Swarm::connect(server.address, 100, request);
            swarm.receive_until("the stream has begun", |bee| bee.received_bytes > 0 || bee.ended);
            swarm.reset();
        }
    });
}

#[test]
fn random_bytes() {
    storm("random bytes", |server| {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..500 {
            let bytes: Vec<u8> = (0..200)
                .map(|_| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    (seed >> 32) as u8
                })
                .collect();
            let mut client = server.client();
            // The server may have closed before all is sent; either is right.
            drop(client.send(&bytes));
            drop(client.finish());
            drop(client.take_all().unwrap_or_else(|fault| panic!("{bytes:?}: {fault}")));
        }
    });
}

// ---- many ----

#[test]
fn ten_thousand_idle_connections() {
    let _alone = heavy();
    need_descriptors(11_000);
    let server = Launch::demo().shards(1).start();
    survives(&server, "10,000 idle connections", |server| {
        let before = server.memory_bytes();
        let request = b"GET /user/x HTTP/1.1\r\nHost: it\r\n\r\n";
        let mut swarm = Swarm::connect(server.address, 10_000, request);
        swarm.receive_until("each is served once", |bee| bee.received.ends_with(b"\r\n\r\nx"));
        let each = server.memory_bytes().saturating_sub(before) / 10_000;
        assert!(each <= 1024, "{each} bytes of the server for an idle connection");
        assert_eq!(swarm.alive(), 10_000, "none is dropped");
    });
    let mut swarm = Swarm::connect(server.address, 10_000, b"");
    let mut last = server.client();
    assert_eq!(last.get("/user/x").unwrap().status, 200);
    let cpu = server.cpu_time();
    pause(Duration::from_secs(1));
    let spent = server.cpu_time() - cpu;
    assert!(spent < Duration::from_millis(20), "{spent:?} of CPU in a second of 10,000 idle ones");
    swarm.receive_for(Duration::ZERO);
    assert_eq!(swarm.alive(), 10_000);
    drop((swarm, last));
    server.stop();
}

#[test]
fn descriptor_limit_of_128_with_300_clients() {
    let _alone = heavy();
    let server = Launch::demo().shards(1).descriptors(128).start();
    warm_up(&server);
    let rest = Rest::of(&server);
    let shards = server.shards();
    for round in 0..3 {
        let request = b"GET /user/x HTTP/1.1\r\nHost: it\r\n\r\n";
        let mut swarm = Swarm::connect(server.address, 300, request);
        swarm.receive_for(Duration::from_millis(500));
        let served = swarm.bees.iter().filter(|bee| bee.received_bytes > 0).count();
        assert!(served > 20 && served < 300, "{served} of 300 were served with 128 descriptors");
        assert_eq!(swarm.alive(), 300, "whoever does not fit waits, and is not cut");
        let cpu = server.cpu_time();
        pause(Duration::from_secs(1));
        let spent = server.cpu_time() - cpu;
        assert!(
            spent < Duration::from_millis(300),
            "round {round}: {spent:?} of CPU in a second: it spins"
        );
        // The served ones leave, one after the other, until each of the others has had its turn.
        swarm.bees.retain(|bee| bee.received_bytes == 0);
        let deadline = Instant::now() + 2 * PATIENCE;
        while !swarm.bees.is_empty() {
            assert!(Instant::now() < deadline, "round {round}: {} wait", swarm.bees.len());
            swarm.receive_for(Duration::from_millis(20));
            swarm.bees.retain(|bee| bee.received_bytes == 0);
        }
        assert_eq!(server.client().get("/user/after").unwrap().text(), "after");
        rest.expect_again(&server, "too many clients");
    }
    assert_eq!(server.shards(), shards);
    server.stop();
}

#[test]
fn a_limit_of_ten_connections_with_fifty_clients_that_come_and_go() {
    let _alone = heavy();
    let server = Launch::demo().shards(1).set("limits.connections", "10").start();
    let request = b"GET /user/x HTTP/1.1\r\nHost: it\r\n\r\n";
    for round in 0..3 {
        let mut swarm = Swarm::connect(server.address, 60, request);
        swarm.receive_for(Duration::from_millis(300));
        let served = swarm.bees.iter().filter(|bee| bee.received_bytes > 0).count();
        assert_eq!(served, 10, "of 60 with room for 10");
        let cpu = server.cpu_time();
        pause(Duration::from_secs(1));
        let spent = server.cpu_time() - cpu;
        assert!(
            spent < Duration::from_millis(300),
            "round {round}: {spent:?} of CPU in a second: it spins"
        );
        // Whoever was served makes room for another.
        let deadline = Instant::now() + 2 * PATIENCE;
        while !swarm.bees.is_empty() {
            assert!(Instant::now() < deadline, "round {round}: {} hang", swarm.bees.len());
            swarm.bees.retain(|bee| bee.received_bytes == 0);
            swarm.receive_for(Duration::from_millis(5));
        }
        // And clients of a single request, all at once, through the same ten places.
        let close = b"GET /user/x HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n";
        let mut swarm = Swarm::connect(server.address, 200, close);
        swarm.receive_until("all have their answer", |bee| bee.ended);
        assert!(swarm.bees.iter().all(|bee| bee.received.ends_with(b"\r\n\r\nx")));
    }
    server.stop();
}

// ---- signals to a shard ----

#[test]
fn a_shard_that_is_stopped_and_continued() {
    let _alone = heavy();
    let server = Launch::demo().shards(1).start();
    warm_up(&server);
    let rest = Rest::of(&server);
    let shard = server.shards()[0].clone();
    let mut kept = server.client();
    assert_eq!(kept.get("/user/a").unwrap().status, 200);
    let mut sleeping = server.client();
    sleeping.send(b"GET /sleep/300 HTTP/1.1\r\nHost: it\r\n\r\n").unwrap();
    for _ in 0..3 {
        send_signal(shard.pid, Signal::STOP);
        wait_until("the shard is stopped", || proc::is_stopped(shard.pid));
        kept.send(b"GET /user/kept HTTP/1.1\r\nHost: it\r\n\r\n").unwrap();
        let mut fresh: Vec<Client> = (0..20).map(|_| server.client()).collect();
        for client in &mut fresh {
            client.send(b"GET /user/fresh HTTP/1.1\r\nHost: it\r\n\r\n").unwrap();
        }
        kept.expect_quiet(Duration::from_millis(500)).unwrap();
        send_signal(shard.pid, Signal::CONT);
        assert_eq!(kept.response(Asked::default()).unwrap().text(), "kept");
        for client in &mut fresh {
            assert_eq!(client.response(Asked::default()).unwrap().text(), "fresh");
        }
    }
    assert_eq!(sleeping.response(Asked::default()).unwrap().status, 200);
    drop((kept, sleeping));
    assert_eq!(server.shards(), [shard], "a stopped shard is not a dead one");
    rest.expect_again(&server, "stops");
    server.stop();
}

#[test]
fn signals_that_interrupt_system_calls_change_nothing() {
    let _alone = heavy();
    let server = Launch::demo().shards(1).start();
    let shard = server.shards()[0].clone();
    let report = light(&server, |_| {
        for _ in 0..500 {
            // Each pair interrupts whatever wait the shard is in.
            send_signal(shard.pid, Signal::STOP);
            send_signal(shard.pid, Signal::CONT);
            pause(Duration::from_millis(1));
        }
    });
    assert!(report.answered > 100, "{} answered", report.answered);
    assert_eq!(server.shards(), [shard]);
    server.stop();
}

#[test]
fn kill_9_of_a_shard_under_load_twenty_times() {
    let _alone = heavy();
    let count = std::thread::available_parallelism().map_or(1, |count| count.get().min(2));
    let server = Launch::demo().shards(count).start();
    warm_up(&server);
    let rest = Rest::of(&server);
    let clients = 8;
    let traffic = Traffic::start(server.address, clients, Style::Close);
    let mut deaths = vec![];
    for round in 0..20 {
        let victim = server.shards()[round % count].clone();
        let killed = Instant::now();
        send_signal(victim.pid, Signal::KILL);
        assert!(wait_for_exit(victim.pid, PATIENCE));
        deaths.push((killed, Instant::now()));
        wait_until("the shard is replaced", || {
            let now = server.shards();
            now.len() == count && now.iter().all(|shard| shard.pid != victim.pid)
        });
        pause(Duration::from_millis(30));
    }
    let report = traffic.finish();
    assert!(report.answered > 100, "{} answered", report.answered);
    let inside = |fault: &&Fault| {
        deaths.iter().any(|(killed, dead)| fault.began <= *dead && fault.ended >= *killed)
    };
    let (excused, others): (Vec<&Fault>, Vec<&Fault>) = report.faults.iter().partition(inside);
    assert!(others.is_empty(), "lost outside a dead shard: {:#?}", texts(&others));
    let refused: Vec<&Fault> = excused.iter().filter(|fault| fault.at_connect).copied().collect();
    assert!(refused.is_empty(), "refused while a shard is replaced: {:#?}", texts(&refused));
    assert!(excused.len() <= 20 * clients, "{} lost in 20 deaths", excused.len());
    println!("{} answered, {} lost with their shard", report.answered, excused.len());
    rest.expect_again(&server, "twenty deaths");
    wait_until("the dead are reaped", || proc::zombies(server.pid()).is_empty());
    server.stop();
}

#[test]
fn term_under_load_with_slow_downloads_loses_and_cuts_nothing() {
    let _alone = heavy();
    for round in 0..3 {
        let count = std::thread::available_parallelism().map_or(1, |count| count.get().min(2));
        let mut server = Launch::demo().shards(count).start();
        let target = "GET /stream?chunks=30&bytes=5000&gap_ms=50 HTTP/1.1\r\nHost: it\r\n\r\n";
        let mut downloads: Vec<Client> = (0..20).map(|_| server.client()).collect();
        for client in &mut downloads {
            client.send(target.as_bytes()).unwrap();
        }
        for client in &downloads {
            assert!(client.readable(PATIENCE), "the download has begun");
        }
        let short = Traffic::start(server.address, 6, Style::Close);
        let kept = Traffic::start(server.address, 4, Style::KeepAlive);
        pause(Duration::from_millis(100));
        server.signal(Signal::TERM);
        for (index, client) in downloads.iter_mut().enumerate() {
            let response = client.response(Asked::default());
            let response = response.unwrap_or_else(|fault| panic!("download {index}: {fault}"));
            assert_eq!(response.body.len(), 150_000, "download {index} was cut");
        }
        server.wait().expect_code(0);
        for (name, traffic) in [("short", short), ("kept", kept)] {
            wait_until("the clients are refused", || traffic.has_ended());
            let report = traffic.finish();
            assert!(report.answered > 0, "{name}: no request was answered before the stop");
            let lost: Vec<&Fault> =
                report.faults.iter().filter(|fault| !fault.at_connect).collect();
            assert!(lost.is_empty(), "round {round}, {name}, lost: {:#?}", texts(&lost));
        }
    }
}

fn texts<'a>(faults: &[&'a Fault]) -> Vec<&'a str> {
    faults.iter().map(|fault| fault.text.as_str()).collect()
}
