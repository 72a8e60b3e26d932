//! One HTTP/1.1 connection of a server: the interface of the core.

use ::http::header::{HeaderName, HeaderValue};
use ::http::{Method, StatusCode};

use super::chunked::{Decoder, Piece};
use super::encode::{self, ConnectionField, Framing, ResponseHead};
use super::framing::Persistence;
use super::parse;
use super::state::{
    Close, Exchange, Expectation, Input, Kind, Life, Reading, State, Timeout, Writing, may_discard,
};
use crate::http::body::{BodyLength, ResponseLength};
use crate::http::date::Preamble;
use crate::http::error::Error;
use crate::http::head::{Head, Version};
use crate::http::time::{Deadline, Time};
use crate::limits::{DRAIN_BYTES_MAX, DRAIN_TIMEOUT, HttpLimits, LEADING_EMPTY_LINES_MAX};

/// The server's side of one HTTP/1.1 connection.
///
/// It holds no byte of input or output and no limit, so that an idle connection is these few
/// bytes and nothing else.
#[derive(Debug)]
pub struct Connection {
    state: State,
}

const _: () = assert!(size_of::<Connection>() <= 72);

/// What became of some input.
#[derive(Clone, Copy, Debug)]
pub struct Received<'i> {
    /// Bytes that need not be given again.
    pub consumed: usize,
    /// What happened.
    pub event: Event<'i>,
}

/// One thing that happened while input was read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event<'i> {
    /// A response is owed before more input is taken. Call again once it has ended.
    Blocked,
    /// Nothing that follows will be answered; the input was thrown away.
    Closed,
    /// Bytes of the body.
    Data(&'i [u8]),
    /// The body is complete. Follows every request whose body length is not `None`.
    End {
        /// The trailer section, judged like a header section, without its empty line.
        trailers: Option<&'i [u8]>,
    },
    /// All that could be used was used. What was not consumed is given again, with more behind it.
    NeedInput,
    /// The input is at fault: call `reject` with this error.
    Reject(Error),
    /// The head is filled. With `BodyLength::None` the request is complete.
    Request(BodyLength),
}

impl Connection {
    /// A connection that was accepted just now.
    #[must_use]
    pub fn new(now: Time, limits: &HttpLimits) -> Self {
        Self { state: State::new(now, limits) }
    }

