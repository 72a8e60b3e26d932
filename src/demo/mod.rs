//! The demo application: one route for each thing that corewise can do, written as anybody
//! would write it who uses the library, with nothing but its public interface.

mod offload;
mod thumbnail;

use std::ops::RangeInclusive;
use std::time::{Duration, Instant, SystemTime};

use ::http::{HeaderValue, StatusCode, header};
use bytes::Bytes;
use serde::Serialize;

use crate::{App, Error, Event, Request, Response, executor, task};

/// The application that `corewise demo` serves.
pub fn app() -> App {
    offload::add_to(App::new())
        .get("/", index)
        .get("/plaintext", plaintext)
        .get("/json", json)
        .get("/user/{id}", user)
        .post("/echo", task(echo))
        .get("/sleep/{ms}", task(sleep))
        .get("/block/{ms}", task(block))
        .get("/file", task(file))
        .get("/stream", stream)
        .get("/events", events)
        .get("/panic", panics)
        .get("/spin/{ms}", spin)
        .get("/spin-later/{ms}", task(spin_later))
}

/// The front page, which links to all the others.
const PAGE: &str = include_str!("page.html");
/// The page is one file: nothing it could load comes from anywhere else.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
     img-src blob: data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'",
);

/// What `/file` reads; nearly every Linux has one.
const FILE: &str = "/etc/os-release";
const FILE_BYTES_MAX: usize = 64 << 10;
/// Below the default of `limits.handler-timeout`.
const WAIT_MS: RangeInclusive<u64> = 0..=30_000;
/// The executor has one thread for blocking calls, and they cannot be cancelled.
const BLOCK_MS: RangeInclusive<u64> = 0..=2_000;
const GAP_MS: RangeInclusive<u64> = 0..=30_000;
/// A clock without a pause would be a load generator.
const EVENT_GAP_MS: RangeInclusive<u64> = 1..=60_000;
const CHUNKS: RangeInclusive<u64> = 0..=100_000;
const CHUNK_BYTES: RangeInclusive<u64> = 1..=1 << 20;
/// What fills the chunks of `/stream`.
const LINE: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n";

fn index(_: &Request) -> Response {
    Response::html(PAGE).with(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)
}

fn plaintext(_: &Request) -> Response {
    Response::fixed("Hello, World!").content_type("text/plain")
}

#[derive(Serialize)]
struct Message {
    message: &'static str,
}

fn json(_: &Request) -> Response {
    Response::json(&Message { message: "Hello, World!" })
}

fn user(request: &Request) -> Response {
    Response::text(request.param("id"))
}

/// The body goes back while it arrives; who sends faster than they read is slowed down. The answer
/// begins once 64 KiB are here, so that a small body which turns out to be invalid gets its 400.
async fn echo(mut request: Request) -> Result<Response, Error> {
    Ok(Response::relay(request.take_body().gather(64 << 10).await?))
}

/// What an inline handler must not do: it has the whole shard to itself for that long.
fn spin(request: &Request) -> Result<String, Error> {
    let ms = within(request.param_as("ms")?, WAIT_MS)?;
    let end = Instant::now() + Duration::from_millis(ms);
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    Ok(format!("nobody else on this shard was served for {ms} ms\n"))
}

/// The same in a task, after it has waited once.
async fn spin_later(request: Request) -> Result<String, Error> {
    executor::sleep(Duration::from_millis(1)).await;
    spin(&request)
}

async fn sleep(request: Request) -> Result<String, Error> {
    let ms = within(request.param_as("ms")?, WAIT_MS)?;
    executor::sleep(Duration::from_millis(ms)).await;
    Ok(format!("slept {ms} ms on a timer of the shard's executor\n"))
}

async fn block(request: Request) -> Result<String, Error> {
    let ms = within(request.param_as("ms")?, BLOCK_MS)?;
    // Meant: this is the call that would hold up a shard if it were made inside a turn.
    executor::spawn_blocking(move || std::thread::sleep(Duration::from_millis(ms))).await;
    Ok(format!("a thread was blocked for {ms} ms; the shard was not\n"))
}

