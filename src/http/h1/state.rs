//! The states of a connection, one enum per direction, and every transition between them.
//!
//! Reading: `Idle -> Head -> Body -> Complete -> Idle`, or `Closed` once nothing more is heard.
//! Writing: `Idle -> Owed -> (Chunked | Counted | Delimited | Suppressed) -> Ended -> Idle`.
//! What one direction means for the other is decided in `settle`, and nowhere else.

use super::chunked::Decoder;
use super::framing::Persistence;
use super::judge::Scan;
use crate::http::head::Version;
use crate::http::time::{Deadline, Time, nanos};
use crate::limits::{DRAIN_BYTES_MAX, DRAIN_TIMEOUT, HttpLimits};

/// Both directions of a connection and what belongs to neither.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) reading: Reading,
    pub(super) writing: Writing,
    /// Runs while output waits for the peer.
    write_deadline: Deadline,
    /// Requests accepted so far.
    pub(super) requests: u32,
    pub(super) close: Close,
    pub(super) input: Input,
    pub(super) life: Life,
}

/// The direction from the peer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    /// A body is arriving. While no response is owed any more, it is thrown away.
    Body { decoder: Decoder, clock: Clock },
    /// Nothing that follows is answered; `behind` tells that something did or will follow.
    Closed { behind: bool },
    /// A whole request was read and its response has not ended.
    Complete,
    /// We have half-closed; so many bytes more are read and thrown away.
    Draining { deadline: Deadline, left: u32 },
    /// A head has begun; the kind is as far as it is known, for the answer to one that is late.
    Head { deadline: Deadline, kind: Kind, scan: Scan },
    /// No byte of a request yet, apart from empty lines.
    Idle { deadline: Deadline, empty_lines: u8 },
}

/// The direction to the peer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Writing {
    /// A body of unknown length, in chunks.
    Chunked { persistence: Persistence },
    /// A body of which `left` bytes are still promised.
    Counted { left: u64, persistence: Persistence },
    /// A body that ends with the connection.
    Delimited,
    /// The response is complete; `settle` takes the connection on from here.
    Ended { persistence: Persistence },
    /// No request.
    Idle,
    /// A request waits for its response.
    Owed { exchange: Exchange, handler: Deadline },
    /// A response whose body must not be sent.
    Suppressed { persistence: Persistence },
}

/// What of a request decides over its response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) expectation: Expectation,
    pub(super) kind: Kind,
    pub(super) persistence: Persistence,
    pub(super) version: Version,
}

/// Whether the peer waits for a 100 before it sends the body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Expectation {
    None,
    Pending,
}

/// Methods that change what an answer looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Connect,
    Head,
    Other,
}

/// What is to become of the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Close {
    /// Cut it now, unsent output and all: the peer must not take what it has for complete.
    Abort,
    /// Once the output is sent, shut down the sending side and read on for a while: closing while
    /// the peer still sends would destroy the answer on its way. See `Connection::begin_drain`.
    HalfThenDrain,
    /// Keep it open.
    Keep,
    /// Close it once the output is sent.
    Now,
}

/// Whether the peer can send more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Input {
    Ended,
    Open,
}

/// Whether the server wants to be rid of the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Life {
    Leaving,
    Serving,
}

/// Which deadline has passed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Timeout {
    /// The body came too slowly: reject with `Error::BodyTimeout`.
    Body,
    /// A rest was thrown away for long enough: close.
    Drain,
    /// The handler took too long: reject with `Error::HandlerTimeout`.
    Handler,
    /// The head came too slowly: reject with `Error::HeadTimeout`.
    Head,
    /// No request came: close without a word.
    Idle,
    /// The peer takes no output: close.
    Write,
}

impl State {
    pub(super) fn new(now: Time, limits: &HttpLimits) -> Self {
        let deadline = Deadline::after(now, limits.header_timeout);
        Self {
            reading: Reading::Idle { deadline, empty_lines: 0 },
            writing: Writing::Idle,
            write_deadline: Deadline::NEVER,
            requests: 0,
            close: Close::Keep,
            input: Input::Open,
            life: Life::Serving,
        }
    }

    /// The first byte of a head is there. The deadline of a first head runs since the accept.
    pub(super) fn head_began(&mut self, idle: Deadline, now: Time, limits: &HttpLimits) {
        let deadline = match self.requests {
            0 => idle,
            _ => Deadline::after(now, limits.header_timeout),
        };
        self.reading = Reading::Head { deadline, kind: Kind::Other, scan: Scan::default() };
    }

    /// A head was accepted.
    pub(super) fn request_began(
        &mut self,
        exchange: Exchange,
        decoder: Option<Decoder>,
        now: Time,
        limits: &HttpLimits,
    ) {
        self.requests = self.requests.saturating_add(1);
        self.writing = Writing::Owed { exchange, handler: Deadline::NEVER };
        self.reading = match decoder {
            Some(decoder) => {
                let clock = Clock::new(now, limits);
                // Who waits for a 100 cannot be late with the body.
                let waits = exchange.expectation == Expectation::Pending;
                Reading::Body { decoder, clock: if waits { clock.paused(now) } else { clock } }
            }
            None => Reading::Complete,
        };
        self.settle(limits, now);
    }

