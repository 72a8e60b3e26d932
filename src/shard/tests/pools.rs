//! Requests that run in workers, from the client's side.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ::http::Method;

use super::worker::{Pool, TestWorker};
use super::*;
use crate::handler::offload;
use crate::shard::{PoolSettings, PoolSetup, QueueWait};
use crate::sys::poll::wait_readable;

const SETTINGS: PoolSettings = PoolSettings {
    queue: 4,
    queue_wait: QueueWait::Auto,
    timeout: Duration::from_secs(60),
    idle: Duration::from_secs(60),
    cancel_on_disconnect: true,
    cancel_on_half_close: true,
    spin: Duration::from_micros(25),
};

fn plain(_: &Request) -> &'static str {
    unreachable!("it runs in workers only")
}

async fn awaited(_: Request) -> &'static str {
    unreachable!("it runs in workers only")
}

fn routes() -> Routes {
    Routes::new()
        .get("/hello", hello)
        .get("/plain", offload("cpu", plain))
        .get("/again", offload("cpu", plain).retry())
        .get("/short", offload("cpu", plain).timeout(Duration::from_millis(100)))
        .get("/nowhere", offload("gpu", plain))
        .on(Method::POST, "/plain", offload("cpu", plain))
        .on(Method::POST, "/async", offload("cpu", awaited))
}

/// A shard with a pool and its workers.
struct Served {
    shard: Running,
    pool: Pool,
    workers: Vec<TestWorker>,
}

impl Served {
    fn start(workers: u8) -> Self {
        Self::with(workers, 64, HttpLimits::default(), SETTINGS)
    }

    fn with(workers: u8, slots: u32, limits: HttpLimits, settings: PoolSettings) -> Self {
        let pool = Pool::new(slots);
        let setup =
            PoolSetup { name: "cpu".to_owned(), region: Arc::clone(&pool.region), settings };
        let shard = Running::start_with_pools(limits, vec![setup], routes);
        let workers = (0..workers).map(|index| pool.start(index)).collect();
        Self { shard, pool, workers }
    }

    /// Wait until so many jobs have begun.
    fn wait_started(&self, jobs: usize) {
        wait_for("jobs do not begin", || self.pool.told.started() >= jobs);
    }

    fn finish(self) {
        assert!(matches!(self.shard.finish(), End::Drained));
        self.pool.stop(self.workers);
    }
}

#[track_caller]
fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "{what}");
        std::thread::yield_now();
    }
}

