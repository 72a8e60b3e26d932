//! Answers out of bytes, wherever these are cut. No I/O; what a body is worth is not judged here.

use std::mem;

/// One answer on its way in.
#[derive(Debug, Default)]
pub(super) struct Reader {
    state: State,
    /// Of the head, as long as it is not whole.
    held: Vec<u8>,
    bytes: u64,
}

/// The head of an answer, as far as the load cares.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// It says when to come again.
    pub(super) retry_after: bool,
    /// Another request may follow on this connection.
    pub(super) keep_alive: bool,
}

/// How far a piece of input has led.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// All of the input is used and more is needed.
    More,
    /// The answer is whole; so many bytes of the input belonged to it.
    Whole { head: Head, used: usize },
}

/// Bytes that are no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Malformed;

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Body(Head, Framing),
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Chunked(Chunked),
    Length(u64),
    UntilClose,
}

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, Debug)]
enum Chunked {
    /// In the digits of a size.
    Size {
        size: u64,
        digits: u8,
    },
    /// Behind them, up to the end of the line.
    Extension {
        size: u64,
    },
    Data {
        left: u64,
    },
    /// The line end behind the data.
    DataEnd {
        carriage_return: bool,
    },
    /// Behind the last chunk; an empty line ends the answer.
    Trailer {
        empty: bool,
    },
}

impl Reader {
    /// Takes a piece of input and hands its part of the body to `body`.
    pub(super) fn feed(
        &mut self,
        input: &[u8],
        body: &mut impl FnMut(&[u8]),
    ) -> Result<Progress, Malformed> {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            let done = match &mut self.state {
                State::Head => {
                    let Some((next, length)) = self.head(rest)? else {
                        self.bytes += rest.len() as u64;
                        return Ok(Progress::More);
                    };
                    used += length;
                    self.bytes += length as u64;
                    self.state = next;
                    matches!(self.state, State::Body(_, Framing::Length(0)))
                }
                State::Body(_, framing) => {
                    let (length, done) = framing.feed(rest, body)?;
                    used += length;
                    self.bytes += length as u64;
                    if !done && used == input.len() {
                        return Ok(Progress::More);
                    }
                    done
                }
            };
            if let (true, State::Body(head, _)) = (done, &self.state) {
                return Ok(Progress::Whole { head: *head, used });
            }
        }
    }

    /// The connection was closed: whether that was the end of the answer.
    pub(super) fn close(&self) -> Option<Head> {
        match &self.state {
            State::Body(head, Framing::UntilClose) => Some(Head { keep_alive: false, ..*head }),
            _ => None,
        }
    }

    /// Bytes of the answer so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Looks for the end of the head. Returns how many bytes of `input` belong to it.
    fn head(&mut self, input: &[u8]) -> Result<Option<(State, usize)>, Malformed> {
        if self.held.is_empty() {
            if let Some(found) = parse(input)? {
                return Ok(Some(found));
            }
            self.held.extend_from_slice(input);
        } else {
            let before = self.held.len();
            self.held.extend_from_slice(input);
            if let Some((state, length)) = parse(&self.held)? {
                self.held = Vec::new();
                return Ok(Some((state, length - before)));
            }
        }
        if self.held.len() > HEAD_BYTES_MAX { Err(Malformed) } else { Ok(None) }
    }
}

/// The first whole head in `bytes` and its length; an interim one (100 to 199) is passed over by
/// staying in the state for heads.
fn parse(bytes: &[u8]) -> Result<Option<(State, usize)>, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut answer = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = answer.parse(bytes).map_err(|_| Malformed)? else {
        return Ok(None);
    };
    let status = answer.code.ok_or(Malformed)?;
    if (100..200).contains(&status) {
        return Ok(Some((State::Head, length)));
    }
    let mut head = Head { status, retry_after: false, keep_alive: answer.version == Some(1) };
    let framing = read_fields(answer.headers, &mut head)?;
    let framing = if matches!(status, 204 | 304) { Framing::Length(0) } else { framing };
    if matches!(framing, Framing::UntilClose) {
        head.keep_alive = false;
    }
    Ok(Some((State::Body(head, framing), length)))
}

