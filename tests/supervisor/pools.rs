//! Pools as processes: templates and workers of a real application, killed and failing in every
//! way, and the memory that they share.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};
use std::thread;

use corewise::config::options::POOL_OPTIONS;
use corewise::config::placement::WorkerPlace;
use corewise::config::{Config, Machine, Purpose, Sources};
use corewise::sys::process::own_pid;
use corewise::{App, Exit, Pool, Request, offload};

use super::{Server, Story, ask_http, children_of, is_alive, jobs, shard, signal, wait_until};

pub(crate) const STORIES: [(&str, Story); 17] = [
    ("pools_start_in_order_and_stop_in_reverse", pools_start_in_order_and_stop_in_reverse),
    ("pool_processes_own_only_their_own_things", pool_processes_own_only_their_own_things),
    ("pool_tasks_run_where_and_how_they_were_placed", pool_tasks_run_where_they_were_placed),
    ("pool_hooks_run_in_their_processes", pool_hooks_run_in_their_processes),
    ("a_killed_worker_is_replaced_and_disturbs_nobody", a_killed_worker_is_replaced),
    ("a_killed_template_is_replaced_and_disturbs_nobody", a_killed_template_is_replaced),
    ("a_worker_that_gets_term_leaves_and_is_replaced", a_worker_that_gets_term_leaves),
    ("kills_in_any_order_leave_nobody", kills_in_any_order_leave_nobody),
    ("a_hang_outlives_no_supervisor", a_hang_outlives_no_supervisor),
    ("a_failed_load_is_4_with_its_text", a_failed_load_is_4),
    ("workers_that_never_become_ready_are_3", workers_that_never_become_ready_are_3),
    ("a_place_that_is_forbidden_is_77", a_place_that_is_forbidden_is_77),
    ("a_worker_that_hangs_at_its_end_is_ended", a_worker_that_hangs_at_its_end_is_ended),
    ("routes_and_pools_that_do_not_match_are_78", routes_and_pools_that_do_not_match_are_78),
    ("memory_that_is_refused_is_71_with_its_fix", memory_that_is_refused_is_71),
    ("pool_memory_is_where_it_is_needed", pool_memory_is_where_it_is_needed),
    ("deaths_between_two_looks_are_all_seen", deaths_between_two_looks_are_all_seen),
];

/// What the pool loads.
struct Tables {
    pid: u32,
}

fn light(_: &Request) -> &'static str {
    "light\n"
}

fn heavy(_: &Request, tables: &Tables) -> String {
    format!("loaded by {}\n", tables.pid)
}

fn wrong(_: &Request, _: &String) -> &'static str {
    "never\n"
}

