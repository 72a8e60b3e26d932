//! RFC 9112 9: keep-alive, close, pipelining, half-closed clients.

use super::case::{
    Case, End, Step, case, get, last, post, refuse, script, send, serve, status, text,
};

fn user(id: &str) -> Vec<u8> {
    format!("GET /user/{id} HTTP/1.1\r\nHost: it\r\n\r\n").into_bytes()
}

fn old(fields: &str) -> Vec<u8> {
    format!("GET /user/x HTTP/1.0\r\n{fields}\r\n").into_bytes()
}

/// The table.
pub(crate) fn cases() -> Vec<Case> {
    let ok = || serve([text("x").without("keep-alive")]);
    let closed = || last([text("x")]);
    let many = |count: usize| {
        (0..count).map(|index| user(&index.to_string())).collect::<Vec<_>>().concat()
    };
    let answers =
        |count: usize| (0..count).map(|index| text(index.to_string())).collect::<Vec<_>>();
    vec![
        case("9112 9.3", "HTTP/1.1 stays", get(""), ok()),
        case("9112 9.3", "an explicit keep-alive changes nothing", get("Connection: keep-alive\r\n"), ok()),
        case("9112 9.6", "close is obeyed and announced", get("Connection: close\r\n"), closed()),
        case("9110 7.6.1", "close in any case of letters", get("Connection: CLOSE\r\n"), closed()),
        case("9110 7.6.1", "close in a list", get("Connection: foo, close\r\n"), closed()),
        case("9110 7.6.1", "close first in a list", get("Connection: close, foo\r\n"), closed()),
        case("9110 7.6.1", "close without space in a list", get("Connection: foo,close,bar\r\n"), closed()),
        case("9110 7.6.1", "close in a second line", get("Connection: foo\r\nConnection: close\r\n"), closed()),
        case("9110 5.6.1", "close beside empty members", get("Connection: , ,close,\r\n"), closed()),
        case("9112 9.3", "close wins over keep-alive", get("Connection: keep-alive, close\r\n"), closed()),
        case("9112 9.3", "close wins in either order", get("Connection: close, keep-alive\r\n"), closed()),
        case("9112 9.3", "close wins over keep-alive in another line", get("Connection: close\r\nConnection: keep-alive\r\n"), closed()),
        case("9110 7.6.1", "closed is not close", get("Connection: closed\r\n"), ok()),
        case("9110 7.6.1", "x-close is not close", get("Connection: x-close\r\n"), ok()),
        case("9110 7.6.1", "an empty Connection", get("Connection:\r\n"), ok()),
        case("9110 7.6.1", "an unknown option", get("Connection: foo\r\n"), ok()),
        case("9110 7.6.1", "Connection that names Host", get("Connection: Host\r\n"), ok()),
        case("9110 7.6.1", "Proxy-Connection is no field of ours", get("Proxy-Connection: close\r\n"), ok()),
        case("9110 7.6.1", "Keep-Alive is no field of ours", get("Keep-Alive: timeout=1, max=1\r\n"), ok()),
        case("9112 9.3", "HTTP/1.0 is closed", old(""), last([text("x").for_http10()])),
        case("9112 9.3", "HTTP/1.0 with keep-alive stays, and the answer says so", old("Connection: keep-alive\r\n"), serve([text("x").for_http10().field("connection", "keep-alive")])),
        case("9112 9.3", "keep-alive in another case of letters", old("Connection: Keep-Alive\r\n"), serve([text("x").for_http10().field("connection", "keep-alive")])),
        case("9112 9.3", "HTTP/1.0 with close and keep-alive", old("Connection: close, keep-alive\r\n"), last([text("x").for_http10()])),
        case("9112 9.3", "HTTP/1.0 with close", old("Connection: close\r\n"), last([text("x").for_http10()])),
        case("9112 9.3", "HTTP/1.0 and then HTTP/1.1 on one connection", [old("Connection: keep-alive\r\n"), get("")].concat(), serve([text("x").for_http10(), text("x")])),
        case("9112 9.3", "two of HTTP/1.0 with keep-alive", old("Connection: keep-alive\r\n").repeat(2), serve([text("x").for_http10(), text("x").for_http10()])),
        case("9112 9.6", "nothing behind a close is answered", [get("Connection: close\r\n"), user("y")].concat(), closed()),
        case("9112 9.6", "nothing behind the last of HTTP/1.0 is answered", [old(""), user("y")].concat(), last([text("x").for_http10()])),
        case("9112 9.6", "garbage behind a close is not looked at", [get("Connection: close\r\n"), b"\0\0\0 garbage".to_vec()].concat(), closed()),
        case("9112 9.6", "close behind content", post("Connection: close\r\nContent-Length: 5\r\n", "hello"), last([text("hello")])),
        case("9112 9.3.2", "two at once", many(2), serve(answers(2))),
        case("9112 9.3.2", "sixteen at once, in order", many(16), serve(answers(16))),
        case("9112 9.3.2", "a thousand at once, in order", many(1000), serve(answers(1000))),
        case("9112 9.3.2", "routes of all kinds, in order", [user("a"), b"GET /sleep/30 HTTP/1.1\r\nHost: it\r\n\r\n".to_vec(), user("b"), b"GET /nothing HTTP/1.1\r\nHost: it\r\n\r\n".to_vec(), user("c")].concat(), serve([text("a"), status(&[200]), text("b"), status(&[404]), text("c")])),
        case("9112 9.3.2", "an answer waits for a slower one before it", [b"GET /sleep/50 HTTP/1.1\r\nHost: it\r\n\r\n".to_vec(), user("b")].concat(), serve([status(&[200]), text("b")])),
        case("9112 9.3.2", "a stream before a short answer", [b"GET /stream?chunks=3&bytes=100&gap_ms=5 HTTP/1.1\r\nHost: it\r\n\r\n".to_vec(), user("b")].concat(), serve([status(&[200]).field("transfer-encoding", "chunked"), text("b")])),
        case("9112 9.3.2", "content in the middle", [user("a"), post("Content-Length: 5\r\n", "hello"), user("b")].concat(), serve([text("a"), text("hello"), text("b")])),
        case("9112 9.3.2", "close in the middle ends it there", [user("a"), get("Connection: close\r\n"), user("b")].concat(), last([text("a"), text("x")])),
        case("9112 9.3.2", "an error in the middle ends it there, behind the answers before", [user("a"), user("b"), b"BAD\r\n\r\n".to_vec(), user("c")].concat(), last([text("a"), text("b"), status(&[400])])),
        case("9112 9.3.2", "an error behind a slow one comes in its turn", [b"GET /sleep/50 HTTP/1.1\r\nHost: it\r\n\r\n".to_vec(), b"BAD\r\n\r\n".to_vec()].concat(), last([status(&[200]), status(&[400])])),
        case("9112 9.3.2", "a 404 in the middle ends nothing", [user("a"), b"GET /nothing HTTP/1.1\r\nHost: it\r\n\r\n".to_vec(), user("b")].concat(), serve([text("a"), status(&[404]), text("b")])),
        case("9112 6.3", "garbage behind a request is the next request", [user("a"), b"garbage\r\n\r\n".to_vec()].concat(), last([text("a"), status(&[400])])),
        case("9112 9.3", "an answer of unknown length to HTTP/1.0 ends with the connection", b"GET /stream?chunks=3&bytes=10&gap_ms=0 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", last([status(&[200]).for_http10()])),
        case("9112 7.1", "the same to HTTP/1.1 is chunked", b"GET /stream?chunks=3&bytes=10&gap_ms=0 HTTP/1.1\r\nHost: it\r\n\r\n", serve([status(&[200]).field("transfer-encoding", "chunked")])),
        case("9112 9.6", "a stream with close", b"GET /stream?chunks=3&bytes=10&gap_ms=0 HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n", last([status(&[200])])),
        script("9112 9.5", "a client that half-closes behind a request is answered", [send(user("a")), Step::Finish, Step::Expect(text("a"))], End::Closed),
        script("9112 9.5", "the same with an async handler", [send("GET /sleep/30 HTTP/1.1\r\nHost: it\r\n\r\n"), Step::Finish, Step::Expect(status(&[200]))], End::Closed),
        script("9112 9.5", "the same with a stream", [send("GET /stream?chunks=3&bytes=10&gap_ms=5 HTTP/1.1\r\nHost: it\r\n\r\n"), Step::Finish, Step::Expect(status(&[200]))], End::Closed),
        script("9112 9.5", "all that was sent before the half-close is answered", [send(many(5)), Step::Finish, Step::Expect(text("0")), Step::Expect(text("1")), Step::Expect(text("2")), Step::Expect(text("3")), Step::Expect(text("4"))], End::Closed),
        script("9112 9.5", "a half-close behind content", [send(post("Content-Length: 5\r\n", "hello")), Step::Finish, Step::Expect(text("hello"))], End::Closed),
        script("9112 8", "a half-close within a request line", [send("GET /us"), Step::Finish, Step::Cut(status(&[400, 408]))], End::Closed),
        script("9112 8", "a half-close within the fields", [send("GET /user/x HTTP/1.1\r\nHost: i"), Step::Finish, Step::Cut(status(&[400, 408]))], End::Closed),
        script("9112 9.5", "a half-close at once", [Step::Finish], End::Closed),
        script("9112 9.5", "a half-close behind an answer", [send(user("a")), Step::Expect(text("a")), Step::Finish], End::Closed),
        script("9112 9.5", "a half-close behind an empty line", [send("\r\n"), Step::Finish, Step::Cut(status(&[400, 408]))], End::Closed),
        script("9112 9.3", "ten requests one after the other", (0..10).flat_map(|index| [send(user(&index.to_string())), Step::Expect(text(index.to_string()))]), End::Open),
        script("9112 2.2", "half a request is waited for", [send("GET /user/x HTTP/1.1\r\nHo"), Step::Quiet, send("st: it\r\n\r\n"), Step::Expect(text("x"))], End::Open),
        script("9112 2.2", "half a line end is waited for", [send("GET /user/x HTTP/1.1\r\nHost: it\r\n\r"), Step::Quiet, send("\n"), Step::Expect(text("x"))], End::Open),
        script("9112 9.3.2", "the rest of the second request comes later", [send([user("a"), b"GET /user/b HT".to_vec()].concat()), Step::Expect(text("a")), Step::Quiet, send("TP/1.1\r\nHost: it\r\n\r\n"), Step::Expect(text("b"))], End::Open),
        script("9112 9.3.2", "a request sent while one before it runs", [send("GET /sleep/60 HTTP/1.1\r\nHost: it\r\n\r\n"), send(user("b")), Step::Expect(status(&[200])), Step::Expect(text("b"))], End::Open),
        script("9112 9.6", "a bad start is answered without waiting for the rest", [send("GET /user/x HTTP/9.9\r\n"), Step::Expect(status(&[505]))], End::Closed),
        script("9112 9.6", "a bad byte in the first line is answered when the line is there", [send("G\0T /user/x HTTP/1.1\r\n"), Step::Expect(status(&[400]))], End::Closed),
        case("9112 9.6", "a client that goes on writing still gets its error", [b"BAD\r\n\r\n".to_vec(), vec![b'a'; 30_000]].concat(), refuse(&[400])),
    ]
}
