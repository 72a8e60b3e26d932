//! The supervisor: starts shards, the templates of pools and through them their workers; watches
//! them, replaces them, stops them. It serves nothing and runs nobody else's code.
//!
//! `start` checks and opens what is needed once; `state` decides; `process` starts children; the
//! loop here blocks until a signal, a message, a death or a deadline, puts what happened into
//! one queue, and carries out what the state answers, which `report` puts into words.

mod listening;
mod pools;
mod process;
mod report;
pub mod restart;
mod screen;
mod service;
mod start;
pub mod state;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write as _};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pools::Pools;
use process::{Child, Nursery};
use restart::RestartLimits;
use service::Service;
use start::Prepared;
use state::{Action, ChildId, JobNote, Plan, PoolPlan, Report, Role, State, Timings};

use crate::config::placement::PoolPlace;
use crate::config::{Config, LogFormat, PoolConfig};
use crate::exit::Exit;
use crate::net::listener::{Endpoint, Listener, SocketFile};
use crate::offload::region::Region;
use crate::offload::word::{Owner, WorkerIndex};
use crate::sys::channel::{Channel, FromChild, Received};
use crate::sys::clock::monotonic_ns;
use crate::sys::memory;
use crate::sys::page::SharedPage;
use crate::sys::poll::wait_readable;
use crate::sys::process::{self as system, Ended, Pid, PidFd, own_pid};
use crate::sys::signal::{Signal, SignalFd};
use crate::sys::title::Title;
use crate::telemetry::log::{Form, Logger};

/// What a shard gets when it starts: all that it owns.
#[derive(Debug)]
pub struct ShardStart<'a> {
    /// Its index.
    pub shard: u16,
    /// The CPU that the calling thread, and all that it starts, are pinned to.
    pub cpu: Option<usize>,
    /// True when no other process of ours uses that CPU.
    pub dedicated: bool,
    /// + 1 per reload.
    pub generation: u32,
    /// + 1 per restart of this place.
    pub incarnation: u32,
    /// Its listeners, one per address, not blocking. The supervisor holds copies.
    pub listeners: Vec<Listener>,
    /// To and from the supervisor. It never blocks.
    pub channel: Channel,
    /// TERM and INT, which are blocked: both mean to leave.
    pub signals: SignalFd,
    /// The supervisor's pidfd: readable once it is dead.
    pub supervisor: PidFd,
    /// All settings.
    pub config: &'a Config,
    /// Where its turns are counted.
    pub page: SharedPage,
    /// Its place in the memory of every pool, which is not always its index: one that leaves
    /// keeps its own beside its successor.
    pub seat: u16,
    /// The memory of the pools, in their order.
    pub regions: Vec<Arc<Region>>,
}

/// What the template of a pool gets when it starts.
#[derive(Debug)]
pub struct TemplateStart<'a> {
    /// The pool: its place in `Config::pools`.
    pub pool: u16,
    /// + 1 per reload.
    pub generation: u32,
    /// To and from the supervisor. It never blocks.
    pub channel: Channel,
    /// TERM and INT, which are blocked: both mean to leave.
    pub signals: SignalFd,
    /// The supervisor's pidfd: readable once it is dead.
    pub supervisor: PidFd,
    /// The supervisor's number: the parent of every worker.
    pub supervisor_pid: Pid,
    /// All settings.
    pub config: &'a Config,
    /// The memory of its pool. Requests can only be read there.
    pub region: Region,
    /// The log of this process and of its workers.
    pub logger: &'a Logger,
    /// The command line of this process and of its workers.
    pub title: &'a mut Option<Title>,
}

/// The code that the supervisor does not know: each is called in a process of its own.
pub struct Roles<'a> {
    /// Finds out whether the engine works here.
    pub probe: &'a dyn Fn() -> Result<Engine, ProbeError>,
    /// Runs a shard until it is told to leave.
    pub shard: &'a dyn Fn(ShardStart<'_>) -> Exit,
    /// Loads what a pool runs, and forks its workers until it is told to leave.
    pub template: &'a dyn Fn(TemplateStart<'_>) -> Exit,
    /// The routes by their numbers, as people know them.
    pub routes: &'a [String],
}

/// The engine that was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Engine {
    /// Its name, as people know it.
    pub name: String,
}

/// Why no engine works here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProbeError {
    /// What was refused, and by whom if that is known.
    pub reason: String,
    /// What to do.
    pub fix: String,
}