/// Says which hook runs in which process. In one piece: others say something too.
fn say(hook: &str) {
    let line = format!("hook {hook} in {}\n", own_pid());
    io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Computes for ever, as a bug would.
fn hang() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

/// The number of the right to be less nice.
const CAP_SYS_NICE: u32 = 23;

/// Runs the application whose pool behaves as `mode` says.
pub(crate) fn serve(mode: &str, flags: &[String]) -> Exit {
    let app = App::new().get("/light", light).pool("cpu", pool(mode.to_owned()));
    let app = jobs::add(app);
    let app = match mode {
        "pool-wrong-type" => app.get("/heavy", offload("cpu", wrong)),
        "pool-unknown" => app.get("/heavy", offload("gpu", heavy)),
        _ => app.get("/heavy", offload("cpu", heavy)),
    };
    app.run_with(config(flags))
}

fn pool(mode: String) -> Pool<Tables> {
    let is = move |name: &str| mode == name;
    let (load, fork, after, warm, exit) =
        (is.clone(), is.clone(), is.clone(), is.clone(), is.clone());
    Pool::new()
        .on_load(move || {
            say("on_load");
            match () {
                () if load("pool-load-fails") => return Err("no tables in this test"),
                () if load("pool-load-panics") => panic!("tables fall over"),
                () if load("pool-load-hangs") => hang(),
                () if load("pool-load-threads") => _ = thread::spawn(thread::park),
                () => {}
            }
            Ok(Tables { pid: own_pid().get() })
        })
        .before_fork(move |_| {
            say("before_fork");
            match () {
                () if fork("pool-fork-panics") => panic!("no fork today"),
                () if fork("pool-fork-hangs") => hang(),
                () => {}
            }
        })
        .after_fork(move |tables| {
            say(&format!("after_fork({})", tables.pid));
            if after("pool-after-fork-fails") { Err("not this one") } else { Ok(()) }
        })
        .warm(move |_| {
            say("warm");
            match () {
                () if warm("pool-warm-panics") => panic!("too cold"),
                () if warm("pool-warm-hangs") => hang(),
                () => {}
            }
        })
        .on_ready(|_| {
            let of = |name| env::var(name).unwrap_or_default();
            say(&format!("on_ready({}, {})", of("FLAVOUR"), of("OMP_NUM_THREADS")));
        })
        .on_exit(move |_| {
            say("on_exit");
            if exit("pool-exit-hangs") {
                hang();
            }
        })
}

/// The settings of a mode; `--pool key=value` is for its pool.
fn config(flags: &[String]) -> Config {
    let mut sources = Sources { native_pools: vec!["cpu".to_owned()], ..Sources::default() };
    for pair in flags.chunks(2) {
        let [flag, value] = pair else { panic!("flags come with a value") };
        if flag != "--pool" {
            sources.flags.push((shard::option(flag), value.clone()));
            continue;
        }
        let (key, value) = value.split_once('=').expect("key=value");
        let def = POOL_OPTIONS.iter().find(|def| def.name == key).expect("an option of pools");
        sources.flags.push((def.id, value.to_owned()));
    }
    let resolved = sources.resolve_for(Purpose::Start, &Machine::read().unwrap());
    resolved.unwrap_or_else(|faults| panic!("{faults}")).1
}

/// Where the workers of a default pool are.
fn places() -> Vec<WorkerPlace> {
    let pools = config(&[]).placement.pools;
    pools.into_iter().flat_map(|pool| pool.workers).collect()
}

/// Starts a server in a session of its own, by which everything that comes of it is found, and
/// waits until all its workers are there.
pub(crate) fn start(mode: &str, flags: &[&str]) -> Server {
    let server = Server::start_by(in_a_session(), mode, flags);
    if !server.ready.is_empty() {
        wait_until("every worker", || workers(&server).len() == places().len());
    }
    server
}

fn in_a_session() -> Command {
    let mut command = Command::new("setsid");
    command.arg(env::current_exe().unwrap());
    command
}

/// The living children of a server by what `ps` shows of them.
pub(crate) fn members(server: &Server) -> BTreeMap<String, u32> {
    let title = |pid: u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).ok();
    let children = children_of(server.pid()).into_iter();
    let named = children.filter_map(|pid| {
        let title = title(pid)?;
        let name = title.trim_end_matches('\0').strip_prefix("corewise: ")?.to_owned();
        Some((name, pid))
    });
    named.collect()
}

pub(crate) fn member(server: &Server, name: &str) -> u32 {
    members(server).get(name).copied().unwrap_or_else(|| panic!("no {name}"))
}

pub(crate) fn workers(server: &Server) -> BTreeMap<String, u32> {
    let mut members = members(server);
    members.retain(|name, _| name.starts_with("cpu/") && name != "cpu/template");
    members
}

/// Everybody who is left of the session of a server.
fn session(leader: u32) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap();
    let pids = pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|&pid: &u32| {
        is_alive(pid) && stat(pid).is_some_and(|fields| fields[3] == leader.to_string())
    })
    .collect()
}

/// The fields of a stat line from the third on.
fn stat(pid: impl std::fmt::Display) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind_name) = text.rsplit_once(") ")?;
    Some(behind_name.split_whitespace().map(str::to_owned).collect())
}

