//! The columns of the table: what load is put on, what is read off, and the bar for corewise.

use serde::Serialize;

/// One load and what is read off it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// What `--columns` takes.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) load: Load,
    pub(super) figures: &'static [Figure],
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Load {
    /// 2,000 and then 10,000 connections that were served once and say nothing more.
    Idle,
    Wrk {
        connections: u32,
        route: Route,
        style: Style,
    },
}

/// How requests follow each other on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Close,
    KeepAlive,
    /// Sixteen requests in one write.
    Pipelined,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Route {
    Json,
    Plaintext,
    User,
}

/// One row of the table: a quantity and the bar that corewise has to stay under.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    pub(super) quantity: Quantity,
    pub(super) bar: Bar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Quantity {
    /// Microseconds of CPU of the whole process tree for each request.
    CpuPerRequestUs,
    /// Memory of the tree for each idle connection.
    IdleBytes,
    /// CPU of the tree while all connections are idle, in hundredths of a core.
    IdleCpuPercent,
    /// Half of the answers came within this time.
    LatencyP50Us,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Bar {
    /// At most this much.
    Absolute(f64),
    /// At most this many times the bare loop's figure.
    RelativeToBare(f64),
}

impl Route {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Json => "/json",
            Self::Plaintext => "/plaintext",
            Self::User => "/user/42",
        }
    }

    /// What the demo answers with.
    pub(super) fn body(self) -> &'static str {
        match self {
            Self::Json => "{\"message\":\"Hello, World!\"}",
            Self::Plaintext => "Hello, World!",
            Self::User => "42",
        }
    }
}

impl Quantity {
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::CpuPerRequestUs => "CPU us/request",
            Self::IdleBytes => "bytes/connection",
            Self::IdleCpuPercent => "% of a core",
            Self::LatencyP50Us => "p50 latency us",
        }
    }
}

const fn keep_alive(
    name: &'static str,
    title: &'static str,
    connections: u32,
    route: Route,
) -> Column {
    let load = Load::Wrk { connections, route, style: Style::KeepAlive };
    const FIGURES: &[Figure] = &[cpu(1.06)];
    Column { name, title, load, figures: FIGURES }
}

const fn cpu(bar: f64) -> Figure {
    Figure { quantity: Quantity::CpuPerRequestUs, bar: Bar::RelativeToBare(bar) }
}

/// All columns, in the order of the report. One line each.
pub(super) const COLUMNS: &[Column] = &[
    keep_alive("plaintext-32", "32 keep-alive, /plaintext", 32, Route::Plaintext),
    keep_alive("plaintext-256", "256 keep-alive, /plaintext", 256, Route::Plaintext),
    keep_alive("json-32", "32 keep-alive, /json", 32, Route::Json),
    keep_alive("json-256", "256 keep-alive, /json", 256, Route::Json),
    keep_alive("user-32", "32 keep-alive, /user/{id}", 32, Route::User),
    keep_alive("user-256", "256 keep-alive, /user/{id}", 256, Route::User),
    Column {
        name: "pipelined",
        title: "32 connections, 16 pipelined",
        load: Load::Wrk { connections: 32, route: Route::Plaintext, style: Style::Pipelined },
        figures: &[cpu(1.10)],
    },
    Column {
        name: "close",
        title: "32 at a time, one request each",
        load: Load::Wrk { connections: 32, route: Route::Plaintext, style: Style::Close },
        figures: &[cpu(1.06)],
    },
    Column {
        name: "single",
        title: "1 connection",
        load: Load::Wrk { connections: 1, route: Route::Plaintext, style: Style::KeepAlive },
        figures: &[
            Figure { quantity: Quantity::LatencyP50Us, bar: Bar::RelativeToBare(0.55) },
            cpu(1.25),
        ],
    },
    Column {
        name: "plaintext-1024",
        title: "1,024 keep-alive, /plaintext",
        load: Load::Wrk { connections: 1024, route: Route::Plaintext, style: Style::KeepAlive },
        figures: &[cpu(1.10)],
    },
    Column {
        name: "idle",
        title: "10,000 idle connections",
        load: Load::Idle,
        figures: &[
            Figure { quantity: Quantity::IdleBytes, bar: Bar::Absolute(256.0) },
            // The accounting of a core in nanoseconds shows less than this as 0.0 %.
            Figure { quantity: Quantity::IdleCpuPercent, bar: Bar::Absolute(0.05) },
        ],
    },
];
