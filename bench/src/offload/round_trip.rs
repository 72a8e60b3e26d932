//! How long one asks and waits for the answer: the median over many times.

use std::time::{Duration, Instant};

use super::way::{self, Ask, Fault, Setup, Wait, Way};

/// Nanoseconds from the beginning of a request to the end of its answer, at the median.
pub(super) fn measure(way: Way, setup: Setup, time: Duration) -> Result<f64, Fault> {
    let mut asker = way.open(setup)?;
    let (mut request, mut answer) = (vec![1; setup.bytes], vec![0; setup.bytes]);
    sample(&mut *asker, &mut request, &mut answer, 1, time / WARM_UP)?;
    let mut samples = sample(&mut *asker, &mut request, &mut answer, batch(setup), time)?;
    let middle = samples.len() / 2;
    Ok(*samples.select_nth_unstable_by(middle, f64::total_cmp).1)
}

/// So many round trips are timed as one where they are as short as reading the clock is.
fn batch(setup: Setup) -> u32 {
    match setup.wait {
        Wait::Awake if setup.bytes <= 4096 => 64,
        Wait::Asleep | Wait::Awake => 1,
    }
}

fn sample(
    asker: &mut dyn Ask,
    request: &mut [u8],
    answer: &mut [u8],
    batch: u32,
    time: Duration,
) -> Result<Vec<f64>, Fault> {
    let end = Instant::now() + time;
    let mut samples = Vec::with_capacity(SAMPLES);
    let mut number = 0_u64;
    loop {
        let began = Instant::now();
        for _ in 0..batch {
            number += 1;
            way::set_stamp(request, number);
            asker.ask(request, answer)?;
            if way::stamp(answer) != number + 1 {
                return Err("an answer belongs to another request".into());
            }
        }
        let now = Instant::now();
        samples.push((now - began).as_nanos() as f64 / f64::from(batch));
        if now >= end {
            return Ok(samples);
        }
    }
}

/// The part of a window that is spent before it, so that caches and averages are as they will be.
const WARM_UP: u32 = 4;
/// What a window holds at most, more or less.
const SAMPLES: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo {
        off_by: u64,
    }

    impl Ask for Echo {
        fn ask(&mut self, request: &[u8], answer: &mut [u8]) -> Result<(), Fault> {
            way::set_stamp(answer, way::stamp(request) + 1 + self.off_by);
            Ok(())
        }
    }

    #[test]
    fn answers_are_checked() {
        let (mut request, mut answer) = ([0; 8], [0; 8]);
        let mut run = |off_by| {
            let time = Duration::from_millis(1);
            sample(&mut Echo { off_by }, &mut request, &mut answer, 4, time)
        };
        assert!(!run(0).unwrap().is_empty());
        assert!(run(1).is_err());
    }
}
