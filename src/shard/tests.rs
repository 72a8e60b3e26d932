//! A whole shard on a thread of the test process, spoken to over real sockets.

mod pools;
mod worker;

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ::http::Method;

use super::{End, PoolSetup, Setup, ShardIndex, StartError, run};
use crate::config::Idle;
use crate::executor;
use crate::handler::{Handler, IntoHandler, Request, Response, task};
use crate::limits::HttpLimits;
use crate::net::listener::{Group, Listener, open_group};
use crate::router::{Builder, Router};
use crate::sys::channel::{self, Channel, FromChild, Received, ToChild};
use crate::sys::poll::wait_readable;
use crate::sys::process::{PidFd, own_pid};
use crate::sys::signal::{Signal, SignalFd};

use std::os::fd::AsFd;

/// Far longer than anything here takes: a loaded machine is no failure.
const PATIENCE: Duration = Duration::from_secs(20);

struct Routes {
    table: Builder<usize>,
    handlers: Vec<Handler>,
}

impl Routes {
    fn new() -> Self {
        Self { table: Router::builder(), handlers: Vec::new() }
    }

    fn on<K>(mut self, method: Method, pattern: &str, handler: impl IntoHandler<K>) -> Self {
        self.table.insert(Some(method), pattern, self.handlers.len()).unwrap();
        self.handlers.push(handler.into_handler());
        self
    }

    fn get<K>(self, pattern: &str, handler: impl IntoHandler<K>) -> Self {
        self.on(Method::GET, pattern, handler)
    }
}

struct Running {
    address: SocketAddr,
    channel: Channel,
    thread: JoinHandle<Result<End, StartError>>,
}

impl Running {
    /// Start a shard; `routes` is made on its thread, because handlers stay on it.
    fn start(
        limits: HttpLimits,
        idle: Idle,
        routes: impl FnOnce() -> Routes + Send + 'static,
    ) -> Self {
        Self::start_bounded(1000, limits, idle, routes)
    }

    fn start_bounded(
        connections_max: usize,
        limits: HttpLimits,
        idle: Idle,
        routes: impl FnOnce() -> Routes + Send + 'static,
    ) -> Self {
        Self::start_on(one_listener(), connections_max, limits, idle, routes)
    }

    fn start_on(
        listeners: Vec<Listener>,
        connections_max: usize,
        limits: HttpLimits,
        idle: Idle,
        routes: impl FnOnce() -> Routes + Send + 'static,
    ) -> Self {
        Self::start_whole(listeners, connections_max, limits, (idle, Vec::new()), routes)
    }

    fn start_with_pools(
        limits: HttpLimits,
        pools: Vec<PoolSetup>,
        routes: impl FnOnce() -> Routes + Send + 'static,
    ) -> Self {
        Self::start_whole(one_listener(), 1000, limits, (Idle::Adaptive, pools), routes)
    }

    fn start_whole(
        listeners: Vec<Listener>,
        connections_max: usize,
        limits: HttpLimits,
        (idle, pools): (Idle, Vec<PoolSetup>),
        routes: impl FnOnce() -> Routes + Send + 'static,
    ) -> Self {
        let address = listeners[0].endpoint().tcp().unwrap();
        let (channel, theirs) = channel::pair().unwrap();
        let thread = std::thread::spawn(move || {
            let routes = routes();
            run(Setup {
                listeners,
                channel: theirs,
                signals: SignalFd::open(&[Signal::Terminate]).unwrap(),
                supervisor: PidFd::open(own_pid()).unwrap(),
                page: None,
                table: routes.table.build().into(),
                handlers: routes.handlers,
                pools,
                seat: ShardIndex(0),
                limits,
                connections_max,
                idle,
                dedicated: true,
                grace: Duration::from_secs(5),
                force: Duration::from_secs(5),
            })
        });
        let running = Self { address, channel, thread };
        assert_eq!(running.hear(), FromChild::Ready);
        running
    }

