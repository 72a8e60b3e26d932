//! The supervisor: starts shards, watches them, replaces them, stops them. It serves nothing and
//! runs nobody else's code.
//!
//! `start` checks and opens what is needed once; `state` decides; `process` starts children; the
//! loop here blocks until a signal, a message, a death or a deadline, puts what happened into
//! one queue, and carries out what the state answers.

mod process;
pub mod restart;
mod screen;
mod start;
pub mod state;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write as _};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use process::{Child, Nursery};
use restart::{BACKOFF_FIRST, GIVE_UP_TRIES, GIVE_UP_WINDOW};
use start::Prepared;
use state::{Action, ChildId, Report, State, Timings};

use crate::config::{Config, LogFormat};
use crate::exit::Exit;
use crate::net::listener::Listener;
use crate::sys::channel::{Channel, FromChild, Received};
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
}

/// The code that the supervisor does not know: each is called in a process of its own.
pub struct Roles<'a> {
    /// Finds out whether the engine works here.
    pub probe: &'a dyn Fn() -> Result<Engine, ProbeError>,
    /// Runs a shard until it is told to leave.
    pub shard: &'a dyn Fn(ShardStart<'_>) -> Exit,
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
    start::probe_apart(attempt)
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
    addresses: &'a [SocketAddr],
    /// For each shard its listeners; empty once they are closed for good.
    listeners: Vec<Vec<Listener>>,
    children: Vec<Child>,
    /// Children that were reaped and not reported yet.
    reaped: Vec<(ChildId, Pid)>,
    state: State,
    /// What happened and was not handled yet.
    events: VecDeque<Event>,
    title: Option<Title>,
    started: Instant,
    /// True once the ready line was printed.
    announced: bool,
}

/// What can happen.
enum Event {
    Exit(ChildId, Ended),
    Message(ChildId, FromChild),
    Signal(Signal),
    SpawnFailed(ChildId),
    Suspended(Duration),
    Turn(ChildId, u64),
}

impl<'a> Supervisor<'a> {
    fn new(prepared: &'a Prepared, roles: &'a Roles<'a>, started: Instant) -> Self {
        let config = &prepared.config;
        let shards =
            u16::try_from(config.placement.shards.len()).expect("a CPU list has at most 1024 CPUs");
        Self {
            nursery: Nursery {
                config,
                roles,
                logger: &prepared.logger,
                generation: FIRST_GENERATION,
                supervisor: &prepared.supervisor,
            },
            logger: &prepared.logger,
            signals: &prepared.signals,
            addresses: &prepared.addresses,
            listeners: prepared.listeners.take(),
            children: Vec::new(),
            reaped: Vec::new(),
            state: State::new(shards, timings(config), Instant::now()),
            events: VecDeque::new(),
            title: prepared.title.take(),
            started,
            announced: false,
        }
    }

    fn run(&mut self) -> Exit {
        loop {
            if let Some(exit) = self.act() {
                return exit;
            }
            self.reaped.clear();
            self.wait();
            while let Some(event) = self.events.pop_front() {
                self.handle(event, Instant::now());
            }
            self.state.handle_timeout(Instant::now());
        }
    }

