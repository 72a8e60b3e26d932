//! A client and a server in virtual time. What the client sends, how it is cut, how long handlers
//! take and who dawdles is drawn from a seed; a failure names it.

use std::collections::VecDeque;
use std::time::Duration;

use super::*;

/// Repeatable numbers (xorshift).
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// What the client has asked for and must be answered in this order.
struct Wanted {
    body: Vec<u8>,
    head: bool,
    last: bool,
}

/// What the server is about to do, and when.
enum Work {
    Answer { at: Time },
    Stream { at: Time, left: Vec<u8> },
}

struct World {
    rng: Rng,
    peer: Peer,
    /// Sent and not arrived.
    wire: VecDeque<u8>,
    wanted: VecDeque<Wanted>,
    body: Vec<u8>,
    work: Option<Work>,
    answered: usize,
    closed: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            rng: Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            peer: Peer::new(),
            wire: VecDeque::new(),
            wanted: VecDeque::new(),
            body: Vec::new(),
            work: None,
            answered: 0,
            closed: false,
        }
    }

    /// The client writes a few requests; the last one may say so.
    fn ask(&mut self) {
        let count = 1 + self.rng.below(8);
        for index in 0..count {
            let head = self.rng.chance(6);
            let last = index + 1 == count && self.rng.chance(2);
            let body: Vec<u8> = match self.rng.below(3) {
                0 => Vec::new(),
                _ => (0..self.rng.below(300)).map(|byte| byte as u8).collect(),
            };
            let mut text = Vec::new();
            let method = if head { "HEAD" } else { "POST" };
            text.extend(format!("{method} /{index} HTTP/1.1\r\nHost: a\r\n").bytes());
            if last {
                text.extend(b"Connection: close\r\n");
            }
            if self.rng.chance(2) {
                text.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
                text.extend(&body);
            } else {
                text.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                let mut rest = &body[..];
                while !rest.is_empty() {
                    let (chunk, after) =
                        rest.split_at(1 + self.rng.below(rest.len() as u64) as usize);
                    text.extend(format!("{:x}\r\n", chunk.len()).bytes());
                    text.extend(chunk);
                    text.extend(b"\r\n");
                    rest = after;
                }
                text.extend(b"0\r\n\r\n");
            }
            self.wire.extend(text);
            self.wanted.push_back(Wanted { body, head, last });
        }
    }

    /// Some bytes arrive, some time passes, the server does what it can.
    fn turn(&mut self) {
        let step = Duration::from_millis(1 + self.rng.below(500));
        self.peer.now = self.peer.now + step;
        assert_eq!(self.peer.connection.handle_timeout(self.peer.now), None, "nobody was late");
        let arriving = self.rng.below(self.wire.len() as u64 + 1) as usize;
        let arrived: Vec<u8> = self.wire.drain(..arriving).collect();
        self.peer.input.extend(arrived);
        self.receive();
        self.work();
        self.receive();
        self.read();
    }

    fn receive(&mut self) {
        loop {
            let Peer { connection, head, limits, now, input, .. } = &mut self.peer;
            let received = connection.receive(input, head, limits, *now);
            let consumed = received.consumed;
            match received.event {
                Event::Blocked | Event::Closed | Event::NeedInput => {
                    input.drain(..consumed);
                    return;
                }
                Event::Data(data) => self.body.extend_from_slice(data),
                Event::End { trailers } => {
                    assert_eq!(trailers, None);
                    self.plan();
                }
                Event::Reject(error) => panic!("refused: {error}"),
                Event::Request(length) => {
                    assert!(self.work.is_none(), "two exchanges at once");
                    self.body.clear();
                    connection.begin_handler(*now, limits);
                    if length == BodyLength::None {
                        self.plan();
                    }
                }
            }
            self.peer.input.drain(..consumed);
        }
    }

    fn plan(&mut self) {
        let at = self.peer.now + Duration::from_millis(self.rng.below(2000));
        let left = std::mem::take(&mut self.body);
        self.work = Some(if self.rng.chance(2) {
            self.body = left;
            Work::Answer { at }
        } else {
            Work::Stream { at, left }
        });
    }

    fn work(&mut self) {
        self.work = match self.work.take() {
            Some(Work::Answer { at }) if at <= self.peer.now => {
                let body = std::mem::take(&mut self.body);
                self.peer.answer(200, &body);
                None
            }
            Some(Work::Stream { at, mut left }) if at <= self.peer.now => {
                if !self.begun() {
                    self.peer.begin(200, ResponseLength::Unknown);
                }
                let piece = 1 + self.rng.below(100) as usize;
                let rest = left.split_off(piece.min(left.len()));
                self.peer.connection.send_body(&left, &mut self.peer.out);
                if rest.is_empty() {
                    self.peer.finish();
                    None
                } else {
                    Some(Work::Stream { at, left: rest })
                }
            }
            other => other,
        };
    }

    /// Whether the response of the current exchange has begun: its handler deadline is gone.
    fn begun(&self) -> bool {
        self.peer.connection.poll_timeout().is_none()
    }

    /// The client reads whole answers.
    fn read(&mut self) {
        while let Some((length, body, close)) = parse(&self.peer.out, &self.wanted) {
            let wanted = self.wanted.pop_front().expect("an answer was asked for");
            assert_eq!(body, if wanted.head { &[] } else { &wanted.body[..] });
            assert_eq!(close, wanted.last);
            self.peer.out.drain(..length);
            self.answered += 1;
            self.closed = close;
        }
    }
}

