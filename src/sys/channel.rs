//! Messages between the supervisor and one child: a pair of SEQPACKET sockets.
//!
//! The message types live here, because neither side may use the other's module. A message is a
//! few bytes: one for its kind, then its fields in little-endian order. Message bounds are kept
//! by the socket; the other side may be broken, so whatever it sends is decoded as input.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, recvmsg, sendmsg, shutdown,
    socketpair,
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
    /// To a template: fork a worker, whose end of its channel comes along.
    Fork(WorkerNumber),
    /// Leave at once; nothing is finished.
    Stop,
}

/// Which worker of its pool a process is to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WorkerNumber {
    /// Its index.
    pub index: u16,
    /// + 1 per restart of that place.
    pub incarnation: u32,
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
    /// From a shard: the memory of a pool holds what nobody can have written who works, and it
    /// cannot be told who did.
    MemoryBroken {
        /// The pool.
        pool: u16,
    },
    /// The child serves; of a template: it has loaded, and forks workers.
    Ready,
    /// A worker lives, and has its parent. Its template started it, so the supervisor does not
    /// know its number yet.
    Started {
        /// The number of its process.
        pid: u32,
    },
    /// The child was told by a signal to leave: it accepts nothing more, finishes what it has,
    /// and its listeners need a successor now.
    Retiring,
    /// From a shard: this worker has written what cannot be, and is to be ended.
    WorkerBroken {
        /// The pool.
        pool: u16,
        /// Its index.
        worker: u8,
        /// Which of the lives of that place it was, as slots name it.
        incarnation: u16,
    },
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
    /// A second descriptor for the same end.
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(Self { socket: super::descriptors::duplicate(&self.socket)? })
    }

    /// Takes nothing more: from now on sending at the other end fails. What was sent before can
    /// still be taken.
    pub fn close_for_good(&self) {
        // It fails only when both ends are closed already.
        let _ = shutdown(&self.socket, Shutdown::Read);
    }

    /// Sends a message; an error also when the other end is gone or its queue is full.
    pub fn send(&self, message: &impl Message) -> io::Result<()> {
        self.send_all(message, &mut SendAncillaryBuffer::default())
    }

    /// Sends a message with the end of another channel.
    pub fn send_with(&self, message: &impl Message, channel: &Self) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut along = SendAncillaryBuffer::new(&mut space);
        let fds = [channel.as_fd()];
        if !along.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        }
        self.send_all(message, &mut along)
    }

    fn send_all(
        &self,
        message: &impl Message,
        along: &mut SendAncillaryBuffer<'_, '_, '_>,
    ) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(MESSAGE_BYTES_MAX);
        message.encode(&mut bytes);
        loop {
            match sendmsg(&self.socket, &[IoSlice::new(&bytes)], along, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes the next message.
    pub fn receive<M: Message>(&self) -> io::Result<Received<M>> {
        self.receive_with().map(|(received, _)| received)
    }

    /// Takes the next message, with the end of another channel if one came along.
    pub fn receive_with<M: Message>(&self) -> io::Result<(Received<M>, Option<Self>)> {
        let mut bytes = [0u8; MESSAGE_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut along = RecvAncillaryBuffer::new(&mut space);
        let length = loop {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            match recvmsg(&self.socket, &mut parts, &mut along, RecvFlags::CMSG_CLOEXEC) {
                Ok(message) if message.bytes == 0 => return Ok((Received::Closed, None)),
                Ok(message) => break message.bytes,
                Err(Errno::CONNRESET) => return Ok((Received::Closed, None)),
                Err(Errno::AGAIN) => return Ok((Received::Nothing, None)),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        let mut descriptors = along.drain().filter_map(|part| match part {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        let channel = descriptors.next().map(|socket| Self { socket });
        let message = M::decode(&bytes[..length]);
        Ok((message.map_or(Received::Malformed, Received::Message), channel))
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
            Self::Fork(WorkerNumber { index, incarnation }) => {
                out.push(FORK);
                out.extend_from_slice(&index.to_le_bytes());
                out.extend_from_slice(&incarnation.to_le_bytes());
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
            (&FORK, rest) => {
                let (index, incarnation) = rest.split_first_chunk()?;
                Some(Self::Fork(WorkerNumber {
                    index: u16::from_le_bytes(*index),
                    incarnation: u32::from_le_bytes(incarnation.try_into().ok()?),
                }))
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
            Self::MemoryBroken { pool } => {
                out.push(MEMORY_BROKEN);
                out.extend_from_slice(&pool.to_le_bytes());
            }
            Self::Ready => out.push(READY),
            Self::Retiring => out.push(RETIRING),
            Self::Started { pid } => {
                out.push(STARTED);
                out.extend_from_slice(&pid.to_le_bytes());
            }
            Self::WorkerBroken { pool, worker, incarnation } => {
                out.push(WORKER_BROKEN);
                out.extend_from_slice(&pool.to_le_bytes());
                out.push(*worker);
                out.extend_from_slice(&incarnation.to_le_bytes());
            }
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&ACCEPT_CLOSED, []) => Some(Self::AcceptClosed),
            (&FAILED, [code, text @ ..]) => {
                let text = String::from_utf8_lossy(text).into_owned();
                Some(Self::Failed { code: *code, text })
            }
            (&MEMORY_BROKEN, pool) => {
                Some(Self::MemoryBroken { pool: u16::from_le_bytes(pool.try_into().ok()?) })
            }
            (&READY, []) => Some(Self::Ready),
            (&RETIRING, []) => Some(Self::Retiring),
            (&STARTED, pid) => {
                Some(Self::Started { pid: u32::from_le_bytes(pid.try_into().ok()?) })
            }
            (&WORKER_BROKEN, &[low, high, worker, first, second]) => Some(Self::WorkerBroken {
                pool: u16::from_le_bytes([low, high]),
                worker,
                incarnation: u16::from_le_bytes([first, second]),
            }),
            _ => None,
        }
    }
}

/// Longest message in bytes; a longer text is cut.
const MESSAGE_BYTES_MAX: usize = 512;

const DRAIN: u8 = b'D';
const FORK: u8 = b'F';
const STOP: u8 = b'S';
const ACCEPT_CLOSED: u8 = b'c';
const FAILED: u8 = b'f';
const MEMORY_BROKEN: u8 = b'm';
const READY: u8 = b'r';
const RETIRING: u8 = b't';
const STARTED: u8 = b's';
const WORKER_BROKEN: u8 = b'w';

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
        check(ToChild::Fork(WorkerNumber { index: 513, incarnation: 70_000 }));
        check(ToChild::Stop);
        check(FromChild::AcceptClosed);
        check(FromChild::Failed { code: 71, text: "no memory: raise memlock".into() });
        check(FromChild::Failed { code: 0, text: String::new() });
        check(FromChild::MemoryBroken { pool: 258 });
        check(FromChild::Ready);
        check(FromChild::Retiring);
        check(FromChild::Started { pid: 4_000_000 });
        check(FromChild::WorkerBroken { pool: 258, worker: 7, incarnation: 4095 });
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
        for bytes in [&b"?"[..], b"D", b"D1234567", b"F12345", b"F", b"S1", b"r1", b"\0"] {
            assert_eq!(ToChild::decode(bytes), None, "{bytes:?}");
        }
        for bytes in [&b""[..], b"f", b"rr", b"c\0", b"s123", b"D", b"m1", b"w123", b"w12345x"] {
            assert_eq!(FromChild::decode(bytes), None, "{bytes:?}");
        }
        let (one, other) = pair().unwrap();
        rustix::net::send(&one.socket, b"nonsense", SendFlags::NOSIGNAL).unwrap();
        assert_eq!(other.receive::<ToChild>().unwrap(), Received::Malformed);
    }

    #[test]
    fn a_channel_travels_through_a_channel() {
        let (one, other) = pair().unwrap();
        let (ours, theirs) = pair().unwrap();
        one.send_with(&ToChild::Stop, &theirs).unwrap();
        one.send(&ToChild::Stop).unwrap();
        drop(theirs);
        let (message, theirs) = other.receive_with().unwrap();
        assert_eq!(message, Received::Message(ToChild::Stop));
        theirs.unwrap().send(&FromChild::Ready).unwrap();
        assert_eq!(ours.receive().unwrap(), Received::Message(FromChild::Ready));
        assert_eq!(ours.receive::<FromChild>().unwrap(), Received::Closed);
        let (message, nothing) = other.receive_with().unwrap();
        assert_eq!(message, Received::Message(ToChild::Stop));
        assert!(nothing.is_none());
        assert_eq!(other.receive::<ToChild>().unwrap(), Received::Nothing);
    }

    #[test]
    fn a_closed_channel_gives_out_what_it_has_and_takes_no_more() {
        let (one, other) = pair().unwrap();
        one.send(&FromChild::Ready).unwrap();
        other.close_for_good();
        assert!(one.send(&FromChild::Ready).is_err());
        assert_eq!(other.receive().unwrap(), Received::Message(FromChild::Ready));
        assert_eq!(other.receive::<FromChild>().unwrap(), Received::Closed);
    }

    #[test]
    fn sending_to_nobody_is_an_error() {
        let (one, other) = pair().unwrap();
        drop(other);
        assert!(one.send(&ToChild::Stop).is_err());
    }
}
