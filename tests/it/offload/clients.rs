//! Many clients on one thread: each has a connection of its own and one request at a time, and
//! every request ends in the ledger.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{set_socket_linger, set_socket_recv_buffer_size};
use rustix::net::{AddressFamily, SocketType, connect, socket};

use super::ask::{Ask, Check, ID_FIELD, Leave};
use super::ledger::{Entry, Fate, Ledger};
use super::reader::Reader;
use crate::harness::client::PATIENCE;

/// A load that runs beside the test.
#[derive(Debug)]
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Ledger>,
}

impl Load {
    /// So many clients that ask one thing after the other until they are stopped.
    pub(super) fn endless(
        address: SocketAddr,
        clients: usize,
        next: impl Fn(u64) -> Ask + Send + 'static,
    ) -> Load {
        Load::start(address, clients, Source::Endless(Box::new(next)))
    }

    /// So many clients that share these requests.
    pub(super) fn once(address: SocketAddr, clients: usize, asks: Vec<Ask>) -> Load {
        Load::start(address, clients, Source::Once(asks.into()))
    }

    /// A request at each of `count` moments, whatever became of those before; at most so many
    /// clients.
    pub(super) fn open(
        address: SocketAddr,
        clients: usize,
        every: Duration,
        count: u32,
        next: impl Fn(u64) -> Ask + Send + 'static,
    ) -> Load {
        let due = Instant::now();
        let source = Source::Open { due, every, left: count, next: Box::new(next) };
        Load::start(address, clients, source)
    }

    fn start(address: SocketAddr, clients: usize, source: Source) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let lanes = (0..clients).map(|_| Lane::default()).collect();
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let step = Instant::now();
            let (ledger, scratch) = (Ledger::new(), vec![0; 64 << 10]);
            Clients { address, lanes, source, stopped, step, ledger, scratch }.run()
        });
        Load { stop, thread }
    }

    /// No further request; waits for the ends of those that are out.
    pub(super) fn finish(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        self.wait()
    }

    /// Waits until all that was to be asked has ended.
    pub(super) fn wait(self) -> Ledger {
        self.thread.join().expect("the clients do not panic")
    }

    pub(super) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Asks all of it and waits.
pub(super) fn ask_all(address: SocketAddr, clients: usize, asks: Vec<Ask>) -> Ledger {
    Load::once(address, clients, asks).wait()
}

/// Where requests come from.
enum Source {
    Endless(Box<dyn Fn(u64) -> Ask + Send>),
    Once(VecDeque<Ask>),
    Open { due: Instant, every: Duration, left: u32, next: Box<dyn Fn(u64) -> Ask + Send> },
}

impl Source {
    /// Whether there will be another request.
    fn is_over(&self) -> bool {
        match self {
            Source::Endless(_) => false,
            Source::Once(asks) => asks.is_empty(),
            Source::Open { left, .. } => *left == 0,
        }
    }

    /// The next request, if it is due.
    fn next(&mut self, id: impl FnOnce() -> u64, now: Instant) -> Option<(u64, Ask)> {
        if self.is_over() {
            return None;
        }
        match self {
            Source::Endless(next) => {
                let id = id();
                Some((id, next(id)))
            }
            Source::Once(asks) => asks.pop_front().map(|ask| (id(), ask)),
            Source::Open { due, .. } if *due > now => None,
            Source::Open { due, every, left, next } => {
                *due += *every;
                *left -= 1;
                let id = id();
                Some((id, next(id)))
            }
        }
    }
}

struct Clients {
    address: SocketAddr,
    lanes: Vec<Lane>,
    source: Source,
    stopped: Arc<AtomicBool>,
    /// When slow clients move again.
    step: Instant,
    ledger: Ledger,
    scratch: Vec<u8>,
}

impl Clients {
    fn run(mut self) -> Ledger {
        loop {
            let now = Instant::now();
            let over = self.stopped.load(Ordering::Relaxed) || self.source.is_over();
            if !over {
                self.hand_out(now);
            } else if self.lanes.iter().all(|lane| lane.asked.is_none()) {
                return self.ledger;
            }
            let ready = if self.pace(now) { None } else { Some(self.wait(now)) };
            self.turn(ready);
        }
    }

    /// Moves those that can; all of them where nobody has looked.
    fn turn(&mut self, ready: Option<Vec<usize>>) {
        let now = Instant::now();
        let lanes = ready.unwrap_or_else(|| (0..self.lanes.len()).collect());
        for lane in lanes {
            let ended = self.lanes[lane].turn(&mut self.scratch, now);
            ended.into_iter().for_each(|entry| self.ledger.settle(entry));
        }
    }