/// Kills a process that may be gone already.
fn kill(pid: u32) {
    let mut kill = Command::new("kill");
    kill.args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status().unwrap();
}

fn pools_start_in_order_and_stop_in_reverse() {
    let server = start("pool-good", &["--log-level", "debug"]);
    assert_eq!(ask_http(server.address(), "/light"), (200, "light\n".to_owned()));
    let count = places().len();
    server.signal("TERM");
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
    let place = |text: &str| stderr.find(text).unwrap_or_else(|| panic!("no {text}: {stderr}"));
    let last = |text: &str| stderr.rfind(text).unwrap_or_else(|| panic!("no {text}: {stderr}"));
    assert!(last("  shard ready") < place("hook on_load"), "{stderr}");
    assert!(place("  template ready") < place("hook before_fork"), "{stderr}");
    assert!(place("  worker ready") < place("ready in"), "{stderr}");
    assert!(last("  shard left") < place("  worker left"), "{stderr}");
    assert!(last("  worker left") < place("  template left"), "{stderr}");
    assert_eq!(stderr.matches("  worker left").count(), count, "{stderr}");
    assert!(stderr.contains("pool cpu    native"), "{stderr}");
    assert!(!stderr.contains("panic") && !stderr.contains("pool.cpu"), "{stderr}");
}

fn pool_processes_own_only_their_own_things() {
    let server = start("pool-good", &[]);
    for (name, pid) in members(&server) {
        if name.starts_with("shard/") {
            continue;
        }
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
        assert_eq!(read("comm").trim_end(), format!("cw:{name}"));
        let fields = stat(pid).unwrap();
        assert_eq!(fields[1], server.pid().to_string(), "{name}: the supervisor is its parent");
        assert_eq!(fields[2], pid.to_string(), "{name}: a process group of its own");
        let link = |fd: &str| fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
        assert_eq!(link("0").to_str(), Some("/dev/null"), "{name}");
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let kinds: Vec<String> = fds
            .filter_map(|entry| {
                let link = fs::read_link(entry.ok()?.path()).ok()?;
                Some(link.to_str()?.to_owned())
            })
            .collect();
        let count = |part: &str| kinds.iter().filter(|kind| kind.contains(part)).count();
        // A worker's channel; no listener and nobody else's channel.
        assert_eq!(count("socket:"), 1, "{name}: {kinds:?}");
        assert_eq!(count("signalfd"), 1, "{name}: {kinds:?}");
        assert_eq!(count("pidfd"), 1, "{name}: {kinds:?}");
        assert!(!read("maps").contains("corewise-page"), "{name} has a page of somebody else");
        if name == "cpu/template" {
            // Three standard streams, those above, the eventfd of TERM with its copy, and what
            // belongs to the memory of its pool.
            assert_eq!(kinds.len(), 3 + 3 + 2 + 2 + doorbells(), "{name}: {kinds:?}");
        }
    }
}

fn pool_tasks_run_where_they_were_placed() {
    let server = start("pool-good", &["--pool", "nice=3"]);
    let inherited: i32 = stat("self").unwrap()[16].parse().unwrap();
    for (index, place) in places().into_iter().enumerate() {
        let pid = member(&server, &format!("cpu/{index}"));
        let tasks: Vec<_> = fs::read_dir(format!("/proc/{pid}/task")).unwrap().collect();
        assert!(tasks.len() > 1, "the executor has a second thread");
        for task in tasks {
            let task = task.unwrap().path();
            let status = fs::read_to_string(task.join("status")).unwrap();
            let cpus = status.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap();
            let cpus = cpus.rsplit_once('\t').unwrap().1.to_owned();
            if let Some(cpu) = place.cpu {
                assert_eq!(cpus, cpu.to_string(), "{}", task.display());
            }
            let name = task.strip_prefix("/proc").unwrap().display().to_string();
            let fields = stat(name).unwrap();
            let policy = if place.background { libc::SCHED_IDLE } else { libc::SCHED_OTHER };
            assert_eq!(fields[38], policy.to_string(), "{}", task.display());
            assert_eq!(fields[16], (inherited + 3).min(19).to_string(), "{}", task.display());
        }
    }
}

