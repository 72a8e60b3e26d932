//! The supervisor with real processes and a shard of a few lines.
//!
//! `run` forks, which takes a process with a single thread, so there is no test harness: this
//! program calls itself with `serve MODE` for each story. A shard here answers every connection
//! with its number and misbehaves as its mode says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod jobs;
mod pools;
mod shard;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::panic::catch_unwind;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use corewise::sys::signal::{Signal, ignore};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    if let [_, verb, mode, flags @ ..] = arguments.as_slice()
        && verb == "serve"
    {
        let serve = if mode.starts_with("pool-") { pools::serve } else { shard::serve };
        return ExitCode::from(serve(mode, flags).code());
    }
    let filter = arguments.iter().skip(1).find(|argument| !argument.starts_with('-'));
    let stories = STORIES.iter().chain(&pools::STORIES).chain(&jobs::STORIES);
    let count = stories.clone().count();
    let chosen = stories.filter(|(name, _)| filter.is_none_or(|part| name.contains(part)));
    let mut failed = 0;
    for (name, story) in chosen {
        let passed = catch_unwind(story).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
    }
    println!("\ntest result: {failed} failed of {count}");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

type Story = fn();
const STORIES: [(&str, Story); 25] = [
    ("serves_and_stops", serves_and_stops),
    ("children_own_only_their_own_things", children_own_only_their_own_things),
    ("a_taken_port_names_its_holder", a_taken_port_names_its_holder),
    ("a_missing_engine_is_69", a_missing_engine_is_69),
    ("threads_are_refused_with_71", threads_are_refused),
    ("an_ignored_chld_hurts_nobody", an_ignored_chld_hurts_nobody),
    ("a_child_that_cannot_be_watched_is_ended", a_child_that_cannot_be_watched_is_ended),
    ("never_ready_is_75", never_ready_is_75),
    ("a_final_reason_is_passed_on", a_final_reason_is_passed_on),
    ("a_panic_at_boot_ends_the_child_alone", a_panic_at_boot_ends_the_child_alone),
    ("killed_shards_are_replaced_without_a_lost_client", killed_shards_are_replaced),
    ("term_loses_no_client", term_loses_no_client),
    ("int_is_graceful", int_is_graceful),
    ("int_int_is_130", int_int_is_130),
    ("quit_is_fast", quit_is_fast),
    ("force_ends_what_does_not_leave", force_ends_what_does_not_leave),
    ("shards_leave_when_the_supervisor_is_killed", shards_leave_when_the_supervisor_is_killed),
    ("a_stalled_shard_is_replaced", a_stalled_shard_is_replaced),
    ("a_suspended_supervisor_blames_nobody", a_suspended_supervisor_blames_nobody),
    ("other_signals_end_nobody", other_signals_end_nobody),
    ("a_shard_that_gets_term_has_a_successor", a_shard_that_gets_term_has_a_successor),
    ("orphans_are_reaped", orphans_are_reaped),
    ("term_to_everybody_loses_no_client", term_to_everybody_loses_no_client),
    ("a_closed_channel_keeps_nobody_busy", a_closed_channel_keeps_nobody_busy),
    ("nobody_has_to_listen", nobody_has_to_listen),
];

/// A running server; it is ended and reaped when the value goes.
struct Server {
    child: Child,
    ready: String,
    stderr: Option<thread::JoinHandle<String>>,
}

impl Server {
    /// Starts one and waits for its ready line, or for its end.
    fn start(mode: &str, flags: &[&str]) -> Self {
        Self::start_by(Command::new(env::current_exe().unwrap()), mode, flags)
    }

    /// The same with a command that was prepared.
    fn start_by(command: Command, mode: &str, flags: &[&str]) -> Self {
        let mut server = Self::spawn(command, mode, flags);
        let stdout = server.child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut server.ready).unwrap();
        server
    }

    /// The same without waiting.
    fn spawn(mut command: Command, mode: &str, flags: &[&str]) -> Self {
        let mut child = command
            .args(["serve", mode, "--bind", "127.0.0.1:0", "--log-format", "pretty"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).map(|_| text).unwrap_or_default()
        });
        Self { child, ready: String::new(), stderr: Some(stderr) }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn address(&self) -> SocketAddr {
        let url = self.ready.trim_end().strip_prefix("ready http://").expect("a ready line");
        url.parse().unwrap()
    }

    /// Its children that are not zombies, oldest first.
    fn shards(&self) -> Vec<u32> {
        children_of(self.pid())
    }

    fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for the end; the exit code and what was written to standard error.
    fn end(mut self) -> (Option<i32>, String) {
        let begin = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < PATIENCE, "it does not end");
            thread::sleep(TICK);
        }
        let code = self.child.wait().unwrap().code();
        (code, self.stderr.take().unwrap().join().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        for pid in self.shards() {
            signal(pid, "KILL");
        }
        // Ends at the latest with this; both fail only if it has ended meanwhile.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn children_of(parent: u32) -> Vec<u32> {
    let mut children: Vec<u32> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&pid| {
            state_and_parent(pid).is_some_and(|(state, of)| of == parent && state != 'Z')
        })
        .collect();
    children.sort_unstable();
    children
}

