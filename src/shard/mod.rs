//! The shard: the process that serves HTTP on one core.
//!
//! One driver task on a glommio executor owns a network ring of its own and runs turn after turn
//! (`turn`). Handlers that answer at once run inside the turn; only an async handler that has
//! to wait becomes a task of the executor, while it waits.

mod conn;
mod desk;
mod life;
mod ready;
mod slab;
#[cfg(test)]
mod tests;
mod timer;
mod turn;
mod watch;

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use self::conn::Http;
use self::desk::Desks;
pub use self::desk::{PoolSettings, PoolSetup};
use self::life::{Heir, Life};
use self::ready::Ready;
use self::turn::{Parts, Shard};
use self::watch::Watch;
use crate::config::Idle;
use crate::executor::{self, Bell};
use crate::handler::Handler;
use crate::http::{Preamble, Time};
use crate::limits::HttpLimits;
use crate::net::Ring;
use crate::net::listener::Listener;
use crate::net::ring::OpenError;
pub use crate::offload::admission::QueueWait;
use crate::offload::death::Fault;
use crate::offload::word::Owner;
pub use crate::offload::word::ShardIndex;
use crate::router::Table;
use crate::sys::channel::{Channel, FromChild, Received, ToChild};
use crate::sys::memory::use_small_pages;
use crate::sys::page::SharedPage;
use crate::sys::process::PidFd;
use crate::sys::schedule::take_short_turns;
use crate::sys::signal::SignalFd;
use crate::sys::terminate::on_terminate;
use crate::sys::{clock, descriptors, poll};
use crate::telemetry::fall::report_falls;
use crate::telemetry::log::report_panics;

/// What a shard is started with.
pub struct Setup {
    /// The listeners it accepts from.
    pub listeners: Vec<Listener>,
    /// To the supervisor.
    pub channel: Channel,
    /// TERM arrives here.
    pub signals: SignalFd,
    /// Readable when the supervisor is gone.
    pub supervisor: PidFd,
    /// What the supervisor watches.
    pub page: Option<SharedPage>,
    /// Where requests go.
    pub table: Table<usize>,
    /// What the table's targets stand for.
    pub handlers: Vec<Handler>,
    /// The pools that handlers can be for.
    pub pools: Vec<PoolSetup>,
    /// Its place in the memory of all of them.
    pub seat: ShardIndex,
    /// Limits of every connection.
    pub limits: HttpLimits,
    /// Most connections at a time.
    pub connections_max: usize,
    /// How idle time is spent.
    pub idle: Idle,
    /// Whether no other process of ours uses the CPU.
    pub dedicated: bool,
    /// Time for what runs when the supervisor is gone.
    pub grace: Duration,
    /// Time on top of it before the process is ended from within.
    pub force: Duration,
}

/// How a shard ended.
#[derive(Debug)]
pub enum End {
    /// Everything accepted was served, or cut at the end of the grace time.
    Drained,
    /// It was told to leave at once.
    Stopped,
}

