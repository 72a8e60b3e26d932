//! What happens to a server, and what is read off it.

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::rows;
use crate::interrupt;
use crate::open::{self, Heavy, Outcome, Settings};
use crate::runner::{Cores, cpu_per_request_us, usage};
use crate::subject::{Place, Ready, Route, Running};

/// One scenario; each begins with a fresh server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scenario {
    Default,
    /// What a job costs in a whole server.
    Http,
    Idle,
    Kill,
    Leave,
    Overload,
    Own,
}

/// Where it is played.
pub(super) struct Stage<'a> {
    pub(super) cores: Cores,
    pub(super) folder: &'a Path,
}

type Figures = Vec<(&'static str, f64)>;

impl Scenario {
    /// In the order of the report.
    pub(super) const ALL: [Self; 7] =
        [Self::Own, Self::Default, Self::Overload, Self::Leave, Self::Kill, Self::Http, Self::Idle];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Http => "http",
            Self::Idle => "idle",
            Self::Kill => "kill",
            Self::Leave => "leave",
            Self::Overload => "overload",
            Self::Own => "own",
        }
    }

    pub(super) fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scenario| scenario.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("no scenario {name:?}; there are {names}")
        })
    }

    /// Which of the two of ours plays it: where one worker has to be told from another, that one
    /// has a CPU of its own.
    pub(super) const fn ours(self) -> &'static str {
        match self {
            Self::Default | Self::Idle | Self::Leave | Self::Overload => rows::OURS,
            Self::Http | Self::Kill | Self::Own => rows::OWN,
        }
    }

    pub(super) fn is_for(self, subject: &str) -> bool {
        let is_other = ![rows::OURS, rows::OWN].contains(&subject);
        // Nobody else has both routes, and nobody else was asked to be quiet.
        subject == self.ours() || (is_other && !matches!(self, Self::Http | Self::Idle))
    }

    pub(super) fn play(self, stage: &Stage<'_>, ready: &Ready) -> Result<Figures, Box<dyn Error>> {
        let place = Place::new(stage.cores.server, stage.folder, &stage.folder.join("subjects"));
        let cpus = vec![stage.cores.server, stage.cores.client];
        let mut running = ready.start(&Place { cpus, ..place })?;
        await_burn(&mut running)?;
        let mut play = Play { running, cpu: stage.cores.server };
        match self {
            Self::Default => play.beside([rows::LIGHT_ALONE, rows::LIGHT, rows::HEAVY]),
            Self::Http => play.http(stage),
            Self::Idle => play.idle(),
            Self::Kill => play.kill(),
            Self::Leave => play.leave(),
            Self::Overload => play.overload(),
            Self::Own => play.beside([rows::OWN_ALONE, rows::OWN_LIGHT, rows::OWN_HEAVY]),
        }
    }
}

/// A server that plays.
struct Play {
    running: Running,
    /// Of the load.
    cpu: usize,
}

