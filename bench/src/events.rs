//! Something happens to a server under load: who is not answered, and for how long nobody is.

use std::error::Error;
use std::thread;
use std::time::Duration;

use crate::interrupt;
use crate::open::{self, Settings};
use crate::reading::Reading;
use crate::result::Quantity;
use crate::subject::{Event, Route, Running};

/// Puts a ledgered load on the server and lets the event happen in its middle.
pub(crate) fn measure(
    running: &mut Running,
    event: Event,
    client_cpu: usize,
) -> Result<Reading, Box<dyn Error>> {
    running.check(Route::Plaintext)?;
    let settings = settings(running);
    let (loaded, happened) = thread::scope(|scope| {
        let load = scope.spawn(|| open::run_beside(&settings, client_cpu));
        let happened = happen(running, event);
        (load.join().expect("the thread of the load does not panic"), happened)
    });
    let at_ns = happened?;
    let outcome = loaded?;
    let at_ms = (at_ns as f64 - outcome.generator.began_monotonic_ns as f64) / 1e6;
    // Then the load would say nothing of the event.
    if !(0.0..SECONDS * 1e3).contains(&at_ms) {
        return Err(format!("the event came {at_ms:.0} ms into a load of {SECONDS} s").into());
    }
    running.check(Route::Plaintext)?;
    let account = outcome.ledger.as_ref().ok_or("the generator kept no ledger")?;
    let mut reading = outcome.reading();
    reading.figures.insert(Quantity::FailedRequests, outcome.light.failed() as f64);
    reading.figures.insert(Quantity::LongestGapMs, account.longest_gap_ms);
    Ok(reading)
}

/// When the event began, on the clock that all processes share.
fn happen(running: &mut Running, event: Event) -> Result<u64, Box<dyn Error>> {
    interrupt::sleep(Duration::from_secs_f64(SECONDS / 2.0))?;
    let at_ns = open::monotonic_ns();
    running.event(event)?;
    Ok(at_ns)
}

fn settings(running: &Running) -> Settings {
    let path = running.path(Route::Plaintext);
    let plain = Settings::new(running.address(), &path, RATE);
    Settings { seconds: SECONDS, connections: CONNECTIONS, ledger: true, ..plain }
}

const RATE: f64 = 2_000.0;
const CONNECTIONS: usize = 32;
/// Long enough for a server to come back in: the event has half of it.
const SECONDS: f64 = 4.0;
