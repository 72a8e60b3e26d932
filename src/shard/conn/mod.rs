//! One connection: the HTTP core, the handler that runs for it, and what waits to be sent.
//!
//! Nothing here enters the kernel: bytes come in through [`feed`], output is left in the
//! connection, and the turn moves both. (`lend` does: large answers of workers are sent from
//! where they lie.)

mod job;
pub(super) mod lend;

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use ::http::{HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;

use super::desk::{Desks, Lead, Lent, Reply};
use super::ready::{ConnNotify, Ready};
use crate::executor::{self, Task};
use crate::handler::body::{self, Next, Trailers};
use crate::handler::guarded::{FirstStep, Guarded, Panicked, first_step};
use crate::handler::request::Payload;
use crate::handler::response::{Content, Stream};
use crate::handler::{
    Body, BodyError, Handler, IntoResponse, LocalFuture, Notify, Request, Response, Sender, scratch,
};
use crate::http::h1::{Close, Connection, Event, Received};
use crate::http::{BodyLength, Error, Preamble, ResponseHead, ResponseLength, Time};
use crate::limits::{COPY_BYTES_MAX, HttpLimits, OUTPUT_BYTES_HIGH, UPLOAD_BYTES_HIGH};
use crate::net::{ConnId, FlightId, Output};
use crate::router::{Outcome, Table};

/// Everything a connection needs to make answers out of bytes; one per shard.
pub(crate) struct Http {
    pub(crate) table: Table<usize>,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) limits: HttpLimits,
    pub(crate) preamble: Preamble,
    /// The turn's time.
    pub(crate) now: Time,
    /// Whether the shard is leaving: every answer is its connection's last.
    pub(crate) draining: bool,
    pub(crate) ready: Rc<Ready>,
    /// Where requests for workers go.
    pub(crate) desks: Desks,
    /// The request of the turn; inline handlers borrow it, others take it away.
    request: Request,
    /// Outputs without an owner, boxed as their owners keep them.
    #[expect(clippy::vec_box, reason = "they move to connections and back as they are")]
    outputs: Vec<Box<Output>>,
    /// Buffers without an owner, for input that waits.
    carries: Vec<Carry>,
}

/// Input that waits. Boxed: a connection without any is to cost one word.
type Carry = Box<Vec<u8>>;

/// Spare outputs and carries that are kept.
const SPARE_MAX: usize = 256;

impl Http {
    pub(crate) fn new(
        table: Table<usize>,
        handlers: Vec<Handler>,
        limits: HttpLimits,
        preamble: Preamble,
        now: Time,
        ready: Rc<Ready>,
        desks: Desks,
    ) -> Self {
        Self {
            table,
            handlers,
            limits,
            preamble,
            now,
            draining: false,
            ready,
            desks,
            request: Request::new(),
            outputs: Vec::new(),
            carries: Vec::new(),
        }
    }

    /// Take an output back.
    pub(crate) fn recycle(&mut self, mut output: Box<Output>) {
        if self.outputs.len() < SPARE_MAX {
            output.reset();
            self.outputs.push(output);
        }
    }

    fn recycle_carry(&mut self, mut carry: Carry) {
        if self.carries.len() < SPARE_MAX && carry.capacity() <= OUTPUT_BYTES_HIGH {
            carry.clear();
            self.carries.push(carry);
        }
    }
}

/// A connection's entry in the slab. An idle one owns nothing but its socket.
pub(crate) struct Conn {
    pub(crate) core: Connection,
    pub(crate) socket: OwnedFd,
    /// The send under way.
    pub(crate) flight: Option<FlightId>,
    pub(crate) receive: Receive,
    /// Whether the write side was shut down.
    pub(crate) half_closed: bool,
    /// Whether it stands in the turn's list.
    pub(crate) dirty: bool,
    /// Bytes that arrived and could not be consumed yet.
    carry: Option<Carry>,
    /// What is to be sent next.
    output: Option<Box<Output>>,
    exchange: Option<Box<Exchange>>,
}

/// The receive of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receive {
    Armed,
    /// Cancelled because nobody takes the bytes; the end of the receive has not come yet.
    Stopping,
    /// Not armed.
    Idle,
    /// The peer has sent its FIN.
    Ended,
}

