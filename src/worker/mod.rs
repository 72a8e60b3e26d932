//! Workers: processes that run what is too heavy for a shard.
//!
//! `pool` is what an application says about a pool, `template` the process that has loaded it and
//! forks the workers; here is a worker's own life. It never touches a socket of a client.
//!
//! A worker is one loop. `serve` takes jobs out of the memory of the pool and puts answers there,
//! `run` is a job that takes longer than a call, `answer` and `streaming` are how its answer goes
//! back, `threads` is where plain handlers run if one thread is not enough. Between two jobs the
//! loop obeys (`orders`) and sleeps (`rest`).

mod answer;
mod flaw;
mod jobs;
mod orders;
pub mod pool;
mod ready;
mod rest;
mod run;
mod serve;
mod streaming;
pub mod template;
#[cfg(test)]
mod tests;
mod threads;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

pub use self::jobs::{Jobs, Route};
use self::orders::{Order, Orders};
use self::pool::Hook;
pub use self::pool::{Pool, PoolCode};
use self::rest::Rest;
use self::serve::{Serving, Turn};
use crate::executor;
use crate::exit::Exit;
use crate::handler::Loaded;
use crate::offload::server::BLOCK_NS_MAX;
use crate::sys::channel::{Channel, FromChild};
use crate::sys::memory::use_small_pages;
use crate::sys::poll;
use crate::sys::process::PidFd;
use crate::sys::signal::SignalFd;

/// A worker in its own process.
struct Worker {
    code: PoolCode,
    /// What the template has loaded; `None` if that is left to the worker.
    state: Option<Loaded>,
    /// What it is here for.
    jobs: Jobs,
    /// To the supervisor.
    channel: Channel,
    owned: Owned,
}

/// The other descriptors that a worker owns.
struct Owned {
    /// INT arrives here: leave.
    signals: SignalFd,
    /// Counts the TERMs that arrived.
    terminate: OwnedFd,
    /// Readable when the supervisor is gone.
    supervisor: PidFd,
}

/// Why a worker leaves before its time.
struct Failure {
    exit: Exit,
    text: String,
}

impl Worker {
    /// From what was loaded to the end.
    fn run(mut self) -> Exit {
        if let Err(error) = use_small_pages() {
            tracing::debug!(%error, "memory may come in huge pages");
        }
        let loaded = match self.prepare() {
            Ok(loaded) => loaded,
            Err(failure) => return fail(&self.channel, &failure),
        };
        match executor::run(self.live(loaded)) {
            Ok(exit) => exit,
            Err(error) => {
                tracing::error!(%error, "the worker has no executor");
                Exit::System
            }
        }
    }

    /// What comes before the executor with its second thread: the hook may fork or start its own.
    fn prepare(&mut self) -> Result<Loaded, Failure> {
        let loaded = match self.state.take() {
            Some(loaded) => Ok(loaded),
            None => self.code.load(),
        };
        let mut loaded = loaded.map_err(|text| Failure { exit: Exit::AppLoad, text })?;
        self.code.after_fork(&mut loaded).map_err(Failure::of_hook)?;
        Ok(loaded)
    }

    async fn live(self, loaded: Loaded) -> Exit {
        let Self { code, jobs, channel, owned, .. } = self;
        let orders = Orders::new(&channel, &owned);
        match serve(&code, &loaded, jobs, orders).await {
            Ok(()) => {}
            Err(failure) => return fail(&channel, &failure),
        }
        match code.call(Hook::OnExit, &loaded) {
            Ok(()) => Exit::Clean,
            Err(text) => fail(&channel, &Failure::of_hook(text)),
        }
    }
}

/// From the hooks to the order to leave, or to the end of the pool.
async fn serve(
    code: &PoolCode,
    loaded: &Loaded,
    jobs: Jobs,
    orders: Orders<'_>,
) -> Result<(), Failure> {
    code.call(Hook::Warm, loaded).map_err(Failure::of_hook)?;
    code.call(Hook::OnReady, loaded).map_err(Failure::of_hook)?;
    let of_system = |error: io::Error| Failure {
        exit: Exit::System,
        text: format!("the worker cannot serve: {error}"),
    };
    let mut serving = Serving::new(jobs, loaded).map_err(of_system)?;
    let rest = Rest::new(serving.doorbells(), orders.descriptors()).map_err(of_system)?;
    tell(orders.channel(), &FromChild::Ready);
    let result = work(&mut serving, orders, rest).await;
    serving.detach();
    result.map_err(of_system)
}

/// Turn after turn, until there is nothing left to do or somebody says so.
async fn work(serving: &mut Serving, mut orders: Orders<'_>, mut rest: Rest) -> io::Result<()> {
    let mut life = Life::Serving;
    loop {
        let turn = serving.turn();
        let now = serving.now();
        match turn {
            Turn::Over => return Ok(()),
            Turn::Worked => rest.breathe(now).await?,
            Turn::Spin => rest.pause(now).await?,
            Turn::Idle => {
                serving.renew();
                let tick = now.saturating_add(BLOCK_NS_MAX);
                let until = serving.due().min(life.until()).min(tick);
                rest.sleep(now, until, &serving.ready).await?;
            }
        }
        if rest.take_orders() {
            while let Some(order) = orders.next() {
                life = life.told(order, now);
            }
        }
        match life {
            Life::Serving => {}
            Life::Outliving if serving.sees_a_shard() => {}
            Life::Leaving { until } if now >= until => {
                let jobs = serving.running();
                if jobs > 0 {
                    tracing::warn!(jobs, "leaving, though not all jobs are done");
                }
                return Ok(());
            }
            Life::Leaving { .. } | Life::Outliving => serving.drain(),
        }
    }
}

/// How long a worker is still there. Times are nanoseconds of the monotonic clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Life {
    Serving,
    /// The supervisor is gone: as long as a shard is there.
    Outliving,
    /// Until its last job is done, but not longer than this.
    Leaving {
        until: u64,
    },
}

impl Life {
    /// The last order counts least: nobody is told to stay.
    fn told(self, order: Order, now: u64) -> Self {
        let until = match order {
            Order::Drain(Some(grace)) => {
                now.saturating_add(u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX))
            }
            Order::Drain(None) => u64::MAX,
            Order::Outlive if self == Self::Serving => return Self::Outliving,
            Order::Outlive => return self,
            Order::Stop => 0,
        };
        Self::Leaving { until: until.min(self.until()) }
    }

    /// When it ends at the latest.
    fn until(self) -> u64 {
        match self {
            Self::Leaving { until } => until,
            Self::Outliving | Self::Serving => u64::MAX,
        }
    }
}

impl Failure {
    /// A hook of the application has failed: the worker may be tried again.
    fn of_hook(text: String) -> Self {
        Self { exit: Exit::NoWorker, text }
    }
}

/// Tells the supervisor why this process cannot go on, and how it will end.
fn fail(channel: &Channel, failure: &Failure) -> Exit {
    let (code, text) = (failure.exit.code(), failure.text.clone());
    tell(channel, &FromChild::Failed { code, text });
    failure.exit
}

fn tell(channel: &Channel, message: &FromChild) {
    if let Err(error) = channel.send(message) {
        tracing::warn!(%error, "the supervisor could not be told");
    }
}

/// Of a pidfd: whether its process is dead.
fn is_readable(fd: impl AsFd) -> bool {
    poll::wait_readable(&[fd.as_fd()], Some(Duration::ZERO)).is_ok_and(|ready| ready == [true])
}
