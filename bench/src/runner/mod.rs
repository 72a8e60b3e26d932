//! The bench of whole servers: subjects in turn, a load beside them, accounts from the kernel.
//!
//! Only what was measured at about the same time can be compared, so all subjects of a column are
//! started together, wait stopped, and run one after the other in short rounds that begin with
//! another one each time. Half of the limit is measured twice (an A/A pair): what lies between
//! the two is noise. A window in which somebody else used the cores is repeated, at most twice,
//! and kept; what fails is shown as failed, and the run goes on.

mod calls;
mod columns;
mod machine;
mod measure;
mod noise;
mod rounds;
mod settings;
pub(crate) mod usage;
mod wrk;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ArgMatches;
use corewise::Exit;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::columns::{COLUMNS, Column, Load, OPEN_FACTOR, Who};
pub(crate) use self::machine::look;
pub(crate) use self::measure::cpu_per_request_us;
use self::measure::{Bench, Outcome, Turn};
pub(crate) use self::noise::Cores;
use self::rounds::{Fate, Repeats};
pub(crate) use self::settings::{Gate, Settings};
pub(crate) use self::usage::process_cpu_ns;
use self::wrk::Wrk;
use crate::report::baseline::Verdicts;
use crate::report::terminal::{self, Progress, Screen};
use crate::report::{self, baseline};
use crate::result::{FORMAT, Machine, Plan, Role, Run, State, Window};
use crate::statistics::{self, Statistics};
use crate::subject::{Description, Place, Ready, Running};
use crate::{interrupt, mixed, open};

/// Measures, writes the report and says how it went. An error is what kept it from beginning.
pub(crate) fn run(settings: &Settings) -> Result<Exit, String> {
    // Everything that can be wrong without measuring is said before half an hour has passed.
    let baseline = read_baseline(settings.gate.as_ref())?;
    let folder = Folder::new().map_err(|error| format!("a folder for the run: {error}"))?;
    let mut run = Measuring::prepare(settings, &folder)?;
    let out = settings.out.clone().unwrap_or_else(|| default_out(&run.run.machine.date));
    let saved = settings.save.then(|| saved_as(&run.run.machine));
    for folder in [Some(&out), saved.as_ref()].into_iter().flatten() {
        try_to_write(folder)?;
    }
    let was_interrupted = run.measure_all().is_err();
    let run = run.finish();
    let exit = show(&run, &out, baseline.as_ref())?;
    if let Some(folder) = saved {
        report::write(&run, &folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        println!("saved: {}", folder.display());
    }
    if was_interrupted {
        println!("interrupted: the report holds what was measured until then");
        return Ok(Exit::Interrupted);
    }
    if settings.strict && !promises_are_kept(&run) {
        println!("a promise was missed, or could not be judged (--strict)");
        return Ok(Exit::Found);
    }
    Ok(exit)
}

/// Writes the pages of an earlier run again.
pub(crate) fn write_again(file: &Path, out: &Path, gate: Option<&Gate>) -> Result<Exit, String> {
    let run = baseline::read(file).map_err(|error| error.to_string())?;
    show(&run, out, read_baseline(gate)?.as_ref())
}

/// What `--list` shows.
pub(crate) fn list(matches: &ArgMatches) -> Result<String, String> {
    let mut text = "servers\n".to_owned();
    for subject in settings::subjects(matches)? {
        let state = match subject.find() {
            Ok(ready) => ready.version().unwrap_or("present").to_owned(),
            Err(State::Missing { why, fix }) => format!("missing: {why}; {fix}"),
            Err(_) => "cannot be measured".to_owned(),
        };
        text += &format!("  {:<16} {:<28} {state}\n", subject.name, subject.title);
    }
    text += "\ncolumns, with the group of each; `promises` are those that hold one\n";
    for column in COLUMNS {
        text += &format!("  {:<16} {:<12} {}\n", column.name, column.group_name(), column.title);
    }
    Ok(text)
}

fn read_baseline(gate: Option<&Gate>) -> Result<Option<(Run, f64)>, String> {
    let Some(gate) = gate else { return Ok(None) };
    let run = baseline::read(&gate.baseline).map_err(|error| error.to_string())?;
    Ok(Some((run, gate.fail_over)))
}

/// Writes and prints the report; the exit is what the baseline says.
fn show(run: &Run, out: &Path, baseline: Option<&(Run, f64)>) -> Result<Exit, String> {
    let written = report::write(run, out)
        .map_err(|error| format!("the report cannot be written to {}: {error}", out.display()))?;
    let screen = Screen::of_output();
    println!("{}", terminal::table(run, screen.width, screen.colours));
    let verdicts: Option<Verdicts> =
        baseline.map(|(base, fail_over)| baseline::compare(run, base, *fail_over));
    if let Some(verdicts) = &verdicts {
        println!("{verdicts}");
    }
    for path in [&written.data, &written.markdown, &written.html] {
        println!("written: {}", path.display());
    }
    let passed = verdicts.is_none_or(|verdicts| verdicts.passed());
    Ok(if passed { Exit::Clean } else { Exit::Found })
}

/// Beside the sources, for figures that are to be committed.
fn saved_as(machine: &Machine) -> PathBuf {
    let name = format!("{}-{}", machine.date.replace(':', ""), machine.commit);
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results").join(name)
}

/// Makes the folder of a report and tries to write to it: half an hour later it would be too late.
fn try_to_write(folder: &Path) -> Result<(), String> {
    let probe = folder.join(".writable");
    let tried = fs::create_dir_all(folder)
        .and_then(|()| fs::write(&probe, "x"))
        .and_then(|()| fs::remove_file(&probe));
    tried.map_err(|error| {
        let folder = folder.display();
        format!("the report cannot be written to {folder}: {error}; choose another with --out")
    })
}

fn default_out(date: &str) -> PathBuf {
    PathBuf::from(format!("bench-report-{}", date.replace([':', '-'], "")))
}

/// A run in the making.
struct Measuring<'a> {
    settings: &'a Settings,
    bench: Bench,
    place: Place,
    contestants: Vec<Contestant>,
    repeats: Repeats,
    progress: Progress,
    begin: Instant,
    run: Run,
}

