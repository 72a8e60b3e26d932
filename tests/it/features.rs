//! What the demo shows: streaming, events, back-pressure, async handlers, panics, dates, idleness.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::client::{Client, PATIENCE};
use crate::harness::response::{Asked, Framing, show};
use crate::harness::traffic::{Style, Traffic};
use crate::harness::{Launch, Server, heavy, pause, shared, wait_until};

/// The server that the harmless tests share.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    shared(&SERVER, || Launch::demo().shards(1))
}

/// Bytes that are no repetition of anything short, so that a lost or doubled piece shows.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes as u64).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Writes from another thread and counts what has gone out.
fn write_beside(mut stream: TcpStream, bytes: Vec<u8>, sent: Arc<AtomicUsize>) -> JoinHandle<()> {
    thread::spawn(move || {
        for piece in bytes.chunks(16 << 10) {
            stream.write_all(piece).expect("the server reads on");
            sent.fetch_add(piece.len(), Ordering::Relaxed);
        }
    })
}

fn echo_head(bytes: usize) -> Vec<u8> {
    format!("POST /echo HTTP/1.1\r\nHost: it\r\nContent-Length: {bytes}\r\n\r\n").into_bytes()
}

#[track_caller]
fn expect_same(found: &[u8], wanted: &[u8]) {
    assert_eq!(found.len(), wanted.len(), "length of the body");
    let at = found.iter().zip(wanted).position(|(found, wanted)| found != wanted);
    assert_eq!(at, None, "first byte that differs");
}

#[test]
fn echo_of_16_mib_while_both_directions_run() {
    let body = pattern(16 << 20);
    let mut client = server().client();
    client.send(&echo_head(body.len())).unwrap();
    let writer = write_beside(client.writer(), body.clone(), Arc::default());
    let response = client.response(Asked::default()).unwrap();
    writer.join().unwrap();
    expect_same(&response.body, &body);
    assert_eq!(client.get("/user/after").unwrap().text(), "after");
}

