//! What the jobs of a worker have outside of their slots: the blocks of requests, which can only
//! be read, and the worker's own blocks for answers.
//!
//! | word | writer | readers | ordering | pairs with |
//! |---|---|---|---|---|
//! | `slot.state`, where it lists our blocks | their shards | this worker | Acquire | `free` |

use super::{Job, JobId, Server};
use crate::offload::blocks::{Extents, Loan};
use crate::offload::chunks::{Broken, RESPONSE_OPENING_EXTENTS_MAX};
use crate::offload::layout::RESPONSE_EXTENTS_MAX;
use crate::offload::listing;
use crate::offload::payload::Payload;
use crate::offload::slot::Form;
use crate::offload::word::{ShardIndex, SlotIndex, SlotState, StateWord};
use crate::offload::world::{Ordering, World};

/// Blocks for an answer that is written where it is to lie.
#[derive(Debug)]
#[must_use = "blocks that are not used must be given back by `discard`"]
pub struct Draft {
    pub(super) extents: Extents,
}

impl<W: World> Server<W> {
    /// Where the message of a job lies; of a stream, its head.
    ///
    /// # Errors
    /// [`Broken`] if the slot does not list the blocks that it needs.
    pub fn request(&self, job: &Job) -> Result<Payload, Broken> {
        let JobId { shard, slot, .. } = job.place;
        let extents = match job.request.form {
            Form::Inline => Extents::default(),
            _ => listing::read_request(&self.world, job.words, shard, job.request)?,
        };
        Ok(Payload::request_at(self.shard(shard), shard, slot, extents))
    }

    /// Takes blocks for a whole answer of so many bytes. `None` if it is too long, or not so many
    /// are free: it must be a stream then.
    pub fn draft(&mut self, bytes: u64) -> Option<Draft> {
        self.draft_with(bytes, RESPONSE_EXTENTS_MAX, 0)
    }

    /// Takes blocks for the head of an answer that continues as a stream. `None` if it is too
    /// long, or not so many are free now: some are as soon as shards have read other answers.
    pub fn draft_opening(&mut self, head_bytes: u64) -> Option<Draft> {
        // It holds them for as long as the stream lasts, and pieces need some too.
        self.draft_with(head_bytes, RESPONSE_OPENING_EXTENTS_MAX, self.blocks.reserved())
    }

    fn draft_with(&mut self, bytes: u64, most: usize, spared: usize) -> Option<Draft> {
        if bytes <= u64::from(self.shards[0].slot_bytes()) {
            return Some(Draft { extents: Extents::default() });
        }
        let needed = listing::blocks_for(self.world.layout(), bytes);
        if needed > most as u64 || u32::try_from(bytes).is_err() {
            return None;
        }
        self.collect_lent();
        if needed > self.blocks.free().saturating_sub(spared) as u64 {
            return None;
        }
        let blocks = (0..needed).map(|_| self.blocks.take().expect("so many are free"));
        Some(Draft { extents: blocks.collect() })
    }

    /// Where the answer of a draft is to be written.
    #[must_use]
    pub fn payload(&self, job: &Job, draft: &Draft) -> Payload {
        let JobId { shard, slot, .. } = job.place;
        Payload::response_at(self.shard(shard), self.worker, slot, draft.extents)
    }

    /// Answers a job whose answer was written: so many bytes.
    ///
    /// # Panics
    /// Panics when the draft does not hold so many.
    pub fn complete_draft(&mut self, job: Job, draft: Draft, status: u16, bytes: u32) {
        let extents = self.list(&job, draft, bytes);
        let form = if extents.is_empty() { Form::Inline } else { Form::Extents };
        self.complete_in_place(job, status, form, (bytes, extents));
    }

    /// Answers a job with a whole message that is at hand: the short way for what lies in a slot.
    ///
    /// # Panics
    /// Panics when the draft does not hold so many bytes.
    #[inline]
    pub fn complete_message(&mut self, job: Job, draft: Draft, status: u16, message: &[u8]) {
        // No draft holds more than its blocks and a slot.
        let bytes = message.len() as u32;
        if draft.extents.is_empty() {
            let JobId { shard, slot, .. } = job.place;
            self.world.copy_in(self.shard(shard).inline_response(slot), message);
            return self.complete_in_place(job, status, Form::Inline, (bytes, draft.extents));
        }
        self.payload(&job, &draft).write(&self.world, 0, message);
        self.complete_draft(job, draft, status, bytes);
    }

    /// Gives blocks back that are not needed after all.
    pub fn discard(&mut self, draft: Draft) {
        self.blocks.give_all_back(&draft.extents);
    }

    /// Blocks that are free, after a look at what shards have read.
    pub fn free_blocks(&mut self) -> usize {
        self.collect_lent();
        self.blocks.free()
    }

    /// Lists the blocks of a draft that hold so many bytes; the others are free again.
    ///
    /// # Panics
    /// Panics when it does not hold so many.
    pub(super) fn list(&mut self, job: &Job, draft: Draft, bytes: u32) -> Extents {
        let Draft { mut extents } = draft;
        if extents.is_empty() && bytes <= self.shards[0].slot_bytes() {
            return extents;
        }
        let needed = listing::blocks_for(self.world.layout(), bytes.into());
        self.blocks.trim(&mut extents, needed);
        if !extents.is_empty() {
            listing::write_response(&self.world, job.words, &extents);
        }
        extents
    }

    /// A finished job lists these blocks until its shard frees the slot.
    pub(super) fn lend(&mut self, place: JobId, extents: Extents) {
        if !extents.is_empty() {
            let done = StateWord::new(SlotState::Done(self.owner), place.generation).pack();
            self.lent.lend(Loan { slot: (place.shard, place.slot), state: done, extents });
        }
    }

    /// Takes back what shards have read.
    pub(super) fn collect_lent(&mut self) {
        let world = &self.world;
        if !self.lent.is_empty() {
            self.lent.collect(&mut self.blocks, |slot| state_of(world, slot));
        }
    }

    /// Whether a shard has read what `collect_lent` would take back.
    pub(super) fn has_lent_news(&self) -> bool {
        self.lent.has_news(|slot| state_of(&self.world, slot))
    }
}

fn state_of(world: &impl World, (shard, slot): (ShardIndex, SlotIndex)) -> u64 {
    // Acquire: pairs with the stores of the shard, which has read the blocks before.
    world.load(world.layout().slot(shard, slot).state(), Ordering::Acquire)
}
