//! hyper as it is deployed when each core has a process of its own: a current-thread runtime, a
//! local task for each connection.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local};

fn main() -> io::Result<()> {
    let arguments = peer::start("hyper");
    let listener = peer::listen(arguments.port)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async { accept(TcpListener::from_std(listener)?).await })
}

async fn accept(listener: TcpListener) -> io::Result<()> {
    let mut http = http1::Builder::new();
    // The timer is what its own limit on slow request heads needs.
    http.pipeline_flush(true).timer(TokioTimer::new());
    loop {
        let (stream, _) = listener.accept().await?;
        let connection = http.serve_connection(TokioIo::new(stream), service_fn(answer));
        spawn_local(async move {
            // A client that leaves in the middle is its own business.
            let _ended = connection.await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (content_type, body) = match request.uri().path() {
        "/plaintext" => ("text/plain", Bytes::from_static(b"Hello, World!")),
        "/json" => ("application/json", Bytes::from_static(b"{\"message\":\"Hello, World!\"}")),
        path => match path.strip_prefix("/user/") {
            Some(id) => ("text/plain", Bytes::copy_from_slice(id.as_bytes())),
            None => return Ok(not_found()),
        },
    };
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

fn not_found() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
