//! Streams: order, trailers, back-pressure, and their end before time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::executor;
use crate::handler::{Event, Loaded, Request, Response, body, offload};
use crate::worker::serve::{Serving, Turn};

const CHUNKS: usize = 64;

static PRODUCED: AtomicUsize = AtomicUsize::new(0);

fn chunk(number: usize) -> Vec<u8> {
    content(BLOCK).iter().map(|byte| byte ^ number as u8).collect()
}

fn many_chunks(_: &Request) -> Response {
    Response::stream("text/plain", async |sender| {
        for number in 0..CHUNKS {
            sender.send(chunk(number)).await?;
            PRODUCED.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    })
}

fn hello(_: &Request) -> &'static str {
    "hello"
}

#[test]
fn a_shard_that_takes_nothing_stops_the_producer_and_nobody_else() {
    let mut company = Plan::of(|| vec![offload("cpu", many_chunks), offload("cpu", hello)]).start();
    let slow = company.submit(0, "/", b"");
    company.wait_for("a full window", |_| PRODUCED.load(Ordering::SeqCst) >= 8);
    for _ in 0..100 {
        let ticket = company.submit(1, "/", b"");
        assert_eq!(company.answer(ticket).body, b"hello");
    }
    // The window, what is on its way to it, and what fits into the channel.
    assert!(PRODUCED.load(Ordering::SeqCst) <= 12);
    let got = company.answer(slow);
    assert!(got.body == (0..CHUNKS).flat_map(chunk).collect::<Vec<_>>());
    assert!(!got.failed);
    company.close();
}

fn with_trailers(_: &Request) -> Response {
    let (sender, stream) = body::channel(1 << 10);
    sender.push("a body".into()).unwrap();
    sender.finish(vec![(HeaderName::from_static("x-sum"), HeaderValue::from_static("6"))]);
    let mut response = Response::stream("text/plain", async |_| Ok(()));
    if let crate::handler::response::Content::Stream(own) = &mut response.content {
        (own.body, own.producer) = (stream, None);
    }
    response
}

fn small_chunks(_: &Request) -> Response {
    Response::stream("text/plain", async |sender| {
        for number in 0..10_000 {
            sender.send(format!("{number}\n")).await?;
        }
        Ok(())
    })
}

fn answered_from_routes() -> Vec<Offload> {
    vec![offload("cpu", with_trailers), offload("cpu", small_chunks)]
}

#[test]
fn streams_arrive_as_they_were_written() {
    for threads in [1, 2] {
        let mut company = Plan::of(answered_from_routes).on_threads(threads).start();
        let ticket = company.submit(0, "/", b"");
        let got = company.answer(ticket);
        assert_eq!((got.body, got.carriage), (b"a body".to_vec(), Some(Carriage::Chunks(None))));
        assert_eq!(got.trailers.len(), 1);
        let (name, value) = &got.trailers[0];
        assert_eq!((name.as_str(), value.as_bytes()), ("x-sum", &b"6"[..]));
        let ticket = company.submit(1, "/", b"");
        let expected: String = (0..10_000).map(|number| format!("{number}\n")).collect();
        assert!(company.answer(ticket).body == expected.as_bytes());
        let ticket = company.submit_as("HEAD", (1, "/"), Carriage::Whole(0), b"");
        let got = company.answer(ticket);
        assert_eq!((got.status, got.body.len(), got.failed), (OK, 0, false));
        company.close();
    }
}