    /// The last byte of a body was read.
    pub(super) fn body_ended(&mut self, limits: &HttpLimits, now: Time) {
        self.reading = Reading::Complete;
        if let Writing::Idle = self.writing {
            self.writing = Writing::Ended { persistence: Persistence::Keep };
        }
        self.settle(limits, now);
    }

    /// The input is at fault: nothing more of it is understood. Whether an answer is still owed.
    pub(super) fn input_failed(&mut self, kind: Kind) -> bool {
        let discarding = matches!(self.reading, Reading::Body { .. } | Reading::Draining { .. })
            && matches!(self.writing, Writing::Idle);
        self.reading = Reading::Closed { behind: self.input == Input::Open };
        match &mut self.writing {
            Writing::Idle if discarding => self.end(),
            Writing::Idle => {
                let exchange = Exchange {
                    expectation: Expectation::None,
                    kind,
                    persistence: Persistence::Close,
                    version: Version::Http11,
                };
                self.writing = Writing::Owed { exchange, handler: Deadline::NEVER };
            }
            Writing::Owed { exchange, .. } => exchange.persistence = Persistence::Close,
            _ => {}
        }
        !discarding
    }

    /// Enough of a rest was thrown away.
    pub(super) fn drained(&mut self) -> Timeout {
        self.reading = Reading::Closed { behind: false };
        self.end();
        Timeout::Drain
    }

    /// The response is complete.
    #[inline]
    pub(super) fn response_ended(
        &mut self,
        persistence: Persistence,
        limits: &HttpLimits,
        now: Time,
    ) {
        self.writing = Writing::Ended { persistence };
        self.settle(limits, now);
    }

    /// The connection cannot go on: the peer must not take what it was sent for complete.
    pub(super) fn abort(&mut self) {
        self.reading = Reading::Closed { behind: false };
        self.writing = Writing::Idle;
        self.write_deadline = Deadline::NEVER;
        self.close = Close::Abort;
    }

    /// The connection ends in the way that what was read allows.
    pub(super) fn end(&mut self) {
        let rest = match self.reading {
            Reading::Body { .. } => true,
            Reading::Closed { behind } => behind,
            _ => false,
        };
        let rest = rest && self.input == Input::Open;
        self.reading = Reading::Closed { behind: rest };
        self.writing = Writing::Idle;
        self.close = if rest { Close::HalfThenDrain } else { Close::Now };
    }

    /// What one direction means for the other; run after every event. Each rule leads to a state
    /// that none of them matches, or to one of the rules below it.
    #[inline]
    pub(super) fn settle(&mut self, limits: &HttpLimits, now: Time) {
        match (&self.reading, &self.writing) {
            // RFC 9112 9.3: both messages are complete, so the next one may come.
            (Reading::Complete, Writing::Ended { persistence: Persistence::Keep }) => {
                let deadline = Deadline::after(now, limits.keep_alive);
                self.reading = Reading::Idle { deadline, empty_lines: 0 };
                self.writing = Writing::Idle;
                self.settle_idle();
            }
            // RFC 9112 9.6: nothing behind the last request is answered, so it is not read either.
            (Reading::Complete, writing) if writing.persistence() == Persistence::Close => {
                let ended = matches!(writing, Writing::Ended { .. });
                self.reading = Reading::Closed { behind: false };
                if ended {
                    self.end();
                }
            }
            // An early answer: the rest of the body is thrown away if it is short.
            (Reading::Body { decoder, .. }, Writing::Ended { persistence: Persistence::Keep })
                if may_discard(decoder) =>
            {
                let mut decoder = *decoder;
                decoder.restart_count();
                let clock = Clock::running(Deadline::after(now, DRAIN_TIMEOUT));
                self.reading = Reading::Body { decoder, clock };
                self.writing = Writing::Idle;
            }
            (_, Writing::Ended { .. }) => self.end(),
            (Reading::Idle { .. }, Writing::Idle) => self.settle_idle(),
            _ => {}
        }
    }

    /// A server that stops does not wait for further requests; but who has only just connected has
    /// been promised an answer by the accept.
    fn settle_idle(&mut self) {
        if self.life == Life::Leaving && self.requests > 0 {
            self.end();
        }
    }

    /// Arms the write deadline, unless it runs already.
    pub(super) fn write_stalled(&mut self, now: Time, limits: &HttpLimits) {
        if self.write_deadline == Deadline::NEVER {
            self.write_deadline = Deadline::after(now, limits.write_timeout);
        }
    }

    /// Clears the write deadline.
    pub(super) fn write_progressed(&mut self) {
        self.write_deadline = Deadline::NEVER;
    }

