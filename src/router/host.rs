//! Host patterns: which authority a request has to be for.

use std::fmt;
use std::net::Ipv6Addr;

/// A host, or all hosts below one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Host {
    /// `*.example.org`: kept from its dot on, in lower case. At any depth, the name itself not
    /// included.
    Below(Box<str>),
    /// `[::1]`, in whatever spelling.
    Ipv6(Ipv6Addr),
    /// A name or an IPv4 address, in lower case.
    Name(Box<str>),
}

impl Host {
    /// Read a host pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(literal) = text.strip_prefix('[') {
            let address = literal.strip_suffix(']').and_then(|address| address.parse().ok());
            return address.map(Self::Ipv6).ok_or("this is not an IPv6 address in brackets");
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err("an IPv6 address stands in brackets");
        }
        let (name, wild) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        check_name(name)?;
        let name = name.to_ascii_lowercase();
        Ok(if wild { Self::Below(format!(".{name}").into()) } else { Self::Name(name.into()) })
    }

    /// Whether an authority, which may have a port, is for this host.
    pub fn matches(&self, authority: &str) -> bool {
        if let Some(literal) = authority.strip_prefix('[') {
            let Some((address, _)) = literal.split_once(']') else { return false };
            return matches!(self, Self::Ipv6(own) if address.parse() == Ok(*own));
        }
        let host = authority.split(':').next().unwrap_or_default();
        // A dot at the end says that the name is complete, which it is anyway.
        let host = host.strip_suffix('.').unwrap_or(host).as_bytes();
        match self {
            // Longer than what it ends with: there is a name before the dot.
            Self::Below(suffix) if host.len() > suffix.len() => {
                host[host.len() - suffix.len()..].eq_ignore_ascii_case(suffix.as_bytes())
            }
            Self::Below(_) => false,
            Self::Ipv6(_) => false,
            Self::Name(name) => host.eq_ignore_ascii_case(name.as_bytes()),
        }
    }

    /// Whether every host of `other` is one of its own.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Below(suffix), Self::Below(other)) => other.ends_with(&**suffix),
            (Self::Below(_), Self::Name(name)) => self.matches(name),
            _ => self == other,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below(suffix) => write!(f, "*{suffix}"),
            Self::Ipv6(address) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if !name.is_ascii() {
        return Err("a host is written as it is sent: in ASCII, with xn-- for other letters");
    }
    if name.contains(':') {
        return Err("a host stands without scheme and port");
    }
    if name.contains('*') {
        return Err("`*` can only stand at the start, for what is below a host: `*.example.org`");
    }
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let valid = name.len() <= NAME_BYTES_MAX && name.split('.').all(is_label);
    if valid { Ok(()) } else { Err("this is not the name of a host") }
}

/// RFC 1035 2.3.4.
const LABEL_BYTES_MAX: usize = 63;
const NAME_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, taken: &[&str], left: &[&str]) {
        let host = Host::parse(pattern).unwrap();
        for authority in taken {
            assert!(host.matches(authority), "{pattern} takes {authority}");
        }
        for authority in left {
            assert!(!host.matches(authority), "{pattern} leaves {authority}");
        }
    }

    #[test]
    fn hosts() {
        check(
            "example.org",
            &["example.org", "EXAMPLE.Org", "example.org:80", "example.org.", "example.org.:80"],
            &["www.example.org", "example.org..", "example.orgx", "xexample.org", "", ":80"],
        );
        check(
            "*.Example.org",
            &["www.example.org", "a.b.EXAMPLE.ORG:1", "w.example.org."],
            &["example.org", ".example.org", "wexample.org", "www.example.org.evil", "[::1]"],
        );
        check("127.0.0.1", &["127.0.0.1", "127.0.0.1:8000"], &["127.0.0.10", "[::1]"]);
        check(
            "[::1]",
            &["[::1]", "[::1]:80", "[0:0:0:0:0:0:0:1]", "[0::0001]"],
            &["[::2]", "::1", "[::1", "[v1.a]", "localhost"],
        );
    }

    #[track_caller]
    fn check_refused(pattern: &str, expected: &str) {
        let reason = Host::parse(pattern).unwrap_err();
        assert!(reason.contains(expected), "{pattern}: {reason}");
    }

    #[test]
    fn refused_hosts() {
        check_refused("", "not the name of a host");
        check_refused("a..b", "not the name of a host");
        check_refused("a b", "not the name of a host");
        check_refused("a/b", "not the name of a host");
        check_refused("example.org.", "not the name of a host");
        check_refused(&"a".repeat(64), "not the name of a host");
        check_refused(&"a.".repeat(127), "not the name of a host");
        check_refused("*.", "not the name of a host");
        check_refused("*", "at the start");
        check_refused("a.*.b", "at the start");
        check_refused("a:80", "without scheme and port");
        check_refused("http://a", "without scheme and port");
        check_refused("gr\u{fc}n.example", "xn--");
        check_refused("::1", "in brackets");
        check_refused("[::1]:80", "in brackets");
        check_refused("[1.2.3.4]", "in brackets");
    }

    #[test]
    fn covering() {
        let host = |text| Host::parse(text).unwrap();
        assert!(host("a.b").covers(&host("A.B")));
        assert!(host("*.b").covers(&host("a.b")));
        assert!(host("*.b").covers(&host("*.a.b")));
        assert!(!host("*.b").covers(&host("b")));
        assert!(!host("*.a.b").covers(&host("*.b")));
        assert!(!host("a.b").covers(&host("*.b")));
        assert!(host("[::1]").covers(&host("[0:0::1]")));
        assert!(!host("[::1]").covers(&host("a")));
    }

    #[test]
    fn a_host_is_shown_as_it_is_written() {
        for text in ["example.org", "*.example.org", "[2001:db8::1]", "10.0.0.1"] {
            assert_eq!(Host::parse(text).unwrap().to_string(), text);
        }
    }
}
