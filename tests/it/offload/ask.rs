//! What a client of the ledger asks for, and what the right answer is, byte for byte.

use std::time::Duration;

/// One request and the manners of its client.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// What it is counted as.
    pub(super) kind: &'static str,
    target: String,
    upload: Option<Upload>,
    pub(super) right: Right,
    pub(super) manners: Manners,
}

/// The body of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upload {
    pub(super) bytes: u64,
    pub(super) chunked: bool,
}

/// What a 200 must carry.
#[derive(Clone, Debug)]
pub(super) enum Right {
    /// The body of the request, each byte + 1.
    Echo,
    /// So many chunks of so many bytes, each the line from its beginning.
    Lines { chunks: u64, bytes: u64 },
    /// A text with this in it.
    Text(String),
}

/// How a client behaves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manners {
    /// It reads so many bytes in each step, through a narrow window.
    pub(super) reads: Option<usize>,
    /// It writes so many bytes in each step.
    pub(super) writes: Option<usize>,
    /// From then on it is in a hurry like any other.
    pub(super) hurries_after: Option<Duration>,
    pub(super) leaves: Option<Leave>,
}

/// When a client leaves without waiting for the rest.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leave {
    After(Duration),
    /// So many bytes of the answer have come.
    Received(u64),
    /// So many bytes of the request are sent.
    Sent(u64),
}

impl Ask {
    /// Anything by GET, whose answer has this text in it.
    pub(super) fn get(kind: &'static str, target: impl Into<String>, text: &str) -> Ask {
        let (target, right) = (target.into(), Right::Text(text.to_owned()));
        Ask { kind, target, upload: None, right, manners: Manners::default() }
    }

    /// CPU time of a worker, in tenths of a millisecond.
    pub(super) fn burn(tenths: u64) -> Ask {
        let target = match tenths % 10 {
            0 => format!("/burn/{}", tenths / 10),
            tenth => format!("/burn/{}.{tenth}", tenths / 10),
        };
        Ask::get("burn", target, "burned")
    }

    /// A number that takes some computing.
    pub(super) fn fib(n: u32) -> Ask {
        Ask::get("fib", format!("/fib/{n}"), &fibonacci(n).to_string())
    }

    /// An asynchronous wait in a worker.
    pub(super) fn sleep(ms: u64) -> Ask {
        Ask::get("sleep", format!("/offload/sleep/{ms}"), &format!("slept {ms} ms"))
    }

    /// A body of so many bytes, there and back.
    pub(super) fn echo(bytes: u64) -> Ask {
        let (target, right) = ("/offload/echo".to_owned(), Right::Echo);
        let upload = Some(Upload { bytes, chunked: false });
        let kind = if bytes < SLOT_BYTES / 2 { "echo" } else { "large echo" };
        Ask { kind, target, upload, right, manners: Manners::default() }
    }

    /// The same by a handler that gets the body in one piece and gives it back so.
    pub(super) fn echo_whole(bytes: u64) -> Ask {
        Ask { target: "/offload/echo/whole".to_owned(), ..Ask::echo(bytes) }
    }

    /// The same in chunks of several sizes.
    pub(super) fn echo_in_chunks(bytes: u64) -> Ask {
        let upload = Some(Upload { bytes, chunked: true });
        Ask { upload, ..Ask::echo(bytes) }
    }

    /// A streamed answer.
    pub(super) fn stream(chunks: u64, bytes: u64) -> Ask {
        let target = format!("/offload/stream?chunks={chunks}&bytes={bytes}");
        let right = Right::Lines { chunks, bytes };
        Ask { right, ..Ask::get("stream", target, "") }
    }

    pub(super) fn reading(mut self, bytes: usize) -> Ask {
        self.manners.reads = Some(bytes);
        self
    }

    pub(super) fn writing(mut self, bytes: usize) -> Ask {
        self.manners.writes = Some(bytes);
        self
    }

    pub(super) fn hurrying_after(mut self, span: Duration) -> Ask {
        self.manners.hurries_after = Some(span);
        self
    }

    pub(super) fn leaving(mut self, leave: Leave) -> Ask {
        self.manners.leaves = Some(leave);
        self
    }

    /// The same, counted apart.
    pub(super) fn called(mut self, kind: &'static str) -> Ask {
        self.kind = kind;
        self
    }

    /// The head of the request.
    pub(super) fn head(&self, id: u64) -> String {
        let target = &self.target;
        let framing = match self.upload {
            None => String::new(),
            Some(Upload { chunked: true, .. }) => "Transfer-Encoding: chunked\r\n".to_owned(),
            Some(Upload { bytes, .. }) => format!("Content-Length: {bytes}\r\n"),
        };
        let method = if self.upload.is_some() { "POST" } else { "GET" };
        format!("{method} {target} HTTP/1.1\r\nHost: it\r\n{ID_FIELD}: {id}\r\n{framing}\r\n")
    }

