//! How long a body is, as far as its head tells.

/// The length of a request body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyLength {
    /// Sent in chunks; the length shows at the end.
    Chunked,
    /// So many bytes, at least one.
    Known(u64),
    /// The request has no body.
    None,
}

/// The length of a response body, as the handler knows it when the head is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResponseLength {
    /// Exactly so many bytes.
    Known(u64),
    /// Not known: chunked, or ended by the end of the connection for HTTP/1.0.
    Unknown,
}
