//! A request and a response as bytes: what a shard writes for a worker, and the worker's answer.
//!
//! A message is a head with the body behind it. Where its bytes lie is `payload`'s. All numbers
//! are little-endian; whatever a decoder reads may have been written by a broken process, so each
//! length is checked before it is used, and each text is judged again.
//!
//! ```text
//! request head                             response head
//!  0 u8  format                             0 u8  format
//!  1 u8  HTTP/1.x                           1 u8  kind of the body
//!  2 u8  kind of the body                   2 u16 status
//!  3 u8  method: bytes                      4 u32 head: bytes
//!  4 u32 head: bytes                        8 u64 body: bytes
//!  8 u64 body: bytes                       16 u16 fields
//! 16 u64 deadline: nanoseconds             18 u16 zero
//! 24 u32 target: bytes                     20 fields
//! 28 u16 route
//! 30 u16 path parameters: values           a value:  u32 bytes, text
//! 32 u16 fields                            a field:  u32 name: bytes, u32 value: bytes,
//! 34 u16 zero                                        name, value
//! 36 method, target, values, fields        trailers: u8 format, u8 zero, u16 fields, fields
//! ```
//!
//! The kind of a body is 0: all of it follows, as long as it says; 1: it comes in chunks that are
//! so many bytes together; 2: it comes in chunks, their length is not known and reads as 0.

#[cfg(test)]
mod tests;

use std::fmt;
use std::rc::Rc;

use ::http::StatusCode;
use ::http::header::{self, HeaderName, HeaderValue};

use super::chunks::{
    REQUEST_OPENING_EXTENTS_MAX, RESPONSE_OPENING_EXTENTS_MAX, TRAILER_PIECE_BYTES_MAX,
};
use super::layout::BLOCK_BYTES;
use super::payload::Writer;
use super::world::World;
use crate::http::{BodyLength, Error, Head, Params, ResponseHead, Time, Version};
use crate::limits::{
    HEADERS_MAX, METHOD_BYTES_MAX, REQUEST_MESSAGE_HEAD_BYTES_MAX, RESPONSE_FIELDS_MAX,
    RESPONSE_MESSAGE_HEAD_BYTES_MAX, TRAILER_BYTES_MAX,
};

/// Where an encoder puts what it writes, piece by piece and in order.
pub trait Sink {
    /// Appends `bytes`.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl<W: World> Sink for Writer<'_, W> {
    fn put(&mut self, bytes: &[u8]) {
        Writer::put(self, bytes);
    }
}

/// The route that a request took: its place in the table that shard and worker both hold.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct RouteId(pub u16);

/// The route of a request, from the first bytes of its message: for who wants to know no more.
/// `None` if they are not those of a request.
#[must_use]
pub fn route_of(beginning: &[u8; REQUEST_PREFIX_BYTES]) -> Option<RouteId> {
    let [format, ..] = beginning;
    (*format == FORMAT).then(|| RouteId(u16::from_le_bytes([beginning[28], beginning[29]])))
}

/// How a body is carried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Carriage {
    /// All of it follows the head: so many bytes, 0 without a body.
    Whole(u64),
    /// It comes in chunks. So many bytes, if that is known.
    Chunks(Option<u64>),
}

impl Carriage {
    /// How many bytes follow the head in the same message.
    #[must_use]
    pub const fn following_bytes(self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Chunks(_) => 0,
        }
    }

    const fn encode(self) -> (u8, u64) {
        match self {
            Self::Whole(bytes) => (0, bytes),
            Self::Chunks(Some(bytes)) => (1, bytes),
            Self::Chunks(None) => (2, 0),
        }
    }

    const fn decode(kind: u8, bytes: u64) -> Result<Self, DecodeError> {
        match (kind, bytes) {
            (0, _) => Ok(Self::Whole(bytes)),
            (1, _) => Ok(Self::Chunks(Some(bytes))),
            (2, 0) => Ok(Self::Chunks(None)),
            _ => Err(DecodeError::Carriage),
        }
    }

    const fn body_length(self) -> BodyLength {
        match self {
            Self::Whole(0) => BodyLength::None,
            Self::Whole(bytes) | Self::Chunks(Some(bytes)) => BodyLength::Known(bytes),
            Self::Chunks(None) => BodyLength::Chunked,
        }
    }
}

