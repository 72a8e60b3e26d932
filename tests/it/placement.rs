//! Placement: what `plan` says is what the kernel says, for every thread of every process and
//! every listener.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::harness::group::Group;
use crate::harness::listeners::{Listener, listeners_at};
use crate::harness::process::{self as proc, Process};
use crate::harness::{Launch, Server, not_staged, wait_until};

/// CPUs that the test may use, ascending.
fn allowed() -> Vec<usize> {
    let own = std::process::id();
    list(&proc::task_status(own, own, "Cpus_allowed_list").unwrap())
}

/// `0-3,8`.
fn list(text: &str) -> Vec<usize> {
    let ranges = text.split(',').map(|part| part.split_once('-').unwrap_or((part, part)));
    ranges.flat_map(|(first, last)| first.parse().unwrap()..=last.parse().unwrap()).collect()
}

/// The demo with a file that names its pool, so that a plan from the same file knows it.
fn demo(folder: &Path, text: &str) -> Launch {
    with_file("demo", folder, &format!("[pool.cpu]\n{text}"))
}

/// A server without a pool, which has nothing but an answer of its file.
fn poolless(folder: &Path, text: &str) -> Launch {
    let route = "[[route]]\npath = \"/\"\nrespond = { body = \"here\" }\n";
    with_file("run", folder, &format!("{route}{text}"))
}

/// A command with a file, which has two addresses beside what it is given, and the start screen of
/// people, which names the CPUs.
fn with_file(command: &str, folder: &Path, text: &str) -> Launch {
    let path = folder.join("corewise.toml");
    let server = "[server]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\nbacklog = 77\n";
    std::fs::write(&path, format!("{server}[log]\nformat = \"pretty\"\n{text}")).unwrap();
    Launch::bare(&[command, "--config", path.to_str().unwrap()])
}

/// What a placement says about CPUs.
struct Plan {
    /// The CPU of each shard; none that floats has one.
    shards: Vec<Option<usize>>,
    /// The CPU of each worker of the demo's pool, and whether it runs in the background; nobody
    /// where there is no pool.
    workers: Vec<(Option<usize>, bool)>,
    usable: Vec<usize>,
    reserved: Vec<usize>,
    floating: Option<String>,
    budget: u64,
}

impl Plan {
    fn of(launch: &Launch) -> Plan {
        let answer = launch.ask("plan");
        let placement = &answer["placement"];
        let number = |value: &Value| value.as_u64().map(|number| number as usize);
        let cpus = |key: &str| {
            placement[key].as_array().unwrap().iter().filter_map(number).collect::<Vec<_>>()
        };
        let shards = placement["shards"].as_array().unwrap();
        let pools = placement["pools"].as_array().unwrap().iter();
        let workers = pools.flat_map(|pool| pool["workers"].as_array().unwrap());
        let place =
            |worker: &Value| (number(&worker["cpu"]), worker["background"].as_bool().unwrap());
        Plan {
            shards: shards.iter().map(|shard| number(&shard["cpu"])).collect(),
            workers: workers.map(place).collect(),
            usable: cpus("usable"),
            reserved: cpus("reserved"),
            floating: placement["floating"].as_str().map(str::to_owned),
            budget: placement["budget"].as_u64().unwrap(),
        }
    }

    /// The CPUs on which the threads of a process with this place may run.
    fn cpus_of(&self, place: Option<usize>) -> Vec<usize> {
        match place {
            Some(cpu) => vec![cpu],
            None => {
                self.usable.iter().copied().filter(|cpu| !self.reserved.contains(cpu)).collect()
            }
        }
    }

