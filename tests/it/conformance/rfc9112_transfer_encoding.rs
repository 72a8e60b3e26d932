//! RFC 9112 6.1: Transfer-Encoding. Exactly one `chunked`, on HTTP/1.1, and nothing else.

use super::case::{Case, case, either, get, last, post, refuse, serve, status, text};

const BODY: &str = "5\r\nhello\r\n0\r\n\r\n";

fn coding(value: &str) -> Vec<u8> {
    post(&format!("Transfer-Encoding:{value}\r\n"), BODY)
}

/// The table.
pub(crate) fn cases() -> Vec<Case> {
    let bad = || refuse(&[400]);
    let mut cases = vec![
        case("9112 6.1", "chunked", coding(" chunked"), serve([text("hello")])),
        case("9112 7", "in upper case", coding(" CHUNKED"), serve([text("hello")])),
        case("9112 7", "in mixed case", coding(" ChUnKeD"), serve([text("hello")])),
        case("9112 5.1", "no space before it", coding("chunked"), serve([text("hello")])),
        case("9112 5.1", "white space around it", coding(" \tchunked \t"), serve([text("hello")])),
        case(
            "9110 5.1",
            "the name in lower case",
            post("transfer-encoding: chunked\r\n", BODY),
            serve([text("hello")]),
        ),
        case(
            "9112 6.1",
            "chunked and then close",
            post("Transfer-Encoding: chunked\r\nConnection: close\r\n", BODY),
            last([text("hello")]),
        ),
        case(
            "9112 6.1",
            "two in a row",
            [coding(" chunked"), coding(" chunked")].concat(),
            serve([text("hello"), text("hello")]),
        ),
        case(
            "9112 6.1",
            "chunked content of a GET is read past or ends the connection",
            format!("GET /user/x HTTP/1.1\r\nHost: it\r\nTransfer-Encoding: chunked\r\n\r\n{BODY}"),
            either([text("x")]),
        ),
        case("9112 6.1", "chunked twice in a list", coding(" chunked, chunked"), bad()),
        case(
            "9112 6.1",
            "chunked twice in two lines",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", BODY),
            bad(),
        ),
        case(
            "9112 6.1",
            "chunked twice in two cases of letters",
            coding(" chunked, CHUNKED"),
            bad(),
        ),
        case("9112 6.3", "an empty value", coding(""), bad()),
        case("9112 6.3", "a value of white space", coding(" "), bad()),
        case("9112 6.3", "commas only", coding(" ,"), bad()),
        case(
            "9112 6.3",
            "chunked and an empty line of the same name",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n", BODY),
            either([status(&[200, 400])]),
        ),
        case("9112 6.1", "identity is gone", coding(" identity"), refuse(&[400, 501])),
        case(
            "9112 6.1",
            "identity before chunked",
            coding(" identity, chunked"),
            refuse(&[400, 501]),
        ),
        case("9112 6.3", "chunked is not last", coding(" chunked, identity"), bad()),
        case("9112 6.3", "chunked before gzip", coding(" chunked, gzip"), bad()),
        case(
            "9112 6.3",
            "chunked around gzip",
            coding(" chunked, gzip, chunked"),
            refuse(&[400, 501]),
        ),
        case("9112 6.1", "a coding that we do not know", coding(" gzip, chunked"), refuse(&[501])),
        case(
            "9112 6.1",
            "the same in two lines",
            post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", BODY),
            refuse(&[501]),
        ),
        case("9112 6.3", "an unknown coding alone", coding(" gzip"), bad()),
        case("9112 6.1", "a coding that nobody knows", coding(" foo, chunked"), refuse(&[501])),
        case("9112 6.1", "deflate before chunked", coding(" deflate, chunked"), refuse(&[501])),
        case(
            "9112 6.1",
            "on HTTP/1.0",
            format!("POST /echo HTTP/1.0\r\nHost: it\r\nTransfer-Encoding: chunked\r\n\r\n{BODY}"),
            refuse(&[400, 501]),
        ),
        case(
            "9112 6.1",
            "on HTTP/1.0 with keep-alive",
            format!(
                "POST /echo HTTP/1.0\r\nConnection: keep-alive\r\n\
Transfer-Encoding: chunked\r\n\r\n{BODY}"
            ),
            refuse(&[400, 501]),
        ),
        case(
            "9112 6.1",
            "on HTTP/1.0 with a length",
            b"POST /echo HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
            refuse(&[400, 501]),
        ),
        case("9112 6.3", "an unknown coding on a GET", get("Transfer-Encoding: gzip\r\n"), bad()),
        case(
            "9110 5.1",
            "Transfer_Encoding is another field",
            post("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", "hello"),
            serve([text("hello")]),
        ),
        case(
            "9110 5.1",
            "X-Transfer-Encoding is another field",
            post("X-Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "hello"),
            serve([text("hello")]),
        ),
        case(
            "9110 10.1.4",
            "TE is a wish about answers",
            get("TE: trailers, deflate;q=0.5\r\nConnection: TE\r\n"),
            serve([text("x")]),
        ),
        case(
            "9112 7.4",
            "TE beside a chunked body",
            post("TE: chunked\r\nTransfer-Encoding: chunked\r\n", BODY),
            serve([text("hello")]),
        ),
        case(
            "9112 5.2",
            "a folded coding",
            post("Transfer-Encoding:\r\n chunked\r\n", BODY),
            bad(),
        ),
        case(
            "9112 5.2",
            "chunked folded behind another",
            post("Transfer-Encoding: x\r\n , chunked\r\n", BODY),
            bad(),
        ),
    ];
    let values = [
        ("quotes", " \"chunked\""),
        ("single quotes", " 'chunked'"),
        ("a parameter", " chunked;q=1"),
        ("a semicolon", " chunked;"),
        ("a letter more", " chunkedx"),
        ("a letter before", " xchunked"),
        ("a letter less", " chunke"),
        ("two words", " chunked foo"),
        ("a space within", " chun ked"),
        ("a colon before", " : chunked"),
        ("a slash behind", " chunked/1"),
        ("a vertical tab before", " \x0bchunked"),
        ("a NUL behind", " chunked\0"),
        ("a control byte before", " \x01chunked"),
        ("a bare CR before", " \rchunked"),
        ("a bare LF before", " \nchunked"),
        ("a bare CR behind", " chunked\r"),
        ("a byte beyond ASCII", " chunked\u{a0}"),
        ("a Kelvin sign for the k", " chun\u{212a}ed"),
        ("a number", " 1"),
        ("both in quotes", " \"gzip, chunked\""),
    ];
    cases.extend(values.map(|(what, value)| {
        case("9112 6.1", format!("not chunked: {what}"), coding(value), refuse(&[400, 501]))
    }));
    cases
}