/// A head that does not fit its bound: 431 for a request, 500 for a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Oversize {
    /// More fields than are carried.
    Fields,
    /// More bytes than are carried.
    HeadBytes,
    /// A method longer than any that is known.
    Method,
    /// More path parameters than are carried.
    Parameters,
}

impl fmt::Display for Oversize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fields => "the head has more fields than a worker is given or may give",
            Self::HeadBytes => "the head has more bytes than a worker is given or may give",
            Self::Method => "the method is longer than any that is known",
            Self::Parameters => "the route has more parameters than a worker is given",
        })
    }
}

impl std::error::Error for Oversize {}

/// Why bytes are no message: the writer is broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DecodeError {
    /// Bytes are left over where the parts of the head end.
    Excess,
    /// No such kind of body, or a length where there is none.
    Carriage,
    /// Written by another version of the format.
    Format,
    /// The head says it is longer than any head.
    HeadBytes,
    /// A part of the head that a request may not have either.
    Judged(Error),
    /// The message is longer or shorter than head and body together.
    MessageBytes,
    /// A field name that is none.
    Name,
    /// Bytes that must be zero are not.
    Padding,
    /// Not the number of parameters that the route has.
    Parameters,
    /// Not a final status.
    Status,
    /// Text that is not UTF-8.
    Text,
    /// More fields than any head has.
    TooManyFields,
    /// The bytes end before the head does.
    Truncated,
    /// A field value that is none.
    Value,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Excess => "the head is longer than its parts",
            Self::Carriage => "no such kind of body",
            Self::Format => "the message has another format",
            Self::HeadBytes => "the head is longer than any may be",
            Self::Judged(error) => return write!(f, "the head is invalid: {error}"),
            Self::MessageBytes => "the message is not as long as it says",
            Self::Name => "a field name is invalid",
            Self::Padding => "bytes that must be zero are not",
            Self::Parameters => "the route has another number of parameters",
            Self::Status => "the status is not a final one",
            Self::Text => "text is not UTF-8",
            Self::TooManyFields => "the head has more fields than any may have",
            Self::Truncated => "the message ends within its head",
            Self::Value => "a field value is invalid",
        })
    }
}

impl std::error::Error for DecodeError {}

impl From<Error> for DecodeError {
    fn from(error: Error) -> Self {
        Self::Judged(error)
    }
}

/// A request that is going to be written, without its body.
#[derive(Clone, Copy, Debug)]
pub struct RequestOut<'a> {
    parts: RequestParts<'a>,
    head_bytes: u32,
}

/// What a request is made of.
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'a> {
    /// Method, target, fields.
    pub head: &'a Head,
    /// What the route's pattern took out of the path.
    pub params: &'a Params,
    /// The route.
    pub route: RouteId,
    /// How the body is carried.
    pub carriage: Carriage,
    /// When the whole request must be answered. A stream outlives it: the slot's word then counts.
    pub deadline: Time,
}

impl<'a> RequestOut<'a> {
    /// Measures the request.
    ///
    /// # Errors
    /// [`Oversize`] if a worker is not given such a head.
    pub fn new(parts: RequestParts<'a>) -> Result<Self, Oversize> {
        let RequestParts { head, params, .. } = parts;
        if head.method().as_str().len() > METHOD_BYTES_MAX {
            return Err(Oversize::Method);
        }
        if params.len() > usize::from(u16::MAX) {
            return Err(Oversize::Parameters);
        }
        if head.field_lines().count() > HEADERS_MAX {
            return Err(Oversize::Fields);
        }
        let values: usize = params.values(head.path()).map(|value| 4 + value.len()).sum();
        let fields: usize =
            head.field_lines().map(|(name, value)| field_bytes(name.len(), value.len())).sum();
        let line = head.method().as_str().len() + head.target().len();
        let head_bytes = REQUEST_PREFIX_BYTES + line + values + fields;
        if head_bytes > REQUEST_MESSAGE_HEAD_BYTES_MAX {
            return Err(Oversize::HeadBytes);
        }
        Ok(Self { parts, head_bytes: head_bytes as u32 })
    }

