//! What is done once, before the first shard: limits, the probe of the engine, the listeners.

use std::cell::RefCell;
use std::io;
use std::time::Instant;

use super::listening::{self, Listening};
use super::pools::Pools;
use super::process::run_apart;
use super::screen::{Note, PoolRow, Screen, show};
use super::service::Service;
use super::{Engine, ProbeError, Roles};
use crate::config::cpus::cpu_list;
use crate::config::grants::{Finding, Grants};
use crate::config::{Config, PoolKind};
use crate::exit::Exit;
use crate::net::listener::{Endpoint, Listener, SocketFile};
use crate::sys::memory::{self, Limit};
use crate::sys::process::{self, Ended, Forked, PidFd, own_pid};
use crate::sys::signal::{Signal, SignalFd, ignore, set_default};
use crate::sys::title::{Title, set_short_name};
use crate::sys::user::User;
use crate::sys::{affinity, descriptors};
use crate::telemetry::log::{Form, Identity, Logger};

/// Everything that the loop needs, checked and open.
pub(super) struct Prepared {
    pub(super) config: Config,
    /// Whom children become.
    pub(super) user: Option<User>,
    pub(super) logger: Logger,
    pub(super) signals: SignalFd,
    pub(super) supervisor: PidFd,
    /// For each shard its listeners, until the loop takes them.
    pub(super) listeners: RefCell<Vec<Vec<Listener>>>,
    pub(super) title: RefCell<Option<Title>>,
    /// The memory of the pools, until the loop takes it.
    pub(super) pools: RefCell<Pools>,
    /// The names of sockets in the file system, until the loop takes them.
    pub(super) files: RefCell<Vec<SocketFile>>,
    /// The service manager, until the loop takes it.
    pub(super) service: RefCell<Service>,
    /// Where we listen, with real ports.
    pub(super) endpoints: Vec<Endpoint>,
    engine: Engine,
    notes: Vec<Note>,
}

/// Why the server cannot start.
pub(super) struct Refusal {
    message: String,
    fix: String,
    exit: Exit,
    form: Form,
}

impl Refusal {
    /// Tells people, and returns the exit.
    pub(super) fn print(&self) -> Exit {
        match self.form {
            Form::Json => {
                tracing::error!(fix = self.fix, exit = self.exit.code(), "{}", self.message);
            }
            Form::Pretty => show(&format!("error: {}\n  fix: {}\n", self.message, self.fix)),
        }
        self.exit
    }
}

/// Checks and opens everything; the first thing that is refused ends the start.
pub(super) fn prepare(mut config: Config, roles: &Roles<'_>) -> Result<Prepared, Refusal> {
    let identity = Identity { process: "supervisor".into(), ..Identity::default() };
    let logger = Logger::install(config.log, identity);
    let refused = Refused { form: logger.form() };
    check_threads(process::thread_count()).map_err(|trouble| refused.threads(trouble))?;
    descriptors::fill_standard_streams().map_err(|error| refused.system("/dev/null", &error))?;
    // Nobody sets an alarm here, so a stray one must not end us. A shard that sets one for itself
    // gives it its default action back.
    ignore(Signal::Alarm).map_err(|error| refused.system("ignoring a signal", &error))?;
    // Who started us may ignore it, which is inherited; children would then vanish unreaped.
    set_default(Signal::Child).map_err(|error| refused.system("the default of CHLD", &error))?;
    // From here on a signal waits until the loop reads it.
    let signals = SignalFd::open(&Signal::READABLE);
    let signals = signals.map_err(|error| refused.system("signalfd", &error))?;
    let supervisor = PidFd::open(own_pid()).map_err(|error| refused.system("pidfd", &error))?;
    process::adopt_orphans().map_err(|error| refused.system("subreaper", &error))?;
    let service = Service::from_environment(Instant::now());
    let service = service.map_err(|error| refused.system("NOTIFY_SOCKET", &error))?;
    let mut notes = notes(&mut config);
    settle(&config, &mut notes);
    let user = find_user(&config).map_err(|finding| refused.finding(finding))?;
    let engine = probe_apart(user.as_ref(), roles.probe).map_err(|error| refused.engine(error))?;
    let listening = listening::open(&config, user.as_ref());
    let listening = listening.map_err(|finding| refused.finding(finding))?;
    notes.extend(listening::unnamed(&config).map(|message| Note { message, fix: NAME_IT.into() }));
    let Listening { shards: listeners, files } = listening;
    let pools = Pools::create(&config).map_err(|finding| {
        // Nobody will listen there; what cannot be removed is replaced by the next start.
        let _ = files.iter().try_for_each(SocketFile::remove);
        refused.finding(finding)
    })?;
    let endpoints = listeners[0].iter().map(|listener| listener.endpoint().clone()).collect();
    let mut title = Title::claim();
    if let Some(title) = &mut title {
        title.set("corewise: supervisor");
    }
    // A name that could not be set hurts nobody.
    let _ = set_short_name("corewise");
    Ok(Prepared {
        config,
        user,
        logger,
        signals,
        supervisor,
        files: RefCell::new(files),
        listeners: RefCell::new(listeners),
        title: RefCell::new(title),
        pools: RefCell::new(pools),
        service: RefCell::new(service),
        endpoints,
        engine,
        notes,
    })
}