    /// The shard's next message.
    fn hear(&self) -> FromChild {
        loop {
            match self.channel.receive().unwrap() {
                Received::Message(message) => return message,
                Received::Nothing => {
                    let ready = wait_readable(&[self.channel.as_fd()], Some(PATIENCE)).unwrap();
                    assert_eq!(ready, [true], "the shard said nothing");
                }
                other => panic!("the shard said {other:?}"),
            }
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn drain(&self, grace: Duration) {
        self.channel.send(&ToChild::Drain { grace }).unwrap();
    }

    fn finish(self) -> End {
        self.drain(Duration::from_secs(2));
        self.thread.join().unwrap().unwrap()
    }
}

fn one_listener() -> Vec<Listener> {
    let address = ([127, 0, 0, 1], 0).into();
    open_group(Group { address, count: 1, backlog: 1024, only_v6: false }).unwrap()
}

fn ask(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    answer(stream)
}

/// One answer that has a Content-Length; head and body.
fn answer(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}

fn hello(_: &Request) -> Response {
    Response::fixed("hello")
}

/// Keep the shard busy from another thread while `work` runs.
fn under_load<T>(address: SocketAddr, work: impl FnOnce() -> T) -> T {
    let stop = Arc::new(AtomicUsize::new(0));
    let load = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut served = 0usize;
            while stop.load(Ordering::Relaxed) == 0 {
                assert!(ask(&mut stream, "/hello").ends_with("hello"));
                served += 1;
            }
            served
        })
    };
    let result = work();
    stop.store(1, Ordering::Relaxed);
    assert!(load.join().unwrap() > 0);
    result
}

#[test]
fn serves_and_drains() {
    let shard = Running::start(HttpLimits::default(), Idle::Adaptive, || {
        Routes::new().get("/hello", hello)
    });
    let mut stream = shard.connect();
    for _ in 0..100 {
        assert!(ask(&mut stream, "/hello").ends_with("\r\n\r\nhello"));
    }
    assert!(ask(&mut stream, "/nothing").starts_with("HTTP/1.1 404 "));
    shard.drain(Duration::from_secs(5));
    assert_eq!(shard.hear(), FromChild::AcceptClosed);
    // The connection is idle and gets a moment: a request in it is the last one.
    assert!(ask(&mut stream, "/hello").contains("Connection: close"));
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    assert!(matches!(shard.thread.join().unwrap().unwrap(), End::Drained));
}

/// Trap 3 of the executor: a driver that always has work must still let glommio look at its
/// rings, or timers, files and the blocking thread starve.
#[test]
fn a_busy_network_starves_no_timer_file_or_blocking_call() {
    async fn sleep(_: Request) -> Response {
        executor::sleep(Duration::from_millis(5)).await;
        Response::fixed("slept")
    }
    async fn read(_: Request) -> Response {
        let text = executor::read_file("/proc/self/mounts", 1 << 20).await;
        let cargo =
            executor::read_file(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), 1 << 20);
        // Files of /proc have no size: they read as empty, which is an answer too.
        assert!(text.is_ok_and(|text| text.is_empty()));
        Response::bytes(cargo.await.unwrap())
    }
    async fn block(_: Request) -> Response {
        Response::text(executor::spawn_blocking(|| "blocked".to_owned()).await)
    }
    let shard = Running::start(HttpLimits::default(), Idle::Adaptive, || {
        Routes::new()
            .get("/hello", hello)
            .get("/sleep", task(sleep))
            .get("/read", task(read))
            .get("/block", task(block))
    });
    let mut stream = shard.connect();
    let rounds = |stream: &mut TcpStream| {
        for _ in 0..20 {
            assert!(ask(stream, "/sleep").ends_with("slept"));
            assert!(ask(stream, "/block").ends_with("blocked"));
            assert!(ask(stream, "/read").contains("[package]"));
        }
    };
    under_load(shard.address, || rounds(&mut stream));
    // And with nothing else going on, when the shard sleeps through glommio.
    rounds(&mut stream);
    shard.finish();
}

/// Traps 1 and 2: a shard that sleeps through glommio is woken by the network, by timers and by
/// messages, each alone.
#[test]
fn a_shard_that_sleeps_with_company_wakes_for_everything() {
    async fn long(_: Request) -> Response {
        executor::sleep(Duration::from_secs(600)).await;
        Response::fixed("never")
    }
    let shard = Running::start(HttpLimits::default(), Idle::Sleep, || {
        Routes::new().get("/hello", hello).get("/long", task(long))
    });
    let mut pending = shard.connect();
    pending.write_all(b"GET /long HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut stream = shard.connect();
    for _ in 0..200 {
        assert!(ask(&mut stream, "/hello").ends_with("hello"));
        // Long enough for the shard to have gone to sleep in between, most of the time.
        std::thread::yield_now();
    }
    shard.drain(Duration::from_millis(300));
    assert_eq!(shard.hear(), FromChild::AcceptClosed);
    assert!(matches!(shard.thread.join().unwrap().unwrap(), End::Drained), "the grace time wakes");
    let end = pending.read(&mut [0; 64]);
    assert!(matches!(&end, Ok(0)) || end.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset));
}

