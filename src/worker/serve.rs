//! A worker at its jobs: it takes them from their slots, has them run, and answers them.
//!
//! A plain handler runs right here, or on one of the threads; an async one, and the producer of a
//! stream, is a task of the executor. Only here is the memory of the pool touched: tasks and
//! threads leave what they have where it is found in the next turn.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use ::http::{Method, StatusCode};
use bytes::Bytes;

use super::answer::Outflow;
use super::flaw::Flaw;
use super::jobs::{Bound, Call, Jobs, Route, call_plain, duty_of};
use super::ready::Ready;
use super::run::{Answer, Collected, Run, Stage, Upload, collect, run_handler};
use super::streaming::{Flow, Source};
use super::threads::{Reply, Threads};
use crate::executor;
use crate::handler::body;
use crate::handler::guarded::{FirstStep, Panicked, first_step};
use crate::handler::job::{AsyncJobFn, PlainFn};
use crate::handler::request::Payload as RequestBody;
use crate::handler::response::Content;
use crate::handler::{Body, BodyError, IntoResponse, Loaded, Request};
use crate::http::Error;
use crate::limits::{REQUEST_MESSAGE_HEAD_BYTES_MAX, UPLOAD_BYTES_HIGH};
use crate::offload::chunks::Interests;
use crate::offload::layout::Doorbell;
use crate::offload::message::{self, Carriage, DecodeError, RequestIn};
use crate::offload::payload::Payload;
use crate::offload::region::{Mapped, Region};
use crate::offload::server::{Job, JobId, Next, Server};
use crate::offload::word::WorkerIndex;
use crate::offload::world::World;
use crate::sys::descriptors;
use crate::telemetry::log::Duty;

/// The jobs of one worker.
pub(super) struct Serving {
    pub(super) server: Server<Mapped>,
    region: Arc<Region>,
    index: WorkerIndex,
    routes: Vec<Option<Rc<Bound>>>,
    /// For plain handlers, if they do not run right here.
    threads: Option<Threads>,
    /// Threads ring it.
    bell: OwnedFd,
    /// The jobs that take longer than a call.
    runs: HashMap<JobId, Run>,
    pub(super) ready: Rc<Ready>,
    /// The last request of a plain handler, for its buffers.
    request: Request,
    /// The head of the last request, for its buffer.
    head: Vec<u8>,
    /// A buffer for bodies.
    spare: Vec<u8>,
    /// Scratch list.
    listed: Vec<JobId>,
}

/// What a turn has come to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    /// Nothing: sleep.
    Idle,
    /// The pool stops, or this worker has been drained: nothing is left.
    Over,
    /// Nothing, but do not sleep.
    Spin,
    /// A job was begun or went on.
    Worked,
}

impl Serving {
    /// Takes the place of the worker in its pool, with what the pool has loaded.
    ///
    /// # Errors
    /// When the process may not have the threads or the descriptors.
    pub(super) fn new(jobs: Jobs, loaded: &Loaded) -> io::Result<Self> {
        let jobs_max = jobs.jobs_max();
        let Jobs { region, index, routes, threads, spin, .. } = jobs;
        let bind = |route: Route| Rc::new(route.bind(loaded));
        let routes: Vec<_> = routes.into_iter().map(|route| route.map(bind)).collect();
        let bell = descriptors::doorbell()?;
        let threads = match threads {
            0 | 1 => None,
            count => Some(Threads::start(count, &routes, bell.as_fd())?),
        };
        Ok(Self {
            server: Server::of(&region, index, jobs_max, spin),
            region,
            index,
            routes,
            threads,
            bell,
            runs: HashMap::new(),
            ready: Rc::default(),
            request: Request::new(),
            head: Vec::new(),
            spare: Vec::new(),
            listed: Vec::new(),
        })
    }

    /// What to sleep at.
    pub(super) fn doorbells(&self) -> [BorrowedFd<'_>; 2] {
        [self.region.doorbell(Doorbell::Worker(self.index)), self.bell.as_fd()]
    }

    /// The clock of all deadlines.
    pub(super) fn now(&self) -> u64 {
        self.server.world().now()
    }

    /// When a stream wants to be looked at although nothing has happened.
    pub(super) fn due(&self) -> u64 {
        let due = |run: &Run| match &run.stage {
            Stage::Streaming(streaming) => streaming.due(),
            Stage::Away { .. } | Stage::Collecting { .. } | Stage::Running { .. } => u64::MAX,
        };
        self.runs.values().map(due).min().unwrap_or(u64::MAX)
    }

