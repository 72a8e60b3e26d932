//! The bare loop does what a client may expect of a limit.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server of this package, ended with the test.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_corewise-bench"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was built for this test");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("stdout is text");
        let address = line.trim().strip_prefix("ready http://").expect("a ready line");
        let address = address.parse().expect("an address");
        Self { child, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout above zero");
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("the server is still there");
        self.child.wait().expect("it is our child");
    }
}

fn read_answers(stream: &mut TcpStream, count: usize) {
    let mut received = Vec::new();
    let mut piece = [0; 4096];
    while received.windows(13).filter(|window| window == b"Hello, World!").count() < count {
        let length = stream.read(&mut piece).expect("an answer in time");
        assert_ne!(length, 0, "closed after {:?}", String::from_utf8_lossy(&received));
        received.extend_from_slice(&piece[..length]);
    }
}

fn check_clients(server: &Server) {
    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut pipelined = server.connect();
    pipelined.write_all(&GET.repeat(50)).unwrap();
    read_answers(&mut pipelined, 50);

    let mut cut = server.connect();
    for byte in GET {
        cut.write_all(&[*byte]).unwrap();
    }
    read_answers(&mut cut, 1);

    let mut half_closed = server.connect();
    half_closed.write_all(GET).unwrap();
    half_closed.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    half_closed.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("Hello, World!"), "{answer:?}");

    for _ in 0..200 {
        let mut once = server.connect();
        once.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        once.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("Hello, World!"), "{answer:?}");
    }
    // More than the buffers of the ring, all at once, so that it runs dry and recovers.
    let mut many: Vec<TcpStream> = (0..600).map(|_| server.connect()).collect();
    for stream in &mut many {
        stream.write_all(&GET.repeat(3)).unwrap();
    }
    for stream in &mut many {
        read_answers(stream, 3);
    }
}

#[test]
fn the_bare_loop_serves_every_kind_of_client() {
    check_clients(&Server::start(&["bare"]));
}

#[test]
fn the_bare_loop_serves_them_with_every_option() {
    let options = "direct,first-single,linked-close,no-iowait,no-sqarray,registered-ring";
    check_clients(&Server::start(&["bare", "--ring", options]));
    check_clients(&Server::start(&["bare", "--ring", "patient-close"]));
}
