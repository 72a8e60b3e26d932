//! RFC 9110 10.1.1: Expect.

use super::case::{Case, End, Step, case, either, post, refuse, script, send, serve, status, text};

const HEAD: &str = "Content-Length: 5\r\nExpect: 100-continue\r\n";

fn continues() -> Step {
    Step::Expect(status(&[100]).without("content-length").without("transfer-encoding"))
}

/// The table.
pub(crate) fn cases() -> Vec<Case> {
    let chunked = "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n";
    vec![
        script(
            "9110 10.1.1",
            "100 comes before the content is sent, the answer after it",
            [send(post(HEAD, "")), continues(), send("hello"), Step::Expect(text("hello"))],
            End::Open,
        ),
        script(
            "9110 10.1.1",
            "the same with chunked content",
            [
                send(post(chunked, "")),
                continues(),
                send("5\r\nhello\r\n0\r\n\r\n"),
                Step::Expect(text("hello")),
            ],
            End::Open,
        ),
        script(
            "9110 10.1.1",
            "100 comes once only",
            [
                send(post(HEAD, "")),
                continues(),
                send("he"),
                send("llo"),
                Step::Expect(text("hello")),
            ],
            End::Open,
        ),
        script(
            "9110 10.1.1",
            "twice on one connection",
            [
                send(post(HEAD, "")),
                continues(),
                send("hello"),
                Step::Expect(text("hello")),
                send(post(HEAD, "")),
                continues(),
                send("world"),
                Step::Expect(text("world")),
            ],
            End::Open,
        ),
        script(
            "9110 10.1.1",
            "the value in any case of letters",
            [
                send(post("Content-Length: 1\r\nExpect: 100-Continue\r\n", "")),
                continues(),
                send("a"),
                Step::Expect(text("a")),
            ],
            End::Open,
        ),
        script(
            "9110 10.1.1",
            "no 100 where nothing was expected",
            [send(post("Content-Length: 5\r\n", "")), send("hello"), Step::Expect(text("hello"))],
            End::Open,
        ),
        script(
            "9110 10.1.1",
            "no 100 for an HTTP/1.0 client",
            [
                send("POST /echo HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"),
                send("hello"),
                Step::Expect(text("hello").for_http10()),
            ],
            End::Closed,
        ),
        script(
            "9110 10.1.1",
            "a refusal comes instead of the 100",
            [
                send(
                    "POST /nothing HTTP/1.1\r\nHost: it\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
                ),
                Step::Expect(status(&[404, 405])),
            ],
            End::Closed,
        ),
        script(
            "9110 10.1.1",
            "a method that the route has not comes instead of the 100",
            [
                send(
                    "POST /plaintext HTTP/1.1\r\nHost: it\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
                ),
                Step::Expect(status(&[405])),
            ],
            End::Closed,
        ),
        script(
            "9110 10.1.1",
            "content above the limit is refused before it is sent",
            [
                send(post("Content-Length: 99999999999\r\nExpect: 100-continue\r\n", "")),
                Step::Expect(status(&[413])),
            ],
            End::Closed,
        ),
        script(
            "9110 10.1.1",
            "a bad request is refused without a 100",
            [
                send("POST /echo HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"),
                Step::Expect(status(&[400])),
            ],
            End::Closed,
        ),
        script(
            "9110 10.1.1",
            "100 belongs to its request, behind the answer of the one before",
            [
                send(
                    [b"GET /user/a HTTP/1.1\r\nHost: it\r\n\r\n".to_vec(), post(HEAD, "")].concat(),
                ),
                Step::Expect(text("a")),
                continues(),
                send("hello"),
                Step::Expect(text("hello")),
            ],
            End::Open,
        ),
        script(
            "9110 10.1.1",
            "content that comes unasked for is still the content",
            [send(post(HEAD, "he")), send("llo"), Step::ExpectFinal(text("hello"))],
            End::Open,
        ),
        case(
            "9110 10.1.1",
            "no content, no 100",
            post("Content-Length: 0\r\nExpect: 100-continue\r\n", ""),
            either([text("")]),
        ),
        case(
            "9110 10.1.1",
            "a GET that expects has nothing to wait for",
            b"GET /user/x HTTP/1.1\r\nHost: it\r\nExpect: 100-continue\r\n\r\n",
            either([text("x")]),
        ),
        case(
            "9110 10.1.1",
            "an expectation that we do not know",
            post("Content-Length: 5\r\nExpect: tea\r\n", ""),
            refuse(&[417]),
        ),
        case(
            "9110 10.1.1",
            "an unknown expectation without content",
            b"GET /user/x HTTP/1.1\r\nHost: it\r\nExpect: tea\r\n\r\n",
            either([status(&[417])]),
        ),
        case(
            "9110 10.1.1",
            "a known and an unknown expectation",
            post("Content-Length: 5\r\nExpect: 100-continue, tea\r\n", ""),
            refuse(&[417]),
        ),
        case(
            "9110 10.1.1",
            "the number alone is no expectation",
            post("Content-Length: 5\r\nExpect: 100\r\n", ""),
            refuse(&[417]),
        ),
        case(
            "9110 10.1.1",
            "an Expect in a field of another name",
            post("Content-Length: 5\r\nX-Expect: tea\r\n", "hello"),
            serve([text("hello")]),
        ),
    ]
}
