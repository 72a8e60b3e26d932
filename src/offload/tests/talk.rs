//! Both ends of a job whose messages have any size, as a shard and a worker go through it: each
//! does what it can, and says what it waits for. Each may choose how it sends.

use crate::offload::chunks::{Interests, StreamItem, Unsent};
use crate::offload::client::{Client, Refused, Terms, Ticket};
use crate::offload::layout::Span;
use crate::offload::server::{Job, Server};
use crate::offload::slot::{Form, Response};
use crate::offload::world::World;

/// How a message is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum How {
    /// In the slot and in blocks, or as a stream when it does not fit.
    Whole,
    /// So many bytes of it in the slot, then pieces of at most so many.
    Stream { head: usize, piece: usize },
}

/// A shard's side of one job.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) ticket: Ticket,
    rest: Vec<u8>,
    /// Of what follows; 0 once all was said.
    piece: usize,
    /// What was received so far.
    pub(super) answer: Vec<u8>,
    pub(super) status: u16,
    /// The stream of the answer is complete, or has broken off.
    pub(super) end: Option<StreamItem>,
    /// Items came after which nothing may come.
    trailers: Vec<u8>,
}

impl Asking {
    pub(super) fn begin<W: World>(
        client: &mut Client<W>,
        message: &[u8],
        how: How,
        terms: Terms,
    ) -> Result<Self, Refused> {
        let (head, piece) = match how {
            How::Stream { head, piece } => (head.min(message.len()), piece),
            How::Whole => (message.len(), 0),
        };
        let draft = match how {
            How::Whole => client.draft(head as u64)?,
            How::Stream { .. } => client.draft_opening(head as u64)?,
        };
        client.payload(&draft).write(client.world(), 0, &message[..head]);
        let ticket = client.submit_draft(draft, head as u32, terms);
        let rest = message[head..].to_vec();
        let (answer, trailers) = (Vec::new(), Vec::new());
        Ok(Self { ticket, rest, piece, answer, status: 0, end: None, trailers })
    }

    /// Sends what can be sent; false if the worker takes nothing more.
    pub(super) fn send<W: World>(&mut self, client: &mut Client<W>) -> bool {
        while self.piece > 0 {
            let bytes = self.piece.min(self.rest.len());
            let sent = if bytes == 0 {
                client.send_end(self.ticket, TRAILERS).map(|()| 0)
            } else {
                client.send(self.ticket, &self.rest[..bytes])
            };
            match sent {
                Ok(0) => self.piece = 0,
                Ok(sent) => drop(self.rest.drain(..sent)),
                Err(Unsent::Full | Unsent::NoBlocks) => return true,
                Err(Unsent::Over) => {
                    self.piece = 0;
                    return false;
                }
            }
        }
        true
    }

    /// Takes at most `items` of what has come of the answer; true if there was as much.
    pub(super) fn receive<W: World>(&mut self, client: &mut Client<W>, items: usize) -> bool {
        for _ in 0..items {
            let item = client.receive(self.ticket).expect("nobody is broken");
            let Some(item) = item else { return false };
            match item {
                StreamItem::Opening(response) => self.read(client, response),
                StreamItem::Bytes(span) => copy(client.world(), span, &mut self.answer),
                StreamItem::End(span) => {
                    span.into_iter()
                        .for_each(|span| copy(client.world(), span, &mut self.trailers));
                    assert_eq!(self.trailers, TRAILERS);
                    self.end = Some(item);
                }
                StreamItem::Failed => self.end = Some(item),
            }
            client.taken(self.ticket);
        }
        true
    }

    /// Reads an answer, or the head of one.
    pub(super) fn read<W: World>(&mut self, client: &Client<W>, response: Response) {
        let mut bytes = vec![0; response.bytes as usize];
        client.answer(self.ticket, response).read(client.world(), 0, &mut bytes);
        self.answer.extend(bytes);
        self.status = response.status;
    }
}

/// A worker's side of one job.
#[derive(Debug)]
pub(super) struct Answering {
    pub(super) job: Option<Job>,
    /// What was received so far.
    pub(super) request: Vec<u8>,
    /// All of it was.
    pub(super) has_all: bool,
    /// What was not sent yet; `None` before the answer began.
    rest: Option<Vec<u8>>,
    piece: usize,
}

