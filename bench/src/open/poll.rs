//! Waiting for sockets, and the clock of a load.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

/// Nanoseconds from the beginning of the load.
#[derive(Clone, Copy)]
pub(super) struct Clock(Instant);

/// All sockets of a load. Each is added once: with edge-triggered events nothing has to be changed
/// between the requests, and a closed socket leaves by itself.
pub(super) struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Clock {
    pub(super) fn begin() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now_ns(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).expect("a load is shorter than five centuries")
    }
}

impl Poll {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(BATCH) })
    }

    /// From now on events of the socket come with `token`.
    pub(super) fn watch(&self, stream: &TcpStream, token: u64) -> io::Result<()> {
        use epoll::EventFlags as Flags;
        let flags = Flags::IN | Flags::OUT | Flags::RDHUP | Flags::ET;
        Ok(epoll::add(&self.epoll, stream, epoll::EventData::new_u64(token), flags)?)
    }

    /// Waits for the first event, and returns of all that are there the token and whether the
    /// other side has closed.
    pub(super) fn wait(
        &mut self,
        at_most: Duration,
    ) -> io::Result<impl Iterator<Item = (u64, bool)>> {
        self.events.clear();
        let timeout = Timespec::try_from(at_most).map_err(io::Error::other)?;
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.events.iter().map(|event| {
            let (data, flags) = (event.data, event.flags);
            (data.u64(), flags.intersects(HANG_UPS))
        }))
    }
}

const HANG_UPS: epoll::EventFlags =
    epoll::EventFlags::RDHUP.union(epoll::EventFlags::HUP).union(epoll::EventFlags::ERR);
/// Few, so that a moment that comes meanwhile is not kept waiting by the answers before it.
const BATCH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_not_rounded_up_to_a_millisecond() {
        let mut poll = Poll::new().unwrap();
        let clock = Clock::begin();
        let mut wait = || {
            let before = clock.now_ns();
            poll.wait(Duration::from_micros(100)).unwrap().for_each(drop);
            clock.now_ns() - before
        };
        // A machine with other things to do is late now and then, but not for ever.
        while wait() >= 1_000_000 {
            assert!(clock.now_ns() < 20_000_000_000, "each wait takes a millisecond or more");
        }
    }
}
