//! The request target: its four forms, its characters, and the host inside it (RFC 9112 3.2).

use std::net::Ipv6Addr;

use super::error::Error;

/// Where the parts of a request target lie inside it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Target {
    /// Which of the four forms it has.
    pub(crate) form: Form,
    /// Start and end of the authority; empty unless absolute-form or authority-form.
    pub(crate) authority: (u32, u32),
    /// Start and end of the path; may be empty in absolute-form.
    pub(crate) path: (u32, u32),
    /// Start of the query, behind its question mark; it reaches to the end.
    pub(crate) query: Option<u32>,
}

/// The four forms of RFC 9112 3.2.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Form {
    /// `http://host/path`.
    Absolute,
    /// `*`, for OPTIONS.
    Asterisk,
    /// `host:port`, for CONNECT.
    Authority,
    /// `/path`.
    #[default]
    Origin,
}

impl Target {
    /// Judges a target. Its length is bounded by the line limit, which fits `u32`.
    pub(crate) fn parse(method: &[u8], target: &[u8]) -> Result<Self, Error> {
        // RFC 9112 3.2.3: CONNECT takes the authority-form and nothing else does.
        if method == b"CONNECT" {
            return parse_authority_form(target);
        }
        match target.first() {
            Some(b'/') => parse_path(target, 0),
            Some(b'*') if target.len() == 1 => {
                // RFC 9112 3.2.4: the asterisk-form is for OPTIONS only.
                if method != b"OPTIONS" {
                    return Err(Error::TargetInvalid);
                }
                Ok(Self { form: Form::Asterisk, path: (0, 1), ..Self::default() })
            }
            _ => parse_absolute_form(target),
        }
    }
}

fn parse_authority_form(target: &[u8]) -> Result<Target, Error> {
    let end = target.len() as u32;
    match parse_host(target) {
        Some(Port::Given) => {
            Ok(Target { form: Form::Authority, authority: (0, end), ..Target::default() })
        }
        _ => Err(Error::TargetInvalid),
    }
}

fn parse_absolute_form(target: &[u8]) -> Result<Target, Error> {
    let start = if starts_with_scheme(target, b"http://") {
        7
    } else if starts_with_scheme(target, b"https://") {
        8
    } else {
        return Err(Error::TargetInvalid);
    };
    let rest = &target[start..];
    let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    // RFC 9110 4.2.1: a URI without a host is invalid; 4.2.4: user information is refused.
    if parse_host(&rest[..length]).is_none() {
        return Err(Error::TargetInvalid);
    }
    let end = start + length;
    let parsed = parse_path(target, end)?;
    Ok(Target { form: Form::Absolute, authority: (start as u32, end as u32), ..parsed })
}

fn starts_with_scheme(target: &[u8], scheme: &[u8]) -> bool {
    target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// Judges path and query, which begin at `start` and reach to the end.
fn parse_path(target: &[u8], start: usize) -> Result<Target, Error> {
    let mut at = start + run_length(&target[start..], PATH);
    // A malformed escape leaves open which resource is meant: nginx and Apache refuse it too.
    while is_escape(&target[at..]) {
        at += 3;
        at += run_length(&target[at..], PATH);
    }
    if !matches!(target.get(at), None | Some(b'?')) {
        return Err(Error::TargetInvalid);
    }
    let path = (start as u32, at as u32);
    if at == target.len() {
        return Ok(Target { path, ..Target::default() });
    }
    // Escapes in a query are not judged: browsers send a lone `%` there as it was typed, nginx and
    // Apache pass it on, and it names no resource. The same holds of the other characters that
    // browsers leave as they are in a query (and escape in a path, but for a few).
    let query = &target[at + 1..];
    if run_length(query, QUERY) != query.len() {
        return Err(Error::TargetInvalid);
    }
    Ok(Target { path, query: Some(at as u32 + 1), ..Target::default() })
}

fn is_escape(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// What follows the host of an authority.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Port {
    /// A number.
    Given,
    /// Nothing, or a colon alone.
    None,
}

/// Whether `text` is a host with an optional port, as a target or a Host field may have it.
#[must_use]
pub fn is_authority(text: &str) -> bool {
    parse_host(text.as_bytes()).is_some()
}

/// Judges `uri-host [ ":" port ]` (RFC 3986 3.2.2). None: it is not one, or the host is empty.
/// Commas are refused although a reg-name may hold them: in Host they betray a merged list.
pub(crate) fn parse_host(authority: &[u8]) -> Option<Port> {
    let port = if let Some(rest) = authority.strip_prefix(b"[") {
        let end = rest.iter().position(|&byte| byte == b']')?;
        if !is_ip_literal(&rest[..end]) {
            return None;
        }
        &rest[end + 1..]
    } else {
        let end = name_length(authority)?;
        if end == 0 {
            return None;
        }
        &authority[end..]
    };
    match port {
        [] | [b':'] => Some(Port::None),
        [b':', digits @ ..] if is_port(digits) => Some(Port::Given),
        _ => None,
    }
}

/// The length of a reg-name or IPv4 address, up to a colon or the end. None: a bad byte.
fn name_length(authority: &[u8]) -> Option<usize> {
    let mut at = run_length(authority, HOST);
    while is_escape(&authority[at..]) {
        at += 3;
        at += run_length(&authority[at..], HOST);
    }
    matches!(authority.get(at), None | Some(b':')).then_some(at)
}

/// How many bytes at the start belong to a class.
fn run_length(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|&byte| CLASS[byte as usize] & class == 0).unwrap_or(bytes.len())
}

