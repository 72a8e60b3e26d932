//! A request head: one owned copy of its bytes and a table of where things lie in it.

use ::http::Method;

use super::body::BodyLength;
use super::error::Error;
use super::h1::grammar::{is_token, is_value_byte};
use super::target::{self, Form, Target};
use crate::limits::{HEADERS_MAX, METHOD_BYTES_MAX};

/// A parsed request head.
///
/// It owns its bytes, so that it outlives the buffer it was read from, and is filled again and
/// again: once its vectors have grown, a request costs no allocation. Keep a few spare ones.
#[derive(Clone, Debug)]
pub struct Head {
    method: Method,
    version: Version,
    /// The request target as it was sent.
    target: String,
    /// Where its parts lie.
    parts: Target,
    /// The header section, without the empty line at its end.
    section: Vec<u8>,
    /// The field lines of `section`, in order.
    fields: Vec<Field>,
    /// Which of `fields` is Host.
    host: Option<u16>,
    body_length: BodyLength,
    expects_continue: bool,
    /// What the section was found to mean, until the head is filled with another.
    known: Option<Known>,
}

/// The judgement of a header section that need not be made again for the same bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// The judgement depends on it.
    pub(crate) version: Version,
    /// And on this limit.
    pub(crate) body_bytes_max: u64,
    /// Whether the connection may be kept.
    pub(crate) persists: bool,
}

/// The HTTP version of a request, as far as it matters to us.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1 and any later 1.x.
    #[default]
    Http11,
}

/// One field line: offsets into the section.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Field {
    pub(crate) name_start: u32,
    pub(crate) name_end: u32,
    pub(crate) value_start: u32,
    pub(crate) value_end: u32,
}

/// What the judgement of the whole head found, to be kept with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) body_length: BodyLength,
    pub(crate) expects_continue: bool,
    pub(crate) host: Option<u16>,
}

impl Head {
    /// An empty head, to be filled by a connection.
    #[must_use]
    pub fn new() -> Self {
        Self {
            method: Method::GET,
            version: Version::Http11,
            target: String::new(),
            parts: Target::default(),
            section: Vec::new(),
            fields: Vec::new(),
            host: None,
            body_length: BodyLength::None,
            expects_continue: false,
            known: None,
        }
    }

    /// The method; names are case-sensitive, so `get` is not GET.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The request target as it was sent.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The path as it was sent, escapes included. `/` when an absolute-form target has none; `*`
    /// for `OPTIONS *` and its absolute-form; empty for CONNECT.
    #[must_use]
    pub fn path(&self) -> &str {
        let path = &self.target[self.parts.path.0 as usize..self.parts.path.1 as usize];
        if path.is_empty() && self.parts.form == Form::Absolute { self.empty_path() } else { path }
    }

