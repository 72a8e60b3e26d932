//! What is accepted and what is refused, each however it was split.

use proptest::prelude::*;

use super::*;

/// Runs a small server that answers every request when it is complete; all events.
fn run(input: &[u8], cuts: impl IntoIterator<Item = usize>) -> String {
    let mut peer = Peer::new();
    let mut events: Vec<String> = Vec::new();
    let mut start = 0;
    for end in cuts.into_iter().chain([input.len()]) {
        peer.input.extend_from_slice(&input[start..end]);
        start = end;
        loop {
            let (text, last) = peer.step();
            if last {
                match text.as_str() {
                    "closed" | "input" => {}
                    error => events.push(format!("! {error}")),
                }
                break;
            }
            // Pieces of data are joined, so that their borders do not matter.
            match (text.strip_prefix('"'), events.last_mut()) {
                (Some(data), Some(before)) if before.ends_with('"') => {
                    before.pop();
                    before.push_str(data);
                }
                _ => events.push(text.clone()),
            }
            if text.starts_with("end") || text.ends_with("None") {
                peer.answer(200, b"");
            }
        }
    }
    events.join(" ")
}

/// Every single cut, and every byte alone.
#[track_caller]
fn check(input: impl AsRef<[u8]>, expected: &str) {
    let input = input.as_ref();
    let text = input.escape_ascii();
    assert_eq!(run(input, []), expected, "{text}");
    assert_eq!(run(input, 0..input.len()), expected, "byte by byte: {text}");
    for cut in 0..input.len() {
        assert_eq!(run(input, [cut]), expected, "cut at {cut}: {text}");
    }
}

/// A whole request with this line.
#[track_caller]
fn check_line(line: &str, expected: &str) {
    check(format!("{line}\r\nHost: a\r\n\r\n"), expected);
}

/// A GET with these field lines, each without its line end.
#[track_caller]
fn check_fields(lines: &[&str], expected: &str) {
    check(format!("GET / HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n")), expected);
}

/// A POST with a Host and these field lines, and what follows its head.
#[track_caller]
fn check_body(lines: &[&str], body: &str, expected: &str) {
    check(format!("POST / HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n{body}", lines.join("\r\n")), expected);
}

#[track_caller]
fn check_chunked(body: &str, expected: &str) {
    let expected = format!("POST / Chunked{expected}");
    check_body(&["Transfer-Encoding: chunked"], body, &expected);
}

const GET: &str = "GET / None";

/// RFC 9112 3.
#[test]
fn request_line() {
    check_line("GET / HTTP/1.1", GET);
    check_line("get /a HTTP/1.1", "get /a None");
    check_line("X!#$%&'*+-.^_`|~9 / HTTP/1.1", "X!#$%&'*+-.^_`|~9 / None");
    for line in
        ["GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/1.1 ", "GET /", "GET", "GET / a b"]
    {
        check_line(line, "! LineInvalid");
    }
    check_line(" GET / HTTP/1.1", "! MethodInvalid");
    check_line("G\tT / HTTP/1.1", "! MethodInvalid");
    check_line("G(T / HTTP/1.1", "! MethodInvalid");
    check_line(&format!("{} / HTTP/1.1", "A".repeat(33)), "! MethodTooLong");
    check_line(&format!("{} / HTTP/1.1", "A".repeat(32)), &format!("{} / None", "A".repeat(32)));
    // Not a byte more than that is waited for, and nothing that follows is another fault.
    check("A".repeat(33), "! MethodTooLong");
    check("A".repeat(32), "");
    check("A".repeat(9000), "! MethodTooLong");
    check(format!("{}\n", "A".repeat(33)), "! MethodTooLong");
    check(format!("{}\r\n", "A".repeat(32)), "! LineInvalid");
    check(format!("{}( / HTTP/1.1\r\n", "A".repeat(32)), "! MethodInvalid");
    check("GET / HTTP/1.1\nHost: a\r\n\r\n", "! BareLineFeed");
    check("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "! VersionInvalid");
    check("\x16\x03\x01", "! MethodInvalid");
}

/// RFC 9112 2.3, RFC 9110 2.5.
#[test]
fn version() {
    check("GET / HTTP/1.0\r\n\r\n", GET);
    check_line("GET / HTTP/1.2", GET);
    check_line("GET / HTTP/1.9", GET);
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.1"] {
        check_line(&format!("GET / {version}"), "! VersionUnsupported");
    }
    check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "! VersionUnsupported");
    for version in
        ["http/1.1", "HTTP/1", "HTTP/1.", "HTTP/11.1", "HTTP/1.10", "HTTPS/1.1", "HTTP/a.b"]
    {
        check_line(&format!("GET / {version}"), "! VersionInvalid");
    }
}

