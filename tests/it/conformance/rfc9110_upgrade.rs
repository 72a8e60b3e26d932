//! RFC 9110 7.8: Upgrade. The server switches to nothing, so every wish is passed over, and what
//! follows the request is the next HTTP/1.1 request.

use super::case::{Case, case, get, last, post, refuse, serve, text};

/// The table.
pub(crate) fn cases() -> Vec<Case> {
    let ok = || serve([text("x").without("upgrade")]);
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n";
    let socket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    vec![
        case("9110 7.8", "h2c is not obeyed", get(h2c), ok()),
        case("9110 7.8", "WebSocket on a route without it", get(socket), ok()),
        case("9110 7.8", "Upgrade without Connection means nothing", get("Upgrade: h2c\r\n"), ok()),
        case(
            "9110 7.8",
            "Connection: Upgrade without the field",
            get("Connection: Upgrade\r\n"),
            ok(),
        ),
        case(
            "9110 7.8",
            "a list of protocols",
            get("Connection: upgrade\r\nUpgrade: HTTP/3.0, foo/1, bar\r\n"),
            ok(),
        ),
        case("9110 7.8", "an empty list", get("Connection: upgrade\r\nUpgrade:\r\n"), ok()),
        case(
            "9110 7.8",
            "TLS in the middle of a connection",
            get("Connection: upgrade\r\nUpgrade: TLS/1.0\r\n"),
            ok(),
        ),
        case(
            "9110 7.8",
            "an upgrade with content: the content is still content",
            post("Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n", "hello"),
            serve([text("hello")]),
        ),
        case(
            "9110 7.8",
            "an upgrade with chunked content",
            post(
                "Connection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n",
                "5\r\nhello\r\n0\r\n\r\n",
            ),
            serve([text("hello")]),
        ),
        case(
            "9110 7.8",
            "requests behind an upgrade are HTTP/1.1",
            [get(h2c), get("")].concat(),
            serve([text("x"), text("x")]),
        ),
        case(
            "9110 7.8",
            "close wins over upgrade",
            get("Connection: close, upgrade\r\nUpgrade: h2c\r\n"),
            last([text("x")]),
        ),
        case(
            "9110 7.8",
            "an HTTP/1.0 client cannot upgrade",
            b"GET /user/x HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
            last([text("x").for_http10()]),
        ),
        case(
            "9113 3.4",
            "the preface of HTTP/2 on a connection of HTTP/1.1",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            refuse(&[505, 400]),
        ),
        case(
            "9113 3.4",
            "the preface behind a request",
            [get(""), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()].concat(),
            last([text("x"), super::case::status(&[505, 400])]),
        ),
        case(
            "8446 5.1",
            "a TLS hello on a plain port",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x0a\x0d\x0a\r\n\r\n",
            refuse(&[400]),
        ),
    ]
}
