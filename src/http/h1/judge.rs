//! The canonical judge of heads and trailer sections: line by line, in the order of the stream.
//!
//! A line is judged when its LF has arrived or its limit is passed, never earlier (but for the
//! very first bytes, which are judged before anything else). So the verdict
//! is the same however the bytes were split, a bad line is answered without waiting for the rest,
//! and a head that comes byte by byte costs no more than one that comes at once.

use memchr::memchr;

use super::grammar::{is_token, is_value_byte, trim_ows};
use crate::http::error::Error;
use crate::http::head::{Field, Version};
use crate::http::target::Target;
use crate::limits::{METHOD_BYTES_MAX, TRAILER_BYTES_MAX};

/// How far an incomplete section has been judged. All offsets count from its first byte.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Scan {
    /// Start of the first line that is not judged yet.
    line_start: u32,
    /// Bytes in which no further LF is to be found.
    seen: u32,
    /// Start of the field lines; 0 while the request line is not complete.
    fields_start: u32,
    /// Field lines judged so far.
    fields: u16,
}

/// The scan of a trailer section, whose bound keeps every offset within `u16`: it must fit into
/// the few bytes that a connection has for its body.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct SmallScan {
    line_start: u16,
    seen: u16,
    fields: u16,
}

impl From<SmallScan> for Scan {
    fn from(scan: SmallScan) -> Self {
        Self {
            line_start: scan.line_start.into(),
            seen: scan.seen.into(),
            fields_start: 0,
            fields: scan.fields,
        }
    }
}

impl From<Scan> for SmallScan {
    /// What an incomplete trailer section is scanned for ends just above its bound; an input that
    /// is longer would have been refused.
    fn from(scan: Scan) -> Self {
        Self { line_start: scan.line_start as u16, seen: scan.seen as u16, fields: scan.fields }
    }
}

const _: () = assert!(TRAILER_BYTES_MAX + 2 <= u16::MAX as usize);

/// The bounds of one section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Longest request line, without its line end.
    pub(super) line_bytes: usize,
    /// Largest run of field lines, line ends included.
    pub(super) section_bytes: usize,
    /// Most field lines.
    pub(super) fields: u16,
}

/// The request line in its parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestLine<'i> {
    pub(super) method: &'i str,
    pub(super) target: &'i str,
    pub(super) version: Version,
    pub(super) parts: Target,
}

impl Scan {
    /// Whether no byte has been looked at.
    pub(super) fn is_new(self) -> bool {
        self.seen == 0 && self.line_start == 0
    }

    /// Judges the head at the start of `input` as far as it goes; its length once it is complete.
    pub(super) fn head(&mut self, input: &[u8], bounds: Bounds) -> Result<Option<usize>, Error> {
        if self.fields_start == 0 {
            judge_first(input, bounds)?;
            let Some(end) = self.find_line(input) else {
                return match input.len() {
                    // One more than the limit may still be the CR of the line end.
                    length if length > bounds.line_bytes + 1 => Err(Error::LineTooLong),
                    _ => Ok(None),
                };
            };
            if end > bounds.line_bytes + 1 {
                return Err(Error::LineTooLong);
            }
            RequestLine::parse(strip_cr(&input[..end])?)?;
            self.fields_start = self.line_start;
        }
        self.section(input, bounds, |_| Ok(()))
    }

