//! The response a handler gives, and what can be turned into one.

use std::fmt;
use std::future::Future;
use std::io::Write as _;
use std::time::Duration;

use ::http::{HeaderName, HeaderValue, StatusCode, header};
use bytes::Bytes;

use super::body::{self, Body, BodyError, Gone, Sender};
use super::{LocalFuture, scratch};
use crate::http::{Error, ResponseHead};

/// What a stream's producer may queue before it waits for its client.
const STREAM_CAPACITY_BYTES: usize = 64 << 10;
/// How often a silent event stream gets a comment, so that nothing on the way takes it for dead.
const EVENTS_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Status, fields and body of an answer.
///
/// Framing is not the handler's: Content-Length, Transfer-Encoding and Connection are set by the
/// connection (a `Connection: close` given here is honoured), Server and Date are added.
pub struct Response {
    pub(crate) status: StatusCode,
    /// Apart from the other fields because nearly every answer has one.
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) fields: Vec<(HeaderName, HeaderValue)>,
    pub(crate) content: Content,
}

/// The body of a response.
pub(crate) enum Content {
    /// Built in a buffer that goes back to the spare ones.
    Buffer(Vec<u8>),
    /// Shared bytes.
    Bytes(Bytes),
    Static(&'static [u8]),
    Stream(Box<Stream>),
}

/// A body that is produced while it is sent.
pub(crate) struct Stream {
    /// What the shard sends.
    pub(crate) body: Body,
    /// The future that fills it; `None` if somebody else does.
    pub(crate) producer: Option<LocalFuture<Result<(), Gone>>>,
    /// Whether trailer fields at the end of `body` are meant for the client.
    pub(crate) trailers: bool,
    /// Sent when nothing else was for that long.
    pub(crate) keep_alive: Option<(Duration, &'static [u8])>,
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

impl Response {
    /// An answer without a body.
    #[inline]
    pub fn new(status: StatusCode) -> Self {
        Self { status, content_type: None, fields: Vec::new(), content: Content::Static(b"") }
    }

    /// 200 with text that lives as long as the program: the cheapest answer there is.
    pub fn fixed(text: &'static str) -> Self {
        Self::of(TEXT, Content::Static(text.as_bytes()))
    }

    /// 200 with text, copied.
    pub fn text(text: impl AsRef<str>) -> Self {
        let mut buffer = scratch::take();
        buffer.extend_from_slice(text.as_ref().as_bytes());
        Self::of(TEXT, Content::Buffer(buffer))
    }

    /// 200 with an HTML page.
    pub fn html(page: impl Into<Bytes>) -> Self {
        Self::of(HeaderValue::from_static("text/html; charset=utf-8"), Content::Bytes(page.into()))
    }

    /// 200 with bytes of no particular type.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::of(HeaderValue::from_static("application/octet-stream"), Content::Bytes(bytes.into()))
    }

    /// 200 with `value` as JSON; 500 if it cannot be serialised (a map with keys that are not
    /// strings, or an error of its own `Serialize`).
    pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> Self {
        let mut buffer = scratch::take();
        match serde_json::to_writer(&mut buffer, value) {
            Ok(()) => {
                Self::of(HeaderValue::from_static("application/json"), Content::Buffer(buffer))
            }
            Err(error) => {
                tracing::error!(%error, "a response could not be serialised");
                Error::Internal.into_response()
            }
        }
    }

    /// 200 with a body of unknown length that `producer` writes.
    ///
    /// The future runs on the executor of the thread that called the handler, in the shard or in a
    /// worker. [`Sender::send`] waits while the client is behind; when the client leaves, the
    /// future is dropped. It ends the body by returning.
    ///
    /// ```
    /// use corewise::{Request, Response};
    ///
    /// fn count(_: &Request) -> Response {
    ///     Response::stream("text/plain", async |sender| {
    ///         for n in 0..1000 {
    ///             sender.send(format!("{n}\n")).await?;
    ///         }
    ///         Ok(())
    ///     })
    /// }
    /// ```
    pub fn stream<F, Fut>(content_type: &'static str, producer: F) -> Self
    where
        F: FnOnce(Sender) -> Fut,
        Fut: Future<Output = Result<(), Gone>> + 'static,
    {
        let (sender, body) = body::channel(STREAM_CAPACITY_BYTES);
        let producer: LocalFuture<_> = Box::pin(producer(sender));
        let stream = Stream { body, producer: Some(producer), trailers: true, keep_alive: None };
        Self::of(HeaderValue::from_static(content_type), Content::Stream(Box::new(stream)))
    }

    /// 200 with a body that somebody else fills: a request's own, or the end of a
    /// [`body::channel`]. Its trailer fields are dropped: those of a request are not the
    /// response's (RFC 9110 6.5.1).
    pub fn relay(mut body: Body) -> Self {
        if let Some(bytes) = body.whole() {
            return Self::bytes(bytes);
        }
        let stream = Stream { body, producer: None, trailers: false, keep_alive: None };
        Self::of(
            HeaderValue::from_static("application/octet-stream"),
            Content::Stream(Box::new(stream)),
        )
    }

    /// 200 with server-sent events (WHATWG HTML, section 9.2). A silent stream gets a comment
    /// every 15 s.
    ///
    /// ```
    /// use corewise::{Event, Request, Response};
    ///
    /// fn events(_: &Request) -> Response {
    ///     Response::events(async |events| {
    ///         events.send(Event::new("hello").id("1")).await
    ///     })
    /// }
    /// ```
    pub fn events<F, Fut>(producer: F) -> Self
    where
        F: FnOnce(EventSender) -> Fut,
        Fut: Future<Output = Result<(), Gone>> + 'static,
    {
        let mut response =
            Self::stream("text/event-stream", |sender| producer(EventSender { sender }));
        if let Content::Stream(stream) = &mut response.content {
            stream.keep_alive = Some((EVENTS_KEEP_ALIVE, b":\n\n"));
        }
        response.with(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
    }

    /// How often a silent event stream gets a comment; no effect on other bodies.
    pub fn keep_alive_every(mut self, interval: Duration) -> Self {
        if let Content::Stream(stream) = &mut self.content
            && let Some((every, _)) = &mut stream.keep_alive
        {
            *every = interval;
        }
        self
    }

    /// Redirect to `location` with `status` (a 3xx).
    ///
    /// # Errors
    /// [`Error::Internal`] if `location` cannot stand in a field.
    pub fn redirect(status: StatusCode, location: &str) -> Result<Self, Error> {
        let location = HeaderValue::from_str(location).map_err(|_| Error::Internal)?;
        Ok(Self::new(status).with(header::LOCATION, location))
    }

    /// The same with another status.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with another media type.
    pub fn content_type(mut self, content_type: &'static str) -> Self {
        self.content_type = Some(HeaderValue::from_static(content_type));
        self
    }

    /// The same with one more field.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if name == header::CONTENT_TYPE {
            self.content_type = Some(value);
        } else {
            self.fields.push((name, value));
        }
        self
    }

    /// The status it has.
    pub fn status_code(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn head(&self) -> ResponseHead<'_> {
        ResponseHead {
            status: self.status,
            content_type: self.content_type.as_ref(),
            fields: &self.fields,
        }
    }

    fn of(content_type: HeaderValue, content: Content) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: Some(content_type),
            fields: Vec::new(),
            content,
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

/// One server-sent event.
#[derive(Debug)]
pub struct Event {
    text: Vec<u8>,
}

impl Event {
    /// An event whose data are the lines of `data`.
    pub fn new(data: &str) -> Self {
        let mut text = Vec::with_capacity(data.len() + 16);
        for line in data.split('\n') {
            // A carriage return would end the field early.
            field(&mut text, "data", line.trim_end_matches('\r'));
        }
        Self { text }
    }

    /// The same with an event type; line ends in it are dropped.
    pub fn kind(mut self, kind: &str) -> Self {
        field(&mut self.text, "event", kind);
        self
    }

    /// The same with an id; line ends in it are dropped.
    pub fn id(mut self, id: &str) -> Self {
        field(&mut self.text, "id", id);
        self
    }

    /// The same with the time after which a client that lost the stream comes back.
    pub fn retry(mut self, after: Duration) -> Self {
        let _infallible = writeln!(self.text, "retry: {}", after.as_millis());
        self
    }
}

fn field(text: &mut Vec<u8>, name: &str, value: &str) {
    text.extend_from_slice(name.as_bytes());
    text.extend_from_slice(b": ");
    text.extend(value.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')));
    text.push(b'\n');
}

/// The writing end of an event stream.
pub struct EventSender {
    sender: Sender,
}

impl EventSender {
    /// Send an event; waits while the client is behind.
    ///
    /// # Errors
    /// [`Gone`] when the client has left.
    pub async fn send(&self, mut event: Event) -> Result<(), Gone> {
        event.text.push(b'\n');
        self.sender.send(event.text).await
    }
}

/// Everything that a handler may return.
pub trait IntoResponse {
    /// Turn it into a response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::fixed(self)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::of(TEXT, Content::Bytes(self.into()))
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        Response::bytes(self)
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::bytes(self)
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new(StatusCode::NO_CONTENT)
    }
}

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        self.1.into_response().status(self.0)
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut buffer = scratch::take();
        // The text names what was wrong with the request, never what it contained.
        let _infallible = writeln!(buffer, "{self}");
        Response::of(TEXT, Content::Buffer(buffer)).status(self.status())
    }
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        Error::from(self).into_response()
    }
}

/// A value to be sent as JSON.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        Response::json(&self.0)
    }
}

/// A page to be sent as HTML.
#[derive(Clone, Debug)]
pub struct Html<T>(pub T);

impl<T: Into<Bytes>> IntoResponse for Html<T> {
    fn into_response(self) -> Response {
        Response::html(self.0)
    }
}
