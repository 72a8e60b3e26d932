//! The options of a pool: each `[pool.NAME]` of the file has all of them.

use std::time::Duration;

use super::form::{ENTRY, ENTRY_OR_NONE, FOLDER, FOLDER_AUTO, REQUESTS};
use super::{Change, Id, OptionDef, PLAIN, time};
use crate::config::value::Kind;

/// The options of one pool, in the order of the file.
pub static POOL_OPTIONS: [OptionDef; 39] = [
    OptionDef {
        id: Id::PoolKind,
        table: "pool.NAME",
        name: "kind",
        kind: Kind::Choice(&["python", "native"]),
        default: "python",
        short: "what the workers run",
        long: "\"python\" loads an application, \"native\" runs handlers that are built in.",
        cost: "a process per worker",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolInterface,
        table: "pool.NAME",
        name: "interface",
        flag: Some("interface"),
        kind: Kind::Choice(&["auto", "asgi", "wsgi"]),
        default: "auto",
        short: "how a Python application is called",
        long: "\"auto\" finds out by looking at it.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolApp,
        table: "pool.NAME",
        name: "app",
        kind: ENTRY,
        default: "main:app",
        short: "the application",
        long: "The module and the name in it; with () behind it is called once and gives the \
               application.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolProject,
        table: "pool.NAME",
        name: "project",
        flag: Some("app-dir"),
        kind: FOLDER,
        default: ".",
        short: "folder of the project",
        long: "Put on the module path first, relative to where the server was started. The \
               variable may also be written COREWISE_PROJECT_DIR.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolPython,
        table: "pool.NAME",
        name: "python",
        flag: Some("python"),
        kind: FOLDER_AUTO,
        default: "auto",
        short: "the Python to use",
        long: "\"auto\" is the environment of the project, then $VIRTUAL_ENV, then python3; \
               otherwise the path of an interpreter.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolWorkers,
        table: "pool.NAME",
        name: "workers",
        flag: Some("workers"),
        short_flag: Some('w'),
        kind: Kind::Auto(&WORKERS),
        default: "auto",
        short: "how many workers",
        long: "\"auto\" is one for each core of the pool, and one in the background on each \
               core of a shard where `share` is on. The variable may also be written \
               COREWISE_WORKERS.",
        cost: "one process each",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolCores,
        table: "pool.NAME",
        name: "cores",
        kind: Kind::CpuList,
        default: "auto",
        short: "the CPUs of the workers",
        long: "\"auto\" takes what the shards leave; a list like \"4-7\" names them.",
        cost: "nothing",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolMaxWorkers,
        table: "pool.NAME",
        name: "max-workers",
        kind: Kind::Count { min: 0, max: WORKERS_MAX },
        default: "0",
        short: "most workers while the queue waits; 0 is as many as `workers`",
        long: "Above `workers` they are added while jobs wait and ended when they idle.",
        cost: "one process each",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolShare,
        table: "pool.NAME",
        name: "share",
        kind: Kind::Auto(&Kind::Bool),
        default: "auto",
        short: "whether workers also run in the background on cores of shards",
        long: "\"auto\" does so on machines of up to 4 cores.",
        cost: "a CPU-bound worker there adds its time slice to the latency of the shard",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolPriority,
        table: "pool.NAME",
        name: "priority",
        kind: Kind::Choice(&["auto", "normal", "background"]),
        default: "auto",
        short: "how the kernel schedules the workers",
        long: "\"auto\" is background on cores of shards and normal elsewhere; background work \
               runs only where nothing else wants to.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolThreads,
        table: "pool.NAME",
        name: "threads",
        flag: Some("threads"),
        kind: Kind::Count { min: 1, max: 1024 },
        default: "1",
        short: "threads of each worker",
        long: "For WSGI applications that wait for others; ASGI needs one.",
        cost: "about 1 MiB and a job at a time for each",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolConcurrency,
        table: "pool.NAME",
        name: "concurrency",
        kind: Kind::Auto(&Kind::Count { min: 1, max: 65_536 }),
        default: "auto",
        short: "jobs that one worker runs at a time",
        long: "\"auto\" is one per thread for WSGI and plain functions, and bounded by slots \
               alone for ASGI and async ones.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolSlots,
        table: "pool.NAME",
        name: "slots",
        kind: Kind::Count { min: 1, max: 65_536 },
        default: "256",
        short: "jobs of one shard that run or wait in shared memory",
        long: "More of them wait in `queue`.",
        cost: "slots x slot bytes of shared memory for each shard",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolQueue,
        table: "pool.NAME",
        name: "queue",
        kind: Kind::Count { min: 0, max: 65_536 },
        default: "128",
        short: "jobs of one shard that wait behind the slots",
        long: "When it is full too, the answer is 503 with Retry-After.",
        cost: "one held request each",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolQueueWait,
        table: "pool.NAME",
        name: "queue-wait",
        kind: Kind::Auto(&time(1, 86_400_000)),
        default: "auto",
        short: "longest wait of a job before a worker starts it",
        long: "\"auto\" is four times the mean service time, at least 1s. What would \
               probably wait for more than three quarters of it is answered with 503 at once.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolSlot,
        table: "pool.NAME",
        name: "slot",
        kind: Kind::Size { min: 512, max: 1 << 20 },
        default: "4KiB",
        short: "bytes of one slot",
        long: "Bigger bodies take blocks of 64KiB from the same region.",
        cost: "slots x slot bytes of shared memory for each shard",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolPreload,
        table: "pool.NAME",
        name: "preload",
        flag: Some("preload"),
        kind: Kind::Choice(&["auto", "off", "on", "share"]),
        default: "auto",
        short: "whether the application is loaded once and forked",
        long: "\"auto\" does so for more than one worker, and not when threads are found; \
               \"on\" then refuses to start; \"share\" also freezes what was loaded, so that \
               its memory stays shared.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolOnceCall,
        table: "pool.NAME",
        name: "once.call",
        kind: ENTRY_OR_NONE,
        default: "",
        short: "a function that is called once before any worker starts",
        long: "For migrations and the like, in a process of its own.",
        cost: "start takes as long",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolOnceOnFailure,
        table: "pool.NAME",
        name: "once.on-failure",
        kind: Kind::Choice(&["stop", "continue"]),
        default: "stop",
        short: "what happens when that call fails",
        long: "\"stop\" ends the start, \"continue\" goes on with a warning.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolOnceRetries,
        table: "pool.NAME",
        name: "once.retries",
        kind: Kind::Count { min: 0, max: 100 },
        default: "0",
        short: "how often that call is tried again",
        long: "Each try is a new process.",
        cost: "start takes longer",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolOnceTimeout,
        table: "pool.NAME",
        name: "once.timeout",
        kind: time(100, 86_400_000),
        default: "10m",
        short: "longest time of that call",
        long: "After it the try counts as failed.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolOnceOnReload,
        table: "pool.NAME",
        name: "once.on-reload",
        kind: Kind::Bool,
        default: "false",
        short: "whether that call is made again at a reload",
        long: "A reload otherwise keeps what the call did at the start.",
        cost: "a reload takes longer",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolWarm,
        table: "pool.NAME",
        name: "warm",
        kind: REQUESTS,
        default: "",
        short: "requests that each worker answers before it is ready",
        long: "So that caches are warm and the first client does not wait.",
        cost: "a worker needs longer to become ready",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolBootTimeout,
        table: "pool.NAME",
        name: "boot.timeout",
        kind: time(100, 86_400_000),
        default: "2m",
        short: "longest time of a worker to become ready",
        long: "Loading and warming included; after it the worker is replaced.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolBootParallel,
        table: "pool.NAME",
        name: "boot.parallel",
        kind: Kind::Count { min: 1, max: 256 },
        default: "2",
        short: "workers that start at the same time",
        long: "More start faster and load the machine and its databases harder.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolBootStagger,
        table: "pool.NAME",
        name: "boot.stagger",
        kind: time(0, 60_000),
        default: "200ms",
        short: "time between two starts",
        long: "Spreads the load of many workers that start.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolRequestTimeout,
        table: "pool.NAME",
        name: "request.timeout",
        flag: Some("timeout"),
        short_flag: Some('t'),
        kind: time(10, 86_400_000),
        default: "30s",
        short: "longest time of a request",
        long: "From its admission to the end of the answer, or to the head of a stream. It begins \
               anew with each piece of a body that an async handler gets while it arrives: slow \
               clients are for body-timeout and body-rate. \
               Longer: 504, and the job is cancelled.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolRequestForce,
        table: "pool.NAME",
        name: "request.force",
        kind: time(0, 3_600_000),
        default: "5s",
        short: "time after the timeout before the worker is ended",
        long: "At timeout + force a worker that does not let go is aborted, and killed 1 s later.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolRequestIdle,
        table: "pool.NAME",
        name: "request.idle",
        kind: time(10, 86_400_000),
        default: "60s",
        short: "longest pause of a stream",
        long: "Counts between two pieces of an answer.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolCancelOnDisconnect,
        table: "pool.NAME",
        name: "cancel-on-disconnect",
        kind: Kind::Bool,
        default: "true",
        short: "whether a job is cancelled when its client leaves",
        long: "A job that nobody waits for only takes the place of others.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolHalfClose,
        table: "pool.NAME",
        name: "half-close",
        kind: Kind::Choice(&["cancel", "answer"]),
        default: "cancel",
        short: "what a client means that closes its sending side",
        long: "\"cancel\" takes it for gone, \"answer\" still answers it.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolRecycleRequests,
        table: "pool.NAME",
        name: "recycle.requests",
        flag: Some("max-requests"),
        kind: Kind::Count { min: 0, max: u32::MAX as u64 },
        default: "0",
        short: "requests of a worker before it is replaced; 0 is no limit",
        long: "For applications that leak memory. The replacement is ready first, one at a time.",
        cost: "a start per so many requests",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolRecycleJitter,
        table: "pool.NAME",
        name: "recycle.jitter",
        flag: Some("max-requests-jitter"),
        kind: Kind::Percent { max: 100 },
        default: "10%",
        short: "how much that number differs between workers",
        long: "So that they are not all replaced at once.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolRecycleAge,
        table: "pool.NAME",
        name: "recycle.age",
        kind: time(0, 2_592_000_000),
        default: "0s",
        short: "age of a worker at which it is replaced; 0s is never",
        long: "The replacement is ready first, one at a time.",
        cost: "a start per so much time",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolRecycleRss,
        table: "pool.NAME",
        name: "recycle.rss",
        kind: Kind::Size { min: 0, max: 1 << 44 },
        default: "0B",
        short: "memory of a worker at which it is replaced; 0B is no limit",
        long: "What is private to the worker counts, not what it shares.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolRestartBackoff,
        table: "pool.NAME",
        name: "restart.backoff",
        kind: Kind::TimeRange { min: Duration::from_millis(1), max: HOUR },
        default: "100ms..30s",
        short: "wait before a worker that died is started again",
        long: "Doubles from the first to the second with each death before it was ready.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolRestartGiveUp,
        table: "pool.NAME",
        name: "restart.give-up",
        kind: Kind::Tries,
        default: "5 in 60s",
        short: "deaths before ready after which the server gives up",
        long: "Only deaths before the first readiness count; a worker that once served is \
               always replaced.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolNice,
        table: "pool.NAME",
        name: "nice",
        kind: Kind::Integer { min: -20, max: 19 },
        default: "0",
        short: "priority of the workers among normal processes",
        long: "Higher is weaker; below 0 needs a privilege.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::PoolEnv,
        table: "pool.NAME",
        name: "env",
        kind: Kind::Variables,
        default: "",
        short: "environment variables of the workers",
        long: "OMP_NUM_THREADS and its like are 1 on pinned workers unless they are set here.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
];

/// The memory of a pool has places for so many.
const WORKERS_MAX: u64 = 255;
const WORKERS: Kind = Kind::Count { min: 1, max: WORKERS_MAX };
const HOUR: Duration = Duration::from_secs(3600);