/// The first answer, if it is complete: its length, its body, and whether it is the last.
fn parse(out: &[u8], wanted: &VecDeque<Wanted>) -> Option<(usize, Vec<u8>, bool)> {
    let end = out.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&out[..end]).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let close = head.contains("\r\nConnection: close\r\n");
    if wanted.front().expect("an answer was asked for").head {
        return Some((end, Vec::new(), close));
    }
    if let Some((_, value)) = head.split_once("\r\nContent-Length: ") {
        let length: usize = value.split_once('\r').unwrap().0.parse().unwrap();
        return Some((end + length, out.get(end..end + length)?.to_vec(), close));
    }
    let (mut at, mut body) = (end, Vec::new());
    loop {
        let line = out[at..].windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&out[at..at + line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        at += line + 2;
        let data = out.get(at..at + size + 2)?;
        assert!(data.ends_with(b"\r\n"));
        body.extend_from_slice(&data[..size]);
        at += size + 2;
        if size == 0 {
            return Some((at, body, close));
        }
    }
}

#[test]
fn everyone_is_answered_in_order() {
    for seed in 0..400 {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            let mut asked = 0;
            for _ in 0..4 {
                world.ask();
                asked = world.answered + world.wanted.len();
                let mut turns = 0;
                while !world.wanted.is_empty() || world.work.is_some() {
                    world.turn();
                    turns += 1;
                    assert!(turns < 5000, "the exchange does not end");
                }
                if world.closed {
                    break;
                }
                assert!(world.peer.connection.is_idle());
            }
            assert_eq!(world.answered, asked);
            let expected = if world.closed { Close::Now } else { Close::Keep };
            assert_eq!(world.peer.connection.closing(), expected);
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}

/// Wherever the client falls silent, the connection ends, within the sum of all its deadlines.
#[test]
fn silence_is_always_ended() {
    for seed in 0..400 {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            world.ask();
            for _ in 0..world.rng.below(20) {
                world.turn();
            }
            // From here on nothing arrives and no handler answers.
            world.receive();
            let peer = &mut world.peer;
            if peer.connection.poll_timeout().is_none() {
                assert!(
                    peer.connection.response_open() || peer.connection.closing() != Close::Keep
                );
                peer.connection.handle_write_stall(peer.now, &peer.limits);
            }
            for _ in 0..40 {
                let Some(at) = peer.connection.poll_timeout() else { break };
                peer.now = peer.now.max(at);
                match peer.connection.handle_timeout(at).expect("a deadline was announced") {
                    Timeout::Body => peer.reject(Error::BodyTimeout),
                    Timeout::Handler => peer.reject(Error::HandlerTimeout),
                    Timeout::Head => peer.reject(Error::HeadTimeout),
                    Timeout::Drain | Timeout::Idle | Timeout::Write => {}
                }
                peer.give(b"");
                peer.connection.begin_drain(peer.now);
                peer.connection.begin_handler(peer.now, &peer.limits);
            }
            let closing = peer.connection.closing();
            assert!(matches!(closing, Close::Abort | Close::Now), "{closing:?}");
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}
