//! What a server must answer, and whether it does.

use std::fmt::{self, Display};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::description::Description;

/// What every subject serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Route {
    /// CPU for so long, outside of the loop that answers others: `/burn/{ms}`.
    Burn {
        ms: u32,
    },
    /// A file of the root: `/file/{name}` is `{root}/{name}`.
    File {
        name: &'static str,
    },
    Json,
    Plaintext,
    User,
}

/// One right answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    /// Head and body: what crosses the wire for each request.
    pub(crate) bytes: u64,
}

/// What came instead of the right answer.
#[derive(Debug)]
pub(crate) struct WrongAnswer {
    pub(super) path: String,
    pub(super) why: String,
    /// Whether it may get better by waiting: nobody listens yet, or a 5xx.
    pub(super) passing: bool,
}

impl Route {
    /// How descriptions call them.
    pub(super) const NAMES: &[&str] = &["burn", "file", "json", "plaintext", "user"];

    fn name(self) -> &'static str {
        match self {
            Self::Burn { .. } => "burn",
            Self::File { .. } => "file",
            Self::Json => "json",
            Self::Plaintext => "plaintext",
            Self::User => "user",
        }
    }

    /// The path at this subject.
    pub(crate) fn path(self, subject: &Description) -> String {
        let own = subject.routes.get(self.name()).map(|own| own.path.as_str());
        self.fill(own.unwrap_or(match self {
            Self::Burn { .. } => "/burn/{ms}",
            Self::File { .. } => "/file/{name}",
            Self::Json => "/json",
            Self::Plaintext => "/plaintext",
            Self::User => "/user/42",
        }))
    }

    /// The body of the right answer.
    pub(crate) fn body(self, subject: &Description, root: &Path) -> io::Result<Vec<u8>> {
        let own = subject.routes.get(self.name()).and_then(|own| own.body.as_deref());
        if let Some(text) = own {
            return Ok(self.fill(text).into_bytes());
        }
        Ok(match self {
            _ if subject.fixed => PLAINTEXT.into(),
            Self::Burn { .. } => self.fill("burned {ms} ms").into_bytes(),
            Self::File { name } => std::fs::read(root.join(name))?,
            Self::Json => b"{\"message\":\"Hello, World!\"}".into(),
            Self::Plaintext => PLAINTEXT.into(),
            Self::User => b"42".into(),
        })
    }

    fn fill(self, text: &str) -> String {
        match self {
            Self::Burn { ms } => text.replace("{ms}", &ms.to_string()),
            Self::File { name } => text.replace("{name}", name),
            Self::Json | Self::Plaintext | Self::User => text.to_owned(),
        }
    }
}

impl Display for WrongAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GET {}: {}", self.path, self.why)
    }
}

impl std::error::Error for WrongAnswer {}

/// Asks once, on a connection of its own, and compares status, length and content.
pub(super) fn check(
    address: SocketAddr,
    path: &str,
    expected: &[u8],
) -> Result<Answer, WrongAnswer> {
    let wrong = |why: String, passing| WrongAnswer { path: path.to_owned(), why, passing };
    let received = ask(address, path).map_err(|error| wrong(error.to_string(), true))?;
    match judge(&received, expected) {
        Ok(()) => Ok(Answer { bytes: received.len() as u64 }),
        Err((why, passing)) => Err(wrong(why, passing)),
    }
}

/// Everything that came: a head, and the body that it announces.
fn ask(address: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").as_bytes())?;
    let mut received = Vec::new();
    let mut piece = vec![0; 1 << 16];
    let mut whole = None;
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok(received),
            count => received.extend_from_slice(&piece[..count]),
        }
        whole = whole.or_else(|| announced(&received));
        if whole.is_some_and(|whole| received.len() >= whole) {
            return Ok(received);
        }
    }
}

/// Bytes of the whole answer, as soon as its head is complete.
fn announced(received: &[u8]) -> Option<usize> {
    let head = head_bytes(received)?;
    let fields = String::from_utf8_lossy(&received[..head]);
    // Without a length there is nothing to wait for: `judge` says that it is missing.
    Some(head + field(&fields, "content-length").and_then(|v| v.parse().ok()).unwrap_or(0))
}

