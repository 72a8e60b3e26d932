//! RFC 9110 9: methods.

use super::case::{Case, case, either, last, refuse, serve, status, text};

fn request(line: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: it\r\n\r\n").into_bytes()
}

/// The table.
pub(crate) fn cases() -> Vec<Case> {
    let refused = || either([status(&[405]).field("allow", "GET")]);
    let unknown = || either([status(&[405, 501])]);
    let head = |length: &'static str| status(&[200]).for_head().field("content-length", length);
    vec![
        case("9110 9.3.1", "GET of a text", request("GET /plaintext"), serve([text("Hello, World!").field("content-type", "text/plain").field("content-length", "13")])),
        case("9110 9.3.1", "GET of JSON", request("GET /json"), serve([status(&[200]).field("content-type", "application/json")])),
        case("9110 9.3.1", "GET of the page", request("GET /"), serve([status(&[200]).field("content-type", "text/html")])),
        case("9110 9.3.1", "GET of an unknown path", request("GET /nothing"), serve([status(&[404])])),
        case("9110 9.3.2", "HEAD has the fields of GET and no content", request("HEAD /plaintext"), serve([head("13").field("content-type", "text/plain")])),
        case("9110 9.3.2", "HEAD of a path with a parameter", request("HEAD /user/abcd"), serve([head("4")])),
        case("9110 9.3.2", "HEAD of an unknown path", request("HEAD /nothing"), serve([status(&[404]).for_head()])),
        case("9110 9.3.2", "HEAD of a stream", request("HEAD /stream?chunks=3&bytes=10&gap_ms=0"), serve([status(&[200]).for_head()])),
        case("9110 9.3.2", "HEAD of an async route", request("HEAD /sleep/1"), serve([status(&[200]).for_head()])),
        case("9110 9.3.2", "HEAD twice, then GET", [request("HEAD /user/a"), request("HEAD /user/b"), request("GET /user/c")].concat(), serve([head("1"), head("1"), text("c")])),
        case("9110 9.3.2", "HEAD between GETs", [request("GET /user/a"), request("HEAD /user/bb"), request("GET /user/c")].concat(), serve([text("a"), head("2"), text("c")])),
        case("9110 9.3.2", "HEAD with close", b"HEAD /user/a HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n", last([head("1")])),
        case("9110 9.3.2", "HEAD from an HTTP/1.0 client", b"HEAD /user/a HTTP/1.0\r\n\r\n", last([head("1").for_http10()])),
        case("9110 14.2", "Range means nothing on HEAD", b"HEAD /plaintext HTTP/1.1\r\nHost: it\r\nRange: bytes=0-1\r\n\r\n", serve([head("13")])),
        case("9110 9.3.2", "HEAD of a panic is a 500 without content", request("HEAD /panic"), either([status(&[500]).for_head()])),
        case("9110 9.3.3", "POST gives the content to the route", b"POST /echo HTTP/1.1\r\nHost: it\r\nContent-Length: 5\r\n\r\nhello", serve([text("hello")])),
        case("9110 9.3.3", "POST without content", request("POST /echo"), serve([text("")])),
        case("9110 9.3.3", "POST of every byte there is", [b"POST /echo HTTP/1.1\r\nHost: it\r\nContent-Length: 256\r\n\r\n".to_vec(), (0..=255).collect()].concat(), serve([text((0..=255).collect::<Vec<u8>>())])),
        case("9110 15.5.6", "a known method that the route has not, with the ones it has", request("DELETE /plaintext"), refused()),
        case("9110 15.5.6", "POST to a route of GET", b"POST /plaintext HTTP/1.1\r\nHost: it\r\nContent-Length: 3\r\n\r\nabc", refused()),
        case("9110 15.5.6", "PUT to a route of GET", b"PUT /plaintext HTTP/1.1\r\nHost: it\r\nContent-Length: 3\r\n\r\nabc", refused()),
        case("9110 15.5.6", "PATCH to a route of GET", request("PATCH /plaintext"), refused()),
        case("9110 15.5.6", "GET of a route of POST", request("GET /echo"), either([status(&[405]).field("allow", "POST")])),
        case("9110 15.5.6", "HEAD of a route of POST", request("HEAD /echo"), either([status(&[405]).for_head().field("allow", "POST")])),
        case("9110 15.5.6", "Allow lists HEAD beside GET", request("DELETE /plaintext"), either([status(&[405]).field("allow", "HEAD")])),
        case("9110 9.1", "an unknown method", request("FROBNICATE /plaintext"), unknown()),
        case("9110 9.1", "methods tell letter case", request("get /plaintext"), unknown()),
        case("9110 9.1", "mixed case is another method", request("Get /plaintext"), unknown()),
        case("9110 5.6.2", "every character of a token may stand in a method", request("!#$%&'*+-.^_`|~A1 /plaintext"), unknown()),
        case("9110 9.1", "a method of one letter", request("X /plaintext"), unknown()),
        case("9110 9.1", "a long method", request(&format!("{} /plaintext", "M".repeat(60))), either([status(&[405, 501, 400])])),
        case("9110 9.3.7", "OPTIONS of the server as a whole", request("OPTIONS *"), serve([status(&[200, 204])])),
        case("9110 9.3.7", "OPTIONS of the server as a whole, with content", b"OPTIONS * HTTP/1.1\r\nHost: it\r\nContent-Length: 2\r\n\r\nab", either([status(&[200, 204])])),
        case("9110 9.3.7", "OPTIONS of a route names its methods", request("OPTIONS /plaintext"), either([status(&[200, 204, 405]).field("allow", "GET")])),
        case("9110 9.3.7", "OPTIONS of an unknown path", request("OPTIONS /nothing"), either([status(&[404, 200, 204])])),
        case("9112 3.2.4", "an absolute URI with OPTIONS", request("OPTIONS http://it"), either([status(&[200, 204, 404, 405])])),
        case("9110 9.3.8", "TRACE does not send a request back", request("TRACE /plaintext"), either([status(&[405, 501])])),
        case("9110 9.3.6", "CONNECT is not ours to serve", request("CONNECT it:443"), either([status(&[400, 404, 405, 501])])),
        case("9112 3.2.3", "CONNECT with a path", request("CONNECT /plaintext"), refuse(&[400])),
        case("9112 3.2.3", "CONNECT without a port", request("CONNECT it"), refuse(&[400])),
        case("9112 3.2.3", "CONNECT with an absolute URI", request("CONNECT http://it:443/"), refuse(&[400])),
        case("9112 3.2.3", "CONNECT with an asterisk", request("CONNECT *"), refuse(&[400])),
        case("9112 3.2.3", "CONNECT with user information", request("CONNECT me@it:443"), refuse(&[400])),
        case("9110 9.3.1", "content of a GET has no meaning but is read past", b"GET /user/x HTTP/1.1\r\nHost: it\r\nContent-Length: 5\r\n\r\nhello", serve([text("x")])),
        case("9110 9.3.1", "content of a GET that looks like a request is still content", b"GET /user/x HTTP/1.1\r\nHost: it\r\nContent-Length: 43\r\n\r\nGET /user/smuggled HTTP/1.1\r\nHost: smug\r\n\r\n", serve([text("x")])),
        case("9110 9.3.2", "content of a HEAD is read past", b"HEAD /user/x HTTP/1.1\r\nHost: it\r\nContent-Length: 5\r\n\r\nhello", serve([head("1")])),
        case("9110 9.3.5", "content of a DELETE does not become a request", b"DELETE /plaintext HTTP/1.1\r\nHost: it\r\nContent-Length: 5\r\n\r\nhello", refused()),
        case("9110 15.6.1", "a panic in a handler is a 500 for that request", request("GET /panic"), either([status(&[500])])),
        case("9110 15.6.1", "the request behind a panic is answered", [request("GET /user/a"), request("GET /panic")].concat(), either([text("a"), status(&[500])])),
    ]
}
