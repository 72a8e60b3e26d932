//! The supervisor: start, exit codes, signals, deaths, and what its children look like.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::client::Client;
use crate::harness::process as proc;
use crate::harness::response::Asked;
use crate::harness::{
    Launch, Server, ended_by_signal, heavy, pause, send_signal, wait_for_exit, wait_until,
};

/// Two shards where the machine has two CPUs, else one.
fn shards_possible() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get().min(2))
}

#[track_caller]
fn answers(server: &Server) {
    let response = server.client().get("/user/alive").unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!((response.status, response.text().as_str()), (200, "alive"));
}

#[track_caller]
fn expect_port_free(address: SocketAddr) {
    wait_until("the port is free", || TcpListener::bind(address).is_ok());
}

/// A request that is inside the server and stays there. The demo sleeps 30 s at most, which is
/// longer than any wait of these tests: what waits for such a request fails.
fn hold(server: &Server, milliseconds: u32) -> Client {
    let mut client = server.client();
    let request = format!("GET /sleep/{milliseconds} HTTP/1.1\r\nHost: it\r\n\r\n");
    client.send(request.as_bytes()).unwrap();
    // The server has read the request once nothing waits in its sockets any more.
    wait_until("the request has been read", || {
        proc::sockets(server.address.port()).iter().all(|socket| socket.receive_queue == 0)
    });
    client
}

// ---- start ----

#[test]
fn stdout_carries_one_ready_line_and_stderr_the_start_screen() {
    let mut server = Launch::demo().shards(1).start();
    let port = server.address.port();
    assert!(
        server.ready_line.starts_with(&format!("ready http://127.0.0.1:{port}")),
        "{:?}",
        server.ready_line
    );
    answers(&server);
    assert!(server.stderr().contains(&port.to_string()), "start screen: {}", server.stderr());
    server.signal(Signal::TERM);
    let outcome = server.wait();
    outcome.expect_code(0);
    assert_eq!(outcome.stdout, format!("{}\n", server.ready_line));
}

#[test]
fn logs_and_ready_line_are_json_where_that_is_asked_for() {
    let mut server = Launch::demo().shards(1).set("log.format", "json").start();
    answers(&server);
    server.signal(Signal::TERM);
    let outcome = server.wait();
    outcome.expect_code(0);
    for line in outcome.stdout.lines().chain(outcome.stderr.lines()) {
        let value: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert!(value.is_object(), "{line}");
    }
    assert_eq!(outcome.stdout.lines().count(), 1);
}

#[test]
fn help_and_version_go_to_stdout_and_end_well() {
    for (flag, word) in [("--help", "demo"), ("--version", env!("CARGO_PKG_VERSION"))] {
        let outcome = Launch::bare(&[flag]).run();
        outcome.expect_code(0);
        assert!(outcome.stdout.contains(word), "{flag}: {outcome:?}");
    }
}

#[test]
fn a_bad_command_line_is_exit_2() {
    let lines: [&[&str]; 4] = [
        &["--no-such-flag"],
        &["no-such-command"],
        &["demo", "--no-such-flag"],
        &["demo", "stray"],
    ];
    for arguments in lines {
        let outcome = Launch::bare(arguments).run();
        outcome.expect_code(2);
        assert!(outcome.stdout.is_empty() && !outcome.stderr.is_empty(), "{outcome:?}");
    }
}

#[test]
fn bad_settings_are_exit_78_and_all_named_at_once() {
    let outcome =
        Launch::demo().set("limits.body", "banana").set("limits.keep-alive", "soon").run();
    outcome.expect_code(78);
    for word in ["body", "banana", "keep-alive", "soon"] {
        assert!(outcome.stderr.contains(word), "{word:?} is not in {}", outcome.stderr);
    }
    assert!(outcome.stdout.is_empty(), "{outcome:?}");
}

#[test]
fn a_bad_configuration_file_is_exit_78_with_the_place() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"[limits]\nkeepalive = \"75s\"\n").unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    // The variable is COREWISE_CONFIG: `set` turns a plain word into that.
    let outcome = Launch::demo().set("config", &path).run();
    outcome.expect_code(78);
    for word in ["keepalive", "keep-alive", &format!("{path}:2")] {
        assert!(outcome.stderr.contains(word), "{word:?} is not in {}", outcome.stderr);
    }
}

#[test]
fn more_shards_than_cpus_are_refused_with_the_reason() {
    let outcome = Launch::demo().shards(4096).run();
    assert!(matches!(outcome.status.code(), Some(78 | 2)), "{outcome:?}");
    assert!(outcome.stderr.contains("4096"), "{outcome:?}");
}

