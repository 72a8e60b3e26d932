//! The body of a request while it arrives: counted or chunked (RFC 9112 6 and 7.1).

use memchr::memchr;

use super::grammar::{is_token, is_value_byte};
use super::judge::{Bounds, Scan, SmallScan};
use crate::http::body::BodyLength;
use crate::http::error::Error;
use crate::limits::{
    CHUNK_EXTENSION_BYTES_MAX, CHUNK_LINE_BYTES_MAX, HEADERS_MAX, TRAILER_BYTES_MAX,
};

/// A body that is being received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoder {
    /// Bytes that the head or the chunk sizes so far have announced.
    announced: u64,
    stage: Stage,
    /// Bytes of chunk extensions so far.
    extension_bytes: u32,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Data of a chunk.
    Chunk { left: u64 },
    /// The CRLF behind the data of a chunk.
    ChunkEnd,
    /// A chunk-size line, of which `seen` bytes hold no LF.
    ChunkSize { seen: u16 },
    /// Nothing: the body is complete.
    Complete,
    /// Data of a body whose length was given.
    Counted { left: u64 },
    /// The trailer section.
    Trailers { scan: SmallScan },
}

/// One step of decoding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Piece<'i> {
    Data(&'i [u8]),
    End { trailers: Option<&'i [u8]> },
    NeedInput,
}

impl Decoder {
    /// A body of that length; none if there is none.
    pub(super) fn new(length: BodyLength) -> Option<Self> {
        let (announced, stage) = match length {
            BodyLength::Chunked => (0, Stage::ChunkSize { seen: 0 }),
            BodyLength::Known(length) => (length, Stage::Counted { left: length }),
            BodyLength::None => return None,
        };
        Some(Self { announced, stage, extension_bytes: 0 })
    }

    /// Data bytes received so far.
    pub(super) fn received(&self) -> u64 {
        self.announced - self.left()
    }

    /// What is still to come, if that is known.
    pub(super) fn rest(&self) -> Option<u64> {
        match self.stage {
            Stage::Complete => Some(0),
            Stage::Counted { left } => Some(left),
            _ => None,
        }
    }

    /// Forgets what was received, so that the limit of a discarded rest begins at zero.
    pub(super) fn restart_count(&mut self) {
        self.announced = self.left();
    }

    /// Takes what it can from `input`; returns the bytes consumed and what they were. A chunked
    /// body that announces more than `bytes_max` is refused.
    pub(super) fn decode<'i>(
        &mut self,
        input: &'i [u8],
        bytes_max: u64,
    ) -> Result<(usize, Piece<'i>), Error> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self.stage {
                Stage::Complete => return Ok((at, Piece::End { trailers: None })),
                Stage::Counted { left } => {
                    let (data, left) = take(rest, left);
                    if data.is_empty() {
                        return Ok((at, Piece::NeedInput));
                    }
                    self.stage = if left == 0 { Stage::Complete } else { Stage::Counted { left } };
                    return Ok((at + data.len(), Piece::Data(data)));
                }
                Stage::Chunk { left } => {
                    let (data, left) = take(rest, left);
                    if data.is_empty() {
                        return Ok((at, Piece::NeedInput));
                    }
                    self.stage = if left == 0 { Stage::ChunkEnd } else { Stage::Chunk { left } };
                    return Ok((at + data.len(), Piece::Data(data)));
                }
                Stage::ChunkEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        at += 2;
                        self.stage = Stage::ChunkSize { seen: 0 };
                    }
                    [] | [b'\r'] => return Ok((at, Piece::NeedInput)),
                    _ => return Err(Error::ChunkEndInvalid),
                },
                Stage::ChunkSize { seen } => match self.chunk_line(rest, seen, bytes_max)? {
                    Some(length) => at += length,
                    None => return Ok((at, Piece::NeedInput)),
                },
                Stage::Trailers { scan } => {
                    let mut scan = Scan::from(scan);
                    let length = scan
                        .section(rest, TRAILER_BOUNDS, judge_trailer)
                        .map_err(as_trailer_error)?;
                    let Some(length) = length else {
                        self.stage = Stage::Trailers { scan: scan.into() };
                        return Ok((at, Piece::NeedInput));
                    };
                    self.stage = Stage::Complete;
                    let trailers = (length > 2).then(|| &rest[..length - 2]);
                    return Ok((at + length, Piece::End { trailers }));
                }
            }
        }
    }

    /// Reads a chunk-size line; its length once it is complete.
    fn chunk_line(
        &mut self,
        input: &[u8],
        seen: u16,
        bytes_max: u64,
    ) -> Result<Option<usize>, Error> {
        // The one thing that is judged before the line is complete: junk where a chunk should
        // begin is answered at once.
        if input.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) {
            return Err(Error::ChunkInvalid);
        }
        let end = input.len().min(CHUNK_LINE_BYTES_MAX + 2);
        let from = usize::from(seen).min(end);
        let Some(length) = memchr(b'\n', &input[from..end]).map(|offset| from + offset) else {
            if end == CHUNK_LINE_BYTES_MAX + 2 {
                return Err(Error::ChunkLineTooLong);
            }
            self.stage = Stage::ChunkSize { seen: end as u16 };
            return Ok(None);
        };
        let line = input[..length].strip_suffix(b"\r").ok_or(Error::BareLineFeed)?;
        let (size, digits) = parse_chunk_size(line)?;
        self.take_extensions(&line[digits..])?;
        self.announced = self.announced.checked_add(size).ok_or(Error::BodyTooLarge)?;
        if self.announced > bytes_max {
            return Err(Error::BodyTooLarge);
        }
        self.stage = match size {
            0 => Stage::Trailers { scan: SmallScan::default() },
            left => Stage::Chunk { left },
        };
        Ok(Some(length + 1))
    }

    fn take_extensions(&mut self, extensions: &[u8]) -> Result<(), Error> {
        if extensions.is_empty() {
            return Ok(());
        }
        // A line is at most CHUNK_LINE_BYTES_MAX long, and the sum stops just above its bound.
        self.extension_bytes += extensions.len() as u32;
        if self.extension_bytes > CHUNK_EXTENSION_BYTES_MAX {
            return Err(Error::ChunkExtensionsTooLarge);
        }
        if are_extensions(extensions) { Ok(()) } else { Err(Error::ChunkInvalid) }
    }

    fn left(&self) -> u64 {
        match self.stage {
            Stage::Chunk { left } | Stage::Counted { left } => left,
            _ => 0,
        }
    }
}

