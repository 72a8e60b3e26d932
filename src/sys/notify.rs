//! Telling the service manager how things stand (sd_notify(3)).
//!
//! The texts come from a library; sending is ours, because it must never wait: a manager that does
//! not read would otherwise hold up who watches over everybody.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

pub use sd_notify::NotifyState;

/// The way to the service manager.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    manager: SocketAddr,
}

impl Notifier {
    /// To the socket that NOTIFY_SOCKET names; `None` where nobody wants to know.
    ///
    /// # Errors
    /// When that is no name of a socket, or there is no descriptor left.
    pub fn from_environment() -> io::Result<Option<Self>> {
        env::var_os(NOTIFY_SOCKET).map(|name| Self::to(&name)).transpose()
    }

    /// To the socket with this name: a path, or an abstract name behind an `@`.
    fn to(name: &OsStr) -> io::Result<Self> {
        let manager = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, manager })
    }

    /// Tells these things, in one message.
    ///
    /// # Errors
    /// `WouldBlock` when the manager does not read; otherwise as sendto(2).
    pub fn tell(&self, states: &[NotifyState<'_>]) -> io::Result<()> {
        let text: String = states.iter().map(|state| format!("{state}\n")).collect();
        self.socket.send_to_addr(text.as_bytes(), &self.manager).map(drop)
    }
}

/// How often the service manager wants to hear that all is well; `None` if it does not. A
/// WATCHDOG_PID that is not ours speaks to another process.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = env::var_os(WATCHDOG_PID)
        .is_none_or(|pid| pid == OsString::from(process::id().to_string()));
    number(WATCHDOG_USEC).filter(|micros| is_ours && *micros > 0).map(Duration::from_micros)
}

const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
const WATCHDOG_PID: &str = "WATCHDOG_PID";
const WATCHDOG_USEC: &str = "WATCHDOG_USEC";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_lines_of_states() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(path.as_os_str()).unwrap();
        notifier.tell(&[NotifyState::Ready, NotifyState::Status("1 shard")]).unwrap();
        let mut buffer = [0; 100];
        let length = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1\nSTATUS=1 shard\n");
    }

    #[test]
    fn an_abstract_name_stands_behind_an_at() {
        let name = format!("corewise-notify-{}", process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let notifier = Notifier::to(OsStr::new(&format!("@{name}"))).unwrap();
        notifier.tell(&[NotifyState::Stopping]).unwrap();
        let mut buffer = [0; 100];
        assert_eq!(manager.recv(&mut buffer).unwrap(), b"STOPPING=1\n".len());
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(path.as_os_str()).unwrap();
        let refused = (0..100_000).find_map(|_| notifier.tell(&[NotifyState::Watchdog]).err());
        assert_eq!(refused.unwrap().kind(), io::ErrorKind::WouldBlock);
    }
}