/// A subject of this run.
struct Contestant {
    description: Description,
    /// None when it is not here.
    ready: Option<Ready>,
}

/// A subject that was started for a column.
struct Started {
    /// Its place among the contestants.
    index: usize,
    running: Running,
}

/// Ctrl-C: nothing more is measured.
struct Interrupted;

impl<'a> Measuring<'a> {
    fn prepare(settings: &'a Settings, folder: &Folder) -> Result<Self, String> {
        let needs_wrk =
            settings.columns.iter().any(|column| matches!(column.load, Load::Closed { .. }));
        let version = if needs_wrk { wrk::version()? } else { "not used".to_owned() };
        let broken = |error: io::Error| format!("preparing the run: {error}");
        let wrk = needs_wrk.then(|| Wrk::new(settings.cores.client, &folder.0)).transpose();
        let root = crate::files::make(&folder.0).map_err(broken)?;
        let mut machine = look(version, settings.cores);
        machine.notes.extend(measure::calls_note());
        machine.notes.extend(raise_descriptors());
        interrupt::watch().map_err(broken)?;
        // Whoever is started pins itself; this process waits on the core of the load.
        crate::server::pin(settings.cores.client).map_err(broken)?;
        let describe =
            |column: &&Column| column.described(settings.cores, settings.seconds, settings.rate);
        let columns: Vec<_> = settings.columns.iter().map(describe).collect();
        let mut contestants = Vec::new();
        let mut subjects = Vec::new();
        for description in &settings.subjects {
            let (ready, version, state) = match description.find() {
                Ok(ready) => {
                    let version = ready.version().map(str::to_owned);
                    (Some(ready), version, State::Measured)
                }
                Err(state) => (None, None, state),
            };
            let mut entry = description.entry(version, state, &columns);
            for column in &settings.columns {
                if column.who == Who::LimitAndOurs && !holds_promises(description.role) {
                    let why = "only a promise of corewise needs this column".to_owned();
                    entry.declined.insert(column.name.to_owned(), why);
                } else if let Load::Event(event) = column.load
                    && let Err(why) = description.supports(event)
                {
                    entry.declined.entry(column.name.to_owned()).or_insert(why);
                }
            }
            subjects.push(entry);
            contestants.push(Contestant { description: description.clone(), ready });
        }
        let plan = Plan {
            command: settings.command.clone(),
            rounds: settings.rounds,
            seconds: settings.seconds,
            server_cpu: settings.cores.server,
            client_cpu: settings.cores.client,
            took_seconds: 0,
        };
        let run = Run { format: FORMAT, machine, plan, subjects, columns, windows: Vec::new() };
        let mut measuring = Self {
            settings,
            bench: Bench {
                cores: settings.cores,
                quick: settings.quick,
                wrk: wrk.map_err(broken)?,
            },
            place: Place::new(settings.cores.server, &root, &folder.0.join("subjects")),
            contestants,
            repeats: Repeats::for_windows(0),
            progress: Progress::new(Box::new(io::stderr()), Screen::of_errors(), 0),
            begin: Instant::now(),
            run,
        };
        measuring.announce();
        Ok(measuring)
    }