    fn hand_out(&mut self, now: Instant) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.asked.is_none()) {
            let Some((id, ask)) = self.source.next(|| self.ledger.open(), now) else { return };
            if let Err(entry) = lane.begin(self.address, id, ask) {
                self.ledger.settle(entry);
            }
        }
    }

    /// From time to time slow clients may move a step, and all look at the clock.
    fn pace(&mut self, now: Instant) -> bool {
        let due = self.step <= now;
        if due {
            self.step = now + STEP;
            self.lanes.iter_mut().filter_map(|lane| lane.asked.as_mut()).for_each(Asked::step);
        }
        due
    }

    /// Waits for any of the connections; says which can move.
    fn wait(&self, now: Instant) -> Vec<usize> {
        let due = match self.source {
            Source::Open { due, left: 1.., .. } => due.min(self.step),
            _ => self.step,
        };
        let timeout = Timespec::try_from(due.saturating_duration_since(now)).expect("it is short");
        let lanes = self.lanes.iter().enumerate();
        let (lanes, mut fds): (Vec<usize>, Vec<PollFd>) =
            lanes.filter_map(|(index, lane)| Some((index, lane.interest()?))).unzip();
        // An interrupted wait is a short one.
        let _ = poll(&mut fds, Some(&timeout));
        let moved = lanes.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        moved.map(|(&lane, _)| lane).collect()
    }
}

/// One client.
#[derive(Debug, Default)]
struct Lane {
    stream: Option<TcpStream>,
    asked: Option<Asked>,
    /// What the connection was used for last; for people.
    before: String,
}

/// A request that is out.
#[derive(Debug)]
struct Asked {
    id: u64,
    ask: Ask,
    began: Instant,
    /// When something last moved.
    moved: Instant,
    /// Bytes to be sent, and how many of them are.
    out: Vec<u8>,
    out_at: usize,
    /// How much of the body has gone into `out`.
    upload_at: u64,
    upload_over: bool,
    sent: u64,
    /// The peer takes nothing more; what it has to say may still come.
    deaf: bool,
    may_read: usize,
    may_write: usize,
    reader: Reader,
    check: Check,
}

impl Lane {
    fn begin(&mut self, address: SocketAddr, id: u64, ask: Ask) -> Result<(), Entry> {
        let asked = Asked::new(id, ask);
        if self.stream.is_none() {
            self.before.clear();
            match open(address, asked.ask.manners.reads.is_some()) {
                Ok(stream) => self.stream = Some(stream),
                Err(error) => return Err(asked.entry(Fate::Refused, error.to_string())),
            }
        }
        self.asked = Some(asked);
        Ok(())
    }

    fn interest(&self) -> Option<PollFd<'_>> {
        let (stream, asked) = (self.stream.as_ref()?, self.asked.as_ref()?);
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, asked.may_read > 0);
        flags.set(PollFlags::OUT, asked.may_write > 0 && asked.has_more_to_send());
        (!flags.is_empty()).then(|| PollFd::new(stream, flags))
    }

    /// Moves what can be moved; an entry at the end of the request.
    fn turn(&mut self, scratch: &mut [u8], now: Instant) -> Option<Entry> {
        let (stream, asked) = (self.stream.as_mut()?, self.asked.as_mut()?);
        let (fate, note) = asked.turn(stream, scratch, now)?;
        let asked = self.asked.take()?;
        let before = format!("{} that ended as {fate:?}", asked.ask.kind);
        let before = std::mem::replace(&mut self.before, before);
        let note = if before.is_empty() { note } else { format!("{note} (behind {before})") };
        if fate == Fate::Left && asked.id % 2 == 0 {
            // Half of those that leave say nothing, the others say it rudely.
            let _ = set_socket_linger(self.stream.as_ref()?, Some(Duration::ZERO));
        }
        if !asked.leaves_the_connection(fate) {
            self.stream = None;
        }
        Some(asked.entry(fate, note))
    }
}

impl Asked {
    fn new(id: u64, ask: Ask) -> Asked {
        let now = Instant::now();
        let slow = |step: Option<usize>| if step.is_some() { 0 } else { usize::MAX };
        let (may_read, may_write) = (slow(ask.manners.reads), slow(ask.manners.writes));
        Asked {
            id,
            began: now,
            moved: now,
            out: ask.head(id).into_bytes(),
            out_at: 0,
            upload_at: 0,
            upload_over: ask.upload_bytes() == 0 && !ask.is_chunked(),
            sent: 0,
            deaf: false,
            may_read,
            may_write,
            reader: Reader::default(),
            check: Check::default(),
            ask,
        }
    }

    fn step(&mut self) {
        let manners = self.ask.manners;
        let hurries = manners.hurries_after.is_some_and(|span| self.began.elapsed() >= span);
        let step = |bytes: Option<usize>| bytes.filter(|_| !hurries).unwrap_or(usize::MAX);
        (self.may_read, self.may_write) = (step(manners.reads), step(manners.writes));
    }

    fn has_more_to_send(&self) -> bool {
        !self.deaf && (self.out_at < self.out.len() || !self.upload_over)
    }

