//! axum with its runtime on one CPU and heavy work on a thread of rayon that is pinned to another
//! one: what a careful engineer builds by hand.

use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, serve};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

fn main() -> io::Result<()> {
    let arguments = peer::start("axum");
    let first = arguments.cpus[0];
    let last = *arguments.cpus.last().expect("there is a first one");
    // A thread inherits the CPUs of the one that starts it.
    peer::pin(&[last])?;
    let pool = ThreadPoolBuilder::new().num_threads(1).build().map_err(io::Error::other)?;
    peer::pin(&[first])?;
    let listener = peer::listen(arguments.port)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(answer(listener, Arc::new(pool)))
}

async fn answer(listener: StdListener, pool: Arc<ThreadPool>) -> io::Result<()> {
    let routes = Router::new()
        .route("/plaintext", get(plaintext))
        .route("/burn/{ms}", get(burn))
        .with_state(pool);
    serve(TcpListener::from_std(listener)?, routes).await
}

async fn plaintext() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain")], "Hello, World!")
}

async fn burn(
    State(pool): State<Arc<ThreadPool>>,
    Path(ms): Path<u64>,
) -> Result<String, StatusCode> {
    let (done, burned) = oneshot::channel();
    pool.spawn(move || {
        // Who asked may have left meanwhile.
        let _left = done.send(peer::burn(ms));
    });
    burned.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
