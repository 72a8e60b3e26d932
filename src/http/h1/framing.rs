//! What the fields of a complete head mean together: the host, the length of the body, whether the
//! connection stays open, and what the client expects.

use super::grammar::{is_token, trim_ows};
use crate::http::body::BodyLength;
use crate::http::error::Error;
use crate::http::head::{Verdict, Version};
use crate::http::target;

/// Collects the few fields that matter to the protocol itself, in any order.
///
/// Faults are collected too and judged at the end in one fixed order, so that the answer does not
/// depend on the order in which the fields were sent.
#[derive(Debug, Default)]
pub(super) struct Framing {
    host: Host,
    content_length: ContentLength,
    coding: Coding,
    connection: Options,
    expectation: Expectation,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Host {
    #[default]
    Absent,
    Given(u16),
    Invalid,
    Repeated,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum ContentLength {
    #[default]
    Absent,
    Given(u64),
    Invalid,
    Repeated,
}

/// What Transfer-Encoding says, all its lines together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Coding {
    #[default]
    Absent,
    /// The field is there, but no coding has been named so far.
    Empty,
    /// Chunked alone.
    Chunked,
    Invalid,
    /// Codings that are not chunked: the last one must be, or the length of the body is in doubt.
    Unfinished,
    /// Codings that we do not know, under a chunked that tells where the body ends.
    Unknown,
}

/// The connection options that concern us.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    close: bool,
    keep_alive: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Expectation {
    Continue,
    #[default]
    None,
    Unknown,
}

/// Whether the connection can carry another request after this one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Persistence {
    Close,
    Keep,
}

impl Framing {
    /// Takes note of one field line; most are none of our business.
    #[inline]
    pub(super) fn field(&mut self, name: &[u8], value: &[u8], index: u16) {
        // The first letter tells them from others of the same length, such as User-Agent.
        let Some(first) = name.first() else { return };
        match (name.len(), first | 0x20) {
            (4, b'h') if name.eq_ignore_ascii_case(b"host") => self.host.add(value, index),
            (6, b'e') if name.eq_ignore_ascii_case(b"expect") => self.expectation.add(value),
            (10, b'c') if name.eq_ignore_ascii_case(b"connection") => self.connection.add(value),
            (14, b'c') if name.eq_ignore_ascii_case(b"content-length") => {
                self.content_length.add(value);
            }
            (17, b't') if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.coding.add(value);
            }
            _ => {}
        }
    }

    /// The judgement of the head as a whole.
    pub(super) fn judge(
        self,
        version: Version,
        body_bytes_max: u64,
    ) -> Result<(Verdict, Persistence), Error> {
        let host = self.host.judge(version)?;
        let body_length = self.body_length(version)?;
        let expects_continue = self.expects_continue(version, body_length)?;
        if matches!(body_length, BodyLength::Known(length) if length > body_bytes_max) {
            return Err(Error::BodyTooLarge);
        }
        let verdict = Verdict { body_length, expects_continue, host };
        Ok((verdict, self.connection.persistence(version)))
    }

    /// RFC 9112 6.3, with everything that leaves room for a second opinion refused.
    fn body_length(&self, version: Version) -> Result<BodyLength, Error> {
        if self.coding != Coding::Absent {
            if self.content_length != ContentLength::Absent {
                return Err(Error::FramingConflict);
            }
            // RFC 9112 6.1: a transfer coding in HTTP/1.0 means that the framing is faulty.
            if version == Version::Http10 {
                return Err(Error::TransferCodingInvalid);
            }
        }
        match self.coding {
            Coding::Chunked => return Ok(BodyLength::Chunked),
            // RFC 9112 6.3: 400 when the final coding is not chunked, whatever stands before it.
            Coding::Empty | Coding::Invalid | Coding::Unfinished => {
                return Err(Error::TransferCodingInvalid);
            }
            // RFC 9112 6.1: 501 for a coding that is not understood.
            Coding::Unknown => return Err(Error::TransferCodingUnknown),
            Coding::Absent => {}
        }
        match self.content_length {
            ContentLength::Absent | ContentLength::Given(0) => Ok(BodyLength::None),
            ContentLength::Given(length) => Ok(BodyLength::Known(length)),
            ContentLength::Invalid => Err(Error::ContentLengthInvalid),
            ContentLength::Repeated => Err(Error::ContentLengthRepeated),
        }
    }

    /// RFC 9110 10.1.1: HTTP/1.0 cannot expect anything, and without a body nobody waits.
    fn expects_continue(&self, version: Version, body: BodyLength) -> Result<bool, Error> {
        match self.expectation {
            _ if version == Version::Http10 => Ok(false),
            Expectation::Continue => Ok(body != BodyLength::None),
            Expectation::None => Ok(false),
            Expectation::Unknown => Err(Error::ExpectationFailed),
        }
    }
}

