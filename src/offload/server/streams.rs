//! The streams of a worker's jobs: what does not fit into one message, in both directions.
//!
//! Shards hear of what was sent and taken at the next `poll`, or from [`Server::calls`].

use super::{Draft, Job, JobId, Running, Server};
use crate::offload::blocks::Extents;
use crate::offload::chunks::{
    Broken, IN_SLOT, Interest, Interests, Item, Link, PIECE_BYTES_MAX, Piece, StreamItem, Unsent,
};
use crate::offload::counters::WorkerCounter;
use crate::offload::listing;
use crate::offload::payload::Side;
use crate::offload::slot::{Ending, Form, Response};
use crate::offload::wake::Wants;
use crate::offload::world::{Ordering, World};

/// The streams of one job.
#[derive(Debug)]
pub(super) struct Stream {
    link: Link,
    /// How the head of the answer lies, once it was sent.
    head: Option<(Response, Extents)>,
    /// What the job waits for.
    interests: Interests,
    /// How many blocks were free when it began to wait: too few for its head, if that was not sent.
    free_then: usize,
    /// What it has to send next does not fit into the slot's own area.
    needs_block: bool,
}

impl Stream {
    /// What it waits for has been said to have come.
    pub(super) fn forget_interests(&mut self) {
        self.interests = Interests::default();
    }
}

impl<W: World> Server<W> {
    /// Sends the head of an answer that continues as a stream; it lies in `draft`.
    ///
    /// # Panics
    /// Panics when the draft does not hold so many bytes, or is not one of `draft_opening`, or a
    /// head was sent before.
    pub fn open(&mut self, job: &Job, draft: Draft, status: u16, bytes: u32) {
        let extents = self.list(job, draft, bytes);
        let response = Response { bytes, status, form: Form::Chunks, ending: Ending::Answered };
        // Relaxed: the window that admits to the opening publishes it.
        self.world.store(self.words(job.place).response(), response.pack(), Ordering::Relaxed);
        let Some((world, stream)) = self.stream(job.place) else { return };
        assert!(stream.head.is_none(), "an answer has one head");
        stream.link.send(world, Item::Opening).expect("the first item of all finds room");
        stream.head = Some((response, extents));
        self.announce(job.place);
    }

