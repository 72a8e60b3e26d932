//! RFC 9112 7.1: the chunked coding.

use super::case::{
    Case, End, Step, case, chunked, either, last, refuse, script, send, serve, status, text,
};

/// The table.
pub(crate) fn cases() -> Vec<Case> {
    let bad = || refuse(&[400]);
    let hello = || serve([text("hello")]);
    let next = "GET /user/next HTTP/1.1\r\nHost: it\r\n\r\n";
    let mut cases = vec![
        case("9112 7.1", "one chunk", chunked("5\r\nhello\r\n0\r\n\r\n"), hello()),
        case(
            "9112 7.1",
            "several chunks",
            chunked("1\r\nh\r\n2\r\nel\r\n2\r\nlo\r\n0\r\n\r\n"),
            hello(),
        ),
        case("9112 7.1", "no chunk but the last", chunked("0\r\n\r\n"), serve([text("")])),
        case(
            "9112 7.1",
            "hex in lower case",
            chunked("a\r\n0123456789\r\n0\r\n\r\n"),
            serve([text("0123456789")]),
        ),
        case(
            "9112 7.1",
            "hex in upper case",
            chunked("A\r\n0123456789\r\n0\r\n\r\n"),
            serve([text("0123456789")]),
        ),
        case(
            "9112 7.1",
            "two hex digits",
            chunked(format!("1f\r\n{}\r\n0\r\n\r\n", "a".repeat(31))),
            serve([text("a".repeat(31))]),
        ),
        case("9112 7.1", "leading zeros", chunked("0005\r\nhello\r\n0\r\n\r\n"), hello()),
        case(
            "9112 7.1",
            "a last chunk of several zeros",
            chunked("5\r\nhello\r\n000\r\n\r\n"),
            hello(),
        ),
        case(
            "9112 7.1",
            "line ends in the data are data",
            chunked("4\r\n\r\n\r\n\r\n0\r\n\r\n"),
            serve([text("\r\n\r\n")]),
        ),
        case(
            "9112 7.1",
            "data that looks like the last chunk",
            chunked("7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"),
            serve([text("\r\n0\r\n\r\n")]),
        ),
        case(
            "9112 7.1",
            "data of every byte there is",
            chunked([b"100\r\n".to_vec(), (0..=255).collect(), b"\r\n0\r\n\r\n".to_vec()].concat()),
            serve([text((0..=255).collect::<Vec<u8>>())]),
        ),
        case(
            "9112 7.1",
            "a thousand chunks of a byte",
            chunked(format!("{}0\r\n\r\n", "1\r\na\r\n".repeat(1000))),
            serve([text("a".repeat(1000))]),
        ),
        case(
            "9112 7.1",
            "a chunk of 100,000 bytes",
            chunked(format!("186A0\r\n{}\r\n0\r\n\r\n", "a".repeat(100_000))),
            serve([text("a".repeat(100_000))]),
        ),
        case(
            "9112 7.1",
            "the byte behind the last CRLF begins the next request",
            chunked(format!("5\r\nhello\r\n0\r\n\r\n{next}")),
            serve([text("hello"), text("next")]),
        ),
        case(
            "9112 7.1",
            "two chunked requests in a row",
            [chunked("3\r\nabc\r\n0\r\n\r\n"), chunked("3\r\ndef\r\n0\r\n\r\n")].concat(),
            serve([text("abc"), text("def")]),
        ),
        case("9112 7.1.1", "an extension", chunked("5;a\r\nhello\r\n0\r\n\r\n"), hello()),
        case(
            "9112 7.1.1",
            "an extension with a value",
            chunked("5;a=b\r\nhello\r\n0\r\n\r\n"),
            hello(),
        ),
        case(
            "9112 7.1.1",
            "an extension with a quoted value",
            chunked("5;a=\"b c\"\r\nhello\r\n0\r\n\r\n"),
            hello(),
        ),
        case(
            "9112 7.1.1",
            "a quoted value with escapes and a semicolon",
            chunked("5;a=\"b\\\";c\"\r\nhello\r\n0\r\n\r\n"),
            hello(),
        ),
        case(
            "9112 7.1.1",
            "several extensions",
            chunked("5;a=b;c;d=\"e\"\r\nhello\r\n0\r\n\r\n"),
            hello(),
        ),
        case(
            "9112 7.1.1",
            "an extension on the last chunk",
            chunked("5\r\nhello\r\n0;a=b\r\n\r\n"),
            hello(),
        ),
        case(
            "9112 7.1.1",
            "white space around an extension: bad white space at best",
            chunked("5 ; a = b\r\nhello\r\n0\r\n\r\n"),
            either([status(&[200, 400])]),
        ),
        case(
            "9112 7.1.1",
            "an extension that is too long",
            chunked(format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(5000))),
            bad(),
        ),
        case(
            "9112 7.1.1",
            "an extension without end",
            chunked(format!("5;{}", "a".repeat(70_000))),
            bad(),
        ),
        case(
            "9112 7.1.1",
            "too many extensions over one body",
            chunked(
                "1;a=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\na\r\n"
                    .repeat(2000),
            ),
            bad(),
        ),
        case(
            "9112 7.1.1",
            "an extension without a name",
            chunked("5;\r\nhello\r\n0\r\n\r\n"),
            either([status(&[200, 400])]),
        ),
        case(
            "9112 7.1.1",
            "an extension with an empty value",
            chunked("5;a=\r\nhello\r\n0\r\n\r\n"),
            either([status(&[200, 400])]),
        ),
        case(
            "9112 7.1.1",
            "an open quote",
            chunked("5;a=\"b\r\nhello\r\n0\r\n\r\n"),
            either([status(&[200, 400])]),
        ),
        case(
            "9112 7.1.1",
            "a quoted line end ends the line all the same",
            chunked("5;a=\"\r\nhello\r\n0\r\n\r\n\"\r\n"),
            bad(),
        ),
        case(
            "9112 2.2",
            "a bare LF within an extension",
            chunked("5;a\nb\r\nhello\r\n0\r\n\r\n"),
            bad(),
        ),
        case(
            "9112 2.2",
            "a bare CR within an extension",
            chunked("5;a\rb\r\nhello\r\n0\r\n\r\n"),
            bad(),
        ),
        case(
            "9112 7.1.1",
            "a NUL within an extension",
            chunked("5;a=\0\r\nhello\r\n0\r\n\r\n"),
            bad(),
        ),
        case(
            "9112 2.2",
            "an extension that hides a chunk behind a bare LF",
            chunked("2;\nxx\r\n4c\r\nGET /user/smuggled HTTP/1.1\r\n"),
            bad(),
        ),
        case("9112 7.1.2", "a trailer field", chunked("5\r\nhello\r\n0\r\nA: b\r\n\r\n"), hello()),
        case(
            "9112 7.1.2",
            "several trailer fields",
            chunked("5\r\nhello\r\n0\r\nA: b\r\nC: d\r\nE:\r\n\r\n"),
            hello(),
        ),
        case(
            "9112 7.1.2",
            "a trailer is not a header",
            chunked("5\r\nhello\r\n0\r\nConnection: close\r\n\r\n"),
            either([text("hello")]),
        ),
        case(
            "9112 7.1.2",
            "the request behind a trailer",
            chunked(format!("5\r\nhello\r\n0\r\nA: b\r\n\r\n{next}")),
            serve([text("hello"), text("next")]),
        ),
        case(
            "9110 6.5.1",
            "a length in the trailer",
            chunked("5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n"),
            either([status(&[200, 400])]),
        ),
        case(
            "9110 6.5.1",
            "a coding in the trailer",
            chunked("5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            either([status(&[200, 400])]),
        ),
        case(
            "9110 6.5.1",
            "a host in the trailer",
            chunked("5\r\nhello\r\n0\r\nHost: other\r\n\r\n"),
            either([status(&[200, 400])]),
        ),
        case(
            "9112 7.1.2",
            "a trailer line without colon",
            chunked("5\r\nhello\r\n0\r\nAb\r\n\r\n"),
            bad(),
        ),
        case(
            "9112 7.1.2",
            "a trailer with a space before the colon",
            chunked("5\r\nhello\r\n0\r\nA : b\r\n\r\n"),
            bad(),
        ),
        case(
            "9112 7.1.2",
            "a folded trailer",
            chunked("5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n"),
            bad(),
        ),
        case(
            "9112 7.1.2",
            "a NUL in a trailer",
            chunked("5\r\nhello\r\n0\r\nA: \0\r\n\r\n"),
            bad(),
        ),
        case(
            "9112 2.2",
            "a bare LF behind a trailer",
            chunked("5\r\nhello\r\n0\r\nA: b\n\r\n"),
            bad(),
        ),
        case(
            "9112 2.2",
            "a bare LF as the end of the trailer",
            chunked("5\r\nhello\r\n0\r\n\n"),
            bad(),
        ),
        case(
            "9112 2.2",
            "a bare CR in a trailer",
            chunked("5\r\nhello\r\n0\r\nA: b\rc\r\n\r\n"),
            bad(),
        ),
        case(
            "9112 7.1.2",
            "a trailer that is too large",
            chunked(format!("5\r\nhello\r\n0\r\nA: {}\r\n\r\n", "b".repeat(9000))),
            refuse(&[400, 431]),
        ),
        case(
            "9112 7.1.2",
            "a trailer of too many fields",
            chunked(format!("5\r\nhello\r\n0\r\n{}\r\n", "A: b\r\n".repeat(2000))),
            refuse(&[400, 431]),
        ),
        case(
            "9112 7.1.2",
            "a request behind the last chunk is no trailer",
            chunked(format!("5\r\nhello\r\n0\r\n{next}")),
            bad(),
        ),
        case(
            "9112 7.1",
            "data that is longer than its chunk",
            chunked("5\r\nhello!\r\n0\r\n\r\n"),
            bad(),
        ),
        case(
            "9112 7.1",
            "data that is shorter than its chunk",
            chunked("6\r\nhello\r\n0\r\n\r\n"),
            bad(),
        ),
        case("9112 7.1", "no CRLF behind the data", chunked("5\r\nhello0\r\n\r\n"), bad()),
        case("9112 2.2", "a bare LF behind the data", chunked("5\r\nhello\n0\r\n\r\n"), bad()),
        case("9112 2.2", "a bare CR behind the data", chunked("5\r\nhello\r0\r\n\r\n"), bad()),
        case("9112 2.2", "a bare LF behind the size", chunked("5\nhello\r\n0\r\n\r\n"), bad()),
        case("9112 2.2", "a bare CR behind the size", chunked("5\rhello\r\n0\r\n\r\n"), bad()),
        case("9112 2.2", "two CR behind the size", chunked("5\r\r\nhello\r\n0\r\n\r\n"), bad()),
        case("9112 2.2", "a bare LF behind the last size", chunked("5\r\nhello\r\n0\n\r\n"), bad()),
        case("9112 2.2", "bare LFs in all of the chunks", chunked("5\nhello\n0\n\n"), bad()),
        case(
            "9112 7.1",
            "an empty line before a size",
            chunked("5\r\nhello\r\n\r\n0\r\n\r\n"),
            bad(),
        ),
        case(
            "9112 7.1",
            "an empty line as the first size",
            chunked("\r\n5\r\nhello\r\n0\r\n\r\n"),
            bad(),
        ),
        case(
            "9112 7.1",
            "the request behind bad chunks is not answered",
            chunked(format!("x\r\nhello\r\n0\r\n\r\n{next}")),
            bad(),
        ),
        case(
            "9112 7.1",
            "chunks and close",
            super::case::post(
                "Transfer-Encoding: chunked\r\nConnection: close\r\n",
                format!("5\r\nhello\r\n0\r\n\r\n{next}"),
            ),
            last([text("hello")]),
        ),
        script(
            "9112 7.1",
            "the last chunk is waited for",
            [send(chunked("5\r\nhello\r\n")), send("0\r\n\r\n"), Step::Expect(text("hello"))],
            End::Open,
        ),
        script(
            "9112 7.1",
            "the last CRLF is waited for",
            [send(chunked("5\r\nhello\r\n0\r\n")), send("\r\n"), Step::Expect(text("hello"))],
            End::Open,
        ),
        script(
            "9112 8",
            "a chunked body that ends early is not a request",
            [send(chunked("5\r\nhel")), Step::Finish, Step::Cut(status(&[400, 408]))],
            End::Closed,
        ),
        script(
            "9112 8",
            "nor one that lacks its last chunk",
            [send(chunked("5\r\nhello\r\n")), Step::Finish, Step::Cut(status(&[400, 408]))],
            End::Closed,
        ),
    ];
    let sizes = [
        ("empty", ""),
        ("a sign", "+5"),
        ("a minus", "-5"),
        ("minus nothing", "-0"),
        ("a prefix", "0x5"),
        ("a suffix", "5h"),
        ("a letter beyond f", "g"),
        ("a space before", " 5"),
        ("a tab before", "\t5"),
        ("a space within", "0 5"),
        ("a separator", "0_5"),
        ("a dot", "5.0"),
        ("a comma", "5,5"),
        ("a colon", "5:a"),
        ("a quote", "\"5\""),
        ("a percent sign", "%35"),
        ("a NUL behind", "5\0"),
        ("a vertical tab behind", "5\x0b"),
        ("a byte beyond ASCII behind", "5\u{80}"),
        ("digits of full width", "\u{ff15}"),
        ("2 to the 64th plus 5", "10000000000000005"),
        ("2 to the 64th plus 5 with zeros", "010000000000000005"),
        ("17 digits", "fffffffffffffffff"),
        ("a line of digits", "5555555555555555555555555555555555555555555555555555555555555555"),
        ("a thousand zeros", &"0".repeat(1000)),
    ];
    cases.extend(sizes.map(|(what, size)| {
        let bytes = chunked(format!("{size}\r\nhello\r\n0\r\n\r\n"));
        case("9112 7.1", format!("no chunk size: {what}"), bytes, refuse(&[400, 413]))
    }));
    for (what, size) in [
        ("2 to the 32nd plus 5", "100000005"),
        ("all bits", "ffffffffffffffff"),
        ("the top bit", "8000000000000000"),
    ] {
        let bytes = chunked(format!("{size}\r\nhello\r\n0\r\n\r\n"));
        let says = format!("a chunk above every limit: {what}");
        cases.push(case("9112 7.1", says, bytes, refuse(&[413, 400])));
    }
    for (what, space) in [("a space", " "), ("a tab", "\t"), ("both", " \t ")] {
        let bytes = chunked(format!("5{space}\r\nhello\r\n0\r\n\r\n"));
        cases.push(case("9112 7.1", format!("{what} behind the size"), bytes, bad()));
    }
    cases
}
