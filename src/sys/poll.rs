//! Waiting for descriptors, for loops that block: the supervisor's and those of tests.

use std::io;
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

/// Several descriptors as one, which is readable while one of them is.
#[derive(Debug)]
pub struct Bundle {
    epoll: OwnedFd,
}

impl Bundle {
    /// Bundles these; one that is closed later leaves the bundle.
    pub fn of(fds: &[BorrowedFd<'_>]) -> io::Result<Self> {
        let bundle = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, fd) in fds.iter().enumerate() {
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&bundle, fd, data, epoll::EventFlags::IN)?;
        }
        Ok(Self { epoll: bundle })
    }
}

impl AsFd for Bundle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::descriptors::{doorbell, take_count};

    #[test]
    fn readable_ones_are_marked() {
        let (quiet, loud) = (doorbell().unwrap(), doorbell().unwrap());
        rustix::io::write(&loud, &1u64.to_ne_bytes()).unwrap();
        assert_eq!(wait_readable(&[quiet.as_fd(), loud.as_fd()], None).unwrap(), [false, true]);
        let none = wait_readable(&[quiet.as_fd()], Some(Duration::from_millis(1))).unwrap();
        assert_eq!(none, [false]);
    }

    #[test]
    fn a_bundle_is_readable_while_one_of_its_own_is() {
        let (one, other) = (doorbell().unwrap(), doorbell().unwrap());
        let bundle = Bundle::of(&[one.as_fd(), other.as_fd()]).unwrap();
        let look = || wait_readable(&[bundle.as_fd()], Some(Duration::ZERO)).unwrap();
        assert_eq!(look(), [false]);
        rustix::io::write(&other, &1u64.to_ne_bytes()).unwrap();
        assert_eq!(look(), [true]);
        assert!(take_count(other.as_fd()));
        assert_eq!(look(), [false]);
    }
}
