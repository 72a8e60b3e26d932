//! A small reader of responses that shares nothing with the core.

/// What the client knows of the request that a response belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) head: bool,
}

/// Reads one response for each request, up to the last byte. The last one may be cut short when
/// the connection was aborted. Whether the last one says that the connection ends.
pub(crate) fn read(mut output: &[u8], asked: &[Asked], aborted: bool) -> Result<bool, String> {
    let mut closed = false;
    for (index, asked) in asked.iter().enumerate() {
        if closed {
            return Err("a response follows the one that says close".to_owned());
        }
        match read_one(output, *asked) {
            Ok((rest, close)) => {
                output = rest;
                closed = close;
            }
            Err(error) if aborted && error.ends_with(CUT) => return Ok(true),
            Err(error) => return Err(format!("response {index}: {error}")),
        }
    }
    if output.is_empty() { Ok(closed) } else { Err("bytes behind the last response".to_owned()) }
}

fn read_one(output: &[u8], asked: Asked) -> Result<(&[u8], bool), String> {
    let end = find(output, b"\r\n\r\n").ok_or_else(|| format!("the head is {CUT}"))?;
    let (head, mut rest) = (&output[..end], &output[end + 4..]);
    let head = str::from_utf8(head).map_err(|_| "the head is not text")?;
    let mut lines = head.split("\r\n");
    let status = parse_status(lines.next().unwrap_or_default())?;
    let (mut length, mut chunked, mut close, mut server, mut date) = (None, false, false, 0, 0);
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or_else(|| format!("field {line:?}"))?;
        if line.contains(['\r', '\n']) {
            return Err(format!("a stray line end in {line:?}"));
        }
        match name {
            "Content-Length" if length.is_none() => {
                length = Some(value.parse::<usize>().map_err(|_| format!("length {value:?}"))?);
            }
            "Transfer-Encoding" if value == "chunked" && !chunked => chunked = true,
            "Connection" => close = value == "close",
            "Server" => server += 1,
            "Date" => date += 1,
            "Content-Type" => {}
            _ => return Err(format!("unexpected field {line:?}")),
        }
    }
    if server != 1 || date != 1 {
        return Err("Server and Date must each be there once".to_owned());
    }
    if length.is_some() && chunked {
        return Err("two framings".to_owned());
    }
    let empty = asked.head || status == 204 || status == 304;
    if !empty && chunked {
        rest = read_chunks(rest)?;
    } else if !empty {
        match length {
            Some(length) => {
                rest = rest.get(length..).ok_or_else(|| format!("the body is {CUT}"))?;
            }
            None if close => rest = &[],
            None => return Err("a body without an end".to_owned()),
        }
    }
    Ok((rest, close))
}

fn parse_status(line: &str) -> Result<u16, String> {
    let rest = line.strip_prefix("HTTP/1.1 ").ok_or_else(|| format!("status line {line:?}"))?;
    let (code, _) = rest.split_once(' ').ok_or_else(|| format!("status line {line:?}"))?;
    let status = code.parse().map_err(|_| format!("status {code:?}"))?;
    if (200..600).contains(&status) { Ok(status) } else { Err(format!("status {status}")) }
}

fn read_chunks(mut rest: &[u8]) -> Result<&[u8], String> {
    loop {
        let end = find(rest, b"\r\n").ok_or_else(|| format!("a chunk size is {CUT}"))?;
        let size = str::from_utf8(&rest[..end]).ok();
        let size = size.and_then(|text| usize::from_str_radix(text, 16).ok());
        let size = size.ok_or_else(|| format!("chunk size {:?}", &rest[..end]))?;
        rest = &rest[end + 2..];
        if size == 0 {
            return read_trailers(rest);
        }
        match rest.get(size..) {
            Some([b'\r', b'\n', after @ ..]) => rest = after,
            Some([_, _, ..]) => return Err("a chunk has no end".to_owned()),
            _ => return Err(format!("a chunk is {CUT}")),
        }
    }
}

fn read_trailers(mut rest: &[u8]) -> Result<&[u8], String> {
    loop {
        let end = find(rest, b"\r\n").ok_or_else(|| format!("a trailer is {CUT}"))?;
        rest = &rest[end + 2..];
        if end == 0 {
            return Ok(rest);
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

const CUT: &str = "cut short";
