//! The template of a pool: a process that has loaded what the pool runs, and is forked to make
//! workers. It runs no request.

use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::pool::{Hook, PoolCode};
use super::{Failure, Jobs, Owned, Route, Worker, fail, is_readable, tell};
use crate::exit::Exit;
use crate::handler::Loaded;
use crate::offload::region::Region;
use crate::offload::server::SpinPolicy;
use crate::sys::channel::{Channel, FromChild, Received, ToChild, WorkerNumber};
use crate::sys::newborn::{Newborn, Trouble};
use crate::sys::poll::wait_readable;
use crate::sys::process::{Forked, Pid, PidFd, fork_orphan, own_pid, thread_count};
use crate::sys::signal::{Signal, SignalFd, block_only};
use crate::sys::terminate::on_terminate;
use crate::sys::title::Title;
use crate::sys::{environment, schedule};
use crate::telemetry::fall::report_falls;
use crate::telemetry::log::{Identity, Logger, report_panics};

/// What a template is started with.
pub struct Setup<'a> {
    /// The name of the pool.
    pub pool: &'a str,
    /// What the pool runs.
    pub code: PoolCode,
    /// Whether the template loads it, or each worker.
    pub preload: bool,
    /// Variables to set before anything is loaded.
    pub env: &'a [(String, String)],
    /// How much nicer than this process the workers are.
    pub nice: i32,
    /// The places of the workers, by their index.
    pub seats: Vec<Seat>,
    /// The memory of the pool, whose requests can only be read here.
    pub region: Arc<Region>,
    /// What the workers run for each route, in the order of their ids; nothing for those of other
    /// pools.
    pub routes: Vec<Option<Route>>,
    /// Most jobs of a worker at a time; `None` is as many as its handlers can have.
    pub jobs_max: Option<usize>,
    /// Threads of a worker for plain handlers.
    pub threads: usize,
    /// + 1 per reload.
    pub generation: u32,
    /// To the supervisor.
    pub channel: Channel,
    /// INT arrives here, and TERM until it has a handler.
    pub signals: SignalFd,
    /// Readable when the supervisor is gone.
    pub supervisor: PidFd,
    /// Its number.
    pub supervisor_pid: Pid,
    /// The log.
    pub logger: &'a Logger,
    /// The command line.
    pub title: &'a mut Option<Title>,
    /// From the end of the supervisor to the alarm that ends what hangs.
    pub alarm: Duration,
}

/// Where a worker runs, and how.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Its CPUs.
    pub cpus: Vec<usize>,
    /// Whether it runs only while nobody else wants them.
    pub background: bool,
    /// How long it looks for jobs before it sleeps.
    pub spin: SpinPolicy,
}

/// Loads, and forks workers until told to leave.
#[must_use]
pub fn run(setup: Setup<'_>) -> Exit {
    report_panics();
    match Template::load(setup) {
        Ok(mut template) => template.serve(),
        Err((channel, failure)) => fail(&channel, &failure),
    }
}

/// A template that has loaded.
struct Template<'a> {
    setup: Setup<'a>,
    /// What was loaded; `None` if that is left to the workers.
    state: Option<Loaded>,
    /// Counts the TERMs that arrived.
    terminate: OwnedFd,
}

impl<'a> Template<'a> {
    fn load(setup: Setup<'a>) -> Result<Self, (Channel, Failure)> {
        match prepare(&setup) {
            Ok((terminate, state)) => Ok(Self { setup, state, terminate }),
            Err(failure) => Err((setup.channel, failure)),
        }
    }

    fn serve(&mut self) -> Exit {
        tell(&self.setup.channel, &FromChild::Ready);
        loop {
            let setup = &self.setup;
            let fds = [
                setup.channel.as_fd(),
                setup.signals.as_fd(),
                self.terminate.as_fd(),
                setup.supervisor.as_fd(),
            ];
            match wait_readable(&fds, None).as_deref() {
                Ok([_, signals, terminate, gone]) if *signals || *terminate || *gone => break,
                Ok([true, ..]) if self.obey() => break,
                // Poll fails only without memory: whoever loads again has it fresh.
                Err(error) => {
                    tracing::error!(%error, "the template cannot wait for orders");
                    return Exit::System;
                }
                Ok(_) => {}
            }
        }
        if is_readable(&self.setup.supervisor) {
            tracing::warn!("the supervisor is gone; leaving");
        }
        Exit::Clean
    }

