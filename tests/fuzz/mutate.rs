//! Mutants of a corpus of HTTP/1.1 streams, made with a dictionary of what matters to framing.

use crate::rng::Rng;

pub(crate) struct Mutator {
    corpus: Vec<Vec<u8>>,
    /// Reused from draw to draw.
    work: Vec<u8>,
}

impl Mutator {
    pub(crate) fn new(corpus: Vec<Vec<u8>>) -> Self {
        Self { corpus, work: Vec::new() }
    }

    /// One or two streams behind each other, changed in a few places.
    pub(crate) fn draw(&mut self, rng: &mut Rng) -> Vec<u8> {
        self.work.clear();
        self.work.extend_from_slice(rng.pick::<Vec<u8>>(&self.corpus));
        if rng.below(4) == 0 {
            self.work.extend_from_slice(rng.pick::<Vec<u8>>(&self.corpus));
        }
        for _ in 0..rng.below(6) {
            self.mutate(rng);
        }
        self.work.truncate(INPUT_BYTES_MAX);
        self.work.clone()
    }

    /// The same stream, changed in one or two places.
    pub(crate) fn bend(&mut self, input: &[u8], rng: &mut Rng) -> Vec<u8> {
        self.work.clear();
        self.work.extend_from_slice(input);
        for _ in 0..1 + rng.below(2) {
            self.mutate(rng);
        }
        self.work.clone()
    }

    fn mutate(&mut self, rng: &mut Rng) {
        let at = rng.below(self.work.len() + 1);
        let span = at..(at + 1 + rng.below(8)).min(self.work.len()).max(at);
        match rng.below(11) {
            0 => drop(self.work.drain(span)),
            1 => {
                let copy = self.work[span].to_vec();
                insert(&mut self.work, at, &copy);
            }
            2..=4 => insert(&mut self.work, at, rng.pick::<&[u8]>(DICTIONARY)),
            5 => drop(self.work.splice(span, rng.pick(DICTIONARY).iter().copied())),
            6 => {
                if let Some(byte) = self.work.get_mut(at) {
                    *byte = *rng.pick(BYTES);
                }
            }
            7 => {
                if let Some(byte) = self.work.get_mut(at) {
                    *byte ^= 1 << rng.below(8);
                }
            }
            8 => self.move_line(rng),
            9 => {
                let other = rng.pick(&self.corpus);
                let from = rng.below(other.len() + 1);
                self.work.truncate(at);
                self.work.extend_from_slice(&other[from..]);
            }
            _ => self.change_digit(rng),
        }
    }

    /// Copies a line to where another begins.
    fn move_line(&mut self, rng: &mut Rng) {
        let ends = self.work.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let starts: Vec<usize> = ends.map(|(at, _)| at + 1).collect();
        if starts.len() < 2 {
            return;
        }
        let line = rng.below(starts.len() - 1);
        let copy = self.work[starts[line]..starts[line + 1]].to_vec();
        insert(&mut self.work, *rng.pick(&starts), &copy);
    }

    fn change_digit(&mut self, rng: &mut Rng) {
        let digits = self.work.iter_mut().filter(|byte| byte.is_ascii_digit());
        let digits: Vec<&mut u8> = digits.collect();
        if !digits.is_empty() {
            let chosen = rng.below(digits.len());
            let digit = *rng.pick(b"0123456789abF");
            if let Some(byte) = digits.into_iter().nth(chosen) {
                *byte = digit;
            }
        }
    }
}

fn insert(work: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    work.splice(at..at, bytes.iter().copied());
}

const INPUT_BYTES_MAX: usize = 2048;

const BYTES: &[u8] = b"\r\n\0\t \"#%()*+,-./019:;<=>?@AZ[\\]^_`az{|}~\x7f\x80\xff\x0b\x1f";

const DICTIONARY: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"=",
    b"\0",
    b"\r\n ",
    b"\"",
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"OPTIONS ",
    b"CONNECT ",
    b"get ",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b" HTTP/1.1",
    b" HTTP/1.0",
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"/",
    b"*",
    b"http://",
    b"https://a:1",
    b"a@b",
    b"[::1]",
    b"%41",
    b"%",
    b"%zz",
    b"?",
    b"#",
    b"..",
    b"/1",
    b"/2",
    b"/3",
    b"/4",
    b"/5",
    b"Host: a\r\n",
    b"Host:\r\n",
    b"Host: a, b\r\n",
    b"host",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Content-Length",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"chunked",
    b"identity",
    b"gzip",
    b"Expect: 100-continue\r\n",
    b"Expect: x\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"close",
    b"keep-alive",
    b"Upgrade: h2c\r\n",
    b"X: y\r\n",
    b"0\r\n\r\n",
    b"0\r\n",
    b"1\r\nx\r\n",
    b"3\r\nabc\r\n",
    b"a;b=c\r\n",
    b"5;x=\"\\\"\"\r\n",
    b"00",
    b"ffffffffffffffff",
    b"10000000000000000",
    b"-1",
    b"+1",
    b"0x1",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
];
