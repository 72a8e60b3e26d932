//! corewise: an HTTP server for Linux that never lets one request hurt another.

#[forbid(unsafe_code)]
pub mod http;
#[forbid(unsafe_code)]
pub mod limits;
#[forbid(unsafe_code)]
pub mod router;
