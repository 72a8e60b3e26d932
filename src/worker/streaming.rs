//! An answer on its way to the shard, piece by piece.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, Bytes};

use super::jobs::on_duty;
use super::ready::JobNotify;
use super::threads::Chunks;
use crate::executor::Task;
use crate::handler::body::{Next, Trailers};
use crate::handler::guarded::Panicked;
use crate::handler::{Body, Gone, LocalFuture, Notify};
use crate::offload::chunks::{PIECE_BYTES_MAX, Unsent};
use crate::offload::message::encode_trailers;
use crate::offload::region::Mapped;
use crate::offload::server::{Job, Server};

/// How often a silent stream gets which comment.
pub(super) type KeepAliveEvery = Option<(Duration, &'static [u8])>;

/// A stream of a job.
pub(super) struct Streaming {
    /// The head, until it was sent.
    head: Option<Vec<u8>>,
    status: u16,
    source: Source,
    /// What was taken from the source and not sent.
    pending: Bytes,
    /// How the body ended; what is pending goes first.
    ending: Option<Ending>,
    /// Whether trailer fields at the end of the body are meant for the client.
    trailers: bool,
    /// The producer, and whether it panicked.
    _producer: Option<Task>,
    failed: Rc<Cell<bool>>,
    keep_alive: Option<KeepAlive>,
    /// Whether it waits for room: then nobody is silent.
    stuck: bool,
}

/// Where the bytes come from.
pub(super) enum Source {
    Body(Body),
    Thread(Chunks),
}

/// How a body ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// It is complete.
    End(Trailers),
    /// It broke off.
    Failed,
}

/// Comments for a silent stream.
struct KeepAlive {
    interval_ns: u64,
    text: &'static [u8],
    next: u64,
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Flow {
    /// The last item was sent.
    Done,
    /// There is nothing to send.
    NeedsBytes,
    /// The shard is behind, or blocks are.
    NeedsRoom,
}

impl Ending {
    /// Of a body that has come to its end.
    pub(super) fn of(next: Next, trailers: bool, failed: bool) -> Self {
        match next {
            Next::End(fields) if !failed => {
                Self::End(if trailers { fields } else { Trailers::new() })
            }
            _ => Self::Failed,
        }
    }
}

impl Streaming {
    /// Of a response with this head, in its encoded form.
    pub(super) fn new(status: u16, head: Vec<u8>, source: Source) -> Self {
        Self {
            head: Some(head),
            status,
            source,
            pending: Bytes::new(),
            ending: None,
            trailers: true,
            _producer: None,
            failed: Rc::default(),
            keep_alive: None,
            stuck: false,
        }
    }

    /// Drops trailer fields unless `wanted`.
    pub(super) fn with_trailers(self, wanted: bool) -> Self {
        Self { trailers: wanted, ..self }
    }

    /// The source is filled by `producer`, which notes a panic.
    pub(super) fn with_producer(self, producer: Option<Task>, failed: Rc<Cell<bool>>) -> Self {
        Self { _producer: producer, failed, ..self }
    }

    /// Says something when the source is silent.
    pub(super) fn with_keep_alive(self, every: KeepAliveEvery, now: u64) -> Self {
        let keep_alive = every.map(|(interval, text)| {
            let interval_ns = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(1);
            KeepAlive { interval_ns, text, next: now.saturating_add(interval_ns) }
        });
        Self { keep_alive, ..self }
    }

    /// Whether the shard has been told that a stream begins.
    pub(super) fn is_open(&self) -> bool {
        self.head.is_none()
    }

    /// When it wants to be looked at although nothing has happened.
    pub(super) fn due(&self) -> u64 {
        let keep_alive = self.keep_alive.as_ref().filter(|_| !self.stuck);
        keep_alive.map_or(u64::MAX, |keep_alive| keep_alive.next)
    }

    /// Sends what can be sent now.
    pub(super) fn pump(&mut self, server: &mut Server<Mapped>, job: &Job, now: u64) -> Flow {
        let flow = self.send(server, job, now);
        self.stuck = flow == Flow::NeedsRoom;
        flow
    }

