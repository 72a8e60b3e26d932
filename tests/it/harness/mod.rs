//! Starts, watches and ends the real binary.
//!
//! Every server is spawned by one thread that lives as long as the test process, and has
//! PR_SET_PDEATHSIG set to SIGKILL: that signal is sent when the *thread* that forked ends, so a
//! spawn from a test's own thread would end a shared server with its first test. With this,
//! servers that several tests share need no owner and are gone with the test process, however it
//! ends; their shards see the death of the supervisor and leave by themselves.

pub(crate) mod client;
pub(crate) mod group;
pub(crate) mod listeners;
pub(crate) mod process;
pub(crate) mod response;
pub(crate) mod rest;
pub(crate) mod swarm;
pub(crate) mod traffic;

use std::ffi::CString;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use client::{Client, PATIENCE};
use group::Group;
use process::Process;

/// How a server is to be started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Launch {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    descriptors: Option<u64>,
    io_uring_forbidden: bool,
    stdin_closed: bool,
    cpus: Vec<usize>,
    group: Option<CString>,
    /// What the server has as descriptor 3, and what systemd calls it.
    passed: Option<(Arc<OwnedFd>, String)>,
}

impl Launch {
    /// The binary with these arguments and nothing else.
    pub(crate) fn bare(arguments: &[&str]) -> Launch {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Launch { arguments, ..Launch::default() }
    }

    /// The demo on a port of the kernel's choice.
    pub(crate) fn demo() -> Launch {
        Launch::bare(&["demo", "--bind", "127.0.0.1:0"])
    }

    /// So many shards.
    pub(crate) fn shards(mut self, count: usize) -> Launch {
        self.arguments.extend(["--shards".into(), count.to_string()]);
        self
    }

    /// One setting by its TOML name, `limits.header-timeout`, given through the environment.
    pub(crate) fn set(mut self, key: &str, value: &str) -> Launch {
        let name = key.to_uppercase().replace('.', "__").replace('-', "_");
        self.environment.push((format!("COREWISE_{name}"), value.into()));
        self
    }

    /// Any variable.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Launch {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// RLIMIT_NOFILE of the server, soft and hard.
    pub(crate) fn descriptors(mut self, count: u64) -> Launch {
        self.descriptors = Some(count);
        self
    }

    /// io_uring_setup answers EPERM, as under the default profile of container engines.
    pub(crate) fn without_io_uring(mut self) -> Launch {
        self.io_uring_forbidden = true;
        self
    }

    /// Descriptor 0 does not exist at all when the server starts.
    pub(crate) fn without_stdin(mut self) -> Launch {
        self.stdin_closed = true;
        self
    }

    /// The affinity mask that the server starts with.
    pub(crate) fn on_cpus(mut self, cpus: &[usize]) -> Launch {
        self.cpus = cpus.to_vec();
        self
    }

    /// The control group that the server starts in.
    pub(crate) fn in_group(mut self, group: &Group) -> Launch {
        self.group = Some(group.entrance());
        self
    }

    /// Descriptor 3 of the server, announced as systemd announces a socket with this name.
    pub(crate) fn pass(mut self, socket: impl Into<OwnedFd>, name: &str) -> Launch {
        self.passed = Some((Arc::new(socket.into()), name.into()));
        self
    }

    /// Another command with the same flags, variables and surroundings, for its JSON.
    pub(crate) fn ask(&self, command: &str) -> serde_json::Value {
        let mut launch = self.clone();
        launch.arguments[0] = command.into();
        launch.arguments.push("--json".into());
        let outcome = launch.run();
        outcome.expect_code(0);
        serde_json::from_str(&outcome.stdout).expect("the answer is JSON")
    }

    /// Starts it and waits for its ready line.
    pub(crate) fn start(self) -> Server {
        let mut running = self.spawn();
        match running.ready() {
            Ok((line, address)) => Server { running, address, ready_line: line },
            Err(fault) => {
                running.kill();
                panic!("the server did not become ready: {fault}\n{}", running.report());
            }
        }
    }

    /// Starts it, expecting that it ends by itself.
    pub(crate) fn run(self) -> Outcome {
        let mut running = self.spawn();
        let Some(status) = running.wait(PATIENCE) else {
            running.kill();
            panic!("the process did not end by itself\n{}", running.report());
        };
        running.outcome(status)
    }

    fn spawn(self) -> Running {
        Running::new(spawn_from_lasting_thread(self.command()))
    }

