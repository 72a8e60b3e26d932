//! From the bytes of a head to a filled `Head`: the quick way over a complete one, and the way of
//! the judge for everything that came in pieces or looks odd.

use std::mem::MaybeUninit;

use super::framing::{Framing, Persistence};
use super::judge::{self, Bounds, RequestLine, Scan};
use crate::http::error::Error;
use crate::http::head::{Field, Head, Known, Version};
use crate::http::target::Target;
use crate::limits::{HEADERS_MAX, HttpLimits, METHOD_BYTES_MAX};

/// A head that was accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parsed {
    /// Its length in the input.
    pub(super) length: usize,
    pub(super) persistence: Persistence,
}

/// Parses the head at the start of `input`; none while it is incomplete.
pub(super) fn parse(
    scan: &mut Scan,
    input: &[u8],
    head: &mut Head,
    limits: &HttpLimits,
) -> Result<Option<Parsed>, Error> {
    if scan.is_new() {
        if let Some(parsed) = parse_known(input, head, limits) {
            return Ok(Some(parsed));
        }
        if let Some(parsed) = parse_whole(input, head, limits) {
            return parsed.map(Some);
        }
    }
    let Some(length) = scan.head(input, bounds(limits))? else { return Ok(None) };
    fill(&input[..length], head, limits).map(Some)
}

fn bounds(limits: &HttpLimits) -> Bounds {
    Bounds {
        line_bytes: limits.line_bytes as usize,
        section_bytes: limits.header_bytes as usize,
        fields: limits.headers.min(HEADERS_MAX as u16),
    }
}

/// The quickest ways: the whole head, or its header section, is byte for byte the one that `head`
/// holds already.
///
/// Clients repeat themselves: at most the request line changes from request to request. It is
/// judged anew then; what is the same means what it meant before. None: it is another one, or
/// something is for the other ways to decide.
#[inline]
fn parse_known(input: &[u8], head: &mut Head, limits: &HttpLimits) -> Option<Parsed> {
    let bounds = bounds(limits);
    let known = head.known(bounds.section_bytes, usize::from(bounds.fields))?;
    if known.body_bytes_max != limits.body_bytes {
        return None;
    }
    let persistence = if known.persists { Persistence::Keep } else { Persistence::Close };
    if head.line_length() <= bounds.line_bytes
        && let Some(rest) = head.strip_from(input)
    {
        return Some(Parsed { length: input.len() - rest.len(), persistence });
    }
    let line_end = memchr::memchr(b'\n', &input[..input.len().min(bounds.line_bytes + 2)])?;
    let rest = input[line_end + 1..].strip_prefix(head.section())?.strip_prefix(b"\r\n")?;
    let line = RequestLine::parse_usual(&input[..line_end])?;
    if line.version != known.version {
        return None;
    }
    head.begin_again(line.method, line.version, line.target, line.parts);
    Some(Parsed { length: input.len() - rest.len(), persistence })
}

/// The quick way. None: the head is incomplete, or there is something about it that only the judge
/// may decide; he then looks at it from its first byte.
fn parse_whole(
    input: &[u8],
    head: &mut Head,
    limits: &HttpLimits,
) -> Option<Result<Parsed, Error>> {
    let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let fields_max = usize::from(bounds(limits).fields);
    let status = request.parse_with_uninit_headers(input, &mut fields[..fields_max]);
    let Ok(httparse::Status::Complete(length)) = status else { return None };
    let (method, target) = (request.method?, request.path?);
    let version = if request.version? == 0 { Version::Http10 } else { Version::Http11 };

    // The parser skips empty lines of any kind, and takes a bare LF for a line end: the method
    // must stand at the very start, and a CRLF before whatever comes next.
    let line_length = method.len() + target.len() + " HTTP/1.1 ".len();
    let start = line_length + 2;
    let end = length - 2;
    if !input.starts_with(method.as_bytes())
        || !input[line_length..].starts_with(b"\r\n")
        || !input[..length].ends_with(b"\r\n\r\n")
        || line_length > limits.line_bytes as usize
        || end - start > limits.header_bytes as usize
        || method.len() > METHOD_BYTES_MAX
    {
        return None;
    }
    let parts = Target::parse(method.as_bytes(), target.as_bytes()).ok()?;
    head.begin(method, version, target, parts, &input[start..end]);
    head.reserve_fields(request.headers.len());

    let section = &input[start..end];
    let offset = |part: &[u8]| (part.as_ptr() as usize).wrapping_sub(section.as_ptr() as usize);
    let mut framing = Framing::default();
    for (index, field) in request.headers.iter().enumerate() {
        let (name_start, value_start) = (offset(field.name.as_bytes()), offset(field.value));
        let follows = name_start == 0 || section.get(..name_start)?.ends_with(b"\r\n");
        if !follows || value_start > section.len() {
            return None;
        }
        head.push_field(Field {
            name_start: name_start as u32,
            name_end: (name_start + field.name.len()) as u32,
            value_start: value_start as u32,
            value_end: (value_start + field.value.len()) as u32,
        });
        framing.field(field.name.as_bytes(), field.value, index as u16);
    }
    Some(finish(head, framing, length, version, limits))
}

/// The way of the judge, once he has passed every line.
fn fill(input: &[u8], head: &mut Head, limits: &HttpLimits) -> Result<Parsed, Error> {
    let mut lines = Lines { input, at: 0 };
    let line = RequestLine::parse(lines.next().ok_or(Error::LineInvalid)?)?;
    let start = lines.at;
    let section = &input[start..input.len() - 2];
    head.begin(line.method, line.version, line.target, line.parts, section);
    let mut framing = Framing::default();
    lines = Lines { input: section, at: 0 };
    let mut index = 0;
    loop {
        let start = lines.at;
        let Some(line) = lines.next() else { break };
        let field = judge::parse_field(line)?;
        let part = |from: u32, to: u32| &line[from as usize..to as usize];
        let name = part(field.name_start, field.name_end);
        framing.field(name, part(field.value_start, field.value_end), index);
        head.push_field(field.shifted(start as u32));
        index += 1;
    }
    finish(head, framing, input.len(), line.version, limits)
}

fn finish(
    head: &mut Head,
    framing: Framing,
    length: usize,
    version: Version,
    limits: &HttpLimits,
) -> Result<Parsed, Error> {
    let (verdict, persistence) = framing.judge(version, limits.body_bytes)?;
    let persists = persistence == Persistence::Keep;
    head.complete(verdict, Known { version, body_bytes_max: limits.body_bytes, persists });
    Ok(Parsed { length, persistence })
}

/// The lines of a judged section, without their line ends.
struct Lines<'i> {
    input: &'i [u8],
    at: usize,
}

impl<'i> Lines<'i> {
    fn next(&mut self) -> Option<&'i [u8]> {
        let rest = &self.input[self.at..];
        let end = memchr::memchr(b'\n', rest)?;
        self.at += end + 1;
        Some(rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]))
    }
}

impl Field {
    fn shifted(self, by: u32) -> Self {
        Self {
            name_start: self.name_start + by,
            name_end: self.name_end + by,
            value_start: self.value_start + by,
            value_end: self.value_end + by,
        }
    }
}
