//! The port of a subject, from before its start to its end.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// A port that nobody listens on and no other bench takes while this lives.
///
/// Between the look and the server's own `bind` anybody could come, and mostly it is another
/// bench, whose servers give the same answers: it would be measured in this one's place. So a port
/// is claimed first, by an abstract name (unix(7)) that the kernel gives to one process at a time
/// and takes back when that is gone.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    _claim: UnixListener,
}

impl Port {
    /// The next one that is free. They lie below those that the kernel gives to clients: a load
    /// that opens a connection for each request would take any other before the server can.
    pub(super) fn claim() -> io::Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        Self::claim_from(|| NEXT.fetch_add(1, Ordering::Relaxed))
    }

    fn claim_from(mut next: impl FnMut() -> u16) -> io::Result<Self> {
        for _ in 0..COUNT {
            let number = FIRST + next() % COUNT;
            let name = SocketAddr::from_abstract_name(format!("corewise-bench/port/{number}"))?;
            let taken = |error: &io::Error| error.kind() == ErrorKind::AddrInUse;
            let claim = match UnixListener::bind_addr(&name) {
                Err(error) if taken(&error) => continue,
                other => other?,
            };
            match TcpListener::bind((Ipv4Addr::LOCALHOST, number)) {
                Err(error) if taken(&error) => {}
                other => return other.map(|_| Self { number, _claim: claim }),
            }
        }
        let last = FIRST + COUNT - 1;
        Err(io::Error::other(format!("no port between {FIRST} and {last} is free")))
    }

    pub(super) fn number(&self) -> u16 {
        self.number
    }
}

const FIRST: u16 = 18_000;
const COUNT: u16 = 12_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_port_is_nobody_else_s_although_nobody_listens_on_it() {
        let claim = || {
            let mut next = 11_000..;
            Port::claim_from(|| next.next().unwrap()).unwrap()
        };
        let (one, other) = (claim(), claim());
        assert!(one.number() < other.number());
        let number = one.number();
        drop(one);
        assert_eq!(claim().number(), number);
    }

    #[test]
    fn a_port_on_which_a_stranger_listens_is_left_out() {
        let stranger = Port::claim().unwrap();
        let number = stranger.number();
        drop(stranger);
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).unwrap();
        let mut next = number - FIRST..;
        assert!(Port::claim_from(|| next.next().unwrap()).unwrap().number() > number);
    }
}
