//! Messages of workers as responses, and what a client is told when there is none.

use ::http::{HeaderValue, header};

use crate::handler::response::Content;
use crate::handler::{IntoResponse, Response, scratch};
use crate::http::Error;
use crate::limits::RESPONSE_MESSAGE_HEAD_BYTES_MAX;
use crate::offload::message::{self, Carriage, DecodeError, ResponseIn};
use crate::offload::payload::Payload;
use crate::offload::region::Mapped;
use crate::offload::slot::Outcome;

/// A response whose body is still where the worker left it.
pub(super) struct Opened {
    pub(super) response: Response,
    pub(super) carriage: Carriage,
    /// Where the body begins.
    pub(super) head_bytes: usize,
}

/// Reads the head of a message of so many bytes. `buffer` is left with the beginning of the
/// message, the whole head at least.
pub(super) fn open(
    world: &Mapped,
    payload: &Payload,
    message_bytes: usize,
    buffer: &mut Vec<u8>,
) -> Result<Opened, DecodeError> {
    if message_bytes > payload.capacity() {
        return Err(DecodeError::MessageBytes);
    }
    copy(world, payload, message_bytes.min(GLANCE_BYTES), buffer);
    let head_bytes = message::head_bytes(buffer, RESPONSE_MESSAGE_HEAD_BYTES_MAX)?;
    if head_bytes > message_bytes {
        return Err(DecodeError::Truncated);
    }
    if head_bytes > buffer.len() {
        copy(world, payload, head_bytes, buffer);
    }
    let opened = ResponseIn::open(buffer)?;
    opened.check_length(message_bytes as u64)?;
    let mut response = Response::new(opened.status);
    response.content_type = opened.read(&mut response.fields)?;
    Ok(Opened { response, carriage: opened.carriage, head_bytes: opened.head_bytes() })
}

/// The body behind a head, copied; `buffer` is as `open` left it.
pub(super) fn copy_body(
    world: &Mapped,
    payload: &Payload,
    (at, end): (usize, usize),
    buffer: &[u8],
) -> Content {
    if at == end {
        return Content::Static(b"");
    }
    let mut body = scratch::take();
    if end <= buffer.len() {
        body.extend_from_slice(&buffer[at..end]);
    } else {
        body.resize(end - at, 0);
        payload.read(world, at, &mut body);
    }
    Content::Buffer(body)
}

fn copy(world: &Mapped, payload: &Payload, bytes: usize, buffer: &mut Vec<u8>) {
    buffer.resize(bytes, 0);
    payload.read(world, 0, buffer);
}

/// What a client is told when its job came to this, which is no answer.
pub(super) fn error_of(outcome: Outcome) -> Error {
    match outcome {
        Outcome::Expired => Error::PoolBusy,
        Outcome::TimedOut => Error::WorkerTimeout,
        Outcome::Answered(_) | Outcome::Broken | Outcome::Cancelled | Outcome::Died { .. } => {
            Error::WorkerLost
        }
    }
}

/// 503, with the time after which it is worth another try.
pub(super) fn busy(retry_after: u32) -> Response {
    Error::PoolBusy.into_response().with(header::RETRY_AFTER, HeaderValue::from(retry_after))
}

/// What is copied at first of a message, in the hope that it has all of the head.
const GLANCE_BYTES: usize = 4 << 10;
