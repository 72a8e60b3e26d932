//! Reads one answer as it comes, and keeps nothing of it but its head: bodies of ten megabytes on
//! a hundred connections are checked without being held.

use crate::harness::response::{self, Asked, Framing, Response, find, show};

/// One answer, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    stage: Stage,
    pub(super) head: Option<Response>,
    /// Everything that came, head and framing included.
    pub(super) received: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Stage {
    #[default]
    Head,
    /// Bytes of a body of known length that are to come.
    Body(u64),
    ChunkSize,
    /// Bytes of a chunk that are to come, its line end apart.
    Chunk(u64),
    ChunkEnd,
    Trailers,
    Done,
}

impl Reader {
    /// Takes what came; the content of the body goes on to `content`.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        mut content: impl FnMut(&Response, &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        self.received += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        let mut used = 0;
        while let Some((step, stage)) = self.step(used, &mut content)? {
            used += step;
            self.stage = stage;
        }
        self.buffer.drain(..used);
        Ok(())
    }

    /// The answer is complete; what follows it belongs to nobody.
    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// The end of what was to come: whether anything came behind it, and what every answer has.
    pub(super) fn finish(&self) -> Result<(), String> {
        if !self.buffer.is_empty() {
            return Err(format!("bytes behind the answer: {}", show(&self.buffer)));
        }
        self.head.as_ref().map_or(Ok(()), |head| response::check_fields(head, Asked::default()))
    }

    /// One step behind `at`: how many bytes it took, and what comes next.
    fn step(
        &mut self,
        at: usize,
        content: &mut impl FnMut(&Response, &[u8]) -> Result<(), String>,
    ) -> Result<Option<(usize, Stage)>, String> {
        let rest = &self.buffer[at..];
        match self.stage {
            Stage::Done => Ok(None),
            Stage::Body(0) => Ok(Some((0, Stage::Done))),
            Stage::Chunk(0) => Ok(Some((0, Stage::ChunkEnd))),
            Stage::Body(_) | Stage::Chunk(_) if rest.is_empty() => Ok(None),
            Stage::Body(left) | Stage::Chunk(left) => {
                let step = left.min(rest.len() as u64);
                let head = self.head.as_ref().ok_or("a body without a head")?;
                content(head, &rest[..step as usize])?;
                let left = left - step;
                let body = matches!(self.stage, Stage::Body(_));
                Ok(Some((step as usize, if body { Stage::Body(left) } else { Stage::Chunk(left) })))
            }
            Stage::Head => {
                let Some(end) = find(rest, b"\r\n\r\n") else { return Ok(None) };
                let head = response::begin(&rest[..end], Asked::default())?;
                let stage = behind_head(&head)?;
                self.head = Some(head);
                Ok(Some((end + 4, stage)))
            }
            Stage::ChunkSize | Stage::ChunkEnd | Stage::Trailers => {
                let Some(end) = find(rest, b"\r\n") else { return Ok(None) };
                Ok(Some((end + 2, behind_line(self.stage, &rest[..end])?)))
            }
        }
    }
}

fn behind_head(head: &Response) -> Result<Stage, String> {
    match head.framing {
        Framing::None if head.status < 200 => Ok(Stage::Head),
        Framing::None => Ok(Stage::Done),
        Framing::Length(bytes) => Ok(Stage::Body(bytes as u64)),
        Framing::Chunked => Ok(Stage::ChunkSize),
        Framing::Close => Err("an answer that only the close ends".into()),
    }
}

fn behind_line(stage: Stage, line: &[u8]) -> Result<Stage, String> {
    let text = String::from_utf8_lossy(line);
    match stage {
        Stage::ChunkEnd if line.is_empty() => Ok(Stage::ChunkSize),
        Stage::ChunkEnd => Err(format!("a chunk is followed by {text:?}")),
        Stage::Trailers if line.is_empty() => Ok(Stage::Done),
        Stage::Trailers => response::parse_field(&text).map(|_| Stage::Trailers),
        _ => match u64::from_str_radix(&text, 16) {
            Ok(0) => Ok(Stage::Trailers),
            Ok(bytes) => Ok(Stage::Chunk(bytes)),
            Err(_) => Err(format!("chunk size {text:?}")),
        },
    }
}

#[test]
fn an_answer_is_read_the_same_however_it_is_cut() {
    let fields = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: x\r\nContent-Type: a/b\r\n";
    let length = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 5\r\n\r\nhello");
    let chunks = "3\r\nhel\r\n2\r\nlo\r\n0\r\nTail: x\r\n\r\n";
    let chunked = format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n{chunks}");
    for answer in [length.as_bytes(), chunked.as_bytes()] {
        for size in 1..=answer.len() {
            let (mut reader, mut body) = (Reader::default(), vec![]);
            for piece in answer.chunks(size) {
                assert!(!reader.is_done(), "done too early at {size}");
                let keep = |_: &Response, bytes: &[u8]| {
                    body.extend_from_slice(bytes);
                    Ok(())
                };
                reader.feed(piece, keep).unwrap();
            }
            assert!(reader.is_done());
            assert_eq!((reader.finish(), body.as_slice()), (Ok(()), &b"hello"[..]));
        }
        let mut reader = Reader::default();
        reader.feed(&[answer, b"x"].concat(), |_, _| Ok(())).unwrap();
        assert!(reader.finish().is_err(), "what comes behind an answer is a fault");
    }
}
