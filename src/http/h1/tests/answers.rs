//! What is answered, and what becomes of the connection.

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn post(length: u32) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

/// The answer to one complete request.
#[track_caller]
fn check(request: &str, status: u16, body: &str, expected: &str, close: Close) {
    let mut peer = Peer::new();
    peer.give(request.as_bytes());
    peer.answer(status, body.as_bytes());
    assert_eq!(peer.output(), expected, "{request:?}");
    assert_eq!(peer.connection.closing(), close, "{request:?}");
    assert_eq!(peer.connection.is_idle(), close == Close::Keep);
}

/// RFC 9112 9.3.
#[test]
fn persistence() {
    let plain = "HTTP/1.1 200 OK|Content-Length: 1||x";
    let close = "HTTP/1.1 200 OK|Connection: close|Content-Length: 1||x";
    let keep = "HTTP/1.1 200 OK|Connection: keep-alive|Content-Length: 1||x";
    let ask = |version: &str, options: &str, expected: &str, closing: Close| {
        let lines = options.replace('|', "\r\nConnection: ");
        let request = format!("GET / HTTP/{version}\r\nHost: a\r\nConnection: {lines}\r\n\r\n");
        check(&request, 200, "x", expected, closing);
    };
    ask("1.1", "", plain, Close::Keep);
    ask("1.1", "keep-alive", plain, Close::Keep);
    ask("1.1", "Close", close, Close::Now);
    ask("1.1", "keep-alive, CLOSE", close, Close::Now);
    ask("1.1", "a,\tclose ,b", close, Close::Now);
    ask("1.1", "keep-alive|close", close, Close::Now);
    ask("1.1", "closed, not-close", plain, Close::Keep);
    ask("1.0", "", close, Close::Now);
    ask("1.0", "Keep-Alive", keep, Close::Keep);
    ask("1.0", "keep-alive|close", close, Close::Now);
    ask("1.2", "", plain, Close::Keep);
}

/// RFC 9110 9.3.2, 15.3.5, 15.3.6 and 15.4.5: answers without a body.
#[test]
fn suppressed_bodies() {
    let request = std::str::from_utf8(GET).unwrap();
    check(request, 204, "x", "HTTP/1.1 204 No Content||", Close::Keep);
    check(request, 205, "x", "HTTP/1.1 205 Reset Content|Content-Length: 0||", Close::Keep);
    check(request, 304, "x", "HTTP/1.1 304 Not Modified|Content-Length: 1||", Close::Keep);
    check(request, 304, "", "HTTP/1.1 304 Not Modified||", Close::Keep);
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    check(head, 200, "xyz", "HTTP/1.1 200 OK|Content-Length: 3||", Close::Keep);
    check(head, 404, "xyz", "HTTP/1.1 404 Not Found|Content-Length: 3||", Close::Keep);
    let connect = "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n";
    check(connect, 200, "x", "HTTP/1.1 200 OK|Connection: close||", Close::Now);
    check(connect, 501, "x", "HTTP/1.1 501 Not Implemented|Content-Length: 1||x", Close::Keep);

    for length in [ResponseLength::Known(3), ResponseLength::Unknown] {
        let mut peer = Peer::new();
        peer.give(head.as_bytes());
        assert!(peer.connection.body_suppressed());
        peer.begin(200, length);
        assert!(peer.connection.body_suppressed());
        let before = peer.out.len();
        peer.connection.send_body(b"abc", &mut peer.out);
        assert!(!peer.connection.begin_data(3, &mut peer.out));
        peer.finish();
        assert_eq!(peer.out.len(), before);
        assert!(peer.connection.is_idle());
    }
}

/// A HEAD that is refused gets no body either.
#[test]
fn refused_heads() {
    let mut peer = Peer::new();
    assert_eq!(peer.give(b"HEAD / HTTP/1.1\r\n\r\n"), "HostMissing");
    peer.reject(Error::HostMissing);
    let expected = "HTTP/1.1 400 Bad Request|Content-Type: text/plain|Connection: close|\
                    Content-Length: 20||";
    assert_eq!(peer.output(), expected);
    let mut peer = Peer::new();
    assert_eq!(peer.give(b"GET / HTTP/1.1\r\n\r\n"), "HostMissing");
    peer.reject(Error::HostMissing);
    assert_eq!(peer.output(), format!("{expected}the host is missing\n"));
    assert_eq!(peer.connection.closing(), Close::HalfThenDrain);
    assert_eq!(peer.give(GET), "closed");
}