fn take(input: &[u8], left: u64) -> (&[u8], u64) {
    let length = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
    (&input[..length], left - length as u64)
}

/// 1 to 16 hexadecimal digits, which cannot overflow; their value and number.
fn parse_chunk_size(line: &[u8]) -> Result<(u64, usize), Error> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits == 0 || digits > 16 {
        return Err(Error::ChunkInvalid);
    }
    let size = line[..digits].iter().fold(0, |size, &byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            _ => (byte | 0x20) - b'a' + 10,
        };
        size << 4 | u64::from(digit)
    });
    Ok((size, digits))
}

/// RFC 9112 7.1.1: `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )`. Their
/// meaning is nobody's business, but a line that is not understood may hide another framing.
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(after) = skip_blank(rest).strip_prefix(b";") else { return false };
        let Some(after) = skip_token(skip_blank(after)) else { return false };
        rest = after;
        if let Some(value) = skip_blank(after).strip_prefix(b"=") {
            let value = skip_blank(value);
            let skipped =
                if value.starts_with(b"\"") { skip_quoted(value) } else { skip_token(value) };
            let Some(after) = skipped else { return false };
            rest = after;
        }
    }
    true
}

fn skip_blank(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

fn skip_token(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.iter().take_while(|&byte| is_token(&[*byte])).count();
    (length > 0).then(|| &bytes[length..])
}

/// RFC 9110 5.6.4.
fn skip_quoted(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            b'"' => return Some(&bytes[at + 1..]),
            b'\\' if is_value_byte(*bytes.get(at + 1)?) => at += 2,
            byte if byte != b'\\' && is_value_byte(byte) => at += 1,
            _ => return None,
        }
    }
}

/// RFC 9110 6.5.1: fields that frame or route have no place in a trailer section. The others are
/// handed on apart from the head, so that they cannot pass for it.
fn judge_trailer(name: &[u8]) -> Result<(), Error> {
    let forbidden = [&b"content-length"[..], b"transfer-encoding", b"host", b"trailer"];
    if forbidden.iter().any(|other| name.eq_ignore_ascii_case(other)) {
        return Err(Error::TrailerForbidden);
    }
    Ok(())
}

fn as_trailer_error(error: Error) -> Error {
    match error {
        Error::FieldsTooLarge | Error::TooManyFields => Error::TrailersTooLarge,
        other => other,
    }
}

/// The bounds of a trailer section. The number of its lines has no setting of its own.
const TRAILER_BOUNDS: Bounds =
    Bounds { line_bytes: 0, section_bytes: TRAILER_BYTES_MAX, fields: HEADERS_MAX as u16 };