    /// How many bytes [`RequestOut::encode`] writes.
    #[must_use]
    pub const fn head_bytes(&self) -> usize {
        self.head_bytes as usize
    }

    /// Writes the head; the body goes behind it.
    pub fn encode(&self, sink: &mut impl Sink) {
        let RequestParts { head, params, .. } = self.parts;
        sink.put(&self.prefix());
        sink.put(head.method().as_str().as_bytes());
        sink.put(head.target().as_bytes());
        for value in params.values(head.path()) {
            sink.put(&(value.len() as u32).to_le_bytes());
            sink.put(value.as_bytes());
        }
        for (name, value) in head.field_lines() {
            put_field(sink, name, value);
        }
    }

    fn prefix(&self) -> [u8; REQUEST_PREFIX_BYTES] {
        let RequestParts { head, params, route, carriage, deadline } = self.parts;
        let (kind, body_bytes) = carriage.encode();
        let minor = u8::from(head.version() == Version::Http11);
        let mut prefix = Prefix::new();
        prefix.put(&[FORMAT, minor, kind, head.method().as_str().len() as u8]);
        prefix.put(&self.head_bytes.to_le_bytes());
        prefix.put(&body_bytes.to_le_bytes());
        prefix.put(&deadline.as_nanos().to_le_bytes());
        prefix.put(&(head.target().len() as u32).to_le_bytes());
        prefix.put(&route.0.to_le_bytes());
        prefix.put(&(params.len() as u16).to_le_bytes());
        prefix.put(&(head.field_lines().count() as u16).to_le_bytes());
        prefix.put(&[0, 0]);
        prefix.finish()
    }
}

/// A request that was opened: its route and its lengths are known, its head is still bytes.
#[derive(Clone, Copy, Debug)]
pub struct RequestIn<'a> {
    /// The route that the shard found.
    pub route: RouteId,
    /// How the body is carried.
    pub carriage: Carriage,
    /// When the whole request must be answered.
    pub deadline: Time,
    version: Version,
    method: &'a str,
    target: &'a str,
    params: u16,
    fields: u16,
    /// Values and fields.
    rest: Reader<'a>,
    head_bytes: usize,
}

impl<'a> RequestIn<'a> {
    /// Opens a message of which at least the head is there.
    ///
    /// # Errors
    /// [`DecodeError`] if it does not begin with a request head.
    pub fn open(message: &'a [u8]) -> Result<Self, DecodeError> {
        let head_bytes = head_bytes(message, REQUEST_MESSAGE_HEAD_BYTES_MAX)?;
        let mut reader = Reader(message.get(..head_bytes).ok_or(DecodeError::Truncated)?);
        let [_format, minor, kind, method_bytes] = reader.array()?;
        let _head_bytes = reader.u32()?;
        let carriage = Carriage::decode(kind, reader.u64()?)?;
        let deadline = Time::from_nanos(reader.u64()?);
        let target_bytes = reader.u32()?;
        let route = RouteId(reader.u16()?);
        let (params, fields) = (reader.u16()?, reader.u16()?);
        reader.zero()?;
        let version = match minor {
            0 => Version::Http10,
            1 => Version::Http11,
            _ => return Err(Error::VersionInvalid.into()),
        };
        let method = reader.text(u32::from(method_bytes))?;
        let target = reader.text(target_bytes)?;
        let rest = reader;
        Ok(Self {
            route,
            carriage,
            deadline,
            version,
            method,
            target,
            params,
            fields,
            rest,
            head_bytes,
        })
    }

    /// Where the body begins.
    #[must_use]
    pub const fn head_bytes(&self) -> usize {
        self.head_bytes
    }

    /// Compares the length of the whole message with what the head says.
    ///
    /// # Errors
    /// [`DecodeError::MessageBytes`] if they differ.
    pub const fn check_length(&self, message_bytes: u64) -> Result<(), DecodeError> {
        check_length(self.head_bytes, self.carriage, message_bytes)
    }

