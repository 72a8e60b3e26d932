//! The loads against the stub, whose cost, faults and stalls are known.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod events;
mod harness;
mod open;
mod stub;
