//! One pool as its shard sees it: which jobs are out, what waits behind the slots, and whom to
//! tell what came of each.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ::http::Method;

use super::answer;
use super::jobs::{Job, JobBody, JobKey, JobTerms, Jobs, Out, Stage, Waiting};
use super::lead::{Lead, Lent, Reply, Tie, Tray};
use super::spill::Spill;
use super::stream::{Down, Flow, PIECES_PER_TURN, Upload};
use super::{Offer, PoolSettings, PoolSetup};
use crate::handler::response::{Content, Stream};
use crate::handler::{IntoResponse, Notify, Request, Response, body};
use crate::http::{Error, Time};
use crate::limits::{COPY_BYTES_MAX, OUTPUT_BYTES_HIGH};
use crate::offload::admission::{self, Admission, Admitted};
use crate::offload::chunks::StreamItem;
use crate::offload::client::{Client, Draft, Ended, Refused, Terms, Ticket};
use crate::offload::death::Fault;
use crate::offload::layout::{Doorbell, Span};
use crate::offload::message::{self, Carriage, RequestOut, RequestParts, RouteId};
use crate::offload::payload::Writer;
use crate::offload::region::{Mapped, Region};
use crate::offload::slot::{self, Form, Outcome, Retry};
use crate::offload::word::{ShardIndex, StateWord};
use crate::offload::world::{Ordering, World};

/// The desk of one pool.
pub(super) struct Desk {
    client: Client<Mapped>,
    region: Arc<Region>,
    seat: ShardIndex,
    settings: PoolSettings,
    admission: Admission<JobKey>,
    jobs: Jobs,
    /// Whose job is in each slot.
    in_slots: Vec<Option<JobKey>>,
    tray: Rc<Tray>,
    spill: Spill,
    /// What workers wrote that cannot be.
    faults: Vec<Fault>,
    /// When the first job behind the slots has waited enough.
    expiry: Option<Duration>,
    /// When the pool's counters were looked at.
    looked: Time,
    /// Whether the doorbell was given to a listener.
    heard: bool,
    /// Whether the client was armed for a sleep.
    armed: bool,
    /// The message that is being read.
    buffer: Vec<u8>,
    /// A scratch list.
    keys: Vec<JobKey>,
}

/// A place for a message, and how its body is to be carried.
struct Drafted {
    draft: Draft,
    carriage: Carriage,
}

/// Why a request cannot become a job.
enum Unfit {
    /// The pool's memory is broken, or has no room for the head of a stream.
    NoRoom,
    /// A worker is not given such a head.
    Oversize,
}

/// How a request is introduced to its worker.
#[derive(Clone, Copy)]
struct Introduction<'a> {
    request: &'a Request,
    terms: JobTerms,
}