impl Play {
    /// Light requests alone, then beside heavy ones.
    fn beside(&mut self, names: [&'static str; 3]) -> Result<Figures, Box<dyn Error>> {
        // Caches are cold and memory has not grown.
        self.load(&self.settings(1.0, Some(self.in_flight(HEAVY))))?;
        let alone = self.load(&self.settings(ALONE_SECONDS, None))?;
        let beside = self.load(&self.settings(BESIDE_SECONDS, Some(self.in_flight(HEAVY))))?;
        let figures = [light_p99_ms(&alone)?, light_p99_ms(&beside)?, heavy_per_second(&beside)];
        Ok(names.into_iter().zip(figures).collect())
    }

    /// The same answer from the shard and from a worker, which shares its CPU with the load.
    fn http(&mut self, stage: &Stage<'_>) -> Result<Figures, Box<dyn Error>> {
        let cost = |path| cpu_per_request_us(&self.running, path, stage.cores.client, stage.folder);
        Ok(vec![
            (rows::HTTP_INLINE, cost("/plaintext")?),
            (rows::HTTP_OFFLOAD, cost("/offload/plaintext")?),
        ])
    }

    /// Nothing is asked; the busiest of its processes.
    fn idle(&mut self) -> Result<Figures, Box<dyn Error>> {
        self.load(&self.settings(1.0, Some(self.in_flight(HEAVY))))?;
        self.rest()?;
        let processes = usage::tree(&self.running.roots())?.processes;
        let read = || -> Vec<u64> {
            processes.iter().map(|process| usage::process_cpu_ns(*process).unwrap_or(0)).collect()
        };
        let before = read();
        interrupt::sleep(IDLE)?;
        let after = read();
        let used = before.iter().zip(after).map(|(before, after)| after.saturating_sub(*before));
        let most = used.max().ok_or("it has no process")?;
        Ok(vec![(rows::IDLE, ms(most) / IDLE.as_secs_f64() / 10.0)])
    }

    /// More heavy requests than it can do, from clients with little patience.
    fn overload(&mut self) -> Result<Figures, Box<dyn Error>> {
        self.load(&self.settings(1.0, Some(self.in_flight(HEAVY))))?;
        let (alone, light_cpu) = self.accounted(&self.settings(ALONE_SECONDS, None))?;
        let light_cpu_ms = ms(light_cpu) / alone.light.right().max(1) as f64;
        let before = self.load(&self.settings(BESIDE_SECONDS, Some(self.in_flight(HEAVY))))?;
        let capacity = heavy_per_second(&before);
        if capacity <= 0.0 {
            return Err("it answers no heavy request".into());
        }
        let usual = self.ask_burn()?;
        let memory = self.memory()?;
        let rate = capacity * OVERLOAD;
        let connections = (rate * PATIENCE.as_secs_f64() * 1.5) as usize;
        let leave_after_ms = Some(PATIENCE.as_millis() as u64);
        let heavy = Heavy { rate: Some(rate), leave_after_ms, ..self.in_flight(connections) };
        let settings = Settings {
            expect: vec![200, 503],
            // Nobody is there any more whose patience is over.
            drain_ms: 0,
            timeout_ms: 2 * PATIENCE.as_millis() as u64,
            ..self.settings(OVERLOAD_SECONDS, Some(heavy))
        };
        let began = self.tree_ns()?;
        let outcome = open::run_among(&settings, self.cpu)?;
        let more = self.memory()? - memory;
        let recovery = self.recovery(usual)?;
        let cpu_ms = ms(self.tree_ns()? - began);
        let heavy = outcome.heavy.as_ref().ok_or("the generator says nothing of heavy requests")?;
        let burned = (cpu_ms - light_cpu_ms * outcome.light.right() as f64) / BURN_MS;
        // Those that ask whether the usual is back are right ones, too.
        let right = f64::from(heavy.right_at_us.len() as u32 + recovery.asked);
        let late_us = ((OVERLOAD_SECONDS - LAST_SECONDS) * 1e6) as u64;
        let last = heavy.right_at_us.iter().filter(|at| **at >= late_us).count();
        let refused = heavy.fates.get(&open::Fate::Allowed).copied().unwrap_or(0);
        let mut figures = vec![
            (rows::USEFUL, last as f64 / LAST_SECONDS / capacity),
            (rows::WASTE, (1.0 - right / burned.max(right)).max(0.0)),
            (rows::OVERLOAD_MEMORY, more),
            (rows::OVERLOAD_LIGHT_BEFORE, light_p99_ms(&before)?),
            (rows::OVERLOAD_LIGHT, light_p99_ms(&outcome)?),
            (rows::RECOVERY, recovery.took.as_secs_f64() * 1e3),
        ];
        if refused > 0 {
            let p99 = heavy.refusal.at(99.0).unwrap_or(heavy.refusal.max_us);
            figures.push((rows::REFUSAL, p99 / 1e3));
            figures.push((rows::RETRY_AFTER, heavy.retry_after as f64 / refused as f64));
        }
        Ok(figures)
    }

    /// Many clients ask for something heavy, and leave together while most of them wait.
    fn leave(&mut self) -> Result<Figures, Box<dyn Error>> {
        let path = self.running.path(LONG_BURN);
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n");
        let mut clients = Vec::new();
        for _ in 0..LEAVING {
            let mut client = TcpStream::connect(self.running.address())?;
            client.write_all(request.as_bytes())?;
            clients.push(client);
        }
        interrupt::sleep(LEAVE_AFTER)?;
        let before = self.tree_ns()?;
        drop(clients);
        let after = self.rest()?;
        Ok(vec![(rows::LEFT, ms(after.saturating_sub(before)) / LONG_BURN_MS)])
    }

    /// Who burns is killed.
    fn kill(&mut self) -> Result<Figures, Box<dyn Error>> {
        self.load(&self.settings(1.0, Some(self.in_flight(KILL_HEAVY))))?;
        let settings = Settings {
            ledger: true,
            ..self.settings(KILL_SECONDS, Some(self.in_flight(KILL_HEAVY)))
        };
        let (loaded, killed) = thread::scope(|scope| {
            let load = scope.spawn(|| open::run_among(&settings, self.cpu));
            let killed = self.kill_busiest();
            (load.join().expect("the thread of the load does not panic"), killed)
        });
        let (killed_ns, outcome) = (killed?, loaded?);
        let killed_us = killed_ns.saturating_sub(outcome.generator.began_monotonic_ns) / 1000;
        let heavy = outcome.heavy.as_ref().ok_or("the generator says nothing of heavy requests")?;
        let mut figures = vec![
            (rows::KILL_LIGHT, outcome.light.failed() as f64),
            (rows::KILL_HEAVY, heavy.failed() as f64),
        ];
        // Without a next one there is no figure, and the bar stays open.
        if let Some(next_us) = heavy.right_at_us.iter().find(|at| **at > killed_us) {
            figures.push((rows::KILL_NEXT, (next_us - killed_us) as f64 / 1e3 - BURN_MS));
        }
        Ok(figures)
    }

    /// Kills the process that uses most CPU at the moment; when that was.
    fn kill_busiest(&self) -> Result<u64, String> {
        let fault = |error: io::Error| error.to_string();
        interrupt::sleep(Duration::from_secs_f64(KILL_SECONDS / 2.0)).map_err(fault)?;
        let read = || -> Result<Vec<(u32, u64)>, String> {
            let tree = usage::tree(&self.running.roots()).map_err(fault)?;
            let clock = |process| Some((process, usage::process_cpu_ns(process).ok()?));
            Ok(tree.processes.into_iter().filter_map(clock).collect())
        };
        let before = read()?;
        interrupt::sleep(KILL_LOOK).map_err(fault)?;
        let used = read()?.into_iter().filter_map(|(process, after)| {
            let (_, before) = before.iter().find(|(other, _)| *other == process)?;
            Some((after.saturating_sub(*before), process))
        });
        let (_, busiest) = used.max().ok_or("it has no process")?;
        let killed_ns = open::monotonic_ns();
        crate::subject::kill(busiest).map_err(fault)?;
        Ok(killed_ns)
    }

    fn settings(&self, seconds: f64, heavy: Option<Heavy>) -> Settings {
        let path = self.running.path(Route::Plaintext);
        let plain = Settings::new(self.running.address(), &path, LIGHT_RATE);
        Settings { seconds, heavy, lateness_max_us: LATENESS_US, ..plain }
    }

    fn in_flight(&self, connections: usize) -> Heavy {
        Heavy { path: self.running.path(BURN), connections, rate: None, leave_after_ms: None }
    }

    fn load(&self, settings: &Settings) -> Result<Outcome, Box<dyn Error>> {
        Ok(open::run_among(settings, self.cpu)?)
    }

    /// With the CPU time that it cost the server.
    fn accounted(&self, settings: &Settings) -> Result<(Outcome, u64), Box<dyn Error>> {
        let before = self.tree_ns()?;
        let outcome = self.load(settings)?;
        Ok((outcome, self.tree_ns()? - before))
    }

    fn tree_ns(&self) -> io::Result<u64> {
        Ok(usage::tree(&self.running.roots())?.cpu_ns)
    }

    /// Waits until the server does nothing any more, and reads its clock.
    fn rest(&self) -> io::Result<u64> {
        let deadline = Instant::now() + REST_MAX;
        let mut before = self.tree_ns()?;
        loop {
            interrupt::sleep(REST_STEP)?;
            let now = self.tree_ns()?;
            if now - before < REST_NS || Instant::now() > deadline {
                return Ok(now);
            }
            before = now;
        }
    }

    /// In MiB.
    fn memory(&self) -> io::Result<f64> {
        let tree = usage::tree(&self.running.roots())?;
        Ok(usage::proportional_bytes(&tree)? as f64 / f64::from(1 << 20))
    }

    /// Asks until a few heavy requests in a row take no longer than they did.
    fn recovery(&self, usual: Duration) -> Result<Recovery, Box<dyn Error>> {
        let began = Instant::now();
        let (mut asked, mut in_a_row, mut since) = (0, 0, None);
        while in_a_row < RECOVERED && began.elapsed() < RECOVERY_MAX {
            interrupt::check()?;
            let from = began.elapsed();
            match self.ask_burn() {
                Ok(took) if took < usual * 2 + SLACK => {
                    asked += 1;
                    in_a_row += 1;
                    since.get_or_insert(from);
                }
                refused => {
                    asked += u32::from(refused.is_ok());
                    (in_a_row, since) = (0, None);
                    // Who is refused at once does not ask a thousand times a second.
                    interrupt::sleep(SLACK)?;
                }
            }
        }
        Ok(Recovery { took: since.unwrap_or(began.elapsed()), asked })
    }

    /// One heavy request on a connection of its own.
    fn ask_burn(&self) -> Result<Duration, Box<dyn Error>> {
        let began = Instant::now();
        ask(self.running.address(), &self.running.path(BURN))?;
        Ok(began.elapsed())
    }
}

/// Light requests are answered, or it would not run. What burns may still be starting.
fn await_burn(running: &mut Running) -> Result<(), Box<dyn Error>> {
    let deadline = Instant::now() + START_MAX;
    while let Err(wrong) = running.check(BURN) {
        interrupt::sleep(SLACK)?;
        if Instant::now() > deadline {
            return Err(wrong.into());
        }
    }
    Ok(())
}

/// How a server came back.
struct Recovery {
    took: Duration,
    /// Burns that were asked for to find out.
    asked: u32,
}

fn ask(address: SocketAddr, path: &str) -> Result<(), Box<dyn Error>> {
    let mut stream = TcpStream::connect_timeout(&address, RECOVERY_MAX)?;
    stream.set_read_timeout(Some(RECOVERY_MAX))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err("no right answer".into()) }
}