    /// Takes input and returns one event. Call again with what was not consumed, be it nothing,
    /// until the event is `NeedInput`, `Blocked`, `Closed` or `Reject`; and again after each
    /// response has ended, also with nothing. Whether to close is for `closing` to say, never for
    /// an event: a response may still be owed.
    #[inline]
    pub fn receive<'i>(
        &mut self,
        input: &'i [u8],
        head: &mut Head,
        limits: &HttpLimits,
        now: Time,
    ) -> Received<'i> {
        let mut consumed = 0;
        loop {
            let rest = &input[consumed..];
            let (used, event) = match self.state.reading {
                Reading::Idle { .. } => self.receive_first(rest, head, limits, now),
                Reading::Head { .. } => self.receive_head(rest, head, limits, now),
                Reading::Body { .. } => self.receive_body(rest, limits, now),
                Reading::Complete => (0, Some(Event::Blocked)),
                Reading::Closed { .. } | Reading::Draining { .. } => self.discard(rest),
            };
            consumed += used;
            if let Some(event) = event {
                return Received { consumed, event };
            }
        }
    }

    /// The peer has ended its side. Call `receive` afterwards with what it has sent and was not
    /// consumed, be it nothing, and again after each response: requests that are complete are
    /// still answered, and `receive` tells when there are none, or that one is cut short.
    pub fn receive_end(&mut self) {
        self.state.input = Input::Ended;
        match self.state.reading {
            Reading::Draining { .. } => {
                self.state.drained();
            }
            Reading::Closed { .. } if self.state.close == Close::HalfThenDrain => self.state.end(),
            _ => {}
        }
    }

    /// The application wants the body: writes `100 Continue` if the client waits for it.
    pub fn want_body(&mut self, now: Time, out: &mut Vec<u8>) {
        let Writing::Owed { exchange, .. } = &mut self.state.writing else { return };
        if exchange.expectation == Expectation::Pending {
            exchange.expectation = Expectation::None;
            out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.resume_body(now);
        }
    }

    /// The application does not read the body for now: its deadline stands still.
    pub fn pause_body(&mut self, now: Time) {
        if let Reading::Body { clock, .. } = &mut self.state.reading
            && !matches!(self.state.writing, Writing::Idle)
        {
            *clock = clock.paused(now);
        }
    }

    /// The application reads on.
    pub fn resume_body(&mut self, now: Time) {
        if self.expects_continue() {
            return;
        }
        if let Reading::Body { clock, .. } = &mut self.state.reading {
            *clock = clock.resumed(now);
        }
    }

    /// An async handler is at work: its deadline runs until the response begins.
    pub fn begin_handler(&mut self, now: Time, limits: &HttpLimits) {
        if let Writing::Owed { handler, .. } = &mut self.state.writing {
            *handler = Deadline::after(now, limits.handler_timeout);
        }
    }

    /// Begins a response whose body follows with `send_body` or `begin_data`, up to `finish`.
    pub fn respond(
        &mut self,
        head: &ResponseHead<'_>,
        length: ResponseLength,
        preamble: &Preamble,
        limits: &HttpLimits,
        now: Time,
        out: &mut Vec<u8>,
    ) {
        let Some(exchange) = self.owed() else { return };
        let plan = Plan::new(exchange, head, length);
        let at_once = plan.suppressed || length == ResponseLength::Known(0);
        let persistence = self.persistence(exchange, head, plan, at_once, limits);
        plan.write(exchange, head, persistence, preamble, 0, out);
        // From here on no 100 can be sent: the client has to decide, and its time runs.
        self.body_arrives(now);
        self.state.writing = plan.writing(persistence);
        self.state.settle(limits, now);
    }

    /// A whole response.
    // Out of line, the status would be stored as two bytes and loaded as four, which stalls.
    #[inline(always)]
    pub fn respond_full(
        &mut self,
        head: &ResponseHead<'_>,
        body: &[u8],
        preamble: &Preamble,
        limits: &HttpLimits,
        now: Time,
        out: &mut Vec<u8>,
    ) {
        let Some(exchange) = self.owed() else { return };
        let plan = Plan::new(exchange, head, ResponseLength::Known(body.len() as u64));
        let persistence = self.persistence(exchange, head, plan, true, limits);
        plan.write(exchange, head, persistence, preamble, body.len(), out);
        if !plan.suppressed {
            out.extend_from_slice(body);
        }
        self.state.response_ended(persistence, limits, now);
    }

    /// Adds to the body of the response. A body that outgrows its promised length is cut.
    pub fn send_body(&mut self, data: &[u8], out: &mut Vec<u8>) {
        if data.is_empty() {
            return;
        }
        match &mut self.state.writing {
            Writing::Chunked { .. } => {
                encode::chunk_size(out, data.len() as u64);
                out.extend_from_slice(data);
                out.extend_from_slice(b"\r\n");
            }
            Writing::Counted { left, .. } => {
                let Some(rest) = left.checked_sub(data.len() as u64) else {
                    return self.state.abort();
                };
                *left = rest;
                out.extend_from_slice(data);
            }
            Writing::Delimited => out.extend_from_slice(data),
            Writing::Ended { .. } | Writing::Idle => {}
            Writing::Owed { .. } => panic!("a body cannot come before its head"),
            Writing::Suppressed { .. } => {}
        }
    }

    /// Announces `length` bytes of body that the caller sends itself, behind what is in `out`.
    /// Whether it may: false if the body must not be sent or would outgrow its length.
    #[must_use]
    pub fn begin_data(&mut self, length: u64, out: &mut Vec<u8>) -> bool {
        if length == 0 {
            return false;
        }
        match &mut self.state.writing {
            Writing::Chunked { .. } => {
                encode::chunk_size(out, length);
                true
            }
            Writing::Counted { left, .. } => match left.checked_sub(length) {
                Some(rest) => {
                    *left = rest;
                    true
                }
                None => {
                    self.state.abort();
                    false
                }
            },
            Writing::Delimited => true,
            Writing::Owed { .. } => panic!("a body cannot come before its head"),
            Writing::Ended { .. } | Writing::Idle | Writing::Suppressed { .. } => false,
        }
    }

    /// Ends what `begin_data` announced.
    pub fn end_data(&mut self, out: &mut Vec<u8>) {
        if let Writing::Chunked { .. } = self.state.writing {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Ends the response. If its body is shorter than promised, the connection is cut.
    pub fn finish(&mut self, limits: &HttpLimits, now: Time, out: &mut Vec<u8>) {
        self.finish_with_trailers(&[], limits, now, out);
    }

    /// Ends the response with trailer fields, which only a chunked body can carry.
    pub fn finish_with_trailers(
        &mut self,
        trailers: &[(HeaderName, HeaderValue)],
        limits: &HttpLimits,
        now: Time,
        out: &mut Vec<u8>,
    ) {
        let persistence = match self.state.writing {
            Writing::Chunked { persistence } => {
                encode::last_chunk(out, trailers);
                persistence
            }
            Writing::Counted { left: 0, persistence } | Writing::Suppressed { persistence } => {
                persistence
            }
            Writing::Counted { .. } => return self.state.abort(),
            Writing::Delimited => Persistence::Close,
            Writing::Ended { .. } | Writing::Idle => return,
            Writing::Owed { .. } => panic!("a response cannot end before it begins"),
        };
        self.state.response_ended(persistence, limits, now);
    }

    /// The response cannot be completed: the connection is cut, so that the peer can tell.
    pub fn abort(&mut self) {
        self.state.abort();
    }

    /// The peer has left before its answer: none is given, and the connection ends once what was
    /// written before is sent. A response that has begun is cut.
    pub fn forsake(&mut self) {
        match self.state.writing {
            Writing::Idle => {}
            Writing::Owed { .. } => self.state.end(),
            _ => self.state.abort(),
        }
    }

    /// Answers with an error, if a response is owed; cuts a response that has begun.
    pub fn reject(
        &mut self,
        error: Error,
        preamble: &Preamble,
        limits: &HttpLimits,
        now: Time,
        out: &mut Vec<u8>,
    ) {
        match &mut self.state.writing {
            Writing::Owed { exchange, .. } => {
                if error.is_fatal() {
                    exchange.persistence = Persistence::Close;
                }
            }
            Writing::Idle => return,
            _ => return self.state.abort(),
        }
        let content_type = HeaderValue::from_static("text/plain");
        let head =
            ResponseHead { status: error.status(), content_type: Some(&content_type), fields: &[] };
        let message = error.message().as_bytes();
        let mut body = [0; MESSAGE_BYTES_MAX];
        body[..message.len()].copy_from_slice(message);
        body[message.len()] = b'\n';
        self.respond_full(&head, &body[..=message.len()], preamble, limits, now, out);
    }

    /// Starts the wait for the next request anew, for an owner that could not read or send before.
    /// No effect but between two requests: who has only connected is still timed from the accept.
    pub fn renew_idle(&mut self, now: Time, limits: &HttpLimits) {
        if let Reading::Idle { deadline, .. } = &mut self.state.reading
            && self.state.requests > 0
        {
            *deadline = Deadline::after(now, limits.keep_alive);
        }
    }

    /// The server stops: the next answer is the last, and an idle connection is closed. One that
    /// has had no request yet is given a moment, because the accept has promised it an answer.
    pub fn drain(&mut self, limits: &HttpLimits, now: Time) {
        self.state.life = Life::Leaving;
        if let Reading::Idle { deadline, .. } = &mut self.state.reading {
            *deadline = (*deadline).min(Deadline::after(now, DRAIN_TIMEOUT));
        }
        self.state.settle(limits, now);
    }

    /// The sending side was shut down as `Close::HalfThenDrain` asked for: what still comes is
    /// thrown away, until it is too much or too late or the peer ends too, and `closing` says so.
    pub fn begin_drain(&mut self, now: Time) {
        if self.state.close == Close::HalfThenDrain {
            let deadline = Deadline::after(now, DRAIN_TIMEOUT);
            self.state.reading = Reading::Draining { deadline, left: DRAIN_BYTES_MAX };
        }
    }

    /// What is to become of the connection.
    #[must_use]
    pub fn closing(&self) -> Close {
        self.state.close
    }

    /// Whether no request has begun and none is being answered.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!((self.state.reading, self.state.writing), (Reading::Idle { .. }, Writing::Idle))
    }

    /// Whether more input is needed to complete a head, or to begin one.
    #[must_use]
    pub fn head_open(&self) -> bool {
        matches!(self.state.reading, Reading::Head { .. } | Reading::Idle { .. })
    }

    /// Whether the body of the request is still arriving.
    #[must_use]
    pub fn request_open(&self) -> bool {
        matches!(self.state.reading, Reading::Body { .. })
            && !matches!(self.state.writing, Writing::Idle)
    }

    /// Whether a response is owed or has begun and not ended.
    #[must_use]
    pub fn response_open(&self) -> bool {
        !matches!(self.state.writing, Writing::Idle)
    }

    /// Whether input is of any use now.
    #[must_use]
    pub fn reads_wanted(&self) -> bool {
        match self.state.reading {
            Reading::Body { .. }
            | Reading::Draining { .. }
            | Reading::Head { .. }
            | Reading::Idle { .. } => true,
            Reading::Closed { .. } | Reading::Complete => false,
        }
    }

    /// Whether the client waits for a 100 that nobody has asked for so far.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        matches!(self.state.writing, Writing::Owed { exchange, .. }
            if exchange.expectation == Expectation::Pending)
    }

    /// Whether the response has no body to be sent (HEAD, 204, 304): it need not be produced.
    #[must_use]
    pub fn body_suppressed(&self) -> bool {
        match self.state.writing {
            Writing::Owed { exchange, .. } => exchange.kind == Kind::Head,
            Writing::Suppressed { .. } => true,
            _ => false,
        }
    }

    /// Requests accepted so far.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.state.requests
    }

    /// Output waits for the peer: the write deadline runs, from the first of these calls on.
    pub fn handle_write_stall(&mut self, now: Time, limits: &HttpLimits) {
        self.state.write_stalled(now, limits);
    }

    /// The peer has taken output: the write deadline is off until the next stall.
    pub fn handle_write_progress(&mut self) {
        self.state.write_progressed();
    }

    /// When `handle_timeout` should be called next; earlier does no harm.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.state.deadline().time()
    }

    /// Lets time pass: which deadline was missed, if any. Call until none is.
    pub fn handle_timeout(&mut self, now: Time) -> Option<Timeout> {
        if self.state.deadline().passed(now) { self.state.pass(now) } else { None }
    }

    /// Between two requests: skips empty lines, then a head begins.
    #[inline(always)]
    fn receive_first<'i>(
        &mut self,
        input: &'i [u8],
        head: &mut Head,
        limits: &HttpLimits,
        now: Time,
    ) -> (usize, Option<Event<'i>>) {
        let Reading::Idle { deadline, empty_lines } = &mut self.state.reading else {
            unreachable!("only an idle connection waits for a first byte")
        };
        let mut skipped = 0;
        // RFC 9112 2.2: at least one empty line before a request line is to be ignored.
        while input[skipped..].starts_with(b"\r\n") {
            skipped += 2;
            *empty_lines += 1;
            if *empty_lines > LEADING_EMPTY_LINES_MAX {
                let error = self.fail(Error::TooManyEmptyLines, Kind::Other);
                return (skipped, Some(closed_or(error)));
            }
        }
        match &input[skipped..] {
            [] | b"\r" if self.state.input == Input::Ended => {
                self.state.end();
                (input.len(), Some(Event::Closed))
            }
            [] | b"\r" => (skipped, Some(Event::NeedInput)),
            rest => {
                let deadline = *deadline;
                self.state.head_began(deadline, now, limits);
                let (used, event) = self.receive_head(rest, head, limits, now);
                (skipped + used, event)
            }
        }
    }

    #[inline(always)]
    fn receive_head<'i>(
        &mut self,
        input: &'i [u8],
        head: &mut Head,
        limits: &HttpLimits,
        now: Time,
    ) -> (usize, Option<Event<'i>>) {
        let Reading::Head { kind, scan, .. } = &mut self.state.reading else {
            unreachable!("a head is read in its own state")
        };
        let error = match parse::parse(scan, input, head, limits) {
            Ok(Some(parsed)) => {
                let event = self.begin_request(input, head, parsed, limits, now);
                return (parsed.length, Some(event));
            }
            Ok(None) if self.state.input == Input::Open => {
                *kind = kind_of(input);
                return (0, Some(Event::NeedInput));
            }
            Ok(None) => Error::HeadIncomplete,
            Err(error) => error,
        };
        let kind = kind_of(input);
        (input.len(), Some(closed_or(self.fail(error, kind))))
    }

    #[inline(always)]
    fn begin_request<'i>(
        &mut self,
        input: &'i [u8],
        head: &Head,
        parsed: parse::Parsed,
        limits: &HttpLimits,
        now: Time,
    ) -> Event<'i> {
        let length = head.body_length();
        // RFC 9110 10.1.1: a client that has begun to send the body does not wait for a 100.
        let waits = head.expects_continue() && input.len() == parsed.length;
        let exchange = Exchange {
            expectation: if waits { Expectation::Pending } else { Expectation::None },
            kind: match *head.method() {
                Method::CONNECT => Kind::Connect,
                Method::HEAD => Kind::Head,
                _ => Kind::Other,
            },
            persistence: parsed.persistence,
            version: head.version(),
        };
        self.state.request_began(exchange, Decoder::new(length), now, limits);
        Event::Request(length)
    }

    fn receive_body<'i>(
        &mut self,
        input: &'i [u8],
        limits: &HttpLimits,
        now: Time,
    ) -> (usize, Option<Event<'i>>) {
        let Reading::Body { decoder, clock } = &mut self.state.reading else {
            unreachable!("a body is read in its own state")
        };
        let discarding = matches!(self.state.writing, Writing::Idle);
        let bytes_max = if discarding { u64::from(DRAIN_BYTES_MAX) } else { limits.body_bytes };
        let before = decoder.received();
        let error = match decoder.decode(input, bytes_max) {
            Ok((used, Piece::Data(_))) if discarding => return (used, None),
            Ok((used, Piece::Data(data))) => {
                *clock = clock.paid(before, decoder.received(), limits);
                self.body_arrives(now);
                return (used, Some(Event::Data(data)));
            }
            Ok((used, Piece::End { trailers })) => {
                self.state.body_ended(limits, now);
                return (used, (!discarding).then_some(Event::End { trailers }));
            }
            Ok((used, Piece::NeedInput)) if self.state.input == Input::Open => {
                if used > 0 {
                    self.body_arrives(now);
                }
                return (used, Some(Event::NeedInput));
            }
            Ok((_, Piece::NeedInput)) => Error::BodyIncomplete,
            Err(error) => error,
        };
        (input.len(), Some(closed_or(self.fail(error, Kind::Other))))
    }

    /// A client whose body comes does not wait for a 100, or no longer.
    fn body_arrives(&mut self, now: Time) {
        if let Writing::Owed { exchange, .. } = &mut self.state.writing
            && exchange.expectation == Expectation::Pending
        {
            exchange.expectation = Expectation::None;
            self.resume_body(now);
        }
    }

    /// Throws input away that nobody will answer.
    fn discard<'i>(&mut self, input: &'i [u8]) -> (usize, Option<Event<'i>>) {
        match &mut self.state.reading {
            Reading::Closed { behind } if !input.is_empty() && !*behind => {
                *behind = true;
                if self.state.close == Close::Now {
                    self.state.end();
                }
            }
            Reading::Draining { left, .. } => {
                *left = left.saturating_sub(u32::try_from(input.len()).unwrap_or(u32::MAX));
                if *left > 0 {
                    return (input.len(), Some(Event::NeedInput));
                }
                self.state.drained();
            }
            _ => {}
        }
        (input.len(), Some(Event::Closed))
    }

    /// The input is at fault; the error if it is to be answered.
    fn fail(&mut self, error: Error, kind: Kind) -> Option<Error> {
        self.state.input_failed(kind).then_some(error)
    }

    /// The exchange whose response is owed. A response that comes after the connection was given
    /// up goes nowhere; one that nobody asked for is our own fault.
    fn owed(&self) -> Option<Exchange> {
        match self.state.writing {
            Writing::Owed { exchange, .. } => Some(exchange),
            Writing::Idle if self.state.close != Close::Keep => None,
            _ => panic!("a response needs a request that has none yet"),
        }
    }

    /// Whether the connection outlives this response. `at_once`: it ends where it begins.
    fn persistence(
        &self,
        exchange: Exchange,
        head: &ResponseHead<'_>,
        plan: Plan,
        at_once: bool,
        limits: &HttpLimits,
    ) -> Persistence {
        let last = limits.requests_per_connection;
        let used_up = last > 0 && self.state.requests >= last;
        let early = match self.state.reading {
            // Who waits for a 100 may send the body or not: we could not tell it from a request.
            Reading::Body { .. } if exchange.expectation == Expectation::Pending => true,
            Reading::Body { decoder, .. } => at_once && !may_discard(&decoder),
            _ => false,
        };
        let close = exchange.persistence == Persistence::Close
            || self.state.life == Life::Leaving
            || used_up
            || early
            || plan.ends_connection
            || head.asks_to_close();
        if close { Persistence::Close } else { Persistence::Keep }
    }
}