    /// Takes every order that is there; true for the one to leave.
    fn obey(&mut self) -> bool {
        loop {
            match self.setup.channel.receive_with() {
                Ok((Received::Message(ToChild::Fork(number)), Some(channel))) => {
                    self.fork(number, channel);
                }
                Ok((Received::Message(ToChild::Fork(_)) | Received::Malformed, _)) => {
                    tracing::error!("the supervisor sent something that makes no sense here");
                }
                Ok((Received::Message(ToChild::Drain { .. } | ToChild::Stop), _)) => return true,
                Ok((Received::Closed, _)) => return true,
                Ok((Received::Nothing, _)) => return false,
                Err(error) => {
                    tracing::error!(%error, "the supervisor's channel could not be read");
                    return true;
                }
            }
        }
    }

    /// Forks a worker, which gets `channel`. If that fails, the channel says so and closes.
    fn fork(&mut self, number: WorkerNumber, channel: Channel) {
        if let Err(text) = self.try_fork(number, &channel) {
            fail(&channel, &Failure::of_hook(text));
        }
    }

    fn try_fork(&mut self, number: WorkerNumber, channel: &Channel) -> Result<(), String> {
        if let Some(state) = &self.state {
            self.setup.code.call(Hook::BeforeFork, state)?;
        }
        let forked = fork_orphan(|forked, parent| {
            let newcomer = Newcomer { setup: &mut self.setup, forked, number };
            // A copy, like everything here: the template keeps its own.
            let state = self.state.take();
            match channel.duplicate().map_err(of_system("dup of a channel")) {
                Ok(channel) => newcomer.live(parent, channel, state),
                Err(failure) => fail(channel, &failure),
            }
            .code()
        });
        forked.map_err(|error| format!("fork failed: {error}"))
    }
}

/// What comes before the first worker. Loading is the application's: it may take long, and hang.
fn prepare(setup: &Setup<'_>) -> Result<(OwnedFd, Option<Loaded>), Failure> {
    let terminate = on_terminate(seconds(setup.alarm)).map_err(of_system(HANDLER))?;
    // Before anything of the application, which may have handlers of its own.
    report_falls().map_err(of_system("a handler for ABRT"))?;
    for (name, value) in setup.env {
        environment::set(name, value, true).map_err(of_system("setting the environment"))?;
    }
    let pinned = setup.seats.iter().all(|seat| seat.cpus.len() == 1);
    for name in ONE_THREAD.iter().filter(|_| pinned) {
        environment::set(name, "1", false).map_err(of_system("setting the environment"))?;
    }
    if !setup.preload {
        return Ok((terminate, None));
    }
    let of_load = |text| Failure { exit: Exit::AppLoad, text };
    let state = setup.code.load().map_err(of_load)?;
    match thread_count() {
        Ok(1) => Ok((terminate, Some(state))),
        Ok(count) => Err(of_load(format!(
            "on_load started threads ({count} are there), and a process with threads cannot be \
             forked: start them in after_fork, or write preload = \"off\" in the pool"
        ))),
        Err(error) => Err(of_system("counting threads")(error)),
    }
}

/// A worker that was just forked, on its way to its role.
struct Newcomer<'a, 'b> {
    setup: &'a mut Setup<'b>,
    forked: &'a Forked,
    number: WorkerNumber,
}

impl Newcomer<'_, '_> {
    fn live(mut self, parent: PidFd, channel: Channel, state: Option<Loaded>) -> Exit {
        let code = self.setup.code.clone();
        let settled = self.jobs().and_then(|jobs| Ok((jobs, self.settle(parent, &channel)?)));
        match settled {
            Ok((jobs, owned)) => Worker { code, state, jobs, channel, owned }.run(),
            Err(failure) => fail(&channel, &failure),
        }
    }