    /// Takes the head apart into `head` and `params`, which keep their buffers; `names` are those
    /// of the route's parameters.
    ///
    /// # Errors
    /// [`DecodeError`] if something in the head is not what a shard writes. What was filled in is
    /// void then.
    pub fn read(
        &self,
        names: &Rc<[Box<str>]>,
        head: &mut Head,
        params: &mut Params,
    ) -> Result<(), DecodeError> {
        head.restore(self.method, self.version, self.target, self.carriage.body_length())?;
        if usize::from(self.params) != names.len() {
            return Err(DecodeError::Parameters);
        }
        params.begin(names);
        let mut reader = self.rest;
        for _ in 0..self.params {
            let bytes = reader.u32()?;
            params.push_decoded(reader.text(bytes)?);
        }
        for _ in 0..self.fields {
            let (name, value) = reader.field()?;
            head.restore_field(name, value)?;
        }
        reader.end()
    }
}

/// A response that is going to be written, without its body.
#[derive(Clone, Copy, Debug)]
pub struct ResponseOut<'a> {
    head: ResponseHead<'a>,
    carriage: Carriage,
    fields: u16,
    head_bytes: u32,
}

impl<'a> ResponseOut<'a> {
    /// Measures the response.
    ///
    /// # Errors
    /// [`Oversize`] if a worker may not give such a head.
    pub fn new(head: ResponseHead<'a>, carriage: Carriage) -> Result<Self, Oversize> {
        let fields = fields_of(&head).count();
        if fields > RESPONSE_FIELDS_MAX {
            return Err(Oversize::Fields);
        }
        let head_bytes = RESPONSE_PREFIX_BYTES + fields_of(&head).map(measure).sum::<usize>();
        if head_bytes > RESPONSE_MESSAGE_HEAD_BYTES_MAX {
            return Err(Oversize::HeadBytes);
        }
        Ok(Self { head, carriage, fields: fields as u16, head_bytes: head_bytes as u32 })
    }

    /// How many bytes [`ResponseOut::encode`] writes.
    #[must_use]
    pub const fn head_bytes(&self) -> usize {
        self.head_bytes as usize
    }

    /// Writes the head; the body goes behind it.
    pub fn encode(&self, sink: &mut impl Sink) {
        let (kind, body_bytes) = self.carriage.encode();
        let mut prefix = Prefix::<RESPONSE_PREFIX_BYTES>::new();
        prefix.put(&[FORMAT, kind]);
        prefix.put(&self.head.status.as_u16().to_le_bytes());
        prefix.put(&self.head_bytes.to_le_bytes());
        prefix.put(&body_bytes.to_le_bytes());
        prefix.put(&self.fields.to_le_bytes());
        prefix.put(&[0, 0]);
        sink.put(&prefix.finish());
        for (name, value) in fields_of(&self.head) {
            put_field(sink, name.as_str().as_bytes(), value.as_bytes());
        }
    }
}

/// All fields of a response; its Content-Type goes first.
fn fields_of<'a>(
    head: &ResponseHead<'a>,
) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
    let content_type = head.content_type.map(|value| (&header::CONTENT_TYPE, value));
    content_type.into_iter().chain(head.fields.iter().map(|(name, value)| (name, value)))
}

fn measure((name, value): (&HeaderName, &HeaderValue)) -> usize {
    field_bytes(name.as_str().len(), value.len())
}

/// A response that was opened: its status and its lengths are known, its fields are still bytes.
#[derive(Clone, Copy, Debug)]
pub struct ResponseIn<'a> {
    /// A final status.
    pub status: StatusCode,
    /// How the body is carried.
    pub carriage: Carriage,
    fields: u16,
    rest: Reader<'a>,
    head_bytes: usize,
}