/// What is wrong with an answer, and whether waiting may help.
fn judge(received: &[u8], expected: &[u8]) -> Result<(), (String, bool)> {
    let Some(head) = head_bytes(received) else {
        let text = String::from_utf8_lossy(received);
        return Err((format!("no complete head: {text:?}"), received.is_empty()));
    };
    let (fields, body) = (String::from_utf8_lossy(&received[..head]), &received[head..]);
    let line = fields.lines().next().unwrap_or_default();
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    if status != Some("200") {
        let passing = status.is_some_and(|status| status.starts_with('5'));
        return Err((format!("answered {line:?} instead of a 200"), passing));
    }
    let length = field(&fields, "content-length");
    if length != Some(expected.len().to_string().as_str()) {
        let length = length.unwrap_or("missing");
        return Err((format!("Content-Length is {length}, not {}", expected.len()), false));
    }
    if body != expected {
        return Err((format!("wrong content: {}", difference(body, expected)), false));
    }
    Ok(())
}

fn head_bytes(received: &[u8]) -> Option<usize> {
    received.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

fn field<'a>(fields: &'a str, wanted: &str) -> Option<&'a str> {
    let pairs = fields.lines().filter_map(|line| line.split_once(':'));
    let mut found = pairs.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.next().map(|(_, value)| value.trim())
}

/// Where two bodies part, without showing megabytes.
fn difference(body: &[u8], expected: &[u8]) -> String {
    if body.len() != expected.len() {
        return format!("{} bytes came of {}", body.len(), expected.len());
    }
    let at = body.iter().zip(expected).position(|(got, wanted)| got != wanted).unwrap_or(0);
    let end = body.len().min(at + 20);
    let (got, wanted) = (&body[at..end], &expected[at..end]);
    format!(
        "from byte {at} {:?}, not {:?}",
        got.escape_ascii().to_string(),
        wanted.escape_ascii().to_string()
    )
}

const PLAINTEXT: &[u8] = b"Hello, World!";
/// Longer than any answer takes on a busy machine, shorter than a person's patience.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_judged(received: &str, expected: Result<(), &str>) {
        let judged = judge(received.as_bytes(), b"Hello").map_err(|(why, _)| why);
        match (judged, expected) {
            (Ok(()), Ok(())) => {}
            (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
            (judged, _) => panic!("{judged:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn answers_are_right_in_status_length_and_content() {
        check_judged("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHello", Ok(()));
        check_judged("HTTP/1.1 200\r\nX: a:b\r\ncontent-length:5\r\n\r\nHello", Ok(()));
        check_judged("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Err("404"));
        check_judged("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nHello", Err("HTTP/1.0"));
        check_judged("HTTP/1.1 200 OK\r\n\r\nHello", Err("Content-Length is missing"));
        check_judged("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nHell", Err("is 4, not 5"));
        check_judged("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHell", Err("4 bytes came of 5"));
        check_judged(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHelXo",
            Err("from byte 3 \"Xo\""),
        );
        check_judged("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHello!", Err("6 bytes came"));
        check_judged("SSH-2.0\r\n", Err("no complete head"));
    }

    #[test]
    fn only_what_waiting_can_mend_is_passing() {
        let passing = |received: &str| judge(received.as_bytes(), b"Hello").unwrap_err().1;
        assert!(passing("") && passing("HTTP/1.1 503 Not Yet\r\n\r\n"));
        assert!(!passing("HTTP/1.1 404 Not Found\r\n\r\n") && !passing("SSH-2.0\r\n"));
    }

    #[test]
    fn subjects_may_have_routes_of_their_own() {
        let nginx = Description::named("nginx").unwrap();
        let root = Path::new("/nowhere");
        assert_eq!(Route::File { name: "1k" }.path(&nginx), "/file/1k");
        assert_eq!(Route::Burn { ms: 10 }.path(&nginx), "/burn/10");
        assert_eq!(Route::Burn { ms: 10 }.body(&nginx, root).unwrap(), b"burned 10 ms");
        assert!(Route::File { name: "1k" }.body(&nginx, root).is_err());
        let bare = Description::named("bare").unwrap();
        assert_eq!(Route::User.body(&bare, root).unwrap(), PLAINTEXT);
    }
}
