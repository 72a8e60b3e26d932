//! The request as a handler sees it.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::body::Body;
use crate::http::{Head, Params, Version, percent};

/// One request: its head, the parameters of its path, its body.
///
/// An inline handler borrows it and finds the body complete in [`Request::body`]. An async
/// handler owns it and takes the body as a stream with [`Request::take_body`]. Looking at fields,
/// path and query does not allocate.
pub struct Request {
    pub(crate) head: Head,
    pub(crate) params: Params,
    pub(crate) body: Payload,
}

/// Where the body is.
pub(crate) enum Payload {
    /// Complete.
    Full(Bytes),
    /// No body, or taken.
    Gone,
    /// Arriving.
    Stream(Body),
}

impl Request {
    pub(crate) fn new() -> Self {
        Self { head: Head::new(), params: Params::new(), body: Payload::Gone }
    }

    /// The method.
    pub fn method(&self) -> &::http::Method {
        self.head.method()
    }

    /// The path as it was sent, percent-escapes and all; begins with `/`.
    pub fn path(&self) -> &str {
        self.head.path()
    }

    /// The protocol version.
    pub fn version(&self) -> Version {
        self.head.version()
    }

    /// The authority the request was sent to: that of an absolute target, else the Host field.
    pub fn host(&self) -> Option<&str> {
        self.head.authority()
    }

    /// The path parameter `name`, percent-decoded; empty if the route has none of that name.
    pub fn param(&self, name: &str) -> &str {
        self.params.get(self.head.path(), name).unwrap_or_default()
    }

    /// The path parameter `name` read as a `T`.
    ///
    /// # Errors
    /// [`crate::http::Error::ParameterInvalid`] (400) if it does not parse.
    pub fn param_as<T: std::str::FromStr>(&self, name: &str) -> Result<T, crate::http::Error> {
        self.param(name).parse().map_err(|_| crate::http::Error::ParameterInvalid)
    }

    /// All path parameters in the order of the pattern.
    pub fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        self.params.iter(self.head.path())
    }

    /// The query string without its question mark, as it was sent.
    pub fn query_string(&self) -> Option<&str> {
        self.head.query()
    }

    /// The first value of `name` in the query, decoded as a form; allocates only for escapes.
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        self.queries().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The first value of `name` in the query read as a `T`; `None` if it is absent.
    ///
    /// # Errors
    /// [`crate::http::Error::ParameterInvalid`] (400) if it does not parse.
    pub fn query_as<T: std::str::FromStr>(
        &self,
        name: &str,
    ) -> Result<Option<T>, crate::http::Error> {
        let Some(text) = self.query(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| crate::http::Error::ParameterInvalid)
    }

    /// All names and values of the query.
    pub fn queries(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.head.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(
            |pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (percent::decode_form(name), percent::decode_form(value))
            },
        )
    }

    /// The first value of the field `name` (any case), as bytes.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.head.header(name)
    }

    /// The first value of the field `name` (any case), if it is text.
    pub fn header_str(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.head.header(name)?).ok()
    }

    /// Names and values of all field lines in the order they were sent.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.head.headers()
    }

    /// The complete body; empty in an async handler, which takes a stream instead.
    pub fn body(&self) -> &[u8] {
        match &self.body {
            Payload::Full(bytes) => bytes,
            Payload::Gone | Payload::Stream(_) => &[],
        }
    }

    /// The body as a stream; the second call gives an empty one.
    pub fn take_body(&mut self) -> Body {
        match std::mem::replace(&mut self.body, Payload::Gone) {
            Payload::Full(bytes) => Body::full(bytes),
            Payload::Gone => Body::empty(),
            Payload::Stream(body) => body,
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", self.method())
            .field("target", &self.head.target())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Request {
    /// A request for a handler that a test calls as the function that it is.
    pub(crate) fn of(target: &str, param: Option<(&str, &str)>, body: impl Into<Bytes>) -> Self {
        let mut request = Self::new();
        let restored =
            request.head.restore("POST", Version::Http11, target, crate::http::BodyLength::None);
        restored.expect("the target is valid");
        if let Some((name, value)) = param {
            request.params.begin(&[Box::from(name)].into());
            request.params.push_decoded(value);
        }
        request.body = Payload::Full(body.into());
        request
    }
}
