//! The limits, set tight: RFC 9110 15.5.14 (413), 15.5.15 (414), RFC 6585 5 (431), RFC 9112 9.

use std::sync::OnceLock;

use super::case::{
    Case, End, Step, case, chunked, either, get, last, post, refuse, run, script, send, serve,
    status, text,
};
use crate::harness::{Launch, Server, shared};

static SERVER: OnceLock<Server> = OnceLock::new();

fn server() -> &'static Server {
    shared(&SERVER, || {
        Launch::demo()
            .shards(1)
            .set("limits.line-bytes", "1KiB")
            .set("limits.header-bytes", "2KiB")
            .set("limits.headers", "10")
            .set("limits.body", "64KiB")
            .set("limits.requests-per-connection", "4")
    })
}

fn target(bytes: usize) -> Vec<u8> {
    format!("GET /user/x?{} HTTP/1.1\r\nHost: it\r\n\r\n", "a".repeat(bytes)).into_bytes()
}

/// The table.
pub(crate) fn cases() -> Vec<Case> {
    let full = "a".repeat(65_536);
    let over = "a".repeat(65_537);
    let request = get("");
    vec![
        case("9110 15.5.15", "a line within the limit", target(900), serve([text("x")])),
        case("9110 15.5.15", "a line above it", target(1100), refuse(&[414])),
        case("9110 15.5.15", "a line far above it", target(30_000), refuse(&[414])),
        case(
            "9110 15.5.15",
            "a line above it that never ends",
            format!("GET /{}", "a".repeat(1100)),
            refuse(&[414]),
        ),
        case(
            "9110 15.5.15",
            "the limit is met again by the second request",
            [get(""), target(1100)].concat(),
            last([text("x"), status(&[414])]),
        ),
        case(
            "6585 5",
            "fields within the limit",
            get(&format!("A: {}\r\n", "b".repeat(1800))),
            serve([text("x")]),
        ),
        case(
            "6585 5",
            "fields above it",
            get(&format!("A: {}\r\n", "b".repeat(2100))),
            refuse(&[431]),
        ),
        case(
            "6585 5",
            "fields above it that never end",
            format!("GET /user/x HTTP/1.1\r\nA: {}", "b".repeat(2100)),
            refuse(&[431]),
        ),
        case("6585 5", "ten fields", get(&"A: b\r\n".repeat(9)), serve([text("x")])),
        case("6585 5", "eleven fields", get(&"A: b\r\n".repeat(10)), refuse(&[431])),
        case(
            "9110 15.5.14",
            "a body of just the limit",
            post("Content-Length: 65536\r\n", &full),
            serve([text(&full)]),
        ),
        case(
            "9110 15.5.14",
            "one byte more",
            post("Content-Length: 65537\r\n", ""),
            refuse(&[413]),
        ),
        case(
            "9110 15.5.14",
            "one byte more, with the body",
            post("Content-Length: 65537\r\n", &over),
            refuse(&[413]),
        ),
        case(
            "9110 15.5.14",
            "a chunked body of just the limit",
            chunked(format!("10000\r\n{full}\r\n0\r\n\r\n")),
            serve([text(&full)]),
        ),
        case(
            "9110 15.5.14",
            "a chunk above it is refused at its size, before any content of the answer",
            chunked("10001\r\n"),
            refuse(&[413]),
        ),
        script(
            "9110 15.5.14",
            "chunks that pass it together: refused, or the answer that has begun is cut",
            [
                send(chunked("9000\r\n")),
                send("a".repeat(0x9000)),
                send("\r\n9000\r\n"),
                send("a".repeat(0x9000)),
                Step::Cut(status(&[413])),
            ],
            End::Closed,
        ),
        case(
            "9110 15.5.14",
            "a limit on content of a route that does not read it",
            b"GET /user/x HTTP/1.1\r\nHost: it\r\nContent-Length: 65537\r\n\r\n",
            refuse(&[413]),
        ),
        script(
            "9112 9.6",
            "the fourth of four requests is the last",
            [
                send(request.repeat(4)),
                Step::Expect(text("x")),
                Step::Expect(text("x")),
                Step::Expect(text("x")),
                Step::Expect(text("x")),
            ],
            End::Closed,
        ),
        script(
            "9112 9.6",
            "a fifth is not answered",
            [
                send(request.repeat(5)),
                Step::Expect(text("x")),
                Step::Expect(text("x")),
                Step::Expect(text("x")),
                Step::Expect(text("x")),
            ],
            End::Closed,
        ),
        case(
            "9112 9.6",
            "an unread body that is larger than what is drained ends the connection",
            [
                b"POST /nothing HTTP/1.1\r\nHost: it\r\nContent-Length: 60000\r\n\r\n".to_vec(),
                vec![b'a'; 60_000],
            ]
            .concat(),
            either([status(&[404, 405])]),
        ),
    ]
}

#[test]
fn limits_have_their_own_answers() {
    run(server().address, &cases());
}