/// Finds out whether the engine works here, in a process of its own: a kernel that punishes the
/// attempt, or a library that panics, then costs nothing. Meant for a process without children.
///
/// # Errors
/// What is refused, and what to do about it.
pub fn probe(attempt: &dyn Fn() -> Result<Engine, ProbeError>) -> Result<Engine, ProbeError> {
    start::probe_apart(None, attempt)
}

/// Runs the server until it is stopped. The calling process must have a single thread.
#[must_use]
pub fn run(config: Config, roles: Roles<'_>) -> Exit {
    let started = Instant::now();
    let prepared = match start::prepare(config, &roles) {
        Ok(prepared) => prepared,
        Err(refusal) => return refusal.print(),
    };
    prepared.show();
    let mut supervisor = Supervisor::new(&prepared, &roles, started);
    supervisor.run()
}

/// The loop with all that it holds.
struct Supervisor<'a> {
    nursery: Nursery<'a>,
    logger: &'a Logger,
    signals: &'a SignalFd,
    endpoints: &'a [Endpoint],
    /// The names of sockets in the file system.
    files: Vec<SocketFile>,
    /// For each shard its listeners; empty once they are closed for good.
    listeners: Vec<Vec<Listener>>,
    children: Vec<Child>,
    pools: Pools,
    /// Nobody is late before this, on the monotonic clock: the supervisor has stood still, and so
    /// may have everybody else.
    overdue_from: u64,
    /// How many processes the kernel had ended for lack of memory when that was looked at last.
    ended_for_lack: Option<u64>,
    /// Children that were reaped and not reported yet.
    reaped: Vec<(ChildId, Pid)>,
    state: State,
    /// What happened and was not handled yet.
    events: VecDeque<Event>,
    title: Option<Title>,
    started: Instant,
    service: Service,
    /// True once the ready line was printed.
    announced: bool,
}

/// What can happen.
enum Event {
    Exit(ChildId, Ended),
    Message(ChildId, FromChild),
    /// A worker that was ordered will never show up.
    NotStarted(ChildId),
    Overdue(ChildId, JobNote),
    /// The memory of this pool was made anew.
    Rebuilt(u16),
    Signal(Signal),
    SpawnFailed(ChildId),
    Suspended(Duration),
    Turn(ChildId, u64),
}

impl<'a> Supervisor<'a> {
    fn new(prepared: &'a Prepared, roles: &'a Roles<'a>, started: Instant) -> Self {
        let config = &prepared.config;
        Self {
            nursery: Nursery {
                config,
                roles,
                logger: &prepared.logger,
                generation: FIRST_GENERATION,
                user: prepared.user.as_ref(),
                supervisor: &prepared.supervisor,
            },
            logger: &prepared.logger,
            signals: &prepared.signals,
            endpoints: &prepared.endpoints,
            files: prepared.files.take(),
            listeners: prepared.listeners.take(),
            children: Vec::new(),
            pools: prepared.pools.take(),
            overdue_from: 0,
            ended_for_lack: memory::ended_for_lack(),
            reaped: Vec::new(),
            state: State::new(plan(config), Instant::now()),
            events: VecDeque::new(),
            title: prepared.title.take(),
            started,
            service: prepared.service.take(),
            announced: false,
        }
    }

    fn run(&mut self) -> Exit {
        loop {
            if let Some(exit) = self.act() {
                self.remove_files();
                return exit;
            }
            self.reaped.clear();
            self.wait();
            while let Some(event) = self.events.pop_front() {
                self.handle(event, Instant::now());
            }
            self.state.handle_timeout(Instant::now());
            self.tell_service();
        }
    }

    fn tell_service(&mut self) {
        let now = Instant::now();
        self.service.set_status(self.status());
        let state = &self.state;
        self.service.beat(now, |span| !state.is_a_shard_stuck_since(now - span));
    }

    /// "2 shards, pool cpu 3/4", for the service manager.
    fn status(&self) -> String {
        let (shards, pools) = self.state.serving();
        let mut text = format!("{shards} {}", if shards == 1 { "shard" } else { "shards" });
        for (pool, (ready, planned)) in self.nursery.config.pools.iter().zip(pools) {
            text += &format!(", pool {} {ready}/{planned}", pool.name);
        }
        text
    }