    /// Sends the beginning of `bytes`, as much as a block holds; how much that was.
    ///
    /// # Errors
    /// [`Unsent`] if nothing can be sent now, or ever.
    pub fn send(&mut self, job: &Job, bytes: &[u8]) -> Result<usize, Unsent> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let piece = self.send_piece(job.place, bytes, 1, Item::Bytes)?;
        Ok(piece.bytes as usize)
    }

    /// The answer is complete; `trailers` are as `message` encodes them, or nothing.
    ///
    /// # Errors
    /// [`Unsent`] if it cannot be said now, or ever.
    pub fn send_end(&mut self, job: &Job, trailers: &[u8]) -> Result<(), Unsent> {
        if trailers.is_empty() {
            return self.send_item(job.place, Item::End(None));
        }
        let whole = trailers.len();
        self.send_piece(job.place, trailers, whole, |piece| Item::End(Some(piece))).map(|_| ())
    }

    /// The answer breaks off.
    ///
    /// # Errors
    /// [`Unsent`] if it cannot be said now, or ever.
    pub fn send_failed(&mut self, job: &Job) -> Result<(), Unsent> {
        self.send_item(job.place, Item::Failed)
    }

    /// Sends the beginning of `bytes`, at least `bytes_min`, in a block, or else in the slot.
    fn send_piece(
        &mut self,
        place: JobId,
        bytes: &[u8],
        bytes_min: usize,
        item: impl FnOnce(Piece) -> Item,
    ) -> Result<Piece, Unsent> {
        self.check_room(place)?;
        self.collect_lent();
        let (_, stream) = self.stream(place).ok_or(Unsent::Over)?;
        let (holds, is_taken) = (stream.link.holds_blocks(), stream.link.is_taken());
        let block = if self.may_take_block(holds) { self.blocks.take() } else { None };
        let layout = self.world.layout();
        let span = match block {
            Some(block) => Side::Worker(self.worker).block(layout, block),
            None => Some(layout.inline_response(place.shard, place.slot))
                .filter(|slot| is_taken && slot.bytes() as usize >= bytes_min),
        };
        if let Some((_, stream)) = self.stream(place) {
            stream.needs_block = span.is_none();
        }
        let Some(span) = span else {
            self.count(WorkerCounter::WindowStalls, 1);
            return Err(Unsent::NoBlocks);
        };
        let now = span.bytes().min(PIECE_BYTES_MAX).min(bytes.len() as u32);
        let span = span.first(now).expect("no more than it holds");
        self.world.copy_in(span, &bytes[..now as usize]);
        let piece = Piece { block: block.unwrap_or(IN_SLOT), bytes: now };
        self.put(place, item(piece));
        Ok(piece)
    }

    fn send_item(&mut self, place: JobId, item: Item) -> Result<(), Unsent> {
        self.check_room(place)?;
        self.put(place, item);
        Ok(())
    }

    /// Whether an item can be sent, after a look at what the shard has taken.
    fn check_room(&mut self, place: JobId) -> Result<(), Unsent> {
        let (world, stream) = self.stream(place).ok_or(Unsent::Over)?;
        if stream.head.is_none() {
            // Without a head there is nothing to continue.
            return Err(Unsent::Over);
        }
        // A shard that has taken what was never sent is broken, or its memory is.
        let freed = stream.link.collect(world).map_err(|_| Unsent::Over)?;
        let room = stream.link.room();
        self.blocks.give_all_back(&freed);
        self.count(WorkerCounter::WindowStalls, u64::from(room == Err(Unsent::Full)));
        room
    }

    /// There is room.
    fn put(&mut self, place: JobId, item: Item) {
        if let Some((world, stream)) = self.stream(place) {
            stream.link.send(world, item).expect("there was room");
        }
        self.announce(place);
        self.follow_deadline(place);
    }

    /// The next item of the request; `None` when there is none yet, or none any more. Its bytes
    /// are to be copied out before it is taken.
    ///
    /// # Errors
    /// [`Broken`] if the shard wrote what cannot be.
    pub fn receive(&mut self, job: &Job) -> Result<Option<StreamItem>, Broken> {
        if job.request.form != Form::Chunks {
            return Ok(None);
        }
        let Some((world, stream)) = self.stream(job.place) else { return Ok(None) };
        if stream.link.has_ended() {
            return Ok(None);
        }
        let item = stream.link.receive(world)?;
        let layout = self.world.layout();
        let from = Side::Shard(job.place.shard);
        let span = |Piece { block, bytes }| {
            let span = from.block(layout, block).and_then(|all| all.first(bytes));
            span.expect("an item is checked when it is read")
        };
        Ok(item.map(|item| match item {
            Item::Bytes(piece) => StreamItem::Bytes(span(piece)),
            Item::End(piece) => StreamItem::End(piece.map(span)),
            Item::Failed | Item::Opening => StreamItem::Failed,
        }))
    }

    /// What was received was copied out: the shard may go on.
    pub fn taken(&mut self, job: &Job) {
        let Some((world, stream)) = self.stream(job.place) else { return };
        let items = stream.link.untaken();
        if items > 0 {
            stream.link.take(world, items);
            self.announce(job.place);
            self.follow_deadline(job.place);
        }
    }

    /// Nobody reads the rest of the request.
    pub fn refuse(&mut self, job: &Job) {
        if job.request.form == Form::Chunks
            && let Some((world, stream)) = self.stream(job.place)
        {
            stream.link.refuse(world);
            self.announce(job.place);
        }
    }

    /// What [`super::Next::Moved`] is to be said for, once; it is said at once for what has come
    /// already. Nothing takes the wish back.
    pub fn wait_for(&mut self, job: &Job, interests: Interests) {
        let free = self.blocks.free();
        if let Some((_, stream)) = self.stream(job.place) {
            stream.interests = interests;
            stream.free_then = free;
        }
        if interests.item {
            // The shard may hold an item back until a worker waits for it.
            self.announce(job.place);
        }
    }

    /// Ends a job whose answer was sent as a stream, the last item included. What the shard has
    /// not read yet stays readable for it. Without the last item the answer has broken off.
    ///
    /// # Panics
    /// Panics when no head was sent.
    pub fn finish_stream(&mut self, job: Job) {
        let head = self.stream(job.place).and_then(|(_, stream)| stream.head);
        let (response, _) = head.expect("a stream has a head");
        let answer = (response.bytes, Extents::default());
        self.complete_in_place(job, response.status, Form::Chunks, answer);
    }

    /// Tells the shards of what was sent and taken since the last call. `poll` does it too.
    pub fn calls(&mut self) {
        let mut calls = std::mem::take(&mut self.calls);
        calls.drain(..).for_each(|place| self.call(place));
        self.calls = calls;
    }

    fn announce(&mut self, place: JobId) {
        if !self.calls.contains(&place) {
            self.calls.push(place);
        }
    }

    /// The stream of a job that runs, made if there was none.
    fn stream(&mut self, place: JobId) -> Option<(&W, &mut Stream)> {
        let words = self.words(place);
        let running = self.running.iter_mut().find(|running| running.place == place)?;
        let stream = running.stream.get_or_insert_with(|| {
            let shard = Side::Shard(place.shard);
            let link = Link::of_worker(&self.world, words, place.generation, shard);
            let interests = Interests::default();
            Box::new(Stream { link, head: None, interests, free_then: 0, needs_block: false })
        });
        Some((&self.world, stream))
    }

    /// Ends the streams of a job that is done; what its slot lists of them.
    pub(super) fn close_stream(&mut self, stream: Stream) -> Extents {
        let Stream { mut link, head, .. } = stream;
        // What was taken is free. A broken shard has taken nothing that counts.
        if let Ok(freed) = link.collect(&self.world) {
            self.blocks.give_all_back(&freed);
        }
        let items = link.close(&self.world);
        let (_, head) = head.unzip();
        listing::joined(&head.unwrap_or_default(), &items)
    }

    /// Whether what the stream of a job waits for has come.
    pub(super) fn has_moved(&self, job: &Running) -> bool {
        job.stream.as_deref().is_some_and(|stream| {
            let Interests { item, room } = stream.interests;
            (item && self.has_item(stream)) || (room && self.has_room(stream))
        })
    }

    /// Whether a stream may have a block. One that holds blocks which its shard has not read
    /// leaves the last ones to others, or slow clients would keep all of them; and one that holds
    /// none leaves an eighth to whole answers, which nobody holds for long: as many slow clients
    /// as there are blocks would have them all, if each could have one. It has its slot.
    fn may_take_block(&self, holds: bool) -> bool {
        let for_whole = usize::from(self.blocks.count()) / 8;
        self.blocks.free() > if holds { self.blocks.reserved() } else { for_whole }
    }

    fn has_item(&self, stream: &Stream) -> bool {
        stream.link.has_ended() || stream.link.has_news(&self.world, Interest::Item)
    }

    fn has_room(&self, stream: &Stream) -> bool {
        if stream.head.is_none() {
            return self.blocks.free() > stream.free_then || self.has_lent_news();
        }
        let may_take = || self.may_take_block(stream.link.holds_blocks()) || self.has_lent_news();
        match stream.link.room() {
            _ if stream.link.has_news(&self.world, Interest::Room) => true,
            Ok(()) => may_take() || (stream.link.is_taken() && !stream.needs_block),
            Err(unsent) => unsent == Unsent::Over,
        }
    }

    /// Whether some job waits for its stream.
    pub(super) fn has_interests(&self) -> bool {
        let streams = self.running.iter().filter_map(|job| job.stream.as_ref());
        streams.into_iter().any(|stream| stream.interests != Interests::default())
    }

    /// Says what a shard is to wake this worker for; a fence follows, then the look.
    pub(super) fn publish_wants(&mut self) {
        let mut wants = Wants::default();
        for stream in self.running.iter().filter_map(|job| job.stream.as_ref()) {
            let Interests { item, room } = stream.interests;
            wants = if item { wants.and(Wants::ITEM) } else { wants };
            wants = if room { wants.and(Wants::ROOM) } else { wants };
        }
        if wants != self.wants {
            wants.publish(&self.world, self.worker);
            self.wants = wants;
        }
    }
}
