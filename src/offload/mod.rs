//! The protocol between shards and workers: jobs in slots of shared memory.
//!
//! A shard writes a request into a slot and makes it ready; a worker claims it, runs it, and
//! writes the response into the same slot. The slot's state word is the only truth. Queues, bits
//! and doorbells are hints: whoever loses one finds the job by looking. Paused is not dead: only
//! the kernel's word that a process is gone lets anybody take over what it had.
//!
//! This module carries bytes and knows nothing of requests, except for `message`.

#[forbid(unsafe_code)]
pub mod admission;
#[forbid(unsafe_code)]
pub mod blocks;
#[forbid(unsafe_code)]
pub mod chunks;
#[forbid(unsafe_code)]
pub mod layout;
#[forbid(unsafe_code)]
pub mod message;
#[forbid(unsafe_code)]
pub mod payload;
#[cfg(test)]
#[forbid(unsafe_code)]
pub(crate) mod tests;
#[forbid(unsafe_code)]
pub mod word;
#[forbid(unsafe_code)]
pub mod world;
