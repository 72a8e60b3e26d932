//! What is said in a job, and how each end says it: small, in blocks, or as streams.
//!
//! A request is its number and bytes that belong to no other; the answer is the same with every
//! byte + 1. So whoever reads something knows at once whether it is what it should be.

use corewise::offload::chunks::{Interests, StreamItem, Unsent};
use corewise::offload::client::{Client, Refused, Terms, Ticket};
use corewise::offload::layout::Span;
use corewise::offload::server::{self, Job, Server};
use corewise::offload::slot::{Form, Response};
use corewise::offload::world::World;

/// How a job is said. The number of a job tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Both messages lie in blocks.
    Blocks,
    /// The answer is a stream.
    Download,
    /// Both are streams, and the answer begins before the request has ended.
    Echo,
    /// Both lie in the slot.
    Inline,
    /// The request is a stream.
    Upload,
}

impl Kind {
    pub(crate) fn of(number: u64) -> Self {
        match number % 8 {
            4 => Self::Blocks,
            5 => Self::Upload,
            6 => Self::Download,
            7 => Self::Echo,
            _ => Self::Inline,
        }
    }

    fn is_streamed(self) -> bool {
        matches!(self, Self::Echo | Self::Upload)
    }
}

/// The request of a job.
pub(crate) fn body(number: u64) -> Vec<u8> {
    let bytes = match Kind::of(number) {
        Kind::Inline => 8 + number * 7 % 57,
        // One message in so many needs more than one block.
        Kind::Blocks if number % 256 == 252 => 70_000,
        Kind::Blocks => 65 + number * 13 % 400,
        Kind::Download | Kind::Echo | Kind::Upload => 100 + number * 17 % 500,
    };
    let tail = (8..bytes).map(|index| (number.wrapping_mul(31) + index) as u8);
    number.to_le_bytes().into_iter().chain(tail).collect()
}

pub(crate) fn number_of(request: &[u8]) -> u64 {
    u64::from_le_bytes(request[..HEAD_BYTES].try_into().unwrap())
}

fn answer_to(request: &[u8]) -> Vec<u8> {
    request.iter().map(|byte| byte.wrapping_add(1)).collect()
}

/// Of both streams of a job; some have none.
fn trailers(number: u64) -> Vec<u8> {
    vec![number as u8; (number / 8 % 3) as usize]
}

/// The shard's end of a job.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    number: u64,
    request: Vec<u8>,
    sent: usize,
    /// Nothing more is sent.
    said: bool,
    answer: Vec<u8>,
    /// The end of the answer was read.
    heard: bool,
}

impl Call {
    /// Submits a job, which begins at once.
    pub(crate) fn submit<W: World>(
        client: &mut Client<W>,
        number: u64,
        terms: Terms,
    ) -> Result<(Ticket, Self), Refused> {
        let request = body(number);
        let (ticket, sent) = match Kind::of(number) {
            Kind::Inline => (client.submit(&request, terms)?, request.len()),
            kind => {
                let streamed = kind.is_streamed();
                let sent = if streamed { HEAD_BYTES } else { request.len() };
                let draft = if streamed {
                    client.draft_opening(sent as u64)?
                } else {
                    client.draft(sent as u64)?
                };
                client.payload(&draft).write(client.world(), 0, &request[..sent]);
                (client.submit_draft(draft, sent as u32, terms), sent)
            }
        };
        let said = !Kind::of(number).is_streamed();
        let (answer, heard) = (Vec::new(), false);
        Ok((ticket, Self { number, request, sent, said, answer, heard }))
    }

    #[cfg(not(corewise_tsan))]
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Sends and receives all that goes.
    pub(crate) fn pump<W: World>(&mut self, client: &mut Client<W>, ticket: Ticket) {
        self.send(client, ticket);
        self.receive(client, ticket);
    }

    /// The worker is done: reads what it answered, and whether that is right.
    pub(crate) fn check<W: World>(
        &mut self,
        client: &mut Client<W>,
        ticket: Ticket,
        response: Response,
    ) {
        let number = self.number;
        assert_eq!(u64::from(response.status), number & 0xffff, "the status of job {number}");
        if response.form == Form::Chunks {
            self.receive(client, ticket);
            assert!(self.heard, "the answer of job {number} has an end");
        } else {
            assert!(self.answer.is_empty(), "job {number} is answered in one way");
            self.read(client, ticket, response);
        }
        assert!(self.answer == answer_to(&body(number)), "the answer of job {number}");
    }

    fn send<W: World>(&mut self, client: &mut Client<W>, ticket: Ticket) {
        while !self.said {
            let rest = &self.request[self.sent..];
            let result = if rest.is_empty() {
                client.send_end(ticket, &trailers(self.number)).map(|()| None)
            } else {
                client.send(ticket, &rest[..rest.len().min(PIECE_BYTES)]).map(Some)
            };
            match result {
                Ok(Some(bytes)) => self.sent += bytes,
                Ok(None) | Err(Unsent::Over) => self.said = true,
                Err(Unsent::Full | Unsent::NoBlocks) => return,
            }
        }
    }

    fn receive<W: World>(&mut self, client: &mut Client<W>, ticket: Ticket) {
        while let Some(item) = client.receive(ticket).expect("nobody writes garbage") {
            match item {
                StreamItem::Opening(response) => self.read(client, ticket, response),
                StreamItem::Bytes(span) => self.answer.extend(copy(client.world(), span)),
                StreamItem::End(span) => {
                    let found = span.map(|span| copy(client.world(), span)).unwrap_or_default();
                    assert_eq!(found, trailers(self.number), "trailers of {}", self.number);
                    self.heard = true;
                }
                StreamItem::Failed => panic!("the answer of job {} broke off", self.number),
            }
            client.taken(ticket);
        }
    }

