//! corewise: an HTTP server for Linux that never lets one request hurt another.

#[forbid(unsafe_code)]
pub mod executor;
#[forbid(unsafe_code)]
pub mod exit;
#[forbid(unsafe_code)]
pub mod handler;
#[forbid(unsafe_code)]
pub mod http;
#[forbid(unsafe_code)]
pub mod limits;
pub mod net;
#[forbid(unsafe_code)]
pub mod router;
#[forbid(unsafe_code)]
pub mod shard;
pub mod sys;

pub use exit::Exit;
pub use handler::{Body, Event, Request, Response, task};