/// Why a shard could not start.
#[derive(Debug)]
pub enum StartError {
    /// The network ring.
    Ring(OpenError),
    /// The executor or a descriptor it needs.
    System(std::io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ring(error) => write!(f, "cannot open the network ring: {error}"),
            Self::System(error) => write!(f, "cannot start the executor: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Whether a shard could run here: opens a ring and closes it.
///
/// # Errors
/// What is forbidden or missing, and what to do about it.
pub fn probe() -> Result<(), OpenError> {
    Ring::open().map(drop)
}

/// Serve until told to leave.
///
/// # Errors
/// When the ring or the executor cannot be had.
pub fn run(setup: Setup) -> Result<End, StartError> {
    // A panic in a handler costs one request; the log says where it was. Those of tests are told
    // to whoever runs the tests.
    if !cfg!(test) {
        report_panics();
        if let Err(error) = report_falls() {
            tracing::debug!(%error, "nothing will say where this process stood at its end");
        }
    }
    if let Err(error) = use_small_pages() {
        tracing::debug!(%error, "memory may come in huge pages");
    }
    // Whatever else runs on this CPU, a request is not to wait for the end of its turn.
    if let Err(error) = take_short_turns() {
        tracing::debug!(%error, "requests may wait for others on the CPU");
    }
    executor::run(drive(setup)).map_err(StartError::System)?
}

/// Whom the driver listens to besides its clients.
struct Control {
    channel: Channel,
    signals: SignalFd,
    supervisor: PidFd,
    /// Counts the TERMs that arrived.
    terminate: OwnedFd,
    grace: Duration,
    /// Whether the supervisor is known to be gone.
    orphaned: bool,
}

async fn drive(setup: Setup) -> Result<End, StartError> {
    let seconds = (setup.grace + setup.force).as_secs().saturating_add(1);
    let terminate =
        on_terminate(u32::try_from(seconds).unwrap_or(u32::MAX)).map_err(StartError::System)?;
    let control = Control {
        terminate,
        channel: setup.channel,
        signals: setup.signals,
        supervisor: setup.supervisor,
        grace: setup.grace,
        orphaned: false,
    };
    let mut ring = Ring::open().map_err(StartError::Ring)?;
    for tag in [TAG_CHANNEL, TAG_SIGNALS, TAG_SUPERVISOR, TAG_TERMINATE] {
        control.poll(&mut ring, tag);
    }
    let bell = Bell::new().map_err(StartError::System)?;
    let now = Time::from_nanos(clock::monotonic_ns());
    let preamble = Preamble::new(clock::unix_seconds());
    let ready = Rc::new(Ready::default());
    let desks = Desks::new(setup.pools, setup.seat, &setup.handlers);
    let http = Http::new(setup.table, setup.handlers, setup.limits, preamble, now, ready, desks);
    let mut shard = Shard::new(Parts {
        ring,
        http,
        listeners: setup.listeners,
        life: Life::Serving,
        watch: Watch::new(setup.idle, setup.dedicated),
        bell,
        page: setup.page,
        connections_max: setup.connections_max,
    });
    shard.watch_doorbells();
    shard.turn();
    shard.ring.submit();
    control.tell(&FromChild::Ready);
    let end = serve(&mut shard, control).await;
    shard.cut_all();
    shard.http.desks.close(shard.http.now);
    shard.ring.submit();
    Ok(end)
}

async fn serve(shard: &mut Shard, mut control: Control) -> End {
    loop {
        shard.rest().await;
        if shard.turn() {
            control.tell(&FromChild::AcceptClosed);
        }
        while let Some((pool, fault)) = shard.http.desks.pop_fault() {
            control.tell(&accusation(pool, fault));
        }
        if shard.take_polled() && control.listen(shard) == Wish::Stop {
            return End::Stopped;
        }
        if shard.is_over() {
            return End::Drained;
        }
    }
}

/// What the supervisor is told about something that cannot have been written by a working worker.
fn accusation(pool: u16, fault: Fault) -> FromChild {
    match fault {
        Fault::Worker(Owner { worker, incarnation }) => {
            FromChild::WorkerBroken { pool, worker: worker.0, incarnation }
        }
        Fault::Memory => FromChild::MemoryBroken { pool },
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    GoOn,
    Stop,
}

impl Control {
    fn tell(&self, message: &FromChild) {
        if let Err(error) = self.channel.send(message) {
            tracing::warn!(%error, "the supervisor could not be told");
        }
    }

    /// Something on one of the control descriptors: look at all of them.
    fn listen(&mut self, shard: &mut Shard) -> Wish {
        loop {
            match self.channel.receive::<ToChild>() {
                Ok(Received::Message(ToChild::Drain { grace })) => {
                    shard.leave(Heir::Nobody, grace);
                }
                Ok(Received::Message(ToChild::Stop)) => return Wish::Stop,
                Ok(Received::Message(ToChild::Fork(_)) | Received::Malformed) => {
                    tracing::error!("the supervisor sent something that is not a message");
                }
                Ok(Received::Nothing) => break,
                Ok(Received::Closed) => {
                    // Only a dead supervisor has no channel; one that lives and closed it wants
                    // this place for somebody else.
                    if self.is_supervisor_gone() {
                        self.orphan(shard);
                    } else {
                        shard.leave(Heir::Successor, self.grace);
                    }
                    break;
                }
                Err(error) => {
                    tracing::error!(%error, "the supervisor's channel could not be read");
                    break;
                }
            }
        }
        self.hear_signals(shard);
        while let Some(tag) = shard.unpolled.pop() {
            self.poll(&mut shard.ring, tag);
        }
        Wish::GoOn
    }

    /// Have the ring watch one of the control descriptors.
    fn poll(&self, ring: &mut Ring, tag: u32) {
        match tag {
            TAG_CHANNEL => ring.poll(self.channel.as_fd(), tag),
            TAG_SIGNALS => ring.poll(self.signals.as_fd(), tag),
            TAG_SUPERVISOR => ring.poll(self.supervisor.as_fd(), tag),
            TAG_TERMINATE => ring.poll(self.terminate.as_fd(), tag),
            _ => unreachable!("a poll that nobody asked for"),
        }
    }

    /// TERM from the kernel because the supervisor is gone, or from a person who wants this
    /// shard replaced.
    fn hear_signals(&mut self, shard: &mut Shard) {
        let mut told = descriptors::take_count(self.terminate.as_fd());
        while let Ok(Some(_)) = self.signals.read() {
            told = true;
        }
        if told {
            if self.is_supervisor_gone() {
                self.orphan(shard);
            } else if shard.life.is_serving() {
                self.tell(&FromChild::Retiring);
                shard.leave(Heir::Successor, self.grace);
            }
        }
    }

    fn is_supervisor_gone(&self) -> bool {
        // A pidfd is readable once its process has ended.
        poll::wait_readable(&[self.supervisor.as_fd()], Some(Duration::ZERO))
            .is_ok_and(|ready| ready == [true])
    }

    /// The supervisor is gone: nobody will empty the accept queues but us, and nobody will end
    /// us should a handler hang.
    fn orphan(&mut self, shard: &mut Shard) {
        if std::mem::replace(&mut self.orphaned, true) {
            return;
        }
        tracing::warn!("the supervisor is gone; finishing what was accepted, then leaving");
        shard.refuse_new_clients();
        shard.leave(Heir::Nobody, self.grace);
    }
}

const TAG_CHANNEL: u32 = 0;
const TAG_SIGNALS: u32 = 1;
const TAG_SUPERVISOR: u32 = 2;
const TAG_TERMINATE: u32 = 3;