#[test]
fn a_taken_port_is_exit_71_and_names_the_holder() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let outcome = Launch::bare(&["demo", "--bind", &address.to_string()]).run();
    outcome.expect_code(71);
    for word in [process::id().to_string(), address.port().to_string()] {
        assert!(outcome.stderr.contains(&word), "{word:?} is not in {}", outcome.stderr);
    }
    assert!(outcome.stdout.is_empty(), "{outcome:?}");
}

#[test]
fn a_second_server_never_shares_the_port_of_the_first() {
    let server = Launch::demo().shards(1).start();
    let outcome = Launch::bare(&["demo", "--bind", &server.address.to_string()]).run();
    outcome.expect_code(71);
    assert!(outcome.stderr.contains(&server.pid().to_string()), "{}", outcome.stderr);
    answers(&server);
    server.stop();
}

#[test]
fn a_port_that_is_left_can_be_taken_at_once() {
    let server = Launch::demo().shards(1).start();
    let address = server.address;
    answers(&server);
    server.stop();
    let again = Launch::bare(&["demo", "--bind", &address.to_string(), "--shards", "1"]).start();
    assert_eq!(again.address, address);
    answers(&again);
    again.stop();
}

#[test]
fn without_io_uring_it_is_exit_69_with_cause_and_fix() {
    let outcome = Launch::demo().without_io_uring().run();
    outcome.expect_code(69);
    for word in ["io_uring", "seccomp"] {
        assert!(outcome.stderr.contains(word), "{word:?} is not in {}", outcome.stderr);
    }
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    assert!(outcome.stdout.is_empty(), "{outcome:?}");
}

#[test]
fn a_start_without_stdin_works_and_nothing_is_read_from_descriptor_0() {
    let server = Launch::demo().shards(1).without_stdin().start();
    answers(&server);
    let shard = &server.shards()[0];
    assert_eq!(proc::descriptor(shard.pid, 0).unwrap().to_str(), Some("/dev/null"));
    server.stop();
}

// ---- what the children look like ----

#[test]
fn children_have_names_groups_parents_and_their_own_listener_only() {
    let count = shards_possible();
    let server = Launch::demo().shards(count).start();
    let port = server.address.port();
    let shards = server.shards();
    assert_eq!(shards.len(), count, "{shards:?}");
    for (index, shard) in shards.iter().enumerate() {
        assert_eq!(shard.comm, format!("cw:shard/{index}"));
        assert_eq!(proc::title(shard.pid), format!("corewise: shard/{index}"));
        assert_eq!(proc::group(shard.pid), Some(shard.pid), "its own process group");
        assert_eq!(proc::parent(shard.pid), Some(server.pid()));
        assert_eq!(proc::descriptor(shard.pid, 0).unwrap().to_str(), Some("/dev/null"));
        assert_eq!(proc::listeners_held(shard.pid, port), 1, "listeners of shard {index}");
    }
    let listening = proc::sockets(port).iter().filter(|socket| socket.listening).count();
    assert_eq!(listening, count, "one listener per shard, all at one port");
    assert_eq!(proc::listeners_held(server.pid(), port), count, "the supervisor keeps them all");
    server.stop();
}

#[test]
fn every_task_of_a_shard_is_pinned_to_its_cpu() {
    let count = shards_possible();
    let server = Launch::demo().shards(count).start();
    // What starts threads must have done so.
    assert_eq!(server.client().get("/sleep/1").unwrap().status, 200);
    let mut cpus = vec![];
    for shard in server.shards() {
        let mut of_shard: Vec<String> = proc::tasks(shard.pid)
            .into_iter()
            .filter_map(|tid| proc::task_status(shard.pid, tid, "Cpus_allowed_list"))
            .collect();
        of_shard.dedup();
        assert_eq!(of_shard.len(), 1, "tasks of {} are on {of_shard:?}", shard.comm);
        assert!(of_shard[0].parse::<usize>().is_ok(), "{} is on {}", shard.comm, of_shard[0]);
        cpus.extend(of_shard);
    }
    cpus.sort();
    cpus.dedup();
    assert_eq!(cpus.len(), count, "shards share a CPU");
    server.stop();
}

// ---- deaths ----

#[test]
fn a_killed_shard_is_replaced_and_the_others_stay() {
    let count = shards_possible();
    let server = Launch::demo().shards(count).start();
    for round in 0..4 {
        let before = server.shards();
        let victim = before[round % count].clone();
        send_signal(victim.pid, Signal::KILL);
        assert!(wait_for_exit(victim.pid, crate::harness::client::PATIENCE));
        wait_until("the shard is replaced", || {
            let now = server.shards();
            now.len() == count && now.iter().all(|shard| shard.pid != victim.pid)
        });
        let now = server.shards();
        let stayed = before.iter().filter(|shard| now.contains(shard)).count();
        assert_eq!(stayed, count - 1, "other shards were restarted");
        answers(&server);
    }
    wait_until("the dead are reaped", || proc::zombies(server.pid()).is_empty());
    server.stop();
}