    /// Judges field lines up to the empty line; the length of the section, that line included.
    pub(super) fn section(
        &mut self,
        input: &[u8],
        bounds: Bounds,
        mut judge_name: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<Option<usize>, Error> {
        let limit = self.fields_start as usize + bounds.section_bytes;
        loop {
            let start = self.line_start as usize;
            let Some(end) = self.find_line(input) else {
                let rest = &input[start.min(input.len())..];
                // A lone CR may be the start of the empty line, which does not count.
                let over = input.len() >= limit && !rest.is_empty() && rest != b"\r";
                return if over { Err(Error::FieldsTooLarge) } else { Ok(None) };
            };
            let line = &input[start..end];
            if line == b"\r" {
                return Ok(Some(end + 1));
            }
            if end >= limit {
                return Err(Error::FieldsTooLarge);
            }
            if self.fields >= bounds.fields {
                return Err(Error::TooManyFields);
            }
            self.fields += 1;
            let line = strip_cr(line)?;
            let field = parse_field(line)?;
            judge_name(&line[..field.name_end as usize])?;
        }
    }

    /// The offset of the next LF. The scan moves on: behind the LF, or to the end of the input.
    fn find_line(&mut self, input: &[u8]) -> Option<usize> {
        let from = (self.seen as usize).min(input.len());
        let found = memchr(b'\n', &input[from..]).map(|offset| from + offset);
        // Sections are bounded by limits far below 4 GiB; what lies beyond is never looked at.
        self.seen = found.map_or(input.len(), |end| end + 1) as u32;
        if found.is_some() {
            self.line_start = self.seen;
        }
        found
    }
}

/// The only bytes that are judged before their line is complete. Who speaks another protocol, TLS
/// above all, may never send an LF and is answered at once. And RFC 9112 3: a method longer than
/// any that is known is answered with 501, so it must be found before the line is too long.
fn judge_first(input: &[u8], bounds: Bounds) -> Result<(), Error> {
    match input.first() {
        Some(b'\n') => return Err(Error::BareLineFeed),
        Some(byte) if !is_token(std::slice::from_ref(byte)) => return Err(Error::MethodInvalid),
        _ => {}
    }
    // Where not even a method fits into a line, the limit of the line is passed first.
    match input.get(..=METHOD_BYTES_MAX) {
        Some(start) if METHOD_BYTES_MAX <= bounds.line_bytes && is_token(start) => {
            Err(Error::MethodTooLong)
        }
        _ => Ok(()),
    }
}

/// RFC 9112 2.2 allows a recipient to take a bare LF for a line end. Where one does and the next
/// does not, requests are smuggled: nobody needs it, so it is refused.
fn strip_cr(line: &[u8]) -> Result<&[u8], Error> {
    line.strip_suffix(b"\r").ok_or(Error::BareLineFeed)
}

impl<'i> RequestLine<'i> {
    /// A line as nearly all are, with its CR; none if anything is unusual about it.
    #[inline]
    pub(super) fn parse_usual(line: &'i [u8]) -> Option<Self> {
        let (line, version) = match line {
            [line @ .., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor, b'\r'] => {
                let version = match minor {
                    b'0' => Version::Http10,
                    b'1' => Version::Http11,
                    _ => return None,
                };
                (line, version)
            }
            _ => return None,
        };
        let (method, target) = match line {
            [b'G', b'E', b'T', b' ', target @ ..] => ("GET", target),
            _ => {
                let end = memchr(b' ', line)?;
                (parse_method(&line[..end]).ok()?, &line[end + 1..])
            }
        };
        let parts = Target::parse(method.as_bytes(), target).ok()?;
        let target = str::from_utf8(target).ok()?;
        Some(Self { method, target, version, parts })
    }

    /// RFC 9112 3: method, target and version, with exactly one space between them.
    pub(super) fn parse(line: &'i [u8]) -> Result<Self, Error> {
        let mut parts = line.split(|&byte| byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Error::LineInvalid);
        };
        let method = parse_method(method)?;
        // The version comes before the target: an HTTP/2 preface is told what it lacks.
        let version = parse_version(version)?;
        let parts = Target::parse(method.as_bytes(), target)?;
        let target = str::from_utf8(target).map_err(|_| Error::TargetInvalid)?;
        Ok(Self { method, target, version, parts })
    }
}

fn parse_method(method: &[u8]) -> Result<&str, Error> {
    if !is_token(method) {
        return Err(Error::MethodInvalid);
    }
    // RFC 9112 3: a method longer than any that is known: 501.
    if method.len() > METHOD_BYTES_MAX {
        return Err(Error::MethodTooLong);
    }
    str::from_utf8(method).map_err(|_| Error::MethodInvalid)
}

/// RFC 9112 2.3, 2.5: `HTTP/` DIGIT `.` DIGIT; an unknown minor version is served as 1.1.
fn parse_version(version: &[u8]) -> Result<Version, Error> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.', b'0'..=b'9'] => {
            if *major == b'1' { Ok(Version::Http11) } else { Err(Error::VersionUnsupported) }
        }
        _ => Err(Error::VersionInvalid),
    }
}

/// RFC 9112 5: name, colon, value; offsets within the line.
pub(super) fn parse_field(line: &[u8]) -> Result<Field, Error> {
    if let [b' ' | b'\t', ..] = line {
        return Err(Error::FieldFolded);
    }
    // RFC 9112 5.1: no white space between name and colon, which is_token takes care of.
    let colon = memchr(b':', line).ok_or(Error::FieldNameInvalid)?;
    if !is_token(&line[..colon]) {
        return Err(Error::FieldNameInvalid);
    }
    let raw = &line[colon + 1..];
    // RFC 9110 5.5: CR, LF and NUL are dangerous, and other control bytes are no use to anyone.
    if !raw.iter().all(|&byte| is_value_byte(byte)) {
        return Err(Error::FieldValueInvalid);
    }
    let value = trim_ows(raw);
    let skipped = raw.iter().take_while(|&&byte| byte == b' ' || byte == b'\t').count();
    let value_start = colon + 1 + skipped;
    Ok(Field {
        name_start: 0,
        name_end: colon as u32,
        value_start: value_start as u32,
        value_end: (value_start + value.len()) as u32,
    })
}