    /// Streams have a deadline that their shard moves: the supervisor is to know of it.
    pub(super) fn renew(&mut self) {
        for run in self.runs.values_mut() {
            if matches!(run.stage, Stage::Streaming(_)) {
                self.server.renew(&mut run.job);
            }
        }
    }

    /// Takes nothing more; what runs is finished.
    pub(super) fn drain(&mut self) {
        self.server.drain();
    }

    /// Jobs that have begun and are not answered.
    pub(super) fn running(&self) -> usize {
        self.server.running()
    }

    /// Whether there is anybody to work for.
    pub(super) fn sees_a_shard(&self) -> bool {
        self.server.sees_a_shard()
    }

    /// Leaves the pool.
    pub(super) fn detach(self) {
        self.server.detach();
    }

    /// Looks after everything that has happened, and takes at most one job.
    pub(super) fn turn(&mut self) -> Turn {
        let worked = self.look_after();
        match self.server.poll() {
            Next::Job(job) => self.begin(job),
            Next::Withdrawn(id) => self.withdraw(id),
            Next::Moved(id) => self.advance(id),
            Next::Leave => return Turn::Over,
            Next::Block if !worked => return Turn::Idle,
            Next::Spin if !worked => return Turn::Spin,
            Next::Block | Next::Spin => {}
        }
        Turn::Worked
    }

    /// What tasks, threads and the clock have brought; true if that was anything.
    fn look_after(&mut self) -> bool {
        let mut worked = false;
        while let Some((id, reply)) = self.threads.as_ref().and_then(Threads::next) {
            self.handle_reply(id, reply);
            worked = true;
        }
        let mut listed = std::mem::take(&mut self.listed);
        self.ready.take(&mut listed);
        if !self.runs.is_empty() {
            self.list_due(&mut listed);
        }
        worked |= !listed.is_empty();
        for id in listed.drain(..) {
            self.advance(id);
        }
        self.listed = listed;
        worked
    }

    /// Silent streams that owe their client a comment.
    fn list_due(&self, into: &mut Vec<JobId>) {
        let due = self.due();
        if due == u64::MAX || due > self.now() {
            return;
        }
        into.extend(self.runs.iter().filter_map(|(id, run)| match &run.stage {
            Stage::Streaming(streaming) if streaming.due() <= due => Some(*id),
            _ => None,
        }));
    }

    fn begin(&mut self, job: Job) {
        let mut head = std::mem::take(&mut self.head);
        let arrived = match self.read_head(&job, &mut head) {
            Ok(payload) => self.arrive(&job, &head, payload),
            Err(flaw) => Err(flaw),
        };
        let begun = match arrived {
            Ok(arrived) => self.start(job, arrived, &head),
            Err(flaw) => Err((job, flaw)),
        };
        self.head = head;
        if let Err((job, flaw)) = begun {
            self.fail(job, &flaw);
        }
    }

    /// Reads the head of a request over `head`.
    fn read_head(&self, job: &Job, head: &mut Vec<u8>) -> Result<Payload, Flaw> {
        let payload = self.server.request(job)?;
        let (world, bytes) = (self.server.world(), job.request().bytes as usize);
        if bytes > payload.capacity() {
            return Err(DecodeError::Truncated.into());
        }
        // Nearly every head lies within the first bytes, and is copied once.
        head.resize(bytes.min(GLANCE_BYTES), 0);
        payload.read(world, 0, head);
        let head_bytes = message::head_bytes(head, REQUEST_MESSAGE_HEAD_BYTES_MAX)?;
        if head_bytes > bytes {
            return Err(DecodeError::Truncated.into());
        }
        let is_here = head_bytes <= head.len();
        head.resize(head_bytes, 0);
        if !is_here {
            payload.read(world, 0, head);
        }
        Ok(payload)
    }

