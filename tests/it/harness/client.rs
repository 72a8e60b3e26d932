//! A client that sends exactly the bytes it is given and reads exactly one response at a time.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{set_socket_linger, set_socket_recv_buffer_size};
use rustix::net::{AddressFamily, SocketType, connect, socket};

use super::response::{Asked, Response, parse, show};

/// How long anything may take that takes microseconds on a quiet machine. A test that waits this
/// long has failed; nothing is ever asserted to be faster.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How the peer ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Reset,
}

/// One connection and what was read from it but not yet used.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    end: Option<End>,
}

impl Client {
    /// Connects, without delay of small segments, with a deadline on every read and write.
    pub(crate) fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address)
            .unwrap_or_else(|error| panic!("connect to {address} failed: {error}"))
    }

    /// Connects with a small receive buffer, so that what this client does not read stays with the
    /// server. The buffer is set before the handshake: the segments of the server are at most half
    /// of the largest window it was ever offered, and a window that shrinks below one segment
    /// later leaves the whole transfer to the probes of a timer.
    pub(crate) fn connect_narrow(address: SocketAddr) -> Client {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("sockets exist");
        set_socket_recv_buffer_size(&socket, 16 << 10).expect("SO_RCVBUF is settable");
        connect(&socket, &address)
            .unwrap_or_else(|error| panic!("connect to {address} failed: {error}"));
        Client::new(TcpStream::from(socket)).expect("options of a new socket are settable")
    }

    /// Like `connect`, for tests in which the refusal is an expected outcome.
    pub(crate) fn try_connect(address: SocketAddr) -> std::io::Result<Client> {
        Client::new(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    fn new(stream: TcpStream) -> std::io::Result<Client> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { stream, buffer: vec![], end: None })
    }

    /// A second handle, to write from another thread while this one reads.
    pub(crate) fn writer(&self) -> TcpStream {
        self.stream.try_clone().expect("a socket can be duplicated")
    }

    /// Sends all of `bytes`.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).map_err(|error| format!("send failed: {error}"))
    }

    /// Ends our direction: a FIN, as a client does that wants its answer and nothing more.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        self.stream.shutdown(Shutdown::Write).map_err(|error| format!("FIN failed: {error}"))
    }

    /// Ends both directions with a RST.
    pub(crate) fn reset(self) {
        set_socket_linger(&self.stream, Some(Duration::ZERO)).expect("SO_LINGER is settable");
    }

    /// Reads exactly one response; what follows it stays in the buffer.
    pub(crate) fn response(&mut self, asked: Asked) -> Result<Response, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((response, used)) = parse(&self.buffer, asked, self.end.is_some())? {
                if response.framing == super::response::Framing::Close
                    && self.end == Some(End::Reset)
                {
                    return Err("a body delimited by the close was cut by a reset".into());
                }
                self.buffer.drain(..used);
                return Ok(response);
            }
            if Instant::now() > deadline {
                return Err(format!("no whole answer; so far {}", show(&self.buffer)));
            }
            self.fill()?;
        }
    }

    /// Reads one response as a slow client does, so many bytes every 50 ms.
    pub(crate) fn response_slowly(
        &mut self,
        asked: Asked,
        bytes: usize,
    ) -> Result<Response, String> {
        let mut due = Instant::now();
        loop {
            if let Some((response, used)) = parse(&self.buffer, asked, self.end.is_some())? {
                self.buffer.drain(..used);
                return Ok(response);
            }
            due += SLOW_STEP;
            super::pause(due.saturating_duration_since(Instant::now()));
            let read = self.buffer.len() + bytes;
            while self.buffer.len() < read && self.end.is_none() {
                self.fill_at_most(read - self.buffer.len())?;
            }
        }
    }

    /// Sends a request and reads its final answer, passing interim ones.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<Response, String> {
        self.send(request)?;
        self.final_response(Asked { head: request.starts_with(b"HEAD "), http10: false })
    }

    /// The next answer that is not an interim one.
    pub(crate) fn final_response(&mut self, asked: Asked) -> Result<Response, String> {
        loop {
            let response = self.response(asked)?;
            if response.status >= 200 {
                return Ok(response);
            }
        }
    }

    /// A plain GET.
    pub(crate) fn get(&mut self, target: &str) -> Result<Response, String> {
        self.exchange(format!("GET {target} HTTP/1.1\r\nHost: it\r\n\r\n").as_bytes())
    }

    /// Reads until at least `count` bytes are there, and takes whatever came.
    pub(crate) fn take_raw(&mut self, count: usize) -> Result<Vec<u8>, String> {
        while self.buffer.len() < count {
            if let Some(end) = self.end {
                return Err(format!("{end:?} after {} raw bytes", self.buffer.len()));
            }
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Reads until the peer ends the connection, and takes whatever came.
    pub(crate) fn take_all(&mut self) -> Result<Vec<u8>, String> {
        while self.end.is_none() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// The peer must end the connection without a further byte.
    pub(crate) fn expect_close(&mut self) -> Result<End, String> {
        while self.end.is_none() && self.buffer.is_empty() {
            self.fill().map_err(|fault| format!("not closed: {fault}"))?;
        }
        match self.end {
            Some(end) if self.buffer.is_empty() => Ok(end),
            _ => Err(format!("bytes where the close was due: {}", show(&self.buffer))),
        }
    }

    /// Neither a byte nor an end may come for `span`.
    pub(crate) fn expect_quiet(&mut self, span: Duration) -> Result<(), String> {
        if self.end.is_none() && self.buffer.is_empty() && !self.readable(span) {
            return Ok(());
        }
        if self.buffer.is_empty() && self.end.is_none() {
            self.fill()?;
        }
        Err(format!("not quiet: {:?} {}", self.end, show(&self.buffer)))
    }

    /// Waits up to `span` for something to read; says whether there is.
    pub(crate) fn readable(&self, span: Duration) -> bool {
        let timeout = Timespec::try_from(span).expect("a span fits a timespec");
        let mut fds = [PollFd::new(&self.stream, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&timeout)), Ok(count) if count > 0)
    }

    /// Whether bytes were read that no response has used.
    pub(crate) fn has_rest(&self) -> bool {
        !self.buffer.is_empty()
    }

    fn fill(&mut self) -> Result<(), String> {
        self.fill_at_most(64 << 10)
    }

    fn fill_at_most(&mut self, bytes: usize) -> Result<(), String> {
        let mut chunk = vec![0; bytes];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.end = Some(End::Fin),
            Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
            Err(error) => match error.kind() {
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => self.end = Some(End::Reset),
                ErrorKind::Interrupted => {}
                ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                    return Err(format!("nothing came for {PATIENCE:?}"));
                }
                _ => return Err(format!("read failed: {error}")),
            },
        }
        Ok(())
    }
}

/// How often a slow client reads.
const SLOW_STEP: Duration = Duration::from_millis(50);
