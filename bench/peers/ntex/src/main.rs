//! ntex with the one worker that one core can use, on the runtime that its documentation begins
//! with.

use std::io;

use ntex::http::header::CONTENT_TYPE;
use ntex::web::{self, App, HttpResponse, HttpServer};

#[ntex::main]
async fn main() -> io::Result<()> {
    let arguments = peer::start("ntex");
    let listener = peer::listen(arguments.port)?;
    let server = HttpServer::new(async || {
        App::new()
            .route("/plaintext", web::get().to(plaintext))
            .route("/json", web::get().to(json))
            .route("/user/{id}", web::get().to(user))
    });
    server.workers(1).maxconn(CONNECTIONS_MAX).listen(listener)?.run().await
}

async fn plaintext() -> HttpResponse {
    HttpResponse::Ok().header(CONTENT_TYPE, "text/plain").body("Hello, World!")
}

async fn json() -> HttpResponse {
    HttpResponse::Ok().json(&Message { message: "Hello, World!" })
}

async fn user(id: web::types::Path<String>) -> String {
    id.into_inner()
}

#[derive(serde::Serialize)]
struct Message {
    message: &'static str,
}

/// So that the idle connections of the bench are not held back.
const CONNECTIONS_MAX: usize = 100_000;
