//! What the servers of this package have in common: a core, a listener, the line that says ready.

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};

use rustix::thread::{CpuSet, sched_setaffinity};

/// Pins this process before it has a second thread.
pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    pin_to(&cpus(&[cpu]))
}

/// The same with several CPUs; between a fork and an exec, too.
pub(crate) fn pin_to(cpus: &CpuSet) -> io::Result<()> {
    Ok(sched_setaffinity(None, cpus)?)
}

/// These CPUs as the kernel takes them.
pub(crate) fn cpus(numbers: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    numbers.iter().for_each(|cpu| set.set(*cpu));
    set
}

/// Runs this process before all that do not ask for the same: what it measures is then not how
/// long it waited for a CPU itself.
pub(crate) fn hurry() -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: 1 };
    // SAFETY: the call reads one struct, which outlives it; 0 is this process.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameter) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    let text = format!("cannot be scheduled before the servers: {error}; run as root");
    Err(io::Error::new(error.kind(), text))
}

/// Listens on the loopback address; what is accepted sends small answers at once.
pub(crate) fn listen(port: u16) -> io::Result<TcpListener> {
    use rustix::net;
    let socket = net::socket_with(
        net::AddressFamily::INET,
        net::SocketType::STREAM,
        net::SocketFlags::CLOEXEC,
        None,
    )?;
    net::sockopt::set_socket_reuseaddr(&socket, true)?;
    net::sockopt::set_tcp_nodelay(&socket, true)?;
    let address = std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Tells whoever started us that connections are welcome, as corewise does.
pub(crate) fn announce(listener: &TcpListener) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready http://{}", listener.local_addr()?)?;
    out.flush()
}

/// Connections that may wait to be accepted: more than any column opens at once.
const BACKLOG: i32 = 4096;