fn pool_hooks_run_in_their_processes() {
    let flags = ["--pool", "env={ FLAVOUR = \"sweet\" }", "--pool", "preload=on"];
    let server = start("pool-good", &flags);
    let (template, workers) = (member(&server, "cpu/template"), workers(&server));
    let pinned = places().iter().all(|place| place.cpu.is_some());
    server.signal("TERM");
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stderr.matches("hook on_load").count(), 1, "{stderr}");
    let said = |hook: String| assert!(stderr.contains(&hook), "no {hook}: {stderr}");
    said(format!("hook on_load in {template}\n"));
    assert_eq!(
        stderr.matches(&format!("hook before_fork in {template}\n")).count(),
        workers.len(),
        "{stderr}"
    );
    let threads =
        if pinned { env::var("OMP_NUM_THREADS").unwrap_or("1".into()) } else { String::new() };
    for pid in workers.values() {
        said(format!("hook after_fork({template}) in {pid}\n"));
        said(format!("hook warm in {pid}\n"));
        said(format!("hook on_ready(sweet, {threads}) in {pid}\n"));
        said(format!("hook on_exit in {pid}\n"));
    }
    let server = start("pool-good", &["--pool", "preload=off"]);
    let (template, count) = (member(&server, "cpu/template"), self::workers(&server).len());
    server.signal("TERM");
    let (_, stderr) = server.end();
    assert!(!stderr.contains(&format!("in {template}\n")), "{stderr}");
    assert_eq!(stderr.matches("hook on_load").count(), count, "{stderr}");
}

fn a_killed_worker_is_replaced() {
    let server = start("pool-good", &[]);
    let before = members(&server);
    let killed = before["cpu/0"];
    for _ in 0..3 {
        let pid = member(&server, "cpu/0");
        signal(pid, "KILL");
        wait_until("a successor", || {
            members(&server).get("cpu/0").is_some_and(|successor| *successor != pid)
        });
        assert_eq!(ask_http(server.address(), "/light").0, 200);
    }
    let mut after = members(&server);
    assert_ne!(after.remove("cpu/0"), Some(killed));
    assert!(after.iter().all(|(name, pid)| before.get(name) == Some(pid)), "{before:?} {after:?}");
    server.signal("TERM");
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stderr.matches("worker died, its place is filled again").count(), 3, "{stderr}");
    assert!(stderr.contains("worker=cpu/0 generation=1 incarnation=3"), "{stderr}");
}

fn a_killed_template_is_replaced() {
    let server = start("pool-good", &[]);
    let (template, before) = (member(&server, "cpu/template"), workers(&server));
    signal(template, "KILL");
    wait_until("a successor", || {
        members(&server).get("cpu/template").is_some_and(|successor| *successor != template)
    });
    assert_eq!(workers(&server), before, "they go on");
    signal(before["cpu/0"], "KILL");
    wait_until("a worker of the new template", || {
        workers(&server).get("cpu/0").is_some_and(|pid| *pid != before["cpu/0"])
    });
    let successor = member(&server, "cpu/template");
    let worker = member(&server, "cpu/0");
    server.signal("TERM");
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("template died, its place is filled again"), "{stderr}");
    assert!(stderr.contains(&format!("after_fork({successor}) in {worker}\n")), "{stderr}");
}

fn a_worker_that_gets_term_leaves() {
    let server = start("pool-good", &[]);
    let pid = member(&server, "cpu/0");
    signal(pid, "TERM");
    wait_until("a successor", || {
        members(&server).get("cpu/0").is_some_and(|successor| *successor != pid)
    });
    server.signal("TERM");
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains(&format!("hook on_exit in {pid}\n")), "{stderr}");
}

