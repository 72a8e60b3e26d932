//! A second opinion: what a request is, judged by a reader that is slow, small and strict.
//!
//! It answers for the cases nobody wrote down: a mutant of a good request may be good too, and then
//! it must be served as what it has become. It takes the decisions where servers disagree as the
//! project's design states them. It shares no code with the server.

use crate::harness::response::is_token;

/// What the start of a byte sequence is.
#[derive(Debug)]
pub(crate) enum Judged {
    /// No request; one answer with such a status, then the close.
    Bad(&'static [u16]),
    /// A whole request, and how many bytes it took.
    Request(Box<Request>, usize),
    /// The start of something that may become a request.
    Short,
    /// A whole head whose body is not there yet.
    ShortBody(Box<Request>),
}

/// A request as the routes see it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Raw path, without query and without scheme and authority.
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    pub(crate) http10: bool,
    pub(crate) close: bool,
    pub(crate) expects_continue: bool,
}

/// What the demo's routes answer: one of these statuses, and exactly this content if one is given.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) statuses: &'static [u16],
    pub(crate) content: Option<Vec<u8>>,
}

/// Limits of the default settings, and of the constants that nobody can set.
const LINE_BYTES: usize = 8 << 10;
const METHOD_BYTES: usize = 32;
const FIELD_BYTES: usize = 16 << 10;
const FIELDS: usize = 100;
const BODY_BYTES: u64 = 16 << 20;
const EMPTY_LINES: usize = 8;
const CHUNK_LINE: usize = 256;
const EXTENSION_BYTES: usize = 16 << 10;
const TRAILER_BYTES: usize = 8 << 10;

const BAD: Judged = Judged::Bad(&[400]);

/// Judges what stands at the start of `input`.
pub(crate) fn judge(input: &[u8]) -> Judged {
    let mut at = 0;
    let mut skipped = 0;
    while input[at..].starts_with(b"\r\n") {
        skipped += 1;
        at += 2;
        if skipped > EMPTY_LINES {
            return BAD;
        }
    }
    if input.get(at..at + METHOD_BYTES + 1).is_some_and(|start| start.iter().copied().all(is_token))
    {
        return Judged::Bad(&[501]);
    }
    let line = match line(&input[at..], LINE_BYTES) {
        Line::Long => return Judged::Bad(&[414]),
        Line::Short => return Judged::Short,
        Line::Bare => return BAD,
        Line::Whole(line) => line,
    };
    at += line.len() + 2;
    let mut request = match request_line(line) {
        Ok(request) => request,
        Err(judged) => return judged,
    };
    let mut fields: Vec<(String, Vec<u8>)> = vec![];
    let start = at;
    loop {
        let line = match self::line(&input[at..], FIELD_BYTES) {
            Line::Long => return Judged::Bad(&[431]),
            Line::Short => return Judged::Short,
            Line::Bare => return BAD,
            Line::Whole(line) => line,
        };
        at += line.len() + 2;
        if at - start > FIELD_BYTES {
            return Judged::Bad(&[431]);
        }
        if line.is_empty() {
            break;
        }
        let Some(field) = field(line) else { return BAD };
        fields.push(field);
        if fields.len() > FIELDS {
            return Judged::Bad(&[431]);
        }
    }
    if let Err(judged) = apply_host(&request, &fields) {
        return judged;
    }
    apply_connection(&mut request, &fields);
    if let Err(judged) = apply_expect(&mut request, &fields) {
        return judged;
    }
    body(request, &fields, input, at)
}

enum Line<'i> {
    Bare,
    Long,
    Short,
    Whole(&'i [u8]),
}

fn line(input: &[u8], limit: usize) -> Line<'_> {
    let end = input.iter().position(|&byte| byte == b'\r' || byte == b'\n');
    match end {
        Some(end) if end > limit => Line::Long,
        None if input.len() > limit => Line::Long,
        None => Line::Short,
        Some(end) if input[end] == b'\n' => Line::Bare,
        Some(end) if end + 1 == input.len() => Line::Short,
        Some(end) if input[end + 1] == b'\n' => Line::Whole(&input[..end]),
        Some(_) => Line::Bare,
    }
}

fn request_line(line: &[u8]) -> Result<Request, Judged> {
    let parts: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let [method, target, version] = parts[..] else { return Err(BAD) };
    if method.is_empty() || !method.iter().copied().all(is_token) {
        return Err(BAD);
    }
    let [b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9'] = version
    else {
        return Err(BAD);
    };
    if *major != b'1' {
        return Err(Judged::Bad(&[505]));
    }
    let method = String::from_utf8_lossy(method).into_owned();
    let path = path(&method, target).ok_or(BAD)?;
    let http10 = *minor == b'0';
    Ok(Request { method, path, body: vec![], http10, close: http10, expects_continue: false })
}

/// The four forms of RFC 9112 3.2, reduced to a path.
fn path(method: &str, target: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(target).ok()?;
    let (before, query) = text.split_once('?').unwrap_or((text, ""));
    let is_query_byte = |byte| is_uri_byte(byte) || b"{|}^\\`".contains(&byte);
    if !before.bytes().all(is_uri_byte)
        || !percents_are_whole(before)
        || !query.bytes().all(is_query_byte)
    {
        return None;
    }
    if method == "CONNECT" {
        let (host, port) = text.rsplit_once(':')?;
        return (!host.is_empty() && is_host(text) && !port.is_empty()).then(|| text.to_owned());
    }
    if text == "*" {
        return (method == "OPTIONS").then(|| text.to_owned());
    }
    if text.starts_with('/') {
        return Some(without_query(text).to_owned());
    }
    let (scheme, rest) = text.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let cut = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(cut);
    if authority.is_empty() || authority.starts_with(':') || !is_host(authority) {
        return None;
    }
    let path = without_query(path);
    Some(if path.is_empty() { "/".into() } else { path.into() })
}

fn without_query(text: &str) -> &str {
    text.split_once('?').map_or(text, |(path, _)| path)
}

fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte)
}

