//! Runs as a machine might have measured them, made from a seed.

use std::collections::BTreeMap;

use crate::result::{
    Bar, Column, FORMAT, Group, Machine, Plan, Promise, Quantity, Role, Run, State, Subject, Window,
};

/// A run of every kind of column, with a missing peer, a failed one, and one with errors.
pub(super) fn full() -> Run {
    let mut subjects = vec![
        subject("bare", Role::Limit),
        subject("bare2", Role::LimitAgain),
        subject("corewise", Role::Ours),
        subject("hyper", Role::Peer),
        subject("may-minihttp", Role::Reference),
        subject("nginx", Role::Peer),
        subject("actix-web", Role::Peer),
        subject("haproxy", Role::Relay),
        subject("gunicorn", Role::Peer),
        subject("h2o", Role::Peer),
        subject("lighttpd", Role::Peer),
    ];
    subjects[4].note = Some("checks no framing and keeps no deadline".to_owned());
    for name in ["files-1k", "files-100k", "kill"] {
        let why = "it answers one fixed text and has one process".to_owned();
        subjects[0].declined.insert(name.to_owned(), why.clone());
        subjects[1].declined.insert(name.to_owned(), why);
    }
    subjects[9].state = State::Missing {
        why: "no program of this name".to_owned(),
        fix: "apt-get install h2o".to_owned(),
    };
    subjects[10].state = State::Failed {
        why: "it left with 255 before it answered: <b>(server.c.1513)</b> unknown option & \"x\""
            .to_owned(),
    };
    let mut run = run(subjects, columns(), 5);
    let failed = |window: &&mut Window| window.subject == "gunicorn" && window.column == "close";
    for window in run.windows.iter_mut().filter(failed) {
        window.counts = false;
        window.errors.insert("connect".to_owned(), 4_117);
        window.errors.insert("timeout".to_owned(), 12);
    }
    let first = run.windows.iter().position(|window| window.subject == "nginx").unwrap();
    let mut disturbed = run.windows[first].clone();
    disturbed.counts = false;
    disturbed.disturbances.push("others used 14 % of CPU 0".to_owned());
    run.windows[first].attempt = 1;
    run.windows.insert(first, disturbed);
    run
}

/// One subject, one column, one round.
pub(super) fn tiny() -> Run {
    let columns = columns().into_iter().filter(|column| column.name == "plaintext-32");
    let mut run = run(vec![subject("corewise", Role::Ours)], columns.collect(), 1);
    run.columns[0].promises.clear();
    run
}

/// Twenty subjects, some with names that nobody would choose.
pub(super) fn crowded() -> Run {
    let mut subjects = full().subjects;
    for at in 0..8 {
        subjects.push(subject(&format!("peer-{at}"), Role::Peer));
    }
    subjects.push(subject("corewise-with-every-option-that-there-is-and-eleven-more", Role::Ours));
    subjects.push(subject("<script>alert('a|b')</script>&\"`_*", Role::Peer));
    run(subjects, columns(), 3)
}

/// Nothing came out of it: every window has errors, or figures of zero.
pub(super) fn broken() -> Run {
    let mut run = full();
    for window in &mut run.windows {
        if window.column.starts_with("plaintext") {
            window.counts = false;
            window.errors.insert("connect".to_owned(), 1);
        } else {
            window.figures.values_mut().for_each(|figure| *figure = 0.0);
        }
    }
    run
}

/// Without windows, columns or subjects.
pub(super) fn empty() -> Run {
    run(Vec::new(), Vec::new(), 1)
}

pub(super) fn run(subjects: Vec<Subject>, columns: Vec<Column>, rounds: u32) -> Run {
    let mut chance = Chance(0x5eed);
    let mut windows = Vec::new();
    for column in &columns {
        for round in 0..rounds {
            // The machine is slower in some rounds than in others, for all alike.
            let weather = 1.0 + 0.2 * chance.next();
            for (at, subject) in subjects.iter().enumerate() {
                let left_out = subject.declined.contains_key(&column.name);
                if subject.state == State::Measured && !left_out {
                    windows.push(window(column, subject, at, round, weather, &mut chance));
                }
            }
        }
    }
    Run { format: FORMAT, machine: machine(), plan: plan(rounds), subjects, columns, windows }
}

