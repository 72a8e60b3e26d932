//! Plain handlers on threads: several jobs of one worker at once.
//!
//! A thread gets a request as bytes and gives back a response without its stream; of a stream it
//! runs the producer itself and hands out the chunks, as many as the channel holds. Nothing else
//! is shared but the handlers and what they take of the pool, which are made for it. Whatever comes
//! back rings the worker's bell.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use ::http::{HeaderName, HeaderValue, Method, StatusCode};
use bytes::Bytes;

use super::flaw::Flaw;
use super::jobs::{Bound, Call, call_plain, duty_of};
use super::streaming::{Ending, KeepAliveEvery, run_producer};
use crate::executor::{self, Executor};
use crate::handler::body::Next;
use crate::handler::job::PlainFn;
use crate::handler::request::Payload;
use crate::handler::response::{Content, Stream};
use crate::handler::{Request, Response};
use crate::offload::message::RequestIn;
use crate::offload::server::JobId;
use crate::sys::descriptors;
use crate::sys::stack::AtWork;

/// The threads of a worker. They end when this is dropped and their last job is done.
pub(super) struct Threads {
    work: flume::Sender<Work>,
    replies: flume::Receiver<(JobId, Reply)>,
}

/// A job for a thread.
struct Work {
    id: JobId,
    head: Vec<u8>,
    body: Vec<u8>,
}

/// What a thread has to say of a job.
pub(super) enum Reply {
    /// Its response.
    Answer(Parts, Bytes),
    /// It was not one.
    Flawed(Flaw),
    /// The stream has another chunk.
    Moved,
    /// The head of its response, which continues as a stream.
    Stream(Parts, Chunks),
}

/// A response without its body.
pub(super) struct Parts {
    status: StatusCode,
    content_type: Option<HeaderValue>,
    fields: Vec<(HeaderName, HeaderValue)>,
    /// Whether the client asked for nothing else.
    pub(super) head_only: bool,
}

/// A body that a thread produces. If this is dropped, it stops.
pub(super) struct Chunks {
    receiver: flume::Receiver<Piece>,
    pub(super) length: Option<u64>,
    pub(super) keep_alive: KeepAliveEvery,
    /// The other end waits for this to be dropped.
    _wanted: flume::Sender<()>,
}

/// A part of such a body.
enum Piece {
    Bytes(Bytes),
    Last(Ending),
}

