//! An independent reader of HTTP/1 responses: small, strict, and written from the RFCs alone.
//!
//! It shares no code with the server, so that a mistake in the server's idea of the format cannot
//! hide in the test's. Whatever an answer must never contain is an error here, so that every test
//! that reads an answer checks all of it: line ends, names, framing, Date, Server.

/// What the reader must know of the request to find the end of its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The request was a HEAD: the answer ends with its head, whatever its fields say.
    pub(crate) head: bool,
    /// The request was HTTP/1.0: the answer must not be chunked.
    pub(crate) http10: bool,
}

/// How the end of the body was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Chunked,
    Close,
    Length(usize),
    None,
}

/// One complete response, interim ones included.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) framing: Framing,
    /// Sizes of the chunks as they came, without the last one.
    pub(crate) chunks: usize,
}

impl Response {
    /// The only value of a field; several lines of it are joined by a comma.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let lines: Vec<&str> = self.lines(name).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    }

    /// Whether `Connection` carries this option.
    pub(crate) fn connection(&self, option: &str) -> bool {
        self.lines("connection")
            .flat_map(|line| line.split(','))
            .any(|found| found.trim().eq_ignore_ascii_case(option))
    }

    /// The body for messages.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields
            .iter()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// Takes one response from the start of `input`.
///
/// `Ok(None)` asks for more bytes; `ended` says that there will be none, which ends a body that is
/// delimited by the close and makes anything else that is incomplete an error.
pub(crate) fn parse(
    input: &[u8],
    asked: Asked,
    ended: bool,
) -> Result<Option<(Response, usize)>, String> {
    let Some(head) = find(input, b"\r\n\r\n") else {
        check_unfinished_head(input)?;
        return short(ended, "the head of an answer", input);
    };
    let mut response = begin(&input[..head], asked)?;
    let start = head + 4;
    let rest = &input[start..];
    let used = match response.framing {
        Framing::None => 0,
        Framing::Length(length) if rest.len() >= length => {
            response.body = rest[..length].to_vec();
            length
        }
        Framing::Length(_) => return short(ended, "a body of known length", rest),
        Framing::Chunked => match parse_chunked(rest)? {
            Some((body, chunks, used)) => {
                response.body = body;
                response.chunks = chunks;
                used
            }
            None => return short(ended, "a chunked body", rest),
        },
        Framing::Close if ended => {
            response.body = rest.to_vec();
            rest.len()
        }
        Framing::Close => return Ok(None),
    };
    check_fields(&response, asked)?;
    Ok(Some((response, start + used)))
}

/// A response whose head has come, without its empty line, and nothing behind it yet.
pub(crate) fn begin(head: &[u8], asked: Asked) -> Result<Response, String> {
    let (status, fields) = parse_head(head)?;
    let mut response = Response { status, fields, body: vec![], framing: Framing::None, chunks: 0 };
    response.framing = framing(&response, asked)?;
    Ok(response)
}

fn short(ended: bool, what: &str, seen: &[u8]) -> Result<Option<(Response, usize)>, String> {
    if ended {
        Err(format!("the connection ended inside {what}: {}", show(seen)))
    } else {
        Ok(None)
    }
}

/// A head that is not complete must at least begin like one, so that garbage is named at once.
fn check_unfinished_head(input: &[u8]) -> Result<(), String> {
    let prefix = b"HTTP/1.1 ";
    let length = input.len().min(prefix.len());
    if input[..length] != prefix[..length] {
        return Err(format!("no status line: {}", show(input)));
    }
    if input.len() > (64 << 10) {
        return Err("an answer's head of more than 64 KiB".into());
    }
    Ok(())
}

fn parse_head(head: &[u8]) -> Result<(u16, Vec<(String, String)>), String> {
    let text = std::str::from_utf8(head).map_err(|_| format!("head not UTF-8: {}", show(head)))?;
    let mut lines = text.split("\r\n");
    let status = parse_status_line(lines.next().unwrap_or_default())?;
    let fields = lines.map(parse_field).collect::<Result<_, _>>()?;
    Ok((status, fields))
}

/// RFC 9112 4: version, one space, three digits, one space (even when the reason is empty).
fn parse_status_line(line: &str) -> Result<u16, String> {
    let fault = || format!("bad status line {line:?}");
    let rest = line.strip_prefix("HTTP/1.1 ").ok_or_else(fault)?;
    let (code, reason) = rest.split_once(' ').ok_or_else(fault)?;
    let digits = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || reason.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(fault());
    }
    code.parse().map_err(|_| fault())
}