/// What goes on between a request that could not be answered at once and its answer.
struct Exchange {
    notify: Rc<ConnNotify>,
    /// Where the request's body goes while somebody wants it.
    upload: Option<Sender>,
    stage: Stage,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Whoever still reads the body must not take what arrived for all of it.
        if let Some(upload) = self.upload.take() {
            upload.fail(BodyError::Cut);
        }
    }
}

enum Stage {
    /// The body of a request is arriving for a handler that takes it as a whole.
    Collecting { request: Request, body: Vec<u8>, handler: usize },
    /// A response body is sent from where its worker left it.
    Lending(Lent),
    /// A handler is at work.
    Running(Run),
    /// A response body is being produced.
    Streaming(Box<Streaming>),
}

/// A handler at work. Dropping it cancels the work.
enum Run {
    /// A worker has it, or will.
    Job(Lead),
    /// A future is pending here.
    Task { _task: Task, answer: Rc<Answer> },
}

impl Run {
    fn take_reply(&self) -> Option<Reply> {
        match self {
            Self::Job(lead) => lead.take_reply(),
            Self::Task { answer, .. } => answer.borrow_mut().take().map(Reply::Whole),
        }
    }
}

/// Where a task leaves its response.
type Answer = RefCell<Option<Response>>;

struct Streaming {
    body: Body,
    source: Option<Source>,
    /// Whether the producer panicked.
    failed: Rc<Cell<bool>>,
    /// Whether trailer fields at the end of the body are the client's.
    trailers: bool,
    keep_alive: Option<KeepAlive>,
}

/// Who fills a stream. Dropping it ends that.
enum Source {
    Job(Lead),
    Task { _task: Task },
}

/// Comments for a silent stream.
#[derive(Clone, Copy)]
struct KeepAlive {
    interval: Duration,
    text: &'static [u8],
    next: Time,
}

impl Conn {
    pub(crate) fn new(socket: OwnedFd, http: &Http) -> Self {
        Self {
            core: Connection::new(http.now, &http.limits),
            socket,
            flight: None,
            receive: Receive::Idle,
            half_closed: false,
            dirty: false,
            carry: None,
            output: None,
            exchange: None,
        }
    }

    /// Bytes that wait in us for the peer to read.
    fn pending_output(&self) -> usize {
        self.output.as_ref().map_or(0, |output| output.pending_bytes())
    }

    /// What to send next, if anything.
    pub(crate) fn take_output(&mut self) -> Option<Box<Output>> {
        self.output.take_if(|output| !output.is_empty())
    }

    /// Whether output waits for the send under way to end.
    pub(crate) fn has_output(&self) -> bool {
        self.pending_output() > 0
    }

    /// Whether more bytes of the peer are welcome. A head that is still incomplete waits in the
    /// carry whatever its size: its limits are the core's, which needs the bytes to apply them.
    pub(crate) fn wants_input(&self) -> bool {
        let within = self.carry.as_ref().is_none_or(|carry| carry.len() < CARRY_BYTES_HIGH);
        within || (self.core.head_open() && self.pending_output() < OUTPUT_BYTES_HIGH)
    }

    /// Whether nothing is on its way to the peer, and nothing of the peer's waits in us.
    pub(crate) fn is_quiet(&self) -> bool {
        self.flight.is_none() && !self.has_output() && self.carry.is_none()
    }

    /// Whether nothing of the peer's waits in us.
    pub(crate) fn is_answered(&self) -> bool {
        self.carry.is_none()
    }

    /// An output in which nothing was left to send.
    pub(crate) fn take_empty_output(&mut self) -> Option<Box<Output>> {
        self.output.take_if(|output| output.is_empty())
    }

    /// Whether a look at the connection is due when its send has landed.
    pub(crate) fn needs_settling(&self) -> bool {
        self.output.is_some()
            || self.receive == Receive::Ended
            || self.exchange.is_some()
            || self.carry.is_some()
            || self.core.closing() != Close::Keep
    }

