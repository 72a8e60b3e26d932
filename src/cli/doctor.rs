//! `corewise doctor`: what this machine lacks for serving well, why it matters, and the command
//! that changes it.

use serde_json::json;

use super::output::{Paint, Tone, WIDTH, wrap};
use super::{Trouble, faults};
use crate::config::grants::LOCKED_BYTES_PER_SHARD;
use crate::config::value::counted;
use crate::config::{Address, Config, Faults, Machine};
use crate::exit::Exit;
use crate::sys::host::Host;

/// One line of the examination.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Check {
    name: &'static str,
    state: State,
    found: String,
    why: &'static str,
    /// The command, or what else to do; empty where nothing is to be done.
    fix: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// It cannot serve like this.
    Bad,
    Ok,
    /// The machine does not say.
    Unknown,
    /// It serves, but worse than it could.
    Warn,
}

/// What is examined: the machine, whether the engine works on it, and what would run there.
pub(super) struct Patient<'a> {
    pub(super) host: &'a Host,
    pub(super) engine: &'a Result<String, Trouble>,
    pub(super) config: &'a Config,
    pub(super) machine: &'a Machine,
    /// What is wrong with the settings; the defaults then stand for them.
    pub(super) faults: &'a Faults,
}

/// Every check, in the order of how much it matters.
pub(super) fn examine(patient: &Patient<'_>) -> Vec<Check> {
    let Patient { host, engine, config, machine, faults } = *patient;
    vec![
        settings(faults.0.len()),
        engine_works(engine),
        kernel(host, engine.is_ok()),
        locked_memory(host, config),
        descriptors(host, config),
        accept_queue(host, config),
        half_open_queue(host, config),
        ports(host, config),
        cpu_time(machine, config),
        clock_source(host),
        governor(host),
    ]
}

/// 1 when something essential fails.
pub(super) fn exit(checks: &[Check]) -> Exit {
    let is_bad = checks.iter().any(|check| check.state == State::Bad);
    if is_bad { Exit::Found } else { Exit::Clean }
}

pub(super) fn render(checks: &[Check], paint: Paint) -> String {
    let mut text = paint.paint(Tone::Heading, &format!("{:<8} {:<15} found", "state", "check"));
    text.push('\n');
    for check in checks {
        let state = paint.paint(check.state.tone(), &format!("{:<8}", check.state.word()));
        let mut found = wrap(&check.found, WIDTH - INDENT).into_iter();
        let first = found.next().unwrap_or_default();
        text += &format!("{state} {:<15} {first}\n", check.name);
        let blank = " ".repeat(INDENT);
        let mut rest: Vec<String> = found.map(|line| format!("{blank}{line}\n")).collect();
        for line in wrap(check.why, WIDTH - INDENT) {
            rest.push(format!("{blank}{}\n", paint.paint(Tone::Dim, &line)));
        }
        let is_lacking = matches!(check.state, State::Bad | State::Warn);
        if is_lacking && !check.fix.is_empty() {
            let lines = wrap(&format!("fix: {}", check.fix), WIDTH - INDENT);
            rest.extend(lines.into_iter().map(|line| format!("{blank}{line}\n")));
        }
        text += &rest.concat();
    }
    text
}

pub(super) fn to_json(checks: &[Check], faults: &Faults) -> serde_json::Value {
    let checks: Vec<_> = checks.iter().map(Check::to_json).collect();
    json!({ "checks": checks, "faults": faults::to_json(faults) })
}

impl Check {
    fn to_json(&self) -> serde_json::Value {
        json!({
            "check": self.name,
            "state": self.state.word(),
            "found": self.found,
            "why": self.why,
            "fix": self.fix,
        })
    }
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Bad => Tone::Bad,
            Self::Ok => Tone::Good,
            Self::Unknown => Tone::Dim,
            Self::Warn => Tone::Warn,
        }
    }

    /// `Ok` when `fits`, else what it is otherwise.
    fn unless(fits: bool, otherwise: Self) -> Self {
        if fits { Self::Ok } else { otherwise }
    }
}

fn settings(faults: usize) -> Check {
    let (state, found) = match faults {
        0 => (State::Ok, "no fault".to_owned()),
        count => {
            let faults = counted(count, "fault");
            (State::Bad, format!("{faults}; the defaults are examined instead"))
        }
    };
    let why = "a server with wrong settings does not start (exit 78)";
    Check { name: "settings", state, found, why, fix: "corewise check".into() }
}

