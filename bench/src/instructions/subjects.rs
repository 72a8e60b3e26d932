//! What is counted: one function per subject, one line per subject in the table.

use std::hint::black_box;

use corewise::http::h1::{Connection, Event};
use corewise::http::{Head, Params, Preamble, ResponseHead, Time};
use corewise::limits::HttpLimits;
use corewise::router::{Methods, Outcome, Pattern, Router, Rule, Table};
use http::{HeaderValue, Method, StatusCode};

use super::jobs::{Jobs, Shard, Worker};

/// Work that is done again and again; only `work` is counted.
pub(super) trait Subject {
    /// Brings about the state that `work` starts from.
    fn prepare(&mut self) {}

    fn work(&mut self);
}

/// A name and how to build the subject.
pub(super) type Entry = (&'static str, fn() -> Box<dyn Subject>);

/// Everything that is gated.
pub(super) const SUBJECTS: &[Entry] = &[
    ("encode", || Box::new(Encode::new())),
    // The floor under `parse`: a change here is a change of the dependency.
    // 64 jobs of 64 bytes by either end: their sum is held against `JOB_MAX`.
    (OFFLOAD_SHARD, || Box::new(Shard(Jobs::new()))),
    (OFFLOAD_WORKER, || Box::new(Worker(Jobs::new()))),
    ("httparse", || Box::new(Httparse { input: aligned(BROWSER) })),
    ("parse", || Box::new(Parse::new(BROWSER, SMALL))),
    // The next request of the same client: only the request line is judged.
    ("parse-again", || Box::new(Parse::new(BROWSER, BROWSER_BEFORE))),
    // The same request once more.
    ("parse-same", || Box::new(Parse::new(BROWSER, BROWSER))),
    ("parse-small", || Box::new(Parse::new(SMALL, BROWSER))),
    ("route", || Box::new(Route::new(&[]))),
    // With routes of a file in front, none of which has the path.
    ("route-file", || Box::new(Route::new(FILE_PATTERNS))),
];

/// httparse alone on the same head as `parse`.
struct Httparse {
    input: &'static [u8],
}

impl Subject for Httparse {
    fn work(&mut self) {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut fields);
        let status = request.parse(black_box(self.input));
        assert!(status.is_ok_and(|status| status.is_complete()));
        black_box(&request);
    }
}

/// A head from its bytes to the event that announces it.
struct Parse {
    input: &'static [u8],
    /// What was read before it, not counted.
    before: &'static [u8],
    connection: Connection,
    head: Head,
    limits: HttpLimits,
}

impl Parse {
    fn new(input: &'static [u8], before: &'static [u8]) -> Self {
        let limits = HttpLimits::default();
        Self {
            input: aligned(input),
            before: aligned(before),
            connection: Connection::new(NOW, &limits),
            head: Head::new(),
            limits,
        }
    }
}

impl Subject for Parse {
    fn prepare(&mut self) {
        let mut before = Connection::new(NOW, &self.limits);
        before.receive(self.before, &mut self.head, &self.limits, NOW);
        self.connection = Connection::new(NOW, &self.limits);
    }

    fn work(&mut self) {
        let input = black_box(self.input);
        let received = self.connection.receive(input, &mut self.head, &self.limits, NOW);
        assert!(matches!(received.event, Event::Request(_)), "the head is good");
        assert_eq!(received.consumed, input.len(), "the head is whole");
    }
}

/// A small answer from the handler's words to its bytes.
struct Encode {
    body: &'static [u8],
    request: Parse,
    preamble: Preamble,
    content_type: HeaderValue,
    out: Vec<u8>,
}

impl Encode {
    fn new() -> Self {
        Self {
            body: aligned(b"Hello, World!"),
            request: Parse::new(SMALL, SMALL),
            preamble: Preamble::new(1_700_000_000),
            content_type: HeaderValue::from_static("text/plain; charset=utf-8"),
            out: Vec::new(),
        }
    }
}

impl Subject for Encode {
    fn prepare(&mut self) {
        self.request.prepare();
        self.request.work();
        self.out.clear();
    }