fn kills_in_any_order_leave_nobody() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let server = start("pool-good", &[]);
        let leader = server.pid();
        let victims = [member(&server, "cpu/0"), member(&server, "cpu/template"), leader];
        for victim in order {
            kill(victims[victim]);
        }
        assert_eq!(server.end().0, None, "{order:?}");
        wait_until("everybody is gone", || session(leader).is_empty());
    }
}

fn a_hang_outlives_no_supervisor() {
    let flags = ["--graceful-timeout", "0s", "--shutdown-force", "0s"];
    // A worker that does not come to an end, and a template that never loads. Nobody is ready in
    // the second, so that is told by its hook.
    let server = start("pool-exit-hangs", &flags);
    let leader = server.pid();
    kill(leader);
    server.end();
    wait_until("the alarm ends the workers", || session(leader).is_empty());
    let server = Server::spawn(in_a_session(), "pool-load-hangs", &flags);
    let leader = server.pid();
    wait_until("a template", || members(&server).contains_key("cpu/template"));
    let template = member(&server, "cpu/template");
    let caught = || {
        let status = fs::read_to_string(format!("/proc/{template}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("SigCgt:"));
        let mask = line.and_then(|line| u64::from_str_radix(line[7..].trim(), 16).ok());
        mask.is_some_and(|mask| mask & (1 << (libc::SIGTERM - 1)) != 0)
    };
    wait_until("it hears TERM", caught);
    kill(leader);
    server.end();
    wait_until("the alarm ends the template", || session(leader).is_empty());
}

fn a_failed_load_is_4() {
    for (mode, preload, text) in [
        ("pool-load-fails", "on", "on_load failed: no tables in this test"),
        ("pool-load-fails", "off", "on_load failed: no tables in this test"),
        ("pool-load-panics", "on", "on_load panicked: tables fall over"),
        ("pool-load-threads", "on", "on_load started threads (2 are there)"),
    ] {
        let (code, stderr) = start(mode, &["--pool", &format!("preload={preload}")]).end();
        assert_eq!(code, Some(4), "{mode}: {stderr}");
        assert!(stderr.contains(text), "{mode}: {stderr}");
        assert!(!stderr.contains("filled again"), "{mode} is tried again: {stderr}");
    }
}

fn workers_that_never_become_ready_are_3() {
    for (mode, text) in [
        ("pool-warm-panics", "warm panicked: too cold"),
        ("pool-after-fork-fails", "after_fork failed: not this one"),
        ("pool-fork-panics", "before_fork panicked: no fork today"),
        ("pool-warm-hangs", "worker was not ready in time"),
        ("pool-fork-hangs", "template does not fork workers and is ended"),
        ("pool-load-hangs", "template was not ready in time"),
    ] {
        // A boot must be long enough to reach the hook on a loaded machine.
        let flags = ["--pool", "boot.timeout=500ms", "--pool", "restart.give-up=2 in 60s"];
        let flags = if mode.ends_with("-hangs") { &flags[..] } else { &flags[2..] };
        let (code, stderr) = start(mode, flags).end();
        assert_eq!(code, Some(3), "{mode}: {stderr}");
        assert!(stderr.contains(text), "{mode}: {stderr}");
        assert!(stderr.contains("never became ready: giving up"), "{mode}: {stderr}");
    }
}

fn a_place_that_is_forbidden_is_77() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("CapEff:")).unwrap();
    let capabilities = u64::from_str_radix(line[7..].trim(), 16).unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    if capabilities & (1 << CAP_SYS_NICE) != 0 {
        command = Command::new("setpriv");
        command.args(["--inh-caps", "-sys_nice", "--bounding-set", "-sys_nice"]);
        command.arg(env::current_exe().unwrap());
    }
    let (code, stderr) = Server::start_by(command, "pool-good", &["--pool", "nice=-5"]).end();
    assert_eq!(code, Some(77), "{stderr}");
    assert!(stderr.contains("`nice` = -5 of the pool was refused"), "{stderr}");
}

