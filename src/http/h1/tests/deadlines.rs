//! What happens when nothing happens.

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";

fn seconds_left(peer: &Peer) -> Option<f64> {
    let at = peer.connection.poll_timeout()?;
    Some(at.since(peer.now).as_secs_f64())
}

/// Gives the connection every chance to miss its deadline early.
#[track_caller]
fn check(peer: &mut Peer, seconds: f64, timeout: Timeout) {
    let left = seconds_left(peer).expect("a deadline runs");
    assert!((left - seconds).abs() < 1e-6, "{left} seconds left, not {seconds}");
    assert_eq!(peer.wait(seconds - 0.001), None);
    assert_eq!(peer.wait(0.002), Some(timeout));
}

#[test]
fn no_request_after_the_accept() {
    let mut peer = Peer::new();
    check(&mut peer, 10.0, Timeout::Idle);
    assert_eq!(peer.connection.closing(), Close::Now);
    assert_eq!(peer.connection.poll_timeout(), None);
}

/// Empty lines are no request.
#[test]
fn empty_lines_renew_nothing() {
    let mut peer = Peer::new();
    peer.wait(5.0);
    peer.give(b"\r\n\r\n\r");
    check(&mut peer, 5.0, Timeout::Idle);
}

/// A byte now and then renews nothing.
#[test]
fn slow_head() {
    let mut peer = Peer::new();
    for byte in b"GET / HT" {
        assert_eq!(peer.wait(1.0), None);
        peer.give(&[*byte]);
    }
    check(&mut peer, 2.0, Timeout::Head);
    peer.reject(Error::HeadTimeout);
    assert!(peer.output().starts_with("HTTP/1.1 408 Request Timeout|"));
    assert_eq!(peer.connection.closing(), Close::HalfThenDrain);
    assert_eq!(peer.give(b"TP/1.1\r\n"), "closed");
}

#[test]
fn between_requests() {
    let mut peer = Peer::new();
    peer.give(GET);
    assert_eq!(peer.connection.poll_timeout(), None);
    peer.wait(100.0);
    peer.answer(204, b"");
    assert_eq!(seconds_left(&peer), Some(75.0));
    peer.wait(70.0);
    // A later head has its own time, from its first byte.
    peer.give(b"G");
    check(&mut peer, 10.0, Timeout::Head);

    let mut peer = Peer::new();
    peer.give(GET);
    peer.answer(204, b"");
    check(&mut peer, 75.0, Timeout::Idle);
    assert_eq!(peer.connection.closing(), Close::Now);
}

#[test]
fn slow_body() {
    let mut peer = Peer::new();
    peer.give(POST);
    check(&mut peer, 30.0, Timeout::Body);
    peer.reject(Error::BodyTimeout);
    assert!(peer.output().starts_with("HTTP/1.1 408 "));
    assert_eq!(peer.connection.closing(), Close::HalfThenDrain);
}

/// The grace counts from the beginning, and so does the rate: 240 bytes a second.
#[test]
fn body_rate() {
    let mut peer = Peer::new();
    peer.give(POST);
    peer.wait(10.0);
    peer.give(&[b'x'; 240]);
    assert_eq!(seconds_left(&peer), Some(20.0));
    peer.give(&[b'x'; 240 * 29]);
    assert_eq!(seconds_left(&peer), Some(20.0));
    peer.give(&[b'x'; 240]);
    assert_eq!(seconds_left(&peer), Some(21.0));
    for _ in 0..100 {
        assert_eq!(peer.wait(1.0), None);
        peer.give(&[b'x'; 240]);
    }
    check(&mut peer, 21.0, Timeout::Body);

    // A byte every 0.4 seconds is not enough.
    let mut peer = Peer::new();
    peer.give(POST);
    let missed = (1..1000).find(|_| {
        peer.give(b"x");
        peer.wait(0.4).is_some()
    });
    assert_eq!(missed, Some(75));
}

/// What the application does not read is not the peer's fault.
#[test]
fn paused_body() {
    let mut peer = Peer::new();
    peer.give(POST);
    peer.wait(10.0);
    peer.connection.pause_body(peer.now);
    peer.connection.pause_body(peer.now);
    assert_eq!(peer.connection.poll_timeout(), None);
    assert_eq!(peer.wait(1000.0), None);
    peer.give(&[b'x'; 240 * 31]);
    peer.connection.resume_body(peer.now);
    peer.connection.resume_body(peer.now);
    check(&mut peer, 21.0, Timeout::Body);
}