fn is_port(digits: &[u8]) -> bool {
    let mut port = 0u32;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return false;
        }
        port = port * 10 + u32::from(digit - b'0');
        if port > 65_535 {
            return false;
        }
    }
    true
}

/// IPv6address or IPvFuture. A zone identifier means something only on the sender's machine.
fn is_ip_literal(literal: &[u8]) -> bool {
    if let [b'v' | b'V', rest @ ..] = literal {
        let Some(dot) = rest.iter().position(|&byte| byte == b'.') else { return false };
        let (version, address) = (&rest[..dot], &rest[dot + 1..]);
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !address.is_empty()
            && address.iter().all(|&byte| byte == b':' || CLASS[byte as usize] & HOST != 0);
    }
    str::from_utf8(literal).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

const PATH: u8 = 1;
const QUERY: u8 = 2;
const HOST: u8 = 4;

/// Which bytes may stand where, escapes apart (RFC 3986 3.2.2, 3.3 and 3.4).
static CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                PATH | QUERY | HOST
            }
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=' => {
                PATH | QUERY | HOST
            }
            b',' | b':' | b'@' | b'/' => PATH | QUERY,
            b'?' | b'%' | b'[' | b']' | b'{' | b'|' | b'}' | b'^' | b'\\' | b'`' => QUERY,
            _ => 0,
        };
        byte += 1;
    }
    class
};

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &str, target: &str, expected: Option<(Form, &str, &str, Option<&str>)>) {
        let parsed = Target::parse(method.as_bytes(), target.as_bytes()).ok().map(|parsed| {
            let part = |span: (u32, u32)| &target[span.0 as usize..span.1 as usize];
            let query = parsed.query.map(|start| &target[start as usize..]);
            (parsed.form, part(parsed.authority), part(parsed.path), query)
        });
        assert_eq!(parsed, expected, "{method} {target}");
    }

    #[test]
    fn takes_the_four_forms() {
        check("GET", "/", Some((Form::Origin, "", "/", None)));
        check("GET", "/a/b?c=d", Some((Form::Origin, "", "/a/b", Some("c=d"))));
        check("GET", "/?", Some((Form::Origin, "", "/", Some(""))));
        check("GET", "//a//", Some((Form::Origin, "", "//a//", None)));
        check("OPTIONS", "*", Some((Form::Asterisk, "", "*", None)));
        check("CONNECT", "a.b:443", Some((Form::Authority, "a.b:443", "", None)));
        check("GET", "http://a.b", Some((Form::Absolute, "a.b", "", None)));
        check("GET", "HTTP://a.b:80/c?d", Some((Form::Absolute, "a.b:80", "/c", Some("d"))));
        check("GET", "https://[::1]:8/", Some((Form::Absolute, "[::1]:8", "/", None)));
        check("GET", "http://a?b", Some((Form::Absolute, "a", "", Some("b"))));
    }

    #[test]
    fn refuses_other_forms() {
        for target in ["", "*", "a", "a.b:80", "ftp://a/", "http:/a", "http://", "http:///a", "**"]
        {
            check("GET", target, None);
        }
        for target in
            ["http://u@h/", "http://u:p@h/", "http://a b/", "http://a:x/", "http://[::g]/"]
        {
            check("GET", target, None);
        }
        for target in ["/", "*", "a", "a:", "a:1/", "http://a/", ":1", "a:65536", "a@b:1", "a:1?b"]
        {
            check("CONNECT", target, None);
        }
        check("OPTIONS", "**", None);
    }

    #[test]
    fn judges_characters() {
        check(
            "GET",
            "/%41%7e!$&'()*+,;=:@",
            Some((Form::Origin, "", "/%41%7e!$&'()*+,;=:@", None)),
        );
        check("GET", "/?a[]=%zz&b=%", Some((Form::Origin, "", "/", Some("a[]=%zz&b=%"))));
        for target in
            ["/%", "/%4", "/%zz", "/a#b", "/a\"", "/<", "/>", "/\\", "/^", "/`", "/{", "/|"]
        {
            check("GET", target, None);
        }
        for target in ["/}", "/[", "/\x7f", "/\t", "/\u{e4}"] {
            check("GET", target, None);
        }
        check("GET", "/?{|}^\\`", Some((Form::Origin, "", "/", Some("{|}^\\`"))));
        for target in ["/?#", "/?\"", "/?<", "/?>", "/? ", "/?\0", "/?\t", "/?\x7f", "/?\u{e4}"] {
            check("GET", target, None);
        }
    }

    #[track_caller]
    fn check_host(host: &str, expected: Option<Port>) {
        assert_eq!(parse_host(host.as_bytes()), expected, "{host}");
    }

    #[test]
    fn judges_hosts() {
        for host in ["a", "a.b-c_d~", "127.0.0.1", "[::1]", "[1:2::3:4]", "[v1.a:b]", "a%41", "a:"]
        {
            check_host(host, Some(Port::None));
        }
        for host in ["a:0", "a:80", "[::1]:65535", "a:00080"] {
            check_host(host, Some(Port::Given));
        }
        for host in
            ["", ":", ":80", "a b", "a,b", "a/b", "a@b", "a:b", "a:80:80", "a:65536", "a:+1"]
        {
            check_host(host, None);
        }
        for host in ["[::1", "::1", "[]", "[::1]a", "[::1%25eth0]", "[v.a]", "[v1.]", "a%4", "a\\"]
        {
            check_host(host, None);
        }
    }
}
