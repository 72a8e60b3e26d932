//! Waiting for descriptors, for loops that block: the supervisor's and those of tests.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;

/// Waits until one of the descriptors is readable or broken, or the time is over; returns for
/// each whether it is. An interrupted wait returns early with nothing.
pub fn wait_readable(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> =
        fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    match poll(&mut polled, timeout.as_ref()) {
        Ok(_) => Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect()),
        Err(Errno::INTR) => Ok(vec![false; fds.len()]),
        Err(error) => Err(error.into()),
    }
}

/// Several descriptors as one, which is readable when one of them has become readable since the
/// last look. What is readable still and was seen is not told again, so nobody has to read a
/// descriptor only to silence it.
#[derive(Debug)]
pub struct Bundle {
    epoll: OwnedFd,
}

/// Which descriptors of a bundle have become readable.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Rang(u64);

impl Rang {
    /// Whether the descriptor with this number has.
    #[must_use]
    pub const fn has(self, index: usize) -> bool {
        self.0 >> index & 1 == 1
    }

    /// Whether one has whose number is not below `index`.
    #[must_use]
    pub const fn any_from(self, index: usize) -> bool {
        self.0 >> index != 0
    }
}

impl Bundle {
    /// Bundles these, at most [`BUNDLE_MAX`], numbered from 0; one that is closed later leaves the
    /// bundle.
    pub fn of(fds: &[BorrowedFd<'_>]) -> io::Result<Self> {
        assert!(fds.len() <= BUNDLE_MAX, "a bundle of {}", fds.len());
        let bundle = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, fd) in fds.iter().enumerate() {
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&bundle, fd, data, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        }
        Ok(Self { epoll: bundle })
    }

    /// Waits until one has become readable, or the time is over. An interrupted wait returns
    /// early with nothing.
    pub fn wait(&self, timeout: Duration) -> io::Result<Rang> {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let mut space = [MaybeUninit::uninit(); BUNDLE_MAX];
        let events = match epoll::wait(&self.epoll, &mut space, Some(&timeout)) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Ok(Rang::default()),
            Err(error) => return Err(error.into()),
        };
        Ok(Rang(events.iter().fold(0, |bits, event| bits | 1 << event.data.u64())))
    }
}

impl AsFd for Bundle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Most descriptors of a bundle.
pub const BUNDLE_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::descriptors::{doorbell, ring};

    #[test]
    fn readable_ones_are_marked() {
        let (quiet, loud) = (doorbell().unwrap(), doorbell().unwrap());
        rustix::io::write(&loud, &1u64.to_ne_bytes()).unwrap();
        assert_eq!(wait_readable(&[quiet.as_fd(), loud.as_fd()], None).unwrap(), [false, true]);
        let none = wait_readable(&[quiet.as_fd()], Some(Duration::from_millis(1))).unwrap();
        assert_eq!(none, [false]);
    }

    #[test]
    fn a_bundle_is_readable_once_for_each_time_that_one_of_its_own_rings() {
        let (one, other) = (doorbell().unwrap(), doorbell().unwrap());
        ring(one.as_fd());
        let bundle = Bundle::of(&[one.as_fd(), other.as_fd()]).unwrap();
        let is_readable = || wait_readable(&[bundle.as_fd()], Some(Duration::ZERO)).unwrap();
        for loud in [0, 1, 1] {
            assert_eq!(is_readable(), [true], "what rang before it was bundled counts");
            let rang = bundle.wait(Duration::from_secs(20)).unwrap();
            assert_eq!((rang.has(0), rang.has(1)), (loud == 0, loud == 1));
            assert_eq!((rang.any_from(1), rang.any_from(2)), (loud == 1, false));
            assert_eq!(is_readable(), [false], "though nobody has read the count");
            assert_eq!(bundle.wait(Duration::ZERO).unwrap(), Rang::default());
            ring(other.as_fd());
        }
    }
}