    /// The query as it was sent, without its question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.parts.query.map(|start| &self.target[start as usize..])
    }

    /// Host and port that the request is for: the target's own, else the value of Host.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        let (start, end) = self.parts.authority;
        if end > start {
            return Some(&self.target[start as usize..end as usize]);
        }
        let value = self.value(self.fields[usize::from(self.host?)]);
        Some(str::from_utf8(value).expect("a judged host is ASCII"))
    }

    /// The version of the request.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The first value of a field, without the white space around it.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let found = self.fields.iter().find(|field| self.is_named(**field, name));
        found.map(|field| self.value(*field))
    }

    /// All values of a field, line by line, in the order they were sent.
    pub fn header_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.fields.iter().filter(move |field| self.is_named(**field, name));
        named.map(|field| self.value(*field))
    }

    /// All field lines in the order they were sent, names as they were written.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| {
            let name = str::from_utf8(self.name(*field)).expect("a judged name is a token");
            (name, self.value(*field))
        })
    }

    /// All field lines in the order they were sent, as bytes.
    pub(crate) fn field_lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (self.name(*field), self.value(*field)))
    }

    /// The length of the body.
    #[must_use]
    pub fn body_length(&self) -> BodyLength {
        self.body_length
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Begins to fill the head anew.
    #[inline]
    pub(crate) fn begin(
        &mut self,
        method: &str,
        version: Version,
        target: &str,
        parts: Target,
        section: &[u8],
    ) {
        self.known = None;
        self.begin_again(method, version, target, parts);
        self.section.clear();
        self.section.extend_from_slice(section);
        self.fields.clear();
    }

    /// Fills in another request line; the header section stays as it is.
    #[inline]
    pub(crate) fn begin_again(
        &mut self,
        method: &str,
        version: Version,
        target: &str,
        parts: Target,
    ) {
        self.method = match method {
            "GET" => Method::GET,
            _ => Method::from_bytes(method.as_bytes()).expect("a judged method is a token"),
        };
        self.version = version;
        self.target.clear();
        self.target.push_str(target);
        self.parts = parts;
    }

    /// Fills in the request line of a head that another process judged and took apart; its fields
    /// follow by [`Head::restore_field`]. Everything that a getter relies on is judged again.
    pub(crate) fn restore(
        &mut self,
        method: &str,
        version: Version,
        target: &str,
        body_length: BodyLength,
    ) -> Result<(), Error> {
        if method.len() > METHOD_BYTES_MAX {
            return Err(Error::MethodTooLong);
        }
        if !is_token(method.as_bytes()) {
            return Err(Error::MethodInvalid);
        }
        let parts = Target::parse(method.as_bytes(), target.as_bytes())?;
        self.begin(method, version, target, parts, b"");
        self.host = None;
        self.body_length = body_length;
        self.expects_continue = false;
        Ok(())
    }

    /// Adds a field to a head that is being restored.
    pub(crate) fn restore_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        if !is_token(name) {
            return Err(Error::FieldNameInvalid);
        }
        if !value.iter().all(|&byte| is_value_byte(byte)) {
            return Err(Error::FieldValueInvalid);
        }
        if self.fields.len() == HEADERS_MAX {
            return Err(Error::TooManyFields);
        }
        if name.eq_ignore_ascii_case(b"host") {
            self.restore_host(value)?;
        }
        let name_start = self.section.len();
        self.section.extend_from_slice(name);
        let value_start = self.section.len();
        self.section.extend_from_slice(value);
        self.fields.push(Field {
            name_start: offset(name_start)?,
            name_end: offset(value_start)?,
            value_start: offset(value_start)?,
            value_end: offset(self.section.len())?,
        });
        Ok(())
    }

    /// The next field is Host.
    fn restore_host(&mut self, value: &[u8]) -> Result<(), Error> {
        if self.host.is_some() {
            return Err(Error::HostRepeated);
        }
        if !value.is_empty() && target::parse_host(value).is_none() {
            return Err(Error::HostInvalid);
        }
        self.host = u16::try_from(self.fields.len()).ok();
        Ok(())
    }

    /// The judgement of the section, if it is that of a complete head under these bounds.
    #[inline]
    pub(crate) fn known(&self, section_bytes_max: usize, fields_max: usize) -> Option<Known> {
        let fits = self.section.len() <= section_bytes_max && self.fields.len() <= fields_max;
        self.known.filter(|_| fits)
    }

    /// The length of the request line as it is usually written, without its line end.
    #[inline]
    pub(crate) fn line_length(&self) -> usize {
        self.method.as_str().len() + self.target.len() + " HTTP/1.1".len() + 1
    }

    /// What follows the head in `input` if `input` begins with the very head that is held here.
    #[inline]
    pub(crate) fn strip_from<'i>(&self, input: &'i [u8]) -> Option<&'i [u8]> {
        let line_length = self.line_length();
        // Most lines that differ end elsewhere.
        if input.get(line_length) != Some(&b'\r') {
            return None;
        }
        let (line, rest) = input.split_at(line_length);
        let version: &[u8; 9] = match self.version {
            Version::Http10 => b" HTTP/1.0",
            Version::Http11 => b" HTTP/1.1",
        };
        let (method_and_target, end) = line.split_at(line_length - version.len());
        let (start, target) = method_and_target.split_at(self.method.as_str().len() + 1);
        if end != version || target != self.target.as_bytes() {
            return None;
        }
        start.strip_prefix(self.method.as_str().as_bytes()).filter(|space| space == b" ")?;
        rest.strip_prefix(b"\r\n")?.strip_prefix(self.section.as_slice())?.strip_prefix(b"\r\n")
    }

    /// The header section, without the empty line at its end.
    pub(crate) fn section(&self) -> &[u8] {
        &self.section
    }

    /// Makes room for the field lines of one head.
    pub(crate) fn reserve_fields(&mut self, count: usize) {
        self.fields.reserve(count);
    }

    /// Adds a field line.
    #[inline]
    pub(crate) fn push_field(&mut self, field: Field) {
        self.fields.push(field);
    }

    /// Completes the head.
    pub(crate) fn complete(&mut self, verdict: Verdict, known: Known) {
        self.known = Some(known);
        self.host = verdict.host;
        self.body_length = verdict.body_length;
        self.expects_continue = verdict.expects_continue;
    }

    fn name(&self, field: Field) -> &[u8] {
        &self.section[field.name_start as usize..field.name_end as usize]
    }

    fn is_named(&self, field: Field, name: &str) -> bool {
        self.name(field).eq_ignore_ascii_case(name.as_bytes())
    }

    fn value(&self, field: Field) -> &[u8] {
        &self.section[field.value_start as usize..field.value_end as usize]
    }

    /// RFC 9110 4.2.3: an empty path is `/`, except for OPTIONS, where it means the whole server.
    fn empty_path(&self) -> &'static str {
        if self.method == Method::OPTIONS && self.parts.query.is_none() { "*" } else { "/" }
    }
}

fn offset(value: usize) -> Result<u32, Error> {
    u32::try_from(value).map_err(|_| Error::FieldsTooLarge)
}

impl Default for Head {
    fn default() -> Self {
        Self::new()
    }
}
