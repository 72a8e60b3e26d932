//! The connection as its owner sees it.

use ::http::StatusCode;

use super::*;
use crate::http::{BodyLength, Head, Preamble, Time};
use crate::limits::HttpLimits;

/// A small server: answers each request with what it saw, feeding the input in given pieces.
fn serve(input: &[u8], cuts: &[usize]) -> String {
    let limits = HttpLimits::default();
    let preamble = Preamble::new(0);
    let now = Time::default();
    let mut connection = Connection::new(now, &limits);
    let mut head = Head::new();
    let mut out = Vec::new();
    let mut log = String::new();
    let mut body = Vec::new();
    let mut start = 0;
    let ends = cuts.iter().copied().chain([input.len()]);
    for end in ends {
        loop {
            let received = connection.receive(&input[start..end], &mut head, &limits, now);
            start += received.consumed;
            let answer = match received.event {
                Event::Blocked => panic!("the test answers at once"),
                Event::NeedInput => break,
                Event::Closed => {
                    log += "closed ";
                    break;
                }
                Event::Data(data) => {
                    body.extend_from_slice(data);
                    false
                }
                Event::End { trailers } => {
                    log += &format!("{trailers:?} ");
                    true
                }
                Event::Reject(error) => {
                    log += &format!("{error:?} ");
                    connection.reject(error, &preamble, &limits, now, &mut out);
                    break;
                }
                Event::Request(length) => {
                    log += &format!("{} {} ", head.method(), head.target());
                    length == BodyLength::None
                }
            };
            if answer {
                let response =
                    ResponseHead { status: StatusCode::OK, content_type: None, fields: &[] };
                connection.respond_full(&response, &body, &preamble, &limits, now, &mut out);
                body.clear();
            }
        }
    }
    log + &String::from_utf8(out).unwrap().replace(OK, "OK|").replace("\r\n", "|")
}

const OK: &str = "HTTP/1.1 200 OK\r\nServer: corewise\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n";

#[test]
fn answers_a_small_get() {
    let input = b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n";
    let expected = "GET /a?b OK|Content-Length: 0||";
    for cut in 0..=input.len() {
        assert_eq!(serve(input, &[cut]), expected, "{cut}");
    }
}

#[test]
fn answers_bodies_and_pipelines() {
    let input = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
        3;a=\"b\"\r\nabc\r\n0\r\nx: y\r\n\r\n\r\nPOST /c HTTP/1.1\r\nHost:x \r\nContent-Length: 3\r\n\r\nxyz\
        GET /d HTTP/1.1\r\nhost:\t x\t\r\nConnection: close\r\n\r\nGET /e HTTP/1.1\r\n";
    let expected = serve(input, &[]);
    assert_eq!(
        expected,
        "POST / Some([120, 58, 32, 121, 13, 10]) POST /c None GET /d closed \
         OK|Content-Length: 3||abcOK|Content-Length: 3||xyzOK|Connection: close|Content-Length: 0||"
    );
    for cut in 0..=input.len() {
        assert_eq!(serve(input, &[cut]).replace("closed closed", "closed"), expected, "{cut}");
    }
}