async fn file(_: Request) -> Result<Response, (StatusCode, String)> {
    match executor::read_file(FILE, FILE_BYTES_MAX).await {
        Ok(content) => Ok(Response::bytes(content).content_type("text/plain; charset=utf-8")),
        Err(error) => Err((StatusCode::NOT_FOUND, format!("cannot read {FILE}: {error}\n"))),
    }
}

/// `chunks` pieces of `bytes` bytes, `gap_ms` apart, or as fast as the client reads without a gap.
fn stream(request: &Request) -> Result<Response, Error> {
    let chunks = within(request.query_as("chunks")?.unwrap_or(10), CHUNKS)?;
    let bytes = within(request.query_as("bytes")?.unwrap_or(1024), CHUNK_BYTES)?;
    let gap = millis(within(request.query_as("gap_ms")?.unwrap_or(0), GAP_MS)?);
    let chunk: Bytes = LINE.iter().copied().cycle().take(length(bytes)).collect();
    Ok(Response::stream("text/plain; charset=utf-8", async move |sender| {
        for index in 0..chunks {
            if index > 0 && !gap.is_zero() {
                executor::sleep(gap).await;
            }
            // Shared, not copied: the clone counts one more owner.
            sender.send(chunk.clone()).await?;
        }
        Ok(())
    }))
}

/// A clock: `count` events, `gap_ms` apart, by default one each second for as long as anybody
/// listens.
fn events(request: &Request) -> Result<Response, Error> {
    let count = request.query_as("count")?.unwrap_or(u64::MAX);
    let gap = millis(within(request.query_as("gap_ms")?.unwrap_or(1000), EVENT_GAP_MS)?);
    Ok(Response::events(async move |events| {
        for index in 0..count {
            if index > 0 {
                executor::sleep(gap).await;
            }
            let now = httpdate::fmt_http_date(SystemTime::now());
            events.send(Event::new(&now).kind("clock").id(&index.to_string())).await?;
        }
        Ok(())
    }))
}

fn panics(_: &Request) -> Response {
    panic!("this is what /panic is for")
}

fn within(value: u64, bounds: RangeInclusive<u64>) -> Result<u64, Error> {
    if bounds.contains(&value) { Ok(value) } else { Err(Error::ParameterInvalid) }
}

fn millis(value: u64) -> Duration {
    Duration::from_millis(value)
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).expect("`CHUNK_BYTES` bounds it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_links_to_every_route() {
        let links = [
            "/plaintext",
            "/json",
            "/user/",
            "/sleep/",
            "/block/",
            "/file",
            "/stream",
            "/events",
            "/panic",
            "/fib/",
            "/burn/",
            "/offload/plaintext",
            "/offload/stream",
            "/offload/sleep/",
            "/hang",
            "/exit",
            "/crash\"",
            "/crash/descriptors",
            "/crash/memory",
            "/crash/panic",
            "/crash/segv",
            "/crash/stack",
        ];
        for link in links {
            assert!(PAGE.contains(&format!("href=\"{link}")), "{link}");
        }
        for form in ["action=\"/echo\"", "action=\"/offload/echo\"", "\"/thumbnail?"] {
            assert!(PAGE.contains(form), "{form}");
        }
    }

    #[test]
    fn the_page_loads_nothing() {
        for loader in ["src=", "url(", "@import", "rel=\"stylesheet\"", "href=\"http", "href=\"//"]
        {
            assert!(!PAGE.contains(loader), "{loader}");
        }
    }

    #[test]
    fn values_stay_within_their_bounds() {
        assert_eq!(within(30_000, WAIT_MS), Ok(30_000));
        assert_eq!(within(30_001, WAIT_MS), Err(Error::ParameterInvalid));
        assert_eq!(within(0, CHUNK_BYTES), Err(Error::ParameterInvalid));
        assert_eq!(within(0, EVENT_GAP_MS), Err(Error::ParameterInvalid));
    }
}
