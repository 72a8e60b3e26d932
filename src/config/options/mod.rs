//! The option table: each option once. Flags, TOML keys, environment names and help come from it.

mod form;
mod general;
mod pool;

use std::iter;
use std::time::Duration;

use super::value::Kind;

pub use general::OPTIONS;
pub use pool::POOL_OPTIONS;

/// An option by name. Its number is its place in `OPTIONS`, and behind them in `POOL_OPTIONS`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "the tables document each of them in its `short` and `long`")]
pub enum Id {
    ServerListen,
    ServerControl,
    ServerAdmin,
    ServerTrustedProxies,
    ServerProxyProtocol,
    ServerRootPath,
    ServerShardStall,
    ServerEngine,
    ServerUser,
    ServerSandbox,
    ServerBacklog,
    CoresUse,
    CoresShards,
    CoresReserve,
    CoresSmt,
    CoresPolicy,
    CoresPin,
    CoresQuota,
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
    ShutdownLead,
    ShutdownGrace,
    ShutdownForce,
    LogLevel,
    LogFormat,
    LogTo,
    LogAccessTo,
    LogAccessFormat,
    LogAccessSampleOk,
    LogAccessSampleSlow,
    HealthLive,
    HealthReady,
    HealthPublic,
    HealthPublicStatus,
    AgentListen,
    PoolKind,
    PoolInterface,
    PoolApp,
    PoolProject,
    PoolPython,
    PoolWorkers,
    PoolCores,
    PoolMaxWorkers,
    PoolShare,
    PoolPriority,
    PoolThreads,
    PoolConcurrency,
    PoolSlots,
    PoolQueue,
    PoolQueueWait,
    PoolSlot,
    PoolPreload,
    PoolOnceCall,
    PoolOnceOnFailure,
    PoolOnceRetries,
    PoolOnceTimeout,
    PoolOnceOnReload,
    PoolWarm,
    PoolBootTimeout,
    PoolBootParallel,
    PoolBootStagger,
    PoolRequestTimeout,
    PoolRequestForce,
    PoolRequestIdle,
    PoolCancelOnDisconnect,
    PoolHalfClose,
    PoolRecycleRequests,
    PoolRecycleJitter,
    PoolRecycleAge,
    PoolRecycleRss,
    PoolRestartBackoff,
    PoolRestartGiveUp,
    PoolNice,
    PoolEnv,
}

/// How a new value takes effect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// With the next generation of processes.
    Reload,
    /// With the next start.
    Restart,
}

/// Whether an option has its effect in this version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Availability {
    /// All but these words, each with what it needs, has its effect.
    Except(&'static [(&'static str, &'static str)]),
    /// To name it is an error that says what it needs.
    Later(&'static str),
    /// Every value has its effect.
    Now,
}

/// The definition of one option.
#[derive(Debug)]
pub struct OptionDef {
    /// Its name in code.
    pub id: Id,
    /// The TOML table; for options of pools with `NAME` in place of the name.
    pub table: &'static str,
    /// The key in it, with dots where it stands in a table of its own.
    pub name: &'static str,
    /// A flag that people know; `--<table>-<name>` exists too where the option is available.
    pub flag: Option<&'static str>,
    /// Its short flag.
    pub short_flag: Option<char>,
    /// Type and bounds.
    pub kind: Kind,
    /// The default, as one would write it.
    pub default: &'static str,
    /// Whether it has its effect.
    pub availability: Availability,
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

    /// The key in a pool of that name.
    #[must_use]
    pub fn key_in(&self, pool: &str) -> String {
        format!("pool.{pool}.{}", self.name)
    }

    /// `COREWISE_<TABLE>__<NAME>`.
    #[must_use]
    pub fn variable(&self) -> String {
        variable_of(&self.key())
    }

    /// The variable of a pool of that name.
    #[must_use]
    pub fn variable_in(&self, pool: &str) -> String {
        variable_of(&self.key_in(pool))
    }

    /// The flag that always exists, without its dashes.
    #[must_use]
    pub fn full_flag(&self) -> String {
        let table = if self.is_of_pools() { "pool" } else { self.table };
        format!("{table}-{}", self.name.replace('.', "-"))
    }

    /// The flag that help shows, without its dashes.
    #[must_use]
    pub fn shown_flag(&self) -> String {
        self.flag.map_or_else(|| self.full_flag(), str::to_owned)
    }

    /// True for an option that each pool has.
    #[must_use]
    pub fn is_of_pools(&self) -> bool {
        self.id as usize >= OPTIONS.len()
    }

    /// What the option waits for, if it has no effect yet.
    #[must_use]
    pub fn later(&self) -> Option<&'static str> {
        match self.availability {
            Availability::Later(needs) => Some(needs),
            Availability::Except(_) | Availability::Now => None,
        }
    }

    /// What a word waits for, if it alone has no effect yet.
    #[must_use]
    pub fn later_word(&self, word: &str) -> Option<&'static str> {
        let Availability::Except(words) = self.availability else { return None };
        words.iter().find(|(later, _)| *later == word).map(|(_, needs)| *needs)
    }
}