fn light_p99_ms(outcome: &Outcome) -> Result<f64, String> {
    let p99 = outcome.light.latency.at(99.0).ok_or("hardly a light request was answered")?;
    Ok(p99 / 1e3)
}

fn heavy_per_second(outcome: &Outcome) -> f64 {
    outcome.heavy.as_ref().map_or(0.0, |heavy| heavy.right_per_second)
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

const BURN: Route = Route::Burn { ms: 10 };
const BURN_MS: f64 = 10.0;
/// Long, so that the clocks of processes tell one from none.
const LONG_BURN: Route = Route::Burn { ms: 50 };
const LONG_BURN_MS: f64 = 50.0;
/// Light requests per second: a small part of what any server can do.
const LIGHT_RATE: f64 = 2_000.0;
/// What the generator's own lateness may be when it sleeps between its requests.
const LATENESS_US: u64 = 500;
/// Heavy requests in flight.
const HEAVY: usize = 16;
const ALONE_SECONDS: f64 = 3.0;
const BESIDE_SECONDS: f64 = 5.0;
/// Of capacity.
const OVERLOAD: f64 = 1.5;
const OVERLOAD_SECONDS: f64 = 20.0;
const LAST_SECONDS: f64 = 10.0;
/// Of the clients of heavy requests.
const PATIENCE: Duration = Duration::from_secs(5);
const RECOVERY_MAX: Duration = Duration::from_secs(20);
/// So many in a row are no chance.
const RECOVERED: u32 = 3;
const START_MAX: Duration = Duration::from_secs(20);
const SLACK: Duration = Duration::from_millis(10);
const LEAVING: usize = 64;
/// Some have been served then, and most wait.
const LEAVE_AFTER: Duration = Duration::from_millis(200);
/// Longer than all that 64 clients could ask for.
const REST_MAX: Duration = Duration::from_secs(8);
const REST_STEP: Duration = Duration::from_millis(300);
/// A server that looks at its clock now and then is at rest, too.
const REST_NS: u64 = 10_000_000;
const IDLE: Duration = Duration::from_secs(20);
const KILL_HEAVY: usize = 4;
const KILL_SECONDS: f64 = 4.0;
/// How long is looked who is busy.
const KILL_LOOK: Duration = Duration::from_millis(100);
