//! Subjects that do what servers do and should not: never get ready, die, lie, stay, fork.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::running::EventError;
use super::start::StartError;
use super::tree::processes;
use super::*;
use crate::result::{Group, Role, State};

/// A folder of its own for each test.
struct Scene {
    folder: PathBuf,
}

impl Scene {
    fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("corewise-bench-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("1k"), [b'x'; 1024]).unwrap();
        fs::write(folder.join("server.py"), SERVER).unwrap();
        Self { folder }
    }

    fn place(&self) -> Place {
        Place::new(0, &self.folder, &self.folder.join("run"))
    }

    /// The Python server below, in one of its ways.
    fn server(&self, ways: &str) -> Ready {
        let script = self.folder.join("server.py");
        let command = format!("s=python3 {} {{port}} {{root}} {ways}", script.display());
        Description::from_command(&command).unwrap().find().unwrap()
    }

    fn start(&self, ways: &str) -> Running {
        self.server(ways).start(&self.place()).unwrap()
    }

    fn shell(&self, script: &str, place: &Place) -> Result<Running, StartError> {
        let command = format!("s=sh -c '{script}' {{port}}");
        let ready = Description::from_command(&command).unwrap().find().unwrap();
        ready.start(place)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).expect("the folder was made by this test");
    }
}

#[track_caller]
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a process is gone, or is a corpse that somebody else has to bury.
fn is_gone(process: u32) -> bool {
    tree::states(process).all(|state| matches!(state, 'X' | 'Z'))
}

/// The processes of the tree, once there are so many.
fn wait_for_processes(running: &Running, count: usize) -> Vec<u32> {
    wait_until("processes", || processes(running.process()).len() == count);
    processes(running.process())
}

#[test]
fn a_server_is_started_asked_and_stopped() {
    let scene = Scene::new("plain");
    let mut running = scene.start("");
    let answer = running.check(Route::Plaintext).unwrap();
    assert!(answer.bytes > 13, "head and body: {answer:?}");
    running.check(Route::File { name: "1k" }).unwrap();
    let wrong = running.check(Route::Json).unwrap_err().to_string();
    assert!(wrong.starts_with("GET /json: answered \"HTTP/1.1 404"), "{wrong}");
    let root = running.process();
    let ended = running.stop().unwrap();
    assert!(ended.status.is_some() && is_gone(root));
}

#[test]
fn it_runs_on_its_cpu_and_in_its_folder() {
    let scene = Scene::new("place");
    let running = scene.start("");
    let status = fs::read_to_string(format!("/proc/{}/status", running.process())).unwrap();
    assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
    let folder = fs::read_link(format!("/proc/{}/cwd", running.process())).unwrap();
    assert_eq!(folder, fs::canonicalize(scene.folder.join("run/s")).unwrap());
}

#[test]
fn a_program_that_is_not_here_says_how_to_get_it() {
    let subject = Description::from_command("s=no-such-program {port}").unwrap();
    let State::Missing { why, fix } = subject.find().unwrap_err() else { panic!("not missing") };
    assert!(why.contains("no-such-program") && fix.contains("PATH"));
}

#[test]
fn who_dies_at_once_has_last_words() {
    let scene = Scene::new("dies");
    let error = scene.shell("echo the cards are lost >&2; exit 3", &scene.place()).unwrap_err();
    assert!(matches!(error.why, start::Why::Ended(status) if status.code() == Some(3)));
    assert!(error.to_string().ends_with("\nthe cards are lost"), "{error}");
}

#[test]
fn who_is_never_ready_is_ended() {
    let scene = Scene::new("never");
    let place = Place { start_patience: Duration::from_millis(500), ..scene.place() };
    let error = scene.shell("echo $$ >&2; sleep 600", &place).unwrap_err();
    assert!(matches!(error.why, start::Why::NotReady(..)), "{error}");
    assert!(error.to_string().contains("refused"), "what was seen last: {error}");
    let process: u32 = error.to_string().lines().last().unwrap().parse().unwrap();
    assert!(is_gone(process));
}

