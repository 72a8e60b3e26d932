//! The ledger must see what is wrong: a server that does everything wrong on purpose.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use super::ask::Ask;
use super::clients::ask_all;
use super::ledger::Fate;

/// Answers each connection with the same bytes, whatever it wants, and ends it.
fn answering(bytes: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), &bytes);
        }
    });
    address
}

fn answer(mut stream: TcpStream, bytes: &[u8]) {
    let mut request = vec![];
    let mut chunk = [0; 4096];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(count) => request.extend_from_slice(&chunk[..count]),
        }
    }
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    // Until the client has closed too, so that no reset takes its answer away.
    while matches!(stream.read(&mut chunk), Ok(1..)) {}
}

fn head(status: &str, fields: &str) -> Vec<u8> {
    let always = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: x\r\nContent-Type: a/b\r\n";
    format!("HTTP/1.1 {status}\r\n{always}{fields}\r\n").into_bytes()
}

#[track_caller]
fn check(ask: Ask, answer: &[&[u8]], fate: Fate) {
    let ledger = ask_all(answering(answer.concat()), 1, vec![ask]);
    let fates: Vec<Fate> = ledger.entries().map(|entry| entry.fate).collect();
    assert_eq!(fates, [fate], "{}", ledger.entries().next().unwrap());
}

#[test]
fn what_is_right_is_right() {
    let five = head("200 OK", "Content-Length: 6\r\n");
    check(Ask::fib(30), &[&five, b"832040"], Fate::Answered(200));
    let lines = head("200 OK", "Transfer-Encoding: chunked\r\n");
    check(Ask::stream(2, 3), &[&lines, b"6\r\n012012\r\n0\r\n\r\n"], Fate::Answered(200));
    let busy = head("503 Busy", "Retry-After: 1\r\nContent-Length: 1\r\n");
    check(Ask::fib(30), &[&busy, b"x"], Fate::Answered(503));
}

#[test]
fn what_is_wrong_is_wrong() {
    let six = head("200 OK", "Content-Length: 6\r\n");
    check(Ask::fib(30), &[&six, b"832041"], Fate::Wrong);
    check(Ask::fib(30), &[&six, b"832040x"], Fate::Wrong);
    check(Ask::echo(6), &[&six, b"832040"], Fate::Wrong);
    check(Ask::echo(7), &[&six, b"832040"], Fate::Wrong);
    check(Ask::stream(3, 2), &[&six, b"010102"], Fate::Wrong);
    check(Ask::stream(3, 3), &[&six, b"012012"], Fate::Wrong);
    let other = head("200 OK", "X-Request-Id: 7\r\nContent-Length: 6\r\n");
    check(Ask::fib(30), &[&other, b"832040"], Fate::Wrong);
    let busy = head("503 Busy", "Content-Length: 1\r\n");
    check(Ask::fib(30), &[&busy, b"x"], Fate::Wrong);
    let busy = head("503 Busy", "Retry-After: 0\r\nContent-Length: 1\r\n");
    check(Ask::fib(30), &[&busy, b"x"], Fate::Wrong);
    check(Ask::fib(30), &[b"nonsense\r\n\r\n"], Fate::Wrong);
}

#[test]
fn what_is_missing_is_missed() {
    let six = head("200 OK", "Content-Length: 6\r\n");
    check(Ask::fib(30), &[], Fate::Lost);
    check(Ask::fib(30), &[&six[..20]], Fate::Cut);
    check(Ask::fib(30), &[&six, b"83204"], Fate::Cut);
    let lines = head("200 OK", "Transfer-Encoding: chunked\r\n");
    check(Ask::stream(2, 3), &[&lines, b"6\r\n012012\r\n"], Fate::Cut);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ledger = ask_all(closed, 1, vec![Ask::fib(30)]);
    assert_eq!(ledger.count(|entry| entry.fate == Fate::Refused), 1);
}
