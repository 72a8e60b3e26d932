//! The protocol between shards and workers: jobs in slots of shared memory.
//!
//! A shard writes a request into a slot and makes it ready; a worker claims it, runs it, and
//! writes the response into the same slot. The slot's state word is the only truth. Queues, bits
//! and doorbells are hints: whoever loses one finds the job by looking. Paused is not dead: only
//! the kernel's word that a process is gone lets anybody take over what it had.
//!
//! `client` is the shard's end, `server` the worker's, `death` the supervisor's. They meet in the
//! words that `layout` places and `word` packs; `slot` decides what a shard does about what it
//! sees; `queue` and `wake` find jobs and workers. Every shared access is a call of `World`, which
//! on a real `region` is the bare instruction.
//!
//! These carry bytes and know nothing of requests. What the bytes are is `message`'s; where a
//! message lies is `payload`'s, which blocks it takes `blocks`', how a slot lists them
//! `listing`'s, and how it comes in pieces `chunks`'. `admission` says which jobs may wait at all.

#[forbid(unsafe_code)]
pub mod admission;
#[forbid(unsafe_code)]
pub mod blocks;
#[forbid(unsafe_code)]
pub mod chunks;
#[forbid(unsafe_code)]
pub mod client;
#[forbid(unsafe_code)]
pub mod counters;
#[forbid(unsafe_code)]
pub mod death;
#[forbid(unsafe_code)]
pub mod layout;
#[forbid(unsafe_code)]
mod listing;
#[forbid(unsafe_code)]
pub mod message;
#[forbid(unsafe_code)]
pub mod payload;
#[forbid(unsafe_code)]
mod queue;
pub mod region;
#[forbid(unsafe_code)]
pub mod server;
#[forbid(unsafe_code)]
pub mod slot;
#[cfg(test)]
#[forbid(unsafe_code)]
pub(crate) mod tests;
#[forbid(unsafe_code)]
mod wake;
#[forbid(unsafe_code)]
pub mod word;
#[forbid(unsafe_code)]
pub mod world;