#[test]
fn who_answers_wrongly_does_not_start() {
    let scene = Scene::new("wrong");
    let error = scene.server("wrong").start(&scene.place()).unwrap_err();
    let start::Why::Wrong(what) = &error.why else { panic!("{error}") };
    assert!(what.contains("wrong content: from byte 7 \"Xorld!\""), "{what}");
}

#[test]
fn who_cannot_be_executed_is_an_error_and_nobody_waits() {
    let scene = Scene::new("interpreter");
    let program = scene.folder.join("program");
    fs::write(&program, "#!/no/such/interpreter\n").unwrap();
    rustix::fs::chmod(&program, rustix::fs::Mode::RWXU).unwrap();
    let command = format!("s={} {{port}}", program.display());
    let ready = Description::from_command(&command).unwrap().find().unwrap();
    let error = ready.start(&scene.place()).unwrap_err();
    assert!(matches!(error.why, start::Why::Io(_)), "{error}");
}

#[test]
fn who_does_not_leave_is_killed_with_all_of_its_children() {
    let scene = Scene::new("stays");
    let place = Place { stop_patience: Duration::from_millis(100), ..scene.place() };
    let running = scene.server("stays forks").start(&place).unwrap();
    let all = wait_for_processes(&running, 3);
    let ended = running.stop().unwrap();
    assert!(ended.status.is_none(), "it was killed: {ended:?}");
    assert!(all.into_iter().all(is_gone));
}

#[test]
fn children_that_their_parent_leaves_behind_are_ended() {
    let scene = Scene::new("orphans");
    let running = scene.start("forks");
    let all = wait_for_processes(&running, 3);
    assert!(running.stop().unwrap().status.is_some(), "the parent leaves, its children do not");
    assert!(all.into_iter().all(is_gone));
}

#[test]
fn orphans_in_sessions_of_their_own_are_ended() {
    let scene = Scene::new("daemons");
    let running = scene.start("daemon");
    let path = scene.folder.join("run/s/daemon");
    wait_until("the daemon's number", || fs::read_to_string(&path).is_ok_and(|t| !t.is_empty()));
    let daemon: u32 = fs::read_to_string(&path).unwrap().parse().unwrap();
    assert!(!is_gone(daemon) && !processes(running.process()).contains(&daemon));
    assert!(running.roots().contains(&daemon) && running.roots()[0] == running.process());
    let tree = crate::runner::usage::tree(&running.roots()).unwrap();
    assert!(tree.processes.contains(&daemon), "its time is the subject's");
    running.pause().unwrap();
    assert!(tree::states(daemon).all(|state| state == 'T'), "who waits waits with its daemons");
    running.resume().unwrap();
    drop(running);
    assert!(is_gone(daemon));
}

#[test]
fn a_paused_tree_stands_still_and_goes_on() {
    let scene = Scene::new("paused");
    let mut running = scene.start("forks");
    let all = wait_for_processes(&running, 3);
    for _ in 0..3 {
        running.pause().unwrap();
        for process in &all {
            assert!(tree::states(*process).all(|state| state == 'T'), "{process}");
        }
        running.resume().unwrap();
        running.check(Route::Plaintext).unwrap();
    }
    running.pause().unwrap();
    assert!(running.stop().unwrap().status.is_some(), "a paused server can be stopped");
    assert!(all.into_iter().all(is_gone));
}

#[test]
fn who_has_died_meanwhile_is_found_out() {
    let scene = Scene::new("died");
    let mut running = scene.start("");
    tree::signal(running.process(), rustix::process::Signal::KILL).unwrap();
    wait_until("its end", || is_gone(running.process()));
    wait_until("the report", || {
        let wrong = running.check(Route::Plaintext).unwrap_err().to_string();
        wrong.contains("it has ended (signal: 9 (SIGKILL))")
    });
    running.pause().unwrap();
    running.stop().unwrap();
}