impl Host {
    fn add(&mut self, value: &[u8], index: u16) {
        *self = match self {
            // RFC 9112 3.2: the value is empty when the target has no authority.
            Self::Absent if value.is_empty() || target::parse_host(value).is_some() => {
                Self::Given(index)
            }
            Self::Absent => Self::Invalid,
            _ => Self::Repeated,
        };
    }

    /// RFC 9112 3.2: exactly one in HTTP/1.1; HTTP/1.0 may leave it out.
    fn judge(self, version: Version) -> Result<Option<u16>, Error> {
        match self {
            Self::Absent if version == Version::Http11 => Err(Error::HostMissing),
            Self::Absent => Ok(None),
            Self::Given(index) => Ok(Some(index)),
            Self::Invalid => Err(Error::HostInvalid),
            Self::Repeated => Err(Error::HostRepeated),
        }
    }
}

impl ContentLength {
    /// RFC 9110 8.6: one decimal number. Repeated ones may be refused even when they agree.
    fn add(&mut self, value: &[u8]) {
        *self = match self {
            Self::Absent => parse_decimal(value).map_or(Self::Invalid, Self::Given),
            _ => Self::Repeated,
        };
    }
}

/// 1*DIGIT that fits; no sign, no list, no white space.
fn parse_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

impl Coding {
    /// RFC 9110 5.6.1: empty members of a list are skipped.
    fn add(&mut self, value: &[u8]) {
        if *self == Self::Absent {
            *self = Self::Empty;
        }
        for member in members(value) {
            *self = self.and(Self::of(member));
        }
    }

    /// One member of the list. Chunked defines no parameters, and RFC 9112 7 calls their presence
    /// an error; `identity` was withdrawn, so that nobody agrees on what it means.
    fn of(member: &[u8]) -> Self {
        let end = member.iter().position(|&byte| byte == b';').unwrap_or(member.len());
        let name = member[..end].trim_ascii_end();
        if name.eq_ignore_ascii_case(b"chunked") {
            return if end == member.len() { Self::Chunked } else { Self::Invalid };
        }
        if name.eq_ignore_ascii_case(b"identity") || !is_token(name) {
            return Self::Invalid;
        }
        Self::Unfinished
    }

    /// A further member: chunked comes once and last, or the length of the body is in doubt.
    fn and(self, next: Self) -> Self {
        match (self, next) {
            (Self::Empty, next) => next,
            (Self::Unfinished, Self::Chunked) => Self::Unknown,
            (Self::Unfinished, Self::Unfinished) => Self::Unfinished,
            _ => Self::Invalid,
        }
    }
}

impl Options {
    /// RFC 9110 7.6.1: option names are case-insensitive.
    fn add(&mut self, value: &[u8]) {
        if value.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
            return;
        }
        for option in members(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// RFC 9112 9.3: close wins; then the version decides.
    fn persistence(self, version: Version) -> Persistence {
        if self.close || (version == Version::Http10 && !self.keep_alive) {
            Persistence::Close
        } else {
            Persistence::Keep
        }
    }
}

impl Expectation {
    fn add(&mut self, value: &[u8]) {
        for member in members(value) {
            let known = member.eq_ignore_ascii_case(b"100-continue");
            *self = match self {
                Self::None | Self::Continue if known => Self::Continue,
                _ => Self::Unknown,
            };
        }
    }
}

/// The members of a comma-separated list that are not empty, without the white space around them.
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim_ows).filter(|member| !member.is_empty())
}