impl Threads {
    /// Starts `count` of them, which ring `bell`.
    ///
    /// # Errors
    /// When the process may not have so many.
    pub(super) fn start(
        count: usize,
        routes: &[Option<Rc<Bound>>],
        bell: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let (work, jobs) = flume::unbounded();
        let (voice, replies) = flume::unbounded();
        let bell = Arc::new(bell.try_clone_to_owned()?);
        for number in 0..count {
            let routes: Vec<_> = routes.iter().map(|route| Station::of(route.as_deref())).collect();
            let home = Home { replies: voice.clone(), bell: Arc::clone(&bell) };
            let jobs = jobs.clone();
            thread::Builder::new()
                .name(format!("job/{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || Hand::new(home, routes).work(&jobs))?;
        }
        Ok(Self { work, replies })
    }

    /// Gives a job to the first thread that is free.
    pub(super) fn give(&self, id: JobId, head: Vec<u8>, body: Vec<u8>) {
        let given = self.work.send(Work { id, head, body });
        assert!(given.is_ok(), "threads end when there is no more work");
    }

    /// What a thread has said.
    pub(super) fn next(&self) -> Option<(JobId, Reply)> {
        self.replies.try_recv().ok()
    }
}

impl Parts {
    fn of(response: &mut Response, request: &Request) -> Self {
        Self {
            head_only: request.method() == Method::HEAD,
            status: response.status,
            content_type: response.content_type.take(),
            fields: std::mem::take(&mut response.fields),
        }
    }

    pub(super) fn with(self, content: Content) -> Response {
        let Self { status, content_type, fields, .. } = self;
        Response { status, content_type, fields, content }
    }
}

impl Chunks {
    /// As [`crate::handler::Body::try_next`].
    pub(super) fn try_next(&self) -> Next {
        match self.receiver.try_recv() {
            Ok(Piece::Bytes(bytes)) => Next::Chunk(bytes),
            Ok(Piece::Last(Ending::End(trailers))) => Next::End(trailers),
            Ok(Piece::Last(Ending::Failed)) | Err(flume::TryRecvError::Disconnected) => {
                Next::Failed(crate::handler::BodyError::Cut)
            }
            Err(flume::TryRecvError::Empty) => Next::Wait,
        }
    }
}

/// A plain route as a thread has it.
struct Station {
    name: String,
    params: Vec<Box<str>>,
    run: Arc<PlainFn>,
}

impl Station {
    fn of(route: Option<&Bound>) -> Option<Self> {
        let Bound { name, params, call: Call::Plain(run) } = route? else { return None };
        Some(Self { name: name.clone(), params: params.to_vec(), run: Arc::clone(run) })
    }
}

/// Where replies go.
#[derive(Clone)]
struct Home {
    replies: flume::Sender<(JobId, Reply)>,
    bell: Arc<OwnedFd>,
}

impl Home {
    fn tell(&self, id: JobId, reply: Reply) {
        // Nobody listens when the worker leaves.
        let _ = self.replies.send((id, reply));
        descriptors::ring(self.bell.as_fd());
    }
}

/// A plain route with what only one thread can have.
struct Post {
    station: Station,
    params: Rc<[Box<str>]>,
}

/// A thread at work.
struct Hand {
    home: Home,
    routes: Vec<Option<Post>>,
    request: Request,
    /// For producers of streams; set up when the first one is to be run.
    executor: Option<Executor>,
}

impl Hand {
    fn new(home: Home, routes: Vec<Option<Station>>) -> Self {
        let own = |station: Station| {
            let params = Rc::from(station.params.as_slice());
            Post { station, params }
        };
        let routes = routes.into_iter().map(|route| route.map(own)).collect();
        Self { home, routes, request: Request::new(), executor: None }
    }

    fn work(mut self, jobs: &flume::Receiver<Work>) {
        while let Ok(Work { id, head, body }) = jobs.recv() {
            let _at_work = AtWork::begin();
            match self.respond(&head, body) {
                Err(flaw) => self.home.tell(id, Reply::Flawed(flaw)),
                Ok((response, duty)) => self.give(id, response, duty),
            }
        }
    }

    /// The response, and what a panic in its stream is to be told with.
    fn respond(&mut self, head: &[u8], body: Vec<u8>) -> Result<(Response, Rc<str>), Flaw> {
        let opened = RequestIn::open(head)?;
        let route = self.routes.get(usize::from(opened.route.0)).and_then(Option::as_ref);
        let Post { station, params } = route.ok_or(Flaw::Route(opened.route))?;
        let Request { head, params: values, .. } = &mut self.request;
        opened.read(params, head, values)?;
        self.request.body = Payload::Full(body.into());
        let response = call_plain(&*station.run, &self.request, &station.name);
        let is_stream = matches!(response.content, Content::Stream(_));
        let duty = is_stream.then(|| duty_of(&self.request, &station.name));
        Ok((response, duty.unwrap_or_default()))
    }

    fn give(&mut self, id: JobId, mut response: Response, duty: Rc<str>) {
        let parts = Parts::of(&mut response, &self.request);
        match response.content {
            Content::Buffer(buffer) => self.home.tell(id, Reply::Answer(parts, buffer.into())),
            Content::Bytes(bytes) => self.home.tell(id, Reply::Answer(parts, bytes)),
            Content::Static(bytes) => {
                self.home.tell(id, Reply::Answer(parts, Bytes::from_static(bytes)));
            }
            Content::Stream(stream) => self.produce(id, parts, *stream, duty),
        }
    }

    fn produce(&mut self, id: JobId, parts: Parts, stream: Stream, duty: Rc<str>) {
        if self.executor.is_none() {
            match Executor::new() {
                Ok(executor) => self.executor = Some(executor),
                Err(error) => return self.home.tell(id, Reply::Flawed(Flaw::Executor(error))),
            }
        }
        let (sender, receiver) = flume::bounded(CHUNKS_MAX);
        let (wanted, unwanted) = flume::bounded(0);
        let (length, keep_alive) = (stream.body.length(), stream.keep_alive);
        let chunks = Chunks { receiver, length, keep_alive, _wanted: wanted };
        self.home.tell(id, Reply::Stream(parts, chunks));
        let way = Way { id, chunks: sender, unwanted, home: self.home.clone() };
        let producing = produce(stream, duty, way);
        if let Some(executor) = &self.executor {
            executor.run(producing);
        }
    }
}

/// The way of a stream to the worker.
struct Way {
    id: JobId,
    chunks: flume::Sender<Piece>,
    /// Its other end is dropped when nobody wants the stream any more.
    unwanted: flume::Receiver<()>,
    home: Home,
}

/// Runs the producer of a stream until it has ended or nobody wants it any more.
async fn produce(stream: Stream, duty: Rc<str>, way: Way) {
    let Way { id, chunks, unwanted, home } = way;
    let Stream { mut body, producer, trailers, .. } = stream;
    let failed = Rc::default();
    let _producer = producer
        .map(|future| executor::spawn(run_producer(duty, future, Rc::clone(&failed), None)));
    let mut sending = std::pin::pin!(async {
        loop {
            let piece = match body.advance().await {
                Next::Chunk(bytes) => Piece::Bytes(bytes),
                next => Piece::Last(Ending::of(next, trailers, failed.get())),
            };
            let is_last = matches!(piece, Piece::Last(_));
            if chunks.send_async(piece).await.is_err() {
                return;
            }
            home.tell(id, Reply::Moved);
            if is_last {
                return;
            }
        }
    });
    let mut unwanted = std::pin::pin!(unwanted.recv_async());
    std::future::poll_fn(|cx| match unwanted.as_mut().poll(cx) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => sending.as_mut().poll(cx),
    })
    .await;
}

/// Chunks of a stream that wait for the worker.
const CHUNKS_MAX: usize = 4;
/// As much stack as the main thread has by default, so that a handler which recurses deeply does
/// not depend on the number of threads.
const STACK_BYTES: usize = 8 << 20;
