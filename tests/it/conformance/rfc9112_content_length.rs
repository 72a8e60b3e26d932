//! RFC 9112 6.2 and 6.3, RFC 9110 8.6: bodies of a known length.

use super::case::{
    Case, End, Step, case, chunked, get, last, post, refuse, script, send, serve, status, text,
};

fn length(value: &str) -> Vec<u8> {
    post(&format!("Content-Length:{value}\r\n"), "hello")
}

/// The table.
pub(crate) fn cases() -> Vec<Case> {
    let bad = || refuse(&[400]);
    let hidden = "GET /user/hidden HTTP/1.1\r\nHost: it\r\n\r\n";
    let mut cases = vec![
        case("9112 6.2", "exactly so many bytes", length(" 5"), serve([text("hello")])),
        case("9112 6.2", "no space before the number", length("5"), serve([text("hello")])),
        case("9112 6.2", "white space behind the number", length(" 5 \t"), serve([text("hello")])),
        case("9110 8.6", "leading zeros are digits", length(" 005"), serve([text("hello")])),
        case(
            "9110 8.6",
            "many leading zeros",
            length(&format!(" {}5", "0".repeat(40))),
            super::case::either([status(&[200, 400])]),
        ),
        case("9110 8.6", "zero", post("Content-Length: 0\r\n", ""), serve([text("")])),
        case("9112 6.3", "neither length nor coding: no body", post("", ""), serve([text("")])),
        case(
            "9112 6.3",
            "the byte behind the body begins the next request",
            post("Content-Length: 5\r\n", format!("hello{hidden}")),
            serve([text("hello"), text("hidden")]),
        ),
        case(
            "9112 6.3",
            "a body that looks like a request is a body",
            post(&format!("Content-Length: {}\r\n", hidden.len()), hidden),
            serve([text(hidden)]),
        ),
        case(
            "9112 6.3",
            "a body of line ends",
            post("Content-Length: 4\r\n", "\r\n\r\n"),
            serve([text("\r\n\r\n")]),
        ),
        case(
            "9112 6.3",
            "a body that looks like chunks",
            post("Content-Length: 5\r\n", "0\r\n\r\n"),
            serve([text("0\r\n\r\n")]),
        ),
        case(
            "9112 6.3",
            "three bodies in a row",
            [length(" 5"), length(" 5"), length(" 5")].concat(),
            serve([text("hello"), text("hello"), text("hello")]),
        ),
        case(
            "9112 6.3",
            "a body of 100,000 bytes",
            post("Content-Length: 100000\r\n", "a".repeat(100_000)),
            serve([text("a".repeat(100_000))]),
        ),
        case(
            "9112 6.3",
            "a body and then close",
            post("Content-Length: 5\r\nConnection: close\r\n", "hello"),
            last([text("hello")]),
        ),
        case(
            "9112 6.3",
            "a body from an HTTP/1.0 client",
            b"POST /echo HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
            last([text("hello").for_http10()]),
        ),
        case(
            "9112 6.3",
            "two lines that differ",
            post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
            bad(),
        ),
        case(
            "9112 6.3",
            "two lines that differ, the smaller last",
            post("Content-Length: 6\r\nContent-Length: 5\r\n", "hello!"),
            bad(),
        ),
        case(
            "9112 6.3",
            "two lines that say the same",
            post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
            bad(),
        ),
        case(
            "9112 6.3",
            "two lines with other fields between",
            post("Content-Length: 5\r\nA: b\r\nContent-Length: 5\r\n", "hello"),
            bad(),
        ),
        case(
            "9112 6.3",
            "two lines, one of them empty",
            post("Content-Length: 5\r\nContent-Length:\r\n", "hello"),
            bad(),
        ),
        case(
            "9110 5.1",
            "the name in another case is the same field",
            post("Content-Length: 5\r\ncONTENT-lENGTH: 6\r\n", "hello!"),
            bad(),
        ),
        case(
            "9110 5.1",
            "the name in lower case",
            post("content-length: 5\r\n", "hello"),
            serve([text("hello")]),
        ),
        case(
            "9112 6.3",
            "length and coding together",
            post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            bad(),
        ),
        case(
            "9112 6.3",
            "coding and length together",
            post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            bad(),
        ),
        case(
            "9112 6.3",
            "a length of zero beside a coding",
            post(
                "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
                format!("0\r\n\r\n{hidden}"),
            ),
            bad(),
        ),
        case(
            "9112 6.3",
            "a coding beside a length that covers it",
            post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", format!("5c\r\n{hidden}")),
            bad(),
        ),
        case(
            "9112 6.3",
            "a bad length beside a coding",
            post("Content-Length: x\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            bad(),
        ),
        case(
            "9112 6.3",
            "an unknown coding beside a length",
            post("Content-Length: 5\r\nTransfer-Encoding: gzip\r\n", "hello"),
            refuse(&[400, 501]),
        ),
        case("9112 6.3", "a bad length on a GET", get("Content-Length: x\r\n"), bad()),
        case(
            "9112 6.3",
            "a bad length on HTTP/1.0",
            b"POST /echo HTTP/1.0\r\nContent-Length: x\r\n\r\n",
            bad(),
        ),
        case(
            "9110 15.5.14",
            "a length above the limit is refused at the head",
            post("Content-Length: 16777217\r\n", ""),
            refuse(&[413]),
        ),
        case(
            "9110 15.5.14",
            "a length of many terabytes",
            post("Content-Length: 99999999999999\r\n", ""),
            refuse(&[413]),
        ),
        case(
            "9110 8.6",
            "the greatest number of 64 bits",
            post("Content-Length: 18446744073709551615\r\n", ""),
            refuse(&[413, 400]),
        ),
        case(
            "9110 8.6",
            "a number that wraps around to 5 in 64 bits",
            length(" 18446744073709551621"),
            refuse(&[400, 413]),
        ),
        case(
            "9110 8.6",
            "a number that wraps around to 5 in 32 bits",
            length(" 4294967301"),
            refuse(&[413]),
        ),
        case(
            "9110 8.6",
            "a number of a hundred digits",
            length(&format!(" {}", "9".repeat(100))),
            refuse(&[400, 413]),
        ),
        script(
            "9112 6.3",
            "the rest of a body is waited for",
            [send(post("Content-Length: 5\r\n", "hell")), send("o"), Step::Expect(text("hello"))],
            End::Open,
        ),
        script(
            "9112 8",
            "a body that ends early is not a request",
            [
                send(post("Content-Length: 5\r\n", "he")),
                Step::Finish,
                Step::Cut(status(&[400, 408])),
            ],
            End::Closed,
        ),
        case(
            "9112 6.3",
            "bodies of both kinds in turn",
            [length(" 5"), chunked("3\r\nabc\r\n0\r\n\r\n"), length(" 5")].concat(),
            serve([text("hello"), text("abc"), text("hello")]),
        ),
    ];
    let values = [
        ("empty", ""),
        ("white space", " \t"),
        ("a sign", " +5"),
        ("a minus", " -5"),
        ("minus nothing", " -0"),
        ("hex", " 0x5"),
        ("hex digits", " a"),
        ("a fraction", " 5.0"),
        ("an exponent", " 5e0"),
        ("a separator", " 1_0"),
        ("two numbers", " 5 5"),
        ("a number and a word", " 5 bytes"),
        ("a letter behind", " 5b"),
        ("a letter before", " b5"),
        ("a list of the same", " 5, 5"),
        ("a list without space", " 5,5"),
        ("a list of different ones", " 5, 6"),
        ("a list with an empty member", " 5,"),
        ("an empty member first", " ,5"),
        ("quotes", " \"5\""),
        ("a semicolon", " 5;"),
        ("a parameter", " 5;a=b"),
        ("a percent sign", " %35"),
        ("a word", " five"),
        ("a form feed", " \x0c5"),
        ("a NUL behind", " 5\0"),
        ("digits of another script", " \u{0665}"),
        ("digits of full width", " \u{ff15}"),
    ];
    cases.extend(
        values.map(|(what, value)| {
            case("9110 8.6", format!("no length: {what}"), length(value), bad())
        }),
    );
    cases
}