fn cpu_time(machine: &Machine, config: &Config) -> Check {
    let usable = config.placement.usable.len();
    let (state, found) = match &machine.quota {
        None => (State::Ok, format!("no quota, {usable} usable")),
        Some(quota) => {
            // With CPUs that nobody else may use, the quota is all of them anyway.
            let is_enough = quota.thousandths >= 1000 * usable as u64;
            let share = quota.thousandths as f64 / 1000.0;
            let found = format!("quota of {share} CPUs on {usable} usable: {}", quota.path);
            (State::unless(is_enough, State::Warn), found)
        }
    };
    let why = "who has used up a quota stands still for the rest of each period (often 100 ms), \
               whatever waits; processes then are not pinned either";
    let fix = "raise the limit (cpu.max, --cpus, resources.limits.cpu) to whole CPUs, or give \
               the container its own with a cpuset";
    Check { name: "CPU time", state, found, why, fix: fix.into() }
}

fn engine_works(engine: &Result<String, Trouble>) -> Check {
    let (state, found, fix) = match engine {
        Ok(name) => (State::Ok, format!("{name} works"), String::new()),
        Err(trouble) => (State::Bad, trouble.reason.clone(), trouble.fix.clone()),
    };
    let why = "every connection is served through io_uring; without it nothing starts (exit 69)";
    Check { name: "io_uring", state, found, why, fix }
}

/// What counts is whether the engine works; the number only helps to tell why it does not.
fn kernel(host: &Host, engine_works: bool) -> Check {
    let state = match release(&host.kernel) {
        _ if engine_works => State::Ok,
        Some(release) => State::unless(release >= KERNEL_MIN, State::Bad),
        None => State::Unknown,
    };
    let found = if host.kernel.is_empty() { "not known".into() } else { host.kernel.clone() };
    let why = "6.1 is the first with what the event loop needs (DEFER_TASKRUN)";
    Check { name: "kernel", state, found, why, fix: "install Linux 6.1 or later".into() }
}

fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|char: char| !char.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn locked_memory(host: &Host, config: &Config) -> Check {
    let shards = config.placement.shards.len();
    let wanted = LOCKED_BYTES_PER_SHARD * shards as u64;
    let (state, found) = match host.ceilings.locked_memory {
        None => (State::Ok, "unlimited".to_owned()),
        Some(limit) => {
            let state = match limit {
                limit if limit >= wanted => State::Ok,
                limit if limit >= LOCKED_BYTES_PER_SHARD => State::Warn,
                _ => State::Bad,
            };
            (state, format!("{} KiB for {}", limit >> 10, counted(shards, "shard")))
        }
    };
    let why = "the kernel counts the rings of every shard, 512 KiB each, against the limit of \
               their user";
    let kib = wanted >> 10;
    let fix = format!(
        "ulimit -Hl {kib}; in a unit file LimitMEMLOCK={kib}K; with docker --ulimit \
         memlock={wanted}"
    );
    Check { name: "locked memory", state, found, why, fix }
}

fn descriptors(host: &Host, config: &Config) -> Check {
    let asked = u64::from(config.shard.connections);
    let (state, found) = match host.ceilings.open_files {
        None => (State::Ok, "unlimited".to_owned()),
        Some(limit) => (
            State::unless(limit > asked, State::Warn),
            format!("{limit} for {asked} connections per shard"),
        ),
    };
    let why = "each connection is a descriptor; limits.connections is cut to what there are";
    let needed = asked + 1024;
    let fix = format!(
        "ulimit -Hn {needed}; in a unit file LimitNOFILE={needed}; or a smaller limits.connections"
    );
    Check { name: "open files", state, found, why, fix }
}

fn accept_queue(host: &Host, config: &Config) -> Check {
    let asked = config.server.backlog;
    let (state, found) = match host.somaxconn {
        None => (State::Unknown, "net.core.somaxconn cannot be read".to_owned()),
        Some(limit) => (
            State::unless(limit >= asked, State::Warn),
            format!("net.core.somaxconn is {limit}, server.backlog {asked}"),
        ),
    };
    let why = "clients that connect while a shard is busy or being replaced wait there; beyond it \
               they are dropped and try again a second later";
    let fix = format!("sysctl -w net.core.somaxconn={asked}");
    Check { name: "accept queue", state, found, why, fix }
}

fn half_open_queue(host: &Host, config: &Config) -> Check {
    let asked = config.server.backlog;
    let (state, found) = match (host.syncookies, host.syn_backlog) {
        (Some(true), _) => (State::Ok, "net.ipv4.tcp_syncookies is on".to_owned()),
        (Some(false), Some(limit)) => (
            State::unless(limit >= asked, State::Warn),
            format!("no SYN cookies, net.ipv4.tcp_max_syn_backlog is {limit}"),
        ),
        _ => (State::Unknown, "net.ipv4.tcp_syncookies cannot be read".to_owned()),
    };
    let why = "without SYN cookies a burst of new clients, or a flood, is dropped once this queue \
               is full";
    let fix = format!(
        "sysctl -w net.ipv4.tcp_syncookies=1, or sysctl -w net.ipv4.tcp_max_syn_backlog={asked}"
    );
    Check { name: "half-open queue", state, found, why, fix }
}

