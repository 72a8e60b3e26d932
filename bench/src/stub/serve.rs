//! Connections of the stub: a thread for each.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::faults::Manner;
use super::processes::burn_in_child;
use super::{Behaviour, When};

/// What the threads share.
struct Stub {
    behaviour: Behaviour,
    /// Held by everyone who answers; whoever holds it alone stalls all of them.
    open: RwLock<()>,
    /// Requests to `/plaintext` so far.
    requests: AtomicU64,
    /// Of them, those that were not answered right on purpose.
    wrong: AtomicU64,
}

/// Whether the connection goes on.
enum Next {
    Close,
    Request,
}

/// Serves until the process is ended.
pub(super) fn run(listener: &TcpListener, behaviour: Behaviour) -> ! {
    let stub = Arc::new(Stub {
        behaviour,
        open: RwLock::new(()),
        requests: AtomicU64::new(0),
        wrong: AtomicU64::new(0),
    });
    let staller = Arc::clone(&stub);
    thread::spawn(move || staller.stall_regularly());
    loop {
        // Who left before they were accepted is nobody's loss.
        let Ok((stream, _)) = listener.accept() else { continue };
        let stub = Arc::clone(&stub);
        thread::spawn(move || stub.serve(stream));
    }
}

/// Uses so much CPU of this thread, whoever else uses the core meanwhile.
pub(super) fn burn(amount: Duration) {
    let begin = cpu_ns(ClockId::ThreadCPUTime);
    let amount = u64::try_from(amount.as_nanos()).expect("shorter than five centuries");
    while cpu_ns(ClockId::ThreadCPUTime) - begin < amount {
        for _ in 0..LOOKS_APART {
            std::hint::spin_loop();
        }
    }
}

impl Stub {
    fn stall_regularly(&self) {
        while let Some(stall) = self.behaviour.stall {
            let When::Every(period) = stall.when else { return };
            thread::sleep(period.saturating_sub(stall.length));
            self.stall(stall.length);
        }
    }

    fn stall(&self, length: Duration) {
        let _alone = self.open.write().unwrap_or_else(PoisonError::into_inner);
        thread::sleep(length);
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut received = Vec::new();
        // A connection that breaks is over, as one that is closed.
        while let Ok(Some(head)) = next_head(&mut stream, &mut received) {
            let path = head.split(' ').nth(1).unwrap_or_default();
            let close = head.to_ascii_lowercase().contains("\r\nconnection: close");
            match self.answer(&mut stream, path) {
                Ok(Next::Request) if !close => {}
                _ => return,
            }
        }
    }

    fn answer(&self, stream: &mut TcpStream, path: &str) -> io::Result<Next> {
        let burn_ms = path.strip_prefix("/burn/").and_then(|ms| ms.parse().ok());
        match path {
            "/counts" => write(stream, "200 OK", &self.counts()),
            "/cpu" => write(stream, "200 OK", &cpu_ns(ClockId::ProcessCPUTime).to_string()),
            "/plaintext" => self.plaintext(stream),
            _ if burn_ms.is_some() => {
                let ms = burn_ms.unwrap_or(0);
                burn(Duration::from_millis(ms));
                write(stream, "200 OK", &format!("burned {ms} ms"))
            }
            _ => write(stream, "404 Not Found", "no such path"),
        }
    }

    fn plaintext(&self, stream: &mut TcpStream) -> io::Result<Next> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(stall) = self.behaviour.stall
            && matches!(stall.when, When::Request(at) if at == number)
        {
            self.stall(stall.length);
        }
        let _open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        self.pay(number)?;
        let manner = self.behaviour.faults.manner(number);
        self.wrong.fetch_add(u64::from(manner != Manner::Right), Ordering::Relaxed);
        match manner {
            Manner::Close => Ok(Next::Close),
            Manner::Cut => {
                let answer = answer("200 OK", TEXT);
                stream.write_all(&answer[..answer.len() - TEXT.len() / 2])?;
                Ok(Next::Close)
            }
            Manner::Never => Ok(Next::Request),
            Manner::Right => write(stream, "200 OK", TEXT),
            Manner::WrongContent => write(stream, "200 OK", &TEXT.replace('W', "V")),
            Manner::WrongStatus => write(stream, "500 Internal Server Error", TEXT),
        }
    }

    fn pay(&self, number: u64) -> io::Result<()> {
        let Behaviour { burn: amount, child_every, .. } = self.behaviour;
        if child_every > 0 && number.is_multiple_of(child_every) {
            return burn_in_child(amount);
        }
        if !amount.is_zero() {
            burn(amount);
        }
        Ok(())
    }

    fn counts(&self) -> String {
        let requests = self.requests.load(Ordering::Relaxed);
        let wrong = self.wrong.load(Ordering::Relaxed);
        format!("{{\"requests\":{requests},\"wrong\":{wrong}}}")
    }
}

/// The next request up to its empty line; requests have no bodies here.
fn next_head(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<Option<String>> {
    let mut piece = [0; 4096];
    loop {
        if let Some(at) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = received.drain(..at + 4).collect();
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        match stream.read(&mut piece)? {
            0 => return Ok(None),
            length => received.extend_from_slice(&piece[..length]),
        }
    }
}

fn write(stream: &mut TcpStream, status: &str, body: &str) -> io::Result<Next> {
    stream.write_all(&answer(status, body))?;
    Ok(Next::Request)
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}");
    format!("{head}\r\n\r\n{body}").into_bytes()
}

fn cpu_ns(clock: ClockId) -> u64 {
    let used = clock_gettime(clock);
    used.tv_sec.cast_unsigned() * 1_000_000_000 + used.tv_nsec.cast_unsigned()
}

const TEXT: &str = "Hello, World!";
/// Turns of the busy loop between two looks at the clock, which is a system call.
const LOOKS_APART: u32 = 200;
