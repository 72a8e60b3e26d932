//! Light requests at a fixed rate, alone and beside heavy ones: how much the light ones feel.

use std::error::Error;

use crate::open::{self, Heavy, Settings};
use crate::reading::Reading;
use crate::result::Quantity;
use crate::subject::{Route, Running};

/// The light requests with `HEAVY` others in flight all the time.
pub(crate) fn measure(
    running: &mut Running,
    client_cpu: usize,
    seconds: u32,
) -> Result<Reading, Box<dyn Error>> {
    let burn = Route::Burn { ms: BURN_MS };
    running.check(burn)?;
    let heavy =
        Heavy { path: running.path(burn), connections: HEAVY, rate: None, leave_after_ms: None };
    let settings = Settings { heavy: Some(heavy), ..light(running, seconds) };
    let reading = load(running, &settings, client_cpu)?;
    running.check(burn)?;
    Ok(reading)
}

/// The same light requests with nothing beside them.
pub(crate) fn alone(
    running: &mut Running,
    client_cpu: usize,
    seconds: u32,
) -> Result<Reading, Box<dyn Error>> {
    let settings = light(running, seconds);
    load(running, &settings, client_cpu)
}

fn light(running: &Running, seconds: u32) -> Settings {
    let path = running.path(Route::Plaintext);
    let plain = Settings::new(running.address(), &path, LIGHT_RATE);
    Settings { seconds: f64::from(seconds), connections: CONNECTIONS, ..plain }
}

fn load(
    running: &mut Running,
    settings: &Settings,
    client_cpu: usize,
) -> Result<Reading, Box<dyn Error>> {
    running.check(Route::Plaintext)?;
    let outcome = open::run_beside(settings, client_cpu)?;
    running.check(Route::Plaintext)?;
    let mut reading = outcome.reading();
    if let Some(heavy) = &outcome.heavy {
        reading.figures.insert(Quantity::HeavyPerSecond, heavy.right_per_second);
        for (kind, count) in heavy.errors() {
            *reading.errors.entry(kind).or_default() += count;
        }
    }
    Ok(reading)
}

/// Requests to the light route in each second: a small part of what any server can do.
const LIGHT_RATE: f64 = 2_000.0;
const CONNECTIONS: usize = 32;
/// Heavy requests in flight.
const HEAVY: usize = 16;
/// CPU of each.
const BURN_MS: u32 = 10;