    fn read<W: World>(&mut self, client: &Client<W>, ticket: Ticket, response: Response) {
        let from = self.answer.len();
        self.answer.resize(from + response.bytes as usize, 0);
        let payload = client.answer(ticket, response);
        payload.read(client.world(), 0, &mut self.answer[from..]);
    }
}

/// The worker's end of a job.
#[derive(Debug)]
pub(crate) struct Task {
    job: Job,
    number: u64,
    request: Vec<u8>,
    /// The request is complete.
    heard: bool,
    /// Bytes of the answer that were sent.
    sent: usize,
    opened: bool,
    /// Nobody waits for the answer.
    pub(crate) withdrawn: bool,
}

impl Task {
    pub(crate) fn begin<W: World>(server: &Server<W>, job: Job) -> Self {
        let mut request = vec![0; job.request().bytes as usize];
        if job.request().form == Form::Inline {
            server.read_request(&job, &mut request);
        } else {
            let payload = server.request(&job).expect("nobody writes garbage");
            payload.read(server.world(), 0, &mut request);
        }
        let (number, heard) = (number_of(&request), job.request().form != Form::Chunks);
        assert_eq!(heard, !Kind::of(number).is_streamed(), "the form of job {number}");
        Self { job, number, request, heard, sent: 0, opened: false, withdrawn: false }
    }

    #[cfg(not(corewise_tsan))]
    pub(crate) fn id(&self) -> server::JobId {
        self.job.id()
    }

    #[cfg(not(corewise_tsan))]
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Goes on as far as it goes; `None` when it is done.
    pub(crate) fn advance<W: World>(mut self, server: &mut Server<W>) -> Option<Self> {
        self.receive(server);
        if self.withdrawn {
            return self.give_up(server);
        }
        let expected = body(self.number);
        assert!(expected.starts_with(&self.request), "the request of job {}", self.number);
        assert!(!self.heard || expected == self.request, "the end of request {}", self.number);
        if matches!(Kind::of(self.number), Kind::Download | Kind::Echo) || self.opened {
            return self.stream(server);
        }
        if !self.heard {
            return self.wait(server, false);
        }
        let (answer, status) = (answer_to(&self.request), self.status());
        if Kind::of(self.number) == Kind::Inline {
            server.complete(self.job, status, &answer).expect("it fits");
            return None;
        }
        let Some(draft) = server.draft(answer.len() as u64) else { return self.stream(server) };
        server.payload(&self.job, &draft).write(server.world(), 0, &answer);
        server.complete_draft(self.job, draft, status, answer.len() as u32);
        None
    }

    fn receive<W: World>(&mut self, server: &mut Server<W>) {
        while !self.heard {
            match server.receive(&self.job).expect("nobody writes garbage") {
                Some(StreamItem::Bytes(span)) => self.request.extend(copy(server.world(), span)),
                Some(StreamItem::End(span)) => {
                    let found = span.map(|span| copy(server.world(), span)).unwrap_or_default();
                    assert_eq!(found, trailers(self.number), "trailers of {}", self.number);
                    self.heard = true;
                }
                Some(StreamItem::Failed) => self.withdrawn = true,
                Some(StreamItem::Opening(_)) => panic!("a request is opened by its slot"),
                None => return,
            }
            server.taken(&self.job);
        }
    }

    /// Answers with a stream of what there is of the request.
    fn stream<W: World>(mut self, server: &mut Server<W>) -> Option<Self> {
        let answer = answer_to(&self.request);
        if !self.opened {
            let draft = server.draft_opening(HEAD_BYTES as u64).expect("it fits into the slot");
            let payload = server.payload(&self.job, &draft);
            payload.write(server.world(), 0, &answer[..HEAD_BYTES]);
            server.open(&self.job, draft, self.status(), HEAD_BYTES as u32);
            (self.opened, self.sent) = (true, HEAD_BYTES);
        }
        loop {
            let rest = &answer[self.sent..];
            let result = if !rest.is_empty() {
                server.send(&self.job, &rest[..rest.len().min(PIECE_BYTES)]).map(Some)
            } else if self.heard {
                server.send_end(&self.job, &trailers(self.number)).map(|()| None)
            } else {
                return self.wait(server, false);
            };
            match result {
                Ok(Some(bytes)) => self.sent += bytes,
                Ok(None) | Err(Unsent::Over) => {
                    server.finish_stream(self.job);
                    return None;
                }
                Err(Unsent::Full | Unsent::NoBlocks) => return self.wait(server, true),
            }
        }
    }

    /// Until more of the request has come, or there is room for more of the answer.
    fn wait<W: World>(self, server: &mut Server<W>, room: bool) -> Option<Self> {
        server.wait_for(&self.job, Interests { item: !self.heard, room });
        Some(self)
    }

    fn give_up<W: World>(self, server: &mut Server<W>) -> Option<Self> {
        let status = self.status();
        if self.opened {
            server.finish_stream(self.job);
        } else {
            server.complete(self.job, status, &[]).expect("it fits");
        }
        None
    }

    fn status(&self) -> u16 {
        (self.number & 0xffff) as u16
    }
}

fn copy(world: &impl World, span: Span) -> Vec<u8> {
    let mut bytes = vec![0; span.bytes() as usize];
    world.copy_out(span, &mut bytes);
    bytes
}

/// Of a stream, what comes with the slot.
const HEAD_BYTES: usize = 8;
/// Of a stream, what comes in one item.
const PIECE_BYTES: usize = 48;
