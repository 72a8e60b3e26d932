//! The columns of the report: what load is put on, what is read off, and what corewise promises.

use super::noise::Cores;
use super::wrk::{self, Style};
use crate::result::{self, Bar, Group, Promise, Quantity};
use crate::subject::{Event, Route};

/// One load and what is read off it. A column exists by having a line in `COLUMNS`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// What `--columns` takes.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) group: Group,
    pub(crate) load: Load,
    pub(crate) who: Who,
    /// What is read off; the first is the one that is compared.
    pub(crate) quantities: &'static [Quantity],
    pub(crate) promises: &'static [Promise],
}

/// What is done to a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Load {
    /// wrk, which asks again once it was answered.
    Closed { connections: u32, route: Route, style: Style },
    /// Something happens to the server under a ledgered load.
    Event(Event),
    /// 2,000 and then 10,000 connections that were served once and say nothing more.
    Idle,
    /// A light route, for comparison with ...
    Light,
    /// ... the same with a heavy one beside it.
    Mixed,
    /// A fixed rate on this many connections, whatever the answers do.
    Open { connections: u32 },
    /// From nothing to the first right answer.
    Start,
}

/// Whom a column is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Who {
    Everybody,
    /// What holds a promise and nothing else: the limit and ours.
    LimitAndOurs,
}

impl Column {
    /// As the report knows it.
    pub(super) fn described(&self, cores: Cores, seconds: u32, rate: u32) -> result::Column {
        result::Column {
            name: self.name.to_owned(),
            title: self.title.to_owned(),
            group: self.group,
            connections: self.load.connections(),
            command: self.command(cores, seconds, rate),
            quantities: self.quantities.to_vec(),
            promises: self.promises.to_vec(),
        }
    }

    /// Whether the subjects wait for their windows side by side. What changes a server, or costs
    /// it memory, is done to a fresh one.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.load, Load::Closed { .. } | Load::Light | Load::Mixed | Load::Open { .. })
    }

    /// How often each subject is measured in a run of so many rounds. What takes long and hardly
    /// varies is measured less often.
    pub(super) fn rounds(&self, rounds: u32) -> u32 {
        match self.load {
            Load::Idle => 1,
            Load::Event(_) => rounds.min(2),
            Load::Light | Load::Mixed => rounds.min(3),
            Load::Closed { .. } | Load::Open { .. } | Load::Start => rounds,
        }
    }

    fn command(&self, cores: Cores, seconds: u32, rate: u32) -> String {
        let cpu = cores.client;
        let open = format!("taskset -c {cpu} corewise-bench open --address 127.0.0.1:PORT");
        match self.load {
            Load::Closed { connections, route, style } => {
                let load = wrk::Load { connections, style, seconds };
                wrk::command_line(load, usual_path(route), cpu)
            }
            Load::Event(_) => {
                format!("{open} --path /plaintext --rate 2000 --connections 32 --ledger --json")
            }
            Load::Idle => "10,000 connections, one request on each, then silence".to_owned(),
            Load::Light => format!("{open} --path /plaintext --rate 2000 --connections 32 --json"),
            Load::Mixed => format!(
                "{open} --path /plaintext --rate 2000 --connections 32 --heavy-path /burn/10 \
                 --heavy 16 --json"
            ),
            Load::Open { connections } => format!(
                "{open} --path /plaintext --rate {rate} --connections {connections} \
                 --seconds {} --json",
                seconds * OPEN_FACTOR
            ),
            Load::Start => "start it and ask until it answers".to_owned(),
        }
    }
}

/// The path by which most subjects know a route.
fn usual_path(route: Route) -> &'static str {
    match route {
        Route::Burn { .. } => "/burn/10",
        Route::File { name: "1k" } => "/file/1k",
        Route::File { name: "100k" } => "/file/100k",
        Route::File { .. } => "/file/10m",
        Route::Json => "/json",
        Route::Plaintext => "/plaintext",
        Route::User => "/user/42",
    }
}

impl Load {
    fn connections(self) -> Option<u32> {
        match self {
            Self::Closed { connections, .. } | Self::Open { connections } => Some(connections),
            Self::Event(_) | Self::Idle | Self::Light | Self::Mixed | Self::Start => None,
        }
    }
}

