//! RFC 9112 2 and 3: where a request begins, and its first line.

use super::case::{Case, case, either, last, refuse, serve, status, text};

fn line(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: it\r\n\r\n").into_bytes()
}

fn long(bytes: usize) -> Vec<u8> {
    let filler = bytes - "GET /user/ HTTP/1.1".len();
    line(&format!("GET /user/{} HTTP/1.1", "a".repeat(filler)))
}

/// The table.
pub(crate) fn cases() -> Vec<Case> {
    let ok = || serve([text("x")]);
    let bad = || refuse(&[400]);
    let mut cases = vec![
        case("9112 3", "method, target, version", line("GET /user/x HTTP/1.1"), ok()),
        case(
            "9112 2.2",
            "an empty line before a request is passed over",
            [b"\r\n".to_vec(), line("GET /user/x HTTP/1.1")].concat(),
            ok(),
        ),
        case(
            "9112 2.2",
            "a few of them",
            [b"\r\n\r\n\r\n".to_vec(), line("GET /user/x HTTP/1.1")].concat(),
            ok(),
        ),
        case(
            "9112 2.2",
            "an empty line between requests",
            [line("GET /user/x HTTP/1.1"), b"\r\n".to_vec(), line("GET /user/y HTTP/1.1")].concat(),
            serve([text("x"), text("y")]),
        ),
        case("9112 2.2", "empty lines without end", b"\r\n".repeat(2000), bad()),
        case(
            "9112 2.2",
            "an empty line of a bare LF",
            [b"\n".to_vec(), line("GET /user/x HTTP/1.1")].concat(),
            bad(),
        ),
        case(
            "9112 2.2",
            "a bare CR before a request",
            [b"\r".to_vec(), line("GET /user/x HTTP/1.1")].concat(),
            bad(),
        ),
        case(
            "9112 2.2",
            "a NUL before a request",
            [b"\0".to_vec(), line("GET /user/x HTTP/1.1")].concat(),
            bad(),
        ),
        case("9112 3", "a space before the method", line(" GET /user/x HTTP/1.1"), bad()),
        case("9112 3", "a tab before the method", line("\tGET /user/x HTTP/1.1"), bad()),
        case("9112 3", "two spaces behind the method", line("GET  /user/x HTTP/1.1"), bad()),
        case("9112 3", "two spaces before the version", line("GET /user/x  HTTP/1.1"), bad()),
        case("9112 3", "a space behind the version", line("GET /user/x HTTP/1.1 "), bad()),
        case("9112 3", "a tab behind the version", line("GET /user/x HTTP/1.1\t"), bad()),
        case("9112 3", "tabs instead of spaces", line("GET\t/user/x\tHTTP/1.1"), bad()),
        case("9112 3", "a vertical tab instead of a space", line("GET\x0b/user/x HTTP/1.1"), bad()),
        case("9112 3", "a form feed instead of a space", line("GET /user/x\x0cHTTP/1.1"), bad()),
        case("9112 3.2", "a space within the target", line("GET /user/x y HTTP/1.1"), bad()),
        case("9112 3", "four words", line("GET /user/x HTTP/1.1 HTTP/1.1"), bad()),
        case("9112 3", "no target", line("GET HTTP/1.1"), bad()),
        case("9112 3", "a method alone", line("GET"), bad()),
        case("9112 3", "no version", line("GET /user/x"), refuse(&[400, 505])),
        case("9112 3", "a space but no version", line("GET /user/x "), refuse(&[400, 505])),
        case("9112 3", "a simple request of HTTP/0.9", b"GET /user/x\r\n\r\n", refuse(&[400, 505])),
        case("9112 3.1", "an empty method", line(" /user/x HTTP/1.1"), bad()),
        case("9112 3.1", "no method at all", line("/user/x HTTP/1.1"), bad()),
        case("9112 3.1", "a colon in the method", line("GE:T /user/x HTTP/1.1"), bad()),
        case("9112 3.1", "a slash in the method", line("GE/T /user/x HTTP/1.1"), bad()),
        case("9112 3.1", "brackets in the method", line("G(E)T /user/x HTTP/1.1"), bad()),
        case("9112 3.1", "a quote in the method", line("\"GET\" /user/x HTTP/1.1"), bad()),
        case("9112 3.1", "a comma in the method", line("GET,POST /user/x HTTP/1.1"), bad()),
        case(
            "9112 3.1",
            "a letter beyond ASCII in the method",
            line("G\u{cb}T /user/x HTTP/1.1"),
            bad(),
        ),
        case(
            "9112 2.2",
            "a bare LF behind the request line",
            b"GET /user/x HTTP/1.1\nHost: it\r\n\r\n",
            bad(),
        ),
        case(
            "9112 2.2",
            "a bare CR behind the request line",
            b"GET /user/x HTTP/1.1\rHost: it\r\n\r\n",
            bad(),
        ),
        case(
            "9112 2.2",
            "a CR within the target",
            b"GET /user/\rx HTTP/1.1\r\nHost: it\r\n\r\n",
            bad(),
        ),
        case(
            "9112 2.2",
            "a LF within the target",
            b"GET /user/\nx HTTP/1.1\r\nHost: it\r\n\r\n",
            bad(),
        ),
        case(
            "9112 2.2",
            "two CR at the end of the line",
            b"GET /user/x HTTP/1.1\r\r\nHost: it\r\n\r\n",
            bad(),
        ),
        case(
            "9112 2.3",
            "HTTP/1.0 is answered and closed",
            b"GET /user/x HTTP/1.0\r\n\r\n",
            last([text("x").for_http10()]),
        ),
        case(
            "9110 2.5",
            "a higher minor version is served as 1.1",
            line("GET /user/x HTTP/1.2"),
            ok(),
        ),
        case("9110 2.5", "the highest minor version", line("GET /user/x HTTP/1.9"), ok()),
        case(
            "9110 15.6.6",
            "HTTP/2.0 in a request line",
            line("GET /user/x HTTP/2.0"),
            refuse(&[505]),
        ),
        case(
            "9110 15.6.6",
            "HTTP/0.9 in a request line",
            line("GET /user/x HTTP/0.9"),
            refuse(&[505]),
        ),
        case(
            "9110 15.6.6",
            "HTTP/3.0 in a request line",
            line("GET /user/x HTTP/3.0"),
            refuse(&[505]),
        ),
        case(
            "9110 15.6.6",
            "HTTP/9.9 in a request line",
            line("GET /user/x HTTP/9.9"),
            refuse(&[505]),
        ),
        case(
            "9110 15.6.6",
            "an unsupported version needs no Host to be refused",
            b"GET /user/x HTTP/2.0\r\n\r\n",
            refuse(&[505]),
        ),
        case("9110 15.5.15", "a line of just the limit", long(8 << 10), either([status(&[200])])),
        case("9110 15.5.15", "a line of one byte more", long((8 << 10) + 1), refuse(&[414])),
        case("9110 15.5.15", "a line of 20,000 bytes", long(20_000), refuse(&[414])),
        case(
            "9110 15.5.15",
            "a long query",
            line(&format!("GET /user/x?{} HTTP/1.1", "a".repeat(9000))),
            refuse(&[414]),
        ),
        case(
            "9110 15.5.15",
            "a query within the limit",
            line(&format!("GET /user/x?{} HTTP/1.1", "a".repeat(7000))),
            ok(),
        ),
        case(
            "9110 15.5.15",
            "a line without end",
            [b"GET /".to_vec(), vec![b'a'; 10_000]].concat(),
            refuse(&[414]),
        ),
        case("9112 3", "a method without end", vec![b'A'; 10_000], refuse(&[501])),
        case(
            "9112 2.2",
            "NULs instead of a request",
            [vec![0; 64], b"\r\n".to_vec()].concat(),
            bad(),
        ),
        case(
            "9112 2.2",
            "bytes that are no request",
            [(128..=255).collect(), b"\r\n".to_vec()].concat(),
            bad(),
        ),
        case(
            "9112 3",
            "a response instead of a request",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            bad(),
        ),
        case("9112 3", "mail instead of a request", b"EHLO it\r\n", bad()),
    ];
    let versions = [
        "http/1.1",
        "Http/1.1",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/1.10",
        "HTTP/1.01",
        "HTTP/01.1",
        "HTTP/11.1",
        "HTTP/1,1",
        "HTTP/1 .1",
        "HTTP/ 1.1",
        "HTTP 1.1",
        "HTTP/A.1",
        "HTTP/1.A",
        "HTTP/+1.1",
        "HTTP/1.1.1",
        "HTTP/1.1x",
        "HTTP1.1",
        "HTP/1.1",
        "HTTPS/1.1",
        "XHTTP/1.1",
        "ICY/1.1",
        "/1.1",
        "1.1",
    ];
    cases.extend(versions.map(|version| {
        let says = format!("{version:?} is no version");
        case("9112 2.3", says, line(&format!("GET /user/x {version}")), refuse(&[400, 505]))
    }));
    cases
}
