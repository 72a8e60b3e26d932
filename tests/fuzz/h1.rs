//! The HTTP/1.1 core under arbitrary bytes: however a stream is split, and whatever the head was
//! filled with before, the same happens, and what comes out are responses.

use std::fmt;

use corewise::http::h1::{Close, Connection, Event, ResponseHead};
use corewise::http::{BodyLength, Error, Head, Preamble, ResponseLength, Time};
use corewise::limits::HttpLimits;
use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};

use crate::reader::{self, Asked};
use crate::rng::Rng;

/// One stream, how it is split, and under which limits it is read.
pub(crate) struct Case {
    pub(crate) input: Vec<u8>,
    /// What the head was filled with before, on another connection.
    before: Vec<u8>,
    /// Ascending offsets.
    cuts: Vec<usize>,
    tightness: Tightness,
}

/// Which limits hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tightness {
    Loose,
    Tight,
    /// As tight, except that a body may be longer.
    TightHead,
}

impl Case {
    /// Splits in a few places, seldom at every byte.
    pub(crate) fn draw(input: Vec<u8>, before: Vec<u8>, rng: &mut Rng) -> Self {
        let mut cuts: Vec<usize> = match rng.below(32) {
            0 => (0..input.len()).collect(),
            _ => (0..1 + rng.below(4)).map(|_| rng.below(input.len() + 1)).collect(),
        };
        cuts.sort_unstable();
        let tightness = *rng.pick(&[
            Tightness::Loose,
            Tightness::Loose,
            Tightness::Loose,
            Tightness::Tight,
            Tightness::TightHead,
        ]);
        Self { input, before, cuts, tightness }
    }

    /// Every single cut, and all of them at once, behind `before`.
    pub(crate) fn all(input: &[u8], before: &[u8]) -> impl Iterator<Item = Self> {
        let single = (0..input.len()).map(|at| vec![at]);
        let splits: Vec<_> = single.chain([(0..input.len()).collect()]).collect();
        splits.into_iter().flat_map(move |cuts| {
            Tightness::ALL.map(|tightness| Self {
                input: input.to_vec(),
                before: before.to_vec(),
                cuts: cuts.clone(),
                tightness,
            })
        })
    }
}

impl Tightness {
    const ALL: [Self; 3] = [Self::Loose, Self::Tight, Self::TightHead];

    fn limits(self) -> HttpLimits {
        let loose = HttpLimits { body_bytes: 4096, ..HttpLimits::default() };
        let tight = HttpLimits {
            line_bytes: 48,
            header_bytes: 160,
            headers: 5,
            requests_per_connection: 3,
            ..loose
        };
        match self {
            Self::Loose => loose,
            Self::Tight => HttpLimits { body_bytes: 24, ..tight },
            Self::TightHead => tight,
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, before, cuts, tightness } = self;
        let (input, before) = (input.escape_ascii(), before.escape_ascii());
        write!(f, "{tightness:?}, cuts {cuts:?}, before \"{before}\", input \"{input}\"")
    }
}

/// Checks everything that must hold of a stream.
pub(crate) fn check(case: &Case) -> Result<(), String> {
    let limits = case.tightness.limits();
    let whole = Server::run(&case.input, &[], &limits, &mut Heads::Fresh)?;
    let split = Server::run(&case.input, &case.cuts, &limits, &mut Heads::Fresh)?;
    split.compare("split", &whole)?;

    // One head for all of these: what it held before must not show, be it the same section as now,
    // under the same limits or others.
    let mut heads = Heads::Reused(Head::new());
    Server::run(&case.before, &[], &limits, &mut heads)?;
    let reused = Server::run(&case.input, &[], &limits, &mut heads)?;
    reused.compare("reused behind another stream", &whole)?;
    for other in Tightness::ALL {
        Server::run(&case.input, &[], &other.limits(), &mut heads)?;
        let reused = Server::run(&case.input, &[], &limits, &mut heads)?;
        reused.compare(&format!("reused behind {other:?}"), &whole)?;
    }
    let reused = Server::run(&case.input, &case.cuts, &limits, &mut heads)?;
    reused.compare("split and reused", &whole)?;

    let aborted = whole.closing == Close::Abort;
    let closed = reader::read(&whole.output, &whole.asked, aborted)
        .map_err(|error| format!("{error} in {}", whole.output.escape_ascii()))?;
    if closed && whole.closing == Close::Keep {
        return Err("the answer says close, but the connection is kept".to_owned());
    }
    Ok(())
}

