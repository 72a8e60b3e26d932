//! Deadlines (RFC 9112 9.5, RFC 9110 15.5.9), set to a second. Nothing is asserted about how long
//! anything takes, only how it ends; what must not be cut takes several deadlines.

use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use super::case::{fresh_canary, post};
use crate::harness::client::{Client, End};
use crate::harness::response::Asked;
use crate::harness::{Launch, Server, shared};

static SERVER: OnceLock<Server> = OnceLock::new();

fn server() -> &'static Server {
    shared(&SERVER, || {
        Launch::demo()
            .shards(1)
            .set("limits.header-timeout", "1s")
            .set("limits.body-timeout", "1s")
            .set("limits.body-rate", "1000B/s")
            .set("limits.handler-timeout", "1s")
            .set("limits.write-timeout", "1s")
            .set("limits.keep-alive", "1s")
    })
}

type Act = fn(&mut Client) -> Result<(), String>;

/// Section, requirement, and what a client does and must see.
pub(crate) const CASES: &[(&str, &str, Act)] = &[
    ("9112 9.5", "a connection without a byte is closed without a word", |client| {
        ends(client, None)
    }),
    ("9110 15.5.9", "half a request line: 408", |client| {
        client.send(b"GET /user/x HT")?;
        ends(client, Some(408))
    }),
    ("9110 15.5.9", "half a field: 408", |client| {
        client.send(b"GET /user/x HTTP/1.1\r\nHost: i")?;
        ends(client, Some(408))
    }),
    ("9110 15.5.9", "the empty line is missing: 408", |client| {
        client.send(b"GET /user/x HTTP/1.1\r\nHost: it\r\n")?;
        ends(client, Some(408))
    }),
    ("9110 15.5.9", "a byte now and then does not renew the deadline of a head", |client| {
        client.send(b"GET /user/x HTTP/1.1\r\nHost: it\r\nA: ")?;
        drip(client, b"b", 400);
        ends(client, Some(408))
    }),
    ("9110 15.5.9", "a line now and then does not renew it either", |client| {
        client.send(b"GET /user/x HTTP/1.1\r\nHost: it\r\n")?;
        drip(client, b"A: b\r\n", 90);
        ends(client, Some(408))
    }),
    ("9110 15.5.9", "half a second request: 408", |client| {
        answer(client, "/user/a", b"a")?;
        client.send(b"GET /user/x HT")?;
        ends(client, Some(408))
    }),
    ("9112 9.3", "an idle connection is closed without a word", |client| {
        answer(client, "/user/a", b"a")?;
        ends(client, None)
    }),
    ("9112 9.3", "empty lines are no request", |client| {
        client.send(b"\r\n")?;
        let bytes = client.take_all()?;
        if bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 408 ") {
            Ok(())
        } else {
            Err(format!("{bytes:?}"))
        }
    }),
    (
        "9110 15.5.9",
        "a body that does not come: 408, or the answer that has begun is cut",
        |client| {
            client.send(&post("Content-Length: 5\r\n", "he"))?;
            cut_or(client, 408)
        },
    ),
    ("9110 15.5.9", "a chunked body that does not go on", |client| {
        client.send(&post("Transfer-Encoding: chunked\r\n", "5\r\nhel"))?;
        cut_or(client, 408)
    }),
    ("9110 15.5.9", "a body slower than the rate", |client| {
        client.send(&post("Content-Length: 5000\r\n", ""))?;
        drip(client, b"a", 400);
        cut_or(client, 408)
    }),
    ("9110 15.5.9", "a body that was announced by Expect and does not come", |client| {
        client.send(&post("Content-Length: 5\r\nExpect: 100-continue\r\n", ""))?;
        let interim = client.response(Asked::default())?.status;
        if interim == 100 { cut_or(client, 408) } else { Err(format!("{interim} instead of 100")) }
    }),
    ("9110 15.5.9", "a body faster than the rate lives beyond the grace", |client| {
        let body = vec![b'a'; 30 * 2000];
        client.send(&post(&format!("Content-Length: {}\r\n", body.len()), ""))?;
        for piece in body.chunks(2000) {
            client.send(piece)?;
            crate::harness::pause(Duration::from_millis(100));
        }
        let response = client.response(Asked::default())?;
        if response.body == body {
            Ok(())
        } else {
            Err(format!("{} bytes back", response.body.len()))
        }
    }),
    ("9110 15.6.4", "an async handler beyond its deadline: 503", |client| {
        client.send(b"GET /sleep/30000 HTTP/1.1\r\nHost: it\r\n\r\n")?;
        let status = client.response(Asked::default())?.status;
        if status == 503 { Ok(()) } else { Err(format!("{status} instead of 503")) }
    }),
    ("9110 15.6.4", "an async handler within its deadline", |client| {
        let status = client.get("/sleep/100")?.status;
        if status == 200 { Ok(()) } else { Err(format!("{status} instead of 200")) }
    }),
    ("9112 9.5", "a stream that lasts longer than every deadline is not cut", |client| {
        let response = client.get("/stream?chunks=25&bytes=10&gap_ms=200")?;
        if response.body.len() == 250 {
            Ok(())
        } else {
            Err(format!("{} bytes", response.body.len()))
        }
    }),
    ("9112 9.3", "requests in a steady flow outlive the idle deadline", |client| {
        for turn in 0..25 {
            answer(client, &format!("/user/{turn}"), turn.to_string().as_bytes())?;
            client.expect_quiet(Duration::from_millis(100))?;
        }
        Ok(())
    }),
    (
        "9112 9.5",
        "the deadline of a head counts from its first byte, not from the connection",
        |client| {
            for turn in 0..4 {
                client.expect_quiet(Duration::from_millis(400))?;
                answer(client, &format!("/user/{turn}"), turn.to_string().as_bytes())?;
            }
            Ok(())
        },
    ),
];

