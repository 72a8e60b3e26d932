//! Sockets and the ring: what moves bytes, and knows nothing of HTTP.

pub mod listener;
