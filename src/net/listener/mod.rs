//! Listening sockets: one per shard on the same address, or one that all shards share, and how
//! their clients are kept when a server stops.

mod endpoint;
mod inherited;
mod path;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt,
};

pub use self::endpoint::Endpoint;
pub use self::inherited::{Inherited, systemd_names};
pub use self::path::{SocketFile, open_path, try_path};

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    endpoint: Endpoint,
    tenure: Tenure,
}

/// Whose a listening socket is when we leave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Tenure {
    /// Bound by us alone, on TCP.
    Bound,
    /// Bound by us, in the file system: who takes its name away keeps new clients out.
    Named,
    /// Opened by who started us, and kept by them.
    Inherited,
}

/// Why an address could not be listened on.
#[derive(Debug)]
pub struct BindError {
    /// Which step failed.
    pub step: &'static str,
    /// What the system said.
    pub error: io::Error,
}

impl BindError {
    fn at<E: Into<io::Error>>(step: &'static str) -> impl Fn(E) -> Self {
        move |error| Self { step, error: error.into() }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.error)
    }
}

/// What a group of listeners is made with.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Where; port 0 lets the system choose one, the same for all.
    pub address: SocketAddr,
    /// How many sockets.
    pub count: u16,
    /// Length of each accept queue.
    pub backlog: u32,
    /// An IPv6 wildcard leaves IPv4 to somebody else. False keeps the system's default.
    pub only_v6: bool,
}

/// Makes sure that nobody else has the address, then opens one SO_REUSEPORT listener for each
/// shard.
///
/// The check uses a socket without SO_REUSEPORT: with it, a second server of the same user would
/// get in silently and take a part of the clients.
pub fn open_group(group: Group) -> Result<Vec<Listener>, BindError> {
    if group.address.port() != 0 {
        probe(group)?;
    }
    let mut listeners: Vec<Listener> = Vec::with_capacity(group.count.into());
    let mut address = group.address;
    for _ in 0..group.count {
        let listener = Listener::open(Group { address, ..group })?;
        // The first one settles the port for the others.
        address = listener.endpoint.tcp().unwrap_or(address);
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Whether `address` could be listened on now; nothing listens there afterwards.
pub fn try_address(address: SocketAddr, only_v6: bool) -> Result<(), BindError> {
    probe(Group { address, count: 1, backlog: 1, only_v6 })
}

impl Listener {
    fn open(group: Group) -> Result<Self, BindError> {
        let socket = open_socket(group)?;
        sockopt::set_socket_reuseport(&socket, true).map_err(BindError::at("SO_REUSEPORT"))?;
        prepare_tcp(socket.as_fd())?;
        bind(&socket, &group.address).map_err(BindError::at("bind"))?;
        listen_on(socket.as_fd(), group.backlog)?;
        Self::of(socket, Tenure::Bound)
    }

    /// Takes a socket that listens already.
    fn of(fd: OwnedFd, tenure: Tenure) -> Result<Self, BindError> {
        let address = getsockname(&fd).map_err(BindError::at("getsockname"))?;
        let endpoint = Endpoint::try_from(address).map_err(BindError::at("getsockname"))?;
        Ok(Self { fd, endpoint, tenure })
    }

    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether those who wait in its queue belong to somebody else once we stop.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.tenure == Tenure::Inherited
    }

    /// Drops new clients from now on: their first packet is thrown away, so they try again a
    /// second later and then find the port closed or in other hands. Clients that are on their
    /// way in still arrive, which takes them a round trip; after that the accept queue can be
    /// emptied and the socket closed without losing anybody.
    ///
    /// Only TCP sockets that nobody takes over, because the filter stays with the socket. For
    /// others this does nothing.
    pub fn refuse_new_clients(&self) -> io::Result<()> {
        match self.tenure {
            Tenure::Bound => attach_syn_filter(self.fd.as_fd()),
            Tenure::Named | Tenure::Inherited => Ok(()),
        }
    }

    /// A second descriptor for the same socket.
    pub fn duplicate(&self) -> io::Result<Self> {
        let (endpoint, tenure) = (self.endpoint.clone(), self.tenure);
        Ok(Self { fd: self.fd.try_clone()?, endpoint, tenure })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Listener> for OwnedFd {
    fn from(listener: Listener) -> Self {
        listener.fd
    }
}

fn probe(group: Group) -> Result<(), BindError> {
    let socket = open_socket(group)?;
    bind(&socket, &group.address).map_err(BindError::at("bind"))
}

fn open_socket(group: Group) -> Result<OwnedFd, BindError> {
    let family = match group.address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = stream_socket(family)?;
    sockopt::set_socket_reuseaddr(&socket, true).map_err(BindError::at("SO_REUSEADDR"))?;
    if group.only_v6 && family == AddressFamily::INET6 {
        sockopt::set_ipv6_v6only(&socket, true).map_err(BindError::at("IPV6_V6ONLY"))?;
    }
    Ok(socket)
}

fn stream_socket(family: AddressFamily) -> Result<OwnedFd, BindError> {
    // The listener does not block: shards and the supervisor share its file status flags.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(family, SocketType::STREAM, flags, None).map_err(BindError::at("socket"))
}

/// What accepted sockets inherit, which saves calls for each connection.
fn prepare_tcp(socket: BorrowedFd<'_>) -> Result<(), BindError> {
    sockopt::set_tcp_nodelay(socket, true).map_err(BindError::at("TCP_NODELAY"))?;
    set_unsent_limit(socket).map_err(BindError::at("TCP_NOTSENT_LOWAT"))
}

fn listen_on(socket: BorrowedFd<'_>, backlog: u32) -> Result<(), BindError> {
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    listen(socket, backlog).map_err(BindError::at("listen"))
}

/// Bounds what one slow reader can hold in the kernel: unsent bytes beyond this are not taken.
fn set_unsent_limit(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, &UNSENT_BYTES_MAX)
}

/// Attaches a classic BPF program that drops segments with SYN and without ACK.
fn attach_syn_filter(socket: BorrowedFd<'_>) -> io::Result<()> {
    // A filter on a TCP socket sees the segment from its TCP header on; byte 13 has the flags.
    let mut program = [
        statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 13),
        statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, SYN | ACK),
        jump_if_equal(SYN, 0, 1),
        statement(libc::BPF_RET | libc::BPF_K, 0),
        statement(libc::BPF_RET | libc::BPF_K, u32::MAX),
    ];
    let length = u16::try_from(program.len()).expect("the program has five steps");
    let program = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // The kernel copies the program, so the array needs to live for the call only.
    set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

fn statement(code: u32, value: u32) -> libc::sock_filter {
    let code = u16::try_from(code).expect("BPF codes have sixteen bits");
    libc::sock_filter { code, jt: 0, jf: 0, k: value }
}

fn jump_if_equal(value: u32, then: u8, otherwise: u8) -> libc::sock_filter {
    let step = statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value);
    libc::sock_filter { jt: then, jf: otherwise, ..step }
}

