//! Every kind of handler, and bodies of every size.

use super::*;
use crate::executor;
use crate::handler::{Body, Gone, Request, Response, Sender, offload};

fn describe(request: &Request) -> String {
    format!(
        "{} {} name={} q={:?} x={:?} body={}",
        request.method(),
        request.path(),
        request.param("name"),
        request.query("q"),
        request.header_str("x-test"),
        request.body().len()
    )
}

async fn describe_later(mut request: Request) -> Response {
    executor::sleep(Duration::from_millis(1)).await;
    let body = request.take_body().collect(usize::MAX).await.unwrap();
    Response::text(format!("{} later={}", describe(&request), body.len()))
}

fn echo(request: &Request) -> Response {
    Response::bytes(plus_one(request.body()))
}

async fn echo_later(mut request: Request) -> Response {
    let body = request.take_body().collect(usize::MAX).await.unwrap();
    Response::bytes(plus_one(&body))
}

async fn relay(mut request: Request) -> Response {
    Response::relay(request.take_body())
}

fn routes() -> Vec<Offload> {
    vec![
        offload("cpu", describe),
        offload("cpu", describe_later),
        offload("cpu", echo),
        offload("cpu", echo_later),
        offload("cpu", relay),
    ]
}

#[test]
fn handlers_see_the_request() {
    let mut company = Plan::of(routes).start();
    let expected = "POST /a name=value q=Some(\"1\") x=Some(\"yes\") body=4";
    let ticket = company.submit(0, "/a?q=1", b"body");
    let got = company.answer(ticket);
    assert_eq!(String::from_utf8_lossy(&got.body), expected);
    assert_eq!((got.status, got.carriage), (OK, Some(Carriage::Whole(expected.len() as u64))));
    assert_eq!(got.fields[0].1, "text/plain; charset=utf-8");
    let ticket = company.submit(1, "/a?q=1", b"body");
    let got = company.answer(ticket);
    // The body of an async handler is a stream, however it came.
    let expected = expected.replace("body=4", "body=0 later=4");
    assert_eq!(String::from_utf8_lossy(&got.body), expected);
    company.close();
}

/// Every border of a body, and what lies between.
fn sizes() -> Vec<usize> {
    let head = 100;
    let borders = [0, SLOT - head, SLOT, SLOT + BLOCK, 8 * BLOCK, 15 * BLOCK, 16 * BLOCK + SLOT];
    let around = |border: usize| [border.saturating_sub(1), border, border + 1];
    borders.into_iter().flat_map(around).chain([1 << 20, 3 << 20]).collect()
}

#[track_caller]
fn check_echo(route: u16, expected: impl Fn(&[u8]) -> Vec<u8>) {
    let mut company = Plan::of(routes).start();
    for size in sizes() {
        let body = content(size);
        if size <= 14 * BLOCK {
            let ticket = company.submit(route, "/", &body);
            let got = company.answer(ticket);
            assert!(got.body == expected(&body) && got.status == OK, "{size} in one message");
        }
        for length in [None, Some(size as u64)] {
            let ticket = company.submit_open(route, "/", length);
            let got = company.answer_sending(ticket, &body);
            assert!(got.body == expected(&body) && got.status == OK, "{size} in chunks");
            assert!(!got.failed);
        }
    }
    company.close();
}

#[test]
fn a_plain_handler_gets_bodies_of_all_sizes() {
    check_echo(2, plus_one);
}

#[test]
fn an_async_handler_gets_bodies_of_all_sizes() {
    check_echo(3, plus_one);
}

#[test]
fn a_relay_passes_bodies_of_all_sizes() {
    check_echo(4, <[u8]>::to_vec);
}

fn panics(_: &Request) -> Response {
    panic!("a plain handler")
}

async fn panics_later(_: Request) -> Response {
    executor::yield_now().await;
    panic!("an async handler")
}

fn panics_in_stream(_: &Request) -> Response {
    Response::stream("text/plain", async |sender| {
        sender.send("so far").await?;
        panic!("a producer")
    })
}

fn too_many_fields(_: &Request) -> Response {
    let name = HeaderName::from_static("x-more");
    let value = HeaderValue::from_static("more");
    (0..2000).fold(Response::fixed(""), |response, _| response.with(name.clone(), value.clone()))
}

fn faults() -> Vec<Offload> {
    vec![
        offload("cpu", panics),
        offload("cpu", panics_later),
        offload("cpu", panics_in_stream),
        offload("cpu", too_many_fields),
        offload("cpu", echo),
    ]
}

#[test]
fn what_goes_wrong_costs_one_request() {
    for threads in [1, 2] {
        let mut company = Plan::of(faults).on_threads(threads).start();
        for (route, status) in [(0, 500), (1, 500), (3, 500), (4, OK), (99, 500)] {
            let ticket = company.submit(route, "/", b"body");
            assert_eq!(company.answer(ticket).status, status, "route {route}");
        }
        let ticket = company.submit(2, "/", b"");
        let got = company.answer(ticket);
        assert!(got.failed && got.status == OK, "{got:?}");
        for message in [&b""[..], b"short", &[0; 64], &[1; 64], &[0xff; 300]] {
            let ticket = company.submit_raw(message);
            assert_eq!(company.answer(ticket).status, 500);
        }
        let ticket = company.submit_open(4, "/", Some(3));
        assert_eq!(company.answer_sending(ticket, b"more").status, 500, "longer than it says");
        let ticket = company.submit_open(4, "/", Some(30));
        assert_eq!(company.answer_sending(ticket, b"less").status, 500, "shorter than it says");
        let ticket = company.submit(4, "/", b"good");
        assert_eq!(company.answer(ticket).body, plus_one(b"good"));
        company.close();
    }
}

fn large_head(_: &Request) -> Response {
    let value = HeaderValue::from_str(&"v".repeat(60_000)).unwrap();
    let name = HeaderName::from_static("x-large");
    (0..3).fold(Response::fixed("small"), |response, _| response.with(name.clone(), value.clone()))
}

fn large_head_of_stream(request: &Request) -> Response {
    let response = Response::relay(Body::empty());
    assert_eq!(response.status_code(), StatusCode::OK);
    Response { fields: large_head(request).fields, ..Response::stream("text/plain", produce) }
}

async fn produce(sender: Sender) -> Result<(), Gone> {
    sender.send("streamed").await
}

#[test]
fn heads_may_be_larger_than_a_slot() {
    let routes = || vec![offload("cpu", large_head), offload("cpu", large_head_of_stream)];
    let mut company = Plan::of(routes).start();
    for (route, body) in [(0, &b"small"[..]), (1, b"streamed")] {
        let ticket = company.submit(route, "/", b"");
        let got = company.answer(ticket);
        assert_eq!((got.status, &*got.body), (OK, body));
        let large =
            got.fields.iter().filter(|(name, value)| name == "x-large" && value.len() == 60_000);
        assert_eq!(large.count(), 3);
    }
    company.close();
}
