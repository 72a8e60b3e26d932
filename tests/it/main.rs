//! Integration tests: the real binary, started on a port of the kernel's choice, over real sockets.
//!
//! `harness` starts and watches servers, `conformance` asks what the RFCs demand, `supervisor`,
//! `stop`, `stall` and `survive` break things on purpose, `transfer` moves what is large or slow,
//! `offload` does both to workers, `features` looks at what the demo shows and `offload_demo` at
//! what it shows of workers, `routes` at what a file can answer, `service` at what service
//! managers ask for, `placement` at where processes run, `commands` asks those that only answer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod commands;
mod conformance;
mod features;
mod harness;
mod offload;
mod offload_demo;
mod placement;
mod regression;
mod routes;
mod service;
mod stall;
mod stop;
mod supervisor;
mod survive;
mod transfer;