fn state_and_parent(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind_name) = stat.rsplit_once(") ")?;
    let mut fields = behind_name.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn is_alive(pid: u32) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| state != 'Z')
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "kill -{name} {pid}");
}

/// Asks once; the number of the shard that answered.
fn ask(address: SocketAddr) -> std::io::Result<u32> {
    let mut client = TcpStream::connect(address)?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.write_all(b"?")?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    answer.trim().parse().map_err(std::io::Error::other)
}

/// Asks for a path; status and body of the answer.
fn ask_http(address: SocketAddr, path: &str) -> (u16, String) {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(client, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status");
    (status.parse().unwrap(), body.to_owned())
}

#[track_caller]
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(TICK);
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(5);

fn serves_and_stops() {
    let server = Server::start("good", &[]);
    let shards = server.shards();
    assert!(shards.contains(&ask(server.address()).unwrap()));
    let address = server.address();
    server.signal("TERM");
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("listening   http://127.0.0.1:"), "{stderr}");
    assert!(stderr.contains("ready in "), "{stderr}");
    assert_eq!(stderr.matches("shard left").count(), shards.len(), "{stderr}");
    assert!(TcpStream::connect(address).is_err());
}

fn children_own_only_their_own_things() {
    let server = Server::start("good", &[]);
    let allowed = fs::read_to_string("/proc/self/status").unwrap();
    for (index, pid) in server.shards().into_iter().enumerate() {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
        assert_eq!(read("comm").trim_end(), format!("cw:shard/{index}"));
        let title = read("cmdline");
        assert_eq!(title.trim_end_matches('\0'), format!("corewise: shard/{index}"));
        let stdin = fs::read_link(format!("/proc/{pid}/fd/0")).unwrap();
        assert_eq!(stdin.to_str(), Some("/dev/null"));
        // Three standard streams, one listener, channel, signals, the supervisor's pidfd.
        assert_eq!(fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(), 7);
        assert_eq!(read("maps").matches("corewise-page").count(), 1);
        let stat = read("stat");
        let group = stat.rsplit_once(") ").unwrap().1.split(' ').nth(2).unwrap().to_owned();
        assert_eq!(group, pid.to_string(), "a process group of its own");
        let status = read("status");
        let cpus = status.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap();
        assert!(cpus.rsplit_once('\t').unwrap().1.parse::<usize>().is_ok(), "{cpus}, {allowed}");
    }
    let title = fs::read_to_string(format!("/proc/{}/cmdline", server.pid())).unwrap();
    assert_eq!(title.trim_end_matches('\0'), "corewise: supervisor");
}

fn a_taken_port_names_its_holder() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let (code, stderr) = Server::start("good", &["--bind", &address]).end();
    // The flag above adds port 0, which is free; the second address is not.
    assert_eq!(code, Some(71), "{stderr}");
    assert!(stderr.contains(&format!("taken by pid {} (", std::process::id())), "{stderr}");
    assert!(stderr.contains("fix: "), "{stderr}");
}

fn a_missing_engine_is_69() {
    for (mode, part) in [
        ("no-engine", "forbidden here"),
        ("engine-kills", "signal SYS"),
        ("engine-panics", "exit code 101"),
    ] {
        let (code, stderr) = Server::start(mode, &[]).end();
        assert_eq!(code, Some(69), "{mode}: {stderr}");
        assert!(stderr.contains(part) && stderr.contains("fix: "), "{mode}: {stderr}");
    }
}

fn threads_are_refused() {
    let (code, stderr) = Server::start("has-threads", &[]).end();
    assert_eq!(code, Some(71), "{stderr}");
    assert!(stderr.contains("this process has 2 threads"), "{stderr}");
    assert!(!stderr.contains("engine") && stderr.contains("fix: "), "{stderr}");
}

fn an_ignored_chld_hurts_nobody() {
    let mut command = Command::new(env::current_exe().unwrap());
    // SAFETY: signal(2) with SIG_IGN, which allocates nothing and takes no lock, is all that runs
    // between fork and exec.
    unsafe { command.pre_exec(|| ignore(Signal::Child)) };
    let server = Server::start_by(command, "good", &["--shards", "1"]);
    let [first] = server.shards()[..] else { panic!("one shard") };
    signal(first, "KILL");
    wait_until("a successor", || server.shards().len() == 1 && !is_alive(first));
    server.signal("TERM");
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("signal KILL"), "{stderr}");
}

