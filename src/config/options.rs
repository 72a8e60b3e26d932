//! The option table: each option once. Flags, TOML keys, environment names and help come from it.

use std::time::Duration;

use super::value::Kind;
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX};

/// An option by name. Its number is its place in `OPTIONS`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "OPTIONS documents each of them in its `short` and `long`")]
pub enum Id {
    ServerListen,
    ServerBacklog,
    ServerShardStall,
    CoresShards,
    CoresIdle,
    LimitsLineBytes,
    LimitsHeaderBytes,
    LimitsHeaders,
    LimitsBody,
    LimitsConnections,
    LimitsHeaderTimeout,
    LimitsBodyTimeout,
    LimitsBodyRate,
    LimitsHandlerTimeout,
    LimitsWriteTimeout,
    LimitsKeepAlive,
    LimitsRequestsPerConnection,
    ShutdownGrace,
    ShutdownForce,
    LogLevel,
    LogFormat,
}

/// How a new value takes effect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// With the next generation of processes.
    Reload,
    /// With the next start.
    Restart,
}

/// The definition of one option.
#[derive(Debug)]
pub struct OptionDef {
    /// Its name in code.
    pub id: Id,
    /// The TOML table.
    pub table: &'static str,
    /// The key in it.
    pub name: &'static str,
    /// A flag that people know; `--<table>-<name>` always exists too.
    pub flag: Option<&'static str>,
    /// Its short flag.
    pub short_flag: Option<char>,
    /// Type and bounds.
    pub kind: Kind,
    /// The default, as one would write it.
    pub default: &'static str,
    /// What it is, in one line.
    pub short: &'static str,
    /// When and how to set it.
    pub long: &'static str,
    /// What it costs at worst.
    pub cost: &'static str,
    /// How a change takes effect.
    pub change: Change,
}

impl OptionDef {
    /// `table.name`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}.{}", self.table, self.name)
    }

    /// `COREWISE_<TABLE>__<NAME>`.
    #[must_use]
    pub fn variable(&self) -> String {
        let name = self.name.replace('-', "_");
        format!("COREWISE_{}__{}", self.table, name).to_ascii_uppercase()
    }

    /// The flag that always exists, without its dashes.
    #[must_use]
    pub fn full_flag(&self) -> String {
        format!("{}-{}", self.table, self.name)
    }

    /// The flag that help shows, without its dashes.
    #[must_use]
    pub fn shown_flag(&self) -> String {
        self.flag.map_or_else(|| self.full_flag(), str::to_owned)
    }
}

impl Id {
    /// Its definition.
    #[must_use]
    pub fn def(self) -> &'static OptionDef {
        &OPTIONS[self as usize]
    }
}

