//! From the start of a server to its first right answer, and what it holds then.

use std::io;
use std::time::Instant;

use crate::subject::{Place, Ready, Running, StartError};

/// A server that has just started.
pub(crate) struct Started {
    pub(crate) running: Running,
    /// From before the program is executed to the last byte of the first right answer. Whether it
    /// answers is looked at every millisecond, so it is right to about two.
    pub(crate) start_ms: f64,
    pub(crate) memory_bytes: u64,
}

/// Why there are no figures.
#[derive(Debug)]
pub(crate) enum StartupError {
    Io(io::Error),
    Start(StartError),
}

/// Starts a server; `memory` reads what the tree below a process holds.
pub(crate) fn measure(
    subject: &Ready,
    place: &Place,
    memory: impl FnOnce(u32) -> io::Result<u64>,
) -> Result<Started, StartupError> {
    let begin = Instant::now();
    let running = subject.start(place).map_err(StartupError::Start)?;
    let start_ms = begin.elapsed().as_secs_f64() * 1e3;
    let memory_bytes = memory(running.process()).map_err(StartupError::Io)?;
    Ok(Started { running, start_ms, memory_bytes })
}

impl std::fmt::Display for StartupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Start(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartupError {}