/// A handler may spawn through glommio itself: such a task must live although nobody counts it.
#[test]
fn tasks_that_a_handler_spawned_behind_our_back_run() {
    thread_local! {
        static DONE: Cell<u32> = const { Cell::new(0) };
    }
    fn spawn(_: &Request) -> Response {
        glommio::spawn_local(async {
            for _ in 0..3 {
                glommio::timer::sleep(Duration::from_millis(2)).await;
                DONE.set(DONE.get() + 1);
            }
        })
        .detach();
        Response::fixed("spawned")
    }
    fn done(_: &Request) -> Response {
        Response::text(DONE.get().to_string())
    }
    let shard = Running::start(HttpLimits::default(), Idle::Sleep, || {
        Routes::new().get("/spawn", spawn).get("/done", done)
    });
    let mut stream = shard.connect();
    assert!(ask(&mut stream, "/spawn").ends_with("spawned"));
    let until = Instant::now() + PATIENCE;
    while !ask(&mut stream, "/done").ends_with("\r\n\r\n3") {
        assert!(Instant::now() < until, "the task does not run");
    }
    shard.finish();
}

#[test]
fn a_client_that_leaves_cancels_its_handler() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    async fn long(_: Request) -> Response {
        let _guard = Guard;
        executor::sleep(Duration::from_secs(600)).await;
        Response::fixed("never")
    }
    let shard = Running::start(HttpLimits::default(), Idle::Adaptive, || {
        Routes::new().get("/hello", hello).get("/long", task(long))
    });
    let mut gone = shard.connect();
    gone.write_all(b"GET /long HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut stream = shard.connect();
    assert!(ask(&mut stream, "/hello").ends_with("hello"));
    assert_eq!(DROPPED.load(Ordering::SeqCst), 0);
    crate::sys::socket::discard_on_close(gone.as_fd()).unwrap();
    drop(gone);
    let until = Instant::now() + PATIENCE;
    while DROPPED.load(Ordering::SeqCst) == 0 {
        assert!(ask(&mut stream, "/hello").ends_with("hello"));
        assert!(Instant::now() < until, "the handler still runs");
    }
    shard.finish();
}

