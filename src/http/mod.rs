//! HTTP without I/O: bytes and time in, events and bytes out.

mod params;
pub mod percent;

pub use params::Params;
