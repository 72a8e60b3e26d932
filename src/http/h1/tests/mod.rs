//! The connection as its owner sees it.

mod answers;
mod deadlines;
mod repeated;
mod requests;
mod simulation;

use ::http::StatusCode;
use ::http::header::{HeaderName, HeaderValue};

use super::*;
use crate::http::{BodyLength, Error, Head, Preamble, ResponseLength, Time};
use crate::limits::HttpLimits;

/// A connection with everything its owner has.
struct Peer {
    limits: HttpLimits,
    preamble: Preamble,
    connection: Connection,
    head: Head,
    now: Time,
    /// What was given and not consumed.
    input: Vec<u8>,
    out: Vec<u8>,
}

impl Peer {
    fn new() -> Self {
        Self::with(HttpLimits::default())
    }

    fn with(limits: HttpLimits) -> Self {
        let now = Time::from_nanos(1_000_000_000);
        Self {
            limits,
            preamble: Preamble::new(0),
            connection: Connection::new(now, &limits),
            head: Head::new(),
            now,
            input: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Gives input; all events up to the one that ends the run, as text. Data comes in one piece
    /// for each event.
    fn give(&mut self, input: &[u8]) -> String {
        self.input.extend_from_slice(input);
        let mut events = Vec::new();
        loop {
            let (text, last) = self.step();
            if text != "input" {
                events.push(text);
            }
            if last {
                return events.join(" ");
            }
        }
    }

    fn step(&mut self) -> (String, bool) {
        let received = self.connection.receive(&self.input, &mut self.head, &self.limits, self.now);
        let step = match received.event {
            Event::Blocked => ("blocked".to_owned(), true),
            Event::Closed => ("closed".to_owned(), true),
            Event::Data(data) => (format!("{:?}", data.escape_ascii().to_string()), false),
            Event::End { trailers: None } => ("end".to_owned(), false),
            Event::End { trailers: Some(trailers) } => {
                (format!("end {:?}", trailers.escape_ascii().to_string()), false)
            }
            Event::NeedInput => ("input".to_owned(), true),
            Event::Reject(error) => (format!("{error:?}"), true),
            Event::Request(length) => {
                let head = &self.head;
                (format!("{} {} {length:?}", head.method(), head.target()), false)
            }
        };
        self.input.drain(..received.consumed);
        step
    }

    fn answer(&mut self, status: u16, body: &[u8]) {
        let head = head(status, &[]);
        let Self { connection, preamble, limits, now, out, .. } = self;
        connection.respond_full(&head, body, preamble, limits, *now, out);
    }

    fn begin(&mut self, status: u16, length: ResponseLength) {
        let head = head(status, &[]);
        let Self { connection, preamble, limits, now, out, .. } = self;
        connection.respond(&head, length, preamble, limits, *now, out);
    }

    fn finish(&mut self) {
        self.connection.finish(&self.limits, self.now, &mut self.out);
    }

    fn reject(&mut self, error: Error) {
        let Self { connection, preamble, limits, now, out, .. } = self;
        connection.reject(error, preamble, limits, *now, out);
    }

    /// What was written since the last call, the usual fields left out, `|` for each line end.
    fn output(&mut self) -> String {
        let text = String::from_utf8(std::mem::take(&mut self.out)).unwrap();
        text.replace("Server: corewise\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n", "")
            .replace("\r\n", "|")
    }

    fn wait(&mut self, seconds: f64) -> Option<Timeout> {
        self.now = self.now + std::time::Duration::from_secs_f64(seconds);
        self.connection.handle_timeout(self.now)
    }
}

fn head(status: u16, fields: &[(HeaderName, HeaderValue)]) -> ResponseHead<'_> {
    let status = StatusCode::from_u16(status).unwrap();
    ResponseHead { status, content_type: None, fields }
}
