//! The one configuration that everything after the start sees: checked, immutable, cut into the
//! part of each module.

use std::net::SocketAddr;
use std::time::Duration;

use super::fault::{ADDRESS_TWICE, ADDRESSES_OVERLAP, Fault, Faults};
use super::machine::Machine;
use super::options::Id;
use super::placement::{Clash, Placement, Wishes, place};
use super::settings::Settings;
use crate::limits::HttpLimits;

/// Everything, resolved.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen, and how the supervisor watches.
    pub server: ServerConfig,
    /// Where every process runs.
    pub placement: Placement,
    /// What each shard does.
    pub shard: ShardConfig,
    /// What each connection may do.
    pub http: HttpLimits,
    /// How to stop.
    pub shutdown: ShutdownConfig,
    /// What to log.
    pub log: LogConfig,
    /// The file that was read, for the start screen.
    pub file: Option<String>,
}

/// `[server]`.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Addresses, at least one, none twice.
    pub listen: Vec<SocketAddr>,
    /// Length of each accept queue, before the kernel's own limit.
    pub backlog: u32,
    /// Longest turn of a shard.
    pub shard_stall: Duration,
}

/// What is the same for every shard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ShardConfig {
    /// What to do when there is nothing to do.
    pub idle: Idle,
    /// Most open connections.
    pub connections: u32,
}

/// `cores.idle`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Idle {
    /// Watch while clients are quick, then sleep.
    Adaptive,
    /// Sleep at once.
    Sleep,
    /// Never sleep.
    Spin,
}

/// `[shutdown]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ShutdownConfig {
    /// Time to finish what was accepted.
    pub grace: Duration,
    /// Time after that before processes are ended.
    pub force: Duration,
}

/// `[log]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LogConfig {
    /// Least important kind of line.
    pub level: LogLevel,
    /// Its form.
    pub format: LogFormat,
}

/// Kinds of lines, most important first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LogLevel {
    /// Somebody must act.
    Error,
    /// Degraded, still serving.
    Warn,
    /// The life of processes.
    Info,
    /// The life of connections.
    Debug,
    /// Every operation.
    Trace,
}

/// Forms of the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    Auto,
    /// One object per line.
    Json,
    /// For people.
    Pretty,
}

impl Config {
    /// Checks the settings against each other and the machine. Faults are added to `faults`;
    /// when there are any, the result is not meant to be used.
    pub(super) fn resolve(settings: &Settings, machine: &Machine, faults: &mut Faults) -> Self {
        check_addresses(settings, faults);
        Self {
            server: ServerConfig {
                listen: settings.addresses(Id::ServerListen).to_vec(),
                backlog: settings.number(Id::ServerBacklog),
                shard_stall: settings.time(Id::ServerShardStall),
            },
            placement: place_all(settings, machine, faults),
            shard: ShardConfig {
                idle: idle(settings.choice(Id::CoresIdle)),
                connections: settings.number(Id::LimitsConnections),
            },
            http: http_limits(settings),
            shutdown: ShutdownConfig {
                grace: settings.time(Id::ShutdownGrace),
                force: settings.time(Id::ShutdownForce),
            },
            log: LogConfig {
                level: log_level(settings.choice(Id::LogLevel)),
                format: log_format(settings.choice(Id::LogFormat)),
            },
            file: settings.file().map(str::to_owned),
        }
    }
}

fn http_limits(settings: &Settings) -> HttpLimits {
    HttpLimits {
        line_bytes: settings.number(Id::LimitsLineBytes),
        header_bytes: settings.number(Id::LimitsHeaderBytes),
        headers: settings.number(Id::LimitsHeaders),
        body_bytes: settings.number(Id::LimitsBody),
        header_timeout: settings.time(Id::LimitsHeaderTimeout),
        body_timeout: settings.time(Id::LimitsBodyTimeout),
        body_rate: settings.number(Id::LimitsBodyRate),
        handler_timeout: settings.time(Id::LimitsHandlerTimeout),
        write_timeout: settings.time(Id::LimitsWriteTimeout),
        keep_alive: settings.time(Id::LimitsKeepAlive),
        requests_per_connection: settings.number(Id::LimitsRequestsPerConnection),
    }
}

fn place_all(settings: &Settings, machine: &Machine, faults: &mut Faults) -> Placement {
    let wishes = Wishes { shards: settings.cpus(Id::CoresShards).clone(), ..Wishes::default() };
    place(machine, &wishes).unwrap_or_else(|clashes| {
        faults.0.extend(clashes.into_iter().map(|clash| clash_fault(settings, clash)));
        place(machine, &Wishes::default()).expect("a placement without wishes never fails")
    })
}

/// Every wish that can clash by now is about the shards.
fn clash_fault(settings: &Settings, clash: Clash) -> Fault {
    let origin = settings.get(Id::CoresShards).origin.clone();
    let Clash { code, message, fix, .. } = clash;
    Fault { code, key: Id::CoresShards.def().key(), origin, message, fix }
}

fn check_addresses(settings: &Settings, faults: &mut Faults) {
    let addresses = settings.addresses(Id::ServerListen);
    for (index, address) in addresses.iter().enumerate() {
        let before = &addresses[..index];
        if address.port() == 0 {
            // Each gets a port of its own.
        } else if before.contains(address) {
            let message = format!("{address} is named twice");
            faults.0.push(listen_fault(settings, ADDRESS_TWICE, message, "name each address once"));
        } else if let Some(other) = before.iter().find(|&&other| overlap(other, *address)) {
            let message = format!("{other} and {address} overlap: one contains the other");
            let fix = "name the wider one alone, or give them different ports";
            faults.0.push(listen_fault(settings, ADDRESSES_OVERLAP, message, fix));
        }
    }
}

/// True when the system cannot tell to which of two different addresses a client came.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    // An IPv6 wildcard leaves IPv4 alone beside an IPv4 address of the same port, but not beside
    // one that is written as IPv6.
    let same_family = one.is_ipv4() == other.is_ipv4() || ip.is_ipv4() == other_ip.is_ipv4();
    let is_wider = ip.is_unspecified() || other_ip.is_unspecified();
    let is_mapped = one.is_ipv4() != other.is_ipv4() && ip == other_ip;
    one.port() == other.port() && (is_mapped || (same_family && is_wider))
}

fn listen_fault(settings: &Settings, code: &'static str, message: String, fix: &str) -> Fault {
    let origin = settings.get(Id::ServerListen).origin.clone();
    Fault { code, key: Id::ServerListen.def().key(), origin, message, fix: fix.into() }
}

fn idle(word: &str) -> Idle {
    match word {
        "sleep" => Idle::Sleep,
        "spin" => Idle::Spin,
        _ => Idle::Adaptive,
    }
}

fn log_level(word: &str) -> LogLevel {
    match word {
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "debug" => LogLevel::Debug,
        "trace" => LogLevel::Trace,
        _ => LogLevel::Info,
    }
}

fn log_format(word: &str) -> LogFormat {
    match word {
        "json" => LogFormat::Json,
        "pretty" => LogFormat::Pretty,
        _ => LogFormat::Auto,
    }
}