    /// Carries out what the state wants, until it wants nothing or to leave.
    fn act(&mut self) -> Option<Exit> {
        loop {
            while let Some(action) = self.state.poll_action() {
                match action {
                    Action::AnnounceReady => self.announce_ready(),
                    Action::Bury(child) => self.pools.bury(child),
                    Action::CloseListeners { shard } => self.listeners[usize::from(shard)].clear(),
                    Action::FilterListeners => self.filter_listeners(),
                    Action::Leave(exit) => return Some(exit),
                    Action::Order { worker, template } => self.order(worker, template),
                    Action::Rebuild { pool } => self.rebuild(pool),
                    Action::Report(report) => {
                        if let Report::Stopping { .. } = report {
                            self.service.stopping();
                        }
                        self.report(&report);
                    }
                    Action::Send { child, message } => {
                        // A child that cannot be told is dying; its exit says the rest.
                        let child = self.children.iter().find(|known| known.id == child);
                        let _ = child.map(|child| child.channel.send(&message));
                    }
                    Action::Signal { child, signal } => self.signal(child, signal),
                    Action::Spawn(id) => self.spawn(id),
                    Action::StopPools => self.pools.stop(),
                }
            }
            // A failed spawn is known at once and may want something done.
            match self.events.pop_front() {
                Some(event) => self.handle(event, Instant::now()),
                None => return None,
            }
        }
    }

    /// Blocks until something happens and puts it into the queue.
    fn wait(&mut self) {
        let before = Instant::now();
        let timeout = self.timeout(before);
        let heard = self.children.iter().filter(|child| child.is_heard);
        let mut fds = vec![self.signals.as_fd()];
        let processes = self.children.iter().filter_map(|child| child.process.as_ref());
        fds.extend(processes.map(|process| process.pidfd.as_fd()));
        let before_channels = fds.len();
        // A channel that is closed would be readable until its child is gone.
        fds.extend(heard.map(|child| child.channel.as_fd()));
        // Poll fails only without memory; then the deadlines still have to be kept.
        let ready = wait_readable(&fds, Some(timeout)).unwrap_or_default();
        let mut ready = ready.into_iter().skip(before_channels);
        let late = before.elapsed().saturating_sub(timeout);
        if late > SUSPENDED_AFTER {
            self.events.push_back(Event::Suspended(late));
            self.overdue_from = monotonic_ns() + nanos(self.pools.longest_force());
        }
        // Signals first: one that goes to all of us is seen before what it makes children say.
        self.collect_signals();
        for child in self.children.iter_mut().filter(|child| child.is_heard) {
            if ready.next().unwrap_or(true) {
                collect_messages(child, &mut self.events);
            }
        }
        self.collect_exits();
        self.collect_overdue();
        if self.state.is_watching() && late <= SUSPENDED_AFTER {
            let turns = self.children.iter().filter_map(|child| {
                child.page.as_ref().map(|page| Event::Turn(child.id, page.words().turn()))
            });
            self.events.extend(turns);
        }
    }

    /// Until the next deadline, but never so long that a suspension or a stall goes unseen.
    fn timeout(&self, now: Instant) -> Duration {
        let stall = self.nursery.config.server.shard_stall;
        let look = (stall / 4).clamp(LOOK_MIN, LOOK_MAX);
        let deadline = self.state.poll_timeout().map(|at| at.saturating_duration_since(now));
        let overdue = self.pools.next_overdue(monotonic_ns());
        let overdue = overdue.map(|wait| wait.max(OVERDUE_LOOK));
        let service = self.service.next().map(|at| at.saturating_duration_since(now));
        [deadline, overdue, service].into_iter().flatten().fold(look, Duration::min)
    }

    /// Looks for workers that do not come back from a job.
    fn collect_overdue(&mut self) {
        let now = monotonic_ns();
        if now >= self.overdue_from {
            let found = self.pools.take_overdue(now, self.nursery.roles.routes);
            self.events.extend(found.into_iter().map(|(id, job)| Event::Overdue(id, job)));
        }
    }

