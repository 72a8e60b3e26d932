//! Bodies in motion: a bounded channel of byte chunks between two parties on one thread.
//!
//! The shard is one party of every such channel (it writes request bodies and reads response
//! bodies), a handler's future the other; an echo route has the shard at both ends. A future is
//! woken by its waker, the shard by its [`Notify`]. Back-pressure is the channel's capacity in
//! bytes: a writer that finds it used up waits.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ::http::{HeaderName, HeaderValue};
use bytes::Bytes;

use crate::http::Error;

/// How the shard wants to hear about progress. Called on the shard's thread, possibly from inside
/// a handler's poll; must only note the fact.
pub trait Notify {
    /// Something happened at the other end.
    fn notify(&self);
}

/// Why a body ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The other end went away or gave up in the middle.
    Cut,
    /// The peer's bytes were not a valid body; it gets the matching status.
    Invalid(Error),
    /// More than the reader was ready to take.
    TooLarge,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("the body ended early"),
            Self::Invalid(error) => write!(f, "invalid body: {error}"),
            Self::TooLarge => f.write_str("the body is larger than the handler takes"),
        }
    }
}

impl std::error::Error for BodyError {}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Cut => Self::BodyIncomplete,
            BodyError::Invalid(error) => error,
            BodyError::TooLarge => Self::BodyTooLarge,
        }
    }
}

/// The reader of a stream has left: whatever else is sent is for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client has gone")
    }
}

impl std::error::Error for Gone {}

/// Trailer fields of a body.
pub type Trailers = Vec<(HeaderName, HeaderValue)>;

/// How far a channel is.
enum Flow {
    /// More may come.
    Open,
    /// Complete; what is queued is the rest.
    Ended(Trailers),
    /// Broken; what is queued is void.
    Failed(BodyError),
}

/// Who waits for the other end.
enum Waiter {
    Nobody,
    Task(Waker),
    Shard(Rc<dyn Notify>),
}

impl Waiter {
    fn wake(&mut self) {
        match self {
            Self::Nobody => {}
            Self::Shard(notify) => notify.notify(),
            Self::Task(_) => {
                if let Self::Task(waker) = std::mem::replace(self, Self::Nobody) {
                    waker.wake();
                }
            }
        }
    }

    fn wait(&mut self, cx: &Context<'_>) {
        match self {
            Self::Task(waker) if waker.will_wake(cx.waker()) => {}
            _ => *self = Self::Task(cx.waker().clone()),
        }
    }
}

struct Channel {
    chunks: VecDeque<Bytes>,
    queued_bytes: usize,
    capacity_bytes: usize,
    flow: Flow,
    reader: Waiter,
    writer: Waiter,
    reader_alive: bool,
    /// Whether the reader has ever found nothing to read.
    wanted: bool,
    writers: usize,
    /// Bytes that have not been read yet, if the total is known beforehand.
    length: Option<u64>,
}

impl Channel {
    fn push(&mut self, chunk: Bytes) {
        self.queued_bytes += cost(&chunk);
        self.chunks.push_back(chunk);
        self.reader.wake();
    }

    fn pop(&mut self) -> Option<Bytes> {
        if matches!(self.flow, Flow::Failed(_)) {
            return None;
        }
        let chunk = self.chunks.pop_front()?;
        let was_full = self.queued_bytes >= self.capacity_bytes;
        self.queued_bytes -= cost(&chunk);
        self.length = self.length.map(|length| length.saturating_sub(chunk.len() as u64));
        if was_full && self.queued_bytes < self.capacity_bytes {
            self.writer.wake();
        }
        Some(chunk)
    }

    /// The reader came and found nothing: a peer that waits for `100 Continue` may be told.
    fn want(&mut self) {
        if !self.wanted {
            self.wanted = true;
            self.writer.wake();
        }
    }

    fn end(&mut self, flow: Flow) {
        if matches!(self.flow, Flow::Open) {
            self.flow = flow;
            self.reader.wake();
        }
    }
}

/// What a chunk takes of a channel's capacity: its bytes, and what it costs us to keep it, so that
/// many tiny ones are no way around the bound.
fn cost(chunk: &Bytes) -> usize {
    chunk.len() + CHUNK_COST_BYTES
}

