//! Many connections from one thread: nonblocking sockets and poll(2), nothing more.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{set_socket_linger, set_socket_recv_buffer_size};

use super::client::PATIENCE;

/// One connection of a swarm.
#[derive(Debug)]
pub(crate) struct Bee {
    stream: TcpStream,
    /// What was received, up to a bound that is enough for a status line and its fields.
    pub(crate) received: Vec<u8>,
    /// Everything received, counted.
    pub(crate) received_bytes: usize,
    /// The peer ended the connection, or sending to it failed.
    pub(crate) ended: bool,
}

impl Bee {
    /// Sends what fits; an error ends the bee.
    fn send(&mut self, bytes: &[u8]) {
        match self.stream.write(bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.ended = true,
        }
    }

    fn receive(&mut self) {
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.ended = true,
            Ok(count) => {
                self.received_bytes += count;
                let room = RECEIVED_MAX.saturating_sub(self.received.len());
                self.received.extend_from_slice(&chunk[..count.min(room)]);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.ended = true,
        }
    }
}

/// Connections that all do the same.
#[derive(Debug)]
pub(crate) struct Swarm {
    pub(crate) bees: Vec<Bee>,
}

impl Swarm {
    /// Connects `count` times and sends each the same first bytes.
    pub(crate) fn connect(address: SocketAddr, count: usize, first: &[u8]) -> Swarm {
        let bees = (0..count).map(|_| bee(address, first, None)).collect();
        Swarm { bees }
    }

    /// The same with a small receive buffer, so that an unread answer stays with the sender.
    pub(crate) fn connect_narrow(address: SocketAddr, count: usize, first: &[u8]) -> Swarm {
        let bees = (0..count).map(|_| bee(address, first, Some(8 << 10))).collect();
        Swarm { bees }
    }

    /// Sends the same bytes on every connection that is still there.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        for bee in self.bees.iter_mut().filter(|bee| !bee.ended) {
            bee.send(bytes);
        }
    }

    /// Reads whatever comes within `span`; returns early once every connection has ended.
    pub(crate) fn receive_for(&mut self, span: Duration) {
        let deadline = Instant::now() + span;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).expect("a span fits a timespec");
            let mut live: Vec<&mut Bee> = self.bees.iter_mut().filter(|bee| !bee.ended).collect();
            if live.is_empty() {
                return;
            }
            let mut fds: Vec<PollFd> =
                live.iter().map(|bee| PollFd::new(&bee.stream, PollFlags::IN)).collect();
            let _ = poll(&mut fds, Some(&timeout));
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(fds);
            for (bee, _) in live.iter_mut().zip(&ready).filter(|(_, ready)| **ready) {
                bee.receive();
            }
            if left.is_zero() {
                return;
            }
        }
    }

    /// Reads until the condition holds for every connection.
    #[track_caller]
    pub(crate) fn receive_until(&mut self, what: &str, condition: impl Fn(&Bee) -> bool) {
        let deadline = Instant::now() + 3 * PATIENCE;
        while !self.bees.iter().all(&condition) {
            let missing = self.bees.iter().filter(|bee| !condition(bee)).count();
            assert!(Instant::now() < deadline, "{what}: {missing} of {} not", self.bees.len());
            self.receive_for(Duration::from_millis(20));
        }
    }

    /// How many are still connected.
    pub(crate) fn alive(&self) -> usize {
        self.bees.iter().filter(|bee| !bee.ended).count()
    }

    /// Ends every connection with a RST.
    pub(crate) fn reset(self) {
        for bee in self.bees {
            // A socket that the peer has reset already refuses the option; it is closed anyway.
            let _ = set_socket_linger(&bee.stream, Some(Duration::ZERO));
        }
    }
}

fn bee(address: SocketAddr, first: &[u8], window: Option<usize>) -> Bee {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)
        .unwrap_or_else(|error| panic!("connect to {address} failed: {error}"));
    if let Some(bytes) = window {
        set_socket_recv_buffer_size(&stream, bytes).expect("SO_RCVBUF is settable");
    }
    stream.set_nodelay(true).expect("TCP_NODELAY is settable");
    stream.set_nonblocking(true).expect("O_NONBLOCK is settable");
    let mut bee = Bee { stream, received: vec![], received_bytes: 0, ended: false };
    if !first.is_empty() {
        bee.send(first);
    }
    bee
}

/// How much of an answer a bee keeps.
const RECEIVED_MAX: usize = 4 << 10;
