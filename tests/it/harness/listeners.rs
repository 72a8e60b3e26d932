//! What the kernel says of listening sockets, by its own interface for that: /proc/net/tcp does
//! not tell how long the queue of a listener may become.

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

/// A socket that listens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Listener {
    pub(crate) inode: u32,
    /// Connections that may wait in it.
    pub(crate) backlog: u32,
}

/// The IPv4 sockets that listen at a port.
pub(crate) fn listeners_at(port: u16) -> Vec<Listener> {
    let protocol = Some(netlink::SOCK_DIAG);
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)
        .expect("a socket to ask about sockets");
    send(&socket, &request(), SendFlags::empty()).expect("the question is sent");
    let mut found = Vec::new();
    let mut buffer = vec![0; 32 << 10];
    loop {
        let (length, _) = match recv(&socket, &mut buffer[..], RecvFlags::empty()) {
            Err(Errno::INTR) => continue,
            received => received.expect("the answer is read"),
        };
        let mut rest = &buffer[..length];
        while rest.len() >= HEADER {
            let size = usize::try_from(word(rest, 0)).expect("a message fits the memory");
            match half(rest, 4) {
                DONE => return found,
                ERROR => panic!("the kernel does not answer (inet_diag): {}", word(rest, HEADER)),
                _ => found.extend(listener(&rest[HEADER..size], port)),
            }
            rest = &rest[size.next_multiple_of(4).min(rest.len())..];
        }
    }
}

/// Asks for all IPv4 sockets of TCP that listen: a `nlmsghdr` and an `inet_diag_req_v2`.
fn request() -> Vec<u8> {
    const LENGTH: usize = HEADER + 56;
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend(u32::try_from(LENGTH).expect("it is short").to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST_ALL.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([libc::AF_INET, libc::IPPROTO_TCP, 0, 0].map(|number| number as u8));
    bytes.extend((1_u32 << LISTEN).to_ne_bytes());
    bytes.resize(LENGTH, 0);
    bytes
}

/// An `inet_diag_msg`, if it is about this port.
fn listener(message: &[u8], port: u16) -> Option<Listener> {
    let at = u16::from_be_bytes([message[4], message[5]]);
    // Behind the state and the two ends stand the timer, the queue, its bound, the user.
    (at == port).then(|| Listener { backlog: word(message, 60), inode: word(message, 68) })
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// Bytes of a `nlmsghdr`.
const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const BY_FAMILY: u16 = 20;
/// NLM_F_REQUEST and NLM_F_DUMP.
const REQUEST_ALL: u16 = 0x301;
/// TCP_LISTEN.
const LISTEN: u32 = 10;