    /// The CPUs of the template: those of all workers.
    fn cpus_of_template(&self) -> Vec<usize> {
        let places = self.workers.iter().flat_map(|(place, _)| self.cpus_of(*place));
        places.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn cpus_of_supervisor(&self) -> &[usize] {
        if self.reserved.is_empty() { &self.usable } else { &self.reserved }
    }

    /// Where the shards are, which all are somewhere.
    #[track_caller]
    fn pinned(&self) -> Vec<usize> {
        assert_eq!(self.floating, None);
        self.shards.iter().map(|cpu| cpu.expect("the shard is pinned")).collect()
    }
}

/// Has shards and workers start the threads that they start late: one for blocking calls, and
/// those of the kernel for files.
fn busy(server: &Server) {
    for _ in 0..8 {
        let mut client = server.client();
        for path in ["/block/1", "/file", "/block/1", "/fib/10", "/offload/sleep/1"] {
            let answer = client.get(path).unwrap_or_else(|fault| panic!("{path}: {fault}"));
            assert_eq!(answer.status, 200, "{path}");
        }
    }
}

/// Every thread of a process may run on exactly these CPUs, runs there, and is scheduled in this
/// way.
#[track_caller]
fn expect_tasks(pid: u32, who: &str, cpus: &[usize], scheduler: u32) {
    let tasks = proc::tasks(pid);
    assert!(!tasks.is_empty(), "{who} has threads");
    for tid in tasks {
        // A helper thread of the kernel may end meanwhile.
        let Some(mask) = proc::task_status(pid, tid, "Cpus_allowed_list") else { continue };
        let name = proc::task_status(pid, tid, "Name");
        assert_eq!(list(&mask), cpus, "{who}, thread {tid} {name:?}");
        let Some((cpu, policy)) = proc::task_scheduled(pid, tid) else { continue };
        assert!(cpus.contains(&cpu), "{who}, thread {tid} {name:?} ran on CPU {cpu}");
        assert_eq!(policy, scheduler, "{who}, thread {tid} {name:?} has another scheduler");
    }
}

/// Every address has a listener for each shard, all of them held by the supervisor, with the
/// backlog of the file.
#[track_caller]
fn expect_listeners(server: &Server, shards: &[Process]) {
    let limit = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let backlog = limit.trim().parse::<u32>().unwrap().min(77);
    let ports: Vec<u16> = server
        .ready_line
        .split("http://")
        .skip(1)
        .map(|url| url.trim().rsplit(':').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(ports.len(), 2, "{}", server.ready_line);
    for port in ports {
        let listeners = listeners_at(port);
        let inodes: BTreeSet<u32> = listeners.iter().map(|listener| listener.inode).collect();
        assert_eq!((listeners.len(), inodes.len()), (shards.len(), shards.len()), "port {port}");
        let is_as_written = |listener: &Listener| listener.backlog == backlog;
        assert!(listeners.iter().all(is_as_written), "{listeners:?}");
        assert_eq!(proc::listeners_held(server.pid(), port), shards.len(), "port {port}");
        for shard in shards {
            assert_eq!(proc::listeners_held(shard.pid, port), 1, "{} at {port}", shard.comm);
        }
    }
}

#[track_caller]
fn expect_as_planned(server: &Server, plan: &Plan) {
    wait_until("every shard is there", || server.shards().len() == plan.shards.len());
    // The first one makes the server ready, which the start screen says instead.
    server.expect_workers(plan.workers.len().saturating_sub(1));
    let has_pool = !plan.workers.is_empty();
    if has_pool {
        busy(server);
    }
    let (shards, workers) = (server.shards(), server.workers(POOL));
    assert_eq!(workers.len(), plan.workers.len());
    let templates = usize::from(has_pool);
    let all = 1 + shards.len() + templates + workers.len();
    assert_eq!(server.tree().len(), all, "nobody else is there");
    for (shard, place) in shards.iter().zip(&plan.shards) {
        expect_tasks(shard.pid, &shard.comm, &plan.cpus_of(*place), USUAL);
        if has_pool {
            assert!(proc::tasks(shard.pid).len() > 1, "the executor has a second thread");
        }
    }
    for (worker, (place, background)) in workers.iter().zip(&plan.workers) {
        let scheduler = if *background { IDLE } else { USUAL };
        expect_tasks(worker.pid, &worker.comm, &plan.cpus_of(*place), scheduler);
    }
    let others = proc::children(server.pid()).into_iter();
    let found: Vec<Process> = others.filter(Process::is_template).collect();
    assert_eq!(found.len(), templates);
    for template in found {
        expect_tasks(template.pid, &template.comm, &plan.cpus_of_template(), USUAL);
    }
    expect_tasks(server.pid(), "supervisor", plan.cpus_of_supervisor(), USUAL);
    expect_listeners(server, &shards);
    let pinned: Vec<usize> = plan.shards.iter().copied().flatten().collect();
    let distinct: BTreeSet<_> = pinned.iter().collect();
    assert_eq!(distinct.len(), pinned.len(), "no CPU has two shards");
}

/// Plans, starts the demo, and compares; the file is gone by then.
#[track_caller]
fn check(text: &str, change: impl FnOnce(Launch) -> Launch) -> (Server, Plan) {
    let (server, plan) = check_of(demo, text, change);
    assert!(!plan.workers.is_empty(), "the demo has a pool");
    (server, plan)
}

/// The same with a server that has no pool.
#[track_caller]
fn check_poolless(text: &str, change: impl FnOnce(Launch) -> Launch) -> (Server, Plan) {
    let (server, plan) = check_of(poolless, text, change);
    assert_eq!(plan.workers, []);
    (server, plan)
}

#[track_caller]
fn check_of(
    kind: impl FnOnce(&Path, &str) -> Launch,
    text: &str,
    change: impl FnOnce(Launch) -> Launch,
) -> (Server, Plan) {
    let folder = tempfile::tempdir().unwrap();
    let launch = change(kind(folder.path(), text));
    let plan = Plan::of(&launch);
    let server = launch.start();
    expect_as_planned(&server, &plan);
    (server, plan)
}

fn as_it_is(launch: Launch) -> Launch {
    launch
}

#[test]
fn one_shard_on_each_core() {
    let (server, plan) = check_poolless("", as_it_is);
    assert_eq!(plan.usable, allowed());
    expect_shards_on_screen(&server, &plan);
    server.stop();
}

#[test]
fn shards_and_workers_on_their_cores() {
    let (server, plan) = check("", as_it_is);
    assert_eq!(plan.usable, allowed());
    expect_shards_on_screen(&server, &plan);
    assert!(plan.workers.iter().all(|(place, _)| place.is_some()), "every worker is pinned");
    server.stop();
}

#[track_caller]
fn expect_shards_on_screen(server: &Server, plan: &Plan) {
    let screen = server.stderr();
    let shown = format!(" {} on CPU", plan.pinned().len());
    assert!(screen.contains(&shown), "{shown:?} is not in {screen}");
}

#[test]
fn one_shard() {
    let (server, plan) = check("", |launch| launch.shards(1));
    assert_eq!(plan.pinned().len(), 1);
    server.stop();
}

#[test]
fn shards_on_cpus_by_number() {
    let all = allowed();
    let last = all.len() - 1;
    for cpus in [&all[last..], &all] {
        let list: Vec<String> = cpus.iter().map(|cpu| format!("{cpu}-{cpu}")).collect();
        let text = format!("[cores]\nshards = \"{}\"\n", list.join(","));
        let (server, plan) = check(&text, as_it_is);
        assert_eq!(plan.pinned(), cpus);
        server.stop();
    }
}

#[test]
fn only_the_cpus_that_may_be_used() {
    let last = *allowed().last().unwrap();
    let (server, plan) = check(&format!("[cores]\nuse = \"{last}\"\n"), as_it_is);
    assert_eq!((plan.pinned(), plan.usable), (vec![last], vec![last]));
    server.stop();
}

#[test]
fn nobody_is_pinned() {
    let (server, plan) = check("[cores]\npin = false\n", as_it_is);
    assert_eq!(plan.floating.as_deref(), Some("pin = false"));
    assert!(plan.shards.iter().all(Option::is_none));
    assert!(plan.workers.iter().all(|(place, _)| place.is_none()));
    let screen = server.stderr();
    assert!(screen.contains(&format!(" {}, not pinned", plan.shards.len())), "{screen}");
    server.stop();
}

/// A limit of CPU time, half a CPU short of what there is: fewer shards, and none is pinned.
///
/// This needs a control group, which only root can make, and hardly ever in a container. Where
/// there is none, nothing is tried here: the unit tests of the placement show what a quota leads
/// to, `nobody_is_pinned` that floating processes float.
#[test]
fn a_quota_lets_everybody_float() {
    let allowed = allowed();
    let Some(group) = Group::of_cpu_time(1000 * allowed.len() as u64 - 500) else {
        return not_staged("a quota of CPU time", "no control group can be made here");
    };
    let (server, plan) = check_poolless("", |launch| launch.in_group(&group));
    assert!(plan.floating.as_ref().unwrap().contains("time is allowed"), "{:?}", plan.floating);
    assert_eq!(plan.usable, allowed);
    let whole = allowed.len().saturating_sub(1).max(1);
    assert_eq!((plan.shards.len(), plan.budget), (whole, whole as u64));
    server.stop();
    // With a pool, too, nobody is pinned.
    let (server, plan) = check("", |launch| launch.in_group(&group));
    assert!(plan.floating.as_ref().unwrap().contains("time is allowed"), "{:?}", plan.floating);
    assert!(plan.workers.iter().all(|(place, _)| place.is_none()));
    assert_eq!(plan.budget, whole as u64);
    server.stop();
    // The quota does not count if somebody says so, and then all are pinned.
    let (server, plan) =
        check_poolless("[cores]\nquota = \"ignore\"\n", |launch| launch.in_group(&group));
    assert!(plan.pinned().len() >= whole);
    server.stop();
}

#[test]
fn a_reduced_mask_is_obeyed() {
    let last = *allowed().last().unwrap();
    let (server, plan) = check("", |launch| launch.on_cpus(&[last]));
    assert_eq!((plan.pinned(), plan.usable), (vec![last], vec![last]));
    server.stop();
}

#[test]
fn a_cpu_outside_of_the_mask_is_refused() {
    let (first, last) = (allowed()[0], *allowed().last().unwrap());
    // With a single CPU any other one is outside.
    let outside = if first == last { first + 1 } else { first };
    let folder = tempfile::tempdir().unwrap();
    let text = format!("[cores]\nshards = \"{outside}-{outside}\"\n");
    let refused = demo(folder.path(), &text).on_cpus(&[last]).run();
    refused.expect_code(78);
    let reason = format!("CPU {outside} cannot be used: ");
    assert!(refused.stderr.contains(&reason), "{}", refused.stderr);
}

#[test]
fn a_replaced_shard_is_where_the_first_one_was() {
    let (server, plan) = check("", |launch| launch.shards(1));
    let before = server.shards();
    crate::harness::send_signal(before[0].pid, rustix::process::Signal::KILL);
    let replaced = |shards: &[Process]| shards.first().is_some_and(|shard| *shard != before[0]);
    wait_until("the shard is replaced", || replaced(&server.shards()));
    expect_as_planned(&server, &plan);
    server.stop();
}

const POOL: &str = "cpu";
/// SCHED_OTHER.
const USUAL: u32 = 0;
/// SCHED_IDLE.
const IDLE: u32 = 5;