#[test]
fn a_panic_costs_one_request() {
    fn inline(_: &Request) -> Response {
        panic!("inline")
    }
    async fn early(_: Request) -> Response {
        panic!("at the first step")
    }
    async fn late(_: Request) -> Response {
        executor::sleep(Duration::from_millis(1)).await;
        panic!("later")
    }
    fn stream(_: &Request) -> Response {
        Response::stream("text/plain", async |sender| {
            sender.send("begun").await?;
            executor::sleep(Duration::from_millis(1)).await;
            panic!("in the stream")
        })
    }
    let shard = Running::start(HttpLimits::default(), Idle::Adaptive, || {
        Routes::new()
            .get("/hello", hello)
            .get("/inline", inline)
            .get("/early", task(early))
            .get("/late", task(late))
            .get("/stream", stream)
            .on(Method::POST, "/inline", inline)
    });
    let mut connection = shard.connect();
    for path in ["/inline", "/early", "/late"] {
        let answer = ask(&mut connection, path);
        assert!(answer.starts_with("HTTP/1.1 500 "), "{path}: {answer}");
        assert!(ask(&mut connection, "/hello").ends_with("hello"), "{path}");
    }
    let mut cut = shard.connect();
    cut.write_all(b"GET /stream HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut all = Vec::new();
    // A reset or an end, but never the last chunk of a complete body.
    let _end = cut.read_to_end(&mut all);
    let text = String::from_utf8_lossy(&all);
    assert!(text.contains("begun") && !text.contains("\r\n0\r\n\r\n"), "{text}");
    shard.finish();
}

#[test]
fn a_slow_reader_stops_its_producer_and_is_dropped() {
    static SENT: AtomicUsize = AtomicUsize::new(0);
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    fn endless(_: &Request) -> Response {
        Response::stream("application/octet-stream", async |sender| {
            let _guard = Guard;
            loop {
                sender.send(vec![b'x'; 8192]).await?;
                SENT.fetch_add(8192, Ordering::SeqCst);
            }
        })
    }
    let limits = HttpLimits { write_timeout: Duration::from_millis(300), ..HttpLimits::default() };
    let shard = Running::start(limits, Idle::Adaptive, || {
        Routes::new().get("/hello", hello).get("/endless", endless)
    });
    let mut slow = shard.connect();
    slow.write_all(b"GET /endless HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    // Nothing is read: the write deadline ends it, and what was produced until then is bounded by
    // socket buffers and our own.
    let mut stream = shard.connect();
    let until = Instant::now() + PATIENCE;
    while DROPPED.load(Ordering::SeqCst) == 0 {
        assert!(ask(&mut stream, "/hello").ends_with("hello"));
        assert!(Instant::now() < until, "the producer still runs");
    }
    let sent = SENT.load(Ordering::SeqCst);
    assert!(sent > 0 && sent < 16 << 20, "{sent} bytes were produced for nobody");
    shard.finish();
}

#[test]
fn an_upload_waits_for_its_reader_and_comes_back_whole() {
    async fn echo(mut request: Request) -> Response {
        Response::relay(request.take_body())
    }
    let shard = Running::start(HttpLimits::default(), Idle::Adaptive, || {
        Routes::new().on(Method::POST, "/echo", task(echo))
    });
    let body: Vec<u8> =
        (0..4 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut stream = shard.connect();
    let mut writer = stream.try_clone().unwrap();
    let sent = body.clone();
    let upload = std::thread::spawn(move || {
        let head =
            format!("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", sent.len());
        writer.write_all(head.as_bytes()).unwrap();
        writer.write_all(&sent).unwrap();
    });
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(String::from_utf8_lossy(&head).contains("Content-Length: 4194304"));
    let mut back = vec![0; body.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == body, "the body came back changed");
    upload.join().unwrap();
    shard.finish();
}

#[test]
fn continue_is_said_when_the_body_is_wanted() {
    async fn refuse(_: Request) -> Response {
        Response::new(::http::StatusCode::FORBIDDEN)
    }
    async fn take(mut request: Request) -> Result<Response, crate::http::Error> {
        executor::sleep(Duration::from_millis(1)).await;
        Ok(Response::bytes(request.take_body().collect(100).await?))
    }
    let shard = Running::start(HttpLimits::default(), Idle::Adaptive, || {
        Routes::new()
            .on(Method::POST, "/refuse", task(refuse))
            .on(Method::POST, "/take", task(take))
            .on(Method::POST, "/inline", |request: &Request| {
                Response::text(String::from_utf8_lossy(request.body()))
            })
    });
    let fields = "Host: t\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    for path in ["/take", "/inline"] {
        let mut stream = shard.connect();
        write!(stream, "POST {path} HTTP/1.1\r\n{fields}").unwrap();
        assert_eq!(answer(&mut stream), "HTTP/1.1 100 Continue\r\n\r\n", "{path}");
        stream.write_all(b"body").unwrap();
        assert!(answer(&mut stream).ends_with("\r\n\r\nbody"), "{path}");
    }
    let mut stream = shard.connect();
    write!(stream, "POST /refuse HTTP/1.1\r\n{fields}").unwrap();
    assert!(answer(&mut stream).starts_with("HTTP/1.1 403 "));
    shard.finish();
}

#[test]
fn large_bodies_go_out_by_reference_and_whole() {
    fn large(request: &Request) -> Response {
        let bytes: usize = request.param("bytes").parse().unwrap_or(0);
        Response::bytes(vec![b'z'; bytes])
    }
    let shard = Running::start(HttpLimits::default(), Idle::Adaptive, || {
        Routes::new().get("/large/{bytes}", large)
    });
    let mut stream = shard.connect();
    for bytes in [16_383, 16_384, 16_385, 65_536, 3_000_000] {
        let answer = ask(&mut stream, &format!("/large/{bytes}"));
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(body.len(), bytes);
        assert!(body.bytes().all(|byte| byte == b'z'));
    }
    // Pipelined: the second waits for room behind the first, and both come in order.
    let request = |bytes: u32| format!("GET /large/{bytes} HTTP/1.1\r\nHost: t\r\n\r\n");
    stream.write_all((request(200_000) + &request(3)).as_bytes()).unwrap();
    assert!(answer(&mut stream).ends_with(&"z".repeat(200_000)));
    assert!(answer(&mut stream).ends_with("\r\n\r\nzzz"));
    shard.finish();
}

#[test]
fn more_connections_than_allowed_wait_their_turn() {
    let shard = Running::start(HttpLimits::default(), Idle::Adaptive, || {
        Routes::new().get("/hello", hello)
    });
    // The limit of the test shard is 1000: hold more than that, then let some go.
    let mut held: Vec<TcpStream> = (0..1100).map(|_| shard.connect()).collect();
    for stream in held.iter_mut().take(900) {
        assert!(ask(stream, "/hello").ends_with("hello"));
    }
    held.drain(..300);
    for stream in &mut held {
        assert!(ask(stream, "/hello").ends_with("hello"));
    }
    drop(held);
    shard.finish();
}

/// Each sleep beside a task must leave nothing behind: glommio keeps a waker per poll of an
/// operation, and ends the process at 32,768 of them.
#[test]
fn sleeping_in_company_costs_nothing_that_stays() {
    fn tick(_: &Request) -> Response {
        Response::stream("text/plain", async |sender| {
            for _ in 0..40_000 {
                executor::sleep(Duration::from_micros(1)).await;
                sender.send("x").await?;
            }
            Ok(())
        })
    }
    let shard =
        Running::start(HttpLimits::default(), Idle::Sleep, || Routes::new().get("/tick", tick));
    let mut stream = shard.connect();
    stream.write_all(b"GET /tick HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert!(all.ends_with(b"0\r\n\r\n"), "cut after {} bytes", all.len());
    shard.finish();
}

#[test]
fn a_cancelled_task_is_no_company_afterwards() {
    async fn long(_: Request) -> Response {
        executor::sleep(Duration::from_secs(600)).await;
        Response::fixed("never")
    }
    fn company(_: &Request) -> Response {
        Response::text(executor::has_company().to_string())
    }
    let shard = Running::start(HttpLimits::default(), Idle::Sleep, || {
        Routes::new().get("/long", task(long)).get("/company", company)
    });
    let mut stream = shard.connect();
    let mut gone = shard.connect();
    gone.write_all(b"GET /long HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let until = Instant::now() + PATIENCE;
    while !ask(&mut stream, "/company").ends_with("true") {
        assert!(Instant::now() < until, "the task never lived");
    }
    crate::sys::socket::discard_on_close(gone.as_fd()).unwrap();
    drop(gone);
    while !ask(&mut stream, "/company").ends_with("false") {
        assert!(Instant::now() < until, "a task that is gone still counts");
    }
    shard.finish();
}

#[test]
fn a_half_closed_client_of_a_large_answer_gets_all_of_it_and_an_end() {
    async fn large(_: Request) -> Response {
        executor::sleep(Duration::from_millis(1)).await;
        Response::bytes(vec![b'z'; 300_000])
    }
    let shard = Running::start(HttpLimits::default(), Idle::Adaptive, || {
        Routes::new()
            .get("/large", task(large))
            .get("/inline", |_: &Request| Response::bytes(vec![b'z'; 300_000]))
    });
    for path in ["/large", "/inline"] {
        let mut stream = shard.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert!(all.len() > 300_000, "{path}: {} bytes", all.len());
    }
    shard.finish();
}

#[test]
fn the_next_client_is_accepted_when_the_only_one_leaves() {
    let shard = Running::start_bounded(1, HttpLimits::default(), Idle::Sleep, || {
        Routes::new().get("/hello", hello)
    });
    for _ in 0..20 {
        let mut first = shard.connect();
        assert!(ask(&mut first, "/hello").ends_with("hello"));
        let mut second = shard.connect();
        second.write_all(b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
        drop(first);
        assert!(answer(&mut second).ends_with("hello"));
    }
    shard.finish();
}

#[test]
fn a_destructor_that_panics_costs_its_own_request() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    async fn long(_: Request) -> Response {
        let _bomb = Bomb;
        executor::sleep(Duration::from_secs(600)).await;
        Response::fixed("never")
    }
    let shard = Running::start(HttpLimits::default(), Idle::Adaptive, || {
        Routes::new().get("/hello", hello).get("/long", task(long))
    });
    let mut stream = shard.connect();
    let mut gone = shard.connect();
    gone.write_all(b"GET /long HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    assert!(ask(&mut stream, "/hello").ends_with("hello"));
    crate::sys::socket::discard_on_close(gone.as_fd()).unwrap();
    drop(gone);
    for _ in 0..200 {
        assert!(ask(&mut stream, "/hello").ends_with("hello"));
    }
    shard.finish();
}

#[test]
fn a_slow_reader_outlives_the_keep_alive_and_the_stop() {
    fn large(_: &Request) -> Response {
        Response::bytes(vec![b'z'; 8 << 20])
    }
    let limits = HttpLimits { keep_alive: Duration::from_millis(100), ..HttpLimits::default() };
    let shard = Running::start(limits, Idle::Adaptive, || Routes::new().get("/large", large));
    let read_slowly = |stream: &mut TcpStream, before: &dyn Fn()| {
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
        let mut first = [0; 1000];
        stream.read_exact(&mut first).unwrap();
        before();
        let mut buffer = vec![0; 1 << 16];
        let mut read = first.len();
        let end = Instant::now() + Duration::from_millis(1500);
        while read < 8 << 20 {
            // A pause in each of the first 1.5 s of reading: longer than both deadlines.
            if Instant::now() < end && read > 1 << 20 {
                std::thread::yield_now();
                continue;
            }
            match stream.read(&mut buffer).unwrap() {
                0 => break,
                bytes => read += bytes,
            }
        }
        assert!(read >= 8 << 20, "cut after {read} bytes");
    };
    read_slowly(&mut shard.connect(), &|| {});
    read_slowly(&mut shard.connect(), &|| shard.drain(Duration::from_secs(20)));
    assert_eq!(shard.hear(), FromChild::AcceptClosed);
    assert!(matches!(shard.thread.join().unwrap().unwrap(), End::Drained));
}

#[test]
fn a_second_drain_shortens_the_grace() {
    async fn long(_: Request) -> Response {
        executor::sleep(Duration::from_secs(600)).await;
        Response::fixed("never")
    }
    let shard = Running::start(HttpLimits::default(), Idle::Adaptive, || {
        Routes::new().get("/long", task(long))
    });
    let mut stream = shard.connect();
    stream.write_all(b"GET /long HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    shard.drain(Duration::from_secs(600));
    assert_eq!(shard.hear(), FromChild::AcceptClosed);
    shard.drain(Duration::from_millis(50));
    assert!(matches!(shard.thread.join().unwrap().unwrap(), End::Drained));
}

#[test]
fn a_large_head_may_come_in_pieces() {
    let limits = HttpLimits { header_bytes: 200 << 10, ..HttpLimits::default() };
    let shard = Running::start(limits, Idle::Sleep, || Routes::new().get("/hello", hello));
    let mut stream = shard.connect();
    let mut head = b"GET /hello HTTP/1.1\r\nHost: t\r\n".to_vec();
    for n in 0..90 {
        head.extend_from_slice(format!("X-{n}: {}\r\n", "v".repeat(2000)).as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    let mut other = shard.connect();
    for piece in head.chunks(4000) {
        stream.write_all(piece).unwrap();
        // A turn of its own for each piece.
        assert!(ask(&mut other, "/hello").ends_with("hello"));
    }
    assert!(answer(&mut stream).ends_with("hello"));
    shard.finish();
}

#[test]
fn spinning_honours_deadlines() {
    let limits = HttpLimits { keep_alive: Duration::from_millis(50), ..HttpLimits::default() };
    let shard = Running::start(limits, Idle::Spin, || Routes::new().get("/hello", hello));
    let mut stream = shard.connect();
    assert!(ask(&mut stream, "/hello").ends_with("hello"));
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    shard.finish();
}

/// A client that asks for the close is received from once. What it sends behind its request, be it
/// a line end, lay unread when the socket was closed, and the reset that this is destroyed what was
/// on its way of the answer.
#[test]
fn bytes_behind_the_last_request_destroy_no_answer() {
    const BYTES: usize = 12 << 20;
    let shard = Running::start(HttpLimits::default(), Idle::Sleep, || {
        Routes::new()
            .get("/hello", hello)
            .get("/large", |_: &Request| Response::bytes(vec![b'z'; BYTES]))
    });
    let mut other = shard.connect();
    let mut stream = shard.connect();
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").unwrap();
    let mut received = vec![0; 1000];
    stream.read_exact(&mut received).unwrap();
    stream.write_all(b"\r\n").unwrap();
    // Reads up to what the sockets hold, so that the last of it is sent and nobody reads it yet.
    let mut buffer = vec![0; 1 << 16];
    while received.len() < 6 << 20 {
        let bytes = stream.read(&mut buffer).unwrap();
        received.extend_from_slice(&buffer[..bytes]);
    }
    for _ in 0..100 {
        assert!(ask(&mut other, "/hello").ends_with("hello"));
    }
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => received.extend_from_slice(&buffer[..bytes]),
            Err(error) => panic!("{error} after {} bytes", received.len()),
        }
        std::thread::yield_now();
    }
    assert!(received.len() > BYTES, "an end after {} bytes", received.len());
    // And one whose answer is small: there is nothing to lose, but it must not hang either.
    for _ in 0..100 {
        let mut stream = shard.connect();
        stream.write_all(b"GET /hello HTTP/1.0\r\n\r\n").unwrap();
        // The server may be done with it already.
        let _late = stream.write_all(b"\r\n");
        let mut all = Vec::new();
        let end = stream.read_to_end(&mut all);
        assert!(end.is_ok() || end.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset));
    }
    drop(other);
    shard.finish();
}

/// A last request that just fills what is received at once: what is behind it lies in the socket.
#[test]
fn a_last_request_of_a_whole_buffer_is_no_exception() {
    let shard =
        Running::start(HttpLimits::default(), Idle::Sleep, || Routes::new().get("/hello", hello));
    let start = "GET /hello HTTP/1.1\r\nHost: t\r\nConnection: close\r\nX: ";
    let fill = "x".repeat(2048 - start.len() - 4);
    let bytes = format!("{start}{fill}\r\n\r\n{}", "y".repeat(1000));
    for _ in 0..50 {
        let mut stream = shard.connect();
        stream.write_all(bytes.as_bytes()).unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        assert!(all.ends_with("hello"), "{all}");
    }
    shard.finish();
}

/// A burst of one, which many single clients lead to, grows when many wait at once.
#[test]
fn five_hundred_clients_that_wait_at_once_are_all_served() {
    static WAITING: AtomicUsize = AtomicUsize::new(0);
    fn block(_: &Request) -> Response {
        let until = Instant::now() + PATIENCE;
        while WAITING.load(Ordering::SeqCst) < 500 && Instant::now() < until {
            std::thread::yield_now();
        }
        Response::fixed("blocked")
    }
    let shard = Running::start(HttpLimits::default(), Idle::Sleep, || {
        Routes::new().get("/hello", hello).get("/block", block)
    });
    let mut blocker = shard.connect();
    for _ in 0..3 {
        for _ in 0..40 {
            assert!(ask(&mut shard.connect(), "/hello").ends_with("hello"));
        }
        WAITING.store(0, Ordering::SeqCst);
        blocker.write_all(b"GET /block HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
        let mut clients: Vec<TcpStream> = (0..500).map(|_| shard.connect()).collect();
        for stream in &mut clients {
            stream.write_all(b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n").unwrap();
            WAITING.fetch_add(1, Ordering::SeqCst);
        }
        for stream in &mut clients {
            assert!(answer(stream).ends_with("hello"));
        }
        assert!(answer(&mut blocker).ends_with("blocked"));
        // Each of them is received from again, and once more.
        for _ in 0..2 {
            for stream in &mut clients {
                assert!(ask(stream, "/hello").ends_with("hello"));
            }
        }
    }
    drop(blocker);
    shard.finish();
}

/// The receive of the first bytes ends with them, wherever they end.
#[test]
fn a_first_receive_is_followed_by_another_one() {
    async fn late(mut request: Request) -> Response {
        executor::sleep(Duration::from_millis(20)).await;
        let body = request.take_body().collect(1 << 20).await.unwrap();
        Response::text(body.len().to_string())
    }
    fn collected(request: &Request) -> Response {
        Response::text(request.body().len().to_string())
    }
    let shard = Running::start(HttpLimits::default(), Idle::Sleep, || {
        Routes::new().get("/hello", hello).on(Method::POST, "/late", task(late)).on(
            Method::POST,
            "/collected",
            collected,
        )
    });
    let mut others: Vec<TcpStream> = (0..4).map(|_| shard.connect()).collect();
    let mut turns = || {
        for stream in &mut others {
            assert!(ask(stream, "/hello").ends_with("hello"));
        }
    };
    for path in ["/late", "/collected"] {
        for (first, second) in [
            ("", "\r\n\r\n12345"),
            ("\r\n\r\n", "12345"),
            ("\r\n\r\n1", "2345"),
            ("\r\nExpect: 100-continue\r\n\r\n", "12345"),
            ("\r\n\r\n12345", ""),
        ] {
            let mut stream = shard.connect();
            write!(stream, "POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 5{first}").unwrap();
            turns();
            if first.contains("Expect") {
                assert!(answer(&mut stream).starts_with("HTTP/1.1 100 "));
            }
            stream.write_all(second.as_bytes()).unwrap();
            assert!(answer(&mut stream).ends_with("\r\n\r\n5"), "{path} {first:?}");
            assert!(ask(&mut stream, "/hello").ends_with("hello"));
        }
    }
    shard.finish();
}

/// Heads are compared with the last one of the shard, whosoever that was.
#[test]
fn heads_that_nearly_repeat_are_told_apart_across_connections() {
    fn show(request: &Request) -> Response {
        let body = request.body().len();
        let (method, version) = (request.method(), request.version());
        let (host, query) = (request.host(), request.query_string());
        Response::text(format!("{method} {version:?} {host:?} {query:?} {body}"))
    }
    let shard = Running::start(HttpLimits::default(), Idle::Adaptive, || {
        Routes::new().get("/show", show).on(Method::POST, "/show", show).on(
            Method::from_bytes(b"PURGE").unwrap(),
            "/show",
            show,
        )
    });
    let section = "Host: one\r\nContent-Length: 0\r\n";
    let cases = [
        ("GET /show HTTP/1.1", section, "", "GET Http11 Some(\"one\") None 0", ""),
        ("GET /show HTTP/1.0", section, "", "GET Http10 Some(\"one\") None 0", "close"),
        ("GET /show HTTP/1.9", section, "", "GET Http11 Some(\"one\") None 0", ""),
        ("POST /show HTTP/1.1", section, "", "POST Http11 Some(\"one\") None 0", ""),
        ("PURGE /show HTTP/1.1", section, "", "PURGE Http11 Some(\"one\") None 0", ""),
        ("GET /show?q HTTP/1.1", section, "", "GET Http11 Some(\"one\") Some(\"q\") 0", ""),
        ("GET http://two/show HTTP/1.1", section, "", "GET Http11 Some(\"two\") None 0", ""),
        (
            "POST /show HTTP/1.1",
            "Host: one\r\nContent-Length: 3\r\n",
            "abc",
            "POST Http11 Some(\"one\") None 3",
            "",
        ),
        (
            "POST /show HTTP/1.1",
            "Host: one\r\nTransfer-Encoding: chunked\r\n",
            "2\r\nab\r\n0\r\n\r\n",
            "POST Http11 Some(\"one\") None 2",
            "",
        ),
        (
            "GET /show HTTP/1.1",
            "Host: one\r\nConnection: close\r\n",
            "",
            "GET Http11 Some(\"one\") None 0",
            "close",
        ),
        (
            "GET /show HTTP/1.0",
            "Host: one\r\nConnection: keep-alive\r\n",
            "",
            "GET Http10 Some(\"one\") None 0",
            "keep-alive",
        ),
        ("GET /show HTTP/1.0", "", "", "GET Http10 None None 0", "close"),
        ("get /show HTTP/1.1", section, "", "", ""),
        ("GET /show HTTP/1.1", "", "", "", "close"),
    ];
    // Each behind each, on a connection of its own, so that every pair occurs.
    for first in &cases {
        for second in &cases {
            for (line, section, body, expected, option) in [first, second] {
                let mut stream = shard.connect();
                write!(stream, "{line}\r\n{section}\r\n{body}").unwrap();
                let answer = answer(&mut stream);
                if expected.is_empty() {
                    assert!(
                        answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 501"),
                        "{line}: {answer}"
                    );
                    continue;
                }
                assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{line}: {answer}");
                let connection = answer.lines().find_map(|line| line.strip_prefix("Connection: "));
                assert_eq!(connection.unwrap_or_default(), *option, "{line}: {answer}");
            }
        }
    }
    shard.finish();
}

/// At the limit of connections, the queue of one address must not hold up that of another.
#[test]
fn a_crowd_at_one_address_does_not_shut_out_another_address() {
    static SERVED: AtomicUsize = AtomicUsize::new(0);
    fn count(_: &Request) -> Response {
        Response::text(SERVED.fetch_add(1, Ordering::SeqCst).to_string())
    }
    let mut listeners = one_listener();
    listeners.extend(one_listener());
    let other = listeners[1].endpoint().tcp().unwrap();
    let shard = Running::start_on(listeners, 1, HttpLimits::default(), Idle::Sleep, || {
        Routes::new().get("/hello", hello).get("/count", count)
    });
    let mut first = shard.connect();
    assert!(ask(&mut first, "/hello").ends_with("hello"));
    let request = b"GET /count HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
    let mut crowd: Vec<TcpStream> = (0..100).map(|_| shard.connect()).collect();
    let mut lonely = TcpStream::connect(other).unwrap();
    lonely.set_read_timeout(Some(PATIENCE)).unwrap();
    for stream in crowd.iter_mut().chain([&mut lonely]) {
        stream.write_all(request).unwrap();
    }
    drop(first);
    for stream in &mut crowd {
        assert!(answer(stream).starts_with("HTTP/1.1 200 "));
    }
    let answer = answer(&mut lonely);
    let before: usize = answer.rsplit("\r\n").next().unwrap().parse().unwrap();
    assert!(before < 10, "served behind {before} of another address");
    shard.finish();
}
