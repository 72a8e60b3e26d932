//! Something happens to a server under load: who is not answered, and for how long nobody is.

use std::fmt::{self, Display};
use std::io;
use std::thread;
use std::time::Duration;

use crate::interrupt;
use crate::open::{self, Outcome, Settings};
use crate::subject::{Event, EventError, Route, Running};

/// A load with an event in its middle.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) outcome: Outcome,
    /// When the event began, from the first intended moment.
    pub(crate) event_at_ms: f64,
    /// Until the server was told, or had come back where that is part of the event.
    pub(crate) event_took_ms: f64,
}

/// Why there are no figures.
#[derive(Debug)]
pub(crate) enum EventsError {
    /// The event did not happen.
    Event(EventError),
    Io(io::Error),
    /// It did not happen while the load ran, so the load says nothing of it.
    Missed { at_ms: f64, seconds: f64 },
}

/// Puts the load on the server and lets the event happen in its middle.
pub(crate) fn measure(
    running: &mut Running,
    event: Event,
    client_cpu: usize,
    seconds: f64,
) -> Result<Measured, EventsError> {
    let settings = settings(running, seconds);
    let (loaded, happened) = thread::scope(|scope| {
        let load = scope.spawn(|| open::run_beside(&settings, client_cpu));
        let happened = happen(running, event, Duration::from_secs_f64(seconds / 2.0));
        let loaded = load.join().expect("the thread of the load does not panic");
        (loaded, happened)
    });
    let (begin_ns, end_ns) = happened?;
    let outcome = loaded?;
    let began_ns = outcome.generator.began_monotonic_ns;
    let event_at_ms = (begin_ns as f64 - began_ns as f64) / 1e6;
    if !(0.0..seconds * 1e3).contains(&event_at_ms) {
        return Err(EventsError::Missed { at_ms: event_at_ms, seconds });
    }
    Ok(Measured { outcome, event_at_ms, event_took_ms: (end_ns - begin_ns) as f64 / 1e6 })
}

/// The load as a person would type it.
pub(crate) fn command(running: &Running, seconds: f64) -> String {
    format!("corewise-bench open {}", settings(running, seconds).words().join(" "))
}

/// When the event began and was over, on the clock that all processes share.
fn happen(running: &mut Running, event: Event, after: Duration) -> Result<(u64, u64), EventsError> {
    interrupt::sleep(after)?;
    let begin_ns = open::monotonic_ns();
    running.event(event).map_err(EventsError::Event)?;
    Ok((begin_ns, open::monotonic_ns()))
}

fn settings(running: &Running, seconds: f64) -> Settings {
    let path = running.path(Route::Plaintext);
    let plain = Settings::new(running.address(), &path, RATE);
    Settings { seconds, connections: CONNECTIONS, ledger: true, ..plain }
}

impl From<io::Error> for EventsError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Display for EventsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
            Self::Missed { at_ms, seconds } => {
                write!(f, "the event came {at_ms:.0} ms into a load of {seconds} s")
            }
        }
    }
}

impl std::error::Error for EventsError {}

const RATE: f64 = 2_000.0;
const CONNECTIONS: usize = 32;