    /// The next moment at which something passes.
    pub(super) fn deadline(&self) -> Deadline {
        let reading = match self.reading {
            Reading::Body { clock, .. } => clock.deadline(),
            Reading::Draining { deadline, .. }
            | Reading::Head { deadline, .. }
            | Reading::Idle { deadline, .. } => deadline,
            Reading::Closed { .. } | Reading::Complete => Deadline::NEVER,
        };
        let writing = match self.writing {
            Writing::Owed { handler, .. } => handler,
            _ => Deadline::NEVER,
        };
        reading.min(writing).min(self.write_deadline)
    }

    /// Takes the deadline that has passed, the gravest first, and leads the state on.
    pub(super) fn pass(&mut self, now: Time) -> Option<Timeout> {
        if self.write_deadline.passed(now) {
            self.abort();
            return Some(Timeout::Write);
        }
        match self.reading {
            Reading::Body { clock, .. } if clock.deadline().passed(now) => {
                if let Writing::Idle = self.writing {
                    return Some(self.drained());
                }
                self.input_failed(Kind::Other);
                return Some(Timeout::Body);
            }
            Reading::Draining { deadline, .. } if deadline.passed(now) => {
                return Some(self.drained());
            }
            Reading::Head { deadline, kind, .. } if deadline.passed(now) => {
                self.input_failed(kind);
                return Some(Timeout::Head);
            }
            Reading::Idle { deadline, .. } if deadline.passed(now) => {
                self.end();
                return Some(Timeout::Idle);
            }
            _ => {}
        }
        match &mut self.writing {
            Writing::Owed { handler, .. } if handler.passed(now) => {
                *handler = Deadline::NEVER;
                Some(Timeout::Handler)
            }
            _ => None,
        }
    }
}

/// Whether what is left of a body can be read and thrown away, to keep the connection. How much is
/// left of a chunked one shows only while it is read.
pub(super) fn may_discard(decoder: &Decoder) -> bool {
    decoder.rest().is_none_or(|rest| rest <= u64::from(DRAIN_BYTES_MAX))
}

impl Writing {
    /// Whether the connection outlives the exchange, as far as this side knows.
    fn persistence(&self) -> Persistence {
        match self {
            Self::Chunked { persistence }
            | Self::Counted { persistence, .. }
            | Self::Ended { persistence }
            | Self::Suppressed { persistence } => *persistence,
            Self::Delimited => Persistence::Close,
            Self::Idle => Persistence::Keep,
            Self::Owed { exchange, .. } => exchange.persistence,
        }
    }
}

/// The deadline of a body, which can be stopped: what passes while the application does not read
/// is not the peer's fault. Eight bytes: while stopped, the top bit is set and the others hold
/// what was left; no clock gets as far as that bit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Clock(u64);

impl Clock {
    fn new(now: Time, limits: &HttpLimits) -> Self {
        Self::running(Deadline::after(now, limits.body_timeout))
    }

    fn running(deadline: Deadline) -> Self {
        Self(deadline.time().map_or(NEVER, |time| time.as_nanos().min(NEVER)))
    }

    fn deadline(self) -> Deadline {
        if self.0 >= NEVER {
            return Deadline::NEVER;
        }
        Deadline::after(Time::from_nanos(self.0), std::time::Duration::ZERO)
    }

    /// Stops the clock.
    pub(super) fn paused(self, now: Time) -> Self {
        match self.0 {
            NEVER.. => self,
            at => Self(PAUSED | at.saturating_sub(now.as_nanos())),
        }
    }

    /// Lets the clock run again.
    pub(super) fn resumed(self, now: Time) -> Self {
        match self.0 {
            PAUSED.. => Self(now.as_nanos().saturating_add(self.0 & !PAUSED).min(NEVER)),
            _ => self,
        }
    }

    /// The body has grown from `before` to `after` bytes: its deadline is when the grace is over
    /// or when the least rate would have brought so many bytes, whichever is later. A rate of
    /// zero asks for nothing.
    pub(super) fn paid(self, before: u64, after: u64, limits: &HttpLimits) -> Self {
        let grace = nanos(limits.body_timeout);
        if self.0 == NEVER {
            return self;
        }
        if limits.body_rate == 0 {
            return Self(NEVER);
        }
        let rate = u64::from(limits.body_rate);
        // Whole seconds and the rest apart, so that nothing overflows that is not absurd.
        let worth = |bytes: u64| {
            let rest = bytes % rate * 1_000_000_000 / rate;
            (bytes / rate).saturating_mul(1_000_000_000).saturating_add(rest).max(grace)
        };
        let earned = worth(after) - worth(before);
        Self((self.0 & !PAUSED).saturating_add(earned).min(NEVER - 1) | (self.0 & PAUSED))
    }
}

const PAUSED: u64 = 1 << 63;
const NEVER: u64 = PAUSED - 1;
