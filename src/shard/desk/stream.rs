//! Bodies in motion between a client and a worker.

use std::rc::Rc;

use bytes::{Buf, Bytes};

use super::jobs::JobBody;
use super::lead::Tie;
use crate::handler::body::{Next, Trailers};
use crate::handler::{Body, BodyError, Notify, Sender};
use crate::offload::chunks::Unsent;
use crate::offload::client::{Client, Ticket};
use crate::offload::layout::BLOCK_BYTES;
use crate::offload::message;
use crate::offload::region::Mapped;

/// A request's body on its way to the worker.
pub(super) struct Upload {
    body: Body,
    /// Taken out of `body` and not sent yet.
    front: Bytes,
    /// What is to be said behind it.
    last: Option<Last>,
    /// Whether the client still sends it.
    arrives: bool,
    /// Whether some of what arrived was sent on since this was asked last.
    advanced: bool,
}

/// How a body ends.
enum Last {
    /// With these trailer fields, encoded.
    End(Vec<u8>),
    /// Before its time.
    Failed,
}

/// Whether more of a body is to be sent later.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Flow {
    /// Enough for one turn.
    Goes,
    /// All was said, or nobody listens any more.
    Over,
    /// The worker or the client has to do something first.
    Waits,
}

impl Upload {
    /// Tells `tie` when there is something to send.
    pub(super) fn new(body: JobBody, tie: &Rc<Tie>) -> Self {
        let (body, arrives) = match body {
            JobBody::Stream(body) => (body, true),
            JobBody::Whole(bytes) => (Body::full(bytes), false),
        };
        body.notify_with(Rc::clone(tie) as Rc<dyn Notify>);
        Self { body, front: Bytes::new(), last: None, arrives, advanced: false }
    }

    /// Sends what is there, as far as the worker takes it.
    pub(super) fn pump(&mut self, client: &mut Client<Mapped>, ticket: Ticket) -> Flow {
        for _ in 0..PIECES_PER_TURN {
            if self.front.is_empty() && self.last.is_none() {
                self.fill();
            }
            if self.front.is_empty() {
                return self.say_last(client, ticket);
            }
            match client.send(ticket, &self.front) {
                Ok(bytes) => {
                    self.front.advance(bytes);
                    self.advanced = self.arrives;
                }
                Err(Unsent::Over) => return Flow::Over,
                Err(Unsent::Full | Unsent::NoBlocks) => return Flow::Waits,
            }
        }
        Flow::Goes
    }

    /// Whether some of what the client still sends was sent on since this was asked last.
    pub(super) fn take_advanced(&mut self) -> bool {
        std::mem::take(&mut self.advanced)
    }

    fn say_last(&self, client: &mut Client<Mapped>, ticket: Ticket) -> Flow {
        let said = match &self.last {
            None => return Flow::Waits,
            Some(Last::End(trailers)) => client.send_end(ticket, trailers),
            Some(Last::Failed) => client.send_failed(ticket),
        };
        match said {
            Ok(()) | Err(Unsent::Over) => Flow::Over,
            Err(Unsent::Full | Unsent::NoBlocks) => Flow::Waits,
        }
    }

    /// Takes out of the body what is there, up to a block: each piece that is sent takes one,
    /// however small it is, and clients send in small pieces.
    fn fill(&mut self) {
        let mut gathered = Vec::new();
        while gathered.len() < PIECE_BYTES {
            match self.body.try_next() {
                Next::Chunk(chunk) if gathered.is_empty() && chunk.len() >= PIECE_BYTES => {
                    self.front = chunk;
                    return;
                }
                Next::Chunk(chunk) => gathered.extend_from_slice(&chunk),
                Next::End(trailers) => self.last = Some(Last::of(&trailers)),
                Next::Failed(_) => self.last = Some(Last::Failed),
                Next::Wait => break,
            }
            if self.last.is_some() {
                break;
            }
        }
        self.front = gathered.into();
    }
}

impl Last {
    fn of(trailers: &Trailers) -> Self {
        if trailers.is_empty() {
            return Self::End(Vec::new());
        }
        let mut encoded = Vec::new();
        match message::encode_trailers(trailers, &mut encoded) {
            Ok(()) => Self::End(encoded),
            // More than a worker takes: better no body than one without its trailers.
            Err(_) => Self::Failed,
        }
    }
}

/// A response on its way to the client.
pub(super) enum Down {
    /// The client has left, and the job is to run to its end all the same.
    Discarded,
    /// The last of it was passed on.
    Ended,
    /// Its head was passed on, its body is.
    Open(Sender),
    /// Nothing has come.
    Unopened,
}

impl Down {
    /// The body breaks off: its client sees a cut connection. False if nothing of it was sent, so
    /// that the client is owed an answer.
    pub(super) fn cut(&mut self) -> bool {
        if let Self::Unopened = self {
            return false;
        }
        if let Self::Open(sender) = std::mem::replace(self, Self::Ended) {
            sender.fail(BodyError::Cut);
        }
        true
    }
}

/// Pieces of one body that are moved in a turn: a worker that is quick enough would otherwise keep
/// the shard for itself.
pub(super) const PIECES_PER_TURN: usize = 8;
/// What goes into one piece.
const PIECE_BYTES: usize = BLOCK_BYTES as usize;