fn answer(client: &mut Client, target: &str, body: &[u8]) -> Result<(), String> {
    let response = client.get(target)?;
    if response.status == 200 && response.body == body {
        return Ok(());
    }
    Err(format!("{} {:?} for {target}", response.status, response.text()))
}

/// The server ends the connection, with one error answer or without a word.
fn ends(client: &mut Client, status: Option<u16>) -> Result<(), String> {
    if let Some(status) = status {
        let response = client.response(Asked::default())?;
        if response.status != status || !response.connection("close") {
            return Err(format!("{response:?} instead of a {status} that closes"));
        }
    }
    match client.expect_close()? {
        End::Fin => Ok(()),
        // The server may have closed while we still dripped.
        End::Reset if status.is_some() => Ok(()),
        End::Reset => Err("reset instead of an orderly close".into()),
    }
}

/// A whole answer is this error; anything else must have been cut off.
fn cut_or(client: &mut Client, status: u16) -> Result<(), String> {
    let bytes = client.take_all()?;
    match crate::harness::response::parse(&bytes, Asked::default(), false)? {
        Some((response, _)) if response.status != status => Err(format!("{response:?}")),
        _ => Ok(()),
    }
}

/// Sends a piece again and again until an answer or the end comes, or all are sent.
fn drip(client: &mut Client, piece: &[u8], count: usize) {
    for _ in 0..count {
        // A send that fails means that the server has closed; what it said is read next.
        if client.readable(Duration::from_millis(50)) || client.send(piece).is_err() {
            return;
        }
    }
}

#[test]
fn deadlines_end_what_they_must_and_nothing_else() {
    let address = server().address;
    // Side by side: each takes a few seconds of waiting and nothing else.
    let acts: Vec<_> = CASES
        .iter()
        .map(|(section, says, act)| {
            let play =
                move || act(&mut Client::connect(address)).and_then(|()| fresh_canary(address));
            (format!("[{section}] {says}"), thread::spawn(play))
        })
        .collect();
    let faults: Vec<String> = acts
        .into_iter()
        .filter_map(|(name, act)| {
            let result = act.join().unwrap_or_else(|_| Err("panicked".into()));
            result.err().map(|fault| format!("{name}\n    {fault}"))
        })
        .collect();
    assert!(faults.is_empty(), "{} failures:\n{}", faults.len(), faults.join("\n"));
}
