//! Waiting for descriptors, for loops that block: the supervisor's and those of tests.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::descriptors::doorbell;
    use std::os::fd::AsFd;

    #[test]
    fn readable_ones_are_marked() {
        let (quiet, loud) = (doorbell().unwrap(), doorbell().unwrap());
        rustix::io::write(&loud, &1u64.to_ne_bytes()).unwrap();
        assert_eq!(wait_readable(&[quiet.as_fd(), loud.as_fd()], None).unwrap(), [false, true]);
        let none = wait_readable(&[quiet.as_fd()], Some(Duration::from_millis(1))).unwrap();
        assert_eq!(none, [false]);
    }
}