    /// When it wants to be looked at next.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let core = self.core.poll_timeout();
        let Some(exchange) = &self.exchange else { return core };
        let Stage::Streaming(streaming) = &exchange.stage else { return core };
        let stream = streaming.keep_alive.map(|keep_alive| keep_alive.next);
        match (core, stream) {
            (Some(core), Some(stream)) => Some(core.min(stream)),
            (core, stream) => core.or(stream),
        }
    }

    /// Give the buffers back when the connection is gone.
    pub(crate) fn release(self, http: &mut Http) -> OwnedFd {
        let Self { socket, carry, output, exchange, .. } = self;
        drop(exchange);
        if let Some(carry) = carry {
            http.recycle_carry(carry);
        }
        if let Some(output) = output {
            http.recycle(output);
        }
        socket
    }
}

/// The output of a connection, a spare one if it has none.
#[inline]
fn out<'a>(output: &'a mut Option<Box<Output>>, http: &mut Http) -> &'a mut Output {
    output.get_or_insert_with(|| http.outputs.pop().unwrap_or_else(Output::new))
}

/// Bytes have arrived.
#[inline]
pub(crate) fn feed(conn: &mut Conn, id: ConnId, http: &mut Http, bytes: &[u8]) {
    if conn.carry.is_some() {
        return feed_carry(conn, id, http, bytes);
    }
    let used = drive(conn, id, http, bytes);
    if used < bytes.len() {
        let mut carry = http.carries.pop().unwrap_or_default();
        carry.extend_from_slice(&bytes[used..]);
        conn.carry = Some(carry);
    }
}

/// Go on with bytes that wait, and `more` behind them.
fn feed_carry(conn: &mut Conn, id: ConnId, http: &mut Http, more: &[u8]) {
    let Some(mut carry) = conn.carry.take() else { return };
    carry.extend_from_slice(more);
    let used = drive(conn, id, http, &carry);
    if used == carry.len() {
        http.recycle_carry(carry);
    } else {
        carry.drain(..used);
        conn.carry = Some(carry);
    }
}

/// Something that the connection waited for has happened: a task's answer, a chunk, room in an
/// upload, room in the output. Does what can be done now.
pub(crate) fn resume(conn: &mut Conn, id: ConnId, http: &mut Http) {
    advance(conn, id, http);
    // Also without bytes: the end of a body that was held back is still to be told.
    feed(conn, id, http, &[]);
    if conn.receive == Receive::Ended {
        // A job that waited for an earlier answer may have begun only now.
        job::forsake_if_due(conn);
    }
}

/// The peer has sent its FIN: what it sent before is still answered.
pub(crate) fn end_of_input(conn: &mut Conn, id: ConnId, http: &mut Http) {
    conn.core.receive_end();
    feed(conn, id, http, &[]);
    job::forsake_if_due(conn);
}

/// Answer with an error, or cut the connection if an answer has begun. Whatever ran is cancelled.
pub(crate) fn fail(conn: &mut Conn, http: &mut Http, error: Error) {
    if let Some(mut exchange) = conn.exchange.take()
        && let Some(upload) = exchange.upload.take()
    {
        upload.fail(BodyError::Invalid(error));
    }
    let output = out(&mut conn.output, http);
    conn.core.reject(error, &http.preamble, &http.limits, http.now, output.buffer());
}

/// The connection's time has come: comments for silent streams. Deadlines are the turn's.
pub(crate) fn tick(conn: &mut Conn, http: &mut Http) {
    let quiet = conn.flight.is_none() && !conn.has_output();
    let Some(exchange) = &mut conn.exchange else { return };
    let Stage::Streaming(streaming) = &mut exchange.stage else { return };
    let Some(keep_alive) = &mut streaming.keep_alive else { return };
    if http.now < keep_alive.next {
        return;
    }
    keep_alive.next = http.now + keep_alive.interval;
    if quiet {
        let output = out(&mut conn.output, http);
        conn.core.send_body(keep_alive.text, output.buffer());
    }
}