    fn work(&mut self) {
        let head = ResponseHead {
            status: StatusCode::OK,
            content_type: Some(&self.content_type),
            fields: &[],
        };
        let body = black_box(self.body);
        let Parse { connection, limits, .. } = &mut self.request;
        connection.respond_full(&head, body, &self.preamble, limits, NOW, &mut self.out);
        assert!(self.out.ends_with(b"Hello, World!"), "the answer is whole");
    }
}

/// A path with a parameter, in a table of the demo's size.
struct Route {
    path: &'static str,
    table: Table<usize>,
    params: Params,
}

impl Route {
    fn new(of_file: &[&str]) -> Self {
        let mut builder = Router::builder();
        for (index, pattern) in PATTERNS.iter().enumerate() {
            builder
                .insert(Some(Method::GET), pattern, index)
                .expect("the patterns are valid and differ");
        }
        let path = str::from_utf8(aligned(b"/user/42")).expect("the path is ASCII");
        let of_file = of_file.iter().map(|pattern| {
            let pattern = Pattern::parse(pattern).expect("the patterns are valid");
            (Rule { pattern, hosts: Vec::new(), methods: Methods::any() }, PATTERNS.len())
        });
        Self { path, table: Table::new(of_file, builder.build()), params: Params::new() }
    }
}

impl Subject for Route {
    fn work(&mut self) {
        let path = black_box(self.path);
        let found = self.table.route(&Method::GET, path, || None, &mut self.params);
        assert_eq!(found, Outcome::Found(&USER), "the path has a route");
        assert_eq!(self.params.get(path, "id"), Some("42"));
    }
}

/// What a shard does for jobs.
pub(super) const OFFLOAD_SHARD: &str = "offload-shard";
/// What a worker does for them.
pub(super) const OFFLOAD_WORKER: &str = "offload-worker";

/// A copy at an address of fixed alignment: searching and copying take other ways through other
/// alignments, and where a constant lies depends on what else the program holds, such as the path
/// that it was built in.
fn aligned(bytes: &[u8]) -> &'static [u8] {
    #[repr(align(64))]
    struct Block([u8; BLOCK_BYTES]);
    let block = Box::leak(Box::new(Block([0; BLOCK_BYTES])));
    block.0[..bytes.len()].copy_from_slice(bytes);
    &block.0[..bytes.len()]
}

/// Room for the longest input.
const BLOCK_BYTES: usize = 1024;
const NOW: Time = Time::from_nanos(1_000_000_000);
const PATTERNS: &[&str] = &[
    "/",
    "/plaintext",
    "/json",
    "/user/{id}",
    "/echo",
    "/sleep/{ms}",
    "/stream",
    "/events",
    "/panic",
];
/// What a file may have in front of them.
const FILE_PATTERNS: &[&str] = &[
    "/favicon.ico",
    "/robots.txt",
    "/old/{id}",
    "/static/*",
    "/u/{id}",
    "/user/{id}/avatar.png",
    "/.well-known/{*rest}",
    "/status",
];
/// Where `/user/{id}` stands among the patterns.
const USER: usize = 3;
/// A request line with the header section of a browser.
macro_rules! browser {
    ($line:literal) => {
        concat!(
            $line,
            "Host: www.example.com\r\n",
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) ",
            "Gecko/20100101 Firefox/140.0\r\n",
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n",
            "Accept-Language: en-GB,en;q=0.5\r\n",
            "Accept-Encoding: gzip, deflate, br, zstd\r\n",
            "Connection: keep-alive\r\n",
            "Cookie: session=c29tZSBzZXNzaW9uIGlkZW50aWZpZXI; theme=dark\r\n",
            "Upgrade-Insecure-Requests: 1\r\n",
            "\r\n",
        )
        .as_bytes()
    };
}

/// What a browser sends.
const BROWSER: &[u8] = browser!("GET /user/42?tab=posts HTTP/1.1\r\n");
/// What it sent before.
const BROWSER_BEFORE: &[u8] = browser!("GET / HTTP/1.1\r\n");
/// What wrk sends.
const SMALL: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_works_twice() {
        for (name, build) in SUBJECTS {
            let mut subject = build();
            for _ in 0..2 {
                subject.prepare();
                subject.work();
            }
            assert!(!name.is_empty());
        }
    }
}