fn window(
    column: &Column,
    subject: &Subject,
    at: usize,
    round: u32,
    weather: f64,
    chance: &mut Chance,
) -> Window {
    let noise = weather * (1.0 + 0.03 * chance.next());
    let factor = factor(&subject.name, subject.role, at) * noise;
    let figures = column
        .quantities
        .iter()
        .map(|&quantity| (quantity, figure(quantity, column, subject, factor)));
    let percentiles = if column.group == Group::Latency {
        let rare = [50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0];
        let latency = |part: f64| 40.0 * factor * (1.0 / (1.0001 - part / 100.0)).powf(0.42);
        rare.iter().map(|&part| (part, latency(part))).collect()
    } else {
        Vec::new()
    };
    Window {
        column: column.name.clone(),
        subject: subject.name.clone(),
        round,
        attempt: 0,
        counts: true,
        figures: figures.collect(),
        requests: 300_000,
        answer_bytes: 129,
        errors: BTreeMap::new(),
        disturbances: Vec::new(),
        percentiles,
    }
}

/// How many times the bare loop's work a subject does.
fn factor(name: &str, role: Role, at: usize) -> f64 {
    match (name, role) {
        (_, Role::Limit | Role::LimitAgain) => 1.0,
        ("gunicorn", _) => 42.0,
        (_, Role::Ours) => 1.05,
        (_, Role::Reference) => 0.97,
        (_, Role::Relay) => 3.4,
        _ => 1.1 + 0.13 * at as f64,
    }
}

fn figure(quantity: Quantity, column: &Column, subject: &Subject, factor: f64) -> f64 {
    let connections = f64::from(column.connections.unwrap_or(1));
    let alone = 1.0 + 2.0 / connections + connections / 4_000.0;
    let heavy = if column.name == "mixed-heavy" { 6.0 } else { 1.0 };
    let ours = subject.role == Role::Ours;
    match quantity {
        Quantity::CpuPerRequestUs if column.group == Group::Close => 21.0 * factor,
        Quantity::CpuPerRequestUs if column.group == Group::Pipelined => 0.61 * factor,
        Quantity::CpuPerRequestUs => 4.3 * factor * alone,
        Quantity::RequestsPerSecond => 230_000.0 / factor / alone,
        Quantity::LatencyP50Us => 31.0 * factor,
        Quantity::LatencyP90Us => 64.0 * factor,
        Quantity::LatencyP99Us if ours => 190.0 * factor,
        Quantity::LatencyP99Us => 180.0 * factor * heavy,
        Quantity::LatencyP999Us => 700.0 * factor,
        Quantity::LatencyP9999Us | Quantity::LatencyMaxUs => 2_400.0 * factor,
        Quantity::SystemCallsPerRequest => 0.031 * factor,
        Quantity::ContextSwitchesPerRequest => 0.0021 * factor,
        Quantity::MemoryBytes => 5_300_000.0 * factor,
        Quantity::IdleBytes => 131.0 * factor,
        Quantity::IdleCpuPercent if factor < 2.0 => 0.0,
        Quantity::IdleCpuPercent => 0.02 * factor,
        Quantity::StartMs => 6.5 * factor,
        Quantity::FailedRequests if ours => 0.0,
        Quantity::FailedRequests => (17.0 * factor).floor(),
        Quantity::LongestGapMs => 12.0 * factor,
        Quantity::HeavyPerSecond => 210.0 / factor,
    }
}

pub(super) fn subject(name: &str, role: Role) -> Subject {
    Subject {
        name: name.to_owned(),
        title: format!("{name}, as its authors recommend it"),
        role,
        version: (role != Role::Relay).then(|| "1.2.3".to_owned()),
        commands: vec![format!("taskset -c 0 {name} --port PORT")],
        state: State::Measured,
        declined: BTreeMap::new(),
        note: None,
    }
}