/// RFC 9112 5: a token, a colon, a value without control bytes; no folding.
pub(crate) fn parse_field(line: &str) -> Result<(String, String), String> {
    let fault = || format!("bad field line {line:?}");
    let (name, value) = line.split_once(':').ok_or_else(fault)?;
    let controls = value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t');
    if name.is_empty() || !name.bytes().all(is_token) || controls {
        return Err(fault());
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

/// RFC 9112 6.3, from the client's side.
fn framing(response: &Response, asked: Asked) -> Result<Framing, String> {
    let length = response.field("content-length");
    let coding = response.field("transfer-encoding");
    let bodiless = asked.head || response.status < 200 || matches!(response.status, 204 | 304);
    if length.is_some() && coding.is_some() {
        return Err("Content-Length beside Transfer-Encoding".into());
    }
    if (response.status < 200 || response.status == 204) && (length.is_some() || coding.is_some()) {
        return Err(format!("framing fields in a {}", response.status));
    }
    if coding.is_some() && asked.http10 {
        return Err("Transfer-Encoding in an answer to HTTP/1.0".into());
    }
    match (length, coding) {
        _ if bodiless => Ok(Framing::None),
        (Some(length), _) if !length.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(format!("Content-Length {length:?}"))
        }
        (Some(length), _) => {
            length.parse().map(Framing::Length).map_err(|_| format!("Content-Length {length:?}"))
        }
        (_, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        (_, Some(coding)) => Err(format!("Transfer-Encoding {coding:?}")),
        (None, None) => Ok(Framing::Close),
    }
}

type Chunked = Option<(Vec<u8>, usize, usize)>;

/// RFC 9112 7.1 without extensions, which the server has no reason to send.
fn parse_chunked(input: &[u8]) -> Result<Chunked, String> {
    let mut at = 0;
    let mut parts: Vec<&[u8]> = vec![];
    loop {
        let Some(line) = find(&input[at..], b"\r\n") else {
            return if input.len() - at > 64 { Err("endless chunk size".into()) } else { Ok(None) };
        };
        let digits = &input[at..at + line];
        let text = std::str::from_utf8(digits).unwrap_or("");
        let hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = usize::from_str_radix(text, 16).ok().filter(|_| hex);
        let size = size.ok_or_else(|| format!("bad chunk size {}", show(digits)))?;
        at += line + 2;
        if size == 0 {
            break;
        }
        let Some(end) = input.get(at + size..at + size + 2) else { return Ok(None) };
        if end != b"\r\n" {
            return Err(format!("a chunk of {size} bytes is followed by {}", show(end)));
        }
        parts.push(&input[at..at + size]);
        at += size + 2;
    }
    // Trailers: field lines up to an empty one.
    loop {
        let Some(line) = find(&input[at..], b"\r\n") else { return Ok(None) };
        let text = &input[at..at + line];
        at += line + 2;
        if text.is_empty() {
            return Ok(Some((parts.concat(), parts.len(), at)));
        }
        parse_field(&String::from_utf8_lossy(text))?;
    }
}

/// What every final answer of the server carries, and what none may.
pub(crate) fn check_fields(response: &Response, asked: Asked) -> Result<(), String> {
    let status = response.status;
    if status < 200 {
        let allowed = asked.http10.then(|| format!("interim {status} to an HTTP/1.0 client"));
        return allowed.map_or(Ok(()), Err);
    }
    for name in ["date", "server", "content-type", "content-length"] {
        let count = response.lines(name).count();
        let wanted = matches!(name, "date" | "server");
        if count > 1 || (wanted && count == 0) {
            return Err(format!("{count} lines of {name} in a {status}"));
        }
    }
    let date = response.field("date").unwrap_or_default();
    let canonical = httpdate::parse_http_date(&date).map(httpdate::fmt_http_date);
    if canonical.ok().as_ref() != Some(&date) {
        return Err(format!("Date {date:?} is not an IMF-fixdate"));
    }
    if status == 405 && response.field("allow").is_none() {
        return Err("405 without Allow (RFC 9110 15.5.6)".into());
    }
    if !response.body.is_empty() && response.field("content-type").is_none() {
        return Err(format!("a {status} with content but without Content-Type"));
    }
    Ok(())
}

/// Token characters of RFC 9110 5.6.2.
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The first place of `needle` in `haystack`.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

/// Bytes for a message: escaped, and cut in the middle when they are many.
pub(crate) fn show(bytes: &[u8]) -> String {
    if bytes.len() <= 400 {
        return format!("\"{}\"", bytes.escape_ascii());
    }
    let (start, end) = (&bytes[..250], &bytes[bytes.len() - 120..]);
    let cut = bytes.len() - 370;
    format!("\"{}\" .. {cut} bytes .. \"{}\"", start.escape_ascii(), end.escape_ascii())
}