/// Consume as much of `input` as can be; returns how much that was.
fn drive(conn: &mut Conn, id: ConnId, http: &mut Http, input: &[u8]) -> usize {
    let mut used = 0;
    loop {
        // A peer that sends requests and reads no answers waits for itself.
        if conn.pending_output() >= OUTPUT_BYTES_HIGH || is_upload_full(conn) {
            return used;
        }
        let Received { consumed, event } =
            conn.core.receive(&input[used..], &mut http.request.head, &http.limits, http.now);
        used += consumed;
        match event {
            Event::Request(length) => begin(conn, id, http, length),
            Event::Data(bytes) => take_data(conn, http, bytes),
            Event::End { trailers } => {
                let trailers = trailers.map(parse_trailers).unwrap_or_default();
                end_of_body(conn, id, http, trailers);
            }
            Event::Reject(error) => fail(conn, http, error),
            Event::Blocked | Event::Closed => return used,
            Event::NeedInput => {
                job::open_upload(conn, http);
                return used;
            }
        }
    }
}

fn is_upload_full(conn: &Conn) -> bool {
    match &conn.exchange {
        Some(exchange) => exchange.upload.as_ref().is_some_and(Sender::is_full),
        None => false,
    }
}

/// A head is complete: find its handler and start it.
fn begin(conn: &mut Conn, id: ConnId, http: &mut Http, length: BodyLength) {
    if http.draining {
        conn.core.drain(&http.limits, http.now);
    }
    let request = &mut http.request;
    let head = &request.head;
    let outcome =
        http.table.route(head.method(), head.path(), || head.authority(), &mut request.params);
    let handler = match outcome {
        Outcome::Found(handler) => *handler,
        Outcome::NotFound => return answer_error(conn, http, Error::NotFound, None),
        Outcome::BadPath => return answer_error(conn, http, Error::TargetInvalid, None),
        Outcome::NotImplemented => return answer_error(conn, http, Error::MethodUnknown, None),
        Outcome::MethodNotAllowed { allow } => {
            let allow = http.table.allow(allow, head.path(), head.authority());
            return answer_error(conn, http, Error::MethodNotAllowed, Some(allow));
        }
        Outcome::Options { allow } => {
            let allow = http.table.allow(allow, head.path(), head.authority());
            return answer_options(conn, http, allow);
        }
        Outcome::ServerOptions { allow } => {
            let allow = allow.clone();
            return answer_options(conn, http, allow);
        }
    };
    match (&http.handlers[handler], length) {
        (Handler::Inline(function), BodyLength::None) | (Handler::Early(function), _) => {
            let mut response = Response::new(StatusCode::OK);
            if catch_unwind(AssertUnwindSafe(|| function(&http.request, &mut response))).is_err() {
                response = Error::Internal.into_response();
            }
            answer(conn, id, http, &mut response);
        }
        (Handler::Inline(_), BodyLength::Known(_) | BodyLength::Chunked) => {
            let request = std::mem::replace(&mut http.request, Request::new());
            let stage = Stage::Collecting { request, body: Vec::new(), handler };
            conn.exchange = Some(Exchange::new(id, http, stage));
            let output = out(&mut conn.output, http);
            conn.core.want_body(http.now, output.buffer());
        }
        (Handler::Job(_), BodyLength::None) => job::begin(conn, id, http, handler),
        (Handler::Job(_), BodyLength::Known(_) | BodyLength::Chunked) => {
            job::collect(conn, id, http, handler);
        }
        (Handler::Task(_), length) => start_task(conn, id, http, handler, length),
    }
}

/// Start an async handler; it may answer at once.
fn start_task(conn: &mut Conn, id: ConnId, http: &mut Http, handler: usize, length: BodyLength) {
    let Handler::Task(function) = &http.handlers[handler] else { return };
    let mut request = std::mem::replace(&mut http.request, Request::new());
    let notify = ConnNotify::new(id, &http.ready);
    let upload = (length != BodyLength::None).then(|| {
        let (sender, body) = body::channel(UPLOAD_BYTES_HIGH);
        sender.notify_with(Rc::clone(&notify) as Rc<dyn Notify>);
        if let BodyLength::Known(bytes) = length {
            sender.set_length(bytes);
        }
        request.body = Payload::Stream(body);
        sender
    });
    let step = first_step(|| function(request))
        .unwrap_or_else(|Panicked| FirstStep::Ready(Error::Internal.into_response()));
    match step {
        FirstStep::Ready(mut response) => {
            if let Some(upload) = upload {
                let stage =
                    Stage::Collecting { request: Request::new(), body: Vec::new(), handler };
                conn.exchange = Some(Box::new(Exchange { notify, upload: Some(upload), stage }));
            }
            answer(conn, id, http, &mut response);
        }
        FirstStep::Pending(future) => {
            let answer = Rc::new(Answer::new(None));
            let task = executor::spawn(run_handler(future, Rc::clone(&answer), notify.clone()));
            let stage = Stage::Running(Run::Task { _task: task, answer });
            conn.exchange = Some(Box::new(Exchange { notify, upload, stage }));
            conn.core.begin_handler(http.now, &http.limits);
        }
    }
}