    fn send(&mut self, server: &mut Server<Mapped>, job: &Job, now: u64) -> Flow {
        if !self.open(server, job) {
            return Flow::NeedsRoom;
        }
        let sent = loop {
            if self.pending.is_empty() && !self.refill(now) {
                match &self.ending {
                    Some(ending) => break ending.send(server, job),
                    None => return Flow::NeedsBytes,
                }
            }
            match server.send(job, &self.pending) {
                Ok(bytes) => self.pending.advance(bytes),
                Err(unsent) => break Err(unsent),
            }
        };
        match sent {
            Ok(()) | Err(Unsent::Over) => Flow::Done,
            Err(Unsent::Full | Unsent::NoBlocks) => Flow::NeedsRoom,
        }
    }

    /// Sends the head if that was not done; false if there is no room for it now.
    fn open(&mut self, server: &mut Server<Mapped>, job: &Job) -> bool {
        let Some(head) = &self.head else { return true };
        let Some(draft) = server.draft_opening(head.len() as u64) else { return false };
        server.payload(job, &draft).write(server.world(), 0, head);
        // Its encoder has bounded it.
        server.open(job, draft, self.status, head.len() as u32);
        self.head = None;
        true
    }

    /// Takes the next piece from the source; false if there is none.
    fn refill(&mut self, now: u64) -> bool {
        match self.next() {
            Some(chunk) if chunk.len() < JOIN_BYTES => self.pending = self.join(chunk),
            Some(chunk) => self.pending = chunk,
            None => return self.ending.is_none() && self.break_silence(now),
        }
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.next = now.saturating_add(keep_alive.interval_ns);
        }
        true
    }

    /// The next chunk that is there. Notes how the body ended if it has.
    fn next(&mut self) -> Option<Bytes> {
        if self.ending.is_some() {
            return None;
        }
        match self.source.try_next() {
            Next::Chunk(chunk) => return Some(chunk),
            Next::Wait if !self.failed.get() => {}
            next => self.ending = Some(Ending::of(next, self.trailers, self.failed.get())),
        }
        None
    }

    /// A small chunk with those behind it that are there already: each piece takes a whole block.
    fn join(&mut self, first: Bytes) -> Bytes {
        let Some(second) = self.next() else { return first };
        let mut joined = Vec::with_capacity(PIECE_BYTES_MAX as usize);
        joined.extend_from_slice(&first);
        joined.extend_from_slice(&second);
        while joined.len() < PIECE_BYTES_MAX as usize {
            let Some(more) = self.next() else { break };
            joined.extend_from_slice(&more);
        }
        joined.into()
    }

    /// A comment takes the place of a chunk if there was none for long enough.
    fn break_silence(&mut self, now: u64) -> bool {
        let Some(keep_alive) = &mut self.keep_alive else { return false };
        if now < keep_alive.next {
            return false;
        }
        keep_alive.next = now.saturating_add(keep_alive.interval_ns);
        self.pending = Bytes::from_static(keep_alive.text);
        !self.pending.is_empty()
    }
}

impl Source {
    /// Bytes still to come, if that is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Body(body) => body.length(),
            Self::Thread(chunks) => chunks.length,
        }
    }

    fn try_next(&mut self) -> Next {
        match self {
            Self::Body(body) => body.try_next(),
            Self::Thread(chunks) => chunks.try_next(),
        }
    }
}

impl Ending {
    fn send(&self, server: &mut Server<Mapped>, job: &Job) -> Result<(), Unsent> {
        let Self::End(fields) = self else { return server.send_failed(job) };
        let mut trailers = Vec::new();
        if !fields.is_empty()
            && let Err(oversize) = encode_trailers(fields, &mut trailers)
        {
            tracing::error!(%oversize, "the trailers of a response cannot be passed on");
            return server.send_failed(job);
        }
        server.send_end(job, &trailers)
    }
}

/// The producer of a stream as a task. Its sender ends the body when it is dropped.
pub(super) async fn run_producer(
    duty: Rc<str>,
    future: LocalFuture<Result<(), Gone>>,
    failed: Rc<Cell<bool>>,
    notify: Option<Rc<JobNotify>>,
) {
    // Gone is no failure: then nobody reads, and this task is about to be dropped.
    if let Err(Panicked) = on_duty(duty, future).await {
        failed.set(true);
        if let Some(notify) = notify {
            notify.notify();
        }
    }
}

/// A chunk from this size on is sent as it is.
const JOIN_BYTES: usize = 16 << 10;