#[test]
fn what_waits_in_the_backlog_of_a_dead_shard_is_answered_by_its_successor() {
    let server = Launch::demo().shards(1).start();
    answers(&server);
    let port = server.address.port();
    let victim = server.shards()[0].clone();
    send_signal(victim.pid, Signal::STOP);
    wait_until("the shard is stopped", || proc::is_stopped(victim.pid));
    let mut clients: Vec<Client> = (0..50).map(|_| server.client()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        let request = format!("GET /user/{index} HTTP/1.1\r\nHost: it\r\n\r\n");
        client.send(request.as_bytes()).unwrap();
    }
    let waiting = || -> usize {
        let sockets = proc::sockets(port);
        sockets.iter().filter(|socket| socket.listening).map(|socket| socket.receive_queue).sum()
    };
    wait_until("all fifty wait in the backlog", || waiting() == 50);
    send_signal(victim.pid, Signal::KILL);
    for (index, client) in clients.iter_mut().enumerate() {
        let response = client.response(Asked::default());
        let response = response.unwrap_or_else(|fault| panic!("client {index}: {fault}"));
        assert_eq!(response.text(), index.to_string());
    }
    server.stop();
}

#[test]
fn a_shard_that_is_told_to_leave_finishes_its_work_and_is_replaced() {
    let server = Launch::demo().shards(1).start();
    let victim = server.shards()[0].clone();
    let mut inside = hold(&server, 800);
    send_signal(victim.pid, Signal::TERM);
    assert_eq!(inside.response(Asked::default()).unwrap().status, 200);
    assert!(wait_for_exit(victim.pid, crate::harness::client::PATIENCE));
    wait_until("a successor serves", || {
        server.shards().first().is_some_and(|shard| shard.pid != victim.pid)
    });
    answers(&server);
    server.stop();
}

#[test]
fn without_its_supervisor_a_shard_finishes_and_leaves_and_the_port_is_free() {
    let mut server = Launch::demo().shards(shards_possible()).start();
    let family = server.shards();
    let mut inside = hold(&server, 800);
    server.signal(Signal::KILL);
    assert_eq!(inside.response(Asked::default()).unwrap().status, 200, "a drain, not a cut");
    for shard in &family {
        let gone = wait_for_exit(shard.pid, crate::harness::client::PATIENCE);
        assert!(gone, "{} stayed without its supervisor", shard.comm);
    }
    expect_port_free(server.address);
    assert_eq!(ended_by_signal(server.wait().status), Some(9));
}

#[test]
fn while_all_stop_a_shard_that_dies_before_its_queue_is_empty_is_replaced() {
    let mut server = Launch::demo().shards(1).set("shutdown.grace", "60s").start();
    answers(&server);
    let victim = server.shards()[0].clone();
    send_signal(victim.pid, Signal::STOP);
    wait_until("the shard is stopped", || proc::is_stopped(victim.pid));
    let mut clients: Vec<Client> = (0..20).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send(b"GET /user/queued HTTP/1.1\r\nHost: it\r\n\r\n").unwrap();
    }
    server.signal(Signal::TERM);
    wait_until("the stop has begun", || server.stderr().contains("stopping"));
    send_signal(victim.pid, Signal::KILL);
    for (index, client) in clients.iter_mut().enumerate() {
        let response = client.response(Asked::default());
        let response = response.unwrap_or_else(|fault| panic!("client {index}: {fault}"));
        assert_eq!(response.text(), "queued");
    }
    server.wait().expect_code(0);
    expect_port_free(server.address);
}

#[test]
fn while_all_stop_a_shard_that_dies_after_its_queue_was_emptied_is_not_replaced() {
    let mut server = Launch::demo().shards(1).set("shutdown.grace", "60s").start();
    let shard = server.shards()[0].clone();
    let _inside = hold(&server, 30_000);
    server.signal(Signal::TERM);
    // All copies of the listener are closed, the supervisor's too.
    expect_refused(server.address);
    send_signal(shard.pid, Signal::KILL);
    let outcome = server.wait();
    outcome.expect_code(0);
    assert!(!outcome.stderr.contains("its place is filled again"), "{outcome:?}");
}

#[track_caller]
fn expect_refused(address: SocketAddr) {
    wait_until("new connections are refused", || Client::try_connect(address).is_err());
}

// ---- signals ----

