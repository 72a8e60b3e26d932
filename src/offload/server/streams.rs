//! The streams of a worker's jobs: what does not fit into one message, in both directions.
//!
//! Shards hear of what was sent and taken at the next `poll`, or from [`Server::calls`].

use super::{Draft, Job, Server};
use crate::offload::chunks::{Broken, Interest, StreamItem, Unsent};
use crate::offload::world::World;

impl<W: World> Server<W> {
    /// Sends the head of an answer that continues as a stream; it lies in `draft`.
    pub fn open(&mut self, job: &Job, draft: Draft, status: u16, bytes: u32) {
        let _ = (job, draft, status, bytes);
        unimplemented!()
    }

    /// Sends the beginning of `bytes`, as much as a block holds; how much that was.
    ///
    /// # Errors
    /// [`Unsent`] if nothing can be sent now, or ever.
    pub fn send(&mut self, job: &Job, bytes: &[u8]) -> Result<usize, Unsent> {
        let _ = (job, bytes);
        unimplemented!()
    }

    /// The answer is complete; `trailers` are as `message` encodes them, or nothing.
    ///
    /// # Errors
    /// [`Unsent`] if it cannot be said now, or ever.
    pub fn send_end(&mut self, job: &Job, trailers: &[u8]) -> Result<(), Unsent> {
        let _ = (job, trailers);
        unimplemented!()
    }

    /// The answer breaks off.
    ///
    /// # Errors
    /// [`Unsent`] if it cannot be said now, or ever.
    pub fn send_failed(&mut self, job: &Job) -> Result<(), Unsent> {
        let _ = job;
        unimplemented!()
    }

    /// The next item of the request; `None` when there is none yet, or none any more. Its bytes
    /// are to be copied out before it is taken.
    ///
    /// # Errors
    /// [`Broken`] if the shard wrote what cannot be.
    pub fn receive(&mut self, job: &Job) -> Result<Option<StreamItem>, Broken> {
        let _ = job;
        unimplemented!()
    }

    /// What was received was copied out: the shard may go on.
    pub fn taken(&mut self, job: &Job) {
        let _ = job;
        unimplemented!()
    }

    /// Nobody reads the rest of the request.
    pub fn refuse(&mut self, job: &Job) {
        let _ = job;
        unimplemented!()
    }

    /// What [`super::Next::Moved`] is to be said for, once; `None` takes the wish back. It is said
    /// at once when it has come already.
    pub fn wait_for(&mut self, job: &Job, interest: Option<Interest>) {
        let _ = (job, interest);
        unimplemented!()
    }

    /// Ends a job whose answer was sent as a stream, the last item included. What the shard has
    /// not read yet stays readable for it.
    pub fn finish_stream(&mut self, job: Job) {
        let _ = job;
        unimplemented!()
    }

    /// Tells the shards of what was sent and taken since the last call. `poll` does it too.
    pub fn calls(&mut self) {
        unimplemented!()
    }
}