fn set_option<T>(socket: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = u32::try_from(size_of::<T>()).expect("socket options are small");
    // SAFETY: the pointer and the length describe `value`, which lives for the call and which the
    // kernel only reads. The two callers pass the type that the option takes: a u32, and a
    // sock_fprog whose pointer and count describe an array that lives for the call.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const *value).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const SYN: u32 = 0x02;
const ACK: u32 = 0x10;
const UNSENT_BYTES_MAX: u32 = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::Duration;

    const LOCAL: &str = "127.0.0.1:0";

    fn group(address: &str, count: u16) -> Group {
        Group { address: address.parse().unwrap(), count, backlog: 128, only_v6: false }
    }

    fn address_of(listener: &Listener) -> SocketAddr {
        listener.endpoint().tcp().unwrap()
    }

    fn accept_all(listener: &Listener) -> usize {
        std::iter::from_fn(|| rustix::net::accept(listener).ok()).count()
    }

    #[test]
    fn port_zero_gives_all_the_same_port() {
        let listeners = open_group(group(LOCAL, 3)).unwrap();
        let address = address_of(&listeners[0]);
        assert_ne!(address.port(), 0);
        assert!(listeners.iter().all(|listener| address_of(listener) == address));
        let clients: Vec<_> = (0..60).map(|_| TcpStream::connect(address).unwrap()).collect();
        let accepted: Vec<usize> = listeners.iter().map(accept_all).collect();
        assert_eq!(accepted.iter().sum::<usize>(), clients.len());
        // The chance that one of three gets none of sixty is below 1e-10.
        assert!(accepted.iter().all(|&count| count > 0), "{accepted:?}");
    }

    #[test]
    fn a_taken_port_is_refused_even_if_shared() {
        let plain = TcpListener::bind(LOCAL).unwrap();
        let error = open_group(group(&plain.local_addr().unwrap().to_string(), 1)).unwrap_err();
        assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);

        let first = open_group(group(LOCAL, 2)).unwrap();
        let error = open_group(group(&address_of(&first[0]).to_string(), 2)).unwrap_err();
        assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(error.step, "bind");
    }

    #[test]
    fn a_port_is_free_again_after_use() {
        let listeners = open_group(group(LOCAL, 1)).unwrap();
        let address = address_of(&listeners[0]);
        let client = TcpStream::connect(address).unwrap();
        let served = rustix::net::accept(&listeners[0]).unwrap();
        // The server closes first, so its side waits in TIME_WAIT; SO_REUSEADDR passes that.
        drop(served);
        drop(client);
        drop(listeners);
        open_group(group(&address.to_string(), 1)).unwrap();
    }

    #[test]
    fn accepted_sockets_inherit_the_options() {
        let listeners = open_group(group(LOCAL, 1)).unwrap();
        let _client = TcpStream::connect(address_of(&listeners[0])).unwrap();
        let served = rustix::net::accept(&listeners[0]).unwrap();
        assert!(sockopt::tcp_nodelay(&served).unwrap());
        let mut value = 0u32;
        let mut length = 4;
        // SAFETY: the pointers describe two local integers of the sizes that are given.
        let result = unsafe {
            libc::getsockopt(
                served.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_NOTSENT_LOWAT,
                (&raw mut value).cast(),
                &raw mut length,
            )
        };
        assert_eq!((result, value), (0, UNSENT_BYTES_MAX));
    }

    #[test]
    fn the_filter_drops_new_clients_and_keeps_old_ones() {
        let listeners = open_group(group(LOCAL, 1)).unwrap();
        let address = address_of(&listeners[0]);
        let early = TcpStream::connect(address).unwrap();
        listeners[0].refuse_new_clients().unwrap();
        let late =
            thread::spawn(move || TcpStream::connect_timeout(&address, Duration::from_millis(300)));
        let late = late.join().unwrap();
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(accept_all(&listeners[0]), 1, "the early client waits in the queue");
        drop(early);
        drop(listeners);
        let refused = TcpStream::connect_timeout(&address, Duration::from_secs(10));
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_privileged_port_says_so() {
        // Where the user may bind everything, the case cannot arise.
        if let Err(error) = open_group(group("127.0.0.1:1", 1)) {
            assert_eq!(error.error.kind(), io::ErrorKind::PermissionDenied);
        }
    }
}