impl Desk {
    pub(super) fn new(setup: PoolSetup, seat: ShardIndex, spill: &Spill) -> Self {
        let PoolSetup { region, settings, .. } = setup;
        Self {
            client: Client::of(&region, seat),
            in_slots: vec![None; region.layout().shape().slots as usize],
            region,
            seat,
            settings,
            admission: Admission::new(settings.admission()),
            jobs: Jobs::default(),
            tray: Rc::default(),
            spill: spill.clone(),
            faults: Vec::new(),
            expiry: None,
            looked: Time::default(),
            heard: false,
            armed: false,
            buffer: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Takes a request, or says why not.
    pub(super) fn offer(&mut self, offer: Offer<'_>, route: RouteId) -> Result<Lead, Response> {
        let Offer { job, request, body, notify, now, .. } = offer;
        self.look_at_pool(now);
        let timeout = job.timeout.unwrap_or(self.settings.timeout);
        let deadline = now + timeout;
        let retry = retry_of(job.retry, request.method());
        let terms = JobTerms { route, since: now, timeout, deadline, retry };
        // Nobody overtakes those who wait behind the slots.
        let drafted = match self.admission.queued() {
            0 => self.draft(Introduction { request, terms }, &body),
            _ => Ok(None),
        };
        let drafted = drafted.map_err(|unfit| self.refuse(unfit))?;
        let key = self.jobs.next_key();
        let (until, slot_free) = (since_start(deadline), drafted.is_some());
        let admitted = self.admission.admit(key, until, slot_free, since_start(now));
        let tie = Tie::new(key, &self.tray, notify);
        let stage = match (admitted, drafted) {
            (Ok(Admitted::Submit(_, start_by)), Some(drafted)) => {
                let introduction = Introduction { request, terms };
                Stage::Out(self.submit(drafted, introduction, body, start_by, &tie))
            }
            (Ok(Admitted::Submit(..)), None) => unreachable!("there was no place for it"),
            (Ok(Admitted::Queued(ticket)), drafted) => {
                self.discard(drafted);
                let request = Box::new(std::mem::replace(request, Request::new()));
                Stage::Waiting(Waiting { ticket, request, body })
            }
            (Err(refused), drafted) => {
                self.discard(drafted);
                return Err(answer::busy(refused.retry_after));
            }
        };
        let job = Job { tie: Rc::clone(&tie), stage, terms, wanted: true };
        self.jobs.insert(key, job);
        self.note_slot(key);
        self.upload(key, now);
        let PoolSettings { cancel_on_disconnect, cancel_on_half_close, .. } = self.settings;
        Ok(Lead::new(tie, cancel_on_disconnect && cancel_on_half_close))
    }

    /// Takes over what workers have done, at the beginning of a turn.
    pub(super) fn collect(&mut self, now: Time) {
        self.client.collect();
        self.client.handle_timeout(now.as_nanos());
        self.take_outcomes(now);
        // What moves while it is pumped has the next turn: a worker that is quick enough would
        // otherwise keep the shard for itself, for all of a large request.
        let mut keys = std::mem::take(&mut self.keys);
        while let Some(ticket) = self.client.poll_moved() {
            keys.extend(self.job_of(ticket));
        }
        keys.drain(..).for_each(|key| self.pump(key, now));
        self.keys = keys;
        self.look_at_pool(now);
    }

    /// Does what connections have left on the desk, submits what waits, and wakes workers, at the
    /// end of a turn.
    pub(super) fn finish(&mut self, now: Time) {
        let mut keys = std::mem::take(&mut self.keys);
        self.tray.take_left(&mut keys);
        keys.drain(..).for_each(|key| self.leave(key, now));
        self.tray.take_moved(&mut keys);
        keys.drain(..).for_each(|key| self.pump(key, now));
        self.keys = keys;
        self.take_outcomes(now);
        while let Some(ticket) = self.tray.pop_read() {
            self.client.release(ticket);
        }
        self.submit_waiting(now);
        self.client.set_queued(self.admission.queued());
        self.expiry = self.admission.poll_timeout();
        self.client.wake();
    }

    /// Whether there is nothing to do and nothing to keep.
    pub(super) fn is_idle(&self) -> bool {
        // Leads and answers that connections still hold have a share in the tray.
        let is_held = Rc::strong_count(&self.tray) > 1;
        self.client.is_idle() && self.jobs.is_empty() && self.faults.is_empty() && !is_held
    }

    /// Whether no job is under way.
    pub(super) fn is_done(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether a worker may have something to say soon.
    pub(super) fn expects(&self) -> bool {
        !self.client.is_idle()
    }

    /// Whether a worker has something to say, or was not heard to the end.
    pub(super) fn is_work_waiting(&self) -> bool {
        self.client.is_work_waiting() || self.tray.has_moved()
    }

    /// When `collect` is due.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let client = self.client.poll_timeout().map(Time::from_nanos);
        let admission = self.expiry.map(|at| Time::default() + at);
        [client, admission].into_iter().flatten().min()
    }

    /// Gets ready for a sleep; false when something has come up.
    pub(super) fn arm(&mut self) -> bool {
        if self.tray.has_moved() {
            return false;
        }
        self.armed = !self.client.is_idle() && self.client.arm();
        self.armed || self.client.is_idle()
    }

    /// Awake again.
    pub(super) fn disarm(&mut self) {
        if std::mem::take(&mut self.armed) {
            self.client.disarm();
        }
    }

    /// What the workers ring at.
    pub(super) fn doorbell(&self) -> BorrowedFd<'_> {
        self.region.doorbell(Doorbell::Shard(self.seat))
    }

    /// A second descriptor of the doorbell, once.
    pub(super) fn take_unheard(&mut self) -> Option<io::Result<OwnedFd>> {
        if self.client.is_idle() || std::mem::replace(&mut self.heard, true) {
            return None;
        }
        Some(self.doorbell().try_clone_to_owned())
    }

    /// Something that a worker has written and that cannot be.
    pub(super) fn pop_fault(&mut self) -> Option<Fault> {
        self.faults.pop()
    }

    /// Nobody waits for anything any more.
    pub(super) fn cancel_all(&mut self) {
        self.jobs.keys().into_iter().for_each(|key| self.cancel(key));
    }

    /// Leaves the place for good.
    pub(super) fn close(mut self, now: Time) {
        self.cancel_all();
        self.finish(now);
        self.client.detach();
    }

    /// A place for the message in slot and blocks; `None` while there is none.
    fn draft(&mut self, who: Introduction<'_>, body: &JobBody) -> Result<Option<Drafted>, Unfit> {
        if let JobBody::Whole(bytes) = body {
            let carriage = Carriage::Whole(bytes.len() as u64);
            let message_bytes = who.write(carriage)?.head_bytes() as u64 + bytes.len() as u64;
            match self.client.draft(message_bytes) {
                Ok(draft) => return Ok(Some(Drafted { draft, carriage })),
                Err(Refused::Full) => return Ok(None),
                Err(Refused::Broken) => return Err(Unfit::NoRoom),
                // A stream needs no more than one block at a time.
                Err(Refused::NoBlocks | Refused::TooLong) => {}
            }
        }
        let carriage = Carriage::Chunks(body.length());
        let head_bytes = who.write(carriage)?.head_bytes() as u64;
        match self.client.draft_opening(head_bytes) {
            Ok(draft) => Ok(Some(Drafted { draft, carriage })),
            Err(Refused::Full) => Ok(None),
            Err(Refused::Broken | Refused::NoBlocks) => Err(Unfit::NoRoom),
            Err(Refused::TooLong) => Err(Unfit::Oversize),
        }
    }

    fn discard(&mut self, drafted: Option<Drafted>) {
        if let Some(drafted) = drafted {
            self.client.discard(drafted.draft);
        }
    }

    /// What a client is told whose request cannot become a job.
    fn refuse(&self, unfit: Unfit) -> Response {
        match unfit {
            Unfit::NoRoom => answer::busy(self.admission.retry_after()),
            Unfit::Oversize => Error::FieldsTooLarge.into_response(),
        }
    }

    /// Writes the message and makes it a job of the pool.
    fn submit(
        &mut self,
        drafted: Drafted,
        who: Introduction<'_>,
        body: JobBody,
        start_by: Duration,
        tie: &Rc<Tie>,
    ) -> Out {
        let Drafted { draft, carriage } = drafted;
        // A head has many small parts: they are put together here and copied once.
        self.buffer.clear();
        // It was measured for the draft, and can be written since then.
        if let Ok(out) = who.write(carriage) {
            out.encode(&mut self.buffer);
        }
        let terms = Terms {
            start_by: (Time::default() + start_by).as_nanos(),
            deadline: who.terms.deadline.as_nanos(),
            retry: who.terms.retry,
        };
        let (ticket, upload) = match (carriage, body) {
            (Carriage::Whole(_), JobBody::Whole(bytes)) => {
                (self.submit_whole(draft, &bytes, terms), None)
            }
            (_, body) => {
                let ticket = self.client.submit_message(draft, &self.buffer, terms);
                (ticket, Some(Upload::new(body, tie)))
            }
        };
        Out { ticket, upload, down: Down::Unopened, done: false }
    }

    /// Submits what the buffer holds with a body behind it.
    fn submit_whole(&mut self, draft: Draft, body: &[u8], terms: Terms) -> Ticket {
        if body.len() <= COPY_BYTES_MAX {
            self.buffer.extend_from_slice(body);
            return self.client.submit_message(draft, &self.buffer, terms);
        }
        let mut writer = Writer::new(self.client.world(), self.client.payload(&draft));
        writer.put(&self.buffer);
        writer.put(body);
        let bytes = u32::try_from(writer.written()).expect("a slot and its blocks hold less");
        self.client.submit_draft(draft, bytes, terms)
    }

    /// Submits jobs from behind the slots, and refuses those that have waited enough.
    fn submit_waiting(&mut self, now: Time) {
        if self.admission.queued() == 0 {
            return;
        }
        loop {
            let slot_free = self.client.free() > 0;
            match self.admission.poll_action(slot_free, since_start(now)) {
                None => return,
                Some(admission::Action::Refuse(refused)) => {
                    self.fail(refused.job, answer::busy(refused.retry_after));
                }
                Some(admission::Action::Submit(key, start_by)) => {
                    self.submit_one(key, start_by, now);
                }
            }
        }
    }

    fn submit_one(&mut self, key: JobKey, start_by: Duration, now: Time) {
        let Some(job) = self.jobs.get(key) else { return };
        let (tie, terms) = (Rc::clone(&job.tie), job.terms);
        let stage = std::mem::replace(&mut job.stage, Stage::Moving);
        let Stage::Waiting(Waiting { request, body, .. }) = stage else {
            unreachable!("a job behind the slots waits")
        };
        let who = Introduction { request: &request, terms };
        match self.draft(who, &body) {
            Ok(Some(drafted)) => {
                let out = self.submit(drafted, who, body, start_by, &tie);
                if let Some(job) = self.jobs.get(key) {
                    job.stage = Stage::Out(out);
                }
                self.note_slot(key);
                self.upload(key, now);
            }
            // A slot was free, and what it lists is gone once it is.
            Ok(None) => self.fail(key, answer::busy(self.admission.retry_after())),
            Err(unfit) => {
                let response = self.refuse(unfit);
                self.fail(key, response);
            }
        }
    }

    /// What came of jobs.
    fn take_outcomes(&mut self, now: Time) {
        while let Some(Ended { ticket, outcome }) = self.client.poll_outcome() {
            match (self.job_of(ticket), outcome) {
                (Some(key), Outcome::Answered(response)) => {
                    self.note_service(key, ticket, now);
                    self.take_answer(key, ticket, response, now);
                }
                (Some(key), Outcome::Expired) => {
                    let response = answer::busy(self.admission.retry_after());
                    self.fail(key, response);
                }
                (Some(key), outcome) => {
                    self.fail(key, answer::error_of(outcome).into_response());
                }
                (None, Outcome::Answered(_)) => self.client.release(ticket),
                (None, _) => {}
            }
        }
        self.faults.extend(std::iter::from_fn(|| self.client.poll_fault()));
    }

    fn take_answer(&mut self, key: JobKey, ticket: Ticket, response: slot::Response, now: Time) {
        let Some(out) = self.jobs.out(key) else { return };
        out.done = true;
        match (response.form, &out.down) {
            (Form::Chunks, _) => self.pump(key, now),
            (Form::Extents | Form::Inline, Down::Unopened) => {
                match self.read_whole(ticket, response) {
                    Ok(reply) => self.end_with(key, reply),
                    Err(_) => self.give_up(key),
                }
            }
            // It began as a stream, and must end as one.
            (Form::Extents | Form::Inline, _) => self.give_up(key),
        }
    }

    /// The response of a whole message, with its body, or a loan of it if that is large.
    fn read_whole(
        &mut self,
        ticket: Ticket,
        response: slot::Response,
    ) -> Result<Reply, message::DecodeError> {
        let payload = self.client.answer(ticket, response);
        let world = self.client.world();
        let end = response.bytes as usize;
        let opened = answer::open(world, &payload, end, &mut self.buffer)?;
        let Carriage::Whole(_) = opened.carriage else {
            return Err(message::DecodeError::Carriage);
        };
        let (mut response, at) = (opened.response, opened.head_bytes);
        if end - at > COPY_BYTES_MAX {
            let world = world.clone();
            let lent = Lent::new((&self.tray, ticket), world, payload, (at, end), &self.spill);
            return Ok(Reply::Lent(response, lent));
        }
        response.content = answer::copy_body(world, &payload, (at, end), &self.buffer);
        self.client.release(ticket);
        Ok(Reply::Whole(response))
    }

    /// Moves what can be moved of a job's streams.
    fn pump(&mut self, key: JobKey, now: Time) {
        let Some(job) = self.jobs.get(key) else { return };
        job.tie.rearm();
        self.upload(key, now);
        self.download_all(key);
        let Some(out) = self.jobs.out(key) else { return };
        match out.down {
            Down::Ended if out.done => self.finish_stream(key),
            Down::Discarded | Down::Open(_) if !out.done => {
                let deadline = (now + self.settings.idle).as_nanos();
                self.client.mark_streamed(out.ticket, deadline);
            }
            _ => {}
        }
    }

    /// Sends what there is of a request's body. A job whose client still sends has its time from
    /// then on: what a slow client takes is bounded where bodies are received.
    fn upload(&mut self, key: JobKey, now: Time) {
        let Some(job) = self.jobs.get(key) else { return };
        let timeout = job.terms.timeout;
        let Some(out) = self.jobs.out(key) else { return };
        let Some(upload) = &mut out.upload else { return };
        let flow = upload.pump(&mut self.client, out.ticket);
        if upload.take_advanced() && matches!(out.down, Down::Unopened) {
            self.client.postpone(out.ticket, (now + timeout).as_nanos());
        }
        match flow {
            Flow::Goes => self.list(key),
            Flow::Over => out.upload = None,
            Flow::Waits => {}
        }
    }

    /// Takes what there is of an answer, as far as its client keeps up.
    fn download_all(&mut self, key: JobKey) {
        for _ in 0..PIECES_PER_TURN {
            if !self.download(key) {
                return;
            }
        }
        self.list(key);
    }

    /// Has the job looked at again in the next turn, which follows at once.
    fn list(&mut self, key: JobKey) {
        if let Some(job) = self.jobs.get(key) {
            job.tie.notify();
        }
    }

    /// Takes an item of an answer, if there is one and its client keeps up.
    fn download(&mut self, key: JobKey) -> bool {
        let Some(out) = self.jobs.out(key) else { return false };
        match &out.down {
            Down::Ended => return false,
            Down::Open(sender) if sender.is_full() => return false,
            _ => {}
        }
        let (ticket, done) = (out.ticket, out.done);
        match self.client.receive(ticket) {
            Ok(Some(StreamItem::Bytes(span))) => self.take_bytes(key, span),
            Ok(Some(StreamItem::End(span))) => self.take_end(key, span),
            Ok(Some(StreamItem::Failed)) => {
                if !out.down.cut() {
                    self.give_up(key);
                }
            }
            Ok(Some(StreamItem::Opening(response))) => self.take_opening(key, response),
            Ok(None) => {
                if done {
                    // A stream has an end, and this one will never have it.
                    self.give_up(key);
                }
                return false;
            }
            // Its outcome says so, too.
            Err(_) => return false,
        }
        // After a fault it is not ours any more.
        if self.jobs.out(key).is_some() {
            self.client.taken(ticket);
            return true;
        }
        false
    }

    /// A response begins whose body comes in pieces.
    fn take_opening(&mut self, key: JobKey, response: slot::Response) {
        let Some(job) = self.jobs.get(key) else { return };
        let (tie, wanted) = (Rc::clone(&job.tie), job.wanted);
        let Some(out) = self.jobs.out(key) else { return };
        let payload = self.client.answer(out.ticket, response);
        let bytes = response.bytes as usize;
        let opened = answer::open(self.client.world(), &payload, bytes, &mut self.buffer);
        let (mut response, length) = match (opened, &out.down) {
            (Ok(opened), Down::Unopened) => match opened.carriage {
                Carriage::Chunks(length) => (opened.response, length),
                Carriage::Whole(_) => return self.give_up(key),
            },
            _ => return self.give_up(key),
        };
        if !wanted {
            out.down = Down::Discarded;
            return;
        }
        let (sender, body) = body::channel(OUTPUT_BYTES_HIGH);
        sender.notify_with(Rc::clone(&tie) as Rc<dyn Notify>);
        if let Some(length) = length {
            sender.set_length(length);
        }
        out.down = Down::Open(sender);
        let stream = Stream { body, producer: None, trailers: true, keep_alive: None };
        response.content = Content::Stream(Box::new(stream));
        tie.reply(Reply::Whole(response));
    }

    fn take_bytes(&mut self, key: JobKey, span: Span) {
        let Some(out) = self.jobs.out(key) else { return };
        match &out.down {
            Down::Open(sender) => {
                let mut bytes = vec![0; span.bytes() as usize];
                self.client.world().copy_out(span, &mut bytes);
                // A client that has left is told of by its lead.
                let _gone = sender.push(bytes.into());
            }
            Down::Discarded => {}
            Down::Ended | Down::Unopened => self.give_up(key),
        }
    }

    fn take_end(&mut self, key: JobKey, span: Option<Span>) {
        let Some(out) = self.jobs.out(key) else { return };
        let trailers = match span {
            None => Ok(body::Trailers::new()),
            Some(span) => {
                self.buffer.resize(span.bytes() as usize, 0);
                self.client.world().copy_out(span, &mut self.buffer);
                message::decode_trailers(&self.buffer)
            }
        };
        match (std::mem::replace(&mut out.down, Down::Ended), trailers) {
            (Down::Open(sender), Ok(trailers)) => sender.finish(trailers),
            (Down::Discarded, Ok(_)) => {}
            (down, _) => {
                out.down = down;
                self.give_up(key);
            }
        }
    }

    /// All of a stream was passed on, and its worker is done.
    fn finish_stream(&mut self, key: JobKey) {
        if let Some(Job { stage: Stage::Out(out), .. }) = self.remove(key) {
            self.client.release(out.ticket);
        }
    }

    /// Nobody waits for the job any more.
    fn leave(&mut self, key: JobKey, now: Time) {
        let Some(job) = self.jobs.get(key) else { return };
        job.wanted = false;
        match &mut job.stage {
            // The worker has said all that it had to say.
            Stage::Out(Out { down: Down::Ended, .. }) => {}
            _ if self.settings.cancel_on_disconnect => self.cancel(key),
            Stage::Out(out) => {
                if let Down::Open(_) = out.down {
                    out.down = Down::Discarded;
                }
                self.pump(key, now);
            }
            Stage::Moving | Stage::Waiting(_) => {}
        }
    }

    /// Takes a job back. What comes of it all the same is for nobody.
    fn cancel(&mut self, key: JobKey) {
        match self.remove(key).map(|job| job.stage) {
            Some(Stage::Out(out)) => self.drop_out(&out),
            Some(Stage::Waiting(waiting)) => {
                self.admission.cancel(waiting.ticket);
            }
            Some(Stage::Moving) | None => {}
        }
    }

    fn drop_out(&mut self, out: &Out) {
        if out.done {
            self.client.release(out.ticket);
        } else {
            // If it is not open any more its outcome is about to be polled.
            let _ = self.client.cancel(out.ticket);
        }
    }

    /// The worker wrote what cannot be read.
    fn give_up(&mut self, key: JobKey) {
        let Some(mut job) = self.remove(key) else { return };
        let Stage::Out(out) = &mut job.stage else { return };
        let cut = out.down.cut();
        self.faults.extend(self.suspect(out.ticket));
        self.drop_out(out);
        if job.wanted && !cut {
            job.tie.reply(Reply::Whole(Error::WorkerLost.into_response()));
        }
    }

    /// A job has come to its end without an answer.
    fn fail(&mut self, key: JobKey, response: Response) {
        let Some(mut job) = self.remove(key) else { return };
        let cut = match &mut job.stage {
            Stage::Out(out) => out.down.cut(),
            Stage::Moving | Stage::Waiting(_) => false,
        };
        if job.wanted && !cut {
            job.tie.reply(Reply::Whole(response));
        }
    }

    /// A job has come to its end with this.
    fn end_with(&mut self, key: JobKey, reply: Reply) {
        if let Some(job) = self.remove(key)
            && job.wanted
        {
            job.tie.reply(reply);
        }
    }

    /// Notes in which slot a job is, if it is in one.
    fn note_slot(&mut self, key: JobKey) {
        if let Some(out) = self.jobs.out(key) {
            self.in_slots[usize::from(out.ticket.slot().0)] = Some(key);
        }
    }

    fn remove(&mut self, key: JobKey) -> Option<Job> {
        let job = self.jobs.remove(key)?;
        job.tie.end();
        if let Stage::Out(out) = &job.stage {
            self.in_slots[usize::from(out.ticket.slot().0)] = None;
        }
        Some(job)
    }

    /// Whose outcome this is, if somebody still waits for it.
    fn job_of(&mut self, ticket: Ticket) -> Option<JobKey> {
        let key = self.in_slots[usize::from(ticket.slot().0)]?;
        (self.jobs.out(key)?.ticket == ticket).then_some(key)
    }

    /// Looks at the pool's counters, unless that was done just now.
    fn look_at_pool(&mut self, now: Time) {
        if now.since(self.looked) >= LOOK_INTERVAL {
            self.looked = now;
            self.admission.handle_pool(self.client.pool_state(), since_start(now));
        }
    }

    /// Notes how long the worker had the job, as it says itself.
    fn note_service(&mut self, key: JobKey, ticket: Ticket, now: Time) {
        let Some(job) = self.jobs.get(key) else { return };
        let world = self.client.world();
        let words = world.layout().slot(self.seat, ticket.slot());
        let started = Time::from_nanos(world.load(words.started(), Ordering::Relaxed));
        if started >= job.terms.since {
            self.admission.handle_service(now.since(started));
        }
    }

    /// Who had the slot, if its state names somebody.
    fn suspect(&self, ticket: Ticket) -> Option<Fault> {
        let world = self.client.world();
        let words = world.layout().slot(self.seat, ticket.slot());
        let word = StateWord::unpack(world.load(words.state(), Ordering::Relaxed))?;
        word.state.owner().map(Fault::Worker)
    }
}

impl<'a> Introduction<'a> {
    /// The head of the message.
    fn write(&self, carriage: Carriage) -> Result<RequestOut<'a>, Unfit> {
        let Self { request, terms } = *self;
        let parts = RequestParts {
            head: &request.head,
            params: &request.params,
            route: terms.route,
            carriage,
            deadline: terms.deadline,
        };
        RequestOut::new(parts).map_err(|_| Unfit::Oversize)
    }
}

/// A job that was begun may run again if it changes nothing and its route says so.
fn retry_of(allowed: bool, method: &Method) -> Retry {
    let changes_nothing = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if allowed && changes_nothing { Retry::Started } else { Retry::Unstarted }
}

/// As admission counts time.
fn since_start(time: Time) -> Duration {
    time.since(Time::default())
}

/// How often the pool's counters are looked at, at most.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