#[test]
fn events_happen_to_those_who_have_them() {
    let scene = Scene::new("events");
    let mut ready = scene.server("serves-in-child");
    ready.description = described(&ready, "child-may-die = true\nreload = 'hup'\n");
    let mut running = ready.start(&scene.place()).unwrap();
    let before = wait_for_processes(&running, 2);

    running.event(Event::Kill).unwrap();
    wait_until("another child", || {
        let now = processes(running.process());
        now.len() == 2 && now[1] != before[1]
    });
    wait_until("its answer", || running.check(Route::Plaintext).is_ok());
    assert_eq!(running.process(), before[0]);

    running.event(Event::Reload).unwrap();
    wait_until("the reload", || scene.folder.join("run/s/reloaded").exists());

    let address = running.address();
    running.event(Event::Restart).unwrap();
    assert_eq!(running.address(), address);
    assert_ne!(running.process(), before[0]);
    running.check(Route::Plaintext).unwrap();
    assert!(before.into_iter().all(is_gone));
}

#[test]
fn events_that_a_subject_does_not_have_are_declined() {
    let scene = Scene::new("declined");
    let mut running = scene.start("");
    for event in [Event::Kill, Event::Reload] {
        let error = running.event(event).unwrap_err();
        assert!(matches!(error, EventError::Declined(_)), "{error}");
    }
}

#[test]
fn a_relay_needs_a_server_behind_it() {
    let relay = Description::named("haproxy-relay").unwrap();
    let State::Missing { why, fix } = relay.find().unwrap_err() else { panic!("not missing") };
    assert!(why.contains("behind it") && fix.contains("haproxy-relay:ADDRESS:PORT"), "{fix}");
}

#[test]
fn configurations_and_files_are_written_for_the_subject() {
    let scene = Scene::new("config");
    let mut ready = scene.server("");
    let lines = "config = '{port} { {root} }'\nready = 'answer'\n[files]\nnote = 'text'\n";
    ready.description = described(&ready, lines);
    let running = ready.start(&scene.place()).unwrap();
    let folder = scene.folder.join("run/s");
    let root = fs::canonicalize(&scene.folder).unwrap();
    let expected = format!("{} {{ {} }}", running.address().port(), root.display());
    assert_eq!(fs::read_to_string(folder.join("config")).unwrap(), expected);
    assert_eq!(fs::read_to_string(folder.join("note")).unwrap(), "text");
}

#[test]
#[ignore = "needs the peers: `make peers` gets them and runs it"]
fn every_peer_does_what_its_file_says() {
    let scene = Scene::new("peers");
    let behind = Description::named("nginx").unwrap().find().unwrap();
    let behind = behind.start(&scene.place()).unwrap();
    let theirs = [Role::Peer, Role::Reference, Role::Relay];
    for mut description in Description::embedded() {
        if !theirs.contains(&description.role) {
            continue;
        }
        if description.needs_upstream() {
            let word = format!("{}:{}", description.name, behind.address());
            description = Description::named(&word).unwrap();
        }
        let built = format!("peers/target/release/{}", description.program);
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join(built);
        if built.exists() {
            description.program = built.display().to_string();
        }
        let ready = description.find().unwrap_or_else(|state| panic!("{state:?}"));
        let running = ready.start(&scene.place()).unwrap_or_else(|error| panic!("{error}"));
        check_peer(running);
    }
}

