//! The bench of the whole server: subjects in turn, wrk beside them, CPU read from /proc.
//!
//! Only ratios within one run mean anything, so every round measures every subject, each round
//! begins with another one, and a ratio is the median of the ratios of the rounds. A window in
//! which somebody else used the cores is marked: its figures are kept and shown, never repaired.

mod columns;
mod idle;
mod load;
mod machine;
mod report;
mod subject;
mod usage;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

use self::columns::{COLUMNS, Column, Quantity};
use self::load::{Load, WRK_CPU};
use self::machine::Machine;
use self::report::Report;
use self::subject::{Running, SERVER_CPU, Subject};
use crate::arguments::Arguments;

/// What `corewise-bench http` was asked for.
pub(crate) struct Settings {
    rounds: u32,
    seconds: u32,
    idle: Duration,
    columns: Vec<Column>,
    subjects: Vec<Subject>,
    save: bool,
    strict: bool,
}

/// One window: one subject under one load.
#[derive(Debug, Serialize)]
struct Sample {
    column: &'static str,
    subject: String,
    round: u32,
    figures: BTreeMap<Quantity, f64>,
    requests_per_second: f64,
    /// Length of one answer on the wire.
    answer_bytes: usize,
    /// What wrk counted as failed.
    errors: Vec<String>,
    /// Why the window is worth less than others.
    disturbances: Vec<String>,
}

impl Sample {
    /// Which window this was, for people.
    fn place(&self) -> String {
        format!("{}, {}, round {}", self.column, self.subject, self.round + 1)
    }
}

impl Settings {
    /// Reads the options; `--quick` changes the defaults only.
    pub(crate) fn from_arguments(arguments: &mut Arguments) -> Result<Self, String> {
        let quick = arguments.flag("--quick");
        let (rounds, seconds, idle) = if quick { (2, 1, 2) } else { (5, 3, 10) };
        let rounds = arguments.value("--rounds")?.unwrap_or(rounds);
        let seconds = arguments.value("--seconds")?.unwrap_or(seconds);
        if rounds == 0 || seconds == 0 {
            return Err("--rounds and --seconds are at least 1".to_owned());
        }
        let mut names = arguments.list("--subjects")?;
        if names.is_empty() {
            // `bare2` is the same program again: how far its ratio is from 1 is the noise.
            names = ["bare", "corewise", "hyper", "bare2"].map(str::to_owned).to_vec();
        }
        Ok(Self {
            rounds,
            seconds,
            idle: Duration::from_secs(idle),
            columns: chosen_columns(&arguments.list("--columns")?)?,
            subjects: names.iter().map(|name| Subject::named(name)).collect::<Result<_, _>>()?,
            save: arguments.flag("--save"),
            strict: arguments.flag("--strict"),
        })
    }
}

fn chosen_columns(names: &[String]) -> Result<Vec<Column>, String> {
    for name in names {
        if !COLUMNS.iter().any(|column| column.name == name) {
            let known: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
            return Err(format!("no column {name:?}; there are {}", known.join(", ")));
        }
    }
    let wanted = |column: &&Column| names.is_empty() || names.iter().any(|n| n == column.name);
    Ok(COLUMNS.iter().filter(wanted).copied().collect())
}

/// Measures and reports; true unless `--strict` was given and a bar was missed.
pub(crate) fn run(settings: &Settings) -> Result<bool, Box<dyn Error>> {
    require_tools()?;
    raise_descriptors()?;
    let mut samples = Vec::new();
    for column in &settings.columns {
        samples.extend(measure_column(settings, column)?);
    }
    let report = Report::new(Machine::look(), settings, samples);
    print!("{}", report.table());
    if settings.save {
        println!("\nsaved as {}", report.save()?);
    }
    Ok(!settings.strict || report.bars_are_met())
}

fn measure_column(settings: &Settings, column: &Column) -> Result<Vec<Sample>, Box<dyn Error>> {
    let mut samples = Vec::new();
    let count = settings.subjects.len();
    for round in 0..settings.rounds {
        for place in 0..count {
            // Nobody is always first, and nobody always follows the same neighbour's heat.
            let subject = &settings.subjects[(place + round as usize) % count];
            progress(&format!(
                "{}: round {} of {}, {}",
                column.title,
                round + 1,
                settings.rounds,
                subject.name
            ))?;
            samples.push(measure(settings, column, subject, round)?);
        }
    }
    progress("")?;
    Ok(samples)
}

/// One window. The server is fresh and alone: no other subject runs at the time.
fn measure(
    settings: &Settings,
    column: &Column,
    subject: &Subject,
    round: u32,
) -> Result<Sample, Box<dyn Error>> {
    let running = subject.start()?;
    let sample = match column.load {
        columns::Load::Idle => measure_idle(settings, column, subject, &running),
        columns::Load::Wrk { connections, route, style } => {
            let load = Load { connections, route, style, seconds: settings.seconds };
            measure_load(column, subject, &running, load)
        }
    };
    running.stop()?;
    Ok(Sample { round, ..sample? })
}

