//! RFC 9110 5 and RFC 9112 5: what a field line is.

use super::case::{Case, case, get, refuse, serve, status, text};

fn with_byte(before: &str, byte: u8, after: &str) -> Vec<u8> {
    let mut bytes = format!("GET /user/x HTTP/1.1\r\nHost: it\r\n{before}").into_bytes();
    bytes.push(byte);
    bytes.extend_from_slice(after.as_bytes());
    bytes
}

/// The table.
pub(crate) fn cases() -> Vec<Case> {
    let ok = || serve([text("x")]);
    let bad = || refuse(&[400]);
    let mut cases = vec![
        case("9112 5.1", "no space after the colon", get("A:b\r\n"), ok()),
        case("9112 5.1", "many spaces and tabs around a value", get("A: \t b \t \r\n"), ok()),
        case("9110 5.5", "an empty value", get("A:\r\n"), ok()),
        case("9110 5.5", "a value of white space is empty", get("A: \t \r\n"), ok()),
        case("9110 5.5", "a tab within a value", get("A: b\tc\r\n"), ok()),
        case(
            "9110 5.5",
            "bytes above 0x7f are opaque data",
            with_byte("A: b", 0xe9, "c\r\n\r\n"),
            ok(),
        ),
        case("9110 5.5", "the highest byte as well", with_byte("A: b", 0xff, "c\r\n\r\n"), ok()),
        case("9110 5.5", "colons in a value", get("A: b:c::d\r\n"), ok()),
        case(
            "9110 5.5",
            "quotes, brackets and commas in a value",
            get("A: \"b\", (c), {d} [e] <f>\r\n"),
            ok(),
        ),
        case("9110 5.5", "an open quote is not ours to close", get("A: \"b\r\n"), ok()),
        case("9110 5.3", "a field may come twice", get("A: b\r\nA: c\r\n"), ok()),
        case("9110 5.1", "an unknown field is passed over", get("X-Nobody-Knows: b\r\n"), ok()),
        case(
            "9110 5.6.2",
            "all characters of a token in a name",
            get("!#$%&'*+-.^_`|~09azAZ: b\r\n"),
            ok(),
        ),
        case("9110 5.1", "a name of digits", get("123: b\r\n"), ok()),
        case(
            "9110 5.4",
            "a long value within the limits",
            get(&format!("A: {}\r\n", "b".repeat(4000))),
            ok(),
        ),
        case(
            "9110 5.4",
            "a long name within the limits",
            get(&format!("{}: b\r\n", "a".repeat(1000))),
            ok(),
        ),
        case("9110 5.4", "sixty fields", get(&"A: b\r\n".repeat(60)), ok()),
        case("9112 5.1", "a space before the colon", get("A : b\r\n"), bad()),
        case("9112 5.1", "a tab before the colon", get("A\t: b\r\n"), bad()),
        case(
            "9112 5.1",
            "a space before the colon of a framing field",
            get("Content-Length : 0\r\n"),
            bad(),
        ),
        case(
            "9112 5.1",
            "a space before the colon of Transfer-Encoding",
            get("Transfer-Encoding : chunked\r\n"),
            bad(),
        ),
        case("9112 5", "a line without colon", get("Ab\r\n"), bad()),
        case("9112 5", "an empty name", get(": b\r\n"), bad()),
        case("9112 5", "a colon alone", get(":\r\n"), bad()),
        case("9112 5.1", "a space within a name", get("A b: c\r\n"), bad()),
        case("9112 5.2", "a folded line", get("A: b\r\n c\r\n"), bad()),
        case("9112 5.2", "a line folded with a tab", get("A: b\r\n\tc\r\n"), bad()),
        case(
            "9112 5.2",
            "a folded line that looks like a field",
            get("A: b\r\n Content-Length: 5\r\n"),
            bad(),
        ),
        case("9112 5.2", "a folded line of white space only", get("A: b\r\n \r\n"), bad()),
        case("9112 5.2", "a folded Content-Length", get("Content-Length:\r\n 0\r\n"), bad()),
        case(
            "9112 2.2",
            "white space before the first field",
            b"GET /user/x HTTP/1.1\r\n Host: it\r\n\r\n",
            bad(),
        ),
        case(
            "9112 2.2",
            "a tab before the first field",
            b"GET /user/x HTTP/1.1\r\n\tHost: it\r\n\r\n",
            bad(),
        ),
        case(
            "9112 2.2",
            "a line of white space before the first field",
            b"GET /user/x HTTP/1.1\r\n \r\nHost: it\r\n\r\n",
            bad(),
        ),
        case(
            "9112 2.2",
            "a bare LF behind a field",
            b"GET /user/x HTTP/1.1\r\nHost: it\nA: b\r\n\r\n",
            bad(),
        ),
        case(
            "9112 2.2",
            "a bare LF behind the last field",
            b"GET /user/x HTTP/1.1\r\nHost: it\r\nA: b\n\r\n",
            bad(),
        ),
        case(
            "9112 2.2",
            "a bare LF as the empty line",
            b"GET /user/x HTTP/1.1\r\nHost: it\r\n\n",
            bad(),
        ),
        case("9112 2.2", "bare LFs throughout", b"GET /user/x HTTP/1.1\nHost: it\n\n", bad()),
        case("9112 2.2", "a bare CR within a value", get("A: b\rc\r\n"), bad()),
        case("9112 2.2", "a bare CR at the end of a value", get("A: b\r\r\n"), bad()),
        case(
            "9112 2.2",
            "a bare CR as a line end",
            b"GET /user/x HTTP/1.1\r\nHost: it\rA: b\r\n\r\n",
            bad(),
        ),
        case("9112 2.2", "a CR before a line", get("\rA: b\r\n"), bad()),
        case(
            "9112 2.2",
            "two CR before the last LF",
            b"GET /user/x HTTP/1.1\r\nHost: it\r\n\r\r\n",
            bad(),
        ),
        case("9112 2.2", "a bare CR in a name", get("A\rB: c\r\n"), bad()),
        case("9112 2.2", "a bare LF in a name", get("A\nB: c\r\n"), bad()),
        case("6585 5", "a hundred and one fields", get(&"A: b\r\n".repeat(100)), refuse(&[431])),
        case("6585 5", "a hundred fields, Host included", get(&"A: b\r\n".repeat(99)), ok()),
        case(
            "6585 5",
            "one field above the limit",
            get(&format!("A: {}\r\n", "b".repeat(17 << 10))),
            refuse(&[431]),
        ),
        case(
            "6585 5",
            "fields above the limit together",
            get(&format!("A: {}\r\n", "b".repeat(1000)).repeat(18)),
            refuse(&[431]),
        ),
        case(
            "6585 5",
            "fields well below the limit together",
            get(&format!("A: {}\r\n", "b".repeat(1000)).repeat(14)),
            ok(),
        ),
        case(
            "6585 5",
            "a name above the limit",
            get(&format!("{}: b\r\n", "a".repeat(17 << 10))),
            refuse(&[431]),
        ),
        case(
            "9110 5.3",
            "the limit counts again for each request",
            [get(&"A: b\r\n".repeat(90)), get(&"A: b\r\n".repeat(90))].concat(),
            serve([text("x"), text("x")]),
        ),
        case(
            "9112 5",
            "a field that looks like a request line",
            get("GET /user/y HTTP/1.1\r\n"),
            bad(),
        ),
        case(
            "9110 5.1",
            "names that differ by an underscore are other names",
            get("Content_Length: 5\r\n"),
            ok(),
        ),
        case(
            "9110 10.1",
            "a header of a wrong type is not the server's concern",
            get("Date: yesterday\r\nRange: bananas\r\nAccept: ;;;\r\n"),
            ok(),
        ),
        case(
            "9110 14.2",
            "an unsatisfiable Range on a resource without ranges",
            get("Range: bytes=500-600\r\n"),
            ok(),
        ),
        case(
            "9110 13.1",
            "If-None-Match on a resource without validators",
            get("If-None-Match: \"a\"\r\n"),
            ok(),
        ),
        case(
            "9110 8.4",
            "an Accept-Encoding is a wish",
            get("Accept-Encoding: br, gzip;q=0\r\n"),
            ok(),
        ),
        case(
            "9110 15.5.5",
            "an unknown path is answered with its reason",
            b"GET /nothing HTTP/1.1\r\nHost: it\r\n\r\n",
            serve([status(&[404]).field("content-type", "/")]),
        ),
    ];
    for byte in (0..0x20_u8).chain([0x7f]).filter(|byte| !b"\t\n\r".contains(byte)) {
        let says = format!("control byte {byte:#04x} in a value");
        cases.push(case("9110 5.5", says, with_byte("A: b", byte, "c\r\n\r\n"), bad()));
    }
    for byte in b"\0\x01\x7f\x80\xff\"(),/;<=>?@[\\]{}" {
        let says = format!("byte {byte:#04x} in a name");
        cases.push(case("9110 5.1", says, with_byte("A", *byte, "B: c\r\n\r\n"), bad()));
    }
    cases
}
