//! Every bound in one place: what a peer may make us hold, and for how long.
//!
//! Values that a configuration can change have their default here; values that nobody needs to
//! change are constants. The const asserts at the end relate them to each other.

use std::time::Duration;

/// The limits of one HTTP connection, resolved from `[limits]`.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Longest request line in bytes, without its CRLF; longer: 414.
    pub line_bytes: u32,
    /// Largest header section in bytes, without the request line; larger: 431.
    pub header_bytes: u32,
    /// Most field lines in one header section; more: 431.
    pub headers: u16,
    /// Largest request body in bytes; larger: 413.
    pub body_bytes: u64,
    /// From the first byte of a head (or the accept) to its end; longer: 408.
    pub header_timeout: Duration,
    /// Grace for a body before `body_rate` counts; longer: 408.
    pub body_timeout: Duration,
    /// Least average rate of a body in bytes per second once the grace is over.
    pub body_rate: u32,
    /// Longest run of an async handler up to the head of its response; longer: 503.
    pub handler_timeout: Duration,
    /// Longest time without write progress while output waits; longer: the connection is dropped.
    pub write_timeout: Duration,
    /// Longest idle time between two requests; longer: closed without a word.
    pub keep_alive: Duration,
    /// Requests answered on one connection before it is closed; 0 is unbounded.
    pub requests_per_connection: u32,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            line_bytes: 8 << 10,
            header_bytes: 16 << 10,
            headers: 100,
            body_bytes: 16 << 20,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            body_rate: 240,
            handler_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            requests_per_connection: 0,
        }
    }
}

/// Hard ceiling of `limits.headers`: heads are parsed into an array of this size on the stack.
pub const HEADERS_MAX: usize = 256;
/// Hard ceiling of `limits.line-bytes` and of `limits.header-bytes`: offsets in a head are `u32`.
pub const HEAD_BYTES_MAX: u32 = 1 << 20;
/// Longest method that is passed on; the longest registered one has 17 bytes.
pub const METHOD_BYTES_MAX: usize = 32;
/// Longest chunk-size line in bytes, extensions included (CVE-2023-39326 class of attacks).
pub const CHUNK_LINE_BYTES_MAX: usize = 256;
/// Most bytes of chunk extensions over one body.
pub const CHUNK_EXTENSION_BYTES_MAX: u32 = 16 << 10;
/// Largest trailer section in bytes.
pub const TRAILER_BYTES_MAX: usize = 8 << 10;
/// Empty lines tolerated before a request line (RFC 9112 2.2).
pub const LEADING_EMPTY_LINES_MAX: u8 = 8;
/// What is read and thrown away of a body whose request was answered early.
pub const DRAIN_BYTES_MAX: u32 = 64 << 10;
/// How long such a rest is read.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// A body or chunk up to this size is copied behind its head; a larger one is sent by reference.
pub const COPY_BYTES_MAX: usize = 16 << 10;
/// Unsent output of a connection from which on nothing more is produced for it.
pub const OUTPUT_BYTES_HIGH: usize = 64 << 10;
/// Request body bytes that wait for a handler before its client is made to wait.
pub const UPLOAD_BYTES_HIGH: usize = 64 << 10;
/// Answers of workers that one shard holds for clients that read slowly, all together. Up to it
/// what a client does not read at once is copied, so that the worker's memory is free for others;
/// beyond it an answer stays where it is until its client has read it.
pub const SPILL_BYTES_MAX: usize = 16 << 20;
/// Largest configuration file, drop-ins each for themselves.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Most pools of workers.
pub const POOLS_MAX: usize = 64;
/// Most routes of a file: a request may be compared with each of them.
pub const ROUTES_MAX: usize = 1000;
/// Most hosts, methods or values of a header field that one route names.
pub const ROUTE_NAMES_MAX: usize = 64;
/// Longest target of a redirect, as it is written.
pub const ROUTE_TARGET_BYTES_MAX: usize = 2048;
/// Largest file that a route answers with: it is held in memory.
pub const ROUTE_FILE_BYTES_MAX: u64 = 1 << 20;
/// Largest head that a shard hands to a worker, in bytes of its own encoding: what the blocks hold
/// that a slot lists beside a stream. Larger: 431.
pub const REQUEST_MESSAGE_HEAD_BYTES_MAX: usize = 7 * (64 << 10);
/// Largest head of a response that a worker hands back, in bytes of the same encoding. Larger: 500.
pub const RESPONSE_MESSAGE_HEAD_BYTES_MAX: usize = 256 << 10;
/// Most fields of such a response.
pub const RESPONSE_FIELDS_MAX: usize = 1000;

const _: () = {
    assert!(COPY_BYTES_MAX <= OUTPUT_BYTES_HIGH);
    assert!(HEADERS_MAX <= u16::MAX as usize);
    assert!(CHUNK_LINE_BYTES_MAX < TRAILER_BYTES_MAX);
};
