//! From the start of a server to its first right answer, and what it holds then.

use std::error::Error;
use std::time::Instant;

use crate::reading::Reading;
use crate::result::Quantity;
use crate::runner::usage;
use crate::subject::{Place, Ready};

/// Starts a server, reads what it took, and stops it. The time is from before the program is
/// executed to the last byte of the first right answer; whether it answers is looked at every
/// millisecond, so it is right to about two.
pub(crate) fn measure(subject: &Ready, place: &Place) -> Result<Reading, Box<dyn Error>> {
    let begin = Instant::now();
    let running = subject.start(place)?;
    let start_ms = begin.elapsed().as_secs_f64() * 1e3;
    let mut reading = Reading { requests: 1, ..Reading::default() };
    reading.figures.insert(Quantity::StartMs, start_ms);
    // Somebody else's process hides its memory; the time is there all the same.
    if let Ok(bytes) = usage::proportional_bytes(&usage::tree(&running.roots())?) {
        reading.figures.insert(Quantity::MemoryBytes, bytes as f64);
    }
    running.stop()?;
    Ok(reading)
}