    /// Opens the head of a request.
    fn arrive<'h>(&self, job: &Job, head: &'h [u8], payload: Payload) -> Result<Arrived<'h>, Flaw> {
        let opened = RequestIn::open(head)?;
        opened.check_length(job.request().bytes.into())?;
        let route = self.routes.get(usize::from(opened.route.0)).cloned().flatten();
        let route = route.ok_or(Flaw::Route(opened.route))?;
        Ok(Arrived { opened, route, payload })
    }

    fn start(&mut self, job: Job, arrived: Arrived<'_>, head: &[u8]) -> Result<(), (Job, Flaw)> {
        let Arrived { opened, route, payload } = arrived;
        match (&route.call, opened.carriage) {
            (Call::Plain(call), Carriage::Whole(bytes)) => {
                let body = self.read_body(&payload, head.len(), bytes);
                self.call(job, &route, &**call, (head, body))
            }
            (Call::Plain(_), Carriage::Chunks(length)) => {
                let (head, body) = (head.to_vec(), Vec::new());
                let stage = Stage::Collecting { route, head, body, length };
                self.go_on(Run::new(job, &self.ready, stage));
                Ok(())
            }
            (Call::Async(call), Carriage::Whole(bytes)) => {
                let body = self.read_body(&payload, head.len(), bytes);
                let body = (bytes > 0).then(|| Body::full(Bytes::from(body)));
                self.call_async(job, &route, &**call, (opened, body, Upload(None)))
            }
            (Call::Async(call), Carriage::Chunks(length)) => {
                let (sender, body) = body::channel(UPLOAD_BYTES_HIGH);
                if let Some(length) = length {
                    sender.set_length(length);
                }
                self.call_async(job, &route, &**call, (opened, Some(body), Upload(Some(sender))))
            }
        }
    }

    fn read_body(&mut self, payload: &Payload, at: usize, bytes: u64) -> Vec<u8> {
        let mut body = std::mem::take(&mut self.spare);
        // It lies within its message, whose length was compared with what there is.
        body.resize(bytes as usize, 0);
        payload.read(self.server.world(), at, &mut body);
        body
    }

    /// Has a plain handler called, here or on a thread.
    fn call(
        &mut self,
        job: Job,
        route: &Bound,
        call: &PlainFn,
        (head, body): (&[u8], Vec<u8>),
    ) -> Result<(), (Job, Flaw)> {
        if let Some(threads) = &self.threads {
            threads.give(job.id(), head.to_vec(), body);
            let run = Run::new(job, &self.ready, Stage::Away { withdrawn: false });
            self.runs.insert(run.job.id(), run);
            return Ok(());
        }
        let request = &mut self.request;
        let read = RequestIn::open(head)
            .and_then(|opened| opened.read(&route.params, &mut request.head, &mut request.params));
        if let Err(error) = read {
            return Err((job, error.into()));
        }
        if body.is_empty() {
            self.spare = body;
        } else {
            request.body = RequestBody::Full(body.into());
        }
        let response = call_plain(call, request, &route.name);
        self.take_body_back();
        if let Some((job, response)) = self.answer_whole(job, response) {
            let mut run = Run::new(job, &self.ready, Stage::Away { withdrawn: false });
            run.head_only = self.request.method() == Method::HEAD;
            run.duty = duty_of(&self.request, &route.name);
            self.answer_stream(run, response);
        }
        Ok(())
    }

    /// The next body lies where this one did, unless the handler has kept it.
    fn take_body_back(&mut self) {
        if let RequestBody::Full(body) =
            std::mem::replace(&mut self.request.body, RequestBody::Gone)
            && body.len() <= SPARE_BYTES_MAX
            && let Ok(body) = body.try_into_mut()
        {
            self.spare = body.into();
        }
    }

    /// Calls an async handler; it may answer at once.
    fn call_async(
        &mut self,
        job: Job,
        route: &Bound,
        call: &AsyncJobFn,
        (opened, body, upload): (RequestIn<'_>, Option<Body>, Upload),
    ) -> Result<(), (Job, Flaw)> {
        let mut request = Request::new();
        let read = opened.read(&route.params, &mut request.head, &mut request.params);
        if let Err(error) = read {
            return Err((job, error.into()));
        }
        request.body = body.map_or(RequestBody::Gone, RequestBody::Stream);
        let mut run = Run::new(job, &self.ready, Stage::Away { withdrawn: false });
        run.head_only = request.method() == Method::HEAD;
        run.duty = duty_of(&request, &route.name);
        run.upload = upload;
        run.upload.notify_with(&run.notify);
        // What is here already may be all that the handler waits for.
        let _ = self.pump_upload(&mut run);
        let duty = Duty::begin(&[&run.duty]);
        let step = first_step(|| call(request));
        drop(duty);
        match step {
            Ok(FirstStep::Ready(response)) => self.answer(run, response),
            Err(Panicked) => self.answer(run, Error::Internal.into_response()),
            Ok(FirstStep::Pending(future)) => {
                let answer = Rc::new(Answer::default());
                let (duty, notify) = (Rc::clone(&run.duty), Rc::clone(&run.notify));
                let task = executor::spawn(run_handler(duty, future, Rc::clone(&answer), notify));
                run.stage = Stage::Running { _task: task, answer };
                self.go_on(run);
            }
        }
        Ok(())
    }

    /// Something that a job waited for has happened.
    fn advance(&mut self, id: JobId) {
        if let Some(run) = self.runs.remove(&id) {
            run.notify.rearm();
            self.go_on(run);
        }
    }

    /// Does what can be done for a job now.
    pub(super) fn go_on(&mut self, mut run: Run) {
        let mut interests = Interests { item: self.pump_upload(&mut run), room: false };
        let now = self.now();
        match &mut run.stage {
            Stage::Away { .. } => {}
            Stage::Collecting { body, length, .. } => {
                match collect(&mut self.server, &run.job, body, *length) {
                    Ok(Collected::Part) => interests.item = true,
                    Ok(Collected::All) => return self.call_collected(run),
                    Ok(Collected::Cut) => return self.answer(run, BodyError::Cut.into_response()),
                    Err(flaw) => return self.fail(run.job, &flaw),
                }
            }
            Stage::Running { answer, .. } => {
                let response = answer.borrow_mut().take();
                if let Some(response) = response {
                    return self.answer(run, response);
                }
            }
            Stage::Streaming(streaming) => {
                match streaming.pump(&mut self.server, &run.job, now) {
                    Flow::Done => return self.server.finish_stream(run.job),
                    Flow::NeedsBytes => {}
                    Flow::NeedsRoom => interests.room = true,
                }
                self.server.renew(&mut run.job);
            }
        }
        self.server.wait_for(&run.job, interests);
        self.runs.insert(run.job.id(), run);
    }

    /// Passes on what has arrived of a request; true if more is waited for.
    fn pump_upload(&mut self, run: &mut Run) -> bool {
        run.upload.pump(&mut self.server, &run.job).unwrap_or_else(|flaw| {
            tracing::error!(%flaw, request = &*run.duty, "a request cannot be read further");
            run.upload.fail();
            false
        })
    }

    /// The body of a request is complete.
    fn call_collected(&mut self, run: Run) {
        let Run { job, stage: Stage::Collecting { route, head, body, .. }, .. } = run else {
            return;
        };
        let Call::Plain(call) = &route.call else { return };
        if let Err((job, flaw)) = self.call(job, &route, &**call, (&head, body)) {
            self.fail(job, &flaw);
        }
    }

    fn handle_reply(&mut self, id: JobId, reply: Reply) {
        if matches!(reply, Reply::Moved) {
            return self.advance(id);
        }
        let Some(mut run) = self.runs.remove(&id) else { return };
        if matches!(run.stage, Stage::Away { withdrawn: true }) {
            return self.abandon(run);
        }
        match reply {
            Reply::Answer(parts, body) => self.answer(run, parts.with(Content::Bytes(body))),
            Reply::Flawed(flaw) => self.fail(run.job, &flaw),
            Reply::Moved => self.go_on(run),
            Reply::Stream(parts, chunks) => {
                run.head_only = parts.head_only;
                let keep_alive = chunks.keep_alive;
                let source = Source::Thread(chunks);
                let outflow = Outflow { source, producer: None, trailers: true, keep_alive };
                self.send(run, &parts.with(Content::Static(b"")), outflow);
            }
        }
    }

    /// Nobody wants the answer of a job any more.
    fn withdraw(&mut self, id: JobId) {
        let Some(mut run) = self.runs.remove(&id) else { return };
        if let Stage::Away { withdrawn } = &mut run.stage {
            // The thread works on: only what comes back is dropped.
            *withdrawn = true;
            self.runs.insert(id, run);
        } else {
            self.abandon(run);
        }
    }

    /// Ends a job without an answer; what runs for it is dropped.
    fn abandon(&mut self, run: Run) {
        let Run { job, stage, .. } = run;
        match &stage {
            Stage::Streaming(streaming) if streaming.is_open() => self.server.finish_stream(job),
            _ => {
                let status = StatusCode::INTERNAL_SERVER_ERROR.as_u16();
                let completed = self.server.complete(job, status, &[]);
                assert!(completed.is_ok(), "nothing fits into every slot");
            }
        }
    }

    /// A job that cannot be run is answered all the same.
    fn fail(&mut self, job: Job, flaw: &Flaw) {
        tracing::error!(%flaw, "a job cannot be run");
        self.answer(
            Run::new(job, &self.ready, Stage::Away { withdrawn: false }),
            Error::Internal.into_response(),
        );
    }
}

/// A request of which the head was opened.
struct Arrived<'h> {
    opened: RequestIn<'h>,
    route: Rc<Bound>,
    payload: Payload,
}

/// What is copied at first of a message, in the hope that it has all of the head.
const GLANCE_BYTES: usize = 4 << 10;
/// A larger buffer is freed instead of kept.
const SPARE_BYTES_MAX: usize = 1 << 20;