/// Sets its flag when it is dropped.
struct Flag(&'static AtomicBool);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

static BEGUN: AtomicUsize = AtomicUsize::new(0);
static HANDLER_DROPPED: AtomicBool = AtomicBool::new(false);
static PRODUCER_DROPPED: AtomicBool = AtomicBool::new(false);

async fn never(_: Request) -> Response {
    let _flag = Flag(&HANDLER_DROPPED);
    BEGUN.fetch_add(1, Ordering::SeqCst);
    std::future::pending().await
}

async fn never_more(_: Request) -> Response {
    Response::stream("text/plain", async |sender| {
        let _flag = Flag(&PRODUCER_DROPPED);
        sender.send("first").await?;
        std::future::pending().await
    })
}

#[test]
fn a_job_that_is_taken_back_drops_what_runs_for_it() {
    let mut company = Plan::of(|| vec![offload("cpu", never), offload("cpu", never_more)]).start();
    let ticket = company.submit(0, "/", b"");
    company.wait_for("the handler", |_| BEGUN.load(Ordering::SeqCst) == 1);
    assert!(company.client.cancel(ticket));
    assert_eq!(company.outcome(ticket), Outcome::Cancelled);
    company.wait_for("its end", |_| HANDLER_DROPPED.load(Ordering::SeqCst));
    let ticket = company.submit(1, "/", b"");
    let mut got = Got::default();
    company.wait_for("a chunk", |company| {
        company.take_items(ticket, &mut got);
        !got.body.is_empty()
    });
    assert!(company.client.cancel(ticket));
    assert_eq!(company.outcome(ticket), Outcome::Cancelled);
    company.wait_for("its end", |_| PRODUCER_DROPPED.load(Ordering::SeqCst));
    company.close();
}

fn silent_events(_: &Request) -> Response {
    Response::events(async |events| {
        events.send(Event::new("one")).await?;
        std::future::pending().await
    })
    .keep_alive_every(Duration::from_millis(5))
}

#[test]
fn a_silent_event_stream_is_kept_alive() {
    for threads in [1, 2] {
        let mut company =
            Plan::of(|| vec![offload("cpu", silent_events)]).on_threads(threads).start();
        let ticket = company.submit(0, "/", b"");
        let mut got = Got::default();
        company.wait_for("comments", |company| {
            assert!(!company.take_items(ticket, &mut got));
            got.body.ends_with(b":\n\n:\n\n:\n\n")
        });
        assert!(got.body.starts_with(b"data: one\n\n:\n\n"));
        assert!(company.client.cancel(ticket));
        assert_eq!(company.outcome(ticket), Outcome::Cancelled);
        company.close();
    }
}

fn many_events(_: &Request) -> Response {
    Response::events(async |events| {
        loop {
            events.send(Event::new(&"x".repeat(4096))).await?;
        }
    })
    .keep_alive_every(Duration::from_millis(1))
}

#[test]
fn a_stream_that_waits_for_room_owes_no_comment() {
    let (mut company, region, _channel) = Company::without_worker();
    let ticket = company.submit(0, "/", b"");
    executor::run(async move {
        let (routes, spin) = (routes_of(vec![offload("cpu", many_events)]), SpinPolicy::NEVER);
        let jobs = Jobs { region, index: WORKER, routes, jobs_max: None, threads: 1, spin };
        let mut serving = Serving::new(jobs, &Loaded::new(())).unwrap();
        // Both before and after a comment would be due.
        for _ in 0..2 {
            let until = Instant::now() + PATIENCE;
            while serving.turn() != Turn::Idle || serving.due() != u64::MAX {
                assert!(Instant::now() < until, "it never comes to rest");
                executor::yield_now().await;
            }
            assert_eq!(serving.running(), 1);
            executor::sleep(Duration::from_millis(5)).await;
        }
        company.client.cancel(ticket);
    })
    .unwrap();
}

/// Reads its request to the end while nobody reads its answer.
async fn read_all_while_writing(mut request: Request) -> Response {
    let (sender, stream) = body::channel(1 << 10);
    let mut body = request.take_body();
    // A task of its own: it goes on while the response is being sent.
    let reading = executor::spawn(async move {
        let mut bytes = 0;
        while let Some(Ok(chunk)) = body.next().await {
            bytes += chunk.len();
            if sender.push(vec![b'.'; chunk.len()].into()).is_err() {
                return;
            }
        }
        let _ = sender.push(format!("{bytes}").into());
    });
    let response = Response::relay(stream);
    std::mem::forget(reading);
    response
}

#[test]
fn a_request_is_read_while_its_answer_waits_for_room() {
    let mut company = Plan::of(|| vec![offload("cpu", read_all_while_writing)]).start();
    let bytes = 4 << 20;
    let ticket = company.submit_open(0, "/", None);
    assert!(company.send(ticket, &content(bytes)), "all of it, before anything is taken back");
    company.send_end(ticket, b"");
    let got = company.answer(ticket);
    assert_eq!(got.body.len(), bytes + bytes.to_string().len());
    company.close();
}

async fn refuse(_: Request) -> &'static str {
    "no, thank you"
}

async fn refuse_later(mut request: Request) -> Response {
    drop(request.take_body());
    executor::sleep(Duration::from_millis(20)).await;
    Response::fixed("no, thank you")
}

#[test]
fn a_body_that_nobody_reads_is_not_waited_for() {
    let mut company =
        Plan::of(|| vec![offload("cpu", refuse), offload("cpu", refuse_later)]).start();
    for route in [0, 1] {
        let ticket = company.submit_open(route, "/", None);
        let got = company.answer_sending(ticket, &content(4 << 20));
        assert_eq!((got.status, &*got.body), (OK, &b"no, thank you"[..]));
    }
    company.close();
}

async fn cut_off(mut request: Request) -> Response {
    match request.take_body().collect(usize::MAX).await {
        Ok(_) => Response::fixed("all of it"),
        Err(error) => Response::text(error.to_string()),
    }
}

#[test]
fn a_request_that_breaks_off_is_never_taken_for_all() {
    let mut company = Plan::of(|| vec![offload("cpu", cut_off), offload("cpu", hello)]).start();
    for (route, status, body) in [(0, OK, "the body ended early"), (1, 400, "")] {
        let ticket = company.submit_open(route, "/", None);
        assert!(company.send(ticket, b"part"));
        company.client.send_failed(ticket).unwrap();
        let got = company.answer(ticket);
        assert_eq!(got.status, status);
        assert!(String::from_utf8_lossy(&got.body).contains(body));
    }
    company.close();
}