/// What became of a worker's step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// The job is answered.
    Done,
    /// Something was done.
    More,
    /// It waits.
    Stuck(Interests),
}

impl Answering {
    pub(super) fn begin<W: World>(server: &Server<W>, job: Job) -> Self {
        let mut request = vec![0; job.request().bytes as usize];
        server.request(&job).expect("nobody is broken").read(server.world(), 0, &mut request);
        let has_all = job.request().form != Form::Chunks;
        Self { job: Some(job), request, has_all, rest: None, piece: 0 }
    }

    fn job(&self) -> &Job {
        self.job.as_ref().expect("it runs")
    }

    pub(super) fn receive<W: World>(&mut self, server: &mut Server<W>) -> Step {
        match server.receive(self.job()).expect("nobody is broken") {
            None => return Step::Stuck(Interests { item: true, room: false }),
            Some(StreamItem::Bytes(span)) => copy(server.world(), span, &mut self.request),
            Some(StreamItem::End(span)) => {
                let mut trailers = Vec::new();
                span.into_iter().for_each(|span| copy(server.world(), span, &mut trailers));
                assert_eq!(trailers, TRAILERS);
                self.has_all = true;
            }
            Some(item) => panic!("{item:?}"),
        }
        server.taken(self.job());
        Step::More
    }

    /// Answers, or begins to. What does not fit, or has no blocks, becomes a stream.
    pub(super) fn answer<W: World>(
        &mut self,
        server: &mut Server<W>,
        message: &[u8],
        how: How,
        status: u16,
    ) -> Step {
        let whole = match how {
            How::Whole => server.draft(message.len() as u64),
            How::Stream { .. } => None,
        };
        if let Some(draft) = whole {
            let job = self.job.take().expect("it runs");
            server.payload(&job, &draft).write(server.world(), 0, message);
            server.complete_draft(job, draft, status, message.len() as u32);
            return Step::Done;
        }
        let (head, piece) = match how {
            How::Stream { head, piece } => (head.min(message.len()), piece),
            How::Whole => (message.len().min(8), usize::MAX),
        };
        // A head that is longer than a slot may have to wait for longer than the pool has blocks.
        let head = if server.draft_opening(head as u64).map(|draft| server.discard(draft)).is_none()
        {
            head.min(8)
        } else {
            head
        };
        let draft = server.draft_opening(head as u64).expect("it fits a slot, or did just now");
        server.payload(self.job(), &draft).write(server.world(), 0, &message[..head]);
        server.open(self.job.as_ref().expect("it runs"), draft, status, head as u32);
        self.rest = Some(message[head..].to_vec());
        self.piece = piece;
        Step::More
    }

    /// Goes on with an answer that is a stream; `None` before it is.
    pub(super) fn send<W: World>(&mut self, server: &mut Server<W>) -> Option<Step> {
        let rest = self.rest.as_mut()?;
        let job = self.job.as_ref().expect("it runs");
        let bytes = self.piece.min(rest.len());
        let sent = if bytes == 0 {
            server.send_end(job, TRAILERS).map(|()| 0)
        } else {
            server.send(job, &rest[..bytes])
        };
        Some(match sent {
            Ok(0) => {
                server.finish_stream(self.job.take().expect("it runs"));
                Step::Done
            }
            Ok(sent) => {
                drop(rest.drain(..sent));
                Step::More
            }
            Err(Unsent::Over) => panic!("a shard takes the whole job back"),
            Err(Unsent::Full | Unsent::NoBlocks) => {
                Step::Stuck(Interests { item: false, room: true })
            }
        })
    }

    /// Nobody wants it any more.
    pub(super) fn stop<W: World>(&mut self, server: &mut Server<W>) {
        let job = self.job.take().expect("it runs");
        if self.rest.is_some() {
            server.finish_stream(job);
        } else {
            server.complete(job, 0, b"").expect("it fits");
        }
    }
}

fn copy(world: &impl World, span: Span, to: &mut Vec<u8>) {
    let begin = to.len();
    to.resize(begin + span.bytes() as usize, 0);
    world.copy_out(span, &mut to[begin..]);
}

const TRAILERS: &[u8] = b"some trailer fields";