fn a_child_that_cannot_be_watched_is_ended() {
    let (code, stderr) = Server::start("cannot-be-watched", &["--shards", "1"]).end();
    assert_eq!(code, Some(75), "{stderr}");
    assert_eq!(stderr.matches("shard cannot be started").count(), 5, "{stderr}");
    assert!(!stderr.contains(shard::STRAY), "{stderr}");
}

fn never_ready_is_75() {
    let (code, stderr) = Server::start("dies-at-boot", &["--shards", "1"]).end();
    assert_eq!(code, Some(75), "{stderr}");
    assert_eq!(stderr.matches("shard died").count(), 5, "{stderr}");
}

fn a_final_reason_is_passed_on() {
    let (code, stderr) = Server::start("fails-at-boot", &[]).end();
    assert_eq!(code, Some(71), "{stderr}");
    assert!(stderr.contains("no memory for this test"), "{stderr}");
}

fn a_panic_at_boot_ends_the_child_alone() {
    let (code, stderr) = Server::start("panics-at-boot", &["--shards", "1"]).end();
    assert_eq!(code, Some(75), "{stderr}");
    assert!(stderr.contains("ended=\"exit code 101\""), "{stderr}");
}

fn killed_shards_are_replaced() {
    let server = Server::start("good", &["--shards", "1"]);
    let address = server.address();
    let mut gaps = Vec::new();
    for _ in 0..20 {
        let [victim] = server.shards()[..] else { panic!("one shard") };
        let begin = Instant::now();
        signal(victim, "KILL");
        // No matter whether it arrives before or after the death is seen: it waits in the queue.
        let answered = ask(address).expect("neither refused nor reset");
        if answered != victim {
            gaps.push(begin.elapsed());
        }
        wait_until("the successor is alone", || server.shards().len() == 1 && !is_alive(victim));
        thread::sleep(Duration::from_millis(120));
    }
    gaps.sort_unstable();
    println!(
        "     kill to answer: median {:?}, worst {:?}",
        gaps[gaps.len() / 2],
        gaps[gaps.len() - 1]
    );
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
}

fn term_loses_no_client() {
    stop_under_load(|server| server.signal("TERM"));
}

/// As a service manager does that signals every process of a group.
fn term_to_everybody_loses_no_client() {
    stop_under_load(|server| {
        let pids: Vec<String> = server.shards().iter().map(u32::to_string).collect();
        let own = server.pid().to_string();
        // A shard may be gone before its turn comes, so the result says nothing.
        let _ = Command::new("kill").arg("-TERM").args(&pids).arg(&own).status().unwrap();
    });
}

fn stop_under_load(stop: impl Fn(&Server)) {
    for _ in 0..5 {
        let server = Server::start("good", &[]);
        let address = server.address();
        let clients: Vec<_> =
            (0..4).map(|_| thread::spawn(move || connect_until_refused(address))).collect();
        thread::sleep(Duration::from_millis(50));
        stop(&server);
        let lost: Vec<String> =
            clients.into_iter().filter_map(|client| client.join().unwrap().err()).collect();
        assert!(lost.is_empty(), "{lost:?}");
        assert_eq!(server.end().0, Some(0));
    }
}

/// Every connection that is made gets its answer, until one is refused.
fn connect_until_refused(address: SocketAddr) -> Result<u32, String> {
    for served in 0.. {
        let mut client = match TcpStream::connect(address) {
            Ok(client) => client,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                return Ok(served);
            }
            Err(error) => return Err(format!("connect after {served}: {error}")),
        };
        let mut answer = String::new();
        let asked = client.write_all(b"?").and_then(|()| client.read_to_string(&mut answer));
        match asked {
            Ok(_) if answer.ends_with('\n') => {}
            Ok(_) => return Err(format!("cut after {served}: {answer:?}")),
            Err(error) => return Err(format!("lost after {served}: {error}")),
        }
    }
    unreachable!("the loop ends by a return")
}

fn int_is_graceful() {
    let server = Server::start("good", &[]);
    server.signal("INT");
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("signal=INT grace_ms=5000"), "{stderr}");
}

fn int_int_is_130() {
    let server = Server::start("never-leaves", &[]);
    let shards = server.shards();
    server.signal("INT");
    thread::sleep(Duration::from_millis(50));
    server.signal("INT");
    assert_eq!(server.end().0, Some(130));
    assert!(shards.into_iter().all(|pid| !is_alive(pid)));
}

fn quit_is_fast() {
    let server = Server::start("good", &["--graceful-timeout", "1h"]);
    let begin = Instant::now();
    server.signal("QUIT");
    assert_eq!(server.end().0, Some(0));
    assert!(begin.elapsed() < PATIENCE);
}

