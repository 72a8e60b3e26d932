//! Connections that were served once and then say nothing: what they cost in memory and in CPU.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::usage;

/// What idle connections cost.
pub(super) struct Idle {
    pub(super) bytes_per_connection: f64,
    pub(super) cpu_percent: f64,
}

/// Opens the connections, reads the memory of the tree below `process` twice, and then its CPU.
pub(super) fn measure(address: SocketAddr, process: u32, idle: Duration) -> io::Result<Idle> {
    let mut connections = Vec::new();
    open(&mut connections, address, FEW)?;
    let few = usage::proportional_bytes(&usage::tree(process)?)?;
    open(&mut connections, address, MANY)?;
    let many = usage::proportional_bytes(&usage::tree(process)?)?;
    let before = usage::tree(process)?;
    let start = Instant::now();
    std::thread::sleep(idle);
    let after = usage::tree(process)?;
    let elapsed = start.elapsed().as_nanos() as f64;
    // All of them must still be there, or nothing was measured.
    for connection in &mut connections {
        serve(connection)?;
    }
    reset(&connections)?;
    Ok(Idle {
        bytes_per_connection: (many as f64 - few as f64) / (MANY - FEW) as f64,
        cpu_percent: (after.cpu_ns - before.cpu_ns) as f64 / elapsed * 100.0,
    })
}

fn open(connections: &mut Vec<TcpStream>, address: SocketAddr, count: usize) -> io::Result<()> {
    while connections.len() < count {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        serve(&mut connection)?;
        connections.push(connection);
    }
    Ok(())
}

/// One request and its answer, which is shorter than the buffer.
fn serve(connection: &mut TcpStream) -> io::Result<()> {
    connection.write_all(b"GET /plaintext HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    let mut answer = [0; 1024];
    let mut length = 0;
    while !answer[..length].ends_with(b"Hello, World!") {
        match connection.read(&mut answer[length..])? {
            0 => return Err(io::Error::other("an idle connection was closed")),
            count => length += count,
        }
    }
    Ok(())
}

/// Leaves no TIME_WAIT behind: ten thousand of them would slow the next subject down.
fn reset(connections: &[TcpStream]) -> io::Result<()> {
    for connection in connections {
        rustix::net::sockopt::set_socket_linger(connection, Some(Duration::ZERO))?;
    }
    Ok(())
}

const FEW: usize = 2_000;
const MANY: usize = 10_000;
/// Descriptors that measuring takes, on either side.
pub(super) const DESCRIPTORS: u64 = MANY as u64 + 200;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