#[test]
fn interim_statuses_are_a_fault_of_the_handler() {
    let request = std::str::from_utf8(GET).unwrap();
    let expected = "HTTP/1.1 500 Internal Server Error|Content-Length: 0||";
    check(request, 101, "", expected, Close::Keep);
    check(request, 299, "", "HTTP/1.1 299 |Content-Length: 0||", Close::Keep);
}

#[test]
fn fields_of_handlers() {
    let field = |name: &'static str, value: &'static str| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    let answer = |fields: &[(HeaderName, HeaderValue)], content_type: Option<&HeaderValue>| {
        let mut peer = Peer::new();
        peer.give(GET);
        let head = ResponseHead { content_type, ..head(200, fields) };
        let Peer { connection, preamble, limits, now, out, .. } = &mut peer;
        connection.respond_full(&head, b"x", preamble, limits, *now, out);
        (peer.output(), peer.connection.closing())
    };
    let text = HeaderValue::from_static("text/plain");
    let (output, _) = answer(&[], Some(&text));
    assert_eq!(output, "HTTP/1.1 200 OK|Content-Type: text/plain|Content-Length: 1||x");
    let ours = [
        field("content-length", "9"),
        field("transfer-encoding", "chunked"),
        field("keep-alive", "timeout=5"),
        field("upgrade", "h2c"),
        field("connection", "x-a"),
        field("content-type", "image/png"),
        field("x-a-bc", "d"),
    ];
    let (output, closing) = answer(&ours, Some(&text));
    let expected = "HTTP/1.1 200 OK|X-A-Bc: d|Content-Type: text/plain|Content-Length: 1||x";
    assert_eq!((output.as_str(), closing), (expected, Close::Keep));
    let (output, closing) = answer(&[field("connection", "a, Close")], None);
    let expected = "HTTP/1.1 200 OK|Connection: close|Content-Length: 1||x";
    assert_eq!((output.as_str(), closing), (expected, Close::Now));
    let (output, _) = answer(&[field("server", "s"), field("date", "d")], None);
    assert_eq!(output, "HTTP/1.1 200 OK|Server: s|Date: d|Content-Length: 1||x");
}

/// RFC 9112 7.1 and 6.3: bodies of answers.
#[test]
fn streams() {
    let stream = |request: &[u8], length: ResponseLength| {
        let mut peer = Peer::new();
        peer.give(request);
        peer.begin(200, length);
        peer.connection.send_body(b"", &mut peer.out);
        peer.connection.send_body(b"0123456789abcdef", &mut peer.out);
        assert!(peer.connection.begin_data(2, &mut peer.out));
        peer.out.extend_from_slice(b"xy");
        peer.connection.end_data(&mut peer.out);
        peer.finish();
        (peer.output(), peer.connection.closing())
    };
    let (output, closing) = stream(GET, ResponseLength::Unknown);
    let expected = "HTTP/1.1 200 OK|Transfer-Encoding: chunked||10|0123456789abcdef|2|xy|0||";
    assert_eq!((output.as_str(), closing), (expected, Close::Keep));
    let (output, closing) = stream(GET, ResponseLength::Known(18));
    let expected = "HTTP/1.1 200 OK|Content-Length: 18||0123456789abcdefxy";
    assert_eq!((output.as_str(), closing), (expected, Close::Keep));
    let request = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let (output, closing) = stream(request, ResponseLength::Unknown);
    let expected = "HTTP/1.1 200 OK|Connection: close||0123456789abcdefxy";
    assert_eq!((output.as_str(), closing), (expected, Close::Now));
    let (output, closing) = stream(request, ResponseLength::Known(18));
    let expected = "HTTP/1.1 200 OK|Connection: keep-alive|Content-Length: 18||0123456789abcdefxy";
    assert_eq!((output.as_str(), closing), (expected, Close::Keep));
}

#[test]
fn trailers() {
    let fields = [
        (HeaderName::from_static("x-sum"), HeaderValue::from_static("1")),
        (HeaderName::from_static("content-length"), HeaderValue::from_static("1")),
    ];
    for (length, expected) in
        [(ResponseLength::Unknown, "0|X-Sum: 1||"), (ResponseLength::Known(0), "")]
    {
        let mut peer = Peer::new();
        peer.give(GET);
        peer.begin(200, length);
        peer.out.clear();
        let Peer { connection, limits, now, out, .. } = &mut peer;
        connection.finish_with_trailers(&fields, limits, *now, out);
        assert_eq!(peer.output(), expected);
    }
}