    /// The piece of the body that begins at `at`; empty behind its end. The last piece of a
    /// chunked body says so.
    pub(super) fn piece(&self, id: u64, at: u64) -> Vec<u8> {
        let Some(Upload { bytes, chunked }) = self.upload else { return vec![] };
        let most = if chunked { CHUNKS[(at % 7) as usize % CHUNKS.len()] } else { PIECE_BYTES };
        let mut content = vec![0; most.min(bytes - at) as usize];
        fill(id, at, &mut content);
        if chunked { in_chunk(&content, at + most >= bytes) } else { content }
    }

    /// How much of the body a piece carries that begins at `at`.
    pub(super) fn piece_bytes(&self, at: u64) -> u64 {
        let Some(Upload { bytes, chunked }) = self.upload else { return 0 };
        let most = if chunked { CHUNKS[(at % 7) as usize % CHUNKS.len()] } else { PIECE_BYTES };
        most.min(bytes - at)
    }

    pub(super) fn upload_bytes(&self) -> u64 {
        self.upload.map_or(0, |upload| upload.bytes)
    }

    /// A body without content still has its last chunk.
    pub(super) fn is_chunked(&self) -> bool {
        self.upload.is_some_and(|upload| upload.chunked)
    }
}

/// Compares a body with what it must be, as it comes.
#[derive(Debug, Default)]
pub(super) struct Check {
    at: u64,
    text: Vec<u8>,
}

impl Check {
    pub(super) fn take(&mut self, ask: &Ask, id: u64, bytes: &[u8]) -> Result<(), String> {
        let at = self.at;
        self.at += bytes.len() as u64;
        match ask.right {
            Right::Echo => {
                let mut expected = vec![0; bytes.len()];
                fill(id, at, &mut expected);
                compare(at, bytes, |index| expected[index].wrapping_add(1))
            }
            Right::Lines { bytes: each, .. } => {
                compare(at, bytes, |index| LINE[(((at + index as u64) % each) % 64) as usize])
            }
            Right::Text(_) => {
                self.text.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    pub(super) fn finish(&self, ask: &Ask) -> Result<(), String> {
        let expected = match &ask.right {
            Right::Echo => ask.upload_bytes(),
            Right::Lines { chunks, bytes } => chunks * bytes,
            Right::Text(text) => {
                let said = String::from_utf8_lossy(&self.text);
                let right = said.contains(text.as_str());
                return if right { Ok(()) } else { Err(format!("{said:?} without {text:?}")) };
            }
        };
        let right = self.at == expected;
        if right { Ok(()) } else { Err(format!("{} bytes instead of {expected}", self.at)) }
    }
}

fn compare(at: u64, bytes: &[u8], expected: impl Fn(usize) -> u8) -> Result<(), String> {
    match (0..bytes.len()).find(|&index| bytes[index] != expected(index)) {
        None => Ok(()),
        Some(index) => {
            let (found, expected) = (bytes[index], expected(index));
            Err(format!("byte {} is {found:#04x} instead of {expected:#04x}", at + index as u64))
        }
    }
}

/// Bytes that belong to this request and this place alone: each eight of them are a hash of both,
/// so that what comes from another request, or twice, or out of order, is seen.
fn fill(id: u64, at: u64, out: &mut [u8]) {
    for (place, byte) in (at..).zip(out) {
        *byte = (scatter((id << 32) | (place / 8)) >> (8 * (place % 8))) as u8;
    }
}

/// A number that looks like any other.
pub(super) fn scatter(number: u64) -> u64 {
    let mut hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

fn in_chunk(content: &[u8], last: bool) -> Vec<u8> {
    let mut bytes = vec![];
    if !content.is_empty() {
        bytes.extend(format!("{:x}\r\n", content.len()).into_bytes());
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(b"\r\n");
    }
    if last {
        bytes.extend_from_slice(b"0\r\n\r\n");
    }
    bytes
}

fn fibonacci(n: u32) -> u128 {
    (0..n).fold((0, 1), |(low, high), _| (high, low + high)).0
}

/// The default of `slot`.
pub(super) const SLOT_BYTES: u64 = 4 << 10;
/// The field that carries the number of a request.
pub(super) const ID_FIELD: &str = "X-Request-Id";
/// What fills the chunks of a stream.
const LINE: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n";
const PIECE_BYTES: u64 = 64 << 10;
const CHUNKS: [u64; 4] = [4096, 1, 65_536, 777];
