//! One connection and the request that is on it. It never blocks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use super::judge::{Judged, Model, Reading};
use super::outcome::Fate;
use super::request::Request;
use super::tally::Asked;

/// A place for a connection; it is opened and closed many times.
#[derive(Default)]
pub(super) struct Connection {
    stream: Option<TcpStream>,
    pub(super) flight: Option<Flight>,
}

/// A request between its first byte and the last of its answer.
pub(super) struct Flight {
    pub(super) asked: Asked,
    /// Bytes of the request that the kernel has taken.
    written: usize,
    /// The connection was opened for this request and has taken nothing yet.
    connecting: bool,
    reading: Reading,
}

/// How a request ended.
pub(super) enum End {
    Answer(Judged),
    Failure(Fate),
}

impl Connection {
    /// Opens it and waits until that is done, as before a load.
    pub(super) fn open(
        &mut self,
        address: SocketAddr,
        patience: Duration,
    ) -> io::Result<&TcpStream> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(self.stream.insert(stream))
    }

    /// Begins to open it.
    pub(super) fn begin_to_open(&mut self, address: SocketAddr) -> io::Result<&TcpStream> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket: OwnedFd = net::socket_with(family, SocketType::STREAM, flags, None)?;
        net::sockopt::set_tcp_nodelay(&socket, true)?;
        match net::connect(&socket, &address) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {
                Ok(self.stream.insert(TcpStream::from(socket)))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn close(&mut self) {
        self.stream = None;
    }

    pub(super) fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Puts a request on it; `fresh` when it was opened for it.
    pub(super) fn take(&mut self, asked: Asked, fresh: bool) {
        assert!(self.flight.is_none(), "one request at a time");
        let reading = Reading::default();
        self.flight = Some(Flight { asked, written: 0, connecting: fresh, reading });
    }

    /// Writes what is left of the request. An end is a failure.
    pub(super) fn write(&mut self, request: &mut Request) -> Option<End> {
        let (Some(stream), Some(flight)) = (&mut self.stream, &mut self.flight) else {
            return None;
        };
        let bytes = request.bytes(flight.asked.number);
        while flight.written < bytes.len() {
            match stream.write(&bytes[flight.written..]) {
                Ok(length) => {
                    flight.written += length;
                    flight.connecting = false;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) if flight.connecting => return Some(End::Failure(Fate::Refused)),
                Err(_) => return Some(End::Failure(Fate::WriteFailed)),
            }
        }
        None
    }

    /// Reads what is there, up to the end of the answer. Where the other side has hung up, that is
    /// read too: the news comes only once, and may have come together with the last bytes.
    pub(super) fn read(&mut self, model: &Model, hung_up: bool, buffer: &mut [u8]) -> Option<End> {
        let (Some(stream), Some(flight)) = (&mut self.stream, &mut self.flight) else {
            return None;
        };
        loop {
            match stream.read(buffer) {
                Ok(0) => return Some(flight.closed(model)),
                Ok(length) => {
                    if let Some(judged) = flight.reading.feed(&buffer[..length], model) {
                        return Some(End::Answer(judged));
                    }
                    // The socket is empty; whatever comes later is a new event.
                    if length < buffer.len() && !hung_up {
                        return None;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Some(End::Failure(flight.broken())),
            }
        }
    }

    /// Whether nothing is on it and nothing has happened to it; bytes that nobody asked for are no
    /// better than a close.
    pub(super) fn is_quiet(&mut self, buffer: &mut [u8]) -> bool {
        let read = self.stream.as_mut().map(|stream| stream.read(buffer));
        matches!(read, Some(Err(error)) if error.kind() == ErrorKind::WouldBlock)
    }
}

impl Flight {
    fn closed(&self, model: &Model) -> End {
        match self.reading.close(model) {
            Ok(judged) => End::Answer(judged),
            Err(fate) => End::Failure(fate),
        }
    }

    fn broken(&self) -> Fate {
        match self {
            _ if self.reading.has_begun() => Fate::ResetAfter,
            _ if self.connecting => Fate::Refused,
            _ => Fate::LostBefore,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_no_connection_is_not_waited_for_as_long_as_the_kernel_would() {
        let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        net::listen(&socket, 0).unwrap();
        let listener = std::net::TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        let mut held = Vec::new();
        // The backlog takes a few before the kernel drops what comes.
        let error = loop {
            let mut connection = Connection::default();
            match connection.open(address, Duration::from_millis(50)) {
                Ok(_) => held.push(connection),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut, "behind {}", held.len());
    }
}