    fn collect_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read() {
            match signal {
                Signal::Child => {}
                // On a terminal it means that the window was resized.
                Signal::Window if io::stderr().is_terminal() => {}
                signal => self.events.push_back(Event::Signal(signal)),
            }
        }
    }

    /// Reaps everything that is dead: our children, and orphans that came to us.
    fn collect_exits(&mut self) {
        while let Ok(Some(pid)) = system::dead_child() {
            let found = self.find_process(pid);
            // Reaped only now: until then nobody else can have its number.
            let Ok(ended) = system::wait_for(pid) else { return };
            let Some(index) = found else {
                tracing::debug!(orphan = pid.get(), %ended, "orphan reaped");
                continue;
            };
            let mut child = self.children.swap_remove(index);
            // Its last words come before its death.
            collect_messages(&mut child, &mut self.events);
            self.report_end(&child, pid, ended);
            self.reaped.push((child.id, pid));
            self.events.push_back(Event::Exit(child.id, ended));
        }
    }

    /// The child with this number. A worker may have shown up and died since its channel was
    /// looked at.
    fn find_process(&mut self, pid: Pid) -> Option<usize> {
        let of = |child: &Child| child.pid() == Some(pid);
        if !self.children.iter().any(of) {
            for child in self.children.iter_mut().filter(|child| child.process.is_none()) {
                collect_messages(child, &mut self.events);
            }
        }
        self.children.iter().position(of)
    }

    fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Exit(id, ended) => self.state.handle_exit(id, ended, now),
            // Whose process that is stands in the memory of the pool.
            Event::Message(id, FromChild::WorkerBroken { pool, worker, incarnation }) => {
                let owner = Owner { worker: WorkerIndex(worker), incarnation };
                if let Some(worker) = self.pools.accused(id, pool, owner) {
                    self.state.handle_worker_broken(id, worker);
                }
            }
            Event::Message(id, message) => self.state.handle_message(id, message, now),
            Event::NotStarted(id) => {
                self.children.retain(|child| child.id != id);
                self.state.handle_spawn_failed(id, now);
            }
            Event::Overdue(id, job) => self.state.handle_overdue(id, job, now),
            Event::Rebuilt(pool) => self.state.handle_rebuilt(pool, now),
            Event::Signal(signal) => self.state.handle_signal(signal, now),
            Event::SpawnFailed(id) => self.state.handle_spawn_failed(id, now),
            Event::Suspended(gap) => self.state.handle_suspension(gap),
            Event::Turn(id, turn) => self.state.handle_turn(id, turn, now),
        }
    }

    fn spawn(&mut self, id: ChildId) {
        let spawned = match id.role {
            Role::Shard(shard) => {
                let listeners = &self.listeners[usize::from(shard)];
                self.nursery.spawn_shard(id, shard, listeners, &mut self.pools, &mut self.title)
            }
            Role::Template { pool } => {
                self.nursery.spawn_template(id, pool, &mut self.pools, &mut self.title)
            }
            Role::Worker { .. } => unreachable!("templates fork workers"),
        };
        self.take_in(id, spawned);
    }

    fn order(&mut self, worker: ChildId, template: ChildId) {
        let Role::Worker { index, .. } = worker.role else { return };
        let template = self.children.iter().find(|child| child.id == template);
        let ordered = match template {
            // Its place is there before it is, or it would take the one of its predecessor.
            Some(template) => {
                self.pools.enlist(worker).and_then(|()| self.nursery.order(worker, index, template))
            }
            None => Err(io::Error::other("its template is gone")),
        };
        self.take_in(worker, ordered);
    }

    fn take_in(&mut self, id: ChildId, child: io::Result<Child>) {
        match child {
            Ok(child) => self.children.push(child),
            Err(error) => {
                self.report_not_started(id.role, &error);
                self.events.push_back(Event::SpawnFailed(id));
            }
        }
    }

    fn signal(&mut self, id: ChildId, signal: Signal) {
        let Some(child) = self.children.iter_mut().find(|child| child.id == id) else { return };
        if child.process.is_none() && signal == Signal::Kill {
            // It may have shown up in this very moment. Who has not finds nobody to show up to,
            // and never touches the place that somebody else gets next.
            child.channel.close_for_good();
            collect_messages(child, &mut self.events);
        }
        let Some(process) = &child.process else { return };
        child.is_killed |= signal == Signal::Kill;
        let sent = process.pidfd.send(signal);
        if let Err(error) = sent {
            let child = self.nursery.name(id.role);
            tracing::error!(child, %signal, %error, "signal cannot be sent");
        }
    }

    fn rebuild(&mut self, pool: u16) {
        match self.pools.rebuild(pool) {
            Ok(()) => self.events.push_back(Event::Rebuilt(pool)),
            Err(error) => self.report_not_rebuilt(pool, &error),
        }
    }

    fn filter_listeners(&mut self) {
        self.remove_files();
        for listener in self.listeners.iter().flatten() {
            if let Err(error) = listener.refuse_new_clients() {
                // Then a client that arrives in the last moment may be reset; nothing else.
                tracing::warn!(%error, "new clients cannot be held off");
            }
        }
    }

    /// Takes the names of our sockets away; what is connected, or waits in a queue, stays.
    fn remove_files(&mut self) {
        for file in self.files.drain(..) {
            if let Err(error) = file.remove() {
                tracing::warn!(?file, %error, "a socket's file stays; the next start replaces it");
            }
        }
    }

    fn announce_ready(&mut self) {
        self.announced = true;
        self.service.ready();
        let time = self.started.elapsed();
        let json = self.nursery.config.log.format == LogFormat::Json;
        match self.logger.form() {
            Form::Json => tracing::info!(seconds = time.as_secs_f64(), "ready"),
            Form::Pretty => screen::show(&screen::ready_in(time)),
        }
        let line = screen::ready_line(self.endpoints, own_pid().get(), json);
        let mut stdout = io::stdout().lock();
        if let Err(error) = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()) {
            tracing::warn!(%error, "the ready line could not be written");
        }
    }
}