impl<'a> ResponseIn<'a> {
    /// Opens a message of which at least the head is there.
    ///
    /// # Errors
    /// [`DecodeError`] if it does not begin with a response head.
    pub fn open(message: &'a [u8]) -> Result<Self, DecodeError> {
        let head_bytes = head_bytes(message, RESPONSE_MESSAGE_HEAD_BYTES_MAX)?;
        let mut reader = Reader(message.get(..head_bytes).ok_or(DecodeError::Truncated)?);
        let [_format, kind] = reader.array()?;
        let status = reader.u16()?;
        let _head_bytes = reader.u32()?;
        let carriage = Carriage::decode(kind, reader.u64()?)?;
        let fields = reader.u16()?;
        reader.zero()?;
        let status = StatusCode::from_u16(status).map_err(|_| DecodeError::Status)?;
        if status.is_informational() {
            return Err(DecodeError::Status);
        }
        Ok(Self { status, carriage, fields, rest: reader, head_bytes })
    }

    /// Where the body begins.
    #[must_use]
    pub const fn head_bytes(&self) -> usize {
        self.head_bytes
    }

    /// Compares the length of the whole message with what the head says.
    ///
    /// # Errors
    /// [`DecodeError::MessageBytes`] if they differ.
    pub const fn check_length(&self, message_bytes: u64) -> Result<(), DecodeError> {
        check_length(self.head_bytes, self.carriage, message_bytes)
    }

    /// Appends the fields to `fields`; the first Content-Type is returned apart from them.
    ///
    /// # Errors
    /// [`DecodeError`] if something in the head is not what a worker of ours writes. What was
    /// appended is void then.
    pub fn read(&self, fields: &mut Fields) -> Result<Option<HeaderValue>, DecodeError> {
        let mut reader = self.rest;
        let mut content_type = None;
        if usize::from(self.fields) > RESPONSE_FIELDS_MAX {
            return Err(DecodeError::TooManyFields);
        }
        for _ in 0..self.fields {
            let (name, value) = reader.judged_field()?;
            if content_type.is_none() && name == header::CONTENT_TYPE {
                content_type = Some(value);
            } else {
                fields.push((name, value));
            }
        }
        reader.end()?;
        Ok(content_type)
    }
}

/// Fields as they are carried in responses and trailers.
pub type Fields = Vec<(HeaderName, HeaderValue)>;

/// Writes the trailer fields of a body that ends.
///
/// # Errors
/// [`Oversize`] if they are more than any body may end with; nothing was written then.
pub fn encode_trailers(
    trailers: &[(HeaderName, HeaderValue)],
    sink: &mut impl Sink,
) -> Result<(), Oversize> {
    if trailers.len() > HEADERS_MAX {
        return Err(Oversize::Fields);
    }
    let bytes: usize = trailers.iter().map(|(name, value)| measure((name, value))).sum();
    if bytes > TRAILER_BYTES_MAX {
        return Err(Oversize::HeadBytes);
    }
    sink.put(&[FORMAT, 0]);
    sink.put(&(trailers.len() as u16).to_le_bytes());
    for (name, value) in trailers {
        put_field(sink, name.as_str().as_bytes(), value.as_bytes());
    }
    Ok(())
}

/// Reads the trailer fields of a body that ended.
///
/// # Errors
/// [`DecodeError`] if the bytes are not what [`encode_trailers`] writes.
pub fn decode_trailers(bytes: &[u8]) -> Result<Fields, DecodeError> {
    if bytes.len() > TRAILERS_BYTES_MAX {
        return Err(DecodeError::HeadBytes);
    }
    let mut reader = Reader(bytes);
    match reader.array()? {
        [FORMAT, 0] => {}
        [FORMAT, _] => return Err(DecodeError::Padding),
        _ => return Err(DecodeError::Format),
    }
    let count = reader.u16()?;
    if usize::from(count) > HEADERS_MAX {
        return Err(DecodeError::TooManyFields);
    }
    let fields = (0..count).map(|_| reader.judged_field()).collect::<Result<Fields, _>>()?;
    reader.end()?;
    Ok(fields)
}

/// The length of the head that `message` begins with; eight bytes are enough to know it.
///
/// # Errors
/// [`DecodeError`] if it is another format or longer than `bytes_max`.
pub fn head_bytes(message: &[u8], bytes_max: usize) -> Result<usize, DecodeError> {
    let mut reader = Reader(message);
    let [format, ..] = reader.array::<4>()?;
    if format != FORMAT {
        return Err(DecodeError::Format);
    }
    match reader.u32()? as usize {
        bytes if bytes > bytes_max => Err(DecodeError::HeadBytes),
        bytes => Ok(bytes),
    }
}

