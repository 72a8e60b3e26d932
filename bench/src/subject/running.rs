//! A subject that serves.

use std::fmt::{self, Display};
use std::io;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;

use super::answer::{self, Answer, Route, WrongAnswer};
use super::description::{Description, Event};
use super::guard::Guarded;
use super::port::Port;
use super::start::{self, Place, StartError};
use super::system::Ready;
use super::tree;

/// A server that has given a right answer. Dropping it ends all of its processes.
#[derive(Debug)]
pub(crate) struct Running {
    ready: Ready,
    /// With the port that it has.
    place: Place,
    guarded: Guarded,
    address: SocketAddr,
    /// Keeps the port, also while it is started again; none where somebody else keeps it.
    _claim: Option<Port>,
}

/// How a subject was ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None when it had to be killed.
    pub(crate) status: Option<ExitStatus>,
}

/// Why an event did not happen.
#[derive(Debug)]
pub(crate) enum EventError {
    /// The subject does not have it.
    Declined(String),
    Io(io::Error),
    /// It was stopped and does not come back.
    Start(StartError),
}

impl Running {
    pub(super) fn new(
        ready: Ready,
        place: Place,
        guarded: Guarded,
        address: SocketAddr,
        claim: Option<Port>,
    ) -> Self {
        Self { ready, place, guarded, address, _claim: claim }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The root of its processes.
    pub(crate) fn process(&self) -> u32 {
        self.guarded.root()
    }

    /// The roots of all that it is: the process that was started, and whoever lost its parent
    /// since, as daemons do. They work for it as well, and their time is its own.
    pub(crate) fn roots(&self) -> Vec<u32> {
        let root = self.process();
        let orphans = tree::children(self.guarded.guard());
        [root].into_iter().chain(orphans.into_iter().filter(|orphan| *orphan != root)).collect()
    }

    pub(crate) fn description(&self) -> &Description {
        self.ready.description()
    }

    /// The path by which this subject knows the route.
    pub(crate) fn path(&self, route: Route) -> String {
        route.path(self.description())
    }

    /// The body of the right answer.
    pub(crate) fn body(&self, route: Route) -> io::Result<Vec<u8>> {
        route.body(self.description(), &self.place.root)
    }

    /// Asks once: status, length and content must be right.
    pub(crate) fn check(&mut self, route: Route) -> Result<Answer, WrongAnswer> {
        let path = self.path(route);
        let wrong = |why: String| WrongAnswer { path: path.clone(), why, passing: false };
        let expected = self.body(route).map_err(|error| wrong(error.to_string()))?;
        let checked = answer::check(self.address, &path, &expected);
        checked.map_err(|answer| match self.guarded.wait(Duration::ZERO) {
            Ok(Some(status)) => wrong(format!("it has ended ({status}); {}", self.last_words())),
            _ => answer,
        })
    }

    /// Holds all of its processes still, so that it takes no CPU while others are measured.
    pub(crate) fn pause(&self) -> io::Result<()> {
        tree::hold(self.guarded.guard())
    }

    /// Lets them run again.
    pub(crate) fn resume(&self) -> io::Result<()> {
        tree::release(self.guarded.guard())
    }

    /// Makes the event happen; after a restart the address is the same.
    pub(crate) fn event(&mut self, event: Event) -> Result<(), EventError> {
        let description = self.ready.description();
        description.supports(event).map_err(EventError::Declined)?;
        match event {
            Event::Kill => {
                let processes = tree::processes(self.process());
                let child = processes.get(1).ok_or_else(|| io::Error::other("it has no child"))?;
                tree::signal(*child, Signal::KILL)?;
            }
            Event::Reload => {
                let signal = description.reload.expect("`supports` looked").signal();
                self.guarded.signal(signal)?;
            }
            Event::Restart => {
                self.leave()?;
                let Self { guarded, address, .. } =
                    self.ready.start(&self.place).map_err(EventError::Start)?;
                (self.guarded, self.address) = (guarded, address);
            }
        }
        Ok(())
    }

    /// Asks it to leave, and makes it when it does not.
    pub(crate) fn stop(mut self) -> io::Result<Ended> {
        self.leave()
    }

    fn leave(&mut self) -> io::Result<Ended> {
        self.resume()?;
        // Who has ended already needs no order.
        let _gone = self.guarded.signal(self.ready.description().stop.signal());
        let status = self.guarded.wait(self.place.stop_patience)?;
        self.guarded.kill()?;
        Ok(Ended { status })
    }

    fn last_words(&self) -> String {
        start::last_words(&self.place.folder.join(start::folder_name(&self.description().name)))
    }
}

impl From<io::Error> for EventError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declined(why) => f.write_str(why),
            Self::Io(error) => error.fmt(f),
            Self::Start(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EventError {}
