//! Messages between the supervisor and one child: a pair of SEQPACKET sockets.
//!
//! The message types live here, because neither side may use the other's module. A message is a
//! few bytes: one for its kind, then its fields in little-endian order. Message bounds are kept
//! by the socket; the other side may be broken, so whatever it sends is decoded as input.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};

/// What the supervisor tells a child.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ToChild {
    /// Stop for good: the listeners drop new clients already. Accept until empty, close them and
    /// say `AcceptClosed`; answer what runs with `Connection: close`; cancel what still runs
    /// when `grace` is over; then exit with 0.
    Drain {
        /// How long what runs may take.
        grace: Duration,
    },
    /// Leave at once; nothing is finished.
    Stop,
}

/// What a child tells the supervisor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FromChild {
    /// The accept queue was emptied and the child's copies of its listeners are closed.
    AcceptClosed,
    /// The child cannot go on and says why before it exits.
    Failed {
        /// The exit code that it will use.
        code: u8,
        /// One line for people: what failed and what to do.
        text: String,
    },
    /// The child serves.
    Ready,
    /// The child was told by a signal to leave: it accepts nothing more, finishes what it has,
    /// and its listeners need a successor now.
    Retiring,
}

/// One end. Neither end ever blocks.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
}

/// Both ends of a new channel.
pub fn pair() -> io::Result<(Channel, Channel)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    Ok((Channel { socket: one }, Channel { socket: other }))
}

/// What a look into the channel found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Received<M> {
    /// The other end is closed and nothing is left to read.
    Closed,
    /// Something that is not a message: the other side is broken.
    Malformed,
    /// A message.
    Message(M),
    /// Nothing now.
    Nothing,
}

/// A message with its bytes.
pub trait Message: Sized {
    /// Appends the bytes.
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads it back; `None` when the bytes are not one.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

impl Channel {
    /// Sends a message; an error also when the other end is gone or its queue is full.
    pub fn send(&self, message: &impl Message) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(MESSAGE_BYTES_MAX);
        message.encode(&mut bytes);
        loop {
            match send(&self.socket, &bytes, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes the next message.
    pub fn receive<M: Message>(&self) -> io::Result<Received<M>> {
        let mut bytes = [0u8; MESSAGE_BYTES_MAX];
        loop {
            let length = match recv(&self.socket, &mut bytes, RecvFlags::empty()) {
                Ok((0, _)) | Err(Errno::CONNRESET) => return Ok(Received::Closed),
                Ok((length, _)) => length,
                Err(Errno::AGAIN) => return Ok(Received::Nothing),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            return Ok(M::decode(&bytes[..length]).map_or(Received::Malformed, Received::Message));
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Message for ToChild {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Drain { grace } => {
                out.push(DRAIN);
                let milliseconds = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
                out.extend_from_slice(&milliseconds.to_le_bytes());
            }
            Self::Stop => out.push(STOP),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&DRAIN, rest) => {
                let milliseconds = u64::from_le_bytes(rest.try_into().ok()?);
                Some(Self::Drain { grace: Duration::from_millis(milliseconds) })
            }
            (&STOP, []) => Some(Self::Stop),
            _ => None,
        }
    }
}

impl Message for FromChild {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::AcceptClosed => out.push(ACCEPT_CLOSED),
            Self::Failed { code, text } => {
                out.push(FAILED);
                out.push(*code);
                let end = text.floor_char_boundary(MESSAGE_BYTES_MAX - 2);
                out.extend_from_slice(&text.as_bytes()[..end]);
            }
            Self::Ready => out.push(READY),
            Self::Retiring => out.push(RETIRING),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&ACCEPT_CLOSED, []) => Some(Self::AcceptClosed),
            (&FAILED, [code, text @ ..]) => {
                let text = String::from_utf8_lossy(text).into_owned();
                Some(Self::Failed { code: *code, text })
            }
            (&READY, []) => Some(Self::Ready),
            (&RETIRING, []) => Some(Self::Retiring),
            _ => None,
        }
    }
}

/// Longest message in bytes; a longer text is cut.
const MESSAGE_BYTES_MAX: usize = 512;

const DRAIN: u8 = b'D';
const STOP: u8 = b'S';
const ACCEPT_CLOSED: u8 = b'c';
const FAILED: u8 = b'f';
const READY: u8 = b'r';
const RETIRING: u8 = b't';

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    #[track_caller]
    fn check<M: Message + Debug + PartialEq>(message: M) {
        let (one, other) = pair().unwrap();
        assert_eq!(other.receive::<M>().unwrap(), Received::Nothing);
        one.send(&message).unwrap();
        assert_eq!(other.receive().unwrap(), Received::Message(message));
        drop(one);
        assert_eq!(other.receive::<M>().unwrap(), Received::Closed);
    }

    #[test]
    fn messages_come_back() {
        check(ToChild::Drain { grace: Duration::from_millis(12_345) });
        check(ToChild::Stop);
        check(FromChild::AcceptClosed);
        check(FromChild::Failed { code: 71, text: "no memory: raise memlock".into() });
        check(FromChild::Failed { code: 0, text: String::new() });
        check(FromChild::Ready);
        check(FromChild::Retiring);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let (one, other) = pair().unwrap();
        one.send(&FromChild::Failed { code: 1, text: "ä".repeat(1000) }).unwrap();
        let Received::Message(FromChild::Failed { text, .. }) = other.receive().unwrap() else {
            panic!("the message did not come back");
        };
        assert_eq!(text, "ä".repeat(255));
    }

    #[test]
    fn what_is_no_message_is_malformed() {
        for bytes in [&b"?"[..], b"D", b"D1234567", b"S1", b"r1", b"\0"] {
            assert_eq!(ToChild::decode(bytes), None, "{bytes:?}");
        }
        for bytes in [&b""[..], b"f", b"rr", b"c\0", b"D"] {
            assert_eq!(FromChild::decode(bytes), None, "{bytes:?}");
        }
        let (one, other) = pair().unwrap();
        send(&one.socket, b"nonsense", SendFlags::NOSIGNAL).unwrap();
        assert_eq!(other.receive::<ToChild>().unwrap(), Received::Malformed);
    }

    #[test]
    fn sending_to_nobody_is_an_error() {
        let (one, other) = pair().unwrap();
        drop(other);
        assert!(one.send(&ToChild::Stop).is_err());
    }
}