/// Who waits for a 100 is not late, until it was sent.
#[test]
fn expectation() {
    let request =
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    let start = || {
        let mut peer = Peer::new();
        peer.give(request);
        assert_eq!(peer.connection.poll_timeout(), None);
        peer.connection.resume_body(peer.now);
        assert_eq!(peer.wait(100.0), None);
        peer
    };
    let mut peer = start();
    peer.connection.want_body(peer.now, &mut peer.out);
    check(&mut peer, 30.0, Timeout::Body);
    let mut peer = start();
    peer.give(b"x");
    check(&mut peer, 30.0, Timeout::Body);
    let mut peer = start();
    peer.begin(200, ResponseLength::Unknown);
    check(&mut peer, 30.0, Timeout::Body);
    peer.reject(Error::BodyTimeout);
    assert_eq!(peer.connection.closing(), Close::Abort);
}

#[test]
fn discarded_body() {
    let mut peer = Peer::new();
    peer.give(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    peer.answer(404, b"");
    peer.wait(1.0);
    peer.give(b"x");
    check(&mut peer, 1.0, Timeout::Drain);
    assert_eq!(peer.connection.closing(), Close::Now);
}

#[test]
fn slow_handler() {
    let mut peer = Peer::new();
    peer.give(GET);
    peer.connection.begin_handler(peer.now, &peer.limits);
    check(&mut peer, 60.0, Timeout::Handler);
    assert_eq!(peer.connection.handle_timeout(peer.now), None);
    peer.reject(Error::HandlerTimeout);
    assert!(peer.output().starts_with("HTTP/1.1 503 "));
    assert_eq!(seconds_left(&peer), Some(75.0));
    // A response that has begun has no such deadline.
    peer.give(GET);
    peer.connection.begin_handler(peer.now, &peer.limits);
    peer.begin(200, ResponseLength::Unknown);
    assert_eq!(peer.connection.poll_timeout(), None);
}

#[test]
fn stalled_output() {
    let mut peer = Peer::new();
    peer.give(GET);
    peer.begin(200, ResponseLength::Unknown);
    peer.connection.handle_write_stall(peer.now, &peer.limits);
    peer.wait(20.0);
    peer.connection.handle_write_stall(peer.now, &peer.limits);
    assert_eq!(seconds_left(&peer), Some(10.0));
    peer.connection.handle_write_progress();
    assert_eq!(peer.connection.poll_timeout(), None);
    peer.connection.handle_write_stall(peer.now, &peer.limits);
    check(&mut peer, 30.0, Timeout::Write);
    assert_eq!(peer.connection.closing(), Close::Abort);
    assert_eq!(peer.connection.poll_timeout(), None);
}

#[test]
fn timeouts_that_never_come() {
    let never = std::time::Duration::MAX;
    let limits = HttpLimits {
        header_timeout: never,
        body_timeout: never,
        keep_alive: never,
        handler_timeout: never,
        write_timeout: never,
        ..HttpLimits::default()
    };
    let mut peer = Peer::with(limits);
    assert_eq!(peer.connection.poll_timeout(), None);
    peer.give(POST);
    peer.connection.pause_body(peer.now);
    peer.connection.resume_body(peer.now);
    peer.give(b"x");
    peer.connection.begin_handler(peer.now, &limits);
    peer.connection.handle_write_stall(peer.now, &limits);
    assert_eq!(peer.connection.poll_timeout(), None);
    assert_eq!(peer.wait(1e9), None);
}

/// An owner that could not send or read for a while gives the peer its whole time again, but who
/// has sent nothing so far is timed from the accept, and a request that has begun by its own.
#[test]
fn the_wait_between_requests_can_be_renewed() {
    let renew = |peer: &mut Peer| peer.connection.renew_idle(peer.now, &peer.limits);
    let mut peer = Peer::new();
    assert!(peer.connection.head_open());
    peer.wait(4.0);
    renew(&mut peer);
    assert_eq!(seconds_left(&peer), Some(6.0));
    peer.give(b"GET / HTTP");
    assert!(peer.connection.head_open());
    renew(&mut peer);
    assert_eq!(seconds_left(&peer), Some(6.0));
    peer.give(b"/1.1\r\nHost: a\r\n\r\n");
    assert!(!peer.connection.head_open());
    renew(&mut peer);
    assert_eq!(seconds_left(&peer), None);
    peer.answer(204, b"");
    assert!(peer.connection.head_open());
    peer.wait(70.0);
    assert_eq!(seconds_left(&peer), Some(5.0));
    renew(&mut peer);
    check(&mut peer, 75.0, Timeout::Idle);
    assert!(!peer.connection.head_open());
    renew(&mut peer);
    assert_eq!(peer.connection.closing(), Close::Now);

    let mut peer = Peer::new();
    peer.give(POST);
    assert!(!peer.connection.head_open());
    renew(&mut peer);
    assert_eq!(seconds_left(&peer), Some(30.0));
}
