//! HTTP/1.1 (RFC 9110, 9112) as a pure core: bytes and time in, events and bytes out.

mod chunked;
mod connection;
mod encode;
mod framing;
pub(super) mod grammar;
mod judge;
mod parse;
mod state;
#[cfg(test)]
mod tests;

pub use connection::{Connection, Event, Received};
pub use encode::ResponseHead;
pub use state::{Close, Timeout};