    /// Says what is to come, and how long it takes.
    fn announce(&mut self) {
        let windows: u32 = self.settings.columns.iter().map(|column| self.windows(column)).sum();
        self.repeats = Repeats::for_windows(windows);
        let screen = Screen::of_errors();
        self.progress = Progress::new(Box::new(io::stderr()), screen, windows as usize);
        let expected: Duration =
            self.settings.columns.iter().map(|column| self.expected(column)).sum();
        let present = self.contestants.iter().filter(|one| one.ready.is_some()).count();
        self.progress.note(&format!(
            "{present} servers, {} columns, {} rounds of {} s: about {} min if nothing disturbs",
            self.settings.columns.len(),
            self.settings.rounds,
            self.settings.seconds,
            expected.as_secs().div_ceil(60)
        ));
        for subject in &self.run.subjects {
            if let State::Missing { why, fix } = &subject.state {
                self.progress.note(&format!("{}: missing: {why}; {fix}", subject.name));
            }
        }
    }

    fn measure_all(&mut self) -> Result<(), Interrupted> {
        for (index, column) in self.settings.columns.iter().enumerate() {
            self.progress.column(&self.run.columns[index], &self.run.subjects);
            if column.is_shared() {
                self.measure_together(column)?;
            } else {
                self.measure_apart(column)?;
            }
        }
        Ok(())
    }

    /// All subjects are there from the beginning, and everybody but one is stopped.
    fn measure_together(&mut self, column: &Column) -> Result<(), Interrupted> {
        let mut started = Vec::new();
        for index in self.takers(column) {
            self.progress.doing(&format!("starting {}", self.name(index)));
            let ready = self.contestants[index].ready.as_ref().expect("takers are here");
            let running = ready.start(&self.place).map_err(|error| error.to_string());
            let running = running.and_then(|running| match running.pause() {
                Ok(()) => Ok(running),
                Err(error) => Err(error.to_string()),
            });
            match running {
                Ok(running) => started.push(Some(Started { index, running })),
                Err(why) => self.fail(column, index, 0, why)?,
            }
        }
        for round in 0..column.rounds(self.settings.rounds) {
            for place in rounds::order(started.len(), round) {
                let Some(mut one) = started[place].take() else { continue };
                match self.measure_resumed(column, &mut one, round)? {
                    Ok(()) => started[place] = Some(one),
                    Err(why) => self.fail(column, one.index, round, why)?,
                }
            }
        }
        self.progress.doing("stopping the servers");
        for one in started.into_iter().flatten() {
            // How it ends is no figure, but worth a line.
            if one.running.stop().is_ok_and(|ended| ended.status.is_none()) {
                let name = self.name(one.index).to_owned();
                self.progress.note(&format!("{name} did not leave when told to, and was killed"));
            }
        }
        Ok(())
    }

