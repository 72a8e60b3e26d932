//! What the servers of this package have in common: a core, a listener, the line that says ready.

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};

use rustix::thread::{CpuSet, sched_setaffinity};

/// Pins this process before it has a second thread.
pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
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
