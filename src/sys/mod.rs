//! Thin safe wrappers over system calls.
//!
//! Each file wraps one thing of the kernel and knows nothing of servers, HTTP or settings. Only
//! this module and `net` make system calls; everything unsafe that a wrapper needs stays here.

pub mod affinity;
pub mod cgroup;
pub mod channel;
pub mod clock;
pub mod descriptors;
pub mod environment;
pub mod host;
pub mod memfd;
pub mod memory;
pub mod newborn;
pub mod notify;
pub mod page;
pub mod poll;
pub mod process;
pub mod processor;
pub mod procfs;
pub mod schedule;
pub mod signal;
pub mod socket;
pub mod stack;
mod symbols;
pub mod terminate;
pub mod title;
pub mod topology;
pub mod user;