    /// One subject's window of a round, between its resuming and its pausing.
    fn measure_resumed(
        &mut self,
        column: &Column,
        one: &mut Started,
        round: u32,
    ) -> Result<Result<(), String>, Interrupted> {
        if let Err(error) = one.running.resume() {
            return Ok(Err(error.to_string()));
        }
        let mut attempt = 0;
        loop {
            let turn = match (round, attempt) {
                (0, 0) => Turn::First,
                (0, _) => Turn::FirstAgain,
                _ => Turn::Later,
            };
            self.doing(column, one.index, round, attempt);
            let outcome = self.load(column, &mut one.running, turn);
            match self.keep(column, one.index, round, attempt, outcome)? {
                Ok(Fate::Repeat) => attempt += 1,
                Ok(Fate::Counts) => break,
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(one.running.pause().map_err(|error| error.to_string()))
    }

    /// Each subject is started for its window and alone: the load changes it, or needs the memory.
    fn measure_apart(&mut self, column: &Column) -> Result<(), Interrupted> {
        let takers = self.takers(column);
        let mut failed = vec![false; takers.len()];
        for round in 0..column.rounds(self.settings.rounds) {
            for place in rounds::order(takers.len(), round) {
                if failed[place] {
                    continue;
                }
                let index = takers[place];
                let mut attempt = 0;
                loop {
                    self.doing(column, index, round, attempt);
                    let outcome = self.load_fresh(column, index);
                    match self.keep(column, index, round, attempt, outcome)? {
                        Ok(Fate::Repeat) => attempt += 1,
                        Ok(Fate::Counts) => break,
                        Err(why) => {
                            self.fail(column, index, round, why)?;
                            failed[place] = true;
                            break;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn load_fresh(&self, column: &Column, index: usize) -> Outcome {
        let ready = self.contestants[index].ready.as_ref().expect("takers are here");
        if column.load == Load::Start {
            return crate::start::measure(ready, &self.place);
        }
        let mut running = ready.start(&self.place)?;
        let reading = self.load(column, &mut running, Turn::First);
        let _ended = running.stop();
        reading
    }

    fn load(&self, column: &Column, running: &mut Running, turn: Turn) -> Outcome {
        let (cpu, seconds) = (self.settings.cores.client, self.settings.seconds);
        match column.load {
            Load::Closed { connections, route, style } => {
                let load = wrk::Load { connections, style, seconds };
                self.bench.closed(running, route, load, turn)
            }
            Load::Event(event) => crate::events::measure(running, event, cpu),
            Load::Idle => crate::idle::measure(running, IDLE),
            Load::Light => self.bench.watched(running, |one| mixed::alone(one, cpu, MIXED_S)),
            Load::Mixed => self.bench.watched(running, |one| mixed::measure(one, cpu, MIXED_S)),
            Load::Open { connections } => {
                let rate = f64::from(self.settings.rate);
                let settings = open::Settings {
                    connections: connections as usize,
                    seconds: f64::from(seconds * OPEN_FACTOR),
                    ..open::Settings::new(
                        running.address(),
                        &running.path(crate::subject::Route::Plaintext),
                        rate,
                    )
                };
                self.bench.open(running, &settings, turn)
            }
            Load::Start => unreachable!("it is measured before anything runs"),
        }
    }

    /// Makes a window of what was read, and judges it; the inner error is why there is nothing.
    fn keep(
        &mut self,
        column: &Column,
        index: usize,
        round: u32,
        attempt: u32,
        outcome: Outcome,
    ) -> Result<Result<Fate, String>, Interrupted> {
        if interrupt::requested() {
            return Err(Interrupted);
        }
        let reading = match outcome {
            Ok(reading) => reading,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let fate = self.repeats.judge(attempt, !reading.disturbances.is_empty());
        let window = Window {
            column: column.name.to_owned(),
            subject: self.name(index).to_owned(),
            round,
            attempt,
            counts: fate == Fate::Counts,
            figures: reading.figures,
            requests: reading.requests,
            answer_bytes: reading.answer_bytes,
            errors: reading.errors,
            disturbances: reading.disturbances,
            percentiles: reading.percentiles,
        };
        self.progress.window(&window);
        self.run.windows.push(window);
        Ok(Ok(fate))
    }

    /// Keeps that a subject failed, as a window without figures, and goes on without it.
    fn fail(
        &mut self,
        column: &Column,
        index: usize,
        round: u32,
        why: String,
    ) -> Result<(), Interrupted> {
        if interrupt::requested() {
            return Err(Interrupted);
        }
        let first = why.lines().next().unwrap_or_default();
        self.progress.note(&format!("{}, {}: failed: {first}", column.name, self.name(index)));
        let window = Window {
            column: column.name.to_owned(),
            subject: self.name(index).to_owned(),
            round,
            disturbances: vec![format!("failed: {why}")],
            ..failed_window()
        };
        self.progress.window(&window);
        self.run.windows.push(window);
        Ok(())
    }

    fn finish(mut self) -> Run {
        self.run.plan.took_seconds = self.begin.elapsed().as_secs();
        if self.repeats.refused() > 0 {
            self.run.machine.notes.push(format!(
                "never at rest: {} disturbed windows count, because a quarter of all was repeated \
                 already; measure again with nothing else running",
                self.repeats.refused()
            ));
        }
        for subject in &mut self.run.subjects {
            let mut own = self.run.windows.iter().filter(|window| window.subject == subject.name);
            let first = own.clone().next();
            // Who never had a window that counts failed as a whole, of the first reason.
            if let Some(first) = first
                && subject.state == State::Measured
                && !own.any(|window| window.counts)
            {
                let why = first.disturbances.join(", ");
                let why = why.strip_prefix("failed: ").unwrap_or(&why).to_owned();
                subject.state = State::Failed { why };
            }
        }
        self.progress.finish();
        self.run
    }

    fn doing(&mut self, column: &Column, index: usize, round: u32, attempt: u32) {
        let rounds = column.rounds(self.settings.rounds);
        let again = if attempt > 0 { ", again because it was disturbed" } else { "" };
        let what = format!("round {} of {rounds}, {}{again}", round + 1, self.name(index));
        self.progress.doing(&what);
    }

    fn name(&self, index: usize) -> &str {
        &self.contestants[index].description.name
    }

    /// Who is here and does the column.
    fn takers(&self, column: &Column) -> Vec<usize> {
        let takes = |index: &usize| {
            self.contestants[*index].ready.is_some()
                && !self.run.subjects[*index].declined.contains_key(column.name)
        };
        (0..self.contestants.len()).filter(takes).collect()
    }

    fn windows(&self, column: &Column) -> u32 {
        let takers = u32::try_from(self.takers(column).len()).expect("subjects are few");
        takers * column.rounds(self.settings.rounds)
    }

    /// How long a column takes on a machine at rest.
    fn expected(&self, column: &Column) -> Duration {
        let takers = u32::try_from(self.takers(column).len()).expect("subjects are few");
        let window = Duration::from_secs(u64::from(self.settings.seconds));
        let (each, once) = match column.load {
            Load::Closed { .. } if self.settings.quick => (window + WARMED, Duration::ZERO),
            Load::Closed { .. } => (window + WARMED, CALLS_COUNTED),
            Load::Event(_) => (Duration::from_secs(6), Duration::ZERO),
            Load::Idle => (IDLE + Duration::from_secs(3), Duration::ZERO),
            Load::Light | Load::Mixed => {
                (Duration::from_secs(MIXED_S.into()) + WARMED, Duration::from_millis(500))
            }
            Load::Open { .. } => (window * OPEN_FACTOR + WARMED, Duration::from_secs(1)),
            Load::Start => (Duration::from_millis(300), Duration::ZERO),
        };
        takers * (each * column.rounds(self.settings.rounds) + once)
    }
}

/// False when one was missed, and when one has no figures: a server that fails keeps no promise.
fn promises_are_kept(run: &Run) -> bool {
    let statistics = Statistics::of(run);
    let mut promises = run
        .columns
        .iter()
        .flat_map(|column| column.promises.iter().map(move |promise| (column, *promise)));
    promises.all(|(column, promise)| {
        matches!(statistics.outcome(column, promise), statistics::Outcome::Kept(_))
    })
}

fn holds_promises(role: Role) -> bool {
    matches!(role, Role::Limit | Role::LimitAgain | Role::Ours)
}

fn failed_window() -> Window {
    Window {
        column: String::new(),
        subject: String::new(),
        round: 0,
        attempt: 0,
        counts: false,
        figures: Default::default(),
        requests: 0,
        answer_bytes: 0,
        errors: Default::default(),
        disturbances: Vec::new(),
        percentiles: Vec::new(),
    }
}

/// The run's own folder, removed with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> io::Result<Self> {
        Self::new_in(&std::env::temp_dir())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A folder that nobody has made before us: whoever could put something into it could have
    /// root write wherever he likes. One that is there may also be a killed run's litter.
    fn new_in(temporary: &Path) -> io::Result<Self> {
        let own = std::process::id();
        for number in 0..FOLDERS_MAX {
            let path = temporary.join(format!("corewise-bench-{own}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let why = format!("{}: {error}", path.display());
                    return Err(io::Error::new(error.kind(), why));
                }
            }
        }
        Err(io::Error::other(format!("{} is full of them", temporary.display())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind it is only litter, in a folder that the system clears.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Lets this process and the servers it starts hold all idle connections; a note where it cannot.
fn raise_descriptors() -> Option<String> {
    let limit = getrlimit(Resource::Nofile);
    let maximum = limit.maximum.unwrap_or(u64::MAX).min(DESCRIPTORS_MAX);
    let raised = Rlimit { current: Some(maximum), maximum: limit.maximum };
    let refused = setrlimit(Resource::Nofile, raised).is_err();
    (refused || maximum < DESCRIPTORS_NEEDED).then(|| {
        format!(
            "only {maximum} descriptors are allowed, {DESCRIPTORS_NEEDED} are needed for idle \
             connections; ulimit -Hn as root raises it"
        )
    })
}

/// Litter of killed runs that had our number before.
const FOLDERS_MAX: u32 = 100;
const DESCRIPTORS_NEEDED: u64 = 10_200;
const DESCRIPTORS_MAX: u64 = 1 << 20;
/// How long idle connections are watched.
const IDLE: Duration = Duration::from_secs(4);
/// A heavy request takes 10 ms, so that a shorter window would hold few of them.
const MIXED_S: u32 = 3;
/// Short warm-up, checks, readings.
const WARMED: Duration = Duration::from_millis(450);
/// The longer warm-up of the first window, and the window that counts system calls.
const CALLS_COUNTED: Duration = Duration::from_millis(2_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_there_already_is_nobodys() {
        let temporary = tempfile::tempdir().unwrap();
        let first = Folder::new_in(temporary.path()).unwrap();
        let second = Folder::new_in(temporary.path()).unwrap();
        assert_ne!(first.0, second.0);
        let path = second.0.clone();
        drop(second);
        assert!(first.0.exists() && !path.exists());
    }

    #[test]
    fn a_report_that_cannot_be_written_is_refused_before() {
        let temporary = tempfile::tempdir().unwrap();
        let out = temporary.path().join("a/b");
        try_to_write(&out).unwrap();
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "and nothing is left in it");
        let error = try_to_write(Path::new("/proc/nothing")).unwrap_err();
        assert!(error.contains("/proc/nothing") && error.contains("--out"), "{error}");
    }
}
