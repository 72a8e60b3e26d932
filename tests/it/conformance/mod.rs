//! Conformance over raw sockets: one file per part of the RFCs, tables of one line per requirement.
//!
//! Each case is played as it is written and with a canary request in the same write, and each is
//! followed by a canary: on the same connection if that must stay open, and on a fresh one always.
//! The segmentation file plays all of them again in pieces, the mutants bend good requests.

mod case;
mod model;
mod rfc3986_uri;
mod rfc9110_expect;
mod rfc9110_fields;
mod rfc9110_host;
mod rfc9110_limits;
mod rfc9110_methods;
mod rfc9110_upgrade;
mod rfc9112_chunked;
mod rfc9112_connection;
mod rfc9112_content_length;
mod rfc9112_mutants;
mod rfc9112_request_line;
mod rfc9112_segmentation;
mod rfc9112_timeouts;
mod rfc9112_transfer_encoding;
mod selfcheck;
mod standin;

use std::net::SocketAddr;
use std::sync::OnceLock;

use crate::harness::{Launch, Server, shared};
use case::{Case, run};

/// The server with default settings that all tables share.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    shared(&SERVER, || Launch::demo().shards(1))
}

/// Where the tables are played: on the shared server, or, with `COREWISE_IT_ADDRESS`, on one that
/// runs already, for whoever works on a part of the server.
fn address() -> SocketAddr {
    match std::env::var("COREWISE_IT_ADDRESS") {
        Ok(address) => address.parse().expect("COREWISE_IT_ADDRESS is an address and a port"),
        Err(_) => server().address,
    }
}

type Table = (&'static str, fn() -> Vec<Case>);

/// Every table that the server with default settings is judged by.
const TABLES: &[Table] = &[
    ("rfc3986_uri", rfc3986_uri::cases),
    ("rfc9110_expect", rfc9110_expect::cases),
    ("rfc9110_fields", rfc9110_fields::cases),
    ("rfc9110_host", rfc9110_host::cases),
    ("rfc9110_methods", rfc9110_methods::cases),
    ("rfc9110_upgrade", rfc9110_upgrade::cases),
    ("rfc9112_chunked", rfc9112_chunked::cases),
    ("rfc9112_connection", rfc9112_connection::cases),
    ("rfc9112_content_length", rfc9112_content_length::cases),
    ("rfc9112_request_line", rfc9112_request_line::cases),
    ("rfc9112_transfer_encoding", rfc9112_transfer_encoding::cases),
];

fn all_cases() -> Vec<Case> {
    TABLES.iter().flat_map(|(_, cases)| cases()).collect()
}

macro_rules! tables {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            run(address(), &self::$name::cases());
        })*
    };
}

tables! {
    rfc3986_uri
    rfc9110_expect
    rfc9110_fields
    rfc9110_host
    rfc9110_methods
    rfc9110_upgrade
    rfc9112_chunked
    rfc9112_connection
    rfc9112_content_length
    rfc9112_request_line
    rfc9112_transfer_encoding
}