fn read_fields(fields: &[httparse::Header<'_>], head: &mut Head) -> Result<Framing, Malformed> {
    let mut framing = Framing::UntilClose;
    for field in fields {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("content-length") && !matches!(framing, Framing::Chunked(_)) {
            let text = str::from_utf8(field.value).map_err(|_| Malformed)?;
            framing = Framing::Length(text.trim().parse().map_err(|_| Malformed)?);
        } else if is("transfer-encoding") {
            framing = Framing::Chunked(Chunked::Size { size: 0, digits: 0 });
        } else if is("connection") {
            let says = |word: &str| field.value.eq_ignore_ascii_case(word.as_bytes());
            head.keep_alive = (head.keep_alive || says("keep-alive")) && !says("close");
        } else if is("retry-after") {
            head.retry_after = true;
        }
    }
    Ok(framing)
}

impl Framing {
    /// How many bytes were used, and whether they were the last.
    fn feed(
        &mut self,
        input: &[u8],
        body: &mut impl FnMut(&[u8]),
    ) -> Result<(usize, bool), Malformed> {
        match self {
            Self::UntilClose => {
                body(input);
                Ok((input.len(), false))
            }
            Self::Length(left) => {
                let length = take(left, input, body);
                Ok((length, *left == 0))
            }
            Self::Chunked(chunked) => chunked.feed(input, body),
        }
    }
}

impl Chunked {
    fn feed(
        &mut self,
        input: &[u8],
        body: &mut impl FnMut(&[u8]),
    ) -> Result<(usize, bool), Malformed> {
        let mut used = 0;
        while used < input.len() {
            if let Self::Data { left } = self {
                used += take(left, &input[used..], body);
                if *left == 0 {
                    *self = Self::DataEnd { carriage_return: false };
                }
                continue;
            }
            let byte = input[used];
            used += 1;
            if matches!((&*self, byte), (Self::Trailer { empty: true }, b'\n')) {
                return Ok((used, true));
            }
            *self = mem::replace(self, Self::Trailer { empty: true }).step(byte)?;
        }
        Ok((used, false))
    }

    /// The state behind a byte that is no data.
    fn step(self, byte: u8) -> Result<Self, Malformed> {
        let digit = char::from(byte).to_digit(16);
        match (self, byte) {
            (Self::Size { size, digits }, _) if digit.is_some() && digits < 15 => {
                let size = (size << 4) | u64::from(digit.unwrap_or(0));
                Ok(Self::Size { size, digits: digits + 1 })
            }
            (Self::Size { digits: 0, .. }, _) => Err(Malformed),
            (Self::Size { size, .. }, b'\r' | b';' | b' ' | b'\t') => Ok(Self::Extension { size }),
            (Self::Extension { size: 0 }, b'\n') => Ok(Self::Trailer { empty: true }),
            (Self::Extension { size }, b'\n') => Ok(Self::Data { left: size }),
            (Self::Extension { size }, _) => Ok(Self::Extension { size }),
            (Self::DataEnd { carriage_return: false }, b'\r') => {
                Ok(Self::DataEnd { carriage_return: true })
            }
            (Self::DataEnd { carriage_return: true }, b'\n') => {
                Ok(Self::Size { size: 0, digits: 0 })
            }
            (Self::Trailer { empty }, b'\r') => Ok(Self::Trailer { empty }),
            (Self::Trailer { .. }, _) => Ok(Self::Trailer { empty: byte == b'\n' }),
            _ => Err(Malformed),
        }
    }
}

fn take(left: &mut u64, input: &[u8], body: &mut impl FnMut(&[u8])) -> usize {
    let length = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    body(&input[..length]);
    *left -= length as u64;
    length
}

const HEAD_BYTES_MAX: usize = 64 << 10;
const FIELDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the pieces; returns the end, the body, and the bytes of the answer.
    fn read(pieces: &[&[u8]]) -> (Result<Progress, Malformed>, Vec<u8>, u64) {
        let mut reader = Reader::default();
        let mut body = Vec::new();
        let mut last = Ok(Progress::More);
        for piece in pieces {
            last = reader.feed(piece, &mut |part| body.extend_from_slice(part));
            if last != Ok(Progress::More) {
                break;
            }
        }
        (last, body, reader.bytes())
    }

    /// Whole, cut at every byte, and byte by byte.
    #[track_caller]
    fn check(answer: &str, status: u16, keep_alive: bool, expected: &str) {
        let bytes = answer.as_bytes();
        let singles: Vec<&[u8]> = bytes.chunks(1).collect();
        let cuts = (0..=bytes.len()).map(|at| vec![&bytes[..at], &bytes[at..]]);
        for pieces in cuts.chain([singles]) {
            let (end, body, count) = read(&pieces);
            let Ok(Progress::Whole { head, .. }) = end else { panic!("{end:?} for {pieces:?}") };
            assert_eq!((head.status, head.keep_alive), (status, keep_alive));
            assert_eq!((body, count), (expected.as_bytes().to_vec(), bytes.len() as u64));
        }
    }

    #[test]
    fn answers_are_read_however_they_are_cut() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, true, "hello");
        check("HTTP/1.1 204 No Content\r\n\r\n", 204, true, "");
        check("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nConnection: close\r\n\r\n", 200, false, "");
        check("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, false, "x");
        check(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\nx",
            404,
            true,
            "x",
        );
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(&format!("{chunked}5\r\nhello\r\n0\r\n\r\n"), 200, true, "hello");
        check(
            &format!("{chunked}2;a=b\r\nhe\r\n003\r\nllo\r\n00\r\nA: b\r\n\r\n"),
            200,
            true,
            "hello",
        );
        check(&format!("{chunked}0\r\n\r\n"), 200, true, "");
    }

    #[test]
    fn a_close_ends_what_has_no_length() {
        let mut reader = Reader::default();
        let mut body = 0;
        let more = reader.feed(b"HTTP/1.1 200 OK\r\n\r\nhel", &mut |part| body += part.len());
        assert_eq!((more, body), (Ok(Progress::More), 3));
        assert_eq!(reader.close().map(|head| head.keep_alive), Some(false));
        let mut cut = Reader::default();
        cut.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", &mut |_| {}).unwrap();
        assert_eq!(cut.close(), None);
    }

    #[test]
    fn what_follows_the_answer_is_left() {
        let (end, _, count) = read(&[b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP"]);
        let Ok(Progress::Whole { used, .. }) = end else { panic!("{end:?}") };
        assert_eq!((used as u64, count), (40, 40));
    }

    #[track_caller]
    fn check_malformed(answer: &str) {
        assert_eq!(read(&[answer.as_bytes()]).0, Err(Malformed), "{answer:?}");
    }

    #[test]
    fn nonsense_is_told_from_answers() {
        check_malformed("SSH-2.0-x\r\n\r\n");
        check_malformed("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n");
        check_malformed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n");
        check_malformed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n");
        check_malformed(&format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(HEAD_BYTES_MAX)));
    }

    #[test]
    fn who_is_busy_may_say_when_to_come_again() {
        let (end, _, _) =
            read(&[b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"]);
        assert!(matches!(end, Ok(Progress::Whole { head: Head { retry_after: true, .. }, .. })));
    }
}
