//! Jobs in sibling processes: what shards and workers hand each other through shared memory.

#[forbid(unsafe_code)]
pub mod admission;
#[forbid(unsafe_code)]
pub mod blocks;
#[forbid(unsafe_code)]
pub mod message;
