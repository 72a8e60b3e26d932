//! corewise: an HTTP server for Linux that never lets one request hurt another.

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
#[forbid(unsafe_code)]
pub mod router;
#[forbid(unsafe_code)]
pub mod shard;
#[forbid(unsafe_code)]
pub mod supervisor;
pub mod sys;
#[forbid(unsafe_code)]
pub mod telemetry;

pub use ::bytes::Bytes;
pub use ::http::{HeaderName, HeaderValue, Method, StatusCode, header};
pub use app::App;
pub use exit::Exit;
pub use handler::{Body, Event, Html, IntoResponse, Json, Request, Response, Sender, task};
pub use http::Error;
