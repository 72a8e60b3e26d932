//! Who else used the two cores while something was measured.
//!
//! Two accounts are kept, because each sees what the other does not. The kernel's account of each
//! core (/proc/stat) holds everything, also processes that came and went, but it is sampled: a
//! window of a second is told to about 3 %. The clocks of all processes are exact and have names,
//! but only of those that are there before and after.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use super::usage::{self, TICK_NS, Tree};

/// The two cores of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) client: usize,
}

/// What is read before a window and again after it.
pub(super) struct Noise {
    cores: Cores,
    times: [CoreTime; 2],
    /// Run time of everybody, in nanoseconds.
    clocks: BTreeMap<u32, u64>,
    /// Of loads that ended.
    loads_ns: u64,
    start: Instant,
    disturbances: Vec<String>,
}

/// What a core did since the boot, in ticks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct CoreTime {
    /// Running anything at all.
    busy: u64,
    /// Wanted to run, but the host ran something else.
    stolen: u64,
}

impl Noise {
    /// Begins to watch. Nothing of ours runs at this moment, so whoever does is a stranger.
    pub(super) fn start(cores: Cores) -> io::Result<Self> {
        let waiting = strangers_waiting()?;
        let stat = fs::read_to_string("/proc/stat")?;
        let disturbances = match waiting {
            0 => Vec::new(),
            count => vec![format!("{count} other tasks wanted to run when it began")],
        };
        Ok(Self {
            cores,
            times: [core_time(&stat, cores.server), core_time(&stat, cores.client)],
            clocks: clocks()?,
            loads_ns: ended_loads_ns(),
            start: Instant::now(),
            disturbances,
        })
    }

    /// What disturbed the window in which `tree` used `cpu_ns`; empty for a machine at rest.
    pub(super) fn stop(self, tree: &Tree, cpu_ns: u64) -> io::Result<Vec<String>> {
        let window_ns = self.start.elapsed().as_nanos() as f64;
        let stat = fs::read_to_string("/proc/stat")?;
        let clocks = clocks()?;
        let grown = |process: &u32, now: u64| {
            now.saturating_sub(self.clocks.get(process).copied().unwrap_or(0))
        };
        let own = std::process::id();
        let own_ns = clocks.get(&own).map_or(0, |now| grown(&own, *now));
        let load_ns = ended_loads_ns() - self.loads_ns + own_ns;
        let mut disturbances = self.disturbances;
        let ours = [(self.cores.server, cpu_ns), (self.cores.client, load_ns)];
        for ((core, ours_ns), before) in ours.into_iter().zip(self.times) {
            let now = core_time(&stat, core);
            let foreign_ns =
                now.busy.saturating_sub(before.busy) as f64 * TICK_NS as f64 - ours_ns as f64;
            let stolen_ns = now.stolen.saturating_sub(before.stolen) as f64 * TICK_NS as f64;
            let limit_ns = (window_ns * SHARE_MAX).max(SAMPLING_NS);
            for (what, ns) in [("others used", foreign_ns), ("the host took", stolen_ns)] {
                if ns > limit_ns {
                    disturbances.push(share(what, ns / window_ns, core));
                }
            }
        }
        for (process, now) in &clocks {
            let share_of = grown(process, *now) as f64 / window_ns;
            if share_of <= PROCESS_SHARE_MAX || *process == own || tree.processes.contains(process)
            {
                continue;
            }
            if let Some((name, core)) = stranger(*process, self.cores) {
                disturbances.push(share(&format!("{name} ({process}) used"), share_of, core));
            }
        }
        Ok(disturbances)
    }
}

fn share(what: &str, share: f64, core: usize) -> String {
    format!("{what} {:.0} % of core {core}", share * 100.0)
}