impl Prepared {
    /// Shows the start screen, or the same as a line of the log.
    pub(super) fn show(&self) {
        let cpus: Vec<Option<usize>> =
            self.config.placement.shards.iter().map(|shard| shard.cpu).collect();
        let kernel = memory::kernel_release();
        let screen = Screen {
            version: env!("CARGO_PKG_VERSION"),
            pid: own_pid().get(),
            engine: &self.engine.name,
            kernel: &kernel,
            file: self.config.file.as_deref(),
            endpoints: &self.endpoints,
            backlog: self.config.server.backlog,
            cpus: &cpus,
            usable_cpus: self.config.placement.usable.len(),
            pools: pool_rows(&self.config),
            notes: &self.notes,
        };
        if self.logger.form() == Form::Pretty {
            return show(&screen.render());
        }
        let pinned: Option<Vec<usize>> = cpus.iter().copied().collect();
        let pinned = pinned.map(|cpus| cpu_list(&cpus));
        tracing::info!(
            version = screen.version,
            engine = screen.engine,
            kernel = screen.kernel,
            file = screen.file,
            listen = ?self.endpoints.iter().map(Endpoint::to_string).collect::<Vec<_>>(),
            backlog = screen.backlog,
            shards = cpus.len(),
            cpus = pinned.as_deref(),
            "starting"
        );
        for pool in &screen.pools {
            tracing::info!(pool = pool.name, runs = pool.runs, workers = pool.places(), "pool");
        }
        for note in &self.notes {
            tracing::warn!(fix = note.fix, "{}", note.message);
        }
    }
}

fn pool_rows(config: &Config) -> Vec<PoolRow<'_>> {
    let pools = config.pools.iter().zip(&config.placement.pools);
    let rows = pools.map(|(pool, place)| PoolRow {
        name: &pool.name,
        runs: match pool.kind {
            PoolKind::Native => "native",
            PoolKind::Python => "python",
        },
        workers: &place.workers,
    });
    rows.collect()
}

/// What to do about a socket that systemd passes in vain.
const NAME_IT: &str = "name it in server.listen";

/// Makes refusals in the form of the log.
struct Refused {
    form: Form,
}

impl Refused {
    fn system(&self, what: &str, error: &io::Error) -> Refusal {
        Refusal {
            message: format!("{what} was refused: {error}"),
            fix: "see whether a sandbox or a limit forbids it".into(),
            exit: Exit::System,
            form: self.form,
        }
    }

    fn threads(&self, (message, fix): (String, String)) -> Refusal {
        Refusal { message, fix, exit: Exit::System, form: self.form }
    }

    fn engine(&self, error: ProbeError) -> Refusal {
        self.finding(Finding::of_engine(error.reason, error.fix))
    }

    fn finding(&self, finding: Finding) -> Refusal {
        let exit = finding.exit.unwrap_or(Exit::System);
        Refusal { message: finding.message, fix: finding.fix, exit, form: self.form }
    }
}

/// Shards are forks, and a fork copies one thread: a lock that another one held would stay locked.
/// The error is what is wrong, and what to do.
fn check_threads(count: io::Result<usize>) -> Result<(), (String, String)> {
    match count {
        Ok(1) => Ok(()),
        Ok(count) => Err((
            format!(
                "this process has {count} threads, and with more than one it cannot fork shards"
            ),
            "run the server from main, before anything starts a thread".into(),
        )),
        Err(error) => Err((
            format!("the threads of this process cannot be counted: /proc/self/task: {error}"),
            "mount /proc".into(),
        )),
    }
}

/// What people should know at the start: about their settings, the placement and the system.
/// Cuts `config` to what the system grants.
fn notes(config: &mut Config) -> Vec<Note> {
    let findings = raise_limits().fit(config);
    let cut =
        findings.into_iter().map(|finding| Note { message: finding.message, fix: finding.fix });
    let settings = config.notices.iter();
    let settings =
        settings.map(|notice| Note { message: notice.sentence(), fix: notice.fault.help.clone() });
    let placed = config.placement.notes.iter();
    let placed = placed.map(Note::from);
    settings.chain(placed).chain(cut).collect()
}

