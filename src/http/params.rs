//! The values that a route's pattern took out of a request's path.
//!
//! A value is a span of the raw path, or of the decoded text when the path held percent-escapes,
//! so that the usual request is routed without an allocation.

use std::rc::Rc;

/// Path parameters of one request. Reused from request to request.
#[derive(Clone, Debug, Default)]
pub struct Params {
    names: Option<Rc<[Box<str>]>>,
    values: Vec<Span>,
    decoded: String,
}

/// Where a value lies.
#[derive(Clone, Copy, Debug)]
enum Span {
    /// In the text that percent-decoding produced.
    Decoded { start: u32, end: u32 },
    /// In the path as it was sent, which holds no escapes there.
    Path { start: u32, end: u32 },
}

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forget the last request; keeps the buffers.
    pub fn clear(&mut self) {
        self.names = None;
        self.values.clear();
        self.decoded.clear();
    }

    /// Start over for a route whose parameters have these names, in the order of the pattern.
    pub fn begin(&mut self, names: &Rc<[Box<str>]>) {
        self.clear();
        self.names = Some(Rc::clone(names));
    }

    /// The next value is `path[start..end]`, free of escapes.
    pub fn push_span(&mut self, start: usize, end: usize) {
        self.values.push(Span::Path { start: offset(start), end: offset(end) });
    }

    /// The next value was percent-decoded to `text`.
    pub fn push_decoded(&mut self, text: &str) {
        let start = offset(self.decoded.len());
        self.decoded.push_str(text);
        self.values.push(Span::Decoded { start, end: offset(self.decoded.len()) });
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether the route has no parameters.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value of `name`; `path` is the path the spans were taken from.
    pub fn get<'a>(&'a self, path: &'a str, name: &str) -> Option<&'a str> {
        let names = self.names.as_ref()?;
        let index = names.iter().position(|known| &**known == name)?;
        self.value(path, index)
    }

    /// All names and values, in the order of the pattern.
    pub fn iter<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let names = self.names.as_deref().unwrap_or_default();
        names.iter().enumerate().filter_map(move |(i, name)| Some((&**name, self.value(path, i)?)))
    }

    /// All values, in the order of the pattern.
    pub fn values<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        (0..self.values.len()).map(move |index| self.value(path, index).unwrap_or_default())
    }

    fn value<'a>(&'a self, path: &'a str, index: usize) -> Option<&'a str> {
        match *self.values.get(index)? {
            Span::Decoded { start, end } => self.decoded.get(start as usize..end as usize),
            Span::Path { start, end } => path.get(start as usize..end as usize),
        }
    }
}

/// Offsets within a head fit `u32`: `limits::HEAD_BYTES_MAX` bounds every head.
fn offset(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
