//! Addresses to listen on, and networks.

use std::net::{IpAddr, SocketAddr};

use super::bad_value::BadValue;
use super::quantity::parse_digits;

/// One `host:port`, or several with commas between them.
pub(super) fn parse_addresses(text: &str) -> Result<Vec<SocketAddr>, BadValue> {
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

fn parse_address(text: &str) -> Result<SocketAddr, BadValue> {
    if let Some((_, needs)) = LATER_SCHEMES.iter().find(|(scheme, _)| text.starts_with(scheme)) {
        let message = format!("`{text}` is not available in this version yet: {needs}");
        return Err(BadValue { message, fix: example(""), not_yet: true });
    }
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

/// Other ways to listen, and what they come with.
const LATER_SCHEMES: [(&str, &str); 3] = [
    ("unix:", "sockets in the file system come with proxy support"),
    ("fd:", "inherited sockets come with systemd"),
    ("systemd:", "inherited sockets come with systemd"),
];

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

    #[test]
    fn later_schemes_say_what_they_come_with() {
        for text in ["unix:/run/app.sock?mode=0660", "fd:3", "systemd:web"] {
            let bad = parse_addresses(text).unwrap_err();
            assert!(bad.not_yet && bad.message.contains("come with"), "{}", bad.message);
        }
    }
}