fn force_ends_what_does_not_leave() {
    let flags = ["--graceful-timeout", "100ms", "--shutdown-force", "100ms"];
    for mode in ["never-leaves", "ignores-abort"] {
        let server = Server::start(mode, &flags);
        let shards = server.shards();
        server.signal("TERM");
        let (code, stderr) = server.end();
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("is ended"), "{stderr}");
        assert!(stderr.contains(&format!("at work  shards={}", shards.len())), "{stderr}");
        let expected = if mode == "never-leaves" { "signal ABRT" } else { "signal KILL" };
        assert_eq!(stderr.matches(expected).count(), shards.len(), "{stderr}");
    }
}

fn shards_leave_when_the_supervisor_is_killed() {
    let server = Server::start("good", &[]);
    let (shards, address) = (server.shards(), server.address());
    assert!(!shards.is_empty());
    server.signal("KILL");
    assert_eq!(server.end().0, None);
    wait_until("the shards leave", || !shards.iter().any(|&pid| is_alive(pid)));
    TcpListener::bind(address).expect("nobody holds the port");
}

fn a_stalled_shard_is_replaced() {
    let server = Server::start("stalls", &["--shards", "1", "--server-shard-stall", "200ms"]);
    let [stalled] = server.shards()[..] else { panic!("one shard") };
    wait_until("it is replaced", || !is_alive(stalled) && server.shards().len() == 1);
    server.signal("QUIT");
    let (_, stderr) = server.end();
    assert!(stderr.contains("shard stalled") && stderr.contains("signal ABRT"), "{stderr}");
}

fn a_suspended_supervisor_blames_nobody() {
    let server = Server::start("slow-turns", &["--shards", "1", "--server-shard-stall", "1s"]);
    let shards = server.shards();
    // In mode slow-turns every turn lasts 700 ms; the looks before and after the pause see one.
    server.signal("STOP");
    thread::sleep(Duration::from_millis(3000));
    server.signal("CONT");
    thread::sleep(Duration::from_millis(500));
    assert_eq!(server.shards(), shards);
    server.signal("TERM");
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("supervisor stood still"), "{stderr}");
    assert!(!stderr.contains("stalled"), "{stderr}");
}

fn other_signals_end_nobody() {
    let server = Server::start("good", &[]);
    let shards = server.shards();
    for name in ["HUP", "USR1", "USR2", "WINCH", "TTIN", "TTOU"] {
        server.signal(name);
        for &shard in &shards {
            signal(shard, name);
        }
    }
    ask(server.address()).unwrap();
    assert_eq!(server.shards(), shards);
    server.signal("TERM");
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
    for name in ["HUP", "USR1", "USR2", "WINCH", "TTIN", "TTOU"] {
        assert!(stderr.contains(&format!("not supported yet  signal={name}")), "{name}: {stderr}");
    }
}

fn a_shard_that_gets_term_has_a_successor() {
    let server = Server::start("good", &["--shards", "1"]);
    let [first] = server.shards()[..] else { panic!("one shard") };
    signal(first, "TERM");
    wait_until("a successor", || {
        let shards = server.shards();
        shards.len() == 1 && shards[0] != first
    });
    assert_ne!(ask(server.address()).unwrap(), first);
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
}

fn orphans_are_reaped() {
    let server = Server::start("makes-orphans", &["--shards", "1"]);
    ask(server.address()).unwrap();
    let zombies = || {
        let all = fs::read_dir("/proc").unwrap();
        let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|&pid: &u32| state_and_parent(pid) == Some(('Z', server.pid()))).count()
    };
    wait_until("only the shard is left", || server.shards().len() == 1 && zombies() == 0);
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
}

fn a_closed_channel_keeps_nobody_busy() {
    let server = Server::start("closes-channel", &["--shards", "1"]);
    // User and system time, in ticks of 10 ms.
    let busy = || -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    ask(server.address()).unwrap();
    let before = busy();
    thread::sleep(Duration::from_secs(1));
    let spent = busy() - before;
    assert!(spent < 10, "{spent} ticks in a second");
    server.signal("QUIT");
    assert_eq!(server.end().0, Some(0));
}

fn nobody_has_to_listen() {
    let mut deaf = Command::new(env::current_exe().unwrap())
        .args(["serve", "good", "--bind", "127.0.0.1:0", "--shards", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(deaf.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    drop(deaf.stderr.take());
    let server = Server { child: deaf, ready, stderr: Some(thread::spawn(String::new)) };
    let [first] = server.shards()[..] else { panic!("one shard") };
    // The death and the successor are each worth a line, which nobody reads.
    signal(first, "KILL");
    wait_until("a successor", || server.shards().len() == 1 && !is_alive(first));
    assert_ne!(ask(server.address()).unwrap(), first);
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
}
