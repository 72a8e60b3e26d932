//! What service managers and proxies ask for: sockets in the file system, sockets that were opened
//! by somebody else, notifications, another user.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::process::Signal;

use crate::harness::client::PATIENCE;
use crate::harness::{Launch, Server, process, send_signal, wait_until};

const REQUEST: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n";

fn demo_at(path: &Path, query: &str) -> Launch {
    let bind = format!("127.0.0.1:0,unix:{}{query}", path.display());
    Launch::bare(&["demo", "--bind", &bind])
}

fn place(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("app.sock")
}

fn get(mut stream: impl std::io::Read + std::io::Write) -> std::io::Result<String> {
    stream.write_all(REQUEST)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn get_at(path: &Path) -> std::io::Result<String> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    get(stream)
}

#[track_caller]
fn expect_hello(answer: std::io::Result<String>) {
    let answer = answer.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("Hello, World!"), "{answer:?}");
}

#[test]
fn a_socket_in_the_file_system_is_served_by_every_shard_and_goes_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder);
    let mut server = demo_at(&path, "?mode=0640").shards(2).start();
    assert!(server.ready_line.contains(&format!("unix:{}", path.display())));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    for _ in 0..50 {
        expect_hello(get_at(&path));
    }
    server.signal(Signal::TERM);
    server.wait().expect_code(0);
    assert!(!path.exists());
}

#[test]
fn stopping_serves_everybody_who_reached_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder);
    let mut server = demo_at(&path, "").shards(2).start();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let path = path.clone();
            thread::spawn(move || {
                // Until the name is gone, whoever is connected is answered.
                while let Ok(stream) = UnixStream::connect(&path) {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    expect_hello(get(stream));
                }
            })
        })
        .collect();
    wait_until("clients are served", || server.shards().len() == 2);
    server.signal(Signal::TERM);
    server.wait().expect_code(0);
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn what_a_killed_server_left_is_replaced_and_a_living_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder);
    let first = demo_at(&path, "").shards(1).start();
    let second = demo_at(&path, "").shards(1).run();
    second.expect_code(71);
    assert!(second.stderr.contains("another process listens there"), "{}", second.stderr);
    expect_hello(get_at(&path));
    let family = first.tree();
    first.signal(Signal::KILL);
    wait_until("everybody is gone", || family.iter().all(|pid| !process::is_alive(*pid)));
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    let _third = demo_at(&path, "").shards(1).start();
    expect_hello(get_at(&path));
}

#[test]
fn a_file_in_the_way_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder);
    fs::write(&path, "precious").unwrap();
    let outcome = demo_at(&path, "").run();
    outcome.expect_code(71);
    assert!(outcome.stderr.contains("no socket is there"), "{}", outcome.stderr);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_socket_that_somebody_else_opened_is_served_and_given_back() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    for bind in ["systemd:web", "fd:3"] {
        let launch = Launch::bare(&["demo", "--bind", bind]).shards(2);
        let mut server = launch.pass(socket.try_clone().unwrap(), "web").start();
        assert_eq!(server.address, address);
        expect_hello(TcpStream::connect(address).and_then(get));
        server.signal(Signal::TERM);
        server.wait().expect_code(0);
        // Who comes between two servers waits for the next one.
        let waiting = TcpStream::connect(address).unwrap();
        let launch = Launch::bare(&["demo", "--bind", bind]).shards(1);
        let _next = launch.pass(socket.try_clone().unwrap(), "web").start();
        expect_hello(get(waiting));
    }
}

#[test]
fn a_socket_that_is_not_there_is_said() {
    let outcome = Launch::bare(&["demo", "--bind", "systemd:web"]).run();
    outcome.expect_code(71);
    assert!(outcome.stderr.contains("systemd passes no socket"), "{}", outcome.stderr);
    let outcome = Launch::bare(&["demo", "--bind", "fd:77"]).run();
    outcome.expect_code(71);
    assert!(outcome.stderr.contains("cannot listen on fd:77"), "{}", outcome.stderr);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let named = Launch::demo().shards(1).pass(socket, "web").start();
    wait_until("the socket that nobody names is named", || {
        named.stderr().contains("systemd passes a socket `web` on which nobody is served")
    });
}