/// How one response is sent.
#[derive(Clone, Copy, Debug)]
struct Plan {
    status: StatusCode,
    framing: Framing,
    suppressed: bool,
    /// Only the end of the connection ends the response.
    ends_connection: bool,
}

impl Plan {
    fn new(exchange: Exchange, head: &ResponseHead<'_>, length: ResponseLength) -> Self {
        // An interim status cannot end an exchange: the handler is at fault.
        let status = match head.status.as_u16() {
            100..200 => StatusCode::INTERNAL_SERVER_ERROR,
            _ => head.status,
        };
        let mut plan = Self {
            status,
            framing: match length {
                ResponseLength::Known(length) => Framing::Length(length),
                ResponseLength::Unknown if exchange.version == Version::Http10 => Framing::Nothing,
                ResponseLength::Unknown => Framing::Chunked,
            },
            suppressed: exchange.kind == Kind::Head,
            ends_connection: false,
        };
        match status.as_u16() {
            // RFC 9110 9.3.6: after this the client would speak another protocol with us.
            200..300 if exchange.kind == Kind::Connect => {
                plan.framing = Framing::Nothing;
                plan.suppressed = true;
                plan.ends_connection = true;
            }
            // RFC 9110 8.6: no Content-Length in a 204.
            204 => {
                plan.framing = Framing::Nothing;
                plan.suppressed = true;
            }
            // RFC 9110 15.3.6: a 205 has no content, but is framed like other answers.
            205 => {
                plan.framing = Framing::Length(0);
                plan.suppressed = true;
            }
            // RFC 9110 8.6: in a 304 the length is that of a 200; zero means it was not given.
            304 => {
                if !matches!(plan.framing, Framing::Length(1..)) {
                    plan.framing = Framing::Nothing;
                }
                plan.suppressed = true;
            }
            _ => plan.ends_connection = plan.framing == Framing::Nothing && !plan.suppressed,
        }
        plan
    }

