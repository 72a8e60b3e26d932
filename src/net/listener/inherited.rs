//! Listening sockets that this process was started with.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketType, sockopt};

use super::{BindError, Listener, Tenure, prepare_tcp};

/// Whom people name to have a socket that somebody else has opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Inherited<'a> {
    /// The descriptor with this number.
    Number(u32),
    /// All that systemd has opened under this name.
    Named(&'a str),
}

impl fmt::Display for Inherited<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "fd:{number}"),
            Self::Named(name) => write!(f, "systemd:{name}"),
        }
    }
}

impl Inherited<'_> {
    /// Takes the sockets. They are used by nobody else in this process, and not a second time.
    pub fn open(self) -> Result<Vec<Listener>, BindError> {
        let numbers = match self {
            Self::Number(number) => vec![RawFd::try_from(number).unwrap_or(RawFd::MAX)],
            Self::Named(wanted) => named(wanted)?,
        };
        numbers.into_iter().map(take).collect()
    }
}

/// The names of the sockets that systemd has opened for this process, each once; an empty list
/// without systemd.
#[must_use]
pub fn systemd_names() -> Vec<String> {
    let passed = sd_notify::listen_fds_with_names();
    let mut names: Vec<String> = passed.into_iter().flatten().map(|(_, name)| name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn named(wanted: &str) -> Result<Vec<RawFd>, BindError> {
    let passed = sd_notify::listen_fds_with_names().map_err(BindError::at("LISTEN_FDS"))?;
    let found: Vec<RawFd> =
        passed.filter(|(_, name)| name == wanted).map(|(number, _)| number).collect();
    if found.is_empty() {
        let text = match systemd_names().as_slice() {
            [] => "systemd passes no socket to this process".to_owned(),
            names => format!("systemd passes only {}", names.join(", ")),
        };
        return Err(BindError { step: "LISTEN_FDNAMES", error: io::Error::other(text) });
    }
    Ok(found)
}

/// Takes the descriptor with this number if it is a stream socket that listens.
fn take(number: RawFd) -> Result<Listener, BindError> {
    let fd = claim(number).map_err(BindError::at("the descriptor"))?;
    let listens = sockopt::socket_acceptconn(&fd).map_err(BindError::at("SO_ACCEPTCONN"))?;
    let kind = sockopt::socket_type(&fd).map_err(BindError::at("SO_TYPE"))?;
    if !listens || kind != SocketType::STREAM {
        let error = io::Error::other("it is a socket, but none that listens for connections");
        return Err(BindError { step: "the descriptor", error });
    }
    // Accepting must never wait, whatever it was opened with.
    ioctl_fionbio(&fd, true).map_err(BindError::at("FIONBIO"))?;
    let family = sockopt::socket_domain(&fd).map_err(BindError::at("SO_DOMAIN"))?;
    if matches!(family, AddressFamily::INET | AddressFamily::INET6) {
        prepare_tcp(fd.as_fd())?;
    }
    Listener::of(fd, Tenure::Inherited)
}

/// Owns a descriptor that was there when this process began. It is only looked at by its number,
/// so one that is not open is an error of the first call.
fn claim(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl takes no pointers here, and only reads the flags of the descriptor.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, as the call above has shown, and whoever started this
    // process has left it to it by naming it in the settings. No other value of this process owns
    // it: each number is named once (checked with the settings), and what we open ourselves is no
    // listening socket while these are taken.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::IntoRawFd as _;

    fn number(fd: impl Into<OwnedFd>) -> Inherited<'static> {
        Inherited::Number(u32::try_from(fd.into().into_raw_fd()).unwrap())
    }

    #[test]
    fn a_listening_socket_is_taken() {
        let opened = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = opened.local_addr().unwrap();
        let listeners = number(opened).open().unwrap();
        assert_eq!(listeners[0].endpoint().tcp(), Some(address));
        assert!(listeners[0].is_inherited());
        assert!(rustix::net::accept(&listeners[0]).is_err(), "it does not wait");
        let _client = TcpStream::connect(address).unwrap();
        let served = rustix::net::accept(&listeners[0]).unwrap();
        assert!(sockopt::tcp_nodelay(&served).unwrap());
        // The filter would stay with the socket for who owns it.
        listeners[0].refuse_new_clients().unwrap();
        TcpStream::connect(address).unwrap();
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let error = Inherited::Number(1_000_000).open().unwrap_err();
        assert_eq!(error.error.raw_os_error(), Some(libc::EBADF));
        let file = tempfile::tempfile().unwrap();
        let error = number(file).open().unwrap_err();
        assert_eq!(error.error.raw_os_error(), Some(libc::ENOTSOCK));
        let opened = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(opened.local_addr().unwrap()).unwrap();
        let error = number(client).open().unwrap_err();
        assert!(error.to_string().contains("none that listens"), "{error}");
    }

    #[test]
    fn without_systemd_nothing_has_a_name() {
        let error = Inherited::Named("web").open().unwrap_err();
        assert!(error.to_string().contains("no socket"), "{error}");
        assert_eq!(systemd_names(), Vec::<String>::new());
    }
}