/// Everything that a description promises, and that nothing is left when it is over.
fn check_peer(mut running: Running) {
    let description = running.description().clone();
    let name = &description.name;
    println!("{name}: {:?}", processes(running.process()));
    let check = |running: &mut Running, route| {
        running.check(route).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
    };
    if description.declines("", Group::Files).is_none() {
        check(&mut running, Route::File { name: "1k" });
    }
    if description.declines("", Group::Mixed).is_none() {
        check(&mut running, Route::Burn { ms: 3 });
    }
    running.pause().unwrap();
    let all = processes(running.process());
    assert!(all.iter().all(|process| tree::states(*process).all(|state| state == 'T')), "{name}");
    running.resume().unwrap();
    for event in [Event::Kill, Event::Reload, Event::Restart] {
        if description.supports(event).is_ok() {
            let before = processes(running.process());
            running.event(event).unwrap_or_else(|error| panic!("{name}: {event:?}: {error}"));
            println!("{name}: {event:?}");
            // Whoever reads its configuration again may do so without another process.
            let other = || event == Event::Reload || processes(running.process()) != before;
            wait_until("other processes", other);
            wait_until("an answer", || running.check(Route::Plaintext).is_ok());
        }
    }
    let all = processes(running.process());
    let ended = running.stop().unwrap();
    println!("{name}: {ended:?}");
    assert!(ended.status.is_some() && all.into_iter().all(is_gone), "{name}");
}

/// The description of a subject with further lines.
fn described(ready: &Ready, lines: &str) -> Description {
    let start = &ready.description.start;
    let text = format!(
        "title = 's'\nrole = 'peer'\nprogram = 'python3'\ninstall = 'x'\nstart = '{start}'\n{lines}"
    );
    Description::parse("s", &text).unwrap()
}

#[test]
fn nothing_survives_a_runner_that_is_killed() {
    let mut runner = Command::new(env::current_exe().unwrap())
        .args(["subject::tests::a_runner_that_will_be_killed", "--exact", "--ignored"])
        .arg("--nocapture")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(runner.stdout.take().unwrap()).lines();
    let line = lines.map(Result::unwrap).find(|line| line.contains("processes: ")).unwrap();
    let numbers = line.split_once("processes: ").unwrap().1.split(' ');
    let all: Vec<u32> = numbers.map(|number| number.parse().unwrap()).collect();
    assert!(all.len() == 3 && !all.iter().any(|process| is_gone(*process)));
    runner.kill().unwrap();
    runner.wait().unwrap();
    wait_until("the end of the subject", || all.iter().all(|process| is_gone(*process)));
    let left = format!("corewise-bench-{}-killed", runner.id());
    fs::remove_dir_all(env::temp_dir().join(left)).unwrap();
}

#[test]
#[ignore = "another test starts and kills it"]
fn a_runner_that_will_be_killed() {
    let scene = Scene::new("killed");
    let running = scene.start("forks");
    let all = wait_for_processes(&running, 3);
    let numbers: Vec<String> = all.iter().map(u32::to_string).collect();
    println!("\nprocesses: {}", numbers.join(" "));
    // Paused, so that nothing ends by itself; and for ever, so that only a kill ends us.
    running.pause().unwrap();
    loop {
        thread::park();
    }
}

/// `server.py PORT ROOT WAY...`
const SERVER: &str = r#"
import http.server, os, signal, sys, time
port, root, ways = int(sys.argv[1]), sys.argv[2], sys.argv[3:]

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/plaintext":
            body = b"Hello, Xorld!" if "wrong" in ways else b"Hello, World!"
        elif self.path.startswith("/file/"):
            body = open(root + "/" + self.path[6:], "rb").read()
        else:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass

def idle():
    while True:
        time.sleep(600)

http.server.ThreadingHTTPServer.allow_reuse_address = True
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
signal.signal(signal.SIGHUP, lambda *_: open("reloaded", "w").close())
if "stays" in ways:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "forks" in ways and os.fork() == 0:
    os.fork()
    idle()
if "daemon" in ways and os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("daemon", "w").write(str(os.getpid()))
        idle()
    os._exit(0)
if "daemon" in ways:
    os.wait()
if "serves-in-child" in ways:
    def leave(*_):
        os.kill(child, signal.SIGTERM)
        os._exit(0)
    while True:
        child = os.fork()
        if child == 0:
            break
        signal.signal(signal.SIGTERM, leave)
        os.waitpid(child, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
server.serve_forever()
"#;
