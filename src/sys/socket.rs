//! Calls on a connection's socket that are made off the hot path, where a system call of its own
//! is cheaper than a ring operation that may run on a kernel thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown, sockopt};

/// Send the peer our FIN; it can still send.
///
/// # Errors
/// `ENOTCONN` when the peer has reset the connection.
pub fn shutdown_write(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(shutdown(socket, Shutdown::Write)?)
}

/// Have the close of `socket` throw away what the peer has not read, with a reset (SO_LINGER 0):
/// otherwise the kernel keeps it for minutes.
///
/// # Errors
/// As setsockopt(2).
pub fn discard_on_close(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(sockopt::set_socket_linger(socket, Some(Duration::ZERO))?)
}

/// Take the next connection of a non-blocking listener's queue; `None` when it is empty.
///
/// # Errors
/// As accept4(2), but for errors that belong to a single connection, which are skipped.
pub fn accept_one(listener: impl AsFd) -> io::Result<Option<OwnedFd>> {
    loop {
        match accept_with(&listener, SocketFlags::CLOEXEC) {
            Ok(socket) => return Ok(Some(socket)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR | Errno::CONNABORTED | Errno::PROTO) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