fn columns() -> Vec<Column> {
    use Group::{Close, Event, Files, Idle, KeepAlive, Latency, Mixed, Pipelined, Start};
    let mut columns = Vec::new();
    for count in [1, 8, 32, 128, 512, 1_024] {
        let title = format!("{count} kept, /plaintext");
        columns.push(column(&format!("plaintext-{count}"), &title, KeepAlive, Some(count)));
    }
    columns.push(column("json-32", "32 kept, /json", KeepAlive, Some(32)));
    columns.push(column("close", "32 at a time, a request each", Close, Some(32)));
    columns.push(column("pipelined", "32 connections, 16 pipelined", Pipelined, Some(32)));
    columns.push(column("files-1k", "file of 1 KB", Files, Some(32)));
    columns.push(column("files-100k", "file of 100 KB", Files, Some(32)));
    columns.push(column("latency", "20,000 requests/s on 64 connections", Latency, Some(64)));
    columns.push(column("mixed-light", "light alone", Mixed, Some(32)));
    columns.push(column("mixed-heavy", "beside heavy ones", Mixed, Some(32)));
    columns.push(column("kill", "a process killed", Event, Some(32)));
    columns.push(column("reload", "reload", Event, Some(32)));
    columns.push(column("idle", "10,000 idle connections", Idle, Some(10_000)));
    columns.push(column("start", "start", Start, None));
    columns
}

fn column(name: &str, title: &str, group: Group, connections: Option<u32>) -> Column {
    use Quantity::{
        ContextSwitchesPerRequest, CpuPerRequestUs, FailedRequests, HeavyPerSecond, IdleBytes,
        IdleCpuPercent, LatencyP50Us, LatencyP99Us, LatencyP999Us, LatencyP9999Us, LongestGapMs,
        MemoryBytes, RequestsPerSecond, StartMs, SystemCallsPerRequest,
    };
    let quantities = match group {
        Group::Event => vec![FailedRequests, LongestGapMs],
        Group::Idle => vec![IdleBytes, IdleCpuPercent],
        Group::Latency => vec![LatencyP99Us, LatencyP50Us, LatencyP999Us, LatencyP9999Us],
        Group::Mixed => vec![LatencyP99Us, HeavyPerSecond],
        Group::Start => vec![StartMs],
        _ => vec![
            CpuPerRequestUs,
            RequestsPerSecond,
            LatencyP50Us,
            SystemCallsPerRequest,
            ContextSwitchesPerRequest,
            MemoryBytes,
        ],
    };
    let promise = |quantity, bar| Promise { quantity, bar };
    let promises = match name {
        "plaintext-32" => vec![promise(CpuPerRequestUs, Bar::RelativeToLimit(1.06))],
        "close" => vec![promise(CpuPerRequestUs, Bar::RelativeToLimit(1.01))],
        "idle" => vec![promise(IdleBytes, Bar::Absolute(256.0))],
        "files-1k" => vec![promise(CpuPerRequestUs, Bar::RelativeToLimit(2.0))],
        _ => Vec::new(),
    };
    let command = format!("taskset -c 1 wrk -t1 -c{} http://ADDRESS/", connections.unwrap_or(1));
    let (name, title) = (name.to_owned(), title.to_owned());
    Column { name, title, group, connections, command, quantities, promises }
}

fn machine() -> Machine {
    Machine {
        date: "2026-11-21T12:00:00Z".to_owned(),
        commit: "0123456789ab".to_owned(),
        processor: "Example processor at 2.6 GHz".to_owned(),
        cores: 2,
        memory_bytes: 8 << 30,
        kernel: "Linux 6.12.0".to_owned(),
        compiler: "rustc 1.95.0".to_owned(),
        wrk: "wrk 4.1.0 [epoll]".to_owned(),
        notes: vec!["a virtual machine".to_owned()],
    }
}

fn plan(rounds: u32) -> Plan {
    Plan {
        command: "corewise bench".to_owned(),
        rounds,
        seconds: 3,
        server_cpu: 0,
        client_cpu: 1,
        took_seconds: 1_265,
    }
}

/// Numbers from 0 to 1 that only look like chance (a linear congruence of 64 bits).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / f64::from(1 << 24)
    }
}