    fn command(&self) -> Command {
        let binary = env!("CARGO_BIN_EXE_corewise");
        let mut command = match &self.passed {
            None => Command::new(binary),
            // LISTEN_PID is the number of the server itself, which only a process that becomes the
            // server can write.
            Some(_) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\"", binary]);
                shell
            }
        };
        command.args(&self.arguments).env_clear().env("RUST_BACKTRACE", "1");
        if let Some((_, name)) = &self.passed {
            command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let launch = self.clone();
        // SAFETY: between fork and exec only async-signal-safe calls are allowed. `prepare` makes
        // system calls only and allocates nothing: errors are built from plain error numbers.
        unsafe { command.pre_exec(move || launch.prepare()) };
        command
    }

    /// Runs in the child, between fork and exec.
    fn prepare(&self) -> io::Result<()> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // Tests end processes by ABRT on purpose; nobody wants their memory as files.
        let no_core = Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum };
        setrlimit(Resource::Core, no_core)?;
        if let Some(count) = self.descriptors {
            let limit = Rlimit { current: Some(count), maximum: Some(count) };
            setrlimit(Resource::Nofile, limit)?;
        }
        if !self.cpus.is_empty() {
            let mut set = CpuSet::new();
            self.cpus.iter().for_each(|&cpu| set.set(cpu));
            sched_setaffinity(None, &set)?;
        }
        if let Some(group) = &self.group {
            let procs = rustix::fs::open(group, OFlags::WRONLY, Mode::empty())?;
            rustix::io::write(procs, b"0")?;
        }
        if let Some((socket, _)) = &self.passed {
            // SAFETY: dup2 touches no memory; what descriptor 3 was in this child is used by
            // nobody any more, since it is about to be replaced by exec.
            if unsafe { libc::dup2(socket.as_raw_fd(), 3) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        if self.io_uring_forbidden {
            forbid_io_uring()?;
        }
        if self.stdin_closed {
            // SAFETY: closing a descriptor by number touches no memory; the child has no object
            // that owns descriptor 0, since it is about to be replaced by exec.
            unsafe { libc::close(0) };
        }
        Ok(())
    }
}

/// Installs a seccomp filter under which io_uring_setup fails with EPERM.
fn forbid_io_uring() -> io::Result<()> {
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let setup = libc::SYS_io_uring_setup as u32;
    let mut filter = [
        libc::sock_filter { code: LOAD_NUMBER, jt: 0, jf: 0, k: 0 },
        libc::sock_filter { code: IF_EQUAL, jt: 0, jf: 1, k: setup },
        libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: refuse },
        libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW },
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: plain integers; without this an unprivileged process may not install a filter.
    let unprivileged = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: `program` points to `filter`, both live until the call returns, and `len` is the
    // number of its elements; the kernel copies the program.
    let installed = unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0)
    };
    if unprivileged != 0 || installed != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Spawns from the one thread that never ends (see the module's text).
fn spawn_from_lasting_thread(command: Command) -> Child {
    type Order = (Command, Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, orders) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in orders {
                // The receiver is gone only if its test has panicked; then nobody wants the child.
                if let Err(unwanted) = reply.send(command.spawn())
                    && let Ok(mut child) = unwanted.0
                {
                    child.kill().expect("an unwanted child can be killed");
                    child.wait().expect("an unwanted child can be reaped");
                }
            }
        });
        sender
    });
    let (reply, result) = channel();
    spawner.send((command, reply)).expect("the spawning thread lives");
    result.recv().expect("the spawning thread answers").expect("the binary can be executed")
}

/// How a process that ended by itself did so.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The exit code must be this one; the message shows what the process said.
    #[track_caller]
    pub(crate) fn expect_code(&self, code: i32) {
        let Outcome { status, stdout, stderr } = self;
        assert_eq!(
            status.code(),
            Some(code),
            "exit {status}\n-- stdout\n{stdout}\n-- stderr\n{stderr}"
        );
    }
}

/// A started process with the two ends of what it says.
#[derive(Debug)]
struct Running {
    child: Child,
    status: Option<ExitStatus>,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    lines: Mutex<Receiver<String>>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Running {
    fn new(mut child: Child) -> Running {
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let (sender, lines) = channel();
        let out = child.stdout.take().expect("stdout is piped");
        let error = child.stderr.take().expect("stderr is piped");
        let readers = vec![
            copy_lines(out, Arc::clone(&stdout), Some(sender)),
            copy_lines(error, Arc::clone(&stderr), None),
        ];
        let lines = Mutex::new(lines);
        Running { child, status: None, stdout, stderr, lines, readers }
    }

    fn ready(&mut self) -> Result<(String, SocketAddr), String> {
        // Generous: a loaded machine may take long to fork, probe and pin.
        let line = lock(&self.lines).recv_timeout(Duration::from_secs(60));
        let line = line.map_err(|error| format!("no ready line: {error}"))?;
        let address = ready_address(&line).ok_or_else(|| format!("odd ready line {line:?}"))?;
        Ok((line, address))
    }

    /// Waits for the end; none if it does not come.
    fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        if self.status.is_none() && wait_for_exit(self.child.id(), patience) {
            self.status = Some(self.child.wait().expect("the child is ours to wait for"));
        }
        self.status
    }