/// Takes the messages that a child has sent, and notes when no more can come. One that never stops
/// talking does not keep the others from being heard.
fn collect_messages(child: &mut Child, events: &mut VecDeque<Event>) {
    for _ in 0..MESSAGES_PER_LOOK {
        if !child.is_heard {
            break;
        }
        let name = child.id.role;
        match child.channel.receive::<FromChild>() {
            Ok(Received::Message(message)) => {
                if let FromChild::Started { pid } = message
                    && let Err(error) = child.introduce(pid)
                {
                    tracing::error!(?name, pid, %error, "a worker is not what it says");
                    continue;
                }
                events.push_back(Event::Message(child.id, message));
            }
            Ok(Received::Malformed) => tracing::error!(?name, "a message makes no sense"),
            Ok(Received::Nothing) => return,
            Ok(Received::Closed) => child.is_heard = false,
            Err(error) => {
                tracing::error!(?name, %error, "the channel of a process broke");
                child.is_heard = false;
            }
        }
    }
    // Nobody holds the other end, so nobody is or will be there.
    if child.process.is_none() && !child.is_heard {
        events.push_back(Event::NotStarted(child.id));
    }
}

/// What is to be started. Workers that only a waiting queue calls for are not.
fn plan(config: &Config) -> Plan {
    let count = |count: usize| u16::try_from(count).expect("options bound every count");
    let pool = |(pool, place): (&PoolConfig, &PoolPlace)| PoolPlan {
        workers: count(place.workers.iter().filter(|worker| !worker.on_demand).count()),
        boot: pool.boot.timeout,
        parallel: pool.boot.parallel,
        stagger: pool.boot.stagger,
        restarts: RestartLimits {
            pause_first: pool.restart.pause_first,
            pause_max: pool.restart.pause_max,
            tries: pool.restart.tries,
            window: pool.restart.window,
        },
    };
    let shards = config.placement.shards.len();
    Plan {
        shards: count(shards),
        // Without pools nobody has a place that somebody else could want.
        seats: if config.pools.is_empty() { usize::MAX } else { shards + 1 },
        pools: config.pools.iter().zip(&config.placement.pools).map(pool).collect(),
        timings: timings(config),
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn timings(config: &Config) -> Timings {
    Timings {
        boot: BOOT_MAX,
        settle: SETTLE,
        grace: config.shutdown.grace,
        interrupt_grace: INTERRUPT_GRACE,
        force: config.shutdown.force,
        kill: KILL_AFTER,
        stall: config.server.shard_stall,
    }
}

const FIRST_GENERATION: u32 = 1;
/// Far longer than any boot, and short enough that boots which hang lead to giving up.
const BOOT_MAX: Duration = Duration::from_secs(10);
/// A client whose handshake was under way needs a round trip; loopback and LANs take far less.
const SETTLE: Duration = Duration::from_millis(2);
const INTERRUPT_GRACE: Duration = Duration::from_secs(5);
const KILL_AFTER: Duration = Duration::from_secs(1);
/// Least time between two looks for workers that are late.
const OVERDUE_LOOK: Duration = Duration::from_millis(50);
/// Whoever works as planned never sends so many at once.
const MESSAGES_PER_LOOK: usize = 256;
const LOOK_MIN: Duration = Duration::from_millis(25);
const LOOK_MAX: Duration = Duration::from_secs(1);
/// A wait that ends so much later than asked for means that the supervisor was stopped.
const SUSPENDED_AFTER: Duration = Duration::from_secs(1);