fn get(stream: &mut TcpStream, target: &str) {
    write!(stream, "GET {target} HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
}

fn post(stream: &mut TcpStream, target: &str, body: &[u8]) {
    let bytes = body.len();
    let head = format!("POST {target} HTTP/1.1\r\nHost: t\r\nContent-Length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// An answer: its head and its body, however that is framed; trailers are appended to the head.
fn read(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut head = read_head(stream);
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    if let Some(length) = length {
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        return (head, body);
    }
    assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        let size = usize::from_str_radix(str::from_utf8(&line).unwrap().trim_end(), 16).unwrap();
        if size == 0 {
            break;
        }
        let at = body.len();
        body.resize(at + size + 2, 0);
        stream.read_exact(&mut body[at..]).unwrap();
        body.truncate(at + size);
    }
    let mut end = Vec::new();
    while !(end == b"\r\n" || end.ends_with(b"\r\n\r\n")) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        end.push(byte[0]);
    }
    head.push_str(str::from_utf8(&end).unwrap());
    (head, body)
}

fn status(head: &str) -> &str {
    &head["HTTP/1.1 ".len()..][..3]
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn plus_one(body: &[u8]) -> Vec<u8> {
    body.iter().map(|byte| byte.wrapping_add(1)).collect()
}

#[test]
fn a_request_runs_in_a_worker_and_its_answer_comes_back() {
    let served = Served::start(1);
    let mut stream = served.shard.connect();
    for _ in 0..50 {
        get(&mut stream, "/plain?bytes=5");
        let (head, body) = read(&mut stream);
        assert_eq!((status(&head), &body[..]), ("200", &b"xxxxx"[..]), "{head}");
        assert!(head.contains("Content-Type: text/x-test"), "{head}");
        assert!(head.to_ascii_lowercase().contains("x-by: worker"), "{head}");
        assert!(ask(&mut stream, "/hello").ends_with("hello"));
    }
    write!(stream, "HEAD /plain?bytes=7 HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    assert!(read_head(&mut stream).contains("Content-Length: 7"));
    served.finish();
}

#[test]
fn without_its_pool_a_route_is_unavailable() {
    let served = Served::start(0);
    let mut stream = served.shard.connect();
    get(&mut stream, "/nowhere?bytes=1");
    let (head, _) = read(&mut stream);
    assert!(status(&head) == "503" && head.to_ascii_lowercase().contains("retry-after: 1"));
    assert!(ask(&mut stream, "/hello").ends_with("hello"));
    served.finish();
}

#[test]
fn bodies_of_all_borders_go_there_and_back() {
    const SLOT: usize = 4096;
    const BLOCK: usize = 64 << 10;
    let served = Served::start(1);
    let mut stream = served.shard.connect();
    let all = SLOT + 15 * BLOCK;
    for target in ["/plain?echo", "/async?echo"] {
        for border in [0, SLOT, SLOT + BLOCK, all, 2 << 20] {
            for bytes in [border.saturating_sub(150), border.saturating_sub(1), border, border + 1]
            {
                let body = content(bytes);
                let mut writer = stream.try_clone().unwrap();
                let sent = body.clone();
                let sends = std::thread::spawn(move || post(&mut writer, target, &sent));
                let (head, back) = read(&mut stream);
                sends.join().unwrap();
                assert_eq!(status(&head), "200", "{target} {bytes}: {head}");
                assert!(back == plus_one(&body), "{target}: {bytes} bytes came back changed");
            }
        }
    }
    served.finish();
}

#[test]
fn answers_of_all_sizes_are_whole() {
    let served = Served::start(1);
    let mut stream = served.shard.connect();
    for bytes in [0, 1, 4000, 16_383, 16_384, 16_385, 70_000, 1_000_000, 1_060_000, 10 << 20] {
        get(&mut stream, &format!("/plain?bytes={bytes}"));
        let (head, body) = read(&mut stream);
        assert_eq!((status(&head), body.len()), ("200", bytes), "{head}");
        assert!(body.iter().all(|byte| *byte == b'x'));
    }
    // Pipelined behind a large one, and to a client that wants no body.
    get(&mut stream, "/plain?bytes=900000");
    get(&mut stream, "/hello");
    assert_eq!(read(&mut stream).1.len(), 900_000);
    assert_eq!(read(&mut stream).1, b"hello");
    write!(stream, "HEAD /plain?bytes=900000 HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
    assert!(read_head(&mut stream).contains("Content-Length: 900000"));
    assert!(ask(&mut stream, "/hello").ends_with("hello"));
    served.finish();
}

#[test]
fn streams_arrive_with_their_trailers() {
    let served = Served::start(1);
    let mut stream = served.shard.connect();
    for (pieces, bytes) in [(0, 1), (1, 1), (9, 100), (100, 1000), (40, 65_536), (3, 200_000)] {
        get(&mut stream, &format!("/plain?stream={pieces}x{bytes}"));
        let (head, body) = read(&mut stream);
        assert_eq!(body.len(), pieces * bytes, "{head}");
        assert!(head.to_ascii_lowercase().contains("x-last: yes"), "{head}");
    }
    served.finish();
}

#[test]
fn an_upload_goes_on_while_its_answer_comes() {
    let served = Served::start(1);
    let mut stream = served.shard.connect();
    write!(stream, "POST /async?echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    let head = read_head(&mut stream);
    assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
    for byte in b'a'..=b'z' {
        write!(stream, "1\r\n{}\r\n", byte as char).unwrap();
        let mut back = [0; 6];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, [b'1', b'\r', b'\n', byte + 1, b'\r', b'\n']);
    }
    write!(stream, "0\r\n\r\n").unwrap();
    let mut end = [0; 5];
    stream.read_exact(&mut end).unwrap();
    assert_eq!(&end, b"0\r\n\r\n");
    assert!(ask(&mut stream, "/hello").ends_with("hello"));
    served.finish();
}

#[test]
fn continue_is_said_when_a_worker_may_have_the_body() {
    let served = Served::start(1);
    for target in ["/plain?echo", "/async?echo"] {
        let mut stream = served.shard.connect();
        let fields = "Host: t\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
        write!(stream, "POST {target} HTTP/1.1\r\n{fields}").unwrap();
        assert_eq!(read_head(&mut stream), "HTTP/1.1 100 Continue\r\n\r\n", "{target}");
        stream.write_all(b"body").unwrap();
        assert_eq!(read(&mut stream).1, b"cpez", "{target}");
    }
    served.finish();
}

#[test]
fn an_early_answer_ends_the_upload() {
    let served = Served::start(1);
    let mut stream = served.shard.connect();
    write!(stream, "POST /async?refuse HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\nabc")
        .unwrap();
    let (head, body) = read(&mut stream);
    assert_eq!((status(&head), &body[..]), ("403", &b"no"[..]));
    // The rest is short and thrown away; the connection goes on.
    stream.write_all(&[b'x'; 997]).unwrap();
    assert!(ask(&mut stream, "/hello").ends_with("hello"));
    served.finish();
}

#[test]
fn slow_senders_hold_no_worker() {
    let served = Served::with(1, 128, HttpLimits::default(), SETTINGS);
    let mut slow: Vec<TcpStream> = (0..100).map(|_| served.shard.connect()).collect();
    for stream in &mut slow {
        write!(stream, "POST /plain?echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\na")
            .unwrap();
    }
    let mut stream = served.shard.connect();
    get(&mut stream, "/plain?bytes=3");
    assert_eq!(read(&mut stream).1, b"xxx");
    assert_eq!(served.pool.told.started(), 1, "no request whose body is not there");
    for stream in &mut slow {
        stream.write_all(b"bc").unwrap();
    }
    for stream in &mut slow {
        assert_eq!(read(stream).1, b"bcd");
    }
    served.finish();
}

/// Nobody waits for clients that do not read: neither the shard nor the worker, nor does what is
/// kept for them grow with them.
#[test]
fn slow_readers_hold_up_nobody() {
    let served = Served::with(2, 128, HttpLimits::default(), SETTINGS);
    let slow = (0..100).map(|number| {
        let mut stream = served.shard.connect();
        // Whole answers, and streams.
        let (what, bytes) = match number % 2 {
            0 => ("bytes=1000000", 1_000_000),
            _ => ("stream=160x65536", 160 * 65_536),
        };
        get(&mut stream, &format!("/plain?{what}"));
        (stream, bytes)
    });
    let slow: Vec<(TcpStream, usize)> = slow.collect();
    served.wait_started(100);
    let before = resident_bytes();
    let mut stream = served.shard.connect();
    for _ in 0..20 {
        for bytes in [100, 200_000] {
            get(&mut stream, &format!("/plain?bytes={bytes}"));
            assert_eq!(read(&mut stream).1.len(), bytes);
        }
        // Nor do streams that are read wait for those that are not.
        get(&mut stream, "/plain?stream=2x65536");
        assert_eq!(read(&mut stream).1.len(), 2 * 65_536);
        assert!(ask(&mut stream, "/hello").ends_with("hello"));
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more while nobody reads");
    let readers = slow.into_iter().map(|(mut stream, bytes)| {
        std::thread::spawn(move || assert_eq!(read(&mut stream).1.len(), bytes))
    });
    let readers: Vec<_> = readers.collect();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    served.finish();
}

/// What this process has in memory.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn a_client_that_leaves_takes_its_job_along() {
    let served = Served::start(1);
    let mut gone = served.shard.connect();
    get(&mut gone, "/plain?hold");
    served.wait_started(1);
    crate::sys::socket::discard_on_close(gone.as_fd()).unwrap();
    drop(gone);
    wait_for("the worker is not told", || served.pool.told.withdrawn.load(Ordering::SeqCst) == 1);
    let mut stream = served.shard.connect();
    get(&mut stream, "/plain?bytes=3");
    assert_eq!(read(&mut stream).1, b"xxx");
    served.finish();
}

#[test]
fn a_client_that_leaves_in_mid_stream_ends_it() {
    let served = Served::start(1);
    let mut gone = served.shard.connect();
    get(&mut gone, "/plain?begin=1000");
    read_head(&mut gone);
    crate::sys::socket::discard_on_close(gone.as_fd()).unwrap();
    drop(gone);
    wait_for("the worker is not told", || served.pool.told.withdrawn.load(Ordering::SeqCst) == 1);
    served.finish();
}

#[test]
fn what_waits_for_a_client_that_left_never_starts() {
    let served = Served::with(0, 2, HttpLimits::default(), SETTINGS);
    let mut gone: Vec<TcpStream> = (0..5).map(|_| served.shard.connect()).collect();
    for stream in &mut gone {
        get(stream, "/plain?bytes=1");
    }
    let mut stays = served.shard.connect();
    get(&mut stays, "/plain?bytes=2");
    // It is the last of the queue: behind it nobody has room.
    let mut more = served.shard.connect();
    get(&mut more, "/plain?bytes=3");
    let (head, _) = read(&mut more);
    assert_eq!(status(&head), "503", "{head}");
    for stream in gone {
        crate::sys::socket::discard_on_close(stream.as_fd()).unwrap();
    }
    assert!(ask(&mut served.shard.connect(), "/hello").ends_with("hello"));
    let mut served = served;
    served.workers.push(served.pool.start(0));
    assert_eq!(read(&mut stays).1, b"xx");
    assert_eq!(*served.pool.told.started.lock().unwrap(), ["bytes=2"]);
    served.finish();
}

#[test]
fn a_half_closed_client_counts_as_one_that_left() {
    let served = Served::start(1);
    let mut stream = served.shard.connect();
    get(&mut stream, "/hello");
    get(&mut stream, "/plain?hold");
    served.wait_started(1);
    stream.shutdown(Shutdown::Write).unwrap();
    let mut all = String::new();
    stream.read_to_string(&mut all).unwrap();
    assert!(all.ends_with("hello"), "what was answered before arrives, and nothing more: {all}");
    wait_for("the worker is not told", || served.pool.told.withdrawn.load(Ordering::SeqCst) == 1);
    served.finish();
}

/// Also when it left before its job could begin.
#[test]
fn a_job_behind_another_answer_is_not_begun_for_a_half_closed_client() {
    async fn later(_: Request) -> Response {
        executor::sleep(Duration::from_millis(500)).await;
        Response::fixed("later")
    }
    let pool = Pool::new(64);
    let region = Arc::clone(&pool.region);
    let setup = PoolSetup { name: "cpu".to_owned(), region, settings: SETTINGS };
    let routes = || routes().get("/later", task(later));
    let shard = Running::start_with_pools(HttpLimits::default(), vec![setup], routes);
    let workers = vec![pool.start(0)];
    let mut stream = shard.connect();
    get(&mut stream, "/later");
    get(&mut stream, "/plain?hold");
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read(&mut stream).1, b"later");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(String::from_utf8_lossy(&rest), "");
    assert!(matches!(shard.finish(), End::Drained));
    pool.stop(workers);
}

#[test]
fn a_half_closed_client_is_answered_where_the_pool_says_so() {
    let settings = PoolSettings { cancel_on_half_close: false, ..SETTINGS };
    let served = Served::with(1, 64, HttpLimits::default(), settings);
    for what in ["bytes=300000", "stream=5x1000"] {
        let mut stream = served.shard.connect();
        get(&mut stream, &format!("/plain?{what}"));
        stream.shutdown(Shutdown::Write).unwrap();
        let (head, body) = read(&mut stream);
        assert_eq!(status(&head), "200");
        assert!(body.len() >= 5000);
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    }
    served.finish();
}

#[test]
fn a_job_outlives_its_client_where_the_pool_says_so() {
    let settings = PoolSettings { cancel_on_disconnect: false, ..SETTINGS };
    let served = Served::with(1, 64, HttpLimits::default(), settings);
    for (what, number) in [("hold", 1), ("stream=100x65536", 2), ("bytes=900000", 3)] {
        let mut gone = served.shard.connect();
        get(&mut gone, &format!("/plain?{what}"));
        served.wait_started(number);
        crate::sys::socket::discard_on_close(gone.as_fd()).unwrap();
    }
    served.pool.told.release(1);
    let mut stream = served.shard.connect();
    for _ in 0..10 {
        get(&mut stream, "/plain?bytes=900000");
        assert_eq!(read(&mut stream).1.len(), 900_000, "all blocks are there again");
    }
    assert_eq!(served.pool.told.withdrawn.load(Ordering::SeqCst), 0);
    served.finish();
}

#[test]
fn a_worker_that_takes_too_long_is_not_waited_for() {
    let served = Served::start(1);
    let mut stream = served.shard.connect();
    get(&mut stream, "/short?hold");
    let (head, _) = read(&mut stream);
    assert_eq!(status(&head), "504", "{head}");
    wait_for("the worker is not told", || served.pool.told.withdrawn.load(Ordering::SeqCst) == 1);
    assert!(ask(&mut stream, "/hello").ends_with("hello"), "the connection goes on");
    served.finish();
}

/// Its own body has other deadlines, and while it comes the worker has nothing to answer.
#[test]
fn a_slow_sender_does_not_use_up_the_time_of_its_worker() {
    let settings = PoolSettings { timeout: Duration::from_secs(3), ..SETTINGS };
    let served = Served::with(1, 64, HttpLimits::default(), settings);
    let mut stream = served.shard.connect();
    write!(stream, "POST /async?hold HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    for _ in 0..7 {
        stream.write_all(b"1\r\nx\r\n").unwrap();
        let answered = wait_readable(&[stream.as_fd()], Some(Duration::from_millis(600))).unwrap();
        assert_eq!(answered, [false], "the worker has its time anew with each piece");
    }
    served.pool.told.release(1);
    assert_eq!(read(&mut stream).1, b"held");
    // Who sends nothing more has the time of everybody.
    let mut stream = served.shard.connect();
    write!(stream, "POST /async?hold HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nx").unwrap();
    assert_eq!(status(&read(&mut stream).0), "504");
    served.finish();
}

/// Only the pool's time counts for its requests.
#[test]
fn the_time_for_handlers_of_the_shard_is_not_for_workers() {
    let limits = HttpLimits { handler_timeout: Duration::from_millis(50), ..HttpLimits::default() };
    let served = Served::with(1, 64, limits, SETTINGS);
    let mut stream = served.shard.connect();
    get(&mut stream, "/plain?hold");
    served.wait_started(1);
    // Four times as long as a handler of the shard has.
    let mut other = served.shard.connect();
    let until = Instant::now() + Duration::from_millis(200);
    while Instant::now() < until {
        assert!(ask(&mut other, "/hello").ends_with("hello"));
    }
    served.pool.told.release(1);
    assert_eq!(read(&mut stream).1, b"held");
    served.finish();
}

#[test]
fn a_silent_stream_is_cut() {
    let settings = PoolSettings { idle: Duration::from_millis(200), ..SETTINGS };
    let served = Served::with(1, 64, HttpLimits::default(), settings);
    let mut stream = served.shard.connect();
    get(&mut stream, "/plain?begin=1000");
    let mut all = Vec::new();
    let _reset = stream.read_to_end(&mut all);
    let text = String::from_utf8_lossy(&all);
    assert!(text.contains("200 OK") && !text.contains("\r\n0\r\n"), "{text}");
    wait_for("the worker is not told", || served.pool.told.withdrawn.load(Ordering::SeqCst) == 1);
    served.finish();
}

#[test]
fn what_no_worker_begins_in_time_is_refused() {
    let wait = QueueWait::Fixed(Duration::from_millis(100));
    let settings = PoolSettings { queue_wait: wait, ..SETTINGS };
    let mut served = Served::with(0, 2, HttpLimits::default(), settings);
    // Two in slots, two behind them.
    let mut streams: Vec<TcpStream> = (0..4).map(|_| served.shard.connect()).collect();
    for stream in &mut streams {
        get(stream, "/plain?bytes=1");
    }
    for stream in &mut streams {
        let (head, _) = read(stream);
        assert_eq!(status(&head), "503", "{head}");
        assert!(head.to_ascii_lowercase().contains("retry-after: 1\r\n"), "{head}");
        assert!(ask(stream, "/hello").ends_with("hello"));
    }
    served.workers.push(served.pool.start(0));
    // Their slots are free again.
    get(&mut streams[0], "/plain?bytes=2");
    assert_eq!(read(&mut streams[0]).1, b"xx");
    assert_eq!(*served.pool.told.started.lock().unwrap(), ["bytes=2"]);
    served.finish();
}

#[test]
fn jobs_behind_the_slots_follow_in_order() {
    let served = Served::with(1, 2, HttpLimits::default(), SETTINGS);
    let mut streams: Vec<TcpStream> = (0..6).map(|_| served.shard.connect()).collect();
    for stream in &mut streams[..2] {
        get(stream, "/plain?hold");
    }
    served.wait_started(2);
    for (stream, number) in streams[2..].iter_mut().zip(1..) {
        // The second one comes in pieces, and all of them have a body.
        let target = if number == 2 { "/async?echo" } else { "/plain?echo" };
        post(stream, target, &content(number * 3000));
        assert!(ask(&mut served.shard.connect(), "/hello").ends_with("hello"));
    }
    assert_eq!(served.pool.told.started(), 2);
    served.pool.told.release(2);
    for stream in &mut streams[..2] {
        assert_eq!(read(stream).1, b"held");
    }
    for (stream, number) in streams[2..].iter_mut().zip(1..) {
        assert!(read(stream).1 == plus_one(&content(number * 3000)));
    }
    served.finish();
}

#[test]
fn a_worker_that_dies_loses_its_own_request() {
    let mut served = Served::start(1);
    let mut stream = served.shard.connect();
    get(&mut stream, "/plain?die");
    let mut other = served.shard.connect();
    served.wait_started(1);
    // No worker has begun it: the next one gets it.
    get(&mut other, "/plain?bytes=3");
    let dead = served.workers.pop().unwrap();
    served.pool.bury(dead);
    let (head, _) = read(&mut stream);
    assert_eq!(status(&head), "502", "{head}");
    assert!(ask(&mut stream, "/hello").ends_with("hello"));
    served.workers.push(served.pool.start(0));
    assert_eq!(read(&mut other).1, b"xxx");
    served.finish();
}

#[test]
fn a_request_that_may_be_repeated_is_given_to_the_next_worker_once() {
    let mut served = Served::start(1);
    let mut stream = served.shard.connect();
    get(&mut stream, "/again?die");
    for jobs in 1..=2 {
        served.wait_started(jobs);
        let dead = served.workers.pop().unwrap();
        served.pool.bury(dead);
        served.workers.push(served.pool.start(0));
    }
    let (head, _) = read(&mut stream);
    assert_eq!(status(&head), "502", "{head}");
    assert_eq!(served.pool.told.started(), 2);
    served.finish();
}

#[test]
fn a_stream_whose_worker_dies_is_cut() {
    let mut served = Served::start(1);
    let mut stream = served.shard.connect();
    get(&mut stream, "/plain?begin=1000");
    let head = read_head(&mut stream);
    assert_eq!(status(&head), "200");
    let mut other = served.shard.connect();
    get(&mut other, "/plain?die");
    let dead = served.workers.pop().unwrap();
    served.pool.bury(dead);
    let mut rest = Vec::new();
    let _reset = stream.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("\r\n0\r\n"));
    assert_eq!(status(&read(&mut other).0), "502");
    served.finish();
}

#[test]
fn an_answer_that_is_none_is_502_and_its_worker_is_named() {
    let served = Served::start(1);
    let mut stream = served.shard.connect();
    get(&mut stream, "/plain?garbage");
    assert_eq!(status(&read(&mut stream).0), "502");
    assert_eq!(served.shard.hear(), FromChild::WorkerBroken { pool: 0, worker: 0, incarnation: 1 });
    get(&mut stream, "/plain?bytes=3");
    assert_eq!(read(&mut stream).1, b"xxx");
    served.finish();
}

#[test]
fn a_head_that_no_worker_is_given_is_refused() {
    let limits = HttpLimits { header_bytes: 800 << 10, ..HttpLimits::default() };
    let served = Served::with(1, 64, limits, SETTINGS);
    let mut stream = served.shard.connect();
    for (bytes, expected) in [(100 << 10, "200"), (700 << 10, "431")] {
        let fill = "v".repeat(bytes);
        write!(stream, "GET /plain?bytes=1 HTTP/1.1\r\nHost: t\r\nX: {fill}\r\n\r\n").unwrap();
        assert_eq!(status(&read(&mut stream).0), expected);
    }
    served.finish();
}

#[test]
fn a_shard_that_leaves_finishes_its_jobs() {
    let served = Served::start(1);
    let mut stream = served.shard.connect();
    get(&mut stream, "/plain?hold");
    let mut streamed = served.shard.connect();
    get(&mut streamed, "/plain?stream=100x65536");
    served.wait_started(2);
    served.shard.drain(Duration::from_secs(20));
    assert_eq!(served.shard.hear(), FromChild::AcceptClosed);
    assert_eq!(read(&mut streamed).1.len(), 100 * 65_536);
    served.pool.told.release(1);
    let (head, body) = read(&mut stream);
    assert!(head.contains("Connection: close"), "{head}");
    assert_eq!(body, b"held");
    assert!(matches!(served.shard.thread.join().unwrap().unwrap(), End::Drained));
    served.pool.stop(served.workers);
}

#[test]
fn a_shard_whose_time_is_over_takes_its_jobs_back() {
    let settings = PoolSettings { cancel_on_disconnect: false, ..SETTINGS };
    let served = Served::with(1, 64, HttpLimits::default(), settings);
    let mut stream = served.shard.connect();
    get(&mut stream, "/plain?hold");
    served.wait_started(1);
    served.shard.drain(Duration::from_millis(100));
    assert_eq!(served.shard.hear(), FromChild::AcceptClosed);
    assert!(matches!(served.shard.thread.join().unwrap().unwrap(), End::Drained));
    wait_for("the worker is not told", || served.pool.told.withdrawn.load(Ordering::SeqCst) == 1);
    served.pool.stop(served.workers);
}

/// Trap 2 of the executor, and doorbells: with tasks alive the shard sleeps through glommio, and
/// answers of workers wake it there, too.
#[test]
fn answers_arrive_beside_tasks() {
    async fn long(_: Request) -> Response {
        executor::sleep(Duration::from_secs(600)).await;
        Response::fixed("never")
    }
    let pool = Pool::new(64);
    let region = Arc::clone(&pool.region);
    // So long that only a doorbell explains an answer.
    let setup = PoolSetup { name: "cpu".to_owned(), region, settings: SETTINGS };
    let shard = Running::start_with_pools(HttpLimits::default(), vec![setup], || {
        let company = |_: &Request| Response::text(executor::has_company().to_string());
        routes().get("/long", task(long)).get("/company", company)
    });
    let workers = vec![pool.start(0)];
    let mut pending = shard.connect();
    get(&mut pending, "/long");
    let mut stream = shard.connect();
    let began = Instant::now();
    for _ in 0..100 {
        get(&mut stream, "/plain?bytes=3");
        assert_eq!(read(&mut stream).1, b"xxx");
    }
    // Without a doorbell each answer would wait for the tick of 250 ms.
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    crate::sys::socket::discard_on_close(pending.as_fd()).unwrap();
    drop(pending);
    // Who listens for workers is no company.
    wait_for("the shard thinks itself in company", || {
        ask(&mut stream, "/company").ends_with("false")
    });
    for _ in 0..100 {
        get(&mut stream, "/plain?bytes=3");
        assert_eq!(read(&mut stream).1, b"xxx");
    }
    assert!(matches!(shard.finish(), End::Drained));
    pool.stop(workers);
}