/// Stands in for systemd.
struct Manager {
    _folder: tempfile::TempDir,
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new() -> Manager {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager { _folder: folder, socket, path }
    }

    fn start(&self, launch: Launch) -> Server {
        launch.environment("NOTIFY_SOCKET", self.path.to_str().unwrap()).start()
    }

    /// Waits until it is told something with this text; what it was told until then.
    #[track_caller]
    fn expect(&self, wanted: &str) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer).unwrap_or_else(|error| {
                panic!("{wanted} was not told, but {told:?}: {error}");
            });
            told.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            if told.last().is_some_and(|message| message.contains(wanted)) {
                return told;
            }
        }
    }
}

#[test]
fn the_service_manager_is_told_what_happens() {
    let manager = Manager::new();
    let mut server = manager.start(Launch::demo().shards(1));
    let told = manager.expect("READY=1\n");
    assert!(told.iter().any(|message| message.contains("EXTEND_TIMEOUT_USEC=")), "{told:?}");
    manager.expect("STATUS=1 shard, pool cpu ");
    server.signal(Signal::TERM);
    manager.expect("STOPPING=1\n");
    server.wait().expect_code(0);
}

#[test]
fn the_watchdog_is_fed_while_shards_make_progress() {
    let manager = Manager::new();
    let launch = Launch::demo().shards(1).environment("WATCHDOG_USEC", "400000");
    let server = manager.start(launch.set("server.shard-stall", "30s"));
    manager.expect("READY=1\n");
    for _ in 0..3 {
        manager.expect("WATCHDOG=1\n");
    }
    // A turn that does not end: the supervisor lives, but the server does not.
    let mut client = server.client();
    client.send(b"GET /spin/3000 HTTP/1.1\r\nHost: it\r\n\r\n").unwrap();
    wait_until("the watchdog is not fed", || {
        let quiet = std::time::Duration::from_millis(1000);
        manager.socket.set_read_timeout(Some(quiet)).unwrap();
        manager.socket.recv(&mut [0; 4096]).is_err()
    });
    manager.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    manager.expect("WATCHDOG=1\n");
}

#[test]
fn everybody_but_the_supervisor_becomes_the_user() {
    if !rustix::process::geteuid().is_root() {
        let outcome = Launch::demo().set("server.user", "root").run();
        outcome.expect_code(77);
        assert!(outcome.stderr.contains("cannot become the user `root`"), "{}", outcome.stderr);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder);
    let server = demo_at(&path, "?mode=0600").shards(1).set("server.user", "nobody").start();
    server.expect_workers(1);
    let nobody = fs::metadata(&path).unwrap().uid();
    assert_ne!(nobody, 0);
    for pid in server.tree() {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let uids: Vec<u32> =
            line("Uid:").split_whitespace().map(|id| id.parse().unwrap()).collect();
        let expected = if pid == server.pid() { 0 } else { nobody };
        assert!(uids.iter().all(|uid| *uid == expected), "{pid}: {uids:?}");
        if pid != server.pid() {
            let groups: Vec<&str> = line("Groups:").split_whitespace().collect();
            assert!(!groups.contains(&"0"), "{pid} is still in root's group: {groups:?}");
            assert_eq!(line("CapEff:").trim(), "0000000000000000");
        }
    }
    let mut client = server.client();
    let answer = client.get("/fib/10").unwrap();
    assert_eq!(answer.status, 200);
    // Who is replaced becomes it too.
    let worker = server.workers("cpu")[0].pid;
    send_signal(worker, Signal::KILL);
    wait_until("the worker is replaced by one of the same user", || {
        server.workers("cpu").first().is_some_and(|now| {
            now.pid != worker
                && fs::metadata(format!("/proc/{}", now.pid))
                    .is_ok_and(|found| found.uid() == nobody)
        })
    });
}

#[test]
fn a_user_that_nobody_knows_is_refused() {
    let outcome = Launch::demo().set("server.user", "nobody-is-called-this").run();
    outcome.expect_code(78);
    assert!(outcome.stderr.contains("getent passwd"), "{}", outcome.stderr);
}

#[test]
fn somebody_elses_name_is_not_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = place(&folder);
    let mut server = demo_at(&path, "").shards(1).start();
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    server.signal(Signal::TERM);
    server.wait().expect_code(0);
    assert!(path.exists());
}
