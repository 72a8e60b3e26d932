//! What the jobs of a shard have outside of their slots: blocks for requests, which are the
//! shard's own, and the lists of answers, which are checked once and then believed.

use super::streams::Stream;
use super::{Client, Draft, Refused, Terms, Ticket, index};
use crate::offload::blocks::Extents;
use crate::offload::chunks::REQUEST_OPENING_EXTENTS_MAX;
use crate::offload::counters::ShardCounter;
use crate::offload::layout::REQUEST_EXTENTS_MAX;
use crate::offload::listing;
use crate::offload::payload::Payload;
use crate::offload::slot::{Form, Lease, Response};
use crate::offload::wake::{self, Wants};
use crate::offload::word::{SlotIndex, WorkerIndex};
use crate::offload::world::{Ordering, World};

/// What one slot's job has outside of the slot.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    /// Blocks that a worker may read: those of the request, or of its head.
    pub(super) request: Extents,
    /// Whose answer it is, once there is one or the head of one.
    pub(super) answerer: Option<WorkerIndex>,
    /// The blocks of the answer, or of its head.
    pub(super) answer: Extents,
    /// Made when it is needed.
    pub(super) stream: Option<Box<Stream>>,
}

impl Bodies {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.request.is_empty() && self.answerer.is_none() && self.stream.is_none()
    }

    /// The worker that gets blocks back when the slot is free.
    pub(super) fn lender(&self) -> Option<WorkerIndex> {
        self.answerer
    }
}

/// A worker that is to hear of something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Callee {
    /// This one: blocks that it lent may be its own again.
    Lender(WorkerIndex),
    /// Whoever has the job of this slot: an item was sent.
    Reader(SlotIndex),
    /// Whoever has the job of this slot: items were taken.
    Writer(SlotIndex),
}

impl<W: World> Client<W> {
    /// Takes a slot, and blocks, for a job whose whole message has so many bytes.
    ///
    /// # Errors
    /// Refuses when there are none, or the message is too long for any.
    #[inline]
    pub fn draft(&mut self, bytes: u64) -> Result<Draft, Refused> {
        self.draft_with(bytes, REQUEST_EXTENTS_MAX, false)
    }

    /// Takes a slot, and blocks, for the head of a job whose body follows as a stream.
    ///
    /// # Errors
    /// Refuses when there are none, or the head is too long for any.
    pub fn draft_opening(&mut self, head_bytes: u64) -> Result<Draft, Refused> {
        self.draft_with(head_bytes, REQUEST_OPENING_EXTENTS_MAX, true)
    }

    #[inline]
    fn draft_with(&mut self, bytes: u64, most: usize, opening: bool) -> Result<Draft, Refused> {
        if bytes <= u64::from(self.row.slot_bytes()) {
            return Ok(Draft { slot: self.take_slot()?, extents: Extents::default(), opening });
        }
        let needed = listing::blocks_for(self.world.layout(), bytes);
        // Who waits for a worker leaves the last blocks to those for whom a worker waits.
        let reserved = self.blocks.reserved();
        let most = most.min(usize::from(self.blocks.count()) - reserved);
        if needed > most as u64 || u32::try_from(bytes).is_err() {
            return Err(Refused::TooLong);
        }
        if needed > self.blocks.free().saturating_sub(reserved) as u64 {
            return Err(Refused::NoBlocks);
        }
        let slot = self.take_slot()?;
        let blocks = (0..needed).map(|_| self.blocks.take().expect("so many are free"));
        Ok(Draft { slot, extents: blocks.collect(), opening })
    }

    /// Where the message of a draft is to be written.
    #[must_use]
    pub fn payload(&self, draft: &Draft) -> Payload {
        Payload::request_at(&self.row, self.shard, draft.slot, draft.extents)
    }

    /// Submits a job whose message was written: so many bytes.
    ///
    /// # Panics
    /// Panics when the draft does not hold so many.
    pub fn submit_draft(&mut self, draft: Draft, bytes: u32, terms: Terms) -> Ticket {
        let Draft { slot, mut extents, opening } = draft;
        if extents.is_empty() && bytes <= self.row.slot_bytes() && !opening {
            return self.submit_in_place(slot, Form::Inline, bytes, terms);
        }
        let needed = listing::blocks_for(self.world.layout(), bytes.into());
        self.blocks.trim(&mut extents, needed);
        let form = match (opening, extents.is_empty()) {
            (true, _) => Form::Chunks,
            (false, false) => Form::Extents,
            (false, true) => Form::Inline,
        };
        if !extents.is_empty() {
            self.bodies[index(slot)].request = extents;
        }
        if opening {
            self.begin_stream(slot);
        }
        self.submit_in_place(slot, form, bytes, terms)
    }

    /// Submits a job whose whole message is at hand: the short way for what lies in a slot.
    ///
    /// # Panics
    /// Panics when the draft does not hold so many bytes.
    #[inline]
    pub fn submit_message(&mut self, draft: Draft, message: &[u8], terms: Terms) -> Ticket {
        // No draft holds more than its blocks and a slot.
        let bytes = message.len() as u32;
        if draft.extents.is_empty() && !draft.opening {
            self.world.copy_in(self.row.inline_request(draft.slot), message);
            return self.submit_in_place(draft.slot, Form::Inline, bytes, terms);
        }
        self.payload(&draft).write(&self.world, 0, message);
        self.submit_draft(draft, bytes, terms)
    }