/// All options, in the order of the file.
pub static OPTIONS: [OptionDef; 21] = [
    OptionDef {
        id: Id::ServerListen,
        table: "server",
        name: "listen",
        flag: Some("bind"),
        short_flag: Some('b'),
        kind: Kind::Addresses,
        default: "127.0.0.1:8000",
        short: "addresses to listen on",
        long: "One or several \"host:port\" with IP addresses; 0.0.0.0 is every IPv4 address, \
               [::] every address, port 0 lets the system choose one. The default can be reached \
               from this machine only.",
        cost: "one descriptor and one accept queue per address and shard",
        change: Change::Restart,
    },
    OptionDef {
        id: Id::ServerBacklog,
        table: "server",
        name: "backlog",
        flag: None,
        short_flag: None,
        kind: Kind::Count { min: 1, max: 1 << 20 },
        default: "4096",
        short: "clients that may wait to be accepted, per shard",
        long: "The kernel cuts it to net.core.somaxconn; the start screen says so.",
        cost: "about 1 KiB of kernel memory per waiting client",
        change: Change::Restart,
    },
    OptionDef {
        id: Id::ServerShardStall,
        table: "server",
        name: "shard-stall",
        flag: None,
        short_flag: None,
        kind: time(100, 86_400_000),
        default: "10s",
        short: "longest turn of a shard before it is replaced",
        long: "A handler that computes or blocks for longer inside a shard holds up every client \
               of that shard; after this time the shard is ended and its place filled again.",
        cost: "nothing",
        change: Change::Restart,
    },
    OptionDef {
        id: Id::CoresShards,
        table: "cores",
        name: "shards",
        flag: Some("shards"),
        short_flag: None,
        kind: Kind::Cpus,
        default: "auto",
        short: "how many shards, or the CPUs they run on",
        long: "\"auto\" is one for each CPU that this process may use; a number takes so many of \
               them; a list like \"1-4\" names the CPUs.",
        cost: "one process of about 10 MiB each",
        change: Change::Restart,
    },
    OptionDef {
        id: Id::CoresIdle,
        table: "cores",
        name: "idle",
        flag: None,
        short_flag: None,
        kind: Kind::Choice(&["adaptive", "sleep", "spin"]),
        default: "adaptive",
        short: "what a shard does when it has nothing to do",
        long: "\"adaptive\" watches for up to 50 microseconds while clients are quick, then \
               sleeps; \"sleep\" never watches; \"spin\" never sleeps.",
        cost: "\"spin\" burns the whole CPU",
        change: Change::Restart,
    },
    OptionDef {
        id: Id::LimitsLineBytes,
        table: "limits",
        name: "line-bytes",
        flag: None,
        short_flag: None,
        kind: Kind::Size { min: 64, max: HEAD_BYTES_MAX as u64 },
        default: "8KiB",
        short: "longest request line",
        long: "A longer one is answered with 414.",
        cost: "line-bytes + header-bytes for each request whose head is incomplete",
        change: Change::Reload,
    },
    OptionDef {
        id: Id::LimitsHeaderBytes,
        table: "limits",
        name: "header-bytes",
        flag: None,
        short_flag: None,
        kind: Kind::Size { min: 64, max: HEAD_BYTES_MAX as u64 },
        default: "16KiB",
        short: "largest header section",
        long: "A larger one is answered with 431.",
        cost: "line-bytes + header-bytes for each request whose head is incomplete",
        change: Change::Reload,
    },
    OptionDef {
        id: Id::LimitsHeaders,
        table: "limits",
        name: "headers",
        flag: None,
        short_flag: None,
        kind: Kind::Count { min: 1, max: HEADERS_MAX as u64 },
        default: "100",
        short: "most header fields in a request",
        long: "More are answered with 431.",
        cost: "nothing",
        change: Change::Reload,
    },
    OptionDef {
        id: Id::LimitsBody,
        table: "limits",
        name: "body",
        flag: None,
        short_flag: None,
        kind: Kind::Size { min: 0, max: 1 << 40 },
        default: "16MiB",
        short: "largest request body",
        long: "A larger one is answered with 413.",
        cost: "as much for each request whose handler asks for the whole body",
        change: Change::Reload,
    },
    OptionDef {
        id: Id::LimitsConnections,
        table: "limits",
        name: "connections",
        flag: None,
        short_flag: None,
        kind: Kind::Count { min: 1, max: 1 << 24 },
        default: "65536",
        short: "most connections of one shard",
        long: "Beyond it a shard accepts nobody until a connection ends. Cut to what the \
               descriptor limit allows, with a warning.",
        cost: "256 bytes and one descriptor for each open connection",
        change: Change::Restart,
    },
    OptionDef {
        id: Id::LimitsHeaderTimeout,
        table: "limits",
        name: "header-timeout",
        flag: None,
        short_flag: None,
        kind: time(10, 86_400_000),
        default: "10s",
        short: "longest time for a whole request head",
        long: "Counts from its first byte and is not renewed by more of them, so that slow heads \
               cannot hold connections. Longer: 408.",
        cost: "nothing",
        change: Change::Reload,
    },
    OptionDef {
        id: Id::LimitsBodyTimeout,
        table: "limits",
        name: "body-timeout",
        flag: None,
        short_flag: None,
        kind: time(10, 86_400_000),
        default: "30s",
        short: "grace of a request body before body-rate counts",
        long: "After it the body must have come at body-rate on average. Slower: 408.",
        cost: "nothing",
        change: Change::Reload,
    },
    OptionDef {
        id: Id::LimitsBodyRate,
        table: "limits",
        name: "body-rate",
        flag: None,
        short_flag: None,
        kind: Kind::Rate { min: 1, max: 1 << 30 },
        default: "240B/s",
        short: "least average rate of a request body",
        long: "Counts once body-timeout is over.",
        cost: "nothing",
        change: Change::Reload,
    },
    OptionDef {
        id: Id::LimitsHandlerTimeout,
        table: "limits",
        name: "handler-timeout",
        flag: None,
        short_flag: None,
        kind: time(10, 86_400_000),
        default: "60s",
        short: "longest run of an async handler",
        long: "Counts up to the head of its response, for handlers inside a shard. Longer: 503, \
               and the handler is cancelled.",
        cost: "nothing",
        change: Change::Reload,
    },
    OptionDef {
        id: Id::LimitsWriteTimeout,
        table: "limits",
        name: "write-timeout",
        flag: None,
        short_flag: None,
        kind: time(10, 86_400_000),
        default: "30s",
        short: "longest time without progress of an answer",
        long: "Counts between two writes, so that long downloads live as long as they move.",
        cost: "nothing",
        change: Change::Reload,
    },
    OptionDef {
        id: Id::LimitsKeepAlive,
        table: "limits",
        name: "keep-alive",
        flag: Some("keep-alive"),
        short_flag: None,
        kind: time(10, 86_400_000),
        default: "75s",
        short: "longest idle time between two requests",
        long: "Keep it above the idle time of a load balancer in front (often 60 s): whoever \
               closes first decides whether a request can be lost.",
        cost: "256 bytes and one descriptor for each idle connection",
        change: Change::Reload,
    },
    OptionDef {
        id: Id::LimitsRequestsPerConnection,
        table: "limits",
        name: "requests-per-connection",
        flag: None,
        short_flag: None,
        kind: Kind::Count { min: 0, max: u32::MAX as u64 },
        default: "0",
        short: "requests on one connection before it is closed; 0 is no limit",
        long: "For load balancers that would otherwise stay with one shard for ever.",
        cost: "a new connection per so many requests",
        change: Change::Reload,
    },
    OptionDef {
        id: Id::ShutdownGrace,
        table: "shutdown",
        name: "grace",
        flag: Some("graceful-timeout"),
        short_flag: None,
        kind: time(0, 86_400_000),
        default: "30s",
        short: "time to finish what was accepted when stopping",
        long: "What still runs after it is cancelled. An interrupt cuts it to 5 s.",
        cost: "a stop may take as long",
        change: Change::Reload,
    },
    OptionDef {
        id: Id::ShutdownForce,
        table: "shutdown",
        name: "force",
        flag: None,
        short_flag: None,
        kind: time(0, 3_600_000),
        default: "5s",
        short: "time after grace before processes are ended",
        long: "At grace + force a process that is still there is aborted, and killed 1 s later.",
        cost: "a stop may take as long",
        change: Change::Reload,
    },
    OptionDef {
        id: Id::LogLevel,
        table: "log",
        name: "level",
        flag: None,
        short_flag: None,
        kind: Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        default: "info",
        short: "least important kind of line that is logged",
        long: "info is the life of processes, debug that of connections, trace every operation. \
               The variable may also be written COREWISE_LOG_LEVEL; COREWISE_LOG__LEVEL wins if \
               both are set.",
        cost: "debug and trace slow requests down",
        change: Change::Reload,
    },
    OptionDef {
        id: Id::LogFormat,
        table: "log",
        name: "format",
        flag: None,
        short_flag: None,
        kind: Kind::Choice(&["auto", "pretty", "json"]),
        default: "auto",
        short: "form of the log",
        long: "\"auto\" is pretty on a terminal and JSON lines otherwise. With json the ready \
               line on standard output is JSON too.",
        cost: "nothing",
        change: Change::Reload,
    },
];

