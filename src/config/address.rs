//! Addresses to listen on, and networks.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::bad_value::BadValue;
use super::quantity::parse_digits;

/// Where to listen.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Address {
    /// `host:port`: a listener of its own for each shard.
    Tcp(SocketAddr),
    /// `unix:PATH`: one socket in the file system, which all shards accept from.
    Unix(UnixAddress),
    /// `fd:N`: a listening socket that this process was started with.
    Descriptor(u32),
    /// `systemd:NAME`: the sockets of that name that systemd has opened.
    Systemd(String),
}

/// A socket in the file system.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct UnixAddress {
    /// Where.
    pub path: PathBuf,
    /// Its permissions; without them what the umask leaves.
    pub mode: Option<u32>,
}

impl Address {
    /// The address and port of TCP, if it says them itself.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        if let Self::Tcp(address) = self { Some(*address) } else { None }
    }

    /// The path of a socket in the file system, if it says it itself.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        if let Self::Unix(address) = self { Some(&address.path) } else { None }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(UnixAddress { path, mode: None }) => write!(f, "unix:{}", path.display()),
            Self::Unix(UnixAddress { path, mode: Some(mode) }) => {
                write!(f, "unix:{}?mode={mode:04o}", path.display())
            }
            Self::Descriptor(number) => write!(f, "fd:{number}"),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// One address, or several with commas between them.
pub(super) fn parse_addresses(text: &str) -> Result<Vec<Address>, BadValue> {
    text.split(',').map(|part| parse_address(part.trim())).collect()
}

/// True for an IP address, a network like `10.0.0.0/8` with no bit set behind its length, or
/// `unix:`, which is everybody who comes through a socket of the file system.
pub(super) fn is_network(text: &str) -> bool {
    if text == "unix:" {
        return true;
    }
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let (bits, width) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    match length.map(str::parse::<u32>) {
        None => true,
        Some(Ok(length)) if length <= width => bits.checked_shl(length).unwrap_or(0) == 0,
        Some(_) => false,
    }
}

fn parse_address(text: &str) -> Result<Address, BadValue> {
    match text.split_once(':') {
        Some(("unix", rest)) => parse_unix(text, rest),
        Some(("fd", rest)) => match parse_digits(rest) {
            Some(number) if number > LAST_STANDARD_STREAM => Ok(Address::Descriptor(number)),
            _ => Err(bad(text, "needs the number of a descriptor from 3 on", "write \"fd:3\"")),
        },
        Some(("systemd", "")) => {
            let fix = "write \"systemd:web\" for FileDescriptorName=web in the socket unit";
            Err(bad(text, "needs the name of a socket", fix))
        }
        Some(("systemd", name)) => Ok(Address::Systemd(name.to_owned())),
        _ => parse_tcp(text).map(Address::Tcp),
    }
}

fn parse_unix(text: &str, rest: &str) -> Result<Address, BadValue> {
    let example = "write \"unix:/run/app.sock\", or \"unix:/run/app.sock?mode=0660\"";
    let (path, mode) = match rest.split_once('?') {
        None => (rest, None),
        Some((path, query)) => {
            let mode =
                query.strip_prefix("mode=").and_then(|mode| u32::from_str_radix(mode, 8).ok());
            match mode {
                Some(mode @ 0..=0o777) => (path, Some(mode)),
                _ => return Err(bad(text, "has a mode that is no permission like 0660", example)),
            }
        }
    };
    if path.is_empty() {
        return Err(bad(text, "has no path", example));
    }
    if path.len() > UNIX_PATH_BYTES_MAX {
        let why = format!("has a path longer than the {UNIX_PATH_BYTES_MAX} bytes of unix(7)");
        return Err(bad(text, &why, "use a shorter path"));
    }
    Ok(Address::Unix(UnixAddress { path: path.into(), mode }))
}

fn bad(text: &str, why: &str, fix: &str) -> BadValue {
    BadValue { message: format!("`{text}` {why}"), fix: fix.to_owned(), not_yet: false }
}

fn parse_tcp(text: &str) -> Result<SocketAddr, BadValue> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    // The one name that needs no resolver, and that everybody writes.
    if let Some(port) = text.strip_prefix("localhost:").and_then(parse_digits) {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let message = match text.rsplit_once(':') {
        None if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("`{text}` has no host")
        }
        None => format!("`{text}` has no port"),
        Some(("", _)) => format!("`{text}` has no host"),
        Some((_, port)) if parse_digits::<u16>(port).is_none() => {
            format!("`{text}`: `{port}` is not a port (0 to 65535)")
        }
        Some((host, _)) if host.contains(':') && !host.starts_with('[') => {
            format!("`{text}`: an IPv6 address needs brackets, as in [::1]:8000")
        }
        Some((host, _)) => {
            format!("`{text}`: `{host}` is not an IP address; names are not resolved")
        }
    };
    Err(BadValue { message, fix: example(text), not_yet: false })
}

/// How it could be written, with the port that was meant if there is one.
fn example(text: &str) -> String {
    let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).unwrap_or(8000);
    format!("write \"127.0.0.1:{port}\", or \"0.0.0.0:{port}\" for all addresses")
}

const LAST_STANDARD_STREAM: u32 = 2;
/// unix(7): sun_path has 108 bytes, the last of them zero.
const UNIX_PATH_BYTES_MAX: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for good in [
            "unix:",
            "10.0.0.1",
            "10.0.0.0/8",
            "0.0.0.0/0",
            "10.1.2.3/32",
            "::1",
            "fd00::/8",
            "::/0",
            "::1/128",
        ] {
            assert!(is_network(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "unix",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "::1/127",
            "::/129",
            "10.0.0.0/8/8",
            "*",
        ] {
            assert!(!is_network(bad), "{bad}");
        }
    }

    #[track_caller]
    fn reads(text: &str, expected: &Address) {
        let found = parse_addresses(text).unwrap();
        assert_eq!((found.len(), &found[0]), (1, expected));
        assert_eq!(found[0].to_string(), text);
    }

    #[test]
    fn other_ways_to_listen() {
        let unix = |path: &str, mode| Address::Unix(UnixAddress { path: path.into(), mode });
        reads("127.0.0.1:80", &Address::Tcp(([127, 0, 0, 1], 80).into()));
        reads("unix:/run/app.sock", &unix("/run/app.sock", None));
        reads("unix:app.sock?mode=0660", &unix("app.sock", Some(0o660)));
        reads("fd:3", &Address::Descriptor(3));
        reads("systemd:web", &Address::Systemd("web".into()));
    }

    #[track_caller]
    fn refuses(text: &str, why: &str) {
        let bad = parse_addresses(text).unwrap_err();
        assert!(bad.message.contains(why) && !bad.fix.is_empty(), "{}", bad.message);
    }

    #[test]
    fn what_is_wrong_with_them_is_said() {
        refuses("unix:", "no path");
        refuses("unix:/a?mode=9", "mode");
        refuses("unix:/a?mode=1777", "mode");
        refuses("unix:/a?user=x", "mode");
        refuses(&format!("unix:/{}", "a".repeat(107)), "107 bytes");
        refuses("fd:2", "from 3 on");
        refuses("fd:x", "from 3 on");
        refuses("systemd:", "name");
    }
}
