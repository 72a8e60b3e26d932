//! Calls on a connection's socket that are made off the hot path, where a system call of its own
//! is cheaper than a ring operation that may run on a kernel thread.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
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

/// A stretch of memory for [`send_now`].
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// Where it begins.
    pub start: *const u8,
    /// How many bytes it has.
    pub bytes: usize,
}

/// Send as much of these stretches, one behind the other, as the socket takes without waiting; 0
/// if it takes nothing now.
///
/// # Errors
/// As sendmsg(2).
///
/// # Safety
/// Each stretch must be readable while this runs. Others may write there meanwhile: the peer then
/// gets what the kernel finds.
pub unsafe fn send_now(socket: BorrowedFd<'_>, stretches: &[Stretch]) -> io::Result<usize> {
    let mut pieces = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; STRETCHES_MAX];
    let count = stretches.len().min(STRETCHES_MAX);
    for (piece, stretch) in pieces.iter_mut().zip(stretches) {
        piece.iov_base = stretch.start.cast_mut().cast();
        piece.iov_len = stretch.bytes;
    }
    // SAFETY: msghdr is a plain C struct of integers and pointers, for which all zeroes is a valid
    // value: no name, no pieces, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = pieces.as_mut_ptr();
    message.msg_iovlen = count;
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: `message` describes `count` pieces in `pieces`, both alive across the call; each of
    // them is readable for its length (duty of the caller), and sendmsg writes to none.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
    match usize::try_from(sent) {
        Ok(sent) => Ok(sent),
        Err(_) => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            error => Err(error),
        },
    }
}

/// Most stretches of one send: the head of an answer, and slot and blocks of its body.
pub const STRETCHES_MAX: usize = 24;

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
