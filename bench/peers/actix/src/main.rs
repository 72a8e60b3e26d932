//! actix-web with a worker for each core that it was given; files by actix-files.

use std::io;

use actix_files::Files;
use actix_web::{App, HttpResponse, HttpServer, Responder, error, get, web};
use serde::Serialize;

#[actix_web::main]
async fn main() -> io::Result<()> {
    let arguments = peer::start("actix-web");
    let listener = peer::listen(arguments.port)?;
    let (root, workers) = (arguments.root, arguments.cpus.len());
    let server = HttpServer::new(move || {
        let files = Files::new("/file", root.clone());
        App::new().service(plaintext).service(json).service(user).service(burn).service(files)
    });
    server.workers(workers).max_connections(CONNECTIONS_MAX).listen(listener)?.run().await
}

#[get("/plaintext")]
async fn plaintext() -> impl Responder {
    HttpResponse::Ok().content_type("text/plain").body("Hello, World!")
}

#[get("/json")]
async fn json() -> impl Responder {
    web::Json(Message { message: "Hello, World!" })
}

#[get("/user/{id}")]
async fn user(id: web::Path<String>) -> impl Responder {
    id.into_inner()
}

/// On a thread of its own, where such work belongs.
#[get("/burn/{ms}")]
async fn burn(ms: web::Path<u64>) -> impl Responder {
    let ms = ms.into_inner();
    web::block(move || peer::burn(ms)).await.map_err(error::ErrorInternalServerError)
}

#[derive(Serialize)]
struct Message {
    message: &'static str,
}

/// So that the idle connections of the bench are not held back.
const CONNECTIONS_MAX: usize = 100_000;
