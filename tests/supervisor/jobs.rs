//! Jobs that end badly: handlers that hang, crash, leave, and write into memory that is not theirs.

use std::fs;
use std::thread;

use corewise::offload::layout::{Layout, Word};
use corewise::offload::word::{ShardIndex, SlotState, StateWord};
use corewise::sys::signal::{Signal, ignore};
use corewise::{App, Request, offload};

use super::pools::{member, members, start, workers};
use super::{Server, Story, ask_http, signal, wait_until};

pub(crate) const STORIES: [(&str, Story); 7] = [
    ("a_job_is_answered_by_a_worker", a_job_is_answered_by_a_worker),
    ("a_job_that_hangs_is_ended_and_named", a_job_that_hangs_is_ended_and_named),
    ("a_job_that_dies_is_named_with_its_end", a_job_that_dies_is_named_with_its_end),
    ("a_job_of_a_killed_worker_is_named", a_job_of_a_killed_worker_is_named),
    ("a_worker_that_writes_nonsense_is_replaced", a_worker_that_writes_nonsense_is_replaced),
    ("broken_memory_is_made_anew", broken_memory_is_made_anew),
    ("retired_and_killed_shards_keep_the_pool", retired_and_killed_shards_keep_the_pool),
];

/// The routes of these stories.
pub(crate) fn add(app: App) -> App {
    app.get("/hang", offload("cpu", |_: &Request| -> &'static str { hang() }))
        .get("/deaf", offload("cpu", deaf))
        .get("/segv", offload("cpu", touch_nothing))
        .get("/abort", offload("cpu", |_: &Request| -> &'static str { std::process::abort() }))
        .get("/exit/{code}", offload("cpu", exit))
        .get("/wait", offload("cpu", wait))
        .get("/false-answer", offload("cpu", answer_falsely))
        .get("/false-heads", offload("cpu", move_heads))
}

fn hang() -> ! {
    loop {
        thread::park();
    }
}

fn deaf(_: &Request) -> &'static str {
    ignore(Signal::Abort).unwrap();
    hang()
}

/// Writes to where no memory is.
fn touch_nothing(_: &Request) -> &'static str {
    let nowhere = std::ptr::with_exposed_provenance_mut::<u8>(16);
    // SAFETY: there is none: the page at 0 is never mapped, so the kernel ends this process here,
    // as the story wants it.
    unsafe { nowhere.write_volatile(0) };
    hang()
}

fn exit(request: &Request) -> &'static str {
    std::process::exit(request.param("code").parse().unwrap())
}

/// Until the test ends this process.
fn wait(_: &Request) -> &'static str {
    hang()
}

/// The words of the pool as this worker has them.
struct Words {
    first: *mut u64,
    layout: Layout,
}

impl Words {
    fn find() -> Self {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let range = |name: &str| -> (usize, u64) {
            let line = maps.lines().find(|line| line.contains(name)).unwrap();
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let number = |hex| usize::from_str_radix(hex, 16).unwrap();
            (number(from), (number(to) - number(from)) as u64)
        };
        let (control, control_bytes) = range("memfd:corewise-pool");
        let (_, request_bytes) = range("memfd:corewise-requests");
        let first = std::ptr::with_exposed_provenance_mut::<u64>(control);
        // SAFETY: every word of the header lies in the mapping that was just found, which lives as
        // long as this process.
        let header = |word: Word| unsafe { first.add(word.index()).read_volatile() };
        let layout = Layout::attach(header, control_bytes, request_bytes).unwrap();
        Self { first, layout }
    }

    fn read(&self, word: Word) -> u64 {
        // SAFETY: the word comes from the layout of this very mapping, which lives as long as this
        // process.
        unsafe { self.first.add(word.index()).read_volatile() }
    }

    fn write(&self, word: Word, value: u64) {
        // SAFETY: as for `read`; that nobody expects it there is what the story is about.
        unsafe { self.first.add(word.index()).write_volatile(value) };
    }
}

/// Says that the job is done, with an answer that cannot be.
fn answer_falsely(_: &Request) -> &'static str {
    let words = Words::find();
    let layout = &words.layout;
    for shard in layout.shards() {
        for slot in layout.slots() {
            let of_slot = layout.slot(shard, slot);
            let Some(word) = StateWord::unpack(words.read(of_slot.state())) else { continue };
            if let SlotState::Running(owner) = word.state {
                words.write(of_slot.response(), 0);
                let done = StateWord::new(SlotState::Done(owner), word.generation);
                words.write(of_slot.state(), done.pack());
                let bit = 1 << (slot.0 % 64);
                words.write(layout.attention(shard, u32::from(slot.0 / 64)), bit);
            }
        }
    }
    hang()
}

/// Moves the heads of all queues to where nobody has been.
fn move_heads(_: &Request) -> &'static str {
    let words = Words::find();
    for shard in words.layout.shards().collect::<Vec<ShardIndex>>() {
        words.write(words.layout.head(shard), u64::MAX / 2);
    }
    "moved\n"
}

/// Asks in a thread: who never gets an answer must not hold up the story.
fn ask(server: &Server, path: &'static str) -> thread::JoinHandle<(u16, String)> {
    let address = server.address();
    thread::spawn(move || ask_http(address, path))
}