/// Tables and keys that later versions have: naming them is an error that says so.
pub(super) const NOT_YET: [(&str, &[&str]); 9] = [
    (
        "server",
        &[
            "control",
            "admin",
            "trusted-proxies",
            "proxy-protocol",
            "root-path",
            "engine",
            "user",
            "sandbox",
        ],
    ),
    ("cores", &["use", "reserve", "smt", "policy", "pin", "quota"]),
    ("shutdown", &["lead"]),
    ("log", &["to", "access"]),
    ("pool", &[]),
    ("route", &[]),
    ("health", &[]),
    ("agent", &[]),
    ("tls", &[]),
];

const fn time(min_ms: u64, max_ms: u64) -> Kind {
    Kind::Time { min: Duration::from_millis(min_ms), max: Duration::from_millis(max_ms) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_option_stands_at_its_place() {
        for (index, def) in OPTIONS.iter().enumerate() {
            assert_eq!(def.id as usize, index, "{}", def.key());
            assert_eq!(def.id.def().name, def.name);
        }
    }

    #[test]
    fn every_default_is_a_value_and_written_as_shown() {
        for def in &OPTIONS {
            let value = def.kind.parse(def.default).expect(def.name);
            assert_eq!(value.to_string(), def.default, "{}", def.key());
        }
    }

    #[test]
    fn names_are_unique_and_well_formed() {
        let mut flags = HashSet::new();
        for def in &OPTIONS {
            assert!(def.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
            assert!(flags.insert(def.full_flag()), "{}", def.key());
            if let Some(flag) = def.flag {
                assert!(flags.insert(flag.to_owned()), "{flag}");
            }
            assert!(!def.short.is_empty() && !def.short.ends_with('.'));
            assert!(def.long.ends_with('.') && !def.cost.is_empty());
        }
        assert_eq!(Id::LimitsKeepAlive.def().variable(), "COREWISE_LIMITS__KEEP_ALIVE");
        assert_eq!(Id::CoresShards.def().key(), "cores.shards");
    }

    #[test]
    fn later_keys_are_not_options() {
        for (table, keys) in NOT_YET {
            for def in &OPTIONS {
                assert!(def.table != table || !keys.is_empty() && !keys.contains(&def.name));
            }
        }
    }
}
