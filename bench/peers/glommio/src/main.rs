//! The obvious way to use glommio: its own TCP streams, a task for each connection, httparse.
//!
//! Read, answer every complete request of what has come, write, again. It honours
//! `Connection: close` and HTTP/1.0, refuses bodies and heads that are too long, and has no
//! timeouts: the least that can be called a server.

use std::io::{self, Write};

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};

fn main() -> io::Result<()> {
    let arguments = peer::start("glommio");
    let executor = LocalExecutorBuilder::new(Placement::Fixed(arguments.cpus[0]))
        .ring_depth(1024)
        .make()
        .map_err(io::Error::from)?;
    executor.run(accept(peer::address(arguments.port)))
}

async fn accept(address: std::net::SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address).map_err(io::Error::from)?;
    loop {
        let stream = listener.accept().await.map_err(io::Error::from)?;
        glommio::spawn_local(async move {
            // A client that leaves in the middle is its own business.
            let _ended = serve(stream).await;
        })
        .detach();
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true).map_err(io::Error::from)?;
    let mut input = vec![0; HEAD_BYTES_MAX];
    let (mut filled, mut output) = (0, Vec::with_capacity(HEAD_BYTES_MAX));
    loop {
        let count = stream.read(&mut input[filled..]).await?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        let (consumed, goes_on) = answer(&input[..filled], &mut output);
        stream.write_all(&output).await?;
        output.clear();
        input.copy_within(consumed..filled, 0);
        filled -= consumed;
        if !goes_on || filled == input.len() {
            return stream.shutdown(std::net::Shutdown::Write).await.map_err(io::Error::from);
        }
    }
}

/// Answers every complete request. Gives the bytes it has used, and whether the connection stays.
fn answer(input: &[u8], output: &mut Vec<u8>) -> (usize, bool) {
    let mut consumed = 0;
    loop {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(&input[consumed..]) {
            Ok(httparse::Status::Partial) => return (consumed, true),
            Ok(httparse::Status::Complete(bytes)) => consumed += bytes,
            Err(_) => {
                respond(output, "400 Bad Request", "", b"");
                return (consumed, false);
            }
        }
        let has = |name: &str| request.headers.iter().find(|f| f.name.eq_ignore_ascii_case(name));
        if has("content-length").is_some() || has("transfer-encoding").is_some() {
            respond(output, "413 Content Too Large", "", b"");
            return (consumed, false);
        }
        match request.path.unwrap_or_default() {
            "/plaintext" => respond(output, "200 OK", "text/plain", b"Hello, World!"),
            "/json" => {
                let body = b"{\"message\":\"Hello, World!\"}";
                respond(output, "200 OK", "application/json", body);
            }
            path => match path.strip_prefix("/user/") {
                Some(id) => respond(output, "200 OK", "text/plain", id.as_bytes()),
                None => respond(output, "404 Not Found", "", b""),
            },
        }
        let closes = has("connection").is_some_and(|f| f.value.eq_ignore_ascii_case(b"close"));
        if closes || request.version != Some(1) {
            return (consumed, false);
        }
    }
}

fn respond(output: &mut Vec<u8>, status: &str, content_type: &str, body: &[u8]) {
    for piece in ["HTTP/1.1 ", status, "\r\nContent-Type: ", content_type] {
        output.extend_from_slice(piece.as_bytes());
    }
    write!(output, "\r\nContent-Length: {}\r\n\r\n", body.len()).expect("a Vec takes everything");
    output.extend_from_slice(body);
}

const HEAD_BYTES_MAX: usize = 8192;
const FIELDS_MAX: usize = 64;
