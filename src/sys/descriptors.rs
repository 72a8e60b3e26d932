//! Descriptors as a set: closing all but some, /dev/null, eventfds.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::dup;

use super::process::Forked;

/// Closes every descriptor of this process that is neither 0, 1, 2 nor in `keep`.
///
/// Only in a process that was just forked, which the token proves: there, nothing but the values
/// named in `keep` is used any more. Every other `OwnedFd` of the copied memory is left to be
/// forgotten, because `Forked` ends the process without running destructors.
pub fn close_all_but(_in_child: &Forked, keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut keep: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).filter(|&fd| fd > 2).collect();
    keep.sort_unstable();
    keep.dedup();
    let mut first: RawFd = 3;
    for fd in keep {
        if first < fd {
            close_range(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close_range(first, RawFd::MAX)
}

/// Closes every descriptor of this process above 2, as broken code does: nothing that owns one is
/// asked. For those who want to see that nobody else is hurt; the process is worth nothing after.
pub fn close_under_everybody() -> io::Result<()> {
    close_range(3, RawFd::MAX)
}

/// Makes descriptor 0 of this process /dev/null.
pub fn stdin_from_null() -> io::Result<()> {
    let null = OpenOptions::new().read(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdin(null)?)
}

/// An eventfd that does not block, counting from 0.
pub fn doorbell() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// An eventfd whose readers wait, counting from 0: for a ring's read of it.
pub fn bell() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC)?)
}

/// Adds one to the count of an eventfd that does not block. One whose count is full has rung.
pub fn ring(doorbell: BorrowedFd<'_>) {
    let _ = rustix::io::write(doorbell, &1u64.to_ne_bytes());
}

/// Takes the count of an eventfd that does not block; whether there was any.
pub fn take_count(doorbell: BorrowedFd<'_>) -> bool {
    // An error is "nothing there": the only other reason is a descriptor of another kind.
    rustix::io::read(doorbell, &mut [0u8; 8]).is_ok()
}

/// Makes sure that 0, 1 and 2 are open, so that no socket ever takes the number of a standard
/// stream that the caller had closed.
pub fn fill_standard_streams() -> io::Result<()> {
    loop {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        if null.as_raw_fd() > 2 {
            return Ok(());
        }
        // The number is one of the standard streams now and stays open for good.
        std::mem::forget(null);
    }
}

/// A second descriptor for the same open file.
pub fn duplicate(fd: impl AsFd) -> io::Result<OwnedFd> {
    let copy = dup(fd)?;
    rustix::io::fcntl_setfd(&copy, rustix::io::FdFlags::CLOEXEC)?;
    Ok(copy)
}

/// Whether an operation failed because its descriptor is no socket.
pub fn is_not_a_socket(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOTSOCK)
}

/// Whether something failed because this process, or the whole system, has no descriptor left.
#[must_use]
pub fn are_used_up(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    // SAFETY: close_range takes no pointers. Descriptors closed here may be owned by values of
    // this process. `close_all_but` holds a `Forked`, whose process never uses or drops such a
    // value, so no value acts on a number that was given out again. `close_under_everybody` lets
    // that happen on purpose: calls then fail or reach another file, no memory is touched.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes ownership of a descriptor that a system call has just returned.
///
/// # Safety
/// `fd` must be open and owned by nothing else.
pub(super) unsafe fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the caller promises that `fd` is open and has no other owner.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Any owner of a descriptor, made from another: for types of libraries that can only be built
/// from a raw one.
#[must_use]
pub fn from_owned_fd<T: FromRawFd>(fd: OwnedFd) -> T {
    // SAFETY: FromRawFd asks for an open descriptor that nobody else owns; `into_raw_fd` gives up
    // exactly that.
    unsafe { T::from_raw_fd(fd.into_raw_fd()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::{read, write};

    #[test]
    fn a_doorbell_counts() {
        let bell = doorbell().unwrap();
        let mut word = [0; 8];
        assert!(read(&bell, &mut word).is_err(), "an eventfd at 0 has nothing to read");
        write(&bell, &3u64.to_ne_bytes()).unwrap();
        let copy = duplicate(&bell).unwrap();
        read(&copy, &mut word).unwrap();
        assert_eq!(u64::from_ne_bytes(word), 3);
    }
}