    fn turn(
        &mut self,
        stream: &mut TcpStream,
        scratch: &mut [u8],
        now: Instant,
    ) -> Option<(Fate, String)> {
        let before = (self.sent, self.reader.received);
        self.send(stream);
        let ended = self.receive(stream, scratch);
        if before != (self.sent, self.reader.received) {
            self.moved = now;
        }
        if ended.is_some() {
            return ended;
        }
        let leaves = match self.ask.manners.leaves {
            None => false,
            Some(Leave::After(span)) => now >= self.began + span,
            Some(Leave::Received(bytes)) => self.reader.received >= bytes,
            Some(Leave::Sent(bytes)) => self.sent >= bytes,
        };
        if leaves {
            return Some((Fate::Left, String::new()));
        }
        let silent = now > self.moved + 3 * PATIENCE;
        silent.then(|| (Fate::Silent, format!("{} bytes had come", self.reader.received)))
    }

    fn send(&mut self, stream: &mut TcpStream) {
        while self.may_write > 0 && self.has_more_to_send() {
            if self.out_at == self.out.len() {
                self.refill();
            }
            let rest = &self.out[self.out_at..];
            match stream.write(&rest[..rest.len().min(self.may_write)]) {
                Ok(count) => {
                    self.out_at += count;
                    self.sent += count as u64;
                    self.may_write -= count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.deaf = true,
            }
        }
    }

    fn refill(&mut self) {
        let piece_bytes = self.ask.piece_bytes(self.upload_at);
        self.out = self.ask.piece(self.id, self.upload_at);
        self.out_at = 0;
        self.upload_at += piece_bytes;
        self.upload_over = self.upload_at == self.ask.upload_bytes();
    }

    fn receive(&mut self, stream: &mut TcpStream, chunk: &mut [u8]) -> Option<(Fate, String)> {
        while self.may_read > 0 {
            let room = chunk.len().min(self.may_read);
            match stream.read(&mut chunk[..room]) {
                Ok(0) => return Some(self.cut("FIN".into())),
                Ok(count) => {
                    self.may_read -= count;
                    let taken = self.take(&chunk[..count]);
                    match taken {
                        Err(fault) => return Some((Fate::Wrong, fault)),
                        Ok(()) if self.reader.is_done() => return Some(self.judge()),
                        Ok(()) => {}
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Some(self.cut(error.to_string())),
            }
        }
        None
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (ask, id, check) = (&self.ask, self.id, &mut self.check);
        self.reader.feed(bytes, |head, content| match head.status {
            200 => check.take(ask, id, content),
            _ => Ok(()),
        })
    }

    fn cut(&self, how: String) -> (Fate, String) {
        let fate = if self.reader.received == 0 { Fate::Lost } else { Fate::Cut };
        (fate, format!("{how} behind {} bytes", self.reader.received))
    }

    /// A whole answer is here.
    fn judge(&self) -> (Fate, String) {
        let status = self.reader.head.as_ref().map_or(0, |head| head.status);
        match self.check_answer(status) {
            Ok(()) => (Fate::Answered(status), String::new()),
            Err(fault) => (Fate::Wrong, format!("{status}: {fault}")),
        }
    }

    fn check_answer(&self, status: u16) -> Result<(), String> {
        self.reader.finish()?;
        let field = |name: &str| self.reader.head.as_ref().and_then(|head| head.field(name));
        if field(ID_FIELD).is_some_and(|id| id != self.id.to_string()) {
            return Err(format!("the answer of request {:?}", field(ID_FIELD)));
        }
        let retry = field("Retry-After").map(|value| value.parse::<u64>());
        match (status, retry) {
            (200, _) => self.check.finish(&self.ask),
            (503, None) => Err("without Retry-After".into()),
            (503, Some(Ok(1..))) => Ok(()),
            (503, Some(value)) => Err(format!("Retry-After {value:?}")),
            _ => Ok(()),
        }
    }

    /// Whether the next request may use the connection.
    fn leaves_the_connection(&self, fate: Fate) -> bool {
        let head = self.reader.head.as_ref();
        let slow = self.ask.manners.reads.is_some();
        // An answer without the body of the request: the server reads on, up to a bound, and how
        // much of a chunked body is left shows only while it is read. It may close behind it.
        let early = self.ask.is_chunked() && fate != Fate::Answered(200);
        matches!(fate, Fate::Answered(_))
            && !slow
            && !early
            && !self.deaf
            && !self.has_more_to_send()
            && head.is_some_and(|head| !head.connection("close"))
    }

    fn entry(self, fate: Fate, note: String) -> Entry {
        let Asked { id, ask, began, .. } = self;
        Entry { id, kind: ask.kind, fate, note, took: began.elapsed() }
    }
}

/// A connection. A narrow one has a small window from the handshake on, so that what its client
/// does not read stays with the server.
fn open(address: SocketAddr, narrow: bool) -> std::io::Result<TcpStream> {
    let stream = if narrow {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        set_socket_recv_buffer_size(&socket, 16 << 10)?;
        connect(&socket, &address)?;
        TcpStream::from(socket)
    } else {
        TcpStream::connect_timeout(&address, PATIENCE)?
    };
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// How often slow clients move.
const STEP: Duration = Duration::from_millis(50);