/// A pending handler as a task: leaves the response where the connection finds it.
async fn run_handler(future: LocalFuture<Response>, answer: Rc<Answer>, notify: Rc<ConnNotify>) {
    let response =
        Guarded::new(future).await.unwrap_or_else(|Panicked| Error::Internal.into_response());
    *answer.borrow_mut() = Some(response);
    notify.notify();
}

/// Body bytes of the request.
fn take_data(conn: &mut Conn, http: &mut Http, bytes: &[u8]) {
    let Some(exchange) = &mut conn.exchange else { return };
    if matches!(exchange.stage, Stage::Running(Run::Task { .. })) {
        // A handler that waits for its client's bytes is not slow; the body has its own deadline.
        conn.core.begin_handler(http.now, &http.limits);
    }
    if let Some(upload) = &exchange.upload {
        if upload.push(Bytes::copy_from_slice(bytes)).is_err() {
            // The handler is done with the body: what comes is for nobody.
            exchange.upload = None;
        } else if upload.is_full() {
            conn.core.pause_body(http.now);
        }
    } else if let Stage::Collecting { body, .. } = &mut exchange.stage {
        body.extend_from_slice(bytes);
    }
}

/// The request's body is complete.
fn end_of_body(conn: &mut Conn, id: ConnId, http: &mut Http, trailers: Trailers) {
    let Some(mut exchange) = conn.exchange.take() else { return };
    if let Some(upload) = exchange.upload.take() {
        upload.finish(trailers);
    }
    match &mut exchange.stage {
        Stage::Collecting { request, body, handler } => {
            let mut request = std::mem::replace(request, Request::new());
            let (body, handler) = (std::mem::take(body), *handler);
            let function = match &http.handlers[handler] {
                Handler::Inline(function) => function,
                Handler::Job(_) => {
                    let notify = Rc::clone(&exchange.notify);
                    return job::submit(conn, http, handler, (request, body), notify);
                }
                Handler::Early(_) | Handler::Task(_) => return,
            };
            request.body = Payload::Full(body.into());
            let mut response = Response::new(StatusCode::OK);
            if catch_unwind(AssertUnwindSafe(|| function(&request, &mut response))).is_err() {
                response = Error::Internal.into_response();
            }
            answer(conn, id, http, &mut response);
        }
        Stage::Running(run) => {
            if let Run::Task { .. } = run {
                conn.core.begin_handler(http.now, &http.limits);
            }
            conn.exchange = Some(exchange);
        }
        Stage::Lending(_) | Stage::Streaming(_) => conn.exchange = Some(exchange),
    }
}

/// Look after what runs for the connection.
fn advance(conn: &mut Conn, id: ConnId, http: &mut Http) {
    let Some(exchange) = &mut conn.exchange else { return };
    exchange.notify.rearm();
    if let Some(upload) = &exchange.upload {
        if upload.is_gone() {
            exchange.upload = None;
            conn.core.resume_body(http.now);
        } else {
            if upload.is_wanted() {
                let output = out(&mut conn.output, http);
                conn.core.want_body(http.now, output.buffer());
            }
            if !upload.is_full() {
                conn.core.resume_body(http.now);
            }
        }
    }
    match &mut exchange.stage {
        Stage::Collecting { .. } | Stage::Lending(_) => {}
        Stage::Running(run) => match run.take_reply() {
            Some(Reply::Lent(response, lent)) => lend::begin(conn, id, http, &response, lent),
            Some(Reply::Whole(mut response)) => answer(conn, id, http, &mut response),
            None => {}
        },
        Stage::Streaming(_) => pump(conn, http),
    }
}

