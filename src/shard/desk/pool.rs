//! One pool as its shard sees it: which jobs are out, what waits behind the slots, and whom to
//! tell what came of each.

use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ::http::Method;

use super::answer::{self, Opened};
use super::jobs::{Job, JobBody, JobKey, JobTerms, Jobs, Out, Stage};
use super::lead::{Lead, Lent, Reply, Tie, Tray};
use super::spill::Spill;
use super::stream::{Down, Flow, Upload};
use super::{Offer, PoolSetup, Rules};
use crate::handler::body::{self, Trailers};
use crate::handler::response::{Content, Stream};
use crate::handler::{IntoResponse, Notify, Request, Response};
use crate::http::{Error, Time};
use crate::limits::{COPY_BYTES_MAX, UPLOAD_BYTES_HIGH};
use crate::offload::admission::{self, Admission, Admitted};
use crate::offload::chunks::StreamItem;
use crate::offload::client::{Client, Draft, Ended, Refused, Terms, Ticket};
use crate::offload::death::Fault;
use crate::offload::layout::{Doorbell, Span};
use crate::offload::message::{self, Carriage, RequestOut, RequestParts, RouteId};
use crate::offload::payload::Writer;
use crate::offload::region::{Mapped, Region};
use crate::offload::slot::{self, Form, Outcome, Retry};
use crate::offload::word::{ShardIndex, SlotState, StateWord};
use crate::offload::world::{Ordering, World};

/// The desk of one pool.
pub(super) struct Desk {
    client: Client<Mapped>,
    region: Arc<Region>,
    seat: ShardIndex,
    rules: Rules,
    admission: Admission<JobKey>,
    jobs: Jobs,
    /// Whose job is in each slot.
    in_slots: Vec<Option<JobKey>>,
    tray: Rc<Tray>,
    spill: Spill,
    /// What workers wrote that cannot be.
    faults: Vec<Fault>,
    /// When the pool's counters were looked at.
    looked: Option<Time>,
    /// Whether the client was armed for a sleep.
    armed: bool,
    /// The message that is being read.
    buffer: Vec<u8>,
    /// A scratch list.
    keys: Vec<JobKey>,
}

/// Why a request cannot become a job.
enum Unfit {
    /// The pool's memory is broken, or lacks room for the head of a stream.
    NoRoom,
    /// A worker is not given such a head.
    Oversize,
}

