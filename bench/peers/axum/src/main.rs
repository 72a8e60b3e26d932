//! axum on a current-thread runtime, as one of several such processes; files by tower-http.

use std::io;
use std::net::TcpListener as StdListener;
use std::path::Path;

use axum::extract::{self, Json};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, serve};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tower_http::services::ServeDir;

fn main() -> io::Result<()> {
    let arguments = peer::start("axum");
    let listener = peer::listen(arguments.port)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(answer(listener, &arguments.root))
}

async fn answer(listener: StdListener, root: &Path) -> io::Result<()> {
    let routes = Router::new()
        .route("/plaintext", get(plaintext))
        .route("/json", get(json))
        .route("/user/{id}", get(user))
        .route("/burn/{ms}", get(burn))
        .nest_service("/file", ServeDir::new(root));
    serve(TcpListener::from_std(listener)?, routes).await
}

async fn plaintext() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain")], "Hello, World!")
}

async fn json() -> impl IntoResponse {
    Json(Message { message: "Hello, World!" })
}

async fn user(extract::Path(id): extract::Path<String>) -> String {
    id
}

/// On a thread of its own, where such work belongs.
async fn burn(extract::Path(ms): extract::Path<u64>) -> Result<String, StatusCode> {
    let burned = spawn_blocking(move || peer::burn(ms)).await;
    burned.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

#[derive(Serialize)]
struct Message {
    message: &'static str,
}
