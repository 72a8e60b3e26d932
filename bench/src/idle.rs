//! Connections that were served once and then say nothing: what they cost in memory and in CPU.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::{self, Display};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::interrupt;
use crate::reading::Reading;
use crate::result::Quantity;
use crate::runner::usage;
use crate::subject::{Route, Running};

/// Holds 2,000 and then 10,000 connections, and lets them say nothing for `idle`.
pub(crate) fn measure(running: &mut Running, idle: Duration) -> Result<Reading, Box<dyn Error>> {
    running.check(Route::Plaintext)?;
    let usage = || {
        let tree = usage::tree(&running.roots())?;
        Ok(Usage { cpu_ns: tree.cpu_ns, memory_bytes: usage::proportional_bytes(&tree)? })
    };
    let found = hold(running.address(), COUNTS, idle, usage)?;
    running.check(Route::Plaintext)?;
    Ok(Reading {
        figures: BTreeMap::from([
            (Quantity::IdleBytes, found.bytes_per_connection),
            (Quantity::IdleCpuPercent, found.cpu_percent),
        ]),
        // One when it was opened, one when it was over.
        requests: 2 * COUNTS.many as u64,
        ..Reading::default()
    })
}

/// What idle connections cost.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Idle {
    bytes_per_connection: f64,
    cpu_percent: f64,
}

/// What the process tree of a server uses at one moment.
#[derive(Clone, Copy, Debug)]
struct Usage {
    cpu_ns: u64,
    memory_bytes: u64,
}

/// How many connections the memory is read at. The first are there so that what a server takes
/// once, however late, is in both readings.
#[derive(Clone, Copy, Debug)]
struct Counts {
    few: usize,
    many: usize,
}

/// Why there are no figures.
#[derive(Debug)]
enum IdleError {
    /// Of the connections that were asked for, the server took only so many.
    Refused {
        held: usize,
        asked: usize,
        why: io::Error,
    },
    /// So many were closed while they said nothing.
    Closed {
        gone: usize,
        asked: usize,
    },
    Io(io::Error),
}

/// Opens the connections, reads the memory of the server twice, and then its CPU for `idle`.
fn hold(
    address: SocketAddr,
    counts: Counts,
    idle: Duration,
    mut usage: impl FnMut() -> io::Result<Usage>,
) -> Result<Idle, IdleError> {
    let mut connections = Vec::with_capacity(counts.many);
    let held = hold_all(&mut connections, address, counts, idle, &mut usage);
    // Also when it failed: ten thousand of TIME_WAIT would slow the next subject down.
    reset(&connections)?;
    held
}

fn hold_all(
    connections: &mut Vec<TcpStream>,
    address: SocketAddr,
    counts: Counts,
    idle: Duration,
    usage: &mut impl FnMut() -> io::Result<Usage>,
) -> Result<Idle, IdleError> {
    open(connections, address, counts.few, counts.many)?;
    let few = usage()?;
    open(connections, address, counts.many, counts.many)?;
    let before = usage()?;
    let start = Instant::now();
    interrupt::sleep(idle)?;
    let after = usage()?;
    let elapsed_ns = start.elapsed().as_nanos() as f64;
    // All of them must still be there, or nothing was measured.
    let gone = connections.iter_mut().filter_map(|each| serve(each).err()).count();
    if gone > 0 {
        return Err(IdleError::Closed { gone, asked: counts.many });
    }
    let grown = before.memory_bytes as f64 - few.memory_bytes as f64;
    Ok(Idle {
        bytes_per_connection: grown / (counts.many - counts.few) as f64,
        cpu_percent: after.cpu_ns.saturating_sub(before.cpu_ns) as f64 / elapsed_ns * 100.0,
    })
}

fn open(
    connections: &mut Vec<TcpStream>,
    address: SocketAddr,
    until: usize,
    asked: usize,
) -> Result<(), IdleError> {
    while connections.len() < until {
        interrupt::check()?;
        let opened = connect(address).map_err(|why| match why.raw_os_error() {
            // Ours ran out, not theirs.
            Some(libc::EMFILE | libc::ENFILE | libc::EADDRNOTAVAIL) => IdleError::Io(why),
            _ => IdleError::Refused { held: connections.len(), asked, why },
        })?;
        connections.push(opened);
    }
    Ok(())
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let mut connection = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?;
    connection.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    serve(&mut connection)?;
    Ok(connection)
}

/// One request and its answer, which is shorter than the buffer.
fn serve(connection: &mut TcpStream) -> io::Result<()> {
    connection.write_all(b"GET /plaintext HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    let mut answer = [0; 1024];
    let mut length = 0;
    while !answer[..length].ends_with(b"Hello, World!") {
        match connection.read(&mut answer[length..])? {
            0 => return Err(io::Error::other("closed without a right answer")),
            count => length += count,
        }
    }
    Ok(())
}

fn reset(connections: &[TcpStream]) -> io::Result<()> {
    for connection in connections {
        rustix::net::sockopt::set_socket_linger(connection, Some(Duration::ZERO))?;
    }
    Ok(())
}

impl From<io::Error> for IdleError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Display for IdleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { held, asked, why } => {
                write!(f, "it took {held} of {asked} connections, then: {why}")
            }
            Self::Closed { gone, asked } => {
                write!(f, "it closed {gone} of {asked} connections while they were idle")
            }
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl Error for IdleError {}

/// What the promises are about.
const COUNTS: Counts = Counts { few: 2_000, many: 10_000 };
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Serves so many connections and holds the others' place without a word, or closes each
    /// connection behind its first answer.
    fn server(takes: usize, closes: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().take(takes) {
                let mut stream = stream.unwrap();
                thread::spawn(move || while answer(&mut stream) && !closes {});
            }
        });
        address
    }

    fn answer(stream: &mut TcpStream) -> bool {
        let read = stream.read(&mut [0; 1024]);
        matches!(read, Ok(1..))
            && stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, World!")
                .is_ok()
    }

    /// Memory and CPU that grow with each reading.
    fn growing() -> impl FnMut() -> io::Result<Usage> {
        let mut reading = 0;
        move || {
            reading += 1;
            Ok(Usage { cpu_ns: reading * 1_000, memory_bytes: reading * 4_000 })
        }
    }

    const SMALL: Counts = Counts { few: 4, many: 24 };
    const IDLE: Duration = Duration::from_millis(1);

    #[test]
    fn memory_is_divided_among_the_added_connections() {
        let idle = hold(server(100, false), SMALL, IDLE, growing()).unwrap();
        assert!((idle.bytes_per_connection - 200.0).abs() < 1e-9);
        assert!(idle.cpu_percent > 0.0 && idle.cpu_percent <= 0.1, "{idle:?}");
    }

    #[test]
    fn a_server_that_takes_too_few_is_named_with_how_many() {
        let error = hold(server(10, false), SMALL, IDLE, growing()).unwrap_err();
        assert!(error.to_string().starts_with("it took 10 of 24 connections"), "{error}");
    }

    #[test]
    fn connections_that_go_are_missed() {
        let error = hold(server(100, true), SMALL, IDLE, growing()).unwrap_err();
        assert_eq!(error.to_string(), "it closed 24 of 24 connections while they were idle");
    }
}