/// The name of a process that was last on one of the cores, and on which. The threads of the
/// kernel are left out: what they do there they mostly do for the server.
fn stranger(process: u32, cores: Cores) -> Option<(String, usize)> {
    let stat = usage::text_of(&format!("/proc/{process}/stat"));
    let name = stat.split_once('(')?.1.rsplit_once(')')?.0.to_owned();
    let fields = usage::fields(&stat);
    // Fields 4 (parent) and 39 (the CPU it was last on) of the whole line.
    let parent: u32 = fields.get(1)?.parse().ok()?;
    let core: usize = fields.get(36)?.parse().ok()?;
    let is_kernel = process == KTHREADD || parent == KTHREADD;
    (!is_kernel && [cores.server, cores.client].contains(&core)).then_some((name, core))
}

/// Run time of every process there is.
fn clocks() -> io::Result<BTreeMap<u32, u64>> {
    let mut clocks = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(process) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        if let Ok(ns) = usage::process_cpu_ns(process) {
            clocks.insert(process, ns);
        }
    }
    Ok(clocks)
}

/// CPU time of our own children that have ended and were waited for: the loads.
fn ended_loads_ns() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call writes one rusage, to a variable of ours that outlives it.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    // SAFETY: it was zeroed before, which is a valid value, whatever the call has written.
    let usage = unsafe { usage.assume_init() };
    let ns = |time: libc::timeval| {
        (time.tv_sec.cast_unsigned() * 1_000_000 + time.tv_usec.cast_unsigned()) * 1000
    };
    ns(usage.ru_utime) + ns(usage.ru_stime)
}

fn core_time(stat: &str, core: usize) -> CoreTime {
    let name = format!("cpu{core} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_default();
    let fields: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let field = |index: usize| fields.get(index).copied().unwrap_or(0);
    // user, nice, system, idle, iowait, irq, softirq, steal
    let busy = [0, 1, 2, 5, 6].into_iter().map(field).sum();
    CoreTime { busy, stolen: field(7) }
}

/// Tasks beside us that run or want to and go on wanting: the kernel's own do so for a moment.
fn strangers_waiting() -> io::Result<u64> {
    let mut least = u64::MAX;
    for _ in 0..LOOKS {
        let stat = fs::read_to_string("/proc/stat")?;
        least = least.min(runnable(&stat).saturating_sub(1));
        if least == 0 {
            break;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    Ok(least)
}

/// Tasks that run or want to, the reader included.
fn runnable(stat: &str) -> u64 {
    let line = stat.lines().find_map(|line| line.strip_prefix("procs_running "));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(1)
}

/// Less than this of a core is a machine at rest.
const SHARE_MAX: f64 = 0.03;
/// What the samples of a core that was half busy may be wrong by, as seen on a machine at rest.
const SAMPLING_NS: f64 = 6.0 * TICK_NS as f64;
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);
/// A process of its own is told exactly.
const PROCESS_SHARE_MAX: f64 = 0.02;
/// The parent of the kernel's threads.
const KTHREADD: u32 = 2;

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const STAT: &str = "cpu  9 9 9 9 9 9 9 9\ncpu0 1 2 3 4 5 6 7 8 0 0\n\
                        cpu1 10 0 0 0 0 0 0 1 0 0\nprocs_running 3\n";

    #[test]
    fn cores_are_told_apart() {
        assert_eq!(core_time(STAT, 0), CoreTime { busy: 19, stolen: 8 });
        assert_eq!(core_time(STAT, 1), CoreTime { busy: 10, stolen: 1 });
        assert_eq!(core_time(STAT, 7), CoreTime::default());
        assert_eq!(runnable(STAT), 3);
    }

    #[test]
    fn a_stranger_on_a_core_is_named() {
        let cores = Cores { server: 0, client: 1 };
        // Started before, so that its own clock is there at both ends.
        let mut stranger = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let seen = loop {
            let noise = Noise::start(cores).unwrap();
            std::thread::sleep(Duration::from_millis(200));
            let seen = noise.stop(&Tree::default(), 0).unwrap();
            let name = format!("({}) used", stranger.id());
            if Instant::now() > deadline || seen.iter().any(|line| line.contains(&name)) {
                break seen;
            }
        };
        let here = stranger.id().to_string();
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        // On a machine with more cores it may have run elsewhere, where it disturbs nobody.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        assert!(cores > 2 || seen.iter().any(|line| line.contains(&here)), "{seen:?}");
    }
}