fn ports(host: &Host, config: &Config) -> Check {
    let ports: Vec<u16> = config
        .server
        .listen
        .iter()
        .filter_map(Address::tcp)
        .map(|address| address.port())
        .collect();
    let clash = |(first, last): (u16, u16)| {
        ports.iter().copied().find(|port| *port != 0 && (first..=last).contains(port))
    };
    let (state, found, fix) = match host.outgoing_ports {
        None => (
            State::Unknown,
            "net.ipv4.ip_local_port_range cannot be read".to_owned(),
            String::new(),
        ),
        Some(range @ (first, last)) => match clash(range) {
            Some(port) => (
                State::Warn,
                format!("port {port} lies in the range of outgoing connections, {first}-{last}"),
                format!("sysctl -w net.ipv4.ip_local_reserved_ports={port}, or another port"),
            ),
            None => (State::Ok, format!("outgoing connections use {first}-{last}"), String::new()),
        },
    };
    let why = "an outgoing connection of any program may hold a port of that range just when the \
               server starts";
    Check { name: "ports", state, found, why, fix }
}

fn clock_source(host: &Host) -> Check {
    let (state, found) = match host.clock_source.as_deref() {
        None => (State::Unknown, "not known".to_owned()),
        Some(name) => (State::unless(!SLOW_CLOCKS.contains(&name), State::Warn), name.to_owned()),
    };
    let why = "each turn of a shard reads the time; with a slow source that is a system call of a \
               microsecond or more";
    let file = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let fix = format!("echo tsc > {file}, if available_clocksource beside it has tsc");
    Check { name: "clock source", state, found, why, fix }
}

fn governor(host: &Host) -> Check {
    let slow = host.governors.iter().any(|governor| match governor.as_str() {
        // Those drivers mean a preference by it, not the lowest clock.
        "powersave" => !host.frequency_driver.as_deref().is_some_and(is_own_governor),
        "conservative" | "ondemand" => true,
        _ => false,
    });
    let (state, found) = if host.governors.is_empty() {
        (State::Unknown, "not shown here, as in most virtual machines".to_owned())
    } else {
        (State::unless(!slow, State::Warn), host.governors.join(", "))
    };
    let why = "a clock that rises slowly makes the first requests after a pause several times \
               slower";
    Check {
        name: "CPU governor",
        state,
        found,
        why,
        fix: "cpupower frequency-set -g performance".into(),
    }
}

fn is_own_governor(driver: &str) -> bool {
    driver.starts_with("intel_pstate") || driver.starts_with("amd-pstate")
}