/// Answer with an error that the router found.
fn answer_error(conn: &mut Conn, http: &mut Http, error: Error, allow: Option<HeaderValue>) {
    let mut response = error.into_response();
    if let Some(allow) = allow {
        response = response.with(::http::header::ALLOW, allow);
    }
    answer_whole(conn, http, &mut response);
}

/// Say which methods there are.
fn answer_options(conn: &mut Conn, http: &mut Http, allow: HeaderValue) {
    let mut response = Response::new(StatusCode::NO_CONTENT).with(::http::header::ALLOW, allow);
    answer_whole(conn, http, &mut response);
}

/// Send a response.
#[inline]
fn answer(conn: &mut Conn, id: ConnId, http: &mut Http, response: &mut Response) {
    match response.content {
        Content::Stream(_) => answer_stream(conn, id, http, response),
        Content::Buffer(_) | Content::Bytes(_) | Content::Static(_) => {
            answer_whole(conn, http, response);
        }
    }
}

/// Send a response whose body is here.
#[inline]
fn answer_whole(conn: &mut Conn, http: &mut Http, response: &mut Response) {
    end_stage(conn);
    let body: &[u8] = match &response.content {
        Content::Buffer(body) => body,
        Content::Bytes(body) => body,
        Content::Static(body) => body,
        Content::Stream(_) => unreachable!("streams are answered elsewhere"),
    };
    if body.len() > COPY_BYTES_MAX {
        return answer_large(conn, http, response);
    }
    let output = out(&mut conn.output, http);
    let Http { preamble, limits, now, .. } = http;
    conn.core.respond_full(&response.head(), body, preamble, limits, *now, output.buffer());
    if let Content::Buffer(buffer) = &mut response.content {
        scratch::give(std::mem::take(buffer));
    }
}

/// Send a response whose body is here and too large to copy.
fn answer_large(conn: &mut Conn, http: &mut Http, response: &mut Response) {
    let content = std::mem::replace(&mut response.content, Content::Static(b""));
    let body = match content {
        Content::Buffer(buffer) => Bytes::from(buffer),
        Content::Bytes(bytes) => bytes,
        Content::Static(bytes) => Bytes::from_static(bytes),
        Content::Stream(_) => unreachable!("streams are answered elsewhere"),
    };
    let length = ResponseLength::Known(body.len() as u64);
    respond(conn, http, &response.head(), length);
    if !conn.core.body_suppressed() {
        send_chunk(conn, http, body);
    }
    let output = out(&mut conn.output, http);
    conn.core.finish(&http.limits, http.now, output.buffer());
}

/// Send the head of a response and start its stream.
fn answer_stream(conn: &mut Conn, id: ConnId, http: &mut Http, response: &mut Response) {
    let content = std::mem::replace(&mut response.content, Content::Static(b""));
    let Content::Stream(stream) = content else { return };
    let Stream { body, producer, trailers, keep_alive } = *stream;
    let length = body.length().map_or(ResponseLength::Unknown, ResponseLength::Known);
    if let Some(Exchange { upload: Some(upload), .. }) = conn.exchange.as_deref()
        && !upload.is_gone()
    {
        // The response lives from the request's body: whoever waits to send it may do so.
        let output = out(&mut conn.output, http);
        conn.core.want_body(http.now, output.buffer());
    }
    respond(conn, http, &response.head(), length);
    if conn.core.body_suppressed() {
        drop(producer.map(Guarded::new));
        end_stage(conn);
        let output = out(&mut conn.output, http);
        return conn.core.finish(&http.limits, http.now, output.buffer());
    }
    let mut exchange =
        conn.exchange.take().unwrap_or_else(|| Exchange::new(id, http, Stage::placeholder()));
    let notify = Rc::clone(&exchange.notify);
    body.notify_with(Rc::clone(&notify) as Rc<dyn Notify>);
    let failed = Rc::new(Cell::new(false));
    let source = match (producer, std::mem::replace(&mut exchange.stage, Stage::placeholder())) {
        (Some(future), _) => {
            let task = executor::spawn(run_producer(future, Rc::clone(&failed), notify));
            Some(Source::Task { _task: task })
        }
        (None, Stage::Running(Run::Job(lead))) => Some(Source::Job(lead)),
        (None, _) => None,
    };
    let keep_alive =
        keep_alive.map(|(interval, text)| KeepAlive { interval, text, next: http.now + interval });
    exchange.stage =
        Stage::Streaming(Box::new(Streaming { body, source, failed, trailers, keep_alive }));
    conn.exchange = Some(exchange);
    pump(conn, http);
}