    fn write(
        self,
        exchange: Exchange,
        head: &ResponseHead<'_>,
        persistence: Persistence,
        preamble: &Preamble,
        body_bytes: usize,
        out: &mut Vec<u8>,
    ) {
        let connection = match (persistence, exchange.version) {
            (Persistence::Close, _) => ConnectionField::Close,
            (Persistence::Keep, Version::Http10) => ConnectionField::KeepAlive,
            (Persistence::Keep, Version::Http11) => ConnectionField::Absent,
        };
        let head = ResponseHead { status: self.status, ..*head };
        encode::head(out, &head, self.framing, connection, preamble, body_bytes);
    }

    /// The state that the head of the response leads to.
    fn writing(self, persistence: Persistence) -> Writing {
        match self.framing {
            _ if self.suppressed => Writing::Suppressed { persistence },
            Framing::Chunked => Writing::Chunked { persistence },
            Framing::Length(left) => Writing::Counted { left, persistence },
            Framing::Nothing => Writing::Delimited,
        }
    }
}

/// What is known of the request from the start of its head: even an error is answered without a
/// body when the request is one for HEAD.
fn kind_of(input: &[u8]) -> Kind {
    if input.starts_with(b"HEAD ") { Kind::Head } else { Kind::Other }
}

/// What the owner is told of a failure: there is nothing to answer when the response has ended.
fn closed_or<'i>(error: Option<Error>) -> Event<'i> {
    error.map_or(Event::Closed, Event::Reject)
}

/// Longest text of an error, with its line end.
const MESSAGE_BYTES_MAX: usize = 64;