/// A chunk in a queue, and its allocation.
const CHUNK_COST_BYTES: usize = 64;

/// A channel that holds `capacity_bytes` before its writer has to wait.
pub fn channel(capacity_bytes: usize) -> (Sender, Body) {
    let channel = Rc::new(RefCell::new(Channel {
        chunks: VecDeque::new(),
        queued_bytes: 0,
        capacity_bytes,
        flow: Flow::Open,
        reader: Waiter::Nobody,
        writer: Waiter::Nobody,
        reader_alive: true,
        wanted: false,
        writers: 1,
        length: None,
    }));
    (
        Sender { channel: Rc::clone(&channel) },
        Body { front: Bytes::new(), inner: Inner::Channel(channel) },
    )
}

/// The writing end of a streamed body. Clones write to the same body; it ends when the last one
/// is dropped, or with [`Sender::finish`].
pub struct Sender {
    channel: Rc<RefCell<Channel>>,
}

impl Sender {
    /// Send one chunk; waits while the client is behind by more than the channel's capacity.
    ///
    /// # Errors
    /// [`Gone`] when the client has left.
    pub async fn send(&self, chunk: impl Into<Bytes>) -> Result<(), Gone> {
        self.ready().await?;
        self.push(chunk.into())
    }

    /// Wait until there is room for another chunk.
    ///
    /// # Errors
    /// [`Gone`] when the client has left.
    pub async fn ready(&self) -> Result<(), Gone> {
        poll_fn(|cx| {
            let mut channel = self.channel.borrow_mut();
            if !channel.reader_alive {
                return Poll::Ready(Err(Gone));
            }
            if channel.queued_bytes < channel.capacity_bytes {
                return Poll::Ready(Ok(()));
            }
            channel.writer.wait(cx);
            Poll::Pending
        })
        .await
    }

    /// Queue a chunk without waiting; the shard bounds what it pushes by [`Sender::is_full`].
    ///
    /// # Errors
    /// [`Gone`] when the reader has left.
    pub fn push(&self, chunk: Bytes) -> Result<(), Gone> {
        let mut channel = self.channel.borrow_mut();
        if !channel.reader_alive {
            return Err(Gone);
        }
        if !chunk.is_empty() {
            channel.push(chunk);
        }
        Ok(())
    }

    /// Whether a writer should wait.
    pub fn is_full(&self) -> bool {
        let channel = self.channel.borrow();
        channel.reader_alive && channel.queued_bytes >= channel.capacity_bytes
    }

    /// Whether the reader has waited for bytes.
    pub fn is_wanted(&self) -> bool {
        self.channel.borrow().wanted
    }

    /// Whether nobody reads any more.
    pub fn is_gone(&self) -> bool {
        !self.channel.borrow().reader_alive
    }

    /// Announce the body's length, if it is known.
    pub fn set_length(&self, length: u64) {
        self.channel.borrow_mut().length = Some(length);
    }

    /// End the body, with trailer fields if there are any.
    pub fn finish(self, trailers: Trailers) {
        self.channel.borrow_mut().end(Flow::Ended(trailers));
    }

    /// End the body as broken: the client sees a cut connection, never a short body.
    pub fn fail(self, error: BodyError) {
        self.channel.borrow_mut().end(Flow::Failed(error));
    }

    /// Whom to tell when a full channel has room again.
    pub fn notify_with(&self, notify: Rc<dyn Notify>) {
        self.channel.borrow_mut().writer = Waiter::Shard(notify);
    }
}

impl Clone for Sender {
    fn clone(&self) -> Self {
        self.channel.borrow_mut().writers += 1;
        Self { channel: Rc::clone(&self.channel) }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut channel = self.channel.borrow_mut();
        channel.writers -= 1;
        if std::thread::panicking() {
            // A producer that panics has not said all it had to say.
            channel.end(Flow::Failed(BodyError::Cut));
        } else if channel.writers == 0 {
            channel.end(Flow::Ended(Trailers::new()));
        }
    }
}

/// The reading end of a body: what arrives, chunk by chunk.
pub struct Body {
    /// Read ahead by [`Body::gather`].
    front: Bytes,
    inner: Inner,
}