/// RFC 9112 3.2.
#[test]
fn target() {
    check_line("OPTIONS * HTTP/1.1", "OPTIONS * None");
    check_line("GET http://b/c?d HTTP/1.1", "GET http://b/c?d None");
    check_line("CONNECT a:1 HTTP/1.1", "CONNECT a:1 None");
    check_line("GET /?{|}^\\`[]% HTTP/1.1", "GET /?{|}^\\`[]% None");
    for target in ["*", "a", "/a#b", "/%zz", "http://u@b/", "/\u{e4}", "/\"", "//[::", "/{", "/?\""]
    {
        check_line(&format!("GET {target} HTTP/1.1"), "! TargetInvalid");
    }
    let mut peer = Peer::new();
    peer.give(b"OPTIONS http://b:8 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((peer.head.path(), peer.head.authority()), ("*", Some("b:8")));
    peer.answer(200, b"");
    peer.give(b"GET http://b?c HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((peer.head.path(), peer.head.query()), ("/", Some("c")));
    peer.answer(200, b"");
    peer.give(b"GET /p?q HTTP/1.1\r\nHost: a:1\r\n\r\n");
    assert_eq!((peer.head.path(), peer.head.query()), ("/p", Some("q")));
    assert_eq!(peer.head.authority(), Some("a:1"));
}

/// RFC 9112 2.2.
#[test]
fn empty_lines_in_front() {
    check(format!("{}GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n".repeat(8)), GET);
    check(format!("{}GET / HTTP/1.1\r\n", "\r\n".repeat(9)), "! TooManyEmptyLines");
    check("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "! BareLineFeed");
    check("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "! MethodInvalid");
}

/// RFC 9112 5, RFC 9110 5.5.
#[test]
fn field_lines() {
    check_fields(&["Host:a", "A:", "B: \t ", "C: \t c \t", "D: \u{e4}\"(),/:;<=>?@[]{}"], GET);
    for line in [" A: b", "\tA: b"] {
        check_fields(&["Host: a", line], "! FieldFolded");
        check_fields(&[line, "Host: a"], "! FieldFolded");
    }
    for line in ["A : b", "A", ": b", "A\t: b", "A(: b", "A\u{e4}: b", "A\0: b", "A b: c"] {
        check_fields(&["Host: a", line], "! FieldNameInvalid");
    }
    for line in ["A: b\0c", "A: b\rc", "A: \x7f", "A: \x0b", "A: b\r"] {
        check_fields(&["Host: a", line], "! FieldValueInvalid");
    }
    check("GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n", "! BareLineFeed");
    check("GET / HTTP/1.1\r\nHost: a\r\n\n", "! BareLineFeed");
    check("GET / HTTP/1.1\r\n\nHost: a\r\n\r\n", "! BareLineFeed");
    let mut peer = Peer::new();
    peer.give(b"GET / HTTP/1.1\r\nHost: a\r\nX-y: \t1 2\t \r\nx-Y:3\r\nZ:\r\n\r\n");
    assert_eq!(peer.head.header("x-y"), Some(&b"1 2"[..]));
    assert_eq!(peer.head.header_values("X-Y").collect::<Vec<_>>(), [&b"1 2"[..], b"3"]);
    assert_eq!(peer.head.header("z"), Some(&b""[..]));
    assert_eq!(peer.head.header("q"), None);
    assert_eq!(peer.head.headers().count(), 4);
}

/// The first fault of the stream decides, whatever follows it.
#[test]
fn faults_in_order() {
    check("G(T / HTTP/1.1\r\nA b\r\n\r\n", "! MethodInvalid");
    check("GET / HTTP/1.1\r\nA b\r\nB\0: c\r\n c\n", "! FieldNameInvalid");
    check("GET / HTTP/1.1\r\nContent-Length: x\r\nA b\r\n", "! FieldNameInvalid");
    check("GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "! HostMissing");
}

/// RFC 9112 3.2, RFC 9110 7.2.
#[test]
fn host() {
    for value in ["", "a", "a.b:80", "a:", "127.0.0.1:8000", "[::1]", "[::1]:80", "a%20b"] {
        check_fields(&[&format!("Host: {value}")], GET);
    }
    for value in ["a b", "a,b", "a/", "a@b", "a:b", ":80", "[::1", "a:99999", "http://a", "a\\"] {
        check_fields(&[&format!("Host: {value}")], "! HostInvalid");
    }
    check_fields(&["A: b"], "! HostMissing");
    check_fields(&["Host: a", "Host: a"], "! HostRepeated");
    check("GET http://a/ HTTP/1.1\r\n\r\n", "! HostMissing");
    check("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "! HostRepeated");
    check("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", "! HostInvalid");
}

/// RFC 9112 6.2 and 6.3, RFC 9110 8.6.
#[test]
fn content_length() {
    check_body(&["Content-Length: 3"], "abc", "POST / Known(3) \"abc\" end");
    check_body(&["content-length:\t003 "], "abc", "POST / Known(3) \"abc\" end");
    check_body(&["Content-Length: 0"], "", "POST / None");
    check_body(&["A: b"], "", "POST / None");
    for value in ["", "+1", "-1", "0x1", "1 1", "1,1", "1, 1", "1.0", "a", "\"1\"", "1;", "１"] {
        check_body(&[&format!("Content-Length: {value}")], "a", "! ContentLengthInvalid");
    }
    check_body(&["Content-Length: 18446744073709551616"], "", "! ContentLengthInvalid");
    check_body(&["Content-Length: 18446744073709551615"], "", "! BodyTooLarge");
    check_body(&["Content-Length: 16777217"], "", "! BodyTooLarge");
    check_body(&["Content-Length: 1", "Content-Length: 1"], "a", "! ContentLengthRepeated");
}

/// RFC 9112 6.1 and 6.3.
#[test]
fn transfer_encoding() {
    let good = "POST / Chunked end";
    for value in ["chunked", "CHUNKED", " chunked\t", ", chunked", "chunked,", ",,chunked, ,"] {
        check_body(&[&format!("Transfer-Encoding: {value}")], "0\r\n\r\n", good);
    }
    check_body(&["Transfer-Encoding:", "Transfer-Encoding: chunked"], "0\r\n\r\n", good);
    for value in [
        "",
        ",",
        "identity",
        "chunked, chunked",
        "chunked;a=b",
        "chunked foo",
        "chunked, (",
        "identity, chunked",
        "\"chunked\"",
        "chunked;",
        // The last coding is not chunked.
        "gzip",
        "gzip, br",
        "gzip;q=1",
        "xchunked",
        "chunkedx",
        "chunked, gzip",
        "chunked, gzip, chunked",
        "gzip, chunked, chunked",
        "gzip, (, chunked",
    ] {
        check_body(&[&format!("Transfer-Encoding: {value}")], "", "! TransferCodingInvalid");
    }
    for value in ["gzip, chunked", "gzip, br,, chunked", "xchunked, chunked", "gzip;q=1, chunked"] {
        check_body(&[&format!("Transfer-Encoding: {value}")], "", "! TransferCodingUnknown");
    }
    let twice = ["Transfer-Encoding: chunked"; 2];
    check_body(&twice, "0\r\n\r\n", "! TransferCodingInvalid");
    let lines = ["Transfer-Encoding: gzip", "Transfer-Encoding:", "Transfer-Encoding: chunked"];
    check_body(&lines, "0\r\n\r\n", "! TransferCodingUnknown");
    let lines = ["Transfer-Encoding: chunked", "Transfer-Encoding: gzip"];
    check_body(&lines, "0\r\n\r\n", "! TransferCodingInvalid");
    let both = ["Transfer-Encoding: chunked", "Content-Length: 5"];
    check_body(&both, "0\r\n\r\n", "! FramingConflict");
    check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "! TransferCodingInvalid");
}

/// RFC 9112 7.1.
#[test]
fn chunked() {
    check_chunked("0\r\n\r\n", " end");
    check_chunked("3\r\nabc\r\n00A\r\n0123456789\r\n000\r\n\r\n", " \"abc0123456789\" end");
    check_chunked("0000000000000001\r\na\r\n0\r\n\r\n", " \"a\" end");
    for line in
        ["", " 1", "x", "+1", "-1", "0x1", "1 ", "1\t", "1g", "00000000000000001", "1,", "1 1"]
    {
        check_chunked(&format!("{line}\r\na\r\n0\r\n\r\n"), " ! ChunkInvalid");
    }
    check_chunked("FFFFFFFFFFFFFFFF\r\n", " ! BodyTooLarge");
    check_chunked("1000001\r\n", " ! BodyTooLarge");
    check_chunked("1\r\na\r\nFFFFFFFFFFFFFFFF\r\n", " \"a\" ! BodyTooLarge");
    check_chunked("1\na\r\n0\r\n\r\n", " ! BareLineFeed");
    for end in ["a", "\n", "\ra", "ab\r\n"] {
        check_chunked(&format!("1\r\na{end}0\r\n\r\n"), " \"a\" ! ChunkEndInvalid");
    }
}

/// RFC 9112 7.1.1.
#[test]
fn chunk_extensions() {
    for extension in
        [";a", ";a=b", ";a=\"b\"", " ; a = b", ";a;b=\"\\\"\\\\\";c", ";a=\"\"", "\t;\ta"]
    {
        check_chunked(&format!("1{extension}\r\na\r\n0\r\n\r\n"), " \"a\" end");
    }
    for extension in
        [";", ";a=", ";=b", ";a=\"b", ";a b", ";a=b c", "a;b;", ";a=\"b\"c", ";a=\r", ";\0"]
    {
        check_chunked(&format!("1{extension}\r\na\r\n0\r\n\r\n"), " ! ChunkInvalid");
    }
    check_chunked(&format!("1;{}\r\n", "a".repeat(256)), " ! ChunkLineTooLong");
    let chunk = format!("1;{}\r\na\r\n", "a".repeat(250));
    let events = run(
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}",
            chunk.repeat(70)
        )
        .as_bytes(),
        [],
    );
    assert!(events.ends_with("! ChunkExtensionsTooLarge"), "{events}");
}

/// RFC 9112 7.1.2, RFC 9110 6.5.
#[test]
fn trailers() {
    check_chunked("0\r\nA: b\r\nC:\r\n\r\n", " end \"A: b\\\\r\\\\nC:\\\\r\\\\n\"");
    for name in ["Content-Length: 1", "transfer-encoding: chunked", "HOST: a", "Trailer: a"] {
        check_chunked(&format!("0\r\nA: b\r\n{name}\r\n\r\n"), " ! TrailerForbidden");
    }
    check_chunked("0\r\nA b\r\n\r\n", " ! FieldNameInvalid");
    check_chunked("0\r\nA: b\r\n c\r\n\r\n", " ! FieldFolded");
    check_chunked("0\r\nA: b\n\r\n", " ! BareLineFeed");
    check_chunked("0\r\n\n", " ! BareLineFeed");
    check_chunked(&format!("0\r\n{}\r\n", "A:b\r\n".repeat(257)), " ! TrailersTooLarge");
    let input = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: {}",
        "b".repeat(9000)
    );
    for cuts in [vec![], (0..input.len()).collect()] {
        assert_eq!(run(input.as_bytes(), cuts), "POST / Chunked ! TrailersTooLarge");
    }
}

/// RFC 9110 10.1.1.
#[test]
fn expect() {
    check_body(&["Expect: 100-Continue", "Content-Length: 1"], "a", "POST / Known(1) \"a\" end");
    check_body(&["Expect: 100-continue"], "", "POST / None");
    for value in ["200-ok", "100-continue, a", "100-continue=a"] {
        check_body(&[&format!("Expect: {value}")], "", "! ExpectationFailed");
    }
    check_body(&["Expect:"], "", "POST / None");
    check("GET / HTTP/1.0\r\nExpect: a\r\n\r\n", GET);
}

/// RFC 9112 9.3.2: requests behind each other, however they end.
#[test]
fn pipelines() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    check(get.repeat(3), "GET / None GET / None GET / None");
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na";
    check(format!("{post}\r\n{get}"), "POST / Known(1) \"a\" end GET / None");
    check(format!("{get}GET\r\n{get}"), "GET / None ! LineInvalid");
    let close = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    check(format!("{close}{get}"), GET);
    check(format!("GET / HTTP/1.0\r\n\r\n{get}"), GET);
}

/// The limits, at their borders.
#[test]
fn limits() {
    let limits = HttpLimits {
        line_bytes: 20,
        header_bytes: 30,
        headers: 3,
        body_bytes: 4,
        ..HttpLimits::default()
    };
    let check = |input: &str, expected: &str| {
        for size in [1, 2, 7, input.len()] {
            let mut peer = Peer::with(limits);
            let mut events = String::new();
            for piece in input.as_bytes().chunks(size) {
                events = peer.give(piece);
                if peer.closes_or_answers(&events) {
                    break;
                }
            }
            assert_eq!(events, expected, "{input:?} in pieces of {size}");
        }
    };
    check("GET /aaaaaa HTTP/1.1\r\nHost:a\r\n\r\n", "GET /aaaaaa None blocked");
    check("GET /aaaaaaa HTTP/1.1\r\nHost:a\r\n\r\n", "LineTooLong");
    check("GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "LineTooLong");
    check("GET / HTTP/1.1\r\nHost:a\r\nB:345678901234567890\r\n\r\n", "GET / None blocked");
    check("GET / HTTP/1.1\r\nHost:a\r\nB:3456789012345678901\r\n\r\n", "FieldsTooLarge");
    check("GET / HTTP/1.1\r\nHost:a\r\nB:34567890123456789012345678", "FieldsTooLarge");
    check("GET / HTTP/1.1\r\nHost:a\r\nB:\r\nC:\r\n\r\n", "GET / None blocked");
    check("GET / HTTP/1.1\r\nHost:a\r\nB:\r\nC:\r\nD:\r\n\r\n", "TooManyFields");
    check("POST / HTTP/1.1\r\nHost:a\r\nContent-Length:5\r\n\r\n", "BodyTooLarge");
    let limits = HttpLimits { body_bytes: 4, ..limits };
    let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding:chunked\r\nHost:\r\n\r\n";
    for (body, expected) in [
        ("1\r\na\r\n3\r\nbcd\r\n0\r\n\r\n", "\"a\" \"bcd\" end blocked"),
        ("1\r\na\r\n4\r\nbcd", "\"a\" BodyTooLarge"),
    ] {
        let mut peer = Peer::with(HttpLimits { header_bytes: 99, ..limits });
        assert_eq!(peer.give(chunked.as_bytes()), "POST / Chunked");
        assert_eq!(peer.give(body.as_bytes()), expected);
    }
}

impl Peer {
    /// Whether the last event leaves no use for more input.
    fn closes_or_answers(&self, events: &str) -> bool {
        events.ends_with("blocked") || (!events.is_empty() && !self.connection.reads_wanted())
    }
}

/// A head that comes byte by byte is looked at once: scanned anew for each byte, this one would
/// take a minute.
#[test]
fn slow_heads_cost_no_more() {
    let limits = HttpLimits { header_bytes: 1 << 20, ..HttpLimits::default() };
    let mut peer = Peer::with(limits);
    let input = format!("GET / HTTP/1.1\r\nHost: a\r\nB: {}\r\n\r\n", "b".repeat(1_000_000));
    let input = input.as_bytes();
    let started = std::time::Instant::now();
    for end in 1..input.len() {
        let Peer { connection, head, limits, now, .. } = &mut peer;
        let received = connection.receive(&input[..end], head, limits, *now);
        assert_eq!((received.consumed, received.event), (0, Event::NeedInput));
        assert!(end % 4096 != 0 || started.elapsed().as_secs() < 10, "at byte {end}");
    }
    assert_eq!(peer.give(input), "GET / None blocked");
}

fn streams() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a HTTP/1.1\r\n",
        "HEAD /b HTTP/1.0\r\n",
        "Host: a\r\n",
        "\r\n",
        "Content-Length: 4\r\n",
        "Transfer-Encoding: chunked\r\n",
        "4\r\nabcd\r\n",
        "0\r\n",
        "abcd",
        "Connection: close\r\n",
        "A: b\r\n",
        "1;c=d\r\ne\r\n",
        "\n",
        " ",
        "\r",
        "x",
        "B : c\r\n",
    ]);
    prop::collection::vec(piece, 1..14).prop_map(|pieces| {
        let mut stream = b"POST / HTTP/1.1\r\nHost: a\r\n".to_vec();
        stream.extend(pieces.concat().bytes());
        stream
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The same input, split at any byte, yields the same events.
    #[test]
    fn any_split_is_the_same(
        stream in streams(),
        cuts in prop::collection::vec(0usize..400, 0..6),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(run(&stream, []), run(&stream, cuts));
    }
}
