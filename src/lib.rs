//! corewise: an HTTP server for Linux that never lets one request hurt another.
//!
//! Every core runs a process of its own, pinned, with its own event loop on io_uring and its own
//! listening socket; a supervisor that serves nothing starts them, watches them and replaces them.
//!
//! ```no_run
//! use corewise::{App, Exit, Request, Response};
//!
//! fn user(request: &Request) -> Response {
//!     Response::text(request.param("id"))
//! }
//!
//! fn main() -> Exit {
//!     App::new().get("/user/{id}", user).run()
//! }
//! ```
//!
//! - [`App`] holds routes and handlers and runs them; [`Request`] and [`Response`] are what a
//!   handler sees. A plain function answers at once, inside the event loop; one that has to wait
//!   is an async function wrapped in [`task`]; [`executor`] has what it can wait for.
//! - A handler wrapped in [`offload`](fn@offload) runs in a worker process of a [`Pool`]: it may
//!   compute, block or crash, and costs its own request at most.
//! - Bodies stream in both directions: [`Response::stream`], [`Response::events`], [`Body`].
//! - The modules below are the server itself, from the command line down to the system calls.
//!   Unsafe code exists in `net`, `offload::region` and `sys` alone, each block with its proof.

#[forbid(unsafe_code)]
pub mod app;
#[forbid(unsafe_code)]
pub mod cli;
#[forbid(unsafe_code)]
pub mod config;
#[forbid(unsafe_code)]
pub mod demo;
#[forbid(unsafe_code)]
pub mod executor;
#[forbid(unsafe_code)]
pub mod exit;
#[forbid(unsafe_code)]
pub mod handler;
#[forbid(unsafe_code)]
pub mod http;
#[forbid(unsafe_code)]
pub mod limits;
pub mod net;
pub mod offload;
#[forbid(unsafe_code)]
pub mod router;
#[forbid(unsafe_code)]
pub mod shard;
#[forbid(unsafe_code)]
pub mod supervisor;
pub mod sys;
#[forbid(unsafe_code)]
pub mod telemetry;
#[forbid(unsafe_code)]
pub mod worker;

pub use ::bytes::Bytes;
pub use ::http::{HeaderName, HeaderValue, Method, StatusCode, header};
pub use app::App;
pub use exit::Exit;
pub use handler::{
    Body, Event, Html, IntoResponse, Json, Request, Response, Sender, offload, task,
};
pub use http::Error;
pub use worker::Pool;
