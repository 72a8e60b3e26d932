//! HTTP without I/O: bytes and time in, events and bytes out.
//!
//! Nothing here reads a socket, a clock or a setting. The owner of a connection feeds what it has
//! read, is told what happened, and sends what was appended to its buffer.

mod body;
mod date;
mod error;
pub mod h1;
mod head;
mod params;
pub mod percent;
mod target;
mod time;

pub use body::{BodyLength, ResponseLength};
pub use date::Preamble;
pub use error::Error;
pub use h1::ResponseHead;
pub use head::{Head, Version};
pub use params::Params;
pub use target::is_authority;
pub use time::Time;