fn measure_load(
    column: &Column,
    subject: &Subject,
    running: &Running,
    load: Load,
) -> Result<Sample, Box<dyn Error>> {
    let answer = subject.check(running.address, load.route)?;
    load::run(Load { seconds: 1, ..load }, running.address)?;
    let watch = Watch::start(running)?;
    let outcome = load::run(load, running.address)?;
    let (cpu_ns, disturbances) = watch.stop(running)?;
    subject.check(running.address, load.route)?;
    let figures = BTreeMap::from([
        (Quantity::CpuPerRequestUs, cpu_ns as f64 / 1e3 / outcome.requests as f64),
        (Quantity::LatencyP50Us, outcome.latency_p50_us),
    ]);
    Ok(Sample {
        column: column.name,
        subject: subject.name.clone(),
        round: 0,
        figures,
        requests_per_second: outcome.requests_per_second,
        answer_bytes: answer.bytes,
        errors: outcome.errors,
        disturbances,
    })
}

fn measure_idle(
    settings: &Settings,
    column: &Column,
    subject: &Subject,
    running: &Running,
) -> Result<Sample, Box<dyn Error>> {
    let idle = idle::measure(running.address, running.process(), settings.idle)?;
    let figures = BTreeMap::from([
        (Quantity::IdleBytes, idle.bytes_per_connection),
        (Quantity::IdleCpuPercent, idle.cpu_percent),
    ]);
    Ok(Sample {
        column: column.name,
        subject: subject.name.clone(),
        round: 0,
        figures,
        requests_per_second: 0.0,
        answer_bytes: 0,
        errors: Vec::new(),
        disturbances: Vec::new(),
    })
}

/// Everything that is read before a window and again after it.
struct Watch {
    tree: usage::Tree,
    cores: [usage::CoreTime; 2],
    children_ticks: u64,
    start: Instant,
}

impl Watch {
    fn start(running: &Running) -> io::Result<Self> {
        Ok(Self {
            cores: [usage::core(SERVER_CPU)?, usage::core(WRK_CPU)?],
            children_ticks: usage::ended_children_ticks()?,
            start: Instant::now(),
            tree: usage::tree(running.process())?,
        })
    }

    /// The CPU time of the tree since the start, and why it may mislead.
    fn stop(self, running: &Running) -> io::Result<(u64, Vec<String>)> {
        let tree = usage::tree(running.process())?;
        let window_ticks = self.start.elapsed().as_secs_f64() * TICKS_PER_SECOND;
        let cpu_ns = tree.cpu_ns.saturating_sub(self.tree.cpu_ns);
        let server_ticks = cpu_ns as f64 / 1e9 * TICKS_PER_SECOND;
        let wrk_ticks = (usage::ended_children_ticks()? - self.children_ticks) as f64;
        let mut disturbances = Vec::new();
        if tree.processes != self.tree.processes {
            disturbances.push("a process came or went".to_owned());
        }
        let ours = [(SERVER_CPU, server_ticks), (WRK_CPU, wrk_ticks)];
        for ((cpu, own_ticks), before) in ours.into_iter().zip(self.cores) {
            let after = usage::core(cpu)?;
            let foreign = (after.busy - before.busy) as f64 - own_ticks;
            let stolen = (after.stolen - before.stolen) as f64;
            for (what, ticks) in [("others used", foreign), ("the host took", stolen)] {
                let percent = ticks / window_ticks * 100.0;
                if percent > DISTURBANCE_PERCENT {
                    disturbances.push(format!("{what} {percent:.0} % of core {cpu}"));
                }
            }
        }
        Ok((cpu_ns, disturbances))
    }
}

fn require_tools() -> Result<(), String> {
    for tool in ["wrk", "taskset"] {
        if Command::new(tool).arg("--version").output().is_err() {
            let package = if tool == "wrk" { "wrk" } else { "util-linux" };
            return Err(format!("{tool} is missing; install it: apt-get install {package}"));
        }
    }
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return Err("two cores are needed: one for the server, one for the load".to_owned());
    }
    Ok(())
}

/// Lets this process and the servers it starts hold all idle connections.
fn raise_descriptors() -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let maximum = limit.maximum.unwrap_or(u64::MAX);
    if maximum < idle::DESCRIPTORS {
        return Err(format!("{} descriptors are needed, {maximum} allowed", idle::DESCRIPTORS));
    }
    let raised = Rlimit { current: Some(maximum.min(1 << 20)), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_err(|error| format!("descriptor limit: {error}"))
}

/// One line that replaces the one before it.
fn progress(text: &str) -> io::Result<()> {
    let mut out = io::stderr().lock();
    write!(out, "\r\x1b[K{text}")?;
    out.flush()
}

/// Where `--save` writes to.
fn results_folder() -> io::Result<std::path::PathBuf> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The unit of /proc/stat; the same on every Linux of our targets.
const TICKS_PER_SECOND: f64 = 100.0;
/// Less than this of a core is a machine at rest.
const DISTURBANCE_PERCENT: f64 = 3.0;