/// A body that does not keep its promise must not pass for complete.
#[test]
fn broken_promises() {
    let begin = |length: ResponseLength| {
        let mut peer = Peer::new();
        peer.give(GET);
        peer.begin(200, length);
        peer.connection.send_body(b"abc", &mut peer.out);
        peer
    };
    let mut peer = begin(ResponseLength::Known(4));
    peer.finish();
    assert_eq!(peer.connection.closing(), Close::Abort);
    let mut peer = begin(ResponseLength::Known(4));
    peer.connection.send_body(b"de", &mut peer.out);
    assert_eq!(peer.connection.closing(), Close::Abort);
    let mut peer = begin(ResponseLength::Known(4));
    assert!(!peer.connection.begin_data(2, &mut peer.out));
    assert_eq!(peer.connection.closing(), Close::Abort);
    let mut peer = begin(ResponseLength::Unknown);
    peer.out.clear();
    peer.connection.abort();
    peer.finish();
    assert_eq!((peer.output().as_str(), peer.connection.closing()), ("", Close::Abort));
    let mut peer = begin(ResponseLength::Unknown);
    peer.out.clear();
    peer.reject(Error::HandlerTimeout);
    assert_eq!((peer.output().as_str(), peer.connection.closing()), ("", Close::Abort));
    // What a handler still says afterwards goes nowhere.
    peer.answer(200, b"late");
    assert_eq!(peer.output(), "");
}

/// A handler that answers although the body has failed cannot keep the connection.
#[test]
fn answers_to_broken_bodies() {
    let mut peer = Peer::new();
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx";
    assert_eq!(peer.give(request), "POST / Chunked ChunkInvalid");
    peer.answer(200, b"");
    assert_eq!(peer.output(), "HTTP/1.1 200 OK|Connection: close|Content-Length: 0||");
    assert_eq!(peer.connection.closing(), Close::HalfThenDrain);
}

/// A fault of ours leaves the framing intact.
#[test]
fn our_faults_keep_the_connection() {
    let errors = [
        Error::HandlerTimeout,
        Error::Internal,
        Error::PoolBusy,
        Error::WorkerLost,
        Error::WorkerTimeout,
    ];
    for error in errors {
        let mut peer = Peer::new();
        peer.give(GET);
        peer.reject(error);
        assert!(!peer.output().contains("Connection: close"));
        assert!(peer.connection.is_idle());
    }
    let mut peer = Peer::new();
    peer.give(GET);
    peer.reject(Error::ShuttingDown);
    assert!(peer.output().starts_with("HTTP/1.1 503 Service Unavailable|"));
    assert_eq!(peer.connection.closing(), Close::Now);
}

/// Who has left is not answered; what it was sent before still arrives.
#[test]
fn peers_that_left_are_not_answered() {
    let mut peer = Peer::new();
    peer.give(GET);
    peer.answer(200, b"first");
    peer.give(GET);
    peer.connection.receive_end();
    peer.connection.forsake();
    assert!(peer.output().ends_with("first"));
    assert_eq!(peer.connection.closing(), Close::Now);
    assert!(!peer.connection.response_open());

    let mut peer = Peer::new();
    peer.give(GET);
    peer.begin(200, ResponseLength::Unknown);
    peer.connection.forsake();
    assert_eq!(peer.connection.closing(), Close::Abort);

    let mut peer = Peer::new();
    peer.connection.forsake();
    assert_eq!(peer.connection.closing(), Close::Keep);
}