enum Inner {
    /// All of it, here already.
    Full(Bytes),
    Channel(Rc<RefCell<Channel>>),
}

/// What [`Body::try_next`] found.
#[derive(Debug)]
pub enum Next {
    /// The next chunk.
    Chunk(Bytes),
    /// Complete.
    End(Trailers),
    /// Broken off.
    Failed(BodyError),
    /// Nothing yet.
    Wait,
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// A body that is here already.
    pub fn full(bytes: Bytes) -> Self {
        Self { front: Bytes::new(), inner: Inner::Full(bytes) }
    }

    /// The next chunk; `None` at the end.
    ///
    /// # Errors
    /// When the body was broken off or is not valid.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        match self.advance().await {
            Next::Chunk(chunk) => Some(Ok(chunk)),
            Next::Failed(error) => Some(Err(error)),
            Next::End(_) | Next::Wait => None,
        }
    }

    /// The next chunk, or how the body ended; never [`Next::Wait`].
    pub(crate) async fn advance(&mut self) -> Next {
        poll_fn(|cx| match self.try_next() {
            Next::Wait => {
                if let Inner::Channel(channel) = &self.inner {
                    channel.borrow_mut().reader.wait(cx);
                }
                Poll::Pending
            }
            next => Poll::Ready(next),
        })
        .await
    }

    /// All of it in one piece, at most `bytes_max`.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] as soon as more arrives, else as [`Body::next`].
    pub async fn collect(&mut self, bytes_max: usize) -> Result<Bytes, BodyError> {
        let Some(first) = self.next().await.transpose()? else { return Ok(Bytes::new()) };
        let Some(second) = self.next().await.transpose()? else {
            return if first.len() > bytes_max { Err(BodyError::TooLarge) } else { Ok(first) };
        };
        let mut all = Vec::with_capacity((first.len() + second.len()) * 2);
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while all.len() <= bytes_max {
            match self.next().await.transpose()? {
                Some(chunk) => all.extend_from_slice(&chunk),
                None => return Ok(all.into()),
            }
        }
        Err(BodyError::TooLarge)
    }

    /// Wait until the body is complete or `bytes` of it are here, and go on with all of it.
    ///
    /// A small body is then known to be valid before the answer to it begins: what is wrong with
    /// it is answered with its status, where a stream that has begun could only be cut.
    ///
    /// # Errors
    /// As [`Body::next`].
    pub async fn gather(mut self, bytes: usize) -> Result<Self, BodyError> {
        let mut front = Vec::new();
        while front.len() < bytes {
            match self.next().await.transpose()? {
                Some(chunk) => front.extend_from_slice(&chunk),
                None => return Ok(Self::full(front.into())),
            }
        }
        self.front = front.into();
        Ok(self)
    }

    /// All of the body, if nothing of it is still to come.
    pub(crate) fn whole(&mut self) -> Option<Bytes> {
        match &mut self.inner {
            Inner::Full(bytes) => Some(std::mem::take(bytes)),
            Inner::Channel(_) => None,
        }
    }

    /// The next chunk if it is there; never waits.
    pub fn try_next(&mut self) -> Next {
        if !self.front.is_empty() {
            return Next::Chunk(std::mem::take(&mut self.front));
        }
        match &mut self.inner {
            Inner::Full(bytes) if bytes.is_empty() => Next::End(Trailers::new()),
            Inner::Full(bytes) => Next::Chunk(std::mem::take(bytes)),
            Inner::Channel(channel) => {
                let mut channel = channel.borrow_mut();
                if let Some(chunk) = channel.pop() {
                    return Next::Chunk(chunk);
                }
                match &mut channel.flow {
                    Flow::Open => {
                        channel.want();
                        Next::Wait
                    }
                    Flow::Ended(trailers) => Next::End(std::mem::take(trailers)),
                    Flow::Failed(error) => Next::Failed(*error),
                }
            }
        }
    }

    /// Bytes still to come, if that is known.
    pub fn length(&self) -> Option<u64> {
        let rest = match &self.inner {
            Inner::Full(bytes) => bytes.len() as u64,
            Inner::Channel(channel) => channel.borrow().length?,
        };
        Some(self.front.len() as u64 + rest)
    }

    /// Whom to tell when a chunk or the end arrives.
    pub fn notify_with(&self, notify: Rc<dyn Notify>) {
        if let Inner::Channel(channel) = &self.inner {
            channel.borrow_mut().reader = Waiter::Shard(notify);
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Inner::Channel(channel) = &self.inner {
            let mut channel = channel.borrow_mut();
            channel.reader_alive = false;
            channel.chunks.clear();
            channel.queued_bytes = 0;
            channel.writer.wake();
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("length", &self.length()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_full_channel_makes_its_writer_wait() {
        let (sender, mut body) = channel(10 + CHUNK_COST_BYTES);
        assert_eq!(now(sender.send("12345")), Some(Ok(())));
        assert_eq!(now(sender.send("67890")), Some(Ok(())));
        assert_eq!(now(sender.send("more")), None);
        assert!(sender.is_full());
        assert_eq!(now(body.next()), Some(Some(Ok(Bytes::from("12345")))));
        assert_eq!(now(sender.send("more")), Some(Ok(())));
        drop(sender);
        assert_eq!(now(body.collect(100)), Some(Ok(Bytes::from("67890more"))));
    }

    #[test]
    fn tiny_chunks_are_no_way_around_the_bound() {
        let (sender, _body) = channel(64 << 10);
        let sent = (0..10_000).take_while(|_| now(sender.send("x")).is_some()).count();
        assert!(sent < 1100, "{sent} chunks of one byte");
    }

    #[test]
    fn a_body_that_fails_gives_nothing_of_what_was_queued() {
        let (sender, mut body) = channel(10);
        sender.push("abc".into()).unwrap();
        sender.fail(BodyError::Cut);
        assert_eq!(now(body.next()), Some(Some(Err(BodyError::Cut))));
    }

    #[test]
    fn a_writer_learns_that_its_reader_has_gone() {
        let (sender, body) = channel(10);
        drop(body);
        assert_eq!(now(sender.send("x")), Some(Err(Gone)));
        assert!(!sender.is_full() && sender.is_gone());
    }

    #[test]
    fn collecting_has_a_bound() {
        for (bytes_max, fits) in [(9, false), (10, true)] {
            let (sender, mut body) = channel(100);
            sender.push("12345".into()).unwrap();
            sender.push("67890".into()).unwrap();
            drop(sender);
            let expected = if fits { Ok("1234567890".into()) } else { Err(BodyError::TooLarge) };
            assert_eq!(now(body.collect(bytes_max)), Some(expected));
        }
        let mut one = Body::full("123".into());
        assert_eq!(now(one.collect(2)), Some(Err(BodyError::TooLarge)));
    }

    #[test]
    fn a_gathered_body_keeps_its_bytes_and_its_length() {
        let (sender, body) = channel(100);
        sender.set_length(10);
        sender.push("1234".into()).unwrap();
        sender.push("5".into()).unwrap();
        let mut gathered = now(body.gather(5)).unwrap().unwrap();
        assert_eq!(gathered.length(), Some(10));
        assert_eq!(gathered.whole(), None);
        sender.push("67890".into()).unwrap();
        assert_eq!(now(gathered.collect(100)), None);
        drop(sender);
        assert_eq!(now(gathered.collect(100)), Some(Ok(Bytes::new())));
    }

    #[test]
    fn a_small_body_is_whole_once_gathered() {
        let (sender, body) = channel(100);
        sender.push("12".into()).unwrap();
        sender.push("34".into()).unwrap();
        drop(sender);
        let mut gathered = now(body.gather(100)).unwrap().unwrap();
        assert_eq!(gathered.length(), Some(4));
        assert_eq!(gathered.whole(), Some("1234".into()));
    }

    #[test]
    fn several_writers_end_a_body_together() {
        let (sender, mut body) = channel(100);
        let other = sender.clone();
        drop(sender);
        other.push("x".into()).unwrap();
        assert!(matches!(body.try_next(), Next::Chunk(_)));
        assert!(matches!(body.try_next(), Next::Wait));
        drop(other);
        assert!(matches!(body.try_next(), Next::End(_)));
    }
}
