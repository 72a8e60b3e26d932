//! The open-loop generator: requests at their intended moments, whatever the server does.
//!
//! A closed loop asks again when it was answered, so a server that stalls is asked less while it
//! stalls, and the stall is hardly in the figures. Here the moments are fixed before the load
//! begins, and a latency runs from the intended moment, also while the request waits in the
//! generator for a connection.

mod outcome;
mod settings;

pub(crate) use self::outcome::{Account, BUCKET_MS, Fate, Generator, Latency, Outcome, Stream};
pub(crate) use self::settings::{Heavy, Settings};