impl Desk {
    pub(super) fn new(setup: PoolSetup, seat: ShardIndex, spill: &Spill) -> Self {
        let client = Client::of(&setup.region, seat);
        let slots = usize::from(setup.region.layout().shape().slots);
        let settings = setup.settings;
        Self {
            client,
            region: setup.region,
            seat,
            rules: settings.rules(),
            admission: Admission::new(settings.admission()),
            jobs: Jobs::default(),
            in_slots: vec![None; slots],
            tray: Rc::default(),
            spill: spill.clone(),
            faults: Vec::new(),
            looked: None,
            armed: false,
            buffer: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Takes a request, or says why not.
    pub(super) fn offer(&mut self, offer: Offer<'_>) -> Result<Lead, Response> {
        let Offer { job, route, request, body, notify, now } = offer;
        self.look_at_pool(now);
        let deadline = now + job.timeout.unwrap_or(self.rules.timeout);
        let retry = retry_of(job.retry, request.method());
        let terms = JobTerms { route, since: now, deadline, retry };
        let drafted = match self.draft(request, &body, terms) {
            Ok(drafted) => drafted,
            Err(unfit) => return Err(self.refusal(unfit)),
        };
        let key = self.jobs.next_key();
        let admitted = self.admission.admit(key, span(deadline), drafted.is_some(), span(now));
        let tie = Tie::new(key, &self.tray, notify);
        let stage = match (admitted, drafted) {
            (Ok(Admitted::Submit(_, start_by)), Some((out, draft))) => {
                Stage::Out(self.submit((out, draft), body, terms, start_by, &tie))
            }
            (Ok(Admitted::Submit(..)), None) => unreachable!("no slot was free"),
            (Ok(Admitted::Queued(ticket)), drafted) => {
                self.discard(drafted);
                let request = Box::new(std::mem::replace(request, Request::new()));
                Stage::Waiting { ticket, request, body }
            }
            (Err(refused), drafted) => {
                self.discard(drafted);
                return Err(answer::busy(refused.retry_after));
            }
        };
        self.insert(key, Job { tie: Rc::clone(&tie), stage, terms, wanted: true });
        self.pump_upload(key);
        Ok(Lead::new(tie, self.rules.cancel_on_half_close && self.rules.cancel_on_disconnect))
    }

    /// Takes over what workers have done, at the beginning of a turn.
    pub(super) fn collect(&mut self, now: Time) {
        self.client.collect();
        self.client.handle_timeout(now.as_nanos());
        self.take_outcomes(now);
        while let Some(ticket) = self.client.poll_moved() {
            if let Some(key) = self.job_of(ticket) {
                self.pump(key, now);
            }
        }
        self.take_outcomes(now);
        if self.looked.is_none_or(|looked| now.since(looked) >= LOOK_INTERVAL) {
            self.look_at_pool(now);
        }
    }

    /// Does what connections have left on the desk, submits what waits, and wakes workers, at the
    /// end of a turn.
    pub(super) fn finish(&mut self, now: Time) {
        let mut keys = std::mem::take(&mut self.keys);
        self.tray.take_left(&mut keys);
        for key in keys.drain(..) {
            self.leave(key);
        }
        self.tray.take_moved(&mut keys);
        for key in keys.drain(..) {
            self.pump(key, now);
        }
        self.keys = keys;
        while let Some(ticket) = self.tray.pop_read() {
            self.client.release(ticket);
        }
        self.take_outcomes(now);
        self.submit_waiting(now);
        self.client.set_queued(self.admission.queued());
        self.client.wake();
    }

    /// Whether nothing is out and nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.client.is_idle() && self.admission.queued() == 0
    }

    /// Whether no job is owed to anybody.
    pub(super) fn is_done(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn is_work_waiting(&self) -> bool {
        self.client.is_work_waiting()
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Time> {
        let client = self.client.poll_timeout().map(Time::from_nanos);
        let admission = self.admission.poll_timeout().map(|at| Time::default() + at);
        [client, admission].into_iter().flatten().min()
    }

    /// Gets ready for a sleep; false when something has come up.
    pub(super) fn arm(&mut self) -> bool {
        self.armed = !self.client.is_idle() && self.client.arm();
        self.armed || self.client.is_idle()
    }

    /// Awake again.
    pub(super) fn disarm(&mut self) {
        if std::mem::take(&mut self.armed) {
            self.client.disarm();
        }
    }

    pub(super) fn doorbell(&self) -> BorrowedFd<'_> {
        self.region.doorbell(Doorbell::Shard(self.seat))
    }

    pub(super) fn pop_fault(&mut self) -> Option<Fault> {
        self.faults.pop()
    }

    /// Nobody waits for anything any more.
    pub(super) fn cancel_all(&mut self) {
        for key in self.jobs.keys() {
            self.cancel(key);
        }
    }

    /// Leaves the place for good.
    pub(super) fn close(mut self, now: Time) {
        self.cancel_all();
        self.finish(now);
        self.client.detach();
    }

    /// A place for the message in slot and blocks; `None` while there is none.
    fn draft<'a>(
        &mut self,
        request: &'a Request,
        body: &JobBody,
        terms: JobTerms,
    ) -> Result<Option<(RequestOut<'a>, Draft)>, Unfit> {
        if self.admission.queued() > 0 {
            return Ok(None);
        }
        if let JobBody::Whole(bytes) = body {
            let out = measure(request, terms, Carriage::Whole(bytes.len() as u64))?;
            match self.client.draft((out.head_bytes() + bytes.len()) as u64) {
                Ok(draft) => return Ok(Some((out, draft))),
                Err(Refused::Full) => return Ok(None),
                Err(Refused::Broken) => return Err(Unfit::NoRoom),
                // A stream waits for nobody else's blocks but one at a time.
                Err(Refused::NoBlocks | Refused::TooLong) => {}
            }
        }
        let out = measure(request, terms, Carriage::Chunks(body.length()))?;
        match self.client.draft_opening(out.head_bytes() as u64) {
            Ok(draft) => Ok(Some((out, draft))),
            Err(Refused::Full) => Ok(None),
            Err(Refused::Broken | Refused::NoBlocks) => Err(Unfit::NoRoom),
            Err(Refused::TooLong) => Err(Unfit::Oversize),
        }
    }

    fn discard(&mut self, drafted: Option<(RequestOut<'_>, Draft)>) {
        if let Some((_, draft)) = drafted {
            self.client.discard(draft);
        }
    }

    /// Writes the message and makes it a job.
    fn submit(
        &mut self,
        (out, draft): (RequestOut<'_>, Draft),
        body: JobBody,
        terms: JobTerms,
        start_by: Duration,
        tie: &Rc<Tie>,
    ) -> Out {
        let mut writer = Writer::new(self.client.world(), self.client.payload(&draft));
        out.encode(&mut writer);
        let upload = match (out.carriage(), body) {
            (Carriage::Whole(_), JobBody::Whole(bytes)) => {
                writer.put(&bytes);
                None
            }
            (_, JobBody::Whole(bytes)) => Some(Upload::new(body::Body::full(bytes), tie)),
            (_, JobBody::Stream(body)) => Some(Upload::new(body, tie)),
        };
        let bytes = u32::try_from(writer.written()).expect("a message in blocks is small");
        let start_by = (Time::default() + start_by).as_nanos();
        let deadline = terms.deadline.as_nanos();
        let terms = Terms { start_by, deadline, retry: terms.retry };
        let ticket = self.client.submit_draft(draft, bytes, terms);
        Out { ticket, upload, down: Down::Unopened, done: false }
    }

    fn insert(&mut self, key: JobKey, job: Job) {
        if let Stage::Out(out) = &job.stage {
            self.in_slots[place(out.ticket)] = Some(key);
        }
        self.jobs.insert(key, job);
    }

    /// Ends what the desk has to do for a job.
    fn remove(&mut self, key: JobKey) -> Option<Job> {
        let job = self.jobs.remove(key)?;
        job.tie.end();
        if let Stage::Out(out) = &job.stage {
            self.in_slots[place(out.ticket)] = None;
        }
        Some(job)
    }

    fn job_of(&mut self, ticket: Ticket) -> Option<JobKey> {
        let key = self.in_slots[place(ticket)]?;
        (self.jobs.out(key)?.ticket == ticket).then_some(key)
    }

    /// Submits jobs from behind the slots, and refuses those that have waited enough.
    fn submit_waiting(&mut self, now: Time) {
        loop {
            let slot_free = self.client.free() > 0;
            match self.admission.poll_action(slot_free, span(now)) {
                None => return,
                Some(admission::Action::Refuse(refused)) => {
                    self.fail(refused.job, answer::busy(refused.retry_after));
                }
                Some(admission::Action::Submit(key, start_by)) => {
                    self.submit_one(key, start_by);
                    self.pump(key, now);
                }
            }
        }
    }

    fn submit_one(&mut self, key: JobKey, start_by: Duration) {
        let Some(job) = self.jobs.remove_stage(key) else { return };
        let _ = (job, start_by);
    }

    /// Nobody waits for the job any more.
    fn leave(&mut self, key: JobKey) {
        let cancels = self.rules.cancel_on_disconnect;
        let Some(job) = self.jobs.get(key) else { return };
        job.wanted = false;
        match &mut job.stage {
            // The worker has said all it had to say.
            Stage::Out(Out { down: Down::Ended, .. }) => {}
            _ if cancels => self.cancel(key),
            Stage::Out(out) => {
                if matches!(out.down, Down::Open(_)) {
                    out.down = Down::Discarded;
                    self.tie_moved(key);
                }
            }
            Stage::Waiting { .. } => {}
        }
    }
}
