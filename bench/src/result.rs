//! One run as `data.json` holds it: what was measured, of what, how, and on which machine.
//!
//! Whoever measures fills it, whoever reports reads it, and a file written today is the baseline
//! of tomorrow. It holds what was seen and no opinion: medians, ratios and verdicts are made from
//! it by `statistics`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A finished run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Run {
    /// `FORMAT`; a reader refuses what it does not know.
    pub(crate) format: u32,
    pub(crate) machine: Machine,
    pub(crate) plan: Plan,
    /// In the order of the report.
    pub(crate) subjects: Vec<Subject>,
    /// In the order of the report.
    pub(crate) columns: Vec<Column>,
    /// In the order in which they were measured.
    pub(crate) windows: Vec<Window>,
}

/// Where and of what the figures were taken.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Machine {
    /// UTC, as RFC 3339 writes it.
    pub(crate) date: String,
    /// Of the checkout that corewise was built from; ends in `-dirty` when it was changed.
    pub(crate) commit: String,
    pub(crate) processor: String,
    /// CPUs online.
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    pub(crate) compiler: String,
    /// First line of `wrk -v`.
    pub(crate) wrk: String,
    /// What else a reader should know: a virtual machine, a governor, missing permissions.
    pub(crate) notes: Vec<String>,
}

/// What the run was asked for.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Plan {
    /// The command as a person would type it.
    pub(crate) command: String,
    pub(crate) rounds: u32,
    /// Length of one window.
    pub(crate) seconds: u32,
    pub(crate) server_cpu: usize,
    pub(crate) client_cpu: usize,
    /// From the first start to the last window.
    pub(crate) took_seconds: u64,
}

/// A server under test, also one that could not be measured.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Subject {
    /// One word, by which windows refer to it.
    pub(crate) name: String,
    /// For people; may be long.
    pub(crate) title: String,
    pub(crate) role: Role,
    /// What it says of itself.
    pub(crate) version: Option<String>,
    /// How it was built and started, as a person would type it.
    pub(crate) commands: Vec<String>,
    pub(crate) state: State,
    /// Columns that it does not do, and why.
    pub(crate) declined: BTreeMap<String, String>,
    /// What a reader must know to compare fairly.
    pub(crate) note: Option<String>,
}

/// What a subject is to the comparison.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// The bare loop: what this kernel allows.
    Limit,
    /// The same program again: the second half of the A/A pair.
    LimitAgain,
    Ours,
    /// A server that people deploy.
    Peer,
    /// A server that cannot be deployed as it stands (it drops what a real client needs).
    Reference,
    /// A proxy with a server of ours behind it.
    Relay,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Measured,
    /// Not on this machine; `fix` is the command that changes it.
    Missing {
        why: String,
        fix: String,
    },
    /// It is here, and did not start, left, or answered wrongly.
    Failed {
        why: String,
    },
}

/// One load and what is read off it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Column {
    /// What `--columns` takes.
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) group: Group,
    /// Connections held at a time, where the load is made of them.
    pub(crate) connections: Option<u32>,
    /// The load as a person would type it.
    pub(crate) command: String,
    /// What is read off; the first is the one that is compared.
    pub(crate) quantities: Vec<Quantity>,
    /// What corewise promises here.
    pub(crate) promises: Vec<Promise>,
}

/// Where a column stands in the report.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Group {
    KeepAlive,
    Pipelined,
    /// A connection for each request.
    Close,
    Files,
    /// A fixed rate, open loop.
    Latency,
    /// A light route while a heavy one fills the machine.
    Mixed,
    /// Something happens to the server under load.
    Event,
    Idle,
    Start,
}

/// A figure that corewise promises to stay under.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Promise {
    pub(crate) quantity: Quantity,
    pub(crate) bar: Bar,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bar {
    /// At most this much.
    Absolute(f64),
    /// At most this many times the limit's figure of the same round.
    RelativeToLimit(f64),
}

/// What can be read off a window. Less is better, `RequestsPerSecond` and `HeavyPerSecond`
/// excepted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Quantity {
    /// CPU time of the whole process tree for each request.
    CpuPerRequestUs,
    RequestsPerSecond,
    LatencyP50Us,
    LatencyP90Us,
    LatencyP99Us,
    LatencyP999Us,
    LatencyP9999Us,
    LatencyMaxUs,
    /// Counted in a window of its own, because counting costs.
    SystemCallsPerRequest,
    /// Voluntary and forced ones of the whole tree.
    ContextSwitchesPerRequest,
    /// Proportional set size of the tree at the end of the window.
    MemoryBytes,
    /// Memory of the tree for each idle connection.
    IdleBytes,
    /// CPU of the tree while all connections are idle, in hundredths of a core.
    IdleCpuPercent,
    /// From the start of the process to its first right answer.
    StartMs,
    /// Requests without a right answer, of whatever kind.
    FailedRequests,
    /// Longest time without a right answer.
    LongestGapMs,
    /// Heavy requests that were answered beside the light ones.
    HeavyPerSecond,
}

/// One subject under one load in one round.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Window {
    pub(crate) column: String,
    pub(crate) subject: String,
    /// From 0.
    pub(crate) round: u32,
    /// From 0; above that the window before was disturbed and measured again.
    pub(crate) attempt: u32,
    /// Whether the figures count. A window that was repeated, or that failed, does not.
    pub(crate) counts: bool,
    pub(crate) figures: BTreeMap<Quantity, f64>,
    /// Right answers in it.
    pub(crate) requests: u64,
    /// Length of one answer on the wire, head and body.
    pub(crate) answer_bytes: u64,
    /// What went wrong, and how often: `connect`, `read`, `write`, `timeout`, `status`, `content`.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Who else used the cores meanwhile.
    pub(crate) disturbances: Vec<String>,
    /// Of open-loop windows: percentile (0 to 100) and microseconds.
    pub(crate) percentiles: Vec<(f64, f64)>,
}

/// Version of this file's form.
pub(crate) const FORMAT: u32 = 2;
