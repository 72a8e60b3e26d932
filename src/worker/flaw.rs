//! Why a job cannot be run. Its client gets 500, and the log says why.

use std::fmt;
use std::io;

use crate::offload::chunks::Broken;
use crate::offload::message::{DecodeError, RouteId};

/// What is wrong with it.
#[derive(Debug)]
pub(super) enum Flaw {
    /// Its slot, or its stream.
    Broken(Broken),
    /// The executor of a thread could not be set up.
    Executor(io::Error),
    /// The body that came in chunks is longer or shorter than it was to be.
    Length,
    /// Its message.
    Message(DecodeError),
    /// No such route leads to this pool.
    Route(RouteId),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(broken) => broken.fmt(f),
            Self::Executor(error) => write!(f, "a thread has no executor for its stream: {error}"),
            Self::Length => f.write_str("the body is not as long as it was to be"),
            Self::Message(error) => error.fmt(f),
            Self::Route(route) => write!(f, "route {} does not lead to this pool", route.0),
        }
    }
}

impl From<Broken> for Flaw {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<DecodeError> for Flaw {
    fn from(error: DecodeError) -> Self {
        Self::Message(error)
    }
}
