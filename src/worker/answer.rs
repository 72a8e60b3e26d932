//! Answers: in one message where it fits, else piece by piece.

use std::rc::Rc;

use bytes::Bytes;

use super::run::{Run, Stage};
use super::serve::Serving;
use super::streaming::{KeepAliveEvery, Source, Streaming, run_producer};
use crate::executor;
use crate::handler::guarded::Guarded;
use crate::handler::response::{Content, Stream};
use crate::handler::{Body, Gone, IntoResponse, LocalFuture, Notify, Response, scratch};
use crate::http::Error;
use crate::limits::COPY_BYTES_MAX;
use crate::offload::message::{Carriage, ResponseOut};
use crate::offload::payload::Writer;
use crate::offload::server::Job;

/// What a stream is made of.
pub(super) struct Outflow {
    pub(super) source: Source,
    /// The future that fills it; `None` if somebody else does.
    pub(super) producer: Option<LocalFuture<Result<(), Gone>>>,
    /// Whether trailer fields at the end are meant for the client.
    pub(super) trailers: bool,
    pub(super) keep_alive: KeepAliveEvery,
}

impl Serving {
    /// Answers a job. What was still on its way to its handler is for nobody.
    pub(super) fn answer(&mut self, run: Run, response: Response) {
        let Run { job, notify, head_only, duty, upload, stage: _ } = run;
        if let Some((job, response)) = self.answer_whole(job, response) {
            // The response may live from the request's body.
            let stage = Stage::Away { withdrawn: false };
            self.answer_stream(Run { job, notify, head_only, duty, upload, stage }, response);
        }
    }

    /// Answers with one message. Gives both back when the response does not fit into one now.
    pub(super) fn answer_whole(
        &mut self,
        job: Job,
        mut response: Response,
    ) -> Option<(Job, Response)> {
        let body: &[u8] = match &response.content {
            Content::Buffer(body) => body,
            Content::Bytes(body) => body,
            Content::Static(body) => body,
            Content::Stream(_) => return Some((job, response)),
        };
        let out = match ResponseOut::new(response.head(), Carriage::Whole(body.len() as u64)) {
            Ok(out) => out,
            Err(oversize) => {
                tracing::error!(%oversize, "a response cannot be passed on");
                return self.answer_whole(job, Error::Internal.into_response());
            }
        };
        let bytes = out.head_bytes() as u64 + body.len() as u64;
        let Some(draft) = self.server.draft(bytes) else { return Some((job, response)) };
        // A head has many small parts: they are put together here and copied once.
        let mut message = scratch::take();
        out.encode(&mut message);
        let status = response.status.as_u16();
        if body.len() <= COPY_BYTES_MAX {
            message.extend_from_slice(body);
            self.server.complete_message(job, draft, status, &message);
        } else {
            let mut writer = Writer::new(self.server.world(), self.server.payload(&job, &draft));
            writer.put(&message);
            writer.put(body);
            // There is a draft, so it is no more than blocks hold.
            self.server.complete_draft(job, draft, status, bytes as u32);
        }
        scratch::give(message);
        if let Content::Buffer(buffer) = &mut response.content {
            scratch::give(std::mem::take(buffer));
        }
        None
    }

    /// Answers piece by piece.
    pub(super) fn answer_stream(&mut self, run: Run, mut response: Response) {
        let whole = |bytes| Outflow {
            source: Source::Body(Body::full(bytes)),
            producer: None,
            trailers: false,
            keep_alive: None,
        };
        let outflow = match std::mem::replace(&mut response.content, Content::Static(b"")) {
            Content::Buffer(buffer) => whole(Bytes::from(buffer)),
            Content::Bytes(bytes) => whole(bytes),
            Content::Static(bytes) => whole(Bytes::from_static(bytes)),
            Content::Stream(stream) => {
                let Stream { body, producer, trailers, keep_alive } = *stream;
                body.notify_with(Rc::clone(&run.notify) as Rc<dyn Notify>);
                Outflow { source: Source::Body(body), producer, trailers, keep_alive }
            }
        };
        self.send(run, &response, outflow);
    }

    /// Begins a stream with the head of `response`.
    pub(super) fn send(&mut self, mut run: Run, response: &Response, outflow: Outflow) {
        let Outflow { mut source, mut producer, trailers, keep_alive } = outflow;
        let carriage = Carriage::Chunks(source.length());
        let out = match ResponseOut::new(response.head(), carriage) {
            Ok(out) => out,
            Err(oversize) => {
                tracing::error!(%oversize, request = &*run.duty, "a response cannot be passed on");
                return self.answer(run, Error::Internal.into_response());
            }
        };
        let mut head = Vec::with_capacity(out.head_bytes());
        out.encode(&mut head);
        if run.head_only {
            drop(producer.take().map(Guarded::new));
            source = Source::Body(Body::empty());
        }
        let failed = Rc::default();
        let producer = producer.map(|future| {
            let (duty, notify) = (Rc::clone(&run.duty), Rc::clone(&run.notify));
            executor::spawn(run_producer(duty, future, Rc::clone(&failed), Some(notify)))
        });
        let streaming = Streaming::new(response.status.as_u16(), head, source)
            .with_trailers(trailers)
            .with_producer(producer, failed)
            .with_keep_alive(keep_alive, self.now());
        run.stage = Stage::Streaming(Box::new(streaming));
        self.go_on(run);
    }
}
