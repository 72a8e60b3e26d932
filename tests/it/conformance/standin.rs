//! A stand-in server, to prove the harness: it answers by the model, a thread per connection.
//!
//! Tables and runner are tried on it before they judge the real server; and with one of its faults
//! switched on, the tables must fail, or they would prove nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, SystemTime};

use super::model::{Judged, Request, Routed, judge, route};

/// What a stand-in does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Answers a request that has a Transfer-Encoding and a Content-Length by the length alone.
    LengthWins,
    /// Takes a bare LF for a line end.
    LineFeed,
    None,
    /// Answers a HEAD with a body.
    TalksOnHead,
    /// Goes on after an error, as if the next request began behind the bad head.
    GoesOn,
    /// Loses a request that arrives together with the one before it.
    Forgets,
}

/// Starts a stand-in that lives until the test process ends.
pub(crate) fn start(flaw: Flaw) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a local port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, flaw));
        }
    });
    address
}

fn serve(mut stream: TcpStream, flaw: Flaw) {
    let mut input = vec![];
    let mut continued = false;
    stream.set_nodelay(true).expect("TCP_NODELAY is settable");
    loop {
        match judge_with(flaw, &input) {
            Judged::Request(request, used) => {
                input.drain(..used);
                let forgotten = flaw == Flaw::Forgets && input.starts_with(b"GET");
                continued = false;
                let close = request.close || forgotten;
                if stream.write_all(&answer(&request, flaw)).is_err() || close {
                    return hang_up(&mut stream);
                }
            }
            Judged::Bad(statuses) => {
                let end = input.windows(4).position(|four| four == b"\r\n\r\n");
                drop(stream.write_all(&refusal(statuses[0], flaw != Flaw::GoesOn)));
                match end {
                    Some(end) if flaw == Flaw::GoesOn => drop(input.drain(..end + 4)),
                    _ => return hang_up(&mut stream),
                }
            }
            judged @ (Judged::Short | Judged::ShortBody(_)) => {
                if let Judged::ShortBody(request) = judged
                    && request.expects_continue
                    && !continued
                {
                    if request.path != "/echo" {
                        let mut request = request;
                        request.close = true;
                        drop(stream.write_all(&answer(&request, flaw)));
                        return hang_up(&mut stream);
                    }
                    continued = true;
                    drop(stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n"));
                }
                let mut chunk = [0; 4096];
                match stream.read(&mut chunk) {
                    Ok(count) if count > 0 => input.extend_from_slice(&chunk[..count]),
                    _ => return,
                }
            }
        }
    }
}

fn judge_with(flaw: Flaw, input: &[u8]) -> Judged {
    let text = String::from_utf8_lossy(input);
    match flaw {
        Flaw::LineFeed if text.contains('\n') && !text.contains("\r\n") => {
            judge(text.replace('\n', "\r\n").as_bytes())
        }
        Flaw::LengthWins if text.contains("Content-Length") => {
            judge(text.replace("Transfer-Encoding", "X-Transfer-Enc-X").as_bytes())
        }
        _ => judge(input),
    }
}

fn answer(request: &Request, flaw: Flaw) -> Vec<u8> {
    let Routed { statuses, content } = route(request);
    let content = content.unwrap_or_else(|| b"-".to_vec());
    let status = statuses[0];
    let mut head = head(status, request.close);
    if status == 405 || request.method == "OPTIONS" {
        head += "Allow: GET, HEAD, POST\r\n";
    }
    if request.http10 && !request.close {
        head += "Connection: keep-alive\r\n";
    }
    if status != 204 {
        head += &format!("Content-Type: text/plain\r\nContent-Length: {}\r\n", content.len());
    }
    let mut bytes = (head + "\r\n").into_bytes();
    if (request.method != "HEAD" || flaw == Flaw::TalksOnHead) && status != 204 {
        bytes.extend_from_slice(&content);
    }
    bytes
}

fn refusal(status: u16, close: bool) -> Vec<u8> {
    let head = head(status, close);
    format!("{head}Content-Type: text/plain\r\nContent-Length: 4\r\n\r\nbad\n").into_bytes()
}

fn head(status: u16, close: bool) -> String {
    let date = httpdate::fmt_http_date(SystemTime::now());
    let close = if close { "Connection: close\r\n" } else { "" };
    format!("HTTP/1.1 {status} Reason\r\nServer: stand-in\r\nDate: {date}\r\n{close}")
}

/// Half-close, then read on, as RFC 9112 9.6 asks.
fn hang_up(stream: &mut TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let mut sink = [0; 4096];
    while matches!(stream.read(&mut sink), Ok(count) if count > 0) {}
}
