//! Sockets through io_uring: the ring, its buffers, what is sent, who a completion belongs to;
//! and the listeners.
//!
//! Carries bytes and knows nothing of HTTP.

mod buffers;
pub mod listener;
pub mod op;
pub mod output;
pub mod ring;

pub use buffers::Lease;
pub use op::ConnId;
pub use output::Output;
pub use ring::{Completion, Errno, FlightId, Ring};
