//! One window: one subject under one load, with everything that is read around it.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::calls::Counters;
use super::noise::{Cores, Noise};
use super::usage::{self, Tree};
use super::wrk::{self, Wrk};
use crate::open;
use crate::reading::Reading;
use crate::result::Quantity;
use crate::subject::{Route, Running};

/// What all windows of a run have in common.
pub(super) struct Bench {
    pub(super) cores: Cores,
    /// A first look: shorter warm-up, and system calls are not counted.
    pub(super) quick: bool,
    /// Present where a column needs it.
    pub(super) wrk: Option<Wrk>,
}

/// Which window of a subject in a column this is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    /// Caches are cold and memory has not grown: warmed up for longer, and the system calls are
    /// counted behind it.
    First,
    /// The first one again, because it was disturbed.
    FirstAgain,
    Later,
}

pub(super) type Outcome = Result<Reading, Box<dyn Error>>;

impl Bench {
    /// A closed loop: wrk asks again once it was answered.
    pub(super) fn closed(
        &self,
        running: &mut Running,
        route: Route,
        load: wrk::Load,
        turn: Turn,
    ) -> Outcome {
        let wrk = self.wrk.as_ref().expect("the run began with wrk, for this column needs it");
        let url = format!("http://{}{}", running.address(), running.path(route));
        let answer = running.check(route)?;
        wrk.warm(load, &url, self.warm_up(turn))?;
        let (outcome, account) = self.accounted(running, || wrk.run(load, &url))?;
        running.check(route)?;
        let mut reading = account.reading(outcome.right())?;
        reading.figures.insert(Quantity::RequestsPerSecond, outcome.right_per_second());
        reading.figures.insert(Quantity::LatencyP50Us, outcome.latency_p50_us);
        if turn != Turn::Later && !self.quick {
            let load = wrk::Load { seconds: 1, ..load };
            let calls = count_calls(running, || wrk.run(load, &url))?;
            reading.figures.extend(calls.map(|calls| (Quantity::SystemCallsPerRequest, calls)));
        }
        Ok(Reading { answer_bytes: answer.bytes, errors: outcome.errors, ..reading })
    }

    /// A fixed rate: requests come at their moments, whatever the answers do.
    pub(super) fn open(
        &self,
        running: &mut Running,
        settings: &open::Settings,
        turn: Turn,
    ) -> Outcome {
        running.check(Route::Plaintext)?;
        let warm_up =
            open::Settings { seconds: self.warm_up(turn).as_secs_f64(), ..settings.clone() };
        open::run_beside(&warm_up, self.cores.client)?;
        let (outcome, account) =
            self.accounted(running, || open::run_beside(settings, self.cores.client))?;
        running.check(Route::Plaintext)?;
        let used = account.reading(outcome.light.right())?;
        let mut reading = outcome.reading();
        reading.figures.extend(used.figures);
        reading.disturbances.extend(used.disturbances);
        Ok(reading)
    }

    /// A load with accounts of its own, watched for strangers.
    pub(super) fn watched(
        &self,
        running: &mut Running,
        load: impl FnOnce(&mut Running) -> Outcome,
    ) -> Outcome {
        let before = usage::settle(|| running.roots())?;
        let noise = Noise::start(self.cores)?;
        let mut reading = load(running)?;
        let after = usage::settle(|| running.roots())?;
        let cpu_ns = after.cpu_ns.saturating_sub(before.cpu_ns);
        reading.disturbances.extend(noise.stop(&after, cpu_ns)?);
        Ok(reading)
    }

    /// After the first time only connections have to be warmed, not memory and caches.
    fn warm_up(&self, turn: Turn) -> Duration {
        match turn {
            Turn::First if !self.quick => FIRST_WARM_UP,
            Turn::First | Turn::FirstAgain | Turn::Later => WARM_UP,
        }
    }

    /// Runs a load and reads all accounts around it, both times while the subject rests.
    fn accounted<T>(
        &self,
        running: &Running,
        load: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<(T, Account)> {
        let before = usage::settle(|| running.roots())?;
        let noise = Noise::start(self.cores)?;
        let outcome = load()?;
        let after = usage::settle(|| running.roots())?;
        let cpu_ns = after.cpu_ns.saturating_sub(before.cpu_ns);
        let disturbances = noise.stop(&after, cpu_ns)?;
        Ok((outcome, Account { before, after, cpu_ns, disturbances }))
    }
}

/// What a tree used for a load.
struct Account {
    before: Tree,
    after: Tree,
    cpu_ns: u64,
    disturbances: Vec<String>,
}

impl Account {
    /// The figures that follow from it for so many right answers.
    fn reading(self, requests: u64) -> Result<Reading, String> {
        if requests == 0 {
            return Err("no request got a right answer".to_owned());
        }
        let per_request = |sum: f64| sum / requests as f64;
        let switches = self.after.switches.saturating_sub(self.before.switches);
        let mut disturbances = self.disturbances;
        if self.before.processes != self.after.processes {
            disturbances.push("a process of the server came or went".to_owned());
        }
        let mut figures = BTreeMap::from([
            (Quantity::CpuPerRequestUs, per_request(self.cpu_ns as f64 / 1e3)),
            (Quantity::ContextSwitchesPerRequest, per_request(switches as f64)),
        ]);
        // Somebody else's process hides its memory; the other figures are there all the same.
        if let Ok(bytes) = usage::proportional_bytes(&self.after) {
            figures.insert(Quantity::MemoryBytes, bytes as f64);
        }
        Ok(Reading { figures, requests, disturbances, ..Reading::default() })
    }
}

/// System calls for each request in a load of its own; none where they cannot be counted, which
/// the notes about the machine say.
fn count_calls(
    running: &Running,
    load: impl FnOnce() -> io::Result<wrk::Outcome>,
) -> io::Result<Option<f64>> {
    let Ok(counters) = Counters::open(&usage::tree(&running.roots())?) else { return Ok(None) };
    let answers = load()?.answers;
    let calls = counters.read()?;
    Ok((answers > 0).then(|| calls as f64 / answers as f64))
}

/// Why system calls are not counted here, if they are not.
pub(super) fn calls_note() -> Option<String> {
    let own = usage::tree(&[std::process::id()]).ok()?;
    Counters::open(&own).err()
}

/// CPU microseconds of the whole tree for each right answer, in a closed loop of wrk on this CPU.
pub(crate) fn cpu_per_request_us(
    running: &Running,
    path: &str,
    cpu: usize,
    folder: &Path,
) -> Result<f64, Box<dyn Error>> {
    let wrk = Wrk::new(cpu, folder)?;
    let url = format!("http://{}{path}", running.address());
    let load = wrk::Load { connections: 32, style: wrk::Style::KeepAlive, seconds: 2 };
    wrk.warm(load, &url, FIRST_WARM_UP)?;
    let before = usage::settle(|| running.roots())?;
    let outcome = wrk.run(load, &url)?;
    let after = usage::settle(|| running.roots())?;
    match outcome.right() {
        0 => Err(format!("no right answer to {path}").into()),
        right => Ok((after.cpu_ns - before.cpu_ns) as f64 / 1e3 / right as f64),
    }
}

const FIRST_WARM_UP: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_millis(300);