    /// Carries out what the state wants, until it wants nothing or to leave.
    fn act(&mut self) -> Option<Exit> {
        loop {
            while let Some(action) = self.state.poll_action() {
                match action {
                    Action::AnnounceReady => self.announce_ready(),
                    Action::CloseListeners { shard } => self.listeners[usize::from(shard)].clear(),
                    Action::FilterListeners => self.filter_listeners(),
                    Action::Leave(exit) => return Some(exit),
                    Action::Report(report) => self.report(&report),
                    Action::Send { child, message } => {
                        // A child that cannot be told is dying; its exit says the rest.
                        let child = self.children.iter().find(|known| known.id == child);
                        let _ = child.map(|child| child.channel.send(&message));
                    }
                    Action::Signal { child, signal } => self.signal(child, signal),
                    Action::Spawn(id) => self.spawn(id),
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
        fds.extend(self.children.iter().map(|child| child.pidfd.as_fd()));
        // A channel that is closed would be readable until its child is gone.
        fds.extend(heard.map(|child| child.channel.as_fd()));
        // Poll fails only without memory; then the deadlines still have to be kept.
        let ready = wait_readable(&fds, Some(timeout)).unwrap_or_default();
        let mut ready = ready.into_iter().skip(1 + self.children.len());
        let late = before.elapsed().saturating_sub(timeout);
        if late > SUSPENDED_AFTER {
            self.events.push_back(Event::Suspended(late));
        }
        // Signals first: one that goes to all of us is seen before what it makes children say.
        self.collect_signals();
        for child in self.children.iter_mut().filter(|child| child.is_heard) {
            if ready.next().unwrap_or(true) {
                collect_messages(child, &mut self.events);
            }
        }
        self.collect_exits();
        if self.state.is_watching() && late <= SUSPENDED_AFTER {
            let turns = self.children.iter().map(|child| (child.id, child.page.words().turn()));
            self.events.extend(turns.map(|(id, turn)| Event::Turn(id, turn)));
        }
    }

    /// Until the next deadline, but never so long that a suspension or a stall goes unseen.
    fn timeout(&self, now: Instant) -> Duration {
        let stall = self.nursery.config.server.shard_stall;
        let look = (stall / 4).clamp(LOOK_MIN, LOOK_MAX);
        let deadline = self.state.poll_timeout().map(|at| at.saturating_duration_since(now));
        deadline.map_or(look, |deadline| deadline.min(look))
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
        while let Ok(Some((pid, ended))) = system::reap() {
            let Some(index) = self.children.iter().position(|child| child.pid == pid) else {
                tracing::debug!(orphan = pid.get(), %ended, "orphan reaped");
                continue;
            };
            let mut child = self.children.swap_remove(index);
            // Its last words come before its death.
            collect_messages(&mut child, &mut self.events);
            self.reaped.push((child.id, pid));
            self.events.push_back(Event::Exit(child.id, ended));
        }
    }

    fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Exit(id, ended) => self.state.handle_exit(id, ended, now),
            Event::Message(id, message) => self.state.handle_message(id, message, now),
            Event::Signal(signal) => self.state.handle_signal(signal, now),
            Event::SpawnFailed(id) => self.state.handle_spawn_failed(id, now),
            Event::Suspended(gap) => self.state.handle_suspension(gap),
            Event::Turn(id, turn) => self.state.handle_turn(id, turn, now),
        }
    }

    fn spawn(&mut self, id: ChildId) {
        let listeners = &self.listeners[usize::from(id.shard)];
        match self.nursery.spawn(id, listeners, &mut self.title) {
            Ok(child) => self.children.push(child),
            Err(error) => {
                tracing::error!(shard = id.shard, %error, "shard cannot be started");
                self.events.push_back(Event::SpawnFailed(id));
            }
        }
    }

    fn signal(&self, id: ChildId, signal: Signal) {
        let Some(child) = self.children.iter().find(|child| child.id == id) else { return };
        if let Err(error) = child.pidfd.send(signal) {
            tracing::error!(shard = id.shard, %signal, %error, "signal cannot be sent");
        }
    }

    fn filter_listeners(&self) {
        for listener in self.listeners.iter().flatten() {
            if let Err(error) = listener.refuse_new_clients() {
                // Then a client that arrives in the last moment may be reset; nothing else.
                tracing::warn!(%error, "new clients cannot be held off");
            }
        }
    }

    fn announce_ready(&mut self) {
        self.announced = true;
        let time = self.started.elapsed();
        let json = self.nursery.config.log.format == LogFormat::Json;
        match self.logger.form() {
            Form::Json => tracing::info!(seconds = time.as_secs_f64(), "ready"),
            Form::Pretty => screen::show(&screen::ready_in(time)),
        }
        let line = screen::ready_line(self.addresses, own_pid().get(), json);
        let mut stdout = io::stdout().lock();
        if let Err(error) = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()) {
            tracing::warn!(%error, "the ready line could not be written");
        }
    }

