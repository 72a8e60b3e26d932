//! Light requests at a fixed rate, alone and beside heavy ones: how much the light ones feel.

use std::io;

use crate::open::{self, Heavy, Outcome, Settings};
use crate::subject::{Route, Running};

/// The two loads of one subject.
#[derive(Clone, Debug)]
pub(crate) struct Mixed {
    /// Only the light requests.
    pub(crate) alone: Outcome,
    /// The same with `HEAVY` others in flight all the time.
    pub(crate) beside: Outcome,
}

/// Puts both loads on a server, one after the other.
pub(crate) fn measure(running: &Running, client_cpu: usize, seconds: f64) -> io::Result<Mixed> {
    let alone = light(running, seconds);
    let beside = beside(running, seconds);
    Ok(Mixed {
        alone: open::run_beside(&alone, client_cpu)?,
        beside: open::run_beside(&beside, client_cpu)?,
    })
}

/// The load as a person would type it.
pub(crate) fn command(running: &Running, seconds: f64) -> String {
    format!("corewise-bench open {}", beside(running, seconds).words().join(" "))
}

fn light(running: &Running, seconds: f64) -> Settings {
    let path = running.path(Route::Plaintext);
    Settings { seconds, ..Settings::new(running.address(), &path, LIGHT_RATE) }
}

fn beside(running: &Running, seconds: f64) -> Settings {
    let path = running.path(Route::Burn { ms: BURN_MS });
    let heavy = Heavy { path, connections: HEAVY, rate: None, leave_after_ms: None };
    Settings { heavy: Some(heavy), ..light(running, seconds) }
}

/// Requests to the light route in each second: a small part of what any server can do.
const LIGHT_RATE: f64 = 2_000.0;
/// Heavy requests in flight.
const HEAVY: usize = 16;
/// CPU of each.
const BURN_MS: u32 = 10;
