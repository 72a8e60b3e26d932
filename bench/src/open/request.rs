//! The bytes of a request, made once, and the asking of one before the load begins.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::reader::{Progress, Reader};

/// A GET that is sent again and again.
pub(super) struct Request {
    bytes: Vec<u8>,
    /// Where its number stands.
    number_at: Option<usize>,
}

impl Request {
    pub(super) fn new(address: SocketAddr, path: &str, close: bool, numbered: bool) -> Self {
        let mut text = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n");
        if close {
            text.push_str("Connection: close\r\n");
        }
        let number_at = numbered.then(|| text.len() + NUMBER_FIELD.len());
        if numbered {
            text.push_str(NUMBER_FIELD);
            text.push_str(&"0".repeat(NUMBER_DIGITS));
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        Self { bytes: text.into_bytes(), number_at }
    }

    /// The bytes of the request with this number.
    pub(super) fn bytes(&mut self, mut number: usize) -> &[u8] {
        if let Some(at) = self.number_at {
            for digit in self.bytes[at..at + NUMBER_DIGITS].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        &self.bytes
    }
}

/// Asks until the answer has this status, and returns its body: what all others must hold. A
/// status that is allowed beside it is asked again, because a busy server may begin with it.
pub(super) fn model_body(
    address: SocketAddr,
    path: &str,
    statuses: &[u16],
    patience: Duration,
) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + patience;
    loop {
        let (status, body) = ask(address, path, patience)
            .map_err(|error| io::Error::new(error.kind(), format!("GET {path}: {error}")))?;
        if status == statuses[0] {
            return Ok(body);
        }
        if !statuses.contains(&status) || Instant::now() > deadline {
            let message = format!("GET {path} answers {status}, not {}", statuses[0]);
            return Err(io::Error::other(message));
        }
    }
}

fn ask(address: SocketAddr, path: &str, patience: Duration) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(Request::new(address, path, true, false).bytes(0))?;
    let mut reader = Reader::default();
    let mut body = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let length = stream.read(&mut piece)?;
        if length == 0 {
            let head = reader.close().ok_or_else(|| io::Error::other("the answer is cut"))?;
            return Ok((head.status, body));
        }
        match reader.feed(&piece[..length], &mut |part| body.extend_from_slice(part)) {
            Ok(Progress::More) => {}
            Ok(Progress::Whole { head, .. }) => return Ok((head.status, body)),
            Err(_) => return Err(io::Error::other("what comes is no answer")),
        }
    }
}

const NUMBER_FIELD: &str = "X-Request-Id: ";
const NUMBER_DIGITS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_its_number() {
        let address = "127.0.0.1:80".parse().unwrap();
        let mut request = Request::new(address, "/a", true, true);
        let expected = "GET /a HTTP/1.1\r\nHost: 127.0.0.1:80\r\nConnection: close\r\n\
                        X-Request-Id: 0000012345\r\n\r\n";
        assert_eq!(str::from_utf8(request.bytes(12_345)), Ok(expected));
        assert!(request.bytes(7).ends_with(b" 0000000007\r\n\r\n"));
        let mut plain = Request::new(address, "/a", false, false);
        assert_eq!(plain.bytes(9), b"GET /a HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n");
    }
}
