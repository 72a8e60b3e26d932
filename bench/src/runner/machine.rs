//! Where and of what the figures are taken.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::noise::Cores;
use crate::result::Machine;

/// What a reader needs to judge a figure. `wrk` is the first line of what wrk says of itself.
pub(crate) fn look(wrk: String, cores: Cores) -> Machine {
    Machine {
        date: said("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        commit: said("git", &["-C", SOURCES, "describe", "--always", "--dirty", "--abbrev=12"]),
        processor: processor(),
        cores: online(),
        memory_bytes: memory_bytes(),
        kernel: said("uname", &["-sr"]),
        compiler: said("rustc", &["--version"]),
        wrk,
        notes: notes(cores),
    }
}

/// CPUs that are online, whether or not this process may use them.
pub(super) fn online() -> usize {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let is_core = |line: &&str| {
        let number = line.strip_prefix("cpu").unwrap_or_default();
        number.starts_with(|letter: char| letter.is_ascii_digit())
    };
    stat.lines().filter(is_core).count()
}

/// What a command prints; `unknown` where it does not exist or fails.
fn said(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or_else(|| "unknown".to_owned(), |rest| rest.trim_matches([':', '\t', ' ']).to_owned())
}

fn memory_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let kib = line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// What makes figures of this machine worth less than those of another one.
fn notes(cores: Cores) -> Vec<String> {
    let mut notes = Vec::new();
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let is_virtual = flags.lines().any(|line| {
        line.starts_with("flags") && line.split_whitespace().any(|flag| flag == "hypervisor")
    });
    if is_virtual {
        notes.push("a virtual machine: its host decides when its cores run".to_owned());
    }
    for cpu in [cores.server, cores.client] {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
        let governor = fs::read_to_string(path).unwrap_or_default();
        if !governor.is_empty() && governor.trim() != "performance" {
            notes.push(format!(
                "the clock of CPU {cpu} varies (governor {}); cpupower frequency-set -g \
                 performance holds it",
                governor.trim()
            ));
        }
    }
    let siblings = Path::new("/sys/devices/system/cpu")
        .join(format!("cpu{}", cores.server))
        .join("topology/thread_siblings_list");
    if holds(&fs::read_to_string(siblings).unwrap_or_default(), cores.client) {
        notes.push(format!(
            "CPUs {} and {} are threads of one core, so server and load slow each other down; \
             choose others with --server-cpu and --client-cpu",
            cores.server, cores.client
        ));
    }
    notes
}

/// Whether a list of CPUs as the kernel writes it (`0-3,8`) has this one.
fn holds(list: &str, cpu: usize) -> bool {
    list.trim().split(',').any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let bounds = first.parse::<usize>().ok().zip(last.parse::<usize>().ok());
        bounds.is_some_and(|(first, last)| (first..=last).contains(&cpu))
    })
}

/// The checkout that this program was built from.
const SOURCES: &str = env!("CARGO_MANIFEST_DIR");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_described() {
        let machine = look("wrk".to_owned(), Cores { server: 0, client: 1 });
        assert!(machine.memory_bytes > 1 << 20 && machine.cores > 0, "{machine:?}");
        assert!(machine.date.starts_with("20") && machine.kernel.starts_with("Linux"));
    }

    #[test]
    fn lists_of_cpus_are_read() {
        assert!(holds("0-3,8\n", 2) && holds("0-3,8\n", 8) && holds("5", 5));
        assert!(!holds("0-3,8\n", 4) && !holds("", 0));
    }
}