/// The columns of these names and groups, in the order of the report; all where none is named.
pub(crate) fn chosen(words: &[String]) -> Result<Vec<&'static Column>, String> {
    if let Some(word) = words.iter().find(|word| !COLUMNS.iter().any(|c| c.answers_to(word))) {
        let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
        let groups = GROUPS.map(|(name, _)| name).join(", ");
        return Err(format!(
            "no column or group {word:?}; columns are {}; groups are {groups}, {PROMISES}",
            names.join(", ")
        ));
    }
    let wanted = |column: &&Column| words.is_empty() || words.iter().any(|w| column.answers_to(w));
    Ok(COLUMNS.iter().filter(wanted).collect())
}

impl Column {
    fn answers_to(&self, word: &str) -> bool {
        let group = GROUPS.iter().find(|(name, _)| *name == word);
        self.name == word
            || group.is_some_and(|(_, group)| *group == self.group)
            || (word == PROMISES && !self.promises.is_empty())
    }

    /// The name by which `--columns` takes its group.
    pub(crate) fn group_name(&self) -> &'static str {
        let found = GROUPS.iter().find(|(_, group)| *group == self.group);
        found.expect("every group has a name").0
    }
}

const fn plain(name: &'static str, title: &'static str, connections: u32) -> Column {
    Column {
        name,
        title,
        group: Group::KeepAlive,
        load: Load::Closed { connections, route: Route::Plaintext, style: Style::KeepAlive },
        who: Who::Everybody,
        quantities: CLOSED,
        promises: &[],
    }
}

/// A column that only the promises need.
const fn promised(
    name: &'static str,
    title: &'static str,
    connections: u32,
    route: Route,
) -> Column {
    const PROMISES: &[Promise] = &[cpu(1.06)];
    Column {
        load: Load::Closed { connections, route, style: Style::KeepAlive },
        who: Who::LimitAndOurs,
        promises: PROMISES,
        ..plain(name, title, connections)
    }
}

const fn file(name: &'static str, title: &'static str, file: &'static str) -> Column {
    let route = Route::File { name: file };
    Column {
        group: Group::Files,
        load: Load::Closed { connections: 32, route, style: Style::KeepAlive },
        ..plain(name, title, 32)
    }
}

const fn event(name: &'static str, title: &'static str, event: Event) -> Column {
    Column {
        name,
        title,
        group: Group::Event,
        load: Load::Event(event),
        who: Who::Everybody,
        quantities: &[Quantity::FailedRequests, Quantity::LongestGapMs],
        promises: &[],
    }
}

const fn cpu(bar: f64) -> Promise {
    Promise { quantity: Quantity::CpuPerRequestUs, bar: Bar::RelativeToLimit(bar) }
}

/// All columns, in the order of the report.
pub(crate) const COLUMNS: &[Column] = &[
    Column {
        quantities: &[
            Quantity::LatencyP50Us,
            Quantity::CpuPerRequestUs,
            Quantity::RequestsPerSecond,
            Quantity::SystemCallsPerRequest,
            Quantity::ContextSwitchesPerRequest,
            Quantity::MemoryBytes,
        ],
        promises: &[
            Promise { quantity: Quantity::LatencyP50Us, bar: Bar::RelativeToLimit(0.55) },
            cpu(1.25),
        ],
        ..plain("plaintext-1", "1 connection", 1)
    },
    plain("plaintext-8", "8 connections", 8),
    Column { promises: &[cpu(1.06)], ..plain("plaintext-32", "32 connections", 32) },
    plain("plaintext-128", "128 connections", 128),
    promised("plaintext-256", "256 connections", 256, Route::Plaintext),
    plain("plaintext-512", "512 connections", 512),
    Column { promises: &[cpu(1.10)], ..plain("plaintext-1024", "1,024 connections", 1024) },
    promised("json-32", "32 connections, /json", 32, Route::Json),
    promised("json-256", "256 connections, /json", 256, Route::Json),
    promised("user-32", "32 connections, /user/{id}", 32, Route::User),
    promised("user-256", "256 connections, /user/{id}", 256, Route::User),
    Column {
        group: Group::Pipelined,
        load: Load::Closed { connections: 32, route: Route::Plaintext, style: Style::Pipelined },
        promises: &[cpu(1.10)],
        ..plain("pipelined", "32 connections, 16 requests pipelined", 32)
    },
    Column {
        group: Group::Close,
        load: Load::Closed { connections: 32, route: Route::Plaintext, style: Style::Close },
        promises: &[cpu(1.06)],
        ..plain("close", "32 at a time, a connection for each request", 32)
    },
    Column {
        name: "latency",
        title: "fixed rate, 32 connections",
        group: Group::Latency,
        load: Load::Open { connections: 32 },
        who: Who::Everybody,
        quantities: &[
            Quantity::LatencyP99Us,
            Quantity::LatencyP50Us,
            Quantity::LatencyP90Us,
            Quantity::LatencyP999Us,
            Quantity::LatencyP9999Us,
            Quantity::LatencyMaxUs,
            Quantity::CpuPerRequestUs,
        ],
        promises: &[],
    },
    file("file-1k", "files of 1 KiB, 32 connections", "1k"),
    file("file-100k", "files of 100 KiB, 32 connections", "100k"),
    file("file-10m", "files of 10 MiB, 32 connections", "10m"),
    Column {
        name: "light",
        title: "a light route, alone",
        group: Group::Mixed,
        load: Load::Light,
        who: Who::Everybody,
        quantities: &[Quantity::LatencyP99Us, Quantity::LatencyP50Us, Quantity::LatencyP999Us],
        promises: &[],
    },
    Column {
        name: "mixed",
        title: "the light route while a heavy one fills the machine",
        group: Group::Mixed,
        load: Load::Mixed,
        who: Who::Everybody,
        quantities: &[
            Quantity::LatencyP99Us,
            Quantity::LatencyP50Us,
            Quantity::LatencyP999Us,
            Quantity::HeavyPerSecond,
        ],
        promises: &[],
    },
    event("kill", "a serving process is killed", Event::Kill),
    event("reload", "the configuration is reloaded", Event::Reload),
    event("restart", "the server is restarted", Event::Restart),
    Column {
        name: "idle",
        title: "10,000 idle connections",
        group: Group::Idle,
        load: Load::Idle,
        who: Who::Everybody,
        quantities: &[Quantity::IdleBytes, Quantity::IdleCpuPercent],
        promises: &[
            Promise { quantity: Quantity::IdleBytes, bar: Bar::Absolute(256.0) },
            // A reading in nanoseconds shows less than this as 0.0 %.
            Promise { quantity: Quantity::IdleCpuPercent, bar: Bar::Absolute(0.05) },
        ],
    },
    Column {
        name: "start",
        title: "from nothing to the first answer",
        group: Group::Start,
        load: Load::Start,
        who: Who::Everybody,
        quantities: &[Quantity::StartMs, Quantity::MemoryBytes],
        promises: &[],
    },
];

