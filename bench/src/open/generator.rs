//! The loop: send what is due, read what has come, give up what takes too long.

use std::io;
use std::time::Duration;

use super::histogram::Histogram;
use super::judge::Model;
use super::lane::{Lane, Pace, Plan};
use super::ledger::Ledger;
use super::outcome::{Generator, Outcome};
use super::poll::{Clock, Poll};
use super::request::{Request, model_body};
use super::schedule::moments;
use super::settings::{Heavy, Settings};
use super::tally::Tally;

/// Runs a load in this thread.
pub(super) fn run(settings: &Settings) -> io::Result<Outcome> {
    let poll = Poll::new()?;
    let mut lanes = vec![Lane::open(light(settings)?, &poll)?];
    if let Some(heavy) = &settings.heavy {
        lanes.push(Lane::open(heavy_plan(settings, heavy)?, &poll)?);
    }
    let mut load = Load {
        lanes,
        poll,
        lateness: Histogram::new(),
        buffer: vec![0; BUFFER_BYTES],
        end_ns: seconds_ns(settings.seconds),
        drain_ns: settings.drain_ms * MS,
        spin: settings.spin,
    };
    let began_ns = monotonic_ns();
    let clock = Clock::begin();
    load.run(clock)?;
    Ok(load.finish(clock.now_ns(), began_ns, settings))
}

struct Load {
    lanes: Vec<Lane>,
    poll: Poll,
    lateness: Histogram,
    buffer: Vec<u8>,
    end_ns: u64,
    drain_ns: u64,
    spin: bool,
}

impl Load {
    fn run(&mut self, clock: Clock) -> io::Result<()> {
        let mut next_sweep_ns = SWEEP_NS;
        loop {
            for lane in &mut self.lanes {
                lane.send_due(clock, &self.poll, &mut self.lateness)?;
            }
            let now_ns = clock.now_ns();
            if now_ns >= next_sweep_ns {
                self.lanes.iter_mut().for_each(|lane| lane.handle_timeouts(now_ns));
                next_sweep_ns = now_ns + SWEEP_NS;
            }
            let all_done = self.lanes.iter().all(|lane| lane.is_done(now_ns));
            // A lane that is done early still waits for the end: the other may not be.
            if now_ns >= self.end_ns + self.drain_ns || (all_done && now_ns >= self.end_ns) {
                return Ok(());
            }
            let patience = self.patience(now_ns, next_sweep_ns);
            for (token, hung_up) in self.poll.wait(patience)? {
                let (lane, index) = ((token >> LANE_SHIFT) as usize, token & INDEX_MASK);
                self.lanes[lane].handle_event(index as usize, hung_up, clock, &mut self.buffer);
            }
        }
    }

    fn patience(&self, now_ns: u64, next_sweep_ns: u64) -> Duration {
        if self.spin {
            return Duration::ZERO;
        }
        let moments = self.lanes.iter().filter_map(|lane| lane.next_moment(now_ns));
        let next_ns = moments.fold(next_sweep_ns, u64::min);
        Duration::from_nanos(next_ns.saturating_sub(now_ns))
    }

    fn finish(self, now_ns: u64, began_ns: u64, settings: &Settings) -> Outcome {
        let lateness = self.lateness.latency();
        let lateness_max_us = settings.lateness_max_us as f64;
        // Short loads have no such percentile; their worst moment stands for it.
        let worst_us = lateness.at(99.9).unwrap_or(lateness.max_us);
        let generator = Generator {
            late: worst_us > lateness_max_us,
            lateness,
            lateness_max_us,
            spin: self.spin,
            began_monotonic_ns: began_ns,
        };
        let mut streams = self.lanes.into_iter().map(|lane| lane.finish_load(now_ns));
        let (light, ledger) = streams.next().expect("there is a light lane");
        let heavy = streams.next().map(|(stream, _)| stream);
        Outcome { took_seconds: now_ns as f64 / 1e9, light, heavy, generator, ledger }
    }
}

fn light(settings: &Settings) -> io::Result<Plan> {
    let Settings { address, path, .. } = settings;
    let moments = moments(settings.rate, settings.seconds, settings.poisson);
    let ledger = settings.ledger.then(|| Ledger::new(moments.len()));
    let body = match &settings.body {
        Some(text) => text.clone().into_bytes(),
        None => probe(settings, path)?,
    };
    Ok(Plan {
        address: *address,
        request: Request::new(*address, path, settings.new_connections, settings.ledger),
        model: Model { body, statuses: settings.expect.clone() },
        pace: Pace::Open(moments),
        tally: Tally::new(seconds_ns(settings.seconds), ledger),
        connections: settings.connections,
        fresh: settings.new_connections,
        timeout_ns: settings.timeout_ms * MS,
        leave_after_ns: settings.leave_after_ms.map(|ms| ms * MS),
        first_token: 0,
    })
}

fn heavy_plan(settings: &Settings, heavy: &Heavy) -> io::Result<Plan> {
    let until_ns = seconds_ns(settings.seconds);
    let pace = match heavy.rate {
        Some(rate) => Pace::Open(moments(rate, settings.seconds, settings.poisson)),
        None => Pace::Closed { until_ns, rests_until_ns: 0 },
    };
    Ok(Plan {
        address: settings.address,
        request: Request::new(settings.address, &heavy.path, false, false),
        model: Model { body: probe(settings, &heavy.path)?, statuses: settings.expect.clone() },
        pace,
        tally: Tally::new(until_ns, None).with_moments(),
        connections: heavy.connections,
        fresh: false,
        timeout_ns: settings.timeout_ms * MS,
        leave_after_ns: heavy.leave_after_ms.map(|ms| ms * MS),
        first_token: 1 << LANE_SHIFT,
    })
}

fn probe(settings: &Settings, path: &str) -> io::Result<Vec<u8>> {
    let patience = Duration::from_millis(settings.timeout_ms);
    model_body(settings.address, path, &settings.expect, patience)
}

fn seconds_ns(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// The clock that all processes of this machine share.
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

const MS: u64 = 1_000_000;
/// How exactly a time-out is kept.
const SWEEP_NS: u64 = MS;
const LANE_SHIFT: u32 = 32;
const INDEX_MASK: u64 = (1 << LANE_SHIFT) - 1;
/// More than a small answer, so that one read says that the socket is empty.
const BUFFER_BYTES: usize = 64 << 10;
