//! The one configuration that everything after the start sees: checked, immutable, cut into the
//! part of each module.

use std::time::Duration;

use super::address::Address;
use super::fault::{ADDRESS_TWICE, ADDRESSES_OVERLAP, Fault, Faults, Notice};
use super::machine::Machine;
use super::options::Id;
use super::placement::{Placement, Wishes, place};
use super::pool::PoolConfig;
use super::route::RouteConfig;
use super::settings::{PoolSettings, Purpose, Settings, Sources, obstacle};
use super::value::counted;
use super::{relations, wishes};
use crate::limits::HttpLimits;

/// Everything, resolved.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen, and how the supervisor watches.
    pub server: ServerConfig,
    /// Where every process runs.
    pub placement: Placement,
    /// The pools, in the order of their places.
    pub pools: Vec<PoolConfig>,
    /// How long a worker watches for its next job where that hurts nobody; zero is never.
    pub spin: Duration,
    /// What each shard does.
    pub shard: ShardConfig,
    /// What each connection may do.
    pub http: HttpLimits,
    /// How to stop.
    pub shutdown: ShutdownConfig,
    /// What to log.
    pub log: LogConfig,
    /// The routes of the file, in their order.
    pub routes: Vec<RouteConfig>,
    /// The file that was read, for the start screen.
    pub file: Option<String>,
    /// What people should know about their settings although nothing is wrong.
    pub notices: Vec<Notice>,
}

/// `[server]`.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Addresses, at least one, none twice.
    pub listen: Vec<Address>,
    /// Length of each accept queue, before the kernel's own limit.
    pub backlog: u32,
    /// Longest turn of a shard.
    pub shard_stall: Duration,
    /// How the network is to be driven.
    pub engine: EngineWish,
    /// The user that all but the supervisor become; `None` is the one that we are.
    pub user: Option<String>,
}

/// `server.engine`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EngineWish {
    /// Whatever works best here.
    Auto,
    /// Nothing else.
    IoUring,
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

impl Sources {
    /// Reads, checks and resolves everything for this machine.
    pub fn resolve(&self, machine: &Machine) -> Result<Config, Faults> {
        self.resolve_for(Purpose::Answer, machine).map(|(_, config)| config)
    }

    /// The same for a purpose, with what was written.
    pub fn resolve_for(
        &self,
        purpose: Purpose,
        machine: &Machine,
    ) -> Result<(Settings, Config), Faults> {
        let (settings, mut faults) = Settings::gather(self);
        let mut config = Config::resolve(&settings, machine, &mut faults);
        let obstacles = |pool: &PoolSettings| pool.obstacles(purpose);
        faults.0.extend(settings.pools().iter().flat_map(obstacles));
        if purpose == Purpose::Answer {
            let later = settings.pools().iter().filter_map(PoolSettings::cannot_start);
            config.notices.extend(later.map(Notice::warning));
        }
        if faults.0.is_empty() { Ok((settings, config)) } else { Err(faults) }
    }
}

impl Config {
    /// What keeps a pool from starting, if there is such a pool.
    #[must_use]
    pub fn pools_cannot_start(&self) -> Option<Fault> {
        let mut pools = self.pools.iter();
        pools.find_map(|pool| obstacle(&pool.name, &pool.origin, pool.kind, pool.built_in))
    }

    /// What a server without any settings would do here.
    #[must_use]
    pub fn of_defaults(machine: &Machine) -> Self {
        Self::resolve(&Settings::defaults(), machine, &mut Faults::default())
    }

    /// Checks the settings against each other and the machine. Faults are added to `faults`;
    /// when there are any, the result is not meant to be used.
    pub(super) fn resolve(settings: &Settings, machine: &Machine, faults: &mut Faults) -> Self {
        let placement = place_all(settings, machine, faults);
        let mut notices = settings.notices().to_vec();
        check_addresses(settings, faults);
        relations::check(settings, faults, &mut notices);
        notices.extend(relations::idle_and_placement(settings, &placement));
        Self {
            server: ServerConfig {
                listen: settings.values().addresses(Id::ServerListen).to_vec(),
                backlog: settings.values().number(Id::ServerBacklog),
                shard_stall: settings.values().time(Id::ServerShardStall),
                engine: match settings.values().choice(Id::ServerEngine) {
                    "io_uring" => EngineWish::IoUring,
                    _ => EngineWish::Auto,
                },
                user: Some(settings.values().text(Id::ServerUser).to_owned())
                    .filter(|user| !user.is_empty()),
            },
            placement,
            pools: settings.pools().iter().map(PoolConfig::of).collect(),
            spin: spin(settings),
            shard: ShardConfig {
                idle: idle(settings.values().choice(Id::CoresIdle)),
                connections: settings.values().number(Id::LimitsConnections),
            },
            http: http_limits(settings),
            shutdown: ShutdownConfig {
                grace: settings.values().time(Id::ShutdownGrace),
                force: settings.values().time(Id::ShutdownForce),
            },
            log: LogConfig {
                level: log_level(settings.values().choice(Id::LogLevel)),
                format: log_format(settings.values().choice(Id::LogFormat)),
            },
            routes: settings.routes().to_vec(),
            file: file_with_drop_ins(settings),
            notices,
        }
    }
}