/// What `--quick` measures.
pub(crate) const QUICK: [&str; 4] = ["plaintext-1", "plaintext-32", "close", "latency"];

/// What `--columns` takes beside names.
const GROUPS: [(&str, Group); 9] = [
    ("keep-alive", Group::KeepAlive),
    ("pipelined", Group::Pipelined),
    ("close", Group::Close),
    ("latency", Group::Latency),
    ("files", Group::Files),
    ("mixed", Group::Mixed),
    ("events", Group::Event),
    ("idle", Group::Idle),
    ("start", Group::Start),
];
/// The columns that hold a promise, of whatever group.
const PROMISES: &str = "promises";
const CLOSED: &[Quantity] = &[
    Quantity::CpuPerRequestUs,
    Quantity::RequestsPerSecond,
    Quantity::SystemCallsPerRequest,
    Quantity::ContextSwitchesPerRequest,
    Quantity::MemoryBytes,
];
/// A tail needs more requests than a median: windows of the fixed rate are this much longer.
pub(super) const OPEN_FACTOR: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &str, expected: &[&str]) {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let names: Vec<&str> = chosen(&words).unwrap().iter().map(|column| column.name).collect();
        assert_eq!(names, expected, "{words:?}");
    }

    #[test]
    fn columns_are_chosen_by_name_and_by_group() {
        check("close plaintext-8", &["plaintext-8", "close"]);
        check("events", &["kill", "reload", "restart"]);
        check("files idle", &["file-1k", "file-100k", "file-10m", "idle"]);
        assert_eq!(chosen(&[]).unwrap().len(), COLUMNS.len());
        let promised = chosen(&["promises".to_owned()]).unwrap();
        assert!(promised.iter().any(|column| column.name == "idle"));
        assert!(promised.iter().all(|column| !column.promises.is_empty()));
        let error = chosen(&["plain".to_owned()]).unwrap_err();
        assert!(error.contains("plaintext-32") && error.contains("keep-alive"), "{error}");
    }

    #[test]
    fn names_are_unique_and_what_quick_measures_exists() {
        for (index, column) in COLUMNS.iter().enumerate() {
            assert!(COLUMNS[..index].iter().all(|other| other.name != column.name));
            assert!(!column.quantities.is_empty() && !column.group_name().is_empty());
            for promise in column.promises {
                assert!(column.quantities.contains(&promise.quantity), "{}", column.name);
            }
        }
        check(&QUICK.join(" "), &QUICK);
    }
}