fn is_served(server: &Server) -> bool {
    ask_http(server.address(), "/heavy").0 == 200
}

fn end(server: Server) -> String {
    server.signal("TERM");
    let (code, stderr) = server.end();
    assert_eq!(code, Some(0), "{stderr}");
    stderr
}

#[track_caller]
fn assert_line(stderr: &str, parts: &[&str]) {
    let found = stderr.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(found, "no line with {parts:?}: {stderr}");
}

fn a_job_is_answered_by_a_worker() {
    let server = start("pool-good", &[]);
    let template = member(&server, "cpu/template");
    for _ in 0..20 {
        let answer = ask_http(server.address(), "/heavy");
        assert_eq!(answer, (200, format!("loaded by {template}\n")));
    }
    let stderr = end(server);
    assert!(!stderr.contains("error"), "{stderr}");
}

fn a_job_that_hangs_is_ended_and_named() {
    let times = ["--pool", "request.timeout=200ms", "--pool", "request.force=100ms"];
    for (path, ended) in [("/hang", "signal ABRT"), ("/deaf", "signal KILL")] {
        let server = start("pool-good", &times);
        let before = workers(&server);
        assert_eq!(ask_http(server.address(), path).0, 504);
        wait_until("its worker is replaced", || {
            let after = workers(&server);
            after.len() == before.len() && after != before
        });
        wait_until("all is well", || is_served(&server));
        let stderr = end(server);
        let route = format!("route=\"GET {path}\"");
        assert_line(&stderr, &["does not come back from a job", "worker=cpu/", &route, "ran_ms="]);
        let died = "a job died with its worker";
        assert_line(&stderr, &[died, "worker=cpu/", &route, "ran_ms=", ended]);
    }
}

fn a_job_that_dies_is_named_with_its_end() {
    let server = start("pool-good", &[]);
    let jobs = [
        ("/segv", "GET /segv", "signal SEGV"),
        ("/abort", "GET /abort", "signal ABRT"),
        ("/exit/7", "GET /exit/{code}", "exit code 7"),
    ];
    for (path, _, _) in jobs {
        assert_eq!(ask_http(server.address(), path).0, 502, "{path}");
        wait_until("all is well", || is_served(&server));
    }
    let stderr = end(server);
    for (_, route, ended) in jobs {
        let route = format!("route=\"{route}\"");
        assert_line(&stderr, &["a job died with its worker", "worker=cpu/", &route, ended]);
    }
}

fn a_job_of_a_killed_worker_is_named() {
    let server = start("pool-good", &[]);
    let count = workers(&server).len();
    // As many as there are workers: whichever is killed has one.
    let asked: Vec<_> = (0..count).map(|_| ask(&server, "/wait")).collect();
    let running = |pid: &u32| {
        let wchan = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
        wchan.contains("futex")
    };
    wait_until("all workers wait in a job", || workers(&server).values().all(running));
    for victim in workers(&server).values() {
        signal(*victim, "KILL");
    }
    for client in asked {
        assert_eq!(client.join().unwrap().0, 502);
    }
    wait_until("all is well", || is_served(&server));
    let stderr = end(server);
    let died = "a job died with its worker";
    assert_eq!(stderr.matches(died).count(), count, "{stderr}");
    assert_line(&stderr, &[died, "route=\"GET /wait\"", "signal KILL"]);
}

fn a_worker_that_writes_nonsense_is_replaced() {
    let server = start("pool-good", &[]);
    let before = workers(&server);
    assert_eq!(ask_http(server.address(), "/false-answer").0, 502);
    wait_until("its worker is replaced", || {
        let after = workers(&server);
        after.len() == before.len() && after != before
    });
    wait_until("all is well", || is_served(&server));
    assert_line(&end(server), &["worker has written what cannot be and is ended", "worker=cpu/"]);
}

fn broken_memory_is_made_anew() {
    let server = start("pool-good", &["--pool", "request.timeout=1s"]);
    let before = members(&server);
    ask(&server, "/false-heads");
    wait_until("everybody is replaced", || {
        // It is seen where a queue is used. What becomes of the request does not matter.
        let _ = ask(&server, "/heavy").join();
        let after = members(&server);
        let is_new = |(name, pid): (&String, &u32)| before.get(name).is_some_and(|old| old != pid);
        after.len() == before.len() && after.iter().all(is_new)
    });
    wait_until("all is well", || is_served(&server));
    let stderr = end(server);
    assert_line(&stderr, &["the memory of a pool is broken and is made anew", "pool=cpu"]);
    assert!(!stderr.contains("shard died"), "{stderr}");
}

fn retired_and_killed_shards_keep_the_pool() {
    let server = start("pool-good", &["--shards", "1"]);
    let shard = || members(&server).get("shard/0").copied();
    for round in 0..6 {
        let before = shard().unwrap();
        signal(before, if round % 2 == 0 { "TERM" } else { "KILL" });
        wait_until("a successor", || shard().is_some_and(|pid| pid != before));
        wait_until("all is well", || is_served(&server));
    }
    end(server);
}