/// Before what stands in the third column.
const INDENT: usize = 25;
const KERNEL_MIN: (u32, u32) = (6, 1);
/// Sources that the kernel cannot read without a system call.
const SLOW_CLOCKS: [&str; 4] = ["acpi_pm", "hpet", "jiffies", "refined-jiffies"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use crate::config::machine::Quota;
    use crate::config::options::Id;
    use crate::sys::host::Ceilings;

    fn config(listen: &str) -> Config {
        let machine = Machine::uniform(&[0, 1], &[0, 1]);
        let flags = vec![(Id::ServerListen, listen.to_owned())];
        Sources { flags, ..Sources::default() }.resolve(&machine).unwrap()
    }

    fn healthy() -> Host {
        Host {
            kernel: "6.12.1-generic".into(),
            somaxconn: Some(4096),
            syncookies: Some(true),
            syn_backlog: Some(1024),
            outgoing_ports: Some((32768, 60999)),
            governors: vec!["performance".into()],
            frequency_driver: Some("acpi-cpufreq".into()),
            clock_source: Some("tsc".into()),
            ..Host::default()
        }
    }

    fn machine() -> Machine {
        Machine::uniform(&[0, 1], &[0, 1])
    }

    #[track_caller]
    fn examined(host: &Host, engine: &Result<String, Trouble>, listen: &str) -> Vec<Check> {
        let (config, machine, faults) = (config(listen), machine(), &Faults::default());
        examine(&Patient { host, engine, config: &config, machine: &machine, faults })
    }

    fn limited() -> Machine {
        let quota = Quota { thousandths: 1500, path: "cpu.max".into() };
        Machine { quota: Some(quota), ..machine() }
    }

    fn works() -> Result<String, Trouble> {
        Ok("io_uring".into())
    }

    fn forbidden() -> Result<String, Trouble> {
        let reason = "io_uring_setup: Operation not permitted (os error 1)".into();
        Err(Trouble { reason, fix: "sysctl -w kernel.io_uring_disabled=0".into() })
    }

    #[test]
    fn a_healthy_machine_has_nothing_to_fix() {
        let checks = examined(&healthy(), &works(), "127.0.0.1:8000");
        assert!(checks.iter().all(|check| check.state == State::Ok), "{checks:?}");
        assert_eq!(exit(&checks), Exit::Clean);
        let expected = "\
state    check           found
ok       settings        no fault
                         a server with wrong settings does not start (exit 78)
ok       io_uring        io_uring works
                         every connection is served through io_uring; without it
                         nothing starts (exit 69)
ok       kernel          6.12.1-generic
                         6.1 is the first with what the event loop needs
                         (DEFER_TASKRUN)
ok       locked memory   unlimited
                         the kernel counts the rings of every shard, 512 KiB
                         each, against the limit of their user
";
        let text = render(&checks, Paint::Off);
        assert!(text.starts_with(expected), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(!text.contains("fix:"));
    }

    #[test]
    fn every_lack_is_found() {
        let ceilings = Ceilings { locked_memory: Some(600 << 10), open_files: Some(1024) };
        let host = Host {
            kernel: "5.15.0-86".into(),
            ceilings,
            somaxconn: Some(128),
            syncookies: Some(false),
            governors: vec!["ondemand".into()],
            clock_source: Some("hpet".into()),
            ..healthy()
        };
        let (config, machine) = (config("127.0.0.1:40000"), limited());
        let engine = &forbidden();
        let wrong = ["x", "y"].map(|text| (Id::CoresShards, text.to_owned()));
        let wrong = Sources { flags: wrong.into(), ..Sources::default() };
        let faults = &wrong.resolve(&machine).unwrap_err();
        let patient = Patient { host: &host, engine, config: &config, machine: &machine, faults };
        let checks = examine(&patient);
        let states: Vec<State> = checks.iter().map(|check| check.state).collect();
        let mut expected = [State::Warn; 11];
        expected[..3].fill(State::Bad);
        assert_eq!(states, expected, "{checks:?}");
        assert_eq!(exit(&checks), Exit::Found);
        let text = render(&checks, Paint::Off);
        for part in [
            "bad      io_uring        io_uring_setup: Operation not permitted",
            "fix: sysctl -w kernel.io_uring_disabled=0",
            "warn     locked memory   600 KiB for 2 shards",
            "fix: sysctl -w net.core.somaxconn=4096",
            "bad      settings        2 faults; the defaults",
            "quota of 1.5 CPUs on 2 usable: cpu.max",
            "port 40000 lies in the range of outgoing",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        let json = to_json(&checks, faults);
        assert_eq!(json["faults"].as_array().unwrap().len(), 2);
        assert_eq!(json["checks"][1]["state"], "bad");
        assert_eq!(json["checks"][5]["fix"], "sysctl -w net.core.somaxconn=4096");
    }

    #[test]
    fn a_machine_that_says_nothing_is_unknown_and_not_bad() {
        let checks = examined(&Host::default(), &works(), "127.0.0.1:8000");
        assert_eq!(exit(&checks), Exit::Clean);
        let unknown = checks.iter().filter(|check| check.state == State::Unknown).count();
        assert_eq!(unknown, 5, "{checks:?}");
    }

    #[track_caller]
    fn check_governor(governor: &str, driver: &str, expected: State) {
        let host = Host {
            governors: vec![governor.into()],
            frequency_driver: Some(driver.into()),
            ..Host::default()
        };
        assert_eq!(super::governor(&host).state, expected, "{governor} of {driver}");
    }

    #[test]
    fn the_same_word_of_another_driver_means_something_else() {
        check_governor("powersave", "acpi-cpufreq", State::Warn);
        check_governor("powersave", "intel_pstate", State::Ok);
        check_governor("powersave", "amd-pstate-epp", State::Ok);
        check_governor("schedutil", "acpi-cpufreq", State::Ok);
        check_governor("ondemand", "acpi-cpufreq", State::Warn);
    }

    #[test]
    fn too_little_to_start_at_all_is_bad() {
        let ceilings = Ceilings { locked_memory: Some(64 << 10), open_files: None };
        let host = Host { ceilings, ..healthy() };
        assert_eq!(locked_memory(&host, &config("127.0.0.1:0")).state, State::Bad);
    }
}