/// A stream's producer as a task. Its sender ends the body when it is dropped.
async fn run_producer(
    future: LocalFuture<Result<(), body::Gone>>,
    failed: Rc<Cell<bool>>,
    notify: Rc<ConnNotify>,
) {
    // Gone is no failure: then nobody reads, and this task is about to be dropped.
    if let Err(Panicked) = Guarded::new(future).await {
        failed.set(true);
        notify.notify();
    }
}

fn respond(conn: &mut Conn, http: &mut Http, head: &ResponseHead<'_>, length: ResponseLength) {
    let output = out(&mut conn.output, http);
    let Http { preamble, limits, now, .. } = http;
    conn.core.respond(head, length, preamble, limits, *now, output.buffer());
}

/// Move chunks from the stream to the output, as far as the client keeps up.
fn pump(conn: &mut Conn, http: &mut Http) {
    loop {
        if conn.pending_output() >= OUTPUT_BYTES_HIGH {
            return;
        }
        let Some(exchange) = &mut conn.exchange else { return };
        let Stage::Streaming(streaming) = &mut exchange.stage else { return };
        match streaming.body.try_next() {
            Next::Chunk(chunk) => {
                if let Some(keep_alive) = &mut streaming.keep_alive {
                    keep_alive.next = http.now + keep_alive.interval;
                }
                send_chunk(conn, http, chunk);
            }
            Next::Wait if !streaming.failed.get() => return,
            Next::Wait | Next::Failed(_) => {
                end_stage(conn);
                return conn.core.abort();
            }
            Next::End(trailers) => {
                let trailers = if streaming.trailers { trailers } else { Trailers::new() };
                end_stage(conn);
                let output = out(&mut conn.output, http);
                let (limits, now) = (&http.limits, http.now);
                return conn.core.finish_with_trailers(&trailers, limits, now, output.buffer());
            }
        }
    }
}

/// Append a piece of a response body: copied if small, by reference if large.
fn send_chunk(conn: &mut Conn, http: &mut Http, chunk: Bytes) {
    let output = out(&mut conn.output, http);
    if chunk.len() <= COPY_BYTES_MAX {
        return conn.core.send_body(&chunk, output.buffer());
    }
    if conn.core.begin_data(chunk.len() as u64, output.buffer()) {
        output.push_shared(chunk);
        conn.core.end_data(output.buffer());
    }
}

/// The response is on its way: what produced it is over. An upload that is still arriving keeps
/// its channel, because an echo may be reading it.
fn end_stage(conn: &mut Conn) {
    if conn.exchange.is_some() {
        conn.exchange = None;
    }
}

impl Exchange {
    fn new(id: ConnId, http: &Http, stage: Stage) -> Box<Self> {
        Box::new(Self { notify: ConnNotify::new(id, &http.ready), upload: None, stage })
    }
}

impl Stage {
    fn placeholder() -> Self {
        Self::Collecting { request: Request::new(), body: Vec::new(), handler: 0 }
    }

    /// Whether nothing is to be done once the client of a job has sent its FIN.
    fn ends_with_input(&self) -> bool {
        match self {
            Self::Collecting { .. } | Self::Lending(_) | Self::Running(Run::Task { .. }) => false,
            Self::Running(Run::Job(lead)) => lead.ends_with_input(),
            Self::Streaming(streaming) => {
                matches!(&streaming.source, Some(Source::Job(lead)) if lead.ends_with_input())
            }
        }
    }
}

/// Trailer fields that were validated by the core.
fn parse_trailers(section: &[u8]) -> Trailers {
    section
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
            Some((name, value))
        })
        .collect()
}

/// Input that may wait in a connection before the receive is stopped.
const CARRY_BYTES_HIGH: usize = 16 << 10;