/// Goes to the CPUs of the supervisor.
fn settle(config: &Config, notes: &mut Vec<Note>) {
    let cpus = config.placement.supervisor_cpus();
    if cpus.is_empty() {
        return;
    }
    if let Err(error) = affinity::confine_to(cpus) {
        notes.push(Note {
            message: format!("the supervisor stays where it is: CPUs {}: {error}", cpu_list(cpus)),
            fix: "see whether a sandbox forbids sched_setaffinity".into(),
        });
    }
}

/// Raises the limits of this process as far as they go and says what holds then.
fn raise_limits() -> Grants {
    // Raising to the hard limit can only fail where a sandbox forbids it; what holds then counts.
    let raise = |limit| memory::raise(limit).unwrap_or_else(|_| memory::current(limit));
    Grants {
        locked_memory: raise(Limit::LockedMemory),
        open_files: raise(Limit::OpenFiles),
        somaxconn: memory::somaxconn().ok(),
    }
}

/// The user that children become.
fn find_user(config: &Config) -> Result<Option<User>, Finding> {
    let Some(name) = &config.server.user else { return Ok(None) };
    let found = User::find(name).and_then(|user| {
        if user.is_within_reach() { Ok(user) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    });
    found.map(Some).map_err(|error| Finding::of_user(name, &error))
}

/// Probes the engine in a process of its own: a kernel that punishes the attempt, or a library
/// that panics, then costs nothing. The user that is going to need it probes it.
pub(super) fn probe_apart(
    user: Option<&User>,
    probe: &dyn Fn() -> Result<Engine, ProbeError>,
) -> Result<Engine, ProbeError> {
    let attempt = |forked: &Forked| match user.map_or(Ok(()), |user| user.become_it(forked)) {
        Ok(()) => probe(),
        Err(error) => Err(ProbeError {
            reason: format!("the user of server.user cannot be taken: {error}"),
            fix: "see whether a sandbox forbids setuid".into(),
        }),
    };
    match run_apart(|forked| encode_probe(attempt(forked))) {
        Ok(apart) => decode_probe(&apart.answer, apart.ended),
        Err(error) => Err(ProbeError {
            reason: format!("the engine cannot be probed: {error}"),
            fix: "see whether a sandbox or a limit forbids it".into(),
        }),
    }
}

fn encode_probe(result: Result<Engine, ProbeError>) -> String {
    match result {
        Ok(engine) => format!("+{}", engine.name),
        Err(error) => format!("-{}\n{}", error.reason, error.fix),
    }
}

fn decode_probe(answer: &str, ended: Ended) -> Result<Engine, ProbeError> {
    if let Some(name) = answer.strip_prefix('+') {
        return Ok(Engine { name: name.to_owned() });
    }
    let refusal = answer.strip_prefix('-').map(|text| text.split_once('\n').unwrap_or((text, "")));
    let (reason, fix) = match refusal {
        Some((reason, fix)) => (reason.to_owned(), fix.to_owned()),
        None => (
            format!("io_uring cannot be used here: the attempt ended by {ended}"),
            "allow io_uring_setup, io_uring_enter and io_uring_register in the sandbox".into(),
        ),
    };
    Err(ProbeError { reason, fix })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_and_a_missing_proc_are_told_apart() {
        assert_eq!(check_threads(Ok(1)), Ok(()));
        let (message, fix) = check_threads(Ok(3)).unwrap_err();
        assert!(message.contains("3 threads") && fix.contains("main"), "{message}, {fix}");
        let missing = io::Error::from(io::ErrorKind::NotFound);
        let (message, fix) = check_threads(Err(missing)).unwrap_err();
        assert!(message.contains("/proc/self/task") && fix.contains("mount"), "{message}, {fix}");
    }

    #[test]
    fn the_probe_comes_back() {
        let engine = Engine { name: "io_uring".into() };
        assert_eq!(decode_probe(&encode_probe(Ok(engine.clone())), Ended::Code(0)), Ok(engine));
        let error = ProbeError { reason: "forbidden".into(), fix: "allow it".into() };
        assert_eq!(decode_probe(&encode_probe(Err(error.clone())), Ended::Code(0)), Err(error));
        let killed = decode_probe("", Ended::Signal(31)).unwrap_err();
        assert!(killed.reason.contains("signal SYS"));
    }
}