const fn check_length(
    head_bytes: usize,
    carriage: Carriage,
    message_bytes: u64,
) -> Result<(), DecodeError> {
    match (head_bytes as u64).checked_add(carriage.following_bytes()) {
        Some(expected) if expected == message_bytes => Ok(()),
        _ => Err(DecodeError::MessageBytes),
    }
}

const fn field_bytes(name_bytes: usize, value_bytes: usize) -> usize {
    FIELD_PREFIX_BYTES + name_bytes + value_bytes
}

fn put_field(sink: &mut impl Sink, name: &[u8], value: &[u8]) {
    let mut prefix = Prefix::<FIELD_PREFIX_BYTES>::new();
    prefix.put(&(name.len() as u32).to_le_bytes());
    prefix.put(&(value.len() as u32).to_le_bytes());
    sink.put(&prefix.finish());
    sink.put(name);
    sink.put(value);
}

/// The fixed part of something, as it is being put together.
struct Prefix<const BYTES: usize> {
    bytes: [u8; BYTES],
    filled: usize,
}

impl<const BYTES: usize> Prefix<BYTES> {
    const fn new() -> Self {
        Self { bytes: [0; BYTES], filled: 0 }
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.filled + bytes.len();
        self.bytes[self.filled..end].copy_from_slice(bytes);
        self.filled = end;
    }

    fn finish(self) -> [u8; BYTES] {
        debug_assert_eq!(self.filled, BYTES, "a fixed part has its length");
        self.bytes
    }
}

/// Bytes that are read from the front, never past their end.
#[derive(Clone, Copy, Debug)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: u32) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) =
            self.0.split_at_checked(bytes as usize).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    fn zero(&mut self) -> Result<(), DecodeError> {
        if self.u16()? == 0 { Ok(()) } else { Err(DecodeError::Padding) }
    }

    fn text(&mut self, bytes: u32) -> Result<&'a str, DecodeError> {
        str::from_utf8(self.take(bytes)?).map_err(|_| DecodeError::Text)
    }

    fn field(&mut self) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
        let (name_bytes, value_bytes) = (self.u32()?, self.u32()?);
        Ok((self.take(name_bytes)?, self.take(value_bytes)?))
    }

    fn judged_field(&mut self) -> Result<(HeaderName, HeaderValue), DecodeError> {
        let (name, value) = self.field()?;
        let name = HeaderName::from_bytes(name).map_err(|_| DecodeError::Name)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| DecodeError::Value)?;
        Ok((name, value))
    }

    fn end(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Excess) }
    }
}

/// The version of this format, the first byte of every message.
const FORMAT: u8 = 1;
/// What stands before the method of a request.
pub const REQUEST_PREFIX_BYTES: usize = 36;
const RESPONSE_PREFIX_BYTES: usize = 20;
const FIELD_PREFIX_BYTES: usize = 8;
/// Trailers in all: the bound is on the fields.
pub const TRAILERS_BYTES_MAX: usize = 4 + TRAILER_BYTES_MAX;

const _: () = {
    assert!(METHOD_BYTES_MAX <= u8::MAX as usize);
    assert!(REQUEST_MESSAGE_HEAD_BYTES_MAX <= u32::MAX as usize);
    assert!(RESPONSE_MESSAGE_HEAD_BYTES_MAX <= u32::MAX as usize);
    assert!(RESPONSE_FIELDS_MAX <= u16::MAX as usize);
    // What may be carried fits where it is carried.
    assert!(TRAILERS_BYTES_MAX <= TRAILER_PIECE_BYTES_MAX as usize);
    let block = BLOCK_BYTES as usize;
    assert!(REQUEST_MESSAGE_HEAD_BYTES_MAX <= REQUEST_OPENING_EXTENTS_MAX * block);
    assert!(RESPONSE_MESSAGE_HEAD_BYTES_MAX <= RESPONSE_OPENING_EXTENTS_MAX * block);
};