fn a_worker_that_hangs_at_its_end_is_ended() {
    let flags = ["--graceful-timeout", "300ms", "--shutdown-force", "100ms"];
    let server = start("pool-exit-hangs", &flags);
    let leader = server.pid();
    server.signal("TERM");
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("worker did not leave in time and is ended"), "{stderr}");
    assert!(stderr.contains("signal ABRT"), "{stderr}");
    assert!(session(leader).is_empty());
}

fn routes_and_pools_that_do_not_match_are_78() {
    let (code, stderr) = Server::start("pool-wrong-type", &[]).end();
    assert_eq!(code, Some(78), "{stderr}");
    let expected = "error: the route GET /heavy takes a `alloc::string::String`, and on_load of \
                    its pool `cpu` makes a `supervisor::pools::Tables`";
    assert!(stderr.contains(expected), "{stderr}");
    let (code, stderr) = Server::start("pool-unknown", &[]).end();
    assert_eq!(code, Some(78), "{stderr}");
    let expected = "error: the route GET /heavy is for the pool `gpu`, which is not added";
    assert!(stderr.contains(expected), "{stderr}");
}

/// Doorbells of the pool: one more than there are shards, two for each worker.
fn doorbells() -> usize {
    let placement = config(&[]).placement;
    placement.shards.len() + 1 + 2 * placement.pools[0].workers.len()
}

/// Starts a server below a limit of `ulimit`.
fn start_limited(limit: &str, flags: &[&str]) -> Server {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit {limit} && exec \"$0\" \"$@\""));
    command.arg(env::current_exe().unwrap());
    Server::start_by(command, "pool-good", flags)
}

fn memory_that_is_refused_is_71() {
    let (memory, descriptors) = ("MiB of shared memory", "descriptors: ");
    let large = ["--pool", "slots=1024", "--pool", "slot=64KiB"];
    let huge = ["--pool", "slots=65536", "--pool", "slot=1MiB"];
    for (server, refused, fix) in [
        // More than the machine has: to ask for it would be the end of somebody.
        (Server::start("pool-good", &huge), memory, "write a smaller `slots`"),
        // The address space has no room for it.
        (start_limited("-v 200000", &large), memory, "ulimit -v"),
        (start_limited("-n 24", &["--pool", "workers=16"]), descriptors, "ulimit -Hn"),
    ] {
        let (code, stderr) = server.end();
        assert_eq!(code, Some(71), "{stderr}");
        assert!(stderr.contains("error: pool `cpu` needs "), "{stderr}");
        assert!(stderr.contains(refused), "{stderr}");
        assert!(stderr.contains("fix: ") && stderr.contains(fix), "{stderr}");
    }
}

/// The permissions of the mappings of a process whose file is called so.
fn mapped(pid: u32, name: &str) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let lines = maps.lines().filter(|line| line.contains(name));
    lines.map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
}

fn pool_memory_is_where_it_is_needed() {
    let server = start("pool-good", &[]);
    for (name, pid) in members(&server) {
        let requests = if name.starts_with("shard/") { "rw-s" } else { "r--s" };
        assert_eq!(mapped(pid, "memfd:corewise-requests"), [requests], "{name}");
        assert_eq!(mapped(pid, "memfd:corewise-pool"), ["rw-s"], "{name}");
        if name.starts_with("shard/") {
            continue;
        }
        let smaps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
        let of_pool = smaps.split("VmFlags:").filter(|part| part.contains("memfd:corewise-"));
        assert_eq!(of_pool.count(), 2, "{name}");
    }
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
}

fn deaths_between_two_looks_are_all_seen() {
    let server = start("pool-good", &[]);
    let before = members(&server);
    server.signal("STOP");
    for victim in before.values() {
        kill(*victim);
    }
    server.signal("CONT");
    wait_until("successors of all", || {
        let after = members(&server);
        after.len() == before.len() && after.iter().all(|(name, pid)| before[name] != *pid)
    });
    assert_eq!(ask_http(server.address(), "/light").0, 200);
    server.signal("TERM");
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
}