fn percents_are_whole(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|part| part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

/// uri-host [ ":" port ] of RFC 3986 3.2.2 and 3.2.3, without userinfo.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((literal, after)) = rest.split_once(']') else { return false };
            if !is_ip_literal(literal) {
                return false;
            }
            match after.strip_prefix(':') {
                Some(port) => ("", port),
                None if after.is_empty() => ("", ""),
                None => return false,
            }
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let reg_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte);
    let number = port.bytes().all(|byte| byte.is_ascii_digit())
        && (port.is_empty() || port.parse::<u32>().is_ok_and(|port| port <= 65535));
    host.bytes().all(reg_name) && percents_are_whole(host) && !host.contains(',') && number
}

fn is_ip_literal(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix(['v', 'V']) {
        let Some((version, address)) = rest.split_once('.') else { return false };
        let hex = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_hexdigit());
        return hex
            && !address.is_empty()
            && address.bytes().all(|byte| is_uri_byte(byte) && !b"/?[]@%".contains(&byte));
    }
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

fn field(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let legal = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    if name.is_empty() || !name.iter().copied().all(is_token) || !value.iter().all(legal) {
        return None;
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    Some((name, trim(value).to_vec()))
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn values<'a>(fields: &'a [(String, Vec<u8>)], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_slice())
}

/// The members of a list field over all its lines, empty ones left out.
fn members(fields: &[(String, Vec<u8>)], name: &str) -> Vec<String> {
    values(fields, name)
        .flat_map(|line| line.split(|&byte| byte == b','))
        .map(|member| String::from_utf8_lossy(trim(member)).to_ascii_lowercase())
        .filter(|member| !member.is_empty())
        .collect()
}

fn apply_host(request: &Request, fields: &[(String, Vec<u8>)]) -> Result<(), Judged> {
    let hosts: Vec<&[u8]> = values(fields, "host").collect();
    let syntax = |host: &[u8]| std::str::from_utf8(host).is_ok_and(is_host);
    match hosts[..] {
        [] if request.http10 => Ok(()),
        [host] if syntax(host) => Ok(()),
        _ => Err(BAD),
    }
}

fn apply_connection(request: &mut Request, fields: &[(String, Vec<u8>)]) {
    let options = members(fields, "connection");
    let has = |option: &str| options.iter().any(|found| found == option);
    request.close = has("close") || (request.http10 && !has("keep-alive"));
}

fn apply_expect(request: &mut Request, fields: &[(String, Vec<u8>)]) -> Result<(), Judged> {
    for expectation in members(fields, "expect") {
        if expectation != "100-continue" {
            return Err(Judged::Bad(&[417]));
        }
        request.expects_continue = !request.http10;
    }
    Ok(())
}

fn body(mut request: Request, fields: &[(String, Vec<u8>)], input: &[u8], start: usize) -> Judged {
    let lengths: Vec<&[u8]> = values(fields, "content-length").collect();
    let codings = members(fields, "transfer-encoding");
    let coded = values(fields, "transfer-encoding").next().is_some();
    if coded {
        let last = codings.last().is_some_and(|coding| *coding == "chunked");
        let known = |coding: &&String| *coding == "chunked" || *coding == "identity";
        let known = codings.iter().all(|coding| known(&coding));
        if !request.http10 && lengths.is_empty() && last && !known {
            // Either is an answer for a coding that we do not know.
            return Judged::Bad(&[501, 400]);
        }
        if request.http10 || !lengths.is_empty() || codings != ["chunked"] {
            return BAD;
        }
        return match chunked(&input[start..]) {
            Chunked::Bad => BAD,
            Chunked::Short => Judged::ShortBody(Box::new(request)),
            Chunked::Whole(body, used) => {
                request.body = body;
                Judged::Request(Box::new(request), start + used)
            }
        };
    }
    let length = match lengths[..] {
        [] => 0,
        [digits] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            match String::from_utf8_lossy(digits).parse::<u64>() {
                Ok(length) if length > BODY_BYTES => return Judged::Bad(&[413]),
                Ok(length) => usize::try_from(length).expect("the limit fits"),
                Err(_) => return Judged::Bad(&[400, 413]),
            }
        }
        _ => return BAD,
    };
    match input.get(start..start + length) {
        Some(body) => {
            request.body = body.to_vec();
            Judged::Request(Box::new(request), start + length)
        }
        None => Judged::ShortBody(Box::new(request)),
    }
}