    /// What this worker is here for. The handlers are a copy, like everything here.
    fn jobs(&mut self) -> Result<Jobs, Failure> {
        let index = self.setup.region.layout().worker(self.number.index.into());
        let no_place = || io::Error::other("the memory of the pool has no place for it");
        Ok(Jobs {
            region: Arc::clone(&self.setup.region),
            index: index.ok_or_else(no_place).map_err(of_system("start"))?,
            routes: mem::take(&mut self.setup.routes),
            jobs_max: self.setup.jobs_max,
            threads: self.setup.threads,
            spin: self.setup.seats[usize::from(self.number.index)].spin,
        })
    }

    /// Makes this process one whose parent is the supervisor, that owns nothing but its own
    /// things, and that runs where and how it was planned.
    fn settle(self, parent: PidFd, channel: &Channel) -> Result<Owned, Failure> {
        // A signal that comes from here on waits for this process's own handler.
        block_only(&[Signal::Interrupt, Signal::Terminate]).map_err(of_system("blocking TERM"))?;
        let guardian = self.setup.supervisor_pid;
        if !self.forked.follow_guardian(&parent, guardian).map_err(of_system("PDEATHSIG"))? {
            let error = io::Error::other("the supervisor is gone already");
            return Err(of_system("start")(error));
        }
        drop(parent);
        let started = FromChild::Started { pid: own_pid().get() };
        channel.send(&started).map_err(of_system("telling the supervisor"))?;
        let name = format!("{}/{}", self.setup.pool, self.number.index);
        self.setup.logger.identify(Identity {
            process: name.clone(),
            shard: None,
            generation: Some(self.setup.generation),
        });
        let supervisor = self.setup.supervisor.duplicate().map_err(of_system("dup of a pidfd"))?;
        let seat = &self.setup.seats[usize::from(self.number.index)];
        let region = &self.setup.region;
        // What code of the application forks has nothing of the pool.
        region.keep_private().map_err(of_system("MADV_DONTFORK"))?;
        let mut keep = vec![channel.as_fd(), supervisor.as_fd()];
        keep.extend(region.descriptors());
        let newborn = Newborn { name: &name, cpus: &seat.cpus, user: None, keep: &keep };
        let signals = newborn.settle(self.forked, self.setup.title).map_err(of_trouble)?;
        be_scheduled(seat, self.setup.nice)?;
        let terminate = on_terminate(seconds(self.setup.alarm)).map_err(of_system(HANDLER))?;
        Ok(Owned { signals, terminate, supervisor })
    }
}

/// Takes the niceness and the class that were planned, in this order: only the class alone keeps
/// the niceness as it is.
fn be_scheduled(seat: &Seat, nice: i32) -> Result<(), Failure> {
    let forbidden = |what: String| {
        move |error: io::Error| Failure {
            exit: Exit::Permission,
            text: format!("{what} was refused: {error}"),
        }
    };
    schedule::be_nicer(nice).map_err(forbidden(format!("`nice` = {nice} of the pool")))?;
    if seat.background {
        let what = || "running in the background".to_owned();
        schedule::run_in_background().map_err(forbidden(what()))?;
        if !schedule::is_in_background() {
            return Err(forbidden(what())(io::Error::other("the kernel says otherwise")));
        }
    }
    Ok(())
}

fn of_system(step: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure { exit: Exit::System, text: format!("{step} failed: {error}") }
}

fn of_trouble(trouble: Trouble) -> Failure {
    let exit = if trouble.forbidden { Exit::Permission } else { Exit::System };
    Failure { exit, text: trouble.to_string() }
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

const HANDLER: &str = "a handler for TERM";
/// Variables by which libraries learn how many threads to start: one, where a worker has one CPU.
const ONE_THREAD: [&str; 5] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
];
