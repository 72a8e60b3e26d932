//! The streams of a shard's jobs: what does not fit into one message, in both directions.
//!
//! Whatever a worker did to a stream, sent something, took something or refused the rest, comes
//! out of [`Client::poll_moved`]. Then the caller receives and sends until nothing more goes.

use super::bodies::Callee;
use super::{Client, Ticket, index};
use crate::offload::blocks::{BadExtents, Extents};
use crate::offload::chunks::{
    self, Broken, IN_SLOT, Interest, Item, Link, PIECE_BYTES_MAX, Piece, StreamItem, Unsent,
};
use crate::offload::layout::Span;
use crate::offload::listing;
use crate::offload::payload::Side;
use crate::offload::slot::{Ending, Form, Lease, Outcome, Response};
use crate::offload::word::{Generation, SlotIndex, WorkerIndex};
use crate::offload::world::{Ordering, World};

/// The streams of one job.
#[derive(Debug)]
pub(super) struct Stream {
    link: Link,
    /// Its caller has not been told yet that it moved.
    queued: bool,
    /// How the head of the answer lies, once it was read.
    head: Option<Response>,
    /// The worker is done, and the stream is its answer: what is there is all that comes.
    is_whole: bool,
}

impl Stream {
    const fn new(link: Link) -> Self {
        Self { link, queued: false, head: None, is_whole: false }
    }

    pub(super) const fn has_opened(&self) -> bool {
        self.link.has_opened()
    }

    /// The job is submitted, for the first time or again.
    pub(super) fn submit(&mut self, world: &impl World, generation: Generation) {
        self.link.renew(world, generation);
    }

    /// The worker reads nothing more; the blocks of what it left.
    pub(super) fn settle(&mut self) -> Extents {
        self.link.settle()
    }

    pub(super) fn close(self, world: &impl World) -> Extents {
        self.link.close(world)
    }
}

impl<W: World> Client<W> {
    /// The next job whose stream has moved since it was polled last: an item has come, something
    /// was taken or refused, or there is a free block for what could not be sent for want of one.
    pub fn poll_moved(&mut self) -> Option<Ticket> {
        while let Some(slot) = self.next_moved() {
            let number = self.records[index(slot)].number;
            let is_read = matches!(self.records[index(slot)].lease, Lease::Open(_) | Lease::Held);
            if let Some(stream) = self.bodies[index(slot)].stream.as_mut().filter(|_| is_read) {
                stream.queued = false;
                return Some(Ticket { slot, number });
            }
        }
        None
    }

    fn next_moved(&mut self) -> Option<SlotIndex> {
        if let Some(slot) = self.moved.pop_front() {
            // Whoever is told now tries again with a block too.
            self.starved.retain(|&starved| starved != slot);
            return Some(slot);
        }
        let fed = self.starved.iter().position(|&slot| self.may_take_block(slot))?;
        self.starved.remove(fed)
    }

    /// Whether `poll_moved` has something to say.
    pub(super) fn has_moved(&self) -> bool {
        !self.moved.is_empty() || self.starved.iter().any(|&slot| self.may_take_block(slot))
    }

    /// Whether a slot's stream may have a block, should it want one. The last ones are for streams
    /// that a worker waits for.
    fn may_take_block(&self, slot: SlotIndex) -> bool {
        let Some(stream) = &self.bodies[index(slot)].stream else { return true };
        let free = self.blocks.free();
        free > self.blocks.reserved()
            || (free > 0 && !stream.link.holds_blocks() && self.owner(slot).is_some())
    }

    /// Whether a slot's stream has blocks while there are too few for others.
    pub(super) fn holds_last_blocks(&self, slot: SlotIndex) -> bool {
        let stream = &self.bodies[index(slot)].stream;
        let holds = stream.as_ref().is_some_and(|stream| stream.link.holds_blocks());
        holds && self.blocks.free() < self.blocks.reserved()
    }

