//! What /proc says of the server's processes: who they are, what they hold, what they used.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// One process of the server, found by its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// The name that holds 15 bytes, such as `cw:shard/0`.
    pub(crate) comm: String,
}

impl Process {
    /// The index of a shard, by its name.
    pub(crate) fn shard(&self) -> Option<usize> {
        self.comm.strip_prefix("cw:shard/")?.parse().ok()
    }

    /// Whether it is what the workers of a pool are forked from.
    pub(crate) fn is_template(&self) -> bool {
        self.comm.ends_with("/template")
    }

    /// The index of a worker of this pool, by its name.
    pub(crate) fn worker(&self, pool: &str) -> Option<usize> {
        self.comm.strip_prefix("cw:")?.strip_prefix(pool)?.strip_prefix('/')?.parse().ok()
    }
}

/// The living children of a process, oldest pid first; zombies are not among them.
pub(crate) fn children(parent: u32) -> Vec<Process> {
    stats().filter(|stat| stat.parent == parent && stat.state != 'Z').map(process).collect()
}

/// The dead children of a process that nobody has waited for.
pub(crate) fn zombies(parent: u32) -> Vec<Process> {
    stats().filter(|stat| stat.parent == parent && stat.state == 'Z').map(process).collect()
}

/// Whether a process exists and is not merely waiting to be reaped.
pub(crate) fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| stat.state != 'Z')
}

/// Whether a process is stopped by a signal.
pub(crate) fn is_stopped(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| stat.state == 'T')
}

/// Parent of a process.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    stat(pid).map(|stat| stat.parent)
}

/// Process group of a process.
pub(crate) fn group(pid: u32) -> Option<u32> {
    stat(pid).map(|stat| stat.group)
}

/// The command line as `ps` shows it.
pub(crate) fn title(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    text.trim_end().to_owned()
}

/// The threads of a process.
pub(crate) fn tasks(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The value of one line of `/proc/PID/task/TID/status`.
pub(crate) fn task_status(pid: u32, tid: u32, key: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line[key.len()..].trim_start_matches(':').trim().to_owned())
}

/// On which CPU a thread ran last, and its scheduling policy (0 is the usual one).
pub(crate) fn task_scheduled(pid: u32, tid: u32) -> Option<(usize, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).ok()?;
    let words: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    // Fields 39 and 41 by proc(5); what follows the name begins with field 3.
    Some((words.get(36)?.parse().ok()?, words.get(38)?.parse().ok()?))
}

/// Where a descriptor points to.
pub(crate) fn descriptor(pid: u32, fd: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()
}

/// How many sockets that listen at `port` a process holds.
pub(crate) fn listeners_held(pid: u32, port: u16) -> usize {
    let listening: Vec<String> = sockets(port)
        .into_iter()
        .filter(|socket| socket.listening)
        .map(|socket| format!("socket:[{}]", socket.inode))
        .collect();
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter(|link| listening.iter().any(|socket| link.as_os_str() == socket.as_str())).count()
}

/// How many descriptors a process has open.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// What the descriptors are that a process has open.
pub(crate) fn descriptors_open(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.map(|link| link.display().to_string()).collect()
}

/// Proportional memory of a process in bytes.
pub(crate) fn memory_bytes(pid: u32) -> u64 {
    mapped_bytes(pid, "Pss:")
}

/// Memory of a process that is neither a file nor the memory of a pool, in bytes. What a fork
/// shares with its parent counts in both, so that nobody else's life changes the number.
pub(crate) fn anonymous_bytes(pid: u32) -> u64 {
    mapped_bytes(pid, "Anonymous:")
}

fn mapped_bytes(pid: u32, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    let kilobytes = line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// CPU time that the living threads of a process have used, in user and kernel mode.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let nanoseconds = |tid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(tasks(pid).into_iter().filter_map(nanoseconds).sum())
}

/// The sockets of one TCP port as the kernel lists them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Socket {
    pub(crate) listening: bool,
    pub(crate) inode: u64,
    /// Bytes sent and not acknowledged; for a listener the backlog.
    pub(crate) send_queue: usize,
    /// Bytes that nobody has read; for a listener the connections that wait in it.
    pub(crate) receive_queue: usize,
}

/// All sockets at a local `port`, but for those in TIME_WAIT: they hold next to nothing, belong to
/// nobody, and stay for a minute wherever the server is the one that closes first.
pub(crate) fn sockets(port: u16) -> Vec<Socket> {
    let text = fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp is readable");
    text.lines().skip(1).filter_map(|line| socket(line, port)).collect()
}

const TIME_WAIT: &str = "06";

fn socket(line: &str, port: u16) -> Option<Socket> {
    let mut words = line.split_whitespace().skip(1);
    let (_, local) = words.next()?.split_once(':')?;
    if u16::from_str_radix(local, 16).ok()? != port {
        return None;
    }
    let state = words.nth(1)?;
    if state == TIME_WAIT {
        return None;
    }
    let (send, receive) = words.next()?.split_once(':')?;
    Some(Socket {
        listening: state == "0A",
        // Timer, retransmits, uid and timeout stand between the queues and the inode.
        inode: words.nth(4)?.parse().ok()?,
        send_queue: usize::from_str_radix(send, 16).ok()?,
        receive_queue: usize::from_str_radix(receive, 16).ok()?,
    })
}

struct Stat {
    pid: u32,
    comm: String,
    state: char,
    parent: u32,
    group: u32,
}

fn process(stat: Stat) -> Process {
    Process { pid: stat.pid, comm: stat.comm }
}

fn stats() -> impl Iterator<Item = Stat> {
    let mut pids: Vec<u32> = fs::read_dir("/proc")
        .expect("/proc is mounted")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    pids.into_iter().filter_map(stat)
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything, brackets included.
    let (open, close) = (text.find('(')?, text.rfind(')')?);
    let words: Vec<&str> = text[close + 1..].split_whitespace().collect();
    let number = |index: usize| words.get(index)?.parse::<u64>().ok();
    Some(Stat {
        pid,
        comm: text[open + 1..close].to_owned(),
        state: words.first()?.chars().next()?,
        parent: u32::try_from(number(1)?).ok()?,
        group: u32::try_from(number(2)?).ok()?,
    })
}