#[test]
fn term_finishes_what_runs_and_ends_with_0() {
    let mut server = Launch::demo().shards(shards_possible()).start();
    let family = server.shards();
    let mut inside = hold(&server, 1000);
    server.signal(Signal::TERM);
    let response = inside.response(Asked::default()).unwrap();
    assert_eq!(response.status, 200);
    assert!(response.connection("close"), "the last answer says so: {response:?}");
    server.wait().expect_code(0);
    assert!(family.iter().all(|shard| !proc::is_alive(shard.pid)));
    expect_port_free(server.address);
}

#[test]
fn term_twice_is_term_once() {
    let mut server = Launch::demo().shards(1).start();
    let mut inside = hold(&server, 1000);
    server.signal(Signal::TERM);
    server.signal(Signal::TERM);
    assert_eq!(inside.response(Asked::default()).unwrap().status, 200);
    server.wait().expect_code(0);
}

#[test]
fn idle_connections_do_not_hold_up_a_stop() {
    let mut server = Launch::demo().shards(1).set("shutdown.grace", "600s").start();
    let mut idle = server.client();
    assert_eq!(idle.get("/user/a").unwrap().status, 200);
    let mut silent = server.client();
    answers(&server);
    server.signal(Signal::TERM);
    idle.expect_close().unwrap();
    silent.expect_close().unwrap();
    server.wait().expect_code(0);
}

#[test]
fn int_finishes_what_runs_and_ends_with_0() {
    let mut server = Launch::demo().shards(1).start();
    let mut inside = hold(&server, 1000);
    server.signal(Signal::INT);
    assert_eq!(inside.response(Asked::default()).unwrap().status, 200);
    server.wait().expect_code(0);
}

#[test]
fn a_second_int_stops_at_once_with_130() {
    let mut server = Launch::demo().shards(1).set("limits.handler-timeout", "600s").start();
    let family = server.shards();
    let _inside = hold(&server, 30_000);
    server.signal(Signal::INT);
    expect_refused(server.address);
    server.signal(Signal::INT);
    server.wait().expect_code(130);
    assert!(family.iter().all(|shard| !proc::is_alive(shard.pid)));
    expect_port_free(server.address);
}

#[test]
fn quit_does_not_wait_for_what_runs() {
    let launch = Launch::demo().shards(1).set("limits.handler-timeout", "600s");
    let mut server = launch.set("shutdown.grace", "600s").start();
    let family = server.shards();
    let _inside = hold(&server, 30_000);
    server.signal(Signal::QUIT);
    let outcome = server.wait();
    assert!(outcome.status.code().is_some(), "it ends by itself: {outcome:?}");
    assert!(family.iter().all(|shard| !proc::is_alive(shard.pid)));
}

#[test]
fn what_outlasts_the_grace_is_cancelled() {
    let launch = Launch::demo().shards(1).set("limits.handler-timeout", "600s");
    let mut server = launch.set("shutdown.grace", "1s").set("shutdown.force", "1s").start();
    let family = server.shards();
    let _inside = hold(&server, 30_000);
    server.signal(Signal::TERM);
    let outcome = server.wait();
    assert!(outcome.status.code().is_some(), "it ends by itself: {outcome:?}");
    assert!(family.iter().all(|shard| !proc::is_alive(shard.pid)));
}

#[test]
fn signals_of_later_releases_and_stray_ones_end_nothing() {
    let server = Launch::demo().shards(1).start();
    let shards = server.shards();
    let signals = [
        Signal::HUP,
        Signal::USR1,
        Signal::USR2,
        Signal::WINCH,
        Signal::TTIN,
        Signal::TTOU,
        Signal::PIPE,
        Signal::URG,
        Signal::CONT,
    ];
    for signal in signals {
        server.signal(signal);
        answers(&server);
        assert!(server.is_running(), "{signal:?} ended the supervisor");
    }
    assert_eq!(server.shards(), shards, "a signal to the supervisor restarted a shard");
    server.stop();
}

#[test]
fn a_supervisor_that_was_suspended_blames_nobody() {
    let _alone = heavy();
    let server = Launch::demo().shards(1).start();
    let shards = server.shards();
    server.signal(Signal::STOP);
    wait_until("the supervisor is stopped", || proc::is_stopped(server.pid()));
    answers(&server);
    // Long enough for a tick or two to be missed; the outcome must be the same however long.
    pause(Duration::from_millis(1500));
    server.signal(Signal::CONT);
    answers(&server);
    assert_eq!(server.shards(), shards);
    server.stop();
}

#[test]
fn nothing_is_left_in_the_file_system() {
    let list = || -> Vec<_> {
        let entries = fs::read_dir("/dev/shm").into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains("corewise"))
            .collect()
    };
    let mut server = Launch::demo().shards(1).start();
    answers(&server);
    assert!(list().is_empty(), "{:?}", list());
    server.signal(Signal::KILL);
    drop(server.wait());
    assert!(list().is_empty(), "{:?}", list());
}
