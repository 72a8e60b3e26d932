//! Why an exchange was refused: one variant per distinct reason, and the status that answers it.

use std::fmt;

use ::http::StatusCode;

/// The reason for an error answer. Most are the peer's fault; the last few words of the list are
/// ours (`HandlerTimeout`, `Internal`, `PoolBusy`, `ShuttingDown`, `WorkerLost`, `WorkerTimeout`).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Error {
    /// A line ended with LF alone.
    BareLineFeed,
    /// The input ended before the body did.
    BodyIncomplete,
    /// The body came too slowly.
    BodyTimeout,
    /// The body is larger than `limits.body-bytes`.
    BodyTooLarge,
    /// Chunk data was not followed by CRLF.
    ChunkEndInvalid,
    /// The chunk extensions of one body are larger than their bound.
    ChunkExtensionsTooLarge,
    /// A chunk-size line that is none.
    ChunkInvalid,
    /// A chunk-size line longer than its bound.
    ChunkLineTooLong,
    /// Content-Length is not one decimal number.
    ContentLengthInvalid,
    /// Content-Length was given more than once.
    ContentLengthRepeated,
    /// An `Expect` that nobody here can meet.
    ExpectationFailed,
    /// A field line continued on the next one (obs-fold), or white space before the first.
    FieldFolded,
    /// A field name that is empty, is not a token or is not followed by a colon.
    FieldNameInvalid,
    /// A control byte in a field value.
    FieldValueInvalid,
    /// The header section is larger than `limits.header-bytes`.
    FieldsTooLarge,
    /// Content-Length and Transfer-Encoding in one request.
    FramingConflict,
    /// The handler did not answer in time.
    HandlerTimeout,
    /// The input ended in the middle of a head.
    HeadIncomplete,
    /// The head came too slowly.
    HeadTimeout,
    /// The value of Host is not a host with an optional port.
    HostInvalid,
    /// An HTTP/1.1 request without Host.
    HostMissing,
    /// Host was given more than once.
    HostRepeated,
    /// Our own fault.
    Internal,
    /// The request line is not made of three parts with one space between them.
    LineInvalid,
    /// The request line is longer than `limits.line-bytes`.
    LineTooLong,
    /// The method is not a token.
    MethodInvalid,
    /// The target has no handler for the method.
    MethodNotAllowed,
    /// The method is longer than any that is known.
    MethodTooLong,
    /// Nothing here knows the method.
    MethodUnknown,
    /// Nothing is found at the target.
    NotFound,
    /// A parameter in the path or the query does not have the form it must have.
    ParameterInvalid,
    /// No worker would begin the request in time.
    PoolBusy,
    /// The server is stopping.
    ShuttingDown,
    /// The request target has no valid form.
    TargetInvalid,
    /// More empty lines in front of a request line than anyone needs.
    TooManyEmptyLines,
    /// More field lines than `limits.headers`.
    TooManyFields,
    /// A field that has no place in a trailer section.
    TrailerForbidden,
    /// The trailer section is larger than its bound.
    TrailersTooLarge,
    /// Transfer-Encoding does not name `chunked` once and last: the length is in doubt.
    TransferCodingInvalid,
    /// Transfer-Encoding names a coding before `chunked` that nobody here knows.
    TransferCodingUnknown,
    /// The protocol version has no valid syntax.
    VersionInvalid,
    /// The protocol is HTTP, but not major version 1.
    VersionUnsupported,
    /// The worker that had the request has died, or answered with what is no response.
    WorkerLost,
    /// The worker that had the request did not answer in time.
    WorkerTimeout,
}

impl Error {
    /// The status that the peer is answered with.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BodyTimeout | Self::HeadTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ExpectationFailed => StatusCode::EXPECTATION_FAILED,
            Self::FieldsTooLarge | Self::TooManyFields | Self::TrailersTooLarge => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::HandlerTimeout | Self::PoolBusy | Self::ShuttingDown => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::LineTooLong => StatusCode::URI_TOO_LONG,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::MethodTooLong | Self::MethodUnknown | Self::TransferCodingUnknown => {
                StatusCode::NOT_IMPLEMENTED
            }
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::VersionUnsupported => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::WorkerLost => StatusCode::BAD_GATEWAY,
            Self::WorkerTimeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Whether the connection ends with this answer: nobody knows where the next request begins,
    /// or it is not worth waiting for.
    #[must_use]
    pub const fn is_fatal(self) -> bool {
        !matches!(
            self,
            Self::HandlerTimeout
                | Self::Internal
                | Self::PoolBusy
                | Self::WorkerLost
                | Self::WorkerTimeout
        )
    }

    /// The text of the answer's body.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::BareLineFeed => "a line ends without a carriage return",
            Self::BodyIncomplete => "the body ended early",
            Self::BodyTimeout => "the body came too slowly",
            Self::BodyTooLarge => "the body is too large",
            Self::ChunkEndInvalid => "a chunk is not followed by CRLF",
            Self::ChunkExtensionsTooLarge => "too many chunk extensions",
            Self::ChunkInvalid => "a chunk size is invalid",
            Self::ChunkLineTooLong => "a chunk-size line is too long",
            Self::ContentLengthInvalid => "the content length is invalid",
            Self::ContentLengthRepeated => "the content length is given more than once",
            Self::ExpectationFailed => "the expectation cannot be met",
            Self::FieldFolded => "a field line is folded",
            Self::FieldNameInvalid => "a field name is invalid",
            Self::FieldValueInvalid => "a field value is invalid",
            Self::FieldsTooLarge => "the header section is too large",
            Self::FramingConflict => "content length and transfer coding together",
            Self::HandlerTimeout => "the handler took too long",
            Self::HeadIncomplete => "the request ended early",
            Self::HeadTimeout => "the request came too slowly",
            Self::HostInvalid => "the host is invalid",
            Self::HostMissing => "the host is missing",
            Self::HostRepeated => "the host is given more than once",
            Self::Internal => "internal error",
            Self::LineInvalid => "the request line is invalid",
            Self::LineTooLong => "the request line is too long",
            Self::MethodInvalid => "the method is invalid",
            Self::MethodNotAllowed => "the method is not allowed here",
            Self::MethodTooLong => "the method is too long",
            Self::MethodUnknown => "the method is not known",
            Self::NotFound => "not found",
            Self::ParameterInvalid => "a parameter is invalid",
            Self::PoolBusy => "too many requests wait for a worker",
            Self::ShuttingDown => "the server is stopping",
            Self::TargetInvalid => "the request target is invalid",
            Self::TooManyEmptyLines => "too many empty lines before the request",
            Self::TooManyFields => "too many header fields",
            Self::TrailerForbidden => "a trailer field is not allowed there",
            Self::TrailersTooLarge => "the trailer section is too large",
            Self::TransferCodingInvalid => "the transfer coding is invalid",
            Self::TransferCodingUnknown => "the transfer coding is not known",
            Self::VersionInvalid => "the protocol version is invalid",
            Self::VersionUnsupported => "the protocol version is not supported",
            Self::WorkerLost => "the worker was lost",
            Self::WorkerTimeout => "the worker took too long",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Error {}
