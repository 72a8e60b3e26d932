//! A header section that comes again is not judged again; nothing but the time must tell.

use super::*;

/// What an owner can learn from a head.
fn describe(head: &Head) -> String {
    let fields: Vec<_> = head
        .headers()
        .map(|(name, value)| {
            assert!(head.header(name).is_some() && head.header_values(name).count() > 0);
            format!("{name}={}", value.escape_ascii())
        })
        .collect();
    format!(
        "{} {} {} {:?} {:?} {:?} {:?} {} {fields:?}",
        head.method(),
        head.target(),
        head.path(),
        head.query(),
        head.authority(),
        head.version(),
        head.body_length(),
        head.expects_continue(),
    )
}

/// The events of one request on a connection of its own, the head it leaves, and the answer.
fn ask(head: &mut Head, request: &str, limits: HttpLimits) -> String {
    let mut peer = Peer::with(limits);
    std::mem::swap(&mut peer.head, head);
    let events = peer.give(request.as_bytes());
    let description = match events.contains("Reject") || !events.contains('/') {
        true => String::new(),
        false => describe(&peer.head),
    };
    if peer.connection.response_open() {
        peer.answer(200, b"a");
    }
    std::mem::swap(&mut peer.head, head);
    format!("{events} {description} {} {:?}", peer.output(), peer.connection.closing())
}

/// Every request behind every other, and behind itself, under every pair of limits.
#[track_caller]
fn check(requests: &[&str], limits: &[HttpLimits]) {
    for first in requests {
        for second in requests {
            for before in limits {
                for now in limits {
                    let expected = ask(&mut Head::new(), second, *now);
                    let mut head = Head::new();
                    ask(&mut head, first, *before);
                    assert_eq!(
                        ask(&mut head, second, *now),
                        expected,
                        "{second:?} after {first:?}"
                    );
                    // Now the head holds the section for sure, if it is one that can be held.
                    ask(&mut head, second, *before);
                    assert_eq!(ask(&mut head, second, *now), expected, "{second:?} again");
                }
            }
        }
    }
}

#[test]
fn behind_another_version() {
    let lines = ["GET /a HTTP/1.1", "GET /b HTTP/1.0", "GET /c HTTP/1.2", "GET / HTTP/2.0"];
    for section in ["Host: a\r\n", "Host: a\r\nConnection: keep-alive\r\n", "A: b\r\n", ""] {
        let requests = lines.map(|line| format!("{line}\r\n{section}\r\n"));
        check(&requests.each_ref().map(String::as_str), &[HttpLimits::default()]);
    }
}

#[test]
fn behind_a_body_and_what_frames_it() {
    check(
        &[
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            "GET /b HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            "POST /b HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
            "PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
            "PUT /b HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
            "PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: x\r\n\r\nabc",
        ],
        &[HttpLimits::default()],
    );
}

#[test]
fn behind_another_form_or_method() {
    let lines = [
        "GET /a?b HTTP/1.1",
        "HEAD /a HTTP/1.1",
        "CONNECT a:1 HTTP/1.1",
        "CONNECT /a HTTP/1.1",
        "GET http://b:8 HTTP/1.1",
        "GET http://b?c/d HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "OPTIONS http://b HTTP/1.1",
        "GET * HTTP/1.1",
        "get /a HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET  /a HTTP/1.1",
        "GET /a HTTP/1.1 ",
        "GET /%4 HTTP/1.1",
        " GET /a HTTP/1.1",
        "G(T /a HTTP/1.1",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1",
    ];
    let requests = lines.map(|line| format!("{line}\r\nHost: a\r\nB: c\r\n\r\n"));
    check(&requests.each_ref().map(String::as_str), &[HttpLimits::default()]);
}

/// A section that was fine may be too large, or its body too long, for another listener.
#[test]
fn under_other_limits() {
    let wide = HttpLimits::default();
    let section = "Host: a\r\nB: c\r\nContent-Length: 3\r\n";
    let bytes = section.len() as u32;
    let all = [
        wide,
        HttpLimits { header_bytes: bytes, ..wide },
        HttpLimits { header_bytes: bytes - 1, ..wide },
        HttpLimits { headers: 3, ..wide },
        HttpLimits { headers: 2, ..wide },
        HttpLimits { body_bytes: 3, ..wide },
        HttpLimits { body_bytes: 2, ..wide },
        HttpLimits { line_bytes: 15, ..wide },
        HttpLimits { line_bytes: 14, ..wide },
    ];
    let requests =
        ["/a", "/", "/ab"].map(|path| format!("PUT {path} HTTP/1.1\r\n{section}\r\nabc"));
    check(&requests.each_ref().map(String::as_str), &all);
}

#[test]
fn behind_a_section_that_begins_alike() {
    check(
        &[
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
        &[HttpLimits::default()],
    );
}

/// A head that was filled and then refused must not pass for a judged one.
#[test]
fn behind_a_section_that_was_refused() {
    check(
        &[
            "GET / HTTP/1.1\r\nA: b\r\n\r\n",
            "GET / HTTP/1.0\r\nA: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\nExpect: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n",
        ],
        &[HttpLimits::default(), HttpLimits { body_bytes: u64::MAX, ..HttpLimits::default() }],
    );
}
