//! The streams of a shard's jobs: what does not fit into one message, in both directions.
//!
//! Whatever a worker did to a stream, sent something, took something or refused the rest, comes
//! out of [`Client::poll_moved`]. Then the caller receives and sends until nothing more goes.

use super::{Client, Ticket};
use crate::offload::chunks::{Broken, StreamItem, Unsent};
use crate::offload::world::World;

impl<W: World> Client<W> {
    /// The next job whose stream has moved since it was polled last: an item has come, something
    /// was taken or refused, or there is a free block for what could not be sent for want of one.
    pub fn poll_moved(&mut self) -> Option<Ticket> {
        unimplemented!()
    }

    /// Sends the beginning of `bytes`, as much as a block holds; how much that was.
    ///
    /// # Errors
    /// [`Unsent`] if nothing can be sent now, or ever.
    pub fn send(&mut self, ticket: Ticket, bytes: &[u8]) -> Result<usize, Unsent> {
        let _ = (ticket, bytes);
        unimplemented!()
    }

    /// The request is complete; `trailers` are as `message` encodes them, or nothing.
    ///
    /// # Errors
    /// [`Unsent`] if it cannot be said now, or ever.
    pub fn send_end(&mut self, ticket: Ticket, trailers: &[u8]) -> Result<(), Unsent> {
        let _ = (ticket, trailers);
        unimplemented!()
    }

    /// The request breaks off.
    ///
    /// # Errors
    /// [`Unsent`] if it cannot be said now, or ever.
    pub fn send_failed(&mut self, ticket: Ticket) -> Result<(), Unsent> {
        let _ = ticket;
        unimplemented!()
    }

    /// The next item of the answer; `None` when there is none yet, or none any more. Its bytes are
    /// to be copied out, and the item to be taken, before anything else is done with this client.
    ///
    /// # Errors
    /// [`Broken`] if the worker wrote what cannot be: the job has come to its end by that.
    pub fn receive(&mut self, ticket: Ticket) -> Result<Option<StreamItem>, Broken> {
        let _ = ticket;
        unimplemented!()
    }

    /// What was received was copied out: the worker may go on. It hears of it in `wake`.
    pub fn taken(&mut self, ticket: Ticket) {
        let _ = ticket;
        unimplemented!()
    }
}
