//! RFC 9110 7.2 and RFC 9112 3.2: exactly one Host on HTTP/1.1, and it must be one.

use super::case::{Case, case, last, refuse, serve, text};

fn host(value: &str) -> Vec<u8> {
    format!("GET /user/x HTTP/1.1\r\nHost:{value}\r\n\r\n").into_bytes()
}

/// The table.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("9112 3.2", "HTTP/1.1 without Host", b"GET /user/x HTTP/1.1\r\n\r\n", refuse(&[400])),
        case(
            "9112 3.2",
            "HTTP/1.1 with other fields but no Host",
            b"GET /user/x HTTP/1.1\r\nAccept: */*\r\n\r\n",
            refuse(&[400]),
        ),
        case(
            "9112 3.2",
            "two Host lines",
            b"GET /user/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            refuse(&[400]),
        ),
        case(
            "9112 3.2",
            "two Host lines that say the same",
            b"GET /user/x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            refuse(&[400]),
        ),
        case(
            "9112 3.2",
            "two Host lines far apart",
            b"GET /user/x HTTP/1.1\r\nHost: a\r\nA: b\r\nC: d\r\nhost: a\r\n\r\n",
            refuse(&[400]),
        ),
        case(
            "9112 3.2",
            "two Host lines, one of them empty",
            b"GET /user/x HTTP/1.1\r\nHost: a\r\nHost:\r\n\r\n",
            refuse(&[400]),
        ),
        case(
            "9112 3.2",
            "HTTP/1.0 needs no Host",
            b"GET /user/x HTTP/1.0\r\n\r\n",
            last([text("x").for_http10()]),
        ),
        case(
            "9112 3.2",
            "HTTP/1.0 with a Host",
            b"GET /user/x HTTP/1.0\r\nHost: a\r\n\r\n",
            last([text("x").for_http10()]),
        ),
        case(
            "9112 3.2",
            "HTTP/1.0 with two of them",
            b"GET /user/x HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
            refuse(&[400]),
        ),
        case(
            "9112 3.2",
            "HTTP/1.0 with a bad one",
            b"GET /user/x HTTP/1.0\r\nHost: a b\r\n\r\n",
            refuse(&[400]),
        ),
        case(
            "9110 5.1",
            "the name of the field in any case of letters",
            b"GET /user/x HTTP/1.1\r\nhOsT: a\r\n\r\n",
            serve([text("x")]),
        ),
        case(
            "9112 5.1",
            "Host need not come first",
            b"GET /user/x HTTP/1.1\r\nA: b\r\nHost: a\r\n\r\n",
            serve([text("x")]),
        ),
        case(
            "9112 3.2",
            "the check holds for every request of a connection",
            b"GET /user/x HTTP/1.1\r\nHost: a\r\n\r\nGET /user/y HTTP/1.1\r\n\r\n",
            last([text("x"), super::case::status(&[400])]),
        ),
    ];
    let good = [
        ("a name", " it"),
        ("no space before the value", "it"),
        ("an empty value, as for a target without authority", ""),
        ("an empty value behind white space", "  "),
        ("a name with a port", " it:8080"),
        ("an empty port", " it:"),
        ("the highest port", " it:65535"),
        ("an address", " 127.0.0.1"),
        ("an address with a port", " 127.0.0.1:80"),
        ("an address of version 6", " [::1]"),
        ("one with a port", " [2001:db8::1]:443"),
        ("an address of a version to come", " [v1.a:b]"),
        ("upper case", " EXAMPLE.Org"),
        ("a trailing dot", " example.org."),
        ("sub-delimiters and unreserved characters of a reg-name", " a-b_c~!$&'()*+;=.d"),
        ("a percent-encoded name", " ex%61mple"),
        ("white space behind the value", " it \t "),
        ("a tab before the value", "\tit"),
    ];
    let bad = [
        ("a space within", " a b"),
        ("a tab within", " a\tb"),
        ("a list", " a, b"),
        ("a list without space", " a,b"),
        ("a path", " it/x"),
        ("a scheme", " http://it"),
        ("user information", " me@it"),
        ("a query", " it?x"),
        ("a fragment", " it#x"),
        ("a backslash", " it\\x"),
        ("a port that is no number", " it:http"),
        ("a port with a sign", " it:+80"),
        ("a port beyond 65535", " it:65536"),
        ("a port of twenty digits", " it:99999999999999999999"),
        ("two ports", " it:80:80"),
        ("an address of version 6 without brackets", " ::1"),
        ("an open bracket", " [::1"),
        ("a closed bracket", " ::1]"),
        ("empty brackets", " []"),
        ("something behind the brackets", " [::1]x"),
        ("no address within brackets", " [it]"),
        ("a zone without encoding", " [fe80::1%eth0]"),
        ("quotes", " \"it\""),
        ("angle brackets", " <it>"),
        ("a bad percent-encoding", " a%zz"),
        ("half a percent-encoding", " a%4"),
    ];
    cases.extend(good.map(|(what, value)| {
        case("9112 3.2", format!("Host: {what}"), host(value), serve([text("x")]))
    }));
    cases.extend(bad.map(|(what, value)| {
        case("9112 3.2", format!("no Host: {what}"), host(value), refuse(&[400]))
    }));
    for byte in [0x00_u8, 0x01, 0x0b, 0x1f, 0x7f, 0x80, 0xff] {
        let mut bytes = b"GET /user/x HTTP/1.1\r\nHost: a".to_vec();
        bytes.push(byte);
        bytes.extend_from_slice(b"b\r\n\r\n");
        cases.push(case("9110 7.2", format!("byte {byte:#04x} in a Host"), bytes, refuse(&[400])));
    }
    cases
}