enum Chunked {
    Bad,
    Short,
    Whole(Vec<u8>, usize),
}

fn chunked(input: &[u8]) -> Chunked {
    let mut at = 0;
    let mut body = vec![];
    let mut extensions = 0;
    loop {
        let line = match line(&input[at..], CHUNK_LINE) {
            Line::Bare | Line::Long => return Chunked::Bad,
            Line::Short => return Chunked::Short,
            Line::Whole(line) => line,
        };
        at += line.len() + 2;
        let Some(size) = chunk_size(line) else { return Chunked::Bad };
        extensions += line.iter().skip_while(|byte| byte.is_ascii_hexdigit()).count();
        if extensions > EXTENSION_BYTES {
            return Chunked::Bad;
        }
        if size == 0 {
            return trailers(input, at, body);
        }
        if size > 1 << 24 {
            return Chunked::Bad;
        }
        let Some(data) = input.get(at..at + size) else { return Chunked::Short };
        body.extend_from_slice(data);
        at += size;
        match input.get(at..at + 2) {
            Some(b"\r\n") => at += 2,
            Some(_) => return Chunked::Bad,
            None if matches!(input.get(at), None | Some(b'\r')) => return Chunked::Short,
            None => return Chunked::Bad,
        }
    }
}

fn trailers(input: &[u8], mut at: usize, body: Vec<u8>) -> Chunked {
    let start = at;
    loop {
        let line = match line(&input[at..], FIELD_BYTES) {
            Line::Bare | Line::Long => return Chunked::Bad,
            Line::Short => return Chunked::Short,
            Line::Whole(line) => line,
        };
        at += line.len() + 2;
        if at - start > TRAILER_BYTES {
            return Chunked::Bad;
        }
        if line.is_empty() {
            return Chunked::Whole(body, at);
        }
        let forbidden = ["content-length", "transfer-encoding", "host"];
        match field(line) {
            Some((name, _)) if !forbidden.contains(&name.as_str()) => {}
            _ => return Chunked::Bad,
        }
    }
}

/// chunk-size [ chunk-ext ], without white space: RFC 9112 7.1, strictly read.
fn chunk_size(line: &[u8]) -> Option<usize> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extensions) = line.split_at(digits);
    if digits == 0 || digits > 16 || !are_extensions(extensions) {
        return None;
    }
    usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()
}

fn are_extensions(mut rest: &[u8]) -> bool {
    while let [b';', after @ ..] = rest {
        let name = after.iter().take_while(|byte| is_token(**byte)).count();
        if name == 0 {
            return false;
        }
        rest = &after[name..];
        if let [b'=', value @ ..] = rest {
            let Some(used) = extension_value(value) else { return false };
            rest = &value[used..];
        }
    }
    rest.is_empty()
}

fn extension_value(value: &[u8]) -> Option<usize> {
    if value.first() != Some(&b'"') {
        let token = value.iter().take_while(|byte| is_token(**byte)).count();
        return (token > 0).then_some(token);
    }
    let mut at = 1;
    while let Some(&byte) = value.get(at) {
        match byte {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            b'\t' | b' '..=b'~' | 0x80.. => at += 1,
            _ => return None,
        }
    }
    None
}

/// What the demo answers.
pub(crate) fn route(request: &Request) -> Routed {
    let (method, path) = (request.method.as_str(), request.path.as_str());
    let reads = matches!(method, "GET" | "HEAD");
    let user = path.strip_prefix("/user/").filter(|id| !id.is_empty() && !id.contains('/'));
    let content: Option<Vec<u8>> = match (path, user) {
        ("/plaintext", _) if reads => Some(b"Hello, World!".to_vec()),
        ("/json" | "/" | "/events" | "/stream", _) if reads => None,
        ("/echo", _) if method == "POST" => Some(request.body.clone()),
        (_, Some(id)) if reads => match decode(id) {
            Some(id) => Some(id.into_bytes()),
            None => return Routed { statuses: &[400, 404], content: None },
        },
        ("*", _) => return Routed { statuses: &[200, 204], content: None },
        ("/sleep/1" | "/sleep/30" | "/sleep/50", _) if reads => None,
        ("/panic", _) if reads => return Routed { statuses: &[500], content: None },
        ("/plaintext" | "/json" | "/" | "/echo" | "/events" | "/stream", _) | (_, Some(_)) => {
            let statuses: &[u16] = if method == "OPTIONS" { &[200, 204, 405] } else { &[405, 501] };
            return Routed { statuses, content: None };
        }
        _ => return Routed { statuses: &[404, 405, 501], content: None },
    };
    Routed { statuses: &[200], content }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = vec![];
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let hex = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

/// The statuses of the route that a judged request goes to.
pub(crate) fn route_of(judged: &Judged) -> Option<&'static [u16]> {
    match judged {
        Judged::Request(request, _) => Some(route(request).statuses),
        _ => None,
    }
}
