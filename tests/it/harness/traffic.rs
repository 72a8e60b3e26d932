//! Light traffic beside a fault: well-behaved clients whose every request must be answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::client::{Client, PATIENCE};
use super::response::Asked;

/// What the clients of one traffic saw.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) answered: usize,
    pub(crate) faults: Vec<Fault>,
    latencies: Vec<Duration>,
}

/// A request that was not answered, with what is needed to judge whose fault it was.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// Before the connection was asked for.
    pub(crate) began: Instant,
    /// After the loss was seen.
    pub(crate) ended: Instant,
    /// The connection itself was refused or reset before it was established.
    pub(crate) at_connect: bool,
    pub(crate) text: String,
}

impl Report {
    /// The latency that 99 of 100 requests did not exceed.
    pub(crate) fn p99(&self) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
    }

    /// Every request must have been answered, and some must have been made.
    #[track_caller]
    pub(crate) fn expect_all_answered(&self) {
        assert!(self.answered > 0, "the traffic made no request");
        let first: Vec<&str> = self.faults.iter().map(|fault| &*fault.text).take(5).collect();
        assert!(self.faults.is_empty(), "{} lost: {first:#?}", self.faults.len());
    }
}

/// How a client uses its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// One request per connection, which the server closes.
    Close,
    /// One connection for all requests, replaced when an answer says close.
    KeepAlive,
}

/// Clients that run until they are stopped.
#[derive(Debug)]
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Report>>,
}

impl Traffic {
    /// Starts `count` clients.
    pub(crate) fn start(address: SocketAddr, count: usize, style: Style) -> Traffic {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..count)
            .map(|index| {
                let stop = Arc::clone(&stop);
                thread::spawn(move || run(address, index, style, &stop))
            })
            .collect();
        Traffic { stop, threads }
    }

    /// Whether every client has ended by itself: a client does when it is refused.
    pub(crate) fn has_ended(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Ends the clients after their current request and adds up what they saw.
    pub(crate) fn finish(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Report::default();
        for thread in self.threads {
            let report = thread.join().expect("a client of the traffic does not panic");
            sum.answered += report.answered;
            sum.faults.extend(report.faults);
            sum.latencies.extend(report.latencies);
        }
        sum
    }
}

fn run(address: SocketAddr, index: usize, style: Style, stop: &AtomicBool) -> Report {
    let mut report = Report::default();
    let mut kept: Option<Client> = None;
    for turn in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let began = Instant::now();
        let fresh = kept.is_none();
        let client = match kept.take() {
            Some(client) => Ok(client),
            None => Client::try_connect(address),
        };
        let mut client = match client {
            Ok(client) => client,
            Err(error) => {
                let text = format!("connect: {error}");
                report.faults.push(Fault { began, ended: Instant::now(), at_connect: true, text });
                // Refused: the server is gone for good or for this test; do not hammer at it.
                break;
            }
        };
        match ask(&mut client, &format!("t{index}-{turn}"), style) {
            Ok(again) => {
                report.answered += 1;
                report.latencies.push(began.elapsed());
                kept = again.then_some(client);
            }
            Err(text) => {
                let text = format!("{text} (fresh connection: {fresh})");
                report.faults.push(Fault { began, ended: Instant::now(), at_connect: false, text });
            }
        }
        if began.elapsed() > PATIENCE {
            break;
        }
    }
    report
}

/// One request; says whether the connection may be used again.
fn ask(client: &mut Client, word: &str, style: Style) -> Result<bool, String> {
    let close = if style == Style::Close { "Connection: close\r\n" } else { "" };
    let request = format!("GET /user/{word} HTTP/1.1\r\nHost: it\r\n{close}\r\n");
    client.send(request.as_bytes())?;
    let response = client.final_response(Asked::default())?;
    if response.status != 200 || response.body != word.as_bytes() {
        return Err(format!("{} {:?} instead of {word:?}", response.status, response.text()));
    }
    Ok(!response.connection("close"))
}
