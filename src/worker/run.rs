//! A job that takes longer than a call: its stage, and the request's body on its way to it.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use super::flaw::Flaw;
use super::jobs::{Bound, on_duty};
use super::ready::{JobNotify, Ready};
use super::streaming::Streaming;
use crate::executor::Task;
use crate::handler::guarded::Panicked;
use crate::handler::{BodyError, IntoResponse, LocalFuture, Notify, Response, Sender};
use crate::http::Error;
use crate::offload::chunks::StreamItem;
use crate::offload::layout::Span;
use crate::offload::message::decode_trailers;
use crate::offload::region::Mapped;
use crate::offload::server::{Job, Server};
use crate::offload::world::World;

/// A job that was begun and not completed.
pub(super) struct Run {
    pub(super) job: Job,
    pub(super) notify: Rc<JobNotify>,
    /// Whether the client asked for the head alone.
    pub(super) head_only: bool,
    /// For the line of a panic.
    pub(super) duty: Rc<str>,
    /// Where the request's body goes while somebody wants it.
    pub(super) upload: Upload,
    pub(super) stage: Stage,
}

/// How far it is.
pub(super) enum Stage {
    /// A thread has it.
    Away {
        /// Nobody wants what comes back.
        withdrawn: bool,
    },
    /// The body of the request is arriving, for a plain handler.
    Collecting {
        route: Rc<Bound>,
        head: Vec<u8>,
        body: Vec<u8>,
        /// What it will have, if that is known.
        length: Option<u64>,
    },
    /// A handler's future is pending.
    Running { _task: Task, answer: Rc<Answer> },
    /// The response is on its way.
    Streaming(Box<Streaming>),
}

/// Where a task leaves its response.
pub(super) type Answer = RefCell<Option<Response>>;

impl Run {
    pub(super) fn new(job: Job, ready: &Rc<Ready>, stage: Stage) -> Self {
        let notify = JobNotify::new(job.id(), ready);
        Self { job, notify, head_only: false, duty: "".into(), upload: Upload(None), stage }
    }
}

/// A pending handler as a task: leaves the response where the worker finds it.
pub(super) async fn run_handler(
    duty: Rc<str>,
    future: LocalFuture<Response>,
    answer: Rc<Answer>,
    notify: Rc<JobNotify>,
) {
    let response =
        on_duty(duty, future).await.unwrap_or_else(|Panicked| Error::Internal.into_response());
    *answer.borrow_mut() = Some(response);
    notify.notify();
}

/// The way of a request's body to a future. Whoever still reads when it is dropped must not take
/// what arrived for all of it.
pub(super) struct Upload(pub(super) Option<Sender>);

impl Drop for Upload {
    fn drop(&mut self) {
        self.fail();
    }
}

impl Upload {
    /// Whom to tell when there is room again.
    pub(super) fn notify_with(&self, notify: &Rc<JobNotify>) {
        if let Some(sender) = &self.0 {
            sender.notify_with(Rc::clone(notify) as Rc<dyn Notify>);
        }
    }

    /// The body breaks off.
    pub(super) fn fail(&mut self) {
        if let Some(sender) = self.0.take() {
            sender.fail(BodyError::Cut);
        }
    }

    /// Passes on what has arrived; true if more is waited for.
    pub(super) fn pump(&mut self, server: &mut Server<Mapped>, job: &Job) -> Result<bool, Flaw> {
        loop {
            let Some(sender) = &self.0 else { return Ok(false) };
            if sender.is_gone() {
                self.0 = None;
                server.refuse(job);
                return Ok(false);
            }
            if sender.is_full() {
                return Ok(false);
            }
            let Some(item) = server.receive(job)? else { return Ok(true) };
            match item {
                StreamItem::Bytes(span) => {
                    // That nobody reads is found out the next time.
                    let _ = sender.push(Bytes::from(copy(server, span)));
                }
                StreamItem::End(span) => self.finish(server, span)?,
                StreamItem::Failed | StreamItem::Opening(_) => self.fail(),
            }
            server.taken(job);
        }
    }

    fn finish(&mut self, server: &Server<Mapped>, trailers: Option<Span>) -> Result<(), Flaw> {
        let trailers = match trailers {
            Some(span) => decode_trailers(&copy(server, span))?,
            None => Vec::new(),
        };
        if let Some(sender) = self.0.take() {
            sender.finish(trailers);
        }
        Ok(())
    }
}

/// What came of looking for more of a body that is collected.
pub(super) enum Collected {
    /// All of it is there.
    All,
    /// It broke off.
    Cut,
    /// More is to come.
    Part,
}

/// Adds what has arrived to `body`, which is to have this length if it is known.
pub(super) fn collect(
    server: &mut Server<Mapped>,
    job: &Job,
    body: &mut Vec<u8>,
    length: Option<u64>,
) -> Result<Collected, Flaw> {
    loop {
        let Some(item) = server.receive(job)? else { return Ok(Collected::Part) };
        let collected = match item {
            StreamItem::Bytes(span) => {
                let from = body.len();
                body.resize(from + span.bytes() as usize, 0);
                server.world().copy_out(span, &mut body[from..]);
                None
            }
            // A plain handler sees no trailers.
            StreamItem::End(_) => Some(Collected::All),
            StreamItem::Failed | StreamItem::Opening(_) => Some(Collected::Cut),
        };
        server.taken(job);
        let bytes = body.len() as u64;
        let is_all = matches!(collected, Some(Collected::All));
        if length.is_some_and(|length| bytes > length || (is_all && bytes < length)) {
            return Err(Flaw::Length);
        }
        if let Some(collected) = collected {
            return Ok(collected);
        }
    }
}

fn copy(server: &Server<Mapped>, span: Span) -> Vec<u8> {
    let mut bytes = vec![0; span.bytes() as usize];
    server.world().copy_out(span, &mut bytes);
    bytes
}
