//! What a process that was just forked does before anything else, whatever its role: it makes
//! itself one that owns nothing but its own things.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::affinity;
use super::descriptors;
use super::process::Forked;
use super::signal::{Signal, SignalFd, ignore};
use super::title::{Title, set_short_name, short_name};
use super::user::User;

/// What the process is to be.
#[derive(Debug)]
pub struct Newborn<'a> {
    /// What `ps` shows: `shard/0`.
    pub name: &'a str,
    /// The CPUs that it may use; none for those that it inherited.
    pub cpus: &'a [usize],
    /// Whom it becomes; `None` is who it was.
    pub user: Option<&'a User>,
    /// The descriptors that are its own, besides the standard streams.
    pub keep: &'a [BorrowedFd<'a>],
}

/// Why a process could not even begin.
#[derive(Debug)]
pub struct Trouble {
    /// What was tried.
    pub step: &'static str,
    /// Why it failed.
    pub error: io::Error,
    /// Whether a permission was missing, so that trying again cannot help.
    pub forbidden: bool,
}

impl Newborn<'_> {
    /// Goes to a process group of its own and to its CPUs, takes its name, reads nothing from a
    /// terminal, ignores what is meant for a supervisor, and closes what is not its own. TERM and
    /// INT are blocked from then on and come from the descriptor.
    pub fn settle(&self, forked: &Forked, title: &mut Option<Title>) -> Result<SignalFd, Trouble> {
        forked.leave_process_group().map_err(Trouble::of("setpgid"))?;
        // First of all: memory comes from the node of the CPU that first touches it, and every
        // thread inherits the mask.
        self.pin()?;
        self.take_name(title);
        let null = "/dev/null as standard input";
        descriptors::stdin_from_null().map_err(Trouble::of(null))?;
        for signal in IGNORED {
            ignore(signal).map_err(Trouble::of("ignoring a signal"))?;
        }
        let signals = SignalFd::open(&[Signal::Interrupt, Signal::Terminate]);
        let signals = signals.map_err(Trouble::of("signalfd"))?;
        let mut keep = self.keep.to_vec();
        keep.push(signals.as_fd());
        descriptors::close_all_but(forked, &keep).map_err(Trouble::of("close_range"))?;
        // Last: what is above may need the rights of who started us.
        if let Some(user) = self.user {
            user.become_it(forked).map_err(Trouble::of("becoming server.user"))?;
        }
        Ok(signals)
    }

    fn pin(&self) -> Result<(), Trouble> {
        if self.cpus.is_empty() {
            return Ok(());
        }
        let pinned = match self.cpus {
            &[cpu] => affinity::pin(cpu),
            cpus => affinity::confine_to(cpus),
        };
        // Read back: a sandbox may answer without doing anything.
        let pinned = pinned.and_then(|()| match affinity::allowed()? {
            allowed if allowed == self.cpus => Ok(()),
            allowed => Err(io::Error::other(format!("the kernel says {allowed:?} all the same"))),
        });
        pinned.map_err(|error| {
            let text = format!("CPUs {:?}: {error}", self.cpus);
            let error = io::Error::new(error.kind(), text);
            Trouble { step: "pinning", error, forbidden: true }
        })
    }

    /// That a name could not be set hurts nobody.
    fn take_name(&self, title: &mut Option<Title>) {
        if let Some(title) = title {
            title.set(&format!("corewise: {}", self.name));
        }
        let _ = set_short_name(&short_name(self.name));
    }
}

impl Trouble {
    /// Makes the trouble of a step from its error.
    pub fn of(step: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self { step, error, forbidden: false }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.step, self.error)
    }
}

/// Signals that mean something to a supervisor only: sent to a child, they must not end it.
const IGNORED: [Signal; 6] =
    [Signal::Hangup, Signal::TtyIn, Signal::TtyOut, Signal::User1, Signal::User2, Signal::Window];
