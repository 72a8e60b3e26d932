//! Answers as bytes.

use ::http::StatusCode;
use ::http::header::{self, HeaderName, HeaderValue};

use crate::http::date::Preamble;

/// What a handler says about its answer, apart from the body.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// A final status; an interim one (1xx) is answered as 500.
    pub status: StatusCode,
    /// The Content-Type, apart from the other fields because nearly every answer has one.
    pub content_type: Option<&'a HeaderValue>,
    /// Further fields. Those that frame the message or speak of the connection are ours and are
    /// skipped, except that `Connection: close` is honoured; Server and Date replace ours.
    pub fields: &'a [(HeaderName, HeaderValue)],
}

impl ResponseHead<'_> {
    /// Whether the handler wants the connection closed.
    pub(super) fn asks_to_close(&self) -> bool {
        self.fields.iter().any(|(name, value)| {
            *name == header::CONNECTION
                && value
                    .as_bytes()
                    .split(|&byte| byte == b',')
                    .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
        })
    }
}

/// How the end of the body is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    Chunked,
    Length(u64),
    /// By the end of the connection, or there is no body at all.
    Nothing,
}

/// What the Connection field says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ConnectionField {
    Absent,
    Close,
    KeepAlive,
}

/// Writes the head, and makes room for `body_bytes` more.
pub(super) fn head(
    out: &mut Vec<u8>,
    response: &ResponseHead<'_>,
    framing: Framing,
    connection: ConnectionField,
    preamble: &Preamble,
    body_bytes: usize,
) {
    let content_type = response.content_type.map_or(0, HeaderValue::len);
    out.reserve(HEAD_BYTES + content_type + body_bytes);
    let replaces = |ours: &HeaderName| response.fields.iter().any(|(name, _)| name == ours);
    let (server, date) = (replaces(&header::SERVER), replaces(&header::DATE));
    if response.status == StatusCode::OK && !server && !date {
        out.extend_from_slice(preamble.ok());
    } else {
        status_line(out, response.status);
        out.extend_from_slice(if server { b"" } else { preamble.server() });
        out.extend_from_slice(if date { b"" } else { preamble.date_line() });
    }
    for (name, value) in response.fields {
        let repeated = response.content_type.is_some() && name == header::CONTENT_TYPE;
        if !repeated && !is_ours(name) {
            field(out, name, value);
        }
    }
    if let Some(value) = response.content_type {
        out.extend_from_slice(b"Content-Type: ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    match connection {
        ConnectionField::Absent => {}
        ConnectionField::Close => out.extend_from_slice(b"Connection: close\r\n"),
        ConnectionField::KeepAlive => out.extend_from_slice(b"Connection: keep-alive\r\n"),
    }
    match framing {
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n"),
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n\r\n");
        }
        Framing::Nothing => out.extend_from_slice(b"\r\n"),
    }
}

fn status_line(out: &mut Vec<u8>, status: StatusCode) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    // RFC 9112 4: the reason may be empty, its space may not be left out.
    out.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Fields that a handler cannot set, because they follow from how the message is sent.
fn is_ours(name: &HeaderName) -> bool {
    [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE]
        .contains(name)
        || name.as_str() == "keep-alive"
}

/// One field line, the name in the usual spelling.
fn field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    let start = out.len();
    out.extend_from_slice(name.as_str().as_bytes());
    let mut begins = true;
    for byte in &mut out[start..] {
        if begins {
            byte.make_ascii_uppercase();
        }
        begins = *byte == b'-';
    }
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The line in front of the data of a chunk, which is not empty: that would end the body.
pub(super) fn chunk_size(out: &mut Vec<u8>, size: u64) {
    let mut digits = [0; 16];
    let mut at = digits.len();
    let mut rest = size;
    while rest > 0 {
        at -= 1;
        digits[at] = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

/// The last chunk and the trailer section.
pub(super) fn last_chunk(out: &mut Vec<u8>, trailers: &[(HeaderName, HeaderValue)]) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        // RFC 9110 6.5.1: what frames the message cannot come after it.
        if !is_ours(name) && *name != header::HOST && *name != header::TRAILER {
            field(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// What a head needs at most beside its fields: preamble, names of the usual fields, a length.
const HEAD_BYTES: usize = 192;
