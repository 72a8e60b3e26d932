//! The options of the whole server: every table of the file but the pools.

use super::form::{
    ACCESS_TARGET, ADMIN, AGENT, CONTROL, LOG_TARGET, NETWORKS, ROOT_PATH, URL_PATH, USER,
};
use super::{Availability, Change, Id, OptionDef, PLAIN, time};
use crate::config::value::Kind;
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX};

/// The options of the whole server, in the order of the file.
pub static OPTIONS: [OptionDef; 46] = [
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
               from this machine only. \"unix:/run/app.sock?mode=0660\" is a socket in the file \
               system, \"fd:3\" a listening socket that the server is started with, \
               \"systemd:web\" those that a socket unit names web.",
        cost: "one descriptor and one accept queue per address and shard; the shards share those \
               that are not host:port",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::ServerControl,
        table: "server",
        name: "control",
        kind: CONTROL,
        default: "unix:auto",
        availability: Availability::Later("the control socket comes with `corewise ctl`"),
        short: "where the supervisor takes commands",
        long: "\"unix:auto\" is an abstract socket that status, ctl and top find by \
               themselves; only the same user and root may connect.",
        cost: "one descriptor",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::ServerAdmin,
        table: "server",
        name: "admin",
        kind: ADMIN,
        default: "",
        availability: Availability::Later("it comes with the status page"),
        short: "addresses for metrics, the status page and health checks",
        long: "Every shard answers there. Without one they can only be had from the public \
               listeners, where [health] allows it.",
        cost: "one descriptor and one accept queue per address and shard",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::ServerTrustedProxies,
        table: "server",
        name: "trusted-proxies",
        flag: Some("forwarded-allow-ips"),
        kind: NETWORKS,
        default: "",
        availability: Availability::Later("forwarded headers come with proxy support"),
        short: "whose forwarded headers count",
        long: "Addresses and networks of the proxies in front; \"unix:\" is everybody who \
               comes through a socket of the file system.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::ServerProxyProtocol,
        table: "server",
        name: "proxy-protocol",
        kind: Kind::Choice(&["off", "optional", "required"]),
        default: "off",
        availability: Availability::Later("the PROXY protocol comes with proxy support"),
        short: "whether connections begin with the PROXY protocol",
        long: "Believed from trusted-proxies only.",
        cost: "nothing",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::ServerRootPath,
        table: "server",
        name: "root-path",
        flag: Some("root-path"),
        kind: ROOT_PATH,
        default: "",
        availability: Availability::Later("it comes with Python applications"),
        short: "the path under which the application is mounted",
        long: "SCRIPT_NAME for WSGI, root_path for ASGI.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::ServerShardStall,
        table: "server",
        name: "shard-stall",
        kind: time(100, 86_400_000),
        default: "10s",
        short: "longest turn of a shard before it is replaced",
        long: "A handler that computes or blocks for longer inside a shard holds up every client \
               of that shard; after this time the shard is ended and its place filled again.",
        cost: "nothing",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::ServerEngine,
        table: "server",
        name: "engine",
        kind: Kind::Choice(&["auto", "io_uring", "epoll"]),
        default: "auto",
        availability: Availability::Except(&[("epoll", "an engine without io_uring comes later")]),
        short: "how the network is driven",
        long: "\"auto\" takes the best that works here, which today is io_uring or nothing.",
        cost: "nothing",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::ServerUser,
        table: "server",
        name: "user",
        kind: USER,
        default: "",
        short: "the user that shards and workers become",
        long: "Taken after the listeners are open, with all its groups; the supervisor keeps its \
               own user, to open them again. Empty is the user that started the server.",
        cost: "nothing",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::ServerSandbox,
        table: "server",
        name: "sandbox",
        kind: Kind::Choice(&["off", "on"]),
        default: "off",
        availability: Availability::Later("the sandbox comes after static files"),
        short: "whether the file system is closed but for what is served",
        long: "Leaves the static roots and the project readable, nothing else.",
        cost: "nothing",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::ServerBacklog,
        table: "server",
        name: "backlog",
        kind: Kind::Count { min: 1, max: 1 << 20 },
        default: "4096",
        short: "clients that may wait to be accepted, per shard",
        long: "The kernel cuts it to net.core.somaxconn; the start screen says so.",
        cost: "about 1 KiB of kernel memory per waiting client",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::CoresUse,
        table: "cores",
        name: "use",
        kind: Kind::CpuSelect,
        default: "auto",
        short: "the CPUs that may be used at all",
        long: "\"auto\" is every CPU that this process may use; a list like \"0-15\", \
               \"0-31,!4-7\" with exceptions, \"node:0\" or \"l3:0,1\" takes some of them.",
        cost: "nothing",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::CoresShards,
        table: "cores",
        name: "shards",
        flag: Some("shards"),
        kind: Kind::Cpus,
        default: "auto",
        short: "how many shards, or the CPUs they run on",
        long: "\"auto\" goes by the rules, and `corewise plan` shows what comes of them. Without \
               pools each core gets a shard that is not reserved and not slower than the others; \
               pools with a fixed number of workers get that many CPUs first, and beside one \
               whose workers are \"auto\" shards get a quarter of the cores (half with policy = \
               \"latency\"). A quota of CPU time makes them fewer. A number takes so many CPUs; a \
               list like \"1-4\" names them.",
        cost: "one process of about 10 MiB each",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::CoresReserve,
        table: "cores",
        name: "reserve",
        kind: Kind::Reserve,
        default: "auto",
        short: "CPUs that are left to the system",
        long: "\"auto\" leaves one physical core of each NUMA node on machines of 8 cores and \
               more; a number leaves so many cores of each node, a list exactly those CPUs.",
        cost: "what the reserved CPUs could have done",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::CoresSmt,
        table: "cores",
        name: "smt",
        kind: Kind::Choice(&["auto", "one", "both"]),
        default: "auto",
        short: "whether both threads of a core are used",
        long: "\"auto\" leaves the sibling of a shard idle and lets workers use both threads \
               of their cores; \"one\" never uses siblings, \"both\" uses all of them.",
        cost: "nothing",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::CoresPolicy,
        table: "cores",
        name: "policy",
        kind: Kind::Choice(&["balanced", "latency"]),
        default: "balanced",
        short: "how cores are split between shards and automatic pools",
        long: "\"balanced\" gives shards a quarter of the cores, \"latency\" half of them.",
        cost: "nothing",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::CoresPin,
        table: "cores",
        name: "pin",
        kind: Kind::Auto(&Kind::Bool),
        default: "auto",
        short: "whether processes are pinned to their CPUs",
        long: "\"auto\" pins them, but not under a quota that is shared with others, where a \
               pinned process would only fight its neighbours.",
        cost: "nothing",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::CoresQuota,
        table: "cores",
        name: "quota",
        kind: Kind::Choice(&["respect", "ignore"]),
        default: "respect",
        short: "whether a CPU quota of the control group bounds the number of processes",
        long: "\"ignore\" sizes by CPUs alone: with more busy processes than the quota has \
               CPUs, all of them are halted together.",
        cost: "with \"ignore\", stalls of up to 100 ms when the quota is spent",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::CoresIdle,
        table: "cores",
        name: "idle",
        kind: Kind::Choice(&["adaptive", "sleep", "spin"]),
        default: "adaptive",
        short: "what a shard does when it has nothing to do",
        long: "\"adaptive\" watches for up to 50 microseconds while clients are quick, then \
               sleeps; \"sleep\" never watches; \"spin\" never sleeps.",
        cost: "\"spin\" burns the whole CPU",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::LimitsLineBytes,
        table: "limits",
        name: "line-bytes",
        kind: Kind::Size { min: 64, max: HEAD_BYTES_MAX as u64 },
        default: "8KiB",
        short: "longest request line",
        long: "A longer one is answered with 414.",
        cost: "line-bytes + header-bytes for each request whose head is incomplete",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::LimitsHeaderBytes,
        table: "limits",
        name: "header-bytes",
        kind: Kind::Size { min: 64, max: HEAD_BYTES_MAX as u64 },
        default: "16KiB",
        short: "largest header section",
        long: "A larger one is answered with 431.",
        cost: "line-bytes + header-bytes for each request whose head is incomplete",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::LimitsHeaders,
        table: "limits",
        name: "headers",
        kind: Kind::Count { min: 1, max: HEADERS_MAX as u64 },
        default: "100",
        short: "most header fields in a request",
        long: "More are answered with 431.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::LimitsBody,
        table: "limits",
        name: "body",
        kind: Kind::Size { min: 0, max: 1 << 40 },
        default: "16MiB",
        short: "largest request body",
        long: "A larger one is answered with 413.",
        cost: "as much for each request whose handler asks for the whole body",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::LimitsConnections,
        table: "limits",
        name: "connections",
        kind: Kind::Count { min: 1, max: 1 << 24 },
        default: "65536",
        short: "most connections of one shard",
        long: "Beyond it a shard accepts nobody until a connection ends. Cut to what the \
               descriptor limit allows, with a warning.",
        cost: "256 bytes and one descriptor for each open connection",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::LimitsHeaderTimeout,
        table: "limits",
        name: "header-timeout",
        kind: time(10, 86_400_000),
        default: "10s",
        short: "longest time for a whole request head",
        long: "Counts from its first byte and is not renewed by more of them, so that slow heads \
               cannot hold connections. Longer: 408.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::LimitsBodyTimeout,
        table: "limits",
        name: "body-timeout",
        kind: time(10, 86_400_000),
        default: "30s",
        short: "grace of a request body before body-rate counts",
        long: "After it the body must have come at body-rate on average. Slower: 408.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::LimitsBodyRate,
        table: "limits",
        name: "body-rate",
        kind: Kind::Rate { min: 1, max: 1 << 30 },
        default: "240B/s",
        short: "least average rate of a request body",
        long: "Counts once body-timeout is over.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::LimitsHandlerTimeout,
        table: "limits",
        name: "handler-timeout",
        kind: time(10, 86_400_000),
        default: "60s",
        short: "longest run of an async handler",
        long: "Counts up to the head of its response, for handlers inside a shard. Longer: 503, \
               and the handler is cancelled.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::LimitsWriteTimeout,
        table: "limits",
        name: "write-timeout",
        kind: time(10, 86_400_000),
        default: "30s",
        short: "longest time without progress of an answer",
        long: "Counts between two writes, so that long downloads live as long as they move.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::LimitsKeepAlive,
        table: "limits",
        name: "keep-alive",
        flag: Some("keep-alive"),
        kind: time(10, 86_400_000),
        default: "75s",
        short: "longest idle time between two requests",
        long: "Keep it above the idle time of a load balancer in front (often 60 s): whoever \
               closes first decides whether a request can be lost.",
        cost: "256 bytes and one descriptor for each idle connection",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::LimitsRequestsPerConnection,
        table: "limits",
        name: "requests-per-connection",
        kind: Kind::Count { min: 0, max: u32::MAX as u64 },
        default: "0",
        short: "requests on one connection before it is closed; 0 is no limit",
        long: "For load balancers that would otherwise stay with one shard for ever.",
        cost: "a new connection per so many requests",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::ShutdownLead,
        table: "shutdown",
        name: "lead",
        kind: Kind::Auto(&time(0, 3_600_000)),
        default: "auto",
        availability: Availability::Later("it comes with the readiness endpoint"),
        short: "time to be not ready but still accepting before a stop",
        long: "Gives load balancers time to look elsewhere; \"auto\" is 5s under Kubernetes \
               and nothing elsewhere.",
        cost: "a stop takes longer by as much",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::ShutdownGrace,
        table: "shutdown",
        name: "grace",
        flag: Some("graceful-timeout"),
        kind: time(0, 86_400_000),
        default: "30s",
        short: "time to finish what was accepted when stopping",
        long: "What still runs after it is cancelled. An interrupt cuts it to 5 s.",
        cost: "a stop may take as long",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::ShutdownForce,
        table: "shutdown",
        name: "force",
        kind: time(0, 3_600_000),
        default: "5s",
        short: "time after grace before processes are ended",
        long: "At grace + force a process that is still there is aborted, and killed 1 s later.",
        cost: "a stop may take as long",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::LogLevel,
        table: "log",
        name: "level",
        kind: Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        default: "info",
        short: "least important kind of line that is logged",
        long: "info is the life of processes, debug that of connections, trace every operation. \
               The variable may also be written COREWISE_LOG_LEVEL; COREWISE_LOG__LEVEL wins if \
               both are set.",
        cost: "debug and trace slow requests down",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::LogFormat,
        table: "log",
        name: "format",
        kind: Kind::Choice(&["auto", "pretty", "json"]),
        default: "auto",
        short: "form of the log",
        long: "\"auto\" is pretty on a terminal and JSON lines otherwise. With json the ready \
               line on standard output is JSON too.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::LogTo,
        table: "log",
        name: "to",
        kind: LOG_TARGET,
        default: "stderr",
        availability: Availability::Later("log files come with the logger process"),
        short: "where the log goes",
        long: "\"stderr\", or a file that is opened again on USR1.",
        cost: "nothing",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::LogAccessTo,
        table: "log",
        name: "access.to",
        flag: Some("access-log"),
        kind: ACCESS_TARGET,
        default: "off",
        availability: Availability::Later("the access log comes with the logger process"),
        short: "where the access log goes",
        long: "\"off\", \"stdout\", \"stderr\", or a file that is opened again on USR1.",
        cost: "one line for each request that is logged",
        change: Change::Restart,
        ..PLAIN
    },
    OptionDef {
        id: Id::LogAccessFormat,
        table: "log",
        name: "access.format",
        kind: Kind::Choice(&["auto", "pretty", "json", "combined"]),
        default: "auto",
        availability: Availability::Later("the access log comes with the logger process"),
        short: "form of the access log",
        long: "\"auto\" is pretty on a terminal and JSON lines otherwise; \"combined\" is what \
               web log analysers read.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::LogAccessSampleOk,
        table: "log",
        name: "access.sample.ok",
        kind: Kind::Fraction,
        default: "1.0",
        availability: Availability::Later("the access log comes with the logger process"),
        short: "share of good answers that is logged",
        long: "Errors and slow answers are always logged.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::LogAccessSampleSlow,
        table: "log",
        name: "access.sample.slow",
        kind: time(0, 86_400_000),
        default: "500ms",
        availability: Availability::Later("the access log comes with the logger process"),
        short: "time from which an answer counts as slow",
        long: "Slow answers are always logged.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::HealthLive,
        table: "health",
        name: "live",
        kind: URL_PATH,
        default: "/-/live",
        availability: Availability::Later("health endpoints come with the status page"),
        short: "path that says whether the server lives",
        long: "200 while the supervisor and the shards make progress; pools do not count.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::HealthReady,
        table: "health",
        name: "ready",
        kind: URL_PATH,
        default: "/-/ready",
        availability: Availability::Later("health endpoints come with the status page"),
        short: "path that says whether the server is ready",
        long: "200 while every pool has a warm worker and nothing is stopping.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::HealthPublic,
        table: "health",
        name: "public",
        kind: Kind::Bool,
        default: "true",
        availability: Availability::Later("health endpoints come with the status page"),
        short: "whether live and ready also stand on the public listeners",
        long: "Load balancers often can ask there only.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::HealthPublicStatus,
        table: "health",
        name: "public-status",
        kind: Kind::Bool,
        default: "false",
        availability: Availability::Later("it comes with the status page"),
        short: "whether the status page and metrics also stand on the public listeners",
        long: "They tell strangers a lot about a server; meant for demonstrations.",
        cost: "nothing",
        change: Change::Reload,
        ..PLAIN
    },
    OptionDef {
        id: Id::AgentListen,
        table: "agent",
        name: "listen",
        kind: AGENT,
        default: "",
        availability: Availability::Later("agent checks come with proxy support"),
        short: "address that answers the agent checks of HAProxy",
        long: "Tells weight, most connections and draining.",
        cost: "one descriptor",
        change: Change::Restart,
        ..PLAIN
    },
];