    fn report(&self, report: &Report) {
        let generation = self.nursery.generation;
        // The process may be reaped already; its number then is not known any more.
        let living = self.children.iter().map(|child| (child.id, child.pid));
        let known: Vec<(ChildId, Pid)> = living.chain(self.reaped.iter().copied()).collect();
        let pid =
            |id: &ChildId| known.iter().find(|(known, _)| known == id).map(|(_, pid)| pid.get());
        macro_rules! line {
            ($level:ident, $id:expr, $message:literal $(, $($field:tt)+)?) => {
                tracing::$level!(
                    pid = pid($id),
                    shard = $id.shard,
                    generation,
                    incarnation = $id.incarnation,
                    $($($field)+,)?
                    $message
                )
            };
        }
        match report {
            Report::BootTimeout(id) => line!(error, id, "shard was not ready in time"),
            Report::Died { child, ended, restart_in: Some(pause) } => {
                let restart_in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                line!(warn, child, "shard died, its place is filled again", %ended, restart_in_ms);
            }
            Report::Died { child, ended, restart_in: None } => {
                line!(error, child, "shard died", %ended);
            }
            Report::Failed { child, text } => {
                line!(error, child, "shard cannot go on", reason = text);
            }
            Report::CutOff { shards } => {
                tracing::warn!(shards, "the time to finish is over: shards are ended at work");
            }
            Report::ForceEnded(id) => line!(warn, id, "shard did not leave in time and is ended"),
            Report::GivingUp(id) => {
                line!(error, id, "shard never became ready: giving up", tries = GIVE_UP_TRIES);
            }
            Report::Gone { child, ended: Ended::Code(0) } => line!(info, child, "shard left"),
            Report::Gone { child, ended } => line!(warn, child, "shard left badly", %ended),
            Report::NotSupported(signal) => tracing::warn!(%signal, "signal not supported yet"),
            // The start screen says it for all of them.
            Report::Ready(id) if !self.announced && self.logger.form() == Form::Pretty => {
                line!(debug, id, "shard ready");
            }
            Report::Ready(id) => line!(info, id, "shard ready"),
            Report::Retiring(id) => line!(info, id, "shard was told to leave, a successor starts"),
            Report::Stalled(id) => line!(error, id, "shard stalled: a turn takes too long"),
            Report::Stopping { signal, grace } => {
                let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
                tracing::info!(%signal, grace_ms, "stopping");
            }
            Report::Suspended(gap) => {
                let gap_ms = u64::try_from(gap.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(gap_ms, "supervisor stood still");
            }
        }
    }
}

/// Takes every message that a child has sent, and notes when no more can come.
fn collect_messages(child: &mut Child, events: &mut VecDeque<Event>) {
    loop {
        match child.channel.receive::<FromChild>() {
            Ok(Received::Message(message)) => events.push_back(Event::Message(child.id, message)),
            Ok(Received::Malformed) => {
                tracing::error!(shard = child.id.shard, "a message of a shard makes no sense");
            }
            Ok(Received::Nothing) => return,
            Ok(Received::Closed) => break,
            Err(error) => {
                tracing::error!(shard = child.id.shard, %error, "the channel of a shard broke");
                break;
            }
        }
    }
    child.is_heard = false;
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
/// Tries that hang until they are killed, with their pauses, fit the window in which deaths count.
const _: () = {
    let mut time = Duration::ZERO;
    let (mut pause, mut tries) = (BACKOFF_FIRST, 0);
    while tries < GIVE_UP_TRIES {
        time = time.saturating_add(BOOT_MAX).saturating_add(KILL_AFTER).saturating_add(pause);
        pause = pause.saturating_mul(2);
        tries += 1;
    }
    assert!(time.as_nanos() < GIVE_UP_WINDOW.as_nanos());
};
const LOOK_MIN: Duration = Duration::from_millis(25);
const LOOK_MAX: Duration = Duration::from_secs(1);
/// A wait that ends so much later than asked for means that the supervisor was stopped.
const SUSPENDED_AFTER: Duration = Duration::from_secs(1);