    /// Gives a slot back that is not needed after all.
    pub fn discard(&mut self, draft: Draft) {
        self.blocks.give_all_back(&draft.extents);
        self.free.push(draft.slot);
    }

    /// Where the answer of a job lies until it is released; of a stream, its head.
    ///
    /// # Panics
    /// Panics when the job has neither been answered nor sent the head of its answer, or was
    /// released.
    #[must_use]
    pub fn answer(&self, ticket: Ticket, response: Response) -> Payload {
        let bodies = &self.bodies[index(ticket.slot)];
        let is_open = || bodies.stream.as_ref().is_some_and(|stream| stream.has_opened());
        let held = match self.lease(ticket) {
            Some(Lease::Held) => true,
            Some(Lease::Open(_)) => is_open(),
            _ => false,
        };
        assert!(held, "the answer is not held");
        // What lies in the slot alone has no list, and it does not matter whose it would be.
        let from = bodies.answerer.unwrap_or(WorkerIndex(0));
        let payload = Payload::response_at(&self.row, from, ticket.slot, bodies.answer);
        assert!(response.bytes as usize <= payload.capacity(), "another job's answer");
        payload
    }

    /// Whether an answer, or anything else of its job, lies outside of the slot.
    #[inline]
    pub(super) fn lies_outside(&self, slot: SlotIndex, response: Response) -> bool {
        response.form != Form::Inline || !self.bodies[index(slot)].is_empty()
    }

    /// Takes over an answer that lies outside of its slot, or whose request did; false if it
    /// cannot be one.
    pub(super) fn take_over(&mut self, slot: SlotIndex, response: Response, word: u64) -> bool {
        let Some(worker) = self.owner_of(word) else { return false };
        self.settle(slot);
        if response.form == Form::Chunks {
            return self.end_stream(slot, worker, response);
        }
        let words = self.words(slot);
        let listed = listing::read_response(&self.world, words, worker, response);
        let bodies = &mut self.bodies[index(slot)];
        if bodies.stream.as_ref().is_some_and(|stream| stream.has_opened()) {
            return false;
        }
        bodies.answerer = Some(worker);
        listed.map(|extents| bodies.answer = extents).is_ok()
    }

    /// The worker reads nothing of the request any more.
    fn settle(&mut self, slot: SlotIndex) {
        let bodies = &mut self.bodies[index(slot)];
        let request = std::mem::take(&mut bodies.request);
        self.blocks.give_all_back(&request);
        if let Some(stream) = &mut bodies.stream {
            self.blocks.give_all_back(&stream.settle());
        }
    }

    /// Nobody reads or writes anything for this slot any more.
    pub(super) fn clear_bodies(&mut self, slot: SlotIndex) {
        let bodies = std::mem::take(&mut self.bodies[index(slot)]);
        self.blocks.give_all_back(&bodies.request);
        if let Some(stream) = bodies.stream {
            self.blocks.give_all_back(&stream.close(&self.world));
        }
    }

    /// The blocks of a predecessor's request that a living worker may still read.
    pub(super) fn keep_lent(&mut self, slot: SlotIndex) {
        let generation = self.records[index(slot)].generation;
        let lent = listing::left_by_shard(&self.world, (self.shard, slot), generation);
        lent.iter().for_each(|block| self.blocks.reserve(block));
        self.bodies[index(slot)].request = lent;
    }

    /// Lists the blocks of a request; of a stream, what was sent of it too.
    pub(super) fn list_request(&mut self, slot: SlotIndex, form: Form) {
        let generation = self.records[index(slot)].generation;
        let words = self.words(slot);
        let bodies = &mut self.bodies[index(slot)];
        listing::write_request(&self.world, words, &bodies.request);
        if let Some(stream) = bodies.stream.as_mut().filter(|_| form == Form::Chunks) {
            stream.submit(&self.world, generation);
        }
    }

    /// Wakes workers that sleep in the middle of a job for what has come.
    pub(super) fn call_workers(&mut self) {
        // Excludes that we see a worker awake while it sees nothing new: it says what it wants,
        // marks itself, fences and looks (`Server::arm`); we have written windows and states,
        // fence here and look at its marks. If it has just claimed the job, it has written so
        // before its fence: either we see that, or it sees the window.
        self.world.fence(Ordering::SeqCst);
        let mut calls = std::mem::take(&mut self.calls);
        for call in calls.drain(..) {
            let (worker, news) = match call {
                Callee::Lender(worker) => (Some(worker), Wants::ROOM),
                Callee::Reader(slot) => (self.owner(slot), Wants::ITEM),
                Callee::Writer(slot) => (self.owner(slot), Wants::ROOM),
            };
            let Some(worker) = worker else { continue };
            let rung = wake::call_worker(&self.world, worker, news);
            self.count(ShardCounter::SignalsSent, u64::from(rung));
        }
        self.calls = calls;
    }

    /// Who has the job of a slot at the moment.
    pub(super) fn owner(&self, slot: SlotIndex) -> Option<WorkerIndex> {
        // Relaxed: who must not miss a claim has a fence before this.
        self.owner_of(self.world.load(self.words(slot).state(), Ordering::Relaxed))
    }
}