impl Id {
    /// Its definition.
    #[must_use]
    pub fn def(self) -> &'static OptionDef {
        let place = self as usize;
        OPTIONS.get(place).unwrap_or_else(|| &POOL_OPTIONS[place - OPTIONS.len()])
    }

    /// Its place in its own table.
    pub(super) fn place(self) -> usize {
        let place = self as usize;
        place.checked_sub(OPTIONS.len()).unwrap_or(place)
    }
}

/// The options of the server that have an effect.
pub fn available() -> impl Iterator<Item = &'static OptionDef> {
    OPTIONS.iter().filter(|def| def.later().is_none())
}

/// The options of a table of the file: `server`, `pool`.
pub(super) fn of_table(table: &str) -> impl Iterator<Item = &'static OptionDef> + Clone {
    all().filter(move |def| def.table.split('.').next() == Some(table))
}

/// Both tables.
pub(super) fn all() -> impl Iterator<Item = &'static OptionDef> + Clone {
    iter::chain(&OPTIONS, &POOL_OPTIONS)
}

/// Tables of the file that later versions have, and what they need.
pub(super) const LATER_TABLES: [(&str, &str); 1] =
    [("tls", "encryption comes with a later release; until then a proxy in front can do it")];

fn variable_of(key: &str) -> String {
    format!("COREWISE_{}", key.replace('.', "__").replace('-', "_")).to_ascii_uppercase()
}

const fn time(min_ms: u64, max_ms: u64) -> Kind {
    Kind::Time { min: Duration::from_millis(min_ms), max: Duration::from_millis(max_ms) }
}

/// What most options have in common.
const PLAIN: OptionDef = OptionDef {
    id: Id::ServerListen,
    table: "",
    name: "",
    flag: None,
    short_flag: None,
    kind: Kind::Bool,
    default: "",
    availability: Availability::Now,
    short: "",
    long: "",
    cost: "",
    change: Change::Restart,
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_option_stands_at_its_place() {
        for (index, def) in all().enumerate() {
            assert_eq!(def.id as usize, index, "{}", def.key());
            assert_eq!(def.id.def().name, def.name);
            assert_eq!(def.is_of_pools(), def.table == "pool.NAME");
        }
    }

    #[test]
    fn every_default_is_a_value_and_written_as_shown() {
        for def in all() {
            let value = def.kind.parse(def.default).expect(def.name);
            assert_eq!(value.to_string(), def.default, "{}", def.key());
        }
    }

    #[test]
    fn names_are_unique_and_well_formed() {
        let mut flags = HashSet::new();
        let mut short_flags = HashSet::new();
        for def in all() {
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-' || byte == b'.';
            assert!(def.name.bytes().all(is_plain));
            assert!(flags.insert(def.full_flag()), "{}", def.key());
            if let Some(flag) = def.flag {
                assert!(flags.insert(flag.to_owned()), "{flag}");
            }
            assert!(def.short_flag.is_none_or(|flag| short_flags.insert(flag)), "{}", def.key());
        }
        assert_eq!(Id::LimitsKeepAlive.def().variable(), "COREWISE_LIMITS__KEEP_ALIVE");
        assert_eq!(Id::CoresShards.def().key(), "cores.shards");
        let timeout = Id::PoolBootTimeout.def();
        assert_eq!(timeout.key_in("app"), "pool.app.boot.timeout");
        assert_eq!(timeout.variable_in("my-app"), "COREWISE_POOL__MY_APP__BOOT__TIMEOUT");
        assert_eq!(timeout.full_flag(), "pool-boot-timeout");
    }

    #[test]
    fn every_option_says_what_it_is_and_costs() {
        for def in all() {
            assert!(!def.short.is_empty() && !def.short.ends_with('.'), "{}", def.key());
            assert!(def.long.ends_with('.') && !def.cost.is_empty(), "{}", def.key());
            assert!(!def.cost.ends_with('.'), "{}", def.key());
            let needs = match def.availability {
                Availability::Except(words) => words.iter().map(|(_, needs)| *needs).collect(),
                Availability::Later(needs) => vec![needs],
                Availability::Now => Vec::new(),
            };
            assert!(needs.iter().all(|needs| needs.contains("come")), "{}", def.key());
        }
    }

    #[test]
    fn later_words_are_words_of_their_option() {
        for def in all() {
            let Availability::Except(words) = def.availability else { continue };
            for (word, _) in words {
                def.kind.parse(word).unwrap();
                assert!(def.later_word(word).is_some() && def.later_word(def.default).is_none());
            }
        }
    }
}