    /// Sends the beginning of `bytes`, as much as a block holds; how much that was.
    ///
    /// # Errors
    /// [`Unsent`] if nothing can be sent now, or ever.
    pub fn send(&mut self, ticket: Ticket, bytes: &[u8]) -> Result<usize, Unsent> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let piece = self.send_in_block(ticket, bytes, Item::Bytes)?;
        Ok(piece.bytes as usize)
    }

    /// The request is complete; `trailers` are as `message` encodes them, or nothing.
    ///
    /// # Errors
    /// [`Unsent`] if it cannot be said now, or ever.
    pub fn send_end(&mut self, ticket: Ticket, trailers: &[u8]) -> Result<(), Unsent> {
        if trailers.is_empty() {
            return self.send_item(ticket, Item::End(None));
        }
        self.send_in_block(ticket, trailers, |piece| Item::End(Some(piece))).map(|_| ())
    }

    /// The request breaks off.
    ///
    /// # Errors
    /// [`Unsent`] if it cannot be said now, or ever.
    pub fn send_failed(&mut self, ticket: Ticket) -> Result<(), Unsent> {
        self.send_item(ticket, Item::Failed)
    }

    fn send_in_block(
        &mut self,
        ticket: Ticket,
        bytes: &[u8],
        item: impl FnOnce(Piece) -> Item,
    ) -> Result<Piece, Unsent> {
        self.check_room(ticket)?;
        let block = if self.may_take_block(ticket.slot) { self.blocks.take() } else { None };
        let Some(block) = block else {
            if !self.starved.contains(&ticket.slot) {
                self.starved.push_back(ticket.slot);
            }
            return Err(Unsent::NoBlocks);
        };
        let now = bytes.len().min(PIECE_BYTES_MAX as usize);
        let span = Side::Shard(self.shard).block(self.world.layout(), block);
        self.world.copy_in(span.expect("a block of our own"), &bytes[..now]);
        let piece = Piece { block, bytes: now as u32 };
        self.put(ticket.slot, item(piece));
        Ok(piece)
    }

    fn send_item(&mut self, ticket: Ticket, item: Item) -> Result<(), Unsent> {
        self.check_room(ticket)?;
        self.put(ticket.slot, item);
        Ok(())
    }

    /// Whether an item can be sent, after a look at what the worker has taken.
    fn check_room(&mut self, ticket: Ticket) -> Result<(), Unsent> {
        let slot = ticket.slot;
        let Some(Lease::Open(job)) = self.lease(ticket) else { return Err(Unsent::Over) };
        if job.request.form != Form::Chunks {
            return Err(Unsent::Over);
        }
        self.collect_taken(slot);
        let Some(Lease::Open(_)) = self.lease(ticket) else { return Err(Unsent::Over) };
        let stream = self.bodies[index(slot)].stream.as_ref().ok_or(Unsent::Over)?;
        stream.link.room()
    }

    /// There is room.
    fn put(&mut self, slot: SlotIndex, item: Item) {
        if let Some(stream) = &mut self.bodies[index(slot)].stream {
            stream.link.send(&self.world, item).expect("there was room");
        }
        self.call(Callee::Reader(slot));
    }

    /// The next item of the answer; `None` when there is none yet, or none any more. Its bytes are
    /// to be copied out, and the item to be taken, before anything else is done with this client.
    ///
    /// # Errors
    /// [`Broken`] if the worker wrote what cannot be: by that the job has come to its end.
    pub fn receive(&mut self, ticket: Ticket) -> Result<Option<StreamItem>, Broken> {
        let slot = ticket.slot;
        let lease = self.lease(ticket).copied();
        let bodies = &mut self.bodies[index(slot)];
        let (Some(stream), Some(worker)) = (&mut bodies.stream, bodies.answerer) else {
            return Ok(None);
        };
        let may_come = match lease {
            Some(Lease::Open(_)) => true,
            Some(Lease::Held) => stream.is_whole,
            _ => false,
        };
        if !may_come || stream.link.has_ended() {
            return Ok(None);
        }
        let received = match stream.link.receive(&self.world) {
            Ok(None) if stream.is_whole => {
                // The worker has left it without an end.
                stream.link.break_off();
                Ok(Some(StreamItem::Failed))
            }
            Ok(None) => Ok(None),
            Ok(Some(item)) => self.open(slot, worker, item).map(Some),
            Err(broken) => Err(broken),
        };
        match received {
            Ok(Some(_)) => self.mark_spent(slot),
            Ok(None) => {}
            Err(_) => self.break_stream(slot),
        }
        received
    }

    /// Finds the bytes of an item.
    fn open(
        &mut self,
        slot: SlotIndex,
        worker: WorkerIndex,
        item: Item,
    ) -> Result<StreamItem, Broken> {
        let layout = self.world.layout();
        let span = |Piece { block, bytes }| -> Span {
            let all = match block {
                IN_SLOT => Some(layout.inline_response(self.shard, slot)),
                block => Side::Worker(worker).block(layout, block),
            };
            all.and_then(|all| all.first(bytes)).expect("an item is checked when it is read")
        };
        Ok(match item {
            Item::Bytes(piece) => StreamItem::Bytes(span(piece)),
            Item::End(piece) => StreamItem::End(piece.map(span)),
            Item::Failed => StreamItem::Failed,
            Item::Opening => StreamItem::Opening(self.open_answer(slot, worker)?),
        })
    }

    /// Reads how the head of the answer lies, once.
    fn open_answer(&mut self, slot: SlotIndex, worker: WorkerIndex) -> Result<Response, Broken> {
        let stream = self.bodies[index(slot)].stream.as_ref();
        if let Some(head) = stream.and_then(|stream| stream.head) {
            return Ok(head);
        }
        // Relaxed: the window that admitted to the opening was read with Acquire.
        let word = self.world.load(self.words(slot).response(), Ordering::Relaxed);
        let response = Response::unpack(word).filter(|response| {
            response.form == Form::Chunks && response.ending == Ending::Answered
        });
        let response = response.ok_or(Broken::Response { word })?;
        self.believe_head(slot, worker, response)?;
        Ok(response)
    }

    /// Checks where the head of an answer lies.
    fn believe_head(
        &mut self,
        slot: SlotIndex,
        worker: WorkerIndex,
        head: Response,
    ) -> Result<(), BadExtents> {
        let words = self.words(slot);
        let bodies = &mut self.bodies[index(slot)];
        bodies.answer = listing::read_response(&self.world, words, worker, head)?;
        if let Some(stream) = &mut bodies.stream {
            stream.head = Some(head);
        }
        Ok(())
    }

    /// What was received was copied out: the worker may go on. It hears of it in `wake`.
    pub fn taken(&mut self, ticket: Ticket) {
        let slot = ticket.slot;
        if !matches!(self.lease(ticket), Some(Lease::Open(_) | Lease::Held)) {
            return;
        }
        let Some(stream) = &mut self.bodies[index(slot)].stream else { return };
        let items = stream.link.untaken();
        if items > 0 {
            stream.link.take(&self.world, items);
            self.call(Callee::Writer(slot));
        }
    }

    /// A job that is going to be submitted continues as a stream.
    pub(super) fn begin_stream(&mut self, slot: SlotIndex) {
        let link = self.link(slot);
        self.bodies[index(slot)].stream = Some(Box::new(Stream::new(link)));
    }

    fn link(&self, slot: SlotIndex) -> Link {
        let first = self.bodies[index(slot)].request.first();
        let first = first.map_or(0, |block| u32::from(block.0));
        let generation = self.records[index(slot)].generation;
        // All workers have as many blocks.
        let them = Side::Worker(WorkerIndex(0));
        Link::of_shard(&self.world, self.words(slot), generation, (them, first))
    }

    /// A living worker has the job, and something may have moved; `word` is the slot's state.
    pub(super) fn notice(&mut self, slot: SlotIndex, word: u64) {
        let generation = self.records[index(slot)].generation;
        if !chunks::is_touched(&self.world, self.words(slot), generation) {
            return;
        }
        if self.bodies[index(slot)].stream.is_none() {
            self.begin_stream(slot);
        }
        self.bodies[index(slot)].answerer = self.owner_of(word);
        self.collect_taken(slot);
        let has_item = |stream: &Stream| stream.link.has_news(&self.world, Interest::Item);
        if self.bodies[index(slot)].stream.as_deref().is_some_and(has_item) {
            self.announce(slot);
        }
    }

    /// Takes back the blocks of what the worker has taken.
    fn collect_taken(&mut self, slot: SlotIndex) {
        let Some(stream) = &mut self.bodies[index(slot)].stream else { return };
        if !stream.link.has_news(&self.world, Interest::Room) {
            return;
        }
        match stream.link.collect(&self.world) {
            Ok(freed) => {
                self.blocks.give_all_back(&freed);
                self.mark_spent(slot);
                self.announce(slot);
            }
            Err(_) => self.break_stream(slot),
        }
    }

    /// Part of it was read on one of the two sides: the job cannot run again.
    fn mark_spent(&mut self, slot: SlotIndex) {
        if let Lease::Open(job) = &mut self.records[index(slot)].lease {
            job.streamed = true;
        }
    }

    fn announce(&mut self, slot: SlotIndex) {
        if let Some(stream) = &mut self.bodies[index(slot)].stream
            && !std::mem::replace(&mut stream.queued, true)
        {
            self.moved.push_back(slot);
        }
    }

    /// The worker is done, and the stream is its answer; false if it cannot be.
    pub(super) fn end_stream(
        &mut self,
        slot: SlotIndex,
        worker: WorkerIndex,
        response: Response,
    ) -> bool {
        if self.bodies[index(slot)].stream.is_none() {
            self.begin_stream(slot);
        }
        let bodies = &mut self.bodies[index(slot)];
        bodies.answerer = Some(worker);
        let Some(stream) = &mut bodies.stream else { return false };
        stream.is_whole = true;
        let fits = match stream.head {
            Some(head) => head == response,
            None => self.believe_head(slot, worker, response).is_ok(),
        };
        self.announce(slot);
        fits
    }

    /// The worker wrote what cannot be.
    fn break_stream(&mut self, slot: SlotIndex) {
        let bodies = &mut self.bodies[index(slot)];
        if let Some(stream) = &mut bodies.stream {
            stream.link.break_off();
        }
        // Relaxed: the worker is told whether or not it still has the job.
        let word = self.world.load(self.words(slot).state(), Ordering::Relaxed);
        self.accuse(self.suspect(word));
        if matches!(self.records[index(slot)].lease, Lease::Open(_)) {
            self.abandon(slot, word, Outcome::Broken);
        }
    }

    /// The worker is dead, and the job is going to be submitted again: what it sent is void.
    pub(super) fn forget_worker(&mut self, slot: SlotIndex, request: Form) {
        let bodies = &mut self.bodies[index(slot)];
        bodies.answerer = None;
        if request != Form::Chunks
            && let Some(stream) = bodies.stream.take()
        {
            let left = stream.close(&self.world);
            self.blocks.give_all_back(&left);
        }
    }

    fn call(&mut self, callee: Callee) {
        if self.calls.last() != Some(&callee) {
            self.calls.push(callee);
        }
    }
}