/// DESIGN: an answer before the body was read.
#[test]
fn early_answers() {
    // A short rest is thrown away, and the next request is found behind it.
    let mut peer = Peer::new();
    assert_eq!(peer.give(&post(5)), "POST / Known(5)");
    peer.answer(404, b"");
    assert_eq!(peer.output(), "HTTP/1.1 404 Not Found|Content-Length: 0||");
    assert_eq!(peer.connection.closing(), Close::Keep);
    assert!(!peer.connection.is_idle() && !peer.connection.request_open());
    assert_eq!(peer.give(b"hel"), "");
    assert_eq!(peer.give(b"loGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "GET / None blocked");

    // A long one is not worth it.
    let mut peer = Peer::new();
    peer.give(&post(DRAIN + 1));
    peer.answer(404, b"");
    assert_eq!(peer.output(), "HTTP/1.1 404 Not Found|Connection: close|Content-Length: 0||");
    assert_eq!(peer.connection.closing(), Close::HalfThenDrain);
    assert_eq!(peer.give(b"hello"), "closed");

    // Whether a chunked rest is long shows while it is read.
    let chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut peer = Peer::new();
    peer.give(chunked);
    peer.answer(404, b"");
    assert_eq!(peer.output(), "HTTP/1.1 404 Not Found|Content-Length: 0||");
    assert_eq!(
        peer.give(b"2\r\nab\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        "GET / None blocked"
    );
    let mut peer = Peer::new();
    peer.give(chunked);
    peer.answer(404, b"");
    assert_eq!(peer.give(b"10001\r\n"), "closed");
    assert_eq!(peer.connection.closing(), Close::HalfThenDrain);

    // What had been read before the answer does not count.
    let mut peer = Peer::new();
    peer.give(chunked);
    peer.give(b"ffff\r\n");
    peer.give(&vec![b'x'; 0xffff]);
    peer.answer(404, b"");
    assert_eq!(peer.give(b"\r\nffff\r\n"), "");
    assert_eq!(peer.connection.closing(), Close::Keep);
    assert_eq!(peer.give(&vec![b'x'; 0xffff]), "");
    assert_eq!(peer.give(b"\r\n2\r\n"), "closed");

    // A response that began early and is still going when the body ends is an ordinary one.
    let mut peer = Peer::new();
    peer.give(&post(DRAIN + 1));
    peer.begin(200, ResponseLength::Unknown);
    assert!(!peer.output().contains("close"));
    peer.give(&vec![b'x'; DRAIN as usize + 1]);
    peer.finish();
    assert_eq!(peer.connection.closing(), Close::Keep);
    assert!(peer.connection.is_idle());

    // And if the body has not ended by then, a long rest ends the connection.
    let mut peer = Peer::new();
    peer.give(&post(DRAIN + 1));
    peer.begin(200, ResponseLength::Unknown);
    peer.finish();
    assert_eq!(peer.connection.closing(), Close::HalfThenDrain);
}

const DRAIN: u32 = crate::limits::DRAIN_BYTES_MAX;

/// RFC 9110 10.1.1.
#[test]
fn expectations() {
    let request =
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
    let mut peer = Peer::new();
    peer.give(request);
    assert!(peer.head.expects_continue() && peer.connection.expects_continue());
    peer.connection.want_body(peer.now, &mut peer.out);
    peer.connection.want_body(peer.now, &mut peer.out);
    assert_eq!(peer.output(), "HTTP/1.1 100 Continue||");
    assert_eq!(peer.give(b"x"), "\"x\" end blocked");
    peer.answer(200, b"");
    assert!(peer.connection.is_idle());

    // Not when the body is on its way already.
    for pieces in [&[&request[..], b"x"].concat()[..], request] {
        let mut peer = Peer::new();
        peer.give(pieces);
        peer.give(b"x");
        peer.connection.want_body(peer.now, &mut peer.out);
        assert_eq!(peer.output(), "");
    }

    let mut peer = Peer::new();
    peer.input.extend_from_slice(&[&request[..], b"x"].concat());
    assert_eq!(peer.step().0, "POST / Known(1)");
    assert!(peer.head.expects_continue() && !peer.connection.expects_continue());

    // The first chunk size is a sign of it too.
    let mut peer = Peer::new();
    peer.give(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    );
    assert!(peer.connection.expects_continue());
    peer.give(b"5\r\n");
    assert!(!peer.connection.expects_continue());

    // A final answer instead: nobody knows whether the body comes.
    let mut peer = Peer::new();
    peer.give(request);
    peer.answer(403, b"");
    assert_eq!(peer.output(), "HTTP/1.1 403 Forbidden|Connection: close|Content-Length: 0||");
    assert_eq!(peer.connection.closing(), Close::HalfThenDrain);
    assert_eq!(peer.give(b"x"), "closed");
}

#[test]
fn requests_per_connection() {
    let mut peer = Peer::with(HttpLimits { requests_per_connection: 2, ..HttpLimits::default() });
    peer.give(&GET.repeat(3));
    peer.answer(204, b"");
    assert_eq!(peer.give(b""), "GET / None blocked");
    peer.answer(204, b"");
    assert_eq!(
        peer.output(),
        "HTTP/1.1 204 No Content||HTTP/1.1 204 No Content|Connection: close||"
    );
    assert_eq!(peer.connection.closing(), Close::Now);
    // The third request is there: closing at once would destroy the second answer.
    assert_eq!(peer.give(b""), "closed");
    assert_eq!(peer.connection.closing(), Close::HalfThenDrain);
    assert_eq!(peer.connection.requests(), 2);
}

/// RFC 9112 9.6 and 9.5: the peer ends its side.
#[test]
fn half_closed() {
    let end = |peer: &mut Peer| {
        peer.connection.receive_end();
        peer.give(b"")
    };
    let mut peer = Peer::new();
    assert_eq!(end(&mut peer), "closed");
    assert_eq!(peer.connection.closing(), Close::Now);

    let mut peer = Peer::new();
    peer.give(b"GET / HT");
    assert_eq!(end(&mut peer), "HeadIncomplete");
    peer.reject(Error::HeadIncomplete);
    assert!(peer.output().starts_with("HTTP/1.1 400 "));
    assert_eq!(peer.connection.closing(), Close::Now);

    let mut peer = Peer::new();
    peer.give(&[&post(2)[..], b"a"].concat());
    assert_eq!(end(&mut peer), "BodyIncomplete");
    peer.reject(Error::BodyIncomplete);
    assert_eq!(peer.connection.closing(), Close::Now);

    // Complete requests are answered, also those behind the first.
    let mut peer = Peer::new();
    assert_eq!(peer.give(&GET.repeat(2)), "GET / None blocked");
    assert_eq!(end(&mut peer), "blocked");
    peer.answer(204, b"");
    assert_eq!(peer.connection.closing(), Close::Keep);
    assert_eq!(peer.give(b""), "GET / None blocked");
    peer.answer(204, b"");
    assert_eq!(peer.give(b""), "closed");
    assert_eq!(peer.connection.closing(), Close::Now);

    // There is nothing to wait for once both sides are done, whatever was thrown away.
    let mut peer = Peer::new();
    peer.give(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET");
    assert_eq!(end(&mut peer), "closed");
    peer.answer(204, b"");
    assert_eq!(peer.connection.closing(), Close::Now);

    // A body that the owner still holds is not cut short.
    let mut peer = Peer::new();
    peer.give(&post(2));
    peer.input.extend_from_slice(b"ab");
    assert_eq!(end(&mut peer), "\"ab\" end blocked");
}

#[test]
fn reading_on_after_the_last_answer() {
    let refuse = || {
        let mut peer = Peer::new();
        peer.give(b"GET\r\n");
        peer.reject(Error::LineInvalid);
        peer.connection.begin_drain(peer.now);
        assert_eq!(peer.connection.closing(), Close::HalfThenDrain);
        assert!(peer.connection.reads_wanted());
        peer
    };
    let mut peer = refuse();
    assert_eq!(peer.give(&vec![0; DRAIN as usize - 1]), "");
    assert_eq!(peer.give(b"x"), "closed");
    assert_eq!(peer.connection.closing(), Close::Now);
    let mut peer = refuse();
    peer.connection.receive_end();
    assert_eq!(peer.connection.closing(), Close::Now);
    let mut peer = refuse();
    assert_eq!(peer.wait(1.9), None);
    assert_eq!(peer.wait(0.2), Some(Timeout::Drain));
    assert_eq!(peer.connection.closing(), Close::Now);
}

#[test]
fn leaving() {
    let drain = |peer: &mut Peer| peer.connection.drain(&peer.limits, peer.now);
    // Nobody has asked for anything since the last answer.
    let mut peer = Peer::new();
    peer.give(GET);
    peer.answer(204, b"");
    drain(&mut peer);
    assert_eq!(peer.connection.closing(), Close::Now);
    // The first request may be on its way.
    let mut peer = Peer::new();
    drain(&mut peer);
    assert_eq!(peer.connection.closing(), Close::Keep);
    peer.give(GET);
    peer.answer(204, b"");
    assert_eq!(peer.output(), "HTTP/1.1 204 No Content|Connection: close||");
    assert_eq!(peer.connection.closing(), Close::Now);
    // But it is not waited for as long as usual.
    let mut peer = Peer::new();
    drain(&mut peer);
    assert_eq!(peer.wait(2.1), Some(Timeout::Idle));
    // A request in progress is the last.
    let mut peer = Peer::new();
    peer.give(&post(1));
    drain(&mut peer);
    peer.begin(200, ResponseLength::Known(1));
    assert!(peer.output().contains("Connection: close|"));
    assert_eq!(peer.give(b"x"), "\"x\" end closed");
    peer.connection.send_body(b"y", &mut peer.out);
    peer.finish();
    assert_eq!(peer.connection.closing(), Close::Now);
    // One whose answer has begun cannot be told; it is closed behind it.
    let mut peer = Peer::new();
    peer.give(GET);
    peer.begin(200, ResponseLength::Unknown);
    drain(&mut peer);
    peer.finish();
    assert_eq!(peer.connection.closing(), Close::Now);
}