/// A server whose behaviour depends on the target alone, so that it is the same for every split.
struct Server<'a> {
    limits: &'a HttpLimits,
    preamble: Preamble,
    connection: Connection,
    head: Head,
    /// Whether each request gets a new head.
    fresh: bool,
    /// The body of the current request, as far as it is here.
    body: Vec<u8>,
    style: Style,
    run: Run,
}

/// Where the heads of the requests come from.
enum Heads {
    /// Each request gets its own.
    Fresh,
    /// All are put into this one.
    Reused(Head),
}

/// What one run leaves behind.
struct Run {
    /// All events; data without its borders.
    trace: Vec<u8>,
    output: Vec<u8>,
    asked: Vec<Asked>,
    closing: Close,
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    /// The whole body, once it is complete.
    Echo,
    /// An answer before the body.
    Early,
    /// No body in the answer.
    Empty,
    /// A promise that is not kept.
    Short,
    /// Chunks while the body arrives, then trailers.
    Stream,
}

impl Run {
    fn compare(&self, name: &str, whole: &Self) -> Result<(), String> {
        for (what, ours, theirs) in
            [("events", &self.trace, &whole.trace), ("answers", &self.output, &whole.output)]
        {
            if ours != theirs {
                let (ours, theirs) = (ours.escape_ascii(), theirs.escape_ascii());
                return Err(format!("{what} differ:\nwhole {theirs}\n{name} {ours}"));
            }
        }
        if (self.closing == Close::Abort) != (whole.closing == Close::Abort) {
            return Err(format!("{name}: {:?}, not {:?}", self.closing, whole.closing));
        }
        Ok(())
    }
}

