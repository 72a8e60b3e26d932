//! What a service manager is told (systemd.service(5), Type=notify): that we are ready, how we are,
//! that we go on, that we stop. Without one this is silent.

use std::io;
use std::time::{Duration, Instant};

use crate::sys::notify::{Notifier, NotifyState, watchdog};

/// The manager, and what it was told.
#[derive(Debug, Default)]
pub(super) struct Service {
    notifier: Option<Notifier>,
    watchdog: Option<Watchdog>,
    /// The last status.
    status: String,
    /// When to ask for more time to start, while that takes time.
    extend_at: Option<Instant>,
    /// True once a message could not be sent: said once.
    is_deaf: bool,
}

/// The manager ends us when it does not hear from us.
#[derive(Clone, Copy, Debug)]
struct Watchdog {
    every: Duration,
    next: Instant,
}

impl Service {
    /// The manager that the environment names.
    pub(super) fn from_environment(now: Instant) -> io::Result<Self> {
        let notifier = Notifier::from_environment()?;
        let watchdog = watchdog().filter(|_| notifier.is_some()).map(|limit| Watchdog {
            // sd_watchdog_enabled(3) advises half of the time.
            every: limit / 2,
            next: now,
        });
        let extend_at = notifier.is_some().then_some(now);
        Ok(Self { notifier, watchdog, extend_at, ..Self::default() })
    }

    /// Everybody serves.
    pub(super) fn ready(&mut self) {
        self.extend_at = None;
        self.tell(&[NotifyState::Ready]);
    }

    /// A stop begins. Afterwards our own deadlines decide, and the manager's TimeoutStopSec.
    pub(super) fn stopping(&mut self) {
        self.extend_at = None;
        self.tell(&[NotifyState::Stopping]);
    }

    /// How things stand, in one line; told when it has changed.
    pub(super) fn set_status(&mut self, status: String) {
        if self.notifier.is_some() && status != self.status {
            self.tell(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// When `beat` has something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        [self.watchdog.map(|watchdog| watchdog.next), self.extend_at].into_iter().flatten().min()
    }

    /// Time has passed. `alive` tells whether everybody who serves has made progress since the
    /// time given: only then is the manager told that all is well. While we start it is asked for
    /// more time, because it is ours to say what takes too long.
    pub(super) fn beat(&mut self, now: Instant, alive: impl FnOnce(Duration) -> bool) {
        if self.extend_at.take_if(|at| now >= *at).is_some() {
            self.extend_at = Some(now + EXTEND_EVERY);
            let micros = u32::try_from(EXTEND_BY.as_micros()).unwrap_or(u32::MAX);
            self.tell(&[NotifyState::ExtendTimeoutUsec(micros)]);
        }
        let Some(watchdog) = self.watchdog.as_mut().filter(|watchdog| now >= watchdog.next) else {
            return;
        };
        watchdog.next = now + watchdog.every;
        if alive(watchdog.every) {
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    fn tell(&mut self, states: &[NotifyState<'_>]) {
        let Some(notifier) = &self.notifier else { return };
        match notifier.tell(states) {
            Ok(()) => self.is_deaf = false,
            Err(error) if self.is_deaf => tracing::debug!(%error, "still not heard"),
            Err(error) => {
                self.is_deaf = true;
                tracing::warn!(%error, "the service manager could not be told");
            }
        }
    }
}

/// How much more time is asked for, and how often, so that a supervisor that hangs is found out.
const EXTEND_BY: Duration = Duration::from_secs(20);
const EXTEND_EVERY: Duration = Duration::from_secs(5);
