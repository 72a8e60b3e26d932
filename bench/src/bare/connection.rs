//! What the bare loop knows of a connection, and how it finds the requests in its bytes.

use std::mem::MaybeUninit;

use super::answer::Answer;

/// All connections, addressed by index; a place is used again once the kernel holds nothing of it.
#[derive(Default)]
pub(super) struct Connections {
    places: Vec<Connection>,
    free: Vec<u32>,
}

impl Connections {
    /// Takes a place for an accepted descriptor.
    pub(super) fn open(&mut self, fd: i32) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Connection::default());
            (self.places.len() - 1) as u32
        });
        let state = self.get(index);
        state.fd = fd;
        state.life = Life::Open;
        state.first = true;
        index
    }

    pub(super) fn get(&mut self, index: u32) -> &mut Connection {
        &mut self.places[index as usize]
    }

    /// Frees a place. What it owned was given up before, except for an unfinished request.
    pub(super) fn remove(&mut self, index: u32) {
        self.places[index as usize] = Connection::default();
        self.free.push(index);
    }
}

/// One connection.
#[derive(Default)]
pub(super) struct Connection {
    /// The descriptor, or the place in the table of registered files.
    pub(super) fd: i32,
    /// Operations that the kernel has not completed.
    pub(super) operations: u32,
    /// Bytes of `sending` that are sent.
    pub(super) sent: usize,
    /// The answers that a send operation points to; empty when none is under way.
    pub(super) sending: Vec<u8>,
    /// Answers that wait for that operation.
    pub(super) waiting: Vec<u8>,
    /// The beginning of a request that has not ended.
    partial: Vec<u8>,
    /// A receive is armed.
    pub(super) receiving: bool,
    /// Nothing has been received yet.
    pub(super) first: bool,
    pub(super) life: Life,
}

/// How far a connection is on its way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Life {
    #[default]
    Open,
    /// Nothing more is read; closed once everything is sent.
    Ending,
    /// The close is under way.
    Closing,
}

/// What the last request wants of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Close,
    Open,
}

impl Connection {
    /// Answers every whole request in `bytes` and keeps the rest.
    pub(super) fn take(&mut self, bytes: &[u8], answer: &Answer, out: &mut Vec<u8>) -> Input {
        self.first = false;
        if self.partial.is_empty() {
            let (consumed, input) = answer_all(bytes, answer, out);
            if input == Input::Open && consumed < bytes.len() {
                self.partial.extend_from_slice(&bytes[consumed..]);
            }
            return input;
        }
        let mut partial = std::mem::take(&mut self.partial);
        partial.extend_from_slice(bytes);
        let (consumed, input) = answer_all(&partial, answer, out);
        partial.drain(..consumed);
        let flooded = partial.len() > HEAD_BYTES_MAX || self.waiting.len() > WAITING_BYTES_MAX;
        self.partial = partial;
        if flooded { Input::Close } else { input }
    }
}

/// Appends one answer per whole request; returns how many bytes they took.
fn answer_all(bytes: &[u8], answer: &Answer, out: &mut Vec<u8>) -> (usize, Input) {
    let mut consumed = 0;
    while consumed < bytes.len() {
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(&bytes[consumed..], &mut fields) {
            Ok(httparse::Status::Complete(length)) => consumed += length,
            Ok(httparse::Status::Partial) => break,
            Err(_) => return (consumed, Input::Close),
        }
        let close = wants_close(&request);
        out.extend_from_slice(answer.bytes(close));
        if close {
            return (consumed, Input::Close);
        }
    }
    (consumed, Input::Open)
}

fn wants_close(request: &httparse::Request<'_, '_>) -> bool {
    let named = |value: &[u8]| {
        request.headers.iter().any(|field| {
            field.name.eq_ignore_ascii_case("connection") && field.value.eq_ignore_ascii_case(value)
        })
    };
    named(b"close") || (request.version == Some(0) && !named(b"keep-alive"))
}

/// Most field lines of a request; more are refused by closing.
const FIELDS_MAX: usize = 64;
/// Longest head that is kept while it is incomplete.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most bytes of answers for a peer that asks but does not read.
const WAITING_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&str], answers: usize, expected: Input) {
        let answer = Answer::new();
        let mut connection = Connection::default();
        let mut out = Vec::new();
        let mut input = Input::Open;
        for piece in pieces {
            input = connection.take(piece.as_bytes(), &answer, &mut out);
        }
        assert_eq!(input, expected);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("HTTP/1.1 200 OK").count(), answers, "{text}");
    }

    #[test]
    fn requests_are_found_wherever_they_are_cut() {
        let one = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let three = one.repeat(3);
        check(&[one], 1, Input::Open);
        check(&[&three], 3, Input::Open);
        for cut in 1..three.len() {
            check(&[&three[..cut], &three[cut..]], 3, Input::Open);
        }
    }

    #[test]
    fn the_last_request_decides_whether_the_connection_stays() {
        check(
            &["GET / HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n"],
            1,
            Input::Close,
        );
        check(&["GET / HTTP/1.0\r\n\r\n"], 1, Input::Close);
        check(&["GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"], 1, Input::Open);
        check(&["GET / HTTP/1.1\r\n\r\n\0"], 1, Input::Close);
    }

    #[test]
    fn an_endless_head_ends_the_connection() {
        let filler = format!("a: {}\r\n", "b".repeat(1000));
        let pieces = vec![filler.as_str(); 20];
        let mut all = vec!["GET / HTTP/1.1\r\n"];
        all.extend(pieces);
        check(&all, 0, Input::Close);
    }
}
