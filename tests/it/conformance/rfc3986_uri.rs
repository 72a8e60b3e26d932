//! RFC 3986 as RFC 9112 3.2 and RFC 9110 4.2 use it: what a request target may look like, and what
//! a path means to a route.

use super::case::{Case, case, either, get, refuse, serve, status, text};

fn target(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: it\r\n\r\n").into_bytes()
}

/// The table.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case(
            "3986 2.1",
            "a percent-encoded letter is that letter",
            target("/user/%61b"),
            serve([text("ab")]),
        ),
        case(
            "3986 2.1",
            "hex digits of either case mean the same",
            target("/user/%6a%6A"),
            serve([text("jj")]),
        ),
        case(
            "3986 2.4",
            "a path is decoded once only",
            target("/user/%2541"),
            serve([text("%41")]),
        ),
        case(
            "3986 2.2",
            "an encoded slash is data, not a separator",
            target("/user/a%2Fb"),
            serve([text("a/b")]),
        ),
        case(
            "3986 2.2",
            "an encoded question mark is data",
            target("/user/a%3Fb"),
            serve([text("a?b")]),
        ),
        case(
            "3986 2.2",
            "an encoded number sign is data",
            target("/user/a%23b"),
            serve([text("a#b")]),
        ),
        case(
            "3986 2.5",
            "UTF-8 behind percent signs arrives as text",
            target("/user/%C3%A9"),
            serve([text("\u{e9}")]),
        ),
        case(
            "3986 2.4",
            "an encoded space is a space",
            target("/user/a%20b"),
            serve([text("a b")]),
        ),
        case("3986 3.3", "a plus in a path is a plus", target("/user/a+b"), serve([text("a+b")])),
        case(
            "3986 2.1",
            "one hex digit at the end is no encoding",
            target("/user/a%4"),
            refuse(&[400]),
        ),
        case("3986 2.1", "a lone percent sign is no encoding", target("/user/a%"), refuse(&[400])),
        case("3986 2.1", "letters beyond F are no hex digits", target("/user/%zz"), refuse(&[400])),
        case("3986 2.1", "a second digit that is none", target("/user/%4g"), refuse(&[400])),
        case(
            "3986 2.1",
            "a bad encoding is found behind a good one",
            target("/user/%41%4"),
            refuse(&[400]),
        ),
        case(
            "3986 2.5",
            "bytes that are no UTF-8 are no text for a route",
            target("/user/%ff"),
            either([status(&[400, 404])]),
        ),
        case(
            "3986 2.5",
            "an overlong encoding is no UTF-8",
            target("/user/%c0%af"),
            either([status(&[400, 404])]),
        ),
        case(
            "3986 2.5",
            "an encoded surrogate is no UTF-8",
            target("/user/%ed%a0%80"),
            either([status(&[400, 404])]),
        ),
        case(
            "3986 3.4",
            "the query is not part of the path",
            target("/user/x?y=z"),
            serve([text("x")]),
        ),
        case("3986 3.4", "an empty query", target("/user/x?"), serve([text("x")])),
        case(
            "3986 3.4",
            "slashes and question marks may stand in a query",
            target("/user/x?a/b?c"),
            serve([text("x")]),
        ),
        case(
            "3986 3.4",
            "percent-encoding in a query",
            target("/user/x?a=%20%2F"),
            serve([text("x")]),
        ),
        case(
            "3986 3.4",
            "a bad encoding in a query: refused or not looked at, never half of it",
            target("/user/x?a=%zz"),
            either([status(&[200, 400])]),
        ),
        case("3986 3.5", "a fragment is never sent", target("/user/x#frag"), refuse(&[400])),
        case("3986 3.5", "a number sign alone", target("/#"), refuse(&[400])),
        case("3986 3.5", "a number sign in a query", target("/user/x?a#b"), refuse(&[400])),
        case("9112 3.2", "a relative path is no target", target("user/x"), refuse(&[400])),
        case("9112 3.2", "a dot is no target", target("."), refuse(&[400])),
        case("9112 3.2", "a query alone is no target", target("?a=b"), refuse(&[400])),
        case("9112 3.2", "a host name alone is no target of GET", target("it"), refuse(&[400])),
        case("9112 3.2.3", "host and port are for CONNECT only", target("it:80"), refuse(&[400])),
        case("9112 3.2.4", "the asterisk is for OPTIONS only", target("*"), refuse(&[400])),
        case("9112 3.2.4", "the asterisk stands alone", target("*a"), refuse(&[400])),
        case(
            "9112 3.2.4",
            "slash and asterisk is an ordinary path",
            target("/*"),
            serve([status(&[404])]),
        ),
        case(
            "3986 3.3",
            "an empty segment is a segment",
            target("//plaintext"),
            serve([status(&[404])]),
        ),
        case(
            "3986 3.3",
            "a trailing slash makes another path",
            target("/plaintext/"),
            either([status(&[404, 301, 308])]),
        ),
        case("3986 6.2.2", "paths tell letter case", target("/PLAINTEXT"), serve([status(&[404])])),
        case(
            "3986 6.2.2",
            "an encoded letter of a fixed route",
            target("/%70laintext"),
            either([status(&[200, 404])]),
        ),
        case(
            "3986 5.2.4",
            "dot segments lead nowhere above the root",
            target("/../../etc/passwd"),
            either([status(&[400, 404])]),
        ),
        case(
            "3986 5.2.4",
            "encoded dot segments neither",
            target("/%2e%2e/%2e%2e/etc/passwd"),
            either([status(&[400, 404])]),
        ),
        case(
            "3986 3.3",
            "sub-delimiters may stand in a path",
            target("/user/a!$&'()*+,;=b"),
            serve([text("a!$&'()*+,;=b")]),
        ),
        case(
            "3986 3.3",
            "colon and at sign may stand in a path",
            target("/user/a:b@c"),
            serve([text("a:b@c")]),
        ),
        case(
            "3986 2.3",
            "unreserved characters",
            target("/user/a-b._~c"),
            serve([text("a-b._~c")]),
        ),
        case(
            "9112 3.2.2",
            "absolute-form is accepted",
            target("http://it/user/x"),
            serve([text("x")]),
        ),
        case(
            "9112 3.2.2",
            "absolute-form with a port",
            target("http://it:80/user/x"),
            serve([text("x")]),
        ),
        case(
            "9112 3.2.2",
            "absolute-form with an empty port",
            target("http://it:/user/x"),
            serve([text("x")]),
        ),
        case(
            "9112 3.2.2",
            "absolute-form with a query",
            target("http://it/user/x?a=b"),
            serve([text("x")]),
        ),
        case(
            "9110 4.2.3",
            "the scheme is the same in any case of letters",
            target("HTTP://it/user/x"),
            serve([text("x")]),
        ),
        case(
            "9112 3.2.2",
            "https in absolute-form, as behind a proxy that ends TLS",
            target("https://it/user/x"),
            serve([text("x")]),
        ),
        case(
            "9110 4.2.3",
            "absolute-form without a path is the root",
            target("http://it"),
            serve([status(&[200])]),
        ),
        case(
            "9112 3.2.2",
            "absolute-form with a query but no path",
            target("http://it?a=b"),
            either([status(&[200, 400])]),
        ),
        case(
            "9112 3.2.2",
            "absolute-form with an address in brackets",
            target("http://[::1]:8080/user/x"),
            serve([text("x")]),
        ),
        case(
            "9110 4.2.1",
            "an empty host in an http URI",
            target("http:///user/x"),
            refuse(&[400]),
        ),
        case("9110 4.2.1", "a port without a host", target("http://:80/user/x"), refuse(&[400])),
        case(
            "9110 4.2.4",
            "user information in an http URI",
            target("http://me@it/user/x"),
            refuse(&[400]),
        ),
        case(
            "9110 4.2.4",
            "user and password in an http URI",
            target("http://me:pw@it/user/x"),
            refuse(&[400]),
        ),
        case(
            "3986 3.2.3",
            "a port that is no number",
            target("http://it:a/user/x"),
            refuse(&[400]),
        ),
        case("3986 3.2.2", "an open bracket", target("http://[::1/user/x"), refuse(&[400])),
        case(
            "3986 3.2.2",
            "no address within brackets",
            target("http://[zz]/user/x"),
            refuse(&[400]),
        ),
        case(
            "9112 3.2.2",
            "a scheme that is not ours",
            target("ftp://it/user/x"),
            refuse(&[400, 404, 421]),
        ),
        case("9112 3.2.2", "a scheme with one slash", target("http:/it/user/x"), refuse(&[400])),
        case(
            "9112 3.2.2",
            "the authority of absolute-form wins, the Host is only checked",
            b"GET http://other/user/x HTTP/1.1\r\nHost: it\r\n\r\n",
            serve([text("x")]),
        ),
        case(
            "9112 3.2.2",
            "absolute-form does not replace a missing Host",
            b"GET http://it/user/x HTTP/1.1\r\n\r\n",
            refuse(&[400]),
        ),
        case(
            "9112 3.2.2",
            "absolute-form does not excuse a bad Host",
            b"GET http://it/user/x HTTP/1.1\r\nHost: a b\r\n\r\n",
            refuse(&[400]),
        ),
        case(
            "3986 3.3",
            "a long path that is within the limits",
            target(&format!("/user/{}", "a".repeat(2000))),
            serve([text("a".repeat(2000))]),
        ),
        case("3986 3.3", "an empty id is not an id", target("/user/"), serve([status(&[404])])),
        case("3986 3.3", "one segment is not two", target("/user/a/b"), serve([status(&[404])])),
    ];
    for byte in b"\"<>\\^`{|}" {
        let says = format!("{:?} may not stand in a path", char::from(*byte));
        cases.push(case(
            "3986 2",
            says,
            target(&format!("/user/a{}b", char::from(*byte))),
            refuse(&[400]),
        ));
    }
    // RFC 3986 3.4 wants these escaped too, but browsers send them as they were typed.
    for byte in b"\\^`{|}[]" {
        let says = format!("{:?} may stand in a query", char::from(*byte));
        let sent = target(&format!("/user/x?a{}b", char::from(*byte)));
        cases.push(case("3986 3.4", says, sent, serve([text("x")])));
    }
    for byte in b"\"<>" {
        let says = format!("{:?} may not stand in a query", char::from(*byte));
        let sent = target(&format!("/user/x?a{}b", char::from(*byte)));
        cases.push(case("3986 3.4", says, sent, refuse(&[400])));
    }
    for byte in [0x00_u8, 0x01, 0x07, 0x0b, 0x0c, 0x1b, 0x1f, 0x7f, 0x80, 0xa0, 0xe9, 0xff] {
        let mut bytes = b"GET /user/a".to_vec();
        bytes.push(byte);
        bytes.extend_from_slice(b"b HTTP/1.1\r\nHost: it\r\n\r\n");
        let says = format!("byte {byte:#04x} may not stand in a target");
        cases.push(case("3986 2", says, bytes, refuse(&[400])));
    }
    cases.push(case("3986 3.3", "the plain route of the other cases", get(""), serve([text("x")])));
    cases
}