#[test]
fn echo_of_chunks_of_many_sizes() {
    let body = pattern(300_000);
    let mut bytes =
        b"POST /echo HTTP/1.1\r\nHost: it\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let mut rest = body.as_slice();
    for size in (1..).step_by(37) {
        let (piece, after) = rest.split_at(rest.len().min(size));
        bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    let mut client = server().client();
    let writer = write_beside(client.writer(), bytes, Arc::default());
    let response = client.response(Asked::default()).unwrap();
    writer.join().unwrap();
    expect_same(&response.body, &body);
    assert_eq!(client.get("/user/after").unwrap().text(), "after");
}

#[test]
fn a_client_that_sends_but_does_not_read_is_held_back_and_loses_nothing() {
    let _alone = heavy();
    let launch = Launch::demo().shards(1).set("limits.write-timeout", "120s");
    let server = launch.set("limits.body-timeout", "120s").start();
    let warm = [echo_head(1 << 20), pattern(1 << 20)].concat();
    assert_eq!(server.client().exchange(&warm).unwrap().status, 200);
    let before = server.memory_bytes();
    let body = pattern(16 << 20);
    let mut client = server.client();
    client.send(&echo_head(body.len())).unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let writer = write_beside(client.writer(), body.clone(), Arc::clone(&sent));
    expect_stall(&sent, body.len());
    let grown = server.memory_bytes().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes are held for one connection");
    let response = client.response(Asked::default()).unwrap();
    writer.join().unwrap();
    expect_same(&response.body, &body);
    server.stop();
}

/// The sender must come to a halt before everything is sent.
#[track_caller]
fn expect_stall(sent: &AtomicUsize, all: usize) {
    let mut last = usize::MAX;
    wait_until("the sender is held back", || {
        let now = sent.load(Ordering::Relaxed);
        pause(Duration::from_millis(300));
        std::mem::replace(&mut last, now) == now && now > 0
    });
    assert!(last < all, "all {all} bytes were taken although nobody reads the echo");
}

#[test]
fn a_stream_that_nobody_reads_is_not_produced_ahead() {
    let _alone = heavy();
    let server = Launch::demo().shards(1).set("limits.write-timeout", "120s").start();
    assert_eq!(server.client().get("/user/warm").unwrap().status, 200);
    let before = server.memory_bytes();
    let mut client = server.client();
    let target = "GET /stream?chunks=256&bytes=65536&gap_ms=0 HTTP/1.1\r\nHost: it\r\n\r\n";
    client.send(target.as_bytes()).unwrap();
    assert!(client.readable(PATIENCE), "the stream has begun");
    let cpu = server.cpu_time();
    pause(Duration::from_millis(500));
    let spent = server.cpu_time() - cpu;
    assert!(spent < Duration::from_millis(250), "{spent:?} of CPU for a stream that stands still");
    let grown = server.memory_bytes().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes are held for one connection");
    let response = client.response(Asked::default()).unwrap();
    assert_eq!(response.body.len(), 16 << 20);
    server.stop();
}

#[test]
fn a_stream_is_chunked_and_complete() {
    let mut client = server().client();
    for (chunks, bytes, gap) in [(1, 1, 0), (10, 1000, 0), (3, 100_000, 5), (100, 10, 1)] {
        let target = format!("/stream?chunks={chunks}&bytes={bytes}&gap_ms={gap}");
        let response = client.get(&target).unwrap();
        assert_eq!(response.framing, Framing::Chunked, "{target}");
        assert_eq!(response.body.len(), chunks * bytes, "{target}");
        assert!(response.chunks > 0, "{target}");
    }
}

#[test]
fn a_chunk_is_sent_when_it_is_made_and_not_at_the_end() {
    let mut client = server().client();
    let request = "GET /stream?chunks=2&bytes=10&gap_ms=3000 HTTP/1.1\r\nHost: it\r\n\r\n";
    client.send(request.as_bytes()).unwrap();
    let mut seen = client.take_raw(1).unwrap();
    while !String::from_utf8_lossy(&seen).contains("\r\n\r\na\r\n") {
        seen.extend(client.take_raw(1).unwrap());
    }
    assert!(!seen.ends_with(b"0\r\n\r\n"), "the end came with the first chunk");
}

#[test]
fn events_come_as_an_event_stream() {
    let mut client = server().client();
    client.send(b"GET /events HTTP/1.1\r\nHost: it\r\nAccept: text/event-stream\r\n\r\n").unwrap();
    let mut seen = String::new();
    while seen.matches("data:").count() < 2 {
        seen += &String::from_utf8_lossy(&client.take_raw(1).unwrap());
    }
    let head = seen.to_lowercase();
    assert!(head.starts_with("http/1.1 200 "), "{seen}");
    assert!(head.contains("content-type: text/event-stream"), "{seen}");
    assert!(head.contains("cache-control: no-"), "an event stream is not to be cached: {seen}");
    client.reset();
}

#[test]
fn silence_between_events_is_filled_with_comments() {
    let server = Launch::demo().shards(1).start();
    let mut client = server.client();
    client.send(b"GET /events?gap_ms=60000 HTTP/1.1\r\nHost: it\r\n\r\n").unwrap();
    // A comment is a line that begins with a colon; proxies cut what is silent for a minute.
    let mut seen = client.take_raw(1).unwrap();
    while !String::from_utf8_lossy(&seen).contains("\n:") {
        assert!(client.readable(Duration::from_secs(50)), "silence after {}", show(&seen));
        seen.extend(client.take_raw(1).unwrap());
    }
    assert_eq!(String::from_utf8_lossy(&seen).matches("data:").count(), 1, "{}", show(&seen));
    // A stream without end would hold up the stop for the whole grace.
    client.reset();
    server.stop();
}

#[test]
fn a_panic_costs_its_request_and_nothing_else() {
    let server = Launch::demo().shards(1).start();
    let shards = server.shards();
    let mut kept = server.client();
    assert_eq!(kept.get("/user/a").unwrap().status, 200);
    for _ in 0..5 {
        assert_eq!(server.client().get("/panic").unwrap().status, 500);
    }
    assert_eq!(kept.get("/user/b").unwrap().text(), "b", "other connections live");
    assert_eq!(server.shards(), shards, "the shard lives");
    wait_until("the log names the place", || server.stderr().contains("src/demo"));
    let body = server.client().get("/panic").unwrap().text();
    assert!(!body.contains("src/"), "the place is for the log, not for the client: {body}");
    server.stop();
}

#[test]
fn a_handler_whose_client_has_gone_is_cancelled() {
    // A stop waits for what runs, here for 30 s, which is longer than this test waits for the end.
    let launch = Launch::demo().shards(1).set("limits.handler-timeout", "600s");
    let mut server = launch.set("shutdown.grace", "600s").start();
    for _ in 0..20 {
        let mut client = server.client();
        client.send(b"GET /sleep/30000 HTTP/1.1\r\nHost: it\r\n\r\n").unwrap();
        // Behind this answer of another connection the first one has been read or will be reset.
        assert_eq!(server.client().get("/user/x").unwrap().status, 200);
        client.reset();
    }
    server.signal(Signal::TERM);
    server.wait().expect_code(0);
}

#[test]
fn a_stream_whose_client_has_gone_is_cancelled() {
    let mut server = Launch::demo().shards(1).set("shutdown.grace", "600s").start();
    for _ in 0..20 {
        let mut client = server.client();
        let request = "GET /stream?chunks=100000&bytes=10&gap_ms=50 HTTP/1.1\r\nHost: it\r\n\r\n";
        client.send(request.as_bytes()).unwrap();
        assert!(client.readable(PATIENCE), "the stream has begun");
        client.reset();
    }
    server.signal(Signal::TERM);
    server.wait().expect_code(0);
}

#[test]
fn the_date_goes_on() {
    let mut client = server().client();
    let date = |client: &mut Client| client.get("/plaintext").unwrap().field("date").unwrap();
    let first = date(&mut client);
    let start = httpdate::parse_http_date(&first).unwrap();
    wait_until("the date changes", || date(&mut client) != first);
    let later = httpdate::parse_http_date(&date(&mut client)).unwrap();
    assert!(later > start, "time goes forward");
    let now = std::time::SystemTime::now();
    let apart = now.duration_since(later).unwrap_or_else(|error| error.duration());
    assert!(apart < Duration::from_secs(20), "{apart:?} from the clock of the machine");
}

#[test]
fn the_date_is_right_after_a_long_sleep() {
    let server = Launch::demo().shards(1).start();
    assert_eq!(server.client().get("/plaintext").unwrap().status, 200);
    pause(Duration::from_millis(2500));
    let response = server.client().get("/plaintext").unwrap();
    let date = httpdate::parse_http_date(&response.field("date").unwrap()).unwrap();
    let behind = std::time::SystemTime::now().duration_since(date).unwrap_or_default();
    assert!(behind < Duration::from_millis(2200), "the first answer is {behind:?} behind");
    server.stop();
}

#[test]
fn idle_costs_nothing() {
    let _alone = heavy();
    let server = Launch::demo().shards(1).start();
    let mut client = server.client();
    assert_eq!(client.get("/user/a").unwrap().status, 200);
    assert_eq!(client.get("/sleep/1").unwrap().status, 200);
    let before = server.cpu_time();
    client.expect_quiet(Duration::from_secs(2)).unwrap();
    let spent = server.cpu_time() - before;
    assert!(spent < Duration::from_millis(10), "{spent:?} of CPU in two idle seconds");
    server.stop();
}

#[test]
fn async_handlers_are_answered_beside_a_busy_network() {
    let _alone = heavy();
    let server = Launch::demo().shards(1).start();
    let traffic = Traffic::start(server.address, 4, Style::KeepAlive);
    let sleepers: Vec<_> = (0..32)
        .map(|index| {
            let mut client = server.client();
            thread::spawn(move || {
                for turn in 0..20 {
                    let target = format!("/sleep/{}", 1 + (index + turn) % 7);
                    assert_eq!(client.get(&target).unwrap().status, 200);
                }
            })
        })
        .collect();
    for sleeper in sleepers {
        sleeper.join().unwrap();
    }
    traffic.finish().expect_all_answered();
    server.stop();
}

#[test]
fn a_sleep_is_not_shorter_than_asked_for() {
    let mut client = server().client();
    let start = std::time::Instant::now();
    assert_eq!(client.get("/sleep/300").unwrap().status, 200);
    assert!(start.elapsed() >= Duration::from_millis(299), "{:?}", start.elapsed());
}

#[test]
fn many_sleep_at_once() {
    let clients: Vec<_> = (0..200)
        .map(|_| {
            let mut client = server().client();
            client.send(b"GET /sleep/500 HTTP/1.1\r\nHost: it\r\n\r\n").unwrap();
            client
        })
        .collect();
    // One after the other they would take 100 s, five times what a read may take.
    for mut client in clients {
        assert_eq!(client.response(Asked::default()).unwrap().status, 200);
    }
}

#[test]
fn parameters_of_the_demo_routes_are_checked() {
    let mut client = server().client();
    for target in ["/sleep/abc", "/sleep/-1", "/sleep/99999999999999999999", "/stream?chunks=x"] {
        let status = client.get(target).unwrap().status;
        assert!((400..500).contains(&status), "{target}: {status}");
        client = server().client();
    }
}

#[test]
fn the_page_links_to_every_route() {
    let page = server().client().get("/").unwrap();
    for route in
        ["/plaintext", "/json", "/user/", "/echo", "/sleep/", "/stream", "/events", "/panic"]
    {
        assert!(page.text().contains(route), "{route} is not on the page");
    }
}

#[test]
fn json_is_json() {
    let response = server().client().get("/json").unwrap();
    let value: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    assert!(value.is_object(), "{value}");
}