    fn kill(&mut self) {
        let family = process::children(self.child.id());
        if self.status.is_none() {
            self.child.kill().expect("a child that was not reaped can be killed");
            self.status = Some(self.child.wait().expect("the child is ours to wait for"));
        }
        for process in family {
            signal_if_alive(process.pid, Signal::CONT);
            signal_if_alive(process.pid, Signal::KILL);
        }
    }

    fn outcome(&mut self, status: ExitStatus) -> Outcome {
        for reader in self.readers.drain(..) {
            reader.join().expect("the reading threads do not panic");
        }
        Outcome { status, stdout: lock(&self.stdout).clone(), stderr: lock(&self.stderr).clone() }
    }

    fn report(&self) -> String {
        let (stdout, stderr) = (lock(&self.stdout).clone(), lock(&self.stderr).clone());
        format!("-- status {:?}\n-- stdout\n{stdout}\n-- stderr\n{stderr}", self.status)
    }
}

/// Copies whole lines into a buffer, and to a channel if somebody waits for them.
fn copy_lines(
    from: impl Read + Send + 'static,
    into: Arc<Mutex<String>>,
    waiting: Option<Sender<String>>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line).into_owned();
            lock(&into).push_str(&format!("{line}\n"));
            if let Some(sender) = &waiting {
                // Nobody reads on once the server is ready; the buffer keeps the line.
                drop(sender.send(line));
            }
        }
    })
}

/// Finds the address in `ready http://127.0.0.1:PORT ...` or in its JSON form.
fn ready_address(line: &str) -> Option<SocketAddr> {
    let start = line.find("http://")? + "http://".len();
    let rest = &line[start..];
    let end = rest.find(|byte: char| !byte.is_ascii_digit() && byte != '.' && byte != ':');
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

/// A server that said it was ready. Dropping it ends it, and prints what it said if the test fails.
#[derive(Debug)]
pub(crate) struct Server {
    running: Running,
    pub(crate) address: SocketAddr,
    pub(crate) ready_line: String,
}

impl Server {
    /// The supervisor.
    pub(crate) fn pid(&self) -> u32 {
        self.running.child.id()
    }

    /// A new connection.
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// The living shards, in the order of their index.
    pub(crate) fn shards(&self) -> Vec<Process> {
        let mut shards = process::children(self.pid());
        shards.retain(|child| child.shard().is_some());
        shards.sort_by_key(Process::shard);
        shards
    }

    /// The living workers of a pool, in the order of their index.
    pub(crate) fn workers(&self, pool: &str) -> Vec<Process> {
        let mut workers = process::children(self.pid());
        workers.retain(|child| child.worker(pool).is_some());
        workers.sort_by_key(|child| child.worker(pool));
        workers
    }

    /// Waits until so many workers have been ready. The server is once each pool has one; the
    /// others come later, one after the other.
    #[track_caller]
    pub(crate) fn expect_workers(&self, count: usize) {
        wait_until(&format!("{count} workers are ready"), || {
            self.stderr().matches("worker ready").count() >= count
        });
    }

    /// Waits until everybody is there whom the server has announced in its log, which is in JSON.
    #[track_caller]
    pub(crate) fn expect_everybody(&self) {
        let text = self.stderr();
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        let pools = lines.filter(|line: &serde_json::Value| line["message"] == "pool");
        let workers = pools.map(|pool| {
            let places = pool["workers"].as_str().expect("a pool has workers");
            let count = places.split(' ').next().and_then(|word| word.parse::<usize>().ok());
            count.unwrap_or_else(|| panic!("{places:?} begins with a number"))
        });
        self.expect_workers(workers.sum());
    }

    /// Supervisor and children.
    pub(crate) fn tree(&self) -> Vec<u32> {
        let children = process::children(self.pid()).into_iter().map(|child| child.pid);
        std::iter::once(self.pid()).chain(children).collect()
    }

    /// Proportional memory of the whole tree.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.tree().into_iter().map(process::memory_bytes).sum()
    }

    /// Open descriptors of the whole tree.
    pub(crate) fn descriptors(&self) -> usize {
        self.tree().into_iter().map(process::descriptors).sum()
    }

    /// CPU time of the whole tree.
    pub(crate) fn cpu_time(&self) -> Duration {
        self.tree().into_iter().map(process::cpu_time).sum()
    }

    /// What it has written to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        lock(&self.running.stderr).clone()
    }

    /// Sends a signal to the supervisor.
    pub(crate) fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// Whether the supervisor still runs.
    pub(crate) fn is_running(&self) -> bool {
        process::is_alive(self.pid())
    }

    /// Waits for the end that the test has brought about.
    pub(crate) fn wait(&mut self) -> Outcome {
        match self.running.wait(PATIENCE) {
            Some(status) => self.running.outcome(status),
            None => panic!("the server did not end within {PATIENCE:?}"),
        }
    }

    /// TERM, and it must end with 0 and leave no process behind.
    pub(crate) fn stop(mut self) {
        let family = process::children(self.pid());
        self.signal(Signal::TERM);
        let outcome = self.wait();
        outcome.expect_code(0);
        for child in family {
            assert!(!process::is_alive(child.pid), "{} outlived its supervisor", child.comm);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.running.status.is_none() {
            let family = process::children(self.pid());
            for child in &family {
                signal_if_alive(child.pid, Signal::CONT);
            }
            signal_if_alive(self.pid(), Signal::CONT);
            // A test that failed wants its report, not a graceful stop; one that passed and did
            // not call `stop` has nothing to say about the end. So: at once.
            self.running.kill();
        }
        if thread::panicking() {
            eprintln!("server at {}\n{}", self.address, self.running.report());
        }
    }
}

