//! What can be seen from outside: the log now, counters and pages later.

pub mod fall;
pub mod log;
