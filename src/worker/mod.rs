//! Workers: processes that run what is too heavy for a shard.
//!
//! `pool` is what an application says about a pool, `template` the process that has loaded it and
//! forks the workers; here is a worker's own life. It never touches a socket of a client.

pub mod pool;
pub mod template;

use std::any::Any;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use self::pool::Hook;
pub use self::pool::{Pool, PoolCode};
use crate::executor;
use crate::exit::Exit;
use crate::sys::channel::{Channel, FromChild, Received, ToChild};
use crate::sys::memory::use_small_pages;
use crate::sys::poll::Bundle;
use crate::sys::process::PidFd;
use crate::sys::signal::SignalFd;
use crate::sys::{descriptors, poll};

/// A worker in its own process.
struct Worker {
    code: PoolCode,
    /// What the template has loaded; `None` if that is left to the worker.
    state: Option<Rc<dyn Any>>,
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
        let state = match self.prepare() {
            Ok(state) => state,
            Err(failure) => return fail(&self.channel, &failure),
        };
        match executor::run(self.live(state)) {
            Ok(exit) => exit,
            Err(error) => {
                tracing::error!(%error, "the worker has no executor");
                Exit::System
            }
        }
    }

    /// What comes before the executor with its second thread: the hook may fork or start its own.
    fn prepare(&mut self) -> Result<Rc<dyn Any>, Failure> {
        let loaded = match self.state.take() {
            Some(state) => Ok(state),
            None => self.code.load(),
        };
        let mut state = loaded.map_err(|text| Failure { exit: Exit::AppLoad, text })?;
        self.code.after_fork(&mut state).map_err(Failure::of_hook)?;
        Ok(state)
    }

    async fn live(self, state: Rc<dyn Any>) -> Exit {
        match self.serve(&*state).await {
            Ok(()) => {}
            Err(failure) => return fail(&self.channel, &failure),
        }
        match self.code.call(Hook::OnExit, &*state) {
            Ok(()) => Exit::Clean,
            Err(text) => fail(&self.channel, &Failure::of_hook(text)),
        }
    }

    /// From its hooks to the order to leave.
    async fn serve(&self, state: &dyn Any) -> Result<(), Failure> {
        self.code.call(Hook::Warm, state).map_err(Failure::of_hook)?;
        self.code.call(Hook::OnReady, state).map_err(Failure::of_hook)?;
        let of_system = |error: io::Error| Failure {
            exit: Exit::System,
            text: format!("waiting for orders failed: {error}"),
        };
        let fds = [self.channel.as_fd(), self.owned.signals.as_fd(), self.owned.terminate.as_fd()];
        let orders = Bundle::of(&fds).map_err(of_system)?;
        tell(&self.channel, &FromChild::Ready);
        while !self.is_told_to_leave() {
            let until = Instant::now() + LOOK;
            if let Some(result) = executor::within(until, executor::readable(&orders)).await {
                result.map_err(of_system)?;
            }
        }
        Ok(())
    }

    /// Looks at everything that can end a worker. With no job to finish, all mean the same.
    fn is_told_to_leave(&self) -> bool {
        let told = descriptors::take_count(self.owned.terminate.as_fd())
            || matches!(self.owned.signals.read(), Ok(Some(_)))
            || is_readable(&self.owned.supervisor);
        if told && is_readable(&self.owned.supervisor) {
            tracing::warn!("the supervisor is gone; leaving");
        }
        told || is_told_to_leave(&self.channel)
    }
}

/// Takes the next orders of a process that has nothing to finish.
fn is_told_to_leave(channel: &Channel) -> bool {
    loop {
        match channel.receive::<ToChild>() {
            Ok(Received::Message(ToChild::Drain { .. } | ToChild::Stop) | Received::Closed) => {
                return true;
            }
            Ok(Received::Nothing) => return false,
            Ok(Received::Message(ToChild::Fork(_)) | Received::Malformed) => {
                tracing::error!("the supervisor sent something that makes no sense here");
            }
            Err(error) => {
                tracing::error!(%error, "the supervisor's channel could not be read");
                return true;
            }
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

/// A worker looks around so often even if nothing wakes it.
const LOOK: Duration = Duration::from_millis(250);