/// "corewise.toml + 1 drop-in".
fn file_with_drop_ins(settings: &Settings) -> Option<String> {
    let (first, more) = settings.files().split_first()?;
    Some(match more.len() {
        0 => first.clone(),
        count => format!("{first} + {}", counted(count, "drop-in")),
    })
}

fn http_limits(settings: &Settings) -> HttpLimits {
    HttpLimits {
        line_bytes: settings.values().number(Id::LimitsLineBytes),
        header_bytes: settings.values().number(Id::LimitsHeaderBytes),
        headers: settings.values().number(Id::LimitsHeaders),
        body_bytes: settings.values().number(Id::LimitsBody),
        header_timeout: settings.values().time(Id::LimitsHeaderTimeout),
        body_timeout: settings.values().time(Id::LimitsBodyTimeout),
        body_rate: settings.values().number(Id::LimitsBodyRate),
        handler_timeout: settings.values().time(Id::LimitsHandlerTimeout),
        write_timeout: settings.values().time(Id::LimitsWriteTimeout),
        keep_alive: settings.values().time(Id::LimitsKeepAlive),
        requests_per_connection: settings.values().number(Id::LimitsRequestsPerConnection),
    }
}

fn place_all(settings: &Settings, machine: &Machine, faults: &mut Faults) -> Placement {
    place(machine, &wishes::wishes(settings)).unwrap_or_else(|clashes| {
        faults.0.extend(clashes.into_iter().map(|clash| wishes::fault(settings, clash)));
        place(machine, &Wishes::default()).expect("a placement without wishes never fails")
    })
}

fn check_addresses(settings: &Settings, faults: &mut Faults) {
    let addresses = settings.values().addresses(Id::ServerListen);
    for (index, address) in addresses.iter().enumerate() {
        // With port 0 each gets a port of its own.
        let chooses = address.tcp().is_some_and(|address| address.port() == 0);
        let mut before = addresses[..index].iter().enumerate().filter(|_| !chooses);
        if let Some((twin, _)) = before.clone().find(|(_, other)| *other == address) {
            let message = format!("{address} is named twice");
            let fault = listen_fault(settings, ADDRESS_TWICE, message, (twin, index));
            faults.0.push(fault.with_help("name each address once"));
        } else if let Some((twin, other)) = before.find(|(_, other)| overlap(other, address)) {
            let message = format!("{other} and {address} overlap: one contains the other");
            let fault = listen_fault(settings, ADDRESSES_OVERLAP, message, (twin, index));
            faults
                .0
                .push(fault.with_help("name the wider one alone, or give them different ports"));
        }
    }
}

/// True when the system cannot tell to which of two different addresses a client came.
fn overlap(one: &Address, other: &Address) -> bool {
    let (one, other) = match (one, other) {
        (Address::Tcp(one), Address::Tcp(other)) => (one, other),
        (Address::Unix(one), Address::Unix(other)) => return one.path == other.path,
        _ => return false,
    };
    let (ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    // An IPv6 wildcard leaves IPv4 alone beside an IPv4 address of the same port, but not beside
    // one that is written as IPv6.
    let same_family = one.is_ipv4() == other.is_ipv4() || ip.is_ipv4() == other_ip.is_ipv4();
    let is_wider = ip.is_unspecified() || other_ip.is_unspecified();
    let is_mapped = one.is_ipv4() != other.is_ipv4() && ip == other_ip;
    one.port() == other.port() && (is_mapped || (same_family && is_wider))
}

/// A fault of two addresses, given by their places in the list.
fn listen_fault(
    settings: &Settings,
    code: &'static str,
    message: String,
    (first, second): (usize, usize),
) -> Fault {
    let setting = settings.get(Id::ServerListen);
    let part = |index: usize| setting.parts.get(index).cloned();
    let key = Id::ServerListen.def().key();
    match (part(first), part(second)) {
        (Some(first), Some(second)) => Fault::new(code, key, second, message)
            .with_label("clashes with the other")
            .with_second(first, "named first here"),
        // A flag or a variable has no lines to show.
        _ => Fault::new(code, key, setting.origin.clone(), message).with_note(format!(
            "addresses {} and {} of {}",
            first + 1,
            second + 1,
            setting.value
        )),
    }
}

fn idle(word: &str) -> Idle {
    match word {
        "sleep" => Idle::Sleep,
        "spin" => Idle::Spin,
        _ => Idle::Adaptive,
    }
}

/// Spinning is worth it for about as long as a wake takes; who wants latency pays for more.
fn spin(settings: &Settings) -> Duration {
    match (idle(settings.values().choice(Id::CoresIdle)), settings.values().choice(Id::CoresPolicy))
    {
        (Idle::Sleep, _) => Duration::ZERO,
        (Idle::Spin, _) => SPIN_ALWAYS,
        (Idle::Adaptive, "latency") => SPIN_FOR_LATENCY,
        (Idle::Adaptive, _) => SPIN,
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

const SPIN: Duration = Duration::from_micros(25);
const SPIN_FOR_LATENCY: Duration = Duration::from_micros(100);
/// `Config::spin` of workers that never sleep: after so long they look around once.
pub const SPIN_ALWAYS: Duration = Duration::from_millis(250);