/// A server that several tests share; it lives as long as the test process.
pub(crate) fn shared(
    place: &'static OnceLock<Server>,
    launch: impl FnOnce() -> Launch,
) -> &'static Server {
    place.get_or_init(|| launch().start())
}

/// Sends a signal to a process that must exist.
pub(crate) fn send_signal(pid: u32, signal: Signal) {
    rustix::process::kill_process(to_pid(pid), signal)
        .unwrap_or_else(|error| panic!("signal {signal:?} to {pid}: {error}"));
}

fn signal_if_alive(pid: u32, signal: Signal) {
    if process::is_alive(pid) {
        // It may end between the look and the call; then there is nothing to do.
        let _ = rustix::process::kill_process(to_pid(pid), signal);
    }
}

fn to_pid(pid: u32) -> Pid {
    i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid is positive and fits")
}

/// Waits until a process is dead (reaped or not); says whether it is.
pub(crate) fn wait_for_exit(pid: u32, patience: Duration) -> bool {
    let Ok(fd) = rustix::process::pidfd_open(to_pid(pid), PidfdFlags::empty()) else {
        return true;
    };
    let timeout = Timespec::try_from(patience).expect("a span fits a timespec");
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&timeout)), Ok(count) if count > 0)
}

/// Looks at a condition again and again; the test fails if it never holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        pause(Duration::from_millis(5));
    }
}

/// Gives up the processor for a moment; never used to order events.
pub(crate) fn pause(span: Duration) {
    let timeout = Timespec::try_from(span).expect("a span fits a timespec");
    let _ = poll(&mut [], Some(&timeout));
}

/// A lock whose holder may have panicked: the data is only a report.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tests that load the machine hold this, one at a time.
pub(crate) fn heavy() -> MutexGuard<'static, ()> {
    static HEAVY: Mutex<()> = Mutex::new(());
    lock(&HEAVY)
}

/// Says that what a test is about cannot be brought about on this machine, where the test runner
/// shows it; with COREWISE_STAGE_ALL set that is a failure.
#[track_caller]
pub(crate) fn not_staged(what: &str, need: &str) {
    let text = format!("NOT STAGED: {what}: {need}");
    assert!(std::env::var_os("COREWISE_STAGE_ALL").is_none(), "{text}");
    // Not by a macro: the runner shows what those write only of tests that fail.
    writeln!(io::stderr().lock(), "\n{text}").expect("standard error is there");
}

/// Makes room for so many descriptors in the test process itself.
#[track_caller]
pub(crate) fn need_descriptors(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    assert!(hard >= count, "this test needs {count} descriptors; `ulimit -Hn` allows {hard}");
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .expect("the soft limit may be raised to the hard one");
}

/// How a process ended, for messages and asserts.
pub(crate) fn ended_by_signal(status: ExitStatus) -> Option<i32> {
    status.signal()
}
