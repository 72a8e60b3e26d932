//! Whether an answer is the right one: status, length and content. No I/O.

use super::outcome::Fate;
use super::reader::{Head, Progress, Reader};

/// The right answer.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) body: Vec<u8>,
    /// The first is right; the others are allowed, whatever they hold.
    pub(super) statuses: Vec<u16>,
}

/// An answer on its way in, compared while it comes.
#[derive(Debug, Default)]
pub(super) struct Reading {
    reader: Reader,
    /// Bytes of the body that are as they should be.
    same: usize,
    differs: bool,
}

/// A whole answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Judged {
    pub(super) fate: Fate,
    /// Zero when the bytes were no answer.
    pub(super) status: u16,
    pub(super) retry_after: bool,
    /// The connection can take another request.
    pub(super) keep_alive: bool,
    /// On the wire.
    pub(super) bytes: u64,
}

impl Reading {
    /// Takes what was received; the judgement once the answer is whole.
    pub(super) fn feed(&mut self, input: &[u8], model: &Model) -> Option<Judged> {
        let Self { reader, same, differs } = self;
        let progress = reader.feed(input, &mut |part| match model.body.get(*same..) {
            Some(rest) if rest.starts_with(part) => *same += part.len(),
            _ => *differs = true,
        });
        match progress {
            Ok(Progress::More) => None,
            Ok(Progress::Whole { head, used }) if used == input.len() => {
                Some(self.judge(head, model))
            }
            // More than was asked for: what it answers is anybody's guess.
            Ok(Progress::Whole { head, .. }) => Some(Judged {
                fate: Fate::WrongContent,
                keep_alive: false,
                ..self.judge(head, model)
            }),
            Err(_) => Some(Judged {
                fate: Fate::WrongContent,
                status: 0,
                retry_after: false,
                keep_alive: false,
                bytes: self.reader.bytes(),
            }),
        }
    }

    /// The connection was closed in order.
    pub(super) fn close(&self, model: &Model) -> Result<Judged, Fate> {
        match self.reader.close() {
            Some(head) => Ok(self.judge(head, model)),
            None if self.has_begun() => Err(Fate::Cut),
            None => Err(Fate::LostBefore),
        }
    }

    /// Whether a first byte has come.
    pub(super) fn has_begun(&self) -> bool {
        self.reader.bytes() > 0
    }

    fn judge(&self, head: Head, model: &Model) -> Judged {
        let whole = !self.differs && self.same == model.body.len();
        let fate = match model.statuses.iter().position(|status| *status == head.status) {
            Some(0) if whole => Fate::Right,
            Some(0) => Fate::WrongContent,
            Some(_) => Fate::Allowed,
            None => Fate::WrongStatus,
        };
        let Head { status, retry_after, keep_alive } = head;
        Judged { fate, status, retry_after, keep_alive, bytes: self.reader.bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(answer: &str) -> Option<Judged> {
        let model = Model { body: b"hello".to_vec(), statuses: vec![200, 503] };
        Reading::default().feed(answer.as_bytes(), &model)
    }

    #[track_caller]
    fn check(answer: &str, expected: Option<Fate>) {
        assert_eq!(judge(answer).map(|judged| judged.fate), expected);
    }

    #[test]
    fn status_length_and_content_must_be_right() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Some(Fate::Right));
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", None);
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhullo", Some(Fate::WrongContent));
        check("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell", Some(Fate::WrongContent));
        check("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!", Some(Fate::WrongContent));
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!", Some(Fate::WrongContent));
        check("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", Some(Fate::Allowed));
        check("HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nhello", Some(Fate::WrongStatus));
        check("nonsense\r\n\r\n", Some(Fate::WrongContent));
    }

    #[track_caller]
    fn check_close(answer: &str, expected: Result<Fate, Fate>) {
        let model = Model { body: b"hello".to_vec(), statuses: vec![200] };
        let mut reading = Reading::default();
        assert_eq!(reading.feed(answer.as_bytes(), &model), None);
        assert_eq!(reading.close(&model).map(|judged| judged.fate), expected);
    }

    #[test]
    fn a_close_is_judged_by_where_it_came() {
        check_close("", Err(Fate::LostBefore));
        check_close("HTTP/1.1 2", Err(Fate::Cut));
        check_close("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", Err(Fate::Cut));
        check_close("HTTP/1.1 200 OK\r\n\r\nhello", Ok(Fate::Right));
        check_close("HTTP/1.1 200 OK\r\n\r\nhel", Ok(Fate::WrongContent));
    }
}