impl Server<'_> {
    fn run(
        input: &[u8],
        cuts: &[usize],
        limits: &HttpLimits,
        heads: &mut Heads,
    ) -> Result<Run, String> {
        let (head, fresh) = match heads {
            Heads::Fresh => (Head::new(), true),
            Heads::Reused(head) => (std::mem::take(head), false),
        };
        let mut server = Server {
            limits,
            preamble: Preamble::new(0),
            connection: Connection::new(NOW, limits),
            head,
            fresh,
            body: Vec::new(),
            style: Style::Echo,
            run: Run {
                trace: Vec::new(),
                output: Vec::new(),
                asked: Vec::new(),
                closing: Close::Keep,
            },
        };
        let mut start = 0;
        for end in cuts.iter().copied().chain([input.len()]) {
            start += server.feed(&input[start..end.max(start)])?;
        }
        server.connection.receive_end();
        server.feed(&input[start..])?;
        server.run.closing = server.connection.closing();
        if let Heads::Reused(head) = heads {
            *head = server.head;
        }
        if server.run.closing == Close::Keep {
            return Err("the connection outlives its input".to_owned());
        }
        Ok(server.run)
    }

    /// Feeds input until it is used up as far as it goes; returns what was consumed.
    fn feed(&mut self, input: &[u8]) -> Result<usize, String> {
        let mut start = 0;
        for _ in 0..2 * input.len() + 8 {
            let rest = &input[start..];
            let is_idle = !self.connection.response_open() && !self.connection.request_open();
            if self.fresh && self.connection.head_open() {
                self.head = Head::new();
            }
            let received = self.connection.receive(rest, &mut self.head, self.limits, NOW);
            if received.consumed > rest.len() {
                return Err(format!("consumed {} of {}", received.consumed, rest.len()));
            }
            start += received.consumed;
            match received.event {
                Event::Blocked => return Err("blocked although all was answered".to_owned()),
                Event::Closed | Event::NeedInput => return Ok(start),
                Event::Data(data) => self.data(data)?,
                Event::End { trailers } => {
                    self.note(b"end", trailers.unwrap_or(b"-"));
                    self.end();
                }
                Event::Reject(error) => {
                    self.reject(error, is_idle);
                }
                Event::Request(length) => self.request(length)?,
            }
        }
        Err("more events than bytes".to_owned())
    }

    fn request(&mut self, length: BodyLength) -> Result<(), String> {
        let head = &self.head;
        let summary = format!(
            "{} {} {} {:?} {:?} {:?} {:?} {:?} {}",
            head.method(),
            head.target(),
            head.path(),
            head.query(),
            head.authority(),
            head.version(),
            length,
            head.body_length(),
            head.expects_continue()
        );
        let asked = Asked { head: *head.method() == Method::HEAD };
        self.run.asked.push(asked);
        for (name, value) in head.headers() {
            self.run.trace.extend_from_slice(name.as_bytes());
            self.run.trace.push(b'=');
            self.run.trace.extend_from_slice(value);
            self.run.trace.push(b'|');
            if head.header(name).is_none() || head.header_values(name).next().is_none() {
                return Err(format!("{name} is listed but not found"));
            }
        }
        self.note(b"request", summary.as_bytes());
        self.style = match self.head.path().bytes().last() {
            Some(b'1') => Style::Early,
            Some(b'2') => Style::Stream,
            Some(b'3') => Style::Empty,
            Some(b'4') => Style::Short,
            _ => Style::Echo,
        };
        self.body.clear();
        // Whether a 100 is still of use depends on the split, so it is no part of the outcome.
        self.connection.want_body(NOW, &mut Vec::new());
        match self.style {
            Style::Early => self.answer(StatusCode::NOT_FOUND, b"early"),
            Style::Stream => self.begin(ResponseLength::Unknown),
            Style::Short => self.begin(ResponseLength::Known(7)),
            Style::Echo | Style::Empty => {}
        }
        if length == BodyLength::None {
            self.end();
        }
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<(), String> {
        if data.is_empty() {
            return Err("empty data".to_owned());
        }
        self.run.trace.extend_from_slice(data);
        self.body.extend_from_slice(data);
        Ok(())
    }

    fn end(&mut self) {
        let body = std::mem::take(&mut self.body);
        let out = &mut self.run.output;
        match self.style {
            Style::Early => {}
            Style::Echo => self.answer(StatusCode::OK, &body),
            Style::Empty => self.answer(StatusCode::NO_CONTENT, &body),
            Style::Short => {
                self.connection.send_body(b"abc", out);
                self.connection.finish(self.limits, NOW, out);
            }
            Style::Stream => {
                let (first, rest) = body.split_at(body.len() / 2);
                self.connection.send_body(first, out);
                if self.connection.begin_data(rest.len() as u64, out) {
                    out.extend_from_slice(rest);
                    self.connection.end_data(out);
                }
                let trailer = [(HeaderName::from_static("x"), HeaderValue::from_static("y"))];
                self.connection.finish_with_trailers(&trailer, self.limits, NOW, out);
            }
        }
    }

    fn begin(&mut self, length: ResponseLength) {
        let head = ResponseHead { status: StatusCode::OK, content_type: None, fields: &[] };
        let out = &mut self.run.output;
        self.connection.respond(&head, length, &self.preamble, self.limits, NOW, out);
    }

    fn answer(&mut self, status: StatusCode, body: &[u8]) {
        let head = ResponseHead { status, content_type: None, fields: &[] };
        let out = &mut self.run.output;
        self.connection.respond_full(&head, body, &self.preamble, self.limits, NOW, out);
    }

    /// `is_head`: what failed is a head, for which no request was noted.
    fn reject(&mut self, error: Error, is_head: bool) {
        self.note(b"reject", error.message().as_bytes());
        if is_head {
            self.run.asked.push(Asked { head: self.connection.body_suppressed() });
        }
        let out = &mut self.run.output;
        self.connection.reject(error, &self.preamble, self.limits, NOW, out);
    }

    fn note(&mut self, what: &[u8], text: &[u8]) {
        self.run.trace.push(b'\n');
        self.run.trace.extend_from_slice(what);
        self.run.trace.push(b' ');
        self.run.trace.extend_from_slice(text);
        self.run.trace.push(b'\n');
    }
}

const NOW: Time = Time::from_nanos(1);

/// What matters to framing.
pub(crate) const DICTIONARY: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"=",
    b"\0",
    b"\r\n ",
    b"\"",
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"OPTIONS ",
    b"CONNECT ",
    b"get ",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b" HTTP/1.1",
    b" HTTP/1.0",
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"/",
    b"*",
    b"http://",
    b"https://a:1",
    b"a@b",
    b"[::1]",
    b"%41",
    b"%",
    b"%zz",
    b"?",
    b"#",
    b"..",
    b"/1",
    b"/2",
    b"/3",
    b"/4",
    b"/5",
    b"Host: a\r\n",
    b"Host:\r\n",
    b"Host: a, b\r\n",
    b"host",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Content-Length",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"chunked",
    b"identity",
    b"gzip",
    b"Expect: 100-continue\r\n",
    b"Expect: x\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"close",
    b"keep-alive",
    b"Upgrade: h2c\r\n",
    b"X: y\r\n",
    b"0\r\n\r\n",
    b"0\r\n",
    b"1\r\nx\r\n",
    b"3\r\nabc\r\n",
    b"a;b=c\r\n",
    b"5;x=\"\\\"\"\r\n",
    b"00",
    b"ffffffffffffffff",
    b"10000000000000000",
    b"-1",
    b"+1",
    b"0x1",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
];
